//! Texts that compacted files hold as templates and values (`docs/format/rebuild.md`): which, from
//! which columns, and how they come back.
//!
//! A file that has such columns says so in its footer and, for planning, in the table's log. All
//! reading of rows goes through here or [`crate::packed_scan`]; nobody else sees the columns.

use crate::LakeError;
use crate::limits::UNPACK_BYTES;
use crate::read::corrupt;
use crate::text_index::MESSAGE as MESSAGE_COLUMN;
use arrow::array::{Array, RecordBatch};
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use yagura_event::columns as envelope;
use yagura_rebuild::{MESSAGE, ORIGINAL, Target, unpack};

/// Key of the Parquet footer under which a file says which texts it rebuilds, as in its Delta tag.
pub(crate) const PACKED_KEY: &str = "yagura.packed";

/// What can be rebuilt, in the order in which it must be.
pub(crate) const TARGETS: [Target; 2] = [MESSAGE, ORIGINAL];

/// The columns that only files have. No field's column may take these names.
pub(crate) const HIDDEN: [&str; 4] =
    [MESSAGE.template, MESSAGE.values, ORIGINAL.template, ORIGINAL.values];

/// Columns to read from which on it pays to look first which of them the templates refer to.
const COLUMNS_WORTH_A_LOOK: usize = 24;

/// The column for which a hidden one stands.
pub(crate) fn stands_for(stored_name: &str) -> Option<&'static str> {
    let target = TARGETS.iter().find(|t| [t.template, t.values].contains(&stored_name));
    target.map(|target| target.column)
}

/// Which texts of a file are rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    message: Option<PackedText>,
    original: Option<PackedText>,
    /// Length of the longest of them, in bytes.
    longest: usize,
}

/// How a text of a file is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PackedText {
    /// Stored names of the columns that templates refer to.
    pub(crate) columns: BTreeSet<Arc<str>>,
    /// Rows that are rebuilt; the others have the text itself.
    pub(crate) rows: u64,
}

impl Packed {
    pub(crate) fn new(
        message: Option<PackedText>,
        original: Option<PackedText>,
        longest: usize,
    ) -> Self {
        Packed { message, original, longest }
    }

    /// What the footer of a file says.
    pub(crate) fn of_footer(
        path: &Path,
        metadata: &ParquetMetaData,
    ) -> Result<Option<Arc<Packed>>, LakeError> {
        let pairs = metadata.file_metadata().key_value_metadata();
        let Some(pair) = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == PACKED_KEY))
        else {
            return Ok(None);
        };
        let read = pair.value.as_deref().and_then(Packed::from_text);
        let packed = read.ok_or_else(|| {
            corrupt(path, "what its footer says of rebuilt texts does not have the expected form")
        })?;
        Ok(Some(Arc::new(packed)))
    }

    /// As it stands in footers and tags: JSON.
    pub(crate) fn text(&self) -> String {
        let mut text = json!({ "longest": self.longest });
        for (target, packed) in self.texts() {
            let columns: Vec<&str> = packed.columns.iter().map(|name| &**name).collect();
            text[target.column] = json!({ "rows": packed.rows, "columns": columns });
        }
        text.to_string()
    }

    pub(crate) fn from_text(text: &str) -> Option<Packed> {
        let read: Value = serde_json::from_str(text).ok()?;
        let of = |target: &Target| -> Option<Option<PackedText>> {
            let Some(packed) = read.get(target.column) else { return Some(None) };
            let columns = packed.get("columns")?.as_array()?.iter();
            let columns = columns.map(|name| Some(Arc::from(name.as_str()?)));
            Some(Some(PackedText {
                columns: columns.collect::<Option<_>>()?,
                rows: packed.get("rows")?.as_u64()?,
            }))
        };
        Some(Packed {
            message: of(&MESSAGE)?,
            original: of(&ORIGINAL)?,
            longest: usize::try_from(read.get("longest")?.as_u64()?).ok()?,
        })
    }

    fn texts(&self) -> impl Iterator<Item = (Target, &PackedText)> {
        let texts = [(MESSAGE, &self.message), (ORIGINAL, &self.original)].into_iter();
        texts.filter_map(|(target, packed)| Some((target, packed.as_ref()?)))
    }

    /// Rows of which the text in this column is rebuilt.
    pub(crate) fn rows_of(&self, column: &str) -> u64 {
        let found = self.texts().find(|(target, _)| target.column == column);
        found.map_or(0, |(_, packed)| packed.rows)
    }

    /// Whether any of these columns (stored names) is rebuilt.
    pub(crate) fn concerns<'a>(&self, mut columns: impl Iterator<Item = &'a str>) -> bool {
        columns.any(|name| self.texts().any(|(target, _)| target.column == name))
    }

    /// Further columns (stored names) without which those that `wanted` names are not what was
    /// stored.
    pub(crate) fn needs(&self, wanted: &dyn Fn(&str) -> bool) -> BTreeSet<Arc<str>> {
        self.needs_where(wanted, &|_| true)
    }

    /// The same for rows whose templates refer to no columns but those that `referred` names.
    pub(crate) fn needs_where(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        referred: &dyn Fn(&str) -> bool,
    ) -> BTreeSet<Arc<str>> {
        let mut needed = BTreeSet::new();
        // The received bytes may refer to the message, so they come first here.
        for (target, packed) in self.texts().collect::<Vec<_>>().into_iter().rev() {
            if wanted(target.column) || needed.contains(target.column) {
                needed.extend([target.column, target.template, target.values].map(Arc::from));
                needed.extend(packed.columns.iter().filter(|name| referred(name)).cloned());
            }
        }
        needed
    }

    /// The columns (stored names) of the templates of all texts that `wanted` names, or that those may
    /// refer to; none where they refer to too few columns for a look at them to pay.
    pub(crate) fn templates(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
        let needed = self.needs(wanted);
        if needed.len() < COLUMNS_WORTH_A_LOOK {
            return Vec::new();
        }
        let templates = TARGETS.iter().map(|target| target.template);
        templates.filter(|template| needed.contains(*template)).collect()
    }

    /// Rows that are rebuilt at once, so that their texts take bounded memory.
    pub(crate) fn rows_at_once(&self) -> usize {
        (UNPACK_BYTES / self.longest.max(1)).max(1)
    }

    /// The rows with their texts, without hidden columns. `rows` must have what [`Packed::needs`] said.
    pub(crate) fn unpacked(
        &self,
        path: &Path,
        rows: &RecordBatch,
    ) -> Result<RecordBatch, LakeError> {
        for (target, _) in self.texts() {
            let some = |name: &str| rows.column_by_name(name).is_some();
            if some(target.column) && !some(target.template) {
                return Err(corrupt(path, format!("it lacks the column {:?}", target.template)));
            }
        }
        let whole = unpack(rows)
            .map_err(|error| corrupt(path, format!("a text does not come back: {error}")))?;
        // Nothing is received without bytes.
        let original = self.original.as_ref().and_then(|_| whole.column_by_name(ORIGINAL.column));
        if original.is_some_and(|original| original.null_count() > 0) {
            return Err(corrupt(path, "a row has neither its bytes nor how they are rebuilt"));
        }
        Ok(whole)
    }
}

