"""The pages of the documentation as the tests read them: code blocks, what each shows, and how one is run.

What one statement of an ```sql block shows stands in `-- ` lines right below it; what the others show, or a block of
another kind, in a ```text block below the block. An ellipsis stands for anything: alone on a line for any lines, else
for a part of its line.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from conftest import ROOT

FENCE = re.compile(r"^```(\w*)[ \t]*([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Processors round differently in the last digits.
TOLERANCE = 0.02
REAL = r"(-?\d+\.\d+(?:e-?\d+)?)"
# What differs from run to run, and what a script is told where a person is not.
MASKS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r'(?<="elapsed_ms":)\d+|\b\d+(?= ms\b)'), "N"),
    (re.compile(r" near line \d+"), ""),
    (re.compile(r"[─-]{3,}"), "───"),
    (re.compile(r"[ \t]+"), " "),
]
FAULT = re.compile(r"^(?:\w+ )?(?:Error|error)\b.*|^Traceback .*", re.MULTILINE)
LONGEST = 120  # seconds that one statement or command may take


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the output that the page shows of it."""

    page: str
    language: str
    text: str
    output: str | None = None
    name: str = ""  # what stands behind the language

    @property
    def title(self) -> str:
        """Its first line, which tells it apart from the others of its page."""
        return self.text.split("\n", 1)[0]


def pages() -> list[str]:
    """The pages with blocks that are to be run."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "sql").glob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found]


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    text, found, end = read(page), [], 0
    for fence in FENCE.finditer(text):
        language, name, content = fence.groups()
        if language == "text" and found and found[-1].output is None and not text[end : fence.start()].strip():
            found.append(replace(found.pop(), output=content))
        else:
            found.append(Block(page, language, content, name=name))
        end = fence.end()
    return found


def code(page: str, *languages: str) -> list[str]:
    """The code of a page's blocks in those languages."""
    return [block.text for block in blocks(page) if block.language in languages]


