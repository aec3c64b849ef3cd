//! ArcSight Common Event Format and IBM's Log Event Extended Format.
//!
//! CEF (Micro Focus, "Implementing ArcSight Common Event Format", version 25 and 27):
//! `CEF:0|vendor|product|version|event class|name|severity|key=value ...`; `|` and `\` are escaped in
//! the header, `=`, `\` and line ends in values, and a value goes on up to the next ` key=`.
//!
//! LEEF (IBM, "QRadar LEEF format guide"): `LEEF:2.0|vendor|product|version|event id|delimiter|...`
//! with tabs between pairs unless version 2.0 names another delimiter, as itself or as `x09`.

use super::device::{has, push};
use super::{Found, Line, StreamContext};
use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;
use crate::time;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use yagura_event::UtcMicros;

/// How far from the front `CEF:` or `LEEF:` may stand: some senders put their name before it.
const INTRODUCTION_BYTES_MAX: usize = 64;

pub(super) fn read(
    line: &Line<'_>,
    _context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    if let Some(text) = behind(line.text, "CEF:") {
        return cef(text, line.receipt.zone, flat);
    }
    leef(behind(line.text, "LEEF:")?, line.receipt.zone, flat)
}

fn behind<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let front = &text.as_bytes()[..text.len().min(INTRODUCTION_BYTES_MAX)];
    let at = memchr::memmem::find(front, word.as_bytes())?;
    let text = text.get(at + word.len()..)?.trim_start();
    text.as_bytes().first()?.is_ascii_digit().then_some(text)
}

/// Who made the event, by the header.
struct Maker<'a> {
    vendor: Cow<'a, str>,
    product: Cow<'a, str>,
    class: Cow<'a, str>,
    name: Cow<'a, str>,
}

fn cef(text: &str, zone: &TimeZone, flat: &mut Flat) -> Option<Found> {
    let mut rest = text;
    let mut part = || {
        let (part, after) = header_part(rest)?;
        rest = after;
        Some(part)
    };
    let (_, vendor, product) = (part()?, part()?, part()?);
    let (version, class, name, severity) = (part()?, part()?, part()?, part()?);
    push_maker(flat, &vendor, &product, &version);
    push(flat, "event.code", &class);
    push(flat, "cef.name", &name);
    push_severity(flat, &severity);
    let maker = Maker { vendor, product, class, name };
    let category = cef_extension(rest, flat);
    let stamp = cef_time(rest, zone);
    Some(Found { dataset: maker.dataset(category.as_deref().unwrap_or_default()), time: stamp })
}

fn push_maker(flat: &mut Flat, vendor: &str, product: &str, version: &str) {
    push(flat, "observer.vendor", vendor);
    push(flat, "observer.product", product);
    push(flat, "observer.version", version);
}

/// CEF and LEEF count from 0 to 10; words are CEF's own.
fn push_severity(flat: &mut Flat, severity: &str) {
    push(flat, "event.severity", severity);
    let level = match severity {
        "0" | "1" | "2" | "3" | "Low" | "low" => "informational",
        "4" | "5" | "6" | "Medium" | "medium" => "warning",
        "7" | "8" | "High" | "high" => "error",
        "9" | "10" | "Very-High" | "very-high" => "critical",
        _ => return,
    };
    push(flat, "log.level", level);
}

/// The text up to the next `|` that is not escaped, and what follows it.
fn header_part(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut escaped = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                escaped = true;
                at += 2;
            }
            b'|' => {
                let part = text.get(..at)?;
                let part = if escaped { unescape(part) } else { part.into() };
                return Some((part, text.get(at + 1..)?));
            }
            _ => at += 1,
        }
    }
    None
}

/// `\|`, `\=`, `\\`, `\n` and `\r` without their backslash.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(c @ ('\\' | '=' | '|')) => plain.push(c),
                // Paths are often written without escapes.
                Some(c) => plain.extend(['\\', c]),
                None => plain.push('\\'),
            },
            c => plain.push(c),
        }
    }
    plain.into()
}

/// The pairs of an extension; values end before the next ` key=`.
fn extension(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once('=')?;
        let end = value_end(after);
        rest = after.get(end..).unwrap_or_default().trim_start();
        Some((key.trim(), after.get(..end)?.trim_end()))
    })
    .take(PAIRS_PER_LINE_MAX)
}

