"""The version, which Cargo.toml alone holds, and what CHANGELOG.md says of it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version() -> str:
    """The version of the extension and of every package that holds it."""
    return re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


def notes(changelog: str) -> str:
    """The section of this version, without its heading."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{version()}]"):
            return text.strip()
    sys.exit(f"CHANGELOG.md has no section [{version()}]: rename [Unreleased], and add the day of the release")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", action="store_true", help="print what CHANGELOG.md says of the version")
    wanted = parser.parse_args()
    print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")) if wanted.notes else version())
