//! What the commands after the filter make of the rows.

use crate::support;
use jiff::tz::TimeZone;
use support::{NOON, expr, searcher, table};
use yagura_event::{Lang, UtcMicros};
use yagura_query::limits::{COLUMNS_MADE_MAX, DEPTH_MAX};
use yagura_query::{QueryError, SearchRequest, Searcher, parse};

async fn answer(searcher: &Searcher, text: &str) -> Vec<Vec<String>> {
    match searcher.search(SearchRequest::new(expr(text))).await {
        Ok(answer) => table(answer).await,
        Err(error) => panic!("{text}\n{error}"),
    }
}

async fn all(cases: &[(&str, &[&[&str]])]) {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for (text, expected) in cases {
        assert_eq!(answer(&searcher, text).await, *expected, "{text}");
    }
}

// The eight lines come a minute apart from 12:00 on: two of Windows, two of sshd, four unknown.

#[tokio::test]
async fn rows_are_counted_by_time_and_group() {
    all(&[
        (
            "| timechart span=5m count() as n",
            &[&["2026-11-21T12:00:00Z", "5"], &["2026-11-21T12:05:00Z", "3"]],
        ),
        ("| timechart span=1d", &[&["2026-11-21T00:00:00Z", "8"]]),
        (
            "user.name:* | timechart span=2m dc(user.name) as people by event.dataset",
            &[
                &["2026-11-21T12:00:00Z", "windows.security", "2"],
                &["2026-11-21T12:02:00Z", "linux.auth", "2"],
            ],
        ),
        (
            "| bin @timestamp span=4m as slot | stats count() as n by slot",
            &[&["2026-11-21T12:00:00Z", "4"], &["2026-11-21T12:04:00Z", "4"]],
        ),
        (
            "source.port:* | bin source.port span=1000 as port | stats count() as n by port",
            &[&["0.0", "2"], &["2000.0", "1"], &["50000.0", "1"]],
        ),
        ("| rare 1 event.dataset", &[&["linux.auth", "2"]]),
        (
            "| dedup event.dataset | fields event.dataset, event.id",
            &[
                &["unknown", "syslog/2/7"],
                &["linux.auth", "syslog/1/3"],
                &["windows.security", "syslog/1/1"],
            ],
        ),
        ("| sort @timestamp | dedup event.dataset | head 1 | fields event.id", &[&["syslog/1/0"]]),
        ("| dedup 2 event.dataset | stats count()", &[&["6"]]),
    ])
    .await;
}

#[tokio::test]
async fn aggregates_beyond_counting() {
    all(&[
        (
            "user.name:* | stats first(user.name) as f, last(user.name) as l, values(event.dataset) as v",
            &[&["田中", "SATO", "linux.auth, windows.security"]],
        ),
        (
            "source.port:* | stats median(source.port) as m, min(source.port) as low, p99(source.port) as p",
            &[&["1332.5", "22", "50000.0"]],
        ),
        ("source.port:* | stats stdev(source.port) as s | eval s = round(s) | fields s", &[&["24571.0"]]),
        (
            "| stats count() as n by event.dataset | stats sum(n) as all, max(n) as most",
            &[&["8.0", "4"]],
        ),
        (
            "| stats count() as n, values(user.name) as who by event.dataset | where who:*root*",
            &[&["linux.auth", "2", "SATO, root"]],
        ),
        ("| stats avg(source.port) as a | where a>13000 | where a:[13000 TO 13200]", &[&["13171.75"]]),
    ])
    .await;
}

#[tokio::test]
async fn columns_are_computed() {
    let row = "event.id:syslog/1/2 | eval x = ";
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for (computation, expected) in [
        ("1 + 2 * 3", "7.0"),
        ("(1 + 2) * 3 - -1", "10.0"),
        ("7 % 4 / 2", "1.5"),
        ("1 / 0", "-"),
        ("source.port * 2", "44.0"),
        ("number(\"12\") + number(\"x\")", "-"),
        ("len(\"日本語\")", "3.0"),
        ("upper(user.name)", "ROOT"),
        ("concat(user.name, \"@\", source.port)", "root@22"),
        ("substr(\"abcdef\", 2, 3)", "bcd"),
        ("substr(\"abcdef\", 4)", "def"),
        ("replace(\"a-b-c\", \"-\", \"+\")", "a+b+c"),
        ("trim(\"  a \")", "a"),
        ("if(user.name = \"ＲＯＯＴ\", \"yes\", \"no\")", "yes"),
        ("if(source.port >= 22 and not user.name = \"x\", 1, 0)", "1.0"),
        ("if(source.port > 22 or 0, 1, \"none\")", "none"),
        ("if(cidr(source.ip, \"2001:db8::/32\"), 1, 0)", "1.0"),
        ("if(match(message, \"fail.d\"), 1, 0)", "1.0"),
        ("coalesce(never.seen, user.name)", "root"),
        ("if(isnull(never.seen), 1, 0)", "1.0"),
        ("abs(-2.5) + floor(2.5) + ceil(2.5) + round(2.345, 2)", "9.85"),
        ("hour(@timestamp)", "12.0"),
        ("weekday(@timestamp)", "6.0"),
        ("event.ingested - @timestamp", "-120.0"),
        ("text(@timestamp + 60)", "2026-11-21T12:03:00Z"),
        ("'user.name'", "root"),
    ] {
        let text = format!("{row}{computation} | fields x");
        assert_eq!(answer(&searcher, &text).await, [[expected]], "{computation}");
    }
    let both =
        "event.id:syslog/1/2 | eval a = source.port + 1, b = a * 2 | where b>40 | fields a, b";
    assert_eq!(answer(&searcher, both).await, [["23.0", "46.0"]]);
    let beside = answer(&searcher, "event.id:syslog/1/2 | eval twice = source.port * 2").await;
    assert_eq!(beside[0].last().map(String::as_str), Some("44.0"));
    assert_eq!(beside[0][0], "2026-11-21T12:02:00Z");
}

