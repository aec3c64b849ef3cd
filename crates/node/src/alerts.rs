//! Alerts as screens and commands show them.

use crate::{Node, NodeError};
use serde::Deserialize;
use serde_json::{Value, json};
use yagura_desk::{Alert, AlertFilter, AlertId, AlertSort, AlertState, Verdict};
use yagura_event::Level;

/// Most alerts one answer carries.
const ALERTS_PER_PAGE_MAX: usize = 1_000;

/// Most event ids an alert carries: enough to look at it. `count` tells how many events it has.
const EVENT_IDS_SHOWN_MAX: usize = 20;

/// Which alerts are asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertQuery {
    /// `new`, `acknowledged` or `closed`.
    pub state: Option<AlertState>,
    /// This level or above.
    pub level: Option<Level>,
    /// Words in the rule's name, the entity or the sentences.
    pub text: Option<String>,
    /// At most so many (default 100).
    pub limit: Option<usize>,
    /// So many of the newest left out.
    pub offset: usize,
    /// `newest` (default), `severity` or `story`.
    pub sort: Order,
}

impl AlertQuery {
    /// From names and values, as in the query part of an address.
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, NodeError> {
        let mut object = serde_json::Map::new();
        for (name, value) in pairs {
            let number = matches!(name.as_str(), "limit" | "offset");
            let value = match value.parse::<u64>() {
                Ok(count) if number => json!(count),
                _ => json!(value),
            };
            object.insert(name, value);
        }
        serde_json::from_value(Value::Object(object)).map_err(|error| {
            NodeError::request(
                error.to_string(),
                format!("絞り込みの条件に誤りがあります（{error}）"),
            )
        })
    }
}

/// Order of a list of alerts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Latest event first.
    #[default]
    Newest,
    /// Most severe first.
    Severity,
    /// As the story went.
    Story,
}

/// What someone decides about an alert.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActRequest {
    /// Why.
    pub note: Option<String>,
    /// What it was; needed to close.
    pub verdict: Option<Verdict>,
}

impl Node {
    /// The alerts of a query, newest first.
    pub fn alerts(&self, query: &AlertQuery) -> Value {
        let filter = AlertFilter {
            states: query.state.into_iter().collect(),
            min_level: query.level,
            text: query.text.clone(),
            limit: query.limit.unwrap_or(100).min(ALERTS_PER_PAGE_MAX),
            offset: query.offset,
            sort: match query.sort {
                Order::Newest => AlertSort::Newest,
                Order::Severity => AlertSort::Severity,
                Order::Story => AlertSort::Story,
            },
            ..AlertFilter::default()
        };
        let page = self.desk().alerts(&filter);
        let alerts: Vec<Value> = page.alerts.iter().map(|alert| self.shown(alert)).collect();
        json!({ "alerts": alerts, "total": page.total })
    }

    /// Records what `who` decided about alert `id`.
    pub fn act_on_alert(
        &self,
        id: &str,
        act: &str,
        request: ActRequest,
        who: &str,
    ) -> Result<Value, NodeError> {
        let no_such = || NodeError::NotFound {
            message: format!("there is no alert {id}"),
            message_ja: format!("アラート {id} はありません"),
        };
        let id = id.parse().map_err(|_| no_such())?;
        let desk = self.desk();
        let note = request.note.as_deref().unwrap_or_default();
        let done = match act {
            "acknowledge" => desk.acknowledge(id, who, note),
            "comment" => desk.comment(id, who, note),
            "reopen" => desk.reopen(id, who, note),
            "close" => match request.verdict {
                Some(verdict) => desk.close(id, who, verdict, note),
                None => {
                    return Err(NodeError::request(
                        "closing needs a verdict: true_positive, false_positive, benign or duplicate",
                        "クローズには判定が必要です: true_positive、false_positive、benign、duplicate",
                    ));
                }
            },
            _ => {
                return Err(NodeError::request(
                    format!("unknown act {act:?}: use acknowledge, comment, close or reopen"),
                    format!(
                        "不明な操作 {act:?} です。acknowledge、comment、close、reopen のいずれかを使ってください"
                    ),
                ));
            }
        };
        match done {
            Ok(alert) => Ok(self.shown(&alert)),
            Err(yagura_desk::DeskError::NoSuchAlert { .. }) => Err(no_such()),
            Err(error) => {
                let words = error.words();
                Err(NodeError::request(words.en(), words.ja()))
            }
        }
    }
}

