//! Templates and events made by hand, at the limits and past them.

use super::direct::ChunkReader;
use super::shape::{Kind, Step, shape};
use crate::limits::{
    EVTX_CHUNK_TEXT_BYTES_MAX, EVTX_DEFINITION_BYTES_MAX, EVTX_DEPTH_MAX, EVTX_ELEMENTS_MAX,
    EVTX_EVENT_BYTES_MAX, EVTX_FIELDS_MAX, EVTX_INSTANCES_MAX, EVTX_NAME_BYTES_MAX, EVTX_SLOTS_MAX,
};
use proptest::prelude::*;
use yagura_event::FieldNames;

/// A chunk being written.
#[derive(Default)]
struct Chunk(Vec<u8>);

impl Chunk {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(&mut self, name: &str) -> &mut Self {
        let here = self.0.len() as u32 + 4;
        self.bytes(&here.to_le_bytes()).bytes(&[0; 6]).bytes(&(name.len() as u16).to_le_bytes());
        name.encode_utf16().chain([0]).for_each(|unit| self.0.extend(unit.to_le_bytes()));
        self
    }

    fn open(&mut self, name: &str) -> &mut Self {
        self.bytes(&[0x01, 0xff, 0xff, 0, 0, 0, 0]).name(name).bytes(&[0x02])
    }

    /// An element with so many attributes, each with the value of slot 0.
    fn open_with(&mut self, name: &str, attributes: usize) -> &mut Self {
        self.bytes(&[0x41, 0xff, 0xff, 0, 0, 0, 0]).name(name).bytes(&[0; 4]);
        (0..attributes).for_each(|at| done(self.bytes(&[0x06]).name(&format!("a{at}")).slot(0)));
        self.bytes(&[0x02])
    }

    fn close(&mut self) -> &mut Self {
        self.bytes(&[0x04])
    }

    fn slot(&mut self, slot: u16) -> &mut Self {
        self.bytes(&[0x0d]).bytes(&slot.to_le_bytes()).bytes(&[0x01])
    }

    /// A definition with what `build` adds; where it is.
    fn definition(&mut self, build: impl FnOnce(&mut Self)) -> u32 {
        let offset = self.0.len();
        self.bytes(&[0; 24]).bytes(&[0x0f, 1, 1, 0]);
        build(self);
        self.bytes(&[0]);
        let size = (self.0.len() - offset - 24) as u32;
        self.0[offset + 20..offset + 24].copy_from_slice(&size.to_le_bytes());
        offset as u32
    }

    /// An event of that definition; `System.Channel` is slot 0 of all templates here.
    fn event(&mut self, definition: u32, values: &[(u8, Vec<u8>)]) -> std::ops::Range<usize> {
        let start = self.0.len();
        self.bytes(&[0x0f, 1, 1, 0, 0x0c, 0, 0, 0, 0, 0]).bytes(&definition.to_le_bytes());
        self.bytes(&(values.len() as u32).to_le_bytes());
        for (kind, value) in values {
            self.bytes(&(value.len() as u16).to_le_bytes()).bytes(&[*kind, 0]);
        }
        values.iter().for_each(|(_, value)| self.0.extend_from_slice(value));
        start..self.0.len()
    }
}

