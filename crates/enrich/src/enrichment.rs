//! Everything that is known, and how it is kept up to date.

use crate::error::EnrichError;
use crate::geo::{self, Database, Geo};
use crate::inventory::{Inventory, Kind};
use crate::limits::{INVENTORY_BYTES_MAX, INVENTORY_FILES_MAX};
use crate::network::Networks;
use crate::settings::Settings;
use crate::used::{FileUsed, Stamp, check_regular, read_limited};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::Lang;

/// What is known of addresses, hosts and users. Immutable: a change makes another.
#[derive(Debug, Clone, Default)]
pub struct Enrichment {
    geo: Geo,
    networks: Arc<Networks>,
    users: Option<Listed>,
    assets: Option<Listed>,
    /// What was tried last, and could not be used: not again until its files are others.
    failed: Vec<Failed>,
    /// What is wrong with the networks, which are read once.
    networks_wrong: Option<(String, String)>,
}

/// A database or an inventory that could not be used.
#[derive(Debug, Clone, PartialEq)]
struct Failed {
    /// As [`FileUsed::role`].
    role: &'static str,
    files: Vec<(PathBuf, Stamp)>,
    /// In both languages, English first.
    said: (String, String),
}

impl Failed {
    fn new(role: &'static str, files: Vec<(PathBuf, Stamp)>, error: &EnrichError) -> Self {
        Failed { role, files, said: error.texts() }
    }
}

fn stamped<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<(PathBuf, Stamp)> {
    paths.into_iter().map(|path| (path.to_owned(), Stamp::of(path))).collect()
}

/// An inventory and the files it came from.
#[derive(Debug, Clone)]
struct Listed {
    inventory: Arc<Inventory>,
    used: Vec<FileUsed>,
}

/// What looking for changes found.
#[derive(Debug)]
pub struct Refreshed {
    /// What is known now, if that is something else.
    pub enrichment: Option<Enrichment>,
    /// What could not be used; what was in use in its place stays.
    pub errors: Vec<EnrichError>,
}

impl Enrichment {
    /// Reads what `settings` name.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be used.
    pub fn load(settings: &Settings) -> Result<Enrichment, EnrichError> {
        check_counts(settings)?;
        let mut enrichment = Enrichment {
            networks: Arc::new(Networks::new(&settings.network)?),
            ..Enrichment::default()
        };
        enrichment.geo.lang = settings.geo.names.unwrap_or_default();
        for (key, path) in geo::paths(&settings.geo) {
            if let Some(path) = path {
                *place(&mut enrichment.geo, key) = Some(Arc::new(Database::open(path, key)?));
            }
        }
        for (kind, paths) in inventories(settings) {
            if !paths.is_empty() {
                *enrichment.listed_mut(kind) = Some(list(kind, paths)?);
            }
        }
        Ok(enrichment)
    }

    /// Looks whether `settings` can be right, without reading the files they name.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be used, such as a file that is not there.
    pub fn check(settings: &Settings) -> Result<(), EnrichError> {
        check_counts(settings)?;
        Networks::new(&settings.network)?;
        let geo = geo::paths(&settings.geo).into_iter().filter_map(|(_, path)| path);
        let lists = inventories(settings).into_iter().flat_map(|(_, paths)| paths);
        for path in geo.chain(lists.map(PathBuf::as_path)) {
            check_regular(path)?;
        }
        Ok(())
    }

    /// Like [`Enrichment::load`], of what can be used. The rest is in the errors.
    pub fn load_usable(settings: &Settings) -> Refreshed {
        let mut errors = Vec::new();
        let mut networks_wrong = None;
        let networks = Networks::new(&settings.network).unwrap_or_else(|error| {
            networks_wrong = Some(error.texts());
            errors.push(error);
            Networks::default()
        });
        let networks = Arc::new(networks);
        let mut empty = Enrichment { networks, networks_wrong, ..Enrichment::default() };
        empty.geo.lang = settings.geo.names.unwrap_or_default();
        let mut refreshed = empty.refresh(settings, true);
        refreshed.errors.splice(0..0, errors);
        refreshed.enrichment.get_or_insert(empty);
        refreshed
    }

    /// Looks whether the files of `settings` are others than those in use, and reads those that are;
    /// with `again`, also those that could not be used before and have not changed since.
    pub fn refresh(&self, settings: &Settings, again: bool) -> Refreshed {
        let mut errors = Vec::new();
        let mut failed = Vec::new();
        let mut changed = false;
        let mut next = self.clone();
        let has_failed = |role: &str, files: &[(PathBuf, Stamp)]| {
            let same = |known: &&Failed| known.role == role && known.files == files;
            self.failed.iter().find(same).filter(|_| !again).cloned()
        };
        for (key, path) in geo::paths(&settings.geo) {
            let Some(path) = path else { continue };
            let place = place(&mut next.geo, key);
            if place.as_ref().is_some_and(|known| is_same(known.used(), path)) {
                continue;
            }
            let files = stamped([path]);
            if let Some(known) = has_failed(key, &files) {
                failed.push(known);
                continue;
            }
            match Database::open(path, key) {
                Ok(database) => {
                    *place = Some(Arc::new(database));
                    changed = true;
                }
                Err(error) => {
                    failed.push(Failed::new(key, files, &error));
                    errors.push(error);
                }
            }
        }
        for (kind, paths) in inventories(settings) {
            let same = |listed: &Option<Listed>| {
                let used = listed.iter().flat_map(|listed| &listed.used);
                used.zip(paths).filter(|(used, path)| is_same(used, path)).count() == paths.len()
            };
            if paths.is_empty() || same(next.listed_mut(kind)) {
                continue;
            }
            let files = stamped(paths.iter().map(PathBuf::as_path));
            if let Some(known) = has_failed(kind.as_str(), &files) {
                failed.push(known);
                continue;
            }
            match list(kind, paths) {
                Ok(listed) => {
                    *next.listed_mut(kind) = Some(listed);
                    changed = true;
                }
                Err(error) => {
                    failed.push(Failed::new(kind.as_str(), files, &error));
                    errors.push(error);
                }
            }
        }
        // What failed must be remembered, too.
        changed |= failed != self.failed;
        next.failed = failed;
        Refreshed { enrichment: changed.then_some(next), errors }
    }

