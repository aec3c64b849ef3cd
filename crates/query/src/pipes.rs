//! The commands after the filter.
//!
//! ```text
//! command    := head [N] | tail [N] | top [N] field | rare [N] field | fields names
//!             | sort ['-'] field (',' ['-'] field)* | where filter | dedup [N] names
//!             | stats aggregates [by names] | timechart [span=SPAN] aggregates [by names]
//!             | bin field span=SPAN [as name] | eval name '=' computation (',' name '=' computation)*
//!             | rename field as name (',' field as name)* | transaction names [maxpause=SPAN]
//!             | join | lookup (see `beside`) | act
//! aggregates := aggregate (',' aggregate)*
//! aggregate  := function '(' [field] ')' [as name]
//! SPAN       := number ( s | m | h | d | w ) | 'day' | 'week' | 'month' | number
//! ```

use crate::ast::{Aggregate, Bin, Function, Named, Pipe};
use crate::beside;
use crate::compute;
use crate::error::ParseError;
use crate::limits::{COLUMNS_MADE_MAX, PIPES_MAX, ROWS_MAX};
use crate::parse::Parser;
use crate::suggest::closest;
use std::ops::Range;
use yagura_textindex::fold;

pub(crate) const COMMANDS: [&str; 17] = [
    "head",
    "tail",
    "sort",
    "fields",
    "where",
    "stats",
    "top",
    "rare",
    "dedup",
    "timechart",
    "bin",
    "eval",
    "rename",
    "transaction",
    "join",
    "lookup",
    "act",
];

/// The aggregates by name; percentiles are `p1` to `p99`.
pub(crate) const FUNCTIONS: [(&str, Function); 12] = [
    ("count", Function::Count),
    ("dc", Function::Distinct),
    ("sum", Function::Sum),
    ("avg", Function::Average),
    ("min", Function::Min),
    ("max", Function::Max),
    ("median", Function::Percentile(50)),
    ("stdev", Function::Deviation),
    ("first", Function::First),
    ("last", Function::Last),
    ("values", Function::Values),
    ("distinct", Function::Distinct),
];

/// Rows of `head`, `tail`, `top` and `rare` without a number.
const ROWS_DEFAULT: usize = 10;

const HOUR_MICROS: i64 = 3_600_000_000;

/// Longest pause of a session where none is named: 30 minutes, as web analytics has it.
const PAUSE_DEFAULT_MICROS: i64 = HOUR_MICROS / 2;

/// Reads `| command ...` until the end.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Vec<Pipe>, ParseError> {
    let mut pipes = Vec::new();
    loop {
        parser.cursor.skip_space();
        let at = parser.cursor.here();
        if !parser.cursor.eat('|') {
            if !parser.cursor.at_end() {
                return Err(parser.cursor.error(
                    at,
                    "ここは読めません。次の処理は | で区切ってください。",
                    "this is not understood; separate the next command with |",
                ));
            }
            return Ok(pipes);
        }
        if pipes.len() >= PIPES_MAX {
            return Err(parser.cursor.error(
                at,
                format!("| の処理は {PIPES_MAX} 個までです。"),
                format!("more than {PIPES_MAX} commands"),
            ));
        }
        command(parser, &mut pipes)?;
    }
}

