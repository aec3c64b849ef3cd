use crate::Place;
use crate::backend::Backend;
use crate::hunting::Ask;
use crate::output::{Format, Row, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Write, stdout};
use std::process::ExitCode;
use yagura_event::{Lang, Level};

/// `yagura hunt list`
#[derive(Args)]
pub struct List {
    /// At most so many, newest first
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

impl List {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let found = backend.hunter(Ask::List { limit: self.limit }).await;
        backend.close().await;
        let found = found?;
        let hunts = found["hunts"].as_array().cloned().unwrap_or_default();
        if self.output == Format::Table {
            for hunt in &hunts {
                writeln!(stdout(), "{}", summary(hunt, lang))?;
            }
            if hunts.is_empty() {
                match lang {
                    Lang::En => eprintln!("no hunts yet; begin one with `yagura hunt --help`"),
                    Lang::Ja => eprintln!("ハントはまだありません。始め方: yagura hunt --help"),
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut writer = RowWriter::new(stdout().lock(), self.output, Vec::new());
        for hunt in hunts {
            if let Value::Object(row) = hunt {
                writer.write(row)?;
            }
        }
        writer.finish()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `yagura hunt show`
#[derive(Args)]
pub struct Show {
    /// Id of the hunt, such as H-000001
    id: String,
    /// At most so many matches
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// What was asked for, as JSON, instead of what was found
    #[arg(long, conflicts_with_all = ["limit", "output"])]
    query: bool,
    /// How matches are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

impl Show {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let shown = match self.query {
            true => print_query(&backend, &self.id).await,
            false => print_hunt(&backend, &self.id, self.limit, self.output, lang).await,
        };
        backend.close().await;
        shown
    }
}

async fn print_query(backend: &Backend, id: &str) -> Result<ExitCode> {
    let asked = backend.hunter(Ask::Query { id: id.to_owned() }).await?;
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&asked["hunt.query"])?)?;
    Ok(ExitCode::SUCCESS)
}

/// `yagura hunt cancel`
#[derive(Args)]
pub struct Cancel {
    /// Id of the hunt, such as H-000001
    id: String,
    #[command(flatten)]
    place: Place,
}

impl Cancel {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = backend.hunter(Ask::Cancel { id: self.id.clone() }).await;
        backend.close().await;
        done?;
        match lang {
            Lang::En => eprintln!("{}: cancelling", self.id),
            Lang::Ja => eprintln!("{}: 取り消しています", self.id),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a person reads of a hunt's state.
pub fn state_label(state: &str, lang: Lang) -> &str {
    match (lang, state) {
        (Lang::Ja, "waiting") => "待機中",
        (Lang::Ja, "running") => "実行中",
        (Lang::Ja, "cancelling") => "取り消し中",
        (Lang::Ja, "done") => "完了",
        (Lang::Ja, "gaps") => "完了（調べられなかったものあり）",
        (Lang::Ja, "cancelled") => "取り消し",
        (Lang::Ja, "failed") => "失敗",
        (Lang::Ja, "interrupted") => "中断",
        (Lang::En, "gaps") => "done, with gaps",
        _ => state,
    }
}

fn summary(hunt: &Value, lang: Lang) -> String {
    let text = |key: &str| hunt[key].as_str().unwrap_or_default();
    let state = state_label(text("hunt.state"), lang);
    let matches = hunt["hunt.matches_total"].as_u64().unwrap_or_default();
    let count = match lang {
        Lang::En => format!("{matches} matches"),
        Lang::Ja => format!("{matches}件一致"),
    };
    let what = what(hunt, lang);
    let mut line = format!(
        "{}  {}  [{state}]  {count}  {what}  {}",
        text("hunt.id"),
        text("@timestamp"),
        visible(text("user.name")),
    );
    let hypothesis = hypothesis(hunt, lang);
    if !hypothesis.is_empty() {
        line.push_str(&format!("\n    {}", visible(&hypothesis)));
    }
    line
}

/// What a hunt was to find out. Those of new indicators are recorded in two languages.
fn hypothesis(hunt: &Value, lang: Lang) -> String {
    if hunt["hunt.automatic"].as_bool() != Some(true) {
        return hunt["hunt.hypothesis"].as_str().unwrap_or_default().to_owned();
    }
    let (count, source) = (&hunt["hunt.indicators"], &hunt["hunt.sources"][0]["file.name"]);
    let source = source.as_str().unwrap_or_default();
    match lang {
        Lang::En => format!("{count} new indicators of {source}"),
        Lang::Ja => format!("新しい侵害指標 {count}件: {source}"),
    }
}

fn what(hunt: &Value, lang: Lang) -> String {
    let number = |key: &str| hunt[key].as_u64().unwrap_or_default();
    let (rules, indicators) = (number("hunt.rules"), number("hunt.indicators"));
    match lang {
        Lang::En => format!("{rules} rules, {indicators} indicators"),
        Lang::Ja => format!("ルール{rules}件、侵害指標{indicators}件"),
    }
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Says on standard error what a hunt will read.
pub fn print_estimate(estimate: &Value, lang: Lang) {
    let number = |key: &str| estimate[format!("hunt.estimate.{key}")].as_u64().unwrap_or_default();
    let (events, pruned) = (number("events"), number("events_pruned"));
    let (files, files_pruned) = (number("files"), number("files_pruned"));
    let bytes = size(number("bytes"));
    let seconds = estimate["hunt.estimate.seconds"].as_f64().unwrap_or_default();
    let what = what(estimate, lang);
    match lang {
        Lang::En => eprintln!(
            "{what}: {events} events to look at, {bytes} to read from {} of {files} files; {pruned} \
             events cannot hold it. About {seconds:.1} s",
            files - files_pruned
        ),
        Lang::Ja => eprintln!(
            "{what}: {events}件のイベントを調べ、{files}ファイル中{}個から{bytes}を読みます。\
             {pruned}件は対象になりえません。およそ{seconds:.1}秒",
            files - files_pruned
        ),
    }
    let refused = estimate["hunt.refused"].as_u64().unwrap_or_default();
    let listed = estimate["refused"].as_array().cloned().unwrap_or_default();
    for reason in listed.iter().filter_map(Value::as_str).take(20) {
        match lang {
            Lang::En => eprintln!("! {}", visible(reason)),
            Lang::Ja => eprintln!("! 使えません: {}", visible(reason)),
        }
    }
    if refused > 20 {
        match lang {
            Lang::En => eprintln!("! {refused} rules and indicators cannot be used"),
            Lang::Ja => eprintln!("! 使えないルールと侵害指標は{refused}件です"),
        }
    }
    let doubts = estimate["doubts"][lang.as_str()].as_array().cloned().unwrap_or_default();
    for doubt in doubts.iter().filter_map(Value::as_str).take(20) {
        eprintln!("? {}", visible(doubt));
    }
}

/// Prints a hunt: for people with everything known, for programs one row a match.
pub async fn print_hunt(
    backend: &Backend,
    id: &str,
    limit: usize,
    output: Format,
    lang: Lang,
) -> Result<ExitCode> {
    let mut hits: Vec<Value> = Vec::new();
    let hunt = loop {
        let page = (limit - hits.len()).min(1_000);
        let ask = Ask::Show { id: id.to_owned(), offset: hits.len(), limit: page };
        let hunt = backend.hunter(ask).await?;
        let found = hunt["hunt.matches"].as_array().cloned().unwrap_or_default();
        let ended = found.len() < page || hits.len() + found.len() >= limit;
        hits.extend(found);
        if ended {
            break hunt;
        }
    };
    if output == Format::Table {
        print_people(&hunt, &hits, lang)?;
    } else {
        let mut writer = RowWriter::new(stdout().lock(), output, Vec::new());
        for hit in &hits {
            writer.write(row(&hunt, hit, lang))?;
        }
        writer.finish()?;
    }
    print_end(&hunt, hits.len(), lang);
    let state = hunt["hunt.state"].as_str().unwrap_or_default();
    Ok(ExitCode::from(u8::from(matches!(state, "gaps" | "failed" | "cancelled" | "interrupted"))))
}

fn name_of<'a>(hunt: &'a Value, uuid: &str, lang: Lang) -> &'a str {
    let found = hunt["hunt.found"].as_array();
    let tally =
        found.and_then(|all| all.iter().find(|one| one["rule.uuid"].as_str() == Some(uuid)));
    let Some(tally) = tally else { return "" };
    match (lang, tally["rule.name_ja"].as_str()) {
        (Lang::Ja, Some(name)) if !name.is_empty() => name,
        _ => tally["rule.name"].as_str().unwrap_or_default(),
    }
}

/// One match for a program.
fn row(hunt: &Value, hit: &Value, lang: Lang) -> Row {
    let mut row = Row::new();
    let uuid = hit["rule.uuid"].as_str().unwrap_or_default();
    for name in ["@timestamp", "event.id", "event.dataset", "host.name", "rule.uuid"] {
        row.insert(name.to_owned(), hit[name].clone());
    }
    row.insert("rule.name".to_owned(), json!(name_of(hunt, uuid, lang)));
    row.insert("hunt.id".to_owned(), hunt["hunt.id"].clone());
    row.insert("hunt.field".to_owned(), hit["hunt.field"].clone());
    row.insert("hunt.value".to_owned(), hit["hunt.value"].clone());
    row.insert("message".to_owned(), hit[format!("hunt.sentence_{lang}")].clone());
    row
}

fn print_people(hunt: &Value, hits: &[Value], lang: Lang) -> io::Result<()> {
    writeln!(stdout(), "{}", summary(hunt, lang))?;
    for source in hunt["hunt.sources"].as_array().into_iter().flatten().take(10) {
        let digest = source["file.hash.sha256"].as_str().unwrap_or_default();
        let name = source["file.name"].as_str().unwrap_or_default();
        writeln!(stdout(), "    {}  sha256:{}", visible(name), visible(digest))?;
    }
    for tally in hunt["hunt.found"].as_array().into_iter().flatten().take(50) {
        let uuid = tally["rule.uuid"].as_str().unwrap_or_default();
        let level = tally["rule.level"].as_str().unwrap_or_default();
        let level = level.parse::<Level>().unwrap_or_default().label(lang);
        writeln!(
            stdout(),
            "  ×{}  {level}  {}  {} … {}",
            tally["hunt.count"],
            visible(name_of(hunt, uuid, lang)),
            tally["hunt.first_seen"].as_str().unwrap_or_default(),
            tally["hunt.last_seen"].as_str().unwrap_or_default(),
        )?;
    }
    for hit in hits {
        let text = |key: &str| visible(hit[key].as_str().unwrap_or_default()).into_owned();
        writeln!(stdout(), "{}  {}  {}", text("@timestamp"), text("event.id"), text("host.name"))?;
        writeln!(stdout(), "    {}", text(&format!("hunt.sentence_{lang}")))?;
        if !hit["hunt.field"].is_null() {
            writeln!(stdout(), "    {}: {}", text("hunt.field"), text("hunt.value"))?;
        }
    }
    Ok(())
}

/// How it ended, on standard error.
fn print_end(hunt: &Value, shown: usize, lang: Lang) {
    let number = |key: &str| hunt[key].as_u64().unwrap_or_default();
    let (events, matches) = (number("hunt.events"), number("hunt.matches_total"));
    let pruned = number("hunt.events_pruned");
    let seconds = number("hunt.duration_ms") as f64 / 1000.0;
    let bytes = size(number("hunt.bytes"));
    let state = hunt["hunt.state"].as_str().unwrap_or_default();
    let id = hunt["hunt.id"].as_str().unwrap_or_default();
    let label = state_label(state, lang);
    match (lang, matches) {
        (Lang::En, 0) => eprintln!(
            "{id} {label}: nothing found in {} events ({events} looked at, {bytes}, {seconds:.1} s)",
            events + pruned
        ),
        (Lang::Ja, 0) => eprintln!(
            "{id} {label}: {}件のイベントに該当なし（照合{events}件、{bytes}、{seconds:.1}秒）",
            events + pruned
        ),
        (Lang::En, _) => eprintln!(
            "{id} {label}: {matches} matches in {} events ({events} looked at, {bytes}, {seconds:.1} s)",
            events + pruned
        ),
        (Lang::Ja, _) => eprintln!(
            "{id} {label}: {}件のイベントで{matches}件一致（照合{events}件、{bytes}、{seconds:.1}秒）",
            events + pruned
        ),
    }
    if (shown as u64) < matches {
        match lang {
            Lang::En => eprintln!("{shown} shown; see more with `yagura hunt show {id} --limit N`"),
            Lang::Ja => eprintln!("{shown}件を表示。続きは yagura hunt show {id} --limit N"),
        }
    }
    if state == "interrupted" {
        match lang {
            Lang::En => eprintln!(
                "a running server starts it again by itself; or now: `yagura hunt restart {id}`. \
                 `yagura hunt cancel {id}` gives it up"
            ),
            Lang::Ja => eprintln!(
                "サーバーを起動すると自動でやり直します。今すぐなら yagura hunt restart {id}、\
                 やめるなら yagura hunt cancel {id}"
            ),
        }
    }
    let excepted = number("hunt.excepted");
    if excepted > 0 {
        match lang {
            Lang::En => eprintln!(
                "{excepted} more matches are excepted and count for nothing; see `yagura alerts except list`"
            ),
            Lang::Ja => eprintln!(
                "ほかに{excepted}件が一致しましたが、例外により除きました（yagura alerts except list）"
            ),
        }
    }
    let left_out = number("hunt.matches_left_out");
    if left_out > 0 && hunt["hunt.raise"].as_bool() == Some(true) {
        let raised = matches.saturating_sub(left_out);
        match lang {
            Lang::En => eprintln!(
                "! only the first {raised} matches became alerts; {left_out} are counted only: hunt in \
                 shorter times (--from, --to) to raise them"
            ),
            Lang::Ja => eprintln!(
                "! アラートにしたのは最初の{raised}件だけで、残りの{left_out}件は数えただけです。--from と --to で\
                 期間を分けてください"
            ),
        }
    }
    let alerts = number("hunt.alerts");
    if alerts > 0 {
        match lang {
            Lang::En => eprintln!("{alerts} alerts raised or extended; see `yagura alerts`"),
            Lang::Ja => eprintln!("アラート{alerts}件を作成または更新しました（yagura alerts）"),
        }
    }
    for unread in hunt["hunt.unread"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        match lang {
            Lang::En => eprintln!("! not looked at: {}", visible(unread)),
            Lang::Ja => eprintln!("! 調べられませんでした: {}", visible(unread)),
        }
    }
    for one in hunt["hunt.uncounted"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let name = match (lang, one["rule.name_ja"].as_str()) {
            (Lang::Ja, Some(name)) => name,
            _ => text("rule.name"),
        };
        let (name, count) = (visible(name), &one["hunt.count"]);
        let sentence = text(if lang == Lang::Ja { "hunt.sentence_ja" } else { "hunt.sentence_en" });
        match lang {
            Lang::En => eprintln!("! “{name}”: {} (×{count})", visible(sentence)),
            Lang::Ja => eprintln!("! 「{name}」：{}（{count}件）", visible(sentence)),
        }
    }
    if let Some(error) = hunt["error.message"].as_str() {
        match lang {
            Lang::En => eprintln!("! {}", visible(error)),
            Lang::Ja => eprintln!("! 失敗の理由: {}", visible(error)),
        }
    }
}
