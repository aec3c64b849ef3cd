use crate::address::is_public;
use crate::alert::{Alert, AlertId};
use crate::desk::Desk;
use crate::entry::{Delivery, Outcome};
use crate::limits::{
    WEBHOOK_ATTEMPTS_MAX, WEBHOOK_BACKOFF_SECONDS_MAX, WEBHOOK_PARALLEL_MAX, WEBHOOK_QUEUE_MAX,
    WEBHOOK_REPLY_BYTES_MAX, WEBHOOK_SECRET_BYTES_MAX, WEBHOOK_SECRET_BYTES_MIN,
    WEBHOOK_TIMEOUT_SECONDS,
};
use crate::signature::{SIGNATURE_HEADER, sign};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use serde_json::json;
use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yagura_event::{Level, Words};

/// Header with the id of a delivery: the same for every attempt, so that a receiver can tell a
/// repeated one.
pub const DELIVERY_HEADER: &str = "Yagura-Delivery";

/// Where alerts are sent, and which.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The receiver: `https://`, or `http://` where `allow_private` is set.
    pub url: String,
    /// The key of the signatures.
    pub secret: WebhookSecret,
    /// Alerts below this level are not sent.
    pub min_level: Level,
    /// Whether the receiver may have a private, loopback, link-local or otherwise inner address, and
    /// may be spoken to without TLS.
    pub allow_private: bool,
    /// Wait before the second attempt; every further wait is twice as long, up to
    /// [`WEBHOOK_BACKOFF_SECONDS_MAX`]. Default of the configuration: 1 second.
    pub first_wait: Duration,
}

/// The key of a webhook's signatures. Never printed.
#[derive(Clone)]
pub struct WebhookSecret(Arc<[u8]>);

/// A webhook that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The address is not one we send to.
    #[error("webhook address: {reason}")]
    Url {
        /// What is wrong and what would be right.
        reason: Words,
    },
    /// The secret is not usable.
    #[error("webhook secret {path}: {reason}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: Words,
    },
    /// The HTTP client cannot start.
    #[error("webhook: the HTTP client cannot start")]
    Client(#[source] reqwest::Error),
}

impl WebhookError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let ja = match self {
            WebhookError::Url { reason } => format!("webhook のアドレス: {}", reason.ja()),
            WebhookError::Secret { path, reason } => {
                format!("webhook の共有鍵 {}: {}", path.display(), reason.ja())
            }
            WebhookError::Client(error) => {
                format!("webhook: HTTPクライアントを開始できません（{error}）")
            }
        };
        Words::new(self.to_string(), ja)
    }
}

/// What became of a webhook's deliveries, since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct WebhookStats {
    /// Taken by the receiver.
    pub delivered: u64,
    /// Given up.
    pub failed: u64,
    /// Put off, because [`WEBHOOK_QUEUE_MAX`] were waiting; one alert may be put off repeatedly.
    pub put_off: u64,
    /// Requests sent.
    pub attempts: u64,
    /// Under way or waiting.
    pub waiting: usize,
}

/// Tells another system of alerts: signed, with bounded retries, never following redirects.
#[derive(Clone)]
pub struct Webhook {
    shared: Arc<Shared>,
}

struct Shared {
    desk: Arc<Desk>,
    client: Client,
    url: Url,
    receiver: String,
    secret: WebhookSecret,
    min_level: Level,
    first_wait: Duration,
    /// Alerts being delivered, at most [`WEBHOOK_QUEUE_MAX`].
    under_way: Mutex<HashSet<AlertId>>,
    /// Whether an alert found no place since the desk was last asked for undelivered ones.
    missed: AtomicBool,
    /// One permit for each delivery that may wait.
    places: Arc<Semaphore>,
    /// One permit for each request that may be under way.
    senders: Semaphore,
    delivered: AtomicU64,
    failed: AtomicU64,
    put_off: AtomicU64,
    attempts: AtomicU64,
}

impl Webhook {
    /// Sets a webhook up. Sends nothing yet.
    ///
    /// # Errors
    /// [`WebhookError::Url`] for an address we do not send to.
    pub fn new(desk: Arc<Desk>, options: WebhookOptions) -> Result<Webhook, WebhookError> {
        let timeout = Duration::from_secs(WEBHOOK_TIMEOUT_SECONDS);
        let (client, url, receiver) = guarded_client(&options.url, options.allow_private, timeout)?;
        let shared = Shared {
            desk,
            client,
            url,
            receiver,
            secret: options.secret,
            min_level: options.min_level,
            first_wait: options.first_wait,
            under_way: Mutex::new(HashSet::new()),
            missed: AtomicBool::new(false),
            places: Arc::new(Semaphore::new(WEBHOOK_QUEUE_MAX)),
            senders: Semaphore::new(WEBHOOK_PARALLEL_MAX),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            put_off: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
        };
        Ok(Webhook { shared: Arc::new(shared) })
    }

