//! The state of a correlator as bytes: `docs/format/correlation.md`.

use super::correlator::Correlator;
use super::group::{Episode, Group};
use super::hit::{Hit, Payload};
use super::key::Key;
use crate::limits::CORRELATION_STREAMS_MAX;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::sync::Arc;

/// The first bytes of a state: name and version.
const MAGIC: &[u8; 8] = b"YGCORR01";

const DIGEST_BYTES: usize = 32;

/// A state that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It could not be read at all.
    #[error("the correlation state could not be read")]
    Io(#[from] std::io::Error),
    /// It is of another version, or no state.
    #[error("not a correlation state of a version that is known here")]
    Version,
    /// Its SHA-256 is not that of its contents.
    #[error("the correlation state was changed or cut: its SHA-256 does not fit")]
    Digest,
    /// Its digest is right and its contents are not: written by a broken program.
    #[error("the correlation state says nonsense at offset {offset}")]
    Contents {
        /// Bytes from the start.
        offset: usize,
    },
}

/// What was taken from a state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Groups that go on.
    pub groups: u64,
    /// Ids of correlations that are not in use any more, or are defined otherwise now: what was
    /// counted for them is given up.
    pub given_up: Vec<String>,
}

/// Whether `from` holds a whole state as it was written: any changed byte is found.
///
/// # Errors
/// [`StateError`]: what is wrong.
pub fn check_state(from: &mut impl Read) -> Result<(), StateError> {
    checked(from).map(|_| ())
}

impl Correlator {
    /// Writes everything that is counted, and up to where in each stream. The bytes check
    /// themselves.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn save(&self, to: &mut impl Write) -> std::io::Result<()> {
        let mut out = Out { to, digest: Sha256::new() };
        out.bytes(MAGIC)?;
        out.i64(self.clocks.0)?;
        out.i64(self.clocks.1)?;
        out.u64(self.next_episode)?;
        let streams = self.streams();
        out.len(streams.len())?;
        for name in streams.keys() {
            out.text(name)?;
            // Streams that only a hit names have no position; zero is before every event.
            let (batch, next) = match self.positions.get(name).or(self.floor.get(name)) {
                Some(position) => *position,
                None => (0, 0),
            };
            out.u64(batch)?;
            out.u32(next)?;
        }
        let all = self.ruleset.compiled_correlations();
        out.len(all.len())?;
        for (correlation, store) in all.iter().zip(&self.stores) {
            out.text(&correlation.info.id)?;
            out.bytes(&correlation.digest)?;
            out.len(store.groups.len())?;
            for (_, group) in store.groups.iter() {
                out.group(group, &streams)?;
            }
        }
        let digest = out.digest.finalize();
        out.to.write_all(&digest)
    }

    /// Takes over what [`Correlator::save`] wrote, in place of what is held. Events up to the
    /// positions in it are known and will not be counted again.
    ///
    /// # Errors
    /// [`StateError`]: nothing was changed.
    pub fn restore(&mut self, from: &mut impl Read) -> Result<RestoreReport, StateError> {
        let bytes = checked(from)?;
        let mut input = In { bytes: &bytes, at: MAGIC.len() };
        let whole = self.read(&mut input);
        whole.ok_or(StateError::Contents { offset: input.at })
    }

    /// The same counts for other rules: correlations that are in both and mean the same go on, those
    /// that mean something else begin anew. What was done so far, and notices, are carried over.
    pub fn with_rules(&self, ruleset: Arc<crate::Ruleset>) -> Correlator {
        let mut next = Correlator::new(ruleset, self.options);
        let mut state = Vec::new();
        let read = self.save(&mut state).map_err(StateError::from);
        // Proof: writing to memory cannot fail, and what was just written is whole.
        let _ = read.and_then(|()| next.restore(&mut state.as_slice()));
        // Nothing comes twice: only what an earlier run has counted is still passed over.
        next.floor.clone_from(&self.floor);
        next.carry_over(self);
        next
    }

    /// Every stream that is named, with its number.
    fn streams(&self) -> BTreeMap<Arc<str>, u32> {
        let mut names: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        for name in self.positions.keys().chain(self.floor.keys()) {
            names.insert(name.clone(), 0);
        }
        for store in &self.stores {
            for (_, group) in store.groups.iter() {
                let mut before: Option<&Arc<str>> = None;
                for hit in &group.hits {
                    // Neighbours are most often of one stream.
                    if before.is_none_or(|before| !Arc::ptr_eq(before, &hit.stream)) {
                        names.entry(hit.stream.clone()).or_default();
                    }
                    before = Some(&hit.stream);
                }
            }
        }
        (0u32..).zip(names.values_mut()).for_each(|(number, slot)| *slot = number);
        names
    }

    fn read(&mut self, input: &mut In<'_>) -> Option<RestoreReport> {
        let clocks = (input.i64()?, input.i64()?);
        let next_episode = input.u64()?;
        let count = input.len()?;
        let mut streams: Vec<Arc<str>> = Vec::new();
        let mut positions = HashMap::new();
        for _ in 0..count {
            let name: Arc<str> = input.text()?.into();
            let position = (input.u64()?, input.u32()?);
            if position != (0, 0) && positions.len() < CORRELATION_STREAMS_MAX {
                positions.insert(name.clone(), position);
            }
            streams.push(name);
        }
        let mut report = RestoreReport::default();
        let ruleset = self.ruleset.clone();
        let all = ruleset.compiled_correlations();
        let mut next = Correlator::new(ruleset.clone(), self.options);
        for _ in 0..input.len()? {
            let id = input.text()?;
            let digest = input.take(16)?;
            let place = all.iter().position(|one| one.info.id == id && one.digest == digest);
            let mut store = place.and_then(|place| next.stores.get_mut(place));
            if store.is_none() {
                report.given_up.push(id.to_owned());
            }
            for _ in 0..input.len()? {
                let group = input.group(&streams)?;
                let Some(store) = store.as_mut() else { continue };
                let correlation = all.get(place?)?;
                if store.groups.find(&group.key).is_some() {
                    return None;
                }
                let first = group.hits.first().map(|hit| hit.time);
                let slot = store.groups.insert(group);
                report.groups += 1;
                if let Some(first) = first.filter(|_| !correlation.rolling) {
                    let end = first.saturating_add(correlation.span);
                    store.ends.push(std::cmp::Reverse((end, slot)));
                }
            }
        }
        if input.at != input.bytes.len() {
            return None;
        }
        next.clocks = clocks;
        next.next_episode = next_episode;
        next.floor = positions.clone();
        next.positions = positions;
        next.settle();
        *self = next;
        Some(report)
    }
}

