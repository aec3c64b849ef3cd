//! The table as other programs read it: DuckDB and Polars, from their packages, without us.

use crate::common::{rows, succeeded, yagura};
use crate::tiered::{Cold, EVENTS, House};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A Python that has the readers; in CI it must be there.
fn python_with_readers() -> Option<String> {
    let python = std::env::var("YAGURA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = Command::new(&python).args(["-c", "import deltalake, duckdb, polars"]).output();
    let there = import.is_ok_and(|output| output.status.success());
    let what = "YAGURA_PYTHON, a Python that has the modules deltalake, duckdb and polars";
    assert!(there || std::env::var_os("CI").is_none(), "CI must set {what}");
    if !there {
        eprintln!("skipped: set {what}");
    }
    there.then_some(python)
}

/// Every question of docs/open-table.md, answered by each program: as JSON, one object.
const PYTHON: &str = r#"
import json, sys
import deltalake, duckdb, polars as pl

table = sys.argv[1]
files = deltalake.DeltaTable(table).file_uris()
events = duckdb.sql(f"from read_parquet({files!r}, union_by_name = true, hive_partitioning = true)")
total = duckdb.sql("""select count(*), sum("source.port"), count(distinct "source.ip")
    from events""").fetchall()[0]
hosts = duckdb.sql("""select "host.name", count(*) from events
    where dataset = 'linux.auth' group by 1 order by 1""").fetchall()
raw = duckdb.sql("""select coalesce(sum(octet_length("event.original")), 0) from events""").fetchall()[0][0]

lazy = pl.scan_delta(table)
two = lazy.select(pl.len(), pl.col("source.port").sum(), pl.col("source.ip").drop_nulls().n_unique(),
    pl.col("event.original").bin.size().sum().alias("raw")).collect().row(0)
groups = (lazy.filter(pl.col("dataset") == "linux.auth").group_by("host.name").len()
    .sort("host.name").collect().rows())
print(json.dumps({
    "files": len(files),
    "duckdb": {"n": total[0], "ports": int(total[1]), "ips": total[2], "raw": int(raw),
               "hosts": [list(row) for row in hosts]},
    "polars": {"n": two[0], "ports": two[1], "ips": two[2], "raw": two[3],
               "hosts": [list(row) for row in groups]},
}))
"#;

fn read_by_others(python: &str, data: &Path) -> Value {
    let table = data.join("lake/events");
    let output = Command::new(python).args(["-c", PYTHON]).arg(table).output().unwrap();
    succeeded(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same in our own words.
fn read_by_us(data: &Path) -> Value {
    let ask = |statement: &str| rows(&yagura(data, &["sql", statement, "--output", "jsonl"]));
    let mut total = ask("select count(*) as n, sum(\"source.port\") as ports, \
         count(distinct \"source.ip\") as ips, sum(octet_length(cast(\"event.original\" as varchar))) as raw \
         from events");
    let hosts = ask("select \"host.name\" as h, count(*) as n from events \
         where \"event.dataset\" = 'linux.auth' group by 1 order by 1");
    let mut total = total.remove(0);
    total["hosts"] = hosts.iter().map(|row| serde_json::json!([row["h"], row["n"]])).collect();
    total
}

#[test]
fn duckdb_and_polars_read_the_same_table() {
    let Some(python) = python_with_readers() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let line = |file: usize, number: usize| {
        let (host, port) = (number % 3, 50_000 + number);
        match file {
            0 => format!(
                "<86>Nov 21 10:00:{:02} web0{host} sshd[{number}]: Failed password for invalid user \
                 admin from 203.0.113.{} port {port} ssh2\n",
                number % 60,
                number % 200 + 1
            ),
            1 => format!(
                "198.51.100.{} - - [21/Nov/2026:10:00:00 +0900] \"GET /{number} HTTP/1.1\" 404 153 \
                 \"-\" \"curl/8\"\n",
                number % 250 + 1
            ),
            _ => format!("<13>Nov 21 10:00:00 web0{host} karte: 患者 {number} を閲覧しました\n"),
        }
    };
    for part in 0..6 {
        let path = dir.path().join(format!("{part}.log"));
        let lines: String = (0..500).map(|at| line(part % 3, part * 500 + at)).collect();
        std::fs::write(&path, lines).unwrap();
        succeeded(&yagura(&data, &["import", path.to_str().unwrap()]));
    }
    let ours = read_by_us(&data);
    assert_eq!(ours["n"], 3_000);
    let before = read_by_others(&python, &data);
    assert_eq!(before["duckdb"], ours);
    assert_eq!(before["polars"], ours);

    let rebuilt = dir.path().join("rebuilt");
    let copied = std::process::Command::new("cp").arg("-r").args([&data, &rebuilt]).status();
    assert!(copied.unwrap().success());
    let config = dir.path().join("yagura.toml");
    std::fs::write(&config, "[lake]\nkeep_raw = ['*']\n").unwrap();
    succeeded(&yagura(&data, &["lake", "compact", "--config", config.to_str().unwrap()]));
    let after = read_by_others(&python, &data);
    assert!(after["files"].as_u64() < before["files"].as_u64(), "{before} {after}");
    assert_eq!(after["duckdb"], ours);
    assert_eq!(after["polars"], ours);
    assert_eq!(read_by_us(&data), ours);

    // Texts that are rebuilt are there for us alone, as docs/open-table.md says.
    succeeded(&yagura(&rebuilt, &["lake", "compact"]));
    assert_eq!(read_by_us(&rebuilt), ours);
    let mut without_texts = ours.clone();
    without_texts["raw"] = 0.into();
    let after = read_by_others(&python, &rebuilt);
    assert_eq!(after["duckdb"], without_texts);
    assert_eq!(after["polars"], without_texts);
}

/// What docs/open-table.md says of files in a cold store: the table's log names each by its whole URL.
const PYTHON_COLD: &str = r#"
import json, sys
import deltalake, duckdb, polars as pl

table = sys.argv[1]
paths = deltalake.DeltaTable(table).get_add_actions().column("path").to_pylist()
files = [path if "://" in path else f"{table}/{path}" for path in paths]

events = pl.concat([pl.scan_parquet(file, hive_partitioning=True) for file in files], how="diagonal_relaxed")
row = events.select(pl.len(), pl.col("source.port").sum(), pl.col("source.ip").drop_nulls().n_unique(),
    pl.col("event.original").bin.size().sum().alias("raw")).collect().row(0)
answers = {"polars": {"n": row[0], "ports": row[1], "ips": row[2], "raw": row[3]}}
events = duckdb.sql(f"from read_parquet({files!r}, union_by_name = true, hive_partitioning = true)")
row = duckdb.sql("""select count(*), sum("source.port"), count(distinct "source.ip"),
    sum(octet_length("event.original")) from events""").fetchall()[0]
answers["duckdb"] = {"n": row[0], "ports": int(row[1]), "ips": row[2], "raw": int(row[3])}
print(json.dumps({"cold": sum("://" in file for file in files), "files": len(files), **answers}))
"#;

#[test]
fn duckdb_and_polars_read_files_in_a_cold_directory_by_their_urls() {
    let Some(python) = python_with_readers() else { return };
    let house = House::with(Cold::Directory);
    house.receive(None);
    succeeded(&house.yagura(&["lake", "tier", "--quiet"]));
    // Newer events stay here.
    let path = house.path("new.log");
    std::fs::write(&path, "<86>Nov 21 10:00:00 web01 sshd[1]: session opened for user tanaka\n")
        .unwrap();
    succeeded(&house.yagura(&["import", "--quiet", path.to_str().unwrap()]));
    let mut command = Command::new(&python);
    let output =
        command.args(["-c", PYTHON_COLD]).arg(house.data().join("lake/events")).output().unwrap();
    succeeded(&output);
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&theirs["cold"], &theirs["files"]), (&2.into(), &3.into()));
    let asked = "select count(*) as n, sum(\"source.port\") as ports, count(distinct \"source.ip\") \
                 as ips, sum(octet_length(cast(\"event.original\" as varchar))) as raw from events";
    let ours = rows(&house.yagura(&["sql", asked, "--output", "jsonl"])).remove(0);
    assert_eq!(ours["n"], EVENTS + 1);
    assert_eq!(theirs["polars"], ours);
    assert_eq!(theirs["duckdb"], ours);
}
