//! How the logs of a restored directory go on: as they are, where the user proves that nothing came after;
//! or in a new epoch.

use super::limits::CHECKPOINT_BYTES_MAX;
use super::mark::{self, Found};
use super::refused;
use super::view::View;
use crate::keys::{self, LOGS};
use crate::{DataDir, Node, NodeError, NodeOptions};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::Clock;
use yagura_journal::DirLock;
use yagura_ledger::{Checkpoint, Log, SigningKey, VerifierKey};

/// How the logs go on.
#[derive(Debug, Clone)]
pub enum Release {
    /// As they are: these files hold the last checkpoint of either log, kept elsewhere, and both are
    /// the heads of the directory.
    Continue(Vec<PathBuf>),
    /// Under a new key and name, from the heads of the directory on.
    NewEpoch,
}

/// As what a directory is opened.
pub(crate) enum Admission {
    /// As any; refused where it was restored.
    Plain,
    /// As one that goes on from here: what is to be recorded of it.
    Released(Value),
    /// As one that is only looked at.
    ToLook(View),
}

/// Lets the logs of a directory go on, and opens and closes it once so that this is recorded. Answers what
/// was done. Blocks.
///
/// # Errors
/// When it is not proved that a restored directory is the newest, or its keys are missing; then nothing
/// was changed.
pub fn release(
    data: &DataDir,
    how: &Release,
    options: NodeOptions,
    clock: Arc<dyn Clock>,
    who: &str,
) -> Result<Value, NodeError> {
    let data = data.resolved();
    let lock = DirLock::acquire(&data.lock())?;
    match (mark::read(&data)?, how) {
        (Some(Found::Mark(mark)), _) if !mark.finished => {
            return Err(mark::refuse_to_write(data.root(), &Found::Mark(mark)));
        }
        (None, Release::Continue(_)) => {
            return Err(NodeError::request(
                "this directory was not restored, or goes on already: there is nothing to prove",
                "このディレクトリはリストアしたものではないか、すでに再開しています",
            ));
        }
        _ => {}
    }
    let mut done = Vec::new();
    match how {
        Release::Continue(files) => {
            let known =
                files.iter().map(|file| read_checkpoint(file)).collect::<Result<Vec<_>, _>>()?;
            for name in LOGS {
                done.push(proved(&data, name, &known)?);
            }
        }
        Release::NewEpoch => {
            for name in LOGS {
                done.push(new_epoch(&data, name, &clock)?);
            }
        }
    }
    // Opening takes it again.
    drop(lock);
    let action = match how {
        Release::Continue(_) => "ledger.continued",
        Release::NewEpoch => "ledger.epoch-opened",
    };
    let entry = json!({ "event.action": action, "user.name": who, "ledger.logs": done });
    let node = Node::open_admitted(data, options, clock, Admission::Released(entry.clone()))?;
    node.close()?;
    Ok(entry)
}

fn read_checkpoint(path: &Path) -> Result<(PathBuf, Vec<u8>), NodeError> {
    let failed = |source| NodeError::Io { path: path.to_owned(), source };
    let mut note = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(CHECKPOINT_BYTES_MAX + 1).read_to_end(&mut note).map_err(failed)?;
    if note.len() as u64 > CHECKPOINT_BYTES_MAX {
        let path = path.display();
        return Err(NodeError::request(
            format!("{path} is no checkpoint: it has more than {CHECKPOINT_BYTES_MAX} bytes"),
            format!(
                "{path} はチェックポイントではありません（{CHECKPOINT_BYTES_MAX}バイトを超えています）"
            ),
        ));
    }
    Ok((path.to_owned(), note))
}

