//! Every decoder, to be asked by itself: no part of the interface, but what a fuzz target needs. Random
//! bytes seldom look enough like a format to get past whoever asks for it.

use crate::byte_set::ByteSet;
use crate::charset::{self, TextEncoding};
use crate::context::StreamContext;
use crate::expression::Expression;
use crate::flat::Flat;
use crate::formats::{self, FORMATS, Line, Read, journal, windows_snare, windows_xml};
use crate::grok::{Grok, Named};
use crate::headed::{self, Reading};
use crate::log_format::LogFormat;
use crate::mapping::Mappings;
use crate::names::Names;
use crate::pattern::{Pattern, Receipt};
use crate::scripts::Scripts;
use crate::{NormalizeError, Normalizer, content, json, pairs, syslog, time, web};
use jiff::tz::TimeZone;
use yagura_event::{Origin, StreamName, Transport, UtcMicros};

/// Asks one decoder for one text.
type Enter = fn(&mut Bench<'_>, &str) -> bool;

/// What a decoder is asked with.
struct Bench<'a> {
    mappings: &'a Mappings,
    origin: Origin<'a>,
    receipt: Receipt<'a>,
    context: &'a mut StreamContext,
    scripts: &'a mut Scripts,
    flat: &'a mut Flat,
    /// Every byte that may be in a text.
    all: &'a ByteSet,
}

/// What is not asked through [`FORMATS`].
const OTHERS: &[(&str, Enter)] = &[
    ("charset", |_, _| true),
    ("json", |bench, text| {
        // Documents of a form seen before are read quickly, and to the same fields.
        let mut read = [Vec::new(), Vec::new(), Vec::new()];
        for (turn, fields) in read.iter_mut().enumerate() {
            bench.flat.clear();
            match turn {
                0 => json::flatten_plainly(text, bench.flat),
                _ => json::flatten(text, bench.flat),
            }
            fields.extend(entries(bench.flat));
        }
        assert_eq!(read[0], read[1]);
        assert_eq!(read[0], read[2]);
        true
    }),
    ("windows_xml", |bench, text| {
        let is_event = windows_xml::is_event(text);
        windows_xml::read(text, bench.flat);
        is_event
    }),
    ("windows_snare", |bench, text| windows_snare::read(text, bench.flat).is_some()),
    ("journal", |bench, text| {
        journal::read(text, bench.flat).push(bench.flat);
        text.starts_with(journal::START)
    }),
    ("syslog", |bench, text| {
        let header = syslog::parse(text, bench.receipt.received, bench.receipt.zone);
        header.inspect(|header| header.push(bench.flat)).is_some()
    }),
    ("web_access", |bench, text| web::access(text, bench.flat).is_some()),
    ("web_error", |bench, text| web::error(text, bench.receipt.zone, bench.flat).is_some()),
    ("pairs", |bench, text| pairs::generic(text, bench.flat).is_some()),
    ("vpn_pairs", |bench, text| {
        pairs::push("vpn.", text, bench.flat);
        pairs::is_vpn(text)
    }),
    ("headed", headed),
    ("scripts", |bench, text| {
        let mut documents = text.lines();
        documents.any(|document| {
            bench.flat.clear();
            json::flatten(document, bench.flat);
            let before = bench.flat.len();
            bench.scripts.join(&bench.origin, bench.flat);
            bench.flat.len() > before
        })
    }),
    ("lists", |bench, text| {
        json::flatten(text, bench.flat);
        let before = bench.flat.len();
        for dataset in &bench.mappings.datasets {
            dataset.lists.apply(bench.flat, 0);
        }
        bench.flat.len() > before
    }),
    ("patterns", |bench, text| {
        // What a glance at the bytes passes over would not have matched.
        let found = [&ByteSet::of(text), bench.all].map(|bytes| patterns(bench, text, bytes));
        assert_eq!(found[0], found[1]);
        found[0]
    }),
    ("pattern", |bench, text| {
        let Some((pattern, line)) = text.split_once('\n') else { return false };
        let Ok(pattern) = Pattern::parse(pattern) else { return false };
        let push = |name: &str, value: &str| bench.flat.push(name, value);
        pattern.matches(line, bench.receipt, push).is_some()
    }),
    ("grok", |bench, text| {
        let Some((pattern, line)) = text.split_once('\n') else { return false };
        let Ok(grok) = Grok::parse(pattern, &Named::new()) else { return false };
        grok.matches(line, &mut |name, value| bench.flat.push(name, value))
    }),
    ("expression", |_, text| {
        let mut lines = text.lines();
        let Some(expression) = lines.next() else { return false };
        let Ok(expression) = Expression::parse(expression) else { return false };
        let values: Vec<&str> = lines.collect();
        expression.value(|gap| values.get(gap).copied()).is_some()
    }),
    ("log_format_apache", |bench, text| format(bench, text, LogFormat::apache)),
    ("log_format_nginx", |bench, text| format(bench, text, LogFormat::nginx)),
    ("instants", |bench, text| {
        let Receipt { received, zone } = bench.receipt;
        let read = [
            time::iso(text, zone).map(|(at, _)| at),
            time::epoch(text),
            time::bsd(text, received, zone).map(|(at, _)| at),
            time::clf(text),
            time::ctime(text, zone),
            headed::instant(text, zone, received),
        ];
        read.iter().any(Option::is_some)
    }),
];

