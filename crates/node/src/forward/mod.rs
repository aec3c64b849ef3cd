//! Selected events on their way to other systems.
//!
//! Every target has a place of its own: the leaf of the events log that comes next. A leaf is a sealed
//! batch, leaves never change, and a place moves only when every event of a batch is settled: taken by the
//! receiver, or refused for good, counted and named. A crash sends again what was not written down: at
//! least once. Intake knows nothing of all this; a receiver that is slow or away only lets its place stay
//! behind, which is said.

mod run;
pub(crate) mod state;
mod window;

use crate::rows::zone_of;
use crate::{Node, NodeError};
use serde_json::{Value, json};
use state::{Place, Places};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use yagura_desk::GapSeen;
use yagura_event::{Lang, UtcMicros, Words};
use yagura_forward::{ForwardError, Settings, Start, Target, limits::TARGETS_MAX};

pub use run::Ended;

/// Refused events of a target that are named.
const REFUSED_SHOWN_MAX: usize = 20;

/// A target whose next event was received longer ago than this is behind.
const BEHIND_MICROS: i64 = 5 * 60 * 1_000_000;

/// Shortest time between two writes of the places.
const SAVE_EVERY: Duration = Duration::from_millis(500);

/// The targets of a node.
pub struct Forwarding {
    targets: Vec<Arc<One>>,
    written: Mutex<Written>,
}

/// The places as they are to be written.
struct Written {
    places: Places,
    /// Whether they are others than in the file.
    changed: bool,
    at: Option<Instant>,
}

/// One target.
struct One {
    settings: Settings,
    receiver: String,
    live: Mutex<Live>,
}

/// What is known of it now.
#[derive(Default)]
struct Live {
    place: Place,
    /// Attempts that failed since the last that did not.
    failures: u64,
    last_error: Option<(UtcMicros, Words)>,
    refusals: VecDeque<(UtcMicros, String, String)>,
}

impl One {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Checks targets without speaking to them: names, addresses, files, filters.
    ///
    /// # Errors
    /// What cannot be right, and the remedy.
    pub fn forward_targets(
        &self,
        settings: &[Settings],
        lang: Lang,
    ) -> Result<Vec<Target>, NodeError> {
        check_names(settings)?;
        let mut targets = Vec::with_capacity(settings.len());
        for one in settings {
            let target = Target::new(one, self.dictionary().clone(), lang);
            targets.push(target.map_err(of_target)?);
            self.check_filter(one)?;
        }
        Ok(targets)
    }

    /// Takes the targets into use, each where it had come to, or where its `start` says.
    ///
    /// # Errors
    /// As [`Node::forward_targets`]; places that cannot be read.
    pub fn open_forwarding(
        &self,
        settings: Vec<Settings>,
        lang: Lang,
    ) -> Result<(Arc<Forwarding>, Vec<Target>), NodeError> {
        let targets = self.forward_targets(&settings, lang)?;
        let path = state::path(self.data());
        let mut places = state::read(&path).map_err(|error| {
            let place = self.data().relative(&path);
            NodeError::request(
                format!("{place}: {error}"),
                format!(
                    "{place}: 転送の到達位置として使えません（{error}）。サーバーを止めてこのファイルを\
                     消すと、どの転送先も start の位置から始まります"
                ),
            )
        })?;
        let now = self.logs().0.size();
        let mut is_new = false;
        for one in &settings {
            is_new |= !places.contains_key(&one.name);
            let begin = if one.start == Start::Now { now } else { 0 };
            let place = places.entry(one.name.clone());
            let place = place.or_insert(Place { next: begin, ..Place::default() });
            if place.next > now {
                tracing::warn!(
                    forward = one.name,
                    place = place.next,
                    log = now,
                    "the log is shorter than where forwarding had come to: it goes on with what comes now"
                );
                place.next = now;
            }
        }
        // Events will leave the house: the audit log says where to before the first one does.
        let said = |(one, target): (&Settings, &Target)| {
            json!({
                "name": one.name, "to": one.to.as_str(), "receiver": target.receiver(),
                "filter": one.filter, "send": one.send,
            })
        };
        let said: Vec<Value> = settings.iter().zip(&targets).map(said).collect();
        self.audit().write(&[json!({
            "@timestamp": self.clock().now(),
            "event.action": "forward.started",
            "forward.targets": said,
        })])?;
        if is_new {
            state::write(self.data(), &places)?;
        }
        let with_place = |(settings, target): (Settings, &Target)| {
            let place = places.get(&settings.name).copied().unwrap_or_default();
            let live = Mutex::new(Live { place, ..Live::default() });
            Arc::new(One { settings, receiver: target.receiver().to_owned(), live })
        };
        let ones = settings.into_iter().zip(&targets).map(with_place).collect();
        let written = Written { places, changed: false, at: None };
        let forwarding = Arc::new(Forwarding { targets: ones, written: Mutex::new(written) });
        self.set_forwarding(forwarding.clone());
        Ok((forwarding, targets))
    }

    /// Each target: where it has come to, how far it is behind, what was refused.
    pub fn forward_status(&self) -> Value {
        let Some(forwarding) = self.forwarding() else { return json!({ "targets": [] }) };
        let targets: Vec<Value> =
            forwarding.targets.iter().map(|one| self.target_shown(one)).collect();
        json!({ "targets": targets })
    }

