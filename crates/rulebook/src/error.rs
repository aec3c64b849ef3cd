use std::path::{Path, PathBuf};

/// Why rules, or what belongs to them, could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulebookError {
    /// A file or directory could not be read, written or understood.
    #[error("{}: {reason}", path.display())]
    Place {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, in English.
        reason: String,
    },
    /// Our own content, embedded in the binary, is wrong.
    #[error("embedded content: {0}")]
    Content(String),
    /// There is no earlier version to go back to.
    #[error("{}: there is no earlier version to go back to", .0.display())]
    NoEarlierVersion(PathBuf),
}

impl RulebookError {
    pub(crate) fn at(path: &Path, reason: impl std::fmt::Display) -> RulebookError {
        RulebookError::Place { path: path.to_owned(), reason: reason.to_string() }
    }
}
