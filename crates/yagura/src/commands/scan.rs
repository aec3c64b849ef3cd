//! `yagura scan`: detection without a server.

mod output;
mod summary;

use crate::config::Config;
use crate::output::visible;
use crate::told::{either, misuse};
use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::tz::TimeZone;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use yagura_detect::CompileReport;
use yagura_enrich::Enrichment;
use yagura_event::{Clock, Lang, Level, SystemClock, UtcMicros};
use yagura_intake::import::{Plan, plan};
use yagura_normalize::Normalizer;
use yagura_rulebook::{Loaded, RuleSources};
use yagura_scan::limits::THREADS_MAX;
use yagura_scan::{ReportFacts, RuleSource, ScanOptions, ScanProgress, Scanned};

/// `yagura scan`
#[derive(Args)]
#[command(after_help = "\
Reads logs where they lie and says what rules find in them, as one timeline. Nothing is stored and
nothing is changed. What a file is follows from its contents, not its name; gz, zst, zip and tar
are opened. The same content under several names is read once.

An event is named by its file and its place there: Security.evtx#record=4711, auth.log#line=120,
trail.json#byte=2048.

Exit codes: 0 done, with findings or without; 1 part of the input could not be read, or something
of the level of --fail-on was found; 2 misuse. Findings go to standard output (or to --out), the
summary goes to standard error.

Examples:
  yagura scan /evidence/winevt
  yagura scan host7.zip --rules ~/sigma/rules --min-level medium
  yagura scan /evidence -o report.html
  yagura scan /evidence --output timesketch -o case7.jsonl
  yagura scan auth.log --time-zone Asia/Tokyo --from 2026-11-20 --to 2026-11-22
  yagura scan /evidence --output jsonl | jq -r 'select(.[\"host.name\"]==\"WS01\").message'")]
