//! Real rules and their own tests: the corpora that `YAGURA_CORPORA` names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use yagura_normalize::Normalizer;
use yagura_rulebook::cases::{self, Outcome, Sample};
use yagura_rulebook::lint::{self, Severity};
use yagura_rulebook::{Compiled, RuleSources};

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

fn sigmahq(corpora: &std::path::Path) -> RuleSources {
    let sets = [
        "rules",
        "rules-emerging-threats",
        "rules-threat-hunting",
        "rules-dfir",
        "rules-compliance",
    ];
    let dirs = sets.iter().map(|set| corpora.join("sigma").join(set)).filter(|dir| dir.is_dir());
    RuleSources { rules: dirs.collect(), ..RuleSources::default() }
}

fn compile(sources: &RuleSources) -> Compiled {
    sources.compile(Normalizer::embedded_dictionary()).unwrap()
}

#[test]
fn sigmahqs_own_tests_hold_from_both_kinds_of_sample() {
    let Some(corpora) = corpora() else { return };
    let compiled = compile(&sigmahq(&corpora));
    let files = cases::files(&[corpora.join("sigma-regression")]).unwrap();
    let results = cases::run(&files, &compiled.ruleset, &compiled.report, |_| {}).unwrap();
    let mut counts: BTreeMap<(Sample, bool), usize> = BTreeMap::new();
    for result in &results {
        assert!(!result.outcome.is_wrong(), "{result:?}");
        *counts.entry((result.sample, result.outcome == Outcome::Passed)).or_default() += 1;
    }
    // One has no sample in use.
    assert_eq!(counts.remove(&(Sample::None, false)), Some(1), "{counts:?}");
    // All others, each from both: a folder for every info.yml.
    let each = files.len() - 1;
    let expected = [((Sample::Evtx, true), each), ((Sample::Json, true), each)];
    assert_eq!(counts, BTreeMap::from(expected));
    assert!(each > 100);
}

#[test]
fn lists_make_every_rule_of_sigmahq_usable() {
    let Some(corpora) = corpora() else { return };
    let mut sources = sigmahq(&corpora);
    let refused = compile(&sources).report.refused;
    let reasons: Vec<&str> = refused.iter().map(|refusal| refusal.reason.as_str()).collect();
    assert!(reasons.iter().all(|reason| reason.contains("%known_cdcs%")), "{reasons:#?}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("known_cdcs.txt"), "# ours\ndc01.example.org\n").unwrap();
    sources.lists = vec![dir.path().to_owned()];
    let report = compile(&sources).report;
    assert_eq!(report.refused, [], "{:?}", report.refused);
}

/// The linter must not cry wolf: nothing of SigmaHQ is an error but what is refused.
#[test]
fn sigmahq_is_found_well_written() {
    let Some(corpora) = corpora() else { return };
    let sources = RuleSources { builtin: false, ..sigmahq(&corpora) };
    let loaded = sources.load().unwrap();
    let files = loaded.files.clone();
    let compiled = loaded.compile(Normalizer::embedded_dictionary()).unwrap();
    let problems = lint::check(&files, &compiled);
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert_eq!(errors.len(), compiled.report.refused.len(), "{errors:#?}");
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in problems.iter().filter(|p| p.severity == Severity::Warning) {
        *kinds.entry(&problem.code).or_default() += 1;
    }
    eprintln!("{} files: {kinds:?}", files.len());
    assert!(kinds.values().sum::<usize>() < files.len() / 20, "{kinds:?}");
}
