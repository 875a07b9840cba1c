"""What differs between a database that the seed scored and one that the extension scored."""

from __future__ import annotations

import re
import sqlite3
import uuid
from dataclasses import dataclass, field
from pathlib import Path

TOLERANCE = 1e-4
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00")


@dataclass
class Difference:
    """The outcome of one comparison."""

    rows: int = 0
    score: float = 0.0
    """The largest difference of two scores."""
    problems: list[str] = field(default_factory=list)


def compare(seed: Path, extension: Path) -> Difference:
    """Compares every column of both tables; ids of detections and times by their form."""
    difference = Difference()
    for table, key in [("log_entries", "id"), ("detections", "entry_id")]:
        expected, found = (rows(path, table, key) for path in (seed, extension))
        if expected.keys() != found.keys():
            odd = sorted(expected.keys() ^ found.keys())
            difference.problems.append(f"{table}: {len(odd)} rows in one alone, such as {odd[:3]}")
        for name in expected.keys() & found.keys():
            compare_rows(f"{table} {name}", expected[name], found[name], difference)
    return difference


def rows(path: Path, table: str, key: str) -> dict[str, dict]:
    """The rows of a table by their key."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    by_key = {row[key]: row for row in found}
    if len(by_key) != len(found):
        raise SystemExit(f"{path.name}: {key} is not unique in {table}")
    return by_key


def compare_rows(name: str, expected: dict, found: dict, difference: Difference) -> None:
    """Compares two rows, column by column."""
    difference.rows += 1
    if expected.keys() != found.keys():
        difference.problems.append(f"{name}: other columns")
    for column, value in expected.items():
        if problem := compare_values(column, value, found[column], difference, is_detection="entry_id" in found):
            difference.problems.append(f"{name}: {column} {problem}")


def compare_values(column: str, expected, found, difference: Difference, *, is_detection: bool) -> str | None:
    """What is wrong with a value, if anything is."""
    if expected is None or found is None:
        return None if expected is found else f"is {found!r} where the seed has {expected!r}"
    if column == "anomaly_score":
        difference.score = max(difference.score, abs(expected - found))
        return None if abs(expected - found) < TOLERANCE else f"is {found} where the seed has {expected}"
    if column in {"anomaly_scored_at", "detected_at", "acknowledged_at"}:
        return None if TIME.fullmatch(found) and TIME.fullmatch(expected) else f"is {found!r}, which is no time"
    if column == "id" and is_detection:
        return None if uuid.UUID(found).version == uuid.UUID(expected).version == 4 else f"is {found!r}, no UUID"
    return None if expected == found else f"is {found!r} where the seed has {expected!r}"
