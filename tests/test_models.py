"""Models that cannot be used: the error names the file and the remedy, and the connection works on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from conftest import DIST, MODELS, SQLITE, connect, error_of, insert, one, totals, use_model


@pytest.fixture
def folder(tmp_path):
    """A copy of the model `levels` that a test may break."""
    return shutil.copytree(MODELS / "levels", tmp_path / "model")


def classify_with(db, folder) -> str:
    """The error of configuring and using the model in `folder`; afterwards another model must work."""
    try:
        one(db, "SELECT anomaly_config('model', ?)", str(folder))
    except Exception as error:
        message = str(error)
    else:
        message = error_of(db, "SELECT anomaly_label('failed')")
    use_model(db, "levels")
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"
    return message


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [("config.json", "copy"), ("tokenizer.json", "save_pretrained"), ("model.onnx", "optimum-cli export onnx")],
)
def test_a_missing_file_is_named(db, folder, missing, remedy):
    (folder / missing).unlink()
    message = classify_with(db, folder)
    assert f"has no {missing}" in message
    assert remedy in message
    assert str(folder) in message


@pytest.mark.parametrize("content", [b"", b"this is no graph", b"\x08\x08\x12\x00", b"\xff" * 10_000])
def test_a_file_that_is_no_onnx_model(db, folder, content):
    (folder / "model.onnx").write_bytes(content)
    message = classify_with(db, folder)
    assert "model.onnx" in message
    assert "export" in message


def test_a_truncated_graph(db, folder):
    graph = (DIST / "model" / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph[: len(graph) // 2])
    assert "no usable ONNX model" in classify_with(db, folder)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"id2label": {"1": "a"}}', '{"num_labels": 0}', "nul\0l"])
def test_a_configuration_that_is_none(db, folder, content):
    (folder / "config.json").write_text(content)
    assert "config.json" in classify_with(db, folder)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": "9"}'])
def test_a_tokenizer_that_is_none(db, folder, content):
    (folder / "tokenizer.json").write_text(content)
    assert "tokenizer.json cannot be used" in classify_with(db, folder)


def test_more_logits_than_labels(db):
    assert "as many logits a text as config.json names labels" in classify_with(db, MODELS / "too-wide")


def test_a_model_that_answers_nan(db):
    assert "the model answered NaN" in classify_with(db, MODELS / "all-nan")


def test_an_infinite_logit_is_no_score(db):
    assert "the model answered NaN or infinity" in error_of(db, "SELECT anomaly_classify('infinite')")


def test_a_folder_that_goes_away_under_a_loaded_model_fails_no_row(db, tmp_path):
    folder = shutil.copytree(DIST / "model", tmp_path / "bundled")
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    one(db, "SELECT anomaly_config('threads', 4)")
    one(db, "SELECT anomaly_label('x')")
    shutil.rmtree(folder)
    insert(db, *[f"{'word ' * (number % 90)} {'x' * (number % 7)}" for number in range(300)])
    assert totals(db)[::2] == (300, 0)


def test_the_same_relative_name_in_another_folder_is_another_model(db, tmp_path, monkeypatch):
    for name, model in [("a", "levels"), ("b", "all-nan")]:
        shutil.copytree(MODELS / model, tmp_path / name / "m")
    monkeypatch.chdir(tmp_path / "a")
    one(db, "SELECT anomaly_config('model', 'm')")
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"
    monkeypatch.chdir(tmp_path / "b")
    other = connect()
    one(other, "SELECT anomaly_config('model', 'm')")
    assert "the model answered NaN" in error_of(other, "SELECT anomaly_label('failed')")


def test_reset_takes_files_that_were_replaced(db, folder):
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"
    (folder / "config.json").write_text('{"id2label": {"0": "fine", "1": "meh", "2": "critical"}}')
    status = dict(db.execute("SELECT * FROM anomaly_status"))
    assert status["model_sha256"] is None
    one(db, "SELECT anomaly_reset()")
    assert one(db, "SELECT anomaly_label('failed')") == "CRITICAL"


@pytest.mark.parametrize("name", ["/no/such/folder", "no/such", "\0", "bundle", "x" * 5000])
def test_a_name_that_is_no_model(db, name):
    message = error_of(db, "SELECT anomaly_config('model', ?)", name)
    assert "there is no folder" in message
    assert "bundled" in message


def test_a_model_can_be_mended_and_used(db, folder):
    good = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(b"broken")
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    error_of(db, "SELECT anomaly_label('failed')")
    (folder / "model.onnx").write_bytes(good)
    assert one(db, "SELECT anomaly_label('failed')") == "ERROR"


def test_a_model_that_is_not_told_what_is_padding_scores_by_the_text_alone(db):
    use_model(db, "no-mask")
    texts = ["failed", "ok", *[f"failed {'x ' * number}" for number in range(20)], "failed"]
    alone = [one(db, "SELECT anomaly_score(?)", text) for text in texts]
    one(db, "SELECT anomaly_reset()")
    together = db.execute("SELECT score FROM anomaly_classify_each(?)", (json.dumps(texts),)).fetchall()
    assert [score for (score,) in together] == pytest.approx(alone, abs=1e-5)


def test_a_model_of_narrow_numbers_is_read_as_any_other(db):
    texts = ["failed failed", "ok", "slow slow", "denied"]
    sql = "SELECT label, round(score, 2) FROM anomaly_classify_each(?)"
    expected = db.execute(sql, (json.dumps(texts),)).fetchall()
    use_model(db, "narrow")
    assert db.execute(sql, (json.dumps(texts),)).fetchall() == expected


def rewrite_tokenizer(folder, **model: object) -> None:
    """Gives tokenizer.json another `model`."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": model}))


