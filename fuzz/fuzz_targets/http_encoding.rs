//! An encoded body expands within its limit, to the same bytes every time, or is refused with the
//! right status.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_intake::http_body::decode_body;
use yagura_intake::limits::{BODY_RATIO_FREE_BYTES, BODY_RATIO_MAX};

const ENCODINGS: [Option<&str>; 8] = [
    Some("gzip"),
    Some("deflate"),
    Some("zstd"),
    Some(" X-GZIP "),
    Some("identity"),
    Some("br"),
    Some(""),
    None,
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else { return };
    let encoding = ENCODINGS[usize::from(choice % 8)];
    match decode_body(encoding, body.to_vec().into()) {
        Ok(expanded) => {
            let limit = (body.len() * BODY_RATIO_MAX).max(BODY_RATIO_FREE_BYTES);
            assert!(expanded.len() <= limit);
            assert_eq!(decode_body(encoding, body.to_vec().into()).unwrap(), expanded);
            if matches!(encoding, None | Some("" | "identity")) {
                assert_eq!(expanded, body);
            }
        }
        Err(error) if encoding == Some("br") => assert_eq!(error.status(), 415),
        Err(error) => assert!(matches!(error.status(), 400 | 413), "{error}"),
    }
});
