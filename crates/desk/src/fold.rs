use crate::alert::{Act, Alert, AlertId, AlertState, Entity, EntityKind, HistoryItem, Verdict};
use crate::entry::{Command, Delivery, Entry, Extended, Outcome, Raised};
use crate::exception::{ExceptionId, ExceptionState, Exceptions};
use crate::gap::{GapId, Gaps};
use crate::limits::{
    ALERTS_MAX, EVENT_IDS_PER_ALERT_CROWDED, EVENT_IDS_PER_ALERT_MAX, EVENT_IDS_TOTAL_MAX,
    HISTORY_MAX, HOURS_MAX, RECENT_FINDINGS_MAX, UNDELIVERED_MAX,
};
use crate::plan::hour_of;
use crate::quality::{Decision, Quality};
use crate::recent::{Recent, finding_key};
use crate::risk::RiskIndex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use yagura_event::{Lang, Words};

/// The state of all alerts: what comes of the audit records, one after the other.
///
/// [`Fold::apply`] is the only way in, for live changes and for replay alike; that is why both end in
/// the same state.
#[derive(Debug)]
pub(crate) struct Fold {
    bounds: Bounds,
    alerts: BTreeMap<AlertId, Arc<Alert>>,
    open: HashMap<Group, Vec<AlertId>>,
    closed: BTreeSet<AlertId>,
    undelivered: BTreeSet<AlertId>,
    recent: Recent,
    last: AlertId,
    event_ids: usize,
    stats: DeskStats,
    exceptions: Exceptions,
    gaps: Gaps,
    quality: Quality,
    risk: RiskIndex,
}

/// The limits that tests make smaller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub alerts: usize,
    pub event_ids_per_alert: usize,
    pub event_ids_total: usize,
    pub history: usize,
    pub recent: usize,
    pub undelivered: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            alerts: ALERTS_MAX,
            event_ids_per_alert: EVENT_IDS_PER_ALERT_MAX,
            event_ids_total: EVENT_IDS_TOTAL_MAX,
            history: HISTORY_MAX,
            recent: RECENT_FINDINGS_MAX,
            undelivered: UNDELIVERED_MAX,
        }
    }
}

/// What findings are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    rule: String,
    kind: EntityKind,
    value: String,
}

impl Group {
    pub fn rule(&self) -> &str {
        &self.rule
    }

    pub fn new(rule_uuid: &str, entity: &Entity) -> Self {
        // Windows writes one name in several cases; one machine must not become two entities.
        Group { rule: rule_uuid.to_owned(), kind: entity.kind, value: entity.value.to_lowercase() }
    }
}

/// Numbers of the desk, from its first audit record unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeskStats {
    /// Alerts raised.
    pub raised: u64,
    /// Findings that became part of an alert.
    pub findings: u64,
    /// Alerts in memory that nobody has looked at.
    pub new: u64,
    /// Alerts in memory that somebody has in hand.
    pub acknowledged: u64,
    /// Alerts in memory that are closed.
    pub closed: u64,
    /// Closed alerts that left memory; the audit log has them.
    pub closed_left_memory: u64,
    /// Alerts that left memory though they were not closed, because all were open.
    pub open_left_memory: u64,
    /// Deliveries that reached their receiver.
    pub delivered: u64,
    /// Deliveries given up.
    pub undeliverable: u64,
    /// Findings ignored because they were counted before, since the start of the process.
    pub repeated: u64,
    /// Findings below the alert level, since the start of the process.
    pub below_level: u64,
    /// Findings below the alert level by rule, since the start of the process. Past
    /// [`crate::limits::QUIET_RULES_MAX`] rules, further ones are under the empty name.
    pub below_level_by_rule: BTreeMap<String, u64>,
    /// Audit records that named themselves ours and could not be read or applied.
    pub broken_records: u64,
    /// Exceptions in force.
    pub exceptions: u64,
    /// Matches that exceptions took away.
    pub suppressed: u64,
    /// Detection gaps that are open.
    pub gaps_open: u64,
}

/// A record that does not fit the state it is applied to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Misfit {
    #[error("there is no alert {0} in memory")]
    Unknown(AlertId),
    #[error("alert {0} was raised before")]
    Twice(AlertId),
    #[error("alert {id} is {state}")]
    State { id: AlertId, state: AlertState },
    #[error("closing alert {0} takes a verdict")]
    NoVerdict(AlertId),
    #[error("exception {0} is not in force")]
    NotInForce(ExceptionId),
    #[error("exception {0} was added before")]
    ExceptionTwice(ExceptionId),
    #[error("gap {0} was opened before, or one about the same is open")]
    GapTwice(GapId),
    #[error("gap {0} is not open")]
    NotOpen(GapId),
}

