"""The Datasette plugin: what visitors' SQL may do, the page of detections, who may acknowledge, in a browser too."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from random import Random
from string import ascii_lowercase
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted
from datasette.utils.sqlite import sqlite3
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from sqlite_anomaly.datasette import canned, connections
from sqlite_anomaly.datasette.chart import MOST_BARS, chart, unit_of
from sqlite_anomaly.datasette.detections import COLUMNS, KEYS, Detections, Filters

from conftest import MODELS, ROOT
from pages import code, read
from plugins import SAMPLE, make_sample, open_database, query

ROOT_ACTOR = {"id": "root"}
PAGE = "/-/anomalies/logs"
# Nothing but what is about the limit should meet it, however busy the machine is.
NO_LIMIT = {"sql_time_limit_ms": 600_000}
NO_LIMIT_OPTION = ["--setting", "sql_time_limit_ms", "600000"]


class Site:
    """A Datasette in this process, and a visitor of it."""

    def __init__(self, *files: Path, settings: dict[str, Any] | None = None, **options: Any) -> None:
        self.datasette = Datasette([str(file) for file in files], settings=NO_LIMIT | (settings or {}), **options)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self.datasette.invoke_startup())

    def close(self) -> None:
        for database in self.datasette.databases.values():
            database.close()
        self._loop.close()

    def run(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def request(self, method: str, path: str, actor: dict[str, Any] | None = None, **options: Any) -> Any:
        cookies = dict(options.pop("cookies", {}))
        if actor:
            cookies["ds_actor"] = self.datasette.sign({"a": actor}, "actor")
        return self.run(getattr(self.datasette.client, method)(path, cookies=cookies, **options))

    def get(self, path: str, actor: dict[str, Any] | None = None) -> Any:
        return self.request("get", path, actor)

    def sql(self, sql: str, database: str = "logs") -> Any:
        """The answer to SQL of a visitor."""
        return self.get(f"/{database}.json?{urlencode({'sql': sql, '_shape': 'arrays'})}").json()

    def acknowledge(self, identifier: str, actor: dict[str, Any] | None = ROOT_ACTOR, **form: str) -> Any:
        """Posts the form, with the token that the page gave."""
        page = self.get(PAGE, actor)
        token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
        form |= {"id": identifier, "csrftoken": token[1] if token else ""}
        cookies = {"ds_csrftoken": page.cookies["ds_csrftoken"]} if token else {}
        return self.request("post", f"{PAGE}/acknowledge", actor, data=form, cookies=cookies)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scored sample log, which no test changes."""
    return make_sample(tmp_path_factory.mktemp("sample") / "logs.db")


@pytest.fixture
def logs(sample: Path, tmp_path: Path) -> Path:
    """A scored sample log of this test's own."""
    return Path(shutil.copy(sample, tmp_path / "logs.db"))


