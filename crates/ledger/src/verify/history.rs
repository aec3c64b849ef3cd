use crate::finding::Problem;
use crate::limits::ORIGIN_BYTES_MAX;
use crate::store::NOTE_LINES;
use crate::{Checkpoint, NoteError, VerifierKey};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// Longer than any line of a note our logs write.
const LINE_BYTES_MAX: u64 = 2 * ORIGIN_BYTES_MAX as u64 + 256;

/// Reads the history of checkpoints note by note.
pub(super) struct History {
    file: Option<BufReader<File>>,
    /// Of the epochs, the oldest first.
    keys: Vec<VerifierKey>,
    /// Which of them signed the last note.
    epoch: usize,
    last: Option<Checkpoint>,
    pub(super) notes: u64,
}

impl History {
    pub(super) fn open(path: &Path, keys: &[VerifierKey]) -> Result<History, Problem> {
        let file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Problem::Missing,
            _ => Problem::Unreadable(error.to_string()),
        })?;
        let file = Some(BufReader::new(file));
        Ok(History { file, keys: keys.to_owned(), epoch: 0, last: None, notes: 0 })
    }

    /// The last checkpoint that was in order.
    pub(super) fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// The next checkpoint; `None` at the end, and after damage past which nothing can be read.
    pub(super) fn next(&mut self) -> Option<Result<Checkpoint, Problem>> {
        let note = match self.read_note()? {
            Ok(note) => note,
            Err(problem) => {
                self.file = None;
                return Some(Err(problem));
            }
        };
        self.notes += 1;
        let checkpoint = match self.signed(&note) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                // While a note still has the shape of one, the next begins where it should.
                if Checkpoint::parse_unverified(&note).is_err() {
                    self.file = None;
                }
                let malformed = error == NoteError::Malformed;
                return Some(Err(if malformed { Problem::Malformed } else { Problem::Signature }));
            }
        };
        let in_order = match &self.last {
            None => self.notes > 1 || checkpoint.size() == 0,
            Some(last) => last.size() < checkpoint.size(),
        };
        self.last = Some(checkpoint.clone());
        Some(if in_order { Ok(checkpoint) } else { Err(Problem::HistoryOrder) })
    }

    /// A note signed by the key of this epoch, or of the next one that signed any.
    fn signed(&mut self, note: &[u8]) -> Result<Checkpoint, NoteError> {
        let mut refused = Err(NoteError::NotSigned);
        for (epoch, key) in self.keys.iter().enumerate().skip(self.epoch) {
            match Checkpoint::open(note, key) {
                Ok(checkpoint) => {
                    self.epoch = epoch;
                    return Ok(checkpoint);
                }
                Err(error) if refused.is_err() && epoch == self.epoch => refused = Err(error),
                Err(_) => {}
            }
        }
        refused
    }

    fn read_note(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        let file = self.file.as_mut()?;
        let mut note = Vec::new();
        for line in 0..NOTE_LINES {
            let before = note.len();
            let mut limited = file.take(LINE_BYTES_MAX);
            if let Err(error) = limited.read_until(b'\n', &mut note) {
                return Some(Err(Problem::Unreadable(error.to_string())));
            }
            match (line, note.len() - before) {
                (0, 0) => return None,
                (_, 0) => return Some(Err(Problem::HistoryEnd)),
                _ if note.ends_with(b"\n") => {}
                (_, length) if (length as u64) < LINE_BYTES_MAX => {
                    return Some(Err(Problem::HistoryEnd));
                }
                _ => return Some(Err(Problem::Malformed)),
            }
        }
        Some(Ok(note))
    }
}
