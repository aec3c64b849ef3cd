//! The words of the search language, said in both languages, and which of them may come next.

use crate::complete::place::{Style, Token, Wanted};
use yagura_textindex::fold;

/// A word of the language.
#[derive(Debug, PartialEq)]
pub(crate) struct Word {
    /// As it is shown and written.
    pub(crate) text: &'static str,
    pub(crate) ja: &'static str,
    pub(crate) en: &'static str,
}

const fn word(text: &'static str, ja: &'static str, en: &'static str) -> Word {
    Word { text, ja, en }
}

/// The commands, each once, by the name that the documentation uses.
pub(crate) const COMMANDS: [Word; 17] = [
    word("head", "先頭の行だけ", "The first rows"),
    word("tail", "末尾の行だけ", "The last rows"),
    word("sort", "並べ替え（- で降順）", "Orders rows; - is descending"),
    word("fields", "列を選ぶ", "Keeps these columns"),
    word("where", "さらに絞る", "Keeps rows that match"),
    word("stats", "集計", "One row per group"),
    word("top", "多い値", "The most frequent values"),
    word("rare", "少ない値", "The least frequent values"),
    word("dedup", "重複を除く", "So many rows of each combination"),
    word("timechart", "時間ごとの集計", "One row per stretch of time"),
    word("bin", "時刻や数を区切りにそろえる", "Rounds a time or number down"),
    word("eval", "計算した列を足す", "A new column, computed"),
    word("rename", "列の名前を変える", "Another name for a column"),
    word(
        "transaction",
        "続く行を 1 つのセッションに",
        "Rows that follow each other become a session",
    ),
    word("join", "[ ] の中の検索の列を足す", "Columns of another search, in [ ]"),
    word("lookup", "表の列を足す", "Columns of a list"),
    word("act", "イベントを行為にまとめる", "Events of one act become a row"),
];

/// The aggregates of `stats` and `timechart`.
pub(crate) const AGGREGATES: [Word; 13] = [
    word("count()", "件数", "Number of rows"),
    word("dc(", "異なる値の数", "Number of distinct values"),
    word("sum(", "合計", "Sum"),
    word("avg(", "平均", "Mean"),
    word("min(", "最小", "Smallest value"),
    word("max(", "最大", "Largest value"),
    word("median(", "中央値", "Median"),
    word("p95(", "95 パーセンタイル（p1 〜 p99）", "95th percentile (p1 to p99)"),
    word("stdev(", "標準偏差", "Standard deviation"),
    word("first(", "最初の値（時刻順）", "First value in time"),
    word("last(", "最後の値（時刻順）", "Last value in time"),
    word("values(", "異なる値の一覧", "The distinct values, joined"),
    word("distinct(", "異なる値の数（dc と同じ）", "Number of distinct values, as dc"),
];

/// The functions of `eval`.
pub(crate) const FUNCTIONS: [Word; 20] = [
    word("if(", "条件で選ぶ: if(条件, a, b)", "Chooses: if(condition, a, b)"),
    word("coalesce(", "最初にある値", "The first value that is there"),
    word("isnull(", "値がないか", "Whether there is no value"),
    word("len(", "文字数", "Number of characters"),
    word("lower(", "小文字に", "In lower case"),
    word("upper(", "大文字に", "In upper case"),
    word("trim(", "前後の空白を除く", "Without blanks around it"),
    word("concat(", "つなげる", "Joined texts"),
    word("substr(", "一部: substr(文字列, 開始, 長さ)", "A part: substr(text, start, length)"),
    word("replace(", "置き換え: replace(文字列, 元, 先)", "replace(text, old, new)"),
    word("match(", "正規表現に合うか", "Whether a regular expression matches"),
    word("cidr(", "ネットワークに含まれるか", "Whether the address is in a network"),
    word("number(", "数として読む", "Read as a number"),
    word("text(", "文字列に", "As text"),
    word("abs(", "絶対値", "Absolute value"),
    word("floor(", "切り下げ", "Rounded down"),
    word("ceil(", "切り上げ", "Rounded up"),
    word("round(", "四捨五入: round(数, 桁)", "Rounded: round(n, places)"),
    word("hour(", "時（0 〜 23）", "Hour of the day, 0 to 23"),
    word("weekday(", "曜日（1 が月曜）", "Day of the week, 1 is Monday"),
];

