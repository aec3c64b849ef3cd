//! What OCSF says of the classes we emit: captions, activities, which objects they have and which
//! they must have. From the schema's `events/*.json` and `objects/*.json`, version
//! [`OCSF_VERSION`](super::OCSF_VERSION).

/// A class.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) uid: i64,
    pub(super) caption: &'static str,
    /// Captions of its activities, from 1 on; an empty one is no activity of the class.
    pub(super) activities: &'static [&'static str],
    /// Objects and values it has besides those of every event and of its category.
    pub(super) has: &'static [&'static str],
    /// Of these it must have all.
    pub(super) all_of: &'static [&'static str],
    /// And of these at least one.
    pub(super) one_of: &'static [&'static str],
}

impl Class {
    /// The category: the thousands of the class, without those of an extension.
    pub(super) fn category(&self) -> i64 {
        self.uid % 100_000 / 1_000
    }

    /// Whether its events have the attribute `root`.
    pub(super) fn takes(&self, root: &str) -> bool {
        let common = match self.category() {
            1 => &["actor", "device"][..],
            2 => &["device", "actor", "resources", "vulnerabilities", "risk_score"][..],
            3 => &["actor", "device", "src_endpoint", "http_request"][..],
            4 => &[
                "actor",
                "device",
                "src_endpoint",
                "dst_endpoint",
                "connection_info",
                "traffic",
                "tls",
                "app_name",
            ][..],
            5 => &["actor", "device"][..],
            6 => &["actor", "device", "src_endpoint", "http_request"][..],
            _ => &[][..],
        };
        EVERY.contains(&root) || common.contains(&root) || self.has.contains(&root)
    }

    /// The profile that `root` comes from, where it is not the class's own: to be named in
    /// `metadata.profiles`.
    pub(super) fn profile(&self, root: &str) -> Option<&'static str> {
        match root {
            "cloud" => Some("cloud"),
            "container" => Some("container"),
            "device" if self.category() != 1 && !self.all_of.contains(&"device") => Some("host"),
            "actor" if matches!(self.category(), 2 | 4) => Some("host"),
            _ => None,
        }
    }
}

/// What events of every class have, and the profiles that every class may take.
const EVERY: [&str; 13] = [
    "message",
    "metadata",
    "raw_data",
    "severity",
    "severity_id",
    "status",
    "status_detail",
    "status_id",
    "time",
    "start_time",
    "end_time",
    "duration",
    "cloud",
];

/// Captions of the categories, from 1 on.
pub(super) const CATEGORIES: [&str; 7] = [
    "System Activity",
    "Findings",
    "Identity & Access Management",
    "Network Activity",
    "Discovery",
    "Application Activity",
    "Remediation",
];

/// Base Event: what belongs to no class we know, or lacks what its class requires.
pub(super) const BASE: Class =
    Class { uid: 0, caption: "Base Event", activities: &[], has: &[], all_of: &[], one_of: &[] };

pub(super) fn class(uid: i64) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.uid == uid)
}

const ENDPOINTS: &[&str] = &["src_endpoint", "dst_endpoint"];
const CRUD: &[&str] = &["Create", "Read", "Update", "Delete"];

