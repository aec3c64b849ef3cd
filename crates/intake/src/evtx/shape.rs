//! What an event of one template looks like: a template says once which values its events have and
//! under which names, so that of an event only the values have to be read.
//!
//! The names are those that the event has as JSON (see [`super::read`]), nested ones dotted. A
//! template that is out of the ordinary has no shape, and its events are read by way of JSON.
//!
//! Tokens are those of MS-EVEN6 section 2.2.12; where names and definitions lie, libevtx's format notes.

use super::bytes::{Bytes, utf16};
use crate::limits::{EVTX_DEPTH_MAX, EVTX_ELEMENTS_MAX, EVTX_NAME_BYTES_MAX, EVTX_NAMES_MAX};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use yagura_event::FieldNames;

/// What to do for an event, in the order of its fields.
#[derive(Debug)]
pub(super) struct Shape {
    /// The element that all is in.
    pub root: Box<str>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Step {
    /// A field that is alike in all events.
    Literal { name: u32, value: Box<str> },
    /// A field with the value of a slot.
    Value { name: u32, slot: u16, kind: Kind },
    /// An element with attributes: its text is called `text` where it has any, else `plain`.
    Element { attributes: Box<[(u32, Part)]>, content: Option<u16>, text: u32, plain: u32 },
    /// What is in a slot is an element within element `parent`.
    Inside { slot: u16, parent: u32, siblings: Box<[Box<str>]>, is_container: bool },
    /// One field with the values of several slots.
    Joined { name: u32, slots: Box<[u16]> },
    /// Passes over the next `steps` where the slot holds nothing at all.
    Unless { slot: u16, steps: usize },
}

/// How a slot's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No field where it is empty.
    Plain,
    /// Event data: a field even where it is empty.
    Data,
    /// The only nameless event data: may be a list.
    List,
    /// The whole of `EventData` or `UserData`: an element, or nothing.
    Container,
}

#[derive(Debug)]
pub(super) enum Part {
    Literal(Box<str>),
    Slot(u16),
}

/// Whether the children of this element are event data.
pub(super) fn is_container(name: &str) -> bool {
    matches!(name, "EventData" | "UserData")
}

/// The shape of the template whose definition is at `offset` of a chunk, for an element within
/// `parent`. `None` when it is out of the ordinary.
pub(super) fn shape(
    chunk: &[u8],
    offset: u32,
    parent: Option<u32>,
    names: &mut FieldNames,
) -> Option<Shape> {
    let root = definition(chunk, offset)?;
    let path = match parent {
        Some(parent) => format!("{}.{}", names.text(parent), root.name),
        None => root.name.clone(),
    };
    let mut builder = Builder { names, steps: Vec::new() };
    builder.element(&root, &path)?;
    Some(Shape { root: root.name.into(), steps: builder.steps })
}

/// What a template says, in a word that, as good as always, no other template has: its tokens with the
/// names they stand for. Chunks keep the same template in different places.
pub(super) fn digest(chunk: &[u8], offset: u32, hasher: &impl BuildHasher) -> Option<u64> {
    let mut tokens = tokens(chunk, offset)?;
    let mut state = hasher.build_hasher();
    let mut elements = 0;
    loop {
        let token = tokens.u8()?;
        elements += usize::from(matches!(token, 0x01 | 0x41 | 0x06 | 0x46));
        (elements <= EVTX_ELEMENTS_MAX).then_some(())?;
        state.write_u8(token);
        let part: &[u8] = match token {
            0x00 => break,
            0x0f => {
                tokens.skip(3)?;
                &[]
            }
            0x01 | 0x41 => {
                state.write_u16(tokens.u16()?);
                tokens.skip(4)?;
                let name = units(chunk, &mut tokens)?;
                if token == 0x41 {
                    tokens.skip(4)?;
                }
                name
            }
            0x06 | 0x46 => units(chunk, &mut tokens)?,
            0x02..=0x04 => &[],
            0x05 | 0x45 => {
                state.write_u8(tokens.u8()?);
                let chars = usize::from(tokens.u16()?);
                tokens.take(2 * chars)?
            }
            0x0d | 0x0e => {
                state.write_u16(tokens.u16()?);
                tokens.skip(1)?;
                &[]
            }
            _ => return None,
        };
        state.write_usize(part.len());
        state.write(part);
    }
    Some(state.finish())
}

/// An element of a template.
#[derive(Debug, Default)]
struct Element {
    name: String,
    dependency: Option<u16>,
    attributes: Vec<(String, Vec<Node>)>,
    children: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Slot(u16),
    Element(Element),
}

