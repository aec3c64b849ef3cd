//! TAXII feeds: asked from time to time, and whenever someone wants.

use super::Hunter;
use super::limits::{FEED_INTERVAL_SECONDS_MIN, FEEDS_MAX, SECRET_BYTES_MAX};
use super::record::{Entry, Feed, FeedPulled, FeedRemoved, FeedState};
use crate::NodeError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use yagura_hunt::ReadOptions;
use yagura_hunt::taxii::{Client, Credentials, TaxiiError};

/// A feed that someone sets up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedRequest {
    /// Its name; the collection's title by default.
    pub name: Option<String>,
    /// Address of the API root or the discovery page.
    pub url: String,
    /// Id or title of the collection; the only readable one by default.
    pub collection: Option<String>,
    /// Name to give.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<String>,
    /// File with a token.
    pub token_file: Option<String>,
    /// File with a certificate authority to trust.
    pub ca_file: Option<String>,
    /// Seconds between two pulls; an hour by default.
    pub interval_s: Option<u64>,
    /// Whether what its indicators are found in, hunted backwards, becomes alerts.
    pub raise: bool,
}

/// How often the server looks whether a feed is due.
const TICK: Duration = Duration::from_secs(5);

/// Longest name of a feed, in bytes.
const NAME_BYTES_MAX: usize = 100;

fn refused(error: TaxiiError) -> NodeError {
    NodeError::request(error.said.en, error.said.ja)
}

