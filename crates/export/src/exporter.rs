use crate::csv_text::{csv_cell, csv_record};
use crate::flat::{FEW_COLUMNS, flat_event};
use crate::parquet_file::Spool;
use crate::{ExportError, Format, Ocsf, Row};
use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::{FieldDictionary, Lang};

/// How rows are written.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The format.
    pub format: Format,
    /// Columns, in order; none for all (of a CSV: few of events, and of others those of the first row).
    /// OCSF has its own.
    pub columns: Vec<String>,
    /// The language of `yagura.sentence`.
    pub lang: Lang,
    /// What fields are called elsewhere, and their types.
    pub dictionary: Arc<FieldDictionary>,
    /// Where rows of a Parquet file wait for its columns. The file there has no name and goes with the
    /// process.
    pub scratch: PathBuf,
}

impl Default for ExportOptions {
    fn default() -> Self {
        ExportOptions {
            format: Format::default(),
            columns: Vec::new(),
            lang: Lang::default(),
            dictionary: Arc::new(FieldDictionary::default()),
            scratch: std::env::temp_dir(),
        }
    }
}

/// Writes rows as they come.
pub struct Exporter<W: Write + Send> {
    out: W,
    columns: Vec<String>,
    lang: Lang,
    rows: u64,
    kind: Kind,
}

enum Kind {
    Parquet(Box<Spool>),
    Csv,
    Jsonl,
    Ocsf(Ocsf),
}

impl<W: Write + Send> Exporter<W> {
    /// An export of no rows yet.
    ///
    /// # Errors
    /// [`ExportError::Io`] where there is no place for rows to wait.
    pub fn new(out: W, options: ExportOptions) -> Result<Self, ExportError> {
        let ExportOptions { format, columns, lang, dictionary, scratch } = options;
        let kind = match format {
            Format::Parquet => Kind::Parquet(Box::new(Spool::new(&scratch, dictionary)?)),
            Format::Csv => Kind::Csv,
            Format::Jsonl => Kind::Jsonl,
            Format::Ocsf => Kind::Ocsf(Ocsf::new(dictionary)),
        };
        Ok(Exporter { out, columns, lang, rows: 0, kind })
    }

    /// Takes one row, as a search or a statement gives it.
    ///
    /// # Errors
    /// [`ExportError`]; what was written is no whole file then.
    pub fn write(&mut self, row: Row) -> Result<(), ExportError> {
        if let Kind::Ocsf(ocsf) = &self.kind {
            let event = ocsf.event(&row).ok_or(ExportError::NoEvent)?;
            self.rows += 1;
            return self.line(&event);
        }
        let is_event = row.contains_key("fields");
        let row = if is_event { flat_event(row, self.lang) } else { row };
        if self.columns.is_empty() && matches!(self.kind, Kind::Csv) {
            self.columns = match is_event {
                true => FEW_COLUMNS.into_iter().map(str::to_owned).collect(),
                false => row.keys().cloned().collect(),
            };
        }
        let picked = |mut row: Row| -> Row {
            let cell = |name: &String| (name.clone(), row.remove(name).unwrap_or(Value::Null));
            self.columns.iter().map(cell).collect()
        };
        let row = if self.columns.is_empty() { row } else { picked(row) };
        self.rows += 1;
        match &mut self.kind {
            Kind::Parquet(spool) => spool.add(&row),
            Kind::Csv => {
                if self.rows == 1 {
                    self.header()?;
                }
                let cells = self.columns.iter().map(|name| csv_cell(row.get(name)));
                Ok(csv_record(&mut self.out, cells)?)
            }
            Kind::Jsonl | Kind::Ocsf(_) => self.line(&row),
        }
    }

    /// Ends the file, and says how many rows it has.
    ///
    /// # Errors
    /// [`ExportError`]; what was written is no whole file then.
    pub fn finish(mut self) -> Result<(W, u64), ExportError> {
        match self.kind {
            Kind::Parquet(spool) => {
                let out = spool.write_to(self.out, &self.columns)?;
                return Ok((out, self.rows));
            }
            Kind::Csv if self.rows == 0 && !self.columns.is_empty() => self.header()?,
            _ => {}
        }
        self.out.flush()?;
        Ok((self.out, self.rows))
    }

    fn line(&mut self, row: &Row) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, row).map_err(std::io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn header(&mut self) -> Result<(), ExportError> {
        // A name may come from a log as well: `| stats count() by` takes any.
        let names = self.columns.iter().map(|name| csv_cell(Some(&Value::String(name.clone()))));
        let names: Vec<Cow<'static, str>> =
            names.zip(&self.columns).map(|(cell, name)| plain_name(cell, name)).collect();
        Ok(csv_record(&mut self.out, names.into_iter())?)
    }
}

/// `@timestamp` is a name everybody knows, and no formula.
fn plain_name(cell: Cow<'static, str>, name: &str) -> Cow<'static, str> {
    if name == "@timestamp" { name.to_owned().into() } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(format: Format, columns: &[&str], rows: &[Value]) -> String {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let options = ExportOptions { format, columns, ..ExportOptions::default() };
        let mut export = Exporter::new(Vec::new(), options).unwrap();
        for row in rows {
            export.write(row.as_object().unwrap().clone()).unwrap();
        }
        String::from_utf8(export.finish().unwrap().0).unwrap()
    }

    #[test]
    fn events_and_tables_are_written_as_asked() {
        let event = json!({
            "event.id": "s/1/0", "@timestamp": "2026-11-21T00:00:00Z", "event.dataset": "linux.auth",
            "sentence": { "ja": "田中", "en": "Tanaka" }, "fields": { "user.name": "=cmd()" },
            "event.original": "x",
        });
        assert_eq!(
            written(Format::Csv, &[], std::slice::from_ref(&event)),
            "@timestamp,event.dataset,host.name,user.name,yagura.sentence\r\n\
             2026-11-21T00:00:00Z,linux.auth,,'=cmd(),Tanaka\r\n"
        );
        assert_eq!(
            written(Format::Jsonl, &["user.name", "none"], std::slice::from_ref(&event)),
            "{\"user.name\":\"=cmd()\",\"none\":null}\n"
        );
        assert!(
            written(Format::Jsonl, &[], &[event]).contains("\"yagura.sentence.en\":\"Tanaka\"")
        );
        let table = [json!({ "=name": "a", "n": -1 }), json!({ "n": 2 })];
        assert_eq!(written(Format::Csv, &[], &table), "'=name,n\r\na,-1\r\n,2\r\n");
        assert_eq!(written(Format::Csv, &["a"], &[]), "a\r\n");
        assert_eq!(written(Format::Jsonl, &[], &[]), "");
    }

    #[test]
    fn a_row_of_a_table_has_no_place_in_ocsf() {
        let options = ExportOptions { format: Format::Ocsf, ..ExportOptions::default() };
        let mut export = Exporter::new(Vec::new(), options).unwrap();
        let refused = export.write(json!({ "n": 1 }).as_object().unwrap().clone());
        assert!(matches!(refused, Err(ExportError::NoEvent)));
    }
}
