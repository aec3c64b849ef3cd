//! Answers as files: whoever takes events out of the house is named in the audit log, with what they
//! asked for and how much they got.

use crate::rows::{Row, RowStream};
use crate::{ActsQuery, Node, NodeError, SearchQuery};
use futures::StreamExt;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_event::Lang;
use yagura_export::{ExportError, ExportOptions, Exporter, Format};
use yagura_query::Order;

/// What is exported, and how.
#[derive(Debug, Clone)]
pub struct ExportRequest {
    /// The rows.
    pub of: ExportOf,
    /// The file.
    pub format: Format,
    /// Columns, in order; none for all (of a CSV of events: few).
    pub columns: Vec<String>,
    /// The language of sentences.
    pub lang: Lang,
    /// Directory of the temporary file in which rows of a Parquet file wait for its columns; `None` for
    /// the data directory.
    pub scratch: Option<PathBuf>,
}

/// The rows of an export.
#[derive(Debug, Clone)]
pub enum ExportOf {
    /// Those of a search. Without a limit, all of them, in the order they are found.
    Search(SearchQuery),
    /// Those of one SELECT.
    Sql(String),
    /// Acts.
    Acts(Box<ActsQuery>),
}

/// An export that is under way. Dropped before its end, it is recorded as broken off.
pub struct Export {
    node: Arc<Node>,
    rows: Source,
    options: ExportOptions,
    /// What was recorded of it when it began.
    what: Value,
    count: u64,
    ended: bool,
}

enum Source {
    Search(Box<RowStream>, Wanted),
    /// Rows that are here, and what is missing.
    Page(std::vec::IntoIter<Row>, Missing),
}

/// How many rows were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    SoMany,
}

/// Counts bytes on their way.
struct Counting<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Node {
    /// Begins an export: the question is understood and planned, and recorded with whoever asks.
    ///
    /// # Errors
    /// What is wrong with the question, or why nothing could be recorded.
    pub async fn export(
        self: &Arc<Self>,
        request: ExportRequest,
        who: &str,
    ) -> Result<Export, NodeError> {
        let ExportRequest { of, format, columns, lang, scratch } = request;
        let (rows, asked) = match &of {
            ExportOf::Search(query) => {
                let (wanted, order) = match query.limit {
                    0 => (Wanted::All, Order::Any),
                    _ => (Wanted::SoMany, Order::NewestFirst),
                };
                let rows = self.search_in(query, order).await?;
                if format == Format::Ocsf && !rows.finds_events() {
                    return Err(of_export(ExportError::NoEvent));
                }
                let asked = json!({
                    "query": query.query, "from": query.from, "to": query.to, "last": query.last,
                    "limit": query.limit, "offset": query.offset,
                });
                (Source::Search(Box::new(rows), wanted), asked)
            }
            ExportOf::Sql(statement) => {
                let page = self.sql(statement).await?;
                let cut = page.cut || page.notices.iter().any(|notice| notice.cut);
                let missing = Missing { cut, unread: page.unread };
                (Source::Page(page.rows.into_iter(), missing), json!({ "sql": statement }))
            }
            ExportOf::Acts(query) => {
                let found = self.acts(query).await?;
                let search = &query.search;
                let asked = json!({
                    "acts": search.query, "from": search.from, "to": search.to,
                    "last": search.last, "limit": search.limit, "offset": search.offset,
                });
                let more = found.events_cut || found.cut && search.limit == 0;
                let missing = Missing { cut: more, unread: found.unread };
                (Source::Page(found.rows.into_iter(), missing), asked)
            }
        };
        if format == Format::Ocsf && !matches!(of, ExportOf::Search(_)) {
            return Err(of_export(ExportError::NoEvent));
        }
        let what = json!({
            "user.name": who,
            "export.format": format.as_str(),
            "export.columns": columns,
            "export.of": asked,
        });
        let begun = entry(self, "export.begun", &what, json!({}));
        let node = self.clone();
        let recorded = tokio::task::spawn_blocking(move || node.audit().write(&[begun])).await;
        recorded.map_err(|error| NodeError::NotRecorded(error.to_string()))??;
        let options = ExportOptions {
            format,
            columns,
            lang,
            dictionary: self.dictionary().clone(),
            scratch: scratch.unwrap_or_else(|| self.data().root().to_owned()),
        };
        Ok(Export { node: self.clone(), rows, options, what, count: 0, ended: false })
    }
}

