"""docs/reference.md and the built extension say the same: names, arguments, columns, types, flags, defaults, codes.

The README lists the same functions and settings in short.
"""

from __future__ import annotations

import re

import pytest

from conftest import ROOT, SQLITE, connect, error_of, insert, one
from pages import read
from test_errors import CATALOGUE, DEFECTS, KINDS, TEXTS

PAGE = read("docs/reference.md")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
# `f(a [, b])` → TYPE · FLAG, below the heading of a function.
SIGNATURE = re.compile(r"^\n`(\w+)(?:\((.*)\))?` → (.+) · (no flag|DIRECTONLY|INNOCUOUS)$", re.MULTILINE)
FUNCTIONS = {name: match for name, text in SECTIONS.items() if (match := SIGNATURE.match(text))}
SCALARS = {name for name in FUNCTIONS if FUNCTIONS[name][3] != "rows"}
TABLE_FUNCTIONS = set(FUNCTIONS) - SCALARS
# `VARIABLE` · TYPE, low to high · default `value`, below the heading of a setting.
SETTING = re.compile(
    r"^\n`(TURNSTONE_\w+)` · (TEXT|INTEGER|REAL)(?:, (\S+) to (\S+))?(, environment only)? · default (.+)$",
    re.MULTILINE,
)
SETTINGS = {name: match for name, text in SECTIONS.items() if (match := SETTING.match(text))}
TABLES = ["log_entries", "detections", "anomaly_runs"]
BITS = {"no flag": 0, "DIRECTONLY": 0x80000, "INNOCUOUS": 0x200000}


def table(name: str, heading: str) -> list[list[str]]:
    """The rows of the table with this first column in a section, without their backticks."""
    found = re.search(rf"^\| {heading} \|.*\n\|.*\n((?:\|.*\n)*)", SECTIONS[name], re.MULTILINE)
    rows = found[1].splitlines() if found else []
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def arguments(signature: str | None) -> list[str]:
    """The names of the arguments of `a [, b]`."""
    return re.findall(r"\w+", signature or "")


def arities(signature: str | None) -> set[int]:
    """How many arguments a call may have: brackets stand around what may be left out."""
    required = len(arguments((signature or "").split("[")[0]))
    return set(range(required, len(arguments(signature)) + 1))


def columns(db, name: str) -> tuple[list[str], list[str]]:
    """The columns of a table function, and its arguments, which are hidden columns."""
    rows = db.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)).fetchall()
    return [name for name, hidden in rows if not hidden], [name for name, hidden in rows if hidden]


def test_the_scalar_functions_are_those_of_the_extension(db):
    rows = db.execute("SELECT name, narg, flags & 0x280000 FROM pragma_function_list WHERE name LIKE 'anomaly%'")
    documented = {(name, count, BITS[FUNCTIONS[name][4]]) for name in SCALARS for count in arities(FUNCTIONS[name][2])}
    assert set(rows) == documented


def test_the_table_functions_are_those_of_the_extension(db):
    rows = db.execute("SELECT name FROM pragma_module_list WHERE name LIKE 'anomaly%'")
    assert {name for (name,) in rows} == TABLE_FUNCTIONS


@pytest.mark.parametrize("name", sorted(TABLE_FUNCTIONS))
def test_a_table_function_has_these_columns_and_arguments(db, name):
    shown, hidden = columns(db, name)
    assert [row[0] for row in table(name, "column")] == shown
    assert arguments(FUNCTIONS[name][2]) == [row[0] for row in table(name, "argument")] == hidden


@pytest.mark.parametrize("name", sorted(TABLE_FUNCTIONS))
def test_a_schema_can_call_a_table_function_unless_it_is_directonly(db, name):
    required = len(arguments((FUNCTIONS[name][2] or "").split("[")[0]))
    db.execute(f"CREATE VIEW calls AS SELECT * FROM {name}({', '.join(['NULL'] * required)})")
    if FUNCTIONS[name][4] == "DIRECTONLY":
        assert "unsafe use of" in error_of(db, "SELECT * FROM calls")
    else:
        db.execute("SELECT * FROM calls").fetchall()


