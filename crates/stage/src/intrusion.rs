//! The intrusion, in the four phases ransomware gangs went through in Japanese hospitals: in by
//! the VPN, defences off, credentials and spread, then encryption, backups and traces.

use crate::hospital::{INTRUDER, INTRUDER_INSIDE, STOLEN_ACCOUNT};
use crate::timeline::{Message, Timeline, syslog};
use crate::windows::{
    DEFENDER, POWERSHELL, SECURITY, SECURITY_EVENTLOG, SYSMON, SYSTEM_SCM, event, logon, process,
    share_access,
};

const MINUTE_MS: u64 = 60_000;
const CMD: &str = "C:\\Windows\\System32\\cmd.exe";
const POWERSHELL_EXE: &str = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe";

/// Adds the intrusion to `timeline`, from the twentieth to the fifty-fifth minute.
pub fn play(timeline: &mut Timeline) {
    initial_access(timeline, 20 * MINUTE_MS);
    defence_evasion(timeline, 27 * MINUTE_MS);
    credentials_and_spread(timeline, 34 * MINUTE_MS);
    impact(timeline, 46 * MINUTE_MS);
}

/// Twenty-four guesses at the VPN within a minute, the last of which is right; then remote desktop.
fn initial_access(timeline: &mut Timeline, start: u64) {
    for guess in 0..24 {
        let at = timeline.at(start + guess * 2_300);
        let user = ["admin", "test", "nurse", STOLEN_ACCOUNT][guess as usize % 4];
        vpn(timeline, at, "ssl-login-fail", user, "sslvpn_login_permission_denied");
    }
    let at = timeline.at(start + 58_000);
    vpn(timeline, at, "tunnel-up", STOLEN_ACCOUNT, "SSL tunnel established");
    let at = timeline.at(start + 3 * MINUTE_MS);
    let entry = logon(at, "TS01", STOLEN_ACCOUNT, "10", INTRUDER_INSIDE);
    timeline.add(at, Message::Bulk(entry));
}

fn vpn(timeline: &mut Timeline, at: jiff::Timestamp, action: &str, user: &str, message: &str) {
    let text = format!(
        "logid=\"0101039426\" type=\"event\" subtype=\"vpn\" level=\"alert\" action=\"{action}\" \
         user=\"{user}\" remip={INTRUDER} msg=\"{message}\""
    );
    timeline.add(at, Message::SyslogUdp(syslog(at, 185, "vpn01", "fortigate", &text)));
}

fn defence_evasion(timeline: &mut Timeline, start: u64) {
    let command = "powershell.exe -NoProfile Set-MpPreference -DisableRealtimeMonitoring $true";
    let at = timeline.at(start);
    let off = process(at, "TS01", STOLEN_ACCOUNT, POWERSHELL_EXE, command, CMD);
    timeline.add(at, Message::Bulk(off));
    let at = timeline.at(start + 300);
    let block = [
        ("MessageNumber", "1"),
        ("MessageTotal", "1"),
        ("ScriptBlockText", "Set-MpPreference -DisableRealtimeMonitoring $true"),
        ("ScriptBlockId", "0f4c6a1e-6a5d-4f57-9f0e-2f6d1c3b7a10"),
    ];
    timeline.add(at, Message::Bulk(event(at, "TS01", POWERSHELL, 4104, &block)));
    let at = timeline.at(start + 900);
    let defender =
        [("Product Name", "Microsoft Defender Antivirus"), ("Product Version", "4.18.24090.11")];
    timeline.add(at, Message::Bulk(event(at, "TS01", DEFENDER, 5001, &defender)));
    let at = timeline.at(start + 2 * MINUTE_MS);
    let service = [
        ("ServiceName", "AnyDeskHelper"),
        ("ImagePath", "C:\\ProgramData\\anydesk.exe --service"),
        ("ServiceType", "user mode service"),
        ("StartType", "auto start"),
        ("AccountName", "LocalSystem"),
    ];
    timeline.add(at, Message::Bulk(event(at, "TS01", SYSTEM_SCM, 7045, &service)));
}

fn credentials_and_spread(timeline: &mut Timeline, start: u64) {
    let at = timeline.at(start);
    let lsass = [
        ("SourceImage", "C:\\ProgramData\\m.exe"),
        ("SourceProcessId", "7788"),
        ("TargetImage", "C:\\Windows\\System32\\lsass.exe"),
        ("TargetProcessId", "664"),
        ("GrantedAccess", "0x1010"),
        ("CallTrace", "C:\\Windows\\SYSTEM32\\ntdll.dll+9d4c4|UNKNOWN(00000000001C0DE5)"),
        ("SourceUser", "HOSPITAL\\vendor01"),
        ("TargetUser", "NT AUTHORITY\\SYSTEM"),
    ];
    timeline.add(at, Message::Bulk(event(at, "TS01", SYSMON, 10, &lsass)));
    let at = timeline.at(start + 2 * MINUTE_MS);
    let hash = [
        ("SubjectUserName", STOLEN_ACCOUNT),
        ("TargetUserName", "administrator"),
        ("TargetDomainName", "HOSPITAL"),
        ("LogonType", "9"),
        ("LogonProcessName", "seclogo"),
        ("AuthenticationPackageName", "Negotiate"),
        ("IpAddress", "::1"),
        ("IpPort", "0"),
        ("WorkstationName", "TS01"),
        ("KeyLength", "0"),
    ];
    timeline.add(at, Message::Bulk(event(at, "TS01", SECURITY, 4624, &hash)));
    for (number, server) in ["DC01", "FS01", "BK01"].into_iter().enumerate() {
        let at = timeline.at(start + (4 + number as u64) * MINUTE_MS);
        timeline.add(at, Message::Bulk(logon(at, server, "administrator", "3", INTRUDER_INSIDE)));
        let at = timeline.at(start + (4 + number as u64) * MINUTE_MS + 700);
        let share = share_access(
            at,
            server,
            "administrator",
            INTRUDER_INSIDE,
            "\\\\*\\C$",
            "ProgramData\\locker.exe",
            "0x2",
        );
        timeline.add(at, Message::Bulk(share));
    }
}

/// Three hundred files overwritten in fifteen seconds, backups deleted, the log cleared.
fn impact(timeline: &mut Timeline, start: u64) {
    let at = timeline.at(start);
    let shadows = "vssadmin.exe delete shadows /all /quiet";
    let image = "C:\\Windows\\System32\\vssadmin.exe";
    let delete = process(at, "FS01", "administrator", image, shadows, CMD);
    timeline.add(at, Message::Bulk(delete));
    for number in 0..300 {
        let at = timeline.at(start + 20_000 + number * 50);
        let file = format!("カルテ\\{:05}.dat.locked", 20_000 + number);
        let share = "\\\\*\\共有";
        let write = share_access(at, "FS01", "administrator", INTRUDER_INSIDE, share, &file, "0x2");
        timeline.add(at, Message::Bulk(write));
    }
    let at = timeline.at(start + 2 * MINUTE_MS);
    let image = "C:\\Windows\\System32\\wevtutil.exe";
    let clear = process(at, "FS01", "administrator", image, "wevtutil.exe cl Security", CMD);
    timeline.add(at, Message::Bulk(clear));
    let at = timeline.at(start + 2 * MINUTE_MS + 400);
    let cleared = [("SubjectUserName", "administrator"), ("SubjectDomainName", "HOSPITAL")];
    timeline.add(at, Message::Bulk(event(at, "FS01", SECURITY_EVENTLOG, 1102, &cleared)));
}
