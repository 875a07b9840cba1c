"""The golden files: small models, and the rows that the seed made with them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from parity.texts import ROOT

GOLDEN = ROOT / "tests" / "golden"
DYNAMIC = "dynamically-quantised-bert"

# What is kept of a table: all but ids and times, and of the text only how much of it a detection holds.
COLUMNS = {
    "log_entries": "id, anomaly_label, anomaly_score",
    "detections": "entry_id, tenant_id, source_id, anomaly_label, severity, timestamp_iso, length(text), anomaly_score,"
    " acknowledged, acknowledged_at, notes",
}


def rows(database: Path, table: str) -> list[list]:
    """The rows of a scored database, in the order of the entries' ids."""
    connection = sqlite3.connect(database)
    found = connection.execute(f"SELECT {COLUMNS[table]} FROM {table} ORDER BY 1").fetchall()
    connection.close()
    return [list(row) for row in found]
