use crate::expression::AtomId;
use crate::group::OTHER;
use crate::limits::{CACHED_BYTES_MAX, DATASETS_MAX, EVIDENCE_CHARS_MAX, EVIDENCE_MAX, GROUPS_MAX};
use crate::matcher::Scratch;
use crate::memory::{Memory, UNSET};
use crate::plan::{Plan, PlanAtom};
use crate::rule::RuleInfo;
use crate::ruleset::Ruleset;
use crate::text::{fold, shorten};
use crate::view::View;
use arrow::array::RecordBatch;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;
use yagura_event::{EventBatch, columns};

/// Matches a rule set against batches. One per thread; keeps what it learned of values.
#[derive(Debug)]
pub struct Engine {
    ruleset: Arc<Ruleset>,
    states: HashMap<Arc<str>, State, RandomState>,
    scratch: Scratch,
    stats: Stats,
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
struct State {
    plan: Arc<Plan>,
    columns: Vec<Memory>,
    keywords: Memory,
    group_ids: HashMap<Box<[u16]>, u32, RandomState>,
    groups: Vec<Group>,
}

/// The rules that concern rows of one kind.
#[derive(Debug)]
struct Group {
    /// A bit per rule of the plan.
    rules: Vec<u64>,
    /// Rules without an anchor.
    always: Vec<u32>,
    /// For each column of the plan, whether a rule of this group waits there.
    columns: Vec<bool>,
    /// Whether a rule of this group waits for a keyword.
    keywords: bool,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(ruleset: Arc<Ruleset>) -> Engine {
        let stats = Stats { atoms: ruleset.atoms(), ..Stats::default() };
        Engine { ruleset, states: HashMap::default(), scratch: Scratch::default(), stats }
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
        let groups = state.group_rows(&batch.columns);
        let plan = state.plan.clone();
        let work = (&mut self.scratch, &mut self.stats);
        let mut run = Run::new(&plan, state, &batch.columns, work);
        let candidates = run.candidates(&groups);
        let mut matches = Vec::new();
        for (row, rule) in candidates {
            let (row, rule) = (row as usize, &plan.rules[rule as usize]);
            run.stats.candidates += 1;
            if rule.expression.holds(&mut |atom| run.holds(atom, row)) {
                run.stats.matches += 1;
                let evidence = run.evidence(&rule.expression, row);
                matches.push(Match { row, rule: rule.info.clone(), evidence });
            }
        }
        matches
    }

    /// Sees to it that there is a state for `dataset`, and forgets what has reached a limit.
    fn make_room(&mut self, dataset: &Arc<str>) {
        if self.states.values().map(State::bytes).sum::<usize>() >= CACHED_BYTES_MAX {
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

    /// The group of each row.
    fn group_rows(&mut self, batch: &RecordBatch) -> Vec<u32> {
        let gates = &self.plan.gates.gates;
        let mut keys: Vec<Option<(View, Vec<u16>)>> = Vec::with_capacity(gates.len());
        for gate in gates {
            let view = batch.column_by_name(&gate.column).and_then(View::new);
            keys.push(view.map(|view| {
                let slots = view.slots();
                // Numbers and text have a slot per row: only rows with a value are asked.
                let id = |slot: usize| match view.has_value(slot) {
                    true => gate.value(&view.text(slot)),
                    false => OTHER,
                };
                let ids = (0..slots).map(id).collect();
                (view, ids)
            }));
        }
        let mut key: Vec<u16> = vec![OTHER; keys.len()];
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            for (part, gate) in key.iter_mut().zip(&keys) {
                *part = match gate {
                    Some((view, ids)) => view.slot(row).map_or(OTHER, |slot| ids[slot]),
                    None => OTHER,
                };
            }
            let id = match self.group_ids.get(key.as_slice()) {
                Some(id) => *id,
                None => {
                    // Proof: groups are limited to fewer than 2^32 plus one batch's rows.
                    let id = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                    self.groups.push(Group::new(&self.plan, &key));
                    self.group_ids.insert(key.as_slice().into(), id);
                    id
                }
            };
            rows.push(id);
        }
        rows
    }
}

impl Group {
    fn new(plan: &Plan, key: &[u16]) -> Group {
        let mut group = Group {
            rules: vec![0; plan.rules.len().div_ceil(64)],
            always: Vec::new(),
            columns: vec![false; plan.columns.len()],
            keywords: false,
        };
        for (number, rule) in (0u32..).zip(&plan.rules) {
            if !rule.admission.admits(key) {
                continue;
            }
            group.rules[number as usize / 64] |= 1 << (number % 64);
            if rule.has_no_anchor() {
                group.always.push(number);
            }
            rule.anchor_columns.iter().for_each(|column| group.columns[*column] = true);
            group.keywords |= rule.anchor_keyword;
        }
        group
    }

