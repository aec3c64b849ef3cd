//! What people read: one event of each kind, in both languages.

use crate::common;
use common::describe;
use serde_json::{Map, Value, json};

/// A Windows event as the EVTX reader writes it.
fn windows(channel: &str, provider: &str, code: &str, data: &[(&str, &str)]) -> String {
    let data: Map<String, Value> = data.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    json!({"Event": {
        "System": {
            "Provider": {"#attributes": {"Name": provider}},
            "EventID": code.parse::<u32>().unwrap(),
            "TimeCreated": {"#attributes": {"SystemTime": "2026-11-21T01:02:03.456789Z"}},
            "Channel": channel,
            "Computer": "FS01",
        },
        "EventData": data,
    }})
    .to_string()
}

fn lines_of(events: &[String]) -> String {
    let line = |event: &String| {
        let read = describe(event.as_str());
        format!("{}\n{}\n", read.sentence_ja, read.sentence_en)
    };
    events.iter().map(line).collect()
}

#[test]
fn windows_security() {
    let event = |code, data: &[(&str, &str)]| {
        windows("Security", "Microsoft-Windows-Security-Auditing", code, data)
    };
    let by = ("SubjectUserName", "admin01");
    let target = ("TargetUserName", "田中");
    let events = [
        event("4624", &[target, ("LogonType", "3"), ("IpAddress", "::ffff:10.1.2.3")]),
        event("4624", &[target, ("LogonType", "99"), ("IpAddress", "-")]),
        event(
            "4625",
            &[
                target,
                ("LogonType", "10"),
                ("IpAddress", "203.0.113.9"),
                ("Status", "0xc000006d"),
                ("SubStatus", "0xC000006A"),
            ],
        ),
        event("4625", &[]),
        event("4634", &[target]),
        event(
            "4648",
            &[
                by,
                target,
                ("TargetServerName", "DC01"),
                ("ProcessName", r"C:\Windows\System32\svchost.exe"),
            ],
        ),
        event("4672", &[by, ("PrivilegeList", "SeDebugPrivilege\r\n\t\t\tSeBackupPrivilege")]),
        event(
            "4688",
            &[
                by,
                ("NewProcessName", r"C:\Windows\System32\vssadmin.exe"),
                ("ParentProcessName", r"C:\Windows\System32\cmd.exe"),
                ("CommandLine", "vssadmin delete shadows /all"),
            ],
        ),
        event(
            "4697",
            &[
                by,
                ("ServiceName", "PSEXESVC"),
                ("ServiceFileName", r"%SystemRoot%\PSEXESVC.exe"),
                ("ServiceStartType", "3"),
            ],
        ),
        event("4698", &[by, ("TaskName", r"\update")]),
        event("4720", &[by, ("TargetUserName", "backdoor")]),
        event("4726", &[by, ("TargetUserName", "backdoor")]),
        event("4728", &[by, ("MemberName", "CN=suzuki"), ("TargetUserName", "Domain Admins")]),
        event(
            "4732",
            &[
                by,
                ("MemberName", "-"),
                ("MemberSid", "S-1-5-21-1"),
                ("TargetUserName", "Administrators"),
            ],
        ),
        event("4738", &[by, target]),
        event("4740", &[("TargetUserName", "suzuki"), ("TargetDomainName", "PC07")]),
        event("4768", &[target, ("IpAddress", "::ffff:10.1.2.3"), ("Status", "0x0")]),
        event("4768", &[target, ("Status", "0x6")]),
        event(
            "4769",
            &[
                target,
                ("ServiceName", "MSSQLSvc"),
                ("TicketEncryptionType", "0x17"),
                ("Status", "0x0"),
                ("IpAddress", "10.1.2.3"),
            ],
        ),
        event("4771", &[target, ("Status", "0x18"), ("IpAddress", "10.1.2.3")]),
        event("4776", &[target, ("Workstation", "PC07"), ("Status", "0xc0000064")]),
        event(
            "4656",
            &[
                by,
                ("ObjectType", "Process"),
                ("ObjectName", r"\Device\HarddiskVolume2\Windows\System32\lsass.exe"),
                ("ProcessName", r"C:\a\mimikatz.exe"),
            ],
        ),
        event("4663", &[by, ("ObjectType", "File"), ("ObjectName", r"D:\share\カルテ.xlsx")]),
        event("4670", &[by, ("ObjectType", "File"), ("ObjectName", r"D:\share")]),
        event("5140", &[by, ("ShareName", r"\\*\ADMIN$"), ("IpAddress", "10.1.2.3")]),
        event(
            "5145",
            &[
                by,
                ("ShareName", r"\\*\C$"),
                ("RelativeTargetName", r"Windows\Temp\x.exe"),
                ("IpAddress", "10.1.2.3"),
            ],
        ),
        event("1102", &[by]),
        event("4719", &[by, ("AuditPolicyChanges", "%%8448, %%8450")]),
        event("4999", &[]),
    ];
    insta::assert_snapshot!(lines_of(&events), @r#"
    田中 が 10.1.2.3 から FS01 にネットワークログオンした（成功）
    田中 logged on to FS01 over the network from 10.1.2.3 (success)
    田中 が FS01 にログオンした（成功）
    田中 logged on to FS01 (success)
    田中 が 203.0.113.9 から FS01 にリモートデスクトップログオンしようとした（失敗：パスワード誤り）
    田中 tried to log on to FS01 over Remote Desktop from 203.0.113.9 (failure: wrong password)
    名前のない利用者が FS01 にログオンしようとした（失敗）
    An unnamed user tried to log on to FS01 (failure)
    田中 が FS01 からログオフした
    田中 logged off from FS01
    admin01 が FS01 で 田中 の資格情報を明示して DC01 にログオンを試みた（svchost.exe）
    admin01 on FS01 used the credentials of 田中 explicitly to log on to DC01 (svchost.exe)
    admin01 が FS01 で特権を持つセッションを得た（プログラムのデバッグ、バックアップ）
    admin01 was given a session with special privileges on FS01 (debug programs, back up files)
    admin01 が FS01 で cmd.exe から vssadmin.exe を起動した：vssadmin delete shadows /all
    admin01 on FS01 started vssadmin.exe from cmd.exe: vssadmin delete shadows /all
    admin01 が FS01 にサービス PSEXESVC を登録した：%SystemRoot%\PSEXESVC.exe（開始：手動）
    admin01 installed the service PSEXESVC on FS01: %SystemRoot%\PSEXESVC.exe (starts on demand)
    admin01 が FS01 のスケジュールタスク \update を作成した
    admin01 created the scheduled task \update on FS01
    admin01 がアカウント backdoor を FS01 に作成した
    admin01 created the account backdoor on FS01
    admin01 がアカウント backdoor を FS01 から削除した
    admin01 deleted the account backdoor from FS01
    admin01 が CN=suzuki をグループ Domain Admins に加えた（FS01）
    admin01 added CN=suzuki to the group Domain Admins on FS01
    admin01 が S-1-5-21-1 をグループ Administrators に加えた（FS01）
    admin01 added S-1-5-21-1 to the group Administrators on FS01
    admin01 がアカウント 田中 の設定を FS01 で変更した
    admin01 changed the account 田中 on FS01
    アカウント suzuki が PC07 からの失敗により FS01 でロックアウトされた
    The account suzuki was locked out on FS01 after failures from PC07
    田中 が 10.1.2.3 から Kerberos の認証チケット (TGT) を FS01 に求めた（成功）
    田中 asked FS01 for a Kerberos ticket-granting ticket from 10.1.2.3 (success)
    田中 が Kerberos の認証チケット (TGT) を FS01 に求めた（失敗：存在しない利用者）
    田中 asked FS01 for a Kerberos ticket-granting ticket (failure: no such user)
    田中 が 10.1.2.3 からサービス MSSQLSvc の Kerberos チケットを求めた（暗号：RC4（弱い））（成功）
    田中 asked for a Kerberos ticket for the service MSSQLSvc from 10.1.2.3, encrypted with RC4 (weak) (success)
    田中 が 10.1.2.3 から Kerberos の事前認証をしようとした（失敗：パスワード誤り）
    田中 tried Kerberos preauthentication from 10.1.2.3 (failure: wrong password)
    FS01 が PC07 からの 田中 の資格情報を NTLM で検証した（失敗：存在しない利用者）
    FS01 checked the NTLM credentials of 田中 from PC07 (failure: no such user)
    admin01 が FS01 でプロセス lsass.exe を開こうとした（mimikatz.exe）
    admin01 on FS01 tried to open the process lsass.exe with mimikatz.exe
    admin01 が FS01 で D:\share\カルテ.xlsx にアクセスした
    admin01 on FS01 accessed D:\share\カルテ.xlsx
    admin01 が FS01 で D:\share のアクセス権を変更した
    admin01 on FS01 changed the permissions of D:\share
    admin01 が 10.1.2.3 から FS01 の共有 ADMIN$ を開いた
    admin01 opened the share ADMIN$ on FS01 from 10.1.2.3
    admin01 が 10.1.2.3 から FS01 の共有 C$ にある Windows\Temp\x.exe へのアクセスを要求した
    admin01 from 10.1.2.3 requested access to Windows\Temp\x.exe on the share C$ of FS01
    admin01 が FS01 のセキュリティログを消去した
    admin01 cleared the Security log of FS01
    admin01 が FS01 の監査ポリシーを変更した（成功と失敗の監査を除外）
    admin01 changed the audit policy of FS01 (success and failure removed)
    FS01 の Security にイベント 4999 が記録された（Microsoft-Windows-Security-Auditing）
    Event 4999 was logged to Security on FS01 by Microsoft-Windows-Security-Auditing
    "#);
}

#[test]
fn sysmon() {
    let event = |code, data: &[(&str, &str)]| {
        windows("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", code, data)
    };
    let image = ("Image", r"C:\Windows\System32\rundll32.exe");
    let events = [
        event(
            "1",
            &[
                ("Image", r"C:\Windows\System32\whoami.exe"),
                ("User", r"CORP\tanaka"),
                ("ParentImage", r"C:\Windows\System32\cmd.exe"),
                ("CommandLine", "whoami /all"),
            ],
        ),
        event(
            "3",
            &[
                image,
                ("DestinationIp", "203.0.113.9"),
                ("DestinationHostname", "-"),
                ("DestinationPort", "443"),
                ("User", r"CORP\tanaka"),
            ],
        ),
        event("5", &[image]),
        event("7", &[image, ("ImageLoaded", r"C:\x\evil.dll")]),
        event("8", &[("SourceImage", r"C:\x\a.exe"), ("TargetImage", r"C:\Windows\explorer.exe")]),
        event(
            "10",
            &[
                ("SourceImage", r"C:\x\a.exe"),
                ("TargetImage", r"C:\Windows\System32\lsass.exe"),
                ("GrantedAccess", "0x1410"),
            ],
        ),
        event("11", &[image, ("TargetFilename", r"C:\Users\Public\a.ps1")]),
        event("12", &[image, ("EventType", "CreateKey"), ("TargetObject", r"HKLM\Software\X")]),
        event(
            "13",
            &[
                image,
                ("EventType", "SetValue"),
                ("TargetObject", r"HKLM\Software\X\Run"),
                ("Details", r"C:\x\a.exe"),
            ],
        ),
        event("17", &[image, ("PipeName", r"\msagent_1")]),
        event("22", &[image, ("QueryName", "example.com"), ("QueryResults", "203.0.113.9;")]),
        event("25", &[image, ("Type", "Image is replaced")]),
    ];
    insta::assert_snapshot!(lines_of(&events), @r#"
    tanaka が FS01 で cmd.exe から whoami.exe を起動した：whoami /all
    tanaka on FS01 started whoami.exe from cmd.exe: whoami /all
    rundll32.exe が FS01 から 203.0.113.9 の 443 番ポート（HTTPS）へ通信した（tanaka）
    rundll32.exe on FS01 connected to 203.0.113.9 port 443 (HTTPS) as tanaka
    rundll32.exe が FS01 で終了した
    rundll32.exe ended on FS01
    rundll32.exe が FS01 で C:\x\evil.dll を読み込んだ
    rundll32.exe on FS01 loaded C:\x\evil.dll
    a.exe が FS01 で explorer.exe の中にスレッドを作った
    a.exe on FS01 created a thread inside explorer.exe
    a.exe が FS01 で lsass.exe のプロセスを開いた（権限：メモリの読み取り、情報の取得、限定情報の取得）
    a.exe on FS01 opened the process lsass.exe (access: read memory, query information, query limited information)
    rundll32.exe が FS01 に C:\Users\Public\a.ps1 を作成した
    rundll32.exe on FS01 created C:\Users\Public\a.ps1
    rundll32.exe が FS01 でレジストリキー HKLM\Software\X を作成した
    rundll32.exe on FS01 created the registry key HKLM\Software\X
    rundll32.exe が FS01 でレジストリ値 HKLM\Software\X\Run を設定した：C:\x\a.exe
    rundll32.exe on FS01 set the registry value HKLM\Software\X\Run to C:\x\a.exe
    rundll32.exe が FS01 に名前付きパイプ \msagent_1 を作成した
    rundll32.exe on FS01 created the named pipe \msagent_1
    rundll32.exe が FS01 で example.com の名前解決をした（応答：203.0.113.9;）
    rundll32.exe on FS01 looked up example.com (answer: 203.0.113.9;)
    rundll32.exe のプロセスイメージが FS01 で改ざんされた（Image is replaced）
    The image of rundll32.exe was tampered with on FS01 (Image is replaced)
    "#);
}

#[test]
fn other_windows_logs() {
    let scm = "Service Control Manager";
    let defender = "Microsoft-Windows-Windows Defender/Operational";
    let powershell = "Microsoft-Windows-PowerShell/Operational";
    let events = [
        windows(
            "System",
            scm,
            "7045",
            &[("ServiceName", "evil"), ("ImagePath", r"C:\x\a.exe"), ("StartType", "auto start")],
        ),
        windows("System", scm, "7036", &[("param1", "Windows Update"), ("param2", "stopped")]),
        windows(
            "System",
            "Microsoft-Windows-Eventlog",
            "104",
            &[("SubjectUserName", "admin01"), ("Channel", "System")],
        ),
        windows("System", "Else", "7036", &[("param1", "x")]),
        windows(
            powershell,
            "Microsoft-Windows-PowerShell",
            "4103",
            &[("Payload", "CommandInvocation(Get-Process): \"Get-Process\"\r\n")],
        ),
        windows(
            powershell,
            "Microsoft-Windows-PowerShell",
            "4104",
            &[("ScriptBlockText", "IEX (New-Object Net.WebClient)")],
        ),
        windows(
            "Windows PowerShell",
            "PowerShell",
            "400",
            &[(
                "Data",
                "Available, None, \tNewEngineState=Available\r\n\tHostApplication=powershell -nop -w hidden\r\n\tEngineVersion=5.1",
            )],
        ),
        windows(defender, "Microsoft-Windows-Windows Defender", "5001", &[("Product Name", "x")]),
        windows(
            defender,
            "Microsoft-Windows-Windows Defender",
            "5007",
            &[("New Value", r"HKLM\...\DisableRealtimeMonitoring = 0x1")],
        ),
        windows(
            defender,
            "Microsoft-Windows-Windows Defender",
            "1116",
            &[
                ("Threat Name", "Trojan:Win32/X"),
                ("Path", r"file:_C:\x\a.exe"),
                ("Detection User", r"CORP\tanaka"),
            ],
        ),
        windows(
            defender,
            "Microsoft-Windows-Windows Defender",
            "1117",
            &[("Threat Name", "Trojan:Win32/X"), ("Action Name", "Quarantine")],
        ),
    ];
    insta::assert_snapshot!(lines_of(&events), @r#"
    FS01 にサービス evil が登録された：C:\x\a.exe（開始：自動）
    The service evil was installed on FS01: C:\x\a.exe (starts automatically)
    FS01 のサービス Windows Update が停止状態になった
    The service Windows Update on FS01 entered the state "stopped"
    admin01 が FS01 のイベントログ System を消去した
    admin01 cleared the event log System of FS01
    FS01 の System にイベント 7036 が記録された（Else）
    Event 7036 was logged to System on FS01 by Else
    PowerShell のコマンドが FS01 で実行された：CommandInvocation(Get-Process): "Get-Process"
    A PowerShell command ran on FS01: CommandInvocation(Get-Process): "Get-Process"
    PowerShell のスクリプトが FS01 で実行された：IEX (New-Object Net.WebClient)
    A PowerShell script ran on FS01: IEX (New-Object Net.WebClient)
    PowerShell が FS01 で起動した：powershell -nop -w hidden
    PowerShell started on FS01: powershell -nop -w hidden
    Defender のリアルタイム保護が FS01 で無効になった
    Real-time protection of Defender was switched off on FS01
    Defender の設定が FS01 で変わった：HKLM\...\DisableRealtimeMonitoring = 0x1
    The configuration of Defender changed on FS01: HKLM\...\DisableRealtimeMonitoring = 0x1
    Defender が FS01 で Trojan:Win32/X を検知した：C:\x\a.exe（利用者 tanaka）
    Defender on FS01 detected Trojan:Win32/X: C:\x\a.exe (user tanaka)
    Defender が FS01 で Trojan:Win32/X に対処した（隔離）
    Defender on FS01 acted on Trojan:Win32/X (quarantined)
    "#);
}

#[test]
fn text_lines() {
    let lines = [
        "<38>Nov 21 11:59:59 web01 sshd[42]: Accepted publickey for tanaka from 192.0.2.7 port 50022 ssh2: RSA SHA256:x",
        "<38>Nov 21 11:59:59 web01 sshd[42]: Failed password for invalid user admin from 192.0.2.7 port 50022 ssh2",
        "<38>Nov 21 11:59:59 web01 sshd[42]: Invalid user admin from 192.0.2.7 port 50022",
        "<38>Nov 21 11:59:59 web01 sshd[42]: Disconnected from user tanaka 192.0.2.7 port 50022",
        "<38>Nov 21 11:59:59 web01 sshd[42]: Received disconnect from 192.0.2.7: 11: Bye Bye [preauth]",
        "<86>Nov 21 11:59:59 web01 sudo:   tanaka : TTY=pts/0 ; PWD=/home/tanaka ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow",
        "<86>Nov 21 11:59:59 web01 sudo:   tanaka : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        "<86>Nov 21 11:59:59 web01 su: (to root) tanaka on pts/1",
        "<86>Nov 21 11:59:59 web01 sshd[9]: pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)",
        "<86>Nov 21 11:59:59 web01 CRON[9]: pam_unix(cron:session): session closed for user root",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=198.51.100.4  user=root",
        "<86>Nov 21 11:59:59 web01 useradd[7]: new user: name=backdoor, UID=1001, GID=1001, home=/home/backdoor, shell=/bin/bash, from=/dev/pts/0",
        "<13>Nov 21 11:59:59 web01 kernel: usb 1-1: new device",
        "203.0.113.9 - - [21/Nov/2026:10:00:00 +0900] \"GET /a/b?q=1 HTTP/1.1\" 404 153 \"-\" \"curl/8\"",
        "[Sun Dec 04 04:47:44 2005] [error] [client 192.0.2.8] File does not exist: /x",
        "<189>date=2026-11-21 time=10:00:00 devname=\"FG100\" logid=\"0101039426\" type=\"event\" subtype=\"vpn\" tz=\"+0900\" action=\"ssl-login-fail\" remip=203.0.113.9 user=\"tanaka\" reason=\"sslvpn_login_permission_denied\"",
        "<189>date=2026-11-21 time=10:00:00 devname=\"FG100\" logid=\"0101039424\" type=\"event\" subtype=\"vpn\" tz=\"+0900\" action=\"tunnel-up\" remip=203.0.113.9 tunnelip=10.9.0.2 user=\"tanaka\"",
        "<29>Nov 21 11:59:59 vpn01 openvpn[5]: 203.0.113.9:50022 [tanaka] Peer Connection Initiated with [AF_INET]203.0.113.9:50022",
        "{\"service\":\"billing\",\"message\":\"paid\",\"host\":{\"name\":\"app1\"}}",
        "{\"message\":\"<38>Nov 21 11:59:59 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2\",\"agent\":{\"type\":\"filebeat\"}}",
        "type=EXECVE msg=audit(1604994496.155:92733): argc=2 a0=\"arp\" a1=\"-a\"",
        "hello\u{0}\u{202e}there",
        "",
    ];
    insta::assert_snapshot!(lines_of(&lines.map(str::to_owned)), @r#"
    tanaka が 192.0.2.7 から web01 に SSH でログオンした（成功）
    tanaka logged on to web01 over SSH from 192.0.2.7 (success)
    admin が 192.0.2.7 から web01 に SSH でログオンしようとした（失敗：存在しない利用者）
    admin failed to log on to web01 over SSH from 192.0.2.7 (failure: no such user)
    存在しない利用者 admin が 192.0.2.7 から web01 に SSH でログオンしようとした（失敗）
    admin, who does not exist, tried to log on to web01 over SSH from 192.0.2.7 (failure)
    192.0.2.7 の tanaka が web01 への SSH 接続を終えた
    tanaka at 192.0.2.7 ended the SSH connection to web01
    192.0.2.7 が web01 への SSH 接続を終えた
    192.0.2.7 ended the SSH connection to web01
    tanaka が web01 で sudo により root として実行した：/usr/bin/cat /etc/shadow
    tanaka ran as root with sudo on web01: /usr/bin/cat /etc/shadow
    tanaka が web01 で sudo により root として実行しようとした：/bin/sh（失敗：3 incorrect password attempts）
    tanaka tried to run as root with sudo on web01: /bin/sh (failure: 3 incorrect password attempts)
    tanaka が web01 で root に切り替えた（成功）
    tanaka switched to root on web01 (success)
    root のセッションが web01 で始まった（sshd）
    A session of root began on web01 (sshd)
    root のセッションが web01 で終わった（CRON）
    A session of root ended on web01 (CRON)
    root が 198.51.100.4 から combo で認証に失敗した（sshd）（失敗）
    root failed to authenticate on combo from 198.51.100.4 (sshd) (failure)
    利用者 backdoor が web01 に作成された
    The user backdoor was added on web01
    web01 の kernel の記録（注意）：usb 1-1: new device
    kernel on web01 says (notice): usb 1-1: new device
    203.0.113.9 がウェブサーバーの /a/b?q=1 を GET した（404 見つからない）
    203.0.113.9 requested GET /a/b?q=1 from the web server (404 not found)
    ウェブサーバーの記録（エラー）、接続元 192.0.2.8：File does not exist: /x
    The web server says (error) about 192.0.2.8: File does not exist: /x
    tanaka が 203.0.113.9 から FG100 に VPN でログオンしようとした（失敗：許可されていない利用者）
    tanaka tried to log on to the VPN at FG100 from 203.0.113.9 (failure: permission denied)
    tanaka が 203.0.113.9 から FG100 に VPN 接続した（割り当て 10.9.0.2）（成功）
    tanaka connected to the VPN at FG100 from 203.0.113.9, given 10.9.0.2 (success)
    tanaka が 203.0.113.9 から vpn01 に VPN でログオンした（成功）
    tanaka logged on to the VPN at vpn01 from 203.0.113.9 (success)
    app1 の記録：paid
    A record on app1: paid
    root が 192.0.2.7 から web01 に SSH でログオンしようとした（失敗）
    root failed to log on to web01 over SSH from 192.0.2.7 (failure)
    名前のない利用者がこのホストで実行した：arp -a
    An unnamed user ran on this host: arp -a
    種類の分からない記録：hello there
    A record of an unknown kind: hello there
    種類の分からない記録：（空）
    A record of an unknown kind: (empty)
    "#);
}

#[test]
fn our_own_acts() {
    let lines = [
        json!({"event.action":"alert.raised","alert.id":"7","rule.name":"LSASS access","alert.sentence_ja":"a.exe が開いた","alert.sentence_en":"a.exe opened"}).to_string(),
        json!({"event.action":"alert.closed","alert.id":"7","user.name":"suzuki","alert.verdict":"false_positive","alert.note":"点検"}).to_string(),
        json!({"event.action":"import.finished","user.name":"suzuki","event.outcome":"success"}).to_string(),
    ];
    let run = common::run_of("audit", yagura_event::Transport::Internal, lines);
    let normalizer = common::normalizer();
    let mut text = String::new();
    for record in &run.records {
        let one = yagura_event::CommittedRun { records: vec![record.clone()], ..run.clone() };
        let read = normalizer.describe(&one).unwrap();
        assert_eq!(read.dataset, "yagura.audit");
        text.push_str(&format!("{}\n{}\n", read.sentence_ja, read.sentence_en));
    }
    insta::assert_snapshot!(text, @r#"
    アラート「LSASS access」が上がった：a.exe が開いた
    The alert "LSASS access" was raised: a.exe opened
    suzuki がアラート 7 を閉じた（判定：false_positive）：点検
    suzuki closed the alert 7 as false_positive: 点検
    suzuki が「import.finished」を行った（成功）
    suzuki did "import.finished" (success)
    "#);
}
