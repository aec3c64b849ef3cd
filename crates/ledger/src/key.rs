//! The key file: made once, checked whenever it is read.

use crate::disk::{self, DirtyDirs};
use crate::hash::decode_hex;
use crate::text::Lines;
use crate::{Hash, LedgerError, SigningKey, VerifierKey};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const MAGIC: &str = "yagura-signing-key v1";
const KEY_FILE_BYTES_MAX: usize = 1_024;
/// Read and write for the owner, nothing for anyone else.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

impl SigningKey {
    /// Reads the key file at `path`, or makes a new key called `name` there. The public half stands
    /// beside it with the extension `vkey`. An existing key keeps its own name.
    ///
    /// # Errors
    /// [`LedgerError::Key`] when either file was changed, when others may read the seed, or when
    /// `name` may not be a key name; [`LedgerError::Io`].
    pub fn load_or_create(path: &Path, name: &str) -> Result<SigningKey, LedgerError> {
        match disk::read_file(path, KEY_FILE_BYTES_MAX)? {
            Some(bytes) => Self::load(path, &bytes),
            None => Self::create(path, name),
        }
    }

    fn load(path: &Path, bytes: &[u8]) -> Result<SigningKey, LedgerError> {
        use std::os::unix::fs::PermissionsExt as _;
        let wrong = |what| LedgerError::Key { path: path.to_owned(), what };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
        let key = Self::parse_file(text).map_err(wrong)?;
        let metadata = fs::metadata(path).map_err(LedgerError::io("read", path))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(wrong("other users may read it (run chmod 600 and consider it disclosed)"));
        }
        // A crash while the key was made may have left it without its public half.
        let public = Self::public_path(path);
        match disk::read_file(&public, KEY_FILE_BYTES_MAX)? {
            None => key.write_public(&public)?,
            Some(bytes) if bytes == key.public_text().as_bytes() => {}
            Some(_) => {
                let what = "it is not the public half of the key beside it";
                return Err(LedgerError::Key { path: public, what });
            }
        }
        Ok(key)
    }

    fn create(path: &Path, name: &str) -> Result<SigningKey, LedgerError> {
        let wrong = |what| LedgerError::Key { path: path.to_owned(), what };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| wrong("the machine has no random numbers"))?;
        let key = SigningKey::from_seed(name, &seed)
            .map_err(|_| wrong("its name must be visible ASCII characters other than '+'"))?;
        let mut dirty = DirtyDirs::default();
        disk::create_dirs(path.parent().unwrap_or(Path::new(".")), &mut dirty)?;
        dirty.sync()?;
        disk::replace_file(path, key.file_text().as_bytes(), PRIVATE)?;
        key.write_public(&Self::public_path(path))?;
        Ok(key)
    }

    /// Where the public half of the key at `path` stands.
    pub fn public_path(path: &Path) -> PathBuf {
        path.with_extension("vkey")
    }

    fn write_public(&self, path: &Path) -> Result<(), LedgerError> {
        disk::replace_file(path, self.public_text().as_bytes(), PUBLIC)
    }

    fn public_text(&self) -> String {
        format!("{}\n", self.verifier_key())
    }

    fn file_text(&self) -> String {
        let seed = Hash(self.seed());
        let mut text = format!("{MAGIC}\nname {}\nseed {seed}\n", self.name());
        let check = Hash::of(text.as_bytes());
        // Proof for the ignored result: writing to a String does not fail.
        let _ = writeln!(text, "check {check}");
        text
    }

    fn parse_file(text: &str) -> Result<SigningKey, &'static str> {
        let mut lines = Lines::new(text);
        let mut read = || {
            lines.exactly(MAGIC)?;
            let name = lines.value("name")?;
            let seed = decode_hex::<32>(lines.value("seed")?).ok_or("seed")?;
            SigningKey::from_seed(name, &seed).map_err(|_| "name")
        };
        let key = read().map_err(|_| "a line of it is missing or misspelt")?;
        if key.file_text() == text { Ok(key) } else { Err("its checksum does not match") }
    }
}

impl VerifierKey {
    /// Reads a `.vkey` file: one verifier key and one LF.
    pub fn load(path: &Path) -> Result<VerifierKey, LedgerError> {
        let wrong = |what| LedgerError::Key { path: path.to_owned(), what };
        let bytes = disk::read_file(path, KEY_FILE_BYTES_MAX)?;
        let bytes = bytes.ok_or_else(|| wrong("it is missing"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not text"))?;
        let key = text.strip_suffix('\n').unwrap_or(text).parse();
        key.map_err(|_| wrong("it is not name+id+key"))
    }
}
