use crate::Place;
use crate::backend::Backend;
use crate::output::{Format, Row, RowWriter, visible};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stdout};
use std::process::ExitCode;
use yagura_detect::literal;
use yagura_event::Lang;
use yagura_node::SearchQuery;
use yagura_rulebook::tune::{Hits, Noisy, Suggestion};

/// `yagura rules tune`
#[derive(Args)]
#[command(after_help = "\
Every alert of the store is counted; the fields of up to --events of each rule's events are compared.
What most hits share, and the rule itself does not ask for, is what an exception could be about. A true
attack shares fields too: look before you leave out.

Examples:
  yagura rules tune
  yagura rules tune --server http://127.0.0.1:8440 --min-hits 100
  yagura rules tune --output jsonl")]
pub struct Tune {
    #[command(flatten)]
    place: Place,
    /// Only rules with at least so many hits
    #[arg(long, default_value_t = 10)]
    min_hits: u64,
    /// Only the noisiest so many rules
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Events looked at for each rule, at most
    #[arg(long, default_value_t = 200)]
    events: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
}

/// Alerts asked for at once.
const PAGE: usize = 1_000;

/// Alerts that are looked at.
const ALERTS_MAX: usize = 1_000_000;

/// Events asked for in one search.
const IDS_PER_SEARCH: usize = 50;

#[derive(Default)]
struct OfRule {
    title: String,
    title_ja: String,
    hits: Hits,
    event_ids: Vec<String>,
    /// Fields that the rule itself asks for.
    asked: BTreeSet<String>,
}

impl Tune {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let found = self.look(&backend, lang).await;
        backend.close().await;
        let found = found?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        for noisy in &found {
            for row in rows(noisy, self.output == Format::Table, lang) {
                writer.write(row)?;
            }
        }
        writer.finish()?;
        if self.output == Format::Table && found.iter().any(|noisy| !noisy.suggestions.is_empty()) {
            let title = match lang {
                Lang::En => "To make one of these exceptions, once you know the reason:",
                Lang::Ja => "例外を作るには（理由を確かめてから）:",
            };
            writeln!(stdout(), "\n{title}")?;
            let all =
                found.iter().flat_map(|noisy| noisy.suggestions.iter().map(move |s| (noisy, s)));
            for (noisy, one) in all {
                writeln!(stdout(), "  {}", visible(&command(&noisy.rule_id, one, lang)))?;
            }
        }
        match (found.len(), lang) {
            (0, Lang::En) => eprintln!("no rule has {} hits or more", self.min_hits),
            (0, Lang::Ja) => eprintln!("{}件以上検知したルールはありません", self.min_hits),
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn look(&self, backend: &Backend, lang: Lang) -> Result<Vec<Noisy>> {
        let mut rules: BTreeMap<String, OfRule> = BTreeMap::new();
        for page in 0..ALERTS_MAX / PAGE {
            let query = [("limit", PAGE.to_string()), ("offset", (page * PAGE).to_string())];
            let answer = backend.alerts(&query).await?;
            let alerts = answer["alerts"].as_array().cloned().unwrap_or_default();
            alerts.iter().for_each(|alert| self.note(alert, &mut rules));
            if alerts.len() < PAGE {
                break;
            }
        }
        let mut noisiest: Vec<_> = rules.into_iter().collect();
        noisiest.retain(|(_, rule)| rule.hits.hits() >= self.min_hits);
        noisiest.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.hits.hits()));
        noisiest.truncate(self.limit);
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        let listed = backend.rules().await?;
        let of_events = |row: &&Value| row["kind"] == "rule";
        let about_events: BTreeSet<&str> = listed["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(of_events)
            .filter_map(|row| row["rule.uuid"].as_str())
            .collect();
        for (id, mut rule) in noisiest {
            if about_events.contains(id.as_str()) {
                self.read_events(backend, &mut rule, &mut unread).await?;
            } else {
                rule.hits.entities_only();
            }
            let title = match lang {
                Lang::Ja if !rule.title_ja.is_empty() => &rule.title_ja,
                _ => &rule.title,
            };
            found.push(rule.hits.report(&id, title, |field, _| rule.asked.contains(field)));
        }
        crate::searching::say_unread(&unread, lang);
        Ok(found)
    }

