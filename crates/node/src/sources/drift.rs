//! Sources that change what they send without a word: fields that vanish or are new, another kind of
//! event, text that can no longer be read. Each source is compared with its own past, window by
//! window; what has changed is said once, and then is what is usual.

use super::limits::FIELDS_PER_SET_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_event::Lang;

/// A window has at least so many events ...
pub(crate) const WINDOW_EVENTS_MIN: u64 = 500;

/// ... or, of fields, so many events that were looked at ...
pub(crate) const WINDOW_SAMPLES_MIN: u32 = 200;

/// In one window no more than so many are looked at: a busy source costs no more than a quiet one.
pub(crate) const WINDOW_SAMPLES_MAX: u32 = 400;

/// ... and lasts at least this long, in microseconds: an hour has its own mix of events.
pub(crate) const WINDOW_MICROS_MIN: i64 = 3_600 * 1_000_000;

/// Windows that make the first picture of what is usual.
pub(crate) const LEARN_WINDOWS: u32 = 3;

/// A field that at least this part of the events had and none has any more has vanished; one that
/// hardly any had and this part has is new. In thousandths.
pub(crate) const FIELD_SHARE_MIN: u32 = 750;

/// Hardly any, in thousandths: a change in the middle of a window leaves its mark on what is usual.
pub(crate) const FIELD_SHARE_RARE_MAX: u32 = 200;

/// A dataset that was at least this part of the events, in thousandths ...
pub(crate) const DATASET_SHARE_MIN: u32 = 500;

/// ... and now is less than this part, has given way to another.
pub(crate) const DATASET_SHARE_LEFT_MAX: u32 = 50;

/// Failures to parse have risen when they are so much (in thousandths) more of the events.
pub(crate) const FAILURES_RISE_MIN: u32 = 200;

/// Fields that a notice names; the others are counted.
const FIELDS_NAMED_MAX: usize = 8;

/// What is usual of one source, and the window being counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drift {
    began: Option<i64>,
    events: u64,
    failures: u64,
    datasets: BTreeMap<Arc<str>, u64>,
    windows: u32,
    usual: Usual,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    /// Thousandths of the events that could not be read.
    failures: u32,
    /// Thousandths by dataset.
    datasets: BTreeMap<Arc<str>, u32>,
}

/// The fields that events of one source and dataset have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FieldSet {
    began: Option<i64>,
    samples: u32,
    /// In how many samples of this window a field was, by the number of its name.
    counts: BTreeMap<u32, u32>,
    windows: u32,
    /// Thousandths of the events that had it.
    usual: BTreeMap<u32, u32>,
    /// It had more fields than are watched.
    too_many: bool,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Fields of a dataset.
    Fields {
        /// The dataset.
        dataset: Arc<str>,
        /// Fields that have vanished.
        vanished: Vec<Arc<str>>,
        /// Fields that are new.
        appeared: Vec<Arc<str>>,
    },
    /// The dataset most events were of.
    Dataset {
        /// What they were.
        before: Arc<str>,
        /// What most of them are now.
        now: Arc<str>,
    },
    /// More events than before cannot be read. In thousandths of all.
    Failures {
        /// Before.
        before: u32,
        /// Now.
        now: u32,
    },
}

impl Drift {
    /// When the window being counted began; `None` just after one has ended.
    pub(crate) fn began(&self) -> Option<i64> {
        self.began
    }

    /// Whether enough is known to tell a change.
    pub(crate) fn has_learned(&self) -> bool {
        self.windows >= LEARN_WINDOWS
    }

    /// Takes note of events received around `now` (microseconds), by dataset.
    pub(crate) fn see(
        &mut self,
        now: i64,
        dataset: &Arc<str>,
        events: u64,
        failures: u64,
    ) -> Vec<Change> {
        let began = *self.began.get_or_insert(now);
        self.events += events;
        self.failures += failures;
        if let Some(count) = self.datasets.get_mut(dataset) {
            *count += events;
        } else if self.datasets.len() < super::limits::DATASETS_PER_SOURCE_MAX {
            self.datasets.insert(dataset.clone(), events);
        }
        if self.events < WINDOW_EVENTS_MIN || now.saturating_sub(began) < WINDOW_MICROS_MIN {
            return Vec::new();
        }
        self.close()
    }

