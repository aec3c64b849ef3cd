//! Sentences as data: `content/sentences/*.toml` says in Japanese and English what happened.
//!
//! A template is text with `{field}` gaps: `{a,b}` takes the first field present, `{a|basename}`
//! shortens, `{a|duration}` says nanoseconds in minutes and hours, `{a|words:logon_type}` looks the
//! value up (`known:` drops it where the list lacks it, `each:` looks up every code of a list,
//! `bits:` every flag of a number),
//! `{a|default:someone}` stands in. What is in
//! `[...]` appears only if every gap inside has a value; outside of brackets a gap without a default
//! is refused, so that a missing field never leaves a hole. `\[`, `\]` and `\{` are literal.

use crate::NormalizeError;
use crate::codes;
use crate::limits::{SENTENCE_CHARS_MAX, SENTENCE_CODES_MAX, SENTENCE_VALUE_CHARS_MAX};
use crate::mapping::{Map, OneOrMany, covers, holds, known_field, meaning};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use yagura_event::{EventBatch, FieldDictionary, Lang, UtcMicros};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sentence: Vec<Entry>,
    #[serde(default)]
    words: BTreeMap<String, BTreeMap<String, Word>>,
    /// What users write in the same file, and others read.
    #[serde(default, rename = "field")]
    _field: IgnoredAny,
    #[serde(default, rename = "sigma")]
    _sigma: IgnoredAny,
    #[serde(default, rename = "dataset")]
    _dataset: IgnoredAny,
    #[serde(default, rename = "pattern")]
    _pattern: IgnoredAny,
    #[serde(default, rename = "line")]
    _line: IgnoredAny,
    #[serde(default, rename = "mapping")]
    _mapping: IgnoredAny,
    #[serde(default, rename = "table")]
    _table: IgnoredAny,
    #[serde(default, rename = "named")]
    _named: IgnoredAny,
    #[serde(default, rename = "format")]
    _format: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dataset: String,
    #[serde(default)]
    code: Option<OneOrMany>,
    #[serde(default)]
    when: BTreeMap<String, OneOrMany>,
    ja: String,
    en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    ja: String,
    en: String,
}

impl Word {
    fn text(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.ja,
            Lang::En => &self.en,
        }
    }
}

type Words = BTreeMap<String, BTreeMap<String, Word>>;

/// Everything the sentence files say.
pub(crate) struct Sentences {
    sentences: Vec<Sentence>,
    /// Positions of the sentences of one dataset, by its name.
    by_dataset: Map<Box<str>, OfDataset>,
    /// Positions of those of several datasets.
    broad: Vec<usize>,
    words: Words,
    /// Fields that sentences speak of, by their number.
    fields: Vec<Box<str>>,
}

/// The number of a field in [`Sentences`].
type FieldNumber = usize;

/// The field that codes are in; the first that is numbered.
const CODE: FieldNumber = 0;

/// Numbers fields.
struct Fields {
    names: Vec<Box<str>>,
    numbers: Map<Box<str>, FieldNumber>,
}

impl Fields {
    fn new() -> Self {
        let mut fields = Fields { names: Vec::new(), numbers: Map::default() };
        fields.number("event.code");
        fields
    }

    fn number(&mut self, name: &str) -> FieldNumber {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len();
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }
}

/// The sentences of one batch: where its columns are is looked up once for all rows.
pub struct BatchSentences<'a> {
    sentences: &'a Sentences,
    batch: &'a EventBatch,
    /// By number of the field.
    places: RefCell<Vec<Place>>,
}

#[derive(Clone, Copy)]
enum Place {
    Unknown,
    Nowhere,
    Column(usize),
}

#[derive(Default)]
struct OfDataset {
    by_code: Map<Box<str>, Vec<usize>>,
    of_any_code: Vec<usize>,
}

struct Sentence {
    dataset: Box<str>,
    codes: Option<Vec<Box<str>>>,
    when: Vec<(FieldNumber, Vec<Box<str>>)>,
    ja: Vec<Node>,
    en: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(Box<str>),
    Gap { names: Vec<FieldNumber>, filters: Vec<Filter>, default: Option<Box<str>> },
    Optional(Vec<Node>),
}

