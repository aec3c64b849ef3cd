//! STIX 2.1 patterns: the part that one event alone can satisfy.
//!
//! Taken: `[...]` with comparisons `=`, `IN`, `LIKE`, `MATCHES`, `ISSUBSET` joined by `OR`, and such
//! observations joined by `OR`: each alternative becomes an indicator. Everything else (`AND`,
//! `FOLLOWEDBY`, `NOT`, qualifiers, comparisons of size) is refused by name: matching a part of a
//! pattern would raise alarms its author did not mean.

use crate::indicator::{Form, Indicator};
use crate::limits::{PATTERN_BYTES_MAX, STIX_ALTERNATIVES_MAX, STIX_PATTERN_BYTES_MAX};
use crate::matcher::compile;
use crate::value::refang;
use crate::{Kind, Said};
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    OpenParen,
    CloseParen,
    Comma,
    /// A word: an object path, an operator or a qualifier.
    Word(&'a str),
    Text(String),
    /// A literal that is no text.
    Other(&'a str),
    Sign(&'a str),
}

/// The indicators that a pattern's alternatives are.
pub(super) fn parse(text: &str, source: Arc<str>) -> Result<Vec<Indicator>, Said> {
    if text.len() > STIX_PATTERN_BYTES_MAX {
        return Err(Said::new(
            format!("its pattern is longer than {STIX_PATTERN_BYTES_MAX} bytes"),
            format!("パターンが{STIX_PATTERN_BYTES_MAX}バイトを超えています"),
        ));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, open: 0, source, found: Vec::new() };
    parser.pattern()?;
    if parser.found.is_empty() {
        return Err(Said::new("its pattern is empty", "パターンが空です"));
    }
    Ok(parser.found)
}

fn unreadable(at: usize) -> Said {
    Said::new(
        format!("its pattern cannot be read at byte {at}"),
        format!("パターンの{at}バイト目が読めません"),
    )
}

fn unsupported(what: &str) -> Said {
    Said::new(
        format!("its pattern uses {what}, which needs more than one value of one event"),
        format!("パターンの {what} は、1つのイベントの1つの値では判定できません"),
    )
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Said> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at += 1;
        tokens.push(match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'[' => Token::Open,
            b']' => Token::Close,
            b'(' => Token::OpenParen,
            b')' => Token::CloseParen,
            b',' => Token::Comma,
            b'\'' => {
                let (value, end) = quoted(text, at).ok_or_else(|| unreadable(start))?;
                at = end;
                Token::Text(value)
            }
            b'=' | b'!' | b'<' | b'>' => {
                while matches!(bytes.get(at), Some(b'=' | b'>')) {
                    at += 1;
                }
                Token::Sign(text.get(start..at).unwrap_or_default())
            }
            byte if byte.is_ascii_alphabetic() || *byte == b'_' => {
                at = path_end(text, at).ok_or_else(|| unreadable(start))?;
                let word = text.get(start..at).unwrap_or_default();
                // `t'2026-...'`, `h'...'`, `b'...'`: literals that are no text.
                if matches!(word, "t" | "h" | "b") && bytes.get(at) == Some(&b'\'') {
                    let (_, end) = quoted(text, at + 1).ok_or_else(|| unreadable(start))?;
                    at = end;
                    Token::Other(text.get(start..at).unwrap_or_default())
                } else {
                    Token::Word(word)
                }
            }
            byte if byte.is_ascii_digit() || *byte == b'-' || *byte == b'+' => {
                while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
                    at += 1;
                }
                Token::Other(text.get(start..at).unwrap_or_default())
            }
            _ => return Err(unreadable(start)),
        });
    }
    Ok(tokens)
}

