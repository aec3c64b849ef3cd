//! The one configuration file. Every key has a default; unknown keys are errors.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use yagura_desk::RiskOptions;
use yagura_detect::CorrelatorOptions;
use yagura_event::{Lang, Level};
use yagura_normalize::limits::SOURCE_SETTINGS_MAX;
use yagura_normalize::{Normalizer, SourceSetting};

/// Everything `yagura serve` can be told, as it stands in the TOML file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Language of messages: `ja` or `en`.
    pub lang: Lang,
    /// The page and the HTTP API.
    pub http: Http,
    /// Syslog listeners.
    pub syslog: Syslog,
    /// Detection rules.
    pub rules: Rules,
    /// How source times without a zone are read.
    pub time: Time,
    /// Mappings, patterns and sentences of the user.
    pub content: Content,
    /// What events are enriched with: databases, networks, inventories.
    pub enrich: yagura_enrich::Settings,
    /// The durable record log.
    pub journal: JournalSection,
    /// The table of events.
    pub lake: LakeSection,
    /// Correlations.
    pub correlations: Correlations,
    /// Alerts.
    pub alerts: Alerts,
    /// Where alerts are sent, if anywhere.
    pub webhook: Option<WebhookSection>,
    /// How single sources are read; of several that match, the first that has a value gives it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceSetting>,
}

/// The page and the HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address to listen on. Only loopback until an administrator can exist.
    pub listen: SocketAddr,
    /// Most connections at once (1 to 1,000,000); past it, whoever has been without a request for
    /// longest gives way.
    pub connections_max: usize,
    /// Seconds without a request after which a connection is closed (1 to 86,400).
    pub idle_timeout_s: u64,
    /// Seconds in which the head of a request must be there, and its body beyond one second for each
    /// KiB of it (1 to 3600).
    pub request_timeout_s: u64,
}

/// Syslog listeners; an empty list switches a transport off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Syslog {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// Longest message in bytes (1 to 1,048,576); longer ones are cut here and marked.
    pub message_bytes_max: usize,
    /// Most TCP connections at once.
    pub connections_max: usize,
    /// Seconds of silence after which a TCP connection is closed; long, because a sender may lose the
    /// line it writes into a connection that was closed.
    pub idle_timeout_s: u64,
}

/// Detection rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Whether our own rules are loaded.
    pub builtin: bool,
    /// Directories of further Sigma rules, read recursively.
    pub dirs: Vec<PathBuf>,
    /// Values for the placeholders of rules: TOML files of `name = [values]`, or directories of those
    /// and of `name.txt` with one value a line.
    pub lists: Vec<PathBuf>,
    /// Processing pipelines (pySigma's YAML), or directories of them.
    pub pipelines: Vec<PathBuf>,
    /// IANA zone in which rules take `hour`, `day`, `week` and the like, such as `Asia/Tokyo`.
    pub time_zone: String,
}

/// Mappings, patterns and sentences of the user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Content {
    /// Directories (or files) of TOML files, read recursively, over the built-in content.
    pub dirs: Vec<PathBuf>,
}

/// How source times without a zone are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Time {
    /// IANA zone of sources that do not say theirs, such as `Asia/Tokyo`.
    pub source_zone: String,
}

/// The durable record log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSection {
    /// Bytes that may wait for the disk before senders are told to slow down, in MiB (1 to 4096).
    pub queue_mib: usize,
    /// Seconds between signed checkpoints while there is something new (1 to 3600).
    pub checkpoint_interval_s: u64,
    /// Seconds between heartbeat batches of silent streams (10 to 86400).
    pub heartbeat_interval_s: u64,
}

/// The table of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeSection {
    /// Memory for events not yet written to the table, in MiB (16 to 65536).
    pub hot_mib: usize,
    /// Seconds after which sealed batches are written to the table, if memory does not call for it
    /// before (1 to 3600).
    pub flush_interval_s: u64,
}

/// Correlations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Correlations {
    /// Memory for what correlations count, in MiB (16 to 65,536). While there are several, one alone may
    /// have half of it. Past it further events are not counted, which is said.
    pub state_mib: usize,
    /// Seconds that an event may come after newer ones of its group and still be counted (0 to
    /// 604,800).
    pub allowance_s: u32,
}

/// Alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Lowest level that raises an alert; matches below are counted only.
    pub min_level: Level,
    /// Hours during which further matches of one rule on one entity extend an open alert.
    pub group_window_h: u64,
    /// Hours in which an alert loses half its weight in the risk of its host, user and address.
    pub risk_half_life_h: u64,
    /// Different attack phases on one entity that raise an alert of their own (2 to 4).
    pub chain_phases: usize,
    /// Hours within which they must lie.
    pub chain_window_h: u64,
    /// Phases that are enough when they follow each other quickly, one of them of level high (2 to 4).
    pub quick_chain_phases: usize,
    /// Minutes that count as quickly.
    pub quick_chain_window_min: u64,
}

impl Alerts {
    /// How risk fades and when phases make a chain.
    pub fn risk(&self) -> Result<RiskOptions> {
        const MINUTE_MICROS: u64 = 60 * 1_000_000;
        let micros = |minutes: u64| i64::try_from(minutes.saturating_mul(MINUTE_MICROS));
        Ok(RiskOptions {
            half_life_micros: micros(self.risk_half_life_h * 60)?,
            chain_phases: self.chain_phases,
            chain_window_micros: micros(self.chain_window_h * 60)?,
            quick_chain_phases: self.quick_chain_phases,
            quick_chain_window_micros: micros(self.quick_chain_window_min)?,
        })
    }
}

/// Where alerts are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// `https://` or `http://` address that takes a POST.
    pub url: String,
    /// File with the shared secret of the signature; the secret itself never stands in this file.
    pub secret_file: PathBuf,
    /// Lowest level that is sent.
    #[serde(default = "webhook_level")]
    pub min_level: Level,
    /// Whether private and loopback addresses may be called.
    #[serde(default)]
    pub allow_private: bool,
}

fn webhook_level() -> Level {
    Level::High
}

impl Default for Http {
    fn default() -> Self {
        let serve = yagura_api::ServeOptions::default();
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8440)),
            connections_max: serve.connections_max,
            idle_timeout_s: serve.idle_timeout.as_secs(),
            request_timeout_s: serve.request_timeout.as_secs(),
        }
    }
}

impl Default for Syslog {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 5514));
        Syslog {
            udp: vec![listen],
            tcp: vec![listen],
            message_bytes_max: 64 * 1024,
            connections_max: 12_000,
            idle_timeout_s: 14_400,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            builtin: true,
            dirs: Vec::new(),
            lists: Vec::new(),
            pipelines: Vec::new(),
            time_zone: "UTC".to_owned(),
        }
    }
}

impl Default for Time {
    fn default() -> Self {
        Time { source_zone: "UTC".to_owned() }
    }
}

impl Default for JournalSection {
    fn default() -> Self {
        JournalSection { queue_mib: 64, checkpoint_interval_s: 10, heartbeat_interval_s: 300 }
    }
}

impl Default for LakeSection {
    fn default() -> Self {
        LakeSection { hot_mib: 256, flush_interval_s: 300 }
    }
}

impl Default for Correlations {
    fn default() -> Self {
        Correlations { state_mib: 256, allowance_s: 600 }
    }
}

impl Correlations {
    /// The same, as the correlator takes it.
    pub fn options(&self) -> CorrelatorOptions {
        CorrelatorOptions {
            allowance_micros: Some(i64::from(self.allowance_s) * 1_000_000),
            state_bytes_max: self.state_mib * 1024 * 1024,
        }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Alerts {
            min_level: Level::Medium,
            group_window_h: 24,
            risk_half_life_h: 24,
            chain_phases: 3,
            chain_window_h: 72,
            quick_chain_phases: 2,
            quick_chain_window_min: 60,
        }
    }
}

impl Config {
    /// Reads and checks the file at `path`, or takes the defaults.
    pub fn load(path: Option<&Path>) -> Result<Config> {
        Config::load_in(path, None)
    }

