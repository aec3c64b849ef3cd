//! Who and what there is: users and assets as a table of the user's, found by what events call them.

mod read;
mod schema;

pub(crate) use read::Source;
pub use schema::Kind;
pub(crate) use schema::{ASSET_FIELDS, Key, USER_FIELDS};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Values of a row, in the order of [`Kind::fields`].
pub(crate) type Row = Box<[Option<Arc<str>>]>;

/// The number of a row.
pub(crate) type RowNumber = u32;

/// Users, or assets.
#[derive(Debug)]
pub struct Inventory {
    kind: Kind,
    rows: Vec<Row>,
    /// By kind of key: lower-case texts, and the row and line of each.
    keys: [HashMap<Box<str>, RowNumber, RandomState>; Key::COUNT],
    /// Short names of machines that are listed with their domain; `None` where several share one.
    short: HashMap<Box<str>, Option<RowNumber>, RandomState>,
    addresses: HashMap<IpAddr, RowNumber, RandomState>,
    ignored: Vec<String>,
}

impl Inventory {
    fn new(kind: Kind) -> Self {
        Inventory {
            kind,
            rows: Vec::new(),
            keys: Default::default(),
            short: HashMap::default(),
            addresses: HashMap::default(),
            ignored: Vec::new(),
        }
    }

    /// Users or assets.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns of the CSV that are not known here and were passed over.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Rows from number `offset` on, at most `limit`, in the order of the CSV: what a row is found by
    /// and what is known, by the names that events use.
    pub fn page(&self, offset: usize, limit: usize) -> Vec<Vec<(String, String)>> {
        let (prefix, names) = match self.kind {
            Kind::Users => ("user", ["name", "id", "email"]),
            Kind::Assets => ("host", ["name", "", ""]),
        };
        let end = self.rows.len().min(offset.saturating_add(limit));
        let mut keys: Vec<[Vec<String>; 4]> = vec![Default::default(); end.saturating_sub(offset)];
        let mut note = |row: RowNumber, at: usize, text: String| {
            let row = (row as usize).checked_sub(offset).and_then(|row| keys.get_mut(row));
            row.and_then(|row| row.get_mut(at)).into_iter().for_each(|of| of.push(text.clone()));
        };
        for (at, of_key) in self.keys.iter().enumerate() {
            of_key.iter().for_each(|(text, row)| note(*row, at, text.to_string()));
        }
        self.addresses.iter().for_each(|(address, row)| note(*row, 3, address.to_string()));
        let rows = self.rows.get(offset..end).unwrap_or_default().iter().zip(keys);
        rows.map(|(row, mut keys)| {
            // An asset that is called by its address is found by it as such.
            if let (Kind::Assets, Some(Some(name))) = (self.kind, row.first())
                && crate::network::address(name).is_some()
            {
                keys[0].push(name.to_string());
            }
            let named = names.into_iter().chain(["ip"]).zip(keys).filter(|(_, of)| !of.is_empty());
            let mut cells: Vec<(String, String)> = named
                .map(|(name, mut of)| {
                    of.sort();
                    (format!("{prefix}.{name}"), of.join(";"))
                })
                .collect();
            let known = self.kind.fields().iter().zip(row);
            cells.extend(known.filter_map(|(name, value)| {
                Some((format!("{prefix}.{name}"), value.as_ref()?.to_string()))
            }));
            cells
        })
        .collect()
    }

    pub(crate) fn row(&self, number: RowNumber) -> Option<&Row> {
        self.rows.get(number as usize)
    }

    fn key(&self, key: Key, text: &str) -> Option<RowNumber> {
        self.keys.get(key as usize)?.get(text).copied()
    }

    /// A user by name: as it stands in the event, or else without the domain before it. One with an
    /// `@` is an e-mail address or a user principal name, which is whole or another's.
    pub(crate) fn user_by_name(&self, name: &str) -> Option<RowNumber> {
        let name = name.trim().to_lowercase();
        self.key(Key::Name, &name).or_else(|| self.key(Key::Email, &name)).or_else(|| {
            let (_, plain) = name.rsplit_once('\\')?;
            self.key(Key::Name, plain)
        })
    }

    pub(crate) fn user_by_sid(&self, sid: &str) -> Option<RowNumber> {
        self.key(Key::Sid, &sid.trim().to_lowercase())
    }

    pub(crate) fn user_by_email(&self, email: &str) -> Option<RowNumber> {
        self.key(Key::Email, &email.trim().to_lowercase())
    }

    /// An asset by host name. A name with a domain is found with it, or else by a short name that is
    /// listed without one; a short name also finds the only machine that is called so in any domain.
    pub(crate) fn asset_by_host(&self, host: &str) -> Option<RowNumber> {
        self.asset(host, true)
    }

    /// An asset by the domain that an event names as one end of a connection: like
    /// [`Inventory::asset_by_host`], but `mail.example.com` is not the machine that is listed as `mail`.
    pub(crate) fn asset_by_domain(&self, domain: &str) -> Option<RowNumber> {
        self.asset(domain, false)
    }

    fn asset(&self, host: &str, or_short: bool) -> Option<RowNumber> {
        let host = host.trim().trim_end_matches('.').to_lowercase();
        if let Some(address) = crate::network::address(&host) {
            return self.asset_by_address(address);
        }
        self.key(Key::Name, &host).or_else(|| match host.split_once('.') {
            Some((short, _)) => or_short.then(|| self.key(Key::Name, short)).flatten(),
            None => self.short.get(&*host).copied().flatten(),
        })
    }

    pub(crate) fn asset_by_address(&self, address: IpAddr) -> Option<RowNumber> {
        self.addresses.get(&address).copied()
    }
}
