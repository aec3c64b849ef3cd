//! The slow, obvious evaluator that the engine must agree with: one event at a time, straight from
//! the parsed rule, sharing no code with the engine but the parser.

#![allow(dead_code, reason = "each test uses a part of it")]

mod reading;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use base64::Engine as _;
pub use reading::{Reading, Readings};
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Modifier, Quantifier, SelectorPattern, SigmaRule,
    SigmaString, SigmaValue, SpecialChar, StringPart,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use yagura_detect::LogSources;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};

/// An event as text by column.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub dataset: String,
    pub fields: BTreeMap<String, String>,
    /// Columns of `fields` that hold text: keywords are looked for there.
    pub texts: Vec<String>,
}

/// The events of a batch, read cell by cell.
pub fn events_of(batch: &EventBatch) -> Vec<Event> {
    let empty = Event { dataset: batch.dataset.to_string(), ..Event::default() };
    let mut events = vec![empty; batch.rows()];
    let schema = batch.columns.schema();
    for (field, array) in schema.fields().iter().zip(batch.columns.columns()) {
        let name = field.name();
        let own = name.starts_with("yagura.") && name != "yagura.overflow";
        for (row, event) in events.iter_mut().enumerate() {
            if array.is_null(row) {
                continue;
            }
            let (text, is_text) = match array.data_type() {
                DataType::Dictionary(..) => {
                    let keys = array.as_dictionary::<Int32Type>();
                    let key = keys.keys().value(row) as usize;
                    (keys.values().as_string::<i32>().value(key).to_owned(), true)
                }
                DataType::Utf8 => (array.as_string::<i32>().value(row).to_owned(), true),
                DataType::Int64 => {
                    (array.as_primitive::<Int64Type>().value(row).to_string(), false)
                }
                DataType::Timestamp(..) => {
                    let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                    (UtcMicros::from_micros(micros).to_string(), false)
                }
                _ => continue,
            };
            event.fields.insert(name.clone(), text);
            if is_text && !own {
                event.texts.push(name.clone());
            }
        }
    }
    events
}

/// A batch of events given as column and value.
pub fn batch_of(
    dataset: &str,
    dictionary: &std::sync::Arc<FieldDictionary>,
    events: &[Vec<(&str, &str)>],
) -> EventBatch {
    let record = Record {
        received: UtcMicros::from_micros(1_764_229_210_165_324),
        transport: Transport::File,
        peer: "test".into(),
        identity: "none".into(),
        bytes: Vec::new().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("test").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: vec![record; events.len()],
    };
    let mut builder = BatchBuilder::new(dataset, dictionary.clone());
    for ((index, record), event) in run.indexed().zip(events) {
        builder.begin_row(&run, index, record);
        for (name, value) in event {
            builder.set(name, value);
        }
    }
    builder.finish().unwrap()
}

/// Whether `rule` holds for `event`.
pub struct Reference<'a> {
    pub dictionary: &'a FieldDictionary,
    pub sources: &'a LogSources,
    pub readings: Readings,
}

