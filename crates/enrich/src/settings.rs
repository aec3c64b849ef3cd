//! `[enrich]` of the configuration.

use crate::network::NetworkSetting;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use yagura_event::Lang;

/// What events are enriched with; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Databases of public addresses.
    #[serde(skip_serializing_if = "GeoSettings::is_default")]
    pub geo: GeoSettings,
    /// Lists of users and assets.
    #[serde(skip_serializing_if = "InventorySettings::is_default")]
    pub inventory: InventorySettings,
    /// Own networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<NetworkSetting>,
}

/// Databases of public addresses in MaxMind's format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeoSettings {
    /// Countries, regions and cities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<PathBuf>,
    /// Countries, where there is no database of cities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<PathBuf>,
    /// Autonomous systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<PathBuf>,
    /// Language of the names, `ja` or `en`; that of messages if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Lang>,
}

/// CSV files of users and assets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InventorySettings {
    /// Users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<PathBuf>,
    /// Machines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<PathBuf>,
}

impl GeoSettings {
    fn is_default(&self) -> bool {
        *self == GeoSettings::default()
    }
}

impl InventorySettings {
    fn is_default(&self) -> bool {
        *self == InventorySettings::default()
    }
}
