//! The one configuration file. Every key has a default; unknown keys are errors.

use crate::told::{either, in_lang};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use yagura_desk::{RiskOptions, Webhook, WebhookSecret};
use yagura_detect::CorrelatorOptions;
use yagura_event::{Lang, Level, Words};
use yagura_node::{AccessKey, ColdSettings, TierOptions};
use yagura_normalize::limits::SOURCE_SETTINGS_MAX;
use yagura_normalize::{Normalizer, SourceSetting, SourceText};

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
    /// How long what is kept.
    pub retention: yagura_node::RetentionSettings,
    /// Correlations.
    pub correlations: Correlations,
    /// Alerts.
    pub alerts: Alerts,
    /// Where alerts are sent, if anywhere.
    pub webhook: Option<WebhookSection>,
    /// Other systems that events are sent to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forward: Vec<yagura_forward::Settings>,
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
    /// Whether the server compacts the table by itself, while intake leaves it time.
    pub compact: bool,
    /// Files of a dataset and day that make it due while the day goes on (2 to 1000); when the day is
    /// over, it is due whatever it has.
    pub compact_files_min: usize,
    /// Streams of which compacted files keep received bytes and messages as they are; `*` for all.
    pub keep_raw: Vec<String>,
    /// Where old files go, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdSection>,
}

/// A second place for old files of the table: an S3 bucket or another directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdSection {
    /// `s3://bucket/prefix` or `file:///directory`, which this data directory has for itself.
    pub url: String,
    /// Address of the S3 server; that of AWS where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the bucket; what `AWS_REGION` says where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether a server that is not this machine may be asked without TLS.
    #[serde(default)]
    pub allow_http: bool,
    /// Seconds for one request (1 to 300).
    #[serde(default = "cold_timeout_s")]
    pub timeout_s: u64,
    /// Days after which files go there, where no policy keeps them longer (1 to 36,500).
    #[serde(default = "cold_after_days")]
    pub after_days: u32,
    /// The account; what `AWS_ACCESS_KEY_ID` says where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// File with its secret, which never stands in this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// Longest file with the secret of an account, in bytes.
const SECRET_BYTES_MAX: u64 = 1_024;

fn cold_timeout_s() -> u64 {
    ColdSettings::new(String::new()).timeout_s
}

fn cold_after_days() -> u32 {
    90
}

