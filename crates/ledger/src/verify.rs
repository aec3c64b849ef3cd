//! Recomputes a log from its bytes and names whatever does not fit.
use crate::{BatchHeader, Finding, VerifierKey};
use std::path::{Path, PathBuf};
use yagura_event::Record;
/// t
pub struct LogVerifier {
    dir: PathBuf,
    key: VerifierKey,
}
/// t
pub struct LogReport {}
impl LogVerifier {
    /// t
    pub fn new(dir: &Path, key: VerifierKey) -> Self {
        Self { dir: dir.to_owned(), key }
    }
    /// t
    pub fn run(self) -> LogReport {
        let _ = (self.dir, self.key);
        LogReport {}
    }
}
/// t
pub fn verify_batch<R: std::borrow::Borrow<Record>>(
    _h: &BatchHeader,
    _s: &[u8; 32],
    _r: impl IntoIterator<Item = (u32, R)>,
) -> Result<(), Finding> {
    Ok(())
}
