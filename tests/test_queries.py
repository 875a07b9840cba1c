"""The ready queries and scripts of sql/, each on a database with known content, in the sqlite3 shell and in Python."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from conftest import EXTENSION, ROOT, SQLITE, connect, error_of, insert, one, totals, use_model
from pages import code, read

SQL = ROOT / "sql"
README = read("sql/README.md")
QUERIES = sorted((SQL / "queries").glob("*.sql"))
SCRIPTS = sorted((SQL / "scripts").glob("*.sql"))
INDEXES = (SQL / "scripts" / "reporting-indexes.sql").read_text(encoding="utf-8")

# source, tenant, day and hour of June 2026 when it came, text, score, label; scored five minutes later.
ENTRIES = {
    "e1": ("web", "", "10T08", "disk 1 of 12 failed", 0.99, "HARDWARE_ISSUE"),
    "e2": ("web", "", "10T09", "disk 22 of 3 failed", 0.92, "HARDWARE_ISSUE"),
    "e3": ("web", "", "10T10", "all is well", 0.98, "NORMAL"),
    "e4": ("db", "", "11T08", "password of root refused", 0.81, "SECURITY_ANOMALY"),
    "e5": ("db", "acme", "11T09", "password of eve refused", 1.0, "SECURITY_ANOMALY"),
    "e6": ("db", "rival", "11T09", "password of bob refused", 0.6, "SECURITY_ANOMALY"),
    "e7": ("vpn", "", "12T08", "all is well", 0.97, "NORMAL"),
    "e8": ("vpn", "", "12T09", None, None, None),
    "e9": ("vpn", "", "12T10", "disk 7 of 7 failed", 0.78, "HARDWARE_ISSUE"),
}
PENDING = {
    "p1": ("web", "", "13T08"),
    "p2": ("web", "", "13T09"),
    "p3": ("db", "acme", "13T07"),
    "p4": ("db", "rival", "13T08"),
}
SEVERITIES = {"HARDWARE_ISSUE": "CRITICAL", "SECURITY_ANOMALY": "ERROR"}
# entry: when the message says it was written, and the notes of whoever acknowledged it.
DETECTIONS = {
    "e1": ("2026-06-10T10:30:00+02:00", "disk replaced"),
    "e2": (None, "False alarm: a drill"),
    "e4": ("no time", None),
    "e5": (None, "false: a pentest"),
    "e9": ("2026-06-12T07:59:59Z", None),
}
RUNS = [
    ("2026-06-10T12:00:00", "2026-06-10T12:00:01", "", 3, 0, 0, None),
    ("2026-06-11T12:00:00", None, "", 2, 0, 2, None),
    ("2026-06-12T12:00:00", "2026-06-12T12:00:02", "", 2, 1, 0, "entry 'e8': its text is NULL"),
    ("2026-06-13T12:00:00", "2026-06-13T12:00:00", "acme", 0, 0, 1, "the model failed"),
]


def fill(connection) -> None:
    """Writes what is above."""
    connection.execute("SELECT anomaly_init()").fetchall()
    for id, (source, tenant, hour, text, score, label) in ENTRIES.items():
        came, scored = f"2026-06-{hour}:00:00.000000+00:00", f"2026-06-{hour}:05:00.000000+00:00"
        connection.execute(
            "INSERT INTO log_entries (id, source_id, tenant_id, ingest_time, text, anomaly_score, anomaly_label,"
            " anomaly_scored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (id, source, tenant, came, text, score, label, scored),
        )
        if id in DETECTIONS:
            written, notes = DETECTIONS[id]
            connection.execute(
                "INSERT INTO detections (id, entry_id, source_id, tenant_id, text, anomaly_score, anomaly_label,"
                " severity, timestamp_iso, detected_at, acknowledged, notes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"d{id}", id, source, tenant, text, score, label, SEVERITIES[label], written, scored,
                    notes is not None, notes,
                ),
            )  # fmt: skip
    for id, (source, tenant, hour) in PENDING.items():
        connection.execute(
            "INSERT INTO log_entries (id, source_id, tenant_id, ingest_time, text) VALUES (?, ?, ?, ?, 'waits')",
            (id, source, tenant, f"2026-06-{hour}:00:00.000000+00:00"),
        )
    for number, run in enumerate(RUNS):
        connection.execute(
            "INSERT INTO anomaly_runs (id, model, threshold, started, finished, tenant_id, scored, failed, remaining,"
            " error) VALUES (?, 'bundled', 0.75, ?, ?, ?, ?, ?, ?, ?)",
            (f"r{number}", *run),
        )


def row_names(*names: str):
    """Makes rows of those columns."""
    return lambda *rows: [dict(zip(names, row, strict=True)) for row in rows]


HOURLY = row_names("hour", "label", "detections", "sources", "highest_score")
NOISE = row_names("source", "detections", "unacknowledged", "critical", "texts", "last_seen")
CRITICAL = row_names("time", "source", "label", "score", "text", "acknowledged", "id")
SEEN = row_names("kind", "label", "first_seen", "last_seen", "detections", "sources")
NEW = row_names("kind", "label", "severity", "first_seen", "detections", "sources")
FALSE = row_names("label", "acknowledged", "false_alarms", "percent_false", "highest_false", "genuine_lost")
BACKLOG = row_names("source", "pending", "oldest", "newest")
BUCKET = row_names("label", "score_from", "entries", "percent")
DRIFT = row_names("label", "before", "after", "percent_before", "percent_after", "points")
WHAT_IF = row_names("label", "entries", "detections", "would_be", "more", "fewer")
RUN = row_names("started", "what", "model", "threshold", "scored", "failed", "remaining", "error")
FAILED = row_names("id", "source", "scored_at", "without_text", "text")
QUIET = row_names("source", "entries", "last_heard")
OPEN = row_names("source", "critical", "error", "warn", "oldest")


def at(hour: str, minute: str = "05") -> str:
    """A time of June 2026, as the scorer writes it."""
    return f"2026-06-{hour}:{minute}:00.000000+00:00"


# When the messages of the detections were written, as the queries say it: in UTC, and what tells no time when it was
# detected.
WRITTEN = {
    "e1": "2026-06-10T08:30:00.000",
    "e2": "2026-06-10T09:05:00.000",
    "e4": "2026-06-11T08:05:00.000",
    "e5": "2026-06-11T09:05:00.000",
    "e9": "2026-06-12T07:59:59.000",
}


EXPECTED = [
    (
        "detections-per-hour",
        {},
        HOURLY(
            ("2026-06-12T07:00", "HARDWARE_ISSUE", 1, 1, 0.78),
            ("2026-06-11T09:00", "SECURITY_ANOMALY", 1, 1, 1.0),
            ("2026-06-11T08:00", "SECURITY_ANOMALY", 1, 1, 0.81),
            ("2026-06-10T09:00", "HARDWARE_ISSUE", 1, 1, 0.92),
            ("2026-06-10T08:00", "HARDWARE_ISSUE", 1, 1, 0.99),
        ),
    ),
    (
        "detections-per-hour",
        {"since": "2026-06-11", "until": "2026-06-12", "tenant": "rival"},
        HOURLY(("2026-06-11T08:00", "SECURITY_ANOMALY", 1, 1, 0.81)),
    ),
    (
        "noisiest-sources",
        {},
        NOISE(
            ("db", 2, 1, 0, 2, WRITTEN["e5"]), ("web", 2, 0, 2, 2, WRITTEN["e2"]), ("vpn", 1, 1, 1, 1, WRITTEN["e9"])
        ),
    ),
    ("noisiest-sources", {"tenant": "rival", "most": 1}, NOISE(("web", 2, 0, 2, 2, WRITTEN["e2"]))),
    (
        "noisiest-sources",
        {"since": "2026-06-12T07", "until": "2026-06-12T08"},
        NOISE(("vpn", 1, 1, 1, 1, WRITTEN["e9"])),
    ),
    (
        "latest-criticals",
        {},
        CRITICAL(
            (WRITTEN["e9"], "vpn", "HARDWARE_ISSUE", 0.78, "disk 7 of 7 failed", 0, "de9"),
            (WRITTEN["e2"], "web", "HARDWARE_ISSUE", 0.92, "disk 22 of 3 failed", 1, "de2"),
            (WRITTEN["e1"], "web", "HARDWARE_ISSUE", 0.99, "disk 1 of 12 failed", 1, "de1"),
        ),
    ),
    (
        "latest-criticals",
        {"severity": "ERROR", "unacknowledged": 1},
        CRITICAL((WRITTEN["e4"], "db", "SECURITY_ANOMALY", 0.81, "password of root refused", 0, "de4")),
    ),
    (
        "first-and-last-seen",
        {},
        SEEN(
            ("disk # of # failed", "HARDWARE_ISSUE", WRITTEN["e1"], WRITTEN["e9"], 3, 2),
            ("password of eve refused", "SECURITY_ANOMALY", WRITTEN["e5"], WRITTEN["e5"], 1, 1),
            ("password of root refused", "SECURITY_ANOMALY", WRITTEN["e4"], WRITTEN["e4"], 1, 1),
        ),
    ),
    (
        "new-texts",
        {"since": "2026-06-11"},
        NEW(
            ("password of eve refused", "SECURITY_ANOMALY", "ERROR", WRITTEN["e5"], 1, 1),
            ("password of root refused", "SECURITY_ANOMALY", "ERROR", WRITTEN["e4"], 1, 1),
        ),
    ),
    # A disk has failed before, as its messages say, though that was not detected before.
    (
        "new-texts",
        {"since": "2026-06-10T08:31"},
        NEW(
            ("password of eve refused", "SECURITY_ANOMALY", "ERROR", WRITTEN["e5"], 1, 1),
            ("password of root refused", "SECURITY_ANOMALY", "ERROR", WRITTEN["e4"], 1, 1),
        ),
    ),
    ("new-texts", {}, []),
    (
        "false-alarms",
        {},
        FALSE(("HARDWARE_ISSUE", 2, 1, 50.0, 0.92, 0), ("SECURITY_ANOMALY", 1, 1, 100.0, 1.0, 0)),
    ),
    (
        "false-alarms",
        {"pattern": "%replaced%"},
        FALSE(("HARDWARE_ISSUE", 2, 1, 50.0, 0.99, 1), ("SECURITY_ANOMALY", 1, 0, 0.0, None, 0)),
    ),
    (
        "backlog-per-source",
        {},
        BACKLOG(("db", 2, at("13T07", "00"), at("13T08", "00")), ("web", 2, at("13T08", "00"), at("13T09", "00"))),
    ),
    (
        "backlog-per-source",
        {"tenant": "acme"},
        BACKLOG(("web", 2, at("13T08", "00"), at("13T09", "00")), ("db", 1, at("13T07", "00"), at("13T07", "00"))),
    ),
    (
        "score-histogram",
        {"since": "2026-06-11"},
        BUCKET(
            ("HARDWARE_ISSUE", 0.75, 1, 100.0),
            ("NORMAL", 0.95, 1, 100.0),
            ("SECURITY_ANOMALY", 0.95, 1, 33.3),
            ("SECURITY_ANOMALY", 0.8, 1, 33.3),
            ("SECURITY_ANOMALY", 0.6, 1, 33.3),
        ),
    ),
    (
        "label-drift",
        {"split": "2026-06-11", "until": "2026-06-12"},
        DRIFT(
            ("SECURITY_ANOMALY", 0, 3, 0.0, 100.0, 100.0),
            ("HARDWARE_ISSUE", 2, 0, 66.7, 0.0, -66.7),
            ("NORMAL", 1, 0, 33.3, 0.0, -33.3),
        ),
    ),
    (
        "threshold-what-if",
        {},
        WHAT_IF(("HARDWARE_ISSUE", 3, 3, 2, 0, 1), ("SECURITY_ANOMALY", 3, 2, 1, 0, 1)),
    ),
    (
        "threshold-what-if",
        {"threshold": 0.5, "until": "2026-06-12"},
        WHAT_IF(("HARDWARE_ISSUE", 2, 2, 2, 0, 0), ("SECURITY_ANOMALY", 3, 2, 3, 1, 0)),
    ),
    (
        "runs-with-errors",
        {},
        RUN(
            ("2026-06-13T12:00:00", "error", "bundled", 0.75, 0, 0, 1, "the model failed"),
            ("2026-06-12T12:00:00", "failed on entries", "bundled", 0.75, 2, 1, 0, "entry 'e8': its text is NULL"),
            ("2026-06-11T12:00:00", "not finished", "bundled", 0.75, 2, 0, 2, None),
        ),
    ),
    ("failed-entries", {}, FAILED(("e8", "vpn", at("12T09"), 1, None))),
    ("failed-entries", {"since": "2026-06-13"}, []),
    (
        "quiet-sources",
        {"since": "2026-06-13", "heard": "2026-06-12T09"},
        QUIET(("vpn", 2, at("12T10", "00"))),
    ),
    ("quiet-sources", {"since": "2026-06-13", "heard": "2026-06-13"}, []),
    (
        "severity-by-source",
        {},
        OPEN(("vpn", 1, 0, 0, WRITTEN["e9"]), ("db", 0, 1, 0, WRITTEN["e4"])),
    ),
    ("severity-by-source", {"since": "2026-06-12T08"}, []),
]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """The database with the known content."""
    path = tmp_path / "known.db"
    connection = connect(path)
    fill(connection)
    connection.close()
    return path


def given(parameters: dict[str, object]) -> defaultdict:
    """Parameters as the README of sql/ passes them in Python: those that are not given are NULL."""
    return defaultdict(type(None), parameters)


def in_python(database: Path, name: str, parameters: dict[str, object]) -> list[dict]:
    """The rows of a query, without the extension: it is plain SQL."""
    connection = SQLITE.connect(str(database))
    cursor = connection.execute((SQL / "queries" / f"{name}.sql").read_text(encoding="utf-8"), given(parameters))
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]


def shell(database: Path, *lines: str) -> str:
    """What the sqlite3 shell says to some lines."""
    command = [shutil.which("sqlite3") or "sqlite3", "-bail", str(database)]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def in_the_shell(database: Path, name: str, parameters: dict[str, object]) -> list[dict]:
    """The rows of a query, with its parameters set as the README of sql/ says."""
    quoted = {key: f"\"'{value}'\"" if isinstance(value, str) else value for key, value in parameters.items()}
    settings = [f".parameter set :{key} {value}" for key, value in quoted.items()]
    output = shell(database, *settings, ".mode json", f'.read "{SQL / "queries" / f"{name}.sql"}"')
    return json.loads(output or "[]")


@pytest.mark.parametrize("indexed", [False, True], ids=["as anomaly_init() makes it", "with reporting-indexes.sql"])
@pytest.mark.parametrize("host", [in_python, in_the_shell])
@pytest.mark.parametrize(("name", "parameters", "expected"), EXPECTED)
def test_the_query(known, host, name, parameters, expected, indexed):
    if indexed:
        sqlite3.connect(known).executescript(INDEXES)
    assert host(known, name, parameters) == expected


OF_DETECTIONS = [path for path in QUERIES if "FROM detections\n" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", OF_DETECTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("written", ["now", "12:00", "2460000", "-4000-01-01"])
def test_what_is_a_time_to_sqlite_alone_gives_way_to_the_time_of_the_detection(known, path, written):
    """As "no time" does."""
    given = {"since": "2026-06-10"}
    expected = in_python(known, path.stem, given)
    connection = sqlite3.connect(known)
    connection.execute("UPDATE detections SET timestamp_iso = ? WHERE timestamp_iso = 'no time'", (written,))
    connection.commit()
    assert in_python(known, path.stem, given) == expected != []


def test_the_queries_and_the_page_of_datasette_go_by_one_time():
    page = (ROOT / "python" / "src" / "sqlite_anomaly" / "datasette" / "detections.py").read_text(encoding="utf-8")
    pattern = r"coalesce\(\s*CASE WHEN timestamp_iso.*?julianday\(detected_at\) END\s*\)"
    texts = [page, *(path.read_text(encoding="utf-8") for path in OF_DETECTIONS)]
    found = [re.findall(pattern, text, re.DOTALL) for text in texts]
    assert {len(times) for times in found} == {1}
    assert len({" ".join(time.split()) for (time,) in found}) == 1


def test_of_a_batch_the_newest_messages_come_first(known):
    connection = sqlite3.connect(known)
    connection.execute("UPDATE detections SET detected_at = (SELECT max(detected_at) FROM detections)")
    connection.execute("UPDATE detections SET severity = 'CRITICAL', timestamp_iso = nullif(timestamp_iso, 'no time')")
    connection.commit()
    times = [row["time"][:16] for row in in_python(known, "latest-criticals", {})]
    assert times == ["2026-06-12T10:05"] * 3 + ["2026-06-12T07:59", "2026-06-10T08:30"]


def test_the_readme_s_lines_for_python_run(known, tmp_path, monkeypatch):
    shutil.copytree(SQL, tmp_path / "sql")
    known.rename(tmp_path / "logs.db")
    monkeypatch.chdir(tmp_path)
    query, script = code("sql/README.md", "python")
    names = {}
    exec(query, names)
    assert [source for source, *_ in names["rows"]] == []
    exec(query.replace("2026-06-13", "2026-06-12"), names)
    assert [source for source, *_ in names["rows"]] == ["vpn"]
    exec(script.replace("2026-01-01", "2026-06-12"), names)
    assert names["rows"] == [(5,)]
    names["db"].close()


def test_every_query_is_tested():
    assert {name for name, *_ in EXPECTED} == {path.stem for path in QUERIES}


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_only_reads_and_names_its_parameters(known, path):
    text = path.read_text(encoding="utf-8")
    header = re.findall(r"^-- :.*", text, re.MULTILINE)
    described = {name for line in header for name in re.findall(r":\w+", line.split("  ")[0])}
    used = set(re.findall(r":[a-z]\w*", re.sub(r"--.*|'[^']*'", "", text)))
    assert described == used
    # More than one statement would be refused, and so would one that writes.
    sqlite3.connect(f"file:{known}?mode=ro", uri=True).execute(text, given({})).fetchall()


def listed(kind: str) -> dict[str, list[str]]:
    """The rows of the README's table of that kind of file: the cells behind each name."""
    rows = re.findall(rf"^\| \[([\w-]+)\]\({kind}/\1\.sql\) \| (.+) \|$", README, re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows}


