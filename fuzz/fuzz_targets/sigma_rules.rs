//! Any text as a rule file: it compiles or is refused by name, the same each time; and what its
//! rules find depends on neither the engine's memory nor an event's neighbours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use std::sync::Arc;
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset, limits};
use yagura_event::{EventBatch, FieldDictionary, Transport};
use yagura_fuzz::run_of;
use yagura_normalize::Normalizer;

/// Records of a few datasets, so that rules have something to find.
const RECORDS: [&str; 7] = [
    r#"{"winlog":{"channel":"Security","provider_name":"Microsoft-Windows-Security-Auditing","event_id":4688,"event_data":{"NewProcessName":"C:\\Windows\\System32\\cmd.exe","CommandLine":"cmd.exe /c whoami"}}}"#,
    r#"{"winlog":{"channel":"Security","provider_name":"Microsoft-Windows-Security-Auditing","event_id":4688,"event_data":{"NewProcessName":"C:\\Tools\\ａ–b.exe","CommandLine":"10.0.0.1 –enc QQBB"}}}"#,
    r#"{"winlog":{"channel":"Security","provider_name":"Microsoft-Windows-Security-Auditing","event_id":4625,"event_data":{"TargetUserName":"root","IpAddress":"192.0.2.7","LogonType":"3"}}}"#,
    r#"{"winlog":{"channel":"Security","provider_name":"Microsoft-Windows-Security-Auditing","event_id":4625,"event_data":{"TargetUserName":"ROOT","IpAddress":"::ffff:192.0.2.7"}}}"#,
    "<38>Jun 14 15:16:01 web01 sshd[42]: Failed password for root from 192.0.2.7 port 50022 ssh2",
    "<38>Jun 14 15:16:02 web01 sshd[43]: Accepted publickey for alice from 192.0.2.8 port 50023 ssh2",
    "not a log line at all",
];

struct World {
    dictionary: Arc<FieldDictionary>,
    sources: LogSources,
    /// By dataset, and every row by itself.
    together: Vec<EventBatch>,
    alone: Vec<EventBatch>,
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

impl World {
    fn new() -> World {
        let dictionary = Normalizer::embedded_dictionary();
        let sources = LogSources::from_toml(include_str!("../../content/logsources.toml")).unwrap();
        let mut normalizer = Normalizer::new(dictionary.clone()).unwrap();
        let mut alone = Vec::new();
        for record in RECORDS {
            normalizer.normalize(&run_of("ingest", Transport::HttpIngest, record.as_bytes()));
            alone.extend(normalizer.take_batches());
        }
        for record in RECORDS {
            normalizer.normalize(&run_of("ingest", Transport::HttpIngest, record.as_bytes()));
        }
        World { dictionary, sources, together: normalizer.take_batches(), alone }
    }
}

fuzz_target!(|text: &str| {
    WORLD.with(|world| check(world.get_or_init(World::new), text));
});

fn check(world: &World, text: &str) {
    let files = [RuleFile { path: "fuzz.yml".into(), text: text.into() }];
    let compile = || Ruleset::compile(&files, world.dictionary.clone(), &world.sources);
    let (ruleset, report) = compile();
    assert_eq!(report.loaded, ruleset.rules().len());
    assert!(report.loaded > 0 || !report.refused.is_empty(), "a file is not passed over");
    for refusal in &report.refused {
        assert!(refusal.path == "fuzz.yml" && !refusal.reason.is_empty());
    }
    let (again, report_again) = compile();
    assert_eq!(report.refused, report_again.refused);
    assert_eq!(ruleset.atoms(), again.atoms());
    if report.loaded == 0 {
        return;
    }
    let mut engine = Engine::new(Arc::new(ruleset));
    let first = found(&mut engine, &world.together);
    assert_eq!(first, found(&mut engine, &world.together), "memory changes the answer");
    let mut engine = Engine::new(Arc::new(again));
    assert_eq!(first, found(&mut engine, &world.alone), "neighbours change the answer");
}

/// Which rules match events of which dataset, sorted.
fn found(engine: &mut Engine, batches: &[EventBatch]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for batch in batches {
        for one in engine.evaluate(batch) {
            assert!(one.row < batch.rows() && one.evidence.len() <= limits::EVIDENCE_MAX);
            for evidence in &one.evidence {
                // What is cut ends in `…`.
                let longest = limits::EVIDENCE_CHARS_MAX + 1;
                assert!(evidence.value.chars().count() <= longest, "{evidence:?}");
                assert!(evidence.predicate.chars().count() <= longest, "{evidence:?}");
            }
            all.push((batch.dataset.to_string(), format!("{} {:?}", one.rule.id, one.evidence)));
        }
    }
    all.sort();
    all
}
