use yagura_event::Words;

/// An export that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// What the rows are written to, or the temporary file they wait in.
    #[error("the export could not be written")]
    Io(#[from] std::io::Error),
    /// The Parquet writer.
    #[error("the Parquet file could not be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Columns could not be made.
    #[error("the columns of the Parquet file could not be made")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A row without `event.id` has no place in OCSF.
    #[error(
        "OCSF is for events, and this row is none (it has no event.id): leave out stats and other \
         commands that make a table, or export as jsonl, csv or parquet"
    )]
    NoEvent,
    /// Rows wait on disk for the columns of a Parquet file, up to a limit.
    #[error(
        "more rows than a Parquet export may keep waiting ({0} bytes, compressed): ask about a \
         shorter time, or export as jsonl"
    )]
    TooMuch(u64),
}

impl ExportError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            ExportError::Io(error) => {
                format!("エクスポートを書き込めません（{}）", Words::from(error).ja())
            }
            ExportError::Parquet(error) => format!("Parquetファイルを書き込めません（{error}）"),
            ExportError::Arrow(error) => format!("Parquetファイルの列を作れません（{error}）"),
            ExportError::NoEvent => {
                "OCSF はイベントのための形式で、この行はイベントではありません（event.id がありません）。\
                 stats など表を作るコマンドを外すか、jsonl、csv、parquet で書き出してください"
                    .to_owned()
            }
            ExportError::TooMuch(bytes) => format!(
                "Parquetに書き出す行が一時ファイルの上限（圧縮後 {bytes} バイト）を超えました。期間を\
                 短くするか、jsonl で書き出してください"
            ),
        };
        Words::new(self.to_string(), ja)
    }
}
