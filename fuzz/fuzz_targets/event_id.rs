//! Ids, stream names, transports and instants: what parses displays as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_event::{EventId, StreamName, Transport, UtcMicros};

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text, "an id has one spelling");
        assert!(text.starts_with(id.stream.as_str()));
    }
    if let Ok(name) = StreamName::new(text) {
        assert_eq!(name.as_str(), text);
        let sound = |part: &str| !part.is_empty() && part.chars().any(|c| c != '.');
        assert!(text.split('/').all(sound), "a name is safe inside a path");
    }
    if let Ok(transport) = text.parse::<Transport>() {
        assert_eq!(transport.as_str(), text);
    }
    if let Ok(instant) = text.parse::<UtcMicros>() {
        // Many spellings come in; the one that goes out comes back.
        assert_eq!(instant.to_string().parse::<UtcMicros>().unwrap(), instant);
    }
});
