//! The use of one PowerShell: pipeline details (800, 4103), script blocks (4104 in their parts, 4105,
//! 4106) and the engine's own events (400, 403, 600), joined by the process, and by the runspace that
//! both logs name.

use super::{Body, MINUTE, Verdict, account, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::Table;

/// Uses with longer pauses are separate acts.
const GAP: i64 = 30 * MINUTE;

pub(crate) fn use_of(table: &mut Table, item: &Item) {
    let host = item.host();
    let context = item.get("winlog.event_data.ContextInfo");
    let text = |name: &str, spaced: &str| {
        let message = item.get("message");
        context
            .and_then(|context| value_of(context, spaced, '='))
            .or_else(|| message.and_then(|message| value_of(message, name, '=')))
            .or_else(|| message.and_then(|message| value_of(message, spaced, '=')))
    };
    let pid = item.get("winlog.process_id").filter(|pid| *pid != "0");
    let names = [
        pid.map(|pid| key(&["ps", &host, "pid", pid])),
        text("RunspaceId", "Runspace ID").map(|id| key(&["ps", &host, "space", id])),
        text("HostId", "Host ID").map(|id| key(&["ps", &host, "host", id])),
    ];
    let found = names.iter().flatten().find_map(|name| table.find(name));
    let number = match found {
        Some(number) => {
            table.add(number, item);
            number
        }
        None if names.iter().all(Option::is_none) => return table.pass(item),
        None => table.begin(ActKind::Powershell, Body::Plain, item),
    };
    for name in names.into_iter().flatten() {
        table.name(number, name);
    }
    table.until(number, item.place.time.saturating_add(GAP));
    let Some(draft) = table.draft(number) else { return };
    match item.code() {
        "800" | "4103" => {
            let invoked = item.first(&["winlog.event_data.Payload", "message"]);
            let invoked = invoked.and_then(command);
            draft.count("act.commands", 1);
            draft.fill("act.first_command", invoked);
            draft.meet("act.command_names", invoked);
        }
        "4104" => {
            let part = item.number("winlog.event_data.MessageNumber").unwrap_or(1);
            draft.count("act.scripts", i64::from(part == 1));
            let script = item.get("winlog.event_data.ScriptBlockText");
            if part == 1 && script.is_some_and(|script| script.trim() != "prompt") {
                draft.fill("act.script", script);
            }
        }
        _ => {}
    }
    let user = text("UserId", "User").map(account);
    draft.fill("user.name", user.map(|(name, _)| name).or(item.get("user.name")));
    draft.fill("user.domain", user.and_then(|(_, domain)| domain));
    let application = text("HostApplication", "Host Application");
    draft.fill("process.command_line", application);
    draft.fill("act.object", application);
}

pub(crate) fn conclude(draft: &mut Draft, single: bool) -> Verdict {
    if single {
        return Verdict::Pass;
    }
    draft.begun = true;
    draft.set("event.action", Some("powershell_used"));
    draft.set("event.outcome", Some("success"));
    Verdict::Act
}

/// The value of `name = value` on a line of a text.
fn value_of<'t>(text: &'t str, name: &str, sign: char) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once(sign)?;
        let right = right.trim();
        (left.trim() == name && !right.is_empty()).then_some(right)
    })
}

/// The command of `CommandInvocation(Get-Process): "Get-Process"`.
fn command(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("CommandInvocation(")?;
    let (name, _) = rest.split_once(')')?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_the_context_are_read() {
        let spaced =
            "        Severity = Informational\r\n        Runspace ID = 9f92\r\n  User = A\\b";
        assert_eq!(value_of(spaced, "Runspace ID", '='), Some("9f92"));
        assert_eq!(
            value_of("Context: \r\n\tHostId=6d6b\r\n\tRunspaceId=\r\n", "HostId", '='),
            Some("6d6b")
        );
        assert_eq!(value_of("\tRunspaceId=\r\n", "RunspaceId", '='), None);
        assert_eq!(command("CommandInvocation(Out-Default): \"Out-Default\""), Some("Out-Default"));
        assert_eq!(command("CommandInvocation("), None);
    }
}
