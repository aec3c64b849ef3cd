//! A store of old events for tests of moving files: what the clock of the real program calls old was
//! received by a node with another clock.

#![allow(dead_code, reason = "each test file uses its own part")]

use crate::ColdSettings;
use crate::common::YAGURA;
use crate::s3::{S3, files_below};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use yagura_event::{Clock, ManualClock, Record, StreamName, SystemClock, Transport, UtcMicros};
use yagura_intake::import::ImportSink;
use yagura_node::{DataDir, Node, NodeOptions, RetentionSettings, TierOptions, VerifyScope};

const DAY_MICROS: i64 = 86_400_000_000;

/// Days that have passed since the events were received.
const AGE_DAYS: i64 = 40;

/// Events of one [`House::receive`].
pub const EVENTS: usize = 40;

/// Where files go.
pub enum Cold {
    Directory,
    Bucket(Box<S3>),
}

/// A data directory and its cold store, which can be put back to how they were.
pub struct House {
    scratch: tempfile::TempDir,
    pub cold: Cold,
}

impl House {
    pub fn with(cold: Cold) -> House {
        let house = House { scratch: tempfile::tempdir().unwrap(), cold };
        std::fs::create_dir_all(house.objects()).unwrap();
        house
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The directory in which the objects lie.
    pub fn objects(&self) -> PathBuf {
        match &self.cold {
            Cold::Directory => self.scratch.path().join("cold"),
            Cold::Bucket(server) => server.objects(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn settings(&self) -> ColdSettings {
        match &self.cold {
            Cold::Directory => ColdSettings::new(format!("file://{}", self.objects().display())),
            Cold::Bucket(server) => server.settings(),
        }
    }

    fn open_at(&self, clock: Arc<dyn Clock>, retention: Option<&str>) -> Node {
        let store = self.settings();
        let retention: Option<RetentionSettings> = retention.map(|it| toml::from_str(it).unwrap());
        let options = NodeOptions {
            builtin_rules: false,
            cold: Some(TierOptions { store, after_days: 30, every: None }),
            retention,
            ..NodeOptions::default()
        };
        Node::open(DataDir::new(self.data()), options, clock).unwrap()
    }

    /// Opens it here and now.
    pub async fn open(&self) -> Node {
        let node = self.open_at(Arc::new(SystemClock), None);
        node.ready().await;
        node
    }

    /// Old events in two files: one of a dataset with batches of two streams, one of another dataset.
    pub fn receive(&self, retention: Option<&str>) {
        let now = UtcMicros::from(jiff::Timestamp::now());
        let old = now.plus_micros(-AGE_DAYS * DAY_MICROS);
        let node = self.open_at(Arc::new(ManualClock::at(old)), retention);
        let count = i64::try_from(EVENTS / 4).unwrap();
        let fill = |stream: &str, line: &dyn Fn(i64) -> String| {
            let record = |number: i64| Record {
                received: old.plus_micros(number),
                transport: Transport::SyslogUdp,
                peer: "192.0.2.1:514".into(),
                identity: "none".into(),
                bytes: line(number).into_bytes().into(),
            };
            let records = (0..count).map(record).collect();
            node.sink().append(&StreamName::new(stream).unwrap(), records).unwrap();
        };
        let login = |number: i64| {
            format!(
                "<38>Nov 21 10:00:{number:02} web01 sshd[1]: Failed password for root from \
                 192.0.2.{number} port {} ssh2",
                50_000 + number
            )
        };
        let request = |number: i64| {
            format!(
                "198.51.100.{number} - - [21/Nov/2026:10:00:00 +0900] \"GET /{number} HTTP/1.1\" \
                 404 153 \"-\" \"curl/8\""
            )
        };
        fill("syslog", &login);
        fill("other", &login);
        fill("other", &request);
        fill("web", &request);
        node.flush().unwrap();
        node.close().unwrap();
    }

    /// Runs a command on the directory, with these variables too.
    pub fn yagura_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(YAGURA);
        command.args(arguments).arg("--data").arg(self.data());
        if let Cold::Bucket(server) = &self.cold {
            command.envs(server.environment());
        }
        command.envs(variables.iter().copied()).output().unwrap()
    }

    pub fn yagura(&self, arguments: &[&str]) -> Output {
        self.yagura_with(arguments, &[])
    }

    /// Remembers how everything is.
    pub fn remember(&self) {
        let was = self.path("was");
        if was.is_dir() {
            std::fs::remove_dir_all(was).unwrap();
        }
        copy(&self.data(), &self.path("was/data"));
        copy(&self.objects(), &self.path("was/cold"));
    }

    /// Puts everything back to how it was.
    pub fn put_back(&self) {
        for (from, to) in [("was/data", self.data()), ("was/cold", self.objects())] {
            std::fs::remove_dir_all(&to).unwrap();
            copy(&self.path(from), &to);
        }
    }

    /// Parquet files in the table's directory, and objects in the store.
    pub fn files(&self) -> (usize, usize) {
        let parquet = |dir: &Path| {
            let files = files_below(dir).into_iter();
            files.filter(|path| path.extension().is_some_and(|it| it == "parquet")).count()
        };
        (parquet(&self.data().join("lake")), parquet(&self.objects()))
    }
}

/// Every event of a node, in the order of their ids, as it was received.
pub async fn events(node: &Node) -> Vec<String> {
    let asked = "select \"event.id\" as id, cast(\"event.original\" as varchar) as text from events \
                 order by 1";
    let page = node.sql(asked).await.unwrap();
    assert!(page.unread.is_empty(), "{:?}", page.unread);
    page.rows.iter().map(|row| format!("{} {}", row["id"], row["text"])).collect()
}

/// Verifies an open node, all of it.
pub fn sound(node: &Node) {
    let report = node.verify(&VerifyScope::default()).unwrap();
    assert!(report.ok, "{report:?}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}
