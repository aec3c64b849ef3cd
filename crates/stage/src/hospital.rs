//! The hospital of the demo: its people, machines and addresses (documentation ranges outside).

/// The hospital's Windows domain.
pub const DOMAIN: &str = "hospital.example";

/// Address of the intruder (RFC 5737 documentation range).
pub const INTRUDER: &str = "203.0.113.66";

/// The account the intruder gets hold of: a maintenance contractor's.
pub const STOLEN_ACCOUNT: &str = "vendor01";

/// Address the VPN gives the intruder.
pub const INTRUDER_INSIDE: &str = "10.8.0.66";

/// Thirty people with an account and a workstation each.
pub const STAFF: [&str; 30] = [
    "tanaka",
    "suzuki",
    "sato",
    "takahashi",
    "watanabe",
    "ito",
    "yamamoto",
    "nakamura",
    "kobayashi",
    "kato",
    "yoshida",
    "yamada",
    "sasaki",
    "yamaguchi",
    "matsumoto",
    "inoue",
    "kimura",
    "hayashi",
    "shimizu",
    "yamazaki",
    "mori",
    "abe",
    "ikeda",
    "hashimoto",
    "ishikawa",
    "ogawa",
    "goto",
    "okada",
    "hasegawa",
    "fujita",
];

/// Workstation of the person at `index` of [`STAFF`].
pub fn workstation(index: usize) -> String {
    format!("WS{:02}", index + 1)
}

/// Inside address of the person at `index` of [`STAFF`].
pub fn address(index: usize) -> String {
    format!("10.1.2.{}", 10 + index)
}
