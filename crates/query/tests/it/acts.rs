//! `| act`, and the tables of SQL beside events.

use crate::support;
use support::house::{LOGONS, all_of, ask, searcher, searcher_of};
use support::{LINES, table};
use yagura_query::limits::TABLE_ROWS_MAX;
use yagura_query::{Answer, Searcher};

async fn sql(searcher: &Searcher, text: &str) -> Answer {
    match searcher.sql(text).await {
        Ok(answer) => answer,
        Err(error) => panic!("{text}\n{error}"),
    }
}

#[tokio::test]
async fn the_events_of_one_act_become_one_row() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher_of(directory.path(), &LOGONS, 0);
    let (names, rows, notices) = all_of(ask(&searcher, "event.dataset:* | act").await).await;
    assert_eq!(
        names,
        [
            "@timestamp",
            "event.end",
            "act.kind",
            "user.name",
            "host.name",
            "source.ip",
            "act.object",
            "sentence.ja",
            "sentence.en",
            "act.events",
            "act.event_ids"
        ]
    );
    let kinds: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(kinds, ["failed_logons"], "{rows:?}");
    let act = &rows[0];
    assert_eq!(
        (act[0].as_str(), act[1].as_str()),
        ("2026-11-21T12:00:00Z", "2026-11-21T12:01:00Z")
    );
    assert_eq!(act[4], "pc07");
    assert_eq!(
        (act[7].as_str(), act[8].as_str()),
        ("行為 act.failed_logons", "act act.failed_logons")
    );
    assert_eq!((act[9].as_str(), act[10].as_str()), ("2", "syslog/1/0 syslog/1/1"));
    let alone: Vec<_> = notices.iter().map(|notice| (notice.cut, notice.words.en())).collect();
    assert_eq!(alone, [(false, "2 of the 4 events that were read are part of no act")]);
}

#[tokio::test]
async fn commands_go_on_with_acts() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher_of(directory.path(), &LOGONS, 0);
    let cases: &[(&str, &[&[&str]])] = &[
        (
            "| act | stats sum(act.events) as events by act.kind, host.name",
            &[&["failed_logons", "pc07", "2.0"]],
        ),
        ("| act | where act.events>2", &[]),
        (
            "| act | where act.kind:failed_logons act.events>=2 | fields act.first",
            &[&["syslog/1/0"]],
        ),
        ("host.name:pc08 | act", &[]),
        // Only what is found becomes part of an act.
        ("| head 3 | act | fields act.events", &[]),
        ("| sort @timestamp | head 3 | act | fields act.events", &[&["2"]]),
        (
            "| act | lookup users user.name output user.title as t | fields user.name, t",
            &[&["tanaka", "係長"]],
        ),
        (
            "| join host.name [ | act | stats count() as acts by host.name ] | stats count() as n by host.name, acts",
            &[&["pc07", "1", "3"]],
        ),
    ];
    for (text, expected) in cases {
        let rows = table(ask(&searcher, text).await).await;
        assert_eq!(rows, *expected, "{text}");
    }
    let added = "| act | eval x = act.events * 2";
    let (names, rows, _) = all_of(ask(&searcher, added).await).await;
    assert_eq!((names.last().unwrap().as_str(), rows[0].last().unwrap().as_str()), ("x", "4.0"));
}

#[tokio::test]
async fn sql_asks_acts_and_what_the_house_knows() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher_of(directory.path(), &LOGONS, 0);
    let cases: &[(&str, &[&[&str]])] = &[
        (
            "select \"act.kind\", \"act.events\", \"sentence.en\" from acts",
            &[&["failed_logons", "2", "act act.failed_logons"]],
        ),
        ("select count(*) from acts where \"@timestamp\" >= '2026-11-21T12:00:00Z'", &[&["1"]]),
        ("select count(*) from acts where \"@timestamp\" > '2026-11-21T12:00:00Z'", &[&["0"]]),
        (
            "select count(*) from acts where \"@timestamp\" between '2026-11-21T11:00:00Z' and '2026-11-21T12:00:30Z'",
            &[&["0"]],
        ),
        (
            "select \"user.name\", \"alert.count\" from alerts order by 2",
            &[&["田中", "0"], &["u1", "1"]],
        ),
        ("select count(*) from sources", &[&["2"]]),
        (
            "with a as (select * from acts) select count(*) from a join events e on a.\"host.name\" = e.\"host.name\"",
            &[&["3"]],
        ),
        ("select count(*) from acts a, acts b, alerts", &[&["2"]]),
    ];
    for (text, expected) in cases {
        assert_eq!(table(sql(&searcher, text).await).await, *expected, "{text}");
    }
    let answer = sql(&searcher, "select * from acts").await;
    assert!(answer.schema().index_of("act.writes").is_ok(), "what only some kinds have");
    assert!(answer.notices()[0].words.en().contains("part of no act"));
}

#[tokio::test]
async fn a_table_is_cut_at_its_limit_and_the_answer_says_so() {
    for (more, cut) in [(TABLE_ROWS_MAX - 2, false), (TABLE_ROWS_MAX - 1, true)] {
        let directory = tempfile::tempdir().unwrap();
        let searcher = searcher_of(directory.path(), &LINES[..2], more);
        let answer = sql(&searcher, "select count(*) from alerts").await;
        assert_eq!(answer.notices().iter().any(|notice| notice.cut), cut);
        assert_eq!(table(answer).await, [[TABLE_ROWS_MAX.to_string()]]);
    }
}

#[tokio::test]
async fn without_a_house_there_are_events_and_acts() {
    let directory = tempfile::tempdir().unwrap();
    let alone = support::searcher(directory.path());
    let error = alone.sql("select * from alerts").await.unwrap_err().to_string();
    assert!(error.contains("there is no table alerts; there are events, acts"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let known = searcher(elsewhere.path()).sql("select * from other").await.unwrap_err();
    assert!(known.to_string().contains("there are events, acts, alerts, sources"), "{known}");
}
