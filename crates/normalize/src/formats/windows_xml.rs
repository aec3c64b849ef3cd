//! Windows events as XML: what Windows Event Forwarding, `wevtutil` and Event Viewer write.
//!
//! One `<Event>` per record, with or without `RenderingInfo`. Names are pushed as the JSON of EVTX
//! readers has them, so that [`crate::windows`] reads both alike. Entities are never defined by the
//! text itself: a document type is refused, and only the five of XML and numbers are resolved.

use crate::flat::{Flat, cut};
use crate::limits::{XML_ATTRIBUTES_MAX, XML_DEPTH_MAX};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

const NOT_WELL_FORMED: &str = "not well-formed XML; the rest is in the raw event only";
const TOO_DEEP: &str = "XML nested too deep; the inner part is in the raw event only";
const DOCUMENT_TYPE: &str = "XML with a document type is not read further";
const ENTITY: &str = "an entity that XML does not define was left out";

/// Whether `text` may be an event as XML; costs a look at its first bytes.
pub(crate) fn is_event(text: &str) -> bool {
    let text = after_declaration(text);
    text.strip_prefix("<Event").is_some_and(|rest| rest.starts_with(['>', ' ', '\t', '\r', '\n']))
}

/// `text` behind an XML declaration, if it has one.
fn after_declaration(text: &str) -> &str {
    match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest.trim_start()),
        None => text,
    }
}

/// Adds the fields of the event `text`. What was read before an error stays, with a note.
pub(crate) fn read(text: &str, flat: &mut Flat) {
    let mut reader = Reader::from_str(after_declaration(text));
    let mut tree = Tree { flat, path: String::new(), open: Vec::new(), unnamed: None };
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                if tree.open.len() >= XML_DEPTH_MAX {
                    tree.flat.note(TOO_DEEP);
                    break;
                }
                tree.start(&start);
            }
            Ok(Event::Empty(start)) => {
                if tree.open.len() < XML_DEPTH_MAX {
                    tree.start(&start);
                    tree.end();
                }
            }
            Ok(Event::End(_)) => {
                tree.end();
                if tree.open.is_empty() {
                    break;
                }
            }
            Ok(Event::Text(text)) => match text.decode() {
                Ok(text) => tree.text(&text),
                Err(_) => tree.flat.note(NOT_WELL_FORMED),
            },
            Ok(Event::CData(text)) => match text.decode() {
                Ok(text) => tree.text(&text),
                Err(_) => tree.flat.note(NOT_WELL_FORMED),
            },
            Ok(Event::GeneralRef(entity)) => {
                let number = entity.resolve_char_ref().ok().flatten();
                let named = || entity.decode().ok().and_then(|name| predefined(&name));
                match number.or_else(named) {
                    Some(character) => tree.text(character.encode_utf8(&mut [0; 4])),
                    None => tree.flat.note(ENTITY),
                }
            }
            Ok(Event::DocType(_)) => {
                tree.flat.note(DOCUMENT_TYPE);
                break;
            }
            Ok(Event::Decl(_) | Event::PI(_) | Event::Comment(_)) => {}
            Ok(Event::Eof) => {
                tree.flat.note("XML ends too early");
                break;
            }
            Err(_) => {
                tree.flat.note(NOT_WELL_FORMED);
                break;
            }
        }
    }
    tree.finish();
}

/// The entities every XML text has.
fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

/// The elements that are open, and what was read of them.
struct Tree<'a> {
    flat: &'a mut Flat,
    /// Their names with dots between.
    path: String,
    open: Vec<Open>,
    /// Values of `Data` without a name, which Windows numbers by their order.
    unnamed: Option<String>,
}

struct Open {
    /// How much of the path was there before.
    path: usize,
    text: String,
    /// Whether it has elements inside: then its own text is only layout.
    has_inside: bool,
    /// A `Data` element without a name.
    is_unnamed: bool,
}

impl Tree<'_> {
    fn start(&mut self, start: &BytesStart<'_>) {
        if let Some(outer) = self.open.last_mut() {
            outer.has_inside = true;
        }
        let before = self.path.len();
        let local = start.local_name();
        let local = cut(std::str::from_utf8(local.as_ref()).unwrap_or("?"));
        let in_data = self.path == "Event.EventData" && local == "Data";
        let named = if in_data { name_of(start) } else { None };
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(named.as_deref().map_or(local, cut));
        let is_unnamed = in_data && named.is_none();
        self.open.push(Open { path: before, text: String::new(), has_inside: false, is_unnamed });
        if self.path.starts_with("Event.System.") {
            self.attributes(start);
        }
    }

    fn attributes(&mut self, start: &BytesStart<'_>) {
        let before = self.path.len();
        for attribute in attributes(start) {
            let name = std::str::from_utf8(attribute.key.as_ref()).unwrap_or_default();
            let Ok(value) = attribute.unescape_value() else {
                self.flat.note(ENTITY);
                continue;
            };
            if name.starts_with("xmlns") || value.is_empty() {
                continue;
            }
            self.path.push_str(".#attributes.");
            self.path.push_str(cut(name));
            self.flat.push(&self.path, &value);
            self.path.truncate(before);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = self.open.last_mut() {
            open.text.push_str(text);
        }
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let is_value = !open.has_inside && !open.text.trim().is_empty();
        // An empty one holds the place of those behind it.
        if open.is_unnamed {
            match &mut self.unnamed {
                Some(unnamed) => {
                    unnamed.push_str(", ");
                    unnamed.push_str(&open.text);
                }
                None => self.unnamed = Some(open.text),
            }
        } else if is_value {
            self.flat.push(&self.path, &open.text);
        }
        self.path.truncate(open.path);
    }

    fn finish(self) {
        if let Some(unnamed) = self.unnamed {
            self.flat.push("Event.EventData.Data", &unnamed);
        }
    }
}

