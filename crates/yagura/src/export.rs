//! Answers as files: `--out`, or a format that only files have.

use crate::backend::{Backend, said};
use crate::client::Client;
use crate::told::{either, misuse};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use yagura_event::Lang;
use yagura_node::{ExportFormat, ExportOf, ExportRequest, NodeError, SearchQuery};

/// Where an answer is written.
#[derive(Args, Clone, Default)]
pub struct ToFile {
    /// Write all rows into this file, as Parquet, CSV, JSON lines or OCSF: by --output, or else by
    /// the file's name
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// An export that was asked for.
pub struct Export {
    format: ExportFormat,
    out: Option<PathBuf>,
}

impl ToFile {
    /// The export that is asked for, if one is. `output` is what `--output` says, and the export
    /// format it stands for, if it is one.
    pub fn export(
        self,
        output: Option<(&str, Option<ExportFormat>)>,
        lang: Lang,
    ) -> Result<Option<Export>> {
        let only_a_file = |format| matches!(format, ExportFormat::Parquet | ExportFormat::Ocsf);
        match (self.out, output) {
            (None, Some((_, Some(ExportFormat::Parquet)))) => Err(misuse(
                lang,
                "Parquet is no text: name its file with --out FILE",
                "Parquet はテキストではありません。--out でファイルを指定してください",
            )
            .into()),
            (None, Some((_, Some(format)))) if only_a_file(format) => {
                Ok(Some(Export { format, out: None }))
            }
            (None, _) => Ok(None),
            (Some(out), Some((_, Some(format)))) => Ok(Some(Export { format, out: Some(out) })),
            (Some(_), Some((name, None))) => Err(misuse(
                lang,
                format!("--out writes parquet, csv, jsonl or ocsf, not {name}"),
                format!("--out で書き出せるのは parquet、csv、jsonl、ocsf です（{name} は不可）"),
            )
            .into()),
            (Some(out), None) => {
                let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
                let name = name.unwrap_or_default().to_ascii_lowercase();
                // `.ocsf.jsonl` ends in both.
                let known = [
                    (".ocsf.jsonl", ExportFormat::Ocsf),
                    (".ocsf", ExportFormat::Ocsf),
                    (".parquet", ExportFormat::Parquet),
                    (".csv", ExportFormat::Csv),
                    (".jsonl", ExportFormat::Jsonl),
                    (".ndjson", ExportFormat::Jsonl),
                ];
                let found = known.into_iter().find(|(end, _)| name.ends_with(end));
                let (_, format) = found.ok_or_else(|| no_format(&out, lang))?;
                Ok(Some(Export { format, out: Some(out) }))
            }
        }
    }
}

impl Export {
    /// Writes the rows of `of` and says on standard error how many there are, where that is known.
    pub async fn run(
        self,
        backend: &Backend,
        of: ExportOf,
        columns: Vec<String>,
        lang: Lang,
    ) -> Result<()> {
        let Export { format, out } = self;
        let request = ExportRequest { of, format, columns, lang, scratch: None };
        let Some(path) = out else {
            return match backend {
                Backend::Local(node, _) => {
                    let who = whoever();
                    let export = node.export(request, &who).await;
                    let export = export.map_err(|error| said(error, lang))?;
                    let runtime = tokio::runtime::Handle::current();
                    let writing = move || export.run(std::io::stdout(), &runtime);
                    let done = tokio::task::spawn_blocking(writing).await?;
                    done.map(drop).map_err(|error| said(error, lang))
                }
                Backend::Remote(client) => fetch(client, &request, std::io::stdout()).await,
            };
        };
        let dir = match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            Some(dir) => dir.to_owned(),
            None => PathBuf::from("."),
        };
        let refused = || {
            let path = path.display();
            either(
                lang,
                format!("--out: cannot write {path}"),
                format!("--out: {path} に書き込めません"),
            )
        };
        // Beside the file, then in its place: nobody finds half a file under the name.
        let file = tempfile::NamedTempFile::new_in(&dir).with_context(refused)?;
        let rows = match backend {
            Backend::Local(node, _) => {
                let request = ExportRequest { scratch: Some(dir), ..request };
                let export = node.export(request, &whoever()).await;
                let export = export.map_err(|error| said(error, lang))?;
                let runtime = tokio::runtime::Handle::current();
                let out = file.reopen().with_context(refused)?;
                let writing = move || {
                    let mut out = BufWriter::with_capacity(1 << 20, out);
                    let rows = export.run(&mut out, &runtime)?;
                    Ok::<_, NodeError>((rows, out.flush()))
                };
                let done = tokio::task::spawn_blocking(writing).await?;
                let (rows, flushed) = done.map_err(|error| said(error, lang))?;
                flushed.with_context(refused)?;
                Some(rows)
            }
            Backend::Remote(client) => {
                let out = file.reopen().with_context(refused)?;
                fetch(client, &request, out).await?;
                None
            }
        };
        file.as_file().sync_all().with_context(refused)?;
        file.persist(&path).map_err(|error| error.error).with_context(refused)?;
        let path = path.display();
        match (rows, lang) {
            (Some(rows), Lang::En) => eprintln!("{rows} rows in {path}"),
            (Some(rows), Lang::Ja) => eprintln!("{path} に {rows} 行を書き出しました"),
            (None, Lang::En) => eprintln!("written: {path}"),
            (None, Lang::Ja) => eprintln!("{path} に書き出しました"),
        }
        Ok(())
    }
}

/// What a server writes, as it comes.
async fn fetch(client: &Client, request: &ExportRequest, mut out: impl Write) -> Result<()> {
    let mut body = json!({
        "format": request.format.as_str(),
        "columns": request.columns.join(","),
        "lang": request.lang.as_str(),
    });
    let searched = |body: &mut serde_json::Value, query: &SearchQuery| {
        body["query"] = json!(query.query);
        body["limit"] = json!(query.limit);
        for (name, value) in [
            ("from", &query.from),
            ("to", &query.to),
            ("last", &query.last),
            ("time_zone", &query.time_zone),
        ] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
    };
    match &request.of {
        ExportOf::Search(query) => {
            searched(&mut body, query);
            let asked = body.as_object().into_iter().flatten();
            let asked: Vec<(&str, String)> = asked
                .map(|(name, value)| {
                    (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                })
                .collect();
            client.download("/api/v1/search", &asked, None, &mut out).await
        }
        ExportOf::Sql(statement) => {
            body["sql"] = json!(statement);
            client.download("/api/v1/sql", &[], Some(&body), &mut out).await
        }
        ExportOf::Acts(query) => {
            searched(&mut body, &query.search);
            let kinds: Vec<&str> = query.kinds.iter().map(|kind| kind.as_str()).collect();
            body["kind"] = json!(kinds.join(","));
            body["events"] = json!(query.events);
            client.download("/api/v1/acts", &[], Some(&body), &mut out).await
        }
    }
}

/// Who runs the command, for the audit log of a directory.
fn whoever() -> String {
    std::env::var("USER").unwrap_or_else(|_| "local".to_owned())
}

fn no_format(out: &Path, lang: Lang) -> crate::Misuse {
    let out = out.display();
    misuse(
        lang,
        format!(
            "the name {out} does not say the format: end it in .parquet, .csv, .jsonl or \
             .ocsf.jsonl, or give --output"
        ),
        format!(
            "{out} という名前からは形式が分かりません。末尾を .parquet、.csv、.jsonl、.ocsf.jsonl の\
             どれかにするか、--output で指定してください"
        ),
    )
}
