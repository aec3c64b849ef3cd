//! Values that lists of indicators name by mistake: they are in every network.

use crate::value::{address_bits, domain_text, host_and_port, masked, parse_network};
use crate::{Indicator, Kind};
use std::net::{IpAddr, Ipv6Addr};
use yagura_event::Lang;

/// Hashes of no bytes at all.
const EMPTY: [&str; 4] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
];

/// Resolvers that anyone may use.
const RESOLVERS: [&str; 8] = [
    "8.8.8.8",
    "8.8.4.4",
    "1.1.1.1",
    "1.0.0.1",
    "9.9.9.9",
    "208.67.222.222",
    "208.67.220.220",
    "149.112.112.112",
];

/// Domains that ordinary machines ask for every day.
const DOMAINS: [&str; 26] = [
    "google.com",
    "googleapis.com",
    "gstatic.com",
    "microsoft.com",
    "windows.com",
    "windows.net",
    "windowsupdate.com",
    "office.com",
    "office365.com",
    "live.com",
    "msftconnecttest.com",
    "apple.com",
    "icloud.com",
    "amazon.com",
    "amazonaws.com",
    "cloudflare.com",
    "akamai.net",
    "facebook.com",
    "github.com",
    "githubusercontent.com",
    "mozilla.org",
    "ubuntu.com",
    "digicert.com",
    "yahoo.co.jp",
    "google.co.jp",
    "example.com",
];

/// File names that every Windows has.
const FILES: [&str; 12] = [
    "cmd.exe",
    "powershell.exe",
    "explorer.exe",
    "svchost.exe",
    "rundll32.exe",
    "regsvr32.exe",
    "lsass.exe",
    "services.exe",
    "winlogon.exe",
    "notepad.exe",
    "chrome.exe",
    "desktop.ini",
];

pub(crate) fn doubt(indicator: &Indicator, lang: Lang) -> Option<&'static str> {
    let pick = |en, ja| match lang {
        Lang::En => en,
        Lang::Ja => ja,
    };
    let value = &*indicator.value;
    match indicator.kind {
        Kind::Ip => address_doubt(value).map(|(en, ja)| pick(en, ja)),
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => EMPTY
            .contains(&value)
            .then(|| pick("the hash of an empty file", "空のファイルのハッシュ値です")),
        Kind::Domain => DOMAINS
            .contains(&value)
            .then(|| pick("a domain in everyday use", "日常的に使われるドメインです")),
        Kind::Url => {
            let rest = value.split_once("://")?.1;
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host_and_port(authority)?.0;
            let everyday = domain_text(host).is_some_and(|host| DOMAINS.contains(&&*host));
            if everyday && path.len() <= 1 {
                return Some(pick("a site in everyday use", "日常的に使われるサイトです"));
            }
            address_doubt(host).map(|(en, ja)| pick(en, ja))
        }
        Kind::FileName => FILES
            .contains(&value)
            .then(|| pick("a file every machine has", "どの端末にもあるファイルです")),
        _ => None,
    }
}

fn address_doubt(value: &str) -> Option<(&'static str, &'static str)> {
    if RESOLVERS.contains(&value) {
        return Some(("a public resolver", "公開DNSリゾルバーです"));
    }
    let (bits, length) = parse_network(value)?;
    let within = |network: &str| {
        parse_network(network).is_some_and(|(other, other_length)| {
            other_length <= length && masked(bits, other_length) == other
        })
    };
    let any = |networks: &[&str]| networks.iter().any(|network| within(network));
    if any(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]) {
        return Some(("a private address", "プライベートアドレスです"));
    }
    if any(&["127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"]) {
        return Some(("this machine's own address", "自分自身を指すアドレスです"));
    }
    if any(&["169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32"]) {
        return Some((
            "an address of the local network only",
            "ローカルネットワーク専用のアドレスです",
        ));
    }
    let mapped = IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical();
    let wide = if mapped.is_ipv4() { length < 96 + 8 } else { length < 20 };
    debug_assert_eq!(address_bits(mapped), bits);
    wide.then_some(("a range as wide as a part of the Internet", "範囲が広すぎます"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{guess, refang};

    #[test]
    fn what_every_network_has_is_doubted() {
        let doubt = |text: &str| {
            let plain = refang(text);
            let kind = guess(&plain).unwrap();
            doubt(&Indicator::new(kind, &plain, "list".into()).unwrap(), Lang::En)
        };
        for text in [
            "10.1.2.3",
            "127.0.0.1",
            "192.168.0.0/24",
            "8.8.8.8",
            "8.0.0.0/7",
            "fe80::1",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "microsoft.com",
            "http://google.com/",
            "http://10.0.0.1/x",
            "svchost.exe",
            "::1",
        ] {
            assert!(doubt(text).is_some(), "{text}");
        }
        for text in [
            "203.0.113.9",
            "203.0.0.0/8",
            "2001:db8::/32",
            "evil.example",
            "http://google.com/evil",
            "evil.microsoft.com",
            "0123456789abcdef0123456789abcdef",
            "evil.exe",
        ] {
            assert_eq!(doubt(text), None, "{text}");
        }
    }
}
