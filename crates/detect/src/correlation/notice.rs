//! What a correlator could not do, counted and said.

use crate::limits::CORRELATION_NOTICES_MAX;
use crate::rule::RuleInfo;
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::Lang;

/// Something that correlations missed, or may have missed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// The correlation.
    pub rule: Arc<RuleInfo>,
    /// How often since the last notice of this kind and rule was taken.
    pub count: u64,
    /// The first case: an event id, or the values of a group.
    pub example: String,
}

/// Kinds of [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NoticeKind {
    /// An event came later than the allowance and was not counted.
    Late,
    /// There is no room for more state: an event was not counted.
    StateFull,
    /// A group has more events than one may keep; its oldest were let go.
    GroupFull,
    /// A value that should be a number is none; the event was not counted.
    NotANumber,
    /// More alerts of one group, or more streams, than are remembered: the oldest were forgotten.
    Forgotten,
}

impl NoticeKind {
    /// A word for machines.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Late => "late",
            NoticeKind::StateFull => "state_full",
            NoticeKind::GroupFull => "group_full",
            NoticeKind::NotANumber => "not_a_number",
            NoticeKind::Forgotten => "forgotten",
        }
    }

    /// A sentence for people.
    pub fn sentence(self, lang: Lang) -> &'static str {
        match (self, lang) {
            (NoticeKind::Late, Lang::En) => {
                "events came too late to be counted by a correlation; raise allowance_s in the section \
                 [correlations] of the configuration, or scan the files they are in"
            }
            (NoticeKind::Late, Lang::Ja) => {
                "相関ルールで数えるには遅すぎるイベントが届きました。設定の [correlations] にある \
                 allowance_s を延ばすか、ファイルを scan で調べてください"
            }
            (NoticeKind::StateFull, Lang::En) => {
                "a correlation has no room for more groups and does not count further events; raise \
                 state_mib in the section [correlations] of the configuration, or group by fewer \
                 values"
            }
            (NoticeKind::StateFull, Lang::Ja) => {
                "相関ルールの状態が上限に達したため、これ以上のイベントを数えていません。\
                 設定の [correlations] にある state_mib を上げるか、group-by の項目を見直してください"
            }
            (NoticeKind::GroupFull, Lang::En) => {
                "a group of a correlation has more events than are kept; the oldest were let go, \
                 so that values are lower bounds"
            }
            (NoticeKind::GroupFull, Lang::Ja) => {
                "相関ルールの 1 グループのイベントが上限を超えたため、古いものから手放しました。\
                 値は少なくともその数、という意味になります"
            }
            (NoticeKind::NotANumber, Lang::En) => {
                "a correlation that adds numbers met a value that is none; such events were not \
                 counted"
            }
            (NoticeKind::NotANumber, Lang::Ja) => {
                "数値を集計する相関ルールに、数値でない値が届きました。そのイベントは数えていません"
            }
            (NoticeKind::Forgotten, Lang::En) => {
                "a correlation had more alerts of one group, or more streams, than it remembers and \
                 forgot the oldest; an event that comes late, or again after a restart, may raise one \
                 of them a second time"
            }
            (NoticeKind::Forgotten, Lang::Ja) => {
                "相関ルールの 1 グループのアラート、またはストリームの数が上限を超えたため、古いものを忘れました。\
                 遅れて届いたイベントや再起動後の数え直しで、同じアラートがもう一度上がることがあります"
            }
        }
    }
}

/// Notices since they were last taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(HashMap<(NoticeKind, String), Notice>);

impl Notices {
    pub(crate) fn add(
        &mut self,
        kind: NoticeKind,
        rule: &Arc<RuleInfo>,
        count: u64,
        example: impl FnOnce() -> String,
    ) {
        // Most often the notice is there already.
        let key = (kind, rule.id.clone());
        if let Some(notice) = self.0.get_mut(&key) {
            notice.count += count;
        } else if self.0.len() < CORRELATION_NOTICES_MAX {
            self.0.insert(key, Notice { kind, rule: rule.clone(), count, example: example() });
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Notice> {
        let mut notices: Vec<Notice> = std::mem::take(&mut self.0).into_values().collect();
        notices.sort_by(|a, b| (a.kind, &a.rule.id).cmp(&(b.kind, &b.rule.id)));
        notices
    }
}

/// What a correlator has done since it was made, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorrelatorStats {
    /// Events counted by some correlation, once for each.
    pub counted: u64,
    /// Matches of an event that an earlier run had counted, skipped in a replay.
    pub replayed: u64,
    /// Not counted: later than the allowance.
    pub late: u64,
    /// Not counted: no room.
    pub refused: u64,
    /// Counted, and let go before their time because their group had too many.
    pub let_go: u64,
    /// Not counted: a value that should be a number is none, or the counted field is missing.
    pub without_value: u64,
    /// Not counted: none of the fields of `group-by` is there.
    pub without_group: u64,
    /// Events whose own time lay too far after their receipt; the time of receipt was used.
    pub from_the_future: u64,
    /// Alerts raised.
    pub raised: u64,
    /// News of alerts raised before.
    pub updated: u64,
    /// Groups held now.
    pub groups: u64,
    /// Bytes held now, as counted against the limit.
    pub bytes: u64,
}