fn text(text: &str) -> (u8, Vec<u8>) {
    (0x01, text.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

/// Ends a chain of writing.
fn done(_: &mut Chunk) {}

fn with_channel(chunk: &mut Chunk, build: impl FnOnce(&mut Chunk)) {
    chunk.open("Event").open("System").open("Channel").slot(0).close().close();
    build(chunk);
    chunk.close();
}

fn is_read(chunk: &Chunk, event: std::ops::Range<usize>) -> bool {
    ChunkReader::default().decode(&chunk.0, &[event]).is_some()
}

#[test]
fn templates_have_limits() {
    let shaped = |build: &dyn Fn(&mut Chunk)| {
        let mut chunk = Chunk::default();
        let definition = chunk.definition(build);
        shape(&chunk.0, definition, None, &mut FieldNames::default())
    };
    let nested = |depth: usize| {
        shaped(&|chunk| {
            (0..depth).for_each(|_| done(chunk.open("E")));
            chunk.slot(0);
            (0..depth).for_each(|_| done(chunk.close()));
        })
    };
    assert!(nested(EVTX_DEPTH_MAX).is_some() && nested(EVTX_DEPTH_MAX + 1).is_none());
    let many = |elements: usize| {
        shaped(&|chunk| {
            chunk.open("E");
            (1..elements).for_each(|at| done(chunk.open(&format!("e{at}")).slot(0).close()));
            chunk.close();
        })
    };
    assert_eq!(many(EVTX_ELEMENTS_MAX).unwrap().steps.len(), EVTX_ELEMENTS_MAX - 1);
    assert!(many(EVTX_ELEMENTS_MAX + 1).is_none());
    let named =
        |bytes: usize| shaped(&|chunk| done(chunk.open(&"e".repeat(bytes)).slot(0).close()));
    assert!(named(EVTX_NAME_BYTES_MAX).is_some() && named(EVTX_NAME_BYTES_MAX + 1).is_none());
}

#[test]
fn attributes_have_a_limit() {
    let shaped = |attributes: usize| {
        let mut chunk = Chunk::default();
        let definition = chunk.definition(|chunk| {
            chunk.open_with("E", attributes).slot(0).close();
        });
        shape(&chunk.0, definition, None, &mut FieldNames::default())
    };
    // The element itself is one.
    assert!(shaped(EVTX_ELEMENTS_MAX - 1).is_some() && shaped(EVTX_ELEMENTS_MAX).is_none());
}

/// Every step of a run of these four bytes is the beginning of a definition, so that a chunk could
/// have thousands that share all they say.
#[test]
fn definitions_that_overlap_are_bounded() {
    const STEP: [u8; 4] = [0x0f, 0x7f, 0, 0];
    let bytes_each = u32::from_le_bytes(STEP) as usize;
    let fit = EVTX_DEFINITION_BYTES_MAX / bytes_each;
    let read = |definitions: usize| {
        let mut chunk = Chunk::default();
        (0..definitions + 6).for_each(|_| done(chunk.bytes(&STEP)));
        with_channel(&mut chunk, |_| {});
        chunk.bytes(&[0]);
        chunk.0.resize(4 * definitions + 24 + bytes_each, 0);
        let event = |at| chunk.event(4 * at as u32, &[text("Security")]);
        let events: Vec<_> = (0..definitions).map(event).collect();
        ChunkReader::default().decode(&chunk.0, &events).is_some()
    };
    assert!(read(fit) && !read(fit + 1));
}

#[test]
fn the_text_of_a_chunk_is_bounded() {
    const CHANNEL: &str = "Security";
    const FIELDS: usize = 33;
    let read = |sizes: &[usize]| {
        let mut chunk = Chunk::default();
        let definition = chunk.definition(|chunk| {
            with_channel(chunk, |chunk| {
                (1..=FIELDS as u16)
                    .for_each(|at| done(chunk.open(&format!("e{at}")).slot(at).close()));
            });
        });
        let event = |size: &usize| {
            let filler = "x".repeat(size - CHANNEL.len());
            let mut values = vec![text(CHANNEL)];
            values.extend(
                filler
                    .as_bytes()
                    .chunks(32_000)
                    .map(|part| text(std::str::from_utf8(part).unwrap())),
            );
            values.resize(FIELDS + 1, (0x00, Vec::new()));
            chunk.event(definition, &values)
        };
        let events: Vec<_> = sizes.iter().map(event).collect();
        ChunkReader::default().decode(&chunk.0, &events).is_some()
    };
    let full = [EVTX_EVENT_BYTES_MAX; EVTX_CHUNK_TEXT_BYTES_MAX / EVTX_EVENT_BYTES_MAX];
    assert!(read(&full));
    let more = [&full[..], &[CHANNEL.len() + 1]].concat();
    assert!(!read(&more));
    assert!(!read(&[EVTX_EVENT_BYTES_MAX + 1]));
}

#[test]
fn event_data_without_names_is_one_list() {
    let mut chunk = Chunk::default();
    let definition = chunk.definition(|chunk| {
        chunk.open("EventData").open("Data").slot(3).close().open("Data").slot(4).close().close();
    });
    let mut names = FieldNames::default();
    let shape = shape(&chunk.0, definition, None, &mut names).unwrap();
    let [Step::Joined { name, slots }] = shape.steps.as_slice() else { panic!("{shape:?}") };
    assert_eq!((names.text(*name), &**slots), ("EventData.Data.#text", &[3, 4][..]));
    let single = chunk.definition(|chunk| {
        chunk.open("EventData").open("Data").slot(3).close().close();
    });
    let shape = super::shape::shape(&chunk.0, single, None, &mut names).unwrap();
    assert!(matches!(shape.steps.as_slice(), [Step::Value { slot: 3, kind: Kind::List, .. }]));
}

#[test]
fn events_have_limits() {
    let slots = |count: usize| {
        let mut chunk = Chunk::default();
        let definition = chunk.definition(|chunk| with_channel(chunk, |_| {}));
        let mut values = vec![text("Security")];
        values.resize(count, (0x00, Vec::new()));
        let event = chunk.event(definition, &values);
        is_read(&chunk, event)
    };
    assert!(slots(EVTX_SLOTS_MAX) && !slots(EVTX_SLOTS_MAX + 1));

    let fields = |count: usize| {
        let mut chunk = Chunk::default();
        let definition = chunk.definition(|chunk| {
            with_channel(chunk, |chunk| {
                (1..count).for_each(|at| done(chunk.open(&format!("e{at}")).slot(0).close()));
            });
        });
        let event = chunk.event(definition, &[text("Security")]);
        is_read(&chunk, event)
    };
    assert!(fields(EVTX_FIELDS_MAX) && !fields(EVTX_FIELDS_MAX + 1));

    let bytes = |bytes: usize| {
        const LONG: usize = 16 * 1024;
        let mut chunk = Chunk::default();
        let definition = chunk.definition(|chunk| {
            with_channel(chunk, |chunk| {
                (1..bytes / LONG)
                    .for_each(|at| done(chunk.open(&format!("e{at}")).slot(0).close()));
                chunk.open("rest").slot(1).close();
            });
        });
        let values = [text(&"x".repeat(LONG)), text(&"x".repeat(bytes % LONG))];
        let event = chunk.event(definition, &values);
        is_read(&chunk, event)
    };
    assert!(bytes(EVTX_EVENT_BYTES_MAX) && !bytes(EVTX_EVENT_BYTES_MAX + 1));

    let inside = |instances: usize| {
        let mut chunk = Chunk::default();
        let leaf = chunk.definition(|chunk| done(chunk.open("Leaf").slot(0).close()));
        let node = chunk.definition(|chunk| done(chunk.open("Node").slot(0).close()));
        let root = chunk.definition(|chunk| {
            with_channel(chunk, |chunk| done(chunk.open("UserData").slot(1).close()));
        });
        let bytes_of = |definition: u32, value: (u8, Vec<u8>)| {
            let mut event = Chunk::default();
            event.event(definition, &[value]);
            (0x21, event.0)
        };
        let mut value = bytes_of(leaf, text("x"));
        (2..instances).for_each(|_| value = bytes_of(node, value.clone()));
        let event = chunk.event(root, &[text("Security"), value]);
        is_read(&chunk, event)
    };
    assert!(inside(EVTX_INSTANCES_MAX) && !inside(EVTX_INSTANCES_MAX + 1));
}

proptest! {
    /// Whatever the bytes are, nothing panics, and what is read is text.
    #[test]
    fn damaged_templates_and_events_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        value in "[a-zé\0]{0,20}",
    ) {
        let mut chunk = Chunk::default();
        let inner = chunk.definition(|chunk| {
            chunk.open("EventData").open("Data").slot(0).close().close();
        });
        let definition = chunk.definition(|chunk| {
            with_channel(chunk, |chunk| done(chunk.slot(1)));
        });
        let mut data = Chunk::default();
        data.event(inner, &[text(&value)]);
        let event = chunk.event(definition, &[text("Security"), (0x21, data.0)]);
        prop_assert!(is_read(&chunk, event.clone()));
        for (at, byte) in changes {
            let at = at.index(chunk.0.len());
            chunk.0[at] = byte;
        }
        is_read(&chunk, event);
    }
}
