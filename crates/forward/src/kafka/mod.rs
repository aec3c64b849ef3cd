//! Topics of Apache Kafka, and of what speaks its protocol.
//!
//! Every request waits until all replicas in sync have its records (`acks=all`); only then they count as
//! taken. The broker of each partition is spoken to for itself, so one partition may be taken while another
//! has no leader: what is settled already is remembered, and not sent again while the rest is tried.
//!
//! The client connects to the brokers that the cluster names. Only the addresses of those that the settings
//! name can be checked before; for the others the certificate vouches. So without `allow_private` there is
//! no way without TLS, and whoever has no certificate by `ca_file` gets a TLS greeting and nothing else.

mod partition;
mod reason;
mod round;

use crate::limits::{
    BATCH_BYTES, BROKERS_MAX, CONNECTED_SECONDS_MAX, CONNECTIONS_MAX, PARTITIONS_AT_ONCE_MAX,
    REPLY_BYTES_MAX, TIMEOUT_SECONDS, TOPIC_BYTES_MAX, USER_BYTES_MAX,
};
use crate::settings::{Key, Sasl, Settings};
use crate::target::{Later, Sent};
use crate::{ForwardError, Row, address, tls};
use futures::future::join_all;
use round::{Delivered, Fate, Round};
use rskafka::BackoffConfig;
use rskafka::client::partition::PartitionClient;
use rskafka::client::{
    Client, ClientBuilder, Credentials, OauthBearerCredentials, OauthCallback, SaslConfig,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::ClientConfig;

/// Host and port.
type Broker = (String, u16);

pub(crate) struct Kafka {
    brokers: Vec<Broker>,
    topic: String,
    key: Key,
    allow_private: bool,
    tls: Option<Arc<ClientConfig>>,
    sasl: Option<SaslConfig>,
    receiver: String,
    session: Option<Session>,
    /// Requests so far: partitions take turns for events without a key.
    turn: usize,
    /// What is settled behind an event that is not, by `event.id`: at most one request's events.
    ahead: HashMap<String, Fate>,
    /// Bytes of one batch; fewer once the topic refused a batch as too large.
    batch_bytes: usize,
}

/// What is connected.
struct Session {
    client: Client,
    /// The topic's partitions, by number.
    partitions: Vec<i32>,
    /// Connections to leaders of partitions.
    open: BTreeMap<i32, PartitionClient>,
    since: Instant,
}

impl Kafka {
    pub(crate) fn new(settings: &Settings) -> Result<Kafka, ForwardError> {
        let (scheme, brokers) = brokers(settings)?;
        let topic = topic(settings)?;
        if settings.index.is_some() {
            return Err(settings.refuse(
                "Kafka has a topic, no index: leave index out",
                "Kafka にはインデックスではなくトピックがあります。index を外してください",
            ));
        }
        let tls = tls::client(settings, scheme == "tls")?;
        let sasl = sasl(settings)?;
        let places: Vec<String> =
            brokers.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let receiver = format!("{scheme}://{}/{topic}", places.join(","));
        Ok(Kafka {
            brokers,
            topic,
            key: settings.key,
            allow_private: settings.allow_private,
            tls,
            sasl,
            receiver,
            session: None,
            turn: 0,
            ahead: HashMap::new(),
            batch_bytes: BATCH_BYTES,
        })
    }

    pub(crate) fn receiver(&self) -> &str {
        &self.receiver
    }

    /// Sends events, `values` being what stands for each.
    pub(crate) async fn send(&mut self, events: &[Row], values: &[Vec<u8>]) -> Result<Sent, Later> {
        let young = |session: &Session| is_young(session.since.elapsed());
        let mut session = match self.session.take().filter(young) {
            Some(session) => session,
            None => self.connect().await?,
        };
        let mut fates: Vec<Option<Fate>> =
            events.iter().map(|event| self.ahead.get(round::id(event)).cloned()).collect();
        let mut wanted: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            if fates.get(at).is_some_and(Option::is_none) {
                let partition = self.partition_of(event, &session.partitions)?;
                wanted.entry(partition).or_default().push(at);
            }
        }
        self.turn = self.turn.wrapping_add(1);
        let later = self.deliver(&mut session, events, values, wanted, &mut fates).await;
        if later.is_none() {
            while session.open.len() > CONNECTIONS_MAX {
                session.open.pop_first();
            }
            self.session = Some(session);
        }
        self.settle(events, fates, later)
    }

    fn partition_of(&self, event: &Row, partitions: &[i32]) -> Result<i32, Later> {
        let at = match round::key(self.key, event) {
            Some(key) => partition::of_key(&key, partitions.len()),
            None => self.turn.checked_rem(partitions.len()).unwrap_or_default(),
        };
        let none = || {
            let topic = &self.topic;
            Later::new(
                format!("the topic {topic} has no partitions"),
                format!("トピック {topic} にパーティションがありません"),
            )
        };
        partitions.get(at).copied().ok_or_else(none)
    }

    /// Writes to each partition what is for it, to some at a time. Answers why something has to be tried
    /// again, if so.
    async fn deliver(
        &mut self,
        session: &mut Session,
        events: &[Row],
        values: &[Vec<u8>],
        wanted: BTreeMap<i32, Vec<usize>>,
        fates: &mut [Option<Fate>],
    ) -> Option<Later> {
        let round = Round {
            client: &session.client,
            topic: &self.topic,
            key: self.key,
            events,
            values,
            batch_bytes: self.batch_bytes,
        };
        let mut wanted: Vec<(i32, Vec<usize>)> = wanted.into_iter().collect();
        let mut later = None;
        while !wanted.is_empty() {
            let mut now = Vec::new();
            for (partition, places) in wanted.drain(..wanted.len().min(PARTITIONS_AT_ONCE_MAX)) {
                now.push(round.deliver(partition, session.open.remove(&partition), places));
            }
            for delivered in join_all(now).await {
                let Delivered { partition, client, fates: settled, too_large, later: why } =
                    delivered;
                for (at, fate) in settled {
                    if let Some(place) = fates.get_mut(at) {
                        *place = Some(fate);
                    }
                }
                if let Some(bytes) = too_large {
                    self.batch_bytes = self.batch_bytes.min(bytes / 2).max(1);
                }
                if let Some(client) = client {
                    session.open.insert(partition, client);
                }
                later = later.or(why);
            }
        }
        later
    }

    /// What is settled up to the first event that is not; what is settled behind it is kept in mind.
    fn settle(
        &mut self,
        events: &[Row],
        fates: Vec<Option<Fate>>,
        later: Option<Later>,
    ) -> Result<Sent, Later> {
        self.ahead.clear();
        let open = fates.iter().position(Option::is_none);
        let mut refused = Vec::new();
        for (at, (fate, event)) in fates.into_iter().zip(events).enumerate() {
            match fate {
                Some(fate) if open.is_some_and(|open| at > open) => {
                    self.ahead.insert(round::id(event).to_owned(), fate);
                }
                Some(Fate::Refused(reason)) => refused.push((at, reason)),
                Some(Fate::Taken) | None => {}
            }
        }
        match (open, later) {
            (None, _) => Ok(Sent::Taken(refused)),
            (Some(0), later) => {
                let nothing = || Later::new("it took nothing of it", "何も受け取られませんでした");
                Err(later.unwrap_or_else(nothing))
            }
            (Some(first), _) => Ok(Sent::Partly(first, refused)),
        }
    }

    async fn connect(&mut self) -> Result<Session, Later> {
        self.batch_bytes = BATCH_BYTES;
        let mut named = Vec::new();
        let mut unknown = None;
        for (host, port) in &self.brokers {
            // One that is unknown just now, or an inner one, is left out while there are others.
            match address::checked(host, *port, self.allow_private).await {
                Ok(_) => named.push(format!("{host}:{port}")),
                Err(later) => unknown = Some(later),
            }
        }
        if let (true, Some(later)) = (named.is_empty(), unknown) {
            return Err(later);
        }
        let mut builder = ClientBuilder::new(named)
            .client_id("yagura")
            .max_message_size(REPLY_BYTES_MAX)
            // One attempt each: who sends knows how long to wait, and says why.
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
                deadline: Some(Duration::ZERO),
            });
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(tls.clone());
        }
        if let Some(sasl) = &self.sasl {
            builder = builder.sasl_config(sasl.clone());
        }
        let client = in_time(builder.build()).await?.map_err(|error| reason::later(&error))?;
        let topics = in_time(client.list_topics()).await?.map_err(|error| reason::later(&error))?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let partitions: Vec<i32> = topic.into_iter().flat_map(|topic| topic.partitions).collect();
        if partitions.is_empty() {
            let topic = &self.topic;
            return Err(Later::new(
                format!(
                    "there is no topic {topic}, or this user may not see it: create it, or allow it \
                     (Describe and Write)"
                ),
                format!(
                    "トピック {topic} がないか、このユーザーから見えません。トピックを作るか、権限（Describe と \
                     Write）を与えてください"
                ),
            ));
        }
        let mut partitions = partitions;
        partitions.sort_unstable();
        Ok(Session { client, partitions, open: BTreeMap::new(), since: Instant::now() })
    }
}

