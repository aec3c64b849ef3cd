//! An inventory from CSV, as spreadsheets write it: with a header, separated by commas, semicolons or
//! tabs, in UTF-8 or in the code page of Japanese Windows.

use super::schema::{CRITICALITIES, Key, Kind, Use};
use super::{Inventory, Row, RowNumber};
use crate::error::{EnrichError, Fault};
use crate::limits::{
    CELL_BYTES_MAX, INVENTORY_BYTES_MAX, INVENTORY_COLUMNS_MAX, INVENTORY_ROWS_MAX,
    KEYS_PER_CELL_MAX,
};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use yagura_event::Lang;

/// A CSV and what it is called in messages.
pub(crate) struct Source<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) bytes: &'a [u8],
}

/// Where a line is wrong.
struct Wrong {
    line: u64,
    column: String,
    fault: Fault,
}

impl Wrong {
    fn line(line: u64, en: impl Into<String>, ja: impl Into<String>) -> Self {
        Wrong { line, column: String::new(), fault: Fault::new(en, ja) }
    }
}

impl Inventory {
    /// Reads an inventory from one CSV, which errors call `name`.
    ///
    /// # Errors
    ///
    /// Names the first line that is wrong, its column, and the remedy.
    pub fn read(kind: Kind, name: &str, bytes: &[u8]) -> Result<Inventory, EnrichError> {
        Inventory::read_all(kind, [Source { name: name.into(), bytes }])
    }

    pub(crate) fn read_all<'a>(
        kind: Kind,
        sources: impl IntoIterator<Item = Source<'a>>,
    ) -> Result<Inventory, EnrichError> {
        let mut reading = Reading {
            inventory: Inventory::new(kind),
            texts: HashMap::default(),
            lines: Vec::new(),
            files: Vec::new(),
        };
        for source in sources {
            if source.bytes.len() as u64 > INVENTORY_BYTES_MAX {
                let path = Path::new(&*source.name).to_owned();
                return Err(EnrichError::TooLarge { path, bytes_max: INVENTORY_BYTES_MAX });
            }
            reading.files.push(source.name.to_string());
            reading.read(source.bytes).map_err(|wrong| EnrichError::Inventory {
                file: source.name.to_string(),
                line: wrong.line,
                column: wrong.column,
                fault: wrong.fault,
            })?;
        }
        let mut inventory = reading.inventory;
        inventory.find_short_names();
        Ok(inventory)
    }

    /// A machine that is listed with its domain is also found by its short name, unless another is
    /// called so, too.
    fn find_short_names(&mut self) {
        if self.kind != Kind::Assets {
            return;
        }
        let Some(names) = self.keys.get(Key::Name as usize) else { return };
        for (name, row) in names {
            if let Some((short, _)) = name.split_once('.') {
                self.short
                    .entry(short.into())
                    .and_modify(|known| {
                        if *known != Some(*row) {
                            *known = None;
                        }
                    })
                    .or_insert(Some(*row));
            }
        }
    }
}

struct Reading {
    inventory: Inventory,
    /// Every text once: departments and owners repeat.
    texts: HashMap<Arc<str>, (), RandomState>,
    /// The file and line of each row.
    lines: Vec<(usize, u64)>,
    files: Vec<String>,
}

/// A column that is known, and where it is.
struct Used {
    at: usize,
    name: String,
    becomes: Use,
}

