//! Windows events as Winlogbeat 8 sends them.

use crate::hospital::DOMAIN;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Where an event is logged.
#[derive(Clone, Copy)]
pub struct Source {
    channel: &'static str,
    provider: &'static str,
}

pub const SECURITY: Source =
    Source { channel: "Security", provider: "Microsoft-Windows-Security-Auditing" };
pub const SECURITY_EVENTLOG: Source =
    Source { channel: "Security", provider: "Microsoft-Windows-Eventlog" };
pub const SYSTEM_SCM: Source = Source { channel: "System", provider: "Service Control Manager" };
pub const SYSMON: Source = Source {
    channel: "Microsoft-Windows-Sysmon/Operational",
    provider: "Microsoft-Windows-Sysmon",
};
pub const DEFENDER: Source = Source {
    channel: "Microsoft-Windows-Windows Defender/Operational",
    provider: "Microsoft-Windows-Windows Defender",
};
pub const POWERSHELL: Source = Source {
    channel: "Microsoft-Windows-PowerShell/Operational",
    provider: "Microsoft-Windows-PowerShell",
};

/// One event of `computer`, with the event data as name and value pairs.
pub fn event(
    at: Timestamp,
    computer: &str,
    source: Source,
    code: u32,
    data: &[(&str, &str)],
) -> Value {
    let data: Map<String, Value> =
        data.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let full_name = format!("{computer}.{DOMAIN}");
    json!({
        "@timestamp": format!("{at:.3}"),
        "agent": { "type": "winlogbeat", "version": "8.15.0" },
        "ecs": { "version": "8.0.0" },
        "event": { "code": code.to_string(), "kind": "event", "provider": source.provider },
        "host": { "name": full_name },
        "log": { "level": "information" },
        "winlog": {
            "api": "wineventlog",
            "channel": source.channel,
            "computer_name": full_name,
            "event_id": code.to_string(),
            "provider_name": source.provider,
            "event_data": data,
        },
    })
}

/// A successful logon (4624) of `kind` (2 interactive, 3 network, 10 remote desktop) from `address`.
pub fn logon(at: Timestamp, computer: &str, user: &str, kind: &str, address: &str) -> Value {
    let package = if kind == "2" { "Negotiate" } else { "Kerberos" };
    event(
        at,
        computer,
        SECURITY,
        4624,
        &[
            ("SubjectUserName", "-"),
            ("TargetUserName", user),
            ("TargetDomainName", "HOSPITAL"),
            ("TargetLogonId", "0x3e7a12"),
            ("LogonType", kind),
            ("LogonProcessName", "User32"),
            ("AuthenticationPackageName", package),
            ("KeyLength", "128"),
            ("WorkstationName", computer),
            ("IpAddress", address),
            ("IpPort", "50122"),
        ],
    )
}

/// A process started (Sysmon 1).
pub fn process(
    at: Timestamp,
    computer: &str,
    user: &str,
    image: &str,
    command_line: &str,
    parent: &str,
) -> Value {
    let user = format!("HOSPITAL\\{user}");
    let original = image.rsplit('\\').next().unwrap_or(image);
    event(
        at,
        computer,
        SYSMON,
        1,
        &[
            ("UtcTime", &format!("{:.3}", at.strftime("%Y-%m-%d %H:%M:%S%.3f"))),
            ("ProcessId", "6120"),
            ("Image", image),
            ("OriginalFileName", original),
            ("CommandLine", command_line),
            ("CurrentDirectory", "C:\\Windows\\system32\\"),
            ("User", &user),
            ("IntegrityLevel", "Medium"),
            ("ParentProcessId", "3344"),
            ("ParentImage", parent),
            ("ParentCommandLine", parent),
        ],
    )
}

/// A file on a share was touched (5145).
pub fn share_access(
    at: Timestamp,
    server: &str,
    user: &str,
    address: &str,
    share: &str,
    file: &str,
    mask: &str,
) -> Value {
    event(
        at,
        server,
        SECURITY,
        5145,
        &[
            ("SubjectUserName", user),
            ("SubjectDomainName", "HOSPITAL"),
            ("ObjectType", "File"),
            ("IpAddress", address),
            ("IpPort", "50455"),
            ("ShareName", share),
            ("ShareLocalPath", "\\??\\D:\\share"),
            ("RelativeTargetName", file),
            ("AccessMask", mask),
            // Windows writes the same rights a second time as message numbers.
            ("AccessList", if mask == "0x2" { "%%4417" } else { "%%4416" }),
        ],
    )
}
