//! From a search expression to DataFusion's expressions.

use crate::ast::{Bound, Compare, Expr, FieldTest, Filter, Pattern, Test};
use crate::error::{Message, ParseError};
use crate::suggest::closest;
use crate::text::{TextCondition, TextFunction};
use crate::time::parse_instant;
use crate::value::{Network, ValueFunction, ValueTest};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr as Condition, ScalarUDF, lit};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::ops::Range;
use yagura_event::{FieldDictionary, FieldType, UtcMicros, columns as envelope};
use yagura_lake::{ColumnKind, DATASET, EVENT_ID, TableColumns};
use yagura_textindex::fold;

/// The column with an event's decoded text.
pub(crate) const MESSAGE: &str = "message";

/// Columns whose values Yagura writes itself, in one spelling: equality can use the statistics of
/// files and row groups.
const EXACT: [&str; 3] = ["event.code", DATASET, envelope::STREAM];

/// What a field is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Column(ColumnKind),
    /// A computed number, with decimals.
    Number,
    Id,
    /// Known by the dictionary, but no event has it yet.
    Absent,
}

/// Plans one expression; remembers which columns it needs.
pub(crate) struct Planner<'a> {
    expr: &'a Expr,
    columns: &'a TableColumns,
    dictionary: &'a FieldDictionary,
    /// All columns there are, once a command chose them: such as `n` of `count() as n`.
    pub(crate) made: Option<Vec<(String, Kind)>>,
    /// Columns that commands added to those of the table.
    pub(crate) added: Vec<(String, Kind)>,
    /// Columns of the table that are needed.
    pub(crate) needed: BTreeSet<String>,
    /// Whether fields no event has yet may turn up (events that are still to come).
    live: bool,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        expr: &'a Expr,
        columns: &'a TableColumns,
        dictionary: &'a FieldDictionary,
        live: bool,
    ) -> Self {
        let (added, needed) = (Vec::new(), BTreeSet::new());
        Planner { expr, columns, dictionary, made: None, added, needed, live }
    }

    /// The columns of the table.
    pub(crate) fn columns(&self) -> &'a TableColumns {
        self.columns
    }

    /// The fields that are known.
    pub(crate) fn dictionary(&self) -> &'a FieldDictionary {
        self.dictionary
    }

    /// The expression.
    pub(crate) fn expr(&self) -> &'a Expr {
        self.expr
    }

    /// Whether the rows have a column of this very name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let is = |columns: &[(String, Kind)]| columns.iter().any(|(other, _)| other == name);
        match &self.made {
            Some(made) => is(made),
            None => {
                is(&self.added)
                    || [EVENT_ID, DATASET].contains(&name)
                    || self.columns.get(name).is_some()
            }
        }
    }

    /// The zone of the search.
    pub(crate) fn zone(&self) -> TimeZone {
        self.expr.zone.clone()
    }

    /// Notes a column that a command makes, instead of one that was called so.
    pub(crate) fn add(&mut self, name: &str, kind: Kind) {
        let columns = self.made.as_mut().unwrap_or(&mut self.added);
        columns.retain(|(other, _)| other != name);
        columns.push((name.to_owned(), kind));
    }

    /// Finds a field by name or label.
    pub(crate) fn resolve(
        &mut self,
        typed: &str,
        at: &Range<usize>,
    ) -> Result<(String, Kind), ParseError> {
        if let Some(found) = self.find(typed) {
            return Ok(found);
        }
        // Looking for what was meant takes longer than everything else.
        if let Some(made) = &self.made {
            return Err(unknown(self.expr, typed, at, made.iter().map(|(name, _)| name.as_str())));
        }
        let known = self.columns.iter().map(|column| &*column.name);
        let listed = self.dictionary.fields().map(|field| field.name.as_str());
        Err(unknown(self.expr, typed, at, known.chain(listed).chain([DATASET])))
    }

    /// [`Planner::resolve`] for whoever goes on without the field.
    pub(crate) fn find(&mut self, typed: &str) -> Option<(String, Kind)> {
        let there = self.made.as_ref().unwrap_or(&self.added);
        let found = there.iter().find(|(name, _)| name == typed);
        let found = found.or_else(|| there.iter().find(|(name, _)| *fold(name) == *fold(typed)));
        if let Some((name, kind)) = found {
            return Some((name.clone(), *kind));
        }
        if let Some(made) = &self.made {
            // A field that the table knows by its label may have been kept under its name.
            let known = self.known_name(typed);
            let kept = made.iter().find(|(name, _)| Some(name) == known.as_ref());
            return kept.map(|(name, kind)| (name.clone(), *kind));
        }
        let name = self.known_name(typed)?;
        let kind = if name == EVENT_ID {
            Kind::Id
        } else if name == DATASET {
            Kind::Column(ColumnKind::Keyword)
        } else {
            match self.columns.get(&name) {
                Some(column) => Kind::Column(column.kind),
                None if self.live => Kind::Column(kind_of(self.dictionary.field_type(&name))),
                None => Kind::Absent,
            }
        };
        if kind == Kind::Id {
            self.needed
                .extend([envelope::STREAM, envelope::BATCH, envelope::INDEX].map(str::to_owned));
        }
        if kind != Kind::Absent {
            self.needed.insert(name.clone());
        }
        Some((name, kind))
    }

    /// What a column of the table holds.
    pub(crate) fn kind(&self, name: &str) -> Option<ColumnKind> {
        self.columns.get(name).map(|column| column.kind)
    }

    pub(crate) fn known_name(&self, typed: &str) -> Option<String> {
        let exact = |name: &str| {
            name == EVENT_ID
                || name == DATASET
                || self.columns.get(name).is_some()
                || self.dictionary.field(name).is_some_and(|field| field.shared)
        };
        if exact(typed) {
            return Some(typed.to_owned());
        }
        // A label, or a name in another case; the native name of a source that sent nothing yet is
        // asked for last.
        let folded = fold(typed);
        let mut fields = self.dictionary.fields_as_listed();
        let field = fields.find(|field| {
            [&field.ja, &field.en, &field.name].iter().any(|label| *fold(label) == *folded)
        });
        let mut columns = self.columns.iter();
        field.map(|field| field.name.clone()).or_else(|| {
            columns
                .find(|column| *fold(&column.name) == *folded)
                .map(|column| column.name.to_string())
        })
    }

    /// The condition of a filter. `negated`: somewhere under NOT, where null must count as false.
    pub(crate) fn filter(
        &mut self,
        filter: &Filter,
        negated: bool,
    ) -> Result<Condition, ParseError> {
        if self.made.is_none()
            && let Some(text) = text_only(filter)
        {
            return self.text(text);
        }
        match filter {
            Filter::All => Ok(lit(true)),
            Filter::Text(_) => Err(self.error(
                &(0..0),
                "集計の後では語を検索できません。項目:値 と書いてください。",
                "after an aggregation there is no text to search; write field:value",
            )),
            Filter::Not(inner) => Ok(Condition::Not(Box::new(self.filter(inner, true)?))),
            Filter::Field(test) => {
                let condition = self.field(test)?;
                Ok(if negated { Condition::IsTrue(Box::new(condition)) } else { condition })
            }
            Filter::And(list) => {
                Ok(balanced(self.parts(list, negated, TextCondition::And)?, Condition::and))
            }
            Filter::Or(list) => {
                Ok(balanced(self.parts(list, negated, TextCondition::Or)?, Condition::or))
            }
        }
    }

    /// The parts of an AND or OR; those on the text alone as one, last because it is dearest.
    fn parts(
        &mut self,
        list: &[Filter],
        negated: bool,
        join: fn(Vec<TextCondition>) -> TextCondition,
    ) -> Result<Vec<Condition>, ParseError> {
        let mut conditions = Vec::with_capacity(list.len());
        let mut texts = Vec::new();
        for part in list {
            match text_only(part) {
                Some(text) if self.made.is_none() => texts.push(text),
                _ => conditions.push(self.filter(part, negated)?),
            }
        }
        if !texts.is_empty() {
            conditions.push(self.text(join(texts))?);
        }
        Ok(conditions)
    }

    fn text(&mut self, condition: TextCondition) -> Result<Condition, ParseError> {
        self.needed.insert(envelope::ORIGINAL.to_owned());
        let mut columns = vec![column(envelope::ORIGINAL)];
        if self.columns.get(MESSAGE).is_some() || self.live {
            self.needed.insert(MESSAGE.to_owned());
            columns.push(column(MESSAGE));
        }
        let function =
            TextFunction::new(condition).map_err(|error| self.bad_regex(&(0..0), &error))?;
        Ok(ScalarUDF::from(function).call(columns))
    }

    fn field(&mut self, field: &FieldTest) -> Result<Condition, ParseError> {
        let (name, kind) = self.resolve(&field.name, &field.name_at)?;
        let target = column(&name);
        let kind = match kind {
            Kind::Absent => return Ok(lit(false)),
            Kind::Id if self.made.is_none() => return self.event_id(field),
            Kind::Id => ColumnKind::Keyword,
            Kind::Number => return self.number(field, target),
            Kind::Column(kind) => kind,
        };
        match (&field.test, kind) {
            (Test::Exists, _) => Ok(Condition::IsNotNull(Box::new(target))),
            (_, ColumnKind::Date) => self.date(field, target),
            (_, ColumnKind::Long) => self.long(field, target),
            (Test::Matches(pattern), ColumnKind::Binary) => {
                let function = TextFunction::new(TextCondition::Contains(pattern.clone()))
                    .map_err(|error| self.bad_regex(&field.value_at, &error))?;
                Ok(ScalarUDF::from(function).call(vec![target]))
            }
            (Test::Matches(Pattern::Literal(value)), _)
                if EXACT.contains(&name.as_str()) && value.is_ascii() =>
            {
                Ok(target.eq(keyword(&exact_spelling(&name, value))))
            }
            (Test::Matches(pattern), ColumnKind::Text) => {
                self.value(field, target, ValueTest::Contains(pattern.clone()))
            }
            (Test::Matches(pattern), _) => {
                let network = match pattern {
                    Pattern::Literal(value) => Network::parse(value),
                    _ => None,
                };
                let test = network.map_or(ValueTest::Whole(pattern.clone()), ValueTest::Network);
                self.value(field, target, test)
            }
            (Test::Compare(compare, value), _) => {
                self.value(field, target, ValueTest::compare(*compare, value))
            }
            (Test::Range(low, high), _) => {
                self.value(field, target, ValueTest::Within(low.clone(), high.clone()))
            }
        }
    }

    fn value(
        &self,
        field: &FieldTest,
        target: Condition,
        test: ValueTest,
    ) -> Result<Condition, ParseError> {
        let function =
            ValueFunction::new(test).map_err(|error| self.bad_regex(&field.value_at, &error))?;
        Ok(ScalarUDF::from(function).call(vec![target]))
    }

    /// A computed number: a literal means that number, however it is spelt.
    fn number(&self, field: &FieldTest, target: Condition) -> Result<Condition, ParseError> {
        let test = match &field.test {
            Test::Exists => return Ok(Condition::IsNotNull(Box::new(target))),
            Test::Matches(Pattern::Literal(value)) => {
                let bound = || Bound { value: Some(value.clone()), inclusive: true };
                ValueTest::Within(bound(), bound())
            }
            Test::Matches(pattern) => ValueTest::Whole(pattern.clone()),
            Test::Compare(compare, value) => ValueTest::compare(*compare, value),
            Test::Range(low, high) => ValueTest::Within(low.clone(), high.clone()),
        };
        self.value(field, target, test)
    }

    fn long(&self, field: &FieldTest, target: Condition) -> Result<Condition, ParseError> {
        let number = |text: &str| -> Result<Condition, ParseError> {
            fold(text).parse::<i64>().map(lit).map_err(|_| {
                self.error(
                    &field.value_at,
                    format!("{} は数の項目です。整数を書いてください。", field.name),
                    format!("{} is a number; write an integer", field.name),
                )
            })
        };
        Ok(match &field.test {
            Test::Matches(Pattern::Literal(value)) => target.eq(number(value)?),
            Test::Compare(compare, value) => compared(target, *compare, number(value)?),
            Test::Range(low, high) => {
                let mut conditions = Vec::new();
                if let Some(value) = &low.value {
                    conditions.push(compared(target.clone(), above(low.inclusive), number(value)?));
                }
                if let Some(value) = &high.value {
                    conditions.push(compared(target, below(high.inclusive), number(value)?));
                }
                balanced(conditions, Condition::and)
            }
            Test::Matches(pattern) => {
                self.value(field, target, ValueTest::Whole(pattern.clone()))?
            }
            Test::Exists => Condition::IsNotNull(Box::new(target)),
        })
    }

    fn date(&self, field: &FieldTest, target: Condition) -> Result<Condition, ParseError> {
        let instant = |text: &str| {
            parse_instant(&fold(text).to_uppercase().replace("NOW", "now"), self.expr.now, &self.expr.zone)
                .or_else(|| parse_instant(text, self.expr.now, &self.expr.zone))
                .ok_or_else(|| {
                    self.error(
                        &field.value_at,
                        "時刻として読めません。2026-11-21、2026-11-21T10:30、now-15m のように書きます。",
                        "not a time; write 2026-11-21, 2026-11-21T10:30 or now-15m",
                    )
                })
        };
        // A day as a bound means all of it: `> day` begins after it, `<= day` ends with it.
        let one_sided = |compare: Compare, text: &str| -> Result<Condition, ParseError> {
            let (from, to) = instant(text)?;
            Ok(match compare {
                Compare::Greater => target.clone().gt_eq(timestamp(to)),
                Compare::GreaterOrEqual => target.clone().gt_eq(timestamp(from)),
                Compare::Less => target.clone().lt(timestamp(from)),
                Compare::LessOrEqual => target.clone().lt(timestamp(to)),
            })
        };
        match &field.test {
            Test::Matches(Pattern::Literal(text)) => {
                let (from, to) = instant(text)?;
                let from = target.clone().gt_eq(timestamp(from));
                Ok(from.and(target.clone().lt(timestamp(to))))
            }
            Test::Compare(compare, text) => one_sided(*compare, text),
            Test::Range(low, high) => {
                let mut conditions = Vec::new();
                if let Some(text) = &low.value {
                    conditions.push(one_sided(above(low.inclusive), text)?);
                }
                if let Some(text) = &high.value {
                    conditions.push(one_sided(below(high.inclusive), text)?);
                }
                Ok(balanced(conditions, Condition::and))
            }
            _ => Err(self.error(
                &field.value_at,
                "時刻の項目には時刻か範囲を書いてください。",
                "this field is a time; write a time or a range",
            )),
        }
    }

    /// An event by its id: the place it names, so that files without it are not read.
    fn event_id(&self, field: &FieldTest) -> Result<Condition, ParseError> {
        if field.test == Test::Exists {
            return Ok(lit(true));
        }
        let id: Option<yagura_event::EventId> = match &field.test {
            Test::Matches(Pattern::Literal(text)) => text.parse().ok(),
            _ => None,
        };
        let id = id.ok_or_else(|| {
            self.error(
                &field.value_at,
                "イベント ID は stream/batch/index の形です（例: syslog/42/7）。",
                "an event id is stream/batch/index, such as syslog/42/7",
            )
        })?;
        Ok(one_event(&id))
    }

    fn bad_regex(&self, at: &Range<usize>, error: &regex::Error) -> ParseError {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "too large".to_owned(),
            // The last line says what is wrong; the ones before draw the expression.
            other => other.to_string().lines().last().unwrap_or_default().to_owned(),
        };
        self.error(
            at,
            format!("正規表現として使えません（{reason}）。"),
            format!("this regular expression cannot be used: {reason}"),
        )
    }

    pub(crate) fn error(
        &self,
        at: &Range<usize>,
        ja: impl Into<String>,
        en: impl Into<String>,
    ) -> ParseError {
        let whole = 0..self.expr.text.len();
        let at = if at.is_empty() { whole } else { at.clone() };
        ParseError::new(&self.expr.text, at, Message::new(ja, en))
    }
}

