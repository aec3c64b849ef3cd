//! The user's content files, read from disk.

use crate::told::either;
use anyhow::{Context, Error, Result};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_event::Lang;
use yagura_normalize::ContentFile;
use yagura_normalize::limits::{CONTENT_FILE_BYTES_MAX, CONTENT_FILES_MAX};

/// How deep directories of content may nest.
const DEPTH_MAX: usize = 8;

/// Entries looked at in all directories of content together.
const ENTRIES_MAX: usize = 10_000;

/// Reads the files `paths` name, and every `.toml` file below the directories they name, by name.
/// Links inside directories are not followed.
pub fn read(paths: &[PathBuf], lang: Lang) -> Result<Vec<ContentFile>> {
    let mut files = Vec::new();
    let mut entries = 0;
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| not_read(path, lang))?;
        if !metadata.is_dir() {
            add(path, &mut files, lang)?;
            continue;
        }
        // Directories still to read, the next one last.
        let mut waiting = vec![(path.clone(), 0)];
        while let Some((dir, depth)) = waiting.pop() {
            let listed = fs::read_dir(&dir).with_context(|| not_read(&dir, lang))?;
            let mut found = Vec::new();
            for entry in listed {
                entries += 1;
                if entries > ENTRIES_MAX {
                    let path = path.display();
                    return Err(Error::msg(either(
                        lang,
                        format!(
                            "content: {path}: more than {ENTRIES_MAX} entries; name a directory with \
                             mappings only"
                        ),
                        format!(
                            "content: {path}: {ENTRIES_MAX}個より多くのファイルやディレクトリがあります。\
                             定義ファイルだけのディレクトリを指定してください"
                        ),
                    )));
                }
                found.push(entry.with_context(|| not_read(&dir, lang))?);
            }
            found.sort_by_key(|entry| entry.file_name());
            let mut dirs = Vec::new();
            for entry in found {
                let kind = entry.file_type().with_context(|| not_read(&entry.path(), lang))?;
                if kind.is_dir() && depth < DEPTH_MAX {
                    dirs.push((entry.path(), depth + 1));
                } else if kind.is_file()
                    && entry.path().extension().is_some_and(|end| end == "toml")
                {
                    add(&entry.path(), &mut files, lang)?;
                }
            }
            waiting.extend(dirs.into_iter().rev());
        }
    }
    Ok(files)
}

fn add(path: &Path, files: &mut Vec<ContentFile>, lang: Lang) -> Result<()> {
    let name = path.display().to_string();
    if files.len() >= CONTENT_FILES_MAX {
        return Err(Error::msg(either(
            lang,
            format!("content: {name}: there may be {CONTENT_FILES_MAX} content files; join some"),
            format!(
                "content: {name}: 定義ファイルは{CONTENT_FILES_MAX}個までです。いくつかを1つにまとめてください"
            ),
        )));
    }
    let file = fs::File::open(path).with_context(|| not_read(path, lang))?;
    let mut text = String::new();
    // One byte more than may be, so that the normalizer can tell that it is too long.
    file.take(CONTENT_FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).with_context(|| {
        either(
            lang,
            format!("content: {name} cannot be read; it must be a text in UTF-8"),
            format!("content: {name} を読めません。UTF-8のテキストにしてください"),
        )
    })?;
    files.push(ContentFile { name, text });
    Ok(())
}

fn not_read(path: &Path, lang: Lang) -> String {
    let path = path.display();
    either(lang, format!("content: {path} cannot be read"), format!("content: {path} を読めません"))
}
