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

/// The words of brokers that a person can do something about, and what.
const REMEDIES: [(&str, &str); 9] = [
    ("TopicAuthorizationFailed", "allow this user to Describe and Write the topic"),
    ("ClusterAuthorizationFailed", "allow this user to connect to the cluster"),
    ("SaslAuthenticationFailed", "check user and token_file"),
    ("UnsupportedSaslMechanism", "the listener has another sasl mechanism"),
    ("unsupported sasl mechanism", "the listener has another sasl mechanism"),
    ("NotEnoughReplicas", "fewer replicas are in sync than min.insync.replicas asks for"),
    ("UnknownTopicOrPartition", "create the topic"),
    (
        "InvalidRecord",
        "a compacted topic takes no record without a key: set key, or use another topic",
    ),
    ("PolicyViolation", "the topic's policy does not take it"),
];

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
    let known = REMEDIES.iter().find(|(word, _)| text.contains(word));
    let remedy = known.map(|(_, remedy)| format!(": {remedy}")).unwrap_or_default();
    // The remedy is the last part, and the shortest: it is not what is cut.
    Later(format!("{}{remedy}", cut(&text)))
}

/// Without the words of the client about its own attempts.
fn innermost(error: &Error) -> String {
    match error {
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. })
        | Error::Connection(ConnectionError::RetryFailed(BackoffError::DeadlineExceded {
            source,
            ..
        })) => match source.downcast_ref::<Error>() {
            Some(inner) => innermost(inner),
            None => source.to_string(),
        },
        Error::ServerError { protocol_error, request, .. } => match request {
            RequestContext::Partition(topic, partition) => {
                format!("it answered {protocol_error} for partition {partition} of {topic}")
            }
            _ => format!("it answered {protocol_error}"),
        },
        other => other.to_string(),
    }
}
