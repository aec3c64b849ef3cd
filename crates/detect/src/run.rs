//! One batch.

use crate::cells::{Cells, Read};
use crate::engine::{Evidence, Group, Match, State, Stats};
use crate::expression::{AtomId, Expression};
use crate::limits::{EVIDENCE_CHARS_MAX, EVIDENCE_MAX};
use crate::long::{Answers, LONG_VALUE_BYTES, LongValues};
use crate::matcher::{Matcher, Scratch};
use crate::memory::{Memory, NOBODY, UNSET};
use crate::plan::{Plan, PlanAtom};
use crate::predicate::Test;
use crate::said::Said;
use crate::text::{fold, shorten, shortened};
use std::sync::Arc;
use yagura_event::columns;

/// One batch being matched.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    memories: &'a mut [Memory],
    keyword_memory: &'a mut Memory,
    groups: &'a [Group],
    /// By the plan's columns.
    columns: Vec<Option<Read<'a>>>,
    /// What is known of a long value of each column, and of each text.
    long: Vec<Answers>,
    long_texts: Vec<Answers>,
    /// What atoms said last.
    said: &'a mut Said,
    /// Every column that keywords are looked for in.
    texts: Vec<(&'a str, Read<'a>)>,
    scratch: &'a mut Scratch,
    stats: &'a mut Stats,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        state: &'a mut State,
        batch: impl Iterator<Item = (&'a str, Option<Cells<'a>>)>,
        (scratch, stats): (&'a mut Scratch, &'a mut Stats),
    ) -> Run<'a> {
        let mut read: Vec<Option<Read>> = Vec::new();
        read.resize_with(plan.columns.len(), || None);
        let mut texts = Vec::new();
        let wants_texts = !plan.keywords.is_empty();
        for (name, cells) in batch {
            let Some(cells) = cells else { continue };
            if wants_texts && cells.is_text() && is_searched(name) {
                texts.push((name, Read::new(cells)));
            }
            if let Some(number) = plan.column(name) {
                read[number] = Some(Read::new(cells));
            }
        }
        state.said.begin(plan.atoms.len());
        Run {
            plan,
            said: &mut state.said,
            memories: &mut state.columns,
            keyword_memory: &mut state.keywords,
            groups: &state.groups,
            long: answers(read.len()),
            long_texts: answers(texts.len()),
            columns: read,
            texts,
            scratch,
            stats,
        }
    }

    /// Every rule that holds for a row; `rows` are the rows' groups.
    pub(crate) fn matches(&mut self, rows: &[u32]) -> Vec<Match> {
        let mut matches = Vec::new();
        let plan = self.plan;
        for (row, rule) in self.candidates(rows) {
            let (row, rule) = (row as usize, &plan.rules[rule as usize]);
            self.stats.candidates += 1;
            let holds = match &rule.program {
                Some(program) => program.holds(|atom| self.holds(atom, row)),
                None => rule.expression.holds(&mut |atom| self.holds(atom, row)),
            };
            if holds {
                self.stats.matches += 1;
                let evidence = self.evidence(&rule.expression, row);
                matches.push(Match { row, rule: rule.info.clone(), evidence });
            }
        }
        matches
    }

    /// Rows and rules worth evaluating, sorted, each pair once.
    fn candidates(&mut self, rows: &[u32]) -> Vec<(u32, u32)> {
        let mut present = vec![0_u32; self.groups.len()];
        rows.iter().for_each(|group| present[*group as usize] += 1);
        let present: Vec<u32> =
            (0u32..).zip(&present).filter(|(_, rows)| **rows > 0).map(|(group, _)| group).collect();
        let mut search = Search {
            plan: self.plan,
            groups: self.groups,
            rows,
            interested: Vec::new(),
            all_interested: false,
            sets: Vec::new(),
            candidates: Vec::new(),
        };
        if present.iter().any(|group| !self.groups[*group as usize].always.is_empty()) {
            for (row, group) in (0u32..).zip(rows) {
                let always = &self.groups[*group as usize].always;
                search.candidates.extend(always.iter().map(|rule| (row, *rule)));
            }
        }
        for (number, column) in self.plan.columns.iter().enumerate() {
            let Some(read) = &self.columns[number] else { continue };
            if !column.matcher.is_empty()
                && search.interest(&present, |group| group.waits_at(number))
            {
                let memory = &mut self.memories[number];
                search.column(read.cells, &column.matcher, memory, (self.scratch, self.stats));
            }
        }
        if search.interest(&present, |group| group.keywords) {
            for (_, read) in &self.texts {
                let (matcher, memory) = (&self.plan.keywords.matcher, &mut *self.keyword_memory);
                search.column(read.cells, matcher, memory, (self.scratch, self.stats));
            }
        }
        let mut candidates = search.candidates;
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    fn holds(&mut self, atom: AtomId, row: usize) -> bool {
        self.stats.predicates += 1;
        match &self.plan.atoms[atom as usize] {
            PlanAtom::Exists { column } => self.has_value(*column, row),
            PlanAtom::Value { column, test } => {
                let Some(read) = self.columns[*column].as_mut() else { return false };
                let Some(slot) = read.cells.slot(row) else { return false };
                if let Some(said) = self.said.of(atom, slot) {
                    return said;
                }
                let of = || self.plan.long_values(*column);
                let answers = &mut self.long[*column];
                let work = (&mut *self.scratch, &mut *self.stats);
                let holds = test_value(read, row, (atom, test), (of, answers), work);
                self.said.keep(atom, slot, holds);
                holds
            }
            PlanAtom::Keyword { .. } => match self.said.of(atom, row) {
                Some(said) => said,
                None => {
                    let holds = self.text_with(atom, row).is_some();
                    self.said.keep(atom, row, holds);
                    holds
                }
            },
            PlanAtom::Fields { column, other, place, cased } => {
                let left = self.text(*column, row);
                let Some((left, right)) = left.zip(self.text(*other, row)) else { return false };
                match cased {
                    true => place.holds(&right, &left),
                    false => place.holds(&fold(&right), &fold(&left)),
                }
            }
        }
    }

    fn has_value(&self, column: usize, row: usize) -> bool {
        self.columns[column].as_ref().is_some_and(|read| read.cells.slot(row).is_some())
    }

    fn text(&mut self, column: usize, row: usize) -> Option<String> {
        let (value, _) = self.columns[column].as_mut()?.value(row)?;
        Some(value.to_owned())
    }

    /// The first text column whose value satisfies a keyword.
    fn text_with(&mut self, atom: AtomId, row: usize) -> Option<usize> {
        let PlanAtom::Keyword { test } = &self.plan.atoms[atom as usize] else { return None };
        let texts = self.texts.iter_mut().zip(&mut self.long_texts);
        let of = || self.plan.long_keywords();
        let mut texts = texts.map(|((_, read), answers)| {
            test_value(read, row, (atom, test), (of, answers), (self.scratch, self.stats))
        });
        texts.position(|holds| holds)
    }

    fn evidence(&mut self, expression: &Expression, row: usize) -> Vec<Evidence> {
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
        let (column, predicate) = match &plan.atoms[atom as usize] {
            PlanAtom::Exists { column } => (*column, "exists".to_owned()),
            PlanAtom::Value { column, test } => (*column, test.predicate.to_string()),
            PlanAtom::Keyword { test } => {
                let text = self.text_with(atom, row)?;
                let (name, read) = &mut self.texts[text];
                let (value, _) = read.value(row)?;
                return Some(evidence((*name).into(), value, test.predicate.to_string()));
            }
            PlanAtom::Fields { column, other, place, .. } => {
                (*column, format!("fieldref {} {}", place.word(), plan.columns[*other].name))
            }
        };
        let (value, _) = self.columns[column].as_mut()?.value(row)?;
        Some(evidence(plan.columns[column].name.clone(), value, predicate))
    }
}

