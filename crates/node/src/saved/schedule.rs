//! When a saved search runs by itself.

use super::limits::{
    EVERY_MINUTES_MAX, EVERY_MINUTES_MIN, MISSED_COUNTED_MAX, OCCURRENCES_LOOKED_AT,
    ROWS_COUNTED_MAX, WORD_BYTES_MAX,
};
use crate::NodeError;
use crate::rows::zone_of;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use yagura_event::{Level, UtcMicros};

/// When a saved search runs by itself, and what becomes of it. One of the first three is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Every so many minutes, counted from midnight UTC of 1970: every 15 is at :00, :15, :30, :45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<u32>,
    /// Every day at this local time, `HH:MM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<String>,
    /// A cron expression of five fields (minute, hour, day of month, month, day of week).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Zone of `daily` and `cron`; that of the search by default, else UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// An alert is raised where more rows than this are found.
    pub rows_over: u64,
    /// How serious that alert is.
    pub level: Level,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            every_minutes: None,
            daily: None,
            cron: None,
            time_zone: None,
            rows_over: 0,
            level: Level::Medium,
        }
    }
}

/// A schedule that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    kind: Kind,
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Kind {
    Every(i64),
    Daily(Time),
    Cron(Box<Cron>),
}

impl Schedule {
    /// Reads it; `search_zone` is the zone of the search.
    pub(crate) fn timer(&self, search_zone: Option<&str>) -> Result<Timer, NodeError> {
        let words = [&self.daily, &self.cron, &self.time_zone];
        if words.into_iter().flatten().any(|word| word.len() > WORD_BYTES_MAX) {
            return Err(NodeError::request(
                format!("a time, zone or cron expression has more than {WORD_BYTES_MAX} bytes"),
                format!("時刻、タイムゾーン、cron式は{WORD_BYTES_MAX}バイトまでです"),
            ));
        }
        if self.rows_over >= ROWS_COUNTED_MAX as u64 {
            return Err(NodeError::request(
                format!("rows_over must be below {ROWS_COUNTED_MAX}: no more rows are counted"),
                format!(
                    "rows_over は{ROWS_COUNTED_MAX}より小さくしてください（それ以上は数えません）"
                ),
            ));
        }
        let zone = zone_of(self.time_zone.as_deref().or(search_zone))?;
        let kind = match (self.every_minutes, &self.daily, &self.cron) {
            (Some(minutes), None, None) => every(minutes)?,
            (None, Some(time), None) => daily(time)?,
            (None, None, Some(text)) => cron(text)?,
            _ => {
                return Err(NodeError::request(
                    "a schedule has one of every_minutes, daily and cron",
                    "スケジュールには every_minutes、daily、cron のどれか1つを指定してください",
                ));
            }
        };
        Ok(Timer { kind, zone })
    }
}

fn every(minutes: u32) -> Result<Kind, NodeError> {
    if !(EVERY_MINUTES_MIN..=EVERY_MINUTES_MAX).contains(&minutes) {
        return Err(NodeError::request(
            format!(
                "every {minutes} minutes: {EVERY_MINUTES_MIN} to {EVERY_MINUTES_MAX} are possible"
            ),
            format!(
                "{minutes}分ごとには実行できません。{EVERY_MINUTES_MIN}～{EVERY_MINUTES_MAX}分にしてください"
            ),
        ));
    }
    Ok(Kind::Every(i64::from(minutes) * 60_000_000))
}

fn daily(text: &str) -> Result<Kind, NodeError> {
    let time = Time::strptime("%H:%M", text.trim());
    time.map(Kind::Daily).map_err(|_| {
        NodeError::request(
            format!("{text:?} is no time of day: write 08:00 or 17:30"),
            format!("{text:?} は時刻として読めません（例: 08:00、17:30）"),
        )
    })
}

fn cron(text: &str) -> Result<Kind, NodeError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| {
        NodeError::request(
            format!("cron {text:?}: {error}; write minute, hour, day, month and weekday: 0 8 * * 1-5"),
            format!(
                "cron {text:?} を読めません（{error}）。分 時 日 月 曜日 の順に書きます（例: 0 8 * * 1-5）"
            ),
        )
    })?;
    Ok(Kind::Cron(Box::new(cron)))
}

impl Timer {
    /// The first time it is due after `at`; `None` where there is none.
    pub fn next_after(&self, at: UtcMicros) -> Option<UtcMicros> {
        let micros = match &self.kind {
            Kind::Every(step) => {
                at.as_micros().div_euclid(*step).checked_add(1)?.checked_mul(*step)?
            }
            Kind::Daily(time) => {
                let mut date = self.local(at)?.date();
                loop {
                    // A time that a clock jumps over comes as much later as it jumps.
                    let due = date.to_datetime(*time).to_zoned(self.zone.clone()).ok()?;
                    let due = due.timestamp().as_microsecond();
                    if due > at.as_micros() {
                        break due;
                    }
                    date = date.checked_add(Span::new().days(1)).ok()?;
                }
            }
            Kind::Cron(cron) => {
                let due = cron.find_next_occurrence(&self.local(at)?, false).ok()?;
                due.timestamp().as_microsecond()
            }
        };
        Some(UtcMicros::from_micros(micros))
    }

    fn local(&self, at: UtcMicros) -> Option<Zoned> {
        let at = Timestamp::from_microsecond(at.as_micros()).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }

