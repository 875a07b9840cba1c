"""Scores while something fails, once for every moment at which it can; a program that test_faults.py runs.

It is a process of its own because it needs apsw, whose SQLite is not that of the other tests. Called with the name of a
fault, a folder and the ways to score, it prints one JSON object per run.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw

from torture import entries, growing, problems, scaled, unfinished

ROOT = Path(__file__).resolve().parent.parent
BATCH = 4
ENTRIES = scaled(14, 18)

# What SQLite says of the statements that fail, as (code, text): a Python exception that a fault needs covers it up.
LOG: list[tuple[int, str]] = []
apsw.config(apsw.SQLITE_CONFIG_LOG, lambda code, text: LOG.append((code, text)))


class Trap:
    """Does something at the k-th call of some kind, or from the k-th on."""

    def __init__(self) -> None:
        self.disarm()

    def arm(self, call: str, at: int, action: Callable[[], None], *, lasting: bool = False) -> None:
        self.call, self.at, self.action, self.lasting, self.calls = call, at, action, lasting, 0

    def disarm(self) -> None:
        self.call = None
        self.calls = self.at = 0

    def pass_by(self, call: str) -> None:
        if call != self.call:
            return
        self.calls += 1
        if self.calls == self.at or (self.lasting and self.calls > self.at):
            self.action()

    @property
    def was_met(self) -> bool:
        return self.calls >= self.at > 0


TRAP = Trap()
DISK_NAME = "trapped"


class File(apsw.VFSFile):
    """A file on the default file system, with a trap in each call. Nothing is synced: no power fails here."""

    def __init__(self, name, flags) -> None:
        super().__init__("", name, flags)

    def xRead(self, amount, offset):
        TRAP.pass_by("xRead")
        return super().xRead(amount, offset)

    def xWrite(self, data, offset):
        TRAP.pass_by("xWrite")
        return super().xWrite(data, offset)

    def xTruncate(self, size):
        TRAP.pass_by("xTruncate")
        return super().xTruncate(size)

    def xSync(self, flags):
        TRAP.pass_by("xSync")

    def xFileSize(self):
        TRAP.pass_by("xFileSize")
        return super().xFileSize()

    def xLock(self, level):
        TRAP.pass_by("xLock")
        return super().xLock(level)


class Disk(apsw.VFS):
    """The default file system, with a trap in each call."""

    def __init__(self) -> None:
        super().__init__(DISK_NAME, "")

    def xOpen(self, name, flags):
        TRAP.pass_by("xOpen")
        return File(name, flags)

    def xDelete(self, name, sync):
        TRAP.pass_by("xDelete")
        return super().xDelete(name, False)

    def xAccess(self, name, flags):
        TRAP.pass_by("xAccess")
        return super().xAccess(name, flags)


DISK = Disk()


def connect(path: Path | str, vfs: str | None = None) -> apsw.Connection:
    """Opens a database with the extension loaded and the model `levels` warm."""
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=0)
    connection.enable_load_extension(True)
    connection.load_extension(str(EXTENSION))
    configure = "SELECT anomaly_config('model', ?), anomaly_config('busy_timeout_ms', 20), anomaly_label('ok')"
    connection.execute(configure, (str(ROOT / "tests" / "models" / "levels"),)).fetchall()
    return connection


# The ways to score: what runs, and how the host ends what it began.
WAYS = {
    "all": [f"SELECT anomaly_score_all({BATCH})"],
    "pending": [f"SELECT * FROM anomaly_score_pending({BATCH})"],
    "in a transaction": ["BEGIN", f"SELECT anomaly_score_all({BATCH})", "COMMIT"],
    "in a statement": [f"INSERT INTO report SELECT scored FROM anomaly_score_pending({BATCH})"],
}


def make(folder: Path, journal: str, encoding: str) -> Path:
    """A database to copy: small pages, so that a few entries fill several."""
    path = folder / f"{journal}-{encoding}.db"
    connection = connect(path)
    for pragma in ["page_size = 512", f"encoding = '{encoding}'", f"journal_mode = {journal}"]:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("SELECT anomaly_init()").fetchall()
    connection.execute("CREATE TABLE report (scored)")
    connection.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries(ENTRIES))
    connection.close()
    return path


def empty(path: Path) -> None:
    """Cuts a file to nothing."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Writes something else over a file, as long as it was."""
    with path.open("r+b") as file:
        file.write(b"no database " * (path.stat().st_size // 12))


Fault = AbstractContextManager[Callable[[], bool]]
"""While it is open something fails; it gives what says whether that was met."""


@contextmanager
def trapped(call: str, k: int, action: Callable[[], None], *, lasting: bool = False) -> Iterator[Callable[[], bool]]:
    """Something is done at the k-th call of some kind."""
    TRAP.arm(call, k, action, lasting=lasting)
    yield lambda: TRAP.was_met
    TRAP.disarm()


def disk(call: str, code: int, lasting: bool, db, k: int) -> Fault:
    """The k-th call of the file system fails."""

    def fail() -> None:
        raise apsw.exception_for(code)

    return trapped(call, k, fail, lasting=lasting)


def ruin(call: str, harm: Callable[[Path], None], db, k: int) -> Fault:
    """Harm comes to the file of the database during the k-th call of the file system."""
    return trapped(call, k, lambda: harm(Path(db.filename)))


def interrupt(call: str, db, k: int) -> Fault:
    """The connection is interrupted during the k-th call of the file system."""
    return trapped(call, k, db.interrupt)


@contextmanager
def interrupt_at_preparation(db, k: int) -> Iterator[Callable[[], bool]]:
    """The connection is interrupted while a statement is prepared, the k-th time that the authorizer is asked."""

    def authorize(*what) -> int:
        TRAP.pass_by("authorizer")
        return apsw.SQLITE_OK

    with trapped("authorizer", k, db.interrupt) as was_met:
        db.authorizer = authorize
        yield was_met
        db.authorizer = None


@contextmanager
def interrupt_beside(db, k: int) -> Iterator[Callable[[], bool]]:
    """The connection is interrupted by another thread at some moment; `k` chooses which."""
    is_met = k <= scaled(60, 2000)
    moment = random.Random(k).uniform(0, 0.006)
    timer = threading.Timer(moment, db.interrupt)
    if is_met:
        timer.start()
    yield lambda: is_met
    if is_met:
        timer.join()


@contextmanager
def denial(lasting: bool, db, k: int) -> Iterator[Callable[[], bool]]:
    """The authorizer denies what it is asked the k-th time."""
    verdict = [apsw.SQLITE_OK]

    def deny() -> None:
        verdict[0] = apsw.SQLITE_DENY

    def authorize(*what) -> int:
        verdict[0] = apsw.SQLITE_OK
        TRAP.pass_by("authorizer")
        return verdict[0]

    with trapped("authorizer", k, deny, lasting=lasting) as was_met:
        db.authorizer = authorize
        yield was_met
        db.authorizer = None


@contextmanager
def stop(lasting: bool, db, k: int) -> Iterator[Callable[[], bool]]:
    """The progress handler ends the statement at the k-th step."""
    verdict = [False]

    def end() -> None:
        verdict[0] = True

    def progress() -> bool:
        verdict[0] = False
        TRAP.pass_by("progress")
        return verdict[0]

    with trapped("progress", k, end, lasting=lasting) as was_met:
        db.set_progress_handler(progress, 1)
        yield was_met
        db.set_progress_handler(None)


@contextmanager
def memory(step: int, db, k: int) -> Iterator[Callable[[], bool]]:
    """SQLite may use only k steps more than it does. Whether that is too little shows in the error."""
    apsw.hard_heap_limit(apsw.memory_used() + k * step)
    yield lambda: False
    apsw.hard_heap_limit(0)


FAULTS = {
    "write": lambda *at: disk("xWrite", apsw.SQLITE_IOERR_WRITE, False, *at),
    "write, lasting": lambda *at: disk("xWrite", apsw.SQLITE_IOERR_WRITE, True, *at),
    "full": lambda *at: disk("xWrite", apsw.SQLITE_FULL, False, *at),
    "full, lasting": lambda *at: disk("xWrite", apsw.SQLITE_FULL, True, *at),
    "sync": lambda *at: disk("xSync", apsw.SQLITE_IOERR_FSYNC, False, *at),
    "truncate": lambda *at: disk("xTruncate", apsw.SQLITE_IOERR_TRUNCATE, False, *at),
    "read": lambda *at: disk("xRead", apsw.SQLITE_IOERR_READ, False, *at),
    "read damage": lambda *at: disk("xRead", apsw.SQLITE_CORRUPT, False, *at),
    "open": lambda *at: disk("xOpen", apsw.SQLITE_CANTOPEN, False, *at),
    "lock": lambda *at: disk("xLock", apsw.SQLITE_IOERR_LOCK, False, *at),
    "busy": lambda *at: disk("xLock", apsw.SQLITE_BUSY, True, *at),
    "size": lambda *at: disk("xFileSize", apsw.SQLITE_IOERR_FSTAT, False, *at),
    "delete": lambda *at: disk("xDelete", apsw.SQLITE_IOERR_DELETE, False, *at),
    "access": lambda *at: disk("xAccess", apsw.SQLITE_IOERR_ACCESS, False, *at),
    "emptied at a read": lambda *at: ruin("xRead", empty, *at),
    "emptied at a write": lambda *at: ruin("xWrite", empty, *at),
    "emptied at a lock": lambda *at: ruin("xLock", empty, *at),
    "deleted at a write": lambda *at: ruin("xWrite", Path.unlink, *at),
    "deleted at a lock": lambda *at: ruin("xLock", Path.unlink, *at),
    "overwritten at a read": lambda *at: ruin("xRead", overwrite, *at),
    "overwritten at a lock": lambda *at: ruin("xLock", overwrite, *at),
    "interrupt at a write": lambda *at: interrupt("xWrite", *at),
    "interrupt at a sync": lambda *at: interrupt("xSync", *at),
    "interrupt at a read": lambda *at: interrupt("xRead", *at),
    "interrupt at a lock": lambda *at: interrupt("xLock", *at),
    "interrupt at a preparation": interrupt_at_preparation,
    "interrupt": interrupt_beside,
    "denial": lambda *at: denial(False, *at),
    "denial, lasting": lambda *at: denial(True, *at),
    "progress": lambda *at: stop(False, *at),
    "progress, lasting": lambda *at: stop(True, *at),
    "memory": lambda *at: memory(scaled(2048, 128), *at),
}


# A journal is cut short in one mode only.
JOURNALS = {"truncate": ["truncate"], "write": ["delete", "persist", "wal"]}


# These leave no database.
RUINOUS = {fault for fault in FAULTS if fault.startswith(("emptied", "deleted", "overwritten"))}


def said(sql: str, error: apsw.Error) -> tuple[int, str]:
    """Code and text of a statement's error, as SQLite has them."""
    for code, text in reversed(LOG):
        match = re.fullmatch(r"statement aborts at \d+: (.*); \[(.*)\]", text, re.DOTALL)
        if match and match[2] == sql:
            # Out of memory, there may be none for the text.
            return code, match[1] or str(error)
    return error.extendedresult, str(error)


def run(db: apsw.Connection, statements: list[str]) -> tuple[int, str] | None:
    """Runs statements; the first error, after which what is open is committed, as a careless host would do it."""
    error = None
    for sql in statements:
        try:
            LOG.clear()
            db.execute(sql).fetchall()
        except apsw.Error as caught:
            error = error or said(sql, caught)
    return error


def copy_of(template: Path) -> Path:
    """A fresh copy of a database."""
    path = template.with_name("copy.db")
    for file in path.parent.glob("copy.db*"):
        file.unlink()
    return Path(shutil.copy(template, path))


def opened(path: Path, journal: str, fault: str) -> apsw.Connection:
    """A connection that has everything to read anew."""
    # Python's own part of a file would need memory too.
    db = connect(path, vfs=None if fault == "memory" else DISK_NAME)
    # Some commits move the write-ahead log into the database.
    db.execute(f"PRAGMA wal_autocheckpoint = 20; PRAGMA journal_mode = {journal}").fetchall()
    if fault == "memory":
        db.execute("PRAGMA synchronous = OFF")
    # A change by somebody else empties the cache.
    other = apsw.Connection(str(path))
    other.execute("PRAGMA synchronous = OFF; PRAGMA user_version = 1")
    other.close()
    return db


def score_with_fault(template: Path, journal: str, way: str, fault: str, k: int) -> dict:
    """One run with a fault and one without, on a copy of the template."""
    db = opened(copy_of(template), journal, fault)
    with FAULTS[fault](db, k) as was_met:
        error = run(db, WAYS[way])
        met = was_met() or (fault == "memory" and error is not None)
        open_after = db.in_transaction
    # A COMMIT of the host's may be refused; of his transaction is what is left then.
    found = ["a transaction of ours stayed open"] if open_after and "COMMIT" not in WAYS[way] else []
    if fault in RUINOUS:
        return {"met": met, "error": error, "problems": found + crippled(db)}
    found += [f"after the fault: {problem}" for problem in problems(db)]
    if open_after:
        db.execute("ROLLBACK")
    if error is None:
        found += [f"after a success: {problem}" for problem in unfinished(db)]
    again = run(db, WAYS[way])
    if again:
        found.append(f"afterwards: {again}")
    found += [f"in the end: {problem}" for problem in unfinished(db)]
    db.close()
    return {"met": met, "error": error, "problems": found}


def crippled(db: apsw.Connection) -> list[str]:
    """What a connection whose database is gone cannot do any more, of what needs none."""
    try:
        ((label,),) = db.execute("SELECT anomaly_label('failed')").fetchall()
        db.close()
    except apsw.Error as error:
        return [f"unusable: {error}"]
    return [] if label == "ERROR" else [f"classified as {label}"]


# What only reads, and what it reads from: it gives the answer it always gives, or an error.
READING = {
    "classify": "SELECT id, anomaly_classify(text) FROM log_entries ORDER BY rowid",
    "scores": "SELECT e.id, s.label, s.score FROM log_entries AS e, anomaly_scores(e.text) AS s ORDER BY e.rowid, 2",
    "each": "SELECT * FROM anomaly_classify_each((SELECT json_group_array(text) FROM log_entries))",
    "detections": "SELECT * FROM anomaly_detections(100, 0, 'error')",
    "status": "SELECT key FROM anomaly_status",
}


def read_with_fault(template: Path, journal: str, way: str, fault: str, k: int) -> dict:
    """A statement with a fault and without."""
    db = opened(copy_of(template), journal, fault)
    sql = READING[way]
    rows = error = None
    with FAULTS[fault](db, k) as was_met:
        try:
            LOG.clear()
            rows = db.execute(sql).fetchall()
        except apsw.Error as caught:
            error = said(sql, caught)
        met = was_met() or (fault == "memory" and error is not None)
    expected = db.execute(sql).fetchall()
    found = [f"a wrong answer: {rows}"] if error is None and rows != expected else []
    found += problems(db)
    db.close()
    return {"met": met, "error": error, "problems": found, "rows": len(expected)}


INIT = "SELECT anomaly_init()"


def parts(schema: list[tuple]) -> list[tuple]:
    """What is made together: all but the indexes that have a name of their own."""
    return [part for part in schema if part[0] != "index" or part[2] is None]


def init_with_fault(template: Path, journal: str, way: str, fault: str, k: int) -> dict:
    """Makes the tables in a database that has none, or brings one up to date that has old ones."""
    db = opened(copy_of(template), journal, fault)
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"
    before = db.execute(schema).fetchall()
    with FAULTS[fault](db, k) as was_met:
        error = run(db, [INIT])
        met = was_met() or (fault == "memory" and error is not None)
        found = ["a transaction of ours stayed open"] if db.in_transaction else []
    if found:
        db.execute("ROLLBACK")
    after = db.execute(schema).fetchall()
    db.execute(INIT).fetchall()
    whole = db.execute(schema).fetchall()
    # The tables are made together, then each index by itself.
    is_between = after == before or (parts(after) == parts(whole) and set(after) <= set(whole))
    if not (is_between if error else after == whole) or whole == before:
        found.append(f"half made: {after}")
    db.execute(WAYS["all"][0]).fetchall()
    found += unfinished(db)
    db.close()
    return {"met": met, "error": error, "problems": found}


def sweep(once: Callable[..., dict], template: Path, journal: str, way: str, fault: str) -> Iterator[dict]:
    """One run for each k, until one meets no fault."""
    outcome = {}
    for k in growing(lambda _: not outcome["met"]):
        outcome = once(template, journal, way, fault, k)
        yield {"journal": journal, "way": way, "k": k, **outcome}


def main(fault: str, folder: Path, ways: list[str]) -> None:
    """Sweeps over the ways that are named, in each journal mode."""
    keeper = connect(":memory:")
    encoding = "UTF-16" if fault == "memory" else "UTF-8"
    for journal in JOURNALS.get(fault, ["delete", "wal"]):
        pending = make(folder, journal, encoding)
        scored = folder / "scored.db"
        shutil.copy(pending, scored)
        connection = connect(scored)
        run(connection, WAYS["all"])
        connection.close()
        bare = folder / "bare.db"
        bare.unlink(missing_ok=True)
        connection = apsw.Connection(str(bare))
        connection.execute(
            f"PRAGMA encoding = '{encoding}'; PRAGMA page_size = 512; PRAGMA journal_mode = {journal};"
            "CREATE TABLE log_entries (id TEXT PRIMARY KEY, text TEXT)"
        ).fetchall()
        connection.executemany("INSERT INTO log_entries (id, text) VALUES (?, ?)", entries(ENTRIES))
        connection.close()
        for way in ways:
            once, template = (
                (score_with_fault, pending)
                if way in WAYS
                else (init_with_fault, bare)
                if way == "init"
                else (read_with_fault, scored)
            )
            for outcome in sweep(once, template, journal, way, fault):
                print(json.dumps(outcome))
    keeper.close()


if __name__ == "__main__":
    extension, fault, folder, *ways = sys.argv[1:]
    EXTENSION = Path(extension)
    main(fault, Path(folder), ways)
