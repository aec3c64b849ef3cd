//! Exceptions, risk, quality of rules and gaps, as screens and commands show them.

use crate::{Node, NodeError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use yagura_desk::{AlertId, DeskError, EXCEPTION_DAYS, Entity, ExceptionId, Lasts, NewException};
use yagura_query::closest;

/// Most entities, rules or gaps one answer carries.
const ROWS_MAX: usize = 1_000;

/// What somebody asks to be excepted from rules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExceptionRequest {
    /// UUIDs of rules.
    pub rules: Vec<String>,
    /// Tags of rules.
    pub tags: Vec<String>,
    /// A Sigma selection about the event.
    pub conditions: Map<String, Value>,
    /// The host, user, source address or dataset.
    pub entity: Option<Entity>,
    /// Every match of the rules: they are then off.
    pub everything: bool,
    /// Why; needed.
    pub reason: String,
    /// How many days (default 90).
    pub days: Option<u32>,
    /// Until somebody removes it, instead of a number of days.
    pub until_removed: bool,
    /// The alert it is made from.
    pub alert: Option<String>,
}

/// Why an exception is taken back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoveRequest {
    /// Why.
    pub note: String,
}

impl Node {
    /// All exceptions, newest first, with what they took away.
    pub fn exceptions(&self) -> Value {
        let all = self.desk().all_exceptions();
        let unreadable: Vec<_> = self.desk().exceptions().unreadable().to_vec();
        json!({ "exceptions": all, "total": all.len(), "unreadable": unreadable })
    }

    /// The last matches an exception took away.
    pub fn suppressed_by(&self, id: &str) -> Result<Value, NodeError> {
        let id = exception_id(id)?;
        let exception = self.desk().exception(id).ok_or_else(|| no_exception(&id.to_string()))?;
        let matches = self.desk().suppressed_by(id);
        Ok(json!({ "exception": exception, "matches": matches }))
    }

    /// Adds an exception in the name of `who`.
    pub fn add_exception(&self, request: ExceptionRequest, who: &str) -> Result<Value, NodeError> {
        let lasts = match (request.until_removed, request.days) {
            (true, None) => Lasts::UntilRemoved,
            (false, days) => Lasts::Days(days.unwrap_or(EXCEPTION_DAYS)),
            (true, Some(_)) => {
                return Err(NodeError::request(
                    "either a number of days or until_removed",
                    "days と until_removed は同時に指定できません",
                ));
            }
        };
        self.check_fields(&request)?;
        let alert = request.alert.map(|id| id.parse::<AlertId>()).transpose();
        let alert = alert.map_err(|error| {
            NodeError::request(error.to_string(), "アラートのIDではありません（例: A-000001）")
        })?;
        let new = NewException {
            rules: request.rules,
            tags: request.tags,
            conditions: request.conditions,
            entity: request.entity,
            everything: request.everything,
            reason: request.reason,
            lasts,
            alert,
        };
        self.desk().add_exception(who, new).map(|view| json!(view)).map_err(refused)
    }

    /// Refuses conditions about fields that no event has: they would never hold, and nobody would see
    /// why. Known are those of the dictionary, Sigma's names, those of stored events, and those that
    /// the rules themselves ask for.
    fn check_fields(&self, request: &ExceptionRequest) -> Result<(), NodeError> {
        let asked = request.conditions.keys();
        let asked = asked.map(|key| key.split('|').next().unwrap_or_default().trim());
        // The one who reads conditions says it where no field is named at all.
        let asked = asked.filter(|field| !field.is_empty());
        let unsure: Vec<&str> = asked.filter(|field| !self.is_listed(field)).collect();
        if unsure.is_empty() {
            return Ok(());
        }
        let columns = self.lake().columns();
        let stored = |field: &str| {
            // Native fields are stored behind the prefix of their source.
            let is_last_part =
                |name: &str| name.strip_suffix(field).is_some_and(|start| start.ends_with('.'));
            columns.iter().any(|column| *column.name == *field || is_last_part(&column.name))
        };
        let rules = self.ruleset().fields_asked(|rule| {
            request.rules.iter().any(|id| id.eq_ignore_ascii_case(&rule.id))
                || request
                    .tags
                    .iter()
                    .any(|tag| rule.tags.iter().any(|other| other.eq_ignore_ascii_case(tag)))
        });
        let unknown = unsure.into_iter().find(|field| !stored(field) && !rules.contains(*field));
        let Some(field) = unknown else { return Ok(()) };
        let dictionary = self.dictionary();
        let names = dictionary.fields().map(|field| field.name.as_str());
        let names = names.chain(rules.iter().map(|name| &**name));
        let names = names.chain(columns.iter().map(|column| &*column.name));
        let sigma = dictionary.sigma_names().flat_map(|(_, names)| names.keys());
        let meant = closest(field, names.chain(sigma.map(String::as_str)));
        let (en, ja) = match meant {
            Some(meant) => {
                (format!(": did you mean {meant}?"), format!("。{meant} のことでしょうか"))
            }
            None => (String::new(), String::new()),
        };
        Err(NodeError::request(
            format!("there is no field {field}{en}"),
            format!("項目 {field} はありません{ja}"),
        ))
    }

    /// Whether the dictionary has the field, under our name or Sigma's.
    fn is_listed(&self, field: &str) -> bool {
        let dictionary = self.dictionary();
        dictionary.field(field).is_some()
            || dictionary.sigma_names().any(|(_, names)| names.contains_key(field))
    }

    /// Takes an exception back in the name of `who`.
    pub fn remove_exception(
        &self,
        id: &str,
        request: &RemoveRequest,
        who: &str,
    ) -> Result<Value, NodeError> {
        let id = exception_id(id)?;
        if self.desk().exception(id).is_none() {
            return Err(no_exception(&id.to_string()));
        }
        let removed = self.desk().remove_exception(id, who, &request.note);
        removed.map(|view| json!(view)).map_err(refused)
    }

    /// Entities by risk, the highest first.
    pub fn risk(&self, limit: usize) -> Value {
        let (entities, total) = self.desk().risk(limit.min(ROWS_MAX));
        json!({ "entities": entities, "total": total })
    }

    /// Rules with alerts, noisy ones first, measured by what people decided.
    pub fn rule_quality(&self) -> Value {
        let mut rules = self.desk().quality();
        let total = rules.len();
        rules.truncate(ROWS_MAX);
        json!({ "rules": rules, "total": total })
    }

    /// Detection gaps: open ones first, then those that ended last.
    pub fn gaps(&self, open_only: bool, limit: usize) -> Value {
        let all = self.desk().gaps();
        let open = all.iter().filter(|gap| gap.end.is_none()).count();
        let shown = all.iter().filter(|gap| !open_only || gap.end.is_none());
        let shown: Vec<_> = shown.take(limit.min(ROWS_MAX)).collect();
        let total = if open_only { open } else { all.len() };
        json!({ "gaps": shown, "open": open, "total": total })
    }
}

fn exception_id(text: &str) -> Result<ExceptionId, NodeError> {
    text.parse().map_err(|_| no_exception(text))
}

fn no_exception(id: &str) -> NodeError {
    NodeError::NotFound {
        message: format!("there is no exception {id}"),
        message_ja: format!("例外 {id} はありません"),
    }
}

fn refused(error: DeskError) -> NodeError {
    match error {
        DeskError::Audit(error) => NodeError::NotRecorded(error.to_string()),
        other => {
            let words = other.words();
            NodeError::request(words.en(), words.ja())
        }
    }
}
