//! Hosts that usually talk and have fallen silent while others of their stream went on: somebody may
//! have stopped their log. A stream that is silent as a whole is told of by `watch/silence.rs`.

use super::track::Tracked;
use std::collections::{BTreeMap, HashMap};
use yagura_desk::GapSeen;
use yagura_event::UtcMicros;

const MINUTE_MICROS: i64 = 60 * 1_000_000;

const DAY_MICROS: i64 = 24 * 60 * MINUTE_MICROS;

/// A host must have been known for this long, in microseconds: machines that live for hours come and go.
const KNOWN_MICROS_MIN: i64 = DAY_MICROS;

/// A host that was silent for this long, in microseconds, is taken to be no more.
const RETIRED_MICROS: i64 = 30 * DAY_MICROS;

/// A host of a stream, whichever addresses it sends from.
#[derive(Default)]
struct Host {
    /// Its last receipt; 0 before the first look.
    last: i64,
    /// The longest of what is unusual and of what was usual for its addresses, in microseconds.
    limit: Option<i64>,
    longest: i64,
}

/// A gap for each host that is silent. While nobody listened, nobody was silent.
pub(super) fn silent(tracked: &Tracked, now: UtcMicros) -> Vec<GapSeen> {
    let mut hosts: BTreeMap<(&str, &str), Host> = BTreeMap::new();
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for source in tracked.sources.iter().filter(|source| source.events > 0) {
        let key = &source.key;
        // A file that was read once is not expected again.
        if key.is_file() {
            continue;
        }
        let name = if key.host.is_empty() { &key.peer } else { &key.host };
        let host = hosts.entry((&key.stream, name)).or_default();
        host.last = host.last.max(source.last);
        let known = source.last - source.first;
        let limit = source.rhythm.limit(known).filter(|_| known >= KNOWN_MICROS_MIN);
        host.limit = host.limit.max(limit);
        host.longest = host.longest.max(source.rhythm.longest());
        let of_stream = newest.entry(&key.stream).or_insert(source.last);
        *of_stream = source.last.max(*of_stream);
    }
    let silent = hosts.into_iter().filter_map(|((stream, name), host)| {
        let limit = host.limit?;
        let since = host.last.max(tracked.listens_since);
        let others_talked = newest.get(stream).copied().unwrap_or(i64::MIN).saturating_sub(since);
        let retired = now.as_micros() - host.last >= RETIRED_MICROS;
        (others_talked >= limit && !retired).then(|| gap(stream, name, &host, limit))
    });
    silent.collect()
}

fn gap(stream: &str, name: &str, host: &Host, limit: i64) -> GapSeen {
    let (minutes, usual) = (limit / MINUTE_MICROS, host.longest / MINUTE_MICROS);
    GapSeen {
        subject: format!("{stream} {name}"),
        begin: UtcMicros::from_micros(host.last),
        sentence_ja: format!(
            "ホスト {name} からのログが {minutes} 分を超えて途絶えています（ここ数日の最長は {usual} 分）。\
             同じストリーム {stream} のほかの送信元は動いています。機器の稼働状況と、ログの送信が\
             止められていないかを確認してください。"
        ),
        sentence_en: format!(
            "The host {name} has been silent for more than {minutes} minutes (its longest silence of the \
             last days: {usual}), while others of the stream {stream} went on. Check whether it runs, \
             and whether somebody stopped its log."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::track::SourceKey;
    use super::*;

    /// Who talks every ten minutes, from minute to minute.
    fn talk(tracked: &mut Tracked, peer: &str, host: &str, minutes: std::ops::Range<i64>) {
        let key = SourceKey {
            stream: "syslog".into(),
            transport: "syslog-udp".into(),
            peer: peer.into(),
            host: host.into(),
        };
        let listens_since = tracked.listens_since;
        let at = tracked.source(key).unwrap();
        for minute in minutes.step_by(10) {
            tracked.sources[at].count(minute * MINUTE_MICROS, 1, listens_since);
        }
    }

    fn names(tracked: &Tracked, minute: i64) -> Vec<String> {
        let now = UtcMicros::from_micros(minute * MINUTE_MICROS);
        silent(tracked, now).into_iter().map(|gap| gap.subject).collect()
    }

    const DAY: i64 = 24 * 60;

    #[test]
    fn a_host_that_is_silent_in_a_stream_that_talks_is_a_gap() {
        let mut tracked = Tracked::default();
        talk(&mut tracked, "192.0.2.1", "web01", 0..2 * DAY);
        talk(&mut tracked, "192.0.2.2", "web02", 0..2 * DAY + 20);
        // Its last word was at the end of the second day less ten minutes: twenty minutes are unusual.
        assert_eq!(names(&tracked, 2 * DAY + 20), ["syslog web01"]);
        let gap = silent(&tracked, UtcMicros::from_micros(3 * DAY * MINUTE_MICROS)).remove(0);
        assert_eq!(gap.begin.as_micros(), (2 * DAY - 10) * MINUTE_MICROS);
        assert!(gap.sentence_en.contains("20 minutes") && gap.sentence_en.contains("days: 10)"));
        assert!(gap.sentence_ja.contains("20 分") && gap.sentence_ja.contains("web01"));
        // Talking again ends it, from another address, too.
        talk(&mut tracked, "192.0.2.2", "web02", 2 * DAY + 20..2 * DAY + 40);
        talk(&mut tracked, "192.0.2.9", "web01", 2 * DAY + 30..2 * DAY + 40);
        assert!(names(&tracked, 2 * DAY + 40).is_empty());
    }

    #[test]
    fn a_stream_that_is_silent_as_a_whole_is_no_silence_of_each_host() {
        let mut tracked = Tracked::default();
        talk(&mut tracked, "192.0.2.1", "web01", 0..2 * DAY);
        talk(&mut tracked, "192.0.2.2", "web02", 0..2 * DAY + 10);
        assert!(names(&tracked, 3 * DAY).is_empty(), "the last of both were ten minutes apart");
    }

    #[test]
    fn young_and_retired_hosts_and_unwatched_times_are_no_silence() {
        let mut tracked = Tracked::default();
        talk(&mut tracked, "192.0.2.2", "steady", 0..100 * DAY);
        talk(&mut tracked, "192.0.2.1", "pod", 0..DAY - 10);
        assert!(names(&tracked, 3 * DAY).is_empty(), "it lived for less than a day");
        let mut tracked = Tracked::default();
        talk(&mut tracked, "192.0.2.2", "steady", 0..3 * DAY);
        talk(&mut tracked, "192.0.2.1", "web01", 0..2 * DAY);
        assert_eq!(names(&tracked, 31 * DAY), ["syslog web01"]);
        assert!(names(&tracked, 32 * DAY).is_empty(), "after thirty days it is no more");
        // Nobody listened for a week: the silence counts from the start, and is no pattern.
        tracked.listens_since = 10 * DAY * MINUTE_MICROS;
        talk(&mut tracked, "192.0.2.2", "steady", 10 * DAY..10 * DAY + 20);
        assert!(names(&tracked, 10 * DAY + 10).is_empty());
        talk(&mut tracked, "192.0.2.2", "steady", 10 * DAY + 20..10 * DAY + 30);
        assert_eq!(names(&tracked, 10 * DAY + 20), ["syslog web01"]);
        let steady = &tracked.sources[0].rhythm;
        assert_eq!(steady.longest(), 10 * MINUTE_MICROS);
    }
}
