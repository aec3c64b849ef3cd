//! Which events make which acts.

pub(crate) mod file;
pub(crate) mod logon;
pub(crate) mod powershell;
pub(crate) mod process;
pub(crate) mod unix;
pub(crate) mod vpn;
pub(crate) mod web;

use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::Table;

/// One second, in the unit of event times.
pub(crate) const SECOND: i64 = 1_000_000;
/// One minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;

/// How long after its end an act waits for what sources write about the end more than once.
pub(crate) const LINGER: i64 = 5 * SECOND;

/// Tries to log on from one source with longer pauses are separate acts.
pub(crate) const EPISODE_GAP: i64 = 10 * MINUTE;

/// Which part of this crate reads an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// An access to a file, or to a file over a share.
    File,
    /// Something about a handle, whatever it is open on.
    Handle,
    Logon,
    FailedLogon,
    /// Start and end of a process.
    Process,
    /// What a process touched.
    Activity,
    Powershell,
    Web,
    Ssh,
    Sudo,
    Session,
    Connection,
    Audit,
    Vpn,
}

impl Route {
    /// `None`: no act wants the event.
    pub(crate) fn of<'v>(dataset: &str, value: &dyn Fn(&str) -> Option<&'v str>) -> Option<Route> {
        match dataset {
            "windows.security" => Route::of_security(value),
            "windows.sysmon" => Some(match value("event.code")? {
                "1" | "5" => Route::Process,
                "2" | "11" | "23" | "26" => Route::File,
                "3" | "7" | "12" | "13" | "14" | "17" | "18" | "22" => Route::Activity,
                // Who reads the memory of lsass is for a person to see, not for a count.
                "10" if !is_lsass(value("winlog.event_data.TargetImage")) => Route::Activity,
                _ => return None,
            }),
            "windows.powershell" | "windows.powershell_classic" => {
                let codes = ["400", "403", "600", "800", "4103", "4104", "4105", "4106"];
                codes.contains(&value("event.code")?).then_some(Route::Powershell)
            }
            "web.access" | "web.iis" | "web.cloudfront" => Some(Route::Web),
            "web.haproxy" => (value("event.action") == Some("http_request")).then_some(Route::Web),
            "linux.auditd" => {
                value("auditd.sequence").or(value("auditd.msg")).map(|_| Route::Audit)
            }
            _ if value("event.action").is_some_and(|action| action.starts_with("vpn_")) => {
                Some(Route::Vpn)
            }
            _ if dataset.starts_with("linux.") || dataset == "file.ftp" => {
                match value("process.name")? {
                    "sshd" | "sshd-session" => Some(Route::Ssh),
                    "sudo" => Some(Route::Sudo),
                    "su" | "su-l" | "login" | "CRON" | "cron" | "crond" | "atd" => {
                        Some(Route::Session)
                    }
                    _ if value("message")?.starts_with("connection from ") => {
                        Some(Route::Connection)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn of_security<'v>(value: &dyn Fn(&str) -> Option<&'v str>) -> Option<Route> {
        let failed = value("event.outcome") == Some("failure");
        let file = value("winlog.event_data.ObjectType") == Some("File");
        Some(match value("event.code")? {
            "4656" | "4663" | "4670" if file => Route::File,
            "5140" | "5145" => Route::File,
            "4658" | "4660" | "4690" => Route::Handle,
            // What was denied, and who opened lsass, is for a person to see.
            "4656" | "4663" if failed || is_lsass(value("winlog.event_data.ObjectName")) => {
                return None;
            }
            "4656" | "4663" | "4670" | "4703" | "5154" | "5156" | "5158" => Route::Activity,
            "4624" | "4627" | "4634" | "4647" | "4648" | "4672" | "4778" | "4779" | "4800"
            | "4801" => Route::Logon,
            "4625" | "4771" => Route::FailedLogon,
            "4776" if failed => Route::FailedLogon,
            "4688" | "4689" => Route::Process,
            _ => return None,
        })
    }

    /// Whether the part looks at a value.
    pub(crate) fn reads(self, name: &str) -> bool {
        let prefix = |list: &[&str]| list.iter().any(|prefix| name.starts_with(prefix));
        let common = ["host.name", "event.code", "event.outcome", "event.reason", "event.action"];
        if common.contains(&name) {
            return true;
        }
        match self {
            Route::Web => prefix(&["url.", "http.", "source.ip", "user_agent.", "user.name"]),
            Route::Powershell => {
                prefix(&["user.name", "message", "winlog.process_id"])
                    || prefix(&["winlog.event_data.Context", "winlog.event_data.Payload"])
                    || prefix(&["winlog.event_data.Script", "winlog.event_data.Message"])
            }
            Route::Ssh
            | Route::Sudo
            | Route::Session
            | Route::Connection
            | Route::Audit
            | Route::Vpn => {
                prefix(&["user.", "source.", "process.", "message", "auditd.", "vpn."])
                    || prefix(&["file.path", "destination.ip"])
            }
            _ => prefix(&["winlog.event_data.", "user.name", "user.domain", "source."]),
        }
    }
}

fn is_lsass(image: Option<&str>) -> bool {
    image.is_some_and(|image| image.to_ascii_lowercase().ends_with("\\lsass.exe"))
}

/// What only one kind needs to remember of an open act.
#[derive(Debug)]
pub(crate) enum Body {
    Plain,
    File(file::FileBody),
    Process(process::ProcessBody),
}

/// What becomes of an act that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one.
    Act,
    /// It is none: its events stand for themselves.
    Pass,
    /// It is part of a series of failed tries.
    Episode,
}

/// Looks at one event; events come in their order.
pub(crate) fn look(table: &mut Table, item: &Item) {
    match item.route {
        Route::File => file::access(table, item),
        Route::Handle => file::handle(table, item),
        Route::Logon => logon::session(table, item),
        Route::FailedLogon => logon::failed(table, item),
        Route::Process => process::life(table, item),
        Route::Activity => process::activity(table, item),
        Route::Powershell => powershell::use_of(table, item),
        Route::Web => web::visit(table, item),
        Route::Ssh => unix::ssh(table, item),
        Route::Sudo => unix::sudo(table, item),
        Route::Session => unix::session(table, item),
        Route::Connection => unix::connection(table, item),
        Route::Audit => unix::audit(table, item),
        Route::Vpn => vpn::session(table, item),
    }
}

/// Decides what an act that ends was.
pub(crate) fn conclude(draft: &mut Draft, body: &Body) -> Verdict {
    let single = draft.events.len() == 1 && draft.part == 1;
    match (draft.kind, body) {
        (ActKind::File, Body::File(body)) => file::conclude(draft, body),
        (ActKind::Logon, _) => logon::conclude(draft),
        (ActKind::Process, _) => process::conclude(draft, single),
        (ActKind::Ssh, _) => unix::conclude_ssh(draft),
        (ActKind::FailedLogons, _) => unix::conclude_failed(draft, single),
        (ActKind::Audit, _) => unix::conclude_audit(draft, single),
        (ActKind::WebVisit, _) => web::conclude(draft),
        (ActKind::Vpn, _) => vpn::conclude(draft, single),
        (ActKind::Powershell, _) => powershell::conclude(draft, single),
        _ if single => Verdict::Pass,
        _ => Verdict::Act,
    }
}

/// A key of several parts. Its separator is taken out of the parts, so that log contents cannot make
/// one key look like another.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut key = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        key.extend(part.chars().map(|c| if c == '\u{1f}' { ' ' } else { c }));
        key.push('\u{1f}');
    }
    key
}

/// The last part of a path, Windows' or Unix'.
pub(crate) fn basename(path: &str) -> &str {
    path.trim_end_matches(['\\', '/']).rsplit(['\\', '/']).next().unwrap_or(path)
}

/// Account and domain of `DOMAIN\account`.
pub(crate) fn account(text: &str) -> (&str, Option<&str>) {
    match text.split_once('\\') {
        Some((domain, name)) => (name, Some(domain)),
        None => (text, None),
    }
}
