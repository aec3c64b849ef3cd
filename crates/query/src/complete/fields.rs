//! Which fields are meant by what is typed so far.

use crate::complete::place::{Style, written_name};
use crate::complete::{Offer, OfferKind, field_type_word};
use yagura_event::{FieldDictionary, Words, columns as envelope};
use yagura_lake::{DATASET, EVENT_ID, TableColumns};
use yagura_textindex::fold;

/// A field that could be meant.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    field_type: &'static str,
    /// Whether some event has it, or a command made it.
    there: bool,
}

impl Candidate {
    /// A column that a command made.
    pub(crate) fn made(name: String, field_type: &'static str) -> Self {
        Candidate { name, field_type, there: true }
    }
}

/// Columns of the envelope that no person asks for.
const HIDDEN: [&str; 3] = [envelope::BATCH, envelope::INDEX, envelope::LAYOUT];

/// Every field of the table, and those of the dictionary that all sources share, once, as the dictionary
/// lists them; then those that it does not know. A native name of a source that sent nothing yet finds
/// nothing, and what it says may mean another field.
pub(crate) fn candidates(
    columns: &TableColumns,
    dictionary: &FieldDictionary,
) -> impl Iterator<Item = Candidate> {
    let candidate = |name: &str, there: bool| Candidate {
        name: name.to_owned(),
        field_type: field_type_word(dictionary.field_type(name)),
        there,
    };
    let always = |name: &str| name == EVENT_ID || name == DATASET;
    let listed = dictionary.fields_as_listed();
    let known: Vec<Candidate> = listed
        .filter_map(|field| {
            let there = always(&field.name) || columns.get(&field.name).is_some();
            (there || field.shared).then(|| candidate(&field.name, there))
        })
        .collect();
    let unlisted = |name: &&str| dictionary.field(name).is_none();
    let names = [EVENT_ID, DATASET].into_iter();
    let names = names.chain(columns.iter().map(|column| &*column.name).filter(|n| !always(n)));
    let others: Vec<Candidate> = names.filter(unlisted).map(|name| candidate(name, true)).collect();
    let all = known.into_iter().chain(others);
    all.filter(|candidate| !HIDDEN.contains(&candidate.name.as_str()))
}

/// Those of `all` that are meant by what is typed, the likeliest first, as they are written.
pub(crate) fn offered(
    all: Vec<Candidate>,
    dictionary: &FieldDictionary,
    typed: &str,
    style: Style,
    limit: usize,
) -> Vec<Offer> {
    let typed = fold(typed);
    let mut ranked: Vec<(u8, bool, usize, &Candidate)> = Vec::new();
    for (number, candidate) in all.iter().enumerate() {
        let label = dictionary.field(&candidate.name);
        let labels = label.map(|field| [field.ja.as_str(), field.en.as_str()]);
        let rank = rank(&typed, &candidate.name, labels.as_ref().map_or(&[], |both| &both[..]));
        if let Some(rank) = rank {
            ranked.push((rank, !candidate.there, number, candidate));
        }
    }
    ranked.sort_unstable_by_key(|(rank, absent, number, _)| (*rank, *absent, *number));
    let mut seen = std::collections::HashSet::new();
    let offers = ranked.into_iter().filter(|(.., candidate)| seen.insert(candidate.name.as_str()));
    let offers = offers.filter_map(|(.., candidate)| {
        let label = dictionary.field(&candidate.name);
        Some(Offer {
            kind: OfferKind::Field,
            text: candidate.name.clone(),
            insert: written_name(&candidate.name, style)?,
            label: label.map(|field| Words::new(&field.en, &field.ja)),
            field_type: Some(candidate.field_type),
            count: None,
        })
    });
    offers.take(limit).collect()
}

/// How well a field fits what is typed, folded: 0 best; `None` where it does not.
fn rank(typed: &str, name: &str, labels: &[&str]) -> Option<u8> {
    if typed.is_empty() {
        return Some(0);
    }
    let name = fold(name);
    if name.starts_with(typed) {
        return Some(0);
    }
    let labels: Vec<_> = labels.iter().map(|label| fold(label)).collect();
    if labels.iter().any(|label| label.starts_with(typed)) {
        return Some(1);
    }
    // The last part alone is often what people remember: `CommandLine`.
    if name.split('.').skip(1).any(|part| part.starts_with(typed)) {
        return Some(2);
    }
    let within = name.contains(typed) || labels.iter().any(|label| label.contains(typed));
    within.then_some(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_so_comes_before_a_label_and_a_part() {
        let labels = ["ユーザー名", "User name"];
        let of = |typed: &str| rank(&fold(typed), "user.name", &labels);
        assert_eq!(of(""), Some(0));
        assert_eq!(of("US"), Some(0));
        assert_eq!(of("ﾕｰｻﾞ"), Some(1), "half-width kana");
        assert_eq!(of("na"), Some(2));
        assert_eq!(of("ser"), Some(3));
        assert_eq!(of("host"), None);
    }
}
