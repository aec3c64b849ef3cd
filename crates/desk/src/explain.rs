//! A match in words: what the rule looks for, which values made it hold, what to check next, and
//! what is known to set it off harmlessly.

use crate::alert::Alert;
use crate::finding::{EvidenceItem, Phase};
use serde::Serialize;
use yagura_event::{FieldDictionary, Lang};

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Both {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

/// An alert explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What the rule looks for: its description, or its title where it has none.
    pub looks_for: Both,
    /// Which values made it hold, one each.
    pub held: Vec<Held>,
    /// What to check next.
    pub check: Vec<Both>,
    /// Whether [`Explanation::check`] comes from the rule; else it is what the phase suggests.
    pub check_of_rule: bool,
    /// What is known to set the rule off harmlessly.
    pub falsepositives: Vec<Both>,
    /// Where to read more.
    pub references: Vec<String>,
}

/// One predicate that held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The column.
    pub field: String,
    /// What a person calls it.
    pub label: Both,
    /// The event's value.
    pub value: String,
    /// The predicate in Sigma's words.
    pub predicate: String,
    /// All of it in words, but for the value.
    pub because: Both,
}

/// Explains `alert` with the labels of `dictionary`.
pub fn explain(alert: &Alert, dictionary: &FieldDictionary) -> Explanation {
    let rule = &alert.rule;
    let guide = &rule.guide;
    let en = guide.description.as_deref().unwrap_or(&rule.name).trim();
    let ja = guide.description_ja.as_deref().map(str::trim);
    // An author's English says more than a translated title.
    let ja = ja.or(guide.description.as_deref().map(str::trim)).or(rule.name_ja.as_deref());
    let check_of_rule = !guide.check.is_empty() || !guide.check_ja.is_empty();
    let check = match check_of_rule {
        true => pairs(&guide.check, &guide.check_ja),
        false => checks(rule.phase)
            .iter()
            .map(|(ja, en)| Both { ja: (*ja).to_owned(), en: (*en).to_owned() })
            .collect(),
    };
    Explanation {
        looks_for: Both { ja: ja.unwrap_or(en).to_owned(), en: en.to_owned() },
        held: alert.evidence.iter().map(|item| held(item, dictionary)).collect(),
        check,
        check_of_rule,
        falsepositives: pairs(&guide.falsepositives, &guide.falsepositives_ja),
        references: guide.references.clone(),
    }
}

/// Lines of both languages side by side; a line that one of them lacks stands for both.
fn pairs(en: &[String], ja: &[String]) -> Vec<Both> {
    let count = en.len().max(ja.len());
    let line = |number: usize| {
        let (en, ja) = (en.get(number), ja.get(number));
        let either = ja.or(en).cloned().unwrap_or_default();
        Both { en: en.cloned().unwrap_or_else(|| either.clone()), ja: either }
    };
    (0..count).map(line).collect()
}

fn held(item: &EvidenceItem, dictionary: &FieldDictionary) -> Held {
    let label = |lang| dictionary.label(&item.field, lang).to_owned();
    let (ja, en) = because(&item.predicate);
    Held {
        field: item.field.clone(),
        label: Both { ja: label(Lang::Ja), en: label(Lang::En) },
        value: item.value.clone(),
        predicate: item.predicate.clone(),
        because: Both { ja, en },
    }
}

/// A predicate in Sigma's words, such as `endswith \cmd.exe`, as a person says it.
fn because(predicate: &str) -> (String, String) {
    let (word, rest) = predicate.split_once(' ').unwrap_or((predicate, ""));
    let (word, cased) = match word.strip_suffix("|cased") {
        Some(word) => (word, true),
        None => (word, false),
    };
    let (mut ja, mut en) = match word {
        "exists" => ("値がある".to_owned(), "has a value".to_owned()),
        "equals" if rest.is_empty() => ("空である".to_owned(), "is empty".to_owned()),
        "equals" => (format!("「{rest}」と一致"), format!("is “{rest}”")),
        "startswith" => (format!("「{rest}」で始まる"), format!("starts with “{rest}”")),
        "endswith" => (format!("「{rest}」で終わる"), format!("ends with “{rest}”")),
        "contains" => (format!("「{rest}」を含む"), format!("contains “{rest}”")),
        "like" => (format!("型「{rest}」に合う"), format!("fits the pattern “{rest}”")),
        "re" => (
            format!("正規表現「{rest}」に合う"),
            format!("matches the regular expression “{rest}”"),
        ),
        "lt" => (format!("{rest} より小さい"), format!("is less than {rest}")),
        "lte" => (format!("{rest} 以下"), format!("is at most {rest}")),
        "gt" => (format!("{rest} より大きい"), format!("is greater than {rest}")),
        "gte" => (format!("{rest} 以上"), format!("is at least {rest}")),
        "cidr" => (format!("ネットワーク {rest} にある"), format!("lies in the network {rest}")),
        "fieldref" => {
            let field = rest.split_once(' ').map_or(rest, |(_, field)| field);
            (format!("項目 {field} の値と合う"), format!("agrees with the field {field}"))
        }
        _ => (predicate.to_owned(), predicate.to_owned()),
    };
    if cased {
        ja.push_str("（大文字小文字を区別）");
        en.push_str(" (case matters)");
    }
    (ja, en)
}

