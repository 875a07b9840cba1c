"""Finding the extension and loading it into a connection."""

from __future__ import annotations

import sys
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from sqlite_anomaly._drivers import MODULES
from sqlite_anomaly.errors import AsynchronousConnection, ExtensionLoadingUnavailable, ExtensionMissing

SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")


def loadable_path() -> str:
    """The path of the extension, without its suffix, as SQLite takes it."""
    path = Path(__file__).resolve().with_name("anomaly0")
    file = path.with_suffix(SUFFIX)
    if not file.is_file():
        raise ExtensionMissing(str(file))
    return str(path)


def load(connection: Any, *, model: str | None = None) -> None:
    """Loads the extension into a connection of sqlite3, pysqlite3 or apsw.

    `model` configures one, too: "bundled" is the one that comes with this package, a folder or a hub id names another.
    The loading of extensions is allowed for that moment only.
    """
    if _is_asynchronous(connection):
        raise AsynchronousConnection(type(connection))
    enable = getattr(connection, "enable_load_extension", None)
    if enable is None:
        if not _is_of_a_driver(type(connection)):
            raise TypeError(f"give an open connection of sqlite3, pysqlite3 or apsw, not {type(connection).__name__}")
        raise ExtensionLoadingUnavailable(type(connection).__module__)
    path = loadable_path()
    enable(True)
    try:
        connection.load_extension(path)
    finally:
        enable(False)
    if model is not None:
        connection.execute("SELECT anomaly_config('model', ?)", (model,)).fetchall()


def _is_asynchronous(connection: Any) -> bool:
    """Whether it is aiosqlite's, SQLAlchemy's of one, or apsw's."""
    enable = getattr(connection, "enable_load_extension", None)
    return iscoroutinefunction(enable) or hasattr(connection, "run_async") or getattr(connection, "is_async", False)


def _is_of_a_driver(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] in MODULES for base in kind.__mro__)
