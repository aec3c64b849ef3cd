//! What may stand where somebody is writing a search.

use crate::support;
use proptest::prelude::*;
use std::sync::Arc;
use support::{LINES, NOON, batches, dictionary, expr, lines, searcher};
use yagura_event::{FieldDictionary, ManualClock, UtcMicros};
use yagura_lake::{Lake, LakeOptions};
use yagura_query::limits::{COMPLETIONS_MAX, TEXT_BYTES_MAX};
use yagura_query::{Completions, Offer, OfferKind, Searcher};

/// What is offered where `^` stands.
async fn at(searcher: &Searcher, marked: &str) -> Completions {
    let at = marked.find('^').unwrap();
    searcher.complete(&marked.replacen('^', "", 1), at, COMPLETIONS_MAX).await
}

/// The offers, as they are written.
async fn written(searcher: &Searcher, marked: &str) -> Vec<String> {
    at(searcher, marked).await.offers.into_iter().map(|offer| offer.insert).collect()
}

#[tokio::test]
async fn fields_are_offered_by_name_by_part_and_by_label() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let found = at(&searcher, "a and us^ | head").await;
    assert_eq!((found.replace, &*found.typed), (6..8, "us"));
    let first = &found.offers[0];
    let label = first.label.as_ref().map(|label| (label.ja(), label.en()));
    assert_eq!(
        (first.kind, &*first.text, &*first.insert),
        (OfferKind::Field, "user.name", "user.name:")
    );
    assert_eq!((label, first.field_type), (Some(("ユーザー名", "User name")), Some("keyword")));
    // The label of a field that everybody has, whatever one source calls its own.
    for typed in ["ユーザ^", "ﾕｰｻﾞｰ^", "User n^", "ＵＳＥＲ．ｎ^"] {
        let fields = written(&searcher, typed).await;
        // A word ends at a blank.
        let expected = if typed == "User n^" { "never.seen:" } else { "user.name:" };
        assert_eq!(fields.first().map(String::as_str), Some(expected), "{typed}: {fields:?}");
    }
    assert_eq!(written(&searcher, "exe^").await, ["process.executable:"]);
    assert_eq!(written(&searcher, "exe^:x").await, ["process.executable"]);
    assert_eq!(written(&searcher, "| top 5 exe^").await, ["process.executable"]);
    // One that no event has comes behind those that some have.
    let all = written(&searcher, "^").await;
    let place = |name: &str| all.iter().position(|other| other == name);
    assert!(place("source.ip:") < place("never.seen:"), "{all:?}");
    assert_eq!(place("yagura.batch:"), None);
    // What commands made stands for itself, and what they did away with is gone.
    let after = "| stats count() as n by user.name | sort ^";
    assert_eq!(written(&searcher, after).await, ["user.name", "n"]);
    assert_eq!(written(&searcher, "| eval delay = 1 | fields del^").await, ["delay"]);
}

#[tokio::test]
async fn commands_and_functions_are_offered_where_they_may_stand() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let found = at(&searcher, "sshd ｜ ｔ^").await;
    let names: Vec<&str> = found.offers.iter().map(|offer| &*offer.insert).collect();
    assert_eq!(names, ["tail ", "top ", "timechart ", "transaction "]);
    assert!(found.offers.iter().all(|offer| offer.kind == OfferKind::Command));
    assert!(found.offers.iter().all(|offer| offer.label.is_some()));
    assert_eq!(written(&searcher, "| stats su^").await, ["sum("]);
    assert_eq!(written(&searcher, "| stats count() ^").await, ["as ", "by "]);
    assert_eq!(written(&searcher, "| eval x = low^").await, ["lower("]);
    assert_eq!(written(&searcher, "| transaction user.name max^").await, ["maxpause="]);
    assert_eq!(written(&searcher, "@timestamp>now-1^").await, ["now-15m", "now-1h"]);
    assert!(written(&searcher, "a \"b^").await.is_empty());
}

#[tokio::test]
async fn values_are_those_that_events_have_the_most_frequent_first() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let found = at(&searcher, "event.dataset:^").await;
    let values = |found: &Completions| -> Vec<(String, u64)> {
        let value = |offer: &Offer| (offer.text.clone(), offer.count.unwrap());
        found.offers.iter().map(value).collect()
    };
    let expected = [("unknown", 4), ("linux.auth", 2), ("windows.security", 2)];
    assert_eq!(values(&found), expected.map(|(value, count)| (value.to_owned(), count)));
    assert_eq!((found.values_of.as_deref(), found.partial), (Some("event.dataset"), false));
    // In files and in memory, by label, folded, in quotes, in parentheses, with a wildcard.
    assert_eq!(written(&searcher, "user.name:^").await, ["Administrator", "SATO", "root", "田中"]);
    for marked in [
        "user.name:sa^",
        "user.name:ｓＡ^",
        "ユーザー名:sa^",
        "user.name:\"sa^",
        "user.name:(root or sa^",
        "user.name!=s?t^",
        "| where user.name=sa^",
    ] {
        assert_eq!(written(&searcher, marked).await, ["SATO"], "{marked}");
    }
    assert_eq!(written(&searcher, "source.ip:10^").await, ["10.1.2.3", "10.9.9.9"]);
    assert_eq!(written(&searcher, "source.port:4^").await, ["443"]);
    // Free text, what no event has, what is no field, and what a command made have none.
    for marked in
        ["message:F^", "never.seen:^", "nothing:^", "| eval n = 1 | where n=^", "event.id:^"]
    {
        assert!(written(&searcher, marked).await.is_empty(), "{marked}");
    }
}

