//! Hunts: a rule, a pack or a list of indicators, looked for in everything stored; the indicators
//! in use, which are looked for as events come; and the feeds they come from.
//!
//! Everything here is a record of the audit log first and true afterwards. One thread hunts, one
//! hunt after another, so that the intake keeps its share of the machine.

mod feeds;
pub mod limits;
mod record;
mod request;
mod restart;
mod run;
mod store;
mod view;

#[cfg(test)]
mod tests;

pub use feeds::FeedRequest;
pub(crate) use record::Fold;
pub use record::{
    Feed, FeedPulled, Finished, Hit, HuntId, Outcome, SourceCopy, Started, Tally, Uncounted,
};
pub use request::{HuntFile, HuntRequest, IndicatorRequest};
pub use view::IndicatorQuery;

use crate::audit::Audit;
use crate::{DataDir, NodeError};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use limits::{HUNTS_LATE_MAX, HUNTS_WAITING_MAX};
use record::{CancelRequested, Entry};
use request::{Quarry, Rules, read_list};
use restart::{Asked, Kept};
use run::{Estimate, Plan, Progress, Runner, estimate, evidence_of, rule_of};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use store::Store;
use yagura_desk::{Desk, EventWords, Finding};
use yagura_detect::{CorrelatorOptions, Refusal, RuleFile, Ruleset};
use yagura_event::{Clock, EventBatch, FieldDictionary, Lang, UtcMicros};
use yagura_hunt::ReadOptions;
use yagura_lake::Lake;
use yagura_normalize::Normalizer;
use yagura_rulebook::{Loaded, RuleSources};

/// What the hunter needs of the node.
pub(crate) struct HuntParts {
    pub data: DataDir,
    pub audit: Arc<Audit>,
    pub lake: Arc<Lake>,
    pub desk: Arc<Desk>,
    pub clock: Arc<dyn Clock>,
    pub dictionary: Arc<FieldDictionary>,
    pub alerts_changed: tokio::sync::watch::Sender<u64>,
    pub rules: RuleSources,
    /// Room for what correlations count.
    pub correlations: CorrelatorOptions,
    pub fold: Fold,
}

/// What all hunts share.
pub(crate) struct Shared {
    pub audit: Arc<Audit>,
    pub lake: Arc<Lake>,
    pub desk: Arc<Desk>,
    pub clock: Arc<dyn Clock>,
    pub alerts_changed: tokio::sync::watch::Sender<u64>,
    pub fold: Mutex<Fold>,
    pub store: Store,
    kept: Kept,
    pub dictionary: Arc<FieldDictionary>,
    pub correlations: CorrelatorOptions,
    rules: RuleSources,
    /// Hunts that wait or run.
    progress: Mutex<HashMap<u64, Arc<Progress>>>,
    /// Those of them that found no room in the queue, by number: they come when it is empty.
    late: Mutex<BTreeSet<u64>>,
}

impl Shared {
    fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<u64, Arc<Progress>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes entries durable, then true, in that order for all who watch.
    pub fn record(&self, entries: Vec<Entry>) -> Result<(), NodeError> {
        let mut fold = self.fold();
        self.audit.write(&entries.iter().map(Entry::to_value).collect::<Vec<_>>())?;
        entries.into_iter().for_each(|entry| fold.apply(entry));
        Ok(())
    }
}

impl Rules for Shared {
    fn loaded(&self) -> Result<Vec<RuleFile>, NodeError> {
        Ok(self.rules.load()?.files)
    }

    fn compile(&self, files: Vec<RuleFile>) -> Result<(Arc<Ruleset>, Vec<Refusal>), NodeError> {
        // The lists, pipelines and zone of this house, with other rules.
        let house = RuleSources { builtin: false, rules: Vec::new(), ..self.rules.clone() };
        let compiled = Loaded { files, ..house.load()? }.compile(self.dictionary.clone())?;
        Ok((compiled.ruleset, compiled.report.refused))
    }
}

