//! The store of events: what was just received, in memory, and everything else in one Delta table.
//!
//! * **Hot set**: [`Lake::add`] makes events visible to queries at once. Nothing here is durable;
//!   after a crash the journal hands the same events again.
//! * **Table**: [`Lake::flush`] writes the rows of sealed batches to Parquet and adds all files
//!   with one Delta commit, so a batch is in the table entirely or not at all.
//! * **Exactly once**: [`Lake::table_provider`] takes one consistent picture of both; a query
//!   sees every event once, whatever flushes meanwhile.
//!
//! * **Cold stores**: [`Lake::prepare_cooling`] moves files to a bucket or a second directory, byte for
//!   byte. They stay files of the table and are asked where they lie.
//!
//! It plans queries from the table's log as held in memory: no listing, no inference. What a file
//! holds (batches, time range, SHA-256) is written as tags of its `add` action, so opening reads
//! only the log.
//!
//! It does not know the journal, the ledger or the query language.

#![forbid(unsafe_code)]

mod cold;
mod cold_read;
mod cold_settings;
mod columns;
mod compact;
mod counts;
mod delete;
mod delta;
mod durable;
mod error;
mod event_id;
mod file;
mod groups;
mod history;
mod hot;
mod judge;
mod kill;
mod lake;
pub mod limits;
mod location;
mod packed;
mod packed_scan;
mod packer;
mod progress;
mod provider;
mod prune;
mod read;
mod rewrite;
mod runtime;
mod sizes;
mod sort;
mod sparse;
mod swap;
mod text_index;
mod tier;
mod window;
mod writer;

pub use cold::{ColdKind, ColdProblem, ColdRemoved};
pub use cold_settings::{AccessKey, ColdSettings};
pub use columns::{ColumnKind, TableColumn, TableColumns};
pub use compact::{
    CompactJob, CompactLimits, CompactRule, CompactStep, CompactWatch, Compacted,
    PreparedCompaction,
};
pub use counts::{ScanCounts, Unread};
pub use delete::{Deleted, PreparedDeletion};
pub use error::{AddError, LakeError};
pub use file::{BatchRows, Cold, FileEntry, Order};
pub use history::{History, HistoryPart, HistoryRows, PartSize};
pub use judge::{BatchHead, StoredLeaves};
pub use kill::kill_point;
pub use lake::{Added, FileWritten, FlushReport, Lake, LakeOptions, LakeStats, OpenReport};
pub use packed::Packed;
pub use packer::KeepRaw;
pub use progress::{ScanProgress, ScanWatch};
pub use provider::{DATASET, EVENT_ID, EventsTable};
pub use read::{StoredBatch, batches_of_file};
pub use rewrite::{PreparedRewrite, RewriteReport};
pub use sizes::{ColumnSize, DatasetSize};
pub use text_index::{TextIndexFile, text_index_path};
pub use tier::{Moved, PreparedMove, TierRule, TierStep};
pub use window::Window;
