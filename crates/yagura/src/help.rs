//! Help and mistakes of the command line in Japanese. The English texts stand at the commands
//! themselves; `content/help.ja.toml` has the Japanese for each.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::AddrParseError;
use std::num::ParseIntError;
use std::sync::LazyLock;
use yagura_event::{Lang, TimeError, Words};

/// English text to Japanese.
static JAPANESE: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    // A test reads the file, so what is embedded can be read.
    toml::from_str(include_str!("../../../content/help.ja.toml")).unwrap_or_default()
});

const TEMPLATE: &str = "\
{before-help}{about-with-newline}
使い方: {usage}

{all-args}{after-help}";

/// The language that is asked for, found before anything else is understood.
pub fn asked_for(arguments: impl IntoIterator<Item = String>) -> Option<Lang> {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--lang") {
            Some("") => arguments.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None if argument == "--" => return None,
            None => None,
        };
        if let Some(value) = value {
            return value.parse().ok();
        }
    }
    None
}

/// `help scan` as `scan --help`: clap's own command of that name speaks English.
pub fn without_help_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut at = 1;
    while let Some(argument) = arguments.get(at).and_then(|argument| argument.to_str()) {
        match argument {
            "--lang" => at += 2,
            argument if argument.starts_with("--lang=") => at += 1,
            "help" => {
                arguments.remove(at);
                arguments.push("--help".into());
                break;
            }
            _ => break,
        }
    }
    arguments
}

/// The command with its help in `lang`.
pub fn localized(command: Command, lang: Lang) -> Command {
    match lang {
        Lang::En => command,
        Lang::Ja => japanese(command),
    }
}

fn japanese(command: Command) -> Command {
    let about = command.get_about().map(translated);
    let long_about = command.get_long_about().map(translated);
    let after = command.get_after_help().map(translated);
    let after_long = command.get_after_long_help().map(translated);
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .help("ヘルプを表示する（--help は詳しい説明）");
    let version = Arg::new("version")
        .short('V')
        .long("version")
        .action(ArgAction::Version)
        .help("バージョンを表示する");
    let mut command = command
        .help_template(TEMPLATE)
        .subcommand_help_heading("コマンド")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .arg(help)
        .arg(version)
        .mut_args(argument);
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(about) = long_about {
        command = command.long_about(about);
    }
    if let Some(text) = after {
        command = command.after_help(text);
    }
    if let Some(text) = after_long {
        command = command.after_long_help(text);
    }
    for name in names {
        command = command.mut_subcommand(name, japanese);
    }
    command
}

fn argument(argument: Arg) -> Arg {
    let help = argument.get_help().map(translated);
    let long_help = argument.get_long_help().map(translated);
    let values: Vec<(String, String)> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .filter_map(|value| Some((value.get_name().to_owned(), translated(value.get_help()?))))
        .collect();
    let heading = if argument.is_positional() { "引数" } else { "オプション" };
    let mut argument = argument.help_heading(heading);
    let long = long_help.or_else(|| help.clone());
    if let Some(help) = help {
        argument = argument.help(help);
    }
    match long {
        Some(long) if !values.is_empty() => {
            let values: String =
                values.iter().map(|(name, help)| format!("\n- {name}: {help}")).collect();
            argument = argument.long_help(format!("{long}\n{values}")).hide_possible_values(true);
        }
        Some(long) => argument = argument.long_help(long),
        None => {}
    }
    argument
}

fn translated(text: &StyledStr) -> String {
    let text = text.to_string();
    let (prose, examples) = apart(&text);
    let mut said = JAPANESE.get(prose).cloned().unwrap_or_else(|| prose.to_owned());
    if let Some(examples) = examples {
        let paragraph = if said.is_empty() { "" } else { "\n\n" };
        said.push_str(&format!("{paragraph}例：\n{examples}"));
    }
    said
}

/// What is said, and the examples after it, which are the same in every language.
fn apart(text: &str) -> (&str, Option<&str>) {
    let marks = ["Examples:\n", "Example:\n"];
    match marks.iter().find_map(|mark| text.split_once(mark)) {
        Some((prose, examples)) => (prose.trim_end(), Some(examples)),
        None => (text, None),
    }
}

