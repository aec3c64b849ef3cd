//! Lists of indicators as others write them.

mod csv;
mod misp;
mod pattern;
mod plain;
mod stix;

pub(crate) use stix::{Objects as StixObjects, StixObject};

use crate::indicator::Indicator;
use crate::limits::{FILE_BYTES_MAX, INDICATORS_MAX, REFUSED_LISTED_MAX, SOURCE_BYTES_MAX, cut};
use crate::value::{guess, refang};
use crate::{Kind, Said, Tlp, ValueError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use yagura_event::UtcMicros;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListFormat {
    /// A STIX 2.1 bundle, or the envelope of a TAXII answer.
    Stix,
    /// MISP events as JSON.
    Misp,
    /// CSV with a header.
    Csv,
    /// One value a line.
    Plain,
}

/// What a list says of all its indicators.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Name of the source, such as the file's.
    pub source: String,
    /// Kind of values whose kind the list does not say.
    pub kind: Option<Kind>,
    /// Expiry of indicators that name none.
    pub valid_until: Option<UtcMicros>,
    /// TLP of indicators that name none.
    pub tlp: Option<Tlp>,
    /// Confidence of indicators that name none, 0 to 100.
    pub confidence: Option<u8>,
}

/// Something that was not taken, or about which there is a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Where: `line 12`, or the object's id.
    pub place: String,
    /// The value or pattern, cut.
    pub value: String,
    /// Why.
    pub reason: Said,
}

/// A list that was read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// How it was written.
    pub format: ListFormat,
    /// Its indicators, each (kind, value, form) once.
    pub indicators: Vec<Indicator>,
    /// Ids of indicators that their source has withdrawn.
    pub revoked: Vec<Box<str>>,
    /// Entries that cannot be used, the first [`REFUSED_LISTED_MAX`].
    pub refused: Vec<Remark>,
    /// How many cannot be used.
    pub refused_total: u64,
    /// Entries that are not meant for detection, such as attributes of MISP without `to_ids`.
    pub ignored: u64,
    /// SHA-256 of the list, lower-case hexadecimal.
    pub sha256: String,
    seen: HashSet<(Kind, u64)>,
    source: Arc<str>,
    defaults: ReadOptions,
}

/// A list that cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct ReadError {
    /// What is wrong and where.
    pub said: Said,
}

impl ReadError {
    pub(crate) fn new(en: impl Into<String>, ja: impl Into<String>) -> ReadError {
        ReadError { said: Said::new(en, ja) }
    }
}

/// Reads a list of indicators; how it is written is told by its contents.
///
/// # Errors
/// [`ReadError`], when the list as a whole is too large, no text or no such list. Single entries
/// that cannot be used are in [`Reading::refused`].
pub fn read(bytes: &[u8], options: &ReadOptions) -> Result<Reading, ReadError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ReadError::new(
            format!("the list is larger than {FILE_BYTES_MAX} bytes: split it"),
            format!("リストが{FILE_BYTES_MAX}バイトを超えています。分割してください"),
        ));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(text).map_err(|error| {
        let at = error.valid_up_to();
        ReadError::new(
            format!("not UTF-8 at byte {at}: convert the list first"),
            format!("{at}バイト目がUTF-8ではありません。文字コードを変換してください"),
        )
    })?;
    let mut reading = Reading::new(options, sha256(bytes));
    match text.trim_start().as_bytes().first() {
        None => {
            return Err(ReadError::new("the list is empty", "リストが空です"));
        }
        Some(b'{') => {
            if looks_like_misp(text) {
                misp::read(text, &mut reading)?;
            } else {
                stix::read(text, &mut reading)?;
            }
        }
        // An array of MISP events; `[.]` and `[::1]` begin no JSON.
        Some(b'[') if text.trim_start()[1..].trim_start().starts_with('{') => {
            misp::read(text, &mut reading)?;
        }
        Some(_) if csv::is_csv(text) => csv::read(text, &mut reading)?,
        Some(_) => plain::read(text, &mut reading),
    }
    Ok(reading)
}

