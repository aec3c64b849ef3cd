//! One hunt: every part of the history that could hold something, read once.

use super::Shared;
use super::limits::{
    HITS_PER_ENTRY_MAX, HITS_PER_HUNT_MAX, ROWS_TOLD_AT_ONCE, SENTENCE_BYTES_MAX, TALLIES_MAX,
    UNREAD_LISTED_MAX,
};
use super::record::{Entry, Finished, Hit, HuntId, Matched, Outcome, Tally, Uncounted};
use super::request::Quarry;
use crate::{NodeError, excepting};
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use yagura_desk::{EventWords, EvidenceItem, ExceptionSet, Finding, FindingMaker, RuleCopy};
use yagura_detect::{
    CorrelationMatch, Correlator, CorrelatorOptions, Engine, Match, News, Notice, Reads, RuleInfo,
    Ruleset,
};
use yagura_event::{EventBatch, EventId, Lang, UtcMicros, columns};
use yagura_hunt::{Indicator, Matcher};
use yagura_lake::{HistoryPart, LakeError};
use yagura_normalize::Normalizer;

/// How far a hunt is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub running: AtomicBool,
    /// Someone wants it to end.
    pub cancel: AtomicBool,
    /// The process ends, and the hunt is to start again later.
    pub stop: AtomicBool,
    pub rows_total: AtomicU64,
    pub rows_done: AtomicU64,
    pub matches: AtomicU64,
}

impl Progress {
    fn is_over(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// What a hunt would read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    pub events: u64,
    pub events_pruned: u64,
    pub bytes: u64,
    pub files: u64,
    pub files_pruned: u64,
}

/// When and what.
pub(crate) struct Plan {
    pub quarry: Quarry,
    pub from: Option<UtcMicros>,
    pub to: Option<UtcMicros>,
    pub raise: bool,
}

/// Columns to read of a dataset's events.
struct Wanted {
    dataset: Arc<str>,
    reads: Reads,
    names: HashSet<Arc<str>>,
    matcher: Option<Arc<Matcher>>,
}

impl Wanted {
    fn of(plan: &Plan, shared: &Shared, dataset: &Arc<str>) -> Wanted {
        let ruleset = plan.quarry.ruleset.as_ref();
        let reads = ruleset.map_or(Reads::Nothing, |ruleset| ruleset.reads(dataset));
        let mut names: HashSet<Arc<str>> = match &reads {
            Reads::Columns(names) => names.iter().cloned().collect(),
            Reads::Nothing | Reads::Everything => HashSet::new(),
        };
        if let Some(ruleset) = ruleset.filter(|rules| rules.correlations().len() > 0)
            && reads != Reads::Nothing
        {
            names.extend(ruleset.correlated_columns(dataset).into_iter().map(Arc::from));
            // By it an instant from the future is told.
            names.insert(columns::INGESTED.into());
        }
        let exceptions = shared.desk.exceptions();
        if let Some(ruleset) = ruleset.filter(|_| !exceptions.is_empty() && reads != Reads::Nothing)
        {
            for rule in ruleset.rules().filter(|rule| exceptions.concerns(&rule.id, &rule.tags)) {
                let of_rule = (rule.id.as_str(), rule.tags.as_slice());
                let columns = exceptions.columns(of_rule, &shared.dictionary, dataset);
                names.extend(columns.into_iter().map(Arc::from));
            }
        }
        Wanted { dataset: dataset.clone(), reads, names, matcher: plan.quarry.matcher.clone() }
    }

    fn column(&self, name: &str) -> bool {
        let for_rules = match self.reads {
            Reads::Nothing => false,
            Reads::Columns(_) => self.names.contains(name),
            Reads::Everything => name != columns::ORIGINAL,
        };
        for_rules || self.matcher.as_ref().is_some_and(|one| one.concerns(&self.dataset, name))
    }

