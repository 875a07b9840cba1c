"""The command `sqlite-anomaly`, as the wheel installs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from conftest import MODELS, SUFFIX
from package import (
    COMMAND,
    LEVELS,
    PATIENCE,
    PYTHON,
    command,
    complaint,
    environment,
    imported,
    logged,
    python,
    rows,
    said,
)

ESCAPE = "\x1b"
ELSE = "this is a table of something else: rename it, or keep the logs in another database"
FOREIGN = [
    ("CREATE TABLE log_entries (a, b)", ("table log_entries lacks id", ELSE)),
    ("CREATE TABLE log_entries (id, text); CREATE TABLE detections (a)", ("table detections lacks id", ELSE)),
    (
        "CREATE TABLE lines (id, text); CREATE VIEW log_entries AS SELECT * FROM lines",
        ("log_entries is a view", "anomalies are scored in a table: give the view another name"),
    ),
]


@pytest.fixture
def log(tmp_path) -> Path:
    return logged(tmp_path)


@pytest.fixture
def database(log) -> Path:
    """A database with the lines of the log in it."""
    return imported(log)


class TestScoring:
    """`score`, `detections`, `ack`, `watch`."""

    def test_score_says_what_it_did(self, database):
        assert said(command("score", database, *LEVELS)) == ["4 entries scored, 2 detections"]
        assert said(command("score", database, *LEVELS)) == ["0 entries scored, 0 detections"]

    def test_score_takes_threshold_batch_and_device(self, database):
        options = ["--threshold", "1", "--batch", "3", "--device", "cpu", "--json"]
        (answer,) = said(command("score", database, *LEVELS, *options))
        answer = json.loads(answer)
        assert (answer["batches"], answer["scored"], answer["detections"]) == (2, 4, 0)

    def test_a_tenant_has_its_own_entries_and_detections(self, database, log):
        tenant = ["--tenant", "acme"]
        assert said(command("import", database, log, *tenant)) == [f"{log}: 4 lines, 4 of them new"]
        assert said(command("score", database, *LEVELS)) == ["4 entries scored, 2 detections"]
        assert said(command("score", database, *LEVELS, *tenant)) == ["4 entries scored, 2 detections"]
        assert len(said(command("detections", database, "--json"))) == 2
        listed = [json.loads(line) for line in said(command("detections", database, "--json", *tenant))]
        (theirs, *_) = (detection["id"] for detection in listed if detection["tenant_id"] == "acme")
        assert "for this tenant" in complaint(command("ack", database, theirs))
        assert said(command("ack", database, theirs, *tenant)) == [f"acknowledged {theirs}"]

    def test_a_run_that_finds_nothing_says_what_is_pending_of_other_tenants(self, database, log, tmp_path):
        said(command("score", database, *LEVELS))
        for tenant in ("acme", "zebra"):
            said(command("import", database, log, "--tenant", tenant))
        told = "sqlite-anomaly: entries of other tenants are pending ({}): give --tenant to score those of one\n"
        for tenant, others in (
            ([], "4 of acme, 4 of zebra"),
            (["--tenant", "acme"], None),
            (["--tenant", "acme"], "4 of zebra"),
        ):
            done = command("score", database, *LEVELS, *tenant)
            assert (done.returncode, done.stderr) == (0, told.format(others) if others else "")

    def test_one_is_told_in_the_singular(self, tmp_path):
        (tmp_path / "one.log").write_text("it failed failed\n")
        database = imported(tmp_path / "one.log")
        assert said(command("score", database, *LEVELS)) == ["1 entry scored, 1 detection"]

    def test_the_bundled_model_is_the_default_and_the_environment_can_name_another(self, database):
        models = []
        for changes in ({}, {"TURNSTONE_ANOMALY_MODEL": str(MODELS / "levels")}):
            said(command("score", database, **changes))
            models += rows(database, "SELECT model FROM anomaly_runs ORDER BY started DESC LIMIT 1")
            with closing(sqlite3.connect(database)) as connection, connection:
                connection.execute("UPDATE log_entries SET anomaly_scored_at = NULL")
        assert models == [("bundled",), (str(MODELS / "levels"),)]

    def test_detections_are_tab_separated_lines_where_nobody_looks(self, database):
        said(command("score", database, *LEVELS))
        heading, *lines = said(command("detections", database, "--limit", "1"))
        assert heading == "detected_at\tseverity\tanomaly_label\tanomaly_score\tsource_id\ttext\tid"
        (line,) = lines
        assert line.split("\t")[1:6] == ["ERROR", "ERROR", "0.995", "app.log", "it failed failed"]

    def test_as_json_a_detection_has_every_column(self, database):
        said(command("score", database, *LEVELS))
        lines = [json.loads(line) for line in said(command("detections", database, "--json", "--label", "error"))]
        columns = [name for _, name, *_ in rows(database, "PRAGMA table_info(detections)")]
        assert [list(line) for line in lines] == [columns] * 2

    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    def test_of_a_batch_the_newest_messages_come_first(self, database, limit):
        hours = [7, 9, 8, None, None, 6]
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("DELETE FROM log_entries")
            times = [hour and f"2026-06-12T0{hour}:00:00Z" for hour in hours]
            entries = [(f"e{number}", time) for number, time in enumerate(times)]
            insert = "INSERT INTO log_entries (id, ingest_time, timestamp_iso, text) VALUES (?, 'now', ?, 'it failed failed')"
            connection.executemany(insert, entries)
        said(command("score", database, *LEVELS))
        listed = [json.loads(line) for line in said(command("detections", database, "--json", "--limit", limit))]
        assert [line["entry_id"] for line in listed] == ["e1", "e2", "e0", "e5", "e4", "e3"][:limit]

    def test_where_nothing_matches_it_says_what_there_is(self, database):
        said(command("score", database, *LEVELS))
        done = command("detections", database, "--label", "eror")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
        assert done.stderr == "sqlite-anomaly: nothing matches; detections there are: ERROR by anomaly\n"

    def test_what_was_acknowledged_is_not_listed_among_the_others(self, database):
        said(command("score", database, *LEVELS))
        first, second = (json.loads(line)["id"] for line in said(command("detections", database, "--json")))
        assert said(command("ack", database, first, "--notes", "seen")) == [f"acknowledged {first}"]
        (left,) = said(command("detections", database, "--unacked", "--json"))
        assert json.loads(left)["id"] == second
        assert rows(database, "SELECT notes FROM detections WHERE acknowledged") == [("seen",)]

    def test_a_detection_that_is_not_there_cannot_be_acknowledged(self, database):
        assert f"sqlite-anomaly detections {database} lists" in complaint(command("ack", database, "none"))

    def test_to_acknowledge_again_without_notes_keeps_them_and_with_notes_changes_them(self, database):
        said(command("score", database, *LEVELS))
        first, second = (json.loads(line)["id"] for line in said(command("detections", database, "--json")))
        kept = []
        for options in (["--notes", "seen"], [], ["--notes", "mended"], ["--notes", ""]):
            said(command("ack", database, first, *options))
            kept += rows(database, "SELECT notes FROM detections WHERE acknowledged")
        assert kept == [("seen",), ("seen",), ("mended",), ("",)]
        said(command("ack", database, second))
        assert rows(database, "SELECT count(*) FROM detections WHERE acknowledged AND notes = ''") == [(2,)]


TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="opens a Unix terminal")
class TestTerminal:
    """Colours for people, and nothing that a log can do to their terminal."""

    def shown(self, *arguments: object, **changes: str) -> str:
        changes = {"TERM": "xterm-256color", "COLUMNS": "200", **changes}
        done = subprocess.run(
            [sys.executable, "-c", TERMINAL, COMMAND, *map(str, arguments)], env=environment(**changes),
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test_in_a_terminal_detections_are_a_table_with_colours(self, database):
        said(command("score", database, *LEVELS))
        shown = self.shown("detections", database)
        assert f"{ESCAPE}[31mERROR" in shown
        assert "\t" not in shown

    def test_with_no_color_the_table_has_none(self, database):
        said(command("score", database, *LEVELS))
        shown = self.shown("detections", database, NO_COLOR="1")
        assert "ERROR 0.995" in shown
        assert not re.search(rf"{ESCAPE}\[(?:\d+;)*[34]\d", shown)

    def test_a_terminal_that_can_but_print_gets_plain_lines(self, database):
        said(command("score", database, *LEVELS))
        shown = self.shown("detections", database, TERM="dumb")
        assert ESCAPE not in shown
        assert "ERROR\tERROR\t0.995" in shown

    def test_a_narrow_terminal_breaks_an_id_and_cuts_none(self, database):
        said(command("score", database, *LEVELS))
        ids = [json.loads(line)["id"] for line in said(command("detections", database, "--json"))]
        shown = re.sub(rf"{ESCAPE}\[[\d;]*m|\s", "", self.shown("detections", database, COLUMNS="60"))
        assert ids and all(id_ in shown for id_ in ids)

    def test_a_run_shows_how_far_it_is(self, database):
        shown = self.shown("score", database, *LEVELS)
        assert ESCAPE in shown
        assert "4 entries scored, 2 detections" in shown

    def test_the_bar_stays_where_it_is_while_a_lock_hides_what_is_pending(self, database):
        program = """
