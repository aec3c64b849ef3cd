use crate::Finding;
use crate::finding::{EvidenceItem, RuleCopy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use yagura_event::{Lang, UtcMicros};

/// Findings of one rule about one entity, and what people decided about them.
///
/// Serialises with ECS names, flat, as every machine output of Yagura.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// When the first event happened.
    #[serde(rename = "@timestamp")]
    pub first_seen: UtcMicros,
    /// When the last event happened.
    #[serde(rename = "alert.last_seen")]
    pub last_seen: UtcMicros,
    /// Its name for people and machines.
    #[serde(rename = "alert.id")]
    pub id: AlertId,
    /// Whether somebody has it in hand.
    #[serde(rename = "alert.state")]
    pub state: AlertState,
    /// What it turned out to be; set exactly when closed.
    #[serde(rename = "alert.verdict", skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it was raised.
    #[serde(rename = "alert.raised")]
    pub raised: UtcMicros,
    /// Number of events, also of those whose ids are no longer kept.
    #[serde(rename = "alert.count")]
    pub count: u64,
    /// Events per hour: the UTC hour's beginning and how many happened in it, the latest
    /// [`crate::limits::HOURS_MAX`] hours that have any.
    #[serde(rename = "alert.hours")]
    pub hours: BTreeMap<UtcMicros, u64>,
    /// Whom or what it is about.
    #[serde(rename = "alert.entity")]
    pub entity: Entity,
    /// The rule as it was when the alert was raised.
    #[serde(flatten)]
    pub rule: Arc<RuleCopy>,
    /// Dataset of the first event.
    #[serde(rename = "event.dataset")]
    pub dataset: String,
    /// Host of the first event.
    #[serde(rename = "host.name", skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// User of the first event.
    #[serde(rename = "user.name", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Source address of the first event.
    #[serde(rename = "source.ip", skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// Ids of the first events, at most [`crate::limits::EVENT_IDS_PER_ALERT_MAX`].
    #[serde(rename = "event.id")]
    pub event_ids: Vec<Box<str>>,
    /// When the first event was received.
    #[serde(rename = "event.ingested")]
    pub received: UtcMicros,
    /// The first event in Japanese.
    #[serde(rename = "alert.sentence_ja")]
    pub first_sentence_ja: String,
    /// The first event in English.
    #[serde(rename = "alert.sentence_en")]
    pub first_sentence_en: String,
    /// The event last added, in Japanese.
    #[serde(rename = "alert.last_sentence_ja")]
    pub last_sentence_ja: String,
    /// The event last added, in English.
    #[serde(rename = "alert.last_sentence_en")]
    pub last_sentence_en: String,
    /// Why the rule matched the first event.
    #[serde(rename = "alert.evidence")]
    pub evidence: Vec<EvidenceItem>,
    /// What people did with it, oldest first.
    #[serde(rename = "alert.history")]
    pub history: Vec<HistoryItem>,
    /// Steps that left [`Alert::history`]; the audit log has them.
    #[serde(rename = "alert.history_left_out")]
    pub history_left_out: u64,
}

impl Alert {
    /// The sentence of the first event in `lang`.
    pub fn sentence(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.first_sentence_ja,
            Lang::En => &self.first_sentence_en,
        }
    }

    /// Whether further findings may be added: it is not closed.
    pub fn is_open(&self) -> bool {
        self.state != AlertState::Closed
    }
}

/// Name of an alert: `A-000001` and on, in the order they were raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub(crate) u64);

/// A text that names no alert.
#[derive(Debug, thiserror::Error)]
#[error("not an alert id: {text:?} (they look like A-000001)")]
pub struct AlertIdError {
    text: String,
}

impl AlertId {
    /// The alert's number, from 1.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A-{:06}", self.0)
    }
}

impl FromStr for AlertId {
    type Err = AlertIdError;

    /// Reads an id as a person types it: `A-000012`, `a-12` or `12`.
    fn from_str(text: &str) -> Result<Self, AlertIdError> {
        let digits = text.strip_prefix("A-").or_else(|| text.strip_prefix("a-")).unwrap_or(text);
        let number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
            .filter(|number| *number > 0);
        number.map(AlertId).ok_or_else(|| AlertIdError { text: text.chars().take(64).collect() })
    }
}

