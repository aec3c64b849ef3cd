use crate::limits::{FOLDER_DEPTH_MAX, IMPORT_FILES_MAX};
use std::fs;
use std::path::{Path, PathBuf};
use yagura_event::Words;

/// The files an import will read, in the order it will read them.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The files.
    pub files: Vec<PlannedFile>,
    /// What was named or found but will not be read.
    pub problems: Vec<Problem>,
}

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size when the plan was made, in bytes.
    pub bytes: u64,
}

/// A path that will not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path.
    pub path: PathBuf,
    /// Why it will not be read.
    pub reason: Words,
}

impl Plan {
    /// Size of all files together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Finds the files that `paths` name: a file itself, a folder with everything below it, sorted by name.
///
/// A named symbolic link is followed; one found inside a folder is not, so that a folder cannot
/// lead outside itself or round in a circle. Devices, pipes and sockets are not read.
pub fn plan(paths: &[PathBuf]) -> Plan {
    let mut plan = Plan::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => folder(path, &mut plan),
            Ok(metadata) => file(path, &metadata, &mut plan),
            Err(error) => problem(path, error, &mut plan),
        }
    }
    plan
}

fn folder(root: &Path, plan: &mut Plan) {
    // Folders still to read, the next one last.
    let mut waiting = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let entries = match sorted_entries(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                problem(&folder, error, plan);
                continue;
            }
        };
        let mut folders = Vec::new();
        for path in entries {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    let reason = Words::new(
                        "symbolic links inside folders are not followed",
                        "フォルダーの中のシンボリックリンクはたどりません",
                    );
                    problem(&path, reason, plan);
                }
                Ok(metadata) if !metadata.is_dir() => file(&path, &metadata, plan),
                Ok(_) if depth + 1 > FOLDER_DEPTH_MAX => {
                    let reason = Words::new(
                        format!("more than {FOLDER_DEPTH_MAX} folders deep"),
                        format!("フォルダーが{FOLDER_DEPTH_MAX}階層より深い所にあります"),
                    );
                    problem(&path, reason, plan);
                }
                Ok(_) => folders.push((path, depth + 1)),
                Err(error) => problem(&path, error, plan),
            }
        }
        waiting.extend(folders.into_iter().rev());
    }
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, Words> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        if entries.len() >= IMPORT_FILES_MAX {
            return Err(Words::new(
                format!(
                    "more than {IMPORT_FILES_MAX} entries; name its files or folders one by one"
                ),
                format!(
                    "中に{IMPORT_FILES_MAX}個より多くあります。ファイルやフォルダーを個別に指定してください"
                ),
            ));
        }
        entries.push(entry?.path());
    }
    entries.sort();
    Ok(entries)
}

fn file(path: &Path, metadata: &fs::Metadata, plan: &mut Plan) {
    if !metadata.is_file() {
        let reason =
            Words::new("neither a file nor a folder", "ファイルでもフォルダーでもありません");
        problem(path, reason, plan);
    } else if plan.files.len() >= IMPORT_FILES_MAX {
        // Told once: a problem for each further file would have no limit either.
        if plan.files.len() == IMPORT_FILES_MAX && plan.problems.len() < IMPORT_FILES_MAX {
            let reason = Words::new(
                format!("more than {IMPORT_FILES_MAX} files; name fewer"),
                format!("ファイルが{IMPORT_FILES_MAX}個を超えています。減らしてください"),
            );
            problem(path, reason, plan);
        }
    } else {
        plan.files.push(PlannedFile { path: path.to_owned(), bytes: metadata.len() });
    }
}

fn problem(path: &Path, reason: impl Into<Words>, plan: &mut Plan) {
    if plan.problems.len() < IMPORT_FILES_MAX {
        plan.problems.push(Problem { path: path.to_owned(), reason: reason.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_links_inside_them_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("logs/b/c")).unwrap();
        for name in ["logs/z.log", "logs/a.log", "logs/b/c/d.log", "outside"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(root.join("outside"), root.join("logs/b/link")).unwrap();
        link(root.join("logs"), root.join("logs/b/circle")).unwrap();
        let found = plan(&[root.join("logs"), root.join("missing"), root.join("logs/b/link")]);
        let names: Vec<_> = found
            .files
            .iter()
            .map(|file| file.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["logs/a.log", "logs/z.log", "logs/b/c/d.log", "logs/b/link"]);
        assert_eq!(found.problems.len(), 3);
        assert_eq!(found.bytes(), 4);
    }

    #[test]
    fn folders_nest_only_so_deep() {
        let dir = tempfile::tempdir().unwrap();
        let mut deepest = dir.path().to_owned();
        for _ in 0..FOLDER_DEPTH_MAX {
            deepest.push("d");
        }
        fs::create_dir_all(deepest.join("d")).unwrap();
        fs::write(deepest.join("in"), "").unwrap();
        fs::write(deepest.join("d/out"), "").unwrap();
        let found = plan(&[dir.path().to_owned()]);
        assert_eq!(found.files.len(), 1);
        assert_eq!(found.problems.len(), 1);
    }
}
