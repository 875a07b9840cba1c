"""The record of runs: one row per call that scores, with the model and what came of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest

from conftest import MODELS, SQLITE, connect, error_of, insert, one, status, totals, use_model
from test_scoring import TIME
from test_transactions import guarded, run_together

CALLS = ["SELECT sum(scored) FROM anomaly_score_pending(2, 0.6)", "SELECT anomaly_score_all(2, 0.6)"]


def runs(connection) -> list[dict]:
    """The record, oldest first."""
    cursor = connection.execute("SELECT * FROM anomaly_runs ORDER BY started")
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_one_row(db, call):
    insert(db, "failed failed", "ok", "slow", None, "failed failed failed")
    one(db, call)
    (run,) = runs(db)
    assert TIME.fullmatch(run.pop("started"))
    assert TIME.fullmatch(run.pop("finished"))
    assert len(run.pop("id")) == 36
    graph = (MODELS / "levels" / "model.onnx").read_bytes()
    assert run == {
        "tenant_id": "", "model": str(MODELS / "levels"), "revision": None,
        "sha256": hashlib.sha256(graph).hexdigest(), "threshold": 0.6, "scored": 4, "detections": 2, "failed": 1,
        "remaining": 0, "error": "entry 'e4': its text is NULL",
    }  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_what_a_run_scored_lies_between_its_start_and_its_end(db, call):
    for text in ("failed failed", "ok"):
        insert(db, text)
        one(db, call)
    matched = db.execute(
        "SELECT e.id FROM log_entries e JOIN anomaly_runs r ON e.anomaly_scored_at BETWEEN r.started AND r.finished"
        " ORDER BY r.started"
    )
    assert matched.fetchall() == [("e1",), ("e2",)]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_finds_nothing_leaves_no_row(db, call):
    one(db, call)
    assert runs(db) == []


def test_a_call_without_a_model_leaves_none(db):
    one(db, "SELECT anomaly_config('model', '')")
    assert totals(db) == (0, 0, 0)
    assert runs(db) == []


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_says_why(db, call):
    insert(db, "failed failed")
    use_model(db, "all-nan")
    message = error_of(db, call)
    (run,) = runs(db)
    assert run["error"] in message
    assert (run["scored"], run["remaining"], run["finished"] is None) == (0, 1, False)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_in_the_middle_says_what_remains(db, call):
    insert(db, *["failed failed"] * 5)
    db.execute("""
        CREATE TRIGGER enough BEFORE INSERT ON detections WHEN (SELECT count(*) FROM detections) >= 2
        BEGIN SELECT RAISE(ABORT, 'enough'); END""")
    assert "enough" in error_of(db, call)
    (run,) = runs(db)
    assert (run["scored"], run["detections"], run["remaining"]) == (2, 2, 3)
    assert "enough" in run["error"]


def test_a_model_that_is_gone_is_recorded(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", "/no/such/model")
    connection = connect()
    one(connection, "SELECT anomaly_init()")
    error_of(connection, CALLS[0])
    (run,) = runs(connection)
    assert (run["model"], run["sha256"], run["remaining"]) == ("/no/such/model", None, None)
    assert "there is no folder" in run["error"]


def test_a_run_that_is_not_read_to_its_end_stays_unfinished(db):
    insert(db, *["ok"] * 5)
    db.execute("SELECT * FROM anomaly_score_pending(2) LIMIT 1").fetchall()
    (run,) = runs(db)
    assert (run["scored"], run["remaining"], run["finished"]) == (2, 3, None)


def test_a_batch_and_its_record_are_committed_together(path):
    writer = connect(path)
    use_model(writer, "levels")
    insert(writer, *["failed failed"] * 4)
    rows = writer.execute("SELECT * FROM anomaly_score_pending(2)")
    reader = connect(path)
    assert [(run["scored"], run["detections"]) for run in runs(reader)] == [(2, 2)]
    rows.close()


def test_a_rollback_of_the_host_undoes_the_record(db):
    insert(db, "ok")
    db.execute("BEGIN")
    totals(db)
    assert len(runs(db)) == 1
    db.execute("ROLLBACK")
    assert runs(db) == []


def test_inside_a_writing_statement(db):
    insert(db, "failed failed", "ok", "slow")
    db.execute("CREATE TABLE report AS SELECT * FROM anomaly_score_pending(2)")
    assert [(run["scored"], run["detections"]) for run in runs(db)] == [(3, 1)]


def test_a_database_without_the_table_is_scored_all_the_same(db):
    db.execute("DROP VIEW anomaly_recent_runs")
    db.execute("DROP TABLE anomaly_runs")
    insert(db, "failed failed")
    assert totals(db) == (1, 1, 0)
    assert status(db)["last_runs"] is None


def test_a_table_of_that_name_with_other_columns_is_left_alone(db):
    db.execute("DROP VIEW anomaly_recent_runs")
    db.execute("DROP TABLE anomaly_runs")
    db.execute("CREATE TABLE anomaly_runs (distance)")
    insert(db, "failed failed")
    assert totals(db) == (1, 1, 0)
    assert "table anomaly_runs lacks" in error_of(db, "SELECT anomaly_init()")
    assert one(db, "SELECT count(*) FROM anomaly_runs") == 0


@pytest.mark.parametrize(
    "table",
    [
        "TABLE anomaly_runs AS SELECT * FROM old WHERE 0",  # the same columns, but no key
        "VIEW anomaly_runs AS SELECT * FROM old",
        "TABLE anomaly_runs ({columns}, lane NOT NULL, PRIMARY KEY (id))",
    ],
)
def test_a_table_that_cannot_take_the_record_is_left_alone(db, table):
    db.execute("DROP VIEW anomaly_recent_runs")
    columns = ", ".join(name for (name,) in db.execute("SELECT name FROM pragma_table_info('anomaly_runs')"))
    db.execute("ALTER TABLE anomaly_runs RENAME TO old")
    db.execute(f"CREATE {table.format(columns=columns)}")
    insert(db, "failed failed")
    assert totals(db) == (1, 1, 0)
    message = error_of(db, "SELECT anomaly_init()")
    assert "table anomaly_runs is not the one" in message or "anomaly_runs is a view" in message


@pytest.mark.parametrize("call", CALLS)
def test_nothing_pending_writes_nothing(path, call):
    reader = connect(f"file:{path}?mode=ro", uri=True)
    use_model(reader, "levels")
    one(reader, call)


@pytest.mark.parametrize("call", CALLS)
def test_nothing_pending_waits_for_no_lock(path, call):
    db, other = connect(path, timeout=60), connect(path)
    use_model(db, "levels")
    one(db, call)
    other.execute("BEGIN IMMEDIATE")
    before = time.monotonic()
    one(db, call)
    # Whoever waited would wait a minute.
    assert time.monotonic() - before < 30


@pytest.mark.parametrize("call", CALLS)
def test_nothing_pending_leaves_the_transaction_of_the_host_alone(db, call):
    db.executescript(
        "CREATE TABLE mine (a); CREATE TRIGGER no BEFORE INSERT ON anomaly_runs BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
    )
    db.execute("BEGIN")
    db.execute("INSERT INTO mine VALUES ('precious')")
    one(db, call)
    assert db.in_transaction
    db.execute("COMMIT")
    assert one(db, "SELECT a FROM mine") == "precious"


def test_a_record_that_ends_the_transaction_of_the_host_is_told(db):
    db.executescript(
        "CREATE TABLE mine (a); CREATE TRIGGER no BEFORE INSERT ON anomaly_runs BEGIN SELECT RAISE(ROLLBACK, 'no'); END"
    )
    insert(db, "failed failed")
    db.execute("BEGIN")
    db.execute("INSERT INTO mine VALUES ('precious')")
    assert "no" in error_of(db, CALLS[1])
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 1


def test_a_run_goes_on_with_the_model_it_began_with(db):
    insert(db, *["failed failed"] * 4)
    rows = db.execute("SELECT * FROM anomaly_score_pending(2)")
    use_model(db, "all-nan")
    rows.fetchall()
    (run,) = runs(db)
    assert (run["model"], run["scored"]) == (str(MODELS / "levels"), 4)
    assert "the model answered NaN" in error_of(db, "SELECT anomaly_label('failed failed')")


def test_weights_beside_the_graph_are_part_of_the_hash(db):
    use_model(db, "external")
    insert(db, "ok")
    one(db, CALLS[1])
    folder = MODELS / "external"
    content = (folder / "model.onnx").read_bytes() + (folder / "model.onnx_data").read_bytes()
    assert runs(db)[0]["sha256"] == hashlib.sha256(content).hexdigest()


def test_every_run_of_scorers_side_by_side_is_finished(path):
    connections = [connect(path, check_same_thread=False, timeout=0) for _ in range(4)]
    for connection in connections:
        use_model(connection, "levels")
    insert(connections[0], *[f"failed failed {number}" for number in range(1000)])
    run_together([threading.Thread(target=guarded(one), args=[c, "SELECT anomaly_score_all(20)"]) for c in connections])
    recorded = runs(connections[0])
    assert sum(run["scored"] for run in recorded) == 1000
    assert all(run["finished"] and run["remaining"] == 0 for run in recorded)


def test_entries_that_others_took_away_leave_a_run_finished(db):
    insert(db, *["ok"] * 5)
    rows = db.execute("SELECT * FROM anomaly_score_pending(2)")
    db.execute("DELETE FROM log_entries WHERE anomaly_scored_at IS NULL")
    rows.fetchall()
    (run,) = runs(db)
    assert (run["finished"] is None, run["remaining"]) == (False, 0)


def test_the_view_and_the_status_show_the_last_ones(db):
    for number in range(25):
        insert(db, "failed failed")
        one(db, f"SELECT anomaly_score_all(1, 0.{number + 10})")
    recent = db.execute("SELECT threshold, scored FROM anomaly_recent_runs").fetchall()
    assert recent == [((10 + number) / 100, 1) for number in range(24, 4, -1)]
    last = json.loads(status(db)["last_runs"])
    assert [run["threshold"] for run in last] == [0.34, 0.33, 0.32, 0.31, 0.3]
    assert last[0]["scored"] == 1
    assert last[0]["error"] is None


def test_an_interrupted_run_keeps_the_record_of_its_batches(path):
    db = connect(path)
    use_model(db, "levels")
    insert(db, *[f"failed failed {number}" for number in range(100)])
    rows = db.execute("SELECT * FROM anomaly_score_pending(10)")
    db.interrupt()
    with pytest.raises(SQLITE.OperationalError, match="interrupted"):
        rows.fetchall()
    (run,) = runs(db)
    assert run["scored"] == 100 - one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL")
    assert run["finished"] is None


def test_the_end_of_a_record_that_ends_the_transaction_of_the_host_is_told(db):
    db.executescript("CREATE TRIGGER no BEFORE UPDATE ON anomaly_runs BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
    insert(db, *["ok"] * 3)
    db.execute("BEGIN")
    rows = db.execute("SELECT * FROM anomaly_score_pending(2)")
    db.execute("DELETE FROM log_entries WHERE anomaly_scored_at IS NULL")
    with pytest.raises(SQLITE.Error, match="no"):
        rows.fetchall()