/// Bytes of a definition before its tokens: where the next one is, its GUID, its size.
pub(super) const DEFINITION_HEADER_BYTES: usize = 24;

/// The tokens of a definition.
fn tokens(chunk: &[u8], offset: u32) -> Option<Bytes<'_>> {
    let mut header = Bytes::new(chunk, offset as usize);
    header.skip(DEFINITION_HEADER_BYTES - 4)?;
    let size = header.u32()? as usize;
    let end = header.at().checked_add(size)?;
    Some(Bytes::new(chunk.get(..end)?, header.at()))
}

/// Bytes of the tokens of a definition.
pub(super) fn size(chunk: &[u8], offset: u32) -> Option<usize> {
    let mut header = Bytes::new(chunk, offset as usize);
    header.skip(DEFINITION_HEADER_BYTES - 4)?;
    Some(header.u32()? as usize)
}

fn definition(chunk: &[u8], offset: u32) -> Option<Element> {
    let mut tokens = tokens(chunk, offset)?;
    let mut open: Vec<Element> = Vec::new();
    let mut is_start = false;
    let mut root = None;
    let mut elements = 0;
    loop {
        match tokens.u8()? {
            0x00 => break,
            0x0f => tokens.skip(3)?,
            token @ (0x01 | 0x41) => {
                elements += 1;
                if is_start || elements > EVTX_ELEMENTS_MAX || open.len() >= EVTX_DEPTH_MAX {
                    return None;
                }
                let dependency = Some(tokens.u16()?).filter(|slot| *slot != u16::MAX);
                tokens.skip(4)?;
                let name = name(chunk, &mut tokens)?;
                if token == 0x41 {
                    tokens.skip(4)?;
                }
                open.push(Element { name, dependency, ..Element::default() });
                is_start = true;
            }
            0x06 | 0x46 if is_start => {
                elements += 1;
                (elements <= EVTX_ELEMENTS_MAX).then_some(())?;
                let name = name(chunk, &mut tokens)?;
                open.last_mut()?.attributes.push((name, Vec::new()));
            }
            0x02 if is_start => is_start = false,
            token @ (0x03 | 0x04) => {
                if (token == 0x03) != is_start {
                    return None;
                }
                is_start = false;
                let closed = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(Node::Element(closed)),
                    None if root.is_none() => root = Some(closed),
                    None => return None,
                }
            }
            0x05 | 0x45 => {
                // Other constants than text do not occur.
                (tokens.u8()? == 0x01).then_some(())?;
                let chars = usize::from(tokens.u16()?);
                let mut text = Vec::new();
                utf16(tokens.take(2 * chars)?, &mut text)?;
                let text = String::from_utf8(text).ok()?;
                let whole = text.chars().all(|c| c != '\0');
                content(&mut open, is_start, Node::Text(whole.then_some(text)?))?;
            }
            0x0d | 0x0e => {
                let slot = tokens.u16()?;
                tokens.u8()?;
                content(&mut open, is_start, Node::Slot(slot))?;
            }
            _ => return None,
        }
    }
    if open.is_empty() { root } else { None }
}

/// Adds to the attribute, or the element, that is open.
fn content(open: &mut [Element], is_start: bool, node: Node) -> Option<()> {
    let element = open.last_mut()?;
    match is_start {
        true => element.attributes.last_mut()?.1.push(node),
        false => element.children.push(node),
    }
    Some(())
}

/// The characters of a name, which is kept where it first occurs in a chunk.
fn units<'a>(chunk: &'a [u8], tokens: &mut Bytes<'_>) -> Option<&'a [u8]> {
    let offset = tokens.u32()? as usize;
    let mut stored = Bytes::new(chunk, offset);
    stored.skip(6)?;
    let chars = usize::from(stored.u16()?);
    // Before it is copied: a long name may be named many times.
    (chars <= EVTX_NAME_BYTES_MAX).then_some(())?;
    let units = stored.take(2 * chars)?;
    if tokens.at() == offset {
        // It is here; a zero is behind it.
        tokens.skip(8 + 2 * chars + 2)?;
    }
    Some(units)
}

fn name(chunk: &[u8], tokens: &mut Bytes<'_>) -> Option<String> {
    let units = units(chunk, tokens)?;
    let mut name = String::with_capacity(units.len() / 2);
    for unit in units.chunks_exact(2) {
        match unit {
            [byte, 0] if byte.is_ascii_alphanumeric() || b"_-:".contains(byte) => {
                name.push(char::from(*byte));
            }
            _ => return None,
        }
    }
    (!name.is_empty()).then_some(name)
}

