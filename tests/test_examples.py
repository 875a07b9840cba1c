"""The example hosts: built, run on the demo's log, and shown in docs/ as they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import EXTENSION, ROOT, connect, one
from pages import blocks, code, read

SAMPLE = ROOT / "sql" / "demo" / "sample.log"
GO_PACKAGES = "golang-go and golang-github-mattn-go-sqlite3-dev"
DEBIAN_SOURCE = Path("/usr/share/gocode/src/github.com/mattn/go-sqlite3")
PATIENCE = 600


def rust_host() -> Path:
    """The Rust example; it shares the build folder of tests/hosts."""
    target = ROOT / "target" / "hosts"
    manifest = ROOT / "examples" / "rust" / "Cargo.toml"
    build = ["cargo", "build", "--quiet", "--locked", "--manifest-path", str(manifest)]
    subprocess.run(build, env={**os.environ, "CARGO_TARGET_DIR": str(target)}, check=True, timeout=PATIENCE)
    return target / "debug" / "find-anomalies"


def go_host() -> Path:
    """The Go example, with Debian's copy of the driver where there is one."""
    if shutil.which("go") is None:
        missing = f"Go is missing: apt-get install {GO_PACKAGES}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    target = ROOT / "target" / "go"
    target.mkdir(parents=True, exist_ok=True)
    module = (ROOT / "examples" / "go" / "go.mod").read_text(encoding="utf-8")
    if DEBIAN_SOURCE.is_dir():
        module += f"\nreplace github.com/mattn/go-sqlite3 => {DEBIAN_SOURCE}\n"
    (target / "go.mod").write_text(module, encoding="utf-8")
    binary = target / "find-anomalies"
    build = ["go", "build", "-mod=mod", "-modfile", str(target / "go.mod"), "-o", str(binary), "."]
    environment = {**os.environ, "GOCACHE": str(target / "cache"), "GO111MODULE": "on"}
    subprocess.run(build, cwd=ROOT / "examples" / "go", env=environment, check=True, timeout=PATIENCE)
    return binary


HOSTS = {"rust": rust_host, "go": go_host}


@pytest.fixture(scope="module", params=HOSTS)
def host(request) -> Path:
    """Each example's program."""
    return HOSTS[request.param]()


def run(host: Path, database: Path, lines: bytes, extension: object = EXTENSION) -> subprocess.CompletedProcess[bytes]:
    """Runs an example on log lines."""
    return subprocess.run([host, str(extension), database], input=lines, capture_output=True, timeout=PATIENCE)


def test_an_example_finds_what_the_extension_finds(host, tmp_path):
    database = tmp_path / "logs.db"
    done = run(host, database, SAMPLE.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    batches = [line for line in done.stdout.decode().splitlines() if line.endswith("to go")]
    reported = [list(map(int, re.findall(r"\d+", batch))) for batch in batches]
    connection = connect(database)
    entries = len(SAMPLE.read_text(encoding="utf-8").splitlines())
    detections = one(connection, "SELECT count(*) FROM detections")
    assert (sum(scored for scored, *_ in reported), reported[-1][2]) == (entries, 0)
    assert sum(detected for _, detected, _ in reported) == detections > 0
    newest = connection.execute("SELECT severity || ' ' || anomaly_label, text FROM anomaly_detections(20)").fetchall()
    shown = done.stdout.decode().splitlines()[len(batches) :]
    assert len(shown) == min(20, detections)
    assert all(line.startswith(kind) and line.endswith(text) for line, (kind, text) in zip(shown, newest, strict=False))


def test_an_example_reads_the_same_lines_again_without_harm(host, tmp_path):
    lines = b"all is well\nFailed password for root from 203.0.113.9\nnot UTF-8: \xff\n"
    assert run(host, tmp_path / "logs.db", lines).stdout.startswith(b"3 scored, 1 detected, 0 to go\n")
    assert run(host, tmp_path / "logs.db", lines).stdout.startswith(b"0 scored, 0 detected, 0 to go\n")


def test_an_example_says_what_it_cannot_load(host, tmp_path):
    done = run(host, tmp_path / "logs.db", b"", tmp_path / "anomaly0")
    assert done.returncode == 1
    assert str(tmp_path / "anomaly0") in done.stderr.decode()


SHOWN = [
    ("docs/rust.md", ["rust"], "examples/rust/src/main.rs"),
    ("docs/rust.md", ["toml"], "examples/rust/Cargo.toml"),
    ("docs/go.md", ["go"], "examples/go/main.go"),
    ("docs/node.md", ["js"], "npm/README.md"),
]


@pytest.mark.parametrize(("page", "languages", "source"), SHOWN)
def test_the_code_of_a_page_is_code_that_the_tests_run(page, languages, source):
    shown = code(page, *languages)
    assert shown
    assert [block for block in shown if block not in read(source)] == []


def test_a_page_has_code_of_no_other_language():
    known = {(page, language) for page, languages, _ in SHOWN for language in [*languages, "console"]}
    for page in {page for page, *_ in SHOWN}:
        assert {(page, block.language) for block in blocks(page)} <= known
