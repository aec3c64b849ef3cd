//! What the tests of our rules share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_detect::{LogSources, RuleFile, Ruleset};
use yagura_event::{CommittedRun, Record, StreamName, Transport, UtcMicros};

pub fn content() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content")
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn rule_files() -> Vec<RuleFile> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(content().join("rules")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            files.push(RuleFile { path: path.display().to_string(), text: read(&path) });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

pub fn ruleset() -> Arc<Ruleset> {
    let dictionary = yagura_normalize::Normalizer::embedded_dictionary();
    let sources = LogSources::from_toml(&read(&content().join("logsources.toml"))).unwrap();
    let files = rule_files();
    let (ruleset, report) = Ruleset::compile(&files, dictionary, &sources);
    let refused: Vec<_> = report.refused.iter().map(ToString::to_string).collect();
    assert!(refused.is_empty(), "refused:\n{}", refused.join("\n"));
    let compiled = report.loaded + ruleset.correlations().len();
    assert_eq!(compiled, files.len(), "one rule a file");
    Arc::new(ruleset)
}

pub fn run(line: &str) -> CommittedRun {
    CommittedRun {
        stream: StreamName::new("rules").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: vec![Record {
            received: "2026-11-21T09:00:00Z".parse::<UtcMicros>().unwrap(),
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: line.as_bytes().to_vec().into(),
        }],
    }
}
