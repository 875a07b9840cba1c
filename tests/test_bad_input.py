"""Bad input of every kind, everywhere it can come from: arguments, settings, columns, and the files of a model.

Whatever comes in, the process lives, and what comes out is a value that the README promises or an error that names the
thing and says what to do. Afterwards the same connection classifies as before.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import MODELS, ROOT, SQLITE, connect, one, status, use_model
from onnx_bytes import FLOAT, IDS, INT64, STRING, classifier, field, integers, model, node, tensor, value
from test_surface import SETTINGS
from torture import scaled

pytestmark = pytest.mark.soak
LEVELS = {"INFO", "WARNING", "ERROR"}
# What no error may say: it would help nobody.
UNHELPFUL = ["SQL logic error", "panicked", "defect", "unknown error", "not an error", "bad parameter", "out of memory"]
# One of these says what to do.
REMEDIES = [
    "allowed is", "known are", "json_group_array", "there is no folder", "save it", "export", "download",
    "must be", "number them", "copy", "put it back", "no such", "the key is NULL",
    "before the extension is loaded",
]  # fmt: skip
LONGEST_MESSAGE = 4000


def outcome(connection, sql: str, *parameters: object) -> list[tuple] | str:
    """The rows of a statement, or the text of its error."""
    try:
        return connection.execute(sql, parameters).fetchall()
    except SQLITE.Error as error:
        return str(error)


def expect_helpful(message: str, *names: str) -> None:
    """The message names these things, and what to do."""
    assert not [words for words in UNHELPFUL if words in message], message[:500]
    assert [remedy for remedy in REMEDIES if remedy in message], message[:500]
    assert [name for name in names if name not in message] == [], message[:500]


def expect_alive(connection) -> None:
    """The connection classifies with a good model."""
    use_model(connection, "levels")
    assert one(connection, "SELECT anomaly_label('it failed')") == "ERROR"


# Values of every kind, as SQL.
NUMBERS = {
    name: name
    for name in [
        "0", "-1", "1", "65536", "65537", "9223372036854775807", "-9223372036854775808", "0.5", "1.5", "-0.0", "1e308",
        "-1e308", "9e999", "-9e999", "5e-324",
    ]
}  # fmt: skip
TEXTS = {
    "empty": "''",
    "blank": "' '",
    "a word": "'abc'",
    "a number's text": "'7'",
    "formats": "'%n%s%d%999999s'",
    "quotes": """'''"` [x]'""",
    "a command": "'''); DROP TABLE log_entries; --'",
    "NUL": "'a' || char(0) || 'failed'",
    "only NUL": "char(0)",
    "controls": "char(27) || '[31m' || char(7) || char(8) || char(127)",
    "invalid UTF-8": "CAST(x'ff206661696c6564c0af' AS TEXT)",
    "half a character": "CAST(x'e282' AS TEXT)",
    "a surrogate": "CAST(x'eda080' AS TEXT)",
    "a surrogate by number": "char(55296)",
    "beyond Unicode": "char(1114112)",
    "a noncharacter": "char(65534, 65535)",
    "right to left": "char(8238) || 'deliaf'",
    "combining": "'a' || printf('%.*c', 700, 'x') || char(769)",
    "crabs": "replace(printf('%.*c', 3000, 'x'), 'x', char(129408))",
    "a megabyte": "printf('%.*c', 1000000, 'x')",
    "JSON": """'{"a": [1, null]}'""",
    "an array": """'["ok", null, 7, {"a": "b"}]'""",
    "half an array": "'[1,'",
    "deep": "printf('%.*c', 100000, '[')",
    "an array of what is no JSON": "'[Infinity, 1e999]'",
    "an array of a surrogate": """'["\\ud800"]'""",
}
BLOBS = {
    "an empty blob": "x''",
    "a blob": "x'ff00fe206661696c6564'",
    "a blob of zeros": "zeroblob(1000000)",
    "UTF-16 in a blob": "x'fffe66006100'",
}
VALUES = {"NULL": "NULL", **NUMBERS, **TEXTS, **BLOBS}
if scaled(0, 1):
    VALUES["100 megabytes"] = "printf('%.*c', 100000000, 'x')"
    VALUES["a blob of 100 megabytes"] = "zeroblob(100000000)"

ENCODINGS = ["UTF-8", "UTF-16le", "UTF-16be"][: scaled(2, 3)]


