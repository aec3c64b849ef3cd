//! Indicators over batches of events, as the pipeline and hunts give them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};
use yagura_hunt::limits::{INDICATOR_BYTES_MAX, INDICATORS_MAX, PATTERNS_MAX};
use yagura_hunt::{Form, Indicator, Kind, Matcher, MatcherError, ReadOptions, guess, read, refang};

/// One event per entry: field and value.
fn batch(dataset: &str, events: &[&[(&str, &str)]]) -> EventBatch {
    let record = |_: &&[(&str, &str)]| Record {
        received: UtcMicros::from_micros(0),
        transport: Transport::SyslogTcp,
        peer: "".into(),
        identity: "none".into(),
        bytes: Vec::new().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("test").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: events.iter().map(record).collect(),
    };
    let mut builder = BatchBuilder::new(dataset, Arc::new(FieldDictionary::default()));
    for ((index, record), fields) in run.indexed().zip(events) {
        builder.begin_row(&run, index, record);
        fields.iter().for_each(|(name, value)| builder.set(name, value));
    }
    builder.finish().unwrap()
}

fn matcher(values: &[&str]) -> Matcher {
    Matcher::new(values.iter().map(|value| {
        let plain = refang(value);
        Indicator::new(guess(&plain).unwrap(), &plain, "list".into()).unwrap()
    }))
    .unwrap()
}

/// Whether an event with one field is found by one indicator.
fn found(value: &str, dataset: &str, field: &str, text: &str) -> bool {
    let batch = batch(dataset, &[&[(field, text)]]);
    !matcher(&[value]).matches(&batch, UtcMicros::from_micros(0)).is_empty()
}

#[test]
fn each_kind_is_found_where_it_stands() {
    let md5 = "0123456789ABCDEF0123456789abcdef";
    for (value, dataset, field, text) in [
        ("203.0.113.9", "windows.sysmon", "destination.ip", "203.0.113.9"),
        ("203.0.113.9", "windows.sysmon", "destination.ip", "::ffff:203.0.113.9"),
        ("203.0.113.0/24", "network.firewall", "source.ip", "203.0.113.77"),
        ("2001:db8::/32", "network.firewall", "source.ip", "2001:DB8:1::7"),
        ("203.0.113.9", "cloud.aws", "requestParameters.sourceIPAddress", "203.0.113.9"),
        ("203.0.113.9", "windows.sysmon", "dns.answers", "::ffff:203.0.113.9;"),
        ("203.0.113.9", "web.access", "url.original", "http://203.0.113.9/x"),
        ("203.0.113.9", "unknown", "message", "connect to 203.0.113.9:443 failed"),
        ("evil.example", "windows.sysmon", "dns.question.name", "WWW.Evil.Example."),
        ("evil.example", "windows.sysmon", "process.command_line", "curl https://a.evil.example/x"),
        ("日本語.example", "dns.query", "dns.question.name", "xn--wgv71a119e.example"),
        ("xn--wgv71a119e.example", "dns.query", "dns.question.name", "日本語.example"),
        ("hxxp://evil[.]example/a", "web.proxy", "url.original", "HTTP://EVIL.example:80/a?x=1"),
        (md5, "windows.sysmon", "process.hash", "SHA1=x,MD5=0123456789ABCDEF0123456789ABCDEF"),
        ("evil.exe", "windows.sysmon", "process.executable", "C:\\Temp\\EVIL.exe"),
        ("evil.exe", "windows.sysmon", "process.command_line", "\"C:\\a b\\evil.exe\" -x"),
        (
            "C:\\Temp\\evil.exe",
            "windows.sysmon",
            "winlog.event_data.ImageLoaded",
            "d:\\temp\\Evil.exe",
        ),
        (
            "HKCU\\Software\\Evil",
            "windows.sysmon",
            "registry.path",
            "HKU\\S-1-5-21-1-2-3-1\\SOFTWARE\\evil\\key",
        ),
        ("\\\\.\\pipe\\evil", "windows.sysmon", "winlog.event_data.PipeName", "\\Evil"),
        ("bad@evil.example", "email.log", "email.from.address", "Bad <BAD@evil.example>"),
    ] {
        assert!(found(value, dataset, field, text), "{value} in {field}: {text}");
    }
}

