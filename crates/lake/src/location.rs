//! Where a file of the table is read from, in the table's directory or in a cold store, in one way.

use crate::LakeError;
use crate::cold::{ColdKind, ColdProblem, ColdStore, ColdStores};
use crate::cold_read::{ColdBytes, Seen};
use crate::file::FileEntry;
use crate::limits::COLD_PART_BYTES;
use crate::read::corrupt;
use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// Where a Parquet file lies.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    Local(PathBuf),
    Cold(ColdFile),
}

/// A file in a cold store.
#[derive(Debug, Clone)]
pub(crate) struct ColdFile {
    /// Its whole URL, as messages name it.
    name: PathBuf,
    url: Arc<str>,
    /// `None` where nobody told how the store is reached.
    store: Option<Arc<ColdStore>>,
    path: String,
    bytes: u64,
}

impl ColdFile {
    pub(crate) fn store(&self) -> Result<&Arc<ColdStore>, ColdProblem> {
        self.store.as_ref().ok_or_else(|| ColdProblem {
            kind: ColdKind::Unknown,
            reason: "its settings are not known here".to_owned(),
        })
    }

    pub(crate) fn store_url(&self) -> &Arc<str> {
        &self.url
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn error(&self, problem: ColdProblem) -> LakeError {
        LakeError::Cold { path: self.name.clone(), store: self.url.clone(), problem }
    }
}

impl Location {
    /// Of a file of the table in `root`.
    pub(crate) fn of(root: &Path, stores: &ColdStores, file: &FileEntry) -> Self {
        match &file.cold {
            None => Location::Local(root.join(&file.path)),
            Some(cold) => Location::Cold(ColdFile {
                name: PathBuf::from(file.place()),
                url: cold.store.clone(),
                store: stores.get(&cold.store).cloned(),
                path: file.path.clone(),
                bytes: file.bytes,
            }),
        }
    }

    /// As messages name it.
    pub(crate) fn name(&self) -> &Path {
        match self {
            Location::Local(path) => path,
            Location::Cold(cold) => &cold.name,
        }
    }

    /// Opens it. A cold store is not asked before something is read.
    pub(crate) fn open(&self) -> Result<FileBytes, LakeError> {
        match self {
            Location::Local(path) => Ok(FileBytes::Local(crate::read::open(path)?)),
            Location::Cold(cold) => {
                let store = cold.store().map_err(|problem| cold.error(problem))?;
                let bytes = ColdBytes::new(store.clone(), &cold.path, cold.bytes);
                Ok(FileBytes::Cold(bytes.map_err(|problem| cold.error(problem))?))
            }
        }
    }

    /// Reads it whole, part by part.
    pub(crate) fn read_whole(
        &self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        match self {
            Location::Local(path) => {
                let failed = |source| LakeError::Io { path: path.clone(), source };
                let mut file = crate::read::open(path)?;
                let mut part = Vec::new();
                loop {
                    part.clear();
                    let read = (&mut file).take(COLD_PART_BYTES as u64).read_to_end(&mut part);
                    if read.map_err(failed)? == 0 {
                        return Ok(());
                    }
                    take(&part)?;
                }
            }
            Location::Cold(cold) => {
                let store = cold.store().map_err(|problem| cold.error(problem))?;
                store.read(&cold.path, cold.bytes, take)
            }
        }
    }

    /// Its SHA-256, lower-case hexadecimal, and its size, as it is now.
    pub(crate) fn digest(&self) -> Result<(String, u64), LakeError> {
        let mut digest = Sha256::new();
        let mut bytes = 0;
        self.read_whole(&mut |part| {
            digest.update(part);
            bytes += part.len() as u64;
            Ok(())
        })?;
        Ok((crate::cold::hex(digest), bytes))
    }
}

/// An open file, for the Parquet reader.
pub(crate) enum FileBytes {
    Local(File),
    Cold(ColdBytes),
}

impl FileBytes {
    /// Tells damage of the file at `location` from trouble with its store.
    pub(crate) fn blame(&self, location: &Location) -> Blame {
        let seen = match self {
            FileBytes::Local(_) => None,
            FileBytes::Cold(bytes) => Some(bytes.seen()),
        };
        Blame { location: location.clone(), seen }
    }
}

/// What an error of a decoder means: others turn errors into texts on their way.
pub(crate) struct Blame {
    location: Location,
    seen: Option<Seen>,
}

impl Blame {
    pub(crate) fn error(&self, reason: impl std::fmt::Display) -> LakeError {
        if let (Some(seen), Location::Cold(cold)) = (&self.seen, &self.location)
            && let Some(problem) = seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
        {
            return cold.error(problem);
        }
        corrupt(self.location.name(), reason)
    }

    pub(crate) fn name(&self) -> &Path {
        self.location.name()
    }
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        match self {
            FileBytes::Local(file) => Length::len(file),
            FileBytes::Cold(bytes) => bytes.len(),
        }
    }
}

impl ChunkReader for FileBytes {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(match self {
            FileBytes::Local(file) => Box::new(file.get_read(start)?),
            FileBytes::Cold(bytes) => Box::new(bytes.reader(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            FileBytes::Local(file) => file.get_bytes(start, length),
            FileBytes::Cold(bytes) => bytes.bytes(start, length),
        }
    }
}