/// The events whose batch and index are these.
pub(crate) fn one_event(id: &yagura_event::EventId) -> Condition {
    let batch = i64::try_from(id.batch).unwrap_or(-1);
    column(envelope::BATCH)
        .eq(lit(batch))
        .and(column(envelope::INDEX).eq(lit(i64::from(id.index))))
        .and(column(envelope::STREAM).eq(keyword(id.stream.as_str())))
}

fn unknown<'n>(
    expr: &Expr,
    typed: &str,
    at: &Range<usize>,
    known: impl Iterator<Item = &'n str>,
) -> ParseError {
    let quoted = expr.text.get(at.start..).unwrap_or_default();
    let quoted: String = quoted.chars().take_while(|c| !c.is_whitespace()).take(40).collect();
    let (ja, en) = match closest(typed, known) {
        Some(meant) => (format!("{meant} のことでしょうか。"), format!("did you mean {meant}? ")),
        None => (String::new(), String::new()),
    };
    ParseError::new(
        &expr.text,
        at.clone(),
        Message::new(
            format!(
                "項目 {typed} はありません。{ja}文字列として探すなら \"{quoted}\" と書きます。"
            ),
            format!("there is no field {typed}; {en}to search the text, write \"{quoted}\""),
        ),
    )
}

/// The filter as a condition on the text, if it asks for nothing else.
fn text_only(filter: &Filter) -> Option<TextCondition> {
    let all = |list: &[Filter]| list.iter().map(text_only).collect::<Option<Vec<_>>>();
    match filter {
        Filter::Text(pattern) => Some(TextCondition::Contains(pattern.clone())),
        Filter::And(list) => all(list).map(TextCondition::And),
        Filter::Or(list) => all(list).map(TextCondition::Or),
        Filter::Not(inner) => text_only(inner).map(|inner| TextCondition::Not(Box::new(inner))),
        Filter::All | Filter::Field(_) => None,
    }
}

