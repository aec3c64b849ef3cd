//! Logs of every kind through the whole way.
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use yagura_detect::{LogSources, RuleFile, Ruleset};
use yagura_event::{Lang, Level, ManualClock};
use yagura_intake::import::{Damage, plan};
use yagura_intake::limits::{SIGN_BYTES, SMALL_FILE_BYTES_MAX};
use yagura_normalize::Normalizer;
use yagura_scan::{
    FileSummary, Finding, ReportFacts, RuleSource, ScanOptions, ScanProgress, Scanned, html, scan,
};

const SOURCES: &str = include_str!("../../../../content/logsources.toml");

const RULES: [&str; 3] = [
    "title: Password guessed\nid: 11111111-1111-4111-8111-111111111111\nlevel: high\nauthor: A. Author\n\
     logsource: {product: linux, service: auth}\ntags: [attack.t1110.001, attack.credential-access]\n\
     detection: {s: ['Failed password'], condition: s}\n",
    "title: Encoded command\nid: 22222222-2222-4222-8222-222222222222\nlevel: medium\n\
     logsource: {category: process_creation, product: windows}\n\
     detection: {s: {CommandLine|contains: ' -enc '}, condition: s}\n",
    "title: Logged on\nid: 33333333-3333-4333-8333-333333333333\nlevel: informational\n\
     logsource: {product: linux, service: auth}\n\
     detection: {s: ['Accepted password'], condition: s}\n",
];

/// Counts the first rule above, and one of its own that is silent.
const CORRELATIONS: &str = "\
title: Many passwords guessed
id: 44444444-4444-4444-8444-444444444444
level: critical
correlation:
  type: event_count
  rules: [11111111-1111-4111-8111-111111111111]
  group-by: [source.ip]
  timespan: 5m
  condition: {gte: 3}
---
title: Guessed, then in
id: 55555555-5555-4555-8555-555555555555
level: critical
correlation:
  type: temporal_ordered
  rules: [11111111-1111-4111-8111-111111111111, let_in]
  group-by: [host.name]
  timespan: 1h
---
title: Let in
name: let_in
id: 66666666-6666-4666-8666-666666666666
level: low
logsource: {product: linux, service: auth}
detection: {s: ['Accepted password'], condition: s}
";

fn ruleset() -> Arc<Ruleset> {
    compile(&RULES)
}

fn compile(rules: &[&str]) -> Arc<Ruleset> {
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let files: Vec<RuleFile> = rules
        .iter()
        .map(|text| RuleFile { path: "rule.yml".to_owned(), text: (*text).to_owned() })
        .collect();
    let (ruleset, report) = Ruleset::compile(&files, Normalizer::embedded_dictionary(), &sources);
    assert!(report.refused.is_empty(), "{:?}", report.refused);
    Arc::new(ruleset)
}

fn options() -> ScanOptions {
    let clock = ManualClock::at("2026-11-22T00:00:00Z".parse().unwrap());
    ScanOptions { clock: Arc::new(clock), threads: 2, ..ScanOptions::default() }
}

fn run(paths: &[&Path], options: &ScanOptions) -> Scanned {
    let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
    let (plan, cancel) = (plan(&paths), AtomicBool::new(false));
    scan(&plan, &ruleset(), options, &ScanProgress::default(), &cancel).unwrap()
}

fn found(scanned: &mut Scanned) -> Vec<Finding> {
    scanned.findings().unwrap().map(Result::unwrap).collect()
}

fn lines(scanned: &mut Scanned) -> Vec<String> {
    found(scanned).iter().map(|finding| serde_json::to_string(finding).unwrap()).collect()
}

const FAILED: &str =
    "Nov 21 10:00:0X web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2";
const ACCEPTED: &str =
    "Nov 21 09:00:00 web01 sshd[42]: Accepted password for tanaka from 192.0.2.8 port 50023 ssh2";

fn process(time: &str, command: &str) -> String {
    format!(
        r#"{{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Hostname":"WS01","EventTime":"{time}","UtcTime":"{time}","SourceName":"Microsoft-Windows-Sysmon","Image":"C:\\Windows\\System32\\powershell.exe","CommandLine":"{command}","User":"CORP\\tanaka"}}"#
    )
}

