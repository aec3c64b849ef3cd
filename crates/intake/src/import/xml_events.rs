use super::json_objects::Piece;
use super::pieces::Pieces;
use crate::limits::IMPORT_RECORD_BYTES_MAX;
use std::io::{self, BufRead};

/// Splits a text into its Windows events as XML: one piece from each `<Event ...>` to the
/// `</Event>` that ends it, whether they stand in `<Events>` or one after another. Looks at tags
/// only; what is inside an event is not its concern. Holds at most one event. What belongs to no
/// event comes out as well, so nothing of the text is lost except blanks, declarations, comments
/// and the tags of `Events`.
pub(super) struct XmlEvents<R> {
    reader: R,
    state: State,
    /// Where in the piece the tag began that is open.
    tag: Option<usize>,
    /// The first tag of the next event, met behind a stray piece.
    first_tag: Vec<u8>,
    offset: u64,
    piece_offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Inside,
}

/// What the end of a tag means.
enum TagEnd {
    /// Nothing; also where a `>` does not end the tag, as inside of a comment.
    Nothing,
    Found(Piece),
}

impl<R: BufRead> XmlEvents<R> {
    pub fn new(reader: R) -> Self {
        let first_tag = Vec::new();
        XmlEvents {
            reader,
            state: State::Outside,
            tag: None,
            first_tag,
            offset: 0,
            piece_offset: 0,
        }
    }
}