    fn has(&self, rule: u32) -> bool {
        self.rules[rule as usize / 64] >> (rule % 64) & 1 == 1
    }
}

/// A column of the batch at hand, and the set of atoms of each slot as far as it is known.
struct Seen {
    name: Arc<str>,
    view: View,
    sets: Vec<u32>,
}

impl Seen {
    fn new(name: Arc<str>, view: View) -> Seen {
        let sets = vec![UNSET; view.slots()];
        Seen { name, view, sets }
    }
}

/// One batch.
struct Run<'a> {
    plan: &'a Plan,
    memories: &'a mut [Memory],
    keyword_memory: &'a mut Memory,
    groups: &'a [Group],
    /// By the plan's columns.
    columns: Vec<Option<Seen>>,
    /// Every column that keywords are looked for in.
    texts: Vec<Seen>,
    scratch: &'a mut Scratch,
    stats: &'a mut Stats,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a Plan,
        state: &'a mut State,
        batch: &RecordBatch,
        (scratch, stats): (&'a mut Scratch, &'a mut Stats),
    ) -> Run<'a> {
        let mut seen: Vec<Option<Seen>> = plan.columns.iter().map(|_| None).collect();
        let mut texts = Vec::new();
        let wants_texts = !plan.keywords.is_empty();
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let number = plan.column(field.name());
            if number.is_none() && !wants_texts {
                continue;
            }
            let Some(view) = View::new(array) else { continue };
            if wants_texts && view.is_text() && is_searched(field.name()) {
                let name = field.name().as_str().into();
                let again = View::new(array);
                texts.extend(again.map(|view| Seen::new(name, view)));
            }
            if let Some(number) = number {
                seen[number] = Some(Seen::new(plan.columns[number].name.clone(), view));
            }
        }
        Run {
            plan,
            memories: &mut state.columns,
            keyword_memory: &mut state.keywords,
            groups: &state.groups,
            columns: seen,
            texts,
            scratch,
            stats,
        }
    }

    /// Rows and rules worth evaluating, sorted, each pair once.
    fn candidates(&mut self, rows: &[u32]) -> Vec<(u32, u32)> {
        let mut candidates = Vec::new();
        for (row, group) in (0u32..).zip(rows) {
            let always = &self.groups[*group as usize].always;
            candidates.extend(always.iter().map(|rule| (row, *rule)));
        }
        for column in 0..self.plan.columns.len() {
            if self.plan.columns[column].anchors && self.columns[column].is_some() {
                self.anchored_by(column, rows, &mut candidates);
            }
        }
        if rows.iter().any(|group| self.groups[*group as usize].keywords) {
            self.anchored_by_keywords(rows, &mut candidates);
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    fn anchored_by(&mut self, column: usize, rows: &[u32], candidates: &mut Vec<(u32, u32)>) {
        for (row, group) in (0u32..).zip(rows) {
            let group = &self.groups[*group as usize];
            if !group.columns[column] {
                continue;
            }
            let Some(set) = self.set(column, row as usize) else { continue };
            let rules = self.memories[column].rules(set).iter();
            candidates.extend(rules.filter(|rule| group.has(**rule)).map(|rule| (row, *rule)));
        }
    }

    fn anchored_by_keywords(&mut self, rows: &[u32], candidates: &mut Vec<(u32, u32)>) {
        for text in 0..self.texts.len() {
            for (row, group) in (0u32..).zip(rows) {
                let group = &self.groups[*group as usize];
                if !group.keywords {
                    continue;
                }
                let Some(set) = self.keyword_set(text, row as usize) else { continue };
                let rules = self.keyword_memory.rules(set).iter();
                candidates.extend(rules.filter(|rule| group.has(**rule)).map(|rule| (row, *rule)));
            }
        }
    }

    /// The set of atoms that hold for a row's value of a plan's column, if it has one.
    fn set(&mut self, column: usize, row: usize) -> Option<u32> {
        let seen = self.columns[column].as_mut()?;
        let slot = seen.view.slot(row)?;
        if seen.sets[slot] == UNSET {
            let matcher = &self.plan.columns[column].matcher;
            let memory = &mut self.memories[column];
            let text = seen.view.text(slot);
            let anchored = &self.plan.anchored;
            seen.sets[slot] = memory.set_of(&text, matcher, anchored, self.scratch, self.stats);
        }
        Some(seen.sets[slot])
    }

    fn keyword_set(&mut self, text: usize, row: usize) -> Option<u32> {
        let seen = &mut self.texts[text];
        let slot = seen.view.slot(row)?;
        if seen.sets[slot] == UNSET {
            let matcher = &self.plan.keywords;
            let text = seen.view.text(slot);
            let anchored = &self.plan.anchored;
            let memory = &mut *self.keyword_memory;
            seen.sets[slot] = memory.set_of(&text, matcher, anchored, self.scratch, self.stats);
        }
        Some(seen.sets[slot])
    }

    fn holds(&mut self, atom: AtomId, row: usize) -> bool {
        self.stats.predicates += 1;
        match &self.plan.atoms[atom as usize] {
            PlanAtom::Exists { column } => self.has_value(*column, row),
            PlanAtom::Value { column, .. } => match self.set(*column, row) {
                Some(set) => self.memories[*column].holds(set, atom),
                None => false,
            },
            PlanAtom::Keyword { .. } => self.text_with(atom, row).is_some(),
            PlanAtom::Fields { column, other, place, cased } => {
                let left = self.value(*column, row);
                let Some((left, right)) = left.zip(self.value(*other, row)) else { return false };
                match cased {
                    true => place.holds(&right, &left),
                    false => place.holds(&fold(&right), &fold(&left)),
                }
            }
        }
    }

    fn has_value(&self, column: usize, row: usize) -> bool {
        self.columns[column].as_ref().is_some_and(|seen| seen.view.slot(row).is_some())
    }

    fn value(&self, column: usize, row: usize) -> Option<std::borrow::Cow<'_, str>> {
        let seen = self.columns[column].as_ref()?;
        Some(seen.view.text(seen.view.slot(row)?))
    }

    /// The first text column whose value satisfies a keyword.
    fn text_with(&mut self, atom: AtomId, row: usize) -> Option<usize> {
        (0..self.texts.len()).find(|text| {
            let set = self.keyword_set(*text, row);
            set.is_some_and(|set| self.keyword_memory.holds(set, atom))
        })
    }

    fn evidence(
        &mut self,
        expression: &crate::expression::Expression,
        row: usize,
    ) -> Vec<Evidence> {
        let mut atoms: Vec<AtomId> = Vec::new();
        let mut witness = |atom| {
            if atoms.len() < EVIDENCE_MAX && !atoms.contains(&atom) {
                atoms.push(atom);
            }
        };
        expression.witnesses(&mut |atom| self.holds(atom, row), &mut witness);
        atoms.into_iter().filter_map(|atom| self.piece(atom, row)).collect()
    }

    fn piece(&mut self, atom: AtomId, row: usize) -> Option<Evidence> {
        let plan = self.plan;
        let (seen, predicate) = match &plan.atoms[atom as usize] {
            PlanAtom::Exists { column } => (self.columns[*column].as_ref()?, "exists".to_owned()),
            PlanAtom::Value { column, test } => {
                (self.columns[*column].as_ref()?, test.predicate.to_string())
            }
            PlanAtom::Keyword { test } => {
                let text = self.text_with(atom, row)?;
                (&self.texts[text], test.predicate.to_string())
            }
            PlanAtom::Fields { column, other, place, .. } => {
                let predicate = format!("fieldref {} {}", place.word(), plan.columns[*other].name);
                (self.columns[*column].as_ref()?, predicate)
            }
        };
        let value = seen.view.text(seen.view.slot(row)?);
        Some(Evidence {
            field: seen.name.clone(),
            value: shorten(&value, EVIDENCE_CHARS_MAX),
            predicate: shorten(&predicate, EVIDENCE_CHARS_MAX),
        })
    }
}

/// Whether keywords are looked for in a text column: in all but our own, of which only the one
/// that holds the event's surplus fields counts.
fn is_searched(column: &str) -> bool {
    !column.starts_with("yagura.") || column == columns::OVERFLOW
}
