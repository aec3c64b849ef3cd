use super::content::Content;
use super::session::{Halt, Leaf};
use evtx::{EvtxParser, ParserSettings};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Where chunk `number` starts in the file: after the 4,096-byte header, 65,536 bytes each
/// ([MS-EVEN6] section 2.2.17; the format notes of libevtx).
fn chunk_offset(number: u64) -> u64 {
    4096 + number * 65_536
}

/// Reads a Windows event log chunk by chunk, oldest records first, as compact JSON.
///
/// A damaged chunk or record is reported with its place and the rest is read. A chunk whose
/// checksum does not match is reported too, but its records are read: a log copied while Windows
/// was writing has such chunks.
pub(super) fn read(content: &mut Content, leaf: &mut Leaf<'_, '_>) -> Result<(), Halt> {
    // The decoder is well tested against hostile files, but a fault in it must cost one file, not the import.
    let outcome = catch_unwind(AssertUnwindSafe(|| read_chunks(content, leaf)));
    outcome.unwrap_or_else(|_| {
        leaf.report.damage("unknown", "the EVTX decoder failed; the rest of the file was not read");
        Ok(())
    })
}

fn read_chunks(content: &mut Content, leaf: &mut Leaf<'_, '_>) -> Result<(), Halt> {
    let mut parser = match EvtxParser::from_read_seek(content) {
        Ok(parser) => parser,
        Err(error) => {
            leaf.report.damage("file header", error.to_string());
            return Ok(());
        }
    };
    let settings = Arc::new(
        ParserSettings::new().separate_json_attributes(false).indent(false).num_threads(1),
    );
    for chunk in parser.chunks() {
        leaf.check_cancelled()?;
        let mut chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                leaf.report.damage("chunk", error.to_string());
                continue;
            }
        };
        let place = chunk.number.map_or_else(
            || "chunk".to_owned(),
            |number| format!("chunk {number} at byte {}", chunk_offset(number)),
        );
        if !chunk.validate_checksum() {
            leaf.report.damage(
                place.clone(),
                "the checksum does not match; what can be read of its records is kept",
            );
        }
        let mut records = match chunk.parse(settings.clone()) {
            Ok(records) => records,
            Err(error) => {
                leaf.report.damage(place, error.to_string());
                continue;
            }
        };
        for record in records.iter() {
            match record.and_then(|record| record.into_json_bytes()) {
                // `from_utf8_lossy` copies only what is not UTF-8.
                Ok(record) => leaf.record(String::from_utf8_lossy(&record.data).as_bytes())?,
                Err(error) => leaf.report.damage(place.clone(), error.to_string()),
            }
        }
    }
    Ok(())
}
