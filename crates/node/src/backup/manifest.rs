//! What a backup holds: the one file of it that is written last. `docs/format/backup.md` has the format.

use super::limits::{FILES_MAX, PATH_BYTES_MAX};
use crate::DataDir;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path};
use yagura_event::UtcMicros;
use yagura_ledger::Checkpoint;

const MAGIC: &str = "yagura-backup v1";

/// A manifest, as far as it could be read: its own words for what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAManifest(pub(crate) &'static str);

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// SHA-256, lower-case hexadecimal.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) created: UtcMicros,
    /// Whether the signing keys are in it.
    pub(crate) with_keys: bool,
    /// Heads of the two logs.
    pub(crate) events: Checkpoint,
    pub(crate) audit: Checkpoint,
    /// By path below the data directory, with `/`.
    pub(crate) files: BTreeMap<String, Entry>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> String {
        let note = |checkpoint: &Checkpoint| STANDARD.encode(checkpoint.note());
        let keys = if self.with_keys { "included" } else { "left-out" };
        let mut text = format!(
            "{MAGIC}\ncreated {}\nkeys {keys}\nevents {}\naudit {}\nfiles {}\n",
            self.created,
            note(&self.events),
            note(&self.audit),
            self.files.len(),
        );
        for (path, file) in &self.files {
            // Proof for the ignored result: writing to a String does not fail.
            let _ = writeln!(text, "file {} {} {path}", file.sha256, file.bytes);
        }
        let check = sha256_hex(text.as_bytes());
        let _ = writeln!(text, "check {check}");
        text
    }

    /// Strict: what it returns encodes to the same text again.
    pub(crate) fn parse(text: &str) -> Result<Manifest, NotAManifest> {
        Manifest::parse_with(text, FILES_MAX)
    }

    fn parse_with(text: &str, files_max: usize) -> Result<Manifest, NotAManifest> {
        let manifest = read(text, files_max).map_err(NotAManifest)?;
        match manifest.encode() == text {
            true => Ok(manifest),
            false => Err(NotAManifest("check")),
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}

fn read(text: &str, files_max: usize) -> Result<Manifest, &'static str> {
    let mut lines = text.strip_suffix('\n').ok_or("end")?.split('\n');
    if lines.next() != Some(MAGIC) {
        return Err("version");
    }
    let mut value = |key: &'static str| {
        let line = lines.next().ok_or(key)?;
        line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')).ok_or(key)
    };
    let created = value("created")?.parse().map_err(|_| "created")?;
    let with_keys = match value("keys")? {
        "included" => true,
        "left-out" => false,
        _ => return Err("keys"),
    };
    let note = |text: &str| {
        let note = STANDARD.decode(text).ok()?;
        Checkpoint::parse_unverified(&note).ok()
    };
    let events = note(value("events")?).ok_or("events")?;
    let audit = note(value("audit")?).ok_or("audit")?;
    let count: usize = value("files")?.parse().map_err(|_| "files")?;
    if count > files_max {
        return Err("files");
    }
    let mut files = BTreeMap::new();
    for _ in 0..count {
        let mut parts = value("file")?.splitn(3, ' ');
        let mut part = || parts.next().ok_or("file");
        let (sha256, bytes, path) = (part()?, part()?, part()?);
        if !is_sha256(sha256) || !is_place(path) {
            return Err("file");
        }
        let bytes = bytes.parse().map_err(|_| "file")?;
        files.insert(path.to_owned(), Entry { sha256: sha256.to_owned(), bytes });
    }
    value("check")?;
    if lines.next().is_some() {
        return Err("end");
    }
    Ok(Manifest { created, with_keys, events, audit, files })
}

/// Whether these are 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a path names a place of a data directory: nothing that a manifest says may lead out of it.
pub(crate) fn is_place(path: &str) -> bool {
    let data = DataDir::new("");
    let known = [
        data.keys(),
        data.journal(),
        data.audit(),
        data.events_log(),
        data.audit_log(),
        data.lake(),
        data.indicators(),
        data.hunts(),
        data.inventory(),
        data.pins(),
        data.correlation(),
        data.sources(),
        data.forward(),
    ];
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let spelt = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let below = |dir: &std::path::PathBuf| {
        Path::new(path).strip_prefix(dir).is_ok_and(|rest| rest.components().next().is_some())
    };
    plain
        && spelt
        && path.len() <= PATH_BYTES_MAX
        && !path.chars().any(char::is_control)
        && known.iter().any(below)
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_ledger::{Hash, SigningKey};

    fn manifest(files: usize) -> Manifest {
        let head = |name: &str| {
            let key = SigningKey::from_seed(name, &[7; 32]).unwrap();
            Checkpoint::sign(3, Hash::of(name.as_bytes()), &key)
        };
        let entry = |number: usize| {
            let sha256 = sha256_hex(&number.to_le_bytes());
            (format!("journal/{number:08}.seg"), Entry { sha256, bytes: number as u64 })
        };
        Manifest {
            created: "2026-11-21T09:00:00Z".parse().unwrap(),
            with_keys: false,
            events: head("a/events"),
            audit: head("a/audit"),
            files: (1..=files).map(entry).collect(),
        }
    }

    #[test]
    fn a_manifest_reads_as_it_was_written_and_no_changed_byte_passes() {
        let manifest = manifest(3);
        let text = manifest.encode();
        assert_eq!(Manifest::parse(&text).as_ref(), Ok(&manifest));
        for at in 0..text.len() {
            for change in [1u8, 0x20] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= change;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(Manifest::parse(&changed).is_err(), "byte {at}: {changed}");
            }
            assert!(Manifest::parse(&text[..at]).is_err(), "cut at {at}");
        }
        assert!(Manifest::parse(&format!("{text}\n")).is_err());
    }

    #[test]
    fn a_path_never_leads_out_of_the_directory() {
        for good in ["keys/events.vkey", "lake/events/a=b/c.parquet", "ledger/audit/checkpoint"] {
            assert!(is_place(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../keys/x",
            "keys/../../x",
            "keys//x",
            "keys/./x",
            "keys/",
            "keys",
            "ledger/x",
            "RESTORED",
            "LOCK",
            "home/x",
            "keys/a\nb",
            "keys/\u{1b}[2J",
        ] {
            assert!(!is_place(bad), "{bad:?}");
        }
    }

    #[test]
    fn limits_hold_at_n_and_not_at_n_plus_1() {
        let text = manifest(3).encode();
        assert!(Manifest::parse_with(&text, 3).is_ok());
        assert_eq!(Manifest::parse_with(&text, 2), Err(NotAManifest("files")));
        let long = |bytes: usize| format!("lake/{}", "x".repeat(bytes - 5));
        assert!(is_place(&long(PATH_BYTES_MAX)));
        assert!(!is_place(&long(PATH_BYTES_MAX + 1)));
    }
}
