//! An event leaf has one spelling, and no peer or identity can bring lines of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_ledger::EventLeaf;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(leaf) = EventLeaf::parse(bytes) {
        assert_eq!(leaf.encode(), bytes);
        assert!(bytes.ends_with(&leaf.record.bytes));
        for text in [&leaf.record.peer, &leaf.record.identity] {
            assert!(!text.contains(char::is_control));
        }
    }
});
