//! The parts of a report that are not findings.

use super::{Cut, ReportFacts};
use crate::histogram::Histogram;
use crate::limits::{REPORT_FILES_MAX, REPORT_REFUSED_MAX, REPORT_RULES_MAX};
use crate::report::{Counts, FileSummary, NameSummary, RuleSummary, ScanReport};
use crate::tags;
use crate::words::{self, count, number, pick, visible};
use serde::Serialize;
use yagura_event::{Lang, Level, UtcMicros};
use yagura_intake::import::FileKind;

/// Bars of the chart.
pub(super) const CHART_SPANS: usize = 72;

const CHART_WIDTH: f64 = 960.0;
const CHART_HEIGHT: f64 = 140.0;

/// Hosts, and users, that are listed.
const NAMES_LISTED: usize = 20;

#[derive(Serialize)]
pub(super) struct Head {
    version: String,
    made_at: String,
    zone: String,
    paths: Vec<String>,
    extent: String,
    period: String,
    rules_used: String,
    verdict: Vec<String>,
    incomplete: String,
    levels: Vec<LevelRow>,
    chart: Option<Chart>,
    rules: Vec<RuleRow>,
    more_rules: String,
    names: Vec<NamesTable>,
    left_out: String,
}

#[derive(Serialize)]
struct LevelRow {
    class: &'static str,
    word: &'static str,
    number: usize,
    count: String,
}

#[derive(Serialize)]
struct Chart {
    width: f64,
    height: f64,
    label: String,
    from: String,
    to: String,
    scale: String,
    bars: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    level: usize,
    x: String,
    y: String,
    width: String,
    height: String,
}

#[derive(Serialize)]
struct RuleRow {
    number: usize,
    class: &'static str,
    word: &'static str,
    title: String,
    findings: String,
    first: String,
    last: String,
    description: String,
    check: Vec<String>,
    falsepositives: Vec<String>,
    about: String,
    id: String,
}

#[derive(Serialize)]
struct NamesTable {
    title: &'static str,
    column: &'static str,
    none: &'static str,
    rows: Vec<NameRow>,
    more: String,
}

#[derive(Serialize)]
struct NameRow {
    name: String,
    class: &'static str,
    word: &'static str,
    findings: String,
}

impl Head {
    pub fn new(
        report: &ScanReport,
        facts: &ReportFacts,
        histogram: Option<&Histogram>,
        cut: Cut,
    ) -> Self {
        let (lang, zone) = (facts.lang, &facts.zone);
        let rules = report.rules.iter().take(REPORT_RULES_MAX);
        let more = report.rules.len().saturating_sub(REPORT_RULES_MAX) as u64;
        Head {
            version: facts.version.clone(),
            made_at: words::instant(facts.made_at, zone),
            zone: words::zone_name(zone, facts.made_at),
            paths: facts.paths.iter().map(|path| visible(path)).collect(),
            extent: extent(report, lang),
            period: period(report.span, facts),
            rules_used: match lang {
                Lang::Ja => format!("{}件", number(facts.rules_loaded as u64)),
                Lang::En => count(facts.rules_loaded as u64, "rule", "rules"),
            },
            verdict: verdict(report, facts),
            incomplete: incomplete(report, lang),
            levels: levels(report.levels, lang),
            chart: histogram.map(|histogram| chart(histogram, facts)),
            rules: (1..).zip(rules).map(|(number, rule)| rule_row(number, rule, facts)).collect(),
            more_rules: match (more, lang) {
                (0, _) => String::new(),
                (more, Lang::Ja) => format!("ほかに{}種類", number(more)),
                (more, Lang::En) => format!("and {} more", number(more)),
            },
            names: vec![
                names_table(
                    pick_static(lang, "端末", "Hosts"),
                    pick_static(lang, "端末", "Host"),
                    pick_static(lang, "端末名のある検知はありません。", "No finding names a host."),
                    &report.hosts,
                    lang,
                ),
                names_table(
                    pick_static(lang, "利用者", "Users"),
                    pick_static(lang, "利用者", "User"),
                    pick_static(
                        lang,
                        "利用者名のある検知はありません。",
                        "No finding names a user.",
                    ),
                    &report.users,
                    lang,
                ),
            ],
            left_out: match (cut.left_out, lang) {
                (0, _) => String::new(),
                (left_out, Lang::Ja) => format!(
                    "検知数が多いため、重大度の低いものから{}件を省きました。すべては JSONL または CSV の出力にあります。",
                    number(left_out)
                ),
                (left_out, Lang::En) => format!(
                    "There are too many findings for one page: {} of the lowest levels are left out here. \
                     The JSONL and CSV outputs have all of them.",
                    number(left_out)
                ),
            },
        }
    }
}

