//! A finished act, and acts as event batches.

use crate::item::Place;
use crate::limits::DISTINCT_SHOWN_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, EventBatch, EventId, FieldDictionary, Origin, Transport, UtcMicros, Words,
};

/// What kind of act it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActKind {
    /// A file or folder was read, written, created, deleted, renamed or given other permissions.
    File,
    /// A logon session of Windows.
    Logon,
    /// Tries to log on that all failed, from one source to one host.
    FailedLogons,
    /// The life of a process and what it touched.
    Process,
    /// The use of one PowerShell.
    Powershell,
    /// One client's visit to a web site.
    WebVisit,
    /// A session over SSH, with the commands run as another user inside.
    Ssh,
    /// Commands run as another user.
    Sudo,
    /// A session that PAM opened and closed: su, login, a scheduled command.
    Session,
    /// Connections of one address to one service.
    Connections,
    /// The records of one event of the Linux audit daemon.
    Audit,
    /// A VPN session.
    Vpn,
}

impl ActKind {
    /// Every kind.
    pub const ALL: [ActKind; 12] = [
        ActKind::File,
        ActKind::Logon,
        ActKind::FailedLogons,
        ActKind::Process,
        ActKind::Powershell,
        ActKind::WebVisit,
        ActKind::Ssh,
        ActKind::Sudo,
        ActKind::Session,
        ActKind::Connections,
        ActKind::Audit,
        ActKind::Vpn,
    ];

    /// The word of the kind; its dataset is `act.` and this.
    pub fn as_str(self) -> &'static str {
        match self {
            ActKind::File => "file",
            ActKind::Logon => "logon",
            ActKind::FailedLogons => "failed_logons",
            ActKind::Process => "process",
            ActKind::Powershell => "powershell",
            ActKind::WebVisit => "web_visit",
            ActKind::Ssh => "ssh",
            ActKind::Sudo => "sudo",
            ActKind::Session => "session",
            ActKind::Connections => "connections",
            ActKind::Audit => "audit",
            ActKind::Vpn => "vpn",
        }
    }

    /// The dataset of acts of this kind.
    pub fn dataset(self) -> String {
        format!("act.{}", self.as_str())
    }
}

impl std::str::FromStr for ActKind {
    type Err = Words;

    fn from_str(word: &str) -> Result<Self, Words> {
        ActKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let all = ActKind::ALL.map(ActKind::as_str);
            Words::new(
                format!("unknown kind of act {word:?}: use {}", all.join(", ")),
                format!("{} のどれかを指定してください", all.join("、")),
            )
        })
    }
}

/// Whether an act is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActState {
    /// It ended.
    Complete,
    /// It goes on: there was no end when the events ended.
    Open,
    /// A limit ended it; what follows of it is another act ([`Act::part`]).
    Cut,
}

impl ActState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            ActState::Complete => "complete",
            ActState::Open => "open",
            ActState::Cut => "cut",
        }
    }
}

/// Several events that are one human act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What it is.
    pub kind: ActKind,
    /// When its first event happened.
    pub start: UtcMicros,
    /// When its last event happened.
    pub end: UtcMicros,
    /// Its events by time; never empty, at most [`crate::limits::EVENTS_PER_ACT_MAX`].
    pub event_ids: Vec<EventId>,
    /// The datasets of its events.
    pub datasets: BTreeSet<Arc<str>>,
    /// Whether it is whole.
    pub state: ActState,
    /// Whether its beginning is among its events. A process that already ran has none.
    pub begun: bool,
    /// 1, or more where limits cut one act into several.
    pub part: u32,
    /// Events that came after the allowance for late ones.
    pub late: u32,
    /// Texts by field name: `user.name`, `host.name`, `source.ip`, `event.action` (the operation),
    /// `event.outcome`, `act.object`, and those of its kind.
    pub texts: BTreeMap<&'static str, String>,
    /// Numbers by field name: how often what happened.
    pub numbers: BTreeMap<&'static str, i64>,
    pub(crate) first: Place,
}

