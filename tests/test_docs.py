"""The documentation is true: what a page shows was run, what it links to is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from conftest import DIST, ROOT
from pages import Block, Page, blocks, pages, read

RUN = {"sql", "python", "console", "cron"}
# Where the files lie that blocks of other kinds, and whole programs, are taken from: what runs there has its own tests.
SOURCES = ["examples", "npm", "python"]
DEMO = "$ make demo    # builds it, scores a sample log in the sqlite3 shell, shows what was found"
HUB_MODEL = "onnx-community/distilbert-base-uncased-finetuned-sst-2-english-ONNX"
# Blocks that are not run, by page and first line, and why.
NOT_RUN = {
    ("README.md", DEMO): "builds",
    (
        "README.md",
        "$ sqlite-anomaly import logs.db sql/demo/sample.log",
    ): "test_python_docs.py runs it with the package",
    ("docs/tour.md", "$ make dist"): "builds",
    ("docs/model.md", "$ pip install 'optimum-onnx[onnxruntime]'"): "downloads PyTorch and a model",
    ("docs/model.md", f"$ hf download {HUB_MODEL}"): "downloads a model",
    ("docs/model.md", f"SELECT anomaly_config('model', '{HUB_MODEL}@main');"): "names the model downloaded above",
    ("docs/scaling.md", "$ cd examples/pyspark"): "test_pyspark.py runs the job",
    ("docs/model.md", "$ pip install -r examples/quantise/requirements.txt"): "test_quantise.py runs the script",
}
# Pages that need more than SQLite (a package, a server, another language): the tests that run their blocks.
ELSEWHERE = {
    "docs/datasette.md": "tests/test_datasette.py",
    "docs/getting-logs-in.md": "tests/test_python_docs.py",
    "docs/go.md": "tests/test_examples.py",
    "docs/node.md": "tests/test_examples.py",
    "docs/python.md": "tests/test_python_docs.py",
    "docs/rust.md": "tests/test_examples.py",
}
# What stands for what a block of the page makes that is not run, by page and name.
MADE = {"docs/model.md": {"my-model": "tests/golden/two-unnamed-distilbert"}}
PAGES = [page for page in pages() if page not in ELSEWHERE and blocks(page)]
LINKING = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "docs", "sql", "models/bundled", "examples", "python", "npm", "training")
    for path in (ROOT / folder).glob("*.md")
)


@cache
def sources() -> list[str]:
    """The texts of all files in SOURCES."""
    paths = (path for folder in SOURCES for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts)
    return [path.read_text(encoding="utf-8", errors="ignore") for path in paths if path.is_file()]


def is_of_a_source(block: Block) -> bool:
    """Whether a block stands as it is in a file that has its own tests."""
    return any(block.text.strip() in source for source in sources())


def is_run(block: Block) -> bool:
    """Whether this test runs a block."""
    return block.language in RUN and (block.page, block.title) not in NOT_RUN and not is_of_a_source(block)


def link(source: str, target: str) -> None:
    """A copy that takes no room where it can be had."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder ~/logs with the product and its SQL in it."""
    folder = tmp_path / "logs"
    shutil.copytree(DIST, folder / "dist", copy_function=link)
    shutil.copytree(ROOT / "sql", folder / "sql")
    return folder


def provide(page: str, folder: Path) -> None:
    """Puts into the folder of a page what its blocks that are not run would make."""
    for name, source in MADE.get(page, {}).items():
        model = shutil.copytree(ROOT / source, folder / name)
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        config["id2label"] = {"0": "NEGATIVE", "1": "POSITIVE"}
        (model / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_do_what_it_shows(page, folder):
    """A page is pasted from top to bottom by whoever has the project's folder, with dist/ built, and nothing else."""
    provide(page, folder)
    session = Page(folder)
    try:
        for block in filter(is_run, blocks(page)):
            session.run(block)
    finally:
        session.close()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_known_not_to_be(page):
    for block in blocks(page):
        assert is_run(block) or is_of_a_source(block) or (page, block.title) in NOT_RUN, block


def test_nothing_is_excused_that_is_not_there():
    there = {(page, block.title) for page in PAGES for block in blocks(page)}
    assert set(NOT_RUN) <= there


@pytest.mark.parametrize("page", sorted(set(ELSEWHERE) & set(pages())))
def test_a_page_that_is_not_run_here_is_run_elsewhere(page):
    assert Path(page).name in read(ELSEWHERE[page])


def test_what_make_is_asked_for_is_there():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for page in PAGES:
        for block in blocks(page):
            for target in re.findall(r"^\$ make (\w+)", block.text, re.MULTILINE):
                assert target in targets, (page, target)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_the_contents():
    contents = read("docs/index.md")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "index.md" or f"({path.name})" in contents, path.name


def test_a_line_of_a_log_stays_whole(folder):
    getting_in = next(block for block in blocks("README.md") if ".import sql/demo/sample.log" in block.text)
    (folder / "odd.log").write_text('"quoted\tand tabbed" Failed password for root\n\nall is well\n', encoding="utf-8")
    script = f"""
.load dist/anomaly0
SELECT anomaly_init();
{getting_in.text.replace("sql/demo/sample.log", "odd.log")}
SELECT group_concat(text, '|') FROM (SELECT text FROM log_entries ORDER BY rowid);
"""
    done = subprocess.run(
        ["sqlite3", ":memory:"], input=script, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == '"quoted\tand tabbed" Failed password for root|all is well'


def test_figures_are_those_of_the_benchmarks_and_the_model_card():
    page = read("docs/operations.md")
    measured = re.findall(r"^\| .*? \| ([\d,]+) \| .*? \| ([\d,]+) \|$", read("BENCHMARKS.md"), re.MULTILINE)
    speeds = re.findall(r"^\| .*? \| ([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE)
    assert len(speeds) == 3 and set(speeds) <= set(measured)
    card = re.findall(r"^\| int8 \| .* \| (\S+) \| (\S+) \| \S+ \|$", read("models/bundled/README.md"), re.MULTILINE)
    assert re.findall(r"^\| .*? \| (0\.\d+) \| (0\.\d+) \|$", page, re.MULTILINE) == card


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_accepts_the_units():
    units = sorted((ROOT / "examples" / "systemd").iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
