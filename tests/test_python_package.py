"""The wheel, installed into an environment of its own: loading, scoring, and Turnstone's functions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

from conftest import DIST, MODELS, ROOT, SUFFIX
from package import PATIENCE, PYTHON, VENV, environment, python
from parity import golden, scorers

TURNSTONE = ROOT / "tests" / "turnstone"
IMPORT = "from app.services import anomaly\n"
SWAPPED = "from sqlite_anomaly import turnstone as anomaly\n"
LINE = "Failed password for root from 10.0.0.1 port 22 ssh2"


@pytest.fixture(scope="module")
def wheel():
    (found,) = DIST.glob("sqlite_anomaly-*.whl")
    return found


@pytest.fixture
def database(tmp_path):
    """A database as Turnstone has it, filled with the golden texts, never seen by anomaly_init()."""
    path = tmp_path / "logs.db"
    scorers.fill(path, json.loads((golden.GOLDEN / "texts.json").read_text(encoding="utf-8")))
    return path


def answers(program: str, *arguments: object, **changes: str) -> list[str]:
    """The lines that a program prints; it must not complain."""
    done = python(program, *map(str, arguments), **changes)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


class TestWheel:
    """What is in the file that is put on the package index."""

    def test_it_holds_the_extension_and_the_model_and_no_runtime(self, wheel):
        names = zipfile.ZipFile(wheel).namelist()
        for part in (f"anomaly0{SUFFIX}", "model/model.onnx", "licenses/third-party.txt", "py.typed"):
            assert f"sqlite_anomaly/{part}" in names
        assert [name for name in names if "onnxruntime" in name] == []

    def test_it_has_the_ready_queries_once(self, wheel):
        names = zipfile.ZipFile(wheel).namelist()
        for query in (ROOT / "sql" / "queries").glob("*.sql"):
            assert [name for name in names if name.endswith(query.name)] == [f"sqlite_anomaly/queries/{query.name}"]

    def test_it_has_the_version_of_the_crate(self, wheel):
        version = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
        assert wheel.name.startswith(f"sqlite_anomaly-{version}-py3-none-")
        assert answers("import sqlite_anomaly; print(sqlite_anomaly.__version__)") == [version]

    def test_it_asks_for_a_runtime_that_reports_to_nobody(self, wheel):
        archive = zipfile.ZipFile(wheel)
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        (requirement,) = re.findall(r"^Requires-Dist: onnxruntime(.*)$", archive.read(metadata).decode(), re.MULTILINE)
        assert set(requirement.split(",")) == {">=1.24", "<1.29"}

    @pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
    def test_its_tag_names_the_glibc_that_the_extension_needs(self, wheel):
        symbols = zipfile.ZipFile(wheel).read("sqlite_anomaly/anomaly0.so")
        needed = max((int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", symbols))
        assert "-manylinux_{}_{}_".format(*needed) in wheel.name

    def test_built_again_it_is_the_same_file(self, wheel, tmp_path):
        # As the Makefile does.
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        build += ["--wheel-dir", str(tmp_path), "./python"]
        subprocess.run(build, cwd=ROOT, env=environment(), check=True, timeout=600)
        assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()

    def test_its_types_are_strict(self):
        modules = ["sqlite_anomaly", "sqlite_anomaly.turnstone", "sqlite_anomaly.cli"]
        names = [argument for module in modules for argument in ("-m", module)]
        done = subprocess.run(
            [PYTHON, "-m", "mypy", "--strict", "--cache-dir", VENV / "mypy", *names], cwd=VENV, env=environment(),
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


DRIVERS = {
    "sqlite3": "import sqlite3 as driver; db = driver.connect(':memory:')",
    "pysqlite3": "import pysqlite3 as driver; db = driver.connect(':memory:')",
    "apsw": "import apsw as driver; db = driver.Connection(':memory:')",
}
every_driver = pytest.mark.parametrize("driver", DRIVERS)


AWAITED = """
import asyncio, sqlite_anomaly

async def load_anomaly(db):
    await db.enable_load_extension(True)
    await db.load_extension(sqlite_anomaly.loadable_path())
    await db.enable_load_extension(False)

def refused(connection):
    try:
        sqlite_anomaly.load(connection)
    except sqlite_anomaly.SqliteAnomalyError as error:
        print(error)

async def version(db):
    refused(db)
    try:
        await load_anomaly(db)
        cursor = await db.execute("SELECT anomaly_version()")
        print(*await cursor.fetchone())
    finally:
        await (db.aclose() if hasattr(db, "aclose") else db.close())