    /// What reading a part takes; `None` where nothing looked for can be in it.
    fn size(&self, part: &HistoryPart) -> Result<Option<u64>, LakeError> {
        if self.reads == Reads::Nothing && self.matcher.is_none() {
            return Ok(None);
        }
        let size = part.size(&|name| self.column(name))?;
        // A rule may ask for what an event does not have; an indicator never does.
        let empty = size.columns == 0 && self.reads == Reads::Nothing;
        Ok((!empty).then_some(size.bytes))
    }
}

impl Plan {
    fn in_time(&self, part: &HistoryPart) -> bool {
        part.may_hold(self.from.map(UtcMicros::as_micros), self.to.map(UtcMicros::as_micros))
    }
}

/// Works out what a hunt would read, from the footers of the files.
pub(crate) fn estimate(shared: &Shared, plan: &Plan) -> Estimate {
    let mut estimate = Estimate::default();
    let mut wanted: HashMap<Arc<str>, Wanted> = HashMap::new();
    for part in shared.lake.history().parts() {
        let is_file = u64::from(part.file().is_some());
        estimate.files += is_file;
        let size = match plan.in_time(part) {
            false => Ok(None),
            true => {
                let wanted = wanted
                    .entry(part.dataset.clone())
                    .or_insert_with(|| Wanted::of(plan, shared, &part.dataset));
                wanted.size(part)
            }
        };
        match size {
            Ok(None) => {
                estimate.files_pruned += is_file;
                estimate.events_pruned += part.rows;
            }
            Ok(Some(bytes)) => {
                estimate.events += part.rows;
                estimate.bytes += bytes;
            }
            // The hunt itself will name the file.
            Err(_) => estimate.events += part.rows,
        }
    }
    estimate
}

/// What was found in a row.
enum Found {
    Rule(Arc<RuleCopy>, Vec<EvidenceItem>),
    Indicator(Arc<RuleCopy>, EvidenceItem),
}

impl Found {
    fn rule(&self) -> &Arc<RuleCopy> {
        match self {
            Found::Rule(rule, _) | Found::Indicator(rule, _) => rule,
        }
    }
}

/// The alert's rule that stands for an indicator.
pub(crate) fn rule_of(indicator: &Indicator) -> RuleCopy {
    RuleCopy::named(
        uuid_of(indicator),
        indicator.title(Lang::En),
        indicator.title(Lang::Ja),
        indicator.level(),
    )
}

pub(crate) fn evidence_of(indicator: &Indicator, field: &str, value: &str) -> EvidenceItem {
    EvidenceItem {
        field: field.to_owned(),
        value: value.to_owned(),
        predicate: format!("indicator {} {}", indicator.kind, indicator.value),
    }
}

/// A UUID (version 8, RFC 9562) that is the same for the same kind and value, whoever names it.
fn uuid_of(indicator: &Indicator) -> String {
    let mut hasher = Sha256::new();
    hasher.update(indicator.kind.as_str());
    hasher.update([0, indicator.form as u8]);
    hasher.update(indicator.value.as_bytes());
    let mut digest: [u8; 32] = hasher.finalize().into();
    digest[6] = (digest[6] & 0x0f) | 0x80;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    let hex = super::request::hex(&digest[..16]);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
}

/// A hunt under way.
pub(crate) struct Runner<'a> {
    pub shared: &'a Shared,
    pub normalizer: &'a Normalizer,
    pub id: HuntId,
    pub plan: &'a Plan,
    pub progress: &'a Progress,
    tallies: BTreeMap<String, Tally>,
    rules: HashMap<String, Arc<RuleCopy>>,
    waiting: Vec<Hit>,
    finished: Finished,
    correlator: Option<Correlator>,
    correlated: Newest<CorrelationMatch>,
    exceptions: Arc<ExceptionSet>,
    maker: FindingMaker,
}

/// What alerts of correlations came to, by their numbers: as many of them as are recorded one by one.
struct Newest<T>(BTreeMap<u64, T>);

impl<T> Newest<T> {
    /// Keeps what was told last of an alert. Gives it back where it is one more than there is room for.
    fn keep(&mut self, episode: u64, told: T) -> Option<T> {
        if self.0.len() >= HITS_PER_HUNT_MAX && !self.0.contains_key(&episode) {
            return Some(told);
        }
        self.0.insert(episode, told);
        None
    }
}

