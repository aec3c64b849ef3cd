//! Policies: how long each stream is kept, on whose authority and for what reason. Pure.

use super::authority::{Authority, authorities, authority};
use super::limits::{
    APPROVAL_HOURS_MAX, DAYS_MAX, NAME_BYTES_MAX, PATTERNS_MAX, POLICIES_MAX, REASON_BYTES_MAX,
};
use serde::{Deserialize, Serialize};
use yagura_event::Words;
use yagura_query::closest;

/// `[retention]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Whether the server deletes by itself what is past its policy's maximum. Off, nothing is ever
    /// deleted but by two persons.
    pub delete: bool,
    /// Hours that a request waits for its second person (1 to 720).
    pub approval_hours: u32,
    /// Days ahead of which a disk that fills is a gap (1 to 3,650).
    pub warn_days: u32,
    /// Policies; of several that match a stream, the first holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<Policy>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        RetentionSettings { delete: false, approval_hours: 72, warn_days: 30, policy: Vec::new() }
    }
}

/// Why logs are kept as long as they are: the three factors of evidence retention in NIST SP 800-61r2,
/// 3.4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// Until all legal action has ended, which may take years.
    Prosecution,
    /// A rule says how long: no shorter and no longer.
    DataRetention,
    /// What keeping it costs.
    Cost,
}

impl ReasonKind {
    /// The word a person reads.
    pub fn words(self) -> Words {
        match self {
            ReasonKind::Prosecution => Words::new("prosecution", "訴追"),
            ReasonKind::DataRetention => Words::new("data retention", "データ保存の定め"),
            ReasonKind::Cost => Words::new("cost", "費用"),
        }
    }
}

/// One `[[retention.policy]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Streams it holds for; `*` stands for any characters.
    pub streams: Vec<String>,
    /// Who says so: the id of an authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Which of the three factors weighs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ReasonKind>,
    /// Why, in your own words; needed where no authority is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Days that events are kept at least. The authority's where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_days: Option<u32>,
    /// Days after which they are deleted; kept for ever where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_days: Option<u32>,
    /// Days that they stay on the local disk. The authority's where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immediate_days: Option<u32>,
    /// Days after which their files go to the cold store, where there is one; those of `lake.cold` where
    /// it is not given, and never before `immediate_days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_days: Option<u32>,
    /// Days after which the devices that send overwrite their own logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_days: Option<u32>,
}

/// A fault of a policy: which one, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// Where, and what, in both languages.
    pub words: Words,
}

fn wrong(en: impl Into<String>, ja: impl Into<String>) -> PolicyError {
    PolicyError { words: Words::new(en, ja) }
}

impl RetentionSettings {
    /// Refuses what contradicts itself or an authority, naming the policy, the key and the remedy.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), PolicyError> {
        within("retention.approval_hours", self.approval_hours, APPROVAL_HOURS_MAX)?;
        within("retention.warn_days", self.warn_days, super::limits::FORECAST_DAYS_MAX)?;
        if self.policy.len() > POLICIES_MAX {
            let count = self.policy.len();
            return Err(wrong(
                format!("retention: {count} policies are more than {POLICIES_MAX}"),
                format!("retention: ポリシー{count}件は上限の{POLICIES_MAX}件を超えています"),
            ));
        }
        for (number, policy) in (1..).zip(&self.policy) {
            policy.check().map_err(|error| {
                let (en, ja) = (error.words.en(), error.words.ja());
                wrong(
                    format!("[[retention.policy]] number {number}: {en}"),
                    format!("[[retention.policy]] の{number}番目: {ja}"),
                )
            })?;
        }
        Ok(())
    }

    /// The policy of a stream.
    pub fn of(&self, stream: &str) -> Option<&Policy> {
        self.policy.iter().find(|policy| policy.streams.iter().any(|it| matches(it, stream)))
    }
}

fn within(key: &str, value: u32, max: u32) -> Result<(), PolicyError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(wrong(
        format!("{key}: {value} is out of range (1 to {max})"),
        format!("{key}: {value} は範囲外です（1～{max}）"),
    ))
}

/// Why a pattern of streams is none.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), PolicyError> {
    let allowed =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' | b'*');
    if !pattern.is_empty() && pattern.len() <= NAME_BYTES_MAX && pattern.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = pattern.chars().take(64).collect();
    Err(wrong(
        format!(
            "{shown:?} is no stream: write a name such as syslog, or a pattern such as linux/*"
        ),
        format!("{shown:?} はストリーム名ではありません（例: syslog、パターンなら linux/*）"),
    ))
}

