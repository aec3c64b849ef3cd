//! The commands that put columns of something else beside the rows: another search, or a list.
//!
//! ```text
//! join   := join [type=inner|left] names '[' filter ( '|' command )* ']'
//! lookup := lookup list field [as field] [output field [as name] (',' field [as name])*]
//! ```

use crate::ast::{Join, JoinKind, Lookup, Named, Pipe};
use crate::error::ParseError;
use crate::limits::{COLUMNS_MADE_MAX, SEARCHES_DEPTH_MAX, SEARCHES_MAX};
use crate::parse::Parser;
use crate::pipes::{at_end, comma, missing, option, too_many};

/// `join type=left user.name [ event.code:4624 | stats count() as logons by user.name ]`.
pub(crate) fn join(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    let (mut keys, mut kind) = (Vec::<Named>::new(), JoinKind::Inner);
    loop {
        parser.cursor.skip_space();
        if parser.cursor.peek() == Some('[') {
            break;
        }
        if at_end(parser) {
            return Err(missing(
                parser,
                "もう一つの検索 [ 条件 | stats ... ] ",
                "another search in brackets, [ condition | stats ... ],",
            ));
        }
        if let Some((text, at)) = option(parser, "type")? {
            kind = match text.as_str() {
                "inner" => JoinKind::Inner,
                "left" | "outer" => JoinKind::Left,
                _ => {
                    return Err(parser.cursor.error(
                        at,
                        "type は inner（相手のある行だけ）か left（相手がなくても残す）です。",
                        "type is inner (rows with a match) or left (all rows)",
                    ));
                }
            };
            continue;
        }
        if keys.len() >= COLUMNS_MADE_MAX {
            return Err(too_many(parser));
        }
        keys.push(parser.name_before("()|\",[")?);
        comma(parser);
    }
    if keys.is_empty() {
        return Err(missing(
            parser,
            "両方の検索にある項目（例 user.name）",
            "a field that both searches have, such as user.name,",
        ));
    }
    let start = parser.cursor.at();
    parser.cursor.bump();
    parser.searches += 1;
    if parser.searches > SEARCHES_MAX {
        return Err(parser.cursor.error(
            start..start + 1,
            format!("一つの検索式の中の [ ] は {SEARCHES_MAX} 個までです。"),
            format!("one expression has at most {SEARCHES_MAX} searches in brackets"),
        ));
    }
    if parser.cursor.enter() > SEARCHES_DEPTH_MAX {
        return Err(parser.cursor.error(
            start..start + 1,
            format!("[ ] の入れ子は {SEARCHES_DEPTH_MAX} 段までです。"),
            format!("searches in brackets are nested more than {SEARCHES_DEPTH_MAX} deep"),
        ));
    }
    let search = parser.expression()?;
    parser.cursor.leave();
    if !parser.cursor.eat(']') {
        return Err(parser.cursor.error(
            start..start + 1,
            "この [ が閉じていません。] を足してください。",
            "this [ is never closed; add ]",
        ));
    }
    Ok(Pipe::Join(Box::new(Join { keys, kind, search, at: start..parser.cursor.at() })))
}

/// `lookup users user.name as winlog.user output user.department as department`.
pub(crate) fn lookup(parser: &mut Parser<'_>) -> Result<Pipe, ParseError> {
    if at_end(parser) {
        return Err(missing(parser, "表の名前（例 users）", "the name of a list, such as users,"));
    }
    let list = parser.name()?;
    if at_end(parser) {
        return Err(missing(
            parser,
            "照らし合わせる列（例 user.name）",
            "the column to compare, such as user.name,",
        ));
    }
    let key = parser.name()?;
    parser.cursor.skip_space();
    let field = if parser.eat_word("as") { parser.name()? } else { key.clone() };
    let mut output = Vec::new();
    parser.cursor.skip_space();
    if parser.eat_word("output") {
        loop {
            if output.len() >= COLUMNS_MADE_MAX {
                return Err(too_many(parser));
            }
            let wanted = parser.name()?;
            parser.cursor.skip_space();
            let name = if parser.eat_word("as") { parser.name()?.0 } else { wanted.0.clone() };
            output.push((wanted, name));
            if !comma(parser) && at_end(parser) {
                break;
            }
        }
    }
    Ok(Pipe::Lookup(Lookup { list, key, field, output }))
}
