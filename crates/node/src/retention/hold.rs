//! Legal holds: what they touch, and how they are added and released.

use super::fold::{Decision, HELD, Hold, RELEASED, record};
use super::limits::{HOLDS_MAX, PATTERNS_MAX};
use super::{Named, checked_name, checked_reason};
use crate::{Node, NodeError};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use yagura_event::{EventBatch, UtcMicros, columns};

/// Columns that name the host of an event.
const HOSTS: [&str; 2] = ["host.name", "host.hostname"];

/// What is to be held.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldRequest {
    /// Its name, such as the matter it is for; needed.
    pub name: String,
    /// Why; needed.
    pub reason: String,
    /// The case it belongs to.
    pub case: String,
    /// Streams, `*` for any characters; every stream where there is none.
    pub streams: Vec<String>,
    /// Hosts or addresses of senders; every one where there is none.
    pub hosts: Vec<String>,
    /// Only what happened or was received from this instant on (ISO 8601).
    pub from: Option<String>,
    /// Only what happened or was received before this instant.
    pub to: Option<String>,
    /// Who asks for it; needed.
    pub by: String,
}

/// Why a hold ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Why; needed.
    pub reason: String,
    /// Who releases it; needed.
    pub by: String,
}

/// Whether a column is needed to say whether a hold touches an event.
pub(super) fn is_wanted(name: &str) -> bool {
    HOSTS.contains(&name) || name == columns::PEER || name == columns::INGESTED
}

/// Adds those of `batches` of which a row is one that `hold` is about.
pub(super) fn held_rows(
    hold: &Hold,
    rows: &EventBatch,
    batches: &BTreeSet<u64>,
    held: &mut BTreeSet<u64>,
) -> Result<(), NodeError> {
    let arrow = |error: arrow::error::ArrowError| NodeError::Lake(error.into());
    let column = |name: &str, kind: DataType| {
        let column = rows.columns.column_by_name(name);
        column.map(|column| cast(column, &kind).map_err(arrow)).transpose()
    };
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let numbers = column(columns::BATCH, DataType::Int64)?;
    let Some(numbers) = numbers.as_ref().map(|column| column.as_primitive::<Int64Type>()) else {
        return Ok(());
    };
    let mut times = Vec::new();
    for name in [columns::TIMESTAMP, columns::INGESTED] {
        times.extend(column(name, micros.clone())?);
    }
    let mut hosts = Vec::new();
    for name in HOSTS {
        hosts.extend(column(name, DataType::Utf8)?);
    }
    let peers = column(columns::PEER, DataType::Utf8)?;
    for row in 0..rows.rows() {
        let Ok(batch) = u64::try_from(numbers.value(row)) else { continue };
        if held.contains(&batch) || !batches.contains(&batch) {
            continue;
        }
        let timely = hold.from.is_none() && hold.to.is_none()
            || times.iter().any(|column| {
                let column = column.as_primitive::<TimestampMicrosecondType>();
                let at = UtcMicros::from_micros(column.value(row));
                column.is_valid(row) && hold.overlaps(at, at)
            });
        let text = |column: &arrow::array::ArrayRef| {
            let column = column.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_lowercase())
        };
        let named = |name: &str| hold.hosts.iter().any(|host| host == name);
        let hosted = hold.hosts.is_empty()
            || hosts.iter().filter_map(text).any(|name| named(&name))
            || peers.as_ref().and_then(text).is_some_and(|peer| {
                // `192.0.2.1:514`, `[2001:db8::1]:514`
                let address = peer.rsplit_once(':').map_or(peer.as_str(), |(address, _)| address);
                named(&peer) || named(address.trim_matches(['[', ']']))
            });
        if timely && hosted {
            held.insert(batch);
        }
    }
    Ok(())
}

fn instant(text: Option<&String>) -> Result<Option<UtcMicros>, NodeError> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| super::no_instant(text))
}

impl Node {
    /// All holds, newest first, those in force before those that were released.
    pub fn holds(&self) -> Value {
        let fold = self.retaining().fold();
        let (mut holds, over): (Vec<_>, Vec<_>) =
            fold.holds().partition(|hold| hold.released.is_none());
        let in_force = holds.len();
        holds.extend(over);
        json!({ "holds": holds, "in_force": in_force })
    }

    /// Holds what `request` is about, from now on, in the name it gives. `who` is the account it comes
    /// from.
    ///
    /// # Errors
    /// When the request cannot be right, or the audit log takes nothing.
    pub fn add_hold(&self, request: &HoldRequest, who: &str) -> Result<Value, NodeError> {
        let name = checked_name(&request.name, Named::Hold)?;
        let by = checked_name(&request.by, Named::Person)?;
        let reason = checked_reason(&request.reason)?;
        if request.streams.len() > PATTERNS_MAX || request.hosts.len() > PATTERNS_MAX {
            return Err(NodeError::request(
                format!("at most {PATTERNS_MAX} streams and {PATTERNS_MAX} hosts"),
                format!("ストリームとホストは、それぞれ{PATTERNS_MAX}個までです"),
            ));
        }
        for pattern in &request.streams {
            super::policy::check_pattern(pattern)
                .map_err(|error| NodeError::request(error.words.en(), error.words.ja()))?;
        }
        let mut hosts = Vec::new();
        for host in &request.hosts {
            hosts.push(checked_name(host, Named::Host)?.to_lowercase());
        }
        let case = match request.case.trim().is_empty() {
            true => String::new(),
            false => checked_name(&request.case, Named::Case)?,
        };
        let (from, to) = (instant(request.from.as_ref())?, instant(request.to.as_ref())?);
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(NodeError::request(
                "from must be before to: nothing would be held",
                "from は to より前にしてください。このままでは何も保全されません",
            ));
        }
        let hold = self.retaining().add(self.audit(), |fold| {
            if fold.holds_in_force().len() >= HOLDS_MAX {
                return Err(NodeError::request(
                    format!("there are {HOLDS_MAX} holds in force already: release some"),
                    format!(
                        "有効な保全がすでに{HOLDS_MAX}件あります。不要なものを解除してください"
                    ),
                ));
            }
            let hold = Hold {
                at: self.clock().now(),
                id: fold.next_hold(),
                name,
                reason,
                case,
                streams: request.streams.clone(),
                hosts,
                from,
                to,
                by,
                account: who.to_owned(),
                released: None,
            };
            Ok((record(HELD, &hold), hold))
        })?;
        Ok(json!(hold))
    }

    /// Ends a hold; the record of it stays.
    ///
    /// # Errors
    /// When there is none, it has ended, or no reason is given.
    pub fn release_hold(
        &self,
        id: &str,
        request: &ReleaseRequest,
        who: &str,
    ) -> Result<Value, NodeError> {
        let by = checked_name(&request.by, Named::Person)?;
        let reason = checked_reason(&request.reason)?;
        let decision = Decision { at: self.clock().now(), by, account: who.to_owned(), reason };
        self.retaining().add(self.audit(), |fold| {
            let hold = fold.hold(id).ok_or_else(|| NodeError::NotFound {
                message: format!("there is no hold {id}"),
                message_ja: format!("保全 {id} はありません"),
            })?;
            if hold.released.is_some() {
                return Err(NodeError::request(
                    format!("{id} was released already"),
                    format!("{id} はすでに解除されています"),
                ));
            }
            let mut entry = record(RELEASED, &decision);
            entry["hold.id"] = json!(id);
            Ok((entry, ()))
        })?;
        let fold = self.retaining().fold();
        Ok(json!(fold.hold(id)))
    }
}
