//! Access logs in the format that the server was told to write: Apache's `LogFormat` (Apache HTTP
//! Server documentation, mod_log_config) and Nginx's `log_format` (ngx_http_log_module), compiled from
//! the very text of the server's configuration.

use crate::flat::Flat;
use crate::headed;
use crate::limits::{LOG_FORMAT_BYTES_MAX, LOG_FORMAT_GAPS_MAX};
use crate::{time, web};
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// A compiled format.
#[derive(Debug, Clone)]
pub(crate) struct LogFormat {
    /// Text before the first gap.
    prefix: Box<str>,
    gaps: Vec<Gap>,
}

#[derive(Debug, Clone)]
struct Gap {
    holds: Holds,
    /// Between double quotes, inside of which the server escapes quotes.
    is_quoted: bool,
    /// Text that ends it; empty at the end of the line.
    until: Box<str>,
}

/// What a gap holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holds {
    Nothing,
    Field(Box<str>),
    /// Address or name of the client.
    Client,
    /// `X-Forwarded-For`: the first address is the client's.
    Forwarded,
    /// `GET /path HTTP/1.1`.
    Request,
    /// Path, perhaps with a query.
    Target,
    Status,
    Time,
    /// A duration, and how many nanoseconds its unit has.
    Duration(u32),
}

pub(crate) const SECOND: u32 = 1_000_000_000;

enum Piece {
    Text(String),
    Gap(Holds),
}

impl LogFormat {
    /// Reads Apache's notation. The error says what is wrong with it.
    pub(crate) fn apache(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '\\']) {
            let (literal, after) = rest.split_at(at);
            pieces.push(Piece::Text(literal.to_owned()));
            if let Some(escaped) = after.strip_prefix('\\') {
                // As a configuration file writes it.
                let next = escaped.chars().next().ok_or("ends in a backslash")?;
                pieces.push(Piece::Text(if next == 't' { "\t".into() } else { next.into() }));
                rest = escaped.get(next.len_utf8()..).unwrap_or_default();
                continue;
            }
            let after = after.get(1..).unwrap_or_default();
            // Status codes it is written for, and whether it is the first or the last request.
            let after = after.trim_start_matches(|c: char| {
                c.is_ascii_digit() || matches!(c, ',' | '!' | '<' | '>')
            });
            let (inner, after) = match after.strip_prefix('{') {
                Some(inner) => inner.split_once('}').ok_or("a `%{` without `}`")?,
                None => ("", after),
            };
            let directive = after.trim_start_matches('^').chars().next().ok_or("ends in a `%`")?;
            rest = after.trim_start_matches('^').get(directive.len_utf8()..).unwrap_or_default();
            match directive {
                '%' => pieces.push(Piece::Text("%".into())),
                't' if inner.is_empty() => pieces.extend([
                    Piece::Text("[".into()),
                    Piece::Gap(Holds::Time),
                    Piece::Text("]".into()),
                ]),
                _ => pieces.push(Piece::Gap(apache(directive, inner)?)),
            }
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Self::new(text, pieces)
    }

    /// Reads Nginx's notation. The error says what is wrong with it.
    pub(crate) fn nginx(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('$') {
            pieces.push(Piece::Text(literal.to_owned()));
            let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = braced.unwrap_or_else(|| {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                after.split_at(after.find(|c: char| !is_part(c)).unwrap_or(after.len()))
            });
            if name.is_empty() {
                return Err("a `$` without the name of a variable".into());
            }
            pieces.push(Piece::Gap(nginx(name)));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Self::new(text, pieces)
    }

    fn new(text: &str, pieces: Vec<Piece>) -> Result<Self, String> {
        if text.len() > LOG_FORMAT_BYTES_MAX {
            return Err(format!("a format may have {LOG_FORMAT_BYTES_MAX} bytes"));
        }
        let mut format = LogFormat { prefix: "".into(), gaps: Vec::new() };
        let mut literal = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => literal.push_str(&text),
                Piece::Gap(holds) => {
                    if literal.is_empty() && !format.gaps.is_empty() {
                        return Err("two values need text between them".into());
                    }
                    let is_quoted = literal.ends_with('"');
                    format.end(std::mem::take(&mut literal));
                    format.gaps.push(Gap { holds, is_quoted, until: "".into() });
                }
            }
        }
        format.end(literal);
        for gap in &mut format.gaps {
            gap.is_quoted &= gap.until.starts_with('"');
        }
        if format.gaps.len() > LOG_FORMAT_GAPS_MAX {
            return Err(format!("a format may have {LOG_FORMAT_GAPS_MAX} values"));
        }
        // Without a time and a request, anything would fit.
        let has = |wanted: fn(&Holds) -> bool| format.gaps.iter().any(|gap| wanted(&gap.holds));
        let is_request =
            |holds: &Holds| matches!(holds, Holds::Request | Holds::Target | Holds::Status);
        if !has(|holds| *holds == Holds::Time) || !has(is_request) {
            return Err("a format needs a time, and the request or its status".into());
        }
        Ok(format)
    }

    fn end(&mut self, literal: String) {
        match self.gaps.last_mut() {
            Some(gap) => gap.until = literal.into(),
            None => self.prefix = literal.into(),
        }
    }

    /// Reads `line` if it is written so: when it happened, where it says so. Otherwise nothing is
    /// pushed.
    pub(crate) fn read(&self, line: &str, flat: &mut Flat) -> Option<Option<UtcMicros>> {
        let mark = flat.mark();
        let read = self.walk(line, flat);
        if read.is_none() {
            flat.back_to(mark);
        }
        read
    }

    fn walk(&self, line: &str, flat: &mut Flat) -> Option<Option<UtcMicros>> {
        let mut rest = line.strip_prefix(&*self.prefix)?;
        let mut instant = None;
        for gap in &self.gaps {
            let (value, after) = if gap.is_quoted {
                let (value, after) = web::quoted(rest)?;
                (value, after.strip_prefix(gap.until.get(1..)?)?)
            } else if gap.until.is_empty() {
                (rest, "")
            } else {
                rest.split_once(&*gap.until)?
            };
            rest = after;
            if matches!(value, "" | "-") {
                continue;
            }
            let value = &*web::unescape(value);
            match &gap.holds {
                Holds::Nothing => {}
                Holds::Field(name) => flat.push(name, value),
                Holds::Client => {
                    let is_address = value.parse::<std::net::IpAddr>().is_ok();
                    flat.push(if is_address { "source.ip" } else { "source.domain" }, value);
                }
                Holds::Forwarded => {
                    let first = value.split(',').next().unwrap_or_default().trim();
                    if first.parse::<std::net::IpAddr>().is_ok() {
                        flat.push("network.forwarded_ip", first);
                    }
                }
                Holds::Request => web::push_request(value, flat),
                Holds::Target => {
                    flat.push("url.original", value);
                    let (path, query) = value.split_once('?').unwrap_or((value, ""));
                    flat.push("url.path", path);
                    if !query.is_empty() {
                        flat.push("url.query", query);
                    }
                }
                Holds::Status => {
                    let is_code = value.len() == 3 && value.bytes().all(|b| b.is_ascii_digit());
                    is_code.then(|| flat.push("http.response.status_code", value))?;
                }
                Holds::Time => instant = Some(when(value)?),
                Holds::Duration(unit) => push_duration(value, *unit, flat),
            }
        }
        rest.is_empty().then_some(instant)
    }
}

