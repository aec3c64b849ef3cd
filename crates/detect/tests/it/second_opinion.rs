//! A second opinion: `rsigma-eval` on the same events with the same rules, answer by answer.
//!
//! Where the two differ, the reference evaluator is asked what it would answer if it read the rule
//! as the peer does in exactly one respect ([`Reading`]). Only a difference that one such respect
//! explains passes; `docs/detection-differences.md` says of each who is right, by which sentence of
//! the Sigma specification.
//!
//! Events are told apart by their shape (data set, code, provider, the fields they have, the rules
//! they match), and of each shape the first few are compared with every rule that concerns them: of
//! every event log and regression case all events, of an archive of OTRF and a log of Loghub a hundred
//! that stand evenly in it. With `YAGURA_DIFFERENTIAL=all` every event is compared.

use crate::corpus;
use crate::peer;
use crate::random_peer;
use crate::reference;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use reference::{Event, Reading, Readings, Reference, batch_of, events_of};
use rsigma_parser::SigmaRule;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use yagura_detect::{Clause, Engine, LogSources, RuleFile, Ruleset};
use yagura_event::{EventBatch, FieldDictionary};
use yagura_normalize::Normalizer;

const SOURCES: &str = include_str!("../../../../content/logsources.toml");

/// Events of one shape that are compared.
const SHAPE_EVENTS_MAX: usize = 3;

/// Events of one archive or text log that are looked at.
const ARCHIVE_EVENTS_MAX: usize = 100;

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

/// What both engines are given.
struct Bout {
    dictionary: Arc<FieldDictionary>,
    sources: LogSources,
    ruleset: Arc<Ruleset>,
    /// By id.
    rules: BTreeMap<String, SigmaRule>,
    /// Ids of the rules of each log source, and the events it means.
    by_source: Vec<(Vec<Clause>, Vec<String>)>,
    collection: rsigma_parser::SigmaCollection,
    peer: rsigma_eval::Engine,
    refused: Vec<String>,
}

impl Bout {
    fn new(files: &[RuleFile]) -> Bout {
        let sources = LogSources::from_toml(SOURCES).unwrap();
        let dictionary = Normalizer::embedded_dictionary();
        let (ruleset, _) = Ruleset::compile(files, dictionary.clone(), &sources);
        let used: BTreeSet<String> = ruleset.rules().map(|rule| rule.id.clone()).collect();
        let collection = peer::collection(files, &used);
        let mut peer = rsigma_eval::Engine::new();
        let refused = peer.add_rules(&collection.rules).into_iter().map(|(number, error)| {
            format!("{}: {error}", collection.rules[number].id.as_deref().unwrap_or_default())
        });
        let refused: Vec<String> = refused.collect();
        let mut rules = BTreeMap::new();
        let mut by_source: BTreeMap<String, (Vec<Clause>, Vec<String>)> = BTreeMap::new();
        for rule in &collection.rules {
            let id = rule.id.clone().unwrap();
            if refused.iter().any(|refused| refused.starts_with(&id)) {
                continue;
            }
            let source = &rule.logsource;
            let parts = [&source.category, &source.product, &source.service];
            let [category, product, service] = parts.map(|part| part.as_deref());
            let known = by_source.entry(format!("{category:?} {product:?} {service:?}"));
            let clauses = sources.clauses(category, product, service).unwrap();
            known.or_insert_with(|| (clauses, Vec::new())).1.push(id.clone());
            rules.insert(id, rule.clone());
        }
        Bout {
            dictionary,
            sources,
            ruleset: Arc::new(ruleset),
            rules,
            by_source: by_source.into_values().collect(),
            collection,
            peer,
            refused,
        }
    }

