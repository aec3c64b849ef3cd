//! The columns an event gets, batch by batch.

use crate::columns::{Columns, Facts, TextNumber, Texts, Words};
use crate::enrichment::Enrichment;
use crate::geo::GeoFacts;
use crate::inventory::{ASSET_FIELDS, RowNumber, USER_FIELDS};
use crate::limits::{ADDRESS_TEXT_BYTES_MAX, ADDRESSES_REMEMBERED, TEXTS_REMEMBERED};
use crate::network::{self, Scope};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use yagura_event::EventBatch;

/// Addresses whose place and name are added.
const SIDES: [&str; 4] = ["source", "destination", "client", "server"];

/// Of these, the ones whose asset is named.
const ASSET_SIDES: usize = 2;

/// Whose department and the like are added.
const PERSONS: [&str; 2] = ["user", "user.target"];

/// The names of a side's columns, made once.
struct Side {
    ip: String,
    domain: String,
    geo: [String; 4],
    autonomous_system: [String; 2],
    network: [String; 2],
    asset: [String; 2],
}

impl Side {
    fn new(side: &str) -> Side {
        let of = |name: &str| format!("{side}.{name}");
        Side {
            ip: of("ip"),
            domain: of("domain"),
            geo: [
                of("geo.country_iso_code"),
                of("geo.country_name"),
                of("geo.region_name"),
                of("geo.city_name"),
            ],
            autonomous_system: [of("as.number"), of("as.organization.name")],
            network: [of("network.name"), of("network.zone")],
            asset: [of("asset.name"), of("asset.criticality")],
        }
    }
}

/// A person's columns: of whom, where it is found, and what its values are called.
struct Person {
    id: String,
    email: String,
    name: String,
    fields: [String; USER_FIELDS.len()],
    /// Where one of these has a value, [`ROLES`] is the event's.
    roles_said: Vec<String>,
}

/// What events use not only for whom a user is, but also for the role that somebody is given.
const ROLES: &str = "roles";

impl Person {
    fn new(prefix: &str) -> Person {
        let of = |name: &str| format!("{prefix}.{name}");
        // Next to the user who gives there is the one who gets: `user.roles` is what is given, and
        // where the event does not say which role, nothing else may look like it.
        let given = (prefix == "user").then(|| "user.target.name".to_owned());
        Person {
            id: of("id"),
            email: of("email"),
            name: of("name"),
            fields: USER_FIELDS.map(of),
            roles_said: [of(ROLES)].into_iter().chain(given).collect(),
        }
    }
}

/// What is known of one address; its texts by number.
#[derive(Debug, Clone, Copy)]
struct AddressFacts {
    scope: Option<Scope>,
    as_number: Option<u32>,
    as_organization: TextNumber,
    /// As [`Side::geo`].
    geo: [TextNumber; 4],
    /// As [`Side::network`].
    network: [TextNumber; 2],
}

/// Adds to batches what an [`Enrichment`] knows. One for each thread; what it learnt of an address it
/// remembers from batch to batch.
pub struct Enricher {
    enrichment: Arc<Enrichment>,
    addresses: Remembered,
    sides: [Side; SIDES.len()],
    persons: [Person; PERSONS.len()],
    host_fields: [String; ASSET_FIELDS.len()],
    left_out: u64,
}

impl Enricher {
    /// With what is known.
    pub fn new(enrichment: Arc<Enrichment>) -> Self {
        Enricher {
            enrichment,
            addresses: Remembered::default(),
            sides: SIDES.map(Side::new),
            persons: PERSONS.map(Person::new),
            host_fields: host_fields(),
            left_out: 0,
        }
    }

    /// What is in use.
    pub fn enrichment(&self) -> &Arc<Enrichment> {
        &self.enrichment
    }

    /// Uses another enrichment from the next batch on.
    pub fn set(&mut self, enrichment: Arc<Enrichment>) {
        if !Arc::ptr_eq(&self.enrichment, &enrichment) {
            self.enrichment = enrichment;
            self.addresses = Remembered::default();
        }
    }