fn command(parser: &mut Parser<'_>, pipes: &mut Vec<Pipe>) -> Result<(), ParseError> {
    parser.cursor.skip_space();
    let (word, at) = parser.cursor.until("()|\",");
    let pipe = match &*fold(word) {
        "head" | "limit" => Pipe::Head(count(parser, ROWS_DEFAULT)?),
        "tail" => Pipe::Tail(count(parser, ROWS_DEFAULT)?),
        "sort" => sort(parser)?,
        "fields" | "table" => Pipe::Fields(names(parser)?),
        "where" => {
            parser.cursor.skip_space();
            if parser.cursor.at_end() {
                return Err(missing(parser, "条件", "a condition"));
            }
            Pipe::Where(parser.whole_filter()?)
        }
        "stats" => {
            let aggregates = aggregates(parser)?;
            Pipe::Stats(aggregates, by(parser)?)
        }
        "top" => Pipe::Top(count(parser, ROWS_DEFAULT)?, parser.name()?),
        "rare" => Pipe::Rare(count(parser, ROWS_DEFAULT)?, parser.name()?),
        "dedup" => Pipe::Dedup(count(parser, 1)?, names(parser)?),
        "timechart" => timechart(parser)?,
        "bin" | "bucket" => bin(parser)?,
        "rename" => rename(parser)?,
        "transaction" | "session" => transaction(parser)?,
        "join" => beside::join(parser)?,
        "lookup" => beside::lookup(parser)?,
        "act" => Pipe::Act(at),
        "eval" => return eval(parser, pipes),
        folded => return Err(unknown(parser, folded, at)),
    };
    pipes.push(pipe);
    Ok(())
}

fn unknown(parser: &Parser<'_>, folded: &str, at: Range<usize>) -> ParseError {
    let all = COMMANDS.join(", ");
    let (ja, en) = match closest(folded, COMMANDS) {
        Some(meant) => (format!("{meant} のことでしょうか。"), format!("did you mean {meant}?")),
        None => (String::new(), String::new()),
    };
    parser.cursor.error(
        at,
        format!("知らない処理です。{ja}使えるもの: {all}"),
        format!("unknown command; {en} available: {all}").replace("  ", " "),
    )
}

pub(crate) fn missing(parser: &Parser<'_>, ja: &str, en: &str) -> ParseError {
    let (ja, en) = (format!("ここに{ja}が必要です。"), format!("{en} is missing here"));
    parser.cursor.error(parser.cursor.here(), ja, en)
}

/// A number of rows, if one stands here.
fn count(parser: &mut Parser<'_>, default: usize) -> Result<usize, ParseError> {
    parser.cursor.skip_space();
    let start = parser.cursor.at();
    let (word, at) = parser.cursor.until("()|\",");
    let digits = fold(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        parser.cursor.back_to(start);
        // `head x` is a mistake; `top field` is not, and reads its field next.
        return Ok(default);
    }
    match digits.parse() {
        Ok(number) if (1..=ROWS_MAX).contains(&number) => Ok(number),
        _ => Err(parser.cursor.error(
            at,
            format!("行数は 1 から {ROWS_MAX} までです。"),
            format!("the number of rows is 1 to {ROWS_MAX}"),
        )),
    }
}

pub(crate) fn comma(parser: &mut Parser<'_>) -> bool {
    parser.cursor.skip_space();
    parser.cursor.eat(',')
}

pub(crate) fn at_end(parser: &mut Parser<'_>) -> bool {
    parser.cursor.skip_space();
    parser.cursor.at_end()
}

/// `a, b` or `a b`, up to the end or an option such as `maxpause=`.
fn names(parser: &mut Parser<'_>) -> Result<Vec<Named>, ParseError> {
    let mut names = vec![parser.name()?];
    loop {
        let comma = comma(parser);
        if !comma && (at_end(parser) || option_follows(parser)) {
            return Ok(names);
        }
        if names.len() >= COLUMNS_MADE_MAX {
            return Err(too_many(parser));
        }
        names.push(parser.name()?);
    }
}

pub(crate) fn too_many(parser: &Parser<'_>) -> ParseError {
    parser.cursor.error(
        parser.cursor.here(),
        format!("列は {COLUMNS_MADE_MAX} 個までです。"),
        format!("more than {COLUMNS_MADE_MAX} columns"),
    )
}

/// `-field` or `field desc` is descending.
fn sort(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let mut keys = Vec::new();
    loop {
        parser.cursor.skip_space();
        let descending = parser.cursor.eat('-');
        if !descending {
            parser.cursor.eat('+');
        }
        let (name, at) = parser.name()?;
        parser.cursor.skip_space();
        let later = parser.eat_word("desc");
        if !later {
            parser.eat_word("asc");
        }
        keys.push((name, at, descending || later));
        if !comma(parser) && at_end(parser) {
            return Ok(Pipe::Sort(keys));
        }
    }
}

