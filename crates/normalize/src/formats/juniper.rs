//! Juniper Junos and SRX: structured data (`RT_FLOW_SESSION_CREATE [junos@2636.1.1.1.2.129
//! source-address="192.0.2.1" ...]`) and plain messages that begin with their tag (Juniper, "System
//! Log Explorer").

use super::device::{push, push_observer, push_transport, split_end};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;
use crate::pairs;

/// Tags that Junos messages begin with.
const TAGS: [&str; 16] = [
    "RT_FLOW_",
    "RT_IDS_",
    "RT_SCREEN_",
    "IDP_",
    "WEBFILTER_",
    "AV_",
    "ANTISPAM_",
    "CONTENT_",
    "APPTRACK_",
    "AAMW_",
    "SECINTEL_",
    "UI_",
    "SSHD_LOGIN",
    "LOGIN_",
    "SNMP_",
    "KMD_",
];

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let header = line.header?;
    // Cheap: without a name in its header, a line begins with one.
    let begins = line.text.as_bytes().first().is_some_and(u8::is_ascii_uppercase);
    if header.message_id.is_none() && !begins {
        return None;
    }
    let known = |tag: &str| TAGS.iter().any(|known| tag.starts_with(known));
    let structured = header
        .structured_data
        .and_then(|data| data.strip_prefix("[junos@"))
        .and_then(|data| data.split_once(' '))
        .map(|(_, data)| data.trim_end_matches(']'));
    let (tag, message) = match (header.message_id, structured) {
        (Some(tag), Some(_)) => (tag, line.text),
        (Some(tag), None) if known(tag) => (tag, line.text),
        _ => {
            // `RT_FLOW: RT_FLOW_SESSION_DENY: session denied ...`, the first being the program.
            let (tag, message) = line.text.split_once(':')?;
            let word = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            if tag.len() > 64 || !tag.bytes().all(word) || !known(tag) {
                return None;
            }
            (tag, message.trim_start())
        }
    };
    let firewall = !matches!(tag.split('_').next(), Some("UI" | "SSHD" | "LOGIN" | "SNMP"));
    let kind = if firewall { "firewall" } else { "network device" };
    push_observer(flat, "Juniper", "Junos", kind);
    push(flat, "event.code", tag);
    match structured {
        Some(data) => parameters(data, flat),
        None => {
            if !flow(tag, message, flat) {
                line.mappings.match_message(
                    tag,
                    message,
                    line.bytes,
                    line.receipt,
                    |name, value| {
                        push(flat, name, value.trim_matches(['"', '\'']));
                    },
                );
            }
        }
    }
    if line.text.is_empty() {
        let data = header.structured_data.unwrap_or_default();
        flat.push("message", &format!("{tag} {data}"));
    }
    Some(Found { dataset: dataset(tag), time: None })
}

fn dataset(tag: &str) -> &'static str {
    let begins = |starts: &[&str]| starts.iter().any(|start| tag.starts_with(start));
    if begins(&["IDP_", "RT_IDS_", "RT_SCREEN_", "AV_", "ANTISPAM_", "AAMW_", "SECINTEL_"]) {
        "network.ids"
    } else if begins(&["RT_FLOW_", "APPTRACK_", "WEBFILTER_", "CONTENT_"]) {
        "network.firewall"
    } else if begins(&["KMD_"]) {
        "network.vpn"
    } else {
        "network.device"
    }
}

