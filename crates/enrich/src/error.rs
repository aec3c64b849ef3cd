use std::path::PathBuf;
use yagura_event::Lang;

/// Why a database, a network or an inventory cannot be used: where, what, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrichError {
    /// A file could not be read.
    #[error("{}: {source}; check the path and who may read it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is there is no file but a directory, a FIFO or a device.
    #[error("{}: it is no regular file; name one", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// A file is larger than any that is meant to be here.
    #[error("{}: it has more than {bytes_max} bytes; name a smaller one", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// A file is no address database.
    #[error("{}: it is no MaxMind DB file ({reason}); download it again", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A database says other things than the key it was given for.
    #[error("{}: it is a database of type {found:?}, which says nothing for `{key}`", path.display())]
    OtherDatabase {
        /// The file.
        path: PathBuf,
        /// The key of the configuration: `city`, `country` or `asn`.
        key: &'static str,
        /// What the database says it is.
        found: String,
    },
    /// A network of the configuration is wrong.
    #[error("[[enrich.network]] number {number}: {}", fault.text(Lang::En))]
    Network {
        /// Which network, counted from 1.
        number: usize,
        /// What is wrong, in both languages.
        fault: Fault,
    },
    /// A line of an inventory is wrong.
    #[error("{file}: line {line}{}: {}", of_column(column, Lang::En), fault.text(Lang::En))]
    Inventory {
        /// The file, or who sent it.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// The column's name as the header spells it; empty where the whole line is meant.
        column: String,
        /// What is wrong, in both languages.
        fault: Fault,
    },
    /// More files than one inventory may have.
    #[error("enrich.inventory.{kind}: {files} files are more than {max}; join some")]
    TooManyFiles {
        /// `users` or `assets`.
        kind: &'static str,
        /// How many there are.
        files: usize,
        /// The limit.
        max: usize,
    },
}

/// What is wrong, in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    en: String,
    ja: String,
}

impl Fault {
    pub(crate) fn new(en: impl Into<String>, ja: impl Into<String>) -> Self {
        Fault { en: en.into(), ja: ja.into() }
    }

    /// In one language.
    pub fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.ja,
            Lang::En => &self.en,
        }
    }
}

fn of_column(column: &str, lang: Lang) -> String {
    match lang {
        _ if column.is_empty() => String::new(),
        Lang::En => format!(", column {column:?}"),
        Lang::Ja => format!("、{column}列"),
    }
}

impl EnrichError {
    /// In the language of a person.
    pub fn text(&self, lang: Lang) -> String {
        if lang == Lang::En {
            return self.to_string();
        }
        match self {
            EnrichError::Io { path, source } => {
                format!("{}: {source}。パスと読み取り権限を確かめてください", path.display())
            }
            EnrichError::NoFile { path } => {
                format!(
                    "{}: 通常のファイルではありません。ファイルを指定してください",
                    path.display()
                )
            }
            EnrichError::TooLarge { path, bytes_max } => format!(
                "{}: {bytes_max}バイトを超えています。小さいファイルを指定してください",
                path.display()
            ),
            EnrichError::Database { path, reason } => format!(
                "{}: MaxMind DB 形式ではありません（{reason}）。もう一度ダウンロードしてください",
                path.display()
            ),
            EnrichError::OtherDatabase { path, key, found } => format!(
                "{}: {found:?} のデータベースです。`{key}` の内容を持っていません",
                path.display()
            ),
            EnrichError::Network { number, fault } => {
                format!("[[enrich.network]] の{number}番目: {}", fault.ja)
            }
            EnrichError::Inventory { file, line, column, fault } => {
                format!("{file}: {line}行目{}: {}", of_column(column, Lang::Ja), fault.ja)
            }
            EnrichError::TooManyFiles { kind, files, max } => format!(
                "enrich.inventory.{kind}: ファイルが{files}個あり、上限の{max}個を超えています。まとめてください"
            ),
        }
    }
}
