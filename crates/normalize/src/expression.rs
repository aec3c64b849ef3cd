//! Expressions in mappings: `set_expr = { "event.duration" = "{time-taken|number} * 1000000" }`.
//!
//! The language is that of `minijinja`'s expressions (Python's, more or less), in an environment that
//! is empty but for the functions below: there are no statements, so there is no loop, and nothing
//! through which an expression could read or write. The library counts its steps and stops at
//! [`EXPRESSION_STEPS_MAX`]. What is left is that a text may be multiplied (`"x" * 100000000`), so
//! whatever multiplies may have no text in it. It is used already, for reports; of the others looked
//! at, `cel` has loops over lists and no limits, `evalexpr` a licence that does not go with ours, and
//! `rhai` would do with most of it left out.
//!
//! `{field}` is the field's text, `{field|number}` its number (64-bit floating point). Where one of
//! them is missing, or something goes wrong (a division by nothing), nothing is set.

use crate::limits::{
    EXPRESSION_BYTES_MAX, EXPRESSION_GAPS_MAX, EXPRESSION_OPERATORS_MAX, EXPRESSION_STEPS_MAX,
    EXPRESSION_TEXT_BYTES_MAX,
};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, UndefinedBehavior};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

/// A compiled expression.
pub(crate) struct Expression {
    program: minijinja::Expression<'static, 'static>,
    gaps: Vec<Gap>,
}

/// A field that an expression speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The field's name.
    pub(crate) name: Box<str>,
    is_number: bool,
}

/// What every expression may use.
fn language() -> &'static Environment<'static> {
    static LANGUAGE: OnceLock<Environment<'static>> = OnceLock::new();
    LANGUAGE.get_or_init(|| {
        let mut language = Environment::empty();
        language.set_fuel(Some(EXPRESSION_STEPS_MAX));
        language.set_undefined_behavior(UndefinedBehavior::Strict);
        language.add_function("lower", |text: &str| text.to_lowercase());
        language.add_function("upper", |text: &str| text.to_uppercase());
        language.add_function("trim", |text: &str| text.trim().to_owned());
        language.add_function("length", |text: &str| text.chars().count());
        language.add_function("starts_with", |text: &str, part: &str| text.starts_with(part));
        language.add_function("ends_with", |text: &str, part: &str| text.ends_with(part));
        language.add_function("before", |text: &str, mark: &str| {
            text.split_once(mark).map_or(text, |(front, _)| front).to_owned()
        });
        language.add_function("after", |text: &str, mark: &str| {
            text.rsplit_once(mark).map_or(text, |(_, back)| back).to_owned()
        });
        language.add_function("remove", |text: &str, part: &str| text.replace(part, ""));
        language.add_function("round", f64::round);
        language.add_function("floor", f64::floor);
        language.add_function("ceiling", f64::ceil);
        language.add_function("abs", f64::abs);
        language.add_function("min", f64::min);
        language.add_function("max", f64::max);
        language
    })
}

const FUNCTIONS: [&str; 15] = [
    "lower",
    "upper",
    "trim",
    "length",
    "starts_with",
    "ends_with",
    "before",
    "after",
    "remove",
    "round",
    "floor",
    "ceiling",
    "abs",
    "min",
    "max",
];

/// Functions and operators that make or take text.
const TEXTUAL: [&str; 8] = ["lower", "upper", "trim", "before", "after", "remove", "\"", "~"];

