//! The rows of one dataset while they are built: which column each field goes to, remembered from
//! record to record, and the mappings that add further columns.
//!
//! Most values have been seen in the batch already, so what a mapping made of a value the last time
//! is remembered by the value's key, and neither computed nor looked up again.

use crate::flat::{Entry, Flat, Span};
use crate::limits::COLUMNS_REMEMBERED_MAX;
use crate::mapping::{
    self, Computed, Constant, Copy as CopyRule, DatasetMappings, Map, MemoId, Rule, Translation,
};
use crate::time;
use crate::windows::{self, Dialect, Meaning};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, ColumnIndex, EventBatch, FieldDictionary, FieldType, Origin, UtcMicros, ValueKey,
};

pub(crate) struct Rows {
    mappings: Arc<DatasetMappings>,
    builder: BatchBuilder,
    /// Columns known here. Their position in the batch is looked up once per batch.
    slots: Vec<Slot>,
    by_column: Map<Box<str>, u32>,
    /// What a field name of each dialect means here, by the name's number.
    targets: [Vec<Target>; Dialect::COUNT],
    /// The epoch of those numbers.
    names_epoch: u64,
    memos: Memos,
    /// Number of the batch being built.
    generation: u64,
    /// Number of the row being built, over all batches.
    row: u64,
    /// The best claim so far about when it happened: rank and text.
    time: Option<(u8, Span)>,
}

struct Slot {
    column: Box<str>,
    index: Option<ColumnIndex>,
    generation: u64,
    /// The row that last had a value here, and the value.
    row: u64,
    value: Span,
    /// The value's key, where the column has keys.
    key: Option<ValueKey>,
}

#[derive(Clone, Copy)]
enum Target {
    /// Not looked up yet.
    Unknown,
    Ignore,
    Slot(u32),
    Both(u32, u32),
    Hex64(u32),
    Guid(u32),
    EventType {
        own: u32,
        nxlog: u32,
    },
    Time(u8, Option<u32>),
}

/// What steps of rules came to in this batch, by step and by the value's key.
struct Memos(Vec<Vec<Outcome>>);

/// What a step of a rule came to.
#[derive(Clone, Copy)]
enum Outcome {
    Unknown,
    /// A condition that the value meets; [`Outcome::Next`] is one that it does not.
    Holds,
    /// Nothing; the next source may have it.
    Next,
    /// Nothing, and no further source is asked.
    Stop,
    /// This part of the value, and its key in the column it goes to.
    Part {
        skipped: u32,
        bytes: u32,
        key: Option<ValueKey>,
    },
    /// This word, and its key in the column it goes to.
    Word {
        position: u32,
        key: Option<ValueKey>,
    },
}

/// Outcomes that a memory keeps room for from batch to batch.
const OUTCOMES_KEPT_MAX: usize = 256;

impl Memos {
    fn get(&self, memo: MemoId, value: Option<ValueKey>) -> Outcome {
        let outcome = value.and_then(|value| self.0.get(memo as usize)?.get(value.index()));
        outcome.copied().unwrap_or(Outcome::Unknown)
    }

    fn set(&mut self, memo: MemoId, value: Option<ValueKey>, outcome: Outcome) {
        let (Some(value), Some(outcomes)) = (value, self.0.get_mut(memo as usize)) else { return };
        if outcomes.len() <= value.index() {
            outcomes.resize(value.index() + 1, Outcome::Unknown);
        }
        if let Some(place) = outcomes.get_mut(value.index()) {
            *place = outcome;
        }
    }

    fn forget(&mut self) {
        for outcomes in &mut self.0 {
            outcomes.clear();
            outcomes.shrink_to(OUTCOMES_KEPT_MAX);
        }
    }
}

impl Rows {
    pub(crate) fn new(mappings: Arc<DatasetMappings>, dictionary: Arc<FieldDictionary>) -> Self {
        let mut rows = Rows {
            builder: BatchBuilder::new(&mappings.name, dictionary),
            slots: Vec::new(),
            by_column: Map::default(),
            targets: Default::default(),
            names_epoch: 0,
            memos: Memos((0..mappings.memos).map(|_| Vec::new()).collect()),
            generation: 1,
            row: 0,
            time: None,
            mappings,
        };
        rows.forget_columns();
        rows
    }

