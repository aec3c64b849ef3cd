//! "Did you mean": the known name closest to what was typed.

/// The closest of `names`, if it is close enough to be meant: whatever the case, and the last part of
/// a name alone, as in `CommandLine` for `winlog.event_data.CommandLine`.
pub fn closest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(NAME_CHARS).map(|c| c.to_ascii_lowercase()).collect();
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        let chars: Vec<char> =
            name.chars().take(NAME_CHARS).map(|c| c.to_ascii_lowercase()).collect();
        // The last part alone is often what people remember: `CommandLine` for
        // `winlog.event_data.CommandLine`.
        let last = chars.iter().rposition(|c| *c == '.').map_or(0, |dot| dot + 1);
        let whole = distance(&typed, &chars);
        let part = distance(&typed, &chars[last..]) + usize::from(last > 0);
        let score = whole.min(part);
        if best.is_none_or(|(other, _)| score < other) {
            best = Some((score, name));
        }
    }
    best.filter(|(score, _)| *score <= (typed.len() / 3).max(1)).map(|(_, name)| name)
}

const NAME_CHARS: usize = 64;

/// Edits between two names: insert, delete, replace, or swap two neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (row[j] + usize::from(x != y)).min(row[j + 1] + 1).min(next[j] + 1);
            let swapped = i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x;
            if swapped {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["user.name", "source.ip", "winlog.event_data.CommandLine"];
        assert_eq!(closest("user.nmae", names), Some("user.name"));
        assert_eq!(closest("commandline", names), Some("winlog.event_data.CommandLine"));
        assert_eq!(closest("haed", ["tail", "head"]), Some("head"));
        assert_eq!(closest("src_ip", names), None);
    }
}
