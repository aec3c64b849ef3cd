//! Messages that name themselves: Cisco's `%ASA-6-302013: text` and `%SYS-5-CONFIG_I: text` (Cisco,
//! "Syslog Messages" of ASA and Firepower, "System Message Guide" of IOS and NX-OS), and Huawei's and
//! H3C's `%%01BGP/3/BGP_AUTH_FAILED(l)[12]:text` (Huawei, "Log Reference" of VRP).
//!
//! What follows the name is read by the patterns whose program is `%ASA-302013` or `%SYS-CONFIG_I`:
//! the severity is a matter of configuration and no part of the key.

use super::device::{
    DESTINATION, End, SOURCE, has, level, push, push_end, push_observer, push_sender,
    push_transport,
};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;
use crate::names;
use crate::pattern::Receipt;
use crate::time;
use jiff::tz::{Offset, TimeZone};
use yagura_event::UtcMicros;

/// How far from the front the name may stand, behind counters, times and the host.
const INTRODUCTION_BYTES_MAX: usize = 160;

/// Datasets that patterns of these messages may name.
const DATASETS: [&str; 5] =
    ["network.firewall", "network.vpn", "network.device", "network.ids", "network.access"];

/// What a message calls itself.
#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    facility: &'a str,
    severity: u8,
    mnemonic: &'a str,
    vendor: Vendor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    /// ASA, FTD, FWSM, PIX: message numbers.
    CiscoFirewall,
    /// IOS, IOS XE, IOS XR, NX-OS.
    Cisco,
    /// VRP and Comware.
    Huawei,
}

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let front = &line.text.as_bytes()[..line.text.len().min(INTRODUCTION_BYTES_MAX)];
    let at = memchr::memchr(b'%', front)?;
    let (name, message) = name(line.text.get(at..)?)?;
    let before = line.text.get(..at).unwrap_or_default();
    let product = match (name.vendor, name.facility) {
        (Vendor::CiscoFirewall, facility) => facility.split('-').next().unwrap_or_default(),
        (Vendor::Cisco, _) => "IOS",
        (Vendor::Huawei, _) => "VRP",
    };
    let (vendor, kind) = match name.vendor {
        Vendor::CiscoFirewall => ("Cisco", "firewall"),
        Vendor::Cisco => ("Cisco", "network device"),
        Vendor::Huawei => ("Huawei", "network device"),
    };
    push_observer(flat, vendor, product, kind);
    push(flat, "event.code", name.mnemonic);
    push(flat, "event.provider", name.facility);
    push(flat, "log.level", level(name.severity));
    let (host, said) = introduction(before, line.receipt);
    if line.header.is_none_or(|header| header.host.is_none())
        && let Some(host) = host
    {
        flat.push_known(names::HOST_NAME, host);
    }
    push_sender(flat, line);
    flat.push_known(names::MESSAGE, line.text.get(at..).unwrap_or_default());
    let key = match name.vendor {
        Vendor::CiscoFirewall => format!("%ASA-{}", name.mnemonic),
        _ => format!("%{}-{}", name.facility, name.mnemonic),
    };
    let found =
        line.mappings.match_message(&key, message, line.bytes, line.receipt, |name, value| {
            push_part(flat, name, value);
        });
    if name.vendor == Vendor::CiscoFirewall && name.mnemonic.starts_with("4300") {
        named_values(message, flat);
    }
    let named = found.and_then(|found| found.dataset).and_then(|dataset| {
        DATASETS.into_iter().find(|known| line.mappings.dataset(known) == dataset)
    });
    Some(Found { dataset: named.unwrap_or_else(|| name.dataset()), time: said })
}

/// The name at the front of `text`, which begins with `%`, and the message behind it.
fn name(text: &str) -> Option<(Name<'_>, &str)> {
    const NAME_BYTES_MAX: usize = 96;
    let text = text.strip_prefix('%')?;
    if let Some(text) = text.strip_prefix('%') {
        return huawei(text);
    }
    let end = text.bytes().take(NAME_BYTES_MAX).position(|byte| matches!(byte, b':' | b' '))?;
    let (word, message) = text.split_at(end);
    let message = message.trim_start().strip_prefix(':')?.trim_start();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.');
    if !word.bytes().all(allowed) {
        return None;
    }
    // The severity is the first part that is one digit: `LINK-3-UPDOWN`, `IP-TCP-3-BADAUTH`.
    let mut from = 0;
    for part in word.split('-') {
        if from > 0
            && let [digit @ b'0'..=b'7'] = part.as_bytes()
        {
            let facility = word.get(..from - 1)?;
            let mnemonic = word.get(from + 2..)?;
            if !facility.starts_with(|c: char| c.is_ascii_alphabetic()) || mnemonic.is_empty() {
                return None;
            }
            let number = mnemonic.len() == 6 && mnemonic.bytes().all(|b| b.is_ascii_digit());
            // `ASA-session-6-106100`: the class may be written between them.
            let product = facility.split('-').next().unwrap_or_default();
            let firewall = number && matches!(product, "ASA" | "FTD" | "FWSM" | "PIX");
            let vendor = if firewall { Vendor::CiscoFirewall } else { Vendor::Cisco };
            return Some((Name { facility, severity: digit - b'0', mnemonic, vendor }, message));
        }
        from += part.len() + 1;
    }
    None
}

