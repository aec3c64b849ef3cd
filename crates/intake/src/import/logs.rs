use super::content::{Content, Counted, Hashing};
use super::expand::{Budget, Expanded, Layers, Opener};
use super::json_objects::{JsonObjects, Piece};
use super::kind::{Sniffed, sniff};
use super::lines::{LineEnd, Lines};
use super::pieces::Pieces;
use super::session::{COPY_BYTES, Halt, check};
use super::xml_events::XmlEvents;
use super::{Damage, FileKind, ImportOptions, Plan, PlannedFile, why};
use crate::evtx::{self, CHUNK_BYTES, FILE_HEADER_BYTES};
use crate::limits::{DAMAGES_TOLD_MAX, SIGN_BYTES, SMALL_FILE_BYTES_MAX, SNIFF_BYTES};
use ::evtx::EvtxFileHeader;
use std::fmt;
use std::fs::{File, Metadata};
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, Take};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use yagura_event::Words;

/// Bytes read at once from a text.
const TEXT_BUFFER_BYTES: usize = 256 * 1024;

/// Where [`visit_logs`] takes what it finds.
pub trait LogVisitor {
    /// Takes a log; what is not read of it is passed over.
    ///
    /// # Errors
    ///
    /// [`Stopped`] ends the visit.
    fn log(&mut self, log: OpenLog<'_>) -> Result<(), Stopped>;

    /// Whether the content of files on disk is hashed while it is read ([`LogEnd::sha256`]).
    fn hashes(&self) -> bool {
        true
    }

    /// Takes note of a file or an archive's member that cannot be read, and why.
    fn skipped(&mut self, name: &str, reason: Words);

    /// Takes note of a file or an archive's member that is no log, and what that means.
    fn no_log(&mut self, name: &str, reason: Words);

    /// Takes note that a file changed on disk while it was being read.
    fn changed(&mut self, name: &str, damage: Damage);
}

/// The visit was to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// A log that is open and not yet read.
pub struct OpenLog<'a> {
    name: &'a str,
    path: Option<&'a Path>,
    kind: FileKind,
    mark: usize,
    bytes: u64,
    sha256: Option<String>,
    hashes: bool,
    damage: Option<Words>,
    content: &'a mut Content,
    cancel: &'a AtomicBool,
}

/// Where a record is in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The number of its line, from 1.
    Line(u64),
    /// The byte it starts at, from 0.
    Byte(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(number) => write!(f, "line {number}"),
            Place::Byte(offset) => write!(f, "byte {offset}"),
        }
    }
}

impl Place {
    fn words(self) -> Words {
        match self {
            Place::Line(number) => why::at_line(number),
            Place::Byte(offset) => why::at_byte(offset),
        }
    }
}

/// A piece of a log.
#[derive(Debug)]
pub enum LogPart<'a> {
    /// A chunk of a Windows event log, for [`crate::evtx::read_one_chunk`]; never all zeros.
    EvtxChunk {
        /// Its number in the file, from 0.
        number: u64,
        /// Its bytes: 64 KiB, fewer at the end of a file that was cut off.
        data: Vec<u8>,
    },
    /// A line or a JSON object, as [`super::Import`] would make a record of it.
    Record {
        /// The bytes.
        bytes: &'a [u8],
        /// Where it is.
        place: Place,
    },
}

/// What was found of a log that was read to its end.
#[derive(Debug, Clone)]
pub struct LogEnd {
    /// SHA-256 of the (expanded) content, lowercase hexadecimal; empty where it is not known and the
    /// visitor does not ask for it ([`LogVisitor::hashes`]).
    pub sha256: String,
    /// Size of the (expanded) content, in bytes.
    pub bytes: u64,
    /// Records longer than [`crate::limits::IMPORT_RECORD_BYTES_MAX`], cut there.
    pub cut: u64,
    /// Damaged places, those inside chunks not counted.
    pub damaged: u64,
    /// The first [`DAMAGES_TOLD_MAX`] of them.
    pub damages: Vec<Damage>,
}

/// Opens the files of `plan` one after the other, and what is inside containers, and hands every log to
/// `visitor`. `position` follows the bytes read of the files on disk.
///
/// # Errors
///
/// [`Stopped`] when `cancel` was set, or the visitor asked for it.
pub fn visit_logs(
    plan: &Plan,
    options: &ImportOptions,
    cancel: &AtomicBool,
    position: &Arc<AtomicU64>,
    visitor: &mut impl LogVisitor,
) -> Result<(), Stopped> {
    let mut visit = Visit { options, cancel, visitor, buffer: Vec::new(), small: Vec::new() };
    let mut before = 0;
    for file in &plan.files {
        visit.on_disk(file, before, position).map_err(|_| Stopped)?;
        before += file.bytes;
        position.store(before, Ordering::Relaxed);
    }
    Ok(())
}