impl Reference<'_> {
    pub fn matches(&self, rule: &SigmaRule, event: &Event) -> bool {
        self.concerns(rule, event)
            && rule.detection.conditions.iter().any(|c| self.condition(rule, c, event))
    }

    /// Whether the event is of the rule's log source.
    pub fn concerns(&self, rule: &SigmaRule, event: &Event) -> bool {
        let source = &rule.logsource;
        let clauses = self
            .sources
            .clauses(
                source.category.as_deref(),
                source.product.as_deref(),
                source.service.as_deref(),
            )
            .unwrap();
        clauses.iter().any(|clause| {
            clause.covers(&event.dataset)
                && clause.fields.iter().all(|(field, values)| {
                    let found = self.value(event, field);
                    found.is_some_and(|found| values.iter().any(|v| lower(v) == lower(found)))
                })
        })
    }

    fn value<'e>(&self, event: &'e Event, field: &str) -> Option<&'e str> {
        let column = self.dictionary.sigma_column(&event.dataset, field);
        event.fields.get(column.as_ref()).map(String::as_str)
    }

    fn is_text(&self, event: &Event, field: &str) -> bool {
        let column = self.dictionary.sigma_column(&event.dataset, field);
        event.texts.iter().any(|text| *text == column)
    }

    fn condition(&self, rule: &SigmaRule, condition: &ConditionExpr, event: &Event) -> bool {
        match condition {
            ConditionExpr::And(parts) => parts.iter().all(|p| self.condition(rule, p, event)),
            ConditionExpr::Or(parts) => parts.iter().any(|p| self.condition(rule, p, event)),
            ConditionExpr::Not(part) => !self.condition(rule, part, event),
            ConditionExpr::Identifier(name) => self.selection(&rule.detection.named[name], event),
            ConditionExpr::Selector { quantifier, pattern } => {
                let chosen = rule.detection.named.iter().filter(|(name, _)| match pattern {
                    SelectorPattern::Them => !name.starts_with('_'),
                    SelectorPattern::Pattern(pattern) => {
                        let piece = |c| if c == '*' { Piece::Many } else { Piece::Char(c) };
                        let pattern: Vec<Piece> = pattern.chars().map(piece).collect();
                        fits(&pattern, &name.chars().collect::<Vec<_>>())
                    }
                });
                let results: Vec<bool> = chosen.map(|(_, d)| self.selection(d, event)).collect();
                let held = results.iter().filter(|held| **held).count();
                match quantifier {
                    Quantifier::Any => held >= 1,
                    Quantifier::All => held == results.len(),
                    Quantifier::Count(count) => held as u64 >= *count,
                }
            }
        }
    }

    fn selection(&self, detection: &Detection, event: &Event) -> bool {
        match detection {
            Detection::AllOf(items) => items.iter().all(|item| self.item(item, event)),
            Detection::AnyOf(parts) => parts.iter().any(|part| self.selection(part, event)),
            Detection::Keywords(values) => {
                let modifiers = [Modifier::Contains];
                let readings = self.readings_of(&modifiers, values);
                values.iter().any(|value| keyword(&modifiers, value, event, readings))
            }
            _ => unreachable!("array selectors are refused"),
        }
    }

    fn item(&self, item: &DetectionItem, event: &Event) -> bool {
        let modifiers = &item.field.modifiers;
        let has = |modifier| modifiers.contains(&modifier);
        let readings = self.readings_of(modifiers, &item.values);
        let test = |value: &SigmaValue| -> bool {
            let Some(name) = &item.field.name else {
                let mut modifiers = modifiers.clone();
                let placed =
                    [Modifier::StartsWith, Modifier::EndsWith, Modifier::Re, Modifier::Cidr];
                if !placed.iter().any(|m| modifiers.contains(m)) {
                    modifiers.push(Modifier::Contains);
                }
                return keyword(&modifiers, value, event, readings);
            };
            let found = self.value(event, name);
            if has(Modifier::Exists) {
                return found.is_some() == (*value == SigmaValue::Bool(true));
            }
            match (value, found) {
                (SigmaValue::Null, None) if readings.has(Reading::NullAlone) => {
                    item.values.len() == 1
                }
                (SigmaValue::Null, found) => found.is_none(),
                (_, None) => false,
                (SigmaValue::String(other), Some(found)) if has(Modifier::FieldRef) => {
                    let types = [name, &other.original].map(|name| self.is_text(event, name));
                    let Some(other) = self.value(event, &other.original) else { return false };
                    if readings.has(Reading::TypesApart)
                        && has(Modifier::Cased)
                        && !has_place(modifiers)
                        && types[0] != types[1]
                    {
                        return false;
                    }
                    compare_fields(modifiers, found, other, readings)
                }
                (value, Some(found)) => holds(modifiers, value, found, readings),
            }
        };
        if readings.has(Reading::KeywordsWhole) && item.field.name.is_none() {
            return event.texts.iter().any(|column| {
                let test = |value| holds(modifiers, value, &event.fields[column], readings);
                match has(Modifier::All) {
                    true => item.values.iter().all(test),
                    false => item.values.iter().any(test),
                }
            });
        }
        let held = match has(Modifier::All) {
            true => item.values.iter().all(test),
            false => item.values.iter().any(test),
        };
        if has(Modifier::Neq) {
            let name = item.field.name.as_deref().unwrap();
            return self.value(event, name).is_some() && !held;
        }
        held
    }

    /// The readings that concern an item.
    fn readings_of(&self, modifiers: &[Modifier], values: &[SigmaValue]) -> Readings {
        match is_lowered_list(modifiers, values) {
            true => self.readings,
            false => self.readings.without(Reading::ListsLowered),
        }
    }
}

