"""Reading the labelled templates, strictly: a slip in the corpus is reported with its file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slots import FILLERS, slot_names

LABELS = (
    "normal",
    "security_anomaly",
    "system_failure",
    "performance_issue",
    "network_anomaly",
    "config_error",
    "hardware_issue",
)
"""In the order of the model's outputs."""

NORMAL = LABELS.index("normal")
CORPUS = Path(__file__).parent / "corpus"
UNSEEN_CORPUS = CORPUS / "unseen"
"""Measured on, never trained on."""
HEADING = "## "


class CorpusError(ValueError):
    """Every slip found in the corpus, one a line."""


@dataclass(frozen=True)
class Template:
    """One labelled message, its slots not yet filled."""

    label: int
    text: str
    source: str
    """Where it stands, as `file:line`."""

    @property
    def family(self) -> str:
        """The corpus file's stem: templates of one file share a writer and a field."""
        return self.source.partition(".")[0]


def load_corpus(folder: Path = CORPUS) -> list[Template]:
    """All templates of `folder/*.tsv`; raises `CorpusError` naming every bad line."""
    slips: list[str] = []
    templates: dict[str, Template] = {}
    for source, line in _message_lines(folder):
        problem = _problem(line)
        if problem:
            slips.append(f"{source}: {problem}")
            continue
        label, text = line.split("\t")
        template = Template(LABELS.index(label), text, source)
        first = templates.setdefault(text, template)
        if first is not template:
            slips.append(f"{source}: repeats {first.source} ({LABELS[first.label]})")
    if slips:
        raise CorpusError("\n".join(slips))
    if not templates:
        raise CorpusError(f"{folder}: no templates")
    return list(templates.values())


def _message_lines(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.tsv")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip() and not line.startswith(HEADING):
                yield f"{path.name}:{number}", line


def _problem(line: str) -> str | None:
    label, tab, text = line.partition("\t")
    if not tab:
        return "no tab between label and message"
    if label not in LABELS:
        return f"unknown label {label!r}"
    if "\t" in text or text != text.strip() or not text:
        return "the message is empty, holds a tab, or starts or ends with a blank"
    unknown = sorted(set(slot_names(text)) - FILLERS.keys())
    if unknown:
        return f"unknown slot {', '.join(unknown)}"
    return None
