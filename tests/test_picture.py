"""The README's picture of the demo shows what the demo prints."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import DIST, ROOT

PICTURE = ROOT / "docs" / "demo.svg"
SVG = "{http://www.w3.org/2000/svg}"


def pictured() -> list[str]:
    """The lines of text in the picture."""
    return ["".join(text.itertext()) for text in ElementTree.parse(PICTURE).iter(f"{SVG}text")]


def settled(line: str) -> str:
    """A line without what differs from run to run and from machine to machine."""
    return re.sub(r" +\d+ ms|(?<=  )\d\.\d\d(?=  )|(?<=^sqlite-anomaly ).*", "#", line)


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> list[str]:
    """What the demo prints."""
    folder: Path = tmp_path_factory.mktemp("demo")
    (folder / "dist").symlink_to(DIST)
    (folder / "sql").symlink_to(ROOT / "sql")
    with (ROOT / "sql" / "demo" / "demo.sql").open() as script:
        done = subprocess.run(["sqlite3", ":memory:"], stdin=script, cwd=folder, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_every_line_of_it_is_a_line_of_the_demo_in_the_same_order(printed):
    assert pictured()[0] == "$ make demo"
    left = iter([settled(line) for line in printed])
    for line in [settled(line) for line in pictured()[1:-2] if not line.startswith("…")]:
        begun, cut, _ = line.partition("…")
        assert any(said.startswith(begun) if cut else said == line for said in left), (
            f"the demo does not print {line!r}"
        )


def test_it_ends_with_the_demo_s_own_count_and_tells_how_many_it_leaves_out(printed):
    (summary,) = [line for line in printed if " lines are detections: " in line]
    assert " ".join(pictured()[-2:]) == summary
    shown = sum(bool(re.match(r"\d\d:\d\d:\d\d ", line)) for line in pictured())
    (left_out,) = [int(found[1]) for line in pictured() if (found := re.fullmatch(r"… and (\d+) more", line))]
    assert shown and shown + left_out == int(summary.split(maxsplit=1)[0])


def test_it_is_small_has_a_name_and_loads_nothing():
    drawn = PICTURE.read_text(encoding="utf-8")
    assert len(drawn) < 60_000
    assert "prefers-color-scheme: dark" in drawn
    assert not re.search(r"href|url\(|@import|@font-face|<script", drawn)
    root = ElementTree.fromstring(drawn)
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.get("id")}
    assert all(named[name] for name in root.get("aria-labelledby").split())
