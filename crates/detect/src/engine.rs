use crate::bits::Bits;
use crate::cells::{Cells, converted};
use crate::group::{GateKey, OTHER};
use crate::limits::{CACHED_BYTES_MAX, DATASETS_MAX, GROUPS_MAX};
use crate::matcher::Scratch;
use crate::memory::Memory;
use crate::plan::Plan;
use crate::rule::RuleInfo;
use crate::ruleset::Ruleset;
use crate::run::Run;
use crate::said::Said;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;
use yagura_event::EventBatch;

/// Matches a rule set against batches. One per thread; keeps what it learned of values.
#[derive(Debug)]
pub struct Engine {
    ruleset: Arc<Ruleset>,
    states: HashMap<Arc<str>, State, RandomState>,
    scratch: Scratch,
    stats: Stats,
    cache_bytes_max: usize,
}

/// A rule holds for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Row of the batch.
    pub row: usize,
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// What made it hold, at most [`crate::limits::EVIDENCE_MAX`] pieces. A rule that only
    /// excludes has none.
    pub evidence: Vec<Evidence>,
}

/// A predicate that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The column.
    pub field: Arc<str>,
    /// Its value, cut to [`crate::limits::EVIDENCE_CHARS_MAX`] characters.
    pub value: String,
    /// The predicate in Sigma's words, such as `endswith \cmd.exe`; cut likewise.
    pub predicate: String,
}

/// What an engine has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events seen.
    pub events: u64,
    /// Pairs of event and rule whose anchor held, or that had none: each was evaluated.
    pub candidates: u64,
    /// Predicates asked for while those were evaluated and explained.
    pub predicates: u64,
    /// Bytes of values that were gone through for those predicates.
    pub bytes_read: u64,
    /// Pairs of event and rule that matched.
    pub matches: u64,
    /// Values matched by a column's automaton and tables.
    pub values_evaluated: u64,
    /// Values whose atoms were remembered from an earlier one.
    pub values_remembered: u64,
    /// Predicates of the rule set.
    pub atoms: usize,
    /// Groups of events met so far.
    pub groups: usize,
}

/// What an engine knows of one dataset.
#[derive(Debug)]
pub(crate) struct State {
    plan: Arc<Plan>,
    pub(crate) columns: Vec<Memory>,
    pub(crate) keywords: Memory,
    pub(crate) said: Said,
    group_ids: HashMap<GateKey, u32, RandomState>,
    pub(crate) groups: Vec<Group>,
}

/// The rules that concern rows of one kind.
#[derive(Debug)]
pub(crate) struct Group {
    /// Classes of these rules.
    classes: Bits,
    /// Those without an anchor.
    pub(crate) always: Vec<u32>,
    /// Columns of the plan where one of them waits.
    columns: Bits,
    /// Whether one of them waits for a keyword.
    pub(crate) keywords: bool,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(ruleset: Arc<Ruleset>) -> Engine {
        Engine::with_cache_bytes(ruleset, CACHED_BYTES_MAX)
    }

    /// The same, with caches of `cache_bytes_max` bytes together instead of [`CACHED_BYTES_MAX`]:
    /// when full they are all emptied before the next batch. Changes speed and never an answer.
    pub fn with_cache_bytes(ruleset: Arc<Ruleset>, cache_bytes_max: usize) -> Engine {
        let stats = Stats { atoms: ruleset.atoms(), ..Stats::default() };
        let (states, scratch) = (HashMap::default(), Scratch::default());
        Engine { ruleset, states, scratch, stats, cache_bytes_max }
    }

    /// What has been done so far.
    pub fn stats(&self) -> Stats {
        Stats { groups: self.states.values().map(|state| state.groups.len()).sum(), ..self.stats }
    }

    /// The rules it matches.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }

    /// Every rule that holds for an event of `batch`, by row, then in the order of the rule set.
    pub fn evaluate(&mut self, batch: &EventBatch) -> Vec<Match> {
        self.stats.events += batch.rows() as u64;
        self.make_room(&batch.dataset);
        let Some(state) = self.states.get_mut(&batch.dataset) else { return Vec::new() };
        if state.plan.rules.is_empty() {
            return Vec::new();
        }
        let plan = state.plan.clone();
        let foreign = converted(&batch.columns);
        let columns = (0..).zip(batch.columns.columns()).map(|(number, column): (usize, _)| {
            let converted = foreign.get(number).and_then(Option::as_ref);
            Cells::new(converted.unwrap_or(column))
        });
        let columns: Vec<Option<Cells>> = columns.collect();
        let names = batch.columns.schema_ref().fields();
        let rows = state.group_rows(batch.rows(), |gate| {
            let number = names.iter().position(|field| field.name() == gate)?;
            columns[number]
        });
        let work = (&mut self.scratch, &mut self.stats);
        let columns = names.iter().map(|field| field.name().as_str()).zip(columns);
        Run::new(&plan, state, columns, work).matches(&rows)
    }

