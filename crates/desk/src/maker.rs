use crate::finding::{EventWords, EvidenceItem, Finding, RuleCopy};
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use std::collections::HashMap;
use std::sync::Arc;
use yagura_detect::{Match, RuleInfo};
use yagura_event::{EventBatch, EventId, StreamName, UtcMicros, columns};

/// Turns the matches of an engine into findings. One per thread; keeps one [`RuleCopy`] per rule.
#[derive(Debug, Default)]
pub struct FindingMaker {
    /// By rule id. A rule that was loaded anew replaces its older copy.
    rules: HashMap<String, (Arc<RuleInfo>, Arc<RuleCopy>)>,
}

impl FindingMaker {
    /// A maker that knows no rule yet.
    pub fn new() -> Self {
        FindingMaker::default()
    }

    /// The finding of `found`, a match on a row of `batch`, whose event reads `words`.
    /// `None` where the batch does not say which event that row is, which no batch of
    /// [`yagura_event::BatchBuilder`] fails to do.
    pub fn make(&mut self, batch: &EventBatch, found: Match, words: EventWords) -> Option<Finding> {
        let evidence = found.evidence.into_iter().map(EvidenceItem::from).collect();
        let rule = self.rule(found.rule);
        Finding::on(batch, found.row, rule, evidence, words)
    }

    fn rule(&mut self, rule: Arc<RuleInfo>) -> Arc<RuleCopy> {
        if let Some((known, copy)) = self.rules.get(&rule.id)
            && Arc::ptr_eq(known, &rule)
        {
            return copy.clone();
        }
        let copy = Arc::new(RuleCopy::from(&*rule));
        self.rules.insert(rule.id.clone(), (rule, copy.clone()));
        copy
    }
}

impl Finding {
    /// A finding of `rule` on a row of `batch`, whose event reads `words`.
    /// `None` where the batch does not say which event that row is.
    pub fn on(
        batch: &EventBatch,
        row: usize,
        rule: Arc<RuleCopy>,
        evidence: Vec<EvidenceItem>,
        words: EventWords,
    ) -> Option<Finding> {
        let event_id = EventId {
            stream: StreamName::new(&keyword(batch, columns::STREAM, row)?).ok()?,
            batch: u64::try_from(long(batch, columns::BATCH, row)?).ok()?,
            index: u32::try_from(long(batch, columns::INDEX, row)?).ok()?,
        };
        let received = instant(batch, columns::INGESTED, row)?;
        Some(Finding {
            rule,
            dataset: batch.dataset.to_string(),
            host: keyword(batch, "host.name", row),
            user: keyword(batch, "user.name", row),
            source_ip: keyword(batch, "source.ip", row),
            event_id,
            timestamp: instant(batch, columns::TIMESTAMP, row).unwrap_or(received),
            received,
            words,
            evidence,
        })
    }
}

fn keyword(batch: &EventBatch, name: &str, row: usize) -> Option<String> {
    let column = batch.columns.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
    let key = column.key(row)?;
    let values = column.values().as_any().downcast_ref::<StringArray>()?;
    (key < values.len() && values.is_valid(key)).then(|| values.value(key).to_owned())
}

fn long(batch: &EventBatch, name: &str, row: usize) -> Option<i64> {
    let column = batch.columns.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

fn instant(batch: &EventBatch, name: &str, row: usize) -> Option<UtcMicros> {
    let column = batch.columns.column_by_name(name)?;
    let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    let valid = row < column.len() && column.is_valid(row);
    valid.then(|| UtcMicros::from_micros(column.value(row)))
}
