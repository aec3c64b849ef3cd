//! Batches, enriched: addresses, networks, hosts, users; and files that are wrong or change.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use common::{cities, country, database, map, systems, text};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use yagura_enrich::{EnrichError, Enricher, Enrichment, Inventory, Kind, Settings};
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Lang, Record, StreamName, Transport,
    UtcMicros,
};

/// A batch of rows of `field=value`, separated by `|`.
fn batch(rows: &[&str]) -> EventBatch {
    let dictionary = "[[field]]\nname='source.as.number'\ntype='long'\nja='x'\nen='x'\n";
    let dictionary = Arc::new(FieldDictionary::from_toml(dictionary).unwrap());
    let record = |_: &&str| Record {
        received: UtcMicros::from_micros(1),
        transport: Transport::SyslogUdp,
        peer: "192.0.2.1:514".into(),
        identity: "none".into(),
        bytes: b"x".to_vec().into(),
    };
    let run = CommittedRun {
        stream: StreamName::new("syslog").unwrap(),
        batch: 1,
        batch_salt: [0; 32],
        first_index: 0,
        records: rows.iter().map(record).collect(),
    };
    let mut builder = BatchBuilder::new("test", dictionary);
    for ((index, record), row) in run.indexed().zip(rows) {
        builder.begin_row(&run, index, record);
        for (name, value) in row.split('|').filter_map(|pair| pair.split_once('=')) {
            builder.set(name, value);
        }
    }
    builder.finish().unwrap()
}

/// What was added or changed in each row, as `field=value`.
fn added(before: &EventBatch, after: &EventBatch) -> Vec<Vec<String>> {
    let cells = |batch: &EventBatch, row: usize| -> BTreeMap<String, String> {
        let schema = batch.columns.schema();
        let columns = schema.fields().iter().zip(batch.columns.columns());
        columns
            .filter(|(_, column)| arrow::array::Array::is_valid(column, row))
            .map(|(field, column)| {
                let text = arrow::util::display::array_value_to_string(column, row).unwrap();
                (field.name().clone(), text)
            })
            .collect()
    };
    (0..after.rows())
        .map(|row| {
            let old = cells(before, row);
            let new = cells(after, row);
            assert!(old.keys().all(|name| new.contains_key(name)), "nothing is taken away");
            new.iter()
                .filter(|(name, value)| old.get(*name) != Some(value))
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        })
        .collect()
}

fn enriched(settings: &str, rows: &[&str]) -> Vec<Vec<String>> {
    let settings: Settings = toml::from_str(settings).unwrap();
    let mut enricher = Enricher::new(Arc::new(Enrichment::load(&settings).unwrap()));
    let before = batch(rows);
    let after = enricher.enrich(before.clone());
    // What was remembered is what was learnt.
    let again = enricher.enrich(before.clone());
    assert_eq!(after.columns, again.columns);
    added(&before, &after)
}

