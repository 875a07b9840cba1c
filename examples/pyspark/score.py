"""Scores the lines of log files on Spark: spark-submit score.py LOGS DETECTIONS"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, input_file_name

from scoring import ANSWERS, classified


def score(spark: SparkSession, logs: str) -> DataFrame:
    """Every line of the log files, with its label and score."""
    # A module of its own stays loaded in a worker process, and its connection with it.
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("scoring.py")))
    lines = spark.read.text(logs).select(input_file_name().alias("file"), col("value").alias("text"))
    answers = ", ".join(f"{name} {kind}" for name, kind in ANSWERS.items())
    return lines.mapInPandas(classified, f"file string, text string, {answers}")


if __name__ == "__main__":
    source, destination = sys.argv[1:]
    session = SparkSession.builder.appName("sqlite-anomaly").getOrCreate()
    score(session, source).where("anomalous = 1 AND score >= 0.75").write.mode("overwrite").json(destination)
