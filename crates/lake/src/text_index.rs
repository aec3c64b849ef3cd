//! The text index beside each Parquet file: written with it, read when a search asks for words.

use crate::durable::UNFINISHED;
use crate::file::FileEntry;
use crate::kill::kill_point;
use crate::limits::TEXT_INDEX_CACHE_BYTES;
use crate::writer::HashingFile;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use yagura_event::columns as envelope;
use yagura_textindex::{IndexBuilder, IndexError, Need, TRAILER_BYTES, TextIndex, Trailer};

/// The column with an event's decoded text.
pub(crate) const MESSAGE: &str = "message";

/// The text index of a Parquet file, as the table's log states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextIndexFile {
    /// SHA-256 of the index, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl TextIndexFile {
    pub(crate) fn tag(&self) -> String {
        format!("{} {}", self.sha256, self.bytes)
    }

    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let (sha256, bytes) = tag.split_once(' ')?;
        Some(TextIndexFile { sha256: sha256.to_owned(), bytes: bytes.parse().ok()? })
    }
}

/// Path of the text index of a Parquet file of the table. Its name begins with `_`, so that other
/// readers of the table, and their vacuum, pass over it.
pub fn text_index_path(parquet: &str) -> String {
    let (directory, name) = match parquet.rsplit_once('/') {
        Some((directory, name)) => (format!("{directory}/"), name),
        None => (String::new(), parquet),
    };
    format!("{directory}_{}.textidx", name.strip_suffix(".parquet").unwrap_or(name))
}

/// The text index of a file that is being written, under its unfinished name. Whoever writes the file
/// removes it when the file comes to nothing.
pub(crate) struct NewIndex {
    file: BufWriter<HashingFile>,
    builder: IndexBuilder,
}

impl NewIndex {
    /// Begins the index of the Parquet file at `parquet` (within `root`), whose directory is there.
    pub(crate) fn create(root: &Path, parquet: &str) -> io::Result<Self> {
        let file = HashingFile::create(&root.join(unfinished_index_path(parquet)))?;
        Ok(NewIndex { file: BufWriter::new(file), builder: IndexBuilder::default() })
    }

    /// Adds rows, in the order in which they lie in the file.
    pub(crate) fn add(&mut self, part: &RecordBatch) -> io::Result<()> {
        let column = |name: &str, kind: &DataType| {
            part.column_by_name(name).map(|column| cast(column, kind)).transpose()
        };
        let original = column(envelope::ORIGINAL, &DataType::BinaryView);
        let original = original.map_err(io::Error::other)?;
        let message = column(MESSAGE, &DataType::Utf8View).map_err(io::Error::other)?;
        let original = original.as_ref().map(|array| array.as_binary_view());
        let message = message.as_ref().map(|array| array.as_string_view());
        for row in 0..part.num_rows() {
            let raw = original.filter(|array| array.is_valid(row)).map(|a| a.value(row));
            let message = message.filter(|array| array.is_valid(row)).map(|a| a.value(row));
            self.builder.add(raw.unwrap_or_default(), message);
        }
        self.file.write_all(&self.builder.take_bytes())
    }

    /// Writes the end and synchronises it. `sha256` is that of the Parquet file, which is finished.
    pub(crate) fn finish(mut self, sha256: &str) -> io::Result<TextIndexFile> {
        let of = digest_bytes(sha256).ok_or(io::ErrorKind::InvalidData)?;
        self.file.write_all(&self.builder.finish(&of).0)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (sha256, bytes) = file.finish()?;
        Ok(TextIndexFile { sha256, bytes })
    }
}

/// Path of the text index of a Parquet file before both have their names.
pub(crate) fn unfinished_index_path(parquet: &str) -> String {
    format!("{}{UNFINISHED}", text_index_path(parquet))
}

