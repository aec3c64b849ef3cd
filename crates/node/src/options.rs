//! The options of a node and what they are by default.

use crate::sources::SourceOptions;
use std::path::PathBuf;
use std::time::Duration;
use yagura_desk::DeskOptions;
use yagura_detect::CorrelatorOptions;
use yagura_journal::JournalOptions;
use yagura_lake::KeepRaw;
use yagura_normalize::ContentFile;

/// How a node is opened.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Whether our own rules watch.
    pub builtin_rules: bool,
    /// Directories of further Sigma rules.
    pub rule_dirs: Vec<PathBuf>,
    /// Values for placeholders: files, and directories of them.
    pub rule_lists: Vec<PathBuf>,
    /// Processing pipelines: files, and directories of them.
    pub rule_pipelines: Vec<PathBuf>,
    /// Zone in which rules take parts of a time.
    pub rule_zone: jiff::tz::TimeZone,
    /// Who is named in the audit log where the rules are others than at the last start; `None` for a
    /// command that only looks at the store, with whatever rules.
    pub rules_recorded_as: Option<String>,
    /// How sources are to be read, which is recorded where it is new; `None` for a command that only
    /// opens the store: as it was recorded last.
    pub sources: Option<SourceOptions>,
    /// What events are enriched with, which is recorded where it is new; `None` for a command that
    /// only opens the store: as it was recorded last.
    pub enrich: Option<yagura_enrich::Settings>,
    /// How long what is kept, which is recorded where it is new; `None` for a command that only opens
    /// the store: as it was recorded last.
    pub retention: Option<crate::RetentionSettings>,
    /// Content files of the user, over the built-in ones.
    pub content: Vec<ContentFile>,
    /// The events journal.
    pub journal: JournalOptions,
    /// Memory for events not yet in the table, in bytes.
    pub hot_bytes_max: usize,
    /// Sealed batches are written to the table after this time at the latest.
    pub flush_interval: Duration,
    /// How the table is compacted by itself; `None` where it is only on request.
    pub compact: Option<crate::CompactOptions>,
    /// Streams of which compacted files keep received bytes and messages as they are.
    pub keep_raw: KeepRaw,
    /// The cold store that old files go to, which is recorded where it is new; `None`: as it was recorded
    /// last, and nothing goes there by itself.
    pub cold: Option<crate::TierOptions>,
    /// Alerts.
    pub desk: DeskOptions,
    /// What correlations may keep, and how late events may come.
    pub correlations: CorrelatorOptions,
}

impl Default for NodeOptions {
    fn default() -> Self {
        NodeOptions {
            builtin_rules: true,
            rule_dirs: Vec::new(),
            rule_lists: Vec::new(),
            rule_pipelines: Vec::new(),
            rule_zone: jiff::tz::TimeZone::UTC,
            rules_recorded_as: None,
            sources: None,
            enrich: None,
            retention: None,
            content: Vec::new(),
            journal: JournalOptions::default(),
            hot_bytes_max: 256 * 1024 * 1024,
            flush_interval: Duration::from_secs(300),
            compact: None,
            keep_raw: KeepRaw::All,
            cold: None,
            desk: DeskOptions::default(),
            correlations: CorrelatorOptions::default(),
        }
    }
}
