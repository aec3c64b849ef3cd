//! Which fields an event has, and that the way it came makes no difference.

use crate::common;
use common::{describe, fields, normalizer, run};
use proptest::prelude::*;
use std::sync::{Mutex, OnceLock};
use yagura_event::{Lang, columns, limits::COLUMNS_PER_DATASET_MAX};
use yagura_normalize::Normalizer;

const EVTX: &str = r##"{"Event":{"#attributes":{"xmlns":"x"},"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon","Guid":"5770385F-C22A-43E0-BF4C-06F5698FFBD9"}},"EventID":1,"Version":5,"Level":4,"Task":1,"Opcode":0,"Keywords":"0x8000000000000000","TimeCreated":{"#attributes":{"SystemTime":"2026-11-21T01:02:03.456789Z"}},"EventRecordID":77,"Correlation":null,"Execution":{"#attributes":{"ProcessID":1200,"ThreadID":1204}},"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07","Security":{"#attributes":{"UserID":"S-1-5-18"}}},"EventData":{"RuleName":"-","ProcessGuid":"00000000-0000-4000-8000-000000000001","ProcessId":4242,"Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","ParentImage":"C:\\Windows\\System32\\cmd.exe"}}}"##;
const SEPARATE: &str = r##"{"Event_attributes":{"xmlns":"x"},"Event":{"System":{"Provider_attributes":{"Name":"Microsoft-Windows-Sysmon","Guid":"5770385F-C22A-43E0-BF4C-06F5698FFBD9"},"EventID":1,"Version":5,"Level":4,"Task":1,"Opcode":0,"Keywords":"0x8000000000000000","TimeCreated_attributes":{"SystemTime":"2026-11-21T01:02:03.456789Z"},"EventRecordID":77,"Execution_attributes":{"ProcessID":1200,"ThreadID":1204},"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC07","Security_attributes":{"UserID":"S-1-5-18"}},"EventData":{"RuleName":"-","ProcessGuid":"00000000-0000-4000-8000-000000000001","ProcessId":4242,"Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","ParentImage":"C:\\Windows\\System32\\cmd.exe"}}}"##;
const BEATS: &str = r#"{"@timestamp":"2026-11-21T01:02:03.456789Z","event":{"code":"1","provider":"Microsoft-Windows-Sysmon"},"log":{"level":"information"},"winlog":{"channel":"Microsoft-Windows-Sysmon/Operational","computer_name":"PC07","event_id":1,"record_id":77,"opcode":"0","task":"1","version":5,"keywords":["0x8000000000000000"],"provider_name":"Microsoft-Windows-Sysmon","provider_guid":"{5770385f-c22a-43e0-bf4c-06f5698ffbd9}","process":{"pid":1200,"thread":{"id":1204}},"user":{"identifier":"S-1-5-18"},"event_data":{"RuleName":"-","ProcessGuid":"{00000000-0000-4000-8000-000000000001}","ProcessId":"4242","Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","ParentImage":"C:\\Windows\\System32\\cmd.exe"}}}"#;
const BEATS_6: &str = r#"{"@timestamp":"2026-11-21T01:02:03.456789Z","@metadata":{"beat":"winlogbeat","type":"doc","version":"6.8.23"},"type":"wineventlog","beat":{"name":"WEC01","hostname":"WEC01","version":"6.8.23"},"host":{"name":"WEC01"},"log_name":"Microsoft-Windows-Sysmon/Operational","event_id":1,"level":"Information","source_name":"Microsoft-Windows-Sysmon","provider_guid":"{5770385f-c22a-43e0-bf4c-06f5698ffbd9}","computer_name":"PC07","record_number":"77","process_id":1200,"thread_id":1204,"task":"1","opcode":"0","version":5,"keywords":["0x8000000000000000"],"user":{"identifier":"S-1-5-18"},"event_data":{"RuleName":"-","ProcessGuid":"{00000000-0000-4000-8000-000000000001}","ProcessId":"4242","Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","ParentImage":"C:\\Windows\\System32\\cmd.exe"}}"#;
const NXLOG: &str = r#"{"@timestamp":"2026-11-21T01:02:03.456789Z","EventTime":"2026-11-21 10:02:03","EventType":"INFO","Hostname":"PC07","Keywords":-9223372036854775808,"SourceName":"Microsoft-Windows-Sysmon","ProviderGuid":"{5770385f-c22a-43e0-bf4c-06f5698ffbd9}","EventID":1,"Version":5,"Task":1,"OpcodeValue":0,"RecordNumber":77,"ExecutionProcessID":1200,"ThreadID":1204,"Channel":"Microsoft-Windows-Sysmon/Operational","UserID":"S-1-5-18","RuleName":"-","ProcessGuid":"{00000000-0000-4000-8000-000000000001}","ProcessId":"4242","Image":"C:\\Windows\\System32\\whoami.exe","CommandLine":"whoami /all","User":"CORP\\tanaka","ParentImage":"C:\\Windows\\System32\\cmd.exe"}"#;

