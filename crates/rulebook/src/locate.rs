//! Where in a YAML text something stands, for people: by indentation, which is how rules are
//! written. Where that leads nowhere the nearest line that is certain is named.

/// One document of a file, and the number of its first line, from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) text: &'a str,
    pub(crate) first_line: usize,
}

/// The documents of a file. A line of `---` begins one.
pub(crate) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut from, mut first_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marks = line.trim_end() == "---" || line.starts_with("--- ");
        if marks && !text[from..at].trim().is_empty() {
            documents.push(Document { text: &text[from..at], first_line });
            (from, first_line) = (at, number);
        }
        at += line.len();
    }
    if !text[from..].trim().is_empty() {
        documents.push(Document { text: &text[from..], first_line });
    }
    documents
}

/// The line, from 0, of the key that `path` leads to: `["detection", "selection", "Image"]`. Of a
/// path that ends nowhere, the line of the last key that is there.
pub(crate) fn line_of(text: &str, path: &[&str]) -> usize {
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| is_content(line)).collect();
    let mut found = lines.first().map_or(0, |(number, _)| *number);
    let mut within = 0..lines.len();
    let mut indent = 0;
    for (depth, key) in path.iter().enumerate() {
        let at = within.clone().find(|at| {
            let line = lines[*at].1;
            let deep = indent_of(line);
            (if depth == 0 { deep == 0 } else { deep >= indent }) && names(line, key)
        });
        let Some(at) = at else { break };
        found = lines[at].0;
        indent = indent_of(lines[at].1) + 1;
        // The block of a key ends where something stands as far left as the key.
        let end = (at + 1..within.end).find(|next| {
            let line = lines[*next].1;
            let deep = indent_of(line);
            deep < indent && !(deep + 1 == indent && line.trim_start().starts_with("- "))
        });
        within = at + 1..end.unwrap_or(within.end);
    }
    found
}

fn is_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && line != "---"
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '-']).len()
}

/// Whether a line begins with `key`, its modifiers, and a colon; or is the list item `key`.
fn names(line: &str, key: &str) -> bool {
    let line = line.trim_start_matches([' ', '-']);
    let bare = line.trim_start_matches(['\'', '"']);
    match bare.strip_prefix(key) {
        Some(rest) => rest.trim().is_empty() || rest.starts_with([':', '|', '\'', '"', ' ']),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
title: t
tags:
    - attack.t1059
    - attack.x
detection:
    selection:
        - Image|endswith: a
          CommandLine: b
    # Image: no
    filter:
        Image: c
    condition: selection and not filter
level: low
";

    #[test]
    fn keys_are_found_where_they_stand() {
        let line = |path: &[&str]| line_of(TEXT, path) + 1;
        assert_eq!(line(&["title"]), 2);
        assert_eq!(line(&["detection", "selection", "CommandLine"]), 9);
        assert_eq!(line(&["detection", "filter", "Image"]), 12);
        assert_eq!(line(&["detection", "filter", "Nothing"]), 11);
        assert_eq!(line(&["detection", "condition"]), 13);
        assert_eq!(line(&["tags", "attack.x"]), 5);
        assert_eq!(line(&["level"]), 14);
        assert_eq!(line(&["nothing"]), 2);
    }

    #[test]
    fn documents_know_their_first_line() {
        let text = "---\na: 1\n---\nb: |\n  --- no\n--- # yes\nc: 1\n";
        let lines: Vec<_> = documents(text).iter().map(|d| (d.first_line, d.text)).collect();
        assert_eq!(
            lines,
            [(0, "---\na: 1\n"), (2, "---\nb: |\n  --- no\n"), (5, "--- # yes\nc: 1\n")]
        );
        assert!(documents("").is_empty() && documents("---\n\n").len() == 1);
    }
}
