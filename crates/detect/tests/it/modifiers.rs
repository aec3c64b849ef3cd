//! What each modifier means, and the traps of the specification: one line, one event, one answer.

use crate::reference;
use reference::{Readings, Reference, batch_of, events_of};
use std::sync::Arc;
use yagura_detect::{Engine, LogSources, Match, RuleFile, Ruleset};
use yagura_event::FieldDictionary;

const FIELDS: &str = "
[[field]]
name = 'port'
type = 'long'
ja = 'ポート'
en = 'Port'
[[field]]
name = 'message'
type = 'text'
ja = 'メッセージ'
en = 'Message'
";
const SOURCES: &str = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";

fn rule(detection: &str) -> String {
    format!("title: t\nid: one\nlogsource: {{product: any}}\ndetection:\n{detection}\n")
}

fn compile(text: &str) -> (Ruleset, Vec<String>) {
    let dictionary = Arc::new(FieldDictionary::from_toml(FIELDS).unwrap());
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let file = RuleFile { path: "one.yml".into(), text: text.into() };
    let (ruleset, report) = Ruleset::compile(&[file], dictionary, &sources);
    (ruleset, report.refused.into_iter().map(|refusal| refusal.reason).collect())
}

fn matches(text: &str, event: &[(&str, &str)]) -> Vec<Match> {
    let (ruleset, refused) = compile(text);
    assert!(refused.is_empty(), "{refused:?}\n{text}");
    let dictionary = Arc::new(FieldDictionary::from_toml(FIELDS).unwrap());
    let batch = batch_of("test", &dictionary, &[event.to_vec()]);
    let matches = Engine::new(Arc::new(ruleset)).evaluate(&batch);
    // The reference is held to the same truth.
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let reference =
        Reference { dictionary: &dictionary, sources: &sources, readings: Readings::OURS };
    let parsed = rsigma_parser::parse_sigma_yaml(text).unwrap();
    let slow = reference.matches(&parsed.rules[0], &events_of(&batch)[0]);
    assert_eq!(slow, !matches.is_empty(), "the reference disagrees\n{text}");
    matches
}

/// `selection` is what stands under `s:`; `yes` and `no` are events, as `field=value;field=value`.
#[track_caller]
fn check(selection: &str, yes: &[&str], no: &[&str]) {
    let text = rule(&format!("  s: {{{selection}}}\n  condition: s"));
    for (events, expected) in [(yes, true), (no, false)] {
        for event in events {
            let fields: Vec<(&str, &str)> =
                event.split(';').filter_map(|field| field.split_once('=')).collect();
            assert_eq!(!matches(&text, &fields).is_empty(), expected, "{selection} on {event}");
        }
    }
}

#[test]
fn plain_values_ignore_case_and_know_wildcards() {
    check("a: Abc", &["a=aBC"], &["a=abcd", "a=", "b=abc", ""]);
    check("a: 'É*'", &["a=éa", "a=É"], &["a=ea"]);
    check("a: ['x', 'y']", &["a=X", "a=y"], &["a=xy"]);
    check("a: x, b: y", &["a=x;b=y"], &["a=x", "b=y"]);
    check("a: 4688", &["a=4688"], &["a=04688", "a=4688.0"]);
    check("port: 22", &["port=22"], &["port=220"]);
    check("port: '2*'", &["port=22"], &["port=122"]);
    check("a: true", &["a=True"], &["a=1"]);
    check("a: 1.5", &["a=1.5"], &["a=15"]);
}

