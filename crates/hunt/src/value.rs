//! Values of indicators in one spelling, so that equal things are equal texts.

use crate::Kind;
use crate::limits::VALUE_BYTES_MAX;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// Why a value cannot be an indicator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Nothing is there.
    #[error("the value is empty")]
    Empty,
    /// Longer than any of its kind.
    #[error("the value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    /// What it is cannot be told from its form.
    #[error("what it is cannot be told: give its kind in a column \"type\" of a CSV file")]
    Unknown,
    /// Not of the kind it is said to be.
    #[error("it is no {}", .0.label(yagura_event::Lang::En))]
    Not(Kind),
    /// It would match nearly everything.
    #[error("it would match nearly everything")]
    TooWide,
}

impl ValueError {
    /// What a person reads in Japanese.
    pub fn ja(&self) -> String {
        match self {
            ValueError::Empty => "値が空です".to_owned(),
            ValueError::TooLong => format!("値が {VALUE_BYTES_MAX} バイトを超えています"),
            ValueError::Unknown => {
                "種類を判別できません。CSV の type 列で種類を指定してください".to_owned()
            }
            ValueError::Not(kind) => {
                format!("{}として読めません", kind.label(yagura_event::Lang::Ja))
            }
            ValueError::TooWide => "ほとんどすべてに一致してしまいます".to_owned(),
        }
    }
}

/// Takes back what people do to a value so that nobody follows it by accident: `hxxp`, `[.]`,
/// `(dot)`, `[:]`, `[@]`, `[at]` and the like.
pub fn refang(text: &str) -> Cow<'_, str> {
    let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '`' | '<' | '>' | '“' | '”'));
    let folded = text.to_ascii_lowercase();
    let defanged = ["hxxp", "hxtp", "htxp", "meow:", "fxp", "[", "(", "{", "\\.", "．", "。"]
        .iter()
        .any(|sign| folded.contains(sign));
    if !defanged {
        return Cow::Borrowed(text);
    }
    let mut plain = text.to_owned();
    for (from, to) in [
        ("[://]", "://"),
        ("[:]//", "://"),
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("{dot}", "."),
        (" dot ", "."),
        ("．", "."),
        ("。", "."),
        ("[:]", ":"),
        ("[/]", "/"),
        ("[@]", "@"),
        ("(@)", "@"),
        ("[at]", "@"),
        ("(at)", "@"),
    ] {
        plain = replace_folded(&plain, from, to);
    }
    // `evil\.example`, as in an expression; never in a path of Windows, which has letters there.
    if !plain.contains(":\\") && !plain.starts_with('\\') && !is_registry(&plain) {
        plain = plain.replace("\\.", ".");
    }
    // `1.2.3[.4` and `evil.example]`: one half of a pair that was lost.
    if plain.matches('[').count() != plain.matches(']').count() && !plain.contains("://[") {
        plain = plain.replace("[.", ".").replace(".]", ".").replace(['[', ']'], "");
    }
    for (from, to) in [
        ("hxxps", "https"),
        ("hxxp", "http"),
        ("hxtp", "http"),
        ("htxp", "http"),
        ("meow", "http"),
        ("fxp", "ftp"),
    ] {
        if let Some(head) = plain.get(..from.len())
            && head.eq_ignore_ascii_case(from)
            && plain
                .get(from.len()..)
                .is_some_and(|rest| rest.starts_with("://") || rest.starts_with("s://"))
        {
            plain = format!("{to}{}", plain.get(from.len()..).unwrap_or_default());
            break;
        }
    }
    Cow::Owned(plain)
}

/// Replaces every `from` (lower-case ASCII) whatever its case.
fn replace_folded(text: &str, from: &str, to: &str) -> String {
    let folded = text.to_ascii_lowercase();
    let mut replaced = String::with_capacity(text.len());
    let mut at = 0;
    // Proof of the slices: folding ASCII letters moves no byte.
    for (found, _) in folded.match_indices(from) {
        replaced.push_str(&text[at..found]);
        replaced.push_str(to);
        at = found + from.len();
    }
    replaced.push_str(&text[at..]);
    replaced
}

