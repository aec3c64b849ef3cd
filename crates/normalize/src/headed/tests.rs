use super::*;
use crate::{content, mapping::Mappings};
use proptest::prelude::*;
use yagura_event::FieldDictionary;

const IIS: &str = "#Software: Microsoft Internet Information Services 10.0
#Version: 1.0
#Date: 2026-11-21 10:00:00
#Fields: date time s-ip cs-method cs-uri-stem c-ip cs(User-Agent) sc-status
2026-11-21 10:13:36 192.0.2.15 GET /erp/conn.aspx 203.0.113.17 Mozilla/5.0+(X11) 200
#Software: Microsoft Internet Information Services 10.0
#Fields: date time c-ip s-ip
2026-11-22 00:00:01 203.0.113.17 192.0.2.15";

const FIREWALL: &str = "#Version: 1.5
#Software: Microsoft Windows Firewall
#Time Format: Local
#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path

2026-11-21 19:00:00 DROP TCP 203.0.113.9 192.0.2.1 50022 445 52 S 1 0 8192 - - - RECEIVE";

const EXCHANGE: &str = "#Software: Microsoft Exchange Server
#Version: 15.02.1118.040
#Log-type: Message Tracking Log
#Date: 2026-11-21T00:00:00.000Z
#Fields: date-time,client-ip,event-id,internal-message-id,recipient-address,message-subject,sender-address
2026-11-21T10:00:00.123Z,192.0.2.5,RECEIVE,4711,suzuki@example.jp;sato@example.jp,\"見積, 改訂\",tanaka@example.com";

const ZEEK: &str = "#separator \\x09
#set_separator\t,
#empty_field\t(empty)
#unset_field\t-
#path\tdns
#open\t2026-11-21-10-00-00
#fields\tts\tuid\tid.orig_h\tquery\tanswers
#types\ttime\tstring\taddr\tstring\tvector[string]
1795255200.250000\tCx1\t192.0.2.7\ta\\x09b.example\t(empty)
1795255201.000000\tCx2\t192.0.2.7\twww.example.com\t203.0.113.1,203.0.113.2
#close\t2026-11-21-11-00-00";

const CSV: &str = "Time,User,Source IP,Note
2026/11/21 19:00,tanaka,203.0.113.9,\"a, \"\"b\"\"\"
2026/11/21 19:01,suzuki,,
Event Time;Computer;Result
2026/11/21 19:02;FS01;ok";

struct Read {
    dataset: String,
    shown: String,
    layout: Option<Arc<str>>,
}

fn mappings() -> Mappings {
    let dictionary = FieldDictionary::from_files(content::FIELDS.iter().copied()).unwrap();
    Mappings::layered(content::MAPPINGS, &[], &dictionary).unwrap()
}

fn read(layouts: &mut Layouts, mappings: &Mappings, line: &str) -> Option<Read> {
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let received = "2026-12-01T00:00:00Z".parse().unwrap();
    let reading = Reading { mappings, zone: &zone, received, is_file: true };
    let mut flat = Flat::default();
    let headed = layouts.read(line, &reading, &mut flat);
    let fields = (0..flat.len()).filter_map(|number| flat.entry(number));
    let fields: Vec<_> = fields
        .filter(|field| field.name != names::MESSAGE)
        .map(|field| format!("{}={}", flat.names.text(field.name), flat.get(field.value)))
        .collect();
    let headed = headed.or_else(|| {
        assert!(fields.is_empty(), "{fields:?} of {line}");
        None
    })?;
    let time = headed.time.map(|time| time.to_string()).unwrap_or_default();
    let dataset = mappings.datasets.get(headed.dataset).unwrap().name.to_string();
    let shown = format!("{dataset} {time} {}", fields.join(" "));
    Some(Read { dataset, shown, layout: headed.layout })
}

/// The rows of a file; each must read the same by itself with the header it notes.
fn rows(file: &str) -> String {
    let mappings = mappings();
    let mut layouts = Layouts::default();
    let mut rows = String::new();
    for line in file.lines().filter(|line| !line.is_empty()) {
        let Some(row) = read(&mut layouts, &mappings, line) else {
            rows.push_str(&format!("not read: {line}\n"));
            continue;
        };
        let Some(layout) = &row.layout else {
            assert_eq!(row.dataset, "log.header", "{line}");
            continue;
        };
        let zone = TimeZone::UTC;
        let received = UtcMicros::default();
        let mut alone = Layouts::default();
        alone
            .resume(layout, &Reading { mappings: &mappings, zone: &zone, received, is_file: true });
        assert_eq!(read(&mut alone, &mappings, line).unwrap().shown, row.shown);
        rows.push_str(&row.shown);
        rows.push('\n');
    }
    rows
}

