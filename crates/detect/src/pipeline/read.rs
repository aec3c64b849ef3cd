//! From YAML to steps. Every key must be one we honour.

use super::{Conditions, FieldCondition, Item, Pipeline, PipelineError, RuleCondition, Step};
use crate::limits::{PIPELINE_STEPS_MAX, PLACEHOLDER_VALUES_MAX};
use rsigma_parser::{DetectionItem, Modifier, SigmaValue, parse_field_spec};
use std::collections::BTreeMap;
use yaml_serde::{Mapping, Value};

impl Pipeline {
    /// Reads a pipeline; `path` is for people.
    ///
    /// # Errors
    /// When it is no YAML, or uses anything that we do not honour exactly; the error names it.
    pub fn from_yaml(path: &str, text: &str) -> Result<Pipeline, PipelineError> {
        read(path, text).map_err(|reason| PipelineError { path: path.to_owned(), reason })
    }
}

fn read(path: &str, text: &str) -> Result<Pipeline, String> {
    crate::ruleset::check_text(text)?;
    let value: Value = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let Value::Mapping(mut map) = value else {
        return Err("a pipeline is a mapping with `transformations`".into());
    };
    let backends = texts(&mut map, "allowed_backends")?;
    if !backends.is_empty() && !backends.iter().any(|name| name == "yagura") {
        return Err(format!(
            "it is made for other tools ({}): add yagura to allowed_backends if its field names \
             are ours",
            backends.join(", ")
        ));
    }
    let priority = match map.remove("priority") {
        None => 0,
        Some(value) => value.as_i64().ok_or("priority must be a whole number")?,
    };
    let mut vars = BTreeMap::new();
    if let Some(value) = map.remove("vars") {
        let Value::Mapping(list) = value else { return Err("vars must be a mapping".into()) };
        for (name, value) in list {
            let name = name.as_str().ok_or("a name under vars is no text")?.to_owned();
            let values = scalars(value).map_err(|reason| format!("vars: {name}: {reason}"))?;
            if values.is_empty() || values.len() > PLACEHOLDER_VALUES_MAX {
                return Err(format!("vars: {name}: 1 to {PLACEHOLDER_VALUES_MAX} values"));
            }
            vars.insert(name, values);
        }
    }
    let name = text_of(&mut map, "name")?.unwrap_or_else(|| path.to_owned());
    let steps = match map.remove("transformations") {
        None => return Err("it has no transformations".into()),
        Some(Value::Sequence(steps)) => steps,
        Some(_) => return Err("transformations must be a list".into()),
    };
    nothing_left(&map)?;
    if steps.len() > PIPELINE_STEPS_MAX {
        return Err(format!("more than {PIPELINE_STEPS_MAX} transformations"));
    }
    let mut items = Vec::new();
    for (number, step) in (1..).zip(steps) {
        let named = step.get("id").and_then(Value::as_str).map(|id| format!(" ({id})"));
        let named = named.unwrap_or_default();
        items.push(item(step).map_err(|e| format!("transformation {number}{named}: {e}"))?);
    }
    Ok(Pipeline { name, path: path.to_owned(), priority, items, vars })
}

fn item(value: Value) -> Result<Item, String> {
    let Value::Mapping(mut map) = value else { return Err("it is no mapping".into()) };
    let id = text_of(&mut map, "id")?;
    let kind = text_of(&mut map, "type")?.ok_or("it has no type")?;
    let rule = conditions(&mut map, "rule", rule_condition)?;
    let field = conditions(&mut map, "field_name", field_condition)?;
    let step = match kind.as_str() {
        "field_name_mapping" => Step::Rename(mapping(&mut map)?),
        "add_condition" => {
            let negated = flag(&mut map, "negated")?;
            Step::Add { items: added(&mut map)?, negated }
        }
        "drop_detection_item" => Step::Drop,
        "set_state" => Step::Set {
            key: text_of(&mut map, "key")?.ok_or("set_state needs a key")?,
            value: scalar(map.remove("val").ok_or("set_state needs val")?)?,
        },
        "value_placeholders" => Step::Values {
            include: texts(&mut map, "include")?,
            exclude: texts(&mut map, "exclude")?,
        },
        other => {
            return Err(format!(
                "the type {other} is not supported; supported are field_name_mapping, \
                 add_condition, drop_detection_item, set_state and value_placeholders"
            ));
        }
    };
    nothing_left(&map)?;
    let by_field = matches!(step, Step::Rename(_) | Step::Drop);
    if !by_field && !field.list.is_empty() {
        return Err(format!("field_name_conditions mean nothing to {kind}"));
    }
    Ok(Item { id, step, rule, field })
}

fn mapping(map: &mut Mapping) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Some(Value::Mapping(pairs)) = map.remove("mapping") else {
        return Err("mapping must name fields and their new names".into());
    };
    let mut renamed = BTreeMap::new();
    for (from, to) in pairs {
        let from = from.as_str().ok_or("a field name under mapping is no text")?.to_owned();
        let to = names(to).map_err(|reason| format!("mapping of {from}: {reason}"))?;
        if to.is_empty() || to.iter().any(String::is_empty) {
            return Err(format!("mapping of {from}: no new name"));
        }
        renamed.insert(from, to);
    }
    Ok(renamed)
}

