//! The shapes in which Windows events arrive as JSON, and what their names mean.
//!
//! * `Evtx`: the event's own XML as JSON (`Event.System`, `Event.EventData`, `Event.UserData`),
//!   with attributes as `#attributes` or as a sibling `Name_attributes`.
//! * `Beats`: Winlogbeat's (`winlog.event_data.X`, ECS names beside it).
//! * `OldBeats`: Winlogbeat's before version 7 (`log_name`, `event_id`, `event_data.X` at top level;
//!   the exported fields of its reference for 6.8).
//! * `Flat`: NXLog's (`EventID`, `Channel`, event data at top level).
//!
//! All lead to the same columns.

use crate::flat::Flat;
use crate::names::{self, Hint, NameId};
use std::borrow::Cow;

/// How the names of a record are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Names are column names.
    Plain,
    Beats,
    OldBeats,
    Flat,
    Evtx,
}

impl Dialect {
    pub(crate) const COUNT: usize = 5;

    /// The Windows dialect of a flattened JSON document, if it is one.
    pub(crate) fn of(flat: &Flat) -> Option<Dialect> {
        let (mut old_channel, mut old_id) = (false, false);
        for hint in flat.hints() {
            match hint {
                Hint::OldChannel => old_channel = true,
                Hint::OldEventId => old_id = true,
                Hint::Beats => return Some(Dialect::Beats),
                Hint::Evtx => return Some(Dialect::Evtx),
                Hint::EventId => {
                    let windows = flat.hints().any(|hint| hint == Hint::Windows);
                    return windows.then_some(Dialect::Flat);
                }
                Hint::Windows | Hint::None => {}
            }
        }
        (old_channel && old_id).then_some(Dialect::OldBeats)
    }

    /// Name of the field that holds the channel.
    pub(crate) fn channel(self) -> NameId {
        match self {
            Dialect::Plain | Dialect::Beats => names::BEATS_CHANNEL,
            Dialect::OldBeats => names::OLD_BEATS_CHANNEL,
            Dialect::Flat => names::FLAT_CHANNEL,
            Dialect::Evtx => names::EVTX_CHANNEL,
        }
    }
}

/// What to do with a field of a given name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    Ignore,
    Field(Cow<'a, str>),
    /// The same value in two columns.
    Both(&'static str, &'static str),
    /// A signed 64-bit number that Windows itself writes in hexadecimal.
    Hex64(&'static str),
    /// Perhaps a GUID, which Windows writes in braces and small letters.
    Guid(Cow<'a, str>),
    /// NXLog's `EventType`, which is the event's own field of that name where there is one.
    EventType,
    /// A candidate for when it happened; the smallest rank wins. Also a column, where named.
    Time(u8, Option<Cow<'a, str>>),
}

const DATA: &str = "winlog.event_data.";

/// What a field called `raw` means.
pub(crate) fn meaning(dialect: Dialect, raw: &str) -> Meaning<'_> {
    match dialect {
        Dialect::Plain => plain(raw),
        Dialect::Beats => beats(raw),
        Dialect::OldBeats => old_beats(raw),
        Dialect::Flat => flat(raw),
        Dialect::Evtx => evtx(raw),
    }
}

/// Names that only we may fill; a source that claims them gets them under `claimed.`.
fn plain(raw: &str) -> Meaning<'_> {
    match raw {
        "@timestamp" => Meaning::Time(20, None),
        "timestamp" | "time" | "eventTime" | "event_time" | "EventTime" | "datetime"
        | "TimeGenerated" | "CreationTime" | "ts" | "date" | "created_at" => {
            Meaning::Time(30, Some(raw.into()))
        }
        "event.ingested" | "event.original" => Meaning::Field(format!("claimed.{raw}").into()),
        _ if raw.starts_with("yagura.") => Meaning::Field(format!("claimed.{raw}").into()),
        "" => Meaning::Field("value".into()),
        _ => Meaning::Field(raw.into()),
    }
}

fn beats(raw: &str) -> Meaning<'_> {
    let name = match raw {
        "winlog.event_id" => "event.code",
        "winlog.time_created" => return Meaning::Time(10, None),
        "winlog.process.pid" => "winlog.process_id",
        "winlog.process.thread.id" => "winlog.thread_id",
        "winlog.user.identifier" => "winlog.user_id",
        _ => {
            if let Some(data) = raw.strip_prefix("winlog.user_data.") {
                return Meaning::Field(format!("{DATA}{data}").into());
            }
            return plain(raw);
        }
    };
    Meaning::Field(name.into())
}

