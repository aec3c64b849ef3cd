//! A mapping of a user, as `docs/mappings.md` teaches it: tried on a line, then used on events that were
//! stored before there was one.
use crate::common;
use common::{Server, YAGURA, rows, succeeded, verify};
use std::process::{Command, Output};

const DOC: &str = include_str!("../../../../docs/mappings.md");
const DOC_JA: &str = include_str!("../../../../docs/mappings.ja.md");

/// The block behind the first line that is `fence`, from `start` on.
fn block<'a>(doc: &'a str, start: &str, fence: &str) -> &'a str {
    let doc = &doc[doc.find(start).unwrap()..];
    let (_, block) = doc.split_once(&format!("\n{fence}\n")).unwrap();
    block.split_once("\n```").unwrap().0
}

/// The line and the mapping of the worked example.
fn example() -> (&'static str, &'static str) {
    (block(DOC, "## A worked example", "```"), block(DOC, "## A worked example", "```toml"))
}

fn normalize(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(YAGURA).arg("normalize").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    (output, said)
}

#[test]
fn the_worked_example_does_what_it_says() {
    let (line, mapping) = example();
    let japanese = block(DOC_JA, "## 例", "```toml");
    let said = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(said(japanese), said(mapping), "the Japanese page has another example");
    assert_eq!(block(DOC_JA, "## 例", "```"), line);
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (log, toml) = (path("app.log"), path("acme.toml"));
    std::fs::write(&log, format!("{line}\n")).unwrap();
    std::fs::write(&toml, mapping).unwrap();

    let (output, said) = normalize(&["--try", &log, "--mapping", &toml, "--lang", "en"]);
    succeeded(&output);
    for expected in [
        line,
        "acme.shop",
        "acme.order",
        "A-4711",
        "25000000",
        "tanaka ordered A-4711 from 203.0.113.9",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    let (output, said) = normalize(&["--try", &log, "--mapping", &toml, "--lang", "ja"]);
    succeeded(&output);
    assert!(said.contains("tanaka が 203.0.113.9 から A-4711 を注文した"), "{said}");

    let (output, said) = normalize(&["--try", &log, "--lang", "en"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(line) && !said.contains("acme.shop"), "{said}");
}

#[test]
fn what_was_stored_before_there_was_a_mapping_is_read_again() {
    let (line, mapping) = example();
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let content = scratch.path().join("content");
    std::fs::create_dir(&content).unwrap();
    std::fs::write(content.join("acme.toml"), mapping).unwrap();
    let other = line.replace("A-4711", "A-4712");

    let server = Server::start(&data, &[]);
    server.send_syslog(&[line, &other]);
    server.wait_for("event.dataset:unknown", 2);
    server.stop();

    let server = Server::start(&data, &["--content", content.to_str().unwrap()]);
    server.wait_for("event.dataset:unknown", 2);
    succeeded(&server.yagura(&["reprocess", "--quiet"]));
    let found = server.wait_for("event.dataset:acme.shop", 2);
    let sentences: Vec<&str> =
        found.iter().map(|row| row["yagura.sentence.en"].as_str().unwrap()).collect();
    for order in ["A-4711", "A-4712"] {
        let expected = format!("tanaka ordered {order} from 203.0.113.9");
        assert!(sentences.contains(&expected.as_str()), "{sentences:?}");
    }
    server.wait_for("acme.order:A-4712", 1);
    server.wait_for("event.dataset:unknown", 0);
    server.stop();
    let (code, said) = verify(&data);
    assert_eq!(code, 0, "{said}");
    // A directory that is opened without the mapping still has what was derived with it.
    let stored = common::yagura(&data, &["search", "acme.order:*", "--output", "jsonl"]);
    assert_eq!(rows(&stored).len(), 2);
}
