//! Reads an index and says which rows a search must look at.

use crate::IndexError;
use crate::builder::MAGIC;
use crate::limits::{
    BLOCK_ROWS, DIRECTORY_BYTES_MAX, PAGE_BYTES_MAX, SEGMENT_BLOCKS, TOKEN_BYTES_MAX,
};
use crate::need::Need;
use crate::page::{Blocks, Page, first};
use memchr::memmem::Finder;
use std::collections::HashMap;
use std::ops::Range;

/// Bytes at an index's end that say where its directory is.
pub const TRAILER_BYTES: u64 = 24;

/// Where the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Bytes of the directory within the index.
    pub directory: Range<u64>,
    crc: u32,
}

impl Trailer {
    /// Reads the last [`TRAILER_BYTES`] of an index of `bytes` in all.
    pub fn parse(trailer: &[u8], bytes: u64) -> Result<Trailer, IndexError> {
        let mut input = Input { bytes: trailer, at: bytes.saturating_sub(TRAILER_BYTES) };
        let end = input.at;
        let (start, length, crc) = (input.u64()?, input.u32()?, input.u32()?);
        if input.array::<8>()? != *MAGIC {
            return Err(IndexError::Format);
        }
        let fits = start.checked_add(u64::from(length)) == Some(end);
        if !fits || start < MAGIC.len() as u64 || length as usize > DIRECTORY_BYTES_MAX {
            return Err(IndexError::Damaged {
                at: end,
                what: "the directory is not where it says",
            });
        }
        Ok(Trailer { directory: start..end, crc })
    }
}

/// The directory of an index; pages are fetched as they are needed.
#[derive(Debug, Clone)]
pub struct TextIndex {
    rows: u64,
    file_sha256: [u8; 32],
    segments: Vec<Segment>,
}

#[derive(Debug, Clone)]
struct Segment {
    complete: bool,
    pages: Vec<PageEntry>,
}

#[derive(Debug, Clone)]
struct PageEntry {
    bytes: Range<u64>,
    crc: u32,
    plain: usize,
    first: Box<[u8]>,
}

impl TextIndex {
    /// Reads the directory's bytes.
    pub fn parse(trailer: &Trailer, directory: &[u8]) -> Result<TextIndex, IndexError> {
        let at = trailer.directory.start;
        let damaged = |at, what| IndexError::Damaged { at, what };
        if crc32c::crc32c(directory) != trailer.crc {
            return Err(damaged(at, "the directory's checksum is another"));
        }
        let mut input = Input { bytes: directory, at };
        if input.u32()? != BLOCK_ROWS {
            return Err(IndexError::Format);
        }
        let rows = input.u64()?;
        let file_sha256 = input.array::<32>()?;
        let count = input.u32()?;
        let segment_rows = u64::from(BLOCK_ROWS) * u64::from(SEGMENT_BLOCKS);
        if u64::from(count) != rows.div_ceil(segment_rows) {
            return Err(damaged(input.at, "rows and segments do not agree"));
        }
        let mut segments = Vec::new();
        for _ in 0..count {
            let complete = input.u8()? == 1;
            let count = input.u32()?;
            let mut pages: Vec<PageEntry> = Vec::new();
            for _ in 0..count {
                let place = input.at;
                let (start, length, crc) = (input.u64()?, input.u32()?, input.u32()?);
                let plain = input.u32()? as usize;
                let letters = usize::from(input.u8()?);
                let first: Box<[u8]> = input.take(letters)?.into();
                let end = start.checked_add(u64::from(length)).filter(|end| *end <= at);
                let ascends = pages.last().is_none_or(|page| page.first < first);
                let (Some(end), true) = (end, plain <= PAGE_BYTES_MAX) else {
                    return Err(damaged(place, "a page is not where it says"));
                };
                if !ascends || letters > TOKEN_BYTES_MAX {
                    return Err(damaged(place, "pages are out of order"));
                }
                pages.push(PageEntry { bytes: start..end, crc, plain, first });
            }
            segments.push(Segment { complete, pages });
        }
        match input.bytes.is_empty() {
            true => Ok(TextIndex { rows, file_sha256, segments }),
            false => Err(damaged(input.at, "the directory goes on after its end")),
        }
    }

    /// Whether it is the index of the file with this SHA-256 and so many rows.
    pub fn check_file(&self, sha256: &[u8; 32], rows: u64) -> Result<(), IndexError> {
        match self.file_sha256 == *sha256 && self.rows == rows {
            true => Ok(()),
            false => Err(IndexError::OtherFile),
        }
    }

