//! What kind of record this is, decided from its content, and its fields.

use crate::byte_set::ByteSet;
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::formats::{self, Line, journal, windows_snare, windows_xml};
use crate::headed::Reading;
use crate::mapping::{Mappings, MessageFound};
use crate::names::{self, NameId};
use crate::pattern::Receipt;
use crate::windows::Dialect;
use crate::{json, pairs, syslog, time, web};
use jiff::tz::TimeZone;
use std::sync::Arc;
use yagura_event::{Origin, Transport, UtcMicros};

/// The outcome; the fields are in the [`Flat`].
pub(crate) struct Decoded {
    /// Position of the dataset in [`Mappings::datasets`].
    pub(crate) dataset: usize,
    /// How the names after the first `plain` are to be read.
    pub(crate) dialect: Dialect,
    /// How many fields at the front are named by their column already.
    pub(crate) plain: usize,
    /// When it happened, where a header said so.
    pub(crate) time: Option<UtcMicros>,
    /// The header of its file that explains its columns.
    pub(crate) layout: Option<Arc<str>>,
}

/// What the text being read was found in. An envelope is opened once: the line inside may again
/// hold a document, but not a further envelope, so the reading never goes round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shell {
    None,
    Envelope,
}

/// Positions of the datasets that content alone decides.
pub(crate) struct Datasets {
    pub(crate) windows_other: usize,
    pub(crate) powershell: usize,
    json: usize,
    audit: usize,
    access: usize,
    web_error: usize,
    vpn: usize,
    auth: usize,
    syslog: usize,
    container: usize,
    pairs: usize,
    unknown: usize,
}

impl Datasets {
    pub(crate) fn new(mappings: &Mappings) -> Self {
        Datasets {
            windows_other: mappings.dataset("windows.other"),
            powershell: mappings.dataset("windows.powershell"),
            json: mappings.dataset("json.generic"),
            audit: mappings.dataset("yagura.audit"),
            access: mappings.dataset("web.access"),
            web_error: mappings.dataset("web.error"),
            vpn: mappings.dataset("network.vpn"),
            auth: mappings.dataset("linux.auth"),
            syslog: mappings.dataset("linux.syslog"),
            container: mappings.dataset("container.log"),
            pairs: mappings.dataset("kv.generic"),
            unknown: mappings.dataset("unknown"),
        }
    }
}

/// Reads records with the mappings' patterns and channels.
pub(crate) struct Decoder<'a> {
    pub(crate) mappings: &'a Mappings,
    pub(crate) datasets: &'a Datasets,
    pub(crate) zone: &'a TimeZone,
}

