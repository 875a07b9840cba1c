"""The command `sqlite-anomaly`."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import sys
from argparse import ArgumentParser as Parser
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from sqlite_anomaly._doctor import examine, variable_remedy
from sqlite_anomaly._drivers import driver_errors, transaction
from sqlite_anomaly._listing import kinds, newest
from sqlite_anomaly._logfile import import_file
from sqlite_anomaly._output import Output, counted, is_terminal, one_line
from sqlite_anomaly._running import run, run_visibly
from sqlite_anomaly._scoring import ScoringResult
from sqlite_anomaly._session import CommandError, configure, open_database, value_of
from sqlite_anomaly._textfile import NotText
from sqlite_anomaly._watching import watch
from sqlite_anomaly.errors import SqliteAnomalyError

# An aggregate: a row where there is no such detection, too.
NOTES = "SELECT max(notes) FROM detections WHERE id = ?"
# How the extension says a remedy itself, which `doctor` could not better.
# Who has what a run of this tenant leaves.
OTHERS = """
SELECT tenant_id, count(*) FROM log_entries
WHERE anomaly_scored_at IS NULL AND tenant_id NOT IN ('', anomaly_config('tenant_id')) GROUP BY tenant_id ORDER BY 1
"""
REMEDIES = [
    "give 'bundled'", "is called 'bundled'", "allowed is", "anomaly_config('device', 'cpu')",
    "rename it, or keep the logs in another database", "give the view another name",
]  # fmt: skip
Command = Callable[[Namespace, Output], int]
Number = TypeVar("Number", int, float)
FEW = 5
INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""
    _provide_streams()
    try:
        options = _parser().parse_args(arguments)
        return int(options.run(options, Output(as_json=options.json)))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing must be flushed to him at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(_told(error))
    except SqliteAnomalyError as error:
        return _complain(str(error))
    except driver_errors() as error:
        return _complain(f"{options.database}: {error}", _remedy(str(error), options.database))


def _provide_streams() -> None:
    """Lets everything be printed, also where this process was given no stream, or one that has not every sign."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _complain(problem: str, remedy: str = "") -> int:
    for line in (f"sqlite-anomaly: {problem}", remedy and f"remedy: {remedy}"):
        if line:
            print(one_line(line), file=sys.stderr)
    return 1


