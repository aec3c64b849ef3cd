//! Scheduled searches: one that is due is asked of what was received since it ran last.
//!
//! A run covers a stretch of *receipt* (`event.ingested`), from where the last good run ended to a little
//! before now. Receipt is stamped by this machine, so that an event that happened long ago and comes late
//! is in the run that covers its coming, once. The end of the stretch is in the run's audit record, which
//! is written after the alerts: a crash between the two has the same stretch looked at again, and the desk
//! counts no finding twice.

use super::limits::{
    CATCH_UP_SECONDS, EVENTS_PER_RUN_MAX, ROWS_COUNTED_MAX, SETTLE_SECONDS, TABLE_ROWS_MAX,
    WINDOW_HOURS_MAX,
};
use super::record::{Entry, Run, RunOutcome, Saved, SavedSearch};
use super::{Schedule, key, rule_id};
use crate::rows::{plain_rows, wrong_query, zone_of};
use crate::{Node, NodeError, Row, Unread};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use futures::StreamExt;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use yagura_desk::{EventWords, EvidenceItem, Finding, RuleCopy};
use yagura_event::{EventBatch, EventId, Lang, UtcMicros};
use yagura_lake::{DATASET, EVENT_ID};
use yagura_query::{EventsFound, Expr, FieldTest, Filter, Pattern, Pipe, SearchRequest, Test};

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

const SECOND: i64 = 1_000_000;

/// A search that is due.
pub(super) struct Due {
    search: SavedSearch,
    schedule: Schedule,
    counted_to: UtcMicros,
    /// Times it was due before and did not run.
    missed: u32,
}

/// What a run found.
pub(super) struct Found {
    pub rows: u64,
    pub cut: bool,
    scanned: u64,
    findings: Vec<Finding>,
    /// What could not be read, by any question of the run.
    pub unread: Vec<Unread>,
}

/// A stretch of receipt.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub from: UtcMicros,
    pub to: UtcMicros,
}

