//! The acts that are open, and how events find them.

use crate::act::{Act, ActKind, ActState};
use crate::draft::Draft;
use crate::item::Item;
use crate::kinds::{self, Body, Verdict};
use crate::limits::{EVENTS_PER_ACT_MAX, KEYS_PER_ACT_MAX, OPEN_ACTS_MAX, OPEN_EVENTS_MAX};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::{BTreeSet, VecDeque};
use yagura_event::EventId;

/// The number of an open act; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number(u64);

/// When an act ends if nothing more comes, in microseconds of event time.
pub(crate) const NEVER: i64 = i64::MAX;

#[derive(Debug)]
struct Open {
    draft: Draft,
    body: Body,
    keys: VecDeque<Box<str>>,
    deadline: i64,
}

/// How many acts and events may be open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) acts: usize,
    pub(crate) events: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { acts: OPEN_ACTS_MAX, events: OPEN_EVENTS_MAX }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    open: HashMap<Number, Open, RandomState>,
    by_key: HashMap<Box<str>, Number, RandomState>,
    deadlines: BTreeSet<(i64, Number)>,
    next: u64,
    held: usize,
    pub(crate) room: Room,
    pub(crate) done: Vec<Act>,
    pub(crate) passed: Vec<EventId>,
    pub(crate) cut: u64,
}

impl Table {
    /// Begins an act with its first event.
    pub(crate) fn begin(&mut self, kind: ActKind, body: Body, item: &Item) -> Number {
        let mut draft = Draft::new(kind);
        draft.add(item);
        draft.fill("host.name", item.get("host.name"));
        self.begin_with(draft, body)
    }

    pub(crate) fn begin_with(&mut self, draft: Draft, body: Body) -> Number {
        while self.open.len() >= self.room.acts && self.cut_earliest(None) {}
        let number = Number(self.next);
        self.next += 1;
        self.held += draft.events.len();
        self.open.insert(number, Open { draft, body, keys: VecDeque::new(), deadline: NEVER });
        self.deadlines.insert((NEVER, number));
        self.keep_room(number);
        number
    }

    /// Adds an event to an open act.
    pub(crate) fn add(&mut self, number: Number, item: &Item) {
        let Some(open) = self.open.get_mut(&number) else { return };
        if open.draft.is_full() {
            self.split(number);
        }
        let Some(open) = self.open.get_mut(&number) else { return };
        open.draft.add(item);
        self.held += 1;
        self.keep_room(number);
    }

    /// Adds everything of a draft to an open act.
    pub(crate) fn absorb(&mut self, number: Number, draft: Draft) {
        let more = draft.events.len();
        let Some(open) = self.open.get_mut(&number) else { return };
        if open.draft.events.len().saturating_add(more) > EVENTS_PER_ACT_MAX {
            self.split(number);
        }
        let Some(open) = self.open.get_mut(&number) else { return };
        open.draft.absorb(draft);
        self.held += more;
        self.keep_room(number);
    }

    pub(crate) fn find(&self, key: &str) -> Option<Number> {
        self.by_key.get(key).copied()
    }

    /// Lets events find the act by `key`, instead of any other act that had it.
    pub(crate) fn name(&mut self, number: Number, key: String) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let key: Box<str> = key.into();
        if self.by_key.get(&key) == Some(&number) {
            return;
        }
        open.keys.push_back(key.clone());
        let oldest = if open.keys.len() > KEYS_PER_ACT_MAX { open.keys.pop_front() } else { None };
        self.by_key.insert(key, number);
        if let Some(oldest) = oldest {
            self.release(number, &oldest);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &str) {
        if let Some(number) = self.by_key.remove(key)
            && let Some(open) = self.open.get_mut(&number)
        {
            open.keys.retain(|known| **known != *key);
        }
    }

    pub(crate) fn draft(&mut self, number: Number) -> Option<&mut Draft> {
        self.open.get_mut(&number).map(|open| &mut open.draft)
    }

    pub(crate) fn both(&mut self, number: Number) -> Option<(&mut Draft, &mut Body)> {
        self.open.get_mut(&number).map(|open| (&mut open.draft, &mut open.body))
    }

    /// Sets when the act ends if nothing more comes.
    pub(crate) fn until(&mut self, number: Number, deadline: i64) {
        let Some(open) = self.open.get_mut(&number) else { return };
        if open.deadline != deadline {
            self.deadlines.remove(&(open.deadline, number));
            open.deadline = deadline;
            self.deadlines.insert((deadline, number));
        }
    }

    /// An event that is part of no act.
    pub(crate) fn pass(&mut self, item: &Item) {
        self.passed.push(item.place.id.clone());
    }

    /// Ends the acts whose time is up before `now`.
    pub(crate) fn expire(&mut self, now: i64) {
        while let Some(&(deadline, number)) = self.deadlines.first()
            && deadline < now
            && deadline != NEVER
        {
            self.close(number, ActState::Complete);
        }
    }

    /// Ends everything.
    pub(crate) fn finish(&mut self) {
        self.expire(NEVER);
        while let Some(&(_, number)) = self.deadlines.first() {
            let ended = self.open.get(&number).is_none_or(|open| open.draft.ended);
            let state = if ended { ActState::Complete } else { ActState::Open };
            self.close(number, state);
        }
    }

    /// Ends one act.
    pub(crate) fn close(&mut self, number: Number, state: ActState) {
        let Some(open) = self.open.remove(&number) else { return };
        self.withdraw(number, &open);
        self.give_out(open.draft, &open.body, state);
    }

    /// Takes an act away that is part of another.
    pub(crate) fn take(&mut self, number: Number) -> Option<Draft> {
        let open = self.open.remove(&number)?;
        self.withdraw(number, &open);
        Some(open.draft)
    }

    fn withdraw(&mut self, number: Number, open: &Open) {
        self.deadlines.remove(&(open.deadline, number));
        self.held = self.held.saturating_sub(open.draft.events.len());
        for key in &open.keys {
            self.release(number, key);
        }
    }

    fn give_out(&mut self, mut draft: Draft, body: &Body, state: ActState) {
        match kinds::conclude(&mut draft, body) {
            Verdict::Act => self.done.extend(draft.finish(state)),
            Verdict::Pass => self.passed.extend(draft.events.into_iter().map(|place| place.id)),
            Verdict::Episode if state == ActState::Cut => self.done.extend(draft.finish(state)),
            Verdict::Episode => kinds::unix::fold(self, draft),
        }
    }

    fn release(&mut self, number: Number, key: &str) {
        if self.by_key.get(key) == Some(&number) {
            self.by_key.remove(key);
        }
    }

    /// Gives out what an act has so far; it goes on as its next part.
    fn split(&mut self, number: Number) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let next = open.draft.next_part();
        let mut full = std::mem::replace(&mut open.draft, next);
        kinds::conclude(&mut full, &open.body);
        self.held = self.held.saturating_sub(full.events.len());
        self.cut += 1;
        self.done.extend(full.finish(ActState::Cut));
    }

    fn keep_room(&mut self, newest: Number) {
        while self.held > self.room.events && self.cut_earliest(Some(newest)) {}
        if self.held > self.room.events {
            self.split(newest);
        }
    }

    /// Cuts the act that would end first, other than `spared`. Says whether there was one.
    fn cut_earliest(&mut self, spared: Option<Number>) -> bool {
        let mut all = self.deadlines.iter().map(|(_, number)| *number);
        let Some(number) = all.find(|number| Some(*number) != spared) else { return false };
        self.cut += 1;
        self.close(number, ActState::Cut);
        true
    }
}
