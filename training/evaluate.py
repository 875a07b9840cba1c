"""Figures of a model folder beside those of keyword matching: `python training/evaluate.py MODEL_FOLDER [TSV]`.

Without a TSV (columns system, label, text) the held-out templates of the corpus are measured.
"""

from __future__ import annotations

import argparse
import csv
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpus import LABELS, Template, load_corpus
from keywords import keyword_probabilities
from metrics import measure
from runtime import OnnxClassifier
from splits import split_templates
from variants import variant

VARIANTS = 2
VARIANT_SEED = 20_240_229


@dataclass(frozen=True)
class LabelledTexts:
    """What a model is measured on."""

    texts: list[str]
    truth: NDArray[np.int64]


def texts_of_templates(templates: list[Template], variants: int = VARIANTS) -> LabelledTexts:
    """The same few variants of each template on every call."""
    rng = random.Random(VARIANT_SEED)
    rows = [(variant(template, rng), template.label) for template in templates for _ in range(variants)]
    return LabelledTexts([text for text, _ in rows], np.array([label for _, label in rows]))


def texts_of_tsv(path: Path) -> LabelledTexts:
    """The columns `text` and `label` of a tab-separated file."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    return LabelledTexts([row["text"] for row in rows], np.array([LABELS.index(row["label"]) for row in rows]))


def main() -> None:
    """Prints the report of the model and of the keyword matcher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder with model.onnx, tokenizer.json and config.json")
    parser.add_argument("tsv", type=Path, nargs="?", help="labelled lines; default: the held-out templates")
    options = parser.parse_args()
    data = texts_of_tsv(options.tsv) if options.tsv else texts_of_templates(split_templates(load_corpus()).test)
    print(f"model {options.model}\n{measure(data.truth, OnnxClassifier(options.model).probabilities(data.texts))}\n")
    print(f"keywords\n{measure(data.truth, keyword_probabilities(data.texts))}")


if __name__ == "__main__":
    main()
