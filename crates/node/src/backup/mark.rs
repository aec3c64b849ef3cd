//! The mark of a directory that was restored: while it is there, nothing is signed in the name of its
//! logs, because they may have grown elsewhere since the backup was made.

use super::limits::MARK_BYTES_MAX;
use super::manifest::{is_sha256, sha256_hex};
use super::refused;
use crate::{DataDir, NodeError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use yagura_event::UtcMicros;

const NAME: &str = "RESTORED";
const MAGIC: &str = "yagura-restored v1";

/// What is known of a restored directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Whether everything is there.
    pub(crate) finished: bool,
    pub(crate) at: UtcMicros,
    /// The backup, as the user named it.
    pub(crate) from: String,
    /// SHA-256 of its manifest.
    pub(crate) manifest: String,
    /// Whether the signing keys were in it.
    pub(crate) with_keys: bool,
}

/// A mark as it was found: one that cannot be read is a mark all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Mark(Mark),
    Damaged,
}

pub(crate) fn path(data: &DataDir) -> PathBuf {
    data.root().join(NAME)
}

/// The mark of a directory; `None` where it was not restored, or goes on since.
pub(crate) fn read(data: &DataDir) -> Result<Option<Found>, NodeError> {
    let path = path(data);
    let failed = |source| NodeError::Io { path: path.clone(), source };
    let file = match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MARK_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let mark = String::from_utf8(bytes).ok().and_then(|text| Mark::parse(&text));
    Ok(Some(mark.map_or(Found::Damaged, Found::Mark)))
}

impl Mark {
    fn encode(&self) -> String {
        let state = if self.finished { "restored" } else { "copying" };
        let keys = if self.with_keys { "included" } else { "left-out" };
        let text = format!(
            "{MAGIC}\nstate {state}\nat {}\nfrom {}\nmanifest {}\nkeys {keys}\n",
            self.at, self.from, self.manifest
        );
        let check = sha256_hex(text.as_bytes());
        format!("{text}check {check}\n")
    }

    fn parse(text: &str) -> Option<Mark> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != MAGIC {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let finished = value("state")? == "restored";
        let at = value("at")?.parse().ok()?;
        let from = value("from")?.to_owned();
        let manifest = Some(value("manifest")?).filter(|it| is_sha256(it))?.to_owned();
        let with_keys = value("keys")? == "included";
        let mark = Mark { finished, at, from, manifest, with_keys };
        (mark.encode() == text).then_some(mark)
    }

    /// Writes the mark, durably, over the one that is there.
    pub(crate) fn write(&self, data: &DataDir) -> Result<(), NodeError> {
        let (path, new) = (path(data), data.root().join(format!("{NAME}.new")));
        let written = (|| {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(self.encode().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(data.root())?.sync_all()
        })();
        written.map_err(|source| NodeError::Io { path, source })
    }
}

/// Takes the mark away, durably: the logs go on from here.
pub(crate) fn remove(data: &DataDir) -> Result<(), NodeError> {
    let path = path(data);
    let removed = match std::fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        removed => removed.and_then(|()| std::fs::File::open(data.root())?.sync_all()),
    };
    removed.map_err(|source| NodeError::Io { path, source })
}

/// Why a restored directory is not written to, and what to do.
pub(crate) fn refuse_to_write(dir: &Path, found: &Found) -> NodeError {
    let dir = dir.display();
    match found {
        Found::Mark(mark) if !mark.finished => refused(
            format!(
                "{dir}: restoring from {} was cut short; run yagura lake restore once more",
                mark.from
            ),
            format!(
                "{dir}: {} からのリストアが途中で終わっています。yagura lake restore をもう一度実行してください",
                mark.from
            ),
        ),
        _ => {
            let from = match found {
                Found::Mark(mark) => format!(" ({}, {})", mark.from, mark.at),
                Found::Damaged => String::new(),
            };
            refused(
                format!(
                    "{dir} was restored from a backup{from} and is read only: its logs may have gone on \
                     elsewhere since, and a log with two histories proves nothing. Searching and \
                     verifying work. To write, either prove that this is the newest state with `yagura \
                     ledger continue --known-checkpoint FILE`, or begin a new epoch of the logs with \
                     `yagura ledger new-epoch`"
                ),
                format!(
                    "{dir} はバックアップから戻したもので{from}、読み取り専用です。その後に別の場所で台帳が進んで\
                     いる可能性があり、履歴が二つに分かれた台帳は何も証明できません。検索と検証はそのまま使えます。\
                     書き込むには、`yagura ledger continue --known-checkpoint FILE` で最新であることを示すか、\
                     `yagura ledger new-epoch` で台帳の新しい期を始めてください"
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_a_changed_one_is_still_a_mark() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        assert_eq!(read(&data).unwrap(), None);
        let mark = Mark {
            finished: false,
            at: "2026-11-21T09:00:00Z".parse().unwrap(),
            from: "s3://b/バックアップ 1".to_owned(),
            manifest: sha256_hex(b""),
            with_keys: true,
        };
        mark.write(&data).unwrap();
        assert_eq!(read(&data).unwrap(), Some(Found::Mark(mark.clone())));
        Mark { finished: true, ..mark }.write(&data).unwrap();
        let bytes = std::fs::read(path(&data)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(path(&data), changed).unwrap();
            assert_eq!(read(&data).unwrap(), Some(Found::Damaged), "byte {at}");
        }
        std::fs::write(path(&data), vec![b'x'; 2 * MARK_BYTES_MAX as usize]).unwrap();
        assert_eq!(read(&data).unwrap(), Some(Found::Damaged));
        remove(&data).unwrap();
        assert_eq!(read(&data).unwrap(), None);
        remove(&data).unwrap();
    }
}
