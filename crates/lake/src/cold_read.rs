//! Reading parts of files in a cold store: for threads that wait, and for queries.

use crate::cold::{ColdProblem, ColdStore};
use crate::limits::{COLD_BLOCK_BYTES, COLD_BLOCKS_AHEAD, COLD_BLOCKS_MAX};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// The first trouble that reading a file met, kept here because others turn errors into texts.
pub(crate) type Seen = Arc<Mutex<Option<ColdProblem>>>;

fn note(seen: &Seen, problem: &ColdProblem) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.get_or_insert_with(|| problem.clone());
}

/// Bytes of one file, in pieces that are kept for a while: columns lie beside each other, and are read in
/// small parts.
#[derive(Debug, Clone)]
pub(crate) struct ColdBytes {
    store: Arc<ColdStore>,
    key: Key,
    length: u64,
    blocks: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
    seen: Seen,
}

impl ColdBytes {
    pub(crate) fn new(
        store: Arc<ColdStore>,
        path: &str,
        length: u64,
    ) -> std::result::Result<Self, ColdProblem> {
        let key = store.key(path)?;
        Ok(ColdBytes { store, key, length, blocks: Arc::default(), seen: Seen::default() })
    }

    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    pub(crate) fn reader(&self, start: u64) -> impl Read + use<> {
        ColdReader { bytes: self.clone(), at: start }
    }

    pub(crate) fn bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = start.saturating_add(length as u64);
        if end > self.length {
            let reason = format!("{length} bytes at {start} of {}", self.length);
            return Err(ParquetError::EOF(reason));
        }
        let mut whole = BytesMut::with_capacity(length);
        let mut at = start;
        while at < end {
            let part = self.from(at).map_err(|error| ParquetError::External(error.into()))?;
            let part = part.slice(..part.len().min(usize::try_from(end - at).unwrap_or(length)));
            at += part.len() as u64;
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// The bytes from `at` to the end of its piece; `at` is within the file.
    fn from(&self, at: u64) -> io::Result<Bytes> {
        let number = at / COLD_BLOCK_BYTES;
        let inside = usize::try_from(at % COLD_BLOCK_BYTES).unwrap_or_default();
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |blocks: &VecDeque<(u64, Bytes)>, number: u64| {
            blocks.iter().position(|(known, _)| *known == number)
        };
        if let Some(position) = has(&blocks, number)
            && let Some(block) = blocks.remove(position)
        {
            let bytes = block.1.slice(inside.min(block.1.len())..);
            blocks.push_back(block);
            return Ok(bytes);
        }
        let goes_on = number.checked_sub(1).is_some_and(|before| has(&blocks, before).is_some());
        let wanted = if goes_on { COLD_BLOCKS_AHEAD } else { 1 };
        let begin = number * COLD_BLOCK_BYTES;
        let end = self.length.min(begin + wanted * COLD_BLOCK_BYTES);
        let fetched = self.store.range(&self.key, begin..end).map_err(|problem| {
            note(&self.seen, &problem);
            io::Error::other(problem.reason)
        })?;
        let size = usize::try_from(COLD_BLOCK_BYTES).unwrap_or(usize::MAX);
        for (ahead, start) in (0..).zip((0..fetched.len()).step_by(size)) {
            let block = fetched.slice(start..fetched.len().min(start + size));
            blocks.push_back((number + ahead, block));
        }
        while blocks.len() > COLD_BLOCKS_MAX {
            blocks.pop_front();
        }
        Ok(fetched.slice(inside.min(fetched.len())..fetched.len().min(size)))
    }
}

struct ColdReader {
    bytes: ColdBytes,
    at: u64,
}

impl Read for ColdReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.bytes.length || buffer.is_empty() {
            return Ok(0);
        }
        let part = self.bytes.from(self.at)?;
        let count = part.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), part.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// One file of a cold store for one scan of a query: it can be read, and what goes wrong is noted.
#[derive(Debug)]
pub(crate) struct ScannedStore {
    store: Arc<ColdStore>,
    seen: Seen,
}

impl ScannedStore {
    pub(crate) fn new(store: Arc<ColdStore>) -> (Self, Seen) {
        let seen = Seen::default();
        (ScannedStore { store, seen: seen.clone() }, seen)
    }

    fn failed(&self, problem: ColdProblem) -> Error {
        note(&self.seen, &problem);
        Error::Generic { store: "cold", source: problem.reason.into() }
    }
}

impl std::fmt::Display for ScannedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.store.url)
    }
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "a query only reads".into() })
}

#[async_trait]
impl ObjectStore for ScannedStore {
    /// Reads what is asked for to its end here: an error on the way is noted as well.
    async fn get_opts(&self, location: &Key, options: GetOptions) -> Result<GetResult> {
        self.store.is_there().map_err(|problem| self.failed(problem))?;
        let end = match &options.range {
            Some(GetRange::Bounded(range)) => range.end,
            _ => 0,
        };
        let got = async {
            let got = self.store.objects.get_opts(location, options).await?;
            let (meta, range) = (got.meta.clone(), got.range.clone());
            let attributes = got.attributes.clone();
            let bytes = got.bytes().await?;
            let payload = GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed());
            Ok(GetResult { payload, meta, range, attributes })
        };
        match self.store.noted(got.await) {
            Ok(got) => Ok(got),
            Err(problem) => {
                let problem = self.store.explained(location, end, problem).await;
                Err(self.failed(problem))
            }
        }
    }

    async fn put_opts(&self, _: &Key, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &Key,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        async { read_only() }.into_stream().boxed()
    }

    fn list(&self, _: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        async { read_only() }.into_stream().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Key>) -> Result<ListResult> {
        read_only()
    }

    async fn copy_opts(&self, _: &Key, _: &Key, _: CopyOptions) -> Result<()> {
        read_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColdSettings;
    use crate::cold::ColdStores;

    #[test]
    fn so_many_pieces_of_a_file_are_kept_and_then_the_oldest_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let last = COLD_BLOCKS_MAX as u64;
        let length = (last + 1) * COLD_BLOCK_BYTES;
        let file = std::fs::File::create(directory.path().join("file")).unwrap();
        file.set_len(length).unwrap();
        let settings = ColdSettings::new(format!("file://{}", directory.path().display()));
        let stores = ColdStores::new(std::slice::from_ref(&settings)).unwrap();
        let store = stores.get(settings.url()).unwrap().clone();
        let bytes = ColdBytes::new(store, "file", length).unwrap();
        let kept = || -> Vec<u64> {
            bytes.blocks.lock().unwrap().iter().map(|(number, _)| *number).collect()
        };
        // From behind, where nothing is fetched ahead.
        for number in (1..=last).rev() {
            assert_eq!(bytes.bytes(number * COLD_BLOCK_BYTES, 1).unwrap().len(), 1);
        }
        assert_eq!(kept(), (1..=last).rev().collect::<Vec<_>>());
        bytes.bytes(0, 1).unwrap();
        assert_eq!(kept(), (0..last).rev().collect::<Vec<_>>());
        // What is read ahead stays within it, too; and beyond the end there is nothing.
        bytes.bytes(0, usize::try_from(length).unwrap()).unwrap();
        assert_eq!(kept().len(), COLD_BLOCKS_MAX);
        assert!(bytes.bytes(length - 1, 2).is_err());
    }
}
