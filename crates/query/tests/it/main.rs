//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acts;
mod beside;
mod commands;
mod completing;
mod grammar;
mod guarded_sql;
mod japanese;
mod parsing;
mod running;
mod searching;
mod support;
