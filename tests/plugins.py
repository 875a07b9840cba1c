"""What the tests of the two plugins share: the sample log, scored through the installed package.

Datasette, sqlite-utils and these tests take the same SQLite module: a process can have the extension in one only.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from datasette.utils.sqlite import sqlite3
from sqlite_anomaly import load, score_pending

from conftest import ROOT

SAMPLE = ROOT / "sql" / "demo" / "sample.log"


def open_database(path: Path | str) -> Any:
    """A database in autocommit mode with the extension loaded and the bundled model configured."""
    connection = sqlite3.connect(str(path), isolation_level=None)
    load(connection, model="bundled")
    return connection


def make_sample(path: Path) -> Path:
    """A database of the sample log, scored: the source and the time of each line are its own."""
    lines = [line.split(" ", 2) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    rows = [(f"sample-{number:03}", source, time, text) for number, (time, source, text) in enumerate(lines, 1)]
    with closing(open_database(path)) as connection:
        connection.execute("SELECT anomaly_init()").fetchall()
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO log_entries (id, source_id, timestamp_iso, text) VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        assert score_pending(connection).scored == len(rows)
    return path


def query(path: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a query, read without the plugins."""
    with closing(sqlite3.connect(str(path), isolation_level=None)) as connection:
        return connection.execute(sql, parameters).fetchall()
