use super::BodyError;
use super::json::{check_event, whole_value};
use crate::limits::{BODY_ITEMS_MAX, ELASTIC_NAME_BYTES_MAX, ELASTIC_STREAMS_MAX};
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use yagura_event::StreamName;

/// What a bulk item asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// Add the document.
    Index,
    /// Add the document; Elasticsearch would refuse a second one with the same id, we keep both.
    Create,
    /// Change a document: refused, events never change.
    Update,
    /// Remove a document: refused, events never change.
    Delete,
}

impl BulkAction {
    /// The word in requests and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            BulkAction::Index => "index",
            BulkAction::Create => "create",
            BulkAction::Update => "update",
            BulkAction::Delete => "delete",
        }
    }
}

/// One item of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkItem {
    /// What it asks for.
    pub action: BulkAction,
    /// The index it names, or the request's default; empty when neither is given.
    pub index: String,
    /// The document id it names.
    pub id: Option<String>,
    /// The exact source text of the document, or why the item is refused.
    pub document: Result<Bytes, ItemError>,
}

/// Why a bulk item is refused, in Elasticsearch's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// HTTP status of the item.
    pub status: u16,
    /// Elasticsearch's name of the exception.
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub reason: String,
}

impl ItemError {
    fn new(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        ItemError { status, kind, reason: reason.into() }
    }
}

/// A parsed bulk request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkRequest {
    /// The items, in order; the response answers each.
    pub items: Vec<BulkItem>,
}

