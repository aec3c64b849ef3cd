//! A disk, a ledger and a random stream that obey the tests.

use crate::SealLog;
use crate::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use yagura_event::StreamName;
use yagura_ledger::{BatchHeader, Hash};

/// xorshift64*: seeded, so that a failing seed can be run again.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit.max(1)
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// What goes wrong at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Io,
    /// No space; half of what was to be written is.
    Full,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    files: HashMap<u64, Content>,
    next_file: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    full: bool,
}

#[derive(Default, Clone)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
}

/// A directory in memory that knows what would survive a power cut.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

const SECTOR: usize = 512;

impl SimDisk {
    /// Lets operation number `at` (counted from now, from 1) fail once.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.fault = Some((state.operations + at, fault));
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// Whether every write fails for want of space.
    pub fn set_full(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        self.read(name, u64::MAX).unwrap()
    }

    /// Writes a file as if it had always been so.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let id = state.next_file;
        state.next_file += 1;
        let content = Content { current: bytes.to_vec(), durable: bytes.to_vec() };
        state.files.insert(id, content);
        state.names.insert(name.to_owned(), id);
        state.durable_names.insert(name.to_owned(), id);
    }

    /// An independent copy of everything as the running process sees it.
    pub fn copy(&self) -> SimDisk {
        let copy = SimDisk::default();
        for (name, _) in self.list().unwrap() {
            copy.put(&name, &self.content(&name));
        }
        copy
    }

    /// What is found after a power cut: of what was not made durable any sectors, or none.
    pub fn after_power_cut(&self, random: &mut Random) -> SimDisk {
        let state = self.0.lock().unwrap();
        let disk = SimDisk::default();
        let mut names = state.durable_names.clone();
        for (name, id) in &state.names {
            if !names.contains_key(name) && random.one_in(2) {
                names.insert(name.clone(), *id);
            }
        }
        for name in state.durable_names.keys() {
            if !state.names.contains_key(name) && random.one_in(2) {
                names.remove(name);
            }
        }
        for (name, id) in names {
            disk.put(&name, &torn(&state.files[&id], random));
        }
        disk
    }

    fn operate(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        if let Some((at, fault)) = state.fault
            && at == state.operations
        {
            return Err(match fault {
                Fault::Io => io::Error::other("simulated"),
                Fault::Full => ErrorKind::StorageFull.into(),
            });
        }
        Ok(state)
    }
}

fn torn(content: &Content, random: &mut Random) -> Vec<u8> {
    let (old, new) = (&content.durable, &content.current);
    if old == new {
        return old.clone();
    }
    let (short, long) = (old.len().min(new.len()), old.len().max(new.len()));
    let len = short + random.below(long - short + 1);
    let mut bytes = vec![0; len];
    for (sector, chunk) in bytes.chunks_mut(SECTOR).enumerate() {
        let source = if random.one_in(2) { old } else { new };
        for (at, byte) in chunk.iter_mut().enumerate() {
            *byte = source.get(sector * SECTOR + at).copied().unwrap_or(0);
        }
    }
    bytes
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("journal")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.0.lock().unwrap();
        let size = |id| state.files[id].current.len() as u64;
        Ok(state.names.iter().map(|(name, id)| (name.clone(), size(id))).collect())
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        let id = state.names.get(name).ok_or(ErrorKind::NotFound)?;
        let mut bytes = state.files[id].current.clone();
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.operate()?;
        if state.full {
            return Err(ErrorKind::StorageFull.into());
        }
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, Content::default());
        state.names.insert(name.to_owned(), id);
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.0.lock().unwrap();
        let id = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        let id = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        state.names.remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.disk.operate().map(drop);
        let mut state = self.disk.0.lock().unwrap();
        let full = state.full;
        let content = state.files.get_mut(&self.id).unwrap();
        if outcome.is_err() || full {
            content.current.extend_from_slice(&bytes[..bytes.len() / 2]);
            return outcome.and(Err(ErrorKind::StorageFull.into()));
        }
        content.current.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let content = state.files.get_mut(&self.id).unwrap();
        content.durable = content.current.clone();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.operate()?;
        let content = state.files.get_mut(&self.id).unwrap();
        content.current.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

/// A ledger in memory: strict about `stream_prev`, and forgetful of what was not published.
#[derive(Clone, Default)]
pub struct FakeLog(Arc<Mutex<FakeState>>);

#[derive(Default, Clone)]
struct FakeState {
    headers: Vec<BatchHeader>,
    published: usize,
    refuse: bool,
}

impl FakeLog {
    pub fn after_crash(&self) -> FakeLog {
        let mut state = self.0.lock().unwrap().clone();
        state.headers.truncate(state.published);
        FakeLog(Arc::new(Mutex::new(state)))
    }

    pub fn set_refusing(&self, refuse: bool) {
        self.0.lock().unwrap().refuse = refuse;
    }

    pub fn headers(&self) -> Vec<BatchHeader> {
        self.0.lock().unwrap().headers.clone()
    }
}

impl SealLog for FakeLog {
    fn origin(&self) -> Arc<str> {
        "test.example/events".into()
    }

    fn size(&self) -> u64 {
        self.0.lock().unwrap().headers.len() as u64
    }

    fn streams(&self) -> Vec<(StreamName, u64)> {
        let newest: BTreeMap<StreamName, u64> =
            self.headers().into_iter().map(|header| header.stream).zip(0..).collect();
        newest.into_iter().collect()
    }

    fn stream_tail(&self, stream: &StreamName) -> Option<(u64, Hash)> {
        let headers = &self.0.lock().unwrap().headers;
        let leaf = headers.iter().rposition(|header| header.stream == *stream)?;
        Some((leaf as u64, headers[leaf].leaf_hash()))
    }

    fn stream_count(&self, stream: &StreamName) -> u64 {
        let headers = &self.0.lock().unwrap().headers;
        headers.iter().filter(|h| h.stream == *stream).map(|h| u64::from(h.count)).sum()
    }

    fn first_batch(&self) -> u64 {
        0
    }

    fn header(&self, leaf: u64) -> Result<BatchHeader, Arc<str>> {
        let headers = &self.0.lock().unwrap().headers;
        headers.get(usize::try_from(leaf).unwrap()).cloned().ok_or_else(|| "none".into())
    }

    fn header_of_batch(&self, batch: u64) -> Result<Option<BatchHeader>, Arc<str>> {
        Ok(self.0.lock().unwrap().headers.iter().find(|header| header.batch == batch).cloned())
    }

    fn append(&self, headers: &[BatchHeader]) -> Result<(), Arc<str>> {
        for header in headers {
            if self.0.lock().unwrap().refuse {
                return Err("refused".into());
            }
            match self.header_of_batch(header.batch)? {
                Some(known) if known == *header => continue,
                Some(_) => return Err("batch number taken".into()),
                None => {}
            }
            assert_eq!(BatchHeader::parse(&header.encode()).as_ref(), Ok(header));
            if header.stream_prev != self.stream_tail(&header.stream) {
                return Err("stream_prev does not fit".into());
            }
            self.0.lock().unwrap().headers.push(header.clone());
        }
        Ok(())
    }

    fn publish(&self) -> Result<(), Arc<str>> {
        let mut state = self.0.lock().unwrap();
        if state.refuse {
            return Err("refused".into());
        }
        state.published = state.headers.len();
        Ok(())
    }
}
