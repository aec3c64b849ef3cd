use std::path::PathBuf;
use yagura_event::{Lang, Words};

/// Why the node could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The caller asked for something that cannot be right. Shown to the caller.
    #[error("{message}{}", place.as_ref().map(|place| format!("\n{place}")).unwrap_or_default())]
    Request {
        /// In English.
        message: String,
        /// In Japanese.
        message_ja: String,
        /// Where in the input, such as the query with a caret under the place.
        place: Option<String>,
    },
    /// There is no such event or alert. Shown to the caller.
    #[error("{message}")]
    NotFound {
        /// In English.
        message: String,
        /// In Japanese.
        message_ja: String,
    },
    /// What may be right at another moment: too much is going on. Shown to the caller.
    #[error("{message}")]
    Busy {
        /// In English.
        message: String,
        /// In Japanese.
        message_ja: String,
    },
    /// Somebody ended the search.
    #[error("the search was cancelled")]
    Cancelled,
    /// A rule file or directory could not be read.
    #[error("rules: {}: {reason}", path.display())]
    Rules {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: Words,
    },
    /// Our own content, embedded in the binary, is wrong.
    #[error("embedded content: {0}")]
    Content(String),
    /// The journal refused or failed.
    #[error(transparent)]
    Journal(#[from] yagura_journal::JournalError),
    /// The ledger refused or failed.
    #[error(transparent)]
    Ledger(#[from] yagura_ledger::LedgerError),
    /// The lake refused or failed.
    #[error(transparent)]
    Lake(#[from] yagura_lake::LakeError),
    /// A query failed for a reason that is not the caller's.
    #[error(transparent)]
    Query(yagura_query::QueryError),
    /// A file of rows could not be written.
    #[error(transparent)]
    Export(yagura_export::ExportError),
    /// A file operation of our own failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A backup, a restore, or how the logs of a restored directory go on.
    #[error("{0}")]
    Backup(Words),
    /// The file of a pin that is not what was written, or an event that cannot be pinned because it does
    /// not lead to the root of its batch. Shown to the caller.
    #[error("{0}")]
    Pin(Words),
    /// The audit log did not take what was to be recorded.
    #[error("not recorded: {0}")]
    NotRecorded(String),
    /// A part of the node has stopped; its log says why.
    #[error("{0} has stopped; restart Yagura, its log says why")]
    Stopped(&'static str),
}

impl NodeError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            NodeError::Request { message_ja, place, .. } => {
                let place = place.as_ref().map(|place| format!("\n{place}")).unwrap_or_default();
                format!("{message_ja}{place}")
            }
            NodeError::NotFound { message_ja, .. } | NodeError::Busy { message_ja, .. } => {
                message_ja.clone()
            }
            NodeError::Cancelled => "検索は取り消されました".to_owned(),
            NodeError::Rules { path, reason } => {
                format!("{}: ルールを読めません（{}）", path.display(), reason.ja())
            }
            NodeError::Content(reason) => {
                format!("プログラム内蔵の定義に誤りがあります（{reason}）")
            }
            NodeError::Journal(error) => return error.words(),
            NodeError::Ledger(error) => return error.words(),
            NodeError::Lake(error) => return error.words(),
            NodeError::Query(error) => error.render(Lang::Ja),
            NodeError::Export(error) => return error.words(),
            NodeError::Backup(words) | NodeError::Pin(words) => return words.clone(),
            NodeError::Io { path, source } => {
                format!("{} を読み書きできません（{}）", path.display(), Words::from(source).ja())
            }
            NodeError::NotRecorded(reason) => {
                format!("監査ログに記録できないため、実行していません（{reason}）")
            }
            NodeError::Stopped(_) => {
                "Yagura の処理の一部が停止しています。起動し直してください（理由はログにあります）"
                    .to_owned()
            }
        };
        Words::new(self.to_string(), ja)
    }

    /// Whether a file could not be had from its cold store. Shown to the caller.
    pub fn is_of_a_cold_store(&self) -> bool {
        matches!(self, NodeError::Lake(yagura_lake::LakeError::Cold { .. }))
    }

    /// A wrong request, in both languages.
    pub fn request(message: impl Into<String>, message_ja: impl Into<String>) -> Self {
        NodeError::Request { message: message.into(), message_ja: message_ja.into(), place: None }
    }
}
