//! Searches under way, by their ids: how far they are, and the means to end them.

use crate::limits::{SEARCH_ID_BYTES_MAX, SEARCHES_AT_ONCE_MAX};
use crate::{Node, NodeError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use yagura_query::Running;

/// The searches that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    running: Mutex<BTreeMap<String, Listed>>,
}

#[derive(Debug)]
struct Listed {
    query: String,
    running: Running,
}

/// One search's place in the list, until it is dropped. Dropping it does not end the search; dropping
/// its rows does.
#[derive(Debug)]
pub(crate) struct Place {
    id: String,
    searches: Arc<Searches>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.searches.running().remove(&self.id);
    }
}

impl Searches {
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Listed>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a search under the id that whoever asks chose, or one of ours.
    pub fn enter(
        self: &Arc<Self>,
        id: Option<&str>,
        query: &str,
        running: Running,
    ) -> Result<Place, NodeError> {
        let id = match id {
            Some(id) => checked(id)?.to_owned(),
            None => new_search_id()?,
        };
        let mut all = self.running();
        if all.len() >= SEARCHES_AT_ONCE_MAX {
            return Err(NodeError::Busy {
                message: format!("{SEARCHES_AT_ONCE_MAX} searches run or wait already: try again"),
                message_ja: format!(
                    "検索が上限の{SEARCHES_AT_ONCE_MAX}件、実行中または待機中です。少し待ってやり直してください"
                ),
            });
        }
        if all.contains_key(&id) {
            return Err(NodeError::request(
                format!("a search with the id {id} is running: choose another"),
                format!("ID {id} の検索は実行中です。別のIDにしてください"),
            ));
        }
        all.insert(id.clone(), Listed { query: query.to_owned(), running });
        Ok(Place { id, searches: self.clone() })
    }
}

impl Place {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn checked(id: &str) -> Result<&str, NodeError> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !id.is_empty() && id.len() <= SEARCH_ID_BYTES_MAX && id.bytes().all(sound) {
        return Ok(id);
    }
    Err(NodeError::request(
        format!("a search's id has 1 to {SEARCH_ID_BYTES_MAX} letters, digits, - and _"),
        format!("検索のIDには英数字、-、_ を{SEARCH_ID_BYTES_MAX}文字まで使えます"),
    ))
}

/// An id that nobody guesses: whoever knows it may end the search.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_search_id() -> Result<String, NodeError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| NodeError::Content(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn shown(id: &str, listed: &Listed) -> Value {
    let progress = listed.running.progress();
    let scanned = progress.scanned;
    json!({
        "search_id": id,
        "query": listed.query,
        "phase": progress.phase.as_str(),
        "files": scanned.files,
        "files_done": scanned.files_done,
        "row_groups": scanned.row_groups,
        "row_groups_done": scanned.row_groups_done,
        "rows_scanned": scanned.rows,
        "rows_found": progress.found,
        "elapsed_ms": u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
        "cancelled": progress.cancelled,
    })
}

impl Node {
    /// How far the search is that was given this id.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none or it has ended.
    pub fn search_progress(&self, id: &str) -> Result<Value, NodeError> {
        let all = self.searches().running();
        all.get(id).map(|listed| shown(id, listed)).ok_or_else(|| no_search(id))
    }

    /// Ends the search that was given this id: it answers so as soon as it lets go.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], when there is none or it has ended.
    pub fn cancel_search(&self, id: &str) -> Result<Value, NodeError> {
        let all = self.searches().running();
        let listed = all.get(id).ok_or_else(|| no_search(id))?;
        listed.running.cancel();
        Ok(shown(id, listed))
    }

    /// Every search that runs or waits.
    pub fn running_searches(&self) -> Value {
        let all = self.searches().running();
        let all: Vec<Value> = all.iter().map(|(id, listed)| shown(id, listed)).collect();
        json!({ "searches": all })
    }
}

fn no_search(id: &str) -> NodeError {
    let id: String = id.chars().take(SEARCH_ID_BYTES_MAX).collect();
    NodeError::NotFound {
        message: format!("no search {id} is running: it has ended, or never was"),
        message_ja: format!("検索 {id} は実行されていません（すでに終わったか、存在しません）"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_listed_until_they_end_and_not_past_the_limit() {
        let searches = Arc::new(Searches::default());
        let enter = |id: Option<&str>| searches.enter(id, "", Running::new());
        let mut all: Vec<Place> = (1..SEARCHES_AT_ONCE_MAX).map(|_| enter(None).unwrap()).collect();
        let mine = enter(Some("mine")).unwrap();
        assert!(matches!(enter(None), Err(NodeError::Busy { .. })));
        all.pop();
        assert!(matches!(enter(Some("mine")), Err(NodeError::Request { .. })), "taken");
        drop(mine);
        assert_eq!(enter(Some("mine")).unwrap().id(), "mine");
    }

    #[test]
    fn an_id_is_short_and_plain() {
        assert!(checked(&"a".repeat(SEARCH_ID_BYTES_MAX)).is_ok());
        for bad in [&"a".repeat(SEARCH_ID_BYTES_MAX + 1), "", "a/b", "検索", "a b"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