fn by(parser: &mut Parser<'_>) -> Result<Vec<Named>, ParseError> {
    parser.cursor.skip_space();
    if parser.eat_word("by") { names(parser) } else { Ok(Vec::new()) }
}

/// `count() as n, sum(field)`.
fn aggregates(parser: &mut Parser<'_>) -> Result<Vec<Aggregate>, ParseError> {
    let mut aggregates = vec![aggregate(parser)?];
    while comma(parser) {
        if aggregates.len() >= COLUMNS_MADE_MAX {
            return Err(too_many(parser));
        }
        aggregates.push(aggregate(parser)?);
    }
    Ok(aggregates)
}

/// `timechart span=1h count() by user.name`.
fn timechart(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let span = option(parser, "span")?;
    let bin = match span {
        Some((text, at)) => match span_of(&text) {
            Some(Bin::Number(_)) | None => return Err(bad_span(parser, at)),
            Some(bin) => bin,
        },
        None => Bin::Micros(HOUR_MICROS),
    };
    let aggregates = if at_end(parser) {
        vec![Aggregate { function: Function::Count, field: None, name: "count".to_owned() }]
    } else {
        aggregates(parser)?
    };
    Ok(Pipe::Timechart(bin, aggregates, by(parser)?))
}

/// `bin @timestamp span=5m as slot`.
fn bin(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let before = option(parser, "span")?;
    let field = parser.name()?;
    let span = if before.is_some() { before } else { option(parser, "span")? };
    let Some((text, at)) = span else {
        return Err(missing(parser, " span=（幅。例 span=5m）", "span=, such as span=5m,"));
    };
    let Some(bin) = span_of(&text) else { return Err(bad_span(parser, at)) };
    parser.cursor.skip_space();
    let name = if parser.eat_word("as") { parser.name()?.0 } else { field.0.clone() };
    Ok(Pipe::Bin(field, bin, name))
}

fn rename(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let mut renames = Vec::new();
    loop {
        let old = parser.name()?;
        parser.cursor.skip_space();
        if !parser.eat_word("as") {
            return Err(missing(parser, " as 新しい名前 ", "as and the new name"));
        }
        renames.push((old, parser.name()?.0));
        if !comma(parser) {
            return Ok(Pipe::Rename(renames));
        }
    }
}

/// `transaction user.name, host.name maxpause=30m`.
fn transaction(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let by = names(parser)?;
    let pause_micros = match option(parser, "maxpause")? {
        None => PAUSE_DEFAULT_MICROS,
        Some((text, at)) => match span_of(&text) {
            Some(Bin::Micros(micros)) => micros,
            Some(Bin::Days(days)) => days.saturating_mul(24 * HOUR_MICROS),
            _ => return Err(bad_span(parser, at)),
        },
    };
    Ok(Pipe::Transaction { by, pause_micros })
}

fn eval(parser: &mut Parser<'_>, pipes: &mut Vec<Pipe>) -> Result<(), ParseError> {
    loop {
        parser.cursor.skip_space();
        let (name, at) = parser.cursor.until("()|\",=");
        if name.is_empty() {
            return Err(missing(parser, "新しい列の名前", "the name of the new column"));
        }
        parser.cursor.skip_space();
        if !parser.cursor.eat('=') {
            return Err(missing(parser, " = と式", "= and what to compute"));
        }
        if pipes.len() >= PIPES_MAX {
            return Err(too_many(parser));
        }
        let computed = compute::parse(parser)?;
        pipes.push(Pipe::Eval(name.to_owned(), at, computed));
        if !comma(parser) {
            return Ok(());
        }
    }
}

/// Whether `word=` follows, where a name could stand.
fn option_follows(parser: &mut Parser<'_>) -> bool {
    let start = parser.cursor.at();
    parser.cursor.until("()|\",=");
    let follows = parser.cursor.peek() == Some('=');
    parser.cursor.back_to(start);
    follows
}

