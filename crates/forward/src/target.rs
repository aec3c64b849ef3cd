use crate::encode::Encoder;
use crate::http::Http;
use crate::kafka::Kafka;
use crate::limits::{BYTES_AT_ONCE, EVENTS_AT_ONCE_MAX, REASON_CHARS_MAX, TIMEOUT_SECONDS};
use crate::settings::{Kind, Settings};
use crate::syslog::Syslog;
use crate::{ForwardError, Row};
use futures::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use yagura_event::{FieldDictionary, Lang, Words};

/// One receiver that events are sent to.
pub struct Target {
    kind: Kind,
    encoder: Encoder,
    way: Way,
    /// Events that go at once; fewer after a refusal, until the one that is wrong stands alone.
    at_once: usize,
    receiver: String,
}

enum Way {
    Syslog(Box<Syslog>),
    Http(Box<Http>),
    Kafka(Box<Kafka>),
}

/// What is settled: these events need not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// How many of the events, from the first on.
    pub events: usize,
    /// Those of them that the receiver will not have.
    pub refused: Vec<Refused>,
}

/// An event that its receiver refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `event.id`.
    pub id: String,
    /// In the receiver's words, or ours about them.
    pub reason: String,
}

/// Nothing is settled; another attempt may do better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Later(pub Words);

impl Later {
    pub(crate) fn new(en: impl Into<String>, ja: impl Into<String>) -> Later {
        Later(Words::new(en, ja))
    }

    /// In the words of a receiver or a library.
    pub(crate) fn quoted(text: impl Into<String>) -> Later {
        Later(Words::quoted(text))
    }

    /// Nothing came within the limit.
    pub(crate) fn late() -> Later {
        Later::new(
            format!("no answer within {TIMEOUT_SECONDS} seconds"),
            format!("{TIMEOUT_SECONDS}秒以内に応答がありません"),
        )
    }
}

impl From<std::io::Error> for Later {
    fn from(error: std::io::Error) -> Later {
        Later(error.into())
    }
}

/// What became of one request.
pub(crate) enum Sent {
    /// All are settled, these of them refused: places and reasons.
    Taken(Vec<(usize, String)>),
    /// The first so many are settled, these of them refused.
    Partly(usize, Vec<(usize, String)>),
    /// The request as a whole is refused because of what it contains.
    Refused(String),
}

impl Target {
    /// Sets a target up; speaks to nobody yet. Reads the files that the settings name.
    ///
    /// # Errors
    /// [`ForwardError`] names what cannot be right, and the remedy.
    pub fn new(
        settings: &Settings,
        dictionary: Arc<FieldDictionary>,
        lang: Lang,
    ) -> Result<Target, ForwardError> {
        settings.check_name()?;
        if settings.to != Kind::Kafka {
            settings.check_no_kafka()?;
        }
        let (way, receiver) = match settings.to {
            Kind::Kafka => {
                let kafka = Kafka::new(settings)?;
                let receiver = kafka.receiver().to_owned();
                (Way::Kafka(Box::new(kafka)), receiver)
            }
            Kind::Syslog => {
                let syslog = Syslog::new(settings)?;
                let receiver = syslog.receiver().to_owned();
                (Way::Syslog(Box::new(syslog)), receiver)
            }
            _ => {
                let (http, receiver) = Http::new(settings)?;
                (Way::Http(Box::new(http)), receiver)
            }
        };
        let encoder = Encoder::new(settings, dictionary, lang);
        Ok(Target { kind: settings.to, encoder, way, at_once: EVENTS_AT_ONCE_MAX, receiver })
    }

    /// Host and port, without what may be secret.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// Sends the first of `events`, as many as go at once, and answers what is settled of them. There must
    /// be at least one.
    ///
    /// # Errors
    /// [`Later`]: to be tried again.
    pub async fn send_some(&mut self, events: &[Row]) -> Result<Settled, Later> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for row in events.iter().take(self.at_once) {
            let part = self.encoder.event(self.kind, row);
            if !parts.is_empty() && bytes + part.len() > BYTES_AT_ONCE {
                break;
            }
            bytes += part.len();
            parts.push(part);
        }
        let count = parts.len();
        let sending = async {
            match &mut self.way {
                Way::Syslog(syslog) => syslog.send(&parts).await,
                Way::Http(http) => http.send(&parts).await,
                Way::Kafka(kafka) => {
                    kafka.send(events.get(..count).unwrap_or(events), &parts).await
                }
            }
        };
        // The clients read what a stranger sends. What breaks in one must not end the target for good:
        // each takes its connection out while it sends, so that the next attempt begins with a new one.
        let sent = match AssertUnwindSafe(sending).catch_unwind().await {
            Ok(sent) => sent?,
            Err(panic) => return Err(broken(panic.as_ref())),
        };
        let named = |refused: Vec<(usize, String)>| {
            let one = |(at, reason): (usize, String)| {
                let id = events.get(at)?.get("event.id")?.as_str()?.to_owned();
                Some(Refused { id, reason: cut(&reason) })
            };
            refused.into_iter().filter_map(one).collect()
        };
        match sent {
            Sent::Taken(refused) => {
                self.at_once = (self.at_once * 2).min(EVENTS_AT_ONCE_MAX);
                Ok(Settled { events: count, refused: named(refused) })
            }
            Sent::Partly(first, refused) => Ok(Settled { events: first, refused: named(refused) }),
            Sent::Refused(reason) if count <= 1 => {
                self.at_once = EVENTS_AT_ONCE_MAX;
                Ok(Settled { events: count, refused: named(vec![(0, reason)]) })
            }
            Sent::Refused(_) => {
                self.at_once = (count / 2).max(1);
                Ok(Settled::default())
            }
        }
    }
}

/// That a client broke within itself.
fn broken(panic: &(dyn Any + Send)) -> Later {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = cut(text.unwrap_or_default());
    Later::new(
        format!(
            "the client of this receiver broke over an answer and begins anew ({text}): please report it"
        ),
        format!(
            "受信側の応答を処理中に内部エラーが起きたため、接続し直します（{text}）。開発元に報告してください"
        ),
    )
}

/// A receiver's words, up to their limit; what is no text is shown as such.
pub(crate) fn cut(reason: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    reason.chars().take(REASON_CHARS_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_at_their_limit() {
        assert_eq!(cut(&"あ".repeat(REASON_CHARS_MAX)).chars().count(), REASON_CHARS_MAX);
        assert_eq!(cut(&"あ".repeat(REASON_CHARS_MAX + 1)).chars().count(), REASON_CHARS_MAX);
        assert_eq!(cut("a\x1b[31m\nb"), "a [31m b");
    }
}