"""
OF_AIOSQLITE = """
import aiosqlite
async def main():
    await version(await aiosqlite.connect(":memory:"))
asyncio.run(main())
"""
OF_APSW = """
import apsw.aio
async def main():
    with apsw.aio.contextvar_set(apsw.async_controller, apsw.aio.AsyncIO):
        await version(await apsw.Connection.as_async(":memory:"))
asyncio.run(main())
"""
OF_SQLALCHEMY = """
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine
async def main():
    engine = create_async_engine("sqlite+aiosqlite://")
    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection, record):
        refused(connection)
        connection.run_async(load_anomaly)
    async with engine.connect() as connection:
        print(await connection.scalar(text("SELECT anomaly_version()")))
    await engine.dispose()
asyncio.run(main())
"""
ASYNCHRONOUS = [
    (OF_AIOSQLITE, "aiosqlite.core"),
    (OF_APSW, "apsw"),
    (OF_SQLALCHEMY, "sqlalchemy.dialects.sqlite.aiosqlite"),
]


class TestLoading:
    """`load()` and `loadable_path()`."""

    @every_driver
    def test_it_loads_into_a_connection_of_every_driver(self, driver):
        program = f"{DRIVERS[driver]}\nimport sqlite_anomaly\nsqlite_anomaly.load(db, model='bundled')\n"
        program += f"print(db.execute('SELECT anomaly_label(?)', ({LINE!r},)).fetchall()[0][0])"
        assert answers(program) == ["SECURITY_ANOMALY"]

    @every_driver
    @pytest.mark.parametrize("load", ["load(db)", "load(db, model='/no/such/folder')"])
    def test_the_loading_of_extensions_is_off_again(self, driver, load):
        program = f"""{DRIVERS[driver]}
import sqlite_anomaly
try:
    sqlite_anomaly.{load}
except driver.Error:
    pass
try:
    db.execute("SELECT load_extension('x')").fetchall()
except driver.Error as error:
    print(error)
"""
        (refused,) = answers(program)
        assert "not authorized" in refused

    def test_a_connection_that_cannot_load_extensions_is_told_with_the_remedies(self):
        program = """
import sqlite_anomaly
try:
    sqlite_anomaly.load(type("Connection", (), {"__module__": "sqlite3"})())
except sqlite_anomaly.ExtensionLoadingUnavailable as error:
    print(error)
"""
        (said,) = answers(program)
        for part in ["without the loading of extensions", "pip install apsw", "pysqlite3-binary", "Debian's", "pyenv"]:
            assert part in said

    @pytest.mark.parametrize(("value", "kind"), [("'logs.db'", "str"), ("None", "NoneType")])
    def test_what_is_no_connection_is_named(self, value, kind):
        program = f"""
import sqlite_anomaly
try:
    sqlite_anomaly.load({value})
except TypeError as error:
    print(error)
"""
        assert answers(program) == [f"give an open connection of sqlite3, pysqlite3 or apsw, not {kind}"]

    @pytest.mark.parametrize(("connect", "module"), ASYNCHRONOUS)
    def test_a_connection_that_must_be_awaited_is_refused_and_the_way_out_is_one(self, connect, module):
        told, *versions = answers(AWAITED + connect)
        assert told.startswith(f"a connection of {module} is asynchronous, and load() awaits nothing: ")
        assert "await db.load_extension(sqlite_anomaly.loadable_path())" in told
        assert "connection.run_async(function)" in told
        assert versions == answers("import sqlite_anomaly; print(sqlite_anomaly.__version__)")

    def test_the_path_is_the_one_that_sqlite_takes(self):
        (path,) = answers("import sqlite_anomaly; print(sqlite_anomaly.loadable_path())")
        assert path.endswith("anomaly0")
        script = f".load '{path}'\nSELECT anomaly_version();\n"
        done = subprocess.run(["sqlite3", ":memory:"], input=script, capture_output=True, text=True, timeout=PATIENCE)
        assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout), done.stderr

    def test_the_runtime_is_that_of_the_package_onnxruntime(self):
        program = f"""
import onnxruntime, sqlite_anomaly
from pathlib import Path
db = sqlite3.connect(":memory:")
sqlite_anomaly.load(db, model="bundled")
db.execute("SELECT anomaly_label({LINE!r})").fetchall()
((library,),) = db.execute("SELECT value FROM anomaly_status WHERE key = 'onnxruntime_library'")
print(Path(library).parent == Path(onnxruntime.__file__).resolve().parent / "capi")
"""
        assert answers(program) == ["True"]

    def test_an_engine_of_sqlalchemy_loads_it_into_every_connection(self, tmp_path):
        program = """
