use crate::JournalError;
use crate::catalog::segment_name;
use crate::disk::{Disk, DiskFile};
use crate::error::is_disk_full;
use crate::frame::{FrameWriter, Opening, SegmentHeader};
use crate::limits::GROUP_BYTES_MAX;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Fills a buffer with random bytes.
pub(crate) type Entropy = fn(&mut [u8]) -> io::Result<()>;

/// The system's random numbers.
pub(crate) fn system_entropy(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// Writes groups of frames to the newest segment and begins new ones.
pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    entropy: Entropy,
    active: Option<Active>,
    next_number: u64,
    poison: Option<Arc<str>>,
    buffer: Vec<u8>,
}

struct Active {
    number: u64,
    key: u32,
    /// Length up to which everything is durable.
    len: u64,
    file: Box<dyn DiskFile>,
}

impl SegmentWriter {
    /// The first segment it begins will be `next_number`.
    pub(crate) fn new(disk: Arc<dyn Disk>, entropy: Entropy, next_number: u64) -> Self {
        SegmentWriter { disk, entropy, active: None, next_number, poison: None, buffer: Vec::new() }
    }

    /// Goes on in an existing segment, all of whose `len` bytes are sound and durable.
    pub(crate) fn resume(&mut self, number: u64, key: u32, len: u64, file: Box<dyn DiskFile>) {
        self.active = Some(Active { number, key, len, file });
    }

    /// Number of the segment that is written to.
    pub(crate) fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.number)
    }

    /// Whether a new segment is due.
    pub(crate) fn is_full(&self, segment_bytes: u64) -> bool {
        self.active.as_ref().is_none_or(|active| active.len >= segment_bytes)
    }

    /// Whether an earlier error has poisoned the journal.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    /// Fails when an earlier error has poisoned the journal.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        match &self.poison {
            Some(cause) => Err(JournalError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Random bytes. Without them no batch can be opened, so a failure poisons.
    pub(crate) fn random<const N: usize>(&mut self) -> Result<[u8; N], JournalError> {
        let mut bytes = [0; N];
        match (self.entropy)(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(self.poison("asking for random bytes", &error)),
        }
    }

    /// Begins the next segment, which opens again every batch in `openings`.
    ///
    /// Order: create, write, `fdatasync`, `fsync` of the directory; only then it becomes the
    /// active one. A crash before the last step leaves no file, an empty one or one with a torn
    /// header, none of which holds anything acknowledged; the next start removes it.
    pub(crate) fn begin(
        &mut self,
        next_batch: u64,
        openings: &[(u64, u32, &Opening)],
    ) -> Result<u64, JournalError> {
        self.check()?;
        let number = self.next_number;
        let name = segment_name(number);
        let key = u32::from_le_bytes(self.random()?);
        let mut bytes = SegmentHeader { number, next_batch, key }.encode().to_vec();
        let mut writer = FrameWriter { buffer: &mut bytes, base: 0, key };
        for (batch, index, opening) in openings {
            writer.open(*batch, *index, opening);
        }
        let mut file = match self.disk.create(&name) {
            Ok(file) => file,
            Err(error) if is_disk_full(&error) => return Err(self.disk_full(bytes.len())),
            Err(error) => return Err(self.poison("creating a segment", &error)),
        };
        if let Err(error) = file.append(&bytes) {
            if !is_disk_full(&error) {
                return Err(self.poison("writing a segment's header", &error));
            }
            return Err(match self.disk.remove(&name) {
                Ok(()) => self.disk_full(bytes.len()),
                Err(error) => self.poison("removing an unfinished segment", &error),
            });
        }
        if let Err(error) = file.sync().and_then(|()| self.disk.sync_dir()) {
            return Err(self.poison("fdatasync of a new segment", &error));
        }
        self.active = Some(Active { number, key, len: bytes.len() as u64, file });
        self.next_number = number + 1;
        Ok(number)
    }

    /// Writes one group and makes it durable. Returns the group's bytes and the microseconds the
    /// `fdatasync` took.
    ///
    /// Order: one write, one `fdatasync`; the caller acknowledges after that. On a full disk the
    /// file is cut back to what is durable, so that the next group can try again; after any other
    /// failure nobody knows what the disk holds (the page cache may lie), and the journal stops.
    pub(crate) fn write(
        &mut self,
        fill: impl FnOnce(&mut FrameWriter<'_>),
    ) -> Result<(u64, u64), JournalError> {
        self.check()?;
        let Some(active) = &mut self.active else {
            return Err(self.poison("writing without a segment", &io::Error::other("a bug")));
        };
        self.buffer.clear();
        fill(&mut FrameWriter { buffer: &mut self.buffer, base: active.len, key: active.key });
        let bytes = self.buffer.len();
        if let Err(error) = active.file.append(&self.buffer) {
            if !is_disk_full(&error) {
                return Err(self.poison("writing", &error));
            }
            // Durable as well: should the next group go to a new segment, nothing may be left behind
            // the end of this one.
            return Err(match active.file.truncate(active.len).and_then(|()| active.file.sync()) {
                Ok(()) => self.disk_full(bytes),
                Err(error) => self.poison("cutting back after a full disk", &error),
            });
        }
        let started = Instant::now();
        if let Err(error) = active.file.sync() {
            return Err(self.poison("fdatasync", &error));
        }
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        active.len += bytes as u64;
        // One huge group must not hold its memory for ever.
        self.buffer.clear();
        self.buffer.shrink_to(2 * GROUP_BYTES_MAX);
        Ok((bytes as u64, micros))
    }

    fn disk_full(&self, needed: usize) -> JournalError {
        JournalError::DiskFull { path: self.disk.path().to_owned(), needed: needed as u64 }
    }

    fn poison(&mut self, action: &str, error: &io::Error) -> JournalError {
        let cause: Arc<str> =
            format!("{action} in {} failed: {error}", self.disk.path().display()).into();
        tracing::error!(%cause, "journal stopped");
        self.poison = Some(cause.clone());
        JournalError::Poisoned { cause }
    }
}