    fn close(&mut self) -> Vec<Change> {
        let events = self.events;
        let share = |count: u64| thousandths(count, events);
        let now = Usual {
            failures: share(self.failures),
            datasets: self
                .datasets
                .iter()
                .map(|(name, count)| (name.clone(), share(*count)))
                .collect(),
        };
        let changes = if self.has_learned() { self.usual.changes_to(&now) } else { Vec::new() };
        if changes.is_empty() && self.windows > 0 {
            self.usual.follow(&now);
        } else {
            self.usual = now;
        }
        self.windows = self.windows.saturating_add(1);
        (self.began, self.events, self.failures) = (None, 0, 0);
        self.datasets.clear();
        changes
    }
}

impl Usual {
    fn changes_to(&self, now: &Usual) -> Vec<Change> {
        let mut changes = Vec::new();
        if now.failures >= self.failures.saturating_add(FAILURES_RISE_MIN) {
            changes.push(Change::Failures { before: self.failures, now: now.failures });
        }
        let share_now = |dataset: &Arc<str>| now.datasets.get(dataset).copied().unwrap_or(0);
        let left = self.datasets.iter().find(|(dataset, share)| {
            **share >= DATASET_SHARE_MIN && share_now(dataset) < DATASET_SHARE_LEFT_MAX
        });
        let most = now.datasets.iter().max_by_key(|(_, share)| **share);
        if let (Some((before, _)), Some((most, _))) = (left, most) {
            // Said already where they cannot be read at all.
            if changes.is_empty() || &**most != "unknown" {
                changes.push(Change::Dataset { before: before.clone(), now: most.clone() });
            }
        }
        changes
    }

    fn follow(&mut self, now: &Usual) {
        self.failures = blend(self.failures, now.failures);
        for (dataset, share) in &mut self.datasets {
            *share = blend(*share, now.datasets.get(dataset).copied().unwrap_or(0));
        }
        for (dataset, share) in &now.datasets {
            if self.datasets.len() < super::limits::DATASETS_PER_SOURCE_MAX {
                self.datasets.entry(dataset.clone()).or_insert(*share);
            }
        }
    }
}

impl FieldSet {
    /// Takes note of one event's fields.
    pub(crate) fn sample(&mut self, now: i64, fields: impl Iterator<Item = u32>) {
        if self.too_many {
            return;
        }
        self.began.get_or_insert(now);
        self.samples += 1;
        for field in fields {
            if let Some(count) = self.counts.get_mut(&field) {
                *count += 1;
            } else if self.counts.len() >= FIELDS_PER_SET_MAX {
                self.give_up();
                return;
            } else {
                self.counts.insert(field, 1);
            }
        }
    }

    /// Whether further events of this window say anything more.
    pub(crate) fn needs_samples(&self) -> bool {
        !self.too_many && self.samples < WINDOW_SAMPLES_MAX
    }

    /// Whoever makes up names has no format that could change.
    fn give_up(&mut self) {
        *self = FieldSet { too_many: true, ..FieldSet::default() };
    }

    /// Ends the window if it is long enough; the fields that vanished and those that are new.
    pub(crate) fn look(&mut self, now: i64) -> Option<(Vec<u32>, Vec<u32>)> {
        let began = self.began?;
        let long_enough =
            self.samples >= WINDOW_SAMPLES_MIN && now.saturating_sub(began) >= WINDOW_MICROS_MIN;
        if !long_enough {
            return None;
        }
        let samples = u64::from(self.samples);
        let shares: BTreeMap<u32, u32> = self
            .counts
            .iter()
            .map(|(field, count)| (*field, thousandths(u64::from(*count), samples)))
            .collect();
        let (mut vanished, mut appeared) = (Vec::new(), Vec::new());
        if self.windows >= LEARN_WINDOWS {
            let gone = self.usual.iter().filter(|(field, share)| {
                **share >= FIELD_SHARE_MIN && !shares.contains_key(*field)
            });
            vanished.extend(gone.map(|(field, _)| *field));
            let new = shares.iter().filter(|(field, share)| {
                let before = self.usual.get(*field).copied().unwrap_or(0);
                **share >= FIELD_SHARE_MIN && before < FIELD_SHARE_RARE_MAX
            });
            appeared.extend(new.map(|(field, _)| *field));
        }
        let changed = !vanished.is_empty() || !appeared.is_empty();
        if changed || self.windows == 0 {
            self.usual = shares;
        } else {
            for (field, share) in &mut self.usual {
                *share = blend(*share, shares.get(field).copied().unwrap_or(0));
            }
            for (field, share) in shares {
                if self.usual.len() < FIELDS_PER_SET_MAX {
                    self.usual.entry(field).or_insert(blend(0, share));
                }
            }
        }
        self.windows = self.windows.saturating_add(1);
        (self.began, self.samples) = (None, 0);
        self.counts.clear();
        changed.then_some((vanished, appeared))
    }
}

