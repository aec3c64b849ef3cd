use crate::{Lang, columns};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Type of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldType {
    /// A name, code, path or other text that repeats; dictionary-encoded.
    #[default]
    Keyword,
    /// An IP address as text; dictionary-encoded.
    Ip,
    /// Free text that rarely repeats.
    Text,
    /// A signed 64-bit integer.
    Long,
    /// An instant, UTC, microseconds.
    Date,
    /// Bytes; for `event.original` only.
    Binary,
}

/// One entry of the field dictionary.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// ECS name, or our own under `yagura.`.
    pub name: String,
    /// Type of the values.
    #[serde(rename = "type", default)]
    pub kind: FieldType,
    /// Japanese label.
    pub ja: String,
    /// English label.
    pub en: String,
    /// OCSF 1.x attribute path, where there is one.
    #[serde(default)]
    pub ocsf: Option<String>,
    /// Whether OMB M-21-31 asks for this field.
    #[serde(default)]
    pub m2131: bool,
    /// Whether all sources share the field, as the first file lists it; others are the native names
    /// of one source, which may mean something else to another.
    #[serde(skip)]
    pub shared: bool,
}

/// The one list of fields: names, types, labels, Sigma names.
///
/// Read from TOML (`content/fields/*.toml`):
///
/// ```
/// let dictionary = yagura_event::FieldDictionary::from_toml(r#"
///     [[field]]
///     name = "process.command_line"
///     ja = "コマンドライン"
///     en = "Command line"
///
///     [sigma."*"]
///     ScriptText = "powershell.script_block_text"
///     [sigma."windows."]          # a key ending in '.' covers every dataset that begins so
///     EventID = "event.code"
///     [sigma."windows.security"]  # the most specific table wins
///     Image = "winlog.event_data.NewProcessName"
///
///     [native]                    # other Sigma fields of such datasets
///     "windows." = "winlog.event_data."
/// "#).unwrap();
/// assert_eq!(dictionary.sigma_column("windows.security", "EventID"), "event.code");
/// assert_eq!(dictionary.sigma_column("windows.sysmon", "Image"), "winlog.event_data.Image");
/// assert_eq!(dictionary.sigma_column("web.access", "url.path"), "url.path");
/// ```
#[derive(Debug, Default)]
pub struct FieldDictionary {
    fields: BTreeMap<String, Field>,
    /// Names in the order of the files.
    order: Vec<String>,
    sigma: BTreeMap<String, BTreeMap<String, String>>,
    native: BTreeMap<String, String>,
}

