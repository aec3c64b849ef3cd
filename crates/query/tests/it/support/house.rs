//! A searcher in a house of its own: with all fields of `content/fields`, lists, a table and words.

use super::{LINES, Line, NOON, batches_in, expr};
use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_event::{
    BatchBuilder, EventBatch, FieldDictionary, Lang, ManualClock, Origin, StreamName, Transport,
    UtcMicros,
};
use yagura_lake::{Lake, LakeOptions};
use yagura_query::{
    Answer, CellForm, List, ListColumn, Notice, SearchRequest, Searcher, Table, Tables,
};

/// What the house knows besides events.
pub struct House {
    /// How many alerts and how many users there are more than those that tests name.
    pub more: usize,
}

fn column(name: &str, form: CellForm, cells: Vec<Option<String>>) -> ListColumn {
    ListColumn { name: name.to_owned(), cells: StringArray::from(cells), form }
}

fn some(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned()).filter(|cell| cell != "-")).collect()
}

impl Tables for House {
    fn names(&self) -> &'static [&'static str] {
        &["alerts", "sources"]
    }

    fn table(&self, name: &str, rows_max: usize) -> Option<Table> {
        if !self.names().contains(&name) {
            return None;
        }
        let rows = 2 + self.more;
        let users = (0..rows).map(|n| if n == 0 { "田中".to_owned() } else { format!("u{n}") });
        let users: StringArray = users.take(rows_max).map(Some).collect();
        let counts = Int64Array::from_iter_values(0..users.len() as i64);
        let rows_there = RecordBatch::try_from_iter([
            ("user.name", Arc::new(users) as _),
            ("alert.count", Arc::new(counts) as _),
        ]);
        Some(Table { rows: rows_there.unwrap(), cut: rows > rows_max })
    }

    fn list_names(&self) -> &'static [&'static str] {
        &["users", "assets", "networks", "indicators"]
    }

    fn list(&self, name: &str, rows_max: usize) -> Option<List> {
        let columns = match name {
            "users" => vec![
                column(
                    "user.name",
                    CellForm::Several,
                    some(&["田中;tanaka", "ａｄｍｉｎｉｓｔｒａｔｏｒ"]),
                ),
                column("user.department", CellForm::One, some(&["経理部", "-"])),
                column("user.title", CellForm::One, some(&["係長", "管理者"])),
            ],
            "assets" => vec![
                column("host.name", CellForm::Several, some(&[])),
                column("host.ip", CellForm::Several, some(&[])),
                column("host.owner", CellForm::One, some(&[])),
            ],
            "networks" => vec![
                column("network.cidr", CellForm::Networks, some(&["10.0.0.0/8", "10.9.0.0/16"])),
                column("network.name", CellForm::One, some(&["本社", "支店"])),
            ],
            "indicators" => {
                let rows = (1 + self.more).min(rows_max);
                let values =
                    (0..rows).map(|n| if n == 0 { "192.168.0.9".into() } else { n.to_string() });
                let one = |cell: &str| vec![Some(cell.to_owned()); rows];
                vec![
                    column("threat.indicator.name", CellForm::One, values.map(Some).collect()),
                    column("threat.indicator.provider", CellForm::One, one("list")),
                ]
            }
            _ => return None,
        };
        Some(List { columns, cut: 1 + self.more > rows_max })
    }

    fn sentences(&self, acts: &EventBatch, lang: Lang) -> Vec<String> {
        let said = match lang {
            Lang::Ja => "行為",
            Lang::En => "act",
        };
        vec![format!("{said} {}", acts.dataset); acts.rows()]
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the documentation.
pub fn document(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// All fields of the program.
pub fn all_fields() -> Arc<FieldDictionary> {
    let fields = root().join("content/fields");
    let files = std::fs::read_dir(&fields).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    // The fields of everybody come first.
    files.sort_by_key(|file| (!file.ends_with("base.toml"), file.clone()));
    let texts: Vec<(String, String)> = files
        .into_iter()
        .map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap()))
        .collect();
    let texts = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Arc::new(FieldDictionary::from_files(texts).unwrap())
}