pub struct Scan {
    /// Files or folders; archives and compressed files are opened
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// How findings are written [default: by the name of --out, or else table]
    #[arg(long, value_enum)]
    output: Option<ScanFormat>,
    /// Write the findings to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Directories (or files) of Sigma rules, besides our own
    #[arg(long, value_name = "DIR", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Directories (or files) of mappings, besides the built-in ones; see docs/mappings.md
    #[arg(long, value_name = "DIR", num_args = 1..)]
    content: Vec<PathBuf>,
    /// Configuration file whose [enrich] names databases, networks and inventories, and whose
    /// rules.time_zone counts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave out our own rules
    #[arg(long, requires = "rules")]
    no_builtin: bool,
    /// Values for placeholders in rules: TOML or text files, or directories of them
    #[arg(long, value_name = "PATH", num_args = 1..)]
    lists: Vec<PathBuf>,
    /// Processing pipelines for rules: YAML files, or directories of them
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pipelines: Vec<PathBuf>,
    /// Only rules of this level or above: informational, low, medium, high or critical
    #[arg(long, value_name = "LEVEL", default_value = "informational")]
    min_level: Level,
    /// Only events from this time on: a day, a time in --time-zone, or an instant with its own zone
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only events before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Zone of log times that name none, and in which times are shown, such as Asia/Tokyo
    /// or +09:00
    #[arg(long, value_name = "ZONE", default_value = "UTC", env = "YAGURA_TIME_ZONE")]
    time_zone: String,
    /// Zone in which rules take the hour, day, week, ... of a time, such as Asia/Tokyo
    /// [default: rules.time_zone of --config, or else UTC]
    #[arg(long, value_name = "ZONE")]
    rule_time_zone: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Exit with 1 when something of this level or above was found
    #[arg(long, value_name = "LEVEL")]
    fail_on: Option<Level>,
    /// No progress bar and no summary
    #[arg(long, short)]
    quiet: bool,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScanFormat {
    /// A timeline in sentences
    Table,
    /// One JSON object a line, with ECS names
    Jsonl,
    /// RFC 4180, with a header
    Csv,
    /// One page for people: summary, explanations, timeline, files, limits
    Html,
    /// For Timesketch: JSON lines, or CSV where --out ends in .csv
    Timesketch,
}

impl Scan {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let cancel = Arc::new(AtomicBool::new(false));
        let told = cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                told.store(true, Ordering::SeqCst);
            }
        });
        tokio::task::spawn_blocking(move || self.scan(lang, &cancel)).await?
    }

    fn scan(self, lang: Lang, cancel: &AtomicBool) -> Result<ExitCode> {
        let format = self.format();
        // Not this machine's own zone unless it is asked for: a report must not depend on where it
        // was made.
        let zone = crate::zone::named("--time-zone", &self.time_zone, lang)?;
        let normalizer = Normalizer::with_content(&crate::content::read(&self.content, lang)?)?;
        let options = ScanOptions {
            lang,
            min_level: self.min_level,
            from: self.from.as_deref().map(|at| time("--from", at, &zone, lang)).transpose()?,
            to: self.to.as_deref().map(|at| time("--to", at, &zone, lang)).transpose()?,
            threads: self.threads(lang)?,
            zone: zone.clone(),
            normalizer: Some(Arc::new(normalizer)),
            // Nothing else says them.
            file_hashes: format == ScanFormat::Html,
            enrichment: self.enrichment(lang)?,
            ..ScanOptions::default()
        };
        let made_at = SystemClock.now();
        let plan = plan(&self.paths);
        if plan.files.is_empty() {
            plan.problems.iter().for_each(|problem| {
                let path = problem.path.display().to_string();
                eprintln!("! {}: {}", visible(&path), visible(problem.reason.text(lang)));
            });
            return Err(anyhow!(match lang {
                Lang::En => "there is no file to read there",
                Lang::Ja => "読み取るファイルがありません",
            }));
        }
        let mut out = self.open(&plan, lang)?;
        let loaded = self.load(lang)?;
        let sources = self.sources(&loaded, lang);
        let dictionary = options.normalizer.as_ref().map(|one| one.dictionary().clone());
        let dictionary = dictionary.unwrap_or_else(Normalizer::embedded_dictionary);
        let rules = loaded.compile(dictionary)?;
        let progress = ScanProgress::default();
        let mut scanned = watched(&plan, &progress, self.quiet, lang, || {
            yagura_scan::scan(&plan, &rules.ruleset, &options, &progress, cancel)
        })?;
        let facts = facts(&options, made_at, &self.paths, sources, &rules.report);
        output::write(format, &mut scanned, &facts, out.as_mut(), self.is_csv())?;
        out.flush()?;
        drop(out);
        if !self.quiet {
            summary::print(&mut scanned, &facts, &mut std::io::stderr().lock())?;
        }
        summary::print_unread(&scanned.report, lang);
        if let (Some(path), false) = (&self.out, self.quiet) {
            let path = path.display().to_string();
            match lang {
                Lang::En => eprintln!("written to {}", visible(&path)),
                Lang::Ja => eprintln!("{} に書き出しました", visible(&path)),
            }
        }
        let alarming = self.fail_on.is_some_and(|l| scanned.report.levels.from_level(l) > 0);
        Ok(ExitCode::from(u8::from(alarming || !scanned.report.is_complete())))
    }

    /// What events are enriched with, if a configuration says so.
    fn enrichment(&self, lang: Lang) -> Result<Arc<Enrichment>> {
        let Some(path) = &self.config else { return Ok(Arc::default()) };
        let config = Config::load(Some(path), Some(lang), lang)?;
        let read = Enrichment::load(&config.enrichment());
        Ok(Arc::new(read.map_err(|error| anyhow!(error.text(lang)))?))
    }

    fn format(&self) -> ScanFormat {
        let end = self.out.as_ref().and_then(|path| path.extension()?.to_str());
        self.output.unwrap_or(match end.map(str::to_ascii_lowercase).as_deref() {
            Some("html" | "htm") => ScanFormat::Html,
            Some("csv") => ScanFormat::Csv,
            Some("jsonl" | "json" | "ndjson") => ScanFormat::Jsonl,
            _ => ScanFormat::Table,
        })
    }

    fn is_csv(&self) -> bool {
        let end = self.out.as_ref().and_then(|path| path.extension());
        end.is_some_and(|end| end.eq_ignore_ascii_case("csv"))
    }

    fn threads(&self, lang: Lang) -> Result<usize> {
        match self.threads {
            None => {
                Ok(std::thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS_MAX))
            }
            Some(threads) if (1..=THREADS_MAX).contains(&threads) => Ok(threads),
            Some(threads) => Err(misuse(
                lang,
                format!("--threads: {threads} is not between 1 and {THREADS_MAX}"),
                format!("--threads: {threads} は範囲外です（1～{THREADS_MAX}）"),
            )
            .into()),
        }
    }

    /// Opens the output before the scan, so that an hour is not spent in vain; and never over what is
    /// to be examined.
    fn open(&self, plan: &Plan, lang: Lang) -> Result<Box<dyn Write>> {
        let Some(path) = &self.out else {
            return Ok(Box::new(BufWriter::new(std::io::stdout())));
        };
        if let Ok(real) = path.canonicalize() {
            let is_it = |file: &PathBuf| file.canonicalize().is_ok_and(|file| file == real);
            if plan.files.iter().any(|file| is_it(&file.path)) {
                let path = path.display();
                return Err(misuse(
                    lang,
                    format!(
                        "--out {path} is among the files to be examined; name another file, outside \
                         of them"
                    ),
                    format!(
                        "--out {path} は調査対象のファイルです。対象の外の別のファイルを指定してください"
                    ),
                )
                .into());
            }
        }
        let file = File::create(path).with_context(|| {
            let path = path.display();
            either(
                lang,
                format!("--out: cannot write {path}"),
                format!("--out: {path} に書き込めません"),
            )
        })?;
        Ok(Box::new(BufWriter::new(file)))
    }

    fn load(&self, lang: Lang) -> Result<Loaded> {
        let sources = RuleSources {
            builtin: !self.no_builtin,
            rules: self.rules.clone(),
            lists: self.lists.clone(),
            pipelines: self.pipelines.clone(),
            zone: self.rule_zone(lang)?,
        };
        Ok(sources.load()?)
    }

    fn rule_zone(&self, lang: Lang) -> Result<TimeZone> {
        match (&self.rule_time_zone, &self.config) {
            (Some(name), _) => Ok(crate::zone::named("--rule-time-zone", name, lang)?),
            (None, Some(path)) => Config::load(Some(path), Some(lang), lang)?.rule_zone(),
            (None, None) => Ok(TimeZone::UTC),
        }
    }

    /// Which rules these are: our pack, then each place that was named.
    fn sources(&self, loaded: &Loaded, lang: Lang) -> Vec<RuleSource> {
        let version = env!("CARGO_PKG_VERSION");
        let ours = match lang {
            Lang::En => format!("Yagura's own rules, version {version}"),
            Lang::Ja => format!("Yagura 標準の規則（バージョン {version}）"),
        };
        let named = self.rules.iter().map(|place| place.display().to_string());
        let mut sources: Vec<(String, Vec<(&str, &str)>)> =
            std::iter::once(ours).chain(named).map(|name| (name, Vec::new())).collect();
        for file in &loaded.files {
            let is_ours = file.path.starts_with("builtin/") && !self.no_builtin;
            let place = self
                .rules
                .iter()
                .position(|place| !is_ours && std::path::Path::new(&file.path).starts_with(place));
            let number = place.map_or(0, |place| place + 1);
            if let Some((_, files)) = sources.get_mut(number) {
                files.push((&file.path, &file.text));
            }
        }
        let used = sources.into_iter().filter(|(_, files)| !files.is_empty());
        used.map(|(name, files)| RuleSource::new(name, files)).collect()
    }
}

