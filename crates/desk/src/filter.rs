use crate::alert::{Alert, AlertState};
use crate::limits::PAGE_MAX;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;
use yagura_event::{Level, UtcMicros};

/// Which alerts to list. The default asks for the first page of all, newest first.
#[derive(Debug, Clone)]
pub struct AlertFilter {
    /// In any of these states; empty for any state.
    pub states: Vec<AlertState>,
    /// At least this severe.
    pub min_level: Option<Level>,
    /// Of the rule with this UUID, or whose title (in either language) contains this.
    pub rule: Option<String>,
    /// About this entity, host, user or source address (whole name, any case).
    pub entity: Option<String>,
    /// With an event at or after this instant.
    pub since: Option<UtcMicros>,
    /// With an event at or before this instant.
    pub until: Option<UtcMicros>,
    /// Every one of these words somewhere in id, titles, sentences, entity, host, user or address;
    /// full-width and half-width, upper and lower case are the same.
    pub text: Option<String>,
    /// Order.
    pub sort: AlertSort,
    /// Alerts to pass over.
    pub offset: usize,
    /// Most alerts to return, at most [`PAGE_MAX`].
    pub limit: usize,
}

impl Default for AlertFilter {
    fn default() -> Self {
        AlertFilter {
            states: Vec::new(),
            min_level: None,
            rule: None,
            entity: None,
            since: None,
            until: None,
            text: None,
            sort: AlertSort::default(),
            offset: 0,
            limit: 100,
        }
    }
}

/// Order of a list of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AlertSort {
    /// Latest event first.
    #[default]
    Newest,
    /// Most severe first, then latest event.
    Severity,
    /// In the order in which the first events happened: how a story reads.
    Story,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<Arc<Alert>>,
    /// How many the filter holds for, on all pages.
    pub total: usize,
    /// The offset of the next page, if there is one.
    pub next_offset: Option<usize>,
}

impl AlertFilter {
    pub(crate) fn page(&self, alerts: Vec<Arc<Alert>>) -> AlertPage {
        let prepared = Prepared::new(self);
        let mut alerts: Vec<_> =
            alerts.into_iter().filter(|alert| self.holds(&prepared, alert)).collect();
        match self.sort {
            AlertSort::Newest => alerts.sort_by_key(|a| std::cmp::Reverse((a.last_seen, a.id))),
            AlertSort::Severity => {
                alerts.sort_by_key(|a| std::cmp::Reverse((a.rule.level, a.last_seen, a.id)));
            }
            AlertSort::Story => alerts.sort_by_key(|a| (a.first_seen, a.id)),
        }
        let total = alerts.len();
        let limit = self.limit.min(PAGE_MAX);
        let end = self.offset.saturating_add(limit);
        let page = alerts.into_iter().skip(self.offset).take(limit).collect();
        AlertPage { alerts: page, total, next_offset: (end < total && limit > 0).then_some(end) }
    }

    fn holds(&self, prepared: &Prepared, alert: &Alert) -> bool {
        (self.states.is_empty() || self.states.contains(&alert.state))
            && self.min_level.is_none_or(|level| alert.rule.level >= level)
            && self.since.is_none_or(|since| alert.last_seen >= since)
            && self.until.is_none_or(|until| alert.first_seen <= until)
            && prepared.rule.as_ref().is_none_or(|wanted| {
                alert.rule.uuid.eq_ignore_ascii_case(wanted)
                    || fold_text(&alert.rule.name).contains(wanted)
                    || alert.rule.name_ja.as_ref().is_some_and(|t| fold_text(t).contains(wanted))
            })
            && prepared.entity.as_ref().is_none_or(|wanted| {
                let names = [Some(&alert.entity.value)];
                let more = [alert.host.as_ref(), alert.user.as_ref(), alert.source_ip.as_ref()];
                names.into_iter().chain(more).flatten().any(|name| fold_text(name) == *wanted)
            })
            && (prepared.words.is_empty() || {
                let text = searchable(alert);
                prepared.words.iter().all(|word| text.contains(word))
            })
    }
}

/// What the filter asks for, folded once.
struct Prepared {
    rule: Option<String>,
    entity: Option<String>,
    words: Vec<String>,
}

impl Prepared {
    fn new(filter: &AlertFilter) -> Self {
        let text = fold_text(filter.text.as_deref().unwrap_or_default());
        Prepared {
            rule: filter.rule.as_deref().map(fold_text),
            entity: filter.entity.as_deref().map(fold_text),
            words: text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

fn searchable(alert: &Alert) -> String {
    let id = alert.id.to_string();
    let parts = [
        Some(id.as_str()),
        Some(alert.rule.name.as_str()),
        alert.rule.name_ja.as_deref(),
        Some(alert.first_sentence_ja.as_str()),
        Some(alert.first_sentence_en.as_str()),
        Some(alert.last_sentence_ja.as_str()),
        Some(alert.last_sentence_en.as_str()),
        Some(alert.entity.value.as_str()),
        alert.host.as_deref(),
        alert.user.as_deref(),
        alert.source_ip.as_deref(),
    ];
    // A line break keeps a word from matching across two parts.
    fold_text(&parts.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// Folds width (NFKC) and case.
fn fold_text(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkc().flat_map(char::to_lowercase).collect()
}
