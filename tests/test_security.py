"""What the host holds fixed through its environment, SQL cannot widen: which models may run. And what the schema of a
database that somebody sent cannot do: stop the extension from loading, or take the place of what it looks at."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import DIST, EXTENSION, MODELS, ROOT, SQLITE, connect, error_of, insert, one, status, totals, use_model

DIRS = "TURNSTONE_ANOMALY_ALLOWED_MODEL_DIRS"
SUMS = "TURNSTONE_ANOMALY_ALLOWED_MODEL_SHA256"
CONFIGURE = "SELECT anomaly_config('model', ?)"
LABEL = "SELECT anomaly_label('it failed')"


@pytest.fixture
def allowed(tmp_path: Path, monkeypatch) -> Path:
    """A folder that models may lie in, and the only one."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    monkeypatch.setenv(DIRS, str(folder))
    return folder


def sum_of(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_a_model_in_an_allowed_folder_is_used(allowed):
    folder = shutil.copytree(MODELS / "levels", allowed / "below" / "levels")
    db = connect()
    one(db, CONFIGURE, str(folder))
    assert one(db, LABEL) == "ERROR"


def test_each_of_several_folders_is_allowed(allowed, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.setenv(DIRS, os.pathsep.join([str(tmp_path / "other"), str(allowed)]))
    db = connect()
    for parent in (allowed, tmp_path / "other"):
        one(db, CONFIGURE, str(shutil.copytree(MODELS / "levels", parent / "levels")))
        assert one(db, LABEL) == "ERROR"


def test_a_model_elsewhere_is_refused_however_it_is_named(allowed, tmp_path, monkeypatch):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "allowed-not")
    linked = allowed / "linked"
    linked.symlink_to(folder)
    db = connect()
    for name in (folder, linked, allowed / ".." / "allowed-not"):
        refused = error_of(db, CONFIGURE, str(name))
        assert str(folder) in refused and DIRS in refused
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", str(folder))
    assert DIRS in error_of(connect(), LABEL)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.onnx", "model.onnx_data"])
def test_a_link_out_of_the_folder_is_refused(allowed, tmp_path, name):
    folder = shutil.copytree(MODELS / "external", allowed / "external")
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    refused = error_of(connect(), CONFIGURE, str(folder))
    assert str(tmp_path / name) in refused and DIRS in refused


def test_the_bundled_model_is_always_allowed(allowed):
    db = connect()
    one(db, CONFIGURE, "bundled")
    assert one(db, LABEL)


def test_a_model_with_a_listed_sum_is_used(monkeypatch):
    sums = [sum_of(MODELS / "levels" / "model.onnx"), sum_of(DIST / "model" / "model.onnx")]
    monkeypatch.setenv(SUMS, " ".join(sums).upper())
    db = connect()
    for name in (MODELS / "levels", "bundled"):
        one(db, CONFIGURE, str(name))
        assert one(db, LABEL)


def test_weights_beside_the_graph_are_part_of_the_sum(monkeypatch):
    graph = MODELS / "external" / "model.onnx"
    monkeypatch.setenv(SUMS, sum_of(graph, graph.with_name("model.onnx_data")))
    db = connect()
    one(db, CONFIGURE, str(graph.parent))
    assert one(db, LABEL) == "ERROR"


def test_weights_count_whatever_the_order_in_which_the_graph_names_them(allowed, tmp_path, monkeypatch):
    folder = shutil.copytree(MODELS / "external", allowed / "external")
    graph, weights = folder / "model.onnx", folder / "model.onnx_data"
    key, value = b"\x0a\x08location", b"\x12\x0fmodel.onnx_data"
    content = graph.read_bytes()
    assert key + value in content
    graph.write_bytes(content.replace(key + value, value + key))
    monkeypatch.setenv(SUMS, sum_of(graph, weights))
    db = connect()
    one(db, CONFIGURE, str(folder))
    assert one(db, LABEL) == "ERROR"
    weights.rename(tmp_path / weights.name)
    weights.symlink_to(tmp_path / weights.name)
    assert str(tmp_path / weights.name) in error_of(connect(), CONFIGURE, str(folder))


@pytest.mark.parametrize("name", [MODELS / "levels", "bundled"])
def test_a_model_with_another_sum_is_refused(monkeypatch, name):
    monkeypatch.setenv(SUMS, "0" * 64)
    db = connect()
    one(db, CONFIGURE, str(name))
    refused = error_of(db, LABEL)
    graph = (DIST / "model" if name == "bundled" else name) / "model.onnx"
    assert sum_of(graph) in refused and SUMS in refused


def test_a_graph_that_is_replaced_is_refused(tmp_path, monkeypatch):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "levels")
    monkeypatch.setenv(SUMS, sum_of(folder / "model.onnx"))
    db = connect()
    one(db, CONFIGURE, str(folder))
    assert one(db, LABEL) == "ERROR"
    shutil.copy(MODELS / "no-mask" / "model.onnx", folder / "model.onnx")
    one(db, "SELECT anomaly_reset()")
    assert SUMS in error_of(db, LABEL)


