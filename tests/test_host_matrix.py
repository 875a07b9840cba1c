"""The same life in every host: the sqlite3 shell, three Python drivers, and a Rust program on the oldest SQLite.

The oldest SQLite that works is 3.34.1: `libsqlite3-sys`, through which the extension speaks to its host, describes the
functions of that version and refuses a host whose version number is lower.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import permutations
from pathlib import Path

import pytest

from conftest import EXTENSION, MODELS, ROOT
from test_hosts import DRIVERS, LOAD, PATIENCE, USE, interpreters, python
from test_surface import SCALARS, TABLE_FUNCTIONS

OLDEST_SQLITE = "3.34.1"
OLDEST_HOST = ROOT / "tests" / "hosts" / "oldest"

# What each table function takes: its hidden columns, in their order.
ARGUMENTS = {
    "anomaly_classify_each": ["json_array"],
    "anomaly_detections": ["max_rows", "unacked_only", "with_label", "by_scorer"],
    "anomaly_score_pending": ["batch_size", "min_score"],
    "anomaly_scores": ["text"],
    "anomaly_status": [],
}

# A statement, and the rows it gives, with `|` between the columns.
LIFE = [
    (f"SELECT anomaly_config('model', '{MODELS / 'levels'}')", [str(MODELS / "levels")]),
    ("SELECT anomaly_init() LIKE '[\"created table log_entries\",%'", ["1"]),
    ("SELECT anomaly_init()", ["[]"]),
    (
        "INSERT INTO log_entries (id, text) VALUES"
        " ('a', 'failed failed'), ('b', 'ok'), ('c', NULL), ('d', 'slow slow'), ('e', 17)",
        [],
    ),
    ("SELECT count(*), sum(scored), sum(detections), sum(failed) FROM anomaly_score_pending(2, 0.75)", ["3|4|1|1"]),
    (
        "SELECT id, anomaly_label, anomaly_score > 0.5, anomaly_scored_at IS NOT NULL FROM log_entries ORDER BY id",
        ["a|ERROR|1|1", "b|INFO|1|1", "c|||1", "d|WARNING|1|1", "e|INFO|0|1"],
    ),
    (
        "SELECT entry_id, anomaly_label, severity, text, acknowledged FROM anomaly_detections",
        ["a|ERROR|ERROR|failed failed|0"],
    ),
    ("SELECT anomaly_acknowledge(id, 'seen') FROM detections", ["1"]),
    ("SELECT anomaly_acknowledge('no such id')", ["0"]),
    ("SELECT count(*) FROM anomaly_detections(10, 1)", ["0"]),
    ("SELECT notes FROM anomaly_detections(10, 0, 'ERROR', 'anomaly')", ["seen"]),
    ("INSERT INTO log_entries (id, text) VALUES ('f', 'it failed')", []),
    ('SELECT anomaly_score_all(256, 0.99) LIKE \'%"detections":0,%"scored":1,%\'', ["1"]),
    (
        "SELECT anomaly_classify('it failed')",
        ['{"label":"ERROR","score":0.909443,"severity":"ERROR","anomalous":true}'],
    ),
    ("SELECT anomaly_label('slow slow'), round(anomaly_score('it failed'), 4)", ["WARNING|0.9094"]),
    (
        "SELECT label, severity, anomalous FROM anomaly_scores('slow slow failed')",
        ["WARNING|WARN|0", "ERROR|ERROR|1", "INFO|INFO|0"],
    ),
    ("""SELECT idx, label FROM anomaly_classify_each('["ok", null, "failed"]')""", ["0|INFO", "1|", "2|ERROR"]),
    ("SELECT value = sqlite_version() FROM anomaly_status WHERE key = 'sqlite_version'", ["1"]),
    ("SELECT value = anomaly_version() FROM anomaly_status WHERE key = 'version'", ["1"]),
    ("SELECT key, value FROM anomaly_status WHERE key IN ('scored', 'failed')", ["scored|5", "failed|1"]),
    ("INSERT INTO log_entries (id, text) VALUES ('g', 'ok')", []),
    ("CREATE TABLE report AS SELECT scored FROM anomaly_score_pending", []),
    ("INSERT INTO report SELECT failed FROM anomaly_score_pending", []),
    ("SELECT scored FROM report", ["1", "0"]),
    ("SELECT anomaly_reset()", [""]),
    ("SELECT anomaly_label('failed')", ["ERROR"]),
]

SURFACE = [
    (
        "SELECT name, narg FROM pragma_function_list WHERE name LIKE 'anomaly%' ORDER BY 1, 2",
        [f"{name}|{arguments}" for name, arguments, _ in SCALARS],
    ),
    ("SELECT name FROM pragma_module_list WHERE name LIKE 'anomaly%' ORDER BY 1", TABLE_FUNCTIONS),
    *(
        (f"SELECT name FROM pragma_table_xinfo('{name}') WHERE hidden = 1 ORDER BY cid", arguments)
        for name, arguments in ARGUMENTS.items()
    ),
]

# Between two answers; no answer holds it.
MARK = "----"

SPEAK = """
import sys
for line in sys.stdin:
    for row in db.execute(line):
        print("|".join("" if value is None else str(value) for value in row))
