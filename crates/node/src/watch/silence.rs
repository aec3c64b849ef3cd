//! Streams that usually talk and have fallen silent: longer than twice the longest silence of their
//! own last days. The pattern is read from the headers of sealed batches, so that anybody with the
//! ledger comes to the same. Hosts within a stream are watched by `sources/silence.rs`.

use crate::NodeError;
use crate::rhythm::Rhythm;
use std::collections::BTreeMap;
use yagura_desk::GapSeen;
use yagura_event::{StreamName, UtcMicros};
use yagura_ledger::{BatchHeader, Log};

/// Headers read back at the first look, the newest ones.
const HEADERS_READ_BACK_MAX: u64 = 20_000;

/// Streams that are watched; those that talked first.
const STREAMS_MAX: usize = 10_000;

/// Without any header of a stream, not even a heartbeat, for this long (microseconds), nobody
/// listened: such a time is no silence of the stream's own.
const NOBODY_LISTENED_MICROS: i64 = 12 * 60 * 1_000_000;

/// What is known of every stream.
#[derive(Debug, Default)]
pub(super) struct Silence {
    next_leaf: Option<u64>,
    streams: BTreeMap<StreamName, Pattern>,
    last_alive: Option<UtcMicros>,
}

#[derive(Debug)]
struct Pattern {
    first: UtcMicros,
    /// When the last record came.
    last: UtcMicros,
    /// The last header of any kind.
    heard: UtcMicros,
    rhythm: Rhythm,
}

impl Silence {
    /// Reads the headers sealed since the last call.
    pub fn read(&mut self, log: &Log, opened: UtcMicros) -> Result<(), NodeError> {
        let size = log.size();
        let first = size.saturating_sub(HEADERS_READ_BACK_MAX);
        let from = self.next_leaf.unwrap_or(first).max(first);
        for leaf in from..size {
            self.hear(&log.header(leaf)?, opened);
        }
        self.next_leaf = Some(size);
        Ok(())
    }

    fn hear(&mut self, header: &BatchHeader, opened: UtcMicros) {
        // That somebody decided how a restored log goes on does not mean that anybody listened.
        if header.continues.is_some() {
            return;
        }
        if header.last_received < opened {
            self.last_alive = self.last_alive.max(Some(header.last_received));
        }
        // A file that was imported once is not expected again.
        if header.stream.as_str().starts_with("import/") {
            return;
        }
        let room = self.streams.len() < STREAMS_MAX;
        match self.streams.get_mut(&header.stream) {
            Some(pattern) => pattern.hear(header),
            None if header.count > 0 && room => {
                let mut pattern = Pattern {
                    first: header.first_received,
                    last: header.last_received,
                    heard: header.last_received,
                    rhythm: Rhythm::default(),
                };
                pattern.rhythm.talk();
                self.streams.insert(header.stream.clone(), pattern);
            }
            None => {}
        }
    }

    /// The last sign of life before `opened`, as far as headers tell.
    pub fn last_alive_before_start(&self) -> Option<UtcMicros> {
        self.last_alive
    }

    /// Streams that are silent now. While nobody listened, before `opened`, nobody was silent.
    pub fn silent(&self, now: UtcMicros, opened: UtcMicros) -> Vec<GapSeen> {
        let silent = self.streams.iter().filter_map(|(stream, pattern)| {
            let limit = pattern.limit()?;
            let listened_since = match pattern.last < opened {
                true => opened,
                false => pattern.last,
            };
            let silence = now.as_micros() - listened_since.as_micros();
            (silence >= limit).then(|| {
                let (minutes, usual) = (limit / 60_000_000, pattern.rhythm.longest() / 60_000_000);
                GapSeen {
                    subject: stream.to_string(),
                    begin: pattern.last,
                    sentence_ja: format!(
                        "ストリーム {stream} が {minutes} 分を超えて途絶えています（ここ数日の最長は \
                         {usual} 分）。送信元の設定、ネットワーク、機器の状態を確認してください。"
                    ),
                    sentence_en: format!(
                        "The stream {stream} has been silent for more than {minutes} minutes (its \
                         longest silence of the last days: {usual}). Check the sender, the network \
                         and the machine."
                    ),
                }
            })
        });
        silent.collect()
    }
}

