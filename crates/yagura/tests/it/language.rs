//! What the real binary says of mistakes, in the language that is asked for.

use crate::common::{YAGURA, succeeded, yagura};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const LINE: &str = "2026-11-21T10:00:01Z web01 sshd[812]: Accepted publickey for root from 203.0.113.7 port 50023 ssh2\n";

/// What is asked, in a directory of its own; the exit code; and words of the answer in Japanese.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

const CASES: &[Case<'_>] = &[
    (
        &["search", "x", "--time-zone", "Mars"],
        2,
        &["--time-zone \"Mars\"", "タイムゾーンはありません"],
    ),
    (
        &["import", "a.log", "--zone", "Mars"],
        2,
        &["--zone: \"Mars\"", "タイムゾーン名ではありません"],
    ),
    (
        &["import", "a.log", "--encoding", "utf-17"],
        2,
        &["--encoding: \"utf-17\"", "文字コードはありません"],
    ),
    (&["import", "a.log", "--dataset", "linux.auht"], 2, &["\"linux.auth\" のことですか"]),
    (
        &["import", "missing", "--data", "new"],
        1,
        &["missing: 読み取れませんでした（ファイルまたはディレクトリがありません"],
    ),
    (
        &["import", "bad.zip", "--data", "new"],
        1,
        &["bad.zip: 読み取れませんでした（zipアーカイブとして読めません（"],
    ),
    (
        &["import", "bad.evtx", "--data", "new"],
        1,
        &["ファイルの先頭（ヘッダー）: 破損があります（イベントログのヘッダーを読めません（"],
    ),
    (
        &["import", "a.log", "--server", "http://127.0.0.1:1"],
        1,
        &["http://127.0.0.1:1 に接続できません", "接続を拒否されました", "続きから再開します"],
    ),
    (
        &["normalize", "--try", "a.log", "--zone", "Mars"],
        2,
        &["--zone \"Mars\"", "タイムゾーンはありません"],
    ),
    (
        &["normalize", "--try", "a.log", "--mapping", "missing"],
        1,
        &["content: missing を読めません", "ファイルまたはディレクトリがありません"],
    ),
    (
        &["normalize", "--try", "a.log", "--mapping", "bad.toml"],
        1,
        &["bad.toml: 書式に誤りがあります"],
    ),
    (&["scan", "a.log", "--threads", "0"], 2, &["--threads: 0 は範囲外です（1～"]),
    (&["scan", "a.log", "--from", "yesterday"], 2, &["--from: \"yesterday\" は日時ではありません"]),
    (
        &["scan", "a.log", "--rule-time-zone", "Mars"],
        2,
        &["--rule-time-zone \"Mars\"", "タイムゾーンはありません"],
    ),
    (
        &["scan", "a.log", "--out", "missing/report.html"],
        1,
        &["missing/report.html に書き込めません", "ファイルまたはディレクトリがありません"],
    ),
    (
        &["scan", "a.log", "--rules", "missing"],
        1,
        &["missing: ファイルまたはディレクトリがありません"],
    ),
    (
        &["scan", "a.log", "--config", "bad.toml"],
        1,
        &["設定ファイル bad.toml に誤りがあります", "line 2", "yagura config show で確認できます"],
    ),
    (
        &["scan", "a.log", "--config", "mars.toml"],
        1,
        &["設定ファイル mars.toml に誤りがあります", "rules.time_zone: \"Mars\" は IANA"],
    ),
    (
        &["scan", "missing"],
        1,
        &["missing: ファイルまたはディレクトリがありません", "読み取るファイルがありません"],
    ),
    (
        &["config", "check", "missing.toml"],
        1,
        &["設定ファイル missing.toml を読み取れません: ファイルまたはディレクトリがありません"],
    ),
    (
        &["config", "check", "source.toml"],
        1,
        &["host = \"fw01\" の [[source]]: zone: \"Mars\" は IANA"],
    ),
    (
        &["serve", "--config", "hook.toml", "--data", "new"],
        1,
        &["webhook.url に誤りがあります: webhook のアドレス: https にするか"],
    ),
    (
        &["reprocess", "--dataset", "a b"],
        2,
        &["--dataset: \"a b\" はデータセットの名前ではありません"],
    ),
    (
        &["alerts", "except", "add", "--rule", "r", "--where", "User", "--reason", "x"],
        2,
        &["--where \"User\" は 項目=値 の形で"],
    ),
    (
        &["alerts", "except", "add", "--rule", "r", "--entity", "cat:tama", "--reason", "x"],
        2,
        &["--entity \"cat:tama\" は host:名前"],
    ),
    (&["alerts", "--level", "hot"], 2, &["「hot」は指定できません：informational、low"]),
    (
        &["hunt", "--indicators", "missing"],
        1,
        &["missing を読めません: ファイルまたはディレクトリがありません"],
    ),
    (&["hunt", "--indicators", "bad.zip"], 2, &["bad.zip は4バイト目がUTF-8ではありません"]),
    (&["rules", "check", "missing"], 1, &["missing: ファイルまたはディレクトリがありません"]),
    (
        &["rules", "check", "a.yml", "--rule-time-zone", "Mars"],
        2,
        &["--rule-time-zone \"Mars\"", "タイムゾーンはありません"],
    ),
    (&["rules", "update", "--undo", "--rules", "."], 1, &["戻せる前の版がありません"]),
    (
        &["alerts", "--server", "http://127.0.0.1:1", "--token-file", "missing"],
        1,
        &["トークンのファイル missing を読めません"],
    ),
    (&["search", "x", "--data", "missing"], 2, &["missing に保管庫がありません"]),
    (&["search", "x"], 2, &["HOME が設定されていません"]),
];

