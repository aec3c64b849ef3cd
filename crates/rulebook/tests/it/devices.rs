//! SigmaHQ's rules for network devices and sensors fire on lines as those devices write them.

use std::path::PathBuf;
use yagura_detect::Engine;
use yagura_event::{CommittedRun, Record, StreamName, Transport};
use yagura_normalize::Normalizer;
use yagura_rulebook::RuleSources;

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

/// A line, and the title of the rule that must fire on it.
const CASES: &[(&str, &str)] = &[
    (
        "<189>45: rtr01: Nov 21 10:02:03.123 JST: %PARSER-5-CFGLOG_LOGGEDCMD: User:tanaka  logged command:clear logging",
        "Cisco Clear Logs",
    ),
    (
        "<189>Nov 21 10:02:03 rtr01 46: Nov 21 10:02:02.123 JST: %PARSER-5-CFGLOG_LOGGEDCMD: User:tanaka  logged command:no logging host",
        "Cisco Disabling Logging",
    ),
    (
        "<187>47: rtr01: Nov 21 10:02:03.123 JST: %IP-TCP-3-BADAUTH: No MD5 digest from 192.0.2.9(41000) to 192.0.2.1:179",
        "Cisco BGP Authentication Failures",
    ),
    (
        "<187>48: rtr01: Nov 21 10:02:03.123 JST: %LDP-3-TCPMD5AuthenFail: MD5 authentication of 192.0.2.9 failed",
        "Cisco LDP Authentication Failures",
    ),
    (
        "<187>Nov 21 2026 10:02:03 core01 %%01BGP/3/BGP_AUTH_FAILED(l)[12]:BGP session authentication failed. (PeeringIP=192.0.2.9:179)",
        "Huawei BGP Authentication Failures",
    ),
    (
        "<187>Nov 21 10:02:03 srx01 /kernel: tcp_auth_ok: Packet from 192.0.2.9:179 missing MD5 digest",
        "Juniper BGP Missing MD5",
    ),
    (
        "<189>49: rtr01: Nov 21 10:02:03.123 JST: %SYS-5-CONFIG_P: Configured programmatically by process SEP_webui_wsma_http from console as cisco_support on vty1",
        "Exploitation Indicators Of CVE-2023-20198",
    ),
    (
        "<189>date=2026-11-21 time=10:02:03 devname=\"fg01\" devid=\"FGT60F0000000001\" tz=\"+0900\" logid=\"0100044547\" type=\"event\" subtype=\"system\" level=\"information\" logdesc=\"Object attribute configured\" user=\"admin\" ui=\"GUI(192.0.2.10)\" action=\"Add\" cfgpath=\"system.admin\" cfgobj=\"backup2\" msg=\"Add system.admin backup2\"",
        "FortiGate - New Administrator Account Created",
    ),
    (
        "<189>date=2026-11-21 time=10:02:03 devname=\"fg01\" devid=\"FGT60F0000000001\" tz=\"+0900\" logid=\"0100044546\" type=\"event\" subtype=\"system\" level=\"information\" logdesc=\"Attribute configured\" user=\"admin\" ui=\"GUI(192.0.2.10)\" action=\"Edit\" cfgpath=\"vpn.ssl.settings\" cfgattr=\"status[disable->enable]\" msg=\"Edit vpn.ssl.settings\"",
        "FortiGate - VPN SSL Settings Modified",
    ),
    (
        "<189>date=2026-11-21 time=10:02:03 devname=\"fg01\" devid=\"FGT60F0000000001\" tz=\"+0900\" logid=\"0100032003\" type=\"event\" subtype=\"system\" level=\"critical\" logdesc=\"Application crashed\" msg=\"read of /data/lib/libips.bak failed\"",
        "Exploitation Indicator Of CVE-2022-42475",
    ),
    (
        "<14>Nov 21 10:02:03 pa01 1,2026/11/21 10:02:03,001801000001,SYSTEM,general,0,2026/11/21 10:02:03,,general,,0,0,general,high,failed to unmarshal session(../../tmp/x) map,4711,0x0,0,0,0,0,,pa01",
        "Potential CVE-2024-3400 Exploitation - Palo Alto GlobalProtect OS Command Injection",
    ),
    (
        "<134>Nov 21 10:02:03 pf01 filterlog[1234]: 5,,,1000000103,igb0,match,pass,in,4,0x0,,64,0,0,DF,6,tcp,60,192.0.2.10,203.0.113.5,51515,23,0,S,1,,64240,,mss",
        "Cleartext Protocol Usage",
    ),
    (
        "<166>Nov 21 2026 10:02:03 fw01 : %ASA-6-302013: Built outbound TCP connection 4711 for outside:203.0.113.5/21 (203.0.113.5/21) to inside:192.0.2.10/51515 (198.51.100.1/51515)",
        "Cleartext Protocol Usage",
    ),
    (
        r#"{"timestamp":"2026-11-21T10:02:03.123456+0900","flow_id":1,"event_type":"dns","src_ip":"192.0.2.10","src_port":51515,"dest_ip":"192.0.2.53","dest_port":53,"proto":"UDP","dns":{"type":"query","id":1,"rrname":"api.telegram.org","rrtype":"A"}}"#,
        "Telegram Bot API Request",
    ),
    (
        r#"{"timestamp":"2026-11-21T10:02:03.123456+0900","flow_id":1,"event_type":"dns","src_ip":"192.0.2.10","src_port":51515,"dest_ip":"192.0.2.53","dest_port":53,"proto":"UDP","dns":{"type":"answer","id":1,"rrname":"a.example.com","rrtype":"TXT","grouped":{"TXT":["cmd.exe /c whoami"]}}}"#,
        "DNS TXT Answer with Possible Execution Strings",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","trans_id":1,"query":"api.telegram.org","qtype_name":"A","rejected":false,"AA":false,"Z":0}"#,
        "Telegram Bot API Request",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","trans_id":1,"query":"abcdef.onion.ws","qtype_name":"A","rejected":false,"AA":false,"Z":0}"#,
        "DNS TOR Proxies",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"192.0.2.20","id.resp_p":445,"action":"SMB::FILE_OPEN","path":"\\\\192.0.2.20\\IPC$","name":"PSEXECSVC-pc07-stdin","size":0}"#,
        "Suspicious PsExec Execution - Zeek",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"192.0.2.20","id.resp_p":445,"named_pipe":"svcctl","endpoint":"svcctl","operation":"CreateServiceW"}"#,
        "MITRE BZAR Indicators for Execution",
    ),
    (
        r#"{"ts":1795222923.1,"id":"F1","certificate.version":3,"certificate.serial":"8BB00EE","certificate.subject":"CN=Major Cobalt Strike"}"#,
        "Default Cobalt Strike Certificate",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"203.0.113.9","id.orig_p":51515,"id.resp_h":"192.0.2.20","id.resp_p":3389,"cookie":"admin","result":"encrypted","security_protocol":"HYBRID"}"#,
        "Publicly Accessible RDP Service",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"192.0.2.20","id.resp_p":88,"request_type":"TGS","client":"tanaka/EXAMPLE.COM","service":"http/web01","success":true,"cipher":"rc4-hmac"}"#,
        "Kerberos Network Traffic RC4 Ticket Encryption",
    ),
    (
        r#"{"ts":1795222923.1,"uid":"C1","id.orig_h":"192.0.2.10","id.orig_p":51515,"id.resp_h":"203.0.113.5","id.resp_p":80,"trans_depth":1,"method":"PUT","host":"www.example.com","uri":"/a","user_agent":"Microsoft-WebDAV-MiniRedir/10.0","request_body_len":5,"response_body_len":0,"status_code":201}"#,
        "WebDav Put Request",
    ),
    (
        r#"{"timestamp":"2026-11-21T10:02:03.123456+0900","flow_id":1,"event_type":"http","src_ip":"192.0.2.10","src_port":51515,"dest_ip":"203.0.113.5","dest_port":80,"proto":"TCP","http":{"hostname":"www.example.com","url":"/login","http_user_agent":"Mozilla/4.0 (hydra)","http_method":"GET","status":200,"length":5}}"#,
        "Hack Tool User Agent",
    ),
    (
        "<189>date=2026-11-21 time=10:02:03 devname=\"fg01\" devid=\"FGT60F0000000001\" tz=\"+0900\" logid=\"0316013056\" type=\"utm\" subtype=\"webfilter\" eventtype=\"ftgd_blk\" level=\"warning\" srcip=192.0.2.10 srcport=51515 dstip=203.0.113.5 dstport=80 proto=6 hostname=\"www.example.com\" action=\"blocked\" url=\"http://www.example.com/login\" agent=\"Mozilla/4.0 (hydra)\" catdesc=\"Hacking\"",
        "Hack Tool User Agent",
    ),
    (
        r#"{"dst_host":"192.0.2.99","dst_port":22,"local_time":"2026-11-21 10:02:03.123456","logdata":{"PASSWORD":"hello","USERNAME":"root"},"logtype":4002,"node_id":"canary01","src_host":"192.0.2.10","src_port":51515}"#,
        "OpenCanary - SSH Login Attempt",
    ),
];

