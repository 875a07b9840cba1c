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
from package import COMMAND, PATIENCE, command, environment, python, require_package
from pages import code, read

EXAMPLES = ROOT / "python" / "examples"
PAGES = {
    "docs/python.md": read("docs/python.md"),
    "python/README.md": read("python/README.md"),
    "README.md": read("README.md").split("\n## Python\n")[1].split("\n## ")[0],
}
every_page = pytest.mark.parametrize("page", PAGES)
# What each example prints, the first time and the second.
PRINTED = {
    "with_sqlite3.py": ["2 1\nSECURITY_ANOMALY Failed password for root from 203.0.113.9 port 22 ssh2\n",
                        "0 0\nSECURITY_ANOMALY Failed password for root from 203.0.113.9 port 22 ssh2\n"],
    "with_apsw.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_pysqlite3.py": ["SYSTEM_FAILURE\n"] * 2,
    "with_sqlalchemy.py": ["HARDWARE_ISSUE smartd: /dev/sdc, 8 Currently unreadable (pending) sectors\n"] * 2,
    "with_turnstone.py": ["1 1 False None\nERROR Failed password for root from 203.0.113.9\n", "0 0 False None\n"],
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    require_package()


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
