//! Values that hold several codes at once, taken apart so that each can be said in a word.

/// The flags of `value` (hexadecimal with `0x`, or decimal), each as it is in word lists:
/// hexadecimal in small letters. The whole value comes first, for lists that name combinations;
/// callers take it where they know it. `None` where `value` is no number.
pub(crate) fn flags(value: &str) -> Option<(String, impl Iterator<Item = String> + use<>)> {
    let value = value.trim();
    let number = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => value.parse().ok()?,
    };
    let bits = (0..u64::BITS).map(|bit| 1u64 << bit).filter(move |flag| number & flag != 0);
    Some((format!("{number:#x}"), bits.map(|flag| format!("{flag:#x}"))))
}

/// The codes of a list that Windows renders with white space or commas between them.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| c.is_whitespace() || c == ',').filter(|code| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_apart_into_flags() {
        let read = |value| flags(value).map(|(whole, bits)| (whole, bits.collect::<Vec<_>>()));
        let wanted = ("0x1410".to_owned(), vec!["0x10".into(), "0x400".into(), "0x1000".into()]);
        assert_eq!(read("0x1410"), Some(wanted.clone()));
        assert_eq!(read(" 5136 "), Some(wanted));
        assert_eq!(read("0x0"), Some(("0x0".to_owned(), vec![])));
        assert_eq!(read("0xffffffffffffffff").unwrap().1.len(), 64);
        for none in ["", "0x", "%%4416", "0x1ffffffffffffffff", "-1"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn lists_come_apart_at_blanks_and_commas() {
        let codes: Vec<_> = list("%%4416\r\n\t\t\t\t%%4417,\t%%1538 ").collect();
        assert_eq!(codes, ["%%4416", "%%4417", "%%1538"]);
        assert_eq!(list(" \t").count(), 0);
    }
}
