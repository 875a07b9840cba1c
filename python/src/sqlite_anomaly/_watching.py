"""Scoring what arrives and telling of what is found, until somebody ends it."""

from __future__ import annotations

import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlite_anomaly._drivers import driver_errors, is_busy
from sqlite_anomaly._listing import since
from sqlite_anomaly._output import Output, counted, one_line
from sqlite_anomaly._running import run
from sqlite_anomaly._session import CommandError, hurry, observer, open_database, told

SCORED = "SELECT value FROM anomaly_status() WHERE key = 'scored'"
# A detection bears the time before its commit, which may wait as long as another program's busy_timeout_ms (30 s).
OVERLAP = timedelta(seconds=60)
# SQLite would go on with a file that nobody else sees.
GONE = "the file of the database was moved or deleted: watch it where it is now"


def watch(options: Namespace, output: Output) -> int:
    """Runs `sqlite-anomaly watch`; gives its exit status."""
    _interrupt_once()
    with open_database(options) as connection, observer(options) as onlooker:
        lookout = Lookout(onlooker, output, options.interval)
        file = _file(options.database)
        try:
            while True:
                if _file(options.database) != file:
                    raise CommandError(f"{options.database}: {GONE}")
                with _patience():
                    run(connection, lookout.tick)
                lookout.look()
                time.sleep(options.interval)
        except KeyboardInterrupt:
            lookout.look()
            hurry(connection)
            scored = told(connection, SCORED) or 0
            sums = f"{counted(scored, 'entry scored')}, {counted(lookout.detected, 'detection')}"
            print(f"stopped: {sums}", file=sys.stderr)
    return 0


class Lookout:
    """Prints each detection once, soon after it is committed."""

    def __init__(self, observer: Any, output: Output, interval: float) -> None:
        self.detected = 0
        self._interval = interval
        self._due = 0.0
        self._observer = observer
        self._output = output
        self._since = stamp(datetime.now(UTC))
        self._shown: set[str] = set()

    def tick(self) -> None:
        """Looks again once the interval is over: a look reads all detections of the overlap."""
        if time.monotonic() >= self._due:
            self.look()
            self._due = time.monotonic() + self._interval

    def look(self) -> None:
        """Prints what is new; a thread does, so that an interrupt comes before it or after it."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(self._look).result()

    def _look(self) -> None:
        began = datetime.now(UTC)
        try:
            rows = since(self._observer, self._since)
        except driver_errors() as error:
            # The next look sees what a lock hides from this one.
            if is_busy(error):
                return
            raise
        new = [row for row in rows if row["id"] not in self._shown]
        self.detected += len(new)
        self._output.detection_lines(new)
        self._since, self._shown = max(self._since, stamp(began - OVERLAP)), {row["id"] for row in rows}


def _file(path: Path) -> tuple[int, int] | None:
    """What tells the file at a path apart from another that takes its place; `None` where there is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _interrupt_once() -> None:
    """Lets the first Ctrl-C, or a service manager's way to say it, end the watch, and no second one disturb the end."""
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupt(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


@contextmanager
def _patience() -> Iterator[None]:
    """Who watches outlives a long lock of another program's."""
    try:
        yield
    except driver_errors() as error:
        if not is_busy(error):
            raise
        print(one_line(f"sqlite-anomaly: {error}; trying again"), file=sys.stderr, flush=True)


def stamp(time: datetime) -> str:
    """A time as `detected_at` has it."""
    return time.isoformat(timespec="microseconds")