fn old_beats(raw: &str) -> Meaning<'_> {
    let name = match raw {
        "event_id" => "event.code",
        "log_name" => "winlog.channel",
        "source_name" => "winlog.provider_name",
        "provider_guid" => return Meaning::Guid("winlog.provider_guid".into()),
        "computer_name" => "winlog.computer_name",
        "record_number" => "winlog.record_id",
        "level" => "log.level",
        "user.identifier" => "winlog.user_id",
        "user.name" => "winlog.user.name",
        "user.domain" => "winlog.user.domain",
        "user.type" => "winlog.user.type",
        "process_id" => "winlog.process_id",
        "thread_id" => "winlog.thread_id",
        "activity_id" => "winlog.activity_id",
        "related_activity_id" => "winlog.related_activity_id",
        "task" => "winlog.task",
        "opcode" => "winlog.opcode",
        "version" => "winlog.version",
        "keywords" => "winlog.keywords",
        // Always `wineventlog`: what the shipper calls the document.
        "type" => "beat.type",
        _ => {
            let data = raw.strip_prefix("event_data.").or_else(|| raw.strip_prefix("user_data."));
            return data.map_or_else(|| plain(raw), self::data);
        }
    };
    Meaning::Field(name.into())
}

fn flat(raw: &str) -> Meaning<'_> {
    let name = match raw {
        "EventID" => "event.code",
        "Channel" => "winlog.channel",
        "SourceName" | "Provider" | "ProviderName" => "winlog.provider_name",
        "ProviderGuid" => "winlog.provider_guid",
        "Hostname" | "Computer" | "ComputerName" | "MachineName" => "winlog.computer_name",
        "RecordNumber" | "EventRecordID" => "winlog.record_id",
        "Level" | "LevelValue" => "winlog.level",
        "Task" => "winlog.task",
        "OpcodeValue" => "winlog.opcode",
        "Keywords" => return Meaning::Hex64("winlog.keywords"),
        "Version" => "winlog.version",
        "ActivityID" => "winlog.activity_id",
        "ExecutionProcessID" | "ProcessID" => "winlog.process_id",
        "ThreadID" | "ExecutionThreadID" => "winlog.thread_id",
        "UserID" => "winlog.user_id",
        "Message" => "message",
        "tags" => "tags",
        // The account is the one that logged the event, except that service events have a field of
        // the same name; there NXLog keeps one of the two, so both readings stay possible.
        crate::scripts::WHOLE => crate::scripts::WHOLE,
        "AccountName" => return Meaning::Both("winlog.user.name", "winlog.event_data.AccountName"),
        "Domain" => "winlog.user.domain",
        "AccountType" => "winlog.user.type",
        "TimeCreated" | "SystemTime" => return Meaning::Time(10, None),
        "@timestamp" => return Meaning::Time(20, None),
        "EventTime" => return Meaning::Time(30, Some("nxlog.EventTime".into())),
        "EventType" => return Meaning::EventType,
        "EventReceivedTime"
        | "SourceModuleName"
        | "SourceModuleType"
        | "Severity"
        | "SeverityValue"
        | "Category"
        | "Opcode"
        | "@version"
        | "port"
        | "host"
        | "type"
        | "EventTypeOrignal"
        | "ERROR_EVT_UNRESOLVED" => {
            return Meaning::Field(format!("nxlog.{raw}").into());
        }
        _ => return data(raw.strip_prefix("EventData.").unwrap_or(raw)),
    };
    Meaning::Field(name.into())
}

fn evtx(raw: &str) -> Meaning<'_> {
    if raw.starts_with("Event_attributes.") {
        return Meaning::Ignore;
    }
    let Some(inner) = raw.strip_prefix("Event.") else { return plain(raw) };
    if let Some(system) = inner.strip_prefix("System.") {
        return evtx_system(system);
    }
    // Attributes of the payload say nothing (its name, XML name spaces).
    let is_attribute =
        |part: &str| part.starts_with("#attributes") || part.ends_with("_attributes");
    if inner.split('.').any(is_attribute) {
        return Meaning::Ignore;
    }
    if let Some(name) = inner.strip_prefix("EventData.") {
        return evtx_guid(data(name.strip_suffix(".#text").unwrap_or(name)));
    }
    if let Some(wrapped) = inner.strip_prefix("UserData.") {
        let name = wrapped.split_once('.').map_or(wrapped, |(_wrapper, name)| name);
        return evtx_guid(data(name.strip_suffix(".#text").unwrap_or(name)));
    }
    match inner {
        "EventData" | "EventData.#text" | "UserData" => {
            Meaning::Field(format!("{DATA}Data").into())
        }
        "RenderingInfo.Message" => Meaning::Field("message".into()),
        _ => Meaning::Field(format!("winlog.{inner}").into()),
    }
}