impl Node {
    /// Runs every scheduled search whenever it is due, until `stopped` resolves.
    pub async fn keep_scheduled(self: Arc<Self>, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        let work = async {
            // What the journal still holds must be searchable before anything is counted.
            self.ready().await;
            loop {
                self.run_due_searches().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = &mut stopped => {}
            () = work => {}
        }
    }

    /// Runs every saved search that is due now, one after another, and says how many ran. What fails is
    /// recorded as its run; what cannot be recorded is due again.
    pub async fn run_due_searches(self: &Arc<Self>) -> usize {
        let _turn = self.saved().turn.lock().await;
        let mut ran = 0;
        for name in self.due_searches() {
            match self.run_search(&name).await {
                Ok(true) => ran += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, search = %name, "a scheduled search is put off")
                }
            }
        }
        ran
    }

    /// Keys of the searches that are due, the one that waits longest first.
    fn due_searches(&self) -> Vec<String> {
        let now = self.clock().now();
        let fold = self.saved().fold();
        let due = fold.all.iter().filter_map(|(key, saved)| Some((next_due(saved)?, key.clone())));
        let mut due: Vec<_> = due.filter(|(at, _)| *at <= now).collect();
        due.sort();
        due.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn due(&self, key: &str) -> Option<Due> {
        let now = self.clock().now();
        let fold = self.saved().fold();
        let saved = fold.all.get(key)?;
        next_due(saved).filter(|at| *at <= now)?;
        let schedule = saved.search.schedule.clone()?;
        let timer = schedule.timer(saved.search.time_zone.as_deref()).ok()?;
        Some(Due {
            search: saved.search.clone(),
            schedule,
            counted_to: saved.counted_to,
            missed: timer.due_times(saved.due_since, now).saturating_sub(1),
        })
    }

    /// Runs a search that is due over all that was received since; `false` where it is not due any more,
    /// or nothing was received that could be looked at.
    async fn run_search(self: &Arc<Self>, key: &str) -> Result<bool, NodeError> {
        let Some(mut due) = self.due(key) else { return Ok(false) };
        let until = self.clock().now().plus_micros(-SETTLE_SECONDS * SECOND);
        self.caught_up().await?;
        let mut ran = false;
        // Pieces of a day: one that is too much to be searched at once fails alone.
        while due.counted_to < until {
            let piece = due.counted_to.plus_micros(WINDOW_HOURS_MAX * 3_600 * SECOND);
            let window = Window { from: due.counted_to, to: until.min(piece) };
            let run = self.run_window(&due, window).await;
            let failed = run.outcome == RunOutcome::Failed;
            let recorded = self.record_run(run).await?;
            ran = true;
            if failed || !recorded {
                break;
            }
            (due.counted_to, due.missed) = (window.to, 0);
        }
        Ok(ran)
    }

    /// Waits until everything that is durable now can be searched.
    async fn caught_up(&self) -> Result<(), NodeError> {
        let journal = self.journal().clone();
        let heard = tokio::task::spawn_blocking(move || {
            let waited = Duration::from_secs(CATCH_UP_SECONDS);
            Ok::<_, NodeError>(journal.mark()?.recv_timeout(waited).is_ok())
        });
        match heard.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(error)) => Err(error),
            _ => Err(NodeError::Busy {
                message: "events wait too long to be read".to_owned(),
                message_ja: "受信したイベントの処理が遅れています".to_owned(),
            }),
        }
    }

    /// Records a run, unless its search was removed or changed its name meanwhile.
    async fn record_run(self: &Arc<Self>, run: Run) -> Result<bool, NodeError> {
        let node = self.clone();
        let recorded = tokio::task::spawn_blocking(move || {
            let saved = node.saved();
            let mut fold = saved.fold();
            let scheduled =
                fold.all.get(&key(&run.name)).is_some_and(|one| one.search.schedule.is_some());
            if scheduled {
                saved.record(&mut fold, Entry::Ran(Box::new(run)))?;
            }
            Ok::<_, NodeError>(scheduled)
        });
        recorded.await.map_err(|_| NodeError::Stopped("the scheduler"))?
    }

    pub(super) async fn run_window(self: &Arc<Self>, due: &Due, window: Window) -> Run {
        let began = Instant::now();
        let mut run = Run {
            at: self.clock().now(),
            name: due.search.name.clone(),
            outcome: RunOutcome::Quiet,
            from: window.from,
            to: window.to,
            rows: 0,
            cut: false,
            scanned: 0,
            duration_ms: 0,
            alerts: 0,
            unread: Vec::new(),
            missed: due.missed,
            error: None,
            error_ja: None,
        };
        let done = async {
            let found = self.look(due, window, ROWS_COUNTED_MAX).await?;
            (run.rows, run.cut, run.scanned) = (found.rows, found.cut, found.scanned);
            run.unread = found.unread;
            if found.rows > due.schedule.rows_over {
                if let (true, Some(unread)) = (found.findings.is_empty(), run.unread.first()) {
                    return Err(no_event_read(unread));
                }
                run.outcome = RunOutcome::Found;
                run.alerts = self.raise(found.findings).await?;
            } else if !run.unread.is_empty() {
                run.outcome = RunOutcome::Incomplete;
            }
            Ok::<_, NodeError>(())
        };
        if let Err(error) = done.await {
            let words = error.words();
            run.outcome = RunOutcome::Failed;
            (run.error, run.error_ja) = (Some(words.en().to_owned()), Some(words.ja().to_owned()));
        }
        run.at = self.clock().now();
        run.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        run
    }

    async fn raise(self: &Arc<Self>, findings: Vec<Finding>) -> Result<u64, NodeError> {
        let node = self.clone();
        let raised = tokio::task::spawn_blocking(move || {
            let changes = node.desk().observe(findings);
            let changes = changes.map_err(|error| NodeError::NotRecorded(error.to_string()))?;
            if !changes.is_empty() {
                node.tell_alerts_changed();
            }
            let alerts: BTreeSet<_> = changes.iter().map(|change| change.alert.id).collect();
            Ok::<_, NodeError>(alerts.len() as u64)
        });
        raised.await.map_err(|_| NodeError::Stopped("the scheduler"))?
    }

    /// Asks the search of a window, and finds the events that stand for what it found, of so many rows.
    pub(super) async fn look(
        self: &Arc<Self>,
        due: &Due,
        window: Window,
        rows_max: usize,
    ) -> Result<Found, NodeError> {
        let expr = self.expression(&due.search)?;
        let is_table = expr.makes_table();
        let mut request = background(expr.clone(), window, rows_max);
        request.columns = vec![EVENT_ID.to_owned()];
        let running = request.running.clone();
        let mut answer = self.searcher().search(request).await.map_err(wrong_query)?;
        let (mut rows, mut ids, mut table) = (0, Vec::new(), Vec::new());
        while let Some(batch) = answer.next().await {
            let batch = batch.map_err(wrong_query)?;
            rows += batch.num_rows() as u64;
            if is_table {
                let room = TABLE_ROWS_MAX.saturating_sub(table.len()).min(batch.num_rows());
                table.extend(plain_rows(&batch.slice(0, room)));
            } else if let Some(column) = batch.column_by_name(EVENT_ID) {
                let column = cast(column, &DataType::Utf8).ok();
                let texts = column.as_ref().and_then(|column| column.as_string_opt::<i32>());
                let room = EVENTS_PER_RUN_MAX.saturating_sub(ids.len());
                let found = texts.into_iter().flat_map(|texts| texts.iter().flatten());
                ids.extend(found.filter_map(|id| id.parse::<EventId>().ok()).take(room));
            }
        }
        let cut = answer.truncated() || answer.notices().iter().any(|notice| notice.cut);
        let unread = Unread::of(&answer.unread());
        let scanned = running.progress().scanned.rows;
        let mut found = Found { rows, cut, scanned, findings: Vec::new(), unread };
        if rows <= due.schedule.rows_over {
            return Ok(found);
        }
        let summary = Summary { due, window, rows, cut, unread: found.unread.clone() };
        let unread = &mut found.unread;
        found.findings = match is_table {
            true => self.findings_of_table(&summary, &expr, table, unread).await?,
            false => self.findings_of(&summary, &ids, &[], unread).await?,
        };
        Ok(found)
    }

    fn expression(&self, search: &SavedSearch) -> Result<Expr, NodeError> {
        let zone = zone_of(search.time_zone.as_deref())?;
        let parsed = yagura_query::parse(&search.query, self.clock().now(), &zone);
        parsed.map_err(|error| wrong_query(error.into()))
    }

    /// For each row of a table, the newest event behind it that no other row has: one of the same values
    /// in the columns that events have. Rows without any, such as a count of nothing, are told by the
    /// newest event that there was.
    async fn findings_of_table(
        self: &Arc<Self>,
        summary: &Summary<'_>,
        expr: &Expr,
        table: Vec<Row>,
        unread: &mut Vec<Unread>,
    ) -> Result<Vec<Finding>, NodeError> {
        let columns = self.lake().columns();
        let mut findings: Vec<Finding> = Vec::new();
        for row in table {
            let of_events = row
                .iter()
                .filter(|(name, _)| *name == DATASET || columns.get(name).is_some())
                .filter_map(|(name, value)| equals(name, value));
            let all = events_behind(expr);
            let mut same = all.clone();
            same.filter = Filter::And(std::iter::once(same.filter).chain(of_events).collect());
            let mut id = None;
            // A computed column may be called as a field of events is: then none has the same values.
            for behind in [same, all] {
                let found = self.newest(behind, summary.window, unread).await?;
                id = found.into_iter().find(|id| findings.iter().all(|one| one.event_id != *id));
                if id.is_some() {
                    break;
                }
            }
            if id.is_none() && findings.is_empty() {
                let any = Expr { filter: Filter::All, pipes: Vec::new(), ..expr.clone() };
                let window = Window { from: UtcMicros::from_micros(i64::MIN), ..summary.window };
                id = self.newest(any, window, unread).await?.into_iter().next();
            }
            let evidence: Vec<EvidenceItem> = row.iter().map(evidence).collect();
            let ids: Vec<EventId> = id.into_iter().collect();
            findings.extend(self.findings_of(summary, &ids, &evidence, unread).await?);
        }
        Ok(findings)
    }

    /// The newest events that match, so many as a table has rows.
    async fn newest(
        self: &Arc<Self>,
        expr: Expr,
        window: Window,
        unread: &mut Vec<Unread>,
    ) -> Result<Vec<EventId>, NodeError> {
        let mut request = background(expr, window, TABLE_ROWS_MAX);
        request.columns = vec![EVENT_ID.to_owned()];
        let answer = self.searcher().search(request).await.map_err(wrong_query)?;
        let scans = answer.scans();
        let (batches, _) = answer.collect().await.map_err(wrong_query)?;
        Unread::take_in(unread, &scans.unread());
        let rows = batches.iter().flat_map(plain_rows);
        Ok(rows.filter_map(|row| row.get(EVENT_ID)?.as_str()?.parse().ok()).collect())
    }

    async fn findings_of(
        self: &Arc<Self>,
        summary: &Summary<'_>,
        ids: &[EventId],
        evidence: &[EvidenceItem],
        unread: &mut Vec<Unread>,
    ) -> Result<Vec<Finding>, NodeError> {
        let EventsFound { batches, unread: more } =
            self.searcher().events(ids).await.map_err(wrong_query)?;
        Unread::take_in(unread, &more);
        let rule = Arc::new(summary.rule());
        let mut findings = Vec::new();
        for batch in &batches {
            for row in 0..batch.rows() {
                let words = self.words_of(summary, batch, row);
                let found = Finding::on(batch, row, rule.clone(), evidence.to_vec(), words);
                findings.extend(found);
            }
        }
        Ok(findings)
    }

    fn words_of(&self, summary: &Summary<'_>, batch: &EventBatch, row: usize) -> EventWords {
        let said = |lang| self.sentence(batch, row, lang);
        EventWords::Said {
            ja: format!("{}：{}", summary.text(Lang::Ja), said(Lang::Ja)),
            en: format!("{}: {}", summary.text(Lang::En), said(Lang::En)),
        }
    }
}

