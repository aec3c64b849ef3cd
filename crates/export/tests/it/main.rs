//! The public face of the crate, in one program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ocsf;
