use crate::cold::{ColdKind, ColdProblem};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use deltalake_core::DeltaTableError;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::{EventBatch, Words};

/// What can go wrong in the lake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// A file could not be read or written. The disk may be full or failing.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file does not decode: it was changed or damaged after it was written.
    /// Restore it from a copy; `yagura verify` names everything affected.
    #[error("{}: damaged Parquet file: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A file lies in a cold store, and cannot be had from there.
    #[error("{}: {}: {} ({})", path.display(), cold_en(problem.kind, store).0, problem.reason, cold_en(problem.kind, store).1)]
    Cold {
        /// The file, by its whole URL.
        path: PathBuf,
        /// The URL of the store.
        store: Arc<str>,
        /// What is the matter.
        problem: ColdProblem,
    },
    /// The settings of a cold store cannot be.
    #[error("cold store {url:?}: {}", words.en())]
    ColdSettings {
        /// Its URL.
        url: String,
        /// What is wrong, and the remedy.
        words: Words,
    },
    /// The table's log cannot be read or extended.
    #[error("{}: Delta log: {source}", path.display())]
    Delta {
        /// The table's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// A tag that we wrote beside a file in the Delta log does not have the expected form.
    #[error("{file}: tag {tag} of the Delta log is damaged: {value:?}")]
    Tag {
        /// The Parquet file the tag belongs to.
        file: String,
        /// Name of the tag.
        tag: &'static str,
        /// Its value.
        value: String,
    },
    /// A batch of events lacks a column every event has: a programming error of the caller.
    #[error("a batch of events lacks the column {0}, or it has another type")]
    Envelope(&'static str),
    /// Rows arrived for a batch after it was declared sealed: a programming error of the caller.
    #[error("batch {0} is already sealed; rows must be added before it is")]
    Sealed(u64),
    /// Rows that were to take the place of stored ones are of another record: a programming error of
    /// the caller. Nothing was changed.
    #[error("the new rows are not of the stored records: {0}")]
    NotTheRecord(String),
    /// A compaction's new files do not give back what was received. The old files stay.
    #[error("compaction: batch {batch} does not come back as it was received: {reason}")]
    NotVerified {
        /// The batch; 0 if it is none alone.
        batch: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that was to be compacted left the table meanwhile. Nothing was changed; try again.
    #[error("{0} left the table while it was compacted")]
    Outdated(String),
    /// Whoever looked on ended it. Nothing was changed.
    #[error("stopped on request")]
    Cancelled,
    /// A batch that is neither in memory nor in the table.
    #[error("batch {0} is not in the lake")]
    NoSuchBatch(u64),
    /// Arrow refused an operation.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// A query failed.
    #[error(transparent)]
    Query(#[from] DataFusionError),
}

impl LakeError {
    /// The same in both languages. What others say is quoted.
    pub fn words(&self) -> Words {
        let ja = match self {
            LakeError::Io { path, source } => {
                format!("{} を読み書きできません（{}）", path.display(), Words::from(source).ja())
            }
            LakeError::Corrupt { path, reason } => format!(
                "{} はParquetファイルとして壊れています（{reason}）。コピーから戻してください",
                path.display()
            ),
            LakeError::Cold { path, store, problem } => {
                let (what, remedy) = cold_ja(problem.kind, store);
                format!("{}: {what}: {}（{remedy}）", path.display(), problem.reason)
            }
            LakeError::ColdSettings { url, words } => {
                format!("コールドストア {url:?}: {}", words.ja())
            }
            LakeError::Delta { path, source } => {
                format!("{} のDeltaログを読み書きできません（{source}）", path.display())
            }
            LakeError::Tag { file, tag, value } => {
                format!("{file}: Deltaログのタグ {tag} が壊れています（{value:?}）")
            }
            LakeError::NotVerified { batch, reason } => format!(
                "書き直したファイルでは、バッチ{batch}の受信時の内容に戻りません（{reason}）。元のファイルを残しました"
            ),
            LakeError::Outdated(file) => {
                format!(
                    "{file} は書き直している間に表から外れました。何も変えていません。もう一度実行してください"
                )
            }
            LakeError::Cancelled => "要求に応じて中止しました".to_owned(),
            LakeError::NoSuchBatch(batch) => format!("バッチ{batch}は保管庫にありません"),
            LakeError::Envelope(_)
            | LakeError::Sealed(_)
            | LakeError::NotTheRecord(_)
            | LakeError::Arrow(_)
            | LakeError::Query(_) => format!("保管庫の処理に失敗しました（{self}）"),
        };
        Words::new(self.to_string(), ja)
    }

    /// The file or directory that it is about, where it is about one.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            LakeError::Io { path, .. }
            | LakeError::Corrupt { path, .. }
            | LakeError::Cold { path, .. }
            | LakeError::Delta { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// What is the matter with a cold store, and the remedy.
fn cold_en(kind: ColdKind, store: &str) -> (String, &'static str) {
    match kind {
        ColdKind::Away => (
            format!("its cold store {store} does not answer"),
            "see that it runs and can be reached or is mounted, then try again",
        ),
        ColdKind::Missing => (
            format!("its cold store {store} does not have it"),
            "put it back from a copy; yagura verify names everything affected",
        ),
        ColdKind::Refused => {
            (format!("its cold store {store} refuses"), "check the account and its rights")
        }
        ColdKind::Unknown => (
            format!("it lies in the cold store {store}"),
            "name this store under [lake.cold] in the configuration",
        ),
        ColdKind::Foreign => (
            format!("the cold store {store} is not this directory's"),
            "give each data directory a prefix of its own",
        ),
    }
}

fn cold_ja(kind: ColdKind, store: &str) -> (String, &'static str) {
    match kind {
        ColdKind::Away => (
            format!("コールドストア {store} が応答しません"),
            "動作とネットワーク（またはマウント）を確認してから、もう一度実行してください",
        ),
        ColdKind::Missing => (
            format!("コールドストア {store} にファイルがありません"),
            "コピーから戻してください。影響範囲は yagura verify で確認できます",
        ),
        ColdKind::Refused => (
            format!("コールドストア {store} に拒否されました"),
            "アカウントと権限を確認してください",
        ),
        ColdKind::Unknown => (
            format!("コールドストア {store} にあります"),
            "設定の [lake.cold] にこのストアを書いてください",
        ),
        ColdKind::Foreign => (
            format!("コールドストア {store} はこのデータディレクトリのものではありません"),
            "データディレクトリごとに別のプレフィックスにしてください",
        ),
    }
}

impl ColdProblem {
    /// In both languages, of the store at this URL.
    pub fn words(&self, store: &str) -> Words {
        let (en, remedy_en) = cold_en(self.kind, store);
        let (ja, remedy_ja) = cold_ja(self.kind, store);
        Words::new(
            format!("{en}: {} ({remedy_en})", self.reason),
            format!("{ja}: {}（{remedy_ja}）", self.reason),
        )
    }
}

/// Why [`crate::Lake::add`] did not take the events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The hot set is full: seal and flush, then add the returned events again.
    #[error("the hot set is full ({hot_bytes} bytes): flush, then add again")]
    Full {
        /// Bytes it holds.
        hot_bytes: usize,
        /// The events, untouched.
        events: Vec<EventBatch>,
    },
    /// The events cannot be taken at all.
    #[error(transparent)]
    Lake(#[from] LakeError),
}
