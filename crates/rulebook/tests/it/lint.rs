//! What is wrong with a rule is said where it stands.

use std::path::Path;
use yagura_event::Lang;
use yagura_normalize::Normalizer;
use yagura_rulebook::lint::{self, Severity};
use yagura_rulebook::{RuleSources, limits};

const GOOD: &str = "\
title: A program that is never run here
id: 6f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3c
status: experimental
description: Something that does not happen by itself.
author: Yagura
date: 2026-11-21
tags:
    - attack.t1059
logsource:
    category: process_creation
    product: windows
detection:
    selection:
        Image|endswith: '\\never.exe'
    filter_main_known:
        ParentImage: 'x'
    condition: selection and not 1 of filter_main_*
falsepositives:
    - Unlikely
level: high
";

fn lines(dir: &Path) -> Vec<String> {
    let own = RuleSources { builtin: false, rules: vec![dir.to_owned()], ..RuleSources::default() };
    let files = own.load().unwrap().files;
    let compiled = own.compile(Normalizer::embedded_dictionary()).unwrap();
    lint::check(&files, &compiled)
        .iter()
        .filter(|problem| problem.severity != Severity::Hint)
        .map(|problem| {
            let name = Path::new(&problem.path).file_name().unwrap().to_string_lossy();
            let line = problem.line.map(|line| line.to_string()).unwrap_or_default();
            assert!(!problem.message_in(Lang::Ja).is_ascii(), "{problem:?}");
            let severity = problem.severity.label(Lang::En);
            format!("{name}:{line}: {severity}[{}]: {}", problem.code, problem.message)
        })
        .collect()
}

fn of_one(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("r.yml"), text).unwrap();
    lines(dir.path())
}

#[test]
fn a_good_rule_has_nothing_wrong() {
    assert_eq!(of_one(GOOD), [""; 0]);
}

#[test]
fn each_fault_is_named_with_its_line() {
    let mut all = Vec::new();
    for (wrong, right) in [
        ("Image|endswith", "Image|endwith"),
        ("Image|endswith: '\\never.exe'", "Image|re: '('"),
        ("category: process_creation", "category: process_creations"),
        ("attack.t1059", "attack.t105"),
        ("2026-11-21", "21.11.2026"),
        ("level: high", "level: hihg"),
        ("level: high\n", ""),
        ("id: 6f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3c\n", ""),
        ("title: A program that is never run here\n", ""),
        ("selection and not 1 of filter_main_*", "selection"),
        ("selection and not 1 of filter_main_*", "selection and not selection"),
        ("selection and not 1 of filter_main_*", "selection and not filter"),
        ("status: experimental", "status: experimantal"),
        ("    condition:", "   condition:"),
        ("author: Yagura", "autor: Yagura"),
        ("ParentImage: 'x'", "Comandline: 'x'"),
    ] {
        assert!(GOOD.contains(wrong), "{wrong}");
        all.push(format!("{:?} for {:?} =>", right.trim(), wrong.trim()));
        all.extend(of_one(&GOOD.replace(wrong, right)));
    }
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn documents_files_and_filters_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let other = GOOD.replace("6f3a4a1e", "7f3a4a1e").replace("attack.t1059", "attack.x_y");
    write("a.yml", &format!("{GOOD}---\n{other}"));
    write("b.yml", GOOD);
    let filter = "title: Backup runs it\nid: 0f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3d\nlogsource:\n  product: windows\n  category: process_creation\nfilter:\n  rules:\n    - gone\n  selection:\n    User: backup\n  condition: not selection\n";
    write("f.yml", filter);
    write("g.yml", &filter.replace("- gone", "- gone\n    - 6f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3c"));
    write("h.yml", "a: &a [1]\nb: *a\n");
    std::fs::write(dir.path().join("i.yml"), b"title: \xff\n").unwrap();
    let found = lines(dir.path()).join("\n");
    insta::assert_snapshot!(found.replace(&dir.path().display().to_string(), "DIR"));
}

#[test]
fn problems_of_one_file_are_bounded() {
    let rule = |number: usize| {
        let id = format!("6f3a4a1e-3a35-4d4e-9d0a-{number:012}");
        GOOD.replace("6f3a4a1e-3a35-4d4e-9d0a-0f6a9a1d2b3c", &id)
            .replace("attack.t1059", "attack.t1")
    };
    let file = |count: usize| (0..count).map(rule).collect::<Vec<_>>().join("---\n");
    assert_eq!(of_one(&file(limits::PROBLEMS_PER_FILE_MAX)).len(), limits::PROBLEMS_PER_FILE_MAX);
    let past = of_one(&file(limits::PROBLEMS_PER_FILE_MAX + 1));
    assert_eq!(past.len(), limits::PROBLEMS_PER_FILE_MAX);
}