#[test]
fn findings_of_all_files_come_by_time_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let auth =
        [FAILED.replace('X', "3"), ACCEPTED.to_owned(), String::new(), FAILED.replace('X', "1")];
    fs::write(dir.path().join("auth.log"), auth.join("\n")).unwrap();
    let events = [
        process("2026-11-21 10:00:02", "powershell -enc AAAA"),
        process("2026-11-21 10:00:02", "whoami"),
    ];
    fs::write(dir.path().join("sysmon.json"), format!("[{}]", events.join(",\n"))).unwrap();
    let mut scanned = run(&[dir.path()], &options());
    let found = found(&mut scanned);
    let told: Vec<String> = found
        .iter()
        .map(|finding| {
            let id = finding.text("event.id").rsplit('/').next().unwrap().to_owned();
            format!("{} {} {id}", finding.text("@timestamp"), finding.text("rule.name"))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    2026-11-21T09:00:00.000000Z Logged on auth.log#line=2
    2026-11-21T10:00:01.000000Z Password guessed auth.log#line=4
    2026-11-21T10:00:02.000000Z Encoded command sysmon.json#byte=1
    2026-11-21T10:00:03.000000Z Password guessed auth.log#line=1
    ");
    let first = &found[1];
    assert_eq!(first.level(), Level::High);
    assert_eq!(first.text("rule.author"), "A. Author");
    assert_eq!(first.texts("threat.technique.id").collect::<Vec<_>>(), ["T1110.001"]);
    assert_eq!(first.texts("threat.tactic.name").collect::<Vec<_>>(), ["credential-access"]);
    assert_eq!(first.text("host.name"), "web01");
    assert_eq!(first.text("user.name"), "root");
    assert_eq!(first.text("source.ip"), "192.0.2.7");
    assert!(first.text("message").contains("root"), "{first:?}");
    let encoded = &found[2];
    assert_eq!(encoded.text("process.command_line"), "powershell -enc AAAA");
    assert_eq!(encoded.get("rule.evidence").unwrap()[0]["predicate"], "contains  -enc ");
    let report = &scanned.report;
    assert_eq!((report.events, report.findings()), (5, 4));
    assert_eq!(report.levels.0, [1, 0, 1, 2, 0]);
    let hosts: Vec<_> = report.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["web01", "WS01"]);
    assert!(report.is_complete());
    assert_eq!(report.files[0].sha256.len(), 64);
    assert_eq!(report.files[0].events, 3);
}

#[test]
fn threads_memory_and_containers_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let line = |number: usize| match number % 3 {
        0 => process(
            &format!("2026-11-21 10:{:02}:{:02}", number / 60 % 60, number % 60),
            "x -enc y",
        ),
        _ => process("2026-11-21 09:00:00", &format!("benign {number}")),
    };
    let text: Vec<String> = (0..3_000).map(line).collect();
    let plain = dir.path().join("events.jsonl");
    fs::write(&plain, text.join("\n")).unwrap();
    let one = ScanOptions { threads: 1, ..options() };
    let expected = lines(&mut run(&[&plain], &one));
    assert_eq!(expected.len(), 1_000);
    assert!(expected.is_sorted_by_key(|line| line[..42].to_owned()));
    let spilling = ScanOptions { threads: 3, findings_memory_bytes: 10_000, ..options() };
    let mut spilled = run(&[&plain], &spilling);
    assert!(spilled.report.spilled > 100_000);
    assert_eq!(lines(&mut spilled), expected);
    assert_eq!(lines(&mut spilled), expected, "twice");

    let packed = dir.path().join("events.jsonl.zst");
    fs::write(&packed, zstd::encode_all(fs::File::open(&plain).unwrap(), 1).unwrap()).unwrap();
    let unpacked = lines(&mut run(&[&packed], &options()));
    let renamed: Vec<_> =
        unpacked.iter().map(|line| line.replace(".jsonl.zst", ".jsonl")).collect();
    assert_eq!(renamed, expected);
}

#[test]
fn a_copy_is_read_once_and_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.log", "c.log"] {
        fs::write(
            dir.path().join(name),
            FAILED.replace('X', if name == "b.log" { "2" } else { "1" }),
        )
        .unwrap();
    }
    let packed = zstd::encode_all(FAILED.replace('X', "1").as_bytes(), 1).unwrap();
    fs::write(dir.path().join("d.zst"), packed).unwrap();
    let mut scanned = run(&[dir.path()], &options());
    assert_eq!(found(&mut scanned).len(), 2);
    let same: Vec<_> = scanned.report.files.iter().map(|file| file.same_as.is_some()).collect();
    assert_eq!(same, [false, false, true, true]);
    assert!(scanned.report.files[2].same_as.as_ref().unwrap().ends_with("a.log"));
    assert!(scanned.report.is_complete());
}

