//! Files whose header says what the columns are: W3C extended logs (IIS, Windows Firewall, Exchange,
//! CloudFront), Zeek's TSV, CSV and TSV with a header line.
//!
//! The header in force is remembered per stream and noted on every row it explains
//! (`yagura.layout`), so that a row can be read again by itself: [`Layouts::resume`] takes that note.
//! A header in the middle of a file takes the place of the one before from there on.

mod csv;
mod split;
mod w3c;
mod when;
mod zeek;

use crate::flat::Flat;
#[cfg(test)]
use crate::limits::COLUMN_NAME_CHARS_MAX;
use crate::limits::{LAYOUT_BYTES_MAX, LAYOUT_COLUMNS_MAX};
use crate::mapping::Mappings;
use crate::names;
use jiff::tz::TimeZone;
use split::{Separator, Splitter};
use std::sync::Arc;
use when::TimeColumns;
use yagura_event::UtcMicros;

/// What is known of a stream's columns.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    /// Explains the rows that come.
    current: Option<Layout>,
    /// Header lines that came since, and do not yet make a layout.
    w3c: w3c::Gathering,
    zeek: zeek::Gathering,
    /// Whether a record of this stream was seen: only the first may be a CSV header.
    begun: bool,
    splitter: Splitter,
}

/// What a line of a headed file is.
pub(crate) struct Headed {
    /// Position of its dataset in [`Mappings::datasets`].
    pub(crate) dataset: usize,
    /// When it happened, where it says so.
    pub(crate) time: Option<UtcMicros>,
    /// The header that explains it: `None` for the header's own lines.
    pub(crate) layout: Option<Arc<str>>,
}

/// A header that was read.
#[derive(Debug)]
struct Layout {
    family: Family,
    separator: Separator,
    columns: Vec<Box<str>>,
    time: TimeColumns,
    /// What stands for "no value".
    unset: Box<str>,
    /// What stands for "an empty value" (Zeek).
    empty: Box<str>,
    dataset: usize,
    /// The header as it is noted on rows.
    text: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    W3c,
    Zeek,
    Csv,
}

/// What a line is read with.
pub(crate) struct Reading<'a> {
    pub(crate) mappings: &'a Mappings,
    /// Zone of times that name none.
    pub(crate) zone: &'a TimeZone,
    pub(crate) received: UtcMicros,
    /// Whether it came out of a file: only there may a first line be a CSV header.
    pub(crate) is_file: bool,
}

impl Layouts {
    /// Takes up a header that [`Headed::layout`] noted, as if its lines had just been read.
    pub(crate) fn resume(&mut self, layout: &str, reading: &Reading<'_>) {
        // Notes are ours, and within the limit; anything else explains nothing.
        if layout.len() > LAYOUT_BYTES_MAX {
            return;
        }
        *self = Layouts::default();
        // What is noted was a header, whatever the rows come by now.
        let reading = &Reading { is_file: true, ..*reading };
        for line in layout.lines() {
            let _ = self.header(line, reading);
        }
        self.begun = true;
    }

    /// Takes note of a record that is read without this.
    pub(crate) fn pass(&mut self) {
        self.begun = true;
    }

    /// Reads `line` into `flat` if it is part of a headed file. Otherwise nothing is pushed.
    pub(crate) fn read(
        &mut self,
        line: &str,
        reading: &Reading<'_>,
        flat: &mut Flat,
    ) -> Option<Headed> {
        if !self.begun || line.starts_with('#') || self.is_new_csv_header(line, reading) {
            let is_header = self.header(line, reading);
            self.begun = true;
            if is_header {
                flat.push_known(names::MESSAGE, line);
                let time = self.w3c.date_of(line);
                return Some(Headed {
                    dataset: reading.mappings.dataset("log.header"),
                    time,
                    layout: None,
                });
            }
        }
        self.row(line, reading, flat)
    }

    /// Whether `line` belongs to a header; if it completes one, that is in force from here on.
    fn header(&mut self, line: &str, reading: &Reading<'_>) -> bool {
        if line.len() > LAYOUT_BYTES_MAX {
            return false;
        }
        if let Some(rest) = line.strip_prefix('#') {
            if let Some(done) = self.zeek.line(rest) {
                self.replace(done.map(|header| header.layout(reading.mappings)));
                return true;
            }
            if let Some(done) = self.w3c.line(rest) {
                self.replace(done.map(|header| header.layout(reading.mappings)));
                return true;
            }
            // A remark between the rows.
            return self.current.as_ref().is_some_and(|layout| layout.family != Family::Csv);
        }
        if self.begun && self.current.as_ref().is_none_or(|layout| layout.family != Family::Csv) {
            return false;
        }
        if !reading.is_file {
            return false;
        }
        let layout = csv::layout(line, &mut self.splitter, reading.mappings);
        let is_header = layout.is_some();
        self.replace(layout.map(Some));
        is_header
    }

    fn replace(&mut self, layout: Option<Option<Layout>>) {
        // A header that is complete but beyond the limits explains nothing, and neither does the
        // one before it any more.
        if let Some(layout) = layout {
            self.current = layout;
        }
    }