fn pick_static(lang: Lang, ja: &'static str, en: &'static str) -> &'static str {
    pick(lang, ja, en)
}

fn extent(report: &ScanReport, lang: Lang) -> String {
    let read = report.files.iter().filter(|file| file.kind.is_some() && file.same_as.is_none());
    let (files, bytes) = read.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.bytes));
    match lang {
        Lang::Ja => format!(
            "ファイル{}個、{}バイト、記録{}件",
            number(files),
            number(bytes),
            number(report.events)
        ),
        Lang::En => format!(
            "{}, {}, {}",
            count(files, "file", "files"),
            count(bytes, "byte", "bytes"),
            count(report.events, "event", "events")
        ),
    }
}

fn period(span: Option<(UtcMicros, UtcMicros)>, facts: &ReportFacts) -> String {
    match span {
        None => "-".to_owned(),
        Some((first, last)) => format!(
            "{} {} {}",
            words::instant(first, &facts.zone),
            pick(facts.lang, "から", "to"),
            words::instant(last, &facts.zone)
        ),
    }
}

/// The result in a few sentences.
fn verdict(report: &ScanReport, facts: &ReportFacts) -> Vec<String> {
    let lang = facts.lang;
    let events = report.events_in_range;
    let (Some(gravest), Some((first, last))) = (report.levels.gravest(), report.findings_span)
    else {
        return vec![match lang {
            Lang::Ja => format!(
                "{}件の記録を調べましたが、検知規則に当てはまるものはありませんでした。これは攻撃がなかったことの証明ではありません。",
                number(events)
            ),
            Lang::En => format!(
                "{} were examined and none satisfied a rule. This does not prove that there was no \
                 attack.",
                count(events, "event", "events")
            ),
        }];
    };
    let (findings, kinds) = (report.findings(), report.rules.len() as u64);
    let most = report.levels.of(gravest);
    let (first, last) = (words::instant(first, &facts.zone), words::instant(last, &facts.zone));
    let mut told = match lang {
        Lang::Ja => vec![
            format!(
                "{}件の記録を調べ、{}種類、延べ{}件の検知がありました。最も高い重大度は「{}」で、{}件です。",
                number(events),
                number(kinds),
                number(findings),
                gravest.label(lang),
                number(most)
            ),
            format!("最初の検知は {first}、最後の検知は {last} です。"),
        ],
        Lang::En => vec![
            format!(
                "{} were examined; {} of {} came up. The gravest level is \u{201c}{}\u{201d}, with {}.",
                count(events, "event", "events"),
                count(findings, "finding", "findings"),
                count(kinds, "kind", "kinds"),
                gravest.label(lang),
                count(most, "finding", "findings")
            ),
            format!("The first finding is of {first}, the last of {last}."),
        ],
    };
    told.push(
        pick(
            lang,
            "検知は、攻撃で見られる動きに一致したことを示す手がかりです。正当な操作でも一致することがあり、1件だけで侵害の有無は決まりません。",
            "A finding is a clue: an event looks like what attackers do. Legitimate work can look the \
             same, and no single finding decides whether there was an intrusion.",
        )
        .to_owned(),
    );
    told
}

fn incomplete(report: &ScanReport, lang: Lang) -> String {
    if report.cancelled {
        pick(lang, "調査は途中で中断されました。", "The examination was interrupted.").to_owned()
    } else if !report.is_complete() {
        pick(
            lang,
            "対象の一部は読み取れませんでした。",
            "Part of what was to be examined could not be read.",
        )
        .to_owned()
    } else {
        String::new()
    }
}

fn levels(counts: Counts, lang: Lang) -> Vec<LevelRow> {
    let levels = Counts::LEVELS.iter().enumerate().rev();
    levels
        .filter(|(_, level)| counts.of(**level) > 0)
        .map(|(position, level)| LevelRow {
            class: level.as_str(),
            word: level.label(lang),
            number: position,
            count: number(counts.of(*level)),
        })
        .collect()
}

