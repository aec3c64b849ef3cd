//! Says more about the values of an event than the event says: where a public address is and who
//! announces it, which own network an address belongs to, which way a connection went, who a user is,
//! and what depends on a machine.
//!
//! * [`Settings`] name databases, networks and inventories; [`Enrichment::load`] reads them, and
//!   [`Enrichment::refresh`] reads what has changed since.
//! * An [`Enricher`] adds columns to a batch, once per distinct value of the columns it looks at.
//!
//! Apart from reading the files it is given, this crate does no I/O, and it knows no clock.
//!
//! ```
//! use std::sync::Arc;
//! use yagura_enrich::{Enricher, Enrichment, Settings};
//!
//! let settings: Settings = toml::from_str(r#"
//!     [[network]]
//!     name = "Head office"
//!     cidr = ["10.1.0.0/16"]
//! "#).unwrap();
//! let enricher = Enricher::new(Arc::new(Enrichment::load(&settings).unwrap()));
//! let address = "10.1.2.3".parse().unwrap();
//! assert_eq!(enricher.enrichment().networks().find(address).unwrap().name, "Head office");
//! ```

#![forbid(unsafe_code)]

mod columns;
mod enricher;
mod enrichment;
mod error;
mod geo;
mod inventory;
pub mod limits;
mod network;
mod settings;
mod used;

pub use enricher::{Enricher, columns};
pub use enrichment::{Enrichment, Refreshed, no_geo};
pub use error::{EnrichError, Fault};
pub use geo::{Database, Geo, GeoFacts};
pub use inventory::{Inventory, Kind};
pub use network::{NetworkSetting, Networks, Scope, address, direction, scope};
pub use settings::{GeoSettings, InventorySettings, Settings};
pub use used::FileUsed;
