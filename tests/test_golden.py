"""What the seed's anomaly.py makes of the hard texts, for every kind of model: the extension must make the same.

`make parity PARITY=--golden` wrote the files with the real transformers pipeline; there the two are also compared on
thousands of real log lines.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import connect, one
from parity import golden, scorers

TEXTS = json.loads((golden.GOLDEN / "texts.json").read_text(encoding="utf-8"))
MODELS = sorted(folder for folder in golden.GOLDEN.iterdir() if folder.is_dir())
FROM_THE_SEED = [folder for folder in MODELS if folder.name != golden.DYNAMIC]

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda folder: folder.name)


def use(connection, model: Path) -> None:
    one(connection, "SELECT anomaly_config('model', ?)", str(model))


@pytest.mark.parametrize("model", FROM_THE_SEED, ids=lambda folder: folder.name)
def test_the_rows_are_those_of_the_seed(model, tmp_path):
    database = tmp_path / "logs.db"
    scorers.fill(database, TEXTS)
    connection = connect(database)
    use(connection, model)
    one(connection, "SELECT anomaly_config('tenant_id', ?)", scorers.TENANT)
    connection.execute("SELECT * FROM anomaly_score_pending(?, ?)", (scorers.BATCH, scorers.THRESHOLD)).fetchall()
    connection.close()
    for table, expected in json.loads((model / "expected.json").read_text(encoding="utf-8")).items():
        found = golden.rows(database, table)
        assert len(found) == len(expected)
        for row, row_of_the_seed in zip(found, expected, strict=True):
            # Scores differ in the last digits from processor to processor.
            assert row == pytest.approx(row_of_the_seed, rel=1e-5, abs=1e-4)


def test_the_golden_files_cover_every_kind_of_label():
    labels, detections = set(), 0
    for model in FROM_THE_SEED:
        expected = json.loads((model / "expected.json").read_text(encoding="utf-8"))
        labels |= {label for _, label, _ in expected["log_entries"]}
        detections += len(expected["detections"])
    assert {"SECURITY_ANOMALY", "NORMAL", "ERROR", "WARN", "TOXÏC", "LABEL_0", "LABEL_2", None} <= labels
    assert detections > 100


@every_model
def test_a_score_is_the_same_whichever_way_it_is_asked_for(model):
    connection = connect()
    use(connection, model)
    alone = [one(connection, "SELECT anomaly_score(?)", text) for text in TEXTS]
    for batch, order in [(None, ""), (1, "length(text)"), (7, "hex(text)"), (256, "-length(text)"), (256, "id")]:
        # What was said before must not be what is said again.
        one(connection, "SELECT anomaly_reset()")
        scores = score_each(connection) if batch is None else score_pending(connection, batch, order)
        assert scores == pytest.approx(alone, rel=1e-5, abs=1e-5), (batch, order)


def score_each(connection) -> list[float]:
    """The scores by `anomaly_classify_each`."""
    sql = "SELECT score FROM anomaly_classify_each(?) ORDER BY idx"
    return [score for (score,) in connection.execute(sql, (json.dumps(TEXTS),))]


def score_pending(connection, batch: int, order: str) -> list[float]:
    """The scores by `anomaly_score_pending`, the entries being read in some order."""
    connection.execute("DROP TABLE IF EXISTS log_entries")
    one(connection, "SELECT anomaly_init()")
    entries = [(f"{number:03}", text) for number, text in enumerate(TEXTS)]
    connection.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries)
    connection.execute(f"UPDATE log_entries SET ingest_time = {order}")
    connection.execute("SELECT * FROM anomaly_score_pending(?)", (batch,)).fetchall()
    return [score for (score,) in connection.execute("SELECT anomaly_score FROM log_entries ORDER BY id")]
