//! Which columns an indicator concerns. Names decide, so that fields of sources we never saw are
//! looked at too; a column looked at in vain costs time and no false match, because what is found
//! there must still be an address, a hash, a domain.

use yagura_event::columns;

/// What a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Roles(pub u16);

impl Roles {
    pub const ADDRESS: u16 = 1;
    pub const DOMAIN: u16 = 1 << 1;
    pub const URL: u16 = 1 << 2;
    pub const HASH: u16 = 1 << 3;
    pub const FILE: u16 = 1 << 4;
    pub const EMAIL: u16 = 1 << 5;
    pub const REGISTRY: u16 = 1 << 6;
    pub const MUTEX: u16 = 1 << 7;
    pub const PIPE: u16 = 1 << 8;
    pub const AGENT: u16 = 1 << 9;
    /// Text in which addresses, hashes, domains and the like are looked for.
    pub const TEXT: u16 = 1 << 10;

    pub fn has(self, role: u16) -> bool {
        self.0 & role != 0
    }
}

/// What the column called `name` of events of `dataset` may hold.
pub(crate) fn roles(dataset: &str, name: &str) -> Roles {
    if name == columns::OVERFLOW {
        return Roles(Roles::TEXT);
    }
    if name.starts_with("yagura.") || name.starts_with("event.") || name.starts_with('@') {
        return Roles::default();
    }
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.rsplit('.');
    let last: String = parts
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .collect();
    let parent = parts.next().unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| last.ends_with(ending));
    let mut roles = 0;
    if ends(&["ip", "address", "addr", "ipv4", "ipv6", "peer", "resolvedip"]) {
        roles |= Roles::ADDRESS | Roles::DOMAIN;
    }
    if ends(&[
        "domain",
        "hostname",
        "host",
        "fqdn",
        "queryname",
        "servername",
        "sni",
        "workstation",
    ]) || lower == "dns.question.name"
        || lower == "dns.question.registered_domain"
        || lower == "host.name"
    {
        roles |= Roles::DOMAIN | Roles::ADDRESS;
    }
    if ends(&["queryresults", "answers"]) || lower.starts_with("dns.answers") {
        roles |= Roles::DOMAIN | Roles::ADDRESS | Roles::TEXT;
    }
    if ends(&["url", "uri", "referrer", "referer", "remotename"]) || lower.starts_with("url.") {
        roles |= Roles::URL | Roles::TEXT;
    }
    if ends(&["hash", "hashes", "md5", "sha1", "sha256", "sha512", "imphash"]) || parent == "hash" {
        roles |= Roles::HASH;
    }
    if ends(&[
        "path",
        "filename",
        "image",
        "imageloaded",
        "executable",
        "processname",
        "application",
        "file",
        "driver",
    ]) || matches!(&*lower, "process.name" | "file.name")
        || matches!(&*last, "objectname" | "relativetargetname" | "module" | "callerprocessname")
    {
        roles |= Roles::FILE;
    }
    if ends(&["email", "mail", "sender", "recipient", "recipients", "upn", "userprincipalname"])
        || lower.starts_with("email.")
        || (parent == "user" && last == "name")
        || ends(&["username", "userid"])
    {
        roles |= Roles::EMAIL;
    }
    if lower == "registry.path"
        || ends(&["targetobject", "objectname", "registrykey", "registrypath", "keypath"])
    {
        roles |= Roles::REGISTRY;
    }
    if ends(&["pipename", "relativetargetname"]) {
        roles |= Roles::PIPE;
    }
    if ends(&["mutex", "mutexname", "mutant"]) || last == "objectname" {
        roles |= Roles::MUTEX;
    }
    if ends(&["useragent"]) || lower == "user_agent.original" {
        roles |= Roles::AGENT;
    }
    let text = ends(&["commandline", "scriptblocktext", "payload", "details", "contextinfo", "arguments", "scripttext", "parameters"])
        || matches!(&*lower, "registry.data.strings" | "winlog.event_data.data" | "service.executable")
        || last == "imagepath"
        // A Windows event's rendered message says again what its fields say.
        || (lower == "message" && !dataset.starts_with("windows."));
    if text {
        roles |= Roles::TEXT;
    }
    Roles(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_column_holds() {
        let has = |name: &str, role| roles("windows.sysmon", name).has(role);
        for (name, role) in [
            ("source.ip", Roles::ADDRESS),
            ("winlog.event_data.DestinationIp", Roles::ADDRESS),
            ("winlog.event_data.IpAddress", Roles::ADDRESS),
            ("requestParameters.sourceIPAddress", Roles::ADDRESS),
            ("dns.question.name", Roles::DOMAIN),
            ("winlog.event_data.QueryName", Roles::DOMAIN),
            ("winlog.event_data.QueryResults", Roles::ADDRESS),
            ("url.original", Roles::URL),
            ("winlog.event_data.Hashes", Roles::HASH),
            ("process.hash.sha256", Roles::HASH),
            ("winlog.event_data.TargetFilename", Roles::FILE),
            ("process.parent.executable", Roles::FILE),
            ("winlog.event_data.TargetObject", Roles::REGISTRY),
            ("winlog.event_data.PipeName", Roles::PIPE),
            ("user_agent.original", Roles::AGENT),
            ("process.command_line", Roles::TEXT),
            ("winlog.event_data.ScriptBlockText", Roles::TEXT),
            ("yagura.overflow", Roles::TEXT),
        ] {
            assert!(has(name, role), "{name}");
        }
        for name in ["@timestamp", "event.code", "event.original", "yagura.peer", "process.pid"] {
            assert_eq!(roles("windows.sysmon", name), Roles::default(), "{name}");
        }
        assert!(!has("message", Roles::TEXT));
        assert!(roles("linux.auth", "message").has(Roles::TEXT));
    }
}
