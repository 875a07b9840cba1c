"""The model card and the licence notice that travel with the weights."""

from __future__ import annotations

from pathlib import Path

from calibrate import NORMAL_SHARE
from corpus import NORMAL, Template
from figures import draw_confusion, draw_reliability
from finetune import Recipe
from metrics import DETECTION_THRESHOLD, Report

HELD_OUT = "held-out templates"
"""What the pictures are about."""
UNSEEN = "templates of writers unseen in training"
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
CONFIG_ERROR or HARDWARE_ISSUE. The model that ships with sqlite-anomaly: configuration, tokenizer and `model.onnx`, which
runs in any ONNX Runtime on CPU.

- Encoder: MiniLM-L6-H384 (22 M parameters) from all-MiniLM-L6-v2, fine-tuned on the templates in `training/corpus`; the
  mean of the tokens' vectors is classified.
- Data: {templates:,} templates ({normal:.0f} % of them routine) written for this project, whose slots are filled anew in every
  epoch. They were written from knowledge of such software; no log and no data set was read for them.
- `tokenizer.json` holds the text normalisation as well: identifiers, addresses and long numbers become one token.
- `model.onnx`: weights and word embeddings in 8 bits with fixed scales (static quantisation), so that a row's score
  depends on its own text only. Attention, normalisation and residual sums stay in float32.
- Scores are calibrated on held-out templates, as if {normal_share:.0f} % of all lines were normal: plain softmax of `logits`
  is the chance of being right. ECE below says how far that holds.

## Figures

Detections are anomalous lines that score {threshold} or more. ECE is the expected calibration error.

{figures}

The 8-bit model on the held-out templates: what each class was called (number of lines), and how often the model is right
by the score it gives (number of lines beside each point).

![Confusion matrix](confusion.svg)
![Reliability diagram](reliability.svg)

## What was tried

{tried}

## Limits

English messages only. A message is judged by itself: rates, repetition and order are not seen. Text past 512 code
points is not read.

## Another model in its place

Any text classifier that is exported to ONNX: `SELECT anomaly_config('model', 'its folder')`. To make one like this from
labelled lines of your own, add them to `training/corpus` (its README says how) and run `make train`; `make eval
TSV=lines.tsv` measures it on others (columns `system`, `label`, `text`).

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


def write_card(
    folder: Path, reports: dict[str, dict[str, Report]], recipes: list[Recipe], templates: list[Template]
) -> None:
    """Writes README.md and LICENSE into `folder`; `reports` are by measured set, then by model.

    `templates` are those that were trained on.
    """
    card = CARD.format(
        threshold=DETECTION_THRESHOLD,
        figures="\n\n".join(_table(name, by_model) for name, by_model in reports.items()),
        tried=TRIED.read_text(encoding="utf-8").strip(),
        templates=len(templates),
        normal=100 * sum(template.label == NORMAL for template in templates) / len(templates),
        epochs=recipes[0].epochs,
        seed=recipes[0].seed,
        runs=len(recipes),
        normal_share=100 * NORMAL_SHARE,
    )
    draw_confusion(reports[HELD_OUT]["int8"], folder / "confusion.svg")
    draw_reliability(reports[HELD_OUT]["int8"], folder / "reliability.svg")
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "LICENSE").write_text(LICENCE, encoding="utf-8")


def _table(name: str, by_model: dict[str, Report]) -> str:
    lines = next(iter(by_model.values())).lines
    rows = [f"| {name} ({lines:,} lines) | {' | '.join(COLUMNS.values())} |", "| --- |" + " --- |" * len(COLUMNS)]
    for model, report in by_model.items():
        rows.append(f"| {model} | " + " | ".join(f"{getattr(report, field):.3f}" for field in COLUMNS) + " |")
    return "\n".join(rows)
