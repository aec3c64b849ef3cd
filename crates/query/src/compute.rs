//! What `eval` computes: numbers, texts, times and conditions from the fields of a row.
//!
//! ```text
//! computation := all ( or all )*          all     := one ( and one )*
//! one         := not one | sum ( ( = | != | < | <= | > | >= ) sum )?
//! sum         := product ( ( + | - ) product )*
//! product     := value ( ( * | / | % ) value )*
//! value       := - value | number | "text" | field | 'field' | function '(' computations ')'
//!              | '(' computation ')'
//! ```
//!
//! A field named like `cs-uri` needs single quotes, since `-` subtracts.

use crate::ast::{Compare, Compute, Operation, Pattern};
use crate::error::ParseError;
use crate::limits::DEPTH_MAX;
use crate::parse::Parser;
use crate::plan::{Kind, Planner, column};
use crate::scalar::{Scalar, ScalarFunction, time_type};
use crate::suggest::closest;
use crate::value::{Network, ValueFunction, ValueTest};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::functions::expr_fn;
use datafusion::logical_expr::{
    Expr as Condition, Operator, ScalarUDF, binary_expr, cast, lit, try_cast, when,
};
use std::ops::Range;
use yagura_lake::ColumnKind;
use yagura_textindex::fold;

/// Functions, and how many arguments they take at least and at most.
pub(crate) const FUNCTIONS: [(&str, usize, usize); 20] = [
    ("if", 3, 3),
    ("coalesce", 1, 16),
    ("isnull", 1, 1),
    ("len", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("trim", 1, 1),
    ("concat", 1, 16),
    ("substr", 2, 3),
    ("replace", 3, 3),
    ("match", 2, 2),
    ("cidr", 2, 2),
    ("number", 1, 1),
    ("text", 1, 1),
    ("abs", 1, 1),
    ("floor", 1, 1),
    ("ceil", 1, 1),
    ("round", 1, 2),
    ("hour", 1, 1),
    ("weekday", 1, 1),
];

/// Reads a computation.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Compute, ParseError> {
    any(parser, 0)
}

fn any(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    chain(parser, depth, all, |parser| parser.eat_word("or").then_some(Operation::Or))
}

fn all(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    chain(parser, depth, one, |parser| parser.eat_word("and").then_some(Operation::And))
}

fn one(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    parser.cursor.skip_space();
    if parser.eat_word("not") {
        deeper(parser, depth)?;
        return Ok(Compute::Not(Box::new(one(parser, depth + 1)?)));
    }
    let left = sum(parser, depth)?;
    parser.cursor.skip_space();
    let start = parser.cursor.at();
    let Some(operation) = comparison(parser) else { return Ok(left) };
    let at = start..parser.cursor.at();
    let right = sum(parser, depth)?;
    Ok(Compute::Binary(operation, Box::new(left), Box::new(right), at))
}

fn comparison(parser: &mut Parser<'_>) -> Option<Operation> {
    let (first, second) = (parser.cursor.peek()?, parser.cursor.peek_second());
    let operation = match (first, second) {
        ('!', Some('=')) => Operation::NotEqual,
        ('<', Some('=')) => Operation::Compare(Compare::LessOrEqual),
        ('>', Some('=')) => Operation::Compare(Compare::GreaterOrEqual),
        ('=', Some('=')) => Operation::Equal,
        ('=', _) => {
            parser.cursor.bump();
            return Some(Operation::Equal);
        }
        ('<', _) => {
            parser.cursor.bump();
            return Some(Operation::Compare(Compare::Less));
        }
        ('>', _) => {
            parser.cursor.bump();
            return Some(Operation::Compare(Compare::Greater));
        }
        _ => return None,
    };
    parser.cursor.bump();
    parser.cursor.bump();
    Some(operation)
}

fn sum(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    chain(parser, depth, product, |parser| {
        let operation = match parser.cursor.peek()? {
            '+' => Operation::Add,
            '-' => Operation::Subtract,
            _ => return None,
        };
        parser.cursor.bump();
        Some(operation)
    })
}

fn product(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    chain(parser, depth, value, |parser| {
        let operation = match parser.cursor.peek()? {
            '*' => Operation::Multiply,
            '/' => Operation::Divide,
            '%' => Operation::Remainder,
            _ => return None,
        };
        parser.cursor.bump();
        Some(operation)
    })
}

