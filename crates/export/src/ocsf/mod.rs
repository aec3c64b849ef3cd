//! An event as OCSF: a projection. Which field is which attribute stands in the field dictionary,
//! which class an event belongs to in the mappings; here is only what OCSF asks of the result: types,
//! the values that go with an identifier, and what a class or an object must have.
//!
//! What has no place in its class is in `unmapped` under its own name, so nothing is lost. An event
//! that lacks what its class requires becomes a Base Event and keeps the number of its class in
//! `unmapped`: what we write is always valid.

mod classes;
mod objects;
mod values;

use crate::{Row, plain};
use classes::{BASE, CATEGORIES, Class, class};
use objects::complete;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use values::{severity, value_at};
use yagura_event::{FieldDictionary, columns};

/// The version of the schema that events are written by.
pub const OCSF_VERSION: &str = "1.6.0";

/// Activity, status or class that the source has and OCSF does not.
const OTHER: i64 = 99;

/// Fields that say what an event is; they become the classification, not attributes.
const CLASSIFICATION: [&str; 7] = [
    "class_uid",
    "activity_id",
    "status_id",
    "event.outcome",
    "event.severity",
    "log.level",
    "@timestamp",
];

/// Attributes that only we say, whatever fields an event has.
const OURS: [&str; 6] = [
    "metadata.uid",
    "metadata.logged_time",
    "metadata.version",
    "metadata.profiles",
    "raw_data",
    "time",
];

/// Writes events as OCSF.
pub struct Ocsf {
    dictionary: Arc<FieldDictionary>,
    /// Names of fields that have an attribute, in the order of the dictionary.
    order: BTreeMap<String, usize>,
}

/// An event that is being put together.
struct Event<'a> {
    class: &'a Class,
    body: Row,
    /// What stands where in `body`: path, name and text of each field.
    placed: Vec<(String, String, String)>,
    unmapped: BTreeMap<String, String>,
}

impl Ocsf {
    /// A projection by the attribute paths of `dictionary`.
    pub fn new(dictionary: Arc<FieldDictionary>) -> Self {
        let with_path = dictionary.fields_as_listed().filter(|field| field.ocsf.is_some());
        let order = with_path.enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
        Ocsf { dictionary, order }
    }

    /// The event of a row as a search gives it; `None` for a row that is no event.
    pub fn event(&self, row: &Row) -> Option<Row> {
        row.get("event.id")?;
        let fields = row.get("fields")?.as_object()?;
        let number = |name: &str| plain(fields.get(name)).parse::<i64>().ok();
        let asked = number("class_uid");
        if let Some(class) = asked.and_then(class)
            && let Some(event) = self.as_class(row, fields, class)
        {
            return Some(event);
        }
        self.as_class(row, fields, &BASE)
    }

    /// The event as one of `class`; `None` where it lacks what the class requires.
    fn as_class(&self, row: &Row, fields: &Row, class: &Class) -> Option<Row> {
        let mut event =
            Event { class, body: Row::new(), placed: Vec::new(), unmapped: BTreeMap::new() };
        let mut named: Vec<(usize, &String, String)> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let text = plain(Some(value));
            if text.is_empty() || CLASSIFICATION.contains(&name.as_str()) {
                continue;
            }
            // Said beside the fields, and from there.
            if name == columns::INGESTED && row.get(name) == Some(value) {
                continue;
            }
            match self.order.get(name) {
                Some(at) => named.push((*at, name, text)),
                None => {
                    event.unmapped.insert(name.clone(), text);
                }
            }
        }
        // Of several fields with one path, the one the dictionary lists first is the attribute.
        named.sort_unstable();
        for (_, name, text) in named {
            let field = self.dictionary.field(name)?;
            let path = field.ocsf.as_deref()?;
            event.place(name, &path_in(class, path), text);
        }
        event.relate();
        event.special(row, fields);
        event.settle();
        if class.uid != 0 && !event.is_valid() {
            return None;
        }
        event.classify(fields);
        if let Some(dataset) = row.get("event.dataset") {
            event.unmapped.insert("event.dataset".to_owned(), plain(Some(dataset)));
        }
        event.envelope(row, fields);
        Some(event.body)
    }
}

