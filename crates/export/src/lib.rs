//! Rows of an answer as a file that other tools read: Parquet, CSV, JSON lines, or OCSF.
//!
//! Rows come one by one and leave as they come; only Parquet, whose columns must be known before
//! its first row, keeps them in a compressed temporary file without a name until the last has come.
//! Memory is bounded whatever the number of rows. Log contents are hostile here too: no cell of a CSV
//! becomes a formula, and a source cannot choose the class or the envelope of an OCSF event.
//!
//! ```
//! use yagura_export::{Exporter, ExportOptions, Format};
//! let options = ExportOptions { format: Format::Csv, ..ExportOptions::default() };
//! let mut export = Exporter::new(Vec::new(), options)?;
//! export.write(serde_json::from_str(r#"{"host.name":"=1+1","n":2}"#).unwrap())?;
//! let (file, rows) = export.finish()?;
//! assert_eq!((file.as_slice(), rows), (b"host.name,n\r\n'=1+1,2\r\n".as_slice(), 1));
//! # Ok::<(), yagura_export::ExportError>(())
//! ```

#![forbid(unsafe_code)]

mod csv_text;
mod error;
mod exporter;
mod flat;
mod format;
pub mod limits;
mod ocsf;
mod parquet_file;

pub use csv_text::{csv_cell, csv_record, plain};
pub use error::ExportError;
pub use exporter::{ExportOptions, Exporter};
pub use flat::{FEW_COLUMNS, SENTENCE, flat_event};
pub use format::Format;
pub use ocsf::{OCSF_VERSION, Ocsf};
pub use parquet_file::from_base64;

/// One row: names and values, in order.
pub type Row = serde_json::Map<String, serde_json::Value>;