/// Where the value at the front of `text` ends: at the blank before the next key, or at the end.
fn value_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut key_from = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                key_from = None;
                at += 1;
            }
            b' ' => key_from = Some(at),
            b'=' => {
                if let Some(from) = key_from
                    && at > from + 1
                {
                    return from;
                }
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'[' | b']' => {}
            _ => key_from = None,
        }
        at += 1;
    }
    text.len()
}

/// Adds the pairs; answers the category.
fn cef_extension(text: &str, flat: &mut Flat) -> Option<String> {
    let mut category = None;
    // `cs1=WAN-IN cs1Label=Policy` is one field called Policy; the label may stand on either side.
    let labels: Vec<(&str, Cow<'_, str>)> = extension(text)
        .filter_map(|(key, value)| Some((key.strip_suffix("Label")?, unescape(value))))
        .collect();
    for (key, value) in extension(text) {
        if value.is_empty() || key.is_empty() || key.ends_with("Label") {
            continue;
        }
        let value = unescape(value);
        if key == "cat" {
            category = Some(value.clone().into_owned());
        }
        if let Some(label) = labels.iter().find(|(labelled, _)| *labelled == key) {
            push(flat, &label_name(&label.1), &value);
            continue;
        }
        push(flat, key, &value);
    }
    category
}

/// `cef.` and the label, with `_` for blanks.
fn label_name(label: &str) -> String {
    let clean = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    format!("cef.{}", label.trim().chars().map(clean).collect::<String>())
}

/// When it happened: the device's own time, its receipt, the end, the start.
fn cef_time(text: &str, zone: &TimeZone) -> Option<UtcMicros> {
    let value = |wanted: &str| extension(text).find(|(key, _)| *key == wanted);
    let names = ["rt", "deviceReceiptTime", "end", "start"];
    let (_, stamp) = names.into_iter().find_map(value)?;
    any_time(stamp, zone)
}

/// Milliseconds since 1970, ISO, or `Nov 21 2026 10:02:03.123 JST` as ArcSight prints dates.
fn any_time(stamp: &str, zone: &TimeZone) -> Option<UtcMicros> {
    let stamp = stamp.trim();
    let dated = || {
        // A year stands behind the day in every spelling of CEF, so no receipt is needed.
        let (instant, rest) = time::bsd(stamp, UtcMicros::from_micros(0), zone)?;
        let rest = rest.trim();
        if matches!(rest, "UTC" | "GMT" | "Z") {
            return time::bsd(stamp, UtcMicros::from_micros(0), &TimeZone::UTC).map(|(at, _)| at);
        }
        Some(instant)
    };
    time::epoch(stamp).or_else(|| time::iso(stamp, zone).map(|(at, _)| at)).or_else(dated)
}

fn leef(text: &str, zone: &TimeZone, flat: &mut Flat) -> Option<Found> {
    let (version, rest) = text.split_once('|')?;
    let (vendor, rest) = rest.split_once('|')?;
    let (product, rest) = rest.split_once('|')?;
    let (product_version, rest) = rest.split_once('|')?;
    let (event, rest) = rest.split_once('|')?;
    push_maker(flat, vendor, product, product_version);
    push(flat, "event.code", event);
    let (delimiter, rest) = match rest.split_once('|') {
        Some((delimiter, after)) if version.starts_with('2') => match delimiter_of(delimiter) {
            Some(delimiter) => (delimiter, after),
            None => ('\t', rest),
        },
        _ => ('\t', rest),
    };
    // Some senders write blanks or `^` where the text says tab.
    let delimiter = match delimiter {
        '\t' if !rest.contains('\t') && rest.contains('^') => '^',
        delimiter => delimiter,
    };
    let pairs = || {
        let pairs = rest.split(delimiter).filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.trim(), value.trim())).take(PAIRS_PER_LINE_MAX)
    };
    let mut category = "";
    for (key, value) in pairs() {
        match key {
            "" => continue,
            "cat" => category = value,
            "sev" => push_severity(flat, value),
            _ => {}
        }
        push(flat, key, value);
    }
    let stamp = pairs().find(|(key, _)| *key == "devTime").map(|(_, value)| value);
    let stamp = stamp.and_then(|stamp| any_time(stamp, zone));
    let maker = Maker {
        vendor: vendor.into(),
        product: product.into(),
        class: event.into(),
        name: "".into(),
    };
    let dataset = match maker.dataset(category) {
        "security.cef" => "security.leef",
        known => known,
    };
    Some(Found { dataset, time: stamp })
}

