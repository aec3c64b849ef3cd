//! The key of the known log opens the one checkpoint it signed and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use yagura_fuzz::KnownLog;
use yagura_ledger::{Checkpoint, VerifierKey};

static LOG: LazyLock<KnownLog> = LazyLock::new(KnownLog::new);

fuzz_target!(|bytes: &[u8]| {
    let honest = LOG.checkpoint.note();
    if let Ok(text) = LOG.key.open(bytes) {
        assert!(honest.starts_with(&format!("{text}\n")), "a forged note");
    }
    if let Ok(checkpoint) = Checkpoint::open(bytes, &LOG.key) {
        assert_eq!(checkpoint.size(), LOG.checkpoint.size());
        assert_eq!(checkpoint.root(), LOG.checkpoint.root());
    }
    if let Ok(checkpoint) = Checkpoint::parse_unverified(bytes) {
        assert_eq!(checkpoint.note().as_bytes(), bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key has one spelling");
    }
});
