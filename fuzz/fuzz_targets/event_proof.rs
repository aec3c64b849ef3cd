//! A proof and a pin have one spelling, and none that verifies proves anything but an event of the log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use yagura_fuzz::KnownLog;
use yagura_ledger::{EventProof, InnerProof, TlogProof};

static LOG: LazyLock<KnownLog> = LazyLock::new(|| {
    let log = KnownLog::new();
    for proof in &log.proofs {
        assert!(proof.verify(&log.key).is_ok(), "the honest proofs convince");
    }
    log
});

fuzz_target!(|bytes: &[u8]| {
    let log = &*LOG;
    if let Ok(proof) = EventProof::parse(bytes) {
        assert_eq!(proof.encode().as_bytes(), bytes);
        if proof.verify(&log.key).is_ok() {
            assert!(log.leaves.iter().any(|leaf| leaf == proof.leaf()), "a forged event");
            assert_eq!(proof.header(), log.header.encode(), "a forged header");
        }
    }
    if let Ok(pin) = InnerProof::parse(bytes) {
        assert_eq!(pin.encode().as_bytes(), bytes);
        if pin.verify().is_ok() && pin.header() == log.header.encode() {
            assert!(log.leaves.iter().any(|leaf| leaf == pin.leaf()), "a forged event");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(proof) = TlogProof::parse(text)
    {
        assert_eq!(proof.encode(), text);
        if proof.verify(log.header.leaf_hash(), &log.key).is_ok() {
            assert_eq!((proof.index, proof.path.len()), (0, 0), "a forged place");
        }
    }
});
