"""The baseline: what one would do with grep. The first pattern that matches names the class."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from corpus import LABELS, NORMAL

PATTERNS = {
    "security_anomaly": r"denied|unauthori[sz]ed|forbidden|authentication fail|failed (password|login)|invalid user|intrusion|malware",
    "hardware_issue": r"\becc\b|parity|smart error|i/o error|bad (sector|block)|temperature|fan fail|power supply|machine check",
    "network_anomaly": r"refused|unreachable|connection (reset|closed|lost|timed out)|no route|link (is )?down|packet loss|\bdns\b|broken pipe",
    "performance_issue": r"slow|overload|throttl|latency|queue (is )?full|backpressure|exceeded|high (cpu|memory|load)|\blag\b",
    "config_error": r"config|no such file|not found|unknown (option|directive|key)|unsupported|deprecated|missing|invalid",
    "system_failure": r"error|fail|fatal|panic|crash|exception|killed|abort|segfault|out of memory|corrupt",
}
_COMPILED = [(LABELS.index(label), re.compile(pattern, re.IGNORECASE)) for label, pattern in PATTERNS.items()]


def keyword_probabilities(texts: list[str]) -> NDArray[np.float32]:
    """All certainty on the class whose pattern comes first, or on normal."""
    return np.eye(len(LABELS), dtype=np.float32)[[_first_match(text) for text in texts]]


def _first_match(text: str) -> int:
    return next((label for label, pattern in _COMPILED if pattern.search(text)), NORMAL)
