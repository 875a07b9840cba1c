"""The sqlite-utils plugin: its commands, and the extension's functions in the SQL of every other command."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlite_anomaly import ExtensionLoadingUnavailable
from sqlite_anomaly import sqlite_utils as plugin
from sqlite_utils.cli import cli

from conftest import MODELS
from plugins import SAMPLE, make_sample, query

FAILED = "Failed password for root from 203.0.113.9 port 22 ssh2"


def run(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs sqlite-utils as its users do."""
    command = [sys.executable, "-m", "sqlite_utils", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def invoke(*arguments: object) -> Result:
    """Runs sqlite-utils in this process."""
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scored sample log, which no test changes."""
    return make_sample(tmp_path_factory.mktemp("sample") / "logs.db")


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    """A database whose entries sqlite-utils inserted, without the columns that the scorer needs."""
    path = tmp_path / "logs.db"
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()[:60]
    rows = [{"id": str(number), "text": line} for number, line in enumerate([*lines, FAILED])]
    (tmp_path / "entries.json").write_text(json.dumps(rows))
    run("insert", path, "log_entries", tmp_path / "entries.json", "--pk", "id")
    return path


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose sqlite3 cannot load extensions."""

    def load(*_: object, **__: object) -> None:
        raise ExtensionLoadingUnavailable("sqlite3")

    monkeypatch.setattr(plugin, "load", load)


def test_sqlite_utils_knows_the_plugin():
    (found,) = json.loads(run("plugins").stdout)
    assert found["name"] == "sqlite-anomaly"
    assert set(found["hooks"]) == {"prepare_connection", "register_commands"}


def test_every_query_can_call_the_functions(tmp_path):
    answer = run("query", tmp_path / "new.db", f"SELECT anomaly_label('{FAILED}') AS label").stdout
    assert json.loads(answer) == [{"label": "SECURITY_ANOMALY"}]
    answer = run("memory", "SELECT count(*) AS n FROM anomaly_scores('x')").stdout
    assert json.loads(answer) == [{"n": 7}]


def test_the_environment_names_the_model(tmp_path, monkeypatch):
    monkeypatch.setenv("TURNSTONE_ANOMALY_MODEL", str(MODELS / "levels"))
    answer = run("query", tmp_path / "new.db", "SELECT anomaly_label('it failed') AS label").stdout
    assert json.loads(answer) == [{"label": "ERROR"}]


def test_score_makes_what_is_missing_and_scores(entries):
    said = run("anomaly-score", entries).stdout
    ((scored, failed),) = query(entries, "SELECT count(anomaly_score), sum(anomaly_score IS NULL) FROM log_entries")
    ((detections,),) = query(entries, "SELECT count(*) FROM detections")
    assert (scored, failed) == (61, 0) and detections > 0
    assert said == f"{scored} scored, {detections} detections, {failed} failed\n"
    assert query(entries, "SELECT anomaly_label FROM detections WHERE text = ?", FAILED) == [("SECURITY_ANOMALY",)]
    assert run("anomaly-score", entries).stdout == "0 scored, 0 detections, 0 failed\n"


def test_score_takes_a_threshold_and_a_model(entries):
    run("anomaly-score", entries, "--threshold", "1", "--model", MODELS / "levels")
    assert query(entries, "SELECT count(*) FROM detections") == [(0,)]
    assert query(entries, "SELECT threshold, model FROM anomaly_runs") == [(1.0, str(MODELS / "levels"))]


def test_score_says_which_entries_failed(entries):
    query(entries, "INSERT INTO log_entries (id, text) VALUES ('empty', NULL)")
    ended = run("anomaly-score", entries)
    assert ended.stdout.endswith(", 1 failed\n")
    assert "empty" in ended.stderr


def test_an_id_does_not_steer_the_terminal(entries):
    query(entries, "INSERT INTO log_entries (id, text) VALUES ('evil' || char(27) || ']0;owned' || char(7), NULL)")
    ended = run("anomaly-score", entries)
    assert "evil ]0;owned " in ended.stderr
    assert "\x1b" not in ended.stderr and "\x07" not in ended.stderr


def test_nor_does_an_error(entries):
    ended = run("anomaly-score", entries, "--model", "/no\x1b]0;owned\x07where", check=False)
    assert "/no ]0;owned where" in ended.stderr
    assert "\x1b" not in ended.stderr and "\x07" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--model", "/nowhere"], "/nowhere"),
        (["--threshold", "2"], "threshold"),
    ],
)
def test_score_names_what_it_cannot_use(entries, arguments, problem):
    ended = run("anomaly-score", entries, *arguments, check=False)
    assert ended.returncode != 0
    assert problem in ended.stderr and "Traceback" not in ended.stderr
    assert "pysqlite3" not in ended.stderr
    assert query(entries, "SELECT 1 FROM sqlite_master WHERE name = 'detections'") == []


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    for command in ("anomaly-score", "anomaly-detections"):
        ended = run(command, tmp_path / "none.db", check=False)
        assert ended.returncode == 2 and "does not exist" in ended.stderr
    assert not (tmp_path / "none.db").exists()


