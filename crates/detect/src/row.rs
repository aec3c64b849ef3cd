//! Conditions about one row, written as a Sigma selection: what exceptions from rules are made of.

use crate::condition;
use crate::expression::Expression;
use crate::item::{Atom, AtomTable, RuleAtoms};
use crate::limits::ROW_CONDITION_BYTES_MAX;
use crate::predicate::Predicate;
use crate::ruleset::check_text;
use crate::text::fold;
use crate::view::View;
use rsigma_parser::Detection;
use std::collections::BTreeSet;
use yagura_event::{EventBatch, FieldDictionary};

/// A selection (`field|modifiers: values`, all of which must hold) that is tested on single rows,
/// with the predicates of the engine. Meant for the few rows that a rule matched; it remembers
/// nothing between rows.
#[derive(Debug)]
pub struct RowCondition {
    atoms: AtomTable,
    expression: Expression,
}

impl RowCondition {
    /// Reads a selection: one JSON object, whose members are Sigma's `field|modifiers` and their
    /// values. Fields have the names that rules use, or those of the dictionary.
    ///
    /// # Errors
    /// Why it is no selection that can be honoured, in English.
    pub fn parse(selection: &str) -> Result<RowCondition, String> {
        if selection.len() > ROW_CONDITION_BYTES_MAX {
            return Err(format!("the conditions are longer than {ROW_CONDITION_BYTES_MAX} bytes"));
        }
        if !selection.trim_start().starts_with('{') {
            return Err("the conditions must be an object of field: values".into());
        }
        // JSON is YAML, so the one parser of rules reads it: no second reading of modifiers and
        // wildcards that could differ.
        let document = format!(
            "title: condition\nlogsource:\n  category: any\ndetection:\n  selection: {}\n  \
             condition: selection\n",
            selection.replace(['\r', '\n'], " ")
        );
        check_text(&document)?;
        let parsed = rsigma_parser::parse_sigma_yaml(&document).map_err(|e| e.to_string())?;
        let [rule] = parsed.rules.as_slice() else {
            let reason = parsed.errors.first().map_or("not a selection", String::as_str);
            return Err(reason.to_owned());
        };
        let named = rule.detection.named.get("selection");
        let Some(Detection::AllOf(items)) = named else {
            return Err("the conditions must be an object of field: values".into());
        };
        if items.iter().any(|item| item.field.name.is_none()) {
            return Err("every condition must name a field".into());
        }
        let mut atoms = AtomTable::default();
        let expression = condition::compile(&rule.detection, &mut RuleAtoms::new(&mut atoms))
            .map_err(|reason| reason.strip_prefix("selection: ").unwrap_or(&reason).to_owned())?;
        Ok(RowCondition { atoms, expression })
    }

    /// The columns of events of `dataset` that it looks at.
    pub fn columns(&self, dictionary: &FieldDictionary, dataset: &str) -> BTreeSet<String> {
        let fields = self.atoms.atoms.iter().flat_map(|atom| match atom {
            Atom::Value { field, .. } => [field.as_deref(), None],
            Atom::Fields { field, other, .. } => [Some(&**field), Some(&**other)],
        });
        fields.flatten().map(|field| dictionary.sigma_column(dataset, field).into_owned()).collect()
    }

    /// Whether it holds for a row of `batch`.
    pub fn holds(&self, dictionary: &FieldDictionary, batch: &EventBatch, row: usize) -> bool {
        let value = |field: &str| {
            let column = dictionary.sigma_column(&batch.dataset, field);
            let view = View::new(batch.columns.column_by_name(&column)?)?;
            let slot = view.slot(row)?;
            Some(view.text(slot).into_owned())
        };
        self.expression.holds(&mut |atom| match self.atoms.atoms.get(atom as usize) {
            Some(Atom::Value { field: Some(field), test }) => {
                let Some(value) = value(field) else { return false };
                self.atoms.tests.get(*test).is_some_and(|test| match test.predicate {
                    Predicate::Exists => true,
                    _ => test.holds(&value, &fold(&value)),
                })
            }
            Some(Atom::Fields { field, other, place, cased }) => {
                let Some((left, right)) = value(field).zip(value(other)) else { return false };
                match cased {
                    true => place.holds(&right, &left),
                    false => place.holds(&fold(&right), &fold(&left)),
                }
            }
            Some(Atom::Value { field: None, .. }) | None => false,
        })
    }
}

