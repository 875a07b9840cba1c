"""What every worker process of Spark does: it loads the extension once, and classifies the batches it is given."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import cache

import pandas as pd
import sqlite_anomaly

ANSWERS = {"label": "string", "score": "double", "severity": "string", "anomalous": "int"}
CLASSIFY = f"SELECT {', '.join(ANSWERS)} FROM anomaly_classify_each(?) ORDER BY idx"


@cache
def connection() -> sqlite3.Connection:
    """This process's empty database, with the model loaded; one thread, since Spark runs a worker for each core."""
    opened = sqlite3.connect(":memory:")
    sqlite_anomaly.load(opened, model="bundled")
    opened.execute("SELECT anomaly_config('threads', 1)").fetchall()
    return opened


def classified(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The batches, with what the model says of their column `text`; nothing of a text that is missing."""
    for batch in batches:
        texts = batch["text"].astype(object)
        array = json.dumps(texts.where(texts.notna(), None).tolist())
        answers = connection().execute(CLASSIFY, (array,)).fetchall()
        yield batch.join(pd.DataFrame(answers, columns=list(ANSWERS), index=batch.index, dtype=object))
