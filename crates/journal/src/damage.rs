use std::fmt;
use std::path::PathBuf;
use yagura_event::Lang;

/// Something wrong in a journal's directory, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Offset of the first wrong byte's frame or header, in bytes.
    pub offset: u64,
    /// How many bytes are concerned; 0 when something is missing.
    pub bytes: u64,
    /// The batch concerned, where known.
    pub batch: Option<u64>,
    /// The record's index within the batch, where known.
    pub index: Option<u32>,
    /// What is wrong.
    pub what: DamageKind,
}

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// One of the two copies of a segment's header is wrong; the other serves.
    HeaderCopy,
    /// Both copies are wrong: the segment cannot be read.
    Header,
    /// The file's name and its header disagree about the segment's number.
    Number,
    /// A segment is missing between two others, or before the first.
    MissingSegment,
    /// Bytes that are no sound frame.
    Frame,
    /// A sound frame that says something impossible.
    Nonsense,
    /// Bytes after the last sound frame.
    Tail,
    /// The beginning of a frame at the end of the newest segment.
    CutShort,
    /// A record that was written and cannot be found any more.
    LostRecord,
    /// Records whose batch has lost both opening frames, and with them the salt.
    LostSalt,
    /// The records do not give the root that the sealed header states.
    Root,
    /// The sealed header differs from the one in the ledger.
    LedgerDiffers,
    /// A batch of the ledger of which nothing is here.
    MissingBatch,
    /// A quarantine or torn file is not as it was written.
    Quarantine,
    /// A file that the journal does not know, or a lock file that is not empty.
    UnknownFile,
}

impl DamageKind {
    /// What is wrong, as a sentence without the place.
    pub fn sentence(self, lang: Lang) -> &'static str {
        let (en, ja) = match self {
            DamageKind::HeaderCopy => {
                ("one of two header copies is damaged", "二重のヘッダーの一方が壊れています")
            }
            DamageKind::Header => (
                "the header is damaged twice: the segment cannot be read",
                "ヘッダーが二つとも壊れており、セグメントを読めません",
            ),
            DamageKind::Number => (
                "the segment number is not the one in the file name",
                "セグメント番号がファイル名と一致しません",
            ),
            DamageKind::MissingSegment => ("the segment is missing", "セグメントがありません"),
            DamageKind::Frame => ("damaged bytes", "壊れたバイト列です"),
            DamageKind::Nonsense => {
                ("a frame says something impossible", "フレームの内容に矛盾があります")
            }
            DamageKind::Tail => (
                "bytes after the last sound frame",
                "最後の正常なフレームの後に余分なバイト列があります",
            ),
            DamageKind::CutShort => (
                "a write was cut short by a crash; nobody was told that it was taken, and the next start sets it aside",
                "書き込みが異常終了で途切れています。受領を応答していない部分で、次の起動時に別ファイルへ移されます",
            ),
            DamageKind::LostRecord => ("a record is lost", "レコードが失われています"),
            DamageKind::LostSalt => (
                "the salt is lost: both opening frames are damaged",
                "開始フレームが二つとも壊れ、ソルトが失われています",
            ),
            DamageKind::Root => (
                "the records do not give the root that was sealed",
                "レコードから計算したルートが封印時の値と一致しません",
            ),
            DamageKind::LedgerDiffers => {
                ("the sealed header differs from the ledger", "封印ヘッダーが台帳と一致しません")
            }
            DamageKind::MissingBatch => (
                "the ledger has this batch, the journal does not",
                "台帳にあるバッチがジャーナルにありません",
            ),
            DamageKind::Quarantine => {
                ("the copy of damaged bytes was changed", "隔離した破損データが改変されています")
            }
            DamageKind::UnknownFile => {
                ("not a file of the journal", "ジャーナルに属さないファイルです")
            }
        };
        match lang {
            Lang::En => en,
            Lang::Ja => ja,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what.sentence(Lang::En))?;
        if self.bytes > 0 {
            write!(f, ", {} bytes at offset {}", self.bytes, self.offset)?;
        }
        if let Some(batch) = self.batch {
            write!(f, ", batch {batch}")?;
        }
        if let Some(index) = self.index {
            write!(f, ", index {index}")?;
        }
        Ok(())
    }
}