@pytest.fixture
def make_site() -> Iterator[Any]:
    """Opens sites, and closes them in the end."""
    sites: list[Site] = []

    def make(*files: Path, **options: Any) -> Site:
        sites.append(Site(*files, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(logs: Path, make_site: Any) -> Site:
    """A site with that log."""
    return make_site(logs)


def empty(path: Path) -> Path:
    """A database with the tables and no row."""
    with closing(open_database(path)) as connection:
        connection.execute("SELECT anomaly_init()").fetchall()
    return path


def insert(path: Path, **columns: object) -> None:
    """Inserts a detection."""
    row = {
        "id": f"d{len(query(path, 'SELECT 1 FROM detections'))}", "anomaly_label": "SECURITY_ANOMALY",
        "anomaly_score": 0.9, "severity": "ERROR", "text": "it failed", "detected_at": "2026-06-12T10:00:00+00:00",
    } | columns  # fmt: skip
    row.setdefault("entry_id", row["id"])
    marks = ", ".join("?" for _ in row)
    query(path, f"INSERT INTO detections ({', '.join(row)}) VALUES ({marks})", *row.values())


def rows_of(html: str) -> list[dict[str, str]]:
    """The id and label of each row of the table of detections."""
    found = re.findall(r'<tr data-id="(.*?)" data-label="(.*?)">', html)
    return [{"id": identifier, "label": label} for identifier, label in found]


def bars_of(html: str) -> Counter[tuple[str, str]]:
    """How many detections the chart shows of each time and label."""
    found = re.findall(r'data-time="(.*?)" data-label="(.*?)" data-count="(\d+)"', html)
    return Counter({(time, label): int(count) for time, label, count in found})


# What visitors' SQL may do


def test_a_visitor_classifies_in_sql(site):
    answer = site.sql("SELECT anomaly_label('Failed password for root from 203.0.113.9 port 22 ssh2')")
    assert answer["rows"] == [["SECURITY_ANOMALY"]]
    each = site.sql("SELECT label FROM anomaly_classify_each((SELECT json_group_array(text) FROM detections))")
    assert each["rows"] == site.sql("SELECT anomaly_label FROM detections")["rows"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT anomaly_config('model')",
        "SELECT anomaly_config('model', '/')",
        "SELECT Anomaly_Config('threshold', '0')",
        "SELECT anomaly_config('allowed_model_dirs')",
        "SELECT anomaly_reset()",
        "SELECT anomaly_init()",
        "SELECT anomaly_acknowledge((SELECT id FROM detections))",
        "SELECT anomaly_acknowledge((SELECT id FROM detections), 'mine')",
        "SELECT anomaly_score_all()",
        "SELECT anomaly_score_all(1, 0)",
        "SELECT * FROM anomaly_score_pending",
        "SELECT count(*) FROM anomaly_score_pending(1, 0)",
        "SELECT * FROM anomaly_status",
        "SELECT count(*) FROM (SELECT 1 FROM anomaly_status)",
        "WITH s AS (SELECT value FROM anomaly_status) SELECT * FROM s",
        "SELECT * FROM anomaly_detections(1)",
        "SELECT load_extension('/nowhere')",
    ],
)
@pytest.mark.parametrize("database", ["logs", "_memory"])
def test_a_visitor_cannot_write_configure_or_look_at_the_machine(logs, make_site, database, sql):
    site = make_site(logs, memory=True)
    before = logs.read_bytes()
    if database == "_memory":
        sql = sql.replace("(SELECT id FROM detections)", "'d0'")
    error = site.sql(sql, database)["error"]
    assert re.search(r"not authorized|is prohibited", error), error
    assert logs.read_bytes() == before
    assert site.sql("SELECT count(*) FROM sqlite_master", "_memory")["rows"] == [[0]]


def test_a_visitor_cannot_tell_which_files_there_are(site, tmp_path):
    there, not_there = (site.sql(f"SELECT anomaly_config('model', '{path}')") for path in (tmp_path, tmp_path / "none"))
    assert there["error"] == not_there["error"]
    assert str(tmp_path) not in there["error"]


def test_every_function_of_the_extension_is_permitted_or_denied():
    """A function that is new to the extension is denied until somebody has thought about it."""
    scalars = {"anomaly_classify", "anomaly_label", "anomaly_score", "anomaly_version"}
    tables = {"anomaly_scores", "anomaly_classify_each"}
    with closing(open_database(":memory:")) as connection:
        functions = connection.execute("SELECT DISTINCT name FROM pragma_function_list WHERE name GLOB 'anomaly_*'")
        modules = connection.execute("SELECT name FROM pragma_module_list WHERE name GLOB 'anomaly_*'")
        names = [(sqlite3.SQLITE_FUNCTION, None, name) for (name,) in functions]
        names += [(sqlite3.SQLITE_READ, name, "") for (name,) in modules]
    assert len(names) > len(scalars | tables)
    for action, table, name in names:
        is_permitted = connections.authorize(action, table, name, "main", None) == sqlite3.SQLITE_OK
        assert is_permitted == ((table or name) in scalars | tables), table or name


def test_what_a_database_holds_stays_readable_whatever_its_name(site):
    assert site.sql("SELECT count(*) FROM anomaly_runs")["rows"] == [[1]]
    assert site.sql("SELECT count(*) FROM anomaly_recent_runs")["rows"] == [[1]]


# Two letters behind a text make it another.
CALLS = [f"'{first}{second}'" for first in ascii_lowercase[:20] for second in ascii_lowercase[:20]]


@pytest.fixture
def texts(logs: Path) -> Path:
    """That log, with thousands of texts of letters: no masking makes two of them one, each costs a run of the model."""
    letters = Random(1)
    words = ["".join(letters.choices(ascii_lowercase, k=3)) for _ in range(60_000)]
    texts = [" ".join(words[start : start + 20]) for start in range(0, len(words), 20)]
    query(logs, "CREATE TABLE texts (one TEXT, list TEXT)")
    query(logs, "INSERT INTO texts VALUES (?, ?)", texts[0], json.dumps(texts))
    return logs


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT count(*) FROM texts, anomaly_classify_each(list)", id="one call"),
        # As many as fit between two of Datasette's looks at its clock.
        pytest.param(
            f"SELECT {', '.join(f'anomaly_score(one || {end})' for end in CALLS)} FROM texts", id="many calls"
        ),
        pytest.param(
            "-- Datasette allows a comment here.\nSELECT count(*) FROM texts, anomaly_classify_each(list)", id="comment"
        ),
    ],
)
def test_a_statement_that_classifies_for_too_long_is_ended(texts, make_site, sql):
    site = make_site(texts, settings={"sql_time_limit_ms": 300})
    # The extension says so: it was ended in the middle of its work, and not when all was classified.
    assert "interrupted; every batch" in site.sql(sql)["error"]
    assert site.sql("SELECT 1")["rows"] == [[1]]


def test_datasette_ends_a_loop_that_classifies(logs, make_site):
    site = make_site(logs, settings={"sql_time_limit_ms": 200})
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(anomaly_score('x' || i)) FROM n"
    )
    assert re.search("interrupted|too long", site.sql(endless)["error"])


def test_the_connection_that_writes_is_held_as_well(site):
    site.acknowledge(site.sql("SELECT id FROM detections")["rows"][0][0])
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        site.run(site.datasette.get_database("logs").execute_write("SELECT anomaly_config('model')"))


# Starting


def metadata(**options: Any) -> dict[str, Any]:
    return {"plugins": {"sqlite-anomaly": options}}


def test_the_model_is_the_one_of_the_metadata(logs, make_site):
    site = make_site(logs, metadata=metadata(model=str(MODELS / "levels")))
    assert site.sql("SELECT anomaly_label('it failed')")["rows"] == [["ERROR"]]


def test_a_broken_model_is_told_before_anybody_visits(logs, tmp_path):
    folder = shutil.copytree(MODELS / "levels", tmp_path / "broken")
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(connections.Unavailable, match=f"sqlite-anomaly: .*{folder}"):
        Site(logs, metadata=metadata(model=str(folder)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modle": "bundled"}, "'modle', which is no key of this plugin: there are 'model' and 'allow_acknowledge'"),
        ({"model": 7}, "'model' in the metadata cannot be 7: it takes 'bundled'"),
        ({"model": None}, "'model' in the metadata cannot be null"),
        ({"allow_acknowledge": "alice"}, """'allow_acknowledge' in the metadata cannot be "alice": it takes true"""),
        ({"allow_acknowledge": []}, "'allow_acknowledge' in the metadata cannot be []"),
        ({"allow_acknowledge": None}, "'allow_acknowledge' in the metadata cannot be null"),
        ({"allow_acknowledge": {"id": {"is": "root"}}}, "'allow_acknowledge' in the metadata cannot be"),
        ({"allow_acknowledge": {"unauthenticated": "yes"}}, "'allow_acknowledge' in the metadata cannot be"),
        (["model"], """its part of the metadata cannot be ["model"]: it takes an object with 'model'"""),
    ],
)
def test_a_setting_that_is_none_is_told_before_anybody_visits(logs, given, told):
    with pytest.raises(connections.Unavailable, match=f"^sqlite-anomaly: .*{re.escape(told)}"):
        Site(logs, metadata={"plugins": {"sqlite-anomaly": given}})