/// Whether the other engine puts the text into lower case once for all of `values`.
fn is_lowered_list(modifiers: &[Modifier], values: &[SigmaValue]) -> bool {
    use Modifier as M;
    let apart = [M::All, M::Cased, M::Cidr, M::FieldRef];
    let re = modifiers.contains(&M::Re);
    let is_text = |value: &SigmaValue| match value {
        SigmaValue::String(_) => true,
        SigmaValue::Integer(_) | SigmaValue::Float(_) => has_place(modifiers),
        _ => false,
    };
    // Three or more expressions become one, which sees the text as it is.
    let one = values.len() >= 3 && (re || values.iter().all(is_wild));
    values.len() >= 2
        && values.iter().all(is_text)
        && !one
        && (!re || modifiers.contains(&M::IgnoreCase))
        && !apart.iter().any(|modifier| modifiers.contains(modifier))
}

fn is_wild(value: &SigmaValue) -> bool {
    matches!(value, SigmaValue::String(text) if text.contains_wildcards())
}

fn has_place(modifiers: &[Modifier]) -> bool {
    let places = [Modifier::Contains, Modifier::StartsWith, Modifier::EndsWith];
    places.iter().any(|place| modifiers.contains(place))
}

fn keyword(modifiers: &[Modifier], value: &SigmaValue, event: &Event, readings: Readings) -> bool {
    let ours = |column: &&String| {
        column.starts_with("log.level")
            || column.starts_with("log.syslog.")
            || *column == "observer.type"
            || ["action", "category", "dataset", "kind", "module", "outcome", "type"]
                .contains(&column.strip_prefix("event.").unwrap_or_default())
    };
    let searched = |column: &&String| readings.has(Reading::OurWordsToo) || !ours(column);
    let holds = |column: &String| holds(modifiers, value, &event.fields[column], readings);
    event.texts.iter().filter(searched).any(holds)
}

fn compare_fields(modifiers: &[Modifier], left: &str, right: &str, readings: Readings) -> bool {
    let cased = modifiers.contains(&Modifier::Cased);
    let form = |text: &str| match cased {
        true => text.to_owned(),
        false if readings.has(Reading::WholeLowercase) => text.to_lowercase(),
        false => lower(text),
    };
    let (left, right) = (form(left), form(right));
    match modifiers {
        m if m.contains(&Modifier::Contains) => left.contains(&right),
        m if m.contains(&Modifier::StartsWith) => left.starts_with(&right),
        m if m.contains(&Modifier::EndsWith) => left.ends_with(&right),
        _ => left == right,
    }
}

