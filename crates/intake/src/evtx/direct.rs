//! Windows event logs without JSON in between: each event as the fields it has.

use super::bytes::Bytes;
use super::shape::{self, DEFINITION_HEADER_BYTES, Kind, Part, Shape, Step};
use super::value::{self, FILETIME_MAX, Slot, kinds};
use super::{CHUNK_BYTES, EvtxSink, read_one_chunk};
use crate::limits::{
    EVTX_CHUNK_TEXT_BYTES_MAX, EVTX_DEFINITION_BYTES_MAX, EVTX_EVENT_BYTES_MAX, EVTX_FIELDS_MAX,
    EVTX_INSTANCES_MAX, EVTX_NAMES_MAX, EVTX_SHAPES_MAX, EVTX_SLOTS_MAX,
};
use ::evtx::{EvtxChunkData, EvtxChunkHeader};
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use yagura_event::{EventField, EventFields, FieldNames};

/// Takes what a [`ChunkReader`] finds.
pub trait EventSink: EvtxSink {
    /// One event: the fields of its JSON ([`EvtxSink::record`]), names nested with dots, lists joined
    /// with `, `, `null` left out.
    ///
    /// # Errors
    ///
    /// Ends the reading.
    fn event(&mut self, event: &EventFields<'_>) -> Result<(), Self::Halt>;
}

/// Reads chunks of Windows event logs. Of each template it learns once which fields its events have.
///
/// A chunk in which anything is out of the ordinary, damage above all, is read by way of JSON
/// ([`read_one_chunk`]), so that what is odd is said in one place and the fields are the same.
#[derive(Debug, Default)]
pub struct ChunkReader {
    names: FieldNames,
    /// Shapes of the chunk at hand: by where a template is defined, and the element its events are in.
    shapes: HashMap<(u32, Option<u32>), Option<Arc<Shape>>, RandomState>,
    /// Shapes of all chunks so far: by what a template says, and the element.
    known: HashMap<(u64, Option<u32>), Option<Arc<Shape>>, RandomState>,
    hasher: RandomState,
    /// Bytes of the definitions of the chunk at hand that were looked at. Apart from one another they
    /// fit into the chunk; made to overlap, they could be many times as much work.
    defined: usize,
    /// Values of the event at hand and the events in it.
    slots: Vec<Slot>,
    instances: usize,
    text: Vec<u8>,
    fields: Vec<EventField>,
    events: Vec<Event>,
}

/// Where the header of a chunk tells the first names of each chain of its table, and how many chains
/// there are (64 buckets of the hash of a name).
const NAME_CHAINS_AT: usize = 128;
const NAME_CHAINS: usize = 64;

/// A name without letters: where the next one is, its hash, its length, and a zero.
const NAME_BYTES_MIN: usize = 10;

/// Room for text that is kept from chunk to chunk.
const TEXT_BYTES_KEPT: usize = 1024 * 1024;

/// Where an event of the chunk at hand is in `text` and `fields`.
#[derive(Debug)]
struct Event {
    text: Range<usize>,
    fields: Range<usize>,
}

impl ChunkReader {
    /// Reads chunk `number` (from 0) as [`read_one_chunk`] does.
    ///
    /// # Errors
    ///
    /// What the sink answered to end the reading early.
    pub fn read<S: EventSink>(
        &mut self,
        number: u64,
        data: Vec<u8>,
        sink: &mut S,
    ) -> Result<(), S::Halt> {
        if data.len() as u64 != CHUNK_BYTES {
            return read_one_chunk(number, data, sink);
        }
        let header = EvtxChunkHeader::from_bytes(&data);
        let Ok(header) = header else { return read_one_chunk(number, data, sink) };
        let chunk = EvtxChunkData { header, data, number: Some(number) };
        let is_sound = chunk.validate_checksum() && names(&chunk.data).is_some();
        let records = if is_sound { records(&chunk) } else { None };
        if records.is_none_or(|records| self.decode(&chunk.data, &records).is_none()) {
            return read_one_chunk(number, chunk.data, sink);
        }
        sink.chunk()?;
        // Proof: a chunk whose text is not valid was not decoded.
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        for event in &self.events {
            let text = text.get(event.text.clone()).unwrap_or_default();
            let fields = self.fields.get(event.fields.clone()).unwrap_or_default();
            sink.event(&EventFields { names: &self.names, fields, text })?;
        }
        Ok(())
    }

