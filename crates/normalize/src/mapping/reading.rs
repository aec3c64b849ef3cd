//! How mapping files, once read, become what is asked of them: patterns and rules are checked and
//! compiled, and those of users put over ours.

use super::{
    Computed, Condition, Constant, Copy, DatasetAbout, DatasetEntry, DatasetMappings, File, Filter,
    FormatEntry, Map, MappingEntry, Mappings, Matcher, MemoId, MessagePattern, PatternEntry, Rule,
    SourceFormat, Tables, Translation, covers, known_field, meaning,
};
use crate::NormalizeError;
use crate::expression::Expression;
use crate::grok::{Grok, Named};
use crate::lists::Lists;
use crate::log_format::LogFormat;
use crate::pattern::Pattern;
use crate::signature::Signatures;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::{FieldDictionary, columns};

/// Files while they become [`Mappings`].
pub(super) struct Reading<'a> {
    pub(super) ours: &'a [(&'a str, File)],
    pub(super) users: &'a [(&'a str, File)],
    pub(super) tables: Tables,
    pub(super) named: Named,
    pub(super) dictionary: &'a FieldDictionary,
}

impl<'a> Reading<'a> {
    pub(super) fn mappings(&self) -> Result<Mappings, NormalizeError> {
        let mut mappings = Mappings {
            datasets: Vec::new(),
            index: Map::default(),
            channels: Map::default(),
            programs: Map::default(),
            patterns: Map::default(),
            lines: Vec::new(),
            user_lines: Vec::new(),
            formats: Vec::new(),
            columns: Vec::new(),
            signatures: Signatures::default(),
            about: Vec::new(),
        };
        for (file, content) in self.files() {
            for entry in &content.dataset {
                self.name_dataset(file, entry, &mut mappings)?;
            }
        }
        // Of what looks alike, the user's word is taken first.
        let of_users = self.users.iter().map(|file| (true, file));
        for (is_users, (file, content)) in of_users.chain(self.ours.iter().map(|f| (false, f))) {
            for entry in &content.dataset {
                let added = mappings.know_dataset(entry);
                added.map_err(|reason| meaning(file, &dataset_place(entry), reason))?;
            }
            for (number, entry) in (1..).zip(&content.pattern) {
                let added = self.add_pattern(entry, &mut mappings);
                let place = || format!("pattern {number} ({:?})", shown(&entry.text, &entry.grok));
                added.map_err(|reason| meaning(file, &place(), reason))?;
            }
            for (number, entry) in (1..).zip(&content.line) {
                let place = || format!("line {number} ({:?})", shown(&entry.text, &entry.grok));
                let dataset = Some(entry.dataset.as_str());
                let pattern =
                    self.pattern(&entry.text, &entry.grok, &entry.set, dataset, &mappings);
                let pattern = pattern.map_err(|reason| meaning(file, &place(), reason))?;
                match is_users {
                    true => mappings.user_lines.push(pattern),
                    false => mappings.lines.push(pattern),
                }
            }
            for (number, entry) in (1..).zip(&content.format) {
                let format = self.format(entry, &mappings);
                let place = format!("format {number}");
                mappings.formats.push(format.map_err(|reason| meaning(file, &place, reason))?);
            }
        }
        for position in 0..mappings.datasets.len() {
            self.add_rules(position, &mut mappings)?;
        }
        for (file, content) in self.files() {
            for (number, mapping) in (1..).zip(&content.mapping) {
                let known = mappings.index.keys().any(|name| covers(&mapping.dataset, name));
                if !known {
                    let reason = no_dataset(&mapping.dataset);
                    return Err(meaning(file, &format!("mapping {number}"), reason));
                }
            }
        }
        Ok(mappings)
    }

