//! Content of a user, over what is built in: files of the same TOML as ours, in which all that ours
//! have in separate files may stand together. See `docs/mappings.md`.
//!
//! The files are read by whoever has them; nothing here opens a file, and nothing in a file can name
//! another.

use crate::limits::{
    CONTENT_BYTES_MAX, CONTENT_ENTRIES_MAX, CONTENT_FILE_BYTES_MAX, CONTENT_FILES_MAX,
    GROK_PATTERNS_MAX,
};
use crate::{NormalizeError, content};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::{DictionaryError, FieldDictionary};

/// A content file of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// What errors call it, such as its path.
    pub name: String,
    /// Its text: TOML, at most [`CONTENT_FILE_BYTES_MAX`] bytes.
    pub text: String,
}

/// Lists of tables in a content file.
const LISTS: [&str; 7] = [
    "[[dataset]]",
    "[[field]]",
    "[[pattern]]",
    "[[line]]",
    "[[format]]",
    "[[mapping]]",
    "[[sentence]]",
];

/// How much there is of what.
#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    dataset: Vec<IgnoredAny>,
    #[serde(default)]
    field: Vec<IgnoredAny>,
    #[serde(default)]
    pattern: Vec<Looks>,
    #[serde(default)]
    line: Vec<Looks>,
    #[serde(default)]
    format: Vec<IgnoredAny>,
    #[serde(default)]
    mapping: Vec<IgnoredAny>,
    #[serde(default)]
    sentence: Vec<IgnoredAny>,
    #[serde(default)]
    named: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Looks {
    grok: Option<IgnoredAny>,
}

impl Counted {
    fn entries(&self) -> usize {
        self.dataset.len()
            + self.field.len()
            + self.pattern.len()
            + self.line.len()
            + self.format.len()
            + self.mapping.len()
            + self.sentence.len()
            + self.named.len()
    }

    fn groks(&self) -> usize {
        self.pattern.iter().chain(&self.line).filter(|looks| looks.grok.is_some()).count()
    }
}

/// Refuses files that are beyond the limits, before anything is made of them.
pub(crate) fn check(files: &[ContentFile]) -> Result<(), NormalizeError> {
    let too_much = |file: &ContentFile, reason: String| {
        Err(NormalizeError::TooMuch { file: file.name.clone(), reason })
    };
    let (mut bytes, mut entries, mut groks) = (0, 0, 0);
    for (number, file) in (1..).zip(files) {
        if number > CONTENT_FILES_MAX {
            let reason = format!("there may be {CONTENT_FILES_MAX} content files; join some");
            return too_much(file, reason);
        }
        if file.text.len() > CONTENT_FILE_BYTES_MAX {
            let reason =
                format!("a content file may have {CONTENT_FILE_BYTES_MAX} bytes; split it");
            return too_much(file, reason);
        }
        bytes += file.text.len();
        if bytes > CONTENT_BYTES_MAX {
            let reason =
                format!("all content files may have {CONTENT_BYTES_MAX} bytes; leave some out");
            return too_much(file, reason);
        }
        let counted: Counted = toml::from_str(&file.text).map_err(|source| {
            NormalizeError::Syntax { file: file.name.clone(), source: Box::new(source) }
        })?;
        entries += counted.entries();
        groks += counted.groks();
        if entries > CONTENT_ENTRIES_MAX {
            let reason =
                format!("all content files may have {CONTENT_ENTRIES_MAX} entries; leave some out");
            return too_much(file, reason);
        }
        if groks > GROK_PATTERNS_MAX {
            let reason = format!(
                "all content files may have {GROK_PATTERNS_MAX} patterns written as `grok`; write \
                 simple ones as `match`"
            );
            return too_much(file, reason);
        }
    }
    Ok(())
}

/// Our field dictionary with the fields of a user.
pub(crate) fn dictionary(files: &[ContentFile]) -> Result<Arc<FieldDictionary>, NormalizeError> {
    let mut dictionary = FieldDictionary::from_files(content::FIELDS.iter().copied())?;
    for file in files {
        dictionary.layer(&file.name, &file.text).map_err(|error| match error {
            DictionaryError::Refused { file: name, name: field, reason } => {
                let line = line_with(&file.text, "name", &field);
                let entry = format!("{}field {field:?}", at(line));
                NormalizeError::Meaning { file: name, entry, reason: reason.to_owned() }
            }
            error => error.into(),
        })?;
    }
    Ok(Arc::new(dictionary))
}

/// Adds to an error the line of the entry that it names.
pub(crate) fn located(error: NormalizeError, files: &[ContentFile]) -> NormalizeError {
    let NormalizeError::Meaning { file, entry, reason } = error else { return error };
    let text = files.iter().find(|known| known.name == file).map(|file| file.text.as_str());
    let line = text.and_then(|text| {
        let mut words = entry.splitn(3, ' ');
        let (kind, which) = (words.next()?, words.next()?);
        match which.parse::<usize>() {
            Ok(number) => nth_header(text, kind, number),
            Err(_) if kind == "named" => line_with(text, which.trim_matches('"'), ""),
            Err(_) => line_with(text, "name", which.trim_matches('"')),
        }
    });
    NormalizeError::Meaning { file, entry: format!("{}{entry}", at(line)), reason }
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

/// The line of the `number`th `[[kind]]`; lines and entries are counted from 1.
fn nth_header(text: &str, kind: &str, number: usize) -> Option<usize> {
    let header = LISTS.iter().find(|list| list.trim_matches(['[', ']']) == kind)?;
    let lines = (1..).zip(text.lines());
    let mut found = lines.filter(|(_, line)| line.trim_start().starts_with(header));
    found.nth(number.checked_sub(1)?).map(|(line, _)| line)
}

/// The line that gives `key` the value `value`.
fn line_with(text: &str, key: &str, value: &str) -> Option<usize> {
    let is_it = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('=') && rest.contains(value))
    };
    (1..).zip(text.lines()).find(|(_, line)| is_it(line)).map(|(line, _)| line)
}
