"""The functions one by one: what they give, for which values, from where they may be called."""

from __future__ import annotations

import json
import shutil

import pytest

from conftest import MODELS, connect, error_of, insert, one, use_model

SCALARS = [
    ("anomaly_acknowledge", 1, "directonly"),
    ("anomaly_acknowledge", 2, "directonly"),
    ("anomaly_classify", 1, ""),
    ("anomaly_config", 1, "directonly"),
    ("anomaly_config", 2, "directonly"),
    ("anomaly_init", 0, "directonly"),
    ("anomaly_label", 1, ""),
    ("anomaly_reset", 0, "directonly"),
    ("anomaly_score", 1, ""),
    ("anomaly_score_all", 0, "directonly"),
    ("anomaly_score_all", 1, "directonly"),
    ("anomaly_score_all", 2, "directonly"),
    ("anomaly_version", 0, "innocuous"),
]
TABLE_FUNCTIONS = [
    "anomaly_classify_each",
    "anomaly_detections",
    "anomaly_score_pending",
    "anomaly_scores",
    "anomaly_status",
]
SETTINGS = [
    "model", "onnx_file", "device", "batch", "threshold", "tenant_id", "threads", "busy_timeout_ms", "cache_entries",
    "allowed_model_dirs", "allowed_model_sha256",
]  # fmt: skip


def test_the_surface_is_this_list(db):
    meaning = {0x80000: "directonly", 0x200000: "innocuous", 0x800: "deterministic", 0: ""}
    rows = db.execute(
        "SELECT name, narg, flags & 0x280800 FROM pragma_function_list WHERE name LIKE 'anomaly%' ORDER BY 1, 2"
    )
    assert [(name, arguments, meaning[flags]) for name, arguments, flags in rows] == SCALARS
    rows = db.execute("SELECT name FROM pragma_module_list WHERE name LIKE 'anomaly%' ORDER BY 1")
    assert [name for (name,) in rows] == TABLE_FUNCTIONS


def test_classify_gives_label_score_severity_and_whether_it_is_an_anomaly(db):
    answer = json.loads(one(db, "SELECT anomaly_classify('it failed')"))
    assert answer == {"label": "ERROR", "score": 0.909443, "severity": "ERROR", "anomalous": True}
    assert json.loads(one(db, "SELECT anomaly_classify('all ok')"))["anomalous"] is False


def test_label_and_score_are_its_parts(db):
    assert one(db, "SELECT anomaly_label('it failed')") == "ERROR"
    assert one(db, "SELECT anomaly_score('it failed')") == pytest.approx(0.909443, abs=1e-6)


def test_null_gives_null(db):
    assert db.execute("SELECT anomaly_classify(NULL), anomaly_label(NULL), anomaly_score(NULL)").fetchone() == (
        None,
        None,
        None,
    )
    assert db.execute("SELECT * FROM anomaly_scores(NULL)").fetchall() == []
    assert db.execute("SELECT * FROM anomaly_classify_each(NULL)").fetchall() == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        " \t\n",
        17,
        1.5,
        -0.0,
        float("inf"),
        b"",
        b"\xff\xfe\x00",
        "a\0failed",
        "%n%s%d",
        "🦀" * 3000,
        "x" * 1_000_000,
    ],
)
def test_any_value_can_be_classified(db, value):
    assert one(db, "SELECT anomaly_label(?)", value) in {"INFO", "WARNING", "ERROR"}


def test_a_text_is_read_beyond_a_nul(db):
    assert one(db, "SELECT anomaly_label(?)", "ok\0 failed failed") == "ERROR"


def test_invalid_utf8_is_read_with_replacements(db):
    assert one(db, "SELECT anomaly_label(CAST(x'ff206661696c6564' AS TEXT))") == "ERROR"


def test_the_model_sees_512_code_points(db):
    assert one(db, "SELECT anomaly_label(?)", "é" * 505 + " failed") == "ERROR"
    assert one(db, "SELECT anomaly_label(?)", "é" * 506 + " failed") == "INFO"


def test_scores_lists_every_label_best_first(db):
    rows = db.execute("SELECT label, score, severity, anomalous FROM anomaly_scores('slow slow failed')").fetchall()
    assert [(label, severity, anomalous) for label, _, severity, anomalous in rows] == [
        ("WARNING", "WARN", 0),
        ("ERROR", "ERROR", 1),
        ("INFO", "INFO", 0),
    ]
    assert sum(score for _, score, _, _ in rows) == pytest.approx(1)


def test_classify_each_answers_every_element(db):
    rows = db.execute("""SELECT idx, label FROM anomaly_classify_each('["ok", null, "failed", 7]')""").fetchall()
    assert rows == [(0, "INFO"), (1, None), (2, "ERROR"), (3, "INFO")]


