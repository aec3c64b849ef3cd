//! How single sources are to be read: what a user has fixed about the character encoding, the zone
//! and the dataset of those that match.
//!
//! Which settings hold for a record follows from where it came from ([`Origin`]) and, where a
//! setting asks for it, from the host name and the program its header claims. Of several settings
//! that match, each value is taken from the first that has it; what an import was told about its
//! own stream comes before all of them.

use crate::charset::TextEncoding;
use crate::limits::{SOURCE_NAMES_REMEMBERED_MAX, SOURCE_PATTERN_BYTES_MAX, SOURCE_SETTINGS_MAX};
use hashbrown::HashMap;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use yagura_event::{Origin, StreamName, Transport, Words};

/// One `[[source]]` of the configuration, checked: at least one condition and one value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SourceText", into = "SourceText")]
pub struct SourceSetting {
    text: SourceText,
    matcher: Matcher,
    reading: Reading,
}

/// As it stands in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceText {
    /// Name of the stream, such as `syslog`; `*` stands for any characters, here and below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// `syslog-udp`, `syslog-tcp`, `http-ingest`, `elastic-bulk` or `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Address of the sender, or a network such as `192.0.2.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Path of the imported file, such as `*/access_log*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Host name that the event claims, such as `fw*`; case does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Program that the event claims, such as `named`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Dataset of these events, whatever they look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// IANA zone of times that name none, such as `Asia/Tokyo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Character encoding, such as `cp932`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What is fixed about how records are read; everything else is found out from each record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The dataset.
    pub dataset: Option<Arc<str>>,
    /// The zone of times that name none.
    pub zone: Option<TimeZone>,
    /// The character encoding.
    pub encoding: Option<TextEncoding>,
}

impl Reading {
    /// Reads the three values; each may be missing.
    ///
    /// # Errors
    ///
    /// When a value means nothing; the message names it and says what would be right.
    pub fn parse(
        dataset: Option<&str>,
        zone: Option<&str>,
        encoding: Option<&str>,
    ) -> Result<Reading, Words> {
        Ok(Reading {
            dataset: dataset.map(dataset_name).transpose()?,
            zone: zone.map(zone_name).transpose()?,
            encoding: encoding.map(str::parse).transpose()?,
        })
    }

    fn complete_with(&mut self, other: &Reading) {
        self.dataset = self.dataset.take().or_else(|| other.dataset.clone());
        self.zone = self.zone.take().or_else(|| other.zone.clone());
        self.encoding = self.encoding.or(other.encoding);
    }
}

/// Whether there is such a dataset is asked where it is used: this only keeps nonsense out.
fn dataset_name(name: &str) -> Result<Arc<str>, Words> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
    if name.is_empty() || name.len() > SOURCE_PATTERN_BYTES_MAX || !name.bytes().all(plain) {
        return Err(Words::new(
            format!("dataset: {name:?} is no dataset, such as linux.auth"),
            format!("dataset: {name:?} はデータセットの名前ではありません（例: linux.auth）"),
        ));
    }
    Ok(name.into())
}

fn zone_name(name: &str) -> Result<TimeZone, Words> {
    TimeZone::get(name).map_err(|_| {
        Words::new(
            format!("zone: {name:?} is no IANA zone such as Asia/Tokyo or UTC"),
            format!("zone: {name:?} は IANA のタイムゾーン名ではありません（例: Asia/Tokyo、UTC）"),
        )
    })
}

impl TryFrom<SourceText> for SourceSetting {
    type Error = Words;

    /// The error names the setting by its conditions: a file may have many, and the place that a
    /// TOML reader gives is that of the first.
    fn try_from(text: SourceText) -> Result<Self, Words> {
        let conditions = text.conditions();
        SourceSetting::understood(text).map_err(|error| match conditions.as_str() {
            "" => error,
            _ => Words::new(
                format!("the [[source]] with {conditions}: {}", error.en()),
                format!("{conditions} の [[source]]: {}", error.ja()),
            ),
        })
    }
}

