"""All or nothing, in each of the transactions a host may be in; locks, interrupts, scorers side by side."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time

import pytest

from conftest import SQLITE, connect, error_of, insert, one, status, totals, use_model

SQLITE_BUSY = 5
PENDING = "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL"


@pytest.fixture
def opened(path):
    """A way to open the database of `path` as often as wanted, with the model configured."""
    connections = []

    def connection(**options):
        connections.append(connect(path, check_same_thread=False, **options))
        use_model(connections[-1], "levels")
        return connections[-1]

    yield connection
    for each in connections:
        each.close()


@pytest.fixture(params=["delete", "wal"])
def journal(request, path):
    """Both kinds of journal; the tests that take this run with each."""
    connection = connect(path)
    assert one(connection, f"PRAGMA journal_mode = {request.param}") == request.param
    connection.close()
    return request.param


def begin_scoring(connection, batch: int):
    """Starts a run: Python's execute() steps to the first row, and so to the end of the first batch."""
    return connection.execute("SELECT batch, scored, remaining, error FROM anomaly_score_pending(?)", (batch,))


FAILURES = []


def guarded(work):
    """Work for a thread whose failure must fail the test."""

    def run(*arguments):
        try:
            work(*arguments)
        except BaseException as failure:
            FAILURES.append(failure)

    return run


def run_together(threads: list[threading.Thread]) -> None:
    """Runs threads to their ends; the first failure of any is raised."""
    FAILURES.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if FAILURES:
        raise FAILURES[0]


def test_in_autocommit_a_batch_is_committed_before_its_row_is_seen(journal, opened):
    writer, reader = opened(), opened()
    insert(writer, *["failed failed"] * 6)
    rows = begin_scoring(writer, 2)
    assert one(reader, PENDING) == 4
    assert one(reader, "SELECT count(*) FROM detections") == 2
    rows.close()
    assert not writer.in_transaction


def test_a_rollback_of_the_host_undoes_everything(opened):
    db = opened()
    insert(db, "failed failed", "ok")
    db.execute("BEGIN")
    assert totals(db, 1) == (2, 1, 0)
    db.execute("ROLLBACK")
    assert (one(db, PENDING), one(db, "SELECT count(*) FROM detections")) == (2, 0)


def test_a_commit_of_the_host_keeps_everything(opened):
    db = opened()
    insert(db, "failed failed", "ok")
    db.execute("BEGIN IMMEDIATE")
    totals(db, 1)
    assert db.in_transaction
    db.execute("COMMIT")
    assert one(opened(), PENDING) == 0


@pytest.mark.parametrize("explicit", [False, True])
def test_inside_a_writing_statement(opened, explicit):
    db = opened()
    db.execute("CREATE TABLE report (scored, detections)")
    insert(db, "failed failed", "ok", "failed failed failed")
    if explicit:
        db.execute("BEGIN")
    db.execute("INSERT INTO report SELECT scored, detections FROM anomaly_score_pending(2, 0.75)")
    if explicit:
        db.execute("COMMIT")
    assert db.execute("SELECT sum(scored), sum(detections) FROM report").fetchone() == (3, 2)
    assert (one(opened(), PENDING), one(db, "SELECT count(*) FROM detections")) == (0, 2)


def test_scoring_while_the_host_reads_the_same_table(opened):
    db = opened()
    insert(db, *["failed failed"] * 5)
    reading = db.execute("SELECT id FROM log_entries")
    next(reading)
    assert totals(db, 2) == (5, 5, 0)
    reading.close()
    assert one(opened(), PENDING) == 0


def test_a_lock_is_waited_for(journal, opened):
    db, other = opened(timeout=0), opened()
    insert(db, "failed failed")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE log_entries SET severity = 'INFO'")
    release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    release.start()
    assert totals(db) == (1, 1, 0)
    release.join()


