//! One predicate about one value, and how to test it directly.

use crate::literal::required_literals;
use crate::stretch::Stretch;
use crate::text::shorten;
use crate::{limits, text};
use jiff::tz::TimeZone;
use memchr::memmem::Finder;
use regex::Regex;
use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

/// Where a text must stand in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Equals,
    Starts,
    Ends,
    Contains,
}

/// A piece of a pattern with wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Literal(Box<str>),
    /// `?`: exactly one character.
    One,
    /// `*`: any characters or none.
    Many,
}

/// Comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A part of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// A number of a rule: an integer, or the bits of a finite `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    Integer(i64),
    Float(u64),
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cidr {
    /// The address, host bits cleared.
    network: u128,
    /// Which bits count.
    mask: u128,
    v6: bool,
}

/// What a rule asks of a value that is there. Text is folded unless `cased`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Predicate {
    /// Any value at all.
    Exists,
    Text {
        place: Place,
        text: Box<str>,
        cased: bool,
    },
    Like {
        tokens: Box<[Token]>,
        cased: bool,
    },
    /// The expression with its flags written in front.
    Regex(Box<str>),
    Number {
        part: Option<TimePart>,
        compare: Compare,
        number: Number,
    },
    Cidr(Cidr),
}

/// A regular expression, and how values are tested against it.
#[derive(Debug)]
enum Pattern {
    Regex(Regex),
    Stretch(Stretch),
}

impl Pattern {
    fn is_match(&self, value: &str) -> bool {
        match self {
            Pattern::Regex(regex) => regex.is_match(value),
            Pattern::Stretch(stretch) => stretch.is_in(value),
        }
    }
}

/// A predicate with what it needs to be tested.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) predicate: Predicate,
    expression: Option<Pattern>,
    /// What it takes of the limits of regular expressions.
    pub(crate) regex_cost: usize,
    /// Of a text that may be anywhere: how to look for it. Of an expression: folded texts of which one
    /// is wherever it matches, where there are few.
    needed: Box<[Finder<'static>]>,
    /// Bytes of the shortest value in which an expression matches.
    bytes_min: usize,
    /// Zone that a part of a time is taken in.
    zone: TimeZone,
    /// How rare it is that it holds, once somebody asked.
    rarity: OnceLock<Option<f32>>,
}

impl Test {
    #[cfg(test)]
    pub(crate) fn new(predicate: Predicate) -> Result<Test, String> {
        Test::in_zone(predicate, TimeZone::UTC)
    }

    /// Prepares `predicate`; parts of times are taken in `zone`. The error says what a regular
    /// expression uses that we do not have.
    pub(crate) fn in_zone(predicate: Predicate, zone: TimeZone) -> Result<Test, String> {
        let (expression, regex_cost) = match &predicate {
            Predicate::Regex(source) => match Stretch::of(source) {
                Some(stretch) => (Some(Pattern::Stretch(stretch)), 1),
                None => {
                    let (regex, cost) = compile_regex(source)?;
                    (Some(Pattern::Regex(regex)), cost)
                }
            },
            _ => (None, 0),
        };
        let needed = needed(&predicate);
        let bytes_min = match &predicate {
            Predicate::Regex(source) => bytes_min(source),
            _ => 0,
        };
        let rarity = OnceLock::new();
        Ok(Test { predicate, expression, regex_cost, needed, bytes_min, zone, rarity })
    }

    /// What `of` says of how rare it is that this holds; asked once, for every dataset wants to know.
    pub(crate) fn rarity(&self, of: impl FnOnce(&Predicate) -> Option<f32>) -> Option<f32> {
        *self.rarity.get_or_init(|| of(&self.predicate))
    }

    /// About what it costs to test a value, where comparing a short text costs 2.
    pub(crate) fn cost(&self) -> f32 {
        match &self.predicate {
            Predicate::Exists => 1.0,
            Predicate::Text { place: Place::Contains, .. } => 10.0,
            Predicate::Text { .. } => 2.0,
            Predicate::Like { .. } => 20.0,
            Predicate::Regex(_) => 60.0,
            Predicate::Number { part: None, .. } => 4.0,
            Predicate::Number { .. } => 100.0,
            Predicate::Cidr(_) => 8.0,
        }
    }

