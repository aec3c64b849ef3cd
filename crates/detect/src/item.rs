//! One line of a selection: a field, its modifiers and its values.

use crate::expand::{PlaceholderLists, expand};
use crate::expression::{AtomId, Expression};
use crate::limits::{
    PREDICATES_PER_RULE_MAX, REGEXES_MAX, REGEXES_PER_RULE_MAX, WINDASH_SPELLINGS_MAX,
};
use crate::predicate::{
    Cidr, Compare, Number, Place, Predicate, Test, TimePart, Token, from_tokens,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use jiff::tz::TimeZone;
use rsigma_parser::{DetectionItem, Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};
use std::sync::Arc;

/// A predicate about a field, shared between all rules that state it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
    /// About a value: of `field`, or of any field (a keyword).
    Value { field: Option<Arc<str>>, test: usize },
    /// About two fields of the same event.
    Fields { field: Arc<str>, other: Arc<str>, place: Place, cased: bool },
}

/// All atoms of a rule set, each once.
#[derive(Debug, Default)]
pub(crate) struct AtomTable {
    pub(crate) atoms: Vec<Atom>,
    pub(crate) tests: Vec<Arc<Test>>,
    atom_ids: HashMap<Atom, AtomId, RandomState>,
    test_ids: HashMap<Predicate, usize, RandomState>,
    /// Zone that parts of a time are taken in; UTC if none.
    zone: Option<TimeZone>,
    regexes: usize,
    /// Most regular expressions; [`REGEXES_MAX`] if none.
    regexes_max: Option<usize>,
}

impl AtomTable {
    /// An empty table; parts of times are taken in `zone`.
    pub(crate) fn new(zone: TimeZone, regexes_max: usize) -> AtomTable {
        AtomTable { zone: Some(zone), regexes_max: Some(regexes_max), ..AtomTable::default() }
    }

    fn atom(&mut self, atom: Atom) -> Expression {
        let next = self.atoms.len();
        let id = *self.atom_ids.entry(atom).or_insert_with_key(|atom| {
            self.atoms.push(atom.clone());
            // Proof: rules and predicates per rule are limited to fewer than 2^32 together.
            u32::try_from(next).unwrap_or(u32::MAX)
        });
        Expression::Atom(id)
    }

    fn test(&mut self, predicate: Predicate) -> Result<usize, String> {
        if let Some(id) = self.test_ids.get(&predicate) {
            return Ok(*id);
        }
        let most = self.regexes_max.unwrap_or(REGEXES_MAX);
        let is_regex = matches!(predicate, Predicate::Regex(_));
        if is_regex && self.regexes >= most {
            return Err(format!("there are already {most} regular expressions in all rules"));
        }
        let id = self.tests.len();
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let test = Test::in_zone(predicate.clone(), zone)?;
        self.regexes += test.regex_cost;
        self.tests.push(Arc::new(test));
        self.test_ids.insert(predicate, id);
        Ok(id)
    }
}

static NO_LISTS: PlaceholderLists = PlaceholderLists::EMPTY;

/// What the selections of one rule are compiled into.
pub(crate) struct RuleAtoms<'a> {
    table: &'a mut AtomTable,
    lists: &'a PlaceholderLists,
    predicates: usize,
    regexes: usize,
}

impl<'a> RuleAtoms<'a> {
    /// Without values for placeholders.
    pub(crate) fn new(table: &'a mut AtomTable) -> Self {
        RuleAtoms::with_lists(table, &NO_LISTS)
    }

    /// With the values of `lists` for placeholders.
    pub(crate) fn with_lists(table: &'a mut AtomTable, lists: &'a PlaceholderLists) -> Self {
        RuleAtoms { table, lists, predicates: 0, regexes: 0 }
    }

    fn value(
        &mut self,
        field: Option<&Arc<str>>,
        predicate: Predicate,
    ) -> Result<Expression, String> {
        self.predicates += 1;
        if self.predicates > PREDICATES_PER_RULE_MAX {
            return Err(format!("more than {PREDICATES_PER_RULE_MAX} predicates"));
        }
        // Before it is compiled, for that is what takes time.
        if matches!(predicate, Predicate::Regex(_)) && self.regexes >= REGEXES_PER_RULE_MAX {
            return Err(format!("more than {REGEXES_PER_RULE_MAX} regular expressions"));
        }
        let test = self.table.test(predicate)?;
        self.regexes += self.table.tests.get(test).map_or(0, |test| test.regex_cost);
        Ok(self.table.atom(Atom::Value { field: field.cloned(), test }))
    }

