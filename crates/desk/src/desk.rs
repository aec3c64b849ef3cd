use crate::alert::{Act, Alert, AlertId, Verdict};
use crate::audit::{AuditError, AuditLog};
use crate::entry::{Command, Delivery, Entry, Read};
use crate::excepting::ExceptionSet;
use crate::filter::{AlertFilter, AlertPage};
use crate::finding::{Finding, Say};
use crate::fold::{Bounds, DeskStats, Fold, Misfit};
use crate::limits::{LISTENER_LAG_MAX, NOTE_BYTES_MAX, QUIET_RULES_MAX, WHO_BYTES_MAX};
use crate::plan::{Plan, plan};
use crate::risk::RiskOptions;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::broadcast;
use yagura_event::{Clock, Level, UtcMicros, Words};

/// How the desk groups and what it leaves alone.
#[derive(Debug, Clone)]
pub struct DeskOptions {
    /// Findings of rules below this level are counted and raise no alert. Default: medium.
    pub min_level: Level,
    /// How far (µs) an event may lie before the first or after the last event of an open alert and
    /// still belong to it. Default: 24 hours.
    pub window_micros: i64,
    /// Alerts from this level on are kept as undelivered until a delivery is recorded; `None`
    /// (default) where no webhook is set up.
    pub notify_level: Option<Level>,
    /// How risk fades, and when phases make a chain.
    pub risk: RiskOptions,
}

impl Default for DeskOptions {
    fn default() -> Self {
        DeskOptions {
            min_level: Level::Medium,
            window_micros: 24 * 60 * 60 * 1_000_000,
            notify_level: None,
            risk: RiskOptions::default(),
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// No such alert in memory.
    #[error("there is no alert {id}: it never was, or it was closed long ago and left memory")]
    NoSuchAlert {
        /// The alert asked for.
        id: AlertId,
    },
    /// The alert's state does not allow it.
    #[error("{reason}")]
    NotNow {
        /// What stands in the way.
        reason: Words,
    },
    /// The command itself is wrong.
    #[error("{reason}")]
    Invalid {
        /// What is wrong and what would be right.
        reason: Words,
    },
    /// The audit log did not take it, so it did not happen.
    #[error("not done, because it cannot be recorded")]
    Audit(#[from] AuditError),
}

impl DeskError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            DeskError::NoSuchAlert { id } => format!(
                "アラート {id} はありません（または、クローズしてから時間がたち、手元に残っていません）"
            ),
            DeskError::NotNow { reason } | DeskError::Invalid { reason } => reason.ja().to_owned(),
            DeskError::Audit(_) => "監査ログに記録できないため、実行していません".to_owned(),
        };
        Words::new(self.to_string(), ja)
    }

    pub(crate) fn nobody() -> DeskError {
        DeskError::Invalid {
            reason: Words::new("say who does this", "だれが行うのかを指定してください"),
        }
    }
}

/// What a stored record was to the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Taken in.
    Applied,
    /// Another part's record, or a newer version's.
    NotOurs,
    /// One of ours that cannot be read or does not fit; counted, and the reason.
    Broken(String),
}

/// A change of one alert.
#[derive(Debug, Clone)]
pub struct AlertChange {
    /// The alert after the change.
    pub alert: Arc<Alert>,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Raised,
    /// It got this many further events.
    Extended {
        /// Events added.
        added: u64,
    },
    /// A person did this.
    Person(Act),
}

/// The desk. Shared as `Arc<Desk>`; every method takes `&self`.
pub struct Desk {
    pub(crate) options: DeskOptions,
    audit: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    /// Held from reading the state to applying what was decided on it, with the audit append in
    /// between: the order of the records is the order of the changes. Readers never wait for it.
    decide: Mutex<()>,
    /// Written only while `decide` is held.
    pub(crate) fold: RwLock<Fold>,
    /// The exceptions in force, read; `None` where they have changed since.
    pub(crate) excepting: Mutex<Option<Arc<ExceptionSet>>>,
    changes: broadcast::Sender<AlertChange>,
}

impl Desk {
    /// An empty desk. Give it the stored audit records with [`Desk::replay`] before anything else.
    pub fn new(options: DeskOptions, audit: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Desk::with_bounds(options, Bounds::default(), audit, clock)
    }

    pub(crate) fn with_bounds(
        options: DeskOptions,
        bounds: Bounds,
        audit: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Desk {
            options,
            audit,
            clock,
            decide: Mutex::new(()),
            fold: RwLock::new(Fold::new(bounds)),
            excepting: Mutex::new(None),
            changes: broadcast::channel(LISTENER_LAG_MAX).0,
        }
    }

    /// Takes in one stored audit record, oldest first. Records of other parts are passed over.
    pub fn replay(&self, entry: &[u8]) -> Replayed {
        let read = Entry::read(entry);
        let _deciding = self.deciding();
        let mut fold = self.fold.write().unwrap_or_else(PoisonError::into_inner);
        let reason = match read {
            Ok(Read::NotOurs) => return Replayed::NotOurs,
            Ok(Read::Entry(entry)) => {
                self.forget_exceptions(&entry);
                match fold.apply(entry) {
                    Ok(_) => return Replayed::Applied,
                    Err(misfit) => misfit.to_string(),
                }
            }
            Err(reason) => reason,
        };
        fold.stats_mut().broken_records += 1;
        Replayed::Broken(reason)
    }

