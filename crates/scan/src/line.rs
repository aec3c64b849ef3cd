//! A finding written as the JSON object that [`Finding`](crate::Finding) reads: without a value for
//! each field in between, for a scan may make millions.

use std::borrow::Cow;

/// Names and values in the order they are put; each name once.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// The memory of the line before.
    text: &'a mut Vec<u8>,
    names: Vec<&'a str>,
}

/// Fields that several lines have in common, written once.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    text: Vec<u8>,
    names: Vec<&'static str>,
}

/// Room for so many names without asking for more.
const NAMES: usize = 48;

impl<'a> Line<'a> {
    /// An empty line, written to `memory`.
    pub fn new(memory: &'a mut Vec<u8>) -> Self {
        memory.clear();
        Line { text: memory, names: Vec::with_capacity(NAMES) }
    }

    /// Sets a field that is not there yet to a text.
    pub fn put(&mut self, name: &'a str, value: &str) {
        if self.name(name) {
            string(value, self.text);
        }
    }

    /// Sets a field that is not there yet to a list of objects with texts.
    pub fn put_objects<const N: usize>(
        &mut self,
        name: &'static str,
        keys: [&str; N],
        objects: impl Iterator<Item = [&'a str; N]>,
    ) {
        if !self.name(name) {
            return;
        }
        self.text.push(b'[');
        for (number, values) in objects.enumerate() {
            self.text.extend_from_slice(if number == 0 { b"{" } else { b",{" });
            for (at, (key, value)) in keys.iter().zip(values).enumerate() {
                if at > 0 {
                    self.text.push(b',');
                }
                string(key, self.text);
                self.text.push(b':');
                string(value, self.text);
            }
            self.text.push(b'}');
        }
        self.text.push(b']');
    }

    /// Adds fields of which none is there yet.
    pub fn put_piece(&mut self, piece: &'a Piece) {
        if piece.names.is_empty() {
            return;
        }
        self.names.extend_from_slice(&piece.names);
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        self.text.extend_from_slice(&piece.text);
    }

    /// The whole object.
    pub fn finish(self) -> Box<[u8]> {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
        self.text.push(b'}');
        self.text.as_slice().into()
    }

    /// Writes a name, unless it is there already.
    fn name(&mut self, name: &'a str) -> bool {
        if self.names.contains(&name) {
            return false;
        }
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        string(name, self.text);
        self.text.push(b':');
        self.names.push(name);
        true
    }
}

impl Piece {
    /// Forgets its fields.
    pub fn clear(&mut self) {
        self.text.clear();
        self.names.clear();
    }

    /// Adds a field, which is not there yet, with a text.
    pub fn put(&mut self, name: &'static str, value: &str) {
        self.name(name);
        string(value, &mut self.text);
    }

    /// Adds a field, which is not there yet, with a text if there is one.
    pub fn put_text(&mut self, name: &'static str, value: Option<Cow<'_, str>>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.put(name, &value);
        }
    }

    /// Adds a field, which is not there yet, with a text, or null where there is none.
    pub fn put_or_null(&mut self, name: &'static str, value: Option<Cow<'_, str>>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => self.put(name, &value),
            None => {
                self.name(name);
                self.text.extend_from_slice(b"null");
            }
        }
    }

    fn name(&mut self, name: &'static str) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        string(name, &mut self.text);
        self.text.push(b':');
        self.names.push(name);
    }

    /// The fields of `finding`, whose names are constants.
    pub fn of(finding: &crate::Finding) -> Piece {
        // Proof: the keys are text, and no value is a map with other keys.
        let object = serde_json::to_vec(finding).unwrap_or_default();
        let text = object.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
        let names = finding.constant_names().collect();
        Piece { text: text.unwrap_or_default().to_vec(), names }
    }
}

fn string(value: &str, text: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    // One pass that takes many bytes at a time, for what mostly needs no escape.
    let plain = |byte: &u8| (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\');
    if bytes.iter().fold(true, |all, byte| all & plain(byte)) {
        text.reserve(bytes.len() + 2);
        text.push(b'"');
        text.extend_from_slice(bytes);
        text.push(b'"');
        return;
    }
    // Proof: writing a text to memory cannot fail.
    let _ = serde_json::to_writer(text, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Finding;

    #[test]
    fn a_line_is_the_object_of_its_finding() {
        let mut rule = Finding::default();
        rule.put("rule.name", "a \"rule\"");
        rule.put("rule.tags", vec!["attack.t1059".to_owned()]);
        let mut memory = b"the line before".to_vec();
        let mut line = Line::new(&mut memory);
        line.put("@timestamp", "2026-11-21T19:30:00.321000Z");
        let mut event = Piece::default();
        event.put("forgotten", "");
        event.clear();
        event.put_text("user.name", Some("".into()));
        event.put_or_null("source.ip", Some("".into()));
        event.put_or_null("event.id", Some("a".into()));
        event.put_text("host.name", Some("端末\u{1}\n".into()));
        let rule = Piece::of(&rule);
        line.put_piece(&rule);
        line.put("rule.name", "second");
        line.put_piece(&event);
        line.put("host.name", "again");
        line.put_objects(
            "rule.evidence",
            ["field", "value"],
            [["a", "1"], ["b", "\\"]].into_iter(),
        );
        line.put_objects("none", ["field"], std::iter::empty());
        let text = String::from_utf8(line.finish().into()).unwrap();
        insta::assert_snapshot!(text, @r#"{"@timestamp":"2026-11-21T19:30:00.321000Z","rule.name":"a \"rule\"","rule.tags":["attack.t1059"],"source.ip":null,"event.id":"a","host.name":"端末\u0001\n","rule.evidence":[{"field":"a","value":"1"},{"field":"b","value":"\\"}],"none":[]}"#);
        let finding: Finding = serde_json::from_str(&text).unwrap();
        assert_eq!(finding.text("host.name"), "端末\u{1}\n");
        assert_eq!(*Line::new(&mut memory).finish(), *b"{}");
    }
}
