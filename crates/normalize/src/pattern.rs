//! Message patterns: literal text with named gaps, read from `content/mappings`.
//!
//! `Failed {auth.method} for invalid user {user.name} from {source.ip} port {source.port} {}`
//! matches text that begins with the first literal and holds the others in order; each gap takes
//! the shortest text up to the next literal, the last one takes the rest. `{}` is read over.
//! There is no alternation and no repetition, so matching costs one pass over the text.
//!
//! A kind after a bar says what a gap may hold, else the pattern does not match: `{source.ip|ip}`,
//! `{source.port|number}`, `{host.name|word}` (no blanks), `{log.level|level}` (a word that stands
//! for a severity). Such gaps skip blanks before them, as columns are often filled up. The gap
//! `{@timestamp|iso}` is when it happened; its kinds are `iso`, `epoch`, `clf`, `ctime`, `bsd`, and
//! `time:` followed by a format of the strptime family (as the `jiff` crate reads it; `%L` at the end
//! is milliseconds). It may hold the text that ends it a few times. `{message|rest}` is everything
//! from there to the end, which the text and the gaps behind it read again.

use crate::byte_set;
use crate::time;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use memchr::memmem::Finder;
use std::borrow::Cow;
use yagura_event::{UtcMicros, columns};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// Text before the first gap.
    prefix: Box<str>,
    gaps: Vec<Gap>,
}

#[derive(Debug, Clone)]
struct Gap {
    /// Field name; empty to read over.
    name: Box<str>,
    kind: Kind,
    /// Text that ends the gap; empty at the end of the pattern.
    until: Box<str>,
    /// Finds it.
    end: Finder<'static>,
}

/// What a gap may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Any,
    /// An IPv4 or IPv6 address.
    Ip,
    /// Decimal digits.
    Number,
    /// Anything without white space, not empty.
    Word,
    /// A word that stands for a severity.
    Level,
    /// All that follows; nothing is consumed.
    Rest,
    Time(TimeKind),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TimeKind {
    Iso,
    Epoch,
    Clf,
    Ctime,
    Bsd,
    Format(Box<str>),
}

/// Where and when the text was received: what times without year or zone are read by.
#[derive(Clone, Copy)]
pub(crate) struct Receipt<'a> {
    pub(crate) received: UtcMicros,
    pub(crate) zone: &'a TimeZone,
}

impl Kind {
    fn parse(text: &str) -> Option<Kind> {
        Some(match text {
            "ip" => Kind::Ip,
            "number" => Kind::Number,
            "word" => Kind::Word,
            "level" => Kind::Level,
            "rest" => Kind::Rest,
            "iso" => Kind::Time(TimeKind::Iso),
            "epoch" => Kind::Time(TimeKind::Epoch),
            "clf" => Kind::Time(TimeKind::Clf),
            "ctime" => Kind::Time(TimeKind::Ctime),
            "bsd" => Kind::Time(TimeKind::Bsd),
            _ => Kind::Time(TimeKind::Format(text.strip_prefix("time:")?.into())),
        })
    }

    fn admits(&self, value: &str) -> bool {
        match self {
            Kind::Any | Kind::Rest | Kind::Time(_) => true,
            Kind::Level => LEVELS.iter().any(|level| level.eq_ignore_ascii_case(value)),
            Kind::Ip => value.parse::<std::net::IpAddr>().is_ok(),
            Kind::Number => !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()),
            Kind::Word => !value.is_empty() && !value.contains(char::is_whitespace),
        }
    }
}

/// What programs call severities; Android has single letters.
const LEVELS: [&str; 27] = [
    "trace",
    "debug",
    "info",
    "information",
    "notice",
    "warn",
    "warning",
    "error",
    "err",
    "severe",
    "critical",
    "crit",
    "fatal",
    "alert",
    "emerg",
    "emergency",
    "panic",
    "failure",
    "fine",
    "finer",
    "finest",
    "V",
    "D",
    "I",
    "W",
    "E",
    "F",
];

/// Values of one match that are kept on the way; of a pattern with more of them they are read again.
const VALUES_KEPT: usize = 16;

/// How often the text that ends a time may be in the time itself (blanks, mostly).
const TIME_ENDS_MAX: usize = 6;

