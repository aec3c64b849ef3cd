//! What a searcher is given by the house it works in: tables and lists that are no events, and words.

use arrow::array::{RecordBatch, StringArray};
use yagura_event::{EventBatch, Lang};

/// Gives a [`crate::Searcher`] what it cannot know itself. Nothing here blocks on anybody.
pub trait Tables: Send + Sync {
    /// Names of the tables that SQL may ask, besides `events` and `acts`.
    fn names(&self) -> &'static [&'static str];

    /// The rows of the table of that name as they are now, at most `rows_max`. Its columns are always
    /// the same, also where there are no rows.
    fn table(&self, name: &str, rows_max: usize) -> Option<Table>;

    /// Names of the lists that `lookup` may ask.
    fn list_names(&self) -> &'static [&'static str];

    /// The rows of the list of that name as they are now, at most `rows_max`. Its columns are always the
    /// same, also where there are no rows.
    fn list(&self, name: &str, rows_max: usize) -> Option<List>;

    /// What each row of a batch of acts (`yagura_acts::batches`) says, in words.
    fn sentences(&self, acts: &EventBatch, lang: Lang) -> Vec<String>;
}

/// Rows for SQL.
#[derive(Debug, Clone)]
pub struct Table {
    /// The rows.
    pub rows: RecordBatch,
    /// Whether there are more.
    pub cut: bool,
}

/// Rows that are found by a value.
#[derive(Debug, Clone)]
pub struct List {
    /// The columns, all of one length.
    pub columns: Vec<ListColumn>,
    /// Whether there are more rows.
    pub cut: bool,
}

/// A column of a list.
#[derive(Debug, Clone)]
pub struct ListColumn {
    /// Its name.
    pub name: String,
    /// A text for each row, or none.
    pub cells: StringArray,
    /// What a cell says.
    pub form: CellForm,
}

/// What a cell of a list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellForm {
    /// One value.
    One,
    /// Several values with `;` between them: the row is found by each.
    Several,
    /// Networks such as `10.1.0.0/16` with `;` between them: the row is found by an address in one of
    /// them, that of the longest prefix where several have it.
    Networks,
}

/// No tables, no lists and no words.
pub(crate) struct NoTables;

impl Tables for NoTables {
    fn names(&self) -> &'static [&'static str] {
        &[]
    }

    fn table(&self, _: &str, _: usize) -> Option<Table> {
        None
    }

    fn list_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn list(&self, _: &str, _: usize) -> Option<List> {
        None
    }

    fn sentences(&self, _: &EventBatch, _: Lang) -> Vec<String> {
        Vec::new()
    }
}
