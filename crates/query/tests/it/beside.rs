//! Columns of other searches and of lists beside the rows.

use crate::support;
use support::house::{all_of, ask, crowd, searcher, searcher_of, wrong};
use support::{LINES, NOON, expr, table};
use yagura_event::UtcMicros;
use yagura_query::SearchRequest;
use yagura_query::limits::{JOIN_ROWS_MAX, LIST_ROWS_MAX};

async fn all(cases: &[(&str, &[&[&str]])]) {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for (text, expected) in cases {
        assert_eq!(table(ask(&searcher, text).await).await, *expected, "{text}");
    }
}

// 田中 (4625) and Administrator (4624) on Windows, root and SATO on Linux, four others without a user.

#[tokio::test]
async fn rows_are_joined_with_those_of_another_search() {
    all(&[
        (
            "user.name:* | join user.name [ event.dataset:windows.security | stats count() as n by user.name ] | sort user.name | fields user.name, n",
            &[&["Administrator", "1"], &["田中", "1"]],
        ),
        (
            "user.name:* | join type=left user.name [ event.code:4625 | stats count() as n by user.name ] | sort @timestamp | fields event.id, n",
            &[&["syslog/1/0", "1"], &["syslog/1/1", "-"], &["syslog/1/2", "-"], &["syslog/1/3", "-"]],
        ),
        // Without columns of its own, only whether there is one.
        ("| join event.dataset [ event.code:4624 ] | stats count()", &[&["2"]]),
        (
            "| join type=left event.dataset [ event.code:4624 ] | stats count()",
            &[&["8"]],
        ),
        (
            "user.name:* | join user.name, event.dataset [ source.port<1000 | fields event.dataset, user.name, source.port | rename source.port as low ] | sort low | fields user.name, low",
            &[&["root", "22"], &["Administrator", "443"]],
        ),
        // Of several with the same value the first counts: the newest, or as sorted.
        (
            "user.name:root | join event.dataset [ user.name:* | fields event.dataset, user.name | rename user.name as other ] | fields other",
            &[&["SATO"]],
        ),
        (
            "user.name:root | join event.dataset [ user.name:* | sort @timestamp | fields event.dataset, user.name | rename user.name as other ] | fields other",
            &[&["root"]],
        ),
        // The order of the rows stays.
        (
            "user.name:* | sort -user.name | fields user.name | join user.name [ user.name:* | stats count() as n by user.name ]",
            &[&["田中", "1"], &["root", "1"], &["SATO", "1"], &["Administrator", "1"]],
        ),
        // In a search within a search.
        (
            "user.name:* | join user.name [ user.name:* | join event.dataset [ event.code:4625 | fields event.dataset ] | stats count() as n by user.name ] | sort user.name | fields user.name, n",
            &[&["Administrator", "1"], &["田中", "1"]],
        ),
        ("| join user.name [ user.name:nobody | stats count() as n by user.name ]", &[]),
    ])
    .await;
}

#[tokio::test]
async fn keys_are_compared_as_searches_compare_values() {
    all(&[
        (
            "user.name:* | eval who = upper(user.name) | join who [ user.name:sato | eval who = lower(user.name) | stats count() as n by who ] | fields who, n",
            &[&["SATO", "1"]],
        ),
        (
            "| eval ip = \"::ffff:10.9.9.9\" | join ip [ user.name:sato | eval ip = source.ip | stats count() as n by ip ] | stats count()",
            &[&["8"]],
        ),
        (
            "source.port:* | eval p = source.port | join p [ * | eval p = 11 * 2 | fields p ] | fields user.name",
            &[&["root"]],
        ),
        // Who has no value matches nobody, not even another without one.
        ("| join user.name [ not user.name:* | fields user.name ] | stats count()", &[&["0"]]),
    ])
    .await;
}

#[tokio::test]
async fn a_search_in_brackets_asks_the_time_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    let text =
        "| join type=left event.dataset [ | stats count() as n by event.dataset ] | stats max(n)";
    for (minutes, most) in [(1, "1"), (4, "2"), (8, "4")] {
        let mut request = SearchRequest::new(expr(text));
        request.to = Some(UtcMicros::from_micros(NOON + minutes * 60_000_000));
        let answer = searcher.search(request).await.unwrap();
        assert_eq!(table(answer).await, [[most]], "{minutes}");
    }
}