/// A field dictionary that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DictionaryError {
    /// Not the TOML we expect; the message names line and column.
    #[error("{file}: {source}")]
    Syntax {
        /// Which file.
        file: String,
        /// What is wrong, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// What a user may not say of a field.
    #[error("{file}: field {name:?}: {reason}")]
    Refused {
        /// The user's file.
        file: String,
        /// The field.
        name: String,
        /// What is wrong with it and what would be right.
        reason: &'static str,
    },
    /// The same thing said twice.
    #[error("{file}: {what} is listed twice; remove one of them")]
    Twice {
        /// The file with the second.
        file: String,
        /// What, such as `field "user.name"`.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    field: Vec<Field>,
    #[serde(default)]
    sigma: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    native: BTreeMap<String, String>,
}

/// Longest name of a user's field, in bytes.
const USER_NAME_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
struct UserFile {
    #[serde(default)]
    field: Vec<UserField>,
    #[serde(default)]
    sigma: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserField {
    name: String,
    #[serde(rename = "type", default)]
    kind: Option<FieldType>,
    #[serde(default)]
    ja: Option<String>,
    #[serde(default)]
    en: Option<String>,
}

impl FieldDictionary {
    /// Reads a dictionary of one file.
    ///
    /// # Errors
    ///
    /// When it is not such TOML, or lists something twice.
    pub fn from_toml(text: &str) -> Result<Self, DictionaryError> {
        Self::from_files([("field dictionary", text)])
    }

    /// Reads a dictionary of several files (name, text), which are one list together.
    ///
    /// # Errors
    ///
    /// When one is not such TOML, or something is listed twice; the error names the file.
    pub fn from_files<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DictionaryError> {
        let mut dictionary = FieldDictionary::default();
        for (number, (file, text)) in files.into_iter().enumerate() {
            let read: File = toml::from_str(text).map_err(|source| DictionaryError::Syntax {
                file: file.to_owned(),
                source: Box::new(source),
            })?;
            let twice = |what: String| DictionaryError::Twice { file: file.to_owned(), what };
            for mut field in read.field {
                field.shared = number == 0;
                dictionary.order.push(field.name.clone());
                if let Some(other) = dictionary.fields.insert(field.name.clone(), field) {
                    return Err(twice(format!("field {:?}", other.name)));
                }
            }
            for (dataset, names) in read.sigma {
                let table = dictionary.sigma.entry(dataset.clone()).or_default();
                for (name, column) in names {
                    if table.insert(name.clone(), column).is_some() {
                        return Err(twice(format!("{name:?} of [sigma.{dataset:?}]")));
                    }
                }
            }
            for (dataset, prefix) in read.native {
                if dictionary.native.insert(dataset.clone(), prefix).is_some() {
                    return Err(twice(format!("{dataset:?} of [native]")));
                }
            }
        }
        Ok(dictionary)
    }

    /// Adds what a user's file says of fields: new fields, and other labels for ours. Everything else
    /// that stands in the file is passed over.
    ///
    /// # Errors
    ///
    /// When it is not such TOML, a field of ours would change its type, or a name is not free to be
    /// given.
    pub fn layer(&mut self, file: &str, text: &str) -> Result<(), DictionaryError> {
        let read: UserFile = toml::from_str(text).map_err(|source| DictionaryError::Syntax {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        for UserField { name, kind, ja, en } in read.field {
            let refused = |reason| {
                Err(DictionaryError::Refused { file: file.to_owned(), name: name.clone(), reason })
            };
            if let Some(known) = self.fields.get_mut(&name) {
                if kind.is_some_and(|kind| kind != known.kind) {
                    return refused("its type cannot be changed; name a field of your own");
                }
                known.ja = ja.unwrap_or(std::mem::take(&mut known.ja));
                known.en = en.unwrap_or(std::mem::take(&mut known.en));
                continue;
            }
            let kind = kind.unwrap_or_default();
            if kind == FieldType::Binary {
                return refused("its type may be keyword, ip, text, long or date");
            }
            if name.starts_with("yagura.") {
                return refused("names under `yagura.` are Yagura's own; choose another");
            }
            let is_part = |c: char| c.is_alphanumeric() || "_-.@#/() %:".contains(c);
            if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || !name.chars().all(is_part) {
                return refused("a name has 1 to 128 bytes: letters, digits and _-.@#/()%: only");
            }
            let label = |label: Option<String>| label.unwrap_or_else(|| name.clone());
            let (ja, en) = (label(ja), label(en));
            self.order.push(name.clone());
            self.fields.insert(
                name.clone(),
                Field { name, kind, ja, en, ocsf: None, m2131: false, shared: false },
            );
        }
        for (dataset, names) in read.sigma {
            self.sigma.entry(dataset).or_default().extend(names);
        }
        Ok(())
    }

    /// The entry for an ECS name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// Every entry, by name.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.values()
    }

    /// Every entry, as the files list them: the fields that all sources share before those of one, so
    /// that of several with one label the first is the one that is meant.
    pub fn fields_as_listed(&self) -> impl Iterator<Item = &Field> {
        self.order.iter().filter_map(|name| self.fields.get(name))
    }

    /// Type of a field; unknown fields are keywords.
    pub fn field_type(&self, name: &str) -> FieldType {
        match name {
            columns::TIMESTAMP | columns::INGESTED => FieldType::Date,
            columns::BATCH | columns::INDEX => FieldType::Long,
            columns::ORIGINAL => FieldType::Binary,
            _ => self.fields.get(name).map_or(FieldType::Keyword, |field| field.kind),
        }
    }

    /// What a person calls the field; its own name where the dictionary has no entry.
    pub fn label<'a>(&'a self, name: &'a str, lang: Lang) -> &'a str {
        match (self.fields.get(name), lang) {
            (Some(field), Lang::Ja) => &field.ja,
            (Some(field), Lang::En) => &field.en,
            (None, _) => name,
        }
    }

    /// The column that holds what Sigma calls `sigma_field` in events of `dataset`.
    ///
    /// Looked up in the table of the dataset, then in prefix tables from the longest to the
    /// shortest, then in `*`; else a field that all sources share stands for itself; else the dataset's
    /// native prefix is put before the name; else the name stands for itself.
    pub fn sigma_column<'a>(&'a self, dataset: &str, sigma_field: &'a str) -> Cow<'a, str> {
        let exact = self.sigma.get(dataset).into_iter();
        // A longer prefix sorts after a shorter one it extends.
        let by_prefix = self.sigma.iter().rev();
        let prefixes = by_prefix
            .filter(|(prefix, _)| prefix.ends_with('.') && dataset.starts_with(prefix.as_str()))
            .map(|(_, table)| table);
        let all = self.sigma.get("*").into_iter();
        for table in exact.chain(prefixes).chain(all) {
            if let Some(column) = table.get(sigma_field) {
                return Cow::Borrowed(column);
            }
        }
        if self.fields.get(sigma_field).is_some_and(|field| field.shared) {
            return Cow::Borrowed(sigma_field);
        }
        match self.native_prefix(dataset) {
            Some(prefix) => Cow::Owned(format!("{prefix}{sigma_field}")),
            None => Cow::Borrowed(sigma_field),
        }
    }

    /// What Sigma calls fields, by dataset (or prefix ending in `.`, or `*`): Sigma's name and ours.
    pub fn sigma_names(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.sigma.iter().map(|(dataset, names)| (dataset.as_str(), names))
    }

    /// What native fields of `dataset` are prefixed with, such as `winlog.event_data.`.
    pub fn native_prefix(&self, dataset: &str) -> Option<&str> {
        let mut prefixes = self.native.iter().rev();
        prefixes
            .find(|(key, _)| dataset.starts_with(key.as_str()))
            .map(|(_, prefix)| prefix.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_place() {
        let unknown =
            FieldDictionary::from_toml("[[field]]\nname='a'\nja='a'\nen='a'\ncolour='red'\n");
        assert!(unknown.unwrap_err().to_string().contains("colour"));
        let twice = "[[field]]\nname='a'\nja='a'\nen='a'\n".repeat(2);
        let twice = FieldDictionary::from_toml(&twice).unwrap_err().to_string();
        assert_eq!(twice, "field dictionary: field \"a\" is listed twice; remove one of them");
        let one = "[[field]]\nname='a'\nja='a'\nen='a'\n[sigma.'*']\nA='a'\n[native]\n'x.'='a.'\n";
        for (again, named) in [
            ("[[field]]\nname='a'\nja='a'\nen='a'\n", "field \"a\""),
            ("[sigma.'*']\nA='b'\n", "\"A\" of [sigma.\"*\"]"),
            ("[native]\n'x.'='b.'\n", "\"x.\" of [native]"),
        ] {
            let error = FieldDictionary::from_files([("one.toml", one), ("two.toml", again)]);
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("two.toml") && error.contains(named), "{error}");
        }
        let two = "[[field]]\nname='z'\nja='a'\nen='a'\n[[field]]\nname='b'\nja='a'\nen='a'\n";
        let both = FieldDictionary::from_files([("two.toml", two), ("one.toml", one)]).unwrap();
        let names: Vec<_> = both.fields_as_listed().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["z", "b", "a"]);
    }

    #[test]
    fn users_add_fields_and_rename_ours() {
        let ours = "[[field]]\nname='a'\ntype='long'\nja='あ'\nen='A'\n";
        let layered = |text: &str| {
            let mut dictionary = FieldDictionary::from_toml(ours).unwrap();
            dictionary.layer("mine.toml", text).map(|()| dictionary)
        };
        let text = "line=1\n[[field]]\nname='a'\nen='Alpha'\n[[field]]\nname='b'\ntype='ip'\n";
        let dictionary = layered(text).unwrap();
        assert_eq!(dictionary.label("a", Lang::Ja), "あ");
        assert_eq!(dictionary.label("a", Lang::En), "Alpha");
        assert_eq!(dictionary.field_type("a"), FieldType::Long);
        assert_eq!(dictionary.field_type("b"), FieldType::Ip);
        assert_eq!(dictionary.label("b", Lang::Ja), "b");
        let long = |bytes: usize| format!("name='{}'", "x".repeat(bytes));
        assert!(layered(&format!("[[field]]\n{}", long(USER_NAME_BYTES_MAX))).is_ok());
        for (wrong, said) in [
            ("name='a'\ntype='ip'", "type cannot be changed"),
            ("name='yagura.x'", "Yagura's own"),
            ("name='x'\ntype='binary'", "keyword, ip"),
            ("name='a\\nb'\ncolour=1", "colour"),
            ("name=''", "1 to 128"),
            (&long(USER_NAME_BYTES_MAX + 1), "1 to 128"),
        ] {
            let error = layered(&format!("[[field]]\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.starts_with("mine.toml") && error.contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_native_name_of_one_source_is_none_of_another() {
        let base = "[[field]]\nname='message'\nja='a'\nen='a'\n[native]\n'windows.'='winlog.'\n";
        let cloud = "[[field]]\nname='LogonType'\nja='a'\nen='a'\n";
        let both =
            FieldDictionary::from_files([("base.toml", base), ("cloud.toml", cloud)]).unwrap();
        assert_eq!(both.sigma_column("windows.security", "LogonType"), "winlog.LogonType");
        assert_eq!(both.sigma_column("windows.security", "message"), "message");
        assert_eq!(both.sigma_column("cloud.m365", "LogonType"), "LogonType");
    }

    #[test]
    fn the_most_specific_sigma_table_wins() {
        let text =
            "[sigma.'*']\nA='one'\n[sigma.'windows.']\nA='two'\n[sigma.'windows.sec']\nA='three'\n";
        let dictionary = FieldDictionary::from_toml(text).unwrap();
        assert_eq!(dictionary.sigma_column("linux.auth", "A"), "one");
        assert_eq!(dictionary.sigma_column("windows.sysmon", "A"), "two");
        assert_eq!(dictionary.sigma_column("windows.sec", "A"), "three");
    }
}