impl Act {
    /// What names it: its kind and its first event, as `logon:windows/3/17`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.first.id)
    }

    /// Who did it.
    pub fn user(&self) -> Option<&str> {
        self.text("user.name")
    }

    /// On which host.
    pub fn host(&self) -> Option<&str> {
        self.text("host.name")
    }

    /// From which address or host.
    pub fn source(&self) -> Option<&str> {
        self.text("source.ip").or_else(|| self.text("source.domain"))
    }

    /// What was acted on: a file, an address, a command.
    pub fn object(&self) -> Option<&str> {
        self.text("act.object")
    }

    /// What was done.
    pub fn operation(&self) -> Option<&str> {
        self.text("event.action")
    }

    /// Whether it was allowed: `success` or `failure`.
    pub fn outcome(&self) -> Option<&str> {
        self.text("event.outcome")
    }

    /// A text by its field name.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.texts.get(field).map(String::as_str)
    }

    /// A number by its field name.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.numbers.get(field).copied()
    }
}

/// Acts as event batches, one for each kind among them, in the order of `acts`. The rows have the id of
/// their first event and no `event.original`; `message` holds all texts of the act, for searching.
pub fn batches(acts: &[Act], dictionary: &Arc<FieldDictionary>) -> Vec<EventBatch> {
    let mut all = Vec::new();
    for kind in ActKind::ALL {
        let mut builder = BatchBuilder::new(&kind.dataset(), dictionary.clone());
        for act in acts.iter().filter(|act| act.kind == kind) {
            push(&mut builder, act);
        }
        all.extend(builder.finish());
    }
    all
}

fn push(builder: &mut BatchBuilder, act: &Act) {
    let origin = Origin {
        stream: &act.first.id.stream,
        batch: act.first.id.batch,
        index: act.first.id.index,
        batch_salt: &[0; 32],
        received: UtcMicros::from_micros(act.first.received),
        transport: Transport::Internal,
        peer: "",
        identity: "",
    };
    builder.begin(&origin, None);
    builder.set_time(act.start);
    builder.set("act.id", &act.id());
    builder.set("act.kind", act.kind.as_str());
    builder.set("act.state", act.state.as_str());
    builder.set("act.begun", if act.begun { "yes" } else { "before" });
    builder.set_long("act.events", i64::try_from(act.event_ids.len()).unwrap_or(i64::MAX));
    let ids: Vec<String> = act.event_ids.iter().map(EventId::to_string).collect();
    builder.set("act.event_ids", &ids.join(" "));
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        builder.set("act.first", first);
        builder.set("act.last", last);
    }
    let datasets: Vec<&str> = act.datasets.iter().map(|name| &**name).collect();
    builder.set("act.datasets", &datasets.join(" "));
    builder.set("event.start", &act.start.to_string());
    builder.set("event.end", &act.end.to_string());
    let micros = act.end.as_micros().saturating_sub(act.start.as_micros());
    // ECS counts durations in nanoseconds.
    builder.set_long("event.duration", micros.saturating_mul(1_000));
    if act.part > 1 {
        builder.set_long("act.part", i64::from(act.part));
    }
    if act.late > 0 {
        builder.set_long("act.late", i64::from(act.late));
    }
    let mut message = String::new();
    for (name, value) in &act.texts {
        builder.set(name, value);
        message.push_str(value);
        message.push('\n');
    }
    for (name, value) in &act.numbers {
        builder.set_long(name, *value);
    }
    builder.set("message", message.trim_end());
}

/// Some of several values as one text, and an ellipsis where there are more.
pub(crate) fn listed(values: &BTreeSet<Box<str>>) -> String {
    let shown: Vec<&str> = values.iter().take(DISTINCT_SHOWN_MAX).map(|value| &**value).collect();
    let mut text = shown.join(", ");
    if values.len() > DISTINCT_SHOWN_MAX {
        text.push_str(", …");
    }
    text
}