def test_the_command_line_ends_with_a_sentence(logs, tmp_path):
    (tmp_path / "metadata.json").write_text(json.dumps(metadata(model="/nowhere")))
    command = [sys.executable, "-m", "datasette", str(logs), "-m", str(tmp_path / "metadata.json"), "--get", "/"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: sqlite-anomaly: ") and "/nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr and "pysqlite3" not in ended.stderr


def test_a_python_that_cannot_load_extensions_is_told_what_helps(site):
    with pytest.raises(connections.Unavailable, match=r"without the loading of extensions.*pysqlite3-binary"):
        connections.prepare(type("Connection", (), {"__module__": "sqlite3"})(), site.datasette)


def test_a_datasette_that_would_lift_the_limits_is_refused(logs, monkeypatch):
    monkeypatch.setattr(connections, "__version__", "1.0a41")
    with pytest.raises(connections.Unavailable, match=r"this is Datasette 1\.0a41; .*pip install 'datasette<1'"):
        Site(logs)


# The page


def test_the_page_shows_every_detection(site, logs):
    html = site.get(PAGE).text
    found = query(logs, "SELECT id, anomaly_label FROM detections ORDER BY timestamp_iso DESC, id DESC")
    assert len(found) > 40
    assert rows_of(html) == [{"id": identifier, "label": label} for identifier, label in found]
    assert f"<dt>detections</dt><dd>{len(found)}</dd>" in html
    (critical,) = query(logs, "SELECT count(*) FROM detections WHERE severity = 'CRITICAL'")[0]
    assert f"<dt>critical</dt><dd>{critical}</dd>" in html


def test_the_chart_and_its_table_have_the_numbers_of_the_database(site, logs):
    html = site.get(PAGE).text
    hours = "SELECT strftime('%Y-%m-%d %H:00', timestamp_iso), anomaly_label, count(*) FROM detections GROUP BY 1, 2"
    expected = Counter({(hour, label): count for hour, label, count in query(logs, hours)})
    assert bars_of(html) == expected
    table = re.search(r'<table class="numbers">(.*?)</table>', html, re.DOTALL)[1]
    by_hour = {
        time: int(total) for time, total in re.findall(r'<tr><th scope="row">(\d.*?)</th>.*?<td>(\d+)</td></tr>', table)
    }
    assert by_hour == Counter({hour: sum(n for (h, _), n in expected.items() if h == hour) for hour, _ in expected})
    assert f"{sum(expected.values())} detections from {min(by_hour)} to {max(by_hour)} UTC" in re.sub(r"\s+", " ", html)


def test_the_chart_is_named_for_those_who_do_not_see_it(site):
    html = site.get(PAGE).text
    assert 'role="img" aria-labelledby="chart-title chart-description"' in html
    for name in ("chart-title", "chart-description"):
        assert re.search(rf'id="{name}">\s*\S', html)


def test_nothing_comes_from_elsewhere_and_no_script_is_needed(site):
    html = site.get(PAGE, ROOT_ACTOR).text
    content = re.search(r'<section class="content">.*</section>\s*</div>\s*<footer', html, re.DOTALL)[0]
    assert "<script" not in content
    assert not re.findall(r'(?:src|href)="(?!/)[^"]*"', content)
    style = re.search(r'href="(/-/static-plugins/sqlite-anomaly/[^"]+)"', html)[1]
    assert site.get(style).status_code == 200


@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"label": "SYSTEM_FAILURE"}, "anomaly_label = 'SYSTEM_FAILURE'"),
        ({"source": "k8s-3"}, "source_id = 'k8s-3'"),
        ({"acknowledged": "0"}, "NOT acknowledged"),
        ({"acknowledged": "1"}, "acknowledged"),
        ({"since": "2026-06-12T14:00"}, "timestamp_iso >= '2026-06-12T14:00'"),
        ({"until": "2026-06-12T14:00"}, "timestamp_iso < '2026-06-12T14:00'"),
        ({"until": "2026-06-12T16:00+02:00"}, "timestamp_iso < '2026-06-12T14:00'"),
        (
            {"label": "SYSTEM_FAILURE", "source": "k8s-3", "since": "2026-06-12T18:35", "until": "2026-06-12T18:40"},
            "anomaly_label = 'SYSTEM_FAILURE' AND source_id = 'k8s-3' AND timestamp_iso >= '2026-06-12T18:35' AND "
            "timestamp_iso < '2026-06-12T18:40'",
        ),
    ],
)
def test_filters_choose_rows_and_bars_alike(site, logs, filters, condition):
    query(logs, "UPDATE detections SET acknowledged = 1 WHERE source_id LIKE '%1'")
    html = site.get(f"{PAGE}?{urlencode(filters)}").text
    expected = query(logs, f"SELECT id FROM detections WHERE {condition} ORDER BY timestamp_iso DESC, id DESC")
    assert 0 < len(expected) < len(query(logs, "SELECT id FROM detections"))
    assert [row["id"] for row in rows_of(html)] == [identifier for (identifier,) in expected]
    assert bars_of(html).total() == len(expected)


def test_filters_that_nothing_fits_leave_a_way_back(site):
    html = site.get(f"{PAGE}?source=none").text
    assert "Nothing was detected that fits" in html and f'<a href="{PAGE}">Show all</a>' in html
    assert '<option value="none" selected>' in html


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "time",
    ["yesterday", "2026-13-01", "'; DROP TABLE detections", "0001-01-01T00:00+23:00", "9999-12-31T23:59-23:00"],
)
def test_a_time_that_is_none_is_told(site, name, time):
    answer = site.get(f"{PAGE}?{urlencode({name: time})}")
    assert answer.status_code == 400
    assert "is no time: one looks like" in answer.text


def test_the_first_and_the_last_time_there_are_leave_nothing_out(site):
    html = site.get(f"{PAGE}?since=0001-01-01T00:00&until=9999-12-31T23:59").text
    assert len(rows_of(html)) == len(rows_of(site.get(PAGE).text))


