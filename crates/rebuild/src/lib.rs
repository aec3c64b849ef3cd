//! Stores received bytes once: what a row's columns already say is not stored again.
//!
//! * [`encode`] splits each text of a batch of rows into a *template*, which many rows share, and
//!   *values*, which only this row has. What its columns say is in neither. Each row is rebuilt at
//!   once and compared byte for byte; one that does not come back, or is too odd to take apart, is
//!   kept as it is.
//! * [`decode`] gives the texts back. [`Decoder`] does so row by row.
//! * [`pack`] and [`unpack`] do both for all columns of a batch that are rebuilt: the message from
//!   the other columns, then the received bytes from these and the message.
//!
//! * [`marks`] says which rows cannot have what is looked for, without rebuilding them.
//!
//! One mechanism serves JSON and text of all kinds; no source is treated by itself. `docs/format/rebuild.md`
//! says what the columns hold, to the byte.
//!
//! This crate is pure: no I/O, no clock, no threads. Reading what others wrote never panics, and takes
//! time and memory in proportion to what is read and what comes of it.

#![forbid(unsafe_code)]

mod civil;
mod columns;
mod decode;
mod encode;
mod error;
mod escape;
mod fill;
mod learn;
pub mod limits;
mod marks;
mod pack;
mod scan;
mod target;
mod template;
mod varint;
mod words;

pub use decode::{Decoder, decode};
pub use encode::{Encoded, encode};
pub use error::RebuildError;
pub use marks::{Look, Marks, UNTOLD, marks};
pub use pack::{pack, unpack};
pub use target::{MESSAGE, ORIGINAL, Target};
pub use template::referred;
