//! Named limits of a node that belong to no part of it alone.

/// Rows of an inventory that one answer shows.
pub const INVENTORY_SHOWN_MAX: usize = 10_000;