fn written(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    // As updaters do: the file is whole at every moment.
    let new = dir.join("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path.display().to_string()
}

#[test]
fn public_addresses_have_a_place_and_a_system() {
    let dir = tempfile::tempdir().unwrap();
    let city = written(dir.path(), "city.mmdb", cities());
    let asn = written(dir.path(), "asn.mmdb", systems());
    let geo = |lang: &str| format!("[geo]\ncity = {city:?}\nasn = {asn:?}\nnames = {lang:?}\n");
    let rows = [
        "source.ip=203.0.113.200|destination.ip=10.0.0.1",
        "source.ip=203.0.113.1|source.geo.city_name=Amsterdam",
        "source.ip=::ffff:203.0.113.200|source.as.number=7",
        "client.ip=2001:db8:1::7|server.ip=198.51.100.9",
        "source.ip=192.168.1.1",
        "source.ip=garbage",
        "source.ip=192.0.2.1",
    ];
    assert_eq!(
        enriched(&geo("ja"), &rows),
        [
            vec![
                "source.as.number=64496",
                "source.as.organization.name=Example Net",
                "source.geo.city_name=千代田区",
                "source.geo.country_iso_code=JP",
                "source.geo.country_name=日本",
                "source.geo.region_name=東京都",
            ],
            // What the event says of the place stands, and is not mixed with what a database says.
            vec!["source.as.number=64496", "source.as.organization.name=Example Net"],
            vec![
                "source.geo.city_name=千代田区",
                "source.geo.country_iso_code=JP",
                "source.geo.country_name=日本",
                "source.geo.region_name=東京都",
            ],
            vec![
                "client.geo.city_name=千代田区",
                "client.geo.country_iso_code=JP",
                "client.geo.country_name=日本",
                "client.geo.region_name=東京都",
                "server.as.number=64511",
                "server.as.organization.name=例示通信",
            ],
            vec![],
            vec![],
            vec![],
        ]
    );
    let english = enriched(&geo("en"), &rows[..1]);
    assert!(english[0].contains(&"source.geo.country_name=Japan".to_owned()), "{english:?}");
}

#[test]
fn networks_are_named_and_directions_follow() {
    let settings = "[[network]]\nname = '本社'\ncidr = ['10.1.0.0/16']\nzone = 'office'\n\
                    [[network]]\nname = 'DMZ'\ncidr = ['203.0.113.0/28']\n";
    let rows = [
        "source.ip=10.1.2.3|destination.ip=198.51.100.1",
        "source.ip=198.51.100.1|destination.ip=203.0.113.5",
        "source.ip=10.1.2.3|destination.ip=192.168.0.1",
        "source.ip=198.51.100.1|destination.ip=198.51.100.2",
        "source.ip=10.1.2.3|destination.ip=224.0.0.1",
        "source.ip=10.1.2.3",
        "source.ip=10.1.2.3|destination.ip=198.51.100.1|network.direction=inbound",
    ];
    let office = ["source.network.name=本社", "source.network.zone=office"];
    let with = |first: &[&str]| {
        let mut all: Vec<String> = first.iter().map(|text| (*text).to_owned()).collect();
        all.extend(office.iter().map(|text| (*text).to_owned()));
        all
    };
    assert_eq!(
        enriched(settings, &rows),
        [
            with(&["network.direction=outbound"]),
            vec!["destination.network.name=DMZ".into(), "network.direction=inbound".into()],
            with(&["network.direction=internal"]),
            vec!["network.direction=external".into()],
            with(&[]),
            with(&[]),
            // The device knows its own interfaces.
            with(&[]),
        ]
    );
}

const USERS: &str = "\
name,sid,email,full_name,department,title,roles,privileged,employee
alice;adm-alice,S-1-5-21-1-2-3-1105,Alice@corp.example,青木 アリス,経理部,課長,,no,17
bob,,bob@corp.example,Bob Baker,IT,,\"Domain Admins, Backup\",YES,18
";

const ASSETS: &str = "\
ホスト名;IPアドレス;重要度;管理者;用途;設置場所
dc01.corp.example;10.1.0.10;最重要;IT;ドメインコントローラー;本社
ws7;;low;;;
";

#[test]
fn users_and_assets_are_joined_in() {
    let dir = tempfile::tempdir().unwrap();
    let users = written(dir.path(), "users.csv", USERS);
    let (japanese, _, _) = encoding_rs::SHIFT_JIS.encode(ASSETS);
    let assets = written(dir.path(), "assets.csv", japanese);
    let settings = format!("[inventory]\nusers = [{users:?}]\nassets = [{assets:?}]\n");
    let alice = [
        "user.department=経理部",
        "user.full_name=青木 アリス",
        "user.privileged=false",
        "user.title=課長",
    ];
    let bob_target = [
        "user.target.department=IT",
        "user.target.full_name=Bob Baker",
        "user.target.privileged=true",
        "user.target.roles=Domain Admins, Backup",
    ];
    let dc = [
        "host.asset.criticality=critical",
        "host.asset.name=dc01.corp.example",
        "host.location=本社",
        "host.owner=IT",
        "host.purpose=ドメインコントローラー",
    ];
    for (row, expected) in [
        ("user.name=ALICE", &alice[..]),
        ("user.name=CORP\\Alice", &alice),
        ("user.name=alice@corp.example", &alice),
        ("user.name=adm-alice", &alice),
        ("user.id=s-1-5-21-1-2-3-1105|user.name=renamed", &alice),
        ("user.email=alice@corp.example|user.name=bob", &alice),
        ("user.name=alice@other.example", &[]),
        ("user.name=nobody", &[]),
        ("user.target.name=bob", &bob_target),
        // The role that is given is the event's, and where it does not say which, nothing is.
        (
            "user.name=nobody|user.target.name=bob|user.target.roles=Reader",
            &[
                "user.target.department=IT",
                "user.target.full_name=Bob Baker",
                "user.target.privileged=true",
            ],
        ),
        (
            "user.name=bob|user.roles=Global Administrator",
            &["user.department=IT", "user.full_name=Bob Baker", "user.privileged=true"],
        ),
        (
            "user.name=bob|user.target.name=carol",
            &["user.department=IT", "user.full_name=Bob Baker", "user.privileged=true"],
        ),
        ("host.name=DC01", &dc),
        ("host.name=dc01.corp.example.", &dc),
        ("host.name=dc01.other.example", &[]),
        ("host.name=10.1.0.10", &dc),
        ("host.name=other|host.ip=10.1.0.10", &dc),
        ("host.name=WS7.corp.example", &["host.asset.criticality=low", "host.asset.name=ws7"]),
        // What the inventory says stands over what the event claims.
        (
            "host.name=ws7|host.asset.criticality=critical",
            &["host.asset.criticality=low", "host.asset.name=ws7"],
        ),
        (
            "source.ip=10.1.0.10",
            &["source.asset.criticality=critical", "source.asset.name=dc01.corp.example"],
        ),
        (
            "destination.domain=dc01|destination.ip=192.0.2.9",
            &["destination.asset.criticality=critical", "destination.asset.name=dc01.corp.example"],
        ),
        // Somebody else's.
        ("destination.domain=ws7.example.com", &[]),
        (
            "destination.domain=ws7",
            &["destination.asset.criticality=low", "destination.asset.name=ws7"],
        ),
    ] {
        // With others around it, so that values and rows are no pairs.
        let rows = ["user.name=nobody", row, "host.name=nothing|user.name=bob", row];
        let found = enriched(&settings, &rows);
        assert_eq!((&found[1], &found[3]), (&found[3], &found[1]));
        assert_eq!(found[1], expected, "{row}");
        assert!(found[0].is_empty() && found[2].len() == 4, "{found:?}");
    }
    let enrichment = Enrichment::load(&toml::from_str(&settings).unwrap()).unwrap();
    assert_eq!(enrichment.inventory(Kind::Users).unwrap().ignored(), ["employee"]);
}

#[test]
fn nothing_known_changes_nothing() {
    let before = batch(&["source.ip=203.0.113.1|user.name=x"]);
    let mut enricher = Enricher::new(Arc::default());
    assert_eq!(enricher.enrich(before.clone()).columns, before.columns);
    assert!(enriched("[[network]]\nname='x'\ncidr=['::/0']\n", &["a=b"])[0].is_empty());
}

#[test]
fn columns_hold_at_the_limit_and_not_past_it() {
    use yagura_event::limits::COLUMNS_PER_DATASET_MAX;
    let settings: Settings =
        toml::from_str("[[network]]\nname='x'\ncidr=['10.0.0.0/8']\nzone='z'\n").unwrap();
    for (spare, left_out) in [(2, 0), (1, 1)] {
        let one = batch(&["source.ip=10.0.0.1"]).columns.num_columns();
        let names: Vec<String> = (0..COLUMNS_PER_DATASET_MAX - one - spare)
            .map(|number| format!("f{number}=x"))
            .collect();
        let before = batch(&[&format!("source.ip=10.0.0.1|{}", names.join("|"))]);
        let mut enricher = Enricher::new(Arc::new(Enrichment::load(&settings).unwrap()));
        let after = enricher.enrich(before);
        assert_eq!(after.columns.num_columns(), COLUMNS_PER_DATASET_MAX);
        assert_eq!(enricher.left_out(), left_out, "{spare}");
    }
}

#[test]
fn what_is_wrong_with_a_csv_is_named_with_line_and_column() {
    use yagura_enrich::limits::{
        CELL_BYTES_MAX, INVENTORY_COLUMNS_MAX, INVENTORY_FILES_MAX, KEYS_PER_CELL_MAX,
    };
    let said = |kind, csv: &[u8]| match Inventory::read(kind, "list.csv", csv) {
        Ok(_) => String::new(),
        Err(error) => {
            assert!(error.text(Lang::Ja).contains("list.csv"), "{error}");
            error.to_string()
        }
    };
    for (kind, csv, parts) in [
        (Kind::Users, &b""[..], &["line 1", "name, sid, email"][..]),
        (Kind::Users, b"department\nIT\n", &["line 1", "name, sid, email"]),
        (Kind::Assets, b"owner\nx\n", &["name, ip"]),
        (Kind::Users, b"name\na\n\"b\nc\"\nA\n", &["line 5", "\"name\"", "line 2 of list.csv"]),
        (Kind::Users, b"name,privileged\na,perhaps\n", &["line 2", "\"privileged\"", "yes nor no"]),
        (Kind::Assets, b"name,criticality\na,9\n", &["line 2", "criticality", "low, medium"]),
        (Kind::Assets, b"name,ip\na,10.0.0\n", &["line 2", "\"ip\"", "10.0.0"]),
        (Kind::Assets, b"name,ip\na,10.0.0.1\nb,10.0.0.1\n", &["line 3", "line 2"]),
        (Kind::Users, b"name,department\n,IT\n", &["line 2", "nothing to find it by"]),
        (Kind::Users, b"name,department\n;,IT\n", &["line 2", "nothing to find it by"]),
        (Kind::Assets, b"name,owner\n.;..,IT\n", &["line 2", "nothing to find it by"]),
        (Kind::Assets, b"name,ip\n10.0.0.1,\nb,10.0.0.1\n", &["line 3", "line 2"]),
        (Kind::Users, b"name,title,job_title\na,b,c\n", &["line 1", "job_title", "leave one out"]),
        (Kind::Users, b"name,department\na,b,c\n", &["line 2", "3 cells", "header has 2"]),
        (Kind::Users, b"name\na\n\xff\xff\xff\n", &["line 3", "UTF-8"]),
        (Kind::Users, b"n\0a\0m\0e\0\n", &["line 1", "UTF-8"]),
    ] {
        let said = said(kind, csv);
        let text = String::from_utf8_lossy(csv);
        assert!(parts.iter().all(|part| said.contains(part)), "{text:?}: {said}");
    }
    let fits = |csv: String| said(Kind::Users, csv.as_bytes()).is_empty();
    let cell = |bytes: usize| format!("name,title\na,{}\n", "x".repeat(bytes));
    assert!(fits(cell(CELL_BYTES_MAX)) && !fits(cell(CELL_BYTES_MAX + 1)));
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|number| format!("u{number}")).collect();
        format!("name\n{}\n", keys.join(";"))
    };
    assert!(fits(keys(KEYS_PER_CELL_MAX)) && !fits(keys(KEYS_PER_CELL_MAX + 1)));
    let columns = |count: usize| format!("name{}\na\n", ",x".repeat(count - 1));
    assert!(fits(columns(INVENTORY_COLUMNS_MAX)) && !fits(columns(INVENTORY_COLUMNS_MAX + 1)));
    // No wider further down, even where nothing is in the cells. Quoted separators make no cells.
    let empty = |count: usize| {
        format!("name;a\nb;\"{}\"\n{}\n", ";\"\";".repeat(200), ";".repeat(count - 1))
    };
    assert!(fits(empty(INVENTORY_COLUMNS_MAX)));
    let wide = said(Kind::Users, empty(INVENTORY_COLUMNS_MAX + 1).as_bytes());
    assert!(wide.contains("line 3") && wide.contains("columns"), "{wide}");
    let dir = tempfile::tempdir().unwrap();
    let files = |count: usize| {
        let files: Vec<String> = (0..count)
            .map(|number| written(dir.path(), &format!("{number}"), format!("name\nu{number}\n")))
            .collect();
        Enrichment::load(&toml::from_str(&format!("[inventory]\nusers = {files:?}\n")).unwrap())
    };
    assert_eq!(
        files(INVENTORY_FILES_MAX).unwrap().inventory(Kind::Users).unwrap().len(),
        INVENTORY_FILES_MAX
    );
    assert!(files(INVENTORY_FILES_MAX + 1).is_err());
}

