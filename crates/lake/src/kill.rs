//! Named moments at which a test kills the process, so that what a `kill -9` leaves behind is known for
//! each of them. A build without debug assertions, as every release is, has none of this.

use std::fmt::Debug;

/// Passes a moment: `area` and the name of `step`, such as `compact.Renamed`.
///
/// With debug assertions, the environment variable `YAGURA_KILL_AT` names the moment at which the process
/// kills itself (SIGKILL), and `YAGURA_KILL_POINTS` a file to which every moment that is passed is
/// added, one a line. Without them this does nothing and looks at nothing.
#[inline(always)]
pub fn kill_point(area: &str, step: &dyn Debug) {
    #[cfg(debug_assertions)]
    armed::pass(area, step);
    #[cfg(not(debug_assertions))]
    let _ = (area, step);
}

#[cfg(debug_assertions)]
mod armed {
    use std::ffi::OsString;
    use std::fmt::Debug;
    use std::io::Write;
    use std::process::Command;
    use std::sync::OnceLock;

    struct Orders {
        kill_at: Option<OsString>,
        points: Option<OsString>,
    }

    static ORDERS: OnceLock<Orders> = OnceLock::new();

    pub(super) fn pass(area: &str, step: &dyn Debug) {
        let orders = ORDERS.get_or_init(|| Orders {
            kill_at: std::env::var_os("YAGURA_KILL_AT"),
            points: std::env::var_os("YAGURA_KILL_POINTS"),
        });
        if orders.kill_at.is_none() && orders.points.is_none() {
            return;
        }
        let name = super::name(area, step);
        if let Some(path) = &orders.points {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let written = file.and_then(|mut file| writeln!(file, "{name}"));
            // A list that lacks a moment fails the test that asked for it.
            drop(written);
        }
        if orders.kill_at.as_ref().is_some_and(|at| *at == *name) {
            let itself = std::process::id().to_string();
            let _ = Command::new("kill").args(["-KILL", &itself]).status();
            // Where there is no such command: as sudden, by another signal.
            std::process::abort();
        }
    }
}

/// What comes with a step, such as how many rows were read, is no part of the name.
#[cfg(any(debug_assertions, test))]
fn name(area: &str, step: &dyn Debug) -> String {
    let step = format!("{step:?}");
    let end = step.find(['(', ' ']).unwrap_or(step.len());
    format!("{area}.{}", step.get(..end).unwrap_or_default().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CompactStep, TierStep};

    #[test]
    fn a_moment_is_named_without_what_comes_with_it() {
        assert_eq!(name("compact", &CompactStep::Read(7)), "compact.Read");
        assert_eq!(name("tier", &TierStep::Renamed), "tier.Renamed");
        assert_eq!(name("flush", &"Recorded"), "flush.Recorded");
    }

    /// Nothing of it may be in what people run.
    #[test]
    fn no_profile_of_ours_has_debug_assertions_where_they_are_not_by_default() {
        let manifest = include_str!("../../../Cargo.toml");
        assert!(manifest.contains("[profile.release]"));
        assert!(!manifest.contains("debug-assertions"));
    }
}
