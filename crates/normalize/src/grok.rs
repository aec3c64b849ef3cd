//! Named patterns: `%{IP:source.ip} - %{WORD:user.name} %{GREEDYDATA:message}`, the notation of
//! Logstash's grok, over regular expressions that run in linear time.
//!
//! The patterns' names are data (`[named]` in mapping files). The `grok` crate is not used, although
//! it can do without backtracking: it puts patterns together without a bound, so that a dozen short
//! definitions make a text of gigabytes, and it does not let the size of what it compiles be limited.
//! Here names nest [`GROK_DEPTH_MAX`] deep, what they expand to has at most
//! [`GROK_EXPANDED_BYTES_MAX`] bytes, and the program compiled from it [`GROK_PROGRAM_BYTES_MAX`].

use crate::limits::{
    GROK_DEPTH_MAX, GROK_EXPANDED_BYTES_MAX, GROK_LINE_BYTES_MAX, GROK_NEST_MAX,
    GROK_PROGRAM_BYTES_MAX,
};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;

/// Regular expressions by name.
pub(crate) type Named = BTreeMap<String, String>;

/// A compiled pattern. It must fit the whole text.
#[derive(Debug, Clone)]
pub(crate) struct Grok {
    regex: Regex,
    /// Fields by the number of their group; a field may have several, of which one takes part.
    fields: Vec<(usize, Box<str>)>,
}

impl Grok {
    /// Reads `text`. The error says what is wrong with it, and what would be right.
    pub(crate) fn parse(text: &str, named: &Named) -> Result<Self, String> {
        let mut expansion = Expansion { named, regex: String::new(), names: Vec::new() };
        expansion.push("\\A(?:")?;
        expansion.expand(text, &mut Vec::new())?;
        expansion.push(")\\z")?;
        let regex = RegexBuilder::new(&expansion.regex)
            .size_limit(GROK_PROGRAM_BYTES_MAX)
            .dfa_size_limit(GROK_PROGRAM_BYTES_MAX)
            .nest_limit(GROK_NEST_MAX)
            .build()
            .map_err(|error| explain(&error))?;
        let mut fields = Vec::new();
        for (group, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            let given = name.strip_prefix("_g").and_then(|number| number.parse::<usize>().ok());
            // A group named by hand, `(?<user.name>...)`, is a field of that name.
            let field = given.and_then(|number| expansion.names.get(number)).cloned();
            fields.push((group, field.unwrap_or_else(|| name.into())));
        }
        Ok(Grok { regex, fields })
    }

    /// Names of the fields the pattern fills.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, name)| &**name)
    }

    /// Calls `found` with every field and its text if `text` matches, and tells whether it did.
    pub(crate) fn matches<'m>(&self, text: &'m str, found: &mut dyn FnMut(&str, &'m str)) -> bool {
        // Linear time is still long where each byte is looked at by hundreds of states.
        if text.len() > GROK_LINE_BYTES_MAX {
            return false;
        }
        let Some(captures) = self.regex.captures(text) else { return false };
        for (group, name) in &self.fields {
            if let Some(value) = captures.get(*group) {
                found(name, value.as_str().trim());
            }
        }
        true
    }
}

struct Expansion<'a> {
    named: &'a Named,
    regex: String,
    /// Fields by the number of the group that we gave them.
    names: Vec<Box<str>>,
}

impl<'a> Expansion<'a> {
    fn push(&mut self, text: &str) -> Result<(), String> {
        self.regex.push_str(text);
        if self.regex.len() > GROK_EXPANDED_BYTES_MAX {
            return Err(format!(
                "expands to more than {GROK_EXPANDED_BYTES_MAX} bytes; use fewer or simpler names"
            ));
        }
        Ok(())
    }

    /// `open`: names being expanded, outermost first. Not deeper than [`GROK_DEPTH_MAX`].
    fn expand(&mut self, text: &'a str, open: &mut Vec<&'a str>) -> Result<(), String> {
        let mut rest = text;
        while let Some(at) = rest.find("%{") {
            self.push(rest.get(..at).unwrap_or_default())?;
            let inside = rest.get(at + 2..).unwrap_or_default();
            let (reference, after) = inside.split_once('}').ok_or("a `%{` without `}`")?;
            rest = after;
            let mut parts = reference.split(':');
            let name = parts.next().unwrap_or_default();
            // A third part is a type in Logstash; here the field's type is the dictionary's.
            let field = parts.next().filter(|field| !field.is_empty());
            let Some((name, definition)) = self.named.get_key_value(name) else {
                return Err(format!("no pattern is called {name:?}; define it under [named]"));
            };
            if open.contains(&name.as_str()) {
                let round = open.join(" -> ");
                return Err(format!("the pattern {name} contains itself ({round} -> {name})"));
            }
            if open.len() >= GROK_DEPTH_MAX {
                return Err(format!("patterns nest deeper than {GROK_DEPTH_MAX}; flatten {name}"));
            }
            match field {
                Some(field) => {
                    let number = self.names.len();
                    self.names.push(field.into());
                    self.push(&format!("(?<_g{number}>"))?;
                }
                None => self.push("(?:")?,
            }
            open.push(name);
            self.expand(definition, open)?;
            open.pop();
            self.push(")")?;
        }
        self.push(rest)
    }
}

fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => format!(
            "is too large: compiled, it may have {GROK_PROGRAM_BYTES_MAX} bytes; repeat less often \
             ({{n,m}}), or use narrower classes"
        ),
        error => {
            let text = error.to_string();
            // The last line says it; those before draw the expanded expression.
            let said = text.lines().last().unwrap_or_default().trim();
            format!(
                "{}; look-around and back-references do not exist here",
                said.trim_start_matches("error: ")
            )
        }
    }
}

/// Whether `name` may be the name of a pattern.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(entries: &[(&str, &str)]) -> Named {
        entries.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
    }

    fn fields(pattern: &str, text: &str, named: &Named) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        let grok = Grok::parse(pattern, named).unwrap();
        let mut found = |name: &str, value: &str| fields.push(format!("{name}={value}"));
        grok.matches(text, &mut found).then_some(fields)
    }

    #[test]
    fn names_nest_and_fill_fields() {
        let named = named(&[("D", "[0-9]+"), ("VERSION", r"%{D}\.%{D:minor}"), ("W", r"\w+")]);
        let pattern = r"(?:up|to) %{VERSION:service.version} (?<user.name>\w+)(?: %{W:x}| %{D:x}!)";
        assert_eq!(
            fields(pattern, "up 1.22 tanaka 5!", &named).unwrap(),
            ["service.version=1.22", "minor=22", "user.name=tanaka", "x=5"]
        );
        assert_eq!(fields(pattern, "see: up 1.22 tanaka 5!", &named), None);
        let long = "a".repeat(GROK_LINE_BYTES_MAX);
        assert!(fields("%{W}", &long, &named).is_some());
        assert!(fields("%{W}", &format!("{long}a"), &named).is_none());
    }

    #[test]
    fn what_would_run_away_is_refused_with_the_remedy() {
        let doubling: Vec<(String, String)> = (1..60)
            .map(|number| (format!("P{number}"), format!("%{{P{0}}}%{{P{0}}}", number + 1)))
            .chain([("P60".into(), "a".into())])
            .collect();
        let bomb: Named = doubling.into_iter().collect();
        let refused = |text: &str, named: &Named| Grok::parse(text, named).unwrap_err();
        assert!(refused("%{P46}", &bomb).contains("use fewer"), "{}", refused("%{P46}", &bomb));
        assert!(refused("%{P1}", &bomb).contains("nest deeper"), "{}", refused("%{P1}", &bomb));
        let circle = named(&[("A", "x%{B}"), ("B", "y%{A}")]);
        assert!(refused("%{A}", &circle).contains("A -> B -> A"));
        let none = Named::new();
        for (text, said) in [
            ("%{NOPE:x}", "[named]"),
            ("%{A", "without `}`"),
            ("((((((((((((a{50}){50}){50}){50}){50}){50}){50}))))))", "too large"),
            ("(?:x{1000}){1000}", "too large"),
            (r"(a)\1", "back-references do not exist"),
            ("(?<=a)b", "look-around"),
            ("(", "unclosed group"),
        ] {
            assert!(refused(text, &none).contains(said), "{text}: {}", refused(text, &none));
        }
        let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Grok::parse(&deep(GROK_NEST_MAX as usize + 1), &none).is_err());
        let long = "a".repeat(GROK_EXPANDED_BYTES_MAX + 1);
        assert!(refused(&long, &none).contains("expands to more"));
    }

    proptest! {
        #[test]
        fn never_panics(pattern in r"[%{}A(?<>)|*+\\\[\]:a.0-9-]{0,40}", text in ".{0,40}") {
            let named = named(&[("A", "a+"), ("B", "%{A:x}|b")]);
            if let Ok(grok) = Grok::parse(&pattern, &named) {
                grok.matches(&text, &mut |_, _| ());
            }
        }
    }
}
