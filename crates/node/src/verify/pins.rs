//! Pins: each is what was written, leads to the root of its batch, and has the header that the log has.

use super::{EVENT, Finding, PINS, Verifier};
use crate::pins::file;
use yagura_event::EventId;
use yagura_ledger::{EventProof, Log};

impl Verifier<'_> {
    /// Every pin whose batch is within the scope.
    pub(super) fn pins(&mut self, events: &Log) {
        // While this runs nothing is unpinned; what is pinned meanwhile is not looked for.
        let ids: Vec<EventId> = self.pins.ids().collect();
        for id in ids {
            let header = events.leaf_of_batch(id.batch).ok().flatten();
            let header = header.and_then(|leaf| events.header(leaf).ok());
            if header.is_some_and(|header| !self.scope.covers(&header)) {
                continue;
            }
            self.checked(PINS, 1);
            if let Err(file::Fault(words)) = file::read(self.data, events, &id) {
                let place = format!("{}, event {id}", self.place_of_pin(&id));
                self.found(PINS, place, words.en().to_owned(), words.ja().to_owned());
            }
        }
    }

    /// An event that the lake has no more and that is pinned: its proof, checked as a stranger would.
    pub(super) fn pinned_event(&mut self, id: &EventId, events: &Log) {
        let place = format!("{}, event {id}", self.place_of_pin(id));
        let (leaf, pin) = match file::read(self.data, events, id) {
            Ok(read) => read,
            Err(file::Fault(words)) => {
                return self.found(EVENT, place, words.en().to_owned(), words.ja().to_owned());
            }
        };
        let proven = (|| -> Result<(), String> {
            let outer = events.inclusion_proof(leaf).map_err(|error| error.to_string())?;
            let key = events.verifier_key_of(leaf).ok_or("no key of its epoch is known")?;
            let proven = EventProof::new(pin, outer).verify(key);
            proven.map(|_| ()).map_err(|error| error.to_string())
        })();
        if let Err(error) = proven {
            return self.wrong(EVENT, place, error);
        }
        let (what, what_ja) = match self.was_deleted(id, events) {
            true => (
                "is absent by a recorded deletion of its batch; its pin has the bytes and proves them",
                "このバッチを削除した記録があり、レイクにはありません。内容はピンにあり、証明できます",
            ),
            false => (
                "is not in the lake, and no deletion is recorded; its pin has the bytes and proves them",
                "レイクになく、削除の記録もありません。内容はピンにあり、証明できます",
            ),
        };
        let (what, what_ja) = (what.to_owned(), what_ja.to_owned());
        match self.was_deleted(id, events) {
            true => self.report.notes.push(Finding { place: id.to_string(), what, what_ja }),
            false => self.found(EVENT, id.to_string(), what, what_ja),
        }
    }

    fn place_of_pin(&self, id: &EventId) -> String {
        self.data.relative(&file::path(self.data, id))
    }
}