/// An alert with ECS names, and what a page needs to show it.
fn shown(alert: &Alert) -> Value {
    let mut value = serde_json::to_value(alert).unwrap_or_default();
    value["first_seen"] = json!(alert.first_seen);
    value["last_seen"] = json!(alert.last_seen);
    value["count"] = json!(alert.count);
    value["entity"] = json!({ "kind": alert.entity.kind, "value": alert.entity.value });
    value["event.ids"] = json!(&alert.event_ids[..alert.event_ids.len().min(EVENT_IDS_SHOWN_MAX)]);
    value["event.id"] = json!(alert.event_ids.first());
    value["sentence"] = json!({ "ja": alert.first_sentence_ja, "en": alert.first_sentence_en });
    value["phase"] = json!(alert.rule.phase);
    value
}

impl Node {
    /// An alert as shown, with what was decided before about the same rule and entity.
    fn shown(&self, alert: &Alert) -> Value {
        let mut value = shown(alert);
        if let Some(precedent) = self.desk().precedent(alert) {
            value["precedent"] = json!(precedent);
        }
        value
    }

    /// One alert, explained: why, what to check, what was decided before, the risk of those it is
    /// about, and conditions that an exception could use.
    pub fn alert(&self, id: &str) -> Result<Value, NodeError> {
        let no_such = || NodeError::NotFound {
            message: format!("there is no alert {id}"),
            message_ja: format!("アラート {id} はありません"),
        };
        let id: AlertId = id.parse().map_err(|_| no_such())?;
        let alert = self.desk().alert(id).ok_or_else(no_such)?;
        let explanation = yagura_desk::explain(&alert, self.dictionary());
        let conditions = explanation.held.iter().map(
            |held| json!({ "field": held.field, "value": yagura_detect::literal(&held.value) }),
        );
        let mut value = self.shown(&alert);
        value["risk"] = json!(self.desk().risk_around(&alert));
        value["exception_conditions"] = conditions.collect();
        value["explanation"] = json!(explanation);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use yagura_desk::{AuditError, AuditLog, Desk, DeskOptions, EventWords, Finding, RuleCopy};
    use yagura_event::{EventId, ManualClock, StreamName, UtcMicros};

    struct Nowhere;
    impl AuditLog for Nowhere {
        fn append(&self, _: Vec<Value>) -> Result<(), AuditError> {
            Ok(())
        }
    }

    /// An alert of so many events.
    fn alert(events: u32) -> Arc<Alert> {
        let at = UtcMicros::from_micros(0);
        let clock = Arc::new(ManualClock::at(at));
        let desk = Desk::new(DeskOptions::default(), Arc::new(Nowhere), clock);
        let rule = RuleCopy::named("u".into(), "Rule".into(), "規則".into(), Level::High);
        let rule = Arc::new(rule);
        let finding = |index| Finding {
            rule: rule.clone(),
            dataset: "linux.auth".into(),
            host: Some("web01".into()),
            user: None,
            source_ip: None,
            event_id: EventId { stream: StreamName::new("syslog").unwrap(), batch: 1, index },
            timestamp: at,
            received: at,
            words: EventWords::Said { ja: "日".into(), en: "en".into() },
            evidence: Vec::new(),
        };
        let changes = desk.observe((0..events).map(finding).collect()).unwrap();
        changes.last().unwrap().alert.clone()
    }

    #[test]
    fn an_alert_carries_at_most_so_many_event_ids_and_its_whole_count() {
        let most = u32::try_from(EVENT_IDS_SHOWN_MAX).unwrap();
        for (events, ids) in [(most, most), (most + 1, most)] {
            let shown = shown(&alert(events));
            assert_eq!(shown["event.ids"].as_array().unwrap().len(), ids as usize);
            assert_eq!(shown["count"], events);
            assert_eq!(shown["event.id"], "syslog/1/0");
            assert_eq!(shown["sentence"]["ja"], "日");
        }
    }
}
