use std::io;
use yagura_event::Words;

/// Why a scan could not be made, or its findings not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Temporary files could not be written or read.
    #[error(
        "findings could not be kept in a temporary file: {0}; free space there, name another folder \
         with TMPDIR, or keep fewer with --min-level"
    )]
    Spill(#[source] io::Error),
    /// The output could not be written.
    #[error("the findings could not be written")]
    Write(#[source] io::Error),
    /// What the program holds of mappings, sentences or templates is wrong.
    #[error("the content built into the program is wrong: {0}")]
    Content(String),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

impl ScanError {
    /// The same in both languages.
    pub fn words(&self) -> Words {
        let (en, ja) = match self {
            ScanError::Spill(source) => (
                self.to_string(),
                format!(
                    "検知の結果を一時ファイルに保存できません（{}）。空きを増やすか、TMPDIR で別のフォルダーを\
                     指定するか、--min-level で件数を減らしてください",
                    Words::from(source).ja()
                ),
            ),
            ScanError::Write(source) => (
                format!("{self}: {source}"),
                format!("検知の結果を書き出せません（{}）", Words::from(source).ja()),
            ),
            ScanError::Content(reason) => {
                (self.to_string(), format!("プログラム内蔵の定義に誤りがあります（{reason}）"))
            }
            ScanError::Thread(source) => (
                format!("{self}: {source}"),
                format!("スレッドを開始できません（{}）", Words::from(source).ja()),
            ),
        };
        Words::new(en, ja)
    }
}
