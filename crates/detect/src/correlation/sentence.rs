//! What was counted, in words.

use super::matched::{CorrelationMatch, News};
use crate::text::shorten;
use yagura_event::{FieldDictionary, Lang};

/// Longest value quoted in a sentence, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// Most rules named in a sentence; further ones are counted.
const RULES_NAMED_MAX: usize = 4;

/// Most values quoted in a sentence.
const VALUES_QUOTED_MAX: usize = 3;

impl CorrelationMatch {
    /// One line that says what was counted, of whom, and within which time. Labels of fields come
    /// from `dictionary`. Control characters of log values become blanks.
    pub fn sentence(&self, dictionary: &FieldDictionary, lang: Lang) -> String {
        let about = self.about(dictionary, lang);
        let time = span(self.timespan_seconds, lang);
        let rules = self.titles(lang);
        let value = self.value.map(plain).unwrap_or_default();
        let field = self.field.as_deref().map(one_line).unwrap_or_default();
        let events = self.events;
        let body = match (self.kind, lang) {
            ("value_count", Lang::En) if self.value.is_some() => {
                format!(
                    "{rules}: {value} different values of {field}{} within {time} ({events} events)",
                    self.quoted(lang)
                )
            }
            ("value_count", Lang::Ja) if self.value.is_some() => {
                format!(
                    "{rules}: {time}以内に {field} の異なる値が {value} 種類{}（{events} 件）",
                    self.quoted(lang)
                )
            }
            ("temporal", Lang::En) => format!("{rules}: together within {time} ({events} events)"),
            ("temporal", Lang::Ja) => format!("{rules}: {time}以内にそろって発生（{events} 件）"),
            ("temporal_ordered", Lang::En) => {
                format!("{rules}: one after the other within {time} ({events} events)")
            }
            ("temporal_ordered", Lang::Ja) => {
                format!("{rules}: {time}以内にこの順で発生（{events} 件）")
            }
            ("value_sum" | "value_avg" | "value_percentile", Lang::En) if self.value.is_some() => {
                let what = match self.kind {
                    "value_sum" => "total",
                    "value_avg" => "average",
                    _ => "percentile",
                };
                format!("{rules}: {what} of {field} {value} within {time} ({events} events)")
            }
            ("value_sum" | "value_avg" | "value_percentile", Lang::Ja) if self.value.is_some() => {
                let what = match self.kind {
                    "value_sum" => "合計",
                    "value_avg" => "平均",
                    _ => "パーセンタイル",
                };
                format!("{rules}: {time}以内の {field} の{what}が {value}（{events} 件）")
            }
            (_, Lang::En) => {
                let (count, more) = self.count();
                let noun = if count == 1 { "event" } else { "events" };
                format!("{rules}: {count} {noun} within {time}{}", told(more, lang))
            }
            (_, Lang::Ja) => {
                let (count, more) = self.count();
                format!("{rules}: {time}以内に {count} 件{}", told(more, lang))
            }
        };
        match (about.is_empty(), lang) {
            (true, _) => body,
            (false, Lang::En) => format!("{body} ({about})"),
            (false, Lang::Ja) => format!("{body}（{about}）"),
        }
    }

    /// Events of the newest window, and those since the alert began where they are more.
    fn count(&self) -> (u64, Option<u64>) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let window = match (self.kind, self.value) {
            ("event_count", Some(value)) => value as u64,
            _ => self.events,
        };
        let more = (self.news == News::Updated || self.events > window) && self.events != window;
        (window, more.then_some(self.events))
    }

    fn titles(&self, lang: Lang) -> String {
        let titles: Vec<String> = self
            .rules
            .iter()
            .take(RULES_NAMED_MAX)
            .map(|(rule, _)| shorten(&one_line(rule.title_in(lang)), QUOTED_CHARS_MAX))
            .collect();
        let rest = self.rules.len().saturating_sub(titles.len());
        let titles = match lang {
            Lang::En => titles.join(", "),
            Lang::Ja => titles.join("、"),
        };
        match (titles.is_empty(), rest, lang) {
            (true, _, _) => one_line(self.rule.title_in(lang)),
            (false, 0, _) => titles,
            (false, rest, Lang::En) => format!("{titles} and {rest} more"),
            (false, rest, Lang::Ja) => format!("{titles} ほか {rest} 件"),
        }
    }

    fn about(&self, dictionary: &FieldDictionary, lang: Lang) -> String {
        let pair = |(column, value): &(std::sync::Arc<str>, String)| {
            let label = match dictionary.label(column, lang) {
                known if known != column.as_ref() => known,
                // A native field: its last part is what its own documents call it.
                name => name.rsplit('.').next().unwrap_or(name),
            };
            format!("{}: {}", one_line(label), shorten(&one_line(value), QUOTED_CHARS_MAX))
        };
        let pairs: Vec<String> = self.group.iter().map(pair).collect();
        pairs.join(if lang == Lang::Ja { "、" } else { ", " })
    }

    fn quoted(&self, lang: Lang) -> String {
        let values = self.values.iter().take(VALUES_QUOTED_MAX);
        let values: Vec<String> =
            values.map(|value| shorten(&one_line(value), QUOTED_CHARS_MAX)).collect();
        match (values.is_empty(), lang) {
            (true, _) => String::new(),
            (false, Lang::En) => format!(", such as {}", values.join(", ")),
            (false, Lang::Ja) => format!("（{} など）", values.join("、")),
        }
    }
}

fn told(all: Option<u64>, lang: Lang) -> String {
    match (all, lang) {
        (None, _) => String::new(),
        (Some(all), Lang::En) => format!(", {all} so far"),
        (Some(all), Lang::Ja) => format!("、これまでに計 {all} 件"),
    }
}

fn span(seconds: u64, lang: Lang) -> String {
    const UNITS: [(u64, &str, &str); 4] =
        [(86_400, "day", "日"), (3_600, "hour", "時間"), (60, "minute", "分"), (1, "second", "秒")];
    for (length, en, ja) in UNITS {
        if seconds >= length && seconds.is_multiple_of(length) {
            let count = seconds / length;
            return match lang {
                Lang::En if count == 1 => format!("{count} {en}"),
                Lang::En => format!("{count} {en}s"),
                Lang::Ja => format!("{count} {ja}"),
            };
        }
    }
    seconds.to_string()
}

/// A number without decimals that say nothing.
fn plain(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    format!("{rounded}")
}

/// Log values must not change how the rest of the line reads.
fn one_line(text: &str) -> String {
    let unwanted = |c: char| {
        c.is_control()
            || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
    };
    let blanked: String = text.chars().map(|c| if unwanted(c) { ' ' } else { c }).collect();
    blanked.split_whitespace().collect::<Vec<_>>().join(" ")
}
