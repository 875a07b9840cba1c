"""Writes SHA256SUMS beside the files that a release consists of, as `sha256sum --check` reads it."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

DIST = Path(__file__).resolve().parent.parent / "dist"
RELEASED = ("*.tar.gz", "*.zip", "*.whl", "*.tgz")
"""The archives, the Python wheels and the npm packages."""


def released(folder: Path) -> list[Path]:
    """The release files of a folder, by name."""
    return sorted((path for pattern in RELEASED for path in folder.glob(pattern)), key=lambda path: path.name)


def write_checksums(folder: Path) -> None:
    """Writes the sums of whatever release files are there."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in released(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DIST)
    write_checksums(parser.parse_args().folder)
