//! Fields that rules cannot do without and that never come: a rule about command lines watches
//! nothing where command lines are not logged.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use yagura_desk::GapSeen;
use yagura_detect::Ruleset;
use yagura_event::{EventBatch, UtcMicros};

/// Events of a kind from which a field that none of them has counts as missing.
const EVENTS_MIN: u64 = 1_000;

/// After so many events of a kind only every [`SPARSELY`]th batch is looked at.
const EVENTS_CLOSELY: u64 = 20_000;

/// See [`EVENTS_CLOSELY`].
const SPARSELY: u64 = 16;

/// Datasets that are watched.
const DATASETS_MAX: usize = 256;

/// Kinds of events per dataset: different sets of event codes that rules ask for.
const KINDS_MAX: usize = 2_048;

/// Rules that a gap names; further ones are counted.
const RULES_NAMED_MAX: usize = 3;

/// Which fields the events of each kind had. Shared by the pipeline, which shows it every batch, and
/// whoever looks for gaps.
#[derive(Debug, Default)]
pub(crate) struct FieldWatch {
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    rules: Option<Arc<Ruleset>>,
    datasets: HashMap<Arc<str>, Dataset>,
}

#[derive(Debug, Default)]
struct Dataset {
    batches: u64,
    kinds: Vec<Kind>,
}

/// Events with one of some codes, and the fields that rules about these need.
#[derive(Debug)]
struct Kind {
    /// Folded event codes; `None` for all events of the dataset.
    codes: Option<BTreeSet<String>>,
    events: u64,
    since: Option<UtcMicros>,
    /// Column not seen yet, to the titles of rules that need it and how many there are.
    unseen: BTreeMap<Arc<str>, (Vec<String>, usize)>,
}

impl FieldWatch {
    /// Takes note of a batch that `rules` were matched against. Other rules than before begin anew.
    pub fn see(&self, rules: &Arc<Ruleset>, batch: &EventBatch, now: UtcMicros) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
            watched.rules = Some(rules.clone());
            watched.datasets.clear();
        }
        if !watched.datasets.contains_key(&batch.dataset) {
            if watched.datasets.len() >= DATASETS_MAX {
                return;
            }
            let kinds = kinds_of(rules, &batch.dataset);
            watched.datasets.insert(batch.dataset.clone(), Dataset { batches: 0, kinds });
        }
        if let Some(dataset) = watched.datasets.get_mut(&batch.dataset) {
            dataset.see(&batch.columns, now);
        }
    }

    /// The fields that are missing now.
    pub fn missing(&self) -> Vec<GapSeen> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for (dataset, known) in &watched.datasets {
            for kind in known.kinds.iter().filter(|kind| kind.events >= EVENTS_MIN) {
                missing.extend(
                    kind.unseen
                        .iter()
                        .map(|(column, (titles, rules))| kind.gap(dataset, column, titles, *rules)),
                );
            }
        }
        missing
    }

    /// Whether nothing can be said yet of the field a gap's subject names: too few events of its kind
    /// since the rules were loaded, and none with the field.
    pub fn is_undecided(&self, subject: &str) -> bool {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = subject.split(' ').next() else { return false };
        let Some(dataset) = watched.datasets.get(name) else {
            // No event of the dataset has come yet.
            return true;
        };
        dataset
            .kinds
            .iter()
            .filter(|kind| kind.events < EVENTS_MIN)
            .any(|kind| kind.unseen.keys().any(|column| kind.subject(name, column) == subject))
    }
}

fn kinds_of(rules: &Ruleset, dataset: &str) -> Vec<Kind> {
    let mut kinds: BTreeMap<Option<BTreeSet<String>>, Kind> = BTreeMap::new();
    for needs in rules.needs(dataset) {
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&needs.codes) {
            continue;
        }
        let kind = kinds.entry(needs.codes.clone()).or_insert_with(|| Kind {
            codes: needs.codes,
            events: 0,
            since: None,
            unseen: BTreeMap::new(),
        });
        for column in needs.columns {
            let (titles, count) = kind.unseen.entry(column).or_default();
            *count += 1;
            if titles.len() < RULES_NAMED_MAX {
                titles.push(needs.rule.title.clone());
            }
        }
    }
    kinds.into_values().collect()
}

