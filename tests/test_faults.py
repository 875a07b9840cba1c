"""Whatever fails while entries are scored, at whichever moment: a clear error, nothing half done, and a next time.

`faults.py` makes things fail, once for each moment; here it is judged.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import EXTENSION, MODELS, connect, one
from torture import SOAK, TESTS, entries, finish, start, unfinished

pytestmark = pytest.mark.soak

# Primary result codes (https://www.sqlite.org/rescode.html).
ERROR, BUSY, NOMEM, READONLY, INTERRUPT, IOERR, SCHEMA = 1, 5, 7, 8, 9, 10, 17
CORRUPT, FULL, CANTOPEN, AUTH, NOTADB = 11, 13, 14, 23, 26

# What the text of an error must say of the remedy.
REMEDY = {
    ERROR: r"SELECT anomaly_init\(\) makes what is missing",
    BUSY: r"run it again, or wait longer with anomaly_config\('busy_timeout_ms'",
    NOMEM: "free some memory, or raise SQLite's heap limit",
    READONLY: "open the file for writing|moved or deleted: open it where it is now",
    INTERRUPT: "run it again for the rest",
    IOERR: "see whether its disk is still there",
    CORRUPT: "PRAGMA integrity_check",
    FULL: "free some space",
    CANTOPEN: "see that the file and its folder are still there",
    AUTH: "the authorizer of this connection",
    NOTADB: "the file was overwritten",
    SCHEMA: "another program changed the tables meanwhile, run it again",
}
# What SQLite itself says where a statement fails before or after the extension's part of it; nothing where the fault
# is a Python exception, which comes out as it went in.
OF_SQLITE = re.compile(
    "|out of memory|interrupted|disk I/O error|database disk image is malformed|database or disk is full"
    "|unable to open database file|database is locked|file is not a database|database schema has changed"
    r"|not authorized|access to [\w.]+ is prohibited|not authorized to use function: \w+"
)

SCORING = ["all", "pending", "in a transaction", "in a statement"]
READING = ["classify", "scores", "each", "detections", "status"]

# The faults that need every way to score, and a few more; in the short form two ways must do for the others.
EVERYWHERE = {
    "write": (IOERR, ["init"]),
    "full": (FULL, ["init"]),
    "read": (IOERR, ["init", "detections"]),
    "denial": (AUTH, ["init", *READING]),
    "memory": (NOMEM, ["init", *READING]),
    "progress": (INTERRUPT, ["init", *READING]),
}
BY_THE_WAY = {
    "write, lasting": IOERR,
    "full, lasting": FULL,
    "sync": IOERR,
    "truncate": IOERR,
    "read damage": CORRUPT,
    "open": CANTOPEN,
    "lock": IOERR,
    "size": IOERR,
    "delete": IOERR,
    "access": IOERR,
    "denial, lasting": AUTH,
    "progress, lasting": INTERRUPT,
    "interrupt at a write": INTERRUPT,
    "interrupt at a sync": INTERRUPT,
    "interrupt at a read": INTERRUPT,
    "interrupt at a lock": INTERRUPT,
    "interrupt at a preparation": INTERRUPT,
    "interrupt": INTERRUPT,
}
# The database is gone then; how that looks depends on what was in memory.
RUINS = ["emptied at a read", "emptied at a write", "emptied at a lock", "deleted at a write", "deleted at a lock",
         "overwritten at a read", "overwritten at a lock"]  # fmt: skip
RUINED = {ERROR, READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB, SCHEMA}

needs_apsw = pytest.mark.skipif(not find_spec("apsw"), reason="apsw is installed on Linux only")


def outcomes(fault: str, folder: Path, ways: list[str]) -> list[dict]:
    """What became of each run with the fault; at least one of them met it."""
    said = finish(start(TESTS / "faults.py", EXTENSION, fault, folder, *ways))
    outcomes = [json.loads(line) for line in said.splitlines()]
    for way in ways:
        of_way = [outcome for outcome in outcomes if outcome["way"] == way]
        assert not of_way[-1]["met"] and not of_way[-1]["error"], f"{way} without a fault: {of_way[-1]}"
    if name := os.environ.get("ANOMALY_FAULTS"):
        tabulate(Path(name), fault, outcomes)
    return outcomes


def tabulate(file: Path, fault: str, outcomes: list[dict]) -> None:
    """Adds the errors of a fault to a table, for a person to read."""
    counted = Counter((outcome["error"] and tuple(outcome["error"])) for outcome in outcomes)
    with file.open("a") as table:
        for error, number in counted.items():
            print(fault, number, *(error or ("no error",)), sep="\t", file=table)


def judge(outcomes: list[dict], codes: set[int]) -> None:
    """Each error is one of `codes` and says what failed and what to do; nothing is wrong afterwards."""
    ours = 0
    for outcome in outcomes:
        assert outcome["problems"] == [], outcome
        if outcome["error"] and not OF_SQLITE.fullmatch(outcome["error"][1]):
            code, text = outcome["error"]
            assert code & 0xFF in codes, outcome
            assert re.search(REMEDY[code & 0xFF], text), outcome
            ours += 1
    assert ours > 0, "nothing failed in the extension"


@needs_apsw
@pytest.mark.parametrize("fault", EVERYWHERE)
def test_at_whichever_moment_it_fails_nothing_is_half_done(fault, tmp_path):
    code, more = EVERYWHERE[fault]
    judge(outcomes(fault, tmp_path, [*SCORING, *more]), {code})


@needs_apsw
@pytest.mark.parametrize("fault", BY_THE_WAY)
def test_at_whichever_moment_this_fails_nothing_is_half_done(fault, tmp_path):
    ways = [*SCORING, "init"] if SOAK else ["all", "pending", "init"]
    judge(outcomes(fault, tmp_path, ways), {BY_THE_WAY[fault]})


@needs_apsw
def test_a_lock_that_is_never_free_is_told_as_such(tmp_path):
    judge(outcomes("busy", tmp_path, SCORING if SOAK else SCORING[:1]), {BUSY})


@needs_apsw
@pytest.mark.parametrize("fault", RUINS)
def test_a_database_that_goes_away_takes_nothing_else_along(fault, tmp_path):
    judge(outcomes(fault, tmp_path, SCORING if SOAK else SCORING[:2]), RUINED)


# Opens a database as somebody who may not write, and scores; argv: the folder, and the statement.
READ_ONLY = """
import json, os, sys
from pathlib import Path
from conftest import SQLITE, connect, one
folder, sql = Path(sys.argv[1]), sys.argv[2]
os.environ["TURNSTONE_ANOMALY_MODEL"] = str(folder / "model")
other = connect()
one(other, "SELECT anomaly_label('failed')")
if os.geteuid() == 0:
    os.setuid(65534)
