//! The times a command is asked about, and the zone in which people write and read them. Programs get UTC.

use crate::Misuse;
use crate::told::misuse;
use clap::Args;
use jiff::Timestamp;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use jiff::tz::TimeZone;
use yagura_event::Lang;

#[derive(Args, Clone)]
pub struct ZoneArgument {
    /// Zone of times written without one and of times people read, such as Asia/Tokyo or +09:00
    /// [default: this machine's]. json, jsonl and csv are always UTC
    #[arg(long, value_name = "ZONE", env = "YAGURA_TIME_ZONE")]
    time_zone: Option<String>,
}

/// Which time is asked about, and in which zone times are written and read.
#[derive(Args, Clone)]
pub struct TimeArguments {
    #[command(flatten)]
    pub zone: ZoneArgument,
    /// From this instant on (ISO 8601, or now-2h)
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this instant (ISO 8601, or now-2h)
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// The last so many minutes, hours or days, such as 15m, 24h, 7d
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["from", "to"])]
    pub last: Option<String>,
}

impl ZoneArgument {
    /// Takes this zone where none was given.
    pub fn unless_given(&mut self, name: Option<String>) {
        if self.time_zone.is_none() {
            self.time_zone = name;
        }
    }

    pub fn zone(&self, lang: Lang) -> Result<TimeZone, Misuse> {
        match &self.time_zone {
            None => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
            Some(name) => named("--time-zone", name, lang),
        }
    }
}

/// The zone that `option` names.
pub fn named(option: &str, name: &str, lang: Lang) -> Result<TimeZone, Misuse> {
    DateTimeParser::new().parse_time_zone(name).map_err(|error| {
        misuse(
            lang,
            format!(
                "{option} {name:?}: {error}; write a name such as Asia/Tokyo or an offset such as \
                 +09:00"
            ),
            format!(
                "{option} {name:?}: そのようなタイムゾーンはありません。Asia/Tokyo のような名前か、+09:00 のような\
                 時差で指定してください"
            ),
        )
    })
}

/// The zone's name as a server reads it.
pub fn name_of(zone: &TimeZone) -> Option<String> {
    DateTimePrinter::new().time_zone_to_string(zone).ok()
}

/// An instant (UTC, ISO 8601) as people read it: milliseconds, and the zone's offset. What is no
/// instant stays as it is.
pub fn shown_in(zone: &TimeZone, utc: &str) -> String {
    let Ok(instant) = utc.parse::<Timestamp>() else { return utc.to_owned() };
    let local = instant.to_zoned(zone.clone());
    let format = match local.offset().seconds() {
        0 => "%Y-%m-%dT%H:%M:%S%.3fZ",
        _ => "%Y-%m-%dT%H:%M:%S%.3f%:z",
    };
    local.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Result<TimeZone, Misuse> {
        ZoneArgument { time_zone: Some(name.to_owned()) }.zone(Lang::En)
    }

    #[test]
    fn times_are_shown_in_the_zone_with_its_offset() {
        let utc = "2026-11-21T23:30:00.250999Z";
        for (name, shown) in [
            ("Asia/Tokyo", "2026-11-22T08:30:00.250+09:00"),
            ("+09:00", "2026-11-22T08:30:00.250+09:00"),
            ("America/St_Johns", "2026-11-21T20:00:00.250-03:30"),
            ("UTC", "2026-11-21T23:30:00.250Z"),
            ("Europe/London", "2026-11-21T23:30:00.250Z"),
        ] {
            let zone = zone(name).unwrap();
            assert_eq!(shown_in(&zone, utc), shown, "{name}");
            let again = name_of(&zone).unwrap();
            assert_eq!(shown_in(&self::zone(&again).unwrap(), utc), shown, "{again}");
        }
        assert_eq!(shown_in(&TimeZone::UTC, "unknown"), "unknown");
    }

    #[test]
    fn a_zone_that_does_not_exist_is_misuse() {
        assert!(zone("Mars/Olympus").unwrap_err().0.contains("Asia/Tokyo"));
        let ja = named("--zone", "Mars/Olympus", Lang::Ja).unwrap_err().0;
        assert_eq!(
            ja,
            "--zone \"Mars/Olympus\": そのようなタイムゾーンはありません。Asia/Tokyo のような名前か、\
             +09:00 のような時差で指定してください"
        );
    }
}