fn added(map: &mut Mapping) -> Result<Vec<DetectionItem>, String> {
    let Some(Value::Mapping(pairs)) = map.remove("conditions") else {
        return Err("conditions must name fields and values".into());
    };
    let mut items = Vec::new();
    for (field, value) in pairs {
        let name = field.as_str().ok_or("a field name under conditions is no text")?;
        let spec = parse_field_spec(name).map_err(|error| error.to_string())?;
        if spec.name.is_none() {
            return Err("a field under conditions has no name".into());
        }
        let raw = spec.has_modifier(Modifier::Re);
        let read = |value: &Value| match (raw, value) {
            (true, Value::String(text)) => SigmaValue::from_raw_string(text),
            _ => SigmaValue::from_yaml(value),
        };
        let values = match &value {
            Value::Sequence(values) => values.iter().map(read).collect(),
            single => vec![read(single)],
        };
        items.push(DetectionItem { field: spec, values });
    }
    match items.is_empty() {
        true => Err("conditions are empty".into()),
        false => Ok(items),
    }
}

fn conditions<T>(
    map: &mut Mapping,
    of: &str,
    read: fn(&str, &mut Mapping) -> Result<T, String>,
) -> Result<Conditions<T>, String> {
    let short = if of == "rule" { "rule_cond" } else { "field_name_cond" };
    let any = match text_of(map, &format!("{short}_op"))?.as_deref() {
        None | Some("and") => false,
        Some("or") => true,
        Some(other) => return Err(format!("{short}_op is {other:?}: use and, or")),
    };
    let negated = flag(map, &format!("{short}_not"))?;
    let name = format!("{of}_conditions");
    let mut list = Vec::new();
    match map.remove(name.as_str()) {
        None => {}
        Some(Value::Sequence(found)) => {
            for value in found {
                let Value::Mapping(mut map) = value else {
                    return Err(format!("{name}: a condition is no mapping"));
                };
                let kind = text_of(&mut map, "type")?.ok_or_else(|| format!("{name}: no type"))?;
                let condition = read(&kind, &mut map)
                    .and_then(|condition| nothing_left(&map).map(|()| condition))
                    .map_err(|reason| format!("{name}: {kind}: {reason}"))?;
                list.push(condition);
            }
        }
        Some(_) => return Err(format!("{name} must be a list")),
    }
    Ok(Conditions { list, any, negated })
}

fn rule_condition(kind: &str, map: &mut Mapping) -> Result<RuleCondition, String> {
    let mut needed = |key: &str| text_of(map, key)?.ok_or_else(|| format!("it needs {key}"));
    Ok(match kind {
        "logsource" => {
            let mut part = |key: &str| text_of(map, key);
            let parts = [part("category")?, part("product")?, part("service")?];
            if parts.iter().all(Option::is_none) {
                return Err("set category, product or service".into());
            }
            RuleCondition::LogSource(parts)
        }
        "contains_field" => RuleCondition::Field(needed("field")?),
        "tag" => RuleCondition::Tag(needed("tag")?),
        "processing_item_applied" => RuleCondition::Applied(needed("processing_item_id")?),
        "processing_state" => RuleCondition::State {
            key: needed("key")?,
            value: scalar(map.remove("val").ok_or("it needs val")?)?,
        },
        _ => {
            return Err("not supported; supported are logsource, contains_field, tag, \
                        processing_item_applied and processing_state"
                .into());
        }
    })
}

fn field_condition(kind: &str, map: &mut Mapping) -> Result<FieldCondition, String> {
    let include = match kind {
        "include_fields" => true,
        "exclude_fields" => false,
        _ => return Err("not supported; supported are include_fields and exclude_fields".into()),
    };
    if let Some(mode) = text_of(map, "mode")?.filter(|mode| mode != "plain") {
        return Err(format!("the mode {mode} is not supported: use plain"));
    }
    let fields = texts(map, "fields")?.into_iter().collect();
    Ok(if include { FieldCondition::Include(fields) } else { FieldCondition::Exclude(fields) })
}

fn nothing_left(map: &Mapping) -> Result<(), String> {
    match map.keys().next() {
        None => Ok(()),
        Some(key) => {
            let name = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
            Err(format!("{name} is not supported"))
        }
    }
}

fn flag(map: &mut Mapping, key: &str) -> Result<bool, String> {
    match map.remove(key) {
        None => Ok(false),
        Some(Value::Bool(set)) => Ok(set),
        Some(_) => Err(format!("{key} must be true or false")),
    }
}

fn text_of(map: &mut Mapping, key: &str) -> Result<Option<String>, String> {
    match map.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} must be text")),
    }
}

fn texts(map: &mut Mapping, key: &str) -> Result<Vec<String>, String> {
    map.remove(key).map_or(Ok(Vec::new()), names).map_err(|reason| format!("{key}: {reason}"))
}

fn names(value: Value) -> Result<Vec<String>, String> {
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err("a name must be text".to_owned()),
    };
    match value {
        Value::Sequence(values) => values.into_iter().map(text).collect(),
        single => Ok(vec![text(single)?]),
    }
}

fn scalars(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Sequence(values) => values.into_iter().map(scalar).collect(),
        single => Ok(vec![scalar(single)?]),
    }
}

fn scalar(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("a value must be text, a number, true or false".into()),
    }
}