/// What a value is, told by its form.
pub fn guess(value: &str) -> Option<Kind> {
    if value.is_empty() || value.len() > VALUE_BYTES_MAX {
        return None;
    }
    let hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(kind) = Kind::of_hash(value.len()).filter(|_| hex) {
        return Some(kind);
    }
    if parse_network(value).is_some() {
        return Some(Kind::Ip);
    }
    if is_registry(value) {
        return Some(Kind::Registry);
    }
    if value.to_ascii_lowercase().starts_with("\\\\.\\pipe\\") {
        return Some(Kind::Pipe);
    }
    if let Some((scheme, rest)) = value.split_once("://") {
        let sound = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
        return (sound && !rest.is_empty()).then_some(Kind::Url);
    }
    if let Some((name, domain)) = value.split_once('@') {
        return (!name.is_empty() && domain_text(domain).is_some()).then_some(Kind::Email);
    }
    let drive = value.as_bytes().get(1) == Some(&b':') && value.contains('\\');
    if drive || value.starts_with('\\') || value.starts_with('%') || value.starts_with('/') {
        return Some(Kind::FilePath);
    }
    if value.contains('\\') {
        return Some(Kind::FilePath);
    }
    if let Some((host, _)) = value.split_once('/') {
        return (!value.contains(' ') && domain_text(host).is_some()).then_some(Kind::Url);
    }
    if is_file_name(value) {
        return Some(Kind::FileName);
    }
    (domain_text(value).is_some() && value.contains('.')).then_some(Kind::Domain)
}

/// Endings of programs and documents that are no top-level domains.
fn is_file_name(value: &str) -> bool {
    const ENDINGS: [&str; 35] = [
        "exe", "dll", "sys", "bat", "cmd", "ps1", "psm1", "vbs", "vbe", "js", "jse", "wsf", "hta",
        "scr", "cpl", "msi", "lnk", "iso", "img", "vhd", "docm", "xlsm", "doc", "xls", "rtf",
        "pdf", "chm", "jar", "aspx", "asp", "jsp", "php", "dat", "tmp", "elf",
    ];
    let ending = value.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !value.contains('/')
}

fn is_registry(value: &str) -> bool {
    let head = value.split('\\').next().unwrap_or_default().to_ascii_uppercase();
    let hive = matches!(head.as_str(), "HKLM" | "HKCU" | "HKU" | "HKCR" | "HKCC")
        || head.starts_with("HKEY_");
    (hive && value.contains('\\')) || value.to_ascii_uppercase().starts_with("\\REGISTRY\\")
}

/// The one spelling of a value of `kind`, already refanged.
pub fn canonical(kind: Kind, value: &str) -> Result<String, ValueError> {
    let value = value.trim();
    if value.is_empty() {
        return Err(ValueError::Empty);
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(ValueError::TooLong);
    }
    let not = || ValueError::Not(kind);
    let digits = match kind {
        Kind::Md5 | Kind::Imphash => 32,
        Kind::Sha1 => 40,
        Kind::Sha256 => 64,
        Kind::Sha512 => 128,
        _ => 0,
    };
    if digits > 0 {
        let sound = value.len() == digits && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if sound { Ok(value.to_ascii_lowercase()) } else { Err(not()) };
    }
    let text = match kind {
        Kind::Ip => {
            let (address, length) = parse_network(value).ok_or_else(not)?;
            if length == 0 {
                return Err(ValueError::TooWide);
            }
            return Ok(network_text(address, length));
        }
        Kind::Domain => {
            let domain = domain_text(value.trim_start_matches("*.")).ok_or_else(not)?;
            // A name of one label covers a whole top-level domain.
            if !domain.contains('.') {
                return Err(ValueError::TooWide);
            }
            domain
        }
        Kind::Url => url_text(value).ok_or_else(not)?,
        Kind::FileName => {
            let name = file_name(value).to_lowercase();
            if name.chars().all(|c| matches!(c, '*' | '?' | '.')) {
                return Err(not());
            }
            name
        }
        Kind::FilePath => path_text(value).into_owned(),
        Kind::Email => {
            let (name, domain) = value.rsplit_once('@').ok_or_else(not)?;
            let domain = domain_text(domain).ok_or_else(not)?;
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(not());
            }
            format!("{}@{domain}", name.to_lowercase())
        }
        Kind::Registry => registry_text(value),
        Kind::Mutex => value.rsplit('\\').next().unwrap_or(value).to_lowercase(),
        Kind::Pipe => pipe_text(value),
        Kind::UserAgent => value.to_lowercase(),
        _ => value.to_owned(),
    };
    if text.is_empty() { Err(not()) } else { Ok(text) }
}

