"""What the command prints: tables and colours in a terminal, tab-separated lines elsewhere, JSON lines when asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

SEVERITY_STYLES = {"CRITICAL": "bold red", "ERROR": "red", "WARN": "yellow", "INFO": "green", "DEBUG": "dim"}
DETECTION_COLUMNS = ["detected_at", "severity", "anomaly_label", "anomaly_score", "source_id", "text", "id"]
# Of a terminal that shows it beside the other columns.
WIDTH_OF_AN_ID = 72


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it. The colours that he may not want (https://no-color.org) are rich's to leave out."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def one_line(value: object) -> str:
    """A value as it can be shown: what a log says must not steer the terminal, nor break a line or a column."""
    if value is None:
        return ""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


def counted(number: int, what: str) -> str:
    """A number of things, named in the singular by their first word."""
    noun, *rest = what.split(" ", 1)
    plural = noun if number == 1 else f"{noun.removesuffix('y')}{'ies' if noun.endswith('y') else 's'}"
    return " ".join([str(number), plural, *rest])


class Output:
    """Where the command prints to."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_rich = not as_json and is_terminal(sys.stdout)
        self._console = Console(highlight=False, markup=False, emoji=False)

    def record(self, record: Mapping[str, Any], sentence: str) -> None:
        """One result: as JSON, or in words."""
        print(json.dumps(record) if self.as_json else one_line(sentence), flush=True)

    def detections(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A list of detections."""
        if not self.is_rich:
            if not self.as_json:
                print("\t".join(DETECTION_COLUMNS))
            self.detection_lines(rows)
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for heading, is_narrow in [("detected", True), ("label", True), ("text, id, source", False)]:
            table.add_column(heading, no_wrap=is_narrow)
        # What does not fit is cut, but for an id, which is to be copied: where it may not fit it is broken.
        cut = {"no_wrap": True, "overflow": "ellipsis"}
        names = cut if self._console.width >= WIDTH_OF_AN_ID else {"overflow": "fold"}
        for row in rows:
            when, severity, label, score, source, text, identifier = _cells(row)
            table.add_row(
                f"{when[:10]}\n{when[11:19]}",
                Text.assemble(label, "\n", (severity, _style(row)), f" {score}"),
                Group(Text(text, **cut), Text(f"{identifier}  {source}", "dim", **names)),
                style="dim" if row["acknowledged"] else "",
            )
        self._console.print(table)

    def detection_lines(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Detections as they come, a line each."""
        for row in rows:
            if self.as_json:
                print(json.dumps(row), flush=True)
            elif self.is_rich:
                when, severity, label, score, source, text, _ = _cells(row)
                line = Text.assemble((when[11:19], "dim"), " ", (f"{severity:8}", _style(row)), f" {label} {score} ")
                self._console.print(line.append(f"{source} {text}"), no_wrap=True, overflow="ellipsis")
            else:
                print("\t".join(_cells(row)), flush=True)

    def check(self, name: str, is_ok: bool | None, detail: str, remedy: str) -> None:
        """One finding of the doctor; `None` is for what could not be looked at."""
        if self.as_json:
            print(json.dumps({"check": name, "ok": is_ok, "detail": detail, "remedy": remedy}), flush=True)
            return
        verdict, style = {True: ("ok", "green"), False: ("WRONG", "bold red"), None: ("not checked", "dim")}[is_ok]
        line = Text.assemble((verdict, style if self.is_rich else ""), f"  {name}: {one_line(detail)}")
        self._print(line)
        if remedy:
            self._print(Text(f"    remedy: {one_line(remedy)}"))

    def _print(self, line: Text) -> None:
        if self.is_rich:
            self._console.print(line, soft_wrap=True)
        else:
            print(line.plain, flush=True)


def _cells(row: Mapping[str, Any]) -> list[str]:
    """What is shown of a detection, in the order of `DETECTION_COLUMNS`."""
    return [one_line(row[column]) for column in DETECTION_COLUMNS]


def _style(row: Mapping[str, Any]) -> str:
    return SEVERITY_STYLES.get(str(row["severity"]), "")
