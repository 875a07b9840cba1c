"""What a connection of Datasette is given, and what the SQL of its visitors may do with it.

Visitors of Datasette write SQL of their own, and that is top-level SQL, which the extension trusts. So an authorizer
denies all its functions but those that only classify. (Datasette's own time limit ends those: before each few texts the
extension lets SQLite call the progress handler.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from datasette.utils.sqlite import sqlite3
from datasette.version import __version__

from sqlite_anomaly import SqliteAnomalyError, load
from sqlite_anomaly.datasette.settings import PLUGIN, Unavailable, settings
from sqlite_anomaly.errors import told_in

PERMITTED_FUNCTIONS = frozenset({"anomaly_classify", "anomaly_label", "anomaly_score", "anomaly_version"})
DENIED_TABLES = frozenset({"anomaly_detections", "anomaly_score_pending", "anomaly_status"})


def prepare(connection: Any, datasette: Any) -> None:
    """Loads the extension with its model, and holds what the connection may do."""
    # The alphas of Datasette 1 set authorizers of their own, and leave none behind.
    if not __version__.startswith("0."):
        raise Unavailable(
            f"{PLUGIN}: this is Datasette {__version__}; the plugin is for 0.65, pip install 'datasette<1'"
        )
    try:
        load(connection, model=settings(datasette)["model"])
    except (SqliteAnomalyError, sqlite3.Error) as error:
        raise _unavailable(error) from error
    connection.set_authorizer(authorize)


def check(datasette: Any) -> None:
    """Asks the model once, so that a broken one is told to the operator and not to visitors."""
    with closing(sqlite3.connect(":memory:")) as connection:
        prepare(connection, datasette)
        try:
            connection.execute("SELECT anomaly_label('ok')").fetchall()
        except sqlite3.Error as error:
            raise _unavailable(error) from error


def authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    """Denies what names files, changes settings, writes, or tells of the machine."""
    if action == sqlite3.SQLITE_FUNCTION:
        is_denied = str(second).startswith("anomaly_") and second not in PERMITTED_FUNCTIONS
    else:
        is_denied = action == sqlite3.SQLITE_READ and first in DENIED_TABLES
    return int(sqlite3.SQLITE_DENY if is_denied else sqlite3.SQLITE_OK)


@contextmanager
def unrestricted(connection: Any) -> Iterator[None]:
    """Lets this plugin's own SQL call any function."""
    connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    try:
        yield
    finally:
        connection.set_authorizer(authorize)


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"{PLUGIN}: {told_in('Datasette', error)}")