    /// Plain values without a field.
    pub(crate) fn keywords(&mut self, values: &[SigmaValue]) -> Result<Expression, String> {
        let modifiers = Modifiers { place: Some(Place::Contains), ..Modifiers::default() };
        self.values(None, &modifiers, values)
    }

    /// `field|modifiers: values`.
    pub(crate) fn item(&mut self, item: &DetectionItem) -> Result<Expression, String> {
        let modifiers = &item.field.modifiers;
        let Some(name) = &item.field.name else {
            if modifiers.is_empty() {
                return Err("a field without a name".into());
            }
            return self
                .unnamed(modifiers, &item.values)
                .map_err(|reason| format!("keywords: {reason}"));
        };
        let name = rsigma_parser::fieldpath::unescape_brackets(name);
        let field: Arc<str> = name.as_ref().into();
        self.named(&field, modifiers, &item.values)
            .map_err(|reason| format!("field {field}: {reason}"))
    }

    fn unnamed(
        &mut self,
        modifiers: &[Modifier],
        values: &[SigmaValue],
    ) -> Result<Expression, String> {
        let mut modifiers = Modifiers::read(modifiers)?;
        let unusable = modifiers.exists || modifiers.fieldref || modifiers.neq;
        if unusable || modifiers.compare.is_some() || modifiers.part.is_some() {
            return Err("exists, fieldref, neq, comparisons and time parts need a field".into());
        }
        if modifiers.place.is_none() && !modifiers.re && !modifiers.cidr {
            modifiers.place = Some(Place::Contains);
        }
        self.values(None, &modifiers, values)
    }

    fn named(
        &mut self,
        field: &Arc<str>,
        modifiers: &[Modifier],
        values: &[SigmaValue],
    ) -> Result<Expression, String> {
        let modifiers = Modifiers::read(modifiers)?;
        let expression = self.values(Some(field), &modifiers, values)?;
        if !modifiers.neq {
            return Ok(expression);
        }
        // The field must differ from all values, and must be there to differ.
        let exists = self.value(Some(field), Predicate::Exists)?;
        Ok(Expression::all(vec![exists, Expression::negate(expression)]))
    }

    fn values(
        &mut self,
        field: Option<&Arc<str>>,
        modifiers: &Modifiers,
        values: &[SigmaValue],
    ) -> Result<Expression, String> {
        if values.is_empty() {
            return Err("an empty list of values".into());
        }
        let parts: Result<Vec<_>, _> =
            values.iter().map(|value| self.one_value(field, modifiers, value)).collect();
        Ok(match modifiers.all {
            true => Expression::all(parts?),
            false => Expression::any(parts?),
        })
    }

    fn one_value(
        &mut self,
        field: Option<&Arc<str>>,
        modifiers: &Modifiers,
        value: &SigmaValue,
    ) -> Result<Expression, String> {
        if let SigmaValue::String(text) = value {
            check_text(text)?;
            if modifiers.expands {
                return self.expanded(field, modifiers, text);
            }
        }
        self.plain_value(field, modifiers, value)
    }

    /// A value with placeholders: any of the values it stands for, also under `all`.
    fn expanded(
        &mut self,
        field: Option<&Arc<str>>,
        modifiers: &Modifiers,
        text: &SigmaString,
    ) -> Result<Expression, String> {
        let escape = modifiers.re.then_some(regex::escape as fn(&str) -> String);
        let values = expand(text, escape, self.lists)?;
        let values = values.into_iter().map(SigmaValue::String);
        let parts: Result<Vec<_>, _> =
            values.map(|value| self.plain_value(field, modifiers, &value)).collect();
        Ok(Expression::any(parts?))
    }

    fn plain_value(
        &mut self,
        field: Option<&Arc<str>>,
        modifiers: &Modifiers,
        value: &SigmaValue,
    ) -> Result<Expression, String> {
        if modifiers.exists {
            let SigmaValue::Bool(wanted) = value else {
                return Err(format!("exists takes true or false, not {value}"));
            };
            let exists = self.value(field, Predicate::Exists)?;
            return Ok(if *wanted { exists } else { Expression::negate(exists) });
        }
        if let (SigmaValue::Null, Some(_)) = (value, field) {
            if !modifiers.is_plain() {
                return Err("null cannot be combined with a modifier other than all and neq".into());
            }
            return Ok(Expression::negate(self.value(field, Predicate::Exists)?));
        }
        if modifiers.fieldref {
            let (Some(field), SigmaValue::String(other)) = (field, value) else {
                return Err(format!("fieldref takes the name of a field, not {value}"));
            };
            let place = modifiers.place.unwrap_or(Place::Equals);
            let other = other.original.as_str().into();
            let cased = modifiers.cased;
            return Ok(self.table.atom(Atom::Fields { field: field.clone(), other, place, cased }));
        }
        let predicates = predicates_of(modifiers, value)?;
        let parts: Result<Vec<_>, _> =
            predicates.into_iter().map(|predicate| self.value(field, predicate)).collect();
        Ok(Expression::any(parts?))
    }
}

