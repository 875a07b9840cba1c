"""What the tests share: the built extension, an SQLite that can load it, and small models with known answers.

The tests run against `dist/` as `make dist` assembles it; ANOMALY_DIST names another folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DIST = Path(os.environ.get("ANOMALY_DIST", ROOT / "dist")).resolve()
EXTENSION = DIST / "anomaly0"
MODELS = ROOT / "tests" / "models"
SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")

# A job in the background may have been started to ignore Ctrl-C; what the tests start and interrupt must not inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Settings of the caller's shell must not reach the tests.
for name in [name for name in os.environ if name.startswith("TURNSTONE_") or name == "ORT_DYLIB_PATH"]:
    del os.environ[name]


def sqlite_module():
    """The standard library's sqlite3 where it can load extensions, else the one of pysqlite3-binary."""
    import sqlite3

    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return sqlite3
    import pysqlite3

    return pysqlite3


SQLITE = sqlite_module()


def connect(path: str | Path = ":memory:", *, extension: Path = EXTENSION, **options):
    """Opens a database in autocommit mode with the extension loaded."""
    connection = SQLITE.connect(str(path), isolation_level=None, **options)
    connection.enable_load_extension(True)
    connection.load_extension(str(extension))
    return connection


def copy_product(target: Path) -> Path:
    """Copies what `dist/` is made of, without the release files that lie beside it."""
    released = shutil.ignore_patterns("*.tar.gz", "*.zip", "*.whl", "*.tgz", "SHA256SUMS")
    return shutil.copytree(DIST, target, ignore=released)


def one(connection, sql: str, *parameters):
    """The only value of a query."""
    (row,) = connection.execute(sql, parameters).fetchall()
    (value,) = row
    return value


def use_model(connection, name: str) -> None:
    """Configures one of the small models."""
    connection.execute("SELECT anomaly_config('model', ?)", (str(MODELS / name),)).fetchall()


def insert(connection, *texts: object, **columns: object) -> None:
    """Inserts entries named e1, e2, … after those that are there."""
    first = one(connection, "SELECT count(*) FROM log_entries") + 1
    names = ["id", "text", *columns]
    marks = ", ".join("?" for _ in names)
    rows = [(f"e{first + index}", text, *columns.values()) for index, text in enumerate(texts)]
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO log_entries ({', '.join(names)}) VALUES ({marks})", rows)
    connection.execute("COMMIT")


def totals(connection, *arguments: object) -> tuple:
    """Scores everything: (scored, detections, failed)."""
    marks = ", ".join("?" for _ in arguments)
    sql = f"SELECT sum(scored), sum(detections), sum(failed) FROM anomaly_score_pending({marks})"
    return connection.execute(sql, arguments).fetchone()


def status(connection) -> dict:
    """What anomaly_status says."""
    return dict(connection.execute("SELECT * FROM anomaly_status"))


def error_of(connection, sql: str, *parameters) -> str:
    """The text of the error that a statement ends with."""
    with pytest.raises(SQLITE.Error) as caught:
        connection.execute(sql, parameters).fetchall()
    return str(caught.value)


@pytest.fixture(scope="session", autouse=True)
def built_extension() -> None:
    """The tests are about what `make dist` makes."""
    if not EXTENSION.with_suffix(SUFFIX).is_file():
        pytest.exit(f"{EXTENSION}{SUFFIX} is missing: run make dist", returncode=2)


@pytest.fixture
def db():
    """An in-memory database with the tables made and the model `levels` configured."""
    connection = connect()
    use_model(connection, "levels")
    connection.execute("SELECT anomaly_init()").fetchall()
    yield connection
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a database with the tables made."""
    path = tmp_path / "logs.db"
    connection = connect(path)
    connection.execute("SELECT anomaly_init()").fetchall()
    connection.close()
    return path
