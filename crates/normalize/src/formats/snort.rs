//! Alerts of Snort, and of Suricata's `fast.log`: `[**] [1:2001219:20] ET SCAN ... [**]
//! [Classification: ...] [Priority: 2] {TCP} 203.0.113.9:40000 -> 192.0.2.10:22` (Snort manual,
//! "alert_fast" and "alert_syslog"). A full alert, sent as one record of several lines, reads the same.

use super::device::{DESTINATION, SOURCE, has, push, push_end, push_observer, push_transport};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::time;
use yagura_event::UtcMicros;

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let (before, text) = match line.text.split_once("[**] ") {
        Some((before, text)) if before.len() <= 40 => (before.trim(), text),
        _ => ("", line.text),
    };
    // `[1:2001219:20] `: generator, signature, revision.
    let (numbers, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let mut parts = numbers.split(':');
    let (generator, signature, revision) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || ![generator, signature, revision].into_iter().all(number) {
        return None;
    }
    if !has(rest, "[Priority: ") && !has(rest, " -> ") {
        return None;
    }
    let end = rest.find([']', '[', '{']).unwrap_or(rest.len());
    let (title, rest) = rest.split_at(end);
    let (vendor, product) = match line.header.and_then(|header| header.program) {
        Some("suricata") => ("OISF", "Suricata"),
        _ => ("Cisco", "Snort"),
    };
    push_observer(flat, vendor, product, "ids");
    push(flat, "rule.id", signature);
    push(flat, "event.code", &format!("{generator}:{signature}:{revision}"));
    push(flat, "rule.name", title.trim().trim_matches('"'));
    if let Some(class) = between(rest, "[Classification: ", "]") {
        push(flat, "rule.category", class);
    }
    if let Some(priority) = between(rest, "[Priority: ", "]") {
        push(flat, "event.severity", priority);
    }
    if has(before, "[Drop]") || has(rest, "[Drop]") {
        flat.push("action", "drop");
    }
    let packet = match rest.split_once("} ") {
        Some((front, packet)) => {
            let protocol = front.rsplit('{').next().unwrap_or_default();
            push_transport(flat, protocol);
            packet
        }
        None => rest,
    };
    if let Some((source, destination)) = packet.split_once(" -> ") {
        push_end(flat, &SOURCE, source.rsplit(['\n', ' ']).next().unwrap_or_default());
        push_end(flat, &DESTINATION, destination.split(['\n', ' ']).next().unwrap_or_default());
    }
    Some(Found { dataset: "network.ids", time: alert_time(before, line) })
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

/// `11/21-10:02:03.123456` (Snort) or `11/21/2026-10:02:03.123456` (Suricata).
fn alert_time(text: &str, line: &Line<'_>) -> Option<UtcMicros> {
    let (date, clock) = text.split_whitespace().next()?.split_once('-')?;
    let mut parts = date.split('/');
    let (month, day) = (parts.next()?, parts.next()?);
    if let Some(year) = parts.next() {
        let year = if year.len() == 2 { format!("20{year}") } else { year.to_owned() };
        return Some(time::iso(&format!("{year}-{month}-{day}T{clock}"), line.receipt.zone)?.0);
    }
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let text = format!("{month} {day} {clock}");
    Some(time::bsd(&text, line.receipt.received, line.receipt.zone)?.0)
}