/// The text of a literal whose quote is before `at`, and where it ends.
fn quoted(text: &str, at: usize) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.get(at..)?.char_indices();
    while let Some((offset, c)) = chars.next() {
        match c {
            '\'' => return Some((value, at + offset + 1)),
            // Only these two are escaped (STIX 2.1, 9.2); a regular expression often has a bare one.
            '\\' if matches!(text.as_bytes().get(at + offset + 1), Some(b'\'' | b'\\')) => {
                value.push(chars.next()?.1);
            }
            c => value.push(c),
        }
    }
    None
}

/// Where a word or an object path ends: `file:hashes.'SHA-256'`, `x:values[0].name`.
fn path_end(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(byte)
                if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.') =>
            {
                at += 1
            }
            // A quoted part stands only after a dot.
            Some(b'\'') if at > 0 && bytes.get(at - 1) == Some(&b'.') => {
                at = quoted(text, at + 1)?.1
            }
            Some(b'[') if matches!(bytes.get(at + 1), Some(b'0'..=b'9' | b'*')) => {
                at += text.get(at..)?.find(']')? + 1;
            }
            _ => return Some(at),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// Parentheses that are open.
    open: usize,
    source: Arc<str>,
    found: Vec<Indicator>,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token<'a>> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn wrong(&self) -> Said {
        let number = self.at;
        Said::new(
            format!("its pattern cannot be read at word {number}"),
            format!("パターンの{number}語目が読めません"),
        )
    }

    /// Without recursion: parentheses around alternatives change nothing.
    fn pattern(&mut self) -> Result<(), Said> {
        let mut inside = false;
        loop {
            // Before an operand: opening signs.
            match self.next() {
                Some(Token::OpenParen) => {
                    self.open += 1;
                    continue;
                }
                Some(Token::Open) if !inside => {
                    inside = true;
                    continue;
                }
                Some(Token::Word(path)) if inside => self.comparison(path)?,
                _ => return Err(self.wrong()),
            }
            // After it: closing signs and the next operator.
            loop {
                match self.next() {
                    Some(Token::CloseParen) if self.open > 0 => self.open -= 1,
                    Some(Token::Close) if inside => inside = false,
                    Some(Token::Word("OR")) => break,
                    Some(Token::Word(
                        word @ ("AND" | "FOLLOWEDBY" | "WITHIN" | "REPEATS" | "START"),
                    )) => {
                        return Err(unsupported(word));
                    }
                    None if !inside && self.open == 0 => return Ok(()),
                    _ => return Err(self.wrong()),
                }
            }
        }
    }

    fn comparison(&mut self, path: &str) -> Result<(), Said> {
        let (form, values) = match self.next() {
            Some(Token::Sign("=")) => (Form::Exact, vec![self.text()?]),
            Some(Token::Sign(sign)) => return Err(unsupported(sign)),
            Some(Token::Word("LIKE")) => (Form::Like, vec![self.text()?]),
            Some(Token::Word("MATCHES")) => (Form::Regex, vec![self.text()?]),
            Some(Token::Word("ISSUBSET")) => (Form::Exact, vec![self.text()?]),
            Some(Token::Word("IN")) => (Form::Exact, self.list()?),
            Some(Token::Word(word @ ("NOT" | "ISSUPERSET" | "EXISTS"))) => {
                return Err(unsupported(word));
            }
            _ => return Err(self.wrong()),
        };
        for value in values {
            if self.found.len() >= STIX_ALTERNATIVES_MAX {
                return Err(Said::new(
                    format!("its pattern has more than {STIX_ALTERNATIVES_MAX} alternatives"),
                    format!("パターンの選択肢が{STIX_ALTERNATIVES_MAX}個を超えています"),
                ));
            }
            let indicator = self.indicator(path, form, value)?;
            self.found.push(indicator);
        }
        Ok(())
    }

    fn text(&mut self) -> Result<&'a str, Said> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            Some(Token::Other(other)) => Err(Said::new(
                format!("its pattern compares with {other}, which is no text"),
                format!("パターンの {other} は文字列ではありません"),
            )),
            _ => Err(self.wrong()),
        }
    }

    fn list(&mut self) -> Result<Vec<&'a str>, Said> {
        let Some(Token::OpenParen) = self.next() else { return Err(self.wrong()) };
        let mut values = Vec::new();
        loop {
            values.push(self.text()?);
            match self.next() {
                Some(Token::Comma) => {}
                Some(Token::CloseParen) => return Ok(values),
                _ => return Err(self.wrong()),
            }
        }
    }

    fn indicator(&self, path: &str, form: Form, value: &str) -> Result<Indicator, Said> {
        let Some(kind) = kind_of(path, value) else {
            return Err(Said::new(
                format!("its pattern asks for {path}, which cannot be looked for"),
                format!("パターンの {path} は照合できません"),
            ));
        };
        let source = self.source.clone();
        if form == Form::Exact {
            return Indicator::new(kind, &refang(value), source).map_err(Said::from);
        }
        let strict = matches!(
            kind,
            Kind::Ip | Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 | Kind::Imphash
        );
        if strict {
            let word = if form == Form::Like { "LIKE" } else { "MATCHES" };
            return Err(Said::new(
                format!("{word} is not taken for {path}: write a range or a list"),
                format!("{path} に {word} は使えません。範囲か一覧で指定してください"),
            ));
        }
        if value.len() > PATTERN_BYTES_MAX {
            return Err(Said::new(
                format!("its expression is longer than {PATTERN_BYTES_MAX} bytes"),
                format!("式が{PATTERN_BYTES_MAX}バイトを超えています"),
            ));
        }
        compile(kind, form, value).map_err(|reason| {
            Said::new(
                format!("its expression cannot be used: {reason}"),
                format!("式が使えません: {reason}"),
            )
        })?;
        let mut indicator = Indicator::new(Kind::UserAgent, "x", source).map_err(Said::from)?;
        (indicator.kind, indicator.form, indicator.value) = (kind, form, value.into());
        Ok(indicator)
    }
}

