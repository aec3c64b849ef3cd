//! One file per command, and what several of them do alike.

pub mod acts;
pub mod alerts;
pub mod backup;
pub mod config;
pub mod desk;
pub mod forward;
pub mod hold;
pub mod hunt;
pub mod import;
pub mod inventory;
pub mod job;
pub mod lake;
pub mod ledger;
pub mod normalize;
pub mod prove;
pub mod reprocess;
pub mod retention;
pub mod rules;
pub mod saved;
pub mod scan;
pub mod search;
pub mod serve;
pub mod sources;
pub mod sql;
pub mod verify;
pub mod webhook;
