use super::content::{Content, Hashing};
use super::expand::{Budget, Expanded, Layers, Opener};
use super::kind::{Sniffed, sniff};
use super::leaf::Leaf;
use super::{
    FileKind, FileReport, ImportOptions, ImportReport, ImportSink, Outcome, Plan, PlannedFile,
    Progress, ProgressState, Written, why,
};
use crate::SinkError;
use crate::limits::{IMPORT_BATCHES_AHEAD, SNIFF_BYTES};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use yagura_event::{Record, StreamName, UtcMicros, Words};

/// Hexadecimal digits of the content's SHA-256 that name its stream.
const STREAM_DIGITS: usize = 32;

/// Bytes copied at once.
pub(super) const COPY_BYTES: usize = 256 * 1024;

/// Bytes hashed or passed over between two calls of [`Progress::update`].
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

/// The import ends early.
#[derive(Debug)]
pub(super) enum Halt {
    Cancelled,
    Sink(SinkError),
    /// The writer has failed and knows why.
    WriterGone,
}

/// What the writing thread does, in order.
pub(super) enum Job {
    Describe(StreamName, Written),
    Append { file: usize, stream: StreamName, records: Vec<Record> },
    Seal(StreamName),
}

/// One run of an import: the reading side.
pub(super) struct Session<'a> {
    options: &'a ImportOptions,
    cancel: &'a AtomicBool,
    jobs: SyncSender<Job>,
    stream_records: &'a dyn Fn(&StreamName) -> Result<u64, SinkError>,
    /// Records that each stream touched so far holds or will hold once the jobs are done.
    known: HashMap<StreamName, u64>,
    reports: Vec<FileReport>,
    meter: Meter<'a>,
    /// For copying; kept from one archive member to the next.
    buffer: Vec<u8>,
}

pub(super) struct Meter<'a> {
    progress: &'a dyn Fn(&ProgressState<'_>),
    durable: &'a AtomicU64,
    pub now: &'a dyn Fn() -> UtcMicros,
    started: UtcMicros,
    files_done: u64,
    files_total: u64,
    /// Size of the files on disk that are done, and of the one being read.
    bytes_before: u64,
    file_bytes: u64,
    bytes_total: u64,
    file: String,
}

impl Meter<'_> {
    /// `part` of the present file, from 0 to 1, is done.
    pub fn update(&self, part: f64) {
        let elapsed = (self.now)().as_micros() - self.started.as_micros();
        let records = self.durable.load(Ordering::Relaxed);
        (self.progress)(&ProgressState {
            files_done: self.files_done,
            files_total: self.files_total,
            bytes_done: self.bytes_before + (self.file_bytes as f64 * part.clamp(0.0, 1.0)) as u64,
            bytes_total: self.bytes_total,
            records,
            records_per_second: records as f64 / (elapsed.max(1) as f64 / 1e6),
            file: &self.file,
        });
    }
}

impl<'a> Session<'a> {
    pub fn run(
        plan: &Plan,
        sink: &impl ImportSink,
        progress: &impl Progress,
        options: &ImportOptions,
        cancel: &AtomicBool,
    ) -> ImportReport {
        let (jobs, queue) = sync_channel(IMPORT_BATCHES_AHEAD);
        let durable = AtomicU64::new(0);
        let now = || options.clock.now();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(queue, sink, &durable));
            let mut session = Session {
                options,
                cancel,
                jobs,
                stream_records: &|stream| sink.stream_records(stream),
                known: HashMap::new(),
                reports: Vec::new(),
                meter: Meter {
                    progress: &|state| progress.update(state),
                    durable: &durable,
                    now: &now,
                    started: now(),
                    files_done: 0,
                    files_total: plan.files.len() as u64,
                    bytes_before: 0,
                    file_bytes: 0,
                    bytes_total: plan.bytes(),
                    file: String::new(),
                },
                buffer: Vec::new(),
            };
            let halted = plan.files.iter().try_for_each(|file| session.file(file)).err();
            let Session { jobs, reports, meter, .. } = session;
            drop(jobs);
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            meter.update(0.0);
            report(reports, written, halted)
        })
    }

    fn file(&mut self, file: &PlannedFile) -> Result<(), Halt> {
        let name = file.path.to_string_lossy().into_owned();
        self.meter.file.clone_from(&name);
        self.meter.file_bytes = file.bytes;
        self.meter.update(0.0);
        self.on_disk(&file.path, &name)?;
        self.meter.bytes_before += file.bytes;
        self.meter.file_bytes = 0;
        self.meter.files_done += 1;
        Ok(())
    }

    fn on_disk(&mut self, path: &Path, name: &str) -> Result<(), Halt> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.skip(name, why::not_opened(&error));
                return Ok(());
            }
        };
        let mut budget = Budget::new(metadata.len(), self.options);
        let mut content = Content::Disk(file);
        match content.head(SNIFF_BYTES).map(|head| sniff(&head)) {
            Ok(Sniffed::Log(kind, mark)) => {
                let hashed = self.hash(&mut content)?;
                let (sha256, bytes) = match hashed {
                    Ok(hashed) => hashed,
                    Err(error) => {
                        self.skip(name, why::not_read(&error));
                        return Ok(());
                    }
                };
                let expanded = Expanded { content, sha256, bytes, damage: None };
                let report = self.log(expanded, name, kind, mark)?;
                let after = std::fs::metadata(path);
                let same = after.is_ok_and(|after| {
                    after.len() == metadata.len()
                        && after.modified().ok() == metadata.modified().ok()
                });
                if !same {
                    self.reports[report].damage(why::whole(), why::changed());
                }
                Ok(())
            }
            Ok(Sniffed::Binary) => {
                self.no_log(name);
                Ok(())
            }
            Ok(sniffed) => self.container(sniffed, content, name, Layers::default(), &mut budget),
            Err(error) => {
                self.skip(name, why::not_read(&error));
                Ok(())
            }
        }
    }

    fn hash(&mut self, content: &mut Content) -> Result<io::Result<(String, u64)>, Halt> {
        let mut reader = Hashing::new(content);
        let mut buffer = vec![0; COPY_BYTES];
        let mut told = 0;
        loop {
            self.check_cancelled()?;
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
            if reader.bytes - told >= PROGRESS_BYTES {
                told = reader.bytes;
                self.meter.update(told as f64 / 2.0 / (self.meter.file_bytes.max(1) as f64));
            }
        }
        let bytes = reader.bytes;
        Ok(Ok((reader.finish(), bytes)))
    }

    /// Reads one log whose content is at hand; the number of its report.
    fn log(
        &mut self,
        mut expanded: Expanded,
        name: &str,
        kind: FileKind,
        mark: usize,
    ) -> Result<usize, Halt> {
        let number = self.reports.len();
        let mut report = FileReport::new(name);
        report.kind = Some(kind);
        report.bytes = expanded.bytes;
        report.sha256.clone_from(&expanded.sha256);
        if let Some(damage) = expanded.damage {
            report.damage(why::at_byte(expanded.bytes), damage);
        }
        if kind == FileKind::Empty {
            self.reports.push(report);
            return Ok(number);
        }
        let stream = stream_of(&expanded.sha256);
        report.stream = Some(stream.clone());
        let held = match self.known.get(&stream) {
            Some(&held) => held,
            None => (self.stream_records)(&stream).map_err(Halt::Sink)?,
        };
        let written = written(self.options, kind);
        if !written.is_empty() {
            let describe = Job::Describe(stream.clone(), written);
            self.jobs.send(describe).map_err(|_| Halt::WriterGone)?;
        }
        // Kept here first, so that a halt still reports what was read.
        self.reports.push(report);
        let mut leaf = Leaf {
            report: &mut self.reports[number],
            file: number,
            stream,
            peer: Record::peer_text(name),
            identity: "none".into(),
            held,
            produced: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            offset: 0,
            cancel: self.cancel,
            jobs: &self.jobs,
            meter: &self.meter,
        };
        leaf.read(&mut expanded.content, kind, mark, expanded.bytes)?;
        let (stream, total) = leaf.finish()?;
        self.known.insert(stream, total);
        Ok(number)
    }
}

