//! `join` and `lookup` as steps of a plan.

use crate::ast::{Join, JoinKind, Lookup, Named};
use crate::error::ParseError;
use crate::limits::{JOIN_ROWS_MAX, LIST_ROWS_MAX};
use crate::matched::Matched;
use crate::plan::{Kind, Planner, column};
use crate::scalar::time_type;
use crate::searcher::Order;
use crate::step::{Planned, Step};
use crate::steps::Steps;
use crate::suggest::closest;
use crate::tables::{List, ListColumn};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr as Condition, cast};
use std::sync::Arc;
use yagura_lake::ColumnKind;
use yagura_textindex::fold;

/// Columns of other rows that are put beside these, found by their keys.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) other: Other,
    /// The keys of these rows.
    pub(crate) keys: Vec<Condition>,
    /// Whether rows without their like go.
    pub(crate) inner: bool,
}

/// Where the other rows come from.
#[derive(Clone)]
pub(crate) enum Other {
    /// Another search: its keys, and the columns that are put beside.
    Search { planned: Planned, keys: Vec<String>, output: Vec<String> },
    /// A list.
    List(Arc<Matched>),
}

/// The type of a column that is put beside.
fn plain(kind: Kind) -> DataType {
    match kind {
        Kind::Number => DataType::Float64,
        Kind::Column(ColumnKind::Long) => DataType::Int64,
        Kind::Column(ColumnKind::Date) => time_type(),
        _ => DataType::Utf8,
    }
}

/// What a column of that type is in the plan.
fn kind_of(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Float64 => Kind::Number,
        DataType::Int64 => Kind::Column(ColumnKind::Long),
        DataType::Utf8 => Kind::Column(ColumnKind::Keyword),
        _ => Kind::Column(ColumnKind::Date),
    }
}

impl Steps<'_, '_> {
    pub(crate) fn join(&mut self, join: &Join) -> Result<(), ParseError> {
        let mut keys = Vec::with_capacity(join.keys.len());
        for (name, at) in &join.keys {
            keys.push(self.target(name, at)?.0);
        }
        let (around, columns) = (self.around, self.planner.columns());
        let mut planner = Planner::new(&join.search, columns, self.planner.dictionary(), false);
        let mut other = Steps::begin(&mut planner, Order::NewestFirst, around)?;
        for pipe in &join.search.pipes {
            other.pipe(pipe)?;
        }
        if !other.chosen {
            // Only whether there is such a row is asked.
            match other.shown {
                None => other.fields_in_order(join.keys.clone(), false)?,
                Some(shown) => {
                    let shown = shown.iter().map(|name| ((*name).to_owned(), 0..0)).collect();
                    other.fields_in_order(shown, true)?;
                }
            }
        }
        let mut of = Vec::with_capacity(keys.len());
        for (name, at) in &join.keys {
            of.push(other.planner.resolve(name, at)?.0);
        }
        let made = other.planner.made.clone().unwrap_or_default();
        let mut planned = other.planned(&[])?;
        // One row more than is looked at tells whether there are more.
        planned.list.push(Step::Limit(0, JOIN_ROWS_MAX + 1));
        // In plain types, so that it is known what memory they take.
        let types = made.iter().map(|(name, kind)| (name, plain(*kind)));
        let shown = types.map(|(name, to)| cast(column(name), to).alias(name));
        planned.list.push(Step::Select(shown.collect()));
        let mut output = Vec::new();
        for (name, kind) in made.into_iter().filter(|(name, _)| !of.contains(name)) {
            if self.planner.has(&name) {
                return Err(self.planner.error(
                    &join.at,
                    format!(
                        "列 {name} は既にあります。[ ] の中で | rename {name} as 別の名前 と書いてください。"
                    ),
                    format!(
                        "there is a column {name} already; inside the brackets, write | rename {name} \
                         as another name"
                    ),
                ));
            }
            self.planner.add(&name, kind_of(&plain(kind)));
            output.push(name);
        }
        let inner = join.kind == JoinKind::Inner;
        let other = Other::Search { planned, keys: of, output };
        self.list.push(Step::Beside(Box::new(Beside { other, keys, inner })));
        Ok(())
    }

