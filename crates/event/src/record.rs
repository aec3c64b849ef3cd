use crate::{EventId, StreamName, UtcMicros};
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How a record reached us. Written into the event's leaf, so the words never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Syslog over UDP.
    SyslogUdp,
    /// Syslog over TCP, plain.
    SyslogTcp,
    /// `POST /api/v1/ingest`.
    HttpIngest,
    /// `POST /_bulk`.
    ElasticBulk,
    /// `yagura import`.
    File,
    /// Yagura's own records: the audit log and notices.
    Internal,
}

impl Transport {
    /// The word in the leaf.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::SyslogUdp => "syslog-udp",
            Transport::SyslogTcp => "syslog-tcp",
            Transport::HttpIngest => "http-ingest",
            Transport::ElasticBulk => "elastic-bulk",
            Transport::File => "file",
            Transport::Internal => "internal",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        use Transport::{ElasticBulk, File, HttpIngest, Internal, SyslogTcp, SyslogUdp};
        [SyslogUdp, SyslogTcp, HttpIngest, ElasticBulk, File, Internal]
            .into_iter()
            .find(|transport| transport.as_str() == word)
            .ok_or_else(|| format!("unknown transport {word:?}"))
    }
}

/// The bytes as received and what we know of their arrival. Nothing here is interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When we received it, by our clock.
    pub received: UtcMicros,
    /// How it came.
    pub transport: Transport,
    /// Who sent it: `address:port`, or the path of the file it was read from. Control characters
    /// and line breaks are percent-encoded by whoever builds the record, see [`Record::peer_text`].
    pub peer: Arc<str>,
    /// The *authenticated* sender, such as `token:web01`, or `none`. Never the claimed host name.
    pub identity: Arc<str>,
    /// The bytes, at most [`crate::limits::RECORD_BYTES_MAX`].
    pub bytes: Bytes,
}

impl Record {
    /// Makes any text fit for [`Record::peer`] and [`Record::identity`]: one line, no control
    /// characters (`%` and every control character become `%XX` per UTF-8 byte).
    pub fn peer_text(text: &str) -> Arc<str> {
        if !text.chars().any(|c| c.is_control() || c == '%') {
            return text.into();
        }
        let mut safe = String::with_capacity(text.len() + 8);
        let mut utf8 = [0; 4];
        for c in text.chars() {
            if c.is_control() || c == '%' {
                for byte in c.encode_utf8(&mut utf8).bytes() {
                    safe.push_str(&format!("%{byte:02X}"));
                }
            } else {
                safe.push(c);
            }
        }
        safe.into()
    }
}

/// Consecutive records of one batch that became durable together: what the journal hands on.
#[derive(Debug, Clone)]
pub struct CommittedRun {
    /// The stream.
    pub stream: StreamName,
    /// The batch the records belong to.
    pub batch: u64,
    /// 32 random bytes from which each leaf's salt is derived; destroying them makes the batch's
    /// remaining hashes meaningless.
    pub batch_salt: [u8; 32],
    /// Index of the first record within the batch.
    pub first_index: u32,
    /// The records, in ledger order.
    pub records: Vec<Record>,
}

impl CommittedRun {
    /// Each record with its index within the batch.
    pub fn indexed(&self) -> impl Iterator<Item = (u32, &Record)> {
        (self.first_index..).zip(&self.records)
    }

    /// The id of the record at `index` (an index within the batch).
    pub fn event_id(&self, index: u32) -> EventId {
        EventId { stream: self.stream.clone(), batch: self.batch, index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_stay_on_one_line() {
        assert_eq!(&*Record::peer_text("10.0.0.7:514"), "10.0.0.7:514");
        assert_eq!(&*Record::peer_text("a\nb%\u{85}日"), "a%0Ab%25%C2%85日");
    }
}