    fn target_shown(&self, one: &One) -> Value {
        let waiting = self.waiting(one.live().place.next);
        let live = one.live();
        let refusals = live
            .refusals
            .iter()
            .map(|(at, id, reason)| json!({ "@timestamp": at, "event.id": id, "reason": reason }));
        json!({
            "name": one.settings.name,
            "to": one.settings.to.as_str(),
            "receiver": one.receiver,
            "filter": one.settings.filter,
            "send": one.settings.send,
            "sent": live.place.sent,
            "refused": live.place.refused,
            "missed": live.place.missed,
            "batches_waiting": waiting.batches,
            "events_waiting": waiting.events,
            "waiting_since": waiting.since,
            "failures": live.failures,
            "last_error": live.last_error.as_ref().map(|(_, words)| words.en()),
            "last_error_ja": live.last_error.as_ref().map(|(_, words)| words.ja()),
            "last_error_at": live.last_error.as_ref().map(|(at, _)| at),
            "refusals": refusals.collect::<Vec<_>>(),
        })
    }

    /// Targets that are behind, as gaps.
    pub(crate) fn forwarding_behind(&self, now: UtcMicros) -> Vec<GapSeen> {
        let Some(forwarding) = self.forwarding() else { return Vec::new() };
        let behind = forwarding.targets.iter().filter_map(|one| {
            let waiting = self.waiting(one.live().place.next);
            let since = waiting.since?;
            (now.as_micros() - since.as_micros() >= BEHIND_MICROS).then(|| {
                let (name, receiver) = (&one.settings.name, &one.receiver);
                let batches = waiting.batches;
                let reason = one.live().last_error.as_ref().map(|(_, words)| words.clone());
                let why = |said: fn(&Words) -> String| reason.as_ref().map(said).unwrap_or_default();
                let why_en = why(|words| format!(" ({})", words.en()));
                let why_ja = why(|words| format!("（{}）", words.ja()));
                GapSeen {
                    subject: name.clone(),
                    begin: since,
                    sentence_ja: format!(
                        "転送先 {name}（{receiver}）への転送が遅れており、{batches} 個のまとまりが待っています\
                         {why_ja}。受信側と通信を確かめてください"
                    ),
                    sentence_en: format!(
                        "forwarding to {name} ({receiver}) is behind: {batches} batches wait{why_en}. \
                         Check the receiver and the way to it"
                    ),
                }
            })
        });
        behind.collect()
    }

    fn check_filter(&self, one: &Settings) -> Result<(), NodeError> {
        let parsed = self.parse(&one.filter, &zone_of(None)?).map_err(|error| named(one, error))?;
        if parsed.pipes.is_empty() {
            return Ok(());
        }
        Err(NodeError::request(
            format!("forward {:?}: a filter has no commands: leave out what follows |", one.name),
            format!(
                "転送先 {:?}: filter にコマンドは使えません。| から後を外してください",
                one.name
            ),
        ))
    }
}

impl Forwarding {
    /// Writes down how far a target has come; not more often than needed, unless it is the end.
    fn save(&self, node: &Node, one: &One, at_once: bool) -> Result<(), NodeError> {
        let place = one.live().place;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = written.places.insert(one.settings.name.clone(), place);
        written.changed |= before != Some(place);
        let recent = written.at.is_some_and(|at| at.elapsed() < SAVE_EVERY);
        if !written.changed || recent && !at_once {
            return Ok(());
        }
        state::write(node.data(), &written.places)?;
        written.changed = false;
        written.at = Some(Instant::now());
        Ok(())
    }

    /// Writes down how far every target has come.
    pub(crate) fn save_all(&self, node: &Node) {
        for one in &self.targets {
            if let Err(error) = self.save(node, one, true) {
                tracing::warn!(%error, "places of forwarding were not written down: some events are sent again");
            }
        }
    }
}

/// Names must differ: places are kept under them.
fn check_names(settings: &[Settings]) -> Result<(), NodeError> {
    if settings.len() > TARGETS_MAX {
        return Err(NodeError::request(
            format!("forward: at most {TARGETS_MAX} targets"),
            format!("forward: 転送先は{TARGETS_MAX}個までです"),
        ));
    }
    for (at, one) in settings.iter().enumerate() {
        if settings.iter().take(at).any(|other| other.name == one.name) {
            return Err(NodeError::request(
                format!("forward: two targets are called {:?}; rename one", one.name),
                format!("forward: {:?} という転送先が2つあります。名前を変えてください", one.name),
            ));
        }
    }
    Ok(())
}

fn of_target(error: ForwardError) -> NodeError {
    let words = error.words();
    NodeError::request(words.en(), words.ja())
}

fn named(one: &Settings, error: NodeError) -> NodeError {
    match error {
        NodeError::Request { message, message_ja, place } => NodeError::Request {
            message: format!("forward {:?}: filter: {message}", one.name),
            message_ja: format!("転送先 {:?}: filter: {message_ja}", one.name),
            place,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_forward::Kind;

    fn target(name: &str) -> Settings {
        Settings::new(name, Kind::Syslog, "udp://127.0.0.1:514")
    }

    #[test]
    fn targets_have_names_of_their_own_and_a_limit() {
        let many = |count: usize| -> Vec<Settings> {
            (0..count).map(|number| target(&format!("t{number}"))).collect()
        };
        assert!(check_names(&many(TARGETS_MAX)).is_ok());
        assert!(check_names(&many(TARGETS_MAX + 1)).is_err());
        assert!(check_names(&[target("a"), target("a")]).is_err());
    }
}