/// What is wrong with a command line, in Japanese; English where clap's own words are better than
/// none.
pub fn mistake(error: &clap::Error) -> Option<String> {
    let context = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join("、")),
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        Some(ContextValue::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let named = context(ContextKind::InvalidArg).unwrap_or_default();
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    let text = match error.kind() {
        ErrorKind::UnknownArgument => format!("{named} という引数はありません"),
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("{name} というコマンドはありません")
        }
        ErrorKind::MissingRequiredArgument => format!("必要な引数がありません：{named}"),
        ErrorKind::MissingSubcommand => "コマンドを指定してください".to_owned(),
        ErrorKind::InvalidValue if value.is_empty() => format!("{named} の値がありません"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!("：{}", reason(why)));
            format!("{named} に「{value}」は指定できません{}", why.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict => {
            let other = context(ContextKind::PriorArg).unwrap_or_default();
            match other == named {
                true => format!("{named} は1回だけ指定できます"),
                false => format!("{named} と {other} は同時に指定できません"),
            }
        }
        ErrorKind::TooManyValues => format!("{named} の値が多すぎます：{value}"),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{named} の値の数が違います")
        }
        ErrorKind::NoEquals => format!("{named} は = で値を指定してください"),
        ErrorKind::InvalidUtf8 => "引数にUTF-8ではない文字があります".to_owned(),
        _ => return None,
    };
    let mut text = format!("yagura: {text}");
    if let Some(valid) = context(ContextKind::ValidValue) {
        text.push_str(&format!("\n  指定できる値：{valid}"));
    }
    let suggestions =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    if let Some(near) = suggestions.into_iter().find_map(context) {
        text.push_str(&format!("\n  もしかして：{near}"));
    }
    text.push_str("\n  詳しくは --help を付けて実行してください");
    Some(text)
}

