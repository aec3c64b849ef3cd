//! Events on their way to other systems: what is sent, in which form, and what became of it. It knows
//! receivers and one batch of events; which events come next, and how far a target has come, is known by
//! whoever reads them.
//!
//! * syslog (RFC 5424) over TCP, TLS (octet counting, RFC 6587 and 5425) and UDP,
//! * Splunk's HTTP event collector, Elasticsearch's bulk API, OTLP over HTTP in JSON,
//! * topics of Apache Kafka.
//!
//! [`Target::send_some`] answers how many of the events are settled: taken, or refused for good and named.
//! Everything else is an error to be tried again. A receiver is believed neither in the length of its answer
//! nor in where it redirects to.

#![forbid(unsafe_code)]

mod address;
mod encode;
mod error;
mod http;
mod kafka;
pub mod limits;
mod settings;
mod syslog;
mod target;
mod tls;

pub use encode::Encoder;
pub use error::ForwardError;
pub use settings::{Key, Kind, Sasl, Send, Settings, Start};
pub use target::{Later, Refused, Settled, Target};

/// One event, as a search gives it.
pub type Row = yagura_export::Row;