/// A domain in lower case and ASCII (`xn--`), without the dot at its end; `None` for what is none.
pub(crate) fn domain_text(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    if text.is_empty() || text.len() > 253 * 4 || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let ascii = if text.is_ascii() {
        if !text.bytes().all(plain) {
            return None;
        }
        text.to_ascii_lowercase()
    } else {
        // Names with underscores are real (`_dmarc`), so the strict rules of host names stay out.
        let ascii = idna::domain_to_ascii(text).ok()?;
        if !ascii.bytes().all(plain) {
            return None;
        }
        ascii
    };
    let sound = ascii.len() <= 253 && ascii.split('.').all(|label| (1..=63).contains(&label.len()));
    sound.then_some(ascii)
}

/// Scheme and host in lower case, no default port, no fragment, no user; a path at least `/`.
pub(crate) fn url_text(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), text),
    };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = host_and_port(authority)?;
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Err(_) => domain_text(host)?,
    };
    let default = match scheme.as_str() {
        "http" => "80",
        "https" => "443",
        "ftp" => "21",
        _ => "",
    };
    let port = if port.is_empty() || port == default { String::new() } else { format!(":{port}") };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(format!("{scheme}://{host}{port}{path}"))
}

/// Host and port of an authority; the brackets of an IPv6 address are taken off.
pub(crate) fn host_and_port(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((host, port))
}

/// The last part of a path of any system.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// A path in lower case with `\`, without its drive or the device that stands for it.
pub(crate) fn path_text(path: &str) -> Cow<'_, str> {
    let mut text = path.to_lowercase();
    if text.contains('/') {
        text = text.replace('/', "\\");
    }
    for prefix in ["\\\\?\\", "\\??\\"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            text = rest.to_owned();
        }
    }
    if let Some(rest) = text.strip_prefix("\\device\\harddiskvolume") {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        text = rest.to_owned();
    }
    if text.as_bytes().get(1) == Some(&b':') {
        text = text.get(2..).unwrap_or_default().to_owned();
    }
    Cow::Owned(text.trim_end_matches('\\').to_owned())
}

/// A registry path in lower case, its hive by its short name, a user's own hive as `hkcu`.
pub(crate) fn registry_text(path: &str) -> String {
    let lower = path.trim_end_matches('\\').to_lowercase();
    for (long, short) in [
        ("hkey_local_machine", "hklm"),
        ("hkey_current_user", "hkcu"),
        ("hkey_users", "hku"),
        ("hkey_classes_root", "hkcr"),
        ("hkey_current_config", "hkcc"),
        ("\\registry\\machine", "hklm"),
        ("\\registry\\user", "hku"),
    ] {
        if let Some(rest) = lower.strip_prefix(long)
            && (rest.is_empty() || rest.starts_with('\\'))
        {
            return user_hive(format!("{short}{rest}"));
        }
    }
    user_hive(lower)
}

/// `hku\s-1-5-21-...\software` is what a user calls `hkcu\software`.
fn user_hive(path: String) -> String {
    let Some(rest) = path.strip_prefix("hku\\s-1-5-21-") else { return path };
    match rest.split_once('\\') {
        Some((sid, rest)) if !sid.ends_with("_classes") => format!("hkcu\\{rest}"),
        _ => path,
    }
}

/// A pipe's name in lower case, without `\\.\pipe\` or the backslash events begin it with.
pub(crate) fn pipe_text(name: &str) -> String {
    let lower = name.to_lowercase();
    let name = ["\\\\.\\pipe\\", "\\device\\namedpipe\\", "\\pipe\\"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    name.trim_start_matches('\\').to_owned()
}

/// An address as a number, IPv4 within `::ffff:0:0/96`.
pub(crate) fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `length` of 128 bits.
pub(crate) fn masked(bits: u128, length: u8) -> u128 {
    match length {
        0 => 0,
        length => bits & (u128::MAX << (128 - u32::from(length.min(128)))),
    }
}

/// An address or range as its number and the length of its prefix within 128 bits.
pub(crate) fn parse_network(text: &str) -> Option<(u128, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => {
            let sound = !length.is_empty()
                && length.len() <= 3
                && length.bytes().all(|b| b.is_ascii_digit());
            (address, Some(length.parse::<u8>().ok().filter(|_| sound)?))
        }
        None => (text, None),
    };
    let address = address.split('%').next().unwrap_or(address);
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let (bits, most, shift) = match address.parse::<IpAddr>().ok()? {
        address @ IpAddr::V4(_) => (address_bits(address), 32, 96),
        address @ IpAddr::V6(_) => (address_bits(address), 128, 0),
    };
    let length = length.unwrap_or(most);
    if length > most {
        return None;
    }
    // `0.0.0.0/0` is everything, not only what is written as IPv4.
    let length = if length == 0 { 0 } else { length + shift };
    Some((masked(bits, length), length))
}