#[tokio::test]
async fn mistakes_in_joins_show_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for (text, expected) in [
        (
            "| join user.name [ event.code:4624 | fields user.name, source.ip ]",
            "there is a column source.ip already; inside the brackets, write | rename source.ip as another name",
        ),
        ("| join user.name [ * | stats count() by event.code ]", "there is no field user.name"),
        ("| join user.nmae [ * ]", "did you mean user.name?"),
        ("| join user.name [ user.nmae:x ]", "did you mean user.name?"),
        ("| stats count() | act", "act puts events together: write it before commands that make"),
    ] {
        let said = wrong(&searcher, text).await;
        assert!(said.contains(expected), "{text}\n{said}");
    }
    let said = wrong(&searcher, "| join user.name [ user.nmae:x ]").await;
    assert_eq!(said.lines().nth(1), Some("                   ^^^^^^^^^"), "{said}");
}

#[tokio::test]
async fn values_are_looked_up_in_lists() {
    all(&[
        (
            "user.name:* | sort @timestamp | lookup users user.name output user.department as d, user.title | fields user.name, d, user.title",
            &[
                &["田中", "経理部", "係長"],
                &["Administrator", "-", "管理者"],
                &["root", "-", "-"],
                &["SATO", "-", "-"],
            ],
        ),
        (
            "user.name:* | lookup networks network.cidr as source.ip output network.name as n | sort @timestamp | fields source.ip, n",
            &[
                &["10.1.2.3", "本社"],
                &["192.168.0.9", "-"],
                &["2001:db8::5", "-"],
                &["10.9.9.9", "支店"],
            ],
        ),
        // A column of the same name is replaced, and can be asked for at once.
        (
            "user.name:* | eval user.title = \"x\" | lookup USERS user.name | where user.title:係長 | fields user.name, user.title",
            &[&["田中", "係長"]],
        ),
        (
            "user.name:* | lookup indicators threat.indicator.name as source.ip | where threat.indicator.provider:* | fields source.ip",
            &[&["192.168.0.9"]],
        ),
        (
            "user.name:* | stats count() as n by user.name | lookup users user.name output user.department | where user.department:*",
            &[&["田中", "1", "経理部"]],
        ),
    ])
    .await;
    let directory = tempfile::tempdir().unwrap();
    let searcher = searcher(directory.path());
    for (text, expected) in [
        (
            "| lookup user user.name",
            "there is no list user; did you mean users? available: users, assets",
        ),
        (
            "| lookup planets user.name",
            "there is no list planets; available: users, assets, networks",
        ),
        (
            "| lookup users user.nmae as user.name",
            "there is no column user.nmae; did you mean user.name?",
        ),
        (
            "| lookup users user.name output depart",
            "available: user.name, user.department, user.title",
        ),
        ("| lookup users user.name as nobody", "there is no field nobody"),
        (
            "| lookup users user.name output user.title as t, user.name as t",
            "two columns are called t",
        ),
    ] {
        let said = wrong(&searcher, text).await;
        assert!(said.contains(expected), "{text}\n{said}");
    }
    let (_, _, notices) =
        all_of(ask(&searcher, "| lookup assets host.ip as source.ip output host.owner").await)
            .await;
    assert_eq!(notices[0].words.en(), "the list assets has no rows");
    assert!(!notices[0].cut);
}

#[tokio::test]
async fn a_list_is_asked_up_to_the_limit_and_the_answer_says_so() {
    for (rows, cut) in [(LIST_ROWS_MAX, false), (LIST_ROWS_MAX + 1, true)] {
        let directory = tempfile::tempdir().unwrap();
        let searcher = searcher_of(directory.path(), &LINES[..2], rows - 1);
        let text = "| lookup indicators threat.indicator.name as source.ip | head 1";
        let (_, _, notices) = all_of(ask(&searcher, text).await).await;
        assert_eq!(notices.iter().any(|notice| notice.cut), cut, "{rows}: {notices:?}");
    }
}

#[tokio::test]
async fn a_search_in_brackets_is_cut_at_its_limit_and_the_answer_says_so() {
    for (events, cut) in [(JOIN_ROWS_MAX, false), (JOIN_ROWS_MAX + 1, true)] {
        let directory = tempfile::tempdir().unwrap();
        let searcher = crowd(directory.path(), events);
        let text = "| join event.id [ * | fields event.id ] | stats count() as n";
        let (_, rows, notices) = all_of(ask(&searcher, text).await).await;
        assert_eq!(rows, [[JOIN_ROWS_MAX.to_string()]]);
        assert_eq!(notices.iter().any(|notice| notice.cut), cut, "{events}: {notices:?}");
    }
}
