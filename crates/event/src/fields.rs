//! The fields of one event as its reader took them apart: names by number, values as pieces of one
//! text. For readers that know the fields without writing a document first.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names of fields, numbered as they are first met.
#[derive(Debug)]
pub struct FieldNames {
    id: u64,
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32, RandomState>,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventField {
    /// The number of its name.
    pub name: u32,
    /// Where its value begins in the event's text, in bytes.
    pub start: u32,
    /// Where its value ends.
    pub end: u32,
}

/// The fields of one event, in the order of the event.
#[derive(Debug, Clone, Copy)]
pub struct EventFields<'a> {
    /// What the numbers of names mean.
    pub names: &'a FieldNames,
    /// The fields.
    pub fields: &'a [EventField],
    /// Their values, one behind the other.
    pub text: &'a str,
}

impl Default for FieldNames {
    fn default() -> Self {
        FieldNames { id: next_id(), texts: Vec::new(), numbers: HashMap::default() }
    }
}

impl FieldNames {
    /// Says which names these are: no others of this process have the same. What is known of a
    /// number stays true for as long as this stays.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The number of `name`.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Readers forget names long before there are four thousand million.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The name of this number; empty where there is none.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |text| text)
    }

    /// Forgets all names.
    pub fn forget(&mut self) {
        *self = FieldNames::default();
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_until_they_are_forgotten() {
        let mut names = FieldNames::default();
        let (id, image) = (names.id(), names.number("Event.EventData.Image"));
        assert_eq!(names.number("Event.System.Channel"), 1);
        assert_eq!(names.number("Event.EventData.Image"), image);
        assert_eq!(names.text(1), "Event.System.Channel");
        names.forget();
        assert!(names.is_empty() && names.id() != id && FieldNames::default().id() != names.id());
        assert_eq!(names.text(image), "");
    }
}