/// The keys of an action line that matter here. Others, such as `routing`, are for a cluster.
#[derive(Deserialize, Default)]
struct Meta {
    _index: Option<String>,
    /// A string, or a number as Elasticsearch also takes it.
    _id: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionLine {
    index: Option<Meta>,
    create: Option<Meta>,
    update: Option<Meta>,
    delete: Option<Meta>,
}

/// Parses the decoded body of `POST /_bulk` or `POST /{index}/_bulk`: action lines, each followed by
/// a document line except after `delete`. Blank lines between items and a missing last line end are
/// accepted.
///
/// # Errors
/// [`BodyError::MalformedAction`] when an action line cannot be read, since the lines after it lose
/// their meaning; [`BodyError::TooMany`] past [`BODY_ITEMS_MAX`] items. Nothing is taken then.
/// Everything else is refused item by item.
pub fn parse_bulk(body: &Bytes, default_index: Option<&str>) -> Result<BulkRequest, BodyError> {
    let mut request = BulkRequest::default();
    let mut lines = Lines { body, at: 0, number: 0 };
    while let Some(line) = lines.next_filled() {
        if request.items.len() == BODY_ITEMS_MAX {
            return Err(BodyError::TooMany { limit: BODY_ITEMS_MAX });
        }
        let (action, meta) = parse_action(&line)
            .map_err(|reason| BodyError::MalformedAction { line: lines.number, reason })?;
        let source = if action == BulkAction::Delete { None } else { Some(lines.next()) };
        let index = meta._index.as_deref().or(default_index).unwrap_or_default().to_owned();
        let id = match meta._id {
            Some(Value::String(id)) => Some(id),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        let document = check_names(&index, id.as_deref())
            .and_then(|()| check_document(action, source.flatten(), lines.number));
        request.items.push(BulkItem { action, index, id, document });
    }
    Ok(request)
}

/// Takes the decoded body of `POST /{index}/_doc` and the like: one document, which may span lines. What
/// is wrong with it is said as for an item of a bulk request.
pub fn parse_document(
    body: &Bytes,
    action: BulkAction,
    index: String,
    id: Option<String>,
) -> BulkItem {
    let source = body.slice_ref(body.trim_ascii());
    let document =
        check_names(&index, id.as_deref()).and_then(|()| check_document(action, Some(source), 1));
    BulkItem { action, index, id, document }
}

fn parse_action(line: &[u8]) -> Result<(BulkAction, Meta), String> {
    let parsed: ActionLine = serde_json::from_slice(line)
        .map_err(|error| format!("expected an action such as {{\"index\":{{}}}}: {error}"))?;
    let mut actions = [
        (BulkAction::Index, parsed.index),
        (BulkAction::Create, parsed.create),
        (BulkAction::Update, parsed.update),
        (BulkAction::Delete, parsed.delete),
    ]
    .into_iter()
    .filter_map(|(action, meta)| Some((action, meta?)));
    match (actions.next(), actions.next()) {
        (Some(one), None) => Ok(one),
        _ => Err("expected exactly one of index, create, update or delete".to_owned()),
    }
}

fn check_names(index: &str, id: Option<&str>) -> Result<(), ItemError> {
    let kind = "action_request_validation_exception";
    if index.is_empty() {
        return Err(ItemError::new(400, kind, "Validation Failed: 1: index is missing;"));
    }
    let longest = index.len().max(id.map_or(0, str::len));
    if longest > ELASTIC_NAME_BYTES_MAX {
        let reason =
            format!("the index name or id has {longest} bytes, more than {ELASTIC_NAME_BYTES_MAX}");
        return Err(ItemError::new(400, kind, reason));
    }
    Ok(())
}

fn check_document(
    action: BulkAction,
    source: Option<Bytes>,
    line: usize,
) -> Result<Bytes, ItemError> {
    let kind = "illegal_argument_exception";
    match action {
        BulkAction::Update => {
            return Err(ItemError::new(400, kind, "update is not possible: events never change"));
        }
        BulkAction::Delete => {
            return Err(ItemError::new(400, kind, "delete is not possible: events never change"));
        }
        BulkAction::Index | BulkAction::Create => {}
    }
    let kind = "document_parsing_exception";
    let Some(source) = source.filter(|source| !source.is_empty()) else {
        return Err(ItemError::new(400, kind, format!("line {line}: the document is missing")));
    };
    whole_value(&source).map_err(|fault| {
        let line = line + fault.line.saturating_sub(1);
        let reason = format!("line {line}, column {}: {}", fault.column, fault.reason);
        ItemError::new(400, kind, reason)
    })?;
    check_event(&source)
        .map_err(|reason| ItemError::new(400, kind, format!("line {line}: {reason}")))?;
    Ok(source)
}

/// Lines of a body, without their ends and the blanks around them.
struct Lines<'a> {
    body: &'a Bytes,
    at: usize,
    /// The number of the line last returned, from 1.
    number: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<Bytes> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = self.body.slice_ref(rest[..length].trim_ascii());
        self.at += (length + 1).min(rest.len());
        self.number += 1;
        Some(line)
    }

