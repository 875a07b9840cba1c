"""What the README promises, run as it stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DIST, ROOT, connect, one
from test_surface import SCALARS, SETTINGS, TABLE_FUNCTIONS

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, heading: str) -> str:
    """The first code block of `language` under `heading`."""
    section = README.split(f"\n## {heading}\n", 1)[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with dist/ in it, as the README's examples expect."""
    shutil.copytree(DIST, tmp_path / "dist")
    return tmp_path


def test_the_lines_by_hand(folder):
    done = subprocess.run(
        ["sqlite3", ":memory:"], input=block("sql", "By hand"), cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "1|1"


def test_the_text_that_is_classified():
    call, shown = re.search(r"(SELECT anomaly_classify\('.*'\));\n-- (\{.*\})", README).groups()
    connection = connect()
    one(connection, "SELECT anomaly_config('model', 'bundled')")
    shown, answered = json.loads(shown), json.loads(one(connection, call))
    # Processors round differently in the last digits.
    assert answered.pop("score") == pytest.approx(shown.pop("score"), abs=0.02)
    assert answered == shown


def test_the_ways_to_get_logs_in(folder):
    log = folder / "syslog"
    log.write_text('"quoted\tand tabbed" Failed password for root\n\nall is well\n', encoding="utf-8")
    first, again = re.findall(r"```sql\n(.*?)```", README.split("\n## Getting logs in\n", 1)[1], re.DOTALL)[:2]
    script = f"""
.load dist/anomaly0
SELECT anomaly_init();
{first.replace("/var/log/syslog", str(log))}
SELECT group_concat(text, '|') FROM (SELECT text FROM log_entries ORDER BY rowid);
SELECT anomaly_config('model', 'bundled');
SELECT anomaly_score_all() > '';
{again}
SELECT count(*) FROM log_entries WHERE anomaly_scored_at IS NULL;
"""
    done = subprocess.run(
        ["sqlite3", ":memory:"], input=script, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ['"quoted\tand tabbed" Failed password for root|all is well', "bundled", "1", "2"]


def run_python(program: str, folder: Path) -> str:
    """What a program of the README prints, with an SQLite that can load extensions."""
    program = program.replace("import sqlite3", "from conftest import SQLITE as sqlite3")
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n{program}"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_lines_of_the_pipeline(folder):
    (folder / "app.log").write_text("all is well\nFailed password for root from 203.0.113.9\n", encoding="utf-8")
    ingest, pipeline = block("python", "Getting logs in"), block("python", "In a pipeline")
    # The logs get in between the tables and the scoring.
    opened, scoring = pipeline.split("(answer,)")
    program = f"{opened}\n{ingest}\n(answer,){scoring}\nprint(result['scored'], result['detections'], result['error'])"
    assert run_python(program, folder) == "2 1 None"
    # The next cycle: nothing stands in its way.
    assert run_python(program, folder) == "2 1 None"


def test_every_function_is_listed():
    for name in {name for name, *_ in SCALARS} | set(TABLE_FUNCTIONS):
        assert f"`{name}" in README


def test_every_setting_is_listed_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| `(TURNSTONE_\w+)` \| (.+?) \|", README, re.MULTILINE)
    assert [key for key, *_ in rows] == SETTINGS
    connection = connect()
    for key, _, default in rows:
        value = one(connection, "SELECT anomaly_config(?)", key)
        if key != "threads":  # as many as this machine has cores
            assert default.strip("`") == ("(none)" if key == "model" else str(value) or "(empty)")