@pytest.fixture(params=ENCODINGS)
def encoded(request):
    """A database of each encoding, with the tables made."""
    connection = connect()
    connection.execute(f"PRAGMA encoding = '{request.param}'")
    connection.execute("SELECT anomaly_init()").fetchall()
    assert one(connection, "PRAGMA encoding") == request.param
    use_model(connection, "levels")
    # The pictures of texts that are no texts: bytes that Python can show.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    yield connection
    expect_alive(connection)
    connection.close()


def is_whole(connection, expression: str, low: int, high: int) -> bool:
    """Whether the value is, or is the text of, a whole number in this range."""
    text = one(connection, f"SELECT trim(CAST({expression} AS TEXT))")
    return text is not None and text.removeprefix("+").isdecimal() and low <= int(text) <= high


def is_fraction(connection, expression: str) -> bool:
    """Whether the value is, or is the text of, a number from 0 to 1."""
    text = one(connection, f"SELECT trim(CAST({expression} AS TEXT))")
    try:
        return text is not None and 0 <= float(text) <= 1
    except ValueError:
        return False


@pytest.mark.parametrize("expression", VALUES.values(), ids=VALUES)
class TestArguments:
    """Each argument of each function and table function, and each setting, with values of every kind."""

    def test_any_text_is_classified(self, encoded, expression):
        is_null = one(encoded, f"SELECT {expression} IS NULL")
        for call in ["anomaly_label({})", "json_extract(anomaly_classify({}), '$.label')"]:
            assert one(encoded, f"SELECT {call.format(expression)}") in ({None} if is_null else LEVELS)
        score = one(encoded, f"SELECT anomaly_score({expression})")
        assert score is None if is_null else 1 / 3 - 1e-6 <= score <= 1
        for source in ["anomaly_scores({})", "anomaly_scores WHERE text = {}"]:
            labels = encoded.execute(f"SELECT label FROM {source.format(expression)}").fetchall()
            assert {label for (label,) in labels} == (set() if is_null else LEVELS)

    def test_what_is_no_json_array_is_refused(self, encoded, expression):
        for source in ["anomaly_classify_each({})", "anomaly_classify_each WHERE json_array = {}"]:
            given = outcome(encoded, f"SELECT idx, label FROM {source.format(expression)}")
            if isinstance(given, str):
                expect_helpful(given, "anomaly_classify_each(json_array): not a JSON array")
                assert not one(encoded, f'SELECT \'["ok", null, 7, {{"a": "b"}}]\' = {expression}')
            else:
                assert given in ([], [(0, "INFO"), (1, None), (2, "INFO"), (3, "INFO")])

    def test_what_is_no_id_acknowledges_nothing(self, encoded, expression):
        assert one(encoded, f"SELECT anomaly_acknowledge({expression})") == 0
        assert one(encoded, f"SELECT anomaly_acknowledge({expression}, {expression})") == 0

    @pytest.mark.parametrize(
        "call", ["SELECT anomaly_score_all({})", "SELECT sum(scored) FROM anomaly_score_pending({})"]
    )
    def test_the_size_of_a_batch_is_checked(self, encoded, expression, call):
        given = outcome(encoded, call.format(expression))
        if isinstance(given, str):
            expect_helpful(given, "anomaly_score_", "'batch' cannot be", "1 to 65536")
        valid = one(encoded, f"SELECT {expression} IS NULL") or is_whole(encoded, expression, 1, 65536)
        assert isinstance(given, list) == bool(valid)

    @pytest.mark.parametrize(
        "call", ["SELECT anomaly_score_all(1, {})", "SELECT sum(scored) FROM anomaly_score_pending(NULL, {})"]
    )
    def test_the_threshold_is_checked(self, encoded, expression, call):
        given = outcome(encoded, call.format(expression))
        if isinstance(given, str):
            expect_helpful(given, "anomaly_score_", "'threshold' cannot be", "0 to 1")
        valid = one(encoded, f"SELECT {expression} IS NULL") or is_fraction(encoded, expression)
        assert isinstance(given, list) == bool(valid)

    def test_what_narrows_the_list_of_detections_is_checked(self, encoded, expression):
        # A whole number may be a REAL.
        sql = f"SELECT typeof({expression}) IN ('integer', 'real') AND {expression} = CAST({expression} AS INTEGER)"
        is_number, is_null, number = encoded.execute(
            f"{sql}, {expression} IS NULL, CAST({expression} AS INTEGER)"
        ).fetchone()
        for arguments, name, allowed in [
            ("{}", "max_rows", range(2**63)),
            ("NULL, {}", "unacked_only", range(2)),
        ]:
            given = outcome(encoded, f"SELECT * FROM anomaly_detections({arguments.format(expression)})")
            if isinstance(given, str):
                expect_helpful(given, f"anomaly_detections: {name} cannot be")
                assert len(given) < LONGEST_MESSAGE
            assert isinstance(given, list) == bool(is_null or (is_number and number in allowed))
        for arguments in [f"1, 0, {expression}", f"1, 0, NULL, {expression}"]:
            assert encoded.execute(f"SELECT * FROM anomaly_detections({arguments})").fetchall() == []

    def test_what_is_no_setting_is_answered_with_those_there_are(self, encoded, expression):
        for call in ["anomaly_config({0})", "anomaly_config({0}, {0})"]:
            message = outcome(encoded, f"SELECT {call.format(expression)}")
            expect_helpful(message)
            assert message.endswith("known are " + ", ".join(SETTINGS)) or "the key is NULL" in message
            assert len(message) < LONGEST_MESSAGE

    @pytest.mark.parametrize("key", SETTINGS)
    def test_a_setting_takes_a_value_or_says_what_is_allowed(self, encoded, expression, key):
        before = one(encoded, f"SELECT anomaly_config('{key}')")
        given = outcome(encoded, f"SELECT anomaly_config('{key}', {expression})")
        after = one(encoded, f"SELECT anomaly_config('{key}')")
        if isinstance(given, list):
            assert given == [(after,)]
        elif key == "model":
            expect_helpful(given, "model '")
            assert after == before
        elif key.startswith("allowed_"):
            expect_helpful(given, f"setting '{key}' is not for SQL to change", f"TURNSTONE_ANOMALY_{key.upper()}")
            assert after == before
        else:
            expect_helpful(given, f"setting '{key}' cannot be", "allowed is")
            assert (after, len(given) < LONGEST_MESSAGE) == (before, True)
        encoded.execute("SELECT anomaly_config('onnx_file', '')")