    /// About how many bytes of `value` are gone through to test it.
    pub(crate) fn reads(&self, value: &str) -> u64 {
        match &self.predicate {
            Predicate::Exists => 0,
            Predicate::Text { place: Place::Contains, .. } => value.len() as u64,
            Predicate::Text { text, .. } => value.len().min(text.len()) as u64,
            Predicate::Like { .. } | Predicate::Regex(_) => value.len() as u64,
            // Nothing that long is a number or an address: the first byte that is odd ends it.
            Predicate::Number { .. } | Predicate::Cidr(_) => value.len().min(64) as u64,
        }
    }

    /// Whether it holds for `value`, whose folded form is `folded`.
    pub(crate) fn holds(&self, value: &str, folded: &str) -> bool {
        let seen = |cased: bool| if cased { value } else { folded };
        match &self.predicate {
            Predicate::Exists => true,
            Predicate::Text { place: Place::Contains, cased, .. } => {
                self.needed.iter().all(|text| text.find(seen(*cased).as_bytes()).is_some())
            }
            Predicate::Text { place, text, cased } => place.holds(text, seen(*cased)),
            Predicate::Like { tokens, cased } => like(tokens, seen(*cased)),
            Predicate::Regex(_) => {
                let is_needed = |text: &Finder| text.find(folded.as_bytes()).is_some();
                value.len() >= self.bytes_min
                    && (self.needed.is_empty() || self.needed.iter().any(is_needed))
                    && self.expression.as_ref().is_some_and(|expression| expression.is_match(value))
            }
            Predicate::Number { part: None, compare, number } => {
                Number::parse(value).is_some_and(|found| compare.holds(found, *number))
            }
            Predicate::Number { part: Some(part), compare, number } => part
                .of(value, &self.zone)
                .is_some_and(|found| compare.holds(Number::Integer(found.into()), *number)),
            Predicate::Cidr(block) => block.contains(value),
        }
    }
}

/// Texts to look for before an expression is tried: more would cost as much as the expression.
const NEEDED_MAX: usize = 4;

fn bytes_min(source: &str) -> usize {
    let parsed = regex_syntax::Parser::new().parse(source);
    parsed.ok().and_then(|hir| hir.properties().minimum_len()).unwrap_or_default()
}

fn needed(predicate: &Predicate) -> Box<[Finder<'static>]> {
    let finder = |text: &str| Finder::new(text.as_bytes()).into_owned();
    match predicate {
        Predicate::Text { place: Place::Contains, text, .. } => [finder(text)].into(),
        Predicate::Regex(source) => {
            let texts = required_literals(source).filter(|texts| texts.len() <= NEEDED_MAX);
            texts.iter().flatten().map(|text| finder(text)).collect()
        }
        _ => Box::default(),
    }
}

/// The expression, and what it takes of the limits: a large one as much as many.
fn compile_regex(source: &str) -> Result<(Regex, usize), String> {
    let build = |bytes: usize| {
        let mut builder = regex::RegexBuilder::new(source);
        builder.size_limit(bytes).nest_limit(limits::REGEX_DEPTH_MAX).build()
    };
    let built = match build(limits::REGEX_BYTES_USUAL) {
        Err(regex::Error::CompiledTooBig(_)) => {
            build(limits::REGEX_BYTES_MAX).map(|regex| (regex, limits::REGEX_LARGE_COST))
        }
        built => built.map(|regex| (regex, 1)),
    };
    built.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        format!("regular expression {:?}: {reason}", shorten(source, 120))
    })
}

impl Place {
    /// Whether `text` stands so in `value`; both folded, or neither.
    pub(crate) fn holds(self, text: &str, value: &str) -> bool {
        match self {
            Place::Equals => value == text,
            Place::Starts => value.starts_with(text),
            Place::Ends => value.ends_with(text),
            Place::Contains => value.contains(text),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Place::Equals => "equals",
            Place::Starts => "startswith",
            Place::Ends => "endswith",
            Place::Contains => "contains",
        }
    }
}

