use super::*;

fn read(text: &str) -> Result<Config> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("yagura.toml");
    std::fs::write(&path, text)?;
    Config::load(Some(&path), None, Lang::En)
}

#[test]
fn the_defaults_survive_a_round_trip_and_pass_their_own_check() {
    let defaults = Config::default();
    defaults.check().unwrap();
    assert_eq!(read(&toml::to_string(&defaults).unwrap()).unwrap(), defaults);
}

#[test]
fn unknown_keys_and_wrong_values_name_their_place() {
    for (text, place) in [
        ("[htpp]\nlisten = '127.0.0.1:1'\n", "htpp"),
        ("[http]\nlisten = 'everywhere'\n", "line 2"),
        ("[lake]\nkeep_raw = ['*', 'a b']\n", "lake.keep_raw: \"a b\" is not the name"),
        ("[lake]\nhot_mib = 1\n", "lake.hot_mib: 1 is out of range (16 to 65536)"),
        ("[lake.cold]\nafter_days = 90\n", "missing field `url`"),
        ("[lake.cold]\nurl = 'logs'\n", "write s3://bucket/prefix or file:///directory"),
        ("[lake.cold]\nurl = 's3://logs'\nafter_days = 0\n", "lake.cold.after_days: 0"),
        (
            "[lake.cold]\nurl = 's3://logs'\nendpoint = 'http://192.0.2.1:9000'\n",
            "allow_http = true",
        ),
        ("[lake.cold]\nurl = 's3://logs'\naccess_key_id = 'a'\n", "belong together"),
        (
            "[correlations]\nstate_mib = 15\n",
            "correlations.state_mib: 15 is out of range (16 to 65536)",
        ),
        ("[correlations]\nstate_mib = 65537\n", "correlations.state_mib"),
        ("[correlations]\nallowance_s = 604801\n", "correlations.allowance_s"),
        ("[time]\nsource_zone = 'Mars/Olympus'\n", "time.source_zone"),
        ("[rules]\ndirs = ['/nonexistent']\n", "/nonexistent is not a directory"),
        ("[rules]\nlists = ['/nonexistent']\n", "rules.lists: there is no /nonexistent"),
        ("[rules]\ntime_zone = 'Mars/Olympus'\n", "rules.time_zone"),
        (
            "[[source]]\nhost = 'a'\nzone = 'UTC'\n\n[[source]]\nhost = 'b'\nzone = 'Mars'\n",
            "the [[source]] with host = \"b\": zone: \"Mars\"",
        ),
        ("[[source]]\nhost = 'b'\nzone = 'Mars'\n", "zone: \"Mars\" is no IANA zone"),
        ("[[source]]\nhost = 'b'\nencoding = 'utf-17'\n", "write utf-8"),
        ("[[source]]\nhots = 'b'\nzone = 'UTC'\n", "line 2"),
        ("[[source]]\nhost='b'\ndataset='linux.auht'\n", "is it \"linux.auth\"?"),
        ("[retention]\nwarn_days = 0\n", "retention.warn_days: 0 is out of range (1 to 3650)"),
        (
            "[[retention.policy]]\nstreams=['pos/*']\nauthority='pci-dss'\nmaximum_days=90\n",
            "[[retention.policy]] number 1: maximum_days: 90 is less than the 365 days",
        ),
        ("[webhook]\nurl='ftp://x'\nsecret_file='s'\n", "webhook.url"),
        ("[webhook]\nurl='http://192.0.2.1/x'\nsecret_file='s'\n", "webhook.url"),
    ] {
        let error = format!("{:#}", read(text).unwrap_err());
        assert!(error.contains(place), "{text} gave {error}");
    }
}

#[test]
fn a_fault_is_told_in_the_language_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("yagura.toml");
    let told = |lang| format!("{:#}", Config::load(Some(&path), Some(lang), lang).unwrap_err());
    assert!(told(Lang::Ja).contains("を読み取れません"), "{}", told(Lang::Ja));
    std::fs::write(&path, "[lake]\nhot_mib = 1\n").unwrap();
    assert!(told(Lang::Ja).contains("に誤りがあります"), "{}", told(Lang::Ja));
    assert!(told(Lang::En).contains("is wrong"), "{}", told(Lang::En));
}

#[test]
fn a_file_that_is_not_understood_is_told_in_the_language_of_the_person() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("yagura.toml");
    let told = |text: &str, lang| {
        std::fs::write(&path, text).unwrap();
        format!("{:#}", Config::load(Some(&path), None, lang).unwrap_err())
    };
    let syntax = "[http]\nlisten = 'everywhere'\n";
    assert!(told(syntax, Lang::En).contains("`yagura config show` lists every key"));
    let ja = told(syntax, Lang::Ja);
    for part in ["に誤りがあります", "line 2", "yagura config show で確認できます"] {
        assert!(ja.contains(part), "{ja}");
    }
    let source = "[[source]]\nhost = 'b'\nzone = 'Mars'\n";
    let ja = told(source, Lang::Ja);
    let said = "host = \"b\" の [[source]]: zone: \"Mars\" は IANA のタイムゾーン名ではありません";
    assert!(ja.contains(said) && !ja.contains("is no IANA zone"), "{ja}");
    assert!(told(source, Lang::En).contains("zone: \"Mars\" is no IANA zone"));
}

#[test]
fn what_correlations_may_keep_is_as_configured() {
    assert_eq!(Config::default().correlations.options(), CorrelatorOptions::default());
    let config = read("[correlations]\nstate_mib = 16\nallowance_s = 604800\n").unwrap();
    let options = crate::backend::node_options(&config).unwrap().correlations;
    assert_eq!(options.state_bytes_max, 16 << 20);
    assert_eq!(options.allowance_micros, Some(604_800_000_000));
    read("[correlations]\nstate_mib = 65536\nallowance_s = 0\n").unwrap();
}

