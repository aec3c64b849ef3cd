//! One request's events on their way to the leaders of their partitions.

use super::in_time;
use super::reason::{self, Wrong};
use crate::Row;
use crate::settings::Key;
use crate::target::Later;
use rskafka::chrono::DateTime;
use rskafka::client::Client;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::record::Record;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// All replicas in sync have it.
    Taken,
    /// The topic will not have it, for this reason.
    Refused(String),
}

/// Events, and how they go.
pub(super) struct Round<'a> {
    pub(super) client: &'a Client,
    pub(super) topic: &'a str,
    pub(super) key: Key,
    pub(super) events: &'a [Row],
    pub(super) values: &'a [Vec<u8>],
    /// Bytes of one batch, about: an event that is larger goes alone.
    pub(super) batch_bytes: usize,
}

/// What became of the events of one partition.
pub(super) struct Delivered {
    pub(super) partition: i32,
    /// The connection, where it can be used on.
    pub(super) client: Option<PartitionClient>,
    /// By place among the events.
    pub(super) fates: Vec<(usize, Fate)>,
    /// The smallest batch of several events that was too large, in bytes.
    pub(super) too_large: Option<usize>,
    /// Why the others are not settled.
    pub(super) later: Option<Later>,
}

/// What a record and its part of a batch take beside key, value and headers, in bytes; at most.
const RECORD_BYTES: usize = 64;

impl Round<'_> {
    /// Writes the events at `places` to a partition, in order: what comes after one that has to wait waits
    /// too. A batch that is refused for what it contains is halved until the event stands alone.
    pub(super) async fn deliver(
        &self,
        partition: i32,
        client: Option<PartitionClient>,
        places: Vec<usize>,
    ) -> Delivered {
        let mut delivered =
            Delivered { partition, client: None, fates: Vec::new(), too_large: None, later: None };
        let client = match client {
            Some(client) => client,
            None => match self.open(partition).await {
                Ok(client) => client,
                Err(later) => return Delivered { later: Some(later), ..delivered },
            },
        };
        let mut waiting = self.batches(&places);
        while let Some(batch) = waiting.pop_front() {
            let records: Vec<Record> = batch.iter().map(|at| self.record(*at)).collect();
            let bytes = records.iter().map(size).sum::<usize>();
            let answer = in_time(client.produce(records, Compression::NoCompression)).await;
            let wrong = match answer {
                Ok(Ok(_)) => {
                    delivered.fates.extend(batch.into_iter().map(|at| (at, Fate::Taken)));
                    continue;
                }
                Ok(Err(error)) => reason::of(&error, self.key != Key::None),
                Err(later) => Wrong::Later(later),
            };
            let refused = match wrong {
                Wrong::Later(later) => {
                    delivered.later = Some(later);
                    return delivered;
                }
                Wrong::TooLarge(reason) => {
                    if batch.len() > 1 {
                        delivered.too_large = Some(bytes);
                    }
                    reason
                }
                Wrong::Content(reason) => reason,
            };
            match batch.as_slice() {
                [at] => delivered.fates.push((*at, Fate::Refused(refused))),
                several => {
                    let (first, second) = several.split_at(several.len() / 2);
                    waiting.push_front(second.to_vec());
                    waiting.push_front(first.to_vec());
                }
            }
        }
        delivered.client = Some(client);
        delivered
    }

    async fn open(&self, partition: i32) -> Result<PartitionClient, Later> {
        // A topic that is not there may be there later: the next attempt asks anew.
        let opened =
            self.client.partition_client(self.topic, partition, UnknownTopicHandling::Error);
        in_time(opened).await?.map_err(|error| reason::later(&error))
    }

    fn batches(&self, places: &[usize]) -> VecDeque<Vec<usize>> {
        let mut batches: VecDeque<Vec<usize>> = VecDeque::new();
        let mut bytes = 0;
        for at in places {
            let more = size(&self.record(*at));
            match batches.back_mut().filter(|_| bytes + more <= self.batch_bytes) {
                Some(batch) => {
                    batch.push(*at);
                    bytes += more;
                }
                None => {
                    batches.push_back(vec![*at]);
                    bytes = more;
                }
            }
        }
        batches
    }

    /// An event as a record: the id tells a repeated one, also where the value is the received bytes.
    fn record(&self, at: usize) -> Record {
        let none = Row::new();
        let event = self.events.get(at).unwrap_or(&none);
        let header = |name: &str| Some((name.to_owned(), text(event, name)?.as_bytes().to_vec()));
        let headers: BTreeMap<String, Vec<u8>> =
            ["event.id", "event.dataset"].into_iter().filter_map(header).collect();
        let time = text(event, "@timestamp").and_then(|time| time.parse::<jiff::Timestamp>().ok());
        // Kafka knows no time before 1970.
        let millis = time.map_or(0, jiff::Timestamp::as_millisecond).max(0);
        Record {
            key: key(self.key, event),
            value: Some(self.values.get(at).cloned().unwrap_or_default()),
            headers,
            timestamp: DateTime::from_timestamp_millis(millis).unwrap_or_default(),
        }
    }
}

fn size(record: &Record) -> usize {
    record.approximate_size() + RECORD_BYTES
}

/// The key of an event's record; an event may lack it.
pub(super) fn key(key: Key, event: &Row) -> Option<Vec<u8>> {
    let text = match key {
        Key::None => None,
        Key::Host => text(event, "host.name"),
        // `stream/batch/index`; the stream may have parts too.
        Key::Stream => id(event).rsplitn(3, '/').nth(2),
    };
    text.filter(|text| !text.is_empty()).map(|text| text.as_bytes().to_vec())
}

/// `event.id`.
pub(super) fn id(event: &Row) -> &str {
    text(event, "event.id").unwrap_or_default()
}

fn text<'a>(event: &'a Row, name: &str) -> Option<&'a str> {
    event.get(name).and_then(Value::as_str)
}
