use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::SpooledTempFile;

/// The bytes of one file: on disk where it lies, or expanded out of a container into memory or an
/// unnamed temporary file (names inside archives never become paths).
#[derive(Debug)]
pub(super) enum Content {
    Disk(File),
    Counted(Counted),
    /// Small, and read into memory at once.
    Small(io::Cursor<Vec<u8>>),
    Spooled(Box<SpooledTempFile>),
}

/// A file on disk that says how far reading has come. A byte read again counts again, up to the
/// size of the file.
#[derive(Debug)]
pub(super) struct Counted {
    pub file: File,
    /// Bytes read so far.
    pub read: u64,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Bytes of the files before this one.
    pub before: u64,
    /// Bytes of all files so far.
    pub position: Arc<AtomicU64>,
}

impl Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.read += length as u64;
        self.position.store(self.before + self.read.min(self.bytes), Ordering::Relaxed);
        Ok(length)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Disk(file) => file.read(buffer),
            Content::Counted(counted) => counted.read(buffer),
            Content::Small(bytes) => bytes.read(buffer),
            Content::Spooled(file) => file.read(buffer),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Content::Disk(file) => file.seek(to),
            Content::Counted(counted) => counted.file.seek(to),
            Content::Small(bytes) => bytes.seek(to),
            Content::Spooled(file) => file.seek(to),
        }
    }
}

impl Content {
    /// The first `length` bytes, or all there are. Goes back to the start.
    pub fn head(&mut self, length: usize) -> io::Result<Cow<'_, [u8]>> {
        self.rewind()?;
        if let Content::Small(bytes) = self {
            let bytes = bytes.get_ref().as_slice();
            return Ok(Cow::Borrowed(bytes.get(..length).unwrap_or(bytes)));
        }
        let mut head = Vec::new();
        self.take(length as u64).read_to_end(&mut head)?;
        self.rewind()?;
        Ok(Cow::Owned(head))
    }
}

/// Passes bytes on and hashes them.
pub(super) struct Hashing<R> {
    pub reader: R,
    sha256: Sha256,
    pub bytes: u64,
}

impl<R: Read> Hashing<R> {
    pub fn new(reader: R) -> Self {
        Hashing { reader, sha256: Sha256::new(), bytes: 0 }
    }

    /// Takes note of what was read of the reader.
    pub fn passed(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Lowercase hexadecimal of what has passed.
    pub fn finish(self) -> String {
        use std::fmt::Write;
        self.sha256.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Proof: writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.passed(&buffer[..length]);
        Ok(length)
    }
}
