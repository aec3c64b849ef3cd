//! A batch header has one spelling, and its hash is that of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_ledger::{BatchHeader, Hash};

fuzz_target!(|text: &str| {
    if let Ok(header) = BatchHeader::parse(text) {
        assert_eq!(header.encode(), text);
        assert_eq!(header.leaf_hash(), Hash::leaf(text.as_bytes()));
    }
});
