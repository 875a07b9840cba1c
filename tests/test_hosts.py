"""Processes that load the extension: the sqlite3 shell, Pythons, and set-ups in which something is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DIST, EXTENSION, MODELS, ROOT, SUFFIX, copy_product

LINE = "Failed password for root from 10.0.0.1 port 22 ssh2"
CLASSIFY = f"SELECT anomaly_config('model', 'bundled'); SELECT anomaly_classify('{LINE}');"
# Nothing here takes a second; a hang must not stop the suite.
PATIENCE = 60


def shell(*commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the sqlite3 shell on an empty database, with no other environment."""
    command = [shutil.which("sqlite3") or "sqlite3", ":memory:", *commands]
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )


def python(program: str, interpreter: str = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python program in a process of its own."""
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **environment}
    return subprocess.run(
        [interpreter, "-c", program], env=environment, capture_output=True, text=True, timeout=10 * PATIENCE
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The extension alone: no runtime and no model beside it."""
    shutil.copy(EXTENSION.with_suffix(SUFFIX), tmp_path)
    return tmp_path


def load(folder: Path) -> str:
    """The shell's command that loads the extension of `folder`."""
    return f'.load "{folder / "anomaly0"}"'


def test_the_shell_classifies_with_the_bundled_model():
    done = shell(load(DIST), CLASSIFY)
    bundled, answer = done.stdout.splitlines()
    assert (bundled, done.stderr) == ("bundled", "")
    answer = json.loads(answer)
    assert (answer["label"], answer["severity"], answer["anomalous"]) == ("SECURITY_ANOMALY", "ERROR", True)


def test_dist_works_wherever_it_is_copied(tmp_path):
    copy_product(tmp_path / "über all")
    done = shell(load(tmp_path / "über all"), CLASSIFY)
    assert ("SECURITY_ANOMALY" in done.stdout, done.stderr) == (True, "")


def test_dist_works_through_a_link(tmp_path):
    os.symlink(EXTENSION.with_suffix(SUFFIX), tmp_path / f"anomaly0{SUFFIX}")
    assert "SECURITY_ANOMALY" in shell(load(tmp_path), CLASSIFY).stdout


def test_the_runtime_may_be_named_in_the_environment(bare):
    runtime = next(DIST.glob("*onnxruntime*"))
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    assert shell(load(bare), model, ORT_DYLIB_PATH=str(runtime)).stdout.splitlines()[-1] == "ERROR"


def test_the_runtime_may_be_that_of_the_python_package_beside_its_own(tmp_path):
    own, package = tmp_path / "sqlite_anomaly", tmp_path / "onnxruntime" / "capi"
    own.mkdir()
    package.mkdir(parents=True)
    shutil.copy(EXTENSION.with_suffix(SUFFIX), own)
    runtime = next(DIST.glob("*onnxruntime*"))
    name = {"darwin": "libonnxruntime.1.28.0.dylib", "win32": "onnxruntime.dll"}.get(
        sys.platform, "libonnxruntime.so.1.28.0"
    )
    shutil.copy(runtime, package / name)
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    assert shell(load(own), model).stdout.splitlines()[-1] == "ERROR"


def test_without_the_runtime_the_error_names_every_place_and_the_remedy(bare):
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    done = shell(load(bare), model)
    place = str(bare / ("libonnxruntime" + SUFFIX))
    for part in ["no usable ONNX Runtime", f"there is no {place}", "make dist", "ORT_DYLIB_PATH"]:
        assert part in done.stderr


def test_a_named_runtime_that_cannot_be_used_is_not_replaced_by_another():
    done = shell(load(DIST), CLASSIFY, ORT_DYLIB_PATH="/no/such/library")
    assert "ORT_DYLIB_PATH names /no/such/library, which is no usable ONNX Runtime library" in done.stderr
    assert "unset it" in done.stderr


@pytest.mark.parametrize("kind", ["text", "empty", "foreign", "truncated"])
def test_a_library_that_is_no_runtime_is_an_error(bare, kind):
    runtime = next(DIST.glob("*onnxruntime*"))
    fake = bare / runtime.name
    if kind == "foreign":
        fake.write_bytes(EXTENSION.with_suffix(SUFFIX).read_bytes())
    else:
        fake.write_bytes({"text": b"no library", "empty": b"", "truncated": runtime.read_bytes()[:5000]}[kind])
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    done = shell(load(bare), model)
    assert "no usable ONNX Runtime" in done.stderr
    assert str(fake) in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_pipe_in_the_place_of_a_library_is_not_opened(bare):
    """Opened, it would keep the process waiting for ever."""
    fake = bare / next(DIST.glob("*onnxruntime*")).name
    os.mkfifo(fake)
    (bare / "link").symlink_to(fake)
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    for environment in [{}, {"ORT_DYLIB_PATH": str(fake)}, {"ORT_DYLIB_PATH": str(bare / "link")}]:
        done = shell(load(bare), model, **environment)
        assert "no usable ONNX Runtime" in done.stderr
        assert f"{environment.get('ORT_DYLIB_PATH', fake)} is no file" in done.stderr


@pytest.mark.parametrize("size", ["1", "20000", "0", "many", str(2**62)])
def test_the_stack_of_other_threads_is_not_that_of_ours(size):
    done = shell(load(DIST), f"SELECT anomaly_config('threads', 2); {CLASSIFY}", RUST_MIN_STACK=size)
    assert ("SECURITY_ANOMALY" in done.stdout, done.returncode, done.stderr) == (True, 0, "")


@pytest.mark.skipif(not shutil.which("cc"), reason="makes a library with a C compiler")
def test_a_runtime_that_is_too_old_is_an_error(bare):
    runtime = bare / next(DIST.glob("*onnxruntime*")).name
    source = bare / "old.c"
    source.write_text("""
        static const void *api(unsigned version) { return 0; }
        static const char *name(void) { return "1.17.3"; }
        static const struct { const void *(*api)(unsigned); const char *(*name)(void); } base = { api, name };
        const void *OrtGetApiBase(void) { return &base; }
    """)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", runtime, source], check=True)
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}'); SELECT anomaly_label('failed');"
    done = shell(load(bare), model)
    assert "1.17.3" in done.stderr
    assert "no usable ONNX Runtime library, 1.24 or newer" in done.stderr


