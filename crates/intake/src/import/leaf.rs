use super::content::Content;
use super::json_objects::{JsonObjects, Piece};
use super::lines::{LineEnd, Lines};
use super::pieces::Pieces;
use super::session::{Halt, Job, Meter, check};
use super::xml_events::XmlEvents;
use super::{FileKind, FileReport, why};
use crate::evtx;
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, IMPORT_RECORD_BYTES_MAX};
use bytes::Bytes;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use yagura_event::{Record, StreamName, Transport, Words};

/// One log being read: turns what its reader finds into records.
pub(super) struct Leaf<'a, 'b> {
    pub report: &'a mut FileReport,
    pub file: usize,
    pub stream: StreamName,
    pub peer: Arc<str>,
    pub identity: Arc<str>,
    /// Records the stream held before; the first so many are there already.
    pub held: u64,
    /// Records found so far.
    pub produced: u64,
    pub batch: Vec<Record>,
    pub batch_bytes: usize,
    /// Bytes of the content read so far, for progress.
    pub offset: u64,
    pub cancel: &'a AtomicBool,
    pub jobs: &'a SyncSender<Job>,
    pub meter: &'a Meter<'b>,
}

impl Leaf<'_, '_> {
    pub fn read(
        &mut self,
        content: &mut Content,
        kind: FileKind,
        mark: usize,
        bytes: u64,
    ) -> Result<(), Halt> {
        if kind == FileKind::Evtx {
            return match content.rewind() {
                Ok(()) => evtx::read(content, self),
                Err(error) => {
                    self.unreadable(&error);
                    Ok(())
                }
            };
        }
        if let Err(error) = content.seek(io::SeekFrom::Start(mark as u64)) {
            self.unreadable(&error);
            return Ok(());
        }
        // What is appended meanwhile is not part of the content that was hashed.
        let text = content.take(bytes.saturating_sub(mark as u64));
        let text = BufReader::with_capacity(256 * 1024, text);
        let read = match kind {
            FileKind::JsonLines => self.lines(Lines::new(text, LineEnd::Bytes), true),
            FileKind::JsonArray | FileKind::JsonObjects => self.objects(JsonObjects::new(text)),
            FileKind::XmlEvents => self.objects(XmlEvents::new(text)),
            FileKind::TextUtf16Le => self.lines(Lines::new(text, LineEnd::Utf16Le), false),
            FileKind::JournalExport => self.lines(Lines::new(text, LineEnd::JournalEntry), false),
            FileKind::TextUtf16Be => self.lines(Lines::new(text, LineEnd::Utf16Be), false),
            _ => self.lines(Lines::new(text, LineEnd::Bytes), false),
        };
        match read {
            Ok(()) => Ok(()),
            Err(ReadFault::Halt(halt)) => Err(halt),
            Err(ReadFault::Io(error)) => {
                self.unreadable(&error);
                Ok(())
            }
        }
    }

    fn lines<R: io::BufRead>(&mut self, mut lines: Lines<R>, json: bool) -> Result<(), ReadFault> {
        let mut line = Vec::new();
        while let Some(cut) = lines.read(&mut line)? {
            self.offset = lines.offset;
            if line.is_empty() || (json && line.trim_ascii().is_empty()) {
                continue;
            }
            let place = || why::at_line(lines.number);
            if cut {
                self.note_cut(place());
            } else if json
                && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&line)
            {
                self.report.damage(place(), why::no_json(&error));
            }
            self.record(&line)?;
        }
        Ok(())
    }

    fn objects(&mut self, mut objects: impl Pieces) -> Result<(), ReadFault> {
        let mut piece = Vec::new();
        while let Some(found) = objects.read(&mut piece)? {
            self.offset = objects.offset();
            let place = || why::at_byte(objects.piece_offset());
            match found {
                Piece::Object => {}
                Piece::Cut => self.note_cut(place()),
                Piece::Broken => {
                    self.report.damage(place(), why::breaks_off());
                }
                Piece::Stray => {
                    self.report.damage(place(), why::outside());
                }
            }
            self.record(&piece)?;
        }
        Ok(())
    }

    /// Takes one record: passes over it when the stream holds it already.
    pub fn record(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.produced += 1;
        if self.produced <= self.held {
            self.report.records_already_there += 1;
            // Passing over is fast; a look at the flag now and then is enough.
            return if self.produced.is_multiple_of(1024) {
                self.check_cancelled()
            } else {
                Ok(())
            };
        }
        let kept = if bytes.len() > IMPORT_RECORD_BYTES_MAX {
            self.report.records_cut += 1;
            &bytes[..IMPORT_RECORD_BYTES_MAX]
        } else {
            bytes
        };
        self.batch.push(Record {
            received: (self.meter.now)(),
            transport: Transport::File,
            peer: self.peer.clone(),
            identity: self.identity.clone(),
            bytes: Bytes::copy_from_slice(kept),
        });
        self.batch_bytes += kept.len();
        if self.batch.len() >= BATCH_RECORDS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    pub fn check_cancelled(&self) -> Result<(), Halt> {
        check(self.cancel)
    }

    fn note_cut(&mut self, place: Words) {
        self.report.records_cut += 1;
        self.report.damage(place, why::cut());
    }

    fn unreadable(&mut self, error: &io::Error) {
        let place = why::after_record(self.produced);
        self.report.damage(place, why::not_read_further(error));
    }

    fn flush(&mut self) -> Result<(), Halt> {
        self.check_cancelled()?;
        self.batch_bytes = 0;
        let records = std::mem::take(&mut self.batch);
        let job = Job::Append { file: self.file, stream: self.stream.clone(), records };
        self.jobs.send(job).map_err(|_| Halt::WriterGone)?;
        let part = self.offset as f64 / (self.report.bytes.max(1) as f64);
        self.meter.update(0.5 + part / 2.0);
        Ok(())
    }

    /// Hands over the last records; the stream and how many records it then holds.
    pub fn finish(mut self) -> Result<(StreamName, u64), Halt> {
        if self.produced < self.held {
            let reason = why::fewer_than_held(self.held, self.produced);
            self.report.damage(why::whole(), reason);
        }
        if self.produced > self.held {
            if !self.batch.is_empty() {
                self.flush()?;
            }
            let seal = Job::Seal(self.stream.clone());
            self.jobs.send(seal).map_err(|_| Halt::WriterGone)?;
        }
        Ok((self.stream, self.produced.max(self.held)))
    }
}

/// Why reading a text stopped.
enum ReadFault {
    Halt(Halt),
    Io(io::Error),
}

impl From<Halt> for ReadFault {
    fn from(halt: Halt) -> Self {
        ReadFault::Halt(halt)
    }
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        ReadFault::Io(error)
    }
}
