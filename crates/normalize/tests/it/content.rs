//! Content of users: what it can do, and that it can do no harm.

use crate::common;
use common::run_of;
use yagura_event::Transport;
use yagura_normalize::limits::{
    CONTENT_ENTRIES_MAX, CONTENT_FILE_BYTES_MAX, CONTENT_FILES_MAX, GROK_PATTERNS_MAX,
};
use yagura_normalize::{ContentFile, Described, Normalizer};

const ACME: &str = r#"
[named]
ORDER = 'A-%{INT}'

[[field]]
name = "acme.order"
ja = "注文番号"
en = "Order"

[[field]]
name = "acme.cost"
type = "long"
ja = "金額"
en = "Cost"

[[dataset]]
name = "acme.shop"
columns = ["order", "cost"]

[[field]]
name = "order"
[[field]]
name = "cost"

[[line]]
dataset = "acme.shop"
grok = '%{TIMESTAMP_ISO8601:@timestamp} \[%{LOGLEVEL:log.level}\] %{USERNAME:user.name} ordered %{ORDER:acme.order} from %{IP:source.ip} in %{INT:event.duration}ms'
set = { "event.action" = "order" }

[[mapping]]
dataset = "acme.shop"
when = { "event.action" = "order" }
set_expr = { "event.duration" = "{event.duration|number} * 1000000" }

[[mapping]]
dataset = "acme.shop"
copy = { "acme.order" = "order" }
set_expr = { "acme.cost" = "round({cost|number} * 1.1)" }

[[sentence]]
dataset = "acme.shop"
ja = "{user.name|default:だれか} が {acme.order|default:何か} を注文した"
en = "{user.name|default:someone} ordered {acme.order|default:something}"

[[format]]
dataset = "web.access"
nginx = '$remote_addr "$request" $status $request_time [$time_local]'
sources = ["shop-*"]

[[pattern]]
program = "sshd"
match = "Acme says {event.action}"
dataset = "acme.shop"

[[sentence]]
dataset = "web.access"
when = { "user.name" = "*" }
ja = "（上書き）{user.name|default:利用者}"
en = "(overridden) {user.name|default:a user}"
"#;

fn file(name: &str, text: &str) -> ContentFile {
    ContentFile { name: name.to_owned(), text: text.to_owned() }
}

