//! What may stand where somebody is writing a search, as programs read it.

use crate::Node;
use serde_json::{Map, Value, json};
use yagura_query::Offer;

impl Node {
    /// What may stand before the character `at` of `query` (its end by default), at most `limit` offers:
    /// `start` and `end` (in characters) of what an offer takes the place of, `typed`, `offers`,
    /// `values_of` (the field whose values they are), `partial` (whether time or rows ran out).
    pub async fn complete(&self, query: &str, at: Option<usize>, limit: usize) -> Value {
        let found = self.searcher().complete(query, byte_of(query, at), limit).await;
        let characters = |end: usize| query.get(..end).map_or(0, |before| before.chars().count());
        let offers: Vec<Value> = found.offers.into_iter().map(shown).collect();
        json!({
            "start": characters(found.replace.start),
            "end": characters(found.replace.end),
            "typed": found.typed,
            "offers": offers,
            "values_of": found.values_of,
            "partial": found.partial,
        })
    }
}

/// The byte at which a character begins.
fn byte_of(text: &str, character: Option<usize>) -> usize {
    let at = character.and_then(|character| text.char_indices().nth(character));
    at.map_or(text.len(), |(byte, _)| byte)
}

fn shown(offer: Offer) -> Value {
    let mut shown = Map::new();
    shown.insert("kind".to_owned(), json!(offer.kind.as_str()));
    shown.insert("text".to_owned(), json!(offer.text));
    shown.insert("insert".to_owned(), json!(offer.insert));
    if let Some(label) = offer.label {
        shown.insert("label".to_owned(), json!({ "ja": label.ja(), "en": label.en() }));
    }
    if let Some(kind) = offer.field_type {
        shown.insert("type".to_owned(), json!(kind));
    }
    if let Some(count) = offer.count {
        shown.insert("count".to_owned(), json!(count));
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_past_the_end_is_the_end() {
        let text = "a田b";
        let bytes = [Some(0), Some(1), Some(2), Some(3), Some(99), None];
        assert_eq!(bytes.map(|at| byte_of(text, at)), [0, 1, 4, 5, 5, 5]);
    }
}