/// Two failed logons of one source, a minute apart, one of another, and what belongs to no act.
pub const LOGONS: [Line; 4] = [
    (
        "windows.security",
        "{}",
        &[
            ("event.code", "4625"),
            ("host.name", "pc07"),
            ("user.name", "tanaka"),
            ("winlog.event_data.TargetUserName", "tanaka"),
            ("winlog.event_data.IpAddress", "203.0.113.7"),
        ],
    ),
    (
        "windows.security",
        "{}",
        &[
            ("event.code", "4625"),
            ("host.name", "pc07"),
            ("user.name", "tanaka"),
            ("winlog.event_data.TargetUserName", "tanaka"),
            ("winlog.event_data.IpAddress", "203.0.113.7"),
        ],
    ),
    (
        "windows.security",
        "{}",
        &[
            ("event.code", "4625"),
            ("host.name", "pc08"),
            ("user.name", "sato"),
            ("winlog.event_data.TargetUserName", "sato"),
            ("winlog.event_data.IpAddress", "203.0.113.9"),
        ],
    ),
    ("web.access", "not a request", &[("host.name", "pc07")]),
];

/// A searcher over these lines, half of them in files.
pub fn searcher_of(directory: &Path, lines: &[Line], more: usize) -> Searcher {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap();
    let (fields, half) = (all_fields(), lines.len() / 2);
    lake.add(batches_in(&fields, 1, &lines[..half], 0)).unwrap();
    lake.batch_sealed(1);
    lake.flush(true).unwrap();
    lake.add(batches_in(&fields, 2, &lines[half..], half)).unwrap();
    Searcher::with_tables(Arc::new(lake), fields, Arc::new(House { more })).unwrap()
}

/// A searcher over so many events that say nothing, in memory.
pub fn crowd(directory: &Path, events: usize) -> Searcher {
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory, LakeOptions::default(), Arc::new(clock)).unwrap();
    let fields = all_fields();
    let mut builder = BatchBuilder::new("unknown", fields.clone());
    let stream = StreamName::new("syslog").unwrap();
    for index in 0..events {
        let origin = Origin {
            stream: &stream,
            batch: 1,
            index: index as u32,
            batch_salt: &[7; 32],
            received: UtcMicros::from_micros(NOON),
            transport: Transport::SyslogTcp,
            peer: "",
            identity: "none",
        };
        builder.begin(&origin, Some(b"x"));
        builder.set_time(UtcMicros::from_micros(NOON));
    }
    lake.add(builder.finish().into_iter().collect()).unwrap();
    Searcher::with_tables(Arc::new(lake), fields, Arc::new(House { more: 0 })).unwrap()
}

/// The lines that all tests know.
pub fn searcher(directory: &Path) -> Searcher {
    searcher_of(directory, &LINES, 0)
}

pub async fn ask(searcher: &Searcher, text: &str) -> Answer {
    match searcher.search(SearchRequest::new(expr(text))).await {
        Ok(answer) => answer,
        Err(error) => panic!("{text}\n{error}"),
    }
}

/// The names of the columns, the rows, and what is said of them.
pub async fn all_of(answer: Answer) -> (Vec<String>, Vec<Vec<String>>, Vec<Notice>) {
    let names = answer.schema().fields().iter().map(|field| field.name().clone()).collect();
    let notices = answer.notices();
    (names, super::table(answer).await, notices)
}

/// What is wrong with a search, as it is shown.
pub async fn wrong(searcher: &Searcher, text: &str) -> String {
    match searcher.search(SearchRequest::new(expr(text))).await {
        Ok(_) => panic!("{text} is answered"),
        Err(error) => {
            let japanese = error.render(Lang::Ja);
            assert!(japanese.chars().any(|c| ('ぁ'..='ん').contains(&c)), "{japanese}");
            error.render(Lang::En)
        }
    }
}
