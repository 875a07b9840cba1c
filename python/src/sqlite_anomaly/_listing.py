"""Detections as the command lists them, each a record with the columns of `anomaly_detections`."""

from __future__ import annotations

from typing import Any

COLUMNS = [
    "id", "tenant_id", "entry_id", "source_id", "anomaly_label", "anomaly_score", "severity", "text", "timestamp_iso",
    "detected_at", "acknowledged", "acknowledged_at", "notes", "scorer",
]  # fmt: skip
# All of a batch have one detected_at. So the function is asked for those of the last batch that is shown too, all of
# them, and the newest messages are chosen here; of messages that tell no time, those that were scored last.
NEWEST = f"""
SELECT {", ".join(COLUMNS)} FROM anomaly_detections(
    (SELECT count(*) FROM detections WHERE detected_at >= (
        SELECT min(detected_at)
        FROM anomaly_detections(CAST(:most AS INTEGER), CAST(:unacked AS INTEGER), :label, :scorer)
    )),
    CAST(:unacked AS INTEGER), :label, :scorer
)
ORDER BY detected_at DESC, timestamp_iso DESC, rowid DESC LIMIT CAST(:most AS INTEGER)
"""
SINCE = f"""
SELECT {", ".join(COLUMNS)} FROM anomaly_detections((SELECT count(*) FROM detections WHERE detected_at >= ?1))
WHERE detected_at >= ?1 ORDER BY detected_at
"""
KINDS = """
SELECT DISTINCT anomaly_label || ' by ' || scorer FROM anomaly_detections((SELECT count(*) FROM detections)) ORDER BY 1
"""


def newest(
    connection: Any, limit: int, *, unacked: bool, label: str | None, scorer: str | None
) -> list[dict[str, Any]]:
    """The last detections, newest first."""
    chosen = {"most": limit, "unacked": int(unacked), "label": label, "scorer": scorer}
    return _records(connection, NEWEST, chosen)


def since(connection: Any, detected_at: str) -> list[dict[str, Any]]:
    """All detections from a time on, oldest first."""
    return _records(connection, SINCE, (detected_at,))


def kinds(connection: Any) -> list[str]:
    """The labels that there are detections of, each with its scorer."""
    return [kind for (kind,) in connection.execute(KINDS)]


def _records(connection: Any, sql: str, parameters: tuple[object, ...] | dict[str, object]) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in connection.execute(sql, parameters)]
