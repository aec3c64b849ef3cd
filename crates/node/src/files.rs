//! Files that are finished once and never change, their digests in the audit log: lists of indicators,
//! what hunts were asked for, inventories, pins. Whatever a crash leaves of writing or removing one, [`tidy`]
//! knows which it was.

use crate::audit::{Audit, FileDigest};
use crate::verify::digest_of;
use crate::{DataDir, NodeError};
use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

/// Ending of a file that is not finished, or is being removed.
const UNFINISHED: &str = "new";

fn failed(path: &Path) -> impl Fn(std::io::Error) -> NodeError + use<> {
    let path = path.to_owned();
    move |source| NodeError::Io { path: path.clone(), source }
}

/// The name of a file that is not finished, or is being removed.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}

/// Writes a file and records its digest. Order: the file under its unfinished name, synchronised; its
/// digest under the final name; the rename, synchronised.
pub(crate) fn write(
    data: &DataDir,
    audit: &Audit,
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), NodeError> {
    let dir = path.parent().unwrap_or(data.root());
    make(data, dir)?;
    let new = unfinished(path);
    write_new(&new, fill)?;
    let mut digest = digest_of(data, &new)?;
    digest.path = data.relative(path);
    audit.record_files(&[digest])?;
    rename(&new, path, dir)
}

/// Writes several files of one directory as [`write()`] does each: those of which a crash finds the digest
/// recorded are whole, and of the others nothing is left.
pub(crate) fn write_all(
    data: &DataDir,
    audit: &Audit,
    dir: &Path,
    files: &[(PathBuf, String)],
) -> Result<(), NodeError> {
    make(data, dir)?;
    let mut digests = Vec::with_capacity(files.len());
    let written = files.iter().try_for_each(|(path, text)| {
        let new = unfinished(path);
        write_new(&new, |out| out.write_all(text.as_bytes()))?;
        digests.push(FileDigest { path: data.relative(path), ..digest_of(data, &new)? });
        Ok(())
    });
    if let Err(error) = written {
        for (path, _) in files {
            let _ = std::fs::remove_file(unfinished(path));
        }
        return Err(error);
    }
    audit.record_files(&digests)?;
    for (path, _) in files {
        std::fs::rename(unfinished(path), path).map_err(failed(path))?;
    }
    sync(dir)
}

/// Makes a directory that lies directly below the data directory, as all of them do.
fn make(data: &DataDir, dir: &Path) -> Result<(), NodeError> {
    if !dir.try_exists().map_err(failed(dir))? {
        std::fs::create_dir_all(dir).map_err(failed(dir))?;
        // Else a power cut may take the directory with what was recorded to be in it.
        sync(data.root())?;
    }
    Ok(())
}

fn write_new(
    new: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), NodeError> {
    let written = (|| -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(new)?);
        fill(&mut out)?;
        out.into_inner().map_err(IntoInnerError::into_error)?.sync_all()
    })();
    written.map_err(|source| {
        let _ = std::fs::remove_file(new);
        NodeError::Io { path: new.to_owned(), source }
    })
}

/// Writes a file below `dir` that `name` names by a number that is free. Answers its place below the
/// data directory.
pub(crate) fn write_next(
    data: &DataDir,
    audit: &Audit,
    dir: &Path,
    name: impl Fn(u64) -> String,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<String, NodeError> {
    let mut number = 1u64;
    let path = loop {
        let path = dir.join(name(number));
        let taken = path.try_exists().map_err(failed(&path))?;
        if !taken && !audit.has_file(&data.relative(&path)) {
            break path;
        }
        number += 1;
    };
    write(data, audit, &path, fill)?;
    Ok(data.relative(&path))
}

/// Removes a file. Order: it gets its unfinished name, synchronised; the removal is recorded; it goes.
pub(crate) fn remove(data: &DataDir, audit: &Audit, path: &Path) -> Result<(), NodeError> {
    if !path.try_exists().map_err(failed(path))? {
        return Ok(());
    }
    let old = unfinished(path);
    rename(path, &old, path.parent().unwrap_or(data.root()))?;
    audit.record_removed(&[data.relative(path)])?;
    std::fs::remove_file(&old).map_err(failed(&old))
}

/// Removes several files of one directory as [`remove`] does each. One that is missing already is recorded as
/// removed all the same: nobody looks for it any more.
pub(crate) fn remove_all(
    data: &DataDir,
    audit: &Audit,
    dir: &Path,
    paths: &[PathBuf],
) -> Result<(), NodeError> {
    let mut going = Vec::with_capacity(paths.len());
    for path in paths.iter().filter(|path| audit.has_file(&data.relative(path))) {
        match std::fs::rename(path, unfinished(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(path)(error));
            }
            _ => going.push(path),
        }
    }
    if going.is_empty() {
        return Ok(());
    }
    if dir.try_exists().map_err(failed(dir))? {
        sync(dir)?;
    }
    audit.record_removed(&going.iter().map(|path| data.relative(path)).collect::<Vec<_>>())?;
    for path in going {
        match std::fs::remove_file(unfinished(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn rename(from: &Path, to: &Path, dir: &Path) -> Result<(), NodeError> {
    std::fs::rename(from, to).map_err(failed(to))?;
    sync(dir)
}

fn sync(dir: &Path) -> Result<(), NodeError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed(dir))
}

/// The bytes of the file at `path` below the data directory, which must be what was recorded: what was
/// changed on the disk is not used.
pub(crate) fn read(data: &DataDir, audit: &Audit, path: &str) -> Result<Vec<u8>, NodeError> {
    let full = data.root().join(path);
    if !audit.file_is(&digest_of(data, &full)?) {
        return Err(NodeError::request(
            format!("{path}: it was changed: its SHA-256 is not the recorded one"),
            format!("{path}: 記録後に変更されています。SHA-256 が記録と一致しません"),
        ));
    }
    std::fs::read(&full).map_err(failed(&full))
}

/// [`read`], of a file that is text.
pub(crate) fn read_text(data: &DataDir, audit: &Audit, path: &str) -> Result<String, NodeError> {
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    let text = String::from_utf8(read(data, audit, path)?);
    text.map_err(|error| failed(&data.root().join(path))(invalid(error)))
}

/// Puts in order what a crash left: a file whose digest is recorded gets its name, any other
/// unfinished one goes.
pub(crate) fn tidy<'a>(
    data: &DataDir,
    recorded: impl Fn(&str) -> Option<&'a FileDigest>,
) -> Result<(), NodeError> {
    for dir in [data.indicators(), data.hunts(), data.inventory(), data.pins()] {
        let Ok(entries) = std::fs::read_dir(dir) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|ending| ending != UNFINISHED) {
                continue;
            }
            let target = path.with_extension("");
            let known = recorded(&data.relative(&target));
            let whole = known.is_some_and(|known| {
                digest_of(data, &path).is_ok_and(|found| found.sha256 == known.sha256)
            });
            match whole && !target.try_exists().map_err(failed(&path))? {
                true => std::fs::rename(&path, &target).map_err(failed(&path))?,
                false => std::fs::remove_file(&path).map_err(failed(&path))?,
            }
        }
    }
    Ok(())
}
