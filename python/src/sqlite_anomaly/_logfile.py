"""Log files as rows of log_entries."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_anomaly._drivers import transaction
from sqlite_anomaly._textfile import STANDARD_INPUT, lines, open_twice

# OR IGNORE would leave out, too, the lines that a constraint of the table does not permit.
INSERT = """
INSERT INTO log_entries (id, tenant_id, source_id, ingest_time, timestamp_iso, text)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# ISO 8601, with what programs make of it: a space for the T, a comma before the fraction, a zone by itself.
TIME = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?)(?!\d)(?: ?(Z|UTC|GMT|[+-]\d\d:?\d\d)\b|([+-]\d\d)\b)?",
    re.ASCII,
)


def import_file(connection: Any, path: Path, source: str | None, tenant_id: str) -> tuple[int, int]:
    """Inserts the lines of a file, as a whole or not at all; counts the lines it has, and those that were new."""
    now = datetime.now(UTC).isoformat()
    source = source or name_of(path)
    count = 0
    # A pipe is read to its end before the database is locked.
    with open_twice(path) as (file, identity), transaction(connection):
        before = _count(connection)
        for identifier, text in entries(lines(file, path), identity, tenant_id):
            connection.execute(INSERT, (identifier, tenant_id, source, now, time_of(text), text))
            count += 1
        new = _count(connection) - before
    return count, new


def name_of(path: Path) -> str:
    """What the entries of a file have as their source."""
    return "stdin" if path == STANDARD_INPUT else os.fsencode(path.name).decode("utf-8", "replace")


def entries(lines: Iterable[str], identity: str, tenant_id: str) -> Iterator[tuple[str, str]]:
    """The id and the text of each line that is not blank.

    The id is made of the tenant, the file's identity and all that stands in the file up to the line's end: it stays
    when the file grows or is renamed, and a line has another one where anything before it is different.
    """
    content = hashlib.sha256(f"{tenant_id}\0{identity}\0".encode())
    for line in lines:
        text = line.rstrip("\r\n")
        content.update(text.encode())
        if text.strip():
            yield content.hexdigest()[:32], text
        content.update(line[len(text) :].encode())


def time_of(text: str) -> str | None:
    """The time that a line begins with, in UTC; one without an offset is of this machine's time zone."""
    found = TIME.match(text)
    if not found:
        return None
    time, zone, hours = found.groups()
    offset = "Z" if zone in ("UTC", "GMT") else zone or hours or ""
    try:
        moment = datetime.fromisoformat(time + offset)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        # There is no such day, or it is beyond what the system's calendar has.
        return None


def _count(connection: Any) -> int:
    ((count,),) = connection.execute("SELECT count(*) FROM log_entries").fetchall()
    return int(count)
