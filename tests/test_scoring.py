"""anomaly_score_pending: which rows are scored, in which order, what is written, what is reported."""

from __future__ import annotations

import json
import re
import uuid

import pytest

from conftest import MODELS, connect, error_of, insert, one, status, totals, use_model

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


def test_every_pending_row_is_scored_and_confident_anomalies_are_detected(db):
    insert(db, "failed failed", "ok", "slow", "denied")
    assert totals(db) == (4, 1, 0)
    rows = db.execute("SELECT id, anomaly_label, anomaly_scored_at FROM log_entries ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [("e1", "ERROR"), ("e2", "INFO"), ("e3", "WARNING"), ("e4", "ERROR")]
    assert all(TIME.fullmatch(scored_at) for _, _, scored_at in rows)


def test_a_detection_holds_what_the_entry_and_the_model_say(db):
    one(db, "SELECT anomaly_config('tenant_id', 'acme')")
    insert(db, "failed failed", source_id="web-1", timestamp_iso="2026-06-13T16:32:26Z", tenant_id="acme")
    totals(db)
    detection = db.execute("SELECT * FROM detections")
    row = dict(zip([column[0] for column in detection.description], detection.fetchone(), strict=True))
    assert uuid.UUID(row.pop("id")).version == 4
    assert row.pop("anomaly_score") == one(db, "SELECT anomaly_score FROM log_entries")
    assert row.pop("detected_at") == one(db, "SELECT anomaly_scored_at FROM log_entries")
    assert row == {
        "tenant_id": "acme", "entry_id": "e1", "source_id": "web-1", "anomaly_label": "ERROR", "severity": "ERROR",
        "text": "failed failed", "timestamp_iso": "2026-06-13T16:32:26Z", "acknowledged": 0, "acknowledged_at": None,
        "notes": None, "scorer": "anomaly",
    }  # fmt: skip


def test_a_model_that_is_gone_is_told_even_when_nothing_is_pending(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", "/no/such/model")
    connection = connect()
    connection.execute("SELECT anomaly_init()")
    assert "there is no folder /no/such/model" in error_of(connection, "SELECT * FROM anomaly_score_pending")


def test_each_batch_is_a_row_as_it_is_committed(db):
    insert(db, *["ok"] * 7)
    rows = db.execute("SELECT batch, scored, remaining, skipped FROM anomaly_score_pending(3)").fetchall()
    assert rows == [(1, 3, 4, 0), (2, 3, 1, 0), (3, 1, 0, 0)]


def test_who_stops_reading_stops_the_scoring_after_that_batch(db):
    insert(db, *["ok"] * 10)
    db.execute("SELECT * FROM anomaly_score_pending(3) LIMIT 2").fetchall()
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 4


def test_nothing_pending_is_one_row_of_zeros(db):
    assert db.execute(
        "SELECT scored, detections, failed, skipped, remaining, error FROM anomaly_score_pending"
    ).fetchall() == [(0, 0, 0, 0, 0, None)]


def test_without_a_model_nothing_is_written_and_one_row_says_so():
    connection = connect()
    row = connection.execute("SELECT skipped, scored, detections FROM anomaly_score_pending(256, 0.75)").fetchall()
    assert row == [(1, 0, 0)]
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []


def test_all_in_one_call_gives_the_totals(db):
    insert(db, "failed failed", "ok", None, "slow")
    answer = json.loads(one(db, "SELECT anomaly_score_all(3, 0.75)"))
    assert answer.pop("elapsed_ms") >= 0
    assert answer == {
        "batches": 2, "scored": 3, "detections": 1, "failed": 1, "skipped": False, "remaining": 0,
        "error": "entry 'e3': its text is NULL",
    }  # fmt: skip
    assert "setting 'batch' cannot be '0'" in error_of(db, "SELECT anomaly_score_all(0)")


def test_all_in_one_call_is_skipped_without_a_model():
    answer = json.loads(one(connect(), "SELECT anomaly_score_all()"))
    assert (answer["skipped"], answer["scored"]) == (True, 0)


def test_the_newest_come_first(db):
    for id, time in [("old", "2026-01-01"), ("new", "2026-03-01"), ("mid", "2026-02-01")]:
        db.execute("INSERT INTO log_entries (id, text, ingest_time) VALUES (?, 'ok', ?)", (id, time))
    order = []
    for _ in range(3):
        db.execute("SELECT * FROM anomaly_score_pending(1) LIMIT 1").fetchall()
        scored = {id for (id,) in db.execute("SELECT id FROM log_entries WHERE anomaly_scored_at IS NOT NULL")}
        order += sorted(scored - set(order))
    assert order == ["new", "mid", "old"]


def test_a_tenant_scores_its_own_rows_and_those_of_none(db):
    insert(db, "failed failed", tenant_id="acme")
    insert(db, "failed failed", tenant_id="other")
    insert(db, "failed failed")
    one(db, "SELECT anomaly_config('tenant_id', 'acme')")
    assert totals(db) == (2, 2, 0)
    assert one(db, "SELECT id FROM log_entries WHERE anomaly_scored_at IS NULL") == "e2"
    assert db.execute("SELECT DISTINCT tenant_id FROM detections").fetchall() == [("acme",)]


@pytest.mark.parametrize(("above", "detections"), [(0, 1), (1e-7, 0)])
def test_a_score_at_the_threshold_is_a_detection(db, above, detections):
    insert(db, "failed")
    score = one(db, "SELECT anomaly_score('failed')")
    assert totals(db, 256, score + above) == (1, detections, 0)


def test_a_label_that_is_no_anomaly_is_never_detected(db):
    insert(db, "ok", "slow")
    assert totals(db, 256, 0) == (2, 0, 0)


def test_a_row_that_cannot_be_scored_is_marked_and_told(db):
    insert(db, "ok", None, "explode", "nan", "failed failed")
    rows = db.execute("SELECT scored, detections, failed, error FROM anomaly_score_pending").fetchall()
    (scored, detections, failed, error) = rows[0]
    assert (len(rows), scored, detections, failed) == (1, 2, 1, 3)
    assert error.startswith("entry '")
    marked = "SELECT id FROM log_entries WHERE anomaly_scored_at IS NOT NULL AND anomaly_label IS NULL ORDER BY id"
    assert db.execute(marked).fetchall() == [("e2",), ("e3",), ("e4",)]
    assert totals(db) == (0, 0, 0)


def test_a_null_text_is_named_with_its_entry(db):
    insert(db, None)
    assert one(db, "SELECT error FROM anomaly_score_pending") == "entry 'e1': its text is NULL"


def test_a_row_alone_in_its_batch_fails_alone(db):
    insert(db, "explode", "ok", "nan")
    assert totals(db, 1) == (1, 0, 2)


def test_a_model_that_always_fails_stops_the_run_and_marks_nothing(db):
    insert(db, "ok", "failed")
    use_model(db, "all-nan")
    assert "the model answered NaN" in error_of(db, "SELECT * FROM anomaly_score_pending")
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 2
    use_model(db, "levels")
    assert totals(db) == (2, 1, 0)


def test_numbers_and_blobs_are_scored_as_text(db):
    db.executescript("""
        CREATE TABLE entries AS SELECT * FROM log_entries;
        DROP TABLE log_entries; ALTER TABLE entries RENAME TO log_entries;
    """)
    db.executemany(
        "INSERT INTO log_entries (id, tenant_id, text) VALUES (?, '', ?)",
        [("a", 17), ("b", 1.5), ("c", b"failed failed \xff"), ("d", "a\0 failed failed")],
    )
    assert totals(db) == (4, 2, 0)
    assert [text for (text,) in db.execute("SELECT text FROM detections ORDER BY entry_id")] == [
        "failed failed \ufffd",
        "a\0 failed failed",
    ]


def test_a_detection_keeps_2000_code_points(db):
    insert(db, "failed failed " + "é" * 5000)
    totals(db)
    assert one(db, "SELECT length(text) FROM detections") == 2000


def test_an_entry_is_detected_once_even_when_it_is_scored_again(db):
    insert(db, "failed failed")
    totals(db)
    db.execute("UPDATE log_entries SET anomaly_scored_at = NULL")
    assert totals(db) == (1, 0, 0)


def test_another_scorer_may_have_detected_the_same_entry(db):
    insert(db, "failed failed")
    db.execute(
        "INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at, scorer)"
        " VALUES ('x', 'e1', 'ERROR', 1, '', 'rules')"
    )
    assert totals(db) == (1, 1, 0)


def test_a_detection_that_cannot_be_written_is_an_error_and_the_entry_stays_pending(db):
    insert(db, "failed failed")
    db.execute("CREATE TRIGGER no BEFORE INSERT ON detections BEGIN SELECT RAISE(ABORT, 'not today'); END")
    assert "not today" in error_of(db, "SELECT * FROM anomaly_score_pending")
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 1


def test_the_texts_of_later_batches_are_classified_with_those_of_the_first(db):
    one(db, "SELECT anomaly_config('model', 'bundled')")
    insert(db, *"disk fan link user queue cable paper cache token route mount shell".split())
    assert db.execute("SELECT batch FROM anomaly_score_pending(2) LIMIT 2").fetchall() == [(1,), (2,)]
    assert int(status(db)["cache_misses"]) == 12
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 8


def test_without_a_memo_the_model_still_runs_once_for_each_entry(db):
    one(db, "SELECT anomaly_config('model', 'bundled')")
    one(db, "SELECT anomaly_config('cache_entries', 0)")
    insert(db, *"disk fan link user queue cable paper cache token route mount shell".split())
    totals(db, 4)
    assert int(status(db)["cache_misses"]) == 12


def test_a_text_that_changes_after_it_was_read_ahead_is_scored_as_it_is_then(db):
    insert(db, *(f"upcoming {number}" for number in range(12)))
    db.execute("UPDATE log_entries SET ingest_time = id")
    db.execute(
        "CREATE TRIGGER correct AFTER UPDATE OF anomaly_scored_at ON log_entries WHEN OLD.id = 'e4'"
        " BEGIN UPDATE log_entries SET text = 'error' WHERE id = 'e10'; END"
    )
    totals(db, 2)
    labels = "SELECT anomaly_label, anomaly_label(text), text FROM log_entries WHERE id = 'e10'"
    ((written, expected, text),) = db.execute(labels).fetchall()
    assert text == "error" and written == expected


def test_a_trigger_may_call_the_extension_while_it_writes(db):
    db.executescript("""
        CREATE TABLE audit (label TEXT, pending INT);
        CREATE TRIGGER note AFTER INSERT ON detections BEGIN
            INSERT INTO audit SELECT anomaly_label(new.text), count(*) FROM anomaly_scores(new.text);
        END;
    """)
    insert(db, "failed failed", "ok")
    assert totals(db) == (2, 1, 0)
    assert db.execute("SELECT * FROM audit").fetchall() == [("ERROR", 3)]


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_a_score_is_a_function_of_the_text_alone(db, batch):
    use_model(db, "../../models/bundled")
    texts = [f"worker {number} {'failed ' * (number % 23)}after {'x' * (number % 40)}" for number in range(60)]
    insert(db, *texts)
    assert totals(db, batch)[0] == 60
    stored = dict(db.execute("SELECT text, anomaly_score FROM log_entries"))
    one(db, "SELECT anomaly_reset()")
    alone = {text: one(db, "SELECT anomaly_score(?)", text) for text in texts}
    assert max(abs(stored[text] - alone[text]) for text in texts) < 1e-5


@pytest.mark.parametrize("limit", [-1, 1.5, "many"])
def test_a_limit_that_is_none_is_refused(db, limit):
    assert f"max_rows cannot be '{limit}'" in error_of(db, "SELECT * FROM anomaly_detections(?)", limit)


def test_acknowledging_notes_who_saw_it(db):
    insert(db, "failed failed")
    totals(db)
    id = one(db, "SELECT id FROM detections")
    assert one(db, "SELECT anomaly_acknowledge(?, 'disk was replaced')", id) == 1
    acknowledged, at, notes = db.execute("SELECT acknowledged, acknowledged_at, notes FROM detections").fetchone()
    assert (acknowledged, notes) == (1, "disk was replaced")
    assert TIME.fullmatch(at)
    assert one(db, "SELECT anomaly_acknowledge('unknown')") == 0
    assert one(db, "SELECT anomaly_acknowledge(NULL)") == 0


def test_a_tenant_acknowledges_and_lists_its_own(db):
    insert(db, "failed failed", tenant_id="acme")
    one(db, "SELECT anomaly_config('tenant_id', 'acme')")
    totals(db)
    id = one(db, "SELECT id FROM detections")
    one(db, "SELECT anomaly_config('tenant_id', 'other')")
    assert one(db, "SELECT anomaly_acknowledge(?)", id) == 0
    assert one(db, "SELECT count(*) FROM anomaly_detections") == 0


def test_the_folder_of_a_model_may_be_any(db, tmp_path):
    folder = tmp_path / "my 'model' %s"
    folder.mkdir()
    for file in (MODELS / "levels").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"
