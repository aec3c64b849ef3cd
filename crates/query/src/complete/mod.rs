//! Completion: what may stand where somebody is writing a search.
//!
//! The text is read by [`place`], which knows no lake; fields come from the dictionary and the table,
//! values from the events that are found first, within a little time.

mod fields;
mod place;
mod values;
mod words;

use crate::ast::Expr;
use crate::limits::{COMPLETIONS_MAX, TEXT_BYTES_MAX, VALUE_CHARS_OFFERED_MAX};
use crate::notice::Notices;
use crate::plan::{Kind, Planner};
use crate::searcher::{Order, Searcher};
use crate::step::{Around, Window};
use crate::steps::Steps;
use crate::tables::{List, Table, Tables};
use crate::{ast, parse};
use fields::{Candidate, candidates, offered};
use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use place::{Style, Wanted, place, written_value};
use std::ops::Range;
use words::{COMMANDS, TIMES, Word};
use yagura_event::{EventBatch, FieldType, Lang, UtcMicros, Words};
use yagura_lake::{ColumnKind, TableColumns};
use yagura_textindex::fold;

/// What may stand at a place of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Completions {
    /// The bytes of the text that an offer takes the place of; empty for something to insert.
    pub replace: Range<usize>,
    /// What is written there up to the cursor, without an opening quote.
    pub typed: String,
    /// What is offered, the likeliest first.
    pub offers: Vec<Offer>,
    /// The field whose values are offered.
    pub values_of: Option<String>,
    /// Whether only a part of the events was looked at for values: time or rows ran out.
    pub partial: bool,
}

/// One thing that may stand there.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What it is.
    pub kind: OfferKind,
    /// As a person knows it.
    pub text: String,
    /// What is written in its place, with quotes where they are needed.
    pub insert: String,
    /// A field's label, or what a command or function does.
    pub label: Option<Words>,
    /// What a field holds: `keyword`, `ip`, `text`, `long`, `date`, `binary`, or `number` where it is
    /// computed.
    pub field_type: Option<&'static str>,
    /// Events with this value, of those that were looked at.
    pub count: Option<u64>,
}

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferKind {
    /// A command after `|`.
    Command,
    /// A field.
    Field,
    /// A function of `stats` or `eval`.
    Function,
    /// Another word of the language, or a time.
    Word,
    /// A value of a field.
    Value,
}

impl OfferKind {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            OfferKind::Command => "command",
            OfferKind::Field => "field",
            OfferKind::Function => "function",
            OfferKind::Word => "word",
            OfferKind::Value => "value",
        }
    }
}

