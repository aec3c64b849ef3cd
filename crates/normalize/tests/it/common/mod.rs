//! Shared by the integration tests.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use yagura_event::{CommittedRun, Record, StreamName, Transport};
use yagura_normalize::{Described, Normalizer};

pub fn normalizer() -> Normalizer {
    Normalizer::new(Normalizer::embedded_dictionary()).unwrap()
}

/// The corpora; `None` (and a word about it) where a developer has none.
pub fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("CI must set YAGURA_CORPORA"),
        None => {
            println!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

/// The files below `folder` whose names end in one of `ends`, in order of their names.
pub fn files(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {ends:?} in {}", folder.display());
    found
}

/// Gives each file in the archives below `folder` to `read`: the archive, its name and its content.
pub fn members(folder: &Path, mut read: impl FnMut(&Path, &str, &[u8])) {
    for path in files(folder, &[".zip", ".tar.gz"]) {
        let file = std::fs::File::open(&path).unwrap();
        if path.extension().is_some_and(|end| end == "zip") {
            let mut zip = zip::ZipArchive::new(file).unwrap();
            for number in 0..zip.len() {
                let mut member = zip.by_index(number).unwrap();
                let name = member.name().unwrap().into_owned();
                let mut content = Vec::new();
                member.read_to_end(&mut content).unwrap();
                // What a Mac adds to an archive is no recording.
                if member.is_file() && !name.contains("__MACOSX") {
                    read(&path, &name, &content);
                }
            }
            continue;
        }
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
        for member in tar.entries().unwrap() {
            let mut member = member.unwrap();
            let name = member.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            if member.header().entry_type().is_file()
                && !name.contains("/._")
                && !name.starts_with("._")
            {
                read(&path, &name, &content);
            }
        }
    }
}

/// Asserts that what is said is as it was when it was last read through, in `tests/said/`.
/// `YAGURA_UPDATE_DOCS=1` writes it.
pub fn assert_said(file: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/said").join(file);
    if std::env::var_os("YAGURA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let changed: Vec<_> = page.lines().filter(|line| !known.lines().any(|k| k == *line)).collect();
    assert!(
        known == page,
        "not as in {}; new (none: lines are missing or moved). Read them through, then run the test \
         with `YAGURA_UPDATE_DOCS=1`:\n{}",
        path.display(),
        changed.join("\n")
    );
}

/// The lines of a file that are not empty.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty())
}

/// Recordings up to so many bytes are read whole, of longer ones every [`STRIDE`]th line: all of them
/// are nearly a thousand million bytes.
pub const WHOLE_BYTES_MAX: usize = 2 << 20;
pub const STRIDE: usize = 7;

/// The lines of a recording that are looked at.
pub fn sampled(content: &[u8]) -> Vec<&[u8]> {
    let stride = if content.len() <= WHOLE_BYTES_MAX { 1 } else { STRIDE };
    lines(content).step_by(stride).collect()
}

/// The events of an event log as JSON; records that the reader refuses are left out.
pub fn events_of(path: &Path) -> Vec<Vec<u8>> {
    let settings = evtx::ParserSettings::new().num_threads(1);
    let mut parser = evtx::EvtxParser::from_path(path).unwrap().with_configuration(settings);
    parser.records_json().filter_map(|record| Some(record.ok()?.data.into())).collect()
}

pub fn run<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(lines: I) -> CommittedRun {
    run_of("test", Transport::SyslogTcp, lines)
}

pub fn run_of<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(
    stream: &str,
    transport: Transport,
    lines: I,
) -> CommittedRun {
    run_at("2026-11-21T12:00:00Z", stream, transport, lines)
}

/// Lines received at a time of their own.
pub fn run_at<I: IntoIterator<Item = B>, B: Into<Vec<u8>>>(
    received: &str,
    stream: &str,
    transport: Transport,
    lines: I,
) -> CommittedRun {
    let record = |bytes: Vec<u8>| Record {
        received: received.parse().unwrap(),
        transport,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: bytes.into(),
    };
    CommittedRun {
        stream: StreamName::new(stream).unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: lines.into_iter().map(|line| record(line.into())).collect(),
    }
}

pub fn describe(line: impl Into<Vec<u8>>) -> Described {
    static SHARED: OnceLock<Normalizer> = OnceLock::new();
    SHARED.get_or_init(normalizer).describe(&run([line])).unwrap()
}

/// The fields apart from the envelope.
pub fn fields(described: &Described) -> String {
    let envelope = |name: &str| {
        name.starts_with("yagura.")
            && !["yagura.encoding", "yagura.parse_error", "yagura.clock_suspect"].contains(&name)
            || name == "event.ingested"
    };
    let shown = described.fields.iter().filter(|(name, _)| !envelope(name));
    shown.map(|(name, value)| format!("{name} = {value}\n")).collect()
}

/// What is read of a dataset's sample: of its last line, where it begins with a header.
pub fn describe_sample(sample: &str) -> Described {
    if !sample.trim().contains('\n') {
        return describe(sample);
    }
    let mut normalizer = normalizer();
    let lines = sample.lines().filter(|line| !line.is_empty());
    let read = lines.map(|line| normalizer.try_record(&run_of("file", Transport::File, [line])));
    read.last().flatten().unwrap()
}