#[test]
fn rows_and_bytes_hold_at_the_limit_and_not_past_it() {
    use yagura_enrich::limits::{INVENTORY_BYTES_MAX, INVENTORY_ROWS_MAX};
    let rows = |count: usize| {
        let mut csv = String::from("name\n");
        (0..count).for_each(|number| csv.push_str(&format!("u{number}\n")));
        Inventory::read(Kind::Users, "x", csv.as_bytes())
    };
    assert_eq!(rows(INVENTORY_ROWS_MAX).unwrap().len(), INVENTORY_ROWS_MAX);
    let error = rows(INVENTORY_ROWS_MAX + 1).unwrap_err().to_string();
    assert!(error.contains(&format!("line {}", INVENTORY_ROWS_MAX + 2)), "{error}");
    let bytes = |count: u64| {
        let mut csv = b"name\nu\n".to_vec();
        csv.resize(usize::try_from(count).unwrap(), b'\n');
        Inventory::read(Kind::Users, "x", &csv)
    };
    assert!(bytes(INVENTORY_BYTES_MAX).is_ok());
    assert!(matches!(bytes(INVENTORY_BYTES_MAX + 1), Err(EnrichError::TooLarge { .. })));
}

#[test]
fn short_names_of_several_machines_are_nobodys() {
    let csv = b"name\nweb.a.example\nweb.b.example\ndb.a.example;db.b.example\n";
    let dir = tempfile::tempdir().unwrap();
    let assets = written(dir.path(), "assets.csv", csv);
    let settings = format!("[inventory]\nassets = [{assets:?}]\n");
    let found = enriched(&settings, &["host.name=web", "host.name=web.b.example", "host.name=db"]);
    assert!(found[0].is_empty());
    assert_eq!(found[1], ["host.asset.name=web.b.example"]);
    assert_eq!(found[2], ["host.asset.name=db.a.example"]);
}

