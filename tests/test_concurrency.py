"""Many scorers, a writer and a reader on one database: nothing is scored or detected twice, and nobody hangs."""

from __future__ import annotations

import json
import os
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from conftest import SQLITE, connect, one, use_model
from torture import NEVER, WATCHDOG, entries, finish, scaled, start, unfinished

pytestmark = pytest.mark.soak

PROCESSES = 4
THREADS = 8
SECONDS = scaled(1, 60)

ALL = "SELECT anomaly_score_all(10)"
PENDING_ROWS = "SELECT scored, detections, failed, remaining, error FROM anomaly_score_pending(10)"
LOCKED = "database is locked"
EARLY = "another connection wrote to the database during this statement"


def patient(path: str | Path):
    """A connection that waits for locks as long as the test lasts."""
    return connect(path, timeout=WATCHDOG)


class Scorer:
    """Scores again and again until no writer is left and nothing is pending; counts what it did."""

    def __init__(self, path: str | Path, sql: str, busy_timeout_ms: int) -> None:
        self.db = patient(path)
        self.sql = sql
        self.written = Path(f"{path}.written")
        self.counts = {"scored": 0, "detections": 0, "failed": 0, "locked": 0, "early": 0}
        use_model(self.db, "levels")
        one(self.db, "SELECT anomaly_config('busy_timeout_ms', ?)", busy_timeout_ms)
        # From here on the extension waits by itself; not so SQLite, where a statement reads from a table function.
        one(self.db, f"PRAGMA busy_timeout = {0 if sql == ALL else 50}")

    def score(self) -> dict[str, int]:
        while True:
            is_last = self.written.exists()
            is_complete = self.try_once()
            if is_last and is_complete:
                self.db.close()
                return self.counts

    def try_once(self) -> bool:
        """One call; whether it came to the end of what was pending."""
        try:
            return self.all() if self.sql == ALL else self.pending()
        except SQLITE.OperationalError as error:
            if LOCKED not in str(error):
                raise
            self.counts["locked"] += 1
            return False

    def all(self) -> bool:
        answer = json.loads(one(self.db, ALL))
        self.add(answer["scored"], answer["detections"], answer["failed"])
        return answer["remaining"] == 0

    def pending(self) -> bool:
        remaining = 0
        for *counts, remaining, error in self.db.execute(PENDING_ROWS):
            self.add(*counts)
            if remaining and error and not error.startswith("entry"):
                assert EARLY in error, error
                self.counts["early"] += 1
        return remaining == 0

    def add(self, scored: int, detections: int, failed: int) -> None:
        for name, number in [("scored", scored), ("detections", detections), ("failed", failed)]:
            self.counts[name] += number


def write(path: str, seconds: float) -> int:
    """Inserts entries for a while, a few at a time, then says that these were all; how many."""
    db = patient(path)
    end = time.monotonic() + seconds
    for round_ in count(1):
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries(12, f"{round_}-"))
        db.execute("COMMIT")
        if time.monotonic() > end:
            break
        time.sleep(0.005)
    Path(f"{path}.written").touch()
    return 12 * round_


def watch(path: str) -> int:
    """Looks, until the writer has ended, for anything that must never be seen; how often it looked."""
    db = patient(path)
    for looks in count(1):
        is_last = Path(f"{path}.written").exists()
        db.execute("BEGIN")
        seen = {name: number for name, sql in NEVER.items() if (number := one(db, sql))}
        db.execute("COMMIT")
        assert not seen, seen
        if is_last:
            return looks
        time.sleep(0.01)


def child(call: str, *arguments: object):
    """Starts a function of this module in a process of its own; it prints its result."""
    program = f"import json, sys, test_concurrency as t\nprint(json.dumps({call}))"
    return start(program, *arguments)


