//! Files: Windows' object access audit (4656, 4663, 4658, 4660, 4670, 4690), shares (5140, 5145) and
//! Sysmon's file events. What one process does to one document within seconds is one act, with the
//! temporary files that editors write beside it.
//!
//! The audit names the file when a handle is opened (4656) or used (4663); what comes later has only
//! the handle. Access masks: Microsoft, "File Access Rights Constants". A rename is not audited as such:
//! `DELETE` was used on a file (4663) and the file was not deleted (4660).

use super::{Body, LINGER, MINUTE, SECOND, Verdict, basename, key, process};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::{Number, Table};
use std::collections::BTreeMap;

/// Accesses to a file with longer pauses are separate acts.
const GAP: i64 = 30 * SECOND;
/// The same while a handle is open.
const GAP_OPEN: i64 = 10 * MINUTE;
/// Most handles of one act that are followed.
const HANDLES_MAX: usize = 64;

const READ: i64 = 0x1 | 0x8 | 0x20;
const WRITE: i64 = 0x2 | 0x4;
const DELETE: i64 = 0x1_0000;
const PERMISSIONS: i64 = 0x4_0000 | 0x8_0000;

#[derive(Debug, Default)]
pub(crate) struct FileBody {
    /// Open handles, and whether each is on the document itself.
    handles: BTreeMap<Box<str>, bool>,
    /// The document in small letters; `None` while only temporary files were seen.
    document: Option<Box<str>>,
    /// Whether the document was deleted and not written since.
    gone: bool,
    latest: i64,
}

struct Access<'a> {
    host: String,
    /// Who acts: a process, or a session where the system acts for one.
    actor: String,
    path: String,
    shown: String,
    share: bool,
    item: &'a Item,
}

pub(crate) fn access(table: &mut Table, item: &Item) {
    let Some(access) = Access::of(item) else { return table.pass(item) };
    let number = access.act(table);
    let code = item.code();
    let document = !is_temporary(basename(&access.path));
    if let (Some(pid), Some(handle)) = (pid(item), item.get("winlog.event_data.HandleId"))
        && !item.failed()
        && code != "4670"
    {
        let handle = handle_key(&access.host, pid, handle);
        if let Some((_, Body::File(body))) = table.both(number)
            && (body.handles.len() < HANDLES_MAX || body.handles.contains_key(handle.as_str()))
        {
            body.handles.insert(handle.as_str().into(), document);
        }
        table.name(number, handle);
    }
    let Some((draft, Body::File(body))) = table.both(number) else { return };
    describe(draft, &access);
    let mask = item.number("winlog.event_data.AccessMask").unwrap_or(0);
    let happened = |bits: i64| mask & bits != 0;
    match code {
        _ if item.failed() => {
            draft.count("act.denied", 1);
            draft.set("event.reason", Some(asked(mask)));
        }
        "4663" | "5145" if document => {
            draft.count("act.reads", i64::from(happened(READ)));
            draft.count("act.writes", i64::from(happened(WRITE)));
            draft.count("act.moves", i64::from(happened(DELETE)));
            draft.count("act.permissions", i64::from(happened(PERMISSIONS)));
            body.gone &= !happened(WRITE);
        }
        "4663" | "5145" => draft.count("act.saves", i64::from(happened(WRITE))),
        "4670" => draft.count("act.permissions", 1),
        "11" if document => {
            draft.count("act.created", 1);
            body.gone = false;
        }
        "11" => draft.count("act.saves", 1),
        "23" | "26" if document => {
            draft.count("act.deleted", 1);
            body.gone = true;
        }
        "2" => draft.count("act.times", 1),
        _ => {}
    }
    touch(table, number, item);
}

/// What has only a handle: closed (4658), deleted (4660), duplicated (4690).
pub(crate) fn handle(table: &mut Table, item: &Item) {
    let host = item.host();
    let (pid, handle) = match item.code() {
        "4690" => (
            item.number("winlog.event_data.SourceProcessId"),
            item.get("winlog.event_data.SourceHandleId"),
        ),
        _ => (pid(item), item.get("winlog.event_data.HandleId")),
    };
    let (Some(pid), Some(handle)) = (pid, handle) else { return table.pass(item) };
    let known = handle_key(&host, pid, handle);
    let Some(number) = table.find(&known) else {
        return match item.code() {
            // What was deleted is not said, so nobody but a person can make something of it.
            "4660" => table.pass(item),
            _ => process::touched(table, item, pid, "act.handles"),
        };
    };
    table.add(number, item);
    match item.code() {
        "4658" => {
            table.forget(&known);
            if let Some((_, Body::File(body))) = table.both(number) {
                body.handles.remove(known.as_str());
            }
        }
        "4690" => {
            let target = item.get("winlog.event_data.TargetHandleId").unwrap_or_default();
            for pid in [Some(pid), item.number("winlog.event_data.TargetProcessId")] {
                let Some(pid) = pid else { continue };
                table.name(number, handle_key(&host, pid, target));
            }
        }
        _ => {
            if let Some((draft, Body::File(body))) = table.both(number)
                && body.handles.get(known.as_str()).copied().unwrap_or(false)
            {
                draft.count("act.deleted", 1);
                body.gone = true;
            }
        }
    }
    match table.both(number) {
        Some((_, Body::File(_))) => touch(table, number, item),
        Some((draft, _)) => draft.count("act.handles", 1),
        None => {}
    }
}

