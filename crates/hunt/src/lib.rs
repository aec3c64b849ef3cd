//! Looking for what others warn of: indicators of compromise, in events as they come and in
//! everything stored.
//!
//! * [`read()`] takes a list as others write it (STIX 2.1, MISP, CSV, one value a line) and gives
//!   [`Indicator`]s in one spelling; what cannot be honoured exactly is refused by name.
//! * [`Matcher`] finds them in the columns of an [`yagura_event::EventBatch`], once per distinct value;
//!   its time does not grow with the number of indicators.
//! * [`taxii`] fetches them from a TAXII 2.1 server. Everything else here does no I/O and knows no clock.
//!
//! ```
//! use std::sync::Arc;
//! use yagura_hunt::{Kind, Matcher, ReadOptions, read};
//!
//! let list = "hxxp://evil[.]example/gate.php\n203.0.113[.]0/24 # scanner\n";
//! let options = ReadOptions { source: "list.txt".into(), ..ReadOptions::default() };
//! let reading = read(list.as_bytes(), &options).unwrap();
//! assert_eq!(reading.indicators[0].kind, Kind::Url);
//! assert_eq!(&*reading.indicators[1].value, "203.0.113.0/24");
//! assert_eq!(Matcher::new(reading.indicators).unwrap().len(), 2);
//! ```

#![forbid(unsafe_code)]

mod benign;
mod columns;
mod error;
mod indicator;
mod kind;
pub mod limits;
mod matcher;
mod read;
mod scan;
pub mod taxii;
mod value;

pub use error::Said;
pub use indicator::{Form, Indicator, Tlp};
pub use kind::Kind;
pub use matcher::{IndicatorMatch, Matcher, MatcherError, text_of};
pub use read::{ListFormat, ReadError, ReadOptions, Reading, Remark, read};
pub use value::{ValueError, canonical, guess, refang};
