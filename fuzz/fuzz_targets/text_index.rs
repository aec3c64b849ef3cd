//! An index passes over no row that has what is searched for; one of whatever bytes is refused or
//! answers with rows of its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ops::Range;
use yagura_textindex::limits::BLOCK_ROWS;
use yagura_textindex::{IndexBuilder, IndexError, Need, TRAILER_BYTES, TextIndex, Trailer, fold};

/// Stretches of rows with other words between them, so that each lies in blocks of its own.
const STRETCHES: u64 = 3;

fuzz_target!(|bytes: &[u8]| match bytes.split_first() {
    Some((kind, rest)) if kind % 2 == 0 => honest(rest),
    Some((_, rest)) => hostile(rest),
    None => {}
});

/// The first line is searched for; the others are rows.
fn honest(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(Ok(query)) = lines.next().map(std::str::from_utf8) else { return };
    let query = query.trim();
    let rows: Vec<&[u8]> = lines.take(STRETCHES as usize).collect();
    let mut builder = IndexBuilder::default();
    let mut index = Vec::new();
    for row in &rows {
        builder.add(row, None);
        (1..BLOCK_ROWS).for_each(|_| builder.add(b"", None));
        index.extend(builder.take_bytes());
    }
    index.extend(builder.finish(&[7; 32]).0);
    let found = search(&index, &Need::literal(query)).expect("what was built can be read");
    for (number, row) in (0..).zip(&rows) {
        let place = number * u64::from(BLOCK_ROWS);
        if has_word(row, query) {
            assert!(found.iter().any(|stretch| stretch.contains(&place)), "row {number} is hidden");
        }
    }
}

/// As the search language has it: in any spelling, and a border where the word ends in ASCII.
fn has_word(row: &[u8], query: &str) -> bool {
    let mut has = false;
    yagura_textindex::each_text(row, None, |text| {
        let (text, query) = (fold(text), fold(query));
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        has |= !query.is_empty()
            && text.match_indices(&*query).any(|(at, _)| {
                let (before, after) = (&text[..at], &text[at + query.len()..]);
                let open = letter(query.chars().next()) && letter(before.chars().next_back());
                let runs_on = letter(query.chars().next_back()) && letter(after.chars().next());
                !open && !runs_on
            });
        std::ops::ControlFlow::Continue(())
    });
    has
}

/// Whatever bytes, with the directory's checksum put right, for else nothing behind it is reached.
fn hostile(bytes: &[u8]) {
    let mut index = bytes.to_vec();
    let Some(tail) = index.len().checked_sub(TRAILER_BYTES as usize) else { return };
    let Ok(trailer) = Trailer::parse(&index[tail..], index.len() as u64) else { return };
    let directory = trailer.directory.start as usize..trailer.directory.end as usize;
    let checksum = crc32c::crc32c(&index[directory]);
    index[tail + 12..tail + 16].copy_from_slice(&checksum.to_le_bytes());
    for need in [Need::literal("word"), Need::wildcard("wo*"), Need::regex("ord")] {
        if let Ok(found) = search(&index, &need) {
            assert!(found.iter().all(|stretch| stretch.start < stretch.end));
            assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}

fn search(index: &[u8], need: &Need) -> Result<Vec<Range<u64>>, IndexError> {
    let tail = index.len().saturating_sub(TRAILER_BYTES as usize);
    let trailer = Trailer::parse(&index[tail..], index.len() as u64)?;
    let directory = trailer.directory.start as usize..trailer.directory.end as usize;
    TextIndex::parse(&trailer, &index[directory])?.rows_to_read(need, |range| {
        let range = range.start as usize..range.end as usize;
        Ok(index.get(range).ok_or("beyond the end")?.to_vec())
    })
}
