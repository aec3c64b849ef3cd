//! JSON documents become dotted names and text values in one pass, without a tree in between.
//!
//! Objects nest names with dots; scalars of an array are joined with `, `; objects in an array are
//! numbered (`a.0.b`); `null` is no field. Limits: [`JSON_DEPTH_MAX`], and those of [`Flat`].

use crate::flat::Flat;
use crate::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

const TOO_DEEP: &str = "JSON nested too deep; the inner part is in the raw event only";

/// Adds the fields of `text` to `flat`. What was read before an error stays, with a note.
pub(crate) fn flatten(text: &str, flat: &mut Flat) {
    // They work on each other, so one is taken out of the other meanwhile.
    let mut shapes = flat.shapes.take().unwrap_or_default();
    let quick = shapes.flatten(text, flat);
    flat.shapes = Some(shapes);
    if quick.is_none() {
        flatten_plainly(text, flat);
    }
}

/// The same without foresight, for documents of any kind, broken ones too.
pub(crate) fn flatten_plainly(text: &str, flat: &mut Flat) {
    flat.path.clear();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match (Value { flat, depth: 0 }).deserialize(&mut deserializer) {
        Err(error) if error.is_eof() => flat.note("JSON ends too early"),
        Err(_) => flat.note("not valid JSON"),
        Ok(()) if deserializer.end().is_err() => flat.note("text after the JSON document"),
        Ok(()) => {}
    }
}

struct Value<'a> {
    flat: &'a mut Flat,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.flat.push_at_path(value);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.flat.push_at_path(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.flat.push_display_at_path(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.flat.push_display_at_path(value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.flat.push_display_at_path(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth >= JSON_DEPTH_MAX {
            self.flat.note(TOO_DEEP);
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let before = self.flat.path.len();
        while map.next_key_seed(Key { flat: self.flat })?.is_some() {
            map.next_value_seed(Value { flat: self.flat, depth: self.depth + 1 })?;
            self.flat.path.truncate(before);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let mut joined = None;
        elements(seq, self.flat, &mut joined, self.depth)?;
        if let Some(joined) = joined {
            self.flat.push_at_path(&joined);
        }
        Ok(())
    }
}

/// Appends a key to the path.
struct Key<'a> {
    flat: &'a mut Flat,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object's key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        if !self.flat.path.is_empty() {
            self.flat.path.push('.');
        }
        self.flat.path.push_str(key);
        Ok(())
    }
}

/// Reads an array's elements: scalars into `joined`, objects as fields under their number.
fn elements<'de, A: SeqAccess<'de>>(
    mut seq: A,
    flat: &mut Flat,
    joined: &mut Option<String>,
    depth: usize,
) -> Result<(), A::Error> {
    if depth >= JSON_DEPTH_MAX {
        flat.note(TOO_DEEP);
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        return Ok(());
    }
    let before = flat.path.len();
    for number in 0usize.. {
        if flat.is_full() {
            flat.note("more fields than the limit; the rest is in the raw event only");
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            break;
        }
        let element = Element { flat, joined, number, depth: depth + 1 };
        if seq.next_element_seed(element)?.is_none() {
            break;
        }
        flat.path.truncate(before);
    }
    Ok(())
}

struct Element<'a> {
    flat: &'a mut Flat,
    joined: &'a mut Option<String>,
    number: usize,
    depth: usize,
}

impl Element<'_> {
    fn join(&mut self, value: &str) {
        match self.joined {
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(value);
            }
            None => *self.joined = Some(value.to_owned()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.join(value);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.join(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.join(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.join(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.join(&value.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        use std::fmt::Write;
        // Proof: writing to a `String` cannot fail.
        let _ = if self.flat.path.is_empty() {
            write!(self.flat.path, "{}", self.number)
        } else {
            write!(self.flat.path, ".{}", self.number)
        };
        Value { flat: self.flat, depth: self.depth }.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        elements(seq, self.flat, self.joined, self.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> (Vec<String>, Option<&'static str>) {
        let mut flat = Flat::default();
        flatten(text, &mut flat);
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        let fields = entries.map(|e| format!("{}={}", flat.names.text(e.name), flat.get(e.value)));
        (fields.collect(), flat.problem())
    }

    #[test]
    fn nests_joins_and_numbers() {
        let (fields, problem) = fields(
            r#"{"a":{"b":"x\ty","n":null,"t":true},"l":[1,"two",[3.5,false]],
                "o":[{"k":1},{"k":2}],"d.e":-9223372036854775808,"empty":[],"u":18446744073709551615}"#,
        );
        insta::assert_debug_snapshot!(fields, @r#"
        [
            "a.b=x\ty",
            "a.t=true",
            "l=1, two, 3.5, false",
            "o.0.k=1",
            "o.1.k=2",
            "d.e=-9223372036854775808",
            "u=18446744073709551615",
        ]
        "#);
        assert_eq!(problem, None);
    }

    #[test]
    fn what_was_read_before_an_error_stays() {
        assert_eq!(fields(r#"{"a":1,"b":"#), (vec!["a=1".into()], Some("JSON ends too early")));
        assert_eq!(fields(r#"{"a":1,b}"#), (vec!["a=1".into()], Some("not valid JSON")));
        assert_eq!(
            fields(r#"{"a":1}{"#),
            (vec!["a=1".into()], Some("text after the JSON document"))
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(fields(&nested(JSON_DEPTH_MAX)).1, None);
        let (kept, problem) = fields(&nested(JSON_DEPTH_MAX + 1));
        assert_eq!((kept.len(), problem), (0, Some(TOO_DEEP)));
        let lists = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(fields(&lists(JSON_DEPTH_MAX)).1, None);
        assert_eq!(fields(&lists(JSON_DEPTH_MAX + 1)).1, Some(TOO_DEEP));
        assert!(fields(&lists(100_000)).1.is_some());
    }
}