impl<'a> Runner<'a> {
    pub fn new(
        shared: &'a Shared,
        normalizer: &'a Normalizer,
        id: HuntId,
        plan: &'a Plan,
        progress: &'a Progress,
    ) -> Self {
        let quarry = &plan.quarry;
        let counts = |rules: &&Arc<Ruleset>| rules.correlations().any(|one| quarry.tells(one));
        let counts = quarry.ruleset.as_ref().filter(counts);
        // History comes file by file, not in order of time: no event comes too late.
        let options = CorrelatorOptions { allowance_micros: None, ..shared.correlations };
        let correlator = counts.map(|rules| Correlator::new(rules.clone(), options));
        Runner {
            correlator,
            correlated: Newest(BTreeMap::new()),
            exceptions: shared.desk.exceptions(),
            maker: FindingMaker::new(),
            shared,
            normalizer,
            id,
            plan,
            progress,
            tallies: BTreeMap::new(),
            rules: HashMap::new(),
            waiting: Vec::new(),
            finished: Finished::empty(id, Outcome::Done),
        }
    }

    /// Looks at everything, and says how it went.
    pub fn run(mut self) -> Finished {
        let began = Instant::now();
        if let Err(error) = self.look().and_then(|()| self.write_hits(true)) {
            self.finished.outcome = Outcome::Failed;
            self.finished.error = Some(error.to_string());
        }
        let mut found: Vec<Tally> = std::mem::take(&mut self.tallies).into_values().collect();
        found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.rule.cmp(&b.rule)));
        self.finished.found = found;
        self.finished.at = self.shared.clock.now();
        self.finished.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.finished
    }

    fn look(&mut self) -> Result<(), NodeError> {
        self.walk()?;
        // What was counted in a part of the history says nothing about the whole.
        if self.progress.is_over() {
            self.finished.outcome = Outcome::Cancelled;
            return Ok(());
        }
        self.tell_correlated()
    }

    fn walk(&mut self) -> Result<(), NodeError> {
        let history = self.shared.lake.history();
        self.progress.rows_total.store(history.rows(), Ordering::Relaxed);
        let mut engine = self.plan.quarry.ruleset.clone().map(Engine::new);
        let mut wanted: HashMap<Arc<str>, Wanted> = HashMap::new();
        for part in history.parts() {
            if self.progress.is_over() {
                self.finished.outcome = Outcome::Cancelled;
                return Ok(());
            }
            let done = self.finished.events + self.finished.events_pruned;
            let wanted = wanted
                .entry(part.dataset.clone())
                .or_insert_with(|| Wanted::of(self.plan, self.shared, &part.dataset));
            let size = if self.plan.in_time(part) { wanted.size(part) } else { Ok(None) };
            let read = match size {
                Ok(None) => {
                    self.finished.events_pruned += part.rows;
                    Ok(())
                }
                Ok(Some(bytes)) => {
                    self.finished.bytes += bytes;
                    self.part(part, wanted, engine.as_mut())
                }
                Err(error) => Err(error.into()),
            };
            match read {
                Ok(()) => {}
                Err(NodeError::Lake(error)) => self.unread(part, &error),
                Err(error) => return Err(error),
            }
            self.progress.rows_done.store(done + part.rows, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A damaged file is a gap in the answer, and no reason to look at nothing else.
    fn unread(&mut self, part: &HistoryPart, error: &LakeError) {
        if self.finished.outcome == Outcome::Done {
            self.finished.outcome = Outcome::Gaps;
        }
        tracing::warn!(%error, "a hunt could not read a file");
        if self.finished.unread.len() < UNREAD_LISTED_MAX {
            let name = part.file().unwrap_or("memory");
            self.finished.unread.push(format!("{name}: {error}"));
        }
    }

    fn part(
        &mut self,
        part: &HistoryPart,
        wanted: &Wanted,
        mut engine: Option<&mut Engine>,
    ) -> Result<(), NodeError> {
        let now = self.shared.clock.now();
        let mut first = 0u64;
        let mut found: Vec<(u64, Found)> = Vec::new();
        for batch in part.read(&|name| wanted.column(name))? {
            let batch = batch?;
            if self.progress.is_over() {
                self.finished.outcome = Outcome::Cancelled;
                break;
            }
            self.batch(&batch, first, engine.as_deref_mut(), now, &mut found);
            first += batch.rows() as u64;
            self.finished.events += batch.rows() as u64;
            self.progress.rows_done.fetch_add(batch.rows() as u64, Ordering::Relaxed);
            if found.len() >= ROWS_TOLD_AT_ONCE {
                self.tell(part, std::mem::take(&mut found))?;
            }
        }
        self.tell(part, found)
    }

    fn batch(
        &mut self,
        batch: &EventBatch,
        first: u64,
        engine: Option<&mut Engine>,
        now: UtcMicros,
        found: &mut Vec<(u64, Found)>,
    ) {
        let times = batch.columns.column_by_name(columns::TIMESTAMP);
        let times =
            times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>()).cloned();
        let time = |row: usize| {
            let times = times.as_ref()?;
            times.is_valid(row).then(|| UtcMicros::from_micros(times.value(row)))
        };
        let (from, to) = (self.plan.from, self.plan.to);
        let inside = |row: usize| {
            let time = time(row).unwrap_or_default();
            from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to)
        };
        let mut here: Vec<(usize, Found)> = Vec::new();
        if let Some(engine) = engine {
            let quarry = &self.plan.quarry;
            let mut matches: Vec<Match> = engine.evaluate(batch);
            matches.retain(|one| inside(one.row) && quarry.needs(&one.rule));
            // Before anything counts them, as in the live engine. The desk's own count of what an
            // exception takes away is of new events.
            let excepted = excepting::part(
                &self.exceptions,
                now,
                &self.shared.dictionary,
                batch,
                &mut matches,
                &mut self.maker,
            );
            self.finished.excepted += excepted.len() as u64;
            let told = match &mut self.correlator {
                Some(correlator) => correlator.observe(batch, &matches),
                None => Vec::new(),
            };
            self.keep_correlated(told, now);
            for one in matches.into_iter().filter(|one| quarry.tells(&one.rule)) {
                let rule = self.rule(&one.rule);
                let evidence = one.evidence.into_iter().map(EvidenceItem::from).collect();
                here.push((one.row, Found::Rule(rule, evidence)));
            }
        }
        if let Some(matcher) = &self.plan.quarry.matcher {
            for one in matcher.matches(batch, now).into_iter().filter(|one| inside(one.row)) {
                let Some(indicator) = matcher.indicator(one.indicator) else { continue };
                let evidence = evidence_of(indicator, &one.field, &one.value);
                let rule = Arc::new(rule_of(indicator));
                here.push((one.row, Found::Indicator(rule, evidence)));
            }
        }
        here.sort_by_key(|(row, _)| *row);
        for (row, what) in here {
            self.count(what.rule(), time(row).unwrap_or_default());
            // Rows are kept only as long as they will be told.
            if self.recorded() <= HITS_PER_HUNT_MAX as u64 {
                found.push((first + row as u64, what));
            } else {
                self.finished.left_out += 1;
            }
        }
    }

    fn rule(&mut self, info: &RuleInfo) -> Arc<RuleCopy> {
        match self.rules.get(&info.id) {
            Some(rule) => rule.clone(),
            None => {
                let rule = Arc::new(RuleCopy::from(info));
                self.rules.insert(info.id.clone(), rule.clone());
                rule
            }
        }
    }

    /// Keeps what correlations told, until it is known what their alerts come to. Those beyond what is
    /// recorded one by one are counted.
    fn keep_correlated(&mut self, told: Vec<CorrelationMatch>, now: UtcMicros) {
        for told in told.into_iter().filter(|told| self.plan.quarry.tells(&told.rule)) {
            // News of an alert say all that was said of it before.
            let Some(told) = self.correlated.keep(told.episode, told) else { continue };
            if told.news == News::Raised && !self.is_excepted(&told, now) {
                let rule = self.rule(&told.rule);
                self.count(&rule, told.last);
                self.finished.left_out += 1;
            }
        }
    }

    /// Whether an exception takes what a correlation found away; counts it.
    fn is_excepted(&mut self, found: &CorrelationMatch, now: UtcMicros) -> bool {
        if !self.exceptions.concerns(&found.rule.id, &found.rule.tags) {
            return false;
        }
        let rule = self.rule(&found.rule);
        // All of them name the same.
        let finding = self.findings(found, &rule).pop();
        let is_excepted =
            finding.is_some_and(|one| self.exceptions.for_finding(now, &one).is_some());
        self.finished.excepted += u64::from(is_excepted);
        is_excepted
    }

    /// Matches that are told one by one, the newest included.
    fn recorded(&self) -> u64 {
        self.finished.matches - self.finished.left_out
    }

    fn count(&mut self, rule: &RuleCopy, time: UtcMicros) {
        self.finished.matches += 1;
        self.progress.matches.fetch_add(1, Ordering::Relaxed);
        self.tally(rule, time);
    }

    /// Records what correlations came to once everything was looked at.
    fn tell_correlated(&mut self) -> Result<(), NodeError> {
        let Some(mut correlator) = self.correlator.take() else { return Ok(()) };
        let now = self.shared.clock.now();
        self.keep_correlated(correlator.finish(), now);
        let needed = |notice: &Notice| self.plan.quarry.needs(&notice.rule);
        for notice in correlator.take_notices().into_iter().filter(needed) {
            if self.finished.outcome == Outcome::Done {
                self.finished.outcome = Outcome::Gaps;
            }
            if self.finished.uncounted.len() < UNREAD_LISTED_MAX {
                self.finished.uncounted.push(Uncounted::from(&notice));
            }
        }
        for found in std::mem::take(&mut self.correlated.0).into_values() {
            if self.is_excepted(&found, now) {
                continue;
            }
            let rule = self.rule(&found.rule);
            self.count(&rule, found.last);
            if self.recorded() > HITS_PER_HUNT_MAX as u64 {
                self.finished.left_out += 1;
                continue;
            }
            let findings = self.findings(&found, &rule);
            self.waiting.extend(findings.last().map(hit));
            self.write_hits(false)?;
            if self.plan.raise {
                self.raise(findings)?;
            }
        }
        Ok(())
    }

    /// A finding for each event that an alert of a correlation names; the last one speaks for it.
    fn findings(&self, found: &CorrelationMatch, rule: &Arc<RuleCopy>) -> Vec<Finding> {
        let dictionary = &self.shared.dictionary;
        let say = |lang| found.sentence(dictionary, lang);
        let words = EventWords::Said { ja: say(Lang::Ja), en: say(Lang::En) };
        let evidence: Vec<EvidenceItem> =
            found.evidence.iter().cloned().map(EvidenceItem::from).collect();
        let last = found.event_ids.len().saturating_sub(1);
        let one = |(number, id): (usize, &EventId)| Finding {
            rule: rule.clone(),
            dataset: found.dataset.to_string(),
            host: found.host.clone(),
            user: found.user.clone(),
            source_ip: found.source_ip.clone(),
            event_id: id.clone(),
            timestamp: if number == last { found.last } else { found.first },
            received: found.received,
            words: words.clone(),
            evidence: evidence.clone(),
        };
        found.event_ids.iter().enumerate().map(one).collect()
    }

    fn raise(&mut self, findings: Vec<Finding>) -> Result<(), NodeError> {
        match self.shared.desk.observe(findings) {
            Ok(changes) => {
                self.finished.alerts += changes.len() as u64;
                self.shared.alerts_changed.send_modify(|number| *number += 1);
                Ok(())
            }
            Err(error) => {
                Err(NodeError::NotRecorded(format!("alerts could not be raised: {error}")))
            }
        }
    }

    fn tally(&mut self, rule: &RuleCopy, time: UtcMicros) {
        let known = self.tallies.contains_key(&rule.uuid);
        let full = self.tallies.len() + 1 >= TALLIES_MAX && !known;
        let (key, name, name_ja) = match full {
            false => (rule.uuid.as_str(), rule.name.as_str(), rule.name_ja.clone()),
            true => ("", "others", Some("その他".to_owned())),
        };
        let tally = self.tallies.entry(key.to_owned()).or_insert_with(|| Tally {
            rule: key.to_owned(),
            name: cut(name),
            name_ja: name_ja.as_deref().map(cut),
            level: rule.level,
            count: 0,
            first: time,
            last: time,
        });
        tally.count += 1;
        tally.first = tally.first.min(time);
        tally.last = tally.last.max(time);
        tally.level = tally.level.max(rule.level);
    }

    /// Reads the whole events that something was found in, and records them in words.
    fn tell(&mut self, part: &HistoryPart, found: Vec<(u64, Found)>) -> Result<(), NodeError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut positions: Vec<u64> = found.iter().map(|(position, _)| *position).collect();
        positions.dedup();
        let batches = part.rows_at(&positions)?;
        let mut events =
            batches.iter().flat_map(|batch| (0..batch.rows()).map(move |row| (batch, row)));
        let mut at: Option<(u64, (&EventBatch, usize))> = None;
        let mut findings = Vec::new();
        for (position, what) in found {
            if at.as_ref().is_none_or(|(known, _)| *known != position) {
                at = events.next().map(|event| (position, event));
            }
            let Some((_, (batch, row))) = at else { break };
            let say = |lang| self.normalizer.sentence(batch, row, lang);
            let (rule, evidence) = match what {
                Found::Rule(rule, evidence) => (rule, evidence),
                Found::Indicator(rule, evidence) => (rule, vec![evidence]),
            };
            let words = EventWords::Said { ja: say(Lang::Ja), en: say(Lang::En) };
            let finding = Finding::on(batch, row, rule, evidence, words);
            findings.extend(finding);
        }
        self.waiting.extend(findings.iter().map(hit));
        self.write_hits(false)?;
        if self.plan.raise {
            self.raise(findings)?;
        }
        Ok(())
    }

    fn write_hits(&mut self, all: bool) -> Result<(), NodeError> {
        while self.waiting.len() >= HITS_PER_ENTRY_MAX || (all && !self.waiting.is_empty()) {
            let count = self.waiting.len().min(HITS_PER_ENTRY_MAX);
            let hits = self.waiting.drain(..count).collect();
            self.shared.record(vec![Entry::Matched(Matched { id: self.id, hits })])?;
        }
        Ok(())
    }
}

