//! Named limits of interpretation. What passes one is kept in the raw bytes and noted in
//! `yagura.parse_error`; a record is never refused.

/// Deepest nesting of a JSON document that is flattened; what lies deeper is skipped.
pub const JSON_DEPTH_MAX: usize = 32;

/// Deepest nesting of an event as XML; what lies deeper is not read.
pub const XML_DEPTH_MAX: usize = 32;

/// Most attributes looked at per XML element.
pub const XML_ATTRIBUTES_MAX: usize = 32;

/// Most bytes of parts of PowerShell scripts that wait for the rest of their script, those of all
/// streams together; past it the oldest are given up.
pub const SCRIPTS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most PowerShell scripts of which parts are waiting.
pub const SCRIPTS_MAX: usize = 256;

/// Most parts of one PowerShell script.
pub const SCRIPT_PARTS_MAX: usize = 1_024;

/// Longest PowerShell script put together from its parts, in bytes; longer ones stay in parts.
pub const SCRIPT_BYTES_MAX: usize = 1024 * 1024;

/// Most fields taken from one record.
pub const FIELDS_PER_RECORD_MAX: usize = 2_048;

/// Longest flattened field name, in bytes; longer ones are cut. Twice what becomes a column, so
/// that a name that overflows is still told apart from its neighbours.
pub const NAME_BYTES_MAX: usize = 512;

/// Most different field names remembered between records, those of all sources together; past it
/// they are forgotten and learnt again.
pub const NAMES_REMEMBERED_MAX: usize = 16_384;

/// Most different columns remembered per dataset from batch to batch. Further ones work as well,
/// only slower, until the batch is finished; then all are forgotten and learnt again.
pub const COLUMNS_REMEMBERED_MAX: usize = 4_096;

/// Most places in JSON documents (each key of each object, with the keys around it) that are
/// remembered to foresee the next document; past it they are forgotten and learnt again.
pub const SHAPE_NODES_MAX: usize = 8_192;

/// Most parameters taken from the structured data of one RFC 5424 message.
pub const STRUCTURED_DATA_PARAMS_MAX: usize = 64;

/// Most `key=value` pairs taken from one text line.
pub const PAIRS_PER_LINE_MAX: usize = 256;

/// Most streams (each with its peer) that something is remembered of from record to record.
pub const STREAM_CONTEXTS_MAX: usize = 4_096;

/// Most fields taken from one entry of systemd's journal.
pub const JOURNAL_FIELDS_MAX: usize = 256;

/// Most acts of the Linux audit system put together at a time, per stream and peer.
pub const AUDIT_EVENTS_OPEN_MAX: usize = 16;

/// Longest value that a later record of the same act receives, in bytes; longer ones are cut.
pub const AUDIT_FACT_BYTES_MAX: usize = 1_024;

/// Most running programs remembered to name a parent, per stream and peer; the oldest go.
pub const AUDIT_PROCESSES_MAX: usize = 256;

/// Longest command line put together of arguments, in bytes; further arguments are left out.
pub const AUDIT_COMMAND_LINE_BYTES_MAX: usize = 16_384;

/// Most arguments that become columns of their own, from `a0` on.
pub const AUDIT_ARGUMENT_COLUMNS_MAX: usize = 16;

/// Longest value written into a sentence, in characters; longer ones end in an ellipsis.
pub const SENTENCE_VALUE_CHARS_MAX: usize = 160;

/// Most codes of one value (flags, list entries) said in a sentence; more end in an ellipsis.
pub const SENTENCE_CODES_MAX: usize = 6;

/// Longest sentence, in characters.
pub const SENTENCE_CHARS_MAX: usize = 600;

/// Most columns of a file with a header (CSV, Zeek, W3C extended logs). A header with more explains
/// nothing.
pub const LAYOUT_COLUMNS_MAX: usize = 512;

/// Longest header of such a file, in bytes; a longer one explains nothing. It is noted on every row.
pub const LAYOUT_BYTES_MAX: usize = 16 * 1024;

/// Longest name of a column of a CSV file, in characters; a line with a longer one is no header.
pub const COLUMN_NAME_CHARS_MAX: usize = 64;

/// How deep named patterns may contain each other.
pub const GROK_DEPTH_MAX: usize = 16;

/// Longest regular expression that named patterns may be put together to, in bytes.
pub const GROK_EXPANDED_BYTES_MAX: usize = 16 * 1024;

/// Most memory of a compiled pattern, in bytes; as much again for what it learns while matching.
pub const GROK_PROGRAM_BYTES_MAX: usize = 512 * 1024;

/// How deep groups of a regular expression may nest, those of named patterns included.
pub const GROK_NEST_MAX: u32 = 64;

/// Longest text that a named pattern is tried on, in bytes; none fits a longer one.
pub const GROK_LINE_BYTES_MAX: usize = 16 * 1024;

/// Longest expression in a mapping, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1_024;

/// Most fields that an expression may name.
pub const EXPRESSION_GAPS_MAX: usize = 16;

/// Most operators, brackets and calls of an expression.
pub const EXPRESSION_OPERATORS_MAX: usize = 64;

/// Most steps of one run of an expression; past it, nothing is set.
pub const EXPRESSION_STEPS_MAX: u64 = 1_000;

/// Longest text that an expression may be given, make on its way, or come to, in bytes; past it,
/// nothing is set.
pub const EXPRESSION_TEXT_BYTES_MAX: usize = 8 * 1024;

/// Largest content file of a user, in bytes.
pub const CONTENT_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of all content files of a user together.
pub const CONTENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most content files of a user.
pub const CONTENT_FILES_MAX: usize = 256;

/// Most entries (datasets, fields, patterns, lines, mappings, sentences) of all content files of a
/// user together, and most named patterns.
pub const CONTENT_ENTRIES_MAX: usize = 10_000;

/// Most patterns written as `grok` in the content files of a user.
pub const GROK_PATTERNS_MAX: usize = 256;

/// Longest format of an access log in a mapping, in bytes.
pub const LOG_FORMAT_BYTES_MAX: usize = 4 * 1024;

/// Most values of such a format.
pub const LOG_FORMAT_GAPS_MAX: usize = 64;
/// Most `[[source]]` settings.
pub const SOURCE_SETTINGS_MAX: usize = 1_024;

/// Longest pattern or name in a `[[source]]` setting, in bytes.
pub const SOURCE_PATTERN_BYTES_MAX: usize = 256;

/// Most pairs of host name and program of one origin for which the settings are remembered; past it
/// they are looked up again.
pub const SOURCE_NAMES_REMEMBERED_MAX: usize = 1_024;
