use crate::limits::{ID_BYTES_MAX, NOTE_BYTES_MAX, SOURCE_BYTES_MAX, cut};
use crate::value::{ValueError, canonical};
use crate::{Kind, benign};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use yagura_event::{Lang, Level, UtcMicros, Words};

/// A value that speaks of an attack where an event has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indicator {
    /// What it is.
    #[serde(rename = "threat.indicator.type")]
    pub kind: Kind,
    /// Its value in the one spelling of its kind, or the expression of [`Indicator::form`].
    #[serde(rename = "threat.indicator.name")]
    pub value: Box<str>,
    /// How an event's value is compared with it.
    #[serde(rename = "threat.indicator.form", default, skip_serializing_if = "Form::is_exact")]
    pub form: Form,
    /// Who says so: the name of a file or feed.
    #[serde(rename = "threat.indicator.provider")]
    pub source: Arc<str>,
    /// Its identifier at its source, such as `indicator--<uuid>`.
    #[serde(rename = "threat.indicator.id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
    /// Its name or a remark.
    #[serde(
        rename = "threat.indicator.description",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub note: Option<Box<str>>,
    /// Not looked for before this instant; events from before it count all the same.
    #[serde(
        rename = "threat.indicator.valid_from",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub valid_from: Option<UtcMicros>,
    /// Expired from this instant on: no longer looked for.
    #[serde(
        rename = "threat.indicator.valid_until",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub valid_until: Option<UtcMicros>,
    /// To whom it may be told.
    #[serde(
        rename = "threat.indicator.marking.tlp",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub tlp: Option<Tlp>,
    /// How sure its source is, 0 to 100.
    #[serde(
        rename = "threat.indicator.confidence",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub confidence: Option<u8>,
}

/// How an event's value is compared with an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The same value.
    #[default]
    Exact,
    /// STIX `LIKE`: `%` stands for any text, `_` for one character.
    Like,
    /// STIX `MATCHES`: a regular expression.
    Regex,
}

impl Form {
    fn is_exact(&self) -> bool {
        *self == Form::Exact
    }
}

/// Traffic Light Protocol 2.0 (and `amber` of 1.0): to whom something may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tlp {
    /// Anyone.
    Clear,
    /// The community.
    Green,
    /// The organisation and its clients.
    Amber,
    /// The organisation only.
    #[serde(rename = "amber+strict")]
    AmberStrict,
    /// Only those it was told to.
    Red,
}

impl Tlp {
    /// The word of TLP 2.0, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Tlp::Clear => "clear",
            Tlp::Green => "green",
            Tlp::Amber => "amber",
            Tlp::AmberStrict => "amber+strict",
            Tlp::Red => "red",
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Tlp {
    type Err = Words;

    /// Reads `red`, `TLP:RED`, `tlp:white` and the like.
    fn from_str(text: &str) -> Result<Self, Words> {
        let word = text.trim().to_lowercase();
        Ok(match word.strip_prefix("tlp:").unwrap_or(&word) {
            "clear" | "white" => Tlp::Clear,
            "green" => Tlp::Green,
            "amber" => Tlp::Amber,
            "amber+strict" => Tlp::AmberStrict,
            "red" => Tlp::Red,
            _ => {
                return Err(Words::new(
                    format!("unknown TLP {text:?}: clear, green, amber, amber+strict, red"),
                    "clear、green、amber、amber+strict、red のどれかを指定してください",
                ));
            }
        })
    }
}

impl Indicator {
    /// An indicator for `value`, already refanged, from `source`.
    ///
    /// # Errors
    /// [`ValueError`], when it cannot be one of `kind`.
    pub fn new(kind: Kind, value: &str, source: Arc<str>) -> Result<Indicator, ValueError> {
        let value = canonical(kind, value)?.into_boxed_str();
        Ok(Indicator {
            kind,
            value,
            form: Form::Exact,
            source,
            id: None,
            note: None,
            valid_from: None,
            valid_until: None,
            tlp: None,
            confidence: None,
        })
    }

    /// Whether it is looked for at `now`.
    pub fn is_valid_at(&self, now: UtcMicros) -> bool {
        self.valid_until.is_none_or(|until| now < until)
            && self.valid_from.is_none_or(|from| from <= now)
    }

    /// Whether it has expired by `now`.
    pub fn has_expired(&self, now: UtcMicros) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// How serious a match is: high, unless its source is not sure.
    pub fn level(&self) -> Level {
        match self.confidence {
            Some(0..15) => Level::Low,
            Some(15..50) => Level::Medium,
            _ => Level::High,
        }
    }

    /// Why an ordinary network would have it too, if so.
    pub fn doubt(&self, lang: Lang) -> Option<&'static str> {
        benign::doubt(self, lang)
    }

    /// The title of an alert about it.
    pub fn title(&self, lang: Lang) -> String {
        let kind = self.kind.label(lang);
        let (value, source) = (&self.value, &self.source);
        match lang {
            Lang::En => format!("Indicator seen: {kind} {value} ({source})"),
            Lang::Ja => format!("侵害指標を検出: {kind} {value}（{source}）"),
        }
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() + 16);
        size_of::<Indicator>() + self.value.len() + 16 + text(&self.id) + text(&self.note)
    }

    pub(crate) fn with_note(mut self, note: &str) -> Self {
        let note = note.trim();
        self.note = (!note.is_empty()).then(|| cut(note, NOTE_BYTES_MAX).into_boxed_str());
        self
    }

    /// Whether its texts keep the limits; those of a stored file are not believed.
    pub fn is_sound(&self) -> bool {
        let fits = |text: &Option<Box<str>>, most| text.as_ref().is_none_or(|t| t.len() <= most);
        self.source.len() <= SOURCE_BYTES_MAX
            && fits(&self.id, ID_BYTES_MAX)
            && fits(&self.note, NOTE_BYTES_MAX)
            && (self.form != Form::Exact || canonical(self.kind, &self.value).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indicator_counts_between_its_instants() {
        let at = UtcMicros::from_micros;
        let mut indicator = Indicator::new(Kind::Domain, "evil.example", "list".into()).unwrap();
        assert!(indicator.is_valid_at(at(0)));
        (indicator.valid_from, indicator.valid_until) = (Some(at(10)), Some(at(20)));
        let valid: Vec<_> = [9, 10, 19, 20].map(|now| indicator.is_valid_at(at(now))).into();
        assert_eq!(valid, [false, true, true, false]);
        let written = serde_json::to_string(&indicator).unwrap();
        assert_eq!(serde_json::from_str::<Indicator>(&written).unwrap(), indicator);
    }

    #[test]
    fn a_source_that_is_not_sure_alarms_less() {
        let mut indicator = Indicator::new(Kind::Domain, "evil.example", "list".into()).unwrap();
        assert_eq!(indicator.level(), Level::High);
        for (confidence, level) in [(0, Level::Low), (15, Level::Medium), (50, Level::High)] {
            indicator.confidence = Some(confidence);
            assert_eq!(indicator.level(), level);
        }
        assert_eq!("TLP:WHITE".parse::<Tlp>(), Ok(Tlp::Clear));
        assert!("blue".parse::<Tlp>().is_err());
    }
}