    /// The same with another inventory, which `name` sent.
    #[must_use]
    pub fn with_inventory(
        &self,
        inventory: Arc<Inventory>,
        name: &str,
        bytes: &[u8],
    ) -> Enrichment {
        let kind = inventory.kind();
        let mut next = self.clone();
        let mut used = FileUsed::new(kind.as_str(), Path::new(name), Stamp::default(), bytes);
        used.rows = Some(inventory.len());
        *next.listed_mut(kind) = Some(Listed { inventory, used: vec![used] });
        next
    }

    /// What could not be used when it was tried last, in both languages, English first. It stays
    /// until its files can be used.
    pub fn wrong(&self) -> impl Iterator<Item = &(String, String)> {
        self.networks_wrong.iter().chain(self.failed.iter().map(|failed| &failed.said))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        !self.knows_addresses() && self.users.is_none() && self.assets.is_none()
    }

    /// Every file in use.
    pub fn used(&self) -> impl Iterator<Item = &FileUsed> {
        let listed = self.users.iter().chain(&self.assets).flat_map(|listed| &listed.used);
        self.geo.used().chain(listed)
    }

    /// The databases of public addresses.
    pub fn geo(&self) -> &Geo {
        &self.geo
    }

    /// The own networks.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Users or assets, if there is such a list.
    pub fn inventory(&self, kind: Kind) -> Option<&Inventory> {
        match kind {
            Kind::Users => self.users(),
            Kind::Assets => self.assets(),
        }
    }

    pub(crate) fn users(&self) -> Option<&Inventory> {
        self.users.as_ref().map(|listed| &*listed.inventory)
    }

    pub(crate) fn assets(&self) -> Option<&Inventory> {
        self.assets.as_ref().map(|listed| &*listed.inventory)
    }

    pub(crate) fn knows_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    pub(crate) fn knows_addresses(&self) -> bool {
        self.knows_networks() || !self.geo.is_empty()
    }

    fn listed_mut(&mut self, kind: Kind) -> &mut Option<Listed> {
        match kind {
            Kind::Users => &mut self.users,
            Kind::Assets => &mut self.assets,
        }
    }
}

/// What is wrong with settings as they stand, without a look at the files they name.
fn check_counts(settings: &Settings) -> Result<(), EnrichError> {
    for (kind, paths) in inventories(settings) {
        if paths.len() > INVENTORY_FILES_MAX {
            return Err(EnrichError::TooManyFiles {
                kind: kind.as_str(),
                files: paths.len(),
                max: INVENTORY_FILES_MAX,
            });
        }
    }
    Ok(())
}

fn inventories(settings: &Settings) -> [(Kind, &[PathBuf]); 2] {
    let lists = &settings.inventory;
    [(Kind::Users, &lists.users), (Kind::Assets, &lists.assets)]
}

fn place(geo: &mut Geo, key: geo::Key) -> &mut Option<Arc<Database>> {
    match key {
        "city" => &mut geo.city,
        "country" => &mut geo.country,
        _ => &mut geo.asn,
    }
}

fn is_same(used: &FileUsed, path: &Path) -> bool {
    used.path == path && used.stamp == Stamp::of(path)
}

fn list(kind: Kind, paths: &[PathBuf]) -> Result<Listed, EnrichError> {
    let mut texts = Vec::with_capacity(paths.len());
    let mut used = Vec::with_capacity(paths.len());
    for path in paths.iter().take(INVENTORY_FILES_MAX) {
        let stamp = Stamp::of(path);
        let bytes = read_limited(path, INVENTORY_BYTES_MAX)?;
        used.push(FileUsed::new(kind.as_str(), path, stamp, &bytes));
        texts.push((path.display().to_string(), bytes));
    }
    let sources = texts
        .iter()
        .map(|(name, bytes)| crate::inventory::Source { name: name.as_str().into(), bytes });
    let inventory = Inventory::read_all(kind, sources)?;
    if let [only] = used.as_mut_slice() {
        only.rows = Some(inventory.len());
    }
    Ok(Listed { inventory: Arc::new(inventory), used })
}

/// What a person is told where nothing is known of public addresses.
pub fn no_geo(lang: Lang) -> &'static str {
    match lang {
        Lang::En => {
            "no database of public addresses: events carry no country, city or AS number. Name one \
             under [enrich.geo]; docs/enrichment.md says where to get it"
        }
        Lang::Ja => {
            "公開アドレスのデータベースが未設定のため、国・都市・AS番号は付きません。[enrich.geo] に指定してください\
             （入手方法は docs/enrichment.ja.md）"
        }
    }
}
