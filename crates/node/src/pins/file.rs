//! The file of one pin: where it lies, and whether it is what was written.

use crate::{DataDir, NodeError};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use yagura_event::{EventId, Words};
use yagura_ledger::limits::PROOF_BYTES_MAX;
use yagura_ledger::{EventLeaf, EventProofError, InnerProof, Log};

const ENDING: &str = "pin";

/// The file of an event's pin: `BATCH-INDEX.pin`. A batch has one number within the log.
pub(crate) fn path(data: &DataDir, id: &EventId) -> PathBuf {
    data.pins().join(format!("{}-{}.{ENDING}", id.batch, id.index))
}

/// What is wrong with a pin, and what helps.
#[derive(Debug, Clone)]
pub(crate) struct Fault(pub(crate) Words);

impl Fault {
    fn new(en: impl Into<String>, ja: impl Into<String>) -> Fault {
        Fault(Words::new(
            format!(
                "{}: restore it from a backup; while its batch is in the lake, unpin the event and pin it \
                 again",
                en.into()
            ),
            format!(
                "{}。バックアップから戻してください。バッチがレイクにあれば、ピンを外して付け直すこともできます",
                ja.into()
            ),
        ))
    }

    /// With the file named.
    pub(crate) fn at(&self, place: &str) -> NodeError {
        let Fault(words) = self;
        NodeError::Pin(Words::new(
            format!("{place} {}", words.en()),
            format!("{place}: {}", words.ja()),
        ))
    }
}

/// Reads a pin back and judges it: it is as it was spelt, of this event, leads to the root in its header, and
/// the header is the one that the log has. Answers it with its header's leaf in the log.
pub(crate) fn read(data: &DataDir, log: &Log, id: &EventId) -> Result<(u64, InnerProof), Fault> {
    let bytes = bytes(data, id)?;
    let pin = InnerProof::parse(&bytes).map_err(|error| not_as_written(&error))?;
    let is_it = EventLeaf::parse(pin.leaf()).is_ok_and(|leaf| leaf.id == *id);
    if !is_it {
        return Err(Fault::new("is the pin of another event", "別のイベントのピンです"));
    }
    pin.verify().map_err(|error| not_as_written(&error))?;
    let unknown = || {
        Fault::new(
            "has a batch header that the ledger does not have",
            "バッチのヘッダーが台帳にありません",
        )
    };
    let broken = |error: yagura_ledger::LedgerError| {
        let words = error.words();
        Fault(Words::new(
            format!("cannot be compared with the ledger: {}", words.en()),
            format!("台帳と照合できません（{}）", words.ja()),
        ))
    };
    let leaf = log.leaf_of_batch(id.batch).map_err(broken)?.ok_or_else(unknown)?;
    match log.header(leaf).map_err(broken)?.encode() == pin.header() {
        true => Ok((leaf, pin)),
        false => Err(unknown()),
    }
}

fn bytes(data: &DataDir, id: &EventId) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    // One byte past what is read at all is enough to be refused.
    let limit = PROOF_BYTES_MAX as u64 + 1;
    let read = File::open(path(data, id)).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Fault::new("is missing", "ファイルがありません"))
        }
        Err(error) => {
            let ja = Words::from(&error).ja().to_owned();
            Err(Fault::new(format!("cannot be read ({error})"), format!("読めません（{ja}）")))
        }
    }
}

fn not_as_written(error: &EventProofError) -> Fault {
    Fault::new(
        format!("was changed or cut short ({error})"),
        format!("改変または切断されています（{error}）"),
    )
}
