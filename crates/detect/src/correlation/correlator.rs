//! The correlator: takes matches in, keeps windows, gives out what the windows come to.

mod count;
mod judge;
mod room;
mod route;

use super::compile::Correlation;
use super::group::Groups;
use super::hit::Hit;
use super::matched::CorrelationMatch;
use super::notice::{CorrelatorStats, Notice, Notices};
use super::rows::Rows;
use super::window::Question;
use crate::engine::Match;
use crate::ruleset::Ruleset;
use room::last_words;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use yagura_event::EventBatch;

/// The values of a group, and whether the hit opened an episode.
type GroupValues = (Vec<Option<String>>, bool);

/// How a correlator keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrelatorOptions {
    /// How late (µs) an event may come after the newest of its group and still be counted; `None`
    /// for however late. Default: 10 minutes.
    pub allowance_micros: Option<i64>,
    /// Most bytes of state. Past it further events are refused, with a notice. While there are
    /// several correlations, one alone may have half of it. Default: 256 MiB.
    pub state_bytes_max: usize,
}

/// Most bytes that one of `correlations` may have of `state_bytes_max`: that one which sees millions of
/// groups leaves room for the others.
pub(crate) fn share(state_bytes_max: usize, correlations: usize) -> usize {
    if correlations > 1 { state_bytes_max / 2 } else { state_bytes_max }
}

