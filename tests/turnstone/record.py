"""Records what the seed's own code says in a glean cycle: `python record.py SEED > expected.json`.

The seed's pipeline is replaced by the answers that transformers gave, as tests/golden/ keeps them. SEED is the folder
of the seed's app/services/anomaly.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "golden" / "hybrid-bert"
sys.path[:0] = [sys.argv[1], str(HERE), str(HERE.parent)]


def pipeline(task: str, model: str, device: str):
    """Stands for the one of transformers."""
    if model != str(MODEL):
        raise OSError(f"{model} is not a local folder")
    texts = json.loads((MODEL.parent / "texts.json").read_text(encoding="utf-8"))
    rows = json.loads((MODEL / "expected.json").read_text(encoding="utf-8"))["log_entries"]
    answers = {texts[int(entry[1:])][:512]: {"label": label, "score": score} for entry, label, score in rows if label}
    return lambda batch, **_: [answers[text] for text in batch]


if __name__ == "__main__":
    sys.modules["transformers"] = SimpleNamespace(pipeline=pipeline)
    import glean

    from parity import scorers

    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "logs.db"
        scorers.fill(database, json.loads((MODEL.parent / "texts.json").read_text(encoding="utf-8")))
        scorers.load_seed(Path(sys.argv[1]))
        json.dump(glean.cycle(database, str(MODEL)), sys.stdout, indent=1)
        print()