    pub(crate) fn begin(&mut self, flat: &Flat, origin: &Origin<'_>, original: Option<&[u8]>) {
        self.builder.begin(origin, original);
        self.row += 1;
        self.time = None;
        if self.names_epoch != flat.names.epoch() {
            self.names_epoch = flat.names.epoch();
            self.targets.iter_mut().for_each(Vec::clear);
        }
    }

    /// Takes the finished batch, if there are rows.
    pub(crate) fn finish(&mut self) -> Option<EventBatch> {
        let batch = self.builder.finish()?;
        self.generation += 1;
        self.memos.forget();
        if self.slots.len() >= COLUMNS_REMEMBERED_MAX {
            self.forget_columns();
        }
        Some(batch)
    }

    /// Forgets all columns but those of the rules.
    fn forget_columns(&mut self) {
        self.slots.clear();
        self.by_column.clear();
        self.targets.iter_mut().for_each(Vec::clear);
        // Rules name columns by position, so these come first and in order.
        let mappings = self.mappings.clone();
        for column in &mappings.columns {
            self.add_slot(column);
        }
    }

    /// Sets the field `entry`, named as `dialect` names it.
    pub(crate) fn emit(&mut self, flat: &mut Flat, dialect: Dialect, entry: Entry) {
        let known = self.targets[dialect as usize].get(entry.name.index()).copied();
        let target = match known {
            None | Some(Target::Unknown) => self.learn(flat, dialect, entry),
            known => known,
        };
        let Some(target) = target else {
            // Too many columns already: the long way, without remembering.
            let name = windows::meaning(dialect, flat.names.text(entry.name));
            if let Meaning::Field(name) | Meaning::Guid(name) = name {
                self.builder.set(&name, flat.get(entry.value));
            }
            return;
        };
        self.set(flat, target, entry.value);
    }

    fn set(&mut self, flat: &mut Flat, target: Target, value: Span) {
        match target {
            Target::Unknown | Target::Ignore => {}
            Target::Slot(slot) => self.put(flat, slot, value),
            Target::Both(one, other) => {
                self.put(flat, one, value);
                self.put(flat, other, value);
            }
            Target::Hex64(slot) => {
                let value = match flat.get(value).parse::<i64>() {
                    Ok(bits) => flat.display(format_args!("{bits:#x}")),
                    Err(_) => value,
                };
                self.put(flat, slot, value);
            }
            Target::Guid(slot) => {
                let bare = windows::is_bare_guid(flat.get(value));
                let value = if bare { flat.braced_lowercase(value) } else { value };
                self.put(flat, slot, value);
            }
            Target::EventType { own, nxlog } => {
                let slot = if windows::is_nxlog_event_type(flat.get(value)) { nxlog } else { own };
                self.put(flat, slot, value);
            }
            Target::Time(rank, column) => {
                if self.time.is_none_or(|(best, _)| rank < best) {
                    self.time = Some((rank, value));
                }
                if let Some(slot) = column {
                    self.put(flat, slot, value);
                }
            }
        }
    }

    /// Sets a column by its own name.
    pub(crate) fn set_column(&mut self, flat: &mut Flat, column: &str, value: &str) {
        let value = flat.text(value);
        match self.slot(column) {
            Some(slot) => self.put(flat, slot, value),
            None => self.builder.set(column, flat.get(value)),
        }
    }

    /// Applies the dataset's mappings to the row.
    pub(crate) fn map(&mut self, flat: &mut Flat) {
        let mappings = self.mappings.clone();
        let code = self.value(mappings.code_column);
        // The code is needed while the arena grows, so it is looked up before.
        let rules = mappings.rules(code.map(|(span, _)| flat.get(span)));
        for rule in rules {
            if self.holds(flat, rule) {
                rule.copies.iter().for_each(|copy| self.copy(flat, copy));
                rule.constants.iter().for_each(|constant| self.constant(flat, constant));
                rule.translations.iter().for_each(|translation| self.translate(flat, translation));
                rule.computed.iter().for_each(|computed| self.compute(flat, computed));
            }
        }
    }

    fn holds(&mut self, flat: &Flat, rule: &Rule) -> bool {
        rule.when.iter().all(|condition| {
            let Some((value, key)) = self.value(condition.of) else { return false };
            match self.memos.get(condition.memo, key) {
                Outcome::Holds => return true,
                Outcome::Next => return false,
                _ => {}
            }
            let value = flat.get(value);
            let holds = condition.values.iter().any(|wanted| mapping::holds(wanted, value));
            let outcome = if holds { Outcome::Holds } else { Outcome::Next };
            self.memos.set(condition.memo, key, outcome);
            holds
        })
    }

