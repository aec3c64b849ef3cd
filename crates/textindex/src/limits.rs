//! Named limits and sizes of the text index. Those that bound input have a test at the limit and one
//! past it. All but [`INFIX_BYTES_MIN`], [`PREFIX_BYTES_MIN`], [`SEGMENT_TOKENS_MAX`] and
//! [`SEGMENT_TOKEN_BYTES_MAX`] are part of the format.

/// Rows of a block, the smallest stretch of a file that can be passed over. The rarest words cost one
/// block to read wherever they are.
pub const BLOCK_ROWS: u32 = 1_024;

/// Blocks of a segment; each segment has tokens of its own, which bounds the memory of building.
pub const SEGMENT_BLOCKS: u32 = 128;

/// Longest token in bytes; longer words are kept in parts.
pub const TOKEN_BYTES_MAX: usize = 64;

/// Bytes that two parts of a long word share: any stretch up to this long lies within one part.
pub const PART_OVERLAP: usize = 24;

/// Most tokens of a segment; one with more is always read.
pub const SEGMENT_TOKENS_MAX: usize = 1 << 20;

/// Most bytes of the tokens of a segment; one with more is always read.
pub const SEGMENT_TOKEN_BYTES_MAX: usize = 32 << 20;

/// Bytes of tokens at which a page ends. A word costs one page: a page is small.
pub const PAGE_TOKEN_BYTES: usize = 32 << 10;

/// Longest page when decompressed.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Longest directory that is read.
pub const DIRECTORY_BYTES_MAX: usize = 64 << 20;

/// A stretch within a word that is shorter than this is in nearly every block: it is not looked up.
pub const INFIX_BYTES_MIN: usize = 3;

/// A beginning of a word that is shorter than this is in nearly every block: it is not looked up.
pub const PREFIX_BYTES_MIN: usize = 2;

/// Most different tokens asked of one index; further ones are not asked.
pub const TERMS_MAX: usize = 1_024;