/// Copies are suspected by how logs begin and told by all they say, where they are found again by the
/// bytes of their names.
#[cfg(unix)]
#[test]
fn a_copy_is_known_whatever_its_name_and_wherever_another_log_differs() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let begins = "just words\n".repeat(SIGN_BYTES / 11 + 1);
    // "ログ" as an old archive of Windows names it.
    let name = std::ffi::OsStr::from_bytes(b"a\x83\x8d\x83O.log");
    fs::write(dir.path().join(name), format!("{begins}{}", FAILED.replace('X', "1"))).unwrap();
    fs::write(dir.path().join("b.log"), format!("{begins}{}", FAILED.replace('X', "2"))).unwrap();
    fs::copy(dir.path().join(name), dir.path().join("c.log")).unwrap();
    for file_hashes in [false, true] {
        let mut scanned = run(&[dir.path()], &ScanOptions { file_hashes, ..options() });
        assert_eq!(found(&mut scanned).len(), 2);
        let same = |file: &FileSummary| file.same_as.is_some();
        assert_eq!(scanned.report.files.iter().map(same).collect::<Vec<_>>(), [false, false, true]);
    }
}

/// Small files are read into memory at once, larger ones as they are needed.
#[test]
fn a_file_of_the_largest_small_size_and_one_larger_are_read_to_their_ends() {
    for more in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let bytes = usize::try_from(SMALL_FILE_BYTES_MAX).unwrap() + more;
        let last = FAILED.replace('X', "1");
        let filler = "x".repeat(bytes - last.len() - 1);
        let log = dir.path().join("auth.log");
        fs::write(&log, format!("{filler}\n{last}")).unwrap();
        let mut scanned = run(&[&log], &options());
        assert_eq!(found(&mut scanned).len(), 1, "{bytes}");
        assert_eq!(scanned.report.files[0].bytes, bytes as u64);
    }
}

#[test]
fn only_the_levels_and_times_asked_for_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("auth.log");
    let text: Vec<String> =
        (0..10).map(|second| FAILED.replace('X', &second.to_string())).collect();
    fs::write(&log, format!("{}\n{ACCEPTED}\n", text.join("\n"))).unwrap();
    let level = ScanOptions { min_level: Level::High, ..options() };
    assert_eq!(found(&mut run(&[&log], &level)).len(), 10);
    let range = ScanOptions {
        from: Some("2026-11-21T10:00:03Z".parse().unwrap()),
        to: Some("2026-11-21T10:00:06Z".parse().unwrap()),
        ..options()
    };
    let mut scanned = run(&[&log], &range);
    let times: Vec<_> =
        found(&mut scanned).iter().map(|f| f.text("@timestamp")[17..19].to_owned()).collect();
    assert_eq!(times, ["03", "04", "05"]);
    assert_eq!((scanned.report.events, scanned.report.events_in_range), (11, 3));
    let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
    let tokyo = ScanOptions { zone, ..options() };
    assert_eq!(
        found(&mut run(&[&log], &tokyo))[0].text("@timestamp"),
        "2026-11-21T00:00:00.000000Z"
    );
}

#[test]
fn what_cannot_be_read_is_named_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a.zip"), b"PK\x03\x04 and no more").unwrap();
    fs::write(path("b.bin"), [0; 4096]).unwrap();
    let mut evtx = b"ElfFile\0".to_vec();
    evtx.resize(100, 1);
    fs::write(path("c.evtx"), &evtx).unwrap();
    fs::write(path("d.log"), FAILED.replace('X', "1")).unwrap();
    fs::write(path("e.json"), "{\n \"a\": 1\n}\n{ \"broken\": \n").unwrap();
    let mut scanned = run(&[dir.path(), &path("missing")], &options());
    assert_eq!(found(&mut scanned).len(), 1);
    let report = &scanned.report;
    assert!(!report.is_complete());
    assert_eq!(report.problems.len(), 1);
    let told = |lang| {
        let line = |file: &FileSummary| {
            let name = file.path.rsplit('/').next().unwrap();
            let words = |d: &Damage| format!("{}: {}", d.place.text(lang), d.reason.text(lang));
            let damages: Vec<_> = file.damages.iter().map(words).collect();
            let skipped = file.skipped.as_ref().map(|why| why.text(lang));
            format!("{name} {skipped:?} {} {damages:?}", file.no_log)
        };
        report.files.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(told(Lang::Ja), @r#"
    a.zip Some("zipアーカイブとして読めません（invalid Zip archive: Could not find EOCD）") false []
    b.bin Some("テキストでも、対応しているログの形式でもありません") true []
    c.evtx None false ["ファイルの先頭（ヘッダー）: イベントログのヘッダーを読めません（failed to read EVTX file header block: failed to fill whole buffer）"]
    d.log None false []
    e.json None false ["12バイト目: 途中で切れているため、そのまま1件として扱います"]
    "#);
    insta::assert_snapshot!(told(Lang::En), @r#"
    a.zip Some("cannot be read as a zip archive: invalid Zip archive: Could not find EOCD") false []
    b.bin Some("neither text nor a kind of log that is known") true []
    c.evtx None false ["file header: failed to read EVTX file header block: failed to fill whole buffer"]
    d.log None false []
    e.json None false ["byte 12: the object or event breaks off; kept as it is"]
    "#);
}

#[test]
fn a_cancelled_scan_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("d.log"), FAILED.replace('X', "1")).unwrap();
    let plan = plan(&[dir.path().to_owned()]);
    let cancel = AtomicBool::new(true);
    let scanned = scan(&plan, &ruleset(), &options(), &ScanProgress::default(), &cancel).unwrap();
    assert!(scanned.report.cancelled && !scanned.report.is_complete());
}

