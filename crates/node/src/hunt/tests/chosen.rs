//! Rules that are hunted for by their ids, and what exceptions take away.

use super::*;
use crate::ExceptionRequest;

/// Of our own rules.
const REFUSED: &str = "20bc919f-1e47-4f08-8423-f4c8fc449daa";
const ACCEPTED: &str = "06132b49-6945-4ca0-aff7-ef3fe7fca072";
/// Ten refusals of one address, which counts the first.
const GUESSING: &str = "298424cf-6cd7-4bce-bf2d-be28f244478b";
/// One let in after that, which counts the two before.
const GUESSED: &str = "e175b4ef-b975-4ae4-9fe2-d1978673b89e";

const LET_IN: &str =
    "<38>Jun 14 15:18:01 web01 sshd[42]: Accepted password for root from 203.0.113.9 port 2 ssh2";

fn by_id(ids: &[&str]) -> HuntRequest {
    HuntRequest {
        rule_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..HuntRequest::default()
    }
}

/// Which rules a hunt found, how often each.
fn found(hunt: &Value) -> Vec<(String, u64)> {
    let tallies = hunt["hunt.found"].as_array().unwrap();
    let one = |tally: &Value| {
        (tally["rule.uuid"].as_str().unwrap().to_owned(), tally["hunt.count"].as_u64().unwrap())
    };
    let mut found: Vec<_> = tallies.iter().map(one).collect();
    found.sort();
    found
}

fn hunted(node: &Node, request: &HuntRequest) -> Value {
    let begun = node.hunter().start(request, "ann").unwrap();
    ended(node, &begun["hunt.id"])
}

#[test]
fn a_rule_or_correlation_of_the_pack_is_hunted_by_its_id_alone() {
    let dir = tempfile::tempdir().unwrap();
    let node = open_as(dir.path(), NodeOptions::default(), Arc::new(SystemClock));
    stored(&node, &[FAILED; 10], &[LET_IN]);
    let hunt = |ids: &[&str]| hunted(&node, &by_id(ids));

    let one = hunt(&[ACCEPTED]);
    assert_eq!((&one["hunt.rules"], &one["hunt.refused"]), (&json!(1), &json!(0)), "{one}");
    assert_eq!(found(&one), [(ACCEPTED.to_owned(), 1)]);
    assert_eq!(one["hunt.sources_total"], 1, "the correlations that count it are left alone");

    // It counts a rule of another file, of which nothing is told.
    let one = hunt(&[GUESSING]);
    assert_eq!((&one["hunt.rules"], &one["hunt.refused"]), (&json!(1), &json!(0)), "{one}");
    assert_eq!(found(&one), [(GUESSING.to_owned(), 1)]);
    assert_eq!((&one["hunt.state"], &one["hunt.sources_total"]), (&json!("done"), &json!(2)));

    // This one counts a correlation that counts a rule.
    let upper = GUESSED.to_uppercase();
    let one = hunt(&[&upper, REFUSED]);
    assert_eq!(found(&one), [(REFUSED.to_owned(), 10), (GUESSED.to_owned(), 1)]);
    assert_eq!((&one["hunt.rules"], &one["hunt.sources_total"]), (&json!(2), &json!(4)));

    for id in ["a", "", " ", "ssh", &GUESSED[..8]] {
        let error = node.hunter().estimate(&by_id(&[id])).unwrap_err();
        assert!(matches!(error, NodeError::NotFound { .. }), "{id:?}: {error}");
    }
    node.close().unwrap();
}

const IN_ONE_FILE: &str = "
title: Failed password
id: failed
name: failed
logsource: { product: linux, service: sshd }
detection:
  selection: { message|startswith: 'Failed password' }
  condition: selection
---
title: Guessing
id: guessing
correlation:
  type: event_count
  rules: [failed]
  group-by: [source.ip]
  timespan: 5m
  condition: { gte: 2 }
level: high
---
title: Guessing of many
id: many
correlation:
  type: event_count
  rules: [guessing]
  timespan: 1h
  condition: { gte: 2 }
level: high
---
title: Broken
id: broken
logsource: { product: linux, service: sshd }
detection:
  selection: { message|re: '(' }
  condition: selection
";

