//! The desk: alerts, and what people decide about them.
//!
//! * [`Desk`] turns [`Finding`]s of rules into [`Alert`]s, groups them by rule and entity, and takes
//!   the commands of people (acknowledge, close with a verdict, reopen, comment).
//! * Every change is first one record of the audit log ([`AuditLog`]) and only then true. The desk
//!   has no store of its own: its state is the fold of those records ([`Desk::replay`]).
//! * [`Webhook`] tells another system of each alert raised, signed, with bounded retries.
//!
//! Memory is bounded by the named [`limits`]; what leaves memory stays in the audit log, and the
//! number is in [`DeskStats`]. This crate reads no clock but the one it is given.
//!
//! ```
//! use std::sync::Arc;
//! use yagura_desk::{AlertFilter, AuditError, AuditLog, Desk, DeskOptions};
//! use yagura_event::{ManualClock, UtcMicros};
//!
//! struct Nowhere;
//! impl AuditLog for Nowhere {
//!     fn append(&self, _entries: Vec<serde_json::Value>) -> Result<(), AuditError> {
//!         Ok(())
//!     }
//! }
//!
//! let clock = Arc::new(ManualClock::at(UtcMicros::from_micros(0)));
//! let desk = Desk::new(DeskOptions::default(), Arc::new(Nowhere), clock);
//! assert_eq!(desk.alerts(&AlertFilter::default()).total, 0);
//! ```
#![forbid(unsafe_code)]

mod address;
mod alert;
mod audit;
mod chain;
mod desk;
mod entry;
mod excepting;
mod exception;
mod explain;
mod filter;
mod finding;
mod fold;
mod gap;
pub mod limits;
mod maker;
mod named;
mod plan;
mod quality;
mod recent;
mod risk;
mod rooms;
mod signature;
mod webhook;

#[cfg(test)]
mod tests;

pub use address::is_public;
pub use alert::{
    Act, Alert, AlertId, AlertIdError, AlertState, Entity, EntityKind, HistoryItem, Verdict,
};
pub use audit::{AuditError, AuditLog};
pub use chain::{CHAIN_RULE, QUICK_CHAIN_RULE};
pub use desk::{AlertChange, ChangeKind, Desk, DeskError, DeskOptions, Replayed};
pub use excepting::{ExceptionSet, Named};
pub use exception::{
    EXCEPTION_DAYS, EXCEPTION_DAYS_MAX, Exception, ExceptionId, ExceptionState, ExceptionView,
    Lasts, NewException, SuppressedMatch,
};
pub use explain::{Both, Explanation, Held, explain};
pub use filter::{AlertFilter, AlertPage, AlertSort};
pub use finding::{EventWords, EvidenceItem, Finding, Guide, Phase, RuleCopy, Say};
pub use fold::DeskStats;
pub use gap::{Gap, GapId, GapKind, GapSeen};
pub use maker::FindingMaker;
pub use quality::{
    Decision, JUDGED_MIN, Noise, NoiseCause, PRECISION_NOISY, Precedent, RuleQuality, Suggestion,
    VOLUME_DAYS, VOLUME_NOISY_MIN, VOLUME_NOISY_SHARE, Verdicts, wilson,
};
pub use risk::{EntityRisk, PhaseRisk, RiskOptions};
pub use signature::{SIGNATURE_HEADER, sign, verify};
pub use webhook::{
    DELIVERY_HEADER, Webhook, WebhookError, WebhookOptions, WebhookSecret, WebhookStats,
    guarded_client,
};
