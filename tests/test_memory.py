"""Memory of a process that does nothing else: it neither grows with use nor with the size of what is scored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import MODELS, ROOT, SQLITE
from torture import scaled

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc"),
]

PREFACE = f"""
import ctypes, json, os, sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
from conftest import connect, one, status, use_model

def kilobytes(what):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what))

def resident():
    "Megabytes in use, less what the allocator of the C library holds back."
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return kilobytes("VmRSS") / 1024

def peak():
    "Megabytes at the highest."
    return kilobytes("VmHWM") / 1024

def opened(path=":memory:", model={str(MODELS / "levels")!r}):
    db = connect(path)
    one(db, "SELECT anomaly_config('model', ?)", model)
    one(db, "SELECT anomaly_label('it failed')")
    return db
"""


def megabytes(program: str, *arguments: object) -> list[float]:
    """The numbers that a Python program prints in a process of its own."""
    command = [sys.executable, "-c", PREFACE + program, *map(str, arguments)]
    # Of its first arena glibc gives back all that is free when asked to (malloc_trim), of others not what lies at their
    # end, which for the bundled model comes and goes by 26 MB.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    assert (done.returncode, done.stderr) == (0, "")
    return [float(number) for number in done.stdout.split()]


CYCLES = """
model, cycles = sys.argv[1], int(sys.argv[2])
def cycle():
    db = opened(model=model)
    one(db, "SELECT anomaly_init()")
    db.execute("INSERT INTO log_entries (id, text) VALUES ('a', 'failed failed'), ('b', NULL), ('c', 'ok')")
    one(db, "SELECT anomaly_score_all()")
    db.execute("SELECT * FROM anomaly_score_pending").fetchall()
    db.execute("SELECT * FROM anomaly_scores('slow')").fetchall()
    db.execute('''SELECT * FROM anomaly_classify_each('["a", "b"]')''').fetchall()
    db.execute("SELECT * FROM anomaly_detections").fetchall()
    one(db, "SELECT anomaly_acknowledge((SELECT id FROM detections))")
    db.execute("SELECT * FROM anomaly_status").fetchall()
    for bad in ["SELECT anomaly_config('modle')", "SELECT * FROM anomaly_scores"]:
        try:
            db.execute(bad).fetchall()
        except Exception:
            pass
    db.close()
for _ in range(30):
    cycle()
before = resident()
for _ in range(cycles):
    cycle()
print(resident() - before)
"""


def test_opening_using_and_closing_leaves_nothing_behind():
    (grown,) = megabytes(CYCLES, MODELS / "levels", scaled(60, 1000))
    assert grown <= 1


def test_opening_and_closing_the_bundled_model_leaves_nothing_behind():
    (grown,) = megabytes(
        """
def cycle():
    opened(model="bundled").close()
for _ in range(30):
    cycle()
before = resident()
for _ in range(int(sys.argv[1])):
    cycle()
print(resident() - before)
""",
        scaled(100, 1000),
    )
    assert grown <= 1


def test_eight_connections_cost_hardly_more_than_one():
    (ratio,) = megabytes(
        """
first = opened(model="bundled")
one_open = resident()
others = [opened(model="bundled") for _ in range(7)]
print(resident() / one_open)
"""
    )
    assert ratio < 1.15


def test_a_model_that_cannot_be_used_leaves_nothing_behind():
    (grown,) = megabytes(
        """
db = opened()
one(db, "SELECT anomaly_init()")
def fail():
    for model in sys.argv[1:]:
        one(db, "SELECT anomaly_config('model', ?)", model)
        try:
            one(db, "SELECT anomaly_label('failed')")
        except Exception:
            continue
        raise SystemExit("it was to fail")
for _ in range(30):
    fail()
before = resident()
for _ in range(100):
    fail()
print(resident() - before)
""",
        MODELS / "all-nan",
        MODELS / "too-wide",
    )
    assert grown <= 1


DISTINCT = """
texts, entries, form = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
db = opened()
one(db, "SELECT anomaly_config('cache_entries', ?)", entries)
def classify(first, count):
    for start in range(first, first + count, 500):
        some = [form.format(number=" ".join(("ok", "slow")[bit == "1"] for bit in f"{n:020b}")) for n in range(start, start + 500)]
        (done,) = db.execute("SELECT count(label) FROM anomaly_classify_each(?)", (json.dumps(some),)).fetchone()
        assert done == 500
