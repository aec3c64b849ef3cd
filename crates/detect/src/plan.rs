//! All rules that concern one dataset, arranged for matching.

use crate::anchor::{anchor, rarity_of_text};
use crate::bits::Bits;
use crate::expression::{AtomId, Expression};
use crate::group::{Admission, GATES_MAX, Gates, necessary_values};
use crate::item::{Atom, AtomTable};
use crate::limits::GATE_FIELDS_MAX;
use crate::literal::required_literals;
use crate::long::LongValues;
use crate::matcher::Matcher;
use crate::predicate::{Place, Predicate, Test, Token};
use crate::program::{Guess, Program};
use crate::rule::RuleInfo;
use crate::ruleset::CompiledRule;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use yagura_event::FieldDictionary;

/// Columns that say what kind of event a row is. They group rows and never anchor a rule.
const KIND_COLUMNS: [&str; 2] = ["event.code", "winlog.channel"];

const _: () = assert!(GATE_FIELDS_MAX + KIND_COLUMNS.len() <= GATES_MAX);

/// A dataset's rules.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<PlanColumn>,
    column_ids: HashMap<Box<str>, usize>,
    /// Predicates about any text column.
    pub(crate) keywords: Keywords,
    pub(crate) atoms: Vec<PlanAtom>,
    pub(crate) rules: Vec<PlanRule>,
    /// Rules without an anchor: looked at for every row of their groups.
    pub(crate) always: Vec<u32>,
    pub(crate) gates: Gates,
    /// The different admissions of rules; a rule's class is its number.
    pub(crate) classes: Vec<Arc<Admission>>,
}

/// A column that some rule looks at.
#[derive(Debug)]
pub(crate) struct PlanColumn {
    pub(crate) name: Arc<str>,
    /// Anchors of rules.
    pub(crate) matcher: Matcher,
    /// Classes of the rules that wait here.
    pub(crate) classes: Bits,
    long: OnceLock<LongValues>,
}

/// Predicates that look at every text column.
#[derive(Debug)]
pub(crate) struct Keywords {
    /// Whether there are any.
    any: bool,
    /// Those that are anchors.
    pub(crate) matcher: Matcher,
    /// Classes of the rules that wait for one.
    pub(crate) classes: Bits,
    long: OnceLock<LongValues>,
}

impl Keywords {
    /// Whether no rule looks for keywords.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any
    }
}

/// An atom, its fields resolved to columns.
#[derive(Debug, Clone)]
pub(crate) enum PlanAtom {
    Exists { column: usize },
    Value { column: usize, test: Arc<Test> },
    Keyword { test: Arc<Test> },
    Fields { column: usize, other: usize, place: Place, cased: bool },
}

/// A rule as this dataset sees it.
#[derive(Debug)]
pub(crate) struct PlanRule {
    pub(crate) info: Arc<RuleInfo>,
    pub(crate) expression: Expression,
    /// The same, to be answered fast, where it can be.
    pub(crate) program: Option<Program>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) class: u32,
}

impl Plan {
    pub(crate) fn new(
        dataset: &str,
        rules: &[CompiledRule],
        table: &AtomTable,
        dictionary: &FieldDictionary,
    ) -> Plan {
        let mut builder = Builder {
            dataset,
            table,
            dictionary,
            atom_ids: HashMap::new(),
            value_ids: HashMap::new(),
            atoms: Vec::new(),
            columns: Vec::new(),
            column_ids: HashMap::new(),
        };
        let mut gates = Gates::default();
        let mut plan_rules: Vec<PlanRule> = Vec::new();
        let mut classes = Classes::default();
        // For each atom that is an anchor, the rules that wait for it.
        let mut anchored: BTreeMap<AtomId, Vec<u32>> = BTreeMap::new();
        let mut always = Vec::new();
        for rule in rules {
            if !rule.clauses.iter().any(|clause| clause.covers(dataset)) {
                continue;
            }
            let expression = rule.expression.map(&mut |atom| builder.atom(atom));
            let (admission, class) = classes.of(builder.admission(rule, &expression, &mut gates));
            // Proof: rules are limited to fewer than 2^32.
            let number = u32::try_from(plan_rules.len()).unwrap_or(u32::MAX);
            let chosen = anchor(&expression, &|atom| builder.rarity(atom));
            let anchors = chosen.map(|chosen| chosen.atoms).unwrap_or_default();
            for atom in &anchors {
                anchored.entry(*atom).or_default().push(number);
            }
            if anchors.is_empty() {
                always.push(number);
            }
            let guess = |atom| builder.guess(atom, anchors.binary_search(&atom).is_ok());
            let program = Program::new(&expression, &guess);
            let info = rule.info.clone();
            plan_rules.push(PlanRule { info, expression, program, admission, class });
        }
        builder.finish(plan_rules, anchored, always, gates, classes)
    }

