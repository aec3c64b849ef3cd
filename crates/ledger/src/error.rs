use crate::{HeaderError, NoteError};
use std::io;
use std::path::{Path, PathBuf};
use yagura_event::Words;

/// Why a log or a key cannot be used. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The machine refused a file operation; trying again later may help.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, such as `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The machine's reason.
        #[source]
        source: io::Error,
    },
    /// A file of the log is not what the log wrote.
    #[error("{} is damaged: {what}; restore it from a copy, `yagura verify` lists all damage", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A checkpoint that this key did not sign, or that was changed.
    #[error("{}: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: NoteError,
    },
    /// The log is older than what its key has signed already, as after restoring an old backup.
    #[error(
        "{} goes back before a checkpoint signed already (the history holds size {signed}, the log \
         has {found}); signing on would make a second history: restore the newest copy",
        path.display()
    )]
    Rollback {
        /// The checkpoint file.
        path: PathBuf,
        /// Size signed already.
        signed: u64,
        /// Size found.
        found: u64,
    },
    /// The key's name is not the log's origin.
    #[error("the key is of log {key:?}, the log is {origin:?}; use the key made with this log")]
    Origin {
        /// The log's origin.
        origin: String,
        /// The key's name.
        key: String,
    },
    /// A header that breaks its rules, or is of another log.
    #[error("batch {batch} cannot be appended: {source}")]
    Header {
        /// The batch.
        batch: u64,
        /// The rule.
        #[source]
        source: HeaderError,
    },
    /// A header that does not follow the last one of its stream.
    #[error(
        "batch {batch} cannot be appended: its stream_prev is {found}, the last header of its \
         stream is {expected}"
    )]
    StreamPrev {
        /// The batch.
        batch: u64,
        /// The stream's tail in the log.
        expected: String,
        /// What the header says.
        found: String,
    },
    /// The log already has another header for this batch.
    #[error("batch {batch} is in the log already, with other contents (leaf {leaf})")]
    BatchTaken {
        /// The batch.
        batch: u64,
        /// Where the log has it.
        leaf: u64,
    },
    /// There is no such header, or no checkpoint covers it yet.
    #[error("leaf {leaf} is not in the log (size {size}); publish first if it was just appended")]
    NoSuchLeaf {
        /// The leaf index asked for.
        leaf: u64,
        /// Headers the log (or its checkpoint) has.
        size: u64,
    },
    /// The new tree does not continue the signed one: the memory or the disk is failing.
    #[error("refused to sign {}: the tree no longer continues the last checkpoint", path.display())]
    Inconsistent {
        /// The log directory.
        path: PathBuf,
    },
    /// A key file that was changed or is not one.
    #[error("{} is not a signing key in order: {what}; restore it from a copy", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl LedgerError {
    /// The same in both languages. What is found wrong with a file is quoted.
    pub fn words(&self) -> Words {
        let ja = match self {
            LedgerError::Io { path, source, .. } => {
                format!("{} を読み書きできません（{}）", path.display(), Words::from(source).ja())
            }
            LedgerError::Damaged { path, what } => format!(
                "{} が壊れています（{what}）。コピーから戻してください。壊れた箇所は yagura verify で\
                 すべて分かります",
                path.display()
            ),
            LedgerError::Checkpoint { path, source } => {
                format!("{} は正しいチェックポイントではありません（{source}）", path.display())
            }
            LedgerError::Rollback { path, signed, found } => format!(
                "{} が署名済みのチェックポイントより古くなっています（署名済み{signed}件、台帳{found}件）。\
                 このまま署名すると履歴が分かれるため、最も新しいコピーに戻してください",
                path.display()
            ),
            LedgerError::Origin { origin, key } => format!(
                "鍵は {key:?} のもので、台帳は {origin:?} です。この台帳と一緒に作られた鍵を使ってください"
            ),
            LedgerError::Header { batch, source } => {
                format!("バッチ{batch}を台帳に加えられません（{source}）")
            }
            LedgerError::StreamPrev { batch, expected, found } => format!(
                "バッチ{batch}を台帳に加えられません（stream_prev は {found}、ストリームの最後のヘッダーは \
                 {expected}）"
            ),
            LedgerError::BatchTaken { batch, leaf } => {
                format!("バッチ{batch}は、別の内容ですでに台帳にあります（リーフ{leaf}）")
            }
            LedgerError::NoSuchLeaf { leaf, size } => format!(
                "リーフ{leaf}は台帳にありません（全{size}件）。加えたばかりなら、先に公開してください"
            ),
            LedgerError::Inconsistent { path } => format!(
                "{} に署名しません。直前のチェックポイントの続きになっていないためです",
                path.display()
            ),
            LedgerError::Key { path, what } => format!(
                "{} は署名鍵として使えません（{what}）。コピーから戻してください",
                path.display()
            ),
        };
        Words::new(self.to_string(), ja)
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
        let path = path.to_owned();
        move |source| LedgerError::Io { action, path, source }
    }

    pub(crate) fn damaged(path: PathBuf, what: &'static str) -> LedgerError {
        LedgerError::Damaged { path, what }
    }
}
