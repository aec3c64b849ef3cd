//! Tests of one field's value, computed once per distinct value.

use crate::ast::{Bound, Compare, Pattern};
use crate::text::{Needle, regex, wildcard};
use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use regex::Regex;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use yagura_textindex::fold;

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueTest {
    /// The whole value, folded; an address also in its other spellings.
    Whole(Pattern),
    /// Somewhere in the value, as in an event's text.
    Contains(Pattern),
    /// An address of a network.
    Network(Network),
    /// Within bounds: as numbers, addresses or folded text, by what the bound is.
    Within(Bound, Bound),
}

impl ValueTest {
    pub(crate) fn compare(compare: Compare, value: &str) -> Self {
        let open = Bound { value: None, inclusive: true };
        let bound = |inclusive| Bound { value: Some(value.to_owned()), inclusive };
        match compare {
            Compare::Less => ValueTest::Within(open, bound(false)),
            Compare::LessOrEqual => ValueTest::Within(open, bound(true)),
            Compare::Greater => ValueTest::Within(bound(false), open),
            Compare::GreaterOrEqual => ValueTest::Within(bound(true), open),
        }
    }
}

/// The function `yagura_value(column)`: whether the value passes. False for an absent value.
#[derive(Debug)]
pub(crate) struct ValueFunction {
    test: ValueTest,
    matcher: Matcher,
    signature: Signature,
}

impl PartialEq for ValueFunction {
    fn eq(&self, other: &Self) -> bool {
        self.test == other.test
    }
}

impl Eq for ValueFunction {}

impl Hash for ValueFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{:?}", self.test).hash(state);
    }
}

