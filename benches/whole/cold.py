"""The first answer of a process that has just started, beside what ONNX Runtime alone needs to load the model."""

from __future__ import annotations

import os
import platform
import shlex
import sys

from parity.texts import ROOT
from whole.data import BUNDLED, DIST
from whole.process import Measurement, run

LIBRARY = {"Linux": "libonnxruntime.so", "Darwin": "libonnxruntime.dylib"}.get(platform.system(), "onnxruntime.dll")
QUERY = "SELECT anomaly_config('model', 'bundled');\nSELECT anomaly_classify('Failed password for root');\n"
RUNS_A_ROUND = 5


def measure(rounds: int) -> dict[str, list[Measurement]]:
    """The two in turns; `rows_a_second` is one over the seconds of the process."""
    shell = [*shlex.split(os.environ.get("SQLITE", "sqlite3")), ":memory:"]
    loader = [ROOT / "target" / "release" / "examples" / "load_model", DIST / LIBRARY, BUNDLED / "model.onnx"]
    ways = {
        "sqlite3, extension not loaded": lambda: run(shell, "SELECT 1;\n"),
        "sqlite3, extension loaded": lambda: run(shell, ".load dist/anomaly0\nSELECT 1;\n"),
        "sqlite3, first answer": lambda: run(shell, f".load dist/anomaly0\n{QUERY}"),
        "ONNX Runtime alone loads the model": lambda: run(loader),
    }
    found: dict[str, list[Measurement]] = {name: [] for name in ways}
    for _ in range(rounds * RUNS_A_ROUND):
        for name, way in ways.items():
            outcome = way()
            found[name].append(Measurement(1 / outcome.seconds, outcome.peak_mb, {}))
    print("cold starts measured", file=sys.stderr)
    return found
