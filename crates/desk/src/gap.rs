//! Detection gaps: what could not be seen, from when to when. Each is an object of its own, opened
//! and closed by audit records, and shown.

use crate::limits::{GAP_TEXT_BYTES_MAX, GAPS_CLOSED_MAX, GAPS_OPEN_PER_KIND_MAX, cut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use yagura_event::UtcMicros;

/// Name of a gap: `G-000001` and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GapId(pub(crate) u64);

/// What kind of thing is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapKind {
    /// A rule file or rule that cannot be honoured.
    RuleRefused,
    /// A rule that is switched off, or whose every match an exception takes away.
    RuleDisabled,
    /// Events wait too long for the rules.
    EngineBehind,
    /// A source that usually talks is silent.
    SourceSilent,
    /// A source changed what it sends, so that rules and mappings may not fit any more.
    SourceDrifted,
    /// A field that rules need is in no event of its kind.
    FieldMissing,
    /// Matches that could not be recorded.
    FindingsLost,
    /// A correlation reached a limit of its state.
    CorrelationLimit,
    /// Events wait too long to be forwarded to another system.
    ForwardBehind,
    /// Yagura itself was not running.
    Stopped,
    /// The disk will be full soon, or before a policy's minimum is reached.
    DiskFills,
    /// A device that is silent overwrites what it logged and did not send.
    DeviceOverwrites,
}

/// A gap. Serialises as its opening audit record, with its end once it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it was noticed.
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    /// Its name.
    #[serde(rename = "gap.id")]
    pub id: GapId,
    /// Its kind.
    #[serde(rename = "gap.kind")]
    pub kind: GapKind,
    /// What it is about, one gap of a kind at a time: a rule, a stream, `dataset/field`.
    #[serde(rename = "gap.subject")]
    pub subject: String,
    /// From when nothing was seen.
    #[serde(rename = "gap.begin")]
    pub begin: UtcMicros,
    /// Until when; `None` while it is open.
    #[serde(rename = "gap.end", default, skip_serializing_if = "Option::is_none")]
    pub end: Option<UtcMicros>,
    /// What could not be seen and what to do, in Japanese.
    #[serde(rename = "gap.sentence_ja")]
    pub sentence_ja: String,
    /// The same in English.
    #[serde(rename = "gap.sentence_en")]
    pub sentence_en: String,
}

/// A gap as somebody sees it, before it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapSeen {
    /// What it is about.
    pub subject: String,
    /// From when.
    pub begin: UtcMicros,
    /// What could not be seen and what to do, in Japanese.
    pub sentence_ja: String,
    /// The same in English.
    pub sentence_en: String,
}

/// The audit record of a gap's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GapClosed {
    #[serde(rename = "@timestamp")]
    pub at: UtcMicros,
    #[serde(rename = "gap.id")]
    pub id: GapId,
    #[serde(rename = "gap.end")]
    pub end: UtcMicros,
}

/// All gaps: part of the fold.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    known: BTreeMap<GapId, Arc<Gap>>,
    open: HashMap<(GapKind, String), GapId>,
    closed: BTreeSet<GapId>,
    last: u64,
    /// Closed ones that left memory; the audit log has them.
    pub left_memory: u64,
}

/// The subject of the gap that stands for all past [`GAPS_OPEN_PER_KIND_MAX`].
pub(crate) const MORE: &str = "*";

impl Gaps {
    pub fn last_id(&self) -> GapId {
        GapId(self.last)
    }

    pub fn get(&self, id: GapId) -> Option<&Arc<Gap>> {
        self.known.get(&id)
    }

    pub fn open_about(&self, kind: GapKind, subject: &str) -> Option<&Arc<Gap>> {
        self.known.get(self.open.get(&(kind, subject.to_owned()))?)
    }

    /// Open gaps of `kind`, in no order.
    pub fn open_of(&self, kind: GapKind) -> impl Iterator<Item = &Arc<Gap>> {
        let open = self.open.iter().filter(move |((of, _), _)| *of == kind);
        open.filter_map(|(_, id)| self.known.get(id))
    }

    /// Open ones first, then those that ended last.
    pub fn all(&self) -> Vec<Arc<Gap>> {
        let mut all: Vec<_> = self.known.values().cloned().collect();
        all.sort_by_key(|gap| (gap.end.is_some(), std::cmp::Reverse((gap.end, gap.begin, gap.id))));
        all
    }

    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Takes an opened gap in; `false` where its id was taken, or one is open about the same.
    pub fn opened(&mut self, gap: Gap) -> bool {
        let about = (gap.kind, gap.subject.clone());
        if gap.id.0 <= self.last || self.open.contains_key(&about) {
            return false;
        }
        self.last = gap.id.0;
        if gap.end.is_some() {
            self.closed.insert(gap.id);
        } else {
            self.open.insert(about, gap.id);
        }
        self.known.insert(gap.id, Arc::new(gap));
        self.make_room();
        true
    }

    /// Ends a gap; `false` where it is unknown or has ended.
    pub fn close(&mut self, closed: &GapClosed) -> bool {
        let Some(gap) = self.known.get_mut(&closed.id) else { return false };
        if gap.end.is_some() {
            return false;
        }
        Arc::make_mut(gap).end = Some(closed.end);
        self.open.remove(&(gap.kind, gap.subject.clone()));
        self.closed.insert(closed.id);
        self.make_room();
        true
    }