fn answers(count: usize) -> Vec<Answers> {
    (0..count).map(|_| Answers::default()).collect()
}

/// Whether `test` holds for a row's value.
fn test_value<'p>(
    read: &mut Read,
    row: usize,
    (atom, test): (AtomId, &Test),
    (of, answers): (impl Fn() -> &'p LongValues, &mut Answers),
    (scratch, stats): (&mut Scratch, &mut Stats),
) -> bool {
    let Some((slot, value, folded)) = read.slot_and_value(row) else { return false };
    if value.len() >= LONG_VALUE_BYTES {
        let (stamps, bytes_read) = (&mut scratch.stamps, &mut stats.bytes_read);
        return answers.holds(of(), (slot, value, folded), (atom, test), stamps, bytes_read);
    }
    stats.bytes_read += test.reads(value);
    test.holds(value, folded)
}

fn evidence(field: Arc<str>, value: &str, predicate: String) -> Evidence {
    Evidence {
        field,
        value: shorten(value, EVIDENCE_CHARS_MAX),
        predicate: shortened(predicate, EVIDENCE_CHARS_MAX),
    }
}

/// Whether keywords are looked for in a text column: in all but our own, of which only the one
/// that holds the event's surplus fields counts, and those in which we name what an event is. Rules mean
/// what the source said: `format` is not in a message because its level is "informational".
fn is_searched(column: &str) -> bool {
    match column.starts_with("yagura.") {
        true => column == columns::OVERFLOW,
        false => !NAMED_BY_US.contains(&column),
    }
}

