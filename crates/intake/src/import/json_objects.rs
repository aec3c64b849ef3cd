use super::wrapper::{Opening, Verdict, is_plain_tail};
use crate::limits::{IMPORT_RECORD_BYTES_MAX, WRAPPER_START_BYTES_MAX};
use std::io::{self, BufRead};

/// One piece of a text of JSON objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// From a `{` to the `}` that closes it.
    Object,
    /// An object longer than [`IMPORT_RECORD_BYTES_MAX`], cut there.
    Cut,
    /// An object that breaks off: at a line end inside a string, or at the end of the text.
    Broken,
    /// A line, or what is left of one, that belongs to no object.
    Stray,
}

/// Splits a text into its outermost JSON objects by counting brackets outside strings, whether they
/// stand in an array or one after another; of an object that only wraps a list of events (see
/// [`super::wrapper`]) the events come out one by one. Holds at most one object; does not recurse.
/// What belongs to no object comes out line by line, so nothing of the text is lost except blanks,
/// the commas and brackets between objects, and what a wrapper says of itself.
pub(crate) struct JsonObjects<R> {
    reader: R,
    state: State,
    /// Inside the list of a wrapper.
    in_list: bool,
    /// The object being read was cut already; this is the rest of it.
    continued: bool,
    /// Bytes of the text taken so far.
    pub offset: u64,
    /// Where the last piece started.
    pub piece_offset: u64,
}

enum State {
    Between,
    /// The start of an outermost object, which may be a wrapper.
    Opening(Box<Opening>),
    Object(Brackets),
    Stray,
    /// After the list of a wrapper, up to the wrapper's end.
    Tail(Brackets),
}

/// Where in an object the reading is.
#[derive(Clone, Copy, Default)]
struct Brackets {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl<R: BufRead> JsonObjects<R> {
    pub fn new(reader: R) -> Self {
        JsonObjects {
            reader,
            state: State::Between,
            in_list: false,
            continued: false,
            offset: 0,
            piece_offset: 0,
        }
    }

    /// Puts the next piece into `piece`; `None` at the end of the text.
    pub fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        piece.clear();
        if self.continued {
            self.piece_offset = self.offset;
        }
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(self.end_of_text(piece));
            }
            let (taken, found) = match &mut self.state {
                State::Between => {
                    let taken = skip_between(available, self.in_list);
                    if let Some(&next) = available.get(taken) {
                        self.piece_offset = self.offset + taken as u64;
                        self.state = match next {
                            b'{' if self.in_list => State::Object(Brackets::default()),
                            b'{' => State::Opening(Box::default()),
                            b']' if self.in_list => State::Tail(Brackets::default()),
                            _ => State::Stray,
                        };
                        // The bracket that ends the list is no part of what follows.
                        let bracket = usize::from(matches!(self.state, State::Tail(_)));
                        (taken + bracket, None)
                    } else {
                        (taken, None)
                    }
                }
                State::Opening(opening) => {
                    let room = WRAPPER_START_BYTES_MAX.saturating_sub(piece.len());
                    let start = available.get(..room).unwrap_or(available);
                    let mut verdict = Verdict::Open;
                    let undecided = |byte: &u8| {
                        verdict = opening.next(*byte);
                        verdict != Verdict::Open
                    };
                    let decided = start.iter().position(undecided);
                    let taken = decided.map_or(start.len(), |at| at + 1);
                    piece.extend_from_slice(start.get(..taken).unwrap_or_default());
                    if verdict == Verdict::Wrapper {
                        piece.clear();
                        self.in_list = true;
                        self.state = State::Between;
                        // The list's first byte is read again, as one of its elements.
                        (taken - 1, None)
                    } else if verdict == Verdict::Event || piece.len() >= WRAPPER_START_BYTES_MAX {
                        let mut brackets = Brackets::default();
                        let (_, found) = brackets.scan(piece);
                        self.state = State::Object(brackets);
                        (taken, found)
                    } else {
                        (taken, None)
                    }
                }
                State::Object(brackets) => {
                    let before = *brackets;
                    let (taken, found) = brackets.scan(available);
                    let kept = taken.min(IMPORT_RECORD_BYTES_MAX - piece.len());
                    let part = available.get(..kept).unwrap_or_default();
                    piece.extend_from_slice(part);
                    if kept < taken {
                        *brackets = before;
                        brackets.scan(part);
                        self.take(kept);
                        self.continued = true;
                        return Ok(Some(Piece::Cut));
                    }
                    (taken, found)
                }
                State::Stray | State::Tail(_) => {
                    let (taken, found) = match &mut self.state {
                        State::Tail(brackets) => brackets.scan_tail(available),
                        _ if self.in_list => scan_to_comma(available),
                        _ => scan_stray(available),
                    };
                    let kept = taken.min(IMPORT_RECORD_BYTES_MAX - piece.len());
                    piece.extend_from_slice(available.get(..kept).unwrap_or_default());
                    if kept < taken {
                        self.take(kept);
                        self.piece_offset = self.offset - piece.len() as u64;
                        self.state = State::Stray;
                        self.in_list = false;
                        return Ok(Some(Piece::Cut));
                    }
                    (taken, found)
                }
            };
            self.take(taken);
            let Some(mut found) = found else { continue };
            let state = std::mem::replace(&mut self.state, State::Between);
            if std::mem::take(&mut self.continued) {
                found = Piece::Stray;
            }
            if matches!(state, State::Tail(_)) {
                self.in_list = false;
                if is_plain_tail(piece) {
                    piece.clear();
                }
            }
            if found == Piece::Broken {
                // Whatever encloses it cannot be told any more.
                self.in_list = false;
            }
            if found == Piece::Stray {
                piece.truncate(piece.trim_ascii_end().len());
                if piece.is_empty() {
                    continue;
                }
            }
            return Ok(Some(found));
        }
    }

    fn take(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.offset += bytes as u64;
    }

    fn end_of_text(&mut self, piece: &[u8]) -> Option<Piece> {
        let state = std::mem::replace(&mut self.state, State::Between);
        let continued = std::mem::take(&mut self.continued);
        match state {
            _ if piece.is_empty() => None,
            State::Between => None,
            State::Object(_) if continued => Some(Piece::Stray),
            State::Opening(_) | State::Object(_) => Some(Piece::Broken),
            State::Stray | State::Tail(_) => Some(Piece::Stray),
        }
    }
}

