//! Mappings as data: what `content/mappings/*.toml` says, checked and compiled per dataset.
//!
//! A mapping copies fields, sets constants and translates values through tables, where its
//! conditions (event code, equality of fields) hold. It can do nothing else: no loops, no code.

mod reading;

use crate::NormalizeError;
use crate::byte_set::ByteSet;
use crate::expression::Expression;
use crate::flat::Flat;
use crate::grok::{self, Grok, Named};
use crate::headed;
use crate::lists::{Lists, PairsEntry};
use crate::log_format::LogFormat;
use crate::pattern::{Matched, Pattern, Receipt};
use crate::signature::{JsonEntry, Signatures};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use reading::{Reading, no_dataset};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::{FieldDictionary, FieldType, Origin, UtcMicros, columns};

pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;

/// Fields and the values they are set to.
type Constants = Vec<(Box<str>, Box<str>)>;

/// Translation tables by name.
type Tables = BTreeMap<String, Arc<Table>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    dataset: Vec<DatasetEntry>,
    #[serde(default)]
    pattern: Vec<PatternEntry>,
    #[serde(default)]
    line: Vec<LineEntry>,
    #[serde(default)]
    mapping: Vec<MappingEntry>,
    #[serde(default)]
    table: BTreeMap<String, BTreeMap<String, String>>,
    /// Regular expressions by name, for patterns written as `grok`.
    #[serde(default)]
    named: Named,
    /// How web servers were told to write their access logs.
    #[serde(default)]
    format: Vec<FormatEntry>,
    /// What users write in the same file, and others read.
    #[serde(default, rename = "field")]
    _field: IgnoredAny,
    #[serde(default, rename = "sigma")]
    _sigma: IgnoredAny,
    #[serde(default, rename = "sentence")]
    _sentence: IgnoredAny,
    #[serde(default, rename = "words")]
    _words: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetEntry {
    name: String,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    programs: Vec<String>,
    /// What a JSON document of this dataset looks like, in one or several ways.
    #[serde(default)]
    json: Vec<JsonEntry>,
    /// Columns of a file with a header that is of this dataset: all of them.
    #[serde(default)]
    columns: Vec<String>,
    /// Native names of when it happened, the best first.
    #[serde(default)]
    time: Vec<String>,
    /// Times without a zone are in UTC, not in the zone of the source.
    #[serde(default)]
    utc: bool,
    /// Lists whose elements have a name and a value: fields of that name. See [`crate::lists`].
    #[serde(default)]
    pairs: Vec<PairsEntry>,
    /// Fields that join the values at one place of all elements of a list.
    #[serde(default)]
    join: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    title_ja: Option<Box<str>>,
    #[serde(default)]
    title_en: Option<Box<str>>,
    #[serde(default)]
    about_ja: Option<Box<str>>,
    #[serde(default)]
    about_en: Option<Box<str>>,
    #[serde(default)]
    send_ja: Option<Box<str>>,
    #[serde(default)]
    send_en: Option<Box<str>>,
    #[serde(default)]
    nis2: Vec<Box<str>>,
    #[serde(default)]
    asd: Option<Box<str>>,
    #[serde(default)]
    sample: Option<Box<str>>,
}

