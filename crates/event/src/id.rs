use crate::limits::STREAM_NAME_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Name of a stream: a retention class of a source type, such as `syslog` or `elastic/winlogbeat`.
///
/// 1 to [`STREAM_NAME_BYTES_MAX`] bytes of `a-z 0-9 . _ -`, in parts joined by `/`; no part is
/// empty or made of dots alone, so a name is always safe inside a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// The place of an event in the ledger, written `stream/batch/index`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The stream the event arrived in.
    pub stream: StreamName,
    /// The batch, unique within a log.
    pub batch: u64,
    /// The position within the batch, from 0.
    pub index: u32,
}

/// A text that is not a stream name or an event id.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The stream name breaks the rules of [`StreamName`].
    #[error("not a stream name: {0:?} (use a-z, 0-9, '.', '_', '-' in parts joined by '/')")]
    Stream(String),
    /// The text is not `stream/batch/index`.
    #[error("not an event id: {0:?} (expected stream/batch/index, such as syslog/42/7)")]
    Event(String),
}

impl StreamName {
    /// Checks and wraps a name.
    pub fn new(name: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
        let sound = !name.is_empty()
            && name.len() <= STREAM_NAME_BYTES_MAX
            && name.bytes().all(allowed)
            && name.split('/').all(|part| part.bytes().any(|b| b != b'.'));
        if sound { Ok(StreamName(name.into())) } else { Err(IdError::Stream(name.to_owned())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamName {
    type Err = IdError;

    fn from_str(name: &str) -> Result<Self, IdError> {
        StreamName::new(name)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stream, self.batch, self.index)
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Event(text.to_owned());
        let mut parts = text.rsplitn(3, '/');
        let index = decimal(parts.next()).ok_or_else(wrong)?;
        let batch = decimal(parts.next()).ok_or_else(wrong)?;
        let stream = StreamName::new(parts.next().ok_or_else(wrong)?)?;
        Ok(EventId { stream, batch, index: u32::try_from(index).map_err(|_| wrong())? })
    }
}

/// A number without sign or leading zero, so that an id has one spelling only.
fn decimal(text: Option<&str>) -> Option<u64> {
    let text = text?;
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    if canonical { text.parse().ok() } else { None }
}

macro_rules! serde_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(StreamName);
serde_as_text!(EventId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stream_names_are_safe_in_paths() {
        for good in ["syslog", "elastic/winlogbeat-8.1", "import/ab12.._x"] {
            assert!(StreamName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(STREAM_NAME_BYTES_MAX + 1);
        for bad in ["", "/", "a//b", "..", "a/../b", "a/.", "A", "a b", "日本", "a/", &long] {
            assert!(StreamName::new(bad).is_err(), "{bad}");
        }
        assert!(StreamName::new(&long[1..]).is_ok());
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id: EventId = "elastic/x/42/7".parse().unwrap();
        assert_eq!((id.stream.as_str(), id.batch, id.index), ("elastic/x", 42, 7));
        for bad in
            ["syslog/1", "syslog/01/2", "syslog/+1/2", "syslog/1/4294967296", "/1/2", "s/-1/2"]
        {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ids_round_trip(stream in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", batch: u64, index: u32) {
            let id = EventId { stream: StreamName::new(&stream).unwrap(), batch, index };
            prop_assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<EventId>();
        }
    }
}
