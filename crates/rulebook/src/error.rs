use std::path::{Path, PathBuf};
use yagura_event::Words;

/// Why rules, or what belongs to them, could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulebookError {
    /// A file or directory could not be read, written or understood.
    #[error("{}: {reason}", path.display())]
    Place {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: Words,
    },
    /// Our own content, embedded in the binary, is wrong.
    #[error("embedded content: {0}")]
    Content(String),
    /// There is no earlier version to go back to.
    #[error("{}: there is no earlier version to go back to", .0.display())]
    NoEarlierVersion(PathBuf),
}

impl RulebookError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            RulebookError::Place { path, reason } => format!("{}: {}", path.display(), reason.ja()),
            RulebookError::Content(reason) => {
                format!("プログラム内蔵の定義に誤りがあります（{reason}）")
            }
            RulebookError::NoEarlierVersion(path) => {
                format!("{}: 戻せる前の版がありません", path.display())
            }
        };
        Words::new(self.to_string(), ja)
    }

    /// A file that others cannot read as what it should be: what they say is quoted.
    pub(crate) fn not_read(path: &Path, said: &dyn std::fmt::Display) -> RulebookError {
        let said = said.to_string();
        let ja = format!("内容に誤りがあります（{said}）");
        RulebookError::at(path, Words::new(said, ja))
    }

    pub(crate) fn at(path: &Path, reason: impl Into<Words>) -> RulebookError {
        RulebookError::Place { path: path.to_owned(), reason: reason.into() }
    }
}