impl Reading {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        let text = text_of(bytes)?;
        let header_line = text.lines().next().unwrap_or_default();
        // The mark that occurs most in the header.
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .rev()
            .max_by_key(|mark| header_line.bytes().filter(|byte| byte == mark).count())
            .unwrap_or(b',');
        // Before the reader does: it takes in a whole record before it can be asked how wide it is.
        check_widths(&text, delimiter)?;
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let mut columns: Option<(Vec<Used>, usize)> = None;
        loop {
            let more = rows.read_record(&mut record).map_err(|error| {
                let line = error.position().map_or(1, csv::Position::line);
                Wrong::line(
                    line,
                    format!("no CSV: {error}"),
                    format!("CSVとして読めません: {error}"),
                )
            })?;
            if !more {
                break;
            }
            let line = record.position().map_or(1, csv::Position::line);
            match &columns {
                None => columns = Some((self.header(line, &record)?, record.len())),
                // What spreadsheets leave below the last row.
                Some(_) if record.iter().all(str::is_empty) => {}
                Some((columns, width)) => {
                    if record.len() > *width {
                        return Err(Wrong::line(
                            line,
                            format!(
                                "{} cells, where the header has {width}; put a cell with a \
                                 separator in it between double quotes",
                                record.len()
                            ),
                            format!(
                                "見出しの{width}列に対してセルが{}個あります。区切り文字を含むセルは二重引用符で囲んでください",
                                record.len()
                            ),
                        ));
                    }
                    self.row(line, &record, columns)?;
                }
            }
        }
        match columns {
            Some(_) => Ok(()),
            None => Err(self.no_key(1)),
        }
    }

    fn no_key(&self, line: u64) -> Wrong {
        let wanted = match self.inventory.kind {
            Kind::Users => "name, sid, email",
            Kind::Assets => "name, ip",
        };
        Wrong::line(
            line,
            format!("the header names none of the columns {wanted}; at least one is needed"),
            format!("見出しに列 {wanted} のどれもありません。少なくとも一つ必要です"),
        )
    }

    fn header(&mut self, line: u64, record: &csv::StringRecord) -> Result<Vec<Used>, Wrong> {
        let mut used: Vec<Used> = Vec::new();
        for (at, cell) in record.iter().enumerate() {
            let name = cell.to_lowercase();
            let known = self.inventory.kind.columns().iter();
            let Some(column) = known.into_iter().find(|column| column.names.contains(&&*name))
            else {
                if !cell.is_empty() && !self.inventory.ignored.iter().any(|known| known == cell) {
                    self.inventory.ignored.push(cell.chars().take(64).collect());
                }
                continue;
            };
            let is_key = matches!(column.becomes, Use::Key(_));
            if let Some(other) = used.iter().find(|o| o.becomes == column.becomes)
                && !is_key
            {
                return Err(Wrong {
                    line,
                    column: cell.to_owned(),
                    fault: Fault::new(
                        format!("it says the same as the column {:?}; leave one out", other.name),
                        format!("{}列と同じ意味の列です。どちらかを外してください", other.name),
                    ),
                });
            }
            used.push(Used { at, name: cell.to_owned(), becomes: column.becomes });
        }
        match used.iter().any(|column| matches!(column.becomes, Use::Key(_))) {
            true => Ok(used),
            false => Err(self.no_key(line)),
        }
    }

    fn row(
        &mut self,
        line: u64,
        record: &csv::StringRecord,
        columns: &[Used],
    ) -> Result<(), Wrong> {
        let number = self.inventory.rows.len();
        if number >= INVENTORY_ROWS_MAX {
            return Err(Wrong::line(
                line,
                format!("more than {INVENTORY_ROWS_MAX} rows; leave some out"),
                format!("{INVENTORY_ROWS_MAX}行を超えています。減らしてください"),
            ));
        }
        let number = RowNumber::try_from(number).unwrap_or(RowNumber::MAX);
        self.lines.push((self.files.len().saturating_sub(1), line));
        let mut row: Row = vec![None; self.inventory.kind.fields().len()].into();
        let mut is_findable = false;
        for column in columns {
            let cell = record.get(column.at).unwrap_or_default();
            if cell.is_empty() {
                continue;
            }
            let wrong = |fault| Wrong { line, column: column.name.clone(), fault };
            if cell.len() > CELL_BYTES_MAX {
                return Err(wrong(Fault::new(
                    format!("more than {CELL_BYTES_MAX} bytes; shorten it"),
                    format!("{CELL_BYTES_MAX}バイトを超えています。短くしてください"),
                )));
            }
            match column.becomes {
                Use::Key(key) => {
                    is_findable |= self.keys(number, key, cell, &mut row).map_err(wrong)?;
                }
                Use::Text(at) => self.set(&mut row, at, cell),
                Use::Flag(at) => {
                    let flag = flag(cell).map_err(wrong)?;
                    self.set(&mut row, at, if flag { "true" } else { "false" });
                }
                Use::Criticality(at) => {
                    let word = criticality(cell).map_err(wrong)?;
                    self.set(&mut row, at, word);
                }
            }
        }
        if !is_findable {
            let wrong = self.no_key(line);
            return Err(Wrong {
                fault: Fault::new(
                    "nothing to find it by: fill in one of the key columns, or remove the line",
                    "照合に使う列がすべて空です。どれかを埋めるか、行を消してください",
                ),
                ..wrong
            });
        }
        self.inventory.rows.push(row);
        Ok(())
    }

    /// Notes by what a row is found. Answers whether there is anything.
    fn keys(
        &mut self,
        number: RowNumber,
        key: Key,
        cell: &str,
        row: &mut Row,
    ) -> Result<bool, Fault> {
        let is_asset = self.inventory.kind == Kind::Assets;
        // As asset names are looked up. An account may well end in a dot.
        let bare = |key: &'_ str| -> usize {
            if is_asset { key.trim_end_matches('.').len() } else { key.len() }
        };
        let keys = cell.split(';').map(str::trim).filter(|key| bare(key) > 0);
        let mut any = false;
        for (count, text) in keys.enumerate() {
            any = true;
            if count >= KEYS_PER_CELL_MAX {
                return Err(Fault::new(
                    format!("it lists more than {KEYS_PER_CELL_MAX}; make it two rows"),
                    format!("{KEYS_PER_CELL_MAX}個を超えて並んでいます。行を分けてください"),
                ));
            }
            let bare = text.get(..bare(text)).unwrap_or(text);
            let address = crate::network::address(bare);
            // A machine without a name is often listed by its address.
            let known = if key == Key::Address || (is_asset && address.is_some()) {
                let address = address.ok_or_else(|| {
                    Fault::new(
                        format!("{text:?} is no address such as 10.1.2.3; put ';' between several"),
                        format!(
                            "{text:?} はIPアドレスとして読めません（例: 10.1.2.3。複数は「;」で区切ります）"
                        ),
                    )
                })?;
                let known = self.inventory.addresses.get(&address).copied();
                self.inventory.addresses.entry(address).or_insert(number);
                known
            } else {
                let Some(of_key) = self.inventory.keys.get_mut(key as usize) else { continue };
                let lower: Box<str> = bare.to_lowercase().into();
                let known = of_key.get(&lower).copied();
                of_key.entry(lower).or_insert(number);
                known
            };
            if let Some(other) = known.filter(|other| *other != number) {
                let (file, line) = self.lines.get(other as usize).copied().unwrap_or_default();
                let file = self.files.get(file).map_or("", String::as_str);
                return Err(Fault::new(
                    format!("{text:?} is also at line {line} of {file}; keep one of them"),
                    format!("{text:?} は {file} の{line}行目にもあります。片方だけ残してください"),
                ));
            }
            // The first name is what the asset is called.
            if key == Key::Name && is_asset && matches!(row.first(), Some(None)) {
                self.set(row, 0, text);
            }
        }
        Ok(any)
    }

    fn set(&mut self, row: &mut Row, at: usize, text: &str) {
        let shared = match self.texts.get_key_value(text) {
            Some((known, ())) => known.clone(),
            None => {
                let text: Arc<str> = text.into();
                self.texts.insert(text.clone(), ());
                text
            }
        };
        if let Some(value) = row.get_mut(at) {
            *value = Some(shared);
        }
    }
}

