use super::content::Content;
use super::leaf::Leaf;
use super::session::Halt;
use evtx::{EvtxChunkData, EvtxParser, ParserSettings};
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bytes before the first chunk, and of each chunk ([MS-EVEN6] section 2.2.17; the format notes
/// of libevtx).
const FILE_HEADER_BYTES: u64 = 4_096;
const CHUNK_BYTES: u64 = 65_536;

/// Where a chunk's header has the offsets of its names.
const STRING_TABLE: std::ops::Range<usize> = 128..384;

/// Reads a Windows event log chunk by chunk, oldest records first, as compact JSON.
///
/// A damaged chunk or record is reported with its place and the rest is read. A chunk whose
/// checksum does not match is reported too, but its records are read: a log copied while Windows
/// was writing has such chunks. Of a chunk cut off by the end of the file, what is left is read.
pub(super) fn read(content: &mut Content, leaf: &mut Leaf<'_, '_>) -> Result<(), Halt> {
    // The decoder is well tested against hostile files, but a fault in it must cost one file, not
    // the import.
    let outcome = catch_unwind(AssertUnwindSafe(|| read_chunks(content, leaf)));
    outcome.unwrap_or_else(|_| {
        leaf.report.damage("file", "the EVTX decoder failed; the rest of it was not read");
        Ok(())
    })
}

fn read_chunks(content: &mut Content, leaf: &mut Leaf<'_, '_>) -> Result<(), Halt> {
    let settings = Arc::new(
        ParserSettings::new().separate_json_attributes(false).indent(false).num_threads(1),
    );
    let mut parser = match EvtxParser::from_read_seek(&mut *content) {
        Ok(parser) => parser,
        Err(error) => {
            leaf.report.damage("file header", error.to_string());
            return Ok(());
        }
    };
    for chunk in parser.chunks() {
        match chunk {
            Ok(chunk) => read_chunk(chunk, &settings, leaf)?,
            // The text names the chunk.
            Err(error) => leaf.report.damage("chunk", with_causes(&error)),
        }
    }
    match cut_off_chunk(content) {
        Ok(Some(chunk)) => read_chunk(chunk, &settings, leaf),
        Ok(None) => Ok(()),
        Err(reason) => {
            leaf.report.damage("last chunk", format!("cut off by the end of the file: {reason}"));
            Ok(())
        }
    }
}

fn read_chunk(
    mut chunk: EvtxChunkData,
    settings: &Arc<ParserSettings>,
    leaf: &mut Leaf<'_, '_>,
) -> Result<(), Halt> {
    leaf.check_cancelled()?;
    let place = chunk.number.map_or_else(
        || "chunk".to_owned(),
        |number| format!("chunk {number} at byte {}", FILE_HEADER_BYTES + number * CHUNK_BYTES),
    );
    if !chunk.validate_checksum() {
        let reason = "the checksum does not match; what can be read of its records is kept";
        leaf.report.damage(place.clone(), reason);
    }
    let Err(reason) = read_records(&mut chunk, settings, &place, leaf)? else { return Ok(()) };
    leaf.report.damage(place.clone(), reason);
    if let Some(mut chunk) = without_string_table(chunk)
        && let Err(reason) = read_records(&mut chunk, settings, &place, leaf)?
    {
        leaf.report.damage(place, reason);
    }
    Ok(())
}

/// Takes each record of a chunk; or says why the chunk as a whole cannot be read.
fn read_records(
    chunk: &mut EvtxChunkData,
    settings: &Arc<ParserSettings>,
    place: &str,
    leaf: &mut Leaf<'_, '_>,
) -> Result<Result<(), String>, Halt> {
    let mut records = match chunk.parse(settings.clone()) {
        Ok(records) => records,
        Err(error) => return Ok(Err(with_causes(&error))),
    };
    for record in records.iter() {
        match record.and_then(|record| record.into_json_bytes()) {
            // `from_utf8_lossy` copies only what is not UTF-8.
            Ok(record) => leaf.record(String::from_utf8_lossy(&record.data).as_bytes())?,
            Err(error) => leaf.report.damage(place, with_causes(&error)),
        }
    }
    Ok(Ok(()))
}

/// The chunk with its table of names emptied. The table only speeds up finding names, and one
/// damaged name would otherwise cost the whole chunk.
fn without_string_table(chunk: EvtxChunkData) -> Option<EvtxChunkData> {
    let mut data = chunk.data;
    data.get_mut(STRING_TABLE)?.fill(0);
    let mut emptied = EvtxChunkData::new(data, false).ok()?;
    emptied.number = chunk.number;
    Some(emptied)
}

/// The chunk that the end of the file cuts off, filled up with zeros, which the decoder takes for
/// free space. It passes over such a chunk in silence otherwise.
fn cut_off_chunk(content: &mut Content) -> Result<Option<EvtxChunkData>, String> {
    let broken = |error: io::Error| error.to_string();
    let length = content.seek(SeekFrom::End(0)).map_err(broken)?;
    let chunks = length.saturating_sub(FILE_HEADER_BYTES);
    let left = chunks % CHUNK_BYTES;
    if left == 0 {
        return Ok(None);
    }
    content.seek(SeekFrom::Start(length - left)).map_err(broken)?;
    let mut data = Vec::new();
    content.take(left).read_to_end(&mut data).map_err(broken)?;
    if data.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    // Proof that it fits: a chunk has 64 KiB.
    data.resize(CHUNK_BYTES as usize, 0);
    let mut chunk = EvtxChunkData::new(data, false).map_err(|error| with_causes(&error))?;
    chunk.number = Some(chunks / CHUNK_BYTES);
    Ok(Some(chunk))
}

/// An error with the errors behind it that its own text leaves out.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