/// Modifiers of one field, checked against each other.
#[derive(Debug, Default)]
struct Modifiers {
    all: bool,
    cased: bool,
    neq: bool,
    exists: bool,
    fieldref: bool,
    re: bool,
    cidr: bool,
    expands: bool,
    place: Option<Place>,
    compare: Option<Compare>,
    part: Option<TimePart>,
    flags: String,
    encodings: Vec<Encoding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Windash,
    Utf16Le,
    Utf16Be,
    /// Little-endian with a byte order mark.
    Utf16,
    Base64,
    Base64Offset,
}

impl Modifiers {
    fn read(list: &[Modifier]) -> Result<Modifiers, String> {
        let mut read = Modifiers::default();
        for (position, modifier) in list.iter().enumerate() {
            if list[..position].contains(modifier) {
                return Err(format!("modifier {modifier:?} given twice"));
            }
            read.add(*modifier)?;
        }
        read.check()?;
        Ok(read)
    }

    fn add(&mut self, modifier: Modifier) -> Result<(), String> {
        use Modifier as M;
        match modifier {
            M::All => self.all = true,
            M::Cased => self.cased = true,
            M::Neq => self.neq = true,
            M::Exists => self.exists = true,
            M::FieldRef => self.fieldref = true,
            M::Re => self.re = true,
            M::Cidr => self.cidr = true,
            M::Expand => self.expands = true,
            M::Contains => return once(&mut self.place, Place::Contains),
            M::StartsWith => return once(&mut self.place, Place::Starts),
            M::EndsWith => return once(&mut self.place, Place::Ends),
            M::Gt => return once(&mut self.compare, Compare::Greater),
            M::Gte => return once(&mut self.compare, Compare::GreaterOrEqual),
            M::Lt => return once(&mut self.compare, Compare::Less),
            M::Lte => return once(&mut self.compare, Compare::LessOrEqual),
            M::Minute => return once(&mut self.part, TimePart::Minute),
            M::Hour => return once(&mut self.part, TimePart::Hour),
            M::Day => return once(&mut self.part, TimePart::Day),
            M::Week => return once(&mut self.part, TimePart::Week),
            M::Month => return once(&mut self.part, TimePart::Month),
            M::Year => return once(&mut self.part, TimePart::Year),
            M::IgnoreCase | M::Multiline | M::DotAll if !self.re => {
                return Err("the flags i, m and s must follow re".into());
            }
            M::IgnoreCase => self.flags.push('i'),
            M::Multiline => self.flags.push('m'),
            M::DotAll => self.flags.push('s'),
            M::WindAsh => return self.encode(Encoding::Windash),
            M::Wide => return self.encode(Encoding::Utf16Le),
            M::Utf16be => return self.encode(Encoding::Utf16Be),
            M::Utf16 => return self.encode(Encoding::Utf16),
            M::Base64 => return self.encode(Encoding::Base64),
            M::Base64Offset => return self.encode(Encoding::Base64Offset),
        }
        Ok(())
    }

    /// Encodings go from text to bytes to Base64, and come before the place to look at.
    fn encode(&mut self, encoding: Encoding) -> Result<(), String> {
        let stage = |encoding: &Encoding| match encoding {
            Encoding::Windash => 0,
            Encoding::Utf16Le | Encoding::Utf16Be | Encoding::Utf16 => 1,
            Encoding::Base64 | Encoding::Base64Offset => 2,
        };
        if self.encodings.last().is_some_and(|last| stage(last) >= stage(&encoding)) {
            return Err(
                "encodings must come in the order windash, utf16, base64, one of each".into()
            );
        }
        if self.place.is_some() && encoding != Encoding::Windash {
            return Err("encodings must come before contains, startswith and endswith".into());
        }
        self.encodings.push(encoding);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let compares = self.compare.is_some() || self.part.is_some();
        let kinds = [self.re, self.cidr, self.exists, self.fieldref, compares];
        let kinds = kinds.iter().filter(|used| **used).count();
        let place = self.place.is_some() && !self.fieldref;
        if kinds + usize::from(place) > 1 {
            return Err("modifiers that exclude each other".into());
        }
        if !self.encodings.is_empty() && kinds > 0 {
            return Err("encodings apply to plain text only".into());
        }
        if self.exists && (self.all || self.neq || self.cased) {
            return Err("exists stands alone".into());
        }
        if self.cased && (self.cidr || compares) {
            return Err("cased applies to text only".into());
        }
        Ok(())
    }

