//! The desk as a whole: grouping, limits, commands, and that a replay ends where life did.

mod exceptions;
mod format;
mod gaps;
mod grouping;
mod limits;
mod quality;
mod replay;
mod risk;

use crate::alert::{Alert, AlertId};
use crate::audit::{AuditError, AuditLog};
use crate::fold::Bounds;
use crate::{
    AlertChange, AlertFilter, Desk, DeskOptions, EventWords, Finding, Guide, Phase, Replayed,
    RuleCopy,
};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use yagura_event::{EventId, Level, ManualClock, StreamName, UtcMicros};

const HOUR: i64 = 3_600_000_000;

/// An audit log in memory, which can be made to fail.
#[derive(Default)]
struct Memory {
    entries: Mutex<Vec<Vec<u8>>>,
    appends: Mutex<usize>,
    broken: AtomicBool,
}

impl AuditLog for Memory {
    fn append(&self, entries: Vec<Value>) -> Result<(), AuditError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(AuditError { reason: "disk full".into() });
        }
        *self.appends.lock().unwrap() += 1;
        self.entries.lock().unwrap().extend(entries.iter().map(|e| e.to_string().into_bytes()));
        Ok(())
    }
}

struct Room {
    memory: Arc<Memory>,
    clock: Arc<ManualClock>,
    options: DeskOptions,
    bounds: Bounds,
    desk: Desk,
}

impl Room {
    fn new() -> Self {
        Room::with(DeskOptions::default(), Bounds::default())
    }

    fn with(options: DeskOptions, bounds: Bounds) -> Self {
        let memory = Arc::new(Memory::default());
        let clock = Arc::new(ManualClock::at(start()));
        let desk = Desk::with_bounds(options.clone(), bounds, memory.clone(), clock.clone());
        Room { memory, clock, options, bounds, desk }
    }

    fn observe(&self, findings: impl IntoIterator<Item = Finding>) -> Vec<AlertChange> {
        self.desk.observe(findings.into_iter().collect()).unwrap()
    }

    /// A desk that has nothing but the records.
    fn replayed(&self) -> Desk {
        let desk = Desk::with_bounds(
            self.options.clone(),
            self.bounds,
            Arc::new(Memory::default()),
            self.clock.clone(),
        );
        for entry in self.memory.entries.lock().unwrap().iter() {
            assert_eq!(desk.replay(entry), Replayed::Applied, "{}", String::from_utf8_lossy(entry));
        }
        desk
    }
}

fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

fn rule(number: u32, level: Level) -> Arc<RuleCopy> {
    Arc::new(RuleCopy {
        uuid: format!("00000000-0000-4000-8000-{number:012}"),
        name: format!("Rule {number}"),
        name_ja: Some(format!("規則 {number}")),
        level,
        tags: vec!["attack.t1003.001".into()],
        author: Some("Yagura".into()),
        license: Some("Apache-2.0".into()),
        phase: Some(Phase::PrivilegeLateral),
        digest: None,
        guide: Guide::default(),
    })
}

/// Event `index`, which happened `index` minutes after the start on `host`.
fn finding(rule: &Arc<RuleCopy>, host: &str, index: u32) -> Finding {
    let at = start().plus_micros(i64::from(index) * 60_000_000);
    Finding {
        rule: rule.clone(),
        dataset: "windows.sysmon".into(),
        host: (!host.is_empty()).then(|| host.to_owned()),
        user: Some("田中".into()),
        source_ip: Some("10.1.2.3".into()),
        event_id: EventId { stream: StreamName::new("syslog").unwrap(), batch: 1, index },
        timestamp: at,
        received: at,
        words: EventWords::Said {
            ja: format!("田中 が {host} で操作 {index} を行った"),
            en: format!("田中 did {index} on {host}"),
        },
        evidence: Vec::new(),
    }
}

fn all(desk: &Desk) -> Vec<Arc<Alert>> {
    desk.alerts(&AlertFilter { limit: 1_000, ..AlertFilter::default() }).alerts
}

fn id(number: u64) -> AlertId {
    AlertId(number)
}
