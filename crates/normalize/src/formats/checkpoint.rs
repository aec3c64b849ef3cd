//! Check Point's Log Exporter in its `syslog` format: `[action:"Accept"; src:"192.0.2.1"; ...]` behind an
//! RFC 5424 header (Check Point, sk122323 "Log Exporter"). The fields keep their own names.

use super::device::{SOURCE, push, push_end, push_observer, push_transport};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;
use crate::time;

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let structured = line.header.and_then(|header| header.structured_data);
    let whole = match structured {
        Some(data) if line.text.is_empty() => data,
        _ => line.text,
    };
    let text = whole.strip_prefix('[')?.trim_start();
    let ours = line.header.is_some_and(|header| header.program == Some("CheckPoint"));
    let front = text.get(..text.len().min(24)).unwrap_or_default();
    if !front.contains(":\"") || !(ours || front.starts_with("action:\"")) {
        return None;
    }
    push_observer(flat, "Check Point", "Security Gateway", "firewall");
    let (mut stamp, mut product, mut blade) = (None, "", false);
    for (key, value) in pairs(text).take(PAIRS_PER_LINE_MAX) {
        match key {
            "time" => stamp = time::epoch(value),
            "product" => product = value,
            "attack" | "protection_name" | "malware_action" => blade = true,
            "proto" => push_transport(flat, value),
            "origin" => push_end(flat, &OBSERVER, value),
            "src" => push_end(flat, &SOURCE, value),
            _ => {}
        }
        push(flat, key, value);
    }
    flat.push("message", whole);
    let dataset = match product {
        _ if blade => "network.ids",
        "SmartConsole" | "SmartDashboard" | "WEB_API" | "System Monitor" | "Syslog" => {
            "network.device"
        }
        "SmartDefense" | "Anti Malware" | "Anti-Virus" | "New Anti Virus" | "Threat Emulation" => {
            "network.ids"
        }
        _ => "network.firewall",
    };
    Some(Found { dataset, time: stamp })
}

const OBSERVER: super::device::End = super::device::End::named("observer.ip", "observer.name");

/// The pairs; `\"` is a quote inside a value.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once(":\"")?;
        let bytes = after.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let value = after.get(..end).unwrap_or(after);
        rest = after.get(end + 1..).unwrap_or_default();
        Some((key.trim_start_matches([';', ' ']).trim(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_and_strays() {
        let read: Vec<_> = pairs(r#"action:"Drop"; rule_name:"a; \"b\""; x:"open"#).collect();
        assert_eq!(read, [("action", "Drop"), ("rule_name", r#"a; \"b\""#), ("x", "open")]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a:;\"\\\\ 日]{0,40}") {
            for _ in pairs(&text) {}
        }
    }
}