/// What to look at after an alert of a phase, where the rule itself does not say.
fn checks(phase: Option<Phase>) -> &'static [(&'static str, &'static str)] {
    match phase {
        Some(Phase::InitialAccess) => &[
            (
                "ログオンや接続は成功したか。成功していれば、そのアカウントの以後1時間の動きを追う。",
                "Did the logon or connection succeed? If so, follow what the account did in the next hour.",
            ),
            (
                "送信元アドレスは既知のものか。同じ送信元がほかの端末にも現れていないか検索する。",
                "Is the source address known? Search for it on other machines.",
            ),
            (
                "本人に、その時刻・場所から利用したか確認する。",
                "Ask the person whether it was them, at that time and from that place.",
            ),
        ],
        Some(Phase::PersistenceDefenseEvasion) => &[
            (
                "誰が（どの親プロセスが）実行したか。計画された変更か担当者に確認する。",
                "Who, or which parent process, did it? Ask whether it was a planned change.",
            ),
            (
                "同じ端末で直前に外部からのログオンやファイルの受け取りがなかったか調べる。",
                "Look for a logon from outside or a received file on the same machine just before.",
            ),
            (
                "追加・変更されたもの（サービス、タスク、設定）が残っていないか確認し、不要なら元に戻す。",
                "See whether what was added or changed (service, task, setting) is still there; undo it if nobody needs it.",
            ),
        ],
        Some(Phase::PrivilegeLateral) => &[
            (
                "使われたアカウントの権限と、同じアカウントのほかの端末へのログオンを調べる。",
                "Check the rights of the account, and its logons to other machines.",
            ),
            (
                "資格情報が盗まれた可能性があれば、パスワードの変更と端末の隔離を検討する。",
                "If credentials may be stolen, consider changing passwords and isolating the machine.",
            ),
            (
                "接続元の端末側で何が実行されたかを調べる。",
                "Look at what ran on the machine the access came from.",
            ),
        ],
        Some(Phase::ObjectiveAntiForensics) => &[
            (
                "被害の範囲（消された・持ち出された・暗号化されたもの）をすぐに確認する。",
                "Find out at once what was deleted, taken or encrypted.",
            ),
            (
                "進行中なら端末をネットワークから切り離し、バックアップが無事か確かめる。",
                "If it is going on, take the machine off the network and check that backups are safe.",
            ),
            (
                "Yagura に保存済みのログは改ざんを検出できる。証拠として証明を書き出しておく。",
                "What Yagura has stored is tamper-evident: export proofs of the events as evidence.",
            ),
        ],
        None => &[
            (
                "同じ端末・利用者の前後1時間のイベントを読む。",
                "Read the events of the same machine and user for an hour before and after.",
            ),
            (
                "計画された作業かどうかを担当者に確認する。",
                "Ask whoever is responsible whether it was planned.",
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_are_said_in_words() {
        for (predicate, ja, en) in [
            (r"endswith \cmd.exe", r"「\cmd.exe」で終わる", r"ends with “\cmd.exe”"),
            ("equals ", "空である", "is empty"),
            ("equals|cased A b", "「A b」と一致（大文字小文字を区別）", "is “A b” (case matters)"),
            ("gte 10", "10 以上", "is at least 10"),
            (
                "fieldref equals user.name",
                "項目 user.name の値と合う",
                "agrees with the field user.name",
            ),
            ("exists", "値がある", "has a value"),
            ("hour gte 22", "hour gte 22", "hour gte 22"),
        ] {
            assert_eq!(because(predicate), (ja.to_owned(), en.to_owned()));
        }
    }

    #[test]
    fn a_line_without_a_translation_stands_for_both() {
        let lines = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let both = pairs(&lines(&["a", "b"]), &lines(&["あ"]));
        assert_eq!(both[0], Both { ja: "あ".into(), en: "a".into() });
        assert_eq!(both[1], Both { ja: "b".into(), en: "b".into() });
        assert_eq!(pairs(&[], &lines(&["あ"]))[0].en, "あ");
    }
}
