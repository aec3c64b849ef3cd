//! SigmaHQ's rules for Linux on records of the audit system: each act is found, and once.
//!
//! Needs the folder of corpora in `YAGURA_CORPORA`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset};
use yagura_event::{CommittedRun, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

const SOURCES: &str = include_str!("../../../../content/logsources.toml");

/// The rules, and how often each must fire on [`RECORDS`].
const RULES: [(&str, usize); 8] = [
    ("rules/linux/process_creation/proc_creation_lnx_base64_decode.yml", 1),
    ("rules/linux/process_creation/proc_creation_lnx_python_pty_spawn.yml", 1),
    ("rules/linux/process_creation/proc_creation_lnx_crontab_enumeration.yml", 0),
    ("rules/linux/auditd/lnx_auditd_susp_c2_commands.yml", 1),
    ("rules/linux/auditd/path/lnx_auditd_auditing_config_change.yml", 1),
    ("rules/linux/auditd/syscall/lnx_auditd_create_account.yml", 1),
    ("rules/linux/auditd/syscall/lnx_auditd_susp_discovery_sysinfo_syscall.yml", 1),
    ("rules/linux/file_event/file_event_lnx_persistence_sudoers_files.yml", 1),
];

const RECORDS: [&str; 14] = [
    // base64 -d x
    "type=SYSCALL msg=audit(1795252502.155:1): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=10 auid=1000 uid=0 euid=0 comm=\"base64\" exe=\"/usr/bin/base64\" key=\"susp_activity\"",
    "type=EXECVE msg=audit(1795252502.155:1): argc=3 a0=\"base64\" a1=\"-d\" a2=\"/tmp/x\"",
    "type=CWD msg=audit(1795252502.155:1): cwd=\"/root\"",
    "type=PATH msg=audit(1795252502.155:1): item=0 name=\"/usr/bin/base64\" nametype=NORMAL",
    "type=PROCTITLE msg=audit(1795252502.155:1): proctitle=626173653634002D64002F746D702F78",
    // python3 -c 'import pty;pty.spawn("/bin/sh")'
    "type=SYSCALL msg=audit(1795252503.155:2): arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 auid=1000 uid=0 euid=0 comm=\"python3\" exe=\"/usr/bin/python3.11\" key=(null)",
    "type=EXECVE msg=audit(1795252503.155:2): argc=3 a0=\"python3\" a1=\"-c\" a2=696D706F7274207074793B7074792E737061776E28222F62696E2F73682229",
    // a file in /etc/audit and one in /etc/sudoers.d are written
    "type=SYSCALL msg=audit(1795252504.155:3): arch=c000003e syscall=257 success=yes exit=3 ppid=10 pid=12 auid=1000 uid=0 euid=0 comm=\"vi\" exe=\"/usr/bin/vi\" key=(null)",
    "type=CWD msg=audit(1795252504.155:3): cwd=\"/etc\"",
    "type=PATH msg=audit(1795252504.155:3): item=0 name=\"/etc/audit/auditd.conf\" nametype=NORMAL",
    "type=PATH msg=audit(1795252504.155:3): item=1 name=\"sudoers.d/x\" nametype=CREATE",
    "type=SYSCALL msg=audit(1795252505.155:4): arch=c000003e syscall=99 success=yes exit=0 ppid=10 pid=13 auid=1000 uid=1000 euid=1000 comm=\"x\" exe=\"/tmp/x\" key=(null)",
    "type=ADD_USER msg=audit(1795252506.155:5): pid=14 uid=0 auid=1000 ses=3 msg='op=adding user acct=\"x\" exe=\"/usr/sbin/useradd\" hostname=? addr=? terminal=pts/0 res=success'",
    "type=EOE msg=audit(1795252506.155:5): ",
];

#[test]
fn rules_for_linux_see_audited_acts_once() {
    let corpora: PathBuf = match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => path.into(),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => return println!("skipped: set YAGURA_CORPORA"),
    };
    let rules = RULES.map(|(path, _)| RuleFile {
        text: std::fs::read_to_string(corpora.join("sigma").join(path)).unwrap(),
        path: path.into(),
    });
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, report) = Ruleset::compile(&rules, Normalizer::embedded_dictionary(), &sources);
    assert_eq!(report.loaded, RULES.len(), "{:?}", report.refused);
    let titles: BTreeMap<String, &str> = rules
        .iter()
        .map(|rule| {
            let id = rule.text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
            (id.trim().to_owned(), rule.path.as_str())
        })
        .collect();
    let record = |line: &str| Record {
        received: "2026-11-21T09:15:10Z".parse().unwrap(),
        transport: Transport::File,
        peer: "web01".into(),
        identity: "none".into(),
        bytes: line.as_bytes().to_vec().into(),
    };
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    normalizer.normalize(&CommittedRun {
        stream: StreamName::new("audit-log").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: RECORDS.iter().map(|line| record(line)).collect(),
    });
    let mut engine = Engine::new(Arc::new(ruleset));
    let mut fired: BTreeMap<&str, usize> = BTreeMap::new();
    for batch in normalizer.take_batches() {
        for found in engine.evaluate(&batch) {
            *fired.entry(titles[&*found.rule.id]).or_default() += 1;
        }
    }
    for (path, times) in RULES {
        assert_eq!(fired.get(path).copied().unwrap_or(0), times, "{path}: {fired:?}");
    }
}
