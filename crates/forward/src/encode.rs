//! Events as receivers want them. Log contents are hostile: what stands in a header of a syslog message is
//! cut to the characters it may have, and everything else is inside JSON strings or counted octets.

use crate::settings::{Send, Settings};
use crate::{Kind, Row};
use serde_json::{Value, json};
use std::sync::Arc;
use yagura_event::{FieldDictionary, Lang};
use yagura_export::{Ocsf, flat_event};

/// Makes bytes of events.
pub struct Encoder {
    send: Send,
    lang: Lang,
    index: Option<String>,
    ocsf: Ocsf,
}

/// Facility of what we say ourselves (RFC 5424: log audit) and of what has none.
const FACILITY: u64 = 13;

impl Encoder {
    /// An encoder as the settings ask for.
    pub fn new(settings: &Settings, dictionary: Arc<FieldDictionary>, lang: Lang) -> Encoder {
        let Settings { send, index, .. } = settings;
        Encoder { send: *send, lang, index: index.clone(), ocsf: Ocsf::new(dictionary) }
    }

    /// One event for a receiver of `kind`, as part of a request.
    pub(crate) fn event(&self, kind: Kind, row: &Row) -> Vec<u8> {
        match kind {
            Kind::Syslog => self.syslog(row),
            Kind::SplunkHec => self.hec(row).to_string().into_bytes(),
            Kind::Elasticsearch => {
                let index = self.index.as_deref().unwrap_or("yagura");
                let id = text(row, "event.id");
                let act = json!({ "create": { "_index": index, "_id": id } });
                format!("{act}\n{}\n", self.document(row)).into_bytes()
            }
            Kind::Otlp => self.otlp(row).to_string().into_bytes(),
            Kind::Kafka if self.send == Send::Raw => original(row),
            Kind::Kafka => self.body(row).to_string().into_bytes(),
        }
    }

    /// The event itself, as JSON.
    fn document(&self, row: &Row) -> Value {
        match self.send {
            Send::Json => Value::Object(self.flat(row)),
            Send::Ocsf => match self.ocsf.event(row) {
                Some(mut event) => {
                    // Elasticsearch asks a data stream for it; OCSF has no such name.
                    event.insert("@timestamp".to_owned(), json!(text(row, "@timestamp")));
                    Value::Object(event)
                }
                None => Value::Object(self.flat(row)),
            },
            Send::Raw => json!({
                "@timestamp": text(row, "@timestamp"),
                "event.id": text(row, "event.id"),
                "event.dataset": text(row, "event.dataset"),
                "host.name": row.get("host.name"),
                "event.original": text(row, "event.original"),
            }),
        }
    }

    /// The event as text or JSON, where the receiver has its own envelope.
    fn body(&self, row: &Row) -> Value {
        match self.send {
            Send::Raw => json!(text(row, "event.original")),
            Send::Json => Value::Object(self.flat(row)),
            Send::Ocsf => self.ocsf.event(row).map_or(Value::Null, Value::Object),
        }
    }

    fn flat(&self, row: &Row) -> Row {
        flat_event(row.clone(), self.lang)
    }

    /// Splunk, HTTP event collector: event metadata beside the event.
    fn hec(&self, row: &Row) -> Value {
        let micros = micros(text(row, "@timestamp")).unwrap_or(0);
        let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let mut event = json!({
            // Seconds with a fraction, as text: a float would lose microseconds.
            "time": format!("{seconds}.{rest:06}"),
            "source": format!("yagura:{}", text(row, "event.id")),
            "sourcetype": format!("yagura:{}", text(row, "event.dataset")),
            "event": self.body(row),
        });
        if let Some(host) = row.get("host.name") {
            event["host"] = host.clone();
        }
        if let Some(index) = &self.index {
            event["index"] = json!(index);
        }
        event
    }

