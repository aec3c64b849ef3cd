//! What an event's text must have for a filter to hold, for the text indexes of files.

use crate::ast::{FieldTest, Filter, Pattern, Test};
use crate::plan::{MESSAGE, Planner};
use yagura_event::columns as envelope;
use yagura_lake::ColumnKind;
use yagura_textindex::Need;

pub(crate) fn of(filter: &Filter, planner: &Planner<'_>) -> Need {
    match filter {
        Filter::All | Filter::Not(_) => Need::Unknown,
        Filter::And(list) => Need::all(list.iter().map(|part| of(part, planner))),
        Filter::Or(list) => Need::any(list.iter().map(|part| of(part, planner))),
        Filter::Text(pattern) => of_pattern(pattern),
        Filter::Field(test) => of_field(test, planner),
    }
}

pub(crate) fn of_pattern(pattern: &Pattern) -> Need {
    match pattern {
        Pattern::Literal(text) => Need::literal(text),
        Pattern::Wildcard(text) => Need::wildcard(text),
        Pattern::Regex(expression) => Need::regex(expression),
    }
}

/// The two fields that are the event's text themselves; other fields may hold what no text has.
fn of_field(test: &FieldTest, planner: &Planner<'_>) -> Need {
    let Test::Matches(pattern) = &test.test else { return Need::Unknown };
    let Some(name) = planner.known_name(&test.name) else { return Need::Unknown };
    let is_text = match name.as_str() {
        MESSAGE => planner.kind(&name) == Some(ColumnKind::Text),
        envelope::ORIGINAL => planner.kind(&name) == Some(ColumnKind::Binary),
        _ => false,
    };
    if is_text { of_pattern(pattern) } else { Need::Unknown }
}