fn entries(flat: &Flat) -> impl Iterator<Item = (String, String)> {
    let entries = (0..flat.len()).filter_map(|index| flat.entry(index));
    entries.map(|entry| (flat.names.text(entry.name).into(), flat.get(entry.value).into()))
}

fn patterns(bench: &mut Bench<'_>, text: &str, bytes: &ByteSet) -> bool {
    let mut push = |name: &str, value: &str| bench.flat.push(name, value);
    let line = bench.mappings.match_line(text, bytes, bench.receipt, &mut push).is_some();
    // `program: message`
    let Some((program, message)) = text.split_once(": ") else { return line };
    let found = bench.mappings.match_message(program, message, bytes, bench.receipt, &mut push);
    line || found.is_some()
}

fn headed(bench: &mut Bench<'_>, text: &str) -> bool {
    let Receipt { received, zone } = bench.receipt;
    let reading = Reading { mappings: bench.mappings, zone, received, is_file: true };
    let mut note = None;
    let mut rows = 0;
    for line in text.lines() {
        bench.flat.clear();
        let Some(read) = bench.context.layouts.read(line, &reading, bench.flat) else { continue };
        rows += usize::from(read.layout.is_some());
        note = read.layout.or(note);
    }
    // A note of a layout is taken up as it was made.
    if let Some(note) = note {
        bench.context.layouts.resume(&note, &reading);
    }
    rows > 0
}

fn format(
    bench: &mut Bench<'_>,
    text: &str,
    compile: fn(&str) -> Result<LogFormat, String>,
) -> bool {
    let Some((format, line)) = text.split_once('\n') else { return false };
    let Ok(format) = compile(format) else { return false };
    format.read(line, bench.flat).is_some()
}

/// Asks a format for the whole text, and for the message behind a syslog header.
fn ask(bench: &mut Bench<'_>, text: &str, needs: &[u8], read: Read) -> bool {
    let Bench { mappings, origin, receipt, .. } = bench;
    let bytes = &ByteSet::of(text);
    let line = Line { text, bytes, header: None, origin, receipt: *receipt, mappings };
    if formats::ask(read, &line, bench.context, bench.flat).is_some() {
        assert!(bytes.has_all(needs), "a format reads lines that have what all of its lines have");
        return true;
    }
    assert_eq!(bench.flat.len(), 0, "a format pushes nothing for a line that it leaves");
    let Some(header) = syslog::parse(text, receipt.received, receipt.zone) else { return false };
    let text = header.message.trim_start();
    let bytes = &ByteSet::of(text);
    let line = Line { text, bytes, header: Some(&header), origin, receipt: *receipt, mappings };
    let read = formats::ask(read, &line, bench.context, bench.flat).is_some();
    let known = !read || bytes.has_all(needs);
    assert!(known, "a format reads lines that have what all of its lines have");
    assert!(read || bench.flat.len() == 0, "a format pushes nothing for a line that it leaves");
    read
}

/// The encodings that text is read in, where one is fixed.
const ENCODINGS: [&str; 7] =
    ["utf-8", "utf-16le", "utf-16be", "cp932", "euc-jp", "iso-2022-jp", "windows-1252"];

/// Every decoder by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(name, ..)| *name).chain(OTHERS.iter().map(|(name, _)| *name))
}