#[test]
fn dots_and_addresses_in_names_are_read_as_they_are_looked_up() {
    let dir = tempfile::tempdir().unwrap();
    let assets = written(dir.path(), "assets.csv", "name\n10.1.0.20\ndb.corp.example.\n");
    let users = written(dir.path(), "users.csv", "name,title\nk.,Clerk\n");
    let settings = format!("[inventory]\nassets = [{assets:?}]\nusers = [{users:?}]\n");
    let rows = [
        "host.ip=10.1.0.20",
        "host.name=10",
        "host.name=DB.corp.example",
        "user.name=K.",
        "user.name=k",
    ];
    let printer = "host.asset.name=10.1.0.20";
    let expected: [&[&str]; 5] =
        [&[printer], &[], &["host.asset.name=db.corp.example."], &["user.title=Clerk"], &[]];
    assert_eq!(enriched(&settings, &rows), expected);
    let enrichment = Enrichment::load(&toml::from_str(&settings).unwrap()).unwrap();
    let listed = enrichment.inventory(Kind::Assets).unwrap().page(0, 1);
    let called = ["host.name", "host.ip", "host.asset.name"];
    let called = called.map(|name| (name.to_owned(), "10.1.0.20".to_owned()));
    assert_eq!(listed, [called], "a list that is shown can be set again");
}

