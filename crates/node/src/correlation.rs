//! The correlator of a node: what it counted lies in one file, and is never older than what the
//! journal can still give again.

use crate::{DataDir, NodeError};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use yagura_desk::{EventWords, EvidenceItem, Finding, RuleCopy};
use yagura_detect::{
    CorrelationMatch, Correlator, CorrelatorOptions, Match, Notice, NoticeKind, Ruleset, StateError,
};
use yagura_event::{CommittedRun, EventBatch, FieldDictionary, Lang, StreamName, UtcMicros};

/// Name of the file in [`DataDir::correlation`].
pub(crate) const STATE_FILE: &str = "state";

/// A state that is being written; a crash may leave one.
pub(crate) const NEW_STATE_FILE: &str = "state.new";

/// Notices kept for the status, the newest of each kind and correlation.
const NOTICES_SHOWN_MAX: usize = 100;

/// The correlator, shared by the thread that counts and the one that writes.
pub(crate) struct Correlating {
    dir: PathBuf,
    dictionary: Arc<FieldDictionary>,
    counting: Mutex<Counting>,
}

/// What one of them holds at a time.
pub(crate) struct Counting {
    correlator: Correlator,
    /// Per stream, what has gone through the rules: batch, and the index after it.
    passed: HashMap<StreamName, (u64, u32)>,
    /// What the file holds: the correlator's own number and that of `passes`.
    saved: Option<(u64, u64)>,
    passes: u64,
    /// Why the stored state could not be used.
    rebuilt: Option<String>,
    notices: Vec<(Notice, UtcMicros)>,
}

impl Correlating {
    /// Reads the stored state. One that is damaged is given up, with a warning and a word in the
    /// status: everything the journal still holds is then counted anew.
    pub(crate) fn open(
        data: &DataDir,
        ruleset: Arc<Ruleset>,
        dictionary: Arc<FieldDictionary>,
        options: CorrelatorOptions,
    ) -> Result<Self, NodeError> {
        let dir = data.correlation();
        let mut correlator = Correlator::new(ruleset, options);
        let mut passed = HashMap::new();
        let mut rebuilt = None;
        let path = dir.join(STATE_FILE);
        match File::open(&path) {
            Ok(file) => match correlator.restore(&mut BufReader::new(file)) {
                Ok(report) => {
                    passed = positions(&correlator);
                    if !report.given_up.is_empty() {
                        let given_up = report.given_up.join(", ");
                        tracing::info!(given_up, "correlations changed and start counting anew");
                    }
                }
                Err(StateError::Io(source)) => return Err(NodeError::Io { path, source }),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        path = %path.display(),
                        "counting anew from what the journal holds; older events are not counted"
                    );
                    rebuilt = Some(error.to_string());
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if dir.is_dir() {
                    tracing::warn!(path = %path.display(), "the state of correlations is missing");
                    rebuilt = Some("the correlation state is missing".to_owned());
                }
            }
            Err(source) => return Err(NodeError::Io { path, source }),
        }
        let counting =
            Counting { correlator, passed, saved: None, passes: 0, rebuilt, notices: Vec::new() };
        let correlating = Correlating { dir, dictionary, counting: Mutex::new(counting) };
        // From now on there is a state, so that its absence says something.
        correlating.save()?;
        Ok(correlating)
    }

    /// Held while a batch is counted and its alerts are recorded: what is saved has both or neither.
    pub(crate) fn count(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run that the journal gives again was counted before.
    pub(crate) fn has_counted(&self, run: &CommittedRun) -> bool {
        let counting = self.count();
        if counting.correlator.ruleset().correlations().len() == 0 {
            return true;
        }
        let after = (run.batch, next_index(run));
        counting.passed.get(&run.stream).is_some_and(|passed| after <= *passed)
    }

    /// What a match is to the desk: a finding for each event it names, all with one sentence.
    pub(crate) fn findings(&self, found: &CorrelationMatch) -> Vec<Finding> {
        let rule = Arc::new(RuleCopy::from(&*found.rule));
        let say = |lang| found.sentence(&self.dictionary, lang);
        let words = EventWords::Said { ja: say(Lang::Ja), en: say(Lang::En) };
        let evidence: Vec<EvidenceItem> =
            found.evidence.iter().cloned().map(EvidenceItem::from).collect();
        let newest = found.event_ids.len().saturating_sub(1);
        let one = |(number, id): (usize, &yagura_event::EventId)| Finding {
            rule: rule.clone(),
            dataset: found.dataset.to_string(),
            host: found.host.clone(),
            user: found.user.clone(),
            source_ip: found.source_ip.clone(),
            event_id: id.clone(),
            timestamp: if number == newest { found.last } else { found.first },
            received: found.received,
            words: words.clone(),
            evidence: evidence.clone(),
        };
        found.event_ids.iter().enumerate().map(one).collect()
    }

    /// Writes the state if it has changed: beside the old one, then in its place, so that a crash
    /// leaves one of them whole. Without correlations there is no file.
    pub(crate) fn save(&self) -> Result<(), NodeError> {
        let mut counting = self.count();
        if counting.correlator.ruleset().correlations().len() == 0 && !self.dir.is_dir() {
            return Ok(());
        }
        let now = (counting.correlator.revision(), counting.passes);
        if counting.saved == Some(now) {
            return Ok(());
        }
        let (passed, correlator) = {
            let counting = &mut *counting;
            (&counting.passed, &mut counting.correlator)
        };
        for (stream, (batch, next)) in passed {
            correlator.pass(stream.as_str(), *batch, *next);
        }
        write_state(&self.dir, correlator)?;
        counting.saved = Some((counting.correlator.revision(), counting.passes));
        Ok(())
    }

    /// Correlations that reached a limit of their state at or after `since`, and when they last did.
    pub(crate) fn limited_since(&self, since: UtcMicros) -> Vec<(Notice, UtcMicros)> {
        let counting = self.count();
        let limited = counting.notices.iter().filter(|(notice, at)| {
            *at >= since
                && matches!(
                    notice.kind,
                    NoticeKind::StateFull
                        | NoticeKind::GroupFull
                        | NoticeKind::Late
                        | NoticeKind::Forgotten
                )
        });
        limited.cloned().collect()
    }

    /// For the status: figures, and what could not be counted.
    pub(crate) fn status(&self) -> Value {
        let counting = self.count();
        let stats = counting.correlator.stats();
        let notice = |(notice, at): &(Notice, UtcMicros)| {
            json!({
                "@timestamp": at,
                "rule.uuid": notice.rule.id,
                "rule.name": notice.rule.title,
                "kind": notice.kind.as_str(),
                "count": notice.count,
                "example": notice.example,
                "message": notice.kind.sentence(Lang::En),
                "message_ja": notice.kind.sentence(Lang::Ja),
            })
        };
        json!({
            "loaded": counting.correlator.ruleset().correlations().len(),
            "groups": stats.groups,
            "bytes": stats.bytes,
            "counted": stats.counted,
            "raised": stats.raised,
            "updated": stats.updated,
            "late": stats.late,
            "refused": stats.refused,
            "let_go": stats.let_go,
            "without_group": stats.without_group,
            "without_value": stats.without_value,
            "from_the_future": stats.from_the_future,
            "rebuilt": counting.rebuilt,
            "notices": counting.notices.iter().map(notice).collect::<Vec<_>>(),
        })
    }
}