def test_a_lock_held_too_long_is_a_clear_error_and_nothing_is_lost(journal, opened):
    db, other = opened(timeout=0), opened()
    insert(db, "failed failed")
    one(db, "SELECT anomaly_config('busy_timeout_ms', 50)")
    other.execute("BEGIN IMMEDIATE")
    message = error_of(db, "SELECT * FROM anomaly_score_pending")
    assert "busy_timeout_ms = 50" in message
    assert "database is locked" in message
    other.execute("ROLLBACK")
    assert totals(db) == (1, 1, 0)


@pytest.mark.parametrize("sql", ["SELECT * FROM anomaly_score_pending", "SELECT anomaly_score_all()"])
def test_scores_that_could_not_be_written_are_not_computed_again(opened, sql):
    db, other = opened(timeout=0), opened()
    insert(db, *[f"failed failed {number}" for number in range(50)])
    one(db, "SELECT anomaly_config('busy_timeout_ms', 50)")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SQLITE.OperationalError, match="database is locked") as caught:
        db.execute(sql).fetchall()
    assert getattr(caught.value, "sqlite_errorcode", SQLITE_BUSY) == SQLITE_BUSY
    assert not db.in_transaction
    other.execute("ROLLBACK")
    runs_of_the_model = status(db)["cache_misses"]
    assert runs_of_the_model > 0
    assert totals(db) == (50, 50, 0)
    assert status(db)["cache_misses"] == runs_of_the_model


@pytest.mark.parametrize("sql", ["SELECT * FROM anomaly_score_pending(2)", "SELECT anomaly_score_all(2)"])
def test_a_progress_handler_may_interrupt_at_any_step(opened, sql):
    db = opened()
    entries = 6
    insert(db, *["failed failed"] * entries)
    moment = interrupted = 0
    while True:
        # Each time a little later, until it ends before it is interrupted.
        moment = moment * 21 // 20 + 1
        steps = iter(range(moment))
        db.set_progress_handler(lambda: next(steps, None) is None, 1)
        try:
            db.execute(sql).fetchall()
        except SQLITE.OperationalError as error:
            assert "interrupted" in str(error)
            interrupted += 1
        else:
            break
        finally:
            db.set_progress_handler(None, 1)
        assert not db.in_transaction
        left = one(db, PENDING)
        assert left % 2 == 0
        assert one(db, "SELECT count(*) FROM detections") == entries - left
        db.execute("UPDATE log_entries SET anomaly_scored_at = NULL, anomaly_score = NULL, anomaly_label = NULL")
        db.execute("DELETE FROM detections")
    assert interrupted > 50
    assert one(db, PENDING) == 0


def test_a_write_of_others_ends_a_run_early_and_the_next_call_goes_on(opened, path):
    connect(path).execute("PRAGMA journal_mode = wal").fetchall()
    db, other = opened(), opened()
    insert(db, *["ok"] * 4)
    rows = begin_scoring(db, 2)
    insert(other, "failed failed")
    (first, early) = rows.fetchall()
    assert first == (1, 2, 2, None)
    assert early[:3] == (2, 0, 2)
    assert "call anomaly_score_pending again" in early[3]
    assert totals(db) == (3, 1, 0)
    assert one(db, PENDING) == 0


def test_a_reader_that_keeps_a_commit_out_leaves_no_transaction_behind(opened):
    db, reader = opened(timeout=0), opened()
    insert(db, "failed failed")
    one(db, "SELECT anomaly_config('busy_timeout_ms', 50)")
    rows = reader.execute("SELECT * FROM log_entries, pragma_function_list")
    next(rows)
    for sql in ["SELECT * FROM anomaly_score_pending", "SELECT anomaly_score_all()"]:
        message = error_of(db, sql)
        assert message.count("(busy_timeout_ms = 50)") == 1
        assert not db.in_transaction
    rows.close()
    assert totals(db) == (1, 1, 0)


def test_a_trigger_that_fails_beside_a_reader_leaves_no_transaction_behind(opened):
    db, reader = opened(timeout=0), opened()
    insert(db, "failed failed")
    db.execute("CREATE TRIGGER no BEFORE INSERT ON detections BEGIN SELECT RAISE(ABORT, 'not today'); END")
    rows = reader.execute("SELECT * FROM log_entries, pragma_function_list")
    next(rows)
    assert "not today" in error_of(db, "SELECT anomaly_score_all()")
    assert not db.in_transaction
    rows.close()


