//! Named limits of the desk. Every one has a test at the limit and one past it.

/// Most alerts in memory. Past it the oldest closed alert leaves (the oldest of all where none is
/// closed); the audit log keeps it, and [`crate::DeskStats`] counts it.
pub const ALERTS_MAX: usize = 200_000;

/// Most event ids an alert keeps, the first ones; [`crate::Alert::count`] goes on counting.
pub const EVENT_IDS_PER_ALERT_MAX: usize = 1_000;

/// Most event ids all alerts keep together. Past it an alert keeps no more than
/// [`EVENT_IDS_PER_ALERT_CROWDED`].
pub const EVENT_IDS_TOTAL_MAX: usize = 2_000_000;

/// Event ids an alert keeps once [`EVENT_IDS_TOTAL_MAX`] is reached.
pub const EVENT_IDS_PER_ALERT_CROWDED: usize = 10;

/// Findings remembered so that a replay does not count them twice.
pub const RECENT_FINDINGS_MAX: usize = 524_288;

/// Most event ids in one `alert.extended` record; more make further records.
pub const EVENT_IDS_PER_ENTRY_MAX: usize = 1_000;

/// Open alerts of one rule and entity that are looked at, newest first, before a new one is raised.
pub const OPEN_ALERTS_PER_GROUP_LOOKED_AT: usize = 8;

/// Most steps an alert keeps in its history; the oldest leave memory and stay in the audit log.
pub const HISTORY_MAX: usize = 500;

/// Longest note of a person, in bytes. A longer one is refused.
pub const NOTE_BYTES_MAX: usize = 4_096;

/// Longest name of the person who gives a command, in bytes. A longer one is refused.
pub const WHO_BYTES_MAX: usize = 256;

/// Longest sentence an alert keeps, in bytes. A longer one is cut.
pub const SENTENCE_BYTES_MAX: usize = 4_096;

/// Most pieces of evidence an alert keeps.
pub const EVIDENCE_MAX: usize = 32;

/// Longest value or predicate of a piece of evidence, in bytes. A longer one is cut.
pub const EVIDENCE_BYTES_MAX: usize = 1_024;

/// Longest host, user, address, dataset or field name an alert keeps, in bytes. A longer one is cut.
pub const NAME_BYTES_MAX: usize = 512;

/// Most tags of a rule that an alert keeps.
pub const TAGS_MAX: usize = 64;

/// Most hours with a count of their own that an alert keeps, the latest ones.
pub const HOURS_MAX: usize = 168;

/// Most hours one `alert.extended` record counts; those past it are counted in its last one.
pub const HOURS_PER_ENTRY_MAX: usize = 168;

/// Most lines (checks, false positives, references) of each kind that an alert keeps of its rule.
pub const GUIDE_LINES_MAX: usize = 16;

/// Most exceptions in force at once. One more is refused.
pub const EXCEPTIONS_IN_FORCE_MAX: usize = 1_000;

/// Most exceptions in memory. Past it the oldest that has ended leaves; the audit log keeps it.
pub const EXCEPTIONS_MAX: usize = 10_000;

/// Most rules and tags one exception names.
pub const EXCEPTION_NAMES_MAX: usize = 1_000;

/// Longest conditions of an exception, in bytes of JSON.
pub const EXCEPTION_CONDITIONS_BYTES_MAX: usize = 16 * 1024;

/// Matches taken away that an exception can list, the newest ones; its count goes on.
pub const SUPPRESSED_SHOWN_MAX: usize = 100;

/// Rules that are measured. The alerts of further ones are raised and not measured.
pub const RULE_TALLIES_MAX: usize = 50_000;

/// Pairs of rule and entity whose decisions are remembered, those decided last.
pub const PRECEDENTS_MAX: usize = 100_000;

/// Decisions remembered one by one per pair of rule and entity, the last ones; the counts go on.
pub const DECISIONS_PER_PRECEDENT_MAX: usize = 8;

/// Alerts of one entity that its risk is made of, the newest ones.
pub const RISK_ALERTS_PER_ENTITY_MAX: usize = 512;

/// Open gaps of one kind. Past it one gap stands for all further ones.
pub const GAPS_OPEN_PER_KIND_MAX: usize = 1_000;

/// Closed gaps in memory. Past it the oldest leaves; the audit log keeps it.
pub const GAPS_CLOSED_MAX: usize = 10_000;

/// Longest subject or sentence of a gap, in bytes. A longer one is cut.
pub const GAP_TEXT_BYTES_MAX: usize = 2_048;

/// Most alerts in one page of a list.
pub const PAGE_MAX: usize = 1_000;

/// Rules whose findings below the alert level are counted one by one; further rules share a count.
pub const QUIET_RULES_MAX: usize = 20_000;

/// Changes a slow listener may fall behind before it misses some.
pub const LISTENER_LAG_MAX: usize = 1_024;

/// Raised alerts remembered as not yet delivered, the newest ones.
pub const UNDELIVERED_MAX: usize = 1_024;

/// Deliveries a webhook has under way or waiting. Past it an alert is put off, which is counted.
pub const WEBHOOK_QUEUE_MAX: usize = 1_024;

/// Requests a webhook sends at the same time.
pub const WEBHOOK_PARALLEL_MAX: usize = 4;

/// Attempts at one delivery.
pub const WEBHOOK_ATTEMPTS_MAX: u32 = 8;

/// Most bytes read of a webhook's reply.
pub const WEBHOOK_REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Seconds a webhook has to answer.
pub const WEBHOOK_TIMEOUT_SECONDS: u64 = 10;

/// Longest wait between two attempts, in seconds.
pub const WEBHOOK_BACKOFF_SECONDS_MAX: u64 = 300;

/// Shortest webhook secret, in bytes.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;

/// Longest webhook secret, in bytes.
pub const WEBHOOK_SECRET_BYTES_MAX: usize = 4_096;

/// `text` cut to at most `bytes_max` bytes, at a character boundary, with `…` where it was cut.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(bytes_max.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut("日本語", 9), "日本語");
        assert_eq!(cut("日本語x", 9), "日本…");
        assert_eq!(cut("日本語x", 8), "日…");
        assert_eq!(cut("abc", 1), "…");
    }
}