    fn files(&self) -> impl Iterator<Item = &'a (&'a str, File)> + use<'a> {
        self.ours.iter().chain(self.users)
    }

    /// Gives a dataset its position, unless it has one.
    fn name_dataset(
        &self,
        file: &str,
        entry: &DatasetEntry,
        mappings: &mut Mappings,
    ) -> Result<(), NormalizeError> {
        let position = mappings.datasets.len();
        if let Some(&known) = mappings.index.get(entry.name.as_str()) {
            let is_users = self.users.iter().any(|(of, _)| *of == file);
            let defines = |(_, content): &(&str, File)| {
                content.dataset.iter().any(|other| other.name == entry.name)
            };
            if is_users && self.ours.iter().any(defines) {
                if let Some(about) = mappings.about.get_mut(known) {
                    entry.tell(about);
                }
                return Ok(());
            }
            let reason = "is defined twice; remove one of the definitions".to_owned();
            return Err(meaning(file, &dataset_place(entry), reason));
        }
        mappings.index.insert(entry.name.as_str().into(), position);
        let mut about = DatasetAbout { name: entry.name.as_str().into(), ..Default::default() };
        entry.tell(&mut about);
        mappings.about.push(about);
        let dataset = DatasetBuilder::new(&entry.name).finished;
        mappings.datasets.push(Arc::new(dataset));
        Ok(())
    }

    /// Compiles the rules of the dataset at `position`.
    fn add_rules(&self, position: usize, mappings: &mut Mappings) -> Result<(), NormalizeError> {
        let Some(place) = mappings.datasets.get_mut(position) else { return Ok(()) };
        let mut dataset = DatasetBuilder::new(&place.name);
        let of_users = self.users.iter().map(|file| (true, file));
        for (_, (file, content)) in of_users.clone().chain(self.ours.iter().map(|f| (false, f))) {
            for entry in content.dataset.iter().filter(|entry| *entry.name == *place.name) {
                dataset.finished.time.extend(entry.time.iter().map(|name| name.as_str().into()));
                dataset.finished.utc |= entry.utc;
                if !entry.pairs.is_empty() || !entry.join.is_empty() {
                    dataset.finished.lists = Lists::new(&entry.pairs, &entry.join)
                        .map_err(|reason| meaning(file, &dataset_place(entry), reason))?;
                }
            }
        }
        for (is_users, (file, content)) in self.ours.iter().map(|f| (false, f)).chain(of_users) {
            for (number, mapping) in (1..).zip(&content.mapping) {
                if covers(&mapping.dataset, &place.name) {
                    let added = dataset.add(mapping, is_users, self);
                    let place = || format!("mapping {number}");
                    added.map_err(|reason| meaning(file, &place(), reason))?;
                }
            }
        }
        *place = Arc::new(dataset.finished);
        Ok(())
    }

    fn add_pattern(&self, entry: &PatternEntry, mappings: &mut Mappings) -> Result<(), String> {
        let dataset = entry.dataset.as_deref();
        let pattern = self.pattern(&entry.text, &entry.grok, &entry.set, dataset, mappings)?;
        for program in entry.program.iter() {
            mappings.patterns.entry(program.into()).or_default().push(pattern.clone());
        }
        Ok(())
    }

    fn pattern(
        &self,
        text: &Option<String>,
        grok: &Option<String>,
        set: &BTreeMap<String, String>,
        dataset: Option<&str>,
        mappings: &Mappings,
    ) -> Result<MessagePattern, String> {
        let pattern = match (text, grok) {
            (Some(text), None) => Matcher::Gaps(Pattern::parse(text)?),
            (None, Some(text)) => Matcher::Named(Grok::parse(text, &self.named)?),
            _ => return Err("write either `match` or `grok`".to_owned()),
        };
        let needs = match &pattern {
            Matcher::Gaps(pattern) => pattern.needs(),
            Matcher::Named(_) => Box::default(),
        };
        let names: Vec<&str> = match &pattern {
            Matcher::Gaps(pattern) => pattern.names().collect(),
            Matcher::Named(grok) => {
                grok.names().filter(|name| *name != columns::TIMESTAMP).collect()
            }
        };
        for name in names.into_iter().chain(set.keys().map(String::as_str)) {
            known_field(name, self.dictionary)?;
        }
        let dataset = dataset.map(|name| mappings.named(name)).transpose()?;
        let set = set.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        Ok(MessagePattern { needs, pattern, set, dataset })
    }

    fn format(&self, entry: &FormatEntry, mappings: &Mappings) -> Result<SourceFormat, String> {
        let format = match (&entry.apache, &entry.nginx) {
            (Some(text), None) => LogFormat::apache(text)?,
            (None, Some(text)) => LogFormat::nginx(text)?,
            _ => return Err("write either `apache` or `nginx`".to_owned()),
        };
        let dataset = mappings.named(&entry.dataset)?;
        let sources = entry.sources.iter().map(|source| source.as_str().into()).collect();
        Ok(SourceFormat { format, sources, dataset })
    }
}

/// What an entry looks for, to name it by.
fn shown<'a>(text: &'a Option<String>, grok: &'a Option<String>) -> &'a str {
    text.as_deref().or(grok.as_deref()).unwrap_or_default()
}

