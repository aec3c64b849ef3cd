//! Whether detection keeps up with what is received.

use std::collections::VecDeque;
use yagura_desk::GapSeen;
use yagura_event::UtcMicros;

/// Detection this far behind (in microseconds) is a gap.
const BEHIND_MICROS: i64 = 60 * 1_000_000;

/// Looks that are remembered: at one every few seconds, several times [`BEHIND_MICROS`].
const LOOKS_MAX: usize = 256;

/// How many records were committed at past looks.
#[derive(Debug, Default)]
pub(super) struct Lag {
    looks: VecDeque<(UtcMicros, u64)>,
}

impl Lag {
    /// The gap, if what was committed [`BEHIND_MICROS`] ago has not been read yet. `committed` and
    /// `read` count records since the start.
    pub fn look(&mut self, now: UtcMicros, committed: u64, read: u64) -> Option<GapSeen> {
        // What has been read by now is no longer waited for.
        while self.looks.front().is_some_and(|(_, then)| *then <= read) {
            self.looks.pop_front();
        }
        if committed > read {
            if self.looks.len() >= LOOKS_MAX {
                // The first one says since when: it must stay.
                self.looks.remove(1);
            }
            self.looks.push_back((now, committed));
        }
        let (since, _) = *self.looks.front()?;
        (now.as_micros() - since.as_micros() >= BEHIND_MICROS).then(|| GapSeen {
            subject: "detection".to_owned(),
            begin: since,
            sentence_ja:
                "検知が受信に1分以上遅れています。ログは失われませんが、アラートは遅れて届きます。"
                    .to_owned(),
            sentence_en:
                "Detection is more than a minute behind what is received. No log is lost, \
                          but alerts come late."
                    .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_behind_is_a_gap_until_it_is_caught_up() {
        let mut lag = Lag::default();
        let at = |seconds: i64| UtcMicros::from_micros(seconds * 1_000_000);
        assert_eq!(lag.look(at(0), 0, 0), None);
        assert_eq!(lag.look(at(5), 100, 100), None);
        // From here on 1,000 wait; a flow that is always a little behind is none.
        for second in 10..70 {
            let committed = 1_000 + (second as u64 - 10) * 10;
            assert_eq!(lag.look(at(second), committed, committed - 200), None, "{second}");
        }
        for second in 70..129 {
            assert_eq!(lag.look(at(second), 2_000, 1_600), None, "{second}");
        }
        let gap = lag.look(at(130), 2_000, 1_600).unwrap();
        assert_eq!(gap.begin, at(70));
        for second in 131..1_000 {
            assert_eq!(lag.look(at(second), 3_000, 1_600).unwrap().begin, at(70));
        }
        assert!(lag.looks.len() <= LOOKS_MAX);
        assert_eq!(lag.look(at(1_001), 3_000, 3_000), None);
        assert_eq!(lag.look(at(1_002), 3_001, 3_000), None);
    }
}
