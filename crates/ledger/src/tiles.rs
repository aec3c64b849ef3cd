//! Names and contents of the files of a tiled log (c2sp.org/tlog-tiles).

use crate::Hash;
use crate::limits::{HEADER_BYTES_MAX, TILE_WIDTH};
use std::fmt;

/// Highest tile level a tree of fewer than 2^64 leaves can have.
pub(crate) const LEVEL_MAX: u8 = 7;

/// Bits of a leaf index that one level of tiles spans.
const LEVEL_BITS: u32 = TILE_WIDTH.trailing_zeros();

/// Bytes of a hash in a tile.
pub(crate) const HASH_BYTES: usize = 32;

/// Bytes a full entry bundle has at most.
pub(crate) const BUNDLE_BYTES_MAX: usize = TILE_WIDTH as usize * (2 + HEADER_BYTES_MAX);

/// What a file under `tile/` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// Hashes of level 0 to [`LEVEL_MAX`].
    Hashes(u8),
    /// The headers themselves.
    Entries,
}

impl Row {
    /// Entries and leaf hashes are as many as headers; level L has one hash per 256^L of them.
    pub(crate) fn items(self, size: u64) -> u64 {
        match self {
            Row::Entries => size,
            Row::Hashes(level) => size.checked_shr(LEVEL_BITS * u32::from(level)).unwrap_or(0),
        }
    }

    /// Every row a log of `size` headers has files in.
    pub(crate) fn all(size: u64) -> impl Iterator<Item = Row> {
        let hashes = (0..=LEVEL_MAX).map(Row::Hashes);
        hashes.chain([Row::Entries]).filter(move |row| row.items(size) > 0)
    }
}

/// One file under `tile/`: number `index` of its row, `width` items (256 when full).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TileName {
    pub(crate) row: Row,
    pub(crate) index: u64,
    pub(crate) width: u64,
}

impl TileName {
    /// The file that holds item `item` of `row` in a log of `size` headers.
    pub(crate) fn holding(row: Row, item: u64, size: u64) -> Option<TileName> {
        let items = row.items(size);
        let index = item / TILE_WIDTH;
        let width = (items.checked_sub(index * TILE_WIDTH)?).min(TILE_WIDTH);
        (item < items).then_some(TileName { row, index, width })
    }

    /// Whether a log of `size` headers consists of this file, among others.
    pub(crate) fn belongs_to(self, size: u64) -> bool {
        let first = self.index.checked_mul(TILE_WIDTH);
        first.and_then(|first| TileName::holding(self.row, first, size)) == Some(self)
    }

    /// Reads a path relative to the log directory, with `/` between its parts.
    pub(crate) fn parse(path: &str) -> Option<TileName> {
        let (row, number) = path.strip_prefix("tile/")?.split_once('/')?;
        let row = match row {
            "entries" => Row::Entries,
            _ => Row::Hashes((0..=LEVEL_MAX).find(|level| level.to_string() == row)?),
        };
        let (number, width) = match number.split_once(".p/") {
            Some((number, width)) => {
                let width = crate::text::decimal(width).filter(|&width| width > 0)?;
                (number, width)
            }
            None => (number, TILE_WIDTH),
        };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let name = TileName { row, index: digits.parse().ok()?, width };
        (name.to_string() == path).then_some(name)
    }
}

impl fmt::Display for TileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            Row::Entries => f.write_str("tile/entries")?,
            Row::Hashes(level) => write!(f, "tile/{level}")?,
        }
        let mut parts = vec![self.index % 1_000];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            parts.push(rest % 1_000);
            rest /= 1_000;
        }
        for (place, part) in parts.iter().enumerate().rev() {
            write!(f, "/{}{part:03}", if place > 0 { "x" } else { "" })?;
        }
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// A hash needed of complete subtree `(level, index)`: which item of which row it starts at, and
/// how many consecutive items it spans.
pub(crate) fn subtree_items(level: u32, index: u64) -> (Row, u64, u64) {
    let row = u8::try_from(level / LEVEL_BITS).unwrap_or(LEVEL_MAX);
    let within = level % LEVEL_BITS;
    (Row::Hashes(row), index << within, 1 << within)
}

/// The bytes of a tile.
pub(crate) fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile of `width`; `None` when the length is another.
pub(crate) fn decode_tile(bytes: &[u8], width: u64) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let whole = rest.is_empty() && hashes.len() as u64 == width;
    whole.then(|| hashes.iter().copied().map(Hash).collect())
}

/// The bytes of an entry bundle. Every header has fewer than 65,536 bytes.
pub(crate) fn encode_bundle(headers: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(headers.iter().map(|header| 2 + header.len()).sum());
    for header in headers {
        // Proof: HEADER_BYTES_MAX fits 16 bits, and only checked headers come here.
        let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(header.as_bytes());
    }
    bytes
}

/// The headers' bytes in a bundle of `width`. An error names the first entry that is cut short, or
/// `width` when bytes follow the last.
pub(crate) fn decode_bundle(bytes: &[u8], width: u64) -> Result<Vec<&[u8]>, u64> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    for place in 0..width {
        let (length, after) = rest.split_at_checked(2).ok_or(place)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (entry, after) = after.split_at_checked(length).ok_or(place)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(width) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_the_specification() {
        let name = TileName { row: Row::Hashes(0), index: 1_234_067, width: 256 };
        assert_eq!(name.to_string(), "tile/0/x001/x234/067");
        let name = TileName { row: Row::Entries, index: 0, width: 17 };
        assert_eq!(name.to_string(), "tile/entries/000.p/17");
        for bad in [
            "tile/0/1",
            "tile/0/0001",
            "tile/0/x001",
            "tile/00/001",
            "tile/9/000",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/x000/001",
            "tile/0/x001/x002",
            "tile/0/",
        ] {
            assert_eq!(TileName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_size_calls_for_the_files_of_the_specification() {
        // The example of c2sp.org/tlog-tiles: 70,000 headers.
        let last = |row| TileName::holding(row, row.items(70_000) - 1, 70_000).unwrap();
        assert_eq!(last(Row::Entries).to_string(), "tile/entries/273.p/112");
        assert_eq!(last(Row::Hashes(0)).to_string(), "tile/0/273.p/112");
        assert_eq!(last(Row::Hashes(1)).to_string(), "tile/1/001.p/17");
        assert_eq!(last(Row::Hashes(2)).to_string(), "tile/2/000.p/1");
        assert_eq!(Row::all(70_000).count(), 4);
        assert!(TileName::parse("tile/0/272").unwrap().belongs_to(70_000));
        assert!(!TileName::parse("tile/0/273").unwrap().belongs_to(70_000));
        assert!(!TileName::parse("tile/0/272.p/3").unwrap().belongs_to(70_000));
        assert_eq!(Row::all(0).count(), 0);
    }

    proptest! {
        #[test]
        fn names_round_trip(level in 0..=LEVEL_MAX, index: u64, width in 1..=256u64, entries: bool) {
            let row = if entries { Row::Entries } else { Row::Hashes(level) };
            let name = TileName { row, index, width };
            prop_assert_eq!(TileName::parse(&name.to_string()), Some(name));
            let _ = name.belongs_to(index);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), path in ".*") {
            let _ = TileName::parse(&path);
            let _ = TileName::parse(&format!("tile/{path}"));
            for width in 0..=3 {
                if let Ok(entries) = decode_bundle(&bytes, width) {
                    prop_assert_eq!(entries.len() as u64, width);
                }
                let _ = decode_tile(&bytes, width);
            }
        }
    }
}
