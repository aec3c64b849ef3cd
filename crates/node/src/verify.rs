//! `yagura verify`: every file is either sealed by its own format or its digest is recorded in the
//! audit log; every batch the ledger has a header of must be there, with the root it was sealed
//! with.

mod cold;
mod pins;
mod table;
#[cfg(test)]
mod tests;

use crate::audit::{FileDigest, FileDigests};
use crate::backup::mark::{self, Found};
use crate::pins::PinFold;
use crate::retention::DeletedBatches;
use crate::{DataDir, Node, NodeError, keys};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use yagura_event::{Clock, EventId, Lang, UtcMicros};
use yagura_journal::{DamageKind, Expect, verify_segments};
use yagura_lake::{Lake, LakeError, LakeOptions, StoredBatch};
use yagura_ledger::{BatchHeader, EventProof, Log, LogVerifier};

/// Most findings a report spells out; it counts all.
const FINDINGS_MAX: usize = 100;

/// What to verify; everything by default.
#[derive(Debug, Clone, Default)]
pub struct VerifyScope {
    /// Only batches with a record received from here on.
    pub from: Option<UtcMicros>,
    /// Only batches with a record received before.
    pub to: Option<UtcMicros>,
    /// Only this event.
    pub event: Option<EventId>,
    /// Whether what lies in cold stores is left out, which the report says.
    pub no_cold: bool,
    /// How a cold store is reached, where its account is not in the environment. Of a directory that is
    /// open, as it was opened.
    pub cold: Option<yagura_lake::ColdSettings>,
}

impl VerifyScope {
    fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    fn covers(&self, header: &BatchHeader) -> bool {
        self.from.is_none_or(|from| header.last_received >= from)
            && self.to.is_none_or(|to| header.first_received < to)
    }
}

/// What was verified, and what is wrong.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// When it was verified.
    pub at: UtcMicros,
    /// What was looked at.
    pub checks: Vec<Check>,
    /// The first findings, in the order they were met.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub findings_total: u64,
    /// What is not wrong and still worth knowing: what a crash left unfinished.
    pub notes: Vec<Finding>,
}

/// One kind of thing that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// In English.
    pub name: &'static str,
    /// In Japanese.
    pub name_ja: &'static str,
    /// How many were checked.
    pub checked: u64,
    /// How many of them are wrong.
    pub wrong: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// File, and batch and index where they are known.
    pub place: String,
    /// In English.
    pub what: String,
    /// In Japanese.
    pub what_ja: String,
}

impl VerifyScope {
    /// From the words of a request.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        event: Option<EventId>,
    ) -> Result<Self, NodeError> {
        let instant = |text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                NodeError::request(
                    format!("{text:?} is not an ISO 8601 instant such as 2026-11-21T09:00:00Z"),
                    format!(
                        "{text:?} は ISO 8601 の時刻ではありません（例: 2026-11-21T09:00:00Z）"
                    ),
                )
            }),
        };
        let (from, to) = (instant(from)?, instant(to)?);
        Ok(VerifyScope { from, to, event, ..VerifyScope::default() })
    }
}

/// Verifies a directory that no process has open, as it lies there. Nothing stored is changed;
/// what a crash left unfinished is put in order first, as at any start.
///
/// # Errors
/// Only for a scope that cannot be right. What is wrong with the store is in the report.
pub fn verify_dir(
    data: &DataDir,
    scope: &VerifyScope,
    clock: &Arc<dyn Clock>,
) -> Result<VerifyReport, NodeError> {
    let data = &data.resolved();
    let mut verifier = Verifier::new(data, scope, clock.now());
    verifier.restored = mark::read(data)?;
    if let Some(found) = verifier.restored.clone() {
        verifier.mark(&found);
    }
    for name in keys::LOGS {
        verifier.log_dir(name);
    }
    let events = verifier.open_log("events");
    let audit = verifier.open_log("audit");
    if let (Some(events), Some(audit)) = (events, audit) {
        let directory = data.lake().join("events");
        let mut cold = crate::tiers::recorded(data).stores();
        if let Some(given) = &scope.cold {
            cold.retain(|known| known.url() != given.url());
            cold.push(given.clone());
        }
        let options = LakeOptions { cold, ..LakeOptions::default() };
        let lake = match directory.try_exists() {
            Ok(true) => match Lake::open(&directory, options, clock.clone()) {
                Ok(lake) => Some(lake),
                Err(error) => {
                    verifier.wrong(LAKE_FILES, data.relative(&directory), error);
                    None
                }
            },
            _ => None,
        };
        verifier.contents(&events, &audit, lake.as_ref())?;
    }
    Ok(verifier.finish())
}

