use crate::limits::{
    EVIDENCE_BYTES_MAX, EVIDENCE_MAX, GUIDE_LINES_MAX, NAME_BYTES_MAX, SENTENCE_BYTES_MAX,
    TAGS_MAX, cut,
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;
use yagura_event::{EventId, Lang, Level, UtcMicros};

/// What an alert says of its rule, so that it stays readable when the rule is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCopy {
    /// The rule's UUID.
    #[serde(rename = "rule.uuid")]
    pub uuid: String,
    /// Title as its author wrote it.
    #[serde(rename = "rule.name")]
    pub name: String,
    /// Japanese title, where the rule has one.
    #[serde(rename = "rule.name_ja", default, skip_serializing_if = "Option::is_none")]
    pub name_ja: Option<String>,
    /// Severity.
    #[serde(rename = "rule.level")]
    pub level: Level,
    /// Tags such as `attack.t1059.001`.
    #[serde(rename = "rule.tags", default)]
    pub tags: Vec<String>,
    /// Author.
    #[serde(rename = "rule.author", default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Licence, as an SPDX expression where the rule says so.
    #[serde(rename = "rule.license", default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Phase of the attack, where the rule names one.
    #[serde(rename = "rule.phase", default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// SHA-256 of the rule as it was written when it matched, lower-case hexadecimal; none for what is
    /// no Sigma rule.
    #[serde(rename = "rule.digest", default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What helps whoever reads the alert.
    #[serde(flatten)]
    pub guide: Guide,
}

/// What a rule says to whoever reads its alert. All of it may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guide {
    /// What the rule looks for.
    #[serde(rename = "rule.description", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The same in Japanese.
    #[serde(rename = "rule.description_ja", skip_serializing_if = "Option::is_none")]
    pub description_ja: Option<String>,
    /// Known causes of false alarms.
    #[serde(rename = "rule.falsepositives", skip_serializing_if = "Vec::is_empty")]
    pub falsepositives: Vec<String>,
    /// The same in Japanese.
    #[serde(rename = "rule.falsepositives_ja", skip_serializing_if = "Vec::is_empty")]
    pub falsepositives_ja: Vec<String>,
    /// What to check next.
    #[serde(rename = "rule.check", skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<String>,
    /// The same in Japanese.
    #[serde(rename = "rule.check_ja", skip_serializing_if = "Vec::is_empty")]
    pub check_ja: Vec<String>,
    /// Where to read more.
    #[serde(rename = "rule.reference", skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

impl Guide {
    /// Whether a text or list is longer than an alert keeps.
    fn is_long(&self) -> bool {
        let texts = [&self.description, &self.description_ja].into_iter().flatten();
        texts.chain(self.lists().into_iter().flatten()).any(|text| text.len() > SENTENCE_BYTES_MAX)
            || self.lists().iter().any(|list| list.len() > GUIDE_LINES_MAX)
    }

    fn bounded(&self) -> Guide {
        let text = |text: &Option<String>| text.as_ref().map(|t| cut(t, SENTENCE_BYTES_MAX));
        let list = |list: &[String]| {
            list.iter().take(GUIDE_LINES_MAX).map(|t| cut(t, SENTENCE_BYTES_MAX)).collect()
        };
        Guide {
            description: text(&self.description),
            description_ja: text(&self.description_ja),
            falsepositives: list(&self.falsepositives),
            falsepositives_ja: list(&self.falsepositives_ja),
            check: list(&self.check),
            check_ja: list(&self.check_ja),
            references: list(&self.references),
        }
    }

    fn lists(&self) -> [&[String]; 5] {
        [
            &self.falsepositives,
            &self.falsepositives_ja,
            &self.check,
            &self.check_ja,
            &self.references,
        ]
    }
}

impl From<&yagura_detect::RuleInfo> for Guide {
    fn from(rule: &yagura_detect::RuleInfo) -> Self {
        Guide {
            description: rule.description.clone(),
            description_ja: rule.description_ja.clone(),
            falsepositives: rule.falsepositives.clone(),
            falsepositives_ja: rule.falsepositives_ja.clone(),
            check: rule.check.clone(),
            check_ja: rule.check_ja.clone(),
            references: rule.references.clone(),
        }
    }
}

impl RuleCopy {
    /// The title in `lang`; the author's own where there is no Japanese one.
    pub fn title(&self, lang: Lang) -> &str {
        match (lang, &self.name_ja) {
            (Lang::Ja, Some(title)) => title,
            _ => &self.name,
        }
    }
}