/// Reads a whole state and compares its digest; returns it without.
fn checked(from: &mut impl Read) -> Result<Vec<u8>, StateError> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    if !bytes.starts_with(MAGIC) {
        return Err(StateError::Version);
    }
    let contents = bytes.len().checked_sub(DIGEST_BYTES).ok_or(StateError::Digest)?;
    let digest = bytes.split_off(contents);
    if contents < MAGIC.len() || Sha256::digest(&bytes).as_slice() != digest {
        return Err(StateError::Digest);
    }
    Ok(bytes)
}

/// Writes and digests.
struct Out<'a, W> {
    to: &'a mut W,
    digest: Sha256,
}

impl<W: Write> Out<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.digest.update(bytes);
        self.to.write_all(bytes)
    }

    fn u32(&mut self, value: u32) -> std::io::Result<()> {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> std::io::Result<()> {
        self.bytes(&value.to_le_bytes())
    }

    fn i64(&mut self, value: i64) -> std::io::Result<()> {
        self.bytes(&value.to_le_bytes())
    }

    fn len(&mut self, count: usize) -> std::io::Result<()> {
        self.u32(u32::try_from(count).map_err(std::io::Error::other)?)
    }

    fn text(&mut self, text: &str) -> std::io::Result<()> {
        self.run(text.as_bytes())
    }

    fn run(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.len(bytes.len())?;
        self.bytes(bytes)
    }

    fn group(&mut self, group: &Group, streams: &BTreeMap<Arc<str>, u32>) -> std::io::Result<()> {
        self.run(&group.key.folded)?;
        self.run(group.key.shown.as_deref().unwrap_or_default())?;
        self.i64(group.newest)?;
        self.i64(group.touched)?;
        self.i64(group.judged_until)?;
        self.text(&group.dataset)?;
        self.bytes(&group.roles)?;
        self.len(group.episodes.len())?;
        for episode in &group.episodes {
            self.u64(episode.id)?;
            self.i64(episode.from)?;
            self.i64(episode.first_held)?;
            self.i64(episode.last_held)?;
            self.u64(episode.events)?;
            self.u64(episode.told)?;
        }
        self.len(group.hits.len())?;
        for hit in &group.hits {
            self.i64(hit.time)?;
            self.u32(streams.get(&hit.stream).copied().unwrap_or(u32::MAX))?;
            self.u64(hit.batch)?;
            self.u32(hit.index)?;
            self.bytes(&hit.source.to_le_bytes())?;
            match &hit.payload {
                Payload::None => self.bytes(&[0])?,
                Payload::Text(text) => {
                    self.bytes(&[1])?;
                    self.text(text)?;
                }
                Payload::Number(number) => {
                    self.bytes(&[2])?;
                    self.u64(number.to_bits())?;
                }
            }
        }
        Ok(())
    }
}

/// Reads what [`Out`] wrote. `None` where that cannot be.
struct In<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> In<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A count of things that take at least a byte each.
    fn len(&mut self) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count <= self.bytes.len() - self.at).then_some(count)
    }

    fn run(&mut self) -> Option<&'a [u8]> {
        let count = self.len()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.run()?).ok()
    }

    fn group(&mut self, streams: &[Arc<str>]) -> Option<Group> {
        let folded: Box<[u8]> = self.run()?.into();
        let shown = self.run()?;
        let key = Key { folded, shown: (!shown.is_empty()).then(|| shown.into()) };
        let (newest, touched, judged_until) = (self.i64()?, self.i64()?, self.i64()?);
        let dataset: Arc<str> = self.text()?.into();
        let mut group = Group::new(key, dataset, self.array()?);
        (group.newest, group.touched, group.judged_until) = (newest, touched, judged_until);
        for _ in 0..self.len()? {
            group.episodes.push(Episode {
                id: self.u64()?,
                from: self.i64()?,
                first_held: self.i64()?,
                last_held: self.i64()?,
                events: self.u64()?,
                told: self.u64()?,
            });
        }
        let hits = self.len()?;
        group.hits.reserve_exact(hits);
        for _ in 0..hits {
            let time = self.i64()?;
            let stream = streams.get(usize::try_from(self.u32()?).ok()?)?.clone();
            let (batch, index, source) = (self.u64()?, self.u32()?, self.u16()?);
            let payload = match self.u8()? {
                0 => Payload::None,
                1 => Payload::Text(self.text()?.into()),
                2 => Payload::Number(f64::from_bits(self.u64()?)),
                _ => return None,
            };
            let hit = Hit { time, stream, batch, index, source, payload };
            if group.hits.last().is_some_and(|last| last.order(&hit).is_gt()) {
                return None;
            }
            group.hits.push(hit);
        }
        Some(group)
    }
}
