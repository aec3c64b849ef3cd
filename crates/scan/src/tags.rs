//! What a rule's tags say of MITRE ATT&CK.

/// Techniques and sub-techniques, such as `T1059.001`.
pub(crate) fn techniques(tags: &[String]) -> Vec<String> {
    let words = tags.iter().filter_map(|tag| tag.strip_prefix("attack."));
    words.filter(|word| is_technique(word)).map(str::to_ascii_uppercase).collect()
}

/// Tactics, such as `lateral-movement`.
pub(crate) fn tactics(tags: &[String]) -> Vec<String> {
    let words = tags.iter().filter_map(|tag| tag.strip_prefix("attack."));
    // Groups are `g0001`, software is `s0001`, and mitigations and the like follow the same form.
    let is_id = |word: &str| {
        let mut characters = word.chars();
        characters.next().is_some_and(char::is_alphabetic)
            && characters.all(|c| c.is_ascii_digit() || c == '.')
    };
    words.filter(|word| !is_id(word)).map(|word| word.replace('_', "-")).collect()
}

fn is_technique(word: &str) -> bool {
    let Some(number) = word.strip_prefix(['t', 'T']) else { return false };
    let (technique, sub) = number.split_once('.').unwrap_or((number, "001"));
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    digits(technique, 4) && digits(sub, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_techniques_and_tactics() {
        let tags = [
            "attack.t1059.001",
            "attack.T1003",
            "attack.lateral_movement",
            "attack.g0016",
            "attack.s0002",
            "attack.t10591",
            "cve.2021-44228",
            "tlp.red",
        ]
        .map(str::to_owned);
        assert_eq!(techniques(&tags), ["T1059.001", "T1003"]);
        assert_eq!(tactics(&tags), ["lateral-movement"]);
    }
}