    /// Like [`Config::load`], for a person who asked for a language.
    pub fn load_in(path: Option<&Path>, asked: Option<Lang>) -> Result<Config> {
        let Some(path) = path else {
            let lang = asked.unwrap_or_default();
            return Ok(Config { lang, ..Config::default() });
        };
        let lang = asked.unwrap_or_default();
        let text = std::fs::read_to_string(path).with_context(|| match lang {
            Lang::En => format!("cannot read the configuration file {}", path.display()),
            Lang::Ja => format!("設定ファイル {} を読み取れません", path.display()),
        })?;
        let mut config: Config = toml::from_str(&text).with_context(|| wrong(path, lang))?;
        config.lang = asked.unwrap_or(config.lang);
        config.check().with_context(|| wrong(path, config.lang))?;
        Ok(config)
    }

    /// Refuses values out of their range, naming the key and the remedy.
    pub fn check(&self) -> Result<()> {
        in_range("syslog.message_bytes_max", self.syslog.message_bytes_max, 1, 1024 * 1024)?;
        in_range("syslog.connections_max", self.syslog.connections_max, 1, 1_000_000)?;
        in_range("syslog.idle_timeout_s", self.syslog.idle_timeout_s, 1, 86_400)?;
        in_range("http.connections_max", self.http.connections_max, 1, 1_000_000)?;
        in_range("http.idle_timeout_s", self.http.idle_timeout_s, 1, 86_400)?;
        in_range("http.request_timeout_s", self.http.request_timeout_s, 1, 3600)?;
        in_range("journal.queue_mib", self.journal.queue_mib, 1, 4096)?;
        in_range("journal.checkpoint_interval_s", self.journal.checkpoint_interval_s, 1, 3600)?;
        in_range("journal.heartbeat_interval_s", self.journal.heartbeat_interval_s, 10, 86_400)?;
        in_range("lake.hot_mib", self.lake.hot_mib, 16, 65_536)?;
        in_range("lake.flush_interval_s", self.lake.flush_interval_s, 1, 3600)?;
        in_range("correlations.state_mib", self.correlations.state_mib, 16, 65_536)?;
        in_range("correlations.allowance_s", self.correlations.allowance_s, 0, 604_800)?;
        in_range("alerts.group_window_h", self.alerts.group_window_h, 1, 8_760)?;
        in_range("alerts.risk_half_life_h", self.alerts.risk_half_life_h, 1, 8_760)?;
        in_range("alerts.chain_phases", self.alerts.chain_phases, 2, 4)?;
        in_range("alerts.chain_window_h", self.alerts.chain_window_h, 1, 8_760)?;
        in_range("alerts.quick_chain_phases", self.alerts.quick_chain_phases, 2, 4)?;
        in_range("alerts.quick_chain_window_min", self.alerts.quick_chain_window_min, 1, 10_080)?;
        self.zone()?;
        self.rule_zone()?;
        self.check_sources()?;
        yagura_enrich::Enrichment::check(&self.enrichment()).map_err(|error| self.said(&error))?;
        for (key, paths) in [("lists", &self.rules.lists), ("pipelines", &self.rules.pipelines)] {
            if let Some(path) = paths.iter().find(|path| !matches!(path.try_exists(), Ok(true))) {
                bail!("rules.{key}: there is no {}", path.display());
            }
        }
        for dir in &self.content.dirs {
            if !matches!(dir.try_exists(), Ok(true)) {
                bail!("content.dirs: there is no {}", dir.display());
            }
        }
        for dir in &self.rules.dirs {
            if !dir.is_dir() {
                bail!("rules.dirs: {} is not a directory", dir.display());
            }
        }
        if let Some(webhook) = &self.webhook {
            let scheme = webhook.url.split_once("://").map(|(scheme, _)| scheme);
            if !matches!(scheme, Some("http" | "https")) {
                bail!("webhook.url: {:?} must begin with https:// or http://", webhook.url);
            }
        }
        for address in self.listen_addresses() {
            refuse_open_address(address)?;
        }
        Ok(())
    }

    /// The zone of `rules.time_zone`.
    pub fn rule_zone(&self) -> Result<jiff::tz::TimeZone> {
        let name = &self.rules.time_zone;
        jiff::tz::TimeZone::get(name).with_context(|| {
            format!("rules.time_zone: {name:?} is not an IANA zone such as Asia/Tokyo or UTC")
        })
    }

