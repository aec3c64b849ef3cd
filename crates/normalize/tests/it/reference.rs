//! The reference pages in `docs/reference` say what the content says. `YAGURA_UPDATE_DOCS=1` writes them.

use crate::common;
use common::{describe_sample, normalizer};
use std::collections::BTreeMap;
use std::fmt::Write;
use yagura_event::{FieldDictionary, FieldType, Lang};
use yagura_normalize::DatasetAbout;

/// Point 3.2.3 of the annex of Commission Implementing Regulation (EU) 2024/2690, in short.
const NIS2: [(&str, &str, &str); 12] = [
    ("a", "network traffic in and out", "内外のネットワーク通信"),
    (
        "b",
        "users created, changed, deleted; permissions extended",
        "利用者の作成・変更・削除、権限の拡大",
    ),
    ("c", "access to systems and applications", "システムとアプリケーションへのアクセス"),
    ("d", "authentication", "認証"),
    ("e", "privileged access and what administrators do", "特権アクセスと管理者の操作"),
    ("f", "critical configuration and backup files", "重要な設定ファイルとバックアップ"),
    ("g", "event logs and logs of security tools", "イベントログと防御製品のログ"),
    ("h", "use and performance of system resources", "システム資源の使用と性能"),
    ("i", "physical access", "施設への入退"),
    ("j", "network equipment", "ネットワーク機器"),
    ("k", "logging started, stopped, paused", "ログの開始・停止・中断"),
    ("l", "environment", "環境（温度、電源など）"),
];