    /// Sees to it that there is a state for `dataset`, and forgets what has reached a limit.
    fn make_room(&mut self, dataset: &Arc<str>) {
        if self.states.values().map(State::bytes).sum::<usize>() >= self.cache_bytes_max {
            self.states.values_mut().for_each(State::forget);
        }
        if let Some(state) = self.states.get_mut(dataset) {
            state.make_room();
            return;
        }
        if self.states.len() >= DATASETS_MAX {
            self.states.clear();
        }
        let state = State::new(self.ruleset.plan(dataset));
        self.states.insert(dataset.clone(), state);
    }
}

impl State {
    fn new(plan: Arc<Plan>) -> State {
        let columns = plan.columns.iter().map(|_| Memory::default()).collect();
        State {
            plan,
            columns,
            keywords: Memory::default(),
            said: Said::default(),
            group_ids: HashMap::default(),
            groups: Vec::new(),
        }
    }

    /// Forgets what has reached a limit. Only between batches.
    fn make_room(&mut self) {
        let memories = self.columns.iter_mut().chain([&mut self.keywords]);
        memories.filter(|memory| memory.is_full()).for_each(Memory::clear);
        if self.groups.len() >= GROUPS_MAX {
            self.groups.clear();
            self.group_ids.clear();
        }
    }

    fn bytes(&self) -> usize {
        self.columns.iter().chain([&self.keywords]).map(Memory::bytes).sum()
    }

    fn forget(&mut self) {
        self.columns.iter_mut().chain([&mut self.keywords]).for_each(Memory::clear);
    }

    /// The group of each row; `column` finds the batch's column of a gate.
    fn group_rows<'a>(
        &mut self,
        rows: usize,
        column: impl Fn(&str) -> Option<Cells<'a>>,
    ) -> Vec<u32> {
        let mut keys: Vec<GateKey> = vec![0; rows];
        let mut buffer = String::new();
        for (number, gate) in self.plan.gates.gates.iter().enumerate() {
            let Some(cells) = column(&gate.column) else { continue };
            // Numbers and text have a slot per row: only rows with a value are asked.
            let ids = (0..cells.slots()).map(|slot| match cells.has_value(slot) {
                true => gate.value(cells.text(slot, &mut buffer)),
                false => OTHER,
            });
            let ids: Vec<u16> = ids.collect();
            for (row, key) in keys.iter_mut().enumerate() {
                let id = cells.slot(row).map_or(OTHER, |slot| ids[slot]);
                *key |= GateKey::from(id) << (16 * number);
            }
        }
        let mut last = None;
        let group = |key: GateKey| match last {
            Some((known, id)) if known == key => id,
            _ => {
                let id = self.group(key);
                last = Some((key, id));
                id
            }
        };
        keys.into_iter().map(group).collect()
    }

    fn group(&mut self, key: GateKey) -> u32 {
        if let Some(id) = self.group_ids.get(&key) {
            return *id;
        }
        // Proof: groups are limited to fewer than 2^32 plus one batch's rows.
        let id = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        self.groups.push(Group::new(&self.plan, key));
        self.group_ids.insert(key, id);
        id
    }
}

impl Group {
    fn new(plan: &Plan, key: GateKey) -> Group {
        let mut classes = Bits::default();
        for (number, admission) in (0u32..).zip(&plan.classes) {
            if admission.admits(key) {
                classes.set(number);
            }
        }
        let mut columns = Bits::default();
        for (number, column) in (0u32..).zip(&plan.columns) {
            if column.classes.meets(&classes) {
                columns.set(number);
            }
        }
        let always = plan.always.iter().copied();
        Group {
            always: always.filter(|rule| classes.has(plan.rules[*rule as usize].class)).collect(),
            keywords: plan.keywords.classes.meets(&classes),
            columns,
            classes,
        }
    }

    /// Whether rules of `class` are among them.
    #[inline]
    pub(crate) fn has(&self, class: u32) -> bool {
        self.classes.has(class)
    }

    /// Whether one of them waits at a column of the plan.
    pub(crate) fn waits_at(&self, column: usize) -> bool {
        // Proof: columns of a plan are fewer than predicates, and those fewer than 2^32.
        u32::try_from(column).is_ok_and(|column| self.columns.has(column))
    }
}
