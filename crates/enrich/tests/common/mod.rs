//! A writer of address databases for tests (MaxMind DB File Format Specification 2.0).

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A value of the data section.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    /// Of 32 bits.
    Number(u64),
    /// Of another type: 5 has 16 bits, 9 has 64.
    Sized(u8, u64),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// A map of values.
pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Names in two languages.
pub fn names(ja: &str, en: &str) -> Value {
    map([("names", map([("ja", text(ja)), ("en", text(en))]))])
}

/// A country as databases of countries and cities have it.
pub fn country(code: &str, ja: &str, en: &str) -> Value {
    let names = map([("ja", text(ja)), ("en", text(en))]);
    map([("iso_code", text(code)), ("names", names)])
}

fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (low, rest): (u8, Vec<u8>) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        _ => (30, vec![((size - 285) >> 8) as u8, (size - 285) as u8]),
    };
    match kind {
        0..=7 => out.push(kind << 5 | low),
        _ => out.extend([low, kind - 7]),
    }
    out.extend(rest);
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) => {
                head(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Value::Number(number) => Value::Sized(6, *number).write(out),
            Value::Sized(kind, number) => {
                let bytes = number.to_be_bytes();
                let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
                head(out, *kind, bytes.len() - from);
                out.extend(&bytes[from..]);
            }
            Value::List(values) => {
                head(out, 11, values.len());
                values.iter().for_each(|value| value.write(out));
            }
            Value::Map(values) => {
                head(out, 7, values.len());
                for (key, value) in values {
                    text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// The bytes of a database of that type, with a value for each prefix.
pub fn database(kind: &str, prefixes: &[(&str, Value)]) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum Record {
        Empty,
        Node(u32),
        Data(u32),
    }
    let mut nodes = vec![[Record::Empty; 2]];
    let mut data = Vec::new();
    for (prefix, value) in prefixes {
        let (address, length) = prefix.split_once('/').unwrap();
        let mut length: u32 = length.parse().unwrap();
        let bits = match address.parse().unwrap() {
            IpAddr::V4(v4) => {
                length += 96;
                u128::from(u32::from(v4))
            }
            IpAddr::V6(v6) => v6.into(),
        };
        let at = data.len() as u32;
        value.write(&mut data);
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = Record::Data(at);
                break;
            }
            node = match nodes[node][side] {
                Record::Node(next) => next as usize,
                before => {
                    nodes.push([before; 2]);
                    let next = nodes.len() - 1;
                    nodes[node][side] = Record::Node(next as u32);
                    next
                }
            };
        }
    }
    let count = nodes.len() as u32;
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Record::Empty => count,
            Record::Node(node) => *node,
            Record::Data(at) => count + 16 + at,
        };
        file.extend(&number.to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(&data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    map([
        ("binary_format_major_version", Value::Sized(5, 2)),
        ("binary_format_minor_version", Value::Sized(5, 0)),
        ("build_epoch", Value::Sized(9, 1_795_000_000)),
        ("database_type", text(kind)),
        ("description", map([("en", text("of a test"))])),
        ("ip_version", Value::Sized(5, 6)),
        ("languages", Value::List(vec![text("en"), text("ja")])),
        ("node_count", Value::Number(u64::from(count))),
        ("record_size", Value::Sized(5, 24)),
    ])
    .write(&mut file);
    file
}

/// Cities of documentation addresses.
pub fn cities() -> Vec<u8> {
    let tokyo = map([
        ("country", country("JP", "日本", "Japan")),
        ("subdivisions", Value::List(vec![names("東京都", "Tokyo")])),
        ("city", names("千代田区", "Chiyoda")),
    ]);
    let plain = map([("country", country("NL", "オランダ", "Netherlands"))]);
    database(
        "Test-City",
        &[
            ("203.0.113.0/24", plain.clone()),
            ("203.0.113.128/25", tokyo.clone()),
            ("2001:db8:1::/48", tokyo),
        ],
    )
}

/// Autonomous systems of documentation addresses.
pub fn systems() -> Vec<u8> {
    let system = |number, name: &str| {
        map([
            ("autonomous_system_number", Value::Number(number)),
            ("autonomous_system_organization", text(name)),
        ])
    };
    database(
        "Test-ASN",
        &[
            ("203.0.113.0/24", system(64_496, "Example Net")),
            ("198.51.100.0/24", system(64_511, "例示通信")),
        ],
    )
}
