//! Instants as logs print them: patterns in the manner of `strftime`, read from a text and printed
//! from a column.
//!
//! Only what is printed must be exact: reading finds a pattern, and printing decides whether it is
//! the right one.

const MINUTE: i64 = 60_000_000;
const DAY_SECONDS: i64 = 86_400;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];

/// Forms that begin with a digit, by how many digits the first number has.
const NUMERIC: [(usize, &[&str]); 4] = [
    (
        4,
        &[
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M:%S",
            "%Y/%m/%d %H:%M:%S",
            "%Y/%m/%d:%H:%M:%S",
            "%Y-%m-%d-%H.%M.%S",
            "%Y.%m.%d %H:%M:%S",
        ],
    ),
    (
        2,
        &[
            "%d/%b/%Y:%H:%M:%S",
            "%y/%m/%d %H:%M:%S",
            "%m/%d/%Y %H:%M:%S",
            "%m-%d %H:%M:%S",
            "%m.%d %H:%M:%S",
        ],
    ),
    (8, &["%Y%m%d-%H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%d %H:%M:%S"]),
    (6, &["%y%m%d %H%M%S"]),
];

/// Forms that begin with a name.
const NAMED: [&str; 5] = [
    "%b %d %Y %H:%M:%S",
    "%b %e %Y %H:%M:%S",
    "%b %d %H:%M:%S",
    "%b %e %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
];

/// Seconds since the epoch of the years 2000 to 2100, for bare numbers.
const EPOCH_SECONDS: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// A date and time without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    fn of_seconds(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = date_of(days);
        Civil { year, month, day, hour: rest / 3_600, minute: rest / 60 % 60, second: rest % 60 }
    }

    fn seconds(self) -> i64 {
        days_of(self.year, self.month, self.day) * DAY_SECONDS
            + self.hour * 3_600
            + self.minute * 60
            + self.second
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible
/// low-level date algorithms").
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Appends the instant `micros` (µs since 1970, UTC), moved by `offset` minutes, in the form of
/// `pattern`. `false` where the pattern or the instant cannot be printed; `out` may then have grown.
pub(crate) fn print(pattern: &[u8], micros: i64, offset: i64, out: &mut Vec<u8>) -> bool {
    let micros = micros.saturating_add(offset.saturating_mul(MINUTE));
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let civil = Civil::of_seconds(seconds);
    if !(0..=9_999).contains(&civil.year) {
        return false;
    }
    let mut rest = pattern.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'Y') => digits(out, civil.year, 4),
            Some(b'y') => digits(out, civil.year % 100, 2),
            Some(b'm') => digits(out, civil.month, 2),
            Some(b'd') => digits(out, civil.day, 2),
            Some(b'e') if civil.day < 10 => out.extend([b' ', b'0' + civil.day as u8]),
            Some(b'e') => digits(out, civil.day, 2),
            Some(b'H') => digits(out, civil.hour, 2),
            Some(b'M') => digits(out, civil.minute, 2),
            Some(b'S') => digits(out, civil.second, 2),
            Some(b'b') => {
                out.extend(MONTHS.get(civil.month as usize - 1).into_iter().copied().flatten())
            }
            Some(b'a') => {
                let day = (seconds.div_euclid(DAY_SECONDS) + 4).rem_euclid(7);
                out.extend(DAYS.get(day as usize).into_iter().copied().flatten());
            }
            Some(b's') => out.extend(seconds.to_string().bytes()),
            Some(count @ b'1'..=b'9') => {
                let count = usize::from(count - b'0');
                // Nanoseconds, of which a column holds the first six digits.
                let start = out.len();
                digits(out, fraction * 1_000, 9);
                out.truncate(start + count);
            }
            _ => return false,
        }
    }
    true
}

/// Appends `number`, which has at most `width` digits, with leading zeros.
fn digits(out: &mut Vec<u8>, number: i64, width: usize) {
    let mut text = [b'0'; 9];
    let mut rest = number;
    for place in text[..width].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend(&text[..width]);
}

/// A time that stands at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    form: &'static str,
    /// The byte before the fraction and how many digits that has; zero digits for none.
    fraction: (u8, u8),
    zone_start: usize,
    /// Bytes of the text that belong to it.
    pub(crate) len: usize,
    civil: Civil,
    has_year: bool,
}

