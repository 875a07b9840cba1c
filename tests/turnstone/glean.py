"""A glean cycle as the application runs it that the extension comes from: score, list, acknowledge, score again.

Prints as JSON what its scorer answers, but for what differs from run to run (ids, times) and from processor to
processor (scores: those are in the database).
"""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path

from app.services import anomaly

VOLATILE = {"id", "detected_at", "acknowledged_at", "anomaly_score"}
FILTERS = [
    {},
    {"limit": 2},
    {"limit": -1},
    {"unacked_only": True},
    {"label": "error"},
    {"label": "NORMAL"},
    {"label": ""},
    {"unacked_only": True, "label": "ERROR", "limit": 3},
]


def listed(database: Path, **chosen) -> list[dict]:
    """The detections, with the names of their columns in their order."""
    rows = anomaly.list_detections(database, **chosen)
    return [{name: None if name in VOLATILE else value for name, value in row.items()} for row in rows]


def raised(call, *arguments) -> str:
    """The class of the exception that a call ends with."""
    try:
        return f"none: {call(*arguments)}"
    except Exception as error:
        return type(error).__name__


def cycle(database: Path, model: str) -> dict:
    """What the scorer says in one cycle, by the question."""
    without_tables = database.with_suffix(".empty")
    said = {
        "signatures": {
            function.__name__: [f"{p.name}={p.default!r}" for p in inspect.signature(function).parameters.values()]
            for function in (anomaly.score_unscored, anomaly.list_detections, anomaly.acknowledge_detection)
        },
        "without a model": asdict(anomaly.score_unscored(database)),
        "without tables, without a model": asdict(anomaly.score_unscored(without_tables)),
    }
    missing = anomaly.score_unscored(database, "/no/such/model")
    said["with a model that is missing"] = asdict(missing) | {"error": type(missing.error).__name__}
    anomaly.reset_pipeline()
    said["scored"] = asdict(anomaly.score_unscored(database, model, batch_size=20, threshold=0.6))
    said["scored again"] = asdict(anomaly.score_unscored(database, model, "cpu", 256, 0.75))
    said["without tables"] = raised(anomaly.score_unscored, without_tables, model)
    said["listed without tables"] = raised(anomaly.list_detections, without_tables)
    newest, *_ = anomaly.list_detections(database)
    said["acknowledged"] = anomaly.acknowledge_detection(database, newest["id"], "disk was replaced")
    said["acknowledged again"] = anomaly.acknowledge_detection(database, newest["id"])
    said["acknowledged what is not there"] = anomaly.acknowledge_detection(database, "no such id", "seen")
    said["listed"] = [listed(database, **chosen) for chosen in FILTERS]
    said["listed by a scorer that no column tells"] = raised(anomaly.list_detections, database, 100, False, None, "x")
    return said


if __name__ == "__main__":
    json.dump(cycle(Path(sys.argv[1]), sys.argv[2]), sys.stdout, indent=1)