def masked(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, mask in MASKS:
        text = pattern.sub(mask, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def alike(shown: str, printed: str) -> bool:
    """Whether a program printed what a page shows."""
    shown = masked(shown)
    parts = re.split(REAL, shown)
    pattern = "".join(REAL if index % 2 else re.escape(part) for index, part in enumerate(parts))
    pattern = re.sub(r"(?m)^…$", r"[\\s\\S]*", pattern).replace("…", ".*")
    found = re.fullmatch(pattern, masked(printed))
    return found is not None and all(
        abs(float(ours) - float(theirs)) <= TOLERANCE for ours, theirs in zip(parts[1::2], found.groups(), strict=True)
    )


def statements(sql: str) -> Iterator[tuple[str, str | None]]:
    """Each statement or dot command of a block, with what the `-- ` lines right below it show."""
    lines, statement = sql.splitlines(), ""
    while lines:
        line = lines.pop(0)
        statement += f"{line}\n"
        is_command = line.startswith(".") and statement == f"{line}\n"
        if not is_command and not sqlite3.complete_statement(statement):
            continue
        shown = []
        while lines and lines[0].startswith("-- "):
            shown.append(lines.pop(0).removeprefix("-- "))
        yield statement, "\n".join(shown) if shown else None
        statement = ""
    assert not statement.strip(), f"no end of {statement!r}"


class Session:
    """A program that is given source piece by piece, and what it prints for each piece."""

    MARK = "= end of a piece ="

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ask(self, source: str) -> str:
        """Runs a piece."""
        watchdog = threading.Timer(LONGEST, self._process.kill)
        watchdog.start()
        printed = []
        try:
            self._process.stdin.write(source)
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.rstrip("\n") == self.MARK:
                    return "".join(printed)
                printed.append(line)
            raise AssertionError(f"the program ended with:\n{''.join(printed)}\nat:\n{source}")
        finally:
            watchdog.cancel()

    def close(self) -> None:
        """Ends the program."""
        self._process.communicate(timeout=LONGEST)


class Shell(Session):
    """The sqlite3 shell with a database file open."""

    def __init__(self, folder: Path, environment: dict[str, str], database: str) -> None:
        super().__init__(["sqlite3", database], folder, environment)

    def run(self, block: Block) -> None:
        """Runs the statements of a block, and compares what they print with what the page shows."""
        printed = []
        for statement, shown in statements(block.text):
            answer = self.ask(f"{statement}.print {self.MARK}\n")
            if shown is not None:
                compare(statement, shown, answer)
                continue
            printed.append(answer)
            if block.output is None:
                refuse_faults(statement, answer)
        if block.output is not None:
            compare(block.text, block.output, "".join(printed))


class Python(Session):
    """A Python that runs blocks one after the other with the same names."""

    DRIVER = f"""
import json, sys, traceback
names = {{"__name__": "__main__"}}
for line in sys.stdin:
    try:
        exec(compile(json.loads(line), "<block>", "exec"), names)
    except Exception:
        traceback.print_exc(file=sys.stdout)
    print({Session.MARK!r}, flush=True)
"""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__([sys.executable, "-c", self.DRIVER], folder, environment)

    def run(self, block: Block) -> None:
        """Runs a block, and compares what it prints with what the page shows."""
        answer = self.ask(json.dumps(block.text) + "\n")
        refuse_faults(block.text, answer)
        if block.output is not None:
            compare(block.text, block.output, answer)


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, here-documents and continued lines included, with the output below it."""
    for piece in re.split(r"(?m)^\$ ", console)[1:]:
        lines = piece.splitlines()
        command = [lines.pop(0)]
        here = re.search(r"<<'(\w+)'", command[0])
        while lines and (command[-1].endswith("\\") or (here and here[1] not in command)):
            command.append(lines.pop(0))
        yield "\n".join(command), "\n".join(lines)


class Page:
    """What the blocks of one page share: a folder, and in it an sqlite3 shell, a Python and a terminal."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self._folder = folder
        path = [str(ROOT / "tests" / "site"), *filter(None, sys.path)]
        ours = os.environ | {"PYTHONPATH": os.pathsep.join(path), "HOME": str(folder.parent)}
        self._environment = ours if environment is None else environment
        self._shell: Shell | None = None
        self._interpreter: Python | None = None
        self._terminal: Session | None = None

    def run(self, block: Block) -> None:
        """Runs one block."""
        getattr(self, f"_{block.language}")(block)

    def close(self) -> None:
        """Ends the programs."""
        for session in filter(None, (self._shell, self._interpreter, self._terminal)):
            session.close()

    def _sql(self, block: Block) -> None:
        if self._shell is None:
            # What the shell opens for whom the page tells to name no file.
            self._open(":memory:")
        self._shell.run(block)

    def _open(self, database: str) -> None:
        if self._shell is not None:
            self._shell.close()
        self._shell = Shell(self._folder, self._environment, database)

    def _python(self, block: Block) -> None:
        if self._interpreter is None:
            self._interpreter = Python(self._folder, self._environment)
        self._interpreter.run(block)

    def _console(self, block: Block) -> None:
        for command, shown in commands(block.text):
            opened = re.fullmatch(r"sqlite3 (\S+)", command)
            if opened:
                self._open(opened[1])
            else:
                self._command(command, shown or block.output)

    def _cron(self, block: Block) -> None:
        """The command of a crontab line, which stands behind five fields of time."""
        self._command(block.text.split(maxsplit=5)[5], None)

    def _command(self, command: str, shown: str | None) -> None:
        if self._terminal is None:
            self._terminal = Session(["bash"], self._folder, self._environment)
        # The command may not read the commands after it.
        source = f"{{ {command}\n}} < /dev/null || echo Error: exit status $?\n"
        answer = self._terminal.ask(f"{source}echo {Session.MARK}\n")
        if shown is None:
            refuse_faults(command, answer)
        else:
            compare(command, shown, re.sub(r"Error: exit status \d+\n$", "", answer))


def compare(source: str, shown: str, printed: str) -> None:
    """Fails where a program did not print what the page shows."""
    assert alike(shown, printed), f"{source}\nis shown to print\n{shown}\nbut prints\n{printed}"


def refuse_faults(source: str, printed: str) -> None:
    """Fails where a program printed an error that the page does not show."""
    assert not FAULT.search(printed), f"{source}\nprints\n{printed}"