fn chart(histogram: &Histogram, facts: &ReportFacts) -> Chart {
    let most = histogram.spans.iter().map(|counts| counts.total()).max().unwrap_or(0).max(1);
    let step = CHART_WIDTH / histogram.spans.len().max(1) as f64;
    let mut bars = Vec::new();
    for (at, counts) in histogram.spans.iter().enumerate() {
        let mut top = CHART_HEIGHT;
        // The gravest at the bottom, where bars can be compared.
        for (level, count) in counts.0.iter().enumerate().rev().filter(|(_, count)| **count > 0) {
            let height = (*count as f64 / most as f64 * CHART_HEIGHT).max(1.5);
            top -= height;
            bars.push(Bar {
                level,
                x: format!("{:.1}", at as f64 * step),
                y: format!("{:.1}", top.max(0.0)),
                width: format!("{:.1}", (step - 1.0).max(0.5)),
                height: format!("{height:.1}"),
            });
        }
    }
    let lang = facts.lang;
    let (from, to) =
        (words::instant(histogram.from, &facts.zone), words::instant(histogram.to, &facts.zone));
    let span = span_name(histogram.span_micros, lang);
    let most = number(most);
    Chart {
        width: CHART_WIDTH,
        height: CHART_HEIGHT,
        label: match lang {
            Lang::Ja => format!("{from} から {to} までの検知数の推移"),
            Lang::En => format!("Findings over time from {from} to {to}"),
        },
        scale: match lang {
            Lang::Ja => format!("棒1本は{span}、最も高い棒は{most}件。"),
            Lang::En => format!("Each bar is {span}; the tallest stands for {most}."),
        },
        from,
        to,
        bars,
    }
}

pub(super) fn span_name(micros: i64, lang: Lang) -> String {
    let seconds = micros / 1_000_000;
    let (amount, ja, one, many) = match seconds {
        s if s >= 86_400 => (s / 86_400, "日", "day", "days"),
        s if s >= 3_600 => (s / 3_600, "時間", "hour", "hours"),
        s if s >= 60 => (s / 60, "分", "minute", "minutes"),
        s => (s, "秒", "second", "seconds"),
    };
    let amount = u64::try_from(amount).unwrap_or_default();
    match lang {
        Lang::Ja => format!("{}{ja}", number(amount)),
        Lang::En => count(amount, one, many),
    }
}

fn rule_row(position: usize, summary: &RuleSummary, facts: &ReportFacts) -> RuleRow {
    let (rule, lang) = (&summary.rule, facts.lang);
    let (first, last) = summary.span;
    let of = |ja: &Option<String>, en: &Option<String>| {
        let chosen = match lang {
            Lang::Ja => ja.as_ref().or(en.as_ref()),
            Lang::En => en.as_ref(),
        };
        chosen.map(|text| visible(text.trim())).unwrap_or_default()
    };
    let list = |ja: &[String], en: &[String]| -> Vec<String> {
        let chosen = if lang == Lang::Ja && !ja.is_empty() { ja } else { en };
        let known = |item: &&String| !item.is_empty() && !item.eq_ignore_ascii_case("unknown");
        chosen.iter().filter(known).map(|item| visible(item)).collect()
    };
    let mut about = Vec::new();
    let techniques = tags::techniques(&rule.tags);
    if !techniques.is_empty() {
        about.push(format!("MITRE ATT&CK {}", techniques.join(", ")));
    }
    if let Some(author) = &rule.author {
        about.push(format!("{}{}", pick(lang, "作成者：", "Author: "), visible(author)));
    }
    if let Some(license) = &rule.license {
        about.push(format!("{}{}", pick(lang, "利用許諾：", "Licence: "), visible(license)));
    }
    RuleRow {
        number: position,
        class: rule.level.as_str(),
        word: rule.level.label(lang),
        title: visible(rule.title_in(lang)),
        findings: number(summary.findings),
        first: words::instant(first, &facts.zone),
        last: words::instant(last, &facts.zone),
        description: of(&rule.description_ja, &rule.description),
        check: list(&rule.check_ja, &rule.check),
        falsepositives: list(&rule.falsepositives_ja, &rule.falsepositives),
        about: about.join(pick(lang, "　", " · ")),
        id: rule.id.clone(),
    }
}

