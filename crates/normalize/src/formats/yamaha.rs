//! YAMAHA RTX, FWX and NVR routers (YAMAHA, "SYSLOG reference manual"): `PP[01] Rejected at IN(2000)
//! filter: TCP 192.0.2.1:51515 > 198.51.100.1:22`, `[INSPECT] LAN2[out][31] TCP ...`, PPP, IKE, logons.
//!
//! Filters are taken apart here; the other messages by the patterns whose program is `yamaha`.

use super::device::{
    DESTINATION, SOURCE, push, push_end, push_observer, push_sender, push_transport,
};
use super::{Found, Line, StreamContext};
use crate::byte_set::ByteSet;
use crate::flat::Flat;
use crate::names;
use crate::time;
use yagura_event::UtcMicros;

/// Datasets that patterns of these messages may name.
const DATASETS: [&str; 3] = ["network.device", "network.vpn", "network.dhcp"];

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    // Routers send neither time nor host; relays add both.
    let (stamp, text) = own_time(line);
    // `LAN1: link up` looks as if a program of that name spoke.
    let tag = line.header.and_then(|header| header.program).filter(|program| is_lan(program));
    // Cheap: how these begin, or what the line of a filter always has.
    let begins = matches!(text.as_bytes(), [b'[' | b'P' | b'T' | b'I' | b'L' | b'C', ..]);
    if tag.is_none() && !begins && !line.bytes.has_all(b"(:)") {
        return None;
    }
    let tagged = tag.map(|tag| format!("{tag}: {text}"));
    let text = tagged.as_deref().unwrap_or(text);
    let found = filter(text, flat)
        .or_else(|| inspect(text, line, flat))
        .or_else(|| other(text, line, flat))?;
    push_sender(flat, line);
    flat.push_known(names::MESSAGE, text);
    Some(Found { time: found.time.or(stamp), ..found })
}

fn is_lan(program: &str) -> bool {
    let number = program.strip_prefix("LAN").unwrap_or_default();
    (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// `2026/11/21 10:02:03: `, as the router's own log has it.
fn own_time<'a>(line: &Line<'a>) -> (Option<UtcMicros>, &'a str) {
    let digit = line.text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let split = line.text.split_at_checked(19).filter(|_| digit).and_then(|(stamp, rest)| {
        let instant = time::iso(stamp, line.receipt.zone)?.0;
        Some((instant, rest.strip_prefix(": ")?))
    });
    match split {
        Some((instant, rest)) => (Some(instant), rest),
        None => (None, line.text),
    }
}

/// `<interface> Rejected at IN(2000) filter: TCP <source> > <destination>`, also `Passed at`.
fn filter(text: &str, flat: &mut Flat) -> Option<Found> {
    let (interface, rest) = text.split_once(' ')?;
    let (action, rest) = match rest.strip_prefix("Rejected at ") {
        Some(rest) => ("reject", rest),
        None => ("pass", rest.strip_prefix("Passed at ")?),
    };
    let (place, packet) = rest.split_once(" filter: ")?;
    let (direction, rule) = place.strip_suffix(')')?.split_once('(')?;
    push_observer(flat, "YAMAHA", "RTX", "firewall");
    flat.push("action", action);
    push(flat, "rule.id", rule);
    push(flat, "observer.ingress.interface.name", interface);
    push_direction(flat, direction);
    push_packet(flat, packet);
    Some(Found { dataset: "network.firewall", time: None })
}

/// `[INSPECT] <interface>[out][31] TCP <source> > <destination> (2026/11/21 10:02:03)`: a session that
/// the dynamic filter let through.
fn inspect(text: &str, line: &Line<'_>, flat: &mut Flat) -> Option<Found> {
    let rest = text.strip_prefix("[INSPECT] ")?;
    let (place, packet) = rest.split_once(' ')?;
    let (place, rule) = place.strip_suffix(']')?.rsplit_once('[')?;
    let (interface, direction) = place.strip_suffix(']')?.rsplit_once('[')?;
    let (packet, stamp) = match packet.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((packet, stamp)) => (packet, time::iso(stamp, line.receipt.zone)),
        None => (packet, None),
    };
    push_observer(flat, "YAMAHA", "RTX", "firewall");
    flat.push("action", "pass");
    flat.push("event.provider", "INSPECT");
    push(flat, "rule.id", rule);
    push(flat, "observer.ingress.interface.name", interface);
    push_direction(flat, direction);
    push_packet(flat, packet);
    Some(Found { dataset: "network.firewall", time: stamp.map(|(instant, _)| instant) })
}

fn push_direction(flat: &mut Flat, direction: &str) {
    match direction {
        "IN" | "in" => flat.push("network.direction", "inbound"),
        "OUT" | "out" => flat.push("network.direction", "outbound"),
        _ => {}
    }
}

/// `TCP 192.0.2.1:51515 > 198.51.100.1:22`, `ICMP 192.0.2.1 > 198.51.100.1 : echo request`.
fn push_packet(flat: &mut Flat, packet: &str) {
    let Some((front, destination)) = packet.split_once(" > ") else { return };
    let (protocol, source) = front.rsplit_once(' ').unwrap_or(("", front));
    push_transport(flat, protocol);
    push_end(flat, &SOURCE, source);
    push_end(flat, &DESTINATION, destination.split(' ').next().unwrap_or_default());
}

/// Everything else that only these routers say.
fn other(text: &str, line: &Line<'_>, flat: &mut Flat) -> Option<Found> {
    const BEGINS: [&str; 14] = [
        "[IKE",
        "[DHCPD]",
        "[SSHD]",
        "[HTTPD]",
        "[SWCTL]",
        "[PPTP]",
        "[L2TP]",
        "PP[",
        "TUNNEL[",
        "IP Tunnel[",
        "Login ",
        "Logout ",
        "LAN",
        "Configuration saved",
    ];
    if !BEGINS.iter().any(|begin| text.starts_with(begin)) {
        return None;
    }
    // Routers name no program; what anyone may say is only theirs without one.
    let named = line.header.is_some_and(|header| header.program.is_some());
    if named && text.starts_with("Log") {
        return None;
    }
    let mark = flat.mark();
    push_observer(flat, "YAMAHA", "RTX", "router");
    let matched = line.mappings.match_message(
        "yamaha",
        text,
        &ByteSet::of(text),
        line.receipt,
        |name, value| {
            push(flat, name, value);
        },
    );
    let Some(matched) = matched else {
        flat.back_to(mark);
        return None;
    };
    let named = matched
        .dataset
        .and_then(|dataset| DATASETS.into_iter().find(|n| line.mappings.dataset(n) == dataset));
    Some(Found { dataset: named.unwrap_or("network.device"), time: None })
}