    /// What a column's predicates look for in long values; made when the first is met.
    pub(crate) fn long_values(&self, column: usize) -> &LongValues {
        self.columns[column].long.get_or_init(|| {
            let atoms = (0..).zip(&self.atoms);
            LongValues::new(atoms.filter_map(|(number, atom)| match atom {
                PlanAtom::Value { column: of, test } if *of == column => Some((number, test)),
                _ => None,
            }))
        })
    }

    /// The same of keywords.
    pub(crate) fn long_keywords(&self) -> &LongValues {
        self.keywords.long.get_or_init(|| {
            let atoms = (0..).zip(&self.atoms);
            LongValues::new(atoms.filter_map(|(number, atom)| match atom {
                PlanAtom::Keyword { test } => Some((number, test)),
                _ => None,
            }))
        })
    }

    /// The plan's number for a column of a batch.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.column_ids.get(name).copied()
    }
}

struct Builder<'a> {
    dataset: &'a str,
    table: &'a AtomTable,
    dictionary: &'a FieldDictionary,
    /// From the rule set's atoms to the plan's.
    atom_ids: HashMap<AtomId, AtomId>,
    /// From column and test to the plan's atom.
    value_ids: HashMap<(usize, usize), AtomId>,
    atoms: Vec<PlanAtom>,
    columns: Vec<Arc<str>>,
    column_ids: HashMap<Box<str>, usize>,
}

