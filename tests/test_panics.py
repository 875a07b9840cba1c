"""A panic in any callback is an SQL error, and the host lives: a build with a switch panics in each in turn."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import DIST, ROOT, SQLITE, SUFFIX, connect, error_of, one, use_model

SWITCH = "ANOMALY_PANIC_IN"
CALLS = {
    "xFunc": "SELECT anomaly_label('it failed')",
    "xConnect": "SELECT * FROM anomaly_scores('it failed')",
    "xBestIndex": "SELECT * FROM anomaly_scores('it failed')",
    "xFilter": "SELECT * FROM anomaly_scores('it failed')",
    "xNext": "SELECT * FROM anomaly_scores('it failed')",
    "xColumn": "SELECT * FROM anomaly_scores('it failed')",
}


@pytest.fixture(scope="module")
def extension(tmp_path_factory) -> Path:
    """The extension with the switch, beside the companions that `make dist` put there."""
    folder = tmp_path_factory.mktemp("panics")
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--features", "panic-switch"], cwd=ROOT, check=True)
    for companion in DIST.iterdir():
        if companion.name != f"anomaly0{SUFFIX}":
            (folder / companion.name).symlink_to(companion)
    prefix = "" if SUFFIX == ".dll" else "lib"
    shutil.copy(ROOT / "target" / "debug" / f"{prefix}anomaly{SUFFIX}", folder / f"anomaly0{SUFFIX}")
    return folder / "anomaly0"


@pytest.mark.parametrize("callback", CALLS)
def test_a_panic_in_a_callback_is_an_error_and_the_connection_stays_usable(extension, monkeypatch, callback):
    db = connect(extension=extension)
    use_model(db, "levels")
    monkeypatch.setenv(SWITCH, callback)
    refused = error_of(db, CALLS[callback])
    assert f"asked to panic in {callback}" in refused
    monkeypatch.delenv(SWITCH)
    assert db.execute(CALLS[callback]).fetchall()
    assert one(db, CALLS["xFunc"]) == "ERROR"


def test_a_panic_while_it_is_loaded_refuses_the_load(extension, monkeypatch):
    monkeypatch.setenv(SWITCH, "load")
    with pytest.raises(SQLITE.Error, match="asked to panic in load"):
        connect(extension=extension)
    monkeypatch.delenv(SWITCH)
    assert one(connect(extension=extension), "SELECT anomaly_version()")


def test_a_panic_in_a_destructor_leaves_the_host_alive(extension, monkeypatch):
    db = connect(extension=extension)
    assert db.execute("SELECT * FROM anomaly_status").fetchall()
    monkeypatch.setenv(SWITCH, "xDestroy")
    db.close()
    monkeypatch.delenv(SWITCH)
    assert one(connect(extension=extension), "SELECT anomaly_version()")


def test_a_panic_in_the_middle_of_a_run_keeps_what_was_committed(extension, monkeypatch, tmp_path):
    db = connect(tmp_path / "log.db", extension=extension)
    use_model(db, "levels")
    db.execute("SELECT anomaly_init()").fetchall()
    db.executemany(
        "INSERT INTO log_entries (id, text) VALUES (?, 'it failed')", [(str(number),) for number in range(9)]
    )
    rows = db.execute("SELECT scored FROM anomaly_score_pending(3)")
    assert rows.fetchone() == (3,)
    monkeypatch.setenv(SWITCH, "xNext")
    with pytest.raises(SQLITE.Error, match="asked to panic in xNext"):
        rows.fetchall()
    monkeypatch.delenv(SWITCH)
    scored = one(db, "SELECT count(anomaly_score) FROM log_entries")
    assert scored in (3, 6) and db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert one(db, "SELECT sum(scored) FROM anomaly_score_pending()") == 9 - scored
