//! Where a command finds its events: a running server, or a directory it opens itself. Both give
//! the same answers in the same shape.

use crate::client::Client;
use crate::config::{Config, LakeSection};
use crate::output::Row;
use crate::told::{self, misuse};
use crate::{Misuse, Place};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use yagura_enrich::Kind;
use yagura_event::{Clock, EventId, Lang, StreamName, SystemClock};
use yagura_node::{
    ActsFound, ActsQuery, DataDir, KeepRaw, Node, NodeError, NodeOptions, Page, ProofFrom,
    SearchEnd, SearchQuery, SortOrder, TierOptions, VerifyScope,
};

/// A place that is open.
pub enum Backend {
    /// A server.
    Remote(Client),
    /// A directory, ours until it is closed.
    Local(Arc<Node>, Lang),
}

impl Place {
    /// The directory this place names, or the user's own.
    pub fn data_dir(&self, lang: Lang) -> Result<PathBuf> {
        match &self.data {
            Some(dir) => Ok(dir.clone()),
            None => default_data_dir(lang),
        }
    }

    /// Whether a server or a directory is named at all.
    pub fn is_named(&self) -> bool {
        self.server.is_some() || self.data.is_some()
    }

    /// The server's address, where one is named.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Whether no server is named.
    pub fn is_directory(&self) -> bool {
        self.server.is_none()
    }

    /// The server, where one is named.
    pub fn client(&self, lang: Lang) -> Result<Option<Client>> {
        let token = self.token_file.as_deref();
        self.server.as_deref().map(|server| Client::new(server, token, lang)).transpose()
    }

    /// The directory, which must be there: a typing mistake should not look like an empty store.
    pub fn existing_dir(&self, lang: Lang) -> Result<DataDir> {
        let dir = self.data_dir(lang)?;
        if dir.join("keys").is_dir() {
            return Ok(DataDir::new(dir));
        }
        let dir = dir.display();
        Err(Misuse(match lang {
            Lang::En => format!(
                "there is no store in {dir}. Begin one with `yagura serve` or `yagura import`, or \
                 name another with --data or --server"
            ),
            Lang::Ja => format!(
                "{dir} に保管庫がありません。yagura serve か yagura import で作るか、--data または \
                 --server で場所を指定してください"
            ),
        })
        .into())
    }
}

/// `$XDG_DATA_HOME/yagura`, or `~/.local/share/yagura` (XDG Base Directory 0.8).
pub fn default_data_dir(lang: Lang) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir).join("yagura"));
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| {
        misuse(
            lang,
            "HOME is not set; name the data directory with --data",
            "HOME が設定されていません。--data でデータディレクトリを指定してください",
        )
    })?;
    Ok(PathBuf::from(home).join(".local/share/yagura"))
}

/// Opens a directory for one command, and waits until what its journal holds can be searched.
pub async fn open_node(data: DataDir, options: NodeOptions) -> Result<Arc<Node>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node = tokio::task::spawn_blocking(move || Node::open(data, options, clock)).await??;
    node.ready().await;
    Ok(Arc::new(node))
}

impl Backend {
    /// Opens the place.
    pub async fn open(place: &Place, lang: Lang) -> Result<Backend> {
        Backend::open_as(place, LakeSection::default(), lang).await
    }

    /// Opens the place; a directory with the table as `lake` says.
    pub async fn open_as(place: &Place, lake: LakeSection, lang: Lang) -> Result<Backend> {
        if let Some(client) = place.client(lang)? {
            return Ok(Backend::Remote(client));
        }
        let data = place.existing_dir(lang)?;
        let mut config = Config { lake, lang, ..Config::default() };
        config.content.dirs = place.content.clone();
        let options = node_options(&config)?;
        let node = match yagura_node::is_restored(&data)? {
            true => {
                match lang {
                    Lang::En => eprintln!("restored from a backup: read only, nothing is recorded"),
                    Lang::Ja => {
                        eprintln!("バックアップから戻したもの: 読み取り専用で、何も記録されません")
                    }
                }
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                let look = move || Node::open_to_look(data, options, clock);
                let node = tokio::task::spawn_blocking(look).await?;
                let node = Arc::new(node.map_err(|error| said(error, lang))?);
                node.ready().await;
                node
            }
            false => open_node(data, options).await?,
        };
        Ok(Backend::Local(node, lang))
    }