import sqlite_anomaly
from sqlalchemy import create_engine, event, text
engine = create_engine(f"sqlite:///{sys.argv[1]}")

@event.listens_for(engine, "connect")
def load_anomaly(connection, record):
    sqlite_anomaly.load(connection, model="bundled")

for _ in range(2):
    with engine.connect() as connection:
        print(connection.scalar(text("SELECT anomaly_label(:line)"), {"line": sys.argv[2]}))
    engine.dispose()
"""
        assert answers(program, tmp_path / "logs.db", LINE) == ["SECURITY_ANOMALY"] * 2


FILL = f"""
import sqlite_anomaly
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = wal")
sqlite_anomaly.load(db, model={str(MODELS / "levels")!r})
db.execute("SELECT anomaly_init()").fetchall()
texts = [("failed failed",), ("ok",), (None,)] * 100
db.executemany("INSERT INTO log_entries (id, text) VALUES (hex(randomblob(8)), ?)", texts)
def shown(result):
    print(*(getattr(result, name) for name in "batches scored detections failed skipped remaining error".split()))
"""


class TestScoring:
    """`score_pending()`."""

    def test_the_totals_are_those_of_the_run(self, tmp_path):
        (said,) = answers(FILL + "shown(sqlite_anomaly.score_pending(db, batch=40))", tmp_path / "logs.db")
        assert re.fullmatch(r"8 200 100 100 False 0 entry '\w+': its text is NULL", said)

    def test_a_threshold_of_the_call(self, tmp_path):
        (said,) = answers(FILL + "shown(sqlite_anomaly.score_pending(db, threshold=1.0))", tmp_path / "logs.db")
        assert said.startswith("2 200 0 100 False 0")

    def test_without_a_model_it_is_skipped(self, tmp_path):
        program = FILL + "db.execute(\"SELECT anomaly_config('model', '')\").fetchall()\n"
        said = answers(program + "shown(sqlite_anomaly.score_pending(db))", tmp_path / "logs.db")
        assert said == ["0 0 0 0 True 0 None"]

    def test_with_progress_a_bar_shows_it_and_the_totals_are_the_same(self, tmp_path):
        done = python(
            FILL + "shown(sqlite_anomaly.score_pending(db, batch=40, progress=True))", str(tmp_path / "logs.db")
        )
        assert re.fullmatch(r"8 200 100 100 False 0 entry '\w+': its text is NULL\n", done.stdout)
        assert "100%" in done.stderr
        assert "300/300" in done.stderr
        assert "detections=100" in done.stderr

    def test_with_progress_what_another_connection_commits_ends_nothing(self, tmp_path):
        program = (
            FILL
            + """
import io
from sqlite_anomaly import _scoring
other = sqlite3.connect(sys.argv[1], isolation_level=None)
class Bar(_scoring.tqdm):
    def update(self, count):
        other.execute("CREATE TABLE IF NOT EXISTS tick (n)")
        other.execute("INSERT INTO tick VALUES (1)")
        return super().update(count)