impl Dataset {
    fn see(&mut self, batch: &RecordBatch, now: UtcMicros) {
        self.batches += 1;
        let sparsely = !self.batches.is_multiple_of(SPARSELY);
        let codes = Codes::of(batch);
        for kind in self.kinds.iter_mut().filter(|kind| !kind.unseen.is_empty()) {
            if kind.events >= EVENTS_CLOSELY && sparsely {
                continue;
            }
            let concerns = codes.concerns(kind.codes.as_ref());
            let events = match &concerns {
                None => batch.num_rows(),
                Some(wanted) => (0..batch.num_rows()).filter(|row| codes.is(*row, wanted)).count(),
            };
            if events == 0 {
                continue;
            }
            kind.since.get_or_insert(now);
            kind.events += events as u64;
            kind.unseen.retain(|column, _| {
                let Some(array) = batch.column_by_name(column) else { return true };
                if array.null_count() == array.len() {
                    return true;
                }
                let seen = |row: usize| {
                    array.is_valid(row) && concerns.as_ref().is_none_or(|c| codes.is(row, c))
                };
                !(0..array.len()).any(seen)
            });
        }
    }
}

/// The event codes of a batch's rows.
struct Codes<'a> {
    column: Option<(&'a arrow::array::DictionaryArray<Int32Type>, &'a StringArray)>,
}

impl<'a> Codes<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let column = batch.column_by_name("event.code");
        let column = column.and_then(|column| column.as_dictionary_opt::<Int32Type>());
        let values = |column: &'a arrow::array::DictionaryArray<Int32Type>| {
            Some((column, column.values().as_any().downcast_ref::<StringArray>()?))
        };
        Codes { column: column.and_then(values) }
    }

    /// Which dictionary values are among `codes`; `None` where every row counts.
    fn concerns(&self, codes: Option<&BTreeSet<String>>) -> Option<Vec<bool>> {
        let codes = codes?;
        let Some((_, values)) = self.column else { return Some(Vec::new()) };
        let among = |value: Option<&str>| value.is_some_and(|v| codes.contains(&v.to_lowercase()));
        Some(values.iter().map(among).collect())
    }

    fn is(&self, row: usize, wanted: &[bool]) -> bool {
        let Some((column, _)) = self.column else { return false };
        column.key(row).is_some_and(|key| wanted.get(key).copied().unwrap_or(false))
    }
}

impl Kind {
    fn subject(&self, dataset: &str, column: &str) -> String {
        match &self.codes {
            None => format!("{dataset} {column}"),
            Some(codes) => {
                format!(
                    "{dataset} {} {column}",
                    codes.iter().cloned().collect::<Vec<_>>().join(",")
                )
            }
        }
    }

    fn gap(&self, dataset: &str, column: &str, titles: &[String], rules: usize) -> GapSeen {
        let (code_ja, code_en) = match &self.codes {
            None => (String::new(), String::new()),
            Some(codes) => {
                let codes = codes.iter().cloned().collect::<Vec<_>>().join(", ");
                (format!("（イベント {codes}）"), format!(" (event {codes})"))
            }
        };
        let (ja, en) = (titles.join("」「"), titles.join("”, “"));
        let (hint_ja, hint_en) = hint(column);
        GapSeen {
            subject: self.subject(dataset, column),
            begin: self.since.unwrap_or_default(),
            sentence_ja: format!(
                "{dataset}{code_ja} のイベントに項目 {column} が一度も現れていません。これを必要とする \
                 ルール {rules} 本（「{ja}」など）は一致しません。{hint_ja}"
            ),
            sentence_en: format!(
                "No event of {dataset}{code_en} has had the field {column}. Rules that need it cannot \
                 match: {rules}, such as “{en}”. {hint_en}"
            ),
        }
    }
}