    /// Lets go of a directory. A failure here loses nothing: the next start repairs it.
    pub async fn close(self) {
        if let Backend::Local(node, lang) = self {
            let closed = tokio::task::spawn_blocking(move || node.close()).await;
            if let Ok(Err(error)) = closed {
                let error = told::error(&error.into(), lang);
                eprintln!("yagura: {}", crate::output::visible_lines(&error));
            }
        }
    }

    pub async fn search(
        &self,
        query: &SearchQuery,
        each: impl FnMut(Row) -> Result<()>,
    ) -> Result<SearchEnd> {
        match self {
            Backend::Remote(client) => {
                let mut asked =
                    vec![("query", query.query.clone()), ("limit", query.limit.to_string())];
                let times = [
                    ("from", &query.from),
                    ("to", &query.to),
                    ("last", &query.last),
                    ("time_zone", &query.time_zone),
                    ("as_of", &query.as_of),
                    ("search_id", &query.id),
                ];
                for (name, value) in times {
                    asked.extend(value.clone().map(|value| (name, value)));
                }
                if query.sort == SortOrder::Oldest {
                    asked.push(("sort", "oldest".to_owned()));
                }
                let end = client.lines("/api/v1/search", &asked, each).await?;
                client.whole(&end["end"])?;
                Ok(serde_json::from_value(end["end"].clone())?)
            }
            Backend::Local(node, lang) => crate::searching::local(node, query, *lang, each).await,
        }
    }

    pub async fn acts(&self, asked: &ActsQuery) -> Result<ActsFound> {
        match self {
            Backend::Remote(client) => {
                let search = &asked.search;
                let kinds: Vec<&str> = asked.kinds.iter().map(|kind| kind.as_str()).collect();
                let body = json!({
                    "query": search.query, "from": search.from, "to": search.to,
                    "last": search.last, "limit": search.limit, "offset": search.offset,
                    "time_zone": search.time_zone, "kind": kinds.join(","), "events": asked.events,
                });
                let found = client.post("/api/v1/acts", &body).await?;
                Ok(serde_json::from_value(found)?)
            }
            Backend::Local(node, lang) => {
                node.acts(asked).await.map_err(|error| said(error, *lang))
            }
        }
    }

    pub async fn sql(&self, statement: &str) -> Result<Page> {
        match self {
            Backend::Remote(client) => {
                let page = client.post("/api/v1/sql", &json!({ "sql": statement })).await?;
                Ok(serde_json::from_value(page)?)
            }
            Backend::Local(node, lang) => {
                node.sql(statement).await.map_err(|error| said(error, *lang))
            }
        }
    }

    pub async fn alerts(&self, query: &[(&str, String)]) -> Result<Value> {
        match self {
            Backend::Remote(client) => client.get("/api/v1/alerts", query).await,
            Backend::Local(node, lang) => {
                let text = query.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                let asked = yagura_node::AlertQuery::from_pairs(text);
                let asked = asked.map_err(|error| said(error, *lang))?;
                Ok(node.alerts(&asked))
            }
        }
    }

    /// Every rule as a row: those in use, and those refused.
    pub async fn rules(&self) -> Result<Value> {
        match self {
            Backend::Remote(client) => client.get("/api/v1/rules", &[]).await,
            Backend::Local(node, _) => Ok(node.rules_listed()),
        }
    }

    /// What a server answers to a GET, or what `local` says of a directory of our own.
    pub async fn ask(
        &self,
        path: &str,
        query: &[(&str, String)],
        local: impl FnOnce(&Node) -> Result<Value, NodeError> + Send + 'static,
    ) -> Result<Value> {
        match self {
            Backend::Remote(client) => client.get(path, query).await,
            Backend::Local(node, lang) => {
                let node = node.clone();
                let answer = tokio::task::spawn_blocking(move || local(&node)).await?;
                answer.map_err(|error| said(error, *lang))
            }
        }
    }