#[test]
fn correlations_count_over_all_files_whatever_their_order() {
    let rules = [RULES[0], CORRELATIONS];
    let found = |memory: usize, threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        // The newest is read first.
        for (name, seconds) in [("a.log", [7, 8]), ("b.log", [1, 5])] {
            let text = seconds.map(|second| FAILED.replace('X', &second.to_string())).join("\n");
            fs::write(dir.path().join(name), text).unwrap();
        }
        let accepted = ACCEPTED.replace("09:00:00", "10:30:00");
        fs::write(dir.path().join("c.log"), accepted).unwrap();
        let options = ScanOptions { threads, findings_memory_bytes: memory, ..options() };
        let (plan, cancel) = (plan(&[dir.path().to_owned()]), AtomicBool::new(false));
        let progress = ScanProgress::default();
        let mut scanned = scan(&plan, &compile(&rules), &options, &progress, &cancel).unwrap();
        assert!(scanned.report.notices.is_empty());
        let told = found(&mut scanned).into_iter().map(|finding| {
            let name = |id: &str| id.rsplit('/').next().unwrap().to_owned();
            let events: Vec<_> = finding.texts("related.events").map(name).collect();
            format!(
                "{} {} {} {events:?} {}",
                &finding.text("@timestamp")[11..19],
                finding.text("rule.name"),
                finding.text("rule.type"),
                finding.text("source.ip"),
            )
        });
        told.collect::<Vec<_>>().join("\n")
    };
    let told = found(1_000_000, 1);
    let lines = |rule: &str| told.lines().filter(|line| line.contains(rule)).collect::<Vec<_>>();
    assert_eq!(lines("Password guessed detection").len(), 4, "{told}");
    let [many] = lines("Many passwords guessed correlation")[..] else { panic!("{told}") };
    let events = r#"["b.log#line=1", "b.log#line=2", "a.log#line=1", "a.log#line=2"]"#;
    assert!(many.starts_with("10:00:08") && many.contains(events), "{told}");
    assert!(many.ends_with("192.0.2.7"), "{told}");
    let [then_in] = lines("Guessed, then in correlation")[..] else { panic!("{told}") };
    assert!(then_in.starts_with("10:30:00") && then_in.contains("c.log#line=1"), "{told}");
    assert!(lines("Let in").is_empty(), "a rule that serves a correlation alone is silent: {told}");
    assert_eq!(found(100, 3), told);
}

/// The keys that whoever reads JSON lines may count on.
const KEYS: [&str; 8] = [
    "@timestamp",
    "rule.uuid",
    "rule.name",
    "rule.level",
    "log.file.path",
    "event.id",
    "host.name",
    "message",
];