/// Asks decoders, each as if nothing had been read before.
pub struct Decoders {
    mappings: Mappings,
    flat: Flat,
    stream: StreamName,
    received: UtcMicros,
    all: ByteSet,
}

impl Decoders {
    /// With the embedded content.
    ///
    /// # Errors
    /// When that is wrong.
    pub fn new() -> Result<Self, NormalizeError> {
        let dictionary = Normalizer::embedded_dictionary();
        let mappings = Mappings::layered(content::MAPPINGS, &[], &dictionary)?;
        let flat = Flat::new(Names::new(mappings.signatures.bits()));
        // Proof: a test makes one.
        let stream = StreamName::new("entries").unwrap_or_else(|_| unreachable!());
        // 2026-11-21T09:00:00Z
        let received = UtcMicros::from_micros(1_795_251_600_000_000);
        let all = ByteSet::of(&('\0'..='\u{10FFFF}').collect::<String>());
        Ok(Decoders { mappings, flat, stream, received, all })
    }

    /// Asks the decoder at position `number` of [`names`]: whether it took the bytes for its own.
    pub fn read(&mut self, number: usize, bytes: &[u8]) -> bool {
        let charset = FORMATS.len();
        if number == charset {
            let (choice, bytes) = bytes.split_first().unwrap_or((&0, bytes));
            let fixed = ENCODINGS.get(usize::from(*choice)).and_then(|name| name.parse().ok());
            let (text, note) = charset::decode(bytes, fixed);
            return note.is_some_and(|note| !note.text().is_empty()) || text.len() >= bytes.len();
        }
        let (text, _) = charset::decode(bytes, Some(TextEncoding::UTF_8));
        self.flat.clear();
        let mut bench = Bench {
            mappings: &self.mappings,
            origin: Origin {
                stream: &self.stream,
                batch: 1,
                index: 0,
                batch_salt: &[0; 32],
                received: self.received,
                transport: Transport::File,
                peer: "entries",
                identity: "none",
            },
            receipt: Receipt { received: self.received, zone: &TimeZone::UTC },
            context: &mut StreamContext::default(),
            scripts: &mut Scripts::default(),
            flat: &mut self.flat,
            all: &self.all,
        };
        let other = number.checked_sub(FORMATS.len()).and_then(|number| OTHERS.get(number));
        let read = match (FORMATS.get(number), other) {
            (Some((_, needs, read)), _) => ask(&mut bench, &text, needs, *read),
            (None, Some((_, enter))) => enter(&mut bench, &text),
            (None, None) => false,
        };
        // Whatever was pushed can be had again.
        entries(&self.flat).for_each(drop);
        read
    }
}

