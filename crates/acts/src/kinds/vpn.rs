//! VPN sessions: from logging on to logging out, by gateway, user and address.

use super::{Body, EPISODE_GAP, LINGER, Verdict, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::{NEVER, Table};

pub(crate) fn session(table: &mut Table, item: &Item) {
    let host = item.host();
    let user = item.get("user.name").map(str::to_lowercase).unwrap_or_default();
    let address = item.first(&["source.ip", "source.domain"]).unwrap_or_default();
    let action = item.get("event.action").unwrap_or_default();
    if item.failed() {
        return failed(table, item, &host, address);
    }
    let both = key(&["v", &host, &user, address]);
    // What a gateway says about the end has not always both.
    let by_user = (!user.is_empty()).then(|| key(&["vu", &host, &user]));
    let by_address = (!address.is_empty()).then(|| key(&["va", &host, address]));
    let found = table.find(&both);
    let found = found.or_else(|| match (user.is_empty(), address.is_empty()) {
        (false, true) => table.find(by_user.as_ref()?),
        (true, false) => table.find(by_address.as_ref()?),
        _ => None,
    });
    let ends = action == "vpn_disconnected";
    let number = match found {
        Some(number) => {
            table.add(number, item);
            number
        }
        None if ends || (user.is_empty() && address.is_empty()) => return table.pass(item),
        None => table.begin(ActKind::Vpn, Body::Plain, item),
    };
    for key in [Some(both), by_user, by_address].into_iter().flatten() {
        table.name(number, key);
    }
    let Some(draft) = table.draft(number) else { return };
    draft.begun |= matches!(action, "vpn_login" | "vpn_connected");
    draft.ended |= ends;
    draft.fill("user.name", item.get("user.name"));
    draft.fill("source.ip", item.get("source.ip"));
    draft.fill("source.domain", item.get("source.domain"));
    draft.fill("vpn.tunnel", item.get("vpn.tunnel"));
    draft.fill("act.object", item.get("host.name"));
    let deadline = match (draft.ended, draft.begun) {
        (true, _) => item.place.time.saturating_add(LINGER),
        (false, true) => NEVER,
        (false, false) => item.place.time.saturating_add(EPISODE_GAP),
    };
    table.until(number, deadline);
}

fn failed(table: &mut Table, item: &Item, host: &str, address: &str) {
    let user = item.get("user.name");
    let from = if address.is_empty() { user.unwrap_or_default() } else { address };
    let by_source = key(&["x", host, "vpn", from]);
    let number = super::unix::found_or_begun(table, item, ActKind::FailedLogons, by_source);
    table.until(number, item.place.time.saturating_add(EPISODE_GAP));
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    draft.count("act.attempts", 1);
    draft.meet("act.accounts", user);
    draft.meet("act.reasons", item.get("event.reason"));
    draft.fill("source.ip", item.get("source.ip"));
    draft.set("act.service", Some("VPN"));
}

pub(crate) fn conclude(draft: &mut Draft, single: bool) -> Verdict {
    if !draft.begun || (single && draft.ended) {
        return Verdict::Pass;
    }
    draft.set("event.action", Some("vpn_session"));
    draft.set("event.outcome", Some("success"));
    Verdict::Act
}
