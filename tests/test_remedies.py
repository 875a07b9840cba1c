"""What SQLite refuses for the sake of the host's own schema, settings or transactions comes with what to do about it."""

from __future__ import annotations

import pytest

from conftest import SQLITE, connect, insert, one, use_model

SCORE = "SELECT anomaly_score_all()"


def refused(db, sql: str = SCORE) -> tuple[int | None, str]:
    """Result code and text of a statement's error; older Pythons do not tell the code."""
    with pytest.raises(SQLITE.Error) as caught:
        db.execute(sql).fetchall()
    return getattr(caught.value, "sqlite_errorcode", None), str(caught.value)


ENTRY = "id, tenant_id DEFAULT '', source_id, ingest_time, timestamp_iso, text, anomaly_score, anomaly_label"
DETECTION = """
    tenant_id, entry_id, source_id, anomaly_label, anomaly_score, severity, text, timestamp_iso, detected_at"""


def entries(columns: str) -> str:
    """Makes `log_entries` anew."""
    return f"DROP TABLE log_entries; CREATE TABLE log_entries ({ENTRY}, {columns})"


def detections(columns: str) -> str:
    """Makes `detections` anew."""
    return f"DROP TABLE detections; CREATE TABLE detections ({DETECTION}, {columns})"


def trigger(body: str, event: str = "INSERT ON detections") -> str:
    return f"CREATE TRIGGER host AFTER {event} BEGIN {body}; END"


ERROR, READONLY, CONSTRAINT, MISMATCH = 1, 8, 19, 20
OURS = "a constraint, trigger or commit hook that is not of sqlite-anomaly refuses what it writes"
GONE = "names what is not there: mend or drop that"
REFERS = "PRAGMA foreign_keys = 1; " + detections("id, host DEFAULT 1 REFERENCES {}")
REFUSALS = {
    "not null": (detections("id, host NOT NULL"), CONSTRAINT, f"NOT NULL constraint failed: detections.host: {OURS}"),
    "check": (detections("id, CHECK (anomaly_score > 2)"), CONSTRAINT, OURS),
    "foreign key": (
        f"CREATE TABLE hosts (id PRIMARY KEY); {REFERS.format('hosts')}",
        CONSTRAINT,
        f"FOREIGN KEY constraint failed: {OURS}",
    ),
    "raise": (trigger("SELECT RAISE(ABORT, 'no, thank you')"), CONSTRAINT, f"no, thank you: {OURS}"),
    "raise nothing": (trigger("SELECT RAISE(ABORT, '')", "UPDATE ON log_entries"), CONSTRAINT, OURS),
    "number as id": (detections("id INTEGER PRIMARY KEY"), MISMATCH, "an id is a text here: make that column TEXT"),
    "generated": (entries("host, anomaly_scored_at AS (host)"), ERROR, "make it a column that is not generated"),
    "function": (trigger("SELECT ours(new.id)"), ERROR, "a table, index or trigger uses it: register it"),
    "column": (trigger("SELECT host FROM log_entries"), ERROR, GONE),
    "table": (REFERS.format("nowhere"), ERROR, GONE),
    "foreign key of no key": (
        f"CREATE TABLE hosts (id); {REFERS.format('hosts (id)')}",
        ERROR,
        f'foreign key mismatch - "detections" referencing "hosts": the tables were changed meanwhile, run it again; or a '
        f"view, trigger or foreign key {GONE}",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_to_do(db, case):
    schema, expected, remedy = REFUSALS[case]
    db.executescript(schema)
    insert(db, "failed failed")
    code, text = refused(db)
    assert text.startswith("anomaly_score_all: ") and remedy in text
    assert code is None or code & 0xFF == expected


@pytest.mark.parametrize("call", [SCORE, "SELECT * FROM anomaly_score_pending", "SELECT anomaly_acknowledge('x')"])
def test_a_connection_that_may_only_query_is_told_by_which_setting(db, call):
    insert(db, "failed failed")
    db.execute("PRAGMA query_only = 1")
    code, text = refused(db, call)
    assert text.endswith("attempt to write a readonly database: PRAGMA query_only is on, set it to 0")
    assert code is None or code & 0xFF == READONLY


def test_a_missing_collation_is_to_be_registered(db):
    db.create_collation("ours", lambda a, b: (a > b) - (a < b))
    db.executescript(entries("anomaly_scored_at").replace("ingest_time", "ingest_time COLLATE ours"))
    insert(db, "failed failed")
    db.create_collation("ours", None)
    remedy = "no such collation sequence: ours: a table, index or trigger uses it: register it on this connection first"
    assert remedy in refused(db)[1]


def test_a_value_that_is_too_long_for_the_connection_is_told_so(db):
    if not hasattr(db, "setlimit"):
        pytest.skip("this module cannot set limits")
    insert(db, "failed failed", source_id="x" * 10_000)
    db.setlimit(0, 5000)
    assert "too big: raise the limits of this connection (sqlite3_limit)" in refused(db)[1]


def test_a_transaction_that_began_to_read_before_another_wrote_is_to_begin_anew(path):
    db, other = connect(path), connect(path)
    one(db, "PRAGMA journal_mode = wal")
    use_model(db, "levels")
    insert(db, "failed failed")
    db.execute("BEGIN")
    one(db, "SELECT count(*) FROM log_entries")
    insert(other, "ok")
    code, text = refused(db)
    assert "database is locked: another connection wrote since this one began to read" in text
    assert text.endswith("BEGIN IMMEDIATE")
    assert code is None or code & 0xFF == 5
    db.execute("ROLLBACK")
    db.execute("BEGIN IMMEDIATE")
    one(db, SCORE)
    db.execute("COMMIT")
