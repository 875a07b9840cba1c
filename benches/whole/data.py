"""Log lines, the databases that hold them, and the float32 models that contenders are given."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from pathlib import Path

from parity.texts import ROOT, lines

WORK = ROOT / "target" / "bench"
DIST = ROOT / "dist"
BUNDLED = DIST / "model"
BATCH, THRESHOLD = 256, 0.75
FLOAT_MODEL = "hybrid-minilm"


def float_model() -> Path:
    """MiniLM-L6, the shape of the bundled model, in float32, for transformers and for ONNX Runtime; made once."""
    folder = WORK / FLOAT_MODEL
    if not (folder / "model.onnx").is_file():
        from parity import models  # torch comes with it, and contenders are to be measured without

        models.make(FLOAT_MODEL, folder)
    return folder


def masking_float_model() -> Path:
    """The same behind the bundled model's tokenizer, which masks numbers and names; made anew, since that may change."""
    folder = WORK / f"{FLOAT_MODEL}-masking"
    shutil.copytree(float_model(), folder, dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(BUNDLED / name, folder / name)
    return folder


def log_lines(logs: Path | None, count: int) -> list[str]:
    """`count` real lines in the order of the files, repeated where there are not enough."""
    return repeat(lines(logs, count), count)


def repeat(texts: list[str], count: int) -> list[str]:
    """`count` texts: these, over and over."""
    return list(itertools.islice(itertools.cycle(texts), count))


def spread(texts: list[str], count: int) -> list[str]:
    """At most `count` of `texts`, evenly spread."""
    count = min(count, len(texts))
    return [texts[number * len(texts) // count] for number in range(count)]


def make_database(path: Path, texts: list[str], schema: str) -> Path:
    """A database in WAL mode with one pending entry a text."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(schema)
    connection.executemany(
        "INSERT INTO log_entries (id, source_id, text, timestamp_iso, ingest_time) VALUES (?, ?, ?, ?, ?)",
        ((f"e{n}", f"source-{n % 5}", text, f"2026-06-{n % 28 + 1:02}", f"{n:08}") for n, text in enumerate(texts)),
    )
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def schema_of_seed() -> str:
    """The tables of the application that the seed served."""
    return (ROOT / "tests" / "databases" / "seed.sql").read_text(encoding="utf-8")


def schema_of_extension() -> str:
    """The tables and indexes that `anomaly_init()` makes."""
    return "".join((ROOT / "sql" / name).read_text(encoding="utf-8") for name in ("schema.sql", "indexes.sql"))