/// Whether all of `text` fits the pattern. Time grows with the product of both lengths at most.
pub(crate) fn like(tokens: &[Token], text: &str) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        match tokens.get(token) {
            Some(Token::Many) => {
                token += 1;
                retry = Some((token, at));
                continue;
            }
            Some(Token::One) => {
                if let Some(c) = rest.chars().next() {
                    token += 1;
                    at += c.len_utf8();
                    continue;
                }
            }
            Some(Token::Literal(literal)) if rest.starts_with(&**literal) => {
                token += 1;
                at += literal.len();
                continue;
            }
            None if rest.is_empty() => return true,
            Some(Token::Literal(_)) | None => {}
        }
        // Only the last `*` need take more: what came before it fits already.
        let Some((after, from)) = retry else { return false };
        let Some(c) = text[from..].chars().next() else { return false };
        let from = from + c.len_utf8();
        // As far as to the next place where the text after it stands.
        let skip = match tokens.get(after) {
            Some(Token::Literal(literal)) => text[from..].find(&**literal),
            _ => Some(0),
        };
        let Some(skip) = skip else { return false };
        retry = Some((after, from + skip));
        (token, at) = (after, from + skip);
    }
}

impl Number {
    /// The number that `text` is, if it is one: digits with sign, point and exponent.
    pub(crate) fn parse(text: &str) -> Option<Number> {
        let text = text.trim();
        if let Ok(integer) = text.parse() {
            return Some(Number::Integer(integer));
        }
        let allowed = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        if !text.bytes().all(allowed) {
            return None;
        }
        text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| Number::Float(n.to_bits()))
    }

    fn as_float(self) -> f64 {
        match self {
            Number::Integer(integer) => integer as f64,
            Number::Float(bits) => f64::from_bits(bits),
        }
    }
}

impl Compare {
    fn holds(self, left: Number, right: Number) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (left, right) {
            (Number::Integer(left), Number::Integer(right)) => Some(left.cmp(&right)),
            _ => left.as_float().partial_cmp(&right.as_float()),
        };
        match self {
            Compare::Equal => order == Some(Equal),
            Compare::Less => order == Some(Less),
            Compare::LessOrEqual => matches!(order, Some(Less | Equal)),
            Compare::Greater => order == Some(Greater),
            Compare::GreaterOrEqual => matches!(order, Some(Greater | Equal)),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Compare::Equal => "equals",
            Compare::Less => "lt",
            Compare::LessOrEqual => "lte",
            Compare::Greater => "gt",
            Compare::GreaterOrEqual => "gte",
        }
    }
}

impl TimePart {
    /// This part, in `zone`, of the instant that `text` is; text without a zone is UTC.
    fn of(self, text: &str, zone: &TimeZone) -> Option<i32> {
        let text = text.trim();
        let time = match text.parse::<jiff::Timestamp>() {
            Ok(instant) => zone.to_datetime(instant),
            Err(_) => {
                let time = text.parse::<jiff::civil::DateTime>().ok()?;
                zone.to_datetime(jiff::tz::Offset::UTC.to_timestamp(time).ok()?)
            }
        };
        Some(match self {
            TimePart::Minute => time.minute().into(),
            TimePart::Hour => time.hour().into(),
            TimePart::Day => time.day().into(),
            TimePart::Week => time.date().iso_week_date().week().into(),
            TimePart::Month => time.month().into(),
            TimePart::Year => time.year().into(),
        })
    }