/// For each decoder a text that it takes for its own.
pub const SAMPLES: &[(&str, &str)] = &[
    (
        "windows_dhcp",
        "10,11/21/26,10:00:01,Assign,192.0.2.61,pc61.example.com,00005E005301,,1234,0,,,,,,,,,0",
    ),
    (
        "windows_dns_debug",
        "11/21/2026 10:00:01 AM 0E70 PACKET  00000000033397A0 UDP Rcv 192.0.2.61  5b47   Q [0001   D   NOERROR] A      (3)www(7)example(3)com(0)",
    ),
    (
        "windows_netlogon",
        r"11/21 10:00:07 [LOGON] [3352] CORP: SamLogon: Transitive Network logon of CORP\tanaka from PC61 (via FS01) Returns 0xC000006A",
    ),
    (
        "auditd",
        r#"type=USER_LOGIN msg=audit(1795251600.123:456): pid=4711 uid=0 auid=1000 ses=3 msg='op=login acct="tanaka" exe="/usr/sbin/sshd" hostname=? addr=203.0.113.9 terminal=ssh res=success'"#,
    ),
    (
        "cef",
        "CEF:0|Example|Gateway|1.0|100|Blocked request|7|src=203.0.113.9 spt=40000 dst=192.0.2.10 act=blocked msg=a \\= b cs1Label=Policy cs1=WAN IN",
    ),
    (
        "gateway",
        r#"date=2026-11-21 time=10:00:01 devname="fw01" devid="FGT1" logid="0000000013" type="traffic" subtype="forward" level="notice" srcip=192.0.2.10 srcport=51515 dstip=203.0.113.5 dstport=443 proto=6 action="deny" policyid=7"#,
    ),
    (
        "paloalto",
        "1,2026/11/21 10:02:03,001801000001,TRAFFIC,drop,2561,2026/11/21 10:02:03,203.0.113.9,192.0.2.10,0.0.0.0,0.0.0.0,WAN-IN,,,not-applicable,vsys1,untrust,trust,ethernet1/1,,default,2026/11/21 10:02:03,0,1,40000,22,0,0,0x0,tcp,deny,66,66,0,1,2026/11/21 10:02:03,0,any",
    ),
    (
        "netfilter",
        "[12345.678901] [UFW BLOCK] IN=eth0 OUT= MAC=00:00:5e:00:53:01 SRC=203.0.113.9 DST=192.0.2.10 LEN=60 TTL=54 PROTO=TCP SPT=40000 DPT=22 SYN",
    ),
    (
        "filterlog",
        "<134>Nov 21 10:02:03 pf01 filterlog[1234]: 5,,,1000000103,igb0,match,block,in,4,0x0,,64,0,0,DF,6,tcp,60,203.0.113.9,192.0.2.10,40000,22,0,S,1,,64240,,mss",
    ),
    (
        "juniper",
        r#"<14>1 2026-11-21T10:02:03.123+09:00 srx01 RT_FLOW - RT_FLOW_SESSION_DENY [junos@2636.1.1.1.2.129 source-address="203.0.113.9" source-port="40000" destination-address="192.0.2.10" destination-port="22" protocol-id="6"] session denied"#,
    ),
    (
        "checkpoint",
        r#"<134>1 2026-11-21T01:02:03Z cp01 CheckPoint 1234 - [action:"Drop"; time:"1795223600"; src:"203.0.113.9"; dst:"192.0.2.10"; proto:"6"; service:"22"; product:"VPN-1 & FireWall-1"]"#,
    ),
    ("yamaha", "PP[01] Rejected at IN(2000) filter: TCP 203.0.113.9:40000 > 192.0.2.10:22"),
    (
        "snort",
        "[**] [1:2001219:20] ET SCAN Potential SSH Scan [**] [Classification: Attempted Information Leak] [Priority: 2] {TCP} 203.0.113.9:40000 -> 192.0.2.10:22",
    ),
    (
        "mnemonic",
        "<164>Nov 21 10:02:03 fw01 %ASA-4-106023: Deny tcp src outside:203.0.113.9/40000 dst inside:192.0.2.10/22 by access-group \"WAN-IN\"",
    ),
    (
        "vpcflow",
        "2 111122223333 eni-0a1 192.0.2.7 198.51.100.9 50000 22 6 20 4249 1795223600 1795223660 ACCEPT OK",
    ),
    (
        "nginx_error",
        "2026/11/21 10:00:00 [error] 4711#4711: *99 open() \"/srv/www/.env\" failed (2: No such file or directory), client: 203.0.113.9, server: example.com",
    ),
    ("charset", "\u{3}plain text"),
    ("json", r#"{"a":{"b":[1,"c",null,{"d":true}]}}"#),
    (
        "windows_xml",
        r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider Name="Microsoft-Windows-Security-Auditing"/><EventID>4625</EventID><TimeCreated SystemTime="2026-11-21T00:00:00Z"/><Channel>Security</Channel><Computer>DC01</Computer></System><EventData><Data Name="TargetUserName">tanaka</Data></EventData></Event>"#,
    ),
    (
        "windows_snare",
        "MSWinEventLog\t1\tSecurity\t42\tSat Nov 21 10:00:00 2026\t4624\tMicrosoft-Windows-Security-Auditing\tCORP\\tanaka\tN/A\tSuccess Audit\tDC01\tLogon\t\tAn account was successfully logged on.\t7",
    ),
    (
        "journal",
        "__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795251600000000\n_HOSTNAME=web01\nSYSLOG_IDENTIFIER=sshd\n_PID=42\nPRIORITY=6\nMESSAGE=Accepted publickey for tanaka",
    ),
    ("syslog", "<38>1 2026-11-21T09:00:00.123+09:00 web01 sshd 4711 ID1 [a@1 b=\"c\"] hello"),
    (
        "web_access",
        r#"203.0.113.9 - tanaka [21/Nov/2026:10:00:00 +0900] "GET /.env?a=1 HTTP/1.1" 404 153 "-" "curl/8.0""#,
    ),
    (
        "web_error",
        "[Sat Nov 21 10:00:00.123456 2026] [core:error] [pid 4711:tid 1] [client 203.0.113.9:40000] AH00126: Invalid URI in request",
    ),
    (
        "pairs",
        r#"time=2026-11-21T10:00:00Z level=warn user=tanaka action="log in" src=203.0.113.9"#,
    ),
    (
        "vpn_pairs",
        r#"date=2026-11-21 time=10:00:01 devname="fw01" type="event" subtype="vpn" action="ssl-login-fail" user="tanaka" remip=203.0.113.9"#,
    ),
    ("headed", "#Fields: date time c-ip cs-username\n2026-11-21 10:00:00 203.0.113.9 tanaka"),
    (
        "headed",
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\n#types\ttime\tstring\taddr\n1795251600.123\tC1\t203.0.113.9",
    ),
    ("headed", "timestamp,user,source_ip,action\n2026-11-21T10:00:00Z,tanaka,203.0.113.9,login"),
    (
        "scripts",
        "{\"ScriptBlockId\":\"a\",\"MessageNumber\":1,\"MessageTotal\":2,\"ScriptBlockText\":\"who\"}\n{\"ScriptBlockId\":\"a\",\"MessageNumber\":2,\"MessageTotal\":2,\"ScriptBlockText\":\"ami\"}",
    ),
    ("lists", r#"{"events":[{"parameters":[{"name":"setting","value":"off"}]}]}"#),
    ("patterns", "sshd: Failed password for root from 192.0.2.7 port 50022 ssh2"),
    (
        "pattern",
        "{@timestamp|iso} {source.ip|ip} said {message|rest}\n2026-11-21T10:00:00Z 192.0.2.7 said hello",
    ),
    ("grok", "(?<user>[a-z]+) from (?<ip>[0-9.]+)\ntanaka from 192.0.2.7"),
    ("expression", "{bytes|number} * 8 + 1\n4096"),
    (
        "log_format_apache",
        "%h %l %u %t \"%r\" %>s %b %D\n203.0.113.9 - - [21/Nov/2026:10:00:00 +0900] \"GET / HTTP/1.1\" 200 153 1500",
    ),
    (
        "log_format_nginx",
        "$remote_addr [$time_local] \"$request\" $status $request_time\n203.0.113.9 [21/Nov/2026:10:00:00 +0900] \"GET / HTTP/1.1\" 200 0.015",
    ),
    ("instants", "2026-11-21T10:00:00.123+09:00"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_decoder_is_entered_by_name_and_takes_its_sample() {
        let named: Vec<&str> = names().collect();
        let unique: BTreeSet<&str> = named.iter().copied().collect();
        assert_eq!(unique.len(), named.len());
        let sampled: BTreeSet<&str> = SAMPLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(sampled, unique);
        let formats: BTreeSet<&str> = FORMATS.iter().map(|(name, ..)| *name).collect();
        assert!(formats.is_subset(&unique) && formats.len() == FORMATS.len());
        let mut decoders = Decoders::new().unwrap();
        for (name, text) in SAMPLES {
            let number = named.iter().position(|known| known == name).unwrap();
            assert!(decoders.read(number, text.as_bytes()), "{name}: {text}");
        }
    }

    /// A line of the DNS server's log that breaks off behind the address.
    #[test]
    fn a_format_that_leaves_a_line_leaves_no_trace_of_it() {
        let (_, whole) = SAMPLES.iter().find(|(name, _)| *name == "windows_dns_debug").unwrap();
        let mut decoders = Decoders::new().unwrap();
        for end in 0..whole.len() {
            decoders.read(1, &whole.as_bytes()[..end]);
        }
    }

    proptest! {
        #[test]
        fn never_panics(number in 0..names().count(), text in "\\PC{0,200}", cut in 0usize..400) {
            thread_local! {
                static DECODERS: std::cell::RefCell<Decoders> = Decoders::new().unwrap().into();
            }
            DECODERS.with_borrow_mut(|decoders| {
                decoders.read(number, text.as_bytes());
                // A sample that was cut, and goes on as it likes.
                let name = names().nth(number).unwrap();
                for (_, sample) in SAMPLES.iter().filter(|(of, _)| *of == name) {
                    let mut bytes = sample.as_bytes()[..cut.min(sample.len())].to_vec();
                    bytes.extend_from_slice(text.as_bytes());
                    decoders.read(number, &bytes);
                }
            });
        }
    }
}
