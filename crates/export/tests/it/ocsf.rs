//! Lines as sources write them, read and exported: each event has what OCSF requires of its class.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use yagura_event::{CommittedRun, Record, StreamName, Transport, UtcMicros};
use yagura_export::{OCSF_VERSION, Ocsf, Row};
use yagura_normalize::Normalizer;

fn normalizer() -> &'static Normalizer {
    static NORMALIZER: OnceLock<Normalizer> = OnceLock::new();
    NORMALIZER.get_or_init(|| Normalizer::new(Normalizer::embedded_dictionary()).unwrap())
}

/// A row as a search gives it.
fn row_of(line: &str) -> Row {
    let received: UtcMicros = "2026-11-21T03:00:00.25Z".parse::<jiff::Timestamp>().unwrap().into();
    let record = Record {
        received,
        transport: Transport::SyslogTcp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: line.as_bytes().to_vec().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch: 7,
        batch_salt: [0; 32],
        first_index: 3,
        records: vec![record],
    };
    let described = normalizer().describe(&run).unwrap();
    // As a search leaves it out.
    let shown =
        |(name, _): &(String, String)| !name.starts_with("yagura.batch") && name != "yagura.index";
    let fields = described.fields.into_iter().filter(shown);
    let fields: Map<String, Value> = fields.map(|(name, value)| (name, value.into())).collect();
    let row = json!({
        "event.id": "syslog/7/3",
        "@timestamp": described.timestamp,
        "event.ingested": received,
        "event.dataset": described.dataset,
        "sentence": { "ja": described.sentence_ja, "en": described.sentence_en },
        "fields": fields,
        "event.original": line,
    });
    row.as_object().unwrap().clone()
}

fn ocsf() -> Ocsf {
    Ocsf::new(Normalizer::embedded_dictionary())
}

fn exported(line: &str) -> Value {
    Value::Object(ocsf().event(&row_of(line)).unwrap())
}

/// What the schema requires, written down again from its files: events/*.json and objects/*.json.
fn faults(event: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ask = |ok: bool, what: String| {
        if !ok {
            faults.push(what);
        }
    };
    for name in ["activity_id", "category_uid", "class_uid", "severity_id", "time", "type_uid"] {
        ask(event[name].is_i64(), format!("{name} is required and a whole number"));
    }
    ask(event["metadata"]["version"] == OCSF_VERSION, "metadata.version".to_owned());
    ask(event["metadata"]["product"]["name"].is_string(), "metadata.product.name".to_owned());
    let (class, activity) =
        (event["class_uid"].as_i64().unwrap(), event["activity_id"].as_i64().unwrap());
    ask(event["type_uid"] == class * 100 + activity, "type_uid".to_owned());
    ask(event["category_uid"] == class % 100_000 / 1_000, "category_uid".to_owned());
    let (all, one): (&[&str], &[&str]) = match class {
        0 | 1008 => (&[], &[]),
        1001 => (&["actor", "device", "file"], &[]),
        1007 => (&["actor", "device", "process"], &[]),
        201_001 => (&["actor", "device", "reg_key"], &[]),
        201_002 => (&["actor", "device", "reg_value"], &[]),
        201_004 => (&["actor", "device", "win_service"], &[]),
        2004 => (&["finding_info"], &[]),
        3001 | 3003 => (&["user"], &[]),
        3002 => (&["user"], &["service", "dst_endpoint"]),
        3006 => (&["group"], &[]),
        4002 => (&[], &["http_request", "http_response"]),
        4001 | 4003 | 4004 | 4006 | 4007 => (&[], &["src_endpoint", "dst_endpoint"]),
        6003 => (&["actor", "api", "src_endpoint"], &[]),
        other => panic!("class {other} is not in this test"),
    };
    for name in all {
        ask(event[name].is_object(), format!("{name} is required"));
    }
    ask(
        one.is_empty() || one.iter().any(|name| event[name].is_object()),
        format!("one of {one:?}"),
    );
    inside("", event, &mut faults);
    faults
}

