use crate::limits;
use datafusion::error::DataFusionError;
use std::fmt;
use std::ops::Range;
use yagura_event::Lang;

/// A search expression that cannot be understood, with the place and a remedy.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseError {
    text: String,
    at: Range<usize>,
    message: Message,
}

/// The same words in both languages: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) ja: String,
    pub(crate) en: String,
}

impl Message {
    pub(crate) fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Message { ja: ja.into(), en: en.into() }
    }
}

impl ParseError {
    pub(crate) fn new(text: &str, at: Range<usize>, message: Message) -> Self {
        ParseError { text: text.to_owned(), at, message }
    }

    /// Byte range of the mistake in the expression.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// What is wrong and what to do, without the expression.
    pub fn message(&self, lang: Lang) -> &str {
        match lang {
            Lang::Ja => &self.message.ja,
            Lang::En => &self.message.en,
        }
    }

    /// Three lines: the expression, a caret under the mistake, the message.
    pub fn render(&self, lang: Lang) -> String {
        // Around the mistake only, so that the caret is on the screen.
        let start = floor(&self.text, self.at.start);
        let end = floor(&self.text, self.at.end.max(self.at.start));
        let from = self.text[..start].char_indices().rev().nth(59).map_or(0, |(at, _)| at);
        let to =
            self.text[end..].char_indices().nth(20).map_or(self.text.len(), |(at, _)| end + at);
        let clean = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let before = clean(&self.text[from..start]);
        let wrong = clean(&self.text[start..end]);
        let line = clean(&self.text[from..to]);
        let carets = "^".repeat(wrong.chars().map(width).sum::<usize>().max(1));
        let indent = " ".repeat(before.chars().map(width).sum());
        format!("{line}\n{indent}{carets}\n{}", self.message(lang))
    }
}

/// Columns a character takes in a terminal, near enough to place a caret.
fn width(c: char) -> usize {
    match u32::from(c) {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe4f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff => 2,
        0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Lang::En))
    }
}

impl std::error::Error for ParseError {}

/// What can go wrong with a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The search expression has a mistake.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The statement is not one we run: refused before it was planned.
    #[error("SQL refused: {en}")]
    Refused {
        /// Why, in Japanese.
        ja: String,
        /// Why, in English.
        en: String,
    },
    /// The statement is wrong: unknown column, wrong type, syntax.
    #[error("SQL: {0}")]
    Statement(String),
    /// It ran longer than allowed. Ask for less time or fewer columns.
    #[error("the query took longer than {0} s; narrow the time range or the question")]
    Timeout(u64),
    /// It needed more memory than all queries may use.
    #[error("the query needs too much memory; narrow the time range or group by fewer fields")]
    Memory,
    /// Somebody ended it.
    #[error("the search was cancelled")]
    Cancelled,
    /// Reading or computing failed; a damaged file is named.
    #[error("query failed: {0}")]
    Failed(String),
}

impl QueryError {
    /// What a person reads.
    pub fn render(&self, lang: Lang) -> String {
        match (self, lang) {
            (QueryError::Parse(error), lang) => error.render(lang),
            (QueryError::Refused { ja, .. }, Lang::Ja) => format!("この SQL は実行しません: {ja}"),
            (QueryError::Statement(reason), Lang::Ja) => format!("SQL の誤り: {reason}"),
            (QueryError::Timeout(seconds), Lang::Ja) => {
                format!("{seconds} 秒以内に終わりませんでした。期間か条件を絞ってください。")
            }
            (QueryError::Memory, Lang::Ja) => {
                "メモリが足りません。期間を絞るか、集計する項目を減らしてください。".to_owned()
            }
            (QueryError::Cancelled, Lang::Ja) => "検索は取り消されました。".to_owned(),
            (QueryError::Failed(reason), Lang::Ja) => format!("検索に失敗しました: {reason}"),
            (error, Lang::En) => error.to_string(),
        }
    }

    pub(crate) fn refused(ja: impl Into<String>, en: impl Into<String>) -> Self {
        QueryError::Refused { ja: ja.into(), en: en.into() }
    }

    pub(crate) fn too_long() -> Self {
        let kib = limits::TEXT_BYTES_MAX / 1024;
        QueryError::refused(
            format!("長さが {kib} KiB を超えています。"),
            format!("it is longer than {kib} KiB"),
        )
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => QueryError::Memory,
            DataFusionError::Plan(reason) => QueryError::Statement(reason.clone()),
            DataFusionError::SchemaError(reason, _) => QueryError::Statement(reason.to_string()),
            DataFusionError::SQL(reason, _) => QueryError::Statement(reason.to_string()),
            DataFusionError::NotImplemented(reason) => QueryError::Statement(reason.clone()),
            DataFusionError::External(inner) => match inner.downcast_ref() {
                Some(QueryError::Timeout(seconds)) => QueryError::Timeout(*seconds),
                Some(QueryError::Memory) => QueryError::Memory,
                _ => QueryError::Failed(inner.to_string()),
            },
            damaged @ DataFusionError::ParquetError(_) => QueryError::Failed(format!(
                "a stored file cannot be read, run yagura verify to name it: {}",
                damaged.strip_backtrace()
            )),
            other => QueryError::Failed(other.strip_backtrace()),
        }
    }
}