    /// The zone of `time.source_zone`.
    pub fn zone(&self) -> Result<jiff::tz::TimeZone> {
        let name = &self.time.source_zone;
        jiff::tz::TimeZone::get(name).with_context(|| {
            format!("time.source_zone: {name:?} is not an IANA zone such as Asia/Tokyo or UTC")
        })
    }

    /// `[enrich]`, with the language of names that it leaves open.
    pub fn enrichment(&self) -> yagura_enrich::Settings {
        let mut settings = self.enrich.clone();
        // Nothing is said of names where there are none, so that nothing is recorded of them.
        if settings.geo != yagura_enrich::GeoSettings::default() {
            settings.geo.names.get_or_insert(self.lang);
        }
        settings
    }

    /// Reads every database and inventory that `[enrich]` names, as `yagura serve` will. Answers what
    /// is worth knowing of them.
    pub fn check_enrichment(&self) -> Result<Vec<String>> {
        let enrichment = yagura_enrich::Enrichment::load(&self.enrichment());
        let enrichment = enrichment.map_err(|error| self.said(&error))?;
        let mut notes = Vec::new();
        if enrichment.geo().is_empty() {
            notes.push(yagura_enrich::no_geo(self.lang).to_owned());
        }
        for kind in [yagura_enrich::Kind::Users, yagura_enrich::Kind::Assets] {
            let ignored = enrichment.inventory(kind).map(|list| list.ignored().join(", "));
            if let Some(columns) = ignored.filter(|columns| !columns.is_empty()) {
                let kind = kind.as_str();
                notes.push(match self.lang {
                    Lang::En => format!("enrich.inventory.{kind}: columns passed over: {columns}"),
                    Lang::Ja => format!("enrich.inventory.{kind}: 使わない列: {columns}"),
                });
            }
        }
        Ok(notes)
    }

    fn said(&self, error: &yagura_enrich::EnrichError) -> anyhow::Error {
        anyhow::anyhow!(error.text(self.lang))
    }

    /// Everything else of a `[[source]]` was checked when its line was read.
    fn check_sources(&self) -> Result<()> {
        if self.source.len() > SOURCE_SETTINGS_MAX {
            bail!("source: {} settings are more than {SOURCE_SETTINGS_MAX}", self.source.len());
        }
        let named: Vec<_> = (1..)
            .zip(&self.source)
            .filter_map(|(number, source)| Some((number, source.text().dataset.as_deref()?)))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let normalizer = Normalizer::new(Normalizer::embedded_dictionary())?;
        for (number, dataset) in named {
            if !normalizer.has_dataset(dataset) {
                let near = normalizer.nearest_dataset(dataset);
                bail!(
                    "[[source]] number {number}: dataset: there is no {dataset:?}; is it {near:?}?"
                );
            }
        }
        Ok(())
    }

    fn listen_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let syslog = self.syslog.udp.iter().chain(&self.syslog.tcp).copied();
        syslog.chain([self.http.listen])
    }
}

/// What a fault of the configuration is told under.
pub fn wrong(path: &Path, lang: Lang) -> String {
    match lang {
        Lang::En => format!("the configuration file {} is wrong", path.display()),
        Lang::Ja => format!("設定ファイル {} に誤りがあります", path.display()),
    }
}

/// Until an administrator can exist, nothing beyond this machine may reach us.
fn refuse_open_address(address: SocketAddr) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    bail!(
        "refusing to listen on {address}: Yagura has no administrator yet, so anyone who reaches \
         that address could read and write logs. Listen on 127.0.0.1 or [::1] and let a local \
         forwarder (rsyslog, stunnel, an SSH tunnel) bring remote logs here"
    )
}

