//! Files that are written once, whole, and never changed: their digest is in the audit log before
//! they have their name.

use crate::audit::{Audit, FileDigest};
use crate::verify::digest_of;
use crate::{DataDir, NodeError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Ending of a file that is not finished.
const UNFINISHED: &str = "new";

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let path = path.to_owned();
    move |source| NodeError::Io { path, source }
}

/// Writes a file that `name` names by a number that is free, and records its digest. That is done
/// while the file still has its unfinished name: whatever a crash leaves, [`tidy`] knows which it was.
pub(crate) fn write(
    data: &DataDir,
    audit: &Audit,
    dir: &Path,
    name: impl Fn(u64) -> String,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<String, NodeError> {
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut number = 1u64;
    let path = loop {
        let path = dir.join(name(number));
        let taken = path.try_exists().map_err(failed(&path))?;
        if !taken && !audit.has_file(&data.relative(&path)) {
            break path;
        }
        number += 1;
    };
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(format!(".{UNFINISHED}"));
    let unfinished = PathBuf::from(unfinished);
    let written = (|| -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(&unfinished)?);
        fill(&mut out)?;
        out.flush()?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    })();
    if let Err(source) = written {
        let _ = std::fs::remove_file(&unfinished);
        return Err(NodeError::Io { path: unfinished, source });
    }
    let mut digest = digest_of(data, &unfinished)?;
    digest.path = data.relative(&path);
    audit.record_files(&[digest])?;
    std::fs::rename(&unfinished, &path).map_err(failed(&path))?;
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(failed(dir))?;
    Ok(data.relative(&path))
}

/// Puts in order what a crash left in `dir`: a file whose digest is recorded gets its name, any other
/// unfinished one goes.
pub(crate) fn tidy<'a>(
    data: &DataDir,
    dir: &Path,
    recorded: impl Fn(&str) -> Option<&'a FileDigest>,
) -> Result<(), NodeError> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|ending| ending != UNFINISHED) {
            continue;
        }
        let target = path.with_extension("");
        let failed = |source| NodeError::Io { path: path.clone(), source };
        let known = recorded(&data.relative(&target));
        let whole = known.is_some_and(|known| {
            digest_of(data, &path).is_ok_and(|found| found.sha256 == known.sha256)
        });
        match whole && !target.try_exists().map_err(failed)? {
            true => std::fs::rename(&path, &target).map_err(failed)?,
            false => std::fs::remove_file(&path).map_err(failed)?,
        }
    }
    Ok(())
}
