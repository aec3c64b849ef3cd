//! The keys of the two logs: one of each epoch, and which of them signs.

use crate::audit::Audit;
use crate::backup::refused;
use crate::{DataDir, NodeError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_ledger::{Checkpoint, Log, SigningKey, VerifierKey, epoch};

/// Names of the two logs, and of their keys.
pub(crate) const LOGS: [&str; 2] = ["events", "audit"];

/// The directory of a log.
pub(crate) fn log_dir(data: &DataDir, name: &str) -> PathBuf {
    if name == "events" { data.events_log() } else { data.audit_log() }
}

/// The signing key of one epoch: `events.key`, then `events.e2.key`.
pub(crate) fn key_path(data: &DataDir, name: &str, epoch: u64) -> PathBuf {
    let file = match epoch {
        0 | 1 => format!("{name}.key"),
        later => format!("{name}.e{later}.key"),
    };
    data.keys().join(file)
}

/// The epoch that a log is in, as its checkpoint says; a log that is not there yet is in the first.
fn newest_epoch(dir: &Path) -> Result<u64, NodeError> {
    let path = dir.join("checkpoint");
    match std::fs::read(&path) {
        Ok(note) => {
            // Who signed it is looked at when the log is opened.
            let checkpoint = Checkpoint::parse_unverified(&note).ok();
            Ok(checkpoint.map_or(1, |checkpoint| epoch::of_origin(checkpoint.origin())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(1),
        Err(source) => Err(NodeError::Io { path, source }),
    }
}

/// The public keys of a log's epochs, the oldest first.
pub(crate) fn verifier_keys(data: &DataDir, name: &str) -> Result<Vec<VerifierKey>, NodeError> {
    let newest = newest_epoch(&log_dir(data, name))?;
    let mut keys = Vec::new();
    // A checkpoint that was changed may name any number: the first key that is not there ends it.
    for epoch in 1..=newest {
        keys.push(VerifierKey::load(&SigningKey::public_path(&key_path(data, name, epoch)))?);
    }
    Ok(keys)
}

/// The key that signs for a log that is there.
pub(crate) fn signing_key(data: &DataDir, name: &str) -> Result<SigningKey, NodeError> {
    let path = key_path(data, name, newest_epoch(&log_dir(data, name))?);
    let there = path.try_exists().map_err(|source| NodeError::Io { path: path.clone(), source })?;
    if !there {
        let shown = path.display();
        return Err(refused(
            format!(
                "{shown} is missing: without it the log cannot go on. Put it back from where it is kept, \
                 or begin a new epoch with `yagura ledger new-epoch`"
            ),
            format!(
                "{shown} がないため、台帳を続けられません。保管場所から戻すか、`yagura ledger new-epoch` で\
                 新しい期を始めてください"
            ),
        ));
    }
    // It is there, so it keeps the name it has.
    Ok(SigningKey::load_or_create(&path, name)?)
}

/// Opens a log to be written, or begins one.
pub(crate) fn open_log(data: &DataDir, name: &str) -> Result<Arc<Log>, NodeError> {
    let dir = log_dir(data, name);
    let checkpoint = dir.join("checkpoint");
    let begun = checkpoint.try_exists();
    if begun.map_err(|source| NodeError::Io { path: checkpoint, source })? {
        let key = signing_key(data, name)?;
        let mut keys = verifier_keys(data, name)?;
        keys.pop();
        return Ok(Arc::new(Log::open_epochs(&dir, &keys, key)?));
    }
    let path = key_path(data, name, 1);
    let public = SigningKey::public_path(&path);
    let origin = match public.try_exists() {
        Ok(true) => VerifierKey::load(&public)?.name().to_string(),
        _ => format!("yagura-{}/{name}", random_name()?),
    };
    let key = SigningKey::load_or_create(&path, &origin)?;
    let origin = key.name().to_string();
    Ok(Arc::new(Log::open(&dir, &origin, key)?))
}

/// Opens a log to be read alone.
pub(crate) fn open_to_read(data: &DataDir, name: &str) -> Result<Arc<Log>, NodeError> {
    let keys = verifier_keys(data, name)?;
    Ok(Arc::new(Log::open_to_read(&log_dir(data, name), &keys)?))
}

/// Eight hexadecimal digits that tell this store from others.
fn random_name() -> Result<String, NodeError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| NodeError::Content(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Records the key files, which never change after they were made.
pub(crate) fn record(data: &DataDir, audit: &Audit) -> Result<(), NodeError> {
    let mut missing = Vec::new();
    for name in LOGS {
        let newest = newest_epoch(&log_dir(data, name))?;
        for epoch in 1..=newest {
            let key = key_path(data, name, epoch);
            let signs = (epoch == newest).then(|| key.clone());
            for path in signs.into_iter().chain([SigningKey::public_path(&key)]) {
                if !audit.has_file(&data.relative(&path)) {
                    missing.push(crate::verify::digest_of(data, &path)?);
                }
            }
        }
    }
    audit.record_files(&missing)
}

/// Removes the signing keys of epochs that are over: nothing may be signed with them here any more. Where
/// they never were, because the backup had none, they are recorded as gone.
pub(crate) fn retire(data: &DataDir, audit: &Audit) -> Result<(), NodeError> {
    for name in LOGS {
        for epoch in 1..newest_epoch(&log_dir(data, name))? {
            let path = key_path(data, name, epoch);
            crate::files::remove(data, audit, &path)?;
            // A crash may have come between its renaming and its removal.
            let _ = std::fs::remove_file(crate::files::unfinished(&path));
            let relative = data.relative(&path);
            if audit.has_file(&relative) {
                audit.record_removed(&[relative])?;
            }
        }
    }
    Ok(())
}
