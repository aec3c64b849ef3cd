use super::ImportOptions;
use super::content::{Content, Hashing};
use super::kind::{FileKind, Sniffed, sniff};
use super::session::{COPY_BYTES, Halt};
use super::why;
use crate::limits::{ARCHIVE_DEPTH_MAX, EXPANSION_FREE_BYTES, SNIFF_BYTES, ZSTD_WINDOW_LOG_MAX};
use std::cell::Cell;
use std::io::{self, Read, Seek, Write};
use std::rc::Rc;
use tempfile::{SpooledTempFile, spooled_tempfile, spooled_tempfile_in};
use yagura_event::Words;

/// What one file on disk may still expand to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub bytes: u64,
    pub members: u64,
}

impl Budget {
    pub fn new(file_bytes: u64, options: &ImportOptions) -> Self {
        let by_ratio = file_bytes.saturating_mul(options.expansion_ratio_max);
        Budget {
            bytes: by_ratio.max(EXPANSION_FREE_BYTES).min(options.expanded_bytes_max),
            members: options.archive_members_max,
        }
    }
}

/// The containers around the content at hand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layers {
    archives: u8,
    compressed: bool,
}

/// Content taken out of a container.
pub(super) struct Expanded {
    pub content: Content,
    pub sha256: String,
    pub bytes: u64,
    /// Why it ends early, if it does.
    pub damage: Option<Words>,
}

/// Why content was not taken out of a container.
pub(super) enum Refusal {
    Halt(Halt),
    /// The expansion limit: nothing more of this file on disk is read.
    TooLarge,
    Io(io::Error),
}

/// Opens containers, and takes the logs inside them one after the other.
pub(super) trait Opener: Sized {
    fn options(&self) -> &ImportOptions;

    /// For copying; kept from one member to the next.
    fn buffer(&mut self) -> &mut Vec<u8>;

    fn check_cancelled(&self) -> Result<(), Halt>;

    /// Says why `name` is not read.
    fn skip(&mut self, name: &str, reason: Words);

    /// Says that `name` is not read because it is no log.
    fn no_log(&mut self, name: &str);

    /// Takes a log out of a container; it starts with `mark` bytes of byte order mark.
    fn expanded_log(
        &mut self,
        log: Expanded,
        name: &str,
        kind: FileKind,
        mark: usize,
    ) -> Result<(), Halt>;

    /// Reads what was taken out of a container.
    fn content(
        &mut self,
        mut expanded: Expanded,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<(), Halt> {
        match expanded.content.head(SNIFF_BYTES).map(|head| sniff(&head)) {
            Ok(Sniffed::Log(kind, mark)) => self.expanded_log(expanded, name, kind, mark),
            Ok(Sniffed::Binary) => {
                self.no_log(name);
                Ok(())
            }
            Ok(sniffed) => {
                if let Some(damage) = &expanded.damage {
                    self.skip(name, damage.clone());
                }
                self.container(sniffed, expanded.content, name, layers, budget)
            }
            Err(error) => {
                self.skip(name, why::not_read(&error));
                Ok(())
            }
        }
    }

    /// Reads a container: decides by `sniffed`, which is neither a log nor unknown.
    fn container(
        &mut self,
        sniffed: Sniffed,
        content: Content,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<(), Halt> {
        let is_archive = matches!(sniffed, Sniffed::Zip | Sniffed::Tar);
        if is_archive && layers.archives >= ARCHIVE_DEPTH_MAX {
            self.skip(name, why::archives_too_deep());
            return Ok(());
        }
        if !is_archive && layers.compressed {
            self.skip(name, why::compressed_twice());
            return Ok(());
        }
        match sniffed {
            Sniffed::Gzip => {
                let decoder = flate2::read::MultiGzDecoder::new(content);
                self.compressed(decoder, name, layers, budget)
            }
            Sniffed::Zstd => {
                let limited = zstd::Decoder::new(content).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                    Ok(decoder)
                });
                match limited {
                    Ok(decoder) => self.compressed(decoder, name, layers, budget),
                    Err(error) => {
                        self.skip(name, why::not_expanded(&error));
                        Ok(())
                    }
                }
            }
            Sniffed::Zip => self.zip(content, name, layers, budget),
            Sniffed::Tar => self.tar(content, name, layers, budget),
            Sniffed::Log(..) | Sniffed::Binary => Ok(()),
        }
    }

