//! `kill -9` of the real program at every named moment of writing to the table, moving its files and
//! deleting them: the store verifies as the kill left it, nothing is lost, and what was begun is done by
//! running it again. The moments are those of `yagura_lake::kill_point`, which no release has.

#![cfg(debug_assertions)]

use crate::common::succeeded;
use crate::s3::S3;
use crate::tiered::{Cold, EVENTS, House, events, sound};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;
use yagura_node::{CompactRequest, Node, RehydrateRequest, TierRequest};

/// A signal that nobody can catch.
const SIGKILL: i32 = 9;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The moments that a command passes, each once, in the order of their first time; those of a flush only
/// where it is about one: whatever opens a directory tells the journal what the table has.
fn moments(house: &House, command: &[&str], with_flush: bool) -> Vec<String> {
    let list = house.path("moments");
    let done = house.yagura_with(command, &[("YAGURA_KILL_POINTS", list.to_str().unwrap())]);
    succeeded(&done);
    let mut moments: Vec<String> = Vec::new();
    for line in std::fs::read_to_string(&list).unwrap().lines() {
        let is_meant = with_flush || !line.starts_with("flush.");
        if is_meant && !moments.iter().any(|known| known == line) {
            moments.push(line.to_owned());
        }
    }
    std::fs::remove_file(list).unwrap();
    moments
}

/// What is done once more after a kill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Nothing: opening the directory is enough.
    Nothing,
    Compact,
    Delete,
    Tier,
    Rehydrate,
    Vacuum,
}

