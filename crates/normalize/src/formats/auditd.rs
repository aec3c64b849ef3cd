//! Records of the Linux audit system, as `auditd` writes them to its file and plugins and the kernel
//! send them on: `type=SYSCALL msg=audit(1604994496.155:92733): arch=c000003e syscall=59 ...`.
//!
//! One act is several records with the same `audit(time:serial)`. Each stays a record of its own;
//! what earlier ones of the same act said about the process and its user is added to the later ones,
//! so that the `EXECVE` record has the program and the parent of its `SYSCALL`. Field names and which
//! of them are hexadecimal follow the audit project's field dictionary (`field-dictionary.csv`).

use super::audit_values::{self as values, Fields};
use super::syscalls;
use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::limits::{
    AUDIT_ARGUMENT_COLUMNS_MAX, AUDIT_COMMAND_LINE_BYTES_MAX, AUDIT_EVENTS_OPEN_MAX,
    AUDIT_FACT_BYTES_MAX, AUDIT_PROCESSES_MAX,
};
use crate::mapping::Map;
use crate::time;
use std::collections::VecDeque;
use yagura_event::UtcMicros;

/// What a stream's records said that later ones may need.
#[derive(Debug, Default)]
pub(crate) struct AuditEvents {
    /// Those being put together, the newest last. Records of several hosts may alternate.
    open: VecDeque<Event>,
    /// Programs that were seen running, by host and process id.
    processes: Map<(Box<str>, u32), Process>,
    /// Their keys, the oldest first.
    seen: VecDeque<(Box<str>, u32)>,
}

/// What the records of one act said so far.
#[derive(Debug, Default)]
struct Event {
    host: Box<str>,
    id: Box<str>,
    syscall: Option<&'static str>,
    facts: Vec<(&'static str, Box<str>)>,
}

#[derive(Debug, Default)]
struct Process {
    executable: Box<str>,
    command_line: Box<str>,
}

/// The beginning of a record.
struct Start<'a> {
    node: Option<&'a str>,
    kind: &'a str,
    /// `time:serial`; nothing where the journal has taken it off.
    id: &'a str,
    time: Option<UtcMicros>,
    rest: &'a str,
}

/// Facts that later records of the same act receive.
const CARRIED: [&str; 13] = [
    "process.pid",
    "process.parent.pid",
    "process.executable",
    "process.name",
    "process.command_line",
    "process.working_directory",
    "process.parent.executable",
    "process.parent.command_line",
    "user.id",
    "user.name",
    "user.effective.id",
    "user.effective.name",
    "event.outcome",
];

/// Reads an audit record.
pub(crate) fn read(line: &Line<'_>, context: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let program = line.header.and_then(|header| header.program);
    let start = begin(line.text).or_else(|| journal(program?, line.text))?;
    flat.push("message", line.text);
    if let Some(node) = start.node {
        flat.push("host.name", node);
    }
    let host = start.node.or(line.header.and_then(|header| header.host)).unwrap_or_default();
    let events = context.audit.get_or_insert_default();
    let mut record = Record {
        kind: start.kind,
        fields: Fields::default(),
        facts: Vec::new(),
        event: events.take(host, start.id),
    };
    record.fields.read(start.kind, start.rest);
    flat.push("auditd.type", start.kind);
    if let Some((_, serial)) = start.id.split_once(':') {
        flat.push("auditd.sequence", serial);
    }
    record.push_native(flat);
    record.learn(events, flat);
    for (name, value) in &record.facts {
        flat.push(name, value);
    }
    let carried = record.event.facts.iter();
    for (name, value) in carried.filter(|(name, _)| record.fact(name).is_none()) {
        flat.push(name, value);
    }
    record.remember(events);
    Some(Found { dataset: "linux.auditd", time: start.time })
}

/// Cuts `node=web01 type=SYSCALL msg=audit(1604994496.155:92733): ` off; the kernel writes
/// `audit: type=1300 audit(1604994496.155:92733): `, perhaps behind `[   12.345678] `.
fn begin(text: &str) -> Option<Start<'_>> {
    let uptime = || text.strip_prefix('[')?.split_once("] audit: ");
    let (node, text) = match text.strip_prefix("node=") {
        Some(rest) => rest.split_once(' ').map(|(node, rest)| (Some(node), rest))?,
        None if text.starts_with("type=") => (None, text),
        None => (None, text.strip_prefix("audit: ").or_else(|| Some(uptime()?.1))?),
    };
    let (kind, rest) = text.strip_prefix("type=")?.split_once(' ')?;
    let rest = rest.strip_prefix("msg=").unwrap_or(rest).strip_prefix("audit(")?;
    let (id, rest) = rest.split_once(')')?;
    let (time, serial) = id.split_once(':')?;
    if id.len() > 40 || !serial.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kind = values::kind_name(kind).unwrap_or(kind);
    let rest = rest.trim_start().strip_prefix(':').unwrap_or(rest).trim_start();
    Some(Start { node, kind, id, time: Some(time::epoch(time)?), rest })
}

