//! Times as people write them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use yagura_event::UtcMicros;

/// Reads an instant or a day: `2026-11-21T10:00:00Z`, `2026-11-21 10:00` (in `zone`), `2026-11-21`
/// (the whole day in `zone`), `now`, `now-15m`, `-2h`. Units: `s` `m` `h` `d` `w`.
///
/// Returns the first instant and the first one after: a day is 24 h (or what `zone` makes of it),
/// an instant is one microsecond.
pub fn parse_instant(
    text: &str,
    now: UtcMicros,
    zone: &TimeZone,
) -> Option<(UtcMicros, UtcMicros)> {
    let text = text.trim();
    let instant = |at: UtcMicros| (at, at.plus_micros(1));
    if let Some(offset) = text.strip_prefix("now") {
        return relative(offset, now).map(instant);
    }
    if text.starts_with(['-', '+']) {
        return relative(text, now).map(instant);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(instant(at.into()));
    }
    let in_zone = |at: DateTime| Some(UtcMicros::from(at.to_zoned(zone.clone()).ok()?.timestamp()));
    if text.len() <= 10 {
        let date: Date = text.replace('/', "-").parse().ok()?;
        let next = date.checked_add(Span::new().days(1)).ok()?;
        return Some((in_zone(date.at(0, 0, 0, 0))?, in_zone(next.at(0, 0, 0, 0))?));
    }
    let at: DateTime = text.replace('/', "-").parse().ok()?;
    in_zone(at).map(instant)
}

/// `-15m`, `+1d`, or nothing.
fn relative(text: &str, now: UtcMicros) -> Option<UtcMicros> {
    if text.is_empty() {
        return Some(now);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => return None,
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = rest[..digits].parse().ok()?;
    let seconds: i64 = match &rest[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let micros = number.checked_mul(seconds)?.checked_mul(1_000_000)?;
    Some(now.plus_micros(sign * micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now: UtcMicros = "2026-11-21T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let start = |text: &str| parse_instant(text, now, &zone).map(|(at, _)| at.to_string());
        for (text, expected) in [
            ("now", "2026-11-21T12:00:00.000000Z"),
            ("now-15m", "2026-11-21T11:45:00.000000Z"),
            ("-2h", "2026-11-21T10:00:00.000000Z"),
            ("2026-11-21", "2026-11-20T15:00:00.000000Z"),
            ("2026/11/21", "2026-11-20T15:00:00.000000Z"),
            ("2026-11-21 10:30", "2026-11-21T01:30:00.000000Z"),
            ("2026-11-21T10:30:00.5", "2026-11-21T01:30:00.500000Z"),
            ("2026-11-21T10:30:00Z", "2026-11-21T10:30:00.000000Z"),
        ] {
            assert_eq!(start(text).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "yesterday", "now-15", "-x", "-99999999999999999999s", "2026-13-01", "-９m"]
        {
            assert_eq!(start(bad), None, "{bad}");
        }
        let (from, to) = parse_instant("2026-11-21", now, &zone).unwrap();
        assert_eq!(to.as_micros() - from.as_micros(), 86_400_000_000);
    }
}
