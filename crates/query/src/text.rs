//! Looking for words in an event's text.

use crate::ast::Pattern;
use crate::limits::REGEX_BYTES_MAX;
use crate::quick::Quick;
use arrow::array::{Array, AsArray, BinaryViewArray, BooleanArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;
use yagura_textindex::{each_text, fold, fold_into};

/// A condition on an event's text alone, computed in one pass over the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TextCondition {
    Contains(Pattern),
    And(Vec<TextCondition>),
    Or(Vec<TextCondition>),
    Not(Box<TextCondition>),
}

/// The function `yagura_text(event.original, message)`: whether the condition holds. Never null.
#[derive(Debug)]
pub(crate) struct TextFunction {
    condition: TextCondition,
    compiled: Arc<Compiled>,
    signature: Signature,
}

impl PartialEq for TextFunction {
    fn eq(&self, other: &Self) -> bool {
        self.condition == other.condition
    }
}

impl Eq for TextFunction {}

impl Hash for TextFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl TextFunction {
    /// Fails for a regular expression that is wrong or too large.
    pub(crate) fn new(condition: TextCondition) -> Result<Self, regex::Error> {
        let mut needles = Vec::new();
        let tree = compile(&condition, &mut needles)?;
        let compiled = Arc::new(Compiled { tree, needles });
        Ok(TextFunction {
            condition,
            compiled,
            signature: Signature::variadic_any(Volatility::Immutable),
        })
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        "yagura_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn schema_name(&self, _: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(format!("yagura_text({:?})", self.condition))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut arrays = args.args.iter().map(|value| value.to_array(rows));
        let original = arrays
            .next()
            .ok_or_else(|| DataFusionError::Internal("yagura_text without columns".to_owned()))??;
        let original = cast(&original, &DataType::BinaryView)?;
        let message = match arrays.next() {
            Some(message) => Some(cast(&message?, &DataType::Utf8View)?),
            None => None,
        };
        let answers = self
            .compiled
            .evaluate(original.as_binary_view(), message.as_ref().map(|m| m.as_string_view()));
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}

/// The condition with its patterns replaced by positions in a list.
#[derive(Debug)]
enum Tree {
    Needle(usize),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

#[derive(Debug)]
struct Compiled {
    tree: Tree,
    needles: Vec<Needle>,
}

fn compile(condition: &TextCondition, needles: &mut Vec<Needle>) -> Result<Tree, regex::Error> {
    let mut all = |list: &[TextCondition]| {
        list.iter().map(|part| compile(part, needles)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match condition {
        TextCondition::And(list) => Tree::And(all(list)?),
        TextCondition::Or(list) => Tree::Or(all(list)?),
        TextCondition::Not(inner) => Tree::Not(Box::new(compile(inner, needles)?)),
        TextCondition::Contains(pattern) => {
            needles.push(Needle::new(pattern)?);
            Tree::Needle(needles.len() - 1)
        }
    })
}

impl Compiled {
    fn evaluate(
        &self,
        original: &BinaryViewArray,
        message: Option<&StringViewArray>,
    ) -> BooleanArray {
        let mut folded = String::new();
        let mut answers: Vec<Option<bool>> = vec![None; self.needles.len()];
        (0..original.len())
            .map(|row| {
                let raw: &[u8] = if original.is_valid(row) { original.value(row) } else { &[] };
                let message = message.filter(|message| message.is_valid(row));
                let message = message.map(|message| message.value(row));
                for (needle, answer) in self.needles.iter().zip(&mut answers) {
                    *answer = needle.quick.is_in_event(raw, message);
                }
                if answers.contains(&None) {
                    each_text(raw, message, |text| {
                        self.look_at_text(text, &mut folded, &mut answers);
                        match answers.contains(&None) {
                            false => ControlFlow::Break(()),
                            true => ControlFlow::Continue(()),
                        }
                    });
                }
                Some(holds(&self.tree, &answers))
            })
            .collect()
    }

    /// Looks for what is not answered yet.
    fn look_at_text(&self, text: &str, folded: &mut String, answers: &mut [Option<bool>]) {
        let mut is_folded = false;
        for (needle, answer) in self.needles.iter().zip(answers) {
            if answer.is_some() {
                continue;
            }
            // A regular expression sees the text as it was written.
            if !is_folded && !matches!(needle.kind, Kind::Raw(_)) {
                folded.clear();
                fold_into(text, folded);
                is_folded = true;
            }
            if needle.is_in_folded(text, folded) {
                *answer = Some(true);
            }
        }
    }
}

/// What was found nowhere has no answer.
fn holds(tree: &Tree, found: &[Option<bool>]) -> bool {
    match tree {
        Tree::Needle(number) => found.get(*number).copied().flatten().unwrap_or(false),
        Tree::And(list) => list.iter().all(|part| holds(part, found)),
        Tree::Or(list) => list.iter().any(|part| holds(part, found)),
        Tree::Not(inner) => !holds(inner, found),
    }
}

/// Something to find in a text.
#[derive(Debug)]
pub(crate) struct Needle {
    kind: Kind,
    quick: Quick,
}

#[derive(Debug)]
enum Kind {
    /// A folded word or phrase. Where it begins or ends with an ASCII letter or digit, so must a
    /// word of the text: `cat` is not in `concat`. Japanese has no such borders.
    Literal { finder: Box<Finder<'static>>, word_start: bool, word_end: bool },
    /// A wildcard, as an expression over folded text.
    Folded(Regex),
    /// The user's own expression, over the text as it is.
    Raw(Regex),
}

impl Needle {
    pub(crate) fn new(pattern: &Pattern) -> Result<Needle, regex::Error> {
        let kind = match pattern {
            Pattern::Literal(text) => {
                let folded = fold(text.trim());
                let bytes = folded.as_bytes();
                Kind::Literal {
                    finder: Box::new(Finder::new(bytes).into_owned()),
                    word_start: bytes.first().is_some_and(u8::is_ascii_alphanumeric),
                    word_end: bytes.last().is_some_and(u8::is_ascii_alphanumeric),
                }
            }
            Pattern::Wildcard(text) => {
                let mut expression = wildcard(text, r"\S*", r"\S");
                let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                let folded = fold(text);
                if edge(folded.chars().next()) {
                    expression.insert_str(0, "(?:^|[^0-9a-z])");
                }
                if edge(folded.chars().last()) {
                    expression.push_str("(?:$|[^0-9a-z])");
                }
                Kind::Folded(regex(&expression, false)?)
            }
            Pattern::Regex(expression) => Kind::Raw(regex(expression, true)?),
        };
        Ok(Needle { kind, quick: Quick::new(pattern) })
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.quick.is_in_text(text).unwrap_or_else(|| match self.kind {
            Kind::Raw(_) => self.is_in_folded(text, ""),
            _ => self.is_in_folded(text, &fold(text)),
        })
    }

    fn is_in_folded(&self, text: &str, folded: &str) -> bool {
        match &self.kind {
            Kind::Folded(regex) => regex.is_match(folded),
            Kind::Raw(regex) => regex.is_match(text),
            Kind::Literal { finder, word_start, word_end } => {
                let bytes = folded.as_bytes();
                let length = finder.needle().len();
                let mut from = 0;
                while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
                    let start = from + at;
                    let end = start + length;
                    let inside = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
                    let cut_before = *word_start && start > 0 && inside(bytes.get(start - 1));
                    let cut_after = *word_end && inside(bytes.get(end));
                    if !cut_before && !cut_after {
                        return true;
                    }
                    from = start + 1;
                }
                false
            }
        }
    }
}

/// A wildcard as a regular expression over folded text.
pub(crate) fn wildcard(text: &str, many: &str, one: &str) -> String {
    let mut expression = String::new();
    let mut literal = String::new();
    for c in text.chars() {
        let part = match c {
            '*' => many,
            '?' => one,
            c => {
                literal.push(c);
                continue;
            }
        };
        expression.push_str(&regex::escape(&fold(&literal)));
        literal.clear();
        expression.push_str(part);
    }
    expression.push_str(&regex::escape(&fold(&literal)));
    expression
}

/// Compiles an expression within [`REGEX_BYTES_MAX`]. The engine's time is linear in the text.
pub(crate) fn regex(expression: &str, any_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression)
        .case_insensitive(any_case)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Range;

    fn found(pattern: Pattern, raw: &[u8], message: Option<&str>) -> bool {
        let function = TextFunction::new(TextCondition::Contains(pattern)).unwrap();
        let raw = BinaryViewArray::from(vec![Some(raw)]);
        let message = message.map(|message| StringViewArray::from(vec![Some(message)]));
        function.compiled.evaluate(&raw, message.as_ref()).value(0)
    }

    fn literal(text: &str) -> Pattern {
        Pattern::Literal(text.to_owned())
    }

    #[test]
    fn japanese_search_suite() {
        for (needle, text) in [
            ("ｻｰﾊﾞ", "基幹サーバーが停止"),
            ("サーバー", "サーバが停止"),
            ("サーバ", "サーバーが停止"),
            ("鍵", "秘密鍵を削除"),
            ("承認", "未承認の接続"),
            ("レストラン", "レストランテスト"),
            ("第3営業部", "第3営業部file.xlsx を開いた"),
            ("営業部file.xlsx", "\\\\fs01\\第3営業部file.xlsx"),
            ("第３営業部", "第3営業部file.xlsx"),
            ("10～20", "範囲 10〜20 件"),
            ("10〜20", "範囲 10～20 件"),
            ("A−1", "機器 A-1"),
            ("サ−バ", "サーバー"),
            ("￥temp", "C:\\TEMP"),
            ("①", "項目① 完了"),
            ("㈱", "(株)山田"),
            ("高崎", "髙﨑さん"),
            ("髙﨑", "高崎さん"),
            ("ガス", "ｶﾞｽ漏れ"),
            ("吉野", "𠮷野家"),
            ("𩸽", "焼き𩸽"),
            ("ＡＤＭＩＮ", "user=admin"),
            ("admin", "user=ＡＤＭＩＮ"),
            ("エラー", "重大なｴﾗｰ"),
        ] {
            assert!(found(literal(needle), text.as_bytes(), None), "{needle} in {text}");
        }
        for (needle, text) in [
            ("熱力学", "熱と力の学問"),
            ("ビル", "ビール"),
            ("admin", "administrator"),
            ("cat", "concat"),
            ("ほげ", ""),
        ] {
            assert!(!found(literal(needle), text.as_bytes(), None), "{needle} in {text}");
        }
    }

    #[test]
    fn json_escapes_are_seen_through() {
        let raw = br#"{"Path":"C:\\Windows\\nul.exe","m":"a\r\n\tSubject: \"x\" \u9375 \ud842\udfb7 \ud800"}"#;
        for needle in ["C:\\Windows\\nul.exe", "subject", "\"x\"", "鍵", "𠮷"] {
            assert!(found(literal(needle), raw, None), "{needle}");
        }
        assert!(!found(literal("tSubject"), raw, None));
        // What is not JSON is searched as it is, and also unescaped.
        assert!(found(literal("c:\\new"), b"opened C:\\new", None));
        assert!(found(literal("C:\\x"), br#"<13>app: {"p":"C:\\x"}"#, None));
    }

    #[test]
    fn the_message_is_searched_where_the_bytes_are_not_text() {
        let cp932 = b"\x83T\x81[\x83o\x81[ down";
        assert!(!found(literal("サーバ"), cp932, None));
        assert!(found(literal("サーバ"), cp932, Some("サーバー down")));
        assert!(found(literal("down"), cp932, None));
    }

    #[test]
    fn wildcards_and_expressions() {
        let raw = "powershell.exe -EncodedCommand SQBFAFgA サーバー01".as_bytes();
        for (pattern, answer) in [
            ("-enc*", true),
            ("power*.exe", true),
            ("ower*", false),
            ("p?wershell*", true),
            ("サ*01", true),
            ("powershell*SQB*", false),
        ] {
            assert_eq!(found(Pattern::Wildcard(pattern.into()), raw, None), answer, "{pattern}");
        }
        assert!(found(Pattern::Regex("sqb[a-z]+".into()), raw, None));
        assert!(!found(Pattern::Regex("^sqb".into()), raw, None));
        assert!(Needle::new(&Pattern::Regex("(".into())).is_err());
        assert!(Needle::new(&Pattern::Regex("(a{1000}){1000}".into())).is_err());
    }

    proptest! {
        #[test]
        fn a_word_is_found_in_any_spelling(word in "[a-z]{1,6}|[ァ-ヴ]{1,6}|[一-龥]{1,4}") {
            let wide: String = word.chars().map(|c| match c {
                'a'..='z' => char::from_u32(u32::from(c) + 0xfee0 - 32).unwrap(),
                c => c,
            }).collect();
            let text = format!("x {wide} y");
            prop_assert!(found(literal(&word), text.as_bytes(), None));
        }

        /// What is told without folding is what the folded texts tell.
        #[test]
        fn quick_answers_are_those_of_the_folded_texts(
            raw in pieces(8),
            json in any::<bool>(),
            cut in prop::option::of(any::<prop::sample::Index>()),
            message in prop::option::of(pieces(4)),
            word in "[a-z0-9]{1,3}|foo|exe|n?foo|10|u9375|A1b2|承認|foo exe|fo\\*|\\*xe",
        ) {
            let raw = if json { format!("{{{raw}") } else { raw };
            let raw = match cut {
                Some(at) => raw.as_bytes()[at.index(raw.len() + 1)..].to_vec(),
                None => raw.into_bytes(),
            };
            let pattern = match word.contains('*') {
                true => Pattern::Wildcard(word),
                false => Pattern::Literal(word),
            };
            let needle = Needle::new(&pattern).unwrap();
            let mut obvious = false;
            each_text(&raw, message.as_deref(), |text| {
                obvious |= needle.is_in_folded(text, &fold(text));
                ControlFlow::Continue(())
            });
            let quick = needle.quick.is_in_event(&raw, message.as_deref());
            prop_assert!(quick.is_none_or(|quick| quick == obvious), "{:?}", quick);
            if let Some(message) = &message {
                prop_assert_eq!(needle.is_in(message), needle.is_in_folded(message, &fold(message)));
            }
        }

        /// The index of a row may say "perhaps" for nothing, but never "no" for a match.
        #[test]
        fn the_text_index_never_hides_a_match(
            raw in pieces(8),
            message in proptest::option::of(pieces(4)),
            part in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()),
            other in pieces(3),
            kind in 0..3usize,
            decoration in "[*?]{0,1}",
        ) {
            let source = if part.2 { message.as_ref().unwrap_or(&raw) } else { &raw };
            let chars: Vec<char> = source.chars().collect();
            let (a, b) = (part.0.index(chars.len() + 1), part.1.index(chars.len() + 1));
            let taken: String = chars[a.min(b)..a.max(b)].iter().collect();
            let joined = |glue: &str| match kind % 2 {
                0 => format!("{taken}{glue}"),
                _ => format!("{glue}{taken}"),
            };
            let escaped = regex::escape(&taken);
            let half = escaped.chars().count() / 2;
            let cut: String = taken.chars().skip(half).collect();
            for pattern in [
                Pattern::Literal(taken.clone()),
                Pattern::Literal(fold(&taken).to_uppercase()),
                Pattern::Literal(format!("{taken}{other}")),
                Pattern::Wildcard(joined(&decoration)),
                Pattern::Wildcard(format!("*{taken}*")),
                Pattern::Wildcard(format!("{}*{cut}", taken.chars().take(2).collect::<String>())),
                Pattern::Regex(escaped.clone()),
                Pattern::Regex(format!("\\b{escaped}")),
                Pattern::Regex(format!("({escaped}|{})", regex::escape(&other))),
                Pattern::Regex(format!("{escaped}.*{}", regex::escape(&cut))),
                Pattern::Regex(format!("(?:{escaped})+[a-fｆ]?x*")),
                Pattern::Regex(taken.clone()),
                Pattern::Regex(escaped.to_lowercase()),
            ] {
                let need = crate::need::of_pattern(&pattern);
                let Ok(needle) = Needle::new(&pattern) else { continue };
                let in_message = message.as_ref().is_some_and(|text| needle.is_in(text));
                if found(pattern.clone(), raw.as_bytes(), message.as_deref()) || in_message {
                    prop_assert!(
                        may_hold(&need, raw.as_bytes(), message.as_deref()),
                        "{:?} needs {:?}", pattern, need
                    );
                }
            }
        }
    }

    /// Texts of what folds, combines, borders and escapes in its own way.
    fn pieces(count: usize) -> impl Strategy<Value = String> {
        let long = "A1b2".repeat(40);
        let pieces: Vec<String> = [
            "foo",
            "n",
            "Foo",
            "ＦＯＯ",
            "exe",
            "k",
            "\u{212a}",
            "s",
            "ſ",
            "é",
            "e",
            "\u{301}",
            "か",
            "が",
            "\u{3099}",
            "ﾞ",
            "ｻｰﾊﾞｰ",
            "サーバ",
            "ー",
            "−",
            "-",
            "承認",
            "鍵",
            "髙",
            "𠮷",
            "吉",
            "①",
            "㈱",
            "ß",
            "İ",
            "\u{338}",
            "=",
            ".",
            " ",
            "_",
            "/",
            "\\",
            "\\n",
            "\\u9375",
            "\\u0066oo",
            "{",
            "\"",
            "\n",
            "10.0.0.1",
            "~",
            "〜",
            "\u{fffd}",
            "ﬁ",
            "Ⅷ",
            "한",
            "ᄒ",
            "ᅡ",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([long])
        .collect();
        prop::collection::vec(prop::sample::select(pieces), 0..count).prop_map(|list| list.concat())
    }

    fn may_hold(need: &yagura_textindex::Need, raw: &[u8], message: Option<&str>) -> bool {
        use yagura_textindex::{IndexBuilder, TRAILER_BYTES, TextIndex, Trailer};
        let mut builder = IndexBuilder::default();
        builder.add(raw, message);
        let (bytes, _) = builder.finish(&[0; 32]);
        let tail = &bytes[bytes.len() - TRAILER_BYTES as usize..];
        let trailer = Trailer::parse(tail, bytes.len() as u64).unwrap();
        let directory = trailer.directory.start as usize..trailer.directory.end as usize;
        let index = TextIndex::parse(&trailer, &bytes[directory]).unwrap();
        let fetch =
            |range: Range<u64>| Ok(bytes[range.start as usize..range.end as usize].to_vec());
        !index.rows_to_read(need, fetch).unwrap().is_empty()
    }
}