#[test]
fn backslashes_escape_only_what_needs_it() {
    check(r"a: 'C:\Windows\x'", &[r"a=c:\windows\X"], &[r"a=c:windowsx"]);
    check(r"a: 'a\*b'", &["a=a*b"], &[r"a=a\b", "a=axb"]);
    check(r"a: 'a\\*'", &[r"a=a\b", r"a=a\"], &["a=a*", "a=ab"]);
    check(r"a: 'a\\\*'", &[r"a=a\*"], &[r"a=a\b"]);
    check(r"a: 'a\?'", &["a=a?"], &["a=ab"]);
    check(r"a: '\\\\srv'", &[r"a=\\srv"], &[r"a=\srv", r"a=\\\\srv"]);
    check(r"a|endswith: '\'", &[r"a=x\"], &["a=x"]);
    check(r"a|contains: '\\'", &[r"a=x\y"], &["a=xy"]);
}

#[test]
fn places_may_hold_wildcards() {
    check("a|startswith: ab", &["a=ABc", "a=ab"], &["a=cab", "a="]);
    check("a|endswith: ab", &["a=cAB", "a=ab"], &["a=abc", "a=b"]);
    check("a|contains: ab", &["a=xABy"], &["a=ba"]);
    check("a|endswith: '1?'", &["a=x12", "a=1東"], &["a=x1", "a=123"]);
    check("a|startswith: '?b'", &["a=abc"], &["a=b", "a=bab"]);
    check("a|contains: 'a*b'", &["a=xaxxby", "a=ab"], &["a=ba"]);
    check("a|contains: ''", &["a=", "a=x"], &["b=x"]);
    check("a: '*'", &["a=", "a=x"], &["b=x"]);
    check("a: '?*'", &["a=x"], &["a="]);
}

#[test]
fn absent_null_and_empty_are_three_things() {
    check("a: null", &["", "b=x"], &["a=", "a=x"]);
    check("a: ''", &["a="], &["", "a=x"]);
    check("a: [null, '']", &["", "a="], &["a=x"]);
    check("a|exists: true", &["a=", "a=x"], &[""]);
    check("a|exists: false", &["b=x"], &["a="]);
    check("a|neq: x", &["a=y", "a="], &["a=X", ""]);
    check("a|neq: [x, y]", &["a=z"], &["a=x", "a=y", ""]);
    check("a|neq: null", &["a=", "a=x"], &[""]);
    check("a|contains|neq: x", &["a=y"], &["a=axb", ""]);
}

#[test]
fn all_turns_a_list_into_a_conjunction() {
    check("a|contains|all: [x, y]", &["a=y x"], &["a=x", "a=y"]);
    check("a|all|contains: [x, y]", &["a=yx"], &["a=x"]);
    check("a|contains|all|windash: [' -x', ' -y']", &["a=p /y –x"], &["a=p /y"]);
}

#[test]
fn cased_is_exact() {
    check("a|cased: Abc", &["a=Abc"], &["a=abc"]);
    check("a|contains|cased: 'B*d'", &["a=aBcd"], &["a=abcd", "a=aBcD"]);
    check("a|endswith|cased: B", &["a=AB"], &["a=Ab"]);
}

#[test]
fn windash_knows_five_dashes_where_an_option_begins() {
    let every = ["a=x -enc", "a=x /enc", "a=x \u{2013}enc", "a=x \u{2014}ENC", "a=x \u{2015}enc"];
    check("a|contains|windash: ' -enc'", &every, &["a=x enc", "a=x+enc"]);
    check("a|contains|windash: ' /enc'", &every, &["a=x enc"]);
    check("a|contains|windash: '/c '", &["a=-c x", "a=/c x"], &["a=+c x"]);
    check("a|windash: 'a-b -c'", &["a=a-b /c", "a=a-b —c"], &["a=a/b -c"]);
    check("a|windash|contains: ' -a -b'", &["a=x /a -b", "a=x -a /b"], &["a=x -a"]);
    check("a|windash|contains: '- a'", &["a=x - a"], &["a=x / a"]);
}

#[test]
fn expressions_are_case_sensitive_and_unanchored() {
    check("a|re: 'b+c'", &["a=abbcd"], &["a=aBBC"]);
    check("a|re|i: 'b+c'", &["a=aBBC"], &["a=ac"]);
    check("a|re: '^b.c$'", &["a=bxc"], &["a=abxc", "a=b\nc"]);
    check("a|re|s: '^b.c$'", &["a=b\nc"], &["a=bc"]);
    check("a|re|m: '^c$'", &["a=b\nc"], &["a=bc"]);
    check("a|re|i|m: '^C$'", &["a=b\nc"], &["a=bc"]);
    check(r"a|re: '\*\\'", &[r"a=*\"], &["a=x"]);
    check("a|re: ['x', 'y']", &["a=y"], &["a=z"]);
    check("a|re|i: 'mask|k'", &["a=\u{212A}"], &["a=q"]);
}

#[test]
fn encodings_build_on_each_other() {
    check("a|base64: foo", &["a=Zm9v"], &["a=foo"]);
    check("a|wide: ab", &["a=a\0b\0"], &["a=ab"]);
    check("a|utf16be: ab", &["a=\0a\0b"], &["a=ab"]);
    check("a|utf16|base64: ab", &["a=//5hAGIA"], &["a=YQBiAA=="]);
    check("a|wide|base64: ab", &["a=YQBiAA=="], &["a=//5hAGIA"]);
    // "foobar" after zero, one and two other bytes.
    check(
        "a|base64offset|contains: foobar",
        &["a=Zm9vYmFy", "a=eGZvb2Jhcng=", "a=eHhmb29iYXJ4"],
        &["a=Zm9v", "a=foobar"],
    );
    check("a|wide|base64offset|contains: IEX", &["a=SQBFAFgAIAA="], &["a=SUVY"]);
    check("a|windash|base64offset|contains: '-enc'", &["a=L2VuYyB4", "a=LWVuYyB4"], &["a=ZW5j"]);
}

#[test]
fn numbers_are_compared_as_numbers() {
    check("a|gt: 9", &["a=10", "a=9.5"], &["a=9", "a=", "a=x", "a=0x10", ""]);
    check("a|gte: 9", &["a=9", "a=9.0"], &["a=8.99"]);
    check("a|lt: 0", &["a=-1"], &["a=0"]);
    check("port|lte: 1024", &["port=1024"], &["port=1025", ""]);
    check("a|gt: '9'", &["a=10"], &["a=9"]);
    check("a|gt|neq: 9", &["a=9", "a=x"], &["a=10", ""]);
}

#[test]
fn time_parts_are_taken_in_utc() {
    check("t|hour: 4", &["t=2026-11-21T04:30:00Z", "t=2026-11-21T13:30:00+09:00"], &["t=4", ""]);
    check("t|hour|gte: 22", &["t=2026-11-21 22:00:00.1"], &["t=2026-11-21 21:59:59"]);
    check("t|minute: 30", &["t=2026-11-21 22:30:00"], &["t=2026-11-21 22:31:00"]);
    check("t|day: 21", &["t=2026-11-21"], &["t=2026-11-22"]);
    check("t|week: 53", &["t=2027-01-01"], &["t=2027-01-08"]);
    check("t|month: [1, 11]", &["t=2026-11-21"], &["t=2026-12-01"]);
    check("t|year|neq: 2026", &["t=2025-11-21"], &["t=2026-12-01", ""]);
    check("'@timestamp|year': 2025", &[""], &[]);
    check("'@timestamp|hour': 8", &[], &[""]);
}

#[test]
fn address_blocks_hold_both_families() {
    check("a|cidr: 10.0.0.0/8", &["a=10.1.2.3", "a=::ffff:10.1.2.3"], &["a=11.0.0.1", "a=x", ""]);
    check("a|cidr: ['fe80::/10', '192.0.2.1/32']", &["a=fe80::1%3", "a=192.0.2.1"], &["a=::1"]);
    check("a|cidr|neq: 10.0.0.0/8", &["a=11.0.0.1"], &["a=10.0.0.1", ""]);
}

#[test]
fn fields_are_compared_with_fields() {
    check("a|fieldref: b", &["a=x;b=X"], &["a=x;b=y", "a=x", "b=x", ""]);
    check("a|fieldref|neq: b", &["a=x;b=y", "a=x"], &["a=x;b=x", "b=x"]);
    check("a|fieldref|startswith: b", &["a=xy;b=X"], &["a=yx;b=x"]);
    check("a|fieldref|endswith: b", &["a=yx;b=x"], &["a=xy;b=x"]);
    check("a|fieldref|contains: b", &["a=axb;b=X"], &["a=ab;b=x"]);
    check("a|fieldref|cased: b", &["a=x;b=x"], &["a=x;b=X"]);
    check("a|fieldref: port", &["a=22;port=22"], &["a=23;port=22"]);
}

#[test]
fn keywords_are_looked_for_in_every_text_column() {
    let text = |selection: &str| rule(&format!("  k:\n{selection}\n  condition: k"));
    let found =
        |selection: &str, event: &[(&str, &str)]| !matches(&text(selection), event).is_empty();
    let list = "    - 'evil*tool'\n    - 42";
    assert!(found(list, &[("message", "an EVIL little tool ran")]));
    assert!(found(list, &[("a", "x42x")]));
    assert!(!found(list, &[("port", "42"), ("message", "tool evil")]));
    let all = "    '|all': [evil, tool]";
    assert!(found(all, &[("a", "evil"), ("message", "a tool")]));
    assert!(!found(all, &[("a", "evil")]));
    assert!(found("    '|re': '^ev'", &[("message", "evil")]));
    assert!(!found("    - 'one:test'", &[("a", "b")]), "our own columns are not searched");
    let format = "    - format";
    assert!(found(format, &[("message", "format flash:"), ("log.level", "informational")]));
    assert!(!found(format, &[("message", "link up"), ("log.level", "informational")]));
    assert!(!found("    - delete", &[("message", "done"), ("event.action", "file-deleted")]));
}

#[test]
fn conditions_combine_selections() {
    let text = |condition: &str| {
        rule(&format!(
            "  s1: {{a: x}}\n  s2: {{b: x}}\n  s3: {{c: x}}\n  _h: {{d: x}}\n  condition: {condition}"
        ))
    };
    let names = ["a", "b", "c", "d"];
    for (condition, expected) in [
        ("s1 or s2 and s3", "a ab abc ac bc abd ad acd abcd bcd"),
        ("(s1 or s2) and s3", "ac bc abc acd bcd abcd"),
        ("not s1 and s2", "b bc bd bcd"),
        ("1 of them and not _h", "a b c ab ac bc abc"),
        ("all of s*", "abc abcd"),
        ("2 of s* and not _h", "ab ac bc abc"),
        ("1 of *h", "d ad bd cd abd acd bcd abcd"),
        ("not (s1 or s2 or s3 or _h)", "-"),
    ] {
        for bits in 0..16usize {
            let set: String =
                (0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| names[bit]).collect();
            let event: Vec<_> =
                names.iter().filter(|n| set.contains(**n)).map(|n| (*n, "x")).collect();
            let name = if set.is_empty() { "-" } else { &set };
            let wanted = expected.split(' ').any(|word| word == name);
            assert_eq!(
                !matches(&text(condition), &event).is_empty(),
                wanted,
                "{condition} on {set}"
            );
        }
    }
    let several = rule("  s: [{a: x}, {b: y}]\n  t: {c: z}\n  condition: [s, t]");
    assert!(!matches(&several, &[("b", "y")]).is_empty());
    assert!(!matches(&several, &[("c", "z")]).is_empty());
    assert!(matches(&several, &[("a", "y")]).is_empty());
}

#[test]
fn a_match_says_what_held() {
    let text = rule(
        "  s: {a|endswith: ['\\x.exe', '\\y.exe'], port: 22, c|fieldref: d, e|exists: true}\n  f: {a: q}\n  condition: s and not f",
    );
    let found =
        matches(&text, &[("a", "C:\\y.exe"), ("port", "22"), ("c", "z"), ("d", "Z"), ("e", "")]);
    let mut told: Vec<String> = found[0]
        .evidence
        .iter()
        .map(|piece| format!("{} = {:?}: {}", piece.field, piece.value, piece.predicate))
        .collect();
    told.sort();
    insta::assert_snapshot!(told.join("\n"), @r#"
    a = "C:\\y.exe": endswith \y.exe
    c = "z": fieldref equals d
    e = "": exists
    port = "22": equals 22
    "#);
}

#[test]
fn evidence_is_capped() {
    use yagura_detect::limits::{EVIDENCE_CHARS_MAX, EVIDENCE_MAX};
    let words: Vec<String> = (0..=EVIDENCE_MAX).map(|n| format!("w{n:02}")).collect();
    let text = |count: usize| {
        rule(&format!("  s: {{a|contains|all: [{}]}}\n  condition: s", words[..count].join(", ")))
    };
    let value = words.join(" ") + &"x".repeat(EVIDENCE_CHARS_MAX);
    for count in [EVIDENCE_MAX, EVIDENCE_MAX + 1] {
        let found = matches(&text(count), &[("a", &value)]);
        assert_eq!(found[0].evidence.len(), EVIDENCE_MAX);
        assert_eq!(found[0].evidence[0].value.chars().count(), EVIDENCE_CHARS_MAX + 1);
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_reason() {
    let reason = |detection: &str| {
        let (ruleset, refused) = compile(&rule(detection));
        assert_eq!((ruleset.rules().len(), refused.len()), (0, 1), "{detection}: {refused:?}");
        refused.into_iter().next().unwrap()
    };
    let of_item = |item: &str| reason(&format!("  s: {{{item}}}\n  condition: s"));
    let all: Vec<String> = [
        "a|colour: x",
        "a|not: x",
        "a|re: 'a(?!b)'",
        "a|re: '('",
        "a|expand: '%users%'",
        "a|cidr: '10.*'",
        "a|contains|startswith: x",
        "a|re|contains: x",
        "a|i: x",
        "a|contains: null",
        "a|exists: x",
        "a|gt: x",
        "a|base64: 'a*'",
        "a|contains|base64: a",
        "a|utf16: a",
        "a: []",
        "a: {b: c}",
        "a: [[b]]",
        "a|base64|base64offset: a",
        "a|windash|windash: a",
        "'|exists': true",
        "'': a",
        "4688: a",
        "a|lt|gt: 1",
        "a|wide|windash: x",
        "a|cased|cidr: 10.0.0.0/8",
        "a: 18446744073709551615",
        "a|base64offset|contains: a",
    ]
    .into_iter()
    .map(|item| format!("{item} => {}", of_item(item)))
    .collect();
    insta::assert_snapshot!(all.join("\n"));
    for (detection, expected) in [
        ("  s: {a: x}\n  condition: t", "there is no selection \"t\""),
        ("  s: {a: x}\n  condition: 1 of t*", "no selection is one of t*"),
        ("  s: {a: x}\n  condition: 2 of s*", "2 of s*, which are 1"),
        ("  s: {a: x}\n  condition: s | count() > 5", "expected"),
        ("  s: {a: x}\n  timeframe: 5m\n  condition: s", "correlation"),
        ("  s: {}\n  condition: s", "empty mapping"),
        ("  s: []\n  condition: s", "empty list"),
        ("  s: {a: x}", "condition"),
    ] {
        let reason = reason(detection);
        assert!(reason.contains(expected), "{detection}: {reason}");
    }
    // A literal per cent sign is no placeholder, nor is any without `expand`.
    check("a: '%users%'", &["a=%users%"], &["a=x"]);
    check("a|expand: '100%'", &["a=100%"], &["a=100"]);
}

#[test]
fn limits_hold_at_the_limit_and_not_past_it() {
    use yagura_detect::limits::{
        PREDICATES_PER_RULE_MAX, RULE_FILE_BYTES_MAX, WINDASH_SPELLINGS_MAX,
    };
    let refused = |text: &str| compile(text).1;
    assert_eq!(5usize.pow(4), WINDASH_SPELLINGS_MAX);
    let dashes = |count: usize| {
        rule(&format!("  s: {{a|windash: '{}'}}\n  condition: s", "-x ".repeat(count)))
    };
    assert!(refused(&dashes(4)).is_empty());
    assert!(refused(&dashes(5))[0].contains("spellings"));

    let values = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| format!("v{n}")).collect();
        rule(&format!("  s: {{a: [{}]}}\n  condition: s", values.join(",")))
    };
    assert!(refused(&values(PREDICATES_PER_RULE_MAX)).is_empty());
    assert!(refused(&values(PREDICATES_PER_RULE_MAX + 1))[0].contains("predicates"));

    let padded = |bytes: usize| {
        let text = rule("  s: {a: x}\n  condition: s");
        let padding = "#".repeat(bytes - text.len());
        text + &padding
    };
    assert!(refused(&padded(RULE_FILE_BYTES_MAX)).is_empty());
    assert!(refused(&padded(RULE_FILE_BYTES_MAX + 1))[0].contains("longer"));
}
