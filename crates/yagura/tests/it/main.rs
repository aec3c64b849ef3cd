//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acts;
mod backup;
mod bad_input;
#[path = "../../../forward/tests/it/broker.rs"]
mod broker;
mod bucket;
mod common;
mod contract;
mod corpora;
mod crash;
#[path = "../../../enrich/tests/common/mod.rs"]
mod databases;
mod desk;
mod enrichment;
mod export;
mod forward;
mod http;
mod hunt;
mod killed;
mod lake;
mod language;
mod mappings;
mod open_table;
mod pins;
mod retention;
mod rules;
#[path = "../../../lake/tests/it/support/s3.rs"]
mod s3;
mod saved;
mod scan;
mod searching;
mod senders;
mod sources;
mod spine;
mod tamper;
mod tiered;

// What `s3` speaks of.
use yagura_node::{AccessKey, ColdSettings};
