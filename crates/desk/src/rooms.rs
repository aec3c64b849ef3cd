//! What the desk offers beside alerts: exceptions, quality, precedent, risk, chains and gaps. Each is
//! a view of the one fold, and each change one or more audit records.

use crate::alert::{Alert, AlertId, Entity};
use crate::chain::chains;
use crate::desk::{AlertChange, Desk, DeskError, DeskOptions, Part, within};
use crate::entry::Entry;
use crate::excepting::{ExceptionSet, condition_of};
use crate::exception::{
    Ended, Exception, ExceptionId, ExceptionState, ExceptionView, Lasts, NewException, Suppressed,
    SuppressedMatch,
};
use crate::finding::Finding;
use crate::fold::Group;
use crate::gap::{Gap, GapKind, GapSeen, reconcile};
use crate::limits::{
    EVENT_IDS_PER_ENTRY_MAX, EXCEPTION_CONDITIONS_BYTES_MAX, EXCEPTIONS_IN_FORCE_MAX,
    NAME_BYTES_MAX, NOTE_BYTES_MAX, WHO_BYTES_MAX,
};
use crate::plan::plan;
use crate::quality::{Precedent, RuleQuality};
use crate::recent::finding_key;
use crate::risk::{EntityRisk, entities_of, risk_of};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use yagura_event::{UtcMicros, Words};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

impl Desk {
    /// The exceptions in force, ready to be asked. Cheap: read once per change of them.
    pub fn exceptions(&self) -> Arc<ExceptionSet> {
        // In this order everywhere: first the fold, then what was read of it.
        let fold = self.folded();
        let mut known = self.excepting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = &*known {
            return set.clone();
        }
        let set = Arc::new(ExceptionSet::new(fold.exceptions().in_force()));
        *known = Some(set.clone());
        set
    }

    /// Adds an exception: from now on it takes matches away. Alerts that are there stay.
    ///
    /// # Errors
    /// [`DeskError::Invalid`] when it has no reason or rule, is too wide or too long, or its
    /// conditions cannot be honoured; [`DeskError::NotNow`] when there are too many.
    pub fn add_exception(&self, who: &str, new: NewException) -> Result<ExceptionView, DeskError> {
        let who = who.trim();
        if who.is_empty() {
            return Err(DeskError::nobody());
        }
        within(Part::Name, who, WHO_BYTES_MAX)?;
        within(Part::Reason, &new.reason, NOTE_BYTES_MAX)?;
        for name in new.rules.iter().chain(&new.tags) {
            within(Part::RuleOrTag, name, NAME_BYTES_MAX)?;
        }
        if let Some(entity) = &new.entity {
            within(Part::Entity, &entity.value, NAME_BYTES_MAX)?;
        }
        if let Some(reason) = new.fault() {
            return Err(DeskError::Invalid { reason });
        }
        let _deciding = self.deciding();
        let (id, full) = {
            let fold = self.folded();
            (fold.exceptions().next_id(), fold.exceptions().is_full())
        };
        if full {
            let reason = Words::new(
                format!(
                    "there are {EXCEPTIONS_IN_FORCE_MAX} exceptions in force: remove some first"
                ),
                format!(
                    "有効な例外が上限の{EXCEPTIONS_IN_FORCE_MAX}件あります。先に不要なものを取り消してください"
                ),
            );
            return Err(DeskError::NotNow { reason });
        }
        let at = self.now();
        let exception = Exception {
            at,
            id,
            who: who.to_owned(),
            reason: new.reason.trim().to_owned(),
            rules: new.rules,
            tags: new.tags,
            conditions: new.conditions,
            entity: new.entity,
            everything: new.everything,
            expires: match new.lasts {
                Lasts::Days(days) => Some(at.plus_micros(i64::from(days) * DAY_MICROS)),
                Lasts::UntilRemoved => None,
            },
            alert: new.alert,
        };
        if !exception.conditions.is_empty() {
            let text = serde_json::to_string(&exception.conditions).unwrap_or_default();
            within(Part::Conditions, &text, EXCEPTION_CONDITIONS_BYTES_MAX)?;
            condition_of(&exception).map_err(|said| {
                let ja = format!("条件に誤りがあります（{said}）");
                DeskError::Invalid { reason: Words::new(said, ja) }
            })?;
        }
        self.carry_out(vec![Entry::ExceptionAdded(Box::new(exception))])?;
        self.exception(id).ok_or_else(|| unknown(id))
    }