    /// Files that were joined have a header in the middle: names, where the layout in force has a
    /// time.
    fn is_new_csv_header(&mut self, line: &str, reading: &Reading<'_>) -> bool {
        let Some(layout) = &self.current else { return false };
        if layout.family != Family::Csv || line.len() > LAYOUT_BYTES_MAX {
            return false;
        }
        if line == &*layout.text {
            return true;
        }
        let Some(place) = layout.time.first() else { return false };
        let Some(count) = self.splitter.split(line, layout.separator) else { return false };
        let cell = self.splitter.field(place);
        let has_time = count == layout.columns.len()
            && cell.is_some_and(|cell| {
                cell.is_empty() || when::read(cell, reading.zone, reading.received).is_some()
            });
        !has_time && csv::is_header(line, &mut self.splitter)
    }

    fn row(&mut self, line: &str, reading: &Reading<'_>, flat: &mut Flat) -> Option<Headed> {
        let layout = self.current.as_ref()?;
        let count = self.splitter.split(line, layout.separator_of(line))?;
        let wanted = layout.columns.len();
        // A CSV header is a guess, so rows must fit it exactly. The others say what they are;
        // servers have been seen to leave out trailing fields, or to write blanks inside one.
        let fits = match layout.family {
            Family::Csv => count == wanted,
            Family::W3c | Family::Zeek => count * 2 >= wanted,
        };
        if !fits {
            return None;
        }
        let mut has_message = false;
        for (number, name) in layout.columns.iter().enumerate() {
            let Some(value) = self.splitter.field(number) else { break };
            if value == &*layout.unset || value == &*layout.empty || value.is_empty() {
                continue;
            }
            has_message |= &**name == "message";
            match zeek::unescaped(value) {
                Some(plain) if layout.family == Family::Zeek => flat.push(name, &plain),
                _ => flat.push(name, value),
            }
        }
        if layout.family == Family::W3c {
            push_target(flat);
        }
        if !has_message {
            flat.push_known(names::MESSAGE, line);
        }
        if count < wanted {
            flat.note("fewer values than the header has columns");
        } else if count > wanted {
            flat.note("more values than the header has columns");
        }
        let time = layout.time.of(&self.splitter, reading.zone, reading.received);
        Some(Headed { dataset: layout.dataset, time, layout: Some(layout.text.clone()) })
    }
}

/// The whole target of a request, which IIS and its like log in two columns.
fn push_target(flat: &mut Flat) {
    let (stem, query) = (flat.names.id("cs-uri-stem"), flat.names.id("cs-uri-query"));
    if let (Some(stem), Some(query)) = (flat.value(stem), flat.value(query)) {
        let target = format!("{stem}?{query}");
        flat.push("url.original", &target);
    }
}

impl Layout {
    /// CloudFront parts the names of its header by blanks and the values of its rows by tabs.
    fn separator_of(&self, line: &str) -> Separator {
        match self.separator {
            Separator::Blank if line.contains('\t') => Separator::Tab,
            separator => separator,
        }
    }
}

/// When `text` says it is, in any of the spellings that tables use.
pub(crate) fn instant(text: &str, zone: &TimeZone, received: UtcMicros) -> Option<UtcMicros> {
    when::read(text, zone, received)
}

/// Names of columns, if there are not too many.
fn bounded(columns: Vec<Box<str>>) -> Option<Vec<Box<str>>> {
    (!columns.is_empty() && columns.len() <= LAYOUT_COLUMNS_MAX).then_some(columns)
}

/// The dataset of a header: one that names these columns as its own, else the first of `names` that
/// there is, else `fallback`.
fn dataset(mappings: &Mappings, columns: &[Box<str>], names: &[&str], fallback: &str) -> usize {
    mappings
        .by_columns(columns)
        .or_else(|| names.iter().find_map(|name| mappings.find_dataset(name)))
        .unwrap_or_else(|| mappings.dataset(fallback))
}

/// Follows the headers of one file, for whoever cuts it into pieces that are read apart: what
/// [`crate::Normalizer::resume_layout`] needs in order to begin in the middle. A CSV header after the
/// first line is not followed.
#[derive(Debug, Default)]
pub struct HeaderWatch {
    /// Header lines so far, each with its end.
    text: String,
    begun: bool,
    /// Whether the last record was a header line.
    is_inside: bool,
    taken: Option<Arc<str>>,
}

impl HeaderWatch {
    /// Takes note of the next record.
    pub fn record(&mut self, bytes: &[u8]) {
        let is_directive = bytes.first() == Some(&b'#');
        let is_first = !std::mem::replace(&mut self.begun, true);
        if !is_directive && !is_first {
            self.is_inside = false;
            return;
        }
        let (text, _) = crate::charset::decode(bytes, None);
        // A header in the middle takes the place of the one before; remarks between rows do not.
        let begins = ["#Software", "#Version", "#separator", "#Fields", "#fields"];
        if !self.is_inside && begins.iter().any(|start| text.starts_with(start)) {
            self.text.clear();
        }
        self.is_inside = true;
        if self.text.len() + text.len() < LAYOUT_BYTES_MAX {
            self.text.push_str(text.trim_end_matches(['\r', '\n']));
            self.text.push('\n');
            self.taken = None;
        }
    }

    /// The header in force behind the last record; empty where there is none.
    pub fn header(&mut self) -> Arc<str> {
        self.taken.get_or_insert_with(|| self.text.as_str().into()).clone()
    }
}

#[cfg(test)]
mod tests;