@pytest.mark.parametrize("page", ["0", "-1", "1.5", "٢", "1000000", pytest.param("9" * 5000, id="5000 digits")])
def test_a_page_that_is_none_is_the_first(site, page):
    answer = site.get(f"{PAGE}?{urlencode({'page': page})}")
    assert answer.status_code == 200
    assert rows_of(answer.text) == rows_of(site.get(PAGE).text)


def test_a_page_behind_the_last_leads_to_the_last(site):
    html = site.get(f"{PAGE}?page=99&label=SYSTEM_FAILURE").text
    assert "There is no page 99" in html and f'<a href="{PAGE}?label=SYSTEM_FAILURE">page 1</a>' in html
    assert "Nothing was detected" not in html and "<svg class" in html
    assert "Nothing was detected that fits" in site.get(f"{PAGE}?page=99&label=none").text


def test_pages_hold_fifty_and_lead_to_each_other(tmp_path, make_site):
    path = empty(tmp_path / "logs.db")
    for number in range(120):
        insert(path, timestamp_iso=f"2026-06-12T{number // 60:02}:{number % 60:02}:00Z", source_id="a b&c")
    site = make_site(path)
    seen, address = [], f"{PAGE}?source=a+b%26c"
    while address:
        html = site.get(address).text
        seen.append([row["id"] for row in rows_of(html)])
        following = re.search(r'rel="next" href="([^"]+)"', html)
        address = following and following[1].replace("&amp;", "&")
    assert [len(page) for page in seen] == [50, 50, 20]
    assert [id_ for page in seen for id_ in page] == [f"d{number}" for number in reversed(range(120))]


def test_texts_of_logs_are_shown_and_not_run(tmp_path, make_site):
    path = empty(tmp_path / "logs.db")
    hostile = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
    insert(path, text=hostile, source_id=hostile, anomaly_label=hostile, severity=hostile, id=hostile, notes=hostile)
    html = make_site(path).get(PAGE, ROOT_ACTOR).text
    assert "<script>alert" not in html and "<img" not in html
    assert html.count("&lt;script&gt;alert") >= 5


def test_times_that_sqlite_does_not_understand_give_way_to_the_detection_s(tmp_path, make_site):
    path = empty(tmp_path / "logs.db")
    insert(path, timestamp_iso="2026-06-12T11:00:00+02:00")
    # To SQLite some of these are times: the present, a time of the day, a number of days.
    others = [None, "", "Jun 12 09:00:00", "0000-01-01", "now", "12:00", "2460000", "-4000-01-01", 2460000.5, b"\xff"]
    for timestamp in others:
        insert(path, timestamp_iso=timestamp)
    never = ["never", "now", "-4000-01-01", 2460000.5, b"\xff"]
    for detected_at in never:
        insert(path, detected_at=detected_at)
    html = make_site(path).get(PAGE).text
    label = "SECURITY_ANOMALY"
    assert bars_of(html) == {
        ("2026-06-12 09:00", label): 1,
        ("2026-06-12 10:00", label): len(others),
        ("no time", label): len(never),
    }
    assert len(rows_of(html)) == 1 + len(others) + len(never)


def test_a_table_that_others_made_is_shown_whatever_it_holds(tmp_path, make_site):
    path = tmp_path / "logs.db"
    query(path, f"CREATE TABLE detections ({', '.join(sorted(COLUMNS))})")
    held = [7, 7.5, None, "seven", b"seven", b"\xff\x00"]
    for name in sorted(COLUMNS - {"tenant_id"}):
        for value in held:
            row = {"id": "d", "tenant_id": "", "acknowledged": 0, "detected_at": "2026-06-12"} | {name: value}
            query(path, f"INSERT INTO detections ({', '.join(row)}) VALUES (?{', ?' * (len(row) - 1)})", *row.values())
    query(path, "UPDATE detections SET severity = 'CRITICAL' WHERE severity IS NULL")
    site = make_site(path)
    number = len(query(path, "SELECT 1 FROM detections"))
    answers = [site.get(f"{PAGE}?page={page}", ROOT_ACTOR) for page in (1, 2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [len(rows_of(answer.text)) for answer in answers] == [50, number - 50]
    assert bars_of(answers[0].text).total() == number
    labels = {label for _, label in bars_of(answers[0].text)}
    identifiers = {row["id"] for answer in answers for row in rows_of(answer.text)}
    assert labels == identifiers - {"d"} == {"", "7", "7.5", "seven", "\ufffd\0"}
    assert len(rows_of(site.get(f"{PAGE}?label=seven").text)) == 2


def test_only_rows_of_the_tenant_and_of_none_are_shown(tmp_path, make_site, monkeypatch):
    path = empty(tmp_path / "logs.db")
    for tenant in ("", "acme", "other"):
        insert(path, id=tenant or "none", tenant_id=tenant)
    assert [row["id"] for row in rows_of(make_site(path).get(PAGE).text)] == ["none"]
    monkeypatch.setenv("TURNSTONE_TENANT_ID", "acme")
    assert [row["id"] for row in rows_of(make_site(path).get(PAGE).text)] == ["none", "acme"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("TABLE t (x)", "sqlite-anomaly score other.db"),
        (f"TABLE detections ({', '.join(sorted(KEYS))})", "sqlite-anomaly init other.db"),
        ("TABLE detections (id, what)", "lacks anomaly_label, anomaly_score, detected_at, entry_id. Give it another"),
        ("VIEW detections AS SELECT 1 AS id", "it is a view. Give it another name"),
    ],
)
def test_a_database_without_the_tables_says_what_it_is_and_what_helps(tmp_path, make_site, made, told):
    query(tmp_path / "other.db", f"CREATE {made}")
    answer = make_site(tmp_path / "other.db").get("/-/anomalies/other")
    assert answer.status_code == 200 and told in answer.text
    assert answer.text.count("sqlite-anomaly init") == told.count("init")
    assert ("sqlite-anomaly import" in answer.text) == ("sqlite-anomaly score" in told)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([], "There are no log entries yet"),
        ([("e1", "", None), ("e2", "", "2026-06-12")], "entries wait to be scored"),
        ([("e1", "", "2026-06-12")], "Every entry is scored, and nothing was detected"),
        ([("e1", "other", None)], "There are no log entries yet"),
    ],
)
def test_a_database_without_detections_says_how_far_its_scoring_is(tmp_path, make_site, columns, told):
    path = empty(tmp_path / "logs.db")
    for row in columns:
        query(path, "INSERT INTO log_entries (id, tenant_id, anomaly_scored_at) VALUES (?, ?, ?)", *row)
    html = make_site(path).get(PAGE).text
    assert told in html and "<svg class" not in html and rows_of(html) == []
    assert ("sqlite-anomaly score" in html) == ("Every" not in told)