fn run(dir: &Path, lang: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(YAGURA);
    for variable in ["HOME", "XDG_DATA_HOME", "YAGURA_DATA", "YAGURA_SERVER", "YAGURA_TIME_ZONE"] {
        command.env_remove(variable);
    }
    command.current_dir(dir).args(arguments).args(["--lang", lang]).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_japanese(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{3041}'..='\u{30FA}' | '\u{4E00}'..='\u{9FFF}'))
}

#[test]
fn mistakes_are_told_in_the_language_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("a.log", LINE.as_bytes()),
        ("a.yml", b"title: A\n"),
        ("bad.zip", b"PK\x03\x04\xff\xff not really"),
        ("bad.evtx", b"ElfFile\0 cut off"),
        ("bad.toml", b"[http]\nlisten = 'everywhere'\n"),
        ("mars.toml", b"[rules]\ntime_zone = 'Mars'\n"),
        ("source.toml", b"[[source]]\nhost = 'fw01'\nzone = 'Mars'\n"),
        ("hook.toml", b"[webhook]\nurl = 'http://hook.example/x'\nsecret_file = 's'\n"),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    for (arguments, code, words) in CASES {
        let ja = run(dir.path(), "ja", arguments);
        let told = said(&ja);
        assert_eq!(ja.status.code(), Some(*code), "{arguments:?}: {told}");
        for part in *words {
            assert!(told.contains(part), "{arguments:?} does not say {part}: {told}");
        }
        for line in told.lines().filter(|line| line.starts_with("yagura:") || line.starts_with('!'))
        {
            assert!(is_japanese(line), "{arguments:?}: {line}");
        }
        let en = run(dir.path(), "en", arguments);
        assert_eq!(en.status.code(), Some(*code), "{arguments:?}: {}", said(&en));
        assert!(!is_japanese(&said(&en)), "{arguments:?}: {}", said(&en));
    }
    let en = said(&run(dir.path(), "en", &["import", "a.log", "--server", "http://127.0.0.1:1"]));
    assert!(
        en.starts_with("yagura: cannot reach") || en.contains("\nyagura: cannot reach"),
        "{en}"
    );
}

#[test]
fn what_stands_in_the_way_is_told_in_the_language_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().to_string();
    let ja =
        run(dir.path(), "ja", &["serve", "--data", "d", "--syslog-tcp", &port, "--http", &busy]);
    let told = said(&ja);
    assert_eq!(ja.status.code(), Some(1), "{told}");
    let line =
        format!("syslog (TCP) を {port} で待ち受けられません: そのアドレスはすでに使われています");
    assert!(told.contains(&line), "{told}");

    let log = dir.path().join("a.log");
    fs::write(&log, LINE).unwrap();
    let data = dir.path().join("d");
    succeeded(&yagura(&data, &["import", log.to_str().unwrap(), "--quiet"]));
    let proof = run(dir.path(), "ja", &["verify", "--data", "d", "--event", "nonsense"]);
    assert!(said(&proof).contains("イベントIDではありません"), "{}", said(&proof));
    let server = crate::common::Server::start(&data, &[]);
    let ja = said(&run(dir.path(), "ja", &["search", "x", "--data", "d"]));
    let holder = format!("別のプロセス（pid {}）が使っています", server.pid());
    assert!(ja.contains(&holder), "{ja}");
    server.stop();
}