    /// Takes an exception back: its rules raise alerts again.
    ///
    /// # Errors
    /// [`DeskError::NotNow`] when there is no such exception in force.
    pub fn remove_exception(
        &self,
        id: ExceptionId,
        who: &str,
        note: &str,
    ) -> Result<ExceptionView, DeskError> {
        let who = who.trim();
        if who.is_empty() {
            return Err(DeskError::nobody());
        }
        within(Part::Name, who, WHO_BYTES_MAX)?;
        within(Part::Note, note, NOTE_BYTES_MAX)?;
        let _deciding = self.deciding();
        match self.folded().exceptions().get(id).map(|view| view.state) {
            Some(ExceptionState::InForce) => {}
            Some(ExceptionState::Expired) => {
                let reason = Words::new(
                    format!("exception {id} has expired"),
                    format!("例外 {id} は期限が切れています"),
                );
                return Err(DeskError::NotNow { reason });
            }
            Some(ExceptionState::Removed) => {
                let reason = Words::new(
                    format!("exception {id} was removed"),
                    format!("例外 {id} はすでに取り消されています"),
                );
                return Err(DeskError::NotNow { reason });
            }
            None => return Err(unknown(id)),
        }
        let ended = Ended { at: self.now(), id, who: Some(who.to_owned()), note: note.to_owned() };
        self.carry_out(vec![Entry::ExceptionRemoved(ended)])?;
        self.exception(id).ok_or_else(|| unknown(id))
    }

    /// Records the end of every exception whose time is over. They take nothing away from that time
    /// on, whenever this is called.
    ///
    /// # Errors
    /// [`DeskError::Audit`]: they are recorded the next time.
    pub fn expire_exceptions(&self) -> Result<usize, DeskError> {
        let _deciding = self.deciding();
        let now = self.now();
        let over: Vec<Entry> = {
            let fold = self.folded();
            let in_force = fold.exceptions().in_force();
            let over = in_force.filter(|one| one.expires.is_some_and(|expires| expires <= now));
            over.map(|one| {
                let (who, note) = (None, String::new());
                Entry::ExceptionExpired(Ended { at: now, id: one.id, who, note })
            })
            .collect()
        };
        let count = over.len();
        self.carry_out(over)?;
        Ok(count)
    }

    /// One exception.
    pub fn exception(&self, id: ExceptionId) -> Option<ExceptionView> {
        self.folded().exceptions().get(id).map(|view| self.as_now(view))
    }

    /// All exceptions in memory, newest first. One whose time is over is told as expired, also
    /// before that is recorded.
    pub fn all_exceptions(&self) -> Vec<ExceptionView> {
        self.folded().exceptions().all().map(|view| self.as_now(view)).collect()
    }

    /// The last matches an exception took away, newest first, at most
    /// [`crate::limits::SUPPRESSED_SHOWN_MAX`].
    pub fn suppressed_by(&self, id: ExceptionId) -> Vec<SuppressedMatch> {
        self.folded().exceptions().suppressed_by(id)
    }

