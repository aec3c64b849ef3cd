//! Leaves, headers, notes and keys: one spelling each, and no input makes a parser panic (I9).
use crate::common;
use common::{SALT, key, record, stream};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;
use yagura_event::UtcMicros;
use yagura_ledger::{
    BatchHeader, Checkpoint, EventLeaf, EventProof, Hash, LeafHasher, NoteError, SigningKey,
    TlogProof, VerifierKey, event_leaf_hash, leaf_salt, limits,
};

const HEADER: &str = "yagura-batch v1
log siem.example/events
batch 4000
stream syslog
first_received 2026-11-21T19:30:00.000000Z
last_received 2026-11-21T19:30:09.999999Z
count 4096
rejected oversize=2 queue-full=17
stream_prev 3987:5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456
parser none
root 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
";

#[test]
fn a_leaf_is_the_text_of_the_specification() {
    let record = record(321, b"Nov 21 19:30:00 web sshd: \xff\n\nraw 1");
    let leaf = LeafHasher::new(&stream("syslog"), 4000, &SALT).leaf(321, &record);
    let text = String::from_utf8_lossy(&leaf);
    let salt = "0e3de1b74d60db856ad6e5577bc0c263";
    let expected_head = format!(
        "yagura-event v1\nbatch 4000\nindex 321\nstream syslog\n\
         received 2026-11-21T19:30:00.321321Z\ntransport syslog-tcp\npeer 10.0.0.7:51424\n\
         identity none\nsalt {salt}\nraw 34\n\n"
    );
    assert!(text.starts_with(&expected_head), "{text}");
    let read = EventLeaf::parse(&leaf).unwrap();
    assert_eq!((read.id.to_string().as_str(), &read.record), ("syslog/4000/321", &record));
    assert_eq!(read.salt, leaf_salt(&SALT, 321));
    let hash = event_leaf_hash(&stream("syslog"), 4000, 321, &record, &SALT);
    assert_eq!(hash, Hash::leaf(&leaf));
}

#[test]
fn a_careless_peer_cannot_forge_lines() {
    let mut record = record(0, b"x");
    record.peer = "a\nidentity root".into();
    let leaf = LeafHasher::new(&stream("s"), 1, &SALT).leaf(0, &record);
    let read = EventLeaf::parse(&leaf).unwrap().record;
    assert_eq!((&*read.peer, &*read.identity), ("a%0Aidentity root", "none"));
}

#[test]
fn a_header_has_one_spelling() {
    let header = BatchHeader::parse(HEADER).unwrap();
    assert_eq!((header.count, header.rejected["queue-full"]), (4096, 17));
    assert_eq!(header.encode(), HEADER);
    for (right, wrong) in [
        ("batch 4000", "batch 04000"),
        ("batch 4000", "batch  4000"),
        ("batch 4000", "batch +4000"),
        ("batch 4000\nstream syslog", "stream syslog\nbatch 4000"),
        ("count 4096", "count 4294967296"),
        ("count 4096", "count 0"),
        ("00.000000Z", "00Z"),
        ("19:30:00.000000Z", "20:30:00.000000+01:00"),
        ("oversize=2", "oversize=0"),
        ("oversize=2", "oversize=2 oversize=2"),
        ("oversize=2 queue-full=17", "queue-full=17 oversize=2"),
        ("5df6", "5DF6"),
        ("parser none", "parser "),
        ("v1\n", "v1\r\n"),
        ("log siem", "log +siem"),
        ("root 9f", "root  9f"),
    ] {
        let text = HEADER.replacen(right, wrong, 1);
        assert_ne!(text, HEADER);
        assert!(BatchHeader::parse(&text).is_err(), "{wrong:?}");
    }
    assert!(BatchHeader::parse(&format!("{HEADER}\n")).is_err());
}