/// The path in events of `class`: objects stand elsewhere in some.
fn path_in(class: &Class, path: &str) -> String {
    let (root, rest) = path.split_once('.').unwrap_or((path, ""));
    match (root, class.uid) {
        // The process is who did it, not what it was done to.
        ("process", 1007) => path.to_owned(),
        ("process", _) => format!("actor.{path}"),
        ("session", 3002 | 3003) => path.to_owned(),
        ("session", _) => format!("actor.{path}"),
        ("service", 201_004) => format!("win_service.{rest}"),
        ("reg_key", 201_002) if rest == "path" => "reg_value.path".to_owned(),
        // The value's object names an endpoint by its name.
        ("dst_endpoint" | "src_endpoint", _) if rest.is_empty() => format!("{root}.hostname"),
        _ => path.to_owned(),
    }
}

impl Event<'_> {
    /// Puts a field in its place; where it has none, into `unmapped`.
    fn place(&mut self, name: &str, path: &str, text: String) {
        let (root, _) = path.split_once('.').unwrap_or((path, ""));
        let value = match self.class.takes(root) && !OURS.contains(&path) {
            true => value_at(path, &text),
            false => None,
        };
        let Some(value) = value else {
            self.unmapped.insert(name.to_owned(), text);
            return;
        };
        match insert(&mut self.body, path, value) {
            Place::New => self.placed.push((path.to_owned(), name.to_owned(), text)),
            Place::Same => {}
            Place::Taken => {
                self.unmapped.insert(name.to_owned(), text);
            }
        }
    }

    /// Moves what stands at `from` to `to`, with all that is under it.
    fn move_to(&mut self, from: &str, to: &str) {
        let Some(value) = remove(&mut self.body, from) else { return };
        insert(&mut self.body, to, value);
        for (path, _, _) in &mut self.placed {
            if let Some(rest) = path.strip_prefix(from)
                && (rest.is_empty() || rest.starts_with('.'))
            {
                *path = format!("{to}{rest}");
            }
        }
    }

    /// Takes out what stands at `path`; its fields go to `unmapped`.
    fn drop_at(&mut self, path: &str) {
        remove(&mut self.body, path);
        let unmapped = &mut self.unmapped;
        self.placed.retain(|(place, name, text)| {
            let inside = place
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            if inside {
                unmapped.insert(name.clone(), text.clone());
            }
            !inside
        });
    }

    /// Who is whom, where one event has fewer roles than the class.
    fn relate(&mut self) {
        let has = |body: &Row, path: &str| at(body, path).is_some();
        match self.class.uid {
            // Somebody who logs on, or whose own account it is, is named once.
            3001..=3003 if !has(&self.body, "user") => self.move_to("actor.user", "user"),
            1007 if !has(&self.body, "actor") => {
                // The parent has started it: named again, since the class asks who did.
                if let Some(parent) = at(&self.body, "process.parent_process").cloned() {
                    insert(&mut self.body, "actor.process", parent);
                }
            }
            1008 => {
                for name in ["log_name", "log_provider"] {
                    if let Some(value) = at(&self.body, &format!("metadata.{name}")).cloned() {
                        insert(&mut self.body, name, value);
                    }
                }
            }
            _ => {}
        }
        // Where one logged on to is the machine that says so.
        if self.class.uid == 3002
            && !has(&self.body, "dst_endpoint")
            && !has(&self.body, "service")
            && let Some(device) = at(&self.body, "device").and_then(Value::as_object).cloned()
        {
            for name in ["hostname", "ip", "uid", "name"] {
                if let Some(value) = device.get(name) {
                    insert(&mut self.body, &format!("dst_endpoint.{name}"), value.clone());
                }
            }
        }
        // The machine that asks its resolver, or that a connection was seen on, is one end of it.
        if self.class.category() == 4
            && !has(&self.body, "src_endpoint")
            && !has(&self.body, "dst_endpoint")
            && let Some(hostname) = at(&self.body, "device.hostname").cloned()
        {
            insert(&mut self.body, "src_endpoint.hostname", hostname);
        }
    }

    /// Objects that are made from what an event is, not from one of its fields.
    fn special(&mut self, row: &Row, fields: &Row) {
        let text = |name: &str| Some(plain(fields.get(name))).filter(|text| !text.is_empty());
        match self.class.uid {
            6003 => {
                if let Some(operation) = text("event.action") {
                    self.unmapped.remove("event.action");
                    insert(&mut self.body, "api.operation", json!(operation));
                }
            }
            2004 => {
                insert(&mut self.body, "finding_info.uid", json!(plain(row.get("event.id"))));
                let title = ["rule.name", "message", "event.action"].into_iter().find_map(text);
                let title = title.unwrap_or_else(|| "Finding".to_owned());
                insert(&mut self.body, "finding_info.title", json!(title));
            }
            _ => {}
        }
    }

    /// Gives every object what it must have; one that cannot have it is taken out.
    fn settle(&mut self) {
        for path in objects::PATHS {
            let found = at_mut(&mut self.body, path).and_then(Value::as_object_mut);
            if let Some(object) = found
                && !complete(path, object)
            {
                self.drop_at(path);
            }
        }
        objects::with_rcode(&mut self.body);
        // What is left of an object whose parts were taken out.
        self.body.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
        let known = self.body.get("actor").and_then(Value::as_object);
        if known.is_some_and(|actor| {
            !["user", "process", "session"].iter().any(|part| actor.contains_key(*part))
        }) {
            self.drop_at("actor");
        }
    }

    fn is_valid(&self) -> bool {
        let has = |root: &&str| self.body.contains_key(*root);
        self.class.all_of.iter().all(has)
            && (self.class.one_of.is_empty() || self.class.one_of.iter().any(has))
    }

    /// The identifiers of class, activity, severity and status, with their captions.
    fn classify(&mut self, fields: &Row) {
        let class = self.class;
        let text = |name: &str| Some(plain(fields.get(name))).filter(|text| !text.is_empty());
        let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
        if class.uid == 0 {
            for name in ["class_uid", "activity_id"] {
                if let Some(text) = text(name) {
                    self.unmapped.insert(name.to_owned(), text);
                }
            }
        }
        let asked = match (class.uid, number("activity_id")) {
            (0, _) => 0,
            (4002, None | Some(0)) => text("http.request.method").map_or(0, |method| {
                let same = |caption: &&str| caption.eq_ignore_ascii_case(&method);
                class.activities.iter().position(same).map_or(OTHER, |at| at as i64 + 1)
            }),
            (_, asked) => asked.unwrap_or(0),
        };
        let caption = usize::try_from(asked).ok().and_then(|asked| asked.checked_sub(1));
        let caption =
            caption.and_then(|at| class.activities.get(at)).filter(|text| !text.is_empty());
        let action = text("event.action");
        let (activity, caption) = match (asked, caption) {
            (0, _) => (0, "Unknown".to_owned()),
            (_, Some(caption)) => (asked, (*caption).to_owned()),
            (_, None) => (OTHER, action.clone().unwrap_or_else(|| "Other".to_owned())),
        };
        let category = class.category();
        let name = usize::try_from(category).ok().and_then(|at| CATEGORIES.get(at.checked_sub(1)?));
        let (severity_id, severity) = severity(text("log.level").as_deref());
        let mut set = |name: &str, value: Value| drop(self.body.insert(name.to_owned(), value));
        set("class_uid", json!(class.uid));
        set("class_name", json!(class.caption));
        set("category_uid", json!(category));
        set("category_name", json!(name.copied().unwrap_or("Uncategorized")));
        set("activity_id", json!(activity));
        set("activity_name", json!(caption));
        set("type_uid", json!(class.uid * 100 + activity));
        set("severity_id", json!(severity_id));
        set("severity", json!(severity));
        let outcome = text("event.outcome");
        let status = number("status_id").or(match outcome.as_deref() {
            Some("success") => Some(1),
            Some("failure") => Some(2),
            _ => None,
        });
        match status {
            Some(1) => {
                set("status_id", json!(1));
                set("status", json!("Success"));
            }
            Some(2) => {
                set("status_id", json!(2));
                set("status", json!("Failure"));
            }
            Some(0) => set("status_id", json!(0)),
            Some(_) => {
                set("status_id", json!(OTHER));
                set("status", json!(outcome.unwrap_or_else(|| "Other".to_owned())));
            }
            None => {}
        }
        if let Some(level) = text("event.severity") {
            self.unmapped.insert("event.severity".to_owned(), level);
        }
        if let Some(level) = text("log.level") {
            insert(&mut self.body, "metadata.log_level", json!(level));
        }
        if let Some(action) = action.filter(|action| activity != OTHER && *action != caption)
            && at(&self.body, "api.operation").is_none()
        {
            self.unmapped.insert("event.action".to_owned(), action);
        }
    }

    /// Time, metadata, the received bytes, and what has no attribute.
    fn envelope(&mut self, row: &Row, fields: &Row) {
        let text = |name: &str| plain(row.get(name));
        let micros =
            |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
        let happened = micros(&text(columns::TIMESTAMP)).unwrap_or(0);
        self.body.insert("time".to_owned(), json!(happened.div_euclid(1_000)));
        if happened.rem_euclid(1_000) != 0 {
            // OCSF counts milliseconds.
            self.unmapped.insert(columns::TIMESTAMP.to_owned(), text(columns::TIMESTAMP));
        }
        if let Some(received) = micros(&text(columns::INGESTED)) {
            insert(&mut self.body, "metadata.logged_time", json!(received.div_euclid(1_000)));
        }
        let own = |name: &str| Some(plain(fields.get(name))).filter(|text| !text.is_empty());
        let product = own("observer.product").or_else(|| own("event.provider"));
        let product = product.unwrap_or_else(|| text("event.dataset"));
        insert(&mut self.body, "metadata.product.name", json!(product));
        let vendor = own("observer.vendor").unwrap_or_else(|| "Unknown".to_owned());
        insert(&mut self.body, "metadata.product.vendor_name", json!(vendor));
        insert(&mut self.body, "metadata.version", json!(OCSF_VERSION));
        insert(&mut self.body, "metadata.uid", json!(text("event.id")));
        let mut profiles: Vec<&str> =
            self.body.keys().filter_map(|root| self.class.profile(root)).collect();
        profiles.sort_unstable();
        profiles.dedup();
        if !profiles.is_empty() {
            insert(&mut self.body, "metadata.profiles", json!(profiles));
        }
        if !self.body.contains_key("message")
            && let Some(sentence) = row.get("sentence").and_then(|both| both["en"].as_str())
        {
            self.body.insert("message".to_owned(), json!(sentence));
        }
        if let Some(original) = row.get(columns::ORIGINAL) {
            self.body.insert("raw_data".to_owned(), original.clone());
        }
        if let Some(exact) = row.get("event.original.base64") {
            self.unmapped.insert("event.original.base64".to_owned(), plain(Some(exact)));
        }
        if !self.unmapped.is_empty() {
            let unmapped: Map<String, Value> = std::mem::take(&mut self.unmapped)
                .into_iter()
                .map(|(k, v)| (k, v.into()))
                .collect();
            self.body.insert("unmapped".to_owned(), Value::Object(unmapped));
        }
    }
}