    /// Counts matches that exceptions took away, each rule and event once. Sentences and evidence of
    /// the findings are not needed.
    ///
    /// # Errors
    /// [`DeskError::Audit`]: nothing was counted; the same may be given again.
    pub fn suppress(&self, findings: Vec<(ExceptionId, Finding)>) -> Result<(), DeskError> {
        if findings.is_empty() {
            return Ok(());
        }
        let _deciding = self.deciding();
        let now = self.now();
        let mut groups: BTreeMap<(ExceptionId, String, String), Vec<Finding>> = BTreeMap::new();
        {
            let fold = self.folded();
            let mut seen = HashSet::new();
            for (id, finding) in findings {
                let key = finding_key(&finding.rule.uuid, &finding.event_id.to_string());
                if fold.recent().contains(&key) || !seen.insert(key) {
                    continue;
                }
                let finding = finding.bounded();
                let entity = Entity::of(&finding).value.to_lowercase();
                groups.entry((id, finding.rule.uuid.clone(), entity)).or_default().push(finding);
            }
        }
        let mut entries = Vec::new();
        for ((id, rule, _), findings) in groups {
            for chunk in findings.chunks(EVENT_IDS_PER_ENTRY_MAX) {
                let Some(first) = chunk.first() else { continue };
                let last_seen = chunk.iter().map(|one| one.timestamp).max();
                entries.push(Entry::Suppressed(Suppressed {
                    at: now,
                    id,
                    rule: rule.clone(),
                    rule_name: first.rule.name.clone(),
                    entity: Entity::of(first),
                    event_ids: chunk.iter().map(|one| one.event_id.to_string().into()).collect(),
                    last_seen: last_seen.unwrap_or(first.timestamp),
                }));
            }
        }
        self.carry_out(entries).map(drop)
    }

    /// Parts findings into those that stay and those that an exception takes away by entity alone.
    pub(crate) fn part(
        &self,
        findings: Vec<Finding>,
    ) -> (Vec<Finding>, Vec<(ExceptionId, Finding)>) {
        let set = self.exceptions();
        if set.is_empty() {
            return (findings, Vec::new());
        }
        let now = self.now();
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for finding in findings {
            match set.for_finding(now, &finding) {
                Some(id) => go.push((id, finding)),
                None => stay.push(finding),
            }
        }
        (stay, go)
    }

    /// How good each rule with an alert is: noisy ones first, then by recent volume.
    pub fn quality(&self) -> Vec<RuleQuality> {
        self.folded().quality().report(self.now())
    }

    /// What was decided before about the same rule and entity, other than about `alert` itself.
    pub fn precedent(&self, alert: &Alert) -> Option<Precedent> {
        let group = Group::new(&alert.rule.uuid, &alert.entity);
        self.folded().quality().precedent(&group, alert)
    }

    /// Entities by risk, the highest first, at most `limit`, and how many have any.
    pub fn risk(&self, limit: usize) -> (Vec<EntityRisk>, usize) {
        let now = self.now();
        let fold = self.folded();
        let risk = |entity| risk_of(entity, fold.alerts_about(entity), &self.options.risk, now);
        let mut all: Vec<_> = fold.risk().entities().filter_map(risk).collect();
        all.sort_by(|a, b| {
            let by_score = b.score.total_cmp(&a.score);
            by_score.then(b.last_seen.cmp(&a.last_seen)).then(a.entity.value.cmp(&b.entity.value))
        });
        let total = all.len();
        all.truncate(limit);
        (all, total)
    }

    /// The risk of those whom an alert speaks for: its entity first.
    pub fn risk_around(&self, alert: &Alert) -> Vec<EntityRisk> {
        let now = self.now();
        let fold = self.folded();
        let risk =
            |entity: &Entity| risk_of(entity, fold.alerts_about(entity), &self.options.risk, now);
        entities_of(alert).iter().filter_map(risk).collect()
    }

    /// Raises the chains that the alerts of the last days make and that were not raised, as after a
    /// crash between an alert and its chain. Call once after the last [`Desk::replay`].
    ///
    /// # Errors
    /// [`DeskError::Audit`]: the next alert of the entity raises its chain.
    pub fn catch_up(&self) -> Result<Vec<AlertChange>, DeskError> {
        let _deciding = self.deciding();
        let since = self.now().plus_micros(-self.options.risk.chain_window_micros);
        let recent: Vec<AlertId> = {
            let fold = self.folded();
            let recent = fold.alerts().rev().take_while(|alert| alert.raised >= since);
            recent.map(|alert| alert.id).collect()
        };
        self.raise_chains(recent.into_iter())
    }

