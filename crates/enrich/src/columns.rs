//! Columns that are added to a batch: read once per distinct value, written as dictionaries again.

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Int64Type, Schema};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::sync::Arc;
use yagura_event::EventBatch;
use yagura_event::limits::COLUMNS_PER_DATASET_MAX;

/// A keyword column, to be looked at by its distinct values.
pub(crate) struct Words<'a> {
    keys: &'a Int32Array,
    values: &'a StringArray,
}

impl<'a> Words<'a> {
    pub(crate) fn of(rows: &'a RecordBatch, name: &str) -> Option<Self> {
        let column = rows.column_by_name(name)?.as_dictionary_opt::<Int32Type>()?;
        Some(Words { keys: column.keys(), values: column.values().as_string_opt::<i32>()? })
    }

    /// What `find` says of each distinct value; `None` where it knows nothing of any.
    pub(crate) fn each<T>(
        &self,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        let mut any = false;
        let found = self.values.iter().map(|value| {
            let found = value.and_then(&mut find);
            any |= found.is_some();
            found
        });
        let found: Vec<Option<T>> = found.collect();
        any.then_some(found)
    }
}

/// For every row which of some facts is about it.
pub(crate) struct Facts<T> {
    of_row: Vec<i32>,
    facts: Vec<T>,
}

impl<T> Facts<T> {
    pub(crate) fn new(rows: usize) -> Self {
        Facts { of_row: vec![-1; rows], facts: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Takes what was found of a column's distinct values for rows that have nothing yet.
    pub(crate) fn take(&mut self, words: &Words<'_>, found: Vec<Option<T>>) {
        let mut facts_of_value = Vec::with_capacity(found.len());
        for found in found {
            facts_of_value.push(match found {
                Some(fact) => {
                    self.facts.push(fact);
                    i32::try_from(self.facts.len() - 1).unwrap_or(-1)
                }
                None => -1,
            });
        }
        let keys = words.keys.values();
        for (row, (fact, key)) in self.of_row.iter_mut().zip(keys.iter()).enumerate() {
            if *fact < 0 && words.keys.is_valid(row) {
                // Proof: the key of a valid row is a place in the dictionary.
                *fact = facts_of_value.get(*key as usize).copied().unwrap_or(-1);
            }
        }
    }

    fn of_row(&self) -> impl Iterator<Item = Option<&T>> {
        self.of_row.iter().map(|fact| self.facts.get(usize::try_from(*fact).ok()?))
    }
}

impl<T: Copy> Facts<T> {
    /// The facts of a row.
    pub(crate) fn each(&self) -> impl Iterator<Item = Option<T>> + '_ {
        self.of_row().map(Option::<&T>::copied)
    }
}

/// The columns of a batch, old and new.
pub(crate) struct Columns {
    fields: Vec<FieldRef>,
    arrays: Vec<ArrayRef>,
    rows: usize,
    changed: bool,
    /// Columns for which there was no room.
    pub(crate) left_out: u64,
}

impl Columns {
    pub(crate) fn of(batch: &EventBatch) -> Self {
        let columns = &batch.columns;
        Columns {
            fields: columns.schema_ref().fields().to_vec(),
            arrays: columns.columns().to_vec(),
            rows: columns.num_rows(),
            changed: false,
            left_out: 0,
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name() == name)
    }

    /// Rows in which one of the columns has a value; `None` if there is none.
    pub(crate) fn said(&self, names: &[&str]) -> Option<Vec<bool>> {
        let columns: Vec<&ArrayRef> = names
            .iter()
            .filter_map(|name| self.arrays.get(self.find(name)?))
            .filter(|column| column.null_count() < column.len())
            .collect();
        if columns.is_empty() {
            return None;
        }
        Some((0..self.rows).map(|row| columns.iter().any(|column| column.is_valid(row))).collect())
    }

