//! Files of tests that are no tests: each is a result, and none costs more than its size.

use std::fs;
use yagura_normalize::Normalizer;
use yagura_rulebook::cases::{Outcome, files, run};
use yagura_rulebook::{RuleSources, limits};

/// What becomes of an `info.yml` with this text, and of one beside it.
fn outcome(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("bad", text), ("good", "rule_metadata: [{id: none}]\n")] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("info.yml"), text).unwrap();
    }
    let sources = RuleSources { builtin: false, ..RuleSources::default() };
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    let files = files(&[dir.path().to_owned()]).unwrap();
    let results = run(&files, &compiled.ruleset, &compiled.report, |_| {}).unwrap();
    let [bad, good] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(good.outcome, Outcome::Skipped);
    match &bad.outcome {
        Outcome::Unreadable(reason) => reason.en().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn bombs_are_refused_before_they_are_parsed() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    bomb.push_str("rule_metadata: *a11\n");
    let reason = "it uses YAML anchors and aliases: write the values out";
    assert_eq!(outcome(&bomb), reason);
    let brackets = format!("rule_metadata: {}", "[".repeat(100_000));
    assert_eq!(outcome(&brackets), "more than 1000 brackets are open at once");
    let size = usize::try_from(limits::RULE_FILE_BYTES_MAX).unwrap();
    let padded = |size: usize| {
        let text = "rule_metadata: [{id: none}]\n#";
        format!("{text}{}", "x".repeat(size - text.len()))
    };
    assert_eq!(outcome(&padded(size)), "Skipped");
    assert_eq!(outcome(&padded(size + 1)), format!("larger than {size} bytes"));
}