/// The four phases of an attack that our rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Getting in.
    InitialAccess,
    /// Staying, and switching off what would notice.
    PersistenceDefenseEvasion,
    /// More rights, more machines.
    PrivilegeLateral,
    /// Theft and destruction, and hiding them.
    ObjectiveAntiForensics,
}

impl Phase {
    /// The word in rules (`x-yagura.phase`) and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::InitialAccess => "initial-access",
            Phase::PersistenceDefenseEvasion => "persistence-defense-evasion",
            Phase::PrivilegeLateral => "privilege-lateral",
            Phase::ObjectiveAntiForensics => "objective-anti-forensics",
        }
    }

    /// What a person reads, in `lang`.
    pub fn label(self, lang: Lang) -> &'static str {
        match (lang, self) {
            (Lang::En, Phase::InitialAccess) => "Initial access",
            (Lang::En, Phase::PersistenceDefenseEvasion) => "Persistence and defence evasion",
            (Lang::En, Phase::PrivilegeLateral) => "Privilege escalation and lateral movement",
            (Lang::En, Phase::ObjectiveAntiForensics) => "Objective and anti-forensics",
            (Lang::Ja, Phase::InitialAccess) => "初期侵入",
            (Lang::Ja, Phase::PersistenceDefenseEvasion) => "永続化・防御回避",
            (Lang::Ja, Phase::PrivilegeLateral) => "権限昇格・横展開",
            (Lang::Ja, Phase::ObjectiveAntiForensics) => "目的実行・痕跡消去",
        }
    }
}

impl Phase {
    /// The phase that a rule's ATT&CK tags speak of, for rules that name none themselves: what its
    /// techniques say where they are about hiding or destroying, or else its first tactic.
    pub fn of_tags(tags: &[String]) -> Option<Phase> {
        // T1070 Indicator Removal, T1485 Data Destruction, T1486 Data Encrypted for Impact,
        // T1489 Service Stop, T1490 Inhibit System Recovery.
        const FINAL: [&str; 5] = ["t1070", "t1485", "t1486", "t1489", "t1490"];
        let words = || tags.iter().filter_map(|tag| tag.strip_prefix("attack."));
        let technique = |word: &str| word.split('.').next().is_some_and(|t| FINAL.contains(&t));
        if words().any(technique) {
            return Some(Phase::ObjectiveAntiForensics);
        }
        words().find_map(|word| match word {
            "reconnaissance" | "resource-development" | "initial-access" => {
                Some(Phase::InitialAccess)
            }
            // Newer versions of ATT&CK say stealth and defense-impairment for defense-evasion.
            "execution"
            | "persistence"
            | "defense-evasion"
            | "stealth"
            | "defense-impairment"
            | "command-and-control" => Some(Phase::PersistenceDefenseEvasion),
            "privilege-escalation" | "credential-access" | "discovery" | "lateral-movement" => {
                Some(Phase::PrivilegeLateral)
            }
            "collection" | "exfiltration" | "impact" => Some(Phase::ObjectiveAntiForensics),
            _ => None,
        })
    }
}

impl From<&yagura_detect::RuleInfo> for RuleCopy {
    fn from(rule: &yagura_detect::RuleInfo) -> Self {
        RuleCopy {
            uuid: rule.id.clone(),
            name: rule.title.clone(),
            name_ja: rule.title_ja.clone(),
            level: rule.level,
            tags: rule.tags.clone(),
            author: rule.author.clone(),
            license: rule.license.clone(),
            phase: rule
                .phase
                .as_deref()
                .and_then(|word| word.parse().ok())
                .or_else(|| Phase::of_tags(&rule.tags)),
            digest: Some(rule.digest.clone()).filter(|digest| !digest.is_empty()),
            guide: Guide::from(rule),
        }
    }
}

impl From<yagura_detect::Evidence> for EvidenceItem {
    fn from(evidence: yagura_detect::Evidence) -> Self {
        EvidenceItem {
            field: evidence.field.to_string(),
            value: evidence.value,
            predicate: evidence.predicate,
        }
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        use Phase::{
            InitialAccess, ObjectiveAntiForensics, PersistenceDefenseEvasion, PrivilegeLateral,
        };
        [InitialAccess, PersistenceDefenseEvasion, PrivilegeLateral, ObjectiveAntiForensics]
            .into_iter()
            .find(|phase| phase.as_str() == word)
            .ok_or_else(|| format!("unknown phase {word:?}"))
    }
}

