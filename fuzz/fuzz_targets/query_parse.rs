//! Any text as a search expression: it parses the same each time, or the mistake is shown in both
//! languages at a place inside the text.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use yagura_event::{Lang, UtcMicros};
use yagura_query::limits::TEXT_BYTES_MAX;
use yagura_query::parse;

fuzz_target!(|text: &str| {
    let read = || parse(text, UtcMicros::default(), &TimeZone::UTC);
    match read() {
        Ok(expression) => {
            assert_eq!(expression.text, text);
            let again = read().unwrap();
            assert_eq!(again.filter, expression.filter);
            assert_eq!(again.pipes, expression.pipes);
        }
        Err(error) => {
            let at = error.at();
            assert!(at.start <= at.end && at.end <= text.len());
            assert!(text.len() > TEXT_BYTES_MAX || text.get(at).is_some(), "inside a character");
            for lang in [Lang::Ja, Lang::En] {
                assert!(!error.message(lang).is_empty());
                assert!(error.render(lang).contains(error.message(lang)));
            }
        }
    }
});