/// SHA-256 of a file on disk, lowercase hexadecimal; `None` where it cannot be read or has not
/// `bytes` bytes.
///
/// # Errors
///
/// [`Stopped`] when `cancel` was set.
pub fn sha256_of(path: &Path, bytes: u64, cancel: &AtomicBool) -> Result<Option<String>, Stopped> {
    match File::open(path) {
        Ok(file) => digest_of(file, bytes, cancel),
        Err(_) => Ok(None),
    }
}

/// SHA-256 of what has `bytes` bytes; `None` where it cannot be read or has not. A file that grew is
/// another one.
fn digest_of(
    content: impl Read,
    bytes: u64,
    cancel: &AtomicBool,
) -> Result<Option<String>, Stopped> {
    let mut reader = Hashing::new(content.take(bytes.saturating_add(1)));
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        check(cancel).map_err(|_| Stopped)?;
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
    Ok((reader.bytes == bytes).then(|| reader.finish()))
}

struct Visit<'a, V> {
    options: &'a ImportOptions,
    cancel: &'a AtomicBool,
    visitor: &'a mut V,
    buffer: Vec<u8>,
    /// The bytes of a small file, kept for the next one.
    small: Vec<u8>,
}

impl<V: LogVisitor> Visit<'_, V> {
    fn on_disk(
        &mut self,
        planned: &PlannedFile,
        before: u64,
        position: &Arc<AtomicU64>,
    ) -> Result<(), Halt> {
        check(self.cancel)?;
        let name = planned.path.to_string_lossy().into_owned();
        let opened = File::open(&planned.path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.skip(&name, why::not_opened(&error));
                return Ok(());
            }
        };
        let bytes = metadata.len();
        let mut content =
            Content::Counted(Counted { file, read: 0, bytes, before, position: position.clone() });
        if bytes <= SMALL_FILE_BYTES_MAX {
            // It is looked at more than once: what it is, whether it is known, what it says.
            let mut held = std::mem::take(&mut self.small);
            // Proof that it fits: the file is small.
            held.resize(usize::try_from(bytes).unwrap_or_default(), 0);
            match fill(&mut content, &mut held) {
                Ok(read) => held.truncate(read),
                Err(error) => {
                    self.skip(&name, why::not_read(&error));
                    return Ok(());
                }
            }
            content = Content::Small(Cursor::new(held));
        }
        match content.head(SNIFF_BYTES).map(|head| sniff(&head)) {
            Ok(Sniffed::Log(kind, mark)) => {
                let (cancel, hashes) = (self.cancel, self.visitor.hashes());
                let (sha256, damage) = (None, None);
                let log = OpenLog {
                    name: &name,
                    path: Some(&planned.path),
                    kind,
                    mark,
                    bytes,
                    sha256,
                    hashes,
                    damage,
                    content: &mut content,
                    cancel,
                };
                self.visitor.log(log).map_err(|_| Halt::Cancelled)?;
                if let Content::Small(held) = content {
                    self.small = held.into_inner();
                }
            }
            Ok(Sniffed::Binary) => self.no_log(&name),
            Ok(sniffed) => {
                let mut budget = Budget::new(bytes, self.options);
                self.container(sniffed, content, &name, Layers::default(), &mut budget)?;
            }
            Err(error) => self.skip(&name, why::not_read(&error)),
        }
        if !is_same(&planned.path, &metadata) {
            let damage = Damage { place: why::whole(), reason: why::changed() };
            self.visitor.changed(&name, damage);
        }
        Ok(())
    }
}

fn is_same(path: &Path, before: &Metadata) -> bool {
    std::fs::metadata(path).is_ok_and(|after| {
        after.len() == before.len() && after.modified().ok() == before.modified().ok()
    })
}

impl<V: LogVisitor> Opener for Visit<'_, V> {
    fn options(&self) -> &ImportOptions {
        self.options
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn check_cancelled(&self) -> Result<(), Halt> {
        check(self.cancel)
    }

    fn skip(&mut self, name: &str, reason: Words) {
        self.visitor.skipped(name, reason);
    }

    fn no_log(&mut self, name: &str) {
        self.visitor.no_log(name, why::no_log());
    }

    fn expanded_log(
        &mut self,
        mut log: Expanded,
        name: &str,
        kind: FileKind,
        mark: usize,
    ) -> Result<(), Halt> {
        let log = OpenLog {
            name,
            path: None,
            kind,
            mark,
            bytes: log.bytes,
            sha256: Some(log.sha256),
            hashes: true,
            damage: log.damage,
            content: &mut log.content,
            cancel: self.cancel,
        };
        self.visitor.log(log).map_err(|_| Halt::Cancelled)
    }
}