type Part = fn(&mut Parser<'_>, usize) -> Result<Compute, ParseError>;

/// `part (operation part)*`, from the left.
fn chain(
    parser: &mut Parser<'_>,
    depth: usize,
    part: Part,
    operation: fn(&mut Parser<'_>) -> Option<Operation>,
) -> Result<Compute, ParseError> {
    let mut left = part(parser, depth)?;
    let mut links = 0;
    loop {
        parser.cursor.skip_space();
        let start = parser.cursor.at();
        let Some(operation) = operation(parser) else { return Ok(left) };
        let at = start..parser.cursor.at();
        // What is chained nests in the plan as parentheses do.
        links += 1;
        deeper(parser, depth + links)?;
        let right = part(parser, depth + links)?;
        left = Compute::Binary(operation, Box::new(left), Box::new(right), at);
    }
}

fn deeper(parser: &Parser<'_>, depth: usize) -> Result<(), ParseError> {
    if depth < DEPTH_MAX {
        return Ok(());
    }
    Err(parser.cursor.error(
        parser.cursor.here(),
        format!("式が長すぎるか、入れ子が {DEPTH_MAX} 段を超えています。eval を分けてください。"),
        format!("the computation is longer or deeper than {DEPTH_MAX}; split it over several eval"),
    ))
}

fn value(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    parser.cursor.skip_space();
    let start = parser.cursor.at();
    match parser.cursor.peek() {
        Some('-') => {
            parser.cursor.bump();
            deeper(parser, depth)?;
            Ok(Compute::Negative(Box::new(value(parser, depth + 1)?)))
        }
        Some('(') => {
            parser.cursor.bump();
            deeper(parser, depth)?;
            let inner = any(parser, depth + 1)?;
            close(parser, start)?;
            Ok(inner)
        }
        Some('"') => {
            parser.cursor.bump();
            Ok(Compute::Text(parser.cursor.quoted(start)?))
        }
        Some('\'') => {
            parser.cursor.bump();
            let (name, _) = parser.cursor.up_to('\'').ok_or_else(|| {
                parser.cursor.error(
                    start..start + 1,
                    "引用符が閉じていません。項目名の後ろに ' を付けてください。",
                    "this quote is never closed; add ' after the field's name",
                )
            })?;
            Ok(Compute::Field((name.to_owned(), start..parser.cursor.at())))
        }
        _ => word(parser, depth),
    }
}

fn close(parser: &mut Parser<'_>, opened: usize) -> Result<(), ParseError> {
    parser.cursor.skip_space();
    if parser.cursor.eat(')') {
        return Ok(());
    }
    Err(parser.cursor.error(
        opened..opened + 1,
        "この ( が閉じていません。) を足してください。",
        "this ( is never closed; add )",
    ))
}

/// A number, a field or a function.
fn word(parser: &mut Parser<'_>, depth: usize) -> Result<Compute, ParseError> {
    let (word, at) = parser.cursor.until("()|\",'+-*/%<>=!");
    if word.is_empty() {
        return Err(parser.cursor.error(
            parser.cursor.here(),
            "ここに値が必要です。数、\"文字列\"、項目、関数が書けます。",
            "a value is missing here: a number, \"text\", a field or a function",
        ));
    }
    let folded = fold(word);
    if folded.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(number) = folded.parse::<f64>()
    {
        return Ok(Compute::Number(number));
    }
    if parser.cursor.peek() != Some('(') {
        return Ok(Compute::Field((word.to_owned(), at)));
    }
    let Some((name, least, most)) = FUNCTIONS.iter().find(|(name, ..)| *name == &*folded) else {
        let names = FUNCTIONS.map(|(name, ..)| name);
        let meant = closest(&folded, names);
        let (ja, en) = match meant {
            Some(meant) => {
                (format!("{meant} のことでしょうか。"), format!("did you mean {meant}? "))
            }
            None => (String::new(), String::new()),
        };
        let all = names.join(", ");
        return Err(parser.cursor.error(
            at,
            format!("知らない関数です。{ja}使えるもの: {all}"),
            format!("unknown function; {en}available: {all}"),
        ));
    };
    deeper(parser, depth)?;
    let opened = parser.cursor.at();
    parser.cursor.bump();
    let mut arguments = Vec::new();
    loop {
        parser.cursor.skip_space();
        if arguments.is_empty() && parser.cursor.peek() == Some(')') {
            break;
        }
        arguments.push(any(parser, depth + 1)?);
        parser.cursor.skip_space();
        if arguments.len() > *most || !parser.cursor.eat(',') {
            break;
        }
    }
    close(parser, opened)?;
    let at = at.start..parser.cursor.at();
    if arguments.len() < *least || arguments.len() > *most {
        let wanted = if least == most { least.to_string() } else { format!("{least}-{most}") };
        return Err(parser.cursor.error(
            at,
            format!("{name} の引数は {wanted} 個です。"),
            format!("{name} takes {wanted} arguments"),
        ));
    }
    Ok(Compute::Call(name, arguments, at))
}

/// What a computation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Text,
    Time,
    Truth,
}

impl Type {
    fn kind(self) -> Kind {
        match self {
            Type::Number => Kind::Number,
            Type::Text | Type::Truth => Kind::Column(ColumnKind::Keyword),
            Type::Time => Kind::Column(ColumnKind::Date),
        }
    }
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A computation as an expression of DataFusion, and what kind of column it makes.
pub(crate) fn plan(
    planner: &mut Planner<'_>,
    compute: &Compute,
) -> Result<(Condition, Kind), ParseError> {
    let (value, kind) = typed(planner, compute)?;
    let value = if kind == Type::Truth { as_text(value, kind) } else { value };
    Ok((value, kind.kind()))
}

fn typed(planner: &mut Planner<'_>, compute: &Compute) -> Result<(Condition, Type), ParseError> {
    Ok(match compute {
        Compute::Number(number) => (lit(*number), Type::Number),
        Compute::Text(text) => (lit(text.as_str()), Type::Text),
        Compute::Field((name, at)) => match planner.resolve(name, at)? {
            (_, Kind::Absent) => (lit(ScalarValue::Utf8(None)), Type::Text),
            (name, Kind::Number) => (column(&name), Type::Number),
            (name, Kind::Column(ColumnKind::Long)) => {
                (cast(column(&name), DataType::Float64), Type::Number)
            }
            (name, Kind::Column(ColumnKind::Date)) => (column(&name), Type::Time),
            (name, Kind::Column(ColumnKind::Binary)) => {
                return Err(planner.error(
                    at,
                    format!("{name} では計算できません。"),
                    format!("{name} holds bytes, which cannot be computed with"),
                ));
            }
            (name, _) => (cast(column(&name), DataType::Utf8), Type::Text),
        },
        Compute::Negative(inner) => {
            let inner = number(planner, inner)?;
            (Condition::Negative(Box::new(inner)), Type::Number)
        }
        Compute::Not(inner) => {
            let inner = truth(planner, inner)?;
            (Condition::Not(Box::new(Condition::IsTrue(Box::new(inner)))), Type::Truth)
        }
        Compute::Binary(operation, left, right, at) => {
            binary(planner, *operation, left, right, at)?
        }
        Compute::Call(name, arguments, at) => call(planner, name, arguments, at)?,
    })
}

fn binary(
    planner: &mut Planner<'_>,
    operation: Operation,
    left: &Compute,
    right: &Compute,
    at: &Range<usize>,
) -> Result<(Condition, Type), ParseError> {
    let arithmetic = match operation {
        Operation::And | Operation::Or => {
            let (left, right) = (truth(planner, left)?, truth(planner, right)?);
            let joined = if operation == Operation::And { left.and(right) } else { left.or(right) };
            return Ok((joined, Type::Truth));
        }
        Operation::Equal | Operation::NotEqual | Operation::Compare(_) => {
            return compared(planner, operation, left, right);
        }
        Operation::Add => Operator::Plus,
        Operation::Subtract => Operator::Minus,
        Operation::Multiply => Operator::Multiply,
        Operation::Divide => Operator::Divide,
        Operation::Remainder => Operator::Modulo,
    };
    let (left_value, left_type) = typed(planner, left)?;
    let (right_value, right_type) = typed(planner, right)?;
    match (left_type, arithmetic, right_type) {
        // The seconds between two times, and a time so many seconds on.
        (Type::Time, Operator::Minus, Type::Time) => {
            let micros = binary_expr(micros(left_value), Operator::Minus, micros(right_value));
            let seconds = cast(micros, DataType::Float64) / lit(1e6);
            Ok((seconds, Type::Number))
        }
        (Type::Time, Operator::Plus | Operator::Minus, Type::Number) => {
            let shift = cast(right_value * lit(1e6), DataType::Int64);
            let moved = binary_expr(micros(left_value), arithmetic, shift);
            let time = cast(cast(moved, MICROS), time_type());
            Ok((time, Type::Time))
        }
        (Type::Time, ..) | (_, _, Type::Time) => Err(planner.error(
            at,
            "時刻には秒数を足すか引くか、時刻どうしを引くことだけができます。",
            "with a time, only seconds can be added or subtracted, or another time subtracted",
        )),
        _ => {
            let left = as_number(left_value, left_type);
            let right = as_number(right_value, right_type);
            // Division by nothing gives nothing, not an infinite number.
            let right = match arithmetic {
                Operator::Divide | Operator::Modulo => {
                    let zero = right.clone().eq(lit(0f64));
                    when(zero, lit(ScalarValue::Float64(None)))
                        .otherwise(right)
                        .map_err(|error| planner.error(at, error.to_string(), error.to_string()))?
                }
                _ => right,
            };
            Ok((binary_expr(left, arithmetic, right), Type::Number))
        }
    }
}

fn compared(
    planner: &mut Planner<'_>,
    operation: Operation,
    left: &Compute,
    right: &Compute,
) -> Result<(Condition, Type), ParseError> {
    let negate = |condition: Condition| match operation {
        Operation::NotEqual => Condition::Not(Box::new(condition)),
        _ => condition,
    };
    // A text beside a text is compared as the filters compare: case and width do not matter.
    if let (Operation::Equal | Operation::NotEqual, Compute::Text(text)) = (operation, right) {
        let (value, kind) = typed(planner, left)?;
        let test = ValueTest::Whole(Pattern::Literal(text.clone()));
        if let Ok(function) = ValueFunction::new(test) {
            let equal = ScalarUDF::from(function).call(vec![as_text(value, kind)]);
            return Ok((negate(equal), Type::Truth));
        }
    }
    let (left_value, left_type) = typed(planner, left)?;
    let (right_value, right_type) = typed(planner, right)?;
    let (left, right) = match (left_type, right_type) {
        (Type::Time, Type::Time) => (micros(left_value), micros(right_value)),
        (Type::Number, _) | (_, Type::Number) => {
            (as_number(left_value, left_type), as_number(right_value, right_type))
        }
        _ => (as_text(left_value, left_type), as_text(right_value, right_type)),
    };
    let operator = match operation {
        Operation::NotEqual => Operator::NotEq,
        Operation::Compare(Compare::Less) => Operator::Lt,
        Operation::Compare(Compare::LessOrEqual) => Operator::LtEq,
        Operation::Compare(Compare::Greater) => Operator::Gt,
        Operation::Compare(Compare::GreaterOrEqual) => Operator::GtEq,
        _ => Operator::Eq,
    };
    Ok((binary_expr(left, operator, right), Type::Truth))
}

fn call(
    planner: &mut Planner<'_>,
    name: &str,
    arguments: &[Compute],
    at: &Range<usize>,
) -> Result<(Condition, Type), ParseError> {
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(typed(planner, argument)?);
    }
    let mut texts = values.iter().map(|(value, kind)| as_text(value.clone(), *kind));
    let mut numbers = values.iter().map(|(value, kind)| as_number(value.clone(), *kind));
    let nothing = || lit(ScalarValue::Utf8(None));
    let mut next_text = || texts.next().unwrap_or_else(nothing);
    let mut next_number = || numbers.next().unwrap_or_else(nothing);
    Ok(match name {
        "if" => {
            let mut parts = values.clone().into_iter();
            let (Some((test, test_type)), Some(yes), Some(no)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Ok((nothing(), Type::Text));
            };
            let (yes, no, kind) = alike(yes, no);
            let test = Condition::IsTrue(Box::new(as_truth(test, test_type)));
            let chosen = when(test, yes).otherwise(no);
            let chosen =
                chosen.map_err(|error| planner.error(at, error.to_string(), error.to_string()))?;
            (chosen, kind)
        }
        "coalesce" => {
            let number = values.iter().all(|(_, kind)| *kind == Type::Number);
            let time = values.iter().all(|(_, kind)| *kind == Type::Time);
            if number || time {
                let kind = if time { Type::Time } else { Type::Number };
                (expr_fn::coalesce(values.into_iter().map(|(value, _)| value).collect()), kind)
            } else {
                (expr_fn::coalesce(texts.collect()), Type::Text)
            }
        }
        "isnull" => {
            let (value, _) = values.into_iter().next().unwrap_or((nothing(), Type::Text));
            (Condition::IsNull(Box::new(value)), Type::Truth)
        }
        "len" => {
            let length = expr_fn::character_length(next_text());
            (cast(length, DataType::Float64), Type::Number)
        }
        "lower" => (expr_fn::lower(next_text()), Type::Text),
        "upper" => (expr_fn::upper(next_text()), Type::Text),
        "trim" => (expr_fn::btrim(vec![next_text()]), Type::Text),
        "concat" => (expr_fn::concat(texts.collect()), Type::Text),
        "substr" => {
            let text = next_text();
            next_number();
            let start = cast(next_number(), DataType::Int64);
            let part = match arguments.len() {
                2 => expr_fn::substr(text, start),
                _ => expr_fn::substring(text, start, cast(next_number(), DataType::Int64)),
            };
            (part, Type::Text)
        }
        "replace" => {
            let (text, old, new) = (next_text(), next_text(), next_text());
            (expr_fn::replace(text, old, new), Type::Text)
        }
        "match" | "cidr" => {
            let Some(Compute::Text(wanted)) = arguments.get(1) else {
                return Err(planner.error(
                    at,
                    format!("{name} の 2 番目の引数は \"文字列\" で書いてください。"),
                    format!("the second argument of {name} must be a \"text\""),
                ));
            };
            let test = if name == "match" {
                Some(ValueTest::Contains(Pattern::Regex(wanted.clone())))
            } else {
                Network::parse(wanted).map(ValueTest::Network)
            };
            let function = test.map(ValueFunction::new);
            let Some(Ok(function)) = function else {
                return Err(planner.error(
                    at,
                    format!("{wanted} は正規表現またはネットワークとして使えません。"),
                    format!("{wanted} is no regular expression or network that can be used"),
                ));
            };
            (ScalarUDF::from(function).call(vec![next_text()]), Type::Truth)
        }
        "number" => (next_number(), Type::Number),
        "text" => (next_text(), Type::Text),
        "abs" => (scalar(Scalar::Absolute, next_number()), Type::Number),
        "floor" => (scalar(Scalar::Floor, next_number()), Type::Number),
        "ceil" => (scalar(Scalar::Ceiling, next_number()), Type::Number),
        "round" => {
            let places = match arguments.get(1) {
                Some(Compute::Number(places)) if (0.0..=9.0).contains(places) => *places as u8,
                None => 0,
                Some(_) => {
                    return Err(planner.error(
                        at,
                        "round の桁数は 0 から 9 までの数です。",
                        "round takes 0 to 9 decimal places",
                    ));
                }
            };
            (scalar(Scalar::Round(places), next_number()), Type::Number)
        }
        _ => {
            let Some((value, Type::Time)) = values.into_iter().next() else {
                return Err(planner.error(
                    at,
                    format!("{name} には時刻の項目が必要です。"),
                    format!("{name} needs a field that is a time"),
                ));
            };
            let zone = planner.zone();
            let part = if name == "hour" { Scalar::Hour(zone) } else { Scalar::Weekday(zone) };
            (scalar(part, value), Type::Number)
        }
    })
}

fn scalar(scalar: Scalar, value: Condition) -> Condition {
    ScalarUDF::from(ScalarFunction::new(scalar)).call(vec![value])
}

fn number(planner: &mut Planner<'_>, compute: &Compute) -> Result<Condition, ParseError> {
    let (value, kind) = typed(planner, compute)?;
    Ok(as_number(value, kind))
}

fn truth(planner: &mut Planner<'_>, compute: &Compute) -> Result<Condition, ParseError> {
    let (value, kind) = typed(planner, compute)?;
    Ok(as_truth(value, kind))
}

/// Two values as one type.
fn alike(one: (Condition, Type), other: (Condition, Type)) -> (Condition, Condition, Type) {
    if one.1 == other.1 {
        return (one.0, other.0, one.1);
    }
    (as_text(one.0, one.1), as_text(other.0, other.1), Type::Text)
}

/// As a number; a text that is none is nothing.
fn as_number(value: Condition, kind: Type) -> Condition {
    match kind {
        Type::Number => value,
        Type::Time => cast(micros(value), DataType::Float64) / lit(1e6),
        Type::Text => try_cast(value, DataType::Float64),
        Type::Truth => cast(cast(value, DataType::Int64), DataType::Float64),
    }
}

fn as_text(value: Condition, kind: Type) -> Condition {
    match kind {
        Type::Text => value,
        Type::Number => scalar(Scalar::Plain, value),
        Type::Time | Type::Truth => cast(value, DataType::Utf8),
    }
}

/// Whether it holds: a text that is not empty, a number that is not zero.
fn as_truth(value: Condition, kind: Type) -> Condition {
    match kind {
        Type::Truth => value,
        Type::Number => value.not_eq(lit(0f64)),
        Type::Text => value.not_eq(lit("")),
        Type::Time => Condition::IsNotNull(Box::new(value)),
    }
}

fn micros(value: Condition) -> Condition {
    cast(value, DataType::Int64)
}
