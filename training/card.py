"""The model card and the licence notice that travel with the weights."""

from __future__ import annotations

from pathlib import Path

from finetune import Recipe
from metrics import DETECTION_THRESHOLD, Report

TRIED = Path(__file__).with_name("tried.md")
COLUMNS = {
    "accuracy": "accuracy",
    "binary_f1": "binary F1",
    "macro_f1": "macro F1",
    "detection_precision": "detection precision",
    "detection_recall": "detection recall",
    "calibration_error": "ECE",
}
CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-classification
tags: [logs, anomaly-detection, onnx]
---

# Log line classifier

Classifies one log message as NORMAL, SECURITY_ANOMALY, SYSTEM_FAILURE, PERFORMANCE_ISSUE, NETWORK_ANOMALY,
CONFIG_ERROR or HARDWARE_ISSUE. The model that ships with sqlite-anomaly; it is a plain Hugging Face folder, and
`model.onnx` runs in any ONNX Runtime on CPU.

- Encoder: MiniLM-L6-H384 (22 M parameters) from all-MiniLM-L6-v2, fine-tuned on the templates in `training/corpus`.
- `tokenizer.json` holds the text normalisation as well: identifiers, addresses and long numbers become one token.
- `model.onnx`: weights and word embeddings in 8 bits with fixed scales (static quantisation), so that a row's score
  depends on its own text only. Attention, normalisation and residual sums stay in float32.
- Scores are calibrated on held-out templates, as if 70 % of all lines were normal: plain softmax of `logits` is the
  chance of being right. ECE below says how far that holds.

## Figures

Detections are anomalous lines that score {threshold} or more. ECE is the expected calibration error.

{figures}

## What was tried

{tried}

## Limits

English messages only. A message is judged by itself: rates, repetition and order are not seen. Text past 512 code
points is not read.

## Making it

`python training/train.py --epochs {epochs} --seed {seed} --runs {runs}` with the packages of `training/requirements.txt`.
"""
LICENCE = """The weights in model.onnx and the vocabulary in tokenizer.json derive from all-MiniLM-L6-v2 and MiniLM-L6-H384-uncased
(sentence-transformers, nreimers; distilled from Microsoft's MiniLM). They were changed: fine-tuned on other data,
given a classification head, and quantised to 8 bits.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use these files except in compliance with
the License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
specific language governing permissions and limitations under the License.
"""


def write_card(folder: Path, reports: dict[str, dict[str, Report]], recipes: list[Recipe]) -> None:
    """Writes README.md and LICENSE into `folder`; `reports` are by measured set, then by model."""
    card = CARD.format(
        threshold=DETECTION_THRESHOLD,
        figures="\n\n".join(_table(name, by_model) for name, by_model in reports.items()),
        tried=TRIED.read_text(encoding="utf-8").strip(),
        epochs=recipes[0].epochs,
        seed=recipes[0].seed,
        runs=len(recipes),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(LICENCE, encoding="utf-8")


def _table(name: str, by_model: dict[str, Report]) -> str:
    lines = next(iter(by_model.values())).lines
    rows = [f"| {name} ({lines:,} lines) | {' | '.join(COLUMNS.values())} |", "| --- |" + " --- |" * len(COLUMNS)]
    for model, report in by_model.items():
        rows.append(f"| {model} | " + " | ".join(f"{getattr(report, field):.3f}" for field in COLUMNS) + " |")
    return "\n".join(rows)