def test_classify_each_answers_any_number_in_their_order(db):
    texts = [(None, "ok", "slow slow", "failed", number)[number % 5] for number in range(20_001)]
    rows = db.execute("SELECT * FROM anomaly_classify_each(?)", (json.dumps(texts),)).fetchall()
    alone = {
        text: db.execute("SELECT * FROM anomaly_scores(?) LIMIT 1", (text,)).fetchone() or (None,) * 4
        for text in [None, "ok", "slow slow", "failed", 4]
    }
    assert rows == [(index, *alone[4 if isinstance(text, int) else text]) for index, text in enumerate(texts)]


def test_classify_each_goes_on_with_the_model_it_began_with(db):
    rows = db.execute("SELECT label FROM anomaly_classify_each(?)", (json.dumps(["failed"] * 20_000),))
    assert rows.fetchone() == ("ERROR",)
    one(db, "SELECT anomaly_config('model', '')")
    assert set(rows.fetchall()) == {("ERROR",)}


def test_classify_each_tells_what_is_malformed_before_the_first_row(db):
    rows = "1, " * 20_000
    for json_array, problem in [
        (f"[{rows}", "element 20000: EOF while parsing a value, at byte 60001"),
        (f"[{rows} 1 2]", "neither , nor ] follows element 20000"),
        (f"[{rows} 1] 2", "something follows its end"),
    ]:
        message = error_of(db, "SELECT * FROM anomaly_classify_each(?) LIMIT 1", json_array)
        assert f"not a JSON array ({problem}" in message


def test_classify_each_gives_its_argument_back(db):
    for argument in ['["failed"]', b'["failed"]']:
        rows = db.execute("SELECT label, json_array FROM anomaly_classify_each(?)", (argument,)).fetchall()
        assert rows == [("ERROR", argument)]


def test_classify_each_joins_any_table(db):
    db.execute("CREATE TABLE mine (line TEXT)")
    db.executemany("INSERT INTO mine VALUES (?)", [("ok",), ("failed",), ("slow",)])
    labels = db.execute("SELECT label FROM anomaly_classify_each((SELECT json_group_array(line) FROM mine))").fetchall()
    assert labels == [("INFO",), ("ERROR",), ("WARNING",)]


def test_a_table_function_says_which_argument_is_missing(db):
    assert "anomaly_scores(text): the argument text is missing" in error_of(db, "SELECT * FROM anomaly_scores")


def test_classify_each_refuses_what_is_no_array(db):
    assert "not a JSON array" in error_of(db, "SELECT * FROM anomaly_classify_each('{}')")


def test_a_join_can_feed_a_table_function(db):
    db.execute("CREATE TABLE mine (line TEXT)")
    db.executemany("INSERT INTO mine VALUES (?)", [("ok",), ("failed",)])
    rows = db.execute("SELECT line, label FROM mine, anomaly_scores(mine.line) WHERE score > 0.5").fetchall()
    assert rows == [("ok", "INFO"), ("failed", "ERROR")]


def test_settings_read_back_what_was_set(db):
    for key, value in [("batch", 7), ("threshold", 0.5), ("tenant_id", "acme"), ("cache_entries", 0), ("threads", 1)]:
        assert one(db, "SELECT anomaly_config(?, ?)", key, value) == value
        assert one(db, "SELECT anomaly_config(?)", key) == value


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch", 0), ("batch", "many"), ("threshold", 7), ("threshold", None), ("threads", -1), ("device", "toaster")],
)
def test_an_unusable_setting_is_refused_with_what_is_allowed(db, key, value):
    before = one(db, "SELECT anomaly_config(?)", key)
    message = error_of(db, "SELECT anomaly_config(?, ?)", key, value)
    assert f"setting '{key}' cannot be" in message
    assert "allowed is" in message
    assert one(db, "SELECT anomaly_config(?)", key) == before


def test_an_unknown_setting_lists_the_known(db):
    assert error_of(db, "SELECT anomaly_config('modle')").endswith("known are " + ", ".join(SETTINGS))


