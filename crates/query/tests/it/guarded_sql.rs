//! SQL answers questions about events and refuses everything else, without dying.

use crate::support;
use support::{house, searcher, table};
use yagura_query::QueryError;
use yagura_query::limits::{SQL_DEPTH_MAX, SQL_OPERATORS_MAX, SQL_UNIONS_MAX, TEXT_BYTES_MAX};

#[tokio::test]
async fn questions_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let cases: &[(&str, &[&[&str]])] = &[
        ("select count(*) from events", &[&["8"]]),
        (
            "SELECT \"user.name\", \"source.port\" FROM events WHERE \"source.port\" < 1000 ORDER BY 2",
            &[&["root", "22"], &["Administrator", "443"]],
        ),
        (
            "with e as (select \"event.dataset\" d from events) select d, count(*) from e group by d order by d limit 1",
            &[&["linux.auth", "2"]],
        ),
        (
            "select upper(\"user.name\") from events where \"user.name\" like 'Adm%' union all select 'x'",
            &[&["ADMINISTRATOR"], &["x"]],
        ),
        ("select \"event.id\" from events where \"event.id\" = 'syslog/1/2';", &[&["syslog/1/2"]]),
    ];
    for (text, expected) in cases {
        let mut rows = match searcher.sql(text).await {
            Ok(answer) => table(answer).await,
            Err(error) => panic!("{text}: {error}"),
        };
        if text.contains("union") {
            rows.sort();
        }
        assert_eq!(rows, *expected, "{text}");
    }
    assert!(searcher.sql("explain select * from events").await.is_ok());
}

#[tokio::test]
async fn everything_else_is_refused() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let alone = searcher(directories[0].path());
    let housed = house::searcher(directories[1].path());
    for text in [
        "",
        "COPY events TO '/tmp/yagura-never.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE events",
        "INSERT INTO events VALUES (1)",
        "DELETE FROM events",
        "SET datafusion.execution.batch_size = 1",
        "SHOW TABLES",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT * FROM range(10)",
        "SELECT 1; DROP TABLE events",
        "SELECT * FROM other",
        "WITH x AS (SELECT 1) INSERT INTO events SELECT * FROM x",
        "EXPLAIN ANALYZE COPY events TO '/tmp/yagura-never.csv'",
        "SELECT 'unclosed",
        "COPY alerts TO '/tmp/yagura-never.csv'",
        "COPY (SELECT * FROM acts) TO '/tmp/yagura-never.csv'",
        "DROP TABLE alerts",
        "DELETE FROM alerts",
        "UPDATE alerts SET \"alert.count\" = 0",
        "INSERT INTO sources VALUES ('x', 1)",
        "CREATE OR REPLACE TABLE alerts AS SELECT 1",
        "CREATE VIEW acts AS SELECT 1",
        "SELECT * FROM alerts; DELETE FROM alerts",
        "SELECT * FROM datafusion.information_schema.tables",
        "SELECT * FROM information_schema.columns WHERE table_name = 'alerts'",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT * FROM other.alerts",
        "SELECT * FROM other.public.alerts",
        "SELECT * FROM acts('/etc/passwd')",
        "SELECT * FROM alerts('/etc/passwd')",
        // Lists are for searches.
        "SELECT * FROM users",
        "SELECT * FROM 'alerts.csv'",
        "SELECT * FROM \"/etc/passwd\"",
        "WITH x AS (SELECT 1) DELETE FROM alerts",
        "EXPLAIN DELETE FROM alerts",
        "SHOW COLUMNS FROM alerts",
        "DESCRIBE acts",
    ] {
        for searcher in [&alone, &housed] {
            match searcher.sql(text).await {
                Err(
                    QueryError::Refused { .. } | QueryError::Statement(_) | QueryError::Failed(_),
                ) => {}
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    assert!(!std::path::Path::new("/tmp/yagura-never.csv").try_exists().unwrap());
}

#[tokio::test]
async fn hostile_statements_are_errors_and_never_end_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let chain = |part: &str, join: &str, count: usize| vec![part; count].join(join);
    for text in [
        format!("select {}", chain("1", "+", 2_000)),
        format!("select {}", chain("1", " - ", 2_000)),
        format!("select 1 from events where {}", chain("1=1", " OR ", 10_000)),
        chain("select 1", " union all ", 3_000),
        format!("select {}1{}", "(".repeat(3_000), ")".repeat(3_000)),
        format!("select {}1", "-".repeat(20_000).replace("--", "- ")),
        format!("select {} true", "not ".repeat(10_000)),
        format!("select {}1{}", "case when true then ".repeat(5_000), " end".repeat(5_000)),
        format!("select 1 {}", "::int".repeat(5_000)),
        format!("select {}", chain("'a'", "||", 5_000)),
        format!("select * from {}", chain("events", " cross join ", 100)),
        format!("select a{}", "[1]".repeat(3_000)),
        format!("select 1 in ({})", chain("1", ",", 40_000)),
        "x".repeat(TEXT_BYTES_MAX + 1),
        format!("{}select 1", "explain ".repeat(2_000)),
    ] {
        match searcher.sql(&text).await {
            Err(QueryError::Refused { .. } | QueryError::Statement(_)) => {}
            other => panic!("{}: {other:?}", &text[..60]),
        }
    }
    // At the limits it still works, and one past each it does not.
    for (text, sound) in [
        (format!("select {}", chain("1", "+", SQL_OPERATORS_MAX)), true),
        (format!("select {}", chain("1", "+", SQL_OPERATORS_MAX + 1)), false),
        (chain("select 1", " union all ", SQL_UNIONS_MAX + 1), true),
        (chain("select 1", " union all ", SQL_UNIONS_MAX + 2), false),
        (format!("select {}1{}", "(".repeat(SQL_DEPTH_MAX), ")".repeat(SQL_DEPTH_MAX)), true),
        (
            format!("select {}1{}", "(".repeat(SQL_DEPTH_MAX + 1), ")".repeat(SQL_DEPTH_MAX + 1)),
            false,
        ),
        (
            format!(
                "select count(*) from events where {}",
                chain("\"source.port\"=1", " or ", 240)
            ),
            true,
        ),
    ] {
        let answer = searcher.sql(&text).await;
        assert_eq!(answer.is_ok(), sound, "{}: {answer:?}", &text[..40]);
        if let Ok(answer) = answer {
            assert!(!table(answer).await.is_empty());
        }
    }
    // A question that never ends is dropped with its reader.
    let endless = searcher.sql("select count(*) from events a, events b, events c, events d").await;
    drop(endless);
}
