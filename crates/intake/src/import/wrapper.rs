//! Objects that are no events themselves but hold a list of them: what a cloud service delivers.
//!
//! | list | who writes it |
//! |---|---|
//! | `Records` | AWS CloudTrail's files in S3, S3 event notices |
//! | `records` | Azure diagnostic settings (Event Hubs, storage accounts) |
//! | `value` | Microsoft Graph and the Azure and Office 365 management interfaces |
//! | `items` | Google's Reports API, the audit webhook of Kubernetes (`EventList`) |
//! | `logEvents` | CloudWatch Logs subscriptions |
//!
//! An object is such a wrapper when one of these is its first member, or only members that these
//! services write stand before it, and it is a list of objects.

use crate::limits::WRAPPER_START_BYTES_MAX;

const LISTS: [&[u8]; 5] = [b"Records", b"records", b"value", b"items", b"logEvents"];

/// What else these services write into the object around their list.
const ENVELOPE: [&[u8]; 14] = [
    b"kind",
    b"apiVersion",
    b"metadata",
    b"etag",
    b"nextPageToken",
    b"nextLink",
    b"count",
    b"messageType",
    b"owner",
    b"logGroup",
    b"logStream",
    b"subscriptionFilters",
    b"digestStartTime",
    b"digestEndTime",
];

/// Longest name of a member that is looked at; `@odata.` names are the longest.
const NAME_BYTES_MAX: usize = 64;

fn is_list(name: &[u8]) -> bool {
    LISTS.contains(&name)
}

/// Whether a member of this name belongs to the wrapper and says nothing about an event.
pub(super) fn is_envelope(name: &[u8]) -> bool {
    ENVELOPE.contains(&name) || name.starts_with(b"@odata.") || name.starts_with(b"odata.")
}

/// Whether `tail`, what stands between the end of the list and the `}` of the wrapper, holds only
/// members of the wrapper itself.
pub(super) fn is_plain_tail(tail: &[u8]) -> bool {
    let tail = tail.trim_ascii();
    let members = tail.strip_suffix(b"}").unwrap_or(tail).trim_ascii();
    let Some(members) = members.strip_prefix(b",") else { return members.is_empty() };
    let object = [b"{", members, b"}"].concat();
    serde_json::from_slice::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(&object)
        .is_ok_and(|members| members.keys().all(|name| is_envelope(name.as_bytes())))
}

/// Whether `object` starts as a wrapper does.
pub(crate) fn opens_wrapper(object: &[u8]) -> bool {
    let mut opening = Opening::default();
    for &byte in object.iter().take(WRAPPER_START_BYTES_MAX) {
        match opening.next(byte) {
            Verdict::Open => {}
            Verdict::Wrapper => return true,
            Verdict::Event => return false,
        }
    }
    false
}

/// What is known of an object so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not decided yet.
    Open,
    /// It is a wrapper; the byte just seen is the first of its list that is not blank: `{` or `]`.
    Wrapper,
    /// It is not.
    Event,
}

/// Reads the start of an object byte by byte until it is clear what it is.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    place: Place,
    name: [u8; NAME_BYTES_MAX],
    length: usize,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Start,
    Key,
    InKey,
    Colon { list: bool },
    Value { list: bool },
    Element,
    Skip { depth: u32, in_string: bool, escaped: bool },
}

impl Default for Opening {
    fn default() -> Self {
        Opening { place: Place::Start, name: [0; NAME_BYTES_MAX], length: 0 }
    }
}

impl Opening {
    pub fn next(&mut self, byte: u8) -> Verdict {
        match self.step(byte) {
            Some(Verdict::Wrapper) => Verdict::Wrapper,
            Some(_) => Verdict::Open,
            None => Verdict::Event,
        }
    }

    /// `None` when it cannot be a wrapper any more.
    fn step(&mut self, byte: u8) -> Option<Verdict> {
        let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match (&mut self.place, byte) {
            (Place::Start, b'{') => self.place = Place::Key,
            (Place::Key, b'"') => {
                self.length = 0;
                self.place = Place::InKey;
            }
            (Place::InKey, b'"') => {
                let name = self.name.get(..self.length)?;
                let list = is_list(name);
                if !list && !is_envelope(name) {
                    return None;
                }
                self.place = Place::Colon { list };
            }
            (Place::InKey, b'\\' | b'\n') => return None,
            (Place::InKey, byte) => {
                *self.name.get_mut(self.length)? = byte;
                self.length += 1;
            }
            (Place::Colon { list }, b':') => self.place = Place::Value { list: *list },
            (Place::Value { list: true }, b'[') => self.place = Place::Element,
            (Place::Element, b'{' | b']') => return Some(Verdict::Wrapper),
            (Place::Key | Place::Colon { .. } | Place::Value { .. } | Place::Element, _)
                if blank => {}
            (Place::Value { list: false }, byte) => {
                self.place = Place::Skip { depth: 0, in_string: false, escaped: false };
                return self.step(byte);
            }
            (Place::Skip { in_string: in_string @ true, escaped, .. }, byte) => match byte {
                b'\n' => return None,
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => *in_string = false,
                _ => {}
            },
            (Place::Skip { in_string, .. }, b'"') => *in_string = true,
            (Place::Skip { depth, .. }, b'{' | b'[') => *depth = depth.saturating_add(1),
            (Place::Skip { depth, .. }, b'}' | b']') => *depth = depth.checked_sub(1)?,
            (Place::Skip { depth: 0, .. }, b',') => self.place = Place::Key,
            (Place::Skip { .. }, _) => {}
            _ => return None,
        }
        Some(Verdict::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cloud_services_deliver_is_a_wrapper() {
        for wrapper in [
            r#"{"Records":[{"eventVersion":"1.08"}]}"#,
            "{\n  \"records\" : [\n {",
            r#"{"@odata.context":"https://graph.example/v1.0/$metadata#auditLogs/signIns","value":[{"#,
            r#"{"kind":"admin#reports#activities","etag":"\"a,}b\"","items":[{"kind":1}]}"#,
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{"a":[1,{}]},"items":[]}"#,
            r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","subscriptionFilters":["a"],"logEvents":[{"id":"1"}]}"#,
        ] {
            assert!(opens_wrapper(wrapper.as_bytes()), "{wrapper}");
        }
        for event in [
            r#"{"eventVersion":"1.08","Records":[{"a":1}]}"#,
            r#"{"user":"tanaka","items":[{"name":"x"}]}"#,
            r#"{"records":3}"#,
            r#"{"value":["a","b"]}"#,
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"}"#,
            r#"{"Records"#,
            "{\"kind\":\"broken\n",
            "{}",
            "",
        ] {
            assert!(!opens_wrapper(event.as_bytes()), "{event}");
        }
        let name = |length: usize| {
            format!("{{\"@odata.{}\":1,\"value\":[]}}", "n".repeat(length - "@odata.".len()))
        };
        assert!(opens_wrapper(name(NAME_BYTES_MAX).as_bytes()));
        assert!(!opens_wrapper(name(NAME_BYTES_MAX + 1).as_bytes()));
    }

    #[test]
    fn only_members_of_the_wrapper_may_follow_the_list() {
        assert!(is_plain_tail(b"}") && is_plain_tail(b" \n}"));
        assert!(is_plain_tail(br#","@odata.nextLink":"https://graph.example/a","count":2}"#));
        assert!(!is_plain_tail(br#","user":"tanaka"}"#));
        assert!(!is_plain_tail(br#","count":}"#));
    }
}
