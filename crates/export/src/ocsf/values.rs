//! Values as OCSF types them.

use serde_json::{Value, json};

/// Attributes that are whole numbers.
const NUMBERS: [&str; 7] =
    ["code", "exit_code", "length", "pid", "port", "protocol_num", "sequence"];

/// Attributes that are milliseconds since 1970, and come as instants.
const INSTANTS: [&str; 3] = ["start_time", "end_time", "logged_time"];

/// Paths of the dictionary whose objects need more than one field can tell, or that are no attribute
/// of the classes we write: their fields are in `unmapped`.
const LEFT_OUT: [&str; 14] = [
    "category_name",
    "activity_name",
    "comment",
    "verdict",
    "rule",
    "attacks",
    "malware",
    "vulnerabilities",
    "resources",
    "email",
    "finding_info",
    "tls.certificate",
    "container",
    "risk_score",
];

/// The value of the attribute at `path`; `None` where the text is none of its kind.
pub(super) fn value_at(path: &str, text: &str) -> Option<Value> {
    let inside = |prefix: &&str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if LEFT_OUT.iter().any(inside) {
        return None;
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    let above = path.rsplit('.').nth(1).unwrap_or_default();
    if path == "duration" {
        // ECS counts nanoseconds.
        return Some(json!(text.parse::<i64>().ok()?.div_euclid(1_000_000)));
    }
    if NUMBERS.contains(&last) || above == "traffic" || path.ends_with("autonomous_system.number") {
        return Some(json!(text.parse::<i64>().ok()?));
    }
    if path == "file.size" {
        return Some(json!(text.parse::<i64>().ok()?));
    }
    if INSTANTS.contains(&last) {
        let instant = text.parse::<jiff::Timestamp>().ok()?;
        return Some(json!(instant.as_millisecond()));
    }
    match last {
        "hashes" => fingerprints(text),
        "answers" => Some(answers(text)),
        "ja3_hash" | "ja3s_hash" => None,
        "ip" => text.parse::<std::net::IpAddr>().ok().map(|ip| json!(ip.to_string())),
        "owner" => Some(json!({ "name": text })),
        _ => Some(json!(text)),
    }
}

/// `SHA256=...,MD5=...`, or one digest that its length tells.
fn fingerprints(text: &str) -> Option<Value> {
    let one = |text: &str| {
        let (name, value) = match text.split_once(['=', ':']) {
            Some((name, value)) => (Some(name.trim()), value.trim()),
            None => (None, text.trim()),
        };
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (id, caption) = match (name.map(str::to_ascii_uppercase).as_deref(), value.len()) {
            (Some("MD5"), _) | (None, 32) => (1, "MD5"),
            (Some("SHA1" | "SHA-1"), _) | (None, 40) => (2, "SHA-1"),
            (Some("SHA256" | "SHA-256"), _) | (None, 64) => (3, "SHA-256"),
            (Some("SHA512" | "SHA-512"), _) | (None, 128) => (4, "SHA-512"),
            (Some("IMPHASH"), _) => (99, "imphash"),
            _ => (0, "Unknown"),
        };
        Some(json!({ "algorithm_id": id, "algorithm": caption, "value": value }))
    };
    let all: Option<Vec<Value>> = text.split([',', ';']).map(one).collect();
    all.filter(|all| !all.is_empty()).map(Value::Array)
}

/// Answers as Sysmon and name servers join them.
fn answers(text: &str) -> Value {
    let parts = text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty());
    Value::Array(parts.map(|part| json!({ "rdata": part })).collect())
}

/// Identifier and caption of a severity, from the word a source has for it.
pub(super) fn severity(level: Option<&str>) -> (i64, &'static str) {
    match level.map(str::to_ascii_lowercase).as_deref() {
        None => (0, "Unknown"),
        Some(
            "debug" | "trace" | "verbose" | "info" | "information" | "informational" | "notice"
            | "audit success" | "0",
        ) => (1, "Informational"),
        Some("low" | "warn" | "warning" | "audit failure") => (2, "Low"),
        Some("medium" | "err" | "error") => (3, "Medium"),
        Some("high") => (4, "High"),
        Some("crit" | "critical") => (5, "Critical"),
        Some("alert" | "emerg" | "emergency" | "fatal" | "panic") => (6, "Fatal"),
        Some(_) => (0, "Unknown"),
    }
}

/// Identifier of a DNS response code (RFC 6895).
pub(super) fn rcode(name: &str) -> i64 {
    match name.to_ascii_uppercase().as_str() {
        "NOERROR" | "0" => 0,
        "FORMERR" | "1" => 1,
        "SERVFAIL" | "2" => 2,
        "NXDOMAIN" | "3" => 3,
        "NOTIMP" | "4" => 4,
        "REFUSED" | "5" => 5,
        _ => 99,
    }
}

/// Identifier of a connection's direction.
pub(super) fn direction(name: &str) -> i64 {
    match name.to_ascii_lowercase().as_str() {
        "inbound" | "ingress" | "in" => 1,
        "outbound" | "egress" | "out" => 2,
        "internal" | "lateral" => 3,
        "" | "unknown" => 0,
        _ => 99,
    }
}

/// Identifier of a kind of device.
pub(super) fn device_type(name: &str) -> i64 {
    let kinds = [
        "server",
        "desktop",
        "laptop",
        "tablet",
        "mobile",
        "virtual",
        "iot",
        "browser",
        "firewall",
        "switch",
        "hub",
        "router",
        "ids",
        "ips",
        "load balancer",
    ];
    let name = name.to_ascii_lowercase();
    kinds.iter().position(|kind| *kind == name).map_or(99, |at| at as i64 + 1)
}

/// Identifier of an operating system's family.
pub(super) fn os_type(name: &str) -> i64 {
    match name.to_ascii_lowercase().as_str() {
        "windows" => 100,
        "linux" => 200,
        "android" => 201,
        "macos" | "darwin" => 300,
        "ios" => 301,
        _ => 99,
    }
}
