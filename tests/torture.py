"""What the tests that mistreat a database share: how much of it, entries with known answers, what must always hold.

`make test` runs the short form of these tests, `make soak` (ANOMALY_SOAK=1) the long one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SOAK = os.environ.get("ANOMALY_SOAK") == "1"
# No child takes as long as this unless it hangs.
WATCHDOG = 600

# Of the model `levels`: a detection, two that are none (the second one's label is an anomaly, its score too low), one
# without any known word, one that cannot be scored, and another detection.
TEXTS = ["failed failed", "ok", "denied", "nothing known", None, "failed"]
DETECTED = ("failed failed", "failed")


def scaled(short: int, long: int) -> int:
    """How often, how many, how long: in the short form and in the long one."""
    return long if SOAK else short


def entries(count: int, prefix: str = "e") -> list[tuple[str, str | None]]:
    """Rows of `log_entries` (id, text); the texts take turns."""
    return [(f"{prefix}{number}", TEXTS[number % len(TEXTS)]) for number in range(count)]


# What must hold at any time and after any accident, as queries that count the exceptions.
NEVER = {
    "an entry is half scored": """
        SELECT count(*) FROM log_entries
        WHERE (anomaly_score IS NULL) <> (anomaly_label IS NULL)
           OR (anomaly_scored_at IS NULL AND anomaly_score IS NOT NULL)
           OR (anomaly_scored_at IS NOT NULL AND (anomaly_score IS NULL) <> (text IS NULL))""",
    "a detection differs from its entry, or has none that was scored": """
        SELECT count(*) FROM detections AS d LEFT JOIN log_entries AS e ON e.id = d.entry_id
        WHERE e.anomaly_scored_at IS NOT d.detected_at OR e.anomaly_score IS NOT d.anomaly_score
           OR e.anomaly_label IS NOT d.anomaly_label OR d.detected_at IS NULL OR e.text IS NOT d.text""",
    "a confident anomaly was not detected": """
        SELECT count(*) FROM log_entries AS e
        WHERE anomaly_label = 'ERROR' AND anomaly_score >= 0.75
          AND NOT EXISTS (SELECT 1 FROM detections WHERE entry_id = e.id)""",
    "something else was detected": f"""
        SELECT count(*) FROM detections WHERE text NOT IN {DETECTED}""",
    "an entry was detected twice": """
        SELECT count(*) - count(DISTINCT entry_id) FROM detections""",
    "the records of runs count other entries than were scored": """
        SELECT abs((SELECT total(scored + failed) FROM anomaly_runs)
                 - (SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NOT NULL))""",
    "the records of runs count other detections than there are": """
        SELECT abs((SELECT total(detections) FROM anomaly_runs) - (SELECT count(*) FROM detections))""",
}
PENDING = "SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL"


def problems(connection) -> list[str]:
    """Which of the things that must never be are so, in a database of either Python module; none as a rule."""

    def value(sql: str):
        ((value,),) = connection.execute(sql).fetchall()
        return value

    found = [f"{name}: {count}" for name, sql in NEVER.items() if (count := value(sql))]
    integrity = value("PRAGMA integrity_check")
    return found if integrity == "ok" else [*found, integrity]


def unfinished(connection) -> list[str]:
    """The same, and what is still pending, in a database of which everything was to be scored."""
    ((pending,),) = connection.execute(PENDING).fetchall()
    return problems(connection) + ([f"pending: {pending}"] if pending else [])


def start(program: str | Path, *arguments: object) -> subprocess.Popen[str]:
    """Starts a Python program of this folder, or the text of one, in a process of its own."""
    source = [str(program)] if isinstance(program, Path) else ["-c", program]
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, *source, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    """What a child printed, which must end well and in time."""
    try:
        output, errors = child.communicate(timeout=WATCHDOG)
    except subprocess.TimeoutExpired:
        child.kill()
        output, errors = child.communicate()
        raise AssertionError(f"hung; so far it said: {output[-2000:]} {errors[-2000:]}") from None
    assert child.returncode == 0, (child.returncode, errors)
    return output


def growing(until: Callable[[int], bool]) -> Iterable[int]:
    """1, 2, 3, … until `until` says that the last was too much; in growing steps, of the long form from 1,000 on."""
    moment = 1
    while True:
        yield moment
        if until(moment):
            return
        moment += 1 + moment // scaled(4, 1000)