impl SourceText {
    /// `host = "fw*", program = "named"`.
    fn conditions(&self) -> String {
        let conditions = [
            ("stream", &self.stream),
            ("transport", &self.transport),
            ("peer", &self.peer),
            ("file", &self.file),
            ("host", &self.host),
            ("program", &self.program),
        ];
        let said = conditions
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key} = {value:?}")));
        said.collect::<Vec<_>>().join(", ")
    }
}

impl SourceSetting {
    fn understood(text: SourceText) -> Result<Self, Words> {
        let pattern = |key: &str, value: &Option<String>| match value {
            Some(value) if value.is_empty() || value.len() > SOURCE_PATTERN_BYTES_MAX => {
                Err(Words::new(
                    format!("{key}: must have 1 to {SOURCE_PATTERN_BYTES_MAX} bytes"),
                    format!("{key}: 1～{SOURCE_PATTERN_BYTES_MAX}バイトで指定してください"),
                ))
            }
            value => Ok(value.as_deref().map(Pattern::new)),
        };
        let matcher = Matcher {
            stream: pattern("stream", &text.stream)?,
            transport: text
                .transport
                .as_deref()
                .map(|word| word.parse::<Transport>().map_err(|_| no_transport(word)))
                .transpose()?,
            peer: text.peer.as_deref().map(Network::parse).transpose()?,
            file: pattern("file", &text.file)?,
            host: pattern("host", &text.host)?,
            program: pattern("program", &text.program)?,
        };
        let reading = Reading::parse(
            text.dataset.as_deref(),
            text.zone.as_deref(),
            text.encoding.as_deref(),
        )?;
        if matcher == Matcher::default() {
            return Err(Words::new(
                "a [[source]] needs one of stream, transport, peer, file, host, program to say \
                 which records it is about",
                "どの記録についての [[source]] かを、stream、transport、peer、file、host、program の\
                 どれかで指定してください",
            ));
        }
        if reading == Reading::default() {
            return Err(Words::new(
                "a [[source]] needs one of dataset, zone, encoding to say how to read it",
                "[[source]] の読み方を、dataset、zone、encoding のどれかで指定してください",
            ));
        }
        Ok(SourceSetting { text, matcher, reading })
    }
}

fn no_transport(word: &str) -> Words {
    Words::new(
        format!(
            "transport: unknown transport {word:?}: use syslog-udp, syslog-tcp, http-ingest, \
             elastic-bulk or file"
        ),
        format!(
            "transport: {word:?} はありません。syslog-udp、syslog-tcp、http-ingest、elastic-bulk、file の\
             どれかを指定してください"
        ),
    )
}

impl From<SourceSetting> for SourceText {
    fn from(setting: SourceSetting) -> SourceText {
        setting.text
    }
}

impl SourceSetting {
    /// As it stood in the file.
    pub fn text(&self) -> &SourceText {
        &self.text
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Matcher {
    stream: Option<Pattern>,
    transport: Option<Transport>,
    peer: Option<Network>,
    file: Option<Pattern>,
    host: Option<Pattern>,
    program: Option<Pattern>,
}

impl Matcher {
    /// Whether what is known before reading fits.
    fn fits(&self, origin: &Origin<'_>) -> bool {
        self.stream.as_ref().is_none_or(|pattern| pattern.fits(origin.stream.as_str()))
            && self.transport.is_none_or(|transport| transport == origin.transport)
            && self.peer.as_ref().is_none_or(|network| network.has(origin.peer))
            && self.file.as_ref().is_none_or(|pattern| {
                origin.transport == Transport::File && pattern.fits(origin.peer)
            })
    }

    fn asks_for_claims(&self) -> bool {
        self.host.is_some() || self.program.is_some()
    }

    /// Whether what the record claims fits.
    fn fits_claims(&self, claims: Claims<'_>) -> bool {
        let fits = |pattern: &Option<Pattern>, value: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| value.is_some_and(|value| pattern.fits(value)))
        };
        fits(&self.host, claims.host) && fits(&self.program, claims.program)
    }
}