fn refusal(text: &str) -> String {
    match Normalizer::with_content(&[file("acme.toml", text)]) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn read(line: &str, transport: Transport) -> Described {
    let normalizer = Normalizer::with_content(&[file("acme.toml", ACME)]).unwrap();
    normalizer.describe(&run_of("import/a", transport, [line])).unwrap()
}

fn field(read: &Described, name: &str) -> Option<String> {
    read.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

#[test]
fn lines_columns_expressions_and_sentences_of_a_user() {
    let line = "2026-11-21T10:00:00+09:00 [WARN] tanaka ordered A-4711 from 203.0.113.9 in 25ms";
    let shop = read(line, Transport::SyslogTcp);
    assert_eq!(shop.dataset, "acme.shop");
    assert_eq!(shop.timestamp.to_string(), "2026-11-21T01:00:00.000000Z");
    assert_eq!(shop.sentence_ja, "tanaka が A-4711 を注文した");
    assert_eq!(field(&shop, "event.duration").as_deref(), Some("25000000"));
    assert_eq!(field(&shop, "source.ip").as_deref(), Some("203.0.113.9"));

    let mut normalizer = Normalizer::with_content(&[file("acme.toml", ACME)]).unwrap();
    let rows = ["time,order,cost,who", "2026/11/21 10:00,A-7,100,suzuki"];
    let mut described = None;
    for row in rows {
        described = normalizer.try_record(&run_of("import/b", Transport::File, [row]));
    }
    let row = described.unwrap();
    assert_eq!(row.dataset, "acme.shop");
    assert_eq!(row.sentence_en, "Someone ordered A-7");
    assert_eq!(field(&row, "acme.cost").as_deref(), Some("110"));
}

#[test]
fn what_a_user_says_goes_before_what_is_built_in() {
    let line = "<38>Nov 21 10:00:00 web01 sshd[1]: Acme says hello";
    assert_eq!(read(line, Transport::SyslogTcp).dataset, "acme.shop");
    let access = r#"192.0.2.7 - tanaka [21/Nov/2026:10:00:00 +0900] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(read(access, Transport::SyslogTcp).sentence_en, "(overridden) tanaka");
    // Only sources that are named so are read by the format.
    let own = r#"192.0.2.7 "GET /a HTTP/1.1" 200 0.5 [21/Nov/2026:10:00:00 +0900]"#;
    let normalizer = Normalizer::with_content(&[file("acme.toml", ACME)]).unwrap();
    let of = |stream: &str| normalizer.describe(&run_of(stream, Transport::File, [own])).unwrap();
    assert_eq!(of("shop-1").dataset, "web.access");
    assert_eq!(field(&of("shop-1"), "event.duration").as_deref(), Some("500000000"));
    assert_eq!(of("other").dataset, "unknown");
}

#[test]
fn errors_name_file_line_entry_and_remedy() {
    for (text, place, remedy) in [
        ("\n[[mapping]]\ndataset='nope'\n", "line 2: mapping 1", "add a [[dataset]]"),
        (
            "[[dataset]]\nname='a'\n[[mapping]]\ndataset='a'\nset={'user.nmae'='x'}",
            "line 3: mapping 1",
            "[[field]]",
        ),
        (
            "[[dataset]]\nname='a'\n[[line]]\ndataset='a'\ngrok='%{NOPE:user.name}'",
            "line 3: line 1",
            "[named]",
        ),
        ("[[dataset]]\nname='a'\n[[line]]\ndataset='a'\n", "line 3: line 1", "`match` or `grok`"),
        (
            "[[dataset]]\nname='a'\n[[mapping]]\ndataset='a'\nset_expr={'user.name'='loop'}",
            "line 3: mapping 1",
            "functions are",
        ),
        ("[[sentence]]\ndataset='a'\nja='x'\nen='{nope}'", "line 1: sentence 1", "[[field]]"),
        ("[[format]]\ndataset='web.access'\napache='%h'", "line 1: format 1", "needs a time"),
        ("\n[[field]]\nname='yagura.x'", "line 3: field", "choose another"),
        ("[[dataset]]\nname='a'\n[[dataset]]\nname='a'", "line 2: dataset", "remove one"),
        ("[named]\n'a b'='x'", "named", "letters, digits"),
        ("[[mapping]]\ndataset='a'\nrun='rm'", "line 3", "run"),
        ("include = '/etc/passwd'", "line 1", "include"),
        ("a = [", "line 1", "array"),
    ] {
        let error = refusal(text);
        assert!(error.contains("acme.toml"), "{text}: {error}");
        assert!(error.contains(place) && error.contains(remedy), "{text}: {error}");
    }
}

#[test]
fn limits_hold_at_the_limit_and_not_past_it() {
    let sized = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert_eq!(refusal(&sized(CONTENT_FILE_BYTES_MAX)), "accepted");
    assert!(refusal(&sized(CONTENT_FILE_BYTES_MAX + 1)).contains("split it"));
    let files = |count: usize| vec![file("x.toml", ""); count];
    assert!(Normalizer::with_content(&files(CONTENT_FILES_MAX)).is_ok());
    assert!(Normalizer::with_content(&files(CONTENT_FILES_MAX + 1)).is_err());
    let entries = |count: usize| {
        (0..count).map(|number| format!("[[field]]\nname='f{number}'\n")).collect::<String>()
    };
    assert_eq!(refusal(&entries(CONTENT_ENTRIES_MAX)), "accepted");
    assert!(refusal(&entries(CONTENT_ENTRIES_MAX + 1)).contains("leave some out"));
    let groks = |count: usize| {
        let line = "[[line]]\ndataset='a'\ngrok='x %{INT:process.pid}'\n";
        format!("[[dataset]]\nname='a'\n{}", line.repeat(count))
    };
    assert_eq!(refusal(&groks(GROK_PATTERNS_MAX)), "accepted");
    assert!(refusal(&groks(GROK_PATTERNS_MAX + 1)).contains("as `match`"));
}

#[test]
fn a_hostile_file_is_refused_or_harmless() {
    let line =
        |grok: &str| format!("[[dataset]]\nname='a'\n[[line]]\ndataset='a'\ngrok='{grok}'\n");
    let deep = "[".repeat(100_000);
    assert_ne!(refusal(&format!("a = {deep}")), "accepted");
    let nested = "a = ".to_owned() + &"{b = ".repeat(50_000);
    assert_ne!(refusal(&nested), "accepted");
    let laughs: String = (0..40).map(|n| format!("P{n}='%{{P{0}}}%{{P{0}}}'\n", n + 1)).collect();
    assert_ne!(refusal(&format!("[named]\n{laughs}P40='a'\n{}", line("%{P28}"))), "accepted");
    assert_ne!(refusal(&format!("[named]\nA='%{{B}}'\nB='%{{A}}'\n{}", line("%{A}"))), "accepted");
    assert_ne!(refusal(&line("(((x{99}){99}){99}){99}")), "accepted");
    // What brings a backtracking engine to a halt is read in linear time here, or not at all.
    let text = line("(x+x+)+y (?<user.name>.*)");
    let normalizer = Normalizer::with_content(&[file("a.toml", &text)]).unwrap();
    let read =
        normalizer.describe(&run_of("s", Transport::SyslogTcp, ["x".repeat(1 << 20)])).unwrap();
    assert_eq!(read.dataset, "unknown");
}
