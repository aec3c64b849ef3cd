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

/// Of a manifest in which every file is one piece, and of one with pieces.
const MAGIC: [&str; 2] = ["yagura-backup v1", "yagura-backup v2"];

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
    /// What the contents of a file are put together from, by its path; its own digest is that of the
    /// whole. A file that is not here is one piece.
    pub(crate) pieces: BTreeMap<String, Vec<Entry>>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> String {
        let note = |checkpoint: &Checkpoint| STANDARD.encode(checkpoint.note());
        let keys = if self.with_keys { "included" } else { "left-out" };
        let [one, several] = MAGIC;
        let magic = if self.pieces.is_empty() { one } else { several };
        let mut text = format!(
            "{magic}\ncreated {}\nkeys {keys}\nevents {}\naudit {}\nfiles {}\n",
            self.created,
            note(&self.events),
            note(&self.audit),
            self.files.len(),
        );
        for (path, file) in &self.files {
            // Proof for the ignored result: writing to a String does not fail.
            let _ = writeln!(text, "file {} {} {path}", file.sha256, file.bytes);
            for piece in self.pieces.get(path).into_iter().flatten() {
                let _ = writeln!(text, "piece {} {}", piece.sha256, piece.bytes);
            }
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

    /// The contents that a file is put together from, in their order.
    pub(crate) fn contents<'m>(&'m self, path: &str, file: &'m Entry) -> &'m [Entry] {
        match self.pieces.get(path) {
            Some(pieces) => pieces,
            None => std::slice::from_ref(file),
        }
    }
}

fn read(text: &str, files_max: usize) -> Result<Manifest, &'static str> {
    let mut lines = text.strip_suffix('\n').ok_or("end")?.split('\n');
    if !lines.next().is_some_and(|line| MAGIC.contains(&line)) {
        return Err("version");
    }
    let mut lines = lines.peekable();
    let created = value(&mut lines, "created")?.parse().map_err(|_| "created")?;
    let with_keys = match value(&mut lines, "keys")? {
        "included" => true,
        "left-out" => false,
        _ => return Err("keys"),
    };
    let note = |text: &str| {
        let note = STANDARD.decode(text).ok()?;
        Checkpoint::parse_unverified(&note).ok()
    };
    let events = note(value(&mut lines, "events")?).ok_or("events")?;
    let audit = note(value(&mut lines, "audit")?).ok_or("audit")?;
    let count: usize = value(&mut lines, "files")?.parse().map_err(|_| "files")?;
    if count > files_max {
        return Err("files");
    }
    let (mut files, mut pieces) = (BTreeMap::new(), BTreeMap::<String, Vec<Entry>>::new());
    let mut piece_count = 0;
    for _ in 0..count {
        let mut parts = value(&mut lines, "file")?.splitn(3, ' ');
        let mut part = || parts.next().ok_or("file");
        let (sha256, bytes, path) = (part()?, part()?, part()?);
        if !is_place(path) {
            return Err("file");
        }
        let file = entry(sha256, bytes).ok_or("file")?;
        let mut of_file = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("piece ")) {
            piece_count += 1;
            if piece_count > files_max {
                return Err("piece");
            }
            let (sha256, bytes) =
                line.strip_prefix("piece ").and_then(|it| it.split_once(' ')).ok_or("piece")?;
            of_file.push(entry(sha256, bytes).ok_or("piece")?);
        }
        if !of_file.is_empty() {
            let sum = of_file.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.bytes));
            if sum != Some(file.bytes) {
                return Err("piece");
            }
            pieces.insert(path.to_owned(), of_file);
        }
        files.insert(path.to_owned(), file);
    }
    value(&mut lines, "check")?;
    if lines.next().is_some() {
        return Err("end");
    }
    Ok(Manifest { created, with_keys, events, audit, files, pieces })
}