impl OpenLog<'_> {
    /// Its path, and within archives `archive!member`.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Where it is on disk; `None` for what is within an archive.
    pub fn path(&self) -> Option<&Path> {
        self.path
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Size of the (expanded) content when it was opened, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A sign of the content: logs that begin differently have, as good as always, different ones,
    /// and copies have the same. `None` where it cannot be read.
    pub fn sign(&mut self, hasher: &impl BuildHasher) -> Option<u64> {
        let head = self.content.head(SIGN_BYTES).ok()?;
        Some(hasher.hash_one((self.bytes, head)))
    }

    /// SHA-256 of the content, lowercase hexadecimal; reads all of it where it is not known yet.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when the visit is cancelled. What cannot be read is told by [`OpenLog::read`].
    pub fn sha256(&mut self) -> Result<Option<String>, Stopped> {
        if self.sha256.is_none() {
            self.sha256 = digest_of(&mut *self.content, self.bytes, self.cancel)?;
            if self.content.rewind().is_err() {
                return Ok(None);
            }
        }
        Ok(self.sha256.clone())
    }

    /// Reads it once, from its start to its end, and hands over each part.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when `take` says so, or the visit is cancelled.
    pub fn read(
        self,
        take: &mut dyn FnMut(LogPart<'_>) -> Result<(), Stopped>,
    ) -> Result<LogEnd, Stopped> {
        let mut end =
            LogEnd { sha256: String::new(), bytes: 0, cut: 0, damaged: 0, damages: Vec::new() };
        if let Some(damage) = self.damage {
            end.damage(why::at_byte(self.bytes), damage);
        }
        // What is appended meanwhile is not part of what was opened.
        let content = self.content.take(self.bytes);
        let mut reader = match self.sha256 {
            None if self.hashes => Source::Hashed(Hashing::new(content)),
            None => Source::Known(content, String::new(), self.bytes),
            Some(sha256) => Source::Known(content, sha256, self.bytes),
        };
        let mut parts = Parts { cancel: self.cancel, end: &mut end, take };
        let read = match self.kind {
            FileKind::Empty => Ok(()),
            FileKind::Evtx => parts.chunks(&mut reader),
            kind => parts.text(kind, self.mark, &mut reader),
        };
        match read {
            Ok(()) => {}
            Err(Fault::Stopped) => return Err(Stopped),
            Err(Fault::Io(error)) => end.damage(why::whole(), why::not_read_further(&error)),
        }
        (end.sha256, end.bytes) = reader.finish();
        Ok(end)
    }
}

/// The content, and the hash of what was read of it.
enum Source<R> {
    Hashed(Hashing<R>),
    Known(R, String, u64),
}

impl<R: Read> Source<R> {
    fn finish(self) -> (String, u64) {
        match self {
            Source::Hashed(mut reader) => {
                // An EVTX file without a usable header is not read to its end above.
                let _ = io::copy(&mut reader, &mut io::sink());
                let bytes = reader.bytes;
                (reader.finish(), bytes)
            }
            Source::Known(_, sha256, bytes) => (sha256, bytes),
        }
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Hashed(reader) => reader.read(buffer),
            Source::Known(reader, ..) => reader.read(buffer),
        }
    }
}

impl LogEnd {
    fn damage(&mut self, place: Words, reason: Words) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_TOLD_MAX {
            self.damages.push(Damage { place, reason });
        }
    }
}

enum Fault {
    Stopped,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl From<Halt> for Fault {
    fn from(_: Halt) -> Self {
        Fault::Stopped
    }
}

struct Parts<'a> {
    cancel: &'a AtomicBool,
    end: &'a mut LogEnd,
    take: &'a mut dyn FnMut(LogPart<'_>) -> Result<(), Stopped>,
}

/// Reads into memory that need not be filled with zeros first, where it can.
trait Append: Read {
    /// Reads `bytes_max` bytes, or all there are, to the end of `to`; how many there were.
    fn append(&mut self, bytes_max: u64, to: &mut Vec<u8>) -> io::Result<usize>;
}

impl Append for Take<&mut Content> {
    fn append(&mut self, bytes_max: u64, to: &mut Vec<u8>) -> io::Result<usize> {
        let left = self.limit();
        let start = to.len();
        if let Content::Small(held) = self.get_mut() {
            let there = held.fill_buf()?;
            let bytes_max = usize::try_from(bytes_max.min(left)).unwrap_or(usize::MAX);
            let read = bytes_max.min(there.len());
            to.extend_from_slice(&there[..read]);
            held.consume(read);
            self.set_limit(left - read as u64);
            return Ok(read);
        }
        // Proof: whoever calls this asks for a chunk at most.
        let bytes_max = usize::try_from(bytes_max.min(left)).unwrap_or(usize::MAX);
        to.resize(start + bytes_max, 0);
        let read = fill(self, &mut to[start..])?;
        to.truncate(start + read);
        Ok(read)
    }
}

