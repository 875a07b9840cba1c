"""examples/quantise: the 8-bit twin of a model says what the model says, and of each text whatever stands beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, connect, one

PYTHON = ROOT / "target" / "venvs" / "quantise" / "bin" / "python"
MODEL = ROOT / "tests" / "golden" / "hybrid-bert"
LOG = (ROOT / "sql" / "demo" / "sample.log").read_text(encoding="utf-8")
LINES = [line.split(" ", 1)[1] for line in LOG.splitlines()]


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> Path:
    """The twin of a small model."""
    assert PYTHON.is_file(), "make target/venvs/quantise/.installed"
    folder = tmp_path_factory.mktemp("quantise")
    (folder / "typical.txt").write_text("\n".join(LINES[:200]), encoding="utf-8")
    program = ROOT / "examples" / "quantise" / "quantise.py"
    subprocess.run([PYTHON, program, MODEL, folder / "typical.txt", folder / "twin"], check=True, timeout=120)
    return folder / "twin"


def answers(model: Path, texts: list[str]) -> list[tuple[str, float]]:
    """The best label of each text, and its score."""
    connection = connect()
    one(connection, "SELECT anomaly_config('model', ?)", str(model))
    return connection.execute("SELECT label, score FROM anomaly_classify_each(?)", (json.dumps(texts),)).fetchall()


def test_the_twin_says_what_the_model_says(twin):
    theirs, ours = answers(MODEL, LINES[200:]), answers(twin, LINES[200:])
    same = [label == other for (label, _), (other, _) in zip(theirs, ours, strict=True)]
    # The small model is a random one, whose seven labels lie close together; a trained one loses one in a hundred.
    assert sum(same) >= 0.75 * len(same)
    assert theirs != ours


def test_a_score_of_the_twin_does_not_depend_on_the_texts_beside_it(twin):
    together = answers(twin, LINES)
    for text, (_, score) in list(zip(LINES, together, strict=True))[::40]:
        ((_, alone),) = answers(twin, [text])
        assert alone == pytest.approx(score, abs=1e-5)
