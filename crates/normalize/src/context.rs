//! What is remembered of a stream from record to record, where a record cannot be read by itself.

use crate::formats::{AuditEvents, vpcflow};
use crate::headed::Layouts;
use crate::limits::STREAM_CONTEXTS_MAX;
use crate::mapping::Map;
use std::sync::Arc;
use yagura_event::Origin;

/// What is remembered of one stream of one peer. Bounded by the formats that fill it.
#[derive(Debug, Default)]
pub(crate) struct StreamContext {
    /// The columns of AWS flow logs.
    pub(crate) vpcflow: Option<Box<vpcflow::Layout>>,
    /// Acts that the Linux audit system is telling of.
    pub(crate) audit: Option<Box<AuditEvents>>,
    /// The columns of a file with a header.
    pub(crate) layouts: Layouts,
    /// What a reader before this one knew of them, until it is taken up.
    pub(crate) inherited: Option<Arc<str>>,
}

/// The contexts of all streams; past [`STREAM_CONTEXTS_MAX`] all are forgotten and learnt again.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    by_origin: Map<Box<str>, StreamContext>,
    key: String,
    /// Headers in force when a reader before this one ended, by stream and peer; of a connection by
    /// its address, for the next one has another port. Empty for a stream that goes on without one.
    inherited: Map<Box<str>, Arc<str>>,
}

impl Contexts {
    /// The context of the stream and peer of `origin`.
    pub(crate) fn of(&mut self, origin: &Origin<'_>) -> &mut StreamContext {
        self.key.clear();
        self.key.push_str(origin.stream.as_str());
        self.key.push('\n');
        self.key.push_str(origin.peer);
        let full = self.by_origin.len() >= STREAM_CONTEXTS_MAX;
        if full && !self.by_origin.contains_key(self.key.as_str()) {
            self.by_origin.clear();
            // What came since may differ from what was inherited.
            self.inherited.clear();
        }
        let inherited = &self.inherited;
        self.by_origin.entry_ref(self.key.as_str()).or_insert_with(|| StreamContext {
            inherited: match inherited.is_empty() {
                true => None,
                false => heirloom(inherited, origin),
            },
            ..StreamContext::default()
        })
    }

    /// Remembers the header in force of a stream and peer, as long as there is room.
    pub(crate) fn inherit(&mut self, stream: &str, peer: &str, layout: &str) {
        if self.inherited.len() < STREAM_CONTEXTS_MAX {
            self.inherited.insert(key(stream, peer).into(), layout.into());
        }
    }
}

fn key(stream: &str, peer: &str) -> String {
    format!("{stream}\n{peer}")
}

fn heirloom(inherited: &Map<Box<str>, Arc<str>>, origin: &Origin<'_>) -> Option<Arc<str>> {
    let of = |peer: &str| inherited.get(key(origin.stream.as_str(), peer).as_str()).cloned();
    of(origin.peer).or_else(|| {
        let (address, port) = origin.peer.rsplit_once(':')?;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        of(address.trim_start_matches('[').trim_end_matches(']')).filter(|_| is_port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_event::{StreamName, Transport, UtcMicros};

    #[test]
    fn streams_are_bounded() {
        let stream = StreamName::new("syslog").unwrap();
        let mut contexts = Contexts::default();
        let mut of = |peer: String| {
            contexts.of(&Origin {
                stream: &stream,
                batch: 1,
                index: 0,
                batch_salt: &[0; 32],
                received: UtcMicros::default(),
                transport: Transport::SyslogTcp,
                peer: &peer,
                identity: "none",
            });
            contexts.by_origin.len()
        };
        let last = (0..STREAM_CONTEXTS_MAX).map(|number| of(number.to_string())).last();
        assert_eq!(last, Some(STREAM_CONTEXTS_MAX));
        assert_eq!(of("0".to_owned()), STREAM_CONTEXTS_MAX);
        assert_eq!(of("one more".to_owned()), 1);
    }
}
