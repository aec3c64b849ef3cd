//! Why something was not read, or is damaged, and where: in both languages.

use crate::limits::{ARCHIVE_DEPTH_MAX, IMPORT_RECORD_BYTES_MAX};
use std::fmt::Display;
use std::io;
use yagura_event::Words;

/// The file as a whole.
pub(super) fn whole() -> Words {
    Words::new("file", "ファイル全体")
}

pub(super) fn at_line(number: u64) -> Words {
    Words::new(format!("line {number}"), format!("{number}行目"))
}

pub(super) fn at_byte(offset: u64) -> Words {
    Words::new(format!("byte {offset}"), format!("{offset}バイト目"))
}

pub(super) fn after_record(number: u64) -> Words {
    Words::new(format!("after record {number}"), format!("{number}件目の後"))
}

pub(super) fn not_opened(error: &io::Error) -> Words {
    with("cannot be opened", "開けません", &error.into())
}

pub(super) fn not_read(error: &io::Error) -> Words {
    with("cannot be read", "読めません", &error.into())
}

pub(super) fn not_read_further(error: &io::Error) -> Words {
    with("cannot be read further", "続きを読めません", &error.into())
}

pub(super) fn not_expanded(error: &io::Error) -> Words {
    with("cannot be expanded", "展開できません", &error.into())
}

pub(super) fn not_expanded_further(error: &io::Error) -> Words {
    with("cannot be expanded further", "続きを展開できません", &error.into())
}

pub(super) fn rest_not_read(error: &io::Error) -> Words {
    with("the rest cannot be read", "残りを読めません", &error.into())
}

pub(super) fn no_tar(error: &io::Error) -> Words {
    with("cannot be read as a tar archive", "tarアーカイブとして読めません", &error.into())
}

pub(super) fn no_zip(error: &impl Display) -> Words {
    let said = Words::quoted(error.to_string());
    with("cannot be read as a zip archive", "zipアーカイブとして読めません", &said)
}

pub(super) fn member_not_read(error: &impl Display) -> Words {
    with("cannot be read", "読めません", &Words::quoted(error.to_string()))
}

pub(super) fn no_json(error: &impl Display) -> Words {
    let said = Words::quoted(error.to_string());
    with("not JSON, kept as it is", "JSONではないため、そのまま1件として扱います", &said)
}

pub(super) fn no_log() -> Words {
    Words::new(
        "neither text nor a kind of log that is known",
        "テキストでも、対応しているログの形式でもありません",
    )
}

pub(super) fn archives_too_deep() -> Words {
    Words::new(
        format!("more than {ARCHIVE_DEPTH_MAX} archives one inside the other"),
        format!("アーカイブの入れ子が{ARCHIVE_DEPTH_MAX}重を超えています"),
    )
}

pub(super) fn compressed_twice() -> Words {
    Words::new("compressed more than once", "二重に圧縮されています")
}

pub(super) fn too_many_members(most: u64) -> Words {
    Words::new(
        format!("past the limit of {most} members in one file"),
        format!("1つのファイルに含められる{most}個を超えています"),
    )
}

pub(super) fn expands_too_far() -> Words {
    Words::new(
        "expands past the limit; expand it yourself if you trust it, and import the result",
        "展開後の大きさが上限を超えます。信頼できるファイルなら、自分で展開したものを取り込んでください",
    )
}

/// Why a piece of a text of objects or events is damaged.
pub(super) fn breaks_off() -> Words {
    Words::new(
        "the object or event breaks off; kept as it is",
        "途中で切れているため、そのまま1件として扱います",
    )
}

pub(super) fn outside() -> Words {
    Words::new(
        "text outside any object or event; kept as it is",
        "オブジェクトやイベントの外にある文字列です。そのまま1件として扱います",
    )
}

pub(super) fn cut() -> Words {
    Words::new(
        format!("longer than {IMPORT_RECORD_BYTES_MAX} bytes; only the start is one record"),
        format!("{IMPORT_RECORD_BYTES_MAX}バイトを超えるため、先頭だけを1件として扱います"),
    )
}

pub(super) fn changed() -> Words {
    Words::new("it changed while it was being read", "読んでいる間に変更されました")
}

pub(super) fn fewer_than_held(held: u64, has: u64) -> Words {
    Words::new(
        format!("its stream holds {held} records but it has only {has}; nothing was added"),
        format!("取り込み済みの{held}件に対し{has}件しかないため、何も追加していません"),
    )
}

fn with(en: &str, ja: &str, why: &Words) -> Words {
    Words::new(format!("{en}: {}", why.en()), format!("{ja}（{}）", why.ja()))
}