    /// Decodes all records of a chunk; `None` when one of them is out of the ordinary.
    pub(super) fn decode(&mut self, chunk: &[u8], records: &[Range<usize>]) -> Option<()> {
        if self.names.len() >= EVTX_NAMES_MAX {
            self.names.forget();
            self.known.clear();
        }
        if self.known.len() >= EVTX_SHAPES_MAX {
            self.known.clear();
        }
        self.shapes.clear();
        self.defined = 0;
        self.text.clear();
        self.text.shrink_to(TEXT_BYTES_KEPT);
        self.fields.clear();
        self.events.clear();
        for record in records {
            let (text, fields) = (self.text.len(), self.fields.len());
            self.slots.clear();
            self.instances = 0;
            let (shape, slots) = self.instance(chunk, record.clone(), None)?;
            (&*shape.root == "Event").then_some(())?;
            self.fields_of(chunk, &shape, slots, text)?;
            (self.text.len() <= EVTX_CHUNK_TEXT_BYTES_MAX).then_some(())?;
            let event = Event { text: text..self.text.len(), fields: fields..self.fields.len() };
            // It is told by these that it is an event of Windows.
            let fields = self.fields.get(event.fields.clone())?;
            let is_event =
                fields.iter().any(|field| self.names.text(field.name).starts_with("Event.System."));
            if !is_event || fields.len() > EVTX_FIELDS_MAX {
                return None;
            }
            self.events.push(event);
        }
        // Each value is text by itself, so each event's is.
        std::str::from_utf8(&self.text).is_ok().then_some(())
    }

    /// Reads an instance of a template, which is all there is in `place`: its shape, and where its
    /// values are in `slots`.
    fn instance(
        &mut self,
        chunk: &[u8],
        place: Range<usize>,
        parent: Option<u32>,
    ) -> Option<(Arc<Shape>, Range<usize>)> {
        self.instances += 1;
        (self.instances <= EVTX_INSTANCES_MAX).then_some(())?;
        let mut bytes = Bytes::new(chunk.get(..place.end)?, place.start);
        let mut token = bytes.u8()?;
        if token == 0x0f {
            bytes.skip(3)?;
            token = bytes.u8()?;
        }
        (token == 0x0c).then_some(())?;
        bytes.skip(5)?;
        let definition = bytes.u32()?;
        if bytes.at() == definition as usize {
            bytes.skip(DEFINITION_HEADER_BYTES - 4)?;
            let size = bytes.u32()? as usize;
            bytes.skip(size)?;
        }
        let count = bytes.u32()? as usize;
        (count <= EVTX_SLOTS_MAX).then_some(())?;
        let mut kinds = Bytes::new(bytes.take(4 * count)?, 0);
        let first = self.slots.len();
        for _ in 0..count {
            let (size, kind) = (kinds.u16()?, kinds.u8()?);
            kinds.skip(1)?;
            // Proof: a chunk has 64 KiB.
            let start = u32::try_from(bytes.at()).ok()?;
            bytes.skip(usize::from(size))?;
            self.slots.push(Slot { kind, start, bytes: size });
        }
        matches!(bytes.u8(), None | Some(0)).then_some(())?;
        let (names, known, hasher) = (&mut self.names, &mut self.known, &self.hasher);
        let defined = &mut self.defined;
        let shape = self.shapes.entry((definition, parent)).or_insert_with(|| {
            *defined = defined.checked_add(shape::size(chunk, definition)?)?;
            (*defined <= EVTX_DEFINITION_BYTES_MAX).then_some(())?;
            let digest = shape::digest(chunk, definition, hasher)?;
            let shape = || shape::shape(chunk, definition, parent, names).map(Arc::new);
            known.entry((digest, parent)).or_insert_with(shape).clone()
        });
        Some((shape.clone()?, first..self.slots.len()))
    }

