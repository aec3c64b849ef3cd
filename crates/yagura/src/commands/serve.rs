use crate::backend::{cold, default_data_dir, node_options};
use crate::config::Config;
use crate::told::{either, in_lang};
use anyhow::{Context, Result};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::Notify;
use yagura_api::{Counting, HttpCounters, Listener, ServeOptions};
use yagura_event::{Clock, Lang, SystemClock};
use yagura_intake::stop_pair;
use yagura_intake::syslog::{SyslogCounters, TcpOptions, UdpOptions, serve_tcp, serve_udp};
use yagura_node::{CompactOptions, DataDir, Node, ReloadRequest, SourceOptions};

/// `yagura serve`
#[derive(Args)]
#[command(after_help = "\
Listens on this machine only: HTTP and the page on 127.0.0.1:8440, syslog on 127.0.0.1:5514 (UDP
and TCP). Stop it with Ctrl-C; nothing acknowledged is lost if it is killed. SIGHUP reads the rules
again without stopping.

Examples:
  yagura serve
  yagura serve --data /srv/yagura --config /etc/yagura.toml
  yagura serve --rules ./sigma/rules")]
pub struct Serve {
    /// The data directory [default: yagura in the user's data directory]
    #[arg(long, value_name = "DIR", env = "YAGURA_DATA")]
    data: Option<PathBuf>,
    /// The configuration file; `yagura config show` lists its keys
    #[arg(long, value_name = "FILE", env = "YAGURA_CONFIG")]
    config: Option<PathBuf>,
    /// Address of the page and the API
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Address for syslog over TCP (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    syslog_tcp: Vec<SocketAddr>,
    /// Address for syslog over UDP (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    syslog_udp: Vec<SocketAddr>,
    /// Directories of Sigma rules, besides our own
    #[arg(long, value_name = "DIR", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Directories (or files) of mappings, besides the built-in ones; see docs/mappings.md
    #[arg(long, value_name = "DIR", num_args = 1..)]
    content: Vec<PathBuf>,
}

/// Time between two looks for detection gaps.
const GAPS_EVERY: Duration = Duration::from_secs(5);

/// Time between two looks at databases and inventories.
const ENRICHMENT_EVERY: Duration = Duration::from_secs(5);

/// Time between two looks at what policies let go.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);

/// Time between two looks at what is due to go to the cold store.
const TIERS_EVERY: Duration = Duration::from_secs(600);

/// How long open connections are given to end.
const GRACE: Duration = Duration::from_secs(5);

/// Refused rules told on the terminal; the status of the API names more.
const REFUSALS_TOLD_MAX: usize = 200;

/// Connections that may wait to be accepted; the kernel's `net.core.somaxconn` caps it.
const WAITING_CONNECTIONS_MAX: u32 = 4_096;

/// Files kept for ourselves when connections could use up all that may be open.
const OWN_FILES: usize = 512;

impl Serve {
    pub async fn run(self, asked: Option<Lang>, lang: Lang) -> Result<ExitCode> {
        let mut config = Config::load(self.config.as_deref(), asked, lang)?;
        config.http.listen = self.http.unwrap_or(config.http.listen);
        if !self.syslog_tcp.is_empty() {
            config.syslog.tcp = self.syslog_tcp;
        }
        if !self.syslog_udp.is_empty() {
            config.syslog.udp = self.syslog_udp;
        }
        config.rules.dirs.extend(self.rules);
        config.content.dirs.extend(self.content);
        config.check().map_err(|error| in_lang(error, config.lang))?;
        let data = match self.data {
            Some(dir) => dir,
            None => default_data_dir(config.lang)?,
        };
        let lang = config.lang;
        let served = serve(DataDir::new(data), config).await;
        served.map_err(|error| in_lang(error, lang))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(data: DataDir, config: Config) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = node_options(&config)?;
    options.sources = Some(SourceOptions { zone: config.zone()?, sources: config.source.clone() });
    options.enrich = Some(config.enrichment());
    options.retention = Some(config.retention.clone());
    options.rules_recorded_as = Some("yagura serve".to_owned());
    options.compact = config.lake.compact.then(|| CompactOptions {
        files_min: config.lake.compact_files_min,
        ..CompactOptions::default()
    });
    options.cold = cold(&config)?;
    if let (Some(options), Some(cold)) = (&mut options.cold, &config.lake.cold) {
        options.store.access_key = cold.access_key(config.lang)?;
        options.every = Some(TIERS_EVERY);
    }
    let (opening, opening_clock) = (data.clone(), clock.clone());
    let opened = tokio::task::spawn_blocking(move || Node::open(opening, options, opening_clock));
    let node = Arc::new(opened.await??);
    report_opening(&node);
    report_enrichment(&node, config.lang);

    let watching = tokio::spawn(watch_gaps(node.clone()));
    let retaining = tokio::spawn(keep_policies(node.clone()));
    let again = Arc::new(Notify::new());
    let refreshing = tokio::spawn(watch_enrichment(node.clone(), again.clone()));
    let restarting = tokio::spawn(restart_hunts(node.clone()));

    let (syslog_connections_max, http_connections_max) = affordable_connections(&config);
    let (stop, signal) = stop_pair();
    let mut listeners = Vec::new();
    let mut tasks = Vec::new();
    for address in &config.syslog.tcp {
        let listener = listen(*address)
            .with_context(|| not_listening(address, "syslog (TCP)", config.lang))?;
        let counters = Arc::new(SyslogCounters::default());
        listeners.push(told(
            "syslog-tcp",
            listener.local_addr()?,
            Counting::Syslog(counters.clone()),
        ));
        let options = TcpOptions {
            frame_bytes_max: config.syslog.message_bytes_max,
            connections_max: syslog_connections_max,
            idle_timeout: Duration::from_secs(config.syslog.idle_timeout_s),
            ..TcpOptions::default()
        };
        let (sink, clock, signal) = (node.sink(), clock.clone(), signal.clone());
        tasks.push(tokio::spawn(serve_tcp(listener, sink, clock, options, counters, signal)));
    }
    for address in &config.syslog.udp {
        let socket = UdpSocket::bind(address)
            .await
            .with_context(|| not_listening(address, "syslog (UDP)", config.lang))?;
        let counters = Arc::new(SyslogCounters::default());
        listeners.push(told(
            "syslog-udp",
            socket.local_addr()?,
            Counting::Syslog(counters.clone()),
        ));
        let options = UdpOptions {
            frame_bytes_max: config.syslog.message_bytes_max,
            ..UdpOptions::default()
        };
        let (sink, clock, signal) = (node.sink(), clock.clone(), signal.clone());
        tasks.push(tokio::spawn(serve_udp(socket, sink, clock, options, counters, signal)));
    }
    let http = listen(config.http.listen)
        .with_context(|| not_listening(&config.http.listen, "HTTP", config.lang))?;
    let http_counters = Arc::new(HttpCounters::default());
    listeners.push(told("http", http.local_addr()?, Counting::Http(http_counters.clone())));
    let http_options = ServeOptions {
        connections_max: http_connections_max,
        idle_timeout: Duration::from_secs(config.http.idle_timeout_s),
        request_timeout: Duration::from_secs(config.http.request_timeout_s),
    };
    let (webhook, sending) = crate::commands::webhook::start(&config, &node)?.unzip();
    let forwarding = crate::commands::forward::start(&config, &node)?;
    let mut feeds_signal = signal.clone();
    let hunter = node.hunter().clone();
    tasks.push(tokio::spawn(hunter.keep_pulling(async move { feeds_signal.stopped().await })));
    let mut scheduled_signal = signal.clone();
    let scheduled = node.clone().keep_scheduled(async move { scheduled_signal.stopped().await });
    tasks.push(tokio::spawn(scheduled));

    let (counters, ending) = (http_counters.clone(), signal.clone());
    let shown = config.shown()?.into();
    let app = yagura_api::router(
        node.clone(),
        listeners,
        &http_options,
        counters,
        ending,
        webhook,
        shown,
    );
    tasks.push(tokio::spawn(yagura_api::serve(http, app, http_options, http_counters, signal)));
    match config.lang {
        Lang::En => eprintln!("ready; Ctrl-C stops. Data is in {}", data.root().display()),
        Lang::Ja => eprintln!("準備完了。Ctrl-C で停止します。データ: {}", data.root().display()),
    }

    until_told_to_stop(&node, &again).await?;
    stop.stop();
    let ended = tokio::time::timeout(GRACE, async {
        for task in tasks {
            // A task that panicked has nothing left to end.
            let _ = task.await;
        }
    });
    if ended.await.is_err() {
        tracing::warn!("connections were still open and are cut off");
    }
    if let Some(sending) = sending {
        sending.abort();
    }
    forwarding.iter().for_each(tokio::task::JoinHandle::abort);
    watching.abort();
    retaining.abort();
    refreshing.abort();
    restarting.abort();
    tokio::task::spawn_blocking(move || node.close()).await??;
    Ok(())
}

fn not_listening(address: &SocketAddr, what: &str, lang: Lang) -> String {
    either(
        lang,
        format!("cannot listen on {address} for {what}"),
        format!("{what} を {address} で待ち受けられません"),
    )
}

/// Listens with room for a crowd: past the usual 128 waiting connections the kernel drops, and the
/// sender tries again a second later.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_CONNECTIONS_MAX)
}

/// Says where we listen, in a form that programs can read too.
fn told(kind: &'static str, address: SocketAddr, counters: Counting) -> Listener {
    let address = match kind {
        "http" => format!("http://{address}"),
        _ => address.to_string(),
    };
    eprintln!("listening {kind} {address}");
    Listener { kind, address, counters }
}

/// Raises the number of files we may have open as far as we are allowed to, and says how many
/// connections each syslog listener and the HTTP listener can then take without starving the
/// journal of files.
fn affordable_connections(config: &Config) -> (usize, usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit = raised;
    }
    // `None` is no limit.
    let files =
        limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let asked = (config.syslog.connections_max, config.http.connections_max);
    let affordable = share_files(files, asked, config.syslog.tcp.len());
    if affordable != asked {
        tracing::warn!(
            syslog = affordable.0,
            http = affordable.1,
            "fewer connections than configured: raise the limit of open files (ulimit -n)"
        );
    }
    affordable
}