    fn copy(&mut self, flat: &mut Flat, copy: &CopyRule) {
        for (slot, filter, memo) in &copy.from {
            let Some((value, key)) = self.value(*slot) else { continue };
            match self.memos.get(*memo, key) {
                Outcome::Unknown | Outcome::Holds | Outcome::Word { .. } => {}
                Outcome::Next => continue,
                Outcome::Stop => return,
                Outcome::Part { skipped, bytes, key } => {
                    if let Some(part) = value.part(skipped, bytes) {
                        self.put_known(flat, copy.to, part, key);
                    }
                    return;
                }
            }
            let Some(taken) = flat.narrow(value, |value| filter.apply(value)) else {
                self.memos.set(*memo, key, Outcome::Next);
                continue;
            };
            let part = match copy.kind {
                FieldType::Ip => flat.narrow(taken, address),
                FieldType::Long if flat.get(taken).starts_with("0x") => {
                    if let Some(number) = hexadecimal(flat.get(taken)) {
                        let number = flat.display(number);
                        self.put(flat, copy.to, number);
                    }
                    return;
                }
                _ => Some(taken),
            };
            let outcome = match part.and_then(|part| Some((part, value.place_of(part)?))) {
                Some((part, (skipped, bytes))) => {
                    self.put(flat, copy.to, part);
                    Outcome::Part { skipped, bytes, key: self.key(copy.to) }
                }
                None => Outcome::Stop,
            };
            self.memos.set(*memo, key, outcome);
            return;
        }
    }

    fn constant(&mut self, flat: &mut Flat, constant: &Constant) {
        let value = flat.text(&constant.value);
        // The same in every row, so one place is enough to remember it.
        let only = Some(ValueKey::FIRST);
        if let Outcome::Word { key, .. } = self.memos.get(constant.memo, only) {
            self.put_known(flat, constant.to, value, key);
            return;
        }
        self.put(flat, constant.to, value);
        let outcome = Outcome::Word { position: 0, key: self.key(constant.to) };
        self.memos.set(constant.memo, only, outcome);
    }

    fn translate(&mut self, flat: &mut Flat, translation: &Translation) {
        for (slot, memo) in &translation.from {
            let Some((value, key)) = self.value(*slot) else { continue };
            match self.memos.get(*memo, key) {
                Outcome::Unknown | Outcome::Holds | Outcome::Part { .. } | Outcome::Stop => {}
                Outcome::Next => continue,
                Outcome::Word { position, key } => {
                    let word = flat.text(translation.table.word(position));
                    self.put_known(flat, translation.to, word, key);
                    return;
                }
            }
            let Some(position) = translation.table.position(flat.get(value)) else {
                self.memos.set(*memo, key, Outcome::Next);
                continue;
            };
            let word = flat.text(translation.table.word(position));
            self.put(flat, translation.to, word);
            let outcome = Outcome::Word { position, key: self.key(translation.to) };
            self.memos.set(*memo, key, outcome);
            return;
        }
    }

    fn compute(&mut self, flat: &mut Flat, computed: &Computed) {
        let value = computed.expression.value(|number| {
            let (span, _) = self.value(*computed.from.get(number)?)?;
            Some(flat.get(span))
        });
        if let Some(value) = value {
            let value = flat.text(&value);
            self.put(flat, computed.to, value);
        }
    }

    /// Decides `@timestamp`: `said` by a text header, or the best of the record's fields, or the
    /// receipt. Sources whose clock cannot be right are believed, and marked.
    pub(crate) fn settle_time(
        &mut self,
        flat: &mut Flat,
        said: Option<UtcMicros>,
        received: UtcMicros,
        zone: &TimeZone,
    ) {
        let claimed = self.time.and_then(|(_, span)| {
            let text = flat.get(span);
            time::iso(text, zone).map(|(instant, _)| instant).or_else(|| time::epoch(text))
        });
        let Some(instant) = claimed.or(said) else { return };
        self.builder.set_time(instant);
        if time::is_suspect(instant, received) {
            self.set_column(flat, "yagura.clock_suspect", "true");
        }
    }