fn names_table(
    title: &'static str,
    column: &'static str,
    none: &'static str,
    names: &[NameSummary],
    lang: Lang,
) -> NamesTable {
    let row = |name: &NameSummary| {
        let level = name.levels.gravest().unwrap_or_default();
        NameRow {
            name: visible(&name.name),
            class: level.as_str(),
            word: level.label(lang),
            findings: number(name.levels.total()),
        }
    };
    let more = names.len().saturating_sub(NAMES_LISTED) as u64;
    NamesTable {
        title,
        column,
        none,
        rows: names.iter().take(NAMES_LISTED).map(row).collect(),
        more: match (more, lang) {
            (0, _) => String::new(),
            (more, Lang::Ja) => format!("ほかに{}件", number(more)),
            (more, Lang::En) => format!("and {} more", number(more)),
        },
    }
}

#[derive(Serialize)]
pub(super) struct Tail {
    files: Vec<FileRow>,
    more_files: String,
    notes: Vec<String>,
    unread: Vec<UnreadRow>,
    method: Vec<String>,
    sources: Vec<super::RuleSource>,
    refused: Vec<RefusedRow>,
    more_refused: String,
}

#[derive(Serialize)]
struct FileRow {
    path: String,
    sha256: String,
    note: String,
    bytes: String,
    events: String,
    findings: String,
    first: String,
    last: String,
}

#[derive(Serialize)]
struct UnreadRow {
    path: String,
    place: String,
    reason: String,
}

#[derive(Serialize)]
struct RefusedRow {
    name: String,
    reason: String,
}

impl Tail {
    pub fn new(report: &ScanReport, facts: &ReportFacts) -> Self {
        let lang = facts.lang;
        let read: Vec<_> = report.files.iter().filter(|file| file.kind.is_some()).collect();
        let more_files = read.len().saturating_sub(REPORT_FILES_MAX) as u64;
        let more_refused = facts.refused.len().saturating_sub(REPORT_REFUSED_MAX) as u64;
        let and_more = |more: u64| match (more, lang) {
            (0, _) => String::new(),
            (more, Lang::Ja) => format!("ほかに{}件", number(more)),
            (more, Lang::En) => format!("and {} more", number(more)),
        };
        let refused = facts.refused.iter().take(REPORT_REFUSED_MAX);
        Tail {
            files: read.iter().take(REPORT_FILES_MAX).map(|file| file_row(file, facts)).collect(),
            more_files: and_more(more_files),
            notes: notes(report, lang),
            unread: unread(report, lang),
            method: method(facts),
            sources: facts.sources.clone(),
            refused: refused
                .map(|(name, reason)| RefusedRow { name: visible(name), reason: visible(reason) })
                .collect(),
            more_refused: and_more(more_refused),
        }
    }
}

fn file_row(file: &FileSummary, facts: &ReportFacts) -> FileRow {
    let lang = facts.lang;
    let at = |at: Option<UtcMicros>| {
        at.map_or_else(|| "-".to_owned(), |at| words::instant(at, &facts.zone))
    };
    let note = match &file.same_as {
        Some(same) => match lang {
            Lang::Ja => format!("{} と同じ内容のため、一度だけ調べました", visible(same)),
            Lang::En => format!("the same content as {}, which was examined", visible(same)),
        },
        None if file.kind == Some(FileKind::Empty) => {
            pick(lang, "空のファイル", "empty").to_owned()
        }
        None => String::new(),
    };
    FileRow {
        path: visible(&file.path),
        sha256: file.sha256.clone(),
        note,
        bytes: number(file.bytes),
        events: number(file.events),
        findings: number(file.findings),
        first: at(file.span.map(|(first, _)| first)),
        last: at(file.span.map(|(_, last)| last)),
    }
}