    /// Refuses what changes something, on a directory that is only looked at.
    fn may_act(&self) -> Result<()> {
        match self {
            Backend::Local(node, lang) if node.is_looked_at() => Err(crate::told::misuse(
                *lang,
                "this directory was restored from a backup and is read only: see yagura ledger --help",
                "このディレクトリはバックアップから戻したもので、読み取り専用です（yagura ledger --help を参照）",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// What a server answers to a POST, or what `local` does with a directory of our own, in the
    /// name of whoever runs the command.
    pub async fn act(
        &self,
        path: &str,
        body: Value,
        local: impl FnOnce(&Node, Value, &str) -> Result<Value, NodeError> + Send + 'static,
    ) -> Result<Value> {
        self.may_act()?;
        match self {
            Backend::Remote(client) => client.post(path, &body).await,
            Backend::Local(node, lang) => {
                let node = node.clone();
                let who = std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
                let done = tokio::task::spawn_blocking(move || local(&node, body, &who)).await?;
                done.map_err(|error| said(error, *lang))
            }
        }
    }

    /// Makes a CSV the users or the assets.
    pub async fn set_inventory(&self, kind: Kind, name: &str, csv: Vec<u8>) -> Result<Value> {
        self.may_act()?;
        match self {
            Backend::Remote(client) => {
                let path = format!("/api/v1/inventory/{}", kind.as_str());
                client.put_bytes(&path, &[("name", name.to_owned())], csv).await
            }
            Backend::Local(node, lang) => {
                let (node, name) = (node.clone(), name.to_owned());
                let who = std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
                let done = tokio::task::spawn_blocking(move || {
                    node.set_inventory(kind, &name, &csv, &who)
                });
                done.await?.map_err(|error| said(error, *lang))
            }
        }
    }

    pub async fn act_on_alert(&self, id: &str, act: &str, body: Value) -> Result<Value> {
        self.may_act()?;
        match self {
            Backend::Remote(client) => {
                client.post(&format!("/api/v1/alerts/{id}/{act}"), &body).await
            }
            Backend::Local(node, lang) => {
                let request = serde_json::from_value(body)?;
                let (node, id, act) = (node.clone(), id.to_owned(), act.to_owned());
                let who = std::env::var("USER").unwrap_or_else(|_| "local".to_owned());
                let done = tokio::task::spawn_blocking(move || {
                    node.act_on_alert(&id, &act, request, &who)
                });
                done.await?.map_err(|error| said(error, *lang))
            }
        }
    }

    /// The text of a proof, and where the event's bytes came from.
    pub async fn prove(&self, id: &EventId) -> Result<(Vec<u8>, ProofFrom)> {
        match self {
            Backend::Remote(client) => {
                let path = format!("/api/v1/events/{id}/proof");
                let (proof, from) = client.bytes_with(&path, yagura_api::PROOF_FROM_HEADER).await?;
                Ok((proof, ProofFrom::of_word(&from)))
            }
            Backend::Local(node, lang) => {
                let (node, id) = (node.clone(), id.clone());
                let proof = tokio::task::spawn_blocking(move || node.prove(&id)).await?;
                let proof = proof.map_err(|error| said(error, *lang))?;
                Ok((proof.text.into_bytes(), proof.from))
            }
        }
    }

    /// Verifying opens nothing: a directory is looked at as it lies there.
    pub async fn verify(place: &Place, scope: Value, lang: Lang) -> Result<Value> {
        if let Some(client) = place.client(lang)? {
            return client.post("/api/v1/verify", &scope).await;
        }
        let data = place.existing_dir(lang)?;
        let text = |key: &str| scope[key].as_str();
        let scope_no_cold = scope["no_cold"] == true;
        let event = text("event.id")
            .map(|id| id.parse().map_err(|error| crate::commands::prove::no_id(id, &error, lang)));
        let event = event.transpose()?;
        let scope = VerifyScope::parse(text("from"), text("to"), event);
        let scope = scope.map_err(|error| said(error, lang))?;
        let scope = VerifyScope { no_cold: scope_no_cold, ..scope };
        let report = tokio::task::spawn_blocking(move || {
            let _lock = yagura_journal::DirLock::acquire(&data.lock())?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            yagura_node::verify_dir(&data, &scope, &clock)
        });
        Ok(serde_json::to_value(report.await??)?)
    }
}

/// The cold store of `lake.cold`, without its account.
pub fn cold(config: &Config) -> Result<Option<TierOptions>> {
    let Some(cold) = &config.lake.cold else { return Ok(None) };
    let options = cold.options();
    let lang = config.lang;
    let wrong = |error: NodeError| anyhow::Error::msg(error.words().text(lang).to_owned());
    options.check().map_err(wrong)?;
    if cold.access_key_id.is_some() != cold.secret_file.is_some() {
        return Err(anyhow::Error::msg(crate::told::either(
            lang,
            "lake.cold: access_key_id and secret_file belong together",
            "lake.cold: access_key_id と secret_file は両方を書いてください",
        )));
    }
    Ok(Some(options))
}

/// The streams of `lake.keep_raw`.
pub fn keep_raw(config: &Config) -> Result<KeepRaw> {
    let no_stream = |name: &&String| *name != "*" && StreamName::new(name).is_err();
    let Some(name) = config.lake.keep_raw.iter().find(no_stream) else {
        return Ok(KeepRaw::new(config.lake.keep_raw.iter().cloned()));
    };
    let said = match config.lang {
        Lang::En => format!(
            "lake.keep_raw: {name:?} is not the name of a stream (such as \"syslog\"; \"*\" for all)"
        ),
        Lang::Ja => format!(
            "lake.keep_raw: {name:?} はストリーム名として使えません（例: \"syslog\"、すべてなら \"*\"）"
        ),
    };
    Err(anyhow::Error::msg(said))
}

/// What the configuration says of the node.
pub fn node_options(config: &Config) -> Result<NodeOptions> {
    let defaults = NodeOptions::default();
    let seconds = std::time::Duration::from_secs;
    Ok(NodeOptions {
        builtin_rules: config.rules.builtin,
        rule_dirs: config.rules.dirs.clone(),
        rule_lists: config.rules.lists.clone(),
        rule_pipelines: config.rules.pipelines.clone(),
        rule_zone: config.rule_zone()?,
        rules_recorded_as: None,
        sources: None,
        enrich: None,
        retention: None,
        content: crate::content::read(&config.content.dirs, config.lang)?,
        journal: yagura_journal::JournalOptions {
            queue_bytes: config.journal.queue_mib * 1024 * 1024,
            checkpoint_interval: seconds(config.journal.checkpoint_interval_s),
            heartbeat_interval: seconds(config.journal.heartbeat_interval_s),
            ..defaults.journal
        },
        hot_bytes_max: config.lake.hot_mib * 1024 * 1024,
        flush_interval: seconds(config.lake.flush_interval_s),
        compact: None,
        keep_raw: keep_raw(config)?,
        cold: None,
        desk: yagura_desk::DeskOptions {
            min_level: config.alerts.min_level,
            window_micros: i64::try_from(config.alerts.group_window_h * 3_600_000_000)?,
            notify_level: config.webhook.as_ref().map(|webhook| webhook.min_level),
            risk: config.alerts.risk()?,
        },
        correlations: config.correlations.options(),
    })
}

/// A node's error, in the user's language; what the user asked wrongly is misuse.
pub fn said(error: NodeError, lang: Lang) -> anyhow::Error {
    match error {
        NodeError::Request { message, message_ja, place } => {
            let message = if lang == Lang::Ja { message_ja } else { message };
            let place = place.map(|place| format!("\n{place}")).unwrap_or_default();
            Misuse(format!("{message}{place}")).into()
        }
        NodeError::NotFound { message, message_ja } => {
            Misuse(if lang == Lang::Ja { message_ja } else { message }).into()
        }
        other => other.into(),
    }
}
