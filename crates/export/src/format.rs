use std::str::FromStr;

/// What a file of rows looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Apache Parquet, zstd.
    Parquet,
    /// RFC 4180 with a header, UTF-8; cells that a spreadsheet would run get a leading apostrophe.
    Csv,
    /// One JSON object a line, with ECS names.
    #[default]
    Jsonl,
    /// One OCSF event a line, as JSON.
    Ocsf,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Parquet, Format::Csv, Format::Jsonl, Format::Ocsf];

    /// As commands and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Jsonl => "jsonl",
            Format::Ocsf => "ocsf",
        }
    }

    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ocsf => "ocsf.jsonl",
            other => other.as_str(),
        }
    }

    /// The media type: as IANA registers it, and for JSON lines as they are commonly called.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Jsonl | Format::Ocsf => "application/x-ndjson",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Format::ALL.into_iter().find(|format| format.as_str() == text).ok_or(())
    }
}