impl ValueFunction {
    /// Fails for a regular expression that is wrong or too large.
    pub(crate) fn new(test: ValueTest) -> Result<Self, regex::Error> {
        let matcher = Matcher::new(&test)?;
        Ok(ValueFunction { test, matcher, signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for ValueFunction {
    fn name(&self) -> &str {
        "yagura_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(format!("yagura_value({:?}, {:?})", args.first().map(ToString::to_string), self.test))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let Some(value) = args.args.first() else {
            return datafusion::common::internal_err!("yagura_value without a column");
        };
        let answers = self.matcher.evaluate(&value.to_array(rows)?)?;
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}

#[derive(Debug)]
enum Matcher {
    Equal { folded: String, address: Option<u128> },
    Regex { regex: Regex, folded: bool },
    Contains(Box<Needle>),
    Network(Network),
    Within { low: Option<(Key, bool)>, high: Option<(Key, bool)> },
}

impl Matcher {
    fn new(test: &ValueTest) -> Result<Self, regex::Error> {
        Ok(match test {
            ValueTest::Contains(pattern) => Matcher::Contains(Box::new(Needle::new(pattern)?)),
            ValueTest::Network(network) => Matcher::Network(*network),
            ValueTest::Whole(Pattern::Literal(text)) => {
                Matcher::Equal { folded: fold(text).into_owned(), address: address(text) }
            }
            ValueTest::Whole(Pattern::Wildcard(text)) => {
                let expression = format!("(?s)^{}$", wildcard(text, ".*", "."));
                Matcher::Regex { regex: regex(&expression, false)?, folded: true }
            }
            ValueTest::Whole(Pattern::Regex(expression)) => {
                Matcher::Regex { regex: regex(expression, true)?, folded: false }
            }
            ValueTest::Within(low, high) => {
                let key = |bound: &Bound| {
                    bound.value.as_deref().map(|value| (Key::of(value), bound.inclusive))
                };
                Matcher::Within { low: key(low), high: key(high) }
            }
        })
    }

    fn evaluate(&self, array: &ArrayRef) -> Result<BooleanArray> {
        if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() {
            let values = cast(dictionary.values(), &DataType::Utf8)?;
            let passed = self.evaluate_texts(values.as_string());
            let keys = dictionary.keys().iter();
            let pass =
                |key: i32| usize::try_from(key).ok().and_then(|key| passed.get(key).copied());
            return Ok(keys.map(|key| Some(key.and_then(pass).unwrap_or(false))).collect());
        }
        if let Some(texts) = array.as_string_view_opt() {
            let passed = texts.iter().map(|text| text.is_some_and(|text| self.passes(text)));
            return Ok(passed.map(Some).collect());
        }
        let texts = cast(array, &DataType::Utf8)?;
        Ok(self.evaluate_texts(texts.as_string()).into_iter().map(Some).collect())
    }

    fn evaluate_texts(&self, texts: &StringArray) -> Vec<bool> {
        texts.iter().map(|text| text.is_some_and(|text| self.passes(text))).collect()
    }

    fn passes(&self, text: &str) -> bool {
        match self {
            Matcher::Equal { folded, address: None } => *fold(text) == **folded,
            Matcher::Equal { folded, address: wanted } => {
                *fold(text) == **folded || address(text) == *wanted
            }
            Matcher::Regex { regex, folded: true } => regex.is_match(&fold(text)),
            Matcher::Regex { regex, folded: false } => regex.is_match(text),
            Matcher::Contains(needle) => needle.is_in(text),
            Matcher::Network(network) => text.parse().is_ok_and(|ip| network.contains(ip)),
            Matcher::Within { low, high } => {
                let above = low.as_ref().is_none_or(|(low, inclusive)| {
                    let order = low.order_of(text);
                    order == Some(Ordering::Greater)
                        || (*inclusive && order == Some(Ordering::Equal))
                });
                let below = high.as_ref().is_none_or(|(high, inclusive)| {
                    let order = high.order_of(text);
                    order == Some(Ordering::Less) || (*inclusive && order == Some(Ordering::Equal))
                });
                above && below
            }
        }
    }
}

/// A bound as what it is.
#[derive(Debug)]
enum Key {
    Number(f64),
    Address(u128),
    Text(String),
}

impl Key {
    fn of(text: &str) -> Key {
        if let Ok(number) = fold(text).parse::<f64>() {
            return Key::Number(number);
        }
        match address(text) {
            Some(address) => Key::Address(address),
            None => Key::Text(fold(text).into_owned()),
        }
    }

    /// How `text` compares to this bound; `None` if it is of another kind.
    fn order_of(&self, text: &str) -> Option<Ordering> {
        match self {
            Key::Number(number) => text.trim().parse::<f64>().ok()?.partial_cmp(number),
            Key::Address(bound) => Some(address(text)?.cmp(bound)),
            Key::Text(bound) => Some((*fold(text)).cmp(bound.as_str())),
        }
    }
}

/// An IP network, RFC 4632 and RFC 4291 notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`. Host bits are ignored.
    pub(crate) fn parse(text: &str) -> Option<Network> {
        let folded = fold(text);
        let (address, length) = folded.split_once('/')?;
        let ip: IpAddr = address.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        // IPv4 lives in ::ffff:0:0/96.
        let length = match ip {
            IpAddr::V4(_) if length <= 32 => length + 96,
            IpAddr::V6(_) if length <= 128 => length,
            _ => return None,
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Some(Network { address: number(ip) & mask, mask })
    }

    /// Its address and its mask, as numbers of 128 bits.
    pub(crate) fn parts(&self) -> (u128, u128) {
        (self.address, self.mask)
    }

    fn contains(&self, ip: IpAddr) -> bool {
        number(ip) & self.mask == self.address
    }
}

/// The address as a number, IPv4 mapped into IPv6.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address as a number, if it is one.
pub(crate) fn address(text: &str) -> Option<u128> {
    text.parse().ok().map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(test: ValueTest, text: &str) -> bool {
        Matcher::new(&test).unwrap().passes(text)
    }

    fn whole(text: &str) -> ValueTest {
        ValueTest::Whole(Pattern::Literal(text.to_owned()))
    }

    #[test]
    fn whole_values_are_compared_folded() {
        assert!(passes(whole("ADMINISTRATOR"), "Administrator"));
        assert!(passes(whole("ｻｰﾊﾞ"), "サーバー"));
        assert!(!passes(whole("admin"), "Administrator"));
        assert!(passes(whole("::ffff:10.0.0.1"), "10.0.0.1"));
        assert!(passes(whole("2001:DB8::1"), "2001:db8:0:0:0:0:0:1"));
        let wild = |text: &str| ValueTest::Whole(Pattern::Wildcard(text.to_owned()));
        assert!(passes(wild("*\\CMD.EXE"), "C:\\Windows\\System32\\cmd.exe"));
        assert!(!passes(wild("cmd.exe*"), "C:\\cmd.exe"));
        assert!(passes(wild("a?c"), "aあc"));
        assert!(passes(wild("a*c"), "a\nc"));
    }

    #[test]
    fn networks_and_bounds() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::5", "2001:db9::1"),
        ] {
            let network = ValueTest::Network(Network::parse(network).unwrap());
            assert!(passes(network.clone(), inside) && !passes(network.clone(), outside));
            assert!(!passes(network, "-"));
        }
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.1", "10.0.0.0/-1"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
        let at_least = |value| ValueTest::compare(Compare::GreaterOrEqual, value);
        assert!(
            passes(at_least("9"), "10")
                && !passes(at_least("9"), "8")
                && !passes(at_least("9"), "x")
        );
        assert!(passes(at_least("10.0.0.9"), "10.0.0.10"));
        assert!(passes(at_least("b"), "BC") && !passes(at_least("b"), "a"));
    }
}