impl ColdSection {
    /// As the node takes it, without the account.
    pub fn options(&self) -> TierOptions {
        let store = ColdSettings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            allow_http: self.allow_http,
            timeout_s: self.timeout_s,
            ..ColdSettings::new(self.url.clone())
        };
        TierOptions { store, after_days: self.after_days, every: None }
    }

    /// The account, where it is given.
    pub fn access_key(&self, lang: Lang) -> Result<Option<AccessKey>> {
        let (Some(id), Some(path)) = (&self.access_key_id, &self.secret_file) else {
            return Ok(None);
        };
        let secret = self.secret(path, lang).with_context(|| {
            let path = path.display();
            either(
                lang,
                format!("lake.cold.secret_file: {path}"),
                format!("lake.cold.secret_file に誤りがあります: {path}"),
            )
        });
        Ok(Some(AccessKey { id: id.clone(), secret: secret? }))
    }

    /// The file's only line.
    fn secret(&self, path: &Path, lang: Lang) -> Result<String> {
        let file = std::fs::File::open(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if file.metadata()?.permissions().mode() & 0o007 != 0 {
                return Err(in_words(
                    lang,
                    "everybody here may read it: chmod 600 it".to_owned(),
                    "誰でも読める状態です。chmod 600 にしてください".to_owned(),
                ));
            }
        }
        let mut text = String::new();
        std::io::Read::read_to_string(
            &mut std::io::Read::take(file, SECRET_BYTES_MAX + 1),
            &mut text,
        )?;
        let secret = text.trim();
        let sound = !secret.is_empty()
            && text.len() as u64 <= SECRET_BYTES_MAX
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        match sound {
            true => Ok(secret.to_owned()),
            false => Err(in_words(
                lang,
                format!(
                    "a secret is one line of at most {SECRET_BYTES_MAX} visible ASCII characters"
                ),
                format!("シークレットは見えるASCII文字で{SECRET_BYTES_MAX}文字以内の1行です"),
            )),
        }
    }
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
        LakeSection {
            hot_mib: 256,
            flush_interval_s: 300,
            compact: true,
            compact_files_min: yagura_node::CompactOptions::default().files_min,
            keep_raw: Vec::new(),
            cold: None,
        }
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
    /// Reads and checks the file at `path`, or takes the defaults. A file that cannot be understood is
    /// told in `lang`, the language of the person; its faults in that which was asked for, or else in
    /// its own.
    pub fn load(path: Option<&Path>, asked: Option<Lang>, lang: Lang) -> Result<Config> {
        let Some(path) = path else {
            let lang = asked.unwrap_or_default();
            return Ok(Config { lang, ..Config::default() });
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| {
                let path = path.display();
                either(
                    lang,
                    format!("cannot read the configuration file {path}"),
                    format!("設定ファイル {path} を読み取れません"),
                )
            })
            .map_err(|error| in_lang(error, lang))?;
        let mut config: Config =
            toml::from_str(&text).map_err(|error| not_understood(path, &text, &error, lang))?;
        config.lang = asked.unwrap_or(config.lang);
        let checked = config.check().with_context(|| wrong(path, config.lang));
        checked.map_err(|error| in_lang(error, config.lang))?;
        Ok(config)
    }

    /// Refuses values out of their range, naming the key and the remedy.
    pub fn check(&self) -> Result<()> {
        let lang = self.lang;
        let range =
            |key: &str, value: usize, min: usize, max: usize| in_range(lang, key, value, min, max);
        let span = |key: &str, value: u64, min: u64, max: u64| in_range(lang, key, value, min, max);
        range("syslog.message_bytes_max", self.syslog.message_bytes_max, 1, 1024 * 1024)?;
        range("syslog.connections_max", self.syslog.connections_max, 1, 1_000_000)?;
        span("syslog.idle_timeout_s", self.syslog.idle_timeout_s, 1, 86_400)?;
        range("http.connections_max", self.http.connections_max, 1, 1_000_000)?;
        span("http.idle_timeout_s", self.http.idle_timeout_s, 1, 86_400)?;
        span("http.request_timeout_s", self.http.request_timeout_s, 1, 3600)?;
        range("journal.queue_mib", self.journal.queue_mib, 1, 4096)?;
        span("journal.checkpoint_interval_s", self.journal.checkpoint_interval_s, 1, 3600)?;
        span("journal.heartbeat_interval_s", self.journal.heartbeat_interval_s, 10, 86_400)?;
        range("lake.hot_mib", self.lake.hot_mib, 16, 65_536)?;
        span("lake.flush_interval_s", self.lake.flush_interval_s, 1, 3600)?;
        range("lake.compact_files_min", self.lake.compact_files_min, 2, 1_000)?;
        crate::backend::keep_raw(self)?;
        crate::backend::cold(self)?;
        range("correlations.state_mib", self.correlations.state_mib, 16, 65_536)?;
        span("correlations.allowance_s", self.correlations.allowance_s.into(), 0, 604_800)?;
        span("alerts.group_window_h", self.alerts.group_window_h, 1, 8_760)?;
        span("alerts.risk_half_life_h", self.alerts.risk_half_life_h, 1, 8_760)?;
        range("alerts.chain_phases", self.alerts.chain_phases, 2, 4)?;
        span("alerts.chain_window_h", self.alerts.chain_window_h, 1, 8_760)?;
        range("alerts.quick_chain_phases", self.alerts.quick_chain_phases, 2, 4)?;
        span("alerts.quick_chain_window_min", self.alerts.quick_chain_window_min, 1, 10_080)?;
        self.zone()?;
        self.rule_zone()?;
        self.check_sources()?;
        self.retention
            .check()
            .map_err(|error| anyhow::Error::msg(error.words.text(self.lang).to_owned()))?;
        yagura_enrich::Enrichment::check(&self.enrichment()).map_err(|error| self.said(&error))?;
        for (key, paths) in [("lists", &self.rules.lists), ("pipelines", &self.rules.pipelines)] {
            if let Some(path) = paths.iter().find(|path| !matches!(path.try_exists(), Ok(true))) {
                return Err(missing(self.lang, &format!("rules.{key}"), path));
            }
        }
        for dir in &self.content.dirs {
            if !matches!(dir.try_exists(), Ok(true)) {
                return Err(missing(self.lang, "content.dirs", dir));
            }
        }
        for dir in &self.rules.dirs {
            if !dir.is_dir() {
                let dir = dir.display();
                return Err(in_words(
                    self.lang,
                    format!("rules.dirs: {dir} is not a directory"),
                    format!("rules.dirs: {dir} はディレクトリではありません"),
                ));
            }
        }
        if let Some(webhook) = &self.webhook {
            let checked = Webhook::check_address(&webhook.url, webhook.allow_private);
            checked.with_context(|| self.wrong_webhook("url"))?;
        }
        for address in self.listen_addresses() {
            refuse_open_address(self.lang, address)?;
        }
        Ok(())
    }

    /// The configuration as a file would say it, without what an address of a webhook may hold that is
    /// secret.
    pub fn shown(&self) -> Result<String> {
        let mut shown = toml::Value::try_from(self)?;
        let hide = |section: &mut toml::Value| {
            let Some(toml::Value::String(url)) = section.get_mut("url") else { return };
            let path =
                url.find("://").and_then(|at| url.get(at + 3..)?.find('/').map(|p| at + 3 + p));
            if let Some(path) = path.filter(|path| path + 1 < url.len()) {
                url.truncate(path + 1);
                url.push('…');
            }
        };
        shown.get_mut("webhook").into_iter().for_each(hide);
        let targets = shown.get_mut("forward").and_then(toml::Value::as_array_mut);
        targets.into_iter().flatten().for_each(hide);
        Ok(toml::to_string(&shown)?)
    }

    /// The zone of `rules.time_zone`.
    pub fn rule_zone(&self) -> Result<jiff::tz::TimeZone> {
        let name = &self.rules.time_zone;
        jiff::tz::TimeZone::get(name).map_err(|_| self.no_zone("rules.time_zone", name))
    }

    /// The zone of `time.source_zone`.
    pub fn zone(&self) -> Result<jiff::tz::TimeZone> {
        let name = &self.time.source_zone;
        jiff::tz::TimeZone::get(name).map_err(|_| self.no_zone("time.source_zone", name))
    }

    fn no_zone(&self, key: &str, name: &str) -> anyhow::Error {
        in_words(
            self.lang,
            format!("{key}: {name:?} is not an IANA zone such as Asia/Tokyo or UTC"),
            format!(
                "{key}: {name:?} は IANA のタイムゾーン名ではありません（例: Asia/Tokyo、UTC）"
            ),
        )
    }

    /// Whether the webhook's secret can be read, as `yagura serve` needs it. Who only reads the
    /// configuration may not be allowed to.
    pub fn check_webhook_secret(&self) -> Result<()> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let secret = WebhookSecret::read(&webhook.secret_file);
        secret.map(drop).with_context(|| self.wrong_webhook("secret_file"))
    }

    fn wrong_webhook(&self, key: &str) -> String {
        match self.lang {
            Lang::En => format!("webhook.{key}"),
            Lang::Ja => format!("webhook.{key} に誤りがあります"),
        }
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
            let count = self.source.len();
            return Err(in_words(
                self.lang,
                format!("source: {count} settings are more than {SOURCE_SETTINGS_MAX}"),
                format!("source: {count}件は上限の{SOURCE_SETTINGS_MAX}件を超えています"),
            ));
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
                return Err(in_words(
                    self.lang,
                    format!(
                        "[[source]] number {number}: dataset: there is no {dataset:?}; is it \
                         {near:?}?"
                    ),
                    format!(
                        "[[source]] の{number}番目: dataset: {dataset:?} はありません（{near:?} の\
                         ことですか）"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn listen_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let syslog = self.syslog.udp.iter().chain(&self.syslog.tcp).copied();
        syslog.chain([self.http.listen])
    }
}

/// Why a file is no configuration. The place and the words are those of the TOML reader; a
/// `[[source]]` that means nothing is ours, so its words are in both languages.
fn not_understood(path: &Path, text: &str, error: &toml::de::Error, lang: Lang) -> anyhow::Error {
    let said = error.to_string();
    let said = match (lang, wrong_source(text)) {
        (Lang::Ja, Some(words)) if said.contains(words.en()) => {
            said.replace(words.en(), words.ja())
        }
        _ => said,
    };
    let remedy = either(
        lang,
        "\n`yagura config show` lists every key with its value",
        "\n設定できるキーとその値は yagura config show で確認できます",
    );
    anyhow::anyhow!("{}: {}{remedy}", wrong(path, lang), said.trim_end())
}

/// The first `[[source]]` that means nothing, and why.
fn wrong_source(text: &str) -> Option<Words> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let sources = table.get("source")?.as_array()?;
    let texts = sources.iter().filter_map(|source| source.clone().try_into::<SourceText>().ok());
    texts.filter_map(|text| SourceSetting::try_from(text).err()).next()
}

/// What a fault of the configuration is told under.
pub fn wrong(path: &Path, lang: Lang) -> String {
    match lang {
        Lang::En => format!("the configuration file {} is wrong", path.display()),
        Lang::Ja => format!("設定ファイル {} に誤りがあります", path.display()),
    }
}

/// Until an administrator can exist, nothing beyond this machine may reach us.
fn refuse_open_address(lang: Lang, address: SocketAddr) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(in_words(
        lang,
        format!(
            "refusing to listen on {address}: Yagura has no administrator yet, so anyone who reaches \
             that address could read and write logs. Listen on 127.0.0.1 or [::1] and let a local \
             forwarder (rsyslog, stunnel, an SSH tunnel) bring remote logs here"
        ),
        format!(
            "{address} では待ち受けません。Yagura にはまだ管理者（administrator）がいないため、この\
             アドレスに届く人は誰でもログを読み書きできてしまいます。127.0.0.1 か [::1] で待ち受け、\
             離れた場所のログは、このマシンの転送プログラム（rsyslog、stunnel、SSH トンネルなど）で\
             届けてください"
        ),
    ))
}

fn in_range<T: PartialOrd + std::fmt::Display>(
    lang: Lang,
    key: &str,
    value: T,
    min: T,
    max: T,
) -> Result<()> {
    if value < min || value > max {
        return Err(in_words(
            lang,
            format!("{key}: {value} is out of range ({min} to {max})"),
            format!("{key}: {value} は範囲外です（{min}～{max}）"),
        ));
    }
    Ok(())
}

fn missing(lang: Lang, key: &str, path: &Path) -> anyhow::Error {
    let path = path.display();
    in_words(lang, format!("{key}: there is no {path}"), format!("{key}: {path} がありません"))
}

fn in_words(lang: Lang, en: String, ja: String) -> anyhow::Error {
    anyhow::Error::msg(if lang == Lang::Ja { ja } else { en })
}

#[cfg(test)]
mod tests;