/// The value of the option `name=value`, if it stands here, and its place.
pub(crate) fn option(parser: &mut Parser<'_>, name: &str) -> Result<Option<Named>, ParseError> {
    parser.cursor.skip_space();
    let start = parser.cursor.at();
    let (word, _) = parser.cursor.until("()|\",=");
    if *fold(word) != *name || !parser.cursor.eat('=') {
        parser.cursor.back_to(start);
        return Ok(None);
    }
    let (value, at) = parser.cursor.until("()|\",");
    if value.is_empty() {
        return Err(missing(parser, "値", "a value"));
    }
    Ok(Some((fold(value).into_owned(), at)))
}

fn span_of(text: &str) -> Option<Bin> {
    match text {
        "day" => return Some(Bin::Days(1)),
        "week" => return Some(Bin::Week),
        "month" => return Some(Bin::Month),
        _ => {}
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    if unit.is_empty() || unit.starts_with('.') {
        let width: f64 = text.parse().ok()?;
        return (width.is_finite() && width > 0.0).then_some(Bin::Number(width));
    }
    let number: i64 = number.parse().ok().filter(|number| (1..=1_000_000).contains(number))?;
    let second = 1_000_000;
    Some(match unit {
        "s" => Bin::Micros(number.checked_mul(second)?),
        "m" => Bin::Micros(number.checked_mul(60 * second)?),
        "h" => Bin::Micros(number.checked_mul(HOUR_MICROS)?),
        "d" => Bin::Days(number),
        "w" if number == 1 => Bin::Week,
        "w" => Bin::Days(number.checked_mul(7)?),
        _ => return None,
    })
}

fn bad_span(parser: &Parser<'_>, at: Range<usize>) -> ParseError {
    parser.cursor.error(
        at,
        "幅として読めません。30s、5m、1h、1d、1w、month のように書きます。",
        "not a span; write 30s, 5m, 1h, 1d, 1w or month",
    )
}

fn aggregate(parser: &mut Parser<'_>) -> Result<Aggregate, ParseError> {
    parser.cursor.skip_space();
    let (word, at) = parser.cursor.until("()|\",");
    let folded = fold(word).into_owned();
    let Some(function) = function_of(&folded) else {
        let all = FUNCTIONS.map(|(name, _)| format!("{name}()")).join(", ");
        let at = if at.is_empty() { parser.cursor.here() } else { at };
        return Err(parser.cursor.error(
            at,
            format!("知らない集計です。使えるもの: {all}, p95() など"),
            format!("unknown aggregate; available: {all}, p95() and the like"),
        ));
    };
    let mut field = None;
    let opened = parser.cursor.at();
    if parser.cursor.eat('(') {
        parser.cursor.skip_space();
        if parser.cursor.peek() != Some(')') {
            field = Some(parser.name()?);
            parser.cursor.skip_space();
        }
        if !parser.cursor.eat(')') {
            return Err(parser.cursor.error(
                opened..opened + 1,
                "この ( が閉じていません。) を足してください。",
                "this ( is never closed; add )",
            ));
        }
    }
    if field.is_none() && function != Function::Count {
        return Err(parser.cursor.error(
            at,
            format!("{folded} には項目が必要です: {folded}(項目)"),
            format!("{folded} needs a field: {folded}(field)"),
        ));
    }
    parser.cursor.skip_space();
    let name = if parser.eat_word("as") {
        parser.name()?.0
    } else {
        match &field {
            Some((name, _)) => format!("{folded}({name})"),
            None => folded,
        }
    };
    Ok(Aggregate { function, field, name })
}

fn function_of(name: &str) -> Option<Function> {
    let percentile = name.strip_prefix("perc").or_else(|| name.strip_prefix('p'));
    if let Some(Ok(number @ 1..=99)) = percentile.map(str::parse::<u8>) {
        return Some(Function::Percentile(number));
    }
    FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}
