"""The figures that a classifier of log lines is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpus import LABELS, NORMAL

DETECTION_THRESHOLD = 0.75
FEWEST_LINES = 5
"""Classes with fewer lines say too little to count in the macro F1."""


@dataclass(frozen=True)
class Report:
    """Figures over one labelled set."""

    lines: int
    accuracy: float
    binary_precision: float
    binary_recall: float
    binary_f1: float
    macro_f1: float
    detection_precision: float
    detection_recall: float
    calibration_error: float
    class_f1: dict[str, float]
    confusion: NDArray[np.int64]
    """Lines by true class (rows) and by what they were called (columns)."""
    reliability: list[tuple[float, float, int]]
    """Mean score, share that is right, and number of lines, of each bin of scores that has any."""

    def __str__(self) -> str:
        figures = (
            f"{self.lines} lines: accuracy {self.accuracy:.3f}  binary precision {self.binary_precision:.3f} "
            f"recall {self.binary_recall:.3f} F1 {self.binary_f1:.3f}  macro F1 {self.macro_f1:.3f}\n"
            f"detections (anomalous, score >= {DETECTION_THRESHOLD}): precision {self.detection_precision:.3f} "
            f"recall {self.detection_recall:.3f}  expected calibration error {self.calibration_error:.3f}\n"
        )
        return figures + "  ".join(f"{label} {score:.2f}" for label, score in self.class_f1.items())


def measure(truth: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Report:
    """Compares each row's most probable class with `truth`; a detection is an anomalous class above the threshold."""
    predicted, score = probabilities.argmax(axis=1), probabilities.max(axis=1)
    is_anomaly, flagged = truth != NORMAL, predicted != NORMAL
    detected = flagged & (score >= DETECTION_THRESHOLD)
    precision, recall = _precision_recall(is_anomaly, flagged)
    class_f1 = {
        label: _f1(*_precision_recall(truth == index, predicted == index))
        for index, label in enumerate(LABELS)
        if (truth == index).sum() >= FEWEST_LINES
    }
    detection_precision, detection_recall = _precision_recall(is_anomaly, detected)
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    reliability = reliability_bins(truth == predicted, score)
    return Report(
        lines=len(truth),
        accuracy=float((truth == predicted).mean()),
        binary_precision=precision,
        binary_recall=recall,
        binary_f1=_f1(precision, recall),
        macro_f1=float(np.mean(list(class_f1.values()))),
        detection_precision=detection_precision,
        detection_recall=detection_recall,
        calibration_error=calibration_error(reliability),
        class_f1=class_f1,
        confusion=confusion,
        reliability=reliability,
    )


def reliability_bins(
    correct: NDArray[np.bool_], score: NDArray[np.float32], bins: int = 10
) -> list[tuple[float, float, int]]:
    """The mean score, the share that is right and the number of lines, over bins of equal width."""
    bin_of = np.minimum((score * bins).astype(int), bins - 1)
    chosen = (bin_of == index for index in np.unique(bin_of))
    return [(float(score[bin].mean()), float(correct[bin].mean()), int(bin.sum())) for bin in chosen]


def calibration_error(reliability: list[tuple[float, float, int]]) -> float:
    """Expected calibration error: how far the scores stand from the share that is right, over all lines."""
    lines = sum(count for _, _, count in reliability)
    return sum(abs(score - right) * count for score, right, count in reliability) / lines


def _precision_recall(relevant: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> tuple[float, float]:
    both = (relevant & chosen).sum()
    return float(both / max(1, chosen.sum())), float(both / max(1, relevant.sum()))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(1e-9, precision + recall)
