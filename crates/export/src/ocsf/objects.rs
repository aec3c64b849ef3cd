//! What objects of OCSF must have.

use super::values::{device_type, direction, os_type, rcode};
use serde_json::{Map, Value, json};

/// Every place of an object that asks for something, parts before wholes.
pub(super) const PATHS: &[&str] = &[
    "device.os",
    "device",
    "src_endpoint",
    "dst_endpoint",
    "user",
    "actor.user",
    "group",
    "process.file",
    "process.parent_process.file",
    "process.parent_process",
    "process",
    "actor.process.file",
    "actor.process.parent_process.file",
    "actor.process.parent_process",
    "actor.process",
    "actor.session",
    "session",
    "file",
    "connection_info",
    "tls",
    "http_request.url",
    "http_response",
    "query",
    "cloud",
    "reg_key",
    "reg_value",
    "win_service",
    "service",
    "api",
];

/// Adds what follows from the rest. `false` where the object cannot have what it must.
pub(super) fn complete(path: &str, object: &mut Map<String, Value>) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    let has = |object: &Map<String, Value>, names: &[&str]| {
        names.iter().any(|name| object.contains_key(*name))
    };
    match last {
        "os" => {
            let kind = object.get("type").and_then(Value::as_str).map(os_type);
            let name = object.get("name").or_else(|| object.get("type")).cloned();
            object.insert("type_id".to_owned(), json!(kind.unwrap_or(0)));
            name.map(|name| object.insert("name".to_owned(), name)).is_some()
        }
        "device" => {
            let kind = object.get("type").and_then(Value::as_str).map(device_type);
            object.insert("type_id".to_owned(), json!(kind.unwrap_or(0)));
            has(object, &["ip", "uid", "name", "hostname"])
        }
        "src_endpoint" | "dst_endpoint" => {
            has(object, &["ip", "uid", "name", "hostname", "domain"])
        }
        "user" => has(object, &["name", "uid"]),
        "group" => has(object, &["name", "uid"]),
        "session" => has(object, &["uid"]),
        "process" | "parent_process" => has(object, &["pid", "uid"]),
        "file" => {
            if !object.contains_key("name") {
                let path = object.get("path").and_then(Value::as_str);
                let Some(name) = path.and_then(|path| path.rsplit(['/', '\\']).next()) else {
                    return false;
                };
                let name = if name.is_empty() { path.unwrap_or_default() } else { name };
                let name = json!(name);
                object.insert("name".to_owned(), name);
            }
            object.entry("type_id").or_insert(json!(0));
            true
        }
        "connection_info" => {
            let known = object.get("direction").and_then(Value::as_str).unwrap_or_default();
            let id = direction(known);
            object.insert("direction_id".to_owned(), json!(id));
            true
        }
        "tls" => has(object, &["version"]),
        "url" => has(object, &["url_string", "path"]),
        "http_response" => has(object, &["code"]),
        "query" => has(object, &["hostname"]),
        "cloud" => has(object, &["provider"]),
        "reg_key" => has(object, &["path"]),
        "reg_value" => has(object, &["name"]) && has(object, &["path"]),
        "win_service" | "service" => has(object, &["name"]),
        "api" => has(object, &["operation"]),
        _ => true,
    }
}

/// The identifier beside a DNS response code.
pub(super) fn with_rcode(body: &mut Map<String, Value>) {
    if let Some(id) = body.get("rcode").and_then(Value::as_str).map(rcode) {
        body.insert("rcode_id".to_owned(), json!(id));
    }
}