#[derive(Debug)]
enum Filter {
    Basename,
    /// The word of the value in this list, else the value itself.
    Words(Box<str>),
    /// The word of the value in this list, else nothing.
    Known(Box<str>),
    /// The words of the codes of a list, codes without a word as they are.
    Each(Box<str>),
    /// The word of a number in this list, else the words of its flags; flags without a word as
    /// they are. Nothing where no flag has one.
    Bits(Box<str>),
    /// At most so many characters.
    Short(usize),
    /// Nanoseconds as people say them; nothing below a second.
    Duration,
}

impl Sentences {
    /// Reads our files, and over them those of a user: of equally specific sentences the user's wins.
    pub(crate) fn layered(
        ours: &[(&str, &str)],
        users: &[(&str, &str)],
        dictionary: &FieldDictionary,
    ) -> Result<Self, NormalizeError> {
        let mut parsed = Vec::new();
        let mut words = Words::new();
        for (file, text) in ours.iter().chain(users) {
            let content: File = toml::from_str(text).map_err(|source| NormalizeError::Syntax {
                file: (*file).into(),
                source: Box::new(source),
            })?;
            for (list, entries) in content.words {
                words.entry(list).or_default().extend(entries);
            }
            parsed.push((*file, content.sentence));
        }
        parsed.rotate_left(ours.len());
        let mut sentences = Vec::new();
        let mut fields = Fields::new();
        for (file, entries) in parsed {
            for (number, entry) in (1..).zip(entries) {
                let place = format!("sentence {number} ({:?})", entry.en);
                let compiled = Sentence::new(&entry, &words, dictionary, &mut fields)
                    .map_err(|reason| meaning(file, &place, reason))?;
                sentences.push(compiled);
            }
        }
        // The most specific first: named dataset, then prefix, then `*`; with code, then without;
        // with conditions, then without. The order in the files decides among equals.
        sentences.sort_by_key(|s| {
            let breadth = match &*s.dataset {
                "*" => 2,
                prefix if prefix.ends_with('.') => 1,
                _ => 0,
            };
            (breadth, s.codes.is_none(), s.when.is_empty())
        });
        let mut by_dataset = Map::<Box<str>, OfDataset>::default();
        let mut broad = Vec::new();
        for (position, sentence) in sentences.iter().enumerate() {
            if sentence.dataset.ends_with(['.', '*']) {
                broad.push(position);
                continue;
            }
            let of = by_dataset.entry_ref(&*sentence.dataset).or_default();
            match &sentence.codes {
                Some(codes) => {
                    for code in codes {
                        of.by_code.entry_ref(&**code).or_default().push(position);
                    }
                }
                None => of.of_any_code.push(position),
            }
        }
        Ok(Sentences { sentences, by_dataset, broad, words, fields: fields.names })
    }

    /// The sentences of a batch.
    pub(crate) fn of<'a>(&'a self, batch: &'a EventBatch) -> BatchSentences<'a> {
        let places = RefCell::new(vec![Place::Unknown; self.fields.len()]);
        BatchSentences { sentences: self, batch, places }
    }

    fn write(
        &self,
        nodes: &[Node],
        fields: &RowFields<'_>,
        lang: Lang,
        text: &mut String,
    ) -> Option<()> {
        // In Japanese, blanks set off values from logs; a default is a word like its neighbours.
        let mut after_default = false;
        for node in nodes {
            let close_up = std::mem::take(&mut after_default);
            match node {
                Node::Text(literal) if close_up => text.push_str(literal.trim_start_matches(' ')),
                Node::Text(literal) => text.push_str(literal),
                Node::Optional(inner) => {
                    let before = text.len();
                    if self.write(inner, fields, lang, text).is_none() {
                        text.truncate(before);
                    }
                }
                Node::Gap { names, filters, default } => {
                    let found = names.iter().find_map(|name| {
                        let value = fields.value(*name)?;
                        let said = self.filter(value, filters, lang)?;
                        let masked = fields.masked && !self.are_our_words(&said, filters, lang);
                        Some(if masked { self.mask(*name).into() } else { said })
                    });
                    match (found, default) {
                        (Some(value), _) => text.push_str(&value),
                        (None, Some(default)) => {
                            push_default(text, default, lang);
                            after_default = lang == Lang::Ja;
                        }
                        (None, None) => return None,
                    }
                }
            }
        }
        Some(())
    }

    /// Whether `said` is a word of a list, and not what a log says.
    fn are_our_words(&self, said: &str, filters: &[Filter], lang: Lang) -> bool {
        filters.iter().any(|filter| match filter {
            Filter::Words(table) | Filter::Known(table) => self
                .words
                .get(&**table)
                .is_some_and(|words| words.values().any(|word| word.text(lang) == said)),
            _ => false,
        })
    }