_scoring.tqdm = lambda **options: Bar(file=io.StringIO(), **options)
shown(sqlite_anomaly.score_pending(db, batch=100, progress=True))
print(db.execute("SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL").fetchall())
"""
        )
        said, pending = answers(program, tmp_path / "logs.db")
        assert re.fullmatch(r"3 200 100 100 False 0 entry '\w+': its text is NULL", said)
        assert pending == "[(0,)]"


class TestTurnstone:
    """`sqlite_anomaly.turnstone` in the place of the seed's app/services/anomaly.py."""

    def test_a_glean_cycle_runs_with_one_import_changed_and_gets_the_answers_of_the_seed(self, database, tmp_path):
        program = (TURNSTONE / "glean.py").read_text(encoding="utf-8")
        assert program.count(IMPORT) == 1
        # A module, for the future import must stay the first.
        (tmp_path / "glean.py").write_text(program.replace(IMPORT, SWAPPED), encoding="utf-8")
        model = golden.GOLDEN / "hybrid-bert"
        run = "import json, pathlib, glean\n"
        run += "print(json.dumps(glean.cycle(pathlib.Path(sys.argv[1]), sys.argv[2])))"
        done = python(run, str(database), str(model), PYTHONPATH=str(tmp_path), TURNSTONE_TENANT_ID=scorers.TENANT)
        assert json.loads(done.stdout) == json.loads((TURNSTONE / "expected.json").read_text(encoding="utf-8"))
        expected = json.loads((model / "expected.json").read_text(encoding="utf-8"))["log_entries"]
        for row, row_of_the_seed in zip(golden.rows(database, "log_entries"), expected, strict=True):
            assert row == pytest.approx(row_of_the_seed, rel=1e-5, abs=1e-4)

    def test_its_defaults_are_read_from_the_environment_at_the_import(self):
        program = "from sqlite_anomaly.turnstone import score_unscored as f\nprint(f.__defaults__)"
        assert answers(program) == ["('', 'cpu', 256, 0.75)"]
        changes = {"MODEL": "bundled", "DEVICE": "cuda", "BATCH": "7", "THRESHOLD": "0.5"}
        changes = {f"TURNSTONE_ANOMALY_{name}": value for name, value in changes.items()}
        assert answers(program, **changes) == ["('bundled', 'cuda', 7, 0.5)"]

    def test_the_tenant_is_that_of_the_moment_of_the_call(self, database):
        program = f"""
import os
from sqlite_anomaly.turnstone import list_detections, score_unscored
for tenant in ["acme", "other"]:
    os.environ["TURNSTONE_TENANT_ID"] = tenant
    score_unscored(sys.argv[1], {str(golden.GOLDEN / "hybrid-bert")!r}, threshold=0.0)
    print({{row["tenant_id"] for row in list_detections(sys.argv[1], limit=-1)}})
"""
        assert answers(program, database) == ["{'acme'}", "{'other'}"]

    def test_the_model_stays_loaded_between_calls_until_it_is_reset(self, database):
        model = str(golden.GOLDEN / "hybrid-bert")
        program = f"""
import sqlite_anomaly
from sqlite_anomaly.turnstone import reset_pipeline, score_unscored
def loaded():
    db = sqlite3.connect(":memory:")
    sqlite_anomaly.load(db, model={model!r})
    print(db.execute("SELECT value FROM anomaly_status WHERE key = 'model_loaded'").fetchall()[0][0])
    db.close()
loaded()
score_unscored(sys.argv[1], {model!r})
loaded()
reset_pipeline()
loaded()
"""
        assert answers(program, database) == ["0", "1", "0"]

    def test_it_may_be_called_and_reset_from_any_thread(self, database):
        program = f"""
from concurrent.futures import ThreadPoolExecutor
from sqlite_anomaly.turnstone import reset_pipeline, score_unscored
with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as another:
    print(one.submit(score_unscored, sys.argv[1], {str(golden.GOLDEN / "hybrid-bert")!r}).result().error)
    print(another.submit(reset_pipeline).result())
"""
        assert answers(program, database) == ["None", "None"]

    def test_what_the_scorer_refuses_is_told_in_the_result(self, database):
        program = f"""
from sqlite_anomaly.turnstone import score_unscored
print(score_unscored(sys.argv[1], {str(golden.GOLDEN / "hybrid-bert")!r}, batch_size=0))
print(score_unscored(sys.argv[1], {str(MODELS / "all-nan")!r}))
"""
        done = python(program, str(database))
        batch, model = done.stdout.splitlines()
        assert "setting 'batch' cannot be '0'" in batch
        assert "not a number" in model or "NaN" in model
        assert "Traceback" not in done.stderr

    def test_where_sqlite3_loads_no_extensions_the_result_names_the_remedies_and_the_rest_works(self, database):
        program = """
from functools import partial
from sqlite_anomaly.turnstone import acknowledge_detection, list_detections, score_unscored
class Bare(sqlite3.Connection):
    enable_load_extension = None
sqlite3.connect = partial(sqlite3.connect, factory=Bare)
print(score_unscored(sys.argv[1], "bundled").error)
print(list_detections(sys.argv[1]), acknowledge_detection(sys.argv[1], "none"))
"""
        error, rest = python(program, str(database)).stdout.splitlines()
        assert "pysqlite3-binary" in error
        assert rest == "[] False"

    def test_an_error_of_the_database_is_raised(self, database):
        program = f"""
from sqlite_anomaly.turnstone import score_unscored
db = sqlite3.connect(sys.argv[1])
db.execute("CREATE TRIGGER no AFTER UPDATE ON log_entries BEGIN SELECT RAISE(ABORT, 'not today'); END")
db.close()
try:
    score_unscored(sys.argv[1], {str(golden.GOLDEN / "hybrid-bert")!r})
except sqlite3.IntegrityError as error:
    print(error)
"""
        (said,) = answers(program, database)
        assert "not today" in said