    /// Adds a keyword column: for each row the text of its facts. Rows without keep what they have.
    /// In rows of `except` nothing is added.
    pub(crate) fn put<'f, T>(
        &mut self,
        name: &str,
        facts: &'f Facts<T>,
        except: Option<&[bool]>,
        text: impl Fn(&'f T) -> Option<&'f str>,
    ) {
        let mut values = Values::default();
        let of_fact: Vec<i32> =
            facts.facts.iter().map(|fact| text(fact).map_or(-1, |text| values.key(text))).collect();
        self.put_facts(name, facts, except, &of_fact, values);
    }

    /// Like [`Columns::put`], of facts that know the number of their text.
    pub(crate) fn put_numbered<T>(
        &mut self,
        name: &str,
        facts: &Facts<T>,
        except: Option<&[bool]>,
        texts: &Texts,
        number: impl Fn(&T) -> TextNumber,
    ) {
        let mut keys: Vec<i32> = vec![-1; texts.texts.len()];
        let mut values = Values::default();
        let mut of_fact = Vec::with_capacity(facts.facts.len());
        for fact in &facts.facts {
            let number = number(fact) as usize;
            of_fact.push(match (keys.get_mut(number), texts.texts.get(number)) {
                (Some(key), Some(text)) => {
                    if *key < 0 {
                        *key = values.push(text);
                    }
                    *key
                }
                _ => -1,
            });
        }
        self.put_facts(name, facts, except, &of_fact, values);
    }

    fn put_facts<T>(
        &mut self,
        name: &str,
        facts: &Facts<T>,
        except: Option<&[bool]>,
        of_fact: &[i32],
        values: Values<'_>,
    ) {
        if values.texts.is_empty() {
            return;
        }
        let mut keys = Vec::with_capacity(facts.of_row.len());
        for fact in &facts.of_row {
            let fact = usize::try_from(*fact).unwrap_or(usize::MAX);
            keys.push(of_fact.get(fact).copied().unwrap_or(-1));
        }
        if let Some(except) = except {
            for (key, except) in keys.iter_mut().zip(except) {
                if *except {
                    *key = -1;
                }
            }
        }
        self.put_keys(name, keys, values);
    }

    /// Adds a keyword column of few values.
    pub(crate) fn put_each<'t>(
        &mut self,
        name: &str,
        texts: impl Iterator<Item = Option<&'t str>>,
    ) {
        let mut values = Values::default();
        let keys = texts.map(|text| text.map_or(-1, |text| values.key(text))).collect();
        self.put_keys(name, keys, values);
    }

