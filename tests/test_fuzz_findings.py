"""What the fuzz targets found, each as the input that showed it. The folder `fuzz/` holds the targets."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from conftest import MODELS, SQLITE, connect, error_of, one, status
from test_memory import megabytes

EMPTY_TRIE = "AAAAAA=="
REFUSED = """
db = connect()
one(db, "SELECT anomaly_config('model', ?)", sys.argv[1])
texts = json.dumps([f"text {number}" for number in range(10_000)])

def refused():
    try:
        db.execute("SELECT * FROM anomaly_classify_each(?)", (texts,)).fetchall()
    except Exception as error:
        assert "the tokenizer of" in str(error), error
    else:
        raise AssertionError("the tokenizer took what it cannot")

for _ in range(2):
    refused()
before = resident()
for _ in range(int(sys.argv[2])):
    refused()
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
def test_a_tokenizer_that_panics_on_every_text_leaks_nothing(tmp_path):
    """tokenizer_settings: the words of each panic were kept for good, a hundred bytes a text."""
    folder = shutil.copytree(MODELS / "levels", tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": EMPTY_TRIE}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (growth,) = megabytes(REFUSED, folder, 20)
    assert growth < 5


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("sql", "argument", "remedy"),
    [
        ("SELECT * FROM anomaly_classify_each(?)", json.dumps(LONG), "json_group_array"),
        ("SELECT anomaly_config('model', ?)", LONG, "bundled"),
        ("SELECT anomaly_config('model', ?)", f"org/{LONG}", "bundled"),
        ("SELECT anomaly_config('model', ?)", f"org/name@{LONG}", "bundled"),
    ],
    ids=["classify_each", "folder", "hub", "revision"],
)
def test_an_error_is_not_as_long_as_what_was_passed(db, sql, argument, remedy):
    """classify_each: what serde_json says of a text that is no list holds the text; so did what names a model."""
    error = error_of(db, sql, argument)
    assert len(error) < 4000
    assert remedy in error


OVER_STATUS = "VIEW log_entries AS SELECT value AS anomaly_scored_at, key AS tenant_id FROM anomaly_status"


def test_a_view_of_the_schema_cannot_read_what_counts_its_rows():
    """schema_shapes: the calls inside each other exhausted the stack, and ended the process."""
    db = connect()
    db.execute(f"CREATE {OVER_STATUS}")
    for _ in range(2):
        assert status(db)["pending_entries"] is None
        assert error_of(db, "SELECT * FROM log_entries") == 'unsafe use of virtual table "anomaly_status"'
        assert one(db, "SELECT anomaly_version()")


def test_a_view_that_reads_what_counts_its_rows_has_an_end():
    """The same, of the host's own: SQLite trusts what is temporary."""
    db = connect()
    db.execute(f"CREATE TEMP {OVER_STATUS}")
    for _ in range(2):
        with contextlib.suppress(SQLITE.Error):
            db.execute("SELECT * FROM anomaly_status").fetchall()
        assert one(db, "SELECT anomaly_version()")
