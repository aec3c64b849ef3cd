//! Exceptions at work: what the rules matched, parted into what stays and what an exception takes
//! away, before anything counts or correlates it.

use yagura_desk::{EventWords, ExceptionId, ExceptionSet, Finding, FindingMaker, Named};
use yagura_detect::Match;
use yagura_event::{EventBatch, FieldDictionary, UtcMicros};

/// Takes out of `matches` those that an exception of `set` speaks for and returns them with it. Their
/// findings carry no sentence: nobody reads them.
pub(crate) fn part(
    set: &ExceptionSet,
    now: UtcMicros,
    dictionary: &FieldDictionary,
    batch: &EventBatch,
    matches: &mut Vec<Match>,
    maker: &mut FindingMaker,
) -> Vec<(ExceptionId, Finding)> {
    if set.is_empty() || matches.is_empty() {
        return Vec::new();
    }
    let mut taken = Vec::new();
    let mut stay = Vec::with_capacity(matches.len());
    for found in matches.drain(..) {
        let rule = found.rule.clone();
        if !set.concerns(&rule.id, &rule.tags) {
            stay.push(found);
            continue;
        }
        let row = found.row;
        // What exceptions take away is counted, not shown.
        let words = EventWords::Unsaid { batch: 0, row: found.row };
        let Some(finding) = maker.make(batch, found.clone(), words) else {
            stay.push(found);
            continue;
        };
        let named = Named {
            host: finding.host.as_deref(),
            user: finding.user.as_deref(),
            source_ip: finding.source_ip.as_deref(),
            dataset: &finding.dataset,
        };
        match set.for_row(now, (&rule.id, &rule.tags), named, dictionary, (batch, row)) {
            Some(id) => taken.push((id, finding)),
            None => stay.push(found),
        }
    }
    *matches = stay;
    taken
}
