//! Indicators in use. Each list that was taken is one file below `indicators/`, finished once and
//! never changed, its digest in the audit log like that of every finished file; which of them count
//! is the fold of the audit log's records. In memory they are one [`Matcher`].

use super::record::{Added, Change, Entry, Fold, Removed};
use crate::audit::Audit;
use crate::files;
use crate::{DataDir, NodeError};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use yagura_event::{Lang, UtcMicros};
use yagura_hunt::{Indicator, Matcher, Reading};

/// The indicators in use, shared with the pipeline.
pub(crate) struct Store {
    data: DataDir,
    audit: Arc<Audit>,
    matcher: RwLock<Arc<Matcher>>,
    /// Held from reading the indicators to putting the new ones in their place.
    changing: Mutex<()>,
}

/// What adding a list did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Indicators that nobody named before: to be hunted backwards.
    pub fresh: Vec<Arc<Indicator>>,
    /// Indicators taken, those included.
    pub added: u64,
    /// Indicators that were there already, unchanged.
    pub known: u64,
    /// Indicators withdrawn by their source.
    pub withdrawn: u64,
    /// Indicators left out because every network has them, and why.
    pub doubtful: Vec<(Arc<Indicator>, &'static str, &'static str)>,
}

/// A list that is read and not yet in use. Nobody changes the indicators while there is one.
pub(crate) struct Prepared<'a> {
    store: &'a Store,
    taken: Taken,
    /// Everything in use once the list is; `None` where it changes nothing.
    after: Option<Matcher>,
    new: Vec<Arc<Indicator>>,
    withdrawn: Option<Removed>,
    /// The record, but for the file.
    added: Added,
    _changing: MutexGuard<'a, ()>,
}

impl Prepared<'_> {
    /// What taking the list into use does.
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// Takes the list into use: file first, then its digest, then the record, then it counts. `hunt`
    /// is the beginning of the hunt for what is new of it, recorded together with the list and before
    /// it: whatever a crash leaves, no new indicator is in use that is not hunted.
    pub fn record(self, fold: &Mutex<Fold>, hunt: Option<Entry>) -> Result<(), NodeError> {
        let Some(after) = self.after else { return Ok(()) };
        let mut entries: Vec<Entry> = hunt.into_iter().collect();
        entries.extend(self.withdrawn.map(Entry::Removed));
        if !self.new.is_empty() {
            let path = self.store.write_file(&self.new)?;
            entries.push(Entry::Added(Added { path, ..self.added }));
        }
        self.store.record(fold, entries)?;
        *self.store.matcher.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        Ok(())
    }
}

type Key<'a> = (&'a str, yagura_hunt::Kind, &'a str, u8);

fn key(indicator: &Indicator) -> Key<'_> {
    (&indicator.source, indicator.kind, &indicator.value, indicator.form as u8)
}

impl Store {
    /// The indicators that the records of `fold` leave in use.
    pub fn open(data: &DataDir, audit: Arc<Audit>, fold: &Fold) -> Result<Store, NodeError> {
        let mut indicators: Vec<Arc<Indicator>> = Vec::new();
        for change in &fold.changes {
            match change {
                Change::Added(added) => {
                    let read = read_file(data, &audit, &added.path);
                    match read {
                        Ok(read) => merge(&mut indicators, read),
                        // The others still count; `yagura verify` names the file.
                        Err(error) => {
                            tracing::error!(%error, path = %added.path, "indicators are not in use");
                        }
                    }
                }
                Change::Removed(removed) => indicators.retain(|one| !concerns(removed, one)),
            }
        }
        let matcher = Matcher::new(indicators).unwrap_or_else(|error| {
            tracing::error!(%error, "indicators are not in use");
            // Proof: no indicators keep every limit.
            Matcher::new(Vec::<Indicator>::new()).unwrap_or_else(|_| unreachable!())
        });
        Ok(Store {
            data: data.clone(),
            audit,
            matcher: RwLock::new(Arc::new(matcher)),
            changing: Mutex::new(()),
        })
    }