    /// Raises and extends alerts for what the rules found, with one append to the audit log.
    /// Findings counted before (same rule, same event) change nothing, so that events may safely
    /// be replayed after a restart.
    ///
    /// # Errors
    /// [`DeskError::Audit`]: nothing was counted; the same findings may be given again.
    pub fn observe(&self, findings: Vec<Finding>) -> Result<Vec<AlertChange>, DeskError> {
        self.observe_with(findings, &|_, _| Default::default())
    }

    /// [`Desk::observe`] of findings that may still have to be put into words: `say` does it for
    /// those that are shown.
    ///
    /// # Errors
    /// As [`Desk::observe`].
    pub fn observe_with(
        &self,
        findings: Vec<Finding>,
        say: &Say<'_>,
    ) -> Result<Vec<AlertChange>, DeskError> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let (findings, excepted) = self.part(findings);
        self.suppress(excepted)?;
        let _deciding = self.deciding();
        let Plan { entries, repeated, below_level } = {
            let fold = self.fold.read().unwrap_or_else(PoisonError::into_inner);
            plan(&fold, &self.options, self.clock.now(), findings, say)
        };
        let mut changes = self.carry_out(entries)?;
        let chained = self.raise_chains(changes.iter().map(|change| change.alert.id))?;
        changes.extend(chained);
        let mut fold = self.fold.write().unwrap_or_else(PoisonError::into_inner);
        let stats = fold.stats_mut();
        stats.repeated += repeated;
        for (rule, count) in below_level {
            stats.below_level += count;
            let known = stats.below_level_by_rule.contains_key(&rule);
            let room = stats.below_level_by_rule.len() < QUIET_RULES_MAX;
            let name = if known || room { rule } else { String::new() };
            *stats.below_level_by_rule.entry(name).or_default() += count;
        }
        Ok(changes)
    }

    /// Takes an alert up.
    ///
    /// # Errors
    /// [`DeskError`], when the alert is not new, `who` is empty or a text too long.
    pub fn acknowledge(&self, id: AlertId, who: &str, note: &str) -> Result<Arc<Alert>, DeskError> {
        self.command(Act::Acknowledged, id, who, None, note)
    }

    /// Closes an alert with what it turned out to be. Later findings raise a new one.
    ///
    /// # Errors
    /// [`DeskError`], when the alert is closed, `who` is empty or a text too long.
    pub fn close(
        &self,
        id: AlertId,
        who: &str,
        verdict: Verdict,
        note: &str,
    ) -> Result<Arc<Alert>, DeskError> {
        self.command(Act::Closed, id, who, Some(verdict), note)
    }

    /// Takes the closing of an alert back: it is new again.
    ///
    /// # Errors
    /// [`DeskError`], when the alert is not closed, `who` is empty or a text too long.
    pub fn reopen(&self, id: AlertId, who: &str, note: &str) -> Result<Arc<Alert>, DeskError> {
        self.command(Act::Reopened, id, who, None, note)
    }

    /// Writes something down about an alert, whatever its state.
    ///
    /// # Errors
    /// [`DeskError`], when `who` or `note` is empty or too long.
    pub fn comment(&self, id: AlertId, who: &str, note: &str) -> Result<Arc<Alert>, DeskError> {
        if note.trim().is_empty() {
            let reason = Words::new("a comment needs a text", "コメントの内容がありません");
            return Err(DeskError::Invalid { reason });
        }
        self.command(Act::Commented, id, who, None, note)
    }

    /// One alert, as it is now.
    pub fn alert(&self, id: AlertId) -> Option<Arc<Alert>> {
        self.fold.read().unwrap_or_else(PoisonError::into_inner).alert(id).cloned()
    }

    /// The alerts that `filter` asks for.
    pub fn alerts(&self, filter: &AlertFilter) -> AlertPage {
        // The list is cut from a snapshot of pointers: writers wait for the copying only.
        filter.page(self.all_alerts())
    }

    /// Every alert as it is now, in the order they were raised: at most
    /// [`crate::limits::ALERTS_MAX`] pointers.
    pub fn all_alerts(&self) -> Vec<Arc<Alert>> {
        self.fold.read().unwrap_or_else(PoisonError::into_inner).alerts().cloned().collect()
    }

    /// Alerts that were to be delivered and for which no delivery is recorded, oldest first: give
    /// them to the webhook after a restart.
    pub fn undelivered(&self) -> Vec<Arc<Alert>> {
        let fold = self.fold.read().unwrap_or_else(PoisonError::into_inner);
        fold.undelivered().cloned().collect()
    }

    /// The desk's numbers.
    pub fn stats(&self) -> DeskStats {
        self.fold.read().unwrap_or_else(PoisonError::into_inner).stats()
    }

    /// Every change from now on. A listener that falls more than
    /// [`crate::limits::LISTENER_LAG_MAX`] behind is told how many it missed.
    pub fn subscribe(&self) -> broadcast::Receiver<AlertChange> {
        self.changes.subscribe()
    }

    /// Records how a delivery ended.
    pub(crate) fn record_delivery(&self, delivery: Delivery) -> Result<(), DeskError> {
        let _deciding = self.deciding();
        self.carry_out(vec![Entry::Delivery(delivery)]).map(drop)
    }

    pub(crate) fn now(&self) -> UtcMicros {
        self.clock.now()
    }

    fn command(
        &self,
        act: Act,
        id: AlertId,
        who: &str,
        verdict: Option<Verdict>,
        note: &str,
    ) -> Result<Arc<Alert>, DeskError> {
        let who = who.trim();
        if who.is_empty() {
            return Err(DeskError::nobody());
        }
        for (what, text, bytes_max) in
            [(Part::Name, who, WHO_BYTES_MAX), (Part::Note, note, NOTE_BYTES_MAX)]
        {
            within(what, text, bytes_max)?;
        }
        let _deciding = self.deciding();
        self.fold.read().unwrap_or_else(PoisonError::into_inner).check(act, id, verdict)?;
        let at = self.clock.now();
        let command = Command { at, id, who: who.to_owned(), verdict, note: note.to_owned() };
        let entry = match act {
            Act::Acknowledged => Entry::Acknowledged(command),
            Act::Closed => Entry::Closed(command),
            Act::Reopened => Entry::Reopened(command),
            Act::Commented => Entry::Commented(command),
        };
        let change = self.carry_out(vec![entry])?.pop();
        if act == Act::Reopened {
            // It counts again, and may complete a chain. Where that cannot be recorded now, the next
            // finding or start does it; the reopening itself is done.
            let _ = self.raise_chains([id].into_iter());
        }
        change.map(|change| change.alert).ok_or(DeskError::NoSuchAlert { id })
    }

    /// Makes `entries` durable, then true. The caller holds `decide`.
    pub(crate) fn carry_out(&self, entries: Vec<Entry>) -> Result<Vec<AlertChange>, DeskError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let values: Result<Vec<_>, _> = entries.iter().map(Entry::to_value).collect();
        let values = values.map_err(|error| AuditError { reason: error.to_string() })?;
        self.audit.append(values)?;
        let mut changes = Vec::with_capacity(entries.len());
        {
            let mut fold = self.fold.write().unwrap_or_else(PoisonError::into_inner);
            for entry in entries {
                self.forget_exceptions(&entry);
                let kind = kind_of(&entry);
                match (fold.apply(entry), kind) {
                    (Ok(Some(alert)), Some(kind)) => changes.push(AlertChange { alert, kind }),
                    (Ok(_), _) => {}
                    // Planned on this very state, so this is a defect; the next start will meet
                    // the same record and count it too.
                    (Err(misfit), _) => {
                        fold.stats_mut().broken_records += 1;
                        tracing::error!(%misfit, "alert record does not fit");
                    }
                }
            }
        }
        for change in &changes {
            // No listener is no error.
            let _ = self.changes.send(change.clone());
        }
        Ok(changes)
    }

    pub(crate) fn deciding(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data of its own; a panic elsewhere does not make the fold wrong.
        self.decide.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that a person gives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Name,
    Note,
    Reason,
    RuleOrTag,
    Entity,
    Conditions,
}

