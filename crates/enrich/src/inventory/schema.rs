//! What the columns of an inventory are called, and what becomes of them.

use serde::{Deserialize, Serialize};

/// Which inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// People and accounts.
    Users,
    /// Machines.
    Assets,
}

/// By what a row is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Sid,
    Email,
    Address,
}

impl Key {
    /// Kinds of key that are texts.
    pub(crate) const COUNT: usize = 3;
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Rows are found by it; a cell may list several, with `;` between them.
    Key(Key),
    /// It is the value number so-and-so of [`Kind::fields`], as it stands.
    Text(usize),
    /// One of [`CRITICALITIES`].
    Criticality(usize),
    /// Yes or no.
    Flag(usize),
}

/// A column: the names that a header may give it, lower-case, and its use.
pub(crate) struct Column {
    pub(crate) names: &'static [&'static str],
    pub(crate) becomes: Use,
}

/// What a user's values are called below `user.` and `user.target.`.
pub(crate) const USER_FIELDS: [&str; 5] =
    ["full_name", "department", "title", "roles", "privileged"];

/// What an asset's values are called below `host.`.
pub(crate) const ASSET_FIELDS: [&str; 5] =
    ["asset.name", "asset.criticality", "owner", "purpose", "location"];

/// How much depends on an asset, and the Japanese words for it.
pub(crate) const CRITICALITIES: [(&str, &[&str]); 4] = [
    ("low", &["low", "低", "低い"]),
    ("medium", &["medium", "中", "普通"]),
    ("high", &["high", "高", "高い"]),
    ("critical", &["critical", "最高", "最重要"]),
];

const USERS: [Column; 8] = [
    Column {
        names: &["name", "user.name", "samaccountname", "login", "利用者名", "アカウント"],
        becomes: Use::Key(Key::Name),
    },
    Column { names: &["sid", "user.id", "objectsid"], becomes: Use::Key(Key::Sid) },
    Column {
        names: &[
            "email",
            "user.email",
            "mail",
            "e-mail",
            "userprincipalname",
            "upn",
            "メールアドレス",
        ],
        becomes: Use::Key(Key::Email),
    },
    Column {
        names: &["full_name", "user.full_name", "displayname", "display_name", "氏名"],
        becomes: Use::Text(0),
    },
    Column { names: &["department", "user.department", "部署"], becomes: Use::Text(1) },
    Column { names: &["title", "user.title", "job_title", "役職"], becomes: Use::Text(2) },
    Column { names: &["roles", "user.roles", "role", "役割"], becomes: Use::Text(3) },
    Column { names: &["privileged", "user.privileged", "特権"], becomes: Use::Flag(4) },
];

const ASSETS: [Column; 6] = [
    Column {
        names: &["name", "host.name", "hostname", "host", "fqdn", "dnshostname", "ホスト名"],
        becomes: Use::Key(Key::Name),
    },
    Column {
        names: &["ip", "host.ip", "address", "ip_address", "ipアドレス"],
        becomes: Use::Key(Key::Address),
    },
    Column {
        names: &["criticality", "host.asset.criticality", "重要度"],
        becomes: Use::Criticality(1),
    },
    Column { names: &["owner", "host.owner", "管理者"], becomes: Use::Text(2) },
    Column { names: &["purpose", "host.purpose", "description", "用途"], becomes: Use::Text(3) },
    Column { names: &["location", "host.location", "設置場所"], becomes: Use::Text(4) },
];

impl Kind {
    /// `users` or `assets`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Users => "users",
            Kind::Assets => "assets",
        }
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Option<Kind> {
        [Kind::Users, Kind::Assets].into_iter().find(|kind| kind.as_str() == name)
    }

    /// What the values of a row are called.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Users => &USER_FIELDS,
            Kind::Assets => &ASSET_FIELDS,
        }
    }

    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Kind::Users => &USERS,
            Kind::Assets => &ASSETS,
        }
    }
}
