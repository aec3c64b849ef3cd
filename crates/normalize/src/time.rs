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
        b"Z" | b"z" => Some((instant.at_offset(0)?, true)),
        word if word.first().is_some_and(u8::is_ascii_uppercase) => {
            Some((instant.in_named_zone(std::str::from_utf8(word).ok()?, zone)?, true))
        }
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
/// the time (`Jun 14 15:16:01 2024`, as Cisco devices and `ctime` write it),
/// Behind the time may stand the abbreviation of a zone (`Jun 14 15:16:01 JST: %SYS-5`), which is then
/// that of the time. Answers the instant and the rest of the text.
pub(crate) fn bsd<'a>(
    text: &'a str,
    received: UtcMicros,
    zone: &TimeZone,
) -> Option<(UtcMicros, &'a str)> {
    let year_first = text.split_at_checked(5).and_then(|(front, dated)| {
        // `Jul  1` has a blank there as well.
        Some((digits(front.strip_suffix(' ')?.as_bytes())?, dated))
    });
    let (mut said_year, text) = match year_first {
        Some((year, dated)) => (Some(year), dated),
        None => (None, text),
    };
    let bytes = text.as_bytes();
    let month = month(bytes.get(..3)?)?;
    let rest = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
    let day_end = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let day = digits(rest.as_bytes().get(..day_end)?)?;
    let mut rest = rest.get(day_end..)?.strip_prefix(' ')?.trim_start_matches(' ');
    if said_year.is_none()
        && rest.len() > 5
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
    let mut named_zone = None;
    if let Some((word, after)) = zone_behind(rest) {
        (named_zone, rest) = (Some(word), after);
    }
    if said_year.is_none()
        && let Some((year, after)) = year_behind(rest)
    {
        said_year = Some(year);
        rest = after;
    }
    let at = |year: i64| {
        let civil = Civil {
            year,
            month,
            day,
            hour: digits(&[h0, h1])?,
            minute: digits(&[n0, n1])?,
            second: digits(&[s0, s1])?.min(59),
            micros,
        };
        match named_zone {
            Some(word) => civil.in_named_zone(word, zone),
            None => civil.in_zone(zone),
        }
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

/// ` JST: `, ` JST 2026` or ` JST host tag: `: the zone, and what follows it. In front of a tag stands a
/// host, whatever its name.
fn zone_behind(rest: &str) -> Option<(&str, &str)> {
    let word = rest.strip_prefix(' ')?;
    let length = word.bytes().take_while(u8::is_ascii_uppercase).count();
    if !(3..=4).contains(&length) {
        return None;
    }
    let (word, after) = word.split_at_checked(length)?;
    abbreviated_offset(word)?;
    let follows = match after.strip_prefix(' ') {
        None => after.starts_with(':'),
        Some(next) => {
            let next = next.trim_start().split(' ').next().unwrap_or_default();
            !next.ends_with(':') && !next.contains('[') || year_behind(after).is_some()
        }
    };
    follows.then_some((word, after))
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

/// `Sun Dec 04 04:47:44 2005`, with or without decimals (Apache error log, `ctime`), also with a zone
/// before the year (`Sat Nov 21 10:00:00 JST 2026`, as `date` writes it).
pub(crate) fn ctime(text: &str, zone: &TimeZone) -> Option<UtcMicros> {
    let (_weekday, rest) = text.split_once(' ')?;
    let (front, year) = rest.trim_end().rsplit_once(' ')?;
    let (month_word, rest) = front.trim_start().split_once(' ')?;
    let (day, clock) = rest.trim_start().split_once(' ')?;
    let [h0, h1, b':', n0, n1, b':', s0, s1, rest @ ..] = clock.as_bytes() else { return None };
    let (micros, after) = fraction(rest)?;
    let civil = Civil {
        year: digits(year.as_bytes())?,
        month: month(month_word.as_bytes())?,
        day: digits(day.as_bytes())?,
        hour: digits(&[*h0, *h1])?,
        minute: digits(&[*n0, *n1])?,
        second: digits(&[*s0, *s1])?.min(59),
        micros,
    };
    match std::str::from_utf8(after.trim_ascii()).ok()? {
        "" => civil.in_zone(zone),
        word => civil.in_named_zone(word, zone),
    }
}

/// Offsets of zone abbreviations, in seconds. Those of RFC 5322 (section 4.3) mean what it says, so
/// `CST` is that of North America; the others are the ones that name one zone only. `IST` is that of
/// India, Israel and Ireland: it counts only where it is the source's own.
const ABBREVIATIONS: [(&str, i64); 27] = [
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("JST", 9 * 3_600),
    ("KST", 9 * 3_600),
    ("HKT", 8 * 3_600),
    ("SGT", 8 * 3_600),
    ("PHT", 8 * 3_600),
    ("AEST", 10 * 3_600),
    ("AEDT", 11 * 3_600),
    ("ACST", 9 * 3_600 + 1_800),
    ("NZST", 12 * 3_600),
    ("NZDT", 13 * 3_600),
    ("MSK", 3 * 3_600),
    ("CET", 3_600),
    ("WEST", 3_600),
    ("CEST", 2 * 3_600),
    ("EET", 2 * 3_600),
    ("EEST", 3 * 3_600),
    ("EST", -5 * 3_600),
    ("EDT", -4 * 3_600),
    ("CST", -6 * 3_600),
    ("CDT", -5 * 3_600),
    ("MST", -7 * 3_600),
    ("MDT", -6 * 3_600),
    ("PST", -8 * 3_600),
    ("PDT", -7 * 3_600),
];

fn abbreviated_offset(word: &str) -> Option<i64> {
    ABBREVIATIONS.iter().find(|(known, _)| *known == word).map(|(_, offset)| *offset)
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

    /// In the zone that `word` abbreviates: the source's own where that is what it is called at the
    /// time, otherwise the one of [`ABBREVIATIONS`].
    fn in_named_zone(&self, word: &str, zone: &TimeZone) -> Option<UtcMicros> {
        if let Some(instant) = self.in_zone(zone)
            && zone.to_offset_info(instant.to_timestamp()).abbreviation() == word
        {
            return Some(instant);
        }
        self.at_offset(abbreviated_offset(word)?)
    }

    /// By the clocks of `zone`. A time that they skip in spring is read as if they had not been put
    /// forward yet (02:30 is then shown as 03:30); of a time that they show twice in autumn the
    /// first is taken, since nothing in the text says which one it is.
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

    #[test]
    fn abbreviations_of_zones() {
        let utc = TimeZone::UTC;
        let nine = at("2026-11-21T09:00:00Z");
        let iso_at = |text, zone: &TimeZone| iso(text, zone).map(|(instant, _)| instant);
        assert_eq!(iso_at("2026-11-21 18:00:00 JST", &utc), Some(nine));
        assert_eq!(iso_at("2026-11-21 04:00:00.000 EST", &utc), Some(nine));
        assert_eq!(iso_at("2026-11-21 09:00:00 XYZ", &utc), None);
        // What the source's own zone is called at the time comes first.
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(iso_at("2026-11-21 17:00:00 CST", &shanghai), Some(nine));
        assert_eq!(iso_at("2026-11-21 03:00:00 CST", &utc), Some(nine));
        let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
        assert_eq!(iso_at("2026-11-21 14:30:00 IST", &kolkata), Some(nine));
        assert_eq!(iso_at("2026-11-21 14:30:00 IST", &utc), None);
        assert_eq!(ctime("Sat Nov 21 18:00:00 JST 2026", &utc), Some(nine));
        let read = |text| bsd(text, at("2026-11-21T09:00:01Z"), &utc);
        assert_eq!(read("Nov 21 18:00:00 JST: %SYS-5"), Some((nine, ": %SYS-5")));
        assert_eq!(read("Nov 21 18:00:00 JST 2026: x"), Some((nine, ": x")));
        assert_eq!(read("Nov 21 18:00:00.000 JST fw01 app: x"), Some((nine, " fw01 app: x")));
        // A host may be called so.
        assert_eq!(read("Nov 21 09:00:00 EST sshd[1]: x"), Some((nine, " EST sshd[1]: x")));
        assert_eq!(read("Nov 21 09:00:00 DB01 sshd[1]: x"), Some((nine, " DB01 sshd[1]: x")));
    }

    #[test]
    fn clocks_that_are_put_forward_and_back() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        let iso_at = |text| iso(text, &new_york).unwrap().0;
        // 2026-03-08: 02:00 becomes 03:00.
        assert_eq!(iso_at("2026-03-08 01:59:59"), at("2026-03-08T06:59:59Z"));
        assert_eq!(iso_at("2026-03-08 02:30:00"), at("2026-03-08T07:30:00Z"));
        assert_eq!(iso_at("2026-03-08 03:00:00"), at("2026-03-08T07:00:00Z"));
        // 2026-11-01: 02:00 becomes 01:00; a zone in the text says which of the two it is.
        assert_eq!(iso_at("2026-11-01 01:30:00"), at("2026-11-01T05:30:00Z"));
        assert_eq!(iso_at("2026-11-01 01:30:00 EDT"), at("2026-11-01T05:30:00Z"));
        assert_eq!(iso_at("2026-11-01 01:30:00 EST"), at("2026-11-01T06:30:00Z"));
        assert_eq!(iso_at("2026-11-01 02:00:00"), at("2026-11-01T07:00:00Z"));
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar_library(seconds in -2_000_000_000i64..8_000_000_000) {
            let instant = UtcMicros::from_micros(seconds * 1_000_000);
            prop_assert_eq!(iso(&instant.to_string(), &TimeZone::UTC).unwrap().0, instant);
        }

        /// Whatever is sent within a year of its receipt is read back, over New Year, 29 February
        /// and every change of the clocks, but for the hour that clocks show twice.
        #[test]
        fn a_time_without_year_is_read_back(
            received in 946_684_800i64..4_000_000_000,
            age in 0i64..363 * 86_400,
            zone in proptest::sample::select(vec![
                "UTC", "Asia/Tokyo", "America/New_York", "Europe/London", "Australia/Lord_Howe",
                "America/Sao_Paulo", "Pacific/Apia",
            ]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let said = UtcMicros::from_micros((received - age) * 1_000_000);
            let received = UtcMicros::from_micros(received * 1_000_000);
            let civil = said.to_timestamp().to_zoned(zone.clone());
            let text = civil.strftime("%b %e %H:%M:%S host app: x").to_string();
            let (read, rest) = bsd(&text, received, &zone).unwrap();
            prop_assert_eq!(rest, " host app: x");
            let shown = read.to_timestamp().to_zoned(zone.clone());
            prop_assert_eq!(shown.datetime(), civil.datetime());
            let twice = zone.to_ambiguous_zoned(civil.datetime()).is_ambiguous();
            if twice {
                prop_assert!(read <= said);
            } else {
                prop_assert_eq!(read, said);
            }
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = (iso(&text, &TimeZone::UTC), clf(&text), ctime(&text, &TimeZone::UTC), epoch(&text));
            let _ = bsd(&text, UtcMicros::default(), &TimeZone::UTC);
        }
    }
}
