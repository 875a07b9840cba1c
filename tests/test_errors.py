"""The catalogue of errors in the README is complete: every error that the source can make has its line there, and so has
every error of SQLite's for which the source has a remedy. (test_reference.py compares the result codes.)"""

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


def calls() -> Iterator[tuple[str, str, str]]:
    """Every error that is made in the source: its place, its call with the arguments, and their longest literal; what
    varies is an ellipsis."""
    for name, source in sources():
        for call in CALL.finditer(source):
            arguments = argument_of(source, call.end() - 1)
            literals = (re.sub(r"\\\n\s*", "", literal) for literal in LITERAL.findall(arguments))
            text = max(literals, key=len, default="")
            # Where the text is put together elsewhere, that place has the words.
            if re.search(r"[a-z]{3}", PLACEHOLDER.sub("", text)):
                place = f"{name}:{source[: call.start()].count(chr(10)) + 1}"
                yield place, call[0] + arguments, PLACEHOLDER.sub("…", text)


def kind_of(place: str, call: str) -> str | None:
    """The SQLite result code of an error, as the catalogue names it; `None` where it is SQLite's own."""
    # Whatever code an entry point gives, SQLite says of the loading that it failed.
    if place.startswith(("src/sqlite/entry.rs", "src/sqlite/location.rs", "src/sqlite/function.rs")):
        return "SQLITE_ERROR of loading"
    if "Kind::Internal" in call:
        return "SQLITE_INTERNAL"
    if "Kind::Database" in call:
        named = re.search(r"Kind::Database\((?:\w+::)*(SQLITE_\w+)\)", call)
        return named[1] if named else None
    return "SQLITE_ERROR"


def remedies() -> tuple[set[str], list[str]]:
    """The result codes of SQLite's for which there is a remedy, and the words that tell others of its errors apart."""
    source = (ROOT / "src" / "db" / "mod.rs").read_text(encoding="utf-8")
    by_code, by_text = (source.split(f"fn {name}(")[1].split("\n}")[0] for name in ("remedy", "remedy_by_text"))
    return set(re.findall(r"^ +ffi::(SQLITE_\w+)", by_code, re.MULTILINE)), re.findall(
        r'\("([^"]+)", [A-Z]+\)', by_text
    )


def catalogue() -> list[tuple[re.Pattern[str], str]]:
    """The errors of the table, as patterns where an ellipsis stands for anything, each with its result codes."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Errors\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| ", section, re.MULTILINE)
    entries = [(entry, codes.replace("`", "")) for cell, codes in rows for entry in re.findall(r"`([^`]+)`", cell)]
    return [(re.compile(".*".join(map(re.escape, entry.split("…")))), code) for entry, code in entries]


TEXTS = {place: text for place, _, text in calls()}
KINDS = {place: kind for place, call, _ in calls() if (kind := kind_of(place, call))}
CATALOGUE = catalogue()


CODES, WORDS = remedies()


@pytest.mark.parametrize("place", TEXTS)
def test_every_error_has_its_line_in_the_catalogue(place):
    text = TEXTS[place]
    assert DEFECTS in text or any(entry.search(text) for entry, _ in CATALOGUE), text


def test_every_result_code_with_a_remedy_has_a_line():
    assert {code for _, codes in CATALOGUE for code in re.findall(r"SQLITE_\w+", codes)} >= CODES


@pytest.mark.parametrize("words", WORDS)
def test_every_error_of_sqlite_with_a_remedy_has_a_line(words):
    assert "SQLITE_ERROR" in {codes for entry, codes in CATALOGUE if entry.search(f"… {words} …")}


def test_the_source_was_read():
    assert len(TEXTS) > 30 and len(KINDS) > 30 and len(CATALOGUE) > 20 and len(CODES) > 10 and len(WORDS) > 5
