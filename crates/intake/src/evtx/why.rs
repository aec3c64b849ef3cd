//! Why a part of an event log could not be read, and where: in both languages. What the decoder says
//! is quoted.

use super::{CHUNK_BYTES, FILE_HEADER_BYTES};
use std::error::Error;
use yagura_event::Words;

pub(super) fn in_whole_file() -> Words {
    Words::new("file", "ファイル全体")
}

pub(crate) fn in_file_header() -> Words {
    Words::new("file header", "ファイルの先頭（ヘッダー）")
}

pub(super) fn in_last_chunk() -> Words {
    Words::new("last chunk", "最後のチャンク")
}

pub(super) fn in_chunk(number: Option<u64>) -> Words {
    let Some(number) = number else { return Words::new("chunk", "チャンク") };
    let byte = FILE_HEADER_BYTES + number * CHUNK_BYTES;
    Words::new(
        format!("chunk {number} at byte {byte}"),
        format!("チャンク{number}（{byte}バイト目）"),
    )
}

/// No event log at all, or its beginning is lost.
pub(crate) fn no_header(error: &dyn Error) -> Words {
    let said = error.to_string();
    let ja = format!("イベントログのヘッダーを読めません（{said}）");
    Words::new(said, ja)
}

pub(super) fn damaged(error: &dyn Error) -> Words {
    let said = with_causes(error);
    let ja = format!("イベントログの形式に合いません（{said}）");
    Words::new(said, ja)
}

pub(super) fn cut_off(reason: &Words) -> Words {
    Words::new(
        format!("cut off by the end of the file: {}", reason.en()),
        format!("ファイルの終わりで切れています（{}）", reason.ja()),
    )
}

pub(super) fn checksum() -> Words {
    Words::new(
        "the checksum does not match; what can be read of its records is kept",
        "チェックサムが合いません（読めたイベントはそのまま使います）",
    )
}

pub(super) fn decoder_failed() -> Words {
    Words::new(
        "the EVTX decoder failed; the rest of it was not read",
        "EVTXの解読に失敗したため、残りは読んでいません",
    )
}

/// An error with the errors behind it that its own text leaves out.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