/// A fourth of the new, three of the old: one odd hour does not change what is usual.
fn blend(old: u32, new: u32) -> u32 {
    (old.saturating_mul(3).saturating_add(new)) / 4
}

fn thousandths(part: u64, whole: u64) -> u32 {
    u32::try_from(part.saturating_mul(1_000) / whole.max(1)).unwrap_or(u32::MAX)
}

impl Change {
    /// What changed of `source`, and what to do, in words.
    pub(crate) fn sentence(&self, source: &str, lang: Lang) -> String {
        match (self, lang) {
            (Change::Fields { dataset, vanished, appeared }, Lang::Ja) => {
                let mut said = Vec::new();
                if !vanished.is_empty() {
                    said.push(format!("項目 {} が現れなくなり", names(vanished, "、", "件")));
                }
                if !appeared.is_empty() {
                    said.push(format!("新しい項目 {} が現れ", names(appeared, "、", "件")));
                }
                format!(
                    "送信元 {source} の {dataset} の書式が変わりました。{}ました。ルールと対応付けがこのままでよいか確認してください。",
                    said.join("、")
                )
            }
            (Change::Fields { dataset, vanished, appeared }, Lang::En) => {
                let mut said = Vec::new();
                if !vanished.is_empty() {
                    said.push(format!("no event has {} any more", names(vanished, ", ", "others")));
                }
                if !appeared.is_empty() {
                    said.push(format!("most now have {}", names(appeared, ", ", "others")));
                }
                format!(
                    "The format of {dataset} from {source} has changed: {}. Check that rules and \
                     mappings still fit.",
                    said.join(", and ")
                )
            }
            (Change::Dataset { before, now }, Lang::Ja) => format!(
                "送信元 {source} のログの種類が変わりました。これまでは {before} でしたが、今は {now} です。送信側の変更か、読み取りの誤りかを確認してください。"
            ),
            (Change::Dataset { before, now }, Lang::En) => format!(
                "{source} sends other logs than before: they were {before} and now are {now}. Check \
                 whether the sender was changed, or is read wrongly."
            ),
            (Change::Failures { before, now }, Lang::Ja) => format!(
                "送信元 {source} のログのうち読み取れないものが {} から {} に増えました。yagura sources --failures で例を確認し、\
                 対応付けを加えたら yagura reprocess で読み直してください。",
                percent(*before),
                percent(*now)
            ),
            (Change::Failures { before, now }, Lang::En) => format!(
                "More of what {source} sends cannot be read: {} instead of {}. See examples with \
                 yagura sources --failures; once there is a mapping, read them again with yagura \
                 reprocess.",
                percent(*now),
                percent(*before)
            ),
        }
    }
}

