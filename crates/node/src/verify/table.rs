//! The batches of the table and of the journal, against what the ledger says of them.

use super::{BATCHES, DELETED, LAKE_FILES, PRESENT, Verifier, batches_in_journal};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::Lang;
use yagura_lake::{FileEntry, Lake, LakeError, Order, StoredBatch};
use yagura_ledger::{BatchHeader, LedgerError, Log, verify_batch};

impl Verifier<'_> {
    /// Every batch of the table, against the root it was sealed with. Where a file is damaged, what
    /// the others hold is checked all the same, batch by batch.
    pub(super) fn batches(&mut self, events: &Log, lake: Option<&Lake>) -> BTreeSet<u64> {
        let Some(lake) = lake else { return BTreeSet::new() };
        // What a damaged file hides is named as that file, not again as missing batches.
        let stored: BTreeSet<u64> = lake.stored_batches().into_iter().map(|(it, _)| it).collect();
        let files = Files::of(lake);
        let mut seen = BTreeSet::new();
        let mut left = stored.clone();
        if self.scope.no_cold {
            for file in lake.files().iter().filter(|file| file.cold.is_some()) {
                for rows in &file.batches {
                    left.remove(&rows.batch);
                }
            }
        }
        let mut named = BTreeSet::new();
        // Batches of damaged files: to be tried one by one, and out of reach.
        let (mut apart, mut lost) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let walked = lake.for_each_batch_among(&left, |batch| -> Result<(), LakeError> {
                seen.insert(batch.batch);
                self.batch(events, &files, &batch);
                Ok(())
            });
            let Err(error) = walked else { break };
            left.retain(|batch| !seen.contains(batch));
            let Some(damaged) = error.path().and_then(|path| file_at(lake, path)) else {
                apart.append(&mut left);
                self.unreadable(error, &mut named);
                break;
            };
            let hidden: BTreeSet<u64> = damaged.batches.iter().map(|rows| rows.batch).collect();
            let before = left.len();
            left.retain(|batch| !hidden.contains(batch));
            let (order, went_on) = (damaged.order, left.len() < before);
            // What is outside of the scope may be damaged without being a finding.
            let meant = |batch: &u64| self.is_meant(events, *batch);
            if self.scope.is_whole() || order == Order::Source && hidden.iter().any(meant) {
                self.unreadable(error, &mut named);
            }
            // The rows of a compacted file lie in the order of their source: any part of it has rows of
            // any batch, and reading it anew for each of them would never end.
            match order {
                Order::Ledger => apart.extend(hidden),
                Order::Source => lost.extend(hidden),
            }
            if !went_on {
                apart.append(&mut left);
                break;
            }
        }
        apart.retain(|batch| !seen.contains(batch) && !lost.contains(batch));
        for batch in apart {
            if !self.is_meant(events, batch) {
                continue;
            }
            match lake.stored_batch(batch) {
                Ok(stored) => self.batch(events, &files, &stored),
                Err(error) => self.unreadable(error, &mut named),
            }
        }
        seen.extend(stored);
        seen
    }

    /// Whether a batch is within the scope, as far as the ledger tells.
    fn is_meant(&self, events: &Log, batch: u64) -> bool {
        !matches!(header_of(events, batch), Ok(Some(header)) if !self.scope.covers(&header))
    }

    /// A file that cannot be read, named once however many batches it holds.
    fn unreadable(&mut self, error: LakeError, named: &mut BTreeSet<PathBuf>) {
        let place = match error.path() {
            Some(path) if !named.insert(path.to_owned()) => return,
            Some(path) => self.data.relative(path),
            None => LAKE_FILES.0.to_owned(),
        };
        self.wrong(BATCHES, place, error);
    }

    fn batch(&mut self, events: &Log, files: &Files, stored: &StoredBatch) {
        let header = match header_of(events, stored.batch) {
            Ok(Some(header)) => header,
            Ok(None) => {
                self.found(
                    BATCHES,
                    self.place_in(files, stored.batch, None),
                    "is in the table, but the ledger has no header of it".into(),
                    "テーブルにありますが、台帳にヘッダーがありません".into(),
                );
                return;
            }
            Err(error) => return self.wrong(BATCHES, format!("batch {}", stored.batch), error),
        };
        if !self.scope.covers(&header) {
            return;
        }
        self.checked(BATCHES, 1);
        let records = stored.records.iter().map(|(index, record)| (*index, record));
        if let Err(finding) = verify_batch(&header, &stored.batch_salt, records) {
            let place = self.place_in(files, stored.batch, finding.index);
            let (en, ja) = (finding.problem.sentence(Lang::En), finding.problem.sentence(Lang::Ja));
            self.found(BATCHES, place, en, ja);
        }
    }

    /// The Parquet files that hold a batch, the batch, and the index where it is known.
    fn place_in(&self, files: &Files, batch: u64, index: Option<u32>) -> String {
        let named: Vec<String> = files.paths(batch).map(|path| self.data.relative(path)).collect();
        let named = match named.is_empty() {
            true => LAKE_FILES.0.to_owned(),
            false => named.join(" + "),
        };
        format!("{named}, {}", self.place(Path::new(""), Some(batch), index))
    }

    /// Every header with records must have them somewhere: absent unexplained is an alarm.
    pub(super) fn presence(&mut self, events: &Log, in_lake: &BTreeSet<u64>) {
        // Asked first: what comes while the journal is read is not looked for.
        let size = events.checkpoint().size();
        let in_journal = batches_in_journal(self.data);
        for leaf in 0..size {
            let header = match events.header(leaf) {
                Ok(header) => header,
                Err(error) => {
                    self.wrong(PRESENT, format!("leaf {leaf}"), error);
                    continue;
                }
            };
            if header.count == 0 || !self.scope.covers(&header) {
                continue;
            }
            let there = in_lake.contains(&header.batch) || in_journal.contains(&header.batch);
            if !there && self.live && !self.deleted.has(&header.stream, header.batch) {
                // It may have been deleted since the records were read.
                self.fold();
            }
            if !there && self.deleted.has(&header.stream, header.batch) {
                self.checked(DELETED, 1);
                continue;
            }
            self.checked(PRESENT, 1);
            if !there {
                self.found(
                    PRESENT,
                    format!("batch {} of stream {}", header.batch, header.stream),
                    format!("its {} records are absent, unexplained", header.count),
                    format!("{}件の記録が説明なく失われています", header.count),
                );
            }
        }
    }
}

fn header_of(events: &Log, batch: u64) -> Result<Option<BatchHeader>, LedgerError> {
    let leaf = events.leaf_of_batch(batch)?;
    leaf.map(|leaf| events.header(leaf)).transpose()
}

fn file_at(lake: &Lake, path: &Path) -> Option<Arc<FileEntry>> {
    lake.files().into_iter().find(|file| lake.name_of(file) == *path)
}

/// Which files of the table hold a batch.
struct Files {
    paths: Vec<PathBuf>,
    of_batch: HashMap<u64, Vec<usize>>,
}

impl Files {
    fn of(lake: &Lake) -> Self {
        let files: Vec<Arc<FileEntry>> = lake.files();
        let mut of_batch: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for rows in &file.batches {
                of_batch.entry(rows.batch).or_default().push(number);
            }
        }
        let paths = files.iter().map(|file| lake.name_of(file)).collect();
        Files { paths, of_batch }
    }

    fn paths(&self, batch: u64) -> impl Iterator<Item = &Path> {
        let numbers = self.of_batch.get(&batch).into_iter().flatten();
        numbers.filter_map(|number| self.paths.get(*number)).map(PathBuf::as_path)
    }
}
