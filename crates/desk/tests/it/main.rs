//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod correlation_pack;
mod pack;
mod rule_pack;
mod webhook;
