//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditd;
mod corpora;
#[path = "../../benches/engine/corpus.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod corpus;
mod correlating;
mod correlation;
mod correlation_differential;
mod correlation_limits;
mod differential;
mod engine;
mod house;
mod modifiers;
#[path = "../../benches/engine/peer.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod peer;
mod random_peer;
mod reference;
mod refusals;
mod second_opinion;