impl Opener for Session<'_> {
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
        let mut report = FileReport::new(name);
        report.skipped = Some(reason);
        self.reports.push(report);
    }

    fn no_log(&mut self, name: &str) {
        let mut report = FileReport::new(name);
        report.no_log = true;
        report.skipped = Some(why::no_log());
        self.reports.push(report);
    }

    fn expanded_log(
        &mut self,
        log: Expanded,
        name: &str,
        kind: FileKind,
        mark: usize,
    ) -> Result<(), Halt> {
        self.log(log, name, kind, mark).map(drop)
    }
}

pub(super) fn check(cancel: &AtomicBool) -> Result<(), Halt> {
    if cancel.load(Ordering::Relaxed) { Err(Halt::Cancelled) } else { Ok(()) }
}

/// What is known of a file's records: a line of UTF-16 no longer shows what the file began with.
fn written(options: &ImportOptions, kind: FileKind) -> Written {
    let mut written = options.written.clone();
    let encoding = match kind {
        FileKind::TextUtf16Le => Some("utf-16le"),
        FileKind::TextUtf16Be => Some("utf-16be"),
        // Events as JSON are ours and UTF-8, whatever else the files are in.
        FileKind::Evtx => {
            written.encoding = None;
            None
        }
        _ => None,
    };
    written.encoding = written.encoding.or(encoding.map(str::to_owned));
    written
}

fn stream_of(sha256: &str) -> StreamName {
    StreamName::new(&format!("import/{}", &sha256[..STREAM_DIGITS]))
        .unwrap_or_else(|error| unreachable!("hexadecimal digits make a name: {error}"))
}

/// What the writing thread achieved.
#[derive(Default)]
struct Achieved {
    /// Records made durable, by the number of the file's report.
    added: HashMap<usize, u64>,
    error: Option<SinkError>,
}

/// Does the jobs in order; at the first failure stops, which closes the queue.
fn write(queue: Receiver<Job>, sink: &impl ImportSink, durable: &AtomicU64) -> Achieved {
    let mut written = Achieved::default();
    for job in queue {
        let done = match job {
            Job::Append { file, stream, records } => {
                let count = records.len() as u64;
                sink.append(&stream, records).map(|()| {
                    durable.fetch_add(count, Ordering::Relaxed);
                    *written.added.entry(file).or_default() += count;
                })
            }
            Job::Describe(stream, written) => sink.describe(&stream, &written),
            Job::Seal(stream) => sink.seal(&stream),
        };
        if let Err(error) = done {
            written.error = Some(error);
            break;
        }
    }
    written
}

fn report(mut files: Vec<FileReport>, written: Achieved, halted: Option<Halt>) -> ImportReport {
    for (number, added) in written.added {
        if let Some(file) = files.get_mut(number) {
            file.records_added = added;
        }
    }
    let outcome = match (written.error, halted) {
        (Some(error), _) | (None, Some(Halt::Sink(error))) => Outcome::Failed(error),
        (None, None) => Outcome::Done,
        // Without an error the writer ends only after us, so the flag is the reason.
        (None, Some(Halt::Cancelled | Halt::WriterGone)) => Outcome::Cancelled,
    };
    ImportReport { files, outcome }
}
