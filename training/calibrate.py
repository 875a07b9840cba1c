"""Making plain softmax honest: a temperature and a shift towards normal, folded into the classifier's own weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from base_model import LogClassifier
from corpus import LABELS, NORMAL

NORMAL_SHARE = 0.65
"""Of the lines to be scored. The corpus holds more anomalies than any log does, so that each kind is learnt."""


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are `logits / temperature`, plus `normal_shift` for the class normal."""

    temperature: float
    normal_shift: float


def fit_calibration(
    logits: NDArray[np.float32], truth: NDArray[np.int64], normal_share: float = NORMAL_SHARE
) -> Calibration:
    """The most likely calibration of held-out lines, weighted as if `normal_share` of them were normal."""
    scores, labels = torch.from_numpy(logits), torch.from_numpy(truth)
    is_normal = labels == NORMAL
    weights = torch.where(is_normal, normal_share / is_normal.sum(), (1 - normal_share) / (~is_normal).sum())
    log_temperature, shift = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    only_normal = torch.eye(len(LABELS))[NORMAL]
    optimizer = torch.optim.LBFGS([log_temperature, shift], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        adjusted = scores * torch.exp(-log_temperature) + shift * only_normal
        value = (cross_entropy(adjusted, labels, reduction="none") * weights).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Calibration(log_temperature.exp().item(), shift.item())


@torch.no_grad()
def apply_calibration(model: LogClassifier, calibration: Calibration) -> None:
    """Rescales the classifier in place."""
    model.classifier.weight /= calibration.temperature
    model.classifier.bias /= calibration.temperature
    model.classifier.bias[NORMAL] += calibration.normal_shift