/// Names the object of a process' handle, so that what closes it is found.
pub(crate) fn name_handle(table: &mut Table, number: Number, item: &Item) {
    if let (Some(pid), Some(handle)) = (pid(item), item.get("winlog.event_data.HandleId")) {
        table.name(number, handle_key(&item.host(), pid, handle));
    }
}

impl<'a> Access<'a> {
    fn of(item: &'a Item) -> Option<Access<'a>> {
        let host = item.host();
        let logon = item.get("winlog.event_data.SubjectLogonId").unwrap_or_default();
        if let Some(share) = item.get("winlog.event_data.ShareName") {
            let name = share.trim_start_matches("\\\\*\\");
            let inside = item.get("winlog.event_data.RelativeTargetName").unwrap_or_default();
            let inside = inside.trim_matches('\\');
            let root = item.get("winlog.event_data.ShareLocalPath").unwrap_or(name);
            let root = root.trim_start_matches("\\??\\").trim_end_matches('\\');
            let server = item.get("host.name").unwrap_or("?").split('.').next().unwrap_or("?");
            let join = |root: &str| match inside {
                "" => root.to_owned(),
                inside => format!("{root}\\{inside}"),
            };
            return Some(Access {
                path: join(root).to_lowercase(),
                shown: join(&format!("\\\\{server}\\{name}")),
                actor: format!("l{logon}"),
                share: true,
                host,
                item,
            });
        }
        let names = ["winlog.event_data.ObjectName", "winlog.event_data.TargetFilename"];
        let path = without_stream(item.first(&names)?);
        let actor = match pid(item) {
            // The system opens files for those who come over the network.
            Some(4) | None => format!("l{logon}"),
            Some(pid) => format!("p{pid}"),
        };
        let (path, shown) = (path.to_lowercase(), path.to_owned());
        Some(Access { host, actor, path, shown, share: false, item })
    }

    /// The act the access belongs to, with the access as its newest event.
    fn act(&self, table: &mut Table) -> Number {
        let directory = self.path.rsplit_once(['\\', '/']).map_or("", |(directory, _)| directory);
        let by_path = key(&["f", &self.host, &self.actor, &self.path]);
        let near = key(&["t", &self.host, &self.actor, directory]);
        let itself = key(&["t", &self.host, &self.actor, &self.path]);
        let temporary = is_temporary(basename(&self.path));
        let known = table.find(&by_path).or_else(|| table.find(&itself));
        let neighbour = known.or_else(|| {
            let number = table.find(&near)?;
            // A temporary file is part of what was done beside it; a document is, if nobody knew
            // yet what the temporary files are for.
            let Some((_, Body::File(body))) = table.both(number) else { return None };
            (temporary || body.document.is_none()).then_some(number)
        });
        let number = match neighbour {
            Some(number) => {
                table.add(number, self.item);
                number
            }
            None => table.begin(ActKind::File, Body::File(FileBody::default()), self.item),
        };
        if !temporary {
            if let Some((_, Body::File(body))) = table.both(number)
                && body.document.is_none()
            {
                body.document = Some(self.path.as_str().into());
            }
            table.name(number, by_path);
        }
        table.name(number, near);
        number
    }
}

fn describe(draft: &mut Draft, access: &Access<'_>) {
    let item = access.item;
    draft.begun = true;
    let user = item.get("winlog.event_data.SubjectUserName").map(|user| (user, None));
    let user = user.or_else(|| item.get("winlog.event_data.User").map(super::account));
    draft.fill("user.name", user.map(|(name, _)| name));
    let domain = item.get("winlog.event_data.SubjectDomainName");
    draft.fill("user.domain", domain.or(user.and_then(|(_, domain)| domain)));
    draft.fill("source.ip", item.first(&["winlog.event_data.IpAddress", "source.ip"]));
    let images = ["winlog.event_data.ProcessName", "winlog.event_data.Image"];
    draft.fill("process.executable", item.first(&images));
    if is_temporary(basename(&access.path)) {
        draft.meet("act.temporary", Some(basename(&access.shown)));
    } else if access.share {
        // The name a person knows the file by, whatever it is called on the server.
        draft.set("act.object", Some(&access.shown));
    } else {
        draft.fill("act.object", Some(&access.shown));
        draft.fill("file.path", Some(&access.shown));
    }
    draft.count("act.shares", i64::from(access.share && item.code() == "5140"));
}

/// An event came: the act goes on for a while.
fn touch(table: &mut Table, number: Number, item: &Item) {
    let Some((_, Body::File(body))) = table.both(number) else { return };
    body.latest = body.latest.max(item.place.time);
    let gap = if body.handles.is_empty() { GAP } else { GAP_OPEN };
    let deadline = body.latest.saturating_add(gap);
    table.until(number, deadline);
}

pub(crate) fn conclude(draft: &mut Draft, body: &FileBody) -> Verdict {
    let number = |name: &str| draft.number(name);
    let saved = number("act.writes") + number("act.saves");
    let other = number("act.reads") + number("act.moves") + number("act.permissions");
    let (action, outcome) = match () {
        () if body.gone && number("act.saves") == 0 => ("file_deleted", "success"),
        () if saved > 0 && number("act.created") > 0 && number("act.reads") == 0 => {
            ("file_created", "success")
        }
        () if saved > 0 => ("file_written", "success"),
        () if number("act.created") > 0 => ("file_created", "success"),
        // Over a share only the wish is audited, which is the same for both.
        () if number("act.moves") > 0
            && draft.text("act.object").is_some_and(|p| p.starts_with("\\\\")) =>
        {
            ("file_moved_or_deleted", "success")
        }
        () if number("act.moves") > 0 => ("file_renamed", "success"),
        () if number("act.permissions") > 0 => ("file_permissions_changed", "success"),
        () if number("act.reads") > 0 => ("file_read", "success"),
        () if number("act.denied") > 0 => ("file_denied", "failure"),
        () if number("act.times") > 0 => ("file_times_changed", "success"),
        () if number("act.shares") > 0 => ("share_connected", "success"),
        () => ("file_opened", "success"),
    };
    if saved + other > 0 && number("act.denied") > 0 {
        // Some of it was denied, which the number says.
        draft.set("act.partly", Some("yes"));
    }
    draft.set("event.action", Some(action));
    draft.set("event.outcome", Some(outcome));
    if draft.text("act.object").is_none() {
        let temporary = draft.text("act.temporary").map(str::to_owned);
        draft.set("act.object", temporary.as_deref());
    }
    const { assert!(LINGER < GAP) };
    Verdict::Act
}

fn asked(mask: i64) -> &'static str {
    match mask {
        mask if mask & WRITE != 0 => "write",
        mask if mask & DELETE != 0 => "delete",
        mask if mask & PERMISSIONS != 0 => "permissions",
        _ => "read",
    }
}

