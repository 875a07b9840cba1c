"""What the pages say of the Python package, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from package import COMMAND, PATIENCE, SCRIPTS, command, environment, python, rows
from pages import Page, code, read
from pages import blocks as all_blocks

EXAMPLES = ROOT / "python" / "examples"
PAGES = {
    "docs/python.md": read("docs/python.md"),
    "python/README.md": read("python/README.md"),
    "README.md": read("README.md").split("\n## Python\n")[1].split("\n## ")[0],
}
every_page = pytest.mark.parametrize("page", PAGES)
GETTING_IN = "docs/getting-logs-in.md"
# What is not run of that page, by its language, and why.
NOT_RUN = {"nginx": "is a part of a configuration", "powershell": "is of Windows"}
# What stands for programs that are not here, or have nothing to tell.
STANDINS = {
    "journalctl": "2026-06-12T13:08:01+0200 web-1 sshd[1]: session opened for user ada",
    "docker": "2026-06-12T13:08:01.123456789Z listening on :8080",
    "kubectl": "2026-06-12T13:08:01.123456789Z listening on :8080",
}
TRACE = """2026-06-12 13:08:01,123 ERROR order 4711 failed
Traceback (most recent call last):
  File "shop.py", line 12, in order
    raise ValueError("no such article")
ValueError: no such article
2026-06-12 13:08:02,456 INFO order 4712 done
"""
JSON_LINES = """{"time":"2026-06-12T13:08:01Z","level":"error","msg":"pool exhausted"}
{"time":"2026-06-12T13:08:02Z","level":"info","msg":"two\\nlines"}
{"time":"2026-06-12T13:08:03Z","level":"info","msg":"done"}
"""
# What each example prints, the first time and the second.
PRINTED = {
    "with_sqlite3.py": ["2 1\nSECURITY_ANOMALY Failed password for root from 203.0.113.9 port 22 ssh2\n",
                        "0 0\nSECURITY_ANOMALY Failed password for root from 203.0.113.9 port 22 ssh2\n"],
    "with_aiosqlite.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_apsw.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_pysqlite3.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_sqlalchemy.py": ["HARDWARE_ISSUE smartd: /dev/sdc, 8 Currently unreadable (pending) sectors\n"] * 2,
    "with_sqlalchemy_async.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_turnstone.py": ["1 1 False None\nERROR Failed password for root from 203.0.113.9\n", "0 0 False None\n"],
}  # fmt: skip


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, or of its part."""
    return [block for block in code(page, language) if block in PAGES[page]]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder of a user, with the sample log where the project's folder has it."""
    (tmp_path / "sql" / "demo").mkdir(parents=True)
    shutil.copy(ROOT / "sql" / "demo" / "sample.log", tmp_path / "sql" / "demo")
    return tmp_path


def program(example: str) -> str:
    return (EXAMPLES / example).read_text(encoding="utf-8")


@every_page
def test_every_program_of_a_page_is_an_example(page):
    found = blocks(page, "python")
    assert found
    for block in found:
        assert [example for example in PRINTED if block in program(example)], block


def test_every_example_is_on_the_page_of_python():
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.suffix == ".py") == sorted(PRINTED)
    for example in PRINTED:
        assert any(block in program(example) for block in blocks("docs/python.md", "python")), example


@pytest.mark.parametrize("example", PRINTED)
def test_an_example_prints_what_it_says_and_can_be_run_again(example, folder):
    if example == "with_pysqlite3.py" and sys.platform != "linux":
        pytest.skip("there are no wheels of pysqlite3-binary but for Linux")
    if example == "with_turnstone.py":
        (folder / "glean.log").write_text("Failed password for root from 203.0.113.9\n", encoding="utf-8")
        assert command("import", "logs.db", "glean.log", cwd=folder).returncode == 0
    for printed in PRINTED[example]:
        done = python(program(example), cwd=folder)
        assert (done.stdout, done.stderr) == (printed, "")


@every_page
def test_the_commands_of_a_page_print_what_it_shows(page, folder):
    ours = [block for block in blocks(page, "console") if "$ sqlite-anomaly" in block]
    assert ours
    path = os.pathsep.join([str(COMMAND.parent), os.environ["PATH"]])
    for called, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", "".join(ours), re.MULTILINE):
        done = subprocess.run(
            called, shell=True, cwd=folder, env=environment(PATH=path), capture_output=True, text=True, timeout=PATIENCE
        )
        assert (done.returncode, done.stderr) == (0, "")
        if shown:
            assert counted(done.stdout) == counted(shown)


@pytest.mark.skipif(sys.platform != "linux", reason="the page is of Linux")
def test_the_blocks_of_getting_logs_in_do_what_they_show(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    shutil.copy(ROOT / "sql" / "demo" / "sample.log", folder / "app.log")
    (folder / "trace.log").write_text(TRACE, encoding="utf-8")
    (folder / "app.jsonl").write_text(JSON_LINES, encoding="utf-8")
    for name, line in STANDINS.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{line}'\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), str(SCRIPTS), os.environ["PATH"]])
    session = Page(folder, environment(PATH=path, HOME=str(tmp_path)))
    try:
        for block in all_blocks(GETTING_IN):
            if block.language not in NOT_RUN:
                session.run(block)
    finally:
        session.close()
    counts = "SELECT source_id, count(*), count(timestamp_iso) FROM log_entries GROUP BY 1 ORDER BY 1"
    assert rows(folder / "logs.db", counts) == [
        ("api.log", 1, 1), ("app", 3, 3), ("app.log", 428, 428), ("journal", 1, 1), ("orders", 2, 2), ("web.log", 1, 1)
    ]  # fmt: skip


def counted(text: str) -> str:
    """A text without the number of detections: processors round differently, and a score may cross the threshold."""
    return re.sub(r"\d+ detections", "N detections", text)


def test_the_table_of_commands_has_all_of_them_and_their_options():
    usage = command("--help").stdout
    names = re.findall(r"^    (\w+)\b", usage, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+) [^`]*` \|", PAGES["docs/python.md"], re.MULTILINE)
    assert sorted(rows) == sorted(names)
    for name in names:
        for option in set(re.findall(r"--\w+", command(name, "--help").stdout)) - {"--help"}:
            assert f"`{option}" in PAGES["docs/python.md"], (name, option)