    /// Whether `url` is an address that alerts may be sent to, as far as that can be said without asking
    /// for its name.
    ///
    /// # Errors
    /// [`WebhookError::Url`] for an address we do not send to.
    pub fn check_address(url: &str, allow_private: bool) -> Result<(), WebhookError> {
        check_url(url, allow_private).map(drop)
    }

    /// Sends `alert` as `alert.raised`, if it is severe enough, and returns at once. How it ends is
    /// written to the audit log. To be called in a tokio runtime, after the alert is durable.
    ///
    /// Where [`WEBHOOK_QUEUE_MAX`] deliveries wait already, it is counted and sent once there is
    /// room, as long as it is among [`Desk::undelivered`].
    pub fn deliver(&self, alert: Arc<Alert>) {
        Shared::deliver(&self.shared, alert);
    }

    /// Sends what the desk holds for undelivered: to be called once after a restart.
    pub fn deliver_missed(&self) {
        Shared::deliver_missed(&self.shared);
    }

    /// What became of the deliveries.
    pub fn stats(&self) -> WebhookStats {
        let shared = &self.shared;
        WebhookStats {
            delivered: shared.delivered.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            put_off: shared.put_off.load(Ordering::Relaxed),
            attempts: shared.attempts.load(Ordering::Relaxed),
            waiting: WEBHOOK_QUEUE_MAX - shared.places.available_permits(),
        }
    }
}

/// How one attempt ended.
enum Attempt {
    Taken(u16),
    /// Another attempt may do better.
    Later(Option<u16>, String),
    /// No attempt will.
    Never(Option<u16>, String),
}

