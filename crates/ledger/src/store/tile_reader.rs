use crate::tiles::{HASH_BYTES, Row, TileName, decode_tile, subtree_items};
use crate::tree::Subtrees;
use crate::{BatchTree, Hash, LedgerError, disk, limits};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Hashes of a log of a given size, from its tiles on disk. Keeps the tiles it has read: make a
/// new one for each proof.
pub(super) struct TileReader {
    dir: PathBuf,
    size: u64,
    tiles: RefCell<BTreeMap<TileName, Vec<Hash>>>,
}

impl TileReader {
    pub(super) fn new(dir: &Path, size: u64) -> Self {
        TileReader { dir: dir.to_owned(), size, tiles: RefCell::default() }
    }

    /// The hashes of one tile that belongs to a log of this size.
    pub(super) fn tile(&self, name: TileName) -> Result<Vec<Hash>, LedgerError> {
        if let Some(tile) = self.tiles.borrow().get(&name) {
            return Ok(tile.clone());
        }
        let path = self.dir.join(name.to_string());
        let damaged = |what| LedgerError::damaged(path.clone(), what);
        let bytes = disk::read_file(&path, limits::TILE_WIDTH as usize * HASH_BYTES)?;
        let bytes = bytes.ok_or_else(|| damaged("it is missing"))?;
        let tile = decode_tile(&bytes, name.width);
        let tile = tile.ok_or_else(|| damaged("its length is not that of its name"))?;
        self.tiles.borrow_mut().insert(name, tile.clone());
        Ok(tile)
    }
}

impl Subtrees for TileReader {
    type Error = LedgerError;

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, LedgerError> {
        let (row, first, count) = subtree_items(level, index);
        let outside = || LedgerError::NoSuchLeaf { leaf: index << level, size: self.size };
        let name: TileName = TileName::holding(row, first, self.size).ok_or_else(outside)?;
        let tile = self.tile(name)?;
        let start = (first % limits::TILE_WIDTH) as usize;
        let hashes = tile.get(start..start + count as usize).ok_or_else(outside)?;
        let mut tree = BatchTree::new();
        tree.extend(hashes.iter().copied());
        Ok(tree.root())
    }
}

/// The right edge of a log of this size: per level the hashes of its last, not full tile.
pub(super) fn edges(reader: &TileReader) -> Result<Vec<Vec<Hash>>, LedgerError> {
    let mut edges = Vec::new();
    for level in 0..=crate::tiles::LEVEL_MAX {
        let row = Row::Hashes(level);
        let items = row.items(reader.size);
        if items == 0 {
            break;
        }
        let name = TileName::holding(row, items - 1, reader.size);
        let partial = name.filter(|name| name.width < limits::TILE_WIDTH);
        edges.push(partial.map_or(Ok(Vec::new()), |name| reader.tile(name))?);
    }
    Ok(edges)
}
