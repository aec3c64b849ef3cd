use super::follow;
use super::indicators::print_taken;
use crate::Place;
use crate::backend::Backend;
use crate::hunting::Ask;
use crate::output::{Format, RowWriter, visible};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;
use yagura_event::Lang;
use yagura_node::hunt::FeedRequest;

/// `yagura hunt feed`
#[derive(Args)]
#[command(after_help = "\
A feed is a collection of a TAXII 2.1 server. A running server asks it every hour (--every), and takes
what was added since last time into use; new indicators are hunted backwards.

Examples:
  yagura hunt feed add https://taxii.example/api/ --collection indicators --name isac
  yagura hunt feed add https://taxii.example/taxii2/ --user me --password-file /etc/yagura/taxii
  yagura hunt feed list
  yagura hunt feed pull isac")]
pub struct Feeds {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set a feed up, after asking the server for its collection
    Add(Add),
    /// List the feeds
    List(List),
    /// Ask a feed now
    Pull(Pull),
    /// Ask a feed no longer; its indicators stay
    Remove(Remove),
}

#[derive(Args)]
struct Add {
    /// The API root, or the discovery page
    url: String,
    /// Id or title of the collection [default: the only one that can be read]
    #[arg(long)]
    collection: Option<String>,
    /// Name of the feed [default: the collection's title]
    #[arg(long)]
    name: Option<String>,
    /// Name to give the server
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with the password; read at each pull, never stored
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with = "feed_token_file")]
    password_file: Option<String>,
    /// File with a token for the feed's server; read at each pull, never stored
    #[arg(long, value_name = "FILE")]
    feed_token_file: Option<String>,
    /// File with a certificate authority (PEM) to trust besides the usual ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// Seconds between two pulls (60 or more)
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    every: u64,
    /// Make alerts of what its indicators are found in, hunted backwards
    #[arg(long)]
    raise: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct List {
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Pull {
    /// Name of the feed
    name: String,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Remove {
    /// Name of the feed
    name: String,
    #[command(flatten)]
    place: Place,
}

impl Feeds {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.command {
            Command::Add(add) => add.run(lang).await,
            Command::List(list) => list.run(lang).await,
            Command::Pull(pull) => pull.run(lang).await,
            Command::Remove(remove) => remove.run(lang).await,
        }
    }
}

impl Add {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let request = FeedRequest {
            name: self.name,
            url: self.url,
            collection: self.collection,
            user: self.user,
            password_file: self.password_file,
            token_file: self.feed_token_file,
            ca_file: self.ca_file,
            interval_s: Some(self.every),
            raise: self.raise,
        };
        let backend = Backend::open(&self.place, lang).await?;
        let done = backend.hunter(Ask::AddFeed(Box::new(request))).await;
        backend.close().await;
        let done = done?;
        let name = visible(done["feed.name"].as_str().unwrap_or_default()).into_owned();
        match lang {
            Lang::En => eprintln!(
                "feed {name} added; a running server asks it by itself, `yagura hunt feed pull` now"
            ),
            Lang::Ja => eprintln!(
                "フィード {name} を登録しました。稼働中のサーバーが自動で取得します（今すぐ: yagura hunt feed pull）"
            ),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let found = backend.hunter(Ask::Feeds).await;
        backend.close().await;
        let found = found?;
        let columns = [
            "feed.name",
            "feed.url",
            "feed.collection",
            "feed.interval_s",
            "feed.last_pull",
            "feed.added_after",
            "feed.last_error",
        ];
        let columns = columns.map(str::to_owned).to_vec();
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, columns);
        for feed in found["feeds"].as_array().into_iter().flatten() {
            if let Value::Object(row) = feed {
                writer.write(row.clone())?;
            }
        }
        if writer.finish()? == 0 {
            match lang {
                Lang::En => eprintln!("no feeds; add one with `yagura hunt feed add URL`"),
                Lang::Ja => {
                    eprintln!("フィードはありません。yagura hunt feed add URL で登録できます")
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = async {
            let answer = backend.hunter(Ask::PullFeed(self.name.clone())).await?;
            print_taken(&answer, lang);
            follow(&backend, &answer, self.quiet, lang).await
        };
        let done = done.await;
        backend.close().await;
        done
    }
}

impl Remove {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let backend = Backend::open(&self.place, lang).await?;
        let done = backend.hunter(Ask::RemoveFeed(self.name.clone())).await;
        backend.close().await;
        done?;
        match lang {
            Lang::En => eprintln!("feed {} removed; its indicators stay in use", self.name),
            Lang::Ja => {
                eprintln!("フィード {} を削除しました（登録済みの侵害指標は残ります）", self.name)
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
