"""The queries that the package carries, as Datasette's canned queries."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import Any

# A parameter, or a comment or text that may hold what looks like one.
TOKEN = re.compile(r"--[^\n]*|'[^']*'|\"[^\"]*\"|(?P<parameter>:\w+)")


@cache
def queries() -> dict[str, dict[str, Any]]:
    """Each file of `sqlite_anomaly/queries`: its name, and its title, description and SQL."""
    folder = files("sqlite_anomaly") / "queries"
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")] if folder.is_dir() else []
    return {
        file.name.removesuffix(".sql"): query(file.read_text("utf-8")) for file in sorted(found, key=attrgetter("name"))
    }


def query(text: str) -> dict[str, Any]:
    """A file's first comment is its title, those right below are its description."""
    lines = text.splitlines()
    count = next((index for index, line in enumerate(lines) if not line.startswith("--")), len(lines))
    title, *description = (line.removeprefix("--").strip() for line in lines[:count])
    return {
        "title": title,
        "description": "\n".join(description),
        "sql": TOKEN.sub(_empty_as_null, "\n".join(lines[count:])).strip(),
        "hide_sql": True,
    }


def _empty_as_null(token: re.Match[str]) -> str:
    """Datasette gives a parameter that was left empty as a text; the queries take NULL for their default."""
    return f"nullif({token[0]}, '')" if token["parameter"] else token[0]
