"""anomaly_init(), and databases that were there before."""

from __future__ import annotations

import json

import pytest

from conftest import ROOT, connect, error_of, insert, one, totals, use_model

SEED_TABLES = (ROOT / "tests" / "databases" / "seed.sql").read_text(encoding="utf-8")


@pytest.fixture
def empty():
    """A database without any table, with a model configured."""
    connection = connect()
    use_model(connection, "levels")
    return connection


def init(connection) -> list[str]:
    """What anomaly_init() says it did."""
    return json.loads(one(connection, "SELECT anomaly_init()"))


def test_init_makes_the_tables_and_a_second_time_nothing(empty):
    assert init(empty) == [
        "created table log_entries",
        "created table detections",
        "created table anomaly_runs",
        "created view anomaly_recent_runs",
        "created index anomaly_pending",
        "created index anomaly_detections_newest",
        "created index anomaly_runs_newest",
    ]
    assert init(empty) == []


def test_an_entry_needs_no_more_than_id_and_text(empty):
    init(empty)
    empty.execute("INSERT INTO log_entries (id, text) VALUES ('a', 'ok')")
    assert empty.execute("SELECT tenant_id, anomaly_scored_at FROM log_entries").fetchone() == ("", None)
    assert one(empty, "SELECT ingest_time LIKE '____-__-__T__:__:__.______+00:00' FROM log_entries") == 1


def test_missing_tables_are_named_with_the_remedy(empty):
    message = error_of(empty, "SELECT * FROM anomaly_score_pending")
    assert "there is no table log_entries; SELECT anomaly_init() makes what is missing" in message
    for sql in ["SELECT * FROM anomaly_detections", "SELECT anomaly_acknowledge('x')"]:
        assert "there is no table detections; SELECT anomaly_init() makes what is missing" in error_of(empty, sql)


def test_a_missing_column_is_named(empty):
    empty.execute("CREATE TABLE log_entries (id, text, tenant_id, source_id, ingest_time, timestamp_iso)")
    message = error_of(empty, "SELECT * FROM anomaly_score_pending")
    assert "table log_entries lacks anomaly_score, anomaly_label, anomaly_scored_at" in message


def test_a_database_of_the_seed_is_scored_as_it_is(empty):
    empty.executescript(SEED_TABLES)
    insert(empty, "failed failed", "ok")
    assert totals(empty) == (2, 1, 0)
    assert one(empty, "SELECT scorer FROM anomaly_detections") == "anomaly"


def test_a_database_of_the_seed_is_migrated_without_losing_a_row(empty):
    empty.executescript(SEED_TABLES)
    insert(empty, "failed failed", host_facts="{}")
    totals(empty)
    before = empty.execute("SELECT * FROM log_entries").fetchall()
    assert init(empty) == [
        "created table anomaly_runs",
        "created view anomaly_recent_runs",
        "created index anomaly_pending",
        "created index anomaly_detections_newest",
        "created index anomaly_runs_newest",
        "created index anomaly_detections_entry",
        "added column detections.scorer",
    ]
    assert init(empty) == []
    assert empty.execute("SELECT * FROM log_entries").fetchall() == before
    assert one(empty, "SELECT scorer FROM detections") == "anomaly"


def test_old_duplicates_survive_the_migration(empty):
    empty.executescript(SEED_TABLES)
    for id in ("x", "y"):
        empty.execute("INSERT INTO detections (id, entry_id, detected_at) VALUES (?, 'e1', '')", (id,))
    init(empty)
    assert one(empty, "SELECT count(*) FROM detections") == 2
    assert (
        one(empty, """SELECT "unique" FROM pragma_index_list('detections') WHERE name = 'anomaly_detections_entry'""")
        == 0
    )


def test_a_table_with_only_id_and_text_gets_the_rest(empty):
    empty.execute("CREATE TABLE log_entries (id INTEGER PRIMARY KEY, text TEXT)")
    empty.execute("INSERT INTO log_entries (text) VALUES ('failed failed')")
    assert "added column log_entries.anomaly_scored_at" in init(empty)
    assert totals(empty) == (1, 1, 0)
    assert one(empty, "SELECT entry_id FROM detections") == "1"


