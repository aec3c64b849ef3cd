//! Which columns say when it happened.

use super::split::Splitter;
use crate::time;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// Where a row says when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TimeColumns {
    /// Day and time of day, each in a column of its own.
    pair: Option<(usize, usize)>,
    /// Columns that may hold the whole, the likeliest first.
    whole: Vec<usize>,
    /// Times without a zone are UTC whatever the source's zone is (W3C, unless it says otherwise).
    utc: bool,
    /// The day, where only the time of day is in a column.
    day: Option<Box<str>>,
}

/// Most columns that are tried for the time of a row.
const CANDIDATES_MAX: usize = 8;

impl TimeColumns {
    /// By the names of `columns`. `utc`: times without a zone are UTC.
    pub(super) fn new(columns: &[Box<str>], utc: bool) -> Self {
        let place = |names: &[&str]| {
            names.iter().find_map(|name| {
                columns.iter().position(|column| column.eq_ignore_ascii_case(name))
            })
        };
        let date = place(&["date", "day", "日付"]);
        let clock = place(&["time", "clock", "時刻", "時間"]);
        let mut ranked: Vec<(u8, usize)> = (0..)
            .zip(columns)
            .filter_map(|(number, column)| Some((rank(column)?, number)))
            .collect();
        ranked.sort_unstable();
        let whole = ranked.into_iter().map(|(_, number)| number).take(CANDIDATES_MAX).collect();
        TimeColumns { pair: date.zip(clock), whole, utc, day: None }
    }

    /// The day of rows that have only a time of day.
    pub(super) fn on_day(mut self, day: Option<&str>) -> Self {
        self.day = day.map(Box::from);
        self
    }

    /// The column that most likely has a time.
    pub(super) fn first(&self) -> Option<usize> {
        self.pair.map(|(date, _)| date).or_else(|| self.whole.first().copied())
    }

    /// When the row in `fields` happened.
    pub(super) fn of(
        &self,
        fields: &Splitter,
        zone: &TimeZone,
        received: UtcMicros,
    ) -> Option<UtcMicros> {
        let zone = if self.utc { &TimeZone::UTC } else { zone };
        if let Some((date, clock)) = self.pair {
            let (date, clock) = (fields.field(date)?, fields.field(clock)?);
            if date.len() > 40 || clock.len() > 40 {
                return None;
            }
            return civil(&format!("{date} {clock}"), zone);
        }
        let whole = self.whole.iter().filter_map(|&column| fields.field(column));
        let mut cells = whole.filter(|cell| !cell.is_empty());
        if let Some(day) = &self.day {
            return civil(&format!("{day} {}", cells.next()?), zone);
        }
        cells.find_map(|cell| read(cell, zone, received))
    }
}

/// How likely a column of this name says when it happened, the lowest the likeliest; `None` if it
/// does not.
fn rank(column: &str) -> Option<u8> {
    const EXACT: [&str; 18] = [
        "@timestamp",
        "timestamp",
        "ts",
        "eventtime",
        "event_time",
        "datetime",
        "date_time",
        "date-time",
        "time",
        "utctime",
        "timecreated",
        "timegenerated",
        "creationtime",
        "_time",
        "start_time",
        "日時",
        "発生日時",
        "日付",
    ];
    // What has `time` or `date` in its name and is none.
    const NOT: [&str; 9] =
        ["taken", "zone", "out", "update", "duration", "runtime", "elapsed", "uptime", "sometime"];
    let name = column.trim().to_lowercase();
    if let Some(place) = EXACT.iter().position(|exact| *exact == name) {
        return u8::try_from(place).ok();
    }
    if NOT.iter().any(|word| name.contains(word)) {
        return None;
    }
    let named = ["time", "date", "日時", "時刻", "日付"].iter().any(|word| name.contains(word));
    named.then_some(u8::MAX)
}

/// Whether a column of this name usually says when it happened.
pub(super) fn is_time_name(column: &str) -> bool {
    rank(column).is_some()
}

/// Reads a time in any of the spellings that tables use.
pub(super) fn read(text: &str, zone: &TimeZone, received: UtcMicros) -> Option<UtcMicros> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    time::iso(text, zone)
        .map(|(instant, _)| instant)
        .or_else(|| civil(text, zone))
        .or_else(|| time::epoch(text))
        .or_else(|| time::clf(text))
        .or_else(|| time::bsd(text, received, zone).map(|(instant, _)| instant))
}

/// `2026-11-21 10:00:00`, and as spreadsheets write it: `2026/11/21 9:05`, `11/21/2026 9:05:07 AM`
/// (month first only with AM or PM, which says that it is American).
fn civil(text: &str, zone: &TimeZone) -> Option<UtcMicros> {
    if let Some((instant, _)) = time::iso(text, zone) {
        return Some(instant);
    }
    let text = text.trim();
    let (text, afternoon) = match text.rsplit_once(' ') {
        Some((front, half)) if half.eq_ignore_ascii_case("am") => (front, Some(false)),
        Some((front, half)) if half.eq_ignore_ascii_case("pm") => (front, Some(true)),
        _ => (text, None),
    };
    let (date, clock) = text.split_once([' ', 'T'])?;
    let mut parts = date.split(['-', '/', '.']);
    let mut number = || parts.next()?.parse::<i16>().ok();
    let (first, second, third) = (number()?, number()?, number()?);
    let (year, month, day) = match afternoon {
        _ if first > 31 => (first, second, third),
        Some(_) => (third, first, second),
        None => return None,
    };
    let mut parts = clock.trim().splitn(3, ':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = parts.next()?.parse().ok()?;
    let (second, decimals) = match parts.next() {
        Some(second) => second.split_once('.').unwrap_or((second, "")),
        None => ("0", ""),
    };
    let hour = match afternoon {
        Some(afternoon) if (1..=12).contains(&hour) => hour % 12 + if afternoon { 12 } else { 0 },
        Some(_) => return None,
        None => hour,
    };
    let nanos = match decimals.get(..decimals.len().min(9)) {
        None | Some("") => 0,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<9}").parse().ok()?
        }
        Some(_) => return None,
    };
    let (month, day) = (month.try_into().ok()?, day.try_into().ok()?);
    let at = DateTime::new(year, month, day, hour, minute, second.parse().ok()?, nanos).ok()?;
    Some(at.to_zoned(zone.clone()).ok()?.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_as_tables_write_them() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let received = "2026-12-01T00:00:00Z".parse().unwrap();
        let at = |text| read(text, &tokyo, received).map(|instant| instant.to_string());
        for text in [
            "2026-11-21T01:05:00Z",
            "2026/11/21 10:05",
            "2026/11/21 10:05:00.000",
            "1795223100",
            "11/21/2026 10:05:00 AM",
            "2026-11-21 10:05:00",
            "Nov 21 10:05:00",
            "21/Nov/2026:10:05:00 +0900",
            "2026.11.21 10:05:00",
        ] {
            assert_eq!(at(text).as_deref(), Some("2026-11-21T01:05:00.000000Z"), "{text}");
        }
        for text in ["", "x", "11/21/2026 10:05", "2026/13/21 10:05", "42", "0/1/2 13:00 PM"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn names_that_say_when() {
        for name in ["ts", "Event Time", "timestamp", "発生日時", "start_date", "TimeCreated"] {
            assert!(is_time_name(name), "{name}");
        }
        for name in ["time-taken", "timezone", "last_update", "session_timeout", "user", "tstamp2"]
        {
            assert!(!is_time_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[0-9/:. TaApPmM日-]{0,30}") {
            let _ = read(&text, &TimeZone::UTC, UtcMicros::default());
        }
    }
}
