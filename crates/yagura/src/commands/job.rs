//! A long job in the background, watched: how far it is as a bar, Ctrl-C as a request to stop.

use crate::backend::Backend;
use crate::output::visible;
use crate::told::either;
use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use yagura_event::Lang;
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

/// What is said of a run that goes over files: each in English and Japanese.
pub struct EndWords {
    /// What became of a file that did not compare, after the reason.
    pub left: [&'static str; 2],
    /// What stays when it could not go on, after the reason.
    pub kept: [&'static str; 2],
    /// That there was nothing to do.
    pub nothing: [&'static str; 2],
}

impl EndWords {
    /// Says how a run ended whose last state is `state`, and the exit code; `did_nothing` where it found
    /// nothing to do.
    ///
    /// # Errors
    /// Why it could not go on.
    pub fn say(&self, state: &Value, did_nothing: bool, lang: Lang) -> Result<ExitCode> {
        // English stands in for what has no other words.
        let words = |of: &Value, key: &str| {
            let ja = of[format!("{key}_ja")].as_str().filter(|_| lang == Lang::Ja);
            ja.or(of[key].as_str()).map(str::to_owned)
        };
        let said = |[en, ja]: [&'static str; 2]| if lang == Lang::Ja { ja } else { en };
        let failures = state["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
        for failure in failures {
            let reason = words(failure, "error.message").unwrap_or_default();
            eprintln!("✗ {}: {}", visible(&reason), said(self.left));
        }
        if let Some(error) = words(state, "error") {
            return Err(anyhow!("{error}{}", said(self.kept)));
        }
        if state["cancelled"] == true {
            return Ok(stopped(lang));
        }
        if failures.is_empty() && did_nothing {
            eprintln!("{}", said(self.nothing));
        }
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Says that a run was stopped and can go on, and gives the exit code.
pub fn stopped(lang: Lang) -> ExitCode {
    let again = either(
        lang,
        "stopped; run it again to go on",
        "中止しました。もう一度実行すると続きから進みます",
    );
    eprintln!("{again}");
    ExitCode::from(1)
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
