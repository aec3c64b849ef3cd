//! Rows to standard output, in the format asked for. Log contents are hostile: in a terminal
//! control characters are shown, not sent; in CSV no cell can become a formula.

use clap::ValueEnum;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{self, Write};
use yagura_export::{csv_cell, csv_record, plain};

/// One row: column names in order of first appearance.
pub type Row = Map<String, Value>;

/// Formats every command that prints rows knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180, with a header; cells that a spreadsheet would run get a leading apostrophe.
    Csv,
}

/// Writes rows as they come; only a table waits for the last one.
pub struct RowWriter<W: Write> {
    out: W,
    format: Format,
    columns: Vec<String>,
    waiting: Vec<Row>,
    rows: usize,
}

/// Rows a table holds back to find column widths; further rows begin a new table.
const TABLE_ROWS_MAX: usize = 10_000;

impl<W: Write> RowWriter<W> {
    /// A writer for rows with `columns`, in that order. With none, a table or CSV takes the
    /// columns of its first row.
    pub fn new(out: W, format: Format, columns: Vec<String>) -> Self {
        RowWriter { out, format, columns, waiting: Vec::new(), rows: 0 }
    }

    /// Takes one row.
    pub fn write(&mut self, row: Row) -> io::Result<()> {
        if self.columns.is_empty() {
            self.columns = row.keys().cloned().collect();
        }
        let first = self.rows == 0;
        self.rows += 1;
        match self.format {
            Format::Jsonl => {
                serde_json::to_writer(&mut self.out, &row)?;
                self.out.write_all(b"\n")
            }
            Format::Json => {
                self.out.write_all(if first { b"[\n" } else { b",\n" })?;
                Ok(serde_json::to_writer(&mut self.out, &row)?)
            }
            Format::Csv => {
                if first {
                    let header = self.columns.clone();
                    csv_record(&mut self.out, header.iter().map(|name| name.as_str().into()))?;
                }
                let cells = self.columns.iter().map(|name| csv_cell(row.get(name)));
                csv_record(&mut self.out, cells)
            }
            Format::Table => {
                self.waiting.push(row);
                if self.waiting.len() >= TABLE_ROWS_MAX { self.flush_table() } else { Ok(()) }
            }
        }
    }

    /// Shows what was written so far; a table keeps its rows until it is finished.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the output and says how many rows were written.
    pub fn finish(mut self) -> io::Result<usize> {
        match self.format {
            Format::Json if self.rows == 0 => self.out.write_all(b"[]\n")?,
            Format::Json => self.out.write_all(b"\n]\n")?,
            Format::Csv if self.rows == 0 && !self.columns.is_empty() => {
                let header = self.columns.clone();
                csv_record(&mut self.out, header.iter().map(|name| name.as_str().into()))?;
            }
            Format::Table => self.flush_table()?,
            Format::Csv | Format::Jsonl => {}
        }
        self.out.flush()?;
        Ok(self.rows)
    }

    fn flush_table(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        table.set_header(&self.columns);
        for row in self.waiting.drain(..) {
            table.add_row(
                self.columns.iter().map(|name| visible(&plain(row.get(name))).into_owned()),
            );
        }
        writeln!(self.out, "{table}")
    }
}

/// Text with every control, bidirectional and zero-width character made visible, so that a log
/// line cannot move the cursor, recolour the screen or reorder what is read.
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{061C}')
    };
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if hidden(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// [`visible`] for text of several lines, such as an error with a caret under its place.
pub fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(format: Format, rows: &[Value]) -> String {
        let mut out = Vec::new();
        let mut writer = RowWriter::new(&mut out, format, Vec::new());
        for row in rows {
            writer.write(row.as_object().unwrap().clone()).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_format_carries_the_same_rows() {
        let rows = [json!({"a": "田中", "n": 1}), json!({"a": "x,\"y\"", "n": -2})];
        assert_eq!(
            written(Format::Jsonl, &rows),
            "{\"a\":\"田中\",\"n\":1}\n{\"a\":\"x,\\\"y\\\"\",\"n\":-2}\n"
        );
        let json: Value = serde_json::from_str(&written(Format::Json, &rows)).unwrap();
        assert_eq!(json.as_array().unwrap().as_slice(), rows);
        assert_eq!(written(Format::Csv, &rows), "a,n\r\n田中,1\r\n\"x,\"\"y\"\"\",-2\r\n");
        assert!(written(Format::Table, &rows).contains("田中"));
        assert_eq!(written(Format::Json, &[]), "[]\n");
    }

    #[test]
    fn no_cell_becomes_a_formula() {
        for hostile in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            let csv = written(Format::Csv, &[json!({"a": hostile})]);
            let mut reader = csv::Reader::from_reader(csv.as_bytes());
            let cell = reader.records().next().unwrap().unwrap()[0].to_owned();
            assert_eq!(cell, format!("'{hostile}"));
        }
    }

    #[test]
    fn a_terminal_sees_no_control_characters() {
        assert_eq!(visible("\x1b[31mred\u{202e}\n"), "\\u{1b}[31mred\\u{202e}\\n");
        assert_eq!(visible("日本語"), "日本語");
        let table = written(Format::Table, &[json!({"a": "\x1b]0;owned\x07"})]);
        assert!(!table.contains('\x1b') && !table.contains('\x07'));
    }
}
