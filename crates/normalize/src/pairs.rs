//! `key=value` lines: firewalls and VPN gateways.

use crate::flat::Flat;
use crate::limits::PAIRS_PER_LINE_MAX;

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
    line.contains("=")
        && (line.contains("subtype=\"vpn\"")
            || line.contains("subtype=vpn")
            || line.contains("action=\"ssl-")
            || line.contains("action=\"tunnel-")
            || line.contains("action=ssl-")
            || line.contains("action=tunnel-"))
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
    fn pairs_are_bounded() {
        assert_eq!(pairs(&"a=1 ".repeat(PAIRS_PER_LINE_MAX)).count(), PAIRS_PER_LINE_MAX);
        assert_eq!(pairs(&"a=1 ".repeat(PAIRS_PER_LINE_MAX + 1)).count(), PAIRS_PER_LINE_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(line in r#"[a-c="\\ 日,]{0,40}"#) {
            for _ in pairs(&line) {}
        }
    }
}
