//! STIX 2.1 bundles and TAXII 2.1 envelopes (OASIS): the `indicator` objects with STIX patterns.

use super::{ListFormat, ReadError, Reading, instant, pattern};
use crate::limits::{ID_BYTES_MAX, MARKINGS_MAX, MARKINGS_PER_INDICATOR_MAX};
use crate::{Said, Tlp};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;

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
            Objects::default().take(&[object], reading);
            return Ok(());
        }
        return Err(ReadError::new(
            "the JSON has neither STIX objects nor a MISP event",
            "JSON に STIX の objects も MISP の Event もありません",
        ));
    };
    Objects::default().take(&objects, reading).finish(reading);
    Ok(())
}

/// What objects of STIX say of one another, while they come page by page: an indicator may stand before
/// the definition of its marking.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    markings: HashMap<String, Tlp>,
    /// Markings not defined yet, with the indicators (by position) that bear them.
    undefined: HashMap<String, Vec<Range<usize>>>,
}

impl Objects {
    /// Takes in what objects say of markings, and nothing else of them.
    pub(crate) fn take_markings(&mut self, objects: &[StixObject]) {
        let definitions = objects.iter().filter(|object| object.kind == "marking-definition");
        for object in definitions {
            let room = self.markings.len() < MARKINGS_MAX;
            if let Some(tlp) = defined(object).filter(|_| room && object.id.len() <= ID_BYTES_MAX) {
                self.markings.insert(object.id.clone(), tlp);
            }
        }
    }

    /// Takes objects in. What is no indicator is counted as passed over.
    pub(crate) fn take(&mut self, objects: &[StixObject], reading: &mut Reading) -> &mut Objects {
        self.take_markings(objects);
        for object in objects {
            if object.kind != "indicator" {
                reading.ignored += 1;
                continue;
            }
            let first = reading.indicators.len();
            take_object(object, &self.markings, reading);
            let taken = first..reading.indicators.len();
            if taken.is_empty() {
                continue;
            }
            let unknown = object.object_marking_refs.iter().filter(|id| {
                known(id).is_none() && !self.markings.contains_key(*id) && id.len() <= ID_BYTES_MAX
            });
            let unknown: Vec<&String> = unknown.take(MARKINGS_PER_INDICATOR_MAX).collect();
            for id in unknown {
                let room = self.undefined.len() < MARKINGS_MAX;
                match self.undefined.get_mut(id) {
                    Some(waiting) => waiting.push(taken.clone()),
                    None if room => drop(self.undefined.insert(id.clone(), vec![taken.clone()])),
                    None => {}
                }
            }
        }
        self
    }

    /// Markings that indicators bear and no object defines so far.
    pub(crate) fn undefined(&self) -> Vec<String> {
        let undefined = self.undefined.keys().filter(|id| !self.markings.contains_key(*id));
        let mut undefined: Vec<String> = undefined.cloned().collect();
        undefined.sort();
        undefined
    }

    /// Marks the indicators that came before the definition of their marking.
    pub(crate) fn finish(&self, reading: &mut Reading) {
        for (id, waiting) in &self.undefined {
            let Some(tlp) = self.markings.get(id).copied() else { continue };
            for range in waiting {
                for indicator in reading.indicators.get_mut(range.clone()).into_iter().flatten() {
                    indicator.tlp = indicator.tlp.max(Some(tlp));
                }
            }
        }
    }
}

/// TLP of a marking of the specification.
fn known(id: &str) -> Option<Tlp> {
    MARKINGS.iter().find(|(known, _)| *known == id).map(|(_, tlp)| *tlp)
}

/// TLP that a marking definition speaks of.
fn defined(object: &StixObject) -> Option<Tlp> {
    let word = object.definition.as_ref().and_then(|definition| definition.tlp.clone());
    let word = word.or_else(|| {
        let extension = object.extensions.as_ref()?.as_object()?.values().next()?;
        Some(extension.get("tlp_2_0")?.as_str()?.to_owned())
    });
    word?.parse().ok()
}

/// Takes one indicator in.
fn take_object(object: &StixObject, markings: &HashMap<String, Tlp>, reading: &mut Reading) {
    let place = if object.id.is_empty() { "indicator" } else { object.id.as_str() };
    if object.id.len() > ID_BYTES_MAX {
        let said = Said::new("its id is too long", "id が長すぎます");
        reading.refuse(place, "", said);
        return;
    }
    if object.revoked {
        reading.revoked.push(object.id.as_str().into());
        return;
    }
    let text = object.pattern.as_deref().unwrap_or_default();
    // STIX 2.0 has no other patterns and does not name the type.
    if let Some(kind) = object.pattern_type.as_deref().filter(|kind| *kind != "stix") {
        let said = Said::new(
            format!("its pattern is of type {kind:?}; only \"stix\" can be looked for"),
            format!("パターンの種類が {kind:?} です。照合できるのは stix だけです"),
        );
        reading.refuse(place, text, said);
        return;
    }
    let refs = object.object_marking_refs.iter();
    let tlp = refs.filter_map(|id| known(id).or_else(|| markings.get(id).copied())).max();
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
}

#[cfg(test)]
mod tests {
    use super::{Objects, StixObject};
    use crate::limits::MARKINGS_MAX;
    use crate::read::{ListFormat, ReadOptions, Reading, read};
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
    fn markings_that_are_defined_later_hold_and_are_bounded() {
        let marked = |number: usize| {
            format!(
                r#"{{"type":"indicator","id":"indicator--{number}","pattern":"[url:value='http://e.example/{number}']",
                 "object_marking_refs":["marking-definition--{number}"]}}"#
            )
        };
        let defined = |number: usize| {
            format!(
                r#"{{"type":"marking-definition","id":"marking-definition--{number}","definition":{{"tlp":"red"}}}}"#
            )
        };
        let take = |objects: &mut Objects, texts: &[String], reading: &mut Reading| {
            let page: Vec<StixObject> =
                texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            objects.take(&page, reading);
        };
        let mut reading = Reading::new(&ReadOptions::default(), String::new());
        let mut objects = Objects::default();
        take(&mut objects, &[marked(1), marked(2)], &mut reading);
        assert_eq!(objects.undefined(), ["marking-definition--1", "marking-definition--2"]);
        take(&mut objects, &[marked(3), defined(3), defined(2)], &mut reading);
        assert_eq!(objects.undefined(), ["marking-definition--1"]);
        objects.finish(&mut reading);
        let tlp: Vec<_> = reading.indicators.iter().map(|one| one.tlp).collect();
        assert_eq!(tlp, [None, Some(Tlp::Red), Some(Tlp::Red)]);
        assert_eq!(reading.ignored, 2);

        let mut objects = Objects::default();
        let mut reading = Reading::new(&ReadOptions::default(), String::new());
        let many: Vec<String> = (0..=MARKINGS_MAX).map(marked).collect();
        take(&mut objects, &many[..MARKINGS_MAX], &mut reading);
        assert_eq!(objects.undefined.len(), MARKINGS_MAX);
        take(&mut objects, &many[MARKINGS_MAX..], &mut reading);
        assert_eq!(objects.undefined.len(), MARKINGS_MAX, "one more has no TLP of its own");
        let many: Vec<String> = (0..=MARKINGS_MAX).map(defined).collect();
        take(&mut objects, &many, &mut reading);
        assert_eq!(objects.markings.len(), MARKINGS_MAX);
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
