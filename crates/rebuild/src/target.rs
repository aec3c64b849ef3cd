use yagura_event::columns as envelope;

/// A column whose texts are rebuilt, and the two columns that are stored for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The column with the texts. Where a row rebuilds, it is null in the stored file.
    pub column: &'static str,
    /// Column of the templates.
    pub template: &'static str,
    /// Column of what the template and the row's columns do not say.
    pub values: &'static str,
    /// Further columns that these texts are never rebuilt from, because they are themselves
    /// rebuilt from these.
    excluded: &'static [&'static str],
}

/// The received bytes.
pub const ORIGINAL: Target = Target {
    column: envelope::ORIGINAL,
    template: "yagura.raw.template",
    values: "yagura.raw.values",
    excluded: &[],
};

/// The message: what the source wrote as a sentence, often made of the event's own fields. The
/// received bytes refer to it, so it is rebuilt before them.
pub const MESSAGE: Target = Target {
    column: "message",
    template: "yagura.message.template",
    values: "yagura.message.values",
    excluded: &[envelope::ORIGINAL],
};

impl Target {
    pub(crate) fn excludes(&self, name: &str) -> bool {
        name == self.column || self.excluded.contains(&name)
    }
}