    /// Ids of the rules that concern an event: both engines are asked about the same pairs.
    fn concerned(&self, event: &Event) -> BTreeSet<&str> {
        let cell = |field: &str| {
            let column = self.dictionary.sigma_column(&event.dataset, field);
            event.fields.get(column.as_ref())
        };
        let means = |clause: &Clause| {
            clause.covers(&event.dataset)
                && clause.fields.iter().all(|(field, values)| {
                    let same = |cell: &String| values.iter().any(|v| v.eq_ignore_ascii_case(cell));
                    cell(field).is_some_and(same)
                })
        };
        let sources = self.by_source.iter().filter(|(clauses, _)| clauses.iter().any(means));
        sources.flat_map(|(_, ids)| ids.iter().map(String::as_str)).collect()
    }
}

/// How often the engines were asked, and how they differed.
#[derive(Default)]
struct Score {
    events: usize,
    pairs: usize,
    both: usize,
    ours_only: usize,
    theirs_only: usize,
    /// Differences that one way of reading explains, and an example.
    explained: BTreeMap<Reading, (usize, String)>,
    unexplained: Vec<String>,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.events += other.events;
        self.pairs += other.pairs;
        self.both += other.both;
        self.ours_only += other.ours_only;
        self.theirs_only += other.theirs_only;
        for (reading, (count, example)) in other.explained {
            self.explained.entry(reading).or_insert((0, example)).0 += count;
        }
        self.unexplained.extend(other.unexplained);
    }
}

/// The shapes seen so far.
#[derive(Default)]
struct Shapes(HashMap<u64, usize>);

impl Shapes {
    /// Whether another event of this shape is wanted.
    fn wants(&mut self, event: &Event, matches: Option<&BTreeSet<String>>, all: bool) -> bool {
        let mut hasher = DefaultHasher::new();
        event.dataset.hash(&mut hasher);
        for name in ["event.code", "winlog.provider_name"] {
            event.fields.get(name).hash(&mut hasher);
        }
        event.fields.keys().for_each(|name| name.hash(&mut hasher));
        matches.hash(&mut hasher);
        let seen = self.0.entry(hasher.finish()).or_default();
        *seen += 1;
        all || *seen <= SHAPE_EVENTS_MAX
    }
}

/// Compares the answers about the events of `files`.
fn compare(bout: &Bout, files: &[corpus::File], all: bool) -> Score {
    let mut shapes = Shapes::default();
    let namer = peer::Namer::new(&bout.dictionary, &bout.collection, &bout.sources);
    let mut engine = Engine::new(bout.ruleset.clone());
    let mut score = Score::default();
    for batch in corpus::batches(files, Some(8_192)) {
        let events = events_of(&batch);
        let mut matches: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for found in engine.evaluate(&batch) {
            matches.entry(found.row).or_default().insert(found.rule.id.clone());
        }
        let mut wanted = Vec::new();
        for (row, event) in events.iter().enumerate() {
            wanted.push(shapes.wants(event, matches.get(&row), all));
        }
        let columns = filter_record_batch(&batch.columns, &BooleanArray::from(wanted.clone()));
        let few = EventBatch { dataset: batch.dataset.clone(), columns: columns.unwrap() };
        let rows = wanted.iter().zip(0usize..).filter(|(wanted, _)| **wanted).map(|(_, row)| row);
        for (row, theirs) in rows.zip(namer.events(&few)) {
            let ours = matches.remove(&row).unwrap_or_default();
            one_event(bout, &events[row], &ours, &theirs.value, &mut score);
        }
    }
    score
}

fn one_event(
    bout: &Bout,
    event: &Event,
    ours: &BTreeSet<String>,
    value: &serde_json::Value,
    score: &mut Score,
) {
    let concerned = bout.concerned(event);
    let results = bout.peer.evaluate(&rsigma_eval::JsonEvent::borrow(value));
    let theirs: BTreeSet<&str> =
        results.iter().filter_map(|found| found.header.rule_id.as_deref()).collect();
    score.events += 1;
    score.pairs += concerned.len();
    for id in concerned {
        match (ours.contains(id), theirs.contains(id)) {
            (false, false) => {}
            (true, true) => score.both += 1,
            (ours, theirs) => {
                score.ours_only += usize::from(ours);
                score.theirs_only += usize::from(theirs);
                explain(bout, event, id, ours, score);
            }
        }
    }
}