impl Pattern {
    fn hear(&mut self, header: &BatchHeader) {
        let unheard = header.first_received.as_micros() - self.heard.as_micros();
        self.heard = self.heard.max(header.last_received);
        if header.count == 0 {
            return;
        }
        match unheard < NOBODY_LISTENED_MICROS {
            true => {
                let silence = header.first_received.as_micros() - self.last.as_micros();
                self.rhythm.talk_after(silence, header.first_received);
            }
            false => self.rhythm.talk(),
        }
        self.last = self.last.max(header.last_received);
    }

    /// From when on silence is unusual; `None` while too little is known.
    fn limit(&self) -> Option<i64> {
        self.rhythm.limit(self.last.as_micros() - self.first.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_ledger::Hash;

    const MINUTE: i64 = 60_000_000;

    fn at(minutes: i64) -> UtcMicros {
        UtcMicros::from_micros(minutes * MINUTE)
    }

    fn header(stream: &str, minute: i64, count: u32) -> BatchHeader {
        BatchHeader {
            log: "test/events".into(),
            batch: 1,
            stream: StreamName::new(stream).unwrap(),
            first_received: at(minute),
            last_received: at(minute),
            count,
            rejected: BTreeMap::new(),
            stream_prev: None,
            parser: "none".into(),
            root: Hash::empty_root(),
            continues: None,
        }
    }

    /// A stream with a record every ten minutes and heartbeats in between, until `until`.
    fn talking(until: i64) -> Silence {
        let mut silence = Silence::default();
        for minute in (0..=until).step_by(5) {
            silence.hear(&header("syslog", minute, u32::from(minute % 10 == 0)), at(1_000));
        }
        silence
    }

    fn silent(silence: &Silence, minute: i64) -> bool {
        !silence.silent(at(minute), at(0)).is_empty()
    }

    #[test]
    fn twice_its_own_longest_silence_is_unusual() {
        let silence = talking(600);
        assert!(!silent(&silence, 619));
        assert!(silent(&silence, 620));
        let gap = silence.silent(at(700), at(0)).remove(0);
        assert_eq!((gap.subject.as_str(), gap.begin), ("syslog", at(600)));
        assert!(gap.sentence_en.contains("20 minutes") && gap.sentence_en.contains(": 10)"));
    }

    #[test]
    fn a_stream_that_pauses_every_night_may_pause() {
        let mut silence = Silence::default();
        for day in 0..4 {
            for minute in (0..24 * 60).step_by(5) {
                let talks = (8 * 60..18 * 60).contains(&minute);
                silence.hear(&header("syslog", day * 24 * 60 + minute, u32::from(talks)), at(0));
            }
        }
        let evening = 3 * 24 * 60 + 18 * 60;
        assert!(!silent(&silence, evening + 20 * 60), "a night of 14 hours is usual");
        assert!(silent(&silence, evening + 29 * 60));
    }

    #[test]
    fn little_known_imported_and_unwatched_times_are_no_silence() {
        assert!(!silent(&talking(70), 500), "known for too short a time");
        let mut silence = talking(600);
        for minute in (0..600).step_by(10) {
            silence.hear(&header("import/0011", minute, 1), at(0));
        }
        assert_eq!(silence.silent(at(10_000), at(0)).len(), 1, "an import is not expected again");
        // Yagura was off for a day: the silence is counted from its start, and is no pattern.
        assert!(silence.silent(at(2_019), at(2_000)).is_empty());
        assert_eq!(silence.silent(at(2_020), at(2_000)).len(), 1);
        silence.hear(&header("syslog", 2_000, 1), at(2_000));
        assert_eq!(silence.streams.values().next().unwrap().rhythm.longest(), 10 * MINUTE);
        assert_eq!(silence.last_alive_before_start(), Some(at(600)));
    }

    #[test]
    fn streams_are_bounded() {
        let mut silence = Silence::default();
        for number in 0..=STREAMS_MAX {
            silence.hear(&header(&format!("s{number}"), 0, 1), at(0));
        }
        assert_eq!(silence.streams.len(), STREAMS_MAX);
    }
}