impl Shared {
    fn deliver(shared: &Arc<Shared>, alert: Arc<Alert>) {
        if alert.rule.level < shared.min_level || shared.under_way().contains(&alert.id) {
            return;
        }
        match shared.places.clone().try_acquire_owned() {
            Ok(place) => {
                shared.under_way().insert(alert.id);
                drop(tokio::spawn(Shared::run(shared.clone(), alert, place)));
            }
            Err(_) => {
                // Said once for each time the queue fills up: an alert storm is loud enough.
                if !shared.missed.swap(true, Ordering::AcqRel) {
                    tracing::warn!(alert = %alert.id, "webhook is full: alerts are sent later");
                }
                shared.put_off.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn deliver_missed(shared: &Arc<Shared>) {
        for alert in shared.desk.undelivered() {
            Shared::deliver(shared, alert);
            if shared.missed.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<AlertId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One delivery from its first attempt to its audit record. Holds its place all the while.
    async fn run(self: Arc<Self>, alert: Arc<Alert>, place: OwnedSemaphorePermit) {
        let id = alert.id;
        let mut delivery = Delivery {
            at: self.desk.now(),
            id,
            delivery: delivery_id(),
            receiver: self.receiver.clone(),
            outcome: Outcome::Failure,
            attempts: 0,
            status: None,
            reason: String::new(),
        };
        self.attempt_until_done(&alert, &mut delivery).await;
        let counter = match delivery.outcome {
            Outcome::Success => &self.delivered,
            Outcome::Failure => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        delivery.at = self.desk.now();
        let desk = self.desk.clone();
        // The append waits for the disk; it must not hold up the runtime.
        let recorded = tokio::task::spawn_blocking(move || desk.record_delivery(delivery)).await;
        self.under_way().remove(&id);
        drop(place);
        match recorded
            .map_err(|error| error.to_string())
            .and_then(|result| result.map_err(|error| error.to_string()))
        {
            // What could not be recorded is still undelivered to the desk: sending it again at once
            // would go on for as long as the audit log is out of order.
            Err(reason) => tracing::error!(alert = %id, reason, "delivery not recorded"),
            Ok(()) => {
                if self.missed.swap(false, Ordering::AcqRel) {
                    Shared::deliver_missed(&self);
                }
            }
        }
    }

    async fn attempt_until_done(&self, alert: &Alert, delivery: &mut Delivery) {
        let body = json!({
            "type": "alert.raised",
            "delivery.id": delivery.delivery,
            "@timestamp": delivery.at,
            "alert": alert,
        });
        let body = body.to_string();
        let mut wait = self.first_wait;
        loop {
            delivery.attempts += 1;
            let attempt = self.attempt(&body, &delivery.delivery).await;
            self.attempts.fetch_add(1, Ordering::Relaxed);
            let last = delivery.attempts >= WEBHOOK_ATTEMPTS_MAX;
            match attempt {
                Attempt::Taken(status) => {
                    delivery.outcome = Outcome::Success;
                    delivery.status = Some(status);
                    delivery.reason = String::new();
                    return;
                }
                Attempt::Never(status, reason) => {
                    delivery.status = status;
                    delivery.reason = reason;
                    return;
                }
                Attempt::Later(status, reason) => {
                    delivery.status = status;
                    delivery.reason = reason;
                }
            }
            if last {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = longer(wait);
        }
    }

    async fn attempt(&self, body: &str, delivery: &str) -> Attempt {
        let Ok(_sender) = self.senders.acquire().await else {
            // The semaphore is never closed.
            return Attempt::Never(None, "shutting down".into());
        };
        let seconds = self.desk.now().as_micros().div_euclid(1_000_000);
        let request = self
            .client
            .post(self.url.clone())
            .header("Content-Type", "application/json")
            .header(DELIVERY_HEADER, delivery)
            .header(SIGNATURE_HEADER, sign(&self.secret.0, seconds, body.as_bytes()))
            .body(body.to_owned());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed_request(error),
        };
        let status = response.status();
        // What the receiver says is of no use to us, but a connection can only be used again when
        // the reply is read; a reply past the cap costs the receiver its connection.
        let mut bytes = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes += chunk.len();
            if bytes > WEBHOOK_REPLY_BYTES_MAX {
                break;
            }
        }
        let code = status.as_u16();
        if status.is_success() {
            Attempt::Taken(code)
        } else if status.is_server_error() || matches!(code, 408 | 425 | 429) {
            Attempt::Later(Some(code), format!("the receiver answered {code}"))
        } else if status.is_redirection() {
            Attempt::Never(
                Some(code),
                format!("the receiver redirects ({code}): set its new address"),
            )
        } else {
            Attempt::Never(Some(code), format!("the receiver refused it ({code})"))
        }
    }
}

/// A client that speaks to `url` and nobody else: it follows no redirect, knows no proxy, and connects to
/// no inner address unless `allow_private` says so. Beside it the address and its `host:port`, which hold
/// no secret as the path and the query may.
///
/// # Errors
/// [`WebhookError::Url`] for an address we do not send to.
pub fn guarded_client(
    url: &str,
    allow_private: bool,
    timeout: Duration,
) -> Result<(Client, Url, String), WebhookError> {
    let (url, receiver) = check_url(url, allow_private)?;
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .user_agent(concat!("yagura/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(GuardedResolver { allow_private }))
        .build()
        .map_err(WebhookError::Client)?;
    Ok((client, url, receiver))
}

/// The wait after `wait`: twice as long, up to [`WEBHOOK_BACKOFF_SECONDS_MAX`].
fn longer(wait: Duration) -> Duration {
    wait.saturating_mul(2).min(Duration::from_secs(WEBHOOK_BACKOFF_SECONDS_MAX))
}

fn failed_request(error: reqwest::Error) -> Attempt {
    // Without the address: its path or query may hold a token.
    let error = error.without_url();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    let mut reason = String::new();
    while let Some(error) = cause {
        if error.is::<InnerAddress>() {
            return Attempt::Never(None, error.to_string());
        }
        reason = error.to_string();
        cause = error.source();
    }
    if error.is_timeout() {
        reason = format!("no answer within {WEBHOOK_TIMEOUT_SECONDS} seconds");
    }
    Attempt::Later(None, reason)
}

/// 128 random bits in hexadecimal.
fn delivery_id() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without random numbers a delivery is still better than none; receivers may see one id twice.
        tracing::error!(%error, "no random numbers for a delivery id");
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A receiver that we do not speak to.
#[derive(Debug, thiserror::Error)]
#[error("{host} has the inner address {address}: set allow_private = true to send there")]
struct InnerAddress {
    host: String,
    address: IpAddr,
}

/// Resolves names and refuses inner addresses, at the moment of connecting: a check made earlier
/// could be passed with one address and connected with another (DNS rebinding).
struct GuardedResolver {
    allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if !allow_private {
                // One inner address among public ones is refused too: which one the connection
                // would take is not ours to say.
                for address in &addresses {
                    check_address(&host, address.ip())?;
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn check_address(host: &str, address: IpAddr) -> Result<(), InnerAddress> {
    if is_public(address) {
        return Ok(());
    }
    Err(InnerAddress { host: host.to_owned(), address })
}

/// The address to send to, and its host and port for the records.
fn check_url(text: &str, allow_private: bool) -> Result<(Url, String), WebhookError> {
    let refuse = |en: &str, ja: &str| Err(WebhookError::Url { reason: Words::new(en, ja) });
    let url = match Url::parse(text.trim()) {
        Ok(url) => url,
        Err(error) => {
            return refuse(
                &format!("not a URL: {error}"),
                &format!("URLではありません（{error}）"),
            );
        }
    };
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        "http" => {
            return refuse(
                "use https, or set allow_private = true",
                "https にするか、allow_private = true を指定してください",
            );
        }
        other => {
            return refuse(
                &format!("{other} is not supported: use https"),
                &format!("{other} は使えません。https にしてください"),
            );
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "a user name or password in it would be logged by others",
            "ユーザー名やパスワードを含めないでください（途中のサーバーに記録されてしまいます）",
        );
    }
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return refuse("it names no host", "ホスト名がありません");
    };
    // The HTTP client connects to an address written as such without asking the resolver.
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if let Ok(address) = literal
        && !allow_private
        && let Err(error) = check_address(host, address)
    {
        let (host, address) = (&error.host, error.address);
        return refuse(
            &error.to_string(),
            &format!(
                "{host} は内部のアドレス {address} です。送るには allow_private = true を指定してください"
            ),
        );
    }
    let receiver = format!("{host}:{port}");
    Ok((url, receiver))
}

impl WebhookSecret {
    /// Reads the secret from a file, whose final line break is not part of it.
    ///
    /// # Errors
    /// [`WebhookError::Secret`] when the file cannot be read, is shorter or longer than the limits
    /// say, or may be read by everybody on this machine.
    pub fn read(path: &Path) -> Result<WebhookSecret, WebhookError> {
        let refuse = |reason: Words| WebhookError::Secret { path: path.to_owned(), reason };
        let unread = |error: std::io::Error| refuse(error.into());
        let file = std::fs::File::open(path).map_err(unread)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let metadata = file.metadata().map_err(unread)?;
            if metadata.permissions().mode() & 0o007 != 0 {
                return Err(refuse(Words::new(
                    "everybody here may read it: chmod 600 it",
                    "誰でも読める状態です。chmod 600 にしてください",
                )));
            }
        }
        let mut bytes = Vec::new();
        let bytes_max = WEBHOOK_SECRET_BYTES_MAX + 2;
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unread)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let range = WEBHOOK_SECRET_BYTES_MIN..=WEBHOOK_SECRET_BYTES_MAX;
        if !range.contains(&text.len()) {
            let (min, max) = (range.start(), range.end());
            return Err(refuse(Words::new(
                format!("it must have {min} to {max} bytes"),
                format!("{min}～{max}バイトにしてください"),
            )));
        }
        Ok(WebhookSecret(text.into()))
    }

    /// The bytes, for tests of receivers.
    pub fn from_bytes(bytes: &[u8]) -> WebhookSecret {
        WebhookSecret(bytes.into())
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, allow_private: bool) -> String {
        match check_url(url, allow_private) {
            Ok((url, _)) => format!("accepted {url}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_we_do_not_send_to_are_refused_with_the_remedy() {
        for inner in [
            "https://127.0.0.1/x",
            "https://0x7f.1/x",
            "https://2130706433/",
            "https://[::1]:8443/",
            "https://[::ffff:169.254.169.254]/",
            "https://10.0.0.1/",
        ] {
            assert!(refusal(inner, false).contains("allow_private"), "{inner}");
            assert!(refusal(inner, true).starts_with("accepted"), "{inner}");
        }
        assert!(refusal("http://example.net/", false).contains("use https"));
        assert!(refusal("ftp://example.net/", true).contains("not supported"));
        assert!(refusal("https://a:b@example.net/", true).contains("password"));
        assert!(refusal("example", true).contains("not a URL"));
        assert_eq!(check_url("https://example.net/t?k=1", false).unwrap().1, "example.net:443");
    }

    #[test]
    fn waits_double_up_to_their_limit() {
        let most = Duration::from_secs(WEBHOOK_BACKOFF_SECONDS_MAX);
        assert_eq!(longer(Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(longer(most / 2), most);
        assert_eq!(longer(most / 2 + Duration::from_millis(1)), most);
        assert_eq!(longer(Duration::MAX), most);
    }

    #[test]
    fn a_secret_is_read_within_its_limits_and_never_shown() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let write = |bytes: usize, mode: u32| {
            std::fs::write(&path, format!("{}\r\n", "k".repeat(bytes))).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            WebhookSecret::read(&path)
        };
        for bytes in [WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRET_BYTES_MAX] {
            assert_eq!(write(bytes, 0o600).unwrap().0.len(), bytes);
        }
        for bytes in [WEBHOOK_SECRET_BYTES_MIN - 1, WEBHOOK_SECRET_BYTES_MAX + 1] {
            assert!(write(bytes, 0o600).unwrap_err().to_string().contains("16 to 4096"));
        }
        assert!(write(32, 0o604).unwrap_err().to_string().contains("chmod 600"));
        let secret = write(32, 0o640).unwrap();
        assert!(!format!("{secret:?}").contains("kkk"));
    }
}
