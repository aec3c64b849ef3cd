/// Why an index cannot be used. The file it is of is read whole then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It does not begin or end as an index of this version does.
    #[error("not a text index of a version this Yagura reads")]
    Format,
    /// It is of another file, or of a file that was changed.
    #[error("the text index is of another file")]
    OtherFile,
    /// Bytes are not what was written.
    #[error("damaged at byte {at}: {what}")]
    Damaged {
        /// Where in the index, in bytes.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Read(String),
}
