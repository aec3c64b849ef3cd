//! Named limits of forwarding. Every one has a test at the limit and one past it.

/// Targets of a configuration.
pub const TARGETS_MAX: usize = 16;

/// Longest name of a target, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// Events of one request or one write.
pub const EVENTS_AT_ONCE_MAX: usize = 500;

/// Bytes of one request or one write, about: an event that is larger goes alone.
pub const BYTES_AT_ONCE: usize = 1024 * 1024;

/// Longest answer that is read, in bytes: the verdict on each of [`EVENTS_AT_ONCE_MAX`] events.
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest a request, a connection or a write may take, in seconds.
pub const TIMEOUT_SECONDS: u64 = 30;

/// Largest payload of a datagram: 65,535 bytes without the headers of UDP and IPv4.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Kafka brokers that a target names; the cluster names the others itself.
pub const BROKERS_MAX: usize = 16;

/// Longest name of a topic, in bytes (Kafka's own limit).
pub const TOPIC_BYTES_MAX: usize = 249;

/// Longest name of a SASL user, in bytes.
pub const USER_BYTES_MAX: usize = 256;

/// Bytes of one record batch, about: below what a topic takes unless it was told otherwise
/// (`max.message.bytes`, 1,048,588), with room for what a batch adds.
pub const BATCH_BYTES: usize = 1_000_000;

/// Partitions that are written to at the same time.
pub const PARTITIONS_AT_ONCE_MAX: usize = 16;

/// Connections that a Kafka target keeps open, one for each partition it wrote to.
pub const CONNECTIONS_MAX: usize = 64;

/// Age at which a Kafka target connects anew, in seconds: it sees new partitions, and is gone before a
/// broker closes what was idle (10 minutes unless it was told otherwise).
pub const CONNECTED_SECONDS_MAX: u64 = 300;

/// Longest token of a file, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Largest file of certificates, in bytes.
pub const CA_BYTES_MAX: usize = 1024 * 1024;

/// Longest reason of a receiver that is told, in characters.
pub const REASON_CHARS_MAX: usize = 300;