from argparse import Namespace
from pathlib import Path
from sqlite_anomaly import _running, _session
answers = iter([10, None, _session.able_driver().error("database is locked"), 7])
def one(*_):
    answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    return answer
_session.value_of = one
_running.run = lambda connection, tick: [tick() for _ in range(3)]
completed = []
update = _running.Progress.update
_running.Progress.update = lambda self, task, **fields: (completed.append(fields["completed"]), update(self, task, **fields))
_running.run_visibly(None, Namespace(database=Path(sys.argv[1])))
print(completed)
"""
        done = python(program, str(database))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "[0, 3]\n"

    def test_what_a_log_says_does_not_steer_the_terminal(self, tmp_path):
        (tmp_path / "evil.log").write_bytes(b"failed failed \x1b[2J\x1b]0;owned\x07\tdone [red]x[/red]\n")
        database = tmp_path / "logs.db"
        said(command("import", database, tmp_path / "evil.log"))
        said(command("score", database, *LEVELS))
        shown = self.shown("detections", database)
        for control in (f"{ESCAPE}[2J", f"{ESCAPE}]0;", "\x07"):
            assert control not in shown
        assert "[red]x[/red]" in shown
        _, line = said(command("detections", database))
        assert (ESCAPE in line, line.count("\t")) == (False, 6)
        (answer,) = said(command("detections", database, "--json"))
        assert json.loads(answer)["text"] == "failed failed \x1b[2J\x1b]0;owned\x07\tdone [red]x[/red]"

    def test_nor_does_the_id_of_an_entry_that_cannot_be_scored(self, database):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("INSERT INTO log_entries (id, text) VALUES (?, NULL)", ["evil\x1b]0;owned\x07"])
        (line,) = said(command("score", database, *LEVELS))
        assert "1 could not be scored" in line and "evil ]0;owned " in line
        assert not {ESCAPE, "\x07"} & {*line}

    def test_nor_does_an_error(self, database):
        text = complaint(command("score", database, "--model", "/no\x1b]0;owned\x07where"))
        assert "/no ]0;owned where" in text
        assert not {ESCAPE, "\x07"} & {*text}

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    def test_without_a_stream_to_print_to_the_work_is_done(self, database, closed):
        call = f'"$0" "$@" {closed}'
        for arguments in (["score", database, *LEVELS], ["detections", database]):
            done = subprocess.run(
                ["sh", "-c", call, COMMAND, *map(str, arguments)], env=environment(), capture_output=True, text=True,
                timeout=PATIENCE,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
        assert rows(database, "SELECT count(*) FROM detections") == [(2,)]

    def test_a_reader_that_leaves_early_sees_no_traceback(self, database):
        said(command("score", database, *LEVELS))
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE detections SET text = hex(zeroblob(1000000))")
        done = subprocess.run(
            ["sh", "-c", '"$0" detections "$1" | head -c 10', COMMAND, database], env=environment(),
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("detected_a", "")


class TestErrors:
    """Every error names the thing and the remedy, and shows no traceback."""

    def test_a_database_that_is_not_there(self, tmp_path):
        database = tmp_path / "none.db"
        assert complaint(command("score", database)) == (
            f"sqlite-anomaly: there is no file {database}: sqlite-anomaly init {database} makes it\n"
        )
        assert not database.exists()

    def test_a_file_that_is_no_database(self, log):
        text = complaint(command("detections", log))
        assert "not a database" in text
        assert f"remedy: sqlite-anomaly doctor {log}" in text

    def test_a_database_without_the_tables(self, tmp_path):
        database = tmp_path / "other.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE other (x)")
        assert f"remedy: sqlite-anomaly init {database}" in complaint(command("score", database, *LEVELS))
        assert "created table log_entries" in said(command("init", database))[0]
        assert said(command("score", database, *LEVELS)) == ["0 entries scored, 0 detections"]

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("--device", "toaster", "cpu"),
            ("--device", "cuda", "anomaly_config('device', 'cpu')"),
            ("--model", "nope", "is called 'bundled'"),
            ("--model", "/no/such/model", "give 'bundled'"),
        ],
    )
    def test_a_value_that_cannot_be_used(self, database, option, value, words):
        text = complaint(command("score", database, option, value))
        assert value in text
        assert words in text
        # The doctor would find nothing wrong.
        assert "remedy" not in text

    @pytest.mark.parametrize(
        ("name", "option", "values", "allowed"),
        [
            ("detections", "--limit", ["-1", "many"], "a whole number of rows from 0 to 9223372036854775807"),
            ("score", "--threshold", ["7", "-0.1", "nan", "high"], "a number from 0 to 1"),
            ("score", "--batch", ["0", "65537", "1.5"], "a whole number of rows from 1 to 65536"),
            ("watch", "--interval", ["0", "-3", "nan", "inf", "0.01"], "a number of seconds from 0.1 to 86400"),
        ],
    )
    def test_a_number_out_of_its_range(self, database, name, option, values, allowed):
        for value in values:
            done = command(name, database, option, value)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.endswith(f"argument {option}: cannot be '{value}': allowed is {allowed}\n")

    @pytest.mark.parametrize(("table", "problem"), FOREIGN)
    def test_a_database_whose_tables_are_something_else(self, tmp_path, log, table, problem):
        database = tmp_path / "other.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(table)
        for arguments in (["init", database], ["import", database, log]):
            text = complaint(command(*arguments))
            assert problem[0] in text
            # No other line follows: the text says the remedy.
            assert text.endswith(f"; {problem[1]}\n")

    def test_a_path_where_no_database_can_be_made(self, tmp_path):
        folder = tmp_path / "nodir"
        for name in ("init", "score"):
            text = complaint(command(name, folder / "logs.db"))
            assert text == f"sqlite-anomaly: there is no folder {folder}: make it, or name a file in another\n"
            text = complaint(command(name, tmp_path))
            assert text == f"sqlite-anomaly: {tmp_path} is a folder: name a file, such as {tmp_path / 'logs.db'}\n"
            text = complaint(command(name, "/dev/null"))
            assert text == "sqlite-anomaly: /dev/null is a device or a pipe: name the file of a database\n"
            done = command(name, "")
            assert done.returncode == 2
            assert done.stderr.endswith("argument DB: the path is empty: name a file\n")

    @pytest.mark.parametrize("database", [":memory:", "file:x.db?mode=ro", "file:/x.db"])
    def test_a_database_that_is_no_file_is_refused_and_no_file_is_made(self, tmp_path, database):
        for name in ("init", "score"):
            text = complaint(command(name, database, cwd=tmp_path))
            assert text.startswith(f"sqlite-anomaly: {database} ")
            assert ": name " in text
        assert list(tmp_path.iterdir()) == []

    def test_a_variable_that_cannot_be_used(self, database):
        text = complaint(command("score", database, TURNSTONE_ANOMALY_BATCH="zero"))
        assert "remedy: correct the environment variable TURNSTONE_ANOMALY_BATCH, or unset it\n" in text

    def test_a_command_line_that_cannot_be_read(self, database):
        for arguments in ([], ["scare", database], ["score"], ["score", database, "--threshold", "high"]):
            done = command(*arguments)
            assert done.returncode == 2
            assert "usage: sqlite-anomaly" in done.stderr


# A Python in which something is different, by a file that every Python reads at its start.
WITHOUT_LOADING = """
import sqlite3, sys
sqlite3.Connection = object
sys.modules["apsw"] = sys.modules["pysqlite3"] = None
"""
OLD_SQLITE = """
import sys
import sqlite3
if not hasattr(sqlite3.Connection, "enable_load_extension"):
    import pysqlite3 as sqlite3