@pytest.mark.parametrize("arguments", ["()", "(1, 2, 3, 4, 5, 6)"])
@pytest.mark.parametrize(
    "name",
    ["anomaly_classify", "anomaly_score_all", "anomaly_acknowledge", "anomaly_config", "anomaly_version"],
)
def test_a_wrong_number_of_arguments_is_refused_by_name(db, name, arguments):
    if arguments == "()" and name in {"anomaly_score_all", "anomaly_version"}:
        arguments = "(1, 2, 3)"
    assert outcome(db, f"SELECT {name}{arguments}") == f"wrong number of arguments to function {name}()"


@pytest.mark.parametrize(
    "condition", ["{0} IS NULL", "{0} > 1", "{0} IN (1, 2, 2)", "{0} = 1 AND {0} = 2", "{0} LIKE '%'", "{0} = {0}"]
)
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("anomaly_scores", "text"),
        ("anomaly_classify_each", "json_array"),
        ("anomaly_detections", "max_rows"),
        ("anomaly_score_pending", "batch_size"),
        ("anomaly_score_pending", "min_score"),
    ],
)
def test_odd_conditions_on_an_argument_are_answered(db, name, argument, condition):
    given = outcome(db, f"SELECT count(*) FROM {name} WHERE {condition.format(argument)}")
    if isinstance(given, str):
        missing = f"{name}({argument}): the argument {argument} is missing"
        assert missing in given or "not a JSON array" in given or "cannot be" in given or "no query solution" in given
    expect_alive(db)


