//! Any record becomes exactly one row with one line of words in each language, whatever was read
//! before it. The first byte chooses stream and transport.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use yagura_event::{Lang, Transport, columns};
use yagura_fuzz::run_of;
use yagura_normalize::{Normalizer, limits::SENTENCE_CHARS_MAX};

thread_local! {
    static NORMALIZER: RefCell<Normalizer> =
        RefCell::new(Normalizer::new(Normalizer::embedded_dictionary()).unwrap());
}

const SOURCES: [(&str, Transport); 6] = [
    ("syslog", Transport::SyslogUdp),
    ("syslog", Transport::SyslogTcp),
    ("ingest", Transport::HttpIngest),
    ("elastic/winlogbeat", Transport::ElasticBulk),
    ("import/0123456789abcdef", Transport::File),
    ("audit", Transport::Internal),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let (stream, transport) = SOURCES[usize::from(*choice) % SOURCES.len()];
    let run = run_of(stream, transport, bytes);
    NORMALIZER.with_borrow_mut(|normalizer| {
        normalizer.normalize(&run);
        let batches = normalizer.take_batches();
        assert_eq!(batches.iter().map(|batch| batch.rows()).sum::<usize>(), 1);
        let batch = &batches[0];
        assert!(batch.columns.column_by_name(columns::ORIGINAL).is_some());
        let sentences = [Lang::Ja, Lang::En].map(|lang| normalizer.sentence(batch, 0, lang));
        for sentence in &sentences {
            assert!(!sentence.trim().is_empty());
            assert!(sentence.chars().count() <= SENTENCE_CHARS_MAX);
            assert!(!sentence.contains(harmful), "{sentence:?}");
        }
        // Showing one record comes to the words of a reader that saw none before.
        let mut fresh = normalizer.fork();
        fresh.normalize(&run);
        let batch = &fresh.take_batches()[0];
        let described = normalizer.describe(&run).unwrap();
        assert_eq!(described.dataset, *batch.dataset);
        let alone = [Lang::Ja, Lang::En].map(|lang| fresh.sentence(batch, 0, lang));
        assert_eq!([described.sentence_ja, described.sentence_en], alone);
    });
});

/// Ends a line, acts on a terminal, or turns the direction of the text around it (Unicode's
/// Bidi_Control).
fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}
