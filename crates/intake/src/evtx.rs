//! Windows event logs (EVTX), record by record: as compact JSON, or as fields ([`ChunkReader`]).

mod bytes;
mod direct;
mod shape;
#[cfg(test)]
mod tests;
mod value;
mod why;

pub use direct::{ChunkReader, EventSink};
pub(crate) use why::{in_file_header, no_header};

use ::evtx::{EvtxChunkData, EvtxParser, ParserSettings};
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use yagura_event::Words;

/// Bytes before the first chunk, and of each chunk ([MS-EVEN6] section 2.2.17; the format notes
/// of libevtx).
pub(crate) const FILE_HEADER_BYTES: u64 = 4_096;
pub(crate) const CHUNK_BYTES: u64 = 65_536;

/// Where a chunk's header has the offsets of its names.
const STRING_TABLE: std::ops::Range<usize> = 128..384;

/// Takes what [`read`] finds.
pub trait EvtxSink {
    /// Why reading should end early.
    type Halt;

    /// Before each chunk: the place to look whether someone wants to stop.
    ///
    /// # Errors
    ///
    /// Ends the reading.
    fn chunk(&mut self) -> Result<(), Self::Halt> {
        Ok(())
    }

    /// One record, the oldest first: the event as compact JSON, attributes under `#attributes`.
    ///
    /// # Errors
    ///
    /// Ends the reading.
    fn record(&mut self, json: &[u8]) -> Result<(), Self::Halt>;

    /// Something at `place` could not be read, and why. The rest is read.
    fn damage(&mut self, place: Words, reason: Words);
}

/// Reads a Windows event log chunk by chunk, oldest records first. One chunk (64 KiB) is in memory
/// at a time.
///
/// A damaged chunk or record is reported with its place and the rest is read. A chunk whose
/// checksum does not match is reported too, but its records are read: a log copied while Windows
/// was writing has such chunks. Of a chunk cut off by the end of the file, what is left is read.
///
/// # Errors
///
/// What the sink answered to end the reading early.
pub fn read<R: Read + Seek, S: EvtxSink>(content: &mut R, sink: &mut S) -> Result<(), S::Halt> {
    // The decoder is well tested against hostile files, but a fault in it must cost one file, not
    // the import.
    let outcome = catch_unwind(AssertUnwindSafe(|| read_chunks(content, sink)));
    outcome.unwrap_or_else(|_| {
        sink.damage(why::in_whole_file(), why::decoder_failed());
        Ok(())
    })
}

/// Reads chunk `number` (from 0) of a Windows event log from its bytes: 64 KiB, fewer at the end of a
/// file that was cut off there. For whoever reads the chunks of one log on several threads; damage is
/// treated as by [`read`].
///
/// # Errors
///
/// What the sink answered to end the reading early.
pub fn read_one_chunk<S: EvtxSink>(
    number: u64,
    mut data: Vec<u8>,
    sink: &mut S,
) -> Result<(), S::Halt> {
    let place = why::in_chunk(Some(number));
    let is_whole = data.len() as u64 == CHUNK_BYTES;
    // The decoder takes zeros for free space. Proof that the size fits: a chunk has 64 KiB.
    data.resize(CHUNK_BYTES as usize, 0);
    let mut chunk = match EvtxChunkData::new(data, false) {
        Ok(chunk) => chunk,
        Err(error) => {
            let reason = Words::quoted(why::with_causes(&error));
            sink.damage(place, if is_whole { reason } else { why::cut_off(&reason) });
            return Ok(());
        }
    };
    chunk.number = Some(number);
    let outcome = catch_unwind(AssertUnwindSafe(|| read_chunk(chunk, &settings(), sink)));
    outcome.unwrap_or_else(|_| {
        sink.damage(place, why::decoder_failed());
        Ok(())
    })
}

fn settings() -> Arc<ParserSettings> {
    Arc::new(ParserSettings::new().separate_json_attributes(false).indent(false).num_threads(1))
}

fn read_chunks<R: Read + Seek, S: EvtxSink>(content: &mut R, sink: &mut S) -> Result<(), S::Halt> {
    let settings = settings();
    let mut parser = match EvtxParser::from_read_seek(&mut *content) {
        Ok(parser) => parser,
        Err(error) => {
            sink.damage(in_file_header(), no_header(&error));
            return Ok(());
        }
    };
    for chunk in parser.chunks() {
        match chunk {
            Ok(chunk) => read_chunk(chunk, &settings, sink)?,
            // The text names the chunk.
            Err(error) => sink.damage(why::in_chunk(None), why::damaged(&error)),
        }
    }
    match cut_off_chunk(content) {
        Ok(Some(chunk)) => read_chunk(chunk, &settings, sink),
        Ok(None) => Ok(()),
        Err(reason) => {
            sink.damage(why::in_last_chunk(), why::cut_off(&reason));
            Ok(())
        }
    }
}

fn read_chunk<S: EvtxSink>(
    mut chunk: EvtxChunkData,
    settings: &Arc<ParserSettings>,
    sink: &mut S,
) -> Result<(), S::Halt> {
    sink.chunk()?;
    let number = chunk.number;
    let place = || why::in_chunk(number);
    if !chunk.validate_checksum() {
        sink.damage(place(), why::checksum());
    }
    let Err(reason) = read_records(&mut chunk, settings, &place, sink)? else { return Ok(()) };
    sink.damage(place(), reason);
    if let Some(mut chunk) = without_string_table(chunk)
        && let Err(reason) = read_records(&mut chunk, settings, &place, sink)?
    {
        sink.damage(place(), reason);
    }
    Ok(())
}

/// Takes each record of a chunk; or says why the chunk as a whole cannot be read.
fn read_records<S: EvtxSink>(
    chunk: &mut EvtxChunkData,
    settings: &Arc<ParserSettings>,
    place: &dyn Fn() -> Words,
    sink: &mut S,
) -> Result<Result<(), Words>, S::Halt> {
    let mut records = match chunk.parse(settings.clone()) {
        Ok(records) => records,
        Err(error) => return Ok(Err(why::damaged(&error))),
    };
    for record in records.iter() {
        match record.and_then(|record| record.into_json_bytes()) {
            Ok(record) if std::str::from_utf8(&record.data).is_ok() => sink.record(&record.data)?,
            Ok(record) => sink.record(String::from_utf8_lossy(&record.data).as_bytes())?,
            Err(error) => sink.damage(place(), why::damaged(&error)),
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
fn cut_off_chunk<R: Read + Seek>(content: &mut R) -> Result<Option<EvtxChunkData>, Words> {
    let broken = |error: io::Error| Words::from(error);
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
    let mut chunk =
        EvtxChunkData::new(data, false).map_err(|error| Words::quoted(why::with_causes(&error)))?;
    chunk.number = Some(chunks / CHUNK_BYTES);
    Ok(Some(chunk))
}
