"""Draws what `make demo` prints as a terminal, for the README: text as text, in the reader's own fonts and colours.

Of the detections the first one of each machine is shown, and how many are left out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "sql" / "demo" / "demo.sql"
DETECTION = re.compile(r"(\d\d:\d\d:\d\d)(  (\S+) +)([A-Z]+_[A-Z]+)( +\d\.\d\d  .*)")
SUMMARY = " lines are detections: "

COLUMNS = 116
COLUMN, ROW, MARGIN, TITLE_BAR = 7.8, 18, 16, 30
# Those of src/severity.rs, by colour.
CLASSES = {
    "SECURITY_ANOMALY": "error",
    "CONFIG_ERROR": "error",
    "SYSTEM_FAILURE": "critical",
    "HARDWARE_ISSUE": "critical",
    "PERFORMANCE_ISSUE": "warn",
    "NETWORK_ANOMALY": "warn",
}
STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; white-space: pre }
text { fill: #1f2328 }
.paper { fill: #f6f8fa; stroke: #d1d9e0 } .dot { fill: #d1d9e0 } .dim { fill: #59636e } .strong { font-weight: bold }
.critical { fill: #8250df } .error { fill: #c0202b } .warn { fill: #885600 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117; stroke: #3d444d } .dot { fill: #3d444d } .dim { fill: #9198a1 }
.critical { fill: #d2a8ff } .error { fill: #ff8f87 } .warn { fill: #e3b341 }
}
"""
DESCRIPTION = (
    "The terminal output of make demo: the sqlite3 shell loads the extension, scores the lines of a sample log in "
    "batches, and lists the detections with time, machine, label, score and message."
)


def demo(sqlite: str) -> list[str]:
    """What the demo prints, without its last words on where to go next."""
    with DEMO.open(encoding="utf-8") as script:
        done = subprocess.run([sqlite, ":memory:"], stdin=script, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"the demo failed: {done.stderr.strip()}")
    return done.stdout.split("\nWhere to go next")[0].rstrip().splitlines()


def shortened(lines: Iterable[str]) -> Iterator[str]:
    """The first detection of each machine, how many are left out, and all else; the summary is wrapped, others cut."""
    seen, left_out = set(), 0
    for line in lines:
        found = DETECTION.fullmatch(line)
        if found and found[3] in seen:
            left_out += 1
            continue
        if found:
            seen.add(found[3])
        elif left_out:
            yield f"… and {left_out} more"
            left_out = 0
        if SUMMARY in line:
            yield from textwrap.wrap(line, COLUMNS)
        else:
            yield line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"


def spans(line: str) -> Iterator[tuple[str, str]]:
    """A line in parts of one colour each: class and text."""
    found = DETECTION.fullmatch(line)
    if found:
        yield from (("dim", found[1]), ("", found[2]), (CLASSES[found[4]], found[4]), ("", found[5]))
    elif line.startswith(("…", "---")):
        yield "dim", line
    elif line.startswith(("$", "What", "time ")):
        yield "strong", line
    else:
        yield "", line


def drawn(line: str, y: int) -> str:
    """A line as text of a fixed width, so that columns stand whatever font the reader has."""
    parts = "".join(
        f'<tspan class="{name}">{escape(text)}</tspan>' if name else escape(text) for name, text in spans(line)
    )
    return f'<text x="{MARGIN}" y="{y}" textLength="{len(line) * COLUMN:.1f}" xml:space="preserve">{parts}</text>'


def picture(lines: list[str]) -> str:
    """The SVG."""
    width = 2 * MARGIN + COLUMNS * COLUMN
    height = TITLE_BAR + len(lines) * ROW + MARGIN
    rows = (drawn(line, TITLE_BAR + (index + 1) * ROW - 4) for index, line in enumerate(lines) if line)
    dots = (f'<circle class="dot" cx="{MARGIN + 5 + 18 * index}" cy="16" r="5"/>' for index in range(3))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
            'aria-labelledby="title description">',
            '<title id="title">make demo</title>',
            f'<desc id="description">{escape(DESCRIPTION)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>',
            *dots,
            *rows,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sqlite", default="sqlite3", help="the sqlite3 shell")
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "demo.svg")
    options = parser.parse_args()
    lines = ["$ make demo", *shortened(demo(options.sqlite))]
    options.into.write_text(picture(lines), encoding="utf-8", newline="\n")
    print(f"{options.into.name} shows {len(lines)} lines")


if __name__ == "__main__":
    main()
