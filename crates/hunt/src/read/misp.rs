//! MISP events as JSON (MISP core format): one event, a list of them, or an answer of its API.

use super::{ListFormat, ReadError, Reading, instant};
use crate::{Kind, Said, Tlp};
use serde::Deserialize;

/// One event, or what the API answers.
#[derive(Deserialize)]
struct Top {
    #[serde(rename = "Event")]
    event: Option<Event>,
    response: Option<Answer>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Events(Vec<Wrapped>),
    Attributes {
        #[serde(rename = "Attribute")]
        attributes: Vec<Attribute>,
    },
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "Event")]
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    info: String,
    #[serde(rename = "Attribute", default)]
    attributes: Vec<Attribute>,
    #[serde(rename = "Object", default)]
    objects: Vec<Object>,
    #[serde(rename = "Tag", default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "Attribute", default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    to_ids: Flag,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    first_seen: Option<String>,
    #[serde(default)]
    deleted: Flag,
    #[serde(rename = "Tag", default)]
    tags: Vec<Tag>,
}

/// MISP writes truth as `true`, `1` or `"1"`.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Flag {
    #[default]
    Absent,
    Bool(bool),
    Number(u8),
    Text(String),
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Flag::Absent => false,
            Flag::Bool(set) => *set,
            Flag::Number(number) => *number != 0,
            Flag::Text(text) => text == "1" || text.eq_ignore_ascii_case("true"),
        }
    }
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    name: String,
}

fn tlp(tags: &[Tag]) -> Option<Tlp> {
    tags.iter().filter(|tag| tag.name.starts_with("tlp:")).find_map(|tag| tag.name.parse().ok())
}

pub(super) fn read(text: &str, reading: &mut Reading) -> Result<(), ReadError> {
    reading.format = ListFormat::Misp;
    let wrong = |error: serde_json::Error| {
        ReadError::new(
            format!("not a MISP event: {error}"),
            format!("MISP イベントとして読めません: {error}"),
        )
    };
    let events = if text.trim_start().starts_with('[') {
        // A derived reader would take an array for a structure's fields in order.
        let list: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(text).map_err(wrong)?;
        let events = list.into_iter().map(|event| serde_json::from_value(event.into()));
        events.collect::<Result<Vec<Wrapped>, _>>().map_err(wrong)?
    } else {
        let top: Top = serde_json::from_str(text).map_err(wrong)?;
        match (top.event, top.response) {
            (_, Some(Answer::Attributes { attributes })) => {
                attributes.iter().for_each(|attribute| take(attribute, "", None, reading));
                return Ok(());
            }
            (_, Some(Answer::Events(events))) => events,
            (Some(event), None) => vec![Wrapped { event }],
            (None, None) => {
                return Err(ReadError::new(
                    "the JSON has neither STIX objects nor a MISP event",
                    "JSON に STIX の objects も MISP の Event もありません",
                ));
            }
        }
    };
    for Wrapped { event } in events {
        let of_event = tlp(&event.tags);
        let objects = event.objects.iter().flat_map(|object| &object.attributes);
        for attribute in event.attributes.iter().chain(objects) {
            take(attribute, &event.info, of_event, reading);
        }
    }
    Ok(())
}

fn take(attribute: &Attribute, event: &str, of_event: Option<Tlp>, reading: &mut Reading) {
    if attribute.deleted.is_set() {
        reading.revoked.extend(attribute.uuid.as_deref().map(Into::into));
        return;
    }
    if !attribute.to_ids.is_set() {
        reading.ignored += 1;
        return;
    }
    let place = attribute.uuid.as_deref().unwrap_or("attribute");
    let (first, second) = attribute.value.split_once('|').unwrap_or((&attribute.value, ""));
    let parts: Vec<(&str, &str)> = match attribute.kind.as_str() {
        "ip-src|port" | "ip-dst|port" | "hostname|port" => {
            let kind = if attribute.kind.starts_with("ip") { "ip" } else { "domain" };
            vec![(kind, first)]
        }
        "domain|ip" => vec![("domain", first), ("ip", second)],
        // A hash says more than a name that anyone may give a file.
        kind if kind.starts_with("filename|") => vec![(&kind["filename|".len()..], second)],
        "regkey|value" => vec![("registry-key", first)],
        "target-email" | "email-reply-to" => vec![("email", &attribute.value)],
        kind => vec![(kind, &attribute.value)],
    };
    for (kind, value) in parts {
        let Ok(known) = kind.parse::<Kind>() else {
            let said = Said::new(
                format!("attributes of type {:?} cannot be looked for", attribute.kind),
                format!("{:?} 型の属性は照合できません", attribute.kind),
            );
            reading.refuse(place, &attribute.value, said);
            continue;
        };
        match reading.indicator(Some(known), value) {
            Ok(mut indicator) => {
                indicator.id = attribute
                    .uuid
                    .as_deref()
                    .filter(|id| id.len() <= crate::limits::ID_BYTES_MAX)
                    .map(Into::into);
                indicator.tlp = tlp(&attribute.tags).or(of_event);
                indicator.valid_from = attribute.first_seen.as_deref().and_then(instant);
                let comment = attribute.comment.as_deref().filter(|c| !c.trim().is_empty());
                let indicator = indicator.with_note(comment.unwrap_or(event));
                reading.take(place, indicator);
            }
            Err(error) => reading.refuse(place, value, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::read::{ListFormat, ReadOptions, read};

    #[test]
    fn attributes_for_detection_are_taken() {
        let event = r#"{"Event":{"info":"Loader","Tag":[{"name":"tlp:amber"}],"Attribute":[
            {"type":"ip-dst|port","value":"203.0.113.9|443","to_ids":true,"uuid":"u1"},
            {"type":"filename|sha1","value":"a.exe|DA39A3EE5E6B4B0D3255BFEF95601890AFD80700","to_ids":"1"},
            {"type":"domain|ip","value":"evil.example|203.0.113.8","to_ids":1,"Tag":[{"name":"tlp:red"}]},
            {"type":"text","value":"x","to_ids":false},
            {"type":"yara","value":"rule x {}","to_ids":true},
            {"type":"domain","value":"old.example","to_ids":true,"deleted":true,"uuid":"u2"}],
            "Object":[{"Attribute":[{"type":"regkey|value","value":"HKLM\\Software\\X|1","to_ids":true}]}]}}"#;
        let reading = read(event.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(reading.format, ListFormat::Misp);
        let found: Vec<_> = reading
            .indicators
            .iter()
            .map(|i| format!("{} {} {}", i.kind, i.value, i.tlp.unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                "ip 203.0.113.9 amber",
                "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80700 amber",
                "domain evil.example red",
                "ip 203.0.113.8 red",
                "registry-key hklm\\software\\x amber"
            ]
        );
        assert_eq!((reading.ignored, reading.refused_total), (1, 1));
        assert_eq!(reading.revoked, ["u2".into()]);
        assert_eq!(reading.indicators[0].note.as_deref(), Some("Loader"));
        let list = format!("[{event}]");
        assert_eq!(read(list.as_bytes(), &ReadOptions::default()).unwrap().indicators.len(), 5);
        let answer = format!("{{\"response\":[{event}]}}");
        assert_eq!(read(answer.as_bytes(), &ReadOptions::default()).unwrap().indicators.len(), 5);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in ["{\"Event\":3}", "[{\"x\":1}]", "{\"Event\":"] {
            assert!(read(text.as_bytes(), &ReadOptions::default()).is_err(), "{text}");
        }
    }
}
