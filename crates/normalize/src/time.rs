//! What a source says about when it happened.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use yagura_event::UtcMicros;

/// Sources with a clock before this are not believed: 2000-01-01T00:00:00Z.
const PLAUSIBLE_FROM: i64 = 946_684_800_000_000;
/// How far ahead of ours a source's clock may be before it is not believed.
const AHEAD_MICROS_MAX: i64 = DAY_MICROS;
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a time a source claims is so far off that its clock must be wrong.
pub(crate) fn is_suspect(claimed: UtcMicros, received: UtcMicros) -> bool {
    claimed.as_micros() < PLAUSIBLE_FROM
        || claimed.as_micros() > received.as_micros().saturating_add(AHEAD_MICROS_MAX)
}

/// `2025-11-27T07:40:10.165324Z`, also with a blank instead of `T`, a comma for the decimal point,
/// `UTC` or a numeric offset (`+09:00`, `+0900`) behind. Without a zone, `zone` is taken.
/// The second answer tells whether the text named its zone.
pub(crate) fn iso(text: &str, zone: &TimeZone) -> Option<(UtcMicros, bool)> {
    let bytes = text.trim().as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let [y0, y1, y2, y3, b'-' | b'/', m0, m1, b'-' | b'/', d0, d1] = *date else { return None };
    let civil_day = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
    let [b'T' | b't' | b' ', rest @ ..] = rest else { return None };
    let (clock, rest) = rest.split_at_checked(8)?;
    let [h0, h1, b':', n0, n1, b':', s0, s1] = *clock else { return None };
    // A leap second is shown as the last second of its minute.
    let second = digits(&[s0, s1])?.min(59);
    let (micros, rest) = fraction(rest)?;
    let instant = Civil {
        year: civil_day.0,
        month: civil_day.1,
        day: civil_day.2,
        hour: digits(&[h0, h1])?,
        minute: digits(&[n0, n1])?,
        second,
        micros,
    };
    match rest.trim_ascii() {
        b"" => Some((instant.in_zone(zone)?, false)),
        b"Z" | b"z" | b"UTC" | b"GMT" => Some((instant.at_offset(0)?, true)),
        offset => Some((instant.at_offset(offset_seconds(offset)?)?, true)),
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size.
pub(crate) fn epoch(text: &str) -> Option<UtcMicros> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let value: i64 = whole.parse().ok()?;
    let micros = match whole.trim_start_matches('-').len() {
        9..=10 => {
            value.checked_mul(1_000_000)?.checked_add(fraction_micros(decimals.as_bytes())?)?
        }
        12..=13 => value.checked_mul(1_000)?,
        15..=16 => value,
        18..=19 => value / 1_000,
        _ => return None,
    };
    Some(UtcMicros::from_micros(micros))
}

/// `Jun 14 15:16:01` (RFC 3164): the year is the one that puts it nearest to the receipt without
/// passing it by more than a day. Also takes a year behind the day (`Jun 14 2024 15:16:01`) or behind
/// the time (`Jun 14 15:16:01 2024`, as Cisco devices and `ctime` write it).
/// Answers the instant and the rest of the text.
pub(crate) fn bsd<'a>(
    text: &'a str,
    received: UtcMicros,
    zone: &TimeZone,
) -> Option<(UtcMicros, &'a str)> {
    let bytes = text.as_bytes();
    let month = month(bytes.get(..3)?)?;
    let rest = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let day_end = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let day = digits(rest.as_bytes().get(..day_end)?)?;
    let mut rest = rest.get(day_end..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let mut said_year = None;
    if rest.len() > 5
        && let (Some(year), Some(b' ')) =
            (digits(rest.as_bytes().get(..4)?), rest.as_bytes().get(4))
    {
        said_year = Some(year);
        rest = rest.get(5..)?;
    }
    let [h0, h1, b':', n0, n1, b':', s0, s1] = *rest.as_bytes().get(..8)? else { return None };
    let (micros, _) = fraction(rest.as_bytes().get(8..)?)?;
    let skipped = if micros > 0 || rest.as_bytes().get(8) == Some(&b'.') {
        1 + rest.as_bytes().get(9..)?.iter().take_while(|b| b.is_ascii_digit()).count()
    } else {
        0
    };
    let mut rest = rest.get(8 + skipped..)?;
    if said_year.is_none()
        && let Some((year, after)) = year_behind(rest)
    {
        said_year = Some(year);
        rest = after;
    }
    let at = |year: i64| {
        Civil {
            year,
            month,
            day,
            hour: digits(&[h0, h1])?,
            minute: digits(&[n0, n1])?,
            second: digits(&[s0, s1])?.min(59),
            micros,
        }
        .in_zone(zone)
    };
    if let Some(year) = said_year {
        return Some((at(year)?, rest));
    }
    let this_year = i64::from(received.to_timestamp().to_zoned(zone.clone()).year());
    let latest = received.as_micros().saturating_add(DAY_MICROS);
    // 29 February may be up to eight years back (1896-1904 is the longest gap).
    let candidates = (this_year - 8..=this_year + 1).rev();
    let instant = candidates.filter_map(at).find(|instant| instant.as_micros() <= latest)?;
    Some((instant, rest))
}

/// ` 2024 ` or ` 2024: `: the year, and what follows from the blank or colon on. Only years that a
/// log may be of: a host may be called `8080`.
fn year_behind(rest: &str) -> Option<(i64, &str)> {
    let year = digits(rest.strip_prefix(' ')?.as_bytes().get(..4)?)?;
    let after = rest.get(5..)?;
    ((1970..2100).contains(&year) && after.starts_with([' ', ':'])).then_some((year, after))
}

/// `04/Dec/2005:04:47:44 +0900` (Common Log Format).
pub(crate) fn clf(text: &str) -> Option<UtcMicros> {
    let bytes = text.as_bytes();
    let [
        d0,
        d1,
        b'/',
        m0,
        m1,
        m2,
        b'/',
        y0,
        y1,
        y2,
        y3,
        b':',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b' ',
        offset @ ..,
    ] = bytes
    else {
        return None;
    };
    Civil {
        year: digits(&[*y0, *y1, *y2, *y3])?,
        month: month(&[*m0, *m1, *m2])?,
        day: digits(&[*d0, *d1])?,
        hour: digits(&[*h0, *h1])?,
        minute: digits(&[*n0, *n1])?,
        second: digits(&[*s0, *s1])?.min(59),
        micros: 0,
    }
    .at_offset(offset_seconds(offset)?)
}

/// `Sun Dec 04 04:47:44 2005`, with or without decimals (Apache error log, `ctime`).
pub(crate) fn ctime(text: &str, zone: &TimeZone) -> Option<UtcMicros> {
    let (_weekday, rest) = text.split_once(' ')?;
    let (front, year) = rest.trim_end().rsplit_once(' ')?;
    let (month_word, rest) = front.trim_start().split_once(' ')?;
    let (day, clock) = rest.trim_start().split_once(' ')?;
    let [h0, h1, b':', n0, n1, b':', s0, s1, rest @ ..] = clock.as_bytes() else { return None };
    Civil {
        year: digits(year.as_bytes())?,
        month: month(month_word.as_bytes())?,
        day: digits(day.as_bytes())?,
        hour: digits(&[*h0, *h1])?,
        minute: digits(&[*n0, *n1])?,
        second: digits(&[*s0, *s1])?.min(59),
        micros: fraction(rest)?.0,
    }
    .in_zone(zone)
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
}

impl Civil {
    fn at_offset(&self, offset_seconds: i64) -> Option<UtcMicros> {
        let in_range = (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute);
        if !in_range {
            return None;
        }
        let days = days_from_1970(self.year, self.month, self.day);
        let seconds = days * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second;
        Some(UtcMicros::from_micros((seconds - offset_seconds) * 1_000_000 + self.micros))
    }

    fn in_zone(&self, zone: &TimeZone) -> Option<UtcMicros> {
        if *zone == TimeZone::UTC {
            return self.at_offset(0);
        }
        let civil = DateTime::new(
            self.year.try_into().ok()?,
            self.month.try_into().ok()?,
            self.day.try_into().ok()?,
            self.hour.try_into().ok()?,
            self.minute.try_into().ok()?,
            self.second.try_into().ok()?,
            i32::try_from(self.micros * 1_000).ok()?,
        );
        Some(civil.ok()?.to_zoned(zone.clone()).ok()?.timestamp().into())
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// `.123456` or `,123`: microseconds and what follows. Further digits are dropped.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', rest @ ..] = bytes else { return Some((0, bytes)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (decimals, rest) = rest.split_at_checked(count)?;
    Some((fraction_micros(decimals)?, rest))
}

fn fraction_micros(decimals: &[u8]) -> Option<i64> {
    let used = &decimals[..decimals.len().min(6)];
    if used.is_empty() {
        return Some(0);
    }
    let missing = 6 - u32::try_from(used.len()).ok()?;
    Some(digits(used)? * 10i64.pow(missing))
}

fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest {
        [h0, h1] => (digits(&[*h0, *h1])?, 0),
        [h0, h1, b':', m0, m1] | [h0, h1, m0, m1] => (digits(&[*h0, *h1])?, digits(&[*m0, *m1])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn month(word: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    (1..).zip(MONTHS).find(|(_, month)| word.eq_ignore_ascii_case(month)).map(|(number, _)| number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that
/// the leap day comes last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> UtcMicros {
        text.parse().unwrap()
    }

    #[test]
    fn iso_in_its_many_spellings() {
        let utc = TimeZone::UTC;
        let expected = at("2025-11-27T07:40:10.165324Z");
        for text in [
            "2025-11-27T07:40:10.165324Z",
            "2025-11-27 07:40:10.165324 UTC",
            "2025-11-27T16:40:10.165324+09:00",
            "2025-11-27T16:40:10,165324999+0900",
            "2025-11-27 07:40:10.165324",
        ] {
            let (instant, zoned) = iso(text, &utc).unwrap();
            assert_eq!((instant, zoned), (expected, !text.ends_with('4')), "{text}");
        }
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(iso("2025-11-27 16:40:10.165324", &tokyo).unwrap().0, expected);
        for bad in ["", "2025-13-01T00:00:00Z", "2025-02-29T00:00:00Z", "2025-11-27T24:00:00Z", "x"]
        {
            assert_eq!(iso(bad, &utc), None, "{bad}");
        }
    }

    #[test]
    fn the_year_of_a_bsd_time_comes_from_the_receipt() {
        let utc = TimeZone::UTC;
        let year = |text, received| bsd(text, at(received), &utc).unwrap().0.utc_day();
        assert_eq!(year("Jun 14 15:16:01", "2026-06-14T15:16:02Z"), "2026-06-14");
        assert_eq!(year("Dec 31 23:59:59", "2026-01-01T00:00:03Z"), "2025-12-31");
        assert_eq!(year("Jan  1 00:00:01", "2025-12-31T23:59:59Z"), "2026-01-01");
        assert_eq!(year("Feb 29 12:00:00", "2026-06-01T00:00:00Z"), "2024-02-29");
        assert_eq!(year("Jun 14 2019 15:16:01", "2026-06-14T15:16:02Z"), "2019-06-14");
        assert_eq!(year("Jan  1 00:00:00 1970 host x", "2026-06-14T15:16:02Z"), "1970-01-01");
        let rest = |text| bsd(text, at("2026-07-01T00:00:00Z"), &utc).unwrap().1;
        assert_eq!(rest("Jun 14 15:16:01 2019 host x"), " host x");
        assert_eq!(rest("Jun 14 15:16:01 2019: %ASA-6"), ": %ASA-6");
        assert_eq!(rest("Jun 14 15:16:01 8080 x"), " 8080 x");
        let (_, rest) =
            bsd("Jun  4 15:16:01.250 combo x", at("2026-07-01T00:00:00Z"), &utc).unwrap();
        assert_eq!(rest, " combo x");
    }

    #[test]
    fn other_spellings() {
        assert_eq!(clf("04/Dec/2005:04:47:44 +0900"), Some(at("2005-12-03T19:47:44Z")));
        let error_log = ctime("Sun Dec 04 04:47:44 2005", &TimeZone::UTC);
        assert_eq!(error_log, Some(at("2005-12-04T04:47:44Z")));
        assert_eq!(epoch("1604994496.155"), Some(at("2020-11-10T07:48:16.155Z")));
        assert_eq!(epoch("1604994496155"), Some(at("2020-11-10T07:48:16.155Z")));
        assert_eq!(epoch("7"), None);
    }

    #[test]
    fn clocks_of_1970_and_2099_are_suspect() {
        let now = at("2026-11-21T00:00:00Z");
        assert!(is_suspect(at("1970-01-01T00:00:01Z"), now));
        assert!(is_suspect(at("2099-01-01T00:00:01Z"), now));
        assert!(!is_suspect(at("2005-12-04T00:00:00Z"), now));
        assert!(!is_suspect(at("2026-11-21T23:59:59Z"), now));
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar_library(seconds in -2_000_000_000i64..8_000_000_000) {
            let instant = UtcMicros::from_micros(seconds * 1_000_000);
            prop_assert_eq!(iso(&instant.to_string(), &TimeZone::UTC).unwrap().0, instant);
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = (iso(&text, &TimeZone::UTC), clf(&text), ctime(&text, &TimeZone::UTC), epoch(&text));
            let _ = bsd(&text, UtcMicros::default(), &TimeZone::UTC);
        }
    }
}
