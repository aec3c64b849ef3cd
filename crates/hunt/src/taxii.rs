//! A client of TAXII 2.1 (OASIS): reads the objects of one collection, those added since last time.
//!
//! A server is not believed: pages have a size, a pull has a number of pages, redirects are not
//! followed (they could carry the password elsewhere), and only `https://` is spoken, except to this
//! machine itself.

use crate::limits::{
    TAXII_COLLECTIONS_MAX, TAXII_MARKINGS_MAX, TAXII_MARKINGS_SECONDS, TAXII_PAGE_BYTES_MAX,
    TAXII_PAGE_OBJECTS, TAXII_PAGES_MAX, TAXII_TIMEOUT_SECONDS,
};
use crate::read::StixObjects;
use crate::{ListFormat, ReadOptions, Reading, Said};
use futures::StreamExt;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";
const LAST_ADDED: &str = "x-taxii-date-added-last";

/// How one proves to a server who one is.
#[derive(Clone)]
pub enum Credentials {
    /// Name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic",
            Credentials::Bearer(_) => "Bearer",
        })
    }
}

/// What a server could not or would not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct TaxiiError {
    /// What went wrong, and what to do.
    pub said: Said,
}

impl TaxiiError {
    fn new(en: impl Into<String>, ja: impl Into<String>) -> Self {
        TaxiiError { said: Said::new(en, ja) }
    }
}

/// A collection of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Collection {
    /// Its id.
    pub id: String,
    /// Its name for people.
    #[serde(default)]
    pub title: String,
    /// Whether we may read it.
    #[serde(default)]
    pub can_read: bool,
}

/// What a pull brought.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The indicators, as of any list.
    pub reading: Reading,
    /// Where the next pull begins.
    pub added_after: Option<String>,
    /// Objects read.
    pub objects: u64,
    /// Pages read.
    pub pages: usize,
    /// Whether there is more, which the next pull will read.
    pub more: bool,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    more: bool,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    objects: Vec<crate::read::StixObject>,
}

#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    api_roots: Vec<String>,
}

#[derive(Deserialize)]
struct Collections {
    #[serde(default)]
    collections: Vec<Collection>,
}

/// A server's API root.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    root: Url,
    credentials: Option<Credentials>,
    /// How long all markings together may take.
    markings_within: Duration,
}

impl Client {
    /// A client of the server at `url`: an API root, or the discovery page that names it.
    /// `authority` is a PEM certificate to trust besides the usual ones.
    ///
    /// # Errors
    /// [`TaxiiError`], when the address is not sound, or would send a password in the clear.
    pub fn new(
        url: &str,
        credentials: Option<Credentials>,
        authority: Option<&[u8]>,
    ) -> Result<Client, TaxiiError> {
        let root = sound_url(url)?;
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("yagura/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = authority {
            let certificate = reqwest::Certificate::from_pem(pem).map_err(|error| {
                TaxiiError::new(
                    format!("the authority's certificate cannot be read: {error}"),
                    format!("認証局の証明書が読めません: {error}"),
                )
            })?;
            builder = builder.add_root_certificate(certificate);
        }
        let http = builder.build().map_err(|error| failed(&error))?;
        let markings_within = Duration::from_secs(TAXII_MARKINGS_SECONDS);
        Ok(Client { http, root, credentials, markings_within })
    }