#[test]
fn rules_of_devices_fire_on_their_lines() {
    let Some(corpora) = corpora() else { return };
    let places = [
        "rules/network",
        "rules/web/proxy_generic",
        "rules/application/opencanary",
        "rules-emerging-threats/2022/Exploits/CVE-2022-42475",
        "rules-emerging-threats/2023/Exploits/CVE-2023-20198",
        "rules-emerging-threats/2024/Exploits/CVE-2024-3400",
    ];
    let sources = RuleSources {
        builtin: false,
        rules: places.iter().map(|place| corpora.join("sigma").join(place)).collect(),
        ..RuleSources::default()
    };
    let dictionary = Normalizer::embedded_dictionary();
    let compiled = sources.compile(dictionary.clone()).unwrap();
    let mut engine = Engine::new(compiled.ruleset);
    let mut normalizer = Normalizer::new(dictionary).unwrap();
    let mut silent = Vec::new();
    for (line, title) in CASES {
        let record = Record {
            received: "2026-11-21T02:00:00Z".parse().unwrap(),
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:514".into(),
            identity: "none".into(),
            bytes: (*line).into(),
        };
        normalizer.normalize(&CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![record],
        });
        let batches = normalizer.take_batches();
        let fired: Vec<String> = batches
            .iter()
            .flat_map(|batch| engine.evaluate(batch))
            .map(|found| found.rule.title.clone())
            .collect();
        if !fired.iter().any(|fired| fired == title) {
            silent.push(format!("{title}: {} gave {fired:?}", batches[0].dataset));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
