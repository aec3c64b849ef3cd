//! Named limits of hunting. Every one has a test at the limit and one past it.

/// Largest file of indicators that is read, in bytes. Reading one takes at most about four times
/// its size of memory for a moment.
pub const FILE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Most indicators in use at once.
pub const INDICATORS_MAX: usize = 1_000_000;

/// Most bytes of memory all indicators in use may take, their tables included. A million ordinary
/// ones (hashes, addresses, domains) take about a third of it.
pub const INDICATOR_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Longest value of an indicator, in bytes.
pub const VALUE_BYTES_MAX: usize = 2_048;

/// Longest note or name of an indicator, in bytes; a longer one is cut.
pub const NOTE_BYTES_MAX: usize = 128;

/// Longest identifier of an indicator, in bytes; a longer one is refused.
pub const ID_BYTES_MAX: usize = 128;

/// Longest name of a source, in bytes; a longer one is cut.
pub const SOURCE_BYTES_MAX: usize = 128;

/// Most indicators that are wildcards or regular expressions: unlike others, each costs time.
pub const PATTERNS_MAX: usize = 1_000;

/// Longest wildcard or regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;

/// Most memory all regular expressions of one kind may take when compiled, in bytes.
pub const REGEX_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most memory one regular expression may take when compiled, in bytes.
pub const ONE_REGEX_BYTES_MAX: usize = 256 * 1024;

/// Longest STIX pattern that is read, in bytes.
pub const STIX_PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Most alternatives (`OR`, members of `IN`) one STIX pattern may have.
pub const STIX_ALTERNATIVES_MAX: usize = 1_000;

/// Indicators not taken, and warnings, that are spelt out one by one; the rest are counted.
pub const REFUSED_LISTED_MAX: usize = 100;

/// Longest value of an event that a match quotes, in bytes; a longer one is cut.
pub const QUOTED_BYTES_MAX: usize = 512;

/// Most bytes of one page that a TAXII server may send.
pub const TAXII_PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most pages one pull reads; the next pull goes on from there.
pub const TAXII_PAGES_MAX: usize = 1_000;

/// Objects asked for in one page.
pub const TAXII_PAGE_OBJECTS: usize = 1_000;

/// Seconds a TAXII server has to answer one request.
pub const TAXII_TIMEOUT_SECONDS: u64 = 60;

/// Most collections of a TAXII server that are looked through.
pub const TAXII_COLLECTIONS_MAX: usize = 1_000;

/// `text` cut to at most `bytes_max` bytes, at a character boundary, with `…` where it was cut.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(bytes_max.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..kept).unwrap_or_default())
}

/// Most definitions of markings that are kept of one list, and most of those still looked for; an
/// indicator with a further one has no TLP of its own.
pub const MARKINGS_MAX: usize = 10_000;

/// Most markings of one indicator that are looked for later.
pub const MARKINGS_PER_INDICATOR_MAX: usize = 16;

/// Most markings that a TAXII server is asked for by their ids at the end of a pull.
pub const TAXII_MARKINGS_MAX: usize = 100;

/// Seconds that a server has for all of them together; the indicators of those that did not come have
/// no TLP of their own.
pub const TAXII_MARKINGS_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(cut("日本語", 9), "日本語");
        assert_eq!(cut("日本語x", 9), "日本…");
        assert_eq!(cut("abc", 1), "…");
    }
}
