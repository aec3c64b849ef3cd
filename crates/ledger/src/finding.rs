use std::fmt;
use std::path::{Path, PathBuf};
use yagura_event::Lang;

/// One thing that is wrong, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file; empty where the caller of [`crate::verify_batch`] alone knows it.
    pub file: PathBuf,
    /// Leaf index of the header concerned.
    pub leaf: Option<u64>,
    /// The batch concerned.
    pub batch: Option<u64>,
    /// The record concerned, as its index in the batch.
    pub index: Option<u32>,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a log or a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read; with the machine's reason.
    Unreadable(String),
    /// The file is missing.
    Missing,
    /// The file or directory is not part of the log.
    Unknown,
    /// A file that no checkpoint has signed, or that its successor has replaced. A crash leaves
    /// such files and the next start removes them.
    Leftover,
    /// The length is not what the name or the contents call for.
    Length,
    /// The contents are not what their format allows.
    Malformed,
    /// The hash is not the one the rest of the log and the checkpoint agree on.
    Hash,
    /// The header belongs to another log.
    OtherLog,
    /// The header opens an epoch without naming the head of the one before, or the newest epoch is not
    /// the one whose key is known.
    Epoch,
    /// `stream_prev` is not the previous header of the stream: a batch is missing or was put in.
    StreamChain,
    /// An earlier leaf has the same batch number.
    BatchRepeated,
    /// The checkpoint is not signed by the log's key, or was changed after signing.
    Signature,
    /// The headers do not lead to the root that was signed for this size.
    Root,
    /// A checkpoint's size is not larger than that of the one before it, or the first is not 0.
    HistoryOrder,
    /// The history does not end with the newest checkpoint. A crash at the wrong moment does this
    /// too, and the next start completes it; so does cutting off the end.
    HistoryEnd,
    /// A record is missing at this index, or stands at another one.
    RecordMissing,
    /// There are more records than the header counts.
    RecordSurplus,
    /// The records are as many as the header counts, but one was changed or moved.
    RecordChanged,
}

impl Finding {
    pub(crate) fn of_batch(batch: u64, index: Option<u32>, problem: Problem) -> Self {
        Finding { file: PathBuf::new(), leaf: None, batch: Some(batch), index, problem }
    }

    /// The same finding, in this file.
    pub fn in_file(self, file: &Path) -> Self {
        Finding { file: file.to_owned(), ..self }
    }

    /// Whether a crash alone can have caused it, and the next start repairs it.
    pub fn a_crash_may_explain_it(&self) -> bool {
        matches!(self.problem, Problem::Leftover | Problem::HistoryEnd)
    }

    /// The finding as one sentence.
    pub fn sentence(&self, lang: Lang) -> String {
        let mut place: Vec<String> = Vec::new();
        if !self.file.as_os_str().is_empty() {
            place.push(self.file.display().to_string());
        }
        let (leaf, batch, index) = match lang {
            Lang::Ja => ("葉", "バッチ", "番号"),
            Lang::En => ("leaf", "batch", "index"),
        };
        place.extend(self.leaf.map(|at| format!("{leaf} {at}")));
        place.extend(self.batch.map(|at| format!("{batch} {at}")));
        place.extend(self.index.map(|at| format!("{index} {at}")));
        format!("{}: {}", place.join(", "), self.problem.sentence(lang))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(Lang::En))
    }
}

impl Problem {
    /// What is wrong, as a sentence without the place.
    pub fn sentence(&self, lang: Lang) -> String {
        let (en, ja) = match self {
            Problem::Unreadable(reason) => {
                return match lang {
                    Lang::En => format!("cannot be read ({reason})"),
                    Lang::Ja => format!("読み取れません（{reason}）"),
                };
            }
            Problem::Missing => ("is missing", "ファイルがありません"),
            Problem::Unknown => ("is not part of the log", "台帳に属さないファイルです"),
            Problem::Leftover => (
                "was never signed or has been replaced; the next start removes it",
                "署名前の、または置き換え済みのファイルです。次回の起動時に削除されます",
            ),
            Problem::Length => ("has the wrong length", "長さが正しくありません"),
            Problem::Malformed => {
                ("was changed: its format is broken", "改変されています（形式が不正です）")
            }
            Problem::Hash => (
                "was changed: the signed root calls for another hash here",
                "改変されています（署名済みのルートと一致しないハッシュです）",
            ),
            Problem::OtherLog => ("belongs to another log", "別の台帳のヘッダーです"),
            Problem::Epoch => (
                "does not continue the epoch of the log before it",
                "台帳の直前の期につながりません",
            ),
            Problem::StreamChain => (
                "does not follow the previous batch of its stream: one was removed or put in",
                "同じストリームの直前のバッチにつながりません（削除または挿入の疑い）",
            ),
            Problem::BatchRepeated => {
                ("repeats the number of an earlier batch", "バッチ番号が重複しています")
            }
            Problem::Signature => (
                "is not signed by the log's key, or was changed after signing",
                "台帳の鍵による署名がないか、署名後に改変されています",
            ),
            Problem::Root => (
                "signed another root than the headers lead to: headers were changed",
                "署名されたルートがヘッダーから計算した値と一致しません（ヘッダー改変の疑い）",
            ),
            Problem::HistoryOrder => (
                "lacks a checkpoint or has them out of order",
                "チェックポイントの欠落または順序の誤りがあります",
            ),
            Problem::HistoryEnd => (
                "does not end with the newest checkpoint: cut off, or a crash the next start repairs",
                "最新のチェックポイントで終わっていません（切り詰め、または次回の起動時に修復される異常終了）",
            ),
            Problem::RecordMissing => {
                ("is missing or out of place", "レコードの欠落または位置の誤りです")
            }
            Problem::RecordSurplus => {
                ("was not in the batch when it was sealed", "封印時には存在しなかったレコードです")
            }
            Problem::RecordChanged => (
                "a record was changed after sealing: the root does not match",
                "封印後にレコードが改変されています（ルートが一致しません）",
            ),
        };
        match lang {
            Lang::En => en.to_owned(),
            Lang::Ja => ja.to_owned(),
        }
    }
}
