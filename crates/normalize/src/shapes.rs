//! The quick way through a JSON document: what one source writes has the same keys in the same
//! order time after time, so the next key is foreseen and compared instead of read and looked up.
//!
//! It reads only what is valid and within every limit; for anything else it gives up, and the
//! plain way ([`crate::json`]) reads the document from the start. So both always come to the same
//! fields, and what is odd about a document is said in one place.

use crate::flat::{Flat, Span, cut};
use crate::limits::{JSON_DEPTH_MAX, NAME_BYTES_MAX, SHAPE_NODES_MAX};
use crate::names::NameId;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The keys met so far, each in its object, and which key came next the last time.
#[derive(Debug)]
pub(crate) struct Shapes {
    nodes: Vec<Node>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// The epoch of the names that the nodes speak of.
    epoch: u64,
    /// Values of arrays while they are joined.
    scratch: String,
    /// A string while its escapes are taken out. Never shorter than it has been.
    unescaped: Vec<u8>,
}

/// A key in its object; the first node is the document itself. An array's objects have their
/// number as key.
#[derive(Debug)]
struct Node {
    parent: u32,
    /// The key as it is mostly written: in quotes, a colon behind.
    quoted: Box<str>,
    /// The dotted name down to here, where a value was seen.
    name: Option<NameId>,
    /// The key that last came first in this object, and the key that last came after this one.
    first: u32,
    next: u32,
}

/// No node: the document itself is nobody's child and comes after nothing.
const NOTHING: u32 = 0;

impl Default for Shapes {
    fn default() -> Self {
        let mut shapes = Shapes {
            nodes: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            epoch: 0,
            scratch: String::new(),
            unescaped: Vec::new(),
        };
        shapes.forget(0);
        shapes
    }
}

impl Shapes {
    /// Adds the fields of the object `text` to `flat`; or answers `None` and adds nothing.
    pub(crate) fn flatten(&mut self, text: &str, flat: &mut Flat) -> Option<()> {
        if self.epoch != flat.names.epoch() || self.nodes.len() >= SHAPE_NODES_MAX {
            self.forget(flat.names.epoch());
        }
        let mark = flat.mark();
        let base = flat.text_len();
        // One copy of the document; values without escapes are pieces of it.
        flat.text(text);
        self.scratch.clear();
        let read = Reader { shapes: self, text, bytes: text.as_bytes(), base, flat }.document();
        if read.is_none() {
            flat.back_to(mark);
        }
        read
    }

    fn forget(&mut self, epoch: u64) {
        self.nodes.clear();
        self.index.clear();
        self.epoch = epoch;
        self.add(NOTHING, "");
    }

    fn add(&mut self, parent: u32, key: &str) -> u32 {
        // At most SHAPE_NODES_MAX.
        let number = u32::try_from(self.nodes.len()).unwrap_or(NOTHING);
        let quoted = format!("\"{key}\":").into();
        self.nodes.push(Node { parent, quoted, name: None, first: NOTHING, next: NOTHING });
        number
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    /// The node of `key` in the object `parent`, learnt if need be and there is room.
    fn child(&mut self, parent: u32, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((parent, key));
        let nodes = &self.nodes;
        let same = |&number: &u32| {
            nodes.get(number as usize).is_some_and(|n| n.parent == parent && n.key() == key)
        };
        if let Some(&number) = self.index.find(hash, same) {
            return Some(number);
        }
        if self.nodes.len() >= SHAPE_NODES_MAX || key.len() > NAME_BYTES_MAX {
            return None;
        }
        let number = self.add(parent, key);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, number, |&number| {
            nodes.get(number as usize).map_or(0, |n| hasher.hash_one((n.parent, n.key())))
        });
        Some(number)
    }

    /// The dotted name of a node, as the plain way makes it.
    fn path(&self, number: u32) -> String {
        let mut keys = Vec::new();
        let mut at = number;
        while at != NOTHING
            && let Some(node) = self.node(at)
        {
            keys.push(node.key());
            at = node.parent;
        }
        let mut path = String::new();
        for key in keys.iter().rev() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(key);
        }
        path
    }
}

