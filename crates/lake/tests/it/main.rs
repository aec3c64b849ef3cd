//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compaction;
mod deletion;
mod hot_and_cold_are_one_table;
mod packed;
mod packed_corpora;
mod passed_over;
mod restart_and_damage;
mod rewritten_rows;
mod support;
mod text_index;
mod tiers;