    fn word(self) -> &'static str {
        match self {
            TimePart::Minute => "minute",
            TimePart::Hour => "hour",
            TimePart::Day => "day",
            TimePart::Week => "week",
            TimePart::Month => "month",
            TimePart::Year => "year",
        }
    }
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fe80::/10` or a bare address.
    pub(crate) fn parse(text: &str) -> Option<Cidr> {
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, width, v6) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, false),
            IpAddr::V6(v6) => (u128::from(v6), 128, true),
        };
        let length: u32 = match length {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => width,
        };
        if length > width {
            return None;
        }
        let all = u128::MAX >> (128 - width);
        let mask = if length == 0 { 0 } else { all & (all << (width - length)) };
        Some(Cidr { network: bits & mask, mask, v6 })
    }

    fn contains(&self, text: &str) -> bool {
        let text = text.trim();
        let text = text.split_once('%').map_or(text, |(address, _)| address);
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let bits = match (address, self.v6) {
            (IpAddr::V4(v4), false) => u128::from(u32::from(v4)),
            (IpAddr::V6(v6), true) => u128::from(v6),
            (IpAddr::V6(v6), false) => match v6.to_ipv4_mapped() {
                Some(v4) => u128::from(u32::from(v4)),
                None => return false,
            },
            (IpAddr::V4(_), true) => return false,
        };
        bits & self.mask == self.network
    }
}

/// In Sigma's own words: `endswith \cmd.exe`.
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |cased: bool| if cased { "|cased" } else { "" };
        match self {
            Predicate::Exists => f.write_str("exists"),
            Predicate::Text { place, text, cased } => {
                write!(f, "{}{} {text}", place.word(), suffix(*cased))
            }
            Predicate::Like { tokens, cased } => {
                write!(f, "like{} ", suffix(*cased))?;
                tokens.iter().try_for_each(|token| match token {
                    Token::Literal(text) => f.write_str(text),
                    Token::One => f.write_str("?"),
                    Token::Many => f.write_str("*"),
                })
            }
            Predicate::Regex(source) => write!(f, "re {source}"),
            Predicate::Number { part, compare, number } => {
                if let Some(part) = part {
                    write!(f, "{} ", part.word())?;
                }
                match number {
                    Number::Integer(integer) => write!(f, "{} {integer}", compare.word()),
                    Number::Float(bits) => {
                        write!(f, "{} {}", compare.word(), f64::from_bits(*bits))
                    }
                }
            }
            Predicate::Cidr(block) => {
                let length = block.mask.count_ones();
                match block.v6 {
                    true => write!(f, "cidr {}/{length}", std::net::Ipv6Addr::from(block.network)),
                    false => {
                        // Proof: an IPv4 network was widened from 32 bits.
                        let bits = u32::try_from(block.network).unwrap_or_default();
                        write!(f, "cidr {}/{length}", std::net::Ipv4Addr::from(bits))
                    }
                }
            }
        }
    }
}

/// The predicate that `tokens` amount to, folded unless `cased`.
pub(crate) fn from_tokens(tokens: Vec<Token>, cased: bool) -> Predicate {
    let mut merged: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (merged.last_mut(), token) {
            (_, Token::Literal(text)) if text.is_empty() => {}
            (Some(Token::Many), Token::Many) => {}
            (Some(Token::Literal(last)), Token::Literal(text)) => {
                *last = (last.to_string() + &text).into()
            }
            (_, token) => merged.push(token),
        }
    }
    if !cased {
        for token in &mut merged {
            if let Token::Literal(literal) = token {
                *literal = text::fold(literal).into();
            }
        }
    }
    let (place, text) = match merged.as_slice() {
        [] => (Place::Equals, ""),
        [Token::Many] => return Predicate::Exists,
        [Token::Literal(text)] => (Place::Equals, &**text),
        [Token::Literal(text), Token::Many] => (Place::Starts, &**text),
        [Token::Many, Token::Literal(text)] => (Place::Ends, &**text),
        [Token::Many, Token::Literal(text), Token::Many] => (Place::Contains, &**text),
        _ => return Predicate::Like { tokens: merged.into(), cased },
    };
    Predicate::Text { place, text: text.into(), cased }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(predicate: Predicate, value: &str) -> bool {
        Test::new(predicate).unwrap().holds(value, &text::fold(value))
    }

    #[test]
    fn wildcards_take_whole_characters_and_try_again() {
        let tokens = |pattern: &str| -> Vec<Token> {
            let token = |c: char| match c {
                '*' => Token::Many,
                '?' => Token::One,
                c => Token::Literal(c.to_string().into()),
            };
            pattern.chars().map(token).collect()
        };
        for (pattern, text, expected) in [
            ("a*b*c", "a-b-b-c", true),
            ("a*b?c", "abxbyc", true),
            ("*ab*ab", "ab-ab-ab", true),
            ("?", "東", true),
            ("??", "東", false),
            ("a*", "", false),
            ("*?*", "", false),
            ("*aab", "aaaab", true),
            ("a?*c", "ac", false),
        ] {
            assert_eq!(
                holds(from_tokens(tokens(pattern), false), text),
                expected,
                "{pattern} {text}"
            );
        }
        assert_eq!(from_tokens(tokens("**"), false), Predicate::Exists);
    }

    #[test]
    fn numbers_are_numbers_only_when_written_so() {
        let at_least = |number, value: &str| {
            holds(Predicate::Number { part: None, compare: Compare::GreaterOrEqual, number }, value)
        };
        assert!(at_least(Number::Integer(-3), " -3 "));
        assert!(at_least(Number::Integer(3), "3.5"));
        assert!(!at_least(Number::Integer(i64::MAX), "9223372036854775806"));
        assert!(at_least(Number::Float(2.5f64.to_bits()), "1e3"));
        for text in ["", "abc", "0x10", "inf", "NaN", "1 2"] {
            assert!(!at_least(Number::Integer(i64::MIN), text), "{text}");
        }
    }

    #[test]
    fn address_blocks() {
        let inside =
            |block: &str, text: &str| holds(Predicate::Cidr(Cidr::parse(block).unwrap()), text);
        assert!(inside("10.0.0.0/8", "10.255.0.1") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.2.3") && !inside("10.0.0.0/8", "host"));
        assert!(inside("0.0.0.0/0", "255.255.255.255") && !inside("::/0", "1.2.3.4"));
        assert!(inside("fe80::/10", "fe80::1%eth0") && !inside("fe80::/10", "fec0::1"));
        assert!(inside("::1", "::1") && inside("192.0.2.7/32", "192.0.2.7"));
        for bad in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/+8", "10.*", ""] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
        let shown = |text| Predicate::Cidr(Cidr::parse(text).unwrap()).to_string();
        assert_eq!(shown("10.1.2.3/8"), "cidr 10.0.0.0/8");
        assert_eq!(shown("fe80::1/10"), "cidr fe80::/10");
    }

    #[test]
    fn parts_of_instants_are_taken_in_utc() {
        for (part, text, expected) in [
            (TimePart::Hour, "2026-11-21T19:30:00.321000Z", Some(19)),
            (TimePart::Hour, "2026-11-22T04:30:00+09:00", Some(19)),
            (TimePart::Minute, "2025-11-27 07:40:10.132", Some(40)),
            (TimePart::Week, "2026-12-31", Some(53)),
            (TimePart::Week, "2027-01-01", Some(53)),
            (TimePart::Year, "2027-01-01", Some(2027)),
            (TimePart::Month, "yesterday", None),
            (TimePart::Day, "1764229210", None),
        ] {
            assert_eq!(part.of(text, &TimeZone::UTC), expected, "{part:?} {text}");
        }
    }

    #[test]
    fn unsupported_expressions_are_refused_with_the_reason() {
        let error = Test::new(Predicate::Regex("a(?=b)".into())).unwrap_err();
        assert!(error.contains("look-around"), "{error}");
        let depth = limits::REGEX_DEPTH_MAX as usize;
        let nested = |depth: usize| "(".repeat(depth) + "a" + &")".repeat(depth);
        assert!(Test::new(Predicate::Regex(nested(depth).into())).is_ok());
        assert!(Test::new(Predicate::Regex(nested(depth + 1).into())).is_err());
        assert!(Test::new(Predicate::Regex("(\\w{50}){50}".into())).is_err());
    }
}
