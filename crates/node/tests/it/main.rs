//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod compaction;
mod correlation;
#[path = "../../../enrich/tests/common/mod.rs"]
mod databases;
mod enrichment;
mod forward;
mod pins;
mod reopen;
mod retention;
mod rules;
mod sources;
mod tables;
