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

/// Longest token of a file, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Longest reason of a receiver that is told, in characters.
pub const REASON_CHARS_MAX: usize = 300;