    fn mask(&self, field: FieldNumber) -> String {
        format!("{{{}}}", self.fields.get(field).map_or("", |name| name))
    }

    fn filter<'v>(
        &self,
        mut value: Cow<'v, str>,
        filters: &[Filter],
        lang: Lang,
    ) -> Option<Cow<'v, str>> {
        let mut limit = SENTENCE_VALUE_CHARS_MAX;
        for filter in filters {
            match filter {
                Filter::Short(chars) => limit = *chars,
                Filter::Duration => value = duration(value.trim().parse().ok()?, lang)?.into(),
                Filter::Basename => {
                    let base = value.trim_end_matches(['\\', '/']).rsplit(['\\', '/']).next()?;
                    value = base.to_owned().into();
                }
                Filter::Each(table) => {
                    let words = self.words.get(&**table)?;
                    value = say(codes::list(&value), words, lang).0.into();
                }
                Filter::Bits(table) => {
                    let words = self.words.get(&**table)?;
                    let (whole, flags) = codes::flags(&value)?;
                    let said = match words.get(&whole) {
                        Some(word) => word.text(lang).to_owned(),
                        None => match say(flags, words, lang) {
                            (said, true) => said,
                            (_, false) => whole,
                        },
                    };
                    value = said.into();
                }
                Filter::Words(table) | Filter::Known(table) => {
                    let word = word_of(self.words.get(&**table)?, value.trim());
                    value = match word {
                        Some(word) => word.text(lang).to_owned().into(),
                        None if matches!(filter, Filter::Known(_)) => return None,
                        None => value,
                    };
                }
            }
        }
        let value = one_line(value);
        let value = match shorten(&value, limit) {
            Cow::Borrowed(_) => value,
            Cow::Owned(short) => short.into(),
        };
        (!value.is_empty()).then_some(value)
    }
}

impl BatchSentences<'_> {
    /// What row `row` says, in words: one line, never empty.
    pub fn of_row(&self, row: usize, lang: Lang) -> String {
        self.say(RowFields { of: self, row, masked: false }, lang)
    }

    /// [`BatchSentences::of_row`] with `{name of the field}` instead of what the log says: so that
    /// tests can keep the sentences of logs that they must not keep.
    #[doc(hidden)]
    pub fn masked(&self, row: usize, lang: Lang) -> String {
        self.say(RowFields { of: self, row, masked: true }, lang)
    }

    fn say(&self, fields: RowFields<'_>, lang: Lang) -> String {
        let BatchSentences { sentences: known, batch, .. } = self;
        let code = fields.value(CODE);
        let of = known.by_dataset.get(&*batch.dataset);
        let of_code = of.zip(code.as_ref()).and_then(|(of, code)| of.by_code.get(&**code));
        let of_any_code = of.map(|of| &of.of_any_code);
        let candidates = [of_code, of_any_code, Some(&known.broad)];
        let candidates = candidates.into_iter().flatten().flatten();
        let candidates = candidates.filter_map(|position| known.sentences.get(*position));
        let fits = |sentence: &&Sentence| sentence.fits(&batch.dataset, code.as_deref(), &fields);
        for sentence in candidates.filter(fits) {
            let template = match lang {
                Lang::Ja => &sentence.ja,
                Lang::En => &sentence.en,
            };
            let mut text = String::new();
            if known.write(template, &fields, lang, &mut text).is_some() && !text.trim().is_empty()
            {
                return shorten(text.trim(), SENTENCE_CHARS_MAX).into_owned();
            }
        }
        match lang {
            Lang::Ja => format!("{} のイベント", batch.dataset),
            Lang::En => format!("An event of {}", batch.dataset),
        }
    }

    fn column(&self, field: FieldNumber) -> Option<&dyn Array> {
        let columns = &self.batch.columns;
        let mut places = self.places.borrow_mut();
        let place = places.get_mut(field)?;
        if let Place::Unknown = place {
            let name = self.sentences.fields.get(field)?;
            *place = match columns.schema_ref().column_with_name(name) {
                Some((at, _)) => Place::Column(at),
                None => Place::Nowhere,
            };
        }
        match *place {
            Place::Column(at) => columns.columns().get(at).map(AsRef::as_ref),
            Place::Unknown | Place::Nowhere => None,
        }
    }
}

