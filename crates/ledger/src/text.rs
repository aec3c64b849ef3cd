//! Reading texts that have one spelling: lines in a fixed order, numbers without ornament.

/// Takes `key value` lines from the front of a text, in the order they are asked for.
pub(crate) struct Lines<'a> {
    rest: &'a str,
}

/// What a text should have held at the place where it did not.
pub(crate) type Expected = &'static str;

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Lines { rest: text }
    }

    /// The next line, without its LF; every line must have one.
    pub(crate) fn line(&mut self) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    /// The next line must be exactly `line`.
    pub(crate) fn exactly(&mut self, line: Expected) -> Result<(), Expected> {
        if self.line() == Some(line) { Ok(()) } else { Err(line) }
    }

    /// The value of the next line, which must start with `key` and a space.
    pub(crate) fn value(&mut self, key: Expected) -> Result<&'a str, Expected> {
        let line = self.line().ok_or(key)?;
        line.strip_prefix(key).and_then(|value| value.strip_prefix(' ')).ok_or(key)
    }

    /// The value of the next line as a number.
    pub(crate) fn number(&mut self, key: Expected) -> Result<u64, Expected> {
        decimal(self.value(key)?).ok_or(key)
    }

    /// What no line has taken yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Takes exactly `length` bytes, whatever they hold.
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// A number of decimal digits without sign or leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Splits bytes into the text before the first empty line (with its last LF) and what follows it.
pub(crate) fn split_at_empty_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    Some((&bytes[..=end], &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "18446744073709551616", "１"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