def test_without_the_bundled_model_the_error_says_where_it_belongs(bare):
    assert f"there is no folder {bare / 'model'}" in shell(load(bare), CLASSIFY).stderr


def test_a_failed_start_of_the_runtime_leaves_the_connection_usable(bare):
    model = f"SELECT anomaly_config('model', '{MODELS / 'levels'}');"
    done = shell(load(bare), model, "SELECT anomaly_label('failed');", ORT_DYLIB_PATH="/no/such/library")
    assert done.stderr.count("no usable ONNX Runtime") == 1
    done = python(f"""
import sys; sys.path.insert(0, {str(ROOT / "tests")!r})
from conftest import connect, error_of, one
from pathlib import Path
db = connect(extension=Path({str(bare / "anomaly0")!r}))
db.execute("SELECT anomaly_config('model', ?)", ({str(MODELS / "levels")!r},)).fetchall()
print(error_of(db, "SELECT anomaly_label('x')") == error_of(db, "SELECT anomaly_label('x')"), one(db, "SELECT 1"))
""")
    assert done.stdout.strip() == "True 1", done.stderr


DRIVERS = {
    "the standard library's sqlite3": "import sqlite3 as driver; db = driver.connect(':memory:')",
    "pysqlite3": "import pysqlite3 as driver; db = driver.connect(':memory:')",
    "apsw": "import apsw as driver; db = driver.Connection(':memory:')",
}
LOAD = f"""
db.enable_load_extension(True)
(getattr(db, "load_extension", None) or db.loadextension)({str(EXTENSION)!r})
db.execute("SELECT anomaly_config('model', 'bundled')").fetchall()
"""
USE = f"""
print(db.execute("SELECT anomaly_label(?)", ({LINE!r},)).fetchall()[0][0])
"""


def interpreters(driver: str) -> list[str]:
    """The Pythons at hand whose module can load extensions: this one, and the system's."""
    probe = DRIVERS[driver] + "\ndb.enable_load_extension(True)"
    found = [sys.executable, *(path for path in ["/usr/bin/python3"] if Path(path).exists())]
    return [interpreter for interpreter in found if python(probe, interpreter).returncode == 0]


@pytest.mark.parametrize("driver", DRIVERS)
def test_python(driver):
    able = interpreters(driver)
    if not able:
        pytest.skip(f"no Python at hand loads extensions with {driver}")
    for interpreter in able:
        done = python(DRIVERS[driver] + LOAD + USE, interpreter)
        assert (done.stdout.strip(), done.stderr) == ("SECURITY_ANOMALY", "")