/// What people are told about a dataset: `content/mappings`, the entries called `dataset`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatasetAbout {
    /// The dataset, such as `linux.auth`.
    pub name: Box<str>,
    /// What it is called, in Japanese.
    pub title_ja: Box<str>,
    /// What it is called, in English.
    pub title_en: Box<str>,
    /// What it holds, in Japanese.
    pub about_ja: Box<str>,
    /// What it holds, in English.
    pub about_en: Box<str>,
    /// How to send it, in Japanese.
    pub send_ja: Box<str>,
    /// How to send it, in English.
    pub send_en: Box<str>,
    /// Categories `a` to `l` of point 3.2.3 of the annex of Regulation (EU) 2024/2690 that it serves.
    pub nis2: Vec<Box<str>>,
    /// The class of log source of "Best practices for event logging and threat detection" (ASD's
    /// ACSC and partners, 2024) that it is of.
    pub asd: Option<Box<str>>,
    /// One record as it arrives, where one can be given.
    pub sample: Option<Box<str>>,
    /// Windows event logs that it is read from.
    pub channels: Vec<Box<str>>,
    /// Syslog programs that it is read from.
    pub programs: Vec<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternEntry {
    program: OneOrMany,
    #[serde(default, rename = "match")]
    text: Option<String>,
    /// Instead of `match`: named patterns.
    #[serde(default)]
    grok: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// The dataset where it matches, instead of the program's.
    #[serde(default)]
    dataset: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineEntry {
    dataset: String,
    #[serde(default, rename = "match")]
    text: Option<String>,
    /// Instead of `match`: named patterns.
    #[serde(default)]
    grok: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingEntry {
    dataset: String,
    #[serde(default)]
    code: Option<OneOrMany>,
    #[serde(default)]
    when: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    copy: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    translate: Vec<TranslateEntry>,
    /// What expressions come to.
    #[serde(default)]
    set_expr: BTreeMap<String, String>,
}

/// How a web server was told to write its access log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormatEntry {
    dataset: String,
    /// Apache's `LogFormat`.
    #[serde(default)]
    apache: Option<String>,
    /// Nginx's `log_format`.
    #[serde(default)]
    nginx: Option<String>,
    /// Files, peers or streams whose lines are written so; all where it is left out.
    #[serde(default)]
    sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TranslateEntry {
    from: OneOrMany,
    to: String,
    table: String,
}

/// One text or a list of them.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts,
        }
        .iter()
        .map(String::as_str)
    }
}

/// Everything the mapping files say.
pub(crate) struct Mappings {
    pub(crate) datasets: Vec<Arc<DatasetMappings>>,
    index: Map<Box<str>, usize>,
    channels: Map<Box<str>, usize>,
    programs: Map<Box<str>, usize>,
    /// By program: what a message looks like.
    patterns: Map<Box<str>, Vec<MessagePattern>>,
    /// What whole lines without a header look like, in the order in which they are tried.
    lines: Vec<MessagePattern>,
    /// The same of users, which are tried before anything else.
    user_lines: Vec<MessagePattern>,
    /// How web servers write, in the order in which they are tried.
    formats: Vec<SourceFormat>,
    /// Columns that say which dataset a file with a header is of.
    columns: Vec<(Vec<Box<str>>, usize)>,
    pub(crate) signatures: Signatures,
    pub(crate) about: Vec<DatasetAbout>,
}

/// A pattern, and what holds where it matches.
#[derive(Clone)]
struct MessagePattern {
    /// Bytes of every text that matches, the rarest first.
    needs: Box<[u8]>,
    pattern: Matcher,
    set: Constants,
    dataset: Option<usize>,
}

/// How a text is compared.
#[derive(Clone)]
enum Matcher {
    /// Literal text with gaps.
    Gaps(Pattern),
    /// Named patterns.
    Named(Grok),
}

/// A format, and where it is used.
struct SourceFormat {
    format: LogFormat,
    sources: Vec<Box<str>>,
    dataset: usize,
}

/// What a message pattern answers.
pub(crate) struct MessageFound {
    /// The dataset, where the pattern names one.
    pub(crate) dataset: Option<usize>,
    pub(crate) matched: Matched,
}

/// The mappings of one dataset.
pub(crate) struct DatasetMappings {
    pub(crate) name: Box<str>,
    /// Columns the rules speak of; a rule names them by their position here.
    pub(crate) columns: Vec<Box<str>>,
    general: Vec<Rule>,
    by_code: Map<Box<str>, Vec<Rule>>,
    /// General rules of users, which have the last word.
    last: Vec<Rule>,
    pub(crate) code_column: u32,
    /// Native names of when it happened, the best first.
    pub(crate) time: Vec<Box<str>>,
    /// Times without a zone are in UTC.
    pub(crate) utc: bool,
    pub(crate) lists: Lists,
    /// How many memories the rules need, see [`MemoId`].
    pub(crate) memos: u32,
}