/// What objects require, wherever they are.
fn inside(name: &str, value: &Value, faults: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        if let Value::Array(items) = value {
            items.iter().for_each(|item| inside(name, item, faults));
        }
        return;
    };
    let (all, one): (&[&str], &[&str]) = match name {
        "device" => (&["type_id"], &["ip", "uid", "name", "hostname"]),
        "os" => (&["name", "type_id"], &[]),
        "file" => (&["name", "type_id"], &[]),
        "user" => (&[], &["name", "uid"]),
        "process" | "parent_process" => (&[], &["pid", "uid"]),
        "actor" => (&[], &["process", "user", "session"]),
        "src_endpoint" | "dst_endpoint" => (&[], &["ip", "uid", "name", "hostname", "domain"]),
        "connection_info" => (&["direction_id"], &[]),
        "hashes" => (&["algorithm_id", "value"], &[]),
        "query" => (&["hostname"], &[]),
        "answers" => (&["rdata"], &[]),
        "http_response" => (&["code"], &[]),
        "tls" => (&["version"], &[]),
        "cloud" => (&["provider"], &[]),
        "finding_info" => (&["uid"], &[]),
        "reg_value" => (&["name", "path"], &[]),
        "reg_key" => (&["path"], &[]),
        "win_service" | "service" => (&["name"], &[]),
        "api" => (&["operation"], &[]),
        // Names of our own, whatever they are.
        "unmapped" => return,
        _ => (&[], &[]),
    };
    if object.is_empty() {
        faults.push(format!("{name} is empty"));
    }
    faults.extend(
        all.iter().filter(|key| !object.contains_key(**key)).map(|key| format!("{name}.{key}")),
    );
    if !one.is_empty() && !one.iter().any(|key| object.contains_key(*key)) {
        faults.push(format!("{name}: one of {one:?}"));
    }
    for (key, value) in object {
        let number = ["pid", "port", "code", "bytes", "length", "type_id", "status_id", "rcode_id"];
        if number.contains(&key.as_str()) && !value.is_i64() {
            faults.push(format!("{name}.{key} is no number"));
        }
        inside(key, value, faults);
    }
}

const LOGON: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Security-Auditing"}},"EventID":4624,"Level":0,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.4567890Z"}},"EventRecordID":901,"Channel":"Security","Computer":"fs01.corp.example"},"EventData":{"SubjectUserSid":"S-1-0-0","SubjectUserName":"-","TargetUserSid":"S-1-5-21-1-2-3-1104","TargetUserName":"tanaka","TargetDomainName":"CORP","TargetLogonId":"0x54321","LogonType":"3","IpAddress":"192.0.2.61","IpPort":"50122","WorkstationName":"PC07","AuthenticationPackageName":"NTLM"}}}"##;
const LAUNCH: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":1,"Level":4,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456Z"}},"EventRecordID":77,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07"},"EventData":{"ProcessId":4242,"Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","Hashes":"MD5=0123456789abcdef0123456789abcdef,SHA256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","ParentProcessId":4000,"ParentImage":"C:\\Windows\\System32\\cmd.exe"}}}"##;
const CONNECTION: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":3,"Level":4,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456Z"}},"EventRecordID":78,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07"},"EventData":{"ProcessId":4242,"Image":"C:\\Windows\\explorer.exe","User":"CORP\\tanaka","Protocol":"tcp","Initiated":"true","SourceIp":"192.0.2.61","SourcePort":"50123","DestinationIp":"203.0.113.9","DestinationPort":"443"}}}"##;
const QUESTION: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":22,"Level":4,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456Z"}},"EventRecordID":79,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07"},"EventData":{"ProcessId":4242,"Image":"C:\\Windows\\explorer.exe","QueryName":"www.example.com","QueryStatus":"0","QueryResults":"::ffff:203.0.113.9;","User":"CORP\\tanaka"}}}"##;
const FILE: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":11,"Level":4,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456Z"}},"EventRecordID":80,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07"},"EventData":{"ProcessId":4242,"Image":"C:\\Windows\\explorer.exe","TargetFilename":"C:\\Users\\tanaka\\Desktop\\見積.xlsx","User":"CORP\\tanaka"}}}"##;
const REGISTRY: &str = r##"{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":13,"Level":4,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456Z"}},"EventRecordID":81,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07"},"EventData":{"EventType":"SetValue","ProcessId":4242,"Image":"C:\\Windows\\regedit.exe","TargetObject":"HKU\\S-1-5-21\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\update","Details":"C:\\x.exe","User":"CORP\\tanaka"}}}"##;
const NAME_SERVER: &str = "2026/06/14 10:00:01 0E70 PACKET  00000000033397A0 UDP Snd 192.0.2.61      5b47 R Q [8385 A DR NXDOMAIN] AAAA   (4)none(7)example(3)com(0)";
const WEB: &str =
    r#"203.0.113.9 - - [21/Nov/2026:10:00:00 +0900] "GET /a/b?q=1 HTTP/1.1" 404 153 "-" "curl/8""#;
