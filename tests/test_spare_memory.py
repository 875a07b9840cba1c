"""A value for whose copy there is no memory is an error, and the process lives."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from torture import scaled

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not hasattr(ctypes.CDLL(None), "mallopt"), reason="limits the address space of a process, with glibc"
    ),
]

SIZE = 10_000_000
# Enough for none, one, two and more copies, and a little more.
SPARE = [6, 12, 15, 22, 25, 32, 35, 42, 52, 62, 200]
TRIES = f"""
import ctypes, json, resource, sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
from conftest import connect, one, use_model

SIZE = {SIZE}
# So each large value is taken from the system by itself, and given back.
M_MMAP_THRESHOLD = -3
libc = ctypes.CDLL(None)
libc.mallopt(M_MMAP_THRESHOLD, 1 << 20)

encoding, value, sql = sys.argv[1:]
db = connect()
db.execute(f"PRAGMA encoding = '{{encoding}}'")
use_model(db, "levels")
one(db, "SELECT anomaly_init()")
db.create_function("utf8", 1, str.encode)
db.execute("CREATE TABLE large AS SELECT " + value + " AS value")
db.execute("INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at, notes)"
           " SELECT 'd', 'e', 'ERROR', 1, '2026', value FROM large")
db.execute("INSERT INTO log_entries (id, source_id, text) SELECT 'e', value, 'failed failed' FROM large")
one(db, "SELECT anomaly_label('it failed')")

def outcome():
    try:
        return one(db, sql)
    except MemoryError:  # how Python says SQLITE_NOMEM
        return "out of memory"
    except Exception as error:
        return str(error)

unlimited = resource.getrlimit(resource.RLIMIT_AS)
outcomes = []
for megabytes in {SPARE}:
    libc.malloc_trim(0)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), unlimited[1]))
    outcomes.append(outcome())
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
print(json.dumps([one(db, "SELECT anomaly_label('it failed')"), outcomes]))
"""

TEXT = "replace(hex(zeroblob(SIZE / 2)), '00', 'xx')"
INVALID = f"CAST({TEXT} || x'ff' AS BLOB)"
ARRAY = f"""'["' || {TEXT} || '"]'"""
ESCAPED = """'["' || replace(hex(zeroblob(SIZE / 2)), '00', '\\n') || '"]'"""
CALLS = {
    "label": (TEXT, "SELECT anomaly_label(value) FROM large", "INFO"),
    "label of a blob": (f"utf8({TEXT})", "SELECT anomaly_label(value) FROM large", "INFO"),
    "label of what is no UTF-8": (INVALID, "SELECT anomaly_label(value) FROM large", "INFO"),
    "scores": (TEXT, "SELECT count(*) FROM large, anomaly_scores(large.value)", 3),
    "scores of what is no UTF-8": (INVALID, "SELECT count(*) FROM large, anomaly_scores(large.value)", 3),
    "each": (ARRAY, "SELECT count(label) FROM large, anomaly_classify_each(large.value)", 1),
    "each, escaped": (ESCAPED, "SELECT count(label) FROM large, anomaly_classify_each(large.value)", 1),
    "each of a blob": (f"utf8({ARRAY})", "SELECT count(*) FROM large, anomaly_classify_each(large.value)", 1),
    "acknowledge": (TEXT, "SELECT anomaly_acknowledge('d', value) FROM large", 1),
    "acknowledge by a blob": (INVALID, "SELECT anomaly_acknowledge(value, value) FROM large", 0),
    "detections": (TEXT, "SELECT length(notes) FROM anomaly_detections", SIZE),
    "detections with a label": (TEXT, "SELECT count(*) FROM large, anomaly_detections(1, 0, large.value)", 0),
    "a run": (TEXT, "SELECT anomaly_score_all() ->> 'failed'", 0),
}


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"][: scaled(1, 2)])
@pytest.mark.parametrize(("value", "sql", "answer"), CALLS.values(), ids=CALLS)
def test_a_large_value_is_answered_or_refused(value, sql, answer, encoding):
    value = value.replace("SIZE", str(SIZE))
    command = [sys.executable, "-c", TRIES, encoding, value, sql]
    # The address space of further arenas is taken beforehand: it would be spare too.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    label, outcomes = json.loads(done.stdout)
    assert label == "ERROR"
    assert (outcomes[0], outcomes[-1]) == ("out of memory", answer)
    refused = [outcome for outcome in outcomes if outcome != answer]
    assert set(refused) <= {"out of memory"}, refused
