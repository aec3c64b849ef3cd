use crate::limits::IMPORT_RECORD_BYTES_MAX;
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

/// One piece of a text of JSON objects, or of events as XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// From a `{` to the `}` that closes it; a whole event.
    Object,
    /// An object longer than [`IMPORT_RECORD_BYTES_MAX`], cut there.
    Cut,
    /// An object that breaks off: at a line end inside a string, or at the end of the text.
    Broken,
    /// A line, or what is left of one, that belongs to no object.
    Stray,
}

/// Splits a text into its outermost JSON objects by counting brackets outside strings, whether they
/// stand in an array or one after another. Holds at most one object; does not recurse. What
/// belongs to no object comes out line by line, so nothing of the text is lost except blanks and
/// the commas and brackets between objects.
pub(super) struct JsonObjects<R> {
    reader: R,
    state: State,
    offset: u64,
    piece_offset: u64,
}

#[derive(Clone, Copy)]
enum State {
    Between,
    Object { depth: u32, in_string: bool, escaped: bool },
    Stray,
}

impl<R: BufRead> JsonObjects<R> {
    pub fn new(reader: R) -> Self {
        JsonObjects { reader, state: State::Between, offset: 0, piece_offset: 0 }
    }
}

impl<R: BufRead> Pieces for JsonObjects<R> {
    fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        piece.clear();
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(self.end_of_text(piece));
            }
            let (taken, found) = match self.state {
                State::Between => (skip_between(available), None),
                State::Object { .. } => scan_object(&mut self.state, available),
                State::Stray => scan_stray(available),
            };
            if matches!(self.state, State::Between) {
                if let Some(&next) = available.get(taken) {
                    self.piece_offset = self.offset + taken as u64;
                    self.state = match next {
                        b'{' => State::Object { depth: 0, in_string: false, escaped: false },
                        _ => State::Stray,
                    };
                }
            } else {
                let room = IMPORT_RECORD_BYTES_MAX - piece.len();
                let kept = taken.min(room);
                piece.extend_from_slice(&available[..kept]);
                if kept < taken {
                    self.reader.consume(kept);
                    self.offset += kept as u64;
                    self.start_stray();
                    return Ok(Some(Piece::Cut));
                }
            }
            self.reader.consume(taken);
            self.offset += taken as u64;
            if let Some(found) = found {
                self.state = State::Between;
                if found == Piece::Stray {
                    piece.truncate(piece.trim_ascii_end().len());
                    if piece.is_empty() {
                        continue;
                    }
                }
                return Ok(Some(found));
            }
        }
    }

    fn offset(&self) -> u64 {
        self.offset
    }

    fn piece_offset(&self) -> u64 {
        self.piece_offset
    }
}

impl<R> JsonObjects<R> {
    /// What follows a cut object is the rest of it, up to where its line ends.
    fn start_stray(&mut self) {
        self.state = State::Stray;
        self.piece_offset = self.offset;
    }

    fn end_of_text(&mut self, piece: &[u8]) -> Option<Piece> {
        let state = std::mem::replace(&mut self.state, State::Between);
        match state {
            _ if piece.is_empty() => None,
            State::Between => None,
            State::Object { .. } => Some(Piece::Broken),
            State::Stray => Some(Piece::Stray),
        }
    }
}

fn skip_between(available: &[u8]) -> usize {
    let between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']');
    available.iter().position(|byte| !between(byte)).unwrap_or(available.len())
}

fn scan_object(state: &mut State, available: &[u8]) -> (usize, Option<Piece>) {
    let State::Object { depth, in_string, escaped } = state else { return (0, None) };
    for (at, &byte) in available.iter().enumerate() {
        if *in_string {
            match byte {
                // No JSON string contains a line end (RFC 8259 section 7): this one was cut off.
                b'\n' => return (at + 1, Some(Piece::Broken)),
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => *in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => *in_string = true,
            b'{' | b'[' => *depth = depth.saturating_add(1),
            b'}' | b']' => {
                *depth = depth.saturating_sub(1);
                if *depth == 0 {
                    return (at + 1, Some(Piece::Object));
                }
            }
            _ => {}
        }
    }
    (available.len(), None)
}

fn scan_stray(available: &[u8]) -> (usize, Option<Piece>) {
    match memchr::memchr(b'\n', available) {
        Some(at) => (at + 1, Some(Piece::Stray)),
        None => (available.len(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn pieces(text: &[u8], buffer: usize) -> Vec<(Piece, String)> {
        let mut objects = JsonObjects::new(BufReader::with_capacity(buffer, text));
        let mut piece = Vec::new();
        let mut all = Vec::new();
        while let Some(found) = objects.read(&mut piece).unwrap() {
            all.push((found, String::from_utf8_lossy(&piece).into_owned()));
        }
        all
    }

    #[test]
    fn objects_come_out_exactly() {
        let text = b"{\n  \"a\": \"}{\\\"\"\n}\n{\"b\":[{}]}[{\"c\":1},\n{\"d\" : 2}]\n";
        let expected = ["{\n  \"a\": \"}{\\\"\"\n}", "{\"b\":[{}]}", "{\"c\":1}", "{\"d\" : 2}"];
        for buffer in [1, 2, 7, 4096] {
            let found = pieces(text, buffer);
            assert!(found.iter().all(|(kind, _)| *kind == Piece::Object));
            assert_eq!(found.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn damage_costs_only_what_it_touches() {
        let found = pieces(b"{\"a\": \"cut off\n  \"x\": 1,\n{\"b\":1}\nnoise here\n{\"c\":", 5);
        let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
        use Piece::{Broken, Object, Stray};
        assert_eq!(kinds, [Broken, Stray, Object, Stray, Broken]);
        assert_eq!(found[2].1, "{\"b\":1}");
        assert_eq!(found[3].1, "noise here");
    }

    #[test]
    fn objects_past_the_limit_are_cut() {
        let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        let text =
            object(IMPORT_RECORD_BYTES_MAX) + "\n" + &object(IMPORT_RECORD_BYTES_MAX + 1) + "\n{}";
        let kinds: Vec<_> =
            pieces(text.as_bytes(), 4096).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Piece::Object, Piece::Cut, Piece::Stray, Piece::Object]);
        let mut endless =
            JsonObjects::new(BufReader::new(io::Read::take(io::repeat(b'{'), 5 << 20)));
        let mut piece = Vec::new();
        assert_eq!(endless.read(&mut piece).unwrap(), Some(Piece::Cut));
        assert_eq!(piece.len(), IMPORT_RECORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn nothing_but_separators_is_lost(text in "[{}\\[\\]\",:a\\\\ \n]{0,60}", buffer in 1_usize..9) {
            let found = pieces(text.as_bytes(), buffer);
            prop_assert_eq!(&found, &pieces(text.as_bytes(), 4096));
            let solid = |text: &str| text.replace(['{', '}', '[', ']', ',', ' ', '\n'], "");
            let kept: String = found.iter().map(|(_, text)| solid(text)).collect();
            prop_assert_eq!(kept, solid(&text));
        }
    }
}
