//! Writes the seeds that cannot be written by hand: `cargo run --example write_seeds` in `fuzz/`.

use std::fs;
use std::path::Path;
use yagura_event::StreamName;
use yagura_fuzz::{KnownLog, one_event_chunk, one_event_file, repair_segment};

fn main() -> std::io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let write = |path: &str, bytes: &[u8]| {
        let path = seeds.join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, bytes)
    };
    let log = KnownLog::new();
    write("batch_header/sealed", log.header.encode().as_bytes())?;
    write("signed_note/checkpoint", log.checkpoint.note().as_bytes())?;
    write("signed_note/verifier-key", log.key.to_string().as_bytes())?;
    for (number, (leaf, proof)) in log.leaves.iter().zip(&log.proofs).enumerate() {
        write(&format!("event_leaf/{number}"), leaf)?;
        write(&format!("event_proof/{number}"), proof.encode().as_bytes())?;
    }
    write("event_proof/tlog-proof", log.proofs[0].outer().encode().as_bytes())?;
    let names: Vec<&str> = yagura_normalize::entries::names().collect();
    for (place, (name, text)) in yagura_normalize::entries::SAMPLES.iter().enumerate() {
        let number = names.iter().position(|known| known == name).unwrap();
        let mut bytes = vec![u8::try_from(number).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        write(&format!("decoders/{place:02}-{name}"), &bytes)?;
    }
    // The place, and what is written.
    for (name, text) in [
        ("field", "user."),
        ("value", "user.name:ta and source.port>"),
        ("command", "* | stats count() by user.name | "),
        ("quoted", "user.name:\"田中"),
    ] {
        let place = u16::try_from(text.len()).unwrap().to_le_bytes();
        write(&format!("complete/{name}"), &[&place[..], text.as_bytes()].concat())?;
    }
    write("evtx_chunk/one-event", &one_event_chunk())?;
    // How many records the first import is to keep, and the file.
    write("import_file/evtx", &[&[1][..], &one_event_file()].concat())?;
    write("inventory/users", b"\x00name,department\ntanaka,\xe7\xb5\x8c\xe7\x90\x86\n")?;
    write("inventory/assets", b"\x01name,owner\nFS01,tanaka\n")?;
    write("journal_segment/one-batch", &segment(&log))
}

/// An odd first byte, and a segment: a batch opened twice, three records, a seal, a commit.
fn segment(log: &KnownLog) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[8] = 1;
    bytes[16] = 1;
    let mut frame = |kind: u8, way: u8, batch: u64, index: u32, body: &[&[u8]]| {
        let body = body.concat();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[kind, way, 0, 0]);
        bytes.extend_from_slice(&batch.to_le_bytes());
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&body);
    };
    let micros = log.header.first_received.as_micros().to_le_bytes();
    let stream: &StreamName = &log.header.stream;
    for _ in 0..2 {
        frame(1, 0, 1, 0, &[&[9; 32], &micros, stream.as_str().as_bytes()]);
    }
    for (index, raw) in [&b"first"[..], b"second\nline", b"\xff\x00\x1b[2J"].iter().enumerate() {
        let lengths = [13, 0, 4, 0];
        frame(2, 2, 1, index as u32, &[&micros, &lengths, b"192.0.2.1:514", b"none", raw]);
    }
    frame(4, 0, 2, 0, &[&1u64.to_le_bytes(), &3u32.to_le_bytes()]);
    frame(3, 0, 1, 0, &[log.header.encode().as_bytes()]);
    frame(4, 0, 2, 0, &[]);
    repair_segment(&mut bytes);
    bytes.insert(0, 1);
    bytes
}
