//! What a search finds, in memory and in files alike.

use crate::support;
use arrow::array::AsArray;
use std::sync::Arc;
use support::{LINES, NOON, batches, dictionary, expr, line_batches, lines, searcher, table};
use yagura_event::{Lang, ManualClock, UtcMicros};
use yagura_lake::{CompactLimits, CompactRule, Lake, LakeOptions};
use yagura_query::{Order, QueryError, SearchRequest, Searcher};

#[tokio::test]
async fn expressions_find_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let cases: &[(&str, &[i64])] = &[
        ("", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("*", &[0, 1, 2, 3, 4, 5, 6, 7]),
        // Words, phrases, borders of words.
        ("password", &[2]),
        ("FAILED password", &[2]),
        ("\"failed password for\"", &[2]),
        ("\"password failed\"", &[]),
        ("pass", &[]),
        ("pass*", &[2]),
        ("sshd and not root", &[3]),
        ("root or sato", &[2, 3]),
        ("sshd (root || sato) !password", &[3]),
        ("NOT sshd", &[0, 1, 4, 5, 6, 7]),
        ("/fail.d\\s+pass/", &[2]),
        ("C:\\Windows\\System32", &[0]),
        ("\"c:\\windows\\\"", &[0]),
        // Japanese.
        ("サーバ", &[4]),
        ("サーバー", &[4]),
        ("第３営業部", &[4]),
        ("鍵", &[5]),
        ("承認", &[4]),
        ("ガス", &[5]),
        ("～10", &[5]),
        ("レストラン", &[6]),
        ("熱力学", &[]),
        ("A-1", &[6]),
        ("髙﨑", &[7]),
        // Parentheses group: two conditions.
        ("(株)の\\共有", &[7]),
        ("\"(株)の\\共有\"", &[7]),
        ("承認　ＡＮＤ　（サーバ　ＯＲ　鍵）", &[4]),
        // Fields.
        ("event.code:4625", &[0]),
        ("event.code:462*", &[0, 1]),
        ("user.name:administrator", &[1]),
        ("user.name：ＡＤＭＩＮＩＳＴＲＡＴＯＲ", &[1]),
        ("user.name=sato", &[3]),
        ("user.name!=sato", &[0, 1, 2, 4, 5, 6, 7]),
        ("user.name:(root OR 田中)", &[0, 2]),
        ("ユーザー名:田中", &[0]),
        ("user.name:*", &[0, 1, 2, 3]),
        ("exists:user.name", &[0, 1, 2, 3]),
        ("NOT user.name:*", &[4, 5, 6, 7]),
        ("user.name:/^r.*t$/", &[2]),
        ("process.executable:*\\CMD.exe", &[0]),
        ("message:publickey", &[3]),
        ("event.dataset:linux.auth", &[2, 3]),
        ("never.seen:x", &[]),
        ("NOT never.seen:x", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("event.id:syslog/1/2", &[2]),
        // Networks, numbers, times.
        ("source.ip:10.0.0.0/8", &[0, 3]),
        ("source.ip:2001:db8::/32", &[2]),
        ("source.ip:2001:DB8:0::5", &[2]),
        ("source.ip:[10.1.2.0 TO 10.1.2.255]", &[0]),
        ("source.port>=443", &[0, 1, 3]),
        ("source.port:<443", &[2]),
        ("source.port:[22 TO 443]", &[1, 2]),
        ("source.port:{22 TO *]", &[0, 1, 3]),
        ("event.code>4624", &[0]),
        ("@timestamp>=2026-11-21T12:06:00Z", &[6, 7]),
        ("@timestamp:2026-11-21 sshd", &[2, 3]),
        ("@timestamp<now", &[]),
        ("@timestamp:[now TO now+1m]", &[0, 1]),
        // A later condition.
        ("sshd | where source.port>100", &[3]),
    ];
    for (text, expected) in cases {
        assert_eq!(lines(&searcher, text).await, *expected, "{text}");
    }
}

#[tokio::test]
async fn live_events_get_the_same_answers() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for text in [
        "",
        "sshd",
        "鍵 OR サーバ",
        "source.ip:10.0.0.0/8",
        "NOT user.name:*",
        "never.seen:x",
        "event.dataset:unknown",
        "event.code:462*",
        "message:publickey",
        "@timestamp>=2026-11-21T12:06:00Z",
    ] {
        let live = searcher.live(&expr(text)).unwrap();
        let mut found = Vec::new();
        for (number, batch) in line_batches().iter().enumerate() {
            if live.matches(batch).unwrap().value(0) {
                found.push(number as i64);
            }
        }
        assert_eq!(found, lines(&searcher, text).await, "{text}");
    }
    assert!(searcher.live(&expr("sshd | head 1")).is_err());
}