const AS: Word = word("as", "列の名前を付ける", "A name for the column");
const BY: Word = word("by", "項目ごとに", "One row for each value of a field");
const SPAN: Word = word("span=", "区切りの幅", "Width of a stretch");
const AS_OR_BY: [Word; 2] = [AS, BY];
const ONLY_AS: [Word; 1] = [AS];
const OUTPUT: Word = word("output", "並べる列", "The columns that are put beside");
const AS_OR_OUTPUT: [Word; 2] =
    [word("as", "照らし合わせる項目", "The field to compare with"), OUTPUT];
const ONLY_OUTPUT: [Word; 1] = [OUTPUT];
const SPAN_OR_AS: [Word; 2] = [SPAN, AS];
const ONLY_SPAN: [Word; 1] = [SPAN];
const PAUSE: [Word; 1] = [word("maxpause=", "間隔の上限", "Longest pause within a session")];
const SPANS: [Word; 6] = [
    word("30s", "30 秒", "30 seconds"),
    word("5m", "5 分", "5 minutes"),
    word("1h", "1 時間", "1 hour"),
    word("1d", "1 日", "1 day"),
    word("1w", "1 週", "1 week"),
    word("month", "1 か月", "1 month"),
];

/// Times that a time may be compared with.
pub(crate) const TIMES: [Word; 5] = [
    word("now-15m", "15 分前", "15 minutes ago"),
    word("now-1h", "1 時間前", "1 hour ago"),
    word("now-24h", "24 時間前", "24 hours ago"),
    word("now-7d", "7 日前", "7 days ago"),
    word("now", "今", "now"),
];

