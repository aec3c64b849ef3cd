//! Windows events as XML and as text, text logs of Windows servers, and scripts in parts.

use crate::common;
use common::{describe, fields, normalizer, run};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use yagura_event::{Lang, columns};

/// Dataset, fields and sentences of a line.
fn read(line: &str) -> String {
    let read = describe(line);
    format!("{}\n{}{}\n{}\n", read.dataset, fields(&read), read.sentence_ja, read.sentence_en)
}

const FORWARDED: &str = r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider Name="Microsoft-Windows-Security-Auditing" Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/><EventID>4625</EventID><Version>0</Version><Level>0</Level><Task>12544</Task><Opcode>0</Opcode><Keywords>0x8010000000000000</Keywords><TimeCreated SystemTime="2026-06-14T01:00:00.123456700Z"/><EventRecordID>42</EventRecordID><Correlation/><Execution ProcessID="740" ThreadID="812"/><Channel>Security</Channel><Computer>DC01.corp.example</Computer><Security/></System><EventData><Data Name="SubjectUserName">-</Data><Data Name="TargetUserName">tanaka</Data><Data Name="TargetDomainName">CORP</Data><Data Name="Status">0xc000006d</Data><Data Name="SubStatus">0xc000006a</Data><Data Name="LogonType">3</Data><Data Name="IpAddress">192.0.2.10</Data><Data Name="IpPort">50022</Data></EventData><RenderingInfo Culture="ja-JP"><Message>アカウントがログオンに失敗しました。</Message><Level>情報</Level></RenderingInfo></Event>"#;