#[tokio::test]
async fn commands_shape_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let cases: &[(&str, &[&[&str]])] = &[
        ("| stats count()", &[&["8"]]),
        (
            "| stats count() as n, dc(user.name) by event.dataset | sort -n, event.dataset",
            &[&["unknown", "4", "0"], &["linux.auth", "2", "2"], &["windows.security", "2", "2"]],
        ),
        ("| stats count() as n by event.dataset | where n>2", &[&["unknown", "4"]]),
        ("| stats sum(source.port), max(source.port) as m", &[&["52687.0", "50000"]]),
        ("user.name:* | top 1 event.dataset", &[&["linux.auth", "2"]]),
        ("user.name:* | fields user.name | head 2", &[&["SATO"], &["root"]]),
        ("user.name:* | tail 1 | fields user.name", &[&["田中"]]),
        (
            "user.name:* | sort source.port | fields user.name, source.port | head 2",
            &[&["root", "22"], &["Administrator", "443"]],
        ),
        ("sshd | head 1 | fields event.id", &[&["syslog/1/3"]]),
        ("｜ stats count（） as 件数", &[&["8"]]),
    ];
    for (text, expected) in cases {
        let answer = match searcher.search(SearchRequest::new(expr(text))).await {
            Ok(answer) => answer,
            Err(error) => panic!("{text}: {error}"),
        };
        assert_eq!(table(answer).await, *expected, "{text}");
    }
}

#[tokio::test]
async fn pages_do_not_overlap_and_say_when_more_follows() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let mut seen = Vec::new();
    for (offset, more) in [(0, true), (3, true), (6, false)] {
        let request = SearchRequest {
            limit: 3,
            offset,
            columns: vec!["event.id".to_owned()],
            ..SearchRequest::new(expr(""))
        };
        let (rows, truncated) = searcher.search(request).await.unwrap().collect().await.unwrap();
        assert_eq!(truncated, more, "{offset}");
        for rows in rows {
            seen.extend(rows.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
        }
    }
    let newest_first: Vec<_> =
        (0..8).rev().map(|n| format!("syslog/{}/{n}", if n < 4 { 1 } else { 2 })).collect();
    assert_eq!(seen, newest_first);
    let request = SearchRequest {
        from: Some(UtcMicros::from_micros(NOON + 60_000_000)),
        to: Some(UtcMicros::from_micros(NOON + 180_000_000)),
        order: Order::OldestFirst,
        columns: vec!["event.id".to_owned(), "no such column".to_owned()],
        ..SearchRequest::new(expr(""))
    };
    let rows = table(searcher.search(request).await.unwrap()).await;
    assert_eq!(rows, [["syslog/1/1", "-"], ["syslog/1/2", "-"]]);
}

#[tokio::test]
async fn events_come_whole_by_their_ids() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let ids = ["syslog/1/0", "syslog/2/7", "syslog/1/2", "syslog/9/9", "other/1/1"];
    let ids: Vec<_> = ids.iter().map(|id| id.parse().unwrap()).collect();
    let found = searcher.events(&ids).await.unwrap();
    assert!(found.unread.is_empty());
    let events = found.batches;
    let found: Vec<_> = events.iter().map(|batch| (&*batch.dataset, batch.rows())).collect();
    assert_eq!(found, [("linux.auth", 1), ("unknown", 1), ("windows.security", 1)]);
    let raw = events[1].columns.column_by_name("event.original").unwrap();
    assert_eq!(raw.as_binary::<i32>().value(0), LINES[7].1.as_bytes());
    let message = events[1].columns.column_by_name("message").unwrap();
    assert_eq!(message.as_string::<i32>().value(0), "高崎㈱の￥共有");
    assert!(events[1].columns.column_by_name("source.ip").is_none());
}

