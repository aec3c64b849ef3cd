//! What the report says, in both languages.

use jiff::tz::TimeZone;
use yagura_event::{Lang, UtcMicros};

/// Fixed words of the templates: name, Japanese, English.
pub(crate) const WORDS: &[(&str, &str, &str)] = &[
    ("title", "ログ調査報告書", "Log examination report"),
    (
        "subtitle",
        "検知規則に当てはまった記録を、日時の順に文章で示します。",
        "What detection rules found in the logs, in plain sentences and in the order of time.",
    ),
    ("made_at", "調査日時", "Examined on"),
    ("examined", "調査対象", "What was examined"),
    ("extent", "規模", "Extent"),
    ("period", "記録の期間", "Period of the events"),
    ("rules", "検知規則", "Detection rules"),
    ("zone", "時刻の表示", "Times are shown in"),
    ("program", "使用ソフトウェア", "Program"),
    ("result", "結論", "Result"),
    ("when", "いつ起きたか", "When it happened"),
    ("standout", "目立つもの", "What stands out"),
    ("by_rule", "検知の種類", "Kinds of findings"),
    ("meaning", "各検知の意味", "What each kind of finding means"),
    (
        "meaning_intro",
        "説明は各検知規則の作成者によるものです。日本語訳のない規則は原文のまま示します。",
        "The explanations are those of the authors of the rules.",
    ),
    ("timeline", "時系列", "Timeline"),
    (
        "timeline_intro",
        "1つの記録につき1項目です。太字の文はその記録の内容を、その下は当てはまった検知規則と、根拠となった値を示します。",
        "One entry per event. The sentence in bold says what the event records; below it are the rules it \
         satisfies and the values that satisfy them.",
    ),
    ("files", "調査したファイル", "Files examined"),
    (
        "files_intro",
        "SHA-256 はファイルの内容から計算した値です。手元のファイルから計算した値と一致すれば、同じ内容を調査したことが確かめられます。",
        "The SHA-256 is computed from a file's content: whoever computes the same value from a file holds \
         exactly what was examined.",
    ),
    ("unread", "読み取れなかったもの", "What could not be read"),
    ("see_unread", "詳細", "Details"),
    ("all_read", "対象のログはすべて最後まで読み取れました。", "Every log was read to its end."),
    ("method", "調査の方法と限界", "Method and limits"),
    ("source", "規則の入手元", "Source of rules"),
    ("rule_count", "規則数", "Rules"),
    ("digest", "SHA-256（規則ファイル全体）", "SHA-256 of all its rule files"),
    ("refused", "使用しなかった規則", "Rules that were not used"),
    ("rule", "規則", "Rule"),
    ("level", "重大度", "Level"),
    ("gravest", "最も高い重大度", "Gravest level"),
    ("what", "検知の内容", "Finding"),
    ("findings", "検知数", "Findings"),
    ("first", "最初", "First"),
    ("last", "最後", "Last"),
    ("nothing", "検知規則に当てはまる記録はありませんでした。", "No event satisfied a rule."),
    ("check", "確認すること", "What to check"),
    ("falsepositives", "攻撃以外で起きる場合", "When it happens without an attack"),
    ("field", "項目", "Field"),
    ("value", "記録されていた値", "Value in the log"),
    ("predicate", "規則の条件", "What the rule looks for"),
    ("file", "ファイル", "File"),
    ("bytes", "バイト数", "Bytes"),
    ("events", "記録数", "Events"),
    ("first_event", "最初の記録", "First event"),
    ("last_event", "最後の記録", "Last event"),
    ("place", "場所", "Place"),
    ("reason", "理由", "Reason"),
    (
        "footer",
        "この報告書は Yagura が作成しました。外部への通信やスクリプトを含まず、このファイルだけで読めます。",
        "Made by Yagura. This file is complete in itself: it loads nothing and runs no script.",
    ),
];

/// Chooses between the two languages.
pub(crate) fn pick<'a>(lang: Lang, ja: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Ja => ja,
        Lang::En => en,
    }
}

/// A number with separators between thousands.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `2 events`.
pub(crate) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// An instant in `zone`, to the second.
pub(crate) fn instant(at: UtcMicros, zone: &TimeZone) -> String {
    at.to_timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The day in `zone`, with the day of the week.
pub(crate) fn day(at: UtcMicros, zone: &TimeZone, lang: Lang) -> String {
    let day = at.to_timestamp().to_zoned(zone.clone());
    let names = match lang {
        Lang::Ja => ["月", "火", "水", "木", "金", "土", "日"],
        Lang::En => ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    };
    let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
    let name = names.get(weekday).copied().unwrap_or_default();
    match lang {
        Lang::Ja => format!("{}年{}月{}日（{name}）", day.year(), day.month(), day.day()),
        Lang::En => format!("{name}, {}", day.strftime("%Y-%m-%d")),
    }
}

/// The time of day in `zone`, to the millisecond.
pub(crate) fn time_of_day(at: UtcMicros, zone: &TimeZone) -> String {
    at.to_timestamp().to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string()
}

/// What the zone is called, with its present offset: `Asia/Tokyo (+09:00)`.
pub(crate) fn zone_name(zone: &TimeZone, at: UtcMicros) -> String {
    let offset = at.to_timestamp().to_zoned(zone.clone()).strftime("%:z").to_string();
    match zone.iana_name() {
        Some(name) if name != "UTC" => format!("{name} ({offset})"),
        Some(_) => "UTC".to_owned(),
        None => offset,
    }
}

/// Text with every control, bidirectional and zero-width character made visible.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push('↵'),
            '\t' => shown.push(' '),
            '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{061C}' => shown.push_str(&format!("[U+{:04X}]", u32::from(c))),
            c if c.is_control() => shown.push_str(&format!("[U+{:04X}]", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_as_people_write_them() {
        assert_eq!(
            [0, 12, 999, 1_000, 1_234_567].map(number),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
        assert_eq!(count(1, "event", "events"), "1 event");
        let at: UtcMicros = "2026-11-21T15:30:00.321Z".parse().unwrap();
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        assert_eq!(day(at, &tokyo, Lang::Ja), "2026年11月22日（日）");
        assert_eq!(day(at, &TimeZone::UTC, Lang::En), "Saturday, 2026-11-21");
        assert_eq!(time_of_day(at, &tokyo), "00:30:00.321");
        assert_eq!(zone_name(&tokyo, at), "Asia/Tokyo (+09:00)");
        assert_eq!(zone_name(&TimeZone::UTC, at), "UTC");
    }

    #[test]
    fn nothing_in_a_log_reorders_what_is_read() {
        assert_eq!(visible("a\u{202e}b\u{1b}[1m\nc"), "a[U+202E]b[U+001B][1m↵c");
    }
}