impl TimeKind {
    fn read(&self, text: &str, receipt: Receipt<'_>) -> Option<UtcMicros> {
        match self {
            TimeKind::Iso => time::iso(text, receipt.zone).map(|(instant, _)| instant),
            TimeKind::Epoch => time::epoch(text),
            TimeKind::Clf => time::clf(text),
            TimeKind::Ctime => time::ctime(text, receipt.zone),
            TimeKind::Bsd => {
                let (instant, rest) = time::bsd(text, receipt.received, receipt.zone)?;
                rest.trim().is_empty().then_some(instant)
            }
            TimeKind::Format(format) => formatted(format, text, receipt),
        }
    }
}

/// `text` read by a strptime format. A format without a year takes the one that puts the time
/// nearest to the receipt without passing it by more than a day.
fn formatted(format: &str, text: &str, receipt: Receipt<'_>) -> Option<UtcMicros> {
    if let Some(format) = format.strip_suffix("%L") {
        let digits = text.len() - text.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (front, millis) = text.split_at_checked(digits)?;
        let millis: i64 = millis.parse().ok().filter(|millis| *millis < 1_000)?;
        let instant = formatted(format, front, receipt)?;
        return Some(UtcMicros::from_micros(instant.as_micros().saturating_add(millis * 1_000)));
    }
    let mut broken = BrokenDownTime::parse(format, text).ok()?;
    if broken.year().is_some() {
        return instant(&broken, receipt.zone);
    }
    let this_year = receipt.received.to_timestamp().to_zoned(receipt.zone.clone()).year();
    let latest = receipt.received.as_micros().saturating_add(time::DAY_MICROS);
    // As for RFC 3164 times: 29 February may be up to eight years back.
    (this_year.saturating_sub(8)..=this_year.saturating_add(1)).rev().find_map(|year| {
        broken.set_year(Some(year)).ok()?;
        instant(&broken, receipt.zone).filter(|instant| instant.as_micros() <= latest)
    })
}

fn instant(broken: &BrokenDownTime, zone: &TimeZone) -> Option<UtcMicros> {
    if let Ok(timestamp) = broken.to_timestamp() {
        return Some(timestamp.into());
    }
    Some(broken.to_datetime().ok()?.to_zoned(zone.clone()).ok()?.timestamp().into())
}

/// What matching answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matched {
    /// When it happened, where the pattern has a gap for that.
    pub(crate) time: Option<UtcMicros>,
}

