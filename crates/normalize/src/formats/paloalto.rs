//! Palo Alto Networks PAN-OS: comma-separated logs, fields by position (PAN-OS Administrator's Guide,
//! "Syslog Field Descriptions", 10.x and 11.x). The positions after the ones read here change
//! between versions; they are in the raw event.

use super::device::{civil_time, push, push_observer, push_transport};
use super::{Found, Line, StreamContext};
use crate::byte_set::ByteSet;
use crate::flat::Flat;
use crate::time;

/// Most fields of a line that are looked at; the longest log has about 120.
const COLUMNS_MAX: usize = 160;

/// Positions, counted from 0, and names.
type Layout = &'static [(usize, &'static str)];

/// The first fields of traffic and threats are the same.
const SESSION: Layout = &[
    (7, "source.ip"),
    (8, "destination.ip"),
    (9, "source.nat.ip"),
    (10, "destination.nat.ip"),
    (11, "rule.name"),
    (12, "source.user.name"),
    (13, "destination.user.name"),
    (14, "network.application"),
    (15, "pan.vsys"),
    (16, "observer.ingress.zone"),
    (17, "observer.egress.zone"),
    (18, "observer.ingress.interface.name"),
    (19, "observer.egress.interface.name"),
    (22, "pan.session_id"),
    (23, "pan.repeat_count"),
    (24, "source.port"),
    (25, "destination.port"),
    (26, "source.nat.port"),
    (27, "destination.nat.port"),
    (29, "network.transport"),
    (30, "action"),
];

const TRAFFIC: Layout = &[
    (31, "network.bytes"),
    (32, "source.bytes"),
    (33, "destination.bytes"),
    (34, "network.packets"),
    (36, "pan.elapsed_seconds"),
    (37, "url.category"),
    (44, "source.packets"),
    (45, "destination.packets"),
    (46, "event.reason"),
    (52, "host.name"),
];

const THREAT: Layout = &[
    (31, "pan.misc"),
    (32, "pan.threat"),
    (33, "url.category"),
    (34, "log.level"),
    (35, "pan.direction"),
    (43, "file.hash.sha256"),
    (46, "user_agent.original"),
    (47, "file.type"),
    (48, "pan.x_forwarded_for"),
    (49, "http.request.referrer"),
    (50, "email.from.address"),
    (51, "email.subject"),
    (52, "email.to.address"),
    (59, "host.name"),
    (63, "http.request.method"),
];

const SYSTEM: Layout = &[
    (7, "pan.vsys"),
    (8, "event.action"),
    (9, "pan.object"),
    (12, "pan.module"),
    (13, "log.level"),
    (14, "pan.description"),
    (22, "host.name"),
];

const CONFIG: Layout = &[
    (7, "source.ip"),
    (8, "pan.vsys"),
    (9, "pan.command"),
    (10, "user.name"),
    (11, "pan.client"),
    (12, "pan.result"),
    (13, "pan.path"),
];

const GLOBAL_PROTECT: Layout = &[
    (7, "pan.vsys"),
    (8, "vpn.event"),
    (9, "vpn.stage"),
    (10, "vpn.auth_method"),
    (11, "vpn.tunnel_type"),
    (12, "user.name"),
    (13, "source.geo.country_iso_code"),
    (14, "source.domain"),
    (15, "source.ip"),
    (17, "vpn.tunnel"),
    (21, "vpn.client_version"),
    (22, "vpn.client_os"),
    (25, "event.reason"),
    (26, "error.message"),
    (28, "vpn.status"),
    (33, "vpn.portal"),
];

const AUTHENTICATION: Layout = &[
    (7, "pan.vsys"),
    (8, "source.ip"),
    (9, "user.name"),
    (11, "pan.object"),
    (12, "rule.name"),
    (17, "pan.server_profile"),
    (18, "pan.description"),
    (19, "pan.client"),
    (20, "pan.event"),
];