/// What an object path speaks of.
fn kind_of(path: &str, value: &str) -> Option<Kind> {
    let lower = path.to_ascii_lowercase().replace('\'', "");
    Some(match lower.as_str() {
        "ipv4-addr:value" | "ipv6-addr:value" => Kind::Ip,
        "domain-name:value" => Kind::Domain,
        "url:value" => Kind::Url,
        "email-addr:value" | "email-message:from_ref.value" | "email-message:sender_ref.value" => {
            Kind::Email
        }
        "file:name" | "process:name" | "process:image_ref.name" => Kind::FileName,
        "windows-registry-key:key" => Kind::Registry,
        "mutex:name" => Kind::Mutex,
        "network-traffic:src_ref.value" | "network-traffic:dst_ref.value" => {
            match crate::value::parse_network(value) {
                Some(_) => Kind::Ip,
                None => Kind::Domain,
            }
        }
        other => {
            if let Some(name) = other
                .strip_prefix("file:hashes.")
                .or_else(|| other.strip_prefix("process:image_ref.hashes."))
            {
                return name.parse().ok().filter(|kind| {
                    matches!(
                        kind,
                        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 | Kind::Imphash
                    )
                });
            }
            if other.starts_with(
                "network-traffic:extensions.http-request-ext.request_header.user-agent",
            ) {
                return Some(Kind::UserAgent);
            }
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let found = parse(text, "x".into()).map_err(|said| said.en)?;
        Ok(found.iter().map(|i| format!("{} {:?} {}", i.kind, i.form, i.value)).collect())
    }

    #[test]
    fn alternatives_become_indicators() {
        for (pattern, meant) in [
            ("[ipv4-addr:value = '203.0.113.9']", vec!["ip Exact 203.0.113.9"]),
            ("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", vec!["ip Exact 203.0.113.0/24"]),
            (
                "[file:hashes.'SHA-1' = 'DA39A3EE5E6B4B0D3255BFEF95601890AFD80700' OR file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf84270']",
                vec![
                    "sha1 Exact da39a3ee5e6b4b0d3255bfef95601890afd80700",
                    "md5 Exact d41d8cd98f00b204e9800998ecf84270",
                ],
            ),
            (
                "([domain-name:value IN ('a.example', 'B.example')]) OR [url:value = 'http://c.example']",
                vec![
                    "domain Exact a.example",
                    "domain Exact b.example",
                    "url Exact http://c.example/",
                ],
            ),
            ("[domain-name:value LIKE '%.evil.example']", vec!["domain Like %.evil.example"]),
            (
                "[url:value MATCHES '^http://.*/gate\\\\.php$']",
                vec!["url Regex ^http://.*/gate\\.php$"],
            ),
            (
                "[windows-registry-key:key = 'HKEY_CURRENT_USER\\\\Software\\\\X']",
                vec!["registry-key Exact hkcu\\software\\x"],
            ),
            (
                "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'Evil/1']",
                vec!["user-agent Exact evil/1"],
            ),
        ] {
            assert_eq!(
                read(pattern),
                Ok(meant.into_iter().map(str::to_owned).collect()),
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_needs_more_than_one_value_is_refused_by_name() {
        for (pattern, named) in [
            ("[file:name = 'a' AND file:size = 3]", "AND"),
            ("[ipv4-addr:value = '203.0.113.9'] AND [url:value = 'http://a.example']", "AND"),
            ("[a:b = 'x'] FOLLOWEDBY [c:d = 'y']", "a:b"),
            (
                "[url:value = 'http://a.example'] FOLLOWEDBY [url:value = 'http://b.example']",
                "FOLLOWEDBY",
            ),
            ("[url:value = 'http://a.example'] WITHIN 5 SECONDS", "WITHIN"),
            ("[url:value = 'http://a.example'] REPEATS 5 TIMES", "REPEATS"),
            ("[url:value NOT = 'http://a.example']", "NOT"),
            ("[url:value != 'http://a.example']", "!="),
            ("[file:size > 10]", ">"),
            ("[file:size = 10]", "10"),
            ("[process:command_line = 'x']", "process:command_line"),
            ("[domain-name:value MATCHES '.*']", "every domain"),
            ("[domain-name:value MATCHES '(a{1000}){1000}']", "cannot be used"),
            ("[domain-name:value LIKE '%']", "every domain"),
            ("[ipv4-addr:value LIKE '10.%']", "LIKE"),
            ("[url:value = 'x", "byte"),
            ("[url:value", "word"),
            ("", "word"),
        ] {
            let error = read(pattern).unwrap_err();
            assert!(error.contains(named), "{pattern} gave {error}");
        }
    }

    #[test]
    fn alternatives_and_lengths_have_limits() {
        let list = |count: usize| {
            let names: Vec<_> = (0..count).map(|n| format!("'a{n}.example'")).collect();
            format!("[domain-name:value IN ({})]", names.join(","))
        };
        assert_eq!(read(&list(STIX_ALTERNATIVES_MAX)).unwrap().len(), STIX_ALTERNATIVES_MAX);
        assert!(read(&list(STIX_ALTERNATIVES_MAX + 1)).unwrap_err().contains("alternatives"));
        let like = |length: usize| format!("[domain-name:value LIKE '{}']", "a".repeat(length));
        assert!(read(&like(PATTERN_BYTES_MAX)).is_ok());
        assert!(read(&like(PATTERN_BYTES_MAX + 1)).unwrap_err().contains("longer"));
        let long = " ".repeat(STIX_PATTERN_BYTES_MAX);
        assert!(read(&format!("{long}[")).unwrap_err().contains("longer"));
        let open = format!("{}[url:value = 'x']", "(".repeat(60_000));
        assert!(read(&open).is_err());
    }

    proptest! {
        #[test]
        fn hostile_patterns_never_panic(text in "[\\[\\]()a-z:.='\\\\ ORAND,<>!0-9]{0,80}|\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}