    /// Adds the fields of an instance; the event's text begins at `base`.
    fn fields_of(
        &mut self,
        chunk: &[u8],
        shape: &Shape,
        slots: Range<usize>,
        base: usize,
    ) -> Option<()> {
        let mut next = 0;
        while let Some(step) = shape.steps.get(next) {
            next += 1;
            let slot = |this: &Self, slot: u16| {
                let at = slots.start + usize::from(slot);
                if at < slots.end { this.slots.get(at).copied() } else { None }
            };
            match step {
                Step::Literal { name, value } => {
                    let start = self.text.len();
                    self.text.extend_from_slice(value.as_bytes());
                    self.field(*name, start, base)?;
                }
                Step::Unless { slot: of, steps } => {
                    if slot(self, *of).is_some_and(|slot| slot.is_null()) {
                        next += steps;
                    }
                }
                Step::Value { name, slot: of, kind } => {
                    let slot = slot(self, *of).filter(|slot| !slot.is_empty(chunk));
                    match slot {
                        None if matches!(kind, Kind::Data | Kind::List) => {
                            self.field(*name, self.text.len(), base)?;
                        }
                        None => {}
                        Some(slot) if slot.is_element() => {
                            let is_container = *kind == Kind::Container;
                            self.inside(chunk, slot, *name, (&[], is_container), base)?;
                        }
                        Some(_) if *kind == Kind::Container => return None,
                        Some(slot) if slot.kind == kinds::STRINGS && *kind == Kind::List => {
                            self.list(chunk, slot, *name, base)?;
                        }
                        Some(slot) => self.value(chunk, slot, *name, base)?,
                    }
                }
                Step::Element { attributes, content, text, plain } => {
                    let mut any = false;
                    for (name, part) in attributes {
                        match part {
                            Part::Literal(value) => {
                                let start = self.text.len();
                                self.text.extend_from_slice(value.as_bytes());
                                self.field(*name, start, base)?;
                                any = true;
                            }
                            Part::Slot(of) => {
                                let slot = slot(self, *of).filter(|slot| !slot.is_empty(chunk));
                                if let Some(slot) = slot {
                                    self.value(chunk, slot, *name, base)?;
                                    any = true;
                                }
                            }
                        }
                    }
                    let slot = content.and_then(|of| slot(self, of));
                    if let Some(slot) = slot.filter(|slot| !slot.is_empty(chunk)) {
                        self.value(chunk, slot, if any { *text } else { *plain }, base)?;
                    }
                }
                Step::Inside { slot: of, parent, siblings, is_container } => {
                    let slot = slot(self, *of).filter(|slot| !slot.is_empty(chunk));
                    if let Some(slot) = slot {
                        slot.is_element().then_some(())?;
                        self.inside(chunk, slot, *parent, (siblings, *is_container), base)?;
                    }
                }
                Step::Joined { name, slots } => {
                    let start = self.text.len();
                    for (number, of) in slots.iter().enumerate() {
                        if number > 0 {
                            self.text.extend_from_slice(b", ");
                        }
                        if let Some(slot) = slot(self, *of).filter(|slot| !slot.is_empty(chunk)) {
                            value::write(slot.kind, slot.of(chunk)?, &mut self.text)?;
                        }
                        (self.text.len() - base <= EVTX_EVENT_BYTES_MAX).then_some(())?;
                    }
                    self.field(*name, start, base)?;
                }
            }
        }
        Some(())
    }