const USER_ID: Layout = &[(7, "pan.vsys"), (8, "source.ip"), (9, "user.name"), (10, "pan.source")];

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    if !looks_right(line.text) {
        return None;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.text.len().clamp(64, 1 << 16))
        .from_reader(line.text.as_bytes());
    let mut record = csv::StringRecord::new();
    if !reader.read_record(&mut record).ok()? {
        return None;
    }
    let kind = record.get(3)?.to_ascii_uppercase();
    let subtype = record.get(4)?.to_owned();
    let (layouts, dataset): (&[Layout], _) = match kind.as_str() {
        "TRAFFIC" => (&[SESSION, TRAFFIC], "network.firewall"),
        "THREAT" if matches!(&*subtype, "url" | "file" | "data") => {
            (&[SESSION, THREAT], "network.firewall")
        }
        "THREAT" | "WILDFIRE" => (&[SESSION, THREAT], "network.ids"),
        "SYSTEM" if subtype == "globalprotect" => (&[SYSTEM], "network.vpn"),
        "SYSTEM" => (&[SYSTEM], "network.device"),
        "CONFIG" => (&[CONFIG], "network.device"),
        "GLOBALPROTECT" => (&[GLOBAL_PROTECT], "network.vpn"),
        "AUTHENTICATION" => (&[AUTHENTICATION], "network.device"),
        "USERID" => (&[USER_ID], "network.device"),
        "HIPMATCH" | "HIP-MATCH" | "DECRYPTION" | "TUNNEL" | "SCTP" | "CORRELATION" | "GTP"
        | "IPTAG" => (&[], "network.firewall"),
        _ => return None,
    };
    push_observer(flat, "Palo Alto Networks", "PAN-OS", "firewall");
    push(flat, "observer.serial_number", record.get(2).unwrap_or_default());
    flat.push("event.code", &kind);
    push(flat, "pan.subtype", &subtype);
    for &(position, name) in layouts.iter().copied().flatten() {
        if position < COLUMNS_MAX
            && let Some(value) = record.get(position)
        {
            field(flat, name, value);
        }
    }
    if kind == "SYSTEM" {
        let text = record.get(14).unwrap_or_default();
        line.mappings.match_message(
            "panos",
            text,
            &ByteSet::of(text),
            line.receipt,
            |name, value| {
                push(flat, name, value);
            },
        );
    }
    let said = record.get(6).filter(|text| !text.is_empty()).or(record.get(1));
    let said = said.and_then(|text| civil_time(text, line.receipt.zone));
    // A time with zone and milliseconds stands near the end of logs since version 10.
    let exact = record.iter().skip(20).take(COLUMNS_MAX).find(|text| is_high_resolution(text));
    let exact = exact.and_then(|text| time::iso(text, line.receipt.zone)).map(|(at, _)| at);
    Some(Found { dataset, time: exact.or(said) })
}

/// `1,2026/11/21 10:02:03,<serial>,TRAFFIC,`
fn looks_right(text: &str) -> bool {
    let Some((number, rest)) = text.split_once(',') else { return false };
    number.len() <= 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(
            rest.as_bytes(),
            [b'2', _, _, _, b'/', _, _, b'/', _, _, b' ', _, _, b':', _, _, b':', _, _, b',', ..]
        )
}

/// `2026-11-21T10:02:03.123+09:00`
fn is_high_resolution(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 29 && bytes.get(10) == Some(&b'T') && bytes.get(19) == Some(&b'.')
}

fn field(flat: &mut Flat, name: &str, value: &str) {
    match name {
        "network.transport" => push_transport(flat, value),
        // `Signature name(12345)`
        "pan.threat" => {
            let (title, number) = value
                .strip_suffix(')')
                .and_then(|value| value.rsplit_once('('))
                .unwrap_or((value, ""));
            push(flat, "pan.threat", title);
            push(flat, "pan.threat_id", number);
        }
        "source.nat.ip" | "destination.nat.ip" if matches!(value, "0.0.0.0" | "::") => {}
        "source.nat.port" | "destination.nat.port" if value == "0" => {}
        "source.ip" if value == "0.0.0.0" => {}
        "url.category" if value == "any" => {}
        "network.application"
            if matches!(value, "not-applicable" | "incomplete" | "insufficient-data") => {}
        "source.user.name" => {
            push(flat, name, value);
            push(flat, "user.name", value.rsplit('\\').next().unwrap_or(value));
        }
        _ => push(flat, name, value),
    }
}