impl Searcher {
    /// What may stand at byte `at` of a search that is being written, at most `limit` offers and at most
    /// [`COMPLETIONS_MAX`]. A text that is wrong or not finished is the normal case. Values are those of
    /// the events found first, the most frequent ones first, within the limits of
    /// [`crate::limits`]; where the lake cannot be read there are none.
    pub fn complete<'a>(
        &'a self,
        text: &'a str,
        at: usize,
        limit: usize,
    ) -> BoxFuture<'a, Completions> {
        Box::pin(self.completions(text, at, limit.min(COMPLETIONS_MAX)))
    }

    async fn completions(&self, text: &str, at: usize, limit: usize) -> Completions {
        if text.len() > TEXT_BYTES_MAX {
            let end = text.len();
            return Completions {
                replace: end..end,
                typed: String::new(),
                offers: Vec::new(),
                values_of: None,
                partial: false,
            };
        }
        let place = place(text, at);
        let mut found = Completions {
            replace: place.replace,
            typed: place.typed,
            offers: Vec::new(),
            values_of: None,
            partial: false,
        };
        let before = place.pipe.and_then(|pipe| text.get(..pipe)).unwrap_or_default();
        match place.wanted {
            Wanted::Nothing => {}
            Wanted::Command => found.offers = matching(&COMMANDS, &found.typed, OfferKind::Command),
            Wanted::Words(words) => found.offers = matching(words, &found.typed, OfferKind::Word),
            Wanted::List => found.offers = self.lists(&found.typed),
            Wanted::ListColumn(list, also) => {
                let columns = self.list_columns(&list);
                found.offers =
                    offered(columns, self.dictionary(), &found.typed, Style::Command, limit);
                found.offers.extend(matching(also, &found.typed, OfferKind::Word));
            }
            Wanted::Field(style, also) => {
                found.offers = self.fields(before, &found.typed, style, limit);
                found.offers.extend(matching(also, &found.typed, OfferKind::Word));
            }
            Wanted::Value { field, compared, quoted } => {
                let kind = self.kind_of(before, &field);
                if kind == Some(ColumnKind::Date) {
                    let times: &[Word] = if compared { &TIMES } else { &[] };
                    found.offers = matching(times, &found.typed, OfferKind::Word);
                } else if kind.is_some() && !compared {
                    let asked = values::Asked { field: &field, typed: &found.typed, quoted };
                    let (values, partial) =
                        values::most_frequent(self, asked, Default::default()).await;
                    found.partial = partial;
                    found.offers = values.into_iter().filter_map(value_offer).take(limit).collect();
                    found.values_of = Some(field);
                }
            }
        }
        found.offers.truncate(limit);
        found
    }

    /// The fields that begin so, or whose labels do, at a place behind the commands of `before`.
    fn fields(&self, before: &str, typed: &str, style: Style, limit: usize) -> Vec<Offer> {
        let (lake, dictionary) = (self.lake(), self.dictionary());
        let columns = lake.columns();
        let (mut all, only) = self.made(before, &columns);
        if !only {
            all.extend(candidates(&columns, dictionary));
        }
        offered(all, dictionary, typed, style, limit)
    }

    /// The lists of `lookup` that begin so.
    fn lists(&self, typed: &str) -> Vec<Offer> {
        let typed = fold(typed);
        let names = self.tables().list_names().iter();
        let begin = names.filter(|name| fold(name).starts_with(&*typed));
        let offer = |name: &&str| Offer {
            kind: OfferKind::Word,
            text: (*name).to_owned(),
            insert: format!("{name} "),
            label: None,
            field_type: None,
            count: None,
        };
        begin.map(offer).collect()
    }

    /// The columns of a list, by its name in any case and width.
    fn list_columns(&self, list: &str) -> Vec<Candidate> {
        let tables = Columns(self.tables());
        let names = tables.list_names().iter();
        let known = names.copied().find(|name| *fold(name) == *fold(list));
        let columns = known.and_then(|name| tables.list(name, 0)).map(|list| list.columns);
        let made = |name: String| Candidate::made(name, "keyword");
        columns.unwrap_or_default().into_iter().map(|column| made(column.name)).collect()
    }

    /// The columns that the commands of `before` made, and whether there are no others.
    fn made(&self, before: &str, columns: &TableColumns) -> (Vec<Candidate>, bool) {
        let none = (Vec::new(), false);
        if before.is_empty() {
            return none;
        }
        let Ok(expr) = parse(before, UtcMicros::default(), &TimeZone::UTC) else { return none };
        let Some((list, only)) = self.columns_after(&expr, columns) else { return none };
        let made = |(name, kind): (String, Kind)| Candidate::made(name, type_word(kind));
        (list.into_iter().map(made).collect(), only)
    }

    fn columns_after(
        &self,
        expr: &Expr,
        columns: &TableColumns,
    ) -> Option<(Vec<(String, Kind)>, bool)> {
        let mut planner = Planner::new(expr, columns, self.dictionary(), false);
        let (tables, notices) = (Columns(self.tables()), Notices::default());
        let around = Around { window: Window::default(), tables: &tables, notices: &notices };
        let mut steps = Steps::begin(&mut planner, Order::Any, around).ok()?;
        for pipe in &expr.pipes {
            steps.pipe(pipe).ok()?;
        }
        Some(match planner.made {
            Some(made) => (made, true),
            None => (planner.added, false),
        })
    }

    /// What a field holds whose values can be told; `None` for none, and for what is never offered.
    fn kind_of(&self, before: &str, field: &str) -> Option<ColumnKind> {
        let columns = self.lake().columns();
        // What was computed is in no event.
        let (made, only) = self.made(before, &columns);
        if only || made.iter().any(|made| fold(&made.name) == fold(field)) {
            return None;
        }
        let expr = ast::Expr {
            filter: ast::Filter::All,
            pipes: Vec::new(),
            text: String::new(),
            now: UtcMicros::default(),
            zone: TimeZone::UTC,
        };
        let mut planner = Planner::new(&expr, &columns, self.dictionary(), false);
        match planner.find(field)? {
            (_, Kind::Column(ColumnKind::Text | ColumnKind::Binary)) => None,
            (_, Kind::Column(kind)) => Some(kind),
            _ => None,
        }
    }
}