/// One predicate that held, and the value it held for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceItem {
    /// Field name (ECS or native).
    pub field: String,
    /// The event's value.
    pub value: String,
    /// What the rule asks of it, as the rule says it.
    pub predicate: String,
}

/// One match of one rule on one event: what the pipeline hands to [`crate::Desk::observe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Arc<RuleCopy>,
    /// Dataset of the event.
    pub dataset: String,
    /// `host.name` of the event.
    pub host: Option<String>,
    /// `user.name` of the event.
    pub user: Option<String>,
    /// `source.ip` of the event.
    pub source_ip: Option<String>,
    /// The event.
    pub event_id: EventId,
    /// When it happened.
    pub timestamp: UtcMicros,
    /// When it was received.
    pub received: UtcMicros,
    /// The event in words.
    pub words: EventWords,
    /// Why the rule matched.
    pub evidence: Vec<EvidenceItem>,
}

/// An event in words. Most findings only add to a count, and are never shown: theirs are put into
/// words by whoever has the event, when it is needed (see [`crate::Desk::observe_with`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventWords {
    /// A Japanese and an English sentence.
    Said {
        /// In Japanese.
        ja: String,
        /// In English.
        en: String,
    },
    /// Still to be said, of an event that the observer knows by these numbers.
    Unsaid {
        /// Number of the event's batch.
        batch: usize,
        /// The event's row in it.
        row: usize,
    },
}

/// Says in Japanese and English what the event at a batch and row is.
pub type Say<'a> = dyn Fn(usize, usize) -> (String, String) + 'a;

impl EventWords {
    /// The sentence in `lang`; empty where it is still to be said.
    pub fn text(&self, lang: Lang) -> &str {
        match (self, lang) {
            (EventWords::Said { ja, .. }, Lang::Ja) => ja,
            (EventWords::Said { en, .. }, Lang::En) => en,
            (EventWords::Unsaid { .. }, _) => "",
        }
    }

    /// The Japanese and the English sentence, each cut to its limit.
    pub(crate) fn said(self, say: &Say<'_>) -> (String, String) {
        let (ja, en) = match self {
            EventWords::Said { ja, en } => (ja, en),
            EventWords::Unsaid { batch, row } => say(batch, row),
        };
        (cut(&ja, SENTENCE_BYTES_MAX), cut(&en, SENTENCE_BYTES_MAX))
    }
}

impl Finding {
    /// The same finding with every text cut to its named limit and empty names taken out.
    pub(crate) fn bounded(mut self) -> Self {
        let name = |text: Option<String>| {
            text.filter(|text| !text.is_empty()).map(|text| cut(&text, NAME_BYTES_MAX))
        };
        self.host = name(self.host);
        self.user = name(self.user);
        self.source_ip = name(self.source_ip);
        self.dataset = cut(&self.dataset, NAME_BYTES_MAX);
        self.evidence.truncate(EVIDENCE_MAX);
        for item in &mut self.evidence {
            item.field = cut(&item.field, NAME_BYTES_MAX);
            item.value = cut(&item.value, EVIDENCE_BYTES_MAX);
            item.predicate = cut(&item.predicate, EVIDENCE_BYTES_MAX);
        }
        let rule = &self.rule;
        let long = |text: &str| text.len() > SENTENCE_BYTES_MAX;
        if rule.guide.is_long()
            || rule.tags.len() > TAGS_MAX
            || rule.tags.iter().any(|tag| long(tag))
            || [
                Some(&rule.name),
                rule.name_ja.as_ref(),
                rule.author.as_ref(),
                rule.license.as_ref(),
            ]
            .into_iter()
            .flatten()
            .any(|text| long(text))
        {
            let shorter = |text: &String| cut(text, SENTENCE_BYTES_MAX);
            self.rule = Arc::new(RuleCopy {
                uuid: cut(&rule.uuid, NAME_BYTES_MAX),
                name: shorter(&rule.name),
                name_ja: rule.name_ja.as_ref().map(shorter),
                level: rule.level,
                tags: rule.tags.iter().take(TAGS_MAX).map(shorter).collect(),
                author: rule.author.as_ref().map(shorter),
                license: rule.license.as_ref().map(shorter),
                phase: rule.phase,
                digest: rule.digest.as_deref().map(|digest| cut(digest, NAME_BYTES_MAX)),
                guide: rule.guide.bounded(),
            });
        }
        self
    }
}
