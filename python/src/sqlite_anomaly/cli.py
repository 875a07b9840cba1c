"""The command `sqlite-anomaly`."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import sys
import time
from argparse import ArgumentParser as Parser
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from sqlite_anomaly._doctor import examine, obstacle, variable_remedy
from sqlite_anomaly._drivers import able_driver, driver_errors, is_busy, transaction
from sqlite_anomaly._loading import load
from sqlite_anomaly._logfile import import_file
from sqlite_anomaly._output import Output, is_terminal, one_line
from sqlite_anomaly._scoring import PENDING, ScoringResult, score_pending
from sqlite_anomaly.errors import SqliteAnomalyError

COLUMNS = [
    "id", "tenant_id", "entry_id", "source_id", "anomaly_label", "anomaly_score", "severity", "text", "timestamp_iso",
    "detected_at", "acknowledged", "acknowledged_at", "notes", "scorer",
]  # fmt: skip
LIST = f"SELECT {', '.join(COLUMNS)} FROM anomaly_detections(?, ?, ?, ?)"
LIST_SINCE = f"""
SELECT {", ".join(COLUMNS)} FROM anomaly_detections((SELECT count(*) FROM detections WHERE detected_at >= ?1))
WHERE detected_at >= ?1 ORDER BY detected_at
"""
# An aggregate: a row where there is no such detection, too.
NOTES = "SELECT max(notes) FROM detections WHERE id = ?"
SCORED = "SELECT value FROM anomaly_status WHERE key = 'scored'"
# A detection bears the time before its commit, which may wait as long as another program's busy_timeout_ms (30 s).
OVERLAP = timedelta(seconds=60)
# What the command line calls a setting, and what the extension does.
SETTINGS = {"model": "model", "device": "device", "batch": "batch", "threshold": "threshold", "tenant": "tenant_id"}
# How the extension says a remedy itself, which `doctor` could not better.
REMEDIES = [
    "give 'bundled'", "is called 'bundled'", "allowed is", "anomaly_config('device', 'cpu')",
    "rename it, or keep the logs in another database", "give the view another name",
]  # fmt: skip
Command = Callable[[Namespace, Output], int]
Number = TypeVar("Number", int, float)
TICK_S = 0.2
INTERRUPTED = 128 + signal.SIGINT


class CommandError(SqliteAnomalyError):
    """What cannot be done, and the remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A log may hold what this terminal's encoding has no sign for.
        sys.stdout.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options, Output(as_json=options.json)))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing must be flushed to him at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except SqliteAnomalyError as error:
        return _complain(str(error))
    except driver_errors() as error:
        return _complain(f"{options.database}: {error}", _remedy(str(error), options.database))


def _complain(problem: str, remedy: str = "") -> int:
    for line in (f"sqlite-anomaly: {problem}", remedy and f"remedy: {remedy}"):
        if line:
            print(one_line(line), file=sys.stderr)
    return 1


def _remedy(problem: str, database: Path) -> str:
    if "SELECT anomaly_init() makes what is missing" in problem or "no such table: detections" in problem:
        return f"sqlite-anomaly init {database}"
    if "constraint failed" in problem:
        return "give the columns that are not the extension's a default that the table's constraints permit"
    if any(remedy in problem for remedy in REMEDIES):
        return variable_remedy(problem)
    return f"sqlite-anomaly doctor {database} looks for what is wrong"


def _within(kind: type[Number], low: float, high: float, what: str) -> Callable[[str], Number]:
    """Reads a number of the command line that must be in a range."""

    def read(text: str) -> Number:
        with suppress(ValueError):
            value = kind(text)
            if low <= value <= high:
                return value
        raise ArgumentTypeError(f"cannot be {text!r}: allowed is {what} from {low} to {high}")

    return read


def _path(text: str) -> Path:
    if not text:
        raise ArgumentTypeError("the path is empty: name a file")
    return Path(text)