const SSH: &str = "<86>Nov 21 10:00:00 web01 sshd[811]: Failed password for invalid user admin from 203.0.113.9 port 50022 ssh2";
const SUDO: &str = "<85>Nov 21 10:00:00 web01 sudo: tanaka : TTY=pts/0 ; PWD=/home/tanaka ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow";
const NOTHING: &str = "<14>Nov 21 10:00:00 web01 demo: 温度は 21 度です";

#[test]
fn events_have_what_their_class_requires() {
    for (line, class, activity) in [
        (LOGON, 3002, 1),
        (LAUNCH, 1007, 1),
        (CONNECTION, 4001, 1),
        (QUESTION, 4003, 1),
        (FILE, 1001, 1),
        (REGISTRY, 201_002, 2),
        (NAME_SERVER, 4003, 2),
        (WEB, 4002, 3),
        (SSH, 3002, 1),
        (NOTHING, 0, 0),
    ] {
        let event = exported(line);
        let shown = serde_json::to_string_pretty(&event).unwrap();
        assert_eq!(faults(&event), Vec::<String>::new(), "{shown}");
        assert_eq!(
            (&event["class_uid"], &event["activity_id"]),
            (&json!(class), &json!(activity)),
            "{shown}"
        );
        assert_eq!(event["raw_data"], line);
    }
    assert_eq!(faults(&exported(SUDO)), Vec::<String>::new());
}

#[test]
fn a_logon_attribute_by_attribute() {
    let mut event = exported(LOGON);
    event["raw_data"] = json!("...");
    insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap(), @r#"
    {
      "metadata": {
        "event_code": "4624",
        "product": {
          "name": "Microsoft-Windows-Security-Auditing",
          "vendor_name": "Unknown"
        },
        "log_name": "Security",
        "log_provider": "Microsoft-Windows-Security-Auditing",
        "sequence": 901,
        "log_level": "information",
        "logged_time": 1795230000250,
        "version": "1.6.0",
        "uid": "syslog/7/3",
        "profiles": [
          "host"
        ]
      },
      "device": {
        "hostname": "fs01.corp.example",
        "type_id": 0
      },
      "src_endpoint": {
        "ip": "192.0.2.61",
        "port": 50122,
        "hostname": "PC07"
      },
      "user": {
        "name": "tanaka",
        "domain": "CORP",
        "uid": "S-1-5-21-1-2-3-1104"
      },
      "dst_endpoint": {
        "hostname": "fs01.corp.example"
      },
      "class_uid": 3002,
      "class_name": "Authentication",
      "category_uid": 3,
      "category_name": "Identity & Access Management",
      "activity_id": 1,
      "activity_name": "Logon",
      "type_uid": 300201,
      "severity_id": 1,
      "severity": "Informational",
      "status_id": 1,
      "status": "Success",
      "time": 1795222923456,
      "message": "tanaka logged on to fs01.corp.example over the network from 192.0.2.61 (success)",
      "raw_data": "...",
      "unmapped": {
        "@timestamp": "2026-11-21T01:02:03.456789Z",
        "event.action": "logged-in",
        "event.category": "authentication",
        "event.dataset": "windows.security",
        "winlog.event_data.AuthenticationPackageName": "NTLM",
        "winlog.event_data.IpAddress": "192.0.2.61",
        "winlog.event_data.IpPort": "50122",
        "winlog.event_data.LogonType": "3",
        "winlog.event_data.SubjectUserName": "-",
        "winlog.event_data.SubjectUserSid": "S-1-0-0",
        "winlog.event_data.TargetDomainName": "CORP",
        "winlog.event_data.TargetLogonId": "0x54321",
        "winlog.event_data.TargetUserName": "tanaka",
        "winlog.event_data.TargetUserSid": "S-1-5-21-1-2-3-1104",
        "winlog.event_data.WorkstationName": "PC07",
        "winlog.level": "0",
        "yagura.identity": "none",
        "yagura.peer": "192.0.2.1:514",
        "yagura.stream": "syslog",
        "yagura.transport": "syslog-tcp"
      }
    }
    "#);
}