impl Append for Source<Take<&mut Content>> {
    fn append(&mut self, bytes_max: u64, to: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Source::Hashed(reader) => {
                let start = to.len();
                let read = reader.reader.append(bytes_max, to)?;
                reader.passed(&to[start..]);
                Ok(read)
            }
            Source::Known(reader, ..) => reader.append(bytes_max, to),
        }
    }
}

/// Reads until `buffer` is full or there is no more; how many bytes there were.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether `bytes` are zeros: the first is, and each is as the one before. Comparing slices takes many
/// bytes at once, which looking for the first that is not zero does not.
fn is_zeros(bytes: &[u8]) -> bool {
    match bytes {
        [0, rest @ ..] => *rest == bytes[..rest.len()],
        rest => rest.is_empty(),
    }
}

impl Parts<'_> {
    fn chunks(&mut self, reader: &mut impl Append) -> Result<(), Fault> {
        let mut header = Vec::new();
        reader.append(FILE_HEADER_BYTES, &mut header)?;
        if let Err(error) = EvtxFileHeader::from_stream(&mut Cursor::new(&header)) {
            self.end.damage(evtx::in_file_header(), evtx::no_header(&error));
            return Ok(());
        }
        // Proof that it fits: a chunk has 64 KiB.
        let empty = || Vec::with_capacity(CHUNK_BYTES as usize);
        let mut chunk = empty();
        for number in 0.. {
            check(self.cancel)?;
            chunk.clear();
            if reader.append(CHUNK_BYTES, &mut chunk)? == 0 {
                break;
            }
            // A log that was made large and never filled has chunks of zeros.
            if !is_zeros(&chunk) {
                let data = std::mem::replace(&mut chunk, empty());
                self.give(LogPart::EvtxChunk { number, data })?;
            }
        }
        Ok(())
    }

    fn text(&mut self, kind: FileKind, mark: usize, reader: &mut impl Read) -> Result<(), Fault> {
        io::copy(&mut reader.take(mark as u64), &mut io::sink())?;
        let text = BufReader::with_capacity(TEXT_BUFFER_BYTES, reader);
        match kind {
            FileKind::JsonArray | FileKind::JsonObjects => {
                self.objects(JsonObjects::new(text), mark as u64)
            }
            FileKind::XmlEvents => self.objects(XmlEvents::new(text), mark as u64),
            FileKind::JsonLines => self.lines(Lines::new(text, LineEnd::Bytes), true),
            FileKind::TextUtf16Le => self.lines(Lines::new(text, LineEnd::Utf16Le), false),
            FileKind::JournalExport => self.lines(Lines::new(text, LineEnd::JournalEntry), false),
            FileKind::TextUtf16Be => self.lines(Lines::new(text, LineEnd::Utf16Be), false),
            _ => self.lines(Lines::new(text, LineEnd::Bytes), false),
        }
    }

    fn lines<R: io::BufRead>(&mut self, mut lines: Lines<R>, json: bool) -> Result<(), Fault> {
        let mut line = Vec::new();
        while let Some(cut) = lines.read(&mut line)? {
            if line.is_empty() || (json && line.trim_ascii().is_empty()) {
                continue;
            }
            let place = Place::Line(lines.number);
            if cut {
                self.note_cut(place);
            }
            self.give(LogPart::Record { bytes: &line, place })?;
        }
        Ok(())
    }

    fn objects(&mut self, mut objects: impl Pieces, mark: u64) -> Result<(), Fault> {
        let mut piece = Vec::new();
        while let Some(found) = objects.read(&mut piece)? {
            let place = Place::Byte(mark + objects.piece_offset());
            match found {
                Piece::Object => {}
                Piece::Cut => self.note_cut(place),
                Piece::Broken => {
                    self.end.damage(place.words(), why::breaks_off());
                }
                Piece::Stray => {
                    self.end.damage(place.words(), why::outside());
                }
            }
            self.give(LogPart::Record { bytes: &piece, place })?;
        }
        Ok(())
    }

    fn note_cut(&mut self, place: Place) {
        self.end.cut += 1;
        self.end.damage(place.words(), why::cut());
    }

    fn give(&mut self, part: LogPart<'_>) -> Result<(), Fault> {
        (self.take)(part).map_err(|_| Fault::Stopped)
    }
}