@pytest.mark.parametrize(("kind", "paths"), [("queries", QUERIES), ("scripts", SCRIPTS)])
def test_the_readme_lists_every_file_with_its_title(kind, paths):
    titles = {path.stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("-- ") for path in paths}
    assert {name: cells[0] for name, cells in listed(kind).items()} == titles


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_the_readme_says_what_a_query_reads(known, path):
    connection = sqlite3.connect(known)

    def plan() -> str:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {path.read_text(encoding='utf-8')}", given({}))
        return "\n".join(row[3] for row in rows)

    _, reads = listed("queries")[path.stem]
    scans_entries = re.search(r"SCAN log_entries$", plan(), re.MULTILINE) is not None
    assert scans_entries == (reads == "every entry; with the indexes, those since")
    if reads == "the pending entries":
        assert "USING INDEX anomaly_pending" in plan()
    connection.executescript(INDEXES)
    assert re.search(r"SCAN log_entries(?! USING INDEX anomaly_pending)", plan()) is None


def test_the_reporting_indexes_leave_the_queue_its_own(known):
    connection = sqlite3.connect(known)
    connection.executescript(INDEXES)
    sql = "SELECT rowid FROM log_entries WHERE anomaly_scored_at IS NULL ORDER BY ingest_time DESC LIMIT 65536"
    for _ in range(2):
        (plan,) = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert "anomaly_pending" in plan
        connection.execute("ANALYZE")