impl Expression {
    /// Reads `text`. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!("an expression may have {EXPRESSION_BYTES_MAX} bytes"));
        }
        let (code, outside, gaps) = gaps(text)?;
        if let Some(c) =
            outside.chars().find(|c| matches!(c, '\'' | '{' | '}' | '[' | ']' | '|' | '\\' | '`'))
        {
            return Err(format!(
                "{c:?} has no place in an expression; text stands in double quotes, fields stand as \
                 {{name}} or {{name|number}}"
            ));
        }
        // Each may nest the next, so this bounds the depth as well.
        let signs = outside.matches(|c| "(-+*/%~<>=!.".contains(c)).count();
        let words = outside.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words = words.filter(|word| matches!(*word, "not" | "if" | "and" | "or" | "in" | "is"));
        if signs + words.count() > EXPRESSION_OPERATORS_MAX {
            return Err(format!("an expression may have {EXPRESSION_OPERATORS_MAX} operators"));
        }
        let is_textual = TEXTUAL.iter().any(|word| outside.contains(word))
            || gaps.iter().any(|gap| !gap.is_number);
        if outside.contains('*') && is_textual {
            return Err("what multiplies may have only numbers in it: write {name|number}".into());
        }
        let program = language().compile_expression_owned(code).map_err(|error| {
            let said = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            format!("{said}; write one expression, such as `{{bytes|number}} * 8`")
        })?;
        if let Some(name) = program.undeclared_variables(false).into_iter().find(|name| {
            let is_gap = name.strip_prefix(VARIABLE).is_some_and(|number| {
                number.parse::<usize>().is_ok_and(|number| number < gaps.len())
            });
            !is_gap && !FUNCTIONS.contains(&name.as_str())
        }) {
            return Err(format!(
                "nothing is called {name:?}; a field is written {{{name}}}, and the functions are {}",
                FUNCTIONS.join(", ")
            ));
        }
        Ok(Expression { program, gaps })
    }

    /// The fields it speaks of; [`Expression::value`] is asked for them by position.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// What it comes to, as a field's text, where `field` answers the text of each gap.
    pub(crate) fn value<'v>(
        &self,
        mut field: impl FnMut(usize) -> Option<&'v str>,
    ) -> Option<String> {
        let mut fields = BTreeMap::new();
        for (number, gap) in self.gaps.iter().enumerate() {
            let text = field(number)?;
            if text.len() > EXPRESSION_TEXT_BYTES_MAX {
                return None;
            }
            let value = match gap.is_number {
                true => Value::from(text.trim().parse::<f64>().ok()?),
                false => Value::from(text),
            };
            fields.insert(variable(number), value);
        }
        let value = self.program.eval(fields).ok()?;
        let text = match value.kind() {
            ValueKind::Number if value.is_integer() => value.to_string(),
            ValueKind::Number => {
                let number = f64::try_from(value).ok().filter(|number| number.is_finite())?;
                Shown(number).to_string()
            }
            ValueKind::Bool => value.is_true().to_string(),
            ValueKind::String => value.as_str()?.to_owned(),
            _ => return None,
        };
        (!text.is_empty() && text.len() <= EXPRESSION_TEXT_BYTES_MAX).then_some(text)
    }
}

