//! One `SELECT` over the tables `events` and `acts` and those that the searcher is given, and nothing
//! else.
//!
//! A statement is measured by its tokens before any recursive code sees it: nesting, operators and
//! unions are what makes planners recurse. What passes is planned with `SQLOptions` that refuse
//! everything but queries, in a session that knows these tables and no table functions, and with
//! bounded memory, time and rows. A table that a statement does not name costs nothing.

use crate::acts_table::ActsTable;
use crate::answer::Answer;
use crate::limits::{
    ROWS_MAX, SQL_DEPTH_MAX, SQL_OPERATORS_MAX, SQL_TOKENS_MAX, SQL_UNIONS_MAX, TABLE_ROWS_MAX,
    TEXT_BYTES_MAX,
};
use crate::notice::Notices;
use crate::searcher::Inner;
use crate::{QueryError, Searcher};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider};
use datafusion::datasource::TableProvider;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::context::SQLOptions;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use yagura_lake::EventsTable;

const EVENTS: &str = "events";
const ACTS: &str = "acts";

impl Searcher {
    /// Answers a `SELECT` (or `WITH ... SELECT`, `EXPLAIN SELECT`) over the tables `events`, `acts` and
    /// those of [`crate::Tables`]. At most [`ROWS_MAX`] rows. Column names have dots: write `"source.ip"` in double quotes.
    pub fn sql<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Answer, QueryError>> {
        Box::pin(self.answer_sql(text))
    }

    async fn answer_sql(&self, text: &str) -> Result<Answer, QueryError> {
        check(text)?;
        let inner = self.inner.clone();
        let text = text.to_owned();
        let notices = Notices::default();
        let told = notices.clone();
        self.run(ROWS_MAX, notices, async move {
            let context = inner.context();
            let table = inner.lake().events();
            let known = Known { inner: inner.clone(), events: table.clone(), notices: told };
            let missing = || DataFusionError::Internal("a session has no catalog".to_owned());
            let catalog = context.catalog("datafusion").ok_or_else(missing)?;
            catalog.register_schema("public", Arc::new(known))?;
            let options = SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false);
            let frame = context.sql_with_options(&text, options).await?;
            // One row more than allowed tells whether there are more.
            let frame = match frame.logical_plan() {
                datafusion::logical_expr::LogicalPlan::Explain(_) => frame,
                _ => frame.limit(0, Some(ROWS_MAX + 1))?,
            };
            Ok((frame, table))
        })
        .await
    }
}

/// The tables that a statement may name.
struct Known {
    inner: Arc<Inner>,
    events: EventsTable,
    notices: Notices,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table_names()).finish()
    }
}

#[async_trait]
impl SchemaProvider for Known {
    fn table_names(&self) -> Vec<String> {
        let given = self.inner.tables().names().iter().copied();
        [EVENTS, ACTS].into_iter().chain(given).map(str::to_owned).collect()
    }

    fn table_exist(&self, name: &str) -> bool {
        [EVENTS, ACTS].contains(&name) || self.inner.tables().names().contains(&name)
    }

    async fn table(&self, name: &str) -> PlanResult<Option<Arc<dyn TableProvider>>> {
        if name == EVENTS {
            return Ok(Some(Arc::new(self.events.clone())));
        }
        let notices = self.notices.clone();
        if name == ACTS {
            let (inner, events) = (self.inner.clone(), self.events.clone());
            return Ok(Some(Arc::new(ActsTable::new(inner, events, notices))));
        }
        if !self.table_exist(name) {
            let all = self.table_names().join(", ");
            let name: String = name.chars().take(128).collect();
            return Err(DataFusionError::Plan(format!(
                "there is no table {name}; there are {all}"
            )));
        }
        let (tables, asked) = (self.inner.tables().clone(), name.to_owned());
        let table = tokio::task::spawn_blocking(move || tables.table(&asked, TABLE_ROWS_MAX)).await;
        let table = table.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let Some(table) = table else { return Ok(None) };
        if table.cut {
            notices.tell(
                true,
                format!(
                    "the table {name} has more than {TABLE_ROWS_MAX} rows; the others were left out"
                ),
                format!("表 {name} は{TABLE_ROWS_MAX}行を超えています。超えた分は含まれません"),
            );
        }
        let rows = MemTable::try_new(table.rows.schema(), vec![vec![table.rows]])?;
        Ok(Some(Arc::new(rows)))
    }
}

/// Refuses a statement that is too long, nested or large, or of another kind.
fn check(text: &str) -> Result<(), QueryError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(QueryError::too_long());
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize()
        .map_err(|error| QueryError::Statement(error.to_string()))?;
    let mut measure = Measure::default();
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        measure.add(token)?;
    }
    Ok(())
}

#[derive(Default)]
struct Measure {
    tokens: usize,
    depth: usize,
    operators: usize,
    unions: usize,
}

impl Measure {
    fn add(&mut self, token: &Token) -> Result<(), QueryError> {
        self.tokens += 1;
        if self.tokens == 1 {
            first_word(token)?;
        }
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.depth = self.depth.saturating_sub(1);
            }
            Token::Word(word) => match word.keyword {
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::JOIN => {
                    self.unions += 1;
                }
                // Each of these nests in the parser without a parenthesis.
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::IS
                | Keyword::IN
                | Keyword::CASE
                | Keyword::WHEN
                | Keyword::INTERVAL
                | Keyword::COLLATE
                | Keyword::OPERATOR
                | Keyword::AT
                | Keyword::WITH
                | Keyword::SELECT
                | Keyword::EXPLAIN
                | Keyword::ARRAY => self.operators += 1,
                _ => {}
            },
            // Values, names and separators; everything else that a tokenizer knows is an operator.
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Comma
            | Token::Period
            | Token::SemiColon
            | Token::EOF
            | Token::Whitespace(_) => {}
            _ => self.operators += 1,
        }
        let too = |what_ja: &str, what_en: &str, most: usize| {
            Err(QueryError::refused(
                format!("{what_ja}が {most} を超えています。"),
                format!("it has more than {most} {what_en}"),
            ))
        };
        if self.tokens > SQL_TOKENS_MAX {
            return too("語の数", "words", SQL_TOKENS_MAX);
        }
        if self.depth > SQL_DEPTH_MAX {
            return too("括弧の深さ", "levels of parentheses", SQL_DEPTH_MAX);
        }
        if self.operators > SQL_OPERATORS_MAX {
            return too("演算子の数", "operators", SQL_OPERATORS_MAX);
        }
        if self.unions > SQL_UNIONS_MAX {
            return too("UNION や JOIN の数", "unions and joins", SQL_UNIONS_MAX);
        }
        Ok(())
    }
}

/// Only queries begin with these. The plan is checked again by kind.
fn first_word(token: &Token) -> Result<(), QueryError> {
    let query = match token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::EXPLAIN)
        }
        Token::LParen => true,
        _ => false,
    };
    if query {
        return Ok(());
    }
    Err(QueryError::refused(
        "SELECT（または WITH、EXPLAIN）だけを実行します。",
        "only SELECT (or WITH, EXPLAIN) is run",
    ))
}
