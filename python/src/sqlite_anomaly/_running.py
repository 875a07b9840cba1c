"""Runs of the command over all that is pending, which Ctrl-C ends and a progress bar accompanies."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from sqlite_anomaly._scoring import PENDING, ScoringResult, score_pending
from sqlite_anomaly._session import TICK_S, observer, told


def run(connection: Any, tick: Callable[[], None] = lambda: None) -> ScoringResult:
    """Scores what is pending; a thread does, since Python sees Ctrl-C only between two calls of SQLite."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(score_pending, connection)
        try:
            while not wait([future], TICK_S).done:
                tick()
            return future.result()
        finally:
            while not future.done():
                connection.interrupt()
                wait([future], TICK_S)


def run_visibly(connection: Any, options: Namespace) -> ScoringResult:
    """The same with a progress bar: another connection sees what is committed."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with observer(options) as onlooker, Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scoring", total=None)

        def tick() -> None:
            pending = told(onlooker, PENDING)
            if pending is not None:
                total = progress.tasks[task].total or pending
                progress.update(task, total=total, completed=total - pending)

        tick()
        return run(connection, tick)
