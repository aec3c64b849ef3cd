//! Processes: start and end from Security 4688/4689 and Sysmon 1/5, joined by ProcessGuid or process
//! id; between them what the process touched (libraries, registry, other processes, pipes, network),
//! counted. Both logs about one process make one act.

use super::{Body, LINGER, MINUTE, SECOND, Verdict, account, basename, file, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::{NEVER, Number, Table};

/// The two logs tell of one start within this time.
const SAME_START: i64 = 2 * SECOND;
/// What a process that already ran does with longer pauses is separate acts.
const GAP: i64 = 30 * MINUTE;

#[derive(Debug, Default)]
pub(crate) struct ProcessBody {
    guid: Option<Box<str>>,
    /// When it started, by the first log that said so; and which logs did.
    started: Option<i64>,
    audited: bool,
    watched: bool,
    image: Box<str>,
}

pub(crate) fn life(table: &mut Table, item: &Item) {
    match item.code() {
        "4688" | "1" => start(table, item),
        _ => end(table, item),
    }
}

fn start(table: &mut Table, item: &Item) {
    let audit = item.code() == "4688";
    let host = item.host();
    let (pid, image) = match audit {
        true => (
            item.number("winlog.event_data.NewProcessId"),
            item.get("winlog.event_data.NewProcessName"),
        ),
        false => (item.number("winlog.event_data.ProcessId"), item.get("winlog.event_data.Image")),
    };
    let guid = guid(item);
    let small = image.map(basename).unwrap_or_default().to_lowercase();
    let by_pid = pid.map(|pid| pid_key(&host, pid));
    let by_guid = guid.map(|guid| guid_key(&host, guid));
    let time = item.place.time;
    let known = by_guid.as_ref().and_then(|key| table.find(key));
    let same = known.or_else(|| {
        let number = table.find(by_pid.as_ref()?)?;
        let (draft, Body::Process(body)) = table.both(number)? else { return None };
        let untold = if audit { !body.audited } else { !body.watched && body.guid.is_none() };
        let since = body.started.or_else(|| Some(draft.events.first()?.time)).unwrap_or(time);
        let named = body.image.is_empty() || *body.image == *small;
        (untold && named && !draft.ended && time.saturating_sub(since) <= SAME_START)
            .then_some(number)
    });
    let number = match same {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => {
            // The system gave the number to another process, so the one before has ended.
            if let Some(before) = by_pid.as_ref().and_then(|key| table.find(key)) {
                table.close(before, crate::ActState::Complete);
            }
            table.begin(ActKind::Process, Body::Process(ProcessBody::default()), item)
        }
    };
    for key in [by_pid, by_guid].into_iter().flatten() {
        table.name(number, key);
    }
    let Some((draft, Body::Process(body))) = table.both(number) else { return };
    draft.begun = true;
    body.started.get_or_insert(time);
    body.audited |= audit;
    body.watched |= !audit;
    body.image = small.into();
    if let Some(guid) = guid {
        body.guid = Some(guid.into());
    }
    let user = match audit {
        true => item.get("winlog.event_data.TargetUserName").or(item.get("user.name")),
        false => item.get("winlog.event_data.User"),
    };
    let user = user.map(account);
    draft.fill("user.name", user.map(|(name, _)| name));
    draft.fill("user.domain", user.and_then(|(_, domain)| domain));
    draft.fill("process.executable", image);
    draft.fill("act.object", image);
    draft.fill("process.command_line", item.get("winlog.event_data.CommandLine"));
    let parents = ["winlog.event_data.ParentImage", "winlog.event_data.ParentProcessName"];
    draft.fill("process.parent.executable", item.first(&parents));
    if !draft.ended {
        table.until(number, NEVER);
    }
}

fn end(table: &mut Table, item: &Item) {
    let pid = item.number("winlog.event_data.ProcessId");
    let Some(number) = find(table, &item.host(), guid(item), pid) else { return table.pass(item) };
    table.add(number, item);
    if let Some(draft) = table.draft(number) {
        draft.ended = true;
    }
    table.until(number, item.place.time.saturating_add(LINGER));
}

/// What a process touched.
pub(crate) fn activity(table: &mut Table, item: &Item) {
    let sysmon = &*item.dataset == "windows.sysmon";
    let object = item.get("winlog.event_data.ObjectType");
    let counted = match (sysmon, item.code()) {
        (true, "3") | (false, "5154" | "5156" | "5158") => "act.connections",
        (true, "7") => "act.modules",
        (true, "12" | "13" | "14") => "act.registry",
        (true, "17" | "18") => "act.pipes",
        (true, "22") => "act.lookups",
        (false, "4703") => "act.privileges",
        _ if object == Some("Key") => "act.registry",
        _ => "act.accesses",
    };
    let pids = [
        "winlog.event_data.ProcessId",
        "winlog.event_data.ProcessID",
        "winlog.event_data.SourceProcessId",
    ];
    let pid = pids.iter().find_map(|name| item.number(name));
    let Some(number) = touched_by(table, item, pid, counted) else { return table.pass(item) };
    if !sysmon {
        file::name_handle(table, number, item);
    }
    let Some(draft) = table.draft(number) else { return };
    let names = ["winlog.event_data.DestinationHostname", "winlog.event_data.DestinationIp"];
    draft.meet("act.destinations", item.first(&names).or(item.get("winlog.event_data.QueryName")));
}

/// Counts an event of a process that is known by its number only.
pub(crate) fn touched(table: &mut Table, item: &Item, pid: i64, counted: &'static str) {
    if touched_by(table, item, Some(pid), counted).is_none() {
        table.pass(item);
    }
}

/// The act of the process, with the event as its newest. `None` where the event names no process.
fn touched_by(
    table: &mut Table,
    item: &Item,
    pid: Option<i64>,
    counted: &'static str,
) -> Option<Number> {
    let host = item.host();
    let guid = guid(item);
    if pid.is_none() && guid.is_none() {
        return None;
    }
    let number = match find(table, &host, guid, pid) {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => table.begin(ActKind::Process, Body::Process(ProcessBody::default()), item),
    };
    if let Some(pid) = pid {
        table.name(number, pid_key(&host, pid));
    }
    if let Some(guid) = guid {
        table.name(number, guid_key(&host, guid));
    }
    let (draft, Body::Process(body)) = table.both(number)? else { return None };
    let images = [
        "winlog.event_data.Image",
        "winlog.event_data.SourceImage",
        "winlog.event_data.ProcessName",
        "winlog.event_data.Application",
    ];
    let image = item.first(&images);
    if body.image.is_empty()
        && let Some(image) = image
    {
        body.image = basename(image).to_lowercase().into();
    }
    if let (Some(guid), None) = (guid, &body.guid) {
        body.guid = Some(guid.into());
    }
    draft.fill("process.executable", image);
    draft.fill("act.object", image);
    let user = item.get("winlog.event_data.User").or(item.get("winlog.event_data.SubjectUserName"));
    draft.fill("user.name", user.map(|user| account(user).0));
    draft.count(counted, 1);
    if !draft.begun && !draft.ended {
        let deadline = item.place.time.saturating_add(GAP);
        table.until(number, deadline);
    }
    Some(number)
}

/// By its ProcessGuid; else by its number, unless that is another process of the same number.
fn find(table: &mut Table, host: &str, guid: Option<&str>, pid: Option<i64>) -> Option<Number> {
    if let Some(number) = guid.and_then(|guid| table.find(&guid_key(host, guid))) {
        return Some(number);
    }
    let number = table.find(&pid_key(host, pid?))?;
    let (_, Body::Process(body)) = table.both(number)? else { return None };
    let other = match (&body.guid, guid) {
        (Some(known), Some(guid)) => **known != *guid,
        _ => false,
    };
    (!other).then_some(number)
}

pub(crate) fn conclude(draft: &mut Draft, single: bool) -> Verdict {
    if single && !draft.begun {
        return Verdict::Pass;
    }
    let action = match (draft.begun, draft.ended) {
        (true, true) => "process_ran",
        (true, false) => "process_started",
        (false, true) => "process_ended",
        (false, false) => "process_active",
    };
    draft.set("event.action", Some(action));
    draft.set("event.outcome", Some("success"));
    Verdict::Act
}

fn guid(item: &Item) -> Option<&str> {
    let names = [
        "winlog.event_data.ProcessGuid",
        "winlog.event_data.SourceProcessGUID",
        "winlog.event_data.SourceProcessGuid",
    ];
    // Sysmon writes zeros where it does not know the process.
    item.first(&names).filter(|guid| !guid.starts_with("{00000000-0000-0000"))
}

fn pid_key(host: &str, pid: i64) -> String {
    key(&["pp", host, &pid.to_string()])
}

fn guid_key(host: &str, guid: &str) -> String {
    key(&["pg", host, &guid.to_lowercase()])
}