impl Misfit {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            Misfit::Unknown(id) => format!("アラート {id} は手元にありません"),
            Misfit::Twice(id) => format!("アラート {id} はすでに作成されています"),
            Misfit::State { id, state } => {
                format!("アラート {id} の状態は「{}」です", state.label(Lang::Ja))
            }
            Misfit::NoVerdict(id) => format!("アラート {id} のクローズには判定が必要です"),
            Misfit::NotInForce(id) => format!("例外 {id} は有効ではありません"),
            Misfit::ExceptionTwice(id) => format!("例外 {id} はすでに追加されています"),
            Misfit::GapTwice(id) => {
                format!("検知のすき間 {id} はすでに記録されています（または同じものが継続中です）")
            }
            Misfit::NotOpen(id) => format!("検知のすき間 {id} は継続中ではありません"),
        };
        Words::new(self.to_string(), ja)
    }
}

impl Fold {
    pub fn new(bounds: Bounds) -> Self {
        Fold {
            bounds,
            alerts: BTreeMap::new(),
            open: HashMap::new(),
            closed: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            recent: Recent::new(bounds.recent),
            last: AlertId(0),
            event_ids: 0,
            stats: DeskStats::default(),
            exceptions: Exceptions::default(),
            gaps: Gaps::default(),
            quality: Quality::default(),
            risk: RiskIndex::default(),
        }
    }

    /// Takes one record in. The alert it concerns comes back; `None` for records that change none.
    pub fn apply(&mut self, entry: Entry) -> Result<Option<Arc<Alert>>, Misfit> {
        match entry {
            Entry::Raised(raised) => self.raise(*raised).map(Some),
            Entry::Extended(extended) => self.extend(extended).map(Some),
            Entry::Acknowledged(command) => self.decide(Act::Acknowledged, command).map(Some),
            Entry::Closed(command) => self.decide(Act::Closed, command).map(Some),
            Entry::Reopened(command) => self.decide(Act::Reopened, command).map(Some),
            Entry::Commented(command) => self.decide(Act::Commented, command).map(Some),
            Entry::Delivery(delivery) => {
                self.delivered(&delivery);
                Ok(None)
            }
            other => self.apply_aside(other).map(|()| None),
        }
    }

    /// Records that concern no single alert.
    fn apply_aside(&mut self, entry: Entry) -> Result<(), Misfit> {
        let done = |done: bool, misfit: Misfit| if done { Ok(()) } else { Err(misfit) };
        match entry {
            Entry::ExceptionAdded(exception) => {
                let id = exception.id;
                done(self.exceptions.add(*exception), Misfit::ExceptionTwice(id))
            }
            Entry::ExceptionRemoved(ended) => {
                let id = ended.id;
                done(self.exceptions.end(ended, ExceptionState::Removed), Misfit::NotInForce(id))
            }
            Entry::ExceptionExpired(ended) => {
                let id = ended.id;
                done(self.exceptions.end(ended, ExceptionState::Expired), Misfit::NotInForce(id))
            }
            Entry::Suppressed(record) => {
                for event_id in &record.event_ids {
                    self.recent.insert(finding_key(&record.rule, event_id));
                }
                self.exceptions.suppress(&record);
                let count = record.event_ids.len() as u64;
                self.quality.suppressed(&record.rule, &record.rule_name, count);
                Ok(())
            }
            Entry::GapOpened(gap) => {
                let id = gap.id;
                done(self.gaps.opened(*gap), Misfit::GapTwice(id))
            }
            Entry::GapClosed(closed) => done(self.gaps.close(&closed), Misfit::NotOpen(closed.id)),
            // Handled by `apply`.
            _ => Ok(()),
        }
    }

    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    pub fn risk(&self) -> &RiskIndex {
        &self.risk
    }

    /// The newest alerts that speak of `entity`, whose name is folded.
    pub fn alerts_about(&self, entity: &Entity) -> impl Iterator<Item = &Arc<Alert>> {
        self.risk.of(entity).filter_map(|id| self.alerts.get(&id))
    }