impl Node {
    fn key(&self) -> &str {
        self.quoted.get(1..self.quoted.len().saturating_sub(2)).unwrap_or_default()
    }
}

/// What an array's scalars come to.
enum Joined {
    Nothing,
    One(Span),
    /// From here to the end of the scratch text.
    Text,
}

/// Every method takes the position of the next byte and answers the one after what it read;
/// `None` gives up.
struct Reader<'a> {
    shapes: &'a mut Shapes,
    text: &'a str,
    bytes: &'a [u8],
    /// Where the document begins in `flat`'s text.
    base: usize,
    flat: &'a mut Flat,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        let start = self.blanks(0);
        if self.bytes.get(start)? != &b'{' {
            return None;
        }
        let end = self.object(start + 1, NOTHING, 0)?;
        (self.blanks(end) == self.bytes.len()).then_some(())
    }

    fn object(&mut self, at: usize, object: u32, depth: usize) -> Option<usize> {
        if depth >= JSON_DEPTH_MAX {
            return None;
        }
        let mut at = self.blanks(at);
        if self.bytes.get(at)? == &b'}' {
            return Some(at + 1);
        }
        let mut before = NOTHING;
        loop {
            let foreseen = match before {
                NOTHING => self.shapes.node(object)?.first,
                before => self.shapes.node(before)?.next,
            };
            let (key, after) = match self.shapes.node(foreseen) {
                Some(node)
                    if foreseen != NOTHING
                        && begins_with(self.bytes.get(at..)?, node.quoted.as_bytes()) =>
                {
                    (foreseen, at + node.quoted.len())
                }
                _ => {
                    let (key, after) = self.key(at, object)?;
                    if before == NOTHING {
                        self.shapes.nodes.get_mut(object as usize)?.first = key;
                    } else {
                        self.shapes.nodes.get_mut(before as usize)?.next = key;
                    }
                    (key, after)
                }
            };
            at = self.blanks(after);
            at = self.value(at, key, depth + 1)?;
            at = self.blanks(at);
            match self.bytes.get(at)? {
                b',' => at = self.blanks(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
            before = key;
        }
    }

    /// Any key, up to behind its colon.
    fn key(&mut self, at: usize, object: u32) -> Option<(u32, usize)> {
        if self.bytes.get(at)? != &b'"' {
            return None;
        }
        let end = plain_end(self.bytes, at + 1);
        // Escaped keys are rare enough for the plain way.
        if self.bytes.get(end)? != &b'"' {
            return None;
        }
        let key = self.shapes.child(object, self.text.get(at + 1..end)?)?;
        let colon = self.blanks(end + 1);
        (self.bytes.get(colon)? == &b':').then_some((key, colon + 1))
    }

    fn value(&mut self, at: usize, node: u32, depth: usize) -> Option<usize> {
        match self.bytes.get(at)? {
            b'{' => self.object(at + 1, node, depth),
            b'[' => self.array(at + 1, node, depth),
            b'n' => self.word(at, b"null"),
            _ => {
                let (value, after) = self.scalar(at)?;
                self.push(node, value)?;
                Some(after)
            }
        }
    }

    fn array(&mut self, at: usize, node: u32, depth: usize) -> Option<usize> {
        let start = self.shapes.scratch.len();
        let mut joined = Joined::Nothing;
        let after = self.elements(at, node, depth, &mut joined)?;
        match joined {
            Joined::Nothing => {}
            Joined::One(value) => self.push(node, value)?,
            Joined::Text => {
                let value = self.flat.text(self.shapes.scratch.get(start..)?);
                self.push(node, value)?;
            }
        }
        self.shapes.scratch.truncate(start);
        Some(after)
    }

    fn elements(
        &mut self,
        at: usize,
        node: u32,
        depth: usize,
        joined: &mut Joined,
    ) -> Option<usize> {
        if depth >= JSON_DEPTH_MAX {
            return None;
        }
        let mut at = self.blanks(at);
        if self.bytes.get(at)? == &b']' {
            return Some(at + 1);
        }
        for number in 0usize.. {
            if self.flat.is_full() {
                return None;
            }
            at = match self.bytes.get(at)? {
                b'{' => {
                    let element = self.shapes.child(node, &number.to_string())?;
                    self.object(at + 1, element, depth + 1)?
                }
                b'[' => self.elements(at + 1, node, depth + 1, joined)?,
                b'n' => self.word(at, b"null")?,
                _ => {
                    let (value, after) = self.scalar(at)?;
                    self.join(joined, value);
                    after
                }
            };
            at = self.blanks(at);
            match self.bytes.get(at)? {
                b',' => at = self.blanks(at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
        None
    }

    fn join(&mut self, joined: &mut Joined, value: Span) {
        let scratch = &mut self.shapes.scratch;
        *joined = match joined {
            Joined::Nothing => Joined::One(value),
            Joined::One(first) => {
                scratch.push_str(self.flat.get(*first));
                scratch.push_str(", ");
                scratch.push_str(self.flat.get(value));
                Joined::Text
            }
            Joined::Text => {
                scratch.push_str(", ");
                scratch.push_str(self.flat.get(value));
                Joined::Text
            }
        };
    }

    fn push(&mut self, node: u32, value: Span) -> Option<()> {
        if self.flat.is_full() {
            return None;
        }
        let name = match self.shapes.node(node)?.name {
            Some(name) => name,
            None => {
                let name = self.flat.names.id(cut(&self.shapes.path(node)));
                self.shapes.nodes.get_mut(node as usize)?.name = Some(name);
                name
            }
        };
        self.flat.push_spans(name, value);
        Some(())
    }

    fn scalar(&mut self, at: usize) -> Option<(Span, usize)> {
        match self.bytes.get(at)? {
            b'"' => self.string(at + 1),
            b't' => self.literal(at, self.word(at, b"true")?),
            b'f' => self.literal(at, self.word(at, b"false")?),
            _ => self.number(at),
        }
    }

    fn literal(&self, at: usize, end: usize) -> Option<(Span, usize)> {
        Some((self.flat.span(self.base + at, self.base + end), end))
    }

    fn word(&self, at: usize, word: &[u8]) -> Option<usize> {
        self.bytes.get(at..)?.starts_with(word).then_some(at + word.len())
    }

    fn number(&mut self, at: usize) -> Option<(Span, usize)> {
        let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let token = self.bytes.get(at..)?;
        let length = token.iter().position(|byte| !number(byte)).unwrap_or(token.len());
        let end = at + length;
        let digits = match token.get(..length)? {
            [b'-', digits @ ..] => digits,
            digits => digits,
        };
        // Whole numbers that fit 64 bits print as they are written.
        const SURELY_FITS: usize = 18;
        let plain = digits.iter().all(u8::is_ascii_digit)
            && (1..=SURELY_FITS).contains(&digits.len())
            && (digits.len() == 1 || digits.first() != Some(&b'0'));
        if plain {
            return self.literal(at, end);
        }
        let number: serde_json::Number = serde_json::from_str(self.text.get(at..end)?).ok()?;
        let value = match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => self.flat.display(number),
            (None, Some(number)) => self.flat.display(number),
            (None, None) => self.flat.display(number.as_f64()?),
        };
        Some((value, end))
    }

    /// A string from behind its opening quote.
    fn string(&mut self, at: usize) -> Option<(Span, usize)> {
        let end = plain_end(self.bytes, at);
        match self.bytes.get(end)? {
            b'"' => self.literal(at, end).map(|(value, end)| (value, end + 1)),
            b'\\' => self.escaped(at),
            _ => None,
        }
    }

    /// A string that has escapes, from behind its opening quote.
    fn escaped(&mut self, at: usize) -> Option<(Span, usize)> {
        let plain = &mut self.shapes.unescaped;
        let (length, after) = unescape(self.bytes, at, plain)?;
        let value = self.flat.text(simdutf8::basic::from_utf8(plain.get(..length)?).ok()?);
        Some((value, after))
    }

    fn blanks(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(at) {
            at += 1;
        }
        at
    }
}

/// Writes the string at `at`, up to its closing quote and without its escapes, to the front of
/// `plain`. Answers its length and the place behind the quote.
///
/// Messages have an escape every few words, so the text is copied while it is looked at: eight
/// bytes at a time, what is too much being written over.
fn unescape(bytes: &[u8], mut at: usize, plain: &mut Vec<u8>) -> Option<(usize, usize)> {
    // No escape is shorter than what it stands for.
    let room = bytes.len().saturating_sub(at) + 8;
    if plain.len() < room {
        plain.resize(room, 0);
    }
    let mut length = 0;
    loop {
        if let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
            plain.get_mut(length..length + 8)?.copy_from_slice(&eight);
            let hits = special(eight);
            if hits == 0 {
                at += 8;
                length += 8;
                continue;
            }
            let skipped = (hits.trailing_zeros() / 8) as usize;
            at += skipped;
            length += skipped;
        }
        let written = plain.get_mut(length)?;
        *written = match bytes.get(at)? {
            b'"' => return Some((length, at + 1)),
            b'\\' => {
                at += 1;
                match bytes.get(at)? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    itself @ (b'"' | b'\\' | b'/') => *itself,
                    b'b' => 8,
                    b'f' => 0xC,
                    b'u' => {
                        let (character, after) = unicode(bytes, at + 1)?;
                        let room = plain.get_mut(length..length + character.len_utf8())?;
                        length += character.encode_utf8(room).len();
                        at = after;
                        continue;
                    }
                    _ => return None,
                }
            }
            0..0x20 => return None,
            // The last few bytes of the document.
            other => *other,
        };
        at += 1;
        length += 1;
    }
}

/// The character whose four digits (and those of its second half) begin at `at`.
fn unicode(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = |at: usize| {
        bytes
            .get(at..at + 4)?
            .iter()
            .try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
    };
    let first = unit(at)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, at + 4));
    }
    if bytes.get(at + 4..at + 6)? != b"\\u" {
        return None;
    }
    let second = unit(at + 6)?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)?, at + 10))
}