/// Which single way of reading makes the reference answer as the peer does.
fn explain(bout: &Bout, event: &Event, id: &str, ours: bool, score: &mut Score) {
    let rule = &bout.rules[id];
    let reference = |readings| {
        let (dictionary, sources) = (&*bout.dictionary, &bout.sources);
        Reference { dictionary, sources, readings }.matches(rule, event)
    };
    assert_eq!(reference(Readings::OURS), ours, "{id} on {event:#?}");
    let explains = |reading: &Reading| reference(Readings::only(*reading)) != ours;
    let reading = Reading::ALL.into_iter().find(explains);
    let text = format!("{} {id} {} (ours: {ours}) {:#?}", event.dataset, rule.title, event.fields);
    match reading {
        Some(reading) => {
            score.explained.entry(reading).or_insert((0, text)).0 += 1;
        }
        None => score.unexplained.push(text),
    }
}

/// Runs `compare` over both cores.
fn score(bout: &Bout, files: &[corpus::File], all: bool) -> Score {
    let mut score = Score::default();
    // In turns, so that both cores have work until the end; each turn has shapes of its own, so that
    // the same events are compared every time.
    let turns: Vec<&[corpus::File]> = files.chunks(64).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            let mut score = Score::default();
            while let Some(turn) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
                score.add(compare(bout, turn, all));
            }
            score
        };
        let halves = [scope.spawn(work), scope.spawn(work)];
        halves.into_iter().for_each(|half| score.add(half.join().unwrap()));
    });
    score
}

