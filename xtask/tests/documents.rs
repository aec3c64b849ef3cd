//! The root documents are held to the code they speak of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Every Rust source file below `dir`.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// What stands between backticks, outside code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The headings, and the commands a reader would copy.
fn shape(text: &str) -> (usize, Vec<String>) {
    let headings = text.lines().filter(|line| line.starts_with("## ")).count();
    let blocks = text.split("```sh\n").skip(1).filter_map(|part| part.split("```").next());
    let commands = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap_or(""));
    let commands = commands.map(|line| line.replace("--lang ja", "").trim().to_owned());
    (headings, commands.filter(|line| !line.is_empty()).collect())
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let text = document("ARCHITECTURE.md");
    assert!(text.lines().count() <= 300, "the map has outgrown its page: shorten it");
    let invariants = text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let names: BTreeSet<&str> = code
        .match_indices("fn ")
        .filter_map(|(at, found)| code[at + found.len()..].split(['(', '<']).next())
        .collect();

    for invariant in invariants.split("\n**I").skip(1) {
        let number = invariant.split('.').next().unwrap();
        let held_by = quoted(invariant).into_iter().filter(|name| {
            let is_file = name.starts_with("src/") || name.starts_with("e2e/");
            let is_test = name.contains('_')
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if is_file {
                assert!(root().join("web").join(name).is_file(), "I{number}: no file web/{name}");
            }
            if is_test {
                assert!(names.contains(name), "I{number}: no test {name}");
            }
            is_file || is_test || *name == "clippy.toml"
        });
        assert!(held_by.count() > 0, "I{number} names nothing that holds it");
    }
}

#[test]
fn both_readmes_say_the_same() {
    let (english, japanese) = (shape(&document("README.md")), shape(&document("README.ja.md")));
    assert!(english.1.len() > 5, "the commands were not found: {english:?}");
    assert_eq!(english, japanese);
}

#[test]
fn links_between_documents_lead_somewhere() {
    for name in ["README.md", "README.ja.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = document(name);
        for target in text.split("](").skip(1).filter_map(|part| part.split(')').next()) {
            if !target.contains("://") {
                let target = target.split('#').next().unwrap();
                assert!(root().join(target).try_exists().unwrap(), "{name}: no {target}");
            }
        }
    }
}
