//! The header of a syslog message: RFC 5424, RFC 3164, and the forms log files hold (the same
//! without the priority).

use crate::flat::Flat;
use crate::limits::STRUCTURED_DATA_PARAMS_MAX;
use crate::{names, time};
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// What a header says; everything borrowed from the line.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Header<'a> {
    /// Facility * 8 + severity (RFC 5424 section 6.2.1), if there was one.
    pub(crate) priority: Option<u8>,
    pub(crate) is_5424: bool,
    pub(crate) time: Option<UtcMicros>,
    pub(crate) host: Option<&'a str>,
    pub(crate) program: Option<&'a str>,
    pub(crate) pid: Option<&'a str>,
    pub(crate) message_id: Option<&'a str>,
    pub(crate) structured_data: Option<&'a str>,
    pub(crate) message: &'a str,
}

/// Reads the header of `line`. `None` where nothing says that this is syslog: no priority, and no
/// time followed by a host and a tag.
pub(crate) fn parse<'a>(line: &'a str, received: UtcMicros, zone: &TimeZone) -> Option<Header<'a>> {
    let line = line.trim_end_matches(['\n', '\r', '\0']);
    let (priority, rest) = match priority(line) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, line),
    };
    if let Some(header) = rest.strip_prefix("1 ").and_then(|rest| rfc5424(rest, zone)) {
        return priority.map(|priority| Header { priority: Some(priority), ..header });
    }
    match rfc3164(rest, received, zone) {
        Some(header) if priority.is_some() || header.program.is_some() => {
            Some(Header { priority, ..header })
        }
        // RFC 3164 section 4.3.3: without a usable header everything is the message.
        _ => priority.map(|priority| {
            let (program, pid, message) = tag(rest).unwrap_or((None, None, rest));
            Header { priority: Some(priority), program, pid, message, ..Header::default() }
        }),
    }
}

impl Header<'_> {
    /// Adds the header's fields, not the message.
    pub(crate) fn push(&self, flat: &mut Flat) {
        if let Some(priority) = self.priority {
            let (facility, severity) = (usize::from(priority / 8), usize::from(priority % 8));
            flat.push_known(names::FACILITY, NUMBERS[facility % NUMBERS.len()]);
            flat.push_known(names::SEVERITY, NUMBERS[severity]);
            flat.push_known(names::LOG_LEVEL, SEVERITIES[severity]);
        }
        if self.is_5424 {
            flat.push_known(names::SYSLOG_VERSION, "1");
        }
        let fields = [
            (names::HOST_NAME, self.host),
            (names::PROCESS_NAME, self.program),
            (names::PROCESS_PID, self.pid),
            (names::MESSAGE_ID, self.message_id),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                flat.push_known(name, value);
            }
        }
        if let Some(data) = self.structured_data {
            structured_data(data, flat);
        }
    }
}

/// Facilities, 0 to 23, as text; severities are the first eight.
const NUMBERS: [&str; 24] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23",
];

/// Words of ECS `log.level` for the severities 0 to 7.
const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

/// `<0>` to `<191>`.
fn priority(line: &str) -> Option<(u8, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    if number.is_empty() || number.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let priority: u8 = number.parse().ok()?;
    (priority <= 191).then_some((priority, rest))
}

fn rfc5424<'a>(rest: &'a str, zone: &TimeZone) -> Option<Header<'a>> {
    let mut parts = rest.splitn(6, ' ');
    let mut part = || parts.next();
    let (stamp, host, program, pid, message_id) = (part()?, part()?, part()?, part()?, part()?);
    let time = match stamp {
        "-" => None,
        stamp => Some(time::iso(stamp, zone)?.0),
    };
    let rest = parts.next().unwrap_or("-");
    let (structured_data, message) = split_structured_data(rest);
    let known = |value: &'a str| (value != "-" && !value.is_empty()).then_some(value);
    Some(Header {
        priority: None,
        is_5424: true,
        time,
        host: known(host),
        program: known(program),
        pid: known(pid),
        message_id: known(message_id),
        structured_data,
        message: message.trim_start_matches('\u{FEFF}'),
    })
}

/// Cuts `[id a="b"][id2 ...] message` after the last element; `\]` and `\"` are escaped inside
/// values. An unclosed element makes all of it the message.
fn split_structured_data(rest: &str) -> (Option<&str>, &str) {
    if let Some(message) = rest.strip_prefix('-') {
        return (None, message.strip_prefix(' ').unwrap_or(message));
    }
    let bytes = rest.as_bytes();
    let (mut end, mut quoted, mut position) = (0, false, 0);
    while let Some(byte) = bytes.get(position) {
        match byte {
            b'\\' if quoted => position += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted => {
                end = position + 1;
                if bytes.get(end) != Some(&b'[') {
                    break;
                }
            }
            _ => {}
        }
        position += 1;
    }
    match rest.split_at_checked(end) {
        Some((data, message)) if end > 0 && rest.starts_with('[') => {
            (Some(data), message.strip_prefix(' ').unwrap_or(message))
        }
        _ => (None, rest),
    }
}

