"""From measurements to tables in Markdown, and the README's chart."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from parity.texts import ROOT
from whole.process import Measurement

PAGE = ROOT / "BENCHMARKS.md"
CHART = ROOT / "benches" / "rows-a-second.svg"
WAYS = {
    "seed": "the seed: `anomaly.py`, transformers, float32",
    "seed masking": "the seed, float32, masking tokenizer",
    "optimum": "the seed with optimum on ONNX Runtime, float32",
    "fp32": "**this extension**, the same float32 model",
    "fp32 masking": "**this extension**, the same float32 model, masking tokenizer",
    "bundled": "**this extension**, the bundled model",
    "repeated": "**this extension**, every text seen before",
    "plain sql": "plain SQL that writes the same",
    "fp32 distinct": "this extension, float32, distinct lines",
    "fp32 ceiling": "ONNX Runtime alone, float32, distinct lines, token ids ready",
    "bundled distinct": "this extension, bundled, distinct lines",
    "bundled ceiling": "ONNX Runtime alone, bundled, distinct lines, token ids ready",
    "fp32 scalar": "`anomaly_label(text)` row by row, float32",
    "bundled scalar": "`anomaly_label(text)` row by row, bundled",
}
"""In the order of the table."""

RATIOS = (
    ("the same float32 model against the seed", "fp32", "seed"),
    ("the same float32 model with the masking tokenizer, both, against the seed", "fp32 masking", "seed masking"),
    ("the bundled model against the seed", "bundled", "seed"),
    ("the same float32 model against optimum", "fp32", "optimum"),
    (
        "float32 on distinct lines, reading and writing included, against ONNX Runtime alone",
        "fp32 distinct",
        "fp32 ceiling",
    ),
    (
        "bundled on distinct lines, reading and writing included, against ONNX Runtime alone",
        "bundled distinct",
        "bundled ceiling",
    ),
    ("the bundled model against the float32 model of its shape, distinct lines", "bundled distinct", "fp32 distinct"),
    ("every text seen before, against plain SQL", "repeated", "plain sql"),
)
CHARTED = ("seed", "optimum", "fp32", "fp32 masking", "bundled", "repeated")


@dataclass(frozen=True)
class Section:
    """Measurements that were taken in turns, by what was measured."""

    name: str
    measured: dict[str, list[Measurement]]

    def rate(self, name: str) -> float:
        """The median of the rows a second."""
        return statistics.median(measurement.rows_a_second for measurement in self.measured[name])

    def peak(self, name: str) -> float:
        """The median of the peak memory, in MB."""
        return statistics.median(measurement.peak_mb for measurement in self.measured[name])

    def spread(self, name: str) -> str:
        """Least and most rows a second, in percent of the median."""
        rates = [measurement.rows_a_second / self.rate(name) for measurement in self.measured[name]]
        return f"{min(rates):.0%} to {max(rates):.0%}"

    def as_json(self) -> dict:
        """Everything, for `results.json`."""
        return {name: [dataclasses.asdict(one) for one in measurements] for name, measurements in self.measured.items()}


def tables(sections: Iterable[Section], cores: int) -> dict[str, str]:
    """A table in Markdown for each section, and one of ratios."""
    by_name = {section.name: section for section in sections}
    ways, cold = by_name["ways"], by_name["cold"]
    ratios = [
        (label, ways.rate(one) / ways.rate(other))
        for label, one, other in RATIOS
        if {one, other} <= ways.measured.keys()
    ]
    ratios.append(
        (
            "first answer of a cold sqlite3 process, against ONNX Runtime alone loading the model (time)",
            _cold_ratio(cold),
        )
    )
    return {
        "ways": _table(
            ["way", "rows/s", "least and most", "peak memory, MB"],
            [
                [WAYS[name], f"{ways.rate(name):,.0f}", ways.spread(name), f"{ways.peak(name):,.0f}"]
                for name in WAYS
                if name in ways.measured
            ],
        ),
        "ratios": _table(
            ["ratio, medians of one run", f"{cores} cores"], [[label, f"{ratio:.2f}"] for label, ratio in ratios]
        ),
        "cold": _table(
            ["process", "milliseconds"],
            [[name, f"{1e3 / cold.rate(name):.0f}"] for name in cold.measured],
        ),
        "size": _rates("pending rows", by_name["size"]),
        "batch": _rates("batch", by_name["batch"]),
        "connections": _rates("connections", by_name["connections"]),
    }


def _cold_ratio(cold: Section) -> float:
    return cold.rate("ONNX Runtime alone loads the model") / cold.rate("sqlite3, first answer")


def _rates(what: str, section: Section) -> str:
    """Rates and memory beside those of the first line."""
    first = next(iter(section.measured))
    rows = [
        [name, f"{section.rate(name):,.0f}", f"{section.rate(name) / section.rate(first):.2f}", f"{section.peak(name):.0f}",
         f"{section.peak(name) / section.peak(first):.2f}"]
        for name in section.measured
    ]  # fmt: skip
    return _table([what, "rows/s", f"against {first}", "peak memory, MB", f"against {first}"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def publish(tables: dict[str, str], ways: Section) -> None:
    """Puts the tables into BENCHMARKS.md, between its marks, and draws the chart."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = mark.subn(lambda match, table=table: f"{match[1]}{table}{match[2]}", page)
        if found != 1:
            raise SystemExit(f"{PAGE.name} has no place <!-- {name} --> … <!-- end --> for a table")
    PAGE.write_text(page, encoding="utf-8")
    _draw(ways, CHART)


def _draw(ways: Section, path: Path) -> None:
    """Rows a second as bars, on a logarithmic axis: they are apart by a factor of hundreds."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "sqlite-anomaly", "svg.fonttype": "none", "font.size": 9}
    import matplotlib.pyplot as plt

    names = [name for name in CHARTED if name in ways.measured]
    rates = [ways.rate(name) for name in names]
    figure, axes = plt.subplots(figsize=(7.2, 2.4), layout="constrained")
    colours = ["#4878a8" if "this extension" in WAYS[name] else "#b0b0b0" for name in names]
    bars = axes.barh([re.sub(r"[*`]", "", WAYS[name]) for name in names], rates, color=colours)
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    axes.set(xscale="log", xlabel="rows a second (logarithmic)", xlim=(min(rates) / 2, max(rates) * 4))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    # Without a date the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