fn when(value: &str) -> Option<UtcMicros> {
    let value = value.trim_start_matches('[').trim_end_matches(']');
    // What the server writes has its zone, or is since 1970.
    headed::instant(value, &TimeZone::UTC, UtcMicros::default()).or_else(|| time::clf(value))
}

/// Adds `event.duration` (nanoseconds); of several servers asked in turn (`0.1, 0.2`), the last.
pub(crate) fn push_duration(value: &str, unit: u32, flat: &mut Flat) {
    let last = value.rsplit([',', ':']).next().unwrap_or_default().trim();
    let Ok(units) = last.parse::<f64>() else { return };
    let nanos = (units * f64::from(unit)).round();
    // A day is more than any request takes.
    if (0.0..=86_400.0 * f64::from(SECOND)).contains(&nanos) {
        let nanos = flat.display(format_args!("{nanos:.0}"));
        let name = flat.names.id("event.duration");
        flat.push_spans(name, nanos);
    }
}

fn field(name: &str) -> Holds {
    Holds::Field(name.into())
}

fn apache(directive: char, inner: &str) -> Result<Holds, String> {
    Ok(match directive {
        'h' | 'a' => Holds::Client,
        'A' => field("destination.ip"),
        'u' => field("user.name"),
        't' => Holds::Time,
        'r' => Holds::Request,
        'm' => field("http.request.method"),
        'U' => Holds::Target,
        'q' => field("url.query"),
        'H' => Holds::Nothing,
        's' => Holds::Status,
        'b' | 'B' => field("http.response.body.bytes"),
        'O' => field("http.response.bytes"),
        'I' => field("http.request.bytes"),
        'S' => Holds::Nothing,
        'D' => Holds::Duration(1_000),
        'T' => Holds::Duration(match inner {
            "ms" => 1_000_000,
            "us" => 1_000,
            _ => SECOND,
        }),
        'v' | 'V' => field("url.domain"),
        'p' => field("url.port"),
        'P' => field("process.pid"),
        'i' => header(&inner.to_ascii_lowercase()),
        'C' | 'e' | 'f' | 'k' | 'l' | 'L' | 'n' | 'o' | 'R' | 'X' | 'x' | 'c' => Holds::Nothing,
        _ => return Err(format!("%{directive} is no directive of Apache's LogFormat")),
    })
}

fn header(name: &str) -> Holds {
    match name.replace('_', "-").as_str() {
        "referer" => field("http.request.referrer"),
        "user-agent" => field("user_agent.original"),
        "host" => field("url.domain"),
        "x-forwarded-for" => Holds::Forwarded,
        _ => Holds::Nothing,
    }
}