impl Counting {
    /// Counts the matches of a batch.
    pub(crate) fn observe(&mut self, batch: &EventBatch, found: &[Match]) -> Vec<CorrelationMatch> {
        self.correlator.observe(batch, found)
    }

    /// Goes on with other rules.
    pub(crate) fn reload(&mut self, ruleset: Arc<Ruleset>) {
        self.correlator = self.correlator.with_rules(ruleset);
        self.saved = None;
    }

    /// Notes what has gone through the rules, and says what could not be counted.
    pub(crate) fn passed(&mut self, passed: &mut HashMap<StreamName, (u64, u32)>, now: UtcMicros) {
        self.passes += u64::from(!passed.is_empty());
        for (stream, position) in passed.drain() {
            let known = self.passed.entry(stream).or_default();
            *known = position.max(*known);
        }
        for notice in self.correlator.take_notices() {
            let same = |(other, _): &(Notice, UtcMicros)| {
                other.kind == notice.kind && other.rule.id == notice.rule.id
            };
            let known = self.notices.iter_mut().find(|shown| same(shown));
            let before = known.as_ref().map_or(0, |(shown, _)| shown.count);
            // A source that is late is late with every event: the log hears of each doubling.
            if before.checked_ilog2() != (before + notice.count).checked_ilog2() {
                tracing::warn!(
                    rule = notice.rule.id,
                    kind = notice.kind.as_str(),
                    count = before + notice.count,
                    example = notice.example,
                    "{}",
                    notice.kind.sentence(Lang::En)
                );
            }
            match known {
                Some((shown, at)) => {
                    shown.count += notice.count;
                    *at = now;
                }
                None => {
                    if self.notices.len() >= NOTICES_SHOWN_MAX {
                        self.notices.remove(0);
                    }
                    self.notices.push((notice, now));
                }
            }
        }
    }
}

/// The index after the last record of a run.
pub(crate) fn next_index(run: &CommittedRun) -> u32 {
    run.first_index.saturating_add(u32::try_from(run.records.len()).unwrap_or(u32::MAX))
}

fn positions(correlator: &Correlator) -> HashMap<StreamName, (u64, u32)> {
    let known = correlator.positions();
    known.filter_map(|(stream, at)| Some((StreamName::new(stream).ok()?, at))).collect()
}

/// Order: the new file is written and synced, then it takes the old one's name, then the directory
/// is synced. The first time, a directory with the state in it takes its name at once: there is
/// never one without.
fn write_state(dir: &Path, correlator: &Correlator) -> Result<(), NodeError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| NodeError::Io { path, source }
    };
    let is_first = !dir.is_dir();
    let into = if is_first { dir.with_extension("new") } else { dir.to_owned() };
    if is_first {
        std::fs::create_dir_all(&into).map_err(io(&into))?;
    }
    let new = into.join(NEW_STATE_FILE);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&new).map_err(io(&new))?);
    correlator.save(&mut file).and_then(|()| file.flush()).map_err(io(&new))?;
    file.get_ref().sync_all().map_err(io(&new))?;
    let state = into.join(STATE_FILE);
    std::fs::rename(&new, &state).map_err(io(&state))?;
    sync_dir(&into).map_err(io(&into))?;
    if is_first {
        std::fs::rename(&into, dir).map_err(io(dir))?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent).map_err(io(parent))?;
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
