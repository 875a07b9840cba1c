"""The record of runs: one row per call that scores, with the model and what came of it."""

from __future__ import annotations

import hashlib
import json

import pytest
from conftest import MODELS, SQLITE, connect, error_of, insert, one, totals, use_model
from test_scoring import TIME

CALLS = ["SELECT sum(scored) FROM anomaly_score_pending(2, 0.6)", "SELECT anomaly_score_all(2, 0.6)"]


def runs(connection) -> list[dict]:
    """The record, oldest first."""
    cursor = connection.execute("SELECT * FROM anomaly_runs ORDER BY started")
    return [dict(zip([column[0] for column in cursor.description], row)) for row in cursor]


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
        "remaining": 0, "error": None,
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
def test_a_call_that_finds_nothing_leaves_a_row_too(db, call):
    one(db, call)
    (run,) = runs(db)
    assert (run["scored"], run["remaining"], run["finished"] is None) == (0, 0, False)


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
    assert (run["scored"], run["remaining"], run["finished"] is None) == (0, 0, False)


def test_a_model_that_is_gone_is_recorded(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", "/no/such/model")
    connection = connect()
    one(connection, "SELECT anomaly_init()")
    error_of(connection, CALLS[0])
    (run,) = runs(connection)
    assert (run["model"], run["sha256"]) == ("/no/such/model", None)
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
    assert dict(db.execute("SELECT * FROM anomaly_status"))["last_runs"] is None


def test_a_table_of_that_name_with_other_columns_is_left_alone(db):
    db.execute("DROP VIEW anomaly_recent_runs")
    db.execute("DROP TABLE anomaly_runs")
    db.execute("CREATE TABLE anomaly_runs (distance)")
    insert(db, "failed failed")
    assert totals(db) == (1, 1, 0)
    assert "table anomaly_runs lacks" in error_of(db, "SELECT anomaly_init()")
    assert one(db, "SELECT count(*) FROM anomaly_runs") == 0


def test_a_read_only_database_with_nothing_pending_is_no_error(path):
    reader = connect(f"file:{path}?mode=ro", uri=True)
    use_model(reader, "levels")
    assert totals(reader) == (0, 0, 0)


def test_nothing_pending_does_not_wait_for_a_lock(path):
    db, other = connect(path, timeout=0), connect(path)
    use_model(db, "levels")
    other.execute("BEGIN IMMEDIATE")
    assert totals(db) == (0, 0, 0)
    assert not db.in_transaction
    other.execute("ROLLBACK")
    assert runs(db) == []


def test_the_view_and_the_status_show_the_last_ones(db):
    for number in range(25):
        insert(db, "failed failed")
        one(db, f"SELECT anomaly_score_all(1, 0.{number + 10})")
    recent = db.execute("SELECT threshold, scored FROM anomaly_recent_runs").fetchall()
    assert recent == [((10 + number) / 100, 1) for number in range(24, 4, -1)]
    last = json.loads(dict(db.execute("SELECT * FROM anomaly_status"))["last_runs"])
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