/// The first attributes of an element. Unchecked for repetition, which would cost a comparison of
/// each with each.
fn attributes<'a>(
    start: &'a BytesStart<'_>,
) -> impl Iterator<Item = quick_xml::events::attributes::Attribute<'a>> {
    let mut attributes = start.attributes();
    attributes.with_checks(false);
    attributes.flatten().take(XML_ATTRIBUTES_MAX)
}

/// The attribute `Name`.
fn name_of(start: &BytesStart<'_>) -> Option<String> {
    let name = attributes(start).find(|attribute| attribute.key.as_ref() == b"Name")?;
    let name = name.unescape_value().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(text: &str) -> (Vec<String>, Option<&'static str>) {
        let mut flat = Flat::default();
        read(text, &mut flat);
        let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
        let fields = entries.map(|e| format!("{}={}", flat.names.text(e.name), flat.get(e.value)));
        (fields.collect(), flat.problem())
    }

    #[test]
    fn names_are_those_of_evtx_readers() {
        let event = r#"<?xml version="1.0"?><Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>
            <System><Provider Name="Microsoft-Windows-Security-Auditing" Guid='{0-1}'/><EventID Qualifiers="7">4624</EventID>
            <TimeCreated SystemTime='2026-06-14T01:00:00.5Z'/><Channel>Security</Channel><Security/></System>
            <EventData><Data Name='TargetUserName'>tanaka &amp; s&#248;n &lt;b&gt;</Data><Data>one</Data><Data/><Data><![CDATA[t<w>o]]></Data>
            <Data Name='Empty'></Data><Binary>00FF</Binary></EventData>
            <RenderingInfo Culture='ja-JP'><Message>ログオン</Message><Keywords><Keyword>a</Keyword></Keywords></RenderingInfo></Event>"#;
        assert!(is_event(event));
        let (fields, problem) = fields(event);
        insta::assert_debug_snapshot!(fields, @r#"
        [
            "Event.System.Provider.#attributes.Name=Microsoft-Windows-Security-Auditing",
            "Event.System.Provider.#attributes.Guid={0-1}",
            "Event.System.EventID.#attributes.Qualifiers=7",
            "Event.System.EventID=4624",
            "Event.System.TimeCreated.#attributes.SystemTime=2026-06-14T01:00:00.5Z",
            "Event.System.Channel=Security",
            "Event.EventData.TargetUserName=tanaka & søn <b>",
            "Event.EventData.Binary=00FF",
            "Event.RenderingInfo.Message=ログオン",
            "Event.RenderingInfo.Keywords.Keyword=a",
            "Event.EventData.Data=one, , t<w>o",
        ]
        "#);
        assert_eq!(problem, None);
    }

    #[test]
    fn hostile_documents_are_refused_with_a_note() {
        let laughs = "<Event><!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><System><Channel>&b;</Channel></System></Event>";
        assert_eq!(fields(laughs), (vec![], Some(DOCUMENT_TYPE)));
        let entity = "<Event><System><Channel>Sec&evil;urity</Channel></System></Event>";
        assert_eq!(fields(entity), (vec!["Event.System.Channel=Security".into()], Some(ENTITY)));
        assert_eq!(fields("<Event><System>").1, Some("XML ends too early"));
        assert_eq!(fields("<Event><System></Event>").1, Some(NOT_WELL_FORMED));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            format!("<Event>{}x{}</Event>", "<a>".repeat(depth - 1), "</a>".repeat(depth - 1))
        };
        assert_eq!(fields(&nested(XML_DEPTH_MAX)).1, None);
        assert_eq!(fields(&nested(XML_DEPTH_MAX + 1)).1, Some(TOO_DEEP));
    }

    #[test]
    fn attributes_are_bounded() {
        let with = |count: usize| {
            let attributes: String = (0..count).map(|n| format!(" a{n}='x'")).collect();
            fields(&format!("<Event><System><Provider{attributes}/></System></Event>")).0.len()
        };
        assert_eq!(with(XML_ATTRIBUTES_MAX), XML_ATTRIBUTES_MAX);
        assert_eq!(with(XML_ATTRIBUTES_MAX + 1), XML_ATTRIBUTES_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(<Event[ >]|<[a-zE]{1,3} ?N?=?'?>?|</[a-z]{1,2}>|&[#x0-9a-z;]{0,4}|<!\\[CDATA\\[|\\]\\]>|<!DOCTYPE|.{0,5}){0,24}") {
            let _ = is_event(&text);
            let _ = fields(&text);
            let _ = fields(&format!("<Event><EventData>{text}"));
        }
    }
}
