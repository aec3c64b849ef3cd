//! What searches are given beside events: alerts and sources as tables of SQL, lists for `lookup`, and
//! the words of acts.

use crate::enrichment::Enriching;
use crate::hunt::Hunter;
use crate::sources::SharedSources;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::error::ArrowError;
use std::sync::Arc;
use yagura_desk::{Alert, Desk};
use yagura_enrich::{Inventory, Kind};
use yagura_event::{Clock, EventBatch, Lang, UtcMicros, columns};
use yagura_hunt::Form;
use yagura_normalize::Normalizer;
use yagura_query::{CellForm, List, ListColumn, Table, Tables};

const ALERTS: &str = "alerts";
const SOURCES: &str = "sources";
const USERS: &str = "users";
const ASSETS: &str = "assets";
const NETWORKS: &str = "networks";
const INDICATORS: &str = "indicators";

/// The parts of a node that know what is no event.
pub(crate) struct NodeTables {
    pub(crate) desk: Arc<Desk>,
    pub(crate) sources: SharedSources,
    pub(crate) source_zone: jiff::tz::TimeZone,
    pub(crate) enriching: Arc<Enriching>,
    pub(crate) hunter: Arc<Hunter>,
    pub(crate) normalizer: Normalizer,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Tables for NodeTables {
    fn names(&self) -> &'static [&'static str] {
        &[ALERTS, SOURCES]
    }

    fn table(&self, name: &str, rows_max: usize) -> Option<Table> {
        let made = match name {
            ALERTS => alerts(self.desk.all_alerts(), rows_max),
            SOURCES => self.sources.rows(self.normalizer.sources(), &self.source_zone, rows_max),
            _ => return None,
        };
        match made {
            Ok((rows, cut)) => Some(Table { rows, cut }),
            Err(error) => {
                tracing::error!(%error, name, "a table cannot be made");
                None
            }
        }
    }

    fn list_names(&self) -> &'static [&'static str] {
        &[USERS, ASSETS, NETWORKS, INDICATORS]
    }

    fn list(&self, name: &str, rows_max: usize) -> Option<List> {
        let enrichment = || self.enriching.current();
        Some(match name {
            USERS => inventory(Kind::Users, enrichment().inventory(Kind::Users), rows_max),
            ASSETS => inventory(Kind::Assets, enrichment().inventory(Kind::Assets), rows_max),
            NETWORKS => {
                let enrichment = enrichment();
                let named = enrichment.networks().named();
                let names = ["network.cidr", "network.name", "network.zone"];
                let rows = named.iter().map(|network| {
                    let cidr = Some(network.cidr.join(";"));
                    [cidr, Some(network.name.clone()), network.zone.clone()]
                });
                list_of(names, CellForm::Networks, rows, rows_max)
            }
            INDICATORS => self.indicators(rows_max),
            _ => return None,
        })
    }

    fn sentences(&self, acts: &EventBatch, lang: Lang) -> Vec<String> {
        let sentences = self.normalizer.sentences(acts);
        (0..acts.rows()).map(|row| sentences.of_row(row, lang)).collect()
    }
}

impl NodeTables {
    /// The indicators that are looked for now and are one value: patterns have no key.
    fn indicators(&self, rows_max: usize) -> List {
        let (matcher, now) = (self.hunter.in_use(), self.clock.now());
        let counted = matcher.indicators().iter();
        let counted = counted.filter(|one| one.form == Form::Exact && one.is_valid_at(now));
        let names = [
            "threat.indicator.name",
            "threat.indicator.type",
            "threat.indicator.provider",
            "threat.indicator.description",
            "threat.indicator.confidence",
            "threat.indicator.marking.tlp",
        ];
        let rows = counted.map(|one| {
            [
                Some(one.value.to_string()),
                Some(one.kind.as_str().to_owned()),
                Some(one.source.to_string()),
                one.note.as_ref().map(ToString::to_string),
                one.confidence.map(|confidence| confidence.to_string()),
                one.tlp.map(|tlp| tlp.as_str().to_owned()),
            ]
        });
        list_of(names, CellForm::One, rows, rows_max)
    }
}

/// The columns by which an inventory is found; a cell may list several of each.
fn keys_of(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Users => ("user", &["user.name", "user.id", "user.email"]),
        Kind::Assets => ("host", &["host.name", "host.ip"]),
    }
}

