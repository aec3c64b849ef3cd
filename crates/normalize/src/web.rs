//! Access lines of Apache and Nginx (Common and Combined Log Format), and Apache's error log.

use crate::flat::Flat;
use crate::log_format;
use crate::time;
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// Reads an access line: `client ident user [time] "request" status size "referrer" "agent"`,
/// where the last two may be missing and a `host:port ` may come first (`vhost_combined`).
/// Nothing is added unless the whole shape fits.
pub(crate) fn access(line: &str, flat: &mut Flat) -> Option<Option<UtcMicros>> {
    let (front, rest) = line.split_once(" [")?;
    let (stamp, rest) = rest.split_once("] \"")?;
    if front.len() > 1_024 || stamp.len() > 40 {
        return None;
    }
    let instant = time::clf(stamp);
    let mut words: Vec<&str> = front.splitn(5, ' ').collect();
    let vhost = (words.len() == 4).then(|| words.remove(0));
    let [client, _ident, user] = words[..] else { return None };
    let (request, rest) = quoted(rest)?;
    let mut numbers = rest.trim_start().splitn(3, ' ');
    let status = numbers.next()?;
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = numbers.next().unwrap_or("-");
    let rest = numbers.next().unwrap_or_default();

    let address = client.parse::<std::net::IpAddr>().is_ok();
    flat.push(if address { "source.ip" } else { "source.domain" }, client);
    if let Some(vhost) = vhost {
        let host = vhost.rsplit_once(':').map_or(vhost, |(host, _)| host);
        flat.push("url.domain", host);
    }
    if user != "-" {
        flat.push("user.name", user);
    }
    push_request(&unescape(request), flat);
    flat.push("http.response.status_code", status);
    if size != "-" {
        flat.push("http.response.body.bytes", size);
    }
    if let Some((referrer, rest)) = rest.strip_prefix('"').and_then(quoted) {
        if referrer != "-" && !referrer.is_empty() {
            flat.push("http.request.referrer", &unescape(referrer));
        }
        if let Some((agent, rest)) = rest.trim_start().strip_prefix('"').and_then(quoted) {
            if agent != "-" && !agent.is_empty() {
                flat.push("user_agent.original", &unescape(agent));
            }
            push_extras(rest, flat);
        }
    }
    Some(instant)
}

/// What many servers are told to write behind the combined format: the addresses that a proxy
/// forwarded for, in quotes or not, and how long the request took, in seconds with decimals.
fn push_extras(rest: &str, flat: &mut Flat) {
    // A few at most; what is behind them has no usual meaning.
    const EXTRAS_MAX: usize = 6;
    let mut rest = rest.trim_start();
    let (mut has_forwarded, mut has_duration) = (false, false);
    for _ in 0..EXTRAS_MAX {
        let (value, after) = match rest.strip_prefix('"').and_then(quoted) {
            Some(quoted) => quoted,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        rest = after.trim_start();
        let first = value.split(',').next().unwrap_or_default().trim();
        if !has_forwarded && first.parse::<std::net::IpAddr>().is_ok() {
            flat.push("network.forwarded_ip", first);
            has_forwarded = true;
        } else if !has_duration && first.contains('.') && first.parse::<f64>().is_ok() {
            log_format::push_duration(first, log_format::SECOND, flat);
            has_duration = true;
        }
    }
}

/// `GET /path?query HTTP/1.1`; anything else (a TLS greeting on the plain port) is kept whole.
pub(crate) fn push_request(request: &str, flat: &mut Flat) {
    let (target, version) = match request.rsplit_once(" HTTP/") {
        Some((front, version)) => (front, Some(version)),
        None => (request, None),
    };
    let Some((method, target)) = target.split_once(' ') else {
        flat.push("url.original", request);
        return;
    };
    flat.push("http.request.method", method);
    flat.push("url.original", target);
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    flat.push("url.path", path);
    if let Some(query) = query {
        flat.push("url.query", query);
    }
    if let Some(version) = version {
        flat.push("http.version", version);
    }
}

/// The text up to the closing quote, and what follows. `\"` does not close.
pub(crate) fn quoted(rest: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest.as_bytes().get(from..)?)? + from;
        if rest.as_bytes().get(at) == Some(&b'"') {
            return Some((rest.get(..at)?, rest.get(at + 1..)?));
        }
        from = at + 2;
    }
}

/// Undoes the servers' escapes: `\"`, `\\`, and runs of `\xHH` that are valid UTF-8 together.
pub(crate) fn unescape(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 2..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, bytes.get(at + 1), hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'\\', Some(b'x'), Some(value)) => {
                plain.push(value);
                at += 4;
            }
            (b'\\', Some(escaped @ (b'"' | b'\\')), _) => {
                plain.push(*escaped);
                at += 2;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    match String::from_utf8(plain) {
        Ok(plain) => plain.into(),
        Err(_) => text.into(),
    }
}