/// What a run found, for its alerts.
struct Summary<'a> {
    due: &'a Due,
    window: Window,
    rows: u64,
    cut: bool,
    unread: Vec<Unread>,
}

impl Summary<'_> {
    fn rule(&self) -> RuleCopy {
        let name = &self.due.search.name;
        let mut rule = RuleCopy::named(
            rule_id(name),
            format!("Scheduled search “{name}”"),
            format!("定期検索「{name}」"),
            self.due.schedule.level,
        );
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        rule.guide.description = said(&self.due.search.description);
        rule.guide.description_ja = said(&self.due.search.description);
        rule
    }

    fn text(&self, lang: Lang) -> String {
        let over = self.due.schedule.rows_over;
        let files: u64 = self.unread.iter().map(|unread| unread.files).sum();
        match lang {
            Lang::En => {
                let rows = if self.cut {
                    format!("at least {}", self.rows)
                } else {
                    self.rows.to_string()
                };
                let lacks = match files {
                    0 => String::new(),
                    _ => format!("; incomplete: {files} files could not be read"),
                };
                format!("{rows} rows (more than {over}{lacks}), one of them")
            }
            Lang::Ja => {
                let rows = if self.cut {
                    format!("{}行以上", self.rows)
                } else {
                    format!("{}行", self.rows)
                };
                let lacks = match files {
                    0 => String::new(),
                    _ => format!("。{files}ファイルを読めず結果は不完全"),
                };
                format!("{rows}（{over}行を超過{lacks}）、その1件")
            }
        }
    }
}