/// Adds `log.syslog.structured_data.<id>.<name>` for every parameter.
fn structured_data(data: &str, flat: &mut Flat) {
    let mut rest = data;
    let mut id = "";
    let mut taken = 0;
    while !rest.is_empty() {
        if let Some(element) = rest.strip_prefix('[') {
            let end = element.find([' ', ']']).unwrap_or(element.len());
            (id, rest) = element.split_at(end);
        } else if let Some(after) = rest.strip_prefix([']', ' ']) {
            rest = after;
        } else {
            let Some((name, value)) = rest.split_once("=\"") else { return };
            let mut text = String::new();
            let mut characters = value.char_indices();
            let mut end = value.len();
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                    c => text.push(c),
                }
            }
            rest = value.get(end..).unwrap_or_default();
            if taken == STRUCTURED_DATA_PARAMS_MAX {
                flat.note("more structured data than the limit; the rest is in the raw event only");
                return;
            }
            taken += 1;
            flat.push(&format!("log.syslog.structured_data.{id}.{name}"), &text);
        }
    }
}

fn rfc3164<'a>(rest: &'a str, received: UtcMicros, zone: &TimeZone) -> Option<Header<'a>> {
    let rest = rest.trim_start_matches(' ');
    let (time, rest) = match time::bsd(rest, received, zone) {
        Some((instant, rest)) => (instant, rest),
        // rsyslog's and systemd's file format begins with an ISO time.
        None => {
            let (stamp, after) = rest.split_at(rest.find(' ')?);
            (time::iso(stamp, zone)?.0, after)
        }
    };
    let rest = rest.strip_prefix(' ').or_else(|| rest.strip_prefix(": "))?.trim_start_matches(' ');
    // A tag right after the time: the host is missing (as `logger` on some systems sends it).
    if let Some((program, pid, message)) = tag(rest) {
        return Some(Header { time: Some(time), program, pid, message, ..Header::default() });
    }
    if rest.starts_with('%') {
        return Some(Header { time: Some(time), message: rest, ..Header::default() });
    }
    let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = rest.trim_start_matches(' ');
    let tagged = tag(rest).or_else(|| tag_of_words(rest));
    let (program, pid, message) = tagged.unwrap_or((None, None, rest));
    let host = (!host.is_empty() && host != "-").then_some(host);
    Some(Header { time: Some(time), host, program, pid, message, ..Header::default() })
}

/// Longest name of a program in a tag.
const TAG_BYTES_MAX: usize = 128;

/// `sshd[19939]: message`, `kernel: message`: program, process id, message.
#[allow(clippy::type_complexity)]
fn tag(rest: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    let mut bytes = rest.bytes().take(TAG_BYTES_MAX);
    let end = bytes.position(|byte| matches!(byte, b':' | b'[' | b' '))?;
    let (program, after) = rest.split_at(end);
    // A message that names itself (`%SYS-5-CONFIG_I:`) and a counter (`45:`) are no programs.
    if program.bytes().all(|byte| byte.is_ascii_digit()) || program.starts_with('%') {
        return None;
    }
    if after.starts_with('[') {
        return bracketed(program, after);
    }
    let message = after.strip_prefix(':')?;
    if !(message.is_empty() || message.starts_with([' ', '\t'])) {
        return None;
    }
    Some((Some(program), None, message.strip_prefix(' ').unwrap_or(message)))
}

/// `[19939]: message` behind a program's name. macOS may name a part in between:
/// `[1] (com.apple.example): message`.
#[allow(clippy::type_complexity)]
fn bracketed<'a>(
    program: &'a str,
    after: &'a str,
) -> Option<(Option<&'a str>, Option<&'a str>, &'a str)> {
    let (pid, after) = after.strip_prefix('[')?.split_once(']')?;
    // `PP[01] Rejected at ...` of YAMAHA's routers is an interface.
    let interface = !after.starts_with(':') && matches!(program, "PP" | "TUNNEL");
    if pid.len() > 16 || pid.contains(' ') || interface {
        return None;
    }
    let part = || after.strip_prefix(" (")?.split_once("): ");
    if let Some((_, message)) = part() {
        return Some((Some(program), Some(pid), message));
    }
    let message = after.strip_prefix(':').unwrap_or(after);
    Some((Some(program), Some(pid), message.strip_prefix(' ').unwrap_or(message)))
}

