use crate::JournalError;
use crate::catalog::{read_segment, segment_names};
use crate::disk::{Disk, RealDisk};
use crate::frame::{Head, Kind, Opening, RecordDecoder, SegmentHeader};
use crate::places::Places;
use crate::scan::{Item, Scanner};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use yagura_event::{CommittedRun, Record};
use yagura_ledger::BatchHeader;

/// Reads every record of the journal in `dir`, oldest first, without locking or changing anything.
///
/// What cannot be read is left out: [`crate::verify_segments`] names it. A journal that is being
/// written may be read, too; then the newest records may or may not be there.
///
/// # Errors
/// When the directory cannot be listed; the iterator yields an error when a segment cannot be read.
pub fn read_segments(
    dir: &Path,
) -> Result<impl Iterator<Item = Result<CommittedRun, JournalError>>, JournalError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::existing(dir));
    let names = segment_names(&*disk)?;
    let reader = SegmentReader::new(disk, names, HashMap::new());
    Ok(reader.filter_map(|item| match item {
        Ok(ReadItem::Run(run)) => Some(Ok(run)),
        Ok(ReadItem::Seal(_)) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// What a reader finds, in file order.
pub(crate) enum ReadItem {
    Run(CommittedRun),
    Seal(BatchHeader),
}

/// Reads segments one at a time, each wholly into memory.
pub(crate) struct SegmentReader {
    disk: Arc<dyn Disk>,
    names: VecDeque<(u64, String)>,
    /// Salt and stream of the batches met so far.
    openings: HashMap<u64, Opening>,
    /// Which of their records have been read.
    places: HashMap<u64, Places>,
    found: VecDeque<ReadItem>,
}

impl SegmentReader {
    /// A reader of the segments `names`, which knows some openings beforehand.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        names: Vec<(u64, String)>,
        openings: HashMap<u64, Opening>,
    ) -> Self {
        let (places, found) = (HashMap::new(), VecDeque::new());
        SegmentReader { disk, names: names.into(), openings, places, found }
    }

    fn read_next(&mut self, name: &str) -> Result<(), JournalError> {
        let bytes = read_segment(&*self.disk, name)?;
        let Some((header, _)) = SegmentHeader::decode(&bytes) else { return Ok(()) };
        let mut decoder = RecordDecoder::default();
        let mut run: Option<CommittedRun> = None;
        for item in Scanner::new(&bytes, &header) {
            let Item::Frame { head, body, .. } = item else { continue };
            if !head.makes_sense() {
                continue;
            }
            match head.kind {
                Kind::Record => {
                    let Some(record) = decoder.decode(head.way, body) else { continue };
                    self.add(&mut run, &head, record);
                }
                Kind::Open => {
                    if let Some(opening) = Opening::decode(body) {
                        self.openings.entry(head.batch).or_insert(opening);
                    }
                }
                Kind::Seal => {
                    let text = std::str::from_utf8(body).ok();
                    let header = text.and_then(|text| BatchHeader::parse(text).ok());
                    if let Some(header) = header.filter(|header| header.batch == head.batch) {
                        self.places.remove(&head.batch);
                        self.openings.remove(&head.batch);
                        self.found.extend(run.take().map(ReadItem::Run));
                        self.found.push_back(ReadItem::Seal(header));
                    }
                }
                Kind::Commit => {}
            }
        }
        self.found.extend(run.map(ReadItem::Run));
        Ok(())
    }

    /// Adds a record to the run, or begins another one.
    fn add(&mut self, run: &mut Option<CommittedRun>, head: &Head, record: Record) {
        if !self.openings.contains_key(&head.batch)
            || !self.places.entry(head.batch).or_default().take(head.index)
        {
            return;
        }
        if let Some(run) = run
            && run.batch == head.batch
            && run.first_index as usize + run.records.len() == head.index as usize
        {
            run.records.push(record);
            return;
        }
        self.found.extend(run.take().map(ReadItem::Run));
        let Some(opening) = self.openings.get(&head.batch) else { return };
        *run = Some(CommittedRun {
            stream: opening.stream.clone(),
            batch: head.batch,
            batch_salt: opening.salt,
            first_index: head.index,
            records: vec![record],
        });
    }
}

impl Iterator for SegmentReader {
    type Item = Result<ReadItem, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.found.pop_front() {
                return Some(Ok(item));
            }
            let (_, name) = self.names.pop_front()?;
            if let Err(error) = self.read_next(&name) {
                return Some(Err(error));
            }
        }
    }
}
