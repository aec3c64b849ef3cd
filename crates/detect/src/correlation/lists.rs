//! What the parser would pass over in silence: entries of a correlation's lists that are no text.

use yaml_serde::Value;

/// Why a correlation of a file cannot be honoured as it is written.
pub(crate) struct Malformed {
    pub(crate) id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) reason: String,
}

/// Looks at the correlations of a file. A list with one entry lost would count other events, or put
/// them into other groups, than its author wrote.
pub(crate) fn malformed(text: &str) -> Vec<Malformed> {
    use serde::Deserialize;
    let mut found = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        // What is no YAML was reported by the parser.
        let Ok(document) = Value::deserialize(document) else { break };
        let Some(correlation) = document.get("correlation") else { continue };
        let wrong = ["rules", "group-by"]
            .into_iter()
            .find_map(|name| names(name, correlation.get(name)?).err())
            .or_else(|| aliases(correlation.get("aliases")?).err());
        if let Some(reason) = wrong {
            let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
            found.push(Malformed { id: text("id"), title: text("title"), reason });
        }
    }
    found
}

/// A name, or a list of names.
fn names(what: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::String(name) if !name.is_empty() => Ok(()),
        Value::Sequence(list) => {
            let is_name = |entry: &Value| entry.as_str().is_some_and(|name| !name.is_empty());
            match list.iter().position(|entry| !is_name(entry)) {
                None => Ok(()),
                Some(at) => Err(format!(
                    "{what}: entry {} is no text; write each as text, a number in quotes",
                    at + 1
                )),
            }
        }
        _ => Err(format!("{what}: write a list of texts")),
    }
}

/// For each alias, what each rule calls the field.
fn aliases(value: &Value) -> Result<(), String> {
    let wrong = || "aliases: write, for each alias, rule and field as texts".to_owned();
    let Value::Mapping(aliases) = value else {
        return if value.is_null() { Ok(()) } else { Err(wrong()) };
    };
    let is_text = |(name, field): (&Value, &Value)| name.is_string() && field.is_string();
    let fits = aliases.iter().all(|(alias, fields)| {
        alias.is_string() && fields.as_mapping().is_some_and(|fields| fields.iter().all(is_text))
    });
    if fits { Ok(()) } else { Err(wrong()) }
}