fn hit(finding: &Finding) -> Hit {
    let first = finding.evidence.first();
    Hit {
        at: finding.timestamp,
        event_id: finding.event_id.to_string().into(),
        dataset: finding.dataset.as_str().into(),
        host: finding.host.as_deref().map(|host| cut(host).into()),
        rule: finding.rule.uuid.as_str().into(),
        field: first.map(|evidence| evidence.field.as_str().into()),
        value: first.map(|evidence| cut(&evidence.value).into()),
        sentence_ja: cut(finding.words.text(Lang::Ja)).into(),
        sentence_en: cut(finding.words.text(Lang::En)).into(),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= SENTENCE_BYTES_MAX {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(SENTENCE_BYTES_MAX - "…".len());
    format!("{}…", text.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_correlations_beyond_what_is_recorded_are_given_back() {
        let mut newest = Newest(BTreeMap::new());
        for episode in 0..HITS_PER_HUNT_MAX as u64 {
            assert_eq!(newest.keep(episode, 1), None);
        }
        assert_eq!(newest.keep(HITS_PER_HUNT_MAX as u64, 1), Some(1), "one past the limit");
        assert_eq!(newest.keep(0, 2), None, "news of one that is kept");
        assert_eq!((newest.0.len(), newest.0[&0]), (HITS_PER_HUNT_MAX, 2));
    }
}
