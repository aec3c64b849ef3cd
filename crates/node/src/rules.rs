//! Which rules are loaded: our own, and those of the directories the user names.

use crate::NodeError;
use rust_embed::RustEmbed;
use std::io::Read;
use std::path::{Path, PathBuf};
use yagura_detect::{Refusal, RuleFile};

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
/// followed. A file that cannot be read, is too large or is no UTF-8 is refused by name, like any
/// wrong rule.
///
/// # Errors
/// When a directory cannot be read, is too deep, or there are too many files: rules silently not
/// loaded would be a gap nobody sees.
pub fn from_dirs(dirs: &[PathBuf]) -> Result<(Vec<RuleFile>, Vec<Refusal>), NodeError> {
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    for dir in dirs {
        collect(dir, 0, &mut files, &mut refused)?;
    }
    Ok((files, refused))
}

fn collect(
    dir: &Path,
    depth: usize,
    files: &mut Vec<RuleFile>,
    refused: &mut Vec<Refusal>,
) -> Result<(), NodeError> {
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
            collect(&path, depth + 1, files, refused)?;
        } else if kind.is_file() && is_rule(&path) {
            if files.len() + refused.len() >= RULE_FILES_MAX {
                return Err(wrong(&path, format!("more than {RULE_FILES_MAX} rule files")));
            }
            let name = path.display().to_string();
            match read(&path) {
                Ok(text) => files.push(RuleFile { path: name, text }),
                Err(reason) => {
                    refused.push(Refusal { path: name, rule_id: None, title: None, reason });
                }
            }
        }
    }
    Ok(())
}

/// The text of a rule file, or why it cannot be a rule.
fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(RULE_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > RULE_FILE_BYTES_MAX {
        return Err(format!("larger than {RULE_FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

fn is_rule(path: &Path) -> bool {
    matches!(path.extension().and_then(|end| end.to_str()), Some("yml" | "yaml"))
}
