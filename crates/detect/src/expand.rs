//! Placeholders: `%name%` in values with the modifier `expand`, and the lists that fill them.

use crate::limits::{PLACEHOLDER_LISTS_MAX, PLACEHOLDER_VALUES_MAX, PREDICATES_PER_RULE_MAX};
use rsigma_parser::{SigmaString, StringPart};
use std::collections::BTreeMap;

/// Values for the placeholders of rules, by name: what only the user can know, such as the names of
/// the domain controllers.
///
/// A value is written as in a rule: `*` and `?` are wildcards unless a backslash stands before
/// them. In a regular expression it stands for its own characters.
///
/// ```
/// let lists = yagura_detect::PlaceholderLists::from_toml(r#"
///     known_cdcs = ["dc01.example.org", "10.0.0.5"]
///     admin = "root"
///     ports = [22, 3389]
/// "#).unwrap();
/// assert_eq!(lists.get("ports").unwrap(), ["22", "3389"]);
/// assert!(lists.get("printers").is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceholderLists {
    lists: BTreeMap<String, Vec<String>>,
}

/// Lists that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceholderError {
    /// Not the TOML we expect; the message names line and column.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A name that no placeholder can have.
    #[error("{0:?} cannot be the name of a placeholder: use letters, digits and _")]
    Name(String),
    /// A list without values: a rule would silently ask for nothing.
    #[error("the list {0:?} has no values: give it one, or remove it")]
    Empty(String),
    /// A value that is no text, number or truth value.
    #[error("the list {0:?} holds something that is neither text nor a number")]
    Value(String),
    /// The same list twice.
    #[error("the list {0:?} is given twice: merge them")]
    Twice(String),
    /// More than a rule could hold.
    #[error("the list {0:?} has more than {PLACEHOLDER_VALUES_MAX} values")]
    TooLong(String),
    /// Too many lists.
    #[error("more than {PLACEHOLDER_LISTS_MAX} lists")]
    TooMany,
}

impl PlaceholderLists {
    pub(crate) const EMPTY: PlaceholderLists = PlaceholderLists { lists: BTreeMap::new() };

    /// Reads lists: each key a name, its value a list of texts and numbers, or one of them.
    ///
    /// # Errors
    /// When it is no TOML, or a list cannot be used; all of it is then refused.
    pub fn from_toml(text: &str) -> Result<Self, PlaceholderError> {
        let mut lists = PlaceholderLists::default();
        for (name, value) in toml::from_str::<toml::Table>(text)? {
            let values = match value {
                toml::Value::Array(values) => values,
                single => vec![single],
            };
            let values: Option<Vec<String>> = values.into_iter().map(scalar).collect();
            let values = values.ok_or_else(|| PlaceholderError::Value(name.clone()))?;
            lists.insert(&name, values)?;
        }
        Ok(lists)
    }

    /// Adds a list.
    ///
    /// # Errors
    /// When the name cannot be a placeholder's or is taken, or there are no values or too many.
    pub fn insert(&mut self, name: &str, values: Vec<String>) -> Result<(), PlaceholderError> {
        if !is_name(name) {
            return Err(PlaceholderError::Name(name.to_owned()));
        }
        if values.is_empty() {
            return Err(PlaceholderError::Empty(name.to_owned()));
        }
        if values.len() > PLACEHOLDER_VALUES_MAX {
            return Err(PlaceholderError::TooLong(name.to_owned()));
        }
        if self.lists.contains_key(name) {
            return Err(PlaceholderError::Twice(name.to_owned()));
        }
        if self.lists.len() >= PLACEHOLDER_LISTS_MAX {
            return Err(PlaceholderError::TooMany);
        }
        self.lists.insert(name.to_owned(), values);
        Ok(())
    }

    /// Adds the lists of another source.
    ///
    /// # Errors
    /// When both have a list of one name.
    pub fn merge(&mut self, other: PlaceholderLists) -> Result<(), PlaceholderError> {
        other.lists.into_iter().try_for_each(|(name, values)| self.insert(&name, values))
    }

    /// The values of a list.
    pub fn get(&self, name: &str) -> Option<&[String]> {
        self.lists.get(name).map(Vec::as_slice)
    }

