//! Documents of a bulk body are single lines of it, every index has a stream, and the answer
//! answers every item. An odd first byte stands for an index in the request's path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_intake::http_body::{BulkOutcome, BulkStreams, bulk_response, parse_bulk, parse_ingest};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let body = bytes.to_vec().into();
    let request = match parse_bulk(&body, (choice % 2 == 1).then_some("filebeat-2026.11.21")) {
        Ok(request) => request,
        Err(error) => {
            assert!(matches!(error.status(), 400 | 413), "{error}");
            return;
        }
    };
    let streams = BulkStreams::default();
    let mut end = body.as_ptr_range().start;
    let mut outcomes = Vec::new();
    for item in &request.items {
        let stream = streams.stream(&item.index);
        assert!(stream.as_str().starts_with("elastic/"));
        assert_eq!(streams.stream(&item.index), stream);
        outcomes.push(match &item.document {
            Ok(document) => {
                let place = document.as_ptr_range();
                assert!(end <= place.start && place.end <= body.as_ptr_range().end, "not a copy");
                end = place.end;
                assert!(!document.contains(&b'\n') && !item.index.is_empty());
                assert_eq!(parse_ingest(document).unwrap().events, [document.clone()]);
                BulkOutcome::Created
            }
            Err(error) => {
                assert_eq!(error.status, 400);
                BulkOutcome::Refused(error.clone())
            }
        });
    }
    let all_created = outcomes.iter().all(|outcome| matches!(outcome, BulkOutcome::Created));
    let answer = bulk_response(&request, &outcomes, 1, |number| number.to_string());
    assert_eq!(answer["items"].as_array().unwrap().len(), request.items.len());
    assert_eq!(answer["errors"].as_bool(), Some(!all_created));
});
