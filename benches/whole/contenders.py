"""Each way to score a log table, run in a process of its own: `python -m whole.contenders NAME JSON`.

A contender gets ready (imports, model loaded, one text classified), then works against the clock, and prints
`{"rows": …, "seconds": …}`. Only the work is timed.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from whole.data import BATCH, DIST, THRESHOLD

PENDING = "UPDATE log_entries SET anomaly_score = NULL, anomaly_label = NULL, anomaly_scored_at = NULL"
WARM_UP = ["a text that is in no log", *(f"text {'x ' * number}that is in no log" for number in range(1, 64))]
"""Enough of them that every thread gets its session."""


def timed(work: Callable[[], int]) -> dict[str, float]:
    """How many rows `work` did, and how long it took."""
    started = time.perf_counter()
    rows = work()
    return {"rows": rows, "seconds": time.perf_counter() - started}


# The seed and its twin.


def seed(database: str, model: str, seed: str) -> dict[str, float]:
    """The seed's own code, with transformers."""
    return _run_seed(_load_seed(seed), database, model)


def optimum(database: str, model: str, seed: str) -> dict[str, float]:
    """The seed's own code, its pipeline being optimum's on ONNX Runtime."""
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer, pipeline

    anomaly = _load_seed(seed)
    network = ORTModelForSequenceClassification.from_pretrained(model, file_name="model.onnx")
    anomaly._pipeline = pipeline("text-classification", model=network, tokenizer=AutoTokenizer.from_pretrained(model))
    return _run_seed(anomaly, database, model)


def _load_seed(folder: str):
    sys.path.insert(0, folder)
    from app.services import anomaly

    return anomaly


def _run_seed(anomaly, database: str, model: str) -> dict[str, float]:
    anomaly._get_pipeline(model, "cpu")(WARM_UP[0])
    score = partial(anomaly.score_unscored, device="cpu", batch_size=BATCH, threshold=THRESHOLD)
    return timed(lambda: score(Path(database), model).scored)


# ONNX Runtime alone.