def test_the_environment_gives_defaults(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", str(MODELS / "levels"))
    monkeypatch.setenv("TURNSTONE_ANOMALY_BATCH", "11")
    connection = connect()
    assert one(connection, "SELECT anomaly_config('batch')") == 11
    assert one(connection, "SELECT anomaly_label('failed')") == "ERROR"


def test_a_bad_environment_is_named_when_the_extension_is_loaded(monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_BATCH", "eleven")
    with pytest.raises(
        Exception, match="environment variable TURNSTONE_ANOMALY_BATCH: setting 'batch' cannot be 'eleven'"
    ):
        connect()


def test_settings_are_those_of_one_connection(db):
    one(db, "SELECT anomaly_config('batch', 7)")
    other = connect()
    assert one(other, "SELECT anomaly_config('batch')") == 256


def test_without_a_model_the_error_says_how_to_configure_one():
    connection = connect()
    for sql in ["SELECT anomaly_classify('x')", "SELECT * FROM anomaly_scores('x')"]:
        assert "SELECT anomaly_config('model', 'bundled')" in error_of(connection, sql)


def test_reset_drops_the_model_and_the_memo_but_no_setting(db, tmp_path):
    # A model of its own: one that another connection holds stays loaded.
    shutil.copytree(MODELS / "levels", tmp_path / "levels")
    one(db, "SELECT anomaly_config('model', ?)", str(tmp_path / "levels"))
    one(db, "SELECT anomaly_label('ok')")
    one(db, "SELECT anomaly_reset()")
    status = dict(db.execute("SELECT * FROM anomaly_status"))
    assert (status["model_loaded"], status["cached_texts"]) == (0, 0)
    assert one(db, "SELECT anomaly_label('ok')") == "INFO"


def test_a_new_model_answers_at_once(db):
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"
    assert one(db, "SELECT anomaly_config('model', 'bundled')") == "bundled"
    assert one(db, "SELECT anomaly_label('failed')") != "ERROR"
    use_model(db, "levels")
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"


def test_the_memo_answers_what_was_asked_before(db):
    one(db, "SELECT anomaly_label('failed')")
    one(db, "SELECT anomaly_label('failed')")
    # Another text, but the same to the model, whose vocabulary knows neither word.
    one(db, "SELECT anomaly_label('failed foo')")
    one(db, "SELECT anomaly_label('failed bar')")
    status = dict(db.execute("SELECT * FROM anomaly_status"))
    assert (status["cache_hits"], status["cache_misses"], status["cached_texts"]) == (2, 2, 3)


def test_status_has_these_keys(db):
    keys = [key for (key,) in db.execute("SELECT key FROM anomaly_status")]
    assert keys == [
        "version", "sqlite_version", "onnxruntime", "onnxruntime_library", "providers", "model", "model_loaded",
        "model_file", "model_revision", "model_sha256", "labels", "anomalous_labels", "device", "provider", "threads", "cache_hits",
        "cache_misses", "cached_texts", "scored", "failed", "inserted_detections", "pending_entries", "detections",
        "last_runs", "last_error",
    ]  # fmt: skip


def test_status_needs_neither_tables_nor_a_model():
    status = dict(connect().execute("SELECT * FROM anomaly_status"))
    assert (status["model"], status["pending_entries"], status["last_error"]) == ("", None, None)


def test_status_remembers_the_last_error(db):
    message = error_of(db, "SELECT anomaly_config('modle')")
    assert dict(db.execute("SELECT * FROM anomaly_status"))["last_error"] == message


@pytest.mark.parametrize("trusted", [0, 1])
@pytest.mark.parametrize(
    "call",
    [
        "SELECT anomaly_config('model', '')",
        "SELECT anomaly_init()",
        "SELECT anomaly_reset()",
        "SELECT anomaly_acknowledge('x')",
        "SELECT anomaly_score_all()",
        "SELECT * FROM anomaly_score_pending(1, 0)",
        # It shows paths of the machine, settings, and the last error.
        "SELECT * FROM anomaly_status",
    ],
)
def test_a_schema_cannot_call_what_has_side_effects_or_shows_the_host(db, call, trusted):
    db.execute(f"PRAGMA trusted_schema = {trusted}")
    db.execute(f"CREATE VIEW hostile AS {call}")
    assert "unsafe use of" in error_of(db, "SELECT * FROM hostile")
    db.execute("CREATE TABLE copied (value)")
    db.execute(
        f"CREATE TRIGGER copy AFTER INSERT ON log_entries BEGIN INSERT INTO copied SELECT count(*) FROM ({call}); END"
    )
    assert "unsafe use of" in error_of(db, "INSERT INTO log_entries (id, text) VALUES ('a', 'ok')")


def test_a_trigger_can_classify_what_is_inserted(db):
    db.executescript("""
        CREATE TABLE incoming (line TEXT, label TEXT);
        CREATE TRIGGER classify AFTER INSERT ON incoming BEGIN
            UPDATE incoming SET label = anomaly_label(new.line) WHERE rowid = new.rowid;
        END;
    """)
    db.execute("INSERT INTO incoming (line) VALUES ('failed')")
    assert one(db, "SELECT label FROM incoming") == "ERROR"


def test_a_whole_number_may_be_bound_as_a_real_as_javascript_does(db):
    insert(db, "failed failed", "ok")
    assert one(db, "SELECT sum(scored) FROM anomaly_score_pending(?, ?)", 1.0, 1.0) == 2
    assert one(db, "SELECT anomaly_config('batch', ?)", 512.0) == 512
    assert db.execute("SELECT * FROM anomaly_detections(?, ?)", (20.0, 1.0)).fetchall() == []
    assert "allowed is a whole number" in error_of(db, "SELECT anomaly_config('batch', ?)", 1.5)
    assert "allowed is a whole number" in error_of(db, "SELECT * FROM anomaly_detections(?)", 1e300)