/// What a record says about itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) program: Option<&'a str>,
}

/// Text with `*` for any characters; case does not matter.
#[derive(Debug, Clone, PartialEq)]
struct Pattern(Box<[u8]>);

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern(text.to_ascii_lowercase().into_bytes().into())
    }

    /// Steps back to the last `*` only, so a text costs at most its length times the pattern's.
    fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (&self.0, text.as_bytes());
        let (mut at, mut in_pattern) = (0, 0);
        let mut star = None;
        while let Some(byte) = text.get(at) {
            match pattern.get(in_pattern) {
                Some(b'*') => {
                    star = Some((in_pattern, at));
                    in_pattern += 1;
                }
                Some(expected) if *expected == byte.to_ascii_lowercase() => {
                    at += 1;
                    in_pattern += 1;
                }
                _ => {
                    let Some((place, from)) = star else { return false };
                    star = Some((place, from + 1));
                    at = from + 1;
                    in_pattern = place + 1;
                }
            }
        }
        pattern.get(in_pattern..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

/// An address, or all that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Network, Words> {
        let wrong = || {
            Words::new(
                format!(
                    "peer: {text:?} is no address and no network such as 192.0.2.0/24 or \
                     2001:db8::/32"
                ),
                format!(
                    "peer: {text:?} はアドレスでもネットワークでもありません（例: 192.0.2.0/24、\
                     2001:db8::/32）"
                ),
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= all).ok_or_else(wrong)?,
        };
        Ok(Network { address, bits })
    }

    fn has(&self, peer: &str) -> bool {
        let Some(peer) = peer_address(peer) else { return false };
        match (self.address, peer) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (ours.to_bits() ^ theirs.to_bits()) & mask == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (ours.to_bits() ^ theirs.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// The address in `192.0.2.1:514`, `[2001:db8::1]:514` or without a port; an IPv4 address that came
/// over IPv6 is itself. `None` for the path of a file.
fn peer_address(peer: &str) -> Option<IpAddr> {
    let address = match peer.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?.parse().ok()?,
        None => match peer.parse() {
            Ok(address) => address,
            Err(_) => peer.rsplit_once(':')?.0.parse().ok()?,
        },
    };
    match address {
        IpAddr::V6(address) => {
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        address => Some(address),
    }
}

/// The settings in force, shared by everyone who reads. Changing them holds for what is read next.
#[derive(Debug, Default)]
pub struct SourceBook {
    version: AtomicU64,
    settings: RwLock<Arc<Settings>>,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    sources: Vec<SourceSetting>,
    streams: HashMap<StreamName, Reading>,
}

impl SourceBook {
    /// Takes other settings into use, at most [`SOURCE_SETTINGS_MAX`]; further ones are left out.
    pub fn set_sources(&self, sources: Vec<SourceSetting>) {
        self.change(|settings| {
            settings.sources = sources;
            settings.sources.truncate(SOURCE_SETTINGS_MAX);
        });
    }

    /// Says how a single stream is to be read, before all other settings.
    pub fn set_stream(&self, stream: StreamName, reading: Reading) {
        self.change(|settings| {
            settings.streams.insert(stream, reading);
        });
    }

    /// What was said of a single stream.
    pub fn stream(&self, stream: &StreamName) -> Option<Reading> {
        self.settings().streams.get(stream).cloned()
    }

    /// What is fixed for records of `origin` that claim to come from `host`.
    pub fn reading_of(&self, origin: &Origin<'_>, host: Option<&str>) -> Reading {
        self.settings().reading(origin, Claims { host, program: None })
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut settings));
        self.version.fetch_add(1, Ordering::Release);
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One reader's view of the settings: what was found for the newest origin is remembered, since
/// records of one origin come together.
#[derive(Debug, Default)]
pub(crate) struct SourceView {
    version: u64,
    settings: Arc<Settings>,
    origin: Option<(StreamName, Transport, Box<str>)>,
    /// Of that origin, without claims.
    reading: Arc<Reading>,
    /// Whether claims may change it.
    asks_for_claims: bool,
    by_claims: HashMap<(Box<str>, Box<str>), Arc<Reading>>,
}

impl SourceView {
    /// What is fixed for records of `origin`; `None` when nothing is. The second answer says
    /// whether [`SourceView::with_claims`] may say something else.
    pub(crate) fn of(
        &mut self,
        book: &SourceBook,
        origin: &Origin<'_>,
    ) -> (Option<Arc<Reading>>, bool) {
        let version = book.version.load(Ordering::Acquire);
        if version == 0 {
            return (None, false);
        }
        if version != self.version {
            self.version = version;
            self.settings = book.settings();
            self.origin = None;
        }
        let same = self.origin.as_ref().is_some_and(|(stream, transport, peer)| {
            **peer == *origin.peer && *transport == origin.transport && stream == origin.stream
        });
        if !same {
            self.origin = Some((origin.stream.clone(), origin.transport, origin.peer.into()));
            self.by_claims.clear();
            self.reading = Arc::new(self.settings.reading(origin, Claims::default()));
            let sources = &self.settings.sources;
            self.asks_for_claims = sources
                .iter()
                .any(|source| source.matcher.asks_for_claims() && source.matcher.fits(origin));
        }
        (Some(self.reading.clone()), self.asks_for_claims)
    }

    /// What is fixed for records of the same origin with these claims.
    pub(crate) fn with_claims(&mut self, origin: &Origin<'_>, claims: Claims<'_>) -> Arc<Reading> {
        let key = (claims.host.unwrap_or("").into(), claims.program.unwrap_or("").into());
        if let Some(reading) = self.by_claims.get(&key) {
            return reading.clone();
        }
        if self.by_claims.len() >= SOURCE_NAMES_REMEMBERED_MAX {
            self.by_claims.clear();
        }
        let mut reading = Arc::new(self.settings.reading(origin, claims));
        if reading == self.reading {
            reading = self.reading.clone();
        }
        self.by_claims.insert(key, reading.clone());
        reading
    }
}

impl Settings {
    fn reading(&self, origin: &Origin<'_>, claims: Claims<'_>) -> Reading {
        let mut reading = self.streams.get(origin.stream).cloned().unwrap_or_default();
        for source in &self.sources {
            if source.matcher.fits(origin) && source.matcher.fits_claims(claims) {
                reading.complete_with(&source.reading);
            }
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_event::UtcMicros;

    fn setting(text: &str) -> Result<SourceSetting, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    fn origin<'a>(stream: &'a StreamName, transport: Transport, peer: &'a str) -> Origin<'a> {
        Origin {
            stream,
            batch: 1,
            index: 0,
            batch_salt: &[0; 32],
            received: UtcMicros::default(),
            transport,
            peer,
            identity: "none",
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_remedy() {
        for (text, said) in [
            ("zone = 'UTC'", "needs one of stream"),
            ("host = 'fw*'", "needs one of dataset"),
            ("host = ''\nzone = 'UTC'", "host: must have"),
            (
                "host = 'a'\nprogram = 'b'\nzone = 'Mars'",
                "the [[source]] with host = \"a\", program = \"b\": zone: \"Mars\" is no IANA zone",
            ),
            ("host = 'a'\nencoding = 'utf-17'", "write utf-8"),
            ("host = 'a'\ndataset = 'A b'", "is no dataset"),
            ("peer = '192.0.2.0/33'\nzone = 'UTC'", "such as 192.0.2.0/24"),
            ("transport = 'pigeon'\nzone = 'UTC'", "pigeon"),
            ("hots = 'a'\nzone = 'UTC'", "hots"),
        ] {
            let error = setting(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let long = "x".repeat(SOURCE_PATTERN_BYTES_MAX);
        assert!(setting(&format!("host = '{long}'\nzone = 'UTC'")).is_ok());
        assert!(setting(&format!("host = '{long}x'\nzone = 'UTC'")).is_err());
        let kept = setting("host = 'fw*'\nzone = 'Asia/Tokyo'").unwrap();
        let again: SourceSetting = toml::from_str(&toml::to_string(&kept).unwrap()).unwrap();
        assert_eq!(again, kept);
    }

    #[test]
    fn patterns_and_networks() {
        for (pattern, text, fits) in [
            ("fw*", "FW01", true),
            ("fw*", "afw", false),
            ("*/access*.log", "/var/log/apache/access_ssl.log", true),
            ("*/access*.log", "/var/log/apache/access_ssl.log.1", false),
            ("**", "", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
        for (network, peer, has) in [
            ("192.0.2.0/24", "192.0.2.200:514", true),
            ("192.0.2.0/24", "192.0.3.1:514", false),
            ("192.0.2.7", "192.0.2.7:1", true),
            ("192.0.2.7", "[::ffff:192.0.2.7]:1", true),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("2001:db8::/32", "[2001:db8:1::5]:514", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "/var/log/messages", false),
        ] {
            assert_eq!(Network::parse(network).unwrap().has(peer), has, "{network} {peer}");
        }
    }

    #[test]
    fn the_first_setting_that_has_a_value_gives_it() {
        let book = SourceBook::default();
        let stream = StreamName::new("syslog").unwrap();
        let udp = origin(&stream, Transport::SyslogUdp, "192.0.2.9:514");
        let mut view = SourceView::default();
        assert_eq!(view.of(&book, &udp), (None, false));
        book.set_sources(vec![
            setting("host = 'fw*'\nzone = 'Asia/Tokyo'").unwrap(),
            setting("peer = '192.0.2.0/24'\nzone = 'Europe/Berlin'\nencoding = 'cp932'").unwrap(),
            setting("transport = 'file'\nzone = 'UTC'").unwrap(),
        ]);
        let zone = |reading: &Reading| {
            reading.zone.as_ref().and_then(|zone| zone.iana_name().map(str::to_owned))
        };
        let (reading, asks) = view.of(&book, &udp);
        let reading = reading.unwrap();
        assert!(asks);
        assert_eq!(zone(&reading).as_deref(), Some("Europe/Berlin"));
        let firewall = Claims { host: Some("FW01"), program: None };
        let told = view.with_claims(&udp, firewall);
        assert_eq!(zone(&told).as_deref(), Some("Asia/Tokyo"));
        assert_eq!(told.encoding.map(TextEncoding::name), Some("cp932"));
        let other = view.with_claims(&udp, Claims { host: Some("db1"), program: Some("x") });
        assert!(Arc::ptr_eq(&other, &reading));
        // What was said of the stream itself comes first.
        book.set_stream(stream.clone(), Reading::parse(None, Some("UTC"), None).unwrap());
        let (reading, _) = view.of(&book, &udp);
        assert_eq!(zone(&reading.unwrap()).as_deref(), Some("UTC"));
        // Remembered names are bounded.
        for number in 0..=SOURCE_NAMES_REMEMBERED_MAX {
            let host = format!("h{number}");
            view.with_claims(&udp, Claims { host: Some(&host), program: None });
        }
        assert!(view.by_claims.len() <= SOURCE_NAMES_REMEMBERED_MAX);
    }

    #[test]
    fn settings_are_bounded() {
        let book = SourceBook::default();
        let one = setting("host = 'a'\nzone = 'UTC'").unwrap();
        book.set_sources(vec![one.clone(); SOURCE_SETTINGS_MAX]);
        assert_eq!(book.settings().sources.len(), SOURCE_SETTINGS_MAX);
        book.set_sources(vec![one; SOURCE_SETTINGS_MAX + 1]);
        assert_eq!(book.settings().sources.len(), SOURCE_SETTINGS_MAX);
    }
}
