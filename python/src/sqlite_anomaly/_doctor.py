"""What `sqlite-anomaly doctor` looks at, in the order in which one thing needs the other."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_anomaly._drivers import (
    SQLITE_BUSY,
    SQLITE_CORRUPT,
    SQLITE_ERROR,
    SQLITE_NOTADB,
    Driver,
    able_driver,
    drivers,
    error_code,
)
from sqlite_anomaly._loading import load, loadable_path
from sqlite_anomaly.errors import REINSTALL, SqliteAnomalyError

OLDEST_SQLITE = (3, 34, 1)
FIRST_TELLTALE_RUNTIME = (1, 29)
LINE = "Failed password for root from 203.0.113.9 port 22 ssh2"
# What scoring reads and writes.
TABLES = {
    "log_entries": "id, tenant_id, source_id, ingest_time, timestamp_iso, text, "
    "anomaly_score, anomaly_label, anomaly_scored_at",
    "detections": "id, tenant_id, entry_id, source_id, anomaly_label, anomaly_score, severity, text, "
    "timestamp_iso, detected_at",
}
OUR_COLUMNS = {*TABLES["log_entries"].split(", "), "severity"}
REMEDIES = {
    SQLITE_BUSY: "wait until another program lets go of it",
    SQLITE_CORRUPT: "PRAGMA integrity_check says what is damaged: restore a copy, or save what can be read with "
    ".recover of the sqlite3 shell",
    SQLITE_NOTADB: "name the file of an SQLite database",
}


@dataclass(frozen=True)
class Finding:
    """What came of one check."""

    check: str
    is_ok: bool | None
    """`None` where it could not be looked at, because of what is wrong before it."""
    detail: str
    remedy: str = ""


def examine(database: Path | None, configure: Callable[[Any], None]) -> Iterator[Finding]:
    """All findings; `configure` makes the settings that were asked for."""
    driver = yield from _driver()
    connection = (yield from _extension(driver)) if driver else None
    if driver and connection is not None:
        yield from _model(driver, connection, configure)
    else:
        for check in ("ONNX Runtime", "model"):
            yield Finding(check, None, "the extension is needed for it")
    if database is not None:
        yield from _database(database, driver or next(iter(drivers()), None), asks_extension=connection is not None)


def obstacle(database: Path, *, create: bool = False) -> tuple[str, str] | None:
    """Why no database can be opened, or made, at a path, and the remedy."""
    if str(database) == ":memory:":
        return ":memory: would be gone when the command ends", "name a file"
    if str(database).startswith("file:"):
        return f"{database} is a URI", "name the file itself, such as logs.db"
    if database.is_dir():
        return f"{database} is a folder", f"name a file, such as {database / 'logs.db'}"
    if not database.parent.is_dir():
        return f"there is no folder {database.parent}", "make it, or name a file in another"
    if database.exists() and not database.is_file():
        return f"{database} is a device or a pipe", "name the file of a database"
    if not create and not database.is_file():
        return f"there is no file {database}", f"sqlite-anomaly init {database} makes it"
    return None


def variable_remedy(problem: str) -> str:
    """What to do where the extension says that an environment variable of its own holds what it cannot be."""
    found = re.search(r"environment variable (TURNSTONE_\w+): ", problem)
    return f"correct the environment variable {found[1]}, or unset it" if found else ""


def _driver() -> Generator[Finding, None, Driver | None]:
    """Python, its SQLite module, and that one's SQLite."""
    python = f"Python {platform.python_version()}"
    try:
        driver = able_driver()
    except SqliteAnomalyError as error:
        what, _, remedy = str(error).partition(". ")
        yield Finding("Python", False, f"{python}: {what}", remedy)
        return None
    others = ", ".join(other.name for other in drivers() if not other.loads_extensions)
    yield Finding("Python", True, f"{python} with {driver.name}{others and f' ({others} cannot load extensions)'}")
    ((version,),) = driver.memory().execute("SELECT sqlite_version()").fetchall()
    if _numbers(version) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        remedy = f"{oldest} or newer is needed: pip install apsw brings one, as does a newer Python"
        yield Finding("SQLite", False, f"version {version} is too old", remedy)
        return None
    yield Finding("SQLite", True, f"version {version}")
    return driver


def _extension(driver: Driver) -> Generator[Finding, None, Any]:
    """The file of the extension, loaded."""
    connection = driver.memory()
    try:
        load(connection)
    except (SqliteAnomalyError, driver.error) as error:
        remedy = variable_remedy(str(error)) or f"install the package again: {REINSTALL}"
        yield Finding("extension", False, str(error), "" if isinstance(error, SqliteAnomalyError) else remedy)
        return None
    ((version,),) = connection.execute("SELECT anomaly_version()").fetchall()
    yield Finding("extension", True, f"version {version}, {loadable_path()}")
    return connection