class TestColumns:
    """Entries whose columns hold values of every kind."""

    def fill(self, connection, column: str) -> int:
        """Inserts an entry for each value, which stands in `column`; those that no id can be are left out."""
        for number, expression in enumerate(VALUES.values()):
            columns = {"id": f"'e{number}'", "text": "'failed failed'", column: expression}
            connection.execute(
                f"INSERT OR IGNORE INTO log_entries ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
            )
        return one(connection, "SELECT count(*) FROM log_entries")

    @pytest.mark.parametrize(
        "column", ["text", "id", "source_id", "ingest_time", "timestamp_iso", "severity", "tenant_id"]
    )
    def test_every_entry_is_scored_or_counted_as_failed(self, encoded, column):
        entries = self.fill(encoded, column)
        mine = "tenant_id = ''" if column == "tenant_id" else "1"
        expected = one(encoded, f"SELECT count(*) FROM log_entries WHERE {mine}")
        lacking = one(encoded, "SELECT count(*) FROM log_entries WHERE text IS NULL OR id IS NULL")
        totals = json.loads(one(encoded, "SELECT anomaly_score_all(7, 0.5)"))
        assert (totals["scored"] + totals["failed"], totals["failed"]) == (expected, lacking)
        assert one(encoded, "SELECT count(*) FROM log_entries") == entries
        assert one(encoded, f"SELECT count(*) FROM log_entries WHERE {mine} AND anomaly_scored_at IS NULL") == 0

    def test_an_entry_gets_the_label_of_its_text(self, encoded):
        self.fill(encoded, "text")
        one(encoded, "SELECT anomaly_score_all()")
        different = encoded.execute(
            "SELECT id FROM log_entries WHERE anomaly_label IS NOT anomaly_label(text)"
            " OR anomaly_score IS NOT anomaly_score(text)"
        )
        assert different.fetchall() == []

    def test_a_detection_keeps_what_its_entry_said(self, encoded):
        self.fill(encoded, "source_id")
        one(encoded, "SELECT anomaly_score_all(256, 0)")
        assert one(encoded, "SELECT count(*) FROM detections") == len(VALUES)
        changed = encoded.execute(
            "SELECT log_entries.id FROM log_entries JOIN detections ON entry_id = log_entries.id"
            " WHERE detections.source_id IS NOT log_entries.source_id OR detections.text <> log_entries.text"
        )
        assert changed.fetchall() == []

    def test_a_detection_keeps_2000_characters_of_a_text(self, encoded):
        encoded.execute(
            "INSERT INTO log_entries (id, text) VALUES ('x', 'failed failed ' || printf('%.*c', 100000, 'x'))"
        )
        one(encoded, "SELECT anomaly_score_all(256, 0)")
        assert one(encoded, "SELECT length(text) FROM detections") == 2000


ID2LABEL = {"0": "info", "1": "warning", "2": "error"}
ODD_JSON = [None, True, 0, -1, 2**63, 10**30, 1e308, "", "x", "\0", [], [1], {}, {"a": 1}]
TOKENIZER = json.loads((MODELS / "levels" / "tokenizer.json").read_text())


def labelled(names: object, **others: object) -> str:
    """A configuration with these labels."""
    return json.dumps({"id2label": names, **others})


def odd_values(keys: list[str], base: dict) -> dict[str, str]:
    """Objects in which each of the keys has, one after another, each odd value."""
    return {f"{key}: {json.dumps(odd)}": json.dumps({**base, key: odd}) for key in keys for odd in ODD_JSON}


CONFIGS = {
    **odd_values(["id2label"], {}),
    **odd_values(
        ["num_labels", "problem_type", "pad_token_id", "max_position_embeddings", "model_type", "position_biased_input",
         "label2id", "architectures", "function_to_apply"],
        {"id2label": ID2LABEL},
    ),
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "a byte order mark": "\ufeff{}",
    "UTF-16": "{}".encode("utf-16"),
    "invalid UTF-8": b'{"a": "\xff"}',
    "a lone surrogate": '{"id2label": {"0": "\\ud800", "1": "b", "2": "c"}}',
    "two objects": "{} {}",
    "holes": labelled({"0": "a", "5": "b", "9": "c"}),
    "negative numbers": labelled({"-1": "a", "0": "b", "1": "c"}),
    "huge numbers": labelled({"0": "a", "1": "b", str(2**70): "c"}),
    "leading zeros": labelled({"00": "a", "01": "b", "02": "c"}),
    "a number twice": '{"id2label": {"0": "a", "0": "b", "1": "c", "2": "d"}}',
    "a name twice": labelled({"0": "a", "1": "a", "2": "error"}),
    "no names": labelled({"0": 1, "1": None, "2": []}),
    "fewer": labelled({"0": "a", "1": "b"}),
    "more": labelled({str(number): "x" for number in range(4)}),
    "very many": labelled({str(number): f"l{number}" for number in range(scaled(50_000, 1_000_000))}),
    "terminal escapes": labelled({"0": "a\0b", "1": "\x1b[31m\x07", "2": "err\0or\u202e"}),
    "blanks": labelled({"0": "", "1": " ", "2": "\n"}),
    "a megabyte": labelled({"0": "x" * 1_000_000, "1": "%n%s", "2": "'); DROP TABLE detections; --"}),
}  # fmt: skip


def tokenizer(**parts: object) -> str:
    """The tokenizer of `levels`, with other parts."""
    return json.dumps({**TOKENIZER, **parts})


def vocabulary(words: dict[str, object] | None = None, **parts: object) -> str:
    """The tokenizer of `levels`, with another vocabulary."""
    known = TOKENIZER["model"]["vocab"] if words is None else words
    return tokenizer(model={**TOKENIZER["model"], "vocab": known, **parts})


