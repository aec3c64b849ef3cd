//! A parsed search expression.

use jiff::tz::TimeZone;
use std::ops::Range;
use yagura_event::UtcMicros;

/// A filter and the commands after it.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Which events.
    pub filter: Filter,
    /// What is done with them, in order.
    pub pipes: Vec<Pipe>,
    /// The text it was read from, for error messages.
    pub text: String,
    /// What `now` means in it.
    pub now: UtcMicros,
    /// The zone of times without one.
    pub zone: TimeZone,
}

/// A condition on an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Every event.
    All,
    /// All of them hold.
    And(Vec<Filter>),
    /// One of them holds.
    Or(Vec<Filter>),
    /// It does not hold. Also true for an event that lacks the field.
    Not(Box<Filter>),
    /// The event's text contains it.
    Text(Pattern),
    /// A field passes a test.
    Field(FieldTest),
}

/// A test of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldTest {
    /// The field, or its label.
    pub name: String,
    /// Where the name stands in the expression.
    pub name_at: Range<usize>,
    /// The test.
    pub test: Test,
    /// Where the value stands.
    pub value_at: Range<usize>,
}

/// What is asked of a field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The event has it.
    Exists,
    /// It matches: equal as a whole; free text contains it.
    Matches(Pattern),
    /// It lies on one side of a value.
    Compare(Compare, String),
    /// It lies in a range.
    Range(Bound, Bound),
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The value; `None` for an open end, written `*`.
    pub value: Option<String>,
    /// Whether the value itself belongs to the range.
    pub inclusive: bool,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What text is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// A word or phrase, literally.
    Literal(String),
    /// With `*` (any characters) and `?` (one).
    Wildcard(String),
    /// A regular expression, without regard to case.
    Regex(String),
}

/// A command after `|`.
#[derive(Debug, Clone, PartialEq)]
pub enum Pipe {
    /// The first rows.
    Head(usize),
    /// The last rows.
    Tail(usize),
    /// Another order: field, whether descending.
    Sort(Vec<(String, Range<usize>, bool)>),
    /// Only these columns.
    Fields(Vec<(String, Range<usize>)>),
    /// A further condition.
    Where(Filter),
    /// One row per group.
    Stats(Vec<Aggregate>, Vec<(String, Range<usize>)>),
    /// The most frequent values of a field.
    Top(usize, String, Range<usize>),
}

/// A number computed over the rows of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// `count`, `dc`, `sum`, `avg`, `min` or `max`.
    pub function: &'static str,
    /// Of which field; `None` for `count()`.
    pub field: Option<(String, Range<usize>)>,
    /// Name of the column.
    pub name: String,
}
