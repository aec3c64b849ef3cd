//! Nginx's error log: `2026/11/21 10:00:00 [error] 12#34: *56 message, client: 192.0.2.9, server: ...`
//! (ngx_http_core_module; the pairs behind the message are those of ngx_http_log_error).

use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::time;

/// Names of the pairs behind the message, and the fields they are.
const PAIRS: [(&str, &str); 6] = [
    ("client", "source.ip"),
    ("server", "url.domain"),
    ("request", "request"),
    ("upstream", "destination.address"),
    ("host", "url.domain"),
    ("referrer", "http.request.referrer"),
];

pub(super) fn error(line: &Line<'_>, _: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let text = line.text;
    if !matches!(text.as_bytes(), [_, _, _, _, b'/', _, _, b'/', _, _, b' ', ..]) {
        return None;
    }
    let (stamp, rest) = text.split_once(" [")?;
    let (instant, _) = time::iso(stamp, line.receipt.zone)?;
    let (level, rest) = rest.split_once("] ")?;
    const LEVELS: [&str; 8] =
        ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];
    if !LEVELS.contains(&level) {
        return None;
    }
    let (process, rest) = rest.split_once(": ")?;
    let (pid, tid) = process.split_once('#')?;
    if !pid.bytes().chain(tid.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    flat.push("event.provider", "nginx");
    flat.push("log.level", level);
    flat.push("process.pid", pid);
    // `*56 `: the number of the connection.
    let message = match rest.strip_prefix('*').and_then(|rest| rest.split_once(' ')) {
        Some((number, message)) if number.bytes().all(|byte| byte.is_ascii_digit()) => message,
        _ => rest,
    };
    // The pairs begin at the first that has one of the names; what is before is the message.
    let start = memchr::memmem::find(message.as_bytes(), b", client: ");
    let (said, mut pairs) = match start {
        Some(at) => (message.get(..at)?, message.get(at..)?),
        None => (message, ""),
    };
    while let Some(pair) = pairs.strip_prefix(", ") {
        let Some((name, value)) = pair.split_once(": ") else { break };
        let (value, rest) = match value.strip_prefix('"').and_then(|inner| inner.split_once('"')) {
            Some(quoted) => quoted,
            None => value.split_at(value.find(", ").unwrap_or(value.len())),
        };
        pairs = rest;
        match PAIRS.iter().find(|(known, _)| *known == name) {
            Some((_, "request")) => crate::web::push_request(value, flat),
            Some((_, field)) => flat.push(field, value),
            None => {}
        }
    }
    flat.push("message", said);
    Some(Found { dataset: "web.error", time: Some(instant) })
}

#[cfg(test)]
mod tests {
    use crate::flat::Flat;
    use crate::formats::Line;
    use crate::mapping::Mappings;
    use crate::pattern::Receipt;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use yagura_event::{FieldDictionary, Origin, StreamName, Transport, UtcMicros};

    fn fields(text: &str) -> String {
        let stream = StreamName::new("syslog").unwrap();
        let origin = Origin {
            stream: &stream,
            batch: 1,
            index: 0,
            batch_salt: &[0; 32],
            received: UtcMicros::default(),
            transport: Transport::File,
            peer: "",
            identity: "none",
        };
        let mappings = Mappings::layered(&[], &[], &FieldDictionary::default()).unwrap();
        let receipt = Receipt { received: origin.received, zone: &TimeZone::UTC };
        let bytes = &crate::byte_set::ByteSet::of(text);
        let line =
            Line { text, bytes, header: None, origin: &origin, receipt, mappings: &mappings };
        let mut flat = Flat::default();
        let Some(found) = super::error(&line, &mut Default::default(), &mut flat) else {
            return String::new();
        };
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        let fields =
            entries.map(|e| format!("{}={}\n", flat.names.text(e.name), flat.get(e.value)));
        format!("{} {}\n{}", found.dataset, found.time.unwrap(), fields.collect::<String>())
    }

    #[test]
    fn pairs_behind_the_message() {
        let line = r#"2026/11/21 10:00:00 [error] 4711#4711: *99 open() "/srv/www/.env" failed (2: No such file or directory), client: 203.0.113.9, server: example.com, request: "GET /.env?a=1 HTTP/1.1", upstream: "http://192.0.2.8:80/", host: "www.example.com""#;
        insta::assert_snapshot!(fields(line), @r#"
        web.error 2026-11-21T10:00:00.000000Z
        event.provider=nginx
        log.level=error
        process.pid=4711
        source.ip=203.0.113.9
        url.domain=example.com
        http.request.method=GET
        url.original=/.env?a=1
        url.path=/.env
        url.query=a=1
        http.version=1.1
        destination.address=http://192.0.2.8:80/
        url.domain=www.example.com
        message=open() "/srv/www/.env" failed (2: No such file or directory)
        "#);
        assert!(
            fields("2026/11/21 10:00:00 [emerg] 1#0: bind() failed")
                .contains("message=bind() failed")
        );
        assert_eq!(fields("2026/11/21 10:00:00 [main] 1#1: x"), "");
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"2026/11/21 10:00:00 \[error\] [0-9#: *,a-c"é]{0,40}"#) {
            let _ = fields(&text);
        }
    }
}