    fn put(&mut self, flat: &Flat, slot: u32, value: Span) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        slot.row = self.row;
        slot.value = value;
        slot.key = None;
        if slot.generation != self.generation {
            slot.generation = self.generation;
            slot.index = self.builder.column(&slot.column);
        }
        match slot.index {
            Some(index) => slot.key = self.builder.set_at(index, flat.get(value)),
            None => self.builder.set(&slot.column, flat.get(value)),
        }
    }

    /// Like [`Rows::put`], of a value whose key in this batch is known, if it has one.
    fn put_known(&mut self, flat: &Flat, slot: u32, value: Span, key: Option<ValueKey>) {
        let known = self.slots.get_mut(slot as usize).and_then(|slot| {
            let index = slot.index.filter(|_| slot.generation == self.generation)?;
            Some((slot, index, key?))
        });
        let Some((slot, index, key)) = known else { return self.put(flat, slot, value) };
        slot.row = self.row;
        slot.value = value;
        slot.key = Some(key);
        self.builder.set_key_at(index, key);
    }

    /// The value that this row has in a column, and its key if it has one.
    fn value(&self, slot: u32) -> Option<(Span, Option<ValueKey>)> {
        let slot = self.slots.get(slot as usize)?;
        (slot.row == self.row).then_some((slot.value, slot.key))
    }

    fn key(&self, slot: u32) -> Option<ValueKey> {
        self.slots.get(slot as usize)?.key
    }

    /// The slot of a column; `None` when too many are remembered already.
    fn slot(&mut self, column: &str) -> Option<u32> {
        if let Some(&slot) = self.by_column.get(column) {
            return Some(slot);
        }
        if self.slots.len() >= COLUMNS_REMEMBERED_MAX {
            return None;
        }
        Some(self.add_slot(column))
    }

    fn add_slot(&mut self, column: &str) -> u32 {
        // Bounded by COLUMNS_REMEMBERED_MAX and the content's own names.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            column: column.into(),
            index: None,
            generation: 0,
            row: 0,
            value: Span::default(),
            key: None,
        });
        self.by_column.insert(column.into(), slot);
        slot
    }

    fn learn(&mut self, flat: &Flat, dialect: Dialect, entry: Entry) -> Option<Target> {
        let name = flat.names.text(entry.name);
        // The dataset knows best which of its names say when it happened.
        let time = self.mappings.time.iter().position(|time| &**time == name);
        let meaning = match time.and_then(|rank| u8::try_from(rank).ok()) {
            Some(rank) if dialect == Dialect::Plain => Meaning::Time(rank, Some(name.into())),
            _ => windows::meaning(dialect, name),
        };
        let target = match meaning {
            Meaning::Ignore => Target::Ignore,
            Meaning::Field(column) => Target::Slot(self.slot(&column)?),
            Meaning::Both(one, other) if &*self.mappings.name == "windows.system" => {
                Target::Both(self.slot(one)?, self.slot(other)?)
            }
            Meaning::Both(one, _) => Target::Slot(self.slot(one)?),
            Meaning::Hex64(column) => Target::Hex64(self.slot(column)?),
            Meaning::Guid(column) => Target::Guid(self.slot(&column)?),
            Meaning::EventType => Target::EventType {
                own: self.slot("winlog.event_data.EventType")?,
                nxlog: self.slot("nxlog.EventType")?,
            },
            Meaning::Time(rank, None) => Target::Time(rank, None),
            Meaning::Time(rank, Some(column)) => Target::Time(rank, Some(self.slot(&column)?)),
        };
        let targets = &mut self.targets[dialect as usize];
        if targets.len() <= entry.name.index() {
            // Bounded by the names that are remembered.
            targets.resize(flat.names.len(), Target::Unknown);
        }
        if let Some(place) = targets.get_mut(entry.name.index()) {
            *place = target;
        }
        Some(target)
    }
}

fn hexadecimal(text: &str) -> Option<i64> {
    i64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// An IP address as text, IPv4-mapped ones as IPv4; `None` for anything else.
fn address(text: &str) -> Option<&str> {
    let bare = text.strip_prefix("::ffff:").unwrap_or(text);
    let v4 = bare.parse::<std::net::Ipv4Addr>().is_ok();
    if v4 {
        return Some(bare);
    }
    let without_zone = text.split('%').next()?;
    without_zone.parse::<std::net::IpAddr>().is_ok().then_some(without_zone)
}