/// Connections of each of `syslog_listeners` and of HTTP, out of those asked for, when so many files may
/// be open. HTTP makes room by itself when it is full, so an eighth is enough for it when files are few.
fn share_files(files: usize, asked: (usize, usize), syslog_listeners: usize) -> (usize, usize) {
    let free = files.saturating_sub(OWN_FILES).max(files / 2);
    let wanted = asked.0.saturating_mul(syslog_listeners).saturating_add(asked.1);
    if wanted <= free {
        return asked;
    }
    let http = asked.1.min(free / 8).max(1);
    (asked.0.min(free.saturating_sub(http) / syslog_listeners.max(1)).max(1), http)
}

/// Starts hunts again that the last process did not finish. What the journal still held must be there
/// to be looked at.
async fn restart_hunts(node: Arc<Node>) {
    node.ready().await;
    let hunter = node.hunter().clone();
    if let Err(error) = tokio::task::spawn_blocking(move || hunter.restart_interrupted()).await {
        tracing::error!(%error, "interrupted hunts were not started again");
    }
}

/// Looks for detection gaps until it is aborted.
async fn watch_gaps(node: Arc<Node>) {
    loop {
        let looking = node.clone();
        match tokio::task::spawn_blocking(move || looking.look_for_gaps()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "detection gaps could not be recorded"),
            Err(error) => tracing::error!(%error, "the look for detection gaps broke off"),
        }
        tokio::time::sleep(GAPS_EVERY).await;
    }
}