impl Node {
    /// Verifies the open directory. Writing goes on meanwhile, to the table as well; only what was
    /// there when it began is not let go of until it ends.
    pub fn verify(&self, scope: &VerifyScope) -> Result<VerifyReport, NodeError> {
        let _kept = self.keep_files();
        let (events, audit) = self.logs();
        let mut verifier = Verifier::new(self.data(), scope, self.clock().now());
        verifier.live = true;
        for (name, log) in [("events", events), ("audit", audit)] {
            verifier.log_report(name, &log.verify());
        }
        verifier.contents(events, audit, Some(self.lake()))?;
        if verifier.is_unsettled() {
            // While no file is between being written and being recorded.
            let _pins = self.pinning().pause();
            let _still = self.pause_table();
            verifier.settle();
        }
        let report = verifier.finish();
        if scope.is_whole() && scope.event.is_none() {
            self.remember_verified(json!({
                "at": report.at, "ok": report.ok, "findings": report.findings_total,
            }));
        }
        Ok(report)
    }
}

/// Names of the checks, in both languages.
type Name = (&'static str, &'static str);

const KEYS: Name = ("signing keys", "署名鍵");
const EVENTS_LOG: Name = ("headers in the events log", "イベント台帳のヘッダー");
const AUDIT_LOG: Name = ("headers in the audit log", "監査台帳のヘッダー");
const JOURNAL: Name = ("records in the journal", "ジャーナルの記録");
const AUDIT: Name = ("entries of the audit log", "監査ログの記録");
const FILES: Name = ("files with a recorded digest", "ダイジェスト記録済みのファイル");
const LAKE_FILES: Name = ("the table", "テーブル");
const BATCHES: Name = ("batches, against their sealed roots", "バッチ（封印済みルートとの照合）");
const PRESENT: Name = ("sealed batches present", "封印済みバッチの有無");
const DELETED: Name =
    ("sealed batches absent by recorded deletion", "削除の記録がある封印済みバッチ");
const CORRELATION: Name = ("the state of correlations", "相関ルールの状態");
const FORWARD: Name = ("the places of forwarding", "転送の到達位置");
const SOURCES: Name = ("the state of sources", "送信元の状態");
const PINS: Name = (
    "pinned events, against their batches' roots",
    "ピン留めしたイベント（バッチのルートとの照合）",
);
const EVENT: Name = ("the event's proof", "イベントの証明");

struct Verifier<'a> {
    data: &'a DataDir,
    scope: &'a VerifyScope,
    /// Whether a server is writing meanwhile.
    live: bool,
    /// The mark of a directory that was restored and does not go on yet.
    restored: Option<Found>,
    report: VerifyReport,
    /// What the audit log says was deleted.
    deleted: DeletedBatches,
    /// And what it says is pinned.
    pins: PinFold,
    /// Files that are missing, and files that nobody knows, as far as that can be said while a server
    /// writes: it may have removed or made them since the records were read.
    unsettled: (Vec<String>, Vec<String>),
}

impl<'a> Verifier<'a> {
    fn new(data: &'a DataDir, scope: &'a VerifyScope, at: UtcMicros) -> Self {
        Verifier {
            data,
            scope,
            live: false,
            restored: None,
            report: VerifyReport { at, ..VerifyReport::default() },
            deleted: DeletedBatches::default(),
            pins: PinFold::default(),
            unsettled: (Vec::new(), Vec::new()),
        }
    }