#[test]
fn what_is_wrong_is_told_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let city = written(dir.path(), "city.mmdb", cities());
    let users = written(dir.path(), "users.csv", USERS);
    let text = format!("[geo]\ncity = {city:?}\n[inventory]\nusers = [{users:?}]\n");
    let settings: Settings = toml::from_str(&text).unwrap();
    let mut now = Enrichment::load(&settings).unwrap();
    let mut wrong = |city: &[u8], users: &str| {
        written(dir.path(), "city.mmdb", city);
        written(dir.path(), "users.csv", users);
        now = now.refresh(&settings, false).enrichment.unwrap();
        now.wrong().map(|(en, _)| en.contains("city.mmdb")).collect::<Vec<bool>>()
    };
    assert_eq!(wrong(b"", USERS), [true]);
    assert_eq!(wrong(b"", "name\ncarol\n"), [true], "something else has changed");
    assert_eq!(wrong(b"", "carol\n"), [true, false]);
    assert_eq!(wrong(&cities(), "carol\n"), [false]);
    assert!(wrong(&cities(), USERS).is_empty());
    let networks = toml::from_str("[[network]]\nname='x'\ncidr=['10.0.0.0/99']\n").unwrap();
    let usable = Enrichment::load_usable(&networks).enrichment.unwrap();
    let later = usable.refresh(&networks, true).enrichment.unwrap_or(usable);
    assert_eq!(later.wrong().count(), 1);
}

