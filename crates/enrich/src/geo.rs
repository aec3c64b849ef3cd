//! Where a public address is and who announces it, from databases in MaxMind's format (MaxMind DB
//! File Format Specification 2.0) that the user points to. They are read into memory: a file that
//! is replaced meanwhile changes nothing.

use crate::error::EnrichError;
use crate::limits::{DATABASE_BYTES_MAX, DATABASE_NAME_BYTES_MAX};
use crate::settings::GeoSettings;
use crate::used::{FileUsed, Stamp, read_limited};
use maxminddb::{PathElement, Reader};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use yagura_event::Lang;

/// One database, in memory.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
    used: FileUsed,
}

/// What the databases say of one address; what they do not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoFacts {
    /// ISO 3166-1 alpha-2.
    pub country_iso_code: Option<Box<str>>,
    /// In the language asked for, or else in English.
    pub country_name: Option<Box<str>>,
    /// The largest subdivision.
    pub region_name: Option<Box<str>>,
    /// The city.
    pub city_name: Option<Box<str>>,
    /// Number of the autonomous system.
    pub as_number: Option<u32>,
    /// Who runs it.
    pub as_organization: Option<Box<str>>,
}

/// The three databases, each optional.
#[derive(Debug, Clone, Default)]
pub struct Geo {
    pub(crate) city: Option<Arc<Database>>,
    pub(crate) country: Option<Arc<Database>>,
    pub(crate) asn: Option<Arc<Database>>,
    pub(crate) lang: Lang,
}

/// A key of `[enrich.geo]`.
pub(crate) type Key = &'static str;

/// The keys, and what is in the type of databases that cannot serve them.
const KEYS: [(Key, &[&str]); 3] = [
    ("city", &["asn", "isp", "country", "domain"]),
    ("country", &["asn", "isp", "domain"]),
    ("asn", &["city", "country", "domain"]),
];

impl Database {
    /// Reads a file for the key of the configuration that names it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is too large, or is no database for this key.
    pub(crate) fn open(path: &Path, key: Key) -> Result<Database, EnrichError> {
        let stamp = Stamp::of(path);
        let bytes = read_limited(path, DATABASE_BYTES_MAX)?;
        let mut used = FileUsed::new(key, path, stamp, &bytes);
        let wrong = |reason: &dyn std::fmt::Display| EnrichError::Database {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let reader = Reader::from_source(bytes).map_err(|error| wrong(&error))?;
        let metadata = reader.metadata();
        let kind = metadata.database_type.to_lowercase();
        let others = KEYS.iter().find(|(name, _)| *name == key).map_or(&[][..], |(_, o)| o);
        if others.iter().any(|other| kind.contains(other)) {
            let found = metadata.database_type.chars().take(80).collect();
            return Err(EnrichError::OtherDatabase { path: path.to_owned(), key, found });
        }
        // A file that was cut has a tree whose values are not there: better said now than passed
        // over event by event.
        reader.verify().map_err(|error| wrong(&error))?;
        used.built_epoch_s = Some(reader.metadata().build_epoch);
        Ok(Database { reader, used })
    }

    pub(crate) fn used(&self) -> &FileUsed {
        &self.used
    }

    /// What the database says of `address` at each of `paths`; nothing where the record is wrong.
    fn find<const N: usize>(
        &self,
        address: IpAddr,
        paths: [&[PathElement<'_>]; N],
    ) -> [Option<Box<str>>; N] {
        let mut found = [const { None }; N];
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return found;
        }
        let Ok(record) = self.reader.lookup(address) else { return found };
        if record.has_data() {
            for (found, path) in found.iter_mut().zip(paths) {
                let text: Option<&str> = record.decode_path(path).ok().flatten();
                *found = text.and_then(name);
            }
        }
        found
    }

    fn number(&self, address: IpAddr, path: &[PathElement<'_>]) -> Option<u32> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        self.reader.lookup(address).ok()?.decode_path(path).ok().flatten()
    }
}

/// A name as it may stand in a column.
fn name(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= DATABASE_NAME_BYTES_MAX).then(|| text.into())
}

impl Geo {
    /// Whether no database is there.
    pub fn is_empty(&self) -> bool {
        self.city.is_none() && self.country.is_none() && self.asn.is_none()
    }

    /// The databases in use.
    pub(crate) fn used(&self) -> impl Iterator<Item = &FileUsed> {
        [&self.city, &self.country, &self.asn].into_iter().flatten().map(|one| one.used())
    }

    /// What is known of a public address.
    pub fn find(&self, address: IpAddr) -> GeoFacts {
        use PathElement::{Index, Key};
        let mut facts = GeoFacts::default();
        let lang = self.lang.as_str();
        let places = [&self.city, &self.country].into_iter().flatten();
        for database in places {
            let [code, named, english, region, region_english, city, city_english] = database.find(
                address,
                [
                    &[Key("country"), Key("iso_code")],
                    &[Key("country"), Key("names"), Key(lang)],
                    &[Key("country"), Key("names"), Key("en")],
                    &[Key("subdivisions"), Index(0), Key("names"), Key(lang)],
                    &[Key("subdivisions"), Index(0), Key("names"), Key("en")],
                    &[Key("city"), Key("names"), Key(lang)],
                    &[Key("city"), Key("names"), Key("en")],
                ],
            );
            // Of one database as a whole: two may be of different days.
            if code.is_some() || named.is_some() || english.is_some() {
                facts.country_iso_code = code;
                facts.country_name = named.or(english);
                facts.region_name = region.or(region_english);
                facts.city_name = city.or(city_english);
                break;
            }
        }
        if let Some(database) = &self.asn {
            facts.as_number = database.number(address, &[Key("autonomous_system_number")]);
            let [organization] = database.find(address, [&[Key("autonomous_system_organization")]]);
            facts.as_organization = organization;
        }
        facts
    }
}

/// The file that the configuration gives for a key, if any.
pub(crate) fn paths(settings: &GeoSettings) -> [(Key, Option<&Path>); 3] {
    [
        ("city", settings.city.as_deref()),
        ("country", settings.country.as_deref()),
        ("asn", settings.asn.as_deref()),
    ]
}
