//! The engine agrees with the reference on whatever rules and events the bytes choose.
#![no_main]

#[path = "../../crates/detect/tests/it/differential.rs"]
mod differential;
#[path = "../../crates/detect/tests/it/reference/mod.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fuzz_target!(|bytes: &[u8]| {
    // The bytes are the seed, not the choices themselves: when those are used up proptest reads zeros,
    // and some strategies never have enough of them.
    let mut seed = [0; 32];
    for (place, byte) in bytes.iter().enumerate() {
        seed[place % 32] ^= byte.rotate_left((place / 32) as u32);
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // A case that a strategy rejects is none.
    if let Ok(case) = differential::case().new_tree(&mut runner) {
        differential::compare(case.current());
    }
});
