//! Named limits of the HTTP side. What a body may contain is in `yagura_intake::limits`.

use std::time::Duration;

/// Largest request body, in bytes, as it is sent (before it is expanded).
pub const BODY_BYTES_MAX: usize = yagura_intake::limits::BODY_BYTES_MAX;

/// Largest request of the API that is no events: a search, an act, a scope. In bytes.
pub const QUESTION_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of all request bodies held in memory at once. A body that does not fit any more is
/// answered with 429, and what it held is free again.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bodies that are expanded and parsed at once; further requests wait their turn. Each may need
/// several times its size of memory for a moment.
pub const BODIES_AT_ONCE_MAX: usize = 2;

/// Verifications that run at once: each reads the whole store, and two find what one does.
pub const VERIFICATIONS_AT_ONCE_MAX: usize = 1;

/// Exports that are under way at once; each holds a thread, and what its query has computed, for as long as
/// its reader takes.
pub const EXPORTS_AT_ONCE_MAX: usize = 2;

/// Bytes of an export that leave at once.
pub const EXPORT_CHUNK_BYTES: usize = 64 * 1024;

/// Chunks of an export that wait for its reader.
pub const EXPORT_CHUNKS_AHEAD: usize = 4;

/// Slowest pace of a body, in bytes per second, once its first half minute is over.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 1024;

/// Open connections unless configured otherwise.
pub const CONNECTIONS_DEFAULT: usize = 4_096;

/// How long a connection may be silent between requests, unless configured otherwise. Longer than
/// clients usually keep one, so that it is they who close.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);

/// How long the head of a request may take, and how long its body may take beyond
/// [`BODY_BYTES_PER_SECOND_MIN`], unless configured otherwise.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long a client may leave what we answer unread: long enough to page through a search.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Largest head of a request, in bytes. A connection may hold as much, so all of them
/// ([`CONNECTIONS_DEFAULT`]) up to 128 MiB.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Most header fields of a request.
pub const HEADER_FIELDS_MAX: usize = 100;

/// How long a new connection waits for the place of an idle one that had to go.
pub const MAKE_ROOM_TIME: Duration = Duration::from_secs(1);

/// Pause after a failed accept: with no file left to open, trying again at once would only spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