fn in_range<T: PartialOrd + std::fmt::Display>(key: &str, value: T, min: T, max: T) -> Result<()> {
    if value < min || value > max {
        bail!("{key}: {value} is out of range ({min} to {max})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("yagura.toml");
        std::fs::write(&path, text)?;
        Config::load(Some(&path))
    }

    #[test]
    fn the_defaults_survive_a_round_trip_and_pass_their_own_check() {
        let defaults = Config::default();
        defaults.check().unwrap();
        assert_eq!(read(&toml::to_string(&defaults).unwrap()).unwrap(), defaults);
    }

    #[test]
    fn unknown_keys_and_wrong_values_name_their_place() {
        for (text, place) in [
            ("[htpp]\nlisten = '127.0.0.1:1'\n", "htpp"),
            ("[http]\nlisten = 'everywhere'\n", "line 2"),
            ("[lake]\nhot_mib = 1\n", "lake.hot_mib: 1 is out of range (16 to 65536)"),
            (
                "[correlations]\nstate_mib = 15\n",
                "correlations.state_mib: 15 is out of range (16 to 65536)",
            ),
            ("[correlations]\nstate_mib = 65537\n", "correlations.state_mib"),
            ("[correlations]\nallowance_s = 604801\n", "correlations.allowance_s"),
            ("[time]\nsource_zone = 'Mars/Olympus'\n", "time.source_zone"),
            ("[rules]\ndirs = ['/nonexistent']\n", "/nonexistent is not a directory"),
            ("[rules]\nlists = ['/nonexistent']\n", "rules.lists: there is no /nonexistent"),
            ("[rules]\ntime_zone = 'Mars/Olympus'\n", "rules.time_zone"),
            (
                "[[source]]\nhost = 'a'\nzone = 'UTC'\n\n[[source]]\nhost = 'b'\nzone = 'Mars'\n",
                "the [[source]] with host = \"b\": zone: \"Mars\"",
            ),
            ("[[source]]\nhost = 'b'\nzone = 'Mars'\n", "zone: \"Mars\" is no IANA zone"),
            ("[[source]]\nhost = 'b'\nencoding = 'utf-17'\n", "write utf-8"),
            ("[[source]]\nhots = 'b'\nzone = 'UTC'\n", "line 2"),
            ("[[source]]\nhost='b'\ndataset='linux.auht'\n", "is it \"linux.auth\"?"),
            ("[webhook]\nurl='ftp://x'\nsecret_file='s'\n", "webhook.url"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(place), "{text} gave {error}");
        }
    }

    #[test]
    fn a_fault_is_told_in_the_language_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("yagura.toml");
        let told = |lang| format!("{:#}", Config::load_in(Some(&path), Some(lang)).unwrap_err());
        assert!(told(Lang::Ja).contains("を読み取れません"), "{}", told(Lang::Ja));
        std::fs::write(&path, "[lake]\nhot_mib = 1\n").unwrap();
        assert!(told(Lang::Ja).contains("に誤りがあります"), "{}", told(Lang::Ja));
        assert!(told(Lang::En).contains("is wrong"), "{}", told(Lang::En));
    }

    #[test]
    fn what_correlations_may_keep_is_as_configured() {
        assert_eq!(Config::default().correlations.options(), CorrelatorOptions::default());
        let config = read("[correlations]\nstate_mib = 16\nallowance_s = 604800\n").unwrap();
        let options = crate::backend::node_options(&config).unwrap().correlations;
        assert_eq!(options.state_bytes_max, 16 << 20);
        assert_eq!(options.allowance_micros, Some(604_800_000_000));
        read("[correlations]\nstate_mib = 65536\nallowance_s = 0\n").unwrap();
    }

    #[test]
    fn settings_of_sources_are_read_and_shown_again() {
        let text = "[[source]]\npeer = '192.0.2.0/24'\nzone = 'Asia/Tokyo'\n\n\
                    [[source]]\nhost = 'old*'\nencoding = 'cp932'\ndataset = 'linux.auth'\n";
        let config = read(text).unwrap();
        assert_eq!(config.source.len(), 2);
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for open in ["0.0.0.0:8440", "192.168.1.5:8440", "[::]:8440"] {
            let error = read(&format!("[http]\nlisten = '{open}'\n")).unwrap_err();
            assert!(format!("{error:#}").contains("administrator"), "{open}");
            let error = read(&format!("[syslog]\nudp = ['{open}']\n")).unwrap_err();
            assert!(format!("{error:#}").contains("administrator"), "{open}");
        }
        read("[http]\nlisten = '[::1]:8440'\n").unwrap();
    }
}