def _parser() -> Parser:
    parser = Parser(prog="sqlite-anomaly", description="Finds anomalies in logs that are in SQLite.")
    parser.add_argument("--version", action="version", version=version("sqlite-anomaly"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON lines")
    tenant = Parser(add_help=False)
    tenant.add_argument("--tenant", metavar="ID", help="whose rows, beside those of none")
    model = Parser(add_help=False)
    default = os.environ.get("TURNSTONE_ANOMALY_MODEL") or "bundled"
    model.add_argument("--model", default=default, help="'bundled', a folder or a hub id (default: %(default)s)")
    model.add_argument("--device", help="where the model runs: cpu, cuda, … (default: cpu)")
    scoring = Parser(add_help=False)
    share = _within(float, 0, 1, "a number")
    scoring.add_argument("--threshold", type=share, metavar="0…1", help="the lowest score detected (default: 0.75)")
    rows = _within(int, 1, 65536, "a whole number of rows")
    scoring.add_argument("--batch", type=rows, metavar="ROWS", help="rows that are committed together (default: 256)")

    def add(name: str, run: Command, text: str, *parents: Parser, database: str | None = None) -> Parser:
        command = commands.add_parser(name, help=text, description=f"{text}.", parents=[common, *parents])
        command.add_argument("database", metavar="DB", type=_path, nargs=database, help="the file of the database")
        command.set_defaults(run=run)
        return command

    add("init", _init, "Make the tables, or bring them up to date")
    command = add("import", _import, "Insert the lines of log files that are not in it yet", tenant)
    command.add_argument("files", metavar="LOGFILE", type=_path, nargs="+", help="a text file, or a .gz of one")
    command.add_argument("--source", metavar="NAME", help="the source_id of the entries (default: the file's name)")
    add("score", _score, "Score all entries that are pending", model, scoring, tenant)
    command = add("watch", _watch, "Score what arrives and print what is found, until Ctrl-C", model, scoring, tenant)
    seconds = _within(float, 0.1, 86400, "a number of seconds")
    command.add_argument("--interval", type=seconds, default=2.0, metavar="SECONDS", help="between looks (default: 2)")
    command = add("detections", _detections, "List detections, newest first", tenant)
    rows = _within(int, 0, 2**63 - 1, "a whole number of rows")
    command.add_argument("--limit", type=rows, default=100, metavar="ROWS", help="at most so many (default: 100)")
    command.add_argument("--unacked", action="store_true", help="only those that nobody has acknowledged")
    command.add_argument("--label", help="only those of this label")
    command.add_argument("--scorer", help="only those of this scorer")
    command = add("ack", _ack, "Acknowledge a detection", tenant)
    command.add_argument("id", metavar="ID", help="the id of the detection")
    command.add_argument("--notes", help="what is to be remembered of it (default: the notes it has)")
    add("doctor", _doctor, "Look for what is wrong, and say how to mend it", model, tenant, database="?")
    return parser


@contextmanager
def _open(options: Namespace, *, create: bool = False) -> Iterator[Any]:
    """The database with the extension loaded, and with the settings of the command line."""
    path: Path = options.database
    hindrance = obstacle(path, create=create)
    if hindrance:
        raise CommandError(": ".join(hindrance))
    with closing(able_driver().open(path, create=create)) as connection:
        load(connection)
        _configure(connection, options)
        yield connection


def _configure(connection: Any, options: Namespace) -> None:
    for name, key in SETTINGS.items():
        value = getattr(options, name, None)
        if value is not None:
            connection.execute("SELECT anomaly_config(?, ?)", (key, value)).fetchall()


def _one(connection: Any, sql: str, *parameters: object) -> Any:
    ((value,),) = connection.execute(sql, parameters).fetchall()
    return value


def _rows(connection: Any, sql: str, *parameters: object) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in connection.execute(sql, parameters)]


def _init(options: Namespace, output: Output) -> int:
    with _open(options, create=True) as connection:
        changes = _one(connection, "SELECT anomaly_init()")
        output.record({"database": str(options.database), "changes": json.loads(changes)}, changes)
    return 0


def _import(options: Namespace, output: Output) -> int:
    with _open(options, create=True) as connection:
        _one(connection, "SELECT anomaly_init()")
        tenant_id = _one(connection, "SELECT anomaly_config('tenant_id')")
        for path in options.files:
            lines, new = import_file(connection, path, options.source or path.name, tenant_id)
            output.record({"file": str(path), "lines": lines, "new": new}, f"{path}: {lines} lines, {new} of them new")
    return 0


def _score(options: Namespace, output: Output) -> int:
    try:
        with _open(options) as connection:
            if not output.as_json and is_terminal(sys.stderr):
                result = _run_visibly(connection, options)
            else:
                result = _run(connection)
    except KeyboardInterrupt:
        print("interrupted: what was committed stays; run it again for the rest", file=sys.stderr)
        raise
    output.record(dataclasses.asdict(result), _sentence(result))
    return 0


def _sentence(result: ScoringResult) -> str:
    if result.skipped:
        return "skipped: no model is configured"
    failed = f", {result.failed} could not be scored ({result.error})" if result.failed else ""
    return f"{result.scored} entries scored, {result.detections} detections{failed}"


def _run(connection: Any, tick: Callable[[], None] = lambda: None) -> ScoringResult:
    """Scores what is pending; a thread does, since Python sees Ctrl-C only between two calls of SQLite."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        run = pool.submit(score_pending, connection)
        try:
            while not wait([run], TICK_S).done:
                tick()
            return run.result()
        finally:
            while not run.done():
                connection.interrupt()
                wait([run], TICK_S)


def _run_visibly(connection: Any, options: Namespace) -> ScoringResult:
    """The same with a progress bar: another connection sees what is committed."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with _observer(options) as observer, Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scoring", total=None)

        def tick() -> None:
            pending = _told(observer, PENDING)
            if pending is not None:
                total = progress.tasks[task].total or pending
                progress.update(task, total=total, completed=total - pending)

        tick()
        return _run(connection, tick)


