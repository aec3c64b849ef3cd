//! What a finding says: of its event, of its rule, and of what the rule saw in the event.

use crate::limits::VALUE_CHARS_MAX;
use crate::line::{Line, Piece};
use crate::row::{BatchView, Finding, Values};
use crate::tags;
use std::borrow::Cow;
use yagura_detect::Match;
use yagura_event::{UtcMicros, columns};

/// What every finding says of its event, by its ECS name, in this order: first who and where.
const SAID: [&str; 18] = [
    "event.code",
    HOST,
    USER,
    "user.domain",
    "source.ip",
    "winlog.channel",
    "winlog.record_id",
    "process.executable",
    "process.command_line",
    "process.parent.executable",
    "user.target.name",
    "file.path",
    "registry.path",
    "service.name",
    "destination.ip",
    "destination.port",
    "dns.question.name",
    "url.original",
];

const HOST: &str = "host.name";
const USER: &str = "user.name";

/// From here on: what an examiner looks for first, whatever the rule looked at. It may be long.
const CONTEXT_FROM: usize = 7;

/// Writes the findings of one batch: where its columns are is looked up once.
pub(crate) struct Teller<'a, 'b> {
    view: &'b BatchView<'a>,
    said: [Option<Values<'a>>; SAID.len()],
    host: Option<Values<'a>>,
    user: Option<Values<'a>>,
}

/// What findings say of one row: before what they say of their rule, and behind it.
#[derive(Debug, Default)]
pub(crate) struct RowText {
    before: Piece,
    behind: Piece,
}

impl<'a, 'b> Teller<'a, 'b> {
    pub fn new(view: &'b BatchView<'a>) -> Self {
        let values = |name: &str| view.values(name);
        Teller { view, said: SAID.map(values), host: values(HOST), user: values(USER) }
    }

    /// Writes what is said of `row`, which is called `id`, is in the log `log`, and says `sentence`.
    pub fn row(&self, row: usize, (log, id, sentence): (&str, &str, &str), text: &mut RowText) {
        text.before.clear();
        let before = &mut text.before;
        before.put(columns::TIMESTAMP, &UtcMicros::from_micros(self.view.time(row)).to_string());
        before.put("message", sentence);
        text.behind.clear();
        let behind = &mut text.behind;
        behind.put("log.file.path", log);
        behind.put("event.id", id);
        behind.put("event.dataset", self.view.dataset());
        for (number, (name, values)) in SAID.into_iter().zip(&self.said).enumerate() {
            let value = values.as_ref().and_then(|values| values.of(row));
            match value {
                value if name == HOST => behind.put_or_null(name, value),
                value if number < CONTEXT_FROM => behind.put_text(name, value),
                value => behind.put_text(name, value.map(shortened)),
            }
        }
    }

    /// The finding of a match on the row of `text`, written by way of `memory`.
    pub fn finding(
        &self,
        matched: &Match,
        rule: &Piece,
        text: &RowText,
        memory: &mut Vec<u8>,
    ) -> Box<[u8]> {
        let mut line = Line::new(memory);
        [&text.before, rule, &text.behind].into_iter().for_each(|piece| line.put_piece(piece));
        for evidence in &matched.evidence {
            let whole = self.view.value(&evidence.field, matched.row);
            let whole = whole.unwrap_or(Cow::Borrowed(&evidence.value));
            line.put(&evidence.field, &shortened(whole));
        }
        let pieces = matched.evidence.iter();
        let pieces = pieces.map(|one| [&*one.field, one.value.as_str(), one.predicate.as_str()]);
        line.put_objects("rule.evidence", ["field", "value", "predicate"], pieces);
        line.finish()
    }

    /// The host and the user of `row`, empty where it has none.
    pub fn host_and_user(&self, row: usize) -> (Cow<'a, str>, Cow<'a, str>) {
        let of = |values: &Option<Values<'a>>| values.as_ref().and_then(|values| values.of(row));
        (of(&self.host).unwrap_or_default(), of(&self.user).unwrap_or_default())
    }
}

/// `text`, or as much of it as a finding may say.
fn shortened(text: Cow<'_, str>) -> Cow<'_, str> {
    // No character has less than a byte.
    match text.len() <= VALUE_CHARS_MAX {
        true => text,
        false => shorten(&text, VALUE_CHARS_MAX).into(),
    }
}

/// `text`, or its first `chars` characters and `…`.
pub(crate) fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Finding {
    pub(crate) fn put_rule(&mut self, rule: &yagura_detect::RuleInfo, kind: &'static str) {
        self.put("rule.uuid", rule.id.as_str());
        self.put("rule.name", rule.title.as_str());
        self.put_text("rule.name_ja", rule.title_ja.as_deref());
        self.put("rule.level", rule.level.as_str());
        self.put("rule.type", kind);
        self.put_text("rule.author", rule.author.as_deref());
        self.put_text("rule.license", rule.license.as_deref());
        let list = |items: Vec<String>| (!items.is_empty()).then_some(items);
        if let Some(tags) = list(rule.tags.clone()) {
            self.put("rule.tags", tags);
        }
        if let Some(techniques) = list(tags::techniques(&rule.tags)) {
            self.put("threat.technique.id", techniques);
        }
        if let Some(tactics) = list(tags::tactics(&rule.tags)) {
            self.put("threat.tactic.name", tactics);
        }
    }

    pub(crate) fn put_evidence(&mut self, evidence: &[yagura_detect::Evidence]) {
        let pieces = evidence.iter().map(|piece| {
            serde_json::json!({
                "field": &*piece.field,
                "value": piece.value,
                "predicate": piece.predicate,
            })
        });
        self.put("rule.evidence", serde_json::Value::Array(pieces.collect()));
    }
}
