//! Each decoder asked by itself, however little the text looks like its own: none panics, and a format
//! pushes nothing for a line that it leaves. The first byte chooses the decoder, in the order of
//! `yagura_normalize::entries::names`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use yagura_normalize::entries::{Decoders, names};

thread_local! {
    static DECODERS: RefCell<(Decoders, usize)> =
        RefCell::new((Decoders::new().unwrap(), names().count()));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    DECODERS.with_borrow_mut(|(decoders, count)| {
        decoders.read(usize::from(*choice) % *count, bytes);
    });
});
