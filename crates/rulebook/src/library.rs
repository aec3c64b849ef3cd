//! A directory of rules that is updated as a whole, with its earlier versions beside it.
//!
//! ```text
//! rules/                     the rules in use
//! rules.history/
//!   history.jsonl            one object for every update: number, time, who, from where, what changed
//!   000001/                  the rules as they were before update 1
//! ```
//!
//! An update is written in full next to the rules, then changes place with them in one step of the
//! file system, so that whoever reads the directory sees the old set or the new one.
//!
//! Files that hold filters and nothing else are a house's own: those that the new set does not have
//! stay.

use crate::RulebookError;
use crate::changes::{Change, ChangeKind, between, filter_files, ids};
use crate::limits::{FOLDER_DEPTH_MAX, RULE_FILES_MAX, VERSIONS_KEPT_MAX};
use crate::load::{RuleSources, too_deep, too_many_files};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use yagura_event::Words;

/// An update as the history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Its number, from 1.
    pub number: u64,
    /// When, RFC 3339 UTC.
    #[serde(rename = "@timestamp")]
    pub time: String,
    /// Who.
    #[serde(rename = "user.name")]
    pub who: String,
    /// Where the rules came from; `undo` for one that went back.
    pub from: String,
    /// Rules added.
    pub added: usize,
    /// Rules removed.
    pub removed: usize,
    /// Rules changed.
    pub changed: usize,
    /// Ids of all of them, each after `+`, `-` or `~`.
    pub rules: Vec<String>,
    /// Files of filters that the new rules do not have and that stayed, by their paths in the
    /// directory.
    #[serde(default)]
    pub kept: Vec<String>,
}

/// What an update would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Rules, correlations and filters that would differ.
    pub changes: Vec<Change>,
    /// As [`Update::kept`].
    pub kept: Vec<String>,
}

/// A directory of rules and its history.
#[derive(Debug, Clone)]
pub struct Library {
    dir: PathBuf,
    history: PathBuf,
}

impl Library {
    /// The library at `dir`, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Library {
        let dir = dir.into();
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(".history");
        let history = dir.with_file_name(name);
        Library { dir, history }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What would change if the rules of `from` took the place of those in use.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn preview(&self, from: &Path) -> Result<Preview, RulebookError> {
        self.preview_but(from, &BTreeSet::new())
    }

    /// The same; the filters whose ids are `gone` do not stay.
    fn preview_but(&self, from: &Path, gone: &BTreeSet<String>) -> Result<Preview, RulebookError> {
        let before = if is_there(&self.dir)? { files(&self.dir)? } else { Vec::new() };
        let mut after = files(from)?;
        let known = ids(&after);
        let stays = |id: &String| !known.contains(id) && !gone.contains(id);
        let mut kept = filter_files(&before);
        kept.retain(|_, ids| ids.iter().any(stays));
        after.extend(before.iter().filter(|file| kept.contains_key(&file.path)).cloned());
        Ok(Preview { changes: between(&before, &after), kept: kept.into_keys().collect() })
    }

    /// Puts a copy of all files of `from` in the place of the rules in use, which are kept.
    ///
    /// # Errors
    /// When something cannot be read or written; the rules in use are then as they were.
    pub fn update(&self, from: &Path, who: &str, time: &str) -> Result<Update, RulebookError> {
        let preview = self.preview(from)?;
        self.replace(from, &from.display().to_string(), preview, who, time)
    }

    /// Goes back to the rules before the newest update, which is kept too. Filters that it did not
    /// bring stay.
    ///
    /// # Errors
    /// When there is no earlier version, or as [`Library::update`].
    pub fn undo(&self, who: &str, time: &str) -> Result<Update, RulebookError> {
        let none = || RulebookError::NoEarlierVersion(self.dir.clone());
        let last = self.history()?.pop().ok_or_else(none)?;
        let earlier = self.version(last.number);
        if !earlier.is_dir() {
            return Err(none());
        }
        let brought = last.rules.iter().filter_map(|id| id.strip_prefix('+'));
        let preview = self.preview_but(&earlier, &brought.map(str::to_owned).collect())?;
        self.replace(&earlier, "undo", preview, who, time)
    }

