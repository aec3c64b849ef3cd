//! The user's content files, read from disk.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_normalize::ContentFile;
use yagura_normalize::limits::{CONTENT_FILE_BYTES_MAX, CONTENT_FILES_MAX};

/// How deep directories of content may nest.
const DEPTH_MAX: usize = 8;

/// Entries looked at in all directories of content together.
const ENTRIES_MAX: usize = 10_000;

/// Reads the files `paths` name, and every `.toml` file below the directories they name, by name.
/// Links inside directories are not followed.
pub fn read(paths: &[PathBuf]) -> Result<Vec<ContentFile>> {
    let mut files = Vec::new();
    let mut entries = 0;
    for path in paths {
        let metadata = fs::metadata(path)
            .with_context(|| format!("content: {} cannot be read", path.display()))?;
        if !metadata.is_dir() {
            add(path, &mut files)?;
            continue;
        }
        // Directories still to read, the next one last.
        let mut waiting = vec![(path.clone(), 0)];
        while let Some((dir, depth)) = waiting.pop() {
            let listed = fs::read_dir(&dir)
                .with_context(|| format!("content: {} cannot be listed", dir.display()))?;
            let mut found = Vec::new();
            for entry in listed {
                entries += 1;
                if entries > ENTRIES_MAX {
                    bail!(
                        "content: {}: more than {ENTRIES_MAX} entries; name a directory with mappings only",
                        path.display()
                    );
                }
                found.push(entry?);
            }
            found.sort_by_key(|entry| entry.file_name());
            let mut dirs = Vec::new();
            for entry in found {
                let kind = entry.file_type()?;
                if kind.is_dir() && depth < DEPTH_MAX {
                    dirs.push((entry.path(), depth + 1));
                } else if kind.is_file()
                    && entry.path().extension().is_some_and(|end| end == "toml")
                {
                    add(&entry.path(), &mut files)?;
                }
            }
            waiting.extend(dirs.into_iter().rev());
        }
    }
    Ok(files)
}

fn add(path: &Path, files: &mut Vec<ContentFile>) -> Result<()> {
    let name = path.display().to_string();
    if files.len() >= CONTENT_FILES_MAX {
        bail!("content: {name}: there may be {CONTENT_FILES_MAX} content files; join some");
    }
    let file = fs::File::open(path).with_context(|| format!("content: {name} cannot be opened"))?;
    let mut text = String::new();
    // One byte more than may be, so that the normalizer can tell that it is too long.
    file.take(CONTENT_FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("content: {name} cannot be read; it must be a text in UTF-8"))?;
    files.push(ContentFile { name, text });
    Ok(())
}