class Old(sqlite3.Connection):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.create_function("sqlite_version", 0, lambda: "3.31.1")
sqlite3.Connection = Old
"""
ONLY = """
import sqlite3, sys
sqlite3.Connection = object
sys.modules["{other}"] = None
"""


class TestDoctor:
    """Each broken set-up is found, named, and given its remedy."""

    @pytest.fixture
    def package(self, tmp_path) -> Path:
        """A copy of the installed packages, to be broken; Python finds it first."""
        (site,) = (PYTHON.parent.parent).glob("[Ll]ib/**/site-packages/sqlite_anomaly")
        folder = tmp_path / "packages"
        shutil.copytree(site, folder / "sqlite_anomaly", ignore=shutil.ignore_patterns("__pycache__", "model"))
        shutil.copytree(site / "model", folder / "sqlite_anomaly" / "model", copy_function=os.symlink)
        (folder / "onnxruntime").symlink_to(site.parent / "onnxruntime")
        return folder

    def findings(self, *arguments: object, status: int = 1, **changes: str) -> dict[str, dict]:
        done = command("doctor", *arguments, "--json", **changes)
        assert (done.returncode, done.stderr) == (status, "")
        return {finding["check"]: finding for finding in map(json.loads, done.stdout.splitlines())}

    def wrong(self, check: str, *arguments: object, **changes: str) -> str:
        """Detail and remedy of the only thing that is wrong."""
        findings = self.findings(*arguments, **changes)
        assert [name for name, finding in findings.items() if finding["ok"] is False] == [check]
        assert findings[check]["remedy"] or "install" in findings[check]["detail"]
        return f"{findings[check]['detail']}; {findings[check]['remedy']}"

    def start_with(self, program: str, tmp_path: Path) -> dict[str, str]:
        """The environment of a Python that runs a program first."""
        folder = tmp_path / "start"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(program, encoding="utf-8")
        return {"PYTHONPATH": str(folder)}

    def test_when_all_is_well_everything_is_shown(self, database):
        findings = self.findings(database, status=0)
        assert list(findings) == ["Python", "SQLite", "extension", "ONNX Runtime", "model", "database"]
        assert all(finding["ok"] for finding in findings.values())
        assert "onnxruntime/capi" in findings["ONNX Runtime"]["detail"].replace(os.sep, "/")
        assert re.search(r"version 1\.2[4-8]\.\d+,", findings["ONNX Runtime"]["detail"])
        assert "SECURITY_ANOMALY" in findings["model"]["detail"]
        assert "4 entries, 4 of them to be scored" in findings["database"]["detail"]

    @pytest.mark.parametrize(
        ("columns", "named"),
        [
            ("message TEXT", 'text = "message", '),
            ("host TEXT, message TEXT", "text = COLUMN, "),
            ("severity", "COLUMN"),
        ],
    )
    def test_entries_without_a_text(self, tmp_path, columns, named):
        database = tmp_path / "own.db"
        rows(database, f"CREATE TABLE log_entries (id INTEGER PRIMARY KEY, {columns})")
        said(command("init", database))
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.executemany("INSERT INTO log_entries (id) VALUES (?)", [(1,), (2,)])
        said_of_it = self.wrong("texts", database)
        assert said_of_it.startswith("2 entries have no text, and cannot be scored; UPDATE log_entries SET text = ")
        assert named in said_of_it

    def test_the_remedy_of_entries_without_a_text_helps(self, tmp_path):
        database = tmp_path / "own.db"
        rows(database, "CREATE TABLE log_entries (id INTEGER PRIMARY KEY, message TEXT)")
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("INSERT INTO log_entries (message) VALUES ('failed failed')")
        said(command("init", database))
        command("score", database, *LEVELS)
        remedy = self.findings(database)["texts"]["remedy"]
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(remedy)
        assert said(command("score", database, *LEVELS)) == ["1 entry scored, 1 detection"]
        assert "texts" not in self.findings(database, status=0)

    def test_in_words(self, tmp_path):
        done = command("doctor", tmp_path / "none.db")
        assert done.returncode == 1
        assert done.stdout.splitlines()[0].startswith("ok  Python: Python 3.")
        assert done.stdout.splitlines()[-2:] == [
            f"WRONG  database: there is no file {tmp_path / 'none.db'}",
            f"    remedy: sqlite-anomaly init {tmp_path / 'none.db'} makes it",
        ]

    def test_a_python_that_loads_no_extensions(self, tmp_path, database):
        text = self.wrong("Python", database, **self.start_with(WITHOUT_LOADING, tmp_path))
        assert "built without the loading of extensions" in text
        assert "pip install apsw" in text
        # Nor do the other commands have anything else to say.
        done = command("score", database, PYTHONPATH=str(tmp_path / "start"))
        assert "pip install apsw" in complaint(done)

    @pytest.mark.parametrize(("driver", "other"), [("apsw", "pysqlite3"), ("pysqlite3", "apsw")])
    def test_such_a_python_is_served_by_another_driver(self, tmp_path, log, driver, other):
        start = self.start_with(ONLY.format(other=other), tmp_path)
        findings = self.findings(status=0, **start)
        assert f"with {driver} (sqlite3 cannot load extensions)" in findings["Python"]["detail"]
        database = tmp_path / "other.db"
        said(command("import", database, log, **start))
        assert said(command("score", database, *LEVELS, **start)) == ["4 entries scored, 2 detections"]
        assert len(said(command("detections", database, **start))) == 3
        assert "ERROR" not in complaint(command("ack", database, "none", **start))
        assert "not a database" in complaint(command("score", log, *LEVELS, **start))

    def test_an_old_sqlite(self, tmp_path):
        text = self.wrong("SQLite", **self.start_with(OLD_SQLITE, tmp_path))
        assert "version 3.31.1 is too old; 3.34.1 or newer is needed" in text

    def test_no_file_of_the_extension(self, package):
        file = package / "sqlite_anomaly" / f"anomaly0{SUFFIX}"
        file.unlink()
        text = self.wrong("extension", PYTHONPATH=str(package))
        assert f"there is no {file}" in text
        assert "pip install --force-reinstall --no-deps sqlite_anomaly-*.whl" in text

    def test_a_file_of_the_extension_that_is_none(self, package):
        (package / "sqlite_anomaly" / f"anomaly0{SUFFIX}").write_bytes(b"no library")
        assert "pip install --force-reinstall" in self.wrong("extension", PYTHONPATH=str(package))

    def test_no_onnxruntime(self, package):
        (package / "onnxruntime").unlink()
        text = self.wrong("ONNX Runtime", PYTHONPATH=str(package))
        assert "no usable ONNX Runtime library" in text
        assert "pip install --force-reinstall 'onnxruntime>=1.24,<1.29'" in text

    def test_a_wrong_library_in_ort_dylib_path(self, tmp_path):
        (tmp_path / "library.so").write_bytes(b"no library")
        text = self.wrong("ONNX Runtime", ORT_DYLIB_PATH=str(tmp_path / "library.so"))
        assert "unset the environment variable ORT_DYLIB_PATH" in text

    def test_no_model(self, package):
        shutil.rmtree(package / "sqlite_anomaly" / "model")
        text = self.wrong("model", PYTHONPATH=str(package))
        assert "there is no folder" in text
        assert "pip install --force-reinstall --no-deps sqlite_anomaly-*.whl" in text

    @pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "config.json"])
    def test_a_model_that_was_cut_short(self, package, file):
        path = package / "sqlite_anomaly" / "model" / file
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
        text = self.wrong("model", PYTHONPATH=str(package))
        assert file in text

    def test_another_model_that_is_missing(self):
        assert "/no/such/model" in self.wrong("model", "--model", "/no/such/model")

    def test_no_database(self, log):
        assert "is not a database" in self.wrong("database", log)

    def test_a_database_without_the_tables(self, tmp_path):
        sqlite3.connect(tmp_path / "empty.db").close()
        assert "sqlite-anomaly init" in self.wrong("database", tmp_path / "empty.db")

    @pytest.mark.parametrize(("table", "problem"), FOREIGN)
    def test_a_database_whose_tables_are_something_else(self, tmp_path, table, problem):
        database = tmp_path / "other.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(table)
        before = rows(database, "SELECT * FROM sqlite_master")
        text = self.wrong("database", database)
        assert problem[0] in text
        assert text.endswith(f"; {problem[1]}")
        assert rows(database, "SELECT * FROM sqlite_master") == before

    def test_a_database_with_a_view_of_all_columns(self, database):
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript("ALTER TABLE detections RENAME TO d; CREATE VIEW detections AS SELECT * FROM d")
        text = self.wrong("database", database)
        assert "detections is a view" in text
        assert text.endswith("; anomalies are scored in a table: give the view another name")

    @pytest.mark.parametrize("driver", ["sqlite3", "apsw", "pysqlite3"])
    def test_a_database_that_was_cut_short(self, tmp_path, log, driver):
        log.write_text("".join(f"line {n} is fine\n" for n in range(1000)), encoding="utf-8")
        database = tmp_path / "logs.db"
        said(command("import", database, log))
        with database.open("r+b") as file:
            file.truncate(20_000)
        others = {"apsw": "pysqlite3", "pysqlite3": "apsw"}
        start = self.start_with(ONLY.format(other=others[driver]), tmp_path) if driver in others else {}
        text = self.wrong("database", database, **start)
        assert "malformed" in text
        assert "PRAGMA integrity_check says what is damaged: restore a copy" in text

    def test_a_path_without_a_database(self, tmp_path):
        folder = tmp_path / "nodir"
        assert f"there is no folder {folder}; make it" in self.wrong("database", folder / "logs.db")
        assert "/dev/null is a device or a pipe; name the file" in self.wrong("database", "/dev/null")
        assert f"{tmp_path} is a folder; name a file" in self.wrong("database", tmp_path)

    @pytest.mark.parametrize(
        ("check", "name", "value", "remedy"),
        [
            ("extension", "BATCH", "zero", "correct the environment variable TURNSTONE_ANOMALY_BATCH, or unset it"),
            ("model", "DEVICE", "cuda", "unset the environment variable TURNSTONE_ANOMALY_DEVICE, or give --device"),
            ("model", "MODEL", "nope", "unset the environment variable TURNSTONE_ANOMALY_MODEL, or name another"),
        ],
    )
    def test_a_variable_that_cannot_be_used(self, check, name, value, remedy):
        assert f"; {remedy}" in self.wrong(check, **{f"TURNSTONE_ANOMALY_{name}": value})

    def test_a_device_that_is_not_there(self):
        assert self.wrong("model", "--device", "cuda").endswith("; give --device cpu")

    def test_a_database_that_cannot_be_written_to(self, database):
        # In its header: only a later SQLite may write. (File modes mean nothing to root, who runs tests too.)
        with database.open("r+b") as file:
            file.seek(18)
            file.write(b"\x03")
        text = self.wrong("database", database)
        assert "readonly" in text
        assert "let this user write" in text

    def test_a_database_that_is_locked_for_good(self, database):
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            text = self.wrong("database", database)
        assert "locked" in text
        assert text.endswith("; wait until another program lets go of it")