#[test]
fn w3c_extended_logs() {
    insta::assert_snapshot!(rows(IIS), @"
    web.iis 2026-11-21T10:13:36.000000Z date=2026-11-21 time=10:13:36 s-ip=192.0.2.15 cs-method=GET cs-uri-stem=/erp/conn.aspx c-ip=203.0.113.17 cs(User-Agent)=Mozilla/5.0+(X11) sc-status=200
    web.iis 2026-11-22T00:00:01.000000Z date=2026-11-22 time=00:00:01 c-ip=203.0.113.17 s-ip=192.0.2.15
    ");
    insta::assert_snapshot!(rows(FIREWALL), @"windows.firewall_log 2026-11-21T10:00:00.000000Z date=2026-11-21 time=19:00:00 action=DROP protocol=TCP src-ip=203.0.113.9 dst-ip=192.0.2.1 src-port=50022 dst-port=445 size=52 tcpflags=S tcpsyn=1 tcpack=0 tcpwin=8192 path=RECEIVE");
    insta::assert_snapshot!(rows(EXCHANGE), @"windows.exchange_tracking 2026-11-21T10:00:00.123000Z date-time=2026-11-21T10:00:00.123Z client-ip=192.0.2.5 event-id=RECEIVE internal-message-id=4711 recipient-address=suzuki@example.jp;sato@example.jp message-subject=見積, 改訂 sender-address=tanaka@example.com");
}

#[test]
fn zeek_with_its_own_rules_for_values() {
    insta::assert_snapshot!(rows(ZEEK), @"
    network.zeek_dns 2026-11-21T10:00:00.250000Z ts=1795255200.250000 uid=Cx1 id.orig_h=192.0.2.7 query=a\tb.example
    network.zeek_dns 2026-11-21T10:00:01.000000Z ts=1795255201.000000 uid=Cx2 id.orig_h=192.0.2.7 query=www.example.com answers=203.0.113.1,203.0.113.2
    ");
}

#[test]
fn csv_with_a_header_that_changes_midway() {
    insta::assert_snapshot!(rows(CSV), @r#"
    csv.generic 2026-11-21T10:00:00.000000Z Time=2026/11/21 19:00 User=tanaka Source IP=203.0.113.9 Note=a, "b"
    csv.generic 2026-11-21T10:01:00.000000Z Time=2026/11/21 19:01 User=suzuki
    csv.generic 2026-11-21T10:02:00.000000Z Event Time=2026/11/21 19:02 Computer=FS01 Result=ok
    "#);
}

#[test]
fn a_line_is_a_csv_header_only_where_all_rules_hold() {
    let mappings = mappings();
    let is_header = |line: &str| {
        read(&mut Layouts::default(), &mappings, line)
            .is_some_and(|read| read.dataset == "log.header")
    };
    for header in [
        "time,user",
        "日時\tユーザー名\t操作",
        "a,b,c,d",
        "EventId;Event Time (UTC);x",
        "\"time\",\"b c\"",
    ] {
        assert!(is_header(header), "{header}");
    }
    for line in [
        "a,b,c",
        "time",
        "starting, loading the configuration, done with it",
        "2026-11-21,1,2,3",
        "time,time",
        "time,",
        "time,user=x",
        "Nov 21 10:00:00 host sshd[1]: a, b",
        "alpha beta,gamma,delta,epsilon",
    ] {
        assert!(!is_header(line), "{line}");
    }
    let named = |chars: usize| format!("time,{}", "x".repeat(chars));
    assert!(is_header(&named(COLUMN_NAME_CHARS_MAX)));
    assert!(!is_header(&named(COLUMN_NAME_CHARS_MAX + 1)));
}

#[test]
fn headers_are_bounded() {
    let mappings = mappings();
    let fits = |header: String, row: String| {
        let mut layouts = Layouts::default();
        read(&mut layouts, &mappings, &header);
        read(&mut layouts, &mappings, &row).is_some_and(|row| row.layout.is_some())
    };
    let columns = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("c{number}")).collect();
        fits(format!("#Fields: {}", names.join(" ")), vec!["1"; count].join(" "))
    };
    assert!(columns(LAYOUT_COLUMNS_MAX));
    assert!(!columns(LAYOUT_COLUMNS_MAX + 1));
    let bytes = |bytes: usize| {
        let start = "#Fields: a b ";
        fits(format!("{start}{}", "c".repeat(bytes - start.len())), "1 2 3".to_owned())
    };
    assert!(bytes(LAYOUT_BYTES_MAX));
    assert!(!bytes(LAYOUT_BYTES_MAX + 1));
}

#[test]
fn a_new_header_that_explains_nothing_ends_the_old_one() {
    let mappings = mappings();
    let mut layouts = Layouts::default();
    read(&mut layouts, &mappings, "#Fields: date time c-ip").unwrap();
    assert!(read(&mut layouts, &mappings, "2026-11-21 10:00:00 192.0.2.1").is_some());
    let wide = format!("#Fields: {}", "x ".repeat(LAYOUT_COLUMNS_MAX + 1));
    read(&mut layouts, &mappings, &wide).unwrap();
    assert!(read(&mut layouts, &mappings, "2026-11-21 10:00:00 192.0.2.1").is_none());
}

proptest! {
    #[test]
    fn never_panics(lines in proptest::collection::vec(
        r##"(#(Fields|Date|Software|fields|path|separator|unset_field)[: \t])?[a-c,;\t "0-9:\\x日-]{0,30}"##, 1..8)) {
        let mappings = Mappings::layered(&[], &[], &FieldDictionary::default()).unwrap();
        let mut layouts = Layouts::default();
        let zone = TimeZone::UTC;
        let received = UtcMicros::default();
        let reading = Reading { mappings: &mappings, zone: &zone, received, is_file: true };
        for line in &lines {
            if let Some(Headed { layout: Some(layout), .. }) = layouts.read(line, &reading, &mut Flat::default()) {
                Layouts::default().resume(&layout, &reading);
            }
        }
    }
}