fn lower(text: &str) -> String {
    let one = |c: char| {
        let all: Vec<char> = c.to_lowercase().collect();
        match (c, all.as_slice()) {
            ('ſ', _) => 's',
            (_, [one]) => *one,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

fn holds(modifiers: &[Modifier], value: &SigmaValue, found: &str, readings: Readings) -> bool {
    let has = |modifier| modifiers.contains(&modifier);
    let wanted = match value {
        SigmaValue::String(text) => text.original.clone(),
        other => other.to_string(),
    };
    if has(Modifier::Re) {
        let flags =
            [(Modifier::IgnoreCase, "i"), (Modifier::Multiline, "m"), (Modifier::DotAll, "s")];
        let flags: String = flags.iter().filter(|(m, _)| has(*m)).map(|(_, flag)| *flag).collect();
        let source = if flags.is_empty() { wanted } else { format!("(?{flags}){wanted}") };
        return match readings.has(Reading::ListsLowered) {
            true => expression(&source).is_match(&found.to_lowercase()),
            false => expression(&source).is_match(found),
        };
    }
    if has(Modifier::Cidr) {
        return in_block(&wanted, found, readings);
    }
    let parts = [
        (Modifier::Minute, "%M"),
        (Modifier::Hour, "%H"),
        (Modifier::Day, "%d"),
        (Modifier::Week, "%V"),
        (Modifier::Month, "%m"),
        (Modifier::Year, "%Y"),
    ];
    let part = parts.iter().find(|(modifier, _)| has(*modifier)).map(|(_, format)| *format);
    let orders = [Modifier::Lt, Modifier::Lte, Modifier::Gt, Modifier::Gte];
    let order = orders.into_iter().find(|order| has(*order));
    if part.is_some() || order.is_some() {
        let found = match part {
            Some(format) => match instant(found) {
                Some(time) => time.strftime(format).to_string(),
                None => return false,
            },
            None => found.to_owned(),
        };
        let found = match readings.has(Reading::NumbersAsParsed) {
            true => found.parse::<f64>().ok(),
            false => number(&found),
        };
        let (Some(found), Some(wanted)) = (found, number(&wanted)) else { return false };
        return match order {
            None => found == wanted,
            Some(Modifier::Lt) => found < wanted,
            Some(Modifier::Lte) => found <= wanted,
            Some(Modifier::Gt) => found > wanted,
            _ => found >= wanted,
        };
    }
    if let SigmaValue::Integer(wanted) = value
        && readings.has(Reading::NumbersByValue)
        && !has_place(modifiers)
    {
        return found.parse::<f64>().is_ok_and(|found| found == *wanted as f64);
    }
    let cased = has(Modifier::Cased);
    patterns(modifiers, value, readings).iter().any(|pattern| pattern.holds(found, cased, readings))
}

/// A regular expression, compiled once per test.
fn expression(source: &str) -> regex::Regex {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<String, regex::Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let compiled = || regex::Regex::new(source).unwrap();
        known.entry(source.to_owned()).or_insert_with(compiled).clone()
    })
}

#[derive(Debug, Clone)]
enum Piece {
    Char(char),
    Dash,
    One,
    OneInLine,
    Many,
    ManyInLine,
}

impl Piece {
    fn lower(&self) -> Piece {
        match self {
            Piece::Char(c) => Piece::Char(lower(&c.to_string()).chars().next().unwrap()),
            other => other.clone(),
        }
    }
}

const DASHES: &str = "-/–—―";

/// What a text must look like.
struct Pattern {
    pieces: Vec<Piece>,
    /// Whether the value has wildcards of its own.
    wild: bool,
}

impl Pattern {
    fn holds(&self, found: &str, cased: bool, readings: Readings) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        if cased {
            return fits(&self.pieces, &chars(found));
        }
        if !self.wild && readings.has(Reading::WholeLowercase) {
            return fits(&whole_lowercase(&self.pieces), &chars(&found.to_lowercase()));
        }
        let found = match self.wild && readings.has(Reading::ListsLowered) {
            true => found.to_lowercase(),
            false => found.to_owned(),
        };
        if self.wild && readings.has(Reading::WildcardsFold) {
            return expression(&as_expression(&self.pieces)).is_match(&found);
        }
        let pieces: Vec<Piece> = self.pieces.iter().map(Piece::lower).collect();
        fits(&pieces, &chars(&lower(&found)))
    }
}

/// Each run of characters in lower case as a whole.
fn whole_lowercase(pieces: &[Piece]) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut run = String::new();
    for piece in pieces {
        match piece {
            Piece::Char(c) => run.push(*c),
            other => {
                all.extend(std::mem::take(&mut run).to_lowercase().chars().map(Piece::Char));
                all.push(other.clone());
            }
        }
    }
    all.extend(run.to_lowercase().chars().map(Piece::Char));
    all
}