    fn make_room(&mut self) {
        while self.closed.len() > GAPS_CLOSED_MAX {
            let Some(oldest) = self.closed.pop_first() else { return };
            self.known.remove(&oldest);
            self.left_memory += 1;
        }
    }
}

/// What of `seen` is to be opened and what of the open gaps has ended, so that exactly `seen` is
/// open afterwards.
pub(crate) fn reconcile(
    gaps: &Gaps,
    kind: GapKind,
    seen: Vec<GapSeen>,
    now: UtcMicros,
) -> (Vec<Gap>, Vec<GapClosed>) {
    let mut by_subject: BTreeMap<String, GapSeen> = BTreeMap::new();
    for one in seen {
        let subject = cut(&one.subject, GAP_TEXT_BYTES_MAX);
        by_subject.entry(subject).or_insert(one);
    }
    let surplus: Vec<String> = by_subject.keys().skip(GAPS_OPEN_PER_KIND_MAX).cloned().collect();
    if let Some(first) = surplus.first().and_then(|subject| by_subject.get(subject)) {
        let begin = first.begin;
        surplus.iter().for_each(|subject| drop(by_subject.remove(subject)));
        // Without the number: a gap that is open says what was true when it was opened.
        by_subject.insert(
            MORE.to_owned(),
            GapSeen {
                subject: MORE.to_owned(),
                begin,
                sentence_ja: format!(
                    "同じ種類のすき間がほかにも {GAPS_OPEN_PER_KIND_MAX} 件を超えてあります。"
                ),
                sentence_en: format!(
                    "There are more gaps of this kind than the {GAPS_OPEN_PER_KIND_MAX} shown."
                ),
            },
        );
    }
    let ended = gaps.open_of(kind).filter(|gap| !by_subject.contains_key(&gap.subject));
    let mut ended: Vec<_> =
        ended.map(|gap| GapClosed { at: now, id: gap.id, end: now.max(gap.begin) }).collect();
    ended.sort_by_key(|closed| closed.id);
    let fresh =
        by_subject.into_iter().filter(|(subject, _)| gaps.open_about(kind, subject).is_none());
    let opened = (gaps.last_id().0 + 1..).zip(fresh).map(|(number, (subject, one))| Gap {
        at: now,
        id: GapId(number),
        kind,
        subject,
        begin: one.begin,
        end: None,
        sentence_ja: cut(&one.sentence_ja, GAP_TEXT_BYTES_MAX),
        sentence_en: cut(&one.sentence_en, GAP_TEXT_BYTES_MAX),
    });
    (opened.collect(), ended)
}

impl GapKind {
    /// All of them.
    pub const ALL: &[GapKind] = &[
        GapKind::RuleRefused,
        GapKind::RuleDisabled,
        GapKind::EngineBehind,
        GapKind::SourceSilent,
        GapKind::SourceDrifted,
        GapKind::FieldMissing,
        GapKind::FindingsLost,
        GapKind::CorrelationLimit,
        GapKind::ForwardBehind,
        GapKind::Stopped,
        GapKind::DiskFills,
        GapKind::DeviceOverwrites,
    ];

    /// The word a person reads, in `lang`.
    pub fn label(self, lang: yagura_event::Lang) -> &'static str {
        use yagura_event::Lang::{En, Ja};
        match (lang, self) {
            (En, GapKind::RuleRefused) => "Rule refused",
            (En, GapKind::RuleDisabled) => "Rule off",
            (En, GapKind::EngineBehind) => "Detection behind",
            (En, GapKind::SourceSilent) => "Source silent",
            (En, GapKind::SourceDrifted) => "Format changed",
            (En, GapKind::FieldMissing) => "Field missing",
            (En, GapKind::FindingsLost) => "Matches not recorded",
            (En, GapKind::CorrelationLimit) => "Correlation limit",
            (En, GapKind::ForwardBehind) => "Forwarding behind",
            (En, GapKind::Stopped) => "Not running",
            (En, GapKind::DiskFills) => "Disk fills",
            (En, GapKind::DeviceOverwrites) => "Device overwrites",
            (Ja, GapKind::RuleRefused) => "使えないルール",
            (Ja, GapKind::RuleDisabled) => "停止中のルール",
            (Ja, GapKind::EngineBehind) => "検知の遅れ",
            (Ja, GapKind::SourceSilent) => "途絶えた送信元",
            (Ja, GapKind::SourceDrifted) => "書式の変化",
            (Ja, GapKind::FieldMissing) => "足りない項目",
            (Ja, GapKind::FindingsLost) => "記録できなかった一致",
            (Ja, GapKind::CorrelationLimit) => "相関の上限",
            (Ja, GapKind::ForwardBehind) => "転送の遅れ",
            (Ja, GapKind::Stopped) => "停止していた期間",
            (Ja, GapKind::DiskFills) => "ディスクの満杯",
            (Ja, GapKind::DeviceOverwrites) => "機器での上書き",
        }
    }
}

impl fmt::Display for GapId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "G-{:06}", self.0)
    }
}

impl Serialize for GapId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GapId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let number = text.strip_prefix("G-").and_then(|digits| digits.parse().ok());
        number.map(GapId).ok_or_else(|| serde::de::Error::custom(format!("not a gap id: {text:?}")))
    }
}
