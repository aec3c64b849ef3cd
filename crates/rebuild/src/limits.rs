//! Named limits of rebuilding. Every one has a test at the limit and one past it.

/// Longest text that is taken apart, in bytes; a longer one is kept as it is. A record is never
/// longer.
pub const TEXT_BYTES_MAX: usize = yagura_event::limits::RECORD_BYTES_MAX;

/// Most slots of a text; one with more is kept as it is.
pub const SLOTS_MAX: usize = 1_024;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// Most templates of one batch of rows; rows that would need another are kept as they are.
pub const TEMPLATES_MAX: usize = 8_192;

/// Most bytes of all templates of one batch of rows. A page of a Parquet dictionary holds them.
pub const TEMPLATES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Rows that are looked at together to learn their templates.
pub const ROUND_ROWS: usize = 16_384;

/// Fewest rows of a round that make a template worth its bytes.
pub const TEMPLATE_ROWS_MIN: u32 = 2;

/// Slots with which a round ends, if it has so many before it has all its rows.
pub const ROUND_SLOTS_MAX: usize = 512 * SLOTS_MAX;

/// Most bytes of the row's columns that are compared while looking for them in a text, as a
/// multiple of the text's length.
pub const SEARCH_FACTOR: usize = 16;

/// Most bytes that one call decodes. A caller with more takes fewer rows at a time.
pub const DECODED_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024 - 1;

/// Longest pattern of a time, in bytes.
pub const PATTERN_BYTES_MAX: usize = 64;
