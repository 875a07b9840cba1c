"""Makes a virtual environment with the wheel in dist/ in it, for the tests of the Python package.

It is made with the first Python at hand whose sqlite3 can load extensions; where there is none, the requirements bring
another SQLite module. What was installed before stays as long as the requirements do; the wheel is installed anew.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
PROBE = f"""
import sqlite3, sys
sys.exit(sys.version_info < {OLDEST_PYTHON} or not hasattr(sqlite3.Connection, "enable_load_extension"))
"""


def interpreter() -> str:
    """The Python to make it with."""
    names = ["/usr/bin/python3", *(f"python3.{minor}" for minor in range(OLDEST_PYTHON[1], 20))]
    candidates = [sys.executable, *filter(None, map(shutil.which, names))]
    for candidate in candidates:
        if subprocess.run([candidate, "-c", PROBE], capture_output=True, check=False).returncode == 0:
            return candidate
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("The package needs Python 3.11 or newer: run make with PYTHON=/path/to/one")
    return sys.executable


def make(venv: Path, stamp: str) -> None:
    """Makes an empty environment; the pip that fills it is this Python's, since Debian's venv may have none."""
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", str(venv)], check=True)
    (venv / "requirements").write_text(stamp, encoding="utf-8")


def install(venv: Path, *arguments: str) -> None:
    """Runs pip install."""
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--root-user-action=ignore", *arguments], check=False).returncode != 0:
        sys.exit(f"pip could not install {' '.join(arguments)}: see its message above")


def main() -> None:
    """Reads the command line and makes the environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("--requirement", type=Path, required=True, help="what the tests need beside the package")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    wheels = sorted(options.dist.glob("sqlite_anomaly-*.whl"))
    if len(wheels) != 1:
        sys.exit(f"{options.dist} holds {len(wheels)} wheels where one was expected: run make wheel")
    stamp = hashlib.sha256(options.requirement.read_bytes()).hexdigest()
    noted = options.venv / "requirements"
    if not noted.is_file() or noted.read_text(encoding="utf-8") != stamp:
        make(options.venv, stamp)
        install(options.venv, str(wheels[0]), "--requirement", str(options.requirement))
    else:
        install(options.venv, "--force-reinstall", "--no-deps", str(wheels[0]))


if __name__ == "__main__":
    main()
