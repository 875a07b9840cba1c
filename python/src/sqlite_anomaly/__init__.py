"""Finds anomalies in logs: a Hugging Face text-classification model inside SQLite."""

from __future__ import annotations

from importlib.metadata import version

from sqlite_anomaly._loading import load, loadable_path
from sqlite_anomaly._scoring import ScoringResult, score_pending
from sqlite_anomaly.errors import ExtensionLoadingUnavailable, ExtensionMissing, SqliteAnomalyError

__version__ = version("sqlite-anomaly")

__all__ = [
    "ExtensionLoadingUnavailable",
    "ExtensionMissing",
    "ScoringResult",
    "SqliteAnomalyError",
    "load",
    "loadable_path",
    "score_pending",
]
