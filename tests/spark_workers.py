"""Run by test_pyspark.py on Spark: which worker classified what, and how often it had loaded the model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import scoring
from pyspark.sql import SparkSession

COLUMNS = "text string, label string, score double, severity string, anomalous int, worker int, loads int"


def witnessed(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """What scoring.py gives, with the process that gave it."""
    for batch in scoring.classified(batches):
        yield batch.assign(worker=os.getpid(), loads=scoring.connection.cache_info().misses)


def main(texts: Path, answers: Path, partitions: int) -> None:
    """Classifies the texts of a JSON list, and writes the rows as another."""
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.addPyFile(scoring.__file__)
    rows = [(text,) for text in json.loads(texts.read_text(encoding="utf-8"))]
    lines = spark.createDataFrame(rows, "text string").repartition(partitions)
    collected = [row.asDict() for row in lines.mapInPandas(witnessed, COLUMNS).collect()]
    answers.write_text(json.dumps(collected), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
