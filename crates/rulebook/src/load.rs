//! Which rules are loaded: our own, and those of the places the user names.

use crate::RulebookError;
use crate::limits::{FOLDER_DEPTH_MAX, RULE_FILE_BYTES_MAX, RULE_FILES_MAX, SAMPLE_FILE_BYTES_MAX};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_detect::{
    CompileOptions, CompileReport, LogSources, Pipeline, PlaceholderLists, Refusal, RuleFile,
    Ruleset,
};
use yagura_event::{FieldDictionary, Words};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../content/rules"]
#[include = "*.yml"]
#[include = "*tests.jsonl"]
struct Pack;

/// Which events a Sigma log source means.
const LOG_SOURCES: &str = include_str!("../../../content/logsources.toml");

/// What the paths of our own rules begin with.
const BUILTIN: &str = "builtin/";

/// Where rules come from, and what a house adds to them.
#[derive(Debug, Clone)]
pub struct RuleSources {
    /// Whether our own rules are among them.
    pub builtin: bool,
    /// Rule files, and directories that are read with all below them.
    pub rules: Vec<PathBuf>,
    /// Values for placeholders: TOML files of `name = [values]`, and directories of those and of
    /// `name.txt` with one value a line.
    pub lists: Vec<PathBuf>,
    /// Processing pipelines: YAML files, and directories of them.
    pub pipelines: Vec<PathBuf>,
    /// Zone in which parts of a time (`hour`, `week`, ...) are taken.
    pub zone: jiff::tz::TimeZone,
}

impl Default for RuleSources {
    fn default() -> Self {
        RuleSources {
            builtin: true,
            rules: Vec::new(),
            lists: Vec::new(),
            pipelines: Vec::new(),
            zone: jiff::tz::TimeZone::UTC,
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Rule files.
    pub files: Vec<RuleFile>,
    /// Files that cannot be rules: unreadable, too large, no UTF-8.
    pub refused: Vec<Refusal>,
    /// Lists, pipelines and zone.
    pub options: CompileOptions,
    /// SHA-256 over all of `options` as written, lower-case hexadecimal; empty where nothing is
    /// adapted.
    pub adapted: String,
}

/// Rules ready to match, and what became of each.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The rules in use.
    pub ruleset: Arc<Ruleset>,
    /// What became of the files.
    pub report: CompileReport,
    /// As [`Loaded::adapted`].
    pub adapted: String,
    /// SHA-256 of the text of every file, by its path.
    pub texts: Arc<BTreeMap<String, [u8; 32]>>,
}

impl RuleSources {
    /// Reads everything. Symbolic links below a directory are not followed.
    ///
    /// # Errors
    /// When a place cannot be read, is too deep or holds too many files, or a list or pipeline
    /// cannot be honoured: rules silently not loaded, or adapted by half, would be a gap nobody sees.
    pub fn load(&self) -> Result<Loaded, RulebookError> {
        let mut loaded = Loaded::default();
        for path in &self.rules {
            for path in files_below(path, &["yml", "yaml"])? {
                if loaded.files.len() + loaded.refused.len() >= RULE_FILES_MAX {
                    return Err(too_many_files(&path));
                }
                let name = path.display().to_string();
                match read_text(&path, RULE_FILE_BYTES_MAX) {
                    Ok(text) => loaded.files.push(RuleFile { path: name, text }),
                    Err(reason) => {
                        let reason = reason.en().to_owned();
                        let refusal = Refusal { path: name, rule_id: None, title: None, reason };
                        loaded.refused.push(refusal);
                    }
                }
            }
        }
        // Of two rules with one id the later one is refused: a rule of the user's own with the id of
        // one of ours takes its place.
        if self.builtin {
            loaded.files.extend(builtin());
        }
        let mut hash = Sha256::new();
        loaded.options = CompileOptions {
            lists: lists_of(&self.lists, &mut hash)?,
            pipelines: pipelines_of(&self.pipelines, &mut hash)?,
            zone: self.zone.clone(),
        };
        let utc = self.zone == jiff::tz::TimeZone::UTC;
        if !(utc && self.lists.is_empty() && self.pipelines.is_empty()) {
            hash.update(self.zone.iana_name().unwrap_or_default());
            loaded.adapted = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        }
        Ok(loaded)
    }