/// The time that `text` begins with, if any: with its fraction and zone.
pub(crate) fn stamp(text: &[u8]) -> Option<Stamp> {
    let first = *text.first()?;
    let forms: &[&'static str] = if first.is_ascii_digit() {
        let run = text.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
        NUMERIC.iter().find(|(count, _)| *count == run)?.1
    } else if first.is_ascii_uppercase() {
        &NAMED
    } else {
        return None;
    };
    forms.iter().find_map(|form| read(form, text))
}

fn read(form: &'static str, text: &[u8]) -> Option<Stamp> {
    let mut civil = Civil { year: 1970, ..Civil::default() };
    let mut at = 0;
    let mut has_year = false;
    let mut pattern = form.bytes();
    while let Some(byte) = pattern.next() {
        if byte != b'%' {
            if *text.get(at)? != byte {
                return None;
            }
            at += 1;
            continue;
        }
        match pattern.next()? {
            b'Y' => (civil.year, has_year) = (number(text, &mut at, 4)?, true),
            b'y' => (civil.year, has_year) = (2_000 + number(text, &mut at, 2)?, true),
            b'm' => civil.month = number(text, &mut at, 2)?,
            b'd' => civil.day = number(text, &mut at, 2)?,
            b'H' => civil.hour = number(text, &mut at, 2)?,
            b'M' => civil.minute = number(text, &mut at, 2)?,
            b'S' => civil.second = number(text, &mut at, 2)?,
            b'e' if text.get(at) == Some(&b' ') => {
                at += 1;
                civil.day = i64::from(text.get(at)?.checked_sub(b'0')?);
                at += 1;
            }
            b'e' => civil.day = number(text, &mut at, 2)?,
            b'b' => {
                let name = text.get(at..at + 3)?;
                civil.month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
                at += 3;
            }
            b'a' => {
                let name = text.get(at..at + 3)?;
                DAYS.iter().position(|day| *day == name)?;
                at += 3;
            }
            _ => return None,
        }
    }
    let possible = (1..=12).contains(&civil.month)
        && (1..=31).contains(&civil.day)
        && civil.hour < 24
        && civil.minute < 60
        && civil.second < 61;
    if !possible {
        return None;
    }
    let mut fraction = (0, 0);
    if let Some(mark @ (b'.' | b',' | b':')) = text.get(at) {
        let count = text[at + 1..].iter().take(10).take_while(|b| b.is_ascii_digit()).count();
        if (1..=9).contains(&count) {
            fraction = (*mark, count as u8);
            at += 1 + count;
        }
    }
    let zone_start = at;
    at += zone_len(&text[at..]);
    // A number that goes on is another number.
    if text.get(at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    Some(Stamp { form, fraction, zone_start, len: at, civil, has_year })
}

/// Reads so many digits.
fn number(text: &[u8], at: &mut usize, width: usize) -> Option<i64> {
    let digits = text.get(*at..*at + width)?;
    *at += width;
    digits.iter().try_fold(0_i64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn zone_len(text: &[u8]) -> usize {
    if text.first() == Some(&b'Z') {
        return 1;
    }
    let space = usize::from(text.first() == Some(&b' '));
    let sign = matches!(text.get(space), Some(b'+' | b'-'));
    let shape: &[u8] = match text.get(space + 3) {
        Some(b':') => b"dd:dd",
        _ => b"dddd",
    };
    let fits = |at: usize, wanted: u8| match (text.get(space + 1 + at), wanted) {
        (Some(byte), b'd') => byte.is_ascii_digit(),
        (Some(byte), wanted) => *byte == wanted,
        (None, _) => false,
    };
    let len = space + 1 + shape.len();
    let whole = sign && shape.iter().enumerate().all(|(at, wanted)| fits(at, *wanted));
    if whole && !text.get(len).is_some_and(u8::is_ascii_alphanumeric) { len } else { 0 }
}

/// The pattern and the offset in minutes by which the instant `micros` prints as `text`, if there
/// are such.
pub(crate) fn pattern_of(text: &[u8], micros: i64) -> Option<(Vec<u8>, i64)> {
    let found = epoch(text).or_else(|| named(text, micros))?;
    let mut printed = Vec::with_capacity(text.len());
    (print(&found.0, micros, found.1, &mut printed) && printed == text).then_some(found)
}

/// A bare count of seconds, milliseconds or microseconds.
fn epoch(text: &[u8]) -> Option<(Vec<u8>, i64)> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pattern: &[u8] = match text.len() {
        10 => b"%s",
        13 => b"%s%3",
        16 => b"%s%6",
        19 => b"%s%9",
        _ => return None,
    };
    let seconds: i64 = std::str::from_utf8(text.get(..10)?).ok()?.parse().ok()?;
    EPOCH_SECONDS.contains(&seconds).then(|| (pattern.to_vec(), 0))
}

fn named(text: &[u8], micros: i64) -> Option<(Vec<u8>, i64)> {
    let stamp = stamp(text).filter(|stamp| stamp.len == text.len())?;
    let seconds = micros.div_euclid(1_000_000);
    let mut civil = stamp.civil;
    let offset_of = |civil: Civil| {
        let difference = civil.seconds() - seconds;
        let minutes = difference / 60;
        (difference % 900 == 0 && minutes.abs() <= 14 * 60).then_some(minutes)
    };
    let offset = if stamp.has_year {
        offset_of(civil)
    } else {
        let year = Civil::of_seconds(seconds).year;
        [year, year - 1, year + 1].into_iter().find_map(|year| {
            civil.year = year;
            offset_of(civil)
        })
    }?;
    let mut pattern = stamp.form.as_bytes().to_vec();
    if stamp.fraction.1 > 0 {
        pattern.extend([stamp.fraction.0, b'%', b'0' + stamp.fraction.1]);
    }
    pattern.extend(text.get(stamp.zone_start..)?);
    Some((pattern, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn the_forms_of_real_logs_are_found_and_printed() {
        let instant = micros("2026-06-04T08:05:09.123456Z");
        for (text, pattern, offset) in [
            ("2026-06-04T08:05:09.123Z", "%Y-%m-%dT%H:%M:%S.%3Z", 0),
            ("2026-06-04 17:05:09,123", "%Y-%m-%d %H:%M:%S,%3", 540),
            ("2026-06-04T17:05:09.1234560+09:00", "%Y-%m-%dT%H:%M:%S.%7+09:00", 540),
            ("2026-06-04 08:05:09", "%Y-%m-%d %H:%M:%S", 0),
            ("Jun  4 17:05:09", "%b %e %H:%M:%S", 540),
            ("Jun 04 08:05:09", "%b %d %H:%M:%S", 0),
            ("04/Jun/2026:01:05:09 -0700", "%d/%b/%Y:%H:%M:%S -0700", -420),
            ("Thu Jun 04 08:05:09 2026", "%a %b %d %H:%M:%S %Y", 0),
            ("26/06/04 08:05:09", "%y/%m/%d %H:%M:%S", 0),
            ("260604 080509", "%y%m%d %H%M%S", 0),
            ("06-04 08:05:09.123", "%m-%d %H:%M:%S.%3", 0),
            ("20260604-08:05:09:123", "%Y%m%d-%H:%M:%S:%3", 0),
            ("1780560309", "%s", 0),
            ("1780560309123", "%s%3", 0),
            ("1780560309123456", "%s%6", 0),
        ] {
            let found = pattern_of(text.as_bytes(), instant);
            assert_eq!(found, Some((pattern.as_bytes().to_vec(), offset)), "{text}");
        }
        for text in [
            "2026-06-04T08:05:10.123Z",
            "2026-06-04T08:05:09.1234567Z",
            "2026-06-04 08:12:09",
            "Wed Jun 04 08:05:09 2026",
            "1780560310",
            "2026-06-04",
            "",
        ] {
            assert_eq!(pattern_of(text.as_bytes(), instant), None, "{text}");
        }
    }

    #[test]
    fn a_year_that_is_not_written_may_be_the_one_before() {
        let instant = micros("2026-01-01T00:30:00Z");
        let found = pattern_of(b"Dec 31 19:30:00", instant);
        assert_eq!(found, Some((b"%b %d %H:%M:%S".to_vec(), -300)));
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(micros in -62_135_596_800_000_000_i64..253_402_207_199_999_999) {
            let mut printed = Vec::new();
            prop_assert!(print(b"%Y-%m-%dT%H:%M:%S.%6Z %a %b %e", micros, 0, &mut printed));
            let instant = jiff::Timestamp::from_microsecond(micros).unwrap();
            let wanted = instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ %a %b %e").to_string();
            prop_assert_eq!(String::from_utf8(printed).unwrap(), wanted);
        }

        #[test]
        fn never_panics(
            text in "[0-9A-Za-z :,.T/+-]{0,40}",
            pattern in proptest::collection::vec(any::<u8>(), 0..20),
            micros in any::<i64>(),
            offset in any::<i64>(),
        ) {
            let _ = stamp(text.as_bytes());
            let _ = pattern_of(text.as_bytes(), micros);
            print(&pattern, micros, offset, &mut Vec::new());
        }
    }
}
