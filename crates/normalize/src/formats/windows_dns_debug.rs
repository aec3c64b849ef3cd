//! The debug log of the Windows DNS server (`dns.log`; "DNS logging and diagnostics", Microsoft):
//!
//! ```text
//! 6/14/2026 10:00:01 AM 0E70 PACKET  00000000033397A0 UDP Rcv 192.0.2.61  5b47   Q [0001   D   NOERROR] A  (3)www(7)example(3)com(0)
//! ```
//!
//! The date is in the server's language; those of English, Japanese and ISO form are read.

use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use jiff::fmt::strtime::BrokenDownTime;
use yagura_event::UtcMicros;

/// How dates are written, by the words they take.
const FORMATS: [(usize, &str); 5] = [
    (3, "%m/%d/%Y %I:%M:%S %p"),
    (2, "%Y/%m/%d %H:%M:%S"),
    (2, "%m/%d/%Y %H:%M:%S"),
    (2, "%Y%m%d %H:%M:%S"),
    (2, "%d.%m.%Y %H:%M:%S"),
];

/// Longest name read, in bytes: twice what the protocol allows (RFC 1035 section 2.3.4).
const NAME_BYTES_MAX: usize = 512;

pub(super) fn read(line: &Line<'_>, _: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    // Cheap and certain: a date begins with a digit, and every packet line has this word.
    if !line.text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let head = line.text.get(..64).unwrap_or(line.text);
    let at = head.find(" PACKET ")?;
    let (stamp, rest) = (line.text.get(..at)?, line.text.get(at + 8..)?);
    let (stamp, thread) = stamp.rsplit_once(' ')?;
    u32::from_str_radix(thread, 16).ok()?;
    let time = instant(line, stamp)?;
    let (before, after) = rest.split_once('[')?;
    let mut words = before.split_ascii_whitespace();
    let (_, transport, direction) = (words.next()?, words.next()?, words.next()?);
    let inbound = match direction {
        "Rcv" => true,
        "Snd" => false,
        _ => return None,
    };
    let (address, id) = (words.next()?, words.next()?);
    let is_answer = words.clone().any(|word| word == "R");
    let opcode = words.find(|word| *word != "R");
    flat.push("windows.dns.direction", direction);
    flat.push("windows.dns.context", "PACKET");
    flat.push("network.transport", &transport.to_ascii_lowercase());
    flat.push(if inbound { "source.ip" } else { "destination.ip" }, address);
    flat.push("dns.id", id);
    flat.push("dns.type", if is_answer { "answer" } else { "query" });
    flat.push("windows.dns.opcode", opcode.unwrap_or("Q"));
    let (flags, question) = after.split_once(']')?;
    let mut flags = flags.split_ascii_whitespace();
    flat.push("dns.response_code", flags.next_back().unwrap_or_default());
    let mut question = question.split_ascii_whitespace();
    if let (Some(kind), Some(name)) = (question.next(), question.next()) {
        flat.push("dns.question.type", kind);
        flat.push("dns.question.name", &labels(name));
    }
    Some(Found { dataset: "windows.dns_debug", time: Some(time) })
}

fn instant(line: &Line<'_>, stamp: &str) -> Option<UtcMicros> {
    let words = stamp.split(' ').count();
    FORMATS.iter().filter(|(count, _)| *count == words).find_map(|(_, format)| {
        let broken = BrokenDownTime::parse(format, stamp).ok()?;
        let zoned = broken.to_datetime().ok()?.to_zoned(line.receipt.zone.clone()).ok()?;
        Some(zoned.timestamp().into())
    })
}

/// `(3)www(7)example(3)com(0)` as `www.example.com`.
fn labels(name: &str) -> String {
    let mut text = String::new();
    for part in name.split('(').skip(1) {
        let Some((_, label)) = part.split_once(')') else { continue };
        if label.is_empty() || text.len() + label.len() > NAME_BYTES_MAX {
            continue;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    if text.is_empty() { name.chars().take(NAME_BYTES_MAX).collect() } else { text }
}
