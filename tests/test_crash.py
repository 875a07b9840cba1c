"""A process that is killed while it scores: at any moment every entry is scored or pending, and the rest goes on."""

from __future__ import annotations

import itertools
import random
import shutil
import time

import pytest

from conftest import connect, one, use_model
from torture import PENDING, WATCHDOG, entries, finish, problems, scaled, start, unfinished

pytestmark = pytest.mark.soak

ENTRIES = 3000
KILLS = scaled(3, 50)

# Loads the model, says so, and scores when it is told to.
SCORER = """
import sys
from conftest import connect, one, use_model
path, sql = sys.argv[1:]
db = connect(path)
use_model(db, "levels")
one(db, "SELECT anomaly_label('ok')")
print("ready", flush=True)
sys.stdin.readline()
db.execute(sql).fetchall()
print("done", flush=True)
"""


def score(path, sql: str, seconds: float | None) -> None:
    """Scores in a process of its own, which is killed after so many seconds, if it is to be."""
    child = start(SCORER, path, sql)
    assert child.stdout.readline() == "ready\n", child.stderr.read()
    if seconds is None:
        assert "done" in finish(child)
        return
    child.stdin.write("go\n")
    child.stdin.flush()
    time.sleep(seconds)
    child.kill()
    child.communicate(timeout=WATCHDOG)


@pytest.fixture(params=["wal", "delete"])
def full(request, path):
    """A database of pending entries in one of the journal modes."""
    connection = connect(path)
    assert one(connection, f"PRAGMA journal_mode = {request.param}") == request.param
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries(ENTRIES))
    connection.execute("COMMIT")
    connection.close()
    return path


@pytest.mark.parametrize(
    ("sql", "seed"),
    [("SELECT * FROM anomaly_score_pending(16)", 1), ("SELECT anomaly_score_all(16)", 2)],
    ids=["pending", "all"],
)
def test_a_kill_at_any_moment_leaves_every_entry_scored_or_pending(full, tmp_path, sql, seed):
    """The moments follow from the seed and from how far the kills before came: one in the midst of the work counts, and
    one before or after it makes the next ones later or sooner."""
    moments = random.Random(seed)
    longest = 0.2
    midway = 0
    for attempt in range(20 * KILLS):
        path = tmp_path / f"{attempt}.db"
        shutil.copy(full, path)
        seconds = moments.uniform(0, longest)
        score(path, sql, seconds)
        connection = connect(path)
        case = f"seed {seed}, attempt {attempt}, killed after {seconds:.4f} s"
        assert problems(connection) == [], case
        pending = one(connection, PENDING)
        midway += 0 < pending < ENTRIES
        longest *= {0: 0.8, ENTRIES: 1.2}.get(pending, 1)
        finish_scoring(connection, sql)
        assert unfinished(connection) == [], case
        connection.close()
        path.unlink()
        if midway == KILLS:
            return
    raise AssertionError(f"of {20 * KILLS} kills only {midway} came while entries were scored")


def finish_scoring(connection, sql: str) -> None:
    """A later run, in this process."""
    use_model(connection, "levels")
    connection.execute(sql).fetchall()


def test_what_one_killed_process_leaves_the_next_one_may_leave_as_well(full):
    """One database, one kill after another, each a little later than the last, until some have left their mark."""
    sql = "SELECT anomaly_score_all(16)"
    left = [ENTRIES]
    for kill in itertools.count(1):
        score(full, sql, kill / 50)
        connection = connect(full)
        assert problems(connection) == [], f"kill {kill}"
        left.append(one(connection, PENDING))
        connection.close()
        assert left[-1] <= left[-2]
        if left[-1] == 0 or len(set(left)) > scaled(2, 10):
            break
    score(full, sql, None)
    assert unfinished(connect(full)) == []