pub(crate) struct Rule {
    pub(crate) when: Vec<Condition>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) translations: Vec<Translation>,
    pub(crate) computed: Vec<Computed>,
}

/// A column that has one of these values.
pub(crate) struct Condition {
    pub(crate) of: u32,
    pub(crate) values: Vec<Box<str>>,
    pub(crate) memo: MemoId,
}

/// A step of a rule whose outcome depends on nothing but one value, and so is remembered per
/// distinct value: its number within the dataset.
pub(crate) type MemoId = u32;

pub(crate) struct Copy {
    pub(crate) to: u32,
    /// The first that is present is taken.
    pub(crate) from: Vec<(u32, Filter, MemoId)>,
    pub(crate) kind: FieldType,
}

pub(crate) struct Constant {
    pub(crate) to: u32,
    pub(crate) value: Box<str>,
    pub(crate) memo: MemoId,
}

pub(crate) struct Translation {
    /// The first that the table has is taken.
    pub(crate) from: Vec<(u32, MemoId)>,
    pub(crate) to: u32,
    pub(crate) table: Arc<Table>,
}

/// A field that an expression is computed for.
pub(crate) struct Computed {
    pub(crate) to: u32,
    pub(crate) expression: Expression,
    /// Where the fields are that the expression speaks of.
    pub(crate) from: Vec<u32>,
}

/// What values are translated to.
#[derive(Default)]
pub(crate) struct Table {
    positions: Map<Box<str>, u32>,
    /// Beginnings of values, the longest first.
    starts: Vec<(Box<str>, u32)>,
    words: Vec<Box<str>>,
}

impl Table {
    fn new(entries: BTreeMap<String, String>) -> Self {
        let mut table = Table::default();
        // Content is ours and small; a position always fits.
        for (position, (value, word)) in (0..).zip(entries) {
            match value.strip_suffix('*') {
                Some(start) => table.starts.push((start.into(), position)),
                None => drop(table.positions.insert(value.into(), position)),
            }
            table.words.push(word.into());
        }
        table.starts.sort_by_key(|(start, _)| std::cmp::Reverse(start.len()));
        table
    }

    /// The position of the word for `value`: exactly, in small letters, or by how it begins. A dash
    /// stands for nothing, so that no beginning fits it.
    pub(crate) fn position(&self, value: &str) -> Option<u32> {
        let exact = self.positions.get(value);
        let exact =
            exact.or_else(|| self.positions.get(value.to_ascii_lowercase().as_str())).copied();
        let mut starts = self.starts.iter().filter(|_| !matches!(value, "" | "-"));
        exact.or_else(|| Some(starts.find(|(start, _)| value.starts_with(&**start))?.1))
    }

    pub(crate) fn word(&self, position: u32) -> &str {
        self.words.get(position as usize).map_or("", |word| word)
    }
}

/// What a copy takes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    All,
    /// What follows the last `\` or `/`.
    Basename,
    /// `田中` of `CORP\田中`, or of `田中@corp.example`.
    Account,
    /// `CORP` of `CORP\田中`.
    Domain,
    /// The line of a longer text that begins with this, without it.
    Line(Box<str>),
    /// What comes before the first of this.
    Before(Box<str>),
    /// What comes after the last of this.
    After(Box<str>),
}

impl Filter {
    pub(crate) fn apply<'a>(&self, value: &'a str) -> Option<&'a str> {
        let part = match self {
            Filter::All => value,
            Filter::Basename => value.rsplit(['\\', '/']).next()?,
            Filter::Account => value.rsplit_once('\\').map_or(value, |(_, account)| account),
            Filter::Domain => value.split_once('\\')?.0,
            Filter::Line(start) => {
                let at = memchr::memmem::find(value.as_bytes(), start.as_bytes())?;
                value.get(at + start.len()..)?.lines().next()?.trim()
            }
            Filter::Before(mark) => value.split_once(&**mark)?.0,
            Filter::After(mark) => value.rsplit_once(&**mark)?.1,
        };
        (!matches!(part, "" | "-")).then_some(part)
    }

    fn parse(text: &str) -> Option<Filter> {
        Some(match text {
            "basename" => Filter::Basename,
            "account" => Filter::Account,
            "domain" => Filter::Domain,
            _ => {
                let (kind, mark) = text.split_once(':').filter(|(_, mark)| !mark.is_empty())?;
                match kind {
                    "line" => Filter::Line(mark.into()),
                    "before" => Filter::Before(mark.into()),
                    "after" => Filter::After(mark.into()),
                    _ => return None,
                }
            }
        })
    }
}

