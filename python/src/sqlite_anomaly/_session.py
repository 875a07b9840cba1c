"""The command's way to its database: opened, with the extension loaded and the settings of the command line."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlite_anomaly._doctor import obstacle
from sqlite_anomaly._drivers import able_driver, driver_errors
from sqlite_anomaly._loading import load
from sqlite_anomaly.errors import SqliteAnomalyError

# What the command line calls a setting, and what the extension does.
SETTINGS = {"model": "model", "device": "device", "batch": "batch", "threshold": "threshold", "tenant": "tenant_id"}
# How often what runs beside the scoring looks, and how long it may wait for a lock.
TICK_S = 0.2


class CommandError(SqliteAnomalyError):
    """What cannot be done, and the remedy."""


@contextmanager
def open_database(options: Namespace, *, create: bool = False) -> Iterator[Any]:
    """The database with the extension loaded, and with the settings of the command line."""
    path: Path = options.database
    hindrance = obstacle(path, create=create)
    if hindrance:
        raise CommandError(": ".join(hindrance))
    with closing(able_driver().open(path, create=create)) as connection:
        load(connection)
        configure(connection, options)
        yield connection


def configure(connection: Any, options: Namespace) -> None:
    for name, key in SETTINGS.items():
        value = getattr(options, name, None)
        if value is not None:
            connection.execute("SELECT anomaly_config(?, ?)", (key, value)).fetchall()


def value_of(connection: Any, sql: str, *parameters: object) -> Any:
    ((value,),) = connection.execute(sql, parameters).fetchall()
    return value


@contextmanager
def observer(options: Namespace) -> Iterator[Any]:
    """Another connection, which sees what is committed."""
    with open_database(options) as connection:
        hurry(connection)
        yield connection


def hurry(connection: Any) -> None:
    """Lets a connection wait for locks no longer than a tick."""
    connection.execute(f"PRAGMA busy_timeout = {TICK_S * 1000:.0f}").fetchall()


def told(connection: Any, sql: str) -> Any:
    """A value of `anomaly_status`; `None` where it cannot be told now, as under a lock."""
    with suppress(*driver_errors()):
        return value_of(connection, sql)
    return None
