//! What of storage becomes a gap: a disk that fills too soon, and devices that overwrite what did not
//! come here in time.

use super::delete::DAY_MICROS;
use super::forecast::warn_words;
use crate::{Node, NodeError};
use serde_json::Value;
use yagura_desk::GapSeen;
use yagura_event::UtcMicros;

impl Node {
    /// A disk that fills within the configured days, or before a policy's minimum is reached.
    pub(crate) fn disk_warnings(&self, now: UtcMicros) -> Result<Vec<GapSeen>, NodeError> {
        Ok(disk_gaps(&self.retention_forecast()?, now))
    }

    /// Sources that were silent for so long that the device has overwritten, or soon will, what it
    /// logged since: by the days that policies name.
    pub(crate) fn overwrite_warnings(&self, now: UtcMicros) -> Vec<GapSeen> {
        let days = {
            let fold = self.retaining().fold();
            move |stream: &str| fold.in_force(stream).policy?.device_days
        };
        let listed = self.sources();
        let sources = listed["sources"].as_array().into_iter().flatten();
        sources.filter_map(|source| overwritten(source, &days, now)).collect()
    }
}

fn disk_gaps(forecast: &Value, now: UtcMicros) -> Vec<GapSeen> {
    let mut seen = Vec::new();
    let days = forecast["full_in_days"].as_u64().and_then(|days| u32::try_from(days).ok());
    let Some(days) = days else { return seen };
    let on = forecast["full_on"].as_str().unwrap_or_default();
    if forecast["warn"] == true {
        let (sentence_en, sentence_ja) = warn_words(days, on);
        seen.push(GapSeen { subject: "disk".to_owned(), begin: now, sentence_ja, sentence_en });
    }
    for stream in forecast["streams"].as_array().into_iter().flatten() {
        if stream["full_before_minimum"] != true {
            continue;
        }
        let name = stream["yagura.stream"].as_str().unwrap_or_default();
        let minimum = &stream["minimum_days"];
        seen.push(GapSeen {
            subject: format!("disk {name}"),
            begin: now,
            sentence_ja: format!(
                "{name} は{minimum}日間の保存が必要ですが、このまま増えると、その前の{on}にディスクが満杯に\
                 なります。容量を増やすか、古いデータをコールド層に移してください。"
            ),
            sentence_en: format!(
                "{name} must be kept for {minimum} days, and the disk will be full before, on {on}. Add \
                 room, or move old data to cold storage."
            ),
        });
    }
    seen
}

fn overwritten(
    source: &Value,
    days: &dyn Fn(&str) -> Option<u32>,
    now: UtcMicros,
) -> Option<GapSeen> {
    let text = |key: &str| source[key].as_str().unwrap_or_default();
    let stream = text("yagura.stream");
    let days = i64::from(days(stream)?);
    let last: UtcMicros = text("last").parse().ok()?;
    let silent = now.as_micros() - last.as_micros();
    let kept = days * DAY_MICROS;
    if silent * 2 < kept {
        return None;
    }
    let host = match text("host.name") {
        "" => stream.to_owned(),
        host => format!("{host} ({stream})"),
    };
    let gone = last.plus_micros(kept);
    let (sentence_en, sentence_ja) = match gone <= now {
        true => (
            format!(
                "{host} sent nothing since {last} and keeps its own log for {days} days: what it logged \
                 then has been overwritten since {gone}. Say so in the investigation."
            ),
            format!(
                "{host} からは {last} 以降届いていません。機器は自身のログを{days}日しか残さないため、当時の\
                 ログは {gone} から上書きされ始めています。調査では、この欠落を明記してください。"
            ),
        ),
        false => (
            format!(
                "{host} sent nothing since {last} and keeps its own log for {days} days: from {gone} on \
                 it overwrites what did not come. Collect it before."
            ),
            format!(
                "{host} からは {last} 以降届いていません。機器は自身のログを{days}日しか残さないため、{gone} \
                 からは届いていない分が上書きされます。その前に回収してください。"
            ),
        ),
    };
    let when = if gone <= now { "gone" } else { "soon" };
    let peer = source["yagura.peer"].as_str().unwrap_or_default();
    let subject = format!("{stream} {} {peer} {when}", text("host.name"));
    Some(GapSeen { subject, begin: last, sentence_ja, sentence_en })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> UtcMicros {
        "2026-11-21T09:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_disk_that_fills_is_said_before_it_does() {
        let forecast = |warn: bool, early: bool| {
            json!({
                "full_in_days": 12, "full_on": "2026-12-03", "warn": warn,
                "streams": [
                    {"yagura.stream": "pos/till", "minimum_days": 365, "full_before_minimum": early},
                    {"yagura.stream": "syslog", "minimum_days": null, "full_before_minimum": false},
                ],
            })
        };
        let subjects = |forecast: Value| -> Vec<String> {
            disk_gaps(&forecast, now()).into_iter().map(|gap| gap.subject).collect()
        };
        assert!(subjects(json!({"full_in_days": null, "warn": false, "streams": []})).is_empty());
        assert!(subjects(forecast(false, false)).is_empty());
        assert_eq!(subjects(forecast(true, false)), ["disk"]);
        assert_eq!(subjects(forecast(false, true)), ["disk pos/till"]);
        let gaps = disk_gaps(&forecast(true, true), now());
        assert!(gaps[0].sentence_en.contains("full in 12 days, on 2026-12-03"));
        assert!(gaps[1].sentence_ja.starts_with("pos/till は365日間の保存が必要ですが"));
    }

    #[test]
    fn a_silent_device_overwrites_its_log() {
        let days = |stream: &str| (stream == "fw").then_some(4);
        let source = |stream: &str, last: &str| json!({"yagura.stream": stream, "host.name": "fw01", "yagura.peer": "192.0.2.1", "last": last});
        let seen = |stream: &str, last: &str| overwritten(&source(stream, last), &days, now());
        assert_eq!(seen("fw", "2026-11-19T09:00:01Z"), None, "not half of it");
        assert_eq!(seen("other", "2020-01-01T00:00:00Z"), None, "nobody says for how long");
        let soon = seen("fw", "2026-11-19T09:00:00Z").unwrap();
        assert!(soon.sentence_en.contains("from 2026-11-23T09:00:00.000000Z on it overwrites"));
        assert!(soon.sentence_ja.contains("その前に回収してください"), "{}", soon.sentence_ja);
        let gone = seen("fw", "2026-11-17T09:00:00Z").unwrap();
        assert!(gone.sentence_en.contains("has been overwritten since"), "{}", gone.sentence_en);
        assert_ne!(soon.subject, gone.subject, "what was said before has ended");
    }
}