/// Deletes what policies let go, where that is switched on, until it is aborted.
async fn keep_policies(node: Arc<Node>) {
    node.ready().await;
    loop {
        let running = node.clone();
        match tokio::task::spawn_blocking(move || running.run_retention("yagura")).await {
            Ok(Ok(done)) if done["batches"] == 0 => {}
            Ok(Ok(done)) => tracing::info!(%done, "events were deleted by their policies"),
            Ok(Err(error)) => tracing::error!(%error, "what policies let go is not deleted"),
            Err(error) => tracing::error!(%error, "the look at policies broke off"),
        }
        tokio::time::sleep(RETENTION_EVERY).await;
    }
}

/// Keeps databases and inventories up to date until it is aborted; at once where `again` is told. A task
/// of its own, one look at a time: a slow disk under those files holds up nothing else.
async fn watch_enrichment(node: Arc<Node>, again: Arc<Notify>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ENRICHMENT_EVERY) => {
                refresh_enrichment(&node, false, "change").await;
            }
            () = again.notified() => refresh_enrichment(&node, true, "SIGHUP").await,
        }
    }
}

/// Uses databases and inventories that are others than before; `again` also tries those that were
/// wrong.
async fn refresh_enrichment(node: &Arc<Node>, again: bool, cause: &'static str) {
    let looking = node.clone();
    let done = tokio::task::spawn_blocking(move || {
        looking.refresh_enrichment(again, "yagura serve", cause)
    });
    match done.await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => tracing::info!("databases or inventories have changed and are in use"),
        Ok(Err(error)) => tracing::error!(%error, "databases and inventories stay as they were"),
        Err(error) => tracing::error!(%error, "the look at databases and inventories broke off"),
    }
}