impl Default for CorrelatorOptions {
    fn default() -> Self {
        CorrelatorOptions {
            allowance_micros: Some(10 * 60 * 1_000_000),
            state_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl CorrelatorOptions {
    /// For files that are read one after another: no event comes too late, and windows that are
    /// judged when over are judged at [`Correlator::finish`].
    pub fn for_files() -> Self {
        CorrelatorOptions { allowance_micros: None, ..CorrelatorOptions::default() }
    }
}

/// Counts the matches of an engine over time. One per engine; see the module for what it promises.
#[derive(Debug)]
pub struct Correlator {
    pub(crate) ruleset: Arc<Ruleset>,
    pub(crate) options: CorrelatorOptions,
    /// Which correlations count a rule, and as which of theirs: by rule id.
    counts: HashMap<String, Arc<[(usize, u16)]>>,
    /// The same for correlations, by position.
    counts_correlation: Vec<Vec<(usize, u16)>>,
    pub(crate) stores: Vec<Store>,
    /// Where an earlier run had got to; what lies before is a replay.
    pub(crate) floor: HashMap<Arc<str>, (u64, u32)>,
    /// Per stream, the batch of the newest event counted, and the index after it.
    pub(crate) positions: HashMap<Arc<str>, (u64, u32)>,
    /// The newest time of occurrence, and of receipt (UTC, µs).
    pub(crate) clocks: (i64, i64),
    pub(crate) next_episode: u64,
    stats: CorrelatorStats,
    notices: Notices,
    /// Of all stores.
    bytes: usize,
    /// Counts every change of what would be saved.
    revision: u64,
    /// Final news of alerts whose groups were forgotten; told with the next.
    last_words: Vec<CorrelationMatch>,
}

/// What is kept for one correlation.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) groups: Groups,
    /// Ends of windows that are judged when over, with their groups. Some are outdated.
    pub(crate) ends: BinaryHeap<Reverse<(i64, u32)>>,
    /// Windows that are over by the events' clocks, and when by ours none is expected any more.
    over: BinaryHeap<Reverse<(i64, u32)>>,
    /// The events' clock when expired groups were last looked for, and what came since.
    swept: Option<i64>,
    came: usize,
}

/// A hit on its way to its group.
struct NewHit {
    slot: u32,
    hit: Hit,
    /// Where the event stands in the batch at hand.
    row: Option<usize>,
}

impl Correlator {
    /// A correlator for the correlations of `ruleset` that has seen nothing.
    pub fn new(ruleset: Arc<Ruleset>, options: CorrelatorOptions) -> Correlator {
        let mut counts: HashMap<String, Vec<(usize, u16)>> = HashMap::new();
        let all = ruleset.compiled_correlations();
        let mut counts_correlation = vec![Vec::new(); all.len()];
        for (position, correlation) in all.iter().enumerate() {
            for (source, rule) in (0u16..).zip(&correlation.sources) {
                match rule.correlation.and_then(|below| counts_correlation.get_mut(below)) {
                    Some(counted) => counted.push((position, source)),
                    None => {
                        counts.entry(rule.info.id.clone()).or_default().push((position, source));
                    }
                }
            }
        }
        let stores = all.iter().map(|_| Store::default()).collect();
        Correlator {
            ruleset,
            options,
            counts: counts.into_iter().map(|(rule, by)| (rule, by.into())).collect(),
            counts_correlation,
            stores,
            floor: HashMap::new(),
            positions: HashMap::new(),
            clocks: (i64::MIN, i64::MIN),
            next_episode: 1,
            stats: CorrelatorStats::default(),
            notices: Notices::default(),
            bytes: 0,
            revision: 0,
            last_words: Vec::new(),
        }
    }

    /// The rules and correlations it works with.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }

    /// What has been done so far, and what is held.
    pub fn stats(&self) -> CorrelatorStats {
        let groups = self.stores.iter().map(|store| store.groups.len() as u64).sum();
        CorrelatorStats { groups, bytes: self.bytes as u64, ..self.stats }
    }

    /// What could not be done since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// A number that is the same while nothing has changed that [`Correlator::save`] would write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Takes over what is no state: counts, notices and news that nobody has asked for yet.
    pub(crate) fn carry_over(&mut self, before: &Correlator) {
        self.stats = before.stats;
        self.notices = before.notices.clone();
        self.last_words.clone_from(&before.last_words);
        self.revision = before.revision + 1;
    }

    /// Counts `matches`, which an engine found in `batch`. Every batch should be given, also one
    /// without matches: time passes with it. Returns what came to hold, in no particular order.
    pub fn observe(&mut self, batch: &EventBatch, matches: &[Match]) -> Vec<CorrelationMatch> {
        if self.stores.is_empty() {
            return Vec::new();
        }
        let ruleset = self.ruleset.clone();
        let mut rows = Rows::new(batch, ruleset.dictionary());
        if let Some((happened, received)) = rows.clocks() {
            self.clocks = (self.clocks.0.max(happened), self.clocks.1.max(received));
        }
        self.stats.from_the_future += rows.from_the_future;
        let mut pending: Vec<Vec<NewHit>> = self.stores.iter().map(|_| Vec::new()).collect();
        for found in matches {
            self.gather(&mut rows, found, &mut pending);
        }
        self.run(Some(&mut rows), pending, false)
    }

    /// The input has ended: judges every window that is still open, and tells the final counts of
    /// alerts that grew since they were told.
    pub fn finish(&mut self) -> Vec<CorrelationMatch> {
        let pending = self.stores.iter().map(|_| Vec::new()).collect();
        let mut told = self.run(None, pending, true);
        let ruleset = self.ruleset.clone();
        for (store, correlation) in self.stores.iter_mut().zip(ruleset.compiled_correlations()) {
            let slots: Vec<u32> = store.groups.iter().map(|(slot, _)| slot).collect();
            for slot in slots {
                let Some(group) = store.groups.get_mut(slot) else { continue };
                self.stats.updated += last_words(correlation, group, i64::MAX, &mut told);
            }
        }
        self.revision += 1;
        told.append(&mut self.last_words);
        told
    }

    /// Where the counting has got to in each stream: a batch, and the index after the newest event.
    pub fn positions(&self) -> impl Iterator<Item = (&str, (u64, u32))> {
        self.positions.iter().map(|(stream, position)| (stream.as_ref(), *position))
    }

    /// Notes that every event of `stream` before (`batch`, `next`) has been observed, also those
    /// that no rule found. Changes no count.
    pub fn pass(&mut self, stream: &str, batch: u64, next: u32) {
        let revision = self.revision;
        if let Some(index) = next.checked_sub(1) {
            self.advance(stream, batch, index);
        }
        self.revision = revision;
    }

    /// Gives the pending hits to their groups, those of counted correlations first, judges windows
    /// that are over, and forgets what has expired.
    fn run(
        &mut self,
        mut rows: Option<&mut Rows<'_>>,
        mut pending: Vec<Vec<NewHit>>,
        is_end: bool,
    ) -> Vec<CorrelationMatch> {
        let mut told = Vec::new();
        for position in 0..self.stores.len() {
            let new = pending.get_mut(position).map(std::mem::take).unwrap_or_default();
            self.count(position, new, rows.as_deref_mut(), &mut pending, &mut told);
            self.judge(position, is_end, &mut pending, &mut told);
            self.sweep_sometimes(position);
        }
        told.append(&mut self.last_words);
        told
    }
}

impl Correlation {
    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            kind: self.kind,
            condition: &self.condition,
            sources: self.sources.len(),
            span: self.span,
        }
    }
}