impl Sentence {
    fn new(
        entry: &Entry,
        words: &Words,
        dictionary: &FieldDictionary,
        fields: &mut Fields,
    ) -> Result<Self, String> {
        let mut when = Vec::new();
        for (name, values) in &entry.when {
            known_field(name, dictionary)?;
            when.push((fields.number(name), values.iter().map(Box::from).collect()));
        }
        let mut check = Check { words, dictionary, fields };
        Ok(Sentence {
            dataset: entry.dataset.as_str().into(),
            codes: entry.code.as_ref().map(|codes| codes.iter().map(Box::from).collect()),
            when,
            ja: check.template(&entry.ja)?,
            en: check.template(&entry.en)?,
        })
    }

    fn fits(&self, dataset: &str, code: Option<&str>, fields: &RowFields<'_>) -> bool {
        covers(&self.dataset, dataset)
            && self.codes.as_ref().is_none_or(|codes| {
                code.is_some_and(|code| codes.iter().any(|known| **known == *code))
            })
            && self.when.iter().all(|(name, values)| {
                fields
                    .value(*name)
                    .is_some_and(|value| values.iter().any(|wanted| holds(wanted, &value)))
            })
    }
}

struct Check<'a> {
    words: &'a Words,
    dictionary: &'a FieldDictionary,
    fields: &'a mut Fields,
}

impl Check<'_> {
    fn template(&mut self, text: &str) -> Result<Vec<Node>, String> {
        let mut rest = text;
        let nodes = self.nodes(&mut rest, false)?;
        let hole = nodes.iter().find_map(|node| match node {
            Node::Gap { names, default: None, .. } => names.first(),
            _ => None,
        });
        if let Some(name) = hole.and_then(|number| self.fields.names.get(*number)) {
            return Err(format!("{{{name}}} needs a default, or brackets around it"));
        }
        Ok(nodes)
    }

    fn nodes(&mut self, rest: &mut &str, inside: bool) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        let mut literal = String::new();
        loop {
            let mut characters = rest.chars();
            let next = characters.next();
            let after = characters.as_str();
            if matches!(next, None | Some('[' | ']' | '{')) && !literal.is_empty() {
                nodes.push(Node::Text(std::mem::take(&mut literal).into()));
            }
            match next {
                None if inside => return Err("a `[` without `]`".into()),
                None => return Ok(nodes),
                Some('\\') => {
                    let mut characters = after.chars();
                    literal.extend(characters.next());
                    *rest = characters.as_str();
                }
                Some('[') if inside => return Err("brackets cannot be nested".into()),
                Some('[') => {
                    *rest = after;
                    nodes.push(Node::Optional(self.nodes(rest, true)?));
                }
                Some(']') if inside => {
                    *rest = after;
                    return Ok(nodes);
                }
                Some(']') => return Err("a `]` without `[`; write `\\]`".into()),
                Some('{') => {
                    let (gap, after) = after.split_once('}').ok_or("a `{` without `}`")?;
                    nodes.push(self.gap(gap)?);
                    *rest = after;
                }
                Some(c) => {
                    literal.push(c);
                    *rest = after;
                }
            }
        }
    }

    fn gap(&mut self, text: &str) -> Result<Node, String> {
        let mut parts = text.split('|');
        let mut names = Vec::new();
        for name in parts.next().unwrap_or_default().split(',') {
            known_field(name, self.dictionary)?;
            names.push(self.fields.number(name));
        }
        let (mut filters, mut default) = (Vec::new(), None);
        for part in parts {
            match part.split_once(':').unwrap_or((part, "")) {
                ("basename", "") => filters.push(Filter::Basename),
                ("duration", "") => filters.push(Filter::Duration),
                ("short", chars) => {
                    let chars = chars.parse().map_err(|_| format!("not a number: {chars:?}"))?;
                    filters.push(Filter::Short(chars));
                }
                (kind @ ("words" | "known" | "each" | "bits"), table) => {
                    if !self.words.contains_key(table) {
                        return Err(format!("no word list is called {table:?}"));
                    }
                    filters.push(match kind {
                        "words" => Filter::Words(table.into()),
                        "each" => Filter::Each(table.into()),
                        "bits" => Filter::Bits(table.into()),
                        _ => Filter::Known(table.into()),
                    });
                }
                ("default", word) if !word.is_empty() => default = Some(word.into()),
                _ => return Err(format!("no filter is called {part:?}")),
            }
        }
        Ok(Node::Gap { names, filters, default })
    }
}