struct Builder<'a> {
    names: &'a mut FieldNames,
    steps: Vec<Step>,
}

impl Builder<'_> {
    fn number(&mut self, path: &str) -> Option<u32> {
        let room = self.names.len() < 2 * EVTX_NAMES_MAX;
        (room && path.len() <= EVTX_NAME_BYTES_MAX).then(|| self.names.number(path))
    }

    /// The fields of an element that is called `path`.
    fn element(&mut self, element: &Element, path: &str) -> Option<()> {
        let attributes = attributes(element)?;
        let is_text = |node: &&Node| matches!(node, Node::Text(text) if !text.is_empty());
        let is_element = |node: &Node| matches!(node, Node::Element(_));
        let has_text = element.children.iter().any(|node| is_text(&node));
        if element.children.iter().any(is_element) {
            return if has_text { None } else { self.object(element, &attributes, path) };
        }
        let container = is_container(&element.name);
        match element.children.as_slice() {
            [Node::Slot(slot)] if attributes.is_empty() => {
                let kind = if container { Kind::Container } else { Kind::Plain };
                let name = self.number(path)?;
                self.steps.push(Step::Value { name, slot: *slot, kind });
                Some(())
            }
            [Node::Slot(slot)] => self.attributed(&attributes, Some(*slot), path),
            children if children.iter().any(|node| matches!(node, Node::Slot(_))) => None,
            _ if !has_text && attributes.is_empty() => Some(()),
            _ if !has_text => self.attributed(&attributes, None, path),
            _ if container => None,
            _ => self.constant(element, &attributes, path),
        }
    }

    fn attributed(
        &mut self,
        attributes: &[(&str, Value)],
        content: Option<u16>,
        path: &str,
    ) -> Option<()> {
        let mut parts = Vec::with_capacity(attributes.len());
        for (name, value) in attributes {
            let part = match value {
                Value::Text(text) => Part::Literal(text.as_str().into()),
                Value::Slot(slot) => Part::Slot(*slot),
            };
            parts.push((self.number(&format!("{path}.#attributes.{name}"))?, part));
        }
        let text = self.number(&format!("{path}.#text"))?;
        let plain = self.number(path)?;
        self.steps.push(Step::Element { attributes: parts.into(), content, text, plain });
        Some(())
    }

    /// Attributes that are alike in all events.
    fn constant_attributes(&mut self, attributes: &[(&str, Value)], path: &str) -> Option<()> {
        for (name, value) in attributes {
            let Value::Text(text) = value else { return None };
            let name = self.number(&format!("{path}.#attributes.{name}"))?;
            self.steps.push(Step::Literal { name, value: text.as_str().into() });
        }
        Some(())
    }

    fn constant(
        &mut self,
        element: &Element,
        attributes: &[(&str, Value)],
        path: &str,
    ) -> Option<()> {
        self.constant_attributes(attributes, path)?;
        let name = match attributes.is_empty() {
            true => self.number(path)?,
            false => self.number(&format!("{path}.#text"))?,
        };
        let value = texts(&element.children)?.into();
        self.steps.push(Step::Literal { name, value });
        Some(())
    }

    /// An element with elements inside.
    fn object(
        &mut self,
        element: &Element,
        attributes: &[(&str, Value)],
        path: &str,
    ) -> Option<()> {
        self.constant_attributes(attributes, path)?;
        let container = is_container(&element.name);
        let data = if container { data(element)? } else { DataForm::default() };
        let mut counts: HashMap<&str, (u32, bool)> = HashMap::new();
        let mut data_counts: HashMap<String, u32> = HashMap::new();
        let mut last_data = None;
        let mut has_slot = false;
        let mut has_data = false;
        for node in &element.children {
            let child = match node {
                Node::Text(_) => continue,
                Node::Slot(slot) => {
                    if std::mem::replace(&mut has_slot, true) {
                        return None;
                    }
                    let siblings = element.children.iter().filter_map(|node| match node {
                        Node::Element(sibling) => Some(sibling.name.as_str().into()),
                        _ => None,
                    });
                    let (parent, siblings) = (self.number(path)?, siblings.collect());
                    let slot = *slot;
                    self.steps.push(Step::Inside {
                        slot,
                        parent,
                        siblings,
                        is_container: container,
                    });
                    continue;
                }
                Node::Element(child) => child,
            };
            if container && child.name == "Data" {
                if data.is_named {
                    let Some(name) = data_name(child)?.filter(|name| !name.is_empty()) else {
                        continue;
                    };
                    // Values of one name in a row are a list.
                    if last_data.as_ref() == Some(&name) {
                        return None;
                    }
                    let count = data_counts.entry(name.clone()).or_default();
                    let full = match *count {
                        0 => format!("{path}.{name}"),
                        count => format!("{path}.{name}_{count}"),
                    };
                    *count += 1;
                    self.data(child, &full, Kind::Data)?;
                    last_data = Some(name);
                } else if !std::mem::replace(&mut has_data, true) {
                    let full = format!("{path}.Data.#text");
                    match data.nameless {
                        1 => {
                            self.dependent(child, |builder| builder.data(child, &full, Kind::List))?
                        }
                        _ => self.joined(element, &full)?,
                    }
                }
                continue;
            }
            let (count, depends) = counts.entry(&child.name).or_default();
            // Leaving one of the same name out would number the others anew.
            *depends |= child.dependency.is_some();
            if *count > 0 && *depends {
                return None;
            }
            let full = match *count {
                0 => format!("{path}.{}", child.name),
                count => format!("{path}.{}_{count}", child.name),
            };
            *count += 1;
            self.dependent(child, |builder| builder.element(child, &full))?;
        }
        Some(())
    }

    /// What `build` adds, only where the value is there that `element` depends on.
    fn dependent(
        &mut self,
        element: &Element,
        build: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let Some(slot) = element.dependency else { return build(self) };
        let at = self.steps.len();
        self.steps.push(Step::Unless { slot, steps: 0 });
        build(self)?;
        let steps = self.steps.len() - at - 1;
        *self.steps.get_mut(at)? = Step::Unless { slot, steps };
        Some(())
    }

    fn data(&mut self, element: &Element, path: &str, kind: Kind) -> Option<()> {
        let name = self.number(path)?;
        match element.children.as_slice() {
            [Node::Slot(slot)] => self.steps.push(Step::Value { name, slot: *slot, kind }),
            children => {
                let value = texts(children)?.into();
                self.steps.push(Step::Literal { name, value });
            }
        }
        Some(())
    }

    /// Nameless event data, all in one list.
    fn joined(&mut self, element: &Element, path: &str) -> Option<()> {
        let mut slots = Vec::new();
        for node in &element.children {
            let Node::Element(child) = node else { continue };
            if child.name == "Data" {
                let [Node::Slot(slot)] = child.children.as_slice() else { return None };
                slots.push(*slot);
            }
        }
        let name = self.number(path)?;
        self.steps.push(Step::Joined { name, slots: slots.into() });
        Some(())
    }
}