/// `[Sun Dec 04 04:47:44 2005] [error] [client 10.0.0.1] message`, and 2.4's form with module,
/// process id and client port.
pub(crate) fn error(line: &str, zone: &TimeZone, flat: &mut Flat) -> Option<UtcMicros> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let instant = time::ctime(stamp, zone)?;
    let (level, mut rest) = rest.split_once(']')?;
    let (module, level) = level.rsplit_once(':').unwrap_or(("", level));
    flat.push("log.level", level);
    flat.push("event.provider", "httpd");
    if !module.is_empty() && module != "-" {
        flat.push("apache.error.module", module);
    }
    loop {
        rest = rest.trim_start();
        if let Some((pid, after)) = rest.strip_prefix("[pid ").and_then(|r| r.split_once(']')) {
            flat.push("process.pid", pid.split(':').next().unwrap_or(pid));
            rest = after;
        } else if let Some((client, after)) =
            rest.strip_prefix("[client ").and_then(|r| r.split_once(']'))
        {
            match client.rsplit_once(':') {
                Some((address, port)) if address.parse::<std::net::IpAddr>().is_ok() => {
                    flat.push("source.ip", address);
                    flat.push("source.port", port);
                }
                _ => flat.push("source.ip", client),
            }
            rest = after;
        } else {
            break;
        }
    }
    let rest = rest.trim_start();
    // `AH01617: user tanaka: authentication failure`: the number of the message.
    if let Some((code, _)) = rest.split_once(": ")
        && let Some(number) = code.strip_prefix("AH")
        && number.len() == 5
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        flat.push("event.code", code);
    }
    flat.push("message", rest);
    Some(instant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &str) -> Option<Vec<String>> {
        let mut flat = Flat::default();
        access(line, &mut flat)?;
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        Some(
            entries.map(|e| format!("{}={}", flat.names.text(e.name), flat.get(e.value))).collect(),
        )
    }

    #[test]
    fn combined_common_and_broken() {
        let line = r#"203.0.113.9 - tanaka [21/Nov/2026:10:00:00 +0900] "GET /a/b?q=\"1\" HTTP/1.1" 404 153 "https://example.com/" "Mozilla/5.0 \xe6\x97\xa5""#;
        insta::assert_debug_snapshot!(fields(line).unwrap(), @r#"
        [
            "source.ip=203.0.113.9",
            "user.name=tanaka",
            "http.request.method=GET",
            "url.original=/a/b?q=\"1\"",
            "url.path=/a/b",
            "url.query=q=\"1\"",
            "http.version=1.1",
            "http.response.status_code=404",
            "http.response.body.bytes=153",
            "http.request.referrer=https://example.com/",
            "user_agent.original=Mozilla/5.0 日",
        ]
        "#);
        let common = r#"www.example.com:443 web.example - - [21/Nov/2026:10:00:00 +0900] "\x16\x03\x01" 400 -"#;
        insta::assert_debug_snapshot!(fields(common).unwrap(), @r#"
        [
            "source.domain=web.example",
            "url.domain=www.example.com",
            "url.original=\u{16}\u{3}\u{1}",
            "http.response.status_code=400",
        ]
        "#);
        let extras = r#"10.0.0.1 - - [21/Nov/2026:10:00:00 +0900] "GET / HTTP/1.1" 200 5 "-" "curl" "203.0.113.9, 10.0.0.2" 0.125 0.120 ."#;
        insta::assert_debug_snapshot!(fields(extras).unwrap().split_off(6), @r#"
        [
            "http.response.body.bytes=5",
            "user_agent.original=curl",
            "network.forwarded_ip=203.0.113.9",
            "event.duration=125000000",
        ]
        "#);
        for not_access in ["", "a b c [x] \"GET / HTTP/1.1\" abc 1", "a b c [x] \"GET / 200 1"] {
            assert_eq!(fields(not_access), None, "{not_access}");
        }
    }

    #[test]
    fn the_error_log_of_apache_2_4() {
        let line = "[Sat Nov 21 10:00:00.123456 2026] [auth_basic:error] [pid 4711:tid 140] [client 203.0.113.9:50022] AH01617: user tanaka: authentication failure for \"/admin\": Password Mismatch";
        let mut flat = Flat::default();
        let time = error(line, &TimeZone::UTC, &mut flat).unwrap();
        assert_eq!(time.to_string(), "2026-11-21T10:00:00.123456Z");
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        let fields: String = entries
            .map(|e| format!("{}={}\n", flat.names.text(e.name), flat.get(e.value)))
            .collect();
        insta::assert_snapshot!(fields, @r#"
        log.level=error
        event.provider=httpd
        apache.error.module=auth_basic
        process.pid=4711
        source.ip=203.0.113.9
        source.port=50022
        event.code=AH01617
        message=AH01617: user tanaka: authentication failure for "/admin": Password Mismatch
        "#);
    }

    proptest! {
        #[test]
        fn never_panics(line in r#".{0,10} .{0,10} .{0,10} \[.{0,10}\] "[^ ]{0,10}\\*"?.{0,20}"#) {
            let _ = access(&line, &mut Flat::default());
            let _ = error(&line, &TimeZone::UTC, &mut Flat::default());
        }
    }
}