type Jobs<'a> = MutexGuard<'a, Option<Sender<Job>>>;

struct Job {
    id: HuntId,
    /// `None` where it is made of what is kept, when its turn has come.
    plan: Option<Plan>,
    progress: Arc<Progress>,
}

/// What becomes of a hunt that finds the queue full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenFull {
    /// Whoever asked for it is told so.
    Refused,
    /// It is begun and waits outside, known by its number only.
    Late,
}

impl WhenFull {
    /// New indicators are hunted whatever else is.
    fn of(asked: &Asked<'_>) -> WhenFull {
        if asked.is_automatic() { WhenFull::Late } else { WhenFull::Refused }
    }
}

/// Looks for things in everything stored, and keeps the indicators in use.
pub struct Hunter {
    shared: Arc<Shared>,
    jobs: Mutex<Option<Sender<Job>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Hunter {
    pub(crate) fn start_up(parts: HuntParts, normalizer: Normalizer) -> Result<Hunter, NodeError> {
        let HuntParts { data, audit, lake, desk, clock, dictionary, alerts_changed, .. } = parts;
        let store = Store::open(&data, audit.clone(), &parts.fold)?;
        let kept = Kept::new(data, audit.clone());
        kept.clean(&parts.fold)?;
        let shared = Arc::new(Shared {
            audit,
            lake,
            desk,
            clock,
            alerts_changed,
            fold: Mutex::new(parts.fold),
            store,
            kept,
            dictionary,
            correlations: parts.correlations,
            rules: parts.rules,
            progress: Mutex::new(HashMap::new()),
            late: Mutex::new(BTreeSet::new()),
        });
        let (jobs, waiting) = bounded(HUNTS_WAITING_MAX);
        let working = shared.clone();
        let worker = std::thread::Builder::new()
            .name("yagura-hunt".to_owned())
            .spawn(move || work(&working, &normalizer, &waiting))
            .map_err(|source| NodeError::Io { path: "yagura-hunt".into(), source })?;
        Ok(Hunter { shared, jobs: Mutex::new(Some(jobs)), worker: Mutex::new(Some(worker)) })
    }

    /// Indicators found in a batch of new events.
    pub(crate) fn live(&self) -> LiveIndicators {
        LiveIndicators(self.shared.clone())
    }

    /// The indicators in use.
    pub(crate) fn in_use(&self) -> Arc<yagura_hunt::Matcher> {
        self.shared.store.matcher()
    }

    /// Interrupts every hunt: it starts again when a server next opens the store. Blocks until the
    /// one that runs has let go.
    pub(crate) fn close(&self) {
        // From here on none is begun.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        for progress in self.shared.progress().values() {
            progress.stop.store(true, Ordering::Relaxed);
        }
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            // A panic there was logged; the hunt is shown as interrupted.
            let _ = worker.join();
        }
    }

    /// What a hunt would read and how long it would take. Blocks.
    ///
    /// # Errors
    /// [`NodeError::Request`], when nothing of it can be hunted for.
    pub fn estimate(&self, request: &HuntRequest) -> Result<Value, NodeError> {
        let plan = self.plan(request)?;
        let estimate = estimate(&self.shared, &plan);
        Ok(self.estimated(&plan, &estimate))
    }

    /// Records a hunt and begins it as soon as it is its turn. Blocks for the estimate.
    ///
    /// # Errors
    /// [`NodeError`], when nothing of it can be hunted for, too many wait, or it cannot be recorded.
    pub fn start(&self, request: &HuntRequest, who: &str) -> Result<Value, NodeError> {
        let plan = self.plan(request)?;
        let asked = Asked::request(request, &plan);
        self.begin(plan, &asked, &request.hypothesis, who, |entry| self.shared.record(vec![entry]))
    }

    fn plan(&self, request: &HuntRequest) -> Result<Plan, NodeError> {
        let now = self.shared.clock.now();
        let quarry = request.quarry(&*self.shared, &self.shared.store.matcher(), now)?;
        let from = match &request.last {
            Some(span) => Some(instant(&format!("now-{}", span.trim_start_matches('-')), now)?),
            None => request.from.as_deref().map(|text| instant(text, now)).transpose()?,
        };
        let to = request.to.as_deref().map(|text| instant(text, now)).transpose()?;
        Ok(Plan { quarry, from, to, raise: request.raise })
    }

    /// Begins a hunt; `asked` is what is kept of it, `record` makes its beginning durable.
    fn begin(
        &self,
        plan: Plan,
        asked: &Asked<'_>,
        hypothesis: &str,
        who: &str,
        record: impl FnOnce(Entry) -> Result<(), NodeError>,
    ) -> Result<Value, NodeError> {
        let estimate = estimate(&self.shared, &plan);
        let mut shown = self.estimated(&plan, &estimate);
        let jobs = self.jobs()?;
        // Only with the lock on `jobs` hunts are begun: nobody else takes the number.
        let id = HuntId(self.shared.fold().last + 1);
        self.queue(&jobs, id, plan, WhenFull::of(asked), |shared, plan| {
            shared.kept.write(id, asked)?;
            record(Entry::Started(Box::new(Started {
                at: shared.clock.now(),
                id,
                who: who.to_owned(),
                hypothesis: hypothesis.to_owned(),
                automatic: asked.is_automatic(),
                sources: plan.quarry.sources_named(),
                sources_total: plan.quarry.sources_total(),
                digest: plan.quarry.digest.clone(),
                rules: plan.quarry.rules(),
                indicators: plan.quarry.indicators(),
                refused: plan.quarry.refused_total,
                from: plan.from,
                to: plan.to,
                raise: plan.raise,
                events_estimated: estimate.events,
                bytes_estimated: estimate.bytes,
            })))
        })?;
        shown["hunt.id"] = json!(id);
        self.shared.forget_oldest(id);
        Ok(shown)
    }

    /// Where hunts wait, held while one is begun.
    fn jobs(&self) -> Result<Jobs<'_>, NodeError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.is_none() {
            return Err(NodeError::Stopped("the hunter"));
        }
        Ok(jobs)
    }

    /// Lets a hunt wait for its turn, once `record` has made it durable.
    fn queue(
        &self,
        jobs: &Jobs<'_>,
        id: HuntId,
        plan: Plan,
        when_full: WhenFull,
        record: impl FnOnce(&Shared, &Plan) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let Some(jobs) = jobs.as_ref() else { return Err(NodeError::Stopped("the hunter")) };
        // Only with the lock on `jobs` hunts are begun: the room stays.
        let late = self.shared.late().len();
        let is_late = when_full == WhenFull::Late && late < HUNTS_LATE_MAX;
        if jobs.is_full() && !is_late {
            let waiting = jobs.len() + late;
            return Err(NodeError::request(
                format!("{waiting} hunts are waiting already: wait or cancel one"),
                format!("{waiting}件のハントが待機中です。終了を待つか取り消してください"),
            ));
        }
        let progress = Arc::new(Progress::default());
        // Before the record: between the two nobody may take it for interrupted.
        self.shared.progress().insert(id.0, progress.clone());
        let queued = record(&self.shared, &plan)
            .and_then(|()| self.send(jobs, Job { id, plan: Some(plan), progress }));
        if queued.is_err() {
            self.shared.progress().remove(&id.0);
        }
        queued
    }

    /// Puts a hunt into the queue, or beside it while there is no room.
    fn send(&self, jobs: &Sender<Job>, mut job: Job) -> Result<(), NodeError> {
        let number = job.id.0;
        loop {
            job = match jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(NodeError::Stopped("the hunter")),
                Err(TrySendError::Full(job)) => job,
            };
            self.shared.late().insert(number);
            // Whoever empties a full queue looks here next. One that was emptied meanwhile takes the
            // hunt itself, unless it was seen here already.
            if jobs.is_full() || !self.shared.late().remove(&number) {
                return Ok(());
            }
        }
    }

    /// Events a second that hunts of this machine looked at lately; a cautious guess before the
    /// first.
    fn rate(&self) -> f64 {
        const GUESS: f64 = 250_000.0;
        let fold = self.shared.fold();
        let finished = fold.hunts.values().rev().filter_map(|hunt| hunt.finished.as_ref());
        let (mut events, mut millis) = (0u64, 0u64);
        for one in finished.filter(|one| one.events >= 10_000).take(10) {
            events += one.events;
            millis += one.duration_ms.max(1);
        }
        if events == 0 { GUESS } else { events as f64 * 1000.0 / millis as f64 }
    }

    fn estimated(&self, plan: &Plan, estimate: &Estimate) -> Value {
        let seconds = estimate.events as f64 / self.rate();
        let doubts = &plan.quarry.doubts;
        let said =
            |lang| doubts.iter().map(|doubt| doubt.text(lang).to_owned()).collect::<Vec<_>>();
        json!({
            "hunt.rules": plan.quarry.rules(),
            "hunt.indicators": plan.quarry.indicators(),
            "hunt.refused": plan.quarry.refused_total,
            "refused": plan.quarry.refused,
            "doubts": { "en": said(Lang::En), "ja": said(Lang::Ja) },
            "hunt.from": plan.from,
            "hunt.to": plan.to,
            "hunt.estimate.events": estimate.events,
            "hunt.estimate.events_pruned": estimate.events_pruned,
            "hunt.estimate.bytes": estimate.bytes,
            "hunt.estimate.files": estimate.files,
            "hunt.estimate.files_pruned": estimate.files_pruned,
            "hunt.estimate.seconds": (seconds * 10.0).ceil() / 10.0,
        })
    }

    /// Stops a hunt that waits, runs or was interrupted. What it found so far is recorded.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none or it has ended.
    pub fn cancel(&self, id: &str, who: &str) -> Result<Value, NodeError> {
        let id = self.known(id)?;
        // Nobody starts an interrupted one again meanwhile.
        let _jobs = self.jobs()?;
        // In this order: the end of a hunt is recorded before its progress is given up, so one that has
        // neither was interrupted.
        let progress = self.shared.progress().get(&id.0).cloned();
        let ended = self.shared.fold().hunts.get(&id.0).is_some_and(|hunt| hunt.finished.is_some());
        if ended {
            return Err(NodeError::request(
                format!("hunt {id} has ended already"),
                format!("ハント {id} はすでに終了しています"),
            ));
        }
        let at = self.shared.clock.now();
        let requested = CancelRequested { at, id, who: who.to_owned() };
        self.shared.record(vec![Entry::CancelRequested(requested)])?;
        match progress {
            Some(progress) => progress.cancel.store(true, Ordering::Relaxed),
            None => self.give_up(id)?,
        }
        Ok(json!({ "hunt.id": id, "hunt.state": "cancelling" }))
    }

    /// Takes lists of indicators into use, and begins to hunt the new ones backwards. Blocks.
    ///
    /// # Errors
    /// [`NodeError`], when a list cannot be read, or there is no room for more indicators.
    pub fn add_indicators(&self, request: IndicatorRequest, who: &str) -> Result<Value, NodeError> {
        if request.files.is_empty() {
            return Err(NodeError::request(
                "name a list of indicators",
                "侵害指標のリストを指定してください",
            ));
        }
        let mut answers = Vec::new();
        for file in &request.files {
            let options = ReadOptions {
                source: request.source.clone().unwrap_or_else(|| file.name.clone()),
                kind: request.kind,
                valid_until: request.valid_until,
                tlp: request.tlp,
                confidence: request.confidence,
            };
            let reading = read_list(file, &options)?;
            answers.push(self.take_reading(
                reading,
                who,
                request.keep_benign,
                request.raise,
                &file.name,
            )?);
        }
        Ok(json!({ "lists": answers, "indicators.in_use": self.shared.store.matcher().len() }))
    }

    /// Takes what was read of a list or feed into use and hunts it backwards.
    fn take_reading(
        &self,
        reading: yagura_hunt::Reading,
        who: &str,
        keep_benign: bool,
        raise: bool,
        name: &str,
    ) -> Result<Value, NodeError> {
        let now = self.shared.clock.now();
        let refused: Vec<Value> = reading
            .refused
            .iter()
            .map(|remark| {
                json!({
                    "place": remark.place, "value": remark.value,
                    "reason": remark.reason.en, "reason_ja": remark.reason.ja,
                })
            })
            .collect();
        let (refused_total, ignored) = (reading.refused_total, reading.ignored);
        let (sha256, format) = (reading.sha256.clone(), reading.format);
        let prepared = self.shared.store.prepare(reading, (who, now), keep_benign)?;
        let taken = prepared.taken();
        let mut answer = json!({
            "file.name": name,
            "file.hash.sha256": sha256,
            "indicators.format": format,
            "indicators.count": taken.added,
            "indicators.new": taken.fresh.len(),
            "indicators.known": taken.known,
            "indicators.withdrawn": taken.withdrawn,
            "indicators.refused": refused_total,
            "indicators.ignored": ignored,
            "refused": refused,
            "indicators.left_out": taken.doubtful.len(),
            "left_out": taken.doubtful.iter().take(100).map(|(one, en, ja)| json!({
                "threat.indicator.type": one.kind, "threat.indicator.name": one.value,
                "reason": en, "reason_ja": ja,
            })).collect::<Vec<_>>(),
        });
        // Those that expired say nothing about today, and a list may bring many of them.
        let mut fresh = taken.fresh.clone();
        fresh.retain(|one| !one.has_expired(now));
        if fresh.is_empty() {
            prepared.record(&self.shared.fold, None)?;
        } else {
            let source = SourceCopy { name: name.to_owned(), sha256 };
            let count = fresh.len();
            let quarry = Quarry::of_indicators(fresh.clone(), vec![source.clone()])?;
            let plan = Plan { quarry, from: None, to: None, raise };
            let asked = Asked::fresh(&fresh, source, raise);
            let hypothesis =
                format!("{count} new indicators of {name} / 新しい侵害指標 {count} 件: {name}");
            let began = self.begin(plan, &asked, &hypothesis, who, |entry| {
                prepared.record(&self.shared.fold, Some(entry))
            })?;
            answer["hunt.id"] = began["hunt.id"].clone();
        }
        Ok(answer)
    }

    /// Takes indicators out of use: those of a source, those of the values named, or both.
    ///
    /// # Errors
    /// [`NodeError`], when neither is named, or none is there.
    pub fn remove_indicators(
        &self,
        source: Option<String>,
        values: Vec<String>,
        who: &str,
    ) -> Result<Value, NodeError> {
        if source.is_none() && values.is_empty() {
            return Err(NodeError::request(
                "name a source or values to remove",
                "削除する情報源か値を指定してください",
            ));
        }
        let values = values.iter().map(|value| {
            let plain = yagura_hunt::refang(value);
            let kind = yagura_hunt::guess(&plain);
            let canonical = kind.and_then(|kind| yagura_hunt::canonical(kind, &plain).ok());
            canonical.unwrap_or_else(|| plain.into_owned())
        });
        let now = self.shared.clock.now();
        let values: Vec<String> = values.collect();
        let count = self.shared.store.remove(&self.shared.fold, (who, now), source, values)?;
        if count == 0 {
            return Err(NodeError::NotFound {
                message: "no such indicator is in use".to_owned(),
                message_ja: "該当する侵害指標はありません".to_owned(),
            });
        }
        Ok(
            json!({ "indicators.removed": count, "indicators.in_use": self.shared.store.matcher().len() }),
        )
    }

    fn known(&self, id: &str) -> Result<HuntId, NodeError> {
        let missing = || NodeError::NotFound {
            message: format!("there is no hunt {id}"),
            message_ja: format!("ハント {id} はありません"),
        };
        let id: HuntId = id.parse().map_err(|_| missing())?;
        if self.shared.fold().hunts.contains_key(&id.0) { Ok(id) } else { Err(missing()) }
    }
}

