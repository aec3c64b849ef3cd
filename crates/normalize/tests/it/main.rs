//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auditd;
mod cloud;
mod common;
mod content;
mod corpora;
mod corpus_sentences;
mod datasets;
mod devices;
mod fields;
mod hostile;
mod loghub;
mod reference;
mod sentences;
mod unix;
mod windows;
mod windows_corpora;
