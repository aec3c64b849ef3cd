//! A search as a command runs it: with a bar where it takes long, and ended by Ctrl-C.

use crate::backend::{Backend, said};
use crate::output::Row;
use crate::told::either;
use anyhow::Result;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;
use yagura_event::Lang;
use yagura_node::{SearchEnd, SearchQuery, new_search_id};

/// A search that has taken this long shows how far it is.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How a search came to its end.
pub enum Ended {
    /// By itself, or by its limit.
    Done(Box<SearchEnd>),
    /// By Ctrl-C. What was found before was printed.
    Interrupted,
}

/// Runs a search and hands its rows on. Ctrl-C ends it, also where a server does the work.
pub async fn search(
    backend: &Backend,
    mut query: SearchQuery,
    lang: Lang,
    mut each: impl FnMut(Row) -> Result<()>,
) -> Result<Ended> {
    let id = new_search_id()?;
    query.id = Some(id.clone());
    let bar = Bar::new(lang);
    // Rows on the same terminal would be mixed up with the bar.
    let shared = std::io::stdout().is_terminal();
    let rows = backend.search(&query, |row| {
        if shared {
            bar.end();
        }
        each(row)
    });
    tokio::select! {
        end = rows => {
            bar.end();
            end.map(|end| Ended::Done(Box::new(end)))
        }
        () = watch(backend, &id, &bar) => Ok(Ended::Interrupted),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            bar.end();
            if let Backend::Remote(client) = backend {
                // It may have ended at this moment; that is as good.
                let _ = client.delete(&path(&id)).await;
            }
            Ok(Ended::Interrupted)
        }
    }
}

/// Keeps the bar up to date and never ends.
async fn watch(backend: &Backend, id: &str, bar: &Bar) {
    tokio::time::sleep(BAR_AFTER).await;
    loop {
        let asked = id.to_owned();
        let path = path(id);
        // A search that has not begun or has just ended is not known; neither is a server of before.
        if let Ok(progress) =
            backend.ask(&path, &[], move |node| node.search_progress(&asked)).await
        {
            bar.show(&progress);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/search/{id}")
}

struct Bar {
    bar: ProgressBar,
    lang: Lang,
}

impl Bar {
    fn new(lang: Lang) -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
            bar.set_style(style);
        }
        Bar { bar, lang }
    }

    fn show(&self, progress: &Value) {
        if self.bar.is_finished() {
            return;
        }
        let count = |key: &str| progress[key].as_u64().unwrap_or_default();
        self.bar.set_length(count("row_groups").max(1));
        self.bar.set_position(count("row_groups_done"));
        self.bar.set_message(told(progress, self.lang));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far it is, in words.
fn told(progress: &Value, lang: Lang) -> String {
    let count = |key: &str| progress[key].as_u64().unwrap_or_default();
    let seconds = count("elapsed_ms") / 1_000;
    if progress["phase"] == "waiting" {
        return either(
            lang,
            format!("waiting for other searches, {seconds} s"),
            format!("ほかの検索の終了待ち {seconds}秒"),
        );
    }
    let (files, done) = (count("files"), count("files_done"));
    let (rows, found) = (count("rows_scanned"), count("rows_found"));
    either(
        lang,
        format!("{done} of {files} files, {rows} events read, {found} rows found, {seconds} s"),
        format!(
            "ファイル {done}/{files}、読んだイベント {rows}件、見つかった行 {found}件、{seconds}秒"
        ),
    )
}

/// Says what an answer lacks because it could not be read.
pub fn say_unread(unread: &[yagura_node::Unread], lang: Lang) {
    for missing in unread {
        let (files, rows) = (missing.files, missing.rows);
        let said = match lang {
            Lang::En => format!(
                "✗ incomplete: {files} files with {rows} events were not read, or not wholly: {}",
                missing.reason
            ),
            Lang::Ja => format!(
                "✗ 結果は不完全です: {files}ファイル（イベント{rows}件）の全部または一部を読めませんでした。{}",
                missing.reason_ja
            ),
        };
        eprintln!("{}", crate::output::visible(&said));
    }
}

/// What is said of a search that Ctrl-C ended.
pub fn interrupted(rows: usize, lang: Lang) -> String {
    either(
        lang,
        format!("cancelled: {rows} rows had been found, and there may be more"),
        format!("取り消しました。ここまでの{rows}件のほかにもあるかもしれません"),
    )
}

/// The rows of a search in a directory of our own.
pub async fn local(
    node: &std::sync::Arc<yagura_node::Node>,
    query: &SearchQuery,
    lang: Lang,
    mut each: impl FnMut(Row) -> Result<()>,
) -> Result<SearchEnd> {
    let mut rows = node.search(query).await.map_err(|error| said(error, lang))?;
    while let Some(row) = rows.next().await {
        each(row.map_err(|error| said(error, lang))?)?;
    }
    Ok(rows.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_said_how_far_a_search_is() {
        let progress = json!({
            "phase": "running", "files": 7, "files_done": 2, "rows_scanned": 262_144,
            "rows_found": 12, "elapsed_ms": 3_900,
        });
        assert_eq!(
            told(&progress, Lang::En),
            "2 of 7 files, 262144 events read, 12 rows found, 3 s"
        );
        assert_eq!(
            told(&progress, Lang::Ja),
            "ファイル 2/7、読んだイベント 262144件、見つかった行 12件、3秒"
        );
        let waiting = json!({ "phase": "waiting", "elapsed_ms": 2_000 });
        assert_eq!(told(&waiting, Lang::En), "waiting for other searches, 2 s");
        assert_eq!(told(&waiting, Lang::Ja), "ほかの検索の終了待ち 2秒");
    }
}
