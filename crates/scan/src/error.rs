use std::io;

/// Why a scan could not be made, or its findings not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Temporary files could not be written or read.
    #[error(
        "findings could not be kept in a temporary file: {0}; free space there, name another folder \
         with TMPDIR, or keep fewer with --min-level"
    )]
    Spill(#[source] io::Error),
    /// The output could not be written.
    #[error("the findings could not be written")]
    Write(#[source] io::Error),
    /// What the program holds of mappings, sentences or templates is wrong.
    #[error("the content built into the program is wrong: {0}")]
    Content(String),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}
