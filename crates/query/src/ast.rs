//! A parsed search expression.

use jiff::tz::TimeZone;
use std::ops::Range;
use yagura_event::UtcMicros;

/// A filter and the commands after it.
#[derive(Debug, Clone, PartialEq)]
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

impl Expr {
    /// Whether the answer is a table of its own columns rather than a list of events.
    pub fn makes_table(&self) -> bool {
        self.pipes.iter().any(|pipe| {
            !matches!(
                pipe,
                Pipe::Head(_) | Pipe::Tail(_) | Pipe::Sort(_) | Pipe::Where(_) | Pipe::Dedup(..)
            )
        })
    }
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

/// A field, or its label, and where it stands in the expression.
pub type Named = (String, Range<usize>);

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
    Fields(Vec<Named>),
    /// A further condition.
    Where(Filter),
    /// One row per group.
    Stats(Vec<Aggregate>, Vec<Named>),
    /// The most frequent values of a field.
    Top(usize, Named),
    /// The least frequent values of a field.
    Rare(usize, Named),
    /// At most so many rows of each combination of values, the first ones.
    Dedup(usize, Vec<Named>),
    /// One row per stretch of time and group.
    Timechart(Bin, Vec<Aggregate>, Vec<Named>),
    /// The values of a field rounded down to the start of their bin, under this name.
    Bin(Named, Bin, String),
    /// A new column, computed.
    Eval(String, Range<usize>, Compute),
    /// Other names for columns: old, new.
    Rename(Vec<(Named, String)>),
    /// One row per session: rows of the same values that follow each other within the pause.
    Transaction {
        /// Fields whose values a session shares.
        by: Vec<Named>,
        /// Longest pause within a session, in microseconds.
        pause_micros: i64,
    },
    /// Columns of another search, beside the rows whose keys it has.
    Join(Box<Join>),
    /// Columns of a list that the searcher is given.
    Lookup(Lookup),
    /// The events put together into acts; where the word stands.
    Act(Range<usize>),
}

/// Another search whose columns stand beside the rows of this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Fields that both have; the values of all of them must be the same.
    pub keys: Vec<Named>,
    /// What becomes of a row for which the other search has none.
    pub kind: JoinKind,
    /// The other search, asked of the same time. Its text is that of the whole expression.
    pub search: Expr,
    /// Where it stands, brackets and all.
    pub at: Range<usize>,
}

/// What becomes of a row without its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// It goes.
    Inner,
    /// It stays, without the other columns.
    Left,
}

/// A list that is asked for what belongs to a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The list.
    pub list: Named,
    /// Its column that is compared.
    pub key: Named,
    /// The field of the events that it is compared with.
    pub field: Named,
    /// Its columns that are wanted, and what they are called then; empty for all but the key.
    pub output: Vec<(Named, String)>,
}

/// How wide a bin is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bin {
    /// Microseconds, counted from midnight of the zone where they divide a day.
    Micros(i64),
    /// Calendar days of the zone.
    Days(i64),
    /// Calendar weeks of the zone, from Monday.
    Week,
    /// Calendar months of the zone.
    Month,
    /// Numbers of this width.
    Number(f64),
}

/// A number or text computed over the rows of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// Of which field; `None` for `count()`.
    pub field: Option<Named>,
    /// Name of the column.
    pub name: String,
}

/// What an aggregate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Rows, or rows that have the field.
    Count,
    /// Distinct values.
    Distinct,
    /// The sum of the numbers.
    Sum,
    /// Their mean.
    Average,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The number below which this many of a hundred lie: the median exactly, others estimated by
    /// a t-digest.
    Percentile(u8),
    /// The standard deviation of the sample.
    Deviation,
    /// The value of the row that comes first in time.
    First,
    /// The value of the row that comes last in time.
    Last,
    /// The distinct values in order, joined with commas.
    Values,
}

/// A computation of `eval`.
#[derive(Debug, Clone, PartialEq)]
pub enum Compute {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// The value of a field.
    Field(Named),
    /// `a + b`, `a and b`, `a < b`.
    Binary(Operation, Box<Compute>, Box<Compute>, Range<usize>),
    /// `-a`.
    Negative(Box<Compute>),
    /// `not a`.
    Not(Box<Compute>),
    /// `name(a, b)`.
    Call(&'static str, Vec<Compute>, Range<usize>),
}

/// What stands between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`, `<=`, `>`, `>=`
    Compare(Compare),
    /// `and`
    And,
    /// `or`
    Or,
}
