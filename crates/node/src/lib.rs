//! One data directory, opened: journal, ledgers, lake and desk, joined by the pipeline, and what
//! the commands and the API both ask of them. It joins rooms; it decides nothing they decide.
//!
//! * [`Node::open`] takes the directory's lock, recovers, and begins to read what is committed.
//! * [`Node::sink`] is where records go in; [`Node::search`], [`Node::sql`], [`Node::tail`] and
//!   [`Node::alerts`] are how people see them.
//! * [`Node::prove`] and [`verify_dir`] are why they can be believed.

#![forbid(unsafe_code)]

mod acts;
mod alerts;
mod audit;
mod backup;
mod compaction;
mod complete;
mod correlation;
mod data_dir;
mod enrichment;
mod error;
mod excepting;
mod exceptions;
mod export;
mod files;
mod forward;
pub mod hunt;
mod judging;
mod keys;
mod lake_sizes;
mod limits;
mod node;
mod options;
mod permalink;
pub mod pins;
mod pipeline;
mod prove;
mod reprocess;
pub mod retention;
mod rhythm;
mod rows;
mod rules;
pub mod saved;
mod searches;
mod sink;
pub mod sources;
mod tables;
#[cfg(test)]
mod test_house;
mod tiers;
mod verify;
mod watch;

pub use acts::{ACT_EVENTS_MAX, ACT_LOOK_BACK_HOURS, ACT_ROWS_MAX, ActsFound, ActsQuery};
pub use alerts::{ActRequest, AlertQuery};
pub use audit::{AUDIT_STREAM, Audit, FileDigest, FileDigests};
pub use backup::{BackupRequest, Release, RestoreRequest, Restored, is_restored, release, restore};
pub use compaction::{CompactOptions, CompactRequest};
pub use data_dir::DataDir;
pub use error::NodeError;
pub use exceptions::{ExceptionRequest, RemoveRequest};
pub use export::{Export, ExportOf, ExportRequest};
pub use forward::{Ended as ForwardEnded, Forwarding};
pub use lake_sizes::VacuumRequest;
pub use limits::{INVENTORY_SHOWN_MAX, PAGE_BYTES_MAX};
pub use node::Node;
pub use options::NodeOptions;
pub use pipeline::{OUTPUT_QUEUE_MAX, PipelineCounters};
pub use prove::{Proof, ProofFrom};
pub use reprocess::ReprocessRequest;
pub use retention::RetentionSettings;
pub use rows::{
    Page, PageRoom, Row, RowStream, SearchEnd, SearchQuery, SortOrder, Told, Unread, from_base64,
    row_bytes,
};
pub use rules::{RULE_FILE_BYTES_MAX, RULE_FILES_MAX, ReloadRequest};
pub use saved::{SaveRequest, SavedSearch, Schedule};
pub use searches::new_search_id;
pub use sink::JournalSink;
pub use sources::SourceOptions;
pub use tiers::{RehydrateRequest, TIER_DAYS_MAX, TierOptions, TierRequest};
pub use verify::{VerifyReport, VerifyScope, verify_dir};
pub use yagura_export::Format as ExportFormat;
pub use yagura_lake::{AccessKey, ColdSettings, KeepRaw, ScanCounts};