def test_who_may_not_see_the_log_does_not_learn_how_far_its_scoring_is(tmp_path, make_site):
    tables = {"databases": {"logs": {"tables": {"log_entries": {"allow": ROOT_ACTOR}}}}}
    site = make_site(empty(tmp_path / "logs.db"), metadata=tables)
    assert "Nothing was detected." in site.get(PAGE).text
    assert "There are no log entries yet" in site.get(PAGE, ROOT_ACTOR).text


def test_detections_without_the_log_are_shown(tmp_path, make_site):
    path = empty(tmp_path / "logs.db")
    query(path, "DROP TABLE log_entries")
    site = make_site(path)
    assert "There are no log entries yet" in site.get(PAGE).text
    insert(path)
    assert len(rows_of(site.get(PAGE).text)) == 1


def test_a_database_that_is_not_there_is_not_found(site):
    assert site.get("/-/anomalies/none").status_code == 404


def test_each_of_several_databases_has_its_page(logs, tmp_path, make_site):
    other = empty(tmp_path / "other, é.db")
    insert(other, id="the other's")
    query(tmp_path / "plain.db", "CREATE TABLE t (x)")
    site = make_site(logs, other, tmp_path / "plain.db")
    links = re.findall(r'<li><a href="(/-/anomalies/[^"]+)">(.*?)</a>', site.get("/-/anomalies").text)
    assert [name for _, name in links] == ["logs", "other, é"]
    assert len(rows_of(site.get(links[1][0]).text)) == 1


def test_the_only_database_is_gone_to_at_once(site):
    answer = site.get("/-/anomalies")
    assert (answer.status_code, answer.headers["location"]) == (302, PAGE)


def test_the_menus_lead_to_the_page(site):
    html = site.get("/logs").text
    assert '<li><a href="/-/anomalies">Anomalies</a></li>' in html
    assert f'<li><a href="{PAGE}">Anomalies</a></li>' in html


def test_links_keep_the_prefix_of_the_site(logs, make_site):
    site = make_site(logs, settings={"base_url": "/prefix/"})
    html = site.get(PAGE, ROOT_ACTOR).text
    assert f'action="/prefix{PAGE}/acknowledge"' in html and f'action="/prefix{PAGE}"' in html
    content = re.search(r'<section class="content">.*</section>\s*</div>\s*<footer', html, re.DOTALL)[0]
    assert not re.findall(r'(?:action|href)="(?!/prefix/)[^"]*"', content)


@pytest.mark.parametrize(
    "allow",
    [
        {"allow": ROOT_ACTOR},
        {"databases": {"logs": {"allow": ROOT_ACTOR}}},
        {"databases": {"logs": {"tables": {"detections": {"allow": ROOT_ACTOR}}}}},
    ],
)
def test_who_may_not_see_the_detections_does_not(logs, make_site, allow):
    site = make_site(logs, metadata=allow)
    assert site.get(PAGE).status_code == 403
    assert site.acknowledge("any", {"id": "somebody"}).status_code == 403
    assert site.get(PAGE, ROOT_ACTOR).status_code == 200
    assert "/-/anomalies" not in site.get("/").text


def test_detections_that_are_deleted_while_the_page_is_read_leave_no_chart(site, logs, monkeypatch):
    span = Detections.span

    async def span_and_then_retention(detections: Detections) -> Any:
        found = await span(detections)
        assert found is not None
        query(logs, "DELETE FROM detections")
        return found

    monkeypatch.setattr(Detections, "span", span_and_then_retention)
    answer = site.get(PAGE)
    assert answer.status_code == 200 and "<svg class" not in answer.text


def test_too_many_detections_for_the_time_limit_are_told(site, monkeypatch):
    def interrupted(*_: Any) -> Any:
        raise QueryInterrupted("interrupted", "SELECT", {})

    monkeypatch.setattr("sqlite_anomaly.datasette.detections.Detections.page", interrupted)
    answer = site.get(PAGE)
    assert answer.status_code == 503
    assert "Name a range of time" in answer.text


# The chart


at = datetime.fromisoformat


@pytest.mark.parametrize(
    ("first", "last", "name", "bars"),
    [
        ("2026-06-12T10:00:30", "2026-06-12T10:00:30", "minute", 1),
        ("2026-06-12T10:00:30", "2026-06-12T10:59:00", "minute", 60),
        ("2026-06-12T10:59:59", "2026-06-13T09:00:00", "hour", 24),
        ("2026-02-27T23:00:00", "2026-03-02T23:30:00", "day", 4),
        ("2024-01-31T00:00:00", "2026-03-01T00:00:00", "month", 27),
        ("1990-12-31T00:00:00", "2026-01-01T00:00:00", "year", 37),
        ("1000-12-31T00:00:00", "2026-01-01T00:00:00", "year", 2),
    ],
)
def test_every_time_has_its_bar_and_there_are_not_too_many(first, last, name, bars):
    unit = unit_of(at(first), at(last))
    counts = {(at(time).strftime(unit.form), "A", 1) for time in (first, last)}
    drawn = chart(unit, at(first), at(last), sorted(counts))
    assert (unit.name, len(drawn.bars)) == (name, bars)
    assert bars <= MOST_BARS
    assert [bar.name for bar in drawn.bars] == sorted(bar.name for bar in drawn.bars)
    assert sum(bar.total for bar in drawn.bars) == len(counts)