def _model(driver: Driver, connection: Any, configure: Callable[[Any], None]) -> Iterator[Finding]:
    """ONNX Runtime and the model, by one line that is classified."""
    problem = ""
    try:
        configure(connection)
        ((label, score),) = connection.execute("SELECT label, score FROM anomaly_scores(?) LIMIT 1", (LINE,)).fetchall()
    except driver.error as error:
        problem = str(error)
    status = dict(connection.execute("SELECT key, value FROM anomaly_status()").fetchall())
    library, model = status["onnxruntime_library"], status["model"]
    if library is not None:
        yield _runtime(library)
    elif "ONNX Runtime" in problem:
        remedy = "pip install --force-reinstall 'onnxruntime>=1.24,<1.29' brings it back"
        if os.environ.get("ORT_DYLIB_PATH"):
            remedy = "unset the environment variable ORT_DYLIB_PATH, or name another library in it"
        yield Finding("ONNX Runtime", False, problem, remedy)
        yield Finding("model", None, "ONNX Runtime is needed for it")
        return
    else:
        yield Finding("ONNX Runtime", None, "a model is needed for it")
    if problem:
        yield Finding("model", False, problem, _model_remedy(problem, model))
    else:
        yield Finding("model", True, f"{model} says {label} {score:.2f} of '{LINE}'")


def _model_remedy(problem: str, model: str) -> str:
    if problem.startswith("device "):
        unset = "unset the environment variable TURNSTONE_ANOMALY_DEVICE, or "
        return f"{unset if os.environ.get('TURNSTONE_ANOMALY_DEVICE') else ''}give --device cpu"
    if model == os.environ.get("TURNSTONE_ANOMALY_MODEL"):
        return "unset the environment variable TURNSTONE_ANOMALY_MODEL, or name another in it or with --model"
    return f"name another with --model, or install the package again: {REINSTALL}"


def _runtime(library: str) -> Finding:
    version = _runtime_version(library)
    detail = f"version {version}, {library}"
    if _numbers(version) >= FIRST_TELLTALE_RUNTIME and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        remedy = "pip install 'onnxruntime>=1.24,<1.29', or set the environment variable ORT_DISABLE_TELEMETRY=1"
        return Finding("ONNX Runtime", False, f"{detail}, may send a record of use to its maker", remedy)
    return Finding("ONNX Runtime", True, detail)


def _runtime_version(library: str) -> str:
    """What the library says of itself: it is loaded already."""

    class ApiBase(ctypes.Structure):
        _fields_ = [("get_api", ctypes.c_void_p), ("get_version_string", ctypes.CFUNCTYPE(ctypes.c_char_p))]

    api_base = ctypes.CDLL(library).OrtGetApiBase
    api_base.restype = ctypes.POINTER(ApiBase)
    version: bytes = api_base().contents.get_version_string()
    return version.decode()


def _database(path: Path, driver: Driver | None, *, asks_extension: bool) -> Iterator[Finding]:
    """The database: that it is one, has the tables, and can be written to."""
    if driver is None:
        yield Finding("database", None, "a SQLite is needed for it")
        return
    hindrance = obstacle(path)
    if hindrance:
        yield Finding("database", False, *hindrance)
        return
    try:
        with closing(driver.open(path)) as connection:
            finding = _content(connection, path, driver, asks_extension=asks_extension)
            yield finding
            if finding.is_ok:
                yield from _texts(connection)
    except driver.error as error:
        yield _fault(path, error)


def _content(connection: Any, path: Path, driver: Driver, *, asks_extension: bool) -> Finding:
    try:
        for table, columns in TABLES.items():
            connection.execute(f"SELECT {columns} FROM {table} LIMIT 0").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            connection.execute(f"UPDATE {table} SET id = id WHERE 0")
        connection.execute("ROLLBACK")
        ((entries, pending),) = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE anomaly_scored_at IS NULL) FROM log_entries"
        ).fetchall()
    except driver.error as error:
        refusal = _refusal(connection, driver) if asks_extension and error_code(error) == SQLITE_ERROR else ""
        detail, _, remedy = refusal.removeprefix("anomaly_init(): ").partition("; ")
        if remedy:
            return Finding("database", False, f"{path}: {detail}", remedy)
        return _fault(path, error)
    return Finding("database", True, f"{path}: {entries} entries, {pending} of them to be scored")


def _texts(connection: Any) -> Iterator[Finding]:
    """What cannot be scored for want of a text: all there is, where a table of somebody's keeps it in another column."""
    ((without,),) = connection.execute("SELECT count(*) FROM log_entries WHERE text IS NULL").fetchall()
    if without:
        columns = [
            name for (name,) in connection.execute("SELECT name FROM pragma_table_info('log_entries')").fetchall()
        ]
        others = [name for name in columns if name not in OUR_COLUMNS]
        named = f'"{others[0]}"' if len(others) == 1 else "COLUMN"
        remedy = f"UPDATE log_entries SET text = {named}, anomaly_scored_at = NULL WHERE text IS NULL"
        where = "" if len(others) == 1 else ", with the column that holds the text for COLUMN"
        yield Finding("texts", False, f"{without} entries have no text, and cannot be scored", f"{remedy}{where}")


def _refusal(connection: Any, driver: Driver) -> str:
    """Why anomaly_init() could not mend the tables, else nothing; to close the connection undoes what it did."""
    load(connection)
    try:
        connection.execute("SAVEPOINT trial")
        connection.execute("SELECT anomaly_init()").fetchall()
    except driver.error as error:
        return str(error)
    return ""


def _fault(path: Path, error: Exception) -> Finding:
    code = error_code(error)
    remedy = REMEDIES.get(code, "let this user write to the file and its folder")
    if code == SQLITE_ERROR:
        remedy = f"sqlite-anomaly init {path} makes what is missing"
    return Finding("database", False, f"{path}: {error}", remedy)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
