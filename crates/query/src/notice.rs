//! What an answer says about itself.

use std::sync::{Arc, Mutex, PoisonError};
use yagura_event::Words;

/// Something to know about an answer beside its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether a limit left something out, so that the answer may lack rows or columns.
    pub cut: bool,
    /// What, and what to do, in both languages.
    pub words: Words,
}

/// The notices of one question, gathered while it is planned and run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<Notice>>>);

impl Notices {
    /// Tells something, once.
    pub(crate) fn tell(&self, cut: bool, en: impl Into<String>, ja: impl Into<String>) {
        let notice = Notice { cut, words: Words::new(en, ja) };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&notice) {
            all.push(notice);
        }
    }

    pub(crate) fn all(&self) -> Vec<Notice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