    fn note(&self, alert: &Value, rules: &mut BTreeMap<String, OfRule>) {
        let text = |key: &str| alert[key].as_str().unwrap_or_default();
        let rule = rules.entry(text("rule.uuid").to_owned()).or_default();
        rule.title = text("rule.name").to_owned();
        rule.title_ja = text("rule.name_ja").to_owned();
        let field = match alert["entity"]["kind"].as_str() {
            Some("host") => Some("host.name"),
            Some("user") => Some("user.name"),
            Some("source_ip") => Some("source.ip"),
            Some("dataset") => Some("event.dataset"),
            _ => None,
        };
        let entity = field.zip(alert["entity"]["value"].as_str());
        let verdict = match alert["alert.verdict"].as_str() {
            Some("true_positive") => Some(true),
            Some("false_positive" | "benign") => Some(false),
            _ => None,
        };
        rule.hits.alert(alert["count"].as_u64().unwrap_or(1), entity, verdict);
        let ids = alert["event.ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let room = self.events.saturating_sub(rule.event_ids.len());
        rule.event_ids.extend(ids.take(room).map(str::to_owned));
        let evidence = alert["alert.evidence"].as_array().into_iter().flatten();
        let fields = evidence.filter_map(|piece| piece["field"].as_str());
        rule.asked.extend(fields.map(str::to_owned));
    }

    /// What could not be read goes to `unread`, once for each store.
    async fn read_events(
        &self,
        backend: &Backend,
        rule: &mut OfRule,
        unread: &mut Vec<yagura_node::Unread>,
    ) -> Result<()> {
        for ids in rule.event_ids.chunks(IDS_PER_SEARCH) {
            let terms: Vec<String> = ids.iter().map(|id| format!("event.id:{id}")).collect();
            let query = SearchQuery {
                query: terms.join(" OR "),
                limit: ids.len(),
                ..SearchQuery::default()
            };
            let hits = &mut rule.hits;
            let end = backend
                .search(&query, |row| {
                    let fields =
                        row.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
                    hits.event(fields);
                    Ok(())
                })
                .await?;
            // Suggestions go by the events that could be read.
            for one in end.unread {
                if !unread.iter().any(|known| known.store == one.store) {
                    unread.push(one);
                }
            }
        }
        Ok(())
    }
}

/// The command that makes an exception, for a shell.
fn command(rule: &str, suggestion: &Suggestion, lang: Lang) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let (field, value) = (suggestion.field.as_str(), suggestion.value.as_str());
    let kind = match field {
        "host.name" => Some("host"),
        "user.name" => Some("user"),
        "source.ip" => Some("source_ip"),
        "event.dataset" => Some("dataset"),
        _ => None,
    };
    let about = match kind.filter(|_| suggestion.entity) {
        Some(kind) => format!("--entity {}", quoted(&format!("{kind}:{value}"))),
        None => format!("--where {}", quoted(&format!("{field}={}", literal(value)))),
    };
    let reason = match lang {
        Lang::En => "WHY",
        Lang::Ja => "理由",
    };
    format!("yagura alerts except add --rule {} {about} --reason '{reason}'", quoted(rule))
}

fn rows(noisy: &Noisy, table: bool, lang: Lang) -> Vec<Row> {
    if !table {
        return match serde_json::to_value(noisy) {
            Ok(Value::Object(mut row)) => {
                if let Some(Value::Array(suggestions)) = row.get_mut("suggestions") {
                    for (shown, one) in suggestions.iter_mut().zip(&noisy.suggestions) {
                        shown["command"] = json!(command(&noisy.rule_id, one, lang));
                    }
                }
                vec![row]
            }
            _ => Vec::new(),
        };
    }
    let ja = lang == Lang::Ja;
    let row = |first: bool, what: String, share: String| {
        let mut row = Row::new();
        let mut put = |in_ja: &str, en: &str, value: Value| {
            row.insert(if ja { in_ja } else { en }.to_owned(), value);
        };
        let shown = |value: Value| if first { value } else { json!("") };
        put("ルール", "rule", shown(json!(noisy.rule_title)));
        put("検知数", "hits", shown(json!(noisy.hits)));
        put("アラート", "alerts", shown(json!(noisy.alerts)));
        put("誤検知", "false", shown(json!(noisy.false_alarms)));
        put("例外の候補", "exception", json!(what));
        put("減る割合", "removes", json!(share));
        row
    };
    if noisy.suggestions.is_empty() {
        return vec![row(true, String::new(), String::new())];
    }
    (0..)
        .zip(&noisy.suggestions)
        .map(|(number, suggestion)| {
            let what = format!("{}={}", suggestion.field, suggestion.value);
            row(number == 0, what, format!("{:.0} %", suggestion.share * 100.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_a_suggestion_says_exactly_its_value() {
        let one = |entity, field: &str, value: &str| Suggestion {
            entity,
            field: field.to_owned(),
            value: value.to_owned(),
            share: 1.0,
            removed: 1,
            of: 1,
        };
        let said = command("r", &one(true, "host.name", "BK01"), Lang::En);
        assert_eq!(said, "yagura alerts except add --rule 'r' --entity 'host:BK01' --reason 'WHY'");
        let said = command("r", &one(false, "file.path", r"C:\o'neil\*"), Lang::Ja);
        assert_eq!(
            said,
            r"yagura alerts except add --rule 'r' --where 'file.path=C:\o'\''neil\\\*' --reason '理由'"
        );
    }
}