impl Mappings {
    /// Reads our files, and over them those of a user: what they say of a dataset of ours is added to
    /// it, their patterns are tried first, and their rules have the last word.
    pub(crate) fn layered(
        ours: &[(&str, &str)],
        users: &[(&str, &str)],
        dictionary: &FieldDictionary,
    ) -> Result<Self, NormalizeError> {
        let mut parsed = Vec::new();
        for (file, text) in ours.iter().chain(users) {
            let content: File = toml::from_str(text).map_err(|source| NormalizeError::Syntax {
                file: (*file).into(),
                source: Box::new(source),
            })?;
            parsed.push((*file, content));
        }
        let mut tables = BTreeMap::<String, BTreeMap<String, String>>::new();
        let mut named = Named::new();
        for (file, content) in &mut parsed {
            for (name, table) in std::mem::take(&mut content.table) {
                tables.entry(name).or_default().extend(table);
            }
            for (name, regex) in std::mem::take(&mut content.named) {
                if !grok::is_name(&name) {
                    let reason = "the name of a pattern has letters, digits and _ only".to_owned();
                    return Err(meaning(file, &format!("named {name:?}"), reason));
                }
                named.insert(name, regex);
            }
        }
        let tables = tables.into_iter().map(|(name, table)| (name, Arc::new(Table::new(table))));
        let (ours, users) = parsed.split_at(ours.len());
        let reading = Reading { ours, users, tables: tables.collect(), named, dictionary };
        reading.mappings()
    }

    /// Position of the dataset called `name` in [`Mappings::datasets`].
    pub(crate) fn dataset(&self, name: &str) -> usize {
        // Proof that 0 is there: the embedded content has datasets, a test reads it.
        self.index.get(name).copied().unwrap_or(0)
    }