const CLASSES: &[Class] = &[
    Class {
        uid: 1001,
        caption: "File System Activity",
        activities: &[
            "Create",
            "Read",
            "Update",
            "Delete",
            "Rename",
            "Set Attributes",
            "Set Security",
            "Get Attributes",
            "Get Security",
            "Encrypt",
            "Decrypt",
            "Mount",
            "Unmount",
            "Open",
        ],
        has: &["file"],
        all_of: &["actor", "device", "file"],
        one_of: &[],
    },
    Class {
        uid: 1007,
        caption: "Process Activity",
        activities: &["Launch", "Terminate", "Open", "Inject", "Set User ID"],
        has: &["process", "exit_code"],
        all_of: &["actor", "device", "process"],
        one_of: &[],
    },
    Class {
        uid: 1008,
        caption: "Event Log Activity",
        activities: &[
            "Clear", "Delete", "Export", "Archive", "Rotate", "Start", "Stop", "Restart", "Enable",
            "Disable",
        ],
        has: &["log_name", "log_provider"],
        all_of: &[],
        one_of: &["log_name", "log_provider"],
    },
    Class {
        uid: 201_001,
        caption: "Registry Key Activity",
        activities: &[
            "Create", "Read", "Modify", "Delete", "Rename", "Open", "Restore", "Import", "Export",
        ],
        has: &["reg_key"],
        all_of: &["actor", "device", "reg_key"],
        one_of: &[],
    },
    Class {
        uid: 201_002,
        caption: "Registry Value Activity",
        activities: &["Get", "Set", "Modify", "Delete"],
        has: &["reg_value"],
        all_of: &["actor", "device", "reg_value"],
        one_of: &[],
    },
    Class {
        uid: 201_004,
        caption: "Windows Service Activity",
        activities: &["Create", "Reconfigure", "Start", "Stop", "Pause", "Continue", "Delete"],
        has: &["win_service"],
        all_of: &["actor", "device", "win_service"],
        one_of: &[],
    },
    Class {
        uid: 2004,
        caption: "Detection Finding",
        activities: &["Create", "Update", "Close"],
        has: &["finding_info"],
        all_of: &["finding_info"],
        one_of: &[],
    },
    Class {
        uid: 3001,
        caption: "Account Change",
        activities: &[
            "Create",
            "Enable",
            "Password Change",
            "Password Reset",
            "Disable",
            "Delete",
            "Attach Policy",
            "Detach Policy",
            "Lock",
            "MFA Factor Enable",
            "MFA Factor Disable",
            "Unlock",
        ],
        has: &["user"],
        all_of: &["user"],
        one_of: &[],
    },
    Class {
        uid: 3002,
        caption: "Authentication",
        activities: &[
            "Logon",
            "Logoff",
            "Authentication Ticket",
            "Service Ticket Request",
            "Service Ticket Renew",
            "Preauth",
        ],
        has: &["user", "session", "service", "dst_endpoint"],
        all_of: &["user"],
        one_of: &["service", "dst_endpoint"],
    },
    Class {
        uid: 3003,
        caption: "Authorize Session",
        activities: &["Assign Privileges", "Assign Groups"],
        has: &["user", "group", "session", "dst_endpoint"],
        all_of: &["user"],
        one_of: &[],
    },
    Class {
        uid: 3006,
        caption: "Group Management",
        activities: &[
            "Assign Privileges",
            "Revoke Privileges",
            "Add User",
            "Remove User",
            "Delete",
            "Create",
            "Add Subgroup",
            "Remove Subgroup",
        ],
        has: &["group", "user"],
        all_of: &["group"],
        one_of: &[],
    },
    Class {
        uid: 4001,
        caption: "Network Activity",
        activities: &["Open", "Close", "Reset", "Fail", "Refuse", "Traffic", "Listen"],
        has: &[],
        all_of: &[],
        one_of: ENDPOINTS,
    },
    Class {
        uid: 4002,
        caption: "HTTP Activity",
        activities: &["Connect", "Delete", "Get", "Head", "Options", "Post", "Put", "Trace"],
        has: &["http_request", "http_response", "file"],
        all_of: &[],
        one_of: &["http_request", "http_response"],
    },
    Class {
        uid: 4003,
        caption: "DNS Activity",
        activities: &["Query", "Response", "", "", "", "Traffic"],
        has: &["query", "answers", "rcode", "rcode_id"],
        all_of: &[],
        one_of: ENDPOINTS,
    },
    Class {
        uid: 4004,
        caption: "DHCP Activity",
        activities: &[
            "Discover", "Offer", "Request", "Decline", "Ack", "Nak", "Release", "Inform", "Expire",
        ],
        has: &[],
        all_of: &[],
        one_of: ENDPOINTS,
    },
    Class {
        uid: 4006,
        caption: "SMB Activity",
        activities: &[
            "File Supersede",
            "File Open",
            "File Create",
            "File Open If",
            "File Overwrite",
            "File Overwrite If",
        ],
        has: &["file"],
        all_of: &[],
        one_of: ENDPOINTS,
    },
    Class {
        uid: 4007,
        caption: "SSH Activity",
        activities: &["Open", "Close", "Reset", "Fail", "Refuse", "Traffic", "Listen"],
        has: &["file"],
        all_of: &[],
        one_of: ENDPOINTS,
    },
    Class {
        uid: 6003,
        caption: "API Activity",
        activities: CRUD,
        has: &["api", "dst_endpoint", "resources"],
        all_of: &["actor", "api", "src_endpoint"],
        one_of: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Activities of classes that content names and no export has yet: from the schema's
    /// `events/system/{kernel_extension,module,scheduled_job_activity}.json`,
    /// `events/iam/{entity_management,user_access}.json`, `events/network/tunnel_activity.json` and
    /// `events/application/datastore_activity.json`.
    const OTHERS: [(i64, &[&str]); 7] = [
        (1002, &["Load", "Unload"]),
        (1005, &["Load", "Unload", "Invoke"]),
        (1006, &["Create", "Update", "Delete", "Enable", "Disable", "Start"]),
        (3004, CRUD),
        (3005, &["Assign Privileges", "Revoke Privileges"]),
        (4014, &["Open", "Close", "Renew"]),
        (6005, &["Read", "Update", "Connect", "Query", "Write", "Create", "Delete"]),
    ];

    /// Words of `event.action` that name an activity, where the class has one that is called so.
    const VERBS: [(&str, &str); 22] = [
        ("assigned", "Ack"),
        ("blocked", "Refuse"),
        ("cleared", "Clear"),
        ("created", "Create"),
        ("deleted", "Delete"),
        ("denied", "Nak"),
        ("disabled", "Disable"),
        ("enabled", "Enable"),
        ("failed", "Fail"),
        ("groups", "Assign Groups"),
        ("loaded", "Load"),
        ("preauth", "Preauth"),
        ("query", "Query"),
        ("released", "Release"),
        ("renamed", "Rename"),
        ("renewed", "Service Ticket Renew"),
        ("response", "Response"),
        ("started", "Start"),
        ("stopped", "Stop"),
        ("triggered", "Start"),
        ("unlocked", "Unlock"),
        ("updated", "Update"),
    ];

    fn activities(uid: i64) -> Option<&'static [&'static str]> {
        let other = OTHERS.iter().find(|(other, _)| *other == uid);
        class(uid).map(|class| class.activities).or(other.map(|(_, activities)| *activities))
    }

    #[test]
    fn every_activity_in_content_is_the_one_that_its_action_names() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/mappings");
        let (mut checked, mut named, mut wrong) = (0, 0, Vec::new());
        for file in std::fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let read: toml::Table = text.parse().unwrap();
            let mappings = read.get("mapping").and_then(|list| list.as_array());
            for mapping in mappings.into_iter().flatten() {
                let Some(set) = mapping.get("set") else { continue };
                let text = |name: &str| set.get(name).and_then(|value| value.as_str());
                let number = |name: &str| text(name).map(|value| value.parse::<i64>().unwrap());
                let (Some(uid), Some(activity)) = (number("class_uid"), number("activity_id"))
                else {
                    continue;
                };
                let action = text("event.action").unwrap_or_default();
                let place = format!("{}: {action}: {uid}/{activity}", path.display());
                let Some(all) = activities(uid) else {
                    wrong.push(format!("{place}: no such class is known here"));
                    continue;
                };
                checked += 1;
                let caption =
                    usize::try_from(activity - 1).ok().and_then(|at| all.get(at)).copied();
                // 99 is "Other" everywhere.
                if caption.is_none_or(str::is_empty) && activity != 99 {
                    wrong.push(format!("{place}: the class has no such activity"));
                }
                let words: Vec<&str> = action.split(['-', '_']).collect();
                let means = VERBS
                    .iter()
                    .filter(|(verb, meant)| words.contains(verb) && all.contains(meant));
                for (_, meant) in means {
                    named += 1;
                    if caption != Some(*meant) {
                        wrong.push(format!(
                            "{place}: {} instead of {meant}",
                            caption.unwrap_or("Other")
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(checked > 200 && named > 40, "{checked} {named}");
    }
}