def test_a_table_without_a_key_column_cannot_be_migrated(empty):
    empty.execute("CREATE TABLE log_entries (text TEXT)")
    assert "anomaly_init(): table log_entries lacks id" in error_of(empty, "SELECT anomaly_init()")
    assert one(empty, "SELECT count(*) FROM sqlite_master") == 1


def test_a_table_of_something_else_is_told_apart(empty):
    empty.execute("CREATE TABLE detections (motion)")
    for sql in ["SELECT anomaly_init()", "SELECT * FROM anomaly_detections"]:
        message = error_of(empty, sql)
        assert "table detections lacks id, " in message
        assert "this is a table of something else" in message


def test_status_answers_beside_a_table_of_something_else(empty):
    empty.execute("CREATE TABLE log_entries (anomaly_scored_at)")
    assert dict(empty.execute("SELECT * FROM anomaly_status"))["pending_entries"] is None


@pytest.mark.parametrize("temporary", ["", "TEMP"])
def test_a_view_is_refused(empty, temporary):
    if temporary:
        init(empty)
    empty.execute(f"CREATE {temporary} VIEW log_entries AS SELECT 1 AS id, 'x' AS text")
    for sql in ["SELECT anomaly_init()", "SELECT * FROM anomaly_score_pending"]:
        assert "log_entries is a view" in error_of(empty, sql)


VIRTUAL = (
    "fts5(id, tenant_id, source_id, ingest_time, timestamp_iso, text, anomaly_score, anomaly_label, anomaly_scored_at)"
)


def test_a_virtual_table_is_refused_before_anything_is_made(empty):
    empty.execute(f"CREATE VIRTUAL TABLE log_entries USING {VIRTUAL}")
    before = empty.execute("SELECT name FROM sqlite_master").fetchall()
    remedy = "log_entries is a virtual table; anomalies are scored in a table: give the virtual table another name"
    for sql in ["SELECT anomaly_init()", "SELECT anomaly_score_all()"]:
        assert error_of(empty, sql).endswith(remedy)
    assert empty.execute("SELECT name FROM sqlite_master").fetchall() == before


@pytest.mark.parametrize("options", ["", "WITHOUT ROWID"])
def test_an_id_that_is_not_utf8_finds_its_row_again(empty, options):
    init(empty)
    schema = one(empty, "SELECT sql FROM sqlite_master WHERE name = 'log_entries'")
    empty.execute("DROP TABLE log_entries")
    empty.execute(f"{schema} {options}")
    empty.execute("INSERT INTO log_entries (id, text) VALUES (CAST(x'ff41' AS TEXT), 'failed failed')")
    assert totals(empty) == (1, 1, 0)
    assert one(empty, "SELECT hex(entry_id) FROM detections") == "FF41"
    assert totals(empty) == (0, 0, 0)


def test_an_entry_without_an_id_does_not_block_the_queue(empty):
    empty.executescript(SEED_TABLES)
    init(empty)
    empty.execute("INSERT INTO log_entries (id, text) VALUES (NULL, 'failed failed'), ('a', 'failed failed')")
    rows = empty.execute("SELECT scored, detections, failed, error FROM anomaly_score_pending").fetchall()
    assert rows == [(1, 1, 1, "an entry: it has no id")]


def test_a_column_called_rowid_hides_no_entry(empty):
    empty.execute("CREATE TABLE log_entries (rowid TEXT, id TEXT PRIMARY KEY, text TEXT)")
    init(empty)
    insert(empty, "failed failed", "ok")
    assert totals(empty) == (2, 1, 0)


def test_a_read_only_database_says_so_and_what_to_do(path):
    writer = connect(path)
    insert(writer, "failed failed")
    writer.close()
    reader = connect(f"file:{path}?mode=ro", uri=True)
    use_model(reader, "levels")
    assert one(reader, "SELECT anomaly_label('failed')") == "ERROR"
    for sql in ["SELECT * FROM anomaly_score_pending", "SELECT anomaly_score_all()", "SELECT anomaly_acknowledge('x')"]:
        message = error_of(reader, sql)
        assert message.startswith("anomaly_")
        assert "attempt to write a readonly database: open the file for writing" in message