impl Export {
    /// Writes the file to `out`, and records how it ended. Blocks; `runtime` is where the search runs
    /// on. Gives the number of rows.
    ///
    /// # Errors
    /// Why the file is not whole. What was written until then is of no use.
    pub fn run(
        mut self,
        out: impl Write + Send,
        runtime: &tokio::runtime::Handle,
    ) -> Result<u64, NodeError> {
        let mut counting = Counting { out, bytes: 0 };
        let done = self.write(&mut counting, runtime);
        let reason = done.as_ref().err().map(ToString::to_string);
        self.record_end(Some(counting.bytes), reason)?;
        done?;
        Ok(self.count)
    }

    fn write(
        &mut self,
        out: &mut (impl Write + Send),
        runtime: &tokio::runtime::Handle,
    ) -> Result<(), NodeError> {
        let mut export = Exporter::new(out, self.options.clone()).map_err(of_export)?;
        while let Some(row) = self.rows.next(runtime)? {
            export.write(row).map_err(of_export)?;
            self.count += 1;
        }
        export.finish().map_err(of_export)?;
        Ok(())
    }

    fn record_end(&mut self, bytes: Option<u64>, reason: Option<String>) -> Result<(), NodeError> {
        self.ended = true;
        let end = json!({
            "export.rows": self.count,
            "export.bytes": bytes,
            "event.outcome": if reason.is_none() && bytes.is_some() { "success" } else { "failure" },
            "event.reason": reason,
        });
        self.node.audit().write(&[entry(&self.node, "export.ended", &self.what, end)])
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.record_end(None, Some("broken off".to_owned()))
        {
            tracing::error!(%error, "the end of an export could not be recorded");
        }
    }
}

impl Source {
    /// The next row. Rows that a limit of the engine holds back, or that lie where they cannot be read,
    /// are an error: a file of which a part is missing must not look whole.
    fn next(&mut self, runtime: &tokio::runtime::Handle) -> Result<Option<Row>, NodeError> {
        match self {
            Source::Search(rows, wanted) => match runtime.block_on(rows.next()).transpose()? {
                Some(row) => Ok(Some(row)),
                None => {
                    let end = rows.end();
                    let cut = *wanted == Wanted::All && end.is_cut();
                    Missing { cut, unread: end.unread }.checked()
                }
            },
            Source::Page(rows, missing) => match rows.next() {
                Some(row) => Ok(Some(row)),
                None => missing.checked(),
            },
        }
    }
}

fn entry(node: &Node, action: &str, what: &Value, more: Value) -> Value {
    let mut entry = json!({ "@timestamp": node.clock().now(), "event.action": action });
    for part in [what, &more] {
        if let (Some(entry), Some(part)) = (entry.as_object_mut(), part.as_object()) {
            entry.extend(part.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    entry
}

/// What the rows of an answer lack.
struct Missing {
    /// There are more.
    cut: bool,
    unread: Vec<crate::Unread>,
}

impl Missing {
    fn checked(&self) -> Result<Option<Row>, NodeError> {
        if self.cut {
            return Err(cut());
        }
        match self.unread.first() {
            None => Ok(None),
            Some(unread) => Err(NodeError::Busy {
                message: format!(
                    "{} files could not be read, so the file would not be whole: {}",
                    unread.files, unread.reason
                ),
                message_ja: format!(
                    "{}ファイルを読めないため、書き出すファイルは完全になりません: {}",
                    unread.files, unread.reason_ja
                ),
            }),
        }
    }
}

fn cut() -> NodeError {
    let rows = yagura_query::limits::ROWS_MAX;
    NodeError::request(
        format!(
            "the answer has more rows than one answer may have ({rows} after a command such as sort \
             or stats, fewer where they are large), so the file would not be whole: ask about a \
             shorter time or for fewer rows"
        ),
        format!(
            "結果が1回の回答の上限を超えたため、ファイルは完全になりません（sort や stats などの後は \
             {rows} 行まで。大きな行ではより少なくなります）。期間を短くするか、行数を絞ってください"
        ),
    )
}

fn of_export(error: ExportError) -> NodeError {
    match &error {
        ExportError::NoEvent | ExportError::TooMuch(_) => {
            let words = error.words();
            NodeError::request(words.en(), words.ja())
        }
        _ => NodeError::Export(error),
    }
}
