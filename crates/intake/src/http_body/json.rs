//! The source text of one JSON value, found and checked without building it.

use crate::limits::{ITEM_BYTES_MAX, ITEM_DEPTH_MAX};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// A fault at a place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 when a line ended too early.
    pub column: usize,
    pub reason: String,
    /// More text might have completed it.
    pub ended_early: bool,
}

/// The length of the JSON value that `text` starts with (after blanks); what follows is not looked at.
pub(super) fn leading_value(text: &[u8]) -> Result<usize, Fault> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(fault(&error)),
        None => Err(Fault {
            line: 1,
            column: 0,
            reason: "a JSON value is missing".to_owned(),
            ended_early: true,
        }),
    }
}

/// Checks that `text` is one JSON value and nothing else.
pub(super) fn whole_value(text: &[u8]) -> Result<(), Fault> {
    serde_json::from_slice::<&RawValue>(text).map(drop).map_err(|error| fault(&error))
}

/// Checks that a JSON value may be an event: an object, not too large, not too deep.
pub(super) fn check_event(value: &[u8]) -> Result<(), String> {
    if value.len() > ITEM_BYTES_MAX {
        return Err(format!(
            "the event has {} bytes, more than the {ITEM_BYTES_MAX} allowed",
            value.len()
        ));
    }
    if value.first() != Some(&b'{') {
        return Err("an event must be a JSON object".to_owned());
    }
    // No bracket is deeper than there are brackets, and few events have that many.
    let brackets = memchr::memchr2_iter(b'{', b'[', value).take(ITEM_DEPTH_MAX + 1).count();
    if brackets > ITEM_DEPTH_MAX && depth(value) > ITEM_DEPTH_MAX {
        return Err(format!("the event nests more than {ITEM_DEPTH_MAX} deep"));
    }
    Ok(())
}

/// How deep the brackets of well-formed JSON nest; no recursion.
fn depth(value: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'"' => behind_string(after),
            _ => after,
        };
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What follows a string of which the first quote has been read. Most of an event is strings.
fn behind_string(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let escaped = rest.get(at) == Some(&b'\\');
        rest = rest.get(at + 1 + usize::from(escaped)..).unwrap_or_default();
        if !escaped {
            return rest;
        }
    }
    &[]
}

fn fault(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    // The place is told apart from the reason; serde_json appends it to its text.
    let reason = match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    };
    Fault {
        line: error.line().max(1),
        column: error.column(),
        reason,
        ended_early: error.classify() == Category::Eof,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(depth(br#"{"a":[1,{"b\"[[[[":"\\"}]}"#), 3);
        assert_eq!(depth(b"1"), 0);
    }

    #[test]
    fn events_are_objects_within_limits() {
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1)).into_bytes()
        };
        assert!(check_event(&nested(ITEM_DEPTH_MAX)).is_ok());
        assert!(check_event(&nested(ITEM_DEPTH_MAX + 1)).is_err());
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes();
        assert_eq!(sized(ITEM_BYTES_MAX).len(), ITEM_BYTES_MAX);
        assert!(check_event(&sized(ITEM_BYTES_MAX)).is_ok());
        assert!(check_event(&sized(ITEM_BYTES_MAX + 1)).is_err());
        assert!(check_event(b"[1]").is_err());
    }

    #[test]
    fn endless_nesting_is_no_recursion() {
        let deep = vec![b'['; 1_000_000];
        assert!(leading_value(&deep).unwrap_err().ended_early);
        let closed = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(whole_value(&closed).is_ok());
    }
}
