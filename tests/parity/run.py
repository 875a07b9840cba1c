"""Scores the same databases with the seed's `anomaly.py` and with the extension, and compares every column.

Run it with `make parity`. With `--golden` it also writes what the seed says of a part of the texts to tests/golden/,
where `make test` holds the extension to it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import models
import transformers
from compare import compare, rows
from scorers import THRESHOLD, fill, run_extension, run_seed
from texts import HARD, ROOT, lines

WORK = ROOT / "target" / "parity"
GOLDEN = ROOT / "tests" / "golden"
GOLDEN_LINES = 60
# What the extension reads of a model's folder.
READ = ["config.json", "tokenizer.json", "model.onnx"]


def check(name: str, folder: Path, seed: Path, texts: list[str]) -> bool:
    """Scores with one model, both ways; says how they compare."""
    databases = [WORK / f"{name}.{scorer}.db" for scorer in ("seed", "extension")]
    for database in databases:
        fill(database, texts)
    by_seed = run_seed(seed, folder, databases[0])
    by_extension = run_extension(folder, databases[1])
    difference = compare(*databases)
    if by_seed != by_extension:
        difference.problems.append(f"(scored, detections) {by_extension} where the seed has {by_seed}")
    labels = Counter(row["anomaly_label"] for row in rows(databases[0], "log_entries", "id").values())
    print(
        f"{name:<24} scored {by_seed[0]:>5}  detections {by_seed[1]:>5}  labels {len(labels - Counter([None])):>2}  "
        f"largest score difference {difference.score:.1e}  other differences {len(difference.problems)}"
    )
    for problem in difference.problems[:5]:
        print(f"    {problem}")
    return not difference.problems


def write_golden(name: str, folder: Path, texts: list[str]) -> None:
    """Keeps the model and what the pipeline, called as the seed calls it, says of each text."""
    target = GOLDEN / name
    target.mkdir(parents=True, exist_ok=True)
    for file in READ:
        shutil.copyfile(folder / file, target / file)
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    answers = pipeline([text[:512] for text in texts], truncation=True, max_length=512)
    expected = [[answer["label"], answer["score"]] for answer in answers]
    (target / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def main() -> None:
    """Reads the command line and compares all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=Path, required=True, help="the folder that holds the seed's app/services/anomaly.py")
    parser.add_argument("--logs", type=Path, help="a folder of log files, *.txt; the sample log where there is none")
    parser.add_argument("--lines", type=int, default=1200, help="how many log lines beside the hard texts")
    parser.add_argument("--golden", action="store_true", help="also write tests/golden/ anew")
    parser.add_argument("--model", type=Path, action="append", default=[], help="a model's folder to compare with, too")
    options = parser.parse_args()
    if not (options.seed / "app" / "services" / "anomaly.py").is_file():
        sys.exit(f"{options.seed} holds no app/services/anomaly.py: name the seed's folder, make parity SEED=folder")
    texts = HARD + lines(options.logs, options.lines)
    print(f"transformers {transformers.__version__}, {len(texts)} texts, threshold {THRESHOLD}")
    folders = {name: WORK / "models" / name for name in models.MODELS}
    for name, folder in folders.items():
        models.make(name, folder)
    if options.golden:
        # The sample log is the project's own; other logs are not.
        golden_texts = HARD + lines(None, GOLDEN_LINES)
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / "texts.json").write_text(json.dumps(golden_texts, indent=0) + "\n", encoding="utf-8")
        for name, folder in folders.items():
            write_golden(name, folder, golden_texts)
    folders |= {folder.name: folder.resolve() for folder in options.model}
    same = [check(name, folder, options.seed, texts) for name, folder in folders.items()]
    sys.exit(0 if all(same) else "the extension differs from the seed")


if __name__ == "__main__":
    main()
