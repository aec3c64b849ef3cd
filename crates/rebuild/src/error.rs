/// Why stored columns do not give a text back. Rows are counted from 0 within the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A column that is needed is missing or of a type that cannot hold it.
    #[error("column {0:?} is missing or not of a type this can read; read all columns of the file")]
    Column(String),
    /// A template cannot be read.
    #[error("row {row}: template damaged at byte {at}; restore the file from a copy")]
    Template {
        /// The row.
        row: usize,
        /// Where in the template.
        at: usize,
    },
    /// The values do not fit the template or the row's columns.
    #[error(
        "row {row}: slot {slot} of the template cannot be filled from the row's values and columns; \
         restore the file from a copy"
    )]
    Slot {
        /// The row.
        row: usize,
        /// The slot, counted from 0.
        slot: usize,
    },
    /// There are more values than slots.
    #[error("row {row}: values are left over; restore the file from a copy")]
    LeftOver {
        /// The row.
        row: usize,
    },
    /// The text would pass [`crate::limits::TEXT_BYTES_MAX`], which no text that was written does.
    #[error("row {row}: the text would be too long; restore the file from a copy")]
    TooLong {
        /// The row.
        row: usize,
    },
    /// The text must be UTF-8 and is not.
    #[error("row {row}: the text is not UTF-8; restore the file from a copy")]
    NotText {
        /// The row.
        row: usize,
    },
    /// The texts of the batch pass [`crate::limits::DECODED_BYTES_MAX`] together.
    #[error("{rows} rows are too much to rebuild at once; read fewer rows at a time")]
    TooMuch {
        /// Rows of the batch.
        rows: usize,
    },
    /// Arrow could not build a column.
    #[error("cannot build the columns: {0}")]
    Arrow(String),
}

impl From<arrow::error::ArrowError> for RebuildError {
    fn from(error: arrow::error::ArrowError) -> Self {
        RebuildError::Arrow(error.to_string())
    }
}