#[tokio::test]
async fn columns_are_renamed_and_rows_joined_to_sessions() {
    all(&[
        (
            "| stats count() as n by event.dataset | rename n as events, event.dataset as kind | sort -events | head 1",
            &[&["unknown", "4"]],
        ),
        (
            "user.name:root | rename user.name as who | fields who",
            &[&["root"]],
        ),
        (
            "| transaction event.dataset maxpause=1m",
            &[
                &["unknown", "2026-11-21T12:04:00Z", "2026-11-21T12:07:00Z", "180.0", "4"],
                &["linux.auth", "2026-11-21T12:02:00Z", "2026-11-21T12:03:00Z", "60.0", "2"],
                &["windows.security", "2026-11-21T12:00:00Z", "2026-11-21T12:01:00Z", "60.0", "2"],
            ],
        ),
        (
            "user.name:* | transaction event.dataset maxpause=59s | stats count() as n, max(events) as most",
            &[&["4", "1"]],
        ),
    ])
    .await;
}

#[tokio::test]
async fn bins_follow_the_zone_of_the_search() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
    let parsed = parse("| timechart span=1d count() as n", UtcMicros::from_micros(NOON), &tokyo);
    let found = searcher.search(SearchRequest::new(parsed.unwrap())).await.unwrap();
    assert_eq!(table(found).await, [["2026-11-20T15:00:00Z", "8"]]);
}

#[tokio::test]
async fn mistakes_name_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let now = UtcMicros::from_micros(NOON);
    for (text, marked, said) in [
        ("| timechart span=5x count()", "5x", "not a span"),
        ("| timechart span=100 count()", "100", "not a span"),
        ("| bin source.port", "", "span="),
        ("| bin source.port span=5m", "source.port", "no time"),
        ("| bin @timestamp span=5", "@timestamp", "is a time"),
        ("| eval = 1", "=", "name of the new column"),
        ("| eval x 1", "1", "= and what"),
        ("| eval x = ", "", "a value is missing"),
        ("| eval x = lenn(user.name)", "lenn", "did you mean len"),
        ("| eval x = len()", "len()", "takes 1"),
        ("| eval x = (1 + 2", "(", "never closed"),
        ("| eval x = user.nmae", "user.nmae", "did you mean user.name"),
        ("| eval x = @timestamp * 2", "*", "seconds"),
        ("| eval x = cidr(source.ip, \"x\")", "cidr(source.ip, \"x\")", "no regular expression"),
        ("| eval x = hour(user.name)", "hour(user.name)", "a time"),
        ("| rename user.name", "", "as and the new name"),
        ("| stats count() as n | rename n as n", "n", "already"),
        ("| stats p100(x)", "p100", "unknown aggregate"),
        ("| transaction user.name maxpause=month", "month", "not a span"),
        ("| stats count() as n | where m:1", "m", "there is no field m"),
    ] {
        let error = match parse(text, now, &TimeZone::UTC) {
            Err(error) => error,
            Ok(parsed) => match searcher.search(SearchRequest::new(parsed)).await {
                Err(QueryError::Parse(error)) => error,
                Err(error) => panic!("{text}: {error}"),
                Ok(_) => panic!("{text}: accepted"),
            },
        };
        assert_eq!(&text[error.at()], marked, "{text}\n{error}");
        assert!(error.message(Lang::En).contains(said), "{text}\n{error}");
        let japanese = error.message(Lang::Ja);
        assert!(japanese.chars().any(|c| ('ぁ'..='ん').contains(&c)), "{japanese}");
    }
}

#[test]
fn commands_and_computations_are_bounded() {
    let read = |text: &str| parse(text, UtcMicros::default(), &TimeZone::UTC);
    let names = |count: usize| format!("| fields {}", vec!["a"; count].join(", "));
    assert!(read(&names(COLUMNS_MADE_MAX)).is_ok());
    assert!(read(&names(COLUMNS_MADE_MAX + 1)).is_err());
    let counts = |count: usize| format!("| stats {}", vec!["count()"; count].join(", "));
    assert!(read(&counts(COLUMNS_MADE_MAX)).is_ok());
    assert!(read(&counts(COLUMNS_MADE_MAX + 1)).is_err());
    let sums = |links: usize| format!("| eval x = 1{}", " + 1".repeat(links));
    assert!(read(&sums(DEPTH_MAX - 1)).is_ok());
    assert!(read(&sums(DEPTH_MAX)).is_err());
    let nested = |depth: usize| format!("| eval x = {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(read(&nested(DEPTH_MAX)).is_ok());
    assert!(read(&nested(DEPTH_MAX + 1)).is_err());
}