fn dataset_place(entry: &DatasetEntry) -> String {
    format!("dataset {:?}", entry.name)
}

pub(super) fn no_dataset(name: &str) -> String {
    format!("no dataset is called {name:?}; check the spelling, or add a [[dataset]] of that name")
}

struct DatasetBuilder {
    finished: DatasetMappings,
    by_name: BTreeMap<Box<str>, u32>,
}

impl DatasetBuilder {
    fn new(name: &str) -> Self {
        let finished = DatasetMappings {
            name: name.into(),
            columns: Vec::new(),
            general: Vec::new(),
            by_code: Map::default(),
            last: Vec::new(),
            code_column: 0,
            time: Vec::new(),
            utc: false,
            lists: Lists::default(),
            memos: 0,
        };
        let mut builder = DatasetBuilder { finished, by_name: BTreeMap::new() };
        builder.finished.code_column = builder.column("event.code");
        builder
    }

    fn column(&mut self, name: &str) -> u32 {
        if let Some(&position) = self.by_name.get(name) {
            return position;
        }
        // Content is ours and small; a position always fits.
        let position = u32::try_from(self.finished.columns.len()).unwrap_or(u32::MAX);
        self.finished.columns.push(name.into());
        self.by_name.insert(name.into(), position);
        position
    }

    fn memo(&mut self) -> MemoId {
        let memo = self.finished.memos;
        self.finished.memos += 1;
        memo
    }

    fn add(
        &mut self,
        entry: &MappingEntry,
        is_users: bool,
        reading: &Reading<'_>,
    ) -> Result<(), String> {
        for code in entry.code.as_ref().map_or(vec![None], |codes| codes.iter().map(Some).collect())
        {
            let rule = self.rule(entry, reading)?;
            match code {
                Some(code) => {
                    self.finished.by_code.entry(code.into()).or_default().push(rule);
                }
                None if is_users => self.finished.last.push(rule),
                None => self.finished.general.push(rule),
            }
        }
        Ok(())
    }

    fn rule(&mut self, entry: &MappingEntry, reading: &Reading<'_>) -> Result<Rule, String> {
        let Reading { tables, dictionary, .. } = reading;
        let mut rule = Rule {
            when: vec![],
            copies: vec![],
            constants: vec![],
            translations: vec![],
            computed: vec![],
        };
        for (name, values) in &entry.when {
            known_field(name, dictionary)?;
            rule.when.push(Condition {
                of: self.column(name),
                values: values.iter().map(Box::from).collect(),
                memo: self.memo(),
            });
        }
        for (name, sources) in &entry.copy {
            known_field(name, dictionary)?;
            let mut from = Vec::new();
            for source in sources.iter() {
                let (source, filter) = match source.split_once('|') {
                    Some((source, filter)) => {
                        let parsed = Filter::parse(filter);
                        (source, parsed.ok_or_else(|| format!("no filter is called {filter:?}"))?)
                    }
                    None => (source, Filter::All),
                };
                known_field(source, dictionary)?;
                from.push((self.column(source), filter, self.memo()));
            }
            let kind = dictionary.field_type(name);
            rule.copies.push(Copy { to: self.column(name), from, kind });
        }
        for (name, value) in &entry.set {
            known_field(name, dictionary)?;
            let (to, memo) = (self.column(name), self.memo());
            rule.constants.push(Constant { to, value: value.as_str().into(), memo });
        }
        for translate in &entry.translate {
            known_field(&translate.to, dictionary)?;
            let table = tables.get(&translate.table);
            let table = table.ok_or_else(|| format!("no table is called {:?}", translate.table))?;
            let mut from = Vec::new();
            for source in translate.from.iter() {
                known_field(source, dictionary)?;
                from.push((self.column(source), self.memo()));
            }
            let to = self.column(&translate.to);
            rule.translations.push(Translation { from, to, table: table.clone() });
        }
        for (name, text) in &entry.set_expr {
            known_field(name, dictionary)?;
            let wrong = |reason: String| format!("the expression for {name}: {reason}");
            let expression = Expression::parse(text).map_err(wrong)?;
            let mut from = Vec::new();
            for gap in expression.gaps() {
                known_field(&gap.name, dictionary)?;
                from.push(self.column(&gap.name));
            }
            rule.computed.push(Computed { to: self.column(name), expression, from });
        }
        Ok(rule)
    }
}