    fn checked(&mut self, (name, name_ja): Name, checked: u64) {
        match self.report.checks.iter_mut().find(|check| check.name == name) {
            Some(check) => check.checked += checked,
            None => self.report.checks.push(Check { name, name_ja, checked, wrong: 0 }),
        }
    }

    fn found(&mut self, name: Name, place: String, what: String, what_ja: String) {
        self.checked(name, 0);
        if let Some(check) = self.report.checks.iter_mut().find(|check| check.name == name.0) {
            check.wrong += 1;
        }
        self.report.findings_total += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { place, what, what_ja });
        }
    }

    /// Something that cannot be checked, with the reason that the part gave which failed.
    fn wrong(&mut self, name: Name, place: String, error: impl std::fmt::Display) {
        self.found(name, place, error.to_string(), format!("検査できません（{error}）"));
    }

    fn finish(mut self) -> VerifyReport {
        self.report.ok = self.report.findings_total == 0;
        self.report
    }

    /// What the mark of a restored directory says.
    fn mark(&mut self, found: &Found) {
        let place = self.data.relative(&mark::path(self.data));
        match found {
            Found::Mark(mark) if mark.finished => self.report.notes.push(Finding {
                place,
                what: format!(
                    "restored from {}; its logs do not go on until that is decided (yagura ledger)",
                    mark.from
                ),
                what_ja: format!(
                    "{} から戻したものです。台帳を続ける方法を決めるまで書き込まれません（yagura ledger）",
                    mark.from
                ),
            }),
            Found::Mark(mark) => self.found(
                FILES,
                place,
                format!("restoring from {} was cut short", mark.from),
                format!("{} からのリストアが途中で終わっています", mark.from),
            ),
            Found::Damaged => self.found(
                FILES,
                place,
                "was changed: its checksum does not match".into(),
                "改変されています（チェックサムが一致しません）".into(),
            ),
        }
    }

    /// Whether a signing key is missing because the backup had none.
    fn left_out(&self, path: &Path) -> bool {
        let without = matches!(&self.restored, Some(Found::Mark(mark)) if !mark.with_keys);
        without
            && path.starts_with(self.data.keys())
            && path.extension().is_some_and(|ending| ending == "key")
    }

    /// Recomputes a log from its files alone.
    fn log_dir(&mut self, name: &'static str) {
        match keys::verifier_keys(self.data, name) {
            Ok(keys) => {
                let report = LogVerifier::of_epochs(&keys::log_dir(self.data, name), keys).run();
                self.log_report(name, &report);
            }
            Err(error) => {
                let key = keys::key_path(self.data, name, 1).with_extension("vkey");
                self.wrong(KEYS, self.data.relative(&key), error);
            }
        }
    }

    fn log_report(&mut self, name: &'static str, report: &yagura_ledger::LogReport) {
        let check = if name == "events" { EVENTS_LOG } else { AUDIT_LOG };
        self.checked(check, report.headers);
        for finding in &report.findings {
            if finding.a_crash_may_explain_it() {
                continue;
            }
            let place = self.place(&finding.file, finding.batch, finding.index);
            let (en, ja) = (finding.problem.sentence(Lang::En), finding.problem.sentence(Lang::Ja));
            self.found(check, place, en, ja);
        }
    }

    fn open_log(&mut self, name: &'static str) -> Option<Arc<Log>> {
        let newest = keys::verifier_keys(self.data, name).map_or(1, |keys| keys.len() as u64);
        let key = keys::key_path(self.data, name, newest);
        let is_there = matches!(key.try_exists(), Ok(true));
        let opened = match &self.restored {
            // Nothing of what was restored is changed, not even what a crash left.
            Some(_) if self.left_out(&key) && !is_there => keys::open_to_read(self.data, name),
            _ if !is_there => {
                let place = self.data.relative(&key);
                self.found(KEYS, place, "is missing".to_owned(), "ファイルがありません".to_owned());
                return None;
            }
            Some(_) => {
                keys::signing_key(self.data, name).and_then(|_| keys::open_to_read(self.data, name))
            }
            None => keys::open_log(self.data, name),
        };
        match opened {
            Ok(log) => {
                self.checked(KEYS, 1);
                Some(log)
            }
            Err(error) => {
                self.wrong(KEYS, self.data.relative(&key), error);
                None
            }
        }
    }

    /// Everything the ledgers vouch for.
    fn contents(
        &mut self,
        events: &Log,
        audit: &Log,
        lake: Option<&Lake>,
    ) -> Result<(), NodeError> {
        if let Some(event) = self.scope.event.clone() {
            self.fold();
            self.event(&event, events, lake);
            return Ok(());
        }
        let digests = self.audit_entries(audit);
        if !self.live {
            crate::files::tidy(self.data, |path| digests.get(path))?;
        }
        if self.scope.is_whole() {
            self.files(&digests, events, lake);
            self.correlation();
            self.sources();
            self.forward();
        }
        self.segments(JOURNAL, &self.data.journal(), events, Expect::Unretired);
        let in_lake = self.batches(events, lake);
        self.presence(events, &in_lake);
        self.pins(events);
        Ok(())
    }

    fn segments(&mut self, name: Name, dir: &Path, log: &Log, expect: Expect) {
        if !matches!(dir.try_exists(), Ok(true)) {
            return;
        }
        match verify_segments(dir, log, expect) {
            Ok(report) => {
                self.checked(name, report.records);
                if let Some(cut) = report.cut_short.filter(|_| !self.live) {
                    let mut place = self.place(&cut.file, cut.batch, cut.index);
                    place.push_str(&format!(", offset {}", cut.offset));
                    let (en, ja) = (cut.what.sentence(Lang::En), cut.what.sentence(Lang::Ja));
                    let finding = Finding { place, what: en.to_owned(), what_ja: ja.to_owned() };
                    self.report.notes.push(finding);
                }
                for damage in &report.damages {
                    // The newest bytes of a journal that is being written are not whole yet.
                    if self.live && damage.what == DamageKind::Tail {
                        continue;
                    }
                    let mut place = self.place(&damage.file, damage.batch, damage.index);
                    place.push_str(&format!(", offset {}", damage.offset));
                    let (en, ja) = (damage.what.sentence(Lang::En), damage.what.sentence(Lang::Ja));
                    self.found(name, place, en.to_owned(), ja.to_owned());
                }
            }
            Err(error) => self.wrong(name, self.data.relative(dir), error),
        }
    }

    /// Checks the audit journal and folds the digests of finished files out of it.
    fn audit_entries(&mut self, audit: &Log) -> FileDigests {
        let mut digests = FileDigests::default();
        let dir = self.data.audit();
        if !matches!(dir.try_exists(), Ok(true)) {
            return digests;
        }
        self.segments(AUDIT, &dir, audit, Expect::Everything);
        match yagura_journal::read_segments(&dir) {
            Ok(runs) => {
                for record in runs.flatten().flat_map(|run| run.records) {
                    digests.replay(&record.bytes);
                    self.deleted.replay(&record.bytes);
                    self.pins.replay(&record.bytes);
                }
            }
            Err(error) => self.wrong(AUDIT, self.data.relative(&dir), error),
        }
        digests
    }

    /// The state of correlations checks itself. It may be missing only where there never was one:
    /// its directory comes into being with it.
    fn correlation(&mut self) {
        let dir = self.data.correlation();
        if !dir.is_dir() {
            return;
        }
        let path = dir.join(crate::correlation::STATE_FILE);
        let place = self.data.relative(&path);
        self.checked(CORRELATION, 1);
        match std::fs::File::open(&path) {
            Ok(file) => {
                let mut file = std::io::BufReader::new(file);
                if let Err(error) = yagura_detect::check_state(&mut file) {
                    self.found(
                        CORRELATION,
                        place,
                        error.to_string(),
                        "改変または切断されています（自身のSHA-256と一致しません）".into(),
                    );
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.found(CORRELATION, place, "is missing".into(), "ファイルがありません".into())
            }
            Err(error) => self.wrong(CORRELATION, place, error),
        }
    }

    /// So does that of sources, and it may be missing only where there never was one.
    fn sources(&mut self) {
        if !self.data.sources().is_dir() {
            return;
        }
        let path = crate::sources::state_path(self.data);
        let place = self.data.relative(&path);
        self.checked(SOURCES, 1);
        match crate::sources::state::checked(&path) {
            Ok(_) => {}
            Err(crate::sources::state::StateError::Io(error))
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                self.found(SOURCES, place, "is missing".into(), "ファイルがありません".into())
            }
            Err(error) => self.found(
                SOURCES,
                place,
                error.to_string(),
                "改変または切断されています（自身のSHA-256と一致しません）".into(),
            ),
        }
    }

    /// And so do the places of forwarding.
    fn forward(&mut self) {
        if !self.data.forward().is_dir() {
            return;
        }
        let path = crate::forward::state::path(self.data);
        let place = self.data.relative(&path);
        self.checked(FORWARD, 1);
        match crate::forward::state::read(&path) {
            Ok(_) if path.is_file() => {}
            Ok(_) => self.found(FORWARD, place, "is missing".into(), "ファイルがありません".into()),
            Err(error) => self.found(
                FORWARD,
                place,
                error.to_string(),
                "改変または切断されています（自身のSHA-256と一致しません）".into(),
            ),
        }
    }

    /// Files that never change, against their digests; and files nobody knows.
    fn files(&mut self, digests: &FileDigests, events: &Log, lake: Option<&Lake>) {
        self.cold_files(digests, lake);
        for file in digests.iter().filter(|file| !crate::tiers::is_object(&file.path)) {
            self.checked(FILES, 1);
            match digest_of(self.data, &self.data.root().join(&file.path)) {
                Ok(found) if found == *file => {}
                Ok(_) => self.found(
                    FILES,
                    file.path.clone(),
                    "was changed: its SHA-256 is not the one recorded when it was written".into(),
                    "改変されています（作成時に記録したSHA-256と一致しません）".into(),
                ),
                Err(NodeError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    match self.live {
                        _ if self.left_out(&self.data.root().join(&file.path)) => {}
                        true => self.unsettled.0.push(file.path.clone()),
                        false => self.missing(file.path.clone()),
                    }
                }
                Err(error) => self.wrong(FILES, file.path.clone(), error),
            }
        }
        let mut stray = Vec::new();
        self.strays(self.data.root(), digests, &mut stray);
        let explained = lake.map(|lake| self.after_a_crash(events, lake));
        let explained = explained.unwrap_or_default();
        for path in stray.into_iter().filter(|path| !explained.contains(path)) {
            match self.live {
                true => self.unsettled.1.push(path),
                false => self.stray(path),
            }
        }
    }

    fn missing(&mut self, path: String) {
        self.found(
            FILES,
            path,
            "is missing, and no deletion is recorded".into(),
            "ファイルがありません（削除の記録もありません）".into(),
        );
    }

    fn stray(&mut self, path: String) {
        self.found(
            FILES,
            path,
            "is not part of the store".into(),
            "この保管庫に属さないファイルです".into(),
        );
    }

    fn is_unsettled(&self) -> bool {
        !self.unsettled.0.is_empty() || !self.unsettled.1.is_empty()
    }

    /// Decides on what could not be said while files came and went, by what is recorded now.
    fn settle(&mut self) {
        let (missing, stray) = std::mem::take(&mut self.unsettled);
        let mut digests = FileDigests::default();
        match yagura_journal::read_segments(&self.data.audit()) {
            Ok(runs) => {
                for record in runs.flatten().flat_map(|run| run.records) {
                    digests.replay(&record.bytes);
                }
            }
            Err(error) => self.wrong(AUDIT, self.data.relative(&self.data.audit()), error),
        }
        let there = |path: &str| matches!(self.data.root().join(path).try_exists(), Ok(true));
        let missing: Vec<_> = missing
            .into_iter()
            .filter(|path| digests.get(path).is_some() && !there(path))
            .collect();
        let stray: Vec<_> =
            stray.into_iter().filter(|path| digests.get(path).is_none() && there(path)).collect();
        missing.into_iter().for_each(|path| self.missing(path));
        stray.into_iter().for_each(|path| self.stray(path));
    }

    /// Files of the table that a crash explains and the next start puts in order: those of a flush
    /// before its commit, whose events the journal still has, and those after it whose digests were
    /// not recorded yet. The latter must still be what the table's own log says they are.
    fn after_a_crash(&self, events: &Log, lake: &Lake) -> BTreeSet<String> {
        let in_journal = batches_in_journal(self.data);
        let mut explained = BTreeSet::new();
        for orphan in &lake.open_report().orphans {
            let batches = yagura_lake::batches_of_file(orphan).unwrap_or_default();
            let known = |batch: u64| {
                in_journal.contains(&batch)
                    || lake.contains_batch(batch)
                    || crate::node::was_deleted(events, &self.deleted, batch)
            };
            if !batches.is_empty() && batches.iter().all(|rows| known(rows.batch)) {
                explained.insert(self.data.relative(orphan));
                explained.extend(crate::node::index_of_orphan(self.data, lake, orphan));
            }
        }
        for file in lake.inventory().unwrap_or_default() {
            let stated = FileDigest { path: file.path, sha256: file.sha256, bytes: file.bytes };
            let found = digest_of(self.data, &self.data.root().join(&stated.path));
            if found.is_ok_and(|found| found == stated) {
                explained.insert(stated.path);
            }
        }
        explained
    }

    /// Whether it is the state of correlations or of sources, or what a crash leaves of writing one.
    fn is_state(&self, path: &Path) -> bool {
        use crate::correlation::{NEW_STATE_FILE, STATE_FILE};
        let (counts, sources) = (self.data.correlation(), self.data.sources());
        let forward = self.data.forward();
        [counts, sources, forward]
            .into_iter()
            .flat_map(|dir| [dir.with_extension("new"), dir])
            .any(|dir| [NEW_STATE_FILE, STATE_FILE].iter().any(|name| dir.join(name) == path))
    }

    /// Files that are neither recorded nor in a directory that checks itself.
    fn strays(&self, dir: &Path, digests: &FileDigests, stray: &mut Vec<String>) {
        let checked_elsewhere =
            [self.data.journal(), self.data.audit(), self.data.events_log(), self.data.audit_log()];
        if checked_elsewhere.iter().any(|known| known == dir) {
            return;
        }
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let relative = self.data.relative(&path);
            // A compaction at work: its files are no part of the store until they have their names.
            let at_work = self.live
                && path.starts_with(self.data.lake())
                && path.extension().is_some_and(|ending| ending == "tmp");
            if self.is_state(&path) || at_work {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.strays(&path, digests, stray);
            } else if self.restored.is_some() && path == mark::path(self.data) {
                // It was looked at first of all.
            } else if path == self.data.lock() {
                if entry.metadata().is_ok_and(|data| data.len() > 0) {
                    stray.push(relative);
                }
            } else if digests.get(&relative).is_none() {
                stray.push(relative);
            }
        }
    }

    /// One event: its proof, checked as a stranger would.
    fn event(&mut self, id: &EventId, events: &Log, lake: Option<&Lake>) {
        self.checked(EVENT, 1);
        let stored = match self.stored(id, lake) {
            Ok(Some(stored)) => stored,
            Err(error) => {
                let place = error.path().map(|path| self.data.relative(path));
                let place = place.unwrap_or_else(|| LAKE_FILES.0.to_owned());
                return self.wrong(EVENT, format!("{place}, event {id}"), error);
            }
            Ok(None) if self.pins.has(id) => return self.pinned_event(id, events),
            Ok(None) if self.was_deleted(id, events) => {
                self.report.notes.push(Finding {
                    place: id.to_string(),
                    what: "is absent by a recorded deletion of its batch".into(),
                    what_ja: "このバッチを削除した記録があり、保存されていません".into(),
                });
                return;
            }
            Ok(None) => {
                return self.found(
                    EVENT,
                    id.to_string(),
                    "there is no such event".into(),
                    "このイベントはありません".into(),
                );
            }
        };
        let proven = (|| -> Result<bool, String> {
            let text = |error: &dyn std::fmt::Display| error.to_string();
            let leaf = events.leaf_of_batch(id.batch).map_err(|error| text(&error))?;
            let Some(leaf) = leaf.filter(|leaf| *leaf < events.checkpoint().size()) else {
                return Ok(false);
            };
            let header = events.header(leaf).map_err(|error| text(&error))?;
            let outer = events.inclusion_proof(leaf).map_err(|error| text(&error))?;
            let records = stored.records.iter().map(|(_, record)| record);
            let proof = EventProof::build(&header, &stored.batch_salt, records, id.index, outer);
            let proof = proof.ok_or("the batch has no such index")?;
            let key = events.verifier_key_of(leaf).ok_or("no key of its epoch is known")?;
            let proven = proof.verify(key).map_err(|error| text(&error))?;
            Ok(proven.leaf.id == *id)
        })();
        match proven {
            Ok(true) => {}
            Ok(false) => self.found(
                EVENT,
                id.to_string(),
                "is not sealed yet; try again in a few seconds".into(),
                "まだ封印されていません。数秒後にもう一度お試しください".into(),
            ),
            Err(error) => self.wrong(EVENT, id.to_string(), error),
        }
    }

    /// Folds what was deleted and what is pinned out of the audit journal.
    fn fold(&mut self) {
        let dir = self.data.audit();
        let Ok(runs) = yagura_journal::read_segments(&dir) else { return };
        for record in runs.flatten().flat_map(|run| run.records) {
            self.deleted.replay(&record.bytes);
            self.pins.replay(&record.bytes);
        }
    }

    /// Whether an event was in a batch that was deleted by a record of it.
    fn was_deleted(&self, id: &EventId, events: &Log) -> bool {
        let header = events.leaf_of_batch(id.batch).ok().flatten();
        let header = header.and_then(|leaf| events.header(leaf).ok());
        header.is_some_and(|header| {
            header.stream == id.stream
                && id.index < header.count
                && self.deleted.has(&id.stream, id.batch)
        })
    }

    /// The batch of an event, from the table or the journal.
    fn stored(&self, id: &EventId, lake: Option<&Lake>) -> Result<Option<StoredBatch>, LakeError> {
        let has = |stored: &StoredBatch| {
            stored.stream == id.stream && stored.records.iter().any(|(index, _)| *index == id.index)
        };
        match lake.map(|lake| lake.stored_batch(id.batch)) {
            None | Some(Err(LakeError::NoSuchBatch(_))) => {}
            Some(stored) => return Ok(Some(stored?).filter(has)),
        }
        let dir = self.data.journal();
        let Ok(runs) = yagura_journal::read_segments(&dir) else { return Ok(None) };
        let mut found: Option<StoredBatch> = None;
        for run in runs.flatten().filter(|run| run.batch == id.batch) {
            let stored = found.get_or_insert_with(|| StoredBatch {
                batch: run.batch,
                stream: run.stream.clone(),
                batch_salt: run.batch_salt,
                records: Vec::new(),
            });
            stored.records.extend(run.indexed().map(|(index, record)| (index, record.clone())));
        }
        Ok(found.filter(has))
    }

    fn place(&self, file: &Path, batch: Option<u64>, index: Option<u32>) -> String {
        let mut parts = Vec::new();
        if !file.as_os_str().is_empty() {
            parts.push(self.data.relative(file));
        }
        parts.extend(batch.map(|batch| format!("batch {batch}")));
        parts.extend(index.map(|index| format!("index {index}")));
        parts.join(", ")
    }
}

/// Every batch the journal has a record of.
pub(crate) fn batches_in_journal(data: &DataDir) -> BTreeSet<u64> {
    let dir = data.journal();
    match yagura_journal::read_segments(&dir) {
        Ok(runs) => runs.flatten().map(|run| run.batch).collect(),
        Err(_) => BTreeSet::new(),
    }
}

/// The digest of a file as it is now.
pub(crate) fn digest_of(data: &DataDir, path: &Path) -> Result<FileDigest, NodeError> {
    let failed = |source| NodeError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
    let digest = hasher.finalize();
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileDigest { path: data.relative(path), sha256, bytes })
}
