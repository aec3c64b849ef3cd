//! Plays a stage for Yagura: the demo's hour in a hospital, sent through the real ports of the
//! real binary. It knows nothing of Yagura's insides; what it sees, any user sees.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod dice;
mod hospital;
mod intrusion;
mod lake;
mod load;
mod ordinary;
mod play;
mod server;
mod timeline;
mod usage;
mod windows;

use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Plays scenes and load against a real Yagura")]
enum Command {
    /// Starts Yagura on a fresh directory and plays an intrusion among ordinary traffic.
    Demo {
        /// The yagura binary.
        #[arg(long)]
        yagura: PathBuf,
        /// Language of what is printed: ja or en.
        #[arg(long, default_value = "en")]
        lang: String,
        /// Seconds in which the hour is played.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// End after the summary instead of waiting for Ctrl-C.
        #[arg(long)]
        exit: bool,
    },
    /// Measures a whole server on real logs (needs YAGURA_CORPORA).
    Bench {
        /// The yagura binary.
        #[arg(long)]
        yagura: PathBuf,
        /// start, otrf, syslog, latency [default: all]
        names: Vec<String>,
        /// Seconds of load for each.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Measures what the lake stores and how it answers (needs YAGURA_CORPORA).
    Lake(lake::Lake),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Demo { yagura, lang, seconds, exit } => {
            demo::run(&yagura, &lang, seconds, exit).await
        }
        Command::Bench { yagura, names, seconds } => bench::run(&yagura, &names, seconds).await,
        Command::Lake(asked) => lake::run(&asked).await,
    }
}
