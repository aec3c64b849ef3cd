//! Records become rows: which kind of event it is, its fields under the names everyone uses, when it
//! happened, and a sentence that says so in Japanese and English.
//!
//! * Pure: bytes in, Arrow columns out. No I/O, no clock, no threads.
//! * Nothing is refused. What cannot be read is dataset `unknown` with its text as `message` and the
//!   reason in `yagura.parse_error`; the raw bytes are always there.
//! * Which fields mean what is data: `content/fields`, `content/mappings`, `content/sentences`.
//!
//! ```
//! use yagura_event::{CommittedRun, Lang, Record, StreamName, Transport, UtcMicros};
//! use yagura_normalize::Normalizer;
//!
//! let line = "<38>Jun 14 15:16:01 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2";
//! let record = Record {
//!     received: "2026-06-14T15:16:02Z".parse().unwrap(),
//!     transport: Transport::SyslogUdp,
//!     peer: "192.0.2.1:514".into(),
//!     identity: "none".into(),
//!     bytes: line.into(),
//! };
//! let run = CommittedRun {
//!     stream: StreamName::new("syslog").unwrap(),
//!     batch: 1,
//!     batch_salt: [0; 32],
//!     first_index: 0,
//!     records: vec![record],
//! };
//! let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
//! normalizer.normalize(&run);
//! let batches = normalizer.take_batches();
//! assert_eq!(&*batches[0].dataset, "linux.auth");
//! assert_eq!(
//!     normalizer.sentence(&batches[0], 0, Lang::En),
//!     "root failed to log on to web01 over SSH from 192.0.2.7 (failure)"
//! );
//! ```

#![forbid(unsafe_code)]

mod byte_set;
mod charset;
mod codes;
mod content;
mod context;
mod decode;
#[doc(hidden)]
pub mod entries;
mod error;
mod expression;
mod flat;
mod formats;
mod grok;
mod headed;
mod json;
mod layer;
pub mod limits;
mod lists;
mod log_format;
mod mapping;
mod names;
mod normalizer;
mod pairs;
mod pattern;
mod rows;
mod scripts;
mod sentence;
mod shapes;
mod signature;
mod sources;
mod syslog;
mod time;
mod web;
mod windows;

pub use charset::TextEncoding;
pub use error::NormalizeError;
pub use headed::HeaderWatch;
pub use layer::ContentFile;
pub use mapping::DatasetAbout;
pub use normalizer::{Described, Normalizer, PARSER_VERSION};
pub use sentence::BatchSentences;
pub use sources::{Reading, SourceBook, SourceSetting, SourceText};