def test_detections_are_listed_newest_first(sample):
    expected = query(sample, "SELECT id FROM detections ORDER BY detected_at DESC, timestamp_iso DESC, rowid DESC")
    for options, most in (([], 100), (["-n", "3"], 3)):
        listed = json.loads(run("anomaly-detections", sample, *options).stdout)
        assert [row["id"] for row in listed] == [identifier for (identifier,) in expected[:most]]


def test_detections_are_limited_and_chosen(sample):
    some = json.loads(run("anomaly-detections", sample, "-n", "2", "--label", "SYSTEM_FAILURE").stdout)
    assert [row["anomaly_label"] for row in some] == ["SYSTEM_FAILURE"] * 2


def test_detections_that_are_acknowledged_can_be_left_out(entries):
    run("anomaly-score", entries)
    ((identifier, total),) = query(entries, "SELECT min(id), count(*) FROM detections")
    run("query", entries, "SELECT anomaly_acknowledge(:id)", "-p", "id", identifier)
    assert len(json.loads(run("anomaly-detections", entries).stdout)) == total
    still_open = json.loads(run("anomaly-detections", entries, "--open").stdout)
    assert len(still_open) == total - 1 and identifier not in {row["id"] for row in still_open}


def test_detections_have_the_formats_of_sqlite_utils(sample):
    rows = list(csv.DictReader(io.StringIO(run("anomaly-detections", sample, "-n", "3", "--csv").stdout)))
    assert len(rows) == 3 and rows[0]["severity"]
    assert "anomaly_label" in run("anomaly-detections", sample, "-n", "3", "--table").stdout.splitlines()[0]
    assert len(run("anomaly-detections", sample, "-n", "3", "--nl").stdout.splitlines()) == 3


def test_detections_of_a_database_without_the_tables_say_what_to_run(tmp_path):
    query(tmp_path / "plain.db", "CREATE TABLE t (x)")
    ended = run("anomaly-detections", tmp_path / "plain.db", check=False)
    assert ended.returncode == 1 and "anomaly_init()" in ended.stderr


@pytest.mark.usefixtures("unable")
@pytest.mark.parametrize("command", ["anomaly-score", "anomaly-detections"])
def test_a_command_says_what_helps_a_python_without_extensions(sample, command):
    ended = invoke(command, sample)
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: the module sqlite3 of this Python was built without the loading of ext")
    assert "pysqlite3-binary" in ended.stderr


@pytest.mark.usefixtures("unable")
@pytest.mark.parametrize(
    "call",
    [
        "anomaly_acknowledge('x')", "anomaly_classify('x')", "anomaly_config('model', 'bundled')",
        "anomaly_init()", "anomaly_label('x')", "anomaly_reset()", "anomaly_score('x')", "anomaly_score_all(256, 0.75)",
        "anomaly_version()",
    ],
)  # fmt: skip
def test_a_function_says_what_helps_a_python_without_extensions(sample, call):
    ended = invoke("query", sample, f"SELECT {call}")
    assert ended.exit_code == 1
    assert "built without the loading of extensions" in ended.stderr and "pysqlite3-binary" in ended.stderr


@pytest.mark.usefixtures("unable")
def test_everything_else_works_in_a_python_without_extensions(sample):
    ended = invoke("query", sample, "SELECT count(*) AS n FROM detections")
    assert ended.exit_code == 0 and json.loads(ended.stdout)[0]["n"] > 40
    assert ended.stderr == ""


def test_pysqlite3_is_taken_where_it_is_installed(tmp_path):
    """What the errors promise: nobody has to name it."""
    shim = tmp_path / "pysqlite3"
    shim.mkdir()
    (shim / "__init__.py").write_text("raise SystemExit('pysqlite3 was taken')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    for module in ("sqlite_utils", "datasette"):
        command = [sys.executable, "-m", module, "--version"]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert ended.stderr == "pysqlite3 was taken\n"
