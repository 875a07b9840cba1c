"""The list of detections is read row by row: what happens meanwhile, on this connection or another."""

from __future__ import annotations

import pytest

from conftest import SQLITE, connect, error_of, insert, one, use_model
from test_schema import SEED_TABLES

IDS = "SELECT id FROM anomaly_detections(1000)"


@pytest.fixture
def db():
    """A connection with detections d09, d08, … d00, newest first."""
    connection = connect()
    use_model(connection, "levels")
    one(connection, "SELECT anomaly_init()")
    fill(connection)
    yield connection
    connection.close()


def fill(connection) -> None:
    """Inserts ten detections, one a second."""
    connection.executemany(
        "INSERT INTO detections (id, tenant_id, entry_id, source_id, anomaly_label, anomaly_score, severity, detected_at)"
        " VALUES (?, '', ?, 'app.log', 'ERROR', 1, 'ERROR', ?)",
        [(f"d0{n}", f"other {n}", f"2026-01-01T00:00:0{n}") for n in range(10)],
    )


ALL = [(f"d0{n}",) for n in reversed(range(10))]


def test_each_may_be_acknowledged_as_it_is_read(db):
    for indexed in [True, False]:
        if not indexed:
            db.execute("DROP INDEX anomaly_detections_newest")
            db.execute("UPDATE detections SET acknowledged = 0")
        read = []
        for (id,) in db.execute("SELECT id FROM anomaly_detections(1000, 1)"):
            assert one(db, "SELECT anomaly_acknowledge(?)", id) == 1
            read.append((id,))
        assert read == ALL
        assert one(db, "SELECT count(*) FROM anomaly_detections(1000, 1)") == 0


def test_one_statement_may_acknowledge_them_all(db):
    sql = "SELECT total(anomaly_acknowledge(id, 'all of them')) FROM anomaly_detections(1000, 1)"
    assert [one(db, sql) for _ in range(2)] == [10, 0]


def test_those_that_are_found_meanwhile_wait_for_the_next_list(db):
    rows = db.execute(IDS)
    assert rows.fetchone() == ALL[0]
    insert(db, "failed failed")
    assert one(db, "SELECT anomaly_score_all() ->> 'detections'") == 1
    assert rows.fetchall() == ALL[1:]
    assert one(db, "SELECT count(*) FROM anomaly_detections(1000)") == 11


def test_what_is_deleted_before_its_turn_is_left_out(db):
    rows = db.execute(IDS)
    assert rows.fetchone() == ALL[0]
    db.execute("DELETE FROM detections WHERE id < 'd05'")
    assert rows.fetchall() == ALL[1:5]


def test_all_that_are_listed_may_be_deleted(db):
    db.execute(f"DELETE FROM detections WHERE id IN ({IDS})")
    assert one(db, "SELECT count(*) FROM detections") == 0


def test_a_list_inside_another_begins_at_its_own_beginning(db):
    rows = db.execute("SELECT a.id, b.id FROM anomaly_detections(3) AS a, anomaly_detections(2) AS b").fetchall()
    assert rows == [(a, b) for (a,) in ALL[:3] for (b,) in ALL[:2]]


def test_a_statement_that_is_run_again_lists_anew(db):
    sql = "SELECT id FROM anomaly_detections(?)"
    for limit in [3, 10, 0]:
        assert db.execute(sql, (limit,)).fetchall() == ALL[:limit]
    assert db.execute(sql, (10,)).fetchone() == ALL[0]  # and is left before its end
    assert db.execute(sql, (10,)).fetchall() == ALL


def test_a_transaction_may_end_meanwhile(db):
    for end in ["COMMIT", "ROLLBACK"]:
        db.execute("BEGIN")
        db.execute("UPDATE detections SET notes = ?", (end,))
        rows = db.execute(IDS)
        assert rows.fetchone() == ALL[0]
        db.execute(end)
        assert rows.fetchall() == ALL[1:]


def test_the_tables_may_be_migrated_meanwhile():
    old = connect()
    old.executescript(SEED_TABLES)
    fill(old)
    rows = old.execute("SELECT id, scorer FROM anomaly_detections(1000)")
    assert rows.fetchone() == ("d09", "anomaly")
    assert "detections.scorer" in one(old, "SELECT anomaly_init()")
    assert rows.fetchall() == [(id, "anomaly") for (id,) in ALL[1:]]


def test_a_table_that_is_read_cannot_be_dropped(db):
    rows = db.execute(IDS)
    assert rows.fetchone() == ALL[0]
    assert "locked" in error_of(db, "DROP TABLE detections")
    assert rows.fetchall() == ALL[1:]
    db.execute("DROP TABLE detections")
    assert "there is no table detections" in error_of(db, IDS)


def test_another_connection_writes_meanwhile(tmp_path):
    path = tmp_path / "log.db"
    reader, writer = connect(path), connect(path)
    assert one(reader, "PRAGMA journal_mode = wal") == "wal"
    one(reader, "SELECT anomaly_init()")
    fill(reader)
    rows = reader.execute(IDS)
    assert rows.fetchone() == ALL[0]
    writer.execute("DELETE FROM detections")
    assert rows.fetchall() == ALL[1:]
    assert reader.execute(IDS).fetchall() == []


def test_a_list_that_was_left_keeps_nothing_open(db, tmp_path):
    path = tmp_path / "log.db"
    left = connect(path)
    one(left, "SELECT anomaly_init()")
    fill(left)
    rows = left.execute(IDS)
    assert rows.fetchone() == ALL[0]
    left.close()
    with pytest.raises(SQLITE.ProgrammingError):
        rows.fetchone()
    again = connect(path)
    again.execute("DROP TABLE detections")


def test_a_row_that_cannot_be_read_ends_the_list(db):
    insert(db, *["failed failed"] * 3000)
    one(db, "SELECT anomaly_score_all()")
    calls = iter(range(10**9))
    rows = db.execute("SELECT id FROM anomaly_detections(10000)")
    assert rows.fetchone()
    db.set_progress_handler(lambda: next(calls) > 5, 100)
    with pytest.raises(SQLITE.OperationalError, match="interrupted"):
        rows.fetchall()
    db.set_progress_handler(None, 0)
    assert len(db.execute("SELECT id FROM anomaly_detections(10000)").fetchall()) == 3010
