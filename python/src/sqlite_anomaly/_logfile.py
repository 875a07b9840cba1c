"""Log files as rows of log_entries."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INSERT = """
INSERT OR IGNORE INTO log_entries (id, tenant_id, source_id, ingest_time, text) VALUES (?, ?, ?, ?, ?)
"""


def import_file(connection: Any, path: Path, source: str, tenant_id: str) -> tuple[int, int]:
    """Inserts the lines of a file, as a whole or not at all; counts the lines it has, and those that were new."""
    now = datetime.now(UTC).isoformat()
    lines = 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _count(connection)
        for identifier, text in entries(path, tenant_id):
            connection.execute(INSERT, (identifier, tenant_id, source, now, text))
            lines += 1
        new = _count(connection) - before
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return lines, new


def entries(path: Path, tenant_id: str) -> Iterator[tuple[str, str]]:
    """The id and the text of each line that is not blank.

    The id is made of the tenant, the file's path, the line's place in it and its text: it stays when the file grows,
    and a line of a file that took the place of another has one of its own.
    """
    file_identity = f"{tenant_id}\0{path.resolve()}".encode("utf-8", "surrogateescape")
    offset = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            text = line.rstrip(b"\r\n")
            if text.strip():
                identity = hashlib.sha256(b"%b\0%d\0%b" % (file_identity, offset, text))
                yield identity.hexdigest()[:32], text.decode("utf-8", "replace")
            offset += len(line)


def _count(connection: Any) -> int:
    ((count,),) = connection.execute("SELECT count(*) FROM log_entries").fetchall()
    return int(count)
