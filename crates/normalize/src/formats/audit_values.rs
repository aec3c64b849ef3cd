//! The values of audit records: pairs, hexadecimal text, socket addresses, names of record types.

use crate::limits::PAIRS_PER_LINE_MAX;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The pairs of a record in their order, decoded.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

/// Which argument of `EXECVE` a key names: `a2`, or `a2[0]` for the first part of a long one.
pub(crate) struct Argument {
    pub(crate) number: usize,
    pub(crate) part: bool,
}

/// A socket address, as far as it says anything.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Address {
    pub(crate) ip: String,
    pub(crate) port: String,
    /// Of a local socket.
    pub(crate) path: String,
}

impl Fields {
    /// Reads the pairs of `text`, the part behind `audit(...): ` of a record of type `kind`.
    pub(crate) fn read(&mut self, kind: &str, text: &str) {
        // Names for numbers follow a group separator, which syslog daemons may escape.
        let parts = text.split_once('\u{1d}').or_else(|| text.split_once("#035"));
        let (plain, interpreted) = parts.unwrap_or((text, ""));
        self.access_vector(plain);
        self.pairs(kind, plain, true);
        self.pairs(kind, interpreted, true);
    }

    fn pairs(&mut self, kind: &str, text: &str, outer: bool) {
        let mut rest = text;
        while self.0.len() < PAIRS_PER_LINE_MAX {
            rest = rest.trim_start_matches([' ', ',', '\t']);
            let Some(end) = rest.find([' ', '=']) else { return };
            let (key, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                continue;
            };
            let (value, quote, after) = value_of(key, value);
            rest = after;
            match quote {
                Some('\'' | '{') if outer => self.pairs(kind, value, false),
                quote => {
                    let value = decoded(kind, key, value, quote.is_some());
                    self.push(key, value);
                }
            }
        }
    }

    /// Adds a pair that says something. The parts of a long argument become one: `a2[0]`, `a2[1]`.
    fn push(&mut self, key: &str, value: String) {
        if key.is_empty() || matches!(&*value, "" | "(null)" | "?" | "(none)") {
            return;
        }
        let Some(Argument { number, part: true }) = argument(key) else {
            self.0.push((key.to_owned(), value));
            return;
        };
        match self.0.last_mut() {
            Some((last, whole)) if argument(last).is_some_and(|last| last.number == number) => {
                whole.push_str(&value);
            }
            _ => self.0.push((format!("a{number}"), value)),
        }
    }

    /// SELinux: `avc:  denied  { read write } for  pid=...`.
    fn access_vector(&mut self, text: &str) {
        let Some(rest) = text.strip_prefix("avc:") else { return };
        let Some((result, rest)) = rest.trim_start().split_once(' ') else { return };
        self.0.push(("seresult".into(), result.into()));
        if let Some((permissions, _)) =
            rest.trim_start().strip_prefix('{').and_then(|rest| rest.split_once('}'))
        {
            self.0.push(("seperms".into(), permissions.trim().replace(' ', ", ")));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The value of `key`, or nothing.
    pub(crate) fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default().to_owned()
    }

    /// The arguments of `EXECVE` in their order, parts of long ones put together.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(key, _)| argument(key).is_some()).map(|(_, value)| value)
    }

    /// What `saddr` says, in the kernel's bytes or interpreted.
    pub(crate) fn address(&self) -> Option<Address> {
        if let Some(ip) = self.get("laddr") {
            let port = self.text("lport");
            return Some(Address { ip: ip.to_owned(), port, path: String::new() });
        }
        if self.get("saddr_fam") == Some("local") {
            return Some(Address { path: self.text("path"), ..Address::default() });
        }
        socket_address(&hexadecimal(self.get("saddr")?)?)
    }
}

/// The value at the start of `text`, what it was enclosed in, and what follows it.
fn value_of<'a>(key: &str, text: &'a str) -> (&'a str, Option<char>, &'a str) {
    let enclosed = |open: char, close: char| {
        let inside = text.strip_prefix(open)?;
        let (value, after) = inside.split_once(close).unwrap_or((inside, ""));
        Some((value, Some(open), after))
    };
    let found = enclosed('"', '"').or_else(|| enclosed('\'', '\'')).or_else(|| enclosed('{', '}'));
    found.unwrap_or_else(|| {
        let end = match key {
            // The only value that may hold blanks without being enclosed: `op=adding user id=7`.
            "op" => match text.find('=') {
                Some(next) => text.get(..next).and_then(|text| text.rfind(' ')),
                None => None,
            },
            _ => text.find([' ', '\t']),
        };
        let (value, after) = text.split_at(end.unwrap_or(text.len()));
        (value, None, after)
    })
}