fn facts(
    options: &ScanOptions,
    made_at: UtcMicros,
    paths: &[PathBuf],
    sources: Vec<RuleSource>,
    rules: &CompileReport,
) -> ReportFacts {
    let refused = rules.refused.iter().map(|refused| {
        let title = refused.title.as_deref().or(refused.rule_id.as_deref());
        let name = match title {
            Some(title) => format!("{title} ({})", refused.path),
            None => refused.path.clone(),
        };
        (name, refused.reason.clone())
    });
    ReportFacts {
        lang: options.lang,
        zone: options.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        sources,
        rules_loaded: rules.loaded,
        refused: refused.collect(),
        min_level: options.min_level,
        from: options.from,
        to: options.to,
    }
}

/// A time as people write it: a day, a time of the day in `zone`, or an instant with its own zone.
fn time(option: &str, text: &str, zone: &TimeZone, lang: Lang) -> Result<UtcMicros> {
    if let Ok(instant) = text.parse::<UtcMicros>() {
        return Ok(instant);
    }
    let local = text.parse::<jiff::civil::DateTime>();
    let zoned = local.and_then(|local| local.to_zoned(zone.clone()));
    let zoned = zoned.map_err(|_| {
        misuse(
            lang,
            format!(
                "{option}: {text:?} is no time; write 2026-11-21, 2026-11-21T10:00, or \
                 2026-11-21T10:00:00Z"
            ),
            format!(
                "{option}: {text:?} は日時ではありません。2026-11-21、2026-11-21T10:00、\
                 2026-11-21T10:00:00Z のように指定してください"
            ),
        )
    })?;
    Ok(zoned.timestamp().into())
}

/// Runs `work` with a progress bar on standard error: bytes, rate, remaining time.
fn watched(
    plan: &Plan,
    progress: &ScanProgress,
    quiet: bool,
    lang: Lang,
    work: impl FnOnce() -> Result<Scanned, yagura_scan::ScanError>,
) -> Result<Scanned> {
    let hidden = quiet || !std::io::stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(plan.bytes()), target);
    let template = "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let done = AtomicBool::new(false);
    let scanned = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !hidden && !done.load(Ordering::Relaxed) {
                bar.set_position(progress.bytes.load(Ordering::Relaxed));
                let events = progress.events.load(Ordering::Relaxed);
                let findings = progress.findings.load(Ordering::Relaxed);
                bar.set_message(match lang {
                    Lang::En => format!("{events} events, {findings} findings"),
                    Lang::Ja => format!("記録{events}件 検知{findings}件"),
                });
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        let scanned = work();
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        scanned
    });
    bar.finish_and_clear();
    Ok(scanned?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let read = |text| time("--from", text, &tokyo, Lang::En).map(|at| at.to_string());
        assert_eq!(read("2026-11-21").unwrap(), "2026-11-20T15:00:00.000000Z");
        assert_eq!(read("2026-11-21T10:00").unwrap(), "2026-11-21T01:00:00.000000Z");
        assert_eq!(read("2026-11-21 10:00:30").unwrap(), "2026-11-21T01:00:30.000000Z");
        assert_eq!(read("2026-11-21T10:00:00Z").unwrap(), "2026-11-21T10:00:00.000000Z");
        assert!(read("yesterday").unwrap_err().is::<crate::Misuse>());
    }
}