/// Refuses a person's text that is too long.
pub(crate) fn within(what: Part, text: &str, bytes_max: usize) -> Result<(), DeskError> {
    let bytes = text.len();
    if bytes <= bytes_max {
        return Ok(());
    }
    let (en, ja) = match what {
        Part::Name => ("name", "名前"),
        Part::Note => ("note", "メモ"),
        Part::Reason => ("reason", "理由"),
        Part::RuleOrTag => ("rule or tag", "ルールまたはタグ"),
        Part::Entity => ("entity", "対象"),
        Part::Conditions => ("list of conditions", "条件"),
    };
    let reason = Words::new(
        format!("the {en} has {bytes} bytes: {bytes_max} is the most"),
        format!("{ja}が{bytes}バイトあります。{bytes_max}バイトまでにしてください"),
    );
    Err(DeskError::Invalid { reason })
}

fn kind_of(entry: &Entry) -> Option<ChangeKind> {
    Some(match entry {
        Entry::Raised(_) => ChangeKind::Raised,
        Entry::Extended(extended) => {
            ChangeKind::Extended { added: extended.event_ids.len() as u64 }
        }
        Entry::Acknowledged(_) => ChangeKind::Person(Act::Acknowledged),
        Entry::Closed(_) => ChangeKind::Person(Act::Closed),
        Entry::Reopened(_) => ChangeKind::Person(Act::Reopened),
        Entry::Commented(_) => ChangeKind::Person(Act::Commented),
        _ => return None,
    })
}

impl From<Misfit> for DeskError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Unknown(id) => DeskError::NoSuchAlert { id },
            other => DeskError::NotNow { reason: other.words() },
        }
    }
}
