//! Running other programs, one after the other, saying what and how long.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};

/// What failed, in words.
pub struct Failed(pub String);

/// A program to run, with the name it has in the summary.
pub struct Step {
    pub name: &'static str,
    command: Command,
}

impl Step {
    pub fn new(name: &'static str, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Step { name, command }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Goes on as this program; comes back only with the reason why that cannot be.
    pub fn become_it(mut self) -> Failed {
        println!("\n=== {}", self.name);
        let error = self.command.exec();
        cannot_start(&self, &error)
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }
}

/// `cargo ARGUMENTS` in the workspace.
pub fn cargo(name: &'static str, arguments: &[&str]) -> Step {
    let mut step = Step::new(name, env!("CARGO"));
    step.command.args(arguments);
    step
}

/// `npm ARGUMENTS` in `web/`.
pub fn npm(name: &'static str, arguments: &[&str]) -> Step {
    let mut step = Step::new(name, "npm");
    step.command.args(arguments).current_dir(root().join("web"));
    step
}

/// Runs a step to its end and returns the seconds it took.
pub fn run(mut step: Step) -> Result<f64, Failed> {
    println!("\n=== {}", step.name);
    let began = Instant::now();
    let status = step.command.status().map_err(|error| cannot_start(&step, &error))?;
    if !status.success() {
        return Err(Failed(format!("{} ({status})", step.name)));
    }
    Ok(began.elapsed().as_secs_f64())
}

fn cannot_start(step: &Step, error: &std::io::Error) -> Failed {
    let program = step.command.get_program().to_string_lossy();
    Failed(format!("{}: cannot start {program}: {error}. Is it installed?", step.name))
}

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Whether `web/dist` is newer than everything it is made from.
pub fn web_is_built() -> bool {
    let web = root().join("web");
    let Some(built) = modified(&web.join("dist").join("index.html")) else { return false };
    let sources = ["index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];
    let newest_file = sources.iter().filter_map(|name| modified(&web.join(name))).max();
    let newest = newest_file.into_iter().chain(newest_below(&web.join("src"))).max();
    newest.is_some_and(|source| source <= built)
}

fn newest_below(dir: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(dir).ok()?;
    let times = entries.flatten().filter_map(|entry| match entry.path() {
        path if path.is_dir() => newest_below(&path),
        path => modified(&path),
    });
    times.max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|data| data.modified()).ok()
}
