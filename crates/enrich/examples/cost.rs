//! What enriching costs: nanoseconds an event for batches like those of a busy firewall, with nothing
//! configured, with each part, and with all. `cargo run --release -p yagura-enrich --example cost`

#![allow(clippy::unwrap_used, reason = "an example that fails may panic")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Value, country, database, map, text};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use yagura_enrich::{Enricher, Enrichment, Settings};
use yagura_event::{
    BatchBuilder, CommittedRun, EventBatch, FieldDictionary, Record, StreamName, Transport,
    UtcMicros,
};

const ROWS: usize = 8_192;
const BATCHES: usize = 16;
const ROUNDS: usize = 30;

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(end)).unwrap()
    }
}

/// Events of 200 inner machines and users with 5,000 public addresses, some far more often than others.
fn batch(dice: &mut Dice) -> EventBatch {
    let record = Record {
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
        records: vec![record; ROWS],
    };
    let mut builder = BatchBuilder::new("bench", Arc::new(FieldDictionary::default()));
    for (index, record) in run.indexed() {
        builder.begin_row(&run, index, record);
        let inner = dice.below(200);
        let outer = dice.below(5_000);
        let outer = dice.below(outer + 1);
        builder.set("source.ip", &format!("10.1.{}.{}", inner / 100, inner % 100));
        builder.set("destination.ip", &Ipv4Addr::from(0x0100_0000 + outer * 997).to_string());
        builder.set("user.name", &format!("user{inner}"));
        builder.set("host.name", &format!("ws{inner}.corp.example"));
    }
    builder.finish().unwrap()
}

fn written(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Of the quickest of some rounds, in nanoseconds an event: with every address new, and with every address
/// met before; and how many columns are added.
fn cost(settings: &str, batches: &[EventBatch]) -> (f64, f64, usize) {
    let settings: Settings = toml::from_str(settings).unwrap();
    let enrichment = Arc::new(Enrichment::load(&settings).unwrap());
    let (mut new, mut known) = (Duration::MAX, Duration::MAX);
    let mut columns = 0;
    for _ in 0..ROUNDS {
        let mut enricher = Enricher::new(enrichment.clone());
        for (number, batch) in batches.iter().enumerate() {
            let began = Instant::now();
            columns = enricher.enrich(batch.clone()).columns.num_columns();
            let best = if number == 0 { &mut new } else { &mut known };
            *best = began.elapsed().min(*best);
        }
    }
    let each = |time: Duration| time.as_nanos() as f64 / ROWS as f64;
    (each(new), each(known), columns - batches[0].columns.num_columns())
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let prefixes: Vec<(String, Value, Value)> = (0..5_000u32)
        .map(|number| {
            let prefix = format!("{}/22", Ipv4Addr::from(0x0100_0000 + number * 1_024));
            let place = map([
                ("country", country(["JP", "NL", "US"][number as usize % 3], "国", "Country")),
                ("city", common::names("都市", &format!("City {number}"))),
            ]);
            let system = map([
                ("autonomous_system_number", Value::Number(u64::from(number % 900))),
                ("autonomous_system_organization", text(&format!("Net {}", number % 900))),
            ]);
            (prefix, place, system)
        })
        .collect();
    let of = |part: fn(&(String, Value, Value)) -> &Value| -> Vec<(&str, Value)> {
        prefixes.iter().map(|entry| (entry.0.as_str(), part(entry).clone())).collect()
    };
    let city = written(dir.path(), "city", database("Test-City", &of(|entry| &entry.1)));
    let asn = written(dir.path(), "asn", database("Test-ASN", &of(|entry| &entry.2)));
    let mut users = String::from("name,full_name,department,privileged\n");
    let mut assets = String::from("name,criticality,owner,purpose\n");
    for number in 0..100_000 {
        let yes = if number % 9 == 0 { "yes" } else { "no" };
        users.push_str(&format!("user{number},User {number},Department {},{yes}\n", number % 40));
        assets.push_str(&format!("ws{number}.corp.example,low,IT,workstation\n"));
    }
    let users = written(dir.path(), "users", users);
    let assets = written(dir.path(), "assets", assets);
    let geo = format!("[geo]\ncity = {city:?}\nasn = {asn:?}\n");
    let lists = format!("[inventory]\nusers = [{users:?}]\nassets = [{assets:?}]\n");
    let networks: String = (0..200)
        .map(|n| format!("[[network]]\nname='n{n}'\nzone='z'\ncidr=['10.1.{n}.0/24']\n"))
        .collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let batches: Vec<EventBatch> = (0..BATCHES).map(|_| batch(&mut dice)).collect();
    println!("ns an event in batches of {ROWS}: every address new, met before; columns added");
    for (name, settings) in [
        ("nothing", String::new()),
        ("networks", networks.clone()),
        ("databases", geo.clone()),
        ("inventories", lists.clone()),
        ("all", format!("{geo}{lists}{networks}")),
    ] {
        let (new, known, columns) = cost(&settings, &batches);
        println!("{name:12} {new:8.1} {known:8.1} {columns:3}");
    }
}
