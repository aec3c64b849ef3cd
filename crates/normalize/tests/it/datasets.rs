//! Every dataset says what it is, and its sample is read as it.

use crate::common;
use common::{describe_sample, normalizer};

#[test]
fn every_sample_lands_in_its_dataset_and_reads_well() {
    let normalizer = normalizer();
    let mut wrong = Vec::new();
    let mut samples = 0;
    for about in normalizer.datasets() {
        let Some(sample) = &about.sample else { continue };
        samples += 1;
        let read = describe_sample(sample);
        let (name, ja, en) = (&about.name, &read.sentence_ja, &read.sentence_en);
        if read.dataset != **name {
            wrong.push(format!("{name}: read as {}", read.dataset));
        }
        if read.fields.iter().any(|(field, _)| field == "yagura.parse_error") {
            wrong.push(format!("{name}: parse error in {:?}", read.fields));
        }
        if read.timestamp.to_string().starts_with("2026-11-21T12:00:00") {
            wrong.push(format!("{name}: the time is that of the receipt"));
        }
        let japanese = ja.chars().any(|c| ('ぁ'..='ヶ').contains(&c) || ('一'..='龠').contains(&c));
        if !japanese || en.contains(|c: char| ('ぁ'..='ヶ').contains(&c)) {
            wrong.push(format!("{name}: {ja} / {en}"));
        }
        for generic in ["An event of", "A record", "sent a record"] {
            // Of documents of any kind, nothing more is known.
            if en.contains(generic) && &**name != "json.generic" {
                wrong.push(format!("{name}: a generic sentence: {en}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {samples} samples:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn whoever_describes_a_dataset_describes_all_of_it() {
    let normalizer = normalizer();
    let mut missing = Vec::new();
    for about in normalizer.datasets() {
        let texts = [
            &about.title_ja,
            &about.title_en,
            &about.about_ja,
            &about.about_en,
            &about.send_ja,
            &about.send_en,
        ];
        let said = texts.iter().filter(|text| !text.is_empty()).count();
        let known = about.nis2.iter().all(|category| {
            category.len() == 1 && category.bytes().all(|byte| (b'a'..=b'l').contains(&byte))
        });
        // What nobody sends needs no words.
        let of_itself = ["unknown", "yagura.audit"].contains(&&*about.name);
        // Acts are made here; a header is no kind of source.
        let sent = !of_itself && !about.name.starts_with("act.") && &*about.name != "log.header";
        if sent && (about.asd.is_none() || about.sample.is_none()) {
            missing.push(format!("{} (asd or sample)", about.name));
        }
        if !known || (!of_itself && (said < texts.len() || about.nis2.is_empty())) {
            missing.push(about.name.to_string());
        }
    }
    assert!(missing.is_empty(), "not described in full: {}", missing.join(", "));
}
