//! The library in a page: scans the paths named with our own rules and those of `RULES`, a directory,
//! and writes the report to standard output.
//!
//! `RULES=sigma/rules cargo run -p yagura-scan --example report -- ja /evidence > report.html`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use yagura_event::{Clock, Lang, Level, SystemClock};
use yagura_intake::import::plan;
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;
use yagura_scan::{ReportFacts, RuleSource, ScanOptions, ScanProgress, html, scan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let lang: Lang = arguments.next().unwrap_or_default().parse()?;
    let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let rules = std::env::var_os("RULES").map(PathBuf::from).into_iter().collect();
    let loaded = RuleSources { rules, ..RuleSources::default() }.load()?;
    let files = loaded.files.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    let source = RuleSource::new("our own and those named", files);
    let compiled = loaded.compile(Normalizer::embedded_dictionary())?;
    let options = ScanOptions { lang, threads: 2, ..ScanOptions::default() };
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let mut scanned = scan(&plan(&paths), &compiled.ruleset, &options, &progress, &cancel)?;
    let facts = ReportFacts {
        lang,
        zone: options.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: SystemClock.now(),
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        sources: vec![source],
        rules_loaded: compiled.report.loaded,
        refused: compiled
            .report
            .refused
            .iter()
            .map(|r| (r.path.clone(), r.reason.clone()))
            .collect(),
        min_level: Level::Informational,
        from: None,
        to: None,
    };
    html(&mut scanned, &facts, &mut std::io::stdout().lock())?;
    Ok(())
}