/// What the journal makes of it: program `audit`, message `USER_AUTH pid=1 uid=0 ...`.
fn journal<'a>(program: &str, text: &'a str) -> Option<Start<'a>> {
    if program != "audit" {
        return None;
    }
    let (kind, rest) = text.split_once(' ')?;
    let capital = kind.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let likely = capital && kind.len() > 2 && rest.contains('=');
    likely.then_some(Start { node: None, kind, id: "", time: None, rest })
}

/// One record while it is read.
struct Record<'a> {
    kind: &'a str,
    fields: Fields,
    /// What it says under names that everyone uses.
    facts: Vec<(&'static str, String)>,
    /// What the act's earlier records said.
    event: Event,
}

impl Record<'_> {
    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A fact of this record, or of an earlier one of the act.
    fn known(&self, name: &str) -> Option<&str> {
        let earlier = || self.event.facts.iter().find(|(known, _)| *known == name);
        self.fact(name).or_else(|| earlier().map(|(_, value)| &**value))
    }

    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() && self.fact(name).is_none() {
            self.facts.push((name, value));
        }
    }

    /// The fields under the audit system's own names. Interpreted ones, in capitals, would differ
    /// from the plain ones by case alone, so they are called `..._name`.
    fn push_native(&self, flat: &mut Flat) {
        let mut name = String::new();
        for (key, value) in self.fields.iter() {
            if self.is("EXECVE")
                && values::argument(key).is_some_and(|a| a.number >= AUDIT_ARGUMENT_COLUMNS_MAX)
            {
                continue;
            }
            name.clear();
            name.push_str("auditd.");
            if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.push_str(&key.to_ascii_lowercase());
                name.push_str("_name");
            } else {
                name.push_str(key);
            }
            flat.push(&name, value);
        }
    }

    /// Says under common names what the record is about.
    fn learn(&mut self, events: &AuditEvents, flat: &mut Flat) {
        self.process();
        self.users();
        match self.kind {
            "SYSCALL" | "SECCOMP" => self.system_call(events, flat),
            "EXECVE" => self.arguments(),
            "CWD" => {
                let directory = self.fields.text("cwd");
                self.add("process.working_directory", directory);
            }
            "PROCTITLE" => {
                let title = self.fields.text("proctitle");
                if self.known("process.command_line").is_none() {
                    self.add("process.command_line", title.clone());
                }
                self.add("process.title", title);
            }
            "PATH" => self.path(),
            "SOCKADDR" => self.address(),
            _ => {}
        }
    }

    fn process(&mut self) {
        const SAME: [(&str, &str); 5] = [
            ("pid", "process.pid"),
            ("ppid", "process.parent.pid"),
            ("exe", "process.executable"),
            ("comm", "process.name"),
            ("cmd", "process.command_line"),
        ];
        for (key, name) in SAME {
            let value = self.fields.text(key);
            self.add(name, value);
        }
        let outcome = match (self.fields.get("success"), self.fields.get("res")) {
            (Some("yes"), _) | (_, Some("success" | "1")) => "success",
            // EINPROGRESS: a connection that nobody waited for.
            (Some("no"), _) if self.fields.get("exit") == Some("-115") => "",
            (Some("no"), _) | (_, Some("failed" | "0")) => "failure",
            _ => "",
        };
        self.add("event.outcome", outcome);
    }

    /// `auid` is who logged on and stays the same through `su` and `sudo`; where nobody did, the
    /// process's own user stands for it.
    fn users(&mut self) {
        let named = |fields: &Fields, key: &str, interpreted: &str| {
            let id = fields.get(key).filter(|id| !matches!(*id, "4294967295" | "-1" | "unset"));
            let name = fields.get(interpreted).filter(|name| !name.starts_with("un"));
            let name = name.or_else(|| (id == Some("0")).then_some("root"));
            Some((id?.to_owned(), name.unwrap_or_default().to_owned()))
        };
        let by_login = named(&self.fields, "auid", "AUID");
        let real = named(&self.fields, "uid", "UID");
        let effective = named(&self.fields, "euid", "EUID").or_else(|| real.clone());
        if let Some((id, name)) = effective {
            self.add("user.effective.id", id);
            self.add("user.effective.name", name);
        }
        if let Some((id, name)) = by_login.or(real) {
            self.add("user.id", id);
            self.add("user.name", name);
        }
    }

    fn system_call(&mut self, events: &AuditEvents, flat: &mut Flat) {
        let arch = self.fields.text("arch");
        if let Some(name) = syscalls::architecture(&arch)
            && self.fields.get("ARCH").is_none()
        {
            flat.push("auditd.arch_name", name);
        }
        let number = self.fields.get("syscall").and_then(|number| number.parse().ok());
        self.event.syscall = number.and_then(|number| syscalls::name(&arch, number));
        let name = match (self.fields.get("SYSCALL"), self.event.syscall) {
            (Some(name), _) => Some(name.to_owned()),
            (None, Some(name)) => {
                flat.push("auditd.syscall_name", name);
                Some(name.to_owned())
            }
            (None, None) => None,
        };
        self.add("event.action", name.unwrap_or_default());
        let exit = self.fields.get("exit").and_then(|exit| exit.strip_prefix('-'));
        if let Some(error) = exit.and_then(|exit| syscalls::error(exit.parse().ok()?)) {
            flat.push("auditd.exit_name", error);
        }
        let parent = self.fields.get("ppid").and_then(|pid| pid.parse().ok());
        if let Some(parent) = parent.and_then(|pid| events.process(&self.event.host, pid)) {
            let (executable, command_line) =
                (parent.executable.to_string(), parent.command_line.to_string());
            self.add("process.parent.executable", executable);
            self.add("process.parent.command_line", command_line);
        }
    }

    /// Long argument lists go on in further records.
    fn arguments(&mut self) {
        let before = self.event.facts.iter().find(|(name, _)| *name == "process.command_line");
        let mut line = before.map_or_else(String::new, |(_, line)| line.to_string());
        let mut list = String::new();
        for argument in self.fields.arguments() {
            for (text, between) in [(&mut line, " "), (&mut list, ", ")] {
                if text.len() + argument.len() >= AUDIT_COMMAND_LINE_BYTES_MAX {
                    continue;
                }
                if !text.is_empty() {
                    text.push_str(between);
                }
                text.push_str(argument);
            }
        }
        self.add("process.command_line", line);
        self.add("process.args", list);
    }

    fn path(&mut self) {
        let name = self.fields.text("name");
        let folder = self.known("process.working_directory").filter(|_| !name.starts_with('/'));
        let path = match folder {
            Some(folder) if !name.is_empty() => {
                let name = name.strip_prefix("./").unwrap_or(&name);
                format!("{}/{name}", folder.trim_end_matches('/'))
            }
            _ => name,
        };
        self.add("file.path", path);
    }

    fn address(&mut self) {
        let Some(address) = self.fields.address() else { return };
        let (ip, port, action) = match self.event.syscall {
            Some("accept" | "accept4" | "recvfrom" | "recvmsg") => {
                ("source.ip", "source.port", "network_accept")
            }
            Some("bind") => ("source.ip", "source.port", "network_bind"),
            _ => ("destination.ip", "destination.port", "network_connection"),
        };
        if address.path.is_empty() && address.ip.is_empty() {
            return;
        }
        let action = if address.path.is_empty() { action } else { "local_socket" };
        self.add("event.action", action);
        self.add("file.path", address.path);
        self.add(ip, address.ip);
        self.add(port, address.port);
    }

    /// Keeps what later records of the act, and children of the process, will need.
    fn remember(self, events: &mut AuditEvents) {
        let pid = self.known("process.pid").and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid
            && matches!(self.kind, "SYSCALL" | "EXECVE")
        {
            let executable = self.fact("process.executable").unwrap_or_default();
            let command_line = self.fact("process.command_line").unwrap_or_default();
            let fresh = self.is("SYSCALL") && self.fact("event.action") == Some("execve");
            events.ran(&self.event.host, pid, executable, command_line, fresh);
        }
        let Record { facts, mut event, .. } = self;
        for (name, value) in facts {
            if !CARRIED.contains(&name) {
                continue;
            }
            event.facts.retain(|(known, _)| *known != name);
            event.facts.push((name, values::cut(&value, AUDIT_FACT_BYTES_MAX).into()));
        }
        events.keep(event);
    }
}

