//! Sends raised alerts to the configured webhook.

use crate::config::Config;
use anyhow::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use yagura_desk::{ChangeKind, Webhook, WebhookOptions, WebhookSecret};
use yagura_node::Node;

/// Starts sending, if a webhook is configured: first what an earlier process left undelivered.
pub fn start(config: &Config, node: &Arc<Node>) -> Result<Option<(Webhook, JoinHandle<()>)>> {
    let Some(section) = &config.webhook else { return Ok(None) };
    let options = WebhookOptions {
        url: section.url.clone(),
        secret: WebhookSecret::read(&section.secret_file)?,
        min_level: section.min_level,
        allow_private: section.allow_private,
        first_wait: Duration::from_secs(1),
    };
    let desk = node.desk().clone();
    let webhook = Webhook::new(desk.clone(), options)?;
    let mut changes = desk.subscribe();
    webhook.deliver_missed();
    let sending = webhook.clone();
    let task = tokio::spawn(async move {
        loop {
            match changes.recv().await {
                Ok(change) if matches!(change.kind, ChangeKind::Raised) => {
                    webhook.deliver(change.alert);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => webhook.deliver_missed(),
                Err(RecvError::Closed) => return,
            }
        }
    });
    Ok(Some((sending, task)))
}
