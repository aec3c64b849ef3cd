//! `yagura inventory`: who and what there is.

use crate::backend::Backend;
use crate::output::{Format, Row, RowWriter, visible};
use crate::{Misuse, Place};
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use yagura_enrich::Kind;
use yagura_enrich::limits::INVENTORY_BYTES_MAX;
use yagura_event::Lang;

/// `yagura inventory`
#[derive(Args)]
#[command(after_help = "\
Events get what these lists say of their users and machines: user.department, user.privileged,
host.owner, host.asset.criticality and more; rules and searches can ask for it. Events that are stored
already get it with `yagura reprocess`. docs/enrichment.md says which columns a list may have.

Examples:
  yagura inventory import users staff.csv
  yagura inventory import assets cmdb-export.csv
  yagura inventory list users --output csv > staff.csv
  yagura inventory list assets --limit 20")]
pub struct InventoryCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a CSV the list in use; what was in use before is removed
    Import(Import),
    /// Show the list in use
    List(List),
}

/// Which list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// People and accounts
    Users,
    /// Machines
    Assets,
}

impl Which {
    fn kind(self) -> Kind {
        match self {
            Which::Users => Kind::Users,
            Which::Assets => Kind::Assets,
        }
    }
}

#[derive(Args)]
struct Import {
    /// Which list
    #[arg(value_enum)]
    kind: Which,
    /// The CSV, with a header; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct List {
    /// Which list
    #[arg(value_enum)]
    kind: Which,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: usize,
    /// Leave out so many rows first
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
    /// How rows are written
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

impl InventoryCommand {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        match self.action {
            Action::Import(import) => import.run(lang).await,
            Action::List(list) => list.run(lang).await,
        }
    }
}

impl Import {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let (name, csv) = read(&self.file, lang)?;
        let backend = Backend::open(&self.place, lang).await?;
        let answer = backend.set_inventory(self.kind.kind(), &name, csv).await;
        backend.close().await;
        let answer = answer?;
        let rows = &answer["inventory.rows"];
        match (self.kind, lang) {
            (Which::Users, Lang::En) => eprintln!("{rows} users are in use for events from now on"),
            (Which::Assets, Lang::En) => {
                eprintln!("{rows} assets are in use for events from now on");
            }
            (Which::Users, Lang::Ja) => eprintln!("利用者{rows}件を、これからのイベントに使います"),
            (Which::Assets, Lang::Ja) => eprintln!("資産{rows}件を、これからのイベントに使います"),
        }
        say_ignored(&answer, lang);
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, lang: Lang) -> Result<ExitCode> {
        let kind = self.kind.kind();
        let backend = Backend::open(&self.place, lang).await?;
        let path = format!("/api/v1/inventory/{}", kind.as_str());
        let asked = [("offset", self.offset.to_string()), ("limit", self.limit.to_string())];
        let (offset, limit) = (self.offset, self.limit);
        let local = move |node: &yagura_node::Node| Ok(node.inventory(kind, offset, Some(limit)));
        let answer = backend.ask(&path, &asked, local).await;
        backend.close().await;
        let answer = answer?;
        let mut writer = RowWriter::new(std::io::stdout().lock(), self.output, Vec::new());
        let mut written = 0;
        for row in answer["rows"].as_array().into_iter().flatten() {
            written += 1;
            writer.write(match self.output {
                // Programs get what is there.
                Format::Json | Format::Jsonl => row.as_object().cloned().unwrap_or_default(),
                Format::Table | Format::Csv => whole(kind, row),
            })?;
        }
        writer.finish()?;
        let total = answer["total"].as_u64().unwrap_or_default();
        if total == 0 {
            let key = kind.as_str();
            match lang {
                Lang::En => eprintln!("no {key}: yagura inventory import {key} FILE"),
                Lang::Ja => {
                    eprintln!("登録がありません。yagura inventory import {key} FILE で登録します");
                }
            }
        } else if written < total {
            match lang {
                Lang::En => eprintln!("{written} of {total} rows"),
                Lang::Ja => eprintln!("全{total}件のうち{written}件"),
            }
        }
        say_ignored(&answer, lang);
        Ok(ExitCode::SUCCESS)
    }
}

/// A row with every column, so that rows stand below each other.
fn whole(kind: Kind, row: &Value) -> Row {
    let (prefix, keys): (_, &[&str]) = match kind {
        Kind::Users => ("user", &["name", "id", "email"]),
        Kind::Assets => ("host", &["name", "ip"]),
    };
    let names = keys.iter().chain(kind.fields()).map(|name| format!("{prefix}.{name}"));
    names.map(|name| (name.clone(), row.get(&name).cloned().unwrap_or(json!("")))).collect()
}

fn say_ignored(answer: &Value, lang: Lang) {
    let columns: Vec<&str> = answer["ignored_columns"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if columns.is_empty() {
        return;
    }
    let columns = columns.join(", ");
    match lang {
        Lang::En => eprintln!("! columns passed over: {}", visible(&columns)),
        Lang::Ja => eprintln!("! 使わない列: {}", visible(&columns)),
    }
}

fn read(path: &Path, lang: Lang) -> Result<(String, Vec<u8>)> {
    let named = || match lang {
        Lang::En => format!("cannot read {}", path.display()),
        Lang::Ja => format!("{} を読めません", path.display()),
    };
    let mut csv = Vec::new();
    let name = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(INVENTORY_BYTES_MAX + 1)
            .read_to_end(&mut csv)
            .with_context(named)?;
        match lang {
            Lang::En => "standard input".to_owned(),
            Lang::Ja => "標準入力".to_owned(),
        }
    } else {
        let file = std::fs::File::open(path).with_context(named)?;
        file.take(INVENTORY_BYTES_MAX + 1).read_to_end(&mut csv).with_context(named)?;
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    };
    if csv.len() as u64 > INVENTORY_BYTES_MAX {
        let path = path.display();
        return Err(Misuse(match lang {
            Lang::En => format!("{path} is larger than {INVENTORY_BYTES_MAX} bytes: split it"),
            Lang::Ja => {
                format!("{path} は{INVENTORY_BYTES_MAX}バイトを超えています。分けてください")
            }
        })
        .into());
    }
    Ok((name, csv))
}