/// What brings a field that is off by default.
fn hint(column: &str) -> (&'static str, &'static str) {
    match column {
        "process.command_line" => (
            "Windows では「プロセス作成イベントにコマンドラインを含める」ポリシーか Sysmon を有効にしてください。",
            "On Windows turn on the policy “Include command line in process creation events”, or Sysmon.",
        ),
        "powershell.script_block_text" => (
            "PowerShell スクリプトブロックのログ記録を有効にしてください。",
            "Turn on PowerShell script block logging.",
        ),
        _ => (
            "送信元の監査設定と、収集の設定を確認してください。",
            "Check the audit settings of the source and what is collected.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagura_detect::{LogSources, RuleFile};
    use yagura_event::{
        BatchBuilder, CommittedRun, FieldDictionary, Record, StreamName, Transport,
    };

    fn dictionary() -> Arc<FieldDictionary> {
        let text = "[sigma.'windows.']\nCommandLine='process.command_line'\nEventID='event.code'\n";
        Arc::new(FieldDictionary::from_toml(text).unwrap())
    }

    fn rules() -> Arc<Ruleset> {
        let sources = "[[source]]\nproduct='windows'\nwhere=[{dataset='windows.'}]\n";
        let sources = LogSources::from_toml(sources).unwrap();
        let rule = |name: &str, selection: &str| RuleFile {
            path: format!("{name}.yml"),
            text: format!(
                "title: {name}\nlogsource:\n  product: windows\ndetection:\n  s:\n{selection}  \
                 condition: s\n"
            ),
        };
        let files = [
            rule("one", "    EventID: 4688\n    CommandLine|contains: x\n"),
            rule("two", "    EventID: 4688\n    CommandLine|contains: y\n"),
            rule("three", "    EventID: 1\n    CommandLine|contains: z\n"),
        ];
        let (rules, report) = Ruleset::compile(&files, dictionary(), &sources);
        assert_eq!(report.refused, []);
        Arc::new(rules)
    }

    fn batch(code: &str, rows: u32, line: Option<&str>) -> EventBatch {
        let record = Record {
            received: UtcMicros::from_micros(0),
            transport: Transport::SyslogTcp,
            peer: "".into(),
            identity: "".into(),
            bytes: Vec::new().into(),
        };
        let run = CommittedRun {
            stream: StreamName::new("syslog").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![record.clone()],
        };
        let mut builder = BatchBuilder::new("windows.security", dictionary());
        for index in 0..rows {
            builder.begin_row(&run, index, &record);
            builder.set("event.code", code);
            if let Some(line) = line {
                builder.set("process.command_line", line);
            }
        }
        builder.finish().unwrap()
    }

    #[test]
    fn a_field_that_never_comes_is_missing_for_the_events_that_should_have_it() {
        let (watch, rules, now) = (FieldWatch::default(), rules(), UtcMicros::from_micros(7));
        let below = u32::try_from(EVENTS_MIN).unwrap() - 1;
        watch.see(&rules, &batch("1", 10, Some("cmd")), now);
        watch.see(&rules, &batch("4688", below, None), now);
        assert_eq!(watch.missing(), [], "too few to say");
        watch.see(&rules, &batch("4688", 1, None), now);
        let missing = watch.missing();
        assert_eq!(missing.len(), 1, "events with code 1 have it");
        assert_eq!(missing[0].subject, "windows.security 4688 process.command_line");
        assert_eq!(missing[0].begin, now);
        let said = &missing[0].sentence_en;
        assert!(said.contains("cannot match: 2, such as “one”, “two”"), "{said}");
        watch.see(&rules, &batch("4688", 1, Some("x")), now);
        assert_eq!(watch.missing(), []);
        watch.see(&super::tests::rules(), &batch("4688", below + 1, None), now);
        assert_eq!(watch.missing().len(), 1, "other rules begin anew");
    }
}
