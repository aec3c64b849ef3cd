//! CSV and TSV with a header line.
//!
//! Nothing in a CSV file says that its first line is a header, so it is taken for one only when all of
//! this holds:
//! * it is the first record of a file, or stands where the layout in force has a time;
//! * one of tab, comma and semicolon parts it into 2 to [`LAYOUT_COLUMNS_MAX`] cells (the one that gives
//!   the most);
//! * each cell is a name: 1 to [`COLUMN_NAME_CHARS_MAX`] characters, begins with a letter, `_`, `@` or
//!   `#`, holds nothing but letters, digits, blanks and ``_-.@#/()%:``, has at most five words, and no
//!   two are the same;
//! * one of them is a usual name for a time, or there are at least four and none has a blank in it.
//!
//! And a row is a row only when it has exactly as many cells.
//!
//! [`LAYOUT_COLUMNS_MAX`]: crate::limits::LAYOUT_COLUMNS_MAX

use super::split::{Separator, Splitter};
use super::when::{self, TimeColumns};
use super::{Family, Layout, bounded, dataset};
use crate::limits::COLUMN_NAME_CHARS_MAX;
use crate::mapping::Mappings;
use std::collections::HashSet;

/// The layout that `line` is the header of, if it is one.
pub(super) fn layout(line: &str, splitter: &mut Splitter, mappings: &Mappings) -> Option<Layout> {
    let separator = header(line, splitter)?;
    let count = splitter.split(line, separator)?;
    let names = (0..count).filter_map(|number| splitter.field(number));
    let columns = bounded(names.map(|name| name.trim().into()).collect())?;
    Some(Layout {
        family: Family::Csv,
        separator,
        time: TimeColumns::new(&columns, false),
        unset: "".into(),
        empty: "".into(),
        dataset: dataset(mappings, &columns, &[], "csv.generic"),
        columns,
        text: line.into(),
    })
}

/// Whether `line` is a header.
pub(super) fn is_header(line: &str, splitter: &mut Splitter) -> bool {
    header(line, splitter).is_some()
}

/// What parts the names of `line`, if it is a header.
fn header(line: &str, splitter: &mut Splitter) -> Option<Separator> {
    let mut best: Option<(usize, Separator)> = None;
    for delimiter in [b'\t', b',', b';'] {
        let separator = Separator::Csv(delimiter);
        let count = splitter.split(line, separator).unwrap_or(0);
        if count >= 2 && best.is_none_or(|(most, _)| count > most) {
            best = Some((count, separator));
        }
    }
    let (count, separator) = best?;
    splitter.split(line, separator)?;
    let mut seen = HashSet::new();
    let (mut has_time, mut has_blank) = (false, false);
    for number in 0..count {
        let name = splitter.field(number)?.trim();
        if !is_name(name) || !seen.insert(name) {
            return None;
        }
        has_time |= when::is_time_name(name);
        has_blank |= name.contains(' ');
    }
    (has_time || count >= 4 && !has_blank).then_some(separator)
}

fn is_name(cell: &str) -> bool {
    const WORDS_MAX: usize = 5;
    let first = |c: char| c.is_alphabetic() || matches!(c, '_' | '@' | '#');
    let rest = |c: char| {
        c.is_alphanumeric()
            || matches!(c, ' ' | '_' | '-' | '.' | '@' | '#' | '/' | '(' | ')' | '%' | ':')
    };
    cell.starts_with(first)
        && cell.chars().all(rest)
        && cell.chars().count() <= COLUMN_NAME_CHARS_MAX
        && cell.split(' ').count() <= WORDS_MAX
}