    /// Goes from the discovery page to the API root it names, if this is one.
    ///
    /// # Errors
    /// [`TaxiiError`], when the server does not answer, or names another machine.
    pub async fn discover(&mut self) -> Result<(), TaxiiError> {
        let (bytes, _) = self.get(self.root.clone()).await?;
        let Ok(found) = serde_json::from_slice::<Discovery>(&bytes) else { return Ok(()) };
        let Some(named) = found.default.or_else(|| found.api_roots.into_iter().next()) else {
            return Ok(());
        };
        let root = self.root.join(&named).ok().and_then(|url| sound_url(url.as_str()).ok());
        let same = |url: &Url| {
            (url.scheme(), url.host_str(), url.port_or_known_default())
                == (self.root.scheme(), self.root.host_str(), self.root.port_or_known_default())
        };
        match root.filter(same) {
            Some(root) => self.root = root,
            None => {
                return Err(TaxiiError::new(
                    format!(
                        "the server sends us to {named}, another machine: name that one yourself"
                    ),
                    format!(
                        "サーバーが別のホスト {named} を指しています。必要ならそのURLを直接指定してください"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The collections of the server.
    ///
    /// # Errors
    /// [`TaxiiError`], when the server does not answer as TAXII 2.1 says.
    pub async fn collections(&self) -> Result<Vec<Collection>, TaxiiError> {
        let (bytes, _) = self.get(self.under("collections/")?).await?;
        let found: Collections =
            serde_json::from_slice(&bytes).map_err(|error| not_taxii(&error))?;
        Ok(found.collections.into_iter().take(TAXII_COLLECTIONS_MAX).collect())
    }

    /// The collection called `named` (id or title), or the only readable one.
    ///
    /// # Errors
    /// [`TaxiiError`], which names the collections there are.
    pub async fn collection(&self, named: Option<&str>) -> Result<Collection, TaxiiError> {
        let all = self.collections().await?;
        let readable: Vec<&Collection> = all.iter().filter(|one| one.can_read).collect();
        let found = match named {
            Some(name) => readable.iter().find(|one| one.id == name || one.title == name),
            None if readable.len() == 1 => readable.first(),
            None => None,
        };
        found.map(|one| (*one).clone()).ok_or_else(|| {
            let names: Vec<_> =
                readable.iter().take(20).map(|one| format!("{} ({})", one.id, one.title)).collect();
            let names = names.join(", ");
            TaxiiError::new(
                format!("name a readable collection with --collection; there are: {names}"),
                format!("読み取れるコレクションを --collection で指定してください: {names}"),
            )
        })
    }

    /// Reads what was added to a collection after `added_after` (an instant of the server's), at
    /// most [`TAXII_PAGES_MAX`] pages.
    ///
    /// # Errors
    /// [`TaxiiError`], when a page could not be read; nothing of the pull is kept then.
    pub async fn pull(
        &self,
        collection: &str,
        added_after: Option<&str>,
        options: &ReadOptions,
    ) -> Result<Pulled, TaxiiError> {
        let mut reading = Reading::new(options, String::new());
        reading.format = ListFormat::Stix;
        let mut pulled = Pulled {
            reading,
            added_after: added_after.map(str::to_owned),
            objects: 0,
            pages: 0,
            more: true,
        };
        let mut next: Option<String> = None;
        let mut objects = StixObjects::default();
        let base = self.under(&format!("collections/{}/objects/", escaped(collection)))?;
        while pulled.more && pulled.pages < TAXII_PAGES_MAX {
            let mut url = base.clone();
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("limit", &TAXII_PAGE_OBJECTS.to_string());
                query.append_pair("match[type]", "indicator,marking-definition");
                // `next` goes on with the question it was given for.
                let after =
                    if next.is_some() { added_after } else { pulled.added_after.as_deref() };
                after.iter().for_each(|after| {
                    query.append_pair("added_after", after);
                });
                next.iter().for_each(|next| {
                    query.append_pair("next", next);
                });
            }
            let (bytes, last) = self.get(url).await?;
            let page: Envelope =
                serde_json::from_slice(&bytes).map_err(|error| not_taxii(&error))?;
            pulled.pages += 1;
            pulled.objects += page.objects.len() as u64;
            objects.take(&page.objects, &mut pulled.reading);
            pulled.more = page.more;
            let moved = last.is_some() && last != pulled.added_after;
            pulled.added_after = last.or(pulled.added_after);
            let stands = match (&page.next, &next) {
                (Some(new), Some(old)) => new == old,
                (Some(_), None) => false,
                (None, _) => !moved,
            };
            if page.more && stands {
                return Err(TaxiiError::new(
                    "the server says there is more, and sends the same page again",
                    "サーバーが続きがあると答えながら同じページを返しています",
                ));
            }
            next = page.next;
        }
        // Those that an earlier pull brought are not sent again.
        let began = Instant::now();
        for marking in objects.undefined().iter().take(TAXII_MARKINGS_MAX) {
            let left = self.markings_within.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let url = base.join(&format!("{}/", escaped(marking)));
            // A server that does not define it leaves the indicator without TLP.
            if let Ok(url) = url
                && let Ok((bytes, _)) = self.get_within(url, left).await
                && let Ok(page) = serde_json::from_slice::<Envelope>(&bytes)
            {
                objects.take_markings(&page.objects);
            }
        }
        objects.finish(&mut pulled.reading);
        Ok(pulled)
    }

    fn under(&self, path: &str) -> Result<Url, TaxiiError> {
        self.root.join(path).map_err(|error| {
            TaxiiError::new(
                format!("not an address: {error}"),
                format!("URL ではありません: {error}"),
            )
        })
    }

    /// A whole answer, and when the last of its objects was added.
    async fn get(&self, url: Url) -> Result<(Vec<u8>, Option<String>), TaxiiError> {
        self.get_within(url, Duration::from_secs(TAXII_TIMEOUT_SECONDS)).await
    }

    /// [`Client::get`], when there is less time for it.
    async fn get_within(
        &self,
        url: Url,
        left: Duration,
    ) -> Result<(Vec<u8>, Option<String>), TaxiiError> {
        let left = left.min(Duration::from_secs(TAXII_TIMEOUT_SECONDS));
        let request = self.http.get(url.clone()).header("accept", MEDIA_TYPE).timeout(left);
        let request = match &self.credentials {
            Some(Credentials::Basic { user, password }) => request.basic_auth(user, Some(password)),
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.map_err(|error| failed(&error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(status, &url));
        }
        let last = answer.headers().get(LAST_ADDED).and_then(|value| value.to_str().ok());
        let last = last.filter(|text| text.len() <= 64).map(str::to_owned);
        let mut bytes = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| failed(&error))?;
            if bytes.len() + chunk.len() > TAXII_PAGE_BYTES_MAX {
                return Err(TaxiiError::new(
                    format!("the server sent a page of more than {TAXII_PAGE_BYTES_MAX} bytes"),
                    format!("サーバーのページが{TAXII_PAGE_BYTES_MAX}バイトを超えています"),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, last))
    }
}

/// An address with a `/` at its end, so that paths can be joined to it.
fn sound_url(text: &str) -> Result<Url, TaxiiError> {
    let text = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let url = Url::parse(&text).map_err(|error| {
        TaxiiError::new(
            format!("{text:?} is no address: {error}"),
            format!("{text:?} は URL ではありません: {error}"),
        )
    })?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let ours =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let sound = url.scheme() == "https" || (url.scheme() == "http" && ours);
    if !sound {
        return Err(TaxiiError::new(
            format!("{text:?} must begin with https:// (http:// only for this machine)"),
            format!("{text:?} は https:// で始まる必要があります（http:// はこの端末だけ）"),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TaxiiError::new(
            "the address holds a password: use --user and --password-file instead",
            "URL にパスワードが含まれています。--user と --password-file を使ってください",
        ));
    }
    Ok(url)
}

/// A collection's id as a part of a path.
fn escaped(id: &str) -> String {
    id.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => {
                text.push(char::from(byte))
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn refused(status: StatusCode, url: &Url) -> TaxiiError {
    let path = url.path();
    match status.as_u16() {
        401 | 403 => TaxiiError::new(
            format!(
                "the server does not let us in ({status}): check the user and password or the token"
            ),
            format!(
                "サーバーに拒否されました（{status}）。ユーザー名とパスワード、またはトークンを確認してください"
            ),
        ),
        404 => TaxiiError::new(
            format!("the server has nothing at {path}: check the address and the collection"),
            format!("サーバーに {path} がありません。URL とコレクションを確認してください"),
        ),
        406 => TaxiiError::new(
            "the server does not speak TAXII 2.1",
            "サーバーが TAXII 2.1 に対応していません",
        ),
        301..=399 => TaxiiError::new(
            format!("the server sends us elsewhere ({status}): give the address it means"),
            format!("サーバーが転送を返しました（{status}）。転送先の URL を直接指定してください"),
        ),
        _ => TaxiiError::new(
            format!("the server answered {status}"),
            format!("サーバーの応答: {status}"),
        ),
    }
}

fn failed(error: &reqwest::Error) -> TaxiiError {
    use std::error::Error;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    TaxiiError::new(
        format!("the server cannot be reached: {text}"),
        format!("サーバーに接続できません: {text}"),
    )
}

fn not_taxii(error: &serde_json::Error) -> TaxiiError {
    TaxiiError::new(
        format!("the server's answer is no TAXII 2.1: {error}"),
        format!("サーバーの応答が TAXII 2.1 ではありません: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn passwords_are_sent_over_tls_only() {
        for url in [
            "https://taxii.example/api",
            "http://127.0.0.1:1/a/",
            "http://[::1]:1/",
            "http://localhost/",
        ] {
            assert!(sound_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://taxii.example/",
            "ftp://x/",
            "x",
            "https://a:b@taxii.example/",
            "http://127.0.0.1.evil.example/",
        ] {
            assert!(sound_url(url).is_err(), "{url}");
        }
        assert_eq!(escaped("a/../b?c"), "a%2F%2E%2E%2Fb%3Fc");
    }

    /// Answers the first request with `page` and never any other; how many others there were.
    fn answers_once(page: String) -> (String, std::thread::JoinHandle<usize>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).unwrap();
                match String::from_utf8_lossy(&request[..length]).split(' ').nth(1) {
                    Some("/end") => break,
                    Some(path) if path.contains('?') => {
                        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                        write!(stream, "{head} {}\r\n\r\n{page}", page.len()).unwrap();
                    }
                    _ => held.push(stream),
                }
            }
            held.len()
        });
        (root, answering)
    }

    #[tokio::test]
    async fn markings_that_do_not_come_do_not_hold_a_pull_up_one_after_the_other() {
        let indicator = |number: usize| {
            serde_json::json!({
                "type": "indicator", "id": format!("indicator--{number}"),
                "pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z",
                "pattern": format!("[ipv4-addr:value = '203.0.113.{number}']"),
                "object_marking_refs": [format!("marking-definition--{number}")],
            })
        };
        let objects: Vec<_> = (1..=3).map(indicator).collect();
        let (root, answering) = answers_once(serde_json::json!({ "objects": objects }).to_string());
        let mut client = Client::new(&root, None, None).unwrap();
        client.markings_within = Duration::from_millis(50);
        let pulled = client.pull("c", None, &ReadOptions::default()).await.unwrap();
        assert_eq!(pulled.reading.indicators.len(), 3, "they are taken without");
        let address = root.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut end = std::net::TcpStream::connect(address).unwrap();
        end.write_all(b"GET /end HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(answering.join().unwrap(), 1, "the first one had all the time");
    }
}
