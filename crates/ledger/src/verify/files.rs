use crate::disk;
use crate::finding::Problem;
use crate::limits::TILE_DEPTH_MAX;
use crate::store::{CHECKPOINT, HISTORY, TILE_DIR};
use crate::tiles::TileName;
use std::fs;
use std::path::{Path, PathBuf};

/// Names every file under `dir` that a log of `size` headers does not consist of.
pub(super) fn strangers(dir: &Path, size: u64, report: &mut dyn FnMut(PathBuf, Problem)) {
    walk(dir, "", size, report);
}

fn walk(dir: &Path, at: &str, size: u64, report: &mut dyn FnMut(PathBuf, Problem)) {
    let place = dir.join(at);
    let entries = match fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) => return report(place, Problem::Unreadable(error.to_string())),
    };
    for entry in entries {
        let (path, file_type) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))
        {
            Ok(entry) => entry,
            Err(error) => {
                report(place.clone(), Problem::Unreadable(error.to_string()));
                continue;
            }
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let relative = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        if file_type.is_dir() {
            if is_tile_dir(&relative) {
                walk(dir, &relative, size, report);
            } else {
                report(path, Problem::Unknown);
            }
        } else if let Some(problem) = judge(&relative, file_type.is_file(), size) {
            report(path, problem);
        }
    }
}

fn judge(relative: &str, is_file: bool, size: u64) -> Option<Problem> {
    let temporary = disk::temporary_of(Path::new(CHECKPOINT));
    if !is_file {
        return Some(Problem::Unknown);
    }
    match TileName::parse(relative) {
        Some(name) if name.belongs_to(size) => None,
        Some(_) => Some(Problem::Leftover),
        None if relative == CHECKPOINT || relative == HISTORY => None,
        None if Path::new(relative) == temporary => Some(Problem::Leftover),
        None => Some(Problem::Unknown),
    }
}

/// Whether a directory may lead to tiles. Bounds the depth of the walk.
fn is_tile_dir(relative: &str) -> bool {
    let mut parts = relative.split('/');
    if parts.next() != Some(TILE_DIR) {
        return false;
    }
    let Some(row) = parts.next() else { return true };
    let three_digits = |part: &str| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit());
    let is_index = |part: &str| match part.strip_suffix(".p") {
        Some(tile) => three_digits(tile),
        None => part.strip_prefix('x').is_some_and(three_digits),
    };
    let is_row = row == "entries" || (row.len() == 1 && row.as_bytes()[0].is_ascii_digit());
    is_row && parts.clone().count() <= TILE_DEPTH_MAX - 2 && parts.all(is_index)
}
