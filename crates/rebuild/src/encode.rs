//! Takes the texts of a batch of rows apart.

use crate::RebuildError;
use crate::columns::{Bytes, Columns};
use crate::fill::Filler;
use crate::learn::{self, Kind, Row, Scratch};
use crate::limits::{
    ROUND_ROWS, ROUND_SLOTS_MAX, TEMPLATE_BYTES_MAX, TEMPLATE_ROWS_MIN, TEMPLATES_BYTES_MAX,
    TEMPLATES_MAX,
};
use crate::scan::{self, Slot};
use crate::target::Target;
use crate::template::Template;
use crate::words::RowWords;
use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, DictionaryArray,
    Int32Array, RecordBatch,
};
use arrow::compute::nullif;
use arrow::datatypes::Int32Type;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The texts of a batch as they are to be stored.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The template of each row that rebuilds, null for the others.
    pub template: DictionaryArray<Int32Type>,
    /// What the template and the row's columns do not say; null where nothing is left to say.
    pub values: BinaryViewArray,
    /// The texts of the rows that do not rebuild, null for the others; of the type they came in.
    pub kept: ArrayRef,
    /// How many rows rebuild.
    pub rebuilt: usize,
}

/// Takes `texts` apart, one for each row of `columns`. Every row that is not kept as it is has been
/// rebuilt once from what is answered here and compared byte for byte.
///
/// `columns` must be the columns as they will be stored, with the names and values they will have
/// when they are read again: a template names them.
pub fn encode(
    columns: &RecordBatch,
    texts: &ArrayRef,
    target: &Target,
) -> Result<Encoded, RebuildError> {
    let rows = columns.num_rows();
    let received = Bytes::new(target.column, texts)?;
    if received.len() != rows {
        return Err(RebuildError::Column(target.column.to_owned()));
    }
    let columns = Columns::new(columns, target);
    let mut encoder = Encoder::new(&columns, &received, rows);
    while encoder.keys.len() < rows {
        let start = encoder.keys.len();
        encoder.round(start..rows.min(start + ROUND_ROWS));
    }
    let rebuilt = BooleanArray::from_iter(encoder.keys.iter().map(|key| Some(key.is_some())));
    let templates = BinaryArray::from_iter_values(encoder.templates.list.iter());
    let keys = Int32Array::from(encoder.keys);
    Ok(Encoded {
        template: DictionaryArray::try_new(keys, Arc::new(templates))?,
        values: encoder.values.finish(),
        kept: nullif(texts, &rebuilt)?,
        rebuilt: rebuilt.true_count(),
    })
}

/// The distinct templates of a batch.
#[derive(Default)]
struct Templates {
    list: Vec<Box<[u8]>>,
    numbers: HashMap<Box<[u8]>, i32, RandomState>,
    bytes: usize,
}

impl Templates {
    fn number(&mut self, template: &[u8]) -> Option<i32> {
        if let Some(number) = self.numbers.get(template) {
            return Some(*number);
        }
        let bytes = self.bytes + template.len();
        if self.list.len() >= TEMPLATES_MAX || bytes > TEMPLATES_BYTES_MAX {
            return None;
        }
        let number = i32::try_from(self.list.len()).ok()?;
        self.bytes = bytes;
        self.list.push(template.into());
        self.numbers.insert(template.into(), number);
        Some(number)
    }
}

struct Encoder<'a> {
    columns: &'a Columns,
    received: &'a Bytes,
    templates: Templates,
    /// The template of each row so far.
    keys: Vec<Option<i32>>,
    values: BinaryViewBuilder,
    words: RowWords<'a>,
    filler: Filler,
    scratch: Scratch,
    outline: Vec<u8>,
    row_values: Vec<u8>,
    again: Vec<u8>,
}

/// A row taken apart: its kind, and its slots among those of the round.
struct Apart {
    kind: usize,
    slots: Range<usize>,
}

/// A template that has been learned.
struct Ready {
    template: Template,
    bytes: Vec<u8>,
    /// Its number among those of the batch, once a row has it.
    number: Option<i32>,
}

impl<'a> Encoder<'a> {
    fn new(columns: &'a Columns, received: &'a Bytes, rows: usize) -> Self {
        Encoder {
            columns,
            received,
            templates: Templates::default(),
            keys: Vec::with_capacity(rows),
            values: BinaryViewBuilder::with_capacity(rows),
            words: RowWords::new(columns),
            filler: Filler::default(),
            scratch: Scratch::default(),
            outline: Vec::new(),
            row_values: Vec::new(),
            again: Vec::new(),
        }
    }