impl Policy {
    /// Its authority.
    pub fn by(&self) -> Option<&'static Authority> {
        authority(self.authority.as_deref()?)
    }

    /// Days that events are kept at least; 0 where nobody asks for any.
    pub fn minimum(&self) -> u32 {
        self.minimum_days.or_else(|| self.by()?.minimum_days).unwrap_or(0)
    }

    /// Days that events stay at hand; 0 where nobody asks for any.
    pub fn immediate(&self) -> u32 {
        self.immediate_days.or_else(|| self.by()?.immediate_days).unwrap_or(0)
    }

    /// Days after which files go to the cold store, where `otherwise` is what holds for all.
    pub fn cold_after(&self, otherwise: u32) -> u32 {
        self.cold_days.unwrap_or_else(|| otherwise.max(self.immediate()))
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.streams.is_empty() || self.streams.len() > PATTERNS_MAX {
            return Err(wrong(
                format!("streams: name 1 to {PATTERNS_MAX}, such as [\"linux/*\"]"),
                format!("streams: 1～{PATTERNS_MAX}個を指定してください（例: [\"linux/*\"]）"),
            ));
        }
        for pattern in &self.streams {
            check_pattern(pattern)?;
        }
        let days = [
            ("minimum_days", self.minimum_days),
            ("maximum_days", self.maximum_days),
            ("immediate_days", self.immediate_days),
            ("cold_days", self.cold_days),
            ("device_days", self.device_days),
        ];
        for (key, days) in days {
            days.map_or(Ok(()), |days| within(key, days, DAYS_MAX))?;
        }
        if self.reason.len() > REASON_BYTES_MAX || self.reason.chars().any(char::is_control) {
            return Err(wrong(
                format!("reason: one line of at most {REASON_BYTES_MAX} bytes"),
                format!("reason: {REASON_BYTES_MAX}バイト以内の1行で書いてください"),
            ));
        }
        self.check_authority()?;
        self.check_figures()
    }

    fn check_authority(&self) -> Result<(), PolicyError> {
        let Some(id) = &self.authority else {
            return match self.reason.trim().is_empty() {
                false => Ok(()),
                true => Err(wrong(
                    "it names neither an authority nor a reason: who asks for this, or why? Add \
                     authority or reason",
                    "authority も reason もありません。誰の定めか、なぜかを書いてください",
                )),
            };
        };
        if self.by().is_some() {
            return Ok(());
        }
        let known: Vec<&str> =
            authorities().unwrap_or_default().iter().map(|one| one.id.as_str()).collect();
        let near = closest(id, known.iter().copied()).unwrap_or("pci-dss");
        let list = known.join(", ");
        Err(wrong(
            format!("authority: there is no {id:?}; is it {near:?}? There are: {list}"),
            format!("authority: {id:?} はありません（{near:?} のことですか）。使えるもの: {list}"),
        ))
    }

    fn check_figures(&self) -> Result<(), PolicyError> {
        if let Some(by) = self.by() {
            let asked = [
                ("minimum_days", self.minimum_days, by.minimum_days),
                ("maximum_days", self.maximum_days, by.minimum_days),
                ("immediate_days", self.immediate_days, by.immediate_days),
            ];
            for (key, given, asked) in asked {
                if let (Some(given), Some(asked)) = (given, asked)
                    && given < asked
                {
                    return Err(wrong(
                        format!(
                            "{key}: {given} is less than the {asked} days that {} asks for: write \
                             {asked} or more, or name the authority you go by",
                            by.name_en
                        ),
                        format!(
                            "{key}: {given} は「{}」の求める{asked}日より短くなっています。{asked} \
                             以上にするか、従う定めを authority に書いてください",
                            by.name_ja
                        ),
                    ));
                }
            }
        }
        let (minimum, immediate) = (self.minimum(), self.immediate());
        if let Some(cold) = self.cold_days
            && cold < immediate
        {
            return Err(wrong(
                format!(
                    "cold_days: {cold} is less than immediate_days, {immediate}: what is to be at \
                     hand stays on the local disk; raise cold_days"
                ),
                format!(
                    "cold_days: {cold} が immediate_days の{immediate}より短くなっています。cold_days \
                     を延ばしてください"
                ),
            ));
        }
        if let Some(maximum) = self.maximum_days
            && maximum < minimum.max(immediate)
        {
            let least = minimum.max(immediate);
            return Err(wrong(
                format!(
                    "maximum_days: {maximum} is less than what must be kept, {least} days: raise \
                     it, or lower minimum_days and immediate_days"
                ),
                format!(
                    "maximum_days: {maximum} は保存が必要な{least}日より短くなっています。\
                     maximum_days を延ばすか、minimum_days と immediate_days を見直してください"
                ),
            ));
        }
        if minimum > 0 && immediate > minimum {
            return Err(wrong(
                format!(
                    "immediate_days: {immediate} is more than minimum_days, {minimum}: what is to \
                     be at hand must be kept; raise minimum_days"
                ),
                format!(
                    "immediate_days: {immediate} が minimum_days の{minimum}を超えています。\
                     minimum_days を延ばしてください"
                ),
            ));
        }
        Ok(())
    }
}

