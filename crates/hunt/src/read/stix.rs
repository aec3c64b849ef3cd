//! STIX 2.1 bundles and TAXII 2.1 envelopes (OASIS): the `indicator` objects with STIX patterns.

use super::{ListFormat, ReadError, Reading, instant, pattern};
use crate::limits::ID_BYTES_MAX;
use crate::{Said, Tlp};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    objects: Option<Vec<StixObject>>,
}

/// What is read of an object; everything else is passed over.
#[derive(Deserialize)]
pub(crate) struct StixObject {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    pattern_type: Option<String>,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_until: Option<String>,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    confidence: Option<u8>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    object_marking_refs: Vec<String>,
    #[serde(default)]
    definition: Option<Definition>,
    #[serde(default)]
    extensions: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    tlp: Option<String>,
}

/// The marking definitions of the specification (TLP 1.0 in STIX 2.1, TLP 2.0 by FIRST).
const MARKINGS: [(&str, Tlp); 9] = [
    ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
];

pub(super) fn read(text: &str, reading: &mut Reading) -> Result<(), ReadError> {
    reading.format = ListFormat::Stix;
    let bundle: Bundle = serde_json::from_str(text).map_err(|error| {
        ReadError::new(
            format!("not a STIX bundle: {error}"),
            format!("STIX バンドルとして読めません: {error}"),
        )
    })?;
    let Some(objects) = bundle.objects else {
        // A single indicator, as some tools export it.
        if bundle.kind == "indicator"
            && let Ok(object) = serde_json::from_str(text)
        {
            take_object(&object, &HashMap::new(), reading);
            return Ok(());
        }
        return Err(ReadError::new(
            "the JSON has neither STIX objects nor a MISP event",
            "JSON に STIX の objects も MISP の Event もありません",
        ));
    };
    let markings = markings_of(&objects);
    for object in &objects {
        if take_object(object, &markings, reading) == Taken::NotAnIndicator {
            reading.ignored += 1;
        }
    }
    Ok(())
}

/// TLP of the marking definitions among `objects`.
fn markings_of(objects: &[StixObject]) -> HashMap<&str, Tlp> {
    let definitions = objects.iter().filter(|object| object.kind == "marking-definition");
    definitions
        .filter_map(|object| {
            let word = object.definition.as_ref().and_then(|definition| definition.tlp.clone());
            let word = word.or_else(|| {
                let extension = object.extensions.as_ref()?.as_object()?.values().next()?;
                Some(extension.get("tlp_2_0")?.as_str()?.to_owned())
            });
            Some((object.id.as_str(), word?.parse().ok()?))
        })
        .collect()
}

/// What an object was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Indicator,
    NotAnIndicator,
}

/// Takes one object in.
pub(crate) fn take_object(
    object: &StixObject,
    markings: &HashMap<&str, Tlp>,
    reading: &mut Reading,
) -> Taken {
    if object.kind != "indicator" {
        return Taken::NotAnIndicator;
    }
    let place = if object.id.is_empty() { "indicator" } else { object.id.as_str() };
    if object.id.len() > ID_BYTES_MAX {
        let said = Said::new("its id is too long", "id が長すぎます");
        reading.refuse(place, "", said);
        return Taken::Indicator;
    }
    if object.revoked {
        reading.revoked.push(object.id.as_str().into());
        return Taken::Indicator;
    }
    let text = object.pattern.as_deref().unwrap_or_default();
    // STIX 2.0 has no other patterns and does not name the type.
    if let Some(kind) = object.pattern_type.as_deref().filter(|kind| *kind != "stix") {
        let said = Said::new(
            format!("its pattern is of type {kind:?}; only \"stix\" can be looked for"),
            format!("パターンの種類が {kind:?} です。照合できるのは stix だけです"),
        );
        reading.refuse(place, text, said);
        return Taken::Indicator;
    }
    let tlp = object.object_marking_refs.iter().filter_map(|marking| {
        let known = MARKINGS.iter().find(|(id, _)| id == marking).map(|(_, tlp)| *tlp);
        known.or_else(|| markings.get(marking.as_str()).copied())
    });
    let tlp = tlp.max();
    match pattern::parse(text, reading.source()) {
        Ok(found) => {
            for mut indicator in found {
                indicator.id = (!object.id.is_empty()).then(|| object.id.as_str().into());
                indicator.valid_from = object.valid_from.as_deref().and_then(instant);
                indicator.valid_until = object.valid_until.as_deref().and_then(instant);
                indicator.confidence = object.confidence;
                indicator.tlp = tlp;
                let name = object.name.as_deref().unwrap_or_default();
                reading.take(place, indicator.with_note(name));
            }
        }
        Err(said) => reading.refuse(place, text, said),
    }
    Taken::Indicator
}

#[cfg(test)]
mod tests {
    use crate::read::{ListFormat, ReadOptions, read};
    use crate::{Kind, Tlp};

    #[test]
    fn indicators_of_a_bundle_are_taken_and_others_named() {
        let bundle = r#"{"type":"bundle","id":"bundle--1","objects":[
          {"type":"identity","id":"identity--1","name":"x"},
          {"type":"indicator","spec_version":"2.1","id":"indicator--1","pattern_type":"stix",
           "pattern":"[domain-name:value = 'evil.example' OR ipv4-addr:value = '203.0.113.9']",
           "valid_from":"2026-01-01T00:00:00Z","valid_until":"2027-01-01T00:00:00Z","confidence":70,
           "name":"C2","object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]},
          {"type":"indicator","id":"indicator--2","pattern_type":"yara","pattern":"rule x {}"},
          {"type":"indicator","id":"indicator--3","pattern_type":"stix","pattern":"[file:name = 'a' AND file:size = 1]"},
          {"type":"indicator","id":"indicator--4","pattern":"[url:value = 'http://evil.example/x']","revoked":true}]}"#;
        let reading = read(bundle.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(reading.format, ListFormat::Stix);
        assert_eq!(reading.indicators.len(), 2);
        let first = &reading.indicators[0];
        assert_eq!(
            (first.kind, first.tlp, first.confidence),
            (Kind::Domain, Some(Tlp::Amber), Some(70))
        );
        assert_eq!(first.id.as_deref(), Some("indicator--1"));
        let places: Vec<_> = reading.refused.iter().map(|r| r.place.as_str()).collect();
        assert_eq!(places, ["indicator--2", "indicator--3"]);
        assert!(reading.refused[1].reason.en.contains("AND"), "{:?}", reading.refused[1]);
        assert_eq!(reading.revoked, ["indicator--4".into()]);
        assert_eq!(reading.ignored, 1);
    }

    #[test]
    fn wrong_json_names_its_place() {
        for text in ["{\"type\":\"bundle\",", "{}", "{\"objects\":3}"] {
            assert!(read(text.as_bytes(), &ReadOptions::default()).is_err(), "{text}");
        }
        let deep = format!("{{\"objects\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes(), &ReadOptions::default()).is_err());
    }
}