/// Structured data under the names of everyone; other parameters keep their own.
fn parameters(data: &str, flat: &mut Flat) {
    for (key, value) in pairs::pairs(data).take(PAIRS_PER_LINE_MAX) {
        let name = match key {
            "source-address" | "src-addr" | "src-ip" => "source.ip",
            "source-port" | "src-port" => "source.port",
            "destination-address" | "dst-addr" | "dst-ip" => "destination.ip",
            "destination-port" | "dst-port" => "destination.port",
            "nat-source-address" => "source.nat.ip",
            "nat-source-port" => "source.nat.port",
            "nat-destination-address" => "destination.nat.ip",
            "nat-destination-port" => "destination.nat.port",
            "protocol-id" | "protocol" | "protocol-name" => {
                push_transport(flat, value);
                continue;
            }
            "policy-name" | "rule-name" => "rule.name",
            "source-zone-name" | "source-zone" => "observer.ingress.zone",
            "destination-zone-name" | "destination-zone" => "observer.egress.zone",
            "packet-incoming-interface" | "source-interface-name" => {
                "observer.ingress.interface.name"
            }
            "destination-interface-name" => "observer.egress.interface.name",
            "bytes-from-client" => "source.bytes",
            "bytes-from-server" => "destination.bytes",
            "packets-from-client" => "source.packets",
            "packets-from-server" => "destination.packets",
            "username" | "user" => "user.name",
            "reason" => "event.reason",
            "application" => "network.application",
            "service-name" => "network.protocol",
            "attack-name" | "attack" | "threat-name" => "junos.attack",
            "threat-severity" => "junos.severity",
            "action" => "action",
            "url" | "obj" => "url.original",
            "command" => "process.command_line",
            other => other,
        };
        push(flat, name, value);
    }
}

/// `session denied 192.0.2.1/51515->198.51.100.5/22 0x0 junos-ssh 6(0) WAN-IN untrust trust ...`, and
/// created or closed ones, which name the translated ends behind the service.
fn flow(tag: &str, message: &str, flat: &mut Flat) -> bool {
    let closed = tag == "RT_FLOW_SESSION_CLOSE";
    if !matches!(tag, "RT_FLOW_SESSION_CREATE" | "RT_FLOW_SESSION_DENY") && !closed {
        return false;
    }
    let rest = message.strip_prefix("session ").unwrap_or(message);
    let rest = match rest.split_once(": ") {
        Some((front, rest)) if closed => {
            push(flat, "event.reason", front.trim_start_matches("closed "));
            rest
        }
        _ => rest.split_once(' ').map_or(rest, |(_, rest)| rest),
    };
    let words: Vec<&str> = rest.split_whitespace().take(PAIRS_PER_LINE_MAX).collect();
    let mut pairs = words.iter().filter_map(|word| word.split_once("->"));
    if let Some((source, destination)) = pairs.next() {
        both(flat, ["source.ip", "source.port"], source);
        both(flat, ["destination.ip", "destination.port"], destination);
    }
    if let Some((source, destination)) = pairs.next() {
        both(flat, ["source.nat.ip", "source.nat.port"], source);
        both(flat, ["destination.nat.ip", "destination.nat.port"], destination);
    }
    // Behind the protocol's number come the policy and the zones.
    let last = words.iter().rposition(|word| word.contains("->")).unwrap_or(0);
    let protocol = words.iter().enumerate().skip(last + 1).find_map(|(at, word)| {
        let number = word.split('(').next().filter(|word| word.len() <= 3)?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some((at, number))
    });
    if let Some((at, number)) = protocol.filter(|(_, number)| !number.is_empty()) {
        push_transport(flat, number);
        let names = ["rule.name", "observer.ingress.zone", "observer.egress.zone"];
        for (name, value) in names.into_iter().zip(words.iter().skip(at + 1)) {
            push(flat, name, value);
        }
    }
    true
}

fn both(flat: &mut Flat, [ip, port]: [&str; 2], text: &str) {
    let (address, number) = split_end(text);
    push(flat, ip, address);
    push(flat, port, number.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-z.:/>\\-=\" ]{0,60}") {
            let mut flat = Flat::default();
            for tag in ["RT_FLOW_SESSION_CREATE", "RT_FLOW_SESSION_CLOSE", "RT_FLOW_SESSION_DENY"] {
                flow(tag, &text, &mut flat);
            }
            parameters(&text, &mut flat);
        }
    }
}