    pub(crate) fn lookup(&mut self, lookup: &Lookup) -> Result<(), ParseError> {
        let (name, at) = &lookup.list;
        let tables = self.around.tables;
        let names = tables.list_names();
        let known = names.iter().find(|known| *fold(known) == *fold(name));
        let list = known.and_then(|known| tables.list(known, LIST_ROWS_MAX));
        let (Some(known), Some(list)) = (known, list) else {
            return Err(self.unknown(&lookup.list, ("表", "list"), names.iter().copied()));
        };
        let key = self.column_of(&list, &lookup.key)?;
        let wanted: Vec<(&ListColumn, String)> = match lookup.output.as_slice() {
            [] => {
                let others = list.columns.iter().filter(|column| column.name != key.name);
                others.map(|column| (column, column.name.clone())).collect()
            }
            output => {
                let found = output.iter().map(|(name, new)| {
                    self.column_of(&list, name).map(|column| (column, new.clone()))
                });
                found.collect::<Result<_, _>>()?
            }
        };
        let (field, field_at) = &lookup.field;
        let keys = vec![self.target(field, field_at)?.0];
        if let Some((_, twice)) = wanted
            .iter()
            .enumerate()
            .find(|(at, (_, name))| wanted.iter().take(*at).any(|(_, other)| other == name))
            .map(|(_, one)| one)
        {
            return Err(self.planner.error(
                at,
                format!("列名 {twice} が重なっています。as で別の名前を付けてください。"),
                format!("two columns are called {twice}; rename one with as"),
            ));
        }
        self.tell_about(known, &list, key.cells.is_empty());
        let columns: Vec<(String, ArrayRef)> = wanted
            .iter()
            .map(|(column, new)| (new.clone(), Arc::new(column.cells.clone()) as ArrayRef))
            .collect();
        for (name, _) in &columns {
            self.planner.add(name, Kind::Column(ColumnKind::Keyword));
        }
        let other = Other::List(Matched::by_cells(key, columns));
        self.list.push(Step::Beside(Box::new(Beside { other, keys, inner: false })));
        Ok(())
    }

    fn tell_about(&self, name: &str, list: &List, is_empty: bool) {
        if list.cut {
            self.around.notices.tell(
                true,
                format!("only the first {LIST_ROWS_MAX} rows of {name} were asked"),
                format!("{name} は最初の{LIST_ROWS_MAX}行だけを使いました"),
            );
        }
        if is_empty {
            self.around.notices.tell(
                false,
                format!("the list {name} has no rows"),
                format!("表 {name} には行がありません"),
            );
        }
    }

    /// A column of a list, by name in any case and width.
    fn column_of<'l>(&self, list: &'l List, name: &Named) -> Result<&'l ListColumn, ParseError> {
        let named = |column: &&ListColumn| *fold(&column.name) == *fold(&name.0);
        list.columns.iter().find(named).ok_or_else(|| {
            let names = list.columns.iter().map(|column| column.name.as_str());
            self.unknown(name, ("列", "column"), names)
        })
    }

    fn unknown<'n>(
        &self,
        (typed, at): &Named,
        (what_ja, what_en): (&str, &str),
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> ParseError {
        let all = names.clone().collect::<Vec<_>>().join(", ");
        let (ja, en) = match closest(typed, names) {
            Some(meant) => {
                (format!("{meant} のことでしょうか。"), format!("did you mean {meant}? "))
            }
            None => (String::new(), String::new()),
        };
        self.planner.error(
            at,
            format!("{what_ja} {typed} はありません。{ja}使えるもの: {all}"),
            format!("there is no {what_en} {typed}; {en}available: {all}"),
        )
    }
}
