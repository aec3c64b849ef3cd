use super::json_objects::{JsonObjects, Piece};
use std::io::{self, BufRead};

/// A text that comes apart into records by their form rather than by lines.
pub(super) trait Pieces {
    /// Puts the next piece into `piece`; `None` at the end of the text.
    fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<Option<Piece>>;

    /// Bytes of the text taken so far.
    fn offset(&self) -> u64;

    /// Where the last piece started.
    fn piece_offset(&self) -> u64;
}

impl<R: BufRead> Pieces for JsonObjects<R> {
    fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        JsonObjects::read(self, piece)
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn piece_offset(&self) -> u64 {
        self.piece_offset
    }
}