/// The pieces as a regular expression that does not regard case.
fn as_expression(pieces: &[Piece]) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Char(c) => regex::escape(&c.to_string()),
        Piece::Dash => format!("[{DASHES}]"),
        Piece::One => "(?s:.)".to_owned(),
        Piece::OneInLine => ".".to_owned(),
        Piece::Many => "(?s:.*)".to_owned(),
        Piece::ManyInLine => ".*".to_owned(),
    };
    format!("(?i)\\A{}\\z", pieces.iter().map(one).collect::<String>())
}

fn patterns(modifiers: &[Modifier], value: &SigmaValue, readings: Readings) -> Vec<Pattern> {
    let has = |modifier| modifiers.contains(&modifier);
    let base64 = has(Modifier::Base64) || has(Modifier::Base64Offset);
    let unknown = base64 && readings.has(Reading::WindashBeforeBase64);
    let windash = has(Modifier::WindAsh) && !unknown;
    let verbatim = windash && readings.has(Reading::WindashVerbatim);
    let in_line = readings.has(Reading::WildcardsInLine);
    let mut pieces = Vec::new();
    match value {
        SigmaValue::String(text) if verbatim && is_wild(value) => {
            pieces.extend(plain(&text.original, windash, readings));
        }
        SigmaValue::String(SigmaString { parts, .. }) => {
            for part in parts {
                match part {
                    StringPart::Special(SpecialChar::WildcardMulti) => {
                        pieces.push(if in_line { Piece::ManyInLine } else { Piece::Many });
                    }
                    StringPart::Special(SpecialChar::WildcardSingle) => {
                        pieces.push(if in_line { Piece::OneInLine } else { Piece::One });
                    }
                    StringPart::Plain(text) => pieces.extend(plain(text, windash, readings)),
                }
            }
        }
        other => pieces.extend(other.to_string().chars().map(Piece::Char)),
    }
    let wild = pieces.iter().any(|piece| !matches!(piece, Piece::Char(_) | Piece::Dash));
    let (starts, ends) = match wild && readings.has(Reading::EndsSwapped) {
        true => (has(Modifier::EndsWith), has(Modifier::StartsWith)),
        false => (has(Modifier::StartsWith), has(Modifier::EndsWith)),
    };
    let placed = |mut pieces: Vec<Piece>| {
        if has(Modifier::Contains) || ends {
            pieces.insert(0, Piece::Many);
        }
        if has(Modifier::Contains) || starts {
            pieces.push(Piece::Many);
        }
        Pattern { pieces, wild }
    };
    encoded(modifiers, pieces, readings).into_iter().map(placed).collect()
}

fn plain(text: &str, windash: bool, readings: Readings) -> Vec<Piece> {
    let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len())
        .map(|at| {
            let dash = DASHES.contains(chars[at]);
            let before = at.checked_sub(1).and_then(|at| chars.get(at));
            let introduces = match readings.has(Reading::EveryHyphen) {
                true => chars[at] == '-',
                false => dash && !word(before) && word(chars.get(at + 1)),
            };
            if windash && introduces { Piece::Dash } else { Piece::Char(chars[at]) }
        })
        .collect()
}