/// `01BGP/3/BGP_AUTH_FAILED(l)[12]:text`, or without the brackets.
fn huawei(text: &str) -> Option<(Name<'_>, &str)> {
    let (word, message) = text.split_once(':')?;
    let mut parts = word.trim_start_matches(|c: char| c.is_ascii_digit()).splitn(3, '/');
    let (facility, severity, mnemonic) = (parts.next()?, parts.next()?, parts.next()?);
    let [digit @ b'0'..=b'7'] = severity.as_bytes() else { return None };
    let mnemonic = mnemonic.split(['(', '[']).next()?.trim();
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !word(facility) || !word(mnemonic) {
        return None;
    }
    let name = Name { facility, severity: digit - b'0', mnemonic, vendor: Vendor::Huawei };
    Some((name, message.trim_start()))
}

/// What stands before the name: a counter, the host, the device's own time, in any order.
fn introduction<'a>(before: &'a str, receipt: Receipt<'_>) -> (Option<&'a str>, Option<UtcMicros>) {
    let (mut host, mut said) = (None, None);
    for part in before.split(": ") {
        let part = part.trim().trim_end_matches(':').trim_start_matches([':', '*', '.']).trim();
        if part.is_empty() || part.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if said.is_none()
            && let Some(instant) = device_time(part, receipt)
        {
            said = Some(instant);
        } else if host.is_none() && !part.contains(' ') && !part.contains('/') {
            host = Some(part);
        }
    }
    (host, said)
}

/// `Nov 21 10:02:03.123 JST`, `Nov 21 2026 10:02:03 UTC`, `2026 Nov 21 10:02:03 JST`.
fn device_time(text: &str, receipt: Receipt<'_>) -> Option<UtcMicros> {
    let (instant, rest) = time::bsd(text, receipt.received, receipt.zone)?;
    let hours = match rest.trim().split(' ').next()? {
        "UTC" | "GMT" | "Z" => 0,
        "JST" | "KST" => 9,
        "" => return Some(instant),
        // Other abbreviations mean different zones in different countries.
        zone if zone.len() <= 5 && zone.bytes().all(|b| b.is_ascii_uppercase()) => {
            return Some(instant);
        }
        _ => return None,
    };
    let zone = TimeZone::fixed(Offset::constant(hours));
    time::bsd(text, receipt.received, &zone).map(|(instant, _)| instant)
}

const TRANSLATED: End = End::of("source.nat.ip", "source.nat.port");

/// Ends of connections come as `address/port` in one gap.
fn push_part(flat: &mut Flat, name: &str, value: &str) {
    match name {
        "source.address" => push_end(flat, &SOURCE, value),
        "destination.address" => push_end(flat, &DESTINATION, value),
        "source.nat.ip" => push_end(flat, &TRANSLATED, value),
        "network.transport" => push_transport(flat, value),
        _ => push(flat, name, value.trim_matches(['"', '\''])),
    }
}

/// Firepower's `SrcIP: 192.0.2.10, DstPort: 443`, under the names of everyone.
fn named_values(message: &str, flat: &mut Flat) {
    for pair in message.split(", ").take(PAIRS_PER_LINE_MAX) {
        let Some((key, value)) = pair.split_once(": ") else { continue };
        let name = match key.trim() {
            "SrcIP" => "source.ip",
            "DstIP" => "destination.ip",
            "SrcPort" => "source.port",
            "DstPort" => "destination.port",
            "Protocol" => {
                push_transport(flat, value);
                continue;
            }
            "IngressInterface" => "observer.ingress.interface.name",
            "EgressInterface" => "observer.egress.interface.name",
            "IngressZone" => "observer.ingress.zone",
            "EgressZone" => "observer.egress.zone",
            "AccessControlRuleName" => "rule.name",
            "AccessControlRuleAction" | "InlineResult" | "FileAction" => "action",
            "AccessControlRuleReason" => "event.reason",
            "ACPolicy" | "AccessControlPolicy" => "rule.ruleset",
            "ApplicationProtocol" => "network.protocol",
            "WebApplication" => "network.application",
            "User" | "UserName" => "user.name",
            "UserAgent" => "user_agent.original",
            "URL" => "url.original",
            "URI" => "url.path",
            "InitiatorBytes" => "source.bytes",
            "ResponderBytes" => "destination.bytes",
            "InitiatorPackets" => "source.packets",
            "ResponderPackets" => "destination.packets",
            "Message" => "rule.description",
            "SID" => "rule.id",
            "Classification" => "rule.category",
            "FileName" => "file.name",
            "FileSHA256" => "file.hash.sha256",
            "ThreatName" => "threat.software.name",
            "DNSQuery" => "dns.question.name",
            other => other,
        };
        let value = if name == "network.protocol" { &value.to_ascii_lowercase() } else { value };
        push(flat, name, value.trim_matches('"'));
    }
}