impl Serialize for AlertId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal $ja:literal $en:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word in commands, records and machine output.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The word a person reads, in `lang`.
            pub fn label(self, lang: Lang) -> &'static str {
                match (lang, self) {
                    $((Lang::Ja, $name::$variant) => $ja, (Lang::En, $name::$variant) => $en,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                $name::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| {
                    let known: Vec<_> = $name::ALL.iter().map(|known| known.as_str()).collect();
                    format!("unknown word {word:?}: use one of {}", known.join(", "))
                })
            }
        }
    };
}

words! {
    /// Where an alert stands.
    AlertState {
        /// Nobody has looked yet.
        New "new" "未対応" "New",
        /// Somebody is looking.
        Acknowledged "acknowledged" "対応中" "Acknowledged",
        /// Decided, with a [`Verdict`].
        Closed "closed" "完了" "Closed",
    }
}

words! {
    /// What a closed alert turned out to be.
    Verdict {
        /// An attack or a breach of policy.
        TruePositive "true_positive" "真の脅威" "True positive",
        /// The rule matched what it should not have.
        FalsePositive "false_positive" "誤検知" "False positive",
        /// It happened as the rule says, and was allowed.
        Benign "benign" "正当な操作" "Benign",
        /// Another alert has the same story.
        Duplicate "duplicate" "重複" "Duplicate",
    }
}

words! {
    /// A step in the history of an alert.
    Act {
        /// Somebody took it up.
        Acknowledged "acknowledged" "対応開始" "Acknowledged",
        /// Somebody decided.
        Closed "closed" "完了" "Closed",
        /// Somebody took the decision back.
        Reopened "reopened" "再開" "Reopened",
        /// Somebody wrote something down.
        Commented "commented" "コメント" "Commented",
    }
}

words! {
    /// What kind of thing an alert is about: the first of these that the event names; for events of
    /// gateways and web servers (`network.*`, `web.*`) the host comes last.
    EntityKind {
        /// A machine (`host.name`).
        Host "host" "端末" "Host",
        /// A person or an account (`user.name`).
        User "user" "利用者" "User",
        /// An address (`source.ip`).
        SourceIp "source_ip" "送信元" "Source address",
        /// Nothing better: the dataset.
        Dataset "dataset" "データセット" "Dataset",
    }
}

/// Whom or what an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entity {
    /// Its kind.
    pub kind: EntityKind,
    /// Its name.
    pub value: String,
}

impl Entity {
    /// Whom the finding is about. On a machine's own log that is the machine. The log of a gateway
    /// or a web server speaks of those who come to it, so the host is what it is least about.
    pub(crate) fn of(finding: &Finding) -> Self {
        let host = finding.host.as_ref().map(|host| (EntityKind::Host, host));
        let user = finding.user.as_ref().map(|user| (EntityKind::User, user));
        let address = finding.source_ip.as_ref().map(|ip| (EntityKind::SourceIp, ip));
        let of_visitors = ["network.", "web."].iter().any(|p| finding.dataset.starts_with(p));
        let named = if of_visitors { user.or(address).or(host) } else { host.or(user).or(address) };
        let (kind, value) = named.unwrap_or((EntityKind::Dataset, &finding.dataset));
        Entity { kind, value: value.clone() }
    }
}

/// One step of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// When.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Who.
    #[serde(rename = "user.name")]
    pub who: String,
    /// What.
    #[serde(rename = "alert.act")]
    pub act: Act,
    /// The verdict, when closing.
    #[serde(rename = "alert.verdict", default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why, in the person's words; may be empty.
    #[serde(rename = "alert.note", default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_id_reads_back_what_it_prints() {
        for number in [1, 999_999, 1_000_000, u64::MAX] {
            assert_eq!(AlertId(number).to_string().parse::<AlertId>().unwrap().number(), number);
        }
        assert_eq!("a-7".parse::<AlertId>().unwrap(), AlertId(7));
        for bad in ["", "A-", "A-0", "A-+1", "B-1", "A-1 ", "A-99999999999999999999"] {
            assert!(bad.parse::<AlertId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_read_back_and_errors_name_the_choice() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.as_str().parse::<Verdict>().unwrap(), *verdict);
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
        let error = "maybe".parse::<Verdict>().unwrap_err();
        assert!(error.contains("true_positive, false_positive, benign, duplicate"), "{error}");
    }
}