def test_a_tokenizer_that_refuses_every_text_leaves_the_entries_pending(db, folder):
    rewrite_tokenizer(folder, type="WordLevel", vocab={"[PAD]": 0}, unk_token="[NOPE]")
    insert(db, "failed", "denied")
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    message = error_of(db, "SELECT anomaly_score_all()")
    assert "tokenizer.json refuses the text" in message and "save_pretrained" in message
    assert one(db, "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL") == 2
    use_model(db, "levels")
    assert totals(db)[::2] == (2, 0)


def test_a_text_that_the_tokenizer_alone_refuses_is_marked_as_failed(db, folder):
    rewrite_tokenizer(folder, type="WordLevel", vocab={"[PAD]": 0, "ok": 4, "failed": 6}, unk_token="[NOPE]")
    insert(db, "failed", "denied")
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    assert totals(db) == (1, 1, 1)


def test_merges_are_not_dropped_at_random(db, folder):
    pairs = ["o k", "ok o", "oko k", "okok ok"]
    known = {"[PAD]": 0, "o": 5, "k": 5, "ok": 4, "oko": 6, "okok": 7, "okokok": 6}
    rewrite_tokenizer(folder, type="BPE", dropout=0.5, vocab=known, merges=pairs, fuse_unk=False, byte_fallback=False)
    one(db, "SELECT anomaly_config('model', ?)", str(folder))
    one(db, "SELECT anomaly_config('cache_entries', 0)")
    assert len({one(db, "SELECT anomaly_score('okokok')") for _ in range(30)}) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files of the process in /proc")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["levels", "external"])
def test_where_no_more_files_may_be_opened_no_file_of_the_model_is_blamed(db, tmp_path, name, threads):
    import resource

    one(db, "SELECT anomaly_label('ok')")  # ONNX Runtime is there
    one(db, "SELECT anomaly_config('threads', ?)", threads)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors = []
    for free in range(4):
        folder = shutil.copytree(MODELS / name, tmp_path / str(free))
        # The lowest number that is free is the next to be given.
        numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(free + 1)]
        for number in numbers:
            os.close(number)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (numbers[-1], before[1]))
            one(db, "SELECT anomaly_config('model', ?)", str(folder))
            one(db, "SELECT anomaly_label('failed')")
        except SQLITE.Error as error:
            errors.append(str(error))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert errors
    for error in errors:
        assert error.endswith("the process may open no more files: close some, or raise its limit (ulimit -n)")