@pytest.mark.parametrize(
    ("journal", "sql", "busy_timeout_ms"),
    [
        ("wal", ALL, 1000 * WATCHDOG),
        ("delete", ALL, 1000 * WATCHDOG),
        ("wal", PENDING_ROWS, 1000 * WATCHDOG),
        # Each of these keeps all others from committing until it gives up.
        ("delete", PENDING_ROWS, 20),
    ],
    ids=["all-wal", "all-delete", "pending-wal", "pending-delete"],
)
def test_every_entry_is_scored_once_by_one_of_many(path, journal, sql, busy_timeout_ms):
    db = connect(path)
    assert one(db, f"PRAGMA journal_mode = {journal}") == journal
    children = [child("t.Scorer(sys.argv[1], sys.argv[2], int(sys.argv[3])).score()", path, sql, busy_timeout_ms)
                for _ in range(PROCESSES)]  # fmt: skip
    writer = child("t.write(sys.argv[1], float(sys.argv[2]))", path, SECONDS)
    reader = child("t.watch(sys.argv[1])", path)
    counts, failures = [], []

    def score() -> None:
        try:
            counts.append(Scorer(path, sql, busy_timeout_ms).score())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=score, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    written = json.loads(finish(writer))
    counts += [json.loads(finish(each)) for each in children]
    for thread in threads:
        thread.join(timeout=WATCHDOG)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads), "a scorer hangs"
    assert json.loads(finish(reader)) > 0
    assert unfinished(db) == []
    total = {name: sum(each[name] for each in counts) for name in counts[0]}
    assert one(db, "SELECT count(*) FROM log_entries") == written
    told = [total[name] for name in ("scored", "failed", "detections")]
    done = [written * 5 // 6, written // 6, written // 3]
    if sql == PENDING_ROWS and total["locked"]:
        # Python's sqlite3 reads one row ahead, and drops the row it has when that fails: such a host was told of less
        # than was done, which the records of the runs, among `unfinished`, count in full.
        assert all(few <= all_ for few, all_ in zip(told, done, strict=True)), total
    else:
        assert told == done, total
    # Who may meet a lock for too long, and who may have to begin again.
    assert total["locked"] == 0 or (journal, sql) == ("delete", PENDING_ROWS), total
    assert total["early"] == 0 or (journal, sql) == ("wal", PENDING_ROWS), total


# A process that has used the extension in one of these ways forks.
BEFORE_THE_FORK = {
    "loaded": "pass",
    "configured": "use_model(db, 'levels')",
    "run": "use_model(db, 'levels'); classify(db)",
    "run on four threads": "use_model(db, 'levels'); one(db, \"SELECT anomaly_config('threads', 4)\"); classify(db)",
    "bundled, run on four threads": (
        "one(db, \"SELECT anomaly_config('model', 'bundled')\");"
        "one(db, \"SELECT anomaly_config('threads', 4)\"); classify(db)"
    ),
}
FORK = """
import json, os, signal, sys
from conftest import connect, one, use_model
def classify(db):
    texts = json.dumps([f"failed {'word ' * (number % 40)} {'x' * (number % 7)}" for number in range(200)])
    return db.execute("SELECT label, round(score, 5) FROM anomaly_classify_each(?)", (texts,)).fetchall()
def answers():
    db = connect()
    use_model(db, "levels")
    one(db, "SELECT anomaly_config('threads', 4)")
    return classify(db)
db = connect()
BEFORE
child = os.fork()
if child == 0:
    # A hang ends with this signal.
    signal.alarm(120)
    mine = answers()
    print(json.dumps(mine), flush=True)
    LEAVE
_, ended = os.waitpid(child, 0)
print(json.dumps(answers()))
print(os.waitstatus_to_exitcode(ended))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("leave", ["sys.exit()", "os._exit(0)"])
@pytest.mark.parametrize("before", BEFORE_THE_FORK)
def test_a_forked_process_classifies_and_so_does_the_one_it_came_from(before, leave):
    program = FORK.replace("BEFORE", BEFORE_THE_FORK[before]).replace("LEAVE", leave)
    of_child, of_parent, ended = finish(start(program)).splitlines()
    assert ended == "0"
    assert of_child == of_parent
    assert len(json.loads(of_parent)) == 200