/// Text that a user could choose is in quotes, or in hexadecimal digits if it holds blanks, quotes
/// or anything unusual.
fn decoded(kind: &str, key: &str, value: &str, quoted: bool) -> String {
    let chosen = match key {
        "acct" | "cgroup" | "cmd" | "comm" | "cwd" | "data" | "device" | "dir" | "exe" | "file"
        | "key" | "name" | "ocomm" | "path" | "proctitle" | "sw" | "vm" | "watch" => true,
        key => kind == "EXECVE" && argument(key).is_some(),
    };
    if quoted || !chosen {
        return value.to_owned();
    }
    match hexadecimal(value) {
        // Arguments end in NUL; several keys are set apart by 1.
        Some(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_end_matches('\0');
            text.replace('\0', " ").replace('\u{1}', ", ")
        }
        None => value.to_owned(),
    }
}

/// The bytes of `00FF`; `None` for anything else.
pub(crate) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

/// `a2` or `a2[0]`; not `a2_len`.
pub(crate) fn argument(key: &str) -> Option<Argument> {
    let rest = key.strip_prefix('a')?;
    let (number, part) = match rest.split_once('[') {
        Some((number, part)) => {
            (number, part.strip_suffix(']')?.bytes().all(|b| b.is_ascii_digit()))
        }
        None => (rest, false),
    };
    let digits = !number.is_empty() && number.len() <= 6;
    let plain = digits && number.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| Argument { number: number.parse().unwrap_or(0), part })
}

/// A `struct sockaddr` of Linux: family in the machine's order (little endian on the machines we
/// know), port and address in network order.
fn socket_address(bytes: &[u8]) -> Option<Address> {
    match bytes {
        [1, 0, path @ ..] => {
            // An abstract name begins with NUL.
            let path = path.strip_prefix(&[0]).unwrap_or(path);
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            let path = String::from_utf8_lossy(path).into_owned();
            Some(Address { path, ..Address::default() })
        }
        [2, 0, high, low, a, b, c, d, ..] => Some(Address {
            ip: Ipv4Addr::new(*a, *b, *c, *d).to_string(),
            port: u16::from_be_bytes([*high, *low]).to_string(),
            path: String::new(),
        }),
        [10, 0, high, low, rest @ ..] => {
            let address = rest.get(4..20)?;
            let address: [u8; 16] = address.try_into().ok()?;
            let address = Ipv6Addr::from(address);
            let v4 = address.to_ipv4_mapped();
            Some(Address {
                ip: v4.map_or_else(|| address.to_string(), |v4| v4.to_string()),
                port: u16::from_be_bytes([*high, *low]).to_string(),
                path: String::new(),
            })
        }
        _ => None,
    }
}

