"""The README's catalogue of errors is complete: every error that the source can make has its line there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from conftest import ROOT

CALL = re.compile(r"(?<!ort::)Error::(?:argument|model|new)\s*\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
# What only a defect of the extension, or a host that breaks SQLite's own rules, can bring about.
DEFECTS = "a defect in sqlite-anomaly"


def sources() -> Iterator[tuple[str, str]]:
    """Each source file's name and text, without its unit tests."""
    for path in sorted((ROOT / "src").rglob("*.rs")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]


def argument_of(source: str, start: int) -> str:
    """What stands between the parenthesis at `start` and the one that closes it."""
    depth, position = 0, start
    while True:
        character = source[position]
        if character == '"':
            position = LITERAL.match(source, position).end() - 1
        depth += (character in "([{") - (character in ")]}")
        position += 1
        if depth == 0:
            return source[start + 1 : position - 1]


def texts() -> dict[str, str]:
    """The longest literal of every error that is made in the source, by its place; what varies is an ellipsis."""
    found = {}
    for name, source in sources():
        for call in CALL.finditer(source):
            literals = LITERAL.findall(argument_of(source, call.end() - 1))
            text = max((re.sub(r"\\\n\s*", "", literal) for literal in literals), key=len, default="")
            # Where the text is put together elsewhere, that place has the words.
            if re.search(r"[a-z]{3}", PLACEHOLDER.sub("", text)):
                found[f"{name}:{source[: call.start()].count(chr(10)) + 1}"] = PLACEHOLDER.sub("…", text)
    return found


def catalogue() -> list[re.Pattern[str]]:
    """The errors of the README's table, as patterns; an ellipsis stands for anything."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Errors\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \| ", section, re.MULTILINE)
    entries = [entry for cell in cells for entry in re.findall(r"`([^`]+)`", cell)]
    return [re.compile(".*".join(map(re.escape, entry.split("…")))) for entry in entries]


TEXTS, CATALOGUE = texts(), catalogue()


@pytest.mark.parametrize("place", TEXTS)
def test_every_error_has_its_line_in_the_readme(place):
    text = TEXTS[place]
    assert DEFECTS in text or [entry for entry in CATALOGUE if entry.search(text)], text


def test_the_source_was_read():
    assert len(TEXTS) > 30 and len(CATALOGUE) > 20
