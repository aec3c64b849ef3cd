//! Lists inside of documents, made into fields that have a name: cloud services write a parameter
//! as `{"name":"setting","value":"off"}` and what an act touched as a list of objects, which flatten
//! to `parameters.0.name` and `targets.3.id`, names that neither a rule nor a sentence can ask for.
//!
//! * `pairs`: an element's name becomes part of the field's name, `parameters.setting` = `off`.
//! * `join`: the values at one place of all elements become one field, joined with `, `.

use crate::flat::{Flat, Span};
use crate::mapping::{Map, OneOrMany};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Names and values of a list's elements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairsEntry {
    /// Where the list is; `*` stands for the number of an element of a list around it.
    list: String,
    /// The key of the name in each element.
    name: String,
    /// The key of the value, or the keys of which one is there.
    value: OneOrMany,
    /// What the names of the new fields begin with.
    to: String,
}

/// What a dataset makes of the lists in its documents.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pairs: Vec<Pairs>,
    joins: Vec<(Box<str>, Path)>,
}

#[derive(Debug)]
struct Pairs {
    name: Path,
    values: Vec<Path>,
    to: Box<str>,
}

/// A dotted name in which `*` stands for a number: the text around the stars.
#[derive(Debug)]
struct Path {
    head: Box<str>,
    rest: Vec<Box<str>>,
}

impl Path {
    fn parse(text: &str) -> Option<Path> {
        let mut parts = text.split('*').map(Box::from);
        let head = parts.next()?;
        let rest: Vec<Box<str>> = parts.collect();
        (!rest.is_empty() && !text.contains("**")).then_some(Path { head, rest })
    }

    /// Where in `name` the last number ends, if it is of this form.
    fn element(&self, name: &str) -> Option<usize> {
        let mut rest = name.strip_prefix(&*self.head)?;
        let mut element = name.len();
        for part in &self.rest {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            rest = rest.get(digits..)?;
            element = name.len() - rest.len();
            rest = rest.strip_prefix(&**part)?;
        }
        rest.is_empty().then_some(element)
    }
}

impl Lists {
    /// Compiles what content says. The error says what is wrong with it.
    pub(crate) fn new(
        pairs: &[PairsEntry],
        joins: &BTreeMap<String, OneOrMany>,
    ) -> Result<Self, String> {
        let path = |text: &str| {
            Path::parse(text).ok_or_else(|| {
                format!("{text:?} needs a `*` that stands for the number of an element")
            })
        };
        let mut lists = Lists::default();
        for entry in pairs {
            let below = |key: &str| path(&format!("{}.*.{key}", entry.list));
            let values = entry.value.iter().map(below).collect::<Result<_, _>>()?;
            let to = entry.to.as_str().into();
            lists.pairs.push(Pairs { name: below(&entry.name)?, values, to });
        }
        for (to, from) in joins {
            for from in from.iter() {
                lists.joins.push((to.as_str().into(), path(from)?));
            }
        }
        Ok(lists)
    }

    /// Adds to `flat` what its fields from number `plain` on say in lists.
    pub(crate) fn apply(&self, flat: &mut Flat, plain: usize) {
        if !self.pairs.is_empty() {
            self.name_pairs(flat, plain);
        }
        if !self.joins.is_empty() {
            self.join(flat, plain);
        }
    }

    fn name_pairs(&self, flat: &mut Flat, plain: usize) {
        // By the number of the pairs and the element's place: its name.
        let mut named: Map<(usize, &str), Span> = Map::default();
        let mut values: Vec<(usize, &str, Span)> = Vec::new();
        for entry in (plain..flat.len()).filter_map(|number| flat.entry(number)) {
            let name = flat.names.text(entry.name);
            for (number, pairs) in self.pairs.iter().enumerate() {
                let element = |path: &Path| name.get(..path.element(name)?);
                if let Some(element) = element(&pairs.name) {
                    named.insert((number, element), entry.value);
                } else if let Some(element) = pairs.values.iter().find_map(element) {
                    values.push((number, element, entry.value));
                }
            }
        }
        let mut found = Vec::new();
        for (number, element, value) in values {
            if let Some(name) = named.get(&(number, element))
                && let Some(pairs) = self.pairs.get(number)
            {
                found.push((format!("{}{}", pairs.to, flat.get(*name)), value));
            }
        }
        drop(named);
        for (name, value) in found {
            flat.push_span(&name, value);
        }
    }