fn skip_between(available: &[u8], in_list: bool) -> usize {
    let between = |byte: &u8| match byte {
        b'[' | b']' => !in_list,
        _ => matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b','),
    };
    available.iter().position(|byte| !between(byte)).unwrap_or(available.len())
}

impl Brackets {
    /// Reads on in an object: how many bytes of it there are, and what it is if it ends there.
    fn scan(&mut self, available: &[u8]) -> (usize, Option<Piece>) {
        for (at, &byte) in available.iter().enumerate() {
            if self.in_string {
                match byte {
                    // No JSON string contains a line end (RFC 8259 section 7): this one was cut off.
                    b'\n' => return (at + 1, Some(Piece::Broken)),
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, Some(Piece::Object));
                    }
                }
                _ => {}
            }
        }
        (available.len(), None)
    }

    /// The same from within a wrapper, whose own bracket was opened long ago.
    fn scan_tail(&mut self, available: &[u8]) -> (usize, Option<Piece>) {
        self.depth += 1;
        let (taken, found) = self.scan(available);
        self.depth = self.depth.saturating_sub(1);
        (taken, found.map(|_| Piece::Stray))
    }
}

fn scan_stray(available: &[u8]) -> (usize, Option<Piece>) {
    match memchr::memchr(b'\n', available) {
        Some(at) => (at + 1, Some(Piece::Stray)),
        None => (available.len(), None),
    }
}

/// What is no object in a list ends before the next comma or the list's end.
fn scan_to_comma(available: &[u8]) -> (usize, Option<Piece>) {
    match memchr::memchr3(b',', b']', b'\n', available) {
        Some(at) => (at, Some(Piece::Stray)),
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
    fn events_come_out_of_their_wrapper() {
        let text = br#"{"Records": [{"a":"]}"},
            {"b":{"Records":[{}]}} ]}
{"records":[]}{"kind":"EventList","items":[{"c":1}],"etag":"x"}
{"user":"tanaka","items":[{"d":1}]}
[{"value":[{"e":1},7,"f,g",{"h":2}],"user":"sato"}]"#;
        let expected = [
            (Piece::Object, r#"{"a":"]}"}"#),
            (Piece::Object, r#"{"b":{"Records":[{}]}}"#),
            (Piece::Object, r#"{"c":1}"#),
            (Piece::Object, r#"{"user":"tanaka","items":[{"d":1}]}"#),
            (Piece::Object, r#"{"e":1}"#),
            (Piece::Stray, "7"),
            (Piece::Stray, r#""f"#),
            (Piece::Stray, r#"g""#),
            (Piece::Object, r#"{"h":2}"#),
            (Piece::Stray, r#","user":"sato"}"#),
        ];
        for buffer in [1, 2, 7, 4096] {
            let found = pieces(text, buffer);
            let found: Vec<_> = found.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
            assert_eq!(found, expected, "buffer of {buffer}");
        }
    }

    #[test]
    fn a_wrapper_shows_early_or_is_an_event() {
        for (length, events) in [(WRAPPER_START_BYTES_MAX, 2), (WRAPPER_START_BYTES_MAX + 1, 1)] {
            // Up to and with the first event's `{`.
            let around = "{\"etag\":\"\",\"items\":[{".len();
            let etag = "x".repeat(length - around);
            let start = format!("{{\"etag\":\"{etag}\",\"items\":[{{");
            assert_eq!(start.len(), length);
            assert_eq!(pieces(format!("{start}}},{{}}]}}").as_bytes(), 4096).len(), events);
        }
    }

    #[test]
    fn pieces_say_where_they_start() {
        let text = br#"{"count":2,"value":[ {"a":1}, {"b":2}]} {"c":3}"#;
        let mut objects = JsonObjects::new(&text[..]);
        let mut piece = Vec::new();
        while objects.read(&mut piece).unwrap().is_some() {
            let start = usize::try_from(objects.piece_offset).unwrap();
            assert_eq!(&text[start..start + piece.len()], piece);
        }
    }

    #[test]
    fn a_long_event_in_a_wrapper_costs_only_itself() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(IMPORT_RECORD_BYTES_MAX));
        let text = format!("{{\"Records\":[{{\"b\":1}},{long},{{\"c\":1}}]}}");
        let kinds: Vec<_> =
            pieces(text.as_bytes(), 4096).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Piece::Object, Piece::Cut, Piece::Stray, Piece::Object]);
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