/// Whether a text in a column of this name can be rebuilt.
pub(crate) fn is_target(stored_name: &str) -> bool {
    [MESSAGE_COLUMN, envelope::ORIGINAL].contains(&stored_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(columns: &[&str], rows: u64) -> Option<PackedText> {
        Some(PackedText { columns: columns.iter().map(|name| Arc::from(*name)).collect(), rows })
    }

    fn names(needed: BTreeSet<Arc<str>>) -> Vec<String> {
        needed.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn what_is_needed_is_what_the_texts_are_made_of() {
        let packed = Packed::new(text(&["user.name"], 3), text(&["host.name", "message"], 4), 9);
        assert_eq!(Packed::from_text(&packed.text()), Some(packed.clone()));
        assert_eq!((packed.rows_of("message"), packed.rows_of("event.original")), (3, 4));
        let message = ["message", "user.name", "yagura.message.template", "yagura.message.values"];
        assert_eq!(names(packed.needs(&|name| name == "message")), message);
        let mut all = message.to_vec();
        all.extend(["event.original", "host.name", "yagura.raw.template", "yagura.raw.values"]);
        all.sort_unstable();
        assert_eq!(names(packed.needs(&|name| name == "event.original")), all);
        assert_eq!(names(packed.needs(&|name| name == "user.name")), [""; 0]);
        let alone = Packed::new(text(&["user.name"], 3), text(&["host.name"], 4), 9);
        assert!(!alone.needs(&|name| name == "event.original").contains("user.name"));
        let raw_only = Packed::new(None, text(&["message"], 1), 9);
        let referred = |name: &str| name == "message";
        let raw = names(packed.needs_where(&|name| name == "event.original", &referred));
        assert!(!raw.contains(&"host.name".to_owned()) && raw.contains(&"message".to_owned()));
        assert!(!raw.contains(&"user.name".to_owned()));
        let raw = names(packed.needs_where(&|name| name == "event.original", &|_| false));
        assert_eq!(raw, ["event.original", "yagura.raw.template", "yagura.raw.values"]);
        assert_eq!(raw_only.needs(&|name| name == "event.original").len(), 4);
        assert!(!raw_only.concerns(["message"].into_iter()));
        assert!(raw_only.concerns(["host.name", "event.original"].into_iter()));
    }

    #[test]
    fn texts_are_rebuilt_so_many_at_once_and_one_at_least() {
        let of = |longest| Packed::new(None, text(&[], 1), longest).rows_at_once();
        assert_eq!((of(0), of(1), of(2)), (UNPACK_BYTES, UNPACK_BYTES, UNPACK_BYTES / 2));
        assert_eq!((of(UNPACK_BYTES), of(UNPACK_BYTES + 1)), (1, 1));
    }

    #[test]
    fn hidden_columns_stand_for_what_they_rebuild() {
        assert_eq!(stands_for("yagura.raw.values"), Some("event.original"));
        assert_eq!(stands_for("yagura.message.template"), Some("message"));
        assert_eq!(stands_for("yagura.batch"), None);
        assert!(HIDDEN.iter().all(|name| stands_for(name).is_some()));
        assert!(TARGETS.iter().all(|target| is_target(target.column)));
    }

    proptest! {
        #[test]
        fn what_others_wrote_never_panics(text in "\\PC{0,60}", key in "longest|message|rows|columns") {
            let _ = Packed::from_text(&text);
            let _ = Packed::from_text(&format!("{{\"longest\":1,\"message\":{{\"{key}\":{text}}}}}"));
        }
    }
}
