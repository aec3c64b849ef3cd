//! A rule directory is replaced as a whole, and comes back.

use std::fs;
use std::path::Path;
use yagura_rulebook::RulebookError;
use yagura_rulebook::library::Library;
use yagura_rulebook::limits::VERSIONS_KEPT_MAX;

fn rule(id: &str, value: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nlogsource: {{product: windows}}\ndetection:\n  s: {{a: {value}}}\n  condition: s\n"
    )
}

fn contents(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(
                contents(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)),
            );
        } else {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_update_replaces_everything_and_undo_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, new) = (dir.path().join("rules"), dir.path().join("new"));
    fs::create_dir_all(&rules).unwrap();
    fs::create_dir_all(new.join("below")).unwrap();
    fs::write(rules.join("one.yml"), rule("one", "x")).unwrap();
    fs::write(rules.join("two.yml"), rule("two", "x")).unwrap();
    fs::write(new.join("two.yml"), rule("two", "y")).unwrap();
    fs::write(new.join("below/three.yml"), rule("three", "x")).unwrap();
    fs::write(new.join("tests.jsonl"), "\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", new.join("link.yml")).unwrap();
    let before = contents(&rules);
    let library = Library::new(&rules);

    let update = library.update(&new, "tanaka", "2026-11-22T00:00:00Z").unwrap();
    assert_eq!(update.rules, ["+three", "-one", "~two"]);
    let names: Vec<_> = contents(&rules).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["below/three.yml", "tests.jsonl", "two.yml"]);
    assert!(library.preview(&new).unwrap().changes.is_empty());

    let undone = library.undo("sato", "2026-11-22T01:00:00Z").unwrap();
    assert_eq!((undone.number, undone.from.as_str()), (2, "undo"));
    assert_eq!(contents(&rules), before);
    // Undoing is an update like any other, so it can be undone.
    library.undo("sato", "2026-11-22T02:00:00Z").unwrap();
    assert_eq!(contents(&rules).len(), 3);
    let said: Vec<_> = library.history().unwrap().into_iter().map(|u| (u.number, u.who)).collect();
    assert_eq!(said, [(1, "tanaka".into()), (2, "sato".into()), (3, "sato".into())]);
}

#[test]
fn what_goes_wrong_leaves_the_rules_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules");
    fs::create_dir_all(&rules).unwrap();
    fs::write(rules.join("one.yml"), rule("one", "x")).unwrap();
    let before = contents(&rules);
    let library = Library::new(&rules);
    assert!(matches!(library.undo("a", "t"), Err(RulebookError::NoEarlierVersion(_))));
    assert!(library.update(&dir.path().join("gone"), "a", "t").is_err());
    // What a crash left of an update that never took place.
    let history = dir.path().join("rules.history");
    fs::create_dir_all(history.join("000001/half")).unwrap();
    fs::write(history.join("history.jsonl"), "{\"number\":1,\"@time").unwrap();
    assert_eq!(contents(&rules), before);
    let new = dir.path().join("new");
    fs::create_dir_all(&new).unwrap();
    fs::write(new.join("one.yml"), rule("one", "y")).unwrap();
    assert_eq!(library.update(&new, "a", "t").unwrap().number, 1);
    assert_eq!(contents(&history.join("000001")), before);
}

#[test]
fn old_versions_go_when_there_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, new) = (dir.path().join("rules"), dir.path().join("new"));
    fs::create_dir_all(&new).unwrap();
    let library = Library::new(&rules);
    for number in 0..=VERSIONS_KEPT_MAX {
        fs::write(new.join("one.yml"), rule("one", &number.to_string())).unwrap();
        library.update(&new, "a", "t").unwrap();
        let kept = fs::read_dir(dir.path().join("rules.history")).unwrap().count() - 1;
        assert_eq!(kept, (number + 1).min(VERSIONS_KEPT_MAX), "{number}");
    }
    assert_eq!(library.history().unwrap().len(), VERSIONS_KEPT_MAX + 1);
}

fn filter(id: &str, user: &str) -> String {
    format!(
        "title: Filter {id}\nid: {id}\nlogsource: {{product: windows}}\nfilter:\n  rules: any\n  \
         s: {{User: {user}}}\n  condition: not s\n"
    )
}

#[test]
fn filters_of_the_house_survive_an_update_and_its_undoing() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, new) = (dir.path().join("rules"), dir.path().join("new"));
    for place in [rules.join("own"), new.join("own")] {
        fs::create_dir_all(place).unwrap();
    }
    let write = |path: &Path, text: String| fs::write(path, text).unwrap();
    write(&rules.join("one.yml"), rule("one", "x"));
    write(&rules.join("own/backup.yml"), filter("backup", "b"));
    // The new rules have a file of this name, this filter elsewhere, and one of their own.
    write(&rules.join("own/taken.yml"), format!("{}---\n{}", filter("a", "x"), filter("b", "y")));
    write(&rules.join("known.yml"), filter("known", "old"));
    // A filter beside a rule belongs to it.
    write(&rules.join("both.yml"), format!("{}---\n{}", rule("both", "x"), filter("of-both", "x")));
    write(&new.join("one.yml"), rule("one", "y"));
    write(&new.join("own/taken.yml"), rule("taken", "y"));
    write(&new.join("moved.yml"), filter("known", "new"));
    write(&new.join("theirs.yml"), filter("theirs", "t"));
    let before = contents(&rules);
    let library = Library::new(&rules);

    let preview = library.preview(&new).unwrap();
    assert_eq!(preview.kept, ["own/backup.yml", "own/taken.yml"]);
    let update = library.update(&new, "tanaka", "2026-11-22T00:00:00Z").unwrap();
    assert_eq!(update.kept, preview.kept);
    assert_eq!(
        update.rules,
        ["+filter:theirs", "+taken", "-filter:of-both", "-both", "~filter:known", "~one"]
    );
    let after = contents(&rules);
    let names: Vec<_> = after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "moved.yml",
            "one.yml",
            "own/backup.yml",
            "own/taken-kept-1.yml",
            "own/taken.yml",
            "theirs.yml"
        ]
    );
    assert_eq!(after[2].1, filter("backup", "b"));
    assert_eq!(after[3].1, before.iter().find(|(name, _)| name == "own/taken.yml").unwrap().1);
    assert_eq!(library.history().unwrap()[0].kept, preview.kept);

    // What was added since stays; what the update brought goes with it.
    write(&rules.join("own/later.yml"), filter("later", "l"));
    let undone = library.undo("sato", "2026-11-22T01:00:00Z").unwrap();
    assert_eq!(undone.kept, ["own/later.yml"]);
    let mut expected = before;
    expected.push(("own/later.yml".to_owned(), filter("later", "l")));
    expected.sort();
    assert_eq!(contents(&rules), expected);
}
