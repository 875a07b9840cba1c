"""Commands that run for long: `sqlite-anomaly watch`, and `score` until Ctrl-C."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from package import (
    COMMAND,
    LEVELS,
    PATIENCE,
    command,
    environment,
    imported,
    logged,
    python,
    rows,
    said,
)


@pytest.fixture
def database(tmp_path) -> Path:
    return imported(logged(tmp_path))


@contextmanager
def running(*arguments: object, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """The command `sqlite-anomaly`, while it runs."""
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        env=environment(**changes),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_watch_prints_what_is_detected_as_it_arrives_and_ends_cleanly(database, ending):
    with running("watch", database, *LEVELS, "--interval", "0.1", "--json") as watch:
        texts = [json.loads(watch.stdout.readline())["text"] for _ in range(2)]
        assert texts == ["it failed failed"] * 2
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            connection.execute("INSERT INTO log_entries (id, text) VALUES ('late', 'failed failed late')")
        assert json.loads(watch.stdout.readline())["text"] == "failed failed late"
        watch.send_signal(ending)
        output, errors = watch.communicate(timeout=PATIENCE)
    assert (watch.returncode, output, errors) == (0, "", "stopped: 5 entries scored, 3 detections\n")


@pytest.mark.parametrize("interrupts", [1, 2])
def test_watch_prints_during_a_long_run_and_an_interrupt_loses_nothing(tmp_path, interrupts):
    log = tmp_path / "long.log"
    log.write_text("\n".join(f"worker {n} failed failed" for n in range(20_000)))
    database = imported(log)
    with running("watch", database, *LEVELS, "--batch", "16", "--json") as watch:
        lines = [watch.stdout.readline()]
        for _ in range(interrupts):
            watch.send_signal(signal.SIGINT)
            time.sleep(0.01)
        # communicate() would miss what was read ahead for the first line.
        lines += watch.stdout.readlines()
        _, errors = watch.communicate(timeout=PATIENCE)
    ((scored, pending),) = rows(
        database, "SELECT count(anomaly_scored_at), count(*) - count(anomaly_scored_at) FROM log_entries"
    )
    assert pending > 0
    assert errors == f"stopped: {scored} entries scored, {scored} detections\n"
    printed = [json.loads(line)["id"] for line in lines]
    assert sorted(printed) == sorted(key for (key,) in rows(database, "SELECT id FROM detections"))
    assert watch.returncode == 0


def test_watch_prints_a_detection_whose_commit_came_long_after_its_time(database):
    with running("watch", database, *LEVELS, "--interval", "0.1", "--json") as watch:
        texts = [json.loads(watch.stdout.readline())["text"] for _ in range(2)]
        for text in ("failed failed again", "failed failed anew"):
            with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
                connection.execute("INSERT INTO log_entries (text, id) VALUES (?1, ?1)", [text])
            texts.append(json.loads(watch.stdout.readline())["text"])
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            # Another scorer's, of the time of this one's first; and an entry, to be printed after it.
            connection.execute(
                "INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, text, detected_at, scorer) "
                "SELECT 'other', entry_id, anomaly_label, anomaly_score, 'other', max(detected_at), 'other' "
                "FROM detections WHERE text = 'it failed failed'"
            )
            connection.execute("INSERT INTO log_entries (id, text) VALUES ('last', 'failed failed last')")
        texts.append(json.loads(watch.stdout.readline())["text"])
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=PATIENCE)
    assert texts[4:] == ["other"]


def test_watch_goes_back_to_its_last_look_however_long_that_is_ago(database):
    said(command("score", database, *LEVELS))
    program = """
from datetime import UTC, datetime, timedelta
from sqlite_anomaly import _watching, load
from sqlite_anomaly._drivers import able_driver
_watching.OVERLAP = timedelta(0)
db = able_driver().open(sys.argv[1])
load(db)
lookout = _watching.Lookout(db, _watching.Output(as_json=True), 0)
for _ in range(2):
    lookout.look()
    db.execute("UPDATE detections SET detected_at = ?", (_watching.stamp(datetime.now(UTC)),))
lookout.look()
print(lookout.detected)
"""
    assert said(python(program, str(database)))[-1] == "2"


def test_watch_can_be_stopped_while_another_program_holds_its_lock(database):
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with running("watch", database, *LEVELS, "--interval", "0.1", TURNSTONE_ANOMALY_BUSY_TIMEOUT_MS="0") as watch:
            assert "trying again" in watch.stderr.readline()
            watch.send_signal(signal.SIGINT)
            _, errors = watch.communicate(timeout=PATIENCE)
    assert errors.splitlines()[-1] == "stopped: 0 entries scored, 0 detections"
    assert watch.returncode == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_watch_ends_when_its_database_is_no_longer_there(database, replaced):
    with running("watch", database, *LEVELS, "--interval", "0.1", "--json") as watch:
        for _ in range(2):
            watch.stdout.readline()
        twin = database.with_name("twin.db")
        shutil.copy(database, twin)
        database.unlink()
        if replaced:
            twin.rename(database)
        _, errors = watch.communicate(timeout=PATIENCE)
    assert errors == (
        f"sqlite-anomaly: {database}: the file of the database was moved or deleted: watch it where it is now\n"
    )
    assert watch.returncode == 1


def test_watch_outlives_a_long_lock_of_another_program(database):
    said(command("score", database, *LEVELS))
    with running(
        "watch", database, *LEVELS, "--interval", "0.1", "--json", TURNSTONE_ANOMALY_BUSY_TIMEOUT_MS="0"
    ) as watch:
        with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("INSERT INTO log_entries (id, text) VALUES ('late', 'failed failed late')")
            assert "trying again" in watch.stderr.readline()
            connection.execute("COMMIT")
        assert json.loads(watch.stdout.readline())["text"] == "failed failed late"
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=PATIENCE)
    assert watch.returncode == 0


@pytest.mark.parametrize("module", ["sqlite_anomaly", "rich"])
def test_ctrl_c_while_the_command_starts_shows_no_traceback(database, tmp_path, module):
    program = """
import importlib.abc, os, signal, sys
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""
    (tmp_path / "sitecustomize.py").write_text(program.replace("MODULE", repr(module)), encoding="utf-8")
    done = command("score", database, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_ends_a_long_run_at_once_and_keeps_what_was_committed(tmp_path):
    log = tmp_path / "long.log"
    log.write_text("\n".join(f"worker {'ab' * (n % 40)} {'x' * (n // 40)} says hello" for n in range(20_000)))
    database = imported(log)
    with running("score", database, "--batch", "16") as score:
        deadline = time.monotonic() + PATIENCE
        while rows(database, "SELECT count(anomaly_scored_at) FROM log_entries") == [(0,)]:
            assert time.monotonic() < deadline, "nothing was scored"
            time.sleep(0.05)
        score.send_signal(signal.SIGINT)
        output, errors = score.communicate(timeout=PATIENCE)
    assert (score.returncode, output) == (130, "")
    assert errors == "interrupted: what was committed stays; run it again for the rest\n"
    ((scored, pending),) = rows(
        database, "SELECT count(anomaly_scored_at), count(*) - count(anomaly_scored_at) FROM log_entries"
    )
    assert scored > 0
    assert pending > 0
