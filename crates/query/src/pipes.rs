//! The commands after the filter.

use crate::ast::{Aggregate, Pipe};
use crate::error::ParseError;
use crate::fold::fold;
use crate::limits::{PIPES_MAX, ROWS_MAX};
use crate::parse::Parser;
use crate::suggest::closest;
use std::ops::Range;

const COMMANDS: [&str; 7] = ["head", "tail", "sort", "fields", "where", "stats", "top"];
const FUNCTIONS: [&str; 6] = ["count", "dc", "sum", "avg", "min", "max"];

/// Rows of `head`, `tail` and `top` without a number.
const ROWS_DEFAULT: usize = 10;

/// Reads `| command ...` until the end.
pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Vec<Pipe>, ParseError> {
    let mut pipes = Vec::new();
    loop {
        parser.cursor.skip_space();
        let at = parser.cursor.here();
        if !parser.cursor.eat('|') {
            if parser.cursor.peek().is_some() {
                return Err(parser.cursor.error(
                    at,
                    "ここは読めません。次の処理は | で区切ってください。",
                    "this is not understood; separate the next command with |",
                ));
            }
            return Ok(pipes);
        }
        if pipes.len() == PIPES_MAX {
            return Err(parser.cursor.error(
                at,
                format!("| の処理は {PIPES_MAX} 個までです。"),
                format!("more than {PIPES_MAX} commands"),
            ));
        }
        pipes.push(command(parser)?);
    }
}

fn command(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    parser.cursor.skip_space();
    let (word, at) = parser.cursor.until("()|\",");
    match &*fold(word) {
        "head" | "limit" => Ok(Pipe::Head(count(parser)?)),
        "tail" => Ok(Pipe::Tail(count(parser)?)),
        "sort" => sort(parser),
        "fields" => Ok(Pipe::Fields(names(parser)?)),
        "where" => {
            parser.cursor.skip_space();
            if matches!(parser.cursor.peek(), None | Some('|')) {
                return Err(missing(parser, "条件", "a condition"));
            }
            Ok(Pipe::Where(parser.whole_filter()?))
        }
        "stats" => stats(parser),
        "top" => {
            let number = count(parser)?;
            let (name, at) = parser.name()?;
            Ok(Pipe::Top(number, name, at))
        }
        folded => {
            let all = COMMANDS.join(", ");
            let meant = closest(folded, COMMANDS);
            let (ja, en) = match meant {
                Some(meant) => {
                    (format!("{meant} のことでしょうか。"), format!("did you mean {meant}?"))
                }
                None => (String::new(), String::new()),
            };
            Err(parser.cursor.error(
                at,
                format!("知らない処理です。{ja}使えるもの: {all}"),
                format!("unknown command; {en} available: {all}").replace("  ", " "),
            ))
        }
    }
}

fn missing(parser: &Parser<'_>, ja: &str, en: &str) -> ParseError {
    let (ja, en) = (format!("ここに{ja}が必要です。"), format!("{en} is missing here"));
    parser.cursor.error(parser.cursor.here(), ja, en)
}

/// A number of rows, if one stands here.
fn count(parser: &mut Parser<'_>) -> Result<usize, ParseError> {
    parser.cursor.skip_space();
    let start = parser.cursor.at();
    let (word, at) = parser.cursor.until("()|\",");
    let digits = fold(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        parser.cursor.back_to(start);
        // `head x` is a mistake; `top field` is not, and reads its field next.
        return Ok(ROWS_DEFAULT);
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

fn comma(parser: &mut Parser<'_>) -> bool {
    parser.cursor.skip_space();
    parser.cursor.eat(',')
}

fn at_end(parser: &mut Parser<'_>) -> bool {
    parser.cursor.skip_space();
    matches!(parser.cursor.peek(), None | Some('|'))
}

/// `a, b` or `a b`.
fn names(parser: &mut Parser<'_>) -> Result<Vec<(String, Range<usize>)>, ParseError> {
    let mut names = vec![parser.name()?];
    while comma(parser) || !at_end(parser) {
        names.push(parser.name()?);
    }
    Ok(names)
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

/// `count() as n, sum(field) by a, b`.
fn stats(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let mut aggregates = vec![aggregate(parser)?];
    while comma(parser) {
        aggregates.push(aggregate(parser)?);
    }
    parser.cursor.skip_space();
    let by = if parser.eat_word("by") { names(parser)? } else { Vec::new() };
    Ok(Pipe::Stats(aggregates, by))
}

fn aggregate(parser: &mut Parser<'_>) -> Result<Aggregate, ParseError> {
    parser.cursor.skip_space();
    let (word, at) = parser.cursor.until("()|\",");
    let folded = fold(word).into_owned();
    let Some(function) = FUNCTIONS.into_iter().find(|function| *function == folded) else {
        let all = FUNCTIONS.map(|function| format!("{function}()")).join(", ");
        let at = if at.is_empty() { parser.cursor.here() } else { at };
        return Err(parser.cursor.error(
            at,
            format!("知らない集計です。使えるもの: {all}"),
            format!("unknown aggregate; available: {all}"),
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
    if field.is_none() && function != "count" {
        return Err(parser.cursor.error(
            at,
            format!("{function} には項目が必要です: {function}(項目)"),
            format!("{function} needs a field: {function}(field)"),
        ));
    }
    parser.cursor.skip_space();
    let name = if parser.eat_word("as") {
        parser.name()?.0
    } else {
        match &field {
            Some((name, _)) => format!("{function}({name})"),
            None => function.to_owned(),
        }
    };
    Ok(Aggregate { function, field, name })
}
