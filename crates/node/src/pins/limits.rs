//! Bounds of pins.

/// Events that are pinned at once, all together: each is a file.
pub const PINS_MAX: usize = 100_000;

/// Events that one request pins or unpins.
pub const PINS_AT_ONCE_MAX: usize = 1_000;

/// Pins that a list shows, the newest first.
pub const PINS_SHOWN_MAX: usize = 10_000;

/// Files of pins that get their names together: as many are open at once while a backup begins.
pub const PIN_FILES_AT_ONCE: usize = 64;

/// Bytes of pins that wait together for being written; one pin may exceed it alone.
pub const PIN_BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