#[test]
fn what_only_looks_alike_is_not_found() {
    for (value, dataset, field, text) in [
        ("evil.example", "dns.query", "dns.question.name", "notevil.example"),
        ("evil.example", "dns.query", "dns.question.name", "evil.example.org"),
        ("a.evil.example", "dns.query", "dns.question.name", "evil.example"),
        ("203.0.113.9", "unknown", "message", "version 1203.0.113.9 and 203.0.113.91"),
        ("203.0.113.0/24", "network.firewall", "source.ip", "203.0.114.1"),
        ("http://evil.example/a", "web.proxy", "url.original", "http://evil.example/ab"),
        ("evil.exe", "windows.sysmon", "process.executable", "C:\\evil.exe\\good.exe"),
        ("C:\\Temp\\evil.exe", "windows.sysmon", "process.executable", "C:\\Other\\Temp\\evil.exe"),
        // Every program writes below this key.
        (
            "HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Run",
            "windows.sysmon",
            "registry.path",
            "HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\OneDrive",
        ),
        // An import hash is no MD5 of a file.
        (
            "0123456789abcdef0123456789abcdef",
            "windows.sysmon",
            "process.hash",
            "IMPHASH=0123456789ABCDEF0123456789ABCDEF",
        ),
        // The rendered message repeats what the fields say.
        ("203.0.113.9", "windows.sysmon", "message", "203.0.113.9"),
        ("203.0.113.9", "unknown", "event.original", "203.0.113.9"),
    ] {
        assert!(!found(value, dataset, field, text), "{value} in {field}: {text}");
    }
}

#[test]
fn an_event_and_an_indicator_meet_once_and_only_while_it_is_valid() {
    let events = batch(
        "windows.sysmon",
        &[
            &[
                ("destination.ip", "203.0.113.9"),
                ("winlog.event_data.DestinationIp", "203.0.113.9"),
            ],
            &[],
        ],
    );
    let at = UtcMicros::from_micros;
    let mut indicator = Indicator::new(Kind::Ip, "203.0.113.9", "list".into()).unwrap();
    (indicator.valid_from, indicator.valid_until) = (Some(at(10)), Some(at(20)));
    let matcher = Matcher::new([indicator]).unwrap();
    let count = |now| matcher.matches(&events, at(now)).len();
    assert_eq!([count(9), count(10), count(19), count(20)], [0, 1, 1, 0]);
    let one = &matcher.matches(&events, at(10))[0];
    assert_eq!((one.row, &*one.field, &*one.value), (0, "destination.ip", "203.0.113.9"));
    assert!(matcher.concerns("windows.sysmon", "destination.ip"));
    assert!(!matcher.concerns("windows.sysmon", "process.hash"), "no hash is looked for");
}

#[test]
fn wildcards_and_expressions_of_a_bundle_are_found() {
    let bundle = r#"{"type":"bundle","objects":[
      {"type":"indicator","id":"indicator--1","pattern_type":"stix","pattern":"[domain-name:value LIKE 'c_-%.evil.example']"},
      {"type":"indicator","id":"indicator--2","pattern_type":"stix","pattern":"[url:value MATCHES '/gate\\.php$']"}]}"#;
    let reading = read(bundle.as_bytes(), &ReadOptions::default()).unwrap();
    let matcher = Matcher::new(reading.indicators).unwrap();
    let events = batch(
        "web.proxy",
        &[
            &[("dns.question.name", "C2-7.evil.example")],
            &[("dns.question.name", "c2.evil.example")],
            &[("url.original", "https://any.example/x/gate.php")],
            &[("url.original", "https://any.example/x/gate_php")],
        ],
    );
    let rows: Vec<_> =
        matcher.matches(&events, UtcMicros::default()).iter().map(|m| m.row).collect();
    assert_eq!(rows, [0, 2]);
}

#[test]
fn numbers_and_memory_have_limits() {
    let hash = |number: usize| {
        Arc::new(Indicator::new(Kind::Sha256, &format!("{number:064x}"), "list".into()).unwrap())
    };
    let mut all: Vec<_> = (0..INDICATORS_MAX).map(hash).collect();
    let matcher = Matcher::new(all.iter().cloned()).unwrap();
    println!("1,000,000 SHA-256: {} bytes", matcher.bytes());
    assert!(matcher.bytes() < INDICATOR_BYTES_MAX / 2);
    let last = format!("SHA256={:064X}", INDICATORS_MAX - 1);
    let events =
        batch("windows.sysmon", &[&[("process.hash", &last)], &[("process.hash", "SHA256=")]]);
    assert_eq!(matcher.matches(&events, UtcMicros::default()).len(), 1);
    all.push(hash(INDICATORS_MAX));
    assert_eq!(Matcher::new(all).unwrap_err(), MatcherError::TooMany);

    let long = |number: usize| {
        let value = format!("{number:0>2048}");
        Arc::new(Indicator::new(Kind::UserAgent, &value, "list".into()).unwrap())
    };
    let count = INDICATOR_BYTES_MAX / 2_048;
    assert_eq!(Matcher::new((0..count).map(long)).unwrap_err(), MatcherError::TooLarge);

    let like = |number: usize| {
        let mut one = Indicator::new(Kind::Domain, "evil.example", "list".into()).unwrap();
        (one.form, one.value) = (Form::Like, format!("a{number}%.evil.example").into());
        one
    };
    assert!(Matcher::new((0..PATTERNS_MAX).map(like)).is_ok());
    assert_eq!(Matcher::new((0..=PATTERNS_MAX).map(like)).unwrap_err(), MatcherError::Patterns);
}
