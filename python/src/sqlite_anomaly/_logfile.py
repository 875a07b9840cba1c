"""Log files as rows of log_entries."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_anomaly._drivers import transaction
from sqlite_anomaly.errors import SqliteAnomalyError

# OR IGNORE would leave out, too, the lines that a constraint of the table does not permit.
INSERT = """
INSERT INTO log_entries (id, tenant_id, source_id, ingest_time, text) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""


class NotDecompressed(SqliteAnomalyError):
    """A .gz that is none, or is damaged."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(
            f"{path} cannot be decompressed ({error}): fetch it anew if it was cut short, or rename it if it is no .gz"
        )


def import_file(connection: Any, path: Path, source: str, tenant_id: str) -> tuple[int, int]:
    """Inserts the lines of a file, as a whole or not at all; counts the lines it has, and those that were new."""
    now = datetime.now(UTC).isoformat()
    lines = 0
    with transaction(connection):
        before = _count(connection)
        for identifier, text in entries(path, tenant_id):
            connection.execute(INSERT, (identifier, tenant_id, source, now, text))
            lines += 1
        new = _count(connection) - before
    return lines, new


def entries(path: Path, tenant_id: str) -> Iterator[tuple[str, str]]:
    """The id and the text of each line that is not blank.

    The id is made of the tenant, the file's path, the line's place in it and its text: it stays when the file grows,
    and a line of a file that took the place of another has one of its own.
    """
    file_identity = f"{tenant_id}\0{path.resolve()}".encode("utf-8", "surrogateescape")
    offset = 0
    for line in _lines(path):
        text = line.rstrip(b"\r\n")
        if text.strip():
            identity = hashlib.sha256(b"%b\0%d\0%b" % (file_identity, offset, text))
            yield identity.hexdigest()[:32], text.decode("utf-8", "replace")
        offset += len(line)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, decompressed where its name says that it is compressed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NotDecompressed(path, error) from error


def _count(connection: Any) -> int:
    ((count,),) = connection.execute("SELECT count(*) FROM log_entries").fetchall()
    return int(count)
