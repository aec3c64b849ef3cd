//! The grammar that is written down is the one that is read: every example of it is parsed and answered.

use crate::support;
use jiff::tz::TimeZone;
use support::house::{document, searcher};
use yagura_event::{Lang, UtcMicros};
use yagura_query::{SearchRequest, parse};

/// The examples of a document: the lines of its blocks of searches.
fn examples(document: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```search" => inside = true,
            "```" => inside = false,
            line if inside => examples.push(line.to_owned()),
            _ => {}
        }
    }
    examples
}

#[tokio::test]
async fn every_example_of_the_grammar_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let english = examples(&document("search-grammar.md"));
    assert!(english.len() > 40, "{}", english.len());
    assert_eq!(english, examples(&document("search-grammar.ja.md")), "the same in both languages");
    for text in english {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let parsed = match parse(&text, UtcMicros::from_micros(support::NOON), &zone) {
            Ok(parsed) => parsed,
            Err(error) => panic!("{}", error.render(Lang::En)),
        };
        let answer = match searcher.search(SearchRequest::new(parsed)).await {
            Ok(answer) => answer,
            Err(error) => panic!("{text}\n{error}"),
        };
        if let Err(error) = answer.collect().await {
            panic!("{text}\n{error}");
        }
    }
}
