//! The engine agrees with the reference on whatever rules and events the bytes choose.
#![no_main]

#[path = "../../crates/detect/tests/differential.rs"]
mod differential;

use libfuzzer_sys::fuzz_target;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fuzz_target!(|bytes: &[u8]| {
    let rng = TestRng::from_seed(RngAlgorithm::PassThrough, bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // Bytes that a strategy rejects choose nothing.
    if let Ok(case) = differential::case().new_tree(&mut runner) {
        differential::compare(case.current());
    }
});
