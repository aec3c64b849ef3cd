"""Takes lines into a store and asks questions of it; what to do is JSON on standard input, each
figure a line of JSON on standard output."""

import json
import os
import resource
import statistics
import sys
import time


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def say(figure, value):
    print(json.dumps({"figure": figure, "value": value}), flush=True)


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class ClickHouse:
    """One column of raw lines as they came, zstd 3, through the package chdb."""

    def __init__(self, directory):
        from chdb.session import Session

        self.session = Session(directory)
        self.ask("CREATE DATABASE bench")
        self.ask(
            "CREATE TABLE bench.lines (raw String CODEC(ZSTD(3))) ENGINE = MergeTree ORDER BY tuple()"
        )

    def ask(self, sql):
        return str(self.session.query(sql, "TabSeparated")).strip()

    def take(self, lines):
        self.ask(f"INSERT INTO bench.lines SELECT line FROM file({quoted(lines)}, 'LineAsString')")
        self.ask("OPTIMIZE TABLE bench.lines FINAL")

    def count(self, question):
        if "contains" in question:
            where = f"position(raw, {quoted(question['contains'])}) > 0"
        elif "contains_in_any_case" in question:
            where = f"positionCaseInsensitive(raw, {quoted(question['contains_in_any_case'])}) > 0"
        else:
            where = f"match(raw, {quoted(question['matches'])})"
        # It remembers which stretches of a table a condition left nothing of.
        without = "use_query_cache = 0, use_query_condition_cache = 0"
        return self.ask(f"SELECT count() FROM bench.lines WHERE {where} SETTINGS {without}")


class DuckDB:
    """One column of raw lines as they came, through the package duckdb."""

    def __init__(self, directory):
        import duckdb

        os.makedirs(directory, exist_ok=True)
        self.connection = duckdb.connect(os.path.join(directory, "lines.duckdb"))
        self.connection.execute("CREATE TABLE lines (raw VARCHAR)")

    def take(self, lines):
        self.connection.execute(
            "INSERT INTO lines SELECT * FROM read_csv(?, columns = {'raw': 'VARCHAR'}, header = false,"
            " auto_detect = false, delim = '\x01', quote = '', escape = '', max_line_size = 16777216)",
            [lines],
        )
        self.connection.execute("CHECKPOINT")

    def count(self, question):
        if "contains" in question:
            where, value = "contains(raw, ?)", question["contains"]
        elif "contains_in_any_case" in question:
            where, value = "raw ILIKE ?", "%" + question["contains_in_any_case"] + "%"
        else:
            where, value = "regexp_matches(raw, ?)", question["matches"]
        rows = self.connection.execute(f"SELECT count(*) FROM lines WHERE {where}", [value])
        return str(rows.fetchone()[0])


def stored(directory):
    return sum(
        os.stat(os.path.join(place, name), follow_symlinks=False).st_size
        for place, _, names in os.walk(directory)
        for name in names
    )


def main():
    asked = json.load(sys.stdin)
    try:
        store = {"clickhouse": ClickHouse, "duckdb": DuckDB}[asked["store"]](asked["directory"])
    except ImportError as error:
        say("left out", f"its package is not there ({error.name})")
        return
    received = os.path.getsize(asked["lines"])
    with open(asked["lines"], "rb") as lines:
        events = sum(1 for _ in lines)
    before = cpu()
    store.take(asked["lines"])
    took = cpu() - before
    size = stored(asked["directory"])
    say("raw lines taken, nothing else: events per core-second", f"{events / took:.0f}")
    say("stored ÷ received", f"1/{received / size:.1f} ({size / 1e6:.1f} MB)")
    for question in asked["questions"]:
        found = store.count(question)
        before, times = cpu(), []
        for _ in range(asked["times"]):
            began = time.perf_counter()
            store.count(question)
            times.append((time.perf_counter() - began) * 1e3)
        each = (cpu() - before) / asked["times"] * 1e3
        median = statistics.median(times)
        say(question["name"], f"{median:.1f} ms warm ({each:.1f} ms CPU); {found} lines")


main()
