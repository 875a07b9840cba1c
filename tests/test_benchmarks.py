"""The benchmarks' own ways of running the extension do the work they are timed for; the page has room for every table."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from conftest import ROOT
from whole import contenders, report
from whole.data import BUNDLED, make_database, schema_of_extension, spread
from whole.process import Measurement

SCHEMA = schema_of_extension()
LINES = spread((ROOT / "sql" / "demo" / "sample.log").read_text(encoding="utf-8").splitlines(), 60)


@pytest.mark.parametrize("way", ["extension", "repeated", "plain_sql", "scalar"])
def test_each_way_does_all_rows(tmp_path, way):
    database = make_database(tmp_path / "log.db", LINES, SCHEMA)
    result = contenders.CONTENDERS[way](str(database), str(BUNDLED))
    assert result["rows"] == len(LINES) and result["seconds"] > 0
    if way != "scalar":
        sql = "SELECT count(*), count(anomaly_scored_at) FROM log_entries"
        assert contenders._connect(str(database), str(BUNDLED)).execute(sql).fetchone() == (60, 60)


def test_plain_sql_writes_what_the_extension_writes(tmp_path):
    written = []
    for way in (contenders.extension, contenders.plain_sql):
        database = make_database(tmp_path / f"{way.__name__}.db", LINES, SCHEMA)
        way(str(database), str(BUNDLED))
        connection = contenders._connect(str(database), str(BUNDLED))
        entries = connection.execute("SELECT id, anomaly_score, anomaly_label FROM log_entries ORDER BY id").fetchall()
        detections = connection.execute("SELECT entry_id, anomaly_label FROM detections ORDER BY entry_id").fetchall()
        written.append((entries, detections))
    assert written[0] == written[1] and written[0][1]


def test_connections_share_the_work(tmp_path):
    databases = [str(make_database(tmp_path / f"{part}.db", LINES[part::2], SCHEMA)) for part in range(2)]
    assert contenders.connections(databases, str(BUNDLED))["rows"] == len(LINES)


def test_a_contender_runs_as_a_process_of_its_own(tmp_path):
    database = make_database(tmp_path / "log.db", LINES, SCHEMA)
    arguments = json.dumps({"database": str(database), "model": str(BUNDLED)})
    done = subprocess.run(
        [sys.executable, "-m", "whole.contenders", "extension", arguments],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["rows"] == len(LINES)


def test_the_page_has_a_place_for_every_table(tmp_path, monkeypatch):
    page = tmp_path / "BENCHMARKS.md"
    page.write_text((ROOT / "BENCHMARKS.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "_draw", lambda ways, path: None)
    once = [Measurement(1234.0, 56.0, {})]
    cold = ("sqlite3, first answer", "ONNX Runtime alone loads the model")
    sections = [
        report.Section("ways", dict.fromkeys(report.WAYS, once)),
        report.Section("cold", dict.fromkeys(cold, once)),
        *(report.Section(name, {"1": once, "2": once}) for name in ("size", "batch", "connections")),
    ]
    report.publish(report.tables(sections, 2), sections[0])
    assert page.read_text(encoding="utf-8").count("1,234") >= len(report.WAYS)


def test_the_readme_s_figures_are_those_of_the_page():
    page = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    table = page.split("<!-- ways -->")[1].split("<!-- end -->")[0]
    rates = {cells[1].strip(): cells[2].strip() for row in table.splitlines() if len(cells := row.split("|")) > 2}
    beside = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Beside other ways\n")[1].split("\n## ")[0]
    shown = {
        cells[1].strip(): [cell.strip() for cell in cells[2:4]]
        for row in beside.splitlines()
        if len(cells := row.split("|")) > 3
    }
    assert shown["rows a second, same float32 model"] == [rates[report.WAYS["fp32"]], rates[report.WAYS["seed"]]]
    assert shown["rows a second, bundled model"][0] == rates[report.WAYS["bundled"]]
    sources = page.split("\n## Beside other ways\n")[1]
    for cell in shown["rows a second, same float32 model"] + shown["first answer (processor time)"]:
        assert f"| {cell.removesuffix(' s')} |" in sources