/// What stands behind the word `key` on the next line.
fn value<'t>(
    lines: &mut impl Iterator<Item = &'t str>,
    key: &'static str,
) -> Result<&'t str, &'static str> {
    let line = lines.next().ok_or(key)?;
    line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')).ok_or(key)
}

fn entry(sha256: &str, bytes: &str) -> Option<Entry> {
    let bytes = bytes.parse().ok()?;
    is_sha256(sha256).then(|| Entry { sha256: sha256.to_owned(), bytes })
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
            pieces: BTreeMap::new(),
        }
    }

    /// The last file in as many pieces as it has bytes.
    fn in_pieces(files: usize) -> Manifest {
        let mut manifest = manifest(files);
        let piece = |byte: usize| Entry { sha256: sha256_hex(&[byte as u8]), bytes: 1 };
        let pieces = (0..files).map(piece).collect();
        manifest.pieces.insert(format!("journal/{files:08}.seg"), pieces);
        manifest
    }

    #[test]
    fn a_manifest_reads_as_it_was_written_and_no_changed_byte_passes() {
        for (manifest, version) in [(manifest(3), "v1"), (in_pieces(3), "v2")] {
            let text = manifest.encode();
            assert!(text.starts_with(&format!("yagura-backup {version}\n")), "{text}");
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
        // Pieces that do not make up the file.
        let mut short = in_pieces(3);
        short.pieces.values_mut().for_each(|pieces| drop(pieces.pop()));
        assert_eq!(Manifest::parse(&short.encode()), Err(NotAManifest("piece")));
    }

    /// Repeatable chance (SplitMix64).
    fn chance(seed: &mut u64, below: usize) -> usize {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    /// Whoever can write to the place can also write the checksum: what is read then is one spelling of
    /// files that lie in the directory, or refused.
    #[test]
    fn whatever_has_the_right_checksum_is_one_spelling_or_refused() {
        let words = [
            "file",
            "files",
            " ",
            "\n",
            "0",
            "9",
            "a",
            "/",
            "..",
            "../x",
            "keys/x",
            "\u{1b}",
            "櫓",
            "18446744073709551616",
            "-1",
            "included",
            "==",
            "\t",
            "\r\n",
        ];
        let honest = manifest(3).encode();
        let (mut seed, mut read, mut refused) = (7, 0, 0);
        for _ in 0..20_000 {
            let mut parts: Vec<&str> =
                honest.split_inclusive([' ', '\n']).take_while(|part| *part != "check ").collect();
            for _ in 0..=chance(&mut seed, 3) {
                let at = chance(&mut seed, parts.len());
                match chance(&mut seed, 4) {
                    0 => {
                        parts.remove(at);
                    }
                    1 => parts.insert(at, words[chance(&mut seed, words.len())]),
                    2 => parts[at] = words[chance(&mut seed, words.len())],
                    _ => parts.insert(at, parts[chance(&mut seed, parts.len())]),
                }
            }
            let mut text = parts.concat();
            text.push_str(&format!("check {}\n", sha256_hex(text.as_bytes())));
            match Manifest::parse(&text) {
                Ok(manifest) => {
                    read += 1;
                    assert_eq!(manifest.encode(), text);
                    assert!(manifest.files.keys().all(|path| is_place(path)));
                }
                Err(_) => refused += 1,
            }
        }
        assert!(read > 0 && refused > 10_000, "{read} read, {refused} refused");
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
        let mut pieces = in_pieces(3);
        let file = pieces.files.remove("journal/00000001.seg");
        assert!(Manifest::parse_with(&pieces.encode(), 3).is_ok() && file.is_some());
        assert_eq!(Manifest::parse_with(&pieces.encode(), 2), Err(NotAManifest("piece")));
        let long = |bytes: usize| format!("lake/{}", "x".repeat(bytes - 5));
        assert!(is_place(&long(PATH_BYTES_MAX)));
        assert!(!is_place(&long(PATH_BYTES_MAX + 1)));
    }
}
