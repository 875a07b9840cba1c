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
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import transformers
from onnxruntime.quantization import quantize_dynamic

from parity import models
from parity.compare import compare, rows
from parity.golden import COLUMNS as GOLDEN_COLUMNS
from parity.golden import DYNAMIC, GOLDEN
from parity.golden import rows as golden_rows
from parity.listing import problems as listing_problems
from parity.scorers import THRESHOLD, fill, run_extension, run_seed
from parity.texts import HARD, ROOT, lines

WORK = ROOT / "target" / "parity"
GOLDEN_LINES = 60
# What the extension reads of a model's folder.
READ = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.onnx"]


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
    labels = {row["anomaly_label"] for row in rows(databases[0], "log_entries", "id").values()} - {None}
    print(
        f"{name:<24} scored {by_seed[0]:>5}  detections {by_seed[1]:>5}  labels {len(labels)}  "
        f"largest score difference {difference.score:.1e}  other differences {len(difference.problems)}"
    )
    for problem in difference.problems[:5]:
        print(f"    {problem}")
    return not difference.problems


def write_golden(folders: dict[str, Path], seed: Path) -> None:
    """Writes the golden files of every model that is small enough."""
    # The sample log is the project's own; other logs are not.
    texts = HARD + lines(None, GOLDEN_LINES)
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "texts.json").write_text(json.dumps(texts, indent=0) + "\n", encoding="utf-8")
    for name in filter(models.is_small, folders):
        write_golden_model(name, folders[name], seed, texts)
    write_dynamic()


def write_golden_model(name: str, folder: Path, seed: Path, texts: list[str]) -> None:
    """Keeps what the extension reads of the model, and the rows that the seed makes of the texts with it."""
    target = GOLDEN / name
    target.mkdir(parents=True, exist_ok=True)
    for file in READ:
        shutil.copyfile(folder / file, target / file)
    database = WORK / "golden.db"
    fill(database, texts)
    run_seed(seed, folder, database)
    with (target / "expected.json").open("w", encoding="utf-8") as file:
        json.dump({table: golden_rows(database, table) for table in GOLDEN_COLUMNS}, file, ensure_ascii=False, indent=0)


def write_dynamic() -> None:
    """Makes a dynamically quantised twin of one model; the seed has nothing to compare it with."""
    source, target = GOLDEN / "hybrid-bert", GOLDEN / DYNAMIC
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "expected.json").unlink()
    quantize_dynamic(source / "model.onnx", target / "model.onnx")


def main() -> None:
    """Reads the command line and compares all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seed", type=Path, required=True, help="the folder that holds the seed's app/services/anomaly.py"
    )
    parser.add_argument("--logs", type=Path, help="a folder of log files, *.txt; the sample log where there is none")
    parser.add_argument("--lines", type=int, default=2000, help="how many log lines beside the hard texts")
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
        write_golden(folders, options.seed)
    folders |= {folder.name: folder.resolve() for folder in options.model}
    same = [check(name, folder, options.seed, texts) for name, folder in folders.items()]
    listing = listing_problems(options.seed, folders["hybrid-bert"], WORK, texts)
    print(
        "\n".join(["listing and acknowledging: differences", *listing])
        if listing
        else "listing and acknowledging: same"
    )
    same.append(not listing)
    sys.exit(0 if all(same) else "the extension differs from the seed")


if __name__ == "__main__":
    main()