@pytest.mark.parametrize("sql", ["SELECT * FROM anomaly_score_pending(20)", "SELECT anomaly_score_all(20)"])
def test_an_interrupt_at_any_moment_leaves_no_transaction_behind(opened, sql):
    db = opened()
    one(db, "SELECT anomaly_config('cache_entries', 0)")
    insert(db, *[f"failed failed {number}" for number in range(2000)])
    for moment in range(40):
        timer = threading.Timer(moment / 2000, db.interrupt)
        timer.start()
        try:
            db.execute(sql).fetchall()
        except SQLITE.OperationalError as error:
            assert "interrupted" in str(error)
        timer.join()
        assert not db.in_transaction
    assert one(db, "SELECT count(*) FROM detections") == 2000 - one(db, PENDING)


def test_an_interrupt_ends_the_wait_of_a_commit(opened):
    db, reader = opened(timeout=0), opened()
    insert(db, "failed failed")
    rows = reader.execute("SELECT * FROM log_entries, pragma_function_list")
    next(rows)
    threading.Timer(0.2, db.interrupt).start()
    assert "interrupted" in error_of(db, "SELECT anomaly_score_all()")
    assert not db.in_transaction
    rows.close()
    assert totals(db) == (1, 1, 0)


def test_a_stale_snapshot_is_not_waited_for(opened, path):
    connect(path).execute("PRAGMA journal_mode = wal").fetchall()
    db, other = opened(), opened()
    insert(db, "failed failed")
    totals(db)
    db.execute("BEGIN")
    id = one(db, "SELECT id FROM detections")
    insert(other, "ok")
    message = error_of(db, "SELECT anomaly_acknowledge(?)", id)
    assert "locked" in message
    assert "busy_timeout_ms" not in message
    db.execute("ROLLBACK")
    assert one(db, "SELECT anomaly_acknowledge(?)", id) == 1


def test_an_interrupt_ends_the_wait_for_a_lock(opened):
    db, other = opened(timeout=0), opened()
    insert(db, "failed failed")
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, db.interrupt).start()
    assert "interrupted" in error_of(db, "SELECT * FROM anomaly_score_pending")
    other.execute("COMMIT")
    assert totals(db) == (1, 1, 0)


def test_an_interrupt_keeps_the_batches_that_were_committed(opened):
    db = opened()
    insert(db, *[f"failed {number}" for number in range(3000)])
    rows = begin_scoring(db, 10)
    db.interrupt()
    with pytest.raises(SQLITE.OperationalError, match="interrupted"):
        rows.fetchall()
    left = one(db, PENDING)
    assert 0 < left <= 2990
    assert totals(db)[0] == left


def test_scorers_side_by_side_neither_double_count_nor_duplicate(journal, opened):
    connections = [opened(timeout=0) for _ in range(4)]
    insert(connections[0], *[f"failed failed {number}" for number in range(2000)])
    counted = []

    def score(connection):
        totals = json.loads(one(connection, "SELECT anomaly_score_all(50, 0.5)"))
        assert (totals["error"], totals["remaining"]) == (None, 0)
        counted.append((totals["scored"], totals["detections"], totals["failed"]))

    run_together([threading.Thread(target=guarded(score), args=[connection]) for connection in connections])
    assert [sum(column) for column in zip(*counted, strict=True)] == [2000, 2000, 0]
    assert one(connections[0], "SELECT count(DISTINCT entry_id) FROM detections") == 2000
    assert one(connections[0], PENDING) == 0


def test_others_can_write_while_everything_is_scored_in_one_call(journal, opened):
    db, other = opened(timeout=0), opened(timeout=30)
    use_model(db, "../../models/bundled")
    insert(db, *[f"worker {number} {'wrote block ' * (number % 50)}" for number in range(1000)])
    scoring = threading.Thread(target=guarded(one), args=[db, "SELECT anomaly_score_all(50)"])
    FAILURES.clear()
    scoring.start()
    written = 0
    while scoring.is_alive():
        other.execute("UPDATE log_entries SET severity = 'INFO' WHERE id = 'e1'")
        written += 1
        time.sleep(0.005)
    scoring.join()
    assert not FAILURES
    assert written > 0
    assert one(db, PENDING) == 0