    /// Every update, oldest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn history(&self) -> Result<Vec<Update>, RulebookError> {
        let path = self.history.join("history.jsonl");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(RulebookError::at(&path, error)),
        };
        // A line that a crash cut off was never promised.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|e| RulebookError::not_read(&path, &e)))
            .collect()
    }

    fn version(&self, number: u64) -> PathBuf {
        self.history.join(format!("{number:06}"))
    }

    fn replace(
        &self,
        from: &Path,
        named: &str,
        Preview { changes, kept }: Preview,
        who: &str,
        time: &str,
    ) -> Result<Update, RulebookError> {
        let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
        let sign = |change: &Change| match change.kind {
            ChangeKind::Added => format!("+{}", change.id),
            ChangeKind::Removed => format!("-{}", change.id),
            ChangeKind::Changed => format!("~{}", change.id),
        };
        let number = self.history()?.last().map_or(1, |update| update.number + 1);
        let update = Update {
            number,
            time: time.to_owned(),
            who: who.to_owned(),
            from: named.to_owned(),
            added: count(ChangeKind::Added),
            removed: count(ChangeKind::Removed),
            changed: count(ChangeKind::Changed),
            rules: changes.iter().map(sign).collect(),
            kept,
        };
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| RulebookError::at(&path, error)
        };
        fs::create_dir_all(&self.history).map_err(io(&self.history))?;
        fs::create_dir_all(&self.dir).map_err(io(&self.dir))?;
        // The place where the old rules will be kept holds the new ones until they change places.
        // What a crash left there is half a copy, or the old rules: it is put aside.
        let place = self.version(number);
        if is_there(&place)? {
            let aside = (1..=VERSIONS_KEPT_MAX)
                .map(|count| self.history.join(format!("{number:06}.unfinished-{count}")))
                .find(|aside| matches!(aside.try_exists(), Ok(false)))
                .ok_or_else(|| {
                    let reason = Words::new(
                        "too many unfinished updates: look at them",
                        "途中で終わった更新が多すぎます。中身を確かめて片付けてください",
                    );
                    RulebookError::at(&place, reason)
                })?;
            fs::rename(&place, &aside).map_err(io(&aside))?;
        }
        let mut copied = 0;
        copy(from, &place, 0, &mut copied)?;
        for path in &update.kept {
            keep(&self.dir.join(path), &place.join(path))?;
        }
        renameat_with(CWD, &place, CWD, &self.dir, RenameFlags::EXCHANGE)
            .map_err(|error| RulebookError::at(&self.dir, std::io::Error::from(error)))?;
        sync_dir(&self.history)?;
        if let Some(parent) = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        self.remember(&update)?;
        if let Some(oldest) = number.checked_sub(VERSIONS_KEPT_MAX as u64).filter(|n| *n > 0) {
            let oldest = self.version(oldest);
            if is_there(&oldest)? {
                fs::remove_dir_all(&oldest).map_err(io(&oldest))?;
            }
        }
        Ok(update)
    }

    fn remember(&self, update: &Update) -> Result<(), RulebookError> {
        let path = self.history.join("history.jsonl");
        let write = || -> std::io::Result<()> {
            let mut file = File::options().create(true).append(true).read(true).open(&path)?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            // Half a line that a crash left would spoil this one.
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64)?;
            let mut line = serde_json::to_vec(update)?;
            line.push(b'\n');
            file.write_all(&line)?;
            file.sync_all()
        };
        write().map_err(|error| RulebookError::at(&path, error))?;
        sync_dir(&self.history)
    }
}

fn is_there(path: &Path) -> Result<bool, RulebookError> {
    path.try_exists().map_err(|error| RulebookError::at(path, error))
}

fn files(dir: &Path) -> Result<Vec<yagura_detect::RuleFile>, RulebookError> {
    let sources =
        RuleSources { builtin: false, rules: vec![dir.to_owned()], ..RuleSources::default() };
    let mut files = sources.load()?.files;
    // So that a rule keeps its path whichever version it is read from.
    for file in &mut files {
        if let Ok(relative) = Path::new(&file.path).strip_prefix(dir) {
            file.path = relative.display().to_string();
        }
    }
    Ok(files)
}

/// Copies regular files and folders; links and whatever else there is are left out, for they could
/// lead anywhere.
fn copy(from: &Path, to: &Path, depth: usize, copied: &mut usize) -> Result<(), RulebookError> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(too_deep(from));
    }
    let wrong = |path: &Path, error: std::io::Error| RulebookError::at(path, error);
    fs::create_dir(to).map_err(|error| wrong(to, error))?;
    for entry in fs::read_dir(from).map_err(|error| wrong(from, error))? {
        let entry = entry.map_err(|error| wrong(from, error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| wrong(&path, error))?;
        if kind.is_dir() {
            copy(&path, &target, depth + 1, copied)?;
        } else if kind.is_file() {
            *copied += 1;
            if *copied > RULE_FILES_MAX {
                return Err(too_many_files(from));
            }
            copy_file(&path, &target)?;
        }
    }
    sync_dir(to)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), RulebookError> {
    let bytes = fs::read(from).map_err(|error| RulebookError::at(from, error))?;
    let write = || -> std::io::Result<()> {
        let mut file = File::create_new(to)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(|error| RulebookError::at(to, error))
}

/// Copies a file that stays to its place, or, where the new rules have another file there, beside it.
fn keep(from: &Path, to: &Path) -> Result<(), RulebookError> {
    let dir = to.parent().unwrap_or(to);
    fs::create_dir_all(dir).map_err(|error| RulebookError::at(dir, error))?;
    let beside = (1..=VERSIONS_KEPT_MAX).map(|number| {
        let mut name = to.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-kept-{number}."));
        name.push(to.extension().unwrap_or_default());
        to.with_file_name(name)
    });
    for place in std::iter::once(to.to_owned()).chain(beside) {
        if !is_there(&place)? {
            copy_file(from, &place)?;
            return sync_dir(dir);
        }
    }
    let reason = Words::new(
        "too many files of this name: remove some",
        "同じ名前のファイルが多すぎます。減らしてください",
    );
    Err(RulebookError::at(to, reason))
}

fn sync_dir(dir: &Path) -> Result<(), RulebookError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| RulebookError::at(dir, error))
}
