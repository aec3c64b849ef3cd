//! A finding written as the JSON object that [`Finding`](crate::Finding) reads: without a value for
//! each field in between, for a scan may make millions.

use std::borrow::Cow;

/// Names and values in the order they are put; each name once.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// The memory of the line before.
    text: &'a mut Vec<u8>,
    names: Vec<Cow<'a, str>>,
}

/// Fields that many lines have in common, written once.
#[derive(Debug)]
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
    pub fn put(&mut self, name: impl Into<Cow<'a, str>>, value: &str) {
        if self.name(name.into()) {
            string(value, self.text);
        }
    }

    /// Sets a field that is not there yet to a text, if there is one.
    pub fn put_text(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value
            && !value.as_ref().is_empty()
        {
            self.put(name, value.as_ref());
        }
    }

    /// Sets a field that is not there yet to a text, or to null where there is none.
    pub fn put_or_null(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        match value.as_ref().map(AsRef::as_ref).filter(|text| !text.is_empty()) {
            Some(text) => self.put(name, text),
            None => {
                if self.name(name.into()) {
                    self.text.extend_from_slice(b"null");
                }
            }
        }
    }

    /// Sets a field that is not there yet to a list of objects with texts.
    pub fn put_objects<const N: usize>(
        &mut self,
        name: &'static str,
        keys: [&str; N],
        objects: impl Iterator<Item = [&'a str; N]>,
    ) {
        if !self.name(name.into()) {
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
    pub fn put_piece(&mut self, piece: &Piece) {
        if piece.names.is_empty() {
            return;
        }
        self.names.extend(piece.names.iter().map(|name| Cow::Borrowed(*name)));
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
    fn name(&mut self, name: Cow<'a, str>) -> bool {
        if self.names.contains(&name) {
            return false;
        }
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        string(&name, self.text);
        self.text.push(b':');
        self.names.push(name);
        true
    }
}

impl Piece {
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
        line.put_piece(&Piece::of(&rule));
        line.put("rule.name", "second");
        line.put_text("user.name", Some(""));
        line.put_or_null("source.ip", Some(""));
        line.put_or_null("event.id", Some("a"));
        line.put_text("host.name", Some("端末\u{1}\n"));
        line.put(String::from("host.name"), "again");
        line.put_objects(
            "rule.evidence",
            ["field", "value"],
            [["a", "1"], ["b", "\\"]].into_iter(),
        );
        line.put_objects("none", ["field"], std::iter::empty());
        let mut same = rule.clone();
        same.put("host.name", "端末\u{1}\n");
        let text = String::from_utf8(line.finish().into()).unwrap();
        insta::assert_snapshot!(text, @r#"{"@timestamp":"2026-11-21T19:30:00.321000Z","rule.name":"a \"rule\"","rule.tags":["attack.t1059"],"source.ip":null,"event.id":"a","host.name":"端末\u0001\n","rule.evidence":[{"field":"a","value":"1"},{"field":"b","value":"\\"}],"none":[]}"#);
        let finding: Finding = serde_json::from_str(&text).unwrap();
        assert_eq!(finding.text("host.name"), same.text("host.name"));
        assert_eq!(*Line::new(&mut memory).finish(), *b"{}");
    }
}