    /// Columns that found no room in their batch so far.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The batch with what is known of its addresses, hosts and users. What the inventory and the
    /// configuration say stands over what the event says of the same; where the event itself says
    /// where an address is, which way it went, or a role, that stays.
    pub fn enrich(&mut self, batch: EventBatch) -> EventBatch {
        if self.enrichment.is_empty() || batch.rows() == 0 {
            return batch;
        }
        let enrichment = self.enrichment.clone();
        let rows = batch.columns.clone();
        let mut columns = Columns::of(&batch);
        if enrichment.knows_addresses() {
            self.addresses(&enrichment, &rows, &mut columns);
        }
        if let Some(assets) = enrichment.assets() {
            let host = |found: &Words<'_>| found.each(|host| assets.asset_by_host(host));
            let domain = |found: &Words<'_>| found.each(|name| assets.asset_by_domain(name));
            let mut facts = Facts::new(batch.rows());
            for name in ["host.name", "host.ip"] {
                gather(&rows, name, host, &mut facts);
            }
            for (at, name) in self.host_fields.iter().enumerate() {
                columns.put(name, &facts, None, |row: &RowNumber| {
                    assets.row(*row)?.get(at)?.as_deref()
                });
            }
            for side in self.sides.iter().take(ASSET_SIDES) {
                let mut facts = Facts::new(batch.rows());
                gather(&rows, &side.ip, host, &mut facts);
                gather(&rows, &side.domain, domain, &mut facts);
                for (at, name) in side.asset.iter().enumerate() {
                    columns.put(name, &facts, None, |row: &RowNumber| {
                        assets.row(*row)?.get(at)?.as_deref()
                    });
                }
            }
        }
        if let Some(users) = enrichment.users() {
            for person in &self.persons {
                let mut facts = Facts::new(batch.rows());
                gather(&rows, &person.id, |w| w.each(|id| users.user_by_sid(id)), &mut facts);
                gather(&rows, &person.email, |w| w.each(|m| users.user_by_email(m)), &mut facts);
                gather(&rows, &person.name, |w| w.each(|n| users.user_by_name(n)), &mut facts);
                let roles_said: Vec<&str> = person.roles_said.iter().map(String::as_str).collect();
                for (at, name) in person.fields.iter().enumerate() {
                    let said = (USER_FIELDS.get(at) == Some(&ROLES))
                        .then(|| columns.said(&roles_said))
                        .flatten();
                    columns.put(name, &facts, said.as_deref(), |row: &RowNumber| {
                        users.row(*row)?.get(at)?.as_deref()
                    });
                }
            }
        }
        self.left_out += columns.left_out;
        columns.into_batch(batch)
    }

    fn addresses(
        &mut self,
        enrichment: &Enrichment,
        rows: &arrow::array::RecordBatch,
        columns: &mut Columns,
    ) {
        let mut scopes: [Option<Facts<Scope>>; 2] = [None, None];
        for (number, side) in self.sides.iter().enumerate() {
            let Some(words) = Words::of(rows, &side.ip) else { continue };
            let known = &mut self.addresses;
            known.make_room();
            let Some(found) = words.each(|text| known.find(text, enrichment)) else { continue };
            if let Some(scopes) = scopes.get_mut(number)
                && enrichment.knows_networks()
            {
                let mut facts = Facts::new(rows.num_rows());
                facts.take(
                    &words,
                    found.iter().map(|facts| facts.as_ref().and_then(|it| it.scope)).collect(),
                );
                *scopes = Some(facts);
            }
            let mut facts = Facts::new(rows.num_rows());
            facts.take(&words, found);
            let texts = &self.addresses.texts;
            let said = columns.said(&side.geo.each_ref().map(String::as_str));
            for (at, name) in side.geo.iter().enumerate() {
                let number = |it: &AddressFacts| it.geo.get(at).copied().unwrap_or(Texts::NONE);
                columns.put_numbered(name, &facts, said.as_deref(), texts, number);
            }
            let [as_number, organization] = &side.autonomous_system;
            let said = columns.said(&side.autonomous_system.each_ref().map(String::as_str));
            let said = said.as_deref();
            columns.put_numbers(as_number, &facts, said, |it| it.as_number.map(i64::from));
            columns.put_numbered(organization, &facts, said, texts, |it| it.as_organization);
            for (at, name) in side.network.iter().enumerate() {
                let number = |it: &AddressFacts| it.network.get(at).copied().unwrap_or(Texts::NONE);
                columns.put_numbered(name, &facts, None, texts, number);
            }
        }
        let [Some(source), Some(destination)] = scopes else { return };
        if source.is_empty() || destination.is_empty() {
            return;
        }
        let said = columns.said(&[DIRECTION]);
        let is_said = |row: usize| said.as_ref().and_then(|said| said.get(row)) == Some(&true);
        let directions = source.each().zip(destination.each()).enumerate().map(|(row, ends)| {
            let (Some(source), Some(destination)) = ends else { return None };
            (!is_said(row)).then(|| network::direction(source, destination))
        });
        columns.put_each(DIRECTION, directions);
    }
}

const DIRECTION: &str = "network.direction";