    fn next_filled(&mut self) -> Option<Bytes> {
        loop {
            let line = self.next()?;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

/// Gives each Elasticsearch index its stream, `elastic/<name>`; after [`ELASTIC_STREAMS_MAX`] names
/// all further ones share `elastic/other`, so that a sender cannot make streams without end.
///
/// A name is lowercased, characters a stream may not have become `_`, and the date, counter or version
/// that senders append (`-2026.11.21`, `-000001`, `-8.15.0`) is dropped: it does not name a source.
#[derive(Debug, Default)]
pub struct BulkStreams {
    known: Mutex<HashSet<StreamName>>,
}

impl BulkStreams {
    /// Starts with the streams that exist already, so that they keep their names after a restart.
    pub fn with_known(streams: impl IntoIterator<Item = StreamName>) -> Self {
        let known = streams.into_iter().filter(|name| name.as_str().starts_with("elastic/"));
        BulkStreams { known: Mutex::new(known.take(ELASTIC_STREAMS_MAX).collect()) }
    }

    /// The stream of `index`.
    pub fn stream(&self, index: &str) -> StreamName {
        let stream = stream_of_index(index);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&stream) {
            return stream;
        }
        if known.len() >= ELASTIC_STREAMS_MAX {
            return constant("elastic/other");
        }
        known.insert(stream.clone());
        stream
    }
}

fn constant(name: &str) -> StreamName {
    StreamName::new(name).unwrap_or_else(|error| unreachable!("a constant name: {error}"))
}

fn stream_of_index(index: &str) -> StreamName {
    const NAME_BYTES_MAX: usize = 64;
    let safe = |c: char| match c {
        'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
        _ => '_',
    };
    let name: String = index.to_lowercase().chars().map(safe).collect();
    let name = &name[..name.len().min(NAME_BYTES_MAX)];
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    let suffix = &name[base.len()..];
    let kept = if is_rollover(suffix) { base } else { name };
    StreamName::new(&format!("elastic/{kept}")).unwrap_or_else(|_| constant("elastic/_"))
}

/// A date (`-2026.11.21`, `-2026.11`, `-2026-11-21`), a counter (`-000001`), a version of three parts
/// (`-8.15.0`), or several of them.
fn is_rollover(suffix: &str) -> bool {
    let numbers = || suffix.split(['.', '-', '_']).filter(|part| !part.is_empty());
    let version = suffix.starts_with('-') && suffix[1..].split('.').count() >= 3;
    version
        || numbers().any(|number| match number.len() {
            4 => number.starts_with("19") || number.starts_with("20"),
            6 | 8 => true,
            _ => false,
        })
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkOutcome {
    /// Durable.
    Created,
    /// Refused for now; the sender should try again (429).
    Busy(String),
    /// Refused.
    Refused(ItemError),
}

/// The answer to a bulk request, as Elasticsearch 8 gives it: one item per item of the request.
#[derive(Debug, Serialize)]
pub struct BulkAnswer<'a> {
    took: u64,
    errors: bool,
    items: Vec<AnsweredItem<'a>>,
}

#[derive(Debug)]
struct AnsweredItem<'a> {
    action: BulkAction,
    answer: ItemAnswer<'a>,
}

impl Serialize for AnsweredItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.action.as_str(), &self.answer)])
    }
}

#[derive(Debug, Serialize)]
struct ItemAnswer<'a> {
    _index: &'a str,
    _id: Cow<'a, str>,
    #[serde(flatten)]
    outcome: Answered<'a>,
    status: u16,
}

/// Nobody else has the event's number, and there are no copies.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answered<'a> {
    Created {
        _version: u8,
        result: &'static str,
        _shards: Shards,
        _seq_no: usize,
        _primary_term: u8,
    },
    Failed {
        error: ItemFault<'a>,
    },
}

#[derive(Debug, Serialize)]
struct Shards {
    total: u8,
    successful: u8,
    failed: u8,
}

#[derive(Debug, Serialize)]
struct ItemFault<'a> {
    r#type: &'static str,
    reason: &'a str,
}