    /// One `LogRecord` of OTLP's JSON encoding (64-bit integers are text there).
    fn otlp(&self, row: &Row) -> Value {
        let nanos =
            |name: &str| micros(text(row, name)).unwrap_or(0).saturating_mul(1_000).to_string();
        let level = row.get("fields").and_then(|fields| fields["log.level"].as_str());
        let body = match self.send {
            Send::Raw => text(row, "event.original").to_owned(),
            Send::Json => row
                .get("sentence")
                .and_then(|both| both[self.lang.as_str()].as_str())
                .unwrap_or_default()
                .to_owned(),
            Send::Ocsf => self.body(row).to_string(),
        };
        let mut attributes = Vec::new();
        let mut put = |name: &str, value: &str| {
            attributes.push(json!({ "key": name, "value": { "stringValue": value } }));
        };
        for name in ["event.id", "event.dataset", "host.name"] {
            if !text(row, name).is_empty() {
                put(name, text(row, name));
            }
        }
        if self.send == Send::Json {
            let fields = row.get("fields").and_then(Value::as_object).into_iter().flatten();
            for (name, value) in fields.filter(|(name, _)| name.as_str() != "host.name") {
                put(name, value.as_str().unwrap_or_default());
            }
            put("event.original", text(row, "event.original"));
        }
        json!({
            "timeUnixNano": nanos("@timestamp"),
            "observedTimeUnixNano": nanos("event.ingested"),
            "severityNumber": severity_number(level),
            "severityText": level.unwrap_or_default(),
            "body": { "stringValue": body },
            "attributes": attributes,
        })
    }

    /// One syslog message. Raw bytes that are one already go as they are.
    fn syslog(&self, row: &Row) -> Vec<u8> {
        let original = original(row);
        let body = match self.send {
            Send::Raw if has_priority(&original) => return original,
            Send::Raw => original,
            Send::Json | Send::Ocsf => self.body(row).to_string().into_bytes(),
        };
        let field = |name: &str| {
            let fields = row.get("fields").and_then(|fields| fields.get(name));
            fields.and_then(Value::as_str).unwrap_or_default()
        };
        let priority = FACILITY * 8 + syslog_severity(field("log.level"));
        let mut message = format!(
            "<{priority}>1 {} {} {} {} {} [origin software=\"yagura\" swVersion=\"{}\"] ",
            header(text(row, "@timestamp"), 32),
            header(text(row, "host.name"), 255),
            header(text(row, "event.dataset"), 48),
            header(field("process.pid"), 128),
            header(field("event.code"), 32),
            env!("CARGO_PKG_VERSION"),
        )
        .into_bytes();
        message.extend_from_slice(&body);
        message
    }
}

fn text<'a>(row: &'a Row, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The received bytes, exactly.
fn original(row: &Row) -> Vec<u8> {
    let exact = row.get("event.original.base64").and_then(Value::as_str);
    let exact = exact.and_then(yagura_export::from_base64);
    exact.unwrap_or_else(|| text(row, "event.original").as_bytes().to_vec())
}

/// A field of a syslog header: visible ASCII characters up to its length, `-` for none.
fn header(text: &str, chars_max: usize) -> String {
    let visible = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let cut: String = text.chars().take(chars_max).map(visible).collect();
    if cut.is_empty() { "-".to_owned() } else { cut }
}

/// Whether bytes begin with a priority as syslog has it: `<0>` to `<191>`.
fn has_priority(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"<") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    rest.get(digits) == Some(&b'>')
        && (1..=3).contains(&digits)
        && number.and_then(|number| number.parse::<u16>().ok()).is_some_and(|number| number <= 191)
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// Severity of RFC 5424 by the word of a source.
fn syslog_severity(level: &str) -> u64 {
    match level.to_ascii_lowercase().as_str() {
        "emerg" | "emergency" | "panic" => 0,
        "alert" | "fatal" => 1,
        "crit" | "critical" => 2,
        "err" | "error" | "high" => 3,
        "warn" | "warning" | "medium" => 4,
        "notice" | "low" => 5,
        "debug" | "trace" | "verbose" => 7,
        _ => 6,
    }
}