/// A name of several words is believed where a process id follows (`Google Chrome[12]: `), or where
/// the second is a version (`syslogd 1.4.1: `).
#[allow(clippy::type_complexity)]
fn tag_of_words(rest: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    let wordy = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'_' | b'-');
    let end = rest.bytes().take(TAG_BYTES_MAX).take_while(wordy).count();
    let (program, after) = rest.split_at_checked(end)?;
    if after.starts_with('[') {
        let (pid, behind) = after.strip_prefix('[')?.split_once(']')?;
        let numbered = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
        return (numbered && behind.starts_with([':', ' '])).then(|| bracketed(program, after))?;
    }
    let (name, version) = program.split_once(' ')?;
    let versioned =
        version.contains('.') && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let message = after.strip_prefix(": ").filter(|_| versioned)?;
    Some((Some(name), None, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(line: &str) -> Option<Header<'_>> {
        parse(line, "2026-06-14T15:16:02Z".parse().unwrap(), &TimeZone::UTC)
    }

    fn value<'a>(flat: &'a mut Flat, name: &str) -> Option<&'a str> {
        let name = flat.names.id(name);
        flat.value(name)
    }

    #[test]
    fn rfc5424_with_structured_data() {
        let line = "<165>1 2026-06-14T06:16:01.003+09:00 fw01 evntslog 77 ID47 \
                    [a@1 x=\"1]\" y=\"q\\\"\"][b@1 z=\"\"] \u{FEFF}接続しました";
        let header = header(line).unwrap();
        assert_eq!(header.time.unwrap().to_string(), "2026-06-13T21:16:01.003000Z");
        assert_eq!(
            (header.host, header.program, header.pid),
            (Some("fw01"), Some("evntslog"), Some("77"))
        );
        assert_eq!(header.message, "接続しました");
        let mut flat = Flat::default();
        header.push(&mut flat);
        assert_eq!(value(&mut flat, "log.syslog.structured_data.a@1.x"), Some("1]"));
        assert_eq!(value(&mut flat, "log.syslog.structured_data.a@1.y"), Some("q\""));
        assert_eq!(value(&mut flat, "log.syslog.structured_data.b@1.z"), Some(""));
        assert_eq!(value(&mut flat, "log.syslog.facility.code"), Some("20"));
        assert_eq!(value(&mut flat, "log.level"), Some("notice"));
    }

    #[test]
    fn rfc3164_with_and_without_its_parts() {
        let split = |line| header(line).map(|h| (h.priority, h.host, h.program, h.pid, h.message));
        assert_eq!(
            split("<38>Jun 14 15:16:01 combo sshd(pam_unix)[19939]: check pass\n"),
            Some((Some(38), Some("combo"), Some("sshd(pam_unix)"), Some("19939"), "check pass"))
        );
        assert_eq!(
            split("Jun 14 15:16:01 combo kernel: usb 1-1: new"),
            Some((None, Some("combo"), Some("kernel"), None, "usb 1-1: new"))
        );
        assert_eq!(
            split("<13>Jun 14 15:16:01 root: hello"),
            Some((Some(13), None, Some("root"), None, "hello"))
        );
        for (line, program, pid, message) in [
            ("Jun 14 15:16:01 mac Google Chrome[12]: hello", "Google Chrome", Some("12"), "hello"),
            ("Jun 14 15:16:01 mac launchd[1] (com.example.a): b: c", "launchd", Some("1"), "b: c"),
            ("Jun 14 15:16:01 mac syslogd 1.4.1: restart.", "syslogd", None, "restart."),
        ] {
            assert_eq!(
                split(line),
                Some((None, Some("mac"), Some(program), pid, message)),
                "{line}"
            );
        }
        assert_eq!(
            split("2026-06-14T15:16:01.5+00:00 web01 CRON[7]: (root) CMD (x)"),
            Some((None, Some("web01"), Some("CRON"), Some("7"), "(root) CMD (x)"))
        );
        assert_eq!(
            split("<13>date=2026-06-14 devname=\"FG\""),
            Some((Some(13), None, None, None, "date=2026-06-14 devname=\"FG\""))
        );
        for not_syslog in
            ["", "<192>x", "<13x", "plain text", "{\"a\":1}", "2026-06-14 15:16:01 x: y"]
        {
            assert_eq!(split(not_syslog), None, "{not_syslog}");
        }
    }

    #[test]
    fn structured_data_is_bounded() {
        for count in [STRUCTURED_DATA_PARAMS_MAX, STRUCTURED_DATA_PARAMS_MAX + 1] {
            let data = format!("[a {}]", "k=\"v\" ".repeat(count));
            let mut flat = Flat::default();
            structured_data(&data, &mut flat);
            assert_eq!(flat.len(), STRUCTURED_DATA_PARAMS_MAX);
            assert_eq!(flat.problem().is_some(), count > STRUCTURED_DATA_PARAMS_MAX);
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in "(<[0-9]{1,3}>)?(1 )?.{0,60}") {
            if let Some(header) = header(&line) {
                header.push(&mut Flat::default());
            }
        }
    }
}
