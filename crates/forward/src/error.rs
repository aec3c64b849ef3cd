use std::path::PathBuf;
use yagura_event::Words;

/// A target that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// What is asked of it cannot be right.
    #[error("forward {name:?}: {reason}")]
    Settings {
        /// The target.
        name: String,
        /// What is wrong, and what would be right.
        reason: Words,
    },
    /// A file of a token or of certificates.
    #[error("forward {name:?}: {}: {reason}", path.display())]
    File {
        /// The target.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Words,
    },
}

impl ForwardError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            ForwardError::Settings { name, reason } => format!("転送先 {name:?}: {}", reason.ja()),
            ForwardError::File { name, path, reason } => {
                format!("転送先 {name:?}: {}: {}", path.display(), reason.ja())
            }
        };
        Words::new(self.to_string(), ja)
    }
}