    /// The names of all lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    /// These lists, and those of `first` before them where both have one of a name.
    pub(crate) fn under(&self, first: &PlaceholderLists) -> PlaceholderLists {
        let mut lists = self.lists.clone();
        lists.extend(first.lists.clone());
        PlaceholderLists { lists }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

/// Every text that `text` stands for when its placeholders are filled. `escape` is how a value is
/// written in a regular expression, for values that are one. The error is the reason to refuse the
/// rule.
pub(crate) fn expand(
    text: &SigmaString,
    escape: Option<fn(&str) -> String>,
    lists: &PlaceholderLists,
) -> Result<Vec<SigmaString>, String> {
    let read = |text: &str| match escape {
        Some(_) => SigmaString::from_raw(text),
        None => SigmaString::new(text),
    };
    let pieces = pieces(&text.original, escape.is_none());
    if let [Piece::Text(_)] = pieces[..] {
        return Ok(vec![text.clone()]);
    }
    let mut filled = vec![read("")];
    for piece in pieces {
        let values: Vec<SigmaString> = match piece {
            Piece::Text(text) => vec![read(text)],
            Piece::Placeholder(name) => {
                let values = lists.get(name).ok_or_else(|| {
                    format!("the placeholder %{name}% has no values: give a list of that name")
                })?;
                let written = |value: &String| match escape {
                    Some(escape) => SigmaString::from_raw(&escape(value)),
                    None => SigmaString::new(value),
                };
                values.iter().map(written).collect()
            }
        };
        if filled.len().saturating_mul(values.len()) > PREDICATES_PER_RULE_MAX {
            return Err(format!(
                "its placeholders give one value more than {PREDICATES_PER_RULE_MAX} forms"
            ));
        }
        filled = filled
            .iter()
            .flat_map(|start| values.iter().map(|value| joined(start, value)))
            .collect();
    }
    Ok(filled)
}

enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// `%name%` is a placeholder, `\%` a percent sign (Sigma rules specification, "Placeholders"); one
/// that does not enclose a name stands for itself, too. Where `unescape` is not set the backslash
/// stays: a regular expression reads it itself.
fn pieces(text: &str, unescape: bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut plain_from) = (0, 0);
    while let Some(open) = text[rest..].find('%').map(|at| rest + at) {
        let after = &text[open + 1..];
        let before = &text[plain_from..open];
        // Two backslashes are one that escapes nothing.
        if (before.len() - before.trim_end_matches('\\').len()) % 2 == 1 {
            if unescape {
                pieces.push(Piece::Text(&before[..before.len() - 1]));
                plain_from = open;
            }
            rest = open + 1;
            continue;
        }
        match after.split_once('%') {
            Some((name, _)) if is_name(name) => {
                pieces.push(Piece::Text(&text[plain_from..open]));
                pieces.push(Piece::Placeholder(name));
                rest = open + name.len() + 2;
                plain_from = rest;
            }
            _ => rest = open + 1,
        }
    }
    pieces.push(Piece::Text(&text[plain_from..]));
    pieces
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Joined by parts, so that no end of a text escapes the start of the next.
fn joined(start: &SigmaString, end: &SigmaString) -> SigmaString {
    let mut parts = start.parts.clone();
    for part in &end.parts {
        match (parts.last_mut(), part) {
            (Some(StringPart::Plain(text)), StringPart::Plain(more)) => text.push_str(more),
            _ => parts.push(part.clone()),
        }
    }
    SigmaString { parts, original: format!("{}{}", start.original, end.original) }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<Vec<String>, String> {
        let lists = PlaceholderLists::from_toml("a = ['x*', 'y']\nb = [1, 2]\n").unwrap();
        let texts = expand(&SigmaString::new(text), None, &lists)?;
        Ok(texts.into_iter().map(|text| format!("{:?}", text.parts)).collect())
    }

    #[test]
    fn each_placeholder_multiplies_the_values() {
        let plain = |text: &str| format!("[Plain({text:?})]");
        assert_eq!(filled("p%b%q").unwrap(), [plain("p1q"), plain("p2q")]);
        assert_eq!(filled("%b%%b%").unwrap().len(), 4);
        assert_eq!(filled("100%").unwrap(), [plain("100%")]);
        assert_eq!(filled("50% of %b% %").unwrap(), [plain("50% of 1 %"), plain("50% of 2 %")]);
        assert!(filled("%c%").unwrap_err().contains("%c%"));
    }

    #[test]
    fn wildcards_of_a_value_count() {
        let found = filled(r"C:\\%a%").unwrap();
        assert_eq!(found[0], r#"[Plain("C:\\x"), Special(WildcardMulti)]"#);
        let lists = PlaceholderLists::from_toml("a = ['x.*']").unwrap();
        let expression = expand(&SigmaString::from_raw("^%a%$"), Some(regex::escape), &lists);
        assert_eq!(expression.unwrap()[0].original, r"^x\.\*$");
    }

    #[test]
    fn an_escaped_percent_sign_is_one() {
        let plain = |text: &str| format!("[Plain({text:?})]");
        assert_eq!(filled(r"\%plain%b%").unwrap(), [plain("%plain1"), plain("%plain2")]);
        assert_eq!(filled(r"\%b%").unwrap(), [plain("%b%")]);
        assert_eq!(filled(r"a\\\%b\%").unwrap(), [plain(r"a\%b%")]);
        assert_eq!(filled(r"\\%b%\").unwrap(), [plain(r"\1\"), plain(r"\2\")]);
        let lists = PlaceholderLists::from_toml("b = ['x']").unwrap();
        let raw = |text: &str| {
            let texts = expand(&SigmaString::from_raw(text), Some(regex::escape), &lists).unwrap();
            texts[0].original.clone()
        };
        assert_eq!(raw(r"^\%b%$"), r"^\%b%$");
        assert_eq!(raw(r"^\\%b%$"), r"^\\x$");
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        let error = |text: &str| PlaceholderLists::from_toml(text).unwrap_err().to_string();
        assert!(error("a = []").contains("no values"));
        assert!(error("'a-b' = ['x']").contains("a-b"));
        assert!(error("a = [[1]]").contains("neither"));
        assert!(error("a = ").contains("line 1"));
        let many = |count: usize| {
            PlaceholderLists::default().insert("a", vec![String::new(); count]).is_ok()
        };
        assert!(many(PLACEHOLDER_VALUES_MAX) && !many(PLACEHOLDER_VALUES_MAX + 1));
        let mut lists = PlaceholderLists::default();
        for number in 0..PLACEHOLDER_LISTS_MAX {
            lists.insert(&format!("n{number}"), vec!["x".into()]).unwrap();
        }
        assert!(matches!(lists.insert("more", vec!["x".into()]), Err(PlaceholderError::TooMany)));
    }
}
