//! Field names as small numbers. Logs name the same fields again and again, so a name is looked up
//! once where it is read and everything after works with its number.

use crate::signature::Bits;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The number of a field name, for as long as [`Names::epoch`] stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameId(u32);

impl NameId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names that the decoders speak of, numbered by their position.
macro_rules! known {
    ($($constant:ident = $text:literal),* $(,)?) => {
        known!(@number 0u32; $($constant)*);
        const KNOWN: &[&str] = &[$($text),*];
    };
    (@number $number:expr; $constant:ident $($rest:ident)*) => {
        pub(crate) const $constant: NameId = NameId($number);
        known!(@number $number + 1; $($rest)*);
    };
    (@number $number:expr;) => {};
}

known! {
    MESSAGE = "message",
    JOURNAL_MESSAGE = "MESSAGE",
    JOURNAL_TIME = "__REALTIME_TIMESTAMP",
    LOG = "log",
    STREAM = "stream",
    AUDIT_DATA = "AuditData",
    JOURNAL_PROGRAM = "SYSLOG_IDENTIFIER",
    PROCESS_NAME = "process.name",
    PROCESS_PID = "process.pid",
    HOST_NAME = "host.name",
    LOG_LEVEL = "log.level",
    FACILITY = "log.syslog.facility.code",
    SEVERITY = "log.syslog.severity.code",
    SYSLOG_VERSION = "log.syslog.version",
    MESSAGE_ID = "log.syslog.msgid",
    BEATS_CHANNEL = "winlog.channel",
    FLAT_CHANNEL = "Channel",
    EVTX_CHANNEL = "Event.System.Channel",
    OLD_BEATS_CHANNEL = "log_name",
    VPN_EVENT_TIME = "vpn.eventtime",
    VPN_DATE = "vpn.date",
    VPN_TIME = "vpn.time",
    VPN_ZONE = "vpn.tz",
    BEATS_COMPUTER = "winlog.computer_name",
    OLD_BEATS_COMPUTER = "computer_name",
    FLAT_HOSTNAME = "Hostname",
    EVTX_COMPUTER = "Event.System.Computer",
    JOURNAL_HOSTNAME = "_HOSTNAME",
}

/// What a name says about the record it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    None,
    /// Winlogbeat's.
    Beats,
    /// The event's own XML.
    Evtx,
    /// `log_name`, which Winlogbeat had before version 7.
    OldChannel,
    /// With a `log_name`: Winlogbeat's form before version 7.
    OldEventId,
    /// `EventID`, which Windows events have in NXLog's form.
    EventId,
    /// With an `EventID`: NXLog's form.
    Windows,
}

impl Hint {
    fn of(name: &str) -> Hint {
        match name {
            "EventID" => Hint::EventId,
            "log_name" => Hint::OldChannel,
            "event_id" => Hint::OldEventId,
            "Channel" | "SourceName" | "ProviderGuid" => Hint::Windows,
            _ if name.starts_with("winlog.") => Hint::Beats,
            _ if name.starts_with("Event.System.") => Hint::Evtx,
            _ => Hint::None,
        }
    }
}

/// The names met so far.
#[derive(Debug)]
pub(crate) struct Names {
    texts: Vec<Name>,
    bits: Bits,
    index: HashTable<u32>,
    hasher: RandomState,
    epoch: u64,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    hint: Hint,
    bit: Option<u16>,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Bits::default())
    }
}

impl Names {
    /// No names but the known ones; `bits` are those of the names that signatures ask for.
    pub(crate) fn new(bits: Bits) -> Self {
        let mut names = Names {
            texts: Vec::new(),
            bits,
            index: HashTable::new(),
            hasher: RandomState::default(),
            epoch: 0,
        };
        names.forget();
        names
    }

    /// How often the names were forgotten. Numbers of another epoch mean nothing.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Forgets all names but the known ones.
    pub(crate) fn forget(&mut self) {
        self.texts.clear();
        self.index.clear();
        self.epoch += 1;
        for name in KNOWN {
            self.id(name);
        }
    }

    /// The number of `name`.
    pub(crate) fn id(&mut self, name: &str) -> NameId {
        let hash = self.hasher.hash_one(name);
        let texts = &self.texts;
        let text = |id: u32| texts.get(id as usize).map_or("", |name| &name.text);
        if let Some(&id) = self.index.find(hash, |&id| text(id) == name) {
            return NameId(id);
        }
        // Names are forgotten long before there are four thousand million.
        let id = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        self.index.insert_unique(hash, id, |&id| self.hasher.hash_one(text(id)));
        let bit = self.bits.get(name).copied();
        self.texts.push(Name { text: name.into(), hint: Hint::of(name), bit });
        NameId(id)
    }

    pub(crate) fn text(&self, id: NameId) -> &str {
        self.texts.get(id.index()).map_or("", |name| &name.text)
    }

    pub(crate) fn hint(&self, id: NameId) -> Hint {
        self.texts.get(id.index()).map_or(Hint::None, |name| name.hint)
    }

    /// The bit of the name in signatures, if one asks for it.
    pub(crate) fn bit(&self, id: NameId) -> Option<u16> {
        self.texts.get(id.index())?.bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_keep_their_numbers() {
        let mut names = Names::default();
        assert_eq!(names.text(MESSAGE), "message");
        assert_eq!(names.text(VPN_ZONE), "vpn.tz");
        let other = names.id("winlog.event_data.Image");
        assert_eq!(
            (names.text(other), names.hint(other)),
            ("winlog.event_data.Image", Hint::Beats)
        );
        assert_eq!(names.id("winlog.event_data.Image"), other);
        let epoch = names.epoch();
        names.forget();
        assert_ne!(names.epoch(), epoch);
        assert_eq!(names.id("vpn.tz"), VPN_ZONE);
        assert_eq!(names.len(), KNOWN.len());
    }
}
