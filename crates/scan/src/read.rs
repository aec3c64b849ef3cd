//! The reading thread: goes through the files once, in order, and cuts them into units.

use crate::limits::{UNIT_BYTES, UNIT_RECORDS_MAX};
use crate::report::FileSummary;
use crate::unit::{Body, Records, Unit};
use crossbeam_channel::Sender;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use yagura_event::Words;
use yagura_intake::import::{Damage, FileKind, LogPart, LogVisitor, OpenLog, Stopped, sha256_of};
use yagura_normalize::HeaderWatch;

pub(crate) struct Reader<'a> {
    /// What became of each log so far.
    files: Vec<FileSummary>,
    units: Sender<Unit>,
    /// A worker has failed; nothing more is needed.
    failed: &'a AtomicBool,
    /// The scan is to end.
    cancel: &'a AtomicBool,
    next: u64,
    /// Whether the report says what every log hashes to.
    hashes: bool,
    /// Logs read, by a sign of their content: one with another sign cannot be a copy, and need not be
    /// hashed first.
    known: HashMap<u64, Alike>,
    hasher: RandomState,
}

/// Logs with one sign.
#[derive(Default)]
struct Alike {
    /// By their SHA-256.
    hashed: HashMap<String, usize>,
    /// Those on disk that were not hashed, and where they are.
    unhashed: Vec<(usize, PathBuf)>,
}

impl<'a> Reader<'a> {
    pub fn new(
        units: Sender<Unit>,
        failed: &'a AtomicBool,
        cancel: &'a AtomicBool,
        hashes: bool,
    ) -> Self {
        Reader {
            files: Vec::new(),
            units,
            failed,
            cancel,
            next: 0,
            hashes,
            known: HashMap::new(),
            hasher: RandomState::default(),
        }
    }

    /// Nothing more will be read: lets the workers end.
    pub fn finish(self) -> Vec<FileSummary> {
        self.files
    }
}

impl Reader<'_> {
    /// The log read before that has the same content, if there is one, and its SHA-256.
    fn same(&mut self, log: &mut OpenLog<'_>, sign: u64) -> Result<Option<String>, Stopped> {
        let Some(alike) = self.known.get_mut(&sign) else { return Ok(None) };
        let Some(sha256) = log.sha256()? else { return Ok(None) };
        for (number, path) in std::mem::take(&mut alike.unhashed) {
            let Some(file) = self.files.get_mut(number) else { continue };
            // What has changed since is no copy of what was read.
            if let Some(known) = sha256_of(&path, file.bytes, self.cancel)? {
                file.sha256.clone_from(&known);
                alike.hashed.entry(known).or_insert(number);
            }
        }
        let same = alike.hashed.get(&sha256).and_then(|number| self.files.get(*number));
        Ok(same.map(|file| file.path.clone()))
    }
}

impl LogVisitor for Reader<'_> {
    fn hashes(&self) -> bool {
        self.hashes
    }

    fn log(&mut self, mut log: OpenLog<'_>) -> Result<(), Stopped> {
        let number = self.files.len();
        let mut file = FileSummary::new(log.name());
        file.kind = Some(log.kind());
        file.bytes = log.bytes();
        let sign = match log.kind() {
            FileKind::Empty => None,
            _ => log.sign(&self.hasher),
        };
        if let Some(sign) = sign
            && let Some(same) = self.same(&mut log, sign)?
        {
            file.same_as = Some(same);
            file.sha256 = log.sha256()?.unwrap_or_default();
            self.files.push(file);
            return Ok(());
        }
        let name: Arc<str> = log.name().into();
        let path = log.path().map(|path| path.to_owned());
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
        if let Some(sign) = sign {
            let alike = self.known.entry(sign).or_default();
            match (self.files.get(number).map(|file| file.sha256.as_str()), path) {
                (Some(""), Some(path)) => alike.unhashed.push((number, path)),
                (Some(""), None) | (None, _) => {}
                (Some(sha256), _) => {
                    alike.hashed.entry(sha256.to_owned()).or_insert(number);
                }
            }
        }
        Ok(())
    }

    fn skipped(&mut self, name: &str, reason: Words) {
        let mut file = FileSummary::new(name);
        file.skipped = Some(reason);
        self.files.push(file);
    }

    fn no_log(&mut self, name: &str, reason: Words) {
        self.skipped(name, reason);
        if let Some(file) = self.files.last_mut() {
            file.no_log = true;
        }
    }

    fn changed(&mut self, name: &str, damage: Damage) {
        if let Some(file) = self.files.iter_mut().rev().find(|file| file.path == name) {
            file.damage(damage);
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
                self.chunks.push((number, data));
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
            Body::Records(self.records.take())
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
