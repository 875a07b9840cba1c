"""Run by test_pyspark.py on Spark: which worker classified what, and how often it had loaded the model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pandas as pd
import scoring
from pyspark.sql import SparkSession

COLUMNS = "text string, label string, score double, severity string, anomalous int, worker int, loads int"


def witnessed(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """What scoring.py gives, with the process that gave it."""
    for batch in scoring.classified(batches):
        yield batch.assign(worker=os.getpid(), loads=scoring.connection.cache_info().misses)


def main(partitions: int) -> None:
    """Classifies the texts of a JSON list on stdin, and prints the rows as another."""
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.addPyFile(scoring.__file__)
    texts = [(text,) for text in json.load(sys.stdin)]
    lines = spark.createDataFrame(texts, "text string").repartition(partitions)
    print(json.dumps([row.asDict() for row in lines.mapInPandas(witnessed, COLUMNS).collect()]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
