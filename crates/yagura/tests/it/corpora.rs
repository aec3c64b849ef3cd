//! Real logs through the real binary.
use crate::common;
use common::{corpora, rows, verify, yagura};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use yagura_event::Level;
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;

fn files(dir: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, end, found);
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
}

#[test]
fn every_evtx_file_is_imported_found_and_verified() {
    let Some(corpora) = corpora() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let folders = ["evtx-attack-samples", "sigma-regression"].map(|name| corpora.join(name));
    let mut evtx = Vec::new();
    folders.iter().for_each(|folder| files(folder, ".evtx", &mut evtx));
    assert!(evtx.len() > 300, "only {} EVTX files", evtx.len());
    let list: Vec<&str> = evtx.iter().map(|path| path.to_str().unwrap()).collect();
    let mut arguments = vec!["import", "--output", "jsonl", "--quiet"];
    arguments.extend(&list);
    let output = yagura(&data, &arguments);
    // Exit code 1 says that some files are damaged, which some of these are.
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let imported: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(imported.len(), evtx.len());
    let records = |key: &str| imported.iter().map(|file| file[key].as_u64().unwrap()).sum::<u64>();
    let added = records("records_added");
    assert!(added > 8_000, "only {added} records");
    let sql = "select \"yagura.peer\" as peer, count(*) as n from events group by 1";
    let found = rows(&yagura(&data, &["sql", sql, "--output", "jsonl"]));
    let with_events: BTreeSet<&str> =
        found.iter().map(|row| row["peer"].as_str().unwrap()).collect();
    let mut seen_contents = BTreeSet::new();
    for file in &imported {
        let path = file["log.file.path"].as_str().unwrap();
        let again = !seen_contents.insert(file["file.hash.sha256"].as_str().unwrap());
        let has_records = file["records_added"].as_u64().unwrap() > 0;
        assert!(again || !has_records || with_events.contains(path), "{path} cannot be found");
    }
    let total: u64 = found.iter().map(|row| row["n"].as_u64().unwrap()).sum();
    assert_eq!(total, added);
    let one =
        rows(&yagura(&data, &["search", "event.code:1102", "--limit", "5", "--output", "jsonl"]));
    assert!(!one.is_empty());
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
    let second = yagura(&data, &arguments);
    let text = String::from_utf8(second.stdout).unwrap();
    assert!(
        text.lines().all(|line| line.contains("\"records_added\":0")),
        "importing twice adds nothing"
    );
}

/// Each visible regression case of SigmaHQ: its rule must fire on its sample, live.
#[test]
fn sigma_regression_cases_fire_on_import() {
    let Some(corpora) = corpora() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let cases = corpora.join("sigma-regression");
    let mut infos = Vec::new();
    files(&cases, "info.yml", &mut infos);
    let mut wanted = Vec::new();
    for info in &infos {
        let text = std::fs::read_to_string(info).unwrap();
        let id = text
            .split("rule_metadata:")
            .nth(1)
            .unwrap()
            .lines()
            .find_map(|line| line.trim().strip_prefix("- id:").map(|id| id.trim().to_owned()));
        wanted.push((id.unwrap(), info.parent().unwrap().to_owned()));
    }
    let mut evtx = Vec::new();
    files(&cases, ".evtx", &mut evtx);
    let mut arguments: Vec<String> =
        vec!["import".into(), "--quiet".into(), "--output".into(), "jsonl".into()];
    arguments.extend(evtx.iter().map(|path| path.to_string_lossy().into_owned()));
    arguments.extend(["--rules".to_owned(), corpora.join("sigma").to_string_lossy().into_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = yagura(&data, &arguments);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Rules below medium raise no alert; they are counted here through the same engine elsewhere.
    let alerts = rows(&yagura(&data, &["alerts", "--limit", "1000", "--output", "jsonl"]));
    let fired: BTreeSet<&str> =
        alerts.iter().map(|alert| alert["rule.uuid"].as_str().unwrap()).collect();
    let silent: BTreeSet<&str> =
        wanted.iter().map(|(id, _)| id.as_str()).filter(|id| !fired.contains(id)).collect();
    let sources = RuleSources {
        builtin: false,
        rules: vec![corpora.join("sigma")],
        ..RuleSources::default()
    };
    let compiled = sources.compile(Normalizer::embedded_dictionary()).unwrap();
    let low = compiled.ruleset.rules().filter(|rule| rule.level < Level::Medium);
    let low: BTreeSet<&str> = low.map(|rule| rule.id.as_str()).collect();
    let mut expected: BTreeSet<&str> =
        wanted.iter().map(|(id, _)| id.as_str()).filter(|id| low.contains(id)).collect();
    // It has a line of text, and no event log.
    expected.insert("ef0ff092-a24a-4fbc-beea-06c08d53e085");
    assert!(wanted.len() > 100);
    assert_eq!(silent, expected);
}