/// What may come after `command` and what was written behind it.
pub(crate) fn after(command: &str, before: &[Token<'_>], style: Style) -> Wanted {
    let field = Wanted::Field(style, &[]);
    match command {
        "sort" | "fields" | "table" | "dedup" => field,
        "top" | "rare" => match before.iter().any(|token| is_word(token) && !is_number(token)) {
            true => Wanted::Nothing,
            false => field,
        },
        "stats" => aggregates(before),
        "timechart" => timechart(before),
        "bin" | "bucket" => bin(before),
        "rename" => match since_comma(before).len() {
            0 => field,
            1 => Wanted::Words(&ONLY_AS),
            _ => Wanted::Nothing,
        },
        "transaction" | "session" => match before.last() {
            Some(Token::Sign('=')) => Wanted::Words(&SPANS),
            None | Some(Token::Sign(_)) => field,
            Some(Token::Word(_)) => Wanted::Field(style, &PAUSE),
        },
        "eval" => computation(before, style),
        "join" => field,
        "lookup" => lookup(before, style),
        _ => Wanted::Nothing,
    }
}

fn lookup(before: &[Token<'_>], style: Style) -> Wanted {
    let (list, rest) = match before {
        [Token::Word(list), rest @ ..] => (*list, rest),
        _ => return Wanted::List,
    };
    let column = |words| Wanted::ListColumn(list.to_owned(), words);
    if let Some(at) = rest.iter().position(|token| is(Some(token), "output")) {
        return match rest.get(at + 1..).unwrap_or_default() {
            [] | [.., Token::Sign(_)] => column(&[]),
            [.., last] if is(Some(last), "as") => Wanted::Nothing,
            [.., before, _] if is(Some(before), "as") => column(&[]),
            _ => column(&ONLY_AS),
        };
    }
    match rest {
        [] => column(&[]),
        [_key] => Wanted::Words(&AS_OR_OUTPUT),
        [.., last] if is(Some(last), "as") => Wanted::Field(style, &[]),
        _ => Wanted::Words(&ONLY_OUTPUT),
    }
}

fn is_word(token: &Token<'_>) -> bool {
    matches!(token, Token::Word(_))
}

fn is_number(token: &Token<'_>) -> bool {
    matches!(token, Token::Word(word) if fold(word).bytes().all(|byte| byte.is_ascii_digit()))
}

fn is(token: Option<&Token<'_>>, expected: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if *fold(word) == *expected)
}

/// The pieces behind the last comma that stands in no parentheses.
fn since_comma<'t, 'a>(before: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let (mut depth, mut start) = (0usize, 0);
    for (at, token) in before.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Sign(',') if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    before.get(start..).unwrap_or_default()
}

fn depth(before: &[Token<'_>]) -> usize {
    before.iter().fold(0usize, |depth, token| match token {
        Token::Sign('(') => depth + 1,
        Token::Sign(')') => depth.saturating_sub(1),
        _ => depth,
    })
}

fn aggregates(before: &[Token<'_>]) -> Wanted {
    let field = Wanted::Field(Style::Command, &[]);
    if depth(before) > 0 || before.iter().any(|token| is(Some(token), "by")) {
        return field;
    }
    match before.last() {
        None | Some(Token::Sign(',')) => Wanted::Words(&AGGREGATES),
        last if is(last, "as") => Wanted::Nothing,
        _ => Wanted::Words(&AS_OR_BY),
    }
}

fn timechart(before: &[Token<'_>]) -> Wanted {
    match before {
        [Token::Word(_), Token::Sign('=')] => Wanted::Words(&SPANS),
        [Token::Word(_), Token::Sign('='), Token::Word(_), rest @ ..] => aggregates(rest),
        [] => Wanted::Words(&TIMECHART),
        before => aggregates(before),
    }
}

/// What may follow `timechart` at once.
const TIMECHART: [Word; 4] = [
    SPAN,
    word("count()", "件数", "Number of rows"),
    word("dc(", "異なる値の数", "Number of distinct values"),
    word("sum(", "合計", "Sum"),
];

fn bin(before: &[Token<'_>]) -> Wanted {
    match before {
        [] => Wanted::Field(Style::Command, &ONLY_SPAN),
        [.., Token::Sign('=')] => Wanted::Words(&SPANS),
        [Token::Word(_), Token::Sign('='), Token::Word(_)] => Wanted::Field(Style::Command, &[]),
        [.., last] if is(Some(last), "as") => Wanted::Nothing,
        _ => Wanted::Words(&SPAN_OR_AS),
    }
}

fn computation(before: &[Token<'_>], style: Style) -> Wanted {
    let current = since_comma(before);
    // The name of the column, which is new, and `=`.
    if !current.contains(&Token::Sign('=')) {
        return Wanted::Nothing;
    }
    match current.last() {
        Some(Token::Sign(')')) => Wanted::Nothing,
        Some(Token::Sign(_)) => Wanted::Field(style, &FUNCTIONS),
        last if is(last, "and") || is(last, "or") || is(last, "not") => {
            Wanted::Field(style, &FUNCTIONS)
        }
        _ => Wanted::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use jiff::tz::TimeZone;
    use yagura_event::{Lang, UtcMicros};

    /// What the parser says there is.
    fn available(mistake: &str) -> Vec<String> {
        let error = parse(mistake, UtcMicros::default(), &TimeZone::UTC).unwrap_err();
        let message = error.message(Lang::En).to_owned();
        let (_, list) = message.split_once("available: ").unwrap();
        let mut names: Vec<String> =
            list.trim_end_matches(" and the like").split(", ").map(str::to_owned).collect();
        names.sort();
        names
    }

    fn offered(words: &[Word], ending: &str) -> Vec<String> {
        let plain = |word: &Word| word.text.trim_end_matches(['(', ')']).to_owned() + ending;
        let mut names: Vec<String> = words.iter().map(plain).collect();
        names.sort();
        names
    }

    #[test]
    fn every_word_of_the_language_is_offered_and_no_other() {
        assert_eq!(offered(&COMMANDS, ""), available("| xxxxxxxxxx"));
        assert_eq!(offered(&AGGREGATES, "()"), available("| stats xxxxxxxx(y)"));
        assert_eq!(offered(&FUNCTIONS, ""), available("| eval x = xxxxxxxxx(y)"));
        for span in &SPANS {
            let text = format!("| timechart span={} count()", span.text);
            assert!(parse(&text, UtcMicros::default(), &TimeZone::UTC).is_ok(), "{text}");
        }
        for time in &TIMES {
            let now = UtcMicros::default();
            assert!(
                crate::parse_instant(time.text, now, &TimeZone::UTC).is_some(),
                "{}",
                time.text
            );
        }
    }
}
