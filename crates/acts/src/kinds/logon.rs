//! Windows logon sessions (4624, 4627, 4672, 4648, 4778, 4779, 4800, 4801, 4634, 4647), joined by host
//! and logon id; and series of failed logons (4625, 4771, 4776).

use super::{Body, EPISODE_GAP, LINGER, MINUTE, SECOND, Verdict, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::{NEVER, Number, Table};

/// A logon with other credentials (4648) belongs to the session that begins within this time.
const EXPLICIT_GAP: i64 = 10 * SECOND;
/// What is said about a session whose beginning is unknown is held together this long.
const UNKNOWN_GAP: i64 = 60 * MINUTE;

/// Logon ids of LocalSystem, NetworkService, LocalService, anonymous: sessions that never end.
const SYSTEM: [&str; 4] = ["0x3e7", "0x3e4", "0x3e5", "0x3e6"];

pub(crate) fn session(table: &mut Table, item: &Item) {
    let host = item.host();
    let id = match item.code() {
        "4648" => return explicit(table, item, &host),
        "4672" => item.get("winlog.event_data.SubjectLogonId"),
        "4778" | "4779" => item.get("winlog.event_data.LogonID"),
        _ => item.get("winlog.event_data.TargetLogonId"),
    };
    let Some(id) = id.map(str::to_lowercase) else { return table.pass(item) };
    let by_id = session_key(&host, &id);
    match item.code() {
        "4624" => begin(table, item, &host, &id),
        "4634" | "4647" => {
            let Some(number) = table.find(&by_id) else { return table.pass(item) };
            table.add(number, item);
            if let Some(draft) = table.draft(number) {
                draft.ended = true;
                draft.set("act.ended", Some("logoff"));
            }
            // The logoff a user asks for (4647) is followed by the one that happens (4634).
            let wait = if item.code() == "4647" { MINUTE } else { LINGER };
            table.until(number, item.place.time.saturating_add(wait));
        }
        code => {
            let number = match table.find(&by_id) {
                Some(number) => {
                    table.add(number, item);
                    number
                }
                None => {
                    let number = table.begin(ActKind::Logon, Body::Plain, item);
                    table.name(number, by_id);
                    let long = matches!(code, "4778" | "4779" | "4800" | "4801");
                    let wait = if long { UNKNOWN_GAP } else { MINUTE };
                    table.until(number, item.place.time.saturating_add(wait));
                    number
                }
            };
            let Some(draft) = table.draft(number) else { return };
            match code {
                "4672" => draft.set("act.privileged", Some("yes")),
                "4778" => draft.count("act.reconnects", 1),
                "4779" => draft.count("act.disconnects", 1),
                "4800" => draft.count("act.locks", 1),
                "4801" => draft.count("act.unlocks", 1),
                _ => {}
            }
            let users = ["winlog.event_data.AccountName", "winlog.event_data.TargetUserName"];
            let user = item.first(&users).or(item.get("winlog.event_data.SubjectUserName"));
            draft.fill("user.name", user);
            draft.fill("source.ip", item.get("winlog.event_data.ClientAddress"));
            draft.fill("source.domain", item.get("winlog.event_data.ClientName"));
        }
    }
}

fn begin(table: &mut Table, item: &Item, host: &str, id: &str) {
    let user = item.get("winlog.event_data.TargetUserName").unwrap_or_default().to_lowercase();
    let by_id = session_key(host, id);
    let linked = item.get("winlog.event_data.TargetLinkedLogonId").map(str::to_lowercase);
    let linked = linked.filter(|linked| linked != "0x0");
    let waiting = key(&["lp", host, &user]);
    let ended =
        |table: &mut Table, number: &Number| table.draft(*number).is_some_and(|draft| draft.ended);
    let known = table.find(&by_id).filter(|number| !ended(table, number));
    // An administrator logs on twice in one: with and without privileges.
    let known = known.or_else(|| {
        let number = table.find(&session_key(host, linked.as_deref()?))?;
        (!ended(table, &number)).then_some(number)
    });
    let waited = table.find(&waiting);
    let number = match known.or(waited) {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => table.begin(ActKind::Logon, Body::Plain, item),
    };
    if let Some(waited) = waited.filter(|waited| *waited != number)
        && let Some(draft) = table.take(waited)
    {
        table.absorb(number, draft);
    }
    table.forget(&waiting);
    table.name(number, by_id);
    table.name(number, key(&["lu", host, &user]));
    table.until(number, NEVER);
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    draft.count("act.logons", 1);
    draft.set("user.name", item.get("winlog.event_data.TargetUserName"));
    draft.set("user.domain", item.get("winlog.event_data.TargetDomainName"));
    draft.fill("act.logon_type", item.get("winlog.event_data.LogonType"));
    draft.fill("source.ip", item.first(&["winlog.event_data.IpAddress", "source.ip"]));
    draft.fill("source.domain", item.get("winlog.event_data.WorkstationName"));
    draft.fill("act.object", item.get("host.name"));
}

/// A logon with credentials typed in: part of the session that begins with them, else of the session
/// of whoever typed them.
fn explicit(table: &mut Table, item: &Item, host: &str) {
    let user = item.get("winlog.event_data.TargetUserName").unwrap_or_default();
    let small = user.to_lowercase();
    let begun = table.find(&key(&["lu", host, &small])).filter(|number| {
        let first = table.draft(*number).and_then(|draft| draft.events.first().cloned());
        first.is_some_and(|first| item.place.time.saturating_sub(first.time) <= EXPLICIT_GAP)
    });
    let caller = item.get("winlog.event_data.SubjectLogonId").map(str::to_lowercase);
    let caller = caller.filter(|id| !SYSTEM.contains(&id.as_str()));
    let found = begun.or_else(|| table.find(&session_key(host, &caller?)));
    let number = match found {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => {
            let number = table.begin(ActKind::Logon, Body::Plain, item);
            table.name(number, key(&["lp", host, &small]));
            table.until(number, item.place.time.saturating_add(EXPLICIT_GAP));
            number
        }
    };
    let Some(draft) = table.draft(number) else { return };
    draft.count("act.explicit", 1);
    draft.meet("act.explicit_accounts", Some(user).filter(|user| !user.is_empty()));
}

pub(crate) fn conclude(draft: &mut Draft) -> Verdict {
    let resumed = ["act.reconnects", "act.disconnects", "act.locks", "act.unlocks"];
    let seen = resumed.iter().map(|name| draft.number(name)).sum::<i64>();
    if !draft.begun && (seen == 0 || draft.events.len() < 2) {
        return Verdict::Pass;
    }
    if draft.number("act.logons") == 1 {
        // Said by the act itself.
        draft.count("act.logons", -1);
    }
    draft.set("event.action", Some("logon_session"));
    draft.set("event.outcome", Some("success"));
    Verdict::Act
}

/// Failed logons from one source to one host.
pub(crate) fn failed(table: &mut Table, item: &Item) {
    let user = item.get("winlog.event_data.TargetUserName");
    let address = item.first(&["winlog.event_data.IpAddress", "source.ip"]);
    let source =
        address.or_else(|| item.first(&["winlog.event_data.WorkstationName", "source.domain"]));
    let from = source.or(user).unwrap_or_default().to_lowercase();
    let by_source = key(&["x", &item.host(), "windows", &from]);
    let number = match table.find(&by_source) {
        Some(number) => {
            table.add(number, item);
            number
        }
        None => {
            let number = table.begin(ActKind::FailedLogons, Body::Plain, item);
            table.name(number, by_source);
            number
        }
    };
    table.until(number, item.place.time.saturating_add(EPISODE_GAP));
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    draft.count("act.attempts", 1);
    draft.meet("act.accounts", user);
    draft.meet("act.reasons", item.get("event.reason"));
    draft.fill("source.ip", address);
    draft
        .fill("source.domain", item.first(&["winlog.event_data.WorkstationName", "source.domain"]));
    draft.set("act.service", Some("Windows"));
}

fn session_key(host: &str, id: &str) -> String {
    key(&["l", host, id])
}
