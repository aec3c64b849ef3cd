//! Entries of systemd's journal in its export format: one `NAME=VALUE` a line, and for values with
//! line breaks or bytes that are no text the name alone, then 8 bytes of length (little end first),
//! the value and a line feed (systemd, "Journal Export Formats").
//!
//! The fields that the program itself wrote become a message like one over syslog; the journal's own
//! fields (`_PID`, `_SYSTEMD_UNIT`) keep their names.

use crate::flat::Flat;
use crate::limits::JOURNAL_FIELDS_MAX;
use crate::syslog::Header;
use crate::time;

/// How every entry begins.
pub(crate) const START: &str = "__CURSOR=";

/// What is in the header of a syslog message, or its message, and not told twice.
const IN_HEADER: [&str; 6] =
    ["MESSAGE", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_PID", "PRIORITY", "SYSLOG_FACILITY"];

/// What [`header`] asks for.
pub(crate) const FIELDS: [&str; 9] = [
    "MESSAGE",
    "_HOSTNAME",
    "SYSLOG_IDENTIFIER",
    "_COMM",
    "_PID",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "_SOURCE_REALTIME_TIMESTAMP",
    "__REALTIME_TIMESTAMP",
];

/// Adds what only the journal says of the entry `text`, and answers the rest as if it had come over
/// syslog.
pub(crate) fn read<'a>(text: &'a str, flat: &mut Flat) -> Header<'a> {
    let entries: Vec<(&str, &str)> = fields(text).take(JOURNAL_FIELDS_MAX).collect();
    for (name, value) in entries.iter().filter(|(name, _)| !IN_HEADER.contains(name)) {
        flat.push(name, value.trim_end());
    }
    header(|name| entries.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
}

/// The header that the fields of an entry make, also of one that came as JSON.
pub(crate) fn header<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Header<'a> {
    let number = |name: &str| value(name)?.trim().parse::<u8>().ok();
    let severity = number("PRIORITY").filter(|severity| *severity < 8);
    // Facility 1 (user) is what syslog(3) takes where none is given.
    let facility = number("SYSLOG_FACILITY").filter(|facility| *facility < 24).unwrap_or(1);
    let time = value("_SOURCE_REALTIME_TIMESTAMP").or_else(|| value("__REALTIME_TIMESTAMP"));
    Header {
        priority: severity.map(|severity| facility * 8 + severity),
        time: time.and_then(|time| time::epoch(time.trim())),
        host: value("_HOSTNAME"),
        program: value("SYSLOG_IDENTIFIER").or_else(|| value("_COMM")),
        pid: value("_PID"),
        message: value("MESSAGE").unwrap_or_default(),
        ..Header::default()
    }
}

/// Names and values of an entry.
fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches('\n');
            if rest.is_empty() {
                return None;
            }
            let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = after;
            if let Some((name, value)) = first.split_once('=') {
                return Some((name, value));
            }
            let (value, after) = counted(after)?;
            rest = after;
            if !first.is_empty() {
                return Some((first, value));
            }
        }
    })
}

/// A value behind its length. What was no UTF-8 has been replaced and is longer than counted: then it
/// ends where the next name begins.
fn counted(text: &str) -> Option<(&str, &str)> {
    let length = text.as_bytes().get(..8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    let length = length.and_then(|bytes| usize::try_from(u64::from_le_bytes(bytes)).ok());
    let exact = length.and_then(|length| {
        let end = length.checked_add(8)?;
        let after = text.get(end..)?;
        (after.is_empty() || after.starts_with('\n')).then_some((text.get(8..end)?, after))
    });
    exact.or_else(|| {
        let start = (8..text.len().min(32)).find(|at| text.is_char_boundary(*at))?;
        let text = text.get(start..)?;
        let mut ends = memchr::memchr_iter(b'\n', text.as_bytes()).filter(|end| {
            let next = text.get(end + 1..).unwrap_or_default();
            let name = next.bytes().take_while(|b| b.is_ascii_uppercase() || *b == b'_').count();
            name > 1 && next.as_bytes().get(name) == Some(&b'=')
        });
        let end = ends.next().unwrap_or(text.len());
        Some((text.get(..end)?, text.get(end..)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_with_line_breaks_are_counted() {
        let entry = "__CURSOR=s=1;i=2\n_PID=7\nMESSAGE\n\u{9}\0\0\0\0\0\0\0two\nlines\n_COMM=app\n";
        let read: Vec<_> = fields(entry).collect();
        let expected =
            [("__CURSOR", "s=1;i=2"), ("_PID", "7"), ("MESSAGE", "two\nlines"), ("_COMM", "app")];
        assert_eq!(read, expected);
        let replaced = "MESSAGE\n\u{3}\0\0\0\0\0\0\0\u{FFFD}x\n_COMM=app";
        let read: Vec<_> = fields(replaced).collect();
        assert_eq!(read, [("MESSAGE", "\u{FFFD}x"), ("_COMM", "app")]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([A-C_=]{0,3}\n?[\0\u{1}日x\n]{0,12}){0,4}") {
            for _ in fields(&text).take(JOURNAL_FIELDS_MAX) {}
        }
    }
}