def replacing(pattern: str) -> str:
    """A tokenizer whose normaliser replaces what a regular expression matches."""
    return tokenizer(normalizer={"type": "Replace", "pattern": {"Regex": pattern}, "content": "x"})


def framed(single: list[dict], **parts: object) -> str:
    """A tokenizer that puts special tokens around a text."""
    post = {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}, **parts}
    return tokenizer(post_processor=post)


WORDS = TOKENIZER["model"]["vocab"]
TEXT_ONLY = {"Sequence": {"id": "A", "type_id": 0}}
NAMED = TOKENIZER["post_processor"]["special_tokens"]
TOKENIZERS = {
    **{f"no {part}": tokenizer(**{part: None}) for part in TOKENIZER},
    **{f"an unknown {part}": tokenizer(**{part: {"type": "Nope"}})
       for part in ["normalizer", "pre_tokenizer", "post_processor", "model", "decoder"]},
    **odd_values(list(TOKENIZER), TOKENIZER),
    "backtracking": replacing("(a+)+$"),
    "backtracking ahead": replacing("(?=(a+)+$)(x+x+)+y"),
    "half an expression": replacing("("),
    "an expression too large": replacing("(a{1000}){1000}"),
    "an empty expression": replacing(""),
    "a reference back": replacing(r"(.)\1+"),
    "splitting by backtracking": tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    ),
    "an empty vocabulary": vocabulary({}),
    "only padding": vocabulary({"[PAD]": 0}),
    "no token for unknown words": vocabulary(unk_token="[NOPE]"),
    "an id out of the model's range": vocabulary({**WORDS, "failed": 5000}),
    "the largest id": vocabulary({**WORDS, "failed": 2**32 - 1}),
    "an id too large": vocabulary({**WORDS, "failed": 2**32}),
    "a negative id": vocabulary({**WORDS, "failed": -1}),
    "a broken id": vocabulary({**WORDS, "failed": 1.5}),
    "one id for all": vocabulary(dict.fromkeys(WORDS, 1)),
    "no special tokens": tokenizer(added_tokens=[]),
    "an empty token": tokenizer(added_tokens=[{**TOKENIZER["added_tokens"][0], "id": 77, "content": ""}]),
    "special tokens thrice": tokenizer(added_tokens=TOKENIZER["added_tokens"] * 3),
    "a frame of tokens that are none": framed([{"SpecialToken": {"id": "[NO]", "type_id": 0}}]),
    "a frame without the text": framed([]),
    "a frame of another text": framed([{"Sequence": {"id": "B", "type_id": 0}}]),
    "a frame of another segment": framed([{"Sequence": {"id": "A", "type_id": 2**31}}]),
    "a frame longer than the limit": framed(
        [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 600 + [TEXT_ONLY], special_tokens=NAMED
    ),
    "a frame out of range": tokenizer(
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 2**32 - 1], "cls": ["[CLS]", 2]}
    ),
    "no length": tokenizer(truncation={"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 0}),
    "a stride too long": tokenizer(
        truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 400}
    ),
    "padding of terabytes": tokenizer(
        padding={"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 99,
                 "pad_type_id": 0, "pad_token": "[PAD]"}
    ),
    "an unreadable table of characters": tokenizer(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "////////////////"}
    ),
    "pieces of no length": tokenizer(pre_tokenizer={"type": "FixedLength", "length": 0}),
    "merges of what is unknown": tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}),
    "merges that make nothing": tokenizer(model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}),
    "a prefix longer than the word": tokenizer(
        model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]], "continuing_subword_prefix": "####"}
    ),
    "an unknown word out of the vocabulary": tokenizer(
        model={"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]], "byte_fallback": False}
    ),
    "no unknown word": tokenizer(
        model={"type": "Unigram", "unk_id": None, "vocab": [["a", -1e308]], "byte_fallback": True}
    ),
    "words of no length": tokenizer(
        model={"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 0, "vocab": {"a": 0}}
    ),
    "bytes": tokenizer(
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    ),
    "deep": '{"normalizer":' * 5000,
}  # fmt: skip

TOKENIZER_CONFIGS = {
    **odd_values(
        ["tokenizer_class", "truncation_side", "do_lower_case", "strip_accents", "tokenize_chinese_chars",
         "add_prefix_space", "model_max_length", "pad_token"],
        {},
    ),
    "empty": "",
    "a list": "[]",
    "deep": "[" * 100_000,
    "invalid UTF-8": b"\xff",
}  # fmt: skip

BROKEN = [
    pytest.param(file, content, id=f"{file}-{name}")
    for file, contents in [
        ("config.json", CONFIGS),
        ("tokenizer.json", TOKENIZERS),
        ("tokenizer_config.json", TOKENIZER_CONFIGS),
    ]
    for name, content in contents.items()
]


@pytest.fixture(scope="module")
def survivor():
    """One connection that meets everything."""
    connection = connect()
    connection.execute("SELECT anomaly_init()").fetchall()
    yield connection
    connection.close()


@pytest.fixture
def folder(tmp_path):
    """A copy of the model `levels` that a test may break."""
    return shutil.copytree(MODELS / "levels", tmp_path / "model")


ASK = """SELECT label, score FROM anomaly_classify_each('["failed", "ok ok", "", "a\u00e9 \U0001f980 failed"]')"""


def use(connection, folder: Path) -> list[tuple] | str:
    """What comes of the use of a model; a good one must work afterwards, and stderr stay empty."""
    given = outcome(connection, "SELECT anomaly_config('model', ?)", str(folder))
    if isinstance(given, list):
        # What a cycle of a pipeline does, and what somebody asks who wonders about it.
        connection.execute("DELETE FROM log_entries")
        connection.execute("INSERT INTO log_entries (id, text) VALUES ('a', 'failed'), ('b', 'a'), ('c', '')")
        scored = outcome(connection, "SELECT anomaly_score_all()")
        given = outcome(connection, "SELECT anomaly_label(?)", "a" * 512)
        given = outcome(connection, ASK) if isinstance(given, list) else given
        assert len(connection.execute("SELECT * FROM anomaly_status").fetchall()) == 25
        if isinstance(scored, str):
            expect_helpful(scored, "anomaly_score_all")
    expect_alive(connection)
    return given


def expect_answers(given: list[tuple]) -> None:
    """A label and a score for each text."""
    assert len(given) == 4
    assert all(isinstance(label, str) and 0 <= score <= 1 for label, score in given), given


def expect_answers_or_blame(given: list[tuple] | str, folder: Path, files: list[str]) -> None:
    """Answers, or an error that names the folder and one of the files."""
    if isinstance(given, list):
        expect_answers(given)
    else:
        expect_helpful(given, str(folder))
        assert [file for file in files if file in given], given


@pytest.mark.parametrize(("file", "content"), BROKEN)
def test_a_model_with_an_odd_file_answers_or_says_which(survivor, folder, capfd, file, content):
    (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    given = use(survivor, folder)
    if "problem_type" in str(content) and isinstance(given, list):
        return
    # A tokenizer or a configuration that does not fit the graph is found out when the graph runs.
    expect_answers_or_blame(given, folder, [file, "model.onnx"])
    assert capfd.readouterr().err == ""


FILES = ["config.json", "tokenizer.json", "model.onnx"]


@pytest.mark.parametrize("file", FILES)
def test_a_file_cut_short_at_any_length(survivor, folder, capfd, file):
    whole = (folder / file).read_bytes()
    lengths = range(0, len(whole), max(1, len(whole) // scaled(40, 2000)))
    for length in [*lengths, len(whole) - 1]:
        (folder / file).write_bytes(whole[:length])
        expect_answers_or_blame(use(survivor, folder), folder, [file])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_bytes_changed_at_random(survivor, folder, capfd, file):
    chance = random.Random(file)
    whole = (folder / file).read_bytes()
    for _ in range(scaled(100, 2000)):
        changed = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 5, 30])):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        (folder / file).write_bytes(changed)
        given = use(survivor, folder)
        if isinstance(given, str):
            expect_helpful(given, str(folder))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("former", [*FILES, "tokenizer_config.json"])
@pytest.mark.parametrize("latter", FILES)
def test_files_in_each_others_place(survivor, folder, former, latter):
    if former != latter:
        shutil.copy(MODELS / "levels" / latter, folder / former)
        expect_answers_or_blame(use(survivor, folder), folder, [*FILES, "tokenizer_config.json"])


def unreadable(path: Path) -> None:
    """A file that fails when it is read, also for root."""
    memory = Path("/proc/self/mem")
    if memory.exists():
        path.symlink_to(memory)
    else:
        path.touch(mode=0)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
    "unreadable": unreadable,
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize("file", [*FILES, "tokenizer_config.json", "model.onnx_data"])
def test_what_is_no_file_is_named(survivor, tmp_path, file, make):
    """A pipe, read, would keep the process waiting for ever."""
    name = "external" if file == "model.onnx_data" else "levels"
    folder = shutil.copytree(MODELS / name, tmp_path / "model")
    (folder / file).unlink(missing_ok=True)
    make(folder / file)
    given = use(survivor, folder)
    # A model may do without the file that says which class its tokenizer is of.
    assert isinstance(given, str) or file == "tokenizer_config.json"
    expect_answers_or_blame(given, folder, [file, "model.onnx"])


PEAK = """
import resource, sys
sys.path[:0] = [{tests!r}]
from conftest import connect, one, use_model
db = connect()
use_model(db, "levels")
one(db, "SELECT anomaly_label('failed')")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
one(db, "SELECT anomaly_config('model', ?)", sys.argv[1])
try:
    one(db, "SELECT anomaly_label('failed')")
except Exception as error:
    print(error)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a process in kilobytes")
@pytest.mark.parametrize("file", [*FILES, "tokenizer_config.json"])
def test_a_file_of_gigabytes_is_not_read_into_memory(folder, file):
    # What grows this way takes no room on the disk. A graph is looked through from front to end, which takes its time.
    gigabytes = scaled(1, 3) if file == "model.onnx" else 3
    (folder / file).touch()
    os.truncate(folder / file, gigabytes << 30)
    program = PEAK.format(tests=str(ROOT / "tests"))
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=600)
    message, megabytes = done.stdout.splitlines()
    expect_helpful(message, str(folder / file))
    assert int(megabytes) < 50, done.stdout
    assert done.stderr == ""


NAN, INFINITY = float("nan"), float("inf")
GOOD = [[0.0, 0.0, 3.0 if word == "failed" else 0.0] for word in WORDS]


def alike(logit: float) -> list[list[float]]:
    """The same number for every word and label."""
    return [[logit] * 3 for _ in WORDS]


def then(*nodes: bytes, output: bytes | None = None, constants: list[bytes] = ()) -> bytes:
    """A good classifier that does something more."""
    return classifier(GOOD, after=list(nodes), output=output, constants=constants)


def logits_of(kind: int) -> bytes:
    """A classifier whose logits are of another type."""
    return then(node("Cast", ["sum"], "logits", to=kind), output=value("logits", kind, ["batch", "labels"]))


def taking(*inputs: bytes, cast: bool = False) -> bytes:
    """A classifier with these inputs."""
    before = [node("Cast", ["input_ids"], "numbers", to=INT64)] if cast else []
    return classifier(GOOD, inputs=list(inputs), before=before, ids="numbers" if cast else "input_ids")


def allocating(size: int) -> bytes:
    """A classifier that asks for a tensor of this many numbers."""
    return then(
        node("Expand", ["sum", "size"], "vast"), node("ReduceMax", ["vast"], "most"),
        node("Add", ["sum", "most"], "logits"), constants=[integers("size", [size, 1, 1])],
    )  # fmt: skip


INPUTS = "a text classifier has input_ids, attention_mask and token_type_ids"
SHAPE = "as many logits a text as config.json names labels"
UNUSABLE = "is no usable ONNX model"
GRAPHS = {
    "nothing in it": (model([], [], [], []), UNUSABLE),
    "another input": (classifier(GOOD, inputs=[value("words", INT64, ["b", "s"])], ids="words"), INPUTS),
    "one input more": (taking(IDS, value("pixel_values", FLOAT, ["b", 3])), INPUTS),
    "ids as fractions": (taking(value("input_ids", FLOAT, ["b", "s"]), cast=True), "token ids are integers"),
    "ids as words": (taking(value("input_ids", STRING, ["b", "s"]), cast=True), "token ids are integers"),
    "ids of one row": (taking(value("input_ids", INT64, ["s"])), "the model failed"),
    "ids of a fixed length": (taking(value("input_ids", INT64, [1, 128])), "the model failed"),
    "logits for every token": (
        then(node("Identity", ["rows"], "logits"), output=value("logits", FLOAT, ["b", "s", "l"])), SHAPE,
    ),
    "one logit for all labels": (
        then(node("ReduceSum", ["sum", "middle"], "logits", keepdims=0), output=value("logits", FLOAT, ["b"])), SHAPE,
    ),
    "one logit for all texts": (
        then(node("ReduceSum", ["sum"], "logits", keepdims=0), output=value("logits", FLOAT, [])), SHAPE,
    ),
    "no row": (then(node("Slice", ["sum", "no", "no"], "logits"), constants=[integers("no", [0])]), SHAPE),
    "no label": (classifier(tensor("weights", FLOAT, [len(WORDS), 0])), SHAPE),
    "fewer labels": (classifier([row[:2] for row in GOOD]), SHAPE),
    "more labels": (classifier([row * 2 for row in GOOD]), SHAPE),
    "whole numbers": (logits_of(INT64), "where logits were expected"),
    "words": (logits_of(STRING), "where logits were expected"),
    "a list": (
        then(node("SequenceConstruct", ["sum"], "logits"), output=value("logits", None, [])), "where logits were expected",
    ),
    "NaN": (classifier(alike(NAN)), "the model answered NaN"),
    "infinity": (classifier(alike(INFINITY)), "the model answered NaN or infinity"),
    "minus infinity": (classifier(alike(-INFINITY)), "the model answered NaN or infinity"),
    "more than a number holds": (classifier(alike(3e38)), "the model answered NaN or infinity"),
    "an unknown operator": (then(node("Teleport", ["sum"], "logits")), UNUSABLE),
    "a circle": (then(node("Add", ["sum", "logits"], "logits")), UNUSABLE),
    "a loose end": (then(node("Add", ["sum", "nowhere"], "logits")), UNUSABLE),
    "terabytes": (allocating(1 << 40), "the model failed"),
    "a negative size": (allocating(-5), "model.onnx"),
    "a table cut short": (classifier(tensor("weights", FLOAT, [len(WORDS), 3], bytes(12))), UNUSABLE),
    "a table of terabytes": (classifier(tensor("weights", FLOAT, [1 << 40, 3], bytes(12))), UNUSABLE),
    "a table of negative size": (classifier(tensor("weights", FLOAT, [-11, 3], bytes(12))), UNUSABLE),
    "a table of too few words": (classifier(GOOD[:3]), "the model failed"),
    "a version to come": (field(1, 9999) + classifier(GOOD)[2:], UNUSABLE),
}  # fmt: skip

LOCATIONS = {
    **dict.fromkeys(
        ["../../etc/passwd", "/etc/passwd", "a/../../weights", "..", "../model.onnx_data"], "outside its folder"
    ),
    **dict.fromkeys(
        ["file:///etc/passwd", "%n%s%d", "a\0b", "\0", "nowhere", "", ".", "x" * 5000], "no file beside it"
    ),
    "config.json": UNUSABLE,
}


@pytest.mark.parametrize(("graph", "words"), GRAPHS.values(), ids=GRAPHS)
def test_a_graph_that_is_no_text_classifier_is_named(survivor, folder, capfd, graph, words):
    (folder / "model.onnx").write_bytes(graph)
    message = use(survivor, folder)
    expect_helpful(message, str(folder / "model.onnx"), words)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("location", "words"), LOCATIONS.items(), ids=[repr(name[:20]) for name in LOCATIONS])
def test_weights_are_read_from_beside_the_graph_only(survivor, folder, location, words):
    (folder.parent / "model.onnx_data").write_bytes(bytes(4 * 3 * len(WORDS)))
    (folder / "model.onnx").write_bytes(classifier(tensor("weights", FLOAT, [len(WORDS), 3], location=location)))
    message = use(survivor, folder)
    expect_helpful(message, str(folder / "model.onnx"), words)
    assert "root:" not in message


def test_the_graphs_made_here_are_good_but_for_their_fault(survivor, folder):
    (folder / "model.onnx").write_bytes(classifier(GOOD))
    expect_answers(use(survivor, folder))
    (folder / "weights").write_bytes(bytes(4 * 3 * len(WORDS)))
    (folder / "model.onnx").write_bytes(classifier(tensor("weights", FLOAT, [len(WORDS), 3], location="weights")))
    expect_answers(use(survivor, folder))


MASKED = [
    "a.",
    "a-",
    "1.",
    ":1",
    "ab:",
    "0x",
    "1",
    "f",
    "1:",
    ".1",
    "0.0",
    "1.1.1.1:",
    "abcdef01-",
    "::",
    "-",
    "1_",
    "%",
]


def mixes() -> list[str]:
    """Texts of what the bundled model's masks look at."""
    chance = random.Random(512)
    signs = ["0123456789abcdef:.-x% "[chance.randrange(22) :] + "0a:.-" for _ in range(scaled(10, 2000))]
    return ["".join(chance.choice(some) for _ in range(512)) for some in signs]


def test_the_masks_of_the_bundled_model_answer_whatever_they_match():
    connection = connect()
    one(connection, "SELECT anomaly_config('model', 'bundled')")
    texts = [*((part * 512)[:512] for part in MASKED), *mixes()]
    rows = connection.execute("SELECT label, score FROM anomaly_classify_each(?)", (json.dumps(texts),)).fetchall()
    assert len(rows) == len(texts)
    known = json.loads(status(connection)["labels"])
    assert all(label in known and 0 < score <= 1 for label, score in rows)
    connection.close()