    /// Raises and extends chains that the alerts belong to. The caller holds `decide`.
    pub(crate) fn raise_chains(
        &self,
        alerts: impl Iterator<Item = AlertId>,
    ) -> Result<Vec<AlertChange>, DeskError> {
        let entries = {
            let fold = self.folded();
            let found: Vec<Finding> = alerts
                .filter_map(|id| fold.alert(id))
                .flat_map(|alert| chains(&fold, &self.options, alert))
                .collect();
            if found.is_empty() {
                return Ok(Vec::new());
            }
            // The links of one chain may lie further apart than the events of one alert.
            let window_micros =
                self.options.risk.chain_window_micros.max(self.options.window_micros);
            let options = DeskOptions { window_micros, ..self.options.clone() };
            plan(&fold, &options, self.now(), found, &|_, _| Default::default()).entries
        };
        self.carry_out(entries)
    }

    /// Sees to it that of `kind` exactly the gaps in `seen` are open: opens what is new, ends what
    /// is over. Returns what was opened.
    ///
    /// # Errors
    /// [`DeskError::Audit`]: nothing changed; the same may be given again.
    pub fn set_gaps(&self, kind: GapKind, seen: Vec<GapSeen>) -> Result<Vec<Arc<Gap>>, DeskError> {
        let _deciding = self.deciding();
        let (opened, closed) = reconcile(self.folded().gaps(), kind, seen, self.now());
        let ids: Vec<_> = opened.iter().map(|gap| gap.id).collect();
        let closed = closed.into_iter().map(Entry::GapClosed);
        let entries = closed.chain(opened.into_iter().map(|gap| Entry::GapOpened(Box::new(gap))));
        self.carry_out(entries.collect())?;
        let fold = self.folded();
        Ok(ids.into_iter().filter_map(|id| fold.gaps().get(id).cloned()).collect())
    }

    /// Records a gap that is over.
    ///
    /// # Errors
    /// [`DeskError::Audit`]: nothing was recorded.
    pub fn record_past_gap(
        &self,
        kind: GapKind,
        seen: GapSeen,
        end: UtcMicros,
    ) -> Result<(), DeskError> {
        let _deciding = self.deciding();
        let (opened, _) = reconcile(self.folded().gaps(), kind, vec![seen], self.now());
        let Some(mut gap) = opened.into_iter().next() else { return Ok(()) };
        gap.end = Some(end.max(gap.begin));
        self.carry_out(vec![Entry::GapOpened(Box::new(gap))]).map(drop)
    }

    /// All gaps in memory: open ones first, then those that ended last.
    pub fn gaps(&self) -> Vec<Arc<Gap>> {
        self.folded().gaps().all()
    }

    /// Rules that exceptions switch off altogether, with the exception.
    pub fn rules_off(&self) -> Vec<Arc<Exception>> {
        let now = self.now();
        let fold = self.folded();
        let whole = fold.exceptions().in_force().filter(|one| one.everything);
        whole.filter(|one| one.expires.is_none_or(|expires| now < expires)).cloned().collect()
    }

    /// Has the exceptions read again after `entry`, if it changes them.
    pub(crate) fn forget_exceptions(&self, entry: &Entry) {
        let changes = matches!(
            entry,
            Entry::ExceptionAdded(_) | Entry::ExceptionRemoved(_) | Entry::ExceptionExpired(_)
        );
        if changes {
            *self.excepting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn as_now(&self, view: &ExceptionView) -> ExceptionView {
        let mut view = view.clone();
        let over = view.exception.expires.filter(|expires| *expires <= self.now());
        if let (ExceptionState::InForce, Some(expires)) = (view.state, over) {
            view.state = ExceptionState::Expired;
            view.ended = Some(expires);
        }
        view
    }

    fn folded(&self) -> RwLockReadGuard<'_, crate::fold::Fold> {
        self.fold.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(id: ExceptionId) -> DeskError {
    let reason =
        Words::new(format!("there is no exception {id}"), format!("例外 {id} はありません"));
    DeskError::Invalid { reason }
}
