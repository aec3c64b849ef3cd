//! Windows events read without JSON have the fields that they have as JSON.
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use yagura_event::{EventBatch, EventFields, Origin, StreamName, Transport, UtcMicros, Words};
use yagura_intake::evtx::{ChunkReader, EventSink, EvtxSink, read_one_chunk};
use yagura_normalize::Normalizer;

const FILE_HEADER_BYTES: usize = 4_096;
const CHUNK_BYTES: usize = 65_536;

fn chunks(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "evtx") {
                let bytes = std::fs::read(&path).unwrap();
                let chunks = bytes.get(FILE_HEADER_BYTES..).unwrap_or_default();
                let chunks =
                    chunks.chunks(CHUNK_BYTES).filter(|chunk| chunk.starts_with(b"ElfChnk"));
                found.extend(chunks.map(|chunk| (path.clone(), chunk.to_vec())));
            }
        }
    }
    found.sort();
    found
}

struct Rows {
    normalizer: Normalizer,
    stream: StreamName,
    index: u32,
    direct: u32,
    damages: Vec<String>,
}

impl Rows {
    fn new() -> Rows {
        let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
        normalizer.set_keep_original(false);
        let stream = StreamName::new("import/scan").unwrap();
        Rows { normalizer, stream, index: 0, direct: 0, damages: Vec::new() }
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
        received: UtcMicros::from_micros(1_764_229_210_165_324),
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
        self.direct += 1;
        Ok(())
    }
}

/// Both readings of one chunk, or what differs.
fn compare(
    (json, direct, reader): (&mut Rows, &mut Rows, &mut ChunkReader),
    number: u64,
    chunk: &[u8],
) -> Result<u32, String> {
    let Ok(()) = read_one_chunk(number, chunk.to_vec(), json);
    let Ok(()) = reader.read(number, chunk.to_vec(), direct);
    let events = direct.index;
    let ((expected, damages), (found, other_damages)) = (json.take(), direct.take());
    if damages != other_damages {
        return Err(format!("{damages:?}\n{other_damages:?}"));
    }
    if expected.len() != found.len() {
        return Err(format!("{} and {} datasets", expected.len(), found.len()));
    }
    for (expected, found) in expected.iter().zip(&found) {
        let (ours, theirs) = (&found.columns, &expected.columns);
        let names = |batch: &EventBatch| {
            let schema = batch.columns.schema();
            let mut names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
            names.sort();
            names
        };
        if (names(expected), &expected.dataset) != (names(found), &found.dataset) {
            return Err(format!("{:?}\n{:?}", names(expected), names(found)));
        }
        for (field, column) in theirs.schema().fields().iter().zip(theirs.columns()) {
            let other = ours.column_by_name(field.name()).unwrap();
            let same = column.as_ref() == other.as_ref();
            if !same {
                return Err(format!("{}: {column:?}\n{other:?}", field.name()));
            }
        }
    }
    Ok(events)
}

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

fn all(corpora: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let dirs = ["evtx-attack-samples", "sigma-regression"];
    dirs.iter().flat_map(|dir| chunks(&corpora.join(dir))).collect()
}

/// All event logs of the corpora: every column of every event, and nearly all of them directly.
#[test]
fn events_have_the_fields_of_their_json() {
    let Some(corpora) = corpora() else { return };
    let (mut json, mut direct, mut reader) = (Rows::new(), Rows::new(), ChunkReader::default());
    let (mut events, mut differ, mut slow) = (0, 0, Vec::new());
    for (number, (path, chunk)) in (0..).zip(all(&corpora)) {
        let before = direct.direct;
        match compare((&mut json, &mut direct, &mut reader), number, &chunk) {
            Ok(count) => {
                events += count;
                if direct.direct - before < count {
                    slow.push((path, count));
                }
            }
            Err(difference) => {
                differ += 1;
                println!("{}: {difference:.2000}", path.display());
            }
        }
    }
    println!("{} of {events} events directly; the others: {slow:?}", direct.direct);
    assert_eq!(differ, 0);
    assert!(events > 8_000 && direct.direct > events * 9 / 10);
}

/// The same of logs in which bytes were changed, without a checksum that would tell.
#[test]
fn damaged_events_have_the_fields_of_their_json() {
    const NO_CHECKSUM: u8 = 4;
    let Some(corpora) = corpora() else { return };
    let (mut json, mut direct, mut reader) = (Rows::new(), Rows::new(), ChunkReader::default());
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut differ = 0;
    for (number, (path, mut chunk)) in (0..).zip(all(&corpora).into_iter().step_by(3)) {
        chunk[120] |= NO_CHECKSUM;
        let end = chunk.iter().rposition(|byte| *byte != 0).unwrap_or(0).max(513);
        for _ in 0..1 + random(4) {
            // From the table of names in the header on.
            let at = 128 + random(end - 128);
            chunk[at] = match random(3) {
                0 => random(256) as u8,
                1 => chunk[at] ^ (1 << random(8)),
                _ => [0, 0xff, 0x0c, 0x21][random(4)],
            };
        }
        if let Err(difference) = compare((&mut json, &mut direct, &mut reader), number, &chunk) {
            differ += 1;
            println!("{}: {difference:.1500}", path.display());
        }
    }
    assert_eq!(differ, 0);
}

/// What the fuzz target `evtx_chunk` begins with is an event to both readers.
#[test]
fn the_seed_of_the_fuzz_target_is_one_event() {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/evtx_chunk/one-event");
    let mut chunk = std::fs::read(seed).unwrap();
    chunk.resize(CHUNK_BYTES, 0);
    let (mut json, mut direct, mut reader) = (Rows::new(), Rows::new(), ChunkReader::default());
    assert_eq!(compare((&mut json, &mut direct, &mut reader), 0, &chunk), Ok(1));
    let Ok(()) = reader.read(1, chunk, &mut direct);
    let (batches, damages) = direct.take();
    assert_eq!((&*batches[0].dataset, damages), ("windows.sysmon", Vec::new()));
    let image = batches[0].columns.column_by_name("process.executable").unwrap();
    let image = arrow::util::display::array_value_to_string(image, 0).unwrap();
    assert_eq!(image, r"C:\Windows\System32\whoami.exe");
}

/// The decoder tells of a table of names that it cannot read: so does the direct reader.
#[test]
fn a_name_past_the_end_is_damage_to_both_readers() {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/evtx_chunk/one-event");
    let mut chunk = std::fs::read(seed).unwrap();
    chunk.resize(CHUNK_BYTES, 0);
    chunk[128..132].copy_from_slice(&262_144_u32.to_le_bytes());
    let (mut json, mut direct, mut reader) = (Rows::new(), Rows::new(), ChunkReader::default());
    assert_eq!(compare((&mut json, &mut direct, &mut reader), 0, &chunk), Ok(1));
    let Ok(()) = reader.read(1, chunk, &mut direct);
    let (_, damages) = direct.take();
    assert!(damages.len() == 1 && damages[0].contains("string cache"), "{damages:?}");
}
