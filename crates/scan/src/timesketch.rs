//! Findings as Timesketch imports them: with `message`, `datetime`, `timestamp_desc`, `timestamp`
//! (microseconds) and `tag`, beside the finding's own fields.

use crate::row::Finding;
use serde_json::Value;
use yagura_event::{Lang, columns};

/// Columns of a CSV file for Timesketch; its own come first.
pub const TIMESKETCH_COLUMNS: [&str; 19] = [
    "message",
    "datetime",
    "timestamp",
    "timestamp_desc",
    "tag",
    "rule.name",
    "rule.level",
    "rule.uuid",
    "rule.author",
    "threat.technique.id",
    "host.name",
    "user.name",
    "source.ip",
    "event.code",
    "event.dataset",
    "event.id",
    "log.file.path",
    "rule.type",
    "rule.evidence",
];

/// The row of a finding, in the order Timesketch's own fields first.
pub fn timesketch(finding: &Finding, lang: Lang) -> Finding {
    let mut row = Finding::default();
    let title = finding.title(lang);
    let open = match lang {
        Lang::Ja => format!("{}（{title}）", finding.text("message")),
        Lang::En => format!("{} ({title})", finding.text("message")),
    };
    row.put("message", open);
    // An offset, and no more than six decimals, is what its parser takes.
    row.put("datetime", finding.text(columns::TIMESTAMP).replace('Z', "+00:00"));
    row.put("timestamp", finding.timestamp().as_micros());
    row.put(
        "timestamp_desc",
        match lang {
            Lang::Ja => "イベント発生日時",
            Lang::En => "Event Time",
        },
    );
    row.put("tag", tags(finding));
    for (name, value) in finding.fields() {
        match name {
            columns::TIMESTAMP => {}
            // A list of objects would become a field of its own for each key.
            "rule.evidence" => row.put("rule.evidence", evidence(value)),
            // A name that is both a value and a prefix of others cannot be indexed.
            "message" | "datetime" | "timestamp" | "timestamp_desc" | "tag" => {}
            _ if value.is_null() => {}
            name => row.put(name.to_owned(), value.clone()),
        }
    }
    row
}

/// What to find the finding by: its level, what it is of, and its ATT&CK techniques.
fn tags(finding: &Finding) -> Vec<String> {
    let mut tags = vec!["sigma".to_owned(), finding.text("rule.level").to_owned()];
    tags.extend(finding.texts("threat.technique.id").map(str::to_owned));
    tags.extend(finding.texts("threat.tactic.name").map(str::to_owned));
    tags
}

fn evidence(pieces: &Value) -> Vec<String> {
    let text = |piece: &Value, key: &str| {
        piece.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let pieces = pieces.as_array().into_iter().flatten();
    pieces
        .map(|piece| {
            let [field, value, predicate] = ["field", "value", "predicate"].map(|k| text(piece, k));
            format!("{field} = {value} ({predicate})")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_has_what_timesketch_demands() {
        let finding: Finding = serde_json::from_value(json!({
            "@timestamp": "2026-11-21T19:30:00.321000Z",
            "message": "root failed to log on",
            "rule.name": "Password guessed",
            "rule.level": "high",
            "threat.technique.id": ["T1110.001"],
            "rule.evidence": [{"field": "message", "value": "Failed", "predicate": "contains Failed"}],
            "tag": "of the source",
            "host.name": null,
        }))
        .unwrap();
        insta::assert_snapshot!(
            serde_json::to_string(&timesketch(&finding, Lang::En)).unwrap(),
            @r#"{"message":"root failed to log on (Password guessed)","datetime":"2026-11-21T19:30:00.321000+00:00","timestamp":1795289400321000,"timestamp_desc":"Event Time","tag":["sigma","high","T1110.001"],"rule.name":"Password guessed","rule.level":"high","threat.technique.id":["T1110.001"],"rule.evidence":["message = Failed (contains Failed)"]}"#
        );
    }
}