fn pid(item: &Item) -> Option<i64> {
    item.number("winlog.event_data.ProcessId")
}

fn handle_key(host: &str, pid: i64, handle: &str) -> String {
    key(&["h", host, &pid.to_string(), &handle.to_lowercase()])
}

/// A path without the name of an alternate data stream (`report.docx:Zone.Identifier`).
fn without_stream(path: &str) -> &str {
    let name = path.len() - basename(path).len();
    match path.get(name..).and_then(|name| name.find(':')) {
        // A drive letter is no stream.
        Some(at) if name + at > 1 => path.get(..name + at).unwrap_or(path),
        _ => path,
    }
}

/// Names that editors, office programs and browsers give to files they write on the way.
fn is_temporary(name: &str) -> bool {
    let name = name.to_lowercase();
    let hexadecimal = |name: &str| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit());
    ["~$", "~wr", ".~lock.", ".goutputstream"].iter().any(|start| name.starts_with(start))
        || [".tmp", "~", ".swp", ".swx", ".swpx", ".crdownload", ".part", ".partial"]
            .iter()
            .any(|end| name.ends_with(end))
        // Excel, and what vim tries out a directory with.
        || hexadecimal(&name)
        || name == "4913"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_and_streams_are_known() {
        for name in ["~$給与.xlsx", "~WRD0001.tmp", "A1B2C3D4", ".memo.txt.swp", "4913", "x~"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in ["給与.xlsx", "deadbeef.txt", "template.dotx", "a"] {
            assert!(!is_temporary(name), "{name}");
        }
        assert_eq!(without_stream("C:\\a\\b.docx:Zone.Identifier"), "C:\\a\\b.docx");
        assert_eq!(without_stream("C:\\a\\b.docx"), "C:\\a\\b.docx");
        assert_eq!(without_stream("C:"), "C:");
    }
}