    /// Whether `command` with `act` would be taken, without taking it.
    pub fn check(&self, act: Act, id: AlertId, verdict: Option<Verdict>) -> Result<(), Misfit> {
        let state = self.alerts.get(&id).ok_or(Misfit::Unknown(id))?.state;
        match (act, state) {
            (Act::Acknowledged, AlertState::New)
            | (Act::Reopened, AlertState::Closed)
            | (Act::Commented, _) => Ok(()),
            (Act::Closed, AlertState::New | AlertState::Acknowledged) => match verdict {
                Some(_) => Ok(()),
                None => Err(Misfit::NoVerdict(id)),
            },
            (Act::Acknowledged | Act::Closed | Act::Reopened, state) => {
                Err(Misfit::State { id, state })
            }
        }
    }

    pub fn alert(&self, id: AlertId) -> Option<&Arc<Alert>> {
        self.alerts.get(&id)
    }

    /// All alerts in memory, oldest first.
    pub fn alerts(&self) -> impl DoubleEndedIterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    /// Alerts of `group` that are not closed, newest first.
    pub fn open_alerts(&self, group: &Group) -> impl Iterator<Item = &Arc<Alert>> {
        let ids = self.open.get(group).map(Vec::as_slice).unwrap_or_default();
        ids.iter().rev().filter_map(|id| self.alerts.get(id))
    }

    pub fn undelivered(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.undelivered.iter().filter_map(|id| self.alerts.get(id))
    }

    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    pub fn last_id(&self) -> AlertId {
        self.last
    }

    pub fn stats(&self) -> DeskStats {
        let open = (self.alerts.len() - self.closed.len()) as u64;
        DeskStats {
            closed: self.closed.len() as u64,
            new: open - self.stats.acknowledged,
            exceptions: self.exceptions.in_force().count() as u64,
            suppressed: self.exceptions.suppressed,
            gaps_open: self.gaps.open_count() as u64,
            ..self.stats.clone()
        }
    }

    pub fn stats_mut(&mut self) -> &mut DeskStats {
        &mut self.stats
    }

    fn raise(&mut self, raised: Raised) -> Result<Arc<Alert>, Misfit> {
        if raised.id <= self.last {
            return Err(Misfit::Twice(raised.id));
        }
        let id = raised.id;
        let group = Group::new(&raised.rule.uuid, &raised.entity);
        self.recent.insert(finding_key(&raised.rule.uuid, &raised.event_id));
        if raised.notify {
            self.undelivered.insert(id);
            if self.undelivered.len() > self.bounds.undelivered {
                self.undelivered.pop_first();
            }
        }
        let alert = Arc::new(Alert {
            id,
            state: AlertState::New,
            verdict: None,
            raised: raised.at,
            first_seen: raised.seen,
            last_seen: raised.seen,
            count: 1,
            hours: BTreeMap::from([(hour_of(raised.seen), 1)]),
            entity: raised.entity,
            rule: raised.rule,
            dataset: raised.dataset,
            host: raised.host,
            user: raised.user,
            source_ip: raised.source_ip,
            event_ids: vec![raised.event_id],
            received: raised.received,
            last_sentence_ja: raised.sentence_ja.clone(),
            last_sentence_en: raised.sentence_en.clone(),
            first_sentence_ja: raised.sentence_ja,
            first_sentence_en: raised.sentence_en,
            evidence: raised.evidence,
            history: Vec::new(),
            history_left_out: 0,
        });
        self.last = id;
        self.event_ids += 1;
        self.stats.raised += 1;
        self.stats.findings += 1;
        self.open.entry(group).or_default().push(id);
        self.quality.raised(&alert.rule, alert.raised);
        self.risk.add(&alert);
        self.alerts.insert(id, alert.clone());
        self.make_room();
        Ok(alert)
    }

    fn extend(&mut self, extended: Extended) -> Result<Arc<Alert>, Misfit> {
        let id = extended.id;
        let alert = self.alerts.get_mut(&id).ok_or(Misfit::Unknown(id))?;
        let alert = Arc::make_mut(alert);
        let room = if self.event_ids < self.bounds.event_ids_total {
            self.bounds.event_ids_per_alert
        } else {
            EVENT_IDS_PER_ALERT_CROWDED.min(self.bounds.event_ids_per_alert)
        };
        for event_id in &extended.event_ids {
            self.recent.insert(finding_key(&alert.rule.uuid, event_id));
        }
        let added = extended.event_ids.len() as u64;
        let kept = room.saturating_sub(alert.event_ids.len()).min(extended.event_ids.len());
        alert.event_ids.extend(extended.event_ids.into_iter().take(kept));
        alert.count += added;
        alert.first_seen = alert.first_seen.min(extended.first_seen);
        alert.last_seen = alert.last_seen.max(extended.last_seen);
        alert.last_sentence_ja = extended.sentence_ja;
        alert.last_sentence_en = extended.sentence_en;
        let hours = match extended.hours.is_empty() {
            true => BTreeMap::from([(hour_of(extended.last_seen), added)]),
            false => extended.hours,
        };
        for (hour, count) in hours {
            *alert.hours.entry(hour).or_default() += count;
        }
        while alert.hours.len() > HOURS_MAX {
            alert.hours.pop_first();
        }
        self.quality.extended(&alert.rule, extended.at, added);
        self.event_ids += kept;
        self.stats.findings += added;
        self.get(id)
    }