    /// Reads and compiles everything.
    ///
    /// # Errors
    /// As [`RuleSources::load`].
    pub fn compile(&self, dictionary: Arc<FieldDictionary>) -> Result<Compiled, RulebookError> {
        self.load()?.compile(dictionary)
    }
}

impl Compiled {
    /// The file at `path` as it is now, if it is the one that was compiled.
    pub fn file(path: &str, texts: &BTreeMap<String, [u8; 32]>) -> Option<RuleFile> {
        let text = match path.strip_prefix(BUILTIN) {
            Some(name) => {
                let file = Pack::get(name)?;
                String::from_utf8_lossy(&file.data).into_owned()
            }
            None => read_text(Path::new(path), RULE_FILE_BYTES_MAX).ok()?,
        };
        let same = texts.get(path) == Some(&sha256(&text));
        same.then(|| RuleFile { path: path.to_owned(), text })
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Loaded {
    /// Compiles what was read; files that cannot be rules are among those refused.
    ///
    /// # Errors
    /// When our own table of log sources is wrong.
    pub fn compile(self, dictionary: Arc<FieldDictionary>) -> Result<Compiled, RulebookError> {
        let sources = log_sources()?;
        let texts = self.files.iter().map(|file| (file.path.clone(), sha256(&file.text)));
        let texts = Arc::new(texts.collect());
        let (ruleset, mut report) =
            Ruleset::compile_with(&self.files, dictionary, &sources, &self.options);
        report.refused.extend(self.refused);
        Ok(Compiled { ruleset: Arc::new(ruleset), report, adapted: self.adapted, texts })
    }
}

/// Which events a Sigma log source means.
///
/// # Errors
/// When the embedded table is wrong.
pub fn log_sources() -> Result<LogSources, RulebookError> {
    LogSources::from_toml(LOG_SOURCES).map_err(|error| RulebookError::Content(error.to_string()))
}

/// Our own rules, in order of their paths.
pub fn builtin() -> Vec<RuleFile> {
    pack(".yml")
}

/// The tests of our own rules.
pub(crate) fn builtin_tests() -> Vec<RuleFile> {
    pack(".jsonl")
}

fn pack(ending: &str) -> Vec<RuleFile> {
    let mut files: Vec<RuleFile> = Pack::iter()
        .filter(|path| path.ends_with(ending))
        .filter_map(|path| {
            let file = Pack::get(&path)?;
            let text = String::from_utf8_lossy(&file.data).into_owned();
            Some(RuleFile { path: format!("{BUILTIN}{path}"), text })
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The rule files of directories, without our own: see [`RuleSources::load`].
///
/// # Errors
/// As [`RuleSources::load`].
pub fn from_dirs(dirs: &[PathBuf]) -> Result<(Vec<RuleFile>, Vec<Refusal>), RulebookError> {
    let sources = RuleSources { builtin: false, rules: dirs.to_vec(), ..RuleSources::default() };
    let loaded = sources.load()?;
    Ok((loaded.files, loaded.refused))
}

fn lists_of(paths: &[PathBuf], hash: &mut Sha256) -> Result<PlaceholderLists, RulebookError> {
    let mut lists = PlaceholderLists::default();
    for place in paths {
        for path in files_below(place, &["toml", "txt"])? {
            let text = read_text(&path, SAMPLE_FILE_BYTES_MAX)
                .map_err(|reason| RulebookError::at(&path, reason))?;
            mix(hash, &path, &text);
            let read = if path.extension().is_some_and(|end| end == "toml") {
                PlaceholderLists::from_toml(&text)
            } else {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let mut one = PlaceholderLists::default();
                one.insert(&name, lines_of(&text)).map(|()| one)
            };
            read.and_then(|read| lists.merge(read))
                .map_err(|error| RulebookError::not_read(&path, &error))?;
        }
    }
    Ok(lists)
}

/// One value a line; empty lines and those that begin with `#` are notes.
fn lines_of(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let values = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    values.map(str::to_owned).collect()
}

/// The path counts, for it names a list; lengths keep one text from passing for two.
fn mix(hash: &mut Sha256, path: &Path, text: &str) {
    let path = path.as_os_str().as_encoded_bytes();
    for part in [path, text.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
}

fn pipelines_of(paths: &[PathBuf], hash: &mut Sha256) -> Result<Vec<Pipeline>, RulebookError> {
    let mut pipelines = Vec::new();
    for place in paths {
        for path in files_below(place, &["yml", "yaml"])? {
            let text = read_text(&path, RULE_FILE_BYTES_MAX)
                .map_err(|reason| RulebookError::at(&path, reason))?;
            mix(hash, &path, &text);
            let name = path.display().to_string();
            let pipeline = Pipeline::from_yaml(&name, &text)
                .map_err(|error| RulebookError::not_read(&path, &error.reason))?;
            pipelines.push(pipeline);
        }
    }
    Ok(pipelines)
}

/// Files with one of `extensions` at or below `place`, in order of their paths. A file that is named
/// itself counts whatever its extension.
pub(crate) fn files_below(
    place: &Path,
    extensions: &[&str],
) -> Result<Vec<PathBuf>, RulebookError> {
    let kind = std::fs::metadata(place).map_err(|error| RulebookError::at(place, error))?;
    if !kind.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    collect(place, 0, extensions, &mut files)?;
    Ok(files)
}

fn collect(
    dir: &Path,
    depth: usize,
    extensions: &[&str],
    files: &mut Vec<PathBuf>,
) -> Result<(), RulebookError> {
    if depth > FOLDER_DEPTH_MAX {
        return Err(too_deep(dir));
    }
    let entries = std::fs::read_dir(dir).map_err(|error| RulebookError::at(dir, error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| RulebookError::at(dir, error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| RulebookError::at(&path, error))?;
        paths.push((path, kind));
    }
    paths.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in paths {
        let wanted = |path: &Path| {
            let end = path.extension().and_then(|end| end.to_str());
            end.is_some_and(|end| extensions.contains(&end))
        };
        if kind.is_dir() {
            collect(&path, depth + 1, extensions, files)?;
        } else if kind.is_file() && wanted(&path) {
            if files.len() >= RULE_FILES_MAX {
                return Err(too_many_files(&path));
            }
            files.push(path);
        }
    }
    Ok(())
}

/// The text of a file, or why it cannot be one of ours.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Words> {
    let bytes = read_bytes(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Words::new(format!("not UTF-8 at byte {at}"), format!("{at}バイト目がUTF-8ではありません"))
    })
}

pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Words> {
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Words::new(
            format!("larger than {bytes_max} bytes"),
            format!("{bytes_max}バイトを超えています"),
        ));
    }
    Ok(bytes)
}

pub(crate) fn too_deep(dir: &Path) -> RulebookError {
    let reason = Words::new(
        format!("folders are nested deeper than {FOLDER_DEPTH_MAX}"),
        format!("フォルダーが{FOLDER_DEPTH_MAX}階層より深くなっています"),
    );
    RulebookError::at(dir, reason)
}

pub(crate) fn too_many_files(path: &Path) -> RulebookError {
    let reason = Words::new(
        format!("more than {RULE_FILES_MAX} files; name fewer"),
        format!("ファイルが{RULE_FILES_MAX}個を超えています。減らしてください"),
    );
    RulebookError::at(path, reason)
}
