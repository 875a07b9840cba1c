"""Scoring everything that is pending, with its progress shown where that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

BATCHES = """
SELECT batch, scored, detections, failed, skipped, remaining, elapsed_ms, error FROM anomaly_score_pending(?, ?)
"""
PENDING = "SELECT value FROM anomaly_status() WHERE key = 'pending_entries'"


@dataclass(frozen=True)
class ScoringResult:
    """What a run came to."""

    batches: int = 0
    scored: int = 0
    detections: int = 0
    failed: int = 0
    """Entries that could not be scored; they are marked as scored, without a score."""
    skipped: bool = False
    """Whether nothing was done because no model is configured."""
    remaining: int = 0
    """Entries that are still pending, where the run ended early."""
    elapsed_ms: int = 0
    error: str | None = None
    """Why the first of the failed entries failed, or why the run ended early."""


def score_pending(
    connection: Any, *, batch: int | None = None, threshold: float | None = None, progress: bool = False
) -> ScoringResult:
    """Scores every pending entry; `load()` must have loaded the extension.

    Each batch is committed by itself, unless the connection is in a transaction. With `progress` a bar shows how far it
    has come; SQLite then holds its read lock from the first batch to the last, so use it where nobody else writes.
    """
    if progress:
        return _score_visibly(connection, batch, threshold)
    ((answer,),) = connection.execute("SELECT anomaly_score_all(?, ?)", (batch, threshold)).fetchall()
    return _from_totals(json.loads(answer))


def _from_totals(totals: dict[str, Any]) -> ScoringResult:
    return ScoringResult(**totals | {"skipped": bool(totals["skipped"])})


def _score_visibly(connection: Any, batch: int | None, threshold: float | None) -> ScoringResult:
    ((pending,),) = connection.execute(PENDING).fetchall()
    total = ScoringResult()
    with tqdm(total=pending, unit=" entries") as bar:
        for step in _batches(connection, batch, threshold):
            bar.update(step.scored + step.failed)
            total = _sum(total, step)
            bar.set_postfix(detections=total.detections, refresh=False)
    return total


def _batches(connection: Any, batch: int | None, threshold: float | None) -> Iterator[ScoringResult]:
    """What each batch came to. A commit of another connection can end a statement early; the next one goes on."""
    while True:
        progressed = False
        for row in connection.execute(BATCHES, (batch, threshold)):
            step = _from_row(row)
            if progressed and step.remaining and not step.scored + step.failed:
                break
            progressed = True
            yield step
        else:
            return


def _from_row(row: tuple[Any, ...]) -> ScoringResult:
    number, scored, detections, failed, skipped, remaining, elapsed_ms, error = row
    return ScoringResult(min(number, 1), scored, detections, failed, bool(skipped), remaining, elapsed_ms, error)


def _sum(total: ScoringResult, step: ScoringResult) -> ScoringResult:
    return replace(
        step,
        batches=total.batches + step.batches,
        scored=total.scored + step.scored,
        detections=total.detections + step.detections,
        failed=total.failed + step.failed,
        elapsed_ms=total.elapsed_ms + step.elapsed_ms,
        error=total.error or step.error,
    )
