//! The public face of the crate, in one program: what it links is linked once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod import_corpora;
mod import_files;
mod real_senders;
mod syslog_sockets;
