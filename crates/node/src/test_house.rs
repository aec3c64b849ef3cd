//! What tests of this crate have in common: a few events of a stream, and copies of a directory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::Node;
use std::path::Path;
use yagura_event::{Record, StreamName, Transport, UtcMicros};
use yagura_intake::import::ImportSink;

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

pub(crate) fn start() -> UtcMicros {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

/// Takes ten events into a stream, received from `at` on, and seals them.
pub(crate) fn fill(node: &Node, stream: &str, at: UtcMicros) {
    let record = |number: i64| Record {
        received: at.plus_micros(number),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: format!("<13>Nov 21 09:00:00 web01 app: number {number}").into_bytes().into(),
    };
    let records = (0..10).map(record).collect();
    node.sink().append(&StreamName::new(stream).unwrap(), records).unwrap();
    node.journal().seal_all().unwrap();
}

/// The same, and they are in files of the table.
pub(crate) fn fill_table(node: &Node, stream: &str, at: UtcMicros) {
    fill(node, stream, at);
    node.flush().unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &target) } else { drop(std::fs::copy(&path, &target)) }
    }
}