impl<R: BufRead> Pieces for XmlEvents<R> {
    fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        piece.clear();
        piece.append(&mut self.first_tag);
        self.piece_offset = self.offset - piece.len() as u64;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(self.end_of_text(piece));
            }
            // Up to where the open tag may end, or the next one begins.
            let wanted = if self.tag.is_some() { b'>' } else { b'<' };
            let at = memchr::memchr(wanted, available);
            let length = at.map_or(available.len(), |at| at + 1);
            let room = IMPORT_RECORD_BYTES_MAX - piece.len();
            let kept = length.min(room);
            piece.extend_from_slice(&available[..kept]);
            self.reader.consume(kept);
            self.offset += kept as u64;
            if kept < length {
                return Ok(Some(self.full(piece)));
            }
            if at.is_none() {
                continue;
            }
            match self.tag {
                None => self.tag = Some(piece.len() - 1),
                Some(start) => {
                    if let TagEnd::Found(found) = self.end_of_tag(start, piece) {
                        return Ok(Some(found));
                    }
                }
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

impl<R> XmlEvents<R> {
    fn end_of_tag(&mut self, start: usize, piece: &mut Vec<u8>) -> TagEnd {
        let tag = piece.get(start..).unwrap_or_default();
        let goes_on = (tag.starts_with(b"<!--") && !(tag.len() > 6 && tag.ends_with(b"-->")))
            || (tag.starts_with(b"<![CDATA[") && !tag.ends_with(b"]]>"))
            || (tag.starts_with(b"<?") && !tag.ends_with(b"?>"));
        if goes_on {
            return TagEnd::Nothing;
        }
        self.tag = None;
        let is_event = is_named(tag, b"<Event");
        let is_empty = tag.ends_with(b"/>");
        match self.state {
            State::Inside if is_named(tag, b"</Event") => {
                self.state = State::Outside;
                TagEnd::Found(Piece::Object)
            }
            State::Inside => TagEnd::Nothing,
            State::Outside if is_event => {
                let before = piece.get(..start).unwrap_or_default().trim_ascii().len();
                let found = if before > 0 {
                    self.first_tag = piece.split_off(start);
                    trim(piece);
                    TagEnd::Found(Piece::Stray)
                } else {
                    piece.drain(..start);
                    self.piece_offset = self.offset - piece.len() as u64;
                    if is_empty { TagEnd::Found(Piece::Object) } else { TagEnd::Nothing }
                };
                // An empty event behind a stray piece is ended by the next tag; nobody writes one.
                if !is_empty || before > 0 {
                    self.state = State::Inside;
                }
                found
            }
            State::Outside => {
                let layout = tag.starts_with(b"<?")
                    || tag.starts_with(b"<!--")
                    || is_named(tag, b"<Events")
                    || is_named(tag, b"</Events");
                if layout {
                    piece.truncate(start);
                }
                TagEnd::Nothing
            }
        }
    }

    /// The piece has no more room. What follows is taken for text outside of events.
    fn full(&mut self, piece: &mut Vec<u8>) -> Piece {
        self.tag = None;
        match std::mem::replace(&mut self.state, State::Outside) {
            State::Inside => Piece::Cut,
            State::Outside => {
                trim(piece);
                Piece::Stray
            }
        }
    }

    fn end_of_text(&mut self, piece: &mut Vec<u8>) -> Option<Piece> {
        self.tag = None;
        let state = std::mem::replace(&mut self.state, State::Outside);
        if state == State::Outside {
            trim(piece);
        }
        match state {
            _ if piece.is_empty() => None,
            State::Inside => Some(Piece::Broken),
            State::Outside => Some(Piece::Stray),
        }
    }
}

/// Whether `tag` is of the element whose tags begin with `start`.
fn is_named(tag: &[u8], start: &[u8]) -> bool {
    let after = tag.strip_prefix(start).and_then(|rest| rest.first());
    matches!(after, Some(b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n'))
}

fn trim(piece: &mut Vec<u8>) {
    piece.truncate(piece.trim_ascii_end().len());
    let blanks = piece.len() - piece.trim_ascii_start().len();
    piece.drain(..blanks);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn pieces(text: &[u8], buffer: usize) -> Vec<(Piece, String)> {
        let mut events = XmlEvents::new(BufReader::with_capacity(buffer, text));
        let mut piece = Vec::new();
        let mut all = Vec::new();
        while let Some(found) = events.read(&mut piece).unwrap() {
            all.push((found, String::from_utf8_lossy(&piece).into_owned()));
        }
        all
    }

    #[test]
    fn events_come_out_exactly() {
        let first = "<Event xmlns='x'>\n <System><EventID>1</EventID></System>\n</Event>";
        let second = "<Event><EventData><![CDATA[</Event>]]><!-- </Event> --></EventData></Event>";
        let text = format!(
            "<?xml version=\"1.0\"?>\n<!-- <Event> -->\n<Events>{first}\n{second}</Events>{first}"
        );
        for buffer in [1, 2, 7, 4096] {
            let found = pieces(text.as_bytes(), buffer);
            assert!(found.iter().all(|(kind, _)| *kind == Piece::Object), "{found:?}");
            let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, [first, second, first]);
        }
    }

    #[test]
    fn damage_costs_only_what_it_touches() {
        use Piece::{Broken, Object, Stray};
        let found =
            pieces(b"noise <EventLog/>\n<Event>a</Event> more\n<Event>b</Event><Event>c", 5);
        let expected = [
            (Stray, "noise <EventLog/>"),
            (Object, "<Event>a</Event>"),
            (Stray, "more"),
            (Object, "<Event>b</Event>"),
            (Broken, "<Event>c"),
        ];
        let found: Vec<_> = found.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn events_past_the_limit_are_cut() {
        let event = |bytes: usize| format!("<Event>{}</Event>", "x".repeat(bytes - 15));
        let text =
            event(IMPORT_RECORD_BYTES_MAX) + &event(IMPORT_RECORD_BYTES_MAX + 1) + &event(20);
        let kinds: Vec<_> =
            pieces(text.as_bytes(), 4096).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Piece::Object, Piece::Cut, Piece::Stray, Piece::Object]);
        let mut endless = XmlEvents::new(BufReader::new(io::Read::take(io::repeat(b'<'), 5 << 20)));
        let mut piece = Vec::new();
        assert_eq!(endless.read(&mut piece).unwrap(), Some(Piece::Stray));
        assert_eq!(piece.len(), IMPORT_RECORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn nothing_but_layout_is_lost(text in "(<Event>|</Event>|<Events>|</?a>|<!--|-->|[a-z<> \n]){0,40}", buffer in 1_usize..9) {
            let found = pieces(text.as_bytes(), buffer);
            prop_assert_eq!(&found, &pieces(text.as_bytes(), 4096));
            let total: usize = found.iter().map(|(_, text)| text.len()).sum();
            prop_assert!(total <= text.len());
            let events = found.iter().filter(|(kind, _)| *kind == Piece::Object);
            for (_, event) in events {
                prop_assert!(event.starts_with("<Event") && event.ends_with('>'));
            }
        }
    }
}