classify(0, texts)
before = resident()
held = status(db)["cached_texts"]
classify(texts, texts)
print(held, status(db)["cached_texts"], resident() - before)
"""


def test_a_full_memo_grows_no_further():
    entries = 2000
    held, still_held, grown = megabytes(DISTINCT, scaled(5000, 200_000), entries, "{number}")
    assert (held, still_held) == (entries, entries)
    assert grown <= 1


def test_a_memo_of_long_texts_is_bounded_by_their_bytes():
    # Both take four bytes. A row of crabs is one word; each of the Chinese characters is, and so a token too, which takes
    # its time.
    character = "\U0001f980" if scaled(1, 0) else "\U00020000"
    length = 420
    texts = scaled(20_000, 100_000)
    held, still_held, grown = megabytes(DISTINCT, texts, 1_000_000, "{number} " + character * length)
    limit = (32 << 20) / (4 * length)
    assert limit / 2 < held <= limit
    assert still_held <= limit
    assert grown <= 8


def stored(path: Path, encoding: str, count: int, size: int) -> None:
    """A database with this many texts of this many characters."""
    connection = SQLITE.connect(str(path), isolation_level=None)
    connection.execute(f"PRAGMA encoding = '{encoding}'")
    connection.execute("PRAGMA journal_mode = off")
    connection.execute("CREATE TABLE log_entries (id TEXT PRIMARY KEY, text TEXT)")
    for number in range(count):
        connection.execute(
            "INSERT INTO log_entries VALUES (?, 'failed failed ' || printf('%.*c', ?, 'x'))", (number, size)
        )
    connection.close()


SCORE = """
path, sql = sys.argv[1:]
db = opened(path)
one(db, "SELECT anomaly_init()")
before = peak()
rows = db.execute(sql).fetchall()
print(len(rows), peak() - before)
"""

SIZES = [(200, 1_000_000), *([(20, 100_000_000)] if scaled(0, 1) else [])]
READERS = {
    "a batch": ("SELECT anomaly_score_all(256)", 3),
    "a label": ("SELECT count(anomaly_label(text)) FROM log_entries", 5),
    "all labels": ("SELECT count(label) FROM log_entries, anomaly_scores(log_entries.text)", 6),
}


@pytest.mark.parametrize(("count", "size"), SIZES)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
@pytest.mark.parametrize(("sql", "copies"), READERS.values(), ids=READERS)
def test_large_texts_take_the_memory_of_one(tmp_path, sql, copies, encoding, count, size):
    path = tmp_path / "large.db"
    stored(path, encoding, count, size)
    rows, grown = megabytes(SCORE, path, sql)
    one_text = size / 1e6 * (2 if encoding == "UTF-16" else 1)
    # SQLite's pages and a model's working memory, whatever the texts' size.
    assert (rows, grown < 8 + copies * one_text) == (1, True), grown


EACH = """
count, size = map(int, sys.argv[1:])
db = opened()
array = json.dumps(["failed " + "x" * size] * count)
before = peak()
one(db, "SELECT count(label) FROM anomaly_classify_each(?)", array)
print(len(array) / 1e6, peak() - before)
"""


def test_an_array_takes_the_memory_of_two_copies():
    # SQLite's own and the argument's; of each text no more than the model sees.
    length, grown = megabytes(EACH, 50, scaled(1_000_000, 10_000_000))
    assert grown < 8 + 2.3 * length


MANY = """
array, times, answer = sys.argv[1], *map(int, sys.argv[2:])
db = opened()
db.execute(
    "CREATE TABLE made AS SELECT replace(?, ';', replace(hex(zeroblob(?)), '00', '0,') || '0') AS array", (array, times)
)
before = peak()
assert one(db, "SELECT count(*) FROM made, anomaly_classify_each(array)") == answer
print(one(db, "SELECT length(array) FROM made") / 1e6, peak() - before)
"""


@pytest.mark.parametrize(
    ("array", "answer"),
    [("[;]", None), ("[[;]]", 1), ('[{"a": [;], "b": [;]}]', 1)],
    ids=["elements", "array", "object"],
)
def test_an_array_of_many_small_values_takes_no_more(array, answer):
    values = scaled(500_000, 5_000_000)
    length, grown = megabytes(MANY, array, values, answer or values + 1)
    assert grown < 24 + 3 * length


LISTED = """
count, size = map(int, sys.argv[1:])
db = opened()
one(db, "SELECT anomaly_init()")
db.execute(
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
    " INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at, text)"
    " SELECT n, n, 'ERROR', 1, '2026', printf('%.*c', ?, 'x') FROM numbers", (count, size)
)
before = peak()
listed = sum(1 for _ in db.execute("SELECT * FROM anomaly_detections(?)", (count,)))
print(listed, peak() - before)
"""


def test_a_list_of_detections_takes_the_memory_of_one():
    count = scaled(20_000, 400_000)
    listed, grown = megabytes(LISTED, count, 2000)
    assert (listed, grown < 8) == (count, True), grown