    /// About how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let pages = self.segments.iter().flat_map(|segment| &segment.pages);
        let pages: usize = pages.map(|page| size_of::<PageEntry>() + page.first.len() + 16).sum();
        size_of::<Self>() + self.segments.len() * size_of::<Segment>() + pages
    }

    /// The stretches of rows in which a text that has what is needed may be, ascending and apart.
    /// `fetch` reads the bytes of the index it is given the range of.
    pub fn rows_to_read(
        &self,
        need: &Need,
        mut fetch: impl FnMut(Range<u64>) -> Result<Vec<u8>, String>,
    ) -> Result<Vec<Range<u64>>, IndexError> {
        let block_rows = u64::from(BLOCK_ROWS);
        let mut stretches: Vec<Range<u64>> = Vec::new();
        let mut start = 0;
        for segment in &self.segments {
            let end = self.rows.min(start + block_rows * u64::from(SEGMENT_BLOCKS));
            // Proof: at most SEGMENT_BLOCKS.
            let everywhere = first((end - start).div_ceil(block_rows) as u32);
            let found = match segment.complete {
                true => {
                    let mut search =
                        Search { segment, everywhere, pages: HashMap::new(), fetch: &mut fetch };
                    search.find(need, everywhere)?
                }
                false => everywhere,
            };
            for block in 0..u64::from(SEGMENT_BLOCKS) {
                if found >> block & 1 == 0 {
                    continue;
                }
                let from = start + block * block_rows;
                let to = end.min(from + block_rows);
                match stretches.last_mut() {
                    Some(last) if last.end == from => last.end = to,
                    _ => stretches.push(from..to),
                }
            }
            start = end;
        }
        Ok(stretches)
    }
}

/// One search in one segment.
struct Search<'a, F> {
    segment: &'a Segment,
    everywhere: Blocks,
    pages: HashMap<usize, Page>,
    fetch: &'a mut F,
}

impl<F: FnMut(Range<u64>) -> Result<Vec<u8>, String>> Search<'_, F> {
    /// The blocks among `within` that may have what is needed.
    fn find(&mut self, need: &Need, within: Blocks) -> Result<Blocks, IndexError> {
        if within == 0 {
            return Ok(0);
        }
        Ok(match need {
            Need::Unknown => within,
            Need::All(list) => {
                let mut left = within;
                for part in list {
                    left = self.find(part, left)?;
                }
                left
            }
            Need::Any(list) => {
                let mut found = 0;
                for part in list {
                    found |= self.find(part, within & !found)?;
                }
                found
            }
            Need::Token(token) => {
                let Some(number) = self.page_before(token) else { return Ok(0) };
                self.page(number)?.exact(token) & within
            }
            Need::Prefix(start) => {
                let mut found = 0;
                let from = self.page_before(start).unwrap_or(0);
                for number in from..self.segment.pages.len() {
                    let past =
                        |page: &PageEntry| *page.first > **start && !page.first.starts_with(start);
                    if self.segment.pages.get(number).is_none_or(past) {
                        break;
                    }
                    found |= self.page(number)?.prefix(start);
                }
                found & within
            }
            Need::Infix(stretch) => {
                let finder = Finder::new(stretch);
                let mut found = 0;
                for number in 0..self.segment.pages.len() {
                    found |= self.page(number)?.infix(&finder) & within;
                    if found == within {
                        break;
                    }
                }
                found
            }
        })
    }

    /// The page that has the token if any has.
    fn page_before(&self, token: &[u8]) -> Option<usize> {
        self.segment.pages.partition_point(|page| *page.first <= *token).checked_sub(1)
    }

    fn page(&mut self, number: usize) -> Result<&Page, IndexError> {
        if !self.pages.contains_key(&number) {
            let absent = IndexError::Damaged { at: 0, what: "a page is not there" };
            let entry = self.segment.pages.get(number).ok_or(absent)?;
            let at = entry.bytes.start;
            let packed = (self.fetch)(entry.bytes.clone()).map_err(IndexError::Read)?;
            if crc32c::crc32c(&packed) != entry.crc {
                return Err(IndexError::Damaged { at, what: "a page's checksum is another" });
            }
            let plain = zstd::bulk::decompress(&packed, entry.plain)
                .map_err(|_| IndexError::Damaged { at, what: "a page cannot be decompressed" })?;
            let page = Page::decode(&plain, self.everywhere)
                .map_err(|what| IndexError::Damaged { at, what })?;
            self.pages.insert(number, page);
        }
        let absent = IndexError::Damaged { at: 0, what: "a page is not there" };
        self.pages.get(&number).ok_or(absent)
    }
}

