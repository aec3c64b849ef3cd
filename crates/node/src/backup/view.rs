//! A directory that is only looked at: a second one of links to its files is opened in its place. What a
//! node writes by itself, it writes there, and that is thrown away; the files themselves stay as they are,
//! and nothing is signed.

use super::release::Admission;
use crate::{DataDir, Node, NodeError, NodeOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use yagura_event::Clock;
use yagura_journal::DirLock;

/// What must last as long as the node that looks: the directory's lock, and the links.
pub(crate) struct View {
    _lock: DirLock,
    _links: TempDir,
}

impl Node {
    /// Opens a directory that is not written to, such as one that was restored: searching, proving and
    /// exporting work. Nothing that is done lasts.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub fn open_to_look(
        data: DataDir,
        options: NodeOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Node, NodeError> {
        let data = data.resolved();
        let lock = DirLock::acquire(&data.lock())?;
        let links = tempfile::Builder::new().prefix("yagura-look-").tempdir();
        let links = links.map_err(|source| NodeError::Io { path: std::env::temp_dir(), source })?;
        link_all(&data, data.root(), links.path())?;
        let looked_at = DataDir::new(links.path());
        let view = View { _lock: lock, _links: links };
        Node::open_admitted(looked_at, options, clock, Admission::ToLook(view))
    }
}

/// Links every file below `from`. The ledger is linked as a whole, since it is opened to be read; the last
/// segment of a journal is copied, since a journal goes on in it.
fn link_all(data: &DataDir, from: &Path, to: &Path) -> Result<(), NodeError> {
    let ledger = data.root().join("ledger");
    let skipped = [data.lock(), super::mark::path(data)];
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(from).map_err(failed(from))? {
        entries.push(entry.map_err(failed(from))?.path());
    }
    entries.sort();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "seg");
    let in_journal = from == data.journal() || from == data.audit();
    let last = entries.iter().rfind(|path| in_journal && is_segment(path)).cloned();
    for path in entries {
        let Some(name) = path.file_name() else { continue };
        let link = to.join(name);
        let is_key = path.extension().is_some_and(|ending| ending == "key");
        if skipped.contains(&path) || is_key || (in_journal && name == "LOCK") {
            continue;
        }
        if path.is_dir() && path != ledger {
            std::fs::create_dir(&link).map_err(failed(&link))?;
            link_all(data, &path, &link)?;
        } else if last.as_ref() == Some(&path) {
            std::fs::copy(&path, &link).map_err(failed(&link))?;
        } else {
            symlink(&path, &link).map_err(failed(&link))?;
        }
    }
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let path = path.to_owned();
    move |source| NodeError::Io { path, source }
}