fn network_text(bits: u128, length: u8) -> String {
    let address = Ipv6Addr::from_bits(bits);
    match address.to_ipv4_mapped() {
        Some(address) if length == 128 => address.to_string(),
        Some(address) if length >= 96 => format!("{address}/{}", length - 96),
        _ if length == 128 => address.to_string(),
        _ => format!("{address}/{length}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn defanged_values_are_what_they_were() {
        for (written, meant, kind) in [
            ("hxxps://evil[.]example/a[.]php", "https://evil.example/a.php", Kind::Url),
            ("hXXp[:]//203.0.113[.]9:8080/x", "http://203.0.113.9:8080/x", Kind::Url),
            ("evil(.)example", "evil.example", Kind::Domain),
            ("EVIL[dot]example.", "evil.example", Kind::Domain),
            ("evil\\.example", "evil.example", Kind::Domain),
            ("203[.]0[.]113[.]9", "203.0.113.9", Kind::Ip),
            ("203.0.113[.9", "203.0.113.9", Kind::Ip),
            ("203.0.113.77/24", "203.0.113.0/24", Kind::Ip),
            ("2001:DB8::1", "2001:db8::1", Kind::Ip),
            ("::ffff:203.0.113.9", "203.0.113.9", Kind::Ip),
            ("bad[at]evil[.]example", "bad@evil.example", Kind::Email),
            ("https://日本語.example/", "https://xn--wgv71a119e.example/", Kind::Url),
            ("日本語．example", "xn--wgv71a119e.example", Kind::Domain),
            ("C:\\Users\\Public\\Evil.exe", "\\users\\public\\evil.exe", Kind::FilePath),
            ("Evil.EXE", "evil.exe", Kind::FileName),
            ("evil.example/a.exe", "http://evil.example/a.exe", Kind::Url),
            ("\\\\.\\pipe\\MSSE-1", "msse-1", Kind::Pipe),
            ("HKEY_LOCAL_MACHINE\\Software\\X", "hklm\\software\\x", Kind::Registry),
            ("D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e", Kind::Md5),
            ("http://[2001:db8::1]:80/", "http://[2001:db8::1]/", Kind::Url),
        ] {
            let plain = refang(written);
            assert_eq!(guess(&plain), Some(kind), "{written} became {plain}");
            assert_eq!(canonical(kind, &plain).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn what_is_nothing_known_or_too_wide_is_refused() {
        for text in ["", "hello world", "evil", "12", "a@b@", "://x", "-", "日本 語"] {
            let kind = guess(&refang(text));
            assert!(kind.is_none_or(|kind| canonical(kind, text).is_err()), "{text} is {kind:?}");
        }
        assert_eq!(canonical(Kind::Ip, "0.0.0.0/0"), Err(ValueError::TooWide));
        assert_eq!(canonical(Kind::Domain, "com"), Err(ValueError::TooWide));
        assert_eq!(canonical(Kind::Md5, "abc"), Err(ValueError::Not(Kind::Md5)));
        assert_eq!(canonical(Kind::Ip, "10.0.0.0/33"), Err(ValueError::Not(Kind::Ip)));
    }

    #[test]
    fn a_value_has_a_longest_length() {
        let longest = "a".repeat(VALUE_BYTES_MAX);
        assert!(canonical(Kind::UserAgent, &longest).is_ok());
        assert_eq!(canonical(Kind::UserAgent, &(longest + "a")), Err(ValueError::TooLong));
    }

    #[test]
    fn registry_hives_and_drives_have_one_name() {
        let user = "HKU\\S-1-5-21-1-2-3-1001\\Software\\X";
        assert_eq!(registry_text(user), "hkcu\\software\\x");
        assert_eq!(registry_text("\\REGISTRY\\MACHINE\\SAM"), "hklm\\sam");
        assert_eq!(path_text("\\Device\\HarddiskVolume3\\a\\b.exe"), "\\a\\b.exe");
        assert_eq!(path_text("/tmp/x"), "\\tmp\\x");
    }

    proptest! {
        #[test]
        fn one_spelling_is_stable(text in "\\PC{0,40}") {
            let plain = refang(&text).into_owned();
            for kind in Kind::ALL {
                if let Ok(value) = canonical(*kind, &plain)
                    && !matches!(kind, Kind::FileName | Kind::FilePath | Kind::Mutex | Kind::Pipe
                        | Kind::UserAgent | Kind::Registry | Kind::Email)
                {
                    prop_assert_eq!(canonical(*kind, &value), Ok(value));
                }
            }
        }
    }
}