#[test]
fn five_ways_one_event() {
    let sorted = |line: &str| {
        let read = describe(line);
        let mut lines: Vec<_> = fields(&read)
            .lines()
            // What shippers say of themselves.
            .filter(|line| {
                !["nxlog.", "beat.", "@metadata."].iter().any(|own| line.starts_with(own))
            })
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines.join("\n")
    };
    insta::assert_snapshot!(sorted(EVTX), @r#"
    @timestamp = 2026-11-21T01:02:03.456789Z
    activity_id = 1
    class_uid = 1007
    event.action = process-started
    event.category = process
    event.code = 1
    event.provider = Microsoft-Windows-Sysmon
    host.name = PC07
    log.level = information
    process.command_line = whoami /all
    process.executable = C:\Windows\System32\whoami.exe
    process.name = whoami.exe
    process.parent.executable = C:\Windows\System32\cmd.exe
    process.pid = 4242
    user.domain = CORP
    user.name = tanaka
    winlog.channel = Microsoft-Windows-Sysmon/Operational
    winlog.computer_name = PC07
    winlog.event_data.CommandLine = whoami /all
    winlog.event_data.Image = C:\Windows\System32\whoami.exe
    winlog.event_data.ParentImage = C:\Windows\System32\cmd.exe
    winlog.event_data.ProcessGuid = {00000000-0000-4000-8000-000000000001}
    winlog.event_data.ProcessId = 4242
    winlog.event_data.RuleName = -
    winlog.event_data.User = CORP\tanaka
    winlog.keywords = 0x8000000000000000
    winlog.level = 4
    winlog.opcode = 0
    winlog.process_id = 1200
    winlog.provider_guid = {5770385f-c22a-43e0-bf4c-06f5698ffbd9}
    winlog.provider_name = Microsoft-Windows-Sysmon
    winlog.record_id = 77
    winlog.task = 1
    winlog.thread_id = 1204
    winlog.user_id = S-1-5-18
    winlog.version = 5
    "#);
    for other in [SEPARATE, BEATS, BEATS_6, NXLOG] {
        assert_eq!(sorted(other), sorted(EVTX));
    }
    let inside_syslog = format!("<14>Nov 21 01:02:04 PC07 nxlog: {NXLOG}");
    let read = describe(inside_syslog);
    assert_eq!(read.dataset, "windows.sysmon");
    assert!(fields(&read).contains("winlog.event_data.CommandLine = whoami /all\n"));
    assert_eq!(read.timestamp.to_string(), "2026-11-21T01:02:03.456789Z");
}

#[test]
fn a_vpn_line_field_by_field() {
    let line = "<189>date=2026-11-21 time=10:00:00 devname=\"FG100\" logid=\"0101039426\" type=\"event\" subtype=\"vpn\" level=\"alert\" tz=\"+0900\" action=\"ssl-login-fail\" remip=203.0.113.9 user=\"tanaka\" reason=\"sslvpn_login_unknown_user\"";
    insta::assert_snapshot!(fields(&describe(line)), @r#"
    @timestamp = 2026-11-21T01:00:00.000000Z
    log.syslog.facility.code = 23
    log.syslog.severity.code = 5
    log.level = alert
    vpn.date = 2026-11-21
    vpn.time = 10:00:00
    vpn.devname = FG100
    vpn.logid = 0101039426
    vpn.type = event
    vpn.subtype = vpn
    vpn.level = alert
    vpn.tz = +0900
    vpn.action = ssl-login-fail
    vpn.remip = 203.0.113.9
    vpn.user = tanaka
    vpn.reason = sslvpn_login_unknown_user
    message = date=2026-11-21 time=10:00:00 devname="FG100" logid="0101039426" type="event" subtype="vpn" level="alert" tz="+0900" action="ssl-login-fail" remip=203.0.113.9 user="tanaka" reason="sslvpn_login_unknown_user"
    event.action = vpn_login
    event.code = 0101039426
    event.reason = sslvpn_login_unknown_user
    host.name = FG100
    source.ip = 203.0.113.9
    user.name = tanaka
    event.outcome = failure
    activity_id = 1
    class_uid = 3002
    event.category = authentication
    status_id = 2
    "#);
}

#[test]
fn japanese_encodings_are_noted() {
    let line = "<38>Nov 21 11:59:59 web01 app: 田中がログインしました";
    let (cp932, _, _) = encoding_rs::SHIFT_JIS.encode(line);
    let read = describe(cp932.into_owned());
    assert!(fields(&read).contains("message = 田中がログインしました\n"));
    assert!(fields(&read).contains("yagura.encoding = cp932\n"));
    let with_mark = format!("\u{feff}{EVTX}");
    assert_eq!(describe(with_mark).dataset, "windows.sysmon");
}

#[test]
fn clocks_are_believed_and_marked() {
    for (stamp, suspect) in [
        ("1970-01-01T00:00:05Z", true),
        ("2099-01-01T00:00:00Z", true),
        ("2020-01-01T00:00:00Z", false),
    ] {
        let read = describe(format!(r#"{{"@timestamp":"{stamp}","a":1}}"#));
        assert_eq!(read.timestamp, stamp.parse().unwrap());
        assert_eq!(fields(&read).contains("yagura.clock_suspect = true"), suspect, "{stamp}");
    }
    let impossible = describe(r#"{"@timestamp":"2026-02-31T00:00:00Z","a":1}"#);
    assert_eq!(impossible.timestamp, "2026-11-21T12:00:00Z".parse().unwrap());
}

#[test]
fn local_times_take_the_default_zone() {
    let mut normalizer = normalizer();
    normalizer.set_default_zone(jiff::tz::TimeZone::get("Asia/Tokyo").unwrap());
    let read = normalizer.describe(&run(["<13>Nov 21 10:00:00 web01 app: x"])).unwrap();
    assert_eq!(read.timestamp.to_string(), "2026-11-21T01:00:00.000000Z");
}

#[test]
fn a_record_cannot_forge_its_envelope() {
    let read = describe(
        r#"{"yagura":{"batch":99,"identity":"token:admin"},"event":{"original":"x","ingested":"2001-01-01T00:00:00Z"}}"#,
    );
    let value = |name: &str| read.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(value(columns::BATCH), Some("1"));
    assert_eq!(value(columns::IDENTITY), Some("none"));
    assert_eq!(value(columns::INGESTED), Some("2026-11-21T12:00:00.000000Z"));
    assert_eq!(value("claimed.yagura.identity"), Some("token:admin"));
}

#[test]
fn envelopes_around_envelopes_end() {
    let mut line = "<13>Nov 21 10:00:00 web01 app: x".to_owned();
    for _ in 0..8 {
        line = format!("<13>Nov 21 10:00:00 web01 app: {}", serde_json::json!({"message": line}));
    }
    assert!(!describe(line).sentence_en.is_empty());
}

#[test]
fn sentences_of_columns_beyond_the_limit_stay_whole() {
    let wide: serde_json::Map<String, serde_json::Value> =
        (0..3_000).map(|n| (format!("f{n}"), n.into())).collect();
    let line = serde_json::Value::Object(wide).to_string();
    let mut normalizer = normalizer();
    // Different names in every record, so that the memory of names fills up as well.
    normalizer.normalize(&run((0..4).map(|n| line.replace("\"f", &format!("\"g{n}_")))));
    let batches = normalizer.take_batches();
    assert_eq!(batches[0].rows(), 4);
    // And one for the version of the parser.
    assert!(batches[0].columns.num_columns() <= COLUMNS_PER_DATASET_MAX + 1);
    assert!(batches[0].columns.column_by_name(columns::OVERFLOW).is_some());
    assert!(!normalizer.sentence(&batches[0], 3, Lang::Ja).is_empty());
}

/// A column is in the dictionary, or is called what the record itself calls it.
#[test]
fn every_column_is_in_the_dictionary_or_in_the_record() {
    let dictionary = Normalizer::embedded_dictionary();
    let devices = include_str!("devices/lines.txt").lines();
    let devices = devices.filter_map(|line| line.strip_prefix("> ")).map(str::to_owned);
    let normalizer = normalizer();
    let samples = normalizer.datasets().iter().filter_map(|about| about.sample.as_deref());
    let mut strange = std::collections::BTreeSet::new();
    for sample in samples.map(str::to_owned).chain(devices) {
        for (name, _) in common::describe_sample(&sample).fields {
            let own = name.rsplit('.').next().unwrap();
            // Data of Windows events, and columns of AWS flow logs that come without their header.
            let native = name.starts_with("winlog.event_data.") || ["start", "end"].contains(&own);
            if dictionary.field(&name).is_none() && !native && !sample.contains(own) {
                strange.insert(name);
            }
        }
    }
    assert!(strange.is_empty(), "not in content/fields: {strange:?}");
}

/// The twelve fields that OMB memorandum M-21-31 asks for (appendix A), each by the names that hold it.
#[test]
fn each_item_of_m_21_31_has_its_fields() {
    let dictionary = Normalizer::embedded_dictionary();
    for (item, fields) in [
        ("timestamp", &["@timestamp"][..]),
        ("event type", &["event.code", "event.action"]),
        ("device identifier", &["host.name", "host.mac", "source.mac"]),
        ("session", &["session.id"]),
        ("autonomous system", &["source.as.number", "destination.as.number"]),
        ("addresses", &["source.ip", "destination.ip"]),
        ("status code", &["http.response.status_code", "event.outcome"]),
        ("response time", &["event.duration"]),
        ("further headers", &["http.request.referrer", "user_agent.original"]),
        ("user", &["user.id", "user.name"]),
        ("command", &["process.command_line"]),
        ("event identifier", &["event.id"]),
    ] {
        for name in fields {
            let asked = dictionary.field(name).is_some_and(|field| field.m2131);
            assert!(asked, "{item}: {name} is not marked as asked for by M-21-31");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_become_one_row_each(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
        cut in 0..EVTX.len(),
    ) {
        static SHARED: OnceLock<Mutex<Normalizer>> = OnceLock::new();
        let mut normalizer = SHARED.get_or_init(|| normalizer().into()).lock().unwrap();
        let mut records = records;
        records.push(EVTX.as_bytes()[..cut].to_vec());
        let count = records.len();
        normalizer.normalize(&run(records));
        let batches = normalizer.take_batches();
        prop_assert_eq!(batches.iter().map(|batch| batch.rows()).sum::<usize>(), count);
        for batch in &batches {
            prop_assert!(batch.columns.num_columns() <= COLUMNS_PER_DATASET_MAX);
            for row in 0..batch.rows() {
                prop_assert!(!normalizer.sentence(batch, row, Lang::Ja).is_empty());
                prop_assert!(!normalizer.sentence(batch, row, Lang::En).is_empty());
            }
        }
    }
}