/// The word of a code. A security identifier of a domain has that of its last part, which is the same
/// in all of them (MS-DTYP section 2.4.2.4): `S-1-5-21-*-512`.
fn word_of<'w>(words: &'w BTreeMap<String, Word>, code: &str) -> Option<&'w Word> {
    words.get(code).or_else(|| words.get(&in_any_domain(code)?))
}

fn in_any_domain(sid: &str) -> Option<String> {
    let bare = sid.strip_prefix("%{").and_then(|sid| sid.strip_suffix('}')).unwrap_or(sid);
    let (domain, relative) = bare.strip_prefix("S-1-5-21-")?.rsplit_once('-')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = domain.split('-');
    let is_domain = parts.by_ref().take(3).filter(|part| is_number(part)).count() == 3;
    (is_domain && parts.next().is_none() && is_number(relative))
        .then(|| format!("S-1-5-21-*-{relative}"))
}

/// The words of `codes`, one after another, and whether any has one.
fn say(
    codes: impl Iterator<Item = impl AsRef<str>>,
    words: &BTreeMap<String, Word>,
    lang: Lang,
) -> (String, bool) {
    let (mut said, mut any) = (String::new(), false);
    for (number, code) in codes.enumerate() {
        if number > 0 {
            said.push_str(if lang == Lang::Ja { "、" } else { ", " });
        }
        if number >= SENTENCE_CODES_MAX {
            said.push('…');
            break;
        }
        let word = word_of(words, code.as_ref());
        any |= word.is_some();
        said.push_str(word.map_or(code.as_ref(), |word| word.text(lang)));
    }
    (said, any)
}

/// The values of one row as text.
struct RowFields<'a> {
    of: &'a BatchSentences<'a>,
    row: usize,
    /// Sentences name the field instead of saying its value.
    masked: bool,
}

impl<'a> RowFields<'a> {
    /// The value of a column; `None` where it is null, empty, or a dash standing for nothing.
    fn value(&self, field: FieldNumber) -> Option<Cow<'a, str>> {
        let value = cell(self.of.column(field)?, self.row)?;
        (!matches!(value.trim(), "" | "-" | "(null)")).then_some(value)
    }
}

/// One cell as text; `None` for null and for binary columns.
pub(crate) fn cell(column: &dyn Array, row: usize) -> Option<Cow<'_, str>> {
    if row >= column.len() || column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Dictionary(_, _) => {
            let column = column.as_dictionary_opt::<Int32Type>()?;
            column.values().as_string_opt::<i32>()?.value(column.key(row)?).into()
        }
        DataType::Utf8 => column.as_string_opt::<i32>()?.value(row).into(),
        DataType::Int64 => column.as_primitive_opt::<Int64Type>()?.value(row).to_string().into(),
        DataType::Timestamp(_, _) => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            UtcMicros::from_micros(micros).to_string().into()
        }
        _ => return None,
    })
}

/// Two units at most; `None` below a second.
fn duration(nanoseconds: i64, lang: Lang) -> Option<String> {
    let seconds = nanoseconds / 1_000_000_000;
    const UNITS: [(i64, &str, &str); 4] =
        [(86_400, "日", "d"), (3_600, "時間", "h"), (60, "分", "min"), (1, "秒", "s")];
    let at = UNITS.iter().position(|(unit, ..)| seconds >= *unit)?;
    let mut text = String::new();
    let mut left = seconds;
    for (unit, ja, en) in UNITS.iter().skip(at).take(2) {
        let number = left / unit;
        left %= unit;
        if number == 0 {
            continue;
        }
        let word = if lang == Lang::Ja { ja } else { en };
        let blank = if text.is_empty() { "" } else { " " };
        text.push_str(&format!("{blank}{number} {word}"));
    }
    if lang == Lang::Ja && !text.ends_with("時間") {
        text.push('間');
    }
    Some(text)
}

fn push_default(text: &mut String, default: &str, lang: Lang) {
    match lang {
        Lang::Ja => text.truncate(text.trim_end_matches(' ').len()),
        Lang::En if text.is_empty() => {
            let mut characters = default.chars();
            text.extend(characters.next().into_iter().flat_map(char::to_uppercase));
            text.push_str(characters.as_str());
            return;
        }
        Lang::En => {}
    }
    text.push_str(default);
}

