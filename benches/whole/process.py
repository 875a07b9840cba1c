"""Running one process and seeing how long it took and how much memory it had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from parity.texts import ROOT

# What getrusage counts in: kilobytes, but bytes on macOS (getrusage(2) of each).
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
ENVIRONMENT = os.environ | {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "benches"), str(ROOT / "tests")]),
}


@dataclass(frozen=True)
class Outcome:
    """What a process came to."""

    output: str
    seconds: float
    """From its start to its end."""
    peak_mb: float
    """The most memory it had resident."""


def run(command: list[str | Path], stdin: str = "") -> Outcome:
    """Runs a command to its end; one that fails ends the benchmark, with what it said."""
    started = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT, cwd=ROOT,
    )  # fmt: skip
    process.stdin.write(stdin)
    process.stdin.close()
    output, errors = process.stdout.read(), process.stderr.read()
    # Not Popen.wait: only wait4 tells the memory of this one child.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{errors or output}")
    return Outcome(output, seconds, usage.ru_maxrss * RSS_UNIT / 1e6)


@dataclass(frozen=True)
class Measurement:
    """One contender's work, once."""

    rows_a_second: float
    peak_mb: float
    details: dict


def measure(contender: str, **arguments) -> Measurement:
    """Runs a contender of `contenders.py` in a fresh process."""
    ready = json.dumps(arguments, default=str)
    outcome = run([sys.executable, "-W", "ignore", "-m", "whole.contenders", contender, ready])
    details = json.loads(outcome.output.splitlines()[-1])
    return Measurement(details["rows"] / details["seconds"], outcome.peak_mb, details)
