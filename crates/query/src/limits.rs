//! Named limits of queries. Every one has a test at the limit and one past it.

/// Longest search expression or SQL statement, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Deepest nesting of parentheses and negations in a search expression.
pub const DEPTH_MAX: usize = 64;

/// Most terms in a search expression.
pub const TERMS_MAX: usize = 256;

/// Most commands after the filter.
pub const PIPES_MAX: usize = 32;

/// Largest compiled regular expression or wildcard, in bytes of its automaton.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Most rows one answer has.
pub const ROWS_MAX: usize = 1_000_000;

/// Most rows of an answer that holds none of them: more than a store has. The engine counts rows in
/// signed 64-bit numbers.
pub const ROWS_STREAMED_MAX: usize = usize::MAX >> 16;

/// Memory all running queries share, in bytes.
pub const MEMORY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Longest time a query may run, in seconds.
pub const SECONDS_MAX: u64 = 60;

/// Queries that run at once; further ones wait.
pub const QUERIES_MAX: usize = 8;

/// Queries that wait for their readers without holding a place among those that run. What they have
/// computed stays in memory, within [`MEMORY_BYTES_MAX`].
pub const UNREAD_MAX: usize = 64;

/// Parts in which one query computes at once, at most.
pub const PARTITIONS_MAX: usize = 16;

/// Batches of rows computed ahead of the reader of an answer.
pub const BATCHES_AHEAD: usize = 4;

/// Stack of threads that plan and run queries, in bytes. Planning recurses over the expression.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of parentheses and brackets in SQL.
pub const SQL_DEPTH_MAX: usize = 64;

/// Most operators in an SQL statement (`AND`, `OR`, `NOT`, `+`, `=`, `LIKE`, `CASE`, ...).
pub const SQL_OPERATORS_MAX: usize = 500;

/// Most set operations (`UNION`, `INTERSECT`, `EXCEPT`) and joins in an SQL statement.
pub const SQL_UNIONS_MAX: usize = 16;

/// Most tokens in an SQL statement.
pub const SQL_TOKENS_MAX: usize = 10_000;

/// Most columns a command may name or make.
pub const COLUMNS_MADE_MAX: usize = 256;

/// Most characters that `values()` joins for one group; longer ones are cut.
pub const VALUES_CHARS_MAX: usize = 4_096;

/// Most events of an ordered answer, skipped ones not counted, whose places are found before they are
/// read whole.
pub const LATE_ROWS_MAX: usize = 10_001;

/// Most offers of a completion.
pub const COMPLETIONS_MAX: usize = 100;

/// Longest value that a completion offers, in characters.
pub const VALUE_CHARS_OFFERED_MAX: usize = 256;

/// Events whose values a completion counts.
pub const VALUES_ROWS_MAX: usize = 100_000;

/// Different values that a completion counts.
pub const VALUES_DISTINCT_MAX: usize = 10_000;

/// Longest time a completion looks for values, in milliseconds, its turn included.
pub const VALUES_MILLIS_MAX: u64 = 500;

/// Most searches in brackets (`join`) of one expression.
pub const SEARCHES_MAX: usize = 4;

/// Deepest nesting of searches in brackets.
pub const SEARCHES_DEPTH_MAX: usize = 2;

/// Most rows of a search in brackets that are looked at, the first in its order; the answer says when
/// there were more.
pub const JOIN_ROWS_MAX: usize = 50_000;

/// Most memory that the rows of one search in brackets take, in bytes; the answer says when it was cut.
pub const JOIN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most rows of a list that `lookup` asks; the answer says when there are more.
pub const LIST_ROWS_MAX: usize = 1_000_000;

/// Most rows of a table that SQL is handed beside events; the answer says when there are more.
pub const TABLE_ROWS_MAX: usize = 200_000;

/// Most events that acts are made from in one question, of each of the parts they are read in; of more,
/// the newest are, and the answer says so.
pub const ACT_EVENTS_MAX: usize = 300_000;

/// How long before the time that SQL asks about the beginnings of sessions and processes are looked for,
/// in hours.
pub const ACT_LOOK_BACK_HOURS: i64 = 24;

/// Questions that make acts at once; further ones wait. Each holds its events in memory.
pub const ACT_QUESTIONS_MAX: usize = 2;
