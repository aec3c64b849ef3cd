//! The reading thread: goes through the files once, in order, and cuts them into units.

use crate::limits::{UNIT_BYTES, UNIT_RECORDS_MAX};
use crate::report::FileSummary;
use crate::unit::{Body, Records, Unit};
use crossbeam_channel::Sender;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yagura_intake::import::{Damage, FileKind, LogPart, LogVisitor, OpenLog, Stopped};
use yagura_normalize::HeaderWatch;

pub(crate) struct Reader<'a> {
    /// What became of each log so far.
    files: Vec<FileSummary>,
    units: Sender<Unit>,
    /// A worker has failed; nothing more is needed.
    failed: &'a AtomicBool,
    next: u64,
    /// Logs read, by the SHA-256 of their content.
    known: HashMap<String, usize>,
    /// Sizes of logs read: one of another size cannot be a copy, and need not be hashed first.
    sizes: HashSet<u64>,
}

impl<'a> Reader<'a> {
    pub fn new(units: Sender<Unit>, failed: &'a AtomicBool) -> Self {
        Reader {
            files: Vec::new(),
            units,
            failed,
            next: 0,
            known: HashMap::new(),
            sizes: HashSet::new(),
        }
    }

    /// Nothing more will be read: lets the workers end.
    pub fn finish(self) -> Vec<FileSummary> {
        self.files
    }
}

impl LogVisitor for Reader<'_> {
    fn log(&mut self, mut log: OpenLog<'_>) -> Result<(), Stopped> {
        let number = self.files.len();
        let mut file = FileSummary::new(log.name());
        file.kind = Some(log.kind());
        file.bytes = log.bytes();
        if log.kind() != FileKind::Empty
            && self.sizes.contains(&log.bytes())
            && let Some(sha256) = log.sha256()?
            && let Some(same) = self.known.get(&sha256).and_then(|same| self.files.get(*same))
        {
            file.same_as = Some(same.path.clone());
            file.sha256 = sha256;
            self.files.push(file);
            return Ok(());
        }
        let name: Arc<str> = log.name().into();
        let kind = log.kind();
        // Kept first, so that an early end still reports what was read.
        self.files.push(file);
        let mut cutter = Cutter {
            name,
            // Proof: a plan has fewer files than 2^32, and so has what archives may hold.
            file: u32::try_from(number).unwrap_or(u32::MAX),
            chunks: Vec::new(),
            records: Records::default(),
            bytes: 0,
            units: &self.units,
            failed: self.failed,
            next: &mut self.next,
            headers: HeaderWatch::default(),
            header: None,
        };
        let end = log.read(&mut |part| cutter.take(part))?;
        cutter.flush()?;
        if let Some(file) = self.files.get_mut(number) {
            file.sha256.clone_from(&end.sha256);
            file.bytes = end.bytes;
            let told = end.damages.len() as u64;
            end.damages.into_iter().for_each(|damage| file.damage(damage));
            file.damaged += end.damaged - told;
        }
        if kind != FileKind::Empty {
            self.sizes.insert(end.bytes);
            self.known.entry(end.sha256).or_insert(number);
        }
        Ok(())
    }

    fn skipped(&mut self, name: &str, reason: String) {
        let mut file = FileSummary::new(name);
        file.skipped = Some(reason);
        self.files.push(file);
    }

    fn no_log(&mut self, name: &str, reason: &str) {
        self.skipped(name, reason.to_owned());
        if let Some(file) = self.files.last_mut() {
            file.no_log = true;
        }
    }

    fn changed(&mut self, name: &str) {
        if let Some(file) = self.files.iter_mut().rev().find(|file| file.path == name) {
            let reason = "it changed while it was being read".to_owned();
            file.damage(Damage { place: "file".to_owned(), reason });
        }
    }
}

/// Cuts one log into units.
struct Cutter<'a> {
    name: Arc<str>,
    file: u32,
    chunks: Vec<(u64, Vec<u8>)>,
    records: Records,
    bytes: usize,
    units: &'a Sender<Unit>,
    failed: &'a AtomicBool,
    next: &'a mut u64,
    /// What the log's headers said so far, and had said before this unit.
    headers: HeaderWatch,
    header: Option<Arc<str>>,
}

impl Cutter<'_> {
    fn take(&mut self, part: LogPart<'_>) -> Result<(), Stopped> {
        match part {
            LogPart::EvtxChunk { number, data } => {
                self.bytes += data.len();
                self.chunks.push((number, data.to_vec()));
            }
            LogPart::Record { bytes, place } => {
                self.bytes += bytes.len();
                self.headers.record(bytes);
                self.records.push(bytes, place);
            }
        }
        let full = self.bytes >= UNIT_BYTES || self.records.ends.len() >= UNIT_RECORDS_MAX;
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        self.bytes = 0;
        let body = if !self.chunks.is_empty() {
            Body::Chunks(std::mem::take(&mut self.chunks))
        } else if !self.records.ends.is_empty() {
            Body::Records(std::mem::take(&mut self.records))
        } else {
            return Ok(());
        };
        if self.failed.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        let unit = Unit {
            number: *self.next,
            file: self.file,
            name: self.name.clone(),
            header: self.header.replace(self.headers.header()),
            body,
        };
        *self.next += 1;
        self.units.send(unit).map_err(|_| Stopped)
    }
}
