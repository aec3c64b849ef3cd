//! Named limits of what is remembered of sources.

/// Most sources; events of further ones are counted together.
pub const SOURCES_MAX: usize = 10_000;

/// Most host names of one stream, transport and peer; a sender that invents names cannot keep others
/// from being told apart.
pub const HOSTS_PER_PEER_MAX: usize = 1_000;

/// Longest part of a source's name, in bytes; longer ones are cut.
pub const NAME_BYTES_MAX: usize = 256;

/// Most datasets of a source that are told apart.
pub const DATASETS_PER_SOURCE_MAX: usize = 24;

/// Most encodings of a source that are told apart.
pub const ENCODINGS_PER_SOURCE_MAX: usize = 12;

/// Most different reasons of failed parsing of a source that are told apart.
pub const REASONS_PER_SOURCE_MAX: usize = 16;

/// Longest sample of a line that could not be read, in characters.
pub const SAMPLE_CHARS_MAX: usize = 200;

/// Differences between receipt and claimed time that are remembered of a source.
pub const SKEW_SAMPLES_MAX: usize = 101;

/// Most pairs of source and dataset whose fields are watched for drift.
pub const FIELD_SETS_MAX: usize = 4_096;

/// Most fields of one source and dataset; past it they are not watched.
pub const FIELDS_PER_SET_MAX: usize = 384;

/// Headers of files that are remembered over a restart, the newest.
pub const LAYOUTS_KEPT_MAX: usize = 1_024;

/// Drift notices that may wait for the audit log.
pub const NOTICES_WAITING_MAX: usize = 256;

/// Drift notices shown, the newest.
pub const NOTICES_SHOWN_MAX: usize = 1_000;