    /// [`Mappings::dataset`] of a name that may be none.
    pub(crate) fn find_dataset(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn named(&self, name: &str) -> Result<usize, String> {
        self.find_dataset(name).ok_or_else(|| no_dataset(name))
    }

    /// The dataset whose columns are all among `columns`; of several, the one that names the most.
    pub(crate) fn by_columns(&self, columns: &[Box<str>]) -> Option<usize> {
        let fits = |(wanted, _): &&(Vec<Box<str>>, usize)| {
            wanted.iter().all(|name| columns.contains(name))
        };
        let best = self.columns.iter().filter(fits).rev().max_by_key(|(wanted, _)| wanted.len());
        best.map(|(_, dataset)| *dataset)
    }

    /// Adds how records of a dataset are known.
    fn know_dataset(&mut self, entry: &DatasetEntry) -> Result<(), String> {
        let position = self.named(&entry.name)?;
        for signature in &entry.json {
            self.signatures.add(position, signature)?;
        }
        // Of the user and us, the user comes first.
        for channel in &entry.channels {
            self.channels.entry(channel.to_lowercase().into()).or_insert(position);
        }
        for program in &entry.programs {
            self.programs.entry(program.as_str().into()).or_insert(position);
        }
        if !entry.columns.is_empty() {
            let names = entry.columns.iter().map(|name| name.as_str().into()).collect();
            self.columns.push((names, position));
        }
        Ok(())
    }

    /// Tries the formats of the web servers that `origin` may be.
    pub(crate) fn match_format(
        &self,
        line: &str,
        origin: &Origin<'_>,
        flat: &mut Flat,
    ) -> Option<(usize, Option<UtcMicros>)> {
        self.formats.iter().find_map(|SourceFormat { format, sources, dataset }| {
            let is_of =
                |wanted: &str| holds(wanted, origin.peer) || holds(wanted, origin.stream.as_str());
            if !sources.is_empty() && !sources.iter().any(|wanted| is_of(wanted)) {
                return None;
            }
            Some((*dataset, format.read(line, flat)?))
        })
    }

    /// The dataset of a Windows event log, names compared without case.
    pub(crate) fn channel(&self, channel: &str) -> Option<usize> {
        const CHANNEL_BYTES_MAX: usize = 128;
        let mut folded = [0; CHANNEL_BYTES_MAX];
        let folded = folded.get_mut(..channel.len())?;
        folded.copy_from_slice(channel.as_bytes());
        folded.make_ascii_lowercase();
        self.channels.get(std::str::from_utf8(folded).ok()?).copied()
    }

    /// The dataset of a program's syslog messages.
    pub(crate) fn program(&self, program: &str) -> Option<usize> {
        self.programs.get(program).copied()
    }

    /// Tries the patterns of `program`: calls `found` with the fields of the first that matches.
    /// `bytes` are those of the message, or of a text that it is a part of.
    pub(crate) fn match_message<'m>(
        &'m self,
        program: &str,
        message: &'m str,
        bytes: &ByteSet,
        receipt: Receipt<'_>,
        found: impl FnMut(&str, &'m str),
    ) -> Option<MessageFound> {
        first_match(self.patterns.get(program)?, message, bytes, receipt, found)
    }

    /// Tries what whole lines look like; the answer names a dataset.
    pub(crate) fn match_line<'m>(
        &'m self,
        line: &'m str,
        bytes: &ByteSet,
        receipt: Receipt<'_>,
        found: impl FnMut(&str, &'m str),
    ) -> Option<MessageFound> {
        first_match(&self.lines, line, bytes, receipt, found)
    }

    /// The same, of users.
    pub(crate) fn match_user_line<'m>(
        &'m self,
        line: &'m str,
        receipt: Receipt<'_>,
        found: impl FnMut(&str, &'m str),
    ) -> Option<MessageFound> {
        if self.user_lines.is_empty() {
            return None;
        }
        first_match(&self.user_lines, line, &ByteSet::of(line), receipt, found)
    }
}

fn first_match<'m>(
    patterns: &'m [MessagePattern],
    message: &'m str,
    bytes: &ByteSet,
    receipt: Receipt<'_>,
    mut found: impl FnMut(&str, &'m str),
) -> Option<MessageFound> {
    let mut likely = patterns.iter().filter(|pattern| bytes.has_all(&pattern.needs));
    likely.find_map(|MessagePattern { needs: _, pattern, set, dataset }| {
        let matched = pattern.matches(message, receipt, &mut found)?;
        set.iter().for_each(|(name, value)| found(name, value));
        Some(MessageFound { dataset: *dataset, matched })
    })
}

impl Matcher {
    fn matches<'m>(
        &self,
        message: &'m str,
        receipt: Receipt<'_>,
        mut found: impl FnMut(&str, &'m str),
    ) -> Option<Matched> {
        match self {
            Matcher::Gaps(pattern) => pattern.matches(message, receipt, found),
            Matcher::Named(grok) => {
                let mut time = None;
                let mut take = |name: &str, value: &'m str| match name {
                    columns::TIMESTAMP => {
                        time = headed::instant(value, receipt.zone, receipt.received);
                    }
                    _ => found(name, value),
                };
                grok.matches(message, &mut take).then_some(())?;
                Some(Matched { time })
            }
        }
    }
}

impl DatasetEntry {
    /// Writes down what is said of the dataset, over what was said before.
    fn tell(&self, about: &mut DatasetAbout) {
        let told = [
            (&self.title_ja, &mut about.title_ja),
            (&self.title_en, &mut about.title_en),
            (&self.about_ja, &mut about.about_ja),
            (&self.about_en, &mut about.about_en),
            (&self.send_ja, &mut about.send_ja),
            (&self.send_en, &mut about.send_en),
        ];
        for (said, place) in told {
            if let Some(said) = said {
                *place = said.clone();
            }
        }
        about.nis2.extend(self.nis2.iter().cloned());
        about.asd = self.asd.clone().or(about.asd.take());
        about.sample = self.sample.clone().or(about.sample.take());
        about.channels.extend(self.channels.iter().map(|text| text.as_str().into()));
        about.programs.extend(self.programs.iter().map(|text| text.as_str().into()));
    }
}

