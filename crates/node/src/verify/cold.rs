//! Objects in cold stores, against their recorded digests.

use super::{FILES, Finding, Verifier};
use crate::audit::{FileDigest, FileDigests};
use crate::tiers::is_object;
use std::collections::BTreeMap;
use std::sync::Arc;
use yagura_lake::{ColdKind, FileEntry, Lake, LakeError};

impl Verifier<'_> {
    /// Every object that a file of the table lies in must be what was recorded of it. Others that are still
    /// there are named: they are out of the table, and not out of the store.
    pub(super) fn cold_files(&mut self, digests: &FileDigests, lake: Option<&Lake>) {
        let recorded: Vec<&FileDigest> =
            digests.iter().filter(|file| is_object(&file.path)).collect();
        if recorded.is_empty() {
            return;
        }
        if self.scope.no_cold {
            let count = recorded.len();
            self.report.notes.push(Finding {
                place: "lake.cold".to_owned(),
                what: format!("{count} files in cold stores were not looked at, as asked"),
                what_ja: format!("コールドストアの{count}ファイルは、指定により検査していません"),
            });
            return;
        }
        let Some(lake) = lake else { return };
        let files: BTreeMap<String, Arc<FileEntry>> = lake
            .files()
            .into_iter()
            .filter(|file| file.cold.is_some())
            .map(|file| (file.place(), file))
            .collect();
        for known in recorded {
            match files.get(&known.path) {
                Some(file) => self.cold_file(known, file, lake),
                None => self.left_over(known, lake),
            }
        }
    }

    fn cold_file(&mut self, known: &FileDigest, file: &FileEntry, lake: &Lake) {
        self.checked(FILES, 1);
        let changed = match lake.digest_of(file) {
            Ok((sha256, bytes)) => sha256 != known.sha256 || bytes != known.bytes,
            // It came back, or was deleted, since the records were read.
            Err(_) if self.live && !lake.files().iter().any(|it| it.place() == known.path) => false,
            Err(LakeError::Cold { problem, .. }) if problem.kind == ColdKind::Missing => {
                return self.found(
                    FILES,
                    known.path.clone(),
                    format!("is missing or shorter in its cold store: {}", problem.reason),
                    format!(
                        "コールドストアにファイルがないか、短くなっています（{}）",
                        problem.reason
                    ),
                );
            }
            Err(error) => {
                let words = error.words();
                return self.found(
                    FILES,
                    known.path.clone(),
                    format!("cannot be checked: {}", words.en()),
                    format!("検査できません（{}）", words.ja()),
                );
            }
        };
        if changed {
            self.found(
                FILES,
                known.path.clone(),
                "was changed: its SHA-256 is not the one recorded when it was written".into(),
                "改変されています（作成時に記録したSHA-256と一致しません）".into(),
            );
        }
    }

    fn left_over(&mut self, known: &FileDigest, lake: &Lake) {
        if matches!(lake.cold_size(&known.path), Ok(Some(_))) {
            self.report.notes.push(Finding {
                place: known.path.clone(),
                what: "is still in the cold store, and no file of the table any more: the next run or \
                       yagura lake vacuum removes it, unless the store refuses"
                    .to_owned(),
                what_ja: "テーブルから外れましたが、コールドストアに残っています（次の実行か yagura \
                          lake vacuum で削除します。ストアが拒否する間は残ります）"
                    .to_owned(),
            });
        }
    }
}