#[test]
fn limits_of_a_header_hold_at_n_and_not_at_n_plus_1() {
    let header = |reasons: usize, reason: usize, parser: usize, origin: usize| BatchHeader {
        log: "o".repeat(origin).into(),
        batch: u64::MAX,
        stream: stream(&"s".repeat(128)),
        first_received: UtcMicros::from_micros(i64::MIN),
        last_received: UtcMicros::from_micros(i64::MAX),
        count: u32::MAX,
        rejected: (0..reasons).map(|n| (format!("{n:0reason$}"), u64::MAX)).collect(),
        stream_prev: Some((u64::MAX, Hash::of(b""))),
        parser: "p".repeat(parser).into(),
        root: Hash::of(b"x"),
        continues: None,
    };
    let (reasons, reason) = (limits::REASONS_MAX, limits::REASON_BYTES_MAX);
    let (parser, origin) = (limits::PARSER_BYTES_MAX, limits::ORIGIN_BYTES_MAX);
    let longest = header(reasons, reason, parser, origin);
    let text = longest.encode();
    assert!(text.len() <= limits::HEADER_BYTES_MAX, "{}", text.len());
    assert_eq!(BatchHeader::parse(&text).unwrap(), longest);
    for over in [
        header(reasons + 1, reason, parser, origin),
        header(reasons, reason + 1, parser, origin),
        header(reasons, reason, parser + 1, origin),
        header(reasons, reason, parser, origin + 1),
    ] {
        assert!(BatchHeader::parse(&over.encode()).is_err());
    }
}

/// The verifier key and note of the Go package golang.org/x/mod/sumdb/note, from its documentation.
#[test]
fn notes_are_those_of_the_go_implementation() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key: VerifierKey = vkey.parse().unwrap();
    assert_eq!(key.to_string(), vkey);
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let signature = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = format!("{text}\n{signature}");
    assert_eq!(key.open(note.as_bytes()).unwrap(), text);
    let unknown = format!("{note}\u{2014} someone.else AAAAAAAA\n");
    assert_eq!(key.open(unknown.as_bytes()).unwrap(), text);
    let changed = note.replace("problem is", "solution is");
    assert_eq!(key.open(changed.as_bytes()), Err(NoteError::BadSignature));
    let renamed = note.replace("\u{2014} Peter", "\u{2014} Meter");
    assert_eq!(key.open(renamed.as_bytes()), Err(NoteError::NotSigned));
    for (right, wrong) in
        [("+c74f", "+c74e"), ("+AR", "+BR"), ("TW", "TX"), ("+c74f20a3+", "+C74F20A3+")]
    {
        assert!(vkey.replace(right, wrong).parse::<VerifierKey>().is_err(), "{wrong}");
    }
}

#[test]
fn the_limit_of_signatures_holds() {
    let note = |others: usize| {
        let own = Checkpoint::sign(1, Hash::of(b""), &key());
        let other = |n: usize| format!("\u{2014} w{n} AAAAAAAA\n");
        format!("{}{}", own.note(), (0..others).map(other).collect::<String>())
    };
    let max = limits::NOTE_SIGNATURES_MAX;
    assert!(Checkpoint::open(note(max - 1).as_bytes(), key().verifier_key()).is_ok());
    assert!(Checkpoint::open(note(max).as_bytes(), key().verifier_key()).is_err());
}

#[test]
fn the_limits_of_a_note_and_of_a_path_hold() {
    let own = Checkpoint::sign(1, Hash::of(b""), &key());
    let padded = |bytes: usize| {
        let filler = bytes - own.note().len() - "\u{2014} w AAAAAAAA\n".len();
        format!("{}\u{2014} w{} AAAAAAAA\n", own.note(), "w".repeat(filler))
    };
    let max = limits::NOTE_BYTES_MAX;
    assert_eq!(padded(max).len(), max);
    assert!(Checkpoint::open(padded(max).as_bytes(), key().verifier_key()).is_ok());
    assert!(Checkpoint::open(padded(max + 1).as_bytes(), key().verifier_key()).is_err());

    let proof = |hashes: usize| {
        let (path, checkpoint) = (vec![Hash::of(b""); hashes], own.note().to_owned());
        TlogProof { index: 0, path, checkpoint }.encode()
    };
    assert!(TlogProof::parse(&proof(limits::PATH_HASHES_MAX)).is_ok());
    assert!(TlogProof::parse(&proof(limits::PATH_HASHES_MAX + 1)).is_err());
}

