//! The content built into the program.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../content/", $name)))),*]
    };
}

/// Files of the field dictionary.
pub(crate) const FIELDS: &[(&str, &str)] = files![
    "fields/base.toml",
    "fields/windows.toml",
    "fields/unix.toml",
    "fields/devices.toml",
    "fields/cloud.toml",
    "fields/web.toml",
    "fields/generic.toml",
    "fields/acts.toml",
    "fields/sources.toml",
];

/// Mapping files in the order in which their rules apply.
pub(crate) const MAPPINGS: &[(&str, &str)] = files![
    "mappings/datasets.toml",
    "mappings/windows.toml",
    "mappings/windows-security.toml",
    "mappings/linux-sysmon.toml",
    "mappings/windows-sysmon.toml",
    "mappings/windows-others.toml",
    "mappings/windows-security-more.toml",
    "mappings/windows-system-more.toml",
    "mappings/windows-more.toml",
    "mappings/windows-text.toml",
    "mappings/linux.toml",
    "mappings/unix.toml",
    "mappings/unix-audit.toml",
    "mappings/unix-mail.toml",
    "mappings/unix-network.toml",
    "mappings/unix-servers.toml",
    "mappings/unix-databases.toml",
    "mappings/unix-apps.toml",
    "mappings/network.toml",
    "mappings/devices.toml",
    "mappings/cloud.toml",
    "mappings/web-more.toml",
    "mappings/generic.toml",
    "mappings/acts.toml",
];

/// Sentence files; earlier sentences win among equally specific ones.
pub(crate) const SENTENCES: &[(&str, &str)] = files![
    "sentences/words.toml",
    "sentences/windows-security.toml",
    "sentences/linux-sysmon.toml",
    "sentences/windows-sysmon.toml",
    "sentences/windows-others.toml",
    "sentences/windows-words.toml",
    "sentences/windows-security-more.toml",
    "sentences/windows-system-more.toml",
    "sentences/windows-more.toml",
    "sentences/windows-text.toml",
    "sentences/linux.toml",
    "sentences/unix.toml",
    "sentences/unix-audit.toml",
    "sentences/unix-mail.toml",
    "sentences/unix-network.toml",
    "sentences/unix-servers.toml",
    "sentences/unix-words.toml",
    "sentences/network.toml",
    "sentences/devices.toml",
    "sentences/cloud.toml",
    "sentences/cloud-microsoft-google.toml",
    "sentences/cloud-more.toml",
    "sentences/cloud-words.toml",
    "sentences/web-more.toml",
    "sentences/generic.toml",
    "sentences/acts.toml",
    "sentences/general.toml",
];