/// MISP names its things with capitals, STIX never does.
fn looks_like_misp(text: &str) -> bool {
    let head: String = text.chars().take(4_096).collect();
    ["\"Event\"", "\"response\"", "\"Attribute\"", "\"Event \""]
        .iter()
        .any(|name| head.contains(name))
        && !head.contains("\"spec_version\"")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Reading {
    pub(crate) fn new(options: &ReadOptions, sha256: String) -> Reading {
        Reading {
            format: ListFormat::Plain,
            indicators: Vec::new(),
            revoked: Vec::new(),
            refused: Vec::new(),
            refused_total: 0,
            ignored: 0,
            sha256,
            seen: HashSet::new(),
            source: cut(options.source.trim(), SOURCE_BYTES_MAX).into(),
            defaults: options.clone(),
        }
    }

    /// A value as it is written, of a kind that may be unknown.
    pub(crate) fn indicator(
        &self,
        kind: Option<Kind>,
        written: &str,
    ) -> Result<Indicator, ValueError> {
        let plain = refang(written);
        let kind = kind.or(self.defaults.kind).or_else(|| guess(&plain));
        let kind = kind.ok_or_else(|| match plain.trim().is_empty() {
            true => ValueError::Empty,
            false => ValueError::Unknown,
        })?;
        Indicator::new(kind, &plain, self.source.clone())
    }

    /// Name of the source.
    pub fn source(&self) -> Arc<str> {
        self.source.clone()
    }

    /// Takes an indicator in, once, with the list's defaults.
    pub(crate) fn take(&mut self, place: &str, mut indicator: Indicator) {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        (&indicator.value, &indicator.id, indicator.form as u8).hash(&mut hasher);
        if !self.seen.insert((indicator.kind, hasher.finish())) {
            return;
        }
        if self.indicators.len() >= INDICATORS_MAX {
            return self.refuse(place, &indicator.value, crate::MatcherError::TooMany);
        }
        indicator.valid_until = indicator.valid_until.or(self.defaults.valid_until);
        indicator.tlp = indicator.tlp.or(self.defaults.tlp);
        indicator.confidence =
            indicator.confidence.or(self.defaults.confidence).map(|c| c.min(100));
        self.indicators.push(indicator);
    }

    pub(crate) fn refuse(&mut self, place: &str, value: &str, reason: impl Into<Said>) {
        self.refused_total += 1;
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(Remark {
                place: cut(place, 200),
                value: cut(value, 200),
                reason: reason.into(),
            });
        }
    }
}

/// An instant as lists write it: RFC 3339, a date, a date and time without a zone (UTC), or
/// seconds since 1970.
pub(crate) fn instant(text: &str) -> Option<UtcMicros> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.len() <= 11 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(UtcMicros::from_micros(text.parse::<i64>().ok()?.saturating_mul(1_000_000)));
    }
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    if let Ok(instant) = format!("{}Z", text.replacen(' ', "T", 1)).parse() {
        return Some(instant);
    }
    format!("{text}T00:00:00Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_lists_write_them() {
        for text in [
            "2026-11-01T00:00:00Z",
            "2026-11-01",
            "2026-11-01 00:00:00",
            "1793491200",
            "2026-11-01T09:00:00+09:00",
        ] {
            assert_eq!(
                instant(text).map(|t| t.to_string()).as_deref(),
                Some("2026-11-01T00:00:00.000000Z"),
                "{text}"
            );
        }
        assert_eq!(instant("soon"), None);
    }

    #[test]
    fn a_list_has_a_largest_size_and_is_text() {
        let options = ReadOptions::default();
        let error = read(b"evil.example\n\xff", &options).unwrap_err();
        assert!(error.said.en.contains("byte 13"), "{error}");
        let large = vec![b'\n'; FILE_BYTES_MAX + 1];
        assert!(read(&large, &options).unwrap_err().said.en.contains("split"));
        assert!(read(&large[1..], &options).unwrap_err().said.en.contains("empty"));
    }

    #[test]
    fn refusals_are_listed_up_to_a_limit_and_all_counted() {
        let list = "no indicator\n".repeat(REFUSED_LISTED_MAX + 1);
        let reading = read(list.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(reading.refused.len(), REFUSED_LISTED_MAX);
        assert_eq!(reading.refused_total, REFUSED_LISTED_MAX as u64 + 1);
    }
}
