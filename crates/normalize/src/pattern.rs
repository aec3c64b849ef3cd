//! Message patterns: literal text with named gaps, read from `content/mappings`.
//!
//! `Failed {auth.method} for invalid user {user.name} from {source.ip} port {source.port} {}`
//! matches text that begins with the first literal and holds the others in order; each gap takes
//! the shortest text up to the next literal, the last one takes the rest. `{}` is read over.
//! There is no alternation and no repetition, so matching costs one pass over the text.

use std::borrow::Cow;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// Text before the first gap.
    prefix: Box<str>,
    gaps: Vec<Gap>,
}

#[derive(Debug, Clone)]
struct Gap {
    /// Field name; empty to read over.
    name: Box<str>,
    /// Text that ends the gap; empty at the end of the pattern.
    until: Box<str>,
}

impl Pattern {
    /// Reads `text`. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let mut parts = text.split('{');
        let prefix = parts.next().unwrap_or_default();
        let mut gaps = Vec::new();
        for part in parts {
            let (name, until) = part.split_once('}').ok_or("a `{` without `}`")?;
            gaps.push(Gap { name: name.into(), until: until.into() });
        }
        let touching = gaps.iter().rev().skip(1).any(|gap: &Gap| gap.until.is_empty());
        if touching {
            return Err("two gaps need text between them".into());
        }
        let literal = !prefix.is_empty() || gaps.iter().any(|gap: &Gap| !gap.until.is_empty());
        if !literal {
            return Err("a pattern needs some literal text".into());
        }
        Ok(Pattern { prefix: prefix.into(), gaps })
    }

    /// Names of the fields the pattern fills.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.gaps.iter().map(|gap| &*gap.name).filter(|name| !name.is_empty())
    }

    /// Calls `found` with every field and its text if `message` matches, and tells whether it did.
    pub(crate) fn matches<'m>(
        &self,
        message: &'m str,
        mut found: impl FnMut(&str, &'m str),
    ) -> bool {
        if self.walk(message, &mut |_, _| ()).is_none() {
            return false;
        }
        self.walk(message, &mut found).is_some()
    }

    fn walk<'m>(&self, message: &'m str, found: &mut dyn FnMut(&str, &'m str)) -> Option<()> {
        let mut rest = message.strip_prefix(&*self.prefix)?;
        for gap in &self.gaps {
            let end = if gap.until.is_empty() {
                rest.len()
            } else {
                memchr::memmem::find(rest.as_bytes(), gap.until.as_bytes())?
            };
            let value = rest.get(..end)?;
            if !gap.name.is_empty() {
                found(&gap.name, value.trim());
            }
            rest = rest.get(end + gap.until.len()..)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pattern: &str, message: &str) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        let found = |name: &str, value: &str| fields.push(format!("{name}={value}"));
        Pattern::parse(pattern).unwrap().matches(message, found).then_some(fields)
    }

    #[test]
    fn gaps_take_the_shortest_text() {
        let pattern = "Failed {} for {user.name} from {source.ip} port {source.port} {}";
        let message = "Failed password for root from 10.0.0.1 port 22 ssh2";
        assert_eq!(
            fields(pattern, message).unwrap(),
            ["user.name=root", "source.ip=10.0.0.1", "source.port=22"]
        );
        assert_eq!(fields(pattern, "Failed password for root"), None);
        assert_eq!(fields("COMMAND={c}", "COMMAND=/bin/ls -l"), Some(vec!["c=/bin/ls -l".into()]));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["", "{a}", "x {a", "x {a}{b}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
