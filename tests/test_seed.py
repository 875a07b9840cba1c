"""The rules of the seed's anomaly.py that have no home in another file, and the README's table, row by row.

The seed itself is compared with in `make parity`, its answers in test_golden.py.
"""

from __future__ import annotations

import json
import re
import shutil

import pytest

import test_databases
import test_golden
import test_models
import test_runs
import test_scoring
import test_surface
import test_transactions
from conftest import MODELS, ROOT, connect, insert, one, totals

# _HYBRID_BERT_SEVERITY and _GENERIC_SEVERITY of the seed, and whether a label is among its _ANOMALOUS_LABELS.
SEVERITIES = [
    ("NORMAL", "INFO", 0),
    ("SECURITY_ANOMALY", "ERROR", 1),
    ("SYSTEM_FAILURE", "CRITICAL", 1),
    ("PERFORMANCE_ISSUE", "WARN", 1),
    ("NETWORK_ANOMALY", "WARN", 1),
    ("CONFIG_ERROR", "ERROR", 1),
    ("HARDWARE_ISSUE", "CRITICAL", 1),
    ("CRITICAL", "CRITICAL", 1),
    ("ERROR", "ERROR", 1),
    ("WARNING", "WARN", 0),
    ("WARN", "WARN", 0),
    ("INFO", "INFO", 0),
    ("DEBUG", "DEBUG", 0),
    ("LABEL_2", "WARN", 0),
    ("POSITIVE", "WARN", 0),
]


@pytest.mark.parametrize(("label", "severity", "anomalous"), SEVERITIES)
@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.title])
def test_a_label_has_the_severity_of_the_seed_in_any_spelling(db, tmp_path, label, severity, anomalous, spelling):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": spelling(label)}}))
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    answer = json.loads(one(db, "SELECT anomaly_classify('failed failed')"))
    assert (answer["label"], answer["severity"], answer["anomalous"]) == (label, severity, bool(anomalous))
    insert(db, "failed failed")
    assert totals(db) == (1, anomalous, 0)
    assert db.execute("SELECT anomaly_label, severity FROM detections").fetchall() == [(label, severity)] * anomalous


def test_the_environment_gives_what_it_gave_the_seed(monkeypatch):
    values = {
        "TURNSTONE_ANOMALY_MODEL": ("model", str(MODELS / "levels")), "TURNSTONE_ANOMALY_DEVICE": ("device", "cuda:1"),
        "TURNSTONE_ANOMALY_BATCH": ("batch", 17), "TURNSTONE_ANOMALY_THRESHOLD": ("threshold", 0.5),
        "TURNSTONE_TENANT_ID": ("tenant_id", "acme"),
    }  # fmt: skip
    for variable, (_, value) in values.items():
        monkeypatch.setenv(variable, str(value))
    connection = connect()
    assert all(one(connection, "SELECT anomaly_config(?)", key) == value for key, value in values.values())


def test_without_the_environment_the_defaults_are_those_of_the_seed():
    connection = connect()
    defaults = {"model": "", "device": "cpu", "batch": 256, "threshold": 0.75, "tenant_id": ""}
    assert {key: one(connection, "SELECT anomaly_config(?)", key) for key in defaults} == defaults


def test_a_model_of_fewer_positions_sees_fewer_tokens(db, tmp_path):
    text = "ok ok ok ok ok ok failed failed failed failed failed failed failed"
    assert one(db, "SELECT anomaly_label(?)", text) == "ERROR"
    folder = shutil.copytree(MODELS / "levels", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 10}))
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert one(db, "SELECT anomaly_label(?)", text) == "INFO"


def test_the_results_have_the_names_of_the_seed(db):
    columns = [column[0] for column in db.execute("SELECT * FROM anomaly_score_pending").description]
    assert {"scored", "detections", "skipped", "error"} <= set(columns)


@pytest.fixture
def detections(db):
    """Ten detections: two labels, two scorers, three acknowledged, of three tenants."""
    rows = [
        (f"d{n}", ["", "acme", "other"][n % 3] if n > 5 else "", f"e{n}", ["ERROR", "CRITICAL"][n % 2], f"2026-06-{10 + n}",
         int(n < 3), ["anomaly", "rules"][n == 4])
        for n in range(10)
    ]  # fmt: skip
    db.executemany(
        "INSERT INTO detections (id, tenant_id, entry_id, anomaly_label, anomaly_score, detected_at, acknowledged, scorer)"
        " VALUES (?, ?, ?, ?, 0.9, ?, ?, ?)",
        rows,
    )
    return db


def listed(connection, *arguments: object) -> list[str]:
    marks = ", ".join("?" * len(arguments))
    return [id for (id,) in connection.execute(f"SELECT id FROM anomaly_detections({marks})", arguments)]


def test_listing_gives_the_newest_first(detections):
    assert listed(detections) == ["d9", "d6", "d5", "d4", "d3", "d2", "d1", "d0"]


def test_listing_gives_at_most_as_many_as_asked_for(detections):
    assert listed(detections, 3) == ["d9", "d6", "d5"]
    assert listed(detections, 0) == []


def test_listing_gives_100_where_no_limit_is_named(db):
    many = ((f"d{n}", f"e{n}", f"{n:04}") for n in range(150))
    db.executemany(
        "INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at) VALUES (?, ?, 'ERROR', 1, ?)",
        many,
    )
    assert listed(db) == [f"d{n}" for n in range(149, 49, -1)]


def test_listing_leaves_out_what_was_acknowledged(detections):
    assert listed(detections, 100, 1) == ["d9", "d6", "d5", "d4", "d3"]


