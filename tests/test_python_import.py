"""`sqlite-anomaly import`: lines of files become entries, once."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from package import (
    COMMAND,
    LOG,
    PATIENCE,
    command,
    complaint,
    environment,
    imported,
    logged,
    python,
    rows,
    said,
)

TEXTS = "SELECT text FROM log_entries ORDER BY rowid"


@pytest.fixture
def log(tmp_path) -> Path:
    return logged(tmp_path)


@pytest.fixture
def database(log) -> Path:
    """A database with the lines of the log in it."""
    return imported(log)


def texts(database: Path) -> list[str]:
    return [text for (text,) in rows(database, TEXTS)]


class TestOnce:
    """What is an entry already, under which name ever, is not inserted again."""

    def test_every_line_that_is_not_blank_is_an_entry(self, database):
        assert rows(database, "SELECT source_id, text, ingest_time IS NOT NULL FROM log_entries ORDER BY rowid") == [
            ("app.log", text, 1) for text in ("all is ok", "it failed failed", "it failed failed", "ok")
        ]

    def test_the_same_file_again_changes_nothing(self, database, log, tmp_path):
        before = rows(database, "SELECT * FROM log_entries")
        assert said(command("import", database, log)) == [f"{log}: 4 lines, 0 of them new"]
        assert said(command("import", database, log.name, cwd=tmp_path)) == ["app.log: 4 lines, 0 of them new"]
        assert rows(database, "SELECT * FROM log_entries") == before

    def test_of_a_file_that_grew_what_is_new_is_inserted(self, database, log):
        with log.open("a", encoding="utf-8") as file:
            file.write("all is ok\n")
        assert said(command("import", database, log)) == [f"{log}: 5 lines, 1 of them new"]

    def test_a_last_line_is_the_same_without_its_end_and_another_when_it_grows(self, tmp_path):
        log, database = tmp_path / "app.log", tmp_path / "logs.db"
        news = []
        for content in ("one\ntwo", "one\ntwo\r\n", "one\ntwo\r\nthr", "one\ntwo\r\nthree\nfour\n"):
            with log.open("r+b" if log.exists() else "wb") as file:
                file.write(content.encode())
            (answer,) = said(command("import", database, log, "--json"))
            news.append(json.loads(answer)["new"])
        assert news == [2, 0, 1, 2]
        assert texts(database) == ["one", "two", "thr", "three", "four"]

    def test_a_rotated_file_keeps_its_entries_and_the_new_one_of_its_name_has_its_own(self, database, log):
        rotated = log.rename(log.with_name("app.log.1"))
        log.write_text(LOG + "a login failed\n", encoding="utf-8")
        assert said(command("import", database, log, rotated)) == [
            f"{log}: 5 lines, 5 of them new", f"{rotated}: 4 lines, 0 of them new"
        ]  # fmt: skip

    def test_a_new_file_with_the_number_of_a_deleted_one_is_another(self, log):
        program = """
from pathlib import Path
from sqlite_anomaly import _identity
from sqlite_anomaly._textfile import open_twice
found = set()
for birth in ("one day", "another day", None):
    _identity._birth = lambda _: birth
    with open_twice(Path(sys.argv[1])) as (_, identity):
        found.add(identity)
print(len(found))
"""
        assert said(python(program, str(log))) == ["3"]

    def test_a_file_that_was_emptied_and_began_anew_is_new_from_its_first_difference_on(self, database, log):
        log.write_text(LOG.replace("\n\nit failed", "\nthis failed"), encoding="utf-8")
        assert said(command("import", database, log)) == [f"{log}: 4 lines, 2 of them new"]

    def test_the_same_lines_in_another_file_are_new(self, database, log, tmp_path):
        twin = shutil.copy(log, tmp_path / "twin.log")
        assert said(command("import", database, log, twin)) == [
            f"{log}: 4 lines, 0 of them new", f"{twin}: 4 lines, 4 of them new"
        ]  # fmt: skip

    def test_one_line_is_told_in_the_singular(self, tmp_path):
        (tmp_path / "one.log").write_text("it failed failed\n")
        assert said(command("import", "logs.db", "one.log", cwd=tmp_path)) == ["one.log: 1 line, 1 of them new"]

    @pytest.mark.parametrize("run", ["'$0' import logs.db - < app.log", "cat app.log | '$0' import logs.db -"])
    def test_the_lines_of_standard_input_are_new_each_time(self, database, tmp_path, run):
        for count in (8, 12):
            done = subprocess.run(
                ["sh", "-c", run.replace("$0", str(COMMAND))], cwd=tmp_path, env=environment(), text=True,
                capture_output=True, timeout=PATIENCE,
            )  # fmt: skip
            assert said(done) == ["-: 4 lines, 4 of them new"]
            assert len(texts(database)) == count
        assert {*rows(database, "SELECT source_id FROM log_entries")} == {("app.log",), ("stdin",)}

    def test_while_standard_input_waits_others_can_write(self, database):
        with subprocess.Popen(
            [COMMAND, "import", database, "-"], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            process.stdin.write(b"one\n")
            process.stdin.flush()
            with closing(sqlite3.connect(database, timeout=0)) as connection:
                for _ in range(20):
                    with connection:
                        connection.execute("UPDATE log_entries SET severity = 'INFO'")
                    time.sleep(0.05)
            output, _ = process.communicate(b"two\n", timeout=PATIENCE)
        assert output == b"-: 2 lines, 2 of them new\n"

    def test_a_tenant_and_a_source_of_ones_own(self, log, tmp_path):
        database = tmp_path / "logs.db"
        (answer,) = said(command("import", database, log, "--source", "web", "--tenant", "acme", "--json"))
        assert json.loads(answer) == {"file": str(log), "lines": 4, "new": 4}
        assert rows(database, "SELECT DISTINCT tenant_id, source_id FROM log_entries") == [("acme", "web")]


def tar(content: bytes) -> bytes:
    """An archive of one file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo("app.log")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


