use crate::limits::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX, PEER_BYTES_MAX, STREAMS_MAX};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::Words;
use yagura_event::limits::RECORD_BYTES_MAX;

/// Why the journal refused or failed. Nothing of a refused call is kept.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process writes to this directory.
    #[error(
        "{path} is in use by another process{holder}: stop it, or talk to it with --server",
        path = path.display(), holder = holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, where the kernel tells.
        holder: Option<u32>,
    },
    /// The disk is full. Nothing acknowledged is lost; the next call tries again.
    #[error(
        "no space left for {needed} bytes in {path}: free some space, writing then resumes by itself",
        path = path.display()
    )]
    DiskFull {
        /// The journal's directory.
        path: PathBuf,
        /// Bytes the refused group needs.
        needed: u64,
    },
    /// The queue is full: the sender should wait and repeat (HTTP 429).
    #[error("the journal's queue is full: send again a little later")]
    Full,
    /// The call carries too much at once.
    #[error(
        "{records} records of {bytes} bytes in one call: send at most {APPEND_RECORDS_MAX} records and {APPEND_BYTES_MAX} bytes at a time"
    )]
    AppendTooLarge {
        /// Records in the call.
        records: usize,
        /// Raw bytes in the call.
        bytes: usize,
    },
    /// One record, its peer or its identity is too long.
    #[error(
        "record {position} of the call is too long: at most {RECORD_BYTES_MAX} bytes, and {PEER_BYTES_MAX} each for peer and identity"
    )]
    RecordTooLarge {
        /// Position within the call, from 0.
        position: usize,
    },
    /// More different streams within a day than the journal keeps open.
    #[error("more than {STREAMS_MAX} streams in a day: let sources share stream names")]
    TooManyStreams,
    /// An earlier write or `fdatasync` failed, so what the disk holds is unknown until it is read
    /// again. Every call fails with this until the process is restarted.
    #[error("the journal stopped after {cause}: check the disk, then restart")]
    Poisoned {
        /// The first failure.
        cause: Arc<str>,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// A file could not be read or written when opening or verifying.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, such as `reading`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// The ledger refused what recovery or a seal had to append to it.
    #[error("the ledger does not accept sealed batches: {cause}")]
    Ledger {
        /// The ledger's own words.
        cause: Arc<str>,
    },
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        JournalError::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            JournalError::Locked { path, holder } => {
                let holder = holder.map(|pid| format!("（pid {pid}）")).unwrap_or_default();
                format!(
                    "{} は別のプロセス{holder}が使っています。そのプロセスを終了するか、--server で接続\
                     してください",
                    path.display()
                )
            }
            JournalError::DiskFull { path, needed } => format!(
                "{} のディスクに空きがありません（必要な空き: {needed}バイト）。空きができれば自動で\
                 再開します",
                path.display()
            ),
            JournalError::Full => {
                "ジャーナルの待ち行列がいっぱいです。少し待って送り直してください".to_owned()
            }
            JournalError::AppendTooLarge { records, bytes } => format!(
                "1回に{records}件、{bytes}バイトは多すぎます。{APPEND_RECORDS_MAX}件、\
                 {APPEND_BYTES_MAX}バイトまでに分けてください"
            ),
            JournalError::RecordTooLarge { position } => format!(
                "記録が長すぎます（{position}番目）。記録は{RECORD_BYTES_MAX}バイト、送信元は\
                 {PEER_BYTES_MAX}バイトまでです"
            ),
            JournalError::TooManyStreams => format!(
                "1日のストリームが{STREAMS_MAX}を超えました。送信元どうしでストリーム名を共有してください"
            ),
            JournalError::Poisoned { cause } => format!(
                "ジャーナルは停止しています（原因: {cause}）。ディスクを確かめてから起動し直してください"
            ),
            JournalError::Closed => "ジャーナルは閉じられています".to_owned(),
            JournalError::Io { path, source, .. } => {
                let why = Words::from(source.as_ref());
                format!("{} を読み書きできません（{}）", path.display(), why.ja())
            }
            JournalError::Ledger { cause } => format!("台帳に記録できません（{cause}）"),
        };
        Words::new(self.to_string(), ja)
    }
}

/// Whether an I/O error means "no space", as opposed to a broken disk.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