/// Joins conditions as a shallow tree: the planner recurses over it.
fn balanced(mut list: Vec<Condition>, join: fn(Condition, Condition) -> Condition) -> Condition {
    if list.len() > 1 {
        let right = list.split_off(list.len() / 2);
        return join(balanced(list, join), balanced(right, join));
    }
    list.pop().unwrap_or_else(|| lit(true))
}

fn compared(target: Condition, compare: Compare, value: Condition) -> Condition {
    match compare {
        Compare::Less => target.lt(value),
        Compare::LessOrEqual => target.lt_eq(value),
        Compare::Greater => target.gt(value),
        Compare::GreaterOrEqual => target.gt_eq(value),
    }
}

fn above(inclusive: bool) -> Compare {
    if inclusive { Compare::GreaterOrEqual } else { Compare::Greater }
}

fn below(inclusive: bool) -> Compare {
    if inclusive { Compare::LessOrEqual } else { Compare::Less }
}

/// A column by its name, dots and all.
pub(crate) fn column(name: &str) -> Condition {
    Condition::Column(Column::new_unqualified(name))
}

/// A value of a keyword column.
fn keyword(value: &str) -> Condition {
    lit(ScalarValue::Dictionary(
        Box::new(arrow::datatypes::DataType::Int32),
        Box::new(ScalarValue::Utf8(Some(value.to_owned()))),
    ))
}

fn exact_spelling(name: &str, value: &str) -> String {
    if name == "event.code" { value.to_owned() } else { value.to_ascii_lowercase() }
}

/// An instant of a date column.
pub(crate) fn timestamp(at: UtcMicros) -> Condition {
    lit(ScalarValue::TimestampMicrosecond(Some(at.as_micros()), Some("UTC".into())))
}

fn kind_of(field_type: FieldType) -> ColumnKind {
    match field_type {
        FieldType::Text => ColumnKind::Text,
        FieldType::Long => ColumnKind::Long,
        FieldType::Date => ColumnKind::Date,
        FieldType::Binary => ColumnKind::Binary,
        _ => ColumnKind::Keyword,
    }
}