/// Rows were found and none of their events could be read: an alert would be lost.
fn no_event_read(unread: &Unread) -> NodeError {
    NodeError::Busy {
        message: format!("the events that were found cannot be read: {}", unread.reason),
        message_ja: format!("見つかったイベントを読めません（{}）", unread.reason_ja),
    }
}

fn next_due(saved: &Saved) -> Option<UtcMicros> {
    let schedule = saved.search.schedule.as_ref()?;
    let timer = schedule.timer(saved.search.time_zone.as_deref()).ok()?;
    timer.next_after(saved.due_since)
}

/// A question nobody waits for.
fn background(expr: Expr, window: Window, limit: usize) -> SearchRequest {
    let mut request = SearchRequest::new(expr);
    request.received = (Some(window.from), Some(window.to));
    request.background = true;
    request.limit = limit;
    request
}

/// The events that a table was made from: its filter, and what follows it up to the first command that
/// makes other rows.
fn events_behind(expr: &Expr) -> Expr {
    let mut behind = expr.clone();
    let filters = behind.pipes.iter().take_while(|pipe| matches!(pipe, Pipe::Where(_))).count();
    behind.pipes.truncate(filters);
    behind
}

/// That a field has this value; `None` for a cell without one.
fn equals(name: &str, value: &Value) -> Option<Filter> {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(Filter::Field(FieldTest {
        name: name.to_owned(),
        name_at: 0..0,
        test: Test::Matches(Pattern::Literal(value)),
        value_at: 0..0,
    }))
}

fn evidence((name, value): (&String, &Value)) -> EvidenceItem {
    let value = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    EvidenceItem { field: name.clone(), value, predicate: "row of the search".to_owned() }
}
