"""The SQLite module that the command uses: the first at hand that can load extensions.

Only the command chooses. In a program that has the same file open with another copy of SQLite, closing it would drop
the other's locks (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlite_anomaly.errors import ExtensionLoadingUnavailable

MODULES = ["sqlite3", "pysqlite3", "apsw"]
LOCK_TIMEOUT_MS = 5_000
SQLITE_ERROR, SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_NOTADB = 1, 5, 11, 26


@dataclass(frozen=True)
class Driver:
    """A SQLite module of Python's."""

    module: ModuleType

    @property
    def name(self) -> str:
        """The name that it is imported by."""
        return self.module.__name__

    @property
    def error(self) -> type[Exception]:
        """The class of all its errors."""
        error: type[Exception] = self.module.Error
        return error

    @property
    def loads_extensions(self) -> bool:
        """Whether it was built with the loading of extensions."""
        return hasattr(self.module.Connection, "enable_load_extension")

    def open(self, path: str | Path, *, create: bool = False) -> Any:
        """Opens a database, in autocommit mode, for the use of any thread."""
        uri = f"{Path(path).resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
        if self.name == "apsw":
            flags = self.module.SQLITE_OPEN_URI | self.module.SQLITE_OPEN_READWRITE
            connection = self.module.Connection(uri, flags | (self.module.SQLITE_OPEN_CREATE if create else 0))
        else:
            connection = self.module.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}")
        return connection

    def memory(self) -> Any:
        """Opens an empty database in memory."""
        return self.module.Connection(":memory:")


def is_busy(error: Exception) -> bool:
    """Whether an error of a driver says that another connection holds the lock."""
    return error_code(error) == SQLITE_BUSY


def error_code(error: Exception) -> int:
    """SQLite's primary result code of a driver's error; 0 where it has none."""
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "result", 0)
    return int(code) & 0xFF


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """Does as a whole, or not at all, what stands in it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have done so by itself, as where the disk is full; that is to be told, and not this.
        with suppress(*driver_errors()):
            connection.execute("ROLLBACK")
        raise


def drivers() -> list[Driver]:
    """The modules at hand."""
    found = []
    for name in MODULES:
        try:
            found.append(Driver(import_module(name)))
        except ImportError:
            continue
    return found


def driver_errors() -> tuple[type[Exception], ...]:
    """The classes of all errors of the modules at hand."""
    return tuple(driver.error for driver in drivers())


def able_driver() -> Driver:
    """The first module at hand that can load extensions."""
    at_hand = drivers()
    for driver in at_hand:
        if driver.loads_extensions:
            return driver
    raise ExtensionLoadingUnavailable(", ".join(driver.name for driver in at_hand) or MODULES[0])