"""


def run(command: list[str], statements: str, **environment: str) -> str:
    """The output of a host that is given statements, a line each."""
    done = subprocess.run(command, env=environment, input=statements, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def in_the_shell(database: Path, statements: list[str]) -> list[str]:
    """The shell on the path. Its `.load` and `.bail` come first, and each statement ends with a semicolon."""
    script = [".bail on", f'.load "{EXTENSION}"', *(f"{statement};" for statement in statements)]
    return [run([shutil.which("sqlite3") or "sqlite3", str(database)], "\n".join(script) + "\n")]


def in_python(driver: str):
    """Every Python at hand whose driver can load extensions."""

    def host(database: Path, statements: list[str]) -> list[str]:
        able = interpreters(driver)
        if not able:
            pytest.skip(f"no Python at hand loads extensions with {driver}")
        outputs = []
        for number, interpreter in enumerate(able):
            program = DRIVERS[driver].replace("':memory:'", repr(f"{database}{number}")) + LOAD + SPEAK
            path = os.environ.get("PYTHONPATH", "")
            outputs.append(run([interpreter, "-c", program], "\n".join(statements) + "\n", PYTHONPATH=path))
        return outputs

    return host


def on_the_oldest_sqlite(database: Path, statements: list[str]) -> list[str]:
    """The Rust program under tests/hosts, which compiles its SQLite from source."""
    target = ROOT / "target" / "hosts"
    build = ["cargo", "build", "--quiet", "--locked", "--manifest-path", str(OLDEST_HOST / "Cargo.toml")]
    subprocess.run(build, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True)
    host = [str(target / "debug" / "oldest-host"), str(database), str(EXTENSION)]
    return [run(host, "\n".join(statements) + "\n")]


HOSTS = {
    "the shell": in_the_shell,
    **{driver: in_python(driver) for driver in DRIVERS},
    f"SQLite {OLDEST_SQLITE}": on_the_oldest_sqlite,
}


def answers(host: str, database: Path, statements: list[str]) -> list[list[list[str]]]:
    """For each process of a host, the rows of each statement."""
    marked = [line for statement in statements for line in (statement, f"SELECT '{MARK}'")]
    outputs = HOSTS[host](database, marked)
    return [[answer.splitlines() for answer in output.split(f"{MARK}\n")[:-1]] for output in outputs]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("script", [SURFACE, LIFE], ids=["the functions", "the life of an entry"])
def test_every_host_has(host, script, tmp_path):
    expected = [(statement, rows) for statement, rows in script]
    statements = [statement for statement, _ in script]
    for given in answers(host, tmp_path / "logs.db", statements):
        assert list(zip(statements, given, strict=True)) == expected


def test_the_oldest_host_is_as_old_as_it_says(tmp_path):
    assert answers(f"SQLite {OLDEST_SQLITE}", tmp_path / "logs.db", ["SELECT sqlite_version()"]) == [[[OLDEST_SQLITE]]]


SECOND = f"""
def load(db):
    db.enable_load_extension(True)
    if hasattr(db, "load_extension"):
        db.load_extension({str(EXTENSION)!r})
    else:
        db.loadextension({str(EXTENSION)!r})
try:
    load(db)
except Exception as error:
    print(error)
print(db.execute("SELECT 6 * 7").fetchall()[0][0])
db = first
"""


@pytest.mark.parametrize(("former", "latter"), list(permutations(DRIVERS, 2)))
def test_of_two_copies_of_sqlite_in_a_process_the_first_is_served(former, latter):
    able = [interpreter for interpreter in interpreters(former) if interpreter in interpreters(latter)]
    if not able:
        pytest.skip("no Python at hand has both")
    for interpreter in able:
        program = DRIVERS[former] + LOAD + "first = db\n" + DRIVERS[latter] + SECOND + USE
        done = python(program, interpreter)
        refused, sum_of_the_second, label = done.stdout.splitlines()
        assert "another copy of SQLite in this process has loaded sqlite-anomaly" in refused
        assert "one SQLite library per process" in refused
        assert (sum_of_the_second, label, done.stderr) == ("42", "SECURITY_ANOMALY", "")
