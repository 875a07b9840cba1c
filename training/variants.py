"""From templates to the texts a model sees: slots filled, and now and then the dress that real log lines wear."""

from __future__ import annotations

import random
import re

from corpus import NORMAL, Template
from slots import fill

PROGRAMS = (
    "app server main worker agent service daemon systemd kernel java core scheduler http-nio-8080 Thread-4".split()
)
ROUTINE_LEVELS = "INFO INFO INFO DEBUG NOTICE info".split()
ALARM_LEVELS = "ERROR WARN WARNING INFO error E CRITICAL".split()
WORD = re.compile(r"\s+")


def variant(template: Template, rng: random.Random, header_share: float = 0.1, dropout: float = 0.0) -> str:
    """One text of a template.

    `header_share` of them carry a timestamp, level or program in front, as entries do that were stored unparsed.
    `dropout` is the chance of each word to be left out, which keeps the model from hanging on single words.
    """
    text = fill(template.text, rng)
    if dropout:
        text = _drop_words(text, rng, dropout)
    return _header(template.label, rng) + text if rng.random() < header_share else text


def _header(label: int, rng: random.Random) -> str:
    # An alarm's level may be anything; a routine line's rarely is an alarm's.
    levels = ROUTINE_LEVELS if label == NORMAL and rng.random() < 0.9 else ALARM_LEVELS
    program, level = rng.choice(PROGRAMS), rng.choice(levels)
    forms = (
        "{{ts}} ",
        f"{{{{ts}}}} {{{{host}}}} {program}[{{{{pid}}}}]: ",
        f"{{{{ts}}}} {level} ",
        f"[{level}] ",
        f"{level}: ",
        f"{program}[{{{{pid}}}}]: ",
        f"{program}: ",
        f"{{{{ts}}}} {level} [{program}] {{{{class}}}}: ",
        f"[{{{{ts}}}}] [{level}] ",
    )
    return fill(rng.choice(forms), rng)


def _drop_words(text: str, rng: random.Random, dropout: float) -> str:
    words = WORD.split(text)
    if len(words) < 5:
        return text
    return " ".join(word for word in words if rng.random() >= dropout) or text