/// Whether `bytes` begins with `start`, without a call for what is mostly a few words long.
fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..start.len()) else { return false };
    let (words, rest) = bytes.as_chunks::<8>();
    let (start_words, start_rest) = start.as_chunks::<8>();
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    words.iter().zip(start_words).all(|(a, b)| word(a) == word(b))
        && rest.iter().zip(start_rest).all(|(a, b)| a == b)
}

/// The bits of the quotes, backslashes and control characters among eight bytes: the lowest bit that
/// is set is the high bit of the first of them, if there is any.
fn special(eight: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Subtracting borrows from the high bit of a byte that is zero (or, for control characters,
    // below 0x20). A borrow may also set bits above the first hit, never below.
    let word = u64::from_le_bytes(eight);
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5C);
    let hits = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hits & HIGH
}

/// The place of the first quote, backslash or control character at or after `at`; or the end.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let hits = special(eight);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;

    fn fields(flat: &Flat) -> Vec<(String, String)> {
        let entries = (0..flat.len()).filter_map(|number| flat.entry(number));
        entries
            .map(|e| (flat.names.text(e.name).to_owned(), flat.get(e.value).to_owned()))
            .collect()
    }

    /// Reads the documents one after another both ways; tells how many the quick way took.
    fn compare(documents: &[String]) -> usize {
        let (mut shapes, mut quick) = (Shapes::default(), Flat::default());
        let mut taken = 0;
        for document in documents {
            let mut plain = Flat::default();
            json::flatten_plainly(document, &mut plain);
            quick.clear();
            let read = shapes.flatten(document, &mut quick);
            match read {
                Some(()) => {
                    assert_eq!(fields(&quick), fields(&plain), "{document}");
                    assert_eq!(plain.problem(), None, "{document}");
                    taken += 1;
                }
                None => assert_eq!((quick.len(), quick.text_len()), (0, 0), "{document}"),
            }
        }
        taken
    }

    #[test]
    fn ordinary_documents_are_read_the_quick_way() {
        let documents = [
            r#"{"a":{"b":"x\ty","n":null,"t":true},"l":[1,"two",[3.5,false]],"o":[{"k":1},{"k":[2,"3"]}]}"#,
            r#" {"a" : {"b":"\u65e5\ud83d\ude00\/" , "c":-0}, "l":[] , "u":18446744073709551615,"e":1.0e2} "#,
            r#"{"l":["one"],"a":{"t":false,"b":"","b":"again"},"":{"":1,"x":2},"i":-9223372036854775808}"#,
            r#"{}"#,
            r#"{"a":{},"long":"0123456789abcdef0123456789\"","日本":"語"}"#,
        ];
        assert_eq!(compare(&documents.map(str::to_owned)), documents.len());
    }

    #[test]
    fn odd_documents_are_left_to_the_plain_way() {
        let odd = [
            "",
            "[1]",
            "{",
            "{\"a\"",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1}x",
            "{\"a\":tru}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\x\"}",
            "{\"\\u0061\":1}",
            "{\"a\":1e999}",
            "{\"a\":-}",
            "{\"a\":[1,]}",
            "{\"a\":[1}",
            "{\"a\" 1}",
            "{a:1}",
        ];
        assert_eq!(compare(&odd.map(str::to_owned)), 0);
    }

    #[test]
    fn limits_are_those_of_the_plain_way() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(compare(&[nested(JSON_DEPTH_MAX)]), 1);
        assert_eq!(compare(&[nested(JSON_DEPTH_MAX + 1)]), 0);
        let lists = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(compare(&[lists(JSON_DEPTH_MAX - 1)]), 1);
        assert_eq!(compare(&[lists(JSON_DEPTH_MAX)]), 0);
        let wide = |keys: usize| {
            let keys: Vec<_> = (0..keys).map(|key| format!("\"k{key}\":null")).collect();
            format!("{{{}}}", keys.join(","))
        };
        // One node is the document itself; past the limit they are forgotten, and learnt again.
        assert_eq!(compare(&[wide(SHAPE_NODES_MAX - 1), wide(1)]), 2);
        assert_eq!(compare(&[wide(SHAPE_NODES_MAX), wide(1)]), 1);
        assert_eq!(compare(&[format!("{{\"{}\":1}}", "k".repeat(NAME_BYTES_MAX))]), 1);
        assert_eq!(compare(&[format!("{{\"{}\":1}}", "k".repeat(NAME_BYTES_MAX + 1))]), 0);
    }

    fn document() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::{Value, json};
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c\"\\\\\n\u{1}é日\u{1F600} ]{0,20}".prop_map(Value::from),
        ];
        let any = leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[a-c]{0,2}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::vec(("[a-c]{0,2}", any), 0..6)
            .prop_map(|members| json!(members.into_iter().collect::<serde_json::Map<_, _>>()))
    }

    proptest! {
        #[test]
        fn both_ways_read_the_same(documents in prop::collection::vec(document(), 1..6)) {
            let mut texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
            texts.extend(documents.iter().filter_map(|d| serde_json::to_string_pretty(d).ok()));
            prop_assert_eq!(compare(&texts), texts.len());
        }

        #[test]
        fn whatever_it_takes_is_valid(
            document in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = document.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte & 0x7F;
            if let Ok(text) = String::from_utf8(bytes) {
                compare(&[document.to_string(), text]);
            }
        }

        #[test]
        fn the_end_of_a_plain_run(text in "[ -~\u{0}-\u{1f}é日]{0,40}") {
            let bytes = text.as_bytes();
            let obvious = |from: usize| {
                let found = bytes.iter().skip(from).position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
                found.map_or(bytes.len(), |at| at + from)
            };
            for from in 0..=bytes.len() {
                prop_assert_eq!(plain_end(bytes, from), obvious(from));
            }
        }
    }
}
