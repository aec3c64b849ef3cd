//! `rsigma-eval` on the same events: each as a JSON object with the fields' Sigma names, and the
//! log source it belongs to.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rsigma_parser::{Detection, LogSource, SigmaCollection};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use yagura_detect::{Clause, LogSources, RuleFile};
use yagura_event::{EventBatch, FieldDictionary};

/// An event as the peer takes it.
pub struct PeerEvent {
    pub value: Value,
    pub source: LogSource,
}

/// The rules that both engines use.
pub fn collection(rules: &[RuleFile], used: &BTreeSet<String>) -> SigmaCollection {
    let mut all = SigmaCollection::new();
    for file in rules {
        let parsed = rsigma_parser::parse_sigma_yaml(&file.text);
        let rules = parsed.into_iter().flat_map(|parsed| parsed.rules);
        all.rules.extend(rules.filter(|rule| rule.id.as_ref().is_some_and(|id| used.contains(id))));
    }
    all
}

/// Names events for the peer.
pub struct Namer<'a> {
    dictionary: &'a FieldDictionary,
    fields: BTreeSet<String>,
    /// Log sources of the rules, what events they mean, and how many rules they have.
    sources: Vec<(LogSource, Vec<Clause>, usize)>,
}

impl<'a> Namer<'a> {
    pub fn new(
        dictionary: &'a FieldDictionary,
        collection: &SigmaCollection,
        mapping: &LogSources,
    ) -> Namer<'a> {
        let mut fields = BTreeSet::new();
        let mut sources: BTreeMap<String, (LogSource, Vec<Clause>, usize)> = BTreeMap::new();
        for rule in &collection.rules {
            for detection in rule.detection.named.values() {
                fields_of(detection, &mut fields);
            }
            let known = sources.entry(format!("{:?}", rule.logsource)).or_insert_with(|| {
                let LogSource { category, product, service, .. } = &rule.logsource;
                let parts = [category, product, service].map(|part| part.as_deref());
                let clauses = mapping.clauses(parts[0], parts[1], parts[2]).unwrap_or_default();
                (rule.logsource.clone(), clauses, 0)
            });
            known.2 += 1;
        }
        Namer { dictionary, fields, sources: sources.into_values().collect() }
    }

    /// The events of a batch.
    pub fn events(&self, batch: &EventBatch) -> Vec<PeerEvent> {
        let mut events = vec![Map::new(); batch.rows()];
        let columns: BTreeMap<String, Vec<Option<String>>> = batch
            .columns
            .schema()
            .fields()
            .iter()
            .zip(batch.columns.columns())
            .filter(|(field, _)| !field.name().starts_with("yagura."))
            .map(|(field, column)| (field.name().clone(), cells(column)))
            .collect();
        let mut named = BTreeSet::new();
        for field in &self.fields {
            let column = self.dictionary.sigma_column(&batch.dataset, field);
            if let Some((column, cells)) = columns.get_key_value(column.as_ref()) {
                named.insert(column.clone());
                put(field, cells, &mut events);
            }
        }
        // What no rule names is there for keywords.
        for (column, cells) in columns.iter().filter(|(column, _)| !named.contains(*column)) {
            put(column, cells, &mut events);
        }
        let values = events.into_iter().map(Value::Object);
        values.enumerate().map(|(row, value)| self.event(batch, &columns, row, value)).collect()
    }

    fn event(
        &self,
        batch: &EventBatch,
        columns: &BTreeMap<String, Vec<Option<String>>>,
        row: usize,
        value: Value,
    ) -> PeerEvent {
        let cell = |field: &str| {
            let column = self.dictionary.sigma_column(&batch.dataset, field);
            columns.get(column.as_ref())?.get(row)?.as_deref()
        };
        let mut source = LogSource::default();
        let mut most = [0; 3];
        for (logsource, clauses, rules) in &self.sources {
            let concerned = clauses.iter().any(|clause| {
                clause.covers(&batch.dataset)
                    && clause.fields.iter().all(|(field, values)| {
                        cell(field).is_some_and(|cell| {
                            values.iter().any(|value| value.eq_ignore_ascii_case(cell))
                        })
                    })
            });
            if !concerned {
                continue;
            }
            let parts = [
                (&logsource.category, &mut source.category),
                (&logsource.product, &mut source.product),
                (&logsource.service, &mut source.service),
            ];
            // An event of two categories goes to the one with more rules.
            for ((from, to), most) in parts.into_iter().zip(&mut most) {
                if from.is_some() && rules > most {
                    (*to, *most) = (from.clone(), *rules);
                }
            }
        }
        PeerEvent { value, source }
    }
}

fn put(name: &str, cells: &[Option<String>], events: &mut [Map<String, Value>]) {
    for (event, cell) in events.iter_mut().zip(cells) {
        if let Some(cell) = cell {
            event.insert(name.to_owned(), Value::String(cell.clone()));
        }
    }
}

fn fields_of(detection: &Detection, fields: &mut BTreeSet<String>) {
    match detection {
        Detection::AllOf(items) => {
            fields.extend(items.iter().filter_map(|item| item.field.name.clone()));
        }
        Detection::AnyOf(parts) => parts.iter().for_each(|part| fields_of(part, fields)),
        _ => {}
    }
}

/// A column as text.
fn cells(column: &ArrayRef) -> Vec<Option<String>> {
    let none = || vec![None; column.len()];
    if matches!(column.data_type(), DataType::Binary) {
        return none();
    }
    let Ok(text) = cast(column, &DataType::Utf8) else { return none() };
    text.as_string::<i32>().iter().map(|cell| cell.map(str::to_owned)).collect()
}