@pytest.mark.parametrize("highest", [1, 4, 7, 99, 1234, 10**9])
def test_bars_stand_on_each_other_within_the_chart(highest):
    time = at("2026-06-12T10:00:00")
    drawn = chart(unit_of(time, time), time, time, [("2026-06-12 10:00", "A", highest), ("2026-06-12 10:00", "B", 1)])
    lower, upper = drawn.bars[0].segments
    assert lower.y + lower.height == pytest.approx(drawn.bottom, abs=0.2)
    assert upper.y + upper.height == pytest.approx(lower.y, abs=0.2)
    assert upper.y >= 0
    assert 2 <= len(drawn.ticks) <= 6 and drawn.ticks[-1].value >= highest + 1


# Acknowledging


def test_root_acknowledges(site, logs):
    ((identifier,),) = query(logs, "SELECT id FROM detections LIMIT 1")
    answer = site.acknowledge(identifier, query="label=SYSTEM_FAILURE&page=2&evil=1")
    assert (answer.status_code, answer.headers["location"]) == (302, f"{PAGE}?label=SYSTEM_FAILURE&page=2")
    assert query(logs, "SELECT id FROM detections WHERE acknowledged AND acknowledged_at IS NOT NULL") == [
        (identifier,)
    ]
    assert f"{PAGE}/acknowledge" in site.get(PAGE, ROOT_ACTOR).text
    assert [row["id"] for row in rows_of(site.get(f"{PAGE}?acknowledged=1").text)] == [identifier]


@pytest.mark.parametrize("actor", [None, {"id": "alice"}])
def test_others_do_not(site, logs, actor):
    assert f"{PAGE}/acknowledge" not in site.get(PAGE, actor).text
    ((identifier,),) = query(logs, "SELECT id FROM detections LIMIT 1")
    assert site.acknowledge(identifier, actor).status_code == 403
    assert query(logs, "SELECT id FROM detections WHERE acknowledged") == []


def test_whom_the_metadata_names_does(logs, make_site):
    site = make_site(logs, metadata=metadata(allow_acknowledge={"id": ["alice"]}))
    first, second = (row["id"] for row in rows_of(site.get(PAGE).text)[:2])
    assert site.acknowledge(first, {"id": "alice"}).status_code == 302
    assert site.acknowledge(second, ROOT_ACTOR).status_code == 403
    assert query(logs, "SELECT id FROM detections WHERE acknowledged") == [(first,)]


ALICE, BOB, EVE = {"id": "alice"}, {"id": "bob", "role": "staff"}, {"id": "eve", "role": [7]}


@pytest.mark.parametrize(
    ("allow", "who"),
    [
        (True, [None, ALICE, BOB, EVE]),
        (False, []),
        ({}, []),
        ({"unauthenticated": True}, [None]),
        ({"id": "*"}, [ALICE, BOB, EVE]),
        ({"id": "alice"}, [ALICE]),
        ({"id": ["alice"], "role": ["staff", 7]}, [ALICE, BOB, EVE]),
        ({"role": 7}, [EVE]),
    ],
)
def test_every_form_of_an_allow_block_holds(logs, make_site, allow, who):
    site = make_site(logs, metadata=metadata(allow_acknowledge=allow))
    asking = [None, ALICE, BOB, EVE]
    assert [actor for actor in asking if f"{PAGE}/acknowledge" in site.get(PAGE, actor).text] == who
    identifiers = [row["id"] for row in rows_of(site.get(PAGE).text)]
    for actor, identifier in zip(asking, identifiers, strict=False):
        assert site.acknowledge(identifier, actor).status_code == (302 if actor in who else 403)


def test_notes_are_kept_until_others_are_given(site, logs):
    ((identifier,),) = query(logs, "SELECT id FROM detections LIMIT 1")
    kept = []
    for notes in ({}, {"notes": " false alarm: a drill "}, {}, {"notes": ""}, {"notes": "real"}):
        assert site.acknowledge(identifier, **notes).status_code == 302
        kept += [notes for (notes,) in query(logs, "SELECT notes FROM detections WHERE acknowledged")]
    assert kept == ["", "false alarm: a drill", "false alarm: a drill", "false alarm: a drill", "real"]
    site.acknowledge(identifier, notes="false after all")
    assert '<span class="notes">false after all</span>' in site.get(PAGE).text
    (row,) = site.get("/logs/false-alarms.json?_shape=array").json()
    assert row["false_alarms"] == 1


def test_a_form_of_another_site_does_not(site, logs):
    identifier = rows_of(site.get(PAGE).text)[0]["id"]
    answer = site.request("post", f"{PAGE}/acknowledge", ROOT_ACTOR, data={"id": identifier, "csrftoken": "made up"})
    assert answer.status_code == 403
    assert site.get(f"{PAGE}/acknowledge", ROOT_ACTOR).status_code == 405
    assert query(logs, "SELECT id FROM detections WHERE acknowledged") == []


def test_the_way_back_stays_on_the_page(site):
    identifier = rows_of(site.get(PAGE).text)[0]["id"]
    for tricky in ("https://example.com/", "//example.com", "label=x\r\nset-cookie: a=b", "since=nonsense"):
        location = site.acknowledge(identifier, query=tricky).headers["location"]
        assert location.startswith(PAGE) and "\n" not in location


def test_a_detection_that_is_not_there_is_told(site):
    answer = site.acknowledge("none such")
    assert answer.status_code == 302
    (message,) = site.datasette.unsign(answer.cookies["ds_messages"], "messages")
    assert message == ["There is no detection none such.", Datasette.WARNING]


def test_a_write_that_fails_is_told(logs, make_site):
    query(logs, "CREATE TRIGGER no BEFORE UPDATE ON detections BEGIN SELECT raise(ABORT, 'by no means'); END")
    site = make_site(logs)
    answer = site.acknowledge(rows_of(site.get(PAGE).text)[0]["id"])
    ((message, kind),) = site.datasette.unsign(answer.cookies["ds_messages"], "messages")
    assert "by no means" in message and kind == Datasette.ERROR


def test_an_immutable_database_has_no_button(logs, make_site):
    site = make_site(immutables=[str(logs)])
    html = site.get(PAGE, ROOT_ACTOR).text
    assert len(rows_of(html)) > 40 and f"{PAGE}/acknowledge" not in html
    assert site.acknowledge(rows_of(html)[0]["id"]).status_code == 403


