//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpora;
mod devices;
mod info;
mod library;
mod lint;
mod own;