fn secret(path: &str) -> Result<Vec<u8>, NodeError> {
    let failed = |error: String| {
        NodeError::request(
            format!("the file {path} cannot be read: {error}"),
            format!("ファイル {path} を読み取れません: {error}"),
        )
    };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(failed(format!("larger than {SECRET_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn secret_text(path: &str) -> Result<String, NodeError> {
    Ok(String::from_utf8_lossy(&secret(path)?).trim().to_owned())
}

fn client(
    url: &str,
    user: Option<&str>,
    password_file: Option<&str>,
    token_file: Option<&str>,
    ca_file: Option<&str>,
) -> Result<Client, NodeError> {
    let credentials = match (user, password_file, token_file) {
        (_, _, Some(token)) => Some(Credentials::Bearer(secret_text(token)?)),
        (Some(user), Some(password), None) => {
            Some(Credentials::Basic { user: user.to_owned(), password: secret_text(password)? })
        }
        (None, None, None) => None,
        _ => {
            return Err(NodeError::request(
                "a user needs --password-file, and a password needs --user",
                "--user と --password-file は両方指定してください",
            ));
        }
    };
    let authority = ca_file.map(secret).transpose()?;
    Client::new(url, credentials, authority.as_deref()).map_err(refused)
}

impl Hunter {
    /// Sets a feed up: the server is asked for its collection first.
    ///
    /// # Errors
    /// [`NodeError`], when the server does not answer, has no such collection, or the name is taken.
    pub async fn add_feed(&self, request: FeedRequest, who: &str) -> Result<Value, NodeError> {
        let mut client = client(
            &request.url,
            request.user.as_deref(),
            request.password_file.as_deref(),
            request.token_file.as_deref(),
            request.ca_file.as_deref(),
        )?;
        client.discover().await.map_err(refused)?;
        let collection = client.collection(request.collection.as_deref()).await.map_err(refused)?;
        let title = if collection.title.is_empty() { &collection.id } else { &collection.title };
        let name = request.name.as_deref().unwrap_or(title).trim().to_owned();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['/', '\n']) {
            return Err(NodeError::request(
                format!("{name:?} is no name for a feed: give one with --name"),
                format!("{name:?} はフィード名に使えません。--name で指定してください"),
            ));
        }
        let interval_s = request.interval_s.unwrap_or(3_600);
        if interval_s < FEED_INTERVAL_SECONDS_MIN {
            return Err(NodeError::request(
                format!("a feed may be asked every {FEED_INTERVAL_SECONDS_MIN} seconds at most"),
                format!("取得間隔は{FEED_INTERVAL_SECONDS_MIN}秒以上にしてください"),
            ));
        }
        {
            let fold = self.shared.fold();
            if fold.feeds.contains_key(&name) || fold.feeds.len() >= FEEDS_MAX {
                return Err(NodeError::request(
                    format!("there is a feed {name:?} already, or there are {FEEDS_MAX}"),
                    format!("フィード {name:?} はすでにあるか、上限の{FEEDS_MAX}件に達しています"),
                ));
            }
        }
        // Files are read again at each pull, by a process that may stand elsewhere.
        let absolute = |path: Option<String>| {
            path.map(|path| match std::path::absolute(&path) {
                Ok(full) => full.display().to_string(),
                Err(_) => path,
            })
        };
        let feed = Feed {
            at: self.shared.clock.now(),
            who: who.to_owned(),
            name: name.clone(),
            url: request.url,
            collection: collection.id,
            user: request.user,
            password_file: absolute(request.password_file),
            token_file: absolute(request.token_file),
            ca_file: absolute(request.ca_file),
            interval_s,
            raise: request.raise,
        };
        self.shared.record(vec![Entry::FeedAdded(Box::new(feed))])?;
        self.feed(&name).map(|state| shown(&state))
    }

    fn feed(&self, name: &str) -> Result<FeedState, NodeError> {
        self.shared.fold().feeds.get(name).cloned().ok_or_else(|| NodeError::NotFound {
            message: format!("there is no feed {name:?}"),
            message_ja: format!("フィード {name:?} はありません"),
        })
    }

    /// The feeds.
    pub fn feeds(&self) -> Value {
        let fold = self.shared.fold();
        json!({ "feeds": fold.feeds.values().map(shown).collect::<Vec<_>>() })
    }

    /// Asks a feed no longer. Its indicators stay until they are removed.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none.
    pub fn remove_feed(&self, name: &str, who: &str) -> Result<Value, NodeError> {
        self.feed(name)?;
        let at = self.shared.clock.now();
        let removed = FeedRemoved { at, who: who.to_owned(), name: name.to_owned() };
        self.shared.record(vec![Entry::FeedRemoved(removed)])?;
        Ok(json!({ "feed.name": name }))
    }

    /// Asks a feed now for what was added since last time. Its failure is recorded as well.
    ///
    /// # Errors
    /// [`NodeError`], when there is no such feed or its server does not answer as it should.
    pub async fn pull_feed(self: &Arc<Self>, name: &str) -> Result<Value, NodeError> {
        let state = self.feed(name)?;
        let feed = &state.feed;
        let pulled = async {
            let mut client = client(
                &feed.url,
                feed.user.as_deref(),
                feed.password_file.as_deref(),
                feed.token_file.as_deref(),
                feed.ca_file.as_deref(),
            )?;
            client.discover().await.map_err(refused)?;
            let options = ReadOptions { source: feed.name.clone(), ..ReadOptions::default() };
            let after = state.added_after.as_deref();
            client.pull(&feed.collection, after, &options).await.map_err(refused)
        };
        let mut entry = FeedPulled {
            at: self.shared.clock.now(),
            name: feed.name.clone(),
            added_after: None,
            objects: 0,
            indicators: 0,
            refused: 0,
            error: None,
        };
        let pulled = match pulled.await {
            Ok(pulled) => pulled,
            Err(error) => {
                entry.error = Some(error.to_string());
                let hunter = self.clone();
                let recorded = tokio::task::spawn_blocking(move || {
                    hunter.shared.record(vec![Entry::FeedPulled(entry)])
                });
                recorded.await.map_err(|_| NodeError::Stopped("the hunter"))??;
                return Err(error);
            }
        };
        let (hunter, raise, who) = (self.clone(), feed.raise, format!("feed {}", feed.name));
        let work = tokio::task::spawn_blocking(move || {
            let (added_after, objects, more) = (pulled.added_after, pulled.objects, pulled.more);
            let refused = pulled.reading.refused_total;
            let name = entry.name.clone();
            let mut answer = hunter.take_reading(pulled.reading, &who, false, raise, &name)?;
            entry.added_after = added_after;
            entry.objects = objects;
            entry.refused = refused;
            entry.indicators = answer["indicators.count"].as_u64().unwrap_or_default();
            hunter.shared.record(vec![Entry::FeedPulled(entry)])?;
            answer["feed.name"] = json!(name);
            answer["feed.objects"] = json!(objects);
            answer["feed.more"] = json!(more);
            Ok(answer)
        });
        work.await.map_err(|_| NodeError::Stopped("the hunter"))?
    }

    /// Asks every feed whenever it is due, until `stopped` resolves.
    pub async fn keep_pulling(self: Arc<Self>, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(TICK) => {}
            }
            let now = self.shared.clock.now().as_micros();
            let due: Vec<String> = {
                let fold = self.shared.fold();
                let due = |state: &&FeedState| {
                    let interval = i64::try_from(state.feed.interval_s).unwrap_or(i64::MAX);
                    state.last.as_ref().is_none_or(|last| {
                        now.saturating_sub(last.at.as_micros())
                            >= interval.saturating_mul(1_000_000)
                    })
                };
                fold.feeds.values().filter(due).map(|state| state.feed.name.clone()).collect()
            };
            for name in due {
                tokio::select! {
                    () = &mut stopped => return,
                    pulled = self.pull_feed(&name) => {
                        if let Err(error) = pulled {
                            tracing::warn!(%error, feed = %name, "a feed could not be read");
                        }
                    }
                }
            }
        }
    }
}

fn shown(state: &FeedState) -> Value {
    let mut shown = serde_json::to_value(&state.feed).unwrap_or_default();
    shown["feed.added_after"] = json!(state.added_after);
    shown["feed.last_pull"] = json!(state.last.as_ref().map(|last| last.at));
    shown["feed.last_error"] = json!(state.last.as_ref().and_then(|last| last.error.clone()));
    shown
}
