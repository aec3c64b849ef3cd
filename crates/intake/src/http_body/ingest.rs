use super::BodyError;
use super::json::{Fault, check_event, leading_value, whole_value};
use crate::import::json_objects::JsonObjects;
use crate::import::wrapper::opens_wrapper;
use crate::limits::{BODY_ITEMS_MAX, ITEM_ERRORS_TOLD_MAX, SPANNING_FAILURES_MAX};
use bytes::Bytes;

/// The events of a body, and what in it was no event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingest {
    /// The exact source text of each event, in order.
    pub events: Vec<Bytes>,
    /// What was refused; the first [`ITEM_ERRORS_TOLD_MAX`] of [`Ingest::refused`].
    pub errors: Vec<EventError>,
    /// How many items were refused.
    pub refused: usize,
}

/// One refused item of a body.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EventError {
    /// The item's number within the body, from 0, good ones counted.
    pub item: usize,
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in bytes, from 1 (0 when a line ended too early).
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

/// The events of a decoded `POST /api/v1/ingest` body: JSON lines, JSON objects one after another
/// over several lines, or one JSON array. An object that only wraps a list of events, as cloud
/// services deliver them (`{"records":[...]}`), stands for the events in its list.
///
/// Good events are taken and bad ones reported, item by item. In JSON lines a bad line ends with
/// the line; in an array what follows a fault cannot be told apart, so it counts as one bad item.
///
/// # Errors
/// [`BodyError::NotJson`] when there is text but no event could be taken and the first fault is one of
/// syntax; [`BodyError::TooMany`] past [`BODY_ITEMS_MAX`] items. An empty body has no events.
pub fn parse_ingest(body: &Bytes) -> Result<Ingest, BodyError> {
    let mut parser =
        Parser { body, at: 0, line: 1, line_start: 0, found: Ingest::default(), syntax: None };
    let bom = b"\xef\xbb\xbf";
    if body.starts_with(bom) {
        parser.at = bom.len();
        parser.line_start = bom.len();
    }
    parser.skip_blanks();
    if body.get(parser.at) == Some(&b'[') {
        parser.array()?
    } else {
        parser.values()?
    }
    match parser.syntax {
        Some(error) if parser.found.events.is_empty() => Err(error),
        _ => Ok(parser.found),
    }
}

struct Parser<'a> {
    body: &'a Bytes,
    at: usize,
    /// Line of `at`, and where it starts.
    line: usize,
    line_start: usize,
    found: Ingest,
    /// The first fault of syntax.
    syntax: Option<BodyError>,
}