#[test]
fn a_process_attribute_by_attribute() {
    let mut event = exported(LAUNCH);
    event["raw_data"] = json!("...");
    event["unmapped"] = json!("...");
    insta::assert_snapshot!(serde_json::to_string_pretty(&event).unwrap(), @r#"
    {
      "metadata": {
        "event_code": "1",
        "product": {
          "name": "Microsoft-Windows-Sysmon",
          "vendor_name": "Unknown"
        },
        "log_name": "Microsoft-Windows-Sysmon/Operational",
        "log_provider": "Microsoft-Windows-Sysmon",
        "sequence": 77,
        "log_level": "information",
        "logged_time": 1795230000250,
        "version": "1.6.0",
        "uid": "syslog/7/3"
      },
      "device": {
        "hostname": "PC07",
        "type_id": 0
      },
      "actor": {
        "user": {
          "name": "tanaka",
          "domain": "CORP"
        }
      },
      "process": {
        "file": {
          "path": "C:\\Windows\\System32\\whoami.exe",
          "hashes": [
            {
              "algorithm_id": 1,
              "algorithm": "MD5",
              "value": "0123456789abcdef0123456789abcdef"
            },
            {
              "algorithm_id": 3,
              "algorithm": "SHA-256",
              "value": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
            }
          ],
          "name": "whoami.exe",
          "type_id": 0
        },
        "name": "whoami.exe",
        "cmd_line": "whoami /all",
        "pid": 4242,
        "parent_process": {
          "file": {
            "path": "C:\\Windows\\System32\\cmd.exe",
            "name": "cmd.exe",
            "type_id": 0
          },
          "pid": 4000
        }
      },
      "class_uid": 1007,
      "class_name": "Process Activity",
      "category_uid": 1,
      "category_name": "System Activity",
      "activity_id": 1,
      "activity_name": "Launch",
      "type_uid": 100701,
      "severity_id": 1,
      "severity": "Informational",
      "time": 1795222923456,
      "message": "tanaka on PC07 started whoami.exe from cmd.exe: whoami /all",
      "raw_data": "...",
      "unmapped": "..."
    }
    "#);
}

#[test]
fn nothing_of_an_event_is_lost() {
    for line in [LOGON, LAUNCH, CONNECTION, QUESTION, FILE, WEB, SSH, SUDO, NOTHING] {
        let event = exported(line);
        let text = event.to_string();
        for (name, value) in row_of(line)["fields"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            let changed =
                ["@timestamp", "event.ingested", "event.outcome", "process.hash", "event.duration"];
            let is_there =
                text.contains(&json!(value).to_string()) || text.contains(&format!(":{value}"));
            assert!(
                is_there || changed.contains(&name.as_str()),
                "{name} = {value} of {line}: {text}"
            );
        }
    }
}

#[test]
fn an_event_that_lacks_what_its_class_requires_is_a_base_event() {
    let mut row = row_of(LAUNCH);
    row["fields"].as_object_mut().unwrap().remove("process.pid");
    let event = Value::Object(ocsf().event(&row).unwrap());
    assert_eq!(event["class_uid"], 0);
    assert_eq!(event["unmapped"]["class_uid"], "1007");
    assert_eq!(event["unmapped"]["process.command_line"], "whoami /all");
    assert_eq!(faults(&event), Vec::<String>::new());
}

proptest! {
    /// Whatever the fields hold, the event is valid, and only we say what it is.
    #[test]
    fn any_fields_become_a_valid_event(
        class in prop::sample::select(vec![
            "0", "1001", "1005", "1007", "1008", "2004", "201001", "201002", "201004", "3001", "3002",
            "3003", "3006", "4001", "4002", "4003", "4004", "4006", "4007", "6003", "9999999", "-1", "x",
        ]),
        chosen in prop::collection::vec((0_usize..2_000, "[ -~]{0,12}|[0-9]{1,20}|192\\.0\\.2\\.1"), 0..40),
    ) {
        let dictionary = Normalizer::embedded_dictionary();
        let names: Vec<&str> = dictionary.fields().map(|field| field.name.as_str()).collect();
        let mut row = row_of(NOTHING);
        let fields = row["fields"].as_object_mut().unwrap();
        for (at, value) in chosen {
            fields.insert(names[at % names.len()].to_owned(), value.into());
        }
        fields.insert("class_uid".to_owned(), class.into());
        let event = Value::Object(ocsf().event(&row).unwrap());
        prop_assert_eq!(faults(&event), Vec::<String>::new(), "{}", event);
        prop_assert_eq!(&event["metadata"]["uid"], "syslog/7/3");
    }
}