def test_a_host_that_counts_changes(empty):
    init(empty)
    insert(empty, "failed failed")
    empty.execute("PRAGMA count_changes = 1")
    assert totals(empty) == (1, 1, 0)


@pytest.mark.parametrize("options", ["WITHOUT ROWID", "STRICT", "STRICT, WITHOUT ROWID"])
def test_kinds_of_tables(empty, options):
    if one(empty, "SELECT sqlite_version() < '3.37'") and "STRICT" in options:
        pytest.skip("this SQLite has no STRICT tables")
    init(empty)
    schema = one(empty, "SELECT sql FROM sqlite_master WHERE name = 'log_entries'")
    empty.execute("DROP TABLE log_entries")
    empty.execute(f"{schema} {options}")
    insert(empty, "failed failed", "ok", "slow")
    assert totals(empty, 2) == (3, 1, 0)


def test_without_a_rowid_no_score_reaches_another_entry_of_the_same_id(empty):
    init(empty)
    schema = one(empty, "SELECT sql FROM sqlite_master WHERE name = 'log_entries'")
    schema = schema.replace("TEXT PRIMARY KEY NOT NULL", "TEXT NOT NULL").rstrip().removesuffix(")")
    empty.execute("DROP TABLE log_entries")
    empty.execute(f"{schema}, PRIMARY KEY (tenant_id, id)) WITHOUT ROWID")
    insert(empty, "failed failed")
    empty.execute("INSERT INTO log_entries (id, tenant_id, text) VALUES ('e1', 'acme', 'ok')")
    message = error_of(empty, "SELECT anomaly_score_all()")
    assert "its id alone does not tell its rows apart: make id its PRIMARY KEY" in message
    assert one(empty, "SELECT count(anomaly_scored_at) FROM log_entries") == 0


def test_a_trigger_that_fails_without_a_text(empty):
    init(empty)
    insert(empty, "failed failed")
    empty.execute("CREATE TRIGGER t AFTER INSERT ON detections BEGIN SELECT RAISE(ABORT, ''); END")
    assert "constraint" in error_of(empty, "SELECT anomaly_score_all()")


def test_detections_that_cannot_be_acknowledged_yet_are_told_how(empty):
    columns = (
        "id, entry_id, anomaly_label, anomaly_score, detected_at, tenant_id, source_id, severity, text, timestamp_iso"
    )
    empty.execute(f"CREATE TABLE detections ({columns})")
    for sql in ["SELECT * FROM anomaly_detections", "SELECT anomaly_acknowledge('x')"]:
        message = error_of(empty, sql)
        assert "lacks acknowledged, acknowledged_at, notes; SELECT anomaly_init() makes what is missing" in message
    init(empty)
    assert one(empty, "SELECT anomaly_acknowledge('x')") == 0


def test_a_utf16_database(empty):
    connection = connect()
    connection.execute("PRAGMA encoding = 'UTF-16'")
    use_model(connection, "levels")
    init(connection)
    insert(connection, "failed failed 🦀")
    assert totals(connection) == (1, 1, 0)
    assert one(connection, "SELECT text FROM detections") == "failed failed 🦀"


def test_without_the_index_everything_is_scored_too(empty):
    init(empty)
    empty.execute("DROP INDEX anomaly_pending")
    insert(empty, *["failed failed"] * 20)
    assert totals(empty, 3) == (20, 20, 0)


def test_the_queue_is_read_from_its_index(empty):
    init(empty)
    plan = empty.execute("""
        EXPLAIN QUERY PLAN SELECT rowid FROM log_entries
        WHERE anomaly_scored_at IS NULL AND (tenant_id = 'a' OR tenant_id = '') ORDER BY ingest_time DESC LIMIT 9
    """).fetchall()
    assert [row[3] for row in plan] == ["SCAN log_entries USING INDEX anomaly_pending"]