def _told(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


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


def _text(text: str) -> str:
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    raise ArgumentTypeError(f"cannot be {text!r}: its bytes are no UTF-8")


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
    tenant.add_argument("--tenant", metavar="ID", type=_text, help="whose rows, beside those of none")
    model = Parser(add_help=False)
    default = os.environ.get("TURNSTONE_ANOMALY_MODEL") or "bundled"
    model.add_argument(
        "--model", default=default, type=_text, help="'bundled', a folder or a hub id (default: %(default)s)"
    )
    model.add_argument("--device", type=_text, help="where the model runs: cpu, cuda, … (default: cpu)")
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
    command.add_argument(
        "files",
        metavar="LOGFILE",
        type=_path,
        nargs="+",
        help="a text file, one compressed by gzip, xz or bzip2, or - for standard input",
    )
    names = "the source_id of the entries (default: the file's name)"
    command.add_argument("--source", metavar="NAME", type=_text, help=names)
    add("score", _score, "Score all entries that are pending", model, scoring, tenant)
    command = add("watch", watch, "Score what arrives and print what is found, until Ctrl-C", model, scoring, tenant)
    seconds = _within(float, 0.1, 86400, "a number of seconds")
    command.add_argument("--interval", type=seconds, default=2.0, metavar="SECONDS", help="between looks (default: 2)")
    command = add("detections", _detections, "List detections, newest first", tenant)
    rows = _within(int, 0, 2**63 - 1, "a whole number of rows")
    command.add_argument("--limit", type=rows, default=100, metavar="ROWS", help="at most so many (default: 100)")
    command.add_argument("--unacked", action="store_true", help="only those that nobody has acknowledged")
    command.add_argument("--label", type=_text, help="only those of this label")
    command.add_argument("--scorer", type=_text, help="only those of this scorer")
    command = add("ack", _ack, "Acknowledge a detection", tenant)
    command.add_argument("id", metavar="ID", type=_text, help="the id of the detection")
    command.add_argument("--notes", type=_text, help="what is to be remembered of it (default: the notes it has)")
    add("doctor", _doctor, "Look for what is wrong, and say how to mend it", model, tenant, database="?")
    return parser


def _init(options: Namespace, output: Output) -> int:
    with open_database(options, create=True) as connection:
        changes = value_of(connection, "SELECT anomaly_init()")
        output.record({"database": str(options.database), "changes": json.loads(changes)}, changes)
    return 0


def _import(options: Namespace, output: Output) -> int:
    with open_database(options, create=True) as connection:
        value_of(connection, "SELECT anomaly_init()")
        tenant_id = value_of(connection, "SELECT anomaly_config('tenant_id')")
        status = 0
        for path in options.files:
            try:
                lines, new = import_file(connection, path, options.source, tenant_id)
            except KeyboardInterrupt:
                print(one_line(f"interrupted: nothing of {path} is in; import it again"), file=sys.stderr)
                raise
            except (OSError, NotText) as error:
                # The others can be read nevertheless.
                status = _complain(_told(error) if isinstance(error, OSError) else str(error))
                continue
            sentence = f"{path}: {counted(lines, 'line')}, {new} of them new"
            output.record({"file": str(path), "lines": lines, "new": new}, sentence)
    return status


def _score(options: Namespace, output: Output) -> int:
    try:
        with open_database(options) as connection:
            if not output.as_json and is_terminal(sys.stderr):
                result = run_visibly(connection, options)
            else:
                result = run(connection)
            if not result.batches:
                _tell_of_others(connection)
    except KeyboardInterrupt:
        print("interrupted: what was committed stays; run it again for the rest", file=sys.stderr)
        raise
    output.record(dataclasses.asdict(result), _sentence(result))
    return 0


def _tell_of_others(connection: Any) -> None:
    """Says what is pending of tenants that were not asked for."""
    pending = connection.execute(OTHERS).fetchall()
    if pending:
        shown = ", ".join(f"{count} of {tenant}" for tenant, count in pending[:FEW]) + (", …" if pending[FEW:] else "")
        remedy = "give --tenant to score those of one"
        print(one_line(f"sqlite-anomaly: entries of other tenants are pending ({shown}): {remedy}"), file=sys.stderr)


def _sentence(result: ScoringResult) -> str:
    if result.skipped:
        return "skipped: no model is configured"
    failed = f", {result.failed} could not be scored ({result.error})" if result.failed else ""
    return f"{counted(result.scored, 'entry scored')}, {counted(result.detections, 'detection')}{failed}"


def _detections(options: Namespace, output: Output) -> int:
    with open_database(options) as connection:
        label, scorer = options.label, options.scorer
        found = newest(connection, options.limit, unacked=options.unacked, label=label, scorer=scorer)
        output.detections(found)
        if not found and (label or scorer):
            known = ", ".join(kinds(connection)) or "none"
            print(one_line(f"sqlite-anomaly: nothing matches; detections there are: {known}"), file=sys.stderr)
    return 0


def _ack(options: Namespace, output: Output) -> int:
    with open_database(options) as connection, transaction(connection):
        notes = options.notes if options.notes is not None else value_of(connection, NOTES, options.id)
        if not value_of(connection, "SELECT anomaly_acknowledge(?, ?)", options.id, notes):
            known = f"sqlite-anomaly detections {options.database} lists what there is"
            raise CommandError(f"there is no detection {options.id} for this tenant: {known}")
    output.record({"id": options.id, "acknowledged": True}, f"acknowledged {options.id}")
    return 0


def _doctor(options: Namespace, output: Output) -> int:
    is_well = True
    for finding in examine(options.database, lambda connection: configure(connection, options)):
        is_well &= finding.is_ok is True
        output.check(finding.check, finding.is_ok, finding.detail, finding.remedy)
    return int(not is_well)