/// A corpus by name, how it is read, and whether of each file only events that stand evenly in it
/// are looked at.
type Corpus = (&'static str, fn(&Path) -> Vec<corpus::File>, bool);

const CORPORA: [Corpus; 4] = [
    ("EVTX", |corpora| corpus::evtx_in(&corpora.join("evtx-attack-samples")), false),
    ("regression", regression, false),
    ("OTRF", corpus::otrf, true),
    ("Loghub", corpus::loghub, true),
];

fn regression(corpora: &Path) -> Vec<corpus::File> {
    let mut files = corpus::evtx_in(&corpora.join("sigma-regression"));
    files.extend(corpus::json(corpora));
    files
}

#[test]
fn every_difference_from_another_engine_is_explained() {
    let Some(corpora) = corpora() else { return };
    let all = std::env::var_os("YAGURA_DIFFERENTIAL").is_some_and(|what| what == "all");
    let even = |file: corpus::File| -> corpus::File {
        let step = file.len().div_ceil(ARCHIVE_EVENTS_MAX);
        file.into_iter().step_by(step).collect()
    };
    let bout = Bout::new(&corpus::rules(&corpora));
    eprintln!("{} rules; they refuse {:#?}", bout.rules.len(), bout.refused);
    let mut score = Score::default();
    for (name, read, large) in CORPORA {
        let mut files = read(&corpora);
        if large && !all {
            files = files.into_iter().map(even).collect();
        }
        let one = self::score(&bout, &files, all);
        eprintln!(
            "{name}: {} events, {} pairs of event and rule; both {}, ours only {}, theirs only {}",
            one.events, one.pairs, one.both, one.ours_only, one.theirs_only
        );
        for (reading, (count, example)) in &one.explained {
            let example = example.lines().next().unwrap_or_default();
            eprintln!("{name}: {reading:?}: {count}, such as {example}");
        }
        assert!(one.pairs > 0, "{name}");
        score.add(one);
    }
    assert!(score.both > 1_000, "{}", score.both);
    assert!(
        score.unexplained.is_empty(),
        "{} differences that nothing explains:\n{}",
        score.unexplained.len(),
        score.unexplained[..score.unexplained.len().min(20)].join("\n")
    );
}

/// Each way of reading is really the peer's: the smallest rule and event that tell it from ours.
#[test]
fn each_listed_difference_is_one() {
    type Difference = (Reading, &'static str, &'static [(&'static str, &'static str)], bool);
    let cases: [Difference; 18] = [
        (Reading::NullAlone, "s: {a: [null, x]}", &[("b", "y")], true),
        (Reading::WildcardsInLine, "s: {a: 'x*y'}", &[("a", "x\ny")], true),
        (Reading::EndsSwapped, "s: {a|startswith: 'x*y'}", &[("a", "zx1y")], false),
        (Reading::EveryHyphen, "s: {a|windash|contains: ' /x'}", &[("a", "do -x")], true),
        (Reading::WindashVerbatim, "s: {a|windash: '-x*'}", &[("a", "-xy")], true),
        (
            Reading::WindashBeforeBase64,
            "s: {a|windash|base64offset|contains: '-ab'}",
            &[("a", "L2Fi")],
            true,
        ),
        (Reading::WideVerbatim, "s: {a|wide: ab}", &[("a", "ab")], false),
        (Reading::Base64Tail, "s: {a|base64offset|contains: 'ab'}", &[("a", "YWJj")], true),
        (Reading::KeywordsWhole, "s: {'|all': [x, y]}", &[("a", "x and y")], true),
        (Reading::NumbersByValue, "s: {a: 1}", &[("a", "01")], false),
        (Reading::NumbersAsParsed, "s: {a|gt: 1}", &[("a", "inf")], false),
        (Reading::TypesApart, "s: {a|fieldref|cased: n}", &[("a", "1"), ("n", "1")], true),
        (Reading::ZonesUnknown, "s: {a|cidr: 'fe80::/10'}", &[("a", "fe80::1%eth0")], true),
        (Reading::MappedApart, "s: {a|cidr: 192.0.2.0/24}", &[("a", "::ffff:192.0.2.1")], true),
        (Reading::WholeLowercase, "s: {a|startswith: 'ΑΣ'}", &[("a", "ΑΣΑ")], true),
        (Reading::WildcardsFold, "s: {a: 'σ*'}", &[("a", "ς")], false),
        (Reading::ListsLowered, "s: {a: ['?', x]}", &[("a", "İ")], true),
        (Reading::OurWordsToo, "s: [format]", &[("log.level", "informational")], false),
    ];
    assert_eq!(cases.map(|case| case.0), Reading::ALL);
    let fields = "[[field]]\nname = 'n'\ntype = 'long'\nja = '数'\nen = 'Number'\n";
    let dictionary = Arc::new(FieldDictionary::from_toml(fields).unwrap());
    let sources = "[[source]]\nproduct = 'any'\nwhere = [{ dataset = '*' }]\n";
    let sources = LogSources::from_toml(sources).unwrap();
    for (reading, detection, event, ours) in cases {
        let text = format!(
            "title: t\nid: r\nlogsource: {{product: any}}\ndetection: {{{detection}, condition: s}}\n"
        );
        let file = RuleFile { path: "r.yml".into(), text };
        let parsed = rsigma_parser::parse_sigma_yaml(&file.text).unwrap();
        let (ruleset, report) = Ruleset::compile(&[file], dictionary.clone(), &sources);
        assert!(report.refused.is_empty(), "{:?}", report.refused);
        let batch = batch_of("test", &dictionary, &[event.to_vec()]);
        let found = !Engine::new(Arc::new(ruleset)).evaluate(&batch).is_empty();
        let event = &events_of(&batch)[0];
        let answer = |readings| {
            let (dictionary, sources) = (&*dictionary, &sources);
            Reference { dictionary, sources, readings }.matches(&parsed.rules[0], event)
        };
        let mut peer = rsigma_eval::Engine::new();
        assert!(peer.add_rules(&parsed.rules).is_empty());
        let value = random_peer::value_of(&dictionary, event);
        let theirs = !peer.evaluate(&rsigma_eval::JsonEvent::borrow(&value)).is_empty();
        let answers = (found, answer(Readings::OURS), answer(Readings::only(reading)), theirs);
        assert_eq!(answers, (ours, ours, !ours, !ours), "{reading:?}");
    }
}