#[test]
fn an_event_as_xml() {
    insta::assert_snapshot!(read(FORWARDED), @r#"
    windows.security
    @timestamp = 2026-06-14T01:00:00.123456Z
    winlog.provider_name = Microsoft-Windows-Security-Auditing
    winlog.provider_guid = {54849625-5478-4994-a5ba-3e3b0328c30d}
    event.code = 4625
    winlog.version = 0
    winlog.level = 0
    winlog.task = 12544
    winlog.opcode = 0
    winlog.keywords = 0x8010000000000000
    winlog.record_id = 42
    winlog.process_id = 740
    winlog.thread_id = 812
    winlog.channel = Security
    winlog.computer_name = DC01.corp.example
    winlog.event_data.SubjectUserName = -
    winlog.event_data.TargetUserName = tanaka
    winlog.event_data.TargetDomainName = CORP
    winlog.event_data.Status = 0xc000006d
    winlog.event_data.SubStatus = 0xc000006a
    winlog.event_data.LogonType = 3
    winlog.event_data.IpAddress = 192.0.2.10
    winlog.event_data.IpPort = 50022
    message = アカウントがログオンに失敗しました。
    winlog.RenderingInfo.Level = 情報
    event.provider = Microsoft-Windows-Security-Auditing
    host.name = DC01.corp.example
    log.level = information
    event.outcome = failure
    event.reason = wrong_password
    source.ip = 192.0.2.10
    source.port = 50022
    user.domain = CORP
    user.name = tanaka
    activity_id = 1
    class_uid = 3002
    event.action = logon-failed
    event.category = authentication
    status_id = 2
    tanaka が 192.0.2.10 から DC01.corp.example にネットワークログオンしようとした（失敗：パスワード誤り）
    tanaka tried to log on to DC01.corp.example over the network from 192.0.2.10 (failure: wrong password)
    "#);
    let behind_a_header = format!("<13>Jun 14 10:00:01 DC01 Microsoft-Windows[1]: {FORWARDED}");
    assert_eq!(describe(behind_a_header).dataset, "windows.security");
    let cut = describe(&FORWARDED[..600]);
    assert_eq!(cut.dataset, "windows.security");
    assert!(cut.fields.iter().any(|(name, _)| name == columns::PARSE_ERROR));
}

#[test]
fn an_event_as_a_snare_line() {
    let line = "<13>Jun 14 10:00:01 DC01 MSWinEventLog\t1\tSecurity\t42\tSun Jun 14 10:00:00 2026\t4740\tMicrosoft-Windows-Security-Auditing\tN/A\tN/A\tSuccess Audit\tDC01.corp.example\tUser Account Management\t\tA user account was locked out.\t7";
    insta::assert_snapshot!(read(line), @r#"
    windows.security
    @timestamp = 2026-06-14T10:00:01.000000Z
    log.syslog.facility.code = 1
    log.syslog.severity.code = 5
    log.level = information
    host.name = DC01.corp.example
    winlog.channel = Security
    event.code = 4740
    winlog.provider_name = Microsoft-Windows-Security-Auditing
    nxlog.EventType = AUDIT_SUCCESS
    winlog.computer_name = DC01.corp.example
    nxlog.Category = User Account Management
    message = A user account was locked out.
    event.provider = Microsoft-Windows-Security-Auditing
    winlog.level = 0
    event.outcome = success
    activity_id = 9
    class_uid = 3001
    event.action = locked-out-user-account
    event.category = iam
    status_id = 1
    アカウント（名前なし）が DC01.corp.example でロックアウトされた
    The account (unnamed) was locked out on DC01.corp.example
    "#);
}

#[test]
fn the_dhcp_servers_log() {
    let line = "11,06/14/26,15:16:01,更新,192.0.2.50,pc01.corp.example,02005E105001,,3512345678,0,,,,0x4D53465420352E30,MSFT 5.0,,,,0";
    insta::assert_snapshot!(read(line), @r#"
    windows.dhcp_log
    @timestamp = 2026-06-14T15:16:01.000000Z
    event.code = 11
    windows.dhcp.description = 更新
    source.ip = 192.0.2.50
    source.domain = pc01.corp.example
    source.mac = 02-00-5E-10-50-01
    windows.dhcp.transaction_id = 3512345678
    windows.dhcp.qresult = 0
    windows.dhcp.vendor_class = MSFT 5.0
    windows.dhcp.dns_error = 0
    message = 11,06/14/26,15:16:01,更新,192.0.2.50,pc01.corp.example,02005E105001,,3512345678,0,,,,0x4D53465420352E30,MSFT 5.0,,,,0
    activity_id = 5
    class_uid = 4004
    event.action = dhcp-lease-renewed
    event.category = network
    event.outcome = success
    status_id = 1
    DHCP サーバーが pc01.corp.example の 192.0.2.50 を更新した（MAC 02-00-5E-10-50-01）
    The DHCP server renewed 192.0.2.50 for pc01.corp.example (MAC 02-00-5E-10-50-01)
    "#);
    for (id, words) in [("15", "denied"), ("30", "asked for a DNS update"), ("55", "authorisation")]
    {
        let line = line.replacen("11", id, 1);
        assert!(describe(line.as_str()).sentence_en.contains(words), "{line}");
    }
    assert_eq!(describe("11,06/14/26,15:16:01,a").dataset, "unknown");
    assert_eq!(describe("11,13/14/26,15:16:01,a,b,c,d,e").dataset, "unknown");
}

#[test]
fn the_dns_servers_debug_log() {
    let question = "6/14/2026 10:00:01 AM 0E70 PACKET  00000000033397A0 UDP Rcv 192.0.2.61      5b47   Q [0001   D   NOERROR] A      (3)www(7)example(3)com(0)";
    insta::assert_snapshot!(read(question), @r#"
    windows.dns_debug
    @timestamp = 2026-06-14T10:00:01.000000Z
    windows.dns.direction = Rcv
    windows.dns.context = PACKET
    network.transport = udp
    source.ip = 192.0.2.61
    dns.id = 5b47
    dns.type = query
    windows.dns.opcode = Q
    dns.response_code = NOERROR
    dns.question.type = A
    dns.question.name = www.example.com
    message = 6/14/2026 10:00:01 AM 0E70 PACKET  00000000033397A0 UDP Rcv 192.0.2.61      5b47   Q [0001   D   NOERROR] A      (3)www(7)example(3)com(0)
    activity_id = 1
    class_uid = 4003
    event.action = dns-query
    event.category = network
    192.0.2.61 が DNS サーバーに www.example.com を問い合わせた（A）
    192.0.2.61 asked the DNS server for www.example.com (A)
    "#);
    let answer = "2026/06/14 10:00:01 0E70 PACKET  00000000033397A0 UDP Snd 192.0.2.61      5b47 R Q [8385 A DR NXDOMAIN] AAAA   (4)none(7)example(3)com(0)";
    insta::assert_snapshot!(read(answer), @r#"
    windows.dns_debug
    @timestamp = 2026-06-14T10:00:01.000000Z
    windows.dns.direction = Snd
    windows.dns.context = PACKET
    network.transport = udp
    destination.ip = 192.0.2.61
    dns.id = 5b47
    dns.type = answer
    windows.dns.opcode = Q
    dns.response_code = NXDOMAIN
    dns.question.type = AAAA
    dns.question.name = none.example.com
    message = 2026/06/14 10:00:01 0E70 PACKET  00000000033397A0 UDP Snd 192.0.2.61      5b47 R Q [8385 A DR NXDOMAIN] AAAA   (4)none(7)example(3)com(0)
    activity_id = 2
    class_uid = 4003
    event.action = dns-response
    event.category = network
    DNS サーバーが 192.0.2.61 に none.example.com の答えを返した（AAAA、NXDOMAIN）
    The DNS server answered 192.0.2.61 about none.example.com (AAAA, NXDOMAIN)
    "#);
}

#[test]
fn the_netlogon_log() {
    let lines = [
        r"06/14 10:00:07 [LOGON] [3352] CORP: SamLogon: Network logon of CORP\tanaka from PC01 Returns 0xC000006A",
        r"06/14 10:00:07 [LOGON] [3352] CORP: SamLogon: Transitive Network logon of CORP\tanaka from PC01 Entered",
        "06/14 10:00:07 [SESSION] [3352] CORP: NetrServerAuthenticate entered: DC01 (192.0.2.66) on account DC01$ (Negot: 212fffff)",
        "06/14 10:00:07 [CRITICAL] [3352] CORP: NetrServerAuthenticate: Bad password 0 for DC01 on account DC01$",
        "06/14 10:00:02 [INIT] Group Policy is not defined for Netlogon",
    ];
    insta::assert_snapshot!(read(lines[0]), @r#"
    windows.netlogon
    @timestamp = 2026-06-14T10:00:07.000000Z
    windows.netlogon.category = LOGON
    process.thread.id = 3352
    windows.netlogon.domain = CORP
    windows.netlogon.text = SamLogon: Network logon of CORP\tanaka from PC01 Returns 0xC000006A
    user.domain = CORP
    user.name = tanaka
    source.domain = PC01
    windows.netlogon.status = 0xC000006A
    event.action = netlogon-logon-answered
    event.category = authentication
    message = 06/14 10:00:07 [LOGON] [3352] CORP: SamLogon: Network logon of CORP\tanaka from PC01 Returns 0xC000006A
    event.reason = wrong_password
    event.outcome = failure
    tanaka の PC01 からのドメインログオンに Netlogon が答えた（失敗）：パスワード誤り
    Netlogon answered a domain logon of tanaka from PC01 (failure): wrong password
    "#);
    let said = lines.map(|line| {
        let read = describe(line);
        assert_eq!(read.dataset, "windows.netlogon");
        format!("{}\n{}", read.sentence_ja, read.sentence_en)
    });
    insta::assert_snapshot!(said.join("\n"), @r#"
    tanaka の PC01 からのドメインログオンに Netlogon が答えた（失敗）：パスワード誤り
    Netlogon answered a domain logon of tanaka from PC01 (failure): wrong password
    tanaka の PC01 からのドメインログオンを Netlogon が受け付けた
    Netlogon received a domain logon of tanaka from PC01
    DC01（192.0.2.66）がアカウント DC01$ で Netlogon のセキュアチャネルを求めた
    DC01 (192.0.2.66) asked Netlogon for a secure channel with the account DC01$
    DC01 のアカウント DC01$ の Netlogon 認証でパスワードが合わなかった（失敗）
    DC01 gave Netlogon a wrong password for the account DC01$ (failure)
    Netlogon の記録（INIT）：Group Policy is not defined for Netlogon
    Record of Netlogon (INIT): Group Policy is not defined for Netlogon
    "#);
}

/// A Windows event as the EVTX reader writes it.
fn event(channel: &str, provider: &str, code: u32, data: &[(&str, &str)]) -> String {
    let data: Map<String, Value> = data.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    json!({"Event": {
        "System": {
            "Provider": {"#attributes": {"Name": provider}},
            "EventID": code,
            "TimeCreated": {"#attributes": {"SystemTime": "2026-06-14T01:02:03.456789Z"}},
            "Channel": channel,
            "Computer": "FS01",
        },
        "EventData": data,
    }})
    .to_string()
}

#[test]
fn the_last_part_of_a_script_carries_all_of_it() {
    let part = |number: &str, text: &str| {
        event(
            "Microsoft-Windows-PowerShell/Operational",
            "Microsoft-Windows-PowerShell",
            4104,
            &[
                ("MessageNumber", number),
                ("MessageTotal", "2"),
                ("ScriptBlockText", text),
                ("ScriptBlockId", "0f1e2d3c-4b5a-4678-8765-43210fedcba9"),
            ],
        )
    };
    let mut normalizer = normalizer();
    normalizer.normalize(&run([part("1", "function Get-Th"), part("2", "ing { 1 }; Get-Thing")]));
    let batch = normalizer.take_batches().pop().unwrap();
    let whole = batch.columns.column_by_name("powershell.script_block_text").unwrap();
    let at = |row| arrow::util::display::array_value_to_string(whole, row).unwrap();
    assert_eq!([at(0), at(1)], ["", "function Get-Thing { 1 }; Get-Thing"]);
    insta::assert_snapshot!(normalizer.sentence(&batch, 1, Lang::En), @r#"
    A PowerShell script ran on FS01: ing { 1 }; Get-Thing
    "#);
}

/// Whatever is not 0 has failed; a code that no list has is shown as it is.
#[test]
fn reasons_of_failures_are_said_and_unknown_codes_shown() {
    let security = |code, data: &[(&str, &str)]| {
        event("Security", "Microsoft-Windows-Security-Auditing", code, data)
    };
    let ticket = |code, status| {
        security(code, &[("TargetUserName", "田中"), ("ServiceName", "sql01"), ("Status", status)])
    };
    let logon = |status, sub| {
        security(4625, &[("TargetUserName", "田中"), ("Status", status), ("SubStatus", sub)])
    };
    for (event, outcome, words) in [
        (ticket(4768, "0x0"), "success", ["（成功）", "(success)"]),
        (
            ticket(4768, "0x3f"),
            "failure",
            ["（失敗：信頼されない KDC）", "(failure: KDC not trusted)"],
        ),
        (ticket(4768, "0x99"), "failure", ["（失敗：0x99）", "(failure: 0x99)"]),
        (
            ticket(4769, "0x1A"),
            "failure",
            ["（失敗：別のサーバーのチケット）", "(failure: ticket for another server)"],
        ),
        (ticket(4771, "0x5d"), "failure", ["（失敗：0x5d）", "(failure: 0x5d)"]),
        (ticket(4776, "0xC0000371"), "failure", ["秘密情報なし", "no secret stored"]),
        (ticket(4776, "0xC0001234"), "failure", ["0xC0001234", "0xC0001234"]),
        (
            logon("0xc000005e", "0x0"),
            "failure",
            ["（失敗：ログオンサーバーなし）", "(failure: no logon servers available)"],
        ),
        (
            logon("0xc000006d", "0xc0001234"),
            "failure",
            ["利用者名またはパスワードの誤り", "wrong user name"],
        ),
        (logon("0xc0001234", "0x0"), "failure", ["（失敗：0xc0001234）", "(failure: 0xc0001234)"]),
    ] {
        let read = describe(event.as_str());
        let value = |name: &str| {
            read.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
        };
        assert_eq!(value("event.outcome"), outcome, "{}", read.sentence_en);
        for (said, words) in [&read.sentence_ja, &read.sentence_en].into_iter().zip(words) {
            assert!(said.contains(words), "{words} is not in: {said}");
        }
    }
    // A dash is no code.
    let fields = fields(&describe(ticket(4768, "-")));
    assert!(!fields.contains("event.outcome") && !fields.contains("event.reason"), "{fields}");
}

#[test]
fn every_http_status_has_its_words_and_its_outcome() {
    let line = |status: u32| {
        describe(format!(
            r#"203.0.113.9 - - [21/Nov/2026:10:00:00 +0900] "GET /a HTTP/1.1" {status} 153 "-" "curl/8.0""#
        ))
    };
    let outcome = |status: u32| {
        let read = line(status);
        read.fields.into_iter().find(|(name, _)| name == "event.outcome").map(|(_, value)| value)
    };
    for status in [200, 207, 226, 300, 399] {
        assert_eq!(outcome(status).as_deref(), Some("success"), "{status}");
    }
    for status in [402, 418, 444, 451, 499, 511, 526, 599] {
        assert_eq!(outcome(status).as_deref(), Some("failure"), "{status}");
    }
    assert_eq!(outcome(101), None);
    for status in [203, 308, 402, 421, 431, 444, 451, 499, 511, 520, 526] {
        let said = line(status).sentence_en;
        assert!(said.contains(&format!("({status} ")), "{said}");
    }
}

#[test]
fn codes_are_said_in_words() {
    let security = |code, data: &[(&str, &str)]| {
        event("Security", "Microsoft-Windows-Security-Auditing", code, data)
    };
    let by = ("SubjectUserName", "admin01");
    let on = |channel: &str, code, data: &[(&str, &str)]| event(channel, channel, code, data);
    let events = [
        security(
            4663,
            &[
                by,
                ("ObjectType", "File"),
                ("ObjectName", r"D:\経理\給与.xlsx"),
                ("AccessMask", "0x10002"),
                ("ProcessName", r"C:\Windows\explorer.exe"),
            ],
        ),
        security(
            4656,
            &[
                by,
                ("ObjectType", "Key"),
                ("ObjectName", r"\REGISTRY\MACHINE\SAM"),
                ("AccessMask", "0xf003f"),
            ],
        ),
        security(4672, &[by, ("PrivilegeList", "SeDebugPrivilege\n\t\t\tSeBackupPrivilege")]),
        security(4704, &[by, ("TargetSid", "S-1-5-32-551"), ("PrivilegeList", "SeTcbPrivilege")]),
        security(
            4738,
            &[by, ("TargetUserName", "田中"), ("UserAccountControl", "\n\t\t%%2089\n\t\t%%2082")],
        ),
        security(
            4769,
            &[
                ("TargetUserName", "田中@CORP.EXAMPLE"),
                ("ServiceName", "sql01"),
                ("TicketEncryptionType", "0x17"),
                ("TicketOptions", "0x40810000"),
                ("Status", "0x0"),
            ],
        ),
        security(
            4771,
            &[
                ("TargetUserName", "田中"),
                ("PreAuthType", "2"),
                ("Status", "0x18"),
                ("IpAddress", "192.0.2.10"),
            ],
        ),
        security(
            4662,
            &[
                by,
                ("ObjectName", "DC=corp,DC=example"),
                ("AccessMask", "0x100"),
                ("Properties", "%%7688\n\t\t{1131f6ad-9c07-11d1-f79f-00c04fc2dcd2}\n"),
            ],
        ),
        security(
            5136,
            &[
                by,
                ("ObjectDN", "CN=filer,DC=corp"),
                ("AttributeLDAPDisplayName", "servicePrincipalName"),
                ("OperationType", "%%14674"),
                ("AttributeValue", "HTTP/filer"),
            ],
        ),
        security(
            5157,
            &[
                ("Application", r"\device\harddiskvolume2\tools\nc.exe"),
                ("Direction", "%%14593"),
                ("SourceAddress", "192.0.2.1"),
                ("SourcePort", "50000"),
                ("DestAddress", "203.0.113.9"),
                ("DestPort", "4444"),
            ],
        ),
        security(
            4799,
            &[
                by,
                ("TargetUserName", "Administrators"),
                ("CallerProcessName", r"C:\Windows\System32\net1.exe"),
            ],
        ),
        on(
            "Microsoft-Windows-TaskScheduler/Operational",
            106,
            &[("TaskName", r"\Updater"), ("UserContext", r"CORP\admin01")],
        ),
        on(
            "Microsoft-Windows-Bits-Client/Operational",
            61,
            &[("url", "http://198.51.100.7/a.exe"), ("hr", "2147954407"), ("name", "job")],
        ),
        on(
            "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
            40,
            &[("Session", "3"), ("Reason", "12")],
        ),
        on(
            "Microsoft-Windows-WMI-Activity/Operational",
            5858,
            &[
                ("User", r"CORP\admin01"),
                ("Operation", "Start IWbemServices::ExecQuery - root\\cimv2"),
                ("ResultCode", "0x80041003"),
            ],
        ),
        on(
            "Microsoft-Windows-Windows Defender/Operational",
            1121,
            &[
                ("ID", "9E6C4E1F-7D60-472F-BA1A-A39EF669E4B2"),
                ("Path", r"C:\Windows\System32\lsass.exe"),
                ("ProcessName", r"C:\tools\dump.exe"),
            ],
        ),
        on(
            "Microsoft-Windows-SmbClient/Security",
            31017,
            &[("ServerName", r"\\192.0.2.99"), ("UserName", "guest")],
        ),
        on(
            "Microsoft-Windows-NTLM/Operational",
            8004,
            &[("UserName", "田中"), ("WorkstationName", "PC01"), ("SChannelName", "FS01")],
        ),
        on(
            "Microsoft-Windows-DNSServer/Analytical",
            256,
            &[("Source", "192.0.2.61"), ("QNAME", "www.example.com."), ("QTYPE", "1")],
        ),
        on(
            "Microsoft-Windows-PrintService/Operational",
            307,
            &[
                ("Param2", "計画.docx"),
                ("Param3", "田中"),
                ("Param4", r"\\PC01"),
                ("Param5", "複合機"),
                ("Param8", "2"),
            ],
        ),
    ];
    let said = events.map(|event| {
        let read = describe(event);
        format!("{}\n{}\n", read.sentence_ja, read.sentence_en)
    });
    insta::assert_snapshot!(said.concat(), @r#"
    admin01 が FS01 で D:\経理\給与.xlsx にアクセスした（書き込み、削除）（explorer.exe）
    admin01 on FS01 accessed D:\経理\給与.xlsx (write data, delete) with explorer.exe
    admin01 が FS01 でレジストリ \REGISTRY\MACHINE\SAM を開こうとした（フルコントロール）
    admin01 on FS01 tried to open the registry key \REGISTRY\MACHINE\SAM (full control)
    admin01 が FS01 で特権を持つセッションを得た（プログラムのデバッグ、バックアップ）
    admin01 was given a session with special privileges on FS01 (debug programs, back up files)
    admin01 が FS01 で Backup Operators に権利「OS の一部としての動作」を与えた
    admin01 gave the right "act as the system" to Backup Operators on FS01
    admin01 がアカウント 田中 の設定を FS01 で変更した（無期限パスワード、パスワード不要）
    admin01 changed the account 田中 on FS01 (password never expires, password not required)
    田中@CORP.EXAMPLE がサービス sql01 の Kerberos チケットを求めた（暗号：RC4（弱い））（オプション：名前の正規化、更新可能、転送可能）（成功）
    田中@CORP.EXAMPLE asked for a Kerberos ticket for the service sql01, encrypted with RC4 (weak), options: canonicalise, renewable, forwardable (success)
    田中 が 192.0.2.10 から Kerberos の事前認証（パスワード）をしようとした（失敗：パスワード誤り）
    田中 tried Kerberos preauthentication by password from 192.0.2.10 (failure: wrong password)
    admin01 が FS01 でディレクトリの DC=corp,DC=example を操作した（拡張権限、ディレクトリの変更の複製（秘密を含む））
    admin01 operated on DC=corp,DC=example in the directory on FS01 (control access, Replicating Directory Changes All)
    admin01 が FS01 でディレクトリの CN=filer,DC=corp の属性 servicePrincipalName を変えた（値を追加）：HTTP/filer
    admin01 changed the attribute servicePrincipalName of CN=filer,DC=corp in the directory on FS01 (value added): HTTP/filer
    nc.exe の通信が FS01 で止められた（発信）：192.0.2.1:50000 → 203.0.113.9:4444（失敗）
    A connection of nc.exe on FS01 was blocked (outbound): 192.0.2.1:50000 to 203.0.113.9:4444 (failure)
    admin01 が FS01 のローカルグループ Administrators のメンバーを調べた（net1.exe）
    admin01 listed the members of the local group Administrators on FS01 with net1.exe
    admin01 が FS01 のタスク \Updater を登録した
    admin01 registered the task \Updater on FS01
    FS01 で BITS が http://198.51.100.7/a.exe の転送に失敗した（失敗：名前を解決できない）（job）
    BITS on FS01 failed to transfer http://198.51.100.7/a.exe (failure: name not resolved) (job)
    FS01 のセッション 3 が切断された（理由：利用者によるログオフ）
    The session 3 on FS01 was disconnected (logged off by the user)
    admin01 の WMI の操作が FS01 で失敗した（失敗：アクセス拒否）：Start IWbemServices::ExecQuery - root\cimv2
    A WMI operation of admin01 failed on FS01 (failure: access denied): Start IWbemServices::ExecQuery - root\cimv2
    Defender の攻撃面の減少ルールが FS01 で動作を止めた：LSASS からの資格情報の窃取、C:\Windows\System32\lsass.exe（dump.exe）
    An attack surface reduction rule of Defender blocked an action on FS01: stealing credentials from LSASS, C:\Windows\System32\lsass.exe with dump.exe
    FS01 が \\192.0.2.99 への安全でないゲストログオンを拒んだ（失敗）（guest）
    FS01 refused an insecure guest logon to \\192.0.2.99 (failure) (guest)
    田中 の PC01 からの FS01 への NTLM 認証がドメインコントローラー FS01 で記録された
    NTLM authentication of 田中 from PC01 to FS01 was recorded by the domain controller FS01
    FS01 の DNS サーバーが 192.0.2.61 から www.example.com. の問い合わせを受けた（A）
    The DNS server FS01 was asked by 192.0.2.61 for www.example.com. (A)
    田中 が 複合機 で 計画.docx を印刷した（2 ページ）（端末 \\PC01）
    田中 printed 計画.docx on 複合機 (2 pages) from \\PC01
    "#);
}

/// The dataset, sentences and target of the last line of a file, read from its header on.
fn last_of(lines: &[&str]) -> String {
    let mut normalizer = normalizer();
    normalizer.normalize(&run(lines.iter().map(|line| line.as_bytes())));
    let batches = normalizer.take_batches();
    let batch = batches.iter().find(|batch| &*batch.dataset != "log.header").unwrap();
    let row = batch.rows() - 1;
    let said = |lang| normalizer.sentence(batch, row, lang);
    format!("{}\n{}\n{}\n", batch.dataset, said(Lang::Ja), said(Lang::En))
}

#[test]
fn files_with_a_header_of_columns() {
    let iis = last_of(&[
        "#Software: Microsoft Internet Information Services 10.0",
        "#Version: 1.0",
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status sc-bytes time-taken",
        "2026-06-14 01:00:00 192.0.2.80 POST /owa/auth.aspx a=1 443 CORP\\tanaka 203.0.113.9 Mozilla/5.0 200 512 31",
    ]);
    let firewall = last_of(&[
        "#Version: 1.5",
        "#Software: Microsoft Windows Firewall",
        "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype icmpcode info path pid",
        "2026-06-14 10:00:00 DROP TCP 203.0.113.9 192.0.2.80 50000 445 52 S 1 0 64240 - - - RECEIVE 4",
    ]);
    let tracking = last_of(&[
        "#Software: Microsoft Exchange Server",
        "#Version: 15.0.0.0",
        "#Log-type: Message Tracking Log",
        "#Fields: date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id,internal-message-id,message-id,recipient-address,recipient-status,total-bytes,message-subject,sender-address",
        "2026-06-14T01:00:00.123Z,192.0.2.10,pc01,192.0.2.25,MX01,,,STOREDRIVER,DELIVER,42,<1@corp.example>,suzuki@corp.example,,2048,見積の件,tanaka@corp.example",
    ]);
    for (said, dataset, words) in [
        (iis, "web.iis\n", "/owa/auth.aspx?a=1"),
        (firewall, "windows.firewall_log\n", "203.0.113.9"),
        (tracking, "windows.exchange_tracking\n", "tanaka@corp.example"),
    ] {
        assert!(said.starts_with(dataset) && said.contains(words), "{said}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(
        head in prop::sample::select(vec![
            "10,06/14/26,15:16:01,", "6/14/2026 10:00:01 AM 0E70 PACKET 0 UDP Rcv ", "06/14 10:00:07 [LOGON] ",
            "<Event><System><Channel>Security</Channel>", "MSWinEventLog\t1\tSecurity\t",
        ]),
        tail in "([\\[\\]()<>&;,: \t\\\\]|[0-9A-Z]{1,3}|SamLogon: |.{0,3}){0,40}",
    ) {
        let text = format!("{head}{tail}");
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)).step_by(7) {
            let read = describe(&text[..end]);
            prop_assert!(!read.sentence_ja.is_empty());
        }
    }
}
