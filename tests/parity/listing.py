"""Detections as the seed lists and acknowledges them, and as the extension does, on the same database."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from parity.compare import compare
from parity.scorers import fill, load_seed, run_extension, shell

FILTERS = [
    {},
    {"limit": 3},
    {"unacked_only": True},
    {"label": "system_failure"},
    {"label": "SYSTEM_FAILURE", "limit": 2},
    {"scorer": "ANOMALY"},
    {"scorer": "rules"},
    {"unacked_only": True, "label": "config_error", "scorer": "anomaly", "limit": 1000},
]


def problems(seed: Path, model: Path, work: Path, texts: list[str]) -> list[str]:
    """What differs: each filter of the listing, then an acknowledgement by each of the two."""
    anomaly = load_seed(seed)
    database, twin = work / "listing.db", work / "listing.twin.db"
    fill(database, texts)
    shell(database, "SELECT anomaly_init();")
    run_extension(model, database)
    shell(database, "UPDATE detections SET acknowledged = rowid % 3 = 0, scorer = iif(rowid % 5, 'anomaly', 'rules');")
    found = []
    for chosen in FILTERS:
        expected = anomaly.list_detections(database, **chosen)
        listed = json.loads(
            shell(database, f"SELECT * FROM anomaly_detections({arguments(**chosen)});", "-json") or "[]"
        )
        if listed != expected:
            found.append(f"{len(listed)} detections for {chosen} where the seed has {len(expected)}")
    shutil.copyfile(database, twin)
    (detection, *_) = anomaly.list_detections(database, unacked_only=True)
    for id in (detection["id"], "unknown"):
        expected = anomaly.acknowledge_detection(database, id, "seen")
        acknowledged = shell(twin, f"SELECT anomaly_acknowledge('{id}', 'seen');").strip()
        if acknowledged != str(int(expected)):
            found.append(f"anomaly_acknowledge('{id}') gave {acknowledged} where the seed has {expected}")
    return found + compare(database, twin).problems


def arguments(
    limit: int = 100, *, unacked_only: bool = False, label: str | None = None, scorer: str | None = None
) -> str:
    """The arguments of `anomaly_detections`."""
    quoted = ["NULL" if text is None else f"'{text}'" for text in (label, scorer)]
    return ", ".join([str(limit), str(int(unacked_only)), *quoted])