/// Removes a Parquet file of the table, its text index first: one never lies there without the file
/// it is of.
pub(crate) fn remove_with_index(root: &Path, parquet: &str) -> io::Result<()> {
    remove_if_there(&root.join(text_index_path(parquet)))?;
    kill_point("remove", &"IndexGone");
    remove_if_there(&root.join(parquet))
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn digest_bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (number, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(number * 2..number * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Directories of indexes that were read, the last used ones.
#[derive(Debug, Default)]
pub(crate) struct IndexCache {
    state: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    indexes: HashMap<String, Entry>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` for one that cannot be used; that was said once.
    index: Option<Arc<TextIndex>>,
    bytes: usize,
    used: u64,
}

impl IndexCache {
    /// The rows of `file` that a search must look at; `None` for all of them, because there is no
    /// index or it cannot be used.
    pub(crate) fn rows_to_read(
        &self,
        root: &Path,
        file: &FileEntry,
        need: &Need,
    ) -> Option<Vec<Range<u64>>> {
        file.text_index.as_ref()?;
        let path = root.join(text_index_path(&file.path));
        let unusable = |error: IndexError| {
            tracing::warn!(
                path = %path.display(), %error,
                "a text index cannot be used: its file is read whole, which is slower; run yagura verify"
            );
            self.keep(&file.path, None);
        };
        let index = match self.cached(&file.path) {
            Some(cached) => cached?,
            None => match read(&path, file) {
                Ok(index) => {
                    let index = Arc::new(index);
                    self.keep(&file.path, Some(index.clone()));
                    index
                }
                Err(error) => {
                    unusable(error);
                    return None;
                }
            },
        };
        let mut opened: Option<File> = None;
        let fetch = |range: Range<u64>| {
            let file = match opened.take() {
                Some(file) => file,
                None => File::open(&path).map_err(|error| error.to_string())?,
            };
            let bytes = read_range(&file, range).map_err(|error| error.to_string());
            opened = Some(file);
            bytes
        };
        match index.rows_to_read(need, fetch) {
            Ok(rows) => Some(rows),
            Err(error) => {
                unusable(error);
                None
            }
        }
    }

    fn cached(&self, path: &str) -> Option<Option<Arc<TextIndex>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let now = state.clock;
        let entry = state.indexes.get_mut(path)?;
        entry.used = now;
        Some(entry.index.clone())
    }

    fn keep(&self, path: &str, index: Option<Arc<TextIndex>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let used = state.clock;
        let bytes = path.len() + index.as_ref().map_or(0, |index| index.memory_bytes());
        let before = state.indexes.insert(path.to_owned(), Entry { index, bytes, used });
        state.bytes += bytes;
        state.bytes -= before.map_or(0, |entry| entry.bytes);
        if state.bytes <= TEXT_INDEX_CACHE_BYTES {
            return;
        }
        // Half of it at once, so that the order is made seldom.
        let mut by_use: Vec<(u64, String)> =
            state.indexes.iter().map(|(path, entry)| (entry.used, path.clone())).collect();
        by_use.sort_unstable();
        for (_, path) in by_use {
            if state.bytes <= TEXT_INDEX_CACHE_BYTES / 2 {
                break;
            }
            if let Some(entry) = state.indexes.remove(&path) {
                state.bytes -= entry.bytes;
            }
        }
    }
}

fn read(path: &Path, parquet: &FileEntry) -> Result<TextIndex, IndexError> {
    let failed = |error: io::Error| IndexError::Read(error.to_string());
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let tail = read_range(&file, bytes.saturating_sub(TRAILER_BYTES)..bytes).map_err(failed)?;
    let trailer = Trailer::parse(&tail, bytes)?;
    let directory = read_range(&file, trailer.directory.clone()).map_err(failed)?;
    let index = TextIndex::parse(&trailer, &directory)?;
    let sha256 = digest_bytes(&parquet.sha256).ok_or(IndexError::OtherFile)?;
    index.check_file(&sha256, parquet.rows)?;
    Ok(index)
}

/// Reads bytes whose length the caller has checked against the format's limits.
fn read_range(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let left = file.metadata()?.len().saturating_sub(range.start);
    if length as u64 > left {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags() {
        assert_eq!(
            text_index_path("dataset=a/day=b/part-1.parquet"),
            "dataset=a/day=b/_part-1.textidx"
        );
        assert_eq!(text_index_path("part"), "_part.textidx");
        let file = TextIndexFile { sha256: "ab".repeat(32), bytes: 12 };
        assert_eq!(TextIndexFile::from_tag(&file.tag()), Some(file.clone()));
        assert_eq!(TextIndexFile::from_tag("x"), None);
        assert_eq!(digest_bytes(&file.sha256), Some([0xab; 32]));
        assert_eq!(digest_bytes("+f"), None);
    }

    #[test]
    fn the_cache_holds_so_much_and_no_more() {
        let cache = IndexCache::default();
        let fill = |path: &str, bytes: usize| {
            cache.keep(path, None);
            let mut state = cache.state.lock().unwrap();
            let small = std::mem::replace(&mut state.indexes.get_mut(path).unwrap().bytes, bytes);
            state.bytes += bytes - small;
        };
        fill("old", TEXT_INDEX_CACHE_BYTES / 2);
        fill("new", TEXT_INDEX_CACHE_BYTES / 2 - 1);
        cache.keep("y", None);
        assert!(["old", "new", "y"].iter().all(|path| cache.cached(path).is_some()));
        // One byte more: what was used last stays, up to half of it.
        cache.keep("z", None);
        assert!(cache.cached("old").is_none());
        assert!(cache.cached("y").is_some() && cache.cached("z").is_some());
    }
}
