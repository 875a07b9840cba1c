"""Finding a model by the name a user gives it: bundled, a folder, an id of the Hugging Face hub; and its graph."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from conftest import MODELS, connect, error_of, insert, one, totals, use_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CACHE_VARIABLES = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty Hugging Face cache, the only one that can be found."""
    for variable in CACHE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hf" / "hub"


def download(cache: Path, repo: str, source: Path, commit: str = COMMIT, ref: str | None = "main", below: str = "") -> Path:
    """Puts a model's files into the cache as `hf download` lays them: links into blobs/. Gives the snapshot."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    if ref:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    for file in source.iterdir():
        blob = folder / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        link = snapshot / (below if file.name.startswith("model.onnx") else "") / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def use(connection, name: str) -> str:
    """Configures a model, whatever its name, and asks it something."""
    one(connection, "SELECT anomaly_config('model', ?)", name)
    return one(connection, "SELECT anomaly_label('it failed')")


def status(connection) -> dict:
    return dict(connection.execute("SELECT * FROM anomaly_status"))


@pytest.mark.parametrize("source", ["levels", "external"])
def test_a_hub_id_is_looked_up_in_the_cache(cache, source):
    snapshot = download(cache, "org/name", MODELS / source)
    connection = connect()
    assert use(connection, "org/name") == "ERROR"
    assert status(connection)["model_revision"] == COMMIT
    assert status(connection)["model_file"] == str(snapshot / "model.onnx")


def test_an_id_without_an_organisation(cache):
    download(cache, "plain-name", MODELS / "levels")
    assert use(connect(), "plain-name") == "ERROR"


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/3", COMMIT])
def test_a_revision_is_a_branch_a_tag_or_a_commit(cache, revision):
    download(cache, "org/name", MODELS / "all-nan", commit="f" * 40)
    download(cache, "org/name", MODELS / "levels", ref=None if revision == COMMIT else revision)
    assert use(connect(), f"org/name@{revision}") == "ERROR"


def test_the_revision_is_main_where_none_is_named(cache):
    download(cache, "org/name", MODELS / "levels", commit="a" * 40)
    download(cache, "org/name", MODELS / "all-nan", commit="f" * 40, ref="other")
    connection = connect()
    assert use(connection, "org/name") == "ERROR"
    assert status(connection)["model_revision"] == "a" * 40


@pytest.mark.parametrize(
    ("variable", "below"),
    [("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")],
)
def test_the_cache_is_where_the_environment_says(cache, tmp_path, monkeypatch, variable, below):
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "here"))
    download(tmp_path / "here" / below, "org/name", MODELS / "levels")
    assert use(connect(), "org/name") == "ERROR"


def test_the_cache_is_in_the_home_folder_by_default(cache, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HOME")
    download(tmp_path / "home" / ".cache" / "huggingface" / "hub", "org/name", MODELS / "levels")
    assert use(connect(), "org/name") == "ERROR"


def test_a_folder_of_that_name_goes_before_the_cache(cache):
    download(cache, "org/name", MODELS / "all-nan")
    shutil.copytree(MODELS / "levels", "org/name")
    assert use(connect(), "org/name") == "ERROR"


def test_what_is_not_in_the_cache_is_an_error_that_says_how_to_fetch_and_export_it(cache):
    message = error_of(connect(), "SELECT anomaly_config('model', 'org/name@v2')")
    assert str(cache) in message
    assert str(cache.parent.parent / "org" / "name@v2") in message
    assert "hf download org/name --revision v2" in message
    assert "optimum-cli export onnx --task text-classification --model org/name --revision v2 name" in message


def test_another_revision_than_the_cached_one_is_not_taken(cache):
    download(cache, "org/name", MODELS / "levels")
    assert "org/name at revision v2" in error_of(connect(), "SELECT anomaly_config('model', 'org/name@v2')")


@pytest.mark.parametrize("name", ["org/../../etc", "org/name@../../x", "a/b/c", "org/name@", "../org"])
def test_a_name_that_leads_out_of_the_cache_is_no_hub_id(cache, name):
    message = error_of(connect(), "SELECT anomaly_config('model', ?)", name)
    assert "there is no folder" in message
    assert "hf download" not in message


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [("model.onnx", "optimum-cli export onnx"), ("tokenizer.json", "optimum-cli export onnx"), ("config.json", "hf download org/name")],
)
def test_a_file_that_the_hub_model_lacks_is_named(cache, missing, remedy):
    snapshot = download(cache, "org/name", MODELS / "levels")
    (snapshot / missing).unlink()
    message = error_of(connect(), "SELECT anomaly_config('model', 'org/name')")
    assert missing in message or missing == "config.json"
    assert remedy in message


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_weights_of_another_kind_gets_the_export_command(db, tmp_path, weights):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "model.onnx").rename(folder / weights)
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert f"optimum-cli export onnx --task text-classification --model {folder} {folder}" in message


def test_the_graph_may_lie_under_onnx(cache, db, tmp_path):
    download(cache, "org/name", MODELS / "external", below="onnx")
    assert use(db, "org/name") == "ERROR"


def test_another_graph_can_be_named(db, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model_int8.onnx")
    shutil.copyfile(MODELS / "all-nan" / "model.onnx", folder / "model.onnx")
    one(db, "SELECT anomaly_config('onnx_file', 'onnx/model_int8.onnx')")
    assert use(db, str(folder)) == "ERROR"
    one(db, "SELECT anomaly_config('onnx_file', '')")
    assert "the model answered NaN" in error_of(db, "SELECT anomaly_label('it failed')")


def test_a_graph_of_another_name_is_offered(db, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "model.onnx").rename(folder / "model_int8.onnx")
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert "SELECT anomaly_config('onnx_file', 'model_int8.onnx')" in message


def test_a_graph_that_is_not_there_is_named(db):
    one(db, "SELECT anomaly_config('onnx_file', 'model_fp16.onnx')")
    message = error_of(db, "SELECT anomaly_label('it failed')")
    assert "has no model_fp16.onnx; it has model.onnx" in message
    one(db, "SELECT anomaly_config('onnx_file', 'model.onnx')")
    assert one(db, "SELECT anomaly_label('it failed')") == "ERROR"


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "onnx/../../x.onnx"])
def test_a_graph_outside_the_folder_is_refused(db, name):
    assert "setting 'onnx_file' cannot be" in error_of(db, "SELECT anomaly_config('onnx_file', ?)", name)


def test_the_environment_names_the_graph(monkeypatch, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "model.onnx").rename(folder / "other.onnx")
    monkeypatch.setenv("TURNSTONE_ANOMALY_ONNX_FILE", "other.onnx")
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", str(folder))
    assert one(connect(), "SELECT anomaly_label('it failed')") == "ERROR"


def test_weights_beside_the_graph_are_found(db):
    use_model(db, "external")
    insert(db, "failed failed", "ok")
    assert totals(db) == (2, 1, 0)


@pytest.mark.parametrize("linked", [["model.onnx_data"], ["model.onnx"], ["model.onnx", "model.onnx_data"]])
def test_weights_beside_the_graph_may_be_links_to_elsewhere(db, tmp_path, linked):
    folder = shutil.copytree(MODELS / "external", tmp_path / "m")
    for name in linked:
        (tmp_path / f"{name} elsewhere").mkdir()
        target = shutil.move(folder / name, tmp_path / f"{name} elsewhere" / "file")
        (folder / name).symlink_to(target)
    assert use(db, str(folder)) == "ERROR"


def test_weights_that_are_not_beside_the_graph_are_named(db, tmp_path):
    folder = shutil.copytree(MODELS / "external", tmp_path / "m")
    (folder / "model.onnx_data").unlink()
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    message = error_of(db, "SELECT anomaly_label('it failed')")
    assert "keeps weights in 'model.onnx_data', which is not beside it" in message
