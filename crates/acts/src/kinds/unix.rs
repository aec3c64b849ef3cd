//! Unix: SSH connections and sessions by the process of sshd, sudo, sessions of PAM, audit records.

use super::{Body, EPISODE_GAP, LINGER, MINUTE, SECOND, Verdict, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::{NEVER, Number, Table};

/// How long sshd waits for a logon at most (`LoginGraceTime`, sshd_config(5)).
const LOGIN_GRACE: i64 = 120 * SECOND;
/// Commands with longer pauses are separate acts; sudo itself asks again for the password then
/// (`timestamp_timeout`, sudoers(5)).
const SUDO_GAP: i64 = 5 * MINUTE;
/// Records of one audit event are written at once.
const AUDIT_GAP: i64 = 2 * SECOND;

pub(crate) fn ssh(table: &mut Table, item: &Item) {
    let host = item.host();
    let by_pid = item.get("process.pid").map(|pid| key(&["s", &host, pid]));
    let address = item.first(&["source.ip", "source.domain"]);
    let by_port = address.zip(item.get("source.port"));
    let by_port = by_port.map(|(address, port)| key(&["sp", &host, address, port]));
    let found = by_pid.as_ref().and_then(|key| table.find(key));
    let found = found.or_else(|| by_port.as_ref().and_then(|key| table.find(key)));
    let number = match found {
        Some(number) => {
            table.add(number, item);
            number
        }
        None if by_pid.is_none() && by_port.is_none() => return table.pass(item),
        None => table.begin(ActKind::Ssh, Body::Plain, item),
    };
    for key in [by_pid, by_port].into_iter().flatten() {
        table.name(number, key);
    }
    let Some(draft) = table.draft(number) else { return };
    draft.fill("source.ip", item.get("source.ip"));
    draft.fill("source.domain", item.get("source.domain"));
    let (user, target) = (item.get("user.name"), item.get("user.target.name"));
    let mut logged_on = None;
    match (item.get("event.action").unwrap_or_default(), item.failed()) {
        ("ssh_login", false) => logged_on = user,
        ("ssh_login", true) => {
            draft.count("act.attempts", 1);
            draft.meet("act.accounts", user);
        }
        ("ssh_invalid_user" | "ssh_too_many_attempts", _) => draft.meet("act.accounts", user),
        ("authentication_failure", _) => {
            draft.count("act.refusals", 1);
            draft.meet("act.accounts", target.or(user));
        }
        ("session_opened", _) if !draft.begun => logged_on = target.or(user),
        ("session_closed" | "ssh_disconnect", _) => draft.ended = true,
        _ => draft.count("act.attempts", repeated_failures(item.get("message"))),
    }
    let failing = !draft.begun && logged_on.is_none();
    let ended = draft.ended;
    if let Some(user) = logged_on {
        draft.begun = true;
        draft.set("user.name", Some(user));
        let name = key(&["us", &host, user]);
        table.name(number, name);
    }
    table.until(
        number,
        match () {
            () if ended => item.place.time.saturating_add(LINGER),
            () if failing => item.place.time.saturating_add(LOGIN_GRACE),
            () => NEVER,
        },
    );
}

/// `message repeated 5 times: [ Failed password for ...]`, as rsyslog shortens.
fn repeated_failures(message: Option<&str>) -> i64 {
    let rest = message.and_then(|message| message.strip_prefix("message repeated "));
    let Some((times, what)) = rest.and_then(|rest| rest.split_once(" times: [")) else { return 0 };
    if what.trim_start().starts_with("Failed ") { times.parse().unwrap_or(0) } else { 0 }
}

pub(crate) fn conclude_ssh(draft: &mut Draft) -> Verdict {
    if draft.begun {
        draft.set("event.action", Some("ssh_session"));
        draft.set("event.outcome", Some("success"));
        draft.fill("act.object", draft.text("host.name").map(str::to_owned).as_deref());
        return Verdict::Act;
    }
    let refused = draft.number("act.refusals");
    if draft.number("act.attempts") < refused {
        let missing = refused - draft.number("act.attempts");
        draft.count("act.attempts", missing);
    }
    draft.count("act.refusals", -refused);
    if draft.text("source.ip").or(draft.text("source.domain")).is_none() {
        return if draft.events.len() < 2 { Verdict::Pass } else { Verdict::Act };
    }
    draft.count("act.connections", 1);
    Verdict::Episode
}

/// A connection that ended without a logon becomes part of the tries of its source.
pub(crate) fn fold(table: &mut Table, mut draft: Draft) {
    let host = draft.text("host.name").unwrap_or_default().to_lowercase();
    let source = draft.text("source.ip").or(draft.text("source.domain")).unwrap_or_default();
    let by_source = key(&["x", &host, "ssh", source]);
    let latest = draft.events.iter().map(|place| place.time).max().unwrap_or(0);
    draft.kind = ActKind::FailedLogons;
    draft.begun = true;
    draft.set("act.service", Some("SSH"));
    let number = match table.find(&by_source) {
        Some(number) => {
            table.absorb(number, draft);
            number
        }
        None => {
            let number = table.begin_with(draft, Body::Plain);
            table.name(number, by_source);
            number
        }
    };
    table.until(number, latest.saturating_add(EPISODE_GAP));
}

pub(crate) fn conclude_failed(draft: &mut Draft, single: bool) -> Verdict {
    if single {
        return Verdict::Pass;
    }
    let tried = draft.number("act.attempts") > 0 || draft.met("act.accounts") > 0;
    draft.set("event.action", Some(if tried { "logons_failed" } else { "probed" }));
    draft.set("event.outcome", Some("failure"));
    draft.fill("act.object", draft.text("host.name").map(str::to_owned).as_deref());
    Verdict::Act
}

pub(crate) fn sudo(table: &mut Table, item: &Item) {
    let host = item.host();
    let action = item.get("event.action").unwrap_or_default();
    let (user, target) = (item.get("user.name"), item.get("user.target.name"));
    let who = if action == "authentication_failure" { target.or(user) } else { user };
    let by_pid = item.get("process.pid").map(|pid| key(&["sup", &host, pid]));
    let newest = key(&["sul", &host]);
    let by_user = who.map(|who| key(&["su", &host, who]));
    let found = by_pid.as_ref().and_then(|key| table.find(key));
    let found = found.or_else(|| table.find(&key(&["us", &host, who?])));
    let found = found.or_else(|| match &by_user {
        Some(by_user) => table.find(by_user),
        None => table.find(&newest),
    });
    let number = match found {
        Some(number) => {
            table.add(number, item);
            number
        }
        None if by_user.is_none() => return table.pass(item),
        None => table.begin(ActKind::Sudo, Body::Plain, item),
    };
    for key in [by_pid, Some(newest)].into_iter().flatten() {
        table.name(number, key);
    }
    let Some(draft) = table.draft(number) else { return };
    if action == "sudo_command" {
        let command = item.get("process.command_line");
        draft.count("act.commands", 1);
        draft.count("act.denied", i64::from(item.failed()));
        draft.fill("act.first_command", command);
        draft.set("act.last_command", command);
        draft.fill("user.target.name", target);
    } else if action == "authentication_failure" {
        draft.count("act.refusals", 1);
    }
    if draft.kind != ActKind::Sudo {
        return;
    }
    draft.begun = true;
    draft.fill("user.name", who);
    let denied = draft.number("act.denied") > 0
        && draft.number("act.denied") == draft.number("act.commands");
    draft.set("event.action", Some("sudo_session"));
    draft.set("event.outcome", Some(if denied { "failure" } else { "success" }));
    let first = draft.text("act.first_command").map(str::to_owned);
    draft.fill("act.object", first.as_deref());
    if let Some(by_user) = by_user {
        table.name(number, by_user);
    }
    table.until(number, item.place.time.saturating_add(SUDO_GAP));
}

/// What PAM opened and closed: su, login, scheduled commands.
pub(crate) fn session(table: &mut Table, item: &Item) {
    let host = item.host();
    let program = item.get("process.name").unwrap_or_default();
    let Some(pid) = item.get("process.pid") else { return table.pass(item) };
    let by_pid = key(&["ps", &host, program, pid]);
    let number = match table.find(&by_pid) {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => {
            let number = table.begin(ActKind::Session, Body::Plain, item);
            table.name(number, by_pid);
            number
        }
    };
    let Some(draft) = table.draft(number) else { return };
    draft.fill("act.program", Some(program));
    draft.fill("user.target.name", item.get("user.target.name"));
    draft.fill("user.name", item.get("user.name"));
    let command = item.get("process.command_line");
    draft.fill("process.command_line", command);
    draft.count("act.commands", i64::from(command.is_some()));
    draft.fill("act.object", item.get("user.target.name"));
    match item.get("event.action").unwrap_or_default() {
        "session_opened" => draft.begun = true,
        "session_closed" => draft.ended = true,
        "authentication_failure" => draft.count("act.refusals", 1),
        _ => {}
    }
    let refused = !draft.begun && draft.number("act.refusals") > 0;
    let failed = refused || (!draft.begun && item.failed());
    draft.set("event.action", Some("pam_session"));
    draft.set("event.outcome", Some(if failed { "failure" } else { "success" }));
    let deadline = match (draft.begun, draft.ended) {
        (_, true) => item.place.time.saturating_add(SECOND),
        (true, false) => NEVER,
        (false, false) => item.place.time.saturating_add(MINUTE),
    };
    table.until(number, deadline);
}

/// Connections that a service writes down one by one.
pub(crate) fn connection(table: &mut Table, item: &Item) {
    let message = item.get("message").unwrap_or_default();
    let address = message.strip_prefix("connection from ").and_then(|rest| rest.split(' ').next());
    let Some(address) = item.get("source.ip").or(address) else { return table.pass(item) };
    let program = item.get("process.name").unwrap_or_default();
    let by_address = key(&["c", &item.host(), program, address]);
    let number = found_or_begun(table, item, ActKind::Connections, by_address);
    table.until(number, item.place.time.saturating_add(EPISODE_GAP));
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    draft.count("act.connections", 1);
    draft.fill("source.ip", Some(address));
    draft.fill("act.program", Some(program));
    draft.fill("act.object", Some(program));
    draft.set("event.action", Some("connected"));
}

/// The records of one event have one serial number.
pub(crate) fn audit(table: &mut Table, item: &Item) {
    let Some(serial) = item.first(&["auditd.sequence", "auditd.msg"]) else {
        return table.pass(item);
    };
    let by_serial = key(&["a", &item.host(), serial]);
    let number = found_or_begun(table, item, ActKind::Audit, by_serial);
    table.until(number, item.place.time.saturating_add(AUDIT_GAP));
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    draft.meet("act.records", item.first(&["auditd.type", "event.action"]));
    let executable = item.get("process.executable");
    draft.fill("process.executable", executable);
    draft.fill("process.command_line", item.get("process.command_line"));
    draft.fill("user.name", item.first(&["user.name", "user.id"]));
    // The folder in which a file was made, and a program's loader, are named beside the file.
    let path = item
        .get("file.path")
        .filter(|path| item.get("auditd.nametype") != Some("PARENT") && !is_loader(path));
    draft.fill("file.path", path.filter(|path| Some(*path) != executable));
    draft.fill("destination.ip", item.get("destination.ip"));
    draft.fill("event.outcome", item.get("event.outcome"));
    draft.set("event.action", Some("audited"));
}

/// The dynamic linker, which the kernel names as a further path whenever a program is started.
fn is_loader(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["ld-linux", "ld-musl", "ld64.so", "ld.so", "ld-2."].iter().any(|start| name.starts_with(start))
}

/// What was done something to: the file or address, else the program itself.
pub(crate) fn conclude_audit(draft: &mut Draft, single: bool) -> Verdict {
    let object = ["file.path", "destination.ip", "process.executable"];
    let object = object.into_iter().find_map(|name| draft.text(name)).map(str::to_owned);
    draft.fill("act.object", object.as_deref());
    if single { Verdict::Pass } else { Verdict::Act }
}

/// The act that `name` finds, with the event as its newest, or a new one of that name.
pub(crate) fn found_or_begun(
    table: &mut Table,
    item: &Item,
    kind: ActKind,
    name: String,
) -> Number {
    match table.find(&name) {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => {
            let number = table.begin(kind, Body::Plain, item);
            table.name(number, name);
            number
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_lines_count_as_often_as_they_say() {
        let line =
            "message repeated 5 times: [ Failed password for root from 192.0.2.7 port 4 ssh2]";
        assert_eq!(repeated_failures(Some(line)), 5);
        assert_eq!(repeated_failures(Some("message repeated x times: [ Failed a]")), 0);
        assert_eq!(repeated_failures(Some("message repeated 2 times: [ Accepted a]")), 0);
        assert_eq!(repeated_failures(None), 0);
    }
}