/// A whole number without decimals, any other with six at most.
struct Shown(f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.fract() == 0.0 {
            return write!(f, "{:.0}", self.0);
        }
        let text = format!("{:.6}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

const VARIABLE: &str = "field_";

fn variable(number: usize) -> String {
    format!("{VARIABLE}{number}")
}

/// The code with a variable for each `{field}` outside of quotes; what of it stands outside of quotes
/// and fields; and the fields.
fn gaps(text: &str) -> Result<(String, String, Vec<Gap>), String> {
    let (mut code, mut outside, mut gaps) = (String::new(), String::new(), Vec::<Gap>::new());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let after = rest.get(next.len_utf8()..).unwrap_or_default();
        rest = after;
        match next {
            '"' => {
                let end = closing(after).ok_or("a `\"` without its other")?;
                code.push('"');
                code.push_str(after.get(..=end).unwrap_or_default());
                outside.push('"');
                rest = after.get(end + 1..).unwrap_or_default();
            }
            '{' => {
                let (inside, after) = after.split_once('}').ok_or("a `{` without `}`")?;
                if inside.starts_with(['{', '%', '#']) {
                    return Err("one expression, and no template: fields stand as {name}".into());
                }
                let (name, kind) = inside.split_once('|').unwrap_or((inside, ""));
                let is_number = match kind {
                    "" => false,
                    "number" => true,
                    _ => return Err(format!("{kind:?} is no kind; write {{{name}|number}}")),
                };
                let gap = Gap { name: name.trim().into(), is_number };
                let number = gaps.iter().position(|known| *known == gap).unwrap_or(gaps.len());
                if number == gaps.len() {
                    gaps.push(gap);
                }
                if gaps.len() > EXPRESSION_GAPS_MAX {
                    return Err(format!("an expression may name {EXPRESSION_GAPS_MAX} fields"));
                }
                code.push_str(&variable(number));
                rest = after;
            }
            _ => {
                code.push(next);
                outside.push(next);
            }
        }
    }
    Ok((code, outside, gaps))
}

/// Where the quoted text ends that `text` begins inside of.
fn closing(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = memchr::memchr2(b'"', b'\\', text.as_bytes().get(from..)?)? + from;
        if text.as_bytes().get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str, fields: &[&str]) -> Option<String> {
        let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        expression.value(|number| fields.get(number).copied())
    }

    #[test]
    fn numbers_and_text() {
        assert_eq!(value("{a|number} * 1000", &["0.25"]).as_deref(), Some("250"));
        assert_eq!(value("round({a|number} / {b|number})", &["7", "2"]).as_deref(), Some("4"));
        assert_eq!(value("{a|number} / 3", &["1"]).as_deref(), Some("0.333333"));
        let text = r#"lower(after({a}, "\\")) if starts_with({a}, "CORP\\") else "{other}""#;
        assert_eq!(value(text, &["CORP\\Tanaka"]).as_deref(), Some("tanaka"));
        assert_eq!(value(text, &["tanaka"]).as_deref(), Some("{other}"));
        assert_eq!(value(r#"{a} ~ "-" ~ {b}"#, &["田", "中"]).as_deref(), Some("田-中"));
        assert_eq!(value("{a|number} > 3 and true", &["4"]).as_deref(), Some("true"));
        let text = r#"remove({a}, "::ffff:")"#;
        assert_eq!(value(text, &["::ffff:192.0.2.1;::1;"]).as_deref(), Some("192.0.2.1;::1;"));
        assert_eq!(value(r#"remove({a}, "")"#, &["same"]).as_deref(), Some("same"));
        assert_eq!(value(r#"remove({a}, "a")"#, &["aa"]), None);
    }

    #[test]
    fn what_has_no_value_sets_nothing() {
        assert_eq!(value("{a|number} * 2", &["x"]), None);
        assert_eq!(value("{a|number} * 2", &[]), None);
        assert_eq!(value("{a|number} / 0", &["1"]), None);
        assert_eq!(value("trim({a})", &["  "]), None);
        assert_eq!(value("{a|number} ** 99999", &["1e300"]), None);
    }

    #[test]
    fn it_can_neither_run_nor_loop_nor_read_nor_grow() {
        for hostile in [
            "{% for x in y %}",
            "for x in 1",
            "loop",
            "while true",
            "1; 2",
            "x = 1",
            "",
            "include \"x\"",
            "range(1000000000)",
            "open(\"/etc/passwd\")",
            "lower.__class__",
            "[1] * 100000000",
            "\"x\" * 100000000",
            "{a} * 100000000",
            "(1 ~ 1) * 100000000",
            "upper(\"x\") * 99999999",
            "{a}|e",
            "dict(a=1)",
            "namespace()",
            "debug()",
            "'x'",
            "field_9",
            "a.b",
            "env",
            "self",
            "{{ 1 }}",
        ] {
            let read = Expression::parse(hostile);
            // What can be parsed finds nothing to work with.
            let ran = read.ok().and_then(|expression| expression.value(|_| Some("x")));
            assert_eq!(ran, None, "{hostile}");
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_past_it() {
        let of_length = |length: usize| format!("{:<length$}", "1");
        assert!(Expression::parse(&of_length(EXPRESSION_BYTES_MAX)).is_ok());
        assert!(Expression::parse(&of_length(EXPRESSION_BYTES_MAX + 1)).is_err());
        let names = |count: usize| {
            (0..count).map(|number| format!("{{f{number}}}")).collect::<Vec<_>>().join("~")
        };
        assert!(Expression::parse(&names(EXPRESSION_GAPS_MAX)).is_ok());
        assert!(Expression::parse(&names(EXPRESSION_GAPS_MAX + 1)).is_err());
        let sum = |operators: usize| format!("1{}", "+1".repeat(operators));
        assert!(Expression::parse(&sum(EXPRESSION_OPERATORS_MAX)).is_ok());
        assert!(Expression::parse(&sum(EXPRESSION_OPERATORS_MAX + 1)).is_err());
        for (open, close) in [("(", ")"), ("-", ""), ("not ", ""), ("lower(", ")")] {
            let nested =
                |depth: usize| format!("{}{{a}}{}", open.repeat(depth), close.repeat(depth));
            let _ = Expression::parse(&nested(EXPRESSION_OPERATORS_MAX));
            assert!(Expression::parse(&nested(EXPRESSION_OPERATORS_MAX + 1)).is_err(), "{open}");
        }
        let field = "x".repeat(EXPRESSION_TEXT_BYTES_MAX);
        assert_eq!(value("{a}", &[&field]).map(|text| text.len()), Some(EXPRESSION_TEXT_BYTES_MAX));
        assert_eq!(value("{a}", &[&format!("{field}x")]), None);
        assert_eq!(value("{a} ~ {a}", &[&field]), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"[{}a|number"\\+*/()<>=!~%. ,0-9-]{0,60}"#, field in ".{0,10}") {
            if let Ok(expression) = Expression::parse(&text) {
                let _ = expression.value(|_| Some(&field));
            }
        }
    }
}