#[test]
fn settings_of_sources_are_read_and_shown_again() {
    let text = "[[source]]\npeer = '192.0.2.0/24'\nzone = 'Asia/Tokyo'\n\n\
                [[source]]\nhost = 'old*'\nencoding = 'cp932'\ndataset = 'linux.auth'\n";
    let config = read(text).unwrap();
    assert_eq!(config.source.len(), 2);
    assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn faults_are_told_in_the_language_of_the_file() {
    for (text, ja) in [
        ("[lake]\nhot_mib = 1\n", "lake.hot_mib: 1 は範囲外です（16～65536）"),
        ("[time]\nsource_zone = 'Mars/Olympus'\n", "タイムゾーン名ではありません"),
        ("[rules]\ndirs = ['/nonexistent']\n", "/nonexistent はディレクトリではありません"),
        ("[content]\ndirs = ['/nonexistent']\n", "/nonexistent がありません"),
        ("[[source]]\nhost='b'\ndataset='linux.auht'\n", "\"linux.auth\" のことですか"),
        ("[http]\nlisten = '0.0.0.0:1'\n", "待ち受けません"),
        ("[lake.cold]\nurl = 'logs'\n", "の形で書いてください"),
        ("[[retention.policy]]\nstreams=['a']\n", "[[retention.policy]] の1番目"),
    ] {
        let error = format!("{:#}", read(&format!("lang = 'ja'\n{text}")).unwrap_err());
        assert!(error.contains(ja) && error.contains("に誤りがあります"), "{text} gave {error}");
    }
}

/// The keys of a section, as the reader of the file itself lists them.
fn keys_of(section: &str) -> Vec<String> {
    let head = match section {
        "" => String::new(),
        "source" | "forward" | "enrich.network" | "retention.policy" => {
            format!("[[{section}]]\n")
        }
        _ => format!("[{section}]\n"),
    };
    let error = toml::from_str::<Config>(&format!("{head}zzz = 1\n")).unwrap_err();
    let text = error.message();
    let Some((_, expected)) = text.split_once("unknown field `zzz`, expected") else {
        return Vec::new();
    };
    let names = expected.split('`').skip(1).step_by(2);
    names
        .map(|name| if section.is_empty() { name.into() } else { format!("{section}.{name}") })
        .collect()
}

fn flat(prefix: &str, value: &toml::Value, into: &mut Vec<(String, String)>) {
    let toml::Value::Table(table) = value else {
        into.push((prefix.to_owned(), value.to_string()));
        return;
    };
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flat(&key, value, into);
    }
}

#[test]
fn every_key_is_explained_in_both_languages_with_its_default() {
    let mut keys = keys_of("");
    let mut next = 0;
    while let Some(key) = keys.get(next).cloned() {
        keys.extend(keys_of(&key));
        next += 1;
    }
    let is_section = |key: &str| keys.iter().any(|other| other.starts_with(&format!("{key}.")));
    let leaves: Vec<&String> = keys.iter().filter(|key| !is_section(key)).collect();
    assert!(leaves.len() > 40, "{leaves:?}");
    let mut defaults = Vec::new();
    flat("", &toml::Value::try_from(Config::default()).unwrap(), &mut defaults);
    for name in ["configuration.md", "configuration.ja.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let row = |key: &str| {
            let begin = format!("| `{key}` |");
            text.lines().find(|line| line.starts_with(&begin)).map(str::to_owned)
        };
        for key in &leaves {
            let row = row(key).unwrap_or_else(|| panic!("{name} has no row for {key}"));
            assert_eq!(row.matches(" | ").count(), 3, "{name}: {row}");
        }
        for (key, value) in &defaults {
            if let Some(row) = row(key) {
                assert!(row.contains(&format!("| `{value}` |")), "{name}: {key} = {value}: {row}");
            }
        }
        let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        toml::from_str::<Config>(example.unwrap()).unwrap();
    }
}

#[test]
fn only_loopback_is_listened_on() {
    for open in ["0.0.0.0:8440", "192.168.1.5:8440", "[::]:8440"] {
        let error = read(&format!("[http]\nlisten = '{open}'\n")).unwrap_err();
        assert!(format!("{error:#}").contains("administrator"), "{open}");
        let error = read(&format!("[syslog]\nudp = ['{open}']\n")).unwrap_err();
        assert!(format!("{error:#}").contains("administrator"), "{open}");
    }
    read("[http]\nlisten = '[::1]:8440'\n").unwrap();
}

#[test]
fn the_account_of_a_cold_store_is_read_from_a_file_of_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let text = format!(
        "[lake.cold]\nurl='s3://logs/a/'\naccess_key_id='me'\nsecret_file='{}'\n",
        path.display()
    );
    let config = read(&text).unwrap();
    let cold = config.lake.cold.clone().unwrap();
    assert_eq!((cold.after_days, cold.timeout_s, cold.options().every), (90, 20, None));
    assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    assert!(cold.access_key(Lang::En).is_err(), "there is none");
    let write = |text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        cold.access_key(Lang::En)
    };
    let key = write("hush\n", 0o600).unwrap().unwrap();
    assert_eq!((key.id.as_str(), key.secret.as_str()), ("me", "hush"));
    assert!(format!("{:#}", write("hush", 0o644).unwrap_err()).contains("chmod 600"));
    let length = |bytes: u64| "s".repeat(usize::try_from(bytes).unwrap());
    assert!(write(&length(SECRET_BYTES_MAX), 0o600).is_ok());
    for wrong in ["", "two words", &length(SECRET_BYTES_MAX + 1)] {
        assert!(write(wrong, 0o600).is_err());
    }
}