/// A burst, then a trickle that lets the burst go; and a line of no host.
#[test]
fn every_line_has_the_keys_that_are_promised() {
    let dir = tempfile::tempdir().unwrap();
    let at = |second: u32, address: &str| {
        let time = format!("10:{:02}:{:02}", second / 60 % 60, second % 60);
        let line = FAILED.replace("10:00:0X", &time).replace("192.0.2.7", address);
        line.replace("Nov 21 10", &format!("Nov 21 {}", 10 + second / 3600))
    };
    let burst = (598..603).map(|second| at(second, "192.0.2.7"));
    let trickle = (1..9).map(|number| at(602 + number * 300, "192.0.2.7"));
    // Told once, and never again.
    let other = (4_000..4_003).map(|second| at(second, "192.0.2.9"));
    let lines: Vec<String> =
        [at(0, "192.0.2.8")].into_iter().chain(burst).chain(trickle).chain(other).collect();
    fs::write(dir.path().join("auth.log"), lines.join("\n")).unwrap();
    let no_host = "<86>1 2026-11-21T10:00:00Z - sshd 42 - - Failed password for root from 192.0.2.20 \
                   port 50022 ssh2\n";
    fs::write(dir.path().join("nohost.log"), no_host).unwrap();
    let plan = plan(&[dir.path().to_owned()]);
    let (progress, cancel) = (ScanProgress::default(), AtomicBool::new(false));
    let rules = compile(&[RULES[0], CORRELATIONS]);
    let mut scanned = scan(&plan, &rules, &options(), &progress, &cancel).unwrap();
    let (mut with_host, mut without, mut told) = (0, 0, Vec::new());
    let mut findings = scanned.findings().unwrap();
    while let Some(line) = findings.next_line().unwrap() {
        let line: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).unwrap();
        for key in KEYS {
            let value = line.get(key).unwrap_or_else(|| panic!("{key} in {line:?}"));
            assert!(
                value.is_string() || key == "host.name" && value.is_null(),
                "{key} in {line:?}"
            );
        }
        match line["host.name"].as_str() {
            Some("web01") => with_host += 1,
            None => without += 1,
            other => panic!("{other:?}"),
        }
        if line["rule.type"] == "correlation" {
            let name = |id: &serde_json::Value| {
                id.as_str().unwrap().rsplit('#').next().unwrap().to_owned()
            };
            let events: Vec<_> =
                line["related.events"].as_array().unwrap().iter().map(name).collect();
            told.push(format!(
                "{} {} {} {} of {}: {events:?} {}",
                line["@timestamp"],
                line["host.name"],
                name(&line["event.id"]),
                line["event.count"],
                line["source.ip"],
                line["related.rules"][0]["event.count"],
            ));
        }
    }
    assert_eq!((with_host, without), (1 + 5 + 8 + 3 + 2, 1));
    insta::assert_snapshot!(told.join("\n"), @r#"
    "2026-11-21T10:10:02.000000Z" "web01" line=6 5 of "192.0.2.7": ["line=2", "line=3", "line=4", "line=5", "line=6"] 5
    "2026-11-21T11:06:42.000000Z" "web01" line=17 3 of "192.0.2.9": ["line=15", "line=16", "line=17"] 3
    "#);
}

fn facts(lang: Lang) -> ReportFacts {
    ReportFacts {
        lang,
        zone: jiff::tz::TimeZone::get("Asia/Tokyo").unwrap(),
        version: "1.2.3".to_owned(),
        made_at: "2026-11-22T00:00:00Z".parse().unwrap(),
        paths: vec!["/evidence".to_owned()],
        sources: vec![RuleSource::new("rules", [("a.yml", "title: x")])],
        rules_loaded: 4,
        refused: vec![("broken.yml".to_owned(), "it holds no rule".to_owned())],
        min_level: Level::Informational,
        from: None,
        to: None,
    }
}

#[test]
fn the_report_runs_nothing_loads_nothing_and_tells_everything() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = r#"<script>alert(1)</script><img src=x onerror=y> \u202e \"quoted\" -enc "#;
    fs::write(dir.path().join("<b>.json"), process("2026-11-21 10:00:02", hostile)).unwrap();
    fs::write(dir.path().join("auth.log"), FAILED.replace('X', "1")).unwrap();
    fs::write(dir.path().join("cut.evtx"), b"ElfFile\0").unwrap();
    let mut scanned = run(&[dir.path()], &options());
    for (lang, words) in [
        (Lang::En, ["Log examination report", "Password guessed", "Saturday, 2026-11-21"]),
        (Lang::Ja, ["ログ調査報告書", "Password guessed", "2026年11月21日（土）"]),
    ] {
        let mut page = Vec::new();
        html(&mut scanned, &facts(lang), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for word in words {
            assert!(page.contains(word), "{word}");
        }
        assert!(page.contains(
            "Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-"
        ));
        let lower = page.to_ascii_lowercase();
        for active in ["<script", "<img", "<iframe", "<link", "<object", "<form", " style="] {
            assert!(!lower.contains(active), "{active}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)"));
        assert!(!page.contains('\u{202e}') && page.contains("[U+202E]"));
        assert!(page.contains("broken.yml") && page.contains("A. Author"));
        let digest = &scanned.report.files[1].sha256;
        assert!(page.contains(digest.as_str()));
        assert!(page.contains("cut.evtx") && page.contains("file header"));
        assert!(page.trim_end().ends_with("</html>"));
    }
}
