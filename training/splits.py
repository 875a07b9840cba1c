"""Which templates train, which calibrate and which test: decided by a hash, so that a growing corpus moves none of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from corpus import Template
from slots import SLOT

NOT_LETTERS = re.compile(r"[\W\d_]+")
TEST_SHARE, CALIBRATION_SHARE = 0.10, 0.10


@dataclass(frozen=True)
class Split:
    """Three sides that share no message shape."""

    train: list[Template]
    calibration: list[Template]
    test: list[Template]


def split_templates(templates: list[Template]) -> Split:
    """Sends near-duplicates, which differ only in slots, digits, case or punctuation, to the same side."""
    split = Split([], [], [])
    for template in templates:
        position = _position(shape(template.text))
        if position < TEST_SHARE:
            split.test.append(template)
        elif position < TEST_SHARE + CALIBRATION_SHARE:
            split.calibration.append(template)
        else:
            split.train.append(template)
    return split


def shape(text: str) -> str:
    """What is left of a message without its variable parts."""
    return NOT_LETTERS.sub(" ", SLOT.sub(" ", text).lower()).strip()


def _position(key: str) -> float:
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
