//! The pieces of a log that workers read.

use crate::limits::UNIT_BYTES;
use std::sync::Arc;
use yagura_intake::import::Place;

/// A part of one log: some records, or some chunks of records.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Units are numbered in the order in which the logs are read.
    pub number: u64,
    /// Position of the log in the report.
    pub file: u32,
    /// What the log is called.
    pub name: Arc<str>,
    /// The header of the log so far, which explains the columns of its records; `None` where the log
    /// begins with this unit.
    pub header: Option<Arc<str>>,
    pub body: Body,
}

/// Room for the records of a unit: a unit is full once it has [`UNIT_BYTES`], and most records are far
/// smaller than what is added here.
const RECORDS_BYTES: usize = UNIT_BYTES + 16 * 1024;

#[derive(Debug)]
pub(crate) enum Body {
    /// Chunks of a Windows event log with their numbers.
    Chunks(Vec<(u64, Vec<u8>)>),
    Records(Records),
}

/// Records one after the other.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub bytes: Vec<u8>,
    /// Where each record ends, and where it is in its log.
    pub ends: Vec<(usize, Place)>,
}

impl Records {
    /// Takes them out. What comes next is most likely as much.
    pub fn take(&mut self) -> Records {
        let next = Records {
            bytes: Vec::with_capacity(self.bytes.capacity().min(RECORDS_BYTES)),
            ends: Vec::with_capacity(self.ends.len()),
        };
        std::mem::replace(self, next)
    }

    pub fn push(&mut self, bytes: &[u8], place: Place) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push((self.bytes.len(), place));
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |(end, _)| {
            let record = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            record
        })
    }
}
