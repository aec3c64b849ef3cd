//! What must hold for any text and any stored bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "common/sieving.rs"]
mod sieving;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use yagura_rebuild::{
    Decoder, MESSAGE, ORIGINAL, RebuildError, decode, encode, limits, pack, unpack,
};

/// A row: received bytes, message, user, number, time.
type Row = (Vec<u8>, Option<String>, Option<String>, Option<i64>, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let users: DictionaryArray<Int32Type> = rows.iter().map(|row| row.2.as_deref()).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.4)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("@timestamp", Arc::new(times.with_timezone("UTC")) as ArrayRef, true),
        (
            "event.original",
            Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<BinaryArray>()),
            true,
        ),
        (
            "message",
            Arc::new(rows.iter().map(|row| row.1.as_ref()).collect::<StringViewArray>()),
            true,
        ),
        ("user.name", Arc::new(users), true),
        ("n", Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()), true),
    ])
    .unwrap()
}

fn blank() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// Documents as no writer would write them, too.
fn document(row: &Row) -> BoxedStrategy<String> {
    let spelt = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let (user, message) = (row.2.clone().unwrap_or_default(), row.1.clone().unwrap_or_default());
    let time = jiff::Timestamp::from_microsecond(row.4).unwrap();
    let leaf = prop_oneof![
        Just(format!("\"{}\"", spelt(&user))),
        Just(format!("\"{}\"", spelt(&message))),
        Just(format!("{}", row.3.unwrap_or(0))),
        Just(format!("\"{}\"", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))),
        "-?[0-9]{1,3}(\\.[0-9])?(e[+-]?[0-9])?|true|false|null",
        "\"(\\\\[\\\\/\"bfnrt]|\\\\u[0-9a-fA-F]{4}|[a-z<>& 日本\u{0}\u{7f}])*\"",
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            (blank(), vec(inner.clone(), 0..4))
                .prop_map(|(b, list)| { format!("[{b}{}{b}]", list.join(&format!("{b},"))) }),
            (blank(), vec(("[ab\"]{0,2}", inner), 0..4)).prop_map(move |(b, members)| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| {
                        format!("{b}\"{}\"{b}:{b}{value}", key.replace('"', "\\\""))
                    })
                    .collect();
                format!("{{{}{b}}}", members.join(","))
            }),
        ]
    });
    (prop_oneof![Just(""), Just("\u{feff}"), Just(" ")], value, blank())
        .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
        .boxed()
}

fn line(row: &Row) -> BoxedStrategy<String> {
    let time = jiff::Timestamp::from_microsecond(row.4).unwrap();
    let word = prop_oneof![
        Just(row.1.clone().unwrap_or_default()),
        Just(row.2.clone().unwrap_or_default()),
        Just(row.3.unwrap_or(7).to_string()),
        Just(time.strftime("%b %e %H:%M:%S").to_string()),
        Just(time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()),
        Just(time.as_second().to_string()),
        "[a-z]{1,6}|[0-9a-f.:-]{1,20}|日本語[0-9]",
    ];
    vec((word, "[ =:\\[\\]\"',;]{0,2}"), 0..12)
        .prop_map(|words| words.into_iter().map(|(word, gap)| word + &gap).collect::<String>())
        .boxed()
}

fn row() -> impl Strategy<Value = Row> {
    let text = "[a-z\"\\\\/é日 0-9\r\n\t]{0,16}";
    let base = (
        proptest::option::of(text),
        proptest::option::of(text),
        proptest::option::of(-1_000_i64..100_000),
        0..4_000_000_000_000_000_i64,
    )
        .prop_map(|(message, user, number, time)| (Vec::new(), message, user, number, time));
    base.prop_flat_map(|row| {
        let raw = prop_oneof![
            6 => document(&row).prop_map(String::into_bytes),
            6 => line(&row).prop_map(String::into_bytes),
            2 => vec(any::<u8>(), 0..40),
            1 => (document(&row), vec(any::<u8>(), 0..4)).prop_map(|(text, tail)| {
                let mut bytes = text.into_bytes();
                bytes.extend(tail);
                bytes
            }),
        ];
        (raw, Just(row)).prop_map(|(raw, row)| (raw, row.1, row.2, row.3, row.4))
    })
}

