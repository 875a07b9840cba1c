"""What the host holds fixed through its environment, SQL cannot widen: which models may run."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from conftest import DIST, MODELS, connect, error_of, one

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
def test_a_variable_that_is_not_utf8_keeps_the_extension_from_loading(monkeypatch, tmp_path, variable):
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    monkeypatch.setenv(variable, os.fsdecode(folder))
    with pytest.raises(Exception, match=f"environment variable {variable} is not UTF-8: setting '.*' cannot be"):
        connect()
