use crate::backend::Backend;
use crate::told::either;
use crate::{Misuse, Place};
use anyhow::{Context, Result};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use yagura_event::{EventId, Lang};

/// `yagura prove`
#[derive(Args)]
#[command(after_help = "\
The proof is one text file, also of a pinned event whose batch was deleted. Check it anywhere, without
Yagura, with docs/format/verify.py and the public key from DATA/keys/events.vkey (events.e2.vkey for what
came after a restore in a new epoch).

Example:
  yagura prove syslog/42/7 --out event.proof")]
pub struct Prove {
    /// Id of the event: stream/batch/index
    #[arg(value_name = "EVENT_ID")]
    id: String,
    /// Where to write the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Prove {
    pub async fn run(self, lang: Lang) -> Result<ExitCode> {
        let id: EventId = self.id.parse().map_err(|error| no_id(&self.id, &error, lang))?;
        let backend = Backend::open(&self.place, lang).await?;
        let proof = backend.prove(&id).await;
        backend.close().await;
        let (proof, from) = proof?;
        super::pin::say_from(from, &id, lang);
        match &self.out {
            Some(path) => {
                std::fs::write(path, proof).with_context(|| {
                    let path = path.display();
                    either(lang, format!("cannot write {path}"), format!("{path} に書き込めません"))
                })?;
                match lang {
                    Lang::En => eprintln!("proof of {id} written to {}", path.display()),
                    Lang::Ja => eprintln!("{id} の証明を {} に書き出しました", path.display()),
                }
            }
            None => std::io::stdout().write_all(&proof)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is no id of an event.
pub fn no_id(text: &str, error: &impl std::fmt::Display, lang: Lang) -> Misuse {
    Misuse(match lang {
        Lang::En => format!("{text:?} is not an event id such as syslog/42/7: {error}"),
        Lang::Ja => format!("{text:?} はイベントIDではありません（例: syslog/42/7）"),
    })
}
