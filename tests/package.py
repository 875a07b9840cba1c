"""The environment that the wheel is installed in, and what runs there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from conftest import MODELS, ROOT

VENV = ROOT / "target" / "package"
SCRIPTS = VENV / ("Scripts" if sys.platform == "win32" else "bin")
PYTHON = SCRIPTS / "python"
COMMAND = SCRIPTS / "sqlite-anomaly"
LEVELS = ["--model", str(MODELS / "levels")]
# Of this model two detections, in entries of the same text.
LOG = "all is ok\nit failed failed\n\nit failed failed\nok\n"
# Nothing here takes a second; a hang must not stop the suite.
PATIENCE = 120

# In a Python whose sqlite3 cannot load extensions, what a program of such a Python would begin with.
SQLITE3 = """
import sqlite3, sys
if not hasattr(sqlite3.Connection, "enable_load_extension"):
    import pysqlite3
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
"""


def require_package() -> None:
    """Fails where the wheel is not installed; nothing of it could be tested then."""
    if not (VENV / ".installed").is_file():
        pytest.fail(f"{VENV} is missing: run make {(VENV / '.installed').relative_to(ROOT)}")


def environment(**changes: str) -> dict[str, str]:
    """The caller's, but for other Python packages, and the changes: that of whatever runs of the package."""
    require_package()
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NO_COLOR", "FORCE_COLOR")}
    return kept | changes


def python(program: str, *arguments: str, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with the package at hand."""
    command = [str(PYTHON), "-c", SQLITE3 + program, *arguments]
    return subprocess.run(
        command, env=environment(**changes), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )


def command(*arguments: object, cwd: Path | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs the command `sqlite-anomaly`."""
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)], env=environment(**changes), cwd=cwd, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=PATIENCE,
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a command that went well."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What a command says that did not."""
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def rows(database: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def logged(folder: Path) -> Path:
    """A file of log lines, to be imported."""
    path = folder / "app.log"
    path.write_text(LOG, encoding="utf-8")
    return path


def imported(log: Path) -> Path:
    """A database beside a log, with its lines in it."""
    path = log.with_name("logs.db")
    said(command("import", path, log))
    return path
