//! Web visits: requests of one client (address, user agent) to one site without longer pauses.

use super::{MINUTE, Verdict, key};
use crate::act::ActKind;
use crate::draft::Draft;
use crate::item::Item;
use crate::table::Table;

/// Requests with longer pauses are separate visits, as web statistics count them.
const GAP: i64 = 30 * MINUTE;

/// Ends of paths that a page loads beside itself.
const PARTS: [&str; 17] = [
    ".css", ".js", ".mjs", ".map", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico",
    ".woff", ".woff2", ".ttf", ".eot", ".mp4", ".json",
];

pub(crate) fn visit(table: &mut Table, item: &Item) {
    let Some(address) = item.get("source.ip") else { return table.pass(item) };
    let agent = item.get("user_agent.original").unwrap_or_default();
    let site = item.get("url.domain").unwrap_or_default().to_lowercase();
    let client = key(&["w", &item.host(), &site, address, agent]);
    let number = super::unix::found_or_begun(table, item, ActKind::WebVisit, client);
    table.until(number, item.place.time.saturating_add(GAP));
    let Some(draft) = table.draft(number) else { return };
    draft.begun = true;
    let path = item.first(&["url.path", "url.original"]);
    let status = item.number("http.response.status_code").unwrap_or(0);
    let method = item.get("http.request.method").unwrap_or_default();
    let sent = matches!(method, "POST" | "PUT" | "PATCH");
    draft.count("act.requests", 1);
    draft.count("act.pages", i64::from(status < 400 && !sent && path.is_some_and(is_page)));
    draft.count("act.errors", i64::from(status >= 400));
    draft.count("act.uploads", i64::from(sent && status < 400));
    draft.count("act.bytes", item.number("http.response.body.bytes").unwrap_or(0).max(0));
    draft.fill("act.first_path", path);
    draft.set("act.last_path", path);
    draft.fill("source.ip", Some(address));
    draft.fill("user.name", item.get("user.name"));
    draft.fill("user_agent.original", item.get("user_agent.original"));
    draft.fill("url.domain", item.get("url.domain"));
    draft.fill("act.object", item.get("url.domain").or(item.get("host.name")));
}

fn is_page(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path).to_ascii_lowercase();
    !PARTS.iter().any(|end| path.ends_with(end))
}

pub(crate) fn conclude(draft: &mut Draft) -> Verdict {
    let failed = draft.number("act.errors") == draft.number("act.requests");
    draft.set("event.action", Some("web_visit"));
    draft.set("event.outcome", Some(if failed { "failure" } else { "success" }));
    Verdict::Act
}
