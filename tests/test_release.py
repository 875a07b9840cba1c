"""What is released: the archive of this platform, the sums of all files, one version for everything."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from conftest import DIST, ROOT, SUFFIX, connect, copy_product, one

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
RUNTIME = next(DIST.glob("*onnxruntime*")).name
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Runs one of scripts/."""
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def pack(dist: Path, into: Path, *arguments: object, **environment: str) -> Path:
    """Makes an archive and gives its path."""
    done = script("archive", "--dist", dist, "--into", into, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    (path,) = into.glob("sqlite-anomaly-*")
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """The archive of what `make dist` made."""
    return pack(DIST, tmp_path_factory.mktemp("archive"), "--suffix", ".tar.gz")


@pytest.fixture
def small(tmp_path) -> Path:
    """A folder with the files of dist/, of a few bytes each."""
    folder = tmp_path / "small"
    for name in (f"anomaly0{SUFFIX}", RUNTIME, "model/model.onnx", "licenses/LICENSE-MIT", "sql/schema.sql"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def entries(archive: Path) -> list[tarfile.TarInfo]:
    """What a tar archive lists."""
    with tarfile.open(archive) as file:
        return file.getmembers()


def test_an_archive_holds_the_product_under_one_folder(archive, tmp_path):
    assert re.fullmatch(rf"sqlite-anomaly-{re.escape(VERSION)}-(linux|macos|windows)-\w+\.tar\.gz", archive.name)
    shutil.unpack_archive(archive, tmp_path)
    (top,) = tmp_path.iterdir()
    assert archive.name == f"{top.name}.tar.gz"
    product = copy_product(tmp_path / "product")
    packed = {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
    assert packed.pop(Path("README.md"))
    assert packed == {path.relative_to(product): path.read_bytes() for path in product.rglob("*") if path.is_file()}


def test_an_unpacked_archive_runs_as_its_readme_says(archive, tmp_path):
    shutil.unpack_archive(archive, tmp_path)
    (top,) = tmp_path.iterdir()
    lines = re.search(r"```sql\n(.*?)```", (top / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    done = subprocess.run(["sqlite3", ":memory:"], input=lines, cwd=top, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert json.loads(done.stdout.splitlines()[-1])["label"] == "SECURITY_ANOMALY"


def test_an_unpacked_archive_has_the_ready_sql_that_its_readme_names(archive, tmp_path):
    shutil.unpack_archive(archive, tmp_path)
    (top,) = tmp_path.iterdir()
    there = {path.relative_to(top / "sql") for path in (top / "sql").rglob("*.*")}
    assert there == {path.relative_to(ROOT / "sql") for path in (ROOT / "sql").rglob("*.*")}
    (query,) = re.findall(r"`(\.read sql/\S+)`", (top / "README.md").read_text(encoding="utf-8"))
    lines = f".load ./anomaly0\nSELECT anomaly_init() <> '[]';\n{query}\n"
    done = subprocess.run(["sqlite3", ":memory:"], input=lines, cwd=top, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_same_files_make_the_same_archive(small, tmp_path):
    once = pack(small, tmp_path / "once", "--suffix", ".tar.gz")
    for path in small.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    assert pack(small, tmp_path / "again", "--suffix", ".tar.gz").read_bytes() == once.read_bytes()


def test_an_archive_tells_nothing_of_who_made_it_and_when(small, tmp_path):
    listed = entries(pack(small, tmp_path / "undated", "--suffix", ".tar.gz"))
    assert [entry.name for entry in listed] == sorted(entry.name for entry in listed)
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) for entry in listed} == {(0, 0, "", "", 0o644)}
    dated = pack(small, tmp_path / "dated", "--suffix", ".tar.gz", SOURCE_DATE_EPOCH="1234567890")
    assert {entry.mtime for entry in entries(dated)} == {1234567890}


def test_a_zip_archive_holds_the_same(small, tmp_path):
    tarred, zipped = (pack(small, tmp_path / suffix, "--suffix", suffix) for suffix in (".tar.gz", ".zip"))
    with tarfile.open(tarred) as one_way, zipfile.ZipFile(zipped) as the_other:
        assert the_other.namelist() == one_way.getnames()
        assert {entry.date_time for entry in the_other.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for name in the_other.namelist():
            assert the_other.read(name) == one_way.extractfile(name).read()


def test_an_archive_takes_the_place_of_an_earlier_version(small, tmp_path):
    into = tmp_path / "into"
    fresh = pack(small, into, "--suffix", ".tar.gz")
    stale = fresh.rename(fresh.with_name(fresh.name.replace(VERSION, "0.0.1")))
    assert pack(small, into, "--suffix", ".tar.gz") == fresh and not stale.exists()


@pytest.mark.skipif(SUFFIX != ".so", reason="glibc is Linux's")
def test_an_extension_that_needs_a_newer_glibc_than_promised_is_not_packed(tmp_path):
    done = script("archive", "--dist", DIST, "--into", tmp_path, "--glibc", "2.2")
    assert done.returncode != 0 and "build it on an older Linux" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_sums_cover_every_file_of_a_release(tmp_path):
    names = ["a.tar.gz", "b.tgz", "c.whl", "d.zip"]
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "anomaly0.so").touch()
    assert script("checksums", tmp_path).returncode == 0
    expected = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in names)
    assert (tmp_path / "SHA256SUMS").read_text() == expected


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository that match."""
    listed = subprocess.check_output(["git", "ls-files", "-z", *patterns], cwd=ROOT, text=True)
    return [ROOT / name for name in listed.split("\0") if name]


def test_the_extension_has_the_version_of_cargo_toml():
    assert one(connect(), "SELECT anomaly_version()") == VERSION
    assert script("version").stdout.strip() == VERSION


def test_no_package_has_a_version_of_its_own():
    for path in tracked("*pyproject.toml"):
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        assert "version" not in project, f"{path} is to take it from Cargo.toml"
    for path in tracked("*package.json"):
        package = json.loads(path.read_text(encoding="utf-8"))
        if package["name"] == "sqlite-anomaly":
            assert "version" not in package, f"{path} is to take it from Cargo.toml"


def test_no_page_names_a_version_of_the_product():
    for path in tracked("*.md", "*.sql", "*.py", "*.yml", "Makefile"):
        if path != ROOT / "CHANGELOG.md" and path != Path(__file__):
            found = re.search(r"sqlite[-_]anomaly[-_@= ]+v?\d+\.\d+", path.read_text(encoding="utf-8"))
            assert not found, f"{path} says {found[0]}, which the next release makes untrue"


def headings() -> list[str]:
    """The versions of the changelog, newest first."""
    return re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)


def test_the_changelog_begins_with_what_is_next_and_names_no_version_to_come():
    assert headings()[0] == "Unreleased"
    numbers = [tuple(map(int, heading.split("."))) for heading in headings()[1:]]
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(number <= tuple(map(int, VERSION.split("."))) for number in numbers)


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tmp_path):
    for name in ("scripts", "Cargo.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    command = [sys.executable, str(tmp_path / "scripts" / "version.py"), "--notes"]
    text = "# Changelog\n\n## [Unreleased]\n\n## [{}] - 2026-01-02\n\n### Added\n- This.\n\n## [0.0.1]\n- That.\n"
    (tmp_path / "CHANGELOG.md").write_text(text.format(VERSION))
    assert subprocess.run(command, capture_output=True, text=True).stdout == "### Added\n- This.\n"
    (tmp_path / "CHANGELOG.md").write_text(text.format("0.0.2"))
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0 and f"no section [{VERSION}]" in refused.stderr
