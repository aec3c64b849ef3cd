//! Named limits of detection. Every one has a test at the limit and one past it, or is a size of
//! a cache, which changes speed and never an answer.

/// Longest rule file, in bytes. SigmaHQ's longest is 295,078 bytes (a list of vulnerable drivers).
pub const RULE_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Most brackets and braces of a rule file that may be open at once, counted without regard to
/// quotes. The YAML library's time grows with the square of it.
pub const OPEN_BRACKETS_MAX: usize = 1_000;

/// Most predicates one rule may have, after modifiers have multiplied its values.
pub const PREDICATES_PER_RULE_MAX: usize = 32_768;

/// Most spellings one value may get from `windash`: five dashes in up to four places.
pub const WINDASH_SPELLINGS_MAX: usize = 625;

/// Largest compiled form of one regular expression, in bytes, given to the regex library.
pub const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of groups in one regular expression.
pub const REGEX_DEPTH_MAX: u32 = 64;

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