def test_settings_of_the_connection_are_left_alone(opened):
    db = opened()
    pragmas = ["busy_timeout", "journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "cache_size"]
    before = [one(db, f"PRAGMA {pragma}") for pragma in pragmas]
    insert(db, "failed failed")
    totals(db)
    assert [one(db, f"PRAGMA {pragma}") for pragma in pragmas] == before


def test_the_database_can_be_closed_in_the_middle_of_a_run(opened):
    db = opened()
    insert(db, *["ok"] * 10)
    rows = begin_scoring(db, 1)
    rows.close()
    db.close()
    assert one(opened(), PENDING) == 9


def test_a_wal_database_is_read_while_it_is_scored(opened):
    db = opened()
    db.execute("PRAGMA journal_mode = wal")
    insert(db, *["ok"] * 500)
    reader = opened()
    rows = begin_scoring(db, 100)
    assert one(reader, PENDING) == 400
    rows.fetchall()
    assert one(reader, PENDING) == 0


@pytest.mark.parametrize("late", range(6))
def test_a_commit_that_a_progress_handler_stops_too_late_counts(db, late):
    insert(db, *["failed failed"] * 4)
    # The steps since the release began that commits; none before it did.
    steps = None

    def trace(sql: str) -> None:
        nonlocal steps
        if "RELEASE" in sql and steps is None:
            steps = itertools.count()

    db.set_trace_callback(trace)
    db.set_progress_handler(lambda: steps is not None and next(steps) == late, 1)
    with contextlib.suppress(SQLITE.OperationalError):
        db.execute("SELECT anomaly_score_all(2)").fetchall()
    db.set_progress_handler(None, 0)
    assert steps is not None and not db.in_transaction
    assert one(db, "SELECT total(scored) FROM anomaly_runs") == 4 - one(db, PENDING)
    assert one(db, "SELECT total(detections) FROM anomaly_runs") == one(db, "SELECT count(*) FROM detections")


def test_a_progress_handler_that_looks_at_a_clock_ends_a_call_that_classifies_much(db):
    texts = json.dumps([" ".join(("ok", "slow")[bit == "1"] for bit in f"{number:012b}") for number in range(2000)])
    looks = itertools.count(1)
    db.set_progress_handler(lambda: next(looks) > 2, 1000)
    assert "interrupted" in error_of(db, "SELECT count(*) FROM anomaly_classify_each(?)", texts)
    db.set_progress_handler(None, 0)
    assert status(db)["cached_texts"] == 0  # it ended before all were classified
    assert one(db, "SELECT count(label) FROM anomaly_classify_each(?)", texts) == 2000


@pytest.mark.parametrize("array", ["[;]", "[[;]]"])
def test_a_progress_handler_ends_a_call_that_reads_much(array):
    connection = connect()
    use_model(connection, "levels")
    one(connection, "SELECT anomaly_label('failed')")
    array = array.replace(";", "0, " * 100_000 + "0")
    looks = itertools.count(1)
    connection.set_progress_handler(lambda: next(looks) > 2, 1000)
    assert "interrupted" in error_of(connection, "SELECT idx FROM anomaly_classify_each(?) LIMIT 1", array)
    connection.set_progress_handler(None, 0)
    assert next(looks) == 4  # it was not asked again
    assert one(connection, "SELECT idx FROM anomaly_classify_each(?) LIMIT 1", array) == 0


def test_a_database_whose_file_was_deleted_says_so(path):
    db = connect(path)
    use_model(db, "levels")
    insert(db, "failed")
    path.unlink()
    message = error_of(db, "SELECT anomaly_score_all()")
    assert message == "anomaly_score_all: the file of the database was moved or deleted: open it where it is now"