impl Pattern {
    /// Reads `text`. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let mut parts = text.split('{');
        let prefix = parts.next().unwrap_or_default();
        let mut gaps = Vec::new();
        for part in parts {
            let (gap, until) = part.split_once('}').ok_or("a `{` without `}`")?;
            let (name, kind) = match gap.split_once('|') {
                None => (gap, Kind::Any),
                Some((name, kind)) => {
                    let unknown = || {
                        format!(
                            "no kind of gap is called {kind:?}; there are ip, number, word, level, rest, iso, epoch, clf, ctime, bsd and time:FORMAT"
                        )
                    };
                    (name, Kind::parse(kind).ok_or_else(unknown)?)
                }
            };
            let timed = matches!(kind, Kind::Time(_));
            if timed != (name == columns::TIMESTAMP) {
                return Err("the gap for the time is called @timestamp, has one of the kinds of time, and is the only one that does".into());
            }
            let end = Finder::new(until).into_owned();
            gaps.push(Gap { name: name.into(), kind, until: until.into(), end });
        }
        let touching = gaps
            .iter()
            .rev()
            .skip(1)
            .any(|gap: &Gap| gap.until.is_empty() && gap.kind != Kind::Rest);
        if touching {
            return Err("two gaps need text between them".into());
        }
        if gaps.iter().filter(|gap: &&Gap| matches!(gap.kind, Kind::Time(_))).count() > 1 {
            return Err("a pattern has at most one gap for the time".into());
        }
        let literal = !prefix.is_empty() || gaps.iter().any(|gap: &Gap| !gap.until.is_empty());
        if !literal {
            return Err("a pattern needs some literal text".into());
        }
        Ok(Pattern { prefix: prefix.into(), gaps })
    }

    /// Names of the fields the pattern fills, apart from the time.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.gaps.iter().filter(|gap| !matches!(gap.kind, Kind::Time(_)));
        names.map(|gap| &*gap.name).filter(|name| !name.is_empty())
    }

    /// The bytes that every text that matches has, the rarest first.
    pub(crate) fn needs(&self) -> Box<[u8]> {
        let ends = self.gaps.iter().map(|gap| &*gap.until);
        byte_set::rarest_first(std::iter::once(&*self.prefix).chain(ends))
    }

    /// Calls `found` with every field and its text if `message` matches.
    pub(crate) fn matches<'m>(
        &self,
        message: &'m str,
        receipt: Receipt<'_>,
        mut found: impl FnMut(&str, &'m str),
    ) -> Option<Matched> {
        // Only a message that matches to its end may leave fields behind.
        let mut values = [("", ""); VALUES_KEPT];
        let mut count = 0;
        let matched = self.walk(message, receipt, &mut |name, value| {
            if let Some(place) = values.get_mut(count) {
                *place = (name, value);
            }
            count += 1;
        })?;
        match values.get(..count) {
            Some(values) => values.iter().for_each(|(name, value)| found(name, value)),
            None => drop(self.walk(message, receipt, &mut found)),
        }
        Some(matched)
    }

    fn walk<'p, 'm>(
        &'p self,
        message: &'m str,
        receipt: Receipt<'_>,
        found: &mut impl FnMut(&'p str, &'m str),
    ) -> Option<Matched> {
        let mut rest = message.strip_prefix(&*self.prefix)?;
        let mut matched = Matched { time: None };
        for gap in &self.gaps {
            if !matches!(gap.kind, Kind::Any | Kind::Rest) {
                rest = rest.trim_start_matches(' ');
            }
            if let Kind::Time(kind) = &gap.kind {
                let (time, after) = timed(kind, rest, &gap.until, receipt)?;
                matched.time = Some(time);
                rest = after;
                continue;
            }
            if gap.kind == Kind::Rest {
                found(&gap.name, rest.trim());
                rest = rest.strip_prefix(&*gap.until)?;
                continue;
            }
            let end =
                if gap.until.is_empty() { rest.len() } else { gap.end.find(rest.as_bytes())? };
            let value = rest.get(..end)?.trim();
            if !gap.kind.admits(value) {
                return None;
            }
            if !gap.name.is_empty() {
                found(&gap.name, value);
            }
            rest = rest.get(end + gap.until.len()..)?;
        }
        Some(matched)
    }
}

