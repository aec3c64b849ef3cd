//! Any text as a content file of a user: it is refused with its file's name, the same each time, or
//! taken, and then reads any line with all promises of `normalize`. What is behind a line of `---` is
//! the line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_event::{Lang, Transport};
use yagura_fuzz::run_of;
use yagura_normalize::{ContentFile, Normalizer};

fuzz_target!(|text: &str| {
    let (content, line) = text.split_once("\n---\n").unwrap_or((text, "orders: user=tanaka"));
    let files = [ContentFile { name: "hostile.toml".into(), text: content.into() }];
    let mut normalizer = match Normalizer::with_content(&files) {
        Ok(normalizer) => normalizer,
        Err(error) => {
            let again = Normalizer::with_content(&files).err().map(|error| error.to_string());
            assert_eq!(again, Some(error.to_string()));
            assert!(error.to_string().contains("hostile.toml"), "{error}");
            return;
        }
    };
    for transport in [Transport::SyslogTcp, Transport::File] {
        normalizer.normalize(&run_of("orders", transport, line.as_bytes()));
        let batches = normalizer.take_batches();
        assert_eq!(batches.iter().map(|batch| batch.rows()).sum::<usize>(), 1);
        for lang in [Lang::Ja, Lang::En] {
            let sentence = normalizer.sentence(&batches[0], 0, lang);
            assert!(!sentence.trim().is_empty() && !sentence.contains(char::is_control));
        }
    }
});