#[test]
fn a_rule_that_only_serves_a_correlation_is_found_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let rules = rules_in(dir.path(), IN_ONE_FILE);
    let node = open(&dir.path().join("data"), Some(&rules));
    append(&node, &[FAILED, FAILED, ELSEWHERE, ELSEWHERE]);
    assert_eq!(found(&hunted(&node, &by_id(&["failed"]))), [("failed".to_owned(), 4)]);
    assert_eq!(found(&hunted(&node, &by_id(&["many"]))), [("many".to_owned(), 1)]);
    assert_eq!(found(&hunted(&node, &by_id(&["all"]))), [("many".to_owned(), 1)]);
    let refused = |id: &str| node.hunter().start(&by_id(&[id]), "ann").unwrap_err().to_string();
    assert!(refused("guessing").contains("only serves"), "{}", refused("guessing"));
    assert!(refused("broken").contains("regular expression"), "{}", refused("broken"));
    node.close().unwrap();
}

#[test]
fn exceptions_hold_for_hunts_and_what_they_take_away_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED, FAILED, ELSEWHERE, ELSEWHERE]);
    // Columns are left out of files only.
    node.flush().unwrap();
    append(&node, &[FAILED]);
    let rule = IN_ONE_FILE.split("---\n").next().unwrap();
    let hunt = |text: &str| {
        let rules = vec![list("one.yml", text)];
        hunted(&node, &HuntRequest { rules, raise: true, ..HuntRequest::default() })
    };
    let except = |rule: &str, address: &str| {
        let condition = json!({ "source.ip|cidr": address });
        let request = ExceptionRequest {
            rules: vec![rule.to_owned()],
            conditions: condition.as_object().unwrap().clone(),
            reason: "our own test".to_owned(),
            ..ExceptionRequest::default()
        };
        node.add_exception(request, "ann").unwrap();
    };
    except("failed", "203.0.113.0/24");
    let alone = hunt(rule);
    assert_eq!(
        (&alone["hunt.matches_total"], &alone["hunt.excepted"]),
        (&json!(2), &json!(3)),
        "{alone}"
    );
    assert_eq!(alerted(&node), ids(&alone), "no alert of what is excepted");

    // A correlation does not count it either, and has exceptions of its own.
    let counting = IN_ONE_FILE.split("---\ntitle: Guessing of many").next().unwrap();
    let counted = hunt(counting);
    assert_eq!(found(&counted), [("guessing".to_owned(), 1)]);
    assert_eq!(counted["hunt.excepted"], 3);
    let entity = serde_json::from_value(json!({"kind": "source_ip", "value": "198.51.100.7"}));
    let request = ExceptionRequest {
        rules: vec!["guessing".to_owned()],
        entity: Some(entity.unwrap()),
        reason: "our own test".to_owned(),
        ..ExceptionRequest::default()
    };
    node.add_exception(request, "ann").unwrap();
    let counted = hunt(counting);
    assert_eq!((&counted["hunt.found"], &counted["hunt.excepted"]), (&json!([]), &json!(4)));
    node.close().unwrap();
}

#[test]
fn what_a_correlation_could_not_count_names_it_in_both_languages() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), None);
    append(&node, &[FAILED]);
    let text = IN_ONE_FILE.split("---\ntitle: Guessing of many").next().unwrap();
    let text = text
        .replace("type: event_count", "type: value_sum")
        .replace("{ gte: 2 }", "{ gte: 2, field: user.name }")
        .replace("title: Guessing", "title: Guessing\nx-yagura: { title_ja: 総当たり }");
    let rules = vec![list("one.yml", &text)];
    let hunt = hunted(&node, &HuntRequest { rules, ..HuntRequest::default() });
    assert_eq!(
        (&hunt["hunt.state"], &hunt["hunt.unread"]),
        (&json!("gaps"), &Value::Null),
        "{hunt}"
    );
    let told = &hunt["hunt.uncounted"][0];
    assert_eq!(
        (&told["rule.name"], &told["rule.name_ja"]),
        (&json!("Guessing"), &json!("総当たり"))
    );
    assert_eq!((&told["hunt.reason"], &told["hunt.count"]), (&json!("not_a_number"), &json!(1)));
    assert!(told["hunt.sentence_en"].as_str().unwrap().contains("met a value that is none"));
    assert!(told["hunt.sentence_ja"].as_str().unwrap().contains("数値でない値"));
    node.close().unwrap();
    drop(node);

    // Whoever asks for the rule beside it has nothing to do with it.
    let rules = rules_in(dir.path(), &text);
    let node = open(dir.path(), Some(&rules));
    let alone = hunted(&node, &by_id(&["failed"]));
    assert_eq!(
        (&alone["hunt.state"], found(&alone)),
        (&json!("done"), vec![("failed".to_owned(), 1)])
    );
    node.close().unwrap();
}
