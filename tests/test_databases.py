"""Databases that were there before the extension: scored as they are, and migrated without a row being touched.

`databases/make_databases.py` made the files; each differs from the seed's in what its name says.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import ROOT, connect, one, totals, use_model

FILES = sorted((ROOT / "tests" / "databases").glob("*.db"))
TABLES = ("log_entries", "detections")


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def old(request, tmp_path):
    """A copy of one of the files, opened with the model `levels` configured."""
    copy = shutil.copy(request.param, tmp_path)
    connection = connect(copy)
    if "strict" in Path(copy).name and one(connection, "SELECT sqlite_version() < '3.37'"):
        pytest.skip("this SQLite has no STRICT tables")
    use_model(connection, "levels")
    yield connection
    connection.close()


def rows(connection, table: str, columns: list[str]) -> list[tuple]:
    """The rows of a table, with their storage classes."""
    wanted = ", ".join(f"{column}, typeof({column})" for column in columns)
    return connection.execute(f"SELECT {wanted} FROM {table} ORDER BY id").fetchall()


def columns_of(connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def character(connection) -> list[object]:
    """What a database is beside its rows."""
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY rowid").fetchall()
    return [schema, *[one(connection, f"PRAGMA {pragma}") for pragma in ("journal_mode", "encoding", "user_version")]]


def expect_scored(connection) -> None:
    """Whatever the tables are like, the same rows come out."""
    entries = connection.execute(
        "SELECT CAST(id AS TEXT), anomaly_label, anomaly_scored_at IS NULL FROM log_entries ORDER BY id"
    )
    assert entries.fetchall() == [
        ("1", "ERROR", 0), ("2", "INFO", 0), ("3", "ERROR", 0), ("4", "INFO", 0), ("5", None, 1), ("6", None, 0),
        ("7", "WARNING", 0),
    ]  # fmt: skip
    (new,) = connection.execute(
        "SELECT CAST(entry_id AS TEXT), anomaly_label, severity, text, source_id, acknowledged FROM detections WHERE entry_id <> 1"
    ).fetchall()
    assert new == ("3", "ERROR", "ERROR", "failed failed now", "web", 0)
    assert one(connection, "PRAGMA integrity_check") == "ok"


def test_it_is_scored_as_it_is(old):
    before = character(old)
    scored_by_the_seed = old.execute("SELECT * FROM log_entries WHERE anomaly_scored_at IS NOT NULL").fetchall()
    assert totals(old, 2) == (3, 1, 1)
    expect_scored(old)
    assert character(old) == before
    again = old.execute("SELECT * FROM log_entries WHERE id <= '2'").fetchall()
    assert again == scored_by_the_seed
    assert totals(old) == (0, 0, 0)


def test_it_is_migrated_without_a_row_being_touched(old):
    columns = {table: columns_of(old, table) for table in TABLES}
    before = {table: rows(old, table, columns[table]) for table in TABLES}
    for table in TABLES:
        for event in ("INSERT", "UPDATE", "DELETE"):
            old.execute(
                f"CREATE TRIGGER no_{event}_{table} BEFORE {event} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, 'a row was touched'); END"
            )
    changes = json.loads(one(old, "SELECT anomaly_init()"))
    assert "created table anomaly_runs" in changes
    assert "created index anomaly_detections_entry" in changes
    assert ("added column detections.scorer" in changes) == ("scorer" not in columns["detections"])
    assert {table: rows(old, table, columns[table]) for table in TABLES} == before
    assert one(old, "PRAGMA integrity_check") == "ok"


def test_a_second_migration_changes_nothing(old):
    one(old, "SELECT anomaly_init()")
    before = character(old)
    assert json.loads(one(old, "SELECT anomaly_init()")) == []
    assert character(old) == before


def test_it_is_scored_after_the_migration(old):
    one(old, "SELECT anomaly_init()")
    assert totals(old, 2) == (3, 1, 1)
    expect_scored(old)
    assert {scorer for (scorer,) in old.execute("SELECT scorer FROM detections")} == {"anomaly"}


def test_its_detections_are_listed_and_acknowledged(old):
    old_ones = one(old, "SELECT count(*) FROM detections")
    totals(old)
    assert one(old, "SELECT count(*) FROM anomaly_detections") == old_ones + 1
    (id,) = old.execute("SELECT id FROM anomaly_detections(100, 1)").fetchone()
    assert one(old, "SELECT anomaly_acknowledge(?, 'seen')", id) == 1
    assert old.execute("SELECT * FROM anomaly_detections(100, 1)").fetchall() == []
    assert one(old, "SELECT count(*) FROM detections WHERE notes = 'disk was replaced'") == old_ones
