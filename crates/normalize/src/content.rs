//! The content built into the program.

/// `content/fields.toml`.
pub(crate) const FIELDS: &str = include_str!("../../../content/fields.toml");

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../content/", $name)))),*]
    };
}

/// Mapping files in the order in which their rules apply.
pub(crate) const MAPPINGS: &[(&str, &str)] = files![
    "mappings/datasets.toml",
    "mappings/windows.toml",
    "mappings/windows-security.toml",
    "mappings/windows-sysmon.toml",
    "mappings/windows-others.toml",
    "mappings/linux.toml",
    "mappings/network.toml",
];

/// Sentence files; earlier sentences win among equally specific ones.
pub(crate) const SENTENCES: &[(&str, &str)] = files![
    "sentences/words.toml",
    "sentences/windows-security.toml",
    "sentences/windows-sysmon.toml",
    "sentences/windows-others.toml",
    "sentences/linux.toml",
    "sentences/network.toml",
    "sentences/general.toml",
];