CALLS = {
    "anomaly_acknowledge": ["SELECT anomaly_acknowledge('no such')"],
    "anomaly_classify": ["SELECT anomaly_classify('failed')", "SELECT anomaly_classify(NULL)"],
    "anomaly_label": ["SELECT anomaly_label('failed')", "SELECT anomaly_label(NULL)"],
    "anomaly_score": ["SELECT anomaly_score('failed')", "SELECT anomaly_score(NULL)"],
    "anomaly_config": [f"SELECT anomaly_config('{key}')" for key in ("model", "batch", "threshold")],
    "anomaly_init": ["SELECT anomaly_init()"],
    "anomaly_reset": ["SELECT anomaly_reset()"],
    "anomaly_version": ["SELECT anomaly_version()"],
    "anomaly_score_all": ["SELECT anomaly_score_all()"],
}


def types(documented: str) -> set[str]:
    """The storage classes that `TEXT or NULL` names."""
    return set(re.findall(r"[A-Z]+", documented.upper())) - {"OR", "AND"}


@pytest.mark.parametrize("name", sorted(SCALARS))
def test_a_scalar_function_gives_these_types(db, name):
    given = {one(db, call.replace("SELECT ", "SELECT typeof(", 1) + ")").upper() for call in CALLS[name]}
    assert given == types(FUNCTIONS[name][3])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("anomaly_scores", "anomaly_scores('failed')"),
        ("anomaly_classify_each", """anomaly_classify_each('["failed", null]')"""),
        ("anomaly_score_pending", "anomaly_score_pending(1, 0)"),
        ("anomaly_detections", "anomaly_detections"),
        ("anomaly_status", "anomaly_status"),
    ],
)
def test_a_column_holds_these_types_and_null_only_where_it_is_said(db, name, call):
    insert(db, "failed", None, source_id="machine", timestamp_iso="2026-06-13T16:32:26")
    insert(db, "failed")
    if name == "anomaly_detections":
        one(db, "SELECT anomaly_score_all()")
        one(db, "SELECT anomaly_acknowledge((SELECT min(id) FROM detections), 'seen')")
    for column, documented, *_ in table(name, "column"):
        given = {kind.upper() for (kind,) in db.execute(f'SELECT DISTINCT typeof("{column}") FROM {call}')}
        assert documented == "any" or given <= types(documented), column


def test_the_status_has_these_keys(db):
    keys = [key for (key,) in db.execute("SELECT key FROM anomaly_status")]
    assert [row[0] for row in table("anomaly_status", "key")] == keys


def source_settings() -> list[tuple[str, str]]:
    """The settings of the source and their variables, in their order."""
    source = (ROOT / "src" / "config.rs").read_text(encoding="utf-8")
    constants = dict(re.findall(r'const (\w+): &str = "(\w+)"', source))
    found = re.findall(r'Setting::new\(\s*(?:"(\w+)"|(\w+)),\s*"(\w+)"', source)
    return [(key or constants[constant], variable) for key, constant, variable in found]


def test_the_settings_are_those_of_the_source():
    assert [(key, match[1]) for key, match in SETTINGS.items()] == source_settings()


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_has_this_default_and_type(key):
    connection = connect()
    kind, default = connection.execute("SELECT typeof(anomaly_config(?1)), anomaly_config(?1)", (key,)).fetchone()
    assert kind.upper() == SETTINGS[key][2]
    documented = SETTINGS[key][6].strip("`")
    if documented == "the cores at hand":
        assert default >= 1
    else:
        assert documented == (str(default) or "empty")