    /// The fields of an element that is a value of the element called `parent`.
    fn inside(
        &mut self,
        chunk: &[u8],
        slot: Slot,
        parent: u32,
        (siblings, is_container): (&[Box<str>], bool),
        base: usize,
    ) -> Option<()> {
        let start = slot.start as usize;
        let place = start..start + usize::from(slot.bytes);
        let (shape, slots) = self.instance(chunk, place, Some(parent))?;
        // Elements of one name are numbered, and event data have names of their own.
        if siblings.contains(&shape.root) || (is_container && &*shape.root == "Data") {
            return None;
        }
        self.fields_of(chunk, &shape, slots, base)
    }

    fn value(&mut self, chunk: &[u8], slot: Slot, name: u32, base: usize) -> Option<()> {
        let start = self.text.len();
        value::write(slot.kind, slot.of(chunk)?, &mut self.text)?;
        self.field(name, start, base)
    }

    /// Texts one behind the other, a zero behind each.
    fn list(&mut self, chunk: &[u8], slot: Slot, name: u32, base: usize) -> Option<()> {
        let start = self.text.len();
        let (units, []) = slot.of(chunk)?.as_chunks::<2>() else { return None };
        let texts = units.strip_suffix(&[[0, 0]])?;
        for (number, text) in texts.split(|unit| *unit == [0, 0]).enumerate() {
            if number > 0 {
                self.text.extend_from_slice(b", ");
            }
            value::write(kinds::STRING, text.as_flattened(), &mut self.text)?;
        }
        self.field(name, start, base)
    }

    /// Adds a field whose value is the text from `start` on.
    fn field(&mut self, name: u32, start: usize, base: usize) -> Option<()> {
        let end = self.text.len() - base;
        (end <= EVTX_EVENT_BYTES_MAX).then_some(())?;
        let (start, end) = (u32::try_from(start - base).ok()?, u32::try_from(end).ok()?);
        self.fields.push(EventField { name, start, end });
        Some(())
    }
}

/// Bytes of a chunk before its records, before an event's binary XML in its record, and behind it.
const CHUNK_HEADER_BYTES: usize = 512;
const RECORD_HEADER_BYTES: usize = 24;
const RECORD_END_BYTES: usize = 4;

/// Where the binary XML of each record is; `None` when one of them is out of the ordinary.
fn records(chunk: &EvtxChunkData) -> Option<Vec<Range<usize>>> {
    let data = chunk.data.as_slice();
    let end = data.len().min(chunk.header.free_space_offset as usize);
    let mut found = Vec::new();
    let mut at = CHUNK_HEADER_BYTES;
    while at < end {
        let mut header = Bytes::new(data, at);
        (header.u32()? == u32::from_le_bytes(*b"**\0\0")).then_some(())?;
        let size = header.u32()? as usize;
        let (id, written) = (header.u64()?, header.u64()?);
        (written <= FILETIME_MAX).then_some(())?;
        let next = at.checked_add(size).filter(|next| *next <= data.len())?;
        let last = next.checked_sub(RECORD_END_BYTES)?;
        let first = at + RECORD_HEADER_BYTES;
        (first <= last).then(|| found.push(first..last))?;
        if id == chunk.header.last_event_record_id {
            break;
        }
        at = next;
    }
    Some(found)
}

/// Goes through the table of names, as the decoder does before all else: it refuses a chunk whose
/// table it cannot read. `None` when the table is out of the ordinary.
fn names(chunk: &[u8]) -> Option<()> {
    let mut heads = Bytes::new(chunk, NAME_CHAINS_AT);
    let mut left = CHUNK_BYTES as usize / NAME_BYTES_MIN;
    for _ in 0..NAME_CHAINS {
        let mut at = heads.u32()? as usize;
        while at != 0 {
            // Chains that share names, or go round, are the decoder's to judge.
            left = left.checked_sub(1)?;
            let mut name = Bytes::new(chunk, at);
            at = name.u32()? as usize;
            name.skip(2)?;
            let units = usize::from(name.u16()?);
            let (units, _) = name.take(2 * units)?.as_chunks::<2>();
            name.skip(2)?;
            let text = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
            text.into_iter().all(|c| c.is_ok()).then_some(())?;
        }
    }
    Some(())
}
