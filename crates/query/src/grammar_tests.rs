//! Everything the parser knows stands in the grammar that is written down, in both languages.

use crate::{compute, pipes};
use std::path::Path;

#[test]
fn every_command_aggregate_and_function_is_written_down() {
    for file in ["search-grammar.md", "search-grammar.ja.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let examples: Vec<&str> =
            text.split("```search\n").skip(1).filter_map(|part| part.split("```").next()).collect();
        let examples = examples.concat();
        for name in pipes::COMMANDS {
            assert!(text.contains(&format!("### {name}")) || text.contains(&format!(", {name}\n")));
            assert!(text.contains(&format!("\"{name}\"")), "{file}: no rule has {name}");
            assert!(examples.contains(&format!("| {name}")), "{file}: no example of {name}");
        }
        let (aggregates, functions) = text.split_once("### eval").unwrap();
        for (name, _) in pipes::FUNCTIONS {
            assert!(aggregates.contains(&format!("`{name}(")), "{file}: no aggregate {name}");
        }
        for (name, ..) in compute::FUNCTIONS {
            assert!(functions.contains(&format!("`{name}(")), "{file}: no function {name}");
        }
    }
}