/// Whether `stream` is as `pattern` says; `*` stands for any characters. Linear in both.
pub(crate) fn matches(pattern: &str, stream: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = stream.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// What holds for a stream: the longest of the policies that count ([`super::fold`] says which do).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InForce {
    /// The configured policy, whose authority and reason are told.
    pub(crate) policy: Option<Policy>,
    /// Days that events are kept at least.
    pub(crate) minimum: u32,
    /// Days after which they are deleted; `None`: never.
    pub(crate) maximum: Option<u32>,
    /// Whether the configured policy is shorter and waits for a second person.
    pub(crate) shortening: bool,
}

/// What holds where each of `versions` counts, oldest first, the configured one last.
pub(crate) fn in_force(versions: &[RetentionSettings], stream: &str) -> InForce {
    let of = |settings: &RetentionSettings| {
        let policy = settings.of(stream);
        (policy.map_or(0, Policy::minimum), policy.and_then(|policy| policy.maximum_days))
    };
    let mut held = InForce::default();
    let Some(newest) = versions.last() else { return held };
    held.policy = newest.of(stream).cloned();
    let (minimum, maximum) = of(newest);
    (held.minimum, held.maximum) = (minimum, maximum);
    for (minimum, maximum) in versions.iter().map(of) {
        held.minimum = held.minimum.max(minimum);
        held.maximum = held.maximum.zip(maximum).map(|(a, b)| a.max(b));
    }
    held.shortening = (held.minimum, held.maximum) != (minimum, maximum);
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RetentionSettings {
        toml::from_str(text).unwrap()
    }

    fn fault(policy: &str) -> Words {
        read(&format!("[[policy]]\n{policy}")).check().unwrap_err().words
    }

    #[test]
    fn what_contradicts_is_refused_with_the_remedy() {
        let of = |keys: &str| fault(&format!("streams=['pos/*']\n{keys}"));
        for (keys, en, ja) in [
            ("", "names neither an authority nor a reason", "authority も reason も"),
            ("authority='pci'", "is it \"pci-dss\"?", "\"pci-dss\" のことですか"),
            (
                "authority='pci-dss'\nmaximum_days=90",
                "number 1: maximum_days: 90 is less than the 365 days that PCI DSS 10.5.1 asks for: \
                 write 365 or more",
                "365 以上にするか",
            ),
            ("authority='pci-dss'\nminimum_days=364", "minimum_days: 364", "求める365日"),
            ("authority='pci-dss'\nimmediate_days=91", "less than the 92 days", "92日"),
            ("reason='x'\nminimum_days=30\nmaximum_days=29", "kept, 30 days", "30日"),
            ("reason='x'\nimmediate_days=30\nmaximum_days=29", "kept, 30 days", "30日"),
            ("reason='x'\nminimum_days=30\nimmediate_days=31", "raise minimum_days", "超えて"),
            (
                "reason='x'\nimmediate_days=30\ncold_days=29",
                "raise cold_days",
                "cold_days を延ばして",
            ),
            ("authority='pci-dss'\ncold_days=91", "less than immediate_days, 92", "92より短く"),
            ("reason='x'\nminimum_days=0", "out of range (1 to 36500)", "範囲外"),
            ("reason='x'\nmaximum_days=36501", "out of range", "範囲外"),
            ("reason=\"a\\nb\"", "one line", "1行"),
        ] {
            let words = of(keys);
            assert!(words.en().contains(en), "{keys}: {}", words.en());
            assert!(words.ja().contains(ja), "{keys}: {}", words.ja());
        }
        assert!(fault("streams=[]\nreason='x'").en().contains("streams"));
        assert!(fault("streams=['Linux']\nreason='x'").en().contains("is no stream"));
        for keys in [
            "authority='pci-dss'",
            "authority='pci-dss'\nmaximum_days=365\nimmediate_days=92",
            "authority='nis2'\nminimum_days=200\nmaximum_days=36500",
            "reason='x'\nkind='cost'\nmaximum_days=1",
        ] {
            read(&format!("[[policy]]\nstreams=['*']\n{keys}")).check().unwrap();
        }
    }

    #[test]
    fn limits_hold_at_n_and_not_at_n_plus_1() {
        let mut settings = read("[[policy]]\nstreams=['a']\nreason='x'");
        settings.policy[0].streams = vec!["a".to_owned(); PATTERNS_MAX];
        settings.policy = vec![settings.policy[0].clone(); POLICIES_MAX];
        settings.check().unwrap();
        settings.policy.push(settings.policy[0].clone());
        assert!(settings.check().is_err());
        settings.policy.truncate(1);
        settings.policy[0].streams.push("a".to_owned());
        assert!(settings.check().is_err());
        settings.policy[0].streams = vec!["a".repeat(NAME_BYTES_MAX)];
        settings.policy[0].reason = "r".repeat(REASON_BYTES_MAX);
        settings.check().unwrap();
        settings.policy[0].streams[0].push('a');
        assert!(settings.check().is_err());
        settings.policy[0].streams[0].pop();
        settings.policy[0].reason.push('r');
        assert!(settings.check().is_err());
        for (hours, sound) in [(0, false), (1, true), (720, true), (721, false)] {
            let settings = RetentionSettings { approval_hours: hours, ..Default::default() };
            assert_eq!(settings.check().is_ok(), sound, "{hours}");
        }
        use super::super::limits::FORECAST_DAYS_MAX;
        for (days, sound) in [(FORECAST_DAYS_MAX, true), (FORECAST_DAYS_MAX + 1, false)] {
            let settings = RetentionSettings { warn_days: days, ..Default::default() };
            assert_eq!(settings.check().is_ok(), sound, "{days}");
        }
        for (days, sound) in [(DAYS_MAX, true), (DAYS_MAX + 1, false)] {
            let text = format!("[[policy]]\nstreams=['a']\nreason='x'\nmaximum_days={days}");
            assert_eq!(read(&text).check().is_ok(), sound, "{days}");
        }
    }

    #[test]
    fn patterns_match_as_they_read() {
        for (pattern, stream, expected) in [
            ("syslog", "syslog", true),
            ("syslog", "syslog2", false),
            ("*", "anything/at.all", true),
            ("linux/*", "linux/auth", true),
            ("linux/*", "linux", false),
            ("*/auth", "linux/auth", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, stream), expected, "{pattern} {stream}");
        }
    }

    #[test]
    fn the_first_policy_holds_and_shortening_waits() {
        let year = read(
            "[[policy]]\nstreams=['pos']\nauthority='pci-dss'\nmaximum_days=400\n\
             [[policy]]\nstreams=['*']\nreason='space'\nmaximum_days=30",
        );
        let held = |versions: &[RetentionSettings], stream| {
            let held = in_force(versions, stream);
            (held.minimum, held.maximum, held.shortening)
        };
        assert_eq!(held(&[], "pos"), (0, None, false));
        let only = std::slice::from_ref(&year);
        assert_eq!(held(only, "pos"), (365, Some(400), false));
        assert_eq!(held(only, "syslog"), (0, Some(30), false));
        let mut longer = year.clone();
        longer.policy[1].maximum_days = Some(60);
        assert_eq!(held(&[year.clone(), longer.clone()], "syslog"), (0, Some(60), false));
        // Back again is shorter than what held meanwhile.
        let back = [year.clone(), longer, year.clone()];
        assert_eq!(held(&back, "syslog"), (0, Some(60), true));
        // So is a policy where there was none: what was kept for ever would go.
        let none = RetentionSettings::default();
        assert_eq!(held(&[none.clone(), year.clone()], "syslog"), (0, None, true));
        // And a policy that no longer has its minimum.
        assert_eq!(held(&[year, none], "pos"), (365, None, true));
    }
}