class TestText:
    """What a file holds is told by its bytes, whatever it is called."""

    @pytest.mark.parametrize("name", ["old.log.gz", "old.log.1", "OLD.GZ"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
    def test_a_compressed_file_is_unpacked(self, tmp_path, pack, name):
        (tmp_path / name).write_bytes(pack(b"first line\r\nlast line, no newline"))
        said(command("import", tmp_path / "logs.db", tmp_path / name))
        assert texts(tmp_path / "logs.db") == ["first line", "last line, no newline"]

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_a_byte_order_mark_is_obeyed_and_is_no_part_of_the_text(self, tmp_path, encoding, pack):
        lines = ["Größe: 3 \u2028 МБ 😀", "", "zwei"]
        (tmp_path / "app.log").write_bytes(pack("\r\n".join(lines).encode(encoding)))
        said(command("import", tmp_path / "logs.db", tmp_path / "app.log"))
        assert texts(tmp_path / "logs.db") == [lines[0], "zwei"]

    def test_utf_16_of_the_other_order(self, tmp_path):
        (tmp_path / "app.log").write_bytes("\ufeffGröße\n".encode("utf-16-be"))
        said(command("import", tmp_path / "logs.db", tmp_path / "app.log"))
        assert texts(tmp_path / "logs.db") == ["Größe"]

    def test_bytes_that_are_no_text_are_replaced(self, tmp_path):
        (tmp_path / "app.log").write_bytes(b"caf\xe9\n")
        said(command("import", tmp_path / "logs.db", tmp_path / "app.log"))
        assert texts(tmp_path / "logs.db") == ["caf\ufffd"]

    @pytest.mark.parametrize(
        ("content", "what", "remedy"),
        [
            (tar(b"a line\n"), "is a tar archive", "tar -xOf {} |"),
            (gzip.compress(tar(b"a line\n")), "is a tar archive", "tar -xOf {} |"),
            (b"\x28\xb5\x2f\xfd and more", "is compressed with zstd", "zstd -dc {} |"),
            (b"PK\x03\x04 and more", "is a zip archive", "unzip -p {} |"),
            ("no mark\n".encode("utf-16-le"), "holds NUL bytes", "iconv -f UTF-16LE -t UTF-8 {}"),
            (b"\0" * 5000 + b"a line\n", "holds NUL bytes", "tr -d '\\0' < {}"),
        ],
    )
    def test_what_is_no_text_is_refused_and_nothing_of_it_is_in(self, tmp_path, content, what, remedy):
        file, database = tmp_path / "app.log", tmp_path / "logs.db"
        file.write_bytes(content)
        text = complaint(command("import", database, file))
        assert text.startswith(f"sqlite-anomaly: {file} ")
        assert what in text and remedy.format(file) in text and "sqlite-anomaly import DB -" in text
        assert texts(database) == []

    def test_a_database_is_not_imported_into_itself(self, database):
        assert "holds NUL bytes" in complaint(command("import", database, database))
        assert len(texts(database)) == 4

    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: content[: len(content) // 2],
            lambda content: content[:40] + b"\xff" * 40 + content[80:],
        ],
    )
    def test_a_damaged_file_is_named_and_nothing_of_it_is_in(self, tmp_path, damage, pack):
        lines = "".join(f"line {n * n}\n" for n in range(10_000))
        file, database = tmp_path / "old.log.gz", tmp_path / "logs.db"
        file.write_bytes(damage(pack(lines.encode())))
        text = complaint(command("import", database, file))
        assert text.startswith(f"sqlite-anomaly: {file} cannot be decompressed (")
        assert "fetch it anew" in text
        assert texts(database) == []


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2026-06-12T13:08:01.123Z up", "2026-06-12T13:08:01.123000+00:00"),
        ("[2026-06-12T13:08:01+0200] up", "2026-06-12T11:08:01.000000+00:00"),
        ("2026-06-12T13:08:01.123456789+02:00 up", "2026-06-12T11:08:01.123456+00:00"),
        ("2026-06-12 13:08:01 -0330 up", "2026-06-12T16:38:01.000000+00:00"),
        ("2026-06-12 13:08:01.5+00 up", "2026-06-12T13:08:01.500000+00:00"),
        ("2026-06-12 13:08:01.5 UTC [7] up", "2026-06-12T13:08:01.500000+00:00"),
        # Of the time zone of the machine.
        ("2026-06-12 13:08:01,123 up", "2026-06-12T11:08:01.123000+00:00"),
        ("2026-01-12 13:08:01 -12 degrees", "2026-01-12T12:08:01.000000+00:00"),
        ("2026-02-30T13:08:01Z there is no such day", None),
        ("0001-01-01T00:00:00+12:00 before all days", None),
        ("2026-06-12T13:08:011 up", None),
        ("2026-06-12 up", None),
        ("up since 2026-06-12T13:08:01Z", None),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="the variable TZ is of Unix")
