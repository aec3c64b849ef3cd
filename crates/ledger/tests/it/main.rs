//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod damage;
mod epoch;
mod log;
mod pin;
mod proof;
mod texts;
mod tree;