impl Name<'_> {
    /// The dataset of messages that no pattern names one for. Message numbers of ASA go by class
    /// (Cisco, "Syslog messages and their classes").
    fn dataset(&self) -> &'static str {
        if self.vendor != Vendor::CiscoFirewall {
            let filter = has(self.mnemonic, "ACCESSLOG") || self.facility == "FW";
            return if filter { "network.firewall" } else { "network.device" };
        }
        match self.mnemonic {
            "430001" | "430004" | "430005" => return "network.ids",
            "113019" | "113039" => return "network.vpn",
            _ => {}
        }
        match self.mnemonic.get(..3).unwrap_or_default() {
            "101" | "102" | "103" | "104" | "105" | "109" | "111" | "112" | "113" | "199"
            | "208" | "211" | "212" | "214" | "216" | "306" | "307" | "308" | "315" | "321"
            | "414" | "442" | "502" | "504" | "505" | "604" | "605" | "606" | "607" | "608"
            | "609" | "610" | "611" | "612" | "614" | "615" | "701" | "709" | "711" | "717"
            | "769" | "771" | "772" => "network.device",
            "316" | "320" | "402" | "404" | "501" | "602" | "603" | "702" | "713" | "714"
            | "715" | "716" | "718" | "719" | "720" | "721" | "722" | "723" | "724" | "725"
            | "734" | "737" | "746" | "750" | "751" | "752" | "768" => "network.vpn",
            "400" | "733" | "338" | "420" => "network.ids",
            _ => "network.firewall",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt() -> Receipt<'static> {
        static UTC: TimeZone = TimeZone::UTC;
        Receipt { received: "2026-11-21T09:00:00Z".parse().unwrap(), zone: &UTC }
    }

    #[test]
    fn names_of_all_kinds() {
        let read = |text: &'static str| {
            name(text).map(|(n, message)| (n.facility, n.severity, n.mnemonic, message))
        };
        assert_eq!(read("%ASA-6-302013: Built"), Some(("ASA", 6, "302013", "Built")));
        assert_eq!(read("%IP-TCP-3-BADAUTH: x"), Some(("IP-TCP", 3, "BADAUTH", "x")));
        assert_eq!(
            read("%SECURITY-LOGIN-4-AUTHEN_FAILED : Failed"),
            Some(("SECURITY-LOGIN", 4, "AUTHEN_FAILED", "Failed"))
        );
        assert_eq!(
            read("%%01BGP/3/BGP_AUTH_FAILED(l)[12]:BGP session"),
            Some(("BGP", 3, "BGP_AUTH_FAILED", "BGP session"))
        );
        for not in ["%", "%%", "% of 5: x", "%5-6-7: x", "%A-9-B: x", "%d-6-: x", "%a b-5-C: x"] {
            assert_eq!(read(not), None, "{not}");
        }
    }

    #[test]
    fn introductions_give_host_and_time() {
        let at = |text: &'static str| {
            let (host, said) = introduction(text, receipt());
            (host, said.map(|at| at.to_string()))
        };
        let time = |text: &str| Some(text.to_owned());
        assert_eq!(
            at("45: rtr01: *Nov 20 10:02:03.123: "),
            (Some("rtr01"), time("2026-11-20T10:02:03.123000Z"))
        );
        assert_eq!(at("Nov 20 2026 10:02:03 JST: "), (None, time("2026-11-20T01:02:03.000000Z")));
        assert_eq!(at(": 2026 Nov 20 10:02:03 UTC: "), (None, time("2026-11-20T10:02:03.000000Z")));
        assert_eq!(at("rtr01 : "), (Some("rtr01"), None));
        assert_eq!(at(""), (None, None));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[%A-C0-9:/\\-日 ]{0,40}") {
            name(&format!("%{text}"));
            introduction(&text, receipt());
            named_values(&text, &mut Flat::default());
        }
    }
}