fn instant(text: &str, now: UtcMicros) -> Result<UtcMicros, NodeError> {
    match yagura_query::parse_instant(text, now, &jiff::tz::TimeZone::UTC) {
        Some((instant, _)) => Ok(instant),
        None => Err(NodeError::request(
            format!("{text:?} is no instant: write 2026-11-21T09:00:00Z or now-15m"),
            format!("{text:?} は時刻として読めません（例: 2026-11-21T09:00:00Z、now-15m）"),
        )),
    }
}

/// The hunt whose turn it is; `None` once nobody can begin one any more.
fn next_job(shared: &Shared, waiting: &Receiver<Job>) -> Option<Job> {
    match waiting.try_recv() {
        Ok(job) => return Some(job),
        Err(TryRecvError::Disconnected) => return None,
        Err(TryRecvError::Empty) => {}
    }
    loop {
        let late = shared.late().pop_first();
        let Some(number) = late else { return waiting.recv().ok() };
        if let Some(progress) = shared.progress().get(&number).cloned() {
            return Some(Job { id: HuntId(number), plan: None, progress });
        }
    }
}

fn work(shared: &Shared, normalizer: &Normalizer, waiting: &Receiver<Job>) {
    while let Some(Job { id, plan, progress }) = next_job(shared, waiting) {
        progress.running.store(true, Ordering::Relaxed);
        let run = std::panic::AssertUnwindSafe(|| -> Result<Finished, NodeError> {
            let plan = plan.map_or_else(|| shared.plan_late(id), Ok)?;
            Ok(Runner::new(shared, normalizer, id, &plan, &progress).run())
        });
        let finished = match std::panic::catch_unwind(run) {
            Ok(Ok(finished)) => finished,
            // In both cases it is shown as interrupted; the hunts that wait go on.
            Ok(Err(error)) => {
                tracing::warn!(%error, hunt = %id, "a hunt that waited cannot start");
                shared.progress().remove(&id.0);
                continue;
            }
            Err(_) => {
                tracing::error!(hunt = %id, "a hunt panicked");
                shared.progress().remove(&id.0);
                continue;
            }
        };
        // Nobody asked for the end of a hunt that the end of the process interrupts.
        let interrupted =
            finished.outcome == Outcome::Cancelled && !progress.cancel.load(Ordering::Relaxed);
        if !interrupted && let Err(error) = shared.end(finished) {
            tracing::error!(%error, hunt = %id, "the end of a hunt could not be recorded");
        }
        shared.progress().remove(&id.0);
    }
}

/// Looks for the indicators in use in events as they come.
#[derive(Clone)]
pub(crate) struct LiveIndicators(Arc<Shared>);

impl LiveIndicators {
    /// A finding for each event and indicator of `batch`.
    pub fn findings(&self, batch: &EventBatch, normalizer: &Normalizer) -> Vec<Finding> {
        let matcher = self.0.store.matcher();
        let mut findings = Vec::new();
        for one in matcher.matches(batch, self.0.clock.now()) {
            let Some(indicator) = matcher.indicator(one.indicator) else { continue };
            let rule = Arc::new(rule_of(indicator));
            let evidence = vec![evidence_of(indicator, &one.field, &one.value)];
            let say = |lang| normalizer.sentence(batch, one.row, lang);
            let words = EventWords::Said { ja: say(Lang::Ja), en: say(Lang::En) };
            findings.extend(Finding::on(batch, one.row, rule, evidence, words));
        }
        findings
    }
}