#[tokio::test]
async fn what_is_offered_finds_the_events_that_have_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory.path(), LakeOptions::default(), Arc::new(clock)).unwrap();
    const ODD: [support::Line; 5] = [
        ("a", "1", &[("user.name", "a b")]),
        ("a", "2", &[("user.name", "x*y")]),
        ("a", "3", &[("user.name", "say \"hi\"")]),
        ("a", "4", &[("user.name", "(or)")]),
        ("a", "5", &[("user.name", "line\nfeed")]),
    ];
    lake.add(batches(1, &ODD, 0)).unwrap();
    let searcher = Searcher::new(Arc::new(lake), dictionary()).unwrap();
    let values = written(&searcher, "user.name:^").await;
    assert_eq!(values, ["\"(or)\"", "\"a b\"", "\"say \"\"hi\"\"\"", "\"x*y\""]);
    for value in values {
        assert_eq!(lines(&searcher, &format!("user.name:{value}")).await.len(), 1, "{value}");
    }
}

#[tokio::test]
async fn offers_and_text_have_limits() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory.path(), LakeOptions::default(), Arc::new(clock)).unwrap();
    lake.add(batches(1, &LINES, 0)).unwrap();
    let field = |number: usize| {
        format!("[[field]]\nname='odd.f{number}'\nja='項目{number}'\nen='F{number}'\n")
    };
    let text: String = (0..=COMPLETIONS_MAX).map(field).collect();
    let many = Arc::new(FieldDictionary::from_toml(&text).unwrap());
    let searcher = Searcher::new(Arc::new(lake), many).unwrap();
    for (limit, count) in
        [(0, 0), (3, 3), (COMPLETIONS_MAX, COMPLETIONS_MAX), (usize::MAX, COMPLETIONS_MAX)]
    {
        let found = searcher.complete("odd", 3, limit).await;
        assert_eq!(found.offers.len(), count, "{limit}");
    }
    let mut text = format!("{} od", "x".repeat(TEXT_BYTES_MAX - 3));
    assert_eq!(searcher.complete(&text, text.len(), 5).await.offers.len(), 5);
    text.insert(0, 'x');
    assert!(searcher.complete(&text, text.len(), 5).await.offers.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_text_is_answered_and_what_is_offered_fits(
        text in "[a:|()\"'/*?<>=!，　｜：“evals tbyuser.nm田]{0,40}",
        at in 0usize..120,
    ) {
        use std::sync::OnceLock;
        static LAKE: OnceLock<(tempfile::TempDir, Searcher, tokio::runtime::Runtime)> = OnceLock::new();
        let (_, searcher, runtime) = LAKE.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let searcher = searcher(directory.path());
            (directory, searcher, tokio::runtime::Runtime::new().unwrap())
        });
        let found = runtime.block_on(searcher.complete(&text, at, COMPLETIONS_MAX));
        prop_assert!(found.offers.len() <= COMPLETIONS_MAX);
        prop_assert!(text.get(found.replace.clone()).is_some());
        // A field that is taken at the beginning of a search makes one that can be read.
        if let Some(offer) = found.offers.first()
            && found.replace == (0..text.len())
            && offer.kind == OfferKind::Field
        {
            expr(&format!("{}x", offer.insert));
        }
    }
}

#[tokio::test]
async fn lists_of_lookup_and_their_columns_are_offered() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = support::house::searcher(directory.path());
    assert_eq!(
        written(&searcher, "| lookup ^").await,
        ["users ", "assets ", "networks ", "indicators "]
    );
    assert_eq!(written(&searcher, "| lookup ＵＳ^").await, ["users "]);
    let columns = ["user.name", "user.department", "user.title"];
    assert_eq!(written(&searcher, "| lookup Users ^").await, columns);
    assert_eq!(written(&searcher, "| lookup users user.name ^").await, ["as ", "output "]);
    assert_eq!(
        written(&searcher, "| lookup users user.name output user.d^").await,
        ["user.department"]
    );
    assert!(written(&searcher, "| lookup planets ^").await.is_empty());
    // What it puts beside the rows stands behind it, before the events' own of the same beginning.
    let behind = "| lookup users user.name output user.title as rank | fields ran^";
    assert_eq!(written(&searcher, behind).await[0], "rank");
    let behind = "| stats count() as n by user.name | lookup users user.name | fields ^";
    let all = ["user.name", "n", "user.department", "user.title"];
    assert_eq!(written(&searcher, behind).await, all);
    // Their values are in no event.
    let found = at(&searcher, "| lookup users user.name | where user.title:^").await;
    assert_eq!((found.offers.len(), found.values_of), (0, None));
}