@contextmanager
def _observer(options: Namespace) -> Iterator[Any]:
    """Another connection, which sees what is committed."""
    with _open(options) as connection:
        _hurry(connection)
        yield connection


def _hurry(connection: Any) -> None:
    """Lets a connection wait for locks no longer than a tick."""
    connection.execute(f"PRAGMA busy_timeout = {TICK_S * 1000:.0f}").fetchall()


def _told(connection: Any, sql: str) -> Any:
    """A value of `anomaly_status`; `None` where it cannot be told now, as under a lock."""
    with suppress(*driver_errors()):
        return _one(connection, sql)
    return None


class _Lookout:
    """Prints each detection once, soon after it is committed."""

    def __init__(self, observer: Any, output: Output, interval: float) -> None:
        self.detected = 0
        self._interval = interval
        self._due = 0.0
        self._observer = observer
        self._output = output
        self._since = _stamp(datetime.now(UTC))
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
            rows = _rows(self._observer, LIST_SINCE, self._since)
        except driver_errors() as error:
            # The next look sees what a lock hides from this one.
            if is_busy(error):
                return
            raise
        new = [row for row in rows if row["id"] not in self._shown]
        self.detected += len(new)
        self._output.detection_lines(new)
        self._since, self._shown = max(self._since, _stamp(began - OVERLAP)), {row["id"] for row in rows}


def _interrupt_once() -> None:
    """Lets the first Ctrl-C, or a service manager's way to say it, end the watch, and no second one disturb the end."""
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupt(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


def _watch(options: Namespace, output: Output) -> int:
    _interrupt_once()
    with _open(options) as connection, _observer(options) as observer:
        lookout = _Lookout(observer, output, options.interval)
        try:
            while True:
                with _patience():
                    _run(connection, lookout.tick)
                lookout.look()
                time.sleep(options.interval)
        except KeyboardInterrupt:
            lookout.look()
            _hurry(connection)
            scored = _told(connection, SCORED) or 0
            print(f"stopped: {scored} entries scored, {lookout.detected} detections", file=sys.stderr)
    return 0


@contextmanager
def _patience() -> Iterator[None]:
    """Who watches outlives a long lock of another program's."""
    try:
        yield
    except driver_errors() as error:
        if not is_busy(error):
            raise
        print(one_line(f"sqlite-anomaly: {error}; trying again"), file=sys.stderr, flush=True)


def _stamp(time: datetime) -> str:
    """A time as `detected_at` has it."""
    return time.isoformat(timespec="microseconds")


def _detections(options: Namespace, output: Output) -> int:
    with _open(options) as connection:
        asked = (options.limit, int(options.unacked), options.label, options.scorer)
        output.detections(_rows(connection, LIST, *asked))
    return 0


def _ack(options: Namespace, output: Output) -> int:
    with _open(options) as connection, transaction(connection):
        notes = options.notes if options.notes is not None else _one(connection, NOTES, options.id)
        if not _one(connection, "SELECT anomaly_acknowledge(?, ?)", options.id, notes):
            known = f"sqlite-anomaly detections {options.database} lists what there is"
            raise CommandError(f"there is no detection {options.id} for this tenant: {known}")
    output.record({"id": options.id, "acknowledged": True}, f"acknowledged {options.id}")
    return 0


def _doctor(options: Namespace, output: Output) -> int:
    is_well = True
    for finding in examine(options.database, lambda connection: _configure(connection, options)):
        is_well &= finding.is_ok is True
        output.check(finding.check, finding.is_ok, finding.detail, finding.remedy)
    return int(not is_well)