/// Whether a session of this age is used once more.
fn is_young(age: Duration) -> bool {
    age < Duration::from_secs(CONNECTED_SECONDS_MAX)
}

/// Waits for an answer, but not for ever.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Later> {
    let limit = Duration::from_secs(TIMEOUT_SECONDS);
    tokio::time::timeout(limit, answer).await.map_err(|_| Later::late())
}

/// The scheme, and the brokers.
fn brokers(settings: &Settings) -> Result<(&str, Vec<Broker>), ForwardError> {
    let wrong = || {
        settings.refuse(
            format!(
                "url: write tls://host:port or tcp://host:port, several brokers as \
                 tls://host:port,host:port (up to {BROKERS_MAX}), by name or IPv4 address"
            ),
            format!(
                "url: tls://ホスト:ポート か tcp://ホスト:ポート で書いてください。ブローカーが複数なら \
                 tls://ホスト:ポート,ホスト:ポート（{BROKERS_MAX}個まで、名前かIPv4アドレス）"
            ),
        )
    };
    let (scheme, places) = settings.url.trim().split_once("://").ok_or_else(wrong)?;
    if !matches!(scheme, "tls" | "tcp") {
        return Err(wrong());
    }
    let mut brokers = Vec::new();
    for place in places.trim_end_matches('/').split(',') {
        let (host, port) = place.trim().split_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.contains(['/', '@', ' ', '[']) || brokers.len() == BROKERS_MAX {
            return Err(wrong());
        }
        brokers.push((host.to_owned(), port));
    }
    Ok((scheme, brokers))
}