ERROR_BEHIND = """
import ctypes, ctypes.util, sys
sqlite = ctypes.CDLL(ctypes.util.find_library("sqlite3"))
sqlite.sqlite3_errmsg.restype = ctypes.c_char_p
db = ctypes.c_void_p()
sqlite.sqlite3_open(b":memory:", ctypes.byref(db))
sqlite.sqlite3_enable_load_extension(db, 1)
print(sqlite.sqlite3_load_extension(db, sys.argv[1].encode(), None, None))
print(sqlite.sqlite3_errmsg(db).decode())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="takes the SQLite library that the shell uses")
def test_loading_leaves_no_error_behind():
    """A host that loads it from an automatic extension would take it for an error of sqlite3_open()."""
    done = python(ERROR_BEHIND.replace("sys.argv[1]", repr(str(EXTENSION))))
    assert (done.stdout, done.stderr) == ("0\nnot an error\n", "")


def test_loading_twice_keeps_the_settings():
    done = shell(load(DIST), "SELECT anomaly_config('batch', 7);", load(DIST), "SELECT anomaly_config('batch');")
    assert (done.stdout.split(), done.stderr) == (["7", "7"], "")


def test_a_load_that_is_refused_midway_leaves_the_process_alive():
    """SQLite refuses to replace a function while a statement runs, and would unload the library after that."""
    done = python(f"""
import sys; sys.path.insert(0, {str(ROOT / "tests")!r})
from conftest import SQLITE
db = SQLITE.connect(":memory:")
db.create_function("anomaly_label", 1, lambda text: text)
db.enable_load_extension(True)
for sql in ["SELECT load_extension({str(EXTENSION)!r})", "SELECT anomaly_classify('x')"]:
    try:
        db.execute(sql).fetchall()
    except SQLITE.Error as error:
        print(error)
db.close()
""")
    assert done.returncode == 0, done.stderr
    refused, unconfigured = done.stdout.splitlines()
    assert "SQLite refused to register the function anomaly_label" in refused
    assert "no model is configured" in unconfigured


def test_a_load_that_runs_out_of_memory_midway_can_be_tried_again():
    """At whichever function it stops, the next load finds out that some are missing."""
    if not interpreters("apsw"):
        pytest.skip("needs apsw, which can limit SQLite's memory")
    done = python(f"""
import apsw
whole, stopped = set(), 0
for step in range(400):
    db = apsw.Connection(":memory:")
    db.enable_load_extension(True)
    apsw.hard_heap_limit(apsw.memory_used() + 64 * step)
    try:
        db.load_extension({str(EXTENSION)!r})
    except (apsw.Error, MemoryError):
        stopped += 1
    apsw.hard_heap_limit(0)
    db.load_extension({str(EXTENSION)!r})
    lists = ["function_list", "module_list"]
    counts = [db.execute(f"SELECT count(*) FROM pragma_{{name}} WHERE name LIKE 'anomaly%'") for name in lists]
    whole.add(tuple(count.fetchall()[0][0] for count in counts))
    db.close()
print(0 < stopped < 400, whole)
""")
    assert done.stdout.strip() == "True {(13, 5)}", done.stderr


def test_a_host_that_allows_no_comments_in_sql():
    if not interpreters("apsw"):
        pytest.skip("needs apsw, which can switch them off")
    done = python(f"""
{DRIVERS["apsw"]}
if not hasattr(driver, "SQLITE_DBCONFIG_ENABLE_COMMENTS"):
    print("as old as that")
    raise SystemExit
db.config(driver.SQLITE_DBCONFIG_ENABLE_COMMENTS, 0)
try:
    db.execute("SELECT 1 -- one")
except driver.SQLError:
    print("none")
{LOAD}
print(len(db.execute("SELECT anomaly_init()").fetchall()))
db.execute("INSERT INTO log_entries (id, text) VALUES ('a', ?)", ({LINE!r},))
print(db.execute("SELECT sum(scored), sum(detections) FROM anomaly_score_pending").fetchall())
""")
    assert done.stdout.split("\n")[:-1] in (["none", "1", "[(1, 1)]"], ["as old as that"]), done.stderr


def test_an_extension_that_is_not_used_loads_no_runtime():
    if not Path("/proc/self/maps").exists():
        pytest.skip("reads the libraries of the process from /proc")
    done = python(
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\nfrom conftest import connect\ndb = connect()\n"
        "print('onnxruntime' in open('/proc/self/maps').read())"
    )
    assert done.stdout.strip() == "False", done.stderr


def test_classifying_leaves_no_trace_in_the_home_folder(tmp_path):
    done = shell(f".load {EXTENSION}", *CLASSIFY.split("; "), HOME=str(tmp_path))
    assert done.returncode == 0 and "SECURITY_ANOMALY" in done.stdout
    assert not list(tmp_path.iterdir())