/// Refuses a record of more cells than an inventory has columns. Cells end where the CSV reader ends
/// them: double quotes count at the beginning of a cell only.
fn check_widths(text: &str, delimiter: u8) -> Result<(), Wrong> {
    #[derive(PartialEq)]
    enum At {
        Start,
        Bare,
        Quoted,
        /// A quote within quotes: the end of them, or half of a pair.
        Quote,
    }
    let (mut at, mut cells, mut line, mut began) = (At::Start, 1usize, 1u64, 1u64);
    for byte in text.bytes() {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (At::Start, b'"') | (At::Quote, b'"') => At::Quoted,
            (_, b'\r' | b'\n') => {
                cells = 1;
                At::Start
            }
            (_, byte) if byte == delimiter => {
                cells += 1;
                At::Start
            }
            _ => At::Bare,
        };
        line += u64::from(byte == b'\n');
        if at == At::Start && cells == 1 {
            began = line;
        }
        if cells > INVENTORY_COLUMNS_MAX {
            return Err(Wrong::line(
                began,
                format!("more than {INVENTORY_COLUMNS_MAX} columns; leave some out"),
                format!("列が{INVENTORY_COLUMNS_MAX}を超えています。減らしてください"),
            ));
        }
    }
    Ok(())
}

fn flag(cell: &str) -> Result<bool, Fault> {
    match cell.to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "x" | "はい" | "有" | "あり" | "○" | "〇" => Ok(true),
        "false" | "no" | "n" | "0" | "-" | "いいえ" | "無" | "なし" | "×" => Ok(false),
        _ => Err(Fault::new(
            format!("{cell:?} is neither yes nor no"),
            format!("{cell:?} は yes か no のどちらかで書いてください"),
        )),
    }
}

fn criticality(cell: &str) -> Result<&'static str, Fault> {
    let lower = cell.to_lowercase();
    let known = CRITICALITIES.iter().find(|(_, words)| words.contains(&&*lower));
    known.map(|(word, _)| *word).ok_or_else(|| {
        Fault::new(
            format!("{cell:?} is none of low, medium, high and critical"),
            format!("{cell:?} は low・medium・high・critical のどれかで書いてください"),
        )
    })
}

/// The text of a file that a spreadsheet wrote.
fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, Wrong> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let not_utf8 = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => return Ok(text.into()),
        Ok(text) => text.find('\0').unwrap_or_default(),
        Err(error) => error.valid_up_to(),
    };
    let japanese = encoding_rs::SHIFT_JIS;
    match japanese.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) if !text.contains('\0') => Ok(text),
        _ => {
            let before = bytes.get(..not_utf8).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            Err(Wrong::line(
                line,
                "neither UTF-8 nor Shift_JIS; save it as CSV in UTF-8",
                "UTF-8でもShift_JISでもありません。CSV（UTF-8）で保存し直してください",
            ))
        }
    }
}

impl EnrichError {
    /// The message in both languages, English first.
    pub fn texts(&self) -> (String, String) {
        (self.text(Lang::En), self.text(Lang::Ja))
    }
}