/// As much of `text` as `bytes_max` bytes hold.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The name of a record type that the kernel's own messages give as a number (`linux/audit.h`,
/// `audit-records.h`).
pub(crate) fn kind_name(number: &str) -> Option<&'static str> {
    const RUNS: [(u16, &str); 12] = [
        (1006, "LOGIN"),
        (
            1100,
            "USER_AUTH USER_ACCT USER_MGMT CRED_ACQ CRED_DISP USER_START USER_END USER_AVC \
             USER_CHAUTHTOK USER_ERR CRED_REFR USYS_CONFIG USER_LOGIN USER_LOGOUT ADD_USER \
             DEL_USER ADD_GROUP DEL_GROUP DAC_CHECK CHGRP_ID TEST TRUSTED_APP USER_SELINUX_ERR \
             USER_CMD USER_TTY CHUSER_ID GRP_AUTH SYSTEM_BOOT SYSTEM_SHUTDOWN SYSTEM_RUNLEVEL \
             SERVICE_START SERVICE_STOP GRP_MGMT GRP_CHAUTHTOK MAC_CHECK ACCT_LOCK ACCT_UNLOCK \
             USER_DEVICE SOFTWARE_UPDATE",
        ),
        (1200, "DAEMON_START DAEMON_END DAEMON_ABORT DAEMON_CONFIG"),
        (1205, "DAEMON_ROTATE DAEMON_RESUME DAEMON_ACCEPT DAEMON_CLOSE DAEMON_ERR"),
        (1300, "SYSCALL"),
        (1302, "PATH IPC SOCKETCALL CONFIG_CHANGE SOCKADDR CWD"),
        (1309, "EXECVE"),
        (
            1311,
            "IPC_SET_PERM MQ_OPEN MQ_SENDRECV MQ_NOTIFY MQ_GETSETATTR KERNEL_OTHER FD_PAIR \
             OBJ_PID TTY EOE BPRM_FCAPS CAPSET MMAP NETFILTER_PKT NETFILTER_CFG SECCOMP PROCTITLE \
             FEATURE_CHANGE REPLACE KERN_MODULE FANOTIFY TIME_INJOFFSET TIME_ADJNTPVAL BPF \
             EVENT_LISTENER URINGOP OPENAT2 DM_CTRL DM_EVENT",
        ),
        (1400, "AVC SELINUX_ERR AVC_PATH MAC_POLICY_LOAD MAC_STATUS MAC_CONFIG_CHANGE"),
        (1700, "ANOM_PROMISCUOUS ANOM_ABEND ANOM_LINK ANOM_CREAT"),
        (
            2100,
            "ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME ANOM_LOGIN_SESSIONS ANOM_LOGIN_ACCT \
             ANOM_LOGIN_LOCATION",
        ),
        (2500, "VIRT_CONTROL VIRT_RESOURCE VIRT_MACHINE_ID"),
    ];
    let number: u16 = number.parse().ok()?;
    RUNS.iter()
        .rev()
        .find_map(|(first, names)| names.split(' ').nth(usize::from(number.checked_sub(*first)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(kind: &str, text: &str) -> Vec<String> {
        let mut fields = Fields::default();
        fields.read(kind, text);
        fields.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn quotes_hexadecimal_nesting_and_names() {
        assert_eq!(
            read("EXECVE", "argc=4 a0=\"sh\" a1=2D63 a2[0]=6C73 a2[1]=202D6C a3=(null) a3_len=9"),
            ["argc=4", "a0=sh", "a1=-c", "a2=ls -l", "a3_len=9"]
        );
        assert_eq!(
            read(
                "SYSCALL",
                "a0=2D63 comm=6D7920746F6F6C key=610162 uid=0\u{1d}UID=\"root\" SYSCALL=execve"
            ),
            ["a0=2D63", "comm=my tool", "key=a, b", "uid=0", "UID=root", "SYSCALL=execve"]
        );
        assert_eq!(
            read(
                "ADD_USER",
                "pid=7 uid=0 msg='op=adding user id=1001 exe=\"/usr/sbin/useradd\" hostname=? res=success'"
            ),
            ["pid=7", "uid=0", "op=adding user", "id=1001", "exe=/usr/sbin/useradd", "res=success"]
        );
        assert_eq!(
            read("AVC", "avc:  denied  { read write } for  pid=5 name=\"shadow\" tclass=file"),
            ["seresult=denied", "seperms=read, write", "pid=5", "name=shadow", "tclass=file"]
        );
        assert_eq!(
            (kind_name("1309"), kind_name("1138"), kind_name("1139")),
            (Some("EXECVE"), Some("SOFTWARE_UPDATE"), None)
        );
    }

    #[test]
    fn addresses_of_each_family() {
        let address = |hex| {
            let mut fields = Fields::default();
            fields.read("SOCKADDR", &format!("saddr={hex}"));
            fields.address().map(|a| (a.ip, a.port, a.path))
        };
        let text = |ip: &str, port: &str, path: &str| Some((ip.into(), port.into(), path.into()));
        assert_eq!(address("020001BBC00002070000000000000000"), text("192.0.2.7", "443", ""));
        assert_eq!(
            address("0A0001BB0000000020010DB800000000000000000000000100000000"),
            text("2001:db8::1", "443", "")
        );
        assert_eq!(address("01002F72756E2F782E736F636B00"), text("", "", "/run/x.sock"));
        assert_eq!(address("100000000000"), None);
        assert_eq!(address("0A0001"), None);
    }

    #[test]
    fn pairs_are_bounded() {
        let text = "a=1 ".repeat(PAIRS_PER_LINE_MAX + 1);
        assert_eq!(read("X", &text).len(), PAIRS_PER_LINE_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(kind in "EXECVE|SOCKADDR|AVC", text in r#"(avc: )?[a0-9=\[\]{}"'日 \u{1d}]{0,60}"#) {
            let mut fields = Fields::default();
            fields.read(&kind, &text);
            let _ = (fields.address(), fields.arguments().count());
        }
    }
}