/// Fields whose values are words of ECS, or of ours, and not of the source. What it said of the same is in
/// its text.
const NAMED_BY_US: [&str; 11] = [
    "event.action",
    "event.category",
    "event.dataset",
    "event.kind",
    "event.module",
    "event.outcome",
    "event.type",
    "log.level",
    "log.syslog.facility.name",
    "log.syslog.severity.name",
    "observer.type",
];

/// The search for candidates, column by column.
struct Search<'a> {
    plan: &'a Plan,
    groups: &'a [Group],
    /// The group of each row.
    rows: &'a [u32],
    /// For each group, whether it looks at the column at hand.
    interested: Vec<bool>,
    /// Whether all groups of the batch do.
    all_interested: bool,
    /// The set of each slot of the column at hand.
    sets: Vec<u32>,
    candidates: Vec<(u32, u32)>,
}

impl Search<'_> {
    /// Notes which groups look at the next column; whether one of those `present` does.
    fn interest(&mut self, present: &[u32], looks: impl Fn(&Group) -> bool) -> bool {
        self.interested.clear();
        self.interested.resize(self.groups.len(), false);
        let mut any = false;
        self.all_interested = true;
        for group in present {
            let looks = looks(&self.groups[*group as usize]);
            self.interested[*group as usize] = looks;
            any |= looks;
            self.all_interested &= looks;
        }
        any
    }

    fn column(
        &mut self,
        cells: Cells,
        matcher: &Matcher,
        memory: &mut Memory,
        (scratch, stats): (&mut Scratch, &mut Stats),
    ) {
        // A column without a dictionary was not expected to repeat itself.
        let repeats = matches!(cells, Cells::Keyword { .. });
        let mut buffer = String::new();
        let mut set_of = |slot: usize, memory: &mut Memory| {
            let text = cells.text(slot, &mut buffer);
            let remember = repeats && matcher.is_slow(text.len());
            memory.set_of(text, remember, matcher, scratch, stats)
        };
        self.sets.clear();
        self.sets.resize(cells.slots(), UNSET);
        if repeats && self.all_interested && cells.slots() <= self.rows.len() {
            // Each distinct value first: mostly none awakens a rule, and the rows need no look.
            let mut nobody = true;
            for (slot, set) in self.sets.iter_mut().enumerate() {
                *set = if cells.has_value(slot) { set_of(slot, memory) } else { NOBODY };
                nobody &= *set == NOBODY;
            }
            if nobody {
                return;
            }
        }
        for (row, group) in (0u32..).zip(self.rows) {
            if !self.interested[*group as usize] {
                continue;
            }
            let Some(slot) = cells.slot(row as usize) else { continue };
            let mut set = self.sets[slot];
            if set == UNSET {
                set = set_of(slot, memory);
                self.sets[slot] = set;
            }
            if set == NOBODY {
                continue;
            }
            let group = &self.groups[*group as usize];
            let rules = memory.rules(set).iter();
            let concerned = rules.filter(|rule| group.has(self.plan.rules[**rule as usize].class));
            self.candidates.extend(concerned.map(|rule| (row, *rule)));
        }
    }
}
