//! Which rules are loaded: our own, and those of the directories the user names.

use crate::NodeError;
use rust_embed::RustEmbed;
use std::path::{Path, PathBuf};
use yagura_detect::RuleFile;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../content/rules"]
#[include = "*.yml"]
struct Pack;

/// Largest rule file that is read, in bytes.
pub const RULE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Most rule files that are read from all directories together.
pub const RULE_FILES_MAX: usize = 100_000;

/// Deepest folder below a rule directory that is read.
const FOLDER_DEPTH_MAX: usize = 32;

/// Our own rules, in order of their paths.
pub fn builtin() -> Vec<RuleFile> {
    let mut files: Vec<RuleFile> = Pack::iter()
        .filter_map(|path| {
            let file = Pack::get(&path)?;
            let text = String::from_utf8_lossy(&file.data).into_owned();
            Some(RuleFile { path: format!("builtin/{path}"), text })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Every `.yml` and `.yaml` file below `dirs`, in order of their paths. Symbolic links are not
/// followed. A file that cannot be read is an error that names it: a rule that is silently not
/// loaded would be a gap nobody sees.
pub fn from_dirs(dirs: &[PathBuf]) -> Result<Vec<RuleFile>, NodeError> {
    let mut files = Vec::new();
    for dir in dirs {
        collect(dir, 0, &mut files)?;
    }
    Ok(files)
}

fn collect(dir: &Path, depth: usize, files: &mut Vec<RuleFile>) -> Result<(), NodeError> {
    let wrong = |path: &Path, reason: String| NodeError::Rules { path: path.to_owned(), reason };
    if depth > FOLDER_DEPTH_MAX {
        return Err(wrong(dir, format!("folders are nested deeper than {FOLDER_DEPTH_MAX}")));
    }
    let entries = std::fs::read_dir(dir).map_err(|error| wrong(dir, error.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| wrong(dir, error.to_string()))?;
        let kind = entry.file_type().map_err(|error| wrong(&entry.path(), error.to_string()))?;
        paths.push((entry.path(), kind));
    }
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in paths {
        if kind.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if kind.is_file() && is_rule(&path) {
            if files.len() >= RULE_FILES_MAX {
                return Err(wrong(&path, format!("more than {RULE_FILES_MAX} rule files")));
            }
            let size = std::fs::metadata(&path).map_err(|error| wrong(&path, error.to_string()))?;
            if size.len() > RULE_FILE_BYTES_MAX {
                return Err(wrong(&path, format!("larger than {RULE_FILE_BYTES_MAX} bytes")));
            }
            let bytes = std::fs::read(&path).map_err(|error| wrong(&path, error.to_string()))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            files.push(RuleFile { path: path.display().to_string(), text });
        }
    }
    Ok(())
}

fn is_rule(path: &Path) -> bool {
    matches!(path.extension().and_then(|end| end.to_str()), Some("yml" | "yaml"))
}