fn nginx(name: &str) -> Holds {
    match name {
        "remote_addr" => Holds::Client,
        "remote_port" => field("source.port"),
        "remote_user" => field("user.name"),
        "server_addr" => field("destination.ip"),
        "server_port" => field("url.port"),
        "time_local" | "time_iso8601" | "msec" => Holds::Time,
        "request" => Holds::Request,
        "request_method" => field("http.request.method"),
        "request_uri" | "uri" => Holds::Target,
        "args" | "query_string" => field("url.query"),
        "status" => Holds::Status,
        "body_bytes_sent" => field("http.response.body.bytes"),
        "bytes_sent" => field("http.response.bytes"),
        "request_length" => field("http.request.bytes"),
        "request_time" => Holds::Duration(SECOND),
        "host" | "server_name" | "http_host" => field("url.domain"),
        "scheme" => field("url.scheme"),
        "ssl_protocol" => field("tls.version"),
        "ssl_cipher" => field("tls.cipher"),
        "request_id" => field("http.request.id"),
        "pid" => field("process.pid"),
        "proxy_protocol_addr" => Holds::Forwarded,
        _ => name.strip_prefix("http_").map_or(Holds::Nothing, header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(format: &LogFormat, line: &str) -> Option<String> {
        let mut flat = Flat::default();
        let time = format.read(line, &mut flat)?;
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        let fields =
            entries.map(|e| format!("{}={}\n", flat.names.text(e.name), flat.get(e.value)));
        let time = time.map(|time| format!("@timestamp={time}\n")).unwrap_or_default();
        Some(fields.collect::<String>() + &time)
    }

    #[test]
    fn apache_as_the_configuration_says_it() {
        let text = r#"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" \"%{X-Forwarded-For}i\" %D"#;
        let format = LogFormat::apache(text).unwrap();
        let line = r#"www.example.com:443 203.0.113.9 - tanaka [21/Nov/2026:10:00:00 +0900] "GET /a?b=\"1\" HTTP/1.1" 200 512 "-" "curl/8 \"x\"" "198.51.100.7, 10.0.0.1" 1500"#;
        insta::assert_snapshot!(fields(&format, line).unwrap(), @r#"
        url.domain=www.example.com
        url.port=443
        source.ip=203.0.113.9
        user.name=tanaka
        http.request.method=GET
        url.original=/a?b="1"
        url.path=/a
        url.query=b="1"
        http.version=1.1
        http.response.status_code=200
        http.response.bytes=512
        user_agent.original=curl/8 "x"
        network.forwarded_ip=198.51.100.7
        event.duration=1500000
        @timestamp=2026-11-21T01:00:00.000000Z
        "#);
        assert_eq!(fields(&format, &line.replace(" 200 ", " OK ")), None);
    }

    #[test]
    fn nginx_as_the_configuration_says_it() {
        let text = r#"$remote_addr|$time_iso8601|$request_method|${request_uri}|$status|$request_time|$upstream_addr|"$http_user_agent""#;
        let format = LogFormat::nginx(text).unwrap();
        let line =
            r#"2001:db8::9|2026-11-21T10:00:00+09:00|POST|/login|401|0.250|192.0.2.8:80|"-""#;
        insta::assert_snapshot!(fields(&format, line).unwrap(), @"
        source.ip=2001:db8::9
        http.request.method=POST
        url.original=/login
        url.path=/login
        http.response.status_code=401
        event.duration=250000000
        @timestamp=2026-11-21T01:00:00.000000Z
        ");
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        for (text, said) in [
            ("%h%l %t %r", "text between"),
            ("%h %u", "needs a time"),
            ("%h %t", "needs a time, and the request"),
            ("%t %r %", "ends in"),
            ("%t %r %{x", "without"),
            ("%t %r %Z", "no directive"),
        ] {
            let error = LogFormat::apache(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(LogFormat::nginx("$time_local $ $request").is_err());
        let many = |count: usize| format!("%t %r{}", " %l".repeat(count - 2));
        assert!(LogFormat::apache(&many(LOG_FORMAT_GAPS_MAX)).is_ok());
        assert!(LogFormat::apache(&many(LOG_FORMAT_GAPS_MAX + 1)).is_err());
        let long = |bytes: usize| format!("%t %r{}", "x".repeat(bytes - 5));
        assert!(LogFormat::apache(&long(LOG_FORMAT_BYTES_MAX)).is_ok());
        assert!(LogFormat::apache(&long(LOG_FORMAT_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(format in r#"[%$\\{}a-zA-Z<>, "\[\]-]{0,40}"#, line in r#"[a-c"\\\[\] -]{0,40}"#) {
            for format in [LogFormat::apache(&format), LogFormat::nginx(&format)].into_iter().flatten() {
                let _ = format.read(&line, &mut Flat::default());
            }
            let fixed = LogFormat::nginx(r#"$remote_addr [$time_local] "$request" $status"#).unwrap();
            let _ = fixed.read(&line, &mut Flat::default());
        }
    }
}