def test_a_database_in_memory_is_acknowledged_in(make_site):
    site = make_site()
    database = site.datasette.add_database(Database(site.datasette, memory_name="kept"), name="logs")

    def fill(connection: Any) -> None:
        with connections.unrestricted(connection):
            connection.execute("SELECT anomaly_init()").fetchall()
        connection.execute(
            "INSERT INTO detections (id, entry_id, anomaly_label, anomaly_score, detected_at) "
            "VALUES ('d', 'e', 'ERROR', 1, '2026-06-12T10:00:00Z')"
        )
        connection.commit()

    site.run(database.execute_write_fn(fill))
    assert site.acknowledge("d").status_code == 302
    assert site.sql("SELECT acknowledged FROM detections")["rows"] == [[1]]


# Canned queries


def test_the_queries_of_the_package_are_those_of_the_project():
    assert set(canned.queries()) == {file.stem for file in (ROOT / "sql" / "queries").glob("*.sql")}


def test_every_canned_query_runs_with_and_without_parameters(site):
    for name, query_ in canned.queries().items():
        assert query_["title"] and "\n" not in query_["title"]
        answer = site.get(f"/logs/{name}.json?_shape=array")
        assert answer.status_code == 200, (name, answer.text)
        names = set(re.findall(r"nullif\(:(\w+), ''\)", query_["sql"]))
        given = {"threshold": "0.5", "most": "1", "unacknowledged": "1", "pattern": "%"}
        values = {name: given.get(name, "2026-06-12") for name in names}
        answer = site.get(f"/logs/{name}.json?{urlencode({'_shape': 'array', **values})}")
        assert answer.status_code == 200 and isinstance(answer.json(), list), (name, answer.text)


def test_a_query_takes_an_empty_parameter_for_none(site, monkeypatch):
    text = """-- Detections of a label, isn't it
-- :label    which (default: all)
SELECT ':not_one' AS "also :not", count(*) AS n -- :nor this
FROM detections WHERE anomaly_label = coalesce(:label, anomaly_label)
"""
    made = canned.query(text)
    assert (made["title"], made["description"]) == ("Detections of a label, isn't it", ":label    which (default: all)")
    assert made["sql"].count("nullif") == 1 and "coalesce(nullif(:label, ''), anomaly_label)" in made["sql"]
    monkeypatch.setattr(canned, "queries", lambda: {"of-a-label": made})
    total = site.get("/logs/of-a-label.json?_shape=array").json()[0]["n"]
    some = site.get("/logs/of-a-label.json?_shape=array&label=SYSTEM_FAILURE").json()[0]["n"]
    assert 0 < some < total
    assert made["title"].replace("'", "&#39;") in site.get(PAGE).text


def test_a_database_without_the_tables_has_no_canned_queries(tmp_path, make_site, monkeypatch):
    monkeypatch.setattr(canned, "queries", lambda: {"one": canned.query("-- One\nSELECT 1")})
    query(tmp_path / "plain.db", "CREATE TABLE t (x)")
    assert make_site(tmp_path / "plain.db").get("/plain/one").status_code == 404


@pytest.mark.parametrize("table", ["detections", "log_entries", "anomaly_runs"])
def test_who_may_not_see_a_table_does_not_see_it_through_a_query(logs, make_site, table):
    tables = {"databases": {"logs": {"allow_sql": False, "tables": {table: {"allow": ROOT_ACTOR}}}}}
    site = make_site(logs, metadata=tables)
    address = f"/logs/{next(iter(canned.queries()))}.json"
    assert site.get(address).status_code == 403
    assert site.get(address, ROOT_ACTOR).status_code == 200
    assert "Ready queries" not in site.get(PAGE).text
    assert "Ready queries" in site.get(PAGE, ROOT_ACTOR).text


def test_an_operator_s_query_is_the_operator_s_whatever_its_name(tmp_path, logs, make_site):
    name = next(iter(canned.queries()))
    own = {"queries": {name: {"sql": "SELECT 'my own' AS whose"}}}
    hidden = {"tables": {"detections": {"allow": ROOT_ACTOR}}}
    plain = tmp_path / "plain.db"
    query(plain, "CREATE TABLE t (x)")
    site = make_site(logs, plain, metadata={"databases": {"logs": own | hidden, "plain": own | hidden}})
    for database in ("logs", "plain"):
        answer = site.get(f"/{database}/{name}.json?_shape=array")
        assert (answer.status_code, answer.json()) == (200, [{"whose": "my own"}]), database
    others = [f"/logs/{other}.json" for other in canned.queries() if other != name]
    assert {site.get(address).status_code for address in others} == {403}


def test_filters_read_back_what_they_wrote():
    filters = Filters("A&B", source="x y", acknowledged="1", since="2026-06-12T10:00", until="2026-06-12T10:00:01")
    written = filters.query_string(page=3)
    assert Filters.from_query(dict(parse_qsl(written[1:]))) == filters
    assert Filters().query_string(page="") == ""


