//! What an answer of a broker means, and what may help.

use crate::target::{Later, cut};
use rskafka::client::error::{Error, ProtocolError, RequestContext};
use rskafka::{BackoffError, ConnectionError};

/// What is wrong with a request.
pub(super) enum Wrong {
    /// It is larger than the topic takes.
    TooLarge(String),
    /// One of its events is not to the broker's liking.
    Content(String),
    /// Nothing that is about the events themselves.
    Later(Later),
}

/// The words of brokers that a person can do something about, and what, in English and Japanese.
const REMEDIES: [(&str, &str, &str); 9] = [
    (
        "TopicAuthorizationFailed",
        "allow this user to Describe and Write the topic",
        "このユーザーにトピックの Describe と Write を許可してください",
    ),
    (
        "ClusterAuthorizationFailed",
        "allow this user to connect to the cluster",
        "このユーザーにクラスターへの接続を許可してください",
    ),
    (
        "SaslAuthenticationFailed",
        "check user and token_file",
        "user と token_file を確かめてください",
    ),
    ("UnsupportedSaslMechanism", OTHER_SASL.0, OTHER_SASL.1),
    ("unsupported sasl mechanism", OTHER_SASL.0, OTHER_SASL.1),
    (
        "NotEnoughReplicas",
        "fewer replicas are in sync than min.insync.replicas asks for",
        "同期しているレプリカが min.insync.replicas より少なくなっています",
    ),
    ("UnknownTopicOrPartition", "create the topic", "トピックを作成してください"),
    (
        "InvalidRecord",
        "a compacted topic takes no record without a key: set key, or use another topic",
        "圧縮（compact）するトピックはキーのないレコードを受け取りません。key を指定するか、別のトピックにしてください",
    ),
    (
        "PolicyViolation",
        "the topic's policy does not take it",
        "トピックのポリシーにより受け取られません",
    ),
];

const OTHER_SASL: (&str, &str) =
    ("the listener has another sasl mechanism", "リスナーの SASL 方式が異なります");

/// What is wrong, as the sender has to know it. Refused is only what is wrong with the events themselves:
/// permissions, missing topics and brokers are for the person who set them, and nothing is lost until they
/// are right. `keyed` says whether records have keys.
pub(super) fn of(error: &Error, keyed: bool) -> Wrong {
    let Error::ServerError { protocol_error, .. } = error else {
        return Wrong::Later(later(error));
    };
    match protocol_error {
        ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge => Wrong::TooLarge(
            format!("{protocol_error}: larger than the topic takes (max.message.bytes)"),
        ),
        ProtocolError::InvalidTimestamp => Wrong::Content(format!(
            "{protocol_error}: its time is too far from now for the topic \
             (message.timestamp.before.max.ms, message.timestamp.after.max.ms)"
        )),
        // Without keys it is the topic that does not fit, and every event would be refused.
        ProtocolError::InvalidRecord if keyed => Wrong::Content(protocol_error.to_string()),
        _ => Wrong::Later(later(error)),
    }
}

/// To be tried again, and why.
pub(super) fn later(error: &Error) -> Later {
    let text = innermost(error);
    let known = REMEDIES.iter().find(|(word, ..)| text.contains(word));
    // The remedy is the last part, and the shortest: it is not what is cut.
    let (text, text_ja) = (cut(&text), cut(&in_japanese(error, &text)));
    match known {
        Some((_, en, ja)) => Later::new(format!("{text}: {en}"), format!("{text_ja}。{ja}")),
        None => Later::new(text, text_ja),
    }
}

/// The error within the client's words about its own attempts, if it is one of the client's.
fn inner(error: &Error) -> Option<&Error> {
    match error {
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. })
        | Error::Connection(ConnectionError::RetryFailed(BackoffError::DeadlineExceded {
            source,
            ..
        })) => source.downcast_ref::<Error>(),
        _ => None,
    }
}

/// What the broker answered, in Japanese; other words are the client's.
fn in_japanese(error: &Error, text: &str) -> String {
    match error {
        Error::ServerError { protocol_error, request, .. } => match request {
            RequestContext::Partition(topic, partition) => {
                format!("{topic} のパーティション {partition} への応答は {protocol_error} でした")
            }
            _ => format!("応答は {protocol_error} でした"),
        },
        other => inner(other).map_or_else(|| text.to_owned(), |error| in_japanese(error, text)),
    }
}

/// Without the words of the client about its own attempts.
fn innermost(error: &Error) -> String {
    if let Some(inner) = inner(error) {
        return innermost(inner);
    }
    match error {
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. })
        | Error::Connection(ConnectionError::RetryFailed(BackoffError::DeadlineExceded {
            source,
            ..
        })) => source.to_string(),
        Error::ServerError { protocol_error, request, .. } => match request {
            RequestContext::Partition(topic, partition) => {
                format!("it answered {protocol_error} for partition {partition} of {topic}")
            }
            _ => format!("it answered {protocol_error}"),
        },
        other => other.to_string(),
    }
}
