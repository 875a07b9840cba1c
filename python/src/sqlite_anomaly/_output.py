"""What the command prints: tables and colours in a terminal, tab-separated lines elsewhere, JSON lines when asked to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

SEVERITY_STYLES = {"CRITICAL": "bold red", "ERROR": "red", "WARN": "yellow", "INFO": "green", "DEBUG": "dim"}
DETECTION_COLUMNS = ["detected_at", "severity", "anomaly_label", "anomaly_score", "source_id", "text", "id"]


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it who wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def one_line(value: object) -> str:
    """A value as it can be shown: what a log says must not steer the terminal, nor break a line or a column."""
    if value is None:
        return ""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


class Output:
    """Where the command prints to."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_rich = not as_json and is_terminal(sys.stdout)
        self._console = Console(highlight=False, markup=False, emoji=False)

    def record(self, record: Mapping[str, Any], sentence: str) -> None:
        """One result: as JSON, or in words."""
        print(json.dumps(record) if self.as_json else sentence, flush=True)

    def detections(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A list of detections."""
        if not self.is_rich:
            if not self.as_json:
                print("\t".join(DETECTION_COLUMNS))
            self.detection_lines(rows)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("detected", "severity", "label", "score", "source"):
            table.add_column(heading, no_wrap=True)
        table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("id", no_wrap=True)
        for row in rows:
            cells = [Text(one_line(row[column])) for column in DETECTION_COLUMNS]
            cells[0].truncate(19)
            cells[1].stylize(_style(row))
            table.add_row(*cells, style="dim" if row["acknowledged"] else "")
        self._console.print(table)

    def detection_lines(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Detections as they come, a line each."""
        for row in rows:
            if self.as_json:
                print(json.dumps(row), flush=True)
            elif self.is_rich:
                when, severity, label, score, source, text, _ = (one_line(row[column]) for column in DETECTION_COLUMNS)
                line = Text.assemble((when[11:19], "dim"), " ", (f"{severity:8}", _style(row)), f" {label} {score} ")
                line.append(f"{source} {text}" if source else text)
                self._console.print(line, no_wrap=True, overflow="ellipsis")
            else:
                print("\t".join(one_line(row[column]) for column in DETECTION_COLUMNS), flush=True)

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
            self._console.print(line)
        else:
            print(line.plain, flush=True)


def _style(row: Mapping[str, Any]) -> str:
    return SEVERITY_STYLES.get(str(row["severity"]), "")
