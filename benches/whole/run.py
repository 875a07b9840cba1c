"""Measures the extension beside other ways to score a log table; `make bench` runs it.

Every way gets the same log lines and the same number of threads, in a fresh process each time. The ways take turns in
every round, so that a change of the machine's mood meets all of them; the tables give medians, and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from whole import cold, data, report
from whole.process import Measurement, measure


def main() -> None:
    """Reads the command line, measures, prints the tables and writes them down."""
    options = _options()
    data.WORK.mkdir(parents=True, exist_ok=True)
    texts = data.log_lines(options.logs, options.lines)
    sections = [
        report.Section("ways", _ways(options, texts)),
        report.Section("cold", cold.measure(options.rounds)),
        report.Section("size", _sizes(options, texts)),
        report.Section("batch", _batches(options, texts)),
        report.Section("connections", _connections(options, texts)),
    ]
    (data.WORK / "results.json").write_text(json.dumps([section.as_json() for section in sections], indent=1))
    tables = report.tables(sections, os.cpu_count())
    print("\n".join(tables.values()))
    if options.publish:
        report.publish(tables, sections[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seed", type=Path, help="folder of the seed's app/services/anomaly.py; left out where there is none"
    )
    parser.add_argument("--logs", type=Path, help="folder of log files, *.txt; the sample log where there is none")
    parser.add_argument("--lines", type=int, default=16_000, help="rows of the table")
    parser.add_argument("--slow-lines", type=int, default=320, help="rows for the ways that know no repetition")
    parser.add_argument(
        "--distinct", type=int, default=1_000, help="most distinct lines for the comparison with ONNX Runtime"
    )
    parser.add_argument("--many", type=int, default=1_000_000, help="rows of the large table")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--publish", action="store_true", help="write BENCHMARKS.md's tables and the chart anew")
    options = parser.parse_args()
    if options.seed and not (options.seed / "app" / "services" / "anomaly.py").is_file():
        print(
            f"{options.seed} holds no app/services/anomaly.py: the seed is left out (make bench SEED=folder)",
            file=sys.stderr,
        )
        options.seed = None
    return options


def _ways(options: argparse.Namespace, texts: list[str]) -> dict[str, list[Measurement]]:
    """The seed, optimum, ONNX Runtime alone, and the extension."""
    fp32, masking, bundled, threads = data.float_model(), data.masking_float_model(), data.BUNDLED, os.cpu_count()
    slow = data.spread(texts, options.slow_lines)
    distinct = {model: _distinct(model, texts, options.distinct) for model in (fp32, bundled)}
    files = {model: _write_texts(model, lines) for model, lines in distinct.items()}

    def ours(lines: list[str], model: Path, contender: str = "extension") -> Callable[[], Measurement]:
        return lambda: measure(contender, database=_ours(lines), model=model)

    def raw(model: Path) -> Callable[[], Measurement]:
        return lambda: measure("onnxruntime", texts=files[model], model=model, threads=threads)

    def theirs(name: str, model: Path) -> Callable[[], Measurement]:
        make = partial(data.make_database, data.WORK / "seed.db", slow, data.schema_of_seed())
        return lambda: measure(name, database=make(), model=model, seed=options.seed.resolve())

    ways: dict[str, Callable[[], Measurement]] = {}
    if options.seed:
        ways["seed"] = theirs("seed", fp32)
        ways["seed masking"] = theirs("seed", masking)
        ways["optimum"] = theirs("optimum", fp32)
    ways |= {
        "fp32": ours(texts, fp32),
        "fp32 masking": ours(texts, masking),
        "fp32 scalar": ours(slow, fp32, "scalar"),
        "fp32 distinct": ours(distinct[fp32], fp32),
        "fp32 ceiling": raw(fp32),
        "bundled": ours(texts, bundled),
        "bundled scalar": ours(slow, bundled, "scalar"),
        "bundled distinct": ours(distinct[bundled], bundled),
        "bundled ceiling": raw(bundled),
        "repeated": ours(texts, bundled, "repeated"),
        "plain sql": ours(texts, bundled, "plain_sql"),
    }
    return _rounds(options.rounds, ways)


def _sizes(options: argparse.Namespace, texts: list[str]) -> dict[str, list[Measurement]]:
    """10,000 pending rows and many: every text was seen before, so that nothing but the table is measured."""
    ways = {
        f"{rows:,}": lambda rows=rows: measure("repeated", database=_ours(data.repeat(texts, rows)), model=data.BUNDLED)
        for rows in (10_000, options.many)
    }
    return _rounds(options.rounds, ways)


def _batches(options: argparse.Namespace, texts: list[str]) -> dict[str, list[Measurement]]:
    ways = {
        f"{batch:,}": lambda batch=batch: measure("extension", database=_ours(texts), model=data.BUNDLED, batch=batch)
        for batch in (16, 64, 256, 1024, 4096)
    }
    return _rounds(options.rounds, ways)


def _connections(options: argparse.Namespace, texts: list[str]) -> dict[str, list[Measurement]]:
    """As many connections, each with an equal share of the lines."""

    def work(count: int) -> Measurement:
        shares = [texts[part::count] for part in range(count)]
        made = [_ours(share, f"connection{part}.db") for part, share in enumerate(shares)]
        return measure("connections", databases=made, model=data.BUNDLED)

    return _rounds(options.rounds, {str(count): lambda count=count: work(count) for count in (1, 2, 4, 8)})


def _rounds(rounds: int, ways: dict[str, Callable[[], Measurement]]) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, way in ways.items():
            found[name].append(way())
            rate = statistics.median(measurement.rows_a_second for measurement in found[name])
            print(f"round {number}/{rounds}  {name:<18} median so far {rate:,.0f} rows/s", file=sys.stderr)
    return found


def _ours(texts: list[str], name: str = "extension.db") -> Path:
    return data.make_database(data.WORK / name, texts, data.schema_of_extension())


def _distinct(model: Path, texts: list[str], most: int) -> list[str]:
    """Lines that are different sequences of tokens to the model, evenly spread over `texts`."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    encodings = tokenizer.encode_batch([text[:512] for text in texts])
    first = {tuple(encoding.ids): text for encoding, text in zip(encodings, texts, strict=True)}
    return data.spread(list(first.values()), most)


def _write_texts(model: Path, texts: list[str]) -> Path:
    path = data.WORK / f"{model.name}.texts.json"
    path.write_text(json.dumps(texts), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
