//! One finding as a JSON object of ECS names: how it is kept, and how it is written.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, PrimitiveArray, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use foldhash::fast::RandomState;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use yagura_event::{EventBatch, Lang, Level, UtcMicros, columns};

/// Names and values in the order they are written; each name once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finding {
    fields: Vec<(Cow<'static, str>, Value)>,
}

impl Finding {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The text of a field; empty where it has none.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The texts of a field that is a list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Every field.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Severity of its rule.
    pub fn level(&self) -> Level {
        self.text("rule.level").parse().unwrap_or_default()
    }

    /// When the event happened.
    pub fn timestamp(&self) -> UtcMicros {
        self.text(columns::TIMESTAMP).parse().unwrap_or_default()
    }

    /// The rule's title in `lang`, in its author's language where there is no translation.
    pub fn title(&self, lang: Lang) -> &str {
        match (lang, self.text("rule.name_ja")) {
            (Lang::En, _) | (Lang::Ja, "") => self.text("rule.name"),
            (Lang::Ja, title) => title,
        }
    }

    /// The names that are constants.
    pub(crate) fn constant_names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter_map(|(name, _)| match name {
            Cow::Borrowed(name) => Some(*name),
            Cow::Owned(_) => None,
        })
    }

    /// Sets a field that is not there yet.
    pub(crate) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        if !self.fields.iter().any(|(known, _)| *known == name) {
            self.fields.push((name, value.into()));
        }
    }

    /// Sets a field that is not there yet to a text, if there is one.
    pub(crate) fn put_text<'t>(
        &mut self,
        name: &'static str,
        text: Option<impl Into<Cow<'t, str>>>,
    ) {
        if let Some(text) = text.map(Into::into).filter(|text| !text.is_empty()) {
            self.put(name, text.into_owned());
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Finding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Finding;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Finding, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(24));
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    fields.push((Cow::Owned(name), value));
                }
                Ok(Finding { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A batch's columns that every finding asks for, looked up once.
pub(crate) struct BatchView<'a> {
    batch: &'a EventBatch,
    columns: HashMap<&'a str, &'a ArrayRef, RandomState>,
    time: Option<&'a PrimitiveArray<TimestampMicrosecondType>>,
    unit: Option<&'a PrimitiveArray<Int64Type>>,
    index: Option<&'a PrimitiveArray<Int64Type>>,
}

impl<'a> BatchView<'a> {
    pub fn new(batch: &'a EventBatch) -> Self {
        let names = batch.columns.schema_ref().fields().iter().map(|field| field.name().as_str());
        let columns: HashMap<&str, &ArrayRef, RandomState> =
            names.zip(batch.columns.columns()).collect();
        let column = |name: &str| columns.get(name).copied();
        BatchView {
            batch,
            time: column(columns::TIMESTAMP).and_then(|column| column.as_primitive_opt()),
            unit: column(columns::BATCH).and_then(|column| column.as_primitive_opt()),
            index: column(columns::INDEX).and_then(|column| column.as_primitive_opt()),
            columns,
        }
    }

    /// The dataset of the events.
    pub fn dataset(&self) -> &'a Arc<str> {
        &self.batch.dataset
    }

    /// When the event of `row` happened, in microseconds since 1970 UTC.
    pub fn time(&self, row: usize) -> i64 {
        self.time.filter(|times| row < times.len()).map_or(0, |times| times.value(row))
    }

    /// The unit the event was read with, and its index there.
    pub fn place(&self, row: usize) -> (u64, u32) {
        let number = |column: Option<&PrimitiveArray<Int64Type>>| {
            column.filter(|numbers| row < numbers.len()).map_or(0, |numbers| numbers.value(row))
        };
        let unit = u64::try_from(number(self.unit)).unwrap_or_default();
        (unit, u32::try_from(number(self.index)).unwrap_or_default())
    }

    /// The column of this name, to ask for several rows. `None` where there is none, or it has no
    /// text.
    pub fn values(&self, name: &str) -> Option<Values<'a>> {
        let column = *self.columns.get(name)?;
        if let Some(keys) = column.as_dictionary_opt::<Int32Type>() {
            let values = keys.values().as_any().downcast_ref::<StringArray>()?;
            return Some(Values::Keyword { keys, values });
        }
        let texts = column.as_string_opt().map(Values::Text);
        let numbers = || column.as_primitive_opt().map(Values::Long);
        let times = || column.as_primitive_opt().map(Values::Time);
        texts.or_else(numbers).or_else(times)
    }

    /// The text of a keyword column, of a text column, of a number, or of a time.
    pub fn value(&self, name: &str, row: usize) -> Option<Cow<'a, str>> {
        self.values(name)?.of(row)
    }
}

/// The values of one column.
pub(crate) enum Values<'a> {
    Keyword { keys: &'a DictionaryArray<Int32Type>, values: &'a StringArray },
    Text(&'a StringArray),
    Long(&'a PrimitiveArray<Int64Type>),
    Time(&'a PrimitiveArray<TimestampMicrosecondType>),
}

impl<'a> Values<'a> {
    /// What `row` has, as text.
    pub fn of(&self, row: usize) -> Option<Cow<'a, str>> {
        let has = |column: &dyn Array| row < column.len() && column.is_valid(row);
        match *self {
            Values::Keyword { keys, values } => {
                let key = if row < keys.len() { keys.key(row)? } else { return None };
                let is_value = key < values.len() && values.is_valid(key);
                is_value.then(|| Cow::Borrowed(values.value(key)))
            }
            Values::Text(texts) => has(texts).then(|| Cow::Borrowed(texts.value(row))),
            Values::Long(numbers) => has(numbers).then(|| numbers.value(row).to_string().into()),
            Values::Time(times) => {
                has(times).then(|| UtcMicros::from_micros(times.value(row)).to_string().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_back_in_its_order() {
        let mut finding = Finding::default();
        finding.put("rule.name", "z");
        finding.put("@timestamp", "2026-11-21T19:30:00.321000Z");
        finding.put("rule.tags", vec!["a".to_owned()]);
        finding.put("rule.name", "second");
        finding.put_text("user.name", Some(""));
        let text = serde_json::to_string(&finding).unwrap();
        assert_eq!(
            text,
            r#"{"rule.name":"z","@timestamp":"2026-11-21T19:30:00.321000Z","rule.tags":["a"]}"#
        );
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        assert_eq!(finding.texts("rule.tags").collect::<Vec<_>>(), ["a"]);
    }
}
