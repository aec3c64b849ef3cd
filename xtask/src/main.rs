//! The project's chores: `cargo xtask test`, `demo`, `build`, `bench`. Standard library only, so
//! that it is ready in a second on a fresh machine.

#![forbid(unsafe_code)]

mod steps;
mod tools;

use std::process::ExitCode;
use steps::{Failed, Step, cargo, npm, run, web_is_built};

const HELP: &str = "\
Yagura's chores.

cargo xtask test              everything CI checks: formatting, lints, Rust tests, web tests
cargo xtask demo [--lang ja]  builds Yagura and plays an intrusion through its real ports
                              (--seconds N, --exit: end after the summary)
cargo xtask build             the page and the optimised binary, in target/release/yagura
cargo xtask bench [NAME...]   benchmarks on real data; see BENCHMARKS.md
cargo xtask bench detect      the engine and correlations alone, scans beside the bare parser
cargo xtask bench normalize   decoders and mappings alone
cargo xtask bench lake        what is stored of what was received, and how soon questions are
                              answered (--help: more and less of it, other stores beside it)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let done = match task {
        "test" => test(),
        "demo" => demo(rest),
        "build" => build(),
        "bench" => bench(rest),
        "help" | "-h" | "--help" => {
            println!("{HELP}");
            Ok(())
        }
        other => {
            eprintln!("no such chore: {other}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(what)) => {
            eprintln!("\nfailed: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Every check, in the order in which a mistake is found soonest.
fn test() -> Result<(), Failed> {
    tools::check()?;
    let debug = steps::target_dir().join("debug");
    let binary = debug.join("yagura");
    // It checks by itself that every act of the intrusion raised its alert.
    let demo = Step::new("demo", debug.join("yagura-stage")).args(["demo", "--exit"]);
    let demo = demo.args(["--seconds", "5", "--yagura"]).arg(&binary);
    let checks: Vec<Step> = vec![
        cargo("format", &["fmt", "--all", "--check"]),
        npm("web packages", &["ci", "--no-audit", "--no-fund"]),
        npm("web types and lint", &["run", "check"]),
        npm("web unit tests", &["run", "test"]),
        npm("web build", &["run", "build"]),
        linted("rust build and lints", &["build", "--workspace", "--all-targets"]),
        linted("rust tests", &["nextest", "run", "--workspace", "--no-fail-fast"]),
        linted("documentation tests", &["test", "--workspace", "--doc"]),
        demo,
        npm("browser tests", &["run", "e2e"]).env("YAGURA_BIN", &binary),
    ];
    let mut summary = Vec::new();
    for check in checks {
        let name = check.name;
        let seconds = run(check)?;
        summary.push(format!("{seconds:>7.1} s  {name}"));
    }
    println!("\nall checks passed\n{}", summary.join("\n"));
    Ok(())
}

/// Cargo with clippy in the place of the compiler for our own crates: what is linted is what the tests
/// run, and dependencies, most of the build, are compiled once instead of once more for the lints.
fn linted(name: &'static str, arguments: &[&str]) -> Step {
    // As `cargo clippy -- -D warnings` hands it on.
    let deny = "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__";
    let step = cargo(name, arguments).env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    step.env("CLIPPY_ARGS", deny)
}

fn demo(arguments: &[String]) -> Result<(), Failed> {
    ensure_web()?;
    run(cargo("build", &["build", "--package", "yagura", "--package", "yagura-stage"]))?;
    let debug = steps::target_dir().join("debug");
    let play = Step::new("demo", debug.join("yagura-stage")).arg("demo").arg("--yagura");
    // In our place: Ctrl-C is then between the terminal and the demo, and the prompt returns when it
    // has ended.
    Err(play.arg(debug.join("yagura")).args(arguments).become_it())
}

fn build() -> Result<(), Failed> {
    ensure_web()?;
    run(cargo("build", &["build", "--release", "--package", "yagura"]))?;
    println!("\nbuilt {}", steps::target_dir().join("release").join("yagura").display());
    Ok(())
}

fn bench(arguments: &[String]) -> Result<(), Failed> {
    if arguments.first().is_some_and(|name| name == "detect") {
        return bench_detect();
    }
    if arguments.first().is_some_and(|name| name == "normalize") {
        for name in ["normalize", "growth"] {
            run(cargo(name, &["bench", "--package", "yagura-normalize", "--bench", name]))?;
        }
        return Ok(());
    }
    ensure_web()?;
    let (chore, rest) = match arguments.split_first() {
        Some((name, rest)) if name == "lake" => ("lake", rest),
        _ => ("bench", arguments),
    };
    run(cargo(
        "build",
        &["build", "--release", "--package", "yagura", "--package", "yagura-stage"],
    ))?;
    let release = steps::target_dir().join("release");
    let load = Step::new("bench", release.join("yagura-stage")).arg(chore).arg("--yagura");
    run(load.arg(release.join("yagura")).args(rest)).map(|_| ())
}

/// The engine alone, correlations alone, and scans of event logs beside the bare parser.
fn bench_detect() -> Result<(), Failed> {
    let benches =
        [("yagura-detect", "engine"), ("yagura-detect", "correlation"), ("yagura-scan", "scan")];
    for (package, name) in benches {
        run(cargo(name, &["bench", "--package", package, "--bench", name]))?;
    }
    Ok(())
}

fn ensure_web() -> Result<(), Failed> {
    if web_is_built() {
        return Ok(());
    }
    run(npm("web packages", &["ci", "--no-audit", "--no-fund"]))?;
    run(npm("web build", &["run", "build"]))?;
    Ok(())
}
