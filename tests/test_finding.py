"""Finding a model by the name a user gives it: bundled, a folder, an id of the Hugging Face hub; and its graph."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import MODELS, connect, error_of, insert, one, status, totals, use_model

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


def download(
    cache: Path, repo: str, source: Path, commit: str = COMMIT, ref: str | None = "main", below: str = ""
) -> Path:
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_branch_that_is_a_pipe_is_not_read(cache):
    """Read, it would keep the process waiting for ever."""
    download(cache, "org/name", MODELS / "levels", ref=None)
    branch = cache / "models--org--name" / "refs" / "main"
    branch.parent.mkdir()
    os.mkfifo(branch)
    connection = connect()
    assert "hf download org/name" in error_of(connection, "SELECT anomaly_config('model', 'org/name')")
    assert use(connection, f"org/name@{COMMIT}") == "ERROR"


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
    export = "optimum-cli export onnx --task text-classification --model name name-onnx"
    assert (
        f"hf download org/name --revision v2 --local-dir name && {export}, then SELECT anomaly_config('model', 'name-onnx')"
        in message
    )


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
    [
        ("model.onnx", "optimum-cli export onnx"),
        ("tokenizer.json", "optimum-cli export onnx"),
        ("config.json", "hf download org/name"),
    ],
)
def test_a_file_that_the_hub_model_lacks_is_named(cache, missing, remedy):
    snapshot = download(cache, "org/name", MODELS / "levels")
    (snapshot / missing).unlink()
    message = error_of(connect(), "SELECT anomaly_config('model', 'org/name')")
    # Without a configuration the cache does not count it as a model.
    assert (f"has no {missing}" in message) == (missing != "config.json")
    assert remedy in message


@pytest.mark.parametrize("gone", ["model.onnx", "tokenizer.json", "model.onnx_data"])
def test_a_link_to_a_file_that_is_gone_is_named(cache, gone):
    snapshot = download(cache, "org/name", MODELS / "external")
    (snapshot / gone).resolve().unlink()
    connection = connect()
    if gone == "model.onnx_data":  # the graph is read when the model is used
        one(connection, "SELECT anomaly_config('model', 'org/name')")
        message = error_of(connection, "SELECT anomaly_label('it failed')")
        assert "keeps weights in 'model.onnx_data', which is no file beside it" in message
    else:
        message = error_of(connection, "SELECT anomaly_config('model', 'org/name')")
        assert f"{gone} is a link to a file that is gone; fetch it again: hf download org/name" in message


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_weights_of_another_kind_gets_the_export_command(db, tmp_path, weights):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "model.onnx").rename(folder / weights)
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert f"optimum-cli export onnx --task text-classification --model {folder} {folder}/onnx" in message


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


def test_the_only_graph_needs_no_name(db, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    (folder / "model.onnx").rename(folder / "model_int8.onnx")
    assert use(db, str(folder)) == "ERROR"


def test_several_graphs_of_other_names_are_offered(db, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "m")
    shutil.copyfile(folder / "model.onnx", folder / "model_fp16.onnx")
    (folder / "model.onnx").rename(folder / "it's.onnx")
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert "it has it's.onnx, model_fp16.onnx" in message
    remedy = re.search(r"SELECT anomaly_config\('onnx_file', '.*?'\) takes", message)[0].removesuffix(" takes")
    assert one(db, remedy) == "it's.onnx"
    assert use(db, str(folder)) == "ERROR"


def test_a_graph_that_is_not_there_is_named(db):
    one(db, "SELECT anomaly_config('onnx_file', 'model_fp16.onnx')")
    message = error_of(db, "SELECT anomaly_label('it failed')")
    assert (
        "has no model_fp16.onnx; it has model.onnx: SELECT anomaly_config('onnx_file', '') takes the usual one"
        in message
    )
    one(db, "SELECT anomaly_config('onnx_file', '')")
    assert one(db, "SELECT anomaly_label('it failed')") == "ERROR"


def test_the_bundled_model_has_one_graph_whatever_was_set(db):
    one(db, "SELECT anomaly_config('onnx_file', 'model_fp16.onnx')")
    assert use(db, "bundled") == "SYSTEM_FAILURE"


def test_a_relative_folder_is_the_same_from_anywhere(db, tmp_path, monkeypatch):
    shutil.copytree(MODELS / "levels", tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    assert one(db, "SELECT anomaly_config('model', 'm')") == str(tmp_path / "m")
    monkeypatch.chdir("/")
    assert one(db, "SELECT anomaly_label('it failed')") == "ERROR"


def test_a_file_is_no_folder(db):
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(MODELS / "levels" / "model.onnx"))
    assert "model.onnx is a file; give the folder it lies in" in message


def test_a_folder_with_a_space_is_quoted_in_the_command(db, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "my model")
    (folder / "model.onnx").rename(folder / "model.safetensors")
    message = error_of(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert f"--model '{folder}' '{folder}/onnx'" in message


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


def test_weights_that_were_replaced_are_not_mixed(db, tmp_path):
    folder = shutil.copytree(MODELS / "external", tmp_path / "m")
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    one(db, "SELECT anomaly_config('threads', 4)")
    assert one(db, "SELECT anomaly_label('it failed')") == "ERROR"
    # Other weights of the same size, put there as a whole.
    other = folder / "other"
    other.write_bytes(bytes(len((folder / "model.onnx_data").read_bytes())))
    other.replace(folder / "model.onnx_data")
    insert(db, *[f"failed {'x ' * (number % 90)}" for number in range(500)])
    assert totals(db, 500) == (500, 500, 0)


def test_weights_that_are_not_beside_the_graph_are_named(db, tmp_path):
    folder = shutil.copytree(MODELS / "external", tmp_path / "m")
    (folder / "model.onnx_data").unlink()
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    message = error_of(db, "SELECT anomaly_label('it failed')")
    assert "keeps weights in 'model.onnx_data', which is no file beside it" in message