/// The name of every column that an [`Enricher`] may add.
pub fn columns() -> Vec<String> {
    let mut names = vec![DIRECTION.to_owned()];
    for (number, side) in SIDES.map(Side::new).into_iter().enumerate() {
        names.extend(side.geo.into_iter().chain(side.autonomous_system).chain(side.network));
        names.extend(side.asset.into_iter().filter(|_| number < ASSET_SIDES));
    }
    names.extend(PERSONS.map(Person::new).into_iter().flat_map(|person| person.fields));
    names.extend(host_fields());
    names
}

fn host_fields() -> [String; ASSET_FIELDS.len()] {
    ASSET_FIELDS.map(|name| format!("host.{name}"))
}

/// Adds to `facts` what `find` knows of the values of a column.
fn gather<T>(
    rows: &arrow::array::RecordBatch,
    name: &str,
    find: impl Fn(&Words<'_>) -> Option<Vec<Option<T>>>,
    facts: &mut Facts<T>,
) {
    if let Some(words) = Words::of(rows, name)
        && let Some(found) = find(&words)
    {
        facts.take(&words, found);
    }
}

/// What was learnt of addresses: those met lately, and those met before them.
#[derive(Default)]
struct Remembered {
    young: Generation,
    old: Generation,
    texts: Texts,
}

type Generation = HashMap<Box<str>, Option<AddressFacts>, RandomState>;

impl Remembered {
    /// Forgets everything where texts have become too many, of which nobody knows who needs them. Not
    /// while facts are in use, which know texts by number.
    fn make_room(&mut self) {
        if self.texts.len() > TEXTS_REMEMBERED {
            *self = Remembered::default();
        }
    }

    fn find(&mut self, text: &str, enrichment: &Enrichment) -> Option<AddressFacts> {
        // What is remembered is counted, so none may be large.
        if text.len() > ADDRESS_TEXT_BYTES_MAX {
            return None;
        }
        if let Some(known) = self.young.get(text) {
            return *known;
        }
        let facts = match self.old.remove(text) {
            Some(known) => known,
            None => network::address(text).map(|address| self.learn(address, enrichment)),
        };
        if self.young.len() >= ADDRESSES_REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text.into(), facts);
        facts
    }

    fn learn(&mut self, address: IpAddr, enrichment: &Enrichment) -> AddressFacts {
        let network = enrichment.networks().find(address);
        let geo = match network::scope(address) {
            Some(Scope::Public) => enrichment.geo().find(address),
            _ => GeoFacts::default(),
        };
        let mut number = |text: Option<&str>| self.texts.number(text);
        AddressFacts {
            scope: enrichment.networks().scope(address),
            as_number: geo.as_number,
            as_organization: number(geo.as_organization.as_deref()),
            geo: [
                number(geo.country_iso_code.as_deref()),
                number(geo.country_name.as_deref()),
                number(geo.region_name.as_deref()),
                number(geo.city_name.as_deref()),
            ],
            network: [
                number(network.map(|it| it.name.as_str())),
                number(network.and_then(|it| it.zone.as_deref())),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_addresses_are_remembered_as_the_limit_says() {
        let mut known = Remembered::default();
        let enrichment = Enrichment::default();
        let address =
            |number: usize| std::net::Ipv4Addr::from(u32::try_from(number).unwrap()).to_string();
        for number in 0..ADDRESSES_REMEMBERED {
            known.find(&address(number), &enrichment);
        }
        assert_eq!((known.young.len(), known.old.len()), (ADDRESSES_REMEMBERED, 0));
        known.find(&address(ADDRESSES_REMEMBERED), &enrichment);
        assert_eq!((known.young.len(), known.old.len()), (1, ADDRESSES_REMEMBERED));
        known.find(&address(0), &enrichment);
        assert_eq!((known.young.len(), known.old.len()), (2, ADDRESSES_REMEMBERED - 1));
        for number in 0..3 * ADDRESSES_REMEMBERED {
            known.find(&address(number), &enrichment);
            assert!(known.young.len() + known.old.len() <= 2 * ADDRESSES_REMEMBERED);
        }
        let with_zone = |bytes: usize| format!("{:z<bytes$}", "fe80::1%");
        assert!(known.find(&with_zone(ADDRESS_TEXT_BYTES_MAX), &enrichment).is_some());
        let before = known.young.len() + known.old.len();
        assert!(known.find(&with_zone(ADDRESS_TEXT_BYTES_MAX + 1), &enrichment).is_none());
        assert_eq!(known.young.len() + known.old.len(), before, "not remembered either");
        for number in 0..TEXTS_REMEMBERED {
            known.texts.number(Some(&number.to_string()));
        }
        known.make_room();
        assert_eq!(known.texts.len(), TEXTS_REMEMBERED);
        known.texts.number(Some("one more"));
        known.make_room();
        assert_eq!((known.texts.len(), known.young.len(), known.old.len()), (0, 0, 0));
    }
}