/// The time at the start of `text`, and what follows the text that ends it.
fn timed<'m>(
    kind: &TimeKind,
    text: &'m str,
    until: &str,
    receipt: Receipt<'_>,
) -> Option<(UtcMicros, &'m str)> {
    if until.is_empty() {
        return Some((kind.read(text.trim(), receipt)?, ""));
    }
    let ends = memchr::memmem::find_iter(text.as_bytes(), until.as_bytes()).take(TIME_ENDS_MAX);
    ends.into_iter().find_map(|end| {
        let time = kind.read(text.get(..end)?.trim(), receipt)?;
        Some((time, text.get(end + until.len()..)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt() -> Receipt<'static> {
        static UTC: TimeZone = TimeZone::UTC;
        Receipt { received: "2026-11-21T09:00:00Z".parse().unwrap(), zone: &UTC }
    }

    fn fields(pattern: &str, message: &str) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        let found = |name: &str, value: &str| fields.push(format!("{name}={value}"));
        let matched = Pattern::parse(pattern).unwrap().matches(message, receipt(), found)?;
        fields.extend(matched.time.map(|time| format!("@timestamp={time}")));
        Some(fields)
    }

    #[test]
    fn gaps_take_the_shortest_text() {
        let pattern = "Failed {} for {user.name} from {source.ip} port {source.port} {}";
        let message = "Failed password for root from 10.0.0.1 port 22 ssh2";
        assert_eq!(
            fields(pattern, message).unwrap(),
            ["user.name=root", "source.ip=10.0.0.1", "source.port=22"]
        );
        assert_eq!(fields(pattern, "Failed password for root"), None);
        assert_eq!(fields("COMMAND={c}", "COMMAND=/bin/ls -l"), Some(vec!["c=/bin/ls -l".into()]));
    }

    #[test]
    fn kinds_restrict_what_a_gap_may_hold() {
        let pattern = "{host.name|word} {source.ip|ip}:{source.port|number} ok";
        assert!(fields(pattern, "fw 192.0.2.1:80 ok").is_some());
        assert!(fields(pattern, "fw 2001:db8::1:80 ok").is_none());
        for wrong in ["f w 192.0.2.1:80 ok", " 192.0.2.1:80 ok", "fw x:80 ok", "fw 192.0.2.1:x ok"]
        {
            assert_eq!(fields(pattern, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_in_many_spellings() {
        let at = |kind: &str, text: &str| {
            fields(&format!("[{{@timestamp|{kind}}}] {{m}}"), &format!("[{text}] x"))
                .and_then(|fields| fields.last().cloned())
        };
        let expected = Some("@timestamp=2026-11-20T01:02:03.000000Z".to_owned());
        for (kind, text) in [
            ("iso", "2026-11-20 01:02:03"),
            ("epoch", "1763600523"),
            ("clf", "20/Nov/2026:10:02:03 +0900"),
            ("ctime", "Fri Nov 20 01:02:03 2026"),
            ("bsd", "Nov 20 01:02:03"),
            ("time:%d-%b-%Y %H:%M:%S", "20-Nov-2026 01:02:03"),
            ("time:%d-%b-%Y %H:%M:%S %z", "20-Nov-2026 10:02:03 +0900"),
            ("time:%m.%d %H:%M:%S", "11.20 01:02:03"),
            ("time:%Y%m%d-%H:%M:%S:%L", "20261120-1:2:3:0"),
        ] {
            let read = at(kind, text);
            let expected = match kind {
                "epoch" => Some("@timestamp=2025-11-20T01:02:03.000000Z".to_owned()),
                _ => expected.clone(),
            };
            assert_eq!(read, expected, "{kind} {text}");
            assert_eq!(at(kind, "soon"), None);
        }
        assert_eq!(
            at("time:%m.%d %H:%M:%S", "12.31 23:59:59").as_deref(),
            Some("@timestamp=2025-12-31T23:59:59.000000Z")
        );
        assert_eq!(
            at("time:%m.%d %H:%M:%S", "02.29 00:00:00").as_deref(),
            Some("@timestamp=2024-02-29T00:00:00.000000Z")
        );
    }

    #[test]
    fn columns_filled_up_and_times_with_blanks() {
        assert_eq!(
            fields(
                "{@timestamp|iso} {a|number} {b|level} [{c}] {d}",
                "2026-11-20 01:02:03,5    7 WARN  [x y] z"
            ),
            Some(
                ["a=7", "b=WARN", "c=x y", "d=z", "@timestamp=2026-11-20T01:02:03.500000Z"]
                    .map(String::from)
                    .to_vec()
            )
        );
        assert_eq!(fields("{a|level}: {b}", "Hello: x"), None);
        assert_eq!(
            fields("{a|word} - {m|rest}to {b}:{c|number} {}", "x - to host:80 open"),
            Some(["a=x", "m=to host:80 open", "b=host", "c=80"].map(String::from).to_vec())
        );
        let millis = fields("{@timestamp|time:%Y%m%d-%H:%M:%S:%L}|{}", "20171224-0:28:0:83|x");
        assert_eq!(millis.unwrap(), ["@timestamp=2017-12-24T00:28:00.083000Z"]);
    }

    #[test]
    fn all_values_are_found_however_many_there_are() {
        for count in [VALUES_KEPT, VALUES_KEPT + 1] {
            let gaps: Vec<_> = (0..count).map(|at| format!("{{f{at}}}")).collect();
            let words: Vec<_> = (0..count).map(|at| format!("v{at}")).collect();
            let expected: Vec<_> = (0..count).map(|at| format!("f{at}=v{at}")).collect();
            let found =
                fields(&format!("begin {}", gaps.join(" ")), &format!("begin {}", words.join(" ")));
            assert_eq!(found.unwrap(), expected);
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in [
            "",
            "{a}",
            "x {a",
            "x {a}{b}",
            "x {a|shout}",
            "x {@timestamp}",
            "x {a|iso}",
            "{@timestamp|iso} {@timestamp|bsd} x",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(
            pattern in r"[a-c ]?(\{[ab]?(\|(ip|word|number|time:%[a-zA-Z%]))?\}[ :]?){0,4}",
            text in "[a-c0-9: .日]{0,30}",
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&text, receipt(), |_, _| ());
            }
        }
    }
}
