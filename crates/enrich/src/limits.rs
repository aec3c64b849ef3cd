//! Named limits of what events are enriched with. Every one has a test at the limit and one past it.

/// Largest address database, in bytes. It is held in memory; the largest that are sold have half of
/// this.
pub const DATABASE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Longest name that is taken from an address database, in bytes; a longer one is left out.
pub const DATABASE_NAME_BYTES_MAX: usize = 256;

/// Most prefixes of all own networks together.
pub const PREFIXES_MAX: usize = 10_000;

/// Longest name of a network or a zone, in bytes.
pub const NETWORK_NAME_BYTES_MAX: usize = 128;

/// Most CSV files that make up one inventory.
pub const INVENTORY_FILES_MAX: usize = 16;

/// Largest CSV file of an inventory, in bytes.
pub const INVENTORY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most users, and most assets.
pub const INVENTORY_ROWS_MAX: usize = 200_000;

/// Most columns of an inventory's header.
pub const INVENTORY_COLUMNS_MAX: usize = 128;

/// Longest cell of an inventory, in bytes.
pub const CELL_BYTES_MAX: usize = 1_024;

/// Most names, addresses or identifiers of one user or asset that one cell lists.
pub const KEYS_PER_CELL_MAX: usize = 64;

/// Addresses whose facts are remembered from batch to batch, at least; at most twice as many.
pub const ADDRESSES_REMEMBERED: usize = 32_768;

/// Longest text that is looked at as an address, in bytes. The longest address has 45; what is
/// longer has only a longer zone index.
pub const ADDRESS_TEXT_BYTES_MAX: usize = 128;

/// Texts that facts of addresses share, beyond those of one batch.
pub const TEXTS_REMEMBERED: usize = 262_144;