impl AuditEvents {
    /// What is known of the act `id` on `host`; nothing if it is new or long gone.
    fn take(&mut self, host: &str, id: &str) -> Event {
        let same = |event: &Event| !id.is_empty() && &*event.id == id && &*event.host == host;
        let place = self.open.iter().rposition(same);
        let known = place.and_then(|place| self.open.remove(place));
        known.unwrap_or_else(|| Event { host: host.into(), id: id.into(), ..Event::default() })
    }

    fn keep(&mut self, event: Event) {
        if event.id.is_empty() {
            return;
        }
        if self.open.len() >= AUDIT_EVENTS_OPEN_MAX {
            self.open.pop_front();
        }
        self.open.push_back(event);
    }

    fn process(&self, host: &str, pid: u32) -> Option<&Process> {
        self.processes.get(&(Box::from(host), pid))
    }

    /// Notes what runs as `pid`. An `execve` that begins forgets the program before it.
    fn ran(&mut self, host: &str, pid: u32, executable: &str, command_line: &str, fresh: bool) {
        let key = (Box::from(host), pid);
        if !self.processes.contains_key(&key) {
            if self.seen.len() >= AUDIT_PROCESSES_MAX
                && let Some(oldest) = self.seen.pop_front()
            {
                self.processes.remove(&oldest);
            }
            self.seen.push_back(key.clone());
        }
        let process = self.processes.entry(key).or_default();
        if fresh {
            *process = Process::default();
        }
        for (kept, new) in
            [(&mut process.executable, executable), (&mut process.command_line, command_line)]
        {
            if !new.is_empty() {
                *kept = values::cut(new, AUDIT_FACT_BYTES_MAX).into();
            }
        }
    }
}
