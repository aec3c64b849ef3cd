//! Epochs of a log. After a restore from a backup nobody can know what the log's key has signed since the
//! backup was made, so the log is never signed on under its name: it goes on in a new epoch, with another
//! key and another name, whose first header names the head of the epoch before.

/// The stream of headers that open an epoch. No record is ever in it.
pub const EPOCH_STREAM: &str = "yagura.epoch";

/// Batch numbers of an epoch begin at a multiple of this, and leave out one such range at least: those
/// that may have been given out after the backup, at a million a day for three years.
pub const EPOCH_BATCHES: u64 = 1_000_000_000;

/// The epoch that an origin names: `host/events` is the first, `host/events/e2` the second.
pub fn of_origin(origin: &str) -> u64 {
    split(origin).1
}

/// The origin without its epoch: what all epochs of a log have in common.
pub fn base(origin: &str) -> &str {
    split(origin).0
}

/// The origin of the epoch after this one.
pub fn next_origin(origin: &str) -> String {
    let (base, epoch) = split(origin);
    format!("{base}/e{}", epoch.saturating_add(1))
}

/// The number of the header that opens an epoch, which is the first of the epoch's own.
pub(crate) fn first_batch(highest: u64) -> u64 {
    (highest / EPOCH_BATCHES).saturating_add(2).saturating_mul(EPOCH_BATCHES)
}

fn split(origin: &str) -> (&str, u64) {
    let parts = origin.rsplit_once("/e");
    let number = parts.and_then(|(base, number)| Some((base, crate::text::decimal(number)?)));
    // The first has no number, so that an epoch has one spelling.
    number.filter(|(base, epoch)| *epoch >= 2 && !base.is_empty()).unwrap_or((origin, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_counted_in_the_origin() {
        assert_eq!((of_origin("a/events"), next_origin("a/events")), (1, "a/events/e2".to_owned()));
        assert_eq!((of_origin("a/events/e2"), base("a/events/e2")), (2, "a/events"));
        assert_eq!(next_origin("a/events/e9"), "a/events/e10");
        for one in ["a/events/e1", "a/events/e0", "a/events/e02", "a/events/ex", "/e2", "events"] {
            assert_eq!((of_origin(one), base(one)), (1, one));
        }
    }

    #[test]
    fn a_whole_range_of_numbers_is_left_out() {
        assert_eq!(first_batch(0), 2 * EPOCH_BATCHES);
        assert_eq!(first_batch(EPOCH_BATCHES - 1), 2 * EPOCH_BATCHES);
        assert_eq!(first_batch(EPOCH_BATCHES), 3 * EPOCH_BATCHES);
        assert!(first_batch(5 * EPOCH_BATCHES + 7) - (5 * EPOCH_BATCHES + 7) > EPOCH_BATCHES);
    }
}