impl Decoder<'_> {
    /// Reads `text`, the view of the bytes of a record that came from `origin`, into `flat`.
    pub(crate) fn decode(
        &self,
        text: &str,
        origin: &Origin<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
    ) -> Decoded {
        let trimmed = text.trim();
        let own = origin.transport == Transport::Internal;
        if trimmed.starts_with('{') {
            context.layouts.pass();
            let decoded = self.document(trimmed, origin, context, flat, Shell::None);
            let audit = own || origin.stream.as_str().starts_with("audit");
            if audit && decoded.dataset == self.datasets.json {
                return Decoded { dataset: self.datasets.audit, ..decoded };
            }
            return decoded;
        }
        // Blanks and tabs at the ends may be empty columns.
        let line = text.trim_end_matches(['\r', '\n']);
        if let Some(headed) = context.layouts.read(line, &self.reading(origin), flat) {
            let decoded = self.text(headed.dataset, flat, headed.time);
            return Decoded { layout: headed.layout, ..decoded };
        }
        if let Some(decoded) = self.line(trimmed, origin, context, flat, Shell::None) {
            return decoded;
        }
        flat.push_known(names::MESSAGE, trimmed);
        if own {
            return self.text(self.datasets.audit, flat, None);
        }
        flat.note(if trimmed.is_empty() { "empty" } else { "no decoder knows this text" });
        self.text(self.datasets.unknown, flat, None)
    }

    /// A JSON document; the `plain` fields a header gave are in `flat` already.
    fn document(
        &self,
        text: &str,
        origin: &Origin<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
        shell: Shell,
    ) -> Decoded {
        let plain = flat.len();
        json::flatten(text, flat);
        if flat.problem().is_some() && flat.value(names::MESSAGE).is_none() {
            // What only looks like a document must not hide its words from searches and rules.
            flat.push_known(names::MESSAGE, text);
        }
        if let Some(dialect) = Dialect::of(flat) {
            return self.windows(dialect, plain, flat);
        }
        if let Some(dataset) = self.mappings.signatures.dataset(flat, plain) {
            return Decoded { dataset, dialect: Dialect::Plain, plain, time: None, layout: None };
        }
        if shell == Shell::None
            && let Some(decoded) = self.journal_document(origin, context, flat)
        {
            return decoded;
        }
        // A shipper's envelope around a line of a log file or the journal, or around a document.
        const INNER: [NameId; 4] =
            [names::MESSAGE, names::JOURNAL_MESSAGE, names::LOG, names::AUDIT_DATA];
        let inner = INNER.into_iter().find_map(|name| flat.value(name)).map(str::to_owned);
        if let (Some(inner), Shell::None) = (inner, shell) {
            const PROGRAM: [NameId; 2] = [names::JOURNAL_PROGRAM, names::PROCESS_NAME];
            let program = PROGRAM.into_iter().find_map(|name| flat.value(name)).map(str::to_owned);
            let inner = inner.trim();
            if inner.starts_with('{') {
                let mark = flat.mark();
                let decoded = self.document(inner, origin, context, flat, Shell::Envelope);
                if decoded.dataset != self.datasets.json {
                    return decoded;
                }
                flat.back_to(mark);
            }
            let line = self.line(inner, origin, context, flat, Shell::Envelope);
            let decoded = line.or_else(|| {
                let (bytes, receipt) = (&ByteSet::of(inner), self.receipt(origin));
                let (dataset, time) = self.message(&program?, inner, bytes, receipt, flat);
                (dataset != self.datasets.syslog).then(|| self.text(dataset, flat, time))
            });
            if let Some(decoded) = decoded {
                return decoded;
            }
        }
        // What a container printed, as Docker's json-file driver keeps it, and nothing more is known.
        let printed = matches!(flat.value(names::STREAM), Some("stdout" | "stderr"))
            && flat.value(names::LOG).is_some();
        let dataset = if printed { self.datasets.container } else { self.datasets.json };
        Decoded { dataset, dialect: Dialect::Plain, plain, time: None, layout: None }
    }

    /// An event of Windows; the fields after the first `plain` are named as `dialect` has it.
    fn windows(&self, dialect: Dialect, plain: usize, flat: &Flat) -> Decoded {
        let channel = flat.value(dialect.channel());
        let dataset = channel.and_then(|channel| self.mappings.channel(channel));
        let dataset = dataset.unwrap_or(self.datasets.windows_other);
        Decoded { dataset, dialect, plain, time: None, layout: None }
    }

    /// An event of Windows that comes as XML or as a line of text.
    fn windows_text(&self, text: &str, flat: &mut Flat) -> Option<Decoded> {
        let plain = flat.len();
        if windows_xml::is_event(text) {
            windows_xml::read(text, flat);
            if flat.problem().is_some() {
                flat.push_known(names::MESSAGE, text);
            }
            return Some(self.windows(Dialect::Evtx, plain, flat));
        }
        windows_snare::read(text, flat)?;
        Some(self.windows(Dialect::Flat, plain, flat))
    }

    /// An entry of the journal that came as JSON; its fields are in `flat`.
    fn journal_document(
        &self,
        origin: &Origin<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
    ) -> Option<Decoded> {
        flat.value(names::JOURNAL_MESSAGE)?;
        flat.value(names::JOURNAL_TIME)?;
        let owned = journal::FIELDS.map(|name| {
            let id = flat.names.id(name);
            (name, flat.value(id).map(str::to_owned))
        });
        let header = journal::header(|name| {
            owned.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.as_deref())
        });
        Some(self.syslog(&header, origin, context, flat, Shell::Envelope))
    }

    /// A line of text, if anything about it is known.
    fn line(
        &self,
        text: &str,
        origin: &Origin<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
        shell: Shell,
    ) -> Option<Decoded> {
        let receipt = self.receipt(origin);
        // What users say comes first: they know what their lines mean.
        let found =
            self.mappings.match_user_line(text, receipt, |name, value| push(flat, name, value));
        if let Some(found) = found {
            return Some(self.matched(found, text, flat));
        }
        if let Some((dataset, time)) = self.mappings.match_format(text, origin, flat) {
            flat.push_known(names::MESSAGE, text);
            return Some(self.text(dataset, flat, time));
        }
        if text.starts_with(journal::START) {
            let header = journal::read(text, flat);
            return Some(self.syslog(&header, origin, context, flat, shell));
        }
        if let Some(decoded) = self.windows_text(text, flat) {
            return Some(decoded);
        }
        if let Some(header) = syslog::parse(text, origin.received, self.zone) {
            return Some(self.syslog(&header, origin, context, flat, shell));
        }
        let bytes = &ByteSet::of(text);
        let line = Line { text, bytes, header: None, origin, receipt, mappings: self.mappings };
        if let Some(decoded) = self.bare(&line, context, flat) {
            return Some(decoded);
        }
        let found = |name: &str, value: &str| push(flat, name, value);
        let found = self.mappings.match_line(text, bytes, receipt, found);
        if let Some(found) = found {
            return Some(self.matched(found, text, flat));
        }
        pairs::generic(text, flat)?;
        if flat.value(names::MESSAGE).is_none() {
            flat.push_known(names::MESSAGE, text);
        }
        Some(self.text(self.datasets.pairs, flat, None))
    }

    fn matched(&self, found: MessageFound, text: &str, flat: &mut Flat) -> Decoded {
        if flat.value(names::MESSAGE).is_none() {
            flat.push_known(names::MESSAGE, text);
        }
        let dataset = found.dataset.unwrap_or(self.datasets.unknown);
        self.text(dataset, flat, found.matched.time)
    }

    pub(crate) fn reading(&self, origin: &Origin<'_>) -> Reading<'_> {
        Reading {
            mappings: self.mappings,
            zone: self.zone,
            received: origin.received,
            is_file: origin.transport == Transport::File,
        }
    }

    fn receipt(&self, origin: &Origin<'_>) -> Receipt<'_> {
        Receipt { received: origin.received, zone: self.zone }
    }

    /// Lines that need no header to be known.
    fn bare(
        &self,
        line: &Line<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
    ) -> Option<Decoded> {
        let text = line.text;
        if line.header.is_some()
            && let Some((dataset, time)) = self.mappings.match_format(text, line.origin, flat)
        {
            flat.push_known(names::MESSAGE, text);
            return Some(self.text(dataset, flat, time));
        }
        if let Some(found) = formats::read(line, context, flat) {
            if flat.value(names::MESSAGE).is_none() {
                flat.push_known(names::MESSAGE, text);
            }
            return Some(self.text(self.mappings.dataset(found.dataset), flat, found.time));
        }
        if text.starts_with('[')
            && let Some(time) = web::error(text, self.zone, flat)
        {
            return Some(self.text(self.datasets.web_error, flat, Some(time)));
        }
        if line.bytes.has(b'"')
            && let Some(time) = web::access(text, flat)
        {
            flat.push_known(names::MESSAGE, text);
            return Some(self.text(self.datasets.access, flat, time));
        }
        if line.bytes.has(b'=') && pairs::is_vpn(text) {
            return Some(self.vpn(text, flat));
        }
        None
    }

    fn vpn(&self, text: &str, flat: &mut Flat) -> Decoded {
        pairs::push("vpn.", text, flat);
        flat.push_known(names::MESSAGE, text);
        let time = gateway_time(flat, self.zone);
        self.text(self.datasets.vpn, flat, time)
    }

    fn syslog(
        &self,
        header: &syslog::Header<'_>,
        origin: &Origin<'_>,
        context: &mut StreamContext,
        flat: &mut Flat,
        shell: Shell,
    ) -> Decoded {
        header.push(flat);
        let message = header.message.trim_start();
        let document = message.strip_prefix("@cee:").unwrap_or(message).trim_start();
        if document.starts_with('{') {
            let decoded = self.document(document, origin, context, flat, shell);
            return Decoded { time: decoded.time.or(header.time), ..decoded };
        }
        if let Some(decoded) = self.windows_text(message, flat) {
            return Decoded { time: header.time, ..decoded };
        }
        let receipt = self.receipt(origin);
        let bytes = &ByteSet::of(message);
        let line = Line {
            text: message,
            bytes,
            header: Some(header),
            origin,
            receipt,
            mappings: self.mappings,
        };
        if let Some(decoded) = self.bare(&line, context, flat) {
            return Decoded { time: decoded.time.or(header.time), ..decoded };
        }
        let (dataset, time) = match header.program {
            Some(program) => self.message(program, message, bytes, receipt, flat),
            None => (self.datasets.syslog, None),
        };
        flat.push_known(names::MESSAGE, message);
        self.text(dataset, flat, time.or(header.time))
    }

    /// The message of a program on Linux: adds what its patterns find, answers the dataset, and
    /// when it happened where the message itself says so.
    fn message(
        &self,
        program: &str,
        message: &str,
        bytes: &ByteSet,
        receipt: Receipt<'_>,
        flat: &mut Flat,
    ) -> (usize, Option<UtcMicros>) {
        // `sshd(pam_unix)` is how PAM named itself before 2004 or so, `pam_unix(sshd:auth): ` since.
        let (program, old_pam) = match program.split_once("(pam_") {
            Some((program, _)) => (program, true),
            None => (program, false),
        };
        // `/usr/sbin/cron`; `postfix/smtpd` is of Postfix, whose parts have names too common.
        let whole = program.split_once('/').map_or(program, |(first, _)| first);
        let program = match self.mappings.program(whole) {
            Some(_) => whole,
            None => program.rsplit('/').next().unwrap_or(program),
        };
        let pam = if old_pam {
            flat.push_known(names::PROCESS_NAME, program);
            Some(message)
        } else if message.starts_with("pam_") {
            message.split_once("): ").map(|(_, inner)| inner)
        } else {
            None
        };
        let (key, inner) = match pam {
            Some(inner) => ("pam", inner),
            None if program == "kernel" => (program, without_uptime(message)),
            None => (program, message),
        };
        let found = |name: &str, value: &str| push(flat, name, value);
        let found = self.mappings.match_message(key, inner, bytes, receipt, found);
        let time = found.as_ref().and_then(|found| found.matched.time);
        if let Some(MessageFound { dataset: Some(dataset), .. }) = found {
            return (dataset, time);
        }
        let dataset = match self.mappings.program(program) {
            Some(dataset) => dataset,
            None if pam.is_some() => self.datasets.auth,
            None => self.datasets.syslog,
        };
        (dataset, time)
    }

    fn text(&self, dataset: usize, flat: &Flat, time: Option<UtcMicros>) -> Decoded {
        Decoded { dataset, dialect: Dialect::Plain, plain: flat.len(), time, layout: None }
    }
}

/// What the kernel says behind `[   12.345678] `.
fn without_uptime(message: &str) -> &str {
    let uptime = message.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match uptime {
        Some((uptime, rest)) if uptime.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b' ')) => {
            rest
        }
        _ => message,
    }
}

fn push(flat: &mut Flat, name: &str, value: &str) {
    if !value.is_empty() {
        flat.push(name, value);
    }
}

/// FortiOS's `eventtime` (since 1970) or `date` with `time` and perhaps `tz`.
fn gateway_time(flat: &Flat, zone: &TimeZone) -> Option<UtcMicros> {
    if let Some(time) = flat.value(names::VPN_EVENT_TIME).and_then(time::epoch) {
        return Some(time);
    }
    let (date, clock) = (flat.value(names::VPN_DATE)?, flat.value(names::VPN_TIME)?);
    let offset = flat.value(names::VPN_ZONE).unwrap_or_default();
    time::iso(&format!("{date}T{clock}{offset}"), zone).map(|(instant, _)| instant)
}