fn percent(thousandths: u32) -> String {
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

fn names(fields: &[Arc<str>], between: &str, more: &str) -> String {
    let named: Vec<&str> = fields.iter().take(FIELDS_NAMED_MAX).map(|name| &**name).collect();
    let mut said = named.join(between);
    if let Some(rest) = fields.len().checked_sub(FIELDS_NAMED_MAX).filter(|rest| *rest > 0) {
        said.push_str(&format!("{between}+{rest} {more}"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    /// One window of events; answers what was said at its end.
    fn window(drift: &mut Drift, clock: &mut i64, mix: &[(&str, u64, u64)]) -> Vec<Change> {
        let mut said = Vec::new();
        for _ in 0..2 {
            for (dataset, events, failures) in mix {
                said.extend(drift.see(*clock, &name(dataset), *events, *failures));
            }
            *clock += WINDOW_MICROS_MIN;
        }
        said
    }

    #[test]
    fn another_dataset_is_said_once() {
        let (mut drift, mut clock) = (Drift::default(), 0);
        let before = [("network.firewall", 400, 0), ("linux.syslog", 100, 0)];
        for _ in 0..6 {
            assert_eq!(window(&mut drift, &mut clock, &before), []);
        }
        let now = [("json.generic", 500, 0)];
        let changes: Vec<_> = (0..4).flat_map(|_| window(&mut drift, &mut clock, &now)).collect();
        let change =
            Change::Dataset { before: name("network.firewall"), now: name("json.generic") };
        assert_eq!(changes, [change]);
    }

    #[test]
    fn more_failures_are_said_once_and_a_few_are_not() {
        let (mut drift, mut clock) = (Drift::default(), 0);
        let said = |drift: &mut Drift, clock: &mut i64, failures: u64| {
            window(
                drift,
                clock,
                &[("linux.syslog", 1_000 - failures, 0), ("unknown", failures, failures)],
            )
        };
        for _ in 0..6 {
            assert_eq!(said(&mut drift, &mut clock, 10), []);
        }
        assert_eq!(said(&mut drift, &mut clock, 200), [], "one short of the limit");
        for _ in 0..8 {
            assert_eq!(said(&mut drift, &mut clock, 10), []);
        }
        let found = said(&mut drift, &mut clock, 1_000);
        assert!(matches!(found[..], [Change::Failures { now: 1_000, .. }]), "{found:?}");
        assert_eq!(said(&mut drift, &mut clock, 1_000), []);
    }

    #[test]
    fn little_traffic_and_short_times_say_nothing() {
        let mut drift = Drift::default();
        for number in 0..100_000 {
            let dataset = if number < 50_000 { "linux.auth" } else { "linux.syslog" };
            assert_eq!(drift.see(number, &name(dataset), 10, 0), []);
        }
        assert!(!drift.has_learned());
    }

    fn field_window(
        set: &mut FieldSet,
        clock: &mut i64,
        fields: &[u32],
        rare: u32,
    ) -> Option<(Vec<u32>, Vec<u32>)> {
        for number in 0..WINDOW_SAMPLES_MIN {
            let also = (number % 10 == 0).then_some(rare);
            set.sample(*clock, fields.iter().copied().chain(also));
        }
        *clock += WINDOW_MICROS_MIN;
        set.look(*clock)
    }

    #[test]
    fn renamed_fields_are_said_once_and_rare_ones_never() {
        let (mut set, mut clock) = (FieldSet::default(), 0);
        for number in 0..8 {
            assert_eq!(field_window(&mut set, &mut clock, &[1, 2, 3], 100 + number % 2), None);
        }
        let changed = field_window(&mut set, &mut clock, &[1, 2, 4], 100);
        assert_eq!(changed, Some((vec![3], vec![4])));
        for _ in 0..4 {
            assert_eq!(field_window(&mut set, &mut clock, &[1, 2, 4], 101), None);
        }
    }

    #[test]
    fn a_change_in_the_middle_of_a_window_is_said_after_it() {
        let (mut set, mut clock) = (FieldSet::default(), 0);
        for _ in 0..4 {
            assert_eq!(field_window(&mut set, &mut clock, &[1, 2], 9), None);
        }
        for number in 0..WINDOW_SAMPLES_MIN {
            let field = if number < 60 { 2 } else { 3 };
            set.sample(clock, [1, field].into_iter());
        }
        clock += WINDOW_MICROS_MIN;
        assert_eq!(set.look(clock), None);
        let changed = field_window(&mut set, &mut clock, &[1, 3], 9);
        assert_eq!(changed, Some((vec![2], vec![3])));
    }

    #[test]
    fn fields_are_bounded() {
        let mut set = FieldSet::default();
        set.sample(0, 0..FIELDS_PER_SET_MAX as u32);
        assert!(!set.too_many);
        set.sample(0, std::iter::once(FIELDS_PER_SET_MAX as u32));
        assert!(set.too_many && set.counts.is_empty());
    }

    #[test]
    fn changes_in_words() {
        let fields = Change::Fields {
            dataset: name("cloud.okta"),
            vanished: vec![name("actor.alternateId")],
            appeared: vec![name("actor.login")],
        };
        assert_eq!(
            fields.sentence("192.0.2.9 fw01", Lang::Ja),
            "送信元 192.0.2.9 fw01 の cloud.okta の書式が変わりました。項目 actor.alternateId が現れなくなり、\
             新しい項目 actor.login が現れました。ルールと対応付けがこのままでよいか確認してください。"
        );
        assert_eq!(
            fields.sentence("192.0.2.9 fw01", Lang::En),
            "The format of cloud.okta from 192.0.2.9 fw01 has changed: no event has actor.alternateId \
             any more, and most now have actor.login. Check that rules and mappings still fit."
        );
        let failures = Change::Failures { before: 12, now: 480 };
        assert!(failures.sentence("fw01", Lang::En).contains("48.0% instead of 1.2%"));
        assert!(failures.sentence("fw01", Lang::Ja).contains("1.2% から 48.0%"));
    }
}
