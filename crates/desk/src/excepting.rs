//! The exceptions in force, ready to be asked about single matches.

use crate::alert::{Entity, EntityKind};
use crate::exception::{Exception, ExceptionId};
use crate::finding::Finding;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use yagura_detect::RowCondition;
use yagura_event::{EventBatch, FieldDictionary, UtcMicros};

/// The exceptions in force at one moment: [`crate::Desk::exceptions`]. Shared with [`Arc`].
#[derive(Debug, Default)]
pub struct ExceptionSet {
    list: Vec<Compiled>,
    by_rule: HashMap<String, Vec<usize>>,
    by_tag: HashMap<String, Vec<usize>>,
    unreadable: Vec<ExceptionId>,
}

#[derive(Debug)]
struct Compiled {
    id: ExceptionId,
    expires: Option<UtcMicros>,
    /// Its name folded as the desk folds names when grouping.
    entity: Option<Entity>,
    condition: Option<RowCondition>,
}

/// What an event names, as far as an exception may ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// `host.name`.
    pub host: Option<&'a str>,
    /// `user.name`.
    pub user: Option<&'a str>,
    /// `source.ip`.
    pub source_ip: Option<&'a str>,
    /// The dataset.
    pub dataset: &'a str,
}

impl ExceptionSet {
    /// Reads the conditions of exceptions. One that cannot be read takes nothing away.
    pub(crate) fn new<'a>(exceptions: impl Iterator<Item = &'a Arc<Exception>>) -> Self {
        let mut set = ExceptionSet::default();
        for exception in exceptions {
            let condition = match exception.conditions.is_empty() {
                true => None,
                false => match condition_of(exception) {
                    Ok(condition) => Some(condition),
                    Err(_) => {
                        set.unreadable.push(exception.id);
                        continue;
                    }
                },
            };
            let number = set.list.len();
            for rule in &exception.rules {
                set.by_rule.entry(rule.to_ascii_lowercase()).or_default().push(number);
            }
            for tag in &exception.tags {
                set.by_tag.entry(tag.to_ascii_lowercase()).or_default().push(number);
            }
            let entity = exception
                .entity
                .as_ref()
                .map(|entity| Entity { kind: entity.kind, value: entity.value.to_lowercase() });
            let (id, expires) = (exception.id, exception.expires);
            set.list.push(Compiled { id, expires, entity, condition });
        }
        set
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those whose conditions cannot be read, as a newer version may have written them; they take
    /// nothing away.
    pub fn unreadable(&self) -> &[ExceptionId] {
        &self.unreadable
    }

    /// Whether any exception speaks of the rule `uuid` with `tags`: a cheap first question.
    pub fn concerns(&self, uuid: &str, tags: &[String]) -> bool {
        !self.list.is_empty() && self.of_rule(uuid, tags).next().is_some()
    }

    /// Columns of events of `dataset` that the exceptions from the rule `uuid` with `tags` look at, for
    /// whoever reads no others: [`ExceptionSet::for_row`] needs them.
    pub fn columns(
        &self,
        (uuid, tags): (&str, &[String]),
        dictionary: &FieldDictionary,
        dataset: &str,
    ) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        for one in self.of_rule(uuid, tags) {
            let entity = one.entity.as_ref().and_then(|entity| match entity.kind {
                EntityKind::Host => Some("host.name"),
                EntityKind::User => Some("user.name"),
                EntityKind::SourceIp => Some("source.ip"),
                EntityKind::Dataset => None,
            });
            columns.extend(entity.map(str::to_owned));
            columns.extend(
                one.condition.iter().flat_map(|condition| condition.columns(dictionary, dataset)),
            );
            // Without it no finding can be made of a row.
            columns.insert(yagura_event::columns::INGESTED.to_owned());
        }
        columns
    }

    /// The exception that takes a match of the rule `uuid` with `tags` on a row of `batch` away,
    /// if there is one: the oldest of several.
    pub fn for_row(
        &self,
        now: UtcMicros,
        (uuid, tags): (&str, &[String]),
        named: Named<'_>,
        dictionary: &FieldDictionary,
        (batch, row): (&EventBatch, usize),
    ) -> Option<ExceptionId> {
        let holds = |condition: &RowCondition| condition.holds(dictionary, batch, row);
        self.first(now, uuid, tags, named, &holds)
    }

    /// The exception that takes a finding away without a look at its event: only those that ask
    /// for an entity, or take everything.
    pub fn for_finding(&self, now: UtcMicros, finding: &Finding) -> Option<ExceptionId> {
        let named = Named {
            host: finding.host.as_deref(),
            user: finding.user.as_deref(),
            source_ip: finding.source_ip.as_deref(),
            dataset: &finding.dataset,
        };
        self.first(now, &finding.rule.uuid, &finding.rule.tags, named, &|_| false)
    }

    fn first(
        &self,
        now: UtcMicros,
        uuid: &str,
        tags: &[String],
        named: Named<'_>,
        holds: &dyn Fn(&RowCondition) -> bool,
    ) -> Option<ExceptionId> {
        if self.list.is_empty() {
            return None;
        }
        let excepts = |one: &&Compiled| {
            one.expires.is_none_or(|expires| now < expires)
                && one.entity.as_ref().is_none_or(|entity| named.is(entity))
                && one.condition.as_ref().is_none_or(holds)
        };
        self.of_rule(uuid, tags).filter(excepts).map(|one| one.id).min()
    }

    fn of_rule<'a>(
        &'a self,
        uuid: &str,
        tags: &'a [String],
    ) -> impl Iterator<Item = &'a Compiled> + 'a {
        let by_rule = self.by_rule.get(&uuid.to_ascii_lowercase()).into_iter().flatten();
        let by_tag = tags
            .iter()
            .filter(|_| !self.by_tag.is_empty())
            .filter_map(|tag| self.by_tag.get(&tag.to_ascii_lowercase()))
            .flatten();
        by_rule.chain(by_tag).filter_map(|number| self.list.get(*number))
    }
}

impl Named<'_> {
    /// Whether the event names `entity`, whose value is folded.
    fn is(&self, entity: &Entity) -> bool {
        let name = match entity.kind {
            EntityKind::Host => self.host,
            EntityKind::User => self.user,
            EntityKind::SourceIp => self.source_ip,
            EntityKind::Dataset => Some(self.dataset),
        };
        name.is_some_and(|name| name.to_lowercase() == entity.value)
    }
}

/// The conditions of an exception, read.
pub(crate) fn condition_of(exception: &Exception) -> Result<RowCondition, String> {
    let text = serde_json::to_string(&exception.conditions).map_err(|error| error.to_string())?;
    RowCondition::parse(&text)
}