/// Whether `value` is what content wants: the same, or anything (`*`), or what begins so (`x*`).
pub(crate) fn holds(wanted: &str, value: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => wanted == value,
    }
}

impl DatasetMappings {
    /// The rules for an event with `code`, general ones first.
    pub(crate) fn rules<'a>(
        &'a self,
        code: Option<&str>,
    ) -> impl Iterator<Item = &'a Rule> + use<'a> {
        let specific = code.and_then(|code| self.by_code.get(code)).map_or(&[][..], Vec::as_slice);
        self.general.iter().chain(specific).chain(&self.last)
    }
}

/// Whether a mapping or sentence for `pattern` is for `dataset`: the same, or a prefix ending in
/// `.`, or `*`.
pub(crate) fn covers(pattern: &str, dataset: &str) -> bool {
    pattern == "*" || pattern == dataset || (pattern.ends_with('.') && dataset.starts_with(pattern))
}

/// Content may only speak of fields of the dictionary and of the sources' native names.
pub(crate) fn known_field(name: &str, dictionary: &FieldDictionary) -> Result<(), String> {
    const NATIVE: [&str; 3] = ["winlog.event_data.", "winlog.user.", "nxlog."];
    let native = NATIVE.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix));
    if native || dictionary.field(name).is_some() {
        return Ok(());
    }
    Err(format!("no field is called {name:?}; check the spelling, or add a [[field]] of that name"))
}

pub(crate) fn meaning(file: &str, entry: &str, reason: String) -> NormalizeError {
    NormalizeError::Meaning { file: file.into(), entry: entry.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content;

    fn refusal(mapping: &str) -> String {
        let dictionary = FieldDictionary::from_files(content::FIELDS.iter().copied()).unwrap();
        let text = format!("[[dataset]]\nname='a'\n{mapping}");
        match Mappings::layered(&[("x.toml", &text)], &[], &dictionary) {
            Ok(_) => "accepted".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn tables_know_values_and_how_they_begin() {
        let entries =
            [("0x0", "none"), ("2*", "two"), ("20*", "twenty"), ("*", "any"), ("abc", "abc")];
        let table = Table::new(entries.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        let word = |value| table.position(value).map(|position| table.word(position));
        for (value, wanted) in [
            ("0x0", Some("none")),
            ("0X0", Some("none")),
            ("ABC", Some("abc")),
            ("299", Some("two")),
            ("204", Some("twenty")),
            ("0x6", Some("any")),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(word(value), wanted, "{value}");
        }
    }

    #[test]
    fn what_content_cannot_mean_is_refused_by_name() {
        let mapping = |rest: &str| refusal(&format!("[[mapping]]\ndataset='a'\n{rest}"));
        assert_eq!(mapping("set={'user.name'='x'}"), "accepted");
        assert_eq!(mapping("copy={'user.name'='winlog.event_data.Anything'}"), "accepted");
        for (wrong, named) in [
            ("set={'user.nmae'='x'}", "user.nmae"),
            ("copy={'user.name'='user.nmae'}", "user.nmae"),
            ("copy={'user.name'='user.id|shout'}", "shout"),
            ("when={'user.nmae'='x'}", "user.nmae"),
            ("translate=[{from='user.id',to='user.name',table='none'}]", "none"),
            ("colour='red'", "colour"),
        ] {
            let error = mapping(wrong);
            assert!(error.starts_with("x.toml") && error.contains(named), "{wrong}: {error}");
        }
        let unknown = refusal("[[mapping]]\ndataset='b'\nset={'user.name'='x'}");
        assert!(unknown.contains("\"b\""), "{unknown}");
        let pattern = refusal("[[pattern]]\nprogram='p'\nmatch='a {user.nmae}'");
        assert!(pattern.contains("user.nmae"), "{pattern}");
    }
}
