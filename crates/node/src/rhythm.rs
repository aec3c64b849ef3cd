//! How long a sender is usually silent: the longest silence of each of its own last days. Twice the
//! longest of them is unusual.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use yagura_event::UtcMicros;

/// Days whose silences make the pattern.
const DAYS: usize = 8;

/// Shortest silence that is worth a word, in microseconds.
const SILENCE_MICROS_MIN: i64 = 15 * 60 * 1_000_000;

/// A sender must have talked at least so often...
const TALKS_MIN: u64 = 20;

/// ... and for this many times the silence that is called one.
const KNOWN_TIMES: i64 = 2;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// How often a sender talked, and how long it was silent in between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rhythm {
    talks: u64,
    /// Day and the longest silence (microseconds) that ended on it.
    days: VecDeque<(i64, i64)>,
}

impl Rhythm {
    /// The sender talked.
    pub(crate) fn talk(&mut self) {
        self.talks += 1;
    }

    /// It talked at `at`, after having been silent for `silence` microseconds.
    pub(crate) fn talk_after(&mut self, silence: i64, at: UtcMicros) {
        self.talk();
        let day = at.as_micros().div_euclid(DAY_MICROS);
        match self.days.back_mut() {
            Some((last, longest)) if *last >= day => *longest = (*longest).max(silence),
            _ => self.days.push_back((day, silence)),
        }
        while self.days.len() > DAYS {
            self.days.pop_front();
        }
    }

    /// The longest silence of its last days, in microseconds.
    pub(crate) fn longest(&self) -> i64 {
        self.days.iter().map(|(_, longest)| *longest).max().unwrap_or(0).max(0)
    }

    /// From when on silence is unusual, in microseconds, of a sender that has talked for `known`
    /// microseconds; `None` while that is too little.
    pub(crate) fn limit(&self, known: i64) -> Option<i64> {
        let limit = self.longest().saturating_mul(2).max(SILENCE_MICROS_MIN);
        let enough = self.talks >= TALKS_MIN && known >= limit.saturating_mul(KNOWN_TIMES);
        enough.then_some(limit)
    }
}