#[test]
fn names_of_a_database_hold_at_the_limit_and_not_past_it() {
    use yagura_enrich::limits::DATABASE_NAME_BYTES_MAX;
    let dir = tempfile::tempdir().unwrap();
    for (bytes, kept) in [(DATABASE_NAME_BYTES_MAX, 2), (DATABASE_NAME_BYTES_MAX + 1, 1)] {
        let long = "n".repeat(bytes);
        let value = map([("country", country("XX", &long, &long))]);
        let path = written(dir.path(), "c", database("Test-Country", &[("192.0.2.0/24", value)]));
        let found = enriched(&format!("[geo]\ncountry = {path:?}\n"), &["source.ip=192.0.2.1"]);
        assert_eq!(found[0].len(), kept);
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_the_one_in_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let city = written(dir.path(), "city.mmdb", cities());
    let users = written(dir.path(), "users.csv", USERS);
    let text = format!("[geo]\ncity = {city:?}\n[inventory]\nusers = [{users:?}]\n");
    let settings: Settings = toml::from_str(&text).unwrap();
    let first = Enrichment::load(&settings).unwrap();
    assert_eq!(first.used().count(), 2);
    assert!(first.used().any(|file| file.built_epoch_s == Some(1_795_000_000)));
    assert!(first.refresh(&settings, false).enrichment.is_none(), "nothing has changed");

    // Cut off by a full disk, while the list of users is a better one.
    let bytes = cities();
    written(dir.path(), "city.mmdb", &bytes[..bytes.len() / 2]);
    written(dir.path(), "users.csv", "name\ncarol\n");
    let second = first.refresh(&settings, false);
    let [error] = &second.errors[..] else { panic!("{:?}", second.errors) };
    assert!(error.to_string().contains("city.mmdb"), "{error}");
    assert!(error.text(Lang::Ja).contains("ダウンロード"), "{}", error.text(Lang::Ja));
    let second = second.enrichment.unwrap();
    assert_eq!(second.inventory(Kind::Users).unwrap().len(), 1);
    let address = "203.0.113.200".parse().unwrap();
    assert_eq!(second.geo().find(address).country_iso_code.as_deref(), Some("JP"));
    let quiet = second.refresh(&settings, false);
    assert!(quiet.errors.is_empty() && quiet.enrichment.is_none(), "said once");
    assert_eq!(second.refresh(&settings, true).errors.len(), 1, "unless it is asked for");

    written(dir.path(), "city.mmdb", &bytes);
    let third = second.refresh(&settings, false);
    assert!(third.errors.is_empty() && third.enrichment.is_some());

    for (name, bytes) in [("none", None), ("empty", Some(vec![])), ("asn", Some(systems()))] {
        let path = dir.path().join(name).display().to_string();
        if let Some(bytes) = bytes {
            written(dir.path(), name, bytes);
        }
        let settings: Settings = toml::from_str(&format!("[geo]\ncity = {path:?}\n")).unwrap();
        let error = Enrichment::load(&settings).unwrap_err();
        assert!(error.to_string().contains(&path), "{error}");
        let usable = Enrichment::load_usable(&settings);
        assert!(usable.errors.len() == 1 && usable.enrichment.unwrap().is_empty());
    }
    let unknown = toml::from_str::<Settings>("[geo]\ncities = 'x'\n").unwrap_err();
    assert!(unknown.to_string().contains("cities"), "{unknown}");
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let header = prop::sample::select(vec![
        "name,sid,email,full_name,privileged\n",
        "name;ip;criticality\n",
        "ホスト名\tIPアドレス\n",
        "",
    ]);
    let body = prop_oneof![
        "[a-c,;\t\"\n\r .0-9@é]{0,80}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    (header, body).prop_map(|(header, body)| [header.as_bytes(), &body].concat())
}

proptest! {
    #[test]
    fn a_csv_never_panics(csv in texts(), asked in "\\PC{0,12}") {
        let dir = tempfile::tempdir().unwrap();
        for (kind, key) in [(Kind::Users, "users"), (Kind::Assets, "assets")] {
            match Inventory::read(kind, "list.csv", &csv) {
                Ok(inventory) => prop_assert!(inventory.len() <= csv.len()),
                Err(error) => {
                    prop_assert!(error.to_string().contains("line "), "{}", error);
                    continue;
                }
            }
            let path = written(dir.path(), key, &csv);
            let row = format!("user.name={asked}|host.name={asked}|source.ip={asked}|user.id=a");
            enriched(&format!("[inventory]\n{key} = [{path:?}]\n"), &[&row]);
        }
    }

    #[test]
    fn a_database_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        addresses in prop::collection::vec(any::<u32>(), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (key, mut bytes) in [("city", cities()), ("asn", systems())] {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let path = written(dir.path(), key, &bytes);
            let settings: Settings = toml::from_str(&format!("[geo]\n{key} = {path:?}\n")).unwrap();
            match Enrichment::load(&settings) {
                Err(error) => prop_assert!(error.to_string().contains(&path), "{}", error),
                Ok(enrichment) => {
                    let mut enricher = Enricher::new(Arc::new(enrichment));
                    for address in &addresses {
                        // Half of them where the database has something.
                        let address = match address % 2 {
                            0 => std::net::Ipv4Addr::from(*address),
                            _ => std::net::Ipv4Addr::from(0xcb00_7100 | address & 0xff),
                        };
                        enricher.enrich(batch(&[&format!("source.ip={address}")]));
                    }
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_database(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        let marked = [&bytes[..], b"\xab\xcd\xefMaxMind.com", &bytes].concat();
        for bytes in [bytes, marked] {
            let path = written(dir.path(), "x", &bytes);
            let settings: Settings = toml::from_str(&format!("[geo]\nasn = {path:?}\n")).unwrap();
            let _ = Enrichment::load(&settings);
        }
    }
}

/// The writer above is right where it can be compared: `text` in a map in a list.
#[test]
fn the_test_databases_are_read_as_they_were_written() {
    let value = map([("autonomous_system_organization", text(&"長い名前".repeat(10)))]);
    let bytes = database("Test-ASN", &[("192.0.2.0/24", value)]);
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "x", bytes);
    let found = enriched(&format!("[geo]\nasn = {path:?}\n"), &["source.ip=192.0.2.255"]);
    assert_eq!(found[0], [format!("source.as.organization.name={}", "長い名前".repeat(10))]);
}
