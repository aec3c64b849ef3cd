//! Findings in the order of time, in bounded memory: what does not fit is sorted and written to
//! temporary files without a name, and merged when it is read.

use crate::ScanError;
use crate::limits::{FINDING_BYTES_MAX, RUN_BUFFER_BYTES, RUNS_MERGED};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

/// Where a finding stands in the timeline: by time, then by its place in the input, then by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Microseconds since 1970 UTC.
    pub time: i64,
    /// Number of the unit the event was read with.
    pub unit: u64,
    /// The event within its unit.
    pub index: u32,
    /// Position of the rule in the rule set.
    pub rule: u32,
}

const KEY_BYTES: usize = 24;

impl Key {
    fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.time.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.unit.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.index.to_le_bytes());
        bytes[20..].copy_from_slice(&self.rule.to_le_bytes());
        bytes
    }

    fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut eight = [0; 8];
        let mut four = [0; 4];
        reader.read_exact(&mut eight)?;
        let time = i64::from_le_bytes(eight);
        reader.read_exact(&mut eight)?;
        let unit = u64::from_le_bytes(eight);
        reader.read_exact(&mut four)?;
        let index = u32::from_le_bytes(four);
        reader.read_exact(&mut four)?;
        Ok(Key { time, unit, index, rule: u32::from_le_bytes(four) })
    }
}

/// Takes findings in any order.
pub(crate) struct Store {
    memory_bytes: usize,
    dir: Option<PathBuf>,
    findings: Vec<Held>,
    bytes: usize,
    runs: Vec<Run>,
    spilled: u64,
}

/// A finding in memory.
type Held = (Key, Box<[u8]>);

struct Run {
    file: File,
    findings: u64,
    level: u32,
}

impl Store {
    /// A store that keeps up to `memory_bytes` in memory and puts temporary files into `dir`, or the
    /// system's own folder for them.
    pub fn new(memory_bytes: usize, dir: Option<PathBuf>) -> Self {
        let (findings, runs) = (Vec::new(), Vec::new());
        Store { memory_bytes, dir, findings, bytes: 0, runs, spilled: 0 }
    }

    pub fn push(&mut self, key: Key, finding: Box<[u8]>) -> Result<(), ScanError> {
        self.bytes += finding.len();
        self.findings.push((key, finding));
        let entries = self.findings.len() * size_of::<Held>();
        if self.bytes + entries > self.memory_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), ScanError> {
        self.spilled += self.bytes as u64;
        self.findings.sort_unstable_by_key(|(key, _)| *key);
        let mut file = self.new_file()?;
        let mut writer = BufWriter::with_capacity(RUN_BUFFER_BYTES, &mut file);
        for (key, finding) in &self.findings {
            write(&mut writer, *key, finding).map_err(ScanError::Spill)?;
        }
        writer.flush().map_err(ScanError::Spill)?;
        drop(writer);
        self.runs.push(Run { file, findings: self.findings.len() as u64, level: 0 });
        self.findings.clear();
        self.bytes = 0;
        self.merge_levels()
    }

    /// Keeps the number of runs small: whenever [`RUNS_MERGED`] of one level exist, they become one
    /// of the next, so that each finding is copied once per level.
    fn merge_levels(&mut self) -> Result<(), ScanError> {
        let mut level = 0;
        while self.runs.iter().filter(|run| run.level == level).count() >= RUNS_MERGED {
            let (mut merged, others) =
                std::mem::take(&mut self.runs).into_iter().partition(|run| run.level == level);
            self.runs = others;
            let mut file = self.new_file()?;
            let mut writer = BufWriter::with_capacity(RUN_BUFFER_BYTES, &mut file);
            let mut findings = 0;
            let mut merge = Merge::new(&mut merged, &[]).map_err(ScanError::Spill)?;
            while let Some((key, finding)) = merge.next().map_err(ScanError::Spill)? {
                write(&mut writer, key, finding).map_err(ScanError::Spill)?;
                findings += 1;
            }
            writer.flush().map_err(ScanError::Spill)?;
            drop(writer);
            level += 1;
            self.runs.push(Run { file, findings, level });
        }
        Ok(())
    }

    fn new_file(&self) -> Result<File, ScanError> {
        let file = match &self.dir {
            Some(dir) => tempfile::tempfile_in(dir),
            None => tempfile::tempfile(),
        };
        file.map_err(ScanError::Spill)
    }

    /// Nothing more will come.
    pub fn finish(mut self) -> Sorted {
        self.findings.sort_unstable_by_key(|(key, _)| *key);
        Sorted { findings: self.findings, runs: self.runs, spilled: self.spilled }
    }
}

fn write(writer: &mut impl Write, key: Key, finding: &[u8]) -> io::Result<()> {
    let length = u32::try_from(finding.len()).map_err(io::Error::other)?;
    writer.write_all(&key.to_bytes())?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(finding)
}

/// Every finding, to be read in order, any number of times.
pub(crate) struct Sorted {
    findings: Vec<Held>,
    runs: Vec<Run>,
    spilled: u64,
}