/// Severity of OpenTelemetry's log data model by the word of a source; 0 is unspecified.
fn severity_number(level: Option<&str>) -> u8 {
    let Some(level) = level else { return 0 };
    match syslog_severity(level) {
        0 => 24,
        1 => 22,
        2 => 21,
        3 => 17,
        4 => 13,
        5 => 10,
        7 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoder(send: Send) -> Encoder {
        let settings = Settings { send, ..Settings::new("a", Kind::Syslog, "") };
        Encoder::new(&settings, Arc::new(FieldDictionary::default()), Lang::En)
    }

    fn row(host: &str, original: &str) -> Row {
        let row = json!({
            "event.id": "syslog/1/2", "@timestamp": "2026-11-21T01:02:03.456789Z",
            "event.ingested": "2026-11-21T01:02:04Z", "event.dataset": "linux.auth", "host.name": host,
            "sentence": { "ja": "失敗", "en": "It failed" },
            "fields": { "host.name": host, "log.level": "error", "process.pid": "811" },
            "event.original": original,
        });
        row.as_object().unwrap().clone()
    }

    fn said(send: Send, kind: Kind) -> String {
        String::from_utf8(encoder(send).event(kind, &row("web01", "a \"line\""))).unwrap()
    }

    #[test]
    fn each_receiver_gets_its_own_form() {
        let syslog = said(Send::Raw, Kind::Syslog);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            syslog,
            format!(
                "<107>1 2026-11-21T01:02:03.456789Z web01 linux.auth 811 - \
                 [origin software=\"yagura\" swVersion=\"{version}\"] a \"line\""
            )
        );
        let hec: Value = serde_json::from_str(&said(Send::Raw, Kind::SplunkHec)).unwrap();
        assert_eq!(
            hec,
            json!({ "time": "1795222923.456789", "host": "web01", "source": "yagura:syslog/1/2",
                "sourcetype": "yagura:linux.auth", "event": "a \"line\"" })
        );
        let bulk = said(Send::Json, Kind::Elasticsearch);
        let (act, document) = bulk.split_once('\n').unwrap();
        assert_eq!(act, r#"{"create":{"_index":"yagura","_id":"syslog/1/2"}}"#);
        let document: Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["yagura.sentence"], "It failed");
        assert_eq!(document["event.original"], "a \"line\"");
        let otlp: Value = serde_json::from_str(&said(Send::Raw, Kind::Otlp)).unwrap();
        assert_eq!(otlp["timeUnixNano"], "1795222923456789000");
        assert_eq!(otlp["severityNumber"], 17);
        assert_eq!(otlp["body"]["stringValue"], "a \"line\"");
        assert_eq!(said(Send::Raw, Kind::Kafka), "a \"line\"");
        let kafka: Value = serde_json::from_str(&said(Send::Json, Kind::Kafka)).unwrap();
        assert_eq!(
            (&kafka["event.id"], &kafka["host.name"]),
            (&json!("syslog/1/2"), &json!("web01"))
        );
        let kafka: Value = serde_json::from_str(&said(Send::Ocsf, Kind::Kafka)).unwrap();
        assert_eq!(kafka["class_uid"], 0);
    }

    #[test]
    fn a_message_that_is_syslog_goes_as_it_came() {
        for line in ["<13>Nov 21 10:00:00 web01 demo: x\ny", "<191>1 - - - - - -"] {
            assert_eq!(
                encoder(Send::Raw).event(Kind::Syslog, &row("web01", line)),
                line.as_bytes()
            );
        }
        for line in ["<192>x", "<>x", "<1234>x", "<1", "x"] {
            let sent = encoder(Send::Raw).event(Kind::Syslog, &row("web01", line));
            assert!(sent.starts_with(b"<107>1 ") && sent.ends_with(line.as_bytes()));
        }
        let mut bytes = row("web01", "<13>\u{fffd}");
        bytes.insert("event.original.base64".to_owned(), json!("PDEzPv8="));
        assert_eq!(encoder(Send::Raw).event(Kind::Syslog, &bytes), b"<13>\xff");
    }

    proptest! {
        /// A host name cannot write a header, and no event is more than one line of a bulk request.
        #[test]
        fn contents_stay_where_they_belong(host in ".{0,300}", original in ".{0,300}") {
            let row = row(&host, &original);
            let sent = encoder(Send::Json).event(Kind::Syslog, &row);
            let sent = String::from_utf8(sent).unwrap();
            let header: Vec<&str> = sent.splitn(7, ' ').collect();
            prop_assert!(header[2].len() <= 255 && header[2].bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(header[3], "linux.auth");
            prop_assert!(header[6].starts_with("[origin software=\"yagura\""));
            for send in [Send::Json, Send::Raw, Send::Ocsf] {
                let bulk = encoder(send).event(Kind::Elasticsearch, &row);
                prop_assert_eq!(bulk.iter().filter(|byte| **byte == b'\n').count(), 2);
            }
        }
    }
}
