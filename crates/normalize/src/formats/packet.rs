//! Packet filters of open systems: the kernel's `IN= OUT= SRC= DST=` lines (iptables, nftables, ufw;
//! netfilter's `nf_log`), and `filterlog` of pfSense and OPNsense (Netgate, "Raw Filter Log Format").

use super::device::{has, push, push_observer, push_transport};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;

const FIREWALL: Found = Found { dataset: "network.firewall", time: None };

/// `[12345.678901] [UFW BLOCK] IN=eth0 OUT= MAC=... SRC=192.0.2.1 DST=198.51.100.1 ... PROTO=TCP SPT=1 DPT=2 SYN`
pub(super) fn netfilter(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let at = memchr::memmem::find(line.text.as_bytes(), b"IN=")?;
    let (prefix, packet) = line.text.split_at_checked(at)?;
    if !has(packet, " SRC=") || !has(packet, " DST=") || !has(packet, " OUT=") {
        return None;
    }
    let product = if prefix.contains("UFW") { "ufw" } else { "netfilter" };
    push_observer(flat, "Linux", product, "firewall");
    for word in packet.split(' ') {
        let Some((key, value)) = word.split_once('=') else { continue };
        let name = match key {
            "IN" => "observer.ingress.interface.name",
            "OUT" => "observer.egress.interface.name",
            "SRC" => "source.ip",
            "DST" => "destination.ip",
            "SPT" => "source.port",
            "DPT" => "destination.port",
            "LEN" => "network.bytes",
            "TYPE" => "icmp.type",
            "CODE" => "icmp.code",
            "PROTO" => {
                push_transport(flat, value);
                // What follows describes the packet inside an ICMP error.
                if value == "ICMP" && has(packet, "[SRC=") {
                    break;
                }
                continue;
            }
            _ => continue,
        };
        if flat_lacks(flat, name) {
            push(flat, name, value);
        }
    }
    let rule = without_uptime(prefix);
    push(flat, "rule.name", rule);
    if let Some(verdict) = verdict(rule) {
        flat.push("action", verdict);
    }
    Some(FIREWALL)
}

fn flat_lacks(flat: &mut Flat, name: &str) -> bool {
    let name = flat.names.id(name);
    flat.value(name).is_none()
}

/// The rule's prefix without `[12345.678901] `, colons and the brackets around it.
fn without_uptime(prefix: &str) -> &str {
    let prefix = prefix.trim();
    let rest = match prefix.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((uptime, rest)) if uptime.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            rest.trim()
        }
        _ => prefix,
    };
    let rest = rest.trim_end_matches([':', ' ', '-', '=', '>']);
    match rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) if !inside.contains(['[', ']']) => inside.trim(),
        _ => rest,
    }
}

/// What the rule's own name says was done; the kernel does not say it.
fn verdict(rule: &str) -> Option<&'static str> {
    let rule = rule.to_ascii_uppercase();
    let says = |words: &[&str]| words.iter().any(|word| rule.contains(word));
    if says(&["BLOCK", "DROP", "DENY", "DENIED", "REJECT", "INVALID", "BLACKLIST"]) {
        return Some(if rule.contains("REJECT") { "reject" } else { "drop" });
    }
    says(&["ALLOW", "ACCEPT", "PASS"]).then_some("accept")
}

/// `5,,,1000000103,igb0,match,block,in,4,0x0,,64,0,0,DF,6,tcp,60,192.0.2.1,198.51.100.1,51515,22,...`
pub(super) fn filterlog(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    if line.header?.program != Some("filterlog") {
        return None;
    }
    let columns: Vec<&str> = line.text.split(',').take(COLUMNS_MAX).collect();
    let column = |position: usize| columns.get(position).copied().unwrap_or_default();
    let (protocol, length, source) = match column(8) {
        "4" => (column(16), column(17), 18),
        // Traffic class, flow label, hop limit, then name before number.
        "6" => (column(12), column(14), 15),
        _ => return None,
    };
    push_observer(flat, "Netgate", "pf", "firewall");
    let fields = [
        ("rule.id", column(0)),
        ("rule.uuid", column(3)),
        ("observer.ingress.interface.name", column(4)),
        // Why it was logged: `match` is the usual, and says nothing.
        ("event.reason", if column(5) == "match" { "" } else { column(5) }),
        ("action", column(6)),
        ("network.bytes", length),
        ("source.ip", column(source)),
        ("destination.ip", column(source + 1)),
    ];
    for (name, value) in fields {
        push(flat, name, value);
    }
    let direction = match column(7) {
        "in" => "inbound",
        "out" => "outbound",
        other => other,
    };
    push(flat, "network.direction", direction);
    push_transport(flat, protocol);
    if matches!(protocol.to_ascii_lowercase().as_str(), "tcp" | "udp" | "sctp") {
        push(flat, "source.port", column(source + 2));
        push(flat, "destination.port", column(source + 3));
    }
    Some(FIREWALL)
}

/// Most fields of a filterlog line that are looked at; it has about 30.
const COLUMNS_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_and_what_they_do() {
        assert_eq!(without_uptime("[12345.678901] [UFW BLOCK] "), "UFW BLOCK");
        assert_eq!(without_uptime("iptables-DROP: "), "iptables-DROP");
        assert_eq!(without_uptime("[ 1.5] FW[in]: "), "FW[in]");
        assert_eq!(verdict("UFW BLOCK"), Some("drop"));
        assert_eq!(verdict("wan-reject"), Some("reject"));
        assert_eq!(verdict("UFW ALLOW"), Some("accept"));
        assert_eq!(verdict("new-ssh"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\[\\]0-9.: A-Z日]{0,40}") {
            verdict(without_uptime(&text));
        }
    }
}
