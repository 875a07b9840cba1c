"""What this package raises itself; errors of SQL are those of the driver."""

from __future__ import annotations

# By its file: no package index need have it.
REINSTALL = "pip install --force-reinstall --no-deps sqlite_anomaly-*.whl, the file of its wheel"


class SqliteAnomalyError(Exception):
    """What this package has to say; its text names the remedy."""


class ExtensionLoadingUnavailable(SqliteAnomalyError):
    """This Python's SQLite module was built without the loading of extensions."""

    def __init__(self, module: str) -> None:
        super().__init__(
            f"the module {module} of this Python was built without the loading of extensions. Any one of these helps: "
            "pip install apsw, and open the database with it; on Linux, pip install pysqlite3-binary, and import "
            "pysqlite3 as sqlite3; or run a Python that has it: Debian's, Ubuntu's, Fedora's, Homebrew's and conda's "
            "do (for pyenv, install Python anew with PYTHON_CONFIGURE_OPTS=--enable-loadable-sqlite-extensions)"
        )


class AsynchronousConnection(SqliteAnomalyError):
    """A connection whose methods must be awaited."""

    def __init__(self, kind: type) -> None:
        super().__init__(
            f"a connection of {kind.__module__} is asynchronous, and load() awaits nothing: load the extension by await "
            "db.enable_load_extension(True), await db.load_extension(sqlite_anomaly.loadable_path()) and await "
            "db.enable_load_extension(False), where db is the connection of aiosqlite or apsw; in SQLAlchemy's event 'connect', "
            "connection.run_async(function) calls an async function of yours with it"
        )


def told_in(program: str, error: Exception) -> str:
    """What a program says of an error that takes pysqlite3 by itself where it can."""
    if isinstance(error, ExtensionLoadingUnavailable):
        return f"{error} ({program} takes pysqlite3 by itself where pysqlite3-binary is installed)"
    return str(error)


class ExtensionMissing(SqliteAnomalyError):
    """The package lacks the file of the extension."""

    def __init__(self, file: str) -> None:
        super().__init__(f"there is no {file}: install the wheel of this platform, {REINSTALL}")