/// Rows of which many are alike, or nearly.
fn rows_alike() -> impl Strategy<Value = Vec<Row>> {
    vec((row(), 1_usize..6, any::<proptest::sample::Index>(), any::<u8>()), 1..8).prop_map(
        |kinds| {
            let mut rows = Vec::new();
            for (row, count, place, byte) in kinds {
                for number in 0..count {
                    let mut row = row.clone();
                    if number == 3 && !row.0.is_empty() {
                        let place = place.index(row.0.len());
                        row.0[place] = byte;
                    }
                    rows.push(row);
                }
            }
            rows
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_comes_back(rows in rows_alike()) {
        let batch = batch(&rows);
        let packed = pack(&batch, &[MESSAGE, ORIGINAL]).unwrap();
        let whole = unpack(&packed).unwrap();
        prop_assert_eq!(whole, batch);
    }

    /// What a text has, its marks say, whatever it is made of.
    #[test]
    fn marks_miss_nothing(
        rows in rows_alike(),
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        length in 1_usize..8,
    ) {
        let batch = batch(&rows);
        let packed = pack(&batch, &[MESSAGE, ORIGINAL]).unwrap();
        let row = &rows[which.index(rows.len())];
        let text = format!("{} {}", String::from_utf8_lossy(&row.0), row.1.as_deref().unwrap_or(""));
        let text = yagura_textindex::fold(&text).into_owned();
        let words: Vec<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        if let Some(word) = words.get(at.index(words.len().max(1))) {
            let from = at.index(word.len());
            let stretch = &word[from..word.len().min(from + length)];
            let has = sieving::has(&batch, stretch);
            for (row, (has, may)) in has.into_iter().zip(sieving::may_have(&packed, stretch)).enumerate() {
                prop_assert!(may || !has, "row {} has {}", row, stretch);
            }
        }
    }

    /// Bytes of a damaged or hostile file.
    #[test]
    fn stored_bytes_never_panic(
        rows in rows_alike(),
        template in vec(any::<u8>(), 0..60),
        changes in vec((any::<bool>(), any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        dropped in 0_usize..5,
    ) {
        let texts = batch(&rows);
        let encoded = encode(&texts, texts.column_by_name("event.original").unwrap(), &ORIGINAL).unwrap();
        let templates = encoded.template.downcast_dict::<BinaryArray>().unwrap();
        let mut stored: Vec<[Vec<u8>; 2]> = templates
            .into_iter()
            .zip(&encoded.values)
            .map(|(template, values)| [template.unwrap_or_default().to_vec(), values.unwrap_or_default().to_vec()])
            .collect();
        stored.push([template.clone(), template]);
        for (which, place, byte) in changes {
            for parts in &mut stored {
                let part = &mut parts[usize::from(which)];
                if !part.is_empty() {
                    let place = place.index(part.len());
                    part[place] = byte;
                }
            }
        }
        let mut rows = rows;
        rows.push((Vec::new(), None, None, None, i64::MAX));
        let mut columns = batch(&rows).project(&(0..5).filter(|at| *at != dropped && *at != 1).collect::<Vec<_>>()).unwrap();
        for (name, part) in [(ORIGINAL.template, 0), (ORIGINAL.values, 1)] {
            let array = BinaryArray::from_iter_values(stored.iter().map(|parts| &parts[part]));
            let mut fields: Vec<_> = columns.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(name, DataType::Binary, true)));
            let mut arrays = columns.columns().to_vec();
            arrays.push(Arc::new(array));
            columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        }
        let mut decoder = Decoder::new(&columns, &ORIGINAL).unwrap();
        let mut text = Vec::new();
        for row in 0..columns.num_rows() + 1 {
            text.clear();
            match decoder.row(row, &mut text) {
                Ok(_) => prop_assert!(text.len() <= limits::TEXT_BYTES_MAX),
                Err(_) => prop_assert!(text.is_empty()),
            }
        }
        let _ = unpack(&columns);
    }
}

fn plain(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|text| (text.as_bytes().to_vec(), None, None, None, 0)).collect()
}

fn stored(texts: &[String]) -> (usize, usize) {
    let rows = plain(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let batch = batch(&rows);
    let encoded =
        encode(&batch, batch.column_by_name("event.original").unwrap(), &ORIGINAL).unwrap();
    let packed = pack(&batch, &[ORIGINAL]).unwrap();
    assert_eq!(unpack(&packed).unwrap(), batch);
    (encoded.rebuilt, encoded.template.values().len())
}

/// A word without digits, another one for each number.
fn word(number: usize) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

#[test]
fn a_text_alone_is_kept_and_two_alike_are_not() {
    assert_eq!(stored(&["a 1".into()]), (0, 0));
    assert_eq!(stored(&["a 1".into(), "a 2".into()]), (2, 1));
}

#[test]
fn a_batch_has_a_last_template() {
    // Two texts of each kind, in one round each.
    let kinds = |count: usize| -> Vec<String> {
        (0..count)
            .flat_map(|kind| [format!("{} 1", word(kind)), format!("{} 2", word(kind))])
            .collect()
    };
    assert_eq!(2 * limits::TEMPLATES_MAX, limits::ROUND_ROWS);
    assert_eq!(stored(&kinds(limits::TEMPLATES_MAX)), (limits::ROUND_ROWS, limits::TEMPLATES_MAX));
    let more = limits::TEMPLATES_MAX + 1;
    assert_eq!(stored(&kinds(more)), (limits::ROUND_ROWS, limits::TEMPLATES_MAX));
}

#[test]
fn templates_have_a_last_byte() {
    let long = |bytes: usize| {
        let text = "a".repeat(bytes);
        vec![format!("{text} 1"), format!("{text} 2")]
    };
    // The head and the stored slot cost a few bytes, and the length three.
    let most = limits::TEMPLATE_BYTES_MAX - 3 - 1 - 3 - 1 - 1;
    assert_eq!(stored(&long(most)).0, 2);
    assert_eq!(stored(&long(most + 1)).0, 0);
    // All templates together.
    let kinds = |count: usize| -> Vec<String> {
        (0..count)
            .flat_map(|kind| {
                long(60_000 - 6).into_iter().map(move |text| format!("{:z<6}{text}", word(kind)))
            })
            .collect()
    };
    let most = limits::TEMPLATES_BYTES_MAX / 60_010;
    assert_eq!(stored(&kinds(most)).1, most);
    assert_eq!(stored(&kinds(most + 1)).1, most);
}

#[test]
fn a_round_has_a_last_slot() {
    let rows = |rows: usize| vec!["1 ".repeat(limits::SLOTS_MAX); rows];
    let most = limits::ROUND_SLOTS_MAX / limits::SLOTS_MAX;
    assert_eq!(stored(&rows(most)).0, most);
    // One more begins another round, and is alone there.
    assert_eq!(stored(&rows(most + 1)).0, most);
}

/// The example of `docs/format/rebuild.md`, written by hand.
#[test]
fn the_documented_example_is_what_is_read_and_written() {
    let run = |text: &str| {
        let mut bytes = vec![text.len() as u8];
        bytes.extend(text.bytes());
        bytes
    };
    let template = [
        vec![1, 0, 0, 0],
        run("{\"t\":\""),
        vec![5],
        run("@timestamp"),
        vec![0],
        run("%Y-%m-%dT%H:%M:%S.%3Z"),
        vec![0],
        run("\",\"id\":"),
        vec![3],
        run("n"),
        vec![0],
        run(",\"user\":\""),
        vec![4],
        run("user.name"),
        vec![0],
        run("\",\"n\":"),
        vec![1, 0],
        run("}"),
    ]
    .concat();
    let received = |n: usize| {
        format!("{{\"t\":\"2026-06-04T08:05:09.123Z\",\"id\":4625,\"user\":\"a\\\"b\",\"n\":{n}}}")
            .into_bytes()
    };
    let time = "2026-06-04T08:05:09.123Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let rows = [17, 18].map(|n| (received(n), None, Some("a\"b".to_owned()), Some(4_625), time));
    let batch = batch(&rows);
    let encoded =
        encode(&batch, batch.column_by_name("event.original").unwrap(), &ORIGINAL).unwrap();
    let templates = encoded.template.downcast_dict::<BinaryArray>().unwrap();
    assert_eq!(templates.into_iter().next().unwrap(), Some(template.as_slice()));
    assert_eq!(encoded.values.value(0), b"\x0017");
}

#[test]
fn damage_is_named_and_the_other_rows_are_read() {
    let rows = plain(&["a 1", "a 2", "a 3"]);
    let batch = batch(&rows);
    let packed = pack(&batch, &[ORIGINAL]).unwrap();
    let values: BinaryArray =
        [Some(&b"\x001"[..]), Some(b"\x05"), Some(b"\x003")].into_iter().collect();
    let at = packed.schema().index_of(ORIGINAL.values).unwrap();
    let mut arrays = packed.columns().to_vec();
    arrays[at] = Arc::new(values);
    let mut fields: Vec<_> = packed.schema().fields().iter().cloned().collect();
    fields[at] = Arc::new(Field::new(ORIGINAL.values, DataType::Binary, true));
    let damaged = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    assert_eq!(decode(&damaged, &ORIGINAL).unwrap_err(), RebuildError::Slot { row: 1, slot: 0 });
    let mut decoder = Decoder::new(&damaged, &ORIGINAL).unwrap();
    let mut texts = Vec::new();
    let read = [0, 1, 2].map(|row| decoder.row(row, &mut texts).is_ok());
    assert_eq!((read, texts.as_slice()), ([true, false, true], &b"a 1a 3"[..]));
}