/// Control characters, line breaks and text-direction marks become blanks: a sentence is one line,
/// and what a log says must not change how the rest of the screen reads. Runs of blanks shrink.
fn one_line(value: Cow<'_, str>) -> Cow<'_, str> {
    let unwanted = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
    };
    if !value.contains(unwanted) {
        let trimmed = value.trim();
        return if trimmed.len() == value.len() { value } else { trimmed.to_owned().into() };
    }
    // Nothing longer is ever shown.
    let taken = value.chars().take(8 * SENTENCE_CHARS_MAX);
    let blanked: String = taken.map(|c| if unwanted(c) { ' ' } else { c }).collect();
    blanked.split_whitespace().collect::<Vec<_>>().join(" ").into()
}

fn shorten(text: &str, chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars) {
        None => text.into(),
        Some(_) => {
            let kept = text.chars().take(chars.saturating_sub(1));
            let mut short: String = kept.collect();
            short.push('…');
            short.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content;

    #[test]
    fn templates_that_could_leave_a_hole_are_refused() {
        let dictionary = FieldDictionary::from_files(content::FIELDS.iter().copied()).unwrap();
        let read = |template: &str| {
            let text = format!("[[sentence]]\ndataset='a'\nja='x'\nen='{template}'");
            match Sentences::layered(&[("x.toml", &text)], &[], &dictionary) {
                Ok(_) => "accepted".into(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(read("[{user.name} ]was here"), "accepted");
        assert_eq!(read("{user.name|default:someone} \\[was\\] here"), "accepted");
        for (wrong, named) in [
            ("{user.name} was here", "user.name"),
            ("[{user.nmae}]", "user.nmae"),
            ("[{user.name|shout}]", "shout"),
            ("[{user.name|words:none}]", "none"),
            ("[a [b]]", "nested"),
            ("a ]", "without"),
            ("a [", "without"),
            ("a {", "without"),
        ] {
            let error = read(wrong);
            assert!(error.starts_with("x.toml") && error.contains(named), "{wrong}: {error}");
        }
    }

    #[test]
    fn groups_of_any_domain_have_their_names() {
        let any = |sid: &str| in_any_domain(sid);
        for sid in ["S-1-5-21-397955417-626881126-188441444-512", "%{S-1-5-21-1-2-3-512}"] {
            assert_eq!(any(sid).as_deref(), Some("S-1-5-21-*-512"));
        }
        for other in
            ["S-1-5-21-1-2-512", "S-1-5-21-1-2-3-4-512", "S-1-5-32-544", "S-1-5-21-1-x-3-5"]
        {
            assert_eq!(any(other), None, "{other}");
        }
        let words: File = toml::from_str(
            "[words.sid]\n'S-1-5-21-*-512' = { ja = 'Domain Admins', en = 'Domain Admins' }",
        )
        .unwrap();
        let (said, _) = say(
            ["S-1-5-21-1-2-3-512", "S-1-5-21-1-2-3-1104"].into_iter(),
            &words.words["sid"],
            Lang::En,
        );
        assert_eq!(said, "Domain Admins, S-1-5-21-1-2-3-1104");
    }

    #[test]
    fn durations_are_said_in_two_units() {
        let said = |seconds: i64, lang| duration(seconds * 1_000_000_000, lang);
        assert_eq!(said(0, Lang::En), None);
        assert_eq!(said(-5, Lang::Ja), None);
        for (seconds, ja, en) in [
            (45, "45 秒間", "45 s"),
            (120, "2 分間", "2 min"),
            (3_900, "1 時間 5 分間", "1 h 5 min"),
            (7_200, "2 時間", "2 h"),
            (90_061, "1 日 1 時間", "1 d 1 h"),
        ] {
            assert_eq!(said(seconds, Lang::Ja).as_deref(), Some(ja));
            assert_eq!(said(seconds, Lang::En).as_deref(), Some(en));
        }
    }

    #[test]
    fn values_stay_on_one_line_and_short() {
        assert_eq!(one_line("a\r\n\u{202e}b\t c".into()), "a b c");
        assert_eq!(one_line("a\u{61c}b".into()), "a b");
        assert_eq!(shorten("田中田中", 4), "田中田中");
        assert_eq!(shorten("田中田中", 3), "田中…");
    }
}