    fn compressed(
        &mut self,
        decoder: impl Read,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<(), Halt> {
        let inner = Layers { compressed: true, ..layers };
        self.member(decoder, name, inner, budget).map(drop)
    }

    fn zip(
        &mut self,
        content: Content,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<(), Halt> {
        let mut archive = match zip::ZipArchive::new(content) {
            Ok(archive) => archive,
            Err(error) => {
                self.skip(name, why::no_zip(&error));
                return Ok(());
            }
        };
        let inner = Layers { archives: layers.archives + 1, compressed: false };
        for number in 0..archive.len() {
            let listed = archive.name_for_index(number).and_then(Result::ok);
            let listed = listed.as_deref().unwrap_or("?").to_owned();
            let member = match archive.by_index(number) {
                Ok(member) if member.is_dir() => continue,
                Ok(member) => member,
                Err(error) => {
                    self.skip(&format!("{name}!{listed}"), why::member_not_read(&error));
                    continue;
                }
            };
            let member_name = format!("{name}!{}", zip_name(member.name_raw()));
            if !self.member(member, &member_name, inner, budget)? {
                break;
            }
        }
        Ok(())
    }

    fn tar(
        &mut self,
        content: Content,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<(), Halt> {
        let allowance = Rc::new(Cell::new(0));
        let reader = Allowed { reader: io::BufReader::new(content), allowance: allowance.clone() };
        let mut archive = tar::Archive::new(reader);
        let mut entries = match archive.entries() {
            Ok(entries) => entries,
            Err(error) => {
                self.skip(name, why::no_tar(&error));
                return Ok(());
            }
        };
        let inner = Layers { archives: layers.archives + 1, compressed: false };
        loop {
            allowance.set(TAR_HEADER_BYTES_MAX);
            let mut entry = match entries.next() {
                None => break,
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    // After a damaged header nothing says where the next one is.
                    self.skip(&format!("{name}!"), why::rest_not_read(&error));
                    break;
                }
            };
            allowance.set(u64::MAX);
            if entry.header().entry_type().is_file() {
                let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                if !self.member(&mut entry, &format!("{name}!{member}"), inner, budget)? {
                    break;
                }
            }
            // Whatever is left of the entry is passed over here, where it is not a header.
            if io::copy(&mut entry, &mut io::sink()).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Takes one member out of its container and reads it. False when the limit is reached and
    /// the container should be left.
    fn member(
        &mut self,
        reader: impl Read,
        name: &str,
        layers: Layers,
        budget: &mut Budget,
    ) -> Result<bool, Halt> {
        let is_member = !layers.compressed;
        if is_member && budget.members == 0 {
            let most = self.options().archive_members_max;
            self.skip(name, why::too_many_members(most));
            return Ok(false);
        }
        budget.members -= u64::from(is_member);
        match self.spool(reader, budget) {
            Ok(expanded) => {
                self.content(expanded, name, layers, budget)?;
                Ok(budget.bytes > 0)
            }
            Err(Refusal::Halt(halt)) => Err(halt),
            Err(Refusal::TooLarge) => {
                budget.bytes = 0;
                self.skip(name, why::expands_too_far());
                Ok(false)
            }
            Err(Refusal::Io(error)) => {
                self.skip(name, why::not_expanded(&error));
                Ok(true)
            }
        }
    }

    /// Expands `reader` to where it can be read again. What a damaged container still yields is kept.
    fn spool(&mut self, reader: impl Read, budget: &mut Budget) -> Result<Expanded, Refusal> {
        let mut spool = self.new_spool();
        let mut reader = Hashing::new(reader);
        let mut buffer = std::mem::take(self.buffer());
        buffer.resize(COPY_BYTES, 0);
        let mut damage = None;
        loop {
            self.check_cancelled().map_err(Refusal::Halt)?;
            let length = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if reader.bytes == 0 => return Err(Refusal::Io(error)),
                Err(error) => {
                    damage = Some(why::not_expanded_further(&error));
                    break;
                }
            };
            budget.bytes = budget.bytes.checked_sub(length as u64).ok_or(Refusal::TooLarge)?;
            spool.write_all(&buffer[..length]).map_err(Refusal::Io)?;
        }
        *self.buffer() = buffer;
        spool.rewind().map_err(Refusal::Io)?;
        let bytes = reader.bytes;
        let content = Content::Spooled(Box::new(spool));
        Ok(Expanded { content, sha256: reader.finish(), bytes, damage })
    }

    fn new_spool(&self) -> SpooledTempFile {
        let memory = self.options().spool_memory_bytes;
        match &self.options().spool_dir {
            Some(dir) => spooled_tempfile_in(memory, dir),
            None => spooled_tempfile(memory),
        }
    }
}

/// A member's name: UTF-8, or else CP932, which Japanese Windows writes into zip archives.
fn zip_name(raw: &[u8]) -> String {
    match std::str::from_utf8(raw) {
        Ok(name) => name.to_owned(),
        Err(_) => encoding_rs::SHIFT_JIS.decode(raw).0.into_owned(),
    }
}

/// Most bytes of headers before one tar entry. The tar reader collects long names in memory, as
/// long as a header claims they are.
const TAR_HEADER_BYTES_MAX: u64 = 1024 * 1024;

/// A reader that fails once it has given `allowance` bytes.
struct Allowed<R> {
    reader: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowance = self.allowance.get();
        if allowance == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a header is too long"));
        }
        let most = usize::try_from(allowance).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.reader.read(&mut buffer[..most])?;
        self.allowance.set(allowance - length as u64);
        Ok(length)
    }
}
