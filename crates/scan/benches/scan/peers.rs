//! Other programs that look for Sigma rules in event logs, on the same files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A program and how it is called: `{logs}` is a folder of event logs, `{rules}` that of SigmaHQ,
/// `{out}` a file for what it finds.
struct Peer {
    name: &'static str,
    /// Names of its program.
    programs: &'static [&'static str],
    /// Its arguments, unless this variable says others (separated by blanks).
    variable: &'static str,
    arguments: &'static str,
}

/// Hayabusa and Zircolite bring rules of their own, made from SigmaHQ's; they look for them, and
/// Chainsaw for its mappings, from where they are called.
const PEERS: [Peer; 3] = [
    Peer {
        name: "hayabusa",
        programs: &["hayabusa"],
        variable: "YAGURA_BENCH_HAYABUSA",
        arguments: "csv-timeline --no-wizard --quiet --directory {logs} --output {out}",
    },
    Peer {
        name: "chainsaw",
        programs: &["chainsaw"],
        variable: "YAGURA_BENCH_CHAINSAW",
        arguments: "hunt {logs} --sigma {rules} --mapping mappings/sigma-event-logs-all.yml --json \
                    --output {out}",
    },
    Peer {
        name: "zircolite",
        programs: &["zircolite", "zircolite.py"],
        variable: "YAGURA_BENCH_ZIRCOLITE",
        arguments: "--evtx {logs} --outfile {out}",
    },
];

/// Runs each peer that is there on `files`, and prints its CPU seconds and peak memory.
pub fn compare(files: &[PathBuf], rules: &Path) {
    println!("peers, CPU seconds, peak MiB; one run each");
    for peer in &PEERS {
        match peer.program() {
            None => println!("{}: not on this machine", peer.name),
            Some(program) => match peer.run(&program, files, rules) {
                Ok(line) => println!("{line}"),
                Err(error) => println!("{}: {error}", peer.name),
            },
        }
    }
}

impl Peer {
    fn program(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let mut all = folders
            .iter()
            .flat_map(|folder| self.programs.iter().map(move |program| folder.join(program)));
        all.find(|program| program.is_file())
    }

    fn run(&self, program: &Path, files: &[PathBuf], rules: &Path) -> std::io::Result<String> {
        let dir = tempfile::tempdir()?;
        let logs = dir.path().join("logs");
        std::fs::create_dir(&logs)?;
        for (number, file) in files.iter().enumerate() {
            std::fs::copy(file, logs.join(format!("{number:04}.evtx")))?;
        }
        let out = dir.path().join("out");
        let arguments = std::env::var(self.variable);
        let arguments = arguments.unwrap_or_else(|_| self.arguments.to_owned());
        let of = |argument: &str| {
            let with = [("{logs}", &*logs), ("{rules}", rules), ("{out}", &*out)];
            with.iter().fold(argument.to_owned(), |argument, (mark, path)| {
                argument.replace(mark, &path.display().to_string())
            })
        };
        let before = children_cpu_seconds();
        let mut child = Command::new(program)
            .args(arguments.split_whitespace().map(of))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut peak = 0.0_f64;
        let status = loop {
            peak = peak.max(peak_mebibytes(child.id()));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let seconds = children_cpu_seconds() - before;
        let found = std::fs::metadata(&out).map(|out| out.len()).unwrap_or_default();
        let name = self.name;
        Ok(format!("{name} {seconds:.3} {peak:.1} {status}, {found} bytes of findings"))
    }
}

/// CPU seconds of all children that have ended: fields 16 and 17 of `proc_pid_stat(5)`.
fn children_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |number: usize| {
        let field = after_name.split_whitespace().nth(number - 3);
        field.and_then(|field| field.parse::<f64>().ok()).unwrap_or_default()
    };
    (ticks(16) + ticks(17)) / 100.0
}

fn peak_mebibytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}
