"""The two scorers, each run on a database file of its own: the seed's `anomaly.py`, and the extension."""

from __future__ import annotations

import importlib
import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

from parity.texts import ROOT

TENANT = "acme"
BATCH = 256
THRESHOLD = 0.75
OTHER_TENANTS = ["", "other"]


def fill(path: Path, texts: list[str]) -> None:
    """Makes the seed's tables, with one entry a text: of the tenant, of none, of another, in turn."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript((ROOT / "tests" / "databases" / "seed.sql").read_text(encoding="utf-8"))
    tenants = [TENANT, *OTHER_TENANTS]
    connection.executemany(
        "INSERT INTO log_entries (id, tenant_id, source_id, text, severity, timestamp_iso, ingest_time, host_facts)"
        " VALUES (?, ?, ?, ?, 'INFO', ?, ?, '{}')",
        (
            (f"e{n}", tenants[n % 3], f"source-{n % 5}", text, f"2026-06-{n % 28 + 1:02}", f"{n * 7919 % 10007:05}")
            for n, text in enumerate(texts)
        ),
    )
    connection.commit()
    connection.close()


def load_seed(folder: Path):
    """The seed's own module."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    os.environ["TURNSTONE_TENANT_ID"] = TENANT
    return importlib.import_module("app.services.anomaly")


def run_seed(seed: Path, model: Path, database: Path) -> tuple[int, int]:
    """Scores with the seed's own code and the real transformers pipeline: (scored, detections)."""
    anomaly = load_seed(seed)
    anomaly.reset_pipeline()
    result = anomaly.score_unscored(database, str(model), device="cpu", batch_size=BATCH, threshold=THRESHOLD)
    if result.error:
        sys.exit(f"the seed failed on {model.name}: {result.error}")
    return result.scored, result.detections


def run_extension(model: Path, database: Path) -> tuple[int, int]:
    """Scores with the extension: (scored, detections)."""
    configure = f".output {os.devnull}\nSELECT anomaly_config('model', '{model}');\n.output\n"
    score = f"SELECT sum(scored), sum(detections) FROM anomaly_score_pending({BATCH}, {THRESHOLD});"
    scored, detections = shell(database, configure + score).strip().split("|")
    return int(scored), int(detections)


def shell(database: Path, sql: str, *options: str) -> str:
    """What the sqlite3 shell prints, the extension being loaded."""
    command = [*shlex.split(os.environ.get("SQLITE", "sqlite3")), *options, str(database)]
    script = f".bail on\n.load dist/anomaly0\n{sql}\n"
    environment = os.environ | {"TURNSTONE_TENANT_ID": TENANT}
    done = subprocess.run(command, input=script, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"the extension failed on {database.name}: {done.stderr}")
    return done.stdout