def test_the_time_that_a_line_begins_with_is_its_time(tmp_path, line, time):
    (tmp_path / "app.log").write_text(f"{line}\n", encoding="utf-8")
    said(command("import", tmp_path / "logs.db", tmp_path / "app.log", TZ="CET-1CEST,M3.5.0,M10.5.0"))
    assert rows(tmp_path / "logs.db", "SELECT timestamp_iso, text FROM log_entries") == [(time, line)]


class TestErrors:
    """Every error names the thing and the remedy, and what could be read is in."""

    def test_a_file_that_cannot_be_read_is_named_and_the_others_are_in(self, log, tmp_path):
        twin = shutil.copy(log, tmp_path / "twin.log")
        done = command("import", tmp_path / "logs.db", log, tmp_path / "none.log", twin)
        assert done.returncode == 1
        assert done.stdout == f"{log}: 4 lines, 4 of them new\n{twin}: 4 lines, 4 of them new\n"
        assert done.stderr == f"sqlite-anomaly: {tmp_path / 'none.log'}: No such file or directory\n"
        assert len(texts(tmp_path / "logs.db")) == 8

    def test_a_line_that_the_table_does_not_permit_is_told_and_not_left_out(self, log, tmp_path):
        database = tmp_path / "logs.db"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("CREATE TABLE log_entries (id TEXT PRIMARY KEY, text TEXT, level TEXT NOT NULL)")
        text = complaint(command("import", database, log))
        assert "NOT NULL constraint failed: log_entries.level" in text
        assert "remedy: give the columns that are not the extension's a default" in text

    def test_where_sqlite_rolled_back_by_itself_its_reason_is_told(self, tmp_path):
        (tmp_path / "big.log").write_text("".join(f"{n:01000}\n" for n in range(10_000)))
        program = """
import sqlite3
from pathlib import Path
from sqlite_anomaly import load
from sqlite_anomaly._logfile import import_file
folder = Path(sys.argv[1])
db = sqlite3.connect(folder / "logs.db", isolation_level=None)
load(db)
db.execute("SELECT anomaly_init()").fetchall()
db.execute("PRAGMA max_page_count = 200").fetchall()
try:
    import_file(db, folder / "big.log", "big", "")
except sqlite3.Error as error:
    print(error, db.in_transaction)
"""
        assert said(python(program, str(tmp_path))) == ["database or disk is full False"]

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
    def test_a_file_whose_name_is_no_text(self, tmp_path):
        name = os.fsdecode(b"caf\xe9.log")
        shutil.copy(logged(tmp_path), tmp_path / name)
        said(command("import", tmp_path / "logs.db", tmp_path / name))
        assert rows(tmp_path / "logs.db", "SELECT DISTINCT source_id FROM log_entries") == [("caf\ufffd.log",)]

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere arguments are text")
    def test_an_argument_that_is_no_text(self, database, log):
        value = os.fsdecode(b"caf\xe9")
        for arguments in (
            ["import", database, log, "--source", value],
            ["score", database, "--tenant", value],
            ["score", database, "--model", value],
            ["detections", database, "--label", value],
            ["ack", database, value],
        ):
            done = command(*arguments)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.endswith("cannot be 'caf\\udce9': its bytes are no UTF-8\n")

    def test_an_interrupt_says_what_is_not_in(self, tmp_path):
        log, database = tmp_path / "long.log", tmp_path / "logs.db"
        log.write_text("".join(f"worker {n} says hello\n" for n in range(1_000_000)))
        said(command("init", database))
        with subprocess.Popen(
            [COMMAND, "import", database, log], env=environment(), stderr=subprocess.PIPE, text=True
        ) as process:
            deadline = time.monotonic() + PATIENCE
            while not is_locked(database):
                assert time.monotonic() < deadline, "nothing was imported"
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (130, f"interrupted: nothing of {log} is in; import it again\n")
        assert texts(database) == []


def is_locked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False
