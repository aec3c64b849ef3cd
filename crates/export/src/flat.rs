use crate::Row;
use serde_json::Value;
use yagura_event::Lang;

/// Column with the sentence in the reader's language.
pub const SENTENCE: &str = "yagura.sentence";

/// Columns of events where few are wanted and none are named.
pub const FEW_COLUMNS: [&str; 5] =
    ["@timestamp", "event.dataset", "host.name", "user.name", SENTENCE];

/// An event as one flat object with ECS names: its id, its fields and its sentences.
pub fn flat_event(mut row: Row, lang: Lang) -> Row {
    let mut flat = Row::new();
    let fields = row.remove("fields");
    let sentence = row.remove("sentence");
    for key in ["@timestamp", "event.id", "event.dataset", "event.ingested", "host.name"] {
        if let Some(value) = row.remove(key) {
            flat.insert(key.to_owned(), value);
        }
    }
    if let Some(Value::Object(fields)) = fields {
        flat.extend(fields);
    }
    if let Some(sentence) = sentence {
        flat.insert(SENTENCE.to_owned(), sentence[lang.as_str()].clone());
        flat.insert("yagura.sentence.ja".to_owned(), sentence["ja"].clone());
        flat.insert("yagura.sentence.en".to_owned(), sentence["en"].clone());
    }
    flat.extend(row);
    flat
}