impl Sorted {
    #[cfg(test)]
    pub fn len(&self) -> u64 {
        self.findings.len() as u64 + self.runs.iter().map(|run| run.findings).sum::<u64>()
    }

    /// Bytes that went to temporary files.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    pub fn read(&mut self) -> Result<Merge<'_>, ScanError> {
        Merge::new(&mut self.runs, &self.findings).map_err(ScanError::Spill)
    }
}

/// Reads sorted runs as one.
pub(crate) struct Merge<'a> {
    runs: Vec<RunReader<'a>>,
    next: BinaryHeap<Reverse<(Key, usize)>>,
    held: &'a [Held],
    at: usize,
    finding: Vec<u8>,
}

struct RunReader<'a> {
    reader: BufReader<&'a mut File>,
    left: u64,
}

/// Stands for the findings still in memory.
const MEMORY: usize = usize::MAX;

impl<'a> Merge<'a> {
    fn new(runs: &'a mut [Run], held: &'a [Held]) -> io::Result<Self> {
        let mut readers = Vec::with_capacity(runs.len());
        for run in runs {
            run.file.rewind()?;
            let reader = BufReader::with_capacity(RUN_BUFFER_BYTES, &mut run.file);
            readers.push(RunReader { reader, left: run.findings });
        }
        let next = BinaryHeap::with_capacity(readers.len() + 1);
        let mut merge = Merge { runs: readers, next, held, at: 0, finding: Vec::new() };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        merge.advance(MEMORY)?;
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        if run == MEMORY {
            if let Some((key, _)) = self.held.get(self.at) {
                self.next.push(Reverse((*key, MEMORY)));
            }
        } else if let Some(reader) = self.runs.get_mut(run).filter(|reader| reader.left > 0) {
            reader.left -= 1;
            let key = Key::read(&mut reader.reader)?;
            self.next.push(Reverse((key, run)));
        }
        Ok(())
    }

    /// The next finding.
    pub fn next(&mut self) -> io::Result<Option<(Key, &[u8])>> {
        let Some(Reverse((key, run))) = self.next.pop() else { return Ok(None) };
        if run == MEMORY {
            let held = self.held.get(self.at);
            self.at += 1;
            self.advance(MEMORY)?;
            return Ok(Some((key, held.map(|(_, finding)| &**finding).unwrap_or_default())));
        }
        let mut finding = std::mem::take(&mut self.finding);
        if let Some(reader) = self.runs.get_mut(run) {
            let mut length = [0; 4];
            reader.reader.read_exact(&mut length)?;
            let length = u32::from_le_bytes(length) as usize;
            if length > FINDING_BYTES_MAX {
                return Err(io::Error::other("the temporary file of findings was changed"));
            }
            finding.resize(length, 0);
            reader.reader.read_exact(&mut finding)?;
        }
        self.finding = finding;
        self.advance(run)?;
        Ok(Some((key, &self.finding)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(time: i64, unit: u64) -> Key {
        Key { time, unit, index: 1, rule: 2 }
    }

    fn all(sorted: &mut Sorted) -> Vec<(Key, Vec<u8>)> {
        let mut merge = sorted.read().unwrap();
        let mut found = Vec::new();
        while let Some((key, finding)) = merge.next().unwrap() {
            found.push((key, finding.to_vec()));
        }
        found
    }

    proptest! {
        /// However little memory there is, findings come out sorted, each once, and twice alike.
        #[test]
        fn findings_come_out_sorted_whatever_the_memory(
            times in prop::collection::vec(-5_i64..5, 0..400),
            memory in 0_usize..4_000,
        ) {
            let mut store = Store::new(memory, None);
            let mut expected = Vec::new();
            for (unit, time) in (0..).zip(times) {
                let text = format!("finding {unit}").repeat(unit as usize % 4);
                store.push(key(time, unit), text.as_bytes().into()).unwrap();
                expected.push((key(time, unit), text.into_bytes()));
            }
            expected.sort();
            let mut sorted = store.finish();
            prop_assert_eq!(sorted.len(), expected.len() as u64);
            prop_assert_eq!(&all(&mut sorted), &expected);
            prop_assert_eq!(&all(&mut sorted), &expected);
        }
    }

    #[test]
    fn findings_past_the_limit_leave_memory_and_runs_stay_few() {
        let entry = size_of::<Held>() + 8;
        let mut store = Store::new(entry * 10, None);
        for number in 0..10 {
            store.push(key(number, 0), (*b"12345678").into()).unwrap();
        }
        assert!(store.runs.is_empty(), "at the limit");
        store.push(key(-1, 0), (*b"12345678").into()).unwrap();
        assert_eq!((store.runs.len(), store.findings.len()), (1, 0), "one past it");
        for number in 0..11 * 300 {
            store.push(key(number, 1), (*b"12345678").into()).unwrap();
            assert!(store.runs.len() < RUNS_MERGED * 3);
            assert!(store.bytes <= 88);
        }
        let mut sorted = store.finish();
        assert_eq!(sorted.len(), 11 * 301);
        assert!(all(&mut sorted).is_sorted());
        assert_eq!(sorted.spilled(), 88 * 301);
    }
}
