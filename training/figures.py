"""The pictures of the model card."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "sqlite-anomaly", "svg.fonttype": "none", "font.size": 9}

import matplotlib.pyplot as plt  # noqa: E402  (after its output was chosen)

from corpus import LABELS  # noqa: E402
from metrics import Report  # noqa: E402

NAMES = [label.replace("_", " ") for label in LABELS]


def draw_confusion(report: Report, path: Path) -> None:
    """How many lines of each class were called what, as shares of the class."""
    shares = report.confusion / report.confusion.sum(axis=1, keepdims=True).clip(1)
    figure, axes = plt.subplots(figsize=(6.2, 5.2), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*report.confusion.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{report.confusion[row, column]}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(NAMES)), NAMES, rotation=40, ha="right")
    axes.set_yticks(range(len(NAMES)), NAMES)
    axes.set(xlabel="called", ylabel="is")
    _save(figure, path)


def draw_reliability(report: Report, path: Path) -> None:
    """How often the model is right, by the score it gives."""
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--", label="calibrated")
    scores, right, lines = zip(*report.reliability, strict=True)
    axes.plot(scores, right, marker="o", label="this model")
    for score, share, count in zip(scores, right, lines, strict=True):
        axes.annotate(f"{count}", (score, share), textcoords="offset points", xytext=(6, -10), fontsize=7)
    axes.set(xlabel="mean score", ylabel="share that is right", xlim=(0, 1.03), ylim=(0, 1.03))
    axes.legend(loc="upper left")
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    # Without a date the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
