//! A rule's match on a row, as the desk wants to hear of it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use std::sync::Arc;
use yagura_desk::{EvidenceItem, Finding, RuleCopy};
use yagura_detect::{Match, RuleInfo};
use yagura_event::{EventBatch, EventId, Lang, StreamName, UtcMicros, columns};
use yagura_normalize::Normalizer;

/// The finding of a match; `None` for a row without its envelope, which no normalizer makes.
pub(crate) fn finding(
    batch: &EventBatch,
    matched: &Match,
    normalizer: &Normalizer,
) -> Option<Finding> {
    let row = matched.row;
    let text = |name: &str| text_at(batch, row, name).filter(|text| !text.is_empty());
    Some(Finding {
        rule: Arc::new(copy(&matched.rule)),
        dataset: batch.dataset.to_string(),
        host: text("host.name").map(str::to_owned),
        user: text("user.name").map(str::to_owned),
        source_ip: text("source.ip").map(str::to_owned),
        event_id: event_id(batch, row)?,
        timestamp: instant_at(batch, row, columns::TIMESTAMP)?,
        received: instant_at(batch, row, columns::INGESTED)?,
        sentence_ja: normalizer.sentence(batch, row, Lang::Ja),
        sentence_en: normalizer.sentence(batch, row, Lang::En),
        evidence: matched
            .evidence
            .iter()
            .map(|item| EvidenceItem {
                field: item.field.to_string(),
                value: item.value.to_string(),
                predicate: item.predicate.to_string(),
            })
            .collect(),
    })
}

fn copy(rule: &RuleInfo) -> RuleCopy {
    RuleCopy {
        uuid: rule.id.clone(),
        name: rule.title.clone(),
        name_ja: rule.title_ja.clone(),
        level: rule.level,
        tags: rule.tags.clone(),
        author: rule.author.clone(),
        license: rule.license.clone(),
        phase: rule.phase.as_deref().and_then(|word| word.parse().ok()),
    }
}

/// The id of a row.
pub(crate) fn event_id(batch: &EventBatch, row: usize) -> Option<EventId> {
    let stream = StreamName::new(text_at(batch, row, columns::STREAM)?).ok()?;
    let number = u64::try_from(long_at(batch, row, columns::BATCH)?).ok()?;
    let index = u32::try_from(long_at(batch, row, columns::INDEX)?).ok()?;
    Some(EventId { stream, batch: number, index })
}

fn cell<'a>(batch: &'a EventBatch, row: usize, name: &str) -> Option<&'a ArrayRef> {
    let column = batch.columns.column_by_name(name)?;
    (row < column.len() && column.is_valid(row)).then_some(column)
}

fn text_at<'a>(batch: &'a EventBatch, row: usize, name: &str) -> Option<&'a str> {
    let column = cell(batch, row, name)?;
    if let Some(text) = column.as_string_opt::<i32>() {
        return Some(text.value(row));
    }
    let keyword = column.as_dictionary_opt::<Int32Type>()?;
    let values = keyword.values().as_string_opt::<i32>()?;
    let key = usize::try_from(keyword.keys().value(row)).ok()?;
    (key < values.len()).then(|| values.value(key))
}

fn long_at(batch: &EventBatch, row: usize, name: &str) -> Option<i64> {
    Some(cell(batch, row, name)?.as_primitive_opt::<Int64Type>()?.value(row))
}

fn instant_at(batch: &EventBatch, row: usize, name: &str) -> Option<UtcMicros> {
    let column = cell(batch, row, name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
    Some(UtcMicros::from_micros(column.value(row)))
}
