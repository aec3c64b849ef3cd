//! What people read: one line of each kind, in both languages.

mod common;

use common::{describe, fields};

#[test]
fn probe() {
    let kinds: &[&str] = &[
        r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Security-Auditing"}},"EventID":4624,"Level":0,"Keywords":"0x8020000000000000","TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456789Z"}},"EventRecordID":77,"Execution":{"#attributes":{"ProcessID":700,"ThreadID":1}},"Channel":"Security","Computer":"FS01"},"EventData":{"TargetUserName":"田中","TargetDomainName":"CORP","LogonType":3,"IpAddress":"10.1.2.3","IpPort":"50022","LogonGuid":"0197231E-005A-6928-A50B-000000000D00"}}}"##,
        r##"{"@timestamp":"2026-11-21T01:02:03.456Z","event":{"code":"4625","provider":"Microsoft-Windows-Security-Auditing","outcome":"failure"},"host":{"name":"fs01"},"log":{"level":"information"},"message":"An account failed to log on.","winlog":{"channel":"Security","computer_name":"FS01.corp.example","event_id":"4625","keywords":["Audit Failure"],"process":{"pid":700},"record_id":78,"event_data":{"TargetUserName":"tanaka","LogonType":"10","IpAddress":"203.0.113.9","Status":"0xc000006d","SubStatus":"0xC000006A"}}}"##,
        r##"{"EventTime":"2026-11-21 10:02:03","Hostname":"FS01","Keywords":-9214364837600034816,"EventType":"AUDIT_SUCCESS","EventID":4688,"SourceName":"Microsoft-Windows-Security-Auditing","Channel":"Security","RecordNumber":79,"ExecutionProcessID":4,"SubjectUserName":"tanaka","NewProcessName":"C:\\Windows\\System32\\vssadmin.exe","NewProcessId":"0x1a4","CommandLine":"vssadmin delete shadows /all /quiet","ParentProcessName":"C:\\Windows\\System32\\cmd.exe","ProcessId":"0x200","Message":"A new process has been created.","@timestamp":"2026-11-21T01:02:04Z"}"##,
        "<38>Nov 21 11:59:59 web01 sshd[42]: Failed password for invalid user admin from 192.0.2.7 port 50022 ssh2",
        "<86>Nov 21 11:59:59 web01 sudo:   tanaka : TTY=pts/0 ; PWD=/home/tanaka ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow",
        "<86>Nov 21 11:59:59 web01 sshd[9]: pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=218.188.2.4  user=root",
        r##"203.0.113.9 - - [21/Nov/2026:10:00:00 +0900] "GET /a/b?q=1 HTTP/1.1" 404 153 "-" "curl/8""##,
        r##"<189>date=2026-11-21 time=10:00:00 devname="FG100" devid="x" logid="0101039426" type="event" subtype="vpn" level="alert" tz="+0900" action="ssl-login-fail" tunneltype="ssl-web" remip=203.0.113.9 user="tanaka" reason="sslvpn_login_unknown_user" msg="SSL user failed to logged in""##,
        "hello\u{0}there",
        r##"{"a":{"b":1}}"##,
    ];
    for line in kinds {
        let d = describe(*line);
        println!("== {}\n{}\n{}\n{}{}", d.dataset, d.sentence_ja, d.sentence_en, d.timestamp, "\n");
        println!("{}", fields(&d));
    }
}
