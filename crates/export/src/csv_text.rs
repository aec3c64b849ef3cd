use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, Write};

/// A value as a person reads it.
pub fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(|item| !item.is_object()) => {
            items.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// A CSV cell that no spreadsheet takes for a formula (OWASP ASVS 5.0, 1.2.10).
pub fn csv_cell(value: Option<&Value>) -> Cow<'static, str> {
    let text = plain(value);
    let number = matches!(value, Some(Value::Number(_)));
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\0') if !number => format!("'{text}").into(),
        _ => text.into(),
    }
}

/// One record as RFC 4180 writes it.
pub fn csv_record<'a>(
    out: &mut impl Write,
    cells: impl Iterator<Item = Cow<'a, str>>,
) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    writer.write_record(cells.map(|cell| cell.into_owned()))?;
    writer.flush()
}