/// Bytes that are read from the front.
struct Input<'a> {
    bytes: &'a [u8],
    /// Where they are in the index.
    at: u64,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let short = IndexError::Damaged { at: self.at, what: "it ends too early" };
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(short)?;
        self.bytes = rest;
        self.at += count as u64;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let short = IndexError::Damaged { at: self.at, what: "it ends too early" };
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(short)?;
        self.bytes = rest;
        self.at += N as u64;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, IndexError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, IndexError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, IndexError> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IndexBuilder;
    use proptest::prelude::*;

    fn open(bytes: &[u8]) -> Result<TextIndex, IndexError> {
        let tail = bytes.len().saturating_sub(TRAILER_BYTES as usize);
        let trailer = Trailer::parse(&bytes[tail..], bytes.len() as u64)?;
        let directory = trailer.directory.start as usize..trailer.directory.end as usize;
        TextIndex::parse(&trailer, &bytes[directory])
    }

    fn search(bytes: &[u8], need: &Need) -> Result<Vec<Range<u64>>, IndexError> {
        open(bytes)?.rows_to_read(need, |range| {
            let range = range.start as usize..range.end as usize;
            Ok(bytes.get(range).ok_or("beyond the end")?.to_vec())
        })
    }

    fn built(rows: impl IntoIterator<Item = String>) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        let mut bytes = Vec::new();
        for row in rows {
            builder.add(row.as_bytes(), None);
            bytes.extend(builder.take_bytes());
        }
        bytes.extend(builder.finish(&[7; 32]).0);
        bytes
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one stretch is meant")]
    fn blocks_of_several_segments() {
        let segment = u64::from(BLOCK_ROWS * SEGMENT_BLOCKS);
        let block = u64::from(BLOCK_ROWS);
        let rows = segment + block + 10;
        let bytes = built((0..rows).map(|row| match row {
            0 => "needle 秘密鍵 common".to_owned(),
            row if row == segment - 1 => "needles common".to_owned(),
            row if row == segment => "needle mimikatz common".to_owned(),
            row if row == rows - 1 => "last common".to_owned(),
            row => format!("common {:x}", row * 7),
        }));
        let find = |need: Need| search(&bytes, &need).unwrap();
        assert_eq!(find(Need::literal("Needle")), [0..block, segment..segment + block]);
        assert_eq!(find(Need::literal("秘密")), [0..block]);
        assert_eq!(find(Need::literal("鍵")), [0..block]);
        assert_eq!(find(Need::literal("last")), [segment + block..rows]);
        assert_eq!(find(Need::literal("absent")), []);
        assert_eq!(find(Need::literal("common")), [0..rows]);
        assert_eq!(find(Need::Unknown), [0..rows]);
        // The last block of one segment and the first of the next are one stretch.
        assert_eq!(find(Need::wildcard("need*")), [0..block, segment - block..segment + block]);
        assert_eq!(find(Need::regex("imik")), [segment..segment + block]);
        let both = [Need::literal("needle"), Need::literal("mimikatz")];
        assert_eq!(find(Need::all(both.clone())), [segment..segment + block]);
        assert_eq!(find(Need::any(both)), [0..block, segment..segment + block]);
        assert!(open(&bytes).unwrap().check_file(&[7; 32], rows).is_ok());
        assert_eq!(open(&bytes).unwrap().check_file(&[8; 32], rows), Err(IndexError::OtherFile));
        assert_eq!(
            open(&bytes).unwrap().check_file(&[7; 32], rows + 1),
            Err(IndexError::OtherFile)
        );
    }

    #[test]
    fn every_changed_byte_is_seen_or_means_nothing() {
        let rows = || (0..300).map(|row| format!("word{row} foo{}", row % 7));
        let bytes = built(rows());
        let needs = ["word12", "foo3", "absent"].map(Need::literal);
        let before = needs.clone().map(|need| search(&bytes, &need));
        assert!(before.iter().all(Result::is_ok));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            for (need, before) in needs.iter().zip(&before) {
                let after = search(&changed, need);
                assert!(after.is_err() || after == *before, "byte {at}");
            }
        }
        for length in 0..bytes.len() {
            assert!(search(&bytes[..length], &needs[0]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn a_directory_may_be_so_long_and_no_longer() {
        for (extra, fits) in [(0, true), (1, false)] {
            let length = DIRECTORY_BYTES_MAX as u64 + extra;
            let mut trailer = 8u64.to_le_bytes().to_vec();
            trailer.extend((length as u32).to_le_bytes());
            trailer.extend([0; 4]);
            trailer.extend(MAGIC);
            assert_eq!(Trailer::parse(&trailer, 8 + length + TRAILER_BYTES).is_ok(), fits);
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), rows in 0u64..4) {
            let mut directory = BLOCK_ROWS.to_le_bytes().to_vec();
            directory.extend(rows.to_le_bytes());
            directory.extend(bytes);
            let crc = crc32c::crc32c(&directory);
            let trailer = Trailer { directory: 8..8 + directory.len() as u64, crc };
            if let Ok(index) = TextIndex::parse(&trailer, &directory) {
                let _ = index.rows_to_read(&Need::literal("a"), |_| Ok(Vec::new()));
            }
        }
    }
}