/// The lists of a house without their rows: for an unfinished search their columns are enough.
struct Columns<'t>(&'t dyn Tables);

impl Tables for Columns<'_> {
    fn names(&self) -> &'static [&'static str] {
        self.0.names()
    }

    fn table(&self, name: &str, _: usize) -> Option<Table> {
        self.0.table(name, 0)
    }

    fn list_names(&self) -> &'static [&'static str] {
        self.0.list_names()
    }

    fn list(&self, name: &str, _: usize) -> Option<List> {
        self.0.list(name, 0)
    }

    fn sentences(&self, acts: &EventBatch, lang: Lang) -> Vec<String> {
        self.0.sentences(acts, lang)
    }
}

fn type_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "number",
        Kind::Column(ColumnKind::Text) => "text",
        Kind::Column(ColumnKind::Long) => "long",
        Kind::Column(ColumnKind::Date) => "date",
        Kind::Column(ColumnKind::Binary) => "binary",
        Kind::Column(_) | Kind::Id | Kind::Absent => "keyword",
    }
}

fn field_type_word(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Ip => "ip",
        FieldType::Text => "text",
        FieldType::Long => "long",
        FieldType::Date => "date",
        FieldType::Binary => "binary",
        _ => "keyword",
    }
}

/// The words that begin so, in their order: functions, or else of this kind.
fn matching(words: &[Word], typed: &str, kind: OfferKind) -> Vec<Offer> {
    let typed = fold(typed);
    let begin = words.iter().filter(|word| word.text.starts_with(&*typed));
    begin
        .map(|word| {
            let kind = if word.text.contains('(') { OfferKind::Function } else { kind };
            // After a word comes a blank; after `sum(` or `span=` what it is of.
            let ends = kind != OfferKind::Function && !word.text.ends_with('=');
            let insert = match ends && !word.text.starts_with("now") {
                true => format!("{} ", word.text),
                false => word.text.to_owned(),
            };
            Offer {
                kind,
                text: word.text.to_owned(),
                insert,
                label: Some(Words::new(word.en, word.ja)),
                field_type: None,
                count: None,
            }
        })
        .collect()
}

fn value_offer((text, count): (String, u64)) -> Option<Offer> {
    if text.chars().count() > VALUE_CHARS_OFFERED_MAX {
        return None;
    }
    let insert = written_value(&text)?;
    Some(Offer {
        kind: OfferKind::Value,
        text,
        insert,
        label: None,
        field_type: None,
        count: Some(count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_past_the_limit_is_not_offered() {
        let of = |chars: usize| value_offer(("田".repeat(chars), 1));
        assert!(of(VALUE_CHARS_OFFERED_MAX).is_some());
        assert!(of(VALUE_CHARS_OFFERED_MAX + 1).is_none());
    }
}