fn topic(settings: &Settings) -> Result<String, ForwardError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_topic = |topic: &&String| {
        (1..=TOPIC_BYTES_MAX).contains(&topic.len())
            && topic.bytes().all(is_part)
            && !matches!(topic.as_str(), "." | "..")
    };
    settings.topic.as_ref().filter(is_topic).cloned().ok_or_else(|| {
        settings.refuse(
            format!("topic: name one, with 1 to {TOPIC_BYTES_MAX} of a-z, A-Z, 0-9, ., - and _"),
            format!("topic: 英数字、.、-、_ の{TOPIC_BYTES_MAX}文字までで指定してください"),
        )
    })
}

/// Who we say we are.
fn sasl(settings: &Settings) -> Result<Option<SaslConfig>, ForwardError> {
    let Some(mechanism) = settings.sasl else {
        if settings.token_file.is_none() && settings.user.is_none() {
            return Ok(None);
        }
        return Err(settings.refuse(
            "token_file and user need sasl: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
            "token_file と user には sasl（PLAIN、SCRAM-SHA-256、SCRAM-SHA-512、OAUTHBEARER）が必要です",
        ));
    };
    let Some(token) = settings.token()? else {
        return Err(settings.refuse(
            "sasl needs token_file: the file with the password or token",
            "sasl には token_file（パスワードかトークンのファイル）が必要です",
        ));
    };
    let may_be = |user: &&String| {
        (1..=USER_BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control)
    };
    let with_password = |config: fn(Credentials) -> SaslConfig| {
        let Some(user) = settings.user.as_ref().filter(may_be) else {
            return Err(settings.refuse(
                format!("this sasl needs user: 1 to {USER_BYTES_MAX} bytes"),
                format!("この sasl には user（{USER_BYTES_MAX}バイトまで）が必要です"),
            ));
        };
        Ok(Some(config(Credentials::new(user.clone(), token.clone()))))
    };
    match mechanism {
        Sasl::Plain => with_password(SaslConfig::Plain),
        Sasl::ScramSha256 => with_password(SaslConfig::ScramSha256),
        Sasl::ScramSha512 => with_password(SaslConfig::ScramSha512),
        Sasl::OauthBearer if settings.user.is_some() => Err(settings.refuse(
            "OAUTHBEARER has no user, only a token: leave user out",
            "OAUTHBEARER に user はなく、トークンだけです。user を外してください",
        )),
        Sasl::OauthBearer => {
            // Tokens do not live long: whoever renews them writes the file anew.
            let settings = settings.clone();
            let callback: OauthCallback = Arc::new(move || {
                let token = settings.token().map(Option::unwrap_or_default);
                Box::pin(async move { token.map_err(Into::into) })
            });
            let credentials =
                OauthBearerCredentials { callback, authz_id: None, bearer_kvs: Vec::new() };
            Ok(Some(SaslConfig::Oauthbearer(credentials)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_used_until_its_age() {
        let age = Duration::from_secs(CONNECTED_SECONDS_MAX);
        assert!(is_young(age - Duration::from_nanos(1)));
        assert!(!is_young(age));
    }
}