fn evtx_system(system: &str) -> Meaning<'_> {
    // `Provider.#attributes.Name`, `Provider_attributes.Name` and `EventID.#text` in one form.
    let (element, part) = system.split_once('.').unwrap_or((system, "#text"));
    let (element, part) = match (element.strip_suffix("_attributes"), part) {
        (Some(element), part) => (element, part),
        (None, part) => (element, part.strip_prefix("#attributes.").unwrap_or(part)),
    };
    let name = match (element, part) {
        ("Provider", "Name") => "winlog.provider_name",
        ("Provider", "Guid") => return Meaning::Guid("winlog.provider_guid".into()),
        ("Provider", "EventSourceName") => "winlog.event_source_name",
        ("EventID", "#text") => "event.code",
        ("EventID", "Qualifiers") => "winlog.qualifiers",
        ("Version", "#text") => "winlog.version",
        ("Level", "#text") => "winlog.level",
        ("Task", "#text") => "winlog.task",
        ("Opcode", "#text") => "winlog.opcode",
        ("Keywords", "#text") => "winlog.keywords",
        ("EventRecordID", "#text") => "winlog.record_id",
        ("Channel", "#text") => "winlog.channel",
        ("Computer", "#text") => "winlog.computer_name",
        ("TimeCreated", "SystemTime") => return Meaning::Time(10, None),
        ("Execution", "ProcessID") => "winlog.process_id",
        ("Execution", "ThreadID") => "winlog.thread_id",
        ("Security", "UserID") => "winlog.user_id",
        ("Correlation", "ActivityID") => return Meaning::Guid("winlog.activity_id".into()),
        _ => return Meaning::Field(format!("winlog.system.{system}").into()),
    };
    Meaning::Field(name.into())
}

/// Event data called `name`; blanks are no part of it ("Threat Name" is `ThreatName`).
fn data(name: &str) -> Meaning<'_> {
    let mut column = String::with_capacity(DATA.len() + name.len());
    column.push_str(DATA);
    column.extend(name.chars().filter(|c| !c.is_whitespace()));
    Meaning::Field(column.into())
}

/// Binary XML holds GUIDs as numbers, and the usual readers print them without their braces.
fn evtx_guid(meaning: Meaning<'_>) -> Meaning<'_> {
    match meaning {
        Meaning::Field(name)
            if name.len() > 4
                && (name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b"guid")
                    || name.ends_with("CorrelationID")
                    || name.ends_with("TransactionId")) =>
        {
            Meaning::Guid(name)
        }
        other => other,
    }
}

/// Whether `value` is a GUID without braces.
pub(crate) fn is_bare_guid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether `value` is NXLog's own classification rather than an event's field.
pub(crate) fn is_nxlog_event_type(value: &str) -> bool {
    matches!(
        value,
        "INFO"
            | "WARNING"
            | "ERROR"
            | "CRITICAL"
            | "VERBOSE"
            | "DEBUG"
            | "AUDIT_SUCCESS"
            | "AUDIT_FAILURE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_from_every_dialect() {
        let user = Meaning::Field("winlog.event_data.TargetUserName".into());
        assert_eq!(meaning(Dialect::Evtx, "Event.EventData.TargetUserName"), user);
        assert_eq!(meaning(Dialect::Beats, "winlog.event_data.TargetUserName"), user);
        assert_eq!(meaning(Dialect::OldBeats, "event_data.TargetUserName"), user);
        assert_eq!(meaning(Dialect::OldBeats, "user_data.TargetUserName"), user);
        assert_eq!(meaning(Dialect::Flat, "TargetUserName"), user);
        let provider = Meaning::Field("winlog.provider_name".into());
        assert_eq!(meaning(Dialect::Evtx, "Event.System.Provider.#attributes.Name"), provider);
        assert_eq!(meaning(Dialect::Evtx, "Event.System.Provider_attributes.Name"), provider);
        assert_eq!(meaning(Dialect::Flat, "SourceName"), provider);
        let code = Meaning::Field("event.code".into());
        assert_eq!(meaning(Dialect::Evtx, "Event.System.EventID.#text"), code);
        assert_eq!(meaning(Dialect::Evtx, "Event.System.EventID"), code);
        assert_eq!(
            meaning(Dialect::Evtx, "Event.UserData.LogFileCleared.SubjectUserName"),
            Meaning::Field("winlog.event_data.SubjectUserName".into())
        );
        assert_eq!(
            meaning(Dialect::Evtx, "Event.EventData.Threat Name"),
            Meaning::Field("winlog.event_data.ThreatName".into())
        );
        assert_eq!(
            meaning(Dialect::Evtx, "Event.EventData.Data.#text"),
            Meaning::Field("winlog.event_data.Data".into())
        );
        assert_eq!(meaning(Dialect::Evtx, "Event.UserData.X.#attributes.xmlns"), Meaning::Ignore);
    }

    #[test]
    fn a_source_cannot_fill_our_own_columns() {
        for ours in ["yagura.batch", "event.original", "event.ingested"] {
            for dialect in [Dialect::Plain, Dialect::Beats] {
                assert_eq!(
                    meaning(dialect, ours),
                    Meaning::Field(format!("claimed.{ours}").into())
                );
            }
        }
    }
}
