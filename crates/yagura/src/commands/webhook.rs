//! Sends raised alerts to the configured webhook.

use crate::config::Config;
use anyhow::{Context, Result};
use std::sync::Arc;
use yagura_desk::{Webhook, WebhookOptions, WebhookSecret};
use yagura_node::Node;

/// Starts sending, if a webhook is configured. Sending ends when the result is dropped.
pub fn start(config: &Config, node: &Arc<Node>) -> Result<Option<Webhook>> {
    let Some(section) = &config.webhook else { return Ok(None) };
    let secret = WebhookSecret::from_file(&section.secret_file).with_context(|| {
        format!("webhook.secret_file: cannot use {}", section.secret_file.display())
    })?;
    let options = WebhookOptions {
        url: section.url.clone(),
        min_level: section.min_level,
        allow_private: section.allow_private,
        ..WebhookOptions::default()
    };
    let webhook = Webhook::start(options, secret, node.desk().clone(), node.audit().clone())?;
    Ok(Some(webhook))
}