/// The value of an attribute.
enum Value {
    Text(String),
    Slot(u16),
}

/// The attributes of an element that are not always empty.
fn attributes(element: &Element) -> Option<Vec<(&str, Value)>> {
    let mut all = Vec::new();
    for (name, nodes) in &element.attributes {
        let value = match nodes.as_slice() {
            [Node::Slot(slot)] => Value::Slot(*slot),
            nodes => Value::Text(texts(nodes)?),
        };
        if !matches!(&value, Value::Text(text) if text.is_empty()) {
            all.push((name.as_str(), value));
        }
    }
    Some(all)
}

/// The text of nodes that are nothing else.
fn texts(nodes: &[Node]) -> Option<String> {
    let texts = nodes.iter().map(|node| match node {
        Node::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// How the event data of an element are told apart.
#[derive(Debug, Default)]
struct DataForm {
    is_named: bool,
    nameless: usize,
}

fn data(element: &Element) -> Option<DataForm> {
    let mut form = DataForm::default();
    let mut depends = false;
    for node in &element.children {
        let Node::Element(child) = node else { continue };
        if child.name != "Data" {
            continue;
        }
        depends |= child.dependency.is_some();
        form.is_named |= data_name(child)?.is_some_and(|name| !name.is_empty());
        form.nameless += 1;
    }
    // Leaving one out would change the form of the others.
    let fixed = !depends || (!form.is_named && form.nameless == 1);
    fixed.then_some(form)
}

/// The name of event data, if it has one; `None` where it differs from event to event.
fn data_name(element: &Element) -> Option<Option<String>> {
    let name = element.attributes.iter().find(|(name, _)| name == "Name");
    match name {
        Some((_, nodes)) => texts(nodes).map(Some),
        None => Some(None),
    }
}