db = connect(folder / "data" / "logs.db")
try:
    db.execute(sql).fetchall()
    error = None
except SQLITE.Error as caught:
    error = [getattr(caught, "sqlite_errorcode", None), str(caught)]
print(json.dumps({"error": error, "open": db.in_transaction, "label": one(other, "SELECT anomaly_label('failed')")}))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, with a model and a database in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(MODELS / "levels", folder / "model")
        (folder / "data").mkdir()
        for path in folder.rglob("*"):
            path.chmod(0o755)
        yield folder
        (folder / "data").chmod(0o755)


@pytest.mark.parametrize("call", ["anomaly_score_all()", "* FROM anomaly_score_pending", "anomaly_init()"])
@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize(("of_file", "of_folder"), [(0o444, 0o777), (0o666, 0o555), (0o444, 0o555)])
def test_whoever_may_not_write_is_told_so(public, call, journal, of_file, of_folder):
    path = public / "data" / "logs.db"
    db = connect(path)
    one(db, f"PRAGMA journal_mode = {journal}")
    db.execute("CREATE TABLE log_entries (id TEXT PRIMARY KEY, text TEXT)")
    if "init" not in call:
        db.execute("SELECT anomaly_init()").fetchall()
    db.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries(12))
    db.close()
    path.chmod(of_file)
    path.parent.chmod(of_folder)
    said = json.loads(finish(start(READ_ONLY, public, f"SELECT {call}")))
    code, text = said["error"]
    # In WAL mode reading writes too, and SQLite refuses before it comes to the extension.
    of_sqlite = "attempt to write a readonly database|unable to open database file"
    assert (journal == "wal" and re.fullmatch(of_sqlite, text)) or re.search(
        f"^anomaly_.*({REMEDY[READONLY]}|{REMEDY[CANTOPEN]})", text
    )
    assert code is None or code & 0xFF in (READONLY, CANTOPEN)
    assert (said["open"], said["label"]) == (False, "ERROR")
    path.parent.chmod(0o777)
    path.chmod(0o666)
    db = connect(path)
    db.execute("SELECT anomaly_init()").fetchall()
    one(db, "SELECT anomaly_config('model', ?)", str(public / "model"))
    one(db, "SELECT anomaly_score_all()")
    assert unfinished(db) == []