# In a browser

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1200,1000",
]  # fmt: skip


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium of this test's own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or pytest.fail("chromium is missing: apt-get install chromium")
    for argument in [*ARGUMENTS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver") or pytest.fail("chromedriver is missing: apt-get install chromium-driver")
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


@pytest.fixture
def served(logs: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a Datasette that runs as `datasette logs.db --root`, and the one that makes a visitor root."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "datasette.log"
    command = [sys.executable, "-u", "-m", "datasette", str(logs), "--root", "--port", str(port), *NO_LIMIT_OPTION]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            yield f"http://127.0.0.1:{port}", wait_for(server, log)
        finally:
            server.terminate()


def wait_for(server: subprocess.Popen[bytes], log: Path) -> str:
    """The address with the token, which Datasette prints; its server answers soon after."""
    for _ in range(600):
        said = log.read_text()
        if (token := re.search(r"http://\S+/-/auth-token\?token=\w+", said)) and "running on" in said:
            return token[0]
        assert server.poll() is None, said
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def find(browser: Any, selector: str) -> list[Any]:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def submit(browser: Any, element: Any, key: str | None = None) -> None:
    """Clicks, or presses a key where one is given, and waits for the page that follows."""
    old = find(browser, "html")[0]
    element.send_keys(key) if key else element.click()
    WebDriverWait(browser, 30).until(lambda _: is_gone(old))
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script("return document.readyState") == "complete")


def is_gone(element: Any) -> bool:
    try:
        return not element.is_enabled()
    except StaleElementReferenceException:
        return True


def test_detections_are_seen_filtered_and_acknowledged_in_a_browser(browser, served, logs):
    address, token = served
    total = len(query(logs, "SELECT 1 FROM detections"))
    browser.get(f"{address}{PAGE}")
    assert find(browser, ".detections button") == [], "an anonymous visitor has no button"
    browser.get(token)
    browser.get(f"{address}{PAGE}")
    assert len(find(browser, "table.detections tbody tr")) == total

    # The chart is drawn, and has the numbers of its table.
    bars = find(browser, "svg.chart rect")
    assert all(bar.size["height"] > 0 and bar.size["width"] > 0 for bar in bars)
    colours = {bar.get_attribute("data-label"): bar.value_of_css_property("fill") for bar in bars}
    assert len(set(colours.values())) == len(colours)
    find(browser, "details summary")[-1].click()
    drawn = Counter()
    for bar in bars:
        drawn[bar.get_attribute("data-time")] += int(bar.get_attribute("data-count"))
    table = {
        row.find_element(By.TAG_NAME, "th").text: int(row.find_elements(By.TAG_NAME, "td")[-1].text)
        for row in find(browser, "table.numbers tbody tr")
    }
    assert table == drawn and sum(table.values()) == total
    find(browser, "details summary")[-1].click()
    if "ANOMALY_SCREENSHOT" in os.environ:
        browser.save_screenshot(os.environ["ANOMALY_SCREENSHOT"])

    # A filter, chosen and sent by keyboard.
    Select(find(browser, "select[name=label]")[0]).select_by_value("SYSTEM_FAILURE")
    submit(browser, find(browser, ".anomaly-filters button")[0], Keys.ENTER)
    of_label = query(logs, "SELECT id FROM detections WHERE anomaly_label = 'SYSTEM_FAILURE'")
    rows = find(browser, "table.detections tbody tr")
    assert {row.get_attribute("data-id") for row in rows} == {identifier for (identifier,) in of_label}

    # An acknowledgement goes back to the same filter, and is there.
    first = rows[0].get_attribute("data-id")
    notes = find(browser, "table.detections input[name=notes]")[0]
    notes.send_keys("false alarm")
    submit(browser, notes, Keys.ENTER)
    assert "label=SYSTEM_FAILURE" in browser.current_url
    assert find(browser, ".message-info")[0].text == "The detection was acknowledged."
    shown = find(browser, "table.detections tbody tr")[0].text
    assert "acknowledged" in shown and "false alarm" in shown
    assert query(logs, "SELECT id, notes FROM detections WHERE acknowledged") == [(first, "false alarm")]

    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_in_dark_in_a_browser(browser, served, scheme):
    address, _ = served
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(f"{address}{PAGE}")
    paper = brightness(find(browser, "body")[0].value_of_css_property("background-color"))
    assert (paper < 0.05) == (scheme == "dark")
    for selector in ("h1", "dt", "td", "td a", ".content button", "svg.chart text", ".severity-critical", "select"):
        element = find(browser, selector)[0]
        ink = brightness(element.value_of_css_property("fill" if selector.startswith("svg") else "color"))
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= 4.5, selector


def brightness(colour: str) -> float:
    """The relative luminance of an rgb() colour, as WCAG defines it."""
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_narrow_window_scrolls_tables_and_not_the_page_in_a_browser(browser, served):
    address, _ = served
    window = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
    browser.get(f"{address}{PAGE}")
    # Chromium lays a page out anew a little after it has become narrow.
    width = "return document.documentElement.scrollWidth"
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script(width) <= 390, "the page scrolls sideways")


# The documentation

DOCUMENT = "docs/datasette.md"


def test_the_commands_of_the_documentation_run(tmp_path):
    (tmp_path / "sql" / "demo").mkdir(parents=True)
    shutil.copy(SAMPLE, tmp_path / "sql" / "demo")
    (options,) = code(DOCUMENT, "json")
    (tmp_path / "metadata.json").write_text(options)
    commands = [line.removeprefix("$ ") for block in code(DOCUMENT, "console") for line in block.splitlines()]
    wheel, installation, *others = commands
    assert wheel == "pip install dist/sqlite_anomaly-*.whl"
    extras = set(re.fullmatch(r'pip install "sqlite-anomaly\[(.*)\]"', installation)[1].split(","))
    assert extras <= set(distribution("sqlite-anomaly").metadata.get_all("Provides-Extra"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = partial(
        subprocess.run, shell=True, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    for command in others:
        # A server does not end; what it would answer can be asked for.
        asked = " ".join([command, "--get /-/anomalies/logs", *NO_LIMIT_OPTION])
        ended = run(asked if command.startswith("datasette") else command)
        assert ended.returncode == 0, (command, ended.stderr)
        assert re.search("lines|detections|label", ended.stdout), (command, ended.stdout)


def test_the_sql_of_the_documentation_runs_for_visitors(site):
    label, each = (site.sql(sql)["rows"] for sql in code(DOCUMENT, "sql"))
    assert label[0][0] == "HARDWARE_ISSUE" and label[0][1] > 0.9
    assert each == []


def test_the_screenshot_of_the_documentation_is_small():
    (name,) = re.findall(r"!\[.+?\]\((.+?)\)", read(DOCUMENT))
    assert 10_000 < (ROOT / "docs" / name).stat().st_size < 200_000


def test_the_types_of_the_plugins_are_strict(tmp_path):
    config = ["--strict", "--config-file", ROOT / "python" / "pyproject.toml", "--cache-dir", tmp_path]
    command = [
        sys.executable,
        "-m",
        "mypy",
        *config,
        "-p",
        "sqlite_anomaly.datasette",
        "-m",
        "sqlite_anomaly.sqlite_utils",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