    /// Whether nothing but `all` and `neq` is there.
    fn is_plain(&self) -> bool {
        let compares = self.compare.is_some() || self.part.is_some();
        !(self.re || self.cidr || self.fieldref || self.cased || compares)
            && self.place.is_none()
            && self.encodings.is_empty()
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("modifiers that exclude each other".into()),
    }
}

/// Refuses what the parser let through as text: nested collections.
fn check_text(text: &SigmaString) -> Result<(), String> {
    let original = text.original.as_str();
    // The parser writes collections it did not expect in this form.
    let nested = ["Mapping {", "Sequence [", "TaggedValue {"];
    if nested.iter().any(|start| original.starts_with(start)) {
        return Err("a value is a list or mapping where a single value belongs".into());
    }
    Ok(())
}

/// The predicates of which one must hold for `value`.
fn predicates_of(modifiers: &Modifiers, value: &SigmaValue) -> Result<Vec<Predicate>, String> {
    if modifiers.compare.is_some() || modifiers.part.is_some() {
        let compare = modifiers.compare.unwrap_or(Compare::Equal);
        let number = number_of(value)?;
        return Ok(vec![Predicate::Number { part: modifiers.part, compare, number }]);
    }
    if modifiers.cidr {
        let text = plain_text(value)?;
        let block = Cidr::parse(&text).ok_or_else(|| format!("{text:?} is no address block"))?;
        return Ok(vec![Predicate::Cidr(block)]);
    }
    if modifiers.re {
        let source = plain_text(value)?;
        return Ok(vec![Predicate::Regex(match modifiers.flags.as_str() {
            "" => source.into(),
            flags => format!("(?{flags}:{source})").into(),
        })]);
    }
    let spellings = encode_all(tokens_of(value)?, &modifiers.encodings)?;
    let place = |tokens: Vec<Token>| -> Predicate {
        let place = modifiers.place.unwrap_or(Place::Equals);
        let before = matches!(place, Place::Ends | Place::Contains).then_some(Token::Many);
        let after = matches!(place, Place::Starts | Place::Contains).then_some(Token::Many);
        let tokens = before.into_iter().chain(tokens).chain(after).collect();
        from_tokens(tokens, modifiers.cased)
    };
    Ok(spellings.into_iter().map(place).collect())
}

fn number_of(value: &SigmaValue) -> Result<Number, String> {
    let number = match value {
        SigmaValue::Integer(integer) => Some(Number::Integer(*integer)),
        SigmaValue::Float(float) => Some(Number::Float(float.to_bits())),
        SigmaValue::String(text) => Number::parse(&text.original),
        SigmaValue::Bool(_) | SigmaValue::Null => None,
    };
    number.ok_or_else(|| format!("{value} is not a number"))
}

/// The text of a value in which wildcards mean nothing.
fn plain_text(value: &SigmaValue) -> Result<String, String> {
    match value {
        SigmaValue::String(text) => Ok(text.original.clone()),
        SigmaValue::Integer(_) | SigmaValue::Float(_) => scalar_text(value),
        SigmaValue::Bool(_) | SigmaValue::Null => Err(format!("{value} is not text")),
    }
}

fn scalar_text(value: &SigmaValue) -> Result<String, String> {
    /// From here on not every integer is a `f64`, so the text would not be what was written.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        SigmaValue::Float(float) if !float.is_finite() || float.abs() >= EXACT_MAX => {
            Err(format!("the number {float} is too large: write it in quotes"))
        }
        SigmaValue::Null => Err("null is not a keyword".into()),
        value => Ok(value.to_string()),
    }
}

fn tokens_of(value: &SigmaValue) -> Result<Vec<Token>, String> {
    let SigmaValue::String(text) = value else {
        return Ok(vec![Token::Literal(scalar_text(value)?.into())]);
    };
    Ok(text
        .parts
        .iter()
        .map(|part| match part {
            StringPart::Plain(text) => Token::Literal(text.as_str().into()),
            StringPart::Special(SpecialChar::WildcardSingle) => Token::One,
            StringPart::Special(SpecialChar::WildcardMulti) => Token::Many,
        })
        .collect())
}

