//! A long job in the background, watched: how far it is as a bar, Ctrl-C as a request to stop.

use crate::backend::Backend;
use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::time::Duration;
use yagura_node::Node;

/// How often a server is asked how far it is.
const POLL: Duration = Duration::from_millis(150);

/// A job of a server, or of a directory of our own, that tells how far it is (and `running`).
pub struct Job {
    /// Where a server tells its state; `/cancel` below it stops it.
    pub path: &'static str,
    /// The name of how much there is to do.
    pub total: &'static str,
    /// The names of what is done, which add up.
    pub done: &'static [&'static str],
    /// Its state in a directory of our own.
    pub state: fn(&Node) -> Value,
    /// Stops it there.
    pub cancel: fn(&Node) -> Value,
}

impl Job {
    /// Follows the job to its end, and answers its last state. The first Ctrl-C stops the job, and what
    /// it says then is waited for.
    pub async fn follow(
        &self,
        backend: &Backend,
        quiet: bool,
        message: impl Fn(&Value) -> String,
    ) -> Result<Value> {
        let bar = bar(quiet);
        let (state_of, cancel_of) = (self.state, self.cancel);
        let mut cancelled = false;
        loop {
            let state = backend.ask(self.path, &[], move |node| Ok(state_of(node))).await?;
            let count = |key: &str| state[key].as_u64().unwrap_or_default();
            bar.set_length(count(self.total).max(1));
            bar.set_position(self.done.iter().map(|key| count(key)).sum());
            bar.set_message(message(&state));
            if state["running"] != true {
                bar.finish_and_clear();
                return Ok(state);
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                interrupted = tokio::signal::ctrl_c(), if !cancelled => {
                    interrupted?;
                    cancelled = true;
                    let path = format!("{}/cancel", self.path);
                    let cancel = move |node: &Node, _: Value, _: &str| Ok(cancel_of(node));
                    backend.act(&path, json!({}), cancel).await?;
                }
            }
        }
    }
}

/// A bar on standard error; none where it is to be quiet.
pub fn bar(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(1), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% {eta} {msg}") {
        bar.set_style(style);
    }
    bar
}
