use yagura_event::Words;

/// Content (mappings, sentences) that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NormalizeError {
    /// Not the TOML we expect; the source names line and column.
    #[error("{file}: {source}")]
    Syntax {
        /// The file below `content/`.
        file: String,
        /// What is wrong, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Fields that cannot be used.
    #[error(transparent)]
    Fields(#[from] yagura_event::DictionaryError),
    /// More than the limits allow.
    #[error("{file}: {reason}")]
    TooMuch {
        /// The file.
        file: String,
        /// What there is too much of, how much there may be, and what to do.
        reason: String,
    },
    /// Well-formed, but it means nothing.
    #[error("{file}: {entry}: {reason}")]
    Meaning {
        /// The file below `content/`.
        file: String,
        /// Which entry: its number within its list, and its text.
        entry: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

impl NormalizeError {
    /// The same in both languages. What is wrong in an entry is quoted.
    pub fn words(&self) -> Words {
        let ja = match self {
            NormalizeError::Syntax { file, source } => {
                format!("{file}: 書式に誤りがあります\n{source}")
            }
            NormalizeError::Fields(error) => format!("項目の定義に誤りがあります（{error}）"),
            NormalizeError::TooMuch { file, reason } => {
                format!("{file}: 上限を超えています（{reason}）")
            }
            NormalizeError::Meaning { file, entry, reason } => {
                format!("{file}: {entry}: この定義は使えません（{reason}）")
            }
        };
        Words::new(self.to_string(), ja)
    }
}