/// `value` as Sigma must write it to mean exactly these characters: with `*`, `?` and ambiguous
/// backslashes escaped.
pub fn literal(value: &str) -> String {
    let mut written = String::with_capacity(value.len() + 4);
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let special = match character {
            '*' | '?' => true,
            // A backslash before anything else stands for itself.
            '\\' => matches!(characters.peek(), None | Some('*' | '?' | '\\')),
            _ => false,
        };
        if special {
            written.push('\\');
        }
        written.push(character);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use yagura_event::{BatchBuilder, CommittedRun, Record, StreamName, Transport, UtcMicros};

    fn dictionary() -> Arc<FieldDictionary> {
        let text = "[[field]]\nname='user.name'\nja='利用者'\nen='User'\n\
                    [sigma.'windows.']\nUser='user.name'\n\
                    [native]\n'windows.'='winlog.event_data.'\n";
        Arc::new(FieldDictionary::from_toml(text).unwrap())
    }

    fn batch(fields: &[(&str, &str)]) -> EventBatch {
        let at = UtcMicros::from_micros(0);
        let record = Record {
            received: at,
            transport: Transport::SyslogTcp,
            peer: "".into(),
            identity: "".into(),
            bytes: Vec::new().into(),
        };
        let run = CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![record.clone()],
        };
        let mut builder = BatchBuilder::new("windows.security", dictionary());
        builder.begin_row(&run, 0, &record);
        fields.iter().for_each(|(name, value)| builder.set(name, value));
        builder.finish().unwrap()
    }

    fn holds(selection: &str, fields: &[(&str, &str)]) -> bool {
        RowCondition::parse(selection).unwrap().holds(&dictionary(), &batch(fields), 0)
    }

    #[test]
    fn a_selection_holds_for_a_row_as_it_would_in_a_rule() {
        let row = [("user.name", "svc-Backup"), ("winlog.event_data.TargetFilename", r"C:\a.dmp")];
        for (selection, expected) in [
            (r#"{"user.name":"SVC-backup"}"#, true),
            (r#"{"User|endswith":"backup"}"#, true),
            (r#"{"User":["x","svc-*"],"TargetFilename|re":"\\.dmp$"}"#, true),
            (r#"{"User":"svc-backup","TargetFilename":"C:\\b.dmp"}"#, false),
            (r#"{"User|cased":"svc-backup"}"#, false),
            (r#"{"nothing":null}"#, true),
            (r#"{"nothing|exists":true}"#, false),
            (r#"{"User|neq":"root"}"#, true),
            ("{\"User\":\n\"svc-backup\"}", true),
        ] {
            assert_eq!(holds(selection, &row), expected, "{selection}");
        }
    }

    #[test]
    fn the_columns_it_looks_at_are_named() {
        let selection = r#"{"User":"x","TargetFilename|exists":true,"a|fieldref":"User"}"#;
        let condition = RowCondition::parse(selection).unwrap();
        let columns = condition.columns(&dictionary(), "windows.security");
        assert_eq!(
            columns.iter().collect::<Vec<_>>(),
            ["user.name", "winlog.event_data.TargetFilename", "winlog.event_data.a"]
        );
    }

    #[test]
    fn what_is_no_selection_is_refused_with_the_reason() {
        for (selection, reason) in [
            ("", "must be an object"),
            ("[1]", "must be an object"),
            ("{}", "empty"),
            ("{\"|contains\":\"x\"}", "name a field"),
            (r#"{"a|nonsense":"x"}"#, "nonsense"),
            (r#"{"a|re":"("}"#, "regular expression"),
            (r#"{"a":"x"}, condition: b"#, ""),
        ] {
            let error = RowCondition::parse(selection).unwrap_err();
            assert!(error.contains(reason), "{selection}: {error}");
        }
        let long = |bytes: usize| {
            let text = r#"{"a":""}"#;
            RowCondition::parse(&text.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - 8))))
        };
        assert!(long(ROW_CONDITION_BYTES_MAX).is_ok());
        assert!(long(ROW_CONDITION_BYTES_MAX + 1).unwrap_err().contains("longer"));
    }

    proptest! {
        #[test]
        fn a_literal_means_exactly_its_characters(value in r"[a-z*?\\ あ']{1,12}") {
            let selection = serde_json::json!({ "User": literal(&value) }).to_string();
            prop_assert!(holds(&selection, &[("user.name", &value)]), "{selection}");
            let other = format!("{value}x");
            prop_assert!(!holds(&selection, &[("user.name", &other)]), "{selection}");
            let other = value.replacen(['*', '?'], "q", 1);
            prop_assert_eq!(holds(&selection, &[("user.name", &other)]), other == value);
        }
    }
}