/// Why a value is none that is possible. Types of ours say it themselves; others are quoted.
fn reason(why: &(dyn std::error::Error + 'static)) -> String {
    if why.is::<ParseIntError>() {
        return "整数ではないか、範囲の外です".to_owned();
    }
    if let Some(words) = why.downcast_ref::<Words>() {
        return words.ja().to_owned();
    }
    if why.is::<AddrParseError>() {
        return "アドレスとポートを 127.0.0.1:8440 のように指定してください".to_owned();
    }
    if why.is::<TimeError>() {
        return "日時を 2026-11-21T10:00:00Z のように指定してください".to_owned();
    }
    let said = why.to_string();
    match said.split_once(" is not in ") {
        Some((_, range)) => format!("範囲は {range} です"),
        None => format!("値の形が違います（{said}）"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    fn texts(command: &Command, all: &mut BTreeSet<String>) {
        let own = [
            command.get_about(),
            command.get_long_about(),
            command.get_after_help(),
            command.get_after_long_help(),
        ];
        let arguments = command.get_arguments().flat_map(|argument| {
            let mut texts = vec![argument.get_help(), argument.get_long_help()];
            texts.retain(Option::is_some);
            let values = argument.get_possible_values();
            let values = values.iter().filter(|value| !value.is_hide_set());
            let values = values.filter_map(|value| value.get_help().map(ToString::to_string));
            texts.into_iter().flatten().map(ToString::to_string).chain(values).collect::<Vec<_>>()
        });
        let found = own.into_iter().flatten().map(ToString::to_string).chain(arguments);
        all.extend(found.map(|text| apart(&text).0.to_owned()).filter(|text| !text.is_empty()));
        command.get_subcommands().for_each(|command| texts(command, all));
    }

    #[test]
    fn every_text_of_the_help_is_there_in_japanese() {
        let mut all = BTreeSet::new();
        texts(&crate::Cli::command(), &mut all);
        let known: BTreeMap<String, String> =
            toml::from_str(include_str!("../../../content/help.ja.toml")).unwrap();
        let missing: Vec<_> = all.iter().filter(|text| !known.contains_key(*text)).collect();
        assert!(missing.is_empty(), "add to content/help.ja.toml: {missing:#?}");
        let stale: Vec<_> = known.keys().filter(|text| !all.contains(*text)).collect();
        assert!(stale.is_empty(), "no command says this any more: {stale:#?}");
        let same: Vec<_> = known.iter().filter(|(en, ja)| en == ja).collect();
        assert!(same.is_empty(), "not translated: {same:?}");
    }

    #[test]
    fn help_is_japanese_from_top_to_bottom() {
        let mut command = localized(crate::Cli::command(), Lang::Ja);
        let help = command.render_long_help().to_string();
        assert!(help.contains("使い方: yagura") && help.contains("コマンド:"), "{help}");
        let english = ["Usage:", "Options:", "Commands:", "Print help", "Find events"];
        assert!(english.iter().all(|text| !help.contains(text)), "{help}");
        let scan = command.find_subcommand_mut("scan").unwrap().render_long_help().to_string();
        assert!(english.iter().all(|text| !scan.contains(text)), "{scan}");
        localized(crate::Cli::command(), Lang::Ja).debug_assert();
    }

    #[test]
    fn mistakes_are_said_in_japanese() {
        let said = |arguments: &[&str]| {
            let command = localized(crate::Cli::command(), Lang::Ja);
            mistake(&command.try_get_matches_from(arguments).unwrap_err()).unwrap_or_default()
        };
        let lines = [
            said(&["yagura", "serch"]),
            said(&["yagura", "search", "--colums", "x"]),
            said(&["yagura", "search", "--limit", "many", "x"]),
            said(&["yagura", "alerts", "--level", "hot"]),
            said(&["yagura", "search", "x", "--data", "a", "--server", "http://b"]),
            said(&["yagura", "serve", "--http", "everywhere"]),
            said(&["yagura", "acts", "--kind", "web"]),
            said(&["yagura", "hunt", "indicators", "add", "x", "--confidence", "101"]),
            said(&["yagura", "hunt", "indicators", "add", "x", "--valid-until", "soon"]),
            said(&["yagura", "search", "x", "--limit", "1", "--limit", "2"]),
        ];
        let expected = [
            "yagura: serch というコマンドはありません\n  もしかして：serve、search",
            "yagura: --colums という引数はありません\n  もしかして：--columns",
            "yagura: --limit <LIMIT> に「many」は指定できません：整数ではないか、範囲の外です",
            "yagura: --level <LEVEL> に「hot」は指定できません：informational、low、medium、high、critical のどれかを指定してください",
            "yagura: --data <DIR> と --server <URL> は同時に指定できません",
            "yagura: --http <ADDRESS> に「everywhere」は指定できません：アドレスとポートを 127.0.0.1:8440 のように指定してください",
            "yagura: --kind <KIND> に「web」は指定できません：file、logon、failed_logons、process、powershell、web_visit、ssh、sudo、session、connections、audit、vpn のどれかを指定してください",
            "yagura: --confidence <CONFIDENCE> に「101」は指定できません：範囲は 0..=100 です",
            "yagura: --valid-until <INSTANT> に「soon」は指定できません：日時を 2026-11-21T10:00:00Z のように指定してください",
            "yagura: --limit <LIMIT> は1回だけ指定できます",
        ]
        .map(|line| format!("{line}\n  詳しくは --help を付けて実行してください"));
        assert_eq!(lines, expected);
    }

    #[test]
    fn help_and_version_are_asked_for_in_every_way() {
        let asked = |text: &str| {
            let arguments = without_help_command(text.split(' ').map(Into::into).collect());
            localized(crate::Cli::command(), Lang::Ja).try_get_matches_from(arguments).unwrap_err()
        };
        for text in ["yagura help", "yagura help scan", "yagura --lang ja help hunt feed"] {
            let shown = asked(text);
            assert_eq!(shown.kind(), ErrorKind::DisplayHelp, "{text}");
            assert!(shown.to_string().contains("使い方"), "{shown}");
        }
        assert_eq!(asked("yagura scan --version").kind(), ErrorKind::DisplayVersion);
        assert!(asked("yagura help scan").to_string().contains("yagura scan"));
    }

    #[test]
    fn the_language_is_found_first() {
        let asked = |text: &str| asked_for(text.split(' ').map(str::to_owned));
        assert_eq!(asked("yagura --lang ja search"), Some(Lang::Ja));
        assert_eq!(asked("yagura search --lang=en"), Some(Lang::En));
        assert_eq!(asked("yagura search -- --lang ja"), None);
        assert_eq!(asked("yagura search --language ja"), None);
    }
}
