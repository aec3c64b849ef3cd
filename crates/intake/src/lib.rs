//! How logs come in: syslog listeners, bodies of HTTP requests, and files.
//!
//! Everything here turns bytes into [`yagura_event::Record`]s and hands them to a sink. Nothing
//! here interprets a record: the bytes of a record are the bytes that arrived, without the
//! transport's own framing (the octet count or newline of a syslog stream, the brackets and
//! commas of a JSON array, the container around a file).
//!
//! * [`syslog`]: UDP and TCP, RFC 6587 octet counting and line framing told apart per message.
//! * [`http_body`]: what `POST /api/v1/ingest` and `POST /_bulk` carry; pure functions.
//! * [`evtx`]: Windows event logs, record by record.
//! * [`import`]: EVTX, JSON and text files, also inside gz, zst, zip and tar; resumable.
//!
//! Every buffer has a limit in [`limits`]; what a limit cuts or refuses is counted.

#![forbid(unsafe_code)]

pub mod evtx;
pub mod http_body;
pub mod import;
pub mod limits;
mod sink;
mod stop;
pub mod syslog;

pub use sink::{RecordSink, SinkError};
pub use stop::{StopSignal, StopSource, stop_pair};
