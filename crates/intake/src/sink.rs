use std::future::Future;
use yagura_event::{Lang, Record, StreamName, Words};

/// Where records go. The journal, seen from here.
pub trait RecordSink: Clone + Send + Sync + 'static {
    /// Resolves when the records are durable, waiting while the sink is busy.
    fn append(
        &self,
        stream: StreamName,
        records: Vec<Record>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// The same, but fails at once with [`SinkError::Full`] when the sink's queue is full.
    fn try_append(
        &self,
        stream: StreamName,
        records: Vec<Record>,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// Why records were not made durable. None of them was kept.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The queue is full; try again soon.
    #[error("the intake queue is full; send again in a moment")]
    Full,
    /// The disk is full; intake resumes by itself once there is room.
    #[error("the disk is full: {0}; intake resumes once there is room")]
    DiskFull(Words),
    /// The sink takes nothing more until it is opened anew.
    #[error("the journal takes no more records: {0}")]
    Closed(Words),
    /// The records did not get to the journal: a server refused them or could not be reached, or what
    /// belongs to them could not be kept.
    #[error("{0}")]
    Failed(Words),
}

impl SinkError {
    /// Whether the same records may succeed later without anyone restarting anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, SinkError::Full | SinkError::DiskFull(_))
    }

    /// In the language of a person.
    pub fn text(&self, lang: Lang) -> String {
        match (self, lang) {
            (error, Lang::En) => error.to_string(),
            (SinkError::Full, Lang::Ja) => {
                "受付待ちがいっぱいです。少し待って送り直してください".to_owned()
            }
            (SinkError::DiskFull(why), Lang::Ja) => {
                format!(
                    "ディスクに空きがありません（{}）。空きができれば受け付けを再開します",
                    why.ja()
                )
            }
            (SinkError::Closed(why), Lang::Ja) => {
                format!("ジャーナルに記録できなくなりました（{}）", why.ja())
            }
            (SinkError::Failed(why), Lang::Ja) => why.ja().to_owned(),
        }
    }
}