#[tokio::test]
async fn unknown_fields_are_named_with_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let error = |text: &'static str| {
        let searcher = searcher.clone();
        async move {
            match searcher.search(SearchRequest::new(expr(text))).await {
                Err(error @ QueryError::Parse(_)) => error,
                other => panic!("{text}: {other:?}"),
            }
        }
    };
    let wrong = error("sshd user.nmae:root").await;
    assert_eq!(
        wrong.render(Lang::En),
        "sshd user.nmae:root\n     ^^^^^^^^^\nthere is no field user.nmae; did you mean user.name? \
         to search the text, write \"user.nmae:root\""
    );
    assert!(
        wrong
            .render(Lang::Ja)
            .contains("項目 user.nmae はありません。user.name のことでしょうか。")
    );
    for (text, word) in [
        ("source.port:abc", "integer"),
        ("@timestamp>yesterday", "not a time"),
        ("user.name:/(/", "regular expression"),
        ("/(a{1000}){1000}/", "too large"),
        ("event.id:5", "stream/batch/index"),
        ("| stats count() by user.name | where root", "no text to search"),
        ("| stats count() as user.name by user.name", "rename one"),
        ("| stats count() as n | sort m", "no field m"),
    ] {
        let message = error(text).await.render(Lang::En);
        assert!(message.contains(word), "{text}: {message}");
    }
}

struct Trusting;

impl yagura_lake::CompactWatch for Trusting {
    fn at(&mut self, _: yagura_lake::CompactStep) -> bool {
        true
    }

    fn leaf(&mut self, _: &yagura_lake::BatchHead, _: u32, _: &yagura_event::Record) -> [u8; 32] {
        [0; 32]
    }

    fn verify(&mut self, _: &yagura_lake::StoredLeaves) -> Result<(), String> {
        Ok(())
    }
}

/// Events of which compacted files rebuild the texts, and others in memory.
#[tokio::test]
async fn the_first_events_of_an_order_are_those_there_were_before_texts_were_packed() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory.path(), LakeOptions::default(), Arc::new(clock)).unwrap();
    let lake = Arc::new(lake);
    let texts: Vec<String> =
        (0..60).map(|n| format!("sshd[{n}]: Failed password for user{} port {n}", n % 7)).collect();
    let texts: &'static [String] = texts.leak();
    let all: Vec<support::Line> =
        texts.iter().map(|text| ("linux.auth", text.as_str(), &[] as &[_])).collect();
    for (batch, lines) in (1..).zip(all.chunks(20)) {
        lake.add(batches(batch, lines, 0)).unwrap();
        if batch < 3 {
            lake.batch_sealed(batch);
        }
    }
    lake.flush(true).unwrap();
    let searcher = Searcher::new(lake.clone(), dictionary()).unwrap();
    let mut questions = Vec::new();
    for order in [Order::NewestFirst, Order::OldestFirst] {
        for (text, limit, offset) in [
            ("*", 5, 0),
            ("*", 7, 3),
            ("user3", 4, 0),
            ("port 1*", 9, 2),
            ("absent", 5, 0),
            ("*", 80, 0),
        ] {
            let mut request = SearchRequest::new(expr(text));
            (request.limit, request.offset, request.order) = (limit, offset, order);
            let columns = ["@timestamp", "yagura.batch", "yagura.index", "event.original"];
            request.columns = columns.map(str::to_owned).to_vec();
            questions.push(request);
        }
    }
    let answers = async || {
        let mut answers = Vec::new();
        for request in &questions {
            let answer = support::ask(&searcher, request.clone()).await.unwrap();
            let schema = answer.schema();
            let (rows, cut) = answer.collect().await.unwrap();
            let rows = arrow::compute::concat_batches(&schema, &rows).unwrap();
            let shown = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
            answers.push((shown, cut));
        }
        answers
    };
    let before = answers().await;
    assert!(before[0].0.contains("sshd[") || before[0].0.len() > 400, "{}", before[0].0);
    let mut rule = CompactRule::new("2026-11-21".to_owned());
    rule.files_min = 1;
    let jobs = lake.compactable(&rule);
    let limits = CompactLimits::default();
    let prepared = lake.prepare_compaction(&jobs, &limits, &mut Trusting).unwrap();
    lake.publish_compaction(prepared, &mut Trusting).unwrap();
    assert!(lake.events().rebuilds(["event.original"].into_iter()), "the texts are packed");
    assert_eq!(answers().await, before);
}