@pytest.mark.parametrize("key", ["allowed_model_dirs", "allowed_model_sha256"])
@pytest.mark.parametrize("value", ["", "/", None])
def test_sql_reads_what_is_allowed_but_cannot_change_it(allowed, key, value):
    db = connect()
    before = one(db, "SELECT anomaly_config(?)", key)
    refused = error_of(db, "SELECT anomaly_config(?, ?)", key, value)
    assert key in refused and f"TURNSTONE_ANOMALY_{key.upper()}" in refused
    assert one(db, "SELECT anomaly_config(?)", key) == before == (str(allowed) if key == "allowed_model_dirs" else "")


@pytest.mark.parametrize(
    ("variable", "value"),
    [(DIRS, "models"), (DIRS, "/there/is/none"), (DIRS, "  "), (DIRS, os.pathsep), (SUMS, "abc"), (SUMS, " \t ")],
)
def test_a_limit_that_cannot_be_read_keeps_the_extension_from_loading(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(Exception, match=f"environment variable {variable}: .* cannot be '{value}': allowed is"):
        connect()


@pytest.mark.skipif(os.name == "nt", reason="the environment of Windows is Unicode")
@pytest.mark.parametrize("variable", [DIRS, SUMS, "TURNSTONE_ANOMALY_MODEL", "TURNSTONE_TENANT_ID"])
def test_a_variable_that_is_not_utf8_keeps_the_extension_from_loading(monkeypatch, variable):
    monkeypatch.setenv(variable, os.fsdecode(b"/models\xff"))
    with pytest.raises(Exception, match=f"environment variable {variable} is not UTF-8: setting '.*' cannot be"):
        connect()


ENDLESS = "WITH RECURSIVE n(name) AS (VALUES ('anomaly_version') UNION ALL SELECT name FROM n) SELECT name FROM n"


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE {} (name, pk, seqno, partial); INSERT INTO {} (name) VALUES ('anomaly_version')",
        "CREATE VIEW {} AS SELECT 'anomaly_version' AS name",
        f"CREATE VIEW {{}} AS {ENDLESS}",
    ],
    ids=["table", "view", "endless view"],
)
@pytest.mark.parametrize(
    "name", ["pragma_function_list", "pragma_table_xinfo", "pragma_index_list", "pragma_index_info", "six", "list"]
)
def test_a_schema_cannot_take_the_place_of_what_the_extension_looks_at(name, schema):
    db = SQLITE.connect(":memory:", isolation_level=None)
    db.executescript(schema.format(name, name))
    db.enable_load_extension(True)
    for _ in range(2):
        db.load_extension(str(EXTENSION))
        use_model(db, "levels")
    # A table of the host's own, whose key and indexes are looked at.
    db.execute("CREATE TABLE detections (id PRIMARY KEY, entry_id, anomaly_label, anomaly_score, detected_at)")
    one(db, "SELECT anomaly_init()")
    insert(db, "failed failed", "ok")
    assert totals(db) == (2, 1, 0)
    assert len(db.execute("SELECT * FROM anomaly_detections").fetchall()) == 1
    assert status(db)["scored"] == 2


def test_names_that_are_no_utf8_are_no_hindrance(db):
    db.execute("ALTER TABLE log_entries ADD COLUMN zzzz")
    db.execute("CREATE INDEX yyyy ON detections (entry_id)")
    db.execute("PRAGMA writable_schema = 1")
    for name in ("zzzz", "yyyy"):
        db.execute(
            "UPDATE sqlite_master SET name = CAST(replace(CAST(name AS BLOB), ?1, x'7aff') AS TEXT),"
            " sql = CAST(replace(CAST(sql AS BLOB), ?1, x'227aff22') AS TEXT) WHERE sql LIKE '%' || ?1 || '%'",
            (name,),
        )
    db.execute(f"PRAGMA schema_version = {one(db, 'PRAGMA schema_version') + 1}")
    db.execute("PRAGMA writable_schema = 0")
    one(db, "SELECT anomaly_init()")
    insert(db, "failed failed", "ok")
    assert totals(db) == (2, 1, 0)


def test_the_python_package_reads_no_table_in_a_functions_place(db):
    """A name with parentheses is never that of a table."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "python" / "src").rglob("*.py"))
    calls = re.findall(r"FROM (anomaly_\w+)(\(?)", source)
    assert len(calls) > 5 and [name for name, parenthesis in calls if not parenthesis] == []
    db.execute("CREATE TABLE anomaly_status (key, value)")
    assert error_of(db, "SELECT value FROM anomaly_status()") == "'anomaly_status' is not a function"