impl Again {
    async fn run(self, node: &Node) {
        let state: fn(&Node) -> Value = match self {
            Again::Nothing => return,
            Again::Delete => return drop(node.run_retention("test").unwrap()),
            Again::Vacuum => return drop(node.vacuum(&Default::default(), "test").unwrap()),
            Again::Compact => {
                node.compact(&CompactRequest::default(), "test").unwrap();
                Node::compacting
            }
            Again::Tier => {
                node.tier(&TierRequest::default(), "test").unwrap();
                Node::tiering
            }
            Again::Rehydrate => {
                node.rehydrate(&RehydrateRequest::default(), "test").unwrap();
                Node::tiering
            }
        };
        while state(node)["running"] == true {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = state(node);
        assert_eq!((&ended["error"], &ended["failures"]), (&Value::Null, &json!([])), "{ended}");
    }
}

/// Runs `command` on the same store once for each of `expected`, which are all the moments it passes, and
/// kills it there. The store verifies and has every event that stays; once it was done again, it has
/// `left` events, and as many files here and in its cold store as after a run that nobody disturbed.
async fn killed_at_each(
    house: &House,
    command: &[&str],
    expected: &[&str],
    again: Again,
    left: usize,
) {
    house.remember();
    assert_eq!(moments(house, command, again == Again::Nothing), expected, "{command:?}");
    let undisturbed = house.files();
    let node = house.open().await;
    let wanted = events(&node).await;
    node.close().unwrap();
    drop(node);
    assert_eq!(wanted.len(), left);
    for moment in expected {
        house.put_back();
        let killed = house.yagura_with(command, &[("YAGURA_KILL_AT", moment)]);
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{moment}: {}", said(&killed));
        let verified = house.yagura(&["verify", "--lang", "en"]);
        assert_eq!(verified.status.code(), Some(0), "{moment}: {}", said(&verified));
        let node = house.open().await;
        let there = events(&node).await;
        assert!(wanted.iter().all(|event| there.contains(event)), "{moment}: {there:?}");
        again.run(&node).await;
        assert_eq!(events(&node).await, wanted, "{moment}");
        sound(&node);
        node.close().unwrap();
        drop(node);
        assert_eq!(house.files(), undisturbed, "{moment}");
    }
    // The program opens it as well, and finds nothing left to do.
    succeeded(&house.yagura(command));
    assert_eq!(house.files(), undisturbed);
}

const MOVED_TO_A_DIRECTORY: [&str; 16] = [
    // Of the object that says whose store it is, the first time.
    "object.Synced",
    "object.Named",
    "tier.Claimed",
    "tier.Announced",
    "tier.Copied",
    "tier.Synced",
    "tier.Checked",
    "tier.Compared",
    "tier.Renamed",
    "commit.Synced",
    "commit.Linked",
    "tier.Committed",
    "tier.Recorded",
    "tier.Finished",
    "remove.Recorded",
    "remove.Gone",
];

const TIER: [&str; 3] = ["lake", "tier", "--quiet"];
const REHYDRATE: [&str; 3] = ["lake", "rehydrate", "--quiet"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_moment_of_a_flush() {
    let house = House::with(Cold::Directory);
    house.receive(None);
    let file = house.path("more.log");
    let lines = |from: usize| -> String {
        (from..from + 10).map(|n| format!("{{\"message\":\"line {n}\"}}\n")).collect()
    };
    std::fs::write(&file, lines(0)).unwrap();
    let command = ["import", "--quiet", file.to_str().unwrap()];
    let expected = [
        "file.NamedAlone",
        "flush.Renamed",
        "commit.Synced",
        "commit.Linked",
        "flush.Committed",
        "flush.Recorded",
        "flush.Correlated",
        "flush.Counted",
        "flush.Retired",
    ];
    // What was in the journal when the kill came is there without the import being repeated.
    killed_at_each(&house, &command, &expected, Again::Nothing, EVENTS + 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_moment_of_a_compaction() {
    let house = House::with(Cold::Directory);
    house.receive(None);
    house.receive(None);
    let expected = [
        "compact.Read",
        "compact.Wrote",
        "compact.Synced",
        "compact.Checked",
        "compact.Verified",
        "file.NamedAlone",
        "compact.Renamed",
        "commit.Synced",
        "commit.Linked",
        "compact.Committed",
        "compact.Recorded",
        "compact.Finished",
        "remove.Recorded",
        "remove.IndexGone",
        "remove.Gone",
    ];
    let command = ["lake", "compact", "--quiet"];
    killed_at_each(&house, &command, &expected, Again::Compact, 2 * EVENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_moment_of_a_deletion() {
    let house = House::with(Cold::Directory);
    let policy = "delete=true\n[[policy]]\nstreams=['syslog']\nreason='x'\nmaximum_days=30";
    house.receive(Some(policy));
    let expected = [
        "delete.Read",
        "delete.Wrote",
        "delete.Synced",
        "delete.Checked",
        "delete.Verified",
        "delete.Prepared",
        "delete.Recorded",
        "file.NamedAlone",
        "delete.Renamed",
        "commit.Synced",
        "commit.Linked",
        "delete.Committed",
        "delete.Digested",
        "delete.Finished",
        "remove.Recorded",
        "remove.IndexGone",
        "remove.Gone",
    ];
    let command = ["retention", "run"];
    killed_at_each(&house, &command, &expected, Again::Delete, EVENTS * 3 / 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_moment_of_tiering() {
    there_and_back(&House::with(Cold::Directory), &MOVED_TO_A_DIRECTORY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_moment_of_tiering_to_a_bucket() {
    let house = House::with(Cold::Bucket(Box::new(S3::start())));
    let mut expected = MOVED_TO_A_DIRECTORY[2..].to_vec();
    expected.insert(2, "object.Put");
    there_and_back(&house, &expected).await;
}

/// To the store, back from it, and what is left there deleted.
async fn there_and_back(house: &House, to_it: &[&str]) {
    house.receive(None);
    killed_at_each(house, &TIER, to_it, Again::Tier, EVENTS).await;
    assert_eq!(house.files(), (0, 2));
    let back = [
        "rehydrate.Copied",
        "rehydrate.Synced",
        "rehydrate.Compared",
        "rehydrate.Renamed",
        "commit.Synced",
        "commit.Linked",
        "rehydrate.Committed",
        "rehydrate.Recorded",
        "rehydrate.Finished",
    ];
    killed_at_each(house, &REHYDRATE, &back, Again::Rehydrate, EVENTS).await;
    let expected = ["tidy.Found", "tidy.Deleted", "tidy.Recorded"];
    killed_at_each(house, &["lake", "vacuum"], &expected, Again::Vacuum, EVENTS).await;
    assert_eq!(house.files(), (2, 0));
}