@pytest.mark.parametrize("key", [key for key in SETTINGS if SETTINGS[key][3]])
def test_a_setting_takes_this_range_and_nothing_beyond(key):
    connection = connect()
    low, high = (float(bound) if "REAL" in SETTINGS[key][2] else int(bound) for bound in SETTINGS[key].group(3, 4))
    for value in (low, high):
        assert one(connection, "SELECT anomaly_config(?, ?)", key, value) == value
    for value in (low - 1, high + 1):
        assert "allowed is" in error_of(connection, "SELECT anomaly_config(?, ?)", key, value)


@pytest.mark.parametrize("key", SETTINGS)
def test_sql_can_change_a_setting_unless_it_is_the_environments(key):
    connection = connect()
    value = one(connection, "SELECT anomaly_config(?)", key)
    if SETTINGS[key][5]:
        assert "not for SQL to change" in error_of(connection, "SELECT anomaly_config(?, ?)", key, value)
    else:
        assert one(connection, "SELECT anomaly_config(?, ?)", key, value) == value


def default_of(expression: str | None, required: int) -> str:
    """A default as the page writes it."""
    if expression is None:
        return "required" if required else "NULL"
    return "now" if "'now'" in expression else expression


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_these_columns(db, name):
    rows = db.execute('SELECT name, type, dflt_value, "notnull" FROM pragma_table_xinfo(?)', (name,)).fetchall()
    documented = [tuple(row[:3]) for row in table(name, "column")]
    assert documented == [(column, kind, default_of(default, required)) for column, kind, default, required in rows]


def test_every_index_and_view_is_named(db):
    rows = db.execute("SELECT name FROM sqlite_master WHERE type IN ('index', 'view') AND name NOT LIKE 'sqlite_%'")
    for (name,) in rows:
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize("place", [place for place in KINDS if DEFECTS not in TEXTS[place]])
def test_an_error_has_the_code_of_its_kind(place):
    found = [(len(entry.pattern), code) for entry, code in CATALOGUE if entry.search(TEXTS[place])]
    _, documented = max(found)  # the line that says most of it
    assert documented == KINDS[place], TEXTS[place]


def test_these_codes_reach_the_host(path):
    holder, waiting, reader = connect(path), connect(path), connect(f"file:{path}?mode=ro", uri=True)
    holder.execute("BEGIN IMMEDIATE")
    waiting.execute("PRAGMA busy_timeout = 0")
    one(waiting, "SELECT anomaly_config('busy_timeout_ms', 0)")
    for connection, sql, name in [
        (waiting, "SELECT anomaly_acknowledge('x')", "SQLITE_BUSY"),
        (reader, "SELECT anomaly_acknowledge('x')", "SQLITE_READONLY"),
        (waiting, "SELECT anomaly_config('modle')", "SQLITE_ERROR"),
    ]:
        with pytest.raises(SQLITE.Error) as caught:
            one(connection, sql)
        assert caught.value.sqlite_errorname == name
        assert name in {code for _, code in CATALOGUE}


def test_the_labels_have_the_severities_of_the_source():
    source = (ROOT / "src" / "severity.rs").read_text(encoding="utf-8")
    arms = re.findall(r'((?:"\w+" \| )*"\w+") => \("(\w+)", (true|false)\)', source)
    rows = re.findall(r"^\| (`[A-Z_]+`.*?) \| `(\w+)` \| (yes|no) \|$", read("docs/model.md"), re.MULTILINE)
    assert [(re.findall(r"\w+", labels), severity, seen == "true") for labels, severity, seen in arms] == [
        (re.findall(r"\w+", labels), severity, seen == "yes") for labels, severity, seen in rows
    ]


def test_the_readme_lists_every_function():
    readme = read("README.md")
    for name, match in FUNCTIONS.items():
        assert re.search(rf"^\| .*`{name}(\(|`)", readme, re.MULTILINE), match[0]


def test_the_readme_lists_every_setting_with_its_default():
    settings = read("README.md").split("\n## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| ", settings, re.MULTILINE)
    defaults = [(key, match[6].strip("`").replace("empty", "(empty)")) for key, match in SETTINGS.items()]
    assert [(key, default.strip("`").replace("(none)", "(empty)")) for key, default in rows] == defaults
