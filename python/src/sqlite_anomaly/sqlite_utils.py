"""The sqlite-utils plugin: commands that score and list, and the extension's functions in every command's SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import click
from sqlite_utils import hookimpl
from sqlite_utils.utils import sqlite3

from sqlite_anomaly import SqliteAnomalyError, load, score_pending
from sqlite_anomaly._listing import NEWEST
from sqlite_anomaly._output import counted, one_line
from sqlite_anomaly.errors import told_in

FUNCTIONS = [
    "anomaly_acknowledge",
    "anomaly_classify",
    "anomaly_config",
    "anomaly_init",
    "anomaly_label",
    "anomaly_reset",
    "anomaly_score",
    "anomaly_score_all",
    "anomaly_version",
]
PATH = click.Path(exists=True, dir_okay=False, allow_dash=False)


@hookimpl
def prepare_connection(conn: Any) -> None:
    """Loads the extension. Where that cannot be, its functions say why, and everything else works as ever."""
    try:
        _load(conn, None)
    except (SqliteAnomalyError, sqlite3.Error) as error:
        for name in FUNCTIONS:
            conn.create_function(name, -1, _complaint(error))


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Adds `anomaly-score` and `anomaly-detections`."""
    from sqlite_utils.cli import output_options

    @cli.command()
    @click.argument("path", type=PATH)
    @click.option("--threshold", type=click.FloatRange(0, 1), help="Lowest score of a detection  [default: 0.75]")
    @click.option("--model", help="'bundled', a model's folder, or a hub id  [default: bundled]")
    def anomaly_score(path: str, threshold: float | None, model: str | None) -> None:
        """Score the log entries of PATH that are pending, and insert detections

        The tables are made where they are missing.

        Example:

        \b
            sqlite-utils anomaly-score logs.db --threshold 0.9
        """
        with _errors_told(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            _load(connection, model)
            connection.execute("SELECT anomaly_init()").fetchall()
            result = score_pending(connection, threshold=threshold)
        click.echo(f"{result.scored} scored, {counted(result.detections, 'detection')}, {result.failed} failed")
        if result.error:
            click.echo(one_line(result.error), err=True)

    @cli.command()
    @click.argument("path", type=PATH)
    @click.option("-n", "--most", type=click.IntRange(1), default=100, show_default=True, help="How many, newest first")
    @click.option("--open", "is_open", is_flag=True, help="Only those that nobody has acknowledged")
    @click.option("--label", default="", help="Only those of this label")
    @output_options
    def anomaly_detections(path: str, most: int, is_open: bool, label: str, **output: Any) -> None:
        """List the detections of PATH, newest first, as JSON

        Example:

        \b
            sqlite-utils anomaly-detections logs.db -n 20 --open --table
        """
        with _errors_told(), closing(sqlite3.connect(path)) as connection:
            _load(connection, None)
            # Where the table is missing, the extension says what to do about it.
            connection.execute("SELECT 1 FROM anomaly_detections(0)").fetchall()
        parameters = [("most", str(most)), ("unacked", str(int(is_open))), ("label", label), ("scorer", "")]
        click.get_current_context().invoke(cli.commands["query"], path=path, sql=NEWEST, param=parameters, **output)


def _load(connection: Any, model: str | None) -> None:
    load(connection, model=model or os.environ.get("TURNSTONE_ANOMALY_MODEL") or "bundled")


def _complaint(error: Exception) -> Callable[..., None]:
    """A function that says why it is not what it was meant to be: sqlite3 tells nobody what such a function raises."""

    def complain(*_: Any) -> None:
        click.echo(f"sqlite-anomaly: {_told(error)}", err=True)
        raise error

    return complain


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except (SqliteAnomalyError, sqlite3.Error) as error:
        raise click.ClickException(_told(error)) from error


def _told(error: Exception) -> str:
    return one_line(told_in("sqlite-utils", error))
