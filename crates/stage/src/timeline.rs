use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// One thing that is sent, and the port it goes to.
#[derive(Debug, Clone)]
pub enum Message {
    /// A JSON document for `POST /winlogbeat/_bulk`.
    Bulk(Value),
    /// A syslog message for the TCP port, without framing.
    SyslogTcp(String),
    /// A syslog message for the UDP port.
    SyslogUdp(String),
}

/// Everything that happens in one hour, sorted by time.
#[derive(Debug, Default)]
pub struct Timeline {
    start: Timestamp,
    entries: Vec<(Timestamp, Message)>,
}

impl Timeline {
    /// An hour that begins at `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        Timeline { start, entries: Vec::new() }
    }

    /// The instant `millis` after the start.
    pub fn at(&self, millis: u64) -> Timestamp {
        // Proof: the hour lies near the present, far from the ends of the calendar.
        let offset = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(0));
        self.start.checked_add(offset).unwrap_or(self.start)
    }

    /// Adds a message.
    pub fn add(&mut self, at: Timestamp, message: Message) {
        self.entries.push((at, message));
    }

    /// The messages in order of time.
    pub fn into_sorted(mut self) -> Vec<(Timestamp, Message)> {
        self.entries.sort_by_key(|(at, _)| *at);
        self.entries
    }
}

/// An RFC 5424 syslog message.
pub fn syslog(at: Timestamp, priority: u8, host: &str, program: &str, text: &str) -> String {
    format!("<{priority}>1 {at:.3} {host} {program} 812 - - {text}")
}
