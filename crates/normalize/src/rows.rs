//! The rows of one dataset while they are built: which column each field goes to, remembered from
//! record to record, and the mappings that add further columns.

use crate::flat::{Entry, Flat, Span};
use crate::limits::NAMES_REMEMBERED_MAX;
use crate::mapping::{DatasetMappings, Map, Rule};
use crate::time;
use crate::windows::{self, Dialect, Meaning};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, ColumnIndex, CommittedRun, EventBatch, FieldDictionary, FieldType, Record,
    UtcMicros,
};

pub(crate) struct Rows {
    mappings: Arc<DatasetMappings>,
    builder: BatchBuilder,
    /// Columns known here. Their position in the batch is looked up once per batch.
    slots: Vec<Slot>,
    by_column: Map<Box<str>, u32>,
    /// What a field name of each dialect means here.
    targets: [Map<Box<str>, Target>; Dialect::COUNT],
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
}

#[derive(Clone, Copy)]
enum Target {
    Ignore,
    Slot(u32),
    Both(u32, u32),
    Hex64(u32),
    Guid(u32),
    EventType { own: u32, nxlog: u32 },
    Time(u8, Option<u32>),
}

impl Rows {
    pub(crate) fn new(mappings: Arc<DatasetMappings>, dictionary: Arc<FieldDictionary>) -> Self {
        let mut rows = Rows {
            builder: BatchBuilder::new(&mappings.name, dictionary),
            slots: Vec::new(),
            by_column: Map::default(),
            targets: Default::default(),
            generation: 1,
            row: 0,
            time: None,
            mappings: mappings.clone(),
        };
        // Rules name columns by position, so these come first and in order.
        for column in &mappings.columns {
            rows.add_slot(column);
        }
        rows
    }

    pub(crate) fn begin(&mut self, run: &CommittedRun, index: u32, record: &Record) {
        self.builder.begin_row(run, index, record);
        self.row += 1;
        self.time = None;
    }

    /// Takes the finished batch, if there are rows.
    pub(crate) fn finish(&mut self) -> Option<EventBatch> {
        self.generation += 1;
        self.builder.finish()
    }

    /// Sets the field `entry`, named as `dialect` names it.
    pub(crate) fn emit(&mut self, flat: &mut Flat, dialect: Dialect, entry: Entry) {
        let known = self.targets[dialect as usize].get(flat.get(entry.name)).copied();
        let Some(target) = known.or_else(|| self.learn(dialect, flat.get(entry.name))) else {
            // Too many names already: the long way, without remembering.
            let name = windows::meaning(dialect, flat.get(entry.name));
            if let Meaning::Field(name) | Meaning::Guid(name) = name {
                self.builder.set(&name, flat.get(entry.value));
            }
            return;
        };
        self.set(flat, target, entry.value);
    }

    fn set(&mut self, flat: &mut Flat, target: Target, value: Span) {
        match target {
            Target::Ignore => {}
            Target::Slot(slot) => self.put(flat, slot, value),
            Target::Both(one, other) => {
                self.put(flat, one, value);
                self.put(flat, other, value);
            }
            Target::Hex64(slot) => {
                let hex = |text: &str| text.parse::<i64>().ok().map(|bits| format!("{bits:#x}"));
                let value = flat.derive(value, hex).unwrap_or(value);
                self.put(flat, slot, value);
            }
            Target::Guid(slot) => {
                let braces = |text: &str| {
                    windows::is_bare_guid(text)
                        .then(|| format!("{{{}}}", text.to_ascii_lowercase()))
                };
                let value = flat.derive(value, braces).unwrap_or(value);
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
        let code = self.span(mappings.code_column);
        // The code is needed while the arena grows, so it is looked up before.
        let rules = mappings.rules(code.map(|span| flat.get(span)));
        for rule in rules {
            if self.holds(flat, rule) {
                self.apply(flat, rule);
            }
        }
    }

    fn holds(&self, flat: &Flat, rule: &Rule) -> bool {
        rule.when.iter().all(|(slot, values)| {
            let value = self.span(*slot).map(|span| flat.get(span));
            value.is_some_and(|value| values.iter().any(|v| &**v == value || &**v == "*"))
        })
    }

    fn apply(&mut self, flat: &mut Flat, rule: &Rule) {
        for copy in &rule.copies {
            let taken = copy.from.iter().find_map(|(slot, filter)| {
                let span = self.span(*slot)?;
                flat.narrow(span, |value| filter.apply(value))
            });
            let Some(taken) = taken else { continue };
            let value = match copy.kind {
                FieldType::Ip => flat.narrow(taken, address),
                FieldType::Long if !flat.get(taken).starts_with("0x") => Some(taken),
                FieldType::Long => flat.derive(taken, |hex| {
                    let number = i64::from_str_radix(hex.strip_prefix("0x")?, 16).ok()?;
                    Some(number.to_string())
                }),
                _ => Some(taken),
            };
            if let Some(value) = value {
                self.put(flat, copy.to, value);
            }
        }
        for (slot, value) in &rule.constants {
            let value = flat.text(value);
            self.put(flat, *slot, value);
        }
        for translation in &rule.translations {
            let word = translation.from.iter().find_map(|&slot| {
                let value = flat.get(self.span(slot)?);
                let exact = translation.table.get(value);
                exact.or_else(|| translation.table.get(value.to_ascii_lowercase().as_str()))
            });
            if let Some(word) = word {
                let value = flat.text(word);
                self.put(flat, translation.to, value);
            }
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
        if slot.generation != self.generation {
            slot.generation = self.generation;
            slot.index = self.builder.column(&slot.column);
        }
        match slot.index {
            Some(index) => self.builder.set_at(index, flat.get(value)),
            None => self.builder.set(&slot.column, flat.get(value)),
        }
    }

    fn span(&self, slot: u32) -> Option<Span> {
        let slot = self.slots.get(slot as usize)?;
        (slot.row == self.row).then_some(slot.value)
    }

    /// The slot of a column; `None` when too many names are remembered already.
    fn slot(&mut self, column: &str) -> Option<u32> {
        if let Some(&slot) = self.by_column.get(column) {
            return Some(slot);
        }
        if self.slots.len() >= NAMES_REMEMBERED_MAX {
            return None;
        }
        Some(self.add_slot(column))
    }

    fn add_slot(&mut self, column: &str) -> u32 {
        // Bounded by NAMES_REMEMBERED_MAX and the content's own names.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            column: column.into(),
            index: None,
            generation: 0,
            row: 0,
            value: Span::default(),
        });
        self.by_column.insert(column.into(), slot);
        slot
    }

    fn learn(&mut self, dialect: Dialect, raw: &str) -> Option<Target> {
        if self.targets[dialect as usize].len() >= NAMES_REMEMBERED_MAX {
            return None;
        }
        let target = match windows::meaning(dialect, raw) {
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
        self.targets[dialect as usize].insert(raw.into(), target);
        Some(target)
    }
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