fn encoded(modifiers: &[Modifier], pieces: Vec<Piece>, readings: Readings) -> Vec<Vec<Piece>> {
    let has = |modifier| modifiers.contains(&modifier);
    let wide = has(Modifier::Wide) || has(Modifier::Utf16be) || has(Modifier::Utf16);
    let base64 = has(Modifier::Base64) || has(Modifier::Base64Offset);
    if !base64 && (!wide || readings.has(Reading::WideVerbatim)) {
        return vec![pieces];
    }
    let mut texts = vec![String::new()];
    for piece in pieces {
        let choices = match piece {
            Piece::Char(c) => c.to_string(),
            Piece::Dash => DASHES.to_owned(),
            Piece::One | Piece::OneInLine | Piece::Many | Piece::ManyInLine => {
                unreachable!("wildcards are not encoded")
            }
        };
        texts = texts
            .iter()
            .flat_map(|text| choices.chars().map(move |c| format!("{text}{c}")))
            .collect();
    }
    let mut encoded = Vec::new();
    for text in texts {
        let mut bytes = Vec::new();
        if has(Modifier::Utf16) {
            bytes.extend([0xFF, 0xFE]);
        }
        for unit in text.encode_utf16() {
            match (wide, has(Modifier::Utf16be)) {
                (true, true) => bytes.extend([(unit >> 8) as u8, unit as u8]),
                (true, false) => bytes.extend([unit as u8, (unit >> 8) as u8]),
                _ => {}
            }
        }
        if !wide {
            bytes = text.into_bytes();
        }
        if has(Modifier::Base64Offset) {
            encoded.extend((0..3).map(|shift| match readings.has(Reading::Base64Tail) {
                true => undecided(&bytes, shift),
                false => decided(&bytes, shift),
            }));
        } else if has(Modifier::Base64) {
            encoded.push(base64::engine::general_purpose::STANDARD.encode(&bytes));
        } else {
            encoded.push(String::from_utf8(bytes).unwrap());
        }
    }
    encoded.iter().map(|text| text.chars().map(Piece::Char).collect()).collect()
}

/// The characters of Base64 that stay the same whatever surrounds `bytes`.
fn decided(bytes: &[u8], shift: usize) -> String {
    let inside = |around: u8| -> Vec<char> {
        let mut all = vec![around; shift];
        all.extend(bytes);
        all.extend([around; 6]);
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(all).chars().collect()
    };
    let (zeros, ones) = (inside(0), inside(0xFF));
    zeros.iter().zip(&ones).filter(|(a, b)| a == b).map(|(a, _)| *a).collect()
}

/// The same with a last character that depends on what follows.
fn undecided(bytes: &[u8], shift: usize) -> String {
    let mut all = vec![0; shift];
    all.extend(bytes);
    let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(all);
    text.get([0, 2, 3][shift]..).unwrap_or_default().to_owned()
}

/// Whether a pattern fits the whole text: a table over both.
fn fits(pattern: &[Piece], text: &[char]) -> bool {
    let in_line = |at: usize| at > 0 && text[at - 1] != '\n';
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for piece in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match piece {
                Piece::Many => row[at] || (at > 0 && next[at - 1]),
                Piece::ManyInLine => row[at] || (in_line(at) && next[at - 1]),
                Piece::One => at > 0 && row[at - 1],
                Piece::OneInLine => in_line(at) && row[at - 1],
                Piece::Dash => at > 0 && row[at - 1] && DASHES.contains(text[at - 1]),
                Piece::Char(c) => at > 0 && row[at - 1] && text[at - 1] == *c,
            };
        }
        row = next;
    }
    row[text.len()]
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let written_so = text.chars().all(|c| "0123456789+-.eE".contains(c));
    text.parse::<f64>().ok().filter(|number| written_so && number.is_finite())
}

fn instant(text: &str) -> Option<jiff::Zoned> {
    let zoned = text.parse::<jiff::Timestamp>().ok().map(|t| t.to_zoned(jiff::tz::TimeZone::UTC));
    zoned.or_else(|| {
        text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()
    })
}

fn in_block(block: &str, text: &str, readings: Readings) -> bool {
    let (network, length) = block.split_once('/').unwrap();
    let bits = |address: IpAddr| -> String {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.iter().map(|octet| format!("{octet:08b}")).collect()
    };
    let text = match readings.has(Reading::ZonesUnknown) {
        true => text,
        false => text.trim().split('%').next().unwrap(),
    };
    let Ok(address) = text.parse::<IpAddr>() else { return false };
    let network: IpAddr = network.parse().unwrap();
    let address = match (network, address) {
        (IpAddr::V4(_), IpAddr::V6(_)) if readings.has(Reading::MappedApart) => return false,
        (IpAddr::V4(_), IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => return false,
        },
        (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        (_, address) => address,
    };
    let length: usize = length.parse().unwrap();
    bits(network)[..length] == bits(address)[..length]
}