    /// The indicators as they are now.
    pub fn matcher(&self) -> Arc<Matcher> {
        self.matcher.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works out what taking a list into use does. Nothing is written yet.
    pub fn prepare(
        &self,
        reading: Reading,
        (who, now): (&str, UtcMicros),
        keep_doubtful: bool,
    ) -> Result<Prepared<'_>, NodeError> {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.matcher();
        let mut taken = Taken::default();
        let by_key: HashMap<Key<'_>, &Arc<Indicator>> =
            before.indicators().iter().map(|one| (key(one), one)).collect();
        let values: HashSet<(yagura_hunt::Kind, &str, u8)> =
            before.indicators().iter().map(|one| (one.kind, &*one.value, one.form as u8)).collect();
        let source = reading.source();
        let mut new: Vec<Arc<Indicator>> = Vec::new();
        for indicator in reading.indicators {
            let indicator = Arc::new(indicator);
            if !keep_doubtful
                && let (Some(en), Some(ja)) = (indicator.doubt(Lang::En), indicator.doubt(Lang::Ja))
            {
                taken.doubtful.push((indicator, en, ja));
                continue;
            }
            match by_key.get(&key(&indicator)) {
                Some(known) if **known == indicator => {
                    taken.known += 1;
                    continue;
                }
                _ => {}
            }
            let value = (indicator.kind, &*indicator.value, indicator.form as u8);
            if !values.contains(&value) {
                taken.fresh.push(indicator.clone());
            }
            new.push(indicator);
        }
        taken.added = new.len() as u64;
        let withdrawn: HashSet<&str> = reading.revoked.iter().map(|id| &**id).collect();
        let mut after: Vec<Arc<Indicator>> = before.indicators().to_vec();
        let count = after.len();
        if !withdrawn.is_empty() {
            after.retain(|one| {
                *one.source != *source || one.id.as_deref().is_none_or(|id| !withdrawn.contains(id))
            });
        }
        taken.withdrawn = (count - after.len()) as u64;
        let changes = !new.is_empty() || taken.withdrawn > 0;
        let matcher = |mut after: Vec<Arc<Indicator>>| {
            merge(&mut after, new.iter().cloned());
            Matcher::new(after).map_err(|error| {
                let said = yagura_hunt::Said::from(error);
                NodeError::request(said.en, said.ja)
            })
        };
        let after = changes.then(|| matcher(after)).transpose()?;
        let withdrawn = (taken.withdrawn > 0).then(|| Removed {
            at: now,
            who: who.to_owned(),
            source: Some(source.to_string()),
            values: Vec::new(),
            ids: reading.revoked.iter().map(|id| id.to_string()).collect(),
            count: taken.withdrawn,
        });
        let added = Added {
            at: now,
            who: who.to_owned(),
            source: source.to_string(),
            path: String::new(),
            sha256: reading.sha256,
            count: new.len() as u64,
            refused: reading.refused_total,
        };
        Ok(Prepared { store: self, taken, after, new, withdrawn, added, _changing: changing })
    }

    /// Takes indicators out of use.
    pub fn remove(
        &self,
        fold: &Mutex<Fold>,
        (who, now): (&str, UtcMicros),
        source: Option<String>,
        values: Vec<String>,
    ) -> Result<u64, NodeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.matcher();
        let mut removed =
            Removed { at: now, who: who.to_owned(), source, values, ids: Vec::new(), count: 0 };
        let mut after = before.indicators().to_vec();
        after.retain(|one| !concerns(&removed, one));
        removed.count = (before.len() - after.len()) as u64;
        let count = removed.count;
        if count == 0 {
            return Ok(0);
        }
        let matcher = Matcher::new(after).map_err(|error| NodeError::Content(error.to_string()))?;
        self.record(fold, vec![Entry::Removed(removed)])?;
        *self.matcher.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(matcher);
        Ok(count)
    }

    fn record(&self, fold: &Mutex<Fold>, entries: Vec<Entry>) -> Result<(), NodeError> {
        let mut fold = fold.lock().unwrap_or_else(PoisonError::into_inner);
        self.audit.write(&entries.iter().map(Entry::to_value).collect::<Vec<_>>())?;
        entries.into_iter().for_each(|entry| fold.apply(entry));
        Ok(())
    }

    /// Writes a file of indicators under the next free number.
    fn write_file(&self, indicators: &[Arc<Indicator>]) -> Result<String, NodeError> {
        let name = |number| format!("{number:06}.jsonl");
        files::write_next(&self.data, &self.audit, &self.data.indicators(), name, |out| {
            for indicator in indicators {
                serde_json::to_writer(&mut *out, indicator)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

/// Puts newer indicators in the place of older ones of the same source: those with the same value,
/// and those with the same id.
fn merge(indicators: &mut Vec<Arc<Indicator>>, newer: impl IntoIterator<Item = Arc<Indicator>>) {
    let newer: Vec<Arc<Indicator>> = newer.into_iter().collect();
    if !indicators.is_empty() {
        let keys: HashSet<Key<'_>> = newer.iter().map(|one| key(one)).collect();
        let ids: HashSet<(&str, &str)> =
            newer.iter().filter_map(|one| Some((&*one.source, one.id.as_deref()?))).collect();
        indicators.retain(|one| {
            let replaced = one.id.as_deref().is_some_and(|id| ids.contains(&(&*one.source, id)));
            !replaced && !keys.contains(&key(one))
        });
    }
    indicators.extend(newer);
}

fn concerns(removed: &Removed, indicator: &Indicator) -> bool {
    let of_source = removed.source.as_deref().is_none_or(|source| source == &*indicator.source);
    let of_value =
        removed.values.is_empty() || removed.values.iter().any(|v| **v == *indicator.value);
    let of_id = removed.ids.is_empty()
        || indicator.id.as_deref().is_some_and(|id| removed.ids.iter().any(|other| other == id));
    of_source && of_value && of_id
}

fn read_file(data: &DataDir, audit: &Audit, path: &str) -> Result<Vec<Arc<Indicator>>, NodeError> {
    let damaged = |en: String, ja: String| {
        NodeError::request(format!("{path}: {en}"), format!("{path}: {ja}"))
    };
    let text = files::read_text(data, audit, path)?;
    let mut sources: HashMap<Arc<str>, Arc<str>> = HashMap::new();
    let mut indicators = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let read: Result<Indicator, _> = serde_json::from_str(line);
        let mut indicator = read.map_err(|error| {
            let number = number + 1;
            damaged(format!("line {number}: {error}"), format!("{number} 行目: {error}"))
        })?;
        if !indicator.is_sound() {
            let number = number + 1;
            return Err(damaged(
                format!("line {number} is no indicator"),
                format!("{number} 行目は侵害指標ではありません"),
            ));
        }
        // One copy of each source's name.
        let source = indicator.source.clone();
        indicator.source = sources.entry(source.clone()).or_insert(source).clone();
        indicators.push(Arc::new(indicator));
    }
    Ok(indicators)
}
