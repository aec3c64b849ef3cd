//! Content of a user, over what is built in: files of the same TOML as ours, in which all that ours
//! have in separate files may stand together. See `docs/mappings.md`.
//!
//! The files are read by whoever has them; nothing here opens a file, and nothing in a file can name
//! another.

use crate::limits::{
    CONTENT_ENTRIES_MAX, CONTENT_FILE_BYTES_MAX, CONTENT_FILES_MAX, GROK_PATTERNS_MAX,
};
use crate::{NormalizeError, content};
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
const LISTS: [&str; 7] =
    ["[[dataset]]", "[[field]]", "[[pattern]]", "[[line]]", "[[format]]", "[[mapping]]", "[[sentence]]"];

/// Refuses files that are beyond the limits, before anything is made of them.
pub(crate) fn check(files: &[ContentFile]) -> Result<(), NormalizeError> {
    let too_much = |file: &ContentFile, reason: String| {
        Err(NormalizeError::TooMuch { file: file.name.clone(), reason })
    };
    let (mut entries, mut groks) = (0, 0);
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
        // Every entry has a `=` or a header of its own on some line, however the TOML is written.
        entries += file.text.matches("[[").count() + file.text.matches('{').count() / 4;
        groks += file.text.matches("grok").count();
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
        line.strip_prefix(key).is_some_and(|rest| {
            rest.trim_start().starts_with('=') && rest.contains(value)
        })
    };
    (1..).zip(text.lines()).find(|(_, line)| is_it(line)).map(|(line, _)| line)
}