@pytest.mark.parametrize("label", ["CRITICAL", "critical"])
def test_listing_by_label_in_any_spelling(detections, label):
    assert listed(detections, 100, 0, label) == ["d9", "d5", "d3", "d1"]


@pytest.mark.parametrize("scorer", ["rules", "RULES"])
def test_listing_by_scorer_in_any_spelling(detections, scorer):
    assert listed(detections, 100, 0, None, scorer) == ["d4"]


def test_listing_by_everything_at_once(detections):
    assert listed(detections, 2, 1, "error", "anomaly") == ["d6"]


@pytest.mark.parametrize("nothing", [None, ""])
def test_listing_by_an_empty_label_or_scorer_gives_all(detections, nothing):
    assert len(listed(detections, 100, 0, nothing, nothing)) == 8


def test_listing_gives_the_detections_of_the_tenant_and_of_none(detections):
    one(detections, "SELECT anomaly_config('tenant_id', 'acme')")
    assert listed(detections, 3) == ["d9", "d7", "d6"]


# Which tests back which row of the README's table, by the row's first cell.
BACKED = {
    "score_unscored(db_path, model_id, device, batch_size, threshold)": [
        test_scoring.test_every_pending_row_is_scored_and_confident_anomalies_are_detected,
        test_scoring.test_all_in_one_call_gives_the_totals,
    ],
    "ScoringResult(scored, detections, skipped, error)": [
        test_the_results_have_the_names_of_the_seed,
        test_scoring.test_a_model_that_always_fails_stops_the_run_and_marks_nothing,
    ],
    'model_id=""': [
        test_scoring.test_without_a_model_nothing_is_written_and_one_row_says_so,
        test_scoring.test_all_in_one_call_is_skipped_without_a_model,
    ],
    "TURNSTONE_ANOMALY_MODEL": [
        test_the_environment_gives_what_it_gave_the_seed,
        test_without_the_environment_the_defaults_are_those_of_the_seed,
    ],
    'pipeline("text-classification", model, device=device)': [test_golden.test_the_rows_are_those_of_the_seed],
    "pipe(text[:512], truncation=True, max_length=512)": [
        test_surface.test_the_model_sees_512_code_points,
        test_a_model_of_fewer_positions_sees_fewer_tokens,
    ],
    "reset_pipeline()": [
        test_surface.test_a_new_model_answers_at_once,
        test_models.test_reset_takes_files_that_were_replaced,
    ],
    "_map_label(label)": [test_a_label_has_the_severity_of_the_seed_in_any_spelling],
    "_ANOMALOUS_LABELS": [
        test_scoring.test_a_score_at_the_threshold_is_a_detection,
        test_scoring.test_a_label_that_is_no_anomaly_is_never_detected,
    ],
    "_fetch_unscored": [
        test_scoring.test_the_newest_come_first,
        test_scoring.test_a_tenant_scores_its_own_rows_and_those_of_none,
    ],
    "_write_scores": [
        test_scoring.test_every_pending_row_is_scored_and_confident_anomalies_are_detected,
        test_transactions.test_scorers_side_by_side_neither_double_count_nor_duplicate,
    ],
    "TypeError": [test_scoring.test_a_row_that_cannot_be_scored_is_marked_and_told],
    "_insert_detections": [
        test_scoring.test_a_detection_holds_what_the_entry_and_the_model_say,
        test_scoring.test_a_detection_keeps_2000_code_points,
        test_databases.test_it_is_scored_as_it_is,
    ],
    "a detection that cannot be inserted is skipped, whatever the reason": [
        test_scoring.test_an_entry_is_detected_once_even_when_it_is_scored_again,
        test_scoring.test_a_detection_that_cannot_be_written_is_an_error_and_the_entry_stays_pending,
    ],
    "a crash between two batches": [test_transactions.test_in_autocommit_a_batch_is_committed_before_its_row_is_seen],
    "database is locked": [
        test_transactions.test_a_lock_is_waited_for,
        test_transactions.test_a_lock_held_too_long_is_a_clear_error_and_nothing_is_lost,
        test_transactions.test_scores_that_could_not_be_written_are_not_computed_again,
        test_transactions.test_an_interrupt_ends_the_wait_for_a_lock,
    ],
    "list_detections(limit=100, unacked_only, label, scorer)": [
        test_listing_gives_the_newest_first,
        test_listing_gives_at_most_as_many_as_asked_for,
        test_listing_gives_100_where_no_limit_is_named,
        test_listing_leaves_out_what_was_acknowledged,
        test_listing_by_label_in_any_spelling,
        test_listing_by_scorer_in_any_spelling,
    ],
    "acknowledge_detection(detection_id, notes)": [test_scoring.test_acknowledging_notes_who_saw_it],
    "resolve_tenant_id()": [
        test_listing_gives_the_detections_of_the_tenant_and_of_none,
        test_scoring.test_a_tenant_acknowledges_and_lists_its_own,
    ],
    'logger.info("Scored %d entries, …")': [test_runs.test_a_call_leaves_one_row],
}


def test_every_row_of_the_table_is_backed_by_a_test():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## From anomaly.py to SQL\n", 1)[1].split("\n## ", 1)[0]
    firsts = re.findall(r"^\| (.+?) \| .+ \|$", section, re.MULTILINE)
    rows = [first for first in firsts if not first.startswith(("`anomaly.py`", "---"))]
    assert len(rows) == len(BACKED)
    for row, name in zip(rows, BACKED, strict=True):
        assert name in row.replace("`", "")