/// One character, or its number as `x09`, `0x09` (IBM allows both). Empty means tab.
fn delimiter_of(text: &str) -> Option<char> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (None, _) => Some('\t'),
        (Some(delimiter), None) => Some(delimiter),
        _ => {
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix('x'))?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
    }
}

impl Maker<'_> {
    /// The dataset of products whose logs we know by other ways too.
    fn dataset(&self, category: &str) -> &'static str {
        let vendor = self.vendor.to_ascii_lowercase();
        let product = self.product.to_ascii_lowercase();
        let category = if category.is_empty() { &self.name } else { category };
        match vendor.as_str() {
            "fortinet" => match category.split(':').next().unwrap_or_default() {
                "event" if category.contains("vpn") => "network.vpn",
                "event" => "network.device",
                "utm" if has(category, "ips") || has(category, "virus") => "network.ids",
                _ => "network.firewall",
            },
            "palo alto networks" => match (&*self.class, &*self.name) {
                ("GLOBALPROTECT", _) | (_, "GLOBALPROTECT") => "network.vpn",
                ("SYSTEM" | "CONFIG", _) | (_, "SYSTEM" | "CONFIG") => "network.device",
                ("THREAT", _) | (_, "THREAT") => "network.ids",
                _ if product.contains("lf") || product.contains("pan-os") => "network.firewall",
                _ => "security.cef",
            },
            "check point" => match &*product {
                "smartdefense" | "ips" | "anti malware" | "anti-bot" | "threat emulation" => {
                    "network.ids"
                }
                _ => "network.firewall",
            },
            "sonicwall" | "sophos" | "watchguard" | "stonesoft" | "forcepoint"
                if !product.contains("dlp") && !product.contains("endpoint") =>
            {
                "network.firewall"
            }
            "cisco" if product.contains("asa") || product.contains("firepower") => {
                "network.firewall"
            }
            "juniper" | "juniper networks" if product.contains("srx") => "network.firewall",
            "zscaler" if product.contains("nss") && category.contains("fw") => "network.firewall",
            _ => "security.cef",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_go_on_to_the_next_key() {
        let text = r"act=blocked msg=a \= b c=\d request=http://www.example.com/?a\=b cs1Label=Policy Name cs1=WAN IN";
        let read: Vec<_> = extension(text).map(|(k, v)| format!("{k}:{}", unescape(v))).collect();
        assert_eq!(
            read,
            [
                "act:blocked",
                "msg:a = b",
                r"c:\d",
                "request:http://www.example.com/?a=b",
                "cs1Label:Policy Name",
                "cs1:WAN IN",
            ]
        );
    }

    #[test]
    fn headers_unescape_and_delimiters_are_read() {
        assert_eq!(header_part(r"a\|b\\|c").unwrap(), (r"a|b\".into(), "c"));
        assert_eq!(header_part("no bar"), None);
        assert_eq!(delimiter_of("x5E"), Some('^'));
        assert_eq!(delimiter_of("0x09"), Some('\t'));
        assert_eq!(delimiter_of("^"), Some('^'));
        assert_eq!(delimiter_of("src=1"), None);
    }

    #[test]
    fn pairs_are_bounded() {
        let pairs = |count: usize| extension(&"a=1 ".repeat(count)).count();
        assert_eq!(pairs(PAIRS_PER_LINE_MAX), PAIRS_PER_LINE_MAX);
        assert_eq!(pairs(PAIRS_PER_LINE_MAX + 1), PAIRS_PER_LINE_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[a-c=|\\ \t日^0x]{0,60}") {
            for pair in extension(&text) {
                unescape(pair.1);
            }
            let mut flat = Flat::default();
            cef(&format!("0|{text}"), &TimeZone::UTC, &mut flat);
            leef(&format!("2.0|{text}"), &TimeZone::UTC, &mut flat);
        }
    }
}