/// What was read in part only, in sentences.
fn notes(report: &ScanReport, lang: Lang) -> Vec<String> {
    let mut notes = Vec::new();
    if report.cancelled {
        notes.push(
            pick(
                lang,
                "調査は途中で中断されました。この報告書にあるのは中断までに読み取った分だけです。",
                "The examination was interrupted. This report tells only what was read until then.",
            )
            .to_owned(),
        );
    }
    if report.unknown > 0 {
        notes.push(match lang {
            Lang::Ja => format!(
                "{}件の記録は形式が分からないため、文字列として調べました。特定の項目を見る規則はこれらに当てはまりません。",
                number(report.unknown)
            ),
            Lang::En => format!(
                "{} of no known form were examined as text only; rules that look at a certain field \
                 cannot match them.",
                count(report.unknown, "event", "events")
            ),
        });
    }
    if report.untimed > 0 {
        notes.push(match lang {
            Lang::Ja => format!(
                "{}件の記録には時刻がないため、調査を始めた時刻のものとして扱いました。",
                number(report.untimed)
            ),
            Lang::En => format!(
                "{} no time; they stand at the time when the examination began.",
                count(report.untimed, "event names", "events name")
            ),
        });
    }
    if report.imperfect > 0 {
        notes.push(match lang {
            Lang::Ja => format!("{}件の記録は一部だけ解釈できました。", number(report.imperfect)),
            Lang::En => {
                format!(
                    "{} could be interpreted in part only.",
                    count(report.imperfect, "event", "events")
                )
            }
        });
    }
    for notice in &report.notices {
        let title = visible(notice.rule.title_in(lang));
        notes.push(match lang {
            Lang::Ja => {
                format!("「{title}」：{}（{}件）", notice.kind.sentence(lang), number(notice.count))
            }
            Lang::En => format!(
                "\u{201c}{title}\u{201d}: {} ({})",
                notice.kind.sentence(lang),
                count(notice.count, "event", "events")
            ),
        });
    }
    notes
}

/// Files and places that could not be read, at most [`REPORT_FILES_MAX`].
fn unread(report: &ScanReport, lang: Lang) -> Vec<UnreadRow> {
    let whole = || pick(lang, "全体", "all of it").to_owned();
    let problems = report.problems.iter().map(|problem| UnreadRow {
        path: visible(&problem.path.to_string_lossy()),
        place: whole(),
        reason: visible(problem.reason.text(lang)),
    });
    let files = report.files.iter().flat_map(|file| {
        let skipped = file.skipped.as_ref().map(|reason| UnreadRow {
            path: visible(&file.path),
            place: whole(),
            reason: visible(reason.text(lang)),
        });
        let damages = file.damages.iter().map(|damage| UnreadRow {
            path: visible(&file.path),
            place: visible(damage.place.text(lang)),
            reason: visible(damage.reason.text(lang)),
        });
        let more = file.damaged - file.damages.len() as u64;
        let more = (more > 0).then(|| UnreadRow {
            path: visible(&file.path),
            place: match lang {
                Lang::Ja => format!("ほかに{}か所", number(more)),
                Lang::En => format!("{} more", count(more, "place", "places")),
            },
            reason: String::new(),
        });
        skipped.into_iter().chain(damages).chain(more).collect::<Vec<_>>()
    });
    problems.chain(files).take(REPORT_FILES_MAX).collect()
}

fn method(facts: &ReportFacts) -> Vec<String> {
    let lang = facts.lang;
    let mut told = vec![
        pick(
            lang,
            "各ファイルは読み取りだけを行い、変更していません。すべての記録を各検知規則（Sigma 形式）と照合しました。照合は機械的で、同じファイルと同じ規則からは同じ結果が得られます。",
            "The files were only read, never changed. Every event was compared with every rule (in the \
             Sigma format). The comparison is mechanical: the same files and rules give the same result.",
        )
        .to_owned(),
        pick(
            lang,
            "時刻は記録した機器の時計によるもので、その正確さは確かめていません。ログに残らない動き、消されたログ、規則のない攻撃は、この方法では見つかりません。",
            "Times are those of the clocks of the machines that wrote the logs; whether these were right \
             was not examined. What leaves no log, logs that were deleted, and attacks that no rule \
             describes cannot be found this way.",
        )
        .to_owned(),
    ];
    match (facts.from, facts.to) {
        (None, None) => {}
        (from, to) => {
            let at = |at: Option<UtcMicros>| {
                at.map(|at| words::instant(at, &facts.zone)).unwrap_or_default()
            };
            told.push(match lang {
                Lang::Ja => format!(
                    "調べた期間を次に限りました：{} から {}（終わりを含まない）。",
                    at(from),
                    at(to)
                ),
                Lang::En => format!(
                    "Only events of this period were examined: from {} up to, not including, {}.",
                    at(from),
                    at(to)
                ),
            });
        }
    }
    if facts.min_level > Level::Informational {
        let level = facts.min_level.label(lang);
        told.push(match lang {
            Lang::Ja => format!("重大度が「{level}」に満たない規則の検知は省きました。"),
            Lang::En => format!("Findings of rules below \u{201c}{level}\u{201d} were left out."),
        });
    }
    told
}