/// Proves that a log's head is the last checkpoint that was kept elsewhere.
fn proved(
    data: &DataDir,
    name: &'static str,
    known: &[(PathBuf, Vec<u8>)],
) -> Result<Value, NodeError> {
    let keys = keys::verifier_keys(data, name)?;
    let log = Log::open_to_read(&keys::log_dir(data, name), &keys)?;
    let head = log.checkpoint();
    let missing = || {
        NodeError::request(
            format!(
                "no file given is a checkpoint of the log {}: give --known-checkpoint for both logs",
                log.origin()
            ),
            format!(
                "台帳 {} のチェックポイントがありません。--known-checkpoint を両方の台帳について指定してください",
                log.origin()
            ),
        )
    };
    let key = log.verifier_key().ok_or_else(missing)?;
    let mut signed: Vec<(&PathBuf, Checkpoint)> = Vec::new();
    for (path, note) in known {
        if let Ok(checkpoint) = Checkpoint::open(note, key) {
            signed.push((path, checkpoint));
        }
    }
    let (path, newest) =
        signed.into_iter().max_by_key(|(_, checkpoint)| checkpoint.size()).ok_or_else(missing)?;
    let (path, known, here) = (path.display(), newest.size(), head.size());
    if known < here {
        return Err(refused(
            format!(
                "{path} is of size {known}, the log here of size {here}: an older checkpoint does not \
                 prove that nothing came after"
            ),
            format!(
                "{path} は{known}件、この台帳は{here}件です。古いチェックポイントでは、その後に何もなかったことを\
                 示せません"
            ),
        ));
    }
    if newest.note() != head.note() && (known > here || newest.root() != head.root()) {
        return Err(refused(
            format!(
                "the log {} went on elsewhere: {path} is of size {known}, the log here of size {here}. \
                 Restore a newer backup, or begin a new epoch with `yagura ledger new-epoch`",
                log.origin()
            ),
            format!(
                "台帳 {} は別の場所で進んでいます（{path} は{known}件、この台帳は{here}件）。より新しいバックアップを\
                 戻すか、`yagura ledger new-epoch` で新しい期を始めてください",
                log.origin()
            ),
        ));
    }
    // Whoever is to sign on needs the key.
    keys::signing_key(data, name)?;
    Ok(json!({
        "ledger.origin": log.origin().as_ref(),
        "ledger.size": head.size(),
        "ledger.root": head.root().to_base64(),
    }))
}

/// Opens a new epoch of one log, unless that happened before a crash.
fn new_epoch(
    data: &DataDir,
    name: &'static str,
    clock: &Arc<dyn Clock>,
) -> Result<Value, NodeError> {
    let known: Vec<VerifierKey> = keys::verifier_keys(data, name)?;
    let dir = keys::log_dir(data, name);
    let log = Log::open_to_read(&dir, &known)?;
    let log = match log.is_fresh_epoch() {
        true => log,
        false => {
            let epoch = known.len() as u64 + 1;
            let origin = yagura_ledger::epoch::next_origin(log.origin());
            let key = SigningKey::load_or_create(&keys::key_path(data, name, epoch), &origin)?;
            Log::open_epoch(&dir, &known, key, clock.now())?
        }
    };
    let old = log.header(log.size().saturating_sub(1))?.continues;
    let old = old.ok_or_else(|| NodeError::Content("an epoch opens with a head".to_owned()))?;
    Ok(json!({
        "ledger.origin": log.origin().as_ref(),
        "ledger.size": old.size(),
        "ledger.root": old.root().to_base64(),
        "ledger.previous": old.origin().as_ref(),
        "ledger.first_batch": log.first_batch(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_longer_than_a_checkpoint_is_refused_by_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("known");
        let read = |bytes: u64| {
            std::fs::write(&path, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
            read_checkpoint(&path)
        };
        assert_eq!(read(CHECKPOINT_BYTES_MAX).unwrap().1.len() as u64, CHECKPOINT_BYTES_MAX);
        let refused = read(CHECKPOINT_BYTES_MAX + 1).unwrap_err();
        for text in [refused.words().en(), refused.words().ja()] {
            assert!(text.contains("known") && text.contains("65536"), "{text}");
        }
    }
}