impl Parser<'_> {
    fn array(&mut self) -> Result<(), BodyError> {
        self.advance(1);
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.advance(1);
            return self.trailing();
        }
        loop {
            self.skip_blanks();
            match leading_value(&self.body[self.at..]) {
                Ok(length) => self.take(length)?,
                Err(fault) => return self.refuse_fault(&fault),
            }
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.advance(1),
                Some(b']') => {
                    self.advance(1);
                    return self.trailing();
                }
                Some(_) => return self.refuse_here("expected , or ] after an element"),
                None => return self.refuse_here("the array is not closed"),
            }
        }
    }

    fn trailing(&mut self) -> Result<(), BodyError> {
        self.skip_blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.refuse_here("text after the end of the array"),
        }
    }

    fn values(&mut self) -> Result<(), BodyError> {
        let mut spanning_failures = 0;
        loop {
            self.skip_blanks();
            if self.peek().is_none() {
                return Ok(());
            }
            let rest = &self.body[self.at..];
            let line_length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            // The fast and usual way: the value is the line.
            let line = rest[..line_length].trim_ascii_end();
            let Err(fault) = whole_value(line) else {
                self.take(line.len())?;
                continue;
            };
            if fault.ended_early && spanning_failures < SPANNING_FAILURES_MAX {
                match leading_value(rest) {
                    Ok(length) => {
                        self.take(length)?;
                        continue;
                    }
                    Err(_) => spanning_failures += 1,
                }
            }
            self.refuse_fault(&fault)?;
            self.advance(line_length);
        }
    }

    /// Takes the value of `length` bytes at the current place.
    fn take(&mut self, length: usize) -> Result<(), BodyError> {
        let value = self.body.slice(self.at..self.at + length);
        if opens_wrapper(&value) {
            return self.unwrap(&value);
        }
        self.count_item()?;
        match check_event(&value) {
            Ok(()) => self.found.events.push(value),
            Err(reason) => self.refuse(self.line, self.column(), reason),
        }
        self.advance(length);
        Ok(())
    }

    /// Takes the events that `wrapper`, the value at the current place, holds.
    fn unwrap(&mut self, wrapper: &Bytes) -> Result<(), BodyError> {
        let start = self.at;
        let mut events = JsonObjects::new(&wrapper[..]);
        let mut piece = Vec::new();
        // Reading from memory cannot fail.
        while let Ok(Some(_)) = events.read(&mut piece) {
            self.count_item()?;
            let offset = usize::try_from(events.piece_offset).unwrap_or(usize::MAX);
            let place = start.saturating_add(offset).min(start + wrapper.len());
            self.advance(place.saturating_sub(self.at));
            let end = place.saturating_add(piece.len()).min(start + wrapper.len());
            let event = self.body.slice(place..end);
            match check_event(&event) {
                Ok(()) => self.found.events.push(event),
                Err(reason) => self.refuse(self.line, self.column(), reason),
            }
        }
        self.advance((start + wrapper.len()).saturating_sub(self.at));
        Ok(())
    }

    fn refuse_fault(&mut self, fault: &Fault) -> Result<(), BodyError> {
        self.count_item()?;
        let line = self.line + fault.line - 1;
        let before = if fault.line == 1 { self.at - self.line_start } else { 0 };
        let column = if fault.column == 0 { 0 } else { fault.column + before };
        self.refuse_syntax(line, column, &fault.reason);
        Ok(())
    }

    fn refuse_here(&mut self, reason: &str) -> Result<(), BodyError> {
        self.count_item()?;
        self.refuse_syntax(self.line, self.column(), reason);
        Ok(())
    }

    fn refuse_syntax(&mut self, line: usize, column: usize, reason: &str) {
        let reason = reason.to_owned();
        self.syntax.get_or_insert(BodyError::NotJson { line, column, reason: reason.clone() });
        self.refuse(line, column, reason);
    }

    fn refuse(&mut self, line: usize, column: usize, reason: String) {
        let item = self.found.events.len() + self.found.refused;
        self.found.refused += 1;
        if self.found.errors.len() < ITEM_ERRORS_TOLD_MAX {
            self.found.errors.push(EventError { item, line, column, reason });
        }
    }

    fn count_item(&self) -> Result<(), BodyError> {
        if self.found.events.len() + self.found.refused >= BODY_ITEMS_MAX {
            return Err(BodyError::TooMany { limit: BODY_ITEMS_MAX });
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn column(&self) -> usize {
        self.at - self.line_start + 1
    }

    fn skip_blanks(&mut self) {
        let rest = &self.body[self.at..];
        self.advance(rest.len() - rest.trim_ascii_start().len());
    }

    fn advance(&mut self, length: usize) {
        let passed = &self.body[self.at..self.at + length];
        for newline in memchr::memchr_iter(b'\n', passed) {
            self.line += 1;
            self.line_start = self.at + newline + 1;
        }
        self.at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(body: &str) -> Result<Ingest, BodyError> {
        parse_ingest(&Bytes::copy_from_slice(body.as_bytes()))
    }

    fn events(body: &str) -> Vec<String> {
        let text = |event: &Bytes| String::from_utf8(event.to_vec()).unwrap();
        parse(body).unwrap().events.iter().map(text).collect()
    }

    #[test]
    fn each_event_is_its_exact_source_text() {
        let cases: &[(&str, &[&str])] = &[
            (
                "{\"a\" : 1.0}\r\n\n {\"b\":\"\\u3042 あ\"}  ",
                &["{\"a\" : 1.0}", "{\"b\":\"\\u3042 あ\"}"],
            ),
            ("[{\"a\":1} ,\n{\"b\": [2]}]\n", &["{\"a\":1}", "{\"b\": [2]}"]),
            (
                "{\n \"a\": 1\n}\n{\n \"b\": 2\n}{\"c\":3}\n",
                &["{\n \"a\": 1\n}", "{\n \"b\": 2\n}", "{\"c\":3}"],
            ),
            ("\u{feff}{\"a\":1}", &["{\"a\":1}"]),
            (
                "{\"records\":[ {\"a\":1},\n{\"b\" : 2}]}\n{\"c\":3}",
                &["{\"a\":1}", "{\"b\" : 2}", "{\"c\":3}"],
            ),
            ("[{\"kind\":\"x\",\"items\":[{\"a\":1}],\"etag\":\"y\"}]", &["{\"a\":1}"]),
            ("{\"Records\":[]}", &[]),
            ("[]", &[]),
            (" \n", &[]),
            ("", &[]),
        ];
        for (body, expected) in cases {
            assert_eq!(&events(body), expected, "{body:?}");
        }
    }

    #[test]
    fn good_events_are_kept_and_bad_ones_named() {
        let ingest = parse("{\"a\":1}\nnot json\n{\"b\":\n{\"c\":3}\n5\n{\"d\":4}").unwrap();
        assert_eq!(ingest.events.len(), 3);
        assert_eq!(ingest.refused, 3);
        let places: Vec<_> =
            ingest.errors.iter().map(|error| (error.item, error.line, error.column)).collect();
        assert_eq!(places, [(1, 2, 2), (2, 3, 5), (4, 5, 1)]);

        let ingest = parse("{\"records\":[{\"a\":1},\n7,{\"b\":2}]}\nx").unwrap();
        assert_eq!((ingest.events.len(), ingest.refused), (2, 2));
        let places: Vec<_> = ingest.errors.iter().map(|error| (error.line, error.column)).collect();
        assert_eq!(places, [(2, 1), (3, 1)]);

        let ingest = parse("[{\"a\":1},\n {\"b\":2}, {\"c\" 3}, {\"d\":4}]").unwrap();
        assert_eq!(ingest.events.len(), 2);
        let error = &ingest.errors[0];
        assert_eq!((error.item, error.line, error.column), (2, 2, 16));
    }

    #[test]
    fn what_is_not_json_at_all_is_refused_with_its_place() {
        for (body, line, column) in
            [("<13>Oct 11 sshd", 1, 1), ("\n\n  hello", 3, 3), ("[{\"a\":1", 1, 7), ("[1,]x", 1, 4)]
        {
            match parse(body) {
                Err(BodyError::NotJson { line: l, column: c, .. }) => {
                    assert_eq!((l, c), (line, column), "{body:?}");
                }
                other => panic!("{body:?}: {other:?}"),
            }
        }
        let ingest = parse_ingest(&Bytes::from_static(b"{\"a\":\"\x83\x65\"}\n{\"b\":1}")).unwrap();
        assert_eq!((ingest.events.len(), ingest.refused), (1, 1));
        // Only the wrong kind of value: each is named, nothing is "not JSON".
        assert_eq!(parse("[1, \"x\"]").unwrap().refused, 2);
    }

    #[test]
    fn the_number_of_items_is_limited() {
        assert_eq!(parse(&"{}\n".repeat(BODY_ITEMS_MAX)).unwrap().events.len(), BODY_ITEMS_MAX);
        let wrapped = |events: usize| {
            let list = vec!["{}"; events].join(",");
            parse(&format!("{{\"records\":[{list}]}}"))
        };
        assert_eq!(wrapped(BODY_ITEMS_MAX).unwrap().events.len(), BODY_ITEMS_MAX);
        assert_eq!(wrapped(BODY_ITEMS_MAX + 1).unwrap_err().status(), 413);
        for one_more in ["{}", "x", "[]"] {
            let error = parse(&("{}\n".repeat(BODY_ITEMS_MAX) + one_more)).unwrap_err();
            assert_eq!(error.status(), 413);
        }
    }

    #[test]
    fn many_unclosed_lines_are_read_in_linear_time() {
        let ingest = parse(&("{\"a\":\n".repeat(50_000) + "{\"b\":1}")).unwrap();
        assert_eq!((ingest.events.len(), ingest.refused), (1, 50_000));
        assert_eq!(ingest.errors.len(), ITEM_ERRORS_TOLD_MAX);
    }

    proptest! {
        #[test]
        fn never_panics_and_events_are_slices(body in proptest::collection::vec(
            prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b':'),
                        Just(b','), Just(b'1'), Just(b'\n'), Just(b'\\'), any::<u8>()], 0..60)) {
            if let Ok(ingest) = parse_ingest(&body.clone().into()) {
                for event in ingest.events {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&event).is_ok());
                }
            }
        }

        #[test]
        fn array_and_lines_give_the_same_events(values in proptest::collection::vec(any::<i64>(), 0..20)) {
            let objects: Vec<_> = values.iter().map(|v| format!("{{\"v\":{v}}}")).collect();
            prop_assert_eq!(events(&format!("[{}]", objects.join(" , "))), objects.clone());
            prop_assert_eq!(events(&objects.join("\n")), objects);
        }
    }
}
