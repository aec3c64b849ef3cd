//! Whatever stands in a file as template and values is a text or damage, and a text that rows have in
//! common comes back from what is stored of it.
#![no_main]

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use yagura_rebuild::{Decoder, ORIGINAL, decode, limits, pack};

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.first().map_or(0, |cut| usize::from(*cut)).min(bytes.len());
    let (template, values) = bytes.split_at(cut);
    let template = template.get(1..).unwrap_or_default();
    let column = |name: &'static str, bytes: &[u8], rows: usize| {
        (name, Arc::new(BinaryArray::from_iter_values(vec![bytes; rows])) as ArrayRef)
    };
    let rest = |rows: usize| -> Vec<(&'static str, ArrayRef)> {
        vec![
            (
                "@timestamp",
                Arc::new(TimestampMicrosecondArray::from(vec![1_780_560_309_123_000; rows])),
            ),
            ("user.name", Arc::new(StringArray::from(vec!["a\"b/日本"; rows]))),
            ("n", Arc::new(Int64Array::from(vec![4_625; rows]))),
        ]
    };
    let mut stored = rest(1);
    stored.push(column(ORIGINAL.template, template, 1));
    stored.push(column(ORIGINAL.values, values, 1));
    let stored = RecordBatch::try_from_iter(stored).unwrap();
    let mut text = Vec::new();
    let read = Decoder::new(&stored, &ORIGINAL).unwrap().row(0, &mut text);
    if read.is_err() {
        assert!(text.is_empty());
        text.extend_from_slice(bytes);
    }
    assert!(text.len() <= limits::TEXT_BYTES_MAX);
    let mut columns = rest(2);
    columns.push(column(ORIGINAL.column, &text, 2));
    let packed = pack(&RecordBatch::try_from_iter(columns).unwrap(), &[ORIGINAL]).unwrap();
    let texts = decode(&packed, &ORIGINAL).unwrap();
    let expected = arrow::array::BinaryViewArray::from_iter_values([&text, &text]);
    assert_eq!(texts.to_data(), expected.to_data());
});