    fn join(&self, flat: &mut Flat, plain: usize) {
        let mut found: Vec<(usize, Span)> = Vec::new();
        for entry in (plain..flat.len()).filter_map(|number| flat.entry(number)) {
            let name = flat.names.text(entry.name);
            let of = |(_, path): &(Box<str>, Path)| path.element(name).is_some();
            found.extend(self.joins.iter().position(of).map(|number| (number, entry.value)));
        }
        let mut at = 0;
        while let Some((to, _)) = self.joins.get(at) {
            // Several places may lead to one field; they stand together.
            let to = to.clone();
            let same = self.joins.iter().skip(at).take_while(|(other, _)| *other == to).count();
            let of = at..at + same;
            let mut values = found.iter().filter(|(number, _)| of.contains(number));
            match (values.next().copied(), values.next().copied()) {
                (None, _) => {}
                (Some((_, only)), None) => flat.push_span(&to, only),
                (Some((_, first)), Some((_, second))) => {
                    let mut joined = format!("{}, {}", flat.get(first), flat.get(second));
                    for (_, value) in values {
                        joined.push_str(", ");
                        joined.push_str(flat.get(*value));
                    }
                    flat.push(&to, &joined);
                }
            }
            at += same;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;

    fn lists() -> Lists {
        #[derive(Deserialize)]
        struct Entry {
            pairs: Vec<PairsEntry>,
            join: BTreeMap<String, OneOrMany>,
        }
        let entry: Entry = toml::from_str(
            r#"
            pairs = [
                { list = "events.*.parameters", name = "name", value = ["value", "boolValue"], to = "p." },
            ]
            join = { "ids" = ["targets.*.id", "others.*.id"], "deep" = "a.*.b.*.c" }
            "#,
        )
        .unwrap();
        Lists::new(&entry.pairs, &entry.join).unwrap()
    }

    fn added(document: &str) -> Vec<String> {
        let mut flat = Flat::default();
        json::flatten(document, &mut flat);
        let before = flat.len();
        lists().apply(&mut flat, 0);
        let entries = (before..flat.len()).filter_map(|number| flat.entry(number));
        entries.map(|e| format!("{}={}", flat.names.text(e.name), flat.get(e.value))).collect()
    }

    #[test]
    fn lists_become_fields() {
        let document = r#"{"events":[{"parameters":[
                {"name":"SETTING","value":"off"}, {"boolValue":true,"name":"NEW"}, {"name":"none"}]},
                {"parameters":[{"name":"SETTING","value":"on"}]}],
            "targets":[{"id":"1"},{"x":"y"},{"id":"2"}],"others":[{"id":"3"}],
            "a":[{"b":[{"c":"deep"}]}]}"#;
        assert_eq!(
            added(document),
            ["p.SETTING=off", "p.NEW=true", "p.SETTING=on", "deep=deep", "ids=1, 2, 3"]
        );
        assert!(added(r#"{"events":{"x":{"parameters":[{"name":"a","value":"b"}]}}}"#).is_empty());
    }

    #[test]
    fn a_place_without_a_list_is_refused() {
        let join = |from: &str| {
            Lists::new(&[], &BTreeMap::from([("x".into(), OneOrMany::One(from.into()))])).is_ok()
        };
        assert!(join("a.*.b") && !join("a.b") && !join("a.**.b"));
    }

    proptest! {
        #[test]
        fn never_panics(names in prop::collection::vec("(events|targets|a|[0-9]|[.*]|name|id){0,6}", 0..8)) {
            let mut flat = Flat::default();
            names.iter().for_each(|name| flat.push(name, "x"));
            lists().apply(&mut flat, 1);
        }
    }
}