fn in_lang<'a>(lang: Lang, ja: &'a str, en: &'a str) -> &'a str {
    match lang {
        Lang::Ja => ja,
        Lang::En => en,
    }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What the first part of a dataset's name stands for.
fn family(prefix: &str, lang: Lang) -> &str {
    match prefix {
        "windows" => "Windows",
        "linux" => in_lang(lang, "Linux と Unix", "Linux and Unix"),
        "network" => in_lang(lang, "ネットワーク機器と防御製品", "Network and security devices"),
        "cloud" => in_lang(lang, "クラウドと ID 管理", "Cloud and identity services"),
        "web" => in_lang(lang, "ウェブサーバーとプロキシ", "Web servers and proxies"),
        "security" => in_lang(lang, "防御製品（共通形式）", "Security products (common formats)"),
        "app" => in_lang(lang, "アプリケーション", "Applications"),
        "database" => in_lang(lang, "データベース", "Databases"),
        "file" => in_lang(lang, "ファイル共有", "File services"),
        "mail" => in_lang(lang, "メール", "Mail"),
        "container" => in_lang(lang, "コンテナー", "Containers"),
        "kubernetes" => "Kubernetes",
        "act" => in_lang(
            lang,
            "行為（複数のイベントからまとめたもの）",
            "Acts, put together from several events",
        ),
        other => other,
    }
}

fn datasets(lang: Lang) -> String {
    let normalizer = normalizer();
    let mut families: BTreeMap<&str, Vec<&DatasetAbout>> = BTreeMap::new();
    for about in normalizer.datasets() {
        if !about.title_en.is_empty() {
            let prefix = about.name.split('.').next().unwrap();
            families.entry(prefix).or_default().push(about);
        }
    }
    let mut page = String::from(in_lang(
        lang,
        "# データセット\n\n届いた記録は、内容から次のどれかに分けられます。このページは `content/mappings` から作られています。[English](datasets.md)\n\n",
        "# Datasets\n\nEvery record is told apart by its content into one of these. This page is made from `content/mappings`. [日本語](datasets.ja.md)\n\n",
    ));
    for (prefix, members) in &families {
        writeln!(page, "* **{}**: {}", family(prefix, lang), {
            let link = |about: &&DatasetAbout| {
                format!("[`{0}`](#{1})", about.name, about.name.replace('.', ""))
            };
            members.iter().map(link).collect::<Vec<_>>().join(", ")
        })
        .unwrap();
    }
    page.push_str(in_lang(
        lang,
        "\nNIS2 の区分（実施規則 (EU) 2024/2690 附属書 3.2.3）：\n\n",
        "\nThe NIS2 categories (Implementing Regulation (EU) 2024/2690, annex, 3.2.3):\n\n",
    ));
    for (letter, en, ja) in NIS2 {
        writeln!(page, "* ({letter}) {}", in_lang(lang, ja, en)).unwrap();
    }
    for (prefix, members) in &families {
        writeln!(page, "\n## {}", family(prefix, lang)).unwrap();
        for about in members {
            dataset(&mut page, about, lang);
        }
    }
    page
}

fn dataset(page: &mut String, about: &DatasetAbout, lang: Lang) {
    let line = |page: &mut String, what: &str, text: String| {
        writeln!(page, "* **{what}**{} {text}", in_lang(lang, "：", ":")).unwrap();
    };
    writeln!(page, "\n### {}\n", about.name).unwrap();
    let (title, text, send) = match lang {
        Lang::Ja => (&about.title_ja, &about.about_ja, &about.send_ja),
        Lang::En => (&about.title_en, &about.about_en, &about.send_en),
    };
    writeln!(page, "**{title}**{}{text}\n", in_lang(lang, "：", ". ")).unwrap();
    line(page, in_lang(lang, "送り方", "How to send it"), send.to_string());
    let quoted = |list: &[Box<str>]| {
        list.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
    };
    if !about.channels.is_empty() {
        line(page, in_lang(lang, "イベントログ", "Event logs"), quoted(&about.channels));
    }
    if !about.programs.is_empty() {
        line(
            page,
            in_lang(lang, "syslog のプログラム名", "Syslog programs"),
            quoted(&about.programs),
        );
    }
    let categories: Vec<_> = about.nis2.iter().map(|letter| format!("({letter})")).collect();
    let mut serves = format!("NIS2 {}", categories.join(" "));
    if let Some(class) = &about.asd {
        write!(serves, "; ASD: {class}").unwrap();
    }
    line(page, in_lang(lang, "対応する区分", "Serves"), serves);
    if let Some(sample) = &about.sample {
        let read = describe_sample(sample);
        let sentence = match lang {
            Lang::Ja => &read.sentence_ja,
            Lang::En => &read.sentence_en,
        };
        let fence = if sample.contains("```") { "~~~~" } else { "```" };
        writeln!(page, "\n{fence}\n{}\n{fence}\n\n> {}", sample.trim_end(), cell(sentence))
            .unwrap();
    }
}

fn fields(dictionary: &FieldDictionary, lang: Lang) -> String {
    let mut sigma: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (dataset, names) in dictionary.sigma_names() {
        for (name, column) in names {
            let place = if dataset == "*" { String::new() } else { format!(" ({dataset})") };
            sigma.entry(column).or_default().push(format!("`{name}`{place}"));
        }
    }
    let mut page = String::from(in_lang(
        lang,
        "# フィールド\n\n名前は ECS 9 に従います。ここに無い名前は、送り手が書いたままの名前の列になります。このページは `content/fields` から作られています。[English](fields.md)\n\n| フィールド | 呼び名 | 型 | OCSF | M-21-31 | Sigma での名前 |\n|---|---|---|---|---|---|\n",
        "# Fields\n\nNames follow ECS 9. A name that is not here becomes a column under the name its sender gave it. This page is made from `content/fields`. [日本語](fields.ja.md)\n\n| Field | Label | Type | OCSF | M-21-31 | Called in Sigma |\n|---|---|---|---|---|---|\n",
    ));
    for field in dictionary.fields() {
        let kind = match field.kind {
            FieldType::Keyword => "keyword",
            FieldType::Ip => "ip",
            FieldType::Text => "text",
            FieldType::Long => "long",
            FieldType::Date => "date",
            FieldType::Binary => "binary",
            _ => "?",
        };
        let asked = if field.m2131 { in_lang(lang, "要", "yes") } else { "" };
        let ocsf = field.ocsf.as_ref().map(|path| format!("`{path}`")).unwrap_or_default();
        writeln!(
            page,
            "| `{}` | {} | {kind} | {ocsf} | {asked} | {} |",
            field.name,
            cell(in_lang(lang, &field.ja, &field.en)),
            cell(&sigma.get(field.name.as_str()).map(|names| names.join(", ")).unwrap_or_default()),
        )
        .unwrap();
    }
    page
}

#[test]
fn the_reference_pages_are_those_of_the_content() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let dictionary = yagura_normalize::Normalizer::embedded_dictionary();
    let pages = [
        ("datasets.md", datasets(Lang::En)),
        ("datasets.ja.md", datasets(Lang::Ja)),
        ("fields.md", fields(&dictionary, Lang::En)),
        ("fields.ja.md", fields(&dictionary, Lang::Ja)),
    ];
    let mut stale = Vec::new();
    for (name, page) in pages {
        let path = folder.join(name);
        if std::env::var_os("YAGURA_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&page) {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "docs/reference is not up to date ({}): run `YAGURA_UPDATE_DOCS=1 cargo nextest run -p yagura-normalize reference`",
        stale.join(", ")
    );
}