    /// Learns the templates of some rows, then writes these: all, or the first of them if they have
    /// very many slots.
    fn round(&mut self, rows: Range<usize>) {
        let mut slots: Vec<Slot> = Vec::new();
        let mut kinds: Vec<Kind<'a>> = Vec::new();
        let mut by_outline: HashMap<Vec<u8>, usize, RandomState> = HashMap::default();
        let mut outline_bytes = 0;
        let mut apart: Vec<Option<Apart>> = Vec::with_capacity(rows.len());
        for number in rows.clone() {
            let start = slots.len();
            if start >= ROUND_SLOTS_MAX {
                break;
            }
            let text = self.received.get(number);
            let Some(text) =
                text.filter(|text| scan::scan(text, &mut self.words, number, &mut slots))
            else {
                apart.push(None);
                continue;
            };
            let row_slots = &slots[start..];
            outline(text, row_slots, &mut self.outline);
            let kind = match by_outline.get(&self.outline) {
                Some(kind) => *kind,
                None => {
                    outline_bytes += self.outline.len();
                    if self.outline.len() > TEMPLATE_BYTES_MAX
                        || outline_bytes > TEMPLATES_BYTES_MAX
                        || kinds.len() >= TEMPLATES_MAX
                    {
                        outline_bytes -= self.outline.len();
                        slots.truncate(start);
                        apart.push(None);
                        continue;
                    }
                    by_outline.insert(self.outline.clone(), kinds.len());
                    kinds.push(Kind::new(text, row_slots));
                    kinds.len() - 1
                }
            };
            let row = Row { text, slots: row_slots, number };
            kinds[kind].learn(self.columns, text, row, &mut self.scratch);
            apart.push(Some(Apart { kind, slots: start..slots.len() }));
        }
        let mut ready: Vec<Option<Ready>> = kinds.iter().map(|kind| self.ready(kind)).collect();
        for (number, apart) in rows.zip(apart) {
            let written = apart.and_then(|apart| {
                let template = ready.get_mut(apart.kind)?.as_mut()?;
                self.write(number, slots.get(apart.slots)?, template)
            });
            if written.is_none() {
                self.values.append_null();
            }
            self.keys.push(written);
        }
    }

    /// The template of a kind, and its stored form; `None` where it is not worth it.
    fn ready(&self, kind: &Kind<'_>) -> Option<Ready> {
        if kind.rows < TEMPLATE_ROWS_MIN {
            return None;
        }
        let template = kind.template();
        let bytes = template.write(self.columns)?;
        // What is checked for each row below is the template as it will be read.
        let read = Template::read(&bytes, self.columns).ok()?;
        (read == template).then_some(Ready { template, bytes, number: None })
    }

    /// Writes one row, if it comes back.
    fn write(&mut self, number: usize, slots: &[Slot], ready: &mut Ready) -> Option<i32> {
        let text = self.received.get(number)?;
        let row = Row { text, slots, number };
        if !self.comes_back(row, &ready.template, false)
            && !self.comes_back(row, &ready.template, true)
        {
            return None;
        }
        let key = match ready.number {
            Some(key) => key,
            None => self.templates.number(&ready.bytes)?,
        };
        ready.number = Some(key);
        self.values.append_option(Some(&self.row_values).filter(|values| !values.is_empty()));
        Some(key)
    }

    /// Whether the values of a row, which are then in `row_values`, give its text back.
    fn comes_back(&mut self, row: Row<'_>, template: &Template, careful: bool) -> bool {
        let (scratch, values) = (&mut self.scratch, &mut self.row_values);
        learn::values(template, self.columns, row, careful, scratch, values);
        if values.len() > row.text.len() {
            return false;
        }
        let values = Some(values.as_slice()).filter(|values| !values.is_empty());
        self.again.clear();
        let filled = self.filler.fill(template, values, self.columns, row.number, &mut self.again);
        filled.is_ok() && self.again == row.text
    }
}

/// What a text has outside its slots, so that no two different ones are alike.
fn outline(text: &[u8], slots: &[Slot], out: &mut Vec<u8>) {
    out.clear();
    out.push(u8::from(scan::is_json(text)));
    let mut at = 0;
    for slot in slots {
        let literal = text.get(at..slot.start as usize).unwrap_or_default();
        out.extend(literal);
        out.extend((literal.len() as u32).to_le_bytes());
        at = slot.end as usize;
    }
    out.extend(text.get(at..).unwrap_or_default());
}