#[test]
fn a_changed_key_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/events.key");
    let made = SigningKey::load_or_create(&path, "siem.example/events").unwrap();
    let public = SigningKey::public_path(&path);
    assert_eq!(public, dir.path().join("keys/events.vkey"));
    assert_eq!(VerifierKey::load(&public).unwrap(), *made.verifier_key());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = SigningKey::load_or_create(&path, "another.name").unwrap();
    assert_eq!(again.verifier_key(), made.verifier_key());
    assert_eq!(&**again.name(), "siem.example/events");

    let refused = || SigningKey::load_or_create(&path, "x").err().map(|error| error.to_string());
    for file in [&path, &public] {
        let good = std::fs::read(file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(file, &bad).unwrap();
            let refused = refused().unwrap_or_else(|| panic!("byte {at} of {}", file.display()));
            assert!(refused.contains(file.to_str().unwrap()), "{refused}");
            std::fs::write(file, &good[..at]).unwrap();
            let cut = SigningKey::load_or_create(&path, "x");
            assert!(cut.is_err(), "{} cut to {at}", file.display());
        }
        std::fs::write(file, &good).unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused().unwrap().contains("chmod 600"));
    assert!(SigningKey::load_or_create(&dir.path().join("new.key"), "a b").is_err());
}

/// Texts near the real ones: pieces of them, cut, repeated and mixed with other bytes.
fn near_texts() -> impl Strategy<Value = Vec<u8>> {
    let leaf = LeafHasher::new(&stream("s"), 1, &SALT).leaf(0, &record(0, b"x"));
    let note = Checkpoint::sign(1, Hash::of(b""), &key()).note().to_owned();
    let proof = format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{note}");
    let lines: Vec<Vec<u8>> =
        [leaf, HEADER.into(), note.into(), proof.into(), b"yagura-proof v1\n".into()]
            .iter()
            .flat_map(|text: &Vec<u8>| text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec))
            .collect();
    let piece = prop_oneof![
        8 => prop::sample::select(lines),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_parser_panics_and_what_is_read_is_written_back(bytes in near_texts()) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(leaf) = EventLeaf::parse(&bytes) {
            prop_assert_eq!(leaf.encode(), &bytes[..]);
        }
        if let Ok(header) = BatchHeader::parse(&text) {
            prop_assert_eq!(header.encode(), &*text);
        }
        if let Ok(proof) = TlogProof::parse(&text) {
            prop_assert_eq!(proof.encode(), &*text);
        }
        if let Ok(proof) = EventProof::parse(&bytes) {
            prop_assert_eq!(proof.encode().into_bytes(), bytes.clone());
        }
        let _ = Checkpoint::parse_unverified(&bytes);
        let _ = key().verifier_key().open(&bytes);
        let _ = text.parse::<VerifierKey>();
        let _ = text.parse::<Hash>();
        let _ = Hash::from_base64(&text);
    }

    #[test]
    fn any_changed_byte_of_leaf_header_or_checkpoint_is_seen(at: prop::sample::Index, change in 1..=255u8) {
        let flip = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            bytes
        };
        let leaf = LeafHasher::new(&stream("s"), 1, &SALT).leaf(0, &record(0, b"x"));
        prop_assert_ne!(Hash::leaf(&flip(&leaf)), Hash::leaf(&leaf));
        let note = Checkpoint::sign(7, Hash::of(b""), &key()).note().to_owned();
        prop_assert!(Checkpoint::open(&flip(note.as_bytes()), key().verifier_key()).is_err());
        let vkey = key().verifier_key().to_string();
        let flipped = String::from_utf8(flip(vkey.as_bytes())).ok();
        let read = flipped.and_then(|text| text.parse::<VerifierKey>().ok());
        prop_assert!(read.is_none());
    }
}
