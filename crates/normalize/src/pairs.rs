//! `key=value` lines: firewalls and VPN gateways.

use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// The pairs of `line`: values in double quotes may hold blanks, `\"` is a quote. Words without
/// `=` are skipped.
pub(crate) fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', ',', '\t']);
            let end = rest.find([' ', '=', '\t'])?;
            let (key, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                continue;
            };
            let (value, after) = match value.strip_prefix('"') {
                Some(inside) => {
                    let end = closing_quote(inside);
                    (&inside[..end], inside.get(end + 1..).unwrap_or_default())
                }
                None => value.split_at(value.find([' ', '\t']).unwrap_or(value.len())),
            };
            rest = after;
            if !key.is_empty() {
                return Some((key, value));
            }
        }
    })
    .take(PAIRS_PER_LINE_MAX)
}

fn closing_quote(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Adds every pair as `prefix` + key.
pub(crate) fn push(prefix: &str, line: &str, flat: &mut Flat) {
    let mut name = String::from(prefix);
    for (key, value) in pairs(line) {
        name.truncate(prefix.len());
        name.push_str(key);
        flat.push(&name, value);
    }
}

/// Whether `line` is a firewall's or gateway's own `key=value` log about VPN logons.
pub(crate) fn is_vpn(line: &str) -> bool {
    // FortiOS: type="event" subtype="vpn"; the action names the tunnel or the SSL logon.
    static SUBTYPE: LazyLock<Finder> = LazyLock::new(|| Finder::new("subtype="));
    static ACTION: LazyLock<Finder> = LazyLock::new(|| Finder::new("action="));
    let has = |key: &Finder, values: &[&str]| {
        key.find_iter(line.as_bytes()).any(|at| {
            let value = line.get(at + key.needle().len()..).unwrap_or_default();
            let value = value.strip_prefix('"').unwrap_or(value);
            values.iter().any(|wanted| value.starts_with(wanted))
        })
    };
    has(&SUBTYPE, &["vpn"]) || has(&ACTION, &["ssl-", "tunnel-"])
}

/// Reads a line that is `key=value` pairs (logfmt and its like) and nothing much else: at least
/// [`PAIRS_MIN`] with different keys of the usual letters, which make up most of the text. Otherwise
/// nothing is pushed.
pub(crate) fn generic(line: &str, flat: &mut Flat) -> Option<()> {
    const PAIRS_MIN: usize = 3;
    // Long prose with a few `=` in it is told in one pass over its head.
    const LOOKED_AT_MAX: usize = 64;
    let is_key = |key: &str| {
        let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '@');
        let rest = |c: char| c.is_ascii_alphanumeric() || "_-.@/".contains(c);
        key.len() <= 64 && key.starts_with(first) && key.chars().all(rest)
    };
    let (mut count, mut covered, mut looked_at) = (0, 0, line.len());
    let mut keys = [""; LOOKED_AT_MAX];
    for (key, value) in pairs(line).take(LOOKED_AT_MAX) {
        if !is_key(key) || keys.iter().take(count).any(|known| *known == key) {
            return None;
        }
        // The pairs come in order, so the last one's place says how far we looked.
        let end = value.as_ptr() as usize + value.len() - line.as_ptr() as usize;
        looked_at = if count + 1 == LOOKED_AT_MAX { end } else { line.len() };
        covered += key.len() + 2 + value.len();
        if let Some(place) = keys.get_mut(count) {
            *place = key;
        }
        count += 1;
    }
    if count < PAIRS_MIN || covered * 4 < looked_at * 3 {
        return None;
    }
    for (key, value) in pairs(line) {
        if !value.is_empty() {
            flat.push(key, value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_blanks_and_strays() {
        let line = r#"date=2026-11-21 stray action="ssl-login-fail" user="田中 一郎" msg="a \"b\"" empty= x="open"#;
        let read: Vec<_> = pairs(line).collect();
        assert_eq!(
            read,
            [
                ("date", "2026-11-21"),
                ("action", "ssl-login-fail"),
                ("user", "田中 一郎"),
                ("msg", "a \\\"b\\\""),
                ("empty", ""),
                ("x", "open"),
            ]
        );
    }

    #[test]
    fn only_what_is_pairs_is_read_as_pairs() {
        let count = |line: &str| {
            let mut flat = Flat::default();
            generic(line, &mut flat).map(|()| flat.len())
        };
        assert_eq!(
            count(r#"ts=2026-11-21T10:00:00Z level=warn msg="disk is \"full\"" free=3"#),
            Some(4)
        );
        assert_eq!(count("a=1 b=2 c=3"), Some(3));
        for prose in [
            "a=1 b=2",
            "a=1 a=2 a=3",
            "the server said a=1 and later b=2 and then c=3 before it stopped",
            "1=2 3=4 5=6",
            "",
        ] {
            assert_eq!(count(prose), None, "{prose}");
        }
    }

    #[test]
    fn pairs_are_bounded() {
        assert_eq!(pairs(&"a=1 ".repeat(PAIRS_PER_LINE_MAX)).count(), PAIRS_PER_LINE_MAX);
        assert_eq!(pairs(&"a=1 ".repeat(PAIRS_PER_LINE_MAX + 1)).count(), PAIRS_PER_LINE_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(line in r#"[a-c="\\ 日,]{0,40}"#) {
            for _ in pairs(&line) {}
            let _ = generic(&line, &mut Flat::default());
        }
    }
}