fn report_enrichment(node: &Node, lang: Lang) {
    let state = node.enrichment();
    for file in state["files"].as_array().into_iter().flatten() {
        let text = |key: &str| file[key].as_str().unwrap_or_default();
        tracing::info!(role = text("role"), path = text("path"), rows = %file["rows"], "enrichment");
    }
    if let Some(notice) = state["notice"][lang.as_str()].as_str() {
        tracing::info!("{notice}");
    }
}

fn report_opening(node: &Node) {
    let recovery = node.recovery();
    if recovery.torn_bytes > 0 || recovery.damage_count > 0 {
        tracing::warn!(
            torn_bytes = recovery.torn_bytes,
            damages = recovery.damage_count,
            lost_records = recovery.lost_records,
            "the journal was repaired; `yagura verify` tells more"
        );
    }
    let rules = node.rules();
    tracing::info!(loaded = rules.loaded, refused = rules.refused.len(), "rules");
    for refusal in rules.refused.iter().take(REFUSALS_TOLD_MAX) {
        tracing::warn!(%refusal, "rule refused");
    }
    if let Some(more) = rules.refused.len().checked_sub(REFUSALS_TOLD_MAX + 1) {
        tracing::warn!(more = more + 1, "rules refused; /api/v1/status names them");
    }
}

/// SIGHUP reads the rules again, as `POST /api/v1/rules/reload` does, and what events are enriched with.
async fn until_told_to_stop(node: &Arc<Node>, again: &Notify) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut reload = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
            _ = terminate.recv() => return Ok(()),
            _ = reload.recv() => {
                let node = node.clone();
                let reloading = tokio::task::spawn_blocking(move || {
                    node.reload_rules(&ReloadRequest::default(), "signal", "SIGHUP")
                });
                match reloading.await? {
                    Ok(done) => tracing::info!(
                        loaded = %done["loaded"],
                        refused = %done["refused"],
                        changes = %done["counts"],
                        "rules reloaded"
                    ),
                    Err(error) => tracing::error!(%error, "rules not reloaded"),
                }
                again.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_journal() {
        assert_eq!(share_files(1_000_000, (12_000, 4_096), 1), (12_000, 4_096));
        assert_eq!(share_files(12_000, (12_000, 4_096), 1), (10_052, 1_436));
        assert_eq!(share_files(1_024, (12_000, 4_096), 2), (224, 64));
        assert_eq!(share_files(1_024, (100, 50), 1), (100, 50));
        assert_eq!(share_files(0, (100, 50), 0), (1, 1));
    }
}