    fn decide(&mut self, act: Act, command: Command) -> Result<Arc<Alert>, Misfit> {
        let id = command.id;
        self.check(act, id, command.verdict)?;
        let history_max = self.bounds.history;
        let alert = Arc::make_mut(self.alerts.get_mut(&id).ok_or(Misfit::Unknown(id))?);
        let before = alert.state;
        let verdict_before = alert.verdict;
        let decision = match (act, command.verdict) {
            (Act::Closed, Some(verdict)) => Some(Decision {
                at: command.at,
                who: command.who.clone(),
                alert: id,
                verdict,
                note: command.note.clone(),
            }),
            _ => None,
        };
        match act {
            Act::Acknowledged => alert.state = AlertState::Acknowledged,
            Act::Closed => {
                alert.state = AlertState::Closed;
                alert.verdict = command.verdict;
            }
            Act::Reopened => {
                alert.state = AlertState::New;
                alert.verdict = None;
            }
            Act::Commented => {}
        }
        alert.history.push(HistoryItem {
            at: command.at,
            who: command.who,
            act,
            verdict: command.verdict.filter(|_| act == Act::Closed),
            note: command.note,
        });
        if alert.history.len() > history_max {
            alert.history.remove(0);
            alert.history_left_out += 1;
        }
        let after = alert.state;
        let group = Group::new(&alert.rule.uuid, &alert.entity);
        match (decision, act, verdict_before) {
            (Some(decision), ..) => self.quality.closed(alert, group.clone(), decision),
            (None, Act::Reopened, Some(verdict)) => {
                self.quality.reopened(alert, &group, verdict);
            }
            _ => {}
        }
        self.moved(id, group, before, after);
        self.get(id)
    }

    /// Keeps the indexes of states in step with an alert that went from one state to another.
    fn moved(&mut self, id: AlertId, group: Group, before: AlertState, after: AlertState) {
        if before == AlertState::Acknowledged {
            self.stats.acknowledged -= 1;
        }
        if after == AlertState::Acknowledged {
            self.stats.acknowledged += 1;
        }
        match (before == AlertState::Closed, after == AlertState::Closed) {
            (false, true) => {
                self.no_longer_open(id, &group);
                self.closed.insert(id);
            }
            (true, false) => {
                self.closed.remove(&id);
                self.open.entry(group).or_default().push(id);
            }
            _ => {}
        }
    }

    fn no_longer_open(&mut self, id: AlertId, group: &Group) {
        if let Some(ids) = self.open.get_mut(group) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.open.remove(group);
            }
        }
    }

    fn delivered(&mut self, delivery: &Delivery) {
        self.undelivered.remove(&delivery.id);
        match delivery.outcome {
            Outcome::Success => self.stats.delivered += 1,
            Outcome::Failure => self.stats.undeliverable += 1,
        }
    }

    /// Lets the oldest closed alert go when there are too many, or else the oldest of all.
    fn make_room(&mut self) {
        while self.alerts.len() > self.bounds.alerts {
            let oldest_closed = self.closed.pop_first();
            let left = match oldest_closed {
                Some(id) => self.alerts.remove(&id),
                None => self.alerts.pop_first().map(|(_, alert)| alert),
            };
            let Some(left) = left else { return };
            self.event_ids -= left.event_ids.len();
            self.risk.remove(&left);
            self.undelivered.remove(&left.id);
            if left.is_open() {
                self.stats.open_left_memory += 1;
                if left.state == AlertState::Acknowledged {
                    self.stats.acknowledged -= 1;
                }
                self.no_longer_open(left.id, &Group::new(&left.rule.uuid, &left.entity));
            } else {
                self.stats.closed_left_memory += 1;
            }
        }
    }

    fn get(&self, id: AlertId) -> Result<Arc<Alert>, Misfit> {
        self.alerts.get(&id).cloned().ok_or(Misfit::Unknown(id))
    }
}
