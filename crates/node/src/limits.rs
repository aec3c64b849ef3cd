//! Named limits of a node that belong to no part of it alone.

/// Rows of an inventory that one answer shows.
pub const INVENTORY_SHOWN_MAX: usize = 10_000;

/// Searches that run or wait at once; further ones are refused for now.
pub const SEARCHES_AT_ONCE_MAX: usize = 256;

/// Longest id of a search, in bytes.
pub const SEARCH_ID_BYTES_MAX: usize = 64;

/// Memory that the rows of one page take up at most, in bytes ([`crate::row_bytes`]); the first row is
/// always there.
pub const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows that are put into words at once, of those the engine hands over together.
pub(crate) const ROWS_AT_ONCE: usize = 64;

/// Batches whose hashers are kept while stored records are judged: rows that lie beside each other are
/// of few batches.
pub(crate) const HASHERS_MAX: usize = 256;
