//! The hosts of the events that correlations count. A correlator knows an event by its name alone, so
//! the name says the host, by number.

use crate::limits::{HOST_NAMES_BYTES_MAX, NAME_BYTES_MAX};
use std::collections::HashMap;
use std::sync::Arc;
use yagura_event::StreamName;

const STREAM: &str = "import/scan";

/// What a name costs beside its text.
const ENTRY_BYTES: usize = 128;

/// Hosts, each once.
pub(super) struct Hosts {
    bytes_max: usize,
    streams: HashMap<Arc<str>, Arc<str>>,
    names: Vec<Arc<str>>,
    bytes: usize,
    nobody: Arc<str>,
}

impl Default for Hosts {
    fn default() -> Self {
        Hosts::of_at_most(HOST_NAMES_BYTES_MAX)
    }
}

impl Hosts {
    fn of_at_most(bytes_max: usize) -> Self {
        let (streams, names) = (HashMap::new(), Vec::new());
        Hosts { bytes_max, streams, names, bytes: 0, nobody: STREAM.into() }
    }

    /// The stream of events of `host`; one without a host where there is none, or no room for it.
    pub fn stream(&mut self, host: Option<&str>) -> Arc<str> {
        let Some(host) = host.filter(|host| !host.is_empty() && host.len() <= NAME_BYTES_MAX)
        else {
            return self.nobody.clone();
        };
        if let Some(stream) = self.streams.get(host) {
            return stream.clone();
        }
        let bytes = self.bytes + host.len() + ENTRY_BYTES;
        if bytes > self.bytes_max {
            return self.nobody.clone();
        }
        self.bytes = bytes;
        let stream: Arc<str> = format!("{STREAM}/{}", self.names.len()).into();
        let host: Arc<str> = host.into();
        self.names.push(host.clone());
        self.streams.insert(host, stream.clone());
        stream
    }

    /// The host that `stream` names.
    pub fn of(&self, stream: &StreamName) -> Option<&str> {
        let number = stream.as_str().strip_prefix(STREAM)?.strip_prefix('/')?;
        self.names.get(number.parse::<usize>().ok()?).map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_up_to_the_limit_and_then_unnamed() {
        let mut hosts = Hosts::of_at_most(2 * (ENTRY_BYTES + 2));
        let told: Vec<_> = [Some("a1"), Some("b2"), Some("c3"), Some("a1"), None, Some("")]
            .map(|host| hosts.stream(host))
            .map(|stream| hosts.of(&StreamName::new(&stream).unwrap()).map(str::to_owned))
            .into();
        let [a, b] = ["a1", "b2"].map(|host| Some(host.to_owned()));
        assert_eq!(told, [a.clone(), b, None, a, None, None]);
        let mut hosts = Hosts::default();
        let long = "h".repeat(NAME_BYTES_MAX);
        assert_ne!(hosts.stream(Some(&long)), hosts.stream(Some(&format!("{long}h"))));
        assert_eq!(hosts.names.len(), 1);
    }
}
