//! How a cold store is reached.

use crate::LakeError;
use crate::limits::COLD_TIMEOUT_S_MAX;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use yagura_event::Words;

/// How a cold store is reached. What it says of secrets is never written anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColdSettings {
    /// `s3://bucket/prefix`, or `file:///directory` for a second directory. One data directory has it
    /// for itself.
    pub url: String,
    /// Address of the S3 server, such as `https://minio.example.jp:9000`; that of AWS where it is not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the bucket; what `AWS_REGION` says where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether a server that is not this machine may be asked without TLS.
    #[serde(default)]
    pub allow_http: bool,
    /// Seconds for one request (1 to 300).
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// The account; what `AWS_ACCESS_KEY_ID` and the like say where it is not given.
    #[serde(skip)]
    pub access_key: Option<AccessKey>,
}

fn timeout_s() -> u64 {
    20
}

/// An account of an S3 server.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its name.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColdPlace {
    Directory(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl ColdSettings {
    /// A store with nothing else said of it.
    pub fn new(url: impl Into<String>) -> Self {
        ColdSettings {
            url: url.into(),
            endpoint: None,
            region: None,
            allow_http: false,
            timeout_s: timeout_s(),
            access_key: None,
        }
    }

    /// The URL as everything names the store: without a slash at its end.
    pub fn url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Refuses what cannot be, without asking the store.
    ///
    /// # Errors
    /// [`LakeError::ColdSettings`], which names what is wrong and the remedy.
    pub fn check(&self) -> Result<(), LakeError> {
        self.place()?;
        if !(1..=COLD_TIMEOUT_S_MAX).contains(&self.timeout_s) {
            let seconds = self.timeout_s;
            return Err(self.wrong(
                &format!("timeout_s: {seconds} is out of range (1 to {COLD_TIMEOUT_S_MAX})"),
                &format!("timeout_s: {seconds} は範囲外です（1～{COLD_TIMEOUT_S_MAX}）"),
            ));
        }
        if let Some(endpoint) = &self.endpoint {
            let is_http = endpoint.starts_with("http://");
            if !is_http && !endpoint.starts_with("https://") {
                return Err(self.wrong(
                    "endpoint: write https://host:port",
                    "endpoint は https://ホスト名:ポート の形で書いてください",
                ));
            }
            if is_http && !self.may_use_http() {
                return Err(self.wrong(
                    "endpoint: without TLS anyone on the way reads your logs: write https://, or set \
                     allow_http = true",
                    "TLSなしでは経路上でログを読まれます。https:// にするか、allow_http = true と\
                     してください",
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn wrong(&self, en: &str, ja: &str) -> LakeError {
        LakeError::ColdSettings { url: self.url.clone(), words: Words::new(en, ja) }
    }

    /// Loopback may be asked without TLS.
    pub(crate) fn may_use_http(&self) -> bool {
        let host = self.endpoint.as_deref().and_then(|it| it.strip_prefix("http://"));
        let host = host.map(|rest| rest.split('/').next().unwrap_or_default());
        let is_loopback = |host: &str| {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            let address = name.trim_start_matches('[').trim_end_matches(']');
            name == "localhost"
                || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        self.allow_http || host.is_some_and(is_loopback)
    }

    pub(crate) fn place(&self) -> Result<ColdPlace, LakeError> {
        let url = self.url();
        if let Some(path) = url.strip_prefix("file://") {
            let sound = path.starts_with('/')
                && path.len() > 1
                && !path.chars().any(char::is_control)
                && !path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
            return match sound {
                true => Ok(ColdPlace::Directory(PathBuf::from(path))),
                false => Err(self.wrong(
                    "write the whole path of a directory, such as file:///mnt/cold",
                    "ディレクトリの絶対パスを書いてください（例: file:///mnt/cold）",
                )),
            };
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err(self.wrong(
                "write s3://bucket/prefix or file:///directory",
                "s3://バケット/プレフィックス または file:///ディレクトリ の形で書いてください",
            ));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
        let part_sound = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        let sound = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(bucket_byte)
            && (prefix.is_empty() || prefix.split('/').all(part_sound));
        match sound {
            true => Ok(ColdPlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() }),
            false => Err(self.wrong(
                "a bucket has 3 to 63 of a-z 0-9 . -, a prefix A-Z a-z 0-9 . _ - = and /",
                "バケット名は a-z 0-9 . - の3～63文字、プレフィックスは A-Z a-z 0-9 . _ - = と / で\
                 書いてください",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_store_is_refused_with_the_remedy() {
        for sound in [
            "s3://logs",
            "s3://logs/",
            "s3://logs.tokyo-1/yagura/2026=a_b",
            "file:///mnt/cold",
            "file:///mnt/保管 庫/",
        ] {
            ColdSettings::new(sound).check().unwrap();
        }
        for wrong in [
            "logs",
            "s3://",
            "s3://ab",
            "s3://Logs",
            "s3://logs/a//b",
            "s3://logs/../x",
            "s3://logs/a b",
            "file://mnt",
            "file:///",
            "file:///a/../b",
            "https://x/y",
        ] {
            let error = ColdSettings::new(wrong).check().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
            assert!(error.words().ja().contains(wrong));
        }
        assert_eq!(ColdSettings::new("s3://logs/a/").url(), "s3://logs/a");
    }

    #[test]
    fn only_loopback_is_asked_without_tls_unless_told() {
        let with = |endpoint: &str| ColdSettings {
            endpoint: Some(endpoint.to_owned()),
            ..ColdSettings::new("s3://logs")
        };
        for sound in ["https://s3.example.jp", "http://127.0.0.1:9000", "http://[::1]:9000/x"] {
            with(sound).check().unwrap();
        }
        with("http://localhost:1").check().unwrap();
        for wrong in ["http://10.0.0.5:9000", "http://localhost.example", "s3.example.jp"] {
            assert!(with(wrong).check().is_err(), "{wrong}");
        }
        ColdSettings { allow_http: true, ..with("http://10.0.0.5:9000") }.check().unwrap();
    }

    #[test]
    fn limits_hold_at_n_and_not_at_n_plus_1() {
        for (timeout_s, sound) in
            [(0, false), (1, true), (COLD_TIMEOUT_S_MAX, true), (COLD_TIMEOUT_S_MAX + 1, false)]
        {
            let settings = ColdSettings { timeout_s, ..ColdSettings::new("s3://logs") };
            assert_eq!(settings.check().is_ok(), sound, "{timeout_s}");
        }
        let bucket = |length: usize| ColdSettings::new(format!("s3://{}", "a".repeat(length)));
        assert!(bucket(63).check().is_ok() && bucket(64).check().is_err());
    }

    #[test]
    fn a_secret_is_neither_shown_nor_written() {
        let key = AccessKey { id: "me".to_owned(), secret: "hush".to_owned() };
        let settings = ColdSettings { access_key: Some(key), ..ColdSettings::new("s3://logs") };
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hush"));
    }
}