fn inventory(kind: Kind, inventory: Option<&Inventory>, rows_max: usize) -> List {
    let (prefix, keys) = keys_of(kind);
    let rows = inventory.map(|inventory| inventory.page(0, rows_max)).unwrap_or_default();
    let names = keys.iter().map(|name| (*name).to_owned());
    let names = names.chain(kind.fields().iter().map(|name| format!("{prefix}.{name}")));
    let column = |name: String| {
        let cell = |row: &Vec<(String, String)>| {
            row.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let cells = rows.iter().map(cell).collect();
        let several = keys.contains(&name.as_str());
        let form = if several { CellForm::Several } else { CellForm::One };
        ListColumn { name, cells, form }
    };
    let columns = names.map(column).collect();
    List { columns, cut: inventory.is_some_and(|inventory| inventory.len() > rows_max) }
}

/// A list of these columns; `key` is what the cells of the first one say.
fn list_of<const N: usize>(
    names: [&str; N],
    key: CellForm,
    rows: impl Iterator<Item = [Option<String>; N]>,
    rows_max: usize,
) -> List {
    let mut cells: [Vec<Option<String>>; N] = std::array::from_fn(|_| Vec::new());
    let (mut count, mut cut) = (0, false);
    for row in rows {
        if count == rows_max {
            cut = true;
            break;
        }
        count += 1;
        for (cells, cell) in cells.iter_mut().zip(row) {
            cells.push(cell);
        }
    }
    let mut form = key;
    let columns = names.into_iter().zip(cells).map(|(name, cells)| {
        let form = std::mem::replace(&mut form, CellForm::One);
        ListColumn { name: name.to_owned(), cells: StringArray::from(cells), form }
    });
    List { columns: columns.collect(), cut }
}

/// Instants as a column.
pub(crate) fn times(micros: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// The newest alerts as rows, under the names that they have everywhere.
fn alerts(mut all: Vec<Arc<Alert>>, rows_max: usize) -> Result<(RecordBatch, bool), ArrowError> {
    all.reverse();
    let cut = all.len() > rows_max;
    all.truncate(rows_max);
    let texts = |of: &dyn Fn(&Alert) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(|alert| of(alert)).collect::<StringArray>())
    };
    let instants = |of: &dyn Fn(&Alert) -> UtcMicros| -> ArrayRef {
        times(all.iter().map(|alert| Some(of(alert).as_micros())))
    };
    let count = |alert: &Arc<Alert>| i64::try_from(alert.count).ok();
    let columns: Vec<(&str, ArrayRef)> = vec![
        (columns::TIMESTAMP, instants(&|alert| alert.first_seen)),
        ("alert.last_seen", instants(&|alert| alert.last_seen)),
        ("alert.raised", instants(&|alert| alert.raised)),
        ("alert.id", texts(&|alert| Some(alert.id.to_string()))),
        ("alert.state", texts(&|alert| Some(alert.state.as_str().to_owned()))),
        ("alert.verdict", texts(&|alert| alert.verdict.map(|it| it.as_str().to_owned()))),
        ("alert.count", Arc::new(all.iter().map(count).collect::<Int64Array>())),
        ("alert.entity.kind", texts(&|alert| Some(alert.entity.kind.as_str().to_owned()))),
        ("alert.entity.value", texts(&|alert| Some(alert.entity.value.clone()))),
        ("alert.sentence_ja", texts(&|alert| Some(alert.first_sentence_ja.clone()))),
        ("alert.sentence_en", texts(&|alert| Some(alert.first_sentence_en.clone()))),
        ("rule.uuid", texts(&|alert| Some(alert.rule.uuid.clone()))),
        ("rule.name", texts(&|alert| Some(alert.rule.name.clone()))),
        ("rule.name_ja", texts(&|alert| alert.rule.name_ja.clone())),
        ("rule.level", texts(&|alert| Some(alert.rule.level.as_str().to_owned()))),
        ("rule.phase", texts(&|alert| alert.rule.phase.map(|phase| phase.as_str().to_owned()))),
        ("rule.tags", texts(&|alert| Some(alert.rule.tags.join(", ")))),
        ("event.dataset", texts(&|alert| Some(alert.dataset.clone()))),
        ("event.id", texts(&|alert| alert.event_ids.first().map(ToString::to_string))),
        ("host.name", texts(&|alert| alert.host.clone())),
        ("user.name", texts(&|alert| alert.user.clone())),
        ("source.ip", texts(&|alert| alert.source_ip.clone())),
    ];
    let fields = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok((RecordBatch::try_from_iter_with_nullable(fields)?, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    #[test]
    fn a_list_has_rows_up_to_the_limit_and_says_when_there_are_more() {
        for (rows, there, cut) in [(2, 2, false), (3, 3, false), (4, 3, true)] {
            let rows = (0..rows).map(|n| [Some(n.to_string()), None]);
            let list = list_of(["key", "value"], CellForm::Networks, rows, 3);
            assert_eq!((list.columns[0].cells.len(), list.cut), (there, cut));
            assert_eq!(list.columns[0].form, CellForm::Networks);
            assert_eq!(list.columns[1].form, CellForm::One);
        }
    }

    #[test]
    fn tables_without_rows_have_their_columns() {
        let (rows, cut) = alerts(Vec::new(), 1).unwrap();
        assert_eq!((rows.num_rows(), cut), (0, false));
        assert!(rows.column_by_name("alert.state").is_some());
        let list = inventory(Kind::Users, None, 1);
        assert!(list.columns.iter().any(|column| column.name == "user.department"));
    }
}
