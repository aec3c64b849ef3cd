//! Named limits of detection. Every one has a test at the limit and one past it, or is a size of
//! a cache, which changes speed and never an answer.

/// Longest rule file, in bytes. SigmaHQ's longest is 295,078 bytes (a list of vulnerable drivers).
pub const RULE_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Most brackets and braces of a rule file that may be open at once, counted without regard to
/// quotes. The YAML library's time grows with the square of it.
pub const OPEN_BRACKETS_MAX: usize = 1_000;

/// Most times that a condition may say `not`: each takes a call of the parser, and of whatever walks
/// the condition.
pub const CONDITION_NOTS_MAX: usize = 128;

/// Most threads that read rules and arrange them while a rule set is compiled.
pub const COMPILE_THREADS_MAX: usize = 4;

/// Most filters one rule set may hold.
pub const FILTERS_MAX: usize = 2_000;

/// Most steps one processing pipeline may have.
pub const PIPELINE_STEPS_MAX: usize = 1_000;

/// Most lists of values for placeholders.
pub const PLACEHOLDER_LISTS_MAX: usize = 1_000;

/// Most values one list may have: as many as one rule could hold.
pub const PLACEHOLDER_VALUES_MAX: usize = PREDICATES_PER_RULE_MAX;

/// Most predicates one rule may have, after modifiers have multiplied its values.
pub const PREDICATES_PER_RULE_MAX: usize = 32_768;

/// Most spellings one value may get from `windash`: five dashes in up to four places.
pub const WINDASH_SPELLINGS_MAX: usize = 625;

/// Largest compiled form of one regular expression, in bytes, given to the regex library.
pub const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A compiled form beyond this many bytes counts as [`REGEX_LARGE_COST`] regular expressions.
pub const REGEX_BYTES_USUAL: usize = 1024 * 1024;

/// How many regular expressions a large one counts as.
pub const REGEX_LARGE_COST: usize = 16;

/// Most regular expressions one rule may have: each takes time to compile, and memory.
pub const REGEXES_PER_RULE_MAX: usize = 256;

/// Most different regular expressions one rule set may have.
pub const REGEXES_MAX: usize = 10_000;

/// Deepest nesting of groups in one regular expression.
pub const REGEX_DEPTH_MAX: u32 = 64;

/// Longest text of the conditions of a [`crate::RowCondition`], in bytes.
pub const ROW_CONDITION_BYTES_MAX: usize = 64 * 1024;

/// Most literals of which one must occur for a regular expression to match; with more, the
/// expression is tried on every value.
pub const REGEX_LITERALS_MAX: usize = 64;

/// Most different field names that log sources may set conditions on.
pub const GATE_FIELDS_MAX: usize = 6;

/// Most rules one rule set may hold.
pub const RULES_MAX: usize = 100_000;

/// Most values a column's cache remembers, and most different sets of predicates; when full it is
/// emptied before the next batch.
pub const CACHED_VALUES_MAX: usize = 65_536;

/// Most bytes that the caches of one engine take together; when full they are all emptied before
/// the next batch.
pub const CACHED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest value that is remembered at all, in bytes.
pub const CACHED_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Most groups (combinations of event code, channel, ...) an engine remembers per dataset; when
/// full they are forgotten before the next batch.
pub const GROUPS_MAX: usize = 8_192;

/// Most datasets a rule set keeps plans for and an engine keeps state for; when full, all are
/// forgotten and built again as needed.
pub const DATASETS_MAX: usize = 256;

/// Most pieces of evidence in one match.
pub const EVIDENCE_MAX: usize = 16;

/// Longest value or predicate quoted in a piece of evidence, in characters.
pub const EVIDENCE_CHARS_MAX: usize = 512;

/// Most correlations one rule set may hold.
pub const CORRELATIONS_MAX: usize = 1_000;

/// Most rules one correlation may name.
pub const CORRELATION_RULES_MAX: usize = 256;

/// Most fields of `group-by`, and most fields counted together.
pub const CORRELATION_FIELDS_MAX: usize = 16;

/// Most correlations that stand on one another.
pub const CORRELATION_CHAIN_MAX: usize = 8;

/// Largest number of events, values or rules that a correlation may ask for.
pub const CORRELATION_COUNT_MAX: u64 = 100_000;

/// Longest `timespan`, in days.
pub const CORRELATION_SPAN_DAYS_MAX: u64 = 366;

/// Longest value that tells groups apart or is counted, in bytes; a longer one is cut and gets a
/// digest of the whole.
pub const CORRELATION_VALUE_BYTES_MAX: usize = 256;

/// Most events one group keeps: twice what a condition may ask for. Past it, a rolling window lets
/// go of its oldest events, and one that is judged at its end takes no more; both are counted.
pub const CORRELATION_HITS_MAX: usize = 200_000;

/// The same for `value_percentile`, which keeps its numbers in order.
pub const CORRELATION_SORTED_HITS_MAX: usize = 20_000;

/// Most alerts a group remembers having raised; past it the oldest is forgotten.
pub const CORRELATION_EPISODES_MAX: usize = 64;

/// Most event ids in one [`crate::CorrelationMatch`]: the first and the newest.
pub const CORRELATION_EVENT_IDS_MAX: usize = 32;

/// Most counted values quoted in one [`crate::CorrelationMatch`].
pub const CORRELATION_VALUES_SHOWN_MAX: usize = 8;

/// How far (µs) an event's own time may lie after its receipt. A clock that is further ahead is not
/// believed: the time of receipt counts, so that nobody can push the windows into the future.
pub const CORRELATION_FUTURE_MICROS_MAX: i64 = 5 * 60 * 1_000_000;

/// Most streams whose positions a correlator keeps; past it those of the oldest batches go.
pub const CORRELATION_STREAMS_MAX: usize = 65_536;

/// Most different notices kept until they are taken; further ones only count.
pub const CORRELATION_NOTICES_MAX: usize = 1_000;