/// All spellings of a pattern after its encodings.
fn encode_all(tokens: Vec<Token>, encodings: &[Encoding]) -> Result<Vec<Vec<Token>>, String> {
    let (dashes, rest) = match encodings.split_first() {
        Some((Encoding::Windash, rest)) => (windash(&tokens)?, rest),
        _ => (vec![tokens], encodings),
    };
    if rest.is_empty() {
        return Ok(dashes);
    }
    let mut encoded = Vec::new();
    for tokens in dashes {
        let [Token::Literal(text)] = tokens.as_slice() else {
            return Err("text with wildcards, or none at all, cannot be encoded".into());
        };
        encoded
            .extend(encode(text, rest)?.into_iter().map(|text| vec![Token::Literal(text.into())]));
    }
    Ok(encoded)
}

fn encode(text: &str, encodings: &[Encoding]) -> Result<Vec<String>, String> {
    let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
    let bytes: Vec<u8> = match encodings.first() {
        Some(Encoding::Utf16Le) => units(u16::to_le_bytes),
        Some(Encoding::Utf16Be) => units(u16::to_be_bytes),
        Some(Encoding::Utf16) => {
            let mark = [0xFF, 0xFE];
            mark.into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
        }
        _ => text.as_bytes().to_vec(),
    };
    match encodings.last() {
        Some(Encoding::Base64) => Ok(vec![BASE64.encode(&bytes)]),
        Some(Encoding::Base64Offset) => {
            let shifted: Vec<String> = (0..3).map(|shift| base64_shifted(&bytes, shift)).collect();
            // A pattern without a character of its own would hold for every text.
            match shifted.iter().any(String::is_empty) {
                true => Err(format!(
                    "{text:?} is too short for base64offset: one byte can vanish among its \
                     neighbours; write two or more"
                )),
                false => Ok(shifted),
            }
        }
        _ => match String::from_utf8(bytes) {
            Ok(text) => Ok(vec![text]),
            Err(_) => {
                Err("UTF-16 that is not text must be followed by base64 or base64offset".into())
            }
        },
    }
}

/// The characters of Base64 that `bytes` alone decide when `shift` unknown bytes come before.
fn base64_shifted(bytes: &[u8], shift: usize) -> String {
    let mut shifted = vec![b' '; shift];
    shifted.extend_from_slice(bytes);
    let encoded = BASE64.encode(&shifted);
    // A character holds six bits: those shared with a neighbour's byte say nothing.
    let start = [0, 2, 3][shift];
    let end = encoded.len() - [0, 3, 2][shifted.len() % 3];
    encoded.get(start..end).unwrap_or_default().to_owned()
}

/// Characters that introduce an option of a Windows command line.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// Every spelling of the dashes that introduce a word, in any combination.
fn windash(tokens: &[Token]) -> Result<Vec<Vec<Token>>, String> {
    let mut spellings: Vec<Vec<Token>> = vec![Vec::new()];
    for token in tokens {
        let alternatives = match token {
            Token::Literal(text) => {
                windash_text(text)?.into_iter().map(|t| Token::Literal(t.into())).collect()
            }
            other => vec![other.clone()],
        };
        spellings = spellings
            .iter()
            .flat_map(|start| {
                alternatives
                    .iter()
                    .map(|next| start.iter().cloned().chain([next.clone()]).collect())
            })
            .collect();
        if spellings.len() > WINDASH_SPELLINGS_MAX {
            return Err(too_many_dashes());
        }
    }
    Ok(spellings)
}

fn windash_text(text: &str) -> Result<Vec<String>, String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut spellings = vec![String::new()];
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let introduces = DASHES.contains(&c)
            && !before.is_some_and(is_word)
            && chars.peek().copied().is_some_and(is_word);
        if introduces {
            spellings = DASHES
                .iter()
                .flat_map(|dash| spellings.iter().map(move |start| format!("{start}{dash}")))
                .collect();
            if spellings.len() > WINDASH_SPELLINGS_MAX {
                return Err(too_many_dashes());
            }
        } else {
            spellings.iter_mut().for_each(|spelling| spelling.push(c));
        }
        before = Some(c);
    }
    Ok(spellings)
}

fn too_many_dashes() -> String {
    format!("windash gives one value more than {WINDASH_SPELLINGS_MAX} spellings")
}