    /// How often it was due after `since` up to `now`, counted up to [`MISSED_COUNTED_MAX`].
    pub fn due_times(&self, since: UtcMicros, now: UtcMicros) -> u32 {
        let (mut count, mut at) = (0, since);
        while count < MISSED_COUNTED_MAX {
            match self.next_after(at) {
                Some(due) if due <= now => (count, at) = (count + 1, due),
                _ => break,
            }
        }
        count
    }

    /// Refuses what is never due, or too often.
    pub fn check(&self, now: UtcMicros) -> Result<(), NodeError> {
        let Some(mut at) = self.next_after(now) else {
            return Err(NodeError::request(
                "this schedule is never due",
                "このスケジュールでは一度も実行されません",
            ));
        };
        if !matches!(self.kind, Kind::Cron(_)) {
            return Ok(());
        }
        for _ in 0..OCCURRENCES_LOOKED_AT {
            let Some(next) = self.next_after(at) else { return Ok(()) };
            if next.as_micros() - at.as_micros() < i64::from(EVERY_MINUTES_MIN) * 60_000_000 {
                return Err(NodeError::request(
                    format!("a search runs at most every {EVERY_MINUTES_MIN} minutes"),
                    format!("実行の間隔は{EVERY_MINUTES_MIN}分以上にしてください"),
                ));
            }
            at = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcMicros {
        text.parse().unwrap()
    }

    fn timer(schedule: Schedule) -> Timer {
        schedule.timer(None).unwrap()
    }

    fn dues(timer: &Timer, from: &str, count: usize) -> Vec<String> {
        let mut now = at(from);
        let next = || {
            now = timer.next_after(now)?;
            Some(now.to_string().replace(".000000Z", "Z"))
        };
        std::iter::from_fn(next).take(count).collect()
    }

    fn every(minutes: u32) -> Schedule {
        Schedule { every_minutes: Some(minutes), ..Schedule::default() }
    }

    fn cron(text: &str) -> Schedule {
        Schedule { cron: Some(text.to_owned()), ..Schedule::default() }
    }

    #[test]
    fn it_is_due_when_it_says() {
        let quarter = timer(every(15));
        assert_eq!(
            dues(&quarter, "2026-11-21T08:59:59Z", 2),
            ["2026-11-21T09:00:00Z", "2026-11-21T09:15:00Z"]
        );
        let zone = Some("Asia/Tokyo".to_owned());
        let morning =
            Schedule { daily: Some("08:30".into()), time_zone: zone, ..Schedule::default() };
        assert_eq!(
            dues(&timer(morning), "2026-11-20T23:30:00Z", 2),
            ["2026-11-21T23:30:00Z", "2026-11-22T23:30:00Z"],
            "what is due now is not due again"
        );
        // The zone of the search stands in for one of the schedule's own.
        let weekdays = cron("0 8 * * 1-5").timer(Some("Asia/Tokyo")).unwrap();
        // 2026-11-20 is a Friday.
        assert_eq!(
            dues(&weekdays, "2026-11-19T22:00:00Z", 2),
            ["2026-11-19T23:00:00Z", "2026-11-22T23:00:00Z"]
        );
    }

    #[test]
    fn clocks_that_are_put_forward_and_back_leave_one_run_a_day() {
        let schedule = Schedule {
            daily: Some("02:30".into()),
            time_zone: Some("Europe/Berlin".into()),
            ..Schedule::default()
        };
        let timer = timer(schedule);
        // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        assert_eq!(
            dues(&timer, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            dues(&timer, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn due_times_are_counted_up_to_the_limit() {
        let timer = timer(every(5));
        let (start, step) = (at("2026-11-21T00:00:00Z"), 300_000_000);
        for (due, counted) in [
            (0, 0),
            (1, 1),
            (i64::from(MISSED_COUNTED_MAX), MISSED_COUNTED_MAX),
            (i64::from(MISSED_COUNTED_MAX) + 1, MISSED_COUNTED_MAX),
        ] {
            assert_eq!(timer.due_times(start, start.plus_micros(due * step)), counted);
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let fault = |schedule: Schedule| {
            let timer = schedule.timer(None)?;
            timer.check(at("2026-11-21T00:00:00Z"))
        };
        for good in [every(EVERY_MINUTES_MIN), every(EVERY_MINUTES_MAX), cron("*/5 * * * *")] {
            assert!(fault(good.clone()).is_ok(), "{good:?}");
        }
        let most = ROWS_COUNTED_MAX as u64;
        assert!(fault(Schedule { rows_over: most - 1, ..every(5) }).is_ok());
        let zone = |bytes: usize| Some("x".repeat(bytes));
        for bad in [
            every(EVERY_MINUTES_MIN - 1),
            every(EVERY_MINUTES_MAX + 1),
            Schedule { rows_over: most, ..every(5) },
            Schedule { daily: Some("08:00".into()), ..every(5) },
            Schedule::default(),
            Schedule { daily: Some("24:10".into()), ..Schedule::default() },
            Schedule { time_zone: zone(WORD_BYTES_MAX), ..every(5) },
            Schedule { time_zone: zone(WORD_BYTES_MAX + 1), ..every(5) },
            cron("*/4 * * * *"),
            cron("0 0 30 2 *"),
            cron("0 0 0 * * *"),
            cron("every day"),
        ] {
            let error = fault(bad.clone()).expect_err(&format!("{bad:?}"));
            assert!(matches!(error, NodeError::Request { .. }));
        }
    }
}
