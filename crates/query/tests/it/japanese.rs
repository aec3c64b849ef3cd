//! The spellings in which Japanese logs and the people who search them differ: each must be found in
//! memory and in files, where the text index says what to read.

use crate::support;
use std::sync::Arc;
use support::{Line, NOON, batches, dictionary, expr, lines, table};
use yagura_event::{ManualClock, UtcMicros};
use yagura_lake::{Lake, LakeOptions};
use yagura_query::{SearchRequest, Searcher};

const TEXTS: [&str; 32] = [
    "基幹サーバーが停止しました",                                 // 0
    "基幹ｻｰﾊﾞが停止しました",                                      // 1
    "基幹サーバが停止しました",                                   // 2
    "秘密鍵を削除",                                               // 3
    "未承認の接続を検出",                                         // 4
    "レストランテストを開始",                                     // 5
    r"\\fs01\共有\第3営業部file.xlsx を開いた",                   // 6
    "範囲 10〜20 件",                                             // 7: wave dash
    "範囲 10～20 件",                                             // 8: full-width tilde
    "機器 A−1 から接続",                                          // 9: minus sign
    "機器 A－1 から接続",                                         // 10: full-width hyphen
    r"C:\TEMP\tool.exe を実行",                                   // 11
    "C:￥TEMP￥tool.exe を実行",                                  // 12
    "項目① 完了",                                                 // 13
    "㈱山田商店から受信",                                         // 14
    "髙﨑さんがログオン",                                         // 15
    "高崎さんがログオン",                                         // 16
    "ｶﾞｽ漏れ検知器が応答",                                         // 17: half-width, voiced
    "カ\u{3099}ス漏れ検知器が応答",                               // 18: combining voiced mark
    "𠮷野家支店の端末",                                           // 19: beyond the BMP
    "焼き𩸽の注文",                                               // 20: beyond the BMP
    "user=ＡＤＭＩＮ result=NG",                                  // 21
    "user=admin result=NG",                                       // 22
    "熱と力の学問を検索",                                         // 23: the characters apart
    "熱力学の教科書を検索",                                       // 24
    "ビールの注文",                                               // 25
    "ビルの入館",                                                 // 26
    r#"{"m":"\u79d8\u5bc6\u9375を\\u4f7f用","p":"C:\\Temp\\x"}"#, // 27: JSON's escapes
    "user=administrator result=OK",                               // 28
    "ヴァイオリン教室のﾊﾟｿｺﾝ",                                     // 29
    "ｻｰﾊﾞｰ室の入退室",                                             // 30
    "重大なｴﾗｰが発生",                                            // 31
];

/// What is searched for and the texts it is in.
const SUITE: &[(&str, &[i64])] = &[
    // NFKC, half and full width.
    ("ｻｰﾊﾞ", &[0, 1, 2, 30]),
    ("サーバ", &[0, 1, 2, 30]),
    ("エラー", &[31]),
    ("ｴﾗｰ", &[31]),
    ("パソコン", &[29]),
    // The long vowel mark at the end, and only there.
    ("サーバー", &[0, 1, 2, 30]),
    ("サーバーが停止", &[0, 1, 2]),
    ("サーバ室", &[30]),
    ("ビル", &[26]),
    ("ビール", &[25]),
    // Words of one and two characters.
    ("鍵", &[3, 27]),
    ("承認", &[4]),
    ("問", &[23]),
    // A part of a run of katakana.
    ("レストラン", &[5]),
    ("ランテスト", &[5]),
    ("ストランテ", &[5]),
    // ASCII and kanji mixed.
    ("第3営業部file.xlsx", &[6]),
    ("第３営業部ｆｉｌｅ．ｘｌｓｘ", &[6]),
    ("営業部file", &[6]),
    ("\"fs01\\共有\"", &[6]),
    // Wave dashes and full-width tildes, minus signs and hyphens, yen and backslash.
    ("\"10〜20\"", &[7, 8]),
    ("\"10～20\"", &[7, 8]),
    ("\"10~20\"", &[7, 8]),
    ("\"A-1\"", &[9, 10]),
    ("\"A−1\"", &[9, 10]),
    ("\"A－1\"", &[9, 10]),
    ("サ−バ", &[0, 1, 2, 30]),
    ("サ－バ", &[0, 1, 2, 30]),
    ("\"C:\\temp\"", &[11, 12, 27]),
    ("\"C:￥temp\"", &[11, 12, 27]),
    // Characters of JIS X 0213 and CP932.
    ("\"項目①\"", &[13]),
    ("\"項目1\"", &[13]),
    ("\"㈱山田\"", &[14]),
    ("\"(株)山田\"", &[14]),
    ("髙﨑", &[15, 16]),
    ("高崎", &[15, 16]),
    // Half-width and combining voiced marks.
    ("ガス", &[17, 18]),
    ("ｶﾞｽ", &[17, 18]),
    ("カ\u{3099}ス", &[17, 18]),
    ("カス", &[]),
    ("ウ\u{3099}ァイオリン", &[29]),
    // Surrogate pairs.
    ("𠮷野家", &[19]),
    ("吉野家", &[19]),
    ("𩸽", &[20]),
    // Case of full-width ASCII.
    ("admin", &[21, 22]),
    ("ＡＤＭＩＮ", &[21, 22]),
    ("Ａdmin", &[21, 22]),
    ("admin*", &[21, 22, 28]),
    // Single characters scattered about are no match.
    ("熱力学", &[24]),
    ("熱問", &[]),
    // Wildcards and expressions.
    ("サ*バ", &[0, 1, 2, 30]),
    ("/秘密鍵/", &[3, 27]),
    ("/承認の.続/", &[4]),
    ("/[熱暑]力学/", &[24]),
    ("NOT サーバ AND 停止", &[]),
    ("承認 OR 秘密鍵", &[3, 4, 27]),
];

#[tokio::test]
async fn every_spelling_is_found_in_memory_and_in_files() {
    // A dataset each, so each text has a file of its own.
    let all: Vec<Line> = (0..TEXTS.len())
        .map(|number| (&*Box::leak(format!("d{number}").into_boxed_str()), TEXTS[number], &[][..]))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(UtcMicros::from_micros(NOON));
    let lake = Lake::open(directory.path(), LakeOptions::default(), Arc::new(clock)).unwrap();
    lake.add(batches(1, &all, 0)).unwrap();
    let searcher = Searcher::new(Arc::new(lake), dictionary()).unwrap();
    for (text, expected) in SUITE {
        assert_eq!(lines(&searcher, text).await, *expected, "{text}, in memory");
    }
    searcher.lake().batch_sealed(1);
    searcher.lake().flush(true).unwrap();
    for (text, expected) in SUITE {
        let mut request = SearchRequest::new(expr(text));
        request.columns = vec!["yagura.index".to_owned()];
        let answer = searcher.search(request).await.unwrap();
        let scanned = answer.scanned();
        let mut found: Vec<i64> =
            table(answer).await.into_iter().map(|row| row[0].parse().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, *expected, "{text}, in files");
        assert_eq!(scanned.files, TEXTS.len() as u64);
        assert_eq!(scanned.files_without_index, 0, "{text}");
        assert!(scanned.files_passed_by_text > TEXTS.len() as u64 / 2, "{text}: {scanned:?}");
    }
}
