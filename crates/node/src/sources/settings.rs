//! How sources are read, as the audit log has it: what is read again later must be read the same
//! way, by whatever command opens the directory.

use crate::NodeError;
use crate::audit::Audit;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::{StreamName, UtcMicros, Words};
use yagura_intake::import::Written;
use yagura_normalize::{Reading, SourceBook, SourceSetting};

const CONFIGURED: &str = "sources.configured";
const STREAM_DESCRIBED: &str = "sources.stream-described";

/// How sources are to be read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Zone of times that name none.
    pub zone: TimeZone,
    /// Settings of single sources, in the order in which they are asked.
    pub sources: Vec<SourceSetting>,
}

/// What the audit log last said: a fold over its records.
#[derive(Debug, Default)]
pub(crate) struct RecordedSettings {
    configured: Option<Value>,
    streams: HashMap<StreamName, Written>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "event.action", borrow)]
    action: &'a str,
}

#[derive(Deserialize)]
struct StreamEntry {
    #[serde(rename = "yagura.stream")]
    stream: String,
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

impl RecordedSettings {
    /// Folds one audit record; those of other kinds are ignored.
    pub(crate) fn replay(&mut self, entry: &[u8]) {
        let Ok(known) = serde_json::from_slice::<Entry<'_>>(entry) else { return };
        match known.action {
            CONFIGURED => self.configured = serde_json::from_slice(entry).ok(),
            STREAM_DESCRIBED => {
                let Ok(entry) = serde_json::from_slice::<StreamEntry>(entry) else { return };
                let Ok(stream) = StreamName::new(&entry.stream) else { return };
                let StreamEntry { dataset, zone, encoding, .. } = entry;
                self.streams.insert(stream, Written { dataset, zone, encoding });
            }
            _ => {}
        }
    }

    fn options(&self) -> SourceOptions {
        let configured = self.configured.as_ref();
        let zone = configured.and_then(|entry| TimeZone::get(entry["zone"].as_str()?).ok());
        let sources = configured
            .and_then(|entry| serde_json::from_value(entry["source"].clone()).ok())
            .unwrap_or_default();
        SourceOptions { zone: zone.unwrap_or(TimeZone::UTC), sources }
    }

    /// Fills `book` and answers the default zone: `asked`, which is recorded where it is new, or
    /// else what was recorded last.
    pub(crate) fn take_up(
        self,
        asked: Option<&SourceOptions>,
        book: &SourceBook,
        audit: &Audit,
        now: UtcMicros,
    ) -> Result<TimeZone, NodeError> {
        let options = match asked {
            None => self.options(),
            Some(asked) => {
                self.record(asked, audit, now)?;
                asked.clone()
            }
        };
        if !options.sources.is_empty() {
            book.set_sources(options.sources);
        }
        for (stream, written) in self.streams {
            if let Ok(reading) = reading_of(&written) {
                book.set_stream(stream, reading);
            }
        }
        Ok(options.zone)
    }

    fn record(
        &self,
        asked: &SourceOptions,
        audit: &Audit,
        now: UtcMicros,
    ) -> Result<(), NodeError> {
        let zone = asked.zone.iana_name().unwrap_or("UTC");
        let sources = json!(asked.sources);
        let same = |key: &str, value: &Value| {
            self.configured.as_ref().is_some_and(|entry| entry[key] == *value)
        };
        let is_default = zone == "UTC" && asked.sources.is_empty() && self.configured.is_none();
        if is_default || (same("zone", &json!(zone)) && same("source", &sources)) {
            return Ok(());
        }
        audit.write(&[json!({
            "@timestamp": now,
            "event.action": CONFIGURED,
            "zone": zone,
            "source": sources,
        })])
    }
}

/// What [`Written`] means to those who read.
fn reading_of(written: &Written) -> Result<Reading, Words> {
    let Written { dataset, zone, encoding } = written;
    Reading::parse(dataset.as_deref(), zone.as_deref(), encoding.as_deref())
}

/// Where imports say how a stream is written.
#[derive(Clone)]
pub(crate) struct StreamSettings {
    pub(crate) book: Arc<SourceBook>,
    pub(crate) audit: Arc<Audit>,
}

impl StreamSettings {
    /// Records how the records of `stream` are written, and reads them so from now on.
    pub(crate) fn describe(
        &self,
        stream: &StreamName,
        written: &Written,
        now: UtcMicros,
    ) -> Result<(), Words> {
        let reading = reading_of(written)?;
        if self.book.stream(stream).as_ref() == Some(&reading) {
            return Ok(());
        }
        let mut entry = json!({
            "@timestamp": now,
            "event.action": STREAM_DESCRIBED,
            "yagura.stream": stream,
        });
        let values = [
            ("dataset", &written.dataset),
            ("zone", &written.zone),
            ("encoding", &written.encoding),
        ];
        for (key, value) in values {
            if let (Some(value), Value::Object(entry)) = (value, &mut entry) {
                entry.insert(key.to_owned(), json!(value));
            }
        }
        self.audit.write(&[entry]).map_err(|error| error.words())?;
        self.book.set_stream(stream.clone(), reading);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_records_count_and_others_are_passed_over() {
        let mut recorded = RecordedSettings::default();
        for entry in [
            r#"{"event.action":"sources.configured","zone":"Asia/Tokyo","source":[{"host":"fw*","zone":"UTC"}]}"#,
            r#"{"event.action":"sources.stream-described","yagura.stream":"import/1","zone":"Asia/Tokyo"}"#,
            r#"{"event.action":"sources.stream-described","yagura.stream":"import/1","encoding":"cp932"}"#,
            r#"{"event.action":"alert.raised","zone":"Mars"}"#,
            "not json",
        ] {
            recorded.replay(entry.as_bytes());
        }
        let options = recorded.options();
        assert_eq!(options.zone.iana_name(), Some("Asia/Tokyo"));
        assert_eq!(options.sources.len(), 1);
        let stream = StreamName::new("import/1").unwrap();
        let expected = Written { encoding: Some("cp932".into()), ..Written::default() };
        assert_eq!(recorded.streams[&stream], expected);
        let mut damaged = RecordedSettings::default();
        damaged.replay(br#"{"event.action":"sources.configured","zone":7,"source":"x"}"#);
        assert_eq!(damaged.options().zone.iana_name(), Some("UTC"));
    }
}
