//! Text formats that need more than a pattern: each looks at a line and reads it, or leaves it.
//!
//! A format is asked for whole lines and for messages behind a syslog header. It must tell cheaply
//! that a line is not its own; what it pushed of such a line is taken back.

// Windows
mod windows_dhcp;
mod windows_dns_debug;
mod windows_netlogon;
pub(crate) mod windows_snare;
pub(crate) mod windows_xml;

// Linux and Unix
mod audit_values;
mod auditd;
pub(crate) mod journal;
mod syscalls;
pub(crate) use auditd::AuditEvents;

// Network and security devices
mod cef;
mod checkpoint;
mod device;
mod gateway;
mod juniper;
mod mnemonic;
mod nginx;
mod packet;
mod paloalto;
mod snort;
pub(crate) mod vpcflow;
mod yamaha;

// Cloud and identity services

// Columns and pairs of any source

use crate::byte_set::ByteSet;
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::mapping::Mappings;
use crate::pattern::Receipt;
use crate::syslog;
use yagura_event::{Origin, UtcMicros};

/// A line to be read.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each format looks at what it needs")]
pub(crate) struct Line<'a> {
    /// The whole line, or the message behind a syslog header; trimmed.
    pub(crate) text: &'a str,
    /// The bytes that `text` has.
    pub(crate) bytes: &'a ByteSet,
    /// The header it was behind; its fields are in the [`Flat`] already.
    pub(crate) header: Option<&'a syslog::Header<'a>>,
    /// Where the record came from.
    pub(crate) origin: &'a Origin<'a>,
    /// What times without year or zone are read by.
    pub(crate) receipt: Receipt<'a>,
    /// The message patterns, for formats that choose among them by a key of their own.
    pub(crate) mappings: &'a Mappings,
}

/// What a format found; the fields are in the [`Flat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Name of the dataset.
    pub(crate) dataset: &'static str,
    /// When it happened, where the line says so.
    pub(crate) time: Option<UtcMicros>,
}

pub(crate) type Read = fn(&Line<'_>, &mut StreamContext, &mut Flat) -> Option<Found>;

/// The formats in the order in which they are asked: name, bytes that all its lines have (ordinary text
/// has few of them, and is then not looked at), and how it is read.
pub(crate) const FORMATS: &[(&str, &[u8], Read)] = &[
    // Windows
    ("windows_dhcp", b",/:", windows_dhcp::read),
    ("windows_dns_debug", b"[:", windows_dns_debug::read),
    ("windows_netlogon", b"[]/:", windows_netlogon::read),
    // Linux and Unix
    ("auditd", b"=", auditd::read),
    // Network and security devices
    ("cef", b"|:", cef::read),
    ("gateway", b"=", gateway::read),
    ("paloalto", b",/:", paloalto::read),
    ("netfilter", b"=", packet::netfilter),
    ("filterlog", b",", packet::filterlog),
    ("juniper", b"", juniper::read),
    ("checkpoint", b"", checkpoint::read),
    ("yamaha", b"", yamaha::read),
    ("snort", b"[:]", snort::read),
    ("mnemonic", b"%", mnemonic::read),
    // Cloud and identity services
    ("vpcflow", b" ", vpcflow::read),
    // Columns and pairs of any source
    ("nginx_error", b"/[]#", nginx::error),
];

/// Asks every format for `line`.
pub(crate) fn read(line: &Line<'_>, context: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    FORMATS.iter().find_map(|(_, needs, read)| match line.bytes.has_all(needs) {
        true => ask(*read, line, context, flat),
        false => None,
    })
}

/// Asks one format. What it pushed of a line that it leaves after all is taken back.
pub(crate) fn ask(
    read: Read,
    line: &Line<'_>,
    context: &mut StreamContext,
    flat: &mut Flat,
) -> Option<Found> {
    let mark = flat.mark();
    let found = read(line, context, flat);
    if found.is_none() {
        flat.back_to(mark);
    }
    found
}