impl Builder<'_> {
    fn column(&mut self, field: &str) -> usize {
        let name = self.dictionary.sigma_column(self.dataset, field);
        if let Some(column) = self.column_ids.get(name.as_ref()) {
            return *column;
        }
        self.columns.push(name.as_ref().into());
        self.column_ids.insert(name.as_ref().into(), self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// The plan's atom for one of the rule set. Two names of one column make one atom.
    fn atom(&mut self, id: AtomId) -> AtomId {
        if let Some(known) = self.atom_ids.get(&id) {
            return *known;
        }
        let table = self.table;
        // Proof: as in `AtomTable`.
        let next = u32::try_from(self.atoms.len()).unwrap_or(u32::MAX);
        let (atom, known) = match &table.atoms[id as usize] {
            Atom::Value { field: None, test } => {
                (PlanAtom::Keyword { test: table.tests[*test].clone() }, next)
            }
            Atom::Value { field: Some(field), test: number } => {
                let column = self.column(field);
                let test = table.tests[*number].clone();
                let atom = match test.predicate {
                    Predicate::Exists => PlanAtom::Exists { column },
                    _ => PlanAtom::Value { column, test },
                };
                (atom, *self.value_ids.entry((column, *number)).or_insert(next))
            }
            Atom::Fields { field, other, place, cased } => {
                let (column, other) = (self.column(field), self.column(other));
                (PlanAtom::Fields { column, other, place: *place, cased: *cased }, next)
            }
        };
        if known == next {
            self.atoms.push(atom);
        }
        self.atom_ids.insert(id, known);
        known
    }

    /// Which rows `rule` concerns.
    fn admission(
        &self,
        rule: &CompiledRule,
        expression: &Expression,
        gates: &mut Gates,
    ) -> Admission {
        let mut necessary = BTreeMap::new();
        for kind in KIND_COLUMNS {
            let equals = |atom: AtomId| self.equals(kind, atom);
            if let Some(values) = necessary_values(expression, &equals) {
                necessary.insert(kind.to_owned(), values);
            }
        }
        let mut admission = Admission::default();
        for clause in rule.clauses.iter().filter(|clause| clause.covers(self.dataset)) {
            let mut conditions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (field, values) in &clause.fields {
                let column = self.dictionary.sigma_column(self.dataset, field).into_owned();
                let values = values.iter().map(|value| crate::text::fold(value).into_owned());
                conditions.insert(column, values.collect());
            }
            for (kind, values) in &necessary {
                match conditions.get_mut(kind) {
                    Some(already) => already.retain(|value| values.contains(value)),
                    None => {
                        conditions.insert(kind.clone(), values.clone());
                    }
                }
            }
            let conditions = conditions.iter().map(|(column, values)| (column.as_str(), values));
            gates.admit(&mut admission, conditions);
        }
        admission
    }

    /// The folded value that `atom` asks of column `kind`, if that is what it does.
    fn equals(&self, kind: &str, atom: AtomId) -> Option<String> {
        let PlanAtom::Value { column, test } = &self.atoms[atom as usize] else { return None };
        match &test.predicate {
            Predicate::Text { place: Place::Equals, text, .. }
                if &*self.columns[*column] == kind =>
            {
                Some(crate::text::fold(text).into_owned())
            }
            _ => None,
        }
    }

    /// How rare an atom is among the events of this dataset; `None` when it must not anchor.
    fn rarity(&self, atom: AtomId) -> Option<f32> {
        match &self.atoms[atom as usize] {
            PlanAtom::Exists { .. } | PlanAtom::Fields { .. } => None,
            PlanAtom::Keyword { test } => test.rarity(rarity_of).map(|rarity| rarity - 1.0),
            PlanAtom::Value { column, test } => {
                let name = &*self.columns[*column];
                if KIND_COLUMNS.contains(&name) {
                    return None;
                }
                let rarity = test.rarity(rarity_of)?;
                // Providers name whole families of events.
                Some(if name == "winlog.provider_name" { rarity.min(0.6) } else { rarity })
            }
        }
    }

    /// What to expect of an atom of a rule that is looked at because one of its anchors holds.
    fn guess(&self, atom: AtomId, is_anchor: bool) -> Guess {
        let cost = match &self.atoms[atom as usize] {
            PlanAtom::Exists { .. } => return Guess { cost: 1.0, likely: 0.8 },
            // Goes through every text of the event.
            PlanAtom::Keyword { .. } => 400.0,
            PlanAtom::Fields { .. } => return Guess { cost: 16.0, likely: 0.2 },
            PlanAtom::Value { column, test } => {
                let cost = test.cost();
                if KIND_COLUMNS.contains(&&*self.columns[*column]) {
                    // What kind of event it is has been asked already.
                    return Guess { cost, likely: 0.99 };
                }
                cost
            }
        };
        let likely = match (is_anchor, self.rarity(atom)) {
            (true, _) => 0.9,
            (false, Some(rarity)) => 1.0 / (1.5 + rarity),
            (false, None) => 0.3,
        };
        Guess { cost, likely }
    }

    fn finish(
        self,
        rules: Vec<PlanRule>,
        anchored: BTreeMap<AtomId, Vec<u32>>,
        always: Vec<u32>,
        gates: Gates,
        classes: Classes,
    ) -> Plan {
        let mut by_column: Vec<Anchors> = self.columns.iter().map(|_| Anchors::default()).collect();
        let mut keywords = Anchors::default();
        for (atom, waiting) in anchored {
            let (anchors, test) = match &self.atoms[atom as usize] {
                PlanAtom::Value { column, test } => (&mut by_column[*column], test),
                PlanAtom::Keyword { test } => (&mut keywords, test),
                // They have no rarity and so are no anchors.
                PlanAtom::Exists { .. } | PlanAtom::Fields { .. } => continue,
            };
            waiting.iter().for_each(|rule| anchors.classes.set(rules[*rule as usize].class));
            anchors.tests.push((test.clone(), waiting));
        }
        let columns = self.columns.into_iter().zip(by_column);
        let columns = columns.map(|(name, anchors)| {
            let matcher = Matcher::new(anchors.tests);
            PlanColumn { name, matcher, classes: anchors.classes, long: OnceLock::new() }
        });
        let keywords = Keywords {
            any: self.atoms.iter().any(|atom| matches!(atom, PlanAtom::Keyword { .. })),
            matcher: Matcher::new(keywords.tests),
            classes: keywords.classes,
            long: OnceLock::new(),
        };
        Plan {
            columns: columns.collect(),
            column_ids: self.column_ids,
            keywords,
            atoms: self.atoms,
            rules,
            always,
            gates,
            classes: classes.all,
        }
    }
}

/// Anchors of one column.
#[derive(Default)]
struct Anchors {
    tests: Vec<(Arc<Test>, Vec<u32>)>,
    classes: Bits,
}

/// Admissions, each once.
#[derive(Default)]
struct Classes {
    all: Vec<Arc<Admission>>,
    numbers: HashMap<Arc<Admission>, u32>,
}

impl Classes {
    fn of(&mut self, admission: Admission) -> (Arc<Admission>, u32) {
        if let Some((known, number)) = self.numbers.get_key_value(&admission) {
            return (known.clone(), *number);
        }
        let admission = Arc::new(admission);
        // Proof: no more than there are rules.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(admission.clone());
        self.numbers.insert(admission.clone(), number);
        (admission, number)
    }
}

fn rarity_of(predicate: &Predicate) -> Option<f32> {
    Some(match predicate {
        Predicate::Exists => return None,
        Predicate::Text { place: Place::Equals, text, .. } => {
            let text = crate::text::fold(text);
            // Codes and flags have few values.
            match text.bytes().all(|byte| byte.is_ascii_digit()) {
                true => 1.0 + 0.3 * text.len() as f32,
                false => rarity_of_text(&text, true),
            }
        }
        Predicate::Text { place, text, .. } => {
            let bonus = if *place == Place::Contains { 0.0 } else { 1.0 };
            bonus + rarity_of_text(&crate::text::fold(text), false)
        }
        Predicate::Like { tokens, .. } => {
            let literals = tokens.iter().filter_map(|token| match token {
                Token::Literal(text) => Some(rarity_of_text(&crate::text::fold(text), false)),
                _ => None,
            });
            literals.fold(0.2, f32::max)
        }
        Predicate::Regex(source) => match required_literals(source) {
            Some(texts) => {
                let rarities = texts.iter().map(|text| rarity_of_text(text, false));
                rarities.fold(f32::INFINITY, f32::min)
            }
            None => 0.2,
        },
        Predicate::Number { .. } => 0.3,
        Predicate::Cidr(_) => 1.0,
    })
}
