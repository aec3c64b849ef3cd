//! What `cargo xtask test` needs besides the toolchain, asked for before an hour of building.

use crate::steps::Failed;
use std::path::Path;
use std::process::{Command, Stdio};

/// Names everything that is missing, each with how to get it.
pub fn check() -> Result<(), Failed> {
    let browser = std::env::var("YAGURA_CHROMIUM").unwrap_or("/usr/bin/chromium".to_owned());
    let missing = missing(runs, Path::new(&browser));
    if missing.is_empty() { Ok(()) } else { Err(Failed(missing.join("\n        "))) }
}

/// What is missing, where `runs` says whether a command line can be run.
fn missing(runs: impl Fn(&[&str]) -> bool, browser: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if !runs(&["cargo", "nextest", "--version"]) {
        missing.push(
            "cargo-nextest is missing: cargo install cargo-nextest --locked (on Debian: .ci/run)"
                .to_owned(),
        );
    }
    if !runs(&["npm", "--version"]) {
        missing
            .push("npm is missing: install Node.js 20.19 or later, https://nodejs.org".to_owned());
    }
    if !matches!(browser.try_exists(), Ok(true)) {
        missing.push(format!(
            "no browser at {}: sudo apt install chromium, or name one in YAGURA_CHROMIUM",
            browser.display()
        ));
    }
    missing
}

fn runs(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_named_with_its_remedy() {
        assert!(missing(|_| true, Path::new("/")).is_empty());
        let all = missing(|_| false, Path::new("/nonexistent/chromium")).join("\n");
        for remedy in ["cargo install cargo-nextest", "https://nodejs.org", "apt install chromium"]
        {
            assert!(all.contains(remedy), "{all}");
        }
        assert!(runs(&["cargo", "--version"]) && !runs(&["no-such-program-anywhere"]));
    }
}
