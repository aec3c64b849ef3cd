use crate::ForwardError;
use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use yagura_event::Words;

/// A target as the configuration has it (`[[forward]]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name: 1 to 32 of `a-z 0-9 - _`. How far it has come is kept under it.
    pub name: String,
    /// What speaks there.
    pub to: Kind,
    /// Where: `tcp://host:port`, `tls://`, `udp://` for syslog, `tcp://host:port,host:port` or `tls://`
    /// for Kafka, `https://...` otherwise.
    pub url: String,
    /// Which events, as in a search; empty for all.
    #[serde(default)]
    pub filter: String,
    /// In which form.
    #[serde(default)]
    pub send: Send,
    /// Where a target begins that has never been sent to.
    #[serde(default)]
    pub start: Start,
    /// File with the token; the token itself never stands in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Index of Elasticsearch or Splunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Topic of Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The key of Kafka's records.
    #[serde(default, skip_serializing_if = "Key::is_none")]
    pub key: Key,
    /// How Kafka is told who we are; the password or token is in `token_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// The user of `sasl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the certificates (PEM) of those who may sign the receiver's, for `tls://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether the receiver may have a private, loopback or otherwise inner address, and be spoken to
    /// without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

/// What speaks at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A syslog receiver (RFC 5424).
    Syslog,
    /// Splunk's HTTP event collector.
    SplunkHec,
    /// Elasticsearch's bulk API, and what speaks it.
    Elasticsearch,
    /// An OpenTelemetry collector: OTLP over HTTP, in JSON.
    Otlp,
    /// A topic of Apache Kafka, and what speaks its protocol.
    Kafka,
}

/// The form in which events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Send {
    /// One JSON object with ECS names.
    #[default]
    Json,
    /// The received bytes.
    Raw,
    /// One OCSF event, as JSON.
    Ocsf,
}

/// Where a target begins that has never been sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the oldest event there is.
    Oldest,
}

/// What the key of a Kafka record is. Records of one key are in one partition, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Key {
    /// None: partitions take turns.
    #[default]
    None,
    /// `host.name`.
    Host,
    /// The stream that the event was received in.
    Stream,
}

/// A SASL mechanism, by its registered name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Sasl {
    /// User and password (RFC 4616).
    #[serde(rename = "PLAIN")]
    Plain,
    /// The password is proved, not sent (RFC 7677).
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token (RFC 7628), read from its file at every connection.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Key {
    fn is_none(&self) -> bool {
        *self == Key::None
    }
}

impl Kind {
    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Syslog => "syslog",
            Kind::SplunkHec => "splunk_hec",
            Kind::Elasticsearch => "elasticsearch",
            Kind::Otlp => "otlp",
            Kind::Kafka => "kafka",
        }
    }
}

impl Settings {
    /// A target with nothing else said of it.
    pub fn new(name: &str, to: Kind, url: &str) -> Settings {
        Settings {
            name: name.to_owned(),
            to,
            url: url.to_owned(),
            filter: String::new(),
            send: Send::default(),
            start: Start::default(),
            token_file: None,
            index: None,
            topic: None,
            key: Key::default(),
            sasl: None,
            user: None,
            ca_file: None,
            allow_private: false,
        }
    }

    /// Refuses what only a Kafka target has.
    pub(crate) fn check_no_kafka(&self) -> Result<(), ForwardError> {
        let has = self.topic.is_some() || self.sasl.is_some() || self.user.is_some();
        if !has && self.key == Key::None {
            return Ok(());
        }
        Err(self.refuse(
            "topic, key, sasl and user are for to = \"kafka\" only: leave them out",
            "topic、key、sasl、user は to = \"kafka\" だけで使えます。外してください",
        ))
    }

    /// Refuses names that are no file names of ours.
    ///
    /// # Errors
    /// [`ForwardError::Settings`].
    pub fn check_name(&self) -> Result<(), ForwardError> {
        let is_part =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if (1..=NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(is_part) {
            return Ok(());
        }
        Err(self.refuse(
            format!("a name has 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _"),
            format!("名前は英小文字、数字、-、_ の{NAME_BYTES_MAX}文字までです"),
        ))
    }

    pub(crate) fn refuse(&self, en: impl Into<String>, ja: impl Into<String>) -> ForwardError {
        ForwardError::Settings { name: self.name.clone(), reason: Words::new(en, ja) }
    }

    fn file(&self, path: &Path, reason: Words) -> ForwardError {
        ForwardError::File { name: self.name.clone(), path: path.to_owned(), reason }
    }

    pub(crate) fn read(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, ForwardError> {
        let unread = |error: std::io::Error| self.file(path, error.into());
        let file = std::fs::File::open(path).map_err(unread)?;
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
        if bytes.len() > bytes_max {
            return Err(self.file(
                path,
                Words::new(
                    format!("it has more than {bytes_max} bytes"),
                    format!("{bytes_max}バイトを超えています"),
                ),
            ));
        }
        Ok(bytes)
    }

    /// The token, if one is set: the file's first line.
    pub(crate) fn token(&self) -> Result<Option<String>, ForwardError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let bytes = self.read(path, TOKEN_BYTES_MAX)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let metadata =
                std::fs::metadata(path).map_err(|error| self.file(path, error.into()))?;
            if metadata.permissions().mode() & 0o007 != 0 {
                let words = Words::new(
                    "everybody here may read it: chmod 600 it",
                    "誰でも読める状態です。chmod 600 にしてください",
                );
                return Err(self.file(path, words));
            }
        }
        let text = std::str::from_utf8(&bytes).ok().map(str::trim);
        match text
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            Some(token) => Ok(Some(token.to_owned())),
            None => Err(self.file(
                path,
                Words::new(
                    "a token is one line of visible ASCII characters",
                    "トークンは見えるASCII文字の1行です",
                ),
            )),
        }
    }
}
