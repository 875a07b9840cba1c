"""What Turnstone's app/services/anomaly.py offers, done by the extension: the pipeline swaps one import."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlite_anomaly._loading import load
from sqlite_anomaly._scoring import score_pending
from sqlite_anomaly.errors import SqliteAnomalyError

logger = logging.getLogger(__name__)

_DEFAULT_THRESHOLD = float(os.environ.get("TURNSTONE_ANOMALY_THRESHOLD", "0.75"))
_DEFAULT_MODEL = os.environ.get("TURNSTONE_ANOMALY_MODEL", "")
_DEFAULT_DEVICE = os.environ.get("TURNSTONE_ANOMALY_DEVICE", "cpu")
_DEFAULT_BATCH = int(os.environ.get("TURNSTONE_ANOMALY_BATCH", "256"))

# The extension's bounds; a batch decides what is committed together, and nothing else.
_MOST_IN_A_BATCH = 65_536
_LOCK_TIMEOUT_S = 30.0

_UNSCORED = "SELECT source_id, text, timestamp_iso FROM log_entries WHERE anomaly_scored_at IS NULL LIMIT 0"
_TOTALS = "SELECT value FROM anomaly_status() WHERE key IN ('scored', 'inserted_detections') ORDER BY key DESC"
_OF_TENANT = "(tenant_id = ? OR tenant_id = '')"


@dataclass
class ScoringResult:
    """What a call of `score_unscored` came to."""

    scored: int = 0
    detections: int = 0
    skipped: bool = False
    error: str | None = None


class _Keeper:
    """Keeps the model of the last call: the connections of a process share it, and it goes with the last of them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[str, str] | None = None
        self._connection: sqlite3.Connection | None = None

    def keep(self, model_id: str, device: str) -> None:
        """Loads a model, unless it is the one that is kept."""
        with self._lock:
            if self._kept == (model_id, device):
                return
            self._drop()
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            try:
                _configure(connection, model_id, device)
                connection.execute("SELECT anomaly_label('')").fetchall()
            except BaseException:
                connection.close()
                raise
            self._kept, self._connection = (model_id, device), connection

    def drop(self) -> None:
        """Lets go of the model."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._kept = self._connection = None


_keeper = _Keeper()


def reset_pipeline() -> None:
    """Lets go of the model; the next call loads it anew."""
    _keeper.drop()


def score_unscored(
    db_path: Path,
    model_id: str = _DEFAULT_MODEL,
    device: str = _DEFAULT_DEVICE,
    batch_size: int = _DEFAULT_BATCH,
    threshold: float = _DEFAULT_THRESHOLD,
) -> ScoringResult:
    """Scores all log_entries that are not scored yet; does nothing, and says `skipped`, where model_id is empty.

    A model that cannot be loaded or fails is told in `error`; an error of the database is raised.
    """
    if not model_id:
        return ScoringResult(skipped=True)
    try:
        _keeper.keep(model_id, device)
    except (SqliteAnomalyError, sqlite3.Error) as error:
        logger.error("Failed to load anomaly model %r: %s", model_id, error)
        return ScoringResult(error=str(error))
    with closing(sqlite3.connect(db_path, isolation_level=None)) as connection:
        _configure(connection, model_id, device)
        # Tables that are missing are an error of the database, as they always were.
        connection.execute(_UNSCORED).fetchall()
        return _score(connection, min(batch_size, _MOST_IN_A_BATCH), threshold)


def _score(connection: sqlite3.Connection, batch: int, threshold: float) -> ScoringResult:
    try:
        result = score_pending(connection, batch=batch, threshold=threshold)
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        logger.error("Inference error: %s", error)
        (scored,), (detections,) = connection.execute(_TOTALS).fetchall()
        return ScoringResult(scored, detections, error=str(error))
    if result.failed:
        logger.warning("%d entries could not be scored: %s", result.failed, result.error)
    logger.info("Scored %d entries, %d detections (threshold=%.2f)", result.scored, result.detections, threshold)
    return ScoringResult(result.scored, result.detections)


def list_detections(
    db_path: Path,
    limit: int = 100,
    unacked_only: bool = False,
    label: str | None = None,
    scorer: str | None = None,
) -> list[dict[str, Any]]:
    """The detections of the tenant and of none, newest first, with all columns that the table has."""
    conditions, parameters = [_OF_TENANT], [resolve_tenant_id()]
    if unacked_only:
        conditions.append("acknowledged = 0")
    for column, value in [("anomaly_label", label and label.upper()), ("scorer", scorer and scorer.lower())]:
        if value:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    sql = f"SELECT * FROM detections WHERE {' AND '.join(conditions)} ORDER BY detected_at DESC LIMIT ?"
    with _open(db_path) as connection:
        return [dict(row) for row in connection.execute(sql, (*parameters, limit))]


def acknowledge_detection(db_path: Path, detection_id: str, notes: str = "") -> bool:
    """Marks a detection as acknowledged; false where the tenant has none of that id."""
    sql = f"UPDATE detections SET acknowledged = 1, acknowledged_at = ?, notes = ? WHERE id = ? AND {_OF_TENANT}"
    with _open(db_path) as connection:
        parameters = (datetime.now(UTC).isoformat(), notes, detection_id, resolve_tenant_id())
        return connection.execute(sql, parameters).rowcount > 0


def resolve_tenant_id() -> str:
    """The tenant whose rows are scored and listed, beside those of none."""
    return os.environ.get("TURNSTONE_TENANT_ID", "")


@contextmanager
def _open(db_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without the extension: to list and acknowledge is plain SQL, and works in every Python."""
    with closing(sqlite3.connect(db_path, timeout=_LOCK_TIMEOUT_S, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def _configure(connection: sqlite3.Connection, model_id: str, device: str) -> None:
    load(connection)
    for key, value in [("model", model_id), ("device", device), ("tenant_id", resolve_tenant_id())]:
        connection.execute("SELECT anomaly_config(?, ?)", (key, value)).fetchall()
