//! Mistakes are shown where they are; hostile text is only text.

use jiff::tz::TimeZone;
use proptest::prelude::*;
use yagura_event::{Lang, UtcMicros};
use yagura_query::limits::{
    DEPTH_MAX, PIPES_MAX, SEARCHES_DEPTH_MAX, SEARCHES_MAX, TERMS_MAX, TEXT_BYTES_MAX,
};
use yagura_query::{Expr, ParseError, parse};

fn read(text: &str) -> Result<Expr, ParseError> {
    parse(text, UtcMicros::default(), &TimeZone::UTC)
}

#[test]
fn mistakes_are_marked() {
    let cases = [
        ("a (b", "a (b\n  ^\nthis ( is never closed; add )"),
        ("a b)", "a b)\n   ^\nthis ) has no ( before it; remove it or add one"),
        ("a \"b", "a \"b\n  ^\nthis quote is never closed; add \" after the phrase"),
        (
            "user.name:",
            "user.name:\n         ^\nthe value is missing; write field:value, or \"\" for an empty one",
        ),
        (
            "a AND",
            "a AND\n     ^\na condition is missing here: a word, a \"phrase\" or field:value",
        ),
        ("or b", "or b\n^^\nor has nothing before it; to search for the word, write \"or\""),
        ("x:[1 2]", "x:[1 2]\n     ^\na range is written [low TO high]"),
        ("x:[1 TO 2", "x:[1 TO 2\n  ^\nthis range is never closed; add ]"),
        ("\"\"", "\"\"\n^^\nan empty phrase finds nothing; write a word inside the quotes"),
        (
            "鍵 | haed 5",
            "鍵 | haed 5\n     ^^^^\nunknown command; did you mean head? available: head, tail, sort, fields, where, stats, top, rare, dedup, timechart, bin, eval, rename, transaction, join, lookup, act",
        ),
        ("| stats sum()", "| stats sum()\n        ^^^\nsum needs a field: sum(field)"),
        (
            "| stats middle(x)",
            "| stats middle(x)\n        ^^^^^^\nunknown aggregate; available: count(), dc(), sum(), avg(), min(), max(), median(), stdev(), first(), last(), values(), distinct(), p95() and the like",
        ),
        ("| head 0", "| head 0\n       ^\nthe number of rows is 1 to 1000000"),
        (
            "| head x",
            "| head x\n       ^\nthis is not understood; separate the next command with |",
        ),
        ("| fields", "| fields\n        ^\na field name is missing here"),
        (
            "| join [ a ]",
            "| join [ a ]\n       ^\na field that both searches have, such as user.name, is missing here",
        ),
        (
            "| join user.name",
            "| join user.name\n                ^\nanother search in brackets, [ condition | stats ... ], is missing here",
        ),
        ("| join x [ a", "| join x [ a\n         ^\nthis [ is never closed; add ]"),
        (
            "| join type=right x [ a ]",
            "| join type=right x [ a ]\n            ^^^^^\ntype is inner (rows with a match) or left (all rows)",
        ),
        (
            "| join x [ a | haed ]",
            "| join x [ a | haed ]\n               ^^^^\nunknown command; did you mean head? available: head, tail, sort, fields, where, stats, top, rare, dedup, timechart, bin, eval, rename, transaction, join, lookup, act",
        ),
        ("| lookup", "| lookup\n        ^\nthe name of a list, such as users, is missing here"),
        (
            "| lookup users",
            "| lookup users\n              ^\nthe column to compare, such as user.name, is missing here",
        ),
        ("| act 5", "| act 5\n      ^\nthis is not understood; separate the next command with |"),
    ];
    for (text, expected) in cases {
        let error = read(text).unwrap_err();
        assert_eq!(error.render(Lang::En), expected);
        let japanese = error.message(Lang::Ja);
        assert!(japanese.chars().any(|c| ('ぁ'..='ん').contains(&c)), "{japanese}");
    }
}

#[test]
fn text_that_looks_like_syntax_is_text() {
    for text in [
        "C:\\Temp\\x",
        "https://example.com/a",
        "/var/log/secure",
        "12:30:45",
        "-enc",
        "a-b",
        "50%",
        "10,20",
    ] {
        let expr = read(text).unwrap();
        assert!(
            format!("{:?}", expr.filter).starts_with("Text(Literal("),
            "{text}: {:?}",
            expr.filter
        );
    }
    assert_eq!(
        format!("{:?}", read("\"a \"\"b\"\" \\\"").unwrap().filter),
        r#"Text(Literal("a \"b\" \\"))"#
    );
}

#[test]
fn limits_hold_at_and_past_the_edge() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(read(&nested(DEPTH_MAX - 1)).is_ok());
    assert!(read(&nested(DEPTH_MAX)).is_err());
    assert!(read(&"NOT ".repeat(1_000)).is_err());
    assert!(read(&"(".repeat(TEXT_BYTES_MAX)).is_err());
    let terms = |count: usize| vec!["a"; count].join(" OR ");
    assert!(read(&terms(TERMS_MAX)).is_ok());
    assert!(read(&terms(TERMS_MAX + 1)).is_err());
    assert!(read(&"| head 1".repeat(PIPES_MAX)).is_ok());
    assert!(read(&"| head 1".repeat(PIPES_MAX + 1)).is_err());
    let inside = |depth: usize| format!("{}{}", "| join x [ ".repeat(depth), "] ".repeat(depth));
    assert!(read(&inside(SEARCHES_DEPTH_MAX)).is_ok());
    assert!(read(&inside(SEARCHES_DEPTH_MAX + 1)).is_err());
    assert!(read(&inside(1).repeat(SEARCHES_MAX)).is_ok());
    assert!(read(&inside(1).repeat(SEARCHES_MAX + 1)).is_err());
    assert!(read(&"| join x [".repeat(1_000)).is_err());
    assert!(read(&"a".repeat(TEXT_BYTES_MAX)).is_ok());
    assert!(read(&"a".repeat(TEXT_BYTES_MAX + 1)).is_err());
}

#[test]
fn a_bracket_ends_a_search_and_is_text_elsewhere() {
    for text in [
        "| join x [ a:b]",
        "| join x [ a:[1 TO 2] ]",
        "| join x [ /a[bc]/]",
        "| join x [ \"a]b\" | fields x]| head 1",
        "| join x [ | stats count() by x] | sort x",
        "| join x ［ a ］",
        "| join x[a]",
        "[sshd] a]b user.name:[x]y]",
    ] {
        // What stands in brackets after a name is a range, which the last one is not.
        assert_eq!(read(text).is_ok(), !text.starts_with('['), "{text}");
    }
    assert!(read("[sshd] a]b").is_ok());
}

proptest! {
    #[test]
    fn any_text_in_brackets_gives_an_answer(text in "[a(): |\"*\\[\\]/=joinx ,　［］]{0,40}") {
        if let Err(error) = read(&format!("| join x [ {text}")) {
            prop_assert!(error.render(Lang::En).lines().nth(1).unwrap().contains('^'));
        }
    }

    #[test]
    fn any_text_gives_an_answer(text in ".{0,60}|[a(): |\"*?\\[\\]!&/<>=NOTandr　（）：｜“”]{0,40}") {
        if let Err(error) = read(&text) {
            let shown = error.render(Lang::En);
            prop_assert!(shown.lines().nth(1).unwrap().contains('^'));
        }
    }
}