    fn put_keys(&mut self, name: &str, mut keys: Vec<i32>, mut values: Values<'_>) {
        let mut present = present(&keys);
        if present.count_set_bits() == 0 {
            return;
        }
        let at = self.find(name);
        let before = at.and_then(|at| self.arrays.get(at)).cloned();
        if let Some(before) = &before {
            // A column of another type is not one that the dictionary of fields made.
            let Some(column) = before.as_dictionary_opt::<Int32Type>() else { return };
            let Some(texts) = column.values().as_string_opt::<i32>() else { return };
            let mut known: Vec<Option<i32>> = vec![None; texts.len()];
            for (row, key) in keys.iter_mut().enumerate().filter(|(_, key)| **key < 0) {
                let Some(old) = column.key(row) else { continue };
                let Some(new) = known.get_mut(old) else { continue };
                *key = *new.get_or_insert_with(|| values.own(texts.value(old)));
            }
            present = self::present(&keys);
        }
        keys.iter_mut().for_each(|key| *key = (*key).max(0));
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls(present));
        let texts = StringArray::from_iter_values(values.texts.iter().map(|text| &**text));
        let array = DictionaryArray::<Int32Type>::new(keys, Arc::new(texts));
        self.set(name, at, Arc::new(array));
    }

    /// Adds a column of numbers, like [`Columns::put`].
    pub(crate) fn put_numbers<T>(
        &mut self,
        name: &str,
        facts: &Facts<T>,
        except: Option<&[bool]>,
        number: impl Fn(&T) -> Option<i64>,
    ) {
        let is_except = |row: usize| except.and_then(|e| e.get(row)).copied().unwrap_or(false);
        let at = self.find(name);
        let before = at.and_then(|at| self.arrays.get(at)).cloned();
        let before = match &before {
            None => None,
            Some(before) => match before.as_primitive_opt::<Int64Type>() {
                Some(before) => Some(before),
                None => return,
            },
        };
        let of_fact: Vec<Option<i64>> = facts.facts.iter().map(number).collect();
        let mut any = false;
        let mut numbers = Vec::with_capacity(facts.of_row.len());
        let mut is_known = Vec::with_capacity(facts.of_row.len());
        for (row, fact) in facts.of_row.iter().enumerate() {
            let fact = usize::try_from(*fact).unwrap_or(usize::MAX);
            let new = of_fact.get(fact).copied().flatten().filter(|_| !is_except(row));
            any |= new.is_some();
            let old = || before.filter(|it| it.is_valid(row)).map(|it| it.value(row));
            let number = new.or_else(old);
            numbers.push(number.unwrap_or(0));
            is_known.push(number.is_some());
        }
        if any {
            let known = nulls(BooleanBuffer::from(is_known));
            self.set(name, at, Arc::new(Int64Array::new(ScalarBuffer::from(numbers), known)));
        }
    }

    fn set(&mut self, name: &str, at: Option<usize>, array: ArrayRef) {
        if let Some(place) = at.and_then(|at| self.arrays.get_mut(at)) {
            *place = array;
        } else if self.arrays.len() >= COLUMNS_PER_DATASET_MAX {
            self.left_out += 1;
            return;
        } else {
            let kind: DataType = array.data_type().clone();
            self.fields.push(Arc::new(Field::new(name, kind, true)));
            self.arrays.push(array);
        }
        self.changed = true;
    }

    /// `batch` with these columns.
    pub(crate) fn into_batch(self, batch: EventBatch) -> EventBatch {
        if !self.changed {
            return batch;
        }
        match RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays) {
            Ok(columns) => EventBatch { dataset: batch.dataset, columns },
            // Every column has as many rows as the batch; should one not, the event is whole as it was.
            Err(_) => batch,
        }
    }
}

fn present(keys: &[i32]) -> BooleanBuffer {
    BooleanBuffer::collect_bool(keys.len(), |row| keys.get(row).is_some_and(|key| *key >= 0))
}

fn nulls(present: BooleanBuffer) -> Option<NullBuffer> {
    Some(NullBuffer::new(present)).filter(|nulls| nulls.null_count() > 0)
}

/// Number of a text in [`Texts`].
pub(crate) type TextNumber = u32;

/// Texts that facts share, by number: what a fact says is compared without reading it.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, TextNumber, RandomState>,
}

impl Texts {
    /// The number of no text.
    pub(crate) const NONE: TextNumber = TextNumber::MAX;

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn number(&mut self, text: Option<&str>) -> TextNumber {
        let Some(text) = text else { return Texts::NONE };
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = TextNumber::try_from(self.texts.len()).unwrap_or(Texts::NONE);
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }
}

/// Distinct texts of a column.
#[derive(Default)]
struct Values<'t> {
    texts: Vec<Cow<'t, str>>,
    keys: HashMap<Box<str>, i32, RandomState>,
}

impl<'t> Values<'t> {
    /// The key of a text that is not there yet.
    fn push(&mut self, text: &'t str) -> i32 {
        self.texts.push(text.into());
        i32::try_from(self.texts.len() - 1).unwrap_or(-1)
    }

    fn key(&mut self, text: &'t str) -> i32 {
        if let Some(key) = self.keys.get(text) {
            return *key;
        }
        let key = self.push(text);
        self.keys.insert(text.into(), key);
        key
    }

    /// The key of a text that an older column holds.
    fn own(&mut self, text: &str) -> i32 {
        if self.keys.len() < self.texts.len() {
            let keys = (0..).zip(&self.texts).map(|(key, text)| (text.as_ref().into(), key));
            self.keys = keys.collect();
        }
        if let Some(key) = self.keys.get(text) {
            return *key;
        }
        self.texts.push(text.to_owned().into());
        let key = i32::try_from(self.texts.len() - 1).unwrap_or(-1);
        self.keys.insert(text.into(), key);
        key
    }
}
