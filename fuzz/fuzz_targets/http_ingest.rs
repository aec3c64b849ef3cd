//! Events of an ingest body are pieces of it, each an object by itself, and the same again as one
//! array.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_intake::http_body::parse_ingest;
use yagura_intake::limits::ITEM_ERRORS_TOLD_MAX;

fuzz_target!(|bytes: &[u8]| {
    let body = bytes.to_vec().into();
    let ingest = match parse_ingest(&body) {
        Ok(ingest) => ingest,
        Err(error) => {
            assert!(matches!(error.status(), 400 | 413), "{error}");
            return;
        }
    };
    assert_eq!(ingest.errors.len(), ingest.refused.min(ITEM_ERRORS_TOLD_MAX));
    let mut end = body.as_ptr_range().start;
    for event in &ingest.events {
        let place = event.as_ptr_range();
        assert!(end <= place.start && place.end <= body.as_ptr_range().end, "not a copy");
        end = place.end;
        assert_eq!(parse_ingest(event).unwrap().events, [event.clone()]);
    }
    let array = [&b"["[..], &ingest.events.join(&b','), b"]"].concat().into();
    let again = parse_ingest(&array).unwrap();
    assert_eq!((again.events, again.refused), (ingest.events, 0));
});