/// Answers each item of `request` by the outcome at the same position (missing ones count as busy).
/// `generated_id` makes the id of an item that named none; `took_ms` is how long it all took.
pub fn bulk_response<'a>(
    request: &'a BulkRequest,
    outcomes: &'a [BulkOutcome],
    took_ms: u64,
    generated_id: impl Fn(usize) -> String,
) -> BulkAnswer<'a> {
    let items = request.items.iter().enumerate().map(|(number, item)| {
        let failed = |status, kind, reason| {
            (status, Answered::Failed { error: ItemFault { r#type: kind, reason } })
        };
        const BUSY: &str = "es_rejected_execution_exception";
        let (status, outcome) = match outcomes.get(number) {
            Some(BulkOutcome::Created) => {
                let _shards = Shards { total: 1, successful: 1, failed: 0 };
                let created = Answered::Created {
                    _version: 1,
                    result: "created",
                    _shards,
                    _seq_no: number,
                    _primary_term: 1,
                };
                (201, created)
            }
            Some(BulkOutcome::Busy(reason)) => failed(429, BUSY, reason.as_str()),
            Some(BulkOutcome::Refused(error)) => failed(error.status, error.kind, &error.reason),
            None => failed(429, BUSY, "the item was not handled"),
        };
        let id = item.id.as_deref().map(Cow::Borrowed);
        let _id = id.unwrap_or_else(|| Cow::Owned(generated_id(number)));
        let answer = ItemAnswer { _index: &item.index, _id, outcome, status };
        AnsweredItem { action: item.action, answer }
    });
    let items: Vec<_> = items.collect();
    let errors = items.iter().any(|item| matches!(item.answer.outcome, Answered::Failed { .. }));
    BulkAnswer { took: took_ms, errors, items }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(body: &str, default: Option<&str>) -> Result<BulkRequest, BodyError> {
        parse_bulk(&Bytes::copy_from_slice(body.as_bytes()), default)
    }

    #[test]
    fn items_are_read_as_elasticsearch_reads_them() {
        let request = parse(
            "{\"index\":{\"_index\":\"a\",\"_id\":\"1\",\"routing\":\"x\"}}\n{\"m\" : 1}\r\n\n\
             { \"create\" : {} }\n{\"m\":2}\n\
             {\"delete\":{\"_id\":\"1\"}}\n\
             {\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n\
             {\"index\":{}}\n{\"m\":\n\
             {\"index\":{}}\n[1]\n\
             {\"index\":{}}",
            Some("b"),
        )
        .unwrap();
        let seen: Vec<_> = request
            .items
            .iter()
            .map(|item| {
                let document = match &item.document {
                    Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    Err(error) => format!("{} {}", error.status, error.kind),
                };
                format!("{} {} {document}", item.action.as_str(), item.index)
            })
            .collect();
        assert_eq!(
            seen,
            [
                "index a {\"m\" : 1}",
                "create b {\"m\":2}",
                "delete b 400 illegal_argument_exception",
                "update b 400 illegal_argument_exception",
                "index b 400 document_parsing_exception",
                "index b 400 document_parsing_exception",
                "index b 400 document_parsing_exception",
            ]
        );
        assert_eq!(request.items[0].id.as_deref(), Some("1"));
        let nameless = parse("{\"index\":{}}\n{}\n", None).unwrap();
        assert_eq!(nameless.items[0].document.as_ref().unwrap_err().status, 400);
    }

    #[test]
    fn a_bad_action_line_refuses_the_request() {
        for (body, line) in [
            ("{\"index\":{}}\n{}\nhello\n{}\n", 3),
            ("\n{\"drop\":{}}\n{}", 2),
            ("{}\n{}", 1),
            ("{\"index\":{},\"create\":{}}\n{}", 1),
            ("{\"index\":[]}\n{}", 1),
        ] {
            match parse(body, Some("a")) {
                Err(BodyError::MalformedAction { line: named, .. }) => assert_eq!(named, line),
                other => panic!("{body:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_number_of_items_and_the_length_of_names_are_limited() {
        let items = |n: usize| "{\"index\":{}}\n{}\n".repeat(n);
        assert_eq!(parse(&items(BODY_ITEMS_MAX), Some("a")).unwrap().items.len(), BODY_ITEMS_MAX);
        assert_eq!(parse(&items(BODY_ITEMS_MAX + 1), Some("a")).unwrap_err().status(), 413);
        for (length, good) in [(ELASTIC_NAME_BYTES_MAX, true), (ELASTIC_NAME_BYTES_MAX + 1, false)]
        {
            let body = format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{{}}\n", "x".repeat(length));
            assert_eq!(parse(&body, Some("a")).unwrap().items[0].document.is_ok(), good);
        }
    }

    #[test]
    fn one_document_is_taken_as_it_stands() {
        let parse = |body: &'static str, index: &str, id: Option<&str>| {
            let id = id.map(str::to_owned);
            let body = Bytes::from_static(body.as_bytes());
            parse_document(&body, BulkAction::Index, index.to_owned(), id).document
        };
        let pretty = "{\n  \"message\": \"two\\nlines\"\n}";
        assert_eq!(parse("\n{\n  \"message\": \"two\\nlines\"\n}\r\n", "a", None).unwrap(), pretty);
        for (body, said) in [
            ("", "line 1: the document is missing"),
            ("{\n \"m\": x}", "line 2, column 7"),
            ("{} {}", "line 1, column 4"),
            ("[{}]", "an event must be a JSON object"),
        ] {
            let error = parse(body, "a", None).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.reason.contains(said), "{body}: {}", error.reason);
        }
        let long = "x".repeat(ELASTIC_NAME_BYTES_MAX + 1);
        assert!(parse("{}", "a", Some(&long)).is_err());
        assert!(parse("{}", &long, None).is_err());
    }

    #[test]
    fn the_answer_has_elasticsearchs_shape() {
        let request = parse(
            "{\"index\":{\"_id\":\"7\"}}\n{}\n{\"create\":{}}\n{}\n{\"delete\":{\"_id\":\"9\"}}\n",
            Some("a"),
        )
        .unwrap();
        let refused = request.items[2].document.clone().unwrap_err();
        let outcomes = [
            BulkOutcome::Created,
            BulkOutcome::Busy("the queue is full".to_owned()),
            BulkOutcome::Refused(refused),
        ];
        let answer = bulk_response(&request, &outcomes, 3, |number| format!("made-{number}"));
        let answer = json!(answer);
        assert_eq!(answer["took"], 3);
        assert_eq!(answer["errors"], true);
        assert_eq!(answer["items"][0]["index"]["status"], 201);
        assert_eq!(answer["items"][0]["index"]["_id"], "7");
        assert_eq!(answer["items"][0]["index"]["result"], "created");
        assert_eq!(answer["items"][1]["create"]["status"], 429);
        assert_eq!(answer["items"][1]["create"]["_id"], "made-1");
        assert_eq!(
            answer["items"][1]["create"]["error"]["type"],
            "es_rejected_execution_exception"
        );
        assert_eq!(answer["items"][2]["delete"]["status"], 400);
        let created = vec![BulkOutcome::Created; 3];
        let fine = bulk_response(&request, &created, 0, |_| String::new());
        assert_eq!(json!(fine)["errors"], false);
    }

    #[test]
    fn index_names_become_streams() {
        for (index, stream) in [
            ("winlogbeat", "elastic/winlogbeat"),
            ("logstash-2026.11.21", "elastic/logstash"),
            ("filebeat-8.15.0-2026.11.21-000001", "elastic/filebeat"),
            ("winlogbeat-8.15.0", "elastic/winlogbeat"),
            ("audit-000012", "elastic/audit"),
            ("host-10.1", "elastic/host-10.1"),
            ("firewall-2", "elastic/firewall-2"),
            ("logs-nginx.access-default", "elastic/logs-nginx.access-default"),
            (".ds-logs-2026.11.21-000001", "elastic/.ds-logs"),
            ("../../etc", "elastic/.._.._etc"),
            ("..", "elastic/_"),
            ("監査", "elastic/__"),
            ("2026.11.21", "elastic/_"),
        ] {
            assert_eq!(stream_of_index(index).as_str(), stream, "{index}");
        }
    }

    #[test]
    fn streams_are_limited_and_survive_a_restart() {
        let streams = BulkStreams::with_known([constant("elastic/old"), constant("syslog")]);
        for number in 1..ELASTIC_STREAMS_MAX {
            let name = format!("x{number}y");
            assert_eq!(streams.stream(&name).as_str(), format!("elastic/{name}"));
        }
        assert_eq!(streams.stream("onemore").as_str(), "elastic/other");
        assert_eq!(streams.stream("old").as_str(), "elastic/old");
        assert_eq!(streams.stream("x1y").as_str(), "elastic/x1y");
    }

    proptest! {
        #[test]
        fn any_index_name_has_a_stream(index in ".*") {
            prop_assert!(stream_of_index(&index).as_str().starts_with("elastic/"));
        }

        #[test]
        fn any_body_is_answered(body in "(\\{\"(index|create|delete)\":\\{\\}\\}\n|\\{\"a\":1\\}\n|.{0,6}\n){0,12}") {
            let _ = parse(&body, Some("a"));
        }
    }
}