def onnxruntime(texts: str, model: str, threads: int) -> dict[str, float]:
    """ONNX Runtime on token ids that lie ready, each sequence once: the ceiling of whoever runs this graph.

    Batches of rows of like length; which size, and one session for all threads or one for each, is tried before.
    """
    rows = sorted(_token_ids(Path(model), json.loads(Path(texts).read_text(encoding="utf-8"))), key=len, reverse=True)
    sample = rows[:: max(1, len(rows) // 128)]
    ways = list(itertools.product([1, threads], [256, 512, 1024]))
    runners = {way: _runner(Path(model), *way, threads) for way in ways}
    for _ in range(2):  # the first run of a session is slow
        trials = {way: timed(lambda: runner(sample))["seconds"] for way, runner in runners.items()}
    best = min(trials, key=trials.get)
    result = timed(lambda: runners[best](rows))
    return result | {"sessions": best[0], "padded_tokens": best[1]}


def _token_ids(model: Path, texts: list[str]) -> set[tuple[int, ...]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.no_padding()
    return {tuple(encoding.ids) for encoding in tokenizer.encode_batch([text[:512] for text in texts])}


def _runner(model: Path, sessions: int, padded_tokens: int, threads: int) -> Callable[[list[tuple[int, ...]]], int]:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads // sessions
    options.enable_mem_pattern = False
    opened = [
        InferenceSession(model / "model.onnx", options, providers=["CPUExecutionProvider"]) for _ in range(sessions)
    ]
    names = [given.name for given in opened[0].get_inputs()]

    def run(rows: list[tuple[int, ...]]) -> int:
        batches = iter(_batches(rows, padded_tokens))
        lock = threading.Lock()

        def take(session) -> None:
            while True:
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                session.run(["logits"], _padded(batch, names))

        with ThreadPoolExecutor(sessions) as pool:
            list(pool.map(take, opened))
        return len(rows)

    return run


def _batches(rows: list[tuple[int, ...]], padded_tokens: int) -> list[list[tuple[int, ...]]]:
    batches: list[list[tuple[int, ...]]] = []
    for row in rows:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= padded_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _padded(batch: list[tuple[int, ...]], names: list[str]):
    import numpy

    ids = numpy.zeros((len(batch), len(batch[0])), dtype=numpy.int64)
    mask = numpy.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
    return {name: inputs[name] for name in names}


# The extension.


def extension(database: str, model: str, batch: int = BATCH) -> dict[str, float]:
    """The extension: one call that scores all that is pending."""
    connection = _connect(database, model)
    return timed(lambda: _score_pending(connection, batch))


def repeated(database: str, model: str, batch: int = BATCH) -> dict[str, float]:
    """The extension where every text was seen before on this connection."""
    connection = _connect(database, model)
    _score_pending(connection, batch)
    connection.executescript(f"{PENDING}; DELETE FROM detections; PRAGMA wal_checkpoint(TRUNCATE)")
    return timed(lambda: _score_pending(connection, batch))


def plain_sql(database: str, model: str, batch: int = BATCH) -> dict[str, float]:
    """What `repeated` writes, written by plain SQL from lists that lie ready, in the same batches."""
    connection = _connect(database, model)
    _score_pending(connection, batch)
    scores = connection.execute(
        "SELECT anomaly_score, anomaly_label, anomaly_scored_at, rowid FROM log_entries ORDER BY ingest_time DESC"
    ).fetchall()
    detections = {row[2]: row for row in connection.execute("SELECT * FROM detections")}
    ids = dict(connection.execute("SELECT rowid, id FROM log_entries"))
    connection.executescript(f"{PENDING}; DELETE FROM detections; PRAGMA wal_checkpoint(TRUNCATE)")
    connection.isolation_level = None
    places = ", ".join("?" * len(next(iter(detections.values()), [0])))

    def write() -> int:
        for start in range(0, len(scores), batch):
            part = scores[start : start + batch]
            found = [detections[ids[row[3]]] for row in part if ids[row[3]] in detections]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE log_entries SET anomaly_score = ?, anomaly_label = ?, anomaly_scored_at = ? WHERE rowid = ?",
                part,
            )
            connection.executemany(f"INSERT INTO detections VALUES ({places})", found)
            connection.execute("COMMIT")
        return len(scores)

    return timed(write)


def scalar(database: str, model: str) -> dict[str, float]:
    """`anomaly_label(text)` row by row."""
    connection = _connect(database, model)
    return timed(lambda: connection.execute("SELECT count(anomaly_label(text)) FROM log_entries").fetchone()[0])


def connections(databases: list[str], model: str) -> dict[str, float]:
    """Several connections of one process, each scoring a database of its own in a thread of its own."""
    opened = [_connect(database, model) for database in databases]
    with ThreadPoolExecutor(len(opened)) as pool:
        return timed(lambda: sum(pool.map(lambda connection: _score_pending(connection, BATCH), opened)))


def _connect(database: str, model: str):
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

    connection = sqlite3.connect(database, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.enable_load_extension(True)
    connection.load_extension(str(DIST / "anomaly0"))
    connection.execute("SELECT anomaly_init()").fetchone()
    connection.execute("SELECT anomaly_config('model', ?)", (model,)).fetchone()
    connection.execute("SELECT count(*) FROM anomaly_classify_each(?)", (json.dumps(WARM_UP),)).fetchone()
    return connection


def _score_pending(connection, batch: int) -> int:
    query = "SELECT sum(scored) FROM anomaly_score_pending(?, ?)"
    return connection.execute(query, (batch, THRESHOLD)).fetchone()[0]


CONTENDERS = {
    contender.__name__: contender
    for contender in (seed, optimum, onnxruntime, extension, repeated, plain_sql, scalar, connections)
}

if __name__ == "__main__":
    name, arguments = sys.argv[1:]
    print(json.dumps(CONTENDERS[name](**json.loads(arguments))))