enum Place {
    New,
    /// The same stands there already.
    Same,
    /// Something else stands there, or above.
    Taken,
}

fn insert(body: &mut Row, path: &str, value: Value) -> Place {
    let (above, last) = path.rsplit_once('.').map_or((None, path), |(a, l)| (Some(a), l));
    let mut inside = body;
    for part in above.into_iter().flat_map(|above| above.split('.')) {
        let next = inside.entry(part).or_insert_with(|| Value::Object(Map::new()));
        match next {
            Value::Object(object) => inside = object,
            _ => return Place::Taken,
        }
    }
    match inside.get(last) {
        Some(there) if *there == value => Place::Same,
        Some(_) => Place::Taken,
        None => {
            inside.insert(last.to_owned(), value);
            Place::New
        }
    }
}

fn at<'a>(body: &'a Row, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = body.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

fn at_mut<'a>(body: &'a mut Row, path: &str) -> Option<&'a mut Value> {
    let mut parts = path.split('.');
    let mut value = body.get_mut(parts.next()?)?;
    for part in parts {
        value = value.get_mut(part)?;
    }
    Some(value)
}

fn remove(body: &mut Row, path: &str) -> Option<Value> {
    match path.rsplit_once('.') {
        None => body.remove(path),
        Some((above, last)) => at_mut(body, above)?.as_object_mut()?.remove(last),
    }
}
