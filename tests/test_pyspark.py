"""examples/pyspark, run on Spark with two workers: the answers are those of one connection, and a worker loads once."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, connect, one

BIN = ROOT / "target" / "venvs" / "pyspark" / "bin"
EXAMPLE = ROOT / "examples" / "pyspark"
LINES = (ROOT / "sql" / "demo" / "sample.log").read_text(encoding="utf-8").splitlines()
PARTITIONS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What a Spark of two workers made of log files (detections/) and of a list of texts (rows.json)."""
    assert BIN.is_dir(), "make target/venvs/pyspark/.installed"
    folder = tmp_path_factory.mktemp("spark")
    logs = folder / "logs"
    logs.mkdir()
    for part in range(PARTITIONS):
        (logs / f"{part}.log").write_text("\n".join(LINES[part::PARTITIONS]), encoding="utf-8")
    (folder / "texts.json").write_text(json.dumps([*LINES[:100], None]), encoding="utf-8")
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(EXAMPLE)}
    command = [BIN / "spark-submit", "--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    command += [ROOT / "tests" / "spark_workers.py", logs]
    command += [*(folder / name for name in ("detections", "texts.json", "rows.json")), str(PARTITIONS)]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return folder


def expected(texts: list[str]) -> dict[str, tuple[str, float]]:
    """Label and score of each text, by one connection."""
    connection = connect()
    one(connection, "SELECT anomaly_config('model', 'bundled')")
    rows = connection.execute("SELECT label, score FROM anomaly_classify_each(?)", (json.dumps(texts),))
    return dict(zip(texts, rows, strict=True))


def test_the_detections_of_log_files_are_written_as_json(folder):
    parts = [path.read_text(encoding="utf-8") for path in (folder / "detections").glob("*.json")]
    rows = [json.loads(line) for part in parts for line in part.splitlines()]
    answers = expected(LINES)
    wanted = [text for text in LINES if answers[text][0] != "NORMAL" and answers[text][1] >= 0.75]
    assert sorted(row["text"] for row in rows) == sorted(wanted)
    for row in rows:
        label, score = answers[row["text"]]
        assert (row["label"], row["score"]) == (label, pytest.approx(score, abs=1e-4))
    assert {Path(row["file"]).parent.name for row in rows} == {"logs"}


def test_a_worker_loads_the_model_once_for_all_its_partitions(folder):
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    assert {row["loads"] for row in rows} == {1}
    assert len({row["worker"] for row in rows}) < PARTITIONS
    labels = {text: label for text, (label, _) in expected(LINES[:100]).items()}
    assert {row["text"]: row["label"] for row in rows} == {None: None, **labels}
