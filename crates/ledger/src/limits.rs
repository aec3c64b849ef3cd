//! Named limits of the ledger.

/// Hashes in a full tile and headers in a full bundle (c2sp.org/tlog-tiles).
pub const TILE_WIDTH: u64 = 256;

/// Directories between a log directory and a tile at most: `tile`, the row, six of thousands of a
/// 64-bit index, and the `.p` of a partial tile.
pub const TILE_DEPTH_MAX: usize = 9;

/// Longest batch header text, in bytes.
pub const HEADER_BYTES_MAX: usize = 4_096;

/// Longest log origin and key name, in bytes.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Most reasons in one header's `rejected` line.
pub const REASONS_MAX: usize = 32;

/// Longest rejection reason, in bytes.
pub const REASON_BYTES_MAX: usize = 32;

/// Longest parser version, in bytes.
pub const PARSER_BYTES_MAX: usize = 64;

/// Longest signed note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Most signatures in a signed note; signed-note asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 64;

/// Headers that wait for a checkpoint at most; past it `append` publishes by itself.
pub const PENDING_HEADERS_MAX: usize = 4_096;

/// Bundles read from disk that stay in memory at most.
pub const BUNDLES_CACHED_MAX: usize = 32;

/// Findings a verification lists at most; further ones are only counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Most nodes in a Merkle path (a tree has fewer than 2^64 leaves).
pub const PATH_HASHES_MAX: usize = 64;

/// Longest event proof or pin that is read, in bytes: the longest record, base64, and its company.
pub const PROOF_BYTES_MAX: usize = 2 * 1024 * 1024;
