"""Run by test_pyspark.py on Spark: the job of the example, and which worker loaded the model how often."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

import scoring

COLUMNS = "text string, label string, score double, severity string, anomalous int, worker int, loads int"


def witnessed(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """What scoring.py gives, with the process that gave it."""
    for batch in scoring.classified(batches):
        yield batch.assign(worker=os.getpid(), loads=scoring.connection.cache_info().misses)


def classify(texts: list[str | None], partitions: int) -> list[dict]:
    """What the workers say of texts that lie in so many partitions."""
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.addPyFile(scoring.__file__)
    lines = spark.createDataFrame([(text,) for text in texts], "text string").repartition(partitions)
    return [row.asDict() for row in lines.mapInPandas(witnessed, COLUMNS).collect()]


def main(logs: str, detections: str, texts: Path, answers: Path, partitions: int) -> None:
    """Runs the job as spark-submit does, and then, on the same Spark, classifies the texts of a JSON list."""
    sys.argv[1:] = [logs, detections]
    runpy.run_path(str(Path(scoring.__file__).with_name("score.py")), run_name="__main__")
    rows = classify(json.loads(texts.read_text(encoding="utf-8")), partitions)
    answers.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