def test_the_labels_of_the_threshold_query_are_those_that_the_extension_detects():
    query = (SQL / "queries" / "threshold-what-if.sql").read_text(encoding="utf-8")
    severities = (ROOT / "src" / "severity.rs").read_text(encoding="utf-8")
    arms = re.findall(r'^ +((?:"\w+" \| )*"\w+") => \("\w+", true\)', severities, re.MULTILINE)
    assert sorted(re.findall(r"\('(\w+)'\)", query)) == sorted(re.findall(r'"(\w+)"', " ".join(arms)))


def run_script(connection, name: str, **parameters: object) -> list[tuple]:
    """Runs a script's statements one by one, as the README of sql/ does in Python; the rows of the last."""
    statement, rows = "", []
    for line in (SQL / "scripts" / f"{name}.sql").read_text(encoding="utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            rows = connection.execute(statement, given(parameters)).fetchall()
            statement = ""
    assert not statement.strip()
    return rows


@pytest.fixture
def open_known(known):
    """A connection to the database with the known content."""
    connection = connect(known)
    yield connection
    connection.close()


def daily(connection) -> list[tuple]:
    """The summary, a day after the other."""
    return connection.execute("SELECT day, source_id, label, entries, detections FROM anomaly_daily").fetchall()


SUMMARY = [
    ("2026-06-10", "web", "HARDWARE_ISSUE", 2, 2),
    ("2026-06-10", "web", "NORMAL", 1, 0),
    ("2026-06-11", "db", "SECURITY_ANOMALY", 1, 1),
    ("2026-06-11", "db", "SECURITY_ANOMALY", 1, 1),
    ("2026-06-11", "db", "SECURITY_ANOMALY", 1, 0),
    ("2026-06-12", "vpn", "", 1, 0),
    ("2026-06-12", "vpn", "HARDWARE_ISSUE", 1, 1),
    ("2026-06-12", "vpn", "NORMAL", 1, 0),
]


def test_the_daily_summary_counts_entries_and_detections(open_known):
    for _ in range(2):
        run_script(open_known, "daily-summary")
        assert daily(open_known) == SUMMARY


def test_the_daily_summary_follows_the_last_two_days_and_keeps_those_before(open_known):
    run_script(open_known, "daily-summary")
    open_known.execute("DELETE FROM log_entries WHERE id IN ('e1', 'e2')")
    open_known.execute("UPDATE log_entries SET anomaly_label = 'NORMAL', anomaly_score = 0.9 WHERE id = 'e8'")
    run_script(open_known, "daily-summary")
    assert daily(open_known) == [*SUMMARY[:5], SUMMARY[6], ("2026-06-12", "vpn", "NORMAL", 2, 0)]
    run_script(open_known, "daily-summary", since="2026-06-10")
    assert daily(open_known)[0] == ("2026-06-10", "web", "HARDWARE_ISSUE", 0, 2)


def ids(connection, table: str, column: str = "id") -> set:
    """What is left in a table."""
    return {value for (value,) in connection.execute(f"SELECT {column} FROM {table}")}


@pytest.mark.parametrize("before", [None, 2024, 99999, "", "tomorrow", "2026", "x2026-06-14", b"2026"])
def test_retention_deletes_nothing_before_what_is_no_date_and_says_so(open_known, before):
    (deleted,), (told,) = run_script(open_known, "retention", before=before)
    assert deleted == 0 and told.startswith(":before is no date: .parameter set :before")
    assert len(ids(open_known, "log_entries")) == len(ENTRIES) + len(PENDING)
    assert len(ids(open_known, "anomaly_runs")) == len(RUNS)


def test_what_retention_says_of_a_date_without_quotes_helps(known):
    script = f'.read "{SQL / "scripts" / "retention.sql"}"'
    deleted, told = shell(known, ".parameter set :before 2026-06-14", script).splitlines()
    assert deleted == "0"
    remedy = re.search(r'\.parameter set :before "\S+"', told)[0].replace("2026-06-13", "2026-06-14")
    assert shell(known, remedy, script) == "7\n"


def test_retention_deletes_entries_with_their_detections_and_spares_what_nobody_has_seen(open_known):
    assert run_script(open_known, "retention", before="2026-06-14") == [(7,)]
    assert ids(open_known, "log_entries") == {"e4", "e9", *PENDING}
    assert ids(open_known, "detections", "entry_id") == {"e4", "e9"}
    assert ids(open_known, "anomaly_runs") == set()
    assert run_script(open_known, "retention", before="2026-06-14") == [(0,)]
    assert run_script(open_known, "retention", before="2026-06-14", unacknowledged=1) == [(2,)]
    assert ids(open_known, "log_entries") == set(PENDING)
    assert ids(open_known, "detections") == set()


def test_retention_goes_by_portions_and_by_tenant(open_known):
    assert run_script(open_known, "retention", before="2026-06-12", most=2) == [(2,)]
    assert run_script(open_known, "retention", before="2026-06-12", tenant="acme") == [(1,)]
    assert "e5" not in ids(open_known, "log_entries") and "e6" in ids(open_known, "log_entries")


def test_retention_finds_the_detections_of_numbered_entries():
    connection = connect()
    connection.execute("CREATE TABLE log_entries (id INTEGER PRIMARY KEY, text TEXT, ingest_time TEXT)")
    use_model(connection, "levels")
    one(connection, "SELECT anomaly_init()")
    connection.execute("INSERT INTO log_entries (id, text, ingest_time) VALUES (7, 'failed failed', '2026-06-10')")
    assert totals(connection) == (1, 1, 0)
    assert run_script(connection, "retention", before="2026-06-11") == [(0,)]
    assert run_script(connection, "retention", before="2026-06-11", unacknowledged=1) == [(1,)]
    assert (ids(connection, "log_entries"), ids(connection, "detections")) == (set(), set())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_shell_runs_the_script_twice(known, path):
    read = f'.read "{path}"'
    shell(known, f'.load "{EXTENSION}"', ".parameter set :before \"'2026-06-14'\"", read, read)


def test_score_on_insert_detects_within_the_insert(db):
    run_script(db, "score-on-insert")
    insert(db, "failed failed", "ok", None)
    labels = dict(db.execute("SELECT id, anomaly_label FROM log_entries"))
    assert labels == {"e1": "ERROR", "e2": "INFO", "e3": None}
    assert one(db, "SELECT count(anomaly_scored_at) FROM log_entries") == 3
    assert one(db, "SELECT group_concat(entry_id) FROM detections") == "e1"
    db.execute("BEGIN")
    db.execute("INSERT INTO log_entries (id, text) VALUES ('undone', 'failed failed')")
    db.execute("ROLLBACK")
    assert one(db, "SELECT group_concat(entry_id) FROM detections") == "e1"


def test_score_on_insert_does_nothing_without_a_model(db):
    one(db, "SELECT anomaly_config('model', '')")
    run_script(db, "score-on-insert")
    insert(db, "failed failed")
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 1


# What the README says of triggers that stay in the database.
LABEL_TRIGGER = """
    CREATE TRIGGER label_on_insert AFTER INSERT ON log_entries BEGIN
        UPDATE log_entries SET anomaly_label = anomaly_label(new.text) WHERE id = new.id;
    END"""
SCORE_TRIGGER = "CREATE TRIGGER score_on_insert AFTER INSERT ON log_entries BEGIN SELECT anomaly_score_all(); END"


def test_a_trigger_of_the_schema_may_classify_where_the_schema_is_trusted(db):
    db.execute(LABEL_TRIGGER)
    db.execute("PRAGMA trusted_schema = 1")
    insert(db, "failed failed")
    assert one(db, "SELECT anomaly_label FROM log_entries") == "ERROR"
    db.execute("PRAGMA trusted_schema = 0")
    assert "unsafe use of anomaly_label()" in error_of(db, "INSERT INTO log_entries (id, text) VALUES ('x', 'ok')")


def test_a_trigger_of_the_schema_may_not_score(db):
    db.execute(SCORE_TRIGGER)
    message = error_of(db, "INSERT INTO log_entries (id, text) VALUES ('x', 'ok')")
    assert "unsafe use of anomaly_score_all()" in message


def test_a_trigger_of_the_schema_stops_who_has_not_loaded_the_extension(known):
    connect(known).execute(LABEL_TRIGGER)
    message = error_of(SQLITE.connect(str(known)), "INSERT INTO log_entries (id, text) VALUES ('x', 'ok')")
    assert "no such function: anomaly_label" in message


def test_the_readme_lists_all_that_a_migration_adds():
    connection = connect()
    connection.execute("CREATE TABLE log_entries (id)")
    connection.execute("CREATE TABLE detections (id, entry_id, anomaly_label, anomaly_score, detected_at)")
    for change in json.loads(one(connection, "SELECT anomaly_init()")):
        table, _, column = change.split()[-1].partition(".")
        row = re.search(rf"^\| `{table}`.*$", README, re.MULTILINE)
        assert row is not None, change
        assert not column or f"`{column}`" in row[0], change
