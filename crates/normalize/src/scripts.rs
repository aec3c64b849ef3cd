//! PowerShell scripts put together again: a script longer than an event is logged in parts (event
//! 4104 with `MessageNumber` of `MessageTotal`), and the part that completes it carries the whole
//! in `powershell.script_block_text` besides its own.
//!
//! Bounded for all streams together. Whoever sees only some parts (a reader that shares the records
//! with others, a start in between) gives no whole; the parts are rows of their own in any case.

use crate::flat::Flat;
use crate::limits::{SCRIPT_BYTES_MAX, SCRIPT_PARTS_MAX, SCRIPTS_BYTES_MAX, SCRIPTS_MAX};
use std::collections::VecDeque;
use yagura_event::Origin;

/// The column of the whole script.
pub(crate) const WHOLE: &str = "powershell.script_block_text";

/// Scripts of which parts are waiting, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    waiting: VecDeque<Script>,
    bytes: usize,
}

#[derive(Debug)]
struct Script {
    /// Stream, peer and `ScriptBlockId`.
    key: Box<str>,
    parts: Vec<Option<Box<str>>>,
    bytes: usize,
}

/// What an event says of its script.
struct Part<'a> {
    id: &'a str,
    number: usize,
    total: usize,
    text: &'a str,
}

impl Scripts {
    /// Adds the whole script to `flat` when the event in it is the last missing part of one.
    pub(crate) fn join(&mut self, origin: &Origin<'_>, flat: &mut Flat) {
        let Some(part) = part(flat) else { return };
        let key = format!("{}\n{}\n{}", origin.stream, origin.peer, part.id);
        let known = self.waiting.iter().position(|script| *script.key == *key);
        let mut script = match known.and_then(|at| self.waiting.remove(at)) {
            Some(script) if script.parts.len() == part.total => script,
            _ => Script { key: key.into(), parts: vec![None; part.total], bytes: 0 },
        };
        self.bytes = self.waiting.iter().map(|script| script.bytes).sum();
        // A part that comes again replaces what came before.
        let Some(place) = script.parts.get_mut(part.number - 1) else { return };
        let before = place.replace(part.text.into()).map_or(0, |text| text.len());
        script.bytes = script.bytes + part.text.len() - before;
        if script.bytes > SCRIPT_BYTES_MAX {
            return;
        }
        if script.parts.iter().all(Option::is_some) {
            let whole: String = script.parts.iter().flatten().map(|part| &**part).collect();
            flat.push(WHOLE, &whole);
            return;
        }
        self.bytes += script.bytes;
        self.waiting.push_back(script);
        while self.bytes > SCRIPTS_BYTES_MAX || self.waiting.len() > SCRIPTS_MAX {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

/// The part that the event in `flat` is of a script of several, in any dialect.
fn part(flat: &Flat) -> Option<Part<'_>> {
    let [mut id, mut number, mut total, mut text] = [None; 4];
    for entry in (0..flat.len()).filter_map(|index| flat.entry(index)) {
        let name = flat.names.text(entry.name);
        let slot = match name.rsplit('.').next().unwrap_or(name) {
            "ScriptBlockId" => &mut id,
            "MessageNumber" => &mut number,
            "MessageTotal" => &mut total,
            "ScriptBlockText" => &mut text,
            _ => continue,
        };
        *slot = Some(flat.get(entry.value));
    }
    let number: usize = number?.trim().parse().ok()?;
    let total: usize = total?.trim().parse().ok()?;
    let several = (2..=SCRIPT_PARTS_MAX).contains(&total) && (1..=total).contains(&number);
    several.then_some(Part { id: id?, number, total, text: text? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_event::{StreamName, Transport, UtcMicros};

    /// What the script is after a part, given as `(id, number, total, text)`.
    fn join(scripts: &mut Scripts, part: (&str, usize, usize, &str)) -> Option<String> {
        let stream = StreamName::new("windows").unwrap();
        let origin = Origin {
            stream: &stream,
            batch: 1,
            index: 0,
            batch_salt: &[0; 32],
            received: UtcMicros::default(),
            transport: Transport::SyslogTcp,
            peer: "192.0.2.1:1",
            identity: "none",
        };
        let mut flat = Flat::default();
        flat.push("Event.EventData.ScriptBlockId", part.0);
        flat.push("Event.EventData.MessageNumber", &part.1.to_string());
        flat.push("Event.EventData.MessageTotal", &part.2.to_string());
        flat.push("Event.EventData.ScriptBlockText", part.3);
        let before = flat.len();
        scripts.join(&origin, &mut flat);
        flat.entry(before).map(|entry| flat.get(entry.value).to_owned())
    }

    #[test]
    fn the_part_that_completes_a_script_has_all_of_it() {
        let mut scripts = Scripts::default();
        assert_eq!(join(&mut scripts, ("a", 2, 3, "two ")), None);
        assert_eq!(join(&mut scripts, ("b", 1, 2, "other ")), None);
        assert_eq!(join(&mut scripts, ("a", 1, 3, "one ")), None);
        assert_eq!(join(&mut scripts, ("a", 3, 3, "three")), Some("one two three".into()));
        assert_eq!(join(&mut scripts, ("a", 3, 3, "three")), None);
        assert_eq!(join(&mut scripts, ("b", 2, 2, "script")), Some("other script".into()));
        assert_eq!(join(&mut scripts, ("c", 1, 1, "short")), None);
        for odd in [("d", 0, 2, "x"), ("d", 3, 2, "x"), ("d", 1, SCRIPT_PARTS_MAX + 1, "x")] {
            assert_eq!(join(&mut scripts, odd), None);
        }
        assert_eq!(scripts.waiting.len(), 1);
    }

    #[test]
    fn waiting_parts_are_bounded() {
        let mut scripts = Scripts::default();
        for number in 0..=SCRIPTS_MAX {
            join(&mut scripts, (&number.to_string(), 1, 2, "x"));
        }
        assert_eq!((scripts.waiting.len(), scripts.bytes), (SCRIPTS_MAX, SCRIPTS_MAX));
        let part = "x".repeat(SCRIPT_BYTES_MAX);
        for number in 0..=SCRIPTS_BYTES_MAX / SCRIPT_BYTES_MAX {
            join(&mut scripts, (&format!("big {number}"), 1, 2, &part));
        }
        assert_eq!(scripts.bytes, SCRIPTS_BYTES_MAX);
        let half = "x".repeat(SCRIPT_BYTES_MAX / 2);
        join(&mut scripts, ("at the limit", 1, 2, &half));
        assert_eq!(
            join(&mut scripts, ("at the limit", 2, 2, &half)).map(|whole| whole.len()),
            Some(SCRIPT_BYTES_MAX)
        );
        join(&mut scripts, ("past it", 1, 2, &half));
        assert_eq!(join(&mut scripts, ("past it", 2, 2, &format!("{half}x"))), None);
    }
}
