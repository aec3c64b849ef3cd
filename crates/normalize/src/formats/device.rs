//! What the logs of network devices have in common: ends of a connection, protocol numbers, times.

use super::Line;
use crate::flat::Flat;
use crate::names;
use jiff::tz::TimeZone;
use std::net::IpAddr;
use yagura_event::UtcMicros;

/// The fields of one end of a connection.
pub(super) struct End {
    ip: &'static str,
    port: &'static str,
    domain: &'static str,
}

impl End {
    /// An end that is never a name.
    pub(super) const fn of(ip: &'static str, port: &'static str) -> End {
        End { ip, port, domain: "" }
    }

    /// An end without port.
    pub(super) const fn named(ip: &'static str, domain: &'static str) -> End {
        End { ip, port: "", domain }
    }
}

pub(super) const SOURCE: End =
    End { ip: "source.ip", port: "source.port", domain: "source.domain" };
pub(super) const DESTINATION: End =
    End { ip: "destination.ip", port: "destination.port", domain: "destination.domain" };

/// Adds a field, unless the device writes that it has no value.
pub(super) fn push(flat: &mut Flat, name: &str, value: &str) {
    let value = value.trim();
    if !matches!(value, "" | "-" | "N/A" | "n/a" | "None" | "none" | "(null)" | "unknown") {
        flat.push(name, value);
    }
}

/// Adds `192.0.2.1`, `192.0.2.1:80`, `192.0.2.1/80`, `192.0.2.1(80)`, `[2001:db8::1]:80` or
/// `2001:db8::1.80`. A name instead of an address becomes the domain.
pub(super) fn push_end(flat: &mut Flat, end: &End, text: &str) {
    let text = text.trim().trim_end_matches([',', ';']);
    let (host, port) = split_end(text);
    if host.parse::<IpAddr>().is_ok() {
        push(flat, end.ip, host);
    } else if !end.domain.is_empty() {
        push(flat, end.domain, host);
    }
    if let Some(port) = port
        && !end.port.is_empty()
    {
        push(flat, end.port, port);
    }
}

/// The address or name, and the port behind it.
pub(super) fn split_end(text: &str) -> (&str, Option<&str>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    let bare = text.strip_suffix(')').unwrap_or(text);
    if let Some((host, port)) = bare.rsplit_once([':', '/', '(', '.'])
        && is_port(port)
    {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // `2001:db8::1.80` but never the last part of `www.example.80`.
        let dotted = bare.as_bytes().get(bare.len() - port.len() - 1) == Some(&b'.');
        if !dotted || host.parse::<IpAddr>().is_ok() {
            return (host, Some(port));
        }
    }
    (text, None)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name of an IP protocol (IANA, "Assigned Internet Protocol Numbers"), as ECS writes
/// `network.transport`. Names come back in small letters.
pub(super) fn push_transport(flat: &mut Flat, protocol: &str) {
    let name = match protocol.trim() {
        "1" => "icmp",
        "2" => "igmp",
        "6" => "tcp",
        "17" => "udp",
        "41" => "ipv6",
        "47" => "gre",
        "50" => "esp",
        "51" => "ah",
        "58" => "ipv6-icmp",
        "89" => "ospf",
        "103" => "pim",
        "112" => "vrrp",
        "132" => "sctp",
        other => {
            push(flat, "network.transport", &other.to_ascii_lowercase());
            return;
        }
    };
    flat.push("network.transport", name);
}

/// Constants that say whose log this is.
pub(super) fn push_observer(flat: &mut Flat, vendor: &str, product: &str, kind: &str) {
    flat.push("observer.vendor", vendor);
    flat.push("observer.product", product);
    flat.push("observer.type", kind);
}

/// Adds the address that the message came from, where neither header nor message name the device.
pub(super) fn push_sender(flat: &mut Flat, line: &Line<'_>) {
    let unnamed = line.header.is_none_or(|header| header.host.is_none());
    let peer = split_end(line.origin.peer).0;
    if unnamed && flat.value(names::HOST_NAME).is_none() && peer.parse::<IpAddr>().is_ok() {
        flat.push("observer.ip", peer);
    }
}

/// `2026/11/21 10:02:03` and its like, in the zone of the source.
pub(super) fn civil_time(text: &str, zone: &TimeZone) -> Option<UtcMicros> {
    crate::time::iso(text, zone).map(|(instant, _)| instant)
}

/// Words of ECS `log.level` for the syslog severities 0 to 7.
pub(super) fn level(severity: u8) -> &'static str {
    const LEVELS: [&str; 8] =
        ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];
    LEVELS.get(usize::from(severity)).copied().unwrap_or("informational")
}

/// Whether `text` holds `word`.
pub(super) fn has(text: &str, word: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_in_every_spelling() {
        let ends = [
            ("192.0.2.1", ("192.0.2.1", None)),
            ("192.0.2.1:80", ("192.0.2.1", Some("80"))),
            ("192.0.2.1/80", ("192.0.2.1", Some("80"))),
            ("192.0.2.1(80)", ("192.0.2.1", Some("80"))),
            ("2001:db8::1", ("2001:db8::1", None)),
            ("[2001:db8::1]:443", ("2001:db8::1", Some("443"))),
            ("2001:db8::1.443", ("2001:db8::1", Some("443"))),
            ("2001:db8::1/443", ("2001:db8::1", Some("443"))),
            ("www.example.com:443", ("www.example.com", Some("443"))),
            ("www.example.443", ("www.example.443", None)),
            ("", ("", None)),
        ];
        for (text, expected) in ends {
            assert_eq!(split_end(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-f:./()\\[\\]日 ]{0,30}") {
            let mut flat = Flat::default();
            push_end(&mut flat, &SOURCE, &text);
            push_transport(&mut flat, &text);
        }
    }
}
