//! Any bytes as a chunk of a Windows event log: the reader that goes by way of JSON and the direct one
//! see the same events and the same damage, and every event becomes the same row.
//!
//! The input is laid over an empty chunk whose header says that it has no checksum, which would keep
//! the fuzzer out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::convert::Infallible;
use yagura_event::{EventBatch, EventFields, Origin, StreamName, Transport, UtcMicros, Words};
use yagura_fuzz::evtx_chunk;
use yagura_intake::evtx::{ChunkReader, EventSink, EvtxSink, read_one_chunk};
use yagura_normalize::Normalizer;

thread_local! {
    static READERS: RefCell<(Rows, Rows, ChunkReader)> =
        RefCell::new((Rows::new(), Rows::new(), ChunkReader::default()));
}

fuzz_target!(|bytes: &[u8]| {
    let chunk = evtx_chunk(bytes);
    READERS.with_borrow_mut(|(json, direct, reader)| {
        let Ok(()) = read_one_chunk(0, chunk.clone(), json);
        let Ok(()) = reader.read(0, chunk, direct);
        let ((expected, damages), (found, other)) = (json.take(), direct.take());
        assert_eq!(damages, other);
        assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected.dataset, found.dataset);
            assert_eq!(expected.columns.num_columns(), found.columns.num_columns());
            for (field, column) in
                expected.columns.schema().fields().iter().zip(expected.columns.columns())
            {
                let other = found.columns.column_by_name(field.name()).unwrap();
                assert_eq!(column.as_ref(), other.as_ref(), "{}", field.name());
            }
        }
    });
});

struct Rows {
    normalizer: Normalizer,
    stream: StreamName,
    index: u32,
    damages: Vec<String>,
}

impl Rows {
    fn new() -> Rows {
        let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
        normalizer.set_keep_original(false);
        let stream = StreamName::new("import/fuzz").unwrap();
        Rows { normalizer, stream, index: 0, damages: Vec::new() }
    }

    fn take(&mut self) -> (Vec<EventBatch>, Vec<String>) {
        self.index = 0;
        (self.normalizer.take_batches(), std::mem::take(&mut self.damages))
    }
}

fn origin(stream: &StreamName, index: u32) -> Origin<'_> {
    Origin {
        stream,
        batch: 1,
        index,
        batch_salt: &[0; 32],
        received: UtcMicros::from_micros(1_795_223_600_000_000),
        transport: Transport::File,
        peer: "x.evtx",
        identity: "none",
    }
}

impl EvtxSink for Rows {
    type Halt = Infallible;

    fn record(&mut self, json: &[u8]) -> Result<(), Infallible> {
        self.normalizer.push(&origin(&self.stream, self.index), json);
        self.index += 1;
        Ok(())
    }

    fn damage(&mut self, place: Words, reason: Words) {
        self.damages.push(format!("{place}: {reason}"));
    }
}

impl EventSink for Rows {
    fn event(&mut self, event: &EventFields<'_>) -> Result<(), Infallible> {
        self.normalizer.push_event(&origin(&self.stream, self.index), event);
        self.index += 1;
        Ok(())
    }
}
